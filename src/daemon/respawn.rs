//! How long the parent waits before it starts a child again: 0, 1, 2, 4 … 60 s; afresh once a child lived for 60 s.
//!
//! Pure. spec/daemon-behaviour.md §1 "Respawn".

use std::time::Duration;

/// A child that lived this long was healthy.
const HEALTHY: Duration = Duration::from_secs(60);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);

/// The back-off of one child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackOff {
    next: Duration,
}

impl BackOff {
    /// A child that lived for `lived` has died: how long to wait before the next.
    pub fn died(&mut self, lived: Duration) -> Duration {
        if lived >= HEALTHY {
            self.next = Duration::ZERO;
        }
        let wait = self.next;
        self.next = (wait * 2).clamp(Duration::from_secs(1), LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_start_afresh_after_a_healthy_life() {
        let mut back_off = BackOff::default();
        let waits: Vec<_> = (0..9).map(|_| back_off.died(Duration::from_secs(1)).as_secs()).collect();
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(back_off.died(HEALTHY), Duration::ZERO);
        assert_eq!(back_off.died(Duration::ZERO).as_secs(), 1);
    }
}
