//! The clock value that every core shares: nanoseconds of `CLOCK_MONOTONIC`.
//!
//! Unlike `std::time::Instant` it can be written down, compared across the processes of one boot and handed over
//! to a respawned child. Nothing here reads a clock; `kernel::timer` does.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment on `CLOCK_MONOTONIC`, in nanoseconds since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Time(u64);

impl Time {
    /// The start of the clock; the value a fake clock begins with.
    pub const ZERO: Self = Self(0);

    /// The moment `nanos` nanoseconds after boot.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Saturates at the end of the clock (584 years).
    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    /// Saturates at boot.
    fn sub(self, before: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(before.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_moves_and_saturates_at_both_ends() {
        let t = Time::from_nanos(1_000) + Duration::from_micros(1);
        assert_eq!(t.as_nanos(), 2_000);
        assert_eq!((t - Duration::from_secs(1)).as_nanos(), 0);
        assert_eq!((t + Duration::MAX).as_nanos(), u64::MAX);
        assert_eq!(Time::ZERO.since(t), Duration::ZERO);
    }
}
