//! Lines of `virtual_routes` and `static_routes` (spec/vrrp-config.md §3.2).
//!
//! What is wrong with a line and what stock makes of it: most faults drop the route, a bad hop only ends the list of
//! hops, a few words are passed over.

use std::net::IpAddr;

use super::address::Place;
use super::route_values::{encap, feature, realms, time};
use super::{iproute_number, item_span, list, quoted, tracking};
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::iproute::Kind;
use crate::config::model::{
    Family, Metric, MetricKind, NextHop, PROTOCOL_KEEPALIVED, Prefix, Route, RouteKind, RouteOrder,
};
use crate::config::reader::Reader;
use crate::config::schema::{Item, List};
use crate::config::suggest::did_you_mean;
use crate::config::syntax::Word;
use crate::config::value::{self, Reading};

/// `virtual_routes`.
pub static VIRTUAL: List = list(|reader, words| {
    if let Some(route) = read(reader, words, Place::Virtual) {
        reader.drafts.instance.routes.push(route);
    }
});
/// `static_routes`.
pub static STATIC: List = list(|reader, words| {
    if let Some(route) = read(reader, words, Place::Static) {
        reader.drafts.static_routes.push(route);
    }
});

/// Words with a value, for suggestions.
const WITH_VALUE: [&str; 36] = [
    "to",
    "via",
    "gw",
    "dev",
    "oif",
    "src",
    "from",
    "table",
    "vrf",
    "metric",
    "priority",
    "preference",
    "tos",
    "dsfield",
    "scope",
    "protocol",
    "mtu",
    "advmss",
    "rtt",
    "rttvar",
    "reordering",
    "cwnd",
    "ssthresh",
    "rto_min",
    "congctl",
    "hoplimit",
    "window",
    "initcwnd",
    "initrwnd",
    "features",
    "quickack",
    "fastopen_no_cookie",
    "realms",
    "expires",
    "pref",
    "ttl-propagate",
];
const ALONE: [&str; 10] =
    ["onlink", "prepend", "add", "append", "no_track", "nexthop", "encap", "default", "any", "all"];

/// Words that stand for a whole family.
fn is_any(word: &str) -> bool {
    matches!(word, "default" | "any" | "all" | "default6")
}

/// The line is dropped; the report is made.
pub(super) struct Dropped;

/// A line being read.
struct Line<'r, 'a> {
    reader: &'r mut Reader<'a>,
    words: Item<'a>,
    rest: &'a [Word],
    place: Place,
    route: Route,
    /// The destination: `None` until it is given.
    destination: Option<Destination>,
    protocol: Option<&'a Word>,
    track_group: Option<&'a Word>,
}

#[derive(Clone, Copy)]
enum Destination {
    Prefix(Prefix),
    /// `default`: its family is that of the addresses behind it.
    Any,
}

fn read<'a>(reader: &mut Reader<'a>, words: Item<'a>, place: Place) -> Option<Route> {
    let any = Prefix { address: IpAddr::from([0; 4]), length: 0 };
    let (route, destination) = (Route::to(any), None);
    let mut line =
        Line { reader, words, rest: words, place, route, destination, protocol: None, track_group: None };
    line.read().ok()?;
    line.finish().ok()
}

