//! VMACs: waited for, used, put back, given up; and what becomes of them at a reload and at a stop.

use std::time::Duration;

use super::samples::*;
use crate::config::model::{
    Family, Instance, InstanceLinks, MacOrigin, VipRepair, VirtualLink, VirtualLinkKind,
};
use crate::vrrp::{Action, Event, Interface, Link, LinkKind, MACVLAN_PRIVATE, Owned, Release, VrrpState};

const MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 1];

fn vmac(name: &str, base: &str) -> VirtualLink {
    VirtualLink {
        name: name.into(),
        base: base.into(),
        kind: VirtualLinkKind::Vmac { mac: MAC, origin: MacOrigin::Rfc },
        family: Family::V4,
        ipv4: true,
        ipv6: false,
        group: None,
    }
}

fn on_vmac(priority: u8) -> Instance {
    let links = InstanceLinks { own: Some(vmac("vrrp.1", "eth0")), ..InstanceLinks::default() };
    Instance { links: links.into(), vips: vec![vip("10.0.0.101", "vrrp.1")], ..instance("V", 1, priority) }
}

fn made(index: u32) -> Link {
    let kind = LinkKind::Macvlan { mode: MACVLAN_PRIVATE };
    Link { kind, base: 1, mac: MAC.to_vec(), ..link(index, "vrrp.1", true) }
}

/// The kernel made it; it is not up yet.
fn born(index: u32) -> Link {
    Link { flags: 0, ..made(index) }
}

fn asked(out: &[Action]) -> usize {
    out.iter().filter(|action| matches!(action, Action::MakeLink { .. })).count()
}

fn sent_on(out: &[Action]) -> Vec<u32> {
    out.iter()
        .filter_map(|action| match action {
            Action::SendAdvert { index, .. } => Some(*index),
            _ => None,
        })
        .collect()
}

/// A MASTER on its VMAC, which has index 7.
fn master() -> Bench {
    let (mut bench, out) = Bench::start(&part(&[on_vmac(255)]));
    assert_eq!(asked(&out), 1);
    let guard = Action::GuardArp { interface: "eth0".into(), arp_ignore: 1, arp_filter: 1 };
    assert!(out.contains(&guard));
    assert_eq!(bench.state(0), VrrpState::Init, "it waits for its link");
    let out = bench.event(Event::Link(made(7)));
    assert_eq!(bench.state(0), VrrpState::Master);
    assert_eq!(sent_on(&out), [7]);
    bench
}

#[test]
fn an_instance_starts_when_its_vmac_is_there_and_sends_from_it_with_the_parents_address() {
    let mut bench = master();
    let out = bench.wait(1.0);
    assert_eq!(sent_on(&out), [7]);
    let from =
        |action: &Action| matches!(action, Action::SendAdvert { source, .. } if *source == ip("10.0.0.1"));
    assert!(out.iter().any(from));
}

#[test]
fn a_vmac_comes_up_when_the_firewall_knows_it() {
    let (mut bench, _) = Bench::start(&part(&[on_vmac(255)]));
    let out = bench.event(Event::Link(born(7)));
    let place = |wanted: &dyn Fn(&Action) -> bool| out.iter().position(wanted).unwrap();
    let firewall =
        place(&|action| matches!(action, Action::Firewall(Some(set)) if set.v4.vmacs.contains(&(7, 1))));
    assert!(firewall < place(&|action| *action == Action::RaiseLink { index: 7 }));
    assert_eq!(bench.state(0), VrrpState::Init);
}

#[test]
fn with_xmit_base_adverts_leave_on_the_interface_itself() {
    let mut config = on_vmac(255);
    config.links.xmit_base = true;
    let (mut bench, _) = Bench::start(&part(&[config]));
    assert_eq!(sent_on(&bench.event(Event::Link(made(7)))), [1]);
}

#[test]
fn a_vmac_that_somebody_removes_is_put_back_and_the_instance_stays_master() {
    let mut bench = master();
    let down = Link { flags: 0, ..made(7) };
    bench.event(Event::Link(down));
    bench.event(Event::LinkDeleted { index: 7 });
    let out = bench.wait(0.0);
    assert_eq!((asked(&out), bench.state(0)), (1, VrrpState::Master));
    let out = bench.event(Event::Link(made(8)));
    assert_eq!(bench.state(0), VrrpState::Master);
    assert_eq!(sent_on(&out), [8]);
    let added = |action: &Action| {
        matches!(action, Action::Add { objects, .. }
            if matches!(&objects[..], [Owned::Address(vip)] if vip.address == ip("10.0.0.101")))
    };
    assert!(out.iter().any(added), "{out:?}");
}

/// Measured with 2.2.7: FAULT, the VMAC is made again at once, BACKUP, and MASTER after the whole master-down time.
#[test]
fn in_stocks_way_a_lost_vmac_is_a_fault_and_its_return_a_fresh_start() {
    let (mut bench, _) = Bench::start(&part(&[Instance { vip_repair: VipRepair::Stock, ..on_vmac(150) }]));
    bench.event(Event::Link(made(7)));
    bench.wait(4.0);
    assert_eq!(bench.state(0), VrrpState::Master);
    bench.event(Event::Link(Link { flags: 0, ..made(7) }));
    bench.event(Event::LinkDeleted { index: 7 });
    assert_eq!(bench.state(0), VrrpState::Fault);
    assert_eq!(asked(&bench.wait(0.0)), 1);
    assert_eq!(bench.state(0), VrrpState::Fault);
    bench.event(Event::Link(made(8)));
    assert_eq!(bench.state(0), VrrpState::Backup);
    bench.wait(3.3);
    assert_eq!(bench.state(0), VrrpState::Backup);
    bench.wait(0.2);
    assert_eq!(bench.state(0), VrrpState::Master);
}

