//! What the trackers say about an instance: its priority, its faults. A pure function of configuration and facts,
//! computed afresh each time, so that no counter can go wrong (docs/differences.md, two tracked interfaces).
//!
//! spec/vrrp-behaviour.md §6.1.

use crate::config::model::{Priority, Tracked, TrackedInterface, TrackedScript};

use super::awaits::Awaited;
use super::snapshot::{Faults, Verdict};

/// The trackers' verdict on one instance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Assessment {
    /// Sum of base and weights, unlimited.
    pub(super) total: i32,
    /// What is broken.
    pub(super) faults: Faults,
    /// Unweighted scripts without a result.
    pub(super) pending: usize,
    /// Tracked files among the faults.
    pub(super) files: usize,
    /// The own link is not there yet.
    pub(super) awaits_link: bool,
    /// The events that end its faults and what it waits for.
    pub(super) awaits: Vec<Awaited>,
}

/// A file's number times its weight is a FAULT from here down (spec/vrrp-behaviour.md §6.1) …
const FILE_FAULT: i64 = -254;
/// … and counts this at most.
const FILE_MOST: i64 = 253;

impl Assessment {
    pub(super) fn new(base: Priority) -> Self {
        Self { total: i32::from(base.get()), ..Self::default() }
    }

    /// Counts one tracked interface in.
    pub(super) fn interface(&mut self, tracked: &TrackedInterface, is_up: bool) {
        if self.weigh(tracked.weight, tracked.reverse, is_up) {
            self.fault(Awaited::Interface { name: tracked.interface.clone(), up: !tracked.reverse });
        }
    }

    /// Counts one tracked script in.
    pub(super) fn script(&mut self, tracked: &TrackedScript, verdict: Verdict) {
        let script = || tracked.script.clone();
        let is_good = match verdict {
            Verdict::Unknown => {
                if tracked.weight == 0 {
                    self.pending += 1;
                    self.awaits.push(Awaited::FirstResult { script: script() });
                }
                return;
            }
            Verdict::AssumedFailed | Verdict::Bad => false,
            Verdict::Good => true,
        };
        if self.weigh(tracked.weight, tracked.reverse, is_good) {
            self.fault(Awaited::Script { script: script(), success: !tracked.reverse });
        }
    }

    /// Counts the number of one tracked file in.
    pub(super) fn file(&mut self, tracked: &Tracked, value: i32) {
        let is_fault = if tracked.weight == 0 {
            (value != 0) != tracked.reverse
        } else {
            let weight = i64::from(tracked.weight) * if tracked.reverse { -1 } else { 1 };
            let product = i64::from(value) * weight;
            if product > FILE_FAULT {
                let product = i32::try_from(product.min(FILE_MOST)).unwrap_or(0);
                self.total = self.total.saturating_add(product);
            }
            product <= FILE_FAULT
        };
        if is_fault {
            self.files += 1;
            self.fault(Awaited::File { name: tracked.name.clone() });
        }
    }

    /// Counts one tracked process in.
    pub(super) fn process(&mut self, tracked: &Tracked, has_quorum: bool) {
        if self.weigh(tracked.weight, tracked.reverse, has_quorum) {
            self.fault(Awaited::Quorum { name: tracked.name.clone(), gained: !tracked.reverse });
        }
    }

    /// Counts one BFD session in.
    pub(super) fn bfd(&mut self, tracked: &Tracked, is_up: bool) {
        if self.weigh(tracked.weight, tracked.reverse, is_up) {
            self.fault(Awaited::Bfd { name: tracked.name.clone(), up: !tracked.reverse });
        }
    }

    /// Counts one tracker as a fault.
    pub(super) fn fault(&mut self, end: Awaited) {
        self.faults.trackers += 1;
        self.awaits.push(end);
    }

    /// The priority to advertise: an owner's never changes, others' stay within 1..=254.
    pub(super) fn effective(&self, base: Priority) -> u8 {
        if base.is_owner() {
            return base.get();
        }
        u8::try_from(self.total.clamp(1, 254)).unwrap_or(1)
    }

    /// Adds the weight; true if the tracker has none and asks for FAULT. Stock: `reverse` takes away what would be added and
    /// adds what would be taken away; without a weight it asks for FAULT while all is well.
    fn weigh(&mut self, weight: i32, reverse: bool, is_good: bool) -> bool {
        let counts = if weight > 0 { is_good } else { !is_good };
        if counts {
            let share = if reverse { weight.saturating_neg() } else { weight };
            self.total = self.total.saturating_add(share);
        }
        weight == 0 && is_good == reverse
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
        assert_eq!(total(20, true, Verdict::Good), 80);
        assert_eq!(total(20, true, Verdict::Bad), 100);
        assert_eq!(total(-20, true, Verdict::Good), 100);
        assert_eq!(total(-20, true, Verdict::Bad), 120);
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

    fn file(weight: i32, reverse: bool, value: i32) -> (i32, bool) {
        let mut assessment = Assessment::new(base(100));
        assessment.file(&Tracked { name: "f".into(), weight, reverse }, value);
        (assessment.total, assessment.faults.any())
    }

    #[test]
    fn a_file_adds_its_number_times_the_weight_up_to_253_and_is_a_fault_from_minus_254_down() {
        assert_eq!(file(1, false, 7), (107, false));
        assert_eq!(file(2, false, 200), (353, false));
        assert_eq!(file(2, false, -126), (-152, false));
        assert_eq!(file(2, false, -127), (100, true));
        assert_eq!(file(-3, true, 2), (106, false));
        assert_eq!(file(-254, false, 1), (100, true));
        assert_eq!(file(254, false, i32::MIN), (100, true));
        assert_eq!(file(-254, false, i32::MIN), (353, false));
    }

    #[test]
    fn a_file_without_weight_is_a_fault_unless_it_holds_0_or_the_reverse() {
        assert_eq!(file(0, false, 0), (100, false));
        assert_eq!(file(0, false, -1), (100, true));
        assert_eq!(file(0, true, 0), (100, true));
        assert_eq!(file(0, true, 5), (100, false));
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
