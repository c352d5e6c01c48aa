//! Single rows of spec/vrrp-behaviour.md that belong to no longer story.

use super::samples::*;
use crate::config::model::{Auth, Instance, ScriptEnd, TrackFile, Tracked, VirtualAddress, VrrpPart};
use crate::vrrp::{Action, Actions, Envelope, Event, IFF_NOARP, Router, VrrpState};

fn of(priority: u8) -> Instance {
    instance("V", 1, priority)
}

fn reload(bench: &mut Bench, part: &VrrpPart) -> Actions {
    let mut out = Vec::new();
    bench.router.reconfigure(part, bench.now, &mut out);
    out
}

/// §7: "Not sent on NOARP interfaces."
#[test]
fn an_interface_without_arp_hears_no_announcement() {
    for flag in [0, IFF_NOARP] {
        let mut bench = Bench { router: Router::new(&part(&[of(150)])), now: at(10.0) };
        let mut all = interfaces(1);
        all[0].link.flags |= flag;
        bench.event(Event::Interfaces(all));
        let out = bench.wait(4.0);
        assert_eq!(bench.state(0), VrrpState::Master);
        assert_eq!(announced(&out), if flag == 0 { 5 } else { 0 });
    }
}

/// §1.3: "Stored per instance, kept over a reload".
#[test]
fn the_numbers_of_ah_go_on_over_a_reload() {
    let config = Instance { auth: Auth::Ah(*b"password"), ..of(150) };
    let (mut bench, _) = Bench::start(&part(std::slice::from_ref(&config)));
    let numbers = |out: &Actions| -> Vec<u8> {
        out.iter()
            .filter_map(|action| match action {
                Action::SendAdvert { packet, .. } => Some(packet[31]),
                _ => None,
            })
            .collect()
    };
    let out = bench.wait(5.5);
    assert_eq!(numbers(&out), [1, 2, 3]);
    let mut out = reload(&mut bench, &part(&[Instance { priority: of(140).priority, ..config }]));
    out.extend(bench.wait(2.0));
    assert_eq!(numbers(&out)[..2], [4, 5], "{out:?}");
}

/// §8: the sysctl of `promote_secondaries` is set at the start and cleared at the end.
#[test]
fn promote_secondaries_is_set_from_start_to_stop() {
    let config = Instance { promote_secondaries: true, ..of(100) };
    let (mut bench, out) = Bench::start(&part(&[config]));
    let said = |out: &Actions| -> Vec<bool> {
        out.iter()
            .filter_map(|action| match action {
                Action::PromoteSecondaries { interface, on } if interface == "eth0" => Some(*on),
                _ => None,
            })
            .collect()
    };
    assert_eq!(said(&out), [true]);
    let mut out = Vec::new();
    bench.router.stop(bench.now, crate::vrrp::Release::Ours, &mut out);
    assert_eq!(said(&out), [false]);
}

/// §6.1: "base 255 ignores all weights", and a fault is a fault for an owner, too.
#[test]
fn an_owner_keeps_its_priority_whatever_it_tracks() {
    for (priority, expected) in [(255, 255), (200, 170)] {
        let mut part = part(&[of(priority)]);
        part.instances[0].track_files = vec![Tracked { name: "f".into(), weight: -1, reverse: false }].into();
        part.track_files =
            vec![TrackFile { name: "f".into(), path: "/f".into(), weight: 1, reverse: false, init: None }];
        let (mut bench, _) = Bench::start(&part);
        bench.event(Event::File { name: "f".into(), value: 30 });
        bench.wait(4.0);
        assert_eq!(bench.router.snapshot(bench.now).instances[0].effective_priority, expected);
    }
}

