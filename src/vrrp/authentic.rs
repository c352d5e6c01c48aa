//! The checks of who made an advert: authentication header, password, trailer (spec/vrrp-behaviour.md §1.3, §1.4, §2).
//!
//! They look and count. What they learned of the sender's sequence is remembered only when all other checks have passed.

use super::ah;
use super::event::{AdvertError, Detail};
use super::instance::{Machine, Mark};
use super::packet::{self, Pdu};
use super::peers::{Field, kind, kind_of_type};
use super::receive::Received;
use super::trailer::{self, Marks, Trailer};
use crate::config::model::{Auth, AuthHmac, HmacMode, Transport, VrrpVersion};
use crate::time::Time;

/// What an advert proves of its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing.
    None,
    /// The sequence number of its authentication header.
    Ah(u32),
    /// The sequence of its trailer.
    Trailer(u64),
}

impl Machine<'_> {
    /// Row 1: an authentication header if and only if one is configured.
    pub(super) fn check_carrier(&mut self, received: &Received<'_>) -> Option<()> {
        let from = received.source;
        let is_wanted = matches!(self.config.auth, Auth::Ah(_));
        if received.ah.is_some() == is_wanted || from.is_ipv6() {
            return Some(());
        }
        self.run.counters.authtype_mismatch += 1;
        let theirs = if is_wanted { kind_of_type(received.pdu.auth_type()) } else { "AH" };
        self.other_authentication(received, u64::from(received.pdu.auth_type()), theirs);
        if is_wanted {
            self.log_once(Mark::Carrier, format_args!("No AH header but auth type is AH from {from}"));
        } else {
            self.log_once(Mark::Carrier, format_args!("Received AH header but auth type not AH from {from}"));
        }
        None
    }

    /// Row 5: the trailer, if `auth_hmac` is configured.
    pub(super) fn check_trailer(
        &mut self,
        received: &Received<'_>,
        trailer: Option<&[u8; trailer::LENGTH]>,
    ) -> Option<Proof> {
        let Auth::Hmac(hmac) = &self.config.auth else { return Some(Proof::None) };
        let from = received.source;
        let Some(bytes) = trailer else {
            if hmac.mode != HmacMode::Enforce {
                return Some(Proof::None);
            }
            self.run.counters.auth_ext_missing += 1;
            self.other_authentication(received, 0, "none");
            self.log_once(Mark::Unsigned, format_args!("advert from {from} is not signed"));
            return None;
        };
        let pdu = received.pdu.without(trailer::LENGTH);
        let sequence = self.check_signature(hmac, received, pdu, Trailer::new(bytes))?;
        Some(Proof::Trailer(sequence))
    }

    fn check_signature(
        &mut self,
        hmac: &AuthHmac,
        received: &Received<'_>,
        pdu: &[u8],
        trailer: Trailer<'_>,
    ) -> Option<u64> {
        let (from, rule, clock) = (received.source, hmac.anti_replay, self.clock_sequence());
        let sequence = trailer.sequence();
        if !trailer.is_well_formed() {
            self.run.counters.auth_ext_malformed += 1;
            self.log_once(
                Mark::Malformed,
                format_args!("malformed authentication trailer in an advert from {from}"),
            );
            return None;
        }
        if !Marks::is_timely(rule, sequence, clock) {
            self.run.counters.auth_ext_stale += 1;
            let skew = trailer::distance(sequence, clock).as_secs_f64();
            self.log_once(
                Mark::Stale,
                format_args!("advert from {from} is stale: it was made {skew:.1} s off our clock"),
            );
            return None;
        }
        let Some(key) = hmac.key(trailer.key()) else {
            self.run.counters.auth_ext_unknown_key += 1;
            let id = trailer.key();
            self.other_authentication(received, 0x100 | u64::from(id), format_args!("key {id}"));
            self.log_once(
                Mark::UnknownKey,
                format_args!("advert from {from} is signed with key {id}, which is not configured"),
            );
            return None;
        };
        if !trailer.is_right(key, from, pdu) {
            self.run.counters.auth_ext_invalid_hmac += 1;
            let id = key.id;
            self.other_authentication(received, 0x200 | u64::from(id), format_args!("another key {id}"));
            self.log_once(
                Mark::Signature,
                format_args!("advert from {from} has an invalid HMAC, said to be made with key {id}"),
            );
            return None;
        }
        if let Transport::Unicast { peers, .. } = &self.config.transport
            && !peers.iter().any(|peer| peer.address == from)
        {
            self.log_once(
                Mark::UnknownPeer,
                format_args!("unicast source address {from} not a unicast peer"),
            );
            return None;
        }
        if !self.run.marks.is_new(rule, from, sequence, clock) {
            self.run.counters.auth_ext_replay += 1;
            self.log_once(Mark::Replay, format_args!("advert from {from} was received before (replay)"));
            return None;
        }
        if let Some(skew) = self.run.marks.skew(rule, sequence, clock) {
            let skew = skew.as_secs_f64();
            self.log(
                Detail::Normal,
                format_args!(
                    "the clock of {from} and ours differ by {skew:.1} s, more than half of time_window"
                ),
            );
        }
        Some(sequence)
    }

    /// Rows 6 to 9 of version 2: authentication type, password or header, interval.
    pub(super) fn check_version_2(&mut self, received: &Received<'_>) -> Option<Proof> {
        let (config, pdu, from) = (self.config, received.pdu, received.source);
        let theirs = pdu.auth_type();
        if theirs > 2 {
            self.run.counters.invalid_authtype += 1;
            self.bad_advert(Mark::AuthTypeInvalid, from, AdvertError::InvalidAuthType);
            self.log_once(Mark::AuthTypeInvalid, format_args!("Invalid auth type from {from}: {theirs}"));
            return None;
        }
        let ours = packet::auth_type(&config.auth);
        if theirs != ours {
            self.run.counters.authtype_mismatch += 1;
            self.other_authentication(received, u64::from(theirs), kind_of_type(theirs));
            self.bad_advert(Mark::AuthTypeOther, from, AdvertError::AuthTypeMismatch);
            self.log_once(
                Mark::AuthTypeOther,
                format_args!("received a {theirs} auth from {from}, expecting {ours}!"),
            );
            return None;
        }
        let mut proof = Proof::None;
        match &config.auth {
            Auth::None | Auth::Hmac(_) => {}
            Auth::Pass(password) => {
                if pdu.auth_data(config.family) != Some(password) {
                    self.run.counters.auth_failure += 1;
                    self.other_authentication(received, 0x300, "PASS with another password");
                    self.bad_advert(Mark::Password, from, AdvertError::AuthFailure);
                    self.log_once(Mark::Password, format_args!("received an invalid passwd from {from}!"));
                    return None;
                }
            }
            Auth::Ah(key) => proof = Proof::Ah(self.check_ah(received, *key)?),
        }
        let (mine, theirs) = (config.advert_int.0 / 100, pdu.interval_seconds());
        if u16::from(theirs) != mine {
            let value = u64::from(theirs);
            self.differs(from, Field::Interval, value, format_args!("{mine} s"), format_args!("{theirs} s"));
            self.rival_advert(from, pdu.priority(), "its adverts are rejected for their interval");
            self.log_once(
                Mark::IntervalV2,
                format_args!(
                    "advertisement interval mismatch with {from} mine={mine} sec rcv'd={theirs} sec"
                ),
            );
            return None;
        }
        Some(proof)
    }

    fn check_ah(&mut self, received: &Received<'_>, key: [u8; 8]) -> Option<u32> {
        let (from, header) = (received.source, received.ah?);
        let spi = std::net::Ipv4Addr::from(header.spi());
        let number = header.sequence();
        if !ah::is_right(received.ip_header, header, received.pdu.bytes(), key) {
            self.run.counters.auth_failure += 1;
            self.other_authentication(received, 0x400, "AH with another password");
            self.log_once(
                Mark::AhValue,
                format_args!(
                    "IPSEC-AH : invalid IPSEC HMAC-MD5 value from {from}. Due to fields mutation or bad password !"
                ),
            );
            return None;
        }
        if from != spi {
            self.run.counters.auth_failure += 1;
            self.log_once(
                Mark::AhSpi,
                format_args!("IPSEC-AH : invalid IPSEC SPI value from {from}. {spi} and expect {from}"),
            );
            return None;
        }
        if !self.run.ah.admits(number) {
            self.run.counters.auth_failure += 1;
            let local = self.run.ah.last();
            self.log_once(
                Mark::AhSequence,
                format_args!(
                    "IPSEC-AH : sequence number {number} already processed. Packet dropped. Local({local})"
                ),
            );
            return None;
        }
        Some(number)
    }

    /// Tells of a peer that authenticates otherwise; of one on this link, not of somebody far away.
    pub(super) fn other_authentication(
        &mut self,
        received: &Received<'_>,
        value: u64,
        theirs: impl std::fmt::Display,
    ) {
        let is_near = received.ttl == u8::MAX || matches!(self.config.transport, Transport::Unicast { .. });
        if is_near {
            let from = received.source;
            self.differs(from, Field::Authentication, value, kind(&self.config.auth), theirs);
            let priority = received.pdu.priority();
            self.rival_advert(from, priority, "its adverts are rejected for their authentication");
        }
    }

    /// Remembers what an accepted advert has proved.
    pub(super) fn remember(&mut self, received: &Received<'_>, proof: Proof) {
        match proof {
            Proof::None => {}
            Proof::Ah(number) => self.run.ah.follow(number),
            Proof::Trailer(sequence) => {
                let peers = match &self.config.transport {
                    Transport::Multicast { .. } => None,
                    Transport::Unicast { peers, .. } => Some(peers.len()),
                };
                self.run.marks.accept(received.source, sequence, peers);
            }
        }
    }

    /// The wall clock as the sequence of a trailer.
    pub(super) fn clock_sequence(&self) -> u64 {
        trailer::of_clock(self.wall + self.now.since(Time::ZERO))
    }
}

/// The trailer behind a PDU, if there is just one.
pub(super) fn trailer_of(
    pdu: Pdu<'_>,
    version: VrrpVersion,
    family: crate::config::model::Family,
) -> Option<&[u8; trailer::LENGTH]> {
    pdu.bytes().get(pdu.expected_length(version, family)..)?.try_into().ok()
}
