//! Wall-clock time in the local time zone, as the C library tells it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment on the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallTime {
    /// Since 1970, UTC.
    pub epoch: Duration,
    weekday: usize,
    month: usize,
    day: i32,
    hour: i32,
    minute: i32,
    second: i32,
    year: i64,
    /// Local time minus UTC, in seconds.
    pub utc_offset: i32,
}

impl WallTime {
    /// Now.
    pub fn now() -> Self {
        Self::at(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// That long after 1970, UTC.
    pub fn at(epoch: Duration) -> Self {
        let seconds = libc::time_t::try_from(epoch.as_secs()).unwrap_or(libc::time_t::MAX);
        // SAFETY: `tm` is plain data for which all bits zero is a value.
        let mut fields: libc::tm = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are valid for the call; the function fills `fields` or leaves it alone.
        unsafe { libc::localtime_r(&raw const seconds, &raw mut fields) };
        Self {
            epoch,
            weekday: usize::try_from(fields.tm_wday).unwrap_or(0) % 7,
            month: usize::try_from(fields.tm_mon).unwrap_or(0) % 12,
            day: fields.tm_mday,
            hour: fields.tm_hour,
            minute: fields.tm_min,
            second: fields.tm_sec,
            year: i64::from(fields.tm_year) + 1900,
            utc_offset: i32::try_from(fields.tm_gmtoff).unwrap_or(0),
        }
    }

    /// `Sat Nov 21 06:00:00 2026`: strftime's `%c` in the C locale.
    pub fn text(&self) -> String {
        format!("{} {}", self.clock(), self.year)
    }

    /// `Sat Nov 21 07:33:03.039061 2026`: the long form of the dumps, fraction behind the seconds.
    pub fn text_with_micros(&self) -> String {
        format!("{}.{:06} {}", self.clock(), self.epoch.subsec_micros(), self.year)
    }

    fn clock(&self) -> String {
        format!(
            "{} {} {:2} {:02}:{:02}:{:02}",
            DAYS[self.weekday], MONTHS[self.month], self.day, self.hour, self.minute, self.second
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_the_c_locale_does() {
        // A Thursday everywhere but west of UTC, where it is still Wednesday: only the form is the same on every host.
        let text = WallTime::at(Duration::new(1_000_000, 39_061_000)).text_with_micros();
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words.len(), 5, "{text}");
        assert!(DAYS.contains(&words[0]) && MONTHS.contains(&words[1]));
        assert!(words[3].ends_with(".039061"), "{text}");
        assert_eq!(words[4], "1970");
        assert_eq!(text.len(), "Sat Nov 21 07:33:03.039061 2026".len());
    }
}