/// §8: an address that the host itself has is taken for a leftover; where it is the only one, there is no source.
#[test]
fn the_only_address_of_an_interface_as_virtual_address_is_a_fault() {
    let mut part = part(&[of(150)]);
    // As the host has it.
    let own = VirtualAddress { prefix: 24, ..vip("10.0.0.1", "eth0") };
    part.instances[0].vips = vec![own.clone()];
    let (mut bench, out) = Bench::start(&part);
    assert!(out.iter().any(|action| matches!(action, Action::Remove { .. })), "{out:?}");
    assert_eq!(bench.state(0), VrrpState::Fault);
    assert!(logs(&out).contains(&"(V) entering FAULT state (no IPv4 address for interface)"), "{out:?}");
    // The owner keeps it.
    part.instances[0] = Instance { vips: vec![own], ..of(255) };
    bench = Bench { router: Router::new(&part), now: at(10.0) };
    let out = bench.event(Event::Interfaces(interfaces(1)));
    assert!(!out.iter().any(|action| matches!(action, Action::Remove { .. })), "{out:?}");
}

/// §4.2: "FAULT: from MASTER priority-0 adverts"; a tracker's fault with the link up sends two (trap 17), a member that
/// its group pulls down sends one.
#[test]
fn a_fault_says_goodbye_twice_and_a_pulled_member_once() {
    let other = Instance {
        interface: Some("eth1".into()),
        vips: vec![vip("10.0.1.102", "eth1")],
        ..instance("B", 2, 150)
    };
    let mut part = part(&[Instance { name: "A".into(), ..of(150) }, other]);
    part.sync_groups = vec![group("G", &["A", "B"])];
    part.instances[0].track_scripts = vec![track_script("s", 0)].into();
    part.scripts = vec![script("s")];
    let (mut bench, _) = Bench::start(&part);
    bench.event(Event::ScriptEnded { id: 1, end: ScriptEnd::Exited { status: 0 } });
    bench.wait(4.0);
    assert_eq!(bench.state(0), VrrpState::Master);
    let id = bench.router.scripts[0].running().expect("it runs again");
    let out = bench.event(Event::ScriptEnded { id, end: ScriptEnd::Exited { status: 1 } });
    let of_vrid = |vrid: u8| {
        let is_it = |action: &&Action| matches!(action, Action::SendAdvert { packet, .. } if packet[21] == vrid && packet[22] == 0);
        out.iter().filter(is_it).count()
    };
    assert_eq!((of_vrid(1), of_vrid(2)), (2, 1), "{out:?}");
}

/// §6.1: "Interfaces of VIPs with `dev` are tracked implicitly, too, unless `no_track`"; `dont_track_primary` is for the own one.
#[test]
fn the_interface_of_an_address_is_tracked_unless_that_is_not_wanted() {
    let on = |interface: &str, no_track| VirtualAddress { no_track, ..vip("10.0.1.200", interface) };
    for (address, dont_track_primary, lost, expected) in [
        (on("eth1", false), false, 2, VrrpState::Fault),
        (on("eth1", false), true, 2, VrrpState::Fault),
        (on("eth1", true), false, 2, VrrpState::Backup),
        (on("eth0", false), true, 1, VrrpState::Backup),
        (on("eth0", false), false, 1, VrrpState::Fault),
    ] {
        let config = Instance { excluded: vec![address.clone()].into(), dont_track_primary, ..of(100) };
        let (mut bench, _) = Bench::start(&part(&[config]));
        bench.event(Event::Link(link(lost, if lost == 1 { "eth0" } else { "eth1" }, false)));
        assert_eq!(bench.state(0), expected, "{address:?}, {dont_track_primary}");
    }
}

/// §8: "VIP added by someone else: ignored".
#[test]
fn an_address_that_somebody_else_adds_is_nothing_to_a_backup() {
    let (mut bench, _) = Bench::start(&part(&[of(100)]));
    let before = bench.router.deadline();
    let out = bench.event(Event::AddressAdded { index: 1, address: ip("10.0.0.101"), prefix: 32 });
    let is_word = |action: &Action| matches!(action, Action::Log { .. });
    assert!(out.iter().all(is_word), "{out:?}");
    assert_eq!((bench.state(0), bench.router.deadline()), (VrrpState::Backup, before));
}

