//! The vrrp process' reports of one small cluster member, whole: a change of layout shows up as a difference.

use std::time::Duration;

use super::clock::Clock;
use super::json::json;
use super::vrrp::{Socket, View, data, stats};
use crate::config::model::{
    AntiReplay, Auth, AuthHmac, Centis, HmacKey, HmacMode, Identity, Instance, NotifyScripts, ScriptGroups,
    Transport, UnicastChecksum, UnicastPeer, VrrpPart, VrrpVersion,
};
use crate::vrrp::tests::samples::*;
use crate::vrrp::{Action, Listener};

/// A master in a group with a script, and a unicast backup of version 3.
fn part() -> VrrpPart {
    let notify = NotifyScripts { master: Some(command("/etc/n.sh")), ..NotifyScripts::default() };
    let first = Instance {
        auth: Auth::Pass(*b"secret\0\0"),
        excluded: vec![vip("10.0.1.9", "eth1")].into(),
        track_scripts: vec![track_script("s", 20)].into(),
        notify: notify.into(),
        ..instance("V1", 51, 150)
    };
    let peers = vec![UnicastPeer { address: ip("10.0.0.2"), min_ttl: None, max_ttl: Some(64) }];
    let second = Instance {
        version: VrrpVersion::V3,
        advert_int: Centis(50),
        transport: Transport::Unicast { peers, ttl: None, checksum: UnicastChecksum::Auto },
        preempt: false,
        preempt_delay: Duration::from_millis(2500),
        track_interfaces: vec![track_interface("eth1", -10)].into(),
        ..instance("V2", 52, 100)
    };
    let mut part = crate::vrrp::tests::samples::part(&[first, second]);
    part.scripts = vec![script("s")];
    part.sync_groups = vec![group("G", &["V1"])];
    part
}

struct Told {
    part: VrrpPart,
    bench: Bench,
    sockets: Vec<Socket>,
    clock: Clock,
}

fn tell() -> Told {
    let part = part();
    let (mut bench, out) = Bench::start(&part);
    let listeners: Vec<Listener> = out
        .iter()
        .find_map(|action| match action {
            Action::Listen(listeners) => Some(listeners.clone()),
            _ => None,
        })
        .unwrap();
    let sockets = listeners
        .into_iter()
        .zip(10..)
        .map(|(listener, fd)| Socket { listener, fd_in: fd, fd_out: fd + 10 })
        .collect();
    bench.wait(4.0);
    let heard = part.instances[1].clone();
    let as_multicast = Instance { transport: Transport::Multicast { group: ip("10.0.0.1") }, ..heard };
    let mut packet = advert_of(&as_multicast, "10.0.0.2", 120);
    packet[8] = 64;
    bench.event(crate::vrrp::Event::Advert { index: 1, envelope: crate::vrrp::Envelope::V4, packet });
    let clock = Clock { now: bench.now, epoch: Duration::from_secs(1_795_242_531), utc_offset: 0 };
    Told { part, bench, sockets, clock }
}

#[test]
fn the_data_dump_is_laid_out_as_stocks() {
    let told = tell();
    let snapshot = told.bench.router.snapshot(told.bench.now);
    let text =
        data(View { part: &told.part, snapshot: &snapshot, clock: told.clock, sockets: &told.sockets });
    let topology = text.find("------< VRRP Topology").unwrap();
    insta::assert_snapshot!(&text[topology..]);
}

#[test]
fn the_statistics_are_laid_out_as_stocks() {
    let told = tell();
    insta::assert_snapshot!(stats(&told.part, &told.bench.router.snapshot(told.bench.now)));
}

#[test]
fn the_json_dump_is_one_line_that_a_parser_reads() {
    let told = tell();
    let snapshot = told.bench.router.snapshot(told.bench.now);
    let text = json(&told.part, &snapshot, told.clock).unwrap();
    assert_eq!(text.lines().count(), 1);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value[0]["data"]["state"], 2);
    assert_eq!(value[1]["data"]["master_priority"], 120);
    assert_eq!(value[1]["stats"]["advert_rcvd"], 1);
    insta::assert_snapshot!(text);
    assert_eq!(json(&VrrpPart::default(), &snapshot, told.clock), None);
}

