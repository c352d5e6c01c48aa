//! Routes: the messages that add and remove them, and what the kernel tells of them. spec/vrrp-behaviour.md §8.
//!
//! A removal names everything that was configured, so that it never takes a route of somebody else.

use std::net::IpAddr;

use super::netlink::{Request, attributes};
use crate::config::model::{Encap, Family, IpTunnel, NextHop, Prefix, Route, RouteKind, RouteOrder};
use crate::vrrp::SeenRoute;

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const HEADER: usize = 12;

const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;

const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTA_MULTIPATH: u16 = 9;
const RTA_FLOW: u16 = 11;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_PREF: u16 = 20;
const RTA_ENCAP_TYPE: u16 = 21;
const RTA_ENCAP: u16 = 22;
const RTA_EXPIRES: u16 = 23;
const RTA_TTL_PROPAGATE: u16 = 26;

const RTNH_F_ONLINK: u8 = 4;
const RTAX_LOCK: u16 = 1;
const RTAX_CC_ALGO: u16 = 16;

const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RT_SCOPE_HOST: u8 = 254;
const RT_SCOPE_NOWHERE: u8 = 255;

/// `RTM_F_CLONED`: an entry of the cache, no route.
const RTM_F_CLONED: u32 = 0x200;

/// `LWTUNNEL_ENCAP_*` (linux/lwtunnel.h).
const ENCAP_MPLS: u16 = 1;
const ENCAP_IP: u16 = 2;
const ENCAP_ILA: u16 = 3;
const ENCAP_IP6: u16 = 4;

/// The request that adds a route. `index` knows the interfaces; an unknown one is the error, by name.
pub(super) fn add<'a>(route: &'a Route, index: &dyn Fn(&str) -> Option<u32>) -> Result<Request, &'a str> {
    let flags = match route.order {
        RouteOrder::Prepend => NLM_F_CREATE,
        RouteOrder::Add => NLM_F_CREATE | NLM_F_EXCL,
        RouteOrder::Append => NLM_F_CREATE | NLM_F_APPEND,
    };
    let widest = match route.kind {
        RouteKind::Local | RouteKind::Nat => RT_SCOPE_HOST,
        RouteKind::Broadcast | RouteKind::Anycast => RT_SCOPE_LINK,
        _ => RT_SCOPE_UNIVERSE,
    };
    request(RTM_NEWROUTE, route, route.scope.unwrap_or(widest), index).map(|request| request.flags(flags))
}

/// The request that removes it.
pub(super) fn remove<'a>(route: &'a Route, index: &dyn Fn(&str) -> Option<u32>) -> Result<Request, &'a str> {
    request(RTM_DELROUTE, route, route.scope.unwrap_or(RT_SCOPE_NOWHERE), index)
}

fn request<'a>(
    kind: u16,
    route: &'a Route,
    scope: u8,
    index: &dyn Fn(&str) -> Option<u32>,
) -> Result<Request, &'a str> {
    let family = match route.family() {
        Family::V4 => 2,
        Family::V6 => 10,
    };
    // A table beyond a byte goes into an attribute.
    let table = u8::try_from(route.table).unwrap_or(0);
    let flags = if route.onlink { u32::from(RTNH_F_ONLINK) } else { 0 };
    let [f0, f1, f2, f3] = flags.to_ne_bytes();
    let from = route.from.map_or(0, |from| from.length);
    let header = [
        family,
        route.destination.length,
        from,
        route.tos,
        table,
        route.protocol,
        scope,
        route.kind as u8,
        f0,
        f1,
        f2,
        f3,
    ];
    let mut request = address(Request::new(kind, &header), RTA_DST, route.destination.address);
    if route.table > u32::from(u8::MAX) {
        request = request.attribute(RTA_TABLE, &route.table.to_ne_bytes());
    }
    if let Some(from) = route.from {
        request = address(request, RTA_SRC, from.address);
    }
    if let Some(source) = route.source {
        request = address(request, RTA_PREFSRC, source);
    }
    request = gateway(request, route.family(), route.via);
    if let Some(name) = &route.interface {
        request = request.attribute(RTA_OIF, &index(name).ok_or(name.as_str())?.to_ne_bytes());
    }
    if let Some(encap) = &route.encap {
        request = with_encap(request, encap);
    }
    for (kind, value) in
        [(RTA_PRIORITY, route.metric), (RTA_FLOW, route.realms), (RTA_EXPIRES, route.expires)]
    {
        if let Some(value) = value {
            request = request.attribute(kind, &value.to_ne_bytes());
        }
    }
    if let Some(preference) = route.preference {
        request = request.attribute(RTA_PREF, &[preference]);
    }
    if let Some(propagate) = route.ttl_propagate {
        request = request.attribute(RTA_TTL_PROPAGATE, &[u8::from(propagate)]);
    }
    if !route.metrics.is_empty() || route.congestion.is_some() {
        request = request.nest(RTA_METRICS, |inside| metrics(inside, route));
    }
    if !route.nexthops.is_empty() {
        let hops = hops(route, index)?;
        request = request.attribute(RTA_MULTIPATH, &hops);
    }
    Ok(request)
}

