//! `auth_hmac`: the 28 bytes after an advert that say who made it and when.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! | scheme 1      | key id        | reserved 0                    |
//! +---------------+---------------+-------------------------------+
//! | sequence: UTC seconds                                         |
//! | 1/65536 of a second           | counter                       |
//! +---------------------------------------------------------------+
//! | HMAC-SHA256, its first 16 bytes                               |
//! +---------------------------------------------------------------+
//! ```
//! spec/vrrp-behaviour.md §1.4. Whether a right one is fresh is decided by `Marks`.

use std::net::IpAddr;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::packet::Pdu;
use crate::config::model::{AntiReplay, Blank, HmacKey};

/// Bytes of a trailer.
pub const LENGTH: usize = 28;
/// Bytes before the HMAC.
const FIXED: usize = 12;
/// HMAC-SHA256 truncated to 128 bits.
const SCHEME: u8 = 1;
/// Senders remembered by a multicast instance.
const SENDERS: usize = 4;

/// A received trailer, looked at in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer<'a>(&'a [u8; LENGTH]);

impl<'a> Trailer<'a> {
    pub(super) fn new(bytes: &'a [u8; LENGTH]) -> Self {
        Self(bytes)
    }

    /// Of the one scheme there is, with nothing in the reserved field?
    pub(super) fn is_well_formed(self) -> bool {
        self.0[0] == SCHEME && self.0[2..4] == [0, 0]
    }

    pub(super) fn key(self) -> u8 {
        self.0[1]
    }

    pub(super) fn sequence(self) -> u64 {
        self.0[4..FIXED].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// Made with this key for this PDU from this source? Takes as long for a wrong one as for a right one.
    pub(super) fn is_right(self, key: &HmacKey, source: IpAddr, pdu: &[u8]) -> bool {
        let Some(fixed) = self.0.first_chunk() else { return false };
        authenticate(key, source, pdu, fixed).verify_truncated_left(&self.0[FIXED..]).is_ok()
    }
}

/// The trailer of a PDU, whose checksum does not matter.
pub fn sign(key: &HmacKey, source: IpAddr, pdu: &[u8], sequence: u64) -> [u8; LENGTH] {
    let mut trailer = [0; LENGTH];
    (trailer[0], trailer[1]) = (SCHEME, key.id);
    trailer[4..FIXED].copy_from_slice(&sequence.to_be_bytes());
    if let Some(fixed) = trailer.first_chunk() {
        let value = authenticate(key, source, pdu, fixed).finalize().into_bytes();
        trailer[FIXED..].copy_from_slice(&value[..LENGTH - FIXED]);
    }
    trailer
}

/// A pseudo header (family, version, VRID, source), the PDU without its checksum, and the trailer without the HMAC.
fn authenticate(key: &HmacKey, source: IpAddr, pdu: &[u8], fixed: &[u8; FIXED]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.value).expect("HMAC takes a key of any length");
    let mut pseudo = [0; 20];
    match source {
        IpAddr::V4(v4) => {
            pseudo[0] = 4;
            pseudo[4..8].copy_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            pseudo[0] = 6;
            pseudo[4..].copy_from_slice(&v6.octets());
        }
    }
    if let Some(pdu) = Pdu::new(pdu) {
        (pseudo[1], pseudo[2]) = (pdu.version(), pdu.vrid());
    }
    mac.update(&pseudo);
    mac.update(pdu.get(..6).unwrap_or_default());
    mac.update(&[0; 2]);
    mac.update(pdu.get(8..).unwrap_or_default());
    mac.update(fixed);
    mac.update(&[0; LENGTH - FIXED]);
    mac
}

/// The sequence that the wall clock (time since 1970) gives: what a sender with a right clock uses.
pub(super) fn of_clock(unix: Duration) -> u64 {
    let seconds = unix.as_secs() & u64::from(u32::MAX);
    let fraction = (u64::from(unix.subsec_nanos()) << 16) / 1_000_000_000;
    seconds << 32 | fraction << 16
}

/// How far `a` is ahead of `b`; negative if behind. Sequences go round, as serial numbers do (RFC 1982).
fn ahead(a: u64, b: u64) -> i64 {
    a.wrapping_sub(b).cast_signed()
}

/// The time between two sequences.
pub(super) fn distance(a: u64, b: u64) -> Duration {
    let distance = ahead(a, b).unsigned_abs();
    let nanos = ((distance >> 16 & 0xffff) * 1_000_000_000) >> 16;
    Duration::from_secs(distance >> 32) + Duration::from_nanos(nanos)
}

