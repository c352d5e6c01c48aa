//! The Internet checksum (RFC 1071) and the IPv4 pseudo header of VRRP version 3.

use std::net::Ipv4Addr;

/// IP protocol number of VRRP (RFC 9568 §5.1.1.4).
pub(super) const PROTOCOL: u8 = 112;

/// A running one's complement sum of 16-bit words.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum(u32);

impl Sum {
    /// The pseudo header of a version 3 IPv4 advert: addresses, protocol, length of the PDU.
    pub(super) fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, length: usize) -> Self {
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        Self::default()
            .add(&source.octets())
            .add(&destination.octets())
            .word(u16::from(PROTOCOL))
            .word(length)
    }

    /// With these bytes added; an odd last byte counts as the high half of a word.
    pub(super) fn add(self, bytes: &[u8]) -> Self {
        bytes.chunks(2).fold(self, |sum, pair| {
            sum.word(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
        })
    }

    /// With one word added.
    pub(super) fn word(self, word: u16) -> Self {
        let sum = self.0 + u32::from(word);
        Self((sum & 0xffff) + (sum >> 16))
    }

    /// The checksum field that belongs to the words so far. Zero if they already contain a right one.
    pub(super) fn finish(self) -> u16 {
        !u16::try_from(self.0).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_sums_up() {
        let sum = Sum::default().add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.finish(), !0xddf2);
    }

    #[test]
    fn bytes_that_contain_their_checksum_sum_to_zero() {
        let sum = Sum::default().add(&[0x12, 0x34, 0x56]).finish();
        let [high, low] = sum.to_be_bytes();
        assert_eq!(Sum::default().add(&[0x12, 0x34, 0x56, 0, high, low]).finish(), 0);
    }
}
