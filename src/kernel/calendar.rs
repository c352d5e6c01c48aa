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

    /// `Sat, 21 Nov 2026 06:00:00 +0100`, as in mails (RFC 5322 §3.3).
    pub fn rfc5322(&self) -> String {
        let (sign, offset) =
            (if self.utc_offset < 0 { '-' } else { '+' }, self.utc_offset.unsigned_abs() / 60);
        format!(
            "{}, {:02} {} {} {:02}:{:02}:{:02} {sign}{:02}{:02}",
            DAYS[self.weekday],
            self.day,
            MONTHS[self.month],
            self.year,
            self.hour,
            self.minute,
            self.second,
            offset / 60,
            offset % 60
        )
    }

    /// `2026-11-21 06:00:00`.
    pub fn date_and_time(&self) -> String {
        let month = self.month + 1;
        let (year, day, hour, minute, second) = (self.year, self.day, self.hour, self.minute, self.second);
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }

    /// Whole seconds after 1970, UTC.
    pub fn seconds(&self) -> i64 {
        i64::try_from(self.epoch.as_secs()).unwrap_or(i64::MAX)
    }

    /// The same moment as a calendar and a clock show it.
    pub fn civil(&self, zone: Zone) -> Civil {
        let seconds = libc::time_t::try_from(self.epoch.as_secs()).unwrap_or(libc::time_t::MAX);
        // SAFETY: `tm` is plain data for which all bits zero is a value.
        let mut fields: libc::tm = unsafe { std::mem::zeroed() };
        match zone {
            // SAFETY: both pointers are valid for the call; the function fills `fields` or leaves it alone.
            Zone::Local => unsafe { libc::localtime_r(&raw const seconds, &raw mut fields) },
            // SAFETY: the same.
            Zone::Utc => unsafe { libc::gmtime_r(&raw const seconds, &raw mut fields) },
        };
        Civil {
            year: fields.tm_year + 1900,
            month: fields.tm_mon + 1,
            day: fields.tm_mday,
            hour: fields.tm_hour,
            minute: fields.tm_min,
            second: fields.tm_sec,
        }
    }

    fn clock(&self) -> String {
        format!(
            "{} {} {:2} {:02}:{:02}:{:02}",
            DAYS[self.weekday], MONTHS[self.month], self.day, self.hour, self.minute, self.second
        )
    }
}

/// Whose clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// This host's.
    Local,
    /// Universal time.
    Utc,
}

/// What calendar and clock show; it need not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// As 2026.
    pub year: i32,
    /// From 1.
    pub month: i32,
    /// From 1.
    pub day: i32,
    /// 0..=23.
    pub hour: i32,
    /// 0..=59.
    pub minute: i32,
    /// 0..=59.
    pub second: i32,
}

impl Civil {
    /// Seconds after 1970, UTC; `None` when there is no such moment.
    pub fn epoch(self, zone: Zone) -> Option<i64> {
        let (epoch, there) = self.normal(zone)?;
        // A clock that is put forward leaves an hour out: the hour may differ, the day may not.
        let same = (there.tm_mday, there.tm_mon, there.tm_min, there.tm_sec)
            == (self.day, self.month - 1, self.minute, self.second);
        (same && (0..=23).contains(&self.hour)).then_some(epoch)
    }

    /// The same time on the next day.
    pub fn tomorrow(self, zone: Zone) -> Option<i64> {
        self.epoch(zone)?;
        Self { day: self.day + 1, ..self }.normal(zone).map(|(epoch, _)| epoch)
    }

    fn normal(self, zone: Zone) -> Option<(i64, libc::tm)> {
        // SAFETY: `tm` is plain data for which all bits zero is a value.
        let mut fields: libc::tm = unsafe { std::mem::zeroed() };
        fields.tm_year = self.year.checked_sub(1900)?;
        fields.tm_mon = self.month.checked_sub(1)?;
        fields.tm_mday = self.day;
        fields.tm_hour = self.hour;
        fields.tm_min = self.minute;
        fields.tm_sec = self.second;
        // The library finds out whether summer time holds.
        fields.tm_isdst = -1;
        let epoch = match zone {
            // SAFETY: the pointer is valid for the call, which reads and normalises the fields.
            Zone::Local => unsafe { libc::mktime(&raw mut fields) },
            // SAFETY: the same.
            Zone::Utc => unsafe { libc::timegm(&raw mut fields) },
        };
        (epoch >= 0).then_some((epoch, fields))
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

    #[test]
    fn a_civil_time_is_a_moment_and_back() {
        let civil = Civil { year: 2026, month: 11, day: 21, hour: 16, minute: 37, second: 15 };
        assert_eq!(civil.epoch(Zone::Utc), Some(1_795_279_035));
        assert_eq!(civil.tomorrow(Zone::Utc), Some(1_795_279_035 + 86_400));
        assert_eq!(WallTime::at(Duration::from_secs(1_795_279_035)).civil(Zone::Utc), civil);
        for zone in [Zone::Local, Zone::Utc] {
            let moment = WallTime::at(Duration::from_secs(1_795_279_035));
            assert_eq!(moment.civil(zone).epoch(zone), Some(1_795_279_035));
            assert_eq!(Civil { month: 2, day: 30, ..civil }.epoch(zone), None);
            assert_eq!(Civil { hour: 24, ..civil }.epoch(zone), None);
            assert_eq!(Civil { month: 13, ..civil }.epoch(zone), None);
        }
    }
}
