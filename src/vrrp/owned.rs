//! What a MASTER owns in the kernel: addresses, routes, rules, as one kind of thing.
//!
//! One list in one order for each owner: advertised addresses, excluded addresses, routes, rules (spec/vrrp-behaviour.md
//! §4.2). `Holdings` says which of them are in the kernel because of us.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::model::{
    Family, Instance, Prefix, Route, RouteKind, Rule, RuleAction, Statics, VirtualAddress,
};

/// An object in the kernel that is there for an [`Owner`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Owned {
    /// An address on an interface.
    Address(VirtualAddress),
    /// A route.
    Route(Box<Route>),
    /// A routing policy rule.
    Rule(Box<Rule>),
}

impl Owned {
    pub(super) fn as_object(&self) -> Object<'_> {
        match self {
            Self::Address(address) => Object::Address(address),
            Self::Route(route) => Object::Route(route),
            Self::Rule(rule) => Object::Rule(rule),
        }
    }
}

impl fmt::Display for Owned {
    /// What it takes to recognise it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{} on {}", address.address, address.interface),
            Self::Route(route) => write!(f, "route {route}"),
            Self::Rule(rule) => write!(f, "rule {rule}"),
        }
    }
}

/// For whom an object is in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Owner {
    /// The MASTER of this index in the configuration; for one that a reload removed, its old index.
    Instance(usize),
    /// The daemon, as long as it lives: `static_ipaddress` and its siblings.
    Static,
}

/// A route as the kernel tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRoute {
    /// Its destination.
    pub destination: Prefix,
    /// Type of service.
    pub tos: u8,
    /// Routing table.
    pub table: u32,
    /// `RTPROT_*`.
    pub protocol: u8,
    /// `RTN_*`.
    pub kind: u8,
    /// Metric, 0 if there is none.
    pub metric: u32,
    /// Gateway and output interface (0 if not told) of each way.
    pub ways: Vec<(Option<IpAddr>, u32)>,
}

impl SeenRoute {
    /// Does it lie where `route` lies, so that only one of the two can be there?
    pub(super) fn has_place_of(&self, route: &Route) -> bool {
        let metric = match route.family() {
            Family::V4 => route.metric.unwrap_or(0),
            // The kernel's `IP6_RT_PRIO_USER`.
            Family::V6 => route.metric.filter(|metric| *metric > 0).unwrap_or(1024),
        };
        network(self.destination) == network(route.destination)
            && (self.tos, self.table, self.metric) == (route.tos, route.table, metric)
    }

    /// Is it this route? `index` knows the interfaces.
    pub(super) fn is(&self, route: &Route, index: impl Fn(&str) -> Option<u32>) -> bool {
        if !self.has_place_of(route)
            || self.protocol != route.protocol
            || RouteKind::ALL.iter().any(|kind| *kind as u8 == self.kind && *kind != route.kind)
        {
            return false;
        }
        let hops = route.nexthops.iter().map(|hop| (hop.via, hop.interface.as_deref()));
        let mut ways =
            hops.chain(route.nexthops.is_empty().then_some((route.via, route.interface.as_deref())));
        // What the configuration leaves open the kernel has filled in.
        ways.any(|(via, interface)| {
            self.ways.is_empty()
                || self.ways.iter().any(|(gateway, out)| {
                    via.is_none_or(|via| *gateway == Some(via))
                        && interface.and_then(&index).is_none_or(|wanted| *out == 0 || *out == wanted)
                })
        })
    }
}

/// A rule as the kernel tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRule {
    /// IPv4 or IPv6.
    pub family: Family,
    /// Preference.
    pub priority: u32,
    /// Source network; length 0 if there is none.
    pub from: Option<Prefix>,
    /// Destination network.
    pub to: Option<Prefix>,
    /// Routing table, 0 if none is named.
    pub table: u32,
    /// Incoming interface.
    pub iif: Option<String>,
    /// Outgoing interface.
    pub oif: Option<String>,
    /// Firewall mark, 0 if there is none.
    pub fwmark: u32,
    /// `RTPROT_*`, 0 if not said.
    pub protocol: u8,
}

