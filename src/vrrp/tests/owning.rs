//! What a router owns in the kernel, loses and puts back (spec/vrrp-behaviour.md §8).

use super::samples::*;
use crate::config::model::{
    Family, Instance, Prefix, Route, Rule, RuleAction, Statics, TrackGroup, VipRepair, VrrpPart,
};
use crate::vrrp::{Action, Change, Event, Owned, Owner, Requester, Router, SeenRoute, SeenRule, VrrpState};

fn net(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix { address: ip(address), length: length.parse().unwrap() }
}

fn route(to: &str, interface: &str) -> Route {
    Route { via: Some(ip("10.0.0.254")), interface: Some(interface.into()), ..Route::to(net(to)) }
}

fn rule(priority: u32, iif: Option<&str>) -> Rule {
    Rule {
        family: Family::V4,
        invert: false,
        from: Some(net("10.0.0.101/32")),
        to: None,
        priority,
        tos: 0,
        fwmark: None,
        iif: iif.map(str::to_owned),
        oif: None,
        suppress_prefixlength: None,
        suppress_ifgroup: None,
        tunnel_id: None,
        uid_range: None,
        ip_protocol: None,
        source_ports: None,
        destination_ports: None,
        realms: None,
        protocol: Some(18),
        action: RuleAction::Lookup(100),
        no_track: false,
        track_group: None,
    }
}

/// Two addresses, a route, a rule.
fn rich() -> Instance {
    let mut config = instance("V", 1, 150);
    config.excluded = vec![vip("10.0.0.7", "eth0")].into();
    config.routes = vec![Route { source: Some(ip("10.0.0.101")), ..route("192.0.2.0/24", "eth0") }].into();
    config.rules = vec![rule(1000, None)].into();
    config
}

fn master(config: Instance) -> Bench {
    let (mut bench, _) = Bench::start(&part(&[config]));
    bench.wait(6.0);
    assert_eq!(bench.state(0), VrrpState::Master);
    bench.wait(4.0);
    bench
}

fn added(out: &[Action]) -> Vec<String> {
    list(out, |action| match action {
        Action::Add { objects, .. } => Some(objects),
        _ => None,
    })
}

fn removed(out: &[Action]) -> Vec<String> {
    list(out, |action| match action {
        Action::Remove { objects, .. } => Some(objects),
        _ => None,
    })
}

fn list(out: &[Action], objects: impl Fn(&Action) -> Option<&Vec<Owned>>) -> Vec<String> {
    out.iter().filter_map(objects).flatten().map(ToString::to_string).collect()
}

fn seen(to: &str) -> SeenRoute {
    SeenRoute {
        destination: net(to),
        tos: 0,
        table: 254,
        protocol: 18,
        kind: 1,
        metric: 0,
        ways: vec![(Some(ip("10.0.0.254")), 1)],
    }
}

fn route_gone(to: &str) -> Event {
    Event::RouteDeleted { route: seen(to), by: Requester::Program("ip (process 7)".into()) }
}

fn vip_gone() -> Event {
    Event::AddressDeleted { index: 1, address: ip("10.0.0.101"), prefix: 32, by: Requester::Other }
}

fn vip_back() -> Event {
    Event::AddressAdded { index: 1, address: ip("10.0.0.101"), prefix: 32 }
}

const VIP: &str = "10.0.0.101 on eth0";
const EVIP: &str = "10.0.0.7 on eth0";
const ROUTE: &str = "route 192.0.2.0/24 via 10.0.0.254 dev eth0";
const RULE: &str = "rule 1000: from 10.0.0.101 lookup 100";

#[test]
fn addresses_routes_and_rules_come_in_this_order_and_go_in_the_other() {
    let (mut bench, out) = Bench::start(&part(&[rich()]));
    assert_eq!(removed(&out), [RULE, ROUTE], "what an earlier life may have left");
    let out = bench.wait(4.0);
    assert_eq!(added(&out), [VIP, EVIP, ROUTE, RULE]);
    let out = bench.hear("10.0.0.2", 200);
    assert_eq!(removed(&out), [RULE, ROUTE, VIP, EVIP]);
}

