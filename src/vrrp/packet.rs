//! The VRRP PDU of versions 2 and 3: bytes to struct and back. No check beyond the shape stands here; see `receive`.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+---------------+---------------+
//! |version| type  |     VRID      |   priority    | address count |
//! +-------+-------+---------------+---------------+---------------+
//! | v2: auth type |  interval (s) |           checksum            |
//! | v3: 0 |   interval (1/100 s)  |                               |
//! +---------------+---------------+---------------+---------------+
//! |  addresses, 4 or 16 bytes each                                |
//! |  version 2 over IPv4: 8 bytes of authentication data          |
//! +---------------------------------------------------------------+
//! ```
//! RFC 3768 §5.1, RFC 9568 §5.2; spec/vrrp-behaviour.md §1.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum::Sum;
use crate::config::model::{Auth, Centis, Family, VrrpVersion};

/// Bytes before the addresses.
pub const HEADER: usize = 8;
/// Bytes of authentication data after the addresses (version 2, IPv4).
pub const AUTH_DATA: usize = 8;
/// The only type there is.
pub const ADVERTISEMENT: u8 = 1;

/// What an advert says, to be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advert<'a> {
    /// Version of the protocol.
    pub version: VrrpVersion,
    /// Virtual router id.
    pub vrid: u8,
    /// 0 says that the master steps down.
    pub priority: u8,
    /// Interval; version 2 has whole seconds, version 3 twelve bits.
    pub interval: Centis,
    /// Authentication, used by version 2 only.
    pub auth: &'a Auth,
    /// Addresses of `family`, at most 255.
    pub addresses: &'a [IpAddr],
    /// Family of the addresses.
    pub family: Family,
}

/// How the checksum of an IPv4 advert is made. For IPv6 the kernel does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// Over the PDU alone: version 2, and version 3 with `v3_checksum_as_v2`.
    Plain,
    /// With the pseudo header of these addresses: version 3.
    Pseudo {
        /// Source address.
        source: Ipv4Addr,
        /// Destination address; the group for the old form of unicast.
        destination: Ipv4Addr,
    },
    /// Left zero.
    Kernel,
}

impl Advert<'_> {
    /// Appends the bytes to `out`.
    pub fn encode(&self, checksum: Checksum, out: &mut Vec<u8>) {
        let start = out.len();
        let count = u8::try_from(self.addresses.len()).unwrap_or(u8::MAX);
        let (version, field) = match self.version {
            VrrpVersion::V2 => {
                let auth = auth_type(self.auth);
                (2, u16::from_be_bytes([auth, u8::try_from(self.interval.0 / 100).unwrap_or(u8::MAX)]))
            }
            VrrpVersion::V3 => (3, self.interval.0 & 0x0fff),
        };
        out.extend([version << 4 | ADVERTISEMENT, self.vrid, self.priority, count]);
        out.extend(field.to_be_bytes());
        out.extend([0, 0]);
        for address in self.addresses.iter().take(usize::from(count)) {
            match address {
                IpAddr::V4(v4) => out.extend(v4.octets()),
                IpAddr::V6(v6) => out.extend(v6.octets()),
            }
        }
        if has_auth_data(self.version, self.family) {
            out.extend(match self.auth {
                Auth::Pass(password) => *password,
                Auth::None | Auth::Ah(_) | Auth::Hmac(_) => [0; AUTH_DATA],
            });
        }
        let pdu = &mut out[start..];
        let sum = checksum.over(pdu);
        pdu[6..8].copy_from_slice(&sum.to_be_bytes());
    }
}

impl Checksum {
    /// The value that makes `pdu` right; 0 if its field holds the right one already.
    pub fn over(self, pdu: &[u8]) -> u16 {
        match self {
            Self::Plain => Sum::default().add(pdu).finish(),
            Self::Pseudo { source, destination } => {
                Sum::pseudo_header(source, destination, pdu.len()).add(pdu).finish()
            }
            Self::Kernel => 0,
        }
    }
}

/// A received PDU, looked at in place. Nothing but the first eight bytes is certain to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pdu<'a> {
    bytes: &'a [u8],
}

