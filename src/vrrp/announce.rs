//! When gratuitous ARPs (and unsolicited neighbour advertisements) of an instance go out: its next bursts. How far apart
//! packets are is `pacer`'s. spec/vrrp-behaviour.md §7.

use serde::{Deserialize, Serialize};

use crate::config::model::GarpSettings;
use crate::time::Time;

/// The bursts that an instance still owes. Empty unless it is MASTER.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Announce {
    second: Option<Time>,
    second_lower_priority: Option<Time>,
    refresh: Option<Time>,
    /// `garp_extra_if`.
    extra: Option<Time>,
}

impl Announce {
    /// Entered MASTER, or got new addresses: how many copies go out now.
    pub(super) fn begin(&mut self, garp: &GarpSettings, now: Time) -> u32 {
        self.second = (!garp.delay.is_zero()).then(|| now + garp.delay);
        self.second_lower_priority = None;
        self.refresh = (!garp.refresh.is_zero()).then(|| now + garp.delay + garp.refresh);
        self.extra = (!garp.extra.interval.is_zero()).then(|| now + garp.extra.interval);
        garp.repeat
    }

    /// Saw an advert of lower priority: how many copies go out now.
    pub(super) fn lower_priority(&mut self, garp: &GarpSettings, now: Time) -> u32 {
        if garp.lower_prio_repeat > 0 && !garp.lower_prio_delay.is_zero() {
            self.second_lower_priority = Some(now + garp.lower_prio_delay);
        }
        garp.lower_prio_repeat
    }

    /// Left MASTER.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        [self.second, self.second_lower_priority, self.refresh, self.extra].into_iter().flatten().min()
    }

    /// Is an announcement on the other interfaces due?
    pub(super) fn is_extra_due(&mut self, garp: &GarpSettings, now: Time) -> bool {
        let Some(at) = self.extra.filter(|at| *at <= now) else { return false };
        let period = garp.extra.interval;
        // A reload may have switched it off.
        self.extra = (!period.is_zero()).then(|| if at + period > now { at + period } else { now + period });
        self.extra.is_some()
    }

    /// How many copies are due now; 0 if none.
    pub(super) fn due(&mut self, garp: &GarpSettings, now: Time) -> u32 {
        let mut copies = 0;
        if self.second.is_some_and(|at| at <= now) {
            self.second = None;
            copies = garp.repeat;
        }
        if self.second_lower_priority.is_some_and(|at| at <= now) {
            self.second_lower_priority = None;
            copies = copies.max(garp.lower_prio_repeat);
        }
        if let Some(at) = self.refresh.filter(|at| *at <= now) {
            // A reload may have set the period to zero.
            self.refresh = (!garp.refresh.is_zero())
                .then(|| if at + garp.refresh > now { at + garp.refresh } else { now + garp.refresh });
            copies = copies.max(garp.refresh_repeat);
        }
        copies
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn the_second_burst_comes_after_the_delay_and_refreshes_follow() {
        let garp = GarpSettings { refresh: Duration::from_secs(60), ..GarpSettings::default() };
        let mut announce = Announce::default();
        assert_eq!(announce.begin(&garp, at(0)), 5);
        assert_eq!(announce.deadline(), Some(at(5_000)));
        assert_eq!(announce.due(&garp, at(4_999)), 0);
        assert_eq!(announce.due(&garp, at(5_000)), 5);
        assert_eq!(announce.deadline(), Some(at(65_000)));
        assert_eq!(announce.due(&garp, at(65_000)), 1);
        assert_eq!(announce.deadline(), Some(at(125_000)));
        announce.end();
        assert_eq!(announce.deadline(), None);
    }

    #[test]
    fn in_strict_mode_a_lower_advert_brings_no_burst() {
        let garp = GarpSettings { lower_prio_repeat: 0, ..GarpSettings::default() };
        let mut announce = Announce::default();
        assert_eq!(announce.lower_priority(&garp, at(0)), 0);
        assert_eq!(announce.deadline(), None);
    }
}