#[test]
fn what_somebody_takes_away_is_put_back_alone_and_the_instance_stays_master() {
    let mut bench = master(rich());
    let out = bench.event(vip_gone());
    assert_eq!(logs(&out), ["(V) 10.0.0.101 on eth0 was removed: putting it back"]);
    // The kernel dropped the route that prefers the address as its source, without a word.
    assert_eq!(added(&out), [VIP, ROUTE]);
    assert_eq!((announced(&out), adverts(&out), removed(&out).len()), (5, vec![], 0));
    let out = bench.event(route_gone("192.0.2.0/24"));
    assert_eq!(logs(&out), [format!("(V) {ROUTE} was removed by ip (process 7): putting it back")]);
    assert_eq!((added(&out), announced(&out)), (vec![ROUTE.to_owned()], 0));
    let gone = SeenRule {
        family: Family::V4,
        priority: 1000,
        from: Some(net("10.0.0.101/32")),
        to: None,
        table: 100,
        iif: None,
        oif: None,
        fwmark: 0,
        protocol: 18,
    };
    let out = bench.event(Event::RuleDeleted { rule: gone.clone(), by: Requester::Other });
    assert_eq!(added(&out), [RULE]);
    for other in [
        SeenRule { priority: 1001, ..gone.clone() },
        SeenRule { from: None, ..gone.clone() },
        SeenRule { table: 101, ..gone.clone() },
        SeenRule { iif: Some("eth0".into()), ..gone },
    ] {
        assert_eq!(bench.event(Event::RuleDeleted { rule: other, by: Requester::Other }), []);
    }
    assert_eq!(bench.state(0), VrrpState::Master);
}

#[test]
fn other_routes_may_come_and_go() {
    let mut bench = master(rich());
    let ours = seen("192.0.2.0/24");
    for other in [
        seen("192.0.3.0/24"),
        seen("192.0.2.0/25"),
        SeenRoute { table: 100, ..ours.clone() },
        SeenRoute { metric: 5, ..ours.clone() },
        SeenRoute { protocol: 4, ..ours.clone() },
        SeenRoute { kind: 6, ..ours.clone() },
        SeenRoute { ways: vec![(Some(ip("10.0.0.253")), 1)], ..ours.clone() },
        SeenRoute { ways: vec![(Some(ip("10.0.0.254")), 2)], ..ours },
    ] {
        let what = format!("{other:?}");
        assert_eq!(bench.event(Event::RouteDeleted { route: other, by: Requester::Other }), [], "{what}");
    }
}

#[test]
fn a_route_in_whose_place_another_one_lies_now_is_put_back() {
    let mut bench = master(rich());
    let by = || Requester::Program("ip (process 7)".into());
    let successor = |to: &str, metric| {
        let ways = vec![(Some(ip("10.0.0.253")), 1)];
        SeenRoute { protocol: 3, metric, ways, ..seen(to) }
    };
    let out = bench.event(Event::RouteReplaced { by_route: successor("192.0.2.0/24", 0), by: by() });
    assert_eq!(added(&out).len(), 1, "{out:?}");
    for (route, by) in [
        (successor("192.0.2.0/24", 5), by()),
        (successor("192.0.3.0/24", 0), by()),
        (successor("192.0.2.0/24", 0), Requester::Us),
    ] {
        assert_eq!(bench.event(Event::RouteReplaced { by_route: route, by }), []);
    }
}