/// What an instance has sent and from whom it has accepted what.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Marks {
    /// The last one sent; 0 if none.
    sent: u64,
    /// The last one accepted of each sender; the one heard last stands last.
    heard: Vec<(IpAddr, u64)>,
    /// A clock that is wrong by more than half the window was told.
    skew_told: bool,
}

impl Blank for Marks {
    fn blank() -> &'static Self {
        static BLANK: Marks = Marks { sent: 0, heard: Vec::new(), skew_told: false };
        &BLANK
    }
}

impl Marks {
    /// The next one to send: the clock's, or one more than the last if that is later.
    pub(super) fn advance(&mut self, rule: AntiReplay, clock: u64) -> u64 {
        let next = self.sent.wrapping_add(1);
        let is_ahead = self.sent != 0 && ahead(next, clock) > 0;
        self.sent = match rule {
            // The clock was set back: nobody would believe the old time.
            AntiReplay::Time { window } if is_ahead && distance(self.sent, clock) > window => clock,
            _ if is_ahead => next,
            _ => clock,
        };
        self.sent
    }

    /// Is a sequence within the window?
    pub(super) fn is_timely(rule: AntiReplay, sequence: u64, clock: u64) -> bool {
        match rule {
            AntiReplay::Time { window } => distance(sequence, clock) <= window,
            AntiReplay::Monotonic => true,
        }
    }

    /// Later than what this sender sent before? In time mode what is outside of the window is forgotten.
    pub(super) fn is_new(&self, rule: AntiReplay, source: IpAddr, sequence: u64, clock: u64) -> bool {
        let mark = self.heard.iter().find(|(sender, _)| *sender == source).map(|(_, mark)| *mark);
        mark.filter(|mark| Self::is_timely(rule, *mark, clock)).is_none_or(|mark| ahead(sequence, mark) > 0)
    }

    /// Remembers what was accepted. `peers` is how many senders there can be, if that is known.
    pub(super) fn accept(&mut self, source: IpAddr, sequence: u64, peers: Option<usize>) {
        self.heard.retain(|(sender, _)| *sender != source);
        if self.heard.len() >= peers.unwrap_or(SENDERS) && !self.heard.is_empty() {
            self.heard.remove(0);
        }
        self.heard.push((source, sequence));
    }

