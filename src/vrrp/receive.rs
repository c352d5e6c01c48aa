//! The checks of a received advert, in stock's order, with their counters and once-only log lines
//! (spec/vrrp-behaviour.md §2). What passes becomes an [`Accepted`]; what it means is decided in `instance`.
//!
//! A packet that fails a check changes nothing but counters: stock re-arms a MASTER's timer here, and so falls
//! silent when somebody sends rubbish often enough (docs/differences.md).

use std::net::IpAddr;

use super::ah;
use super::authentic::{Proof, trailer_of};
use super::event::{AdvertError, Detail, Envelope};
use super::instance::{Accepted, Machine, Mark};
use super::ip;
use super::packet::{self, Checksum, Pdu};
use super::peers::{Field, Listed, mark};
use super::snapshot::VrrpState;
use super::trailer;
use crate::config::model::{Auth, Centis, Family, Transport, UnicastChecksum, UnicastPeer, VrrpVersion};

/// A packet that is long enough to belong to some VRID.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received<'a> {
    pub(super) family: Family,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ttl: u8,
    /// Bytes received, with the IPv4 header.
    pub(super) length: usize,
    /// What the IPv4 header says; the same for IPv6.
    pub(super) total_length: usize,
    /// Bytes before the PDU: IPv4 header, authentication header.
    pub(super) header: usize,
    /// The IPv4 header itself.
    pub(super) ip_header: &'a [u8],
    pub(super) ah: Option<ah::Header<'a>>,
    pub(super) pdu: Pdu<'a>,
}

impl<'a> Received<'a> {
    /// `None` if the packet is too short to have a VRID. Stock drops such packets silently.
    pub(super) fn new(envelope: Envelope, packet: &'a [u8]) -> Option<Self> {
        match envelope {
            Envelope::V4 => {
                let header = ip::Header::decode(packet)?;
                let (ip_header, mut rest) = packet.split_at(header.length);
                let mut ah = None;
                if header.protocol == ah::PROTOCOL {
                    ah = Some(ah::Header::decode(rest)?);
                    rest = &rest[ah::HEADER..];
                }
                Some(Self {
                    family: Family::V4,
                    source: header.source.into(),
                    destination: header.destination.into(),
                    ttl: header.ttl,
                    length: packet.len(),
                    total_length: header.total_length,
                    header: packet.len() - rest.len(),
                    ip_header,
                    ah,
                    pdu: Pdu::new(rest)?,
                })
            }
            Envelope::V6 { source, destination, hop_limit } => Some(Self {
                family: Family::V6,
                source,
                destination,
                ttl: hop_limit,
                length: packet.len(),
                total_length: packet.len(),
                header: 0,
                ip_header: &[],
                ah: None,
                pdu: Pdu::new(packet)?,
            }),
        }
    }

    fn is_multicast(&self) -> bool {
        self.destination.is_multicast()
    }
}

/// Is what came beyond the expected length Ethernet's padding? Frames are padded to 46 bytes of payload and
/// packets are multiples of 4, so the excess is 2 modulo 4.
fn is_padding(received: usize, expected: usize) -> bool {
    expected < 46 && received > expected && (received - expected) % 4 == 2
}