impl<'a> Pdu<'a> {
    /// `None` if it is shorter than the fixed part.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() >= HEADER).then_some(Self { bytes })
    }

    /// All bytes, trailing ones included.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// All bytes but the last ones.
    pub fn without(self, trailing: usize) -> &'a [u8] {
        &self.bytes[..self.bytes.len().saturating_sub(trailing)]
    }

    /// Version, 0..=15.
    pub fn version(self) -> u8 {
        self.bytes[0] >> 4
    }

    /// Type, 0..=15.
    pub fn kind(self) -> u8 {
        self.bytes[0] & 0x0f
    }

    /// Virtual router id.
    pub fn vrid(self) -> u8 {
        self.bytes[1]
    }

    /// Priority, 0 for a master that steps down.
    pub fn priority(self) -> u8 {
        self.bytes[2]
    }

    /// Number of addresses.
    pub fn count(self) -> u8 {
        self.bytes[3]
    }

    /// Version 2: authentication type.
    pub fn auth_type(self) -> u8 {
        self.bytes[4]
    }

    /// Version 2: interval in seconds.
    pub fn interval_seconds(self) -> u8 {
        self.bytes[5]
    }

    /// Version 3: interval in centiseconds, 0..=4095.
    pub fn interval(self) -> Centis {
        Centis(u16::from_be_bytes([self.bytes[4], self.bytes[5]]) & 0x0fff)
    }

    /// The length that the address count asks for.
    pub fn expected_length(self, version: VrrpVersion, family: Family) -> usize {
        let auth = if has_auth_data(version, family) { AUTH_DATA } else { 0 };
        HEADER + usize::from(self.count()) * address_length(family) + auth
    }

    /// The addresses that are there, at most [`count`](Self::count).
    pub fn addresses(self, family: Family) -> impl Iterator<Item = IpAddr> + Clone + 'a {
        let size = address_length(family);
        self.bytes[HEADER..].chunks_exact(size).take(usize::from(self.count())).filter_map(|chunk| {
            match (<[u8; 4]>::try_from(chunk), <[u8; 16]>::try_from(chunk)) {
                (Ok(v4), _) => Some(Ipv4Addr::from(v4).into()),
                (_, Ok(v6)) => Some(Ipv6Addr::from(v6).into()),
                _ => None,
            }
        })
    }

    /// The authentication data after the addresses, if the PDU reaches that far.
    pub fn auth_data(self, family: Family) -> Option<&'a [u8; AUTH_DATA]> {
        let start = HEADER + usize::from(self.count()) * address_length(family);
        self.bytes.get(start..)?.first_chunk()
    }
}

/// The authentication type of version 2.
pub fn auth_type(auth: &Auth) -> u8 {
    match auth {
        Auth::None | Auth::Hmac(_) => 0,
        Auth::Pass(_) => 1,
        Auth::Ah(_) => 2,
    }
}

