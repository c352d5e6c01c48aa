//! Routes and rules, virtual and static (spec/vrrp-config.md §3.2, §3.3): numbers as the kernel takes them.
//!
//! Names of tables, protocols, scopes and realms are numbers here already. What stays open (`None`) is the kernel's choice.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Family;

/// `RT_TABLE_MAIN` (linux/rtnetlink.h).
pub const TABLE_MAIN: u32 = 254;
/// keepalived's number in iproute2's table of route protocols.
pub const PROTOCOL_KEEPALIVED: u8 = 18;

/// A network: an address and the number of its leading bits that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prefix {
    /// The address; bits behind the prefix are as written.
    pub address: IpAddr,
    /// 0..=32 or 0..=128.
    pub length: u8,
}

impl fmt::Display for Prefix {
    /// Without the length if it is the whole address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        if self.length == whole {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.length)
        }
    }
}

/// One route line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Route {
    /// Where it goes among routes to the same destination.
    pub order: RouteOrder,
    /// What happens to a packet.
    pub kind: RouteKind,
    /// Where to; its family is the route's.
    pub destination: Prefix,
    /// Only for packets from there (IPv6).
    pub from: Option<Prefix>,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// Type of service, 0 for any.
    pub tos: u8,
    /// The gateway.
    pub via: Option<IpAddr>,
    /// Output interface.
    pub interface: Option<String>,
    /// Take the gateway for reachable on the interface.
    pub onlink: bool,
    /// Lightweight tunnel.
    pub encap: Option<Encap>,
    /// Routing table; 254 is main.
    pub table: u32,
    /// `RTPROT_*`; 18 is keepalived.
    pub protocol: u8,
    /// `RT_SCOPE_*`; `None` is the widest that its type allows.
    pub scope: Option<u8>,
    /// Metric.
    pub metric: Option<u32>,
    /// Realms as the kernel takes them: `from << 16 | to` (IPv4).
    pub realms: Option<u32>,
    /// Seconds to live (IPv6).
    pub expires: Option<u32>,
    /// Router preference: 0 medium, 1 high, 3 low (IPv6, RFC 4191).
    pub preference: Option<u8>,
    /// MPLS: copy the TTL to the IP header.
    pub ttl_propagate: Option<bool>,
    /// Path metrics, in the order of [`MetricKind`], each kind at most once.
    pub metrics: Vec<Metric>,
    /// Congestion control algorithm, and whether it is locked.
    pub congestion: Option<(String, bool)>,
    /// Several ways instead of `via`.
    pub nexthops: Vec<NextHop>,
    /// Do not react to its loss, nor to that of its interface.
    pub no_track: bool,
    /// The `track_group` of a static one.
    pub track_group: Option<String>,
}

impl Route {
    /// A route to `destination` with nothing else said.
    pub fn to(destination: Prefix) -> Self {
        Self {
            order: RouteOrder::Prepend,
            kind: RouteKind::Unicast,
            destination,
            from: None,
            source: None,
            tos: 0,
            via: None,
            interface: None,
            onlink: false,
            encap: None,
            table: TABLE_MAIN,
            protocol: PROTOCOL_KEEPALIVED,
            scope: None,
            metric: None,
            realms: None,
            expires: None,
            preference: None,
            ttl_propagate: None,
            metrics: Vec::new(),
            congestion: None,
            nexthops: Vec::new(),
            no_track: false,
            track_group: None,
        }
    }

    /// IPv4 or IPv6.
    pub fn family(&self) -> Family {
        Family::of(self.destination.address)
    }

    /// The interfaces that it names.
    pub fn interfaces(&self) -> impl Iterator<Item = &str> {
        let hops = self.nexthops.iter().filter_map(|hop| hop.interface.as_deref());
        self.interface.as_deref().into_iter().chain(hops)
    }
}

impl fmt::Display for Route {
    /// What it takes to recognise it, in iproute2's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != RouteKind::Unicast {
            write!(f, "{} ", self.kind.name())?;
        }
        match self.destination {
            Prefix { length: 0, .. } => f.write_str("default")?,
            prefix => write!(f, "{prefix}")?,
        }
        if let Some(from) = self.from {
            write!(f, " from {from}")?;
        }
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(interface) = &self.interface {
            write!(f, " dev {interface}")?;
        }
        for hop in &self.nexthops {
            f.write_str(" nexthop")?;
            if let Some(via) = hop.via {
                write!(f, " via {via}")?;
            }
            if let Some(interface) = &hop.interface {
                write!(f, " dev {interface}")?;
            }
        }
        if self.table != TABLE_MAIN {
            write!(f, " table {}", self.table)?;
        }
        self.metric.map_or(Ok(()), |metric| write!(f, " metric {metric}"))
    }
}

