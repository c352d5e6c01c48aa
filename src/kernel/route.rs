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
        bytes.push(weight.map_or(0, |weight| u8::try_from(weight.saturating_sub(1)).unwrap_or(u8::MAX)));
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

#[cfg(test)]
mod tests {
    use neli::consts::socket::NlFamily;

    use super::*;
    use crate::config::model::{Metric, MetricKind};
    use crate::kernel::monitor::{self, Monitor};
    use crate::kernel::netlink::{Answer, Connection, messages};
    use crate::kernel::testing::{in_namespace, ip_json, run};

    fn net(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix { address: address.parse().unwrap(), length: length.parse().unwrap() }
    }

    fn seven(name: &str) -> Option<u32> {
        (name == "eth0").then_some(7)
    }

    #[test]
    fn a_route_has_stocks_bytes() {
        let route = Route {
            source: Some([10, 0, 0, 100].into()),
            via: Some([10, 0, 0, 254].into()),
            interface: Some("eth0".into()),
            metric: Some(5),
            metrics: vec![Metric { kind: MetricKind::Mtu, value: 1400, locked: true }],
            ..Route::to(net("192.0.2.0/24"))
        };
        let bytes = add(&route, &seven).unwrap().bytes(9);
        let message = messages(&bytes).next().unwrap();
        // NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE
        assert_eq!((message.kind, message.flags), (24, 0x405));
        assert_eq!(message.body[..12], [2, 24, 0, 0, 254, 18, 0, 1, 0, 0, 0, 0]);
        let seen: Vec<_> = attributes(&message.body[12..]).collect();
        let expected: [(u16, &[u8]); 6] = [
            (RTA_DST, &[192, 0, 2, 0]),
            (RTA_PREFSRC, &[10, 0, 0, 100]),
            (RTA_GATEWAY, &[10, 0, 0, 254]),
            (RTA_OIF, &7_u32.to_ne_bytes()),
            (RTA_PRIORITY, &5_u32.to_ne_bytes()),
            (RTA_METRICS, &[8, 0, 2, 0, 0x78, 5, 0, 0, 8, 0, 1, 0, 4, 0, 0, 0]),
        ];
        assert_eq!(seen, expected);
        let bytes = remove(&route, &seven).unwrap().bytes(9);
        let message = messages(&bytes).next().unwrap();
        assert_eq!((message.kind, message.flags, message.body[6]), (25, 5, RT_SCOPE_NOWHERE));
        assert_eq!(remove(&route, &|_| None), Err("eth0"));
    }

    #[test]
    fn hops_and_tunnels_have_stocks_bytes() {
        let hop = |last: u8, weight| NextHop {
            via: Some([10, 0, 0, last].into()),
            interface: Some("eth0".into()),
            weight,
            onlink: last == 253,
            encap: None,
            realms: (last == 253).then_some(0x2_0003),
        };
        let route =
            Route { nexthops: vec![hop(254, Some(3)), hop(253, None)], ..Route::to(net("192.0.2.0/24")) };
        let bytes = add(&route, &seven).unwrap().bytes(1);
        let body = messages(&bytes).next().unwrap().body;
        let (_, hops) = attributes(&body[12..]).find(|(kind, _)| *kind == RTA_MULTIPATH).unwrap();
        let expected = [
            [16, 0, 0, 2, 7, 0, 0, 0].as_slice(),
            &[8, 0, 5, 0, 10, 0, 0, 254],
            &[24, 0, 4, 0, 7, 0, 0, 0],
            &[8, 0, 5, 0, 10, 0, 0, 253, 8, 0, 11, 0, 3, 0, 2, 0],
        ]
        .concat();
        assert_eq!(hops, expected);
        let tunnel = IpTunnel {
            id: Some(5),
            destination: Some([10, 0, 0, 9].into()),
            ttl: Some(7),
            ..IpTunnel::default()
        };
        for (encap, kind, inside) in [
            (
                Encap::Ip(tunnel),
                2,
                [12, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 5, 8, 0, 2, 0, 10, 0, 0, 9, 5, 0, 4, 0, 7, 0, 0, 0]
                    .as_slice(),
            ),
            (Encap::Mpls(vec![100, 200]), 1, &[12, 0, 1, 0, 0, 6, 0x40, 0, 0, 0x0c, 0x81, 0]),
            (Encap::Ila(0x0001_0002_0003_0004), 3, &[12, 0, 1, 0, 0, 1, 0, 2, 0, 3, 0, 4]),
        ] {
            let route = Route { encap: Some(encap), ..Route::to(net("192.0.2.0/24")) };
            let bytes = add(&route, &seven).unwrap().bytes(1);
            let body = messages(&bytes).next().unwrap().body;
            let of = |wanted| attributes(&body[12..]).find(|(kind, _)| *kind == wanted).unwrap().1;
            assert_eq!((of(RTA_ENCAP), of(RTA_ENCAP_TYPE)), (inside, [kind, 0].as_slice()));
        }
    }