impl<'a> Line<'_, 'a> {
    fn read(&mut self) -> Result<(), Dropped> {
        if let [family, after @ ..] = self.rest
            && (family == "inet" || family == "inet6")
        {
            // Stock swallows the word behind the family (spec/vrrp-config.md, trap 3).
            self.rest = after.get(1..).unwrap_or(&[]);
        }
        while let Some((option, after)) = self.rest.split_first() {
            self.rest = after;
            let name = option.as_str();
            if name == "nexthop" || name == "or" {
                self.hops(option);
                return Ok(());
            }
            if let Some(kind) = RouteKind::ALL.into_iter().find(|kind| kind.name() == name) {
                self.route.kind = kind;
                let word = self.value(option)?;
                self.destination(word)?;
                continue;
            }
            self.option(option, name)?;
        }
        Ok(())
    }

    fn option(&mut self, option: &'a Word, name: &str) -> Result<(), Dropped> {
        match name {
            "to" => {
                let word = self.value(option)?;
                self.destination(word)?;
            }
            "via" | "gw" => {
                if name == "gw" {
                    self.deprecated(option, "via");
                }
                self.route.via = Some(self.gateway(option)?);
            }
            "dev" | "oif" => self.route.interface = Some(self.interface(option)?),
            "onlink" => self.route.onlink = true,
            "src" => self.route.source = Some(self.address(option)?),
            "from" => {
                let word = self.value(option)?;
                let from = self.prefix(word)?;
                if from.is_none_or(|from| from.address.is_ipv4()) {
                    return Err(self.drop(word, "only IPv6 routes can have `from`"));
                }
                self.route.from = from;
            }
            "table" => self.route.table = self.name(option, Kind::Table, u32::MAX)?,
            "vrf" => self.vrf(option)?,
            "tos" | "dsfield" => self.route.tos = self.small_name(option, Kind::Field)?,
            "scope" => self.route.scope = Some(self.small_name(option, Kind::Scope)?),
            "protocol" => {
                self.protocol = self.rest.first();
                self.route.protocol = self.small_name(option, Kind::Protocol)?;
            }
            "metric" | "priority" | "preference" => {
                self.route.metric = Some(self.number(option, u32::MAX)?);
            }
            "realms" => {
                let word = self.value(option)?;
                let value = realms(self.reader, word);
                self.route.realms = Some(value.ok_or_else(|| self.invalid(option, word))?);
            }
            "expires" => self.route.expires = Some(self.number(option, u32::MAX)?),
            "pref" => {
                let word = self.value(option)?;
                let value = match word.as_str() {
                    "medium" => Some(0),
                    "high" => Some(1),
                    "low" => Some(3),
                    number => number.parse().ok(),
                };
                self.route.preference = Some(value.ok_or_else(|| self.invalid(option, word))?);
            }
            "ttl-propagate" => {
                let word = self.value(option)?;
                if word != "enabled" && word != "disabled" {
                    self.say(word, "`ttl-propagate` is enabled or disabled", "takes it for `disabled`");
                }
                self.route.ttl_propagate = Some(word == "enabled");
            }
            "encap" => {
                let (reader, rest) = (&mut *self.reader, &mut self.rest);
                self.route.encap = encap(reader, option, rest)?;
            }
            "as" => {
                self.say(option, "`as to` is for MPLS routes", "passes over it");
                let skipped = if self.rest.first().is_some_and(|word| word == "to") { 2 } else { 1 };
                self.rest = self.rest.get(skipped..).unwrap_or(&[]);
            }
            "prepend" => self.route.order = RouteOrder::Prepend,
            "add" => self.route.order = RouteOrder::Add,
            "append" => self.route.order = RouteOrder::Append,
            "no_track" => self.route.no_track = true,
            "track_group" if self.place == Place::Static => self.track_group = Some(self.value(option)?),
            _ => return self.metric_or_destination(option, name),
        }
        Ok(())
    }

    fn metric_or_destination(&mut self, option: &'a Word, name: &str) -> Result<(), Dropped> {
        let (kind, max, may_be_locked) = match name {
            "mtu" => (MetricKind::Mtu, u32::MAX, true),
            "advmss" => (MetricKind::Advmss, u32::MAX, true),
            "reordering" => (MetricKind::Reordering, u32::MAX, true),
            "cwnd" => (MetricKind::Cwnd, u32::MAX, true),
            "ssthresh" => (MetricKind::Ssthresh, u32::MAX, true),
            "hoplimit" => (MetricKind::HopLimit, 255, false),
            "window" => (MetricKind::Window, u32::MAX, false),
            "initcwnd" => (MetricKind::InitCwnd, u32::MAX, false),
            "initrwnd" => (MetricKind::InitRwnd, u32::MAX, false),
            "quickack" => (MetricKind::QuickAck, 1, false),
            "fastopen_no_cookie" => (MetricKind::FastOpenNoCookie, 1, false),
            "rtt" | "rttvar" | "rto_min" => return self.time(option, name),
            "features" => {
                let word = self.value(option)?;
                match feature(word) {
                    Some(bits) => self.set_metric(MetricKind::Features, bits, false),
                    None => self.say(word, "the only feature is `ecn`", "passes over it"),
                }
                return Ok(());
            }
            "congctl" => {
                let locked = self.lock(option)?;
                let word = self.value(option)?;
                self.route.congestion = Some((word.as_str().to_owned(), locked));
                return Ok(());
            }
            _ => return self.destination(option),
        };
        let locked = may_be_locked && self.lock(option)?;
        let value = self.number(option, max)?;
        self.set_metric(kind, value, locked);
        Ok(())
    }

    fn time(&mut self, option: &'a Word, name: &str) -> Result<(), Dropped> {
        let (kind, factor) = match name {
            "rtt" => (MetricKind::Rtt, 8),
            "rttvar" => (MetricKind::RttVar, 4),
            _ => (MetricKind::RtoMin, 1),
        };
        let locked = self.lock(option)?;
        let word = self.value(option)?;
        let Some(raw) = time(word, factor) else { return Err(self.invalid(option, word)) };
        let value = raw.clamp(200 * factor, 120_000 * factor);
        if raw != value {
            self.reader.push(
                Diagnostic::warning(
                    "bad-route",
                    word.span(),
                    format!("`{name}` must be from 0.2 s to 120 s"),
                )
                .help("write the time with its unit, as in `200ms`")
                .stock("moves it to the nearest limit"),
            );
        }
        self.set_metric(kind, value, locked);
        Ok(())
    }

    fn set_metric(&mut self, kind: MetricKind, value: u32, locked: bool) {
        let metric = Metric { kind, value, locked };
        match self.route.metrics.iter_mut().find(|known| known.kind == kind) {
            Some(known) => *known = metric,
            None => self.route.metrics.push(metric),
        }
    }

    /// A word that is none of the options must be the destination.
    fn destination(&mut self, word: &'a Word) -> Result<(), Dropped> {
        if word == "default6" {
            self.deprecated(word, "default");
            let address = IpAddr::from([0; 16]);
            self.destination = Some(Destination::Prefix(Prefix { address, length: 0 }));
            return Ok(());
        }
        if !is_any(word) && value::address_with_prefix(word, self.reader.world.mode).is_none() {
            return Err(self.unknown(word));
        }
        self.destination = Some(self.prefix(word)?.map_or(Destination::Any, Destination::Prefix));
        Ok(())
    }

    /// `None` for `default` and its like.
    fn prefix(&mut self, word: &'a Word) -> Result<Option<Prefix>, Dropped> {
        if is_any(word) {
            return Ok(None);
        }
        let Some((address, prefix)) = value::address_with_prefix(word, self.reader.world.mode) else {
            return Err(self.drop(word, "no network"));
        };
        let whole = value::full_prefix(Family::of(address));
        let length = match prefix {
            None => whole,
            Some(Reading::Good(length)) => length,
            Some(reading) => {
                let used = if let Reading::Used(length, _) = reading { length } else { whole };
                self.reader.push(
                    Diagnostic::error(
                        "bad-prefix",
                        word.span(),
                        format!("`{}` has no valid prefix length", quoted(word)),
                    )
                    .help(format!("write `{address}/N` with N up to {whole}"))
                    .stock(format!("uses /{used}")),
                );
                used
            }
        };
        Ok(Some(Prefix { address, length }))
    }

    /// The value of an option. Stock: without one it reads no further.
    fn value(&mut self, option: &Word) -> Result<&'a Word, Dropped> {
        if let Some((word, after)) = self.rest.split_first() {
            self.rest = after;
            return Ok(word);
        }
        let message = format!("`{}` needs a value", option.as_str());
        self.reader.push(dropped(option, message).class(Class::MissingArgument));
        Err(Dropped)
    }

    fn lock(&mut self, option: &Word) -> Result<bool, Dropped> {
        if self.rest.first().is_none_or(|word| word != "lock") {
            return Ok(false);
        }
        self.value(option)?;
        Ok(true)
    }

    fn number(&mut self, option: &'a Word, max: u32) -> Result<u32, Dropped> {
        let word = self.value(option)?;
        let fine = word.parse().ok().filter(|number| *number <= max);
        fine.ok_or_else(|| self.invalid(option, word))
    }

    fn name(&mut self, option: &'a Word, kind: Kind, max: u32) -> Result<u32, Dropped> {
        let word = self.value(option)?;
        let number = iproute_number(self.reader, kind, word, max);
        number.ok_or_else(|| self.invalid(option, word))
    }

    fn small_name(&mut self, option: &'a Word, kind: Kind) -> Result<u8, Dropped> {
        self.name(option, kind, 255).map(|number| u8::try_from(number).unwrap_or(u8::MAX))
    }

    fn address(&mut self, option: &'a Word) -> Result<IpAddr, Dropped> {
        let word = self.value(option)?;
        value::address(word).ok_or_else(|| self.invalid(option, word))
    }

    /// An address behind an optional family.
    fn gateway(&mut self, option: &'a Word) -> Result<IpAddr, Dropped> {
        if self.rest.first().is_some_and(|word| word == "inet" || word == "inet6") {
            self.value(option)?;
        }
        self.address(option)
    }

    fn interface(&mut self, option: &'a Word) -> Result<String, Dropped> {
        let word = self.value(option)?;
        tracking::name_interface(self.reader, word, "a route");
        Ok(word.as_str().to_owned())
    }

    fn vrf(&mut self, option: &'a Word) -> Result<(), Dropped> {
        let word = self.value(option)?;
        let facts = self.reader.world.facts.interfaces.get(word.as_str());
        match facts.and_then(|facts| facts.vrf_table) {
            Some(table) => {
                self.route.table = table;
                Ok(())
            }
            None => Err(self.drop(word, "no VRF")),
        }
    }

    /// The hops: a bad one ends the list, and the route keeps those before it.
    fn hops(&mut self, first: &'a Word) {
        let mut head = Some(first);
        while let Some(option) = head {
            let hop = if option == "or" {
                self.deprecated(option, "nexthop via");
                // It makes the gateway before it the first hop.
                if let Some(via) = self.route.via.take() {
                    self.route.nexthops.push(NextHop { via: Some(via), ..empty_hop() });
                }
                self.address(option).map(|via| NextHop { via: Some(via), ..empty_hop() })
            } else if option == "nexthop" {
                self.hop()
            } else {
                let message = format!("`{}` behind the hops of a route", quoted(option));
                self.reader.push(
                    dropped(option, message)
                        .help("write the hops last")
                        .stock("passes over the rest of the line"),
                );
                return;
            };
            let Ok(hop) = hop else { return };
            self.route.nexthops.push(hop);
            head = self.rest.split_first().map(|(next, after)| {
                self.rest = after;
                next
            });
        }
    }

    fn hop(&mut self) -> Result<NextHop, Dropped> {
        let mut hop = empty_hop();
        while let Some((option, after)) = self.rest.split_first() {
            match option.as_str() {
                "via" | "dev" | "oif" | "weight" | "onlink" | "encap" | "realms" => self.rest = after,
                _ => break,
            }
            match option.as_str() {
                "via" => hop.via = Some(self.gateway(option)?),
                "dev" | "oif" => {
                    let word = self.value(option)?;
                    tracking::name_interface(self.reader, word, "a nexthop");
                    hop.interface = Some(word.as_str().to_owned());
                }
                "weight" => {
                    let word = self.value(option)?;
                    let weight = word.parse().ok().filter(|weight| (1..=256).contains(weight));
                    hop.weight = Some(weight.ok_or_else(|| self.invalid_hop(option, word))?);
                }
                "onlink" => hop.onlink = true,
                "encap" => hop.encap = encap(&mut *self.reader, option, &mut self.rest)?,
                _ => {
                    let word = self.value(option)?;
                    let value = realms(self.reader, word);
                    hop.realms = Some(value.ok_or_else(|| self.invalid_hop(option, word))?);
                }
            }
        }
        Ok(hop)
    }

    /// What only the whole line can tell.
    fn finish(mut self) -> Result<Route, Dropped> {
        let route = &self.route;
        let hops = route.nexthops.iter().filter_map(|hop| hop.via);
        let mut others = route.via.into_iter().chain(route.source).chain(hops).map(Family::of);
        let family = others.next();
        let is_mixed = others.any(|other| Some(other) != family);
        let destination = match self.destination {
            Some(Destination::Prefix(prefix)) => prefix,
            Some(Destination::Any) => {
                let is_v6 = family == Some(Family::V6) || route.from.is_some();
                let address = if is_v6 { [0; 16].into() } else { [0; 4].into() };
                Prefix { address, length: 0 }
            }
            None => {
                self.reader.push(
                    Diagnostic::error("bad-route", item_span(self.words), "a route needs a destination")
                        .help("write the prefix first, as in `192.0.2.0/24 via 198.51.100.1`")
                        .stock("drops the route"),
                );
                return Err(Dropped);
            }
        };
        self.route.destination = destination;
        let own = self.route.family();
        let first = &self.words[0];
        if is_mixed
            || family.is_some_and(|family| family != own)
            || self.route.from.is_some() && own == Family::V4
        {
            return Err(self.drop(first, "a route cannot mix IPv4 and IPv6"));
        }
        let only_v6 = (self.route.expires.is_some(), "expires");
        for (is_given, word) in [only_v6, (self.route.preference.is_some(), "pref")] {
            if is_given && own == Family::V4 {
                return Err(self.drop(first, &format!("`{word}` is for IPv6 routes")));
            }
        }
        if self.route.realms.is_some() && own == Family::V6 {
            return Err(self.drop(first, "`realms` are for IPv4 routes"));
        }
        self.route.metrics.sort_by_key(|metric| metric.kind);
        self.protocol();
        self.group();
        Ok(self.route)
    }

    fn protocol(&mut self) {
        if self.route.no_track || self.route.protocol == PROTOCOL_KEEPALIVED {
            return;
        }
        self.route.protocol = PROTOCOL_KEEPALIVED;
        let Some(word) = self.protocol else { return };
        self.reader.push(
            Diagnostic::warning("bad-route", word.span(), "a tracked route cannot have another protocol")
                .help("add `no_track`, or remove `protocol`")
                .stock("sets the protocol to keepalived (18)"),
        );
    }

    fn group(&mut self) {
        let Some(word) = self.track_group else { return };
        if self.route.interface.is_none() {
            self.say(word, "a route with `track_group` needs `dev`", "ignores the group");
            return;
        }
        self.route.track_group = super::statics::known_group(self.reader, word);
    }

    fn say(&mut self, word: &Word, message: &str, stock: &'static str) {
        self.reader.push(dropped(word, message.to_owned()).stock(stock));
    }

    fn drop(&mut self, word: &Word, why: &str) -> Dropped {
        self.reader.push(dropped(word, format!("`{}`: {why}", quoted(word))));
        Dropped
    }

    fn invalid(&mut self, option: &Word, word: &Word) -> Dropped {
        let message = format!("`{}`: `{}` is no valid value", option.as_str(), quoted(word));
        self.reader.push(dropped(word, message));
        Dropped
    }

    fn invalid_hop(&mut self, option: &Word, word: &Word) -> Dropped {
        let message = format!("`{}`: `{}` is no valid value", option.as_str(), quoted(word));
        self.reader.push(dropped(word, message).stock("keeps the hops before it"));
        Dropped
    }

    fn unknown(&mut self, option: &Word) -> Dropped {
        let mut report = dropped(option, format!("`{}` is no word of a route", quoted(option)));
        if let Some(meant) = did_you_mean(option, WITH_VALUE.into_iter().chain(ALONE)) {
            report = report.help(format!("did you mean `{meant}`?"));
        }
        self.reader.push(report);
        Dropped
    }

    fn deprecated(&mut self, option: &Word, successor: &str) {
        self.reader.push(
            Diagnostic::warning(
                "deprecated-keyword",
                option.span(),
                format!("`{}` in routes is deprecated", option.as_str()),
            )
            .help(format!("write `{successor}`"))
            .stock("accepts it, but `-t` counts it as an error"),
        );
    }
}

fn empty_hop() -> NextHop {
    NextHop { via: None, interface: None, weight: None, onlink: false, encap: None, realms: None }
}

pub(super) fn dropped(word: &Word, message: String) -> Diagnostic {
    Diagnostic::error("bad-route", word.span(), message).stock("drops the route")
}