/// Where a new route goes among those to the same destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RouteOrder {
    /// Before them.
    Prepend,
    /// Only if there is none.
    Add,
    /// Behind them.
    Append,
}

/// `RTN_*` (linux/rtnetlink.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RouteKind {
    /// To a gateway or link.
    Unicast = 1,
    /// To this host.
    Local = 2,
    /// As broadcast.
    Broadcast = 3,
    /// As broadcast, accepted as unicast.
    Anycast = 4,
    /// To a group.
    Multicast = 5,
    /// Dropped.
    Blackhole = 6,
    /// Answered with host unreachable.
    Unreachable = 7,
    /// Answered with administratively prohibited.
    Prohibit = 8,
    /// Looked up in the next table.
    Throw = 9,
    /// Translated (no kernel of today has it).
    Nat = 10,
}

impl RouteKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Unicast,
        Self::Local,
        Self::Broadcast,
        Self::Anycast,
        Self::Multicast,
        Self::Blackhole,
        Self::Unreachable,
        Self::Prohibit,
        Self::Throw,
        Self::Nat,
    ];

    /// As written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Local => "local",
            Self::Broadcast => "broadcast",
            Self::Anycast => "anycast",
            Self::Multicast => "multicast",
            Self::Blackhole => "blackhole",
            Self::Unreachable => "unreachable",
            Self::Prohibit => "prohibit",
            Self::Throw => "throw",
            Self::Nat => "nat",
        }
    }
}

/// One way of a route with several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NextHop {
    /// The gateway.
    pub via: Option<IpAddr>,
    /// Output interface.
    pub interface: Option<String>,
    /// Share of the packets, 1..=256; `None` is 1.
    pub weight: Option<u16>,
    /// Take the gateway for reachable on the interface.
    pub onlink: bool,
    /// Lightweight tunnel.
    pub encap: Option<Encap>,
    /// As in [`Route::realms`].
    pub realms: Option<u32>,
}

/// A lightweight tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Encap {
    /// IP in IPv4 (`LWTUNNEL_ENCAP_IP`).
    Ip(IpTunnel),
    /// IP in IPv6 (`LWTUNNEL_ENCAP_IP6`); `tos` is the traffic class and `ttl` the hop limit.
    Ip6(IpTunnel),
    /// Labels, outermost first, 20 bits each.
    Mpls(Vec<u32>),
    /// Identifier locator addressing.
    Ila(u64),
}

/// What `encap ip` and `encap ip6` say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct IpTunnel {
    /// Tunnel id.
    pub id: Option<u64>,
    /// Far end.
    pub destination: Option<IpAddr>,
    /// Near end.
    pub source: Option<IpAddr>,
    /// Type of service or traffic class.
    pub tos: Option<u8>,
    /// TTL or hop limit.
    pub ttl: Option<u8>,
    /// Tunnel flags.
    pub flags: Option<u16>,
}

/// One path metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Metric {
    /// Which.
    pub kind: MetricKind,
    /// As the kernel takes it: `rtt` in 1/8 ms, `rttvar` in 1/4 ms, `rto_min` in ms.
    pub value: u32,
    /// The kernel must not adjust it.
    pub locked: bool,
}

/// `RTAX_*` (linux/rtnetlink.h), in the order of the dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MetricKind {
    /// Round trip time, 1/8 ms.
    Rtt,
    /// Its variance, 1/4 ms.
    RttVar,
    /// Shortest retransmission time, ms.
    RtoMin,
    /// Bits: 1 is ECN.
    Features,
    /// Path MTU.
    Mtu,
    /// Window clamp.
    Window,
    /// Slow start threshold.
    Ssthresh,
    /// Congestion window clamp.
    Cwnd,
    /// Segment size to advertise.
    Advmss,
    /// Reordering.
    Reordering,
    /// Hop limit.
    HopLimit,
    /// Initial congestion window.
    InitCwnd,
    /// Initial receive window.
    InitRwnd,
    /// Quick acknowledgements.
    QuickAck,
    /// Fast open without cookie.
    FastOpenNoCookie,
}

