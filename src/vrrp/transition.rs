//! Entering MASTER, BACKUP and FAULT: what happens, in stock's order (spec/vrrp-behaviour.md §4.2).

use std::time::Duration;

use super::event::{Detail, StateWord};
use super::instance::{Machine, PreemptDelay, Rogue};
use super::snapshot::VrrpState;

/// Why a BACKUP becomes MASTER.
pub(super) const MASTER_SILENT: &str = "the master is silent";

/// How BACKUP is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// At start.
    Init,
    /// Later.
    Normal,
}

/// Is the end of MASTER told with a priority-0 advert?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    /// Yes.
    Sent,
    /// No: somebody better is there already.
    Unsent,
}
/// How many priority-0 adverts a fall into FAULT sends. Stock: two code paths send one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fall {
    /// The instance itself is broken.
    Own,
    /// Its sync group pulls it down.
    Pulled,
}
impl Machine<'_> {
    /// Takes the addresses over. The advert goes out first (spec/vrrp-behaviour.md §4.2).
    pub(super) fn enter_master(&mut self, cause: &str) {
        self.ascend();
        self.take_over(cause);
    }

    /// Is MASTER and says so. [`Self::settle_in`] must follow, at once.
    pub(super) fn ascend(&mut self) {
        if self.run.rogue == Rogue::Yielded {
            self.run.rogue = Rogue::None;
            self.run.effective = self.config.priority.get();
            self.log(Detail::Normal, format_args!("Restoring our priority to 255"));
        }
        self.run.counters.master_reason = match (self.config.priority.is_owner(), self.run.lower_heard) {
            (true, _) => 1,
            (false, Some(_)) => 2,
            (false, None) => 3,
        };
        self.enter(VrrpState::Master);
        self.run.ah.begin_reign();
        self.run.counters.become_master += 1;
        self.advertise_now();
        let interval = self.config.advert_int.duration();
        self.run.timer = Some(self.starts.place(self.now + interval, interval));
        self.run.ascent = Some(self.now);
    }

    /// The rest of a takeover that began with [`Self::ascend`].
    pub(super) fn settle_in(&mut self) {
        self.take_over(MASTER_SILENT);
    }

    fn take_over(&mut self, cause: &str) {
        self.run.ascent = None;
        self.log(Detail::Normal, format_args!("Entering MASTER STATE"));
        self.own_interval_again();
        self.run.held.forget();
        self.add_objects();
        let copies = self.run.announce.begin(&self.config.garp, self.now);
        self.announce(copies);
        self.notify(StateWord::Master, cause);
    }

    /// Listens again. `timer` is the time to takeover, the full master-down time if not given.
    pub(super) fn enter_backup(&mut self, entry: Entry, zero: Zero, timer: Option<Duration>, cause: &str) {
        let was_master = self.run.state == VrrpState::Master;
        if self.run.state == VrrpState::Fault || self.run.state == VrrpState::Init {
            self.own_interval_again();
            self.run.master = None;
        }
        self.enter(VrrpState::Backup);
        let suffix = match entry {
            Entry::Init => " (init)",
            Entry::Normal => "",
        };
        self.log(Detail::Normal, format_args!("Entering BACKUP STATE{suffix}"));
        if was_master {
            self.leave_master(zero);
        }
        self.run.timer = Some(self.now + timer.unwrap_or_else(|| self.run.master_down(self.config)));
        self.notify(StateWord::Backup, cause);
    }

    /// Gives up until what is broken is mended.
    pub(super) fn enter_fault(&mut self, fall: Fall, cause: &str) {
        let was_master = self.run.state == VrrpState::Master;
        if was_master && fall == Fall::Own {
            self.send_advert(0);
        }
        self.enter(VrrpState::Fault);
        self.log(Detail::Normal, format_args!("Entering FAULT STATE"));
        if was_master {
            self.leave_master(Zero::Sent);
        }
        self.run.timer = None;
        self.notify(StateWord::Fault, cause);
    }

    pub(super) fn enter(&mut self, state: VrrpState) {
        self.run.state = state;
        self.run.ascent = None;
        self.run.wanted = state;
        self.run.last_transition = Some(self.now);
        self.run.preempt = PreemptDelay::Off;
        self.run.logged = 0;
        self.run.lower_heard = None;
        if matches!(state, VrrpState::Backup | VrrpState::Master) {
            self.run.awaits.clear();
        }
    }

    pub(super) fn leave_master(&mut self, zero: Zero) {
        if zero == Zero::Sent {
            self.send_zero();
        }
        self.run.counters.release_master += 1;
        self.run.announce.end();
        self.run.rival = None;
        self.pacer.drop_instance(self.index);
        if self.run.rogue != Rogue::Yielded {
            self.run.rogue = Rogue::None;
        }
        self.remove_objects();
    }

    pub(super) fn own_interval_again(&mut self) {
        let (learned, own) = (self.run.master_advert_int, self.config.advert_int);
        if learned != own {
            self.log(
                Detail::Detail,
                format_args!(
                    "advertisement interval restored from {}ms to {}ms",
                    u32::from(learned.0) * 10,
                    u32::from(own.0) * 10
                ),
            );
            self.run.master_advert_int = own;
        }
    }

    pub(super) fn rearm_master_down(&mut self) {
        self.run.timer = Some(self.now + self.run.master_down(self.config));
    }
}
