//! One router and what it does: start, takeover, yielding, faults, scripts, groups, stop.

use std::time::Duration;

use super::samples::*;
use crate::config::model::{
    Centis, GarpSettings, Instance, NotifyScripts, ScriptEnd, Transport, UnicastChecksum, UnicastPeer,
    VrrpPart, VrrpVersion,
};
use crate::vrrp::{Action, Envelope, Event, Release, VrrpState};

const GOOD: ScriptEnd = ScriptEnd::Exited { status: 0 };

fn notifying(name: &str, vrid: u8, priority: u8) -> Instance {
    let notify = NotifyScripts {
        backup: Some(command("/backup")),
        master: Some(command("/master")),
        fault: Some(command("/fault")),
        stop: Some(command("/stop")),
        rx_lower_pri: Some(command("/lower")),
        generic: Some(command("/n")),
        ..NotifyScripts::default()
    };
    Instance { notify: notify.into(), ..instance(name, vrid, priority) }
}

#[test]
fn a_start_waits_the_full_master_down_time_and_then_takes_over_in_stocks_order() {
    let (mut bench, out) = Bench::start(&part(&[notifying("V", 1, 150)]));
    assert_eq!(logs(&out), ["(V) Entering BACKUP STATE (init)"]);
    assert_eq!(notified(&out), ["/backup", "/n INSTANCE V BACKUP 150"]);
    assert_eq!(bench.router.deadline(), Some(at(10.0) + Duration::from_nanos(3_414_062_500)));
    let out = bench.wait(3.42);
    let order: Vec<_> = out
        .iter()
        .filter_map(|action| match action {
            Action::SendAdvert { .. } => Some("advert"),
            Action::Add { .. } => Some("address"),
            Action::Announce { copies: 5, .. } => Some("garps"),
            Action::Notify { .. } => Some("notify"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["advert", "address", "garps", "notify"]);
    assert_eq!(logs(&out), ["(V) Entering MASTER STATE"]);
    assert_eq!(notified(&out), ["/master", "/n INSTANCE V MASTER 150"]);
    assert_eq!(adverts(&bench.wait(3.0)), [150, 150, 150]);
}

#[test]
fn an_owner_is_master_at_once_and_never_was_backup() {
    let (bench, out) = Bench::start(&part(&[notifying("V", 1, 255)]));
    assert_eq!(logs(&out), ["(V) Entering MASTER STATE"]);
    assert_eq!(notified(&out), ["/master", "/n INSTANCE V MASTER 255"]);
    assert_eq!(bench.state(0), VrrpState::Master);
}

#[test]
fn leftovers_of_an_earlier_life_are_removed_at_start() {
    let mut router = crate::vrrp::Router::new(&part(&[instance("V", 1, 150)]));
    let mut interfaces = interfaces(1);
    interfaces[0].addresses.push((ip("10.0.0.101"), 32));
    let mut out = Vec::new();
    router.handle(at(1.0), Event::Interfaces(interfaces), &mut out);
    assert!(out.iter().any(|action| matches!(action, Action::Remove { .. })));
}

#[test]
fn an_heir_removes_what_an_untold_takeover_has_left_and_nothing_of_a_masters() {
    let part = part(&[instance("V", 1, 100), instance("W", 2, 100)]);
    let (mut bench, _) = Bench::start(&part);
    bench.wait(4.0);
    // V is a BACKUP again, W a MASTER; the state says nothing of the address that V's last, interrupted takeover added.
    bench.hear("10.0.0.2", 150);
    assert_eq!((bench.state(0), bench.state(1)), (VrrpState::Backup, VrrpState::Master));
    let mut interfaces = interfaces(1);
    interfaces[0].addresses.extend([(ip("10.0.0.101"), 32), (ip("10.0.0.102"), 32)]);
    let mut out = Vec::new();
    let mut heir = crate::vrrp::Router::resume(&part, bench.router.state(), &mut out);
    let removals = |out: &[Action]| -> Vec<String> {
        let removed = out.iter().filter_map(|action| match action {
            Action::Remove { owner, objects } => Some(format!("{owner:?} {objects:?}")),
            _ => None,
        });
        removed.collect()
    };
    let now = bench.now;
    heir.handle(now, Event::Interfaces(interfaces.clone()), &mut out);
    let removed = removals(&out);
    assert!(
        matches!(&removed[..], [one] if one.contains("10.0.0.101") && !one.contains("10.0.0.102")),
        "{removed:?}"
    );
    out.clear();
    heir.handle(now, Event::Interfaces(interfaces), &mut out);
    assert_eq!(removals(&out), [""; 0], "later dumps are no inheritance");
}

#[test]
fn a_higher_priority_is_yielded_to_without_a_farewell() {
    let (mut bench, _) = Bench::start(&part(&[notifying("V", 1, 100)]));
    bench.wait(4.0);
    let out = bench.hear("10.0.0.2", 150);
    assert_eq!(adverts(&out), [0u8; 0]);
    assert_eq!(
        logs(&out),
        [
            "(V) Master received advert from 10.0.0.2 with higher priority 150, ours 100",
            "(V) Entering BACKUP STATE"
        ]
    );
    assert!(out.iter().any(|action| matches!(action, Action::Remove { .. })));
    assert_eq!(notified(&out), ["/backup", "/n INSTANCE V BACKUP 100"]);
}

#[test]
fn of_equal_priorities_the_higher_address_wins() {
    let (mut bench, _) = Bench::start(&part(&[instance("V", 1, 100)]));
    bench.wait(4.0);
    assert_eq!(adverts(&bench.hear("10.0.0.0", 100)), [100]);
    assert_eq!(bench.state(0), VrrpState::Master);
    let out = bench.hear("10.0.0.2", 100);
    assert_eq!(
        logs(&out)[0],
        "(V) Master received advert from 10.0.0.2 with same priority 100 but higher IP address than ours"
    );
    assert_eq!(bench.state(0), VrrpState::Backup);
}

#[test]
fn a_lower_priority_is_answered_at_once_with_an_advert_and_a_burst() {
    let (mut bench, _) = Bench::start(&part(&[notifying("V", 1, 150)]));
    bench.wait(4.0);
    let out = bench.hear("10.0.0.2", 100);
    assert_eq!(adverts(&out), [150]);
    assert_eq!(announced(&out), 5);
    assert_eq!(notified(&out), ["/lower"], "the generic script does not hear of it");
}

#[test]
fn rejected_packets_do_not_silence_a_master() {
    let (mut bench, _) = Bench::start(&part(&[instance("V", 1, 150)]));
    bench.wait(4.0);
    let mut rubbish = advert_of(&instance("V", 1, 200), "10.0.0.9", 200);
    rubbish[8] = 64;
    let mut sent = 0;
    for _ in 0..10 {
        bench.event(Event::Advert { index: 1, envelope: Envelope::V4, packet: rubbish.clone() });
        sent += adverts(&bench.wait(0.4)).len();
    }
    assert_eq!(sent, 4);
    assert_eq!(bench.counters().ip_ttl_err, 10);
}

#[test]
fn a_backup_discards_lower_priorities_and_keeps_its_timer() {
    let (mut bench, _) = Bench::start(&part(&[instance("V", 1, 150)]));
    let due = bench.router.deadline();
    bench.now = at(11.0);
    let out = bench.hear("10.0.0.2", 100);
    assert_eq!(logs(&out), ["(V) received lower priority (100) advert from 10.0.0.2 - discarding"]);
    assert_eq!(bench.router.deadline(), due);
}

#[test]
fn nopreempt_lives_with_a_lower_master() {
    let config = Instance { preempt: false, ..instance("V", 1, 150) };
    let (mut bench, _) = Bench::start(&part(&[config]));
    for _ in 0..10 {
        bench.wait(1.0);
        bench.hear("10.0.0.2", 100);
    }
    assert_eq!(bench.state(0), VrrpState::Backup);
    bench.wait(3.5);
    assert_eq!(bench.state(0), VrrpState::Master);
}

#[test]
fn preempt_delay_waits_from_the_first_lower_advert_on() {
    let config = Instance { preempt_delay: Duration::from_secs(4), ..instance("V", 1, 150) };
    let (mut bench, _) = Bench::start(&part(&[config]));
    bench.now = at(10.5);
    let mut master_at = None;
    for i in 0..12_u8 {
        let out = bench.hear("10.0.0.2", 100);
        if i == 0 {
            assert_eq!(logs(&out), ["(V) start preempt delay (4.000000)"]);
        }
        bench.wait(1.0);
        if bench.state(0) == VrrpState::Master {
            master_at = Some(i);
            break;
        }
    }
    // The delay ends at 14.5, the last accepted advert came at 13.5: timer until 16.9.
    assert_eq!(master_at, Some(6));
}

#[test]
fn a_master_that_says_goodbye_is_replaced_after_the_skew() {
    let (mut bench, _) = Bench::start(&part(&[instance("V", 1, 100)]));
    bench.wait(1.0);
    bench.hear("10.0.0.2", 150);
    bench.hear("10.0.0.2", 0);
    assert_eq!(bench.router.deadline(), Some(bench.now + Duration::from_micros(609_375)));
    bench.wait(0.7);
    assert_eq!(bench.state(0), VrrpState::Master);
    assert_eq!(adverts(&bench.hear("10.0.0.2", 0)), [100], "a master answers a farewell");
}

#[test]
fn version_3_learns_the_masters_interval() {
    let ours = Instance { version: VrrpVersion::V3, advert_int: Centis(200), ..instance("V", 1, 100) };
    let theirs = Instance { advert_int: Centis(50), ..ours.clone() };
    let (mut bench, _) = Bench::start(&part(&[ours]));
    let out = bench.hear_as(&theirs, "10.0.0.2", 150);
    assert_eq!(
        logs(&out),
        [
            "(V) 10.0.0.2 differs in its advertisement interval: ours 2 s, theirs 0.5 s",
            "(V) advertisement interval mismatch ours = 200 centi-sec rcv'd=50 centi-sec",
            "(V) advertisement interval updated from 2000ms to 500ms by master"
        ]
    );
    let takeover = Duration::from_millis(1500) + Duration::from_millis(500) * 156 / 256;
    assert_eq!(bench.router.deadline(), Some(bench.now + takeover));
}

#[test]
fn a_lost_carrier_is_a_fault_and_its_return_a_fresh_start() {
    let (mut bench, _) = Bench::start(&part(&[notifying("V", 1, 150)]));
    bench.wait(4.0);
    let out = bench.event(Event::Link(link(1, "eth0", false)));
    assert_eq!(logs(&out), ["Netlink reports eth0 down", "(V) Entering FAULT STATE"]);
    assert_eq!(adverts(&out), [0, 0], "both code paths of stock send one");
    assert_eq!(notified(&out), ["/fault", "/n INSTANCE V FAULT 150"]);
    assert_eq!(bench.router.deadline(), None);
    assert_eq!(bench.hear("10.0.0.2", 100), []);
    let out = bench.event(Event::Link(link(1, "eth0", true)));
    assert_eq!(logs(&out), ["Netlink reports eth0 up", "(V) Entering BACKUP STATE"]);
    assert_eq!(bench.router.deadline(), Some(bench.now + Duration::from_nanos(3_414_062_500)));
}

#[test]
fn of_two_tracked_interfaces_that_are_down_both_must_come_back() {
    let config = Instance {
        track_interfaces: vec![track_interface("eth1", 0), track_interface("eth2", 0)].into(),
        ..instance("V", 1, 150)
    };
    let (mut bench, out) = Bench::start(&part(&[config]));
    assert_eq!(bench.state(0), VrrpState::Fault, "eth2 does not exist: {out:?}");
    bench.event(Event::Link(link(2, "eth1", false)));
    bench.event(Event::Link(link(3, "eth2", true)));
    assert_eq!(bench.state(0), VrrpState::Fault);
    bench.event(Event::Link(link(2, "eth1", true)));
    assert_eq!(bench.state(0), VrrpState::Backup);
}

#[test]
fn the_source_follows_the_interface_and_without_one_there_is_a_fault() {
    let mut router = crate::vrrp::Router::new(&part(&[instance("V", 1, 150)]));
    let mut none = interfaces(1);
    none[0].addresses.clear();
    let mut out = Vec::new();
    router.handle(at(1.0), Event::Interfaces(none), &mut out);
    assert_eq!(
        logs(&out),
        ["(V) entering FAULT state (no IPv4 address for interface)", "(V) Entering FAULT STATE"]
    );
    out.clear();
    let added = Event::AddressAdded { index: 1, address: ip("10.0.0.7"), prefix: 24 };
    router.handle(at(2.0), added, &mut out);
    assert_eq!(logs(&out), ["(V) Entering BACKUP STATE"]);
    assert_eq!(router.snapshot(at(2.0)).instances[0].source, Some(ip("10.0.0.7")));
}

fn script_part(weight: i32) -> VrrpPart {
    let config = Instance { track_scripts: vec![track_script("s", weight)].into(), ..notifying("V", 1, 150) };
    VrrpPart { scripts: vec![script("s")], ..part(&[config]) }
}

fn run_id(out: &[Action]) -> u64 {
    out.iter()
        .find_map(|action| match action {
            Action::RunScript { id, .. } => Some(*id),
            _ => None,
        })
        .unwrap()
}

#[test]
fn an_unweighted_script_is_waited_for_and_its_failure_is_a_fault() {
    let (mut bench, out) = Bench::start(&script_part(0));
    assert_eq!((bench.state(0), notified(&out).len()), (VrrpState::Init, 0));
    let out = bench.event(Event::ScriptEnded { id: run_id(&out), end: GOOD });
    assert_eq!(logs(&out), ["VRRP_Script(s) succeeded", "(V) Entering BACKUP STATE"]);
    let out = bench.wait(1.0);
    let end = ScriptEnd::Exited { status: 3 };
    let out = bench.event(Event::ScriptEnded { id: run_id(&out), end });
    assert_eq!(
        logs(&out),
        [
            "Script `s` now returning 3",
            "VRRP_Script(s) failed (exited with status 3)",
            "(V) Entering FAULT STATE"
        ]
    );
    let out = bench.wait(1.0);
    let out = bench.event(Event::ScriptEnded { id: run_id(&out), end: GOOD });
    assert_eq!(
        logs(&out),
        ["Script `s` now returning 0", "VRRP_Script(s) succeeded", "(V) Entering BACKUP STATE"]
    );
}

#[test]
fn a_weighted_script_changes_the_priority_at_once_and_shifts_the_timer() {
    let (mut bench, out) = Bench::start(&script_part(20));
    let due = bench.router.snapshot(bench.now).instances[0].timer.unwrap();
    let out = bench.event(Event::ScriptEnded { id: run_id(&out), end: GOOD });
    assert_eq!(logs(&out), ["VRRP_Script(s) succeeded", "(V) Changing effective priority from 150 to 170"]);
    let snapshot = bench.router.snapshot(bench.now);
    assert_eq!(snapshot.instances[0].timer, Some(due - secs(20.0 / 256.0)));
    assert_eq!(notified(&out), [""; 0]);
}

#[test]
fn unicast_sends_one_copy_to_each_peer_under_one_identification() {
    let peer = |address: &str| UnicastPeer { address: ip(address), min_ttl: None, max_ttl: None };
    let peers = vec![peer("10.0.0.2"), peer("10.0.0.3")];
    let transport = Transport::Unicast { peers, ttl: Some(77), checksum: UnicastChecksum::Auto };
    let config = Instance { transport, ..instance("V", 1, 255) };
    let (_, out) = Bench::start(&part(&[config]));
    let packets: Vec<_> = out
        .iter()
        .filter_map(|action| match action {
            Action::SendAdvert { packet, destination, .. } => Some((packet, *destination)),
            _ => None,
        })
        .collect();
    assert_eq!(packets.len(), 2);
    assert_eq!((packets[0].1, packets[1].1), (ip("10.0.0.2"), ip("10.0.0.3")));
    for (packet, _) in packets {
        assert_eq!((packet[5], packet[8]), (1, 77), "identification and TTL");
    }
}

fn group_part() -> VrrpPart {
    let other = Instance {
        interface: Some("eth1".into()),
        vips: vec![vip("10.0.1.102", "eth1")],
        ..notifying("B", 2, 100)
    };
    VrrpPart { sync_groups: vec![group("G", &["A", "B"])], ..part(&[notifying("A", 1, 150), other]) }
}

#[test]
fn a_sync_group_goes_master_when_its_last_member_wishes_it() {
    let (mut bench, out) = Bench::start(&group_part());
    assert_eq!(notified(&out).last().unwrap(), "/g GROUP G BACKUP 0");
    let out = bench.wait(3.5);
    assert_eq!(logs(&out), [""; 0], "A wishes and waits");
    assert_eq!(bench.state(0), VrrpState::Backup);
    let out = bench.wait(0.2);
    assert_eq!(
        logs(&out),
        [
            "(B) Entering MASTER STATE",
            "VRRP_Group(G) Syncing instances to MASTER state",
            "(A) Entering MASTER STATE"
        ]
    );
    assert_eq!(
        notified(&out),
        ["/master", "/n INSTANCE B MASTER 100", "/master", "/n INSTANCE A MASTER 150", "/g GROUP G MASTER 0"]
    );
}

#[test]
fn one_broken_member_pulls_its_group_down_and_its_repair_up() {
    let (mut bench, _) = Bench::start(&group_part());
    bench.wait(4.0);
    let out = bench.event(Event::Link(link(2, "eth1", false)));
    assert_eq!(
        logs(&out),
        [
            "Netlink reports eth1 down",
            "(B) Entering FAULT STATE",
            "VRRP_Group(G) Syncing instances to FAULT state",
            "(A) Entering FAULT STATE"
        ]
    );
    assert_eq!(adverts(&out), [0, 0, 0], "two of the broken one, one of the pulled one");
    assert_eq!(notified(&out).last().unwrap(), "/g GROUP G FAULT 0");
    let out = bench.event(Event::Link(link(2, "eth1", true)));
    assert_eq!(
        logs(&out),
        [
            "Netlink reports eth1 up",
            "(B) Entering BACKUP STATE",
            "VRRP_Group(G) Syncing instances to BACKUP state",
            "(A) Entering BACKUP STATE"
        ]
    );
}

#[test]
fn a_member_that_yields_takes_its_group_along() {
    let (mut bench, _) = Bench::start(&group_part());
    bench.wait(4.0);
    let out = bench.hear("10.0.0.2", 200);
    assert_eq!(adverts(&out), [0u8; 0]);
    assert_eq!((bench.state(0), bench.state(1)), (VrrpState::Backup, VrrpState::Backup));
    assert_eq!(notified(&out).last().unwrap(), "/g GROUP G BACKUP 0");
}

#[test]
fn a_stop_says_goodbye_and_leaves_nothing() {
    let (mut bench, _) = Bench::start(&group_part());
    bench.wait(4.0);
    let mut out = Vec::new();
    bench.router.stop(bench.now, Release::Ours, &mut out);
    assert_eq!(adverts(&out), [0, 0]);
    assert_eq!(out.iter().filter(|action| matches!(action, Action::Remove { .. })).count(), 2);
    assert_eq!(
        notified(&out),
        ["/stop", "/n INSTANCE A STOP 150", "/stop", "/n INSTANCE B STOP 100", "/g GROUP G STOP 0"]
    );
    assert_eq!(bench.router.deadline(), None);
}

#[test]
fn a_stop_that_keeps_everything_sends_nothing() {
    let (mut bench, _) = Bench::start(&part(&[instance("V", 1, 150)]));
    bench.wait(4.0);
    let mut out = Vec::new();
    bench.router.stop(bench.now, Release::Nothing, &mut out);
    assert_eq!(adverts(&out), [0u8; 0]);
    assert!(!out.iter().any(|action| matches!(action, Action::Remove { .. })));
}

#[test]
fn during_the_startup_delay_adverts_are_ignored_and_timers_wait() {
    let mut part = part(&[instance("V", 1, 150)]);
    part.global.vrrp_startup_delay = Duration::from_secs(5);
    let (mut bench, out) = Bench::start(&part);
    assert_eq!(logs(&out)[0], "Delaying startup for 5 seconds");
    assert_eq!(bench.hear("10.0.0.2", 200), []);
    assert_eq!(logs(&bench.wait(5.0)), ["Delayed start completed"]);
    bench.wait(3.3);
    assert_eq!(bench.state(0), VrrpState::Backup);
    bench.wait(0.2);
    assert_eq!(bench.state(0), VrrpState::Master);
}

#[test]
fn arps_of_one_interface_keep_their_distance() {
    let mut part = part(&[instance("V", 1, 255)]);
    part.global.garp_interval = Duration::from_millis(100);
    let (mut bench, out) = Bench::start(&part);
    assert_eq!(announced(&out), 1);
    assert_eq!(announced(&bench.wait(0.25)), 2);
    assert_eq!(announced(&bench.wait(1.0)), 2);
}

#[test]
fn an_arp_that_still_waits_is_not_sent_after_the_address_is_given_up() {
    let mut part = part(&[instance("V", 1, 100)]);
    part.global.garp_interval = Duration::from_millis(100);
    let (mut bench, _) = Bench::start(&part);
    bench.wait(3.7);
    bench.hear("10.0.0.2", 150);
    let out = bench.wait(1.0);
    assert_eq!(announced(&out), 0, "{out:?}");
}

#[test]
fn a_second_burst_follows_after_the_delay() {
    let garp = GarpSettings { delay: Duration::from_secs(2), repeat: 3, ..GarpSettings::default() };
    let config = Instance { garp: garp.into(), ..instance("V", 1, 255) };
    let (mut bench, _) = Bench::start(&part(&[config]));
    let out = bench.wait(2.0);
    assert_eq!(announced(&out), 3);
}

#[test]
fn two_owners_end_with_one_after_the_lower_address_was_told_twice() {
    let (mut bench, _) = Bench::start(&part(&[instance("V", 1, 255)]));
    let out = bench.hear("10.0.0.0", 255);
    assert!(logs(&out)[0].starts_with("(V) CONFIGURATION ERROR: local instance and 10.0.0.0"));
    bench.wait(1.1);
    let out = bench.hear("10.0.0.0", 255);
    assert!(
        logs(&out).iter().any(|line| line.ends_with("please resolve - reducing our priority")),
        "{out:?}"
    );
    assert_eq!(bench.state(0), VrrpState::Backup);
    assert_eq!(bench.router.snapshot(bench.now).instances[0].effective_priority, 254);
    let out = bench.wait(4.0);
    assert!(logs(&out).contains(&"(V) Restoring our priority to 255"));
}

#[test]
fn an_announcement_on_request_is_one_round_of_a_masters_addresses() {
    let (mut bench, _) = Bench::start(&part(&[instance("V", 1, 150)]));
    let asked = |bench: &mut Bench, name: &str| {
        let mut out = Vec::new();
        bench.router.announce(name, bench.now, &mut out);
        bench.router.deadline();
        out.into_iter().filter(|action| matches!(action, Action::Announce { copies: 1, .. })).count()
    };
    assert_eq!(asked(&mut bench, "V"), 0, "a backup announces nothing");
    bench.wait(4.0);
    assert_eq!([asked(&mut bench, "V"), asked(&mut bench, "W")], [1, 0]);
}
