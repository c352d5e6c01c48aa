//! Packets that belong to no session or are broken: told with `-D`, but a flood of them not one by one, because anybody
//! can send them.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use crate::time::Time;

/// Over this time …
const PERIOD: Duration = Duration::from_secs(1);
/// … so many are told.
const MOST: u32 = 10;

/// What was told lately.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rejects {
    since: Option<Time>,
    told: u32,
    /// Rejected since without a word.
    silent: u64,
}

impl Rejects {
    /// The line about one more, if it may be told.
    pub(super) fn line(&mut self, now: Time, source: IpAddr, why: impl Display) -> Option<String> {
        if self.since.is_none_or(|since| now.since(since) >= PERIOD) {
            (self.since, self.told) = (Some(now), 0);
        }
        if self.told == MOST {
            self.silent += 1;
            return None;
        }
        self.told += 1;
        let more = match std::mem::take(&mut self.silent) {
            0 => String::new(),
            more => format!(" (and {more} like it before)"),
        };
        Some(format!("BFD packet from {source}: {why}{more}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_ten_times_a_second_and_counted() {
        let mut rejects = Rejects::default();
        let source = IpAddr::from([10, 0, 0, 9]);
        let mut lines = Vec::new();
        for millis in 0..3000 {
            let now = Time::ZERO + Duration::from_millis(millis);
            lines.extend(rejects.line(now, source, "too short"));
        }
        assert_eq!(lines.len(), 30);
        assert_eq!(lines[0], "BFD packet from 10.0.0.9: too short");
        assert_eq!(lines[10], "BFD packet from 10.0.0.9: too short (and 990 like it before)");
    }
}
