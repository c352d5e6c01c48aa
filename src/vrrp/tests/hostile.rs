//! Packets that fail a check: whatever they are and whenever they come, no timer moves, nothing is sent, nobody is told.

use std::time::Duration;

use proptest::prelude::*;

use super::samples::*;
use crate::config::model::{
    AntiReplay, Auth, AuthHmac, Centis, Family, HmacKey, HmacMode, Instance, Transport, UnicastChecksum,
    UnicastPeer, VrrpPart, VrrpVersion,
};
use crate::vrrp::{Action, Envelope, Event, Router, Snapshot};

const TODAY: Duration = Duration::from_secs(1_795_246_000);
const HOST_6: &str = "fe80::1";

/// Every kind of authentication, both versions, both families, unicast, an owner.
fn everything() -> VrrpPart {
    let hmac = AuthHmac {
        keys: vec![HmacKey { id: 1, value: vec![7; 32] }],
        active: 1,
        anti_replay: AntiReplay::Time { window: Duration::from_secs(30) },
        mode: HmacMode::Enforce,
    };
    let permissive = AuthHmac { mode: HmacMode::Permissive, ..hmac.clone() };
    let peer = |address| UnicastPeer { address: ip(address), min_ttl: Some(250), max_ttl: None };
    let peers = vec![peer("10.0.0.1"), peer("10.0.0.2")];
    let v3 = |vrid| Instance { version: VrrpVersion::V3, ..instance("", vrid, 100) };
    let v6 = |vrid, version| Instance {
        family: Family::V6,
        version,
        transport: Transport::Multicast { group: ip("ff02::12") },
        vips: vec![vip(&format!("fe80::{vrid}"), "eth0")],
        ..instance("", vrid, 100)
    };
    let mut all = vec![
        instance("", 1, 150),
        Instance { auth: Auth::Pass(*b"password"), preempt: false, ..instance("", 2, 100) },
        Instance { auth: Auth::Ah(*b"password"), ..instance("", 3, 120) },
        Instance { auth: Auth::Hmac(Box::new(hmac)), ..v3(4) },
        Instance { auth: Auth::Hmac(Box::new(permissive)), ..instance("", 5, 100) },
        Instance { advert_int: Centis(40), ..v3(6) },
        Instance {
            transport: Transport::Unicast { peers, ttl: None, checksum: UnicastChecksum::Auto },
            check_unicast_src: true,
            ..v3(7)
        },
        Instance { owner_ignore_adverts: true, ..instance("", 8, 255) },
        v6(9, VrrpVersion::V3),
        v6(10, VrrpVersion::V2),
    ];
    for (instance, number) in all.iter_mut().zip(1..) {
        instance.name = format!("V{number}");
    }
    let mut part = part(&all);
    part.sync_groups = vec![group("G", &["V1", "V6"])];
    part
}

fn started(host: u8) -> Bench {
    let mut bench = Bench { router: Router::new(&everything()), now: at(10.0) };
    bench.event(Event::WallClock { at_zero: TODAY });
    let mut interfaces = interfaces(host);
    interfaces[0].addresses.push((ip(HOST_6), 64));
    bench.event(Event::Interfaces(interfaces));
    bench
}

/// What a real master of each instance sends: the packets that are then spoilt.
fn genuine() -> Vec<(Envelope, Vec<u8>)> {
    let mut other = started(2);
    let out = other.wait(6.0);
    let packets = out.into_iter().filter_map(|action| match action {
        Action::SendAdvert { source, destination, packet, .. } if source.is_ipv6() => {
            Some((Envelope::V6 { source, destination, hop_limit: 255 }, packet))
        }
        Action::SendAdvert { packet, .. } => Some((Envelope::V4, packet)),
        _ => None,
    });
    packets.collect()
}

#[derive(Debug, Clone)]
struct Spoilt {
    which: usize,
    changes: Vec<(usize, u8)>,
    length: Option<usize>,
    hop_limit: u8,
    after: u16,
}