#[test]
fn authentication_and_its_sockets_have_stocks_lines() {
    let hmac = AuthHmac {
        keys: vec![HmacKey { id: 7, value: vec![1; 32] }, HmacKey { id: 9, value: vec![2; 32] }],
        active: 9,
        anti_replay: AntiReplay::Time { window: Duration::from_secs(5) },
        mode: HmacMode::ReceiveOnly,
    };
    let first = Instance { auth: Auth::Ah(*b"secret\0\0"), ..instance("V1", 51, 150) };
    let second = Instance { auth: Auth::Hmac(Box::new(hmac)), ..instance("V2", 52, 100) };
    let part = crate::vrrp::tests::samples::part(&[first, second]);
    let (bench, out) = Bench::start(&part);
    let Some(Action::Listen(listeners)) = out.iter().find(|action| matches!(action, Action::Listen(_)))
    else {
        panic!("no sockets")
    };
    assert_eq!(listeners.len(), 2, "for AH, and one for everything else");
    let sockets: Vec<_> = listeners
        .iter()
        .zip(10..)
        .map(|(listener, fd)| Socket { listener: listener.clone(), fd_in: fd, fd_out: fd + 10 })
        .collect();
    let clock = Clock { now: bench.now, epoch: Duration::from_secs(1_795_242_531), utc_offset: 0 };
    let snapshot = bench.router.snapshot(bench.now);
    let text = data(View { part: &part, snapshot: &snapshot, clock, sockets: &sockets });
    for lines in [
        "   Authentication type = IPSEC_AH\n   Virtual IP",
        "   Authentication type = none\n   Authentication extension = HMAC-SHA256-128\n     Keys = 2, active key id = 9\n     Mode = receive-only\n     Anti replay = time, window = 5 sec\n",
        "   Protocol = AH\n   Type = Multicast\n   Rx buf size = 0\n   VRRP instances\n     V1 vrid 51\n",
        "   Protocol = VRRP\n   Type = Multicast\n   Rx buf size = 0\n   VRRP instances\n     V2 vrid 52\n",
    ] {
        assert!(text.contains(lines), "no\n{lines}in\n{text}");
    }
    assert!(!text.contains("secret"));
    let json = json(&part, &snapshot, clock).unwrap();
    assert!(
        json.contains(r#""auth_type":2,"auth_data":"********""#) && json.contains(r#""auth_type":0}"#),
        "{json}"
    );
}

#[test]
fn supplementary_groups_stand_below_those_who_have_them() {
    let mut part = part();
    let nobody = Identity { uid: 65534, gid: 65534, supplementary: true };
    part.instances[0].notify.master.as_mut().unwrap().identity = nobody;
    part.global.script_users.parent = Some(nobody);
    part.global.script_groups.note(nobody, || vec![65534, 8]);
    let (bench, _) = Bench::start(&part);
    let clock = Clock { now: bench.now, epoch: Duration::from_secs(1_795_242_531), utc_offset: 0 };
    let text = data(View { part: &part, snapshot: &bench.router.snapshot(bench.now), clock, sockets: &[] });
    for lines in [
        " Default script uid:gid 65534:65534\n   Supplementary groups:\n     65534\n     8\n",
        ", uid:gid 65534:65534\n     Supplementary groups:\n       65534\n       8\n   Notify priority",
    ] {
        assert!(text.contains(lines), "no\n{lines}in\n{text}");
    }
    part.global.script_groups = ScriptGroups::default();
    let text = data(View { part: &part, snapshot: &bench.router.snapshot(bench.now), clock, sockets: &[] });
    assert!(!text.contains("Supplementary groups:"), "{text}");
}
