//! Adverts captured from stock (spec/vrrp-behaviour.md §1.2): tests compare ours with them, byte by byte.

use std::net::{IpAddr, Ipv4Addr};

use super::packet::Checksum;
use crate::config::model::{Auth, VrrpVersion};

/// One captured advert: priority 150, interval 1 s.
pub(crate) struct Vector {
    pub(crate) version: VrrpVersion,
    pub(crate) vrid: u8,
    pub(crate) auth: Auth,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) checksum: Checksum,
    /// The PDU in hex.
    pub(crate) pdu: &'static str,
    /// The first eight bytes of the same with priority 0.
    pub(crate) priority_zero: &'static str,
}

/// The rows of the table over IPv4, without what AH and HMAC add.
pub(crate) fn pdus() -> Vec<Vector> {
    let source = Ipv4Addr::new(10, 0, 0, 1);
    let group = Checksum::Pseudo { source, destination: Ipv4Addr::new(224, 0, 0, 18) };
    let peer = Checksum::Pseudo { source, destination: Ipv4Addr::new(10, 0, 0, 2) };
    let row = |version, vrid, auth, last: &[u8], checksum, pdu, priority_zero| Vector {
        version,
        vrid,
        auth,
        addresses: last.iter().map(|last| IpAddr::from([192, 0, 2, *last])).collect(),
        checksum,
        pdu,
        priority_zero,
    };
    let (v2, v3, plain) = (VrrpVersion::V2, VrrpVersion::V3, Checksum::Plain);
    let pass = Auth::Pass(*b"abcd\0\0\0\0");
    let two = "210b96020001c4d8c000020bc000020c0000000000000000";
    vec![
        row(v2, 11, Auth::None, &[11, 12], plain, two, "210b000200015ad9"),
        row(v2, 12, pass, &[13], plain, "210c96010101c11cc000020d6162636400000000", "210c00010101571d"),
        row(v3, 13, Auth::None, &[14], group, "310d960100648beec000020e", "310d0001006421ef"),
        row(v3, 14, Auth::None, &[15], plain, "310e96010064767cc000020f", "310e000100640c7d"),
        row(
            v2,
            16,
            Auth::Ah(*b"ahsecret"),
            &[16],
            plain,
            "21109601020184dcc00002100000000000000000",
            "2110000102011add",
        ),
        row(v3, 17, Auth::None, &[17], peer, "31119601006461f8c0000211", "311100010064f7f8"),
        row(v3, 19, Auth::None, &[19], group, "3113960100648be3c0000213", "31130001006421e4"),
    ]
}

/// Hex digits of bytes.
pub(crate) fn text(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes from hex digits.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
}
