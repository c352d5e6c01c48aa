//! Any bytes as received adverts, to a BACKUP and a MASTER of each version: no panic, and what holds in every state.
//!
//! The first byte says how the bytes travelled; the rest is the packet. A second look repairs checksum, authentication
//! header and trailer, so that the checks behind them are reached, too.
#![cfg_attr(fuzzing, no_main)]

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use keepalived_rs::config::model::{Family, HmacKey, VrrpPart};
use keepalived_rs::time::Time;
use keepalived_rs::vrrp::packet::{Checksum, Pdu};
use keepalived_rs::vrrp::{Envelope, Event, IFF_RUNNING, IFF_UP, Interface, Link, Router, VrrpState, ip};
use keepalived_rs::vrrp::{ah, trailer};
use keepalived_rs_fuzz::config;

static PART: LazyLock<VrrpPart> = LazyLock::new(part);

/// When the trailers of the corpus were made.
const TODAY: Duration = Duration::from_secs(0x6b01_49c9);
const AH_KEY: [u8; 8] = *b"ahsecret";

keepalived_rs_fuzz::target!(run);

fn run(bytes: &[u8]) {
    let Some((way, packet)) = bytes.split_first() else { return };
    if let Some(pdu) = Pdu::new(packet) {
        for family in [Family::V4, Family::V6] {
            assert!(pdu.addresses(family).count() <= usize::from(pdu.count()));
            let _ = pdu.auth_data(family);
        }
    }
    let envelope = if way & 1 == 0 {
        Envelope::V4
    } else {
        let address = |text: &str| text.parse().expect("an address");
        Envelope::V6 { source: address("fe80::2"), destination: address("ff02::12"), hop_limit: *way }
    };
    let mut repaired = packet.to_vec();
    repair(envelope, &mut repaired);
    for wait in [1, 20] {
        let mut router = Router::new(&PART);
        let mut out = Vec::new();
        let start = Time::ZERO + Duration::from_secs(1);
        router.handle(start, Event::WallClock { at_zero: TODAY }, &mut out);
        router.handle(start, Event::Interfaces(interfaces()), &mut out);
        let now = start + Duration::from_secs(wait);
        while let Some(due) = router.deadline().filter(|due| *due <= now) {
            router.handle(due, Event::Timer, &mut out);
            out.clear();
        }
        for packet in [packet, &repaired] {
            router.advert(now, 1, envelope, packet, &mut out);
            for instance in router.snapshot(now).instances {
                assert!(matches!(instance.state, VrrpState::Backup | VrrpState::Master));
                assert!(instance.timer.is_some_and(|timer| timer >= now));
            }
        }
    }
}

/// Puts the right checksum of version 2 or 3 into an IPv4 packet, and the right seals into every packet.
fn repair(envelope: Envelope, packet: &mut [u8]) {
    let (source, at, header) = match envelope {
        Envelope::V6 { source, .. } => (source, 0, None),
        Envelope::V4 => {
            let Some(header) = ip::Header::decode(packet) else { return };
            let before = if header.protocol == ah::PROTOCOL { ah::HEADER } else { 0 };
            (header.source.into(), header.length + before, Some(header))
        }
    };
    let Some(pdu) = packet.get_mut(at..).filter(|pdu| pdu.len() >= 8) else { return };
    let is_signed = matches!(pdu[1], 5 | 6) && pdu.len() >= 8 + trailer::LENGTH;
    let (pdu, seal) = pdu.split_at_mut(pdu.len() - if is_signed { trailer::LENGTH } else { 0 });
    if let Some(header) = header {
        let checksum = match pdu[0] >> 4 {
            2 => Checksum::Plain,
            _ => Checksum::Pseudo { source: header.source, destination: header.destination },
        };
        pdu[6..8].fill(0);
        let sum = checksum.over(pdu);
        pdu[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    if is_signed {
        let sequence = seal[4..12].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        seal.copy_from_slice(&trailer::sign(&key(), source, pdu, sequence));
    }
    if let Some(header) = header.filter(|header| header.protocol == ah::PROTOCOL && header.length == 20) {
        let sequence = packet.get(header.length + 8..header.length + 12).map(|bytes| bytes[3]);
        ah::seal(packet, sequence.unwrap_or_default().into(), AH_KEY);
    }
}

fn key() -> HmacKey {
    HmacKey { id: 1, value: vec![7; 32] }
}

fn interfaces() -> Vec<Interface> {
    let link = Link { index: 1, name: "eth0".into(), flags: IFF_UP | IFF_RUNNING, ..Link::default() };
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    vec![Interface { link, addresses: vec![(address("10.0.0.1"), 24), (address("fe80::1"), 64)] }]
}

/// VRID 1, 2, 4 (AH) and 5 (HMAC) over IPv4, 3 and 6 (HMAC) over IPv6.
fn part() -> VrrpPart {
    let hex = "07".repeat(32);
    let instances = [
        ("version 2\nauthentication {\nauth_type PASS\nauth_pass abcd\n}".to_owned(), "192.0.2.13"),
        ("version 3".to_owned(), "192.0.2.14"),
        ("version 3".to_owned(), "fe80::99"),
        ("version 2\nauthentication {\nauth_type AH\nauth_pass ahsecret\n}".to_owned(), "192.0.2.16"),
        (format!("version 3\nauth_hmac {{\nkey 1 hex:{hex}\nmode enforce\n}}"), "192.0.2.19"),
        (format!("version 3\nauth_hmac {{\nkey 1 hex:{hex}\nmode permissive\n}}"), "fe80::98"),
    ];
    let text: String = (1..)
        .zip(instances)
        .map(|(vrid, (words, vip))| {
            format!(
                "vrrp_instance V{vrid} {{\ninterface eth0\nvirtual_router_id {vrid}\npriority 100\n{words}\n\
                 virtual_ipaddress {{\n{vip}\n}}\n}}\n"
            )
        })
        .collect();
    let part = config(&text).vrrp_part().expect("it has instances");
    assert_eq!(part.instances.len(), 6);
    part
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic() {
        keepalived_rs_fuzz::corpus("advert").iter().for_each(|bytes| super::run(bytes));
    }
}
