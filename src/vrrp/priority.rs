//! What the trackers say about an instance: its priority, its faults. A pure function of configuration and facts,
//! computed afresh each time, so that no counter can go wrong (docs/differences.md, two tracked interfaces).
//!
//! spec/vrrp-behaviour.md §6.1.

use crate::config::model::{Priority, TrackedInterface, TrackedScript};

use super::snapshot::{Faults, Verdict};

/// The trackers' verdict on one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Assessment {
    /// Sum of base and weights, unlimited.
    pub(super) total: i32,
    /// What is broken.
    pub(super) faults: Faults,
    /// Unweighted scripts without a result.
    pub(super) pending: usize,
}

impl Assessment {
    pub(super) fn new(base: Priority) -> Self {
        Self { total: i32::from(base.get()), ..Self::default() }
    }

    /// Counts one tracked interface in.
    pub(super) fn interface(&mut self, tracked: &TrackedInterface, is_up: bool) {
        if self.weigh(tracked.weight, is_up != tracked.reverse) {
            self.faults.trackers += 1;
        }
    }

    /// Counts one tracked script in.
    pub(super) fn script(&mut self, tracked: &TrackedScript, verdict: Verdict) {
        let is_good = match verdict {
            Verdict::Unknown => {
                self.pending += usize::from(tracked.weight == 0);
                return;
            }
            Verdict::AssumedFailed | Verdict::Bad => false,
            Verdict::Good => true,
        };
        if self.weigh(tracked.weight, is_good != tracked.reverse) {
            self.faults.trackers += 1;
        }
    }

    /// The priority to advertise: an owner's never changes, others' stay within 1..=254.
    pub(super) fn effective(&self, base: Priority) -> u8 {
        if base.is_owner() {
            return base.get();
        }
        u8::try_from(self.total.clamp(1, 254)).unwrap_or(1)
    }

    /// Adds the weight; true if the tracker has none and asks for FAULT.
    fn weigh(&mut self, weight: i32, is_good: bool) -> bool {
        if weight > 0 && is_good {
            self.total = self.total.saturating_add(weight);
        }
        if weight < 0 && !is_good {
            self.total = self.total.saturating_add(weight);
        }
        weight == 0 && !is_good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(priority: u8) -> Priority {
        Priority::new(priority).unwrap()
    }

    fn script(weight: i32, reverse: bool) -> TrackedScript {
        TrackedScript { script: "s".into(), weight, reverse }
    }

    fn total(weight: i32, reverse: bool, verdict: Verdict) -> i32 {
        let mut assessment = Assessment::new(base(100));
        assessment.script(&script(weight, reverse), verdict);
        assessment.total
    }

    #[test]
    fn positive_weights_reward_success_and_negative_ones_punish_failure() {
        assert_eq!(total(20, false, Verdict::Good), 120);
        assert_eq!(total(20, false, Verdict::Bad), 100);
        assert_eq!(total(-20, false, Verdict::Good), 100);
        assert_eq!(total(-20, false, Verdict::Bad), 80);
        assert_eq!(total(20, true, Verdict::Bad), 120);
        assert_eq!(total(-20, true, Verdict::Good), 80);
        assert_eq!(total(20, false, Verdict::Unknown), 100);
    }

    #[test]
    fn what_is_advertised_is_limited_and_the_sum_is_not() {
        let mut assessment = Assessment::new(base(200));
        assessment.script(&script(200, false), Verdict::Good);
        assert_eq!((assessment.total, assessment.effective(base(200))), (400, 254));
        assessment.script(&script(-230, false), Verdict::Bad);
        assert_eq!(assessment.effective(base(200)), 170);
        assessment.script(&script(-253, false), Verdict::Bad);
        assert_eq!(assessment.effective(base(200)), 1);
        assert_eq!(assessment.effective(Priority::OWNER), 255);
    }

    #[test]
    fn an_unweighted_script_without_a_result_is_waited_for() {
        let mut assessment = Assessment::new(base(100));
        assessment.script(&script(0, false), Verdict::Unknown);
        assert_eq!((assessment.pending, assessment.faults.any()), (1, false));
        assessment.script(&script(0, false), Verdict::Bad);
        assert_eq!(assessment.faults.trackers, 1);
    }

    #[test]
    fn each_unweighted_interface_that_is_down_is_a_fault_of_its_own() {
        let tracked = TrackedInterface { interface: "eth1".into(), weight: 0, reverse: false };
        let mut assessment = Assessment::new(base(100));
        assessment.interface(&tracked, false);
        assessment.interface(&tracked, true);
        assert!(assessment.faults.any());
    }
}