    /// By how much the sender's clock is wrong, if that is worth saying, once.
    pub(super) fn skew(&mut self, rule: AntiReplay, sequence: u64, clock: u64) -> Option<Duration> {
        let AntiReplay::Time { window } = rule else { return None };
        let skew = distance(sequence, clock);
        let is_worth_it = skew > window / 2 && !self.skew_told;
        self.skew_told |= is_worth_it;
        is_worth_it.then_some(skew)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vrrp::vectors::{hex, text};

    const WINDOW: AntiReplay = AntiReplay::Time { window: Duration::from_secs(5) };

    fn key() -> HmacKey {
        HmacKey { id: 9, value: b"0123456789abcdef0123456789abcdef".to_vec() }
    }

    fn source() -> IpAddr {
        IpAddr::from([10, 0, 0, 1])
    }

    /// A moment in 1/65536 s, as a sequence.
    fn at(seconds: u64) -> u64 {
        of_clock(Duration::from_secs(1_795_246_000 + seconds))
    }

    #[test]
    fn a_trailer_has_stocks_layout() {
        let pdu = hex("3113960100648be3c0000213");
        let unix = Duration::new(0x6b01_49c9, 0x2900 * 15_259);
        let trailer = sign(&key(), source(), &pdu, of_clock(unix));
        assert_eq!(text(&trailer[..12]), "010900006b0149c929000000");
        let read = Trailer::new(&trailer);
        assert!(read.is_well_formed() && read.is_right(&key(), source(), &pdu));
        assert_eq!((read.key(), read.sequence()), (9, 0x6b01_49c9_2900_0000));
    }

    #[test]
    fn the_hmac_is_over_pseudo_header_pdu_without_checksum_and_trailer_without_hmac() {
        // RFC 4231 §4.3, test case 2.
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        let whole = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(text(&mac.finalize().into_bytes()), whole);
        let pdu = hex("3113960100648be3c0000213");
        let trailer = sign(&key(), source(), &pdu, 0x6b01_49c9_2900_0000);
        let input = "04031300 0a000001 00000000 00000000 00000000 3113960100640000c0000213 \
                     010900006b0149c929000000 00000000000000000000000000000000";
        let mut mac = Hmac::<Sha256>::new_from_slice(&key().value).unwrap();
        mac.update(&hex(&input.replace(' ', "")));
        assert_eq!(mac.finalize().into_bytes()[..16], trailer[12..]);
    }

    #[test]
    fn whatever_else_is_changed_the_trailer_is_wrong() {
        let pdu = hex("3113960100648be3c0000213");
        let trailer = sign(&key(), source(), &pdu, at(0));
        for byte in 0..pdu.len() {
            let mut changed = pdu.clone();
            changed[byte] ^= 0x10;
            let is_right = Trailer::new(&trailer).is_right(&key(), source(), &changed);
            assert_eq!(is_right, matches!(byte, 6 | 7), "byte {byte}");
        }
        for byte in 0..LENGTH {
            let mut changed = trailer;
            changed[byte] ^= 0x10;
            assert!(!Trailer::new(&changed).is_right(&key(), source(), &pdu), "byte {byte}");
        }
        let other = HmacKey { id: 9, value: vec![7; 40] };
        assert!(!Trailer::new(&trailer).is_right(&other, source(), &pdu));
        assert!(!Trailer::new(&trailer).is_right(&key(), IpAddr::from([10, 0, 0, 2]), &pdu));
    }

    #[test]
    fn a_sender_follows_its_clock_and_counts_when_that_stands_still() {
        let mut marks = Marks::default();
        assert_eq!(marks.advance(WINDOW, at(0)), at(0));
        assert_eq!(marks.advance(WINDOW, at(0)), at(0) + 1);
        assert_eq!(marks.advance(WINDOW, at(1)), at(1));
        // Set back by less and by more than the window.
        assert_eq!(marks.advance(WINDOW, at(0)), at(1) + 1);
        marks.advance(WINDOW, at(100));
        assert_eq!(marks.advance(WINDOW, at(50)), at(50));
        marks.advance(AntiReplay::Monotonic, at(100));
        assert_eq!(marks.advance(AntiReplay::Monotonic, at(50)), at(100) + 1);
    }

    #[test]
    fn what_was_heard_is_not_heard_again_and_four_senders_are_remembered() {
        let mut marks = Marks::default();
        let host = |last| IpAddr::from([10, 0, 0, last]);
        marks.accept(host(1), at(1), None);
        assert!(!marks.is_new(WINDOW, host(1), at(1), at(1)));
        assert!(marks.is_new(WINDOW, host(1), at(1) + 1, at(1)));
        assert!(marks.is_new(WINDOW, host(2), at(1), at(1)));
        for last in 2..=4 {
            marks.accept(host(last), at(1), None);
        }
        marks.accept(host(1), at(2), None);
        marks.accept(host(5), at(2), None);
        assert!(!marks.is_new(WINDOW, host(1), at(1), at(1)), "used lately");
        assert!(marks.is_new(WINDOW, host(2), at(1), at(1)), "the longest unused is forgotten");
        // A sender whose clock ran ahead and was mended.
        marks.accept(host(1), at(60), None);
        assert!(marks.is_new(WINDOW, host(1), at(3), at(3)));
        assert!(!marks.is_new(AntiReplay::Monotonic, host(1), at(3), at(3)));
    }

    #[test]
    fn the_window_holds_in_both_directions_and_half_of_it_is_worth_a_word_once() {
        for (clock, is_timely) in [(95, true), (100, true), (105, true), (94, false), (106, false)] {
            assert_eq!(Marks::is_timely(WINDOW, at(100), at(clock)), is_timely, "{clock}");
        }
        let mut marks = Marks::default();
        assert_eq!(marks.skew(WINDOW, at(100), at(102)), None);
        assert_eq!(marks.skew(WINDOW, at(100), at(103)), Some(Duration::from_secs(3)));
        assert_eq!(marks.skew(WINDOW, at(100), at(103)), None);
    }

    proptest! {
        #[test]
        fn a_senders_sequence_always_grows_while_its_clock_does(steps in proptest::collection::vec(0u64..3_000_000, 1..50)) {
            let (mut marks, mut now, mut last) = (Marks::default(), at(0), 0);
            for step in steps {
                now += step;
                let next = marks.advance(WINDOW, now);
                prop_assert!(next > last);
                last = next;
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: [u8; LENGTH], pdu: Vec<u8>, clock: u64) {
            let trailer = Trailer::new(&bytes);
            let _ = (trailer.is_well_formed(), trailer.key(), trailer.is_right(&key(), source(), &pdu));
            let sequence = trailer.sequence();
            let _ = Marks::is_timely(WINDOW, sequence, clock);
            let mut marks = Marks::default();
            marks.accept(source(), sequence, Some(0));
            let _ = (marks.is_new(WINDOW, source(), clock, clock), marks.advance(WINDOW, clock));
        }
    }
}
