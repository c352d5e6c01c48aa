//! How much may be said about packets that anybody can send.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// So many times in any period, the first ones at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Budget {
    since: Option<Time>,
    spent: u8,
}

impl Budget {
    /// May it happen once more now, if it may `most` times in this period?
    pub(super) fn spend(&mut self, now: Time, most: u8, period: Duration) -> bool {
        if self.since.is_none_or(|since| now >= since + period) {
            *self = Self { since: Some(now), spent: 0 };
        }
        let is_left = self.spent < most;
        self.spent += u8::from(is_left);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gets_what_a_second_has_and_then_the_next_second() {
        let mut budget = Budget::default();
        let at = |millis| Time::ZERO + Duration::from_millis(millis);
        let allowed = |budget: &mut Budget, from: u64| {
            (from..from + 1000).filter(|millis| budget.spend(at(*millis), 3, Duration::from_secs(1))).count()
        };
        assert_eq!(allowed(&mut budget, 5000), 3);
        assert_eq!(allowed(&mut budget, 6000), 3);
        assert!(budget.spend(at(9000), 3, Duration::from_secs(1)));
    }
}
