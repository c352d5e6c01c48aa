//! The clock of the cores and one timer on it. `timerfd` instead of tokio's wheel, whose ticks are 1 ms wide.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::clock_gettime;

use super::error::{Doing, Error};
use super::readiness::Watched;
use crate::time::Time;

/// This moment on `CLOCK_MONOTONIC`.
#[expect(clippy::missing_panics_doc, reason = "the clock exists on every Linux")]
pub fn now() -> Time {
    let now = clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .expect("clock_gettime only fails for an unknown clock or a bad pointer");
    Time::from_nanos(nanos(now))
}

/// What the wall clock would have shown at [`Time::ZERO`]: time since 1970.
pub fn wall_clock_at_zero() -> Duration {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    unix.saturating_sub(now().since(Time::ZERO))
}

fn nanos(time: TimeSpec) -> u64 {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// One alarm at an absolute moment. Needs a running tokio reactor.
pub struct Timer {
    descriptor: Watched<TimerFd>,
    armed: Option<Time>,
}

impl Timer {
    /// An alarm that is not set.
    pub fn new() -> Result<Self, Error> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).doing(|| "creating a timer")?;
        let descriptor = Watched::readable_only(timer)?;
        Ok(Self { descriptor, armed: None })
    }

    /// Sets the alarm to `deadline`, or switches it off. A moment in the past rings at once.
    pub fn set(&mut self, deadline: Option<Time>) -> Result<(), Error> {
        if deadline == self.armed {
            return Ok(());
        }
        let timer = self.descriptor.get();
        match deadline {
            Some(time) => {
                // All zero would switch the timer off.
                let nanos = time.as_nanos().max(1);
                let seconds = i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX);
                let rest = i64::try_from(nanos % 1_000_000_000).unwrap_or(0);
                let at = Expiration::OneShot(TimeSpec::new(seconds, rest));
                timer.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME).doing(|| "setting a timer")?;
            }
            None => timer.unset().doing(|| "switching a timer off")?,
        }
        self.armed = deadline;
        Ok(())
    }

    /// As [`Self::set`], but an alarm that is set to an earlier moment stays: it rings too early, and the owner looks
    /// what is due and sets it again. So a deadline that is put off again and again costs nothing.
    pub fn set_by(&mut self, deadline: Option<Time>) -> Result<(), Error> {
        match (self.armed, deadline) {
            (Some(armed), Some(deadline)) if armed <= deadline => Ok(()),
            _ => self.set(deadline),
        }
    }

    /// Returns when the alarm rang; it is off afterwards. Never returns while it is not set. Safe to cancel.
    pub async fn ring(&mut self) -> Result<(), Error> {
        // A reading would block when the alarm was moved after it rang.
        self.descriptor
            .read_all(|timer| timer.wait().map_err(Into::into))
            .await
            .doing(|| "waiting for a timer")?;
        self.armed = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn on_a_reactor<F: Future>(test: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(test)
    }

    #[test]
    fn the_alarm_rings_at_its_moment_and_not_before() {
        on_a_reactor(async {
            let mut timer = Timer::new().unwrap();
            let deadline = now() + Duration::from_millis(20);
            timer.set(Some(deadline)).unwrap();
            timer.ring().await.unwrap();
            assert!(now() >= deadline);
        });
    }

    #[test]
    fn a_deadline_that_is_put_off_rings_too_early_and_then_at_its_moment() {
        on_a_reactor(async {
            let mut timer = Timer::new().unwrap();
            let (early, late) = (now() + Duration::from_millis(10), now() + Duration::from_millis(30));
            timer.set_by(Some(early)).unwrap();
            timer.set_by(Some(late)).unwrap();
            timer.ring().await.unwrap();
            assert!(now() >= early);
            timer.set_by(Some(late)).unwrap();
            timer.ring().await.unwrap();
            assert!(now() >= late);
            // And one that comes nearer is not waited over.
            timer.set_by(Some(now() + Duration::from_secs(60))).unwrap();
            timer.set_by(Some(now() + Duration::from_millis(5))).unwrap();
            timer.ring().await.unwrap();
        });
    }

    #[test]
    fn a_moment_that_has_passed_rings_at_once_and_a_moved_alarm_rings_once() {
        on_a_reactor(async {
            let mut timer = Timer::new().unwrap();
            timer.set(Some(Time::ZERO)).unwrap();
            timer.ring().await.unwrap();
            let later = now() + Duration::from_millis(10);
            timer.set(Some(Time::ZERO)).unwrap();
            timer.set(Some(later)).unwrap();
            timer.ring().await.unwrap();
            assert!(now() >= later);
        });
    }
}
