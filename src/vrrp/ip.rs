//! The IPv4 header that the daemon writes itself in front of an advert, and reads from a raw socket.
//!
//! Stock: TOS 0xc0, no DF, an identification counter of its own (spec/vrrp-behaviour.md §1.1).

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::ah;
use super::checksum::{PROTOCOL, Sum};

/// Bytes of a header without options.
pub const HEADER: usize = 20;
/// Internetwork control, as routing protocols use it (RFC 2474 §4.2.2.2).
const TOS: u8 = 0xc0;

/// The identification counter of one instance: 1, 2, … 65535, 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IdCounter(u16);

impl IdCounter {
    /// The next identification, never 0 (the kernel would replace it).
    pub fn advance(&mut self) -> u16 {
        self.0 = self.0.checked_add(1).unwrap_or(1);
        self.0
    }
}

/// The fields of a received header that the checks look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the header, options included.
    pub length: usize,
    /// Total length as the sender wrote it.
    pub total_length: usize,
    /// What follows: VRRP, or AH (which may carry VRRP).
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
}

impl Header {
    /// `None` if the bytes do not begin with a whole IPv4 header that carries VRRP or AH.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; HEADER] = packet.first_chunk()?;
        let length = usize::from(fixed[0] & 0x0f) * 4;
        let protocol = fixed[9];
        let is_whole = fixed[0] >> 4 == 4 && length >= HEADER && packet.len() >= length;
        if !is_whole || !matches!(protocol, PROTOCOL | ah::PROTOCOL) {
            return None;
        }
        Some(Self {
            length,
            total_length: usize::from(u16::from_be_bytes([fixed[2], fixed[3]])),
            protocol,
            ttl: fixed[8],
            source: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]),
            destination: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
        })
    }
}

/// The header before `payload` bytes of this protocol, from and to these addresses, checksum included.
pub fn header(
    protocol: u8,
    payload: usize,
    id: u16,
    ttl: u8,
    (source, destination): (Ipv4Addr, Ipv4Addr),
) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = 0x45;
    header[1] = TOS;
    let total = u16::try_from(HEADER + payload).unwrap_or(u16::MAX);
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[4..6].copy_from_slice(&id.to_be_bytes());
    header[8] = ttl;
    header[9] = protocol;
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    let sum = Sum::default().add(&header).finish();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::vectors::hex;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

    #[test]
    fn headers_are_stocks_to_the_byte() {
        let (group, peer) = ((SOURCE, GROUP), (SOURCE, Ipv4Addr::new(10, 0, 0, 2)));
        for (protocol, payload, ttl, ends, expected) in [
            (PROTOCOL, 24, 255, group, "45c0002c00010000ff70d08d0a000001e0000012"),
            (PROTOCOL, 20, 255, group, "45c0002800010000ff70d0910a000001e0000012"),
            (PROTOCOL, 12, 255, group, "45c0002000010000ff70d0990a000001e0000012"),
            (PROTOCOL, 12, 77, peer, "45c00020000100004d7058ab0a0000010a000002"),
            (ah::PROTOCOL, 44, 255, group, "45c0004000010000ff33d0b60a000001e0000012"),
        ] {
            assert_eq!(header(protocol, payload, 1, ttl, ends)[..], hex(expected), "{expected}");
        }
    }

    #[test]
    fn a_header_reads_as_it_was_written() {
        let mut packet = header(PROTOCOL, 12, 7, 254, (SOURCE, GROUP)).to_vec();
        packet.extend([0; 12]);
        let read = Header::decode(&packet).unwrap();
        assert_eq!((read.length, read.total_length, read.ttl), (20, 32, 254));
        assert_eq!((read.source, read.destination), (SOURCE, GROUP));
    }

    #[test]
    fn what_is_not_a_whole_vrrp_header_is_none() {
        let packet = header(PROTOCOL, 0, 1, 255, (SOURCE, GROUP));
        assert_eq!(Header::decode(&packet[..19]), None);
        for (byte, value) in [(0, 0x65), (0, 0x44), (0, 0x46), (9, 17)] {
            let mut wrong = packet;
            wrong[byte] = value;
            assert_eq!(Header::decode(&wrong), None, "byte {byte} = {value:#x}");
        }
    }

    #[test]
    fn the_identification_starts_at_one_and_skips_zero() {
        let mut ids = IdCounter::default();
        assert_eq!((ids.advance(), ids.advance()), (1, 2));
        let mut ids = IdCounter(u16::MAX - 1);
        assert_eq!((ids.advance(), ids.advance()), (u16::MAX, 1));
    }
}
