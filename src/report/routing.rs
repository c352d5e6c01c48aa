//! Route and rule lines of the dumps, in stock's order of words. spec/dump-format.md §3.1.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::config::model::{
    Encap, IpTunnel, Metric, MetricKind, NextHop, PROTOCOL_KEEPALIVED, Route, RouteKind, RouteOrder, Rule,
    RuleAction, TABLE_MAIN,
};

/// `prepend 192.0.2.0/24 via inet 10.9.0.254 dev eth0 proto 18 metric 5 mtu 1400`
pub(super) fn route(route: &Route) -> String {
    let mut line = String::from(match route.order {
        RouteOrder::Prepend => "prepend",
        RouteOrder::Add => "add",
        RouteOrder::Append => "append",
    });
    if route.kind != RouteKind::Unicast {
        word(&mut line, route.kind.name());
    }
    // Writing to a string cannot fail.
    let _ = write!(line, " {}", route.destination);
    if let Some(from) = route.from {
        let _ = write!(line, " from {from}");
    }
    if let Some(source) = route.source {
        let _ = write!(line, " src {source}");
    }
    if route.tos != 0 {
        let _ = write!(line, " tos {}", route.tos);
    }
    if let Some(tunnel) = &route.encap {
        encap(&mut line, tunnel);
    }
    via(&mut line, route.via);
    if let Some(interface) = &route.interface {
        let _ = write!(line, " dev {interface}");
    }
    if route.table != TABLE_MAIN {
        let _ = write!(line, " table {}", route.table);
    }
    if !route.no_track || route.protocol != PROTOCOL_KEEPALIVED {
        let _ = write!(line, " proto {}", route.protocol);
    }
    if let Some(scope) = route.scope {
        let _ = write!(line, " scope {scope}");
    }
    if let Some(metric) = route.metric {
        let _ = write!(line, " metric {metric}");
    }
    if route.onlink {
        word(&mut line, "onlink");
    }
    realms(&mut line, route.realms);
    if let Some(seconds) = route.expires {
        let _ = write!(line, " expires {seconds}sec");
    }
    if let Some((name, locked)) = &route.congestion {
        // The blank is missing in stock's line.
        let _ = write!(line, " congctl {name}{}", if *locked { "lock " } else { "" });
    }
    let before = |metric: &&Metric| metric.kind <= MetricKind::QuickAck;
    route.metrics.iter().filter(before).for_each(|metric| self::metric(&mut line, *metric));
    if let Some(preference) = route.preference {
        let name = match preference {
            0 => "medium",
            1 => "high",
            3 => "low",
            _ => "unknown",
        };
        let _ = write!(line, " pref {name}");
    }
    route.metrics.iter().filter(|metric| !before(metric)).for_each(|metric| self::metric(&mut line, *metric));
    if let Some(propagate) = route.ttl_propagate {
        let _ = write!(line, " ttl-propagate {}", super::text::enabled(propagate));
    }
    for hop in &route.nexthops {
        nexthop(&mut line, hop);
    }
    tracking(&mut line, route.no_track, route.track_group.as_deref());
    line
}

fn nexthop(line: &mut String, hop: &NextHop) {
    word(line, "nexthop");
    via(line, hop.via);
    if let Some(interface) = &hop.interface {
        let _ = write!(line, " dev {interface}");
    }
    if let Some(weight) = hop.weight {
        let _ = write!(line, " weight {weight}");
    }
    if hop.onlink {
        word(line, "onlink");
    }
    realms(line, hop.realms);
    if let Some(tunnel) = &hop.encap {
        encap(line, tunnel);
    }
}

fn via(line: &mut String, via: Option<IpAddr>) {
    let Some(via) = via else { return };
    let family = if via.is_ipv4() { "inet" } else { "inet6" };
    let _ = write!(line, " via {family} {via}");
}

/// `realms FROM/TO`, or `realm TO`.
fn realms(line: &mut String, realms: Option<u32>) {
    let Some(realms) = realms else { return };
    match (realms >> 16, realms & 0xffff) {
        (0, to) => _ = write!(line, " realm {to}"),
        (from, to) => _ = write!(line, " realms {from}/{to}"),
    }
}

fn metric(line: &mut String, metric: Metric) {
    let Metric { kind, value, locked } = metric;
    let lock = if locked { "lock " } else { "" };
    let _ = write!(line, " {} {lock}", kind.name());
    match kind {
        MetricKind::Rtt => time(line, value, 8),
        MetricKind::RttVar => time(line, value, 4),
        MetricKind::RtoMin => time(line, value, 1),
        MetricKind::Features => line.push_str("ecn"),
        _ => _ = write!(line, "{value}"),
    }
}

/// Seconds with up to three decimals, or milliseconds below one.
fn time(line: &mut String, raw: u32, factor: u32) {
    let millis = raw / factor;
    if millis < 1000 {
        let _ = write!(line, "{millis}ms");
    } else {
        let text = format!("{}.{:03}", millis / 1000, millis % 1000);
        let _ = write!(line, "{}s", text.trim_end_matches('0').trim_end_matches('.'));
    }
}