#[test]
fn the_third_loss_in_ten_seconds_is_waited_out_and_the_log_says_who_fights() {
    let mut bench = master(rich());
    for _ in 0..2 {
        assert_eq!(added(&bench.event(vip_gone())), [VIP, ROUTE]);
    }
    let by = Requester::Program("rival (process 9)".into());
    let out = bench.event(Event::AddressDeleted { index: 1, address: ip("10.0.0.101"), prefix: 32, by });
    let text = "(V) 10.0.0.101 on eth0 was removed three times in 10 s, the last time by rival (process 9): \
                trying again in 10 s";
    assert_eq!(logs(&out), [text]);
    assert!(added(&out).is_empty());
    assert!(added(&bench.wait(9.9)).is_empty());
    assert_eq!(bench.state(0), VrrpState::Master);
    let out = bench.wait(0.2);
    assert_eq!((added(&out), announced(&out)), (vec![VIP.to_owned()], 5));
    // A takeover forgets the fight.
    (0..3).for_each(|_| drop(bench.event(vip_gone())));
    bench.hear("10.0.0.2", 200);
    assert_eq!(added(&bench.wait(4.0)), [VIP, EVIP, ROUTE, RULE]);
}

#[test]
fn stocks_way_is_down_and_up_again() {
    for gone in [vip_gone(), route_gone("192.0.2.0/24")] {
        let mut bench = master(Instance { vip_repair: VipRepair::Stock, ..rich() });
        let out = bench.event(gone);
        assert_eq!(logs(&out).last(), Some(&"(V) Entering BACKUP STATE"));
        assert_eq!(adverts(&out), [0]);
        assert_eq!(removed(&out).len(), 3);
        assert_eq!(bench.router.deadline(), Some(bench.now + secs(0.414_062_5)));
        assert_eq!(added(&bench.wait(0.5)).len(), 4);
    }
}

#[test]
fn what_is_not_tracked_may_vanish_until_the_next_takeover() {
    let mut config = rich();
    config.vips[0].no_track = true;
    config.routes[0].no_track = true;
    let mut bench = master(config);
    assert_eq!(bench.event(vip_gone()), []);
    assert_eq!(bench.event(route_gone("192.0.2.0/24")), []);
    assert_eq!(bench.state(0), VrrpState::Master);
    assert_eq!(removed(&bench.hear("10.0.0.2", 200)), [RULE, EVIP]);
    assert_eq!(added(&bench.wait(4.0)).len(), 4);
}

#[test]
fn what_goes_down_with_an_interface_comes_back_with_it() {
    let mut config = rich();
    config.dont_track_primary = true;
    config.routes[0].no_track = true;
    config.routes.push(Route { no_track: true, ..route("192.0.3.0/24", "eth1") });
    let mut bench = master(config);
    bench.event(Event::Link(link(2, "eth1", false)));
    bench.event(Event::Link(link(1, "eth0", false)));
    // IPv6 addresses go one by one then; this one stands for them.
    assert_eq!(bench.event(vip_gone()), []);
    let out = bench.event(Event::Link(link(2, "eth1", true)));
    assert_eq!(added(&out), [VIP, "route 192.0.3.0/24 via 10.0.0.254 dev eth1"]);
    let out = bench.event(Event::Link(link(1, "eth0", true)));
    assert_eq!(added(&out), [ROUTE]);
    assert_eq!(bench.state(0), VrrpState::Master);
}

#[test]
fn a_tracked_route_by_the_own_interface_fails_with_it_also_with_dont_track_primary() {
    let mut config = rich();
    config.dont_track_primary = true;
    let mut bench = master(config);
    bench.event(Event::Link(link(1, "eth0", false)));
    assert_eq!(bench.state(0), VrrpState::Fault);
}

#[test]
fn a_refused_route_is_named_with_the_kernels_words_and_tried_at_the_next_takeover() {
    let mut bench = master(rich());
    let object = Owned::Route(Box::new(rich().routes[0].clone()));
    let note = Some("Nexthop has invalid gateway".to_owned());
    let owner = Owner::Instance(0);
    let out = bench.event(Event::Refused { owner, object, change: Change::Add, errno: 101, note });
    let text =
        format!("(V) adding {ROUTE}: Network is unreachable (os error 101): Nexthop has invalid gateway");
    assert_eq!(logs(&out), [text]);
    assert_eq!(removed(&bench.hear("10.0.0.2", 200)), [RULE, VIP, EVIP]);
}