fn spoilt() -> impl Strategy<Value = Spoilt> {
    let change = (0usize..80, any::<u8>());
    (
        any::<usize>(),
        proptest::collection::vec(change, 0..3),
        proptest::option::weighted(0.2, 0usize..120),
        prop_oneof![3 => Just(255u8), 1 => any::<u8>()],
        0u16..900,
    )
        .prop_map(|(which, changes, length, hop_limit, after)| Spoilt {
            which,
            changes,
            length,
            hop_limit,
            after,
        })
}

/// Everything but counters and marks of what was logged.
fn essence(mut snapshot: Snapshot) -> Snapshot {
    for instance in &mut snapshot.instances {
        instance.counters = crate::vrrp::Counters::default();
        instance.logged = 0;
    }
    snapshot
}

fn received(bench: &Bench) -> u64 {
    bench.router.snapshot(bench.now).instances.iter().map(|i| i.counters.advert_rcvd).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_packet_that_fails_a_check_changes_no_timer(story in proptest::collection::vec(spoilt(), 1..40)) {
        let genuine = genuine();
        let mut bench = started(1);
        let mut dropped = 0;
        for spoilt in &story {
            bench.wait(f64::from(spoilt.after) / 100.0);
            let (mut envelope, mut packet) = genuine[spoilt.which % genuine.len()].clone();
            for (place, value) in &spoilt.changes {
                let place = place % packet.len();
                packet[place] = *value;
            }
            packet.resize(spoilt.length.unwrap_or(packet.len()), 0);
            match &mut envelope {
                Envelope::V6 { hop_limit, .. } => *hop_limit = spoilt.hop_limit,
                Envelope::V4 if packet.len() > 8 => packet[8] = spoilt.hop_limit,
                Envelope::V4 => {}
            }
            let (before, count) = (essence(bench.router.snapshot(bench.now)), received(&bench));
            let deadline = bench.router.deadline();
            let out = bench.event(Event::Advert { index: 1, envelope, packet });
            if received(&bench) > count {
                continue;
            }
            dropped += 1;
            prop_assert_eq!(bench.router.deadline(), deadline);
            prop_assert_eq!(essence(bench.router.snapshot(bench.now)), before);
            let is_told = |action: &Action| matches!(action, Action::Log { .. } | Action::BadAdvert { .. });
            prop_assert!(out.iter().all(is_told), "{:?}", out);
        }
        // AH and HMAC of one recording are replays after the first.
        prop_assert!(dropped > 0 || story.len() < 12, "{} packets, none dropped", story.len());
    }
}

#[test]
fn the_recordings_are_of_every_instance_and_most_are_accepted_once() {
    let genuine = genuine();
    let mut bench = started(1);
    bench.now = at(16.0);
    for (envelope, packet) in &genuine {
        bench.router.handle(
            bench.now,
            Event::Advert { index: 1, envelope: *envelope, packet: packet.clone() },
            &mut Vec::new(),
        );
    }
    let heard: Vec<_> = bench
        .router
        .snapshot(bench.now)
        .instances
        .iter()
        .map(|instance| instance.counters.advert_rcvd > 0)
        .collect();
    // The owner ignores what it hears.
    assert_eq!(heard, [true, true, true, true, true, true, true, false, true, true]);
}

#[test]
fn a_stranger_to_a_unicast_instance_and_a_ttl_out_of_range_arm_no_timer() {
    let config = everything().instances[6].clone();
    let (mut bench, _) = Bench::start(&part(std::slice::from_ref(&config)));
    let as_multicast = Instance { transport: Transport::Multicast { group: ip("10.0.0.1") }, ..config };
    for (from, ttl) in [("10.0.0.3", 255), ("10.0.0.2", 249)] {
        let deadline = bench.router.deadline();
        bench.now = bench.now + secs(0.1);
        let mut packet = advert_of(&as_multicast, from, 200);
        packet[8] = ttl;
        let out = bench.event(Event::Advert { index: 1, envelope: Envelope::V4, packet });
        assert!(out.iter().all(|action| matches!(action, Action::Log { .. })), "{out:?}");
        assert_eq!(bench.router.deadline(), deadline);
    }
    assert_eq!(bench.counters().ip_ttl_err, 1);
}