fn encap(line: &mut String, encap: &Encap) {
    match encap {
        Encap::Ip(tunnel) => self::tunnel(line, tunnel, ["ip", "tos", "ttl"]),
        Encap::Ip6(tunnel) => self::tunnel(line, tunnel, ["ip6", "tc", "hoplimit"]),
        // Stock prints the stack entries, not the labels.
        Encap::Mpls(labels) => {
            let last = labels.len().saturating_sub(1);
            let entry =
                |(at, label): (usize, &u32)| format!("{:x}", label << 12 | u32::from(at == last) << 8);
            let stack: Vec<String> = labels.iter().enumerate().map(entry).collect();
            let _ = write!(line, " encap mpls {}", stack.join("/"));
        }
        // In the byte order of the wire, read as this machine's.
        Encap::Ila(locator) => {
            let _ = write!(line, " encap ila {}", u64::from_ne_bytes(locator.to_be_bytes()));
        }
    }
}

fn tunnel(line: &mut String, tunnel: &IpTunnel, [name, tos, ttl]: [&str; 3]) {
    let _ = write!(line, " encap {name}");
    if let Some(id) = tunnel.id {
        let _ = write!(line, " id {id}");
    }
    for (word, address) in [("dst", tunnel.destination), ("src", tunnel.source)] {
        if let Some(address) = address {
            let _ = write!(line, " {word} {address}");
        }
    }
    for (word, value) in [(tos, tunnel.tos), (ttl, tunnel.ttl)] {
        if let Some(value) = value {
            let _ = write!(line, " {word} {value}");
        }
    }
    if let Some(flags) = tunnel.flags {
        let _ = write!(line, " flags 0x{flags:x}");
    }
}

/// `from 10.9.0.100 priority 1000 tos 0x0 protocol 18 lookup 100`
pub(super) fn rule(rule: &Rule) -> String {
    let mut line = String::new();
    if rule.invert {
        line.push_str("not ");
    }
    line.push_str("from ");
    match rule.from {
        Some(from) => _ = write!(line, "{from}"),
        None => line.push_str("all"),
    }
    if let Some(to) = rule.to {
        let _ = write!(line, " to {to}");
    }
    let _ = write!(line, " priority {} tos 0x{:x}", rule.priority, rule.tos);
    if let Some((mark, mask)) = rule.fwmark {
        let _ = write!(line, " fwmark 0x{mark:x}");
        if let Some(mask) = mask {
            let _ = write!(line, "/0x{mask:x}");
        }
    }
    for (word, name) in [("iif", &rule.iif), ("oif", &rule.oif)] {
        if let Some(name) = name {
            let _ = write!(line, " {word} {name}");
        }
    }
    let numbers = [
        ("suppress_prefixlen", rule.suppress_prefixlength.map(u64::from)),
        ("suppress_ifgroup", rule.suppress_ifgroup.map(u64::from)),
        ("tunnel-id", rule.tunnel_id),
    ];
    for (word, value) in numbers {
        if let Some(value) = value {
            let _ = write!(line, " {word} {value}");
        }
    }
    if let Some((first, last)) = rule.uid_range {
        let _ = write!(line, " uidrange {first}-{last}");
    }
    if rule.action == RuleAction::L3mdev {
        word(&mut line, "l3mdev");
    }
    for (word, value) in [("protocol", rule.protocol), ("ipproto", rule.ip_protocol)] {
        if let Some(value) = value {
            let _ = write!(line, " {word} {value}");
        }
    }
    for (word, ports) in [("sport", rule.source_ports), ("dport", rule.destination_ports)] {
        if let Some((first, last)) = ports {
            let _ = write!(line, " {word} {first}-{last}");
        }
    }
    if let Some(realms) = rule.realms {
        let _ = write!(line, " realms {}/{}", realms >> 16, realms & 0xffff);
    }
    match rule.action {
        RuleAction::Lookup(table) => _ = write!(line, " lookup {table}"),
        // Stock: the table that there is none of.
        RuleAction::L3mdev => line.push_str(" lookup 0"),
        RuleAction::Goto(target) => _ = write!(line, " goto {target}"),
        RuleAction::Nop => line.push_str(" nop"),
        RuleAction::Blackhole => line.push_str(" type blackhole"),
        RuleAction::Unreachable => line.push_str(" type unreachable"),
        RuleAction::Prohibit => line.push_str(" type prohibit"),
    }
    tracking(&mut line, rule.no_track, rule.track_group.as_deref());
    line
}

fn tracking(line: &mut String, no_track: bool, track_group: Option<&str>) {
    if no_track {
        word(line, "no_track");
    }
    if let Some(group) = track_group {
        let _ = write!(line, " track_group {group}");
    }
}

fn word(line: &mut String, word: &str) {
    line.push(' ');
    line.push_str(word);
}
