//! KEEPALIVED-MIB: `vrrpRouteTable`, `vrrpRouteNextHopTable` and `vrrpRuleTable`. Pure.

use std::net::IpAddr;

use super::keepalived_vrrp::{below, node, number};
use super::packet::{Oid, Value};
use super::tree::{Branch, Getter, Table};
use super::view::{View, address, family, gauge, int, one_or_two, scope, text};
use crate::config::model::{
    Encap, IpTunnel, Metric, MetricKind, NextHop, PROTOCOL_KEEPALIVED, Prefix, Route, RouteKind, Rule,
    RuleAction,
};

type Column<R> = (u32, Getter<View, R>);
type Columns<R> = &'static [Column<R>];

fn route<'a>(view: &'a View, (i, r): &(usize, usize)) -> Option<&'a Route> {
    view.part.vrrp.instances.get(*i)?.routes.get(*r)
}

/// Is a route (or, counted on, a rule) in the kernel because of us?
fn is_set(view: &View, instance: usize, place: usize) -> Option<bool> {
    view.instance(instance)?.1.routing_set.get(place).copied()
}

fn metric(view: &View, row: &(usize, usize), kind: MetricKind) -> Option<Metric> {
    route(view, row)?.metrics.iter().find(|metric| metric.kind == kind).copied()
}

/// The value of a metric, and whether it is locked.
macro_rules! metric {
    ($kind:ident) => {
        |v, i| gauge(metric(v, i, MetricKind::$kind)?.value)
    };
    (lock $kind:ident) => {
        |v, i| one_or_two(metric(v, i, MetricKind::$kind)?.locked)
    };
}

fn index_of(view: &View, name: Option<&str>) -> Option<Value> {
    int(view.interface(name?)?.link.index)
}

/// `RTPROT_*`, counted from 1.
fn protocol(number: u8) -> Option<Value> {
    int(u16::from(number) + 1)
}

fn kind(route: &Route) -> Option<Value> {
    int(match route.kind {
        // Several next hops: ecmp.
        RouteKind::Unicast if !route.nexthops.is_empty() => 2,
        RouteKind::Unicast | RouteKind::Local => 1,
        RouteKind::Blackhole => 3,
        RouteKind::Anycast => 4,
        RouteKind::Multicast => 5,
        RouteKind::Broadcast => 6,
        RouteKind::Unreachable => 7,
        RouteKind::Prohibit => 8,
        RouteKind::Throw => 9,
        RouteKind::Nat => 10,
    })
}

/// Realms: the source above the destination.
fn realm_to(realms: Option<u32>) -> Option<Value> {
    gauge(Some(realms? & 0xffff).filter(|realm| *realm != 0)?)
}

fn realm_from(realms: Option<u32>) -> Option<Value> {
    gauge(Some(realms? >> 16).filter(|realm| *realm != 0)?)
}

fn encap_type(encap: Option<&Encap>) -> Option<Value> {
    int(match encap? {
        Encap::Mpls(_) => 1,
        Encap::Ip(_) => 2,
        Encap::Ila(_) => 3,
        Encap::Ip6(_) => 4,
    })
}

fn labels(encap: Option<&Encap>) -> Option<Value> {
    let Encap::Mpls(labels) = encap? else { return None };
    text(&labels.iter().map(u32::to_string).collect::<Vec<_>>().join("/"))
}

fn tunnel(encap: Option<&Encap>) -> Option<&IpTunnel> {
    match encap? {
        Encap::Ip(tunnel) | Encap::Ip6(tunnel) => Some(tunnel),
        Encap::Mpls(_) | Encap::Ila(_) => None,
    }
}

fn locator(encap: Option<&Encap>) -> Option<Value> {
    let Encap::Ila(locator) = encap? else { return None };
    Some(Value::Counter64(*locator))
}