fn static_part() -> VrrpPart {
    let mut address = vip("10.9.0.1", "eth1");
    address.track_group = Some("g".into());
    let statics = Statics {
        addresses: vec![address],
        routes: vec![route("198.51.100.0/24", "eth0")],
        rules: vec![rule(50, None)],
        groups: vec![TrackGroup { name: "g".into(), members: vec!["V".into()] }],
    };
    VrrpPart { statics, ..part(&[instance("V", 1, 150)]) }
}

const STATIC: [&str; 3] = [
    "10.9.0.1 on eth1",
    "route 198.51.100.0/24 via 10.0.0.254 dev eth0",
    "rule 50: from 10.0.0.101 lookup 100",
];

#[test]
fn static_objects_are_there_from_start_to_stop_and_restored_when_lost() {
    let (mut bench, out) = Bench::start(&static_part());
    assert_eq!(added(&out), STATIC);
    let out = bench.event(route_gone("198.51.100.0/24"));
    assert_eq!(logs(&out), [format!("Restoring deleted static {} by ip (process 7)", STATIC[1])]);
    assert_eq!(added(&out), [STATIC[1]]);
    let mut out = Vec::new();
    bench.router.stop(bench.now, crate::vrrp::Release::Ours, &mut out);
    assert_eq!(removed(&out), [STATIC[2], STATIC[1], STATIC[0]]);
}

#[test]
fn a_track_group_goes_down_with_the_interface_and_the_address_comes_back_with_it() {
    let (mut bench, _) = Bench::start(&static_part());
    bench.event(Event::Link(link(2, "eth1", false)));
    assert_eq!(bench.state(0), VrrpState::Fault);
    let out = bench.event(Event::Link(link(2, "eth1", true)));
    assert_eq!(bench.state(0), VrrpState::Backup);
    assert_eq!(added(&out), [STATIC[0]]);
}

#[test]
fn a_reload_touches_only_what_changed() {
    let (mut bench, _) = Bench::start(&static_part());
    bench.wait(4.0);
    let mut next = static_part();
    next.statics.routes[0] = route("198.51.101.0/24", "eth0");
    next.instances[0].routes = vec![route("192.0.2.0/24", "eth0")].into();
    let mut out = Vec::new();
    bench.router.reconfigure(&next, bench.now, &mut out);
    assert_eq!(removed(&out), [STATIC[1]]);
    assert_eq!(added(&out), [ROUTE, "route 198.51.101.0/24 via 10.0.0.254 dev eth0"]);
    assert_eq!(announced(&out), 0, "no address is new");
    let mut out = Vec::new();
    bench.router.reconfigure(&static_part(), bench.now, &mut out);
    assert_eq!(removed(&out), [ROUTE, "route 198.51.101.0/24 via 10.0.0.254 dev eth0"]);
}

#[test]
fn a_successor_takes_static_objects_over() {
    let (bench, _) = Bench::start(&static_part());
    let mut next = static_part();
    next.statics.rules.clear();
    let mut out = Vec::new();
    let mut router = Router::resume(&next, bench.router.state(), &mut out);
    assert_eq!(removed(&out), [STATIC[2]]);
    out.clear();
    // The kernel knows whether they are there still.
    router.handle(bench.now, Event::Interfaces(interfaces(1)), &mut out);
    assert_eq!(added(&out), STATIC[..2]);
}

#[test]
fn what_is_put_back_and_seen_again_is_no_news() {
    let mut bench = master(rich());
    bench.event(vip_gone());
    assert_eq!(bench.event(vip_back()), []);
}