impl MetricKind {
    /// The kernel's number.
    pub fn number(self) -> u16 {
        match self {
            Self::Mtu => 2,
            Self::Window => 3,
            Self::Rtt => 4,
            Self::RttVar => 5,
            Self::Ssthresh => 6,
            Self::Cwnd => 7,
            Self::Advmss => 8,
            Self::Reordering => 9,
            Self::HopLimit => 10,
            Self::InitCwnd => 11,
            Self::Features => 12,
            Self::RtoMin => 13,
            Self::InitRwnd => 14,
            Self::QuickAck => 15,
            Self::FastOpenNoCookie => 17,
        }
    }

    /// As written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rtt => "rtt",
            Self::RttVar => "rttvar",
            Self::RtoMin => "rto_min",
            Self::Features => "features",
            Self::Mtu => "mtu",
            Self::Window => "window",
            Self::Ssthresh => "ssthresh",
            Self::Cwnd => "cwnd",
            Self::Advmss => "advmss",
            Self::Reordering => "reordering",
            Self::HopLimit => "hoplimit",
            Self::InitCwnd => "initcwnd",
            Self::InitRwnd => "initrwnd",
            Self::QuickAck => "quickack",
            Self::FastOpenNoCookie => "fastopen_no_cookie",
        }
    }
}

/// One rule line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// IPv4 or IPv6.
    pub family: Family,
    /// Holds for packets that the selectors do *not* fit.
    pub invert: bool,
    /// Source network.
    pub from: Option<Prefix>,
    /// Destination network.
    pub to: Option<Prefix>,
    /// Preference: lower numbers are asked first.
    pub priority: u32,
    /// Type of service, 0 for any.
    pub tos: u8,
    /// Firewall mark and mask.
    pub fwmark: Option<(u32, Option<u32>)>,
    /// Incoming interface.
    pub iif: Option<String>,
    /// Outgoing interface, of sockets bound to it.
    pub oif: Option<String>,
    /// Refuse results with prefixes of this length or less.
    pub suppress_prefixlength: Option<u32>,
    /// Refuse results on interfaces of this group.
    pub suppress_ifgroup: Option<u32>,
    /// Tunnel id.
    pub tunnel_id: Option<u64>,
    /// First and last user id.
    pub uid_range: Option<(u32, u32)>,
    /// IP protocol.
    pub ip_protocol: Option<u8>,
    /// First and last source port.
    pub source_ports: Option<(u16, u16)>,
    /// First and last destination port.
    pub destination_ports: Option<(u16, u16)>,
    /// `from << 16 | to` (IPv4).
    pub realms: Option<u32>,
    /// `RTPROT_*`, 18 is keepalived; `None` says nothing.
    pub protocol: Option<u8>,
    /// What to do.
    pub action: RuleAction,
    /// Do not react to its loss, nor to that of its interfaces.
    pub no_track: bool,
    /// The `track_group` of a static one.
    pub track_group: Option<String>,
}

impl Rule {
    /// The interfaces that it names.
    pub fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.iif.as_deref().into_iter().chain(self.oif.as_deref())
    }
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RuleAction {
    /// Look into this table.
    Lookup(u32),
    /// Look into the table of the packet's VRF.
    L3mdev,
    /// Go on at the rule of this preference.
    Goto(u32),
    /// Nothing.
    Nop,
    /// Drop.
    Blackhole,
    /// Answer with host unreachable.
    Unreachable,
    /// Answer with administratively prohibited.
    Prohibit,
}

impl fmt::Display for Rule {
    /// What it takes to recognise it, in iproute2's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.priority)?;
        if self.invert {
            f.write_str(" not")?;
        }
        match self.from {
            Some(from) if from.length > 0 => write!(f, " from {from}")?,
            _ => f.write_str(" from all")?,
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        if let Some((mark, mask)) = self.fwmark {
            write!(f, " fwmark {mark:#x}")?;
            if let Some(mask) = mask {
                write!(f, "/{mask:#x}")?;
            }
        }
        for (word, name) in [("iif", &self.iif), ("oif", &self.oif)] {
            if let Some(name) = name {
                write!(f, " {word} {name}")?;
            }
        }
        match self.action {
            RuleAction::Lookup(table) => write!(f, " lookup {table}"),
            RuleAction::L3mdev => f.write_str(" l3mdev"),
            RuleAction::Goto(priority) => write!(f, " goto {priority}"),
            RuleAction::Nop => f.write_str(" nop"),
            RuleAction::Blackhole => f.write_str(" blackhole"),
            RuleAction::Unreachable => f.write_str(" unreachable"),
            RuleAction::Prohibit => f.write_str(" prohibit"),
        }
    }
}