fn metrics(mut request: Request, route: &Route) -> Request {
    let mut locks: u32 = 0;
    if let Some((name, locked)) = &route.congestion {
        let mut text = name.clone().into_bytes();
        text.push(0);
        request = request.attribute(RTAX_CC_ALGO, &text);
        locks |= u32::from(*locked) << RTAX_CC_ALGO;
    }
    for metric in &route.metrics {
        request = request.attribute(metric.kind.number(), &metric.value.to_ne_bytes());
        locks |= u32::from(metric.locked) << metric.kind.number();
    }
    if locks == 0 { request } else { request.attribute(RTAX_LOCK, &locks.to_ne_bytes()) }
}

/// `struct rtnexthop` (length, flags, weight - 1, index) and its attributes, for each hop.
fn hops<'a>(route: &'a Route, index: &dyn Fn(&str) -> Option<u32>) -> Result<Vec<u8>, &'a str> {
    let mut bytes = Vec::new();
    for hop in &route.nexthops {
        let NextHop { via, interface, weight, onlink, encap, realms } = hop;
        let out = match interface {
            Some(name) => index(name).ok_or(name.as_str())?,
            None => 0,
        };
        let mut inside = gateway(Request::new(0, &[]), route.family(), *via);
        if let Some(encap) = encap {
            inside = with_encap(inside, encap);
        }
        if let Some(realms) = realms {
            inside = inside.attribute(RTA_FLOW, &realms.to_ne_bytes());
        }
        let inside = inside.body();
        let length = u16::try_from(8 + inside.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_ne_bytes());
        bytes.push(if *onlink { RTNH_F_ONLINK } else { 0 });
        bytes.push(u8::try_from(weight.saturating_sub(1)).unwrap_or(u8::MAX));
        bytes.extend_from_slice(&out.to_ne_bytes());
        bytes.extend_from_slice(inside);
    }
    Ok(bytes)
}

fn gateway(request: Request, family: Family, via: Option<IpAddr>) -> Request {
    match (family, via) {
        (_, None) => request,
        // A gateway of the other family (RFC 5549): struct rtvia.
        (Family::V4, Some(IpAddr::V6(via))) => {
            let mut value = 10_u16.to_ne_bytes().to_vec();
            value.extend(via.octets());
            request.attribute(RTA_VIA, &value)
        }
        (_, Some(via)) => address(request, RTA_GATEWAY, via),
    }
}

fn with_encap(request: Request, encap: &Encap) -> Request {
    let (kind, request) = match encap {
        Encap::Ip(tunnel) => (ENCAP_IP, request.nest(RTA_ENCAP, |inside| tunnel_attributes(inside, tunnel))),
        Encap::Ip6(tunnel) => {
            (ENCAP_IP6, request.nest(RTA_ENCAP, |inside| tunnel_attributes(inside, tunnel)))
        }
        // MPLS_IPTUNNEL_DST: a label stack entry is label (20), class (3), bottom of stack (1), TTL (8).
        Encap::Mpls(labels) => {
            let last = labels.len().saturating_sub(1);
            let entry = |(at, label): (usize, &u32)| (label << 12 | u32::from(at == last) << 8).to_be_bytes();
            let stack: Vec<u8> = labels.iter().enumerate().flat_map(entry).collect();
            (ENCAP_MPLS, request.nest(RTA_ENCAP, |inside| inside.attribute(1, &stack)))
        }
        // ILA_ATTR_LOCATOR, in network order.
        Encap::Ila(locator) => {
            (ENCAP_ILA, request.nest(RTA_ENCAP, |inside| inside.attribute(1, &locator.to_be_bytes())))
        }
    };
    request.attribute(RTA_ENCAP_TYPE, &kind.to_ne_bytes())
}