/// The columns of `encap`, the same of a route and of a next hop: labels, id, addresses, TOS, TTL, flags, locator.
macro_rules! encap {
    ($of:expr, $type:expr) => {
        [
            ($type, |v, i| encap_type($of(v, i)?.encap.as_ref())),
            ($type + 1, |v, i| labels($of(v, i)?.encap.as_ref())),
            ($type + 2, |v, i| Some(Value::Counter64(tunnel($of(v, i)?.encap.as_ref())?.id?))),
            ($type + 3, |v, i| address(tunnel($of(v, i)?.encap.as_ref())?.destination?)),
            ($type + 4, |v, i| address(tunnel($of(v, i)?.encap.as_ref())?.source?)),
            ($type + 5, |v, i| gauge(tunnel($of(v, i)?.encap.as_ref())?.tos?)),
            ($type + 6, |v, i| gauge(tunnel($of(v, i)?.encap.as_ref())?.ttl?)),
            ($type + 7, |v, i| gauge(tunnel($of(v, i)?.encap.as_ref())?.flags?)),
            ($type + 8, |v, i| locator($of(v, i)?.encap.as_ref())),
        ]
    };
}

const ROUTE: Columns<(usize, usize)> = &[
    (2, |v, i| family(route(v, i)?.destination.address)),
    (3, |v, i| address(route(v, i)?.destination.address)),
    (4, |v, i| gauge(route(v, i)?.destination.length)),
    (5, |v, i| address(route(v, i)?.via?)),
    (7, |v, i| address(route(v, i)?.source?)),
    (8, |v, i| gauge(route(v, i)?.metric.unwrap_or(0))),
    (9, |v, i| scope(route(v, i)?.scope.unwrap_or(0))),
    (10, |v, i| kind(route(v, i)?)),
    (11, |v, i| index_of(v, route(v, i)?.interface.as_deref())),
    (12, |v, i| text(route(v, i)?.interface.as_deref()?)),
    (13, |v, i| gauge(route(v, i)?.table)),
    (14, |v, i| one_or_two(is_set(v, i.0, i.1)?)),
    (15, |v, i| address(route(v, i)?.from?.address)),
    (16, |v, i| gauge(route(v, i)?.from?.length)),
    (17, |v, i| gauge(Some(route(v, i)?.tos).filter(|tos| *tos != 0)?)),
    (18, |v, i| protocol(route(v, i)?.protocol)),
    (19, |v, i| {
        route(v, i)?;
        one_or_two(metric(v, i, MetricKind::Features).is_some_and(|features| features.value & 1 != 0))
    }),
    (20, |v, i| {
        route(v, i)?;
        one_or_two(metric(v, i, MetricKind::QuickAck).is_some_and(|quick| quick.value != 0))
    }),
    (21, |v, i| int(route(v, i)?.expires?)),
    (22, metric!(Mtu)),
    (23, metric!(lock Mtu)),
    (24, metric!(HopLimit)),
    (25, metric!(Advmss)),
    (26, metric!(lock Advmss)),
    // Eighths and quarters of a millisecond.
    (27, |v, i| gauge(metric(v, i, MetricKind::Rtt)?.value / 8)),
    (28, metric!(lock Rtt)),
    (29, |v, i| gauge(metric(v, i, MetricKind::RttVar)?.value / 4)),
    (30, metric!(lock RttVar)),
    (31, metric!(Reordering)),
    (32, metric!(lock Reordering)),
    (33, metric!(Window)),
    (34, metric!(Cwnd)),
    (35, metric!(lock Cwnd)),
    (36, metric!(Ssthresh)),
    (37, metric!(lock Ssthresh)),
    (38, metric!(RtoMin)),
    (39, metric!(lock RtoMin)),
    (40, metric!(InitCwnd)),
    (41, metric!(InitRwnd)),
    (42, |v, i| text(&route(v, i)?.congestion.as_ref()?.0)),
    // ICMPV6_ROUTER_PREF_*: 0 medium, 1 high, 3 low.
    (43, |v, i| {
        int(match route(v, i)?.preference? {
            3 => 1,
            1 => 3,
            _ => 2,
        })
    }),
    (44, |v, i| realm_to(route(v, i)?.realms)),
    (45, |v, i| realm_from(route(v, i)?.realms)),
    ROUTE_ENCAP[0],
    ROUTE_ENCAP[1],
    ROUTE_ENCAP[2],
    ROUTE_ENCAP[3],
    ROUTE_ENCAP[4],
    ROUTE_ENCAP[5],
    ROUTE_ENCAP[6],
    ROUTE_ENCAP[7],
    ROUTE_ENCAP[8],
    (55, |v, i| one_or_two(metric(v, i, MetricKind::FastOpenNoCookie)?.value != 0)),
];