/// Bytes of one address.
fn address_length(family: Family) -> usize {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

/// Stock: version 2 over IPv6 carries no authentication data.
fn has_auth_data(version: VrrpVersion, family: Family) -> bool {
    version == VrrpVersion::V2 && family == Family::V4
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vrrp::vectors::{self, hex};

    #[test]
    fn adverts_are_stocks_to_the_byte() {
        for vector in vectors::pdus() {
            for (priority, expected) in [(150, vector.pdu), (0, vector.priority_zero)] {
                let advert = Advert {
                    version: vector.version,
                    vrid: vector.vrid,
                    priority,
                    interval: Centis::SECOND,
                    auth: &vector.auth,
                    addresses: &vector.addresses,
                    family: Family::V4,
                };
                let mut out = Vec::new();
                advert.encode(vector.checksum, &mut out);
                // The table gives the first eight bytes of the priority-0 form.
                assert_eq!(out[..expected.len() / 2], hex(expected), "VRID {}", vector.vrid);
            }
        }
    }

    #[test]
    fn stocks_bytes_read_as_what_was_configured() {
        for vector in vectors::pdus() {
            let bytes = hex(vector.pdu);
            let pdu = Pdu::new(&bytes).unwrap();
            assert_eq!((pdu.kind(), pdu.vrid(), pdu.priority()), (1, vector.vrid, 150));
            assert_eq!(pdu.addresses(Family::V4).collect::<Vec<_>>(), vector.addresses);
            assert_eq!(pdu.expected_length(vector.version, Family::V4), bytes.len());
            assert_eq!(vector.checksum.over(&bytes), 0);
            match vector.version {
                VrrpVersion::V2 => assert_eq!((pdu.version(), pdu.interval_seconds()), (2, 1)),
                VrrpVersion::V3 => assert_eq!((pdu.version(), pdu.interval()), (3, Centis(100))),
            }
        }
    }

    #[test]
    fn a_half_second_interval_and_the_pseudo_header_match_a_capture() {
        let auth = Auth::None;
        let advert = Advert {
            version: VrrpVersion::V3,
            vrid: 31,
            priority: 150,
            interval: Centis(50),
            auth: &auth,
            addresses: &[IpAddr::from([10, 9, 0, 131])],
            family: Family::V4,
        };
        let pseudo = Checksum::Pseudo {
            source: Ipv4Addr::new(10, 9, 0, 1),
            destination: Ipv4Addr::new(224, 0, 0, 18),
        };
        let mut out = Vec::new();
        advert.encode(pseudo, &mut out);
        assert_eq!(out, hex("311f9601003243880a090083"));
    }

    #[test]
    fn an_ipv6_advert_has_no_authentication_data_in_version_2() {
        let auth = Auth::Pass(*b"12345678");
        let advert = Advert {
            version: VrrpVersion::V2,
            vrid: 1,
            priority: 100,
            interval: Centis(100),
            auth: &auth,
            addresses: &["fe80::1".parse().unwrap()],
            family: Family::V6,
        };
        let mut out = Vec::new();
        advert.encode(Checksum::Kernel, &mut out);
        assert_eq!(out.len(), 24);
    }

    fn any_version() -> impl Strategy<Value = VrrpVersion> {
        prop_oneof![Just(VrrpVersion::V2), Just(VrrpVersion::V3)]
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_to_itself(
            version in any_version(),
            vrid in 1u8..,
            priority: u8,
            tens in 1u16..=40,
            v6: bool,
            words in proptest::collection::vec(any::<u32>(), 0..=255),
            password: Option<[u8; 8]>,
        ) {
            let family = if v6 { Family::V6 } else { Family::V4 };
            let addresses: Vec<IpAddr> = words.iter().map(|word| match family {
                Family::V4 => Ipv4Addr::from(*word).into(),
                Family::V6 => Ipv6Addr::from(u128::from(*word) << 64).into(),
            }).collect();
            let auth = password.map_or(Auth::None, Auth::Pass);
            let interval = Centis(tens * 100);
            let advert = Advert { version, vrid, priority, interval, auth: &auth, addresses: &addresses, family };
            let mut out = Vec::new();
            advert.encode(Checksum::Plain, &mut out);
            let pdu = Pdu::new(&out).unwrap();
            prop_assert_eq!(pdu.vrid(), vrid);
            prop_assert_eq!(pdu.priority(), priority);
            prop_assert_eq!(pdu.addresses(family).collect::<Vec<_>>(), addresses);
            prop_assert_eq!(pdu.expected_length(version, family), out.len());
            prop_assert_eq!(Checksum::Plain.over(&out), 0);
            match version {
                VrrpVersion::V2 => {
                    prop_assert_eq!(u16::from(pdu.interval_seconds()) * 100, interval.0);
                    prop_assert_eq!(pdu.auth_type(), u8::from(password.is_some()));
                    if family == Family::V4 {
                        prop_assert_eq!(*pdu.auth_data(family).unwrap(), password.unwrap_or_default());
                    }
                }
                VrrpVersion::V3 => prop_assert_eq!(pdu.interval(), interval),
            }
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            let _ = crate::vrrp::ip::Header::decode(&bytes);
            if let Some(pdu) = Pdu::new(&bytes) {
                for family in [Family::V4, Family::V6] {
                    prop_assert!(pdu.addresses(family).count() <= usize::from(pdu.count()));
                    let _ = (pdu.auth_data(family), pdu.interval(), pdu.auth_type());
                }
            }
        }
    }
}