    #[test]
    fn what_is_added_is_seen_by_ip_and_what_goes_is_told_by_the_monitor() {
        in_namespace(|| {
            run("ip link add d0 type veth peer name d1");
            run("ip link set d0 up");
            run("ip link set d1 up");
            run("ip addr add 10.0.0.1/24 dev d0");
            run("ip addr add 2001:db8::1/64 dev d0 nodad");
            let index = nix::net::if_::if_nametoindex("d0").unwrap();
            let find = |_: &str| Some(index);
            let four = Route {
                via: Some([10, 0, 0, 254].into()),
                table: 1000,
                metric: Some(5),
                ..Route::to(net("192.0.2.0/24"))
            };
            let six = Route {
                via: Some("2001:db8::9".parse().unwrap()),
                interface: Some("d0".into()),
                ..Route::to(net("2001:db8:1::/48"))
            };
            let mut netlink = Connection::open(NlFamily::Route).unwrap();
            let monitor = Monitor::open().unwrap();
            monitor.watch_routing().unwrap();
            let both = [add(&four, &find).unwrap(), add(&six, &find).unwrap()];
            assert_eq!(netlink.execute(&both).unwrap(), [Answer::Done, Answer::Done]);
            let again = netlink.execute(&both).unwrap();
            let is_there = |answer: &Answer| matches!(answer, Answer::Refused(why) if why.errno == nix::errno::Errno::EEXIST);
            assert!(again.iter().all(is_there), "{again:?}");
            let seen = ip_json("ip -j route show table 1000");
            assert_eq!(seen[0]["dst"], "192.0.2.0/24");
            assert_eq!(seen[0]["protocol"], "keepalived");
            run("ip route del 192.0.2.0/24 table 1000");
            run("ip -6 route replace 2001:db8:1::/48 via 2001:db8::8 dev d0 metric 1024");
            let (mut events, mut buffer) = (Vec::new(), vec![0; Monitor::DATAGRAM]);
            while monitor.read(&mut buffer, &mut events).is_ok() {}
            let gone: Vec<_> = events
                .into_iter()
                .filter_map(|event| match event {
                    monitor::Event::RouteGone { route, port }
                    | monitor::Event::RouteReplaced { route, port } => Some((route, port)),
                    _ => None,
                })
                .collect();
            let (lost, who) = &gone[0];
            assert_eq!((lost.destination, lost.table, lost.metric), (four.destination, 1000, 5));
            assert_eq!(lost.ways, [(four.via, index)]);
            assert_ne!(*who, 0, "the kernel names the socket");
            let (lost, _) = &gone[1];
            assert_eq!((lost.destination, lost.metric), (six.destination, 1024));
            assert_eq!(netlink.execute(&[remove(&six, &find).unwrap()]).unwrap().len(), 1);
        });
    }

    #[test]
    fn any_bytes_decode_without_panic() {
        proptest::proptest!(|(bytes: Vec<u8>)| {
            let _ = removed(RTM_DELROUTE, &bytes);
            let _ = replaced(RTM_NEWROUTE, 0x100, &bytes);
            let _ = ways(&bytes);
        });
    }
}
