//! The kernel's IPVS statistics: messages to our type. No socket here.

use super::ipvs_message::{DEST, SERVICE, decode_destination, decode_service, nested, u32_of, value};
use super::netlink::attributes;
use crate::config::model::Family;
use crate::lvs::snapshot::Statistics;
use crate::lvs::table::{DestinationKey, ServiceKey};

// Numbers of `linux/ip_vs.h`; the same of services and destinations.
const STATS: u16 = 10;
const STATS64: u16 = 12;
const ACTIVE_CONNS: u16 = 7;
const INACT_CONNS: u16 = 8;
const PERSIST_CONNS: u16 = 9;

/// What a reply about a service says of its statistics; `None` if it is not about one.
pub(super) fn decode_service_statistics(body: &[u8]) -> Option<(ServiceKey, Statistics)> {
    let (key, _) = decode_service(body)?;
    Some((key, statistics(nested(body, SERVICE)?)))
}

/// The same of a destination of a service of this family.
pub(super) fn decode_destination_statistics(
    service_family: Family,
    body: &[u8],
) -> Option<(DestinationKey, Statistics)> {
    let (key, _) = decode_destination(service_family, body)?;
    let inside = nested(body, DEST)?;
    let count = |kind| u32_of(inside, kind).unwrap_or(0);
    let counts = Statistics {
        active: count(ACTIVE_CONNS),
        inactive: count(INACT_CONNS),
        persistent: count(PERSIST_CONNS),
        ..statistics(inside)
    };
    Some((key, counts))
}

/// The wide ones; kernels before 4.1 have only the narrow ones.
fn statistics(inside: &[u8]) -> Statistics {
    let Some(nest) = value(inside, STATS64).or_else(|| value(inside, STATS)) else {
        return Statistics::default();
    };
    let mut found = Statistics::default();
    for (kind, value) in attributes(nest) {
        let field = match kind {
            1 => &mut found.connections,
            2 => &mut found.packets_in,
            3 => &mut found.packets_out,
            4 => &mut found.bytes_in,
            5 => &mut found.bytes_out,
            6 => &mut found.connection_rate,
            7 => &mut found.packet_rate_in,
            8 => &mut found.packet_rate_out,
            9 => &mut found.byte_rate_in,
            10 => &mut found.byte_rate_out,
            _ => continue,
        };
        *field = match (value.first_chunk::<8>(), value.first_chunk::<4>()) {
            (Some(wide), _) => u64::from_ne_bytes(*wide),
            (None, Some(narrow)) => u64::from(u32::from_ne_bytes(*narrow)),
            (None, None) => continue,
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).unwrap();
        let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn wide_statistics_win_and_narrow_ones_are_widened() {
        let narrow = attribute(
            STATS,
            &[attribute(1, &7_u32.to_ne_bytes()), attribute(4, &9_u64.to_ne_bytes())].concat(),
        );
        let found = statistics(&narrow);
        assert_eq!((found.connections, found.bytes_in), (7, 9));
        let wide = attribute(STATS64, &attribute(1, &(1_u64 << 40).to_ne_bytes()));
        assert_eq!(statistics(&[narrow, wide].concat()).connections, 1 << 40);
        assert_eq!(statistics(&[1, 2, 3]), Statistics::default());
    }
}