#[test]
fn a_vmac_that_is_removed_again_and_again_is_left_alone_for_a_while() {
    let mut bench = master();
    for index in 7..10 {
        bench.event(Event::LinkDeleted { index });
        assert_eq!(asked(&bench.wait(0.0)), 1);
        bench.event(Event::Link(made(index + 1)));
    }
    bench.event(Event::LinkDeleted { index: 10 });
    assert_eq!(asked(&bench.wait(9.0)), 0);
    assert_eq!(bench.state(0), VrrpState::Fault);
    assert_eq!(asked(&bench.wait(1.5)), 1);
    bench.event(Event::Link(made(11)));
    assert_eq!(bench.state(0), VrrpState::Master);
}

#[test]
fn a_vmac_that_only_goes_down_is_a_fault() {
    let mut bench = master();
    bench.event(Event::Link(Link { flags: 0, ..made(7) }));
    assert_eq!(bench.state(0), VrrpState::Master);
    bench.wait(0.03);
    assert_eq!(bench.state(0), VrrpState::Fault);
    bench.event(Event::Link(made(7)));
    assert_eq!(bench.state(0), VrrpState::Master);
}

#[test]
fn a_vmac_goes_with_the_interface_below_and_comes_again_with_it() {
    let mut bench = master();
    bench.event(Event::LinkDeleted { index: 7 });
    bench.event(Event::LinkDeleted { index: 1 });
    assert_eq!(asked(&bench.wait(0.1)), 0);
    assert_eq!(bench.state(0), VrrpState::Fault);
    let out = bench.event(Event::Link(link(20, "eth0", true)));
    assert!(out.iter().any(|action| matches!(action, Action::MakeLink { index: 20, .. })));
    bench.event(Event::AddressAdded { index: 20, address: ip("10.0.0.1"), prefix: 24 });
    bench.event(Event::Link(Link { base: 20, ..made(21) }));
    assert_eq!(bench.state(0), VrrpState::Master);
}

#[test]
fn a_vmac_that_the_kernel_refuses_is_a_fault_until_the_interface_below_changes() {
    let (mut bench, _) = Bench::start(&part(&[on_vmac(255)]));
    let note = "creating VMAC interface vrrp.1 on eth0: busy".to_owned();
    bench.event(Event::LinkRefused { name: "vrrp.1".into(), errno: 16, note });
    assert_eq!(bench.state(0), VrrpState::Fault);
    assert_eq!(asked(&bench.event(Event::Link(link(1, "eth0", true)))), 1);
}

#[test]
fn a_leftover_that_fits_is_taken_and_one_that_does_not_is_replaced() {
    for (left, removed) in [(made(7), 0), (Link { mac: vec![2; 6], ..made(7) }, 1)] {
        let config = part(&[on_vmac(255)]);
        let mut bench = Bench { router: crate::vrrp::Router::new(&config), now: at(10.0) };
        let mut all = interfaces(1);
        all.push(Interface { link: left, addresses: Vec::new() });
        let out = bench.event(Event::Interfaces(all));
        let count = out.iter().filter(|action| matches!(action, Action::RemoveLink { .. })).count();
        assert_eq!((asked(&out), count), (1, removed));
    }
}

#[test]
fn a_stop_removes_the_vmac_and_restores_the_interface_below_unless_told_to_keep_everything() {
    for (release, left) in [(Release::Ours, false), (Release::Nothing, true)] {
        let mut bench = master();
        // Also one that has just gone down, with the interface below or alone.
        bench.event(Event::Link(Link { flags: 0, ..made(7) }));
        let mut out = Vec::new();
        bench.router.stop(bench.now, release, &mut out);
        assert_eq!(!out.contains(&Action::RemoveLink { name: "vrrp.1".into() }), left);
        let restored = Action::GuardArp { interface: "eth0".into(), arp_ignore: 0, arp_filter: 0 };
        assert_eq!(!out.contains(&restored), left);
    }
}

#[test]
fn a_reload_keeps_an_unchanged_vmac_and_removes_one_that_is_no_more_wanted() {
    let mut bench = master();
    let mut out = Vec::new();
    let slower = Instance { preempt_delay: Duration::from_secs(1), ..on_vmac(255) };
    bench.router.reconfigure(&part(&[slower]), bench.now, &mut out);
    let touches = |out: &[Action]| {
        out.iter().any(|action| matches!(action, Action::MakeLink { .. } | Action::RemoveLink { .. }))
    };
    assert!(!touches(&out), "{out:?}");
    assert_eq!(bench.state(0), VrrpState::Master);
    bench.router.reconfigure(&part(&[instance("V", 1, 255)]), bench.now, &mut out);
    assert!(out.contains(&Action::RemoveLink { name: "vrrp.1".into() }));
}

#[test]
fn a_successor_finds_the_vmac_of_its_predecessor() {
    let bench = master();
    let config = part(&[on_vmac(255)]);
    let mut out = Vec::new();
    let mut router = crate::vrrp::Router::resume(&config, bench.router.state(), &mut out);
    let mut all = interfaces(1);
    all.push(Interface { link: made(7), addresses: vec![(ip("10.0.0.101"), 32)] });
    router.handle(bench.now, Event::Interfaces(all), &mut out);
    assert_eq!(asked(&out), 0);
    assert_eq!(router.snapshot(bench.now).instances[0].state, VrrpState::Master);
}
