//! When each instance is due, in order: asking for the next one costs nothing, however many there are; and how late
//! the process was when it came to them.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Action, Actions, Detail};
use super::instance::Run;
use crate::time::Time;

/// The deadlines of all instances.
#[derive(Debug, Clone, Default)]
pub(super) struct Alarms {
    order: BTreeSet<(Time, usize)>,
    /// As they stand in `order`.
    set: Vec<Option<Time>>,
    /// Instances whose deadline may have changed since.
    touched: Vec<usize>,
}

impl Alarms {
    /// Takes all deadlines anew.
    pub(super) fn rebuild(&mut self, runs: &[Run]) {
        self.touched.clear();
        self.set = runs.iter().map(Run::deadline).collect();
        self.order = self.set.iter().enumerate().filter_map(|(i, due)| Some(((*due)?, i))).collect();
    }

    /// The deadline of this instance may change.
    pub(super) fn touch(&mut self, i: usize) {
        if self.touched.last() != Some(&i) {
            self.touched.push(i);
        }
    }

    /// Takes the deadlines of what was touched anew.
    pub(super) fn settle(&mut self, runs: &[Run]) {
        for i in self.touched.drain(..) {
            let (Some(run), Some(set)) = (runs.get(i), self.set.get_mut(i)) else { continue };
            let due = run.deadline();
            if *set != due {
                if let Some(before) = std::mem::replace(set, due) {
                    self.order.remove(&(before, i));
                }
                self.order.extend(due.map(|due| (due, i)));
            }
        }
    }

    /// The earliest deadline. What was touched must have been settled.
    pub(super) fn next(&self) -> Option<Time> {
        debug_assert!(self.touched.is_empty(), "unsettled: {:?}", self.touched);
        self.order.first().map(|(due, _)| *due)
    }

    /// The instances that are due, the one that has waited longest first. What was touched must have been settled.
    pub(super) fn due(&self, now: Time) -> impl Iterator<Item = usize> + '_ {
        self.order.range(..=(now, usize::MAX)).map(|(_, i)| *i)
    }
}

/// An advert is late when this part of its interval has passed since it was due.
const LATE: u32 = 4;
/// Between two lines about lateness.
const PATIENCE: Duration = Duration::from_secs(60);

/// How late adverts were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lateness {
    /// Adverts that were more than a quarter of their interval late.
    pub adverts: u64,
    /// The latest of all, late or not.
    pub worst: Duration,
    /// When it was last told.
    told: Option<Time>,
}

impl Lateness {
    /// Notes an advert of this instance, which was due then.
    pub(super) fn advert(&mut self, name: &str, due: Time, interval: Duration, now: Time, out: &mut Actions) {
        let late = now.since(due);
        self.worst = self.worst.max(late);
        if late <= interval / LATE {
            return;
        }
        self.adverts += 1;
        if self.told.is_none_or(|told| now.since(told) >= PATIENCE) {
            self.told = Some(now);
            let text = format!(
                "({name}) advert is sent {:.3} s late: this process got no processor (see vrrp_rt_priority), {} late so far",
                late.as_secs_f64(),
                self.adverts
            );
            out.push(Action::Log { detail: Detail::Normal, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::tests::samples::{at, instance};

    #[test]
    fn the_earliest_comes_first_and_changes_are_followed() {
        let mut runs: Vec<Run> = (1..4).map(|vrid| Run::new(&instance("A", vrid, 100))).collect();
        let mut alarms = Alarms::default();
        runs[2].timer = Some(at(3.0));
        alarms.rebuild(&runs);
        assert_eq!(alarms.next(), Some(at(3.0)));
        runs[0].timer = Some(at(2.0));
        runs[1].timer = Some(at(2.0));
        for i in [0, 1, 0] {
            alarms.touch(i);
        }
        alarms.settle(&runs);
        let due = |alarms: &Alarms, now: f64| alarms.due(at(now)).collect::<Vec<_>>();
        assert_eq!((alarms.next(), due(&alarms, 2.0)), (Some(at(2.0)), vec![0, 1]));
        runs[0].timer = None;
        runs[1].timer = Some(at(4.0));
        alarms.touch(0);
        alarms.touch(1);
        alarms.settle(&runs);
        assert_eq!((alarms.next(), due(&alarms, 9.0)), (Some(at(3.0)), vec![2, 1]));
    }

    #[test]
    fn lateness_is_counted_always_and_told_once_a_minute() {
        let (mut lateness, mut out) = (Lateness::default(), Vec::new());
        let second = Duration::from_secs(1);
        lateness.advert("A", at(1.0), second, at(1.2), &mut out);
        assert_eq!((lateness.adverts, out.len()), (0, 0));
        lateness.advert("A", at(2.0), second, at(2.3), &mut out);
        lateness.advert("A", at(3.0), second, at(3.5), &mut out);
        assert_eq!((lateness.adverts, lateness.worst, out.len()), (2, second / 2, 1));
        lateness.advert("A", at(70.0), second, at(71.0), &mut out);
        assert_eq!((lateness.adverts, out.len()), (3, 2));
    }
}
