//! Time in the lab: wall-clock nanoseconds (what the kernel stamps on packets), and waiting with a deadline.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Why a case failed, in words; helpers return it and cases pass it on with `?`.
pub(crate) type Failure = String;
/// What a case or a helper returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// A moment: nanoseconds since the epoch, as the kernel stamps packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(pub(crate) i128);

impl Stamp {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i128::try_from(since.as_nanos()).unwrap_or(i128::MAX))
    }

    /// Seconds from `earlier` to here; negative when it is the other way round.
    #[expect(clippy::cast_precision_loss, reason = "differences of some seconds")]
    pub(crate) fn since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0) as f64 / 1e9
    }
}

/// Asks `condition` until it gives something, at most `limit`; on a machine where others work as well, a multiple of it. What
/// must be in time is measured by stamps, not by this limit.
pub(crate) fn until<T>(
    limit: Duration,
    what: impl Display,
    mut condition: impl FnMut() -> Option<T>,
) -> Outcome<T> {
    let limit = limit * if super::place::in_guest() { 3 } else { 2 };
    let end = Instant::now() + limit;
    loop {
        let begin = Instant::now();
        if let Some(found) = condition() {
            return Ok(found);
        }
        if Instant::now() >= end {
            return Err(format!("waited {:.1} s in vain: {what}", limit.as_secs_f64()));
        }
        std::thread::sleep(pause(begin.elapsed()));
    }
}

/// Between two looks: whoever waits uses a small part of the processor only, although a look may run a program.
fn pause(look: Duration) -> Duration {
    let least = Duration::from_millis(if super::place::in_guest() { 40 } else { 5 });
    (look * 4).clamp(least, Duration::from_millis(400))
}

/// One after the other, when the processors have room: what just began is under way before the next one begins. A case that
/// begins beside too many others spends its deadlines on waiting for the processor.
#[derive(Default)]
pub(crate) struct Door(Mutex<()>);

impl Door {
    /// How long what came in last may show what it needs, and how long the processors are watched.
    const LOOK: Duration = Duration::from_millis(250);
    /// For so long at most; then in it goes.
    const PATIENCE: Duration = Duration::from_secs(20);
    /// The part of the processors' time that is to be idle, in percent.
    const ROOM: u64 = 20;

    /// Waits for its turn and for room; `is_empty` says that nobody is inside.
    pub(crate) fn pass(&self, is_empty: impl Fn() -> bool) {
        let _turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = Instant::now() + Self::PATIENCE;
        while !is_empty() && Instant::now() < end {
            let before = processors();
            std::thread::sleep(Self::LOOK);
            let now = processors();
            let share = now.1.saturating_sub(before.1) * 100 / now.0.saturating_sub(before.0).max(1);
            if share >= Self::ROOM {
                return;
            }
        }
    }
}

/// Of all processors: their time and how much of it they were idle, in ticks.
fn processors() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    (ticks.iter().take(8).sum(), ticks.iter().skip(3).take(2).sum())
}

/// Holds `condition` for the whole of `span`; fails at the first moment it does not hold.
pub(crate) fn throughout(span: Duration, what: impl Display, mut condition: impl FnMut() -> bool) -> Outcome {
    let start = Instant::now();
    while start.elapsed() < span {
        let begin = Instant::now();
        if !condition() {
            return Err(format!("no longer true after {:.2} s: {what}", start.elapsed().as_secs_f64()));
        }
        std::thread::sleep(pause(begin.elapsed()) * 2);
    }
    Ok(())
}

/// Seconds as a duration.
pub(crate) fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Fails the case unless the condition holds; the rest says what was found, as in `format!`.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        let holds: bool = $condition;
        if !holds {
            return Err(format!($($words)+));
        }
    };
}
pub(crate) use ensure;

/// The value lies within `slack` (seconds) of `wanted`.
pub(crate) fn near(what: &str, value: f64, wanted: f64, slack: f64) -> Outcome {
    ensure!((value - wanted).abs() <= slack, "{what}: {value:.3} s, wanted {wanted:.3} s ± {slack:.3}");
    Ok(())
}
