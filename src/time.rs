//! The clock value that every core shares: nanoseconds of `CLOCK_MONOTONIC`.
//!
//! Unlike `std::time::Instant` it can be written down, compared across the processes of one boot and handed over
//! to a respawned child. Nothing here reads a clock; `kernel::timer` does.

use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment on `CLOCK_MONOTONIC`, in nanoseconds since boot.
///
/// Kept as one more than that, so that an `Option` of it takes no more room: the cores have many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(NonZeroU64);

impl Time {
    /// The start of the clock; the value a fake clock begins with.
    pub const ZERO: Self = Self(NonZeroU64::MIN);

    /// The moment `nanos` nanoseconds after boot.
    pub const fn from_nanos(nanos: u64) -> Self {
        match NonZeroU64::new(nanos.saturating_add(1)) {
            Some(kept) => Self(kept),
            None => Self::ZERO,
        }
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.as_nanos().saturating_sub(earlier.as_nanos()))
    }
}

impl Default for Time {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_nanos().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::from_nanos)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Saturates at the end of the clock (584 years).
    fn add(self, after: Duration) -> Self {
        Self::from_nanos(self.as_nanos().saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    /// Saturates at boot.
    fn sub(self, before: Duration) -> Self {
        Self::from_nanos(self.as_nanos().saturating_sub(u64::try_from(before.as_nanos()).unwrap_or(u64::MAX)))
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
        assert_eq!((t + Duration::MAX).as_nanos(), u64::MAX - 1);
        assert_eq!(Time::ZERO.since(t), Duration::ZERO);
        assert_eq!(Time::from_nanos(u64::MAX), Time::from_nanos(u64::MAX - 1));
    }

    #[test]
    fn it_is_written_down_as_nanoseconds_and_takes_no_room_for_being_absent() {
        for nanos in [0, 1, 1_000_000_007, u64::MAX - 1] {
            let time = Time::from_nanos(nanos);
            assert_eq!(time.as_nanos(), nanos);
            let bytes = postcard::to_stdvec(&time).unwrap();
            assert_eq!(bytes, postcard::to_stdvec(&nanos).unwrap());
            assert_eq!(postcard::from_bytes::<Time>(&bytes).unwrap(), time);
        }
        assert_eq!(size_of::<Option<Time>>(), 8);
    }
}
