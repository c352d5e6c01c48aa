//! `auth_type AH`: the `IPsec` authentication header between the IPv4 header and a version 2 advert.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! | next 112      | length 4      | reserved 0                    |
//! +---------------+---------------+-------------------------------+
//! | SPI: the IPv4 source address                                  |
//! | sequence number                                               |
//! | integrity check value, 12 bytes: HMAC-MD5-96                  |
//! +---------------------------------------------------------------+
//! ```
//! RFC 2402, RFC 2403; spec/vrrp-behaviour.md §1.3.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use serde::{Deserialize, Serialize};

use super::checksum::PROTOCOL as VRRP;
use super::ip;

/// IP protocol number of AH.
pub const PROTOCOL: u8 = 51;
/// Bytes of the header with a 96-bit check value.
pub const HEADER: usize = 24;
/// Bytes of the header before the check value.
const FIXED: usize = 12;
/// The length field: 32-bit words of the header, minus two.
const LENGTH: u8 = 4;
/// Stock: the sequence number stops here.
const LAST: u32 = 0xFFFF_FFFD;

/// The sequence number of an instance: the last one sent or accepted. Both share it, so that a takeover goes on where
/// the last master stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Sequence(u32);

impl Sequence {
    /// The next one to send.
    pub(super) fn advance(&mut self) -> u32 {
        self.0 = self.0.saturating_add(1).min(LAST);
        self.0
    }

    /// The last one sent or accepted.
    pub(super) fn last(self) -> u32 {
        self.0
    }

    /// Is a received one new?
    pub(super) fn admits(self, received: u32) -> bool {
        received > self.0
    }

    /// Stock: an answer to a lower priority skips one.
    pub(super) fn skip(&mut self, received: u32) {
        self.0 = received.saturating_add(1).min(LAST);
    }

    /// Goes on from an accepted one.
    pub(super) fn follow(&mut self, received: u32) {
        self.0 = self.0.max(received);
    }

    /// Stock: one that has stopped starts anew with a new reign.
    pub(super) fn begin_reign(&mut self) {
        if self.0 >= LAST {
            self.0 = 0;
        }
    }
}

/// A received header, looked at in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header<'a>(&'a [u8; HEADER]);

impl<'a> Header<'a> {
    /// `None` if the bytes do not begin with a whole header that carries VRRP.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        (header[0] == VRRP && header[1] == LENGTH).then_some(Self(header))
    }

    pub(super) fn spi(self) -> [u8; 4] {
        [self.0[4], self.0[5], self.0[6], self.0[7]]
    }

    pub(super) fn sequence(self) -> u32 {
        u32::from_be_bytes([self.0[8], self.0[9], self.0[10], self.0[11]])
    }

    fn check_value(self) -> &'a [u8] {
        &self.0[FIXED..]
    }
}

/// Fills in the header of a packet that is otherwise complete: IPv4 header, room for this one, PDU.
pub fn seal(packet: &mut [u8], sequence: u32, key: [u8; 8]) {
    let Some((header, rest)) = packet.split_first_chunk_mut::<{ ip::HEADER }>() else { return };
    let Some((ah, pdu)) = rest.split_first_chunk_mut::<HEADER>() else { return };
    *ah = [0; HEADER];
    (ah[0], ah[1]) = (VRRP, LENGTH);
    ah[4..8].copy_from_slice(&header[12..16]);
    ah[8..12].copy_from_slice(&sequence.to_be_bytes());
    let value = authenticate(key, header, ah, pdu).finalize().into_bytes();
    ah[FIXED..].copy_from_slice(&value[..HEADER - FIXED]);
}

/// Is the check value of a received packet right? `header` is its IPv4 header.
pub(super) fn is_right(header: &[u8], ah: Header<'_>, pdu: &[u8], key: [u8; 8]) -> bool {
    authenticate(key, header, ah.0, pdu).verify_truncated_left(ah.check_value()).is_ok()
}

