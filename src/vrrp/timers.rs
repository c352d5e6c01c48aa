//! The lengths of VRRP's timers. Pure arithmetic: nothing here knows what time it is.
//!
//! RFC 9568 §6.1, RFC 3768 §6.1; spec/vrrp-behaviour.md §3.

use std::time::Duration;

use crate::config::model::{Centis, VrrpVersion};

/// How much later than others a router of this priority takes over: `(256 - priority) / 256` of a second in
/// version 2, of the master's interval in version 3.
pub(super) fn skew(version: VrrpVersion, priority: u8, master_interval: Centis) -> Duration {
    let whole = match version {
        VrrpVersion::V2 => Duration::from_secs(1),
        VrrpVersion::V3 => master_interval.duration(),
    };
    whole * (256 - u32::from(priority)) / 256
}

/// How long the master may be silent: `adverts` of its intervals and the skew.
pub(super) fn master_down(
    version: VrrpVersion,
    priority: u8,
    master_interval: Centis,
    adverts: u8,
) -> Duration {
    master_interval.duration() * u32::from(adverts) + skew(version, priority, master_interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_skews_by_parts_of_a_second_whatever_the_interval() {
        assert_eq!(skew(VrrpVersion::V2, 100, Centis(500)), Duration::from_micros(609_375));
        assert_eq!(
            master_down(VrrpVersion::V2, 150, Centis(100), 3),
            Duration::from_nanos(3_000_000_000 + 106 * 3_906_250)
        );
    }

    #[test]
    fn version_3_skews_by_parts_of_the_masters_interval() {
        // The measured example: master 0.5 s, priority 100.
        assert_eq!(
            master_down(VrrpVersion::V3, 100, Centis(50), 3),
            Duration::from_millis(1500) + Duration::from_millis(500) * 156 / 256
        );
    }

    #[test]
    fn an_owner_waits_for_almost_nothing_beyond_the_intervals() {
        assert_eq!(master_down(VrrpVersion::V2, 255, Centis(100), 3), Duration::from_nanos(3_003_906_250));
    }
}
