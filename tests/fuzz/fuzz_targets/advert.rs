//! Any bytes as received adverts, to a BACKUP and a MASTER of each version: no panic, and what holds in every state.
//!
//! The first byte says how the bytes travelled; the rest is the packet. A second look repairs checksum, authentication
//! header and trailer, so that the checks behind them are reached, too.
#![cfg_attr(fuzzing, no_main)]

use std::net::IpAddr;
use std::time::Duration;

use keepalived_rs::config::model::{
    AntiReplay, Auth, AuthHmac, Centis, Family, GarpSettings, HmacKey, HmacMode, InitialState, Instance,
    InstanceLinks, NotifyScripts, Priority, Transport, VipRepair, VirtualAddress, Vrid, VrrpPart, VrrpVersion,
};
use keepalived_rs::time::Time;
use keepalived_rs::vrrp::packet::{Checksum, Pdu};
use keepalived_rs::vrrp::{Envelope, Event, IFF_RUNNING, IFF_UP, Interface, Link, Router, VrrpState, ip};
use keepalived_rs::vrrp::{ah, trailer};

/// When the trailers of the corpus were made.
const TODAY: Duration = Duration::from_secs(0x6b01_49c9);
const AH_KEY: [u8; 8] = *b"ahsecret";

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(bytes));

/// Replays files given on the command line.
#[cfg(not(fuzzing))]
fn main() {
    for path in std::env::args_os().skip(1) {
        run(&std::fs::read(path).expect("a readable file"));
    }
}

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
        let mut router = Router::new(&part());
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
    let instance = |vrid: u8, version, group: &str, vip: &str, auth| {
        let vip: IpAddr = vip.parse().expect("an address");
        Instance {
            timer_expired_backup: None,
            name: format!("V{vrid}"),
            family: Family::of(vip),
            version,
            vrid: Vrid::new(vrid).expect("not 0"),
            interface: Some("eth0".into()),
            links: InstanceLinks::default().into(),
            initial: InitialState::Backup,
            priority: Priority::DEFAULT,
            advert_int: Centis::SECOND,
            transport: Transport::Multicast { group: group.parse().expect("a group") },
            source: None,
            track_source: false,
            auth,
            vips: vec![VirtualAddress {
                address: vip,
                prefix: 32,
                interface: "eth0".into(),
                scope: 0,
                broadcast: None,
                label: None,
                peer: None,
                flags: 0,
                preferred_lifetime: None,
                no_track: false,
                track_group: None,
                use_vmac: false,
            }],
            excluded: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            preempt: true,
            preempt_delay: Duration::ZERO,
            down_timer_adverts: 3,
            dont_track_primary: false,
            track_interfaces: Vec::new(),
            track_scripts: Vec::new(),
            track_files: Vec::new(),
            track_processes: Vec::new(),
            track_bfds: Vec::new(),
            garp: GarpSettings::default(),
            accept: true,
            strict: false,
            skip_check_adv_addr: false,
            lower_prio_no_advert: false,
            higher_prio_send_advert: false,
            owner_ignore_adverts: false,
            check_unicast_src: false,
            v3_checksum_as_v2: false,
            promote_secondaries: false,
            notify: NotifyScripts::default().into(),
            notify_deleted: false,
            smtp_alert: false,
            notify_priority_changes: false,
            unicast_without_peers: false,
            unicast_fault_no_peer: false,
            kernel_rx_buffer: None,
            debug: 0,
            vip_repair: VipRepair::default(),
            config_fault: None,
        }
    };
    let pass = Auth::Pass(*b"abcd\0\0\0\0");
    let window = Duration::from_secs(300);
    let hmac = |mode| {
        let anti_replay = AntiReplay::Time { window };
        Auth::Hmac(AuthHmac { keys: vec![key()], active: 1, anti_replay, mode })
    };
    VrrpPart {
        instances: vec![
            instance(1, VrrpVersion::V2, "224.0.0.18", "192.0.2.13", pass),
            instance(2, VrrpVersion::V3, "224.0.0.18", "192.0.2.14", Auth::None),
            instance(3, VrrpVersion::V3, "ff02::12", "fe80::99", Auth::None),
            instance(4, VrrpVersion::V2, "224.0.0.18", "192.0.2.16", Auth::Ah(AH_KEY)),
            instance(5, VrrpVersion::V3, "224.0.0.18", "192.0.2.19", hmac(HmacMode::Enforce)),
            instance(6, VrrpVersion::V3, "ff02::12", "fe80::98", hmac(HmacMode::Permissive)),
        ],
        ..VrrpPart::default()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/advert");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).expect("the corpus") {
            super::run(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
            count += 1;
        }
        assert!(count > 0, "the corpus is empty");
    }
}