const ROUTE_ENCAP: [Column<(usize, usize)>; 9] = encap!(route, 46);

type HopRow = (usize, usize, usize);

fn hop<'a>(view: &'a View, (i, r, n): &HopRow) -> Option<&'a NextHop> {
    route(view, &(*i, *r))?.nexthops.get(*n)
}

const HOP_ENCAP: [Column<HopRow>; 9] = encap!(hop, 10);

const HOP: Columns<HopRow> = &[
    (2, |v, i| {
        let via = hop(v, i)?.via.or_else(|| route(v, &(i.0, i.1)).map(|route| route.destination.address))?;
        family(via)
    }),
    (3, |v, i| address(hop(v, i)?.via?)),
    (4, |v, i| index_of(v, hop(v, i)?.interface.as_deref())),
    (5, |v, i| text(hop(v, i)?.interface.as_deref()?)),
    (6, |v, i| gauge(hop(v, i)?.weight?)),
    (7, |v, i| one_or_two(hop(v, i)?.onlink)),
    (8, |v, i| realm_to(hop(v, i)?.realms)),
    (9, |v, i| realm_from(hop(v, i)?.realms)),
    HOP_ENCAP[0],
    HOP_ENCAP[1],
    HOP_ENCAP[2],
    HOP_ENCAP[3],
    HOP_ENCAP[4],
    HOP_ENCAP[5],
    HOP_ENCAP[6],
    HOP_ENCAP[7],
    HOP_ENCAP[8],
];

fn rule<'a>(view: &'a View, (i, r): &(usize, usize)) -> Option<&'a Rule> {
    view.part.vrrp.instances.get(*i)?.rules.get(*r)
}

/// What the older columns show: the destination, else the source.
fn first(rule: &Rule) -> Option<Prefix> {
    rule.to.or(rule.from)
}

fn table(rule: &Rule) -> Option<Value> {
    match rule.action {
        RuleAction::Lookup(table) => gauge(table),
        // Its own device tells the table.
        RuleAction::L3mdev => gauge(0),
        _ => None,
    }
}

fn ports(ports: Option<(u16, u16)>) -> Option<(Option<Value>, Option<Value>)> {
    ports.map(|(first, last)| (gauge(first), gauge(last)))
}

fn of_prefix(prefix: Option<Prefix>, column: fn(IpAddr) -> Option<Value>) -> Option<Value> {
    column(prefix?.address)
}

