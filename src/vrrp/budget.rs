//! How much may be said about packets that anybody can send.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// Over this time.
const PERIOD: Duration = Duration::from_secs(1);

/// So many times in any second, the first ones at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Budget {
    since: Option<Time>,
    spent: u8,
}

impl Budget {
    /// May it happen once more now, if it may `most` times a second?
    pub(super) fn spend(&mut self, now: Time, most: u8) -> bool {
        if self.since.is_none_or(|since| now >= since + PERIOD) {
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
            (from..from + 1000).filter(|millis| budget.spend(at(*millis), 3)).count()
        };
        assert_eq!(allowed(&mut budget, 5000), 3);
        assert_eq!(allowed(&mut budget, 6000), 3);
        assert!(budget.spend(at(9000), 3));
    }
}
