//! From the monotonic clock of the cores to the two text forms of a moment that the dumps use.

use std::fmt;
use std::time::Duration;

use crate::time::Time;

/// The same moment on both clocks, taken by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// On `CLOCK_MONOTONIC`.
    pub now: Time,
    /// Since 1970 on `CLOCK_REALTIME`.
    pub epoch: Duration,
    /// Local time minus UTC, in seconds.
    pub utc_offset: i32,
}

impl Clock {
    /// A moment of the cores since 1970; before the first one, stock shows zero.
    pub fn epoch_of(&self, moment: Option<Time>) -> Moment {
        let since_1970 = moment.map_or(Duration::ZERO, |moment| {
            (self.epoch + moment.since(self.now)).saturating_sub(self.now.since(moment))
        });
        let offset = if moment.is_some() { self.utc_offset } else { 0 };
        Moment { since_1970, offset }
    }
}

/// A moment since 1970. Displays as seconds with six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    since_1970: Duration,
    offset: i32,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.since_1970.as_secs(), self.since_1970.subsec_micros())
    }
}

impl Moment {
    /// `Sat Nov 21 07:33:03.039061`: the same without the year.
    pub fn short(self) -> String {
        let mut text = self.long();
        text.truncate(text.rfind(' ').unwrap_or(text.len()));
        text
    }

    /// `Sat Nov 21 07:33:03 2026.039061`, in local time.
    pub fn odd(self) -> String {
        let text = self.long();
        let whole = text.replace(&format!(".{:06}", self.since_1970.subsec_micros()), "");
        format!("{whole}.{:06}", self.since_1970.subsec_micros())
    }

    /// `Sat Nov 21 07:33:03.039061 2026`, in local time.
    pub fn long(self) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let seconds = self.since_1970.as_secs().saturating_add_signed(self.offset.into());
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = date(days);
        let weekday = usize::try_from(days % 7).map_or("", |day| DAYS[day]);
        let month = MONTHS[usize::from(month)];
        format!(
            "{weekday} {month} {day:2} {:02}:{:02}:{:02}.{:06} {year}",
            second / 3600,
            second / 60 % 60,
            second % 60,
            self.since_1970.subsec_micros()
        )
    }
}

/// Year, month (0..=11) and day (1..=31) of a day since 1970, in the proleptic Gregorian calendar.
fn date(mut days: u64) -> (u64, u8, u64) {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // 400 years have 146,097 days: whatever the clock says, the loop is short.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    loop {
        let length = 365 + u64::from(is_leap(year));
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    for (month, length) in (0..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30]) {
        if days < length {
            return (year, month, days + 1);
        }
        days -= length;
    }
    (year, 11, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(epoch: f64) -> Clock {
        let now = Time::ZERO + Duration::from_secs(1000);
        Clock { now, epoch: Duration::from_secs_f64(epoch), utc_offset: 0 }
    }

    #[test]
    fn moments_are_shown_as_stock_shows_them() {
        let clock = clock(1_795_242_531.25);
        let moment = clock.epoch_of(Some(clock.now - Duration::from_millis(250)));
        assert_eq!(moment.to_string(), "1795242531.000000");
        assert_eq!(moment.long(), "Sat Nov 21 06:28:51.000000 2026");
        assert_eq!(moment.short(), "Sat Nov 21 06:28:51.000000");
        assert_eq!(moment.odd(), "Sat Nov 21 06:28:51 2026.000000");
        let ahead = clock.epoch_of(Some(clock.now + Duration::from_secs(1)));
        assert_eq!(ahead.to_string(), "1795242532.250000");
        assert_eq!(clock.epoch_of(None).to_string(), "0.000000");
        assert_eq!(clock.epoch_of(None).long(), "Thu Jan  1 00:00:00.000000 1970");
    }

    #[test]
    fn leap_days_and_local_time_are_known() {
        let leap = Clock { utc_offset: -7200, ..clock(951_782_400.0 + 3600.0) };
        assert_eq!(leap.epoch_of(Some(leap.now)).long(), "Mon Feb 28 23:00:00.000000 2000");
        assert_eq!(date(11_016), (2000, 1, 29));
        assert_eq!(date(47_540), (2100, 1, 28));
        assert_eq!(date(47_541), (2100, 2, 1));
    }
}