impl SeenRule {
    /// Is it this rule?
    pub(super) fn is(&self, rule: &Rule) -> bool {
        let table = match rule.action {
            RuleAction::Lookup(table) => table,
            _ => 0,
        };
        let some = |prefix: Option<Prefix>| prefix.filter(|prefix| prefix.length > 0).map(network);
        self.family == rule.family
            && self.priority == rule.priority
            && self.protocol == rule.protocol.unwrap_or(0)
            && some(self.from) == some(rule.from)
            && some(self.to) == some(rule.to)
            && (self.table == table || matches!(rule.action, RuleAction::L3mdev))
            && self.iif == rule.iif
            && self.oif == rule.oif
            && self.fwmark == rule.fwmark.map_or(0, |(mark, _)| mark)
    }
}

/// Without the bits that do not count.
fn network(prefix: Prefix) -> Prefix {
    let address = match prefix.address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.length.min(32))).unwrap_or(0);
            IpAddr::from((v4.to_bits() & mask).to_be_bytes())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.length.min(128))).unwrap_or(0);
            IpAddr::from((v6.to_bits() & mask).to_be_bytes())
        }
    };
    Prefix { address, ..prefix }
}

/// An entry of an owner's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Object<'a> {
    Address(&'a VirtualAddress),
    Route(&'a Route),
    Rule(&'a Rule),
}

impl<'a> Object<'a> {
    pub(super) fn to_owned(self) -> Owned {
        match self {
            Self::Address(address) => Owned::Address(address.clone()),
            Self::Route(route) => Owned::Route(Box::new(route.clone())),
            Self::Rule(rule) => Owned::Rule(Box::new(rule.clone())),
        }
    }

    /// The `track_group` of a static one.
    pub(super) fn track_group(self) -> Option<&'a str> {
        match self {
            Self::Address(address) => address.track_group.as_deref(),
            Self::Route(route) => route.track_group.as_deref(),
            Self::Rule(rule) => rule.track_group.as_deref(),
        }
    }

    /// May the kernel have dropped it, or refused it, while this interface was down?
    pub(super) fn depends_on(self, interface: &str) -> bool {
        match self {
            Self::Address(address) => address.interface == interface,
            // A route that names none goes out on one that only the kernel knows.
            Self::Route(route) => {
                route.interfaces().next().is_none() || route.interfaces().any(|name| name == interface)
            }
            Self::Rule(_) => false,
        }
    }

    pub(super) fn no_track(self) -> bool {
        match self {
            Self::Address(address) => address.no_track,
            Self::Route(route) => route.no_track,
            Self::Rule(rule) => rule.no_track,
        }
    }

    /// The interfaces without which it is not there. Stock: those of next hops do not count.
    pub(super) fn interfaces(self) -> impl Iterator<Item = &'a str> {
        let (first, second) = match self {
            Self::Address(address) => (Some(&address.interface), None),
            Self::Route(route) => (route.interface.as_ref(), None),
            Self::Rule(rule) => (rule.iif.as_ref(), rule.oif.as_ref()),
        };
        first.into_iter().chain(second).map(String::as_str)
    }
}

/// `vips`, then `excluded`.
pub(super) fn addresses(config: &Instance) -> impl Iterator<Item = &VirtualAddress> {
    config.vips.iter().chain(&config.excluded)
}

/// Everything that a MASTER of this configuration owns, in the order in which it is added. The addresses come first,
/// as in [`addresses`].
pub(super) fn objects(config: &Instance) -> impl Iterator<Item = Object<'_>> {
    let routes = config.routes.iter().map(Object::Route);
    addresses(config).map(Object::Address).chain(routes).chain(config.rules.iter().map(Object::Rule))
}

/// Everything that the daemon owns as long as it lives, in the order in which it is added.
pub(super) fn static_objects(statics: &Statics) -> impl Iterator<Item = Object<'_>> {
    let routes = statics.routes.iter().map(Object::Route);
    statics.addresses.iter().map(Object::Address).chain(routes).chain(statics.rules.iter().map(Object::Rule))
}