/// `LWTUNNEL_IP_*` and `LWTUNNEL_IP6_*`: their numbers are the same.
fn tunnel_attributes(mut request: Request, tunnel: &IpTunnel) -> Request {
    if let Some(id) = tunnel.id {
        request = request.attribute(1, &id.to_be_bytes());
    }
    if let Some(destination) = tunnel.destination {
        request = address(request, 2, destination);
    }
    if let Some(source) = tunnel.source {
        request = address(request, 3, source);
    }
    if let Some(ttl) = tunnel.ttl {
        request = request.attribute(4, &[ttl]);
    }
    if let Some(tos) = tunnel.tos {
        request = request.attribute(5, &[tos]);
    }
    match tunnel.flags {
        Some(flags) => request.attribute(6, &flags.to_be_bytes()),
        None => request,
    }
}

fn address(request: Request, kind: u16, address: IpAddr) -> Request {
    match address {
        IpAddr::V4(address) => request.attribute(kind, &address.octets()),
        IpAddr::V6(address) => request.attribute(kind, &address.octets()),
    }
}

/// The route that an `RTM_DELROUTE` tells of; `None` for a message of another kind.
pub(super) fn removed(kind: u16, body: &[u8]) -> Option<SeenRoute> {
    (kind == RTM_DELROUTE).then(|| decode(body)).flatten()
}

/// The route that has pushed out the one in its place: `ip route replace` brings no `RTM_DELROUTE`.
pub(super) fn replaced(kind: u16, flags: u16, body: &[u8]) -> Option<SeenRoute> {
    const NLM_F_REPLACE: u16 = 0x100;
    (kind == RTM_NEWROUTE && flags & NLM_F_REPLACE != 0).then(|| decode(body)).flatten()
}

fn decode(body: &[u8]) -> Option<SeenRoute> {
    let [family, length, _, tos, table, protocol, _, kind, f0, f1, f2, f3] = *body.first_chunk::<HEADER>()?;
    let any: IpAddr = match family {
        2 => [0; 4].into(),
        10 => [0; 16].into(),
        _ => return None,
    };
    if u32::from_ne_bytes([f0, f1, f2, f3]) & RTM_F_CLONED != 0 {
        return None;
    }
    let mut route = SeenRoute {
        destination: Prefix { address: any, length },
        tos,
        table: table.into(),
        protocol,
        kind,
        metric: 0,
        ways: Vec::new(),
    };
    let (mut via, mut out) = (None, 0);
    for (kind, value) in attributes(body.get(HEADER..)?) {
        match kind {
            RTA_DST => route.destination.address = ip(value)?,
            RTA_TABLE => route.table = number(value)?,
            RTA_PRIORITY => route.metric = number(value)?,
            RTA_OIF => out = number(value)?,
            RTA_GATEWAY => via = ip(value),
            RTA_VIA => via = value.get(2..).and_then(ip),
            RTA_MULTIPATH => route.ways = ways(value),
            _ => {}
        }
    }
    if route.ways.is_empty() && (via.is_some() || out != 0) {
        route.ways.push((via, out));
    }
    Some(route)
}

fn ways(mut bytes: &[u8]) -> Vec<(Option<IpAddr>, u32)> {
    let mut ways = Vec::new();
    while let Some([l0, l1, _, _, i0, i1, i2, i3]) = bytes.first_chunk::<8>().copied() {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let Some(inside) = bytes.get(8..length) else { break };
        let via = attributes(inside).find_map(|(kind, value)| match kind {
            RTA_GATEWAY => ip(value),
            RTA_VIA => value.get(2..).and_then(ip),
            _ => None,
        });
        ways.push((via, u32::from_ne_bytes([i0, i1, i2, i3])));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    ways
}

fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(value).ok().map(Into::into)
}
