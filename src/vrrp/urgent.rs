//! Adverts before everything else: those that are due, and those that end a reign. A takeover and a stop have two halves,
//! so that a driver can send the first before it works on the second.

use std::time::Duration;

use super::event::{Action, Actions, StateWord};
use super::notify;
use super::router::{Phase, Router};
use super::script::ScriptRun;
use super::snapshot::VrrpState;
use crate::time::Time;

/// What is left behind at a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Step down and remove what we have added.
    Ours,
    /// Also remove configured addresses that we do not hold (`-X`).
    All,
    /// Send nothing, remove nothing (`-V`).
    Nothing,
}

/// Between those of two such parts, when many come up together: some times what sending a part takes, so that one that
/// is held up does not hold up all others.
const APART: Duration = Duration::from_micros(400);
/// For that the first adverts after the takeover may be late by this part of their interval.
const SHARE: u32 = 20;

/// When masters that come up together send next: a part of them at a time. Matters for milliseconds; a successor begins
/// anew.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Starts {
    /// Of the part that was begun last.
    moment: Time,
    /// How many it has.
    count: usize,
}

impl Starts {
    /// The place of one that would send at `wanted`: then or a little later.
    pub(super) fn place(&mut self, wanted: Time, interval: Duration) -> Time {
        let (moment, count) = if wanted <= self.moment && self.count < Router::TOGETHER {
            (self.moment, self.count + 1)
        } else {
            (wanted.max(self.moment + APART), 1)
        };
        let is_near = wanted <= self.moment + APART && moment.since(wanted) <= interval / SHARE;
        (self.moment, self.count) = if is_near { (moment, count) } else { (wanted, 1) };
        self.moment
    }
}

impl Router {
    /// Adverts in one call of [`Self::urge`]: the rhythm of one instance shall not wait for a thousand others.
    pub const TOGETHER: usize = 8;

    /// Of what `Event::Timer` does only what must not wait for the rest of it: some of the adverts that are due, the
    /// earliest ones. Says how many there were; as many as [`Self::TOGETHER`] mean that there may be more. What else there is
    /// to do, the rest of takeovers too, is due at once and left to the timer.
    pub fn urge(&mut self, now: Time, out: &mut Actions) -> usize {
        if self.phase != Phase::Running {
            return 0;
        }
        let runs = &self.runs;
        let may_be_urged = |i: &usize| runs[*i].timer.is_some_and(|due| due <= now);
        let due: Vec<usize> = self.alarms.due(now).filter(may_be_urged).take(Self::TOGETHER).collect();
        let mut urged = 0;
        for i in due {
            let (was, since) = (self.runs[i].state, self.runs[i].timer);
            if !self.machine(i, now, out).urge() {
                continue;
            }
            urged += 1;
            match since {
                Some(since) if was == VrrpState::Master => self.note_lateness(i, since, now, out),
                _ => self.ascending.push(i),
            }
        }
        self.alarms.settle(&self.runs);
        urged
    }

    /// Nothing but the timer comes between the two halves of a takeover.
    pub(super) fn finish_takeovers(&mut self, now: Time, out: &mut Actions) {
        if self.ascending.is_empty() {
            return;
        }
        let begin = out.len();
        for i in std::mem::take(&mut self.ascending) {
            if self.runs.get(i).is_some_and(|run| run.ascent.is_some()) {
                self.machine(i, now, out).settle_in();
            }
        }
        self.follow_firewall(begin, out);
        self.follow_sync(out);
        self.alarms.settle(&self.runs);
    }

    /// Steps down everywhere. After this the core is inert.
    pub fn stop(&mut self, now: Time, release: Release, out: &mut Actions) {
        self.resign(now, release, out);
        self.leave(now, release, out);
    }

    /// The first half of [`Self::stop`]: the adverts that whoever takes over waits for. Nothing may come between this and
    /// [`Self::leave`].
    pub fn resign(&mut self, now: Time, release: Release, out: &mut Actions) {
        for i in (0..self.runs.len()).filter(|_| release != Release::Nothing) {
            if self.runs[i].state == VrrpState::Master {
                self.machine(i, now, out).send_zero();
            }
        }
    }

    /// The second half of [`Self::stop`].
    pub fn leave(&mut self, now: Time, release: Release, out: &mut Actions) {
        for id in self.scripts.iter().filter_map(ScriptRun::running) {
            out.push(Action::KillScript { id });
        }
        for i in 0..self.runs.len() {
            let config = &self.part.instances[i];
            let was_master = self.runs[i].state == VrrpState::Master;
            if release == Release::All {
                self.runs[i].held.assume_all();
            }
            let promote = config.promote_secondaries.then(|| config.interface.clone()).flatten();
            let mut machine = self.machine(i, now, out);
            if release == Release::All || was_master && release == Release::Ours {
                machine.remove_objects();
            }
            if let Some(interface) = promote {
                out.push(Action::PromoteSecondaries { interface, on: false });
            }
        }
        if release != Release::Nothing {
            self.remove_statics(out);
        }
        out.push(Action::Listen(Vec::new()));
        for i in 0..self.runs.len() {
            self.machine(i, now, out).notify(StateWord::Stop, "the daemon stops");
        }
        for group in &self.part.sync_groups {
            notify::group(group, StateWord::Stop, "the daemon stops", out);
        }
        self.remove_links(release, out);
        self.remove_firewall(release, out);
        self.stop_sync(out);
        self.phase = Phase::Stopped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_start_together_are_kept_apart_but_never_by_much() {
        let second = Duration::from_secs(1);
        let (mut starts, from) = (Starts::default(), Time::ZERO + second * 10);
        let places: Vec<Duration> =
            (0..20).map(|_| starts.place(from + second, second).since(from + second)).collect();
        let expected = |n: usize| APART * u32::try_from(n / Router::TOGETHER).unwrap();
        assert_eq!(places, (0..20).map(expected).collect::<Vec<_>>());
        // Who comes later has a place of his own already, one of another interval too.
        let later = from + second * 3;
        assert_eq!(starts.place(later, second), later);
        assert_eq!(starts.place(later - second * 2, second), later - second * 2);
        // Ten milliseconds leave room for one more part.
        let mut starts = Starts::default();
        let short = Duration::from_millis(10);
        let latest = (0..100).map(|_| starts.place(from, short)).max();
        assert_eq!(latest, Some(from + APART));
    }
}