const RULE: Columns<(usize, usize)> = &[
    (2, |v, i| {
        let rule = rule(v, i)?;
        text(match (rule.from, rule.to) {
            (Some(_), Some(_)) => "both",
            (Some(_), None) => "from",
            (None, Some(_)) => "to",
            (None, None) => return None,
        })
    }),
    (3, |v, i| of_prefix(first(rule(v, i)?), family)),
    (4, |v, i| of_prefix(first(rule(v, i)?), address)),
    (5, |v, i| gauge(first(rule(v, i)?)?.length)),
    (6, |v, i| table(rule(v, i)?)),
    (7, |v, i| {
        let routes = v.part.vrrp.instances.get(i.0)?.routes.len();
        one_or_two(is_set(v, i.0, routes + i.1)?)
    }),
    (8, |v, i| one_or_two(rule(v, i)?.invert)),
    (9, |v, i| of_prefix(rule(v, i)?.to, family)),
    (10, |v, i| of_prefix(rule(v, i)?.to, address)),
    (11, |v, i| gauge(rule(v, i)?.to?.length)),
    (12, |v, i| of_prefix(rule(v, i)?.from, family)),
    (13, |v, i| of_prefix(rule(v, i)?.from, address)),
    (14, |v, i| gauge(rule(v, i)?.from?.length)),
    (15, |v, i| gauge(rule(v, i)?.tos)),
    (16, |v, i| gauge(rule(v, i)?.fwmark?.0)),
    (17, |v, i| gauge(rule(v, i)?.fwmark?.1?)),
    (18, |v, i| realm_to(rule(v, i)?.realms)),
    (19, |v, i| realm_from(rule(v, i)?.realms)),
    (20, |v, i| text(rule(v, i)?.iif.as_deref()?)),
    (21, |v, i| text(rule(v, i)?.oif.as_deref()?)),
    (22, |v, i| match rule(v, i)?.action {
        RuleAction::Goto(target) => gauge(target),
        _ => None,
    }),
    (23, |v, i| {
        int(match rule(v, i)?.action {
            RuleAction::Lookup(_) | RuleAction::L3mdev => 1,
            RuleAction::Goto(_) => 2,
            RuleAction::Nop => 3,
            RuleAction::Blackhole => 6,
            RuleAction::Unreachable => 7,
            RuleAction::Prohibit => 8,
        })
    }),
    (24, |v, i| table(rule(v, i)?)),
    (25, |v, i| gauge(rule(v, i)?.priority)),
    (26, |v, i| gauge(rule(v, i)?.suppress_prefixlength?)),
    (27, |v, i| text(&rule(v, i)?.suppress_ifgroup?.to_string())),
    (28, |v, i| gauge(rule(v, i)?.tunnel_id? >> 32)),
    (29, |v, i| gauge(rule(v, i)?.tunnel_id? & u64::from(u32::MAX))),
    (30, |v, i| gauge(rule(v, i)?.uid_range?.0)),
    (31, |v, i| gauge(rule(v, i)?.uid_range?.1)),
    (32, |v, i| one_or_two(Some(rule(v, i)?.action == RuleAction::L3mdev).filter(|is| *is)?)),
    // Stock: not shown when it is ours.
    (33, |v, i| protocol(rule(v, i)?.protocol.filter(|number| *number != PROTOCOL_KEEPALIVED)?)),
    (34, |v, i| gauge(rule(v, i)?.ip_protocol?)),
    (35, |v, i| ports(rule(v, i)?.source_ports)?.0),
    (36, |v, i| ports(rule(v, i)?.source_ports)?.1),
    (37, |v, i| ports(rule(v, i)?.destination_ports)?.0),
    (38, |v, i| ports(rule(v, i)?.destination_ports)?.1),
];

/// All three tables.
pub(super) fn tables(view: &View) -> Vec<Box<dyn Branch<View>>> {
    let instances = &view.part.vrrp.instances;
    let routes = below(instances.iter().map(|it| it.routes.len()));
    let rules = below(instances.iter().map(|it| it.rules.len()));
    let mut hops: Vec<(Oid, HopRow)> = Vec::new();
    for (i, instance) in instances.iter().enumerate() {
        for (r, route) in instance.routes.iter().enumerate() {
            hops.extend(
                (0..route.nexthops.len()).map(|n| (vec![number(i), number(r), number(n)], (i, r, n))),
            );
        }
    }
    vec![
        Box::new(Table::new(node(&[2, 7, 1]), ROUTE, routes)),
        Box::new(Table::new(node(&[2, 8, 1]), RULE, rules)),
        Box::new(Table::new(node(&[2, 11, 1]), HOP, hops.into_iter())),
    ]
}