/// §2: "an instance in FAULT or INIT ignores everything".
#[test]
fn an_instance_that_waits_hears_nothing() {
    let mut part = part(&[of(100)]);
    part.instances[0].track_scripts = vec![track_script("s", 0)].into();
    part.scripts = vec![script("s")];
    let (mut bench, _) = Bench::start(&part);
    assert_eq!(bench.state(0), VrrpState::Init);
    for _ in 0..2 {
        let before = bench.counters();
        let out = bench.hear("10.0.0.2", 200);
        assert_eq!((out, bench.counters()), (Vec::new(), before));
        // The second time in FAULT.
        bench.event(Event::ScriptEnded { id: 1, end: ScriptEnd::Exited { status: 1 } });
        assert_eq!(bench.state(0), VrrpState::Fault);
    }
}

/// §6.2: what is said of each result.
#[test]
fn every_end_of_a_script_has_its_words() {
    let mut part = part(&[of(150)]);
    part.instances[0].track_scripts = vec![track_script("s", -10)].into();
    part.scripts = vec![script("s")];
    let (mut bench, _) = Bench::start(&part);
    for (end, lines) in [
        (ScriptEnd::Exited { status: 0 }, vec!["VRRP_Script(s) succeeded"]),
        (
            ScriptEnd::Exited { status: 3 },
            vec!["Script `s` now returning 3", "VRRP_Script(s) failed (exited with status 3)"],
        ),
        (ScriptEnd::Exited { status: 4 }, vec!["Script `s` now returning 4"]),
        (ScriptEnd::Exited { status: 0 }, vec!["Script `s` now returning 0", "VRRP_Script(s) succeeded"]),
        (ScriptEnd::Signalled { signal: 9 }, vec!["VRRP_Script(s) failed (due to signal 9)"]),
        (ScriptEnd::Exited { status: 0 }, vec!["VRRP_Script(s) succeeded"]),
        (ScriptEnd::TimedOut, vec!["VRRP_Script(s) timed_out"]),
    ] {
        let id = bench.router.scripts[0].running().expect("it runs");
        let out = bench.event(Event::ScriptEnded { id, end });
        let said: Vec<_> = logs(&out).into_iter().filter(|line| !line.contains("effective")).collect();
        assert_eq!(said, lines, "{end:?}");
        bench.wait(1.1);
    }
}

/// §2: "IPv6: a multicast packet for a unicast instance (or the reverse) is discarded".
#[test]
fn over_ipv6_a_multicast_packet_is_none_for_a_unicast_instance() {
    use crate::config::model::{Family, Transport, UnicastChecksum, UnicastPeer, VrrpVersion};
    let peers = vec![UnicastPeer { address: ip("fd00::2"), min_ttl: None, max_ttl: None }];
    let config = Instance {
        family: Family::V6,
        version: VrrpVersion::V3,
        source: Some(ip("fd00::1")),
        transport: Transport::Unicast { peers, ttl: None, checksum: UnicastChecksum::Auto },
        vips: vec![vip("fd00::101", "eth0")],
        ..of(100)
    };
    let mut bench = Bench { router: Router::new(&part(&[config])), now: at(10.0) };
    let mut all = interfaces(1);
    all[0].addresses.push((ip("fd00::1"), 64));
    bench.event(Event::Interfaces(all));
    // The kernel has looked at the checksum.
    let mut packet = vec![0x31, 1, 150, 1, 0, 100, 0, 0];
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    for (destination, is_accepted) in [("ff02::12", false), ("fd00::1", true)] {
        let (source, destination) = (ip("fd00::2"), ip(destination));
        let envelope = Envelope::V6 { source, destination, hop_limit: 255 };
        bench.now = bench.now + secs(0.5);
        let deadline = bench.router.deadline();
        bench.event(Event::Advert { index: 1, envelope, packet: packet.clone() });
        assert_eq!(bench.router.deadline() != deadline, is_accepted, "{destination}");
    }
}
