//! Adverts before everything else: those that are due, and those that end a reign. A takeover and a stop have two halves,
//! so that a driver can send the first before it works on the second.

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

impl Router {
    /// Adverts in one call of [`Self::urge`]: the rhythm of one instance shall not wait for a thousand others.
    pub const TOGETHER: usize = 8;

    /// Of what [`Event::Timer`] does only what must not wait for the rest of it: some of the adverts that are due, the
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