/// What is authenticated: everything that routers do not change, and that with the check value zero.
fn authenticate(key: [u8; 8], header: &[u8], ah: &[u8; HEADER], pdu: &[u8]) -> Hmac<Md5> {
    let mut mac = Hmac::<Md5>::new_from_slice(&key).expect("HMAC takes a key of any length");
    let mut fixed = [0; ip::HEADER];
    let taken = header.len().min(fixed.len());
    fixed[..taken].copy_from_slice(&header[..taken]);
    // TOS, flags and offset, checksum. Stock: TTL only for unicast.
    fixed[1] = 0;
    fixed[6..8].fill(0);
    if fixed[16] >> 4 != 0xe {
        fixed[8] = 0;
    }
    fixed[10..12].fill(0);
    mac.update(&fixed);
    mac.update(header.get(fixed.len()..).unwrap_or_default());
    mac.update(&ah[..FIXED]);
    mac.update(&[0; HEADER - FIXED]);
    mac.update(pdu);
    mac
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::vrrp::vectors::{hex, text};

    const KEY: [u8; 8] = *b"ahsecret";

    /// The packet of the table, with the check value left out there computed by other means.
    fn sealed() -> Vec<u8> {
        let pdu = hex("21109601020184dcc00002100000000000000000");
        let ends = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(224, 0, 0, 18));
        let mut packet = ip::header(PROTOCOL, HEADER + pdu.len(), 1, 255, ends).to_vec();
        packet.extend([0; HEADER]);
        packet.extend(pdu);
        seal(&mut packet, 1, KEY);
        packet
    }

    fn right(packet: &[u8], key: [u8; 8]) -> bool {
        let ah = Header::decode(&packet[20..]).unwrap();
        is_right(&packet[..20], ah, &packet[44..], key)
    }

    #[test]
    fn a_sealed_packet_is_stocks_to_the_byte() {
        let packet = sealed();
        assert_eq!(text(&packet[..20]), "45c0004000010000ff33d0b60a000001e0000012");
        assert_eq!(text(&packet[20..32]), "700400000a00000100000001");
        assert_eq!(text(&packet[44..]), "21109601020184dcc00002100000000000000000");
        assert!(right(&packet, KEY));
        assert!(!right(&packet, *b"ahsecre\0"));
    }

    #[test]
    fn the_check_value_is_hmac_md5_cut_to_96_bits() {
        // RFC 2202 §2, test case 2.
        let mut mac = Hmac::<Md5>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        assert_eq!(text(&mac.finalize().into_bytes()), "750c783e6ab0b503eaa86e310a5db738");
        let mut zeroed = sealed();
        zeroed[1] = 0;
        zeroed[10..12].fill(0);
        let value = zeroed[32..44].to_vec();
        zeroed[32..44].fill(0);
        let mut mac = Hmac::<Md5>::new_from_slice(&KEY).unwrap();
        mac.update(&zeroed);
        assert_eq!(mac.finalize().into_bytes()[..12], value);
    }

    #[test]
    fn a_packet_captured_from_stock_is_right() {
        // Stock 2.2.7, `auth_pass secret`.
        let captured =
            hex("45c0004000010000ff33d0b60a000001e0000012700400000a000001000000018dd7cd99142a3176f43c8e5f\
             2133960102013c660a0000640000000000000000");
        assert!(right(&captured, *b"secret\0\0"));
        let mut own = captured.clone();
        own[32..44].fill(0);
        seal(&mut own, 1, *b"secret\0\0");
        assert_eq!(own, captured);
    }

    #[test]
    fn a_router_may_change_tos_and_checksum_and_for_unicast_the_ttl_but_nothing_else() {
        for byte in 0..sealed().len() {
            let mut packet = sealed();
            packet[byte] ^= 1;
            let mutable = matches!(byte, 1 | 6 | 7 | 10 | 11);
            // Another next header or length is no AH header of ours at all.
            if byte != 20 && byte != 21 {
                assert_eq!(right(&packet, KEY), mutable, "byte {byte}");
            }
        }
        let mut unicast = sealed();
        unicast[16..20].copy_from_slice(&[10, 0, 0, 2]);
        seal(&mut unicast, 7, KEY);
        unicast[8] = 3;
        assert!(right(&unicast, KEY));
    }

    #[test]
    fn the_sequence_is_shared_stops_before_its_end_and_begins_anew_with_a_reign() {
        let mut sequence = Sequence::default();
        assert_eq!((sequence.advance(), sequence.advance()), (1, 2));
        sequence.follow(9);
        assert!(!sequence.admits(9) && sequence.admits(10));
        assert_eq!(sequence.advance(), 10);
        sequence.begin_reign();
        assert_eq!(sequence.advance(), 11);
        let mut sequence = Sequence(LAST - 1);
        assert_eq!((sequence.advance(), sequence.advance()), (LAST, LAST));
        sequence.begin_reign();
        assert_eq!(sequence.advance(), 1);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes: Vec<u8>, key: [u8; 8]) {
            if let Some(ah) = Header::decode(&bytes) {
                let _ = (ah.spi(), ah.sequence(), is_right(&bytes, ah, &bytes, key));
            }
            seal(&mut bytes, 1, key);
        }
    }
}
