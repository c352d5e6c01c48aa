//! `@keepalived-rs share_checks`: checks that are equal in all their options are made once, and the outcome goes to all.
//!
//! The first of a cohort that is due attempts for all; with its answer the others' clocks start anew, so from then on they
//! are due together. One that is at another url attempts for itself. Scripts, files and sessions are never shared.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use super::{Director, Orders, Short};
use crate::check::Outcome;
use crate::check::schedule;
use crate::config::model::{CheckKind, Checker};
use crate::time::Time;

impl Director {
    /// Finds the checks that are equal.
    pub(super) fn group_equals(&mut self, share: bool) {
        self.cohorts.clear();
        for check in &mut self.checks {
            check.cohort = None;
        }
        if !share {
            return;
        }
        let mut alike: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, check) in self.checks.iter().enumerate() {
            if let Some(number) = digest(self.configured(check)) {
                alike.entry(number).or_default().push(index);
            }
        }
        let mut cohorts: Vec<Vec<usize>> = Vec::new();
        for mut rest in alike.into_values() {
            // Equal numbers are nearly always equal checks.
            while let Some(first) = rest.first().copied() {
                let leader = self.configured(&self.checks[first]);
                let (same, others): (Vec<usize>, Vec<usize>) = rest
                    .into_iter()
                    .partition(|index| are_equal(leader, self.configured(&self.checks[*index])));
                rest = others;
                if same.len() > 1 {
                    cohorts.push(same);
                }
            }
        }
        for (number, cohort) in cohorts.iter().enumerate() {
            for index in cohort {
                self.checks[*index].cohort = Some(Short::new(number));
            }
        }
        self.cohorts = cohorts;
    }

    /// Does an equal check attempt the same url already?
    pub(super) fn is_asked_by_another(&self, index: usize, url: usize) -> bool {
        let Some(cohort) = self.checks[index].cohort else { return false };
        self.cohorts[cohort.at()].iter().any(|other| {
            let check = &self.checks[*other];
            *other != index && check.asked.is_some() && check.schedule.url() == url
        })
    }

    /// What one attempt brought is the outcome of all equal checks.
    pub(super) fn tell_cohort(
        &mut self,
        leader: usize,
        outcome: &Outcome,
        known: Time,
        now: Time,
        out: &mut Orders,
    ) {
        let Some(cohort) = self.checks[leader].cohort.map(Short::at) else { return };
        let url = self.checks[leader].schedule.url();
        for place in 0..self.cohorts[cohort].len() {
            let index = self.cohorts[cohort][place];
            let check = &mut self.checks[index];
            if index == leader || check.asked.is_some() || check.schedule.url() != url {
                continue;
            }
            if check.schedule.join(known) {
                self.schedule(index, now, schedule::Event::Outcome(outcome.clone(), known), out);
            }
        }
    }

    /// Checks that waited for the answer of an equal one that is gone ask for themselves.
    pub(super) fn ask_waiting(&mut self, now: Time, out: &mut Orders) {
        for index in 0..self.checks.len() {
            let check = &self.checks[index];
            if check.asked.is_none()
                && check.schedule.is_asked()
                && !self.is_asked_by_another(index, check.schedule.url())
            {
                self.schedule(index, now, schedule::Event::ProberLost, out);
            }
        }
    }
}

/// The same for equal checks; `None` for what is not shared.
fn digest(checker: &Checker) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    match &checker.kind {
        CheckKind::Misc(_) | CheckKind::File(_) | CheckKind::Bfd(_) => return None,
        kind => kind.connection().hash(&mut hasher),
    }
    Some(hasher.finish())
}

/// Equal in all options but those that say how a failure is told, and in what state it begins.
fn are_equal(one: &Checker, other: &Checker) -> bool {
    one.timing == other.timing && one.kind == other.kind
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::daemon::director::tests::{World, at_port, checked};

    fn removed(world: &World) -> usize {
        world.out.log.iter().filter(|line| line.starts_with("Removing service")).count()
    }

    #[test]
    fn equal_checks_are_made_once_and_all_hear_the_outcome() {
        for (share, probes) in [(false, 2), (true, 1)] {
            let mut world = World::new();
            world.share = share;
            world.run(&[checked(1), at_port(checked(1), 81)], None);
            for _ in 0..3 {
                world.round(|_| false);
                assert_eq!(world.out.probe.len(), probes);
            }
            let mut out = 0;
            for _ in 0..6 {
                world.round(|_| true);
                assert_eq!(world.out.probe.len(), probes);
                out += removed(&world);
            }
            assert_eq!(out, 2, "both services have lost it");
        }
    }

    #[test]
    fn checks_that_differ_in_any_option_are_made_apart() {
        let mut world = World::new();
        world.share = true;
        let mut other = at_port(checked(1), 81);
        Arc::make_mut(&mut other.real_servers[0].checkers[0].timing).retry += 1;
        world.run(&[checked(1), other], None);
        world.round(|_| false);
        assert_eq!(world.out.probe.len(), 2);
    }

    #[test]
    fn one_that_waited_for_a_check_that_is_gone_asks_for_itself() {
        let mut world = World::new();
        world.share = true;
        world.run(&[checked(1), at_port(checked(1), 81)], None);
        world.now = world.director.deadline().unwrap();
        world.director.due(world.now, &mut world.kernel, &mut world.out);
        assert_eq!(world.out.probe.len(), 1, "the other one waits");
        world.run(&[at_port(checked(1), 81)], None);
        let still = world.out.probe.len() + usize::from(world.out.cancel.is_empty());
        assert_eq!(still, 1, "asked again, or asked by the one that stays");
    }
}