impl Machine<'_> {
    /// Says that a peer speaks another version than ours.
    fn other_version(&mut self, received: &Received<'_>, ours: u8) {
        let (from, theirs) = (received.source, received.pdu.version());
        self.differs(from, Field::Version, u64::from(theirs), ours, theirs);
        self.rival_advert(from, received.pdu.priority(), "its adverts are rejected for their version");
    }

    /// Carries out the checks. `None` means dropped.
    pub(super) fn check(&mut self, received: &Received<'_>) -> Option<Accepted> {
        let config = self.config;
        let pdu = received.pdu;
        let from = received.source;

        self.check_carrier(received)?;
        // Stock: of the version that the packet names, so that one of another version fails for that and not for its length.
        let form = if pdu.version() == 2 { VrrpVersion::V2 } else { VrrpVersion::V3 };
        let plain = received.header + pdu.expected_length(form, config.family);
        let length = received.length;
        let is_signing = matches!(config.auth, Auth::Hmac(_));
        let trailer = is_signing.then(|| trailer_of(pdu, form, config.family)).flatten();
        if trailer.is_none() && length != plain && !is_padding(length, plain) {
            let expected = plain + if is_signing { trailer::LENGTH } else { 0 };
            if !is_signing && length == plain + trailer::LENGTH {
                self.other_authentication(received, 0x500, "auth_hmac");
            }
            self.run.counters.packet_len_err += 1;
            let word = if length > expected { "long" } else { "short" };
            self.log_once(
                Mark::Length,
                format_args!("vrrp packet from {from} too {word}, length {length} and expect {expected}"),
            );
            return None;
        }
        let is_unicast = matches!(config.transport, Transport::Unicast { .. });
        if !is_unicast && received.ttl != 255 {
            self.run.counters.ip_ttl_err += 1;
            self.run.counters.last_error = 1;
            self.bad_advert(Mark::Ttl, from, AdvertError::Ttl);
            let ttl = received.ttl;
            self.log_once(
                Mark::Ttl,
                format_args!("invalid TTL/HL from {from}. Received {ttl} and expect 255"),
            );
            return None;
        }
        let version = match config.version {
            VrrpVersion::V2 => 2,
            VrrpVersion::V3 => 3,
        };
        if pdu.version() != version {
            let theirs = pdu.version();
            self.run.counters.version_err += 1;
            self.run.counters.last_error = 2;
            self.bad_advert(Mark::Version, from, AdvertError::Version);
            self.other_version(received, version);
            self.log_once(
                Mark::Version,
                format_args!("wrong VRRP version from {from}. Received {theirs} and expect {version}"),
            );
            return None;
        }
        let mut proof = self.check_trailer(received, trailer)?;
        if config.version == VrrpVersion::V2
            && let ah @ Proof::Ah(_) = self.check_version_2(received)?
        {
            proof = ah;
        }
        if pdu.kind() != packet::ADVERTISEMENT {
            self.run.counters.invalid_type_rcvd += 1;
            let kind = pdu.kind();
            self.log_once(Mark::Type, format_args!("Invalid packet type from {from}. {kind} and expect 1"));
            return None;
        }
        if received.total_length != length && !is_padding(length, received.total_length) {
            self.run.counters.packet_len_err += 1;
            let total = received.total_length;
            self.log_once(
                Mark::TotalLength,
                format_args!(
                    "ip_tot_len mismatch against received length from {from}. Expected {length} got {total}"
                ),
            );
            return None;
        }
        let interval = match config.version {
            VrrpVersion::V2 => config.advert_int,
            VrrpVersion::V3 => pdu.interval(),
        };
        if interval != config.advert_int {
            let ours = config.advert_int.0;
            let (a, b) = (config.advert_int.duration(), interval.duration());
            self.differs(
                from,
                Field::Interval,
                u64::from(interval.0),
                format_args!("{} s", a.as_secs_f64()),
                format_args!("{} s", b.as_secs_f64()),
            );
            self.log_once(
                Mark::IntervalV3,
                format_args!(
                    "advertisement interval mismatch ours = {ours} centi-sec rcv'd={} centi-sec",
                    interval.0
                ),
            );
        }
        if !self.is_checksum_right(received, plain - received.header) {
            self.run.counters.checksum_err += 1;
            self.run.counters.last_error = 3;
            self.bad_advert(Mark::Checksum, from, AdvertError::Checksum);
            self.log_once(Mark::Checksum, format_args!("Invalid VRRPv{version} checksum from {from}"));
            return None;
        }
        if received.is_multicast() == is_unicast {
            self.run.counters.addr_list_err += 1;
            let (wanted, got) = if is_unicast { ("unicast", "multicast") } else { ("multicast", "unicast") };
            self.log_once(
                Mark::Destination,
                format_args!("Expected {wanted} packet but received {got} packet from {from}"),
            );
            return None;
        }
        if config.owner_ignore_adverts && self.run.effective == u8::MAX {
            self.log_once(
                Mark::Owner,
                format_args!("Dropping packet(s) from {from} since we are address owner"),
            );
            return None;
        }

        self.run.counters.advert_rcvd += 1;
        self.compare_addresses(received);
        if let Transport::Unicast { peers, .. } = &config.transport {
            self.check_peer(received, peers)?;
        }
        self.remember(received, proof);
        self.agrees_in_the_rest(from);
        if interval == config.advert_int {
            self.agrees(from, Field::Interval);
        }
        if pdu.priority() == 0 {
            self.run.counters.pri_zero_rcvd += 1;
        }
        // An interval of zero would make a timer that never rests.
        let interval = if interval == Centis(0) { Centis(1) } else { interval };
        let ah = match proof {
            Proof::Ah(number) => Some(number),
            Proof::None | Proof::Trailer(_) => None,
        };
        Some(Accepted { source: from, priority: pdu.priority(), interval, ah })
    }

    /// Stock: with `v3_checksum_as_v2` a wrong one is not rejected, because nobody knows which form the peer uses.
    /// A unicast peer that uses the old form of version 3 (the group as destination) switches us to it.
    fn is_checksum_right(&mut self, received: &Received<'_>, length: usize) -> bool {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (received.source, received.destination) else {
            return true;
        };
        let Some(bytes) = received.pdu.bytes().get(..length) else { return false };
        if self.config.version == VrrpVersion::V2 {
            return Checksum::Plain.over(bytes) == 0;
        }
        if self.config.v3_checksum_as_v2 {
            return true;
        }
        let expected = self.old_group().unwrap_or(destination);
        if (Checksum::Pseudo { source, destination: expected }).over(bytes) == 0 {
            return true;
        }
        let (Transport::Unicast { checksum: UnicastChecksum::Auto, .. }, false, Some(group)) =
            (&self.config.transport, self.run.old_checksum, self.fixed.old_group)
        else {
            return false;
        };
        if (Checksum::Pseudo { source, destination: group }).over(bytes) != 0 {
            return false;
        }
        self.run.old_checksum = true;
        self.log(Detail::Normal, format_args!("Setting unicast VRRPv3 checksum to old version"));
        true
    }

    /// Differences are logged and counted; the advert is honoured.
    fn compare_addresses(&mut self, received: &Received<'_>) {
        let (config, pdu, from) = (self.config, received.pdu, received.source);
        let own = &self.fixed.addresses;
        let (expected, count) = (own.len(), usize::from(pdu.count()));
        let theirs = || pdu.addresses(config.family);
        let mut is_wrong = false;
        if count != expected {
            is_wrong = true;
            self.log_once(Mark::VipCount, format_args!("expected {expected} VIPs but received {count}"));
        }
        let is_known_master = self.run.master.is_some_and(|(master, _)| master == from);
        let may_skip = config.skip_check_adv_addr && is_known_master && self.run.state != VrrpState::Master;
        if !may_skip && !pdu.addresses(config.family).eq(own.iter().copied()) {
            let missing = own.iter().find(|vip| !pdu.addresses(config.family).any(|a| a == **vip)).copied();
            if let Some(vip) = missing {
                is_wrong = true;
                let vrid = config.vrid;
                self.log_once(
                    Mark::VipList,
                    format_args!(
                        "ip address associated with VRID {vrid} not present in advert from {from}: {vip}"
                    ),
                );
            }
        }
        if is_wrong {
            self.run.counters.addr_list_err += 1;
            let fixed = self.fixed;
            let ours = Listed(fixed.addresses.iter().copied());
            self.differs(from, Field::Addresses, mark(theirs()), ours, Listed(theirs()));
        } else if !may_skip {
            self.agrees(from, Field::Addresses);
        }
    }

    fn check_peer(&mut self, received: &Received<'_>, peers: &[UnicastPeer]) -> Option<()> {
        let from = received.source;
        if !self.config.check_unicast_src {
            return Some(());
        }
        let Some(peer) = peers.iter().find(|peer| peer.address == from) else {
            self.log_once(
                Mark::UnknownPeer,
                format_args!("unicast source address {from} not a unicast peer"),
            );
            return None;
        };
        let (min, max) = (peer.min_ttl.unwrap_or(0), peer.max_ttl.unwrap_or(255));
        if !(min..=max).contains(&received.ttl) {
            self.run.counters.ip_ttl_err += 1;
            let ttl = received.ttl;
            self.log_once(
                Mark::PeerTtl,
                format_args!("TTL/HL {ttl} from {from} not in range [{min}, {max}]"),
            );
            return None;
        }
        Some(())
    }
}
