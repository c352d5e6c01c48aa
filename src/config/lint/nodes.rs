//! Files of one cluster, held against each other: what the nodes of a virtual router must have in common.
//!
//! Two instances are of one virtual router when family and number agree and name or an address, too. Reports stand in the
//! later file and name the place in the earlier one.

use std::net::IpAddr;

use super::election::network;
use super::{instance, report};
use crate::config::Loaded;
use crate::config::blocks::tracking::Tracked;
use crate::config::blocks::vrrp_instance::Draft;
use crate::config::blocks::{Drafts, quoted, vrrp_script};
use crate::config::diagnostic::Diagnostic;
use crate::config::model::{Auth, Centis, Config, Family, Instance, SyncGroup, Transport, Vrid, VrrpVersion};
use crate::config::reader::decimal;
use crate::config::source::Span;

/// One virtual router on one node, as far as nodes are compared.
#[derive(Debug, Clone)]
pub struct Router {
    name: String,
    family: Family,
    vrid: Vrid,
    version: VrrpVersion,
    advert_int: Centis,
    auth: Auth,
    /// Sorted.
    addresses: Vec<IpAddr>,
    networks: Vec<(u128, u8)>,
    /// As configured, 1..=255.
    pub(super) priority: i32,
    /// With everything that is tracked as it should be.
    normal: i32,
    /// The range that weights can give it.
    pub(super) lowest: i32,
    pub(super) highest: i32,
    /// Things are tracked whose weights are not known here.
    vague: bool,
    pub(super) weights: Vec<Weight>,
    preempt: bool,
    source: Option<IpAddr>,
    peers: Option<Vec<IpAddr>>,
    places: Places,
}

/// A tracked thing with a weight.
#[derive(Debug, Clone)]
pub(super) struct Weight {
    pub(super) name: String,
    pub(super) value: i32,
    reverse: bool,
    pub(super) place: Span,
}

#[derive(Debug, Clone, Copy)]
struct Places {
    vrid: Span,
    version: Span,
    advert_int: Span,
    auth: Span,
    addresses: Span,
    priority: Span,
    peers: Span,
}

/// The virtual routers of a file.
pub(super) fn routers(drafts: &Drafts<'_>, config: &Config) -> Vec<Router> {
    config.instances.iter().filter_map(|built| router(drafts, config, built)).collect()
}

fn router(drafts: &Drafts<'_>, config: &Config, built: &Instance) -> Option<Router> {
    let draft = instance(drafts, &built.name)?;
    let name = draft.name?.span();
    let place = |span: Option<Span>| span.unwrap_or(name);
    let priority = i32::from(built.priority.get());
    let effects = effects(drafts, config, draft, built);
    let sum = |wanted: &dyn Fn(i32, bool) -> bool| -> i32 {
        effects.iter().filter(|it| wanted(it.value, it.reverse)).map(|it| it.value).sum()
    };
    let clamp = |priority: i32| priority.clamp(1, 254);
    let (lowest, normal, highest) = if built.priority.is_owner() {
        (priority, priority, priority)
    } else {
        (
            clamp(priority + sum(&|weight, _| weight < 0)),
            // A weight above 0 is added while the thing is well, one below while it is not; `reverse` swaps that.
            clamp(priority + sum(&|weight, reverse| (weight > 0) != reverse)),
            clamp(priority + sum(&|weight, _| weight > 0)),
        )
    };
    let mut addresses: Vec<IpAddr> = built.vips.iter().map(|vip| vip.address).collect();
    addresses.sort_unstable();
    let peers = match &built.transport {
        Transport::Unicast { peers, .. } => Some(peers.iter().map(|peer| peer.address).collect()),
        Transport::Multicast { .. } => None,
    };
    Some(Router {
        name: built.name.clone(),
        family: built.family,
        vrid: built.vrid,
        version: built.version,
        advert_int: built.advert_int,
        auth: built.auth.clone(),
        networks: built.vips.iter().filter_map(|vip| network(vip.address, vip.prefix.min(24))).collect(),
        addresses,
        priority,
        normal,
        lowest,
        highest,
        vague: !(draft.trackers.files.is_empty()
            && draft.trackers.processes.is_empty()
            && draft.trackers.bfds.is_empty()),
        weights: effects,
        preempt: built.preempt,
        source: built.source,
        peers,
        places: Places {
            vrid: place(draft.virtual_router_id.map(|(_, span)| span)),
            version: place(draft.version.map(|(_, span)| span)),
            advert_int: place(draft.advert_int.map(|(_, span)| span)),
            auth: place(draft.auth_type.map(|(_, span)| span)),
            addresses: place(draft.vips.first().map(|vip| vip.span)),
            priority: place(draft.priority.map(|(_, span)| span)),
            peers: place(draft.peer_places.first().copied()),
        },
    })
}

/// The weights as written, whether the scripts are on this host or not.
fn effects(drafts: &Drafts<'_>, config: &Config, draft: &Draft<'_>, built: &Instance) -> Vec<Weight> {
    let grouped = |group: &SyncGroup| !group.tracking_weight && group.members.contains(&built.name);
    if config.sync_groups.iter().any(grouped) {
        return Vec::new();
    }
    let weight = |tracked: &Tracked<'_>, own: (i32, bool)| Weight {
        name: quoted(tracked.name),
        value: tracked.weight.unwrap_or(own.0),
        reverse: tracked.reverse.unwrap_or(own.1),
        place: tracked.name.span(),
    };
    let script = |tracked: &Tracked<'_>| {
        let named = |script: &&vrrp_script::Draft<'_>| {
            script.name.is_some_and(|name| name.as_str() == tracked.name.as_str())
        };
        let own = drafts.scripts.iter().find(named).map_or((0, false), |it| (it.weight, it.reverse));
        weight(tracked, own)
    };
    let scripts = draft.trackers.scripts.iter().map(script);
    let interfaces = draft.trackers.interfaces.iter().map(|tracked| weight(tracked, (0, false)));
    scripts.chain(interfaces).filter(|weight| weight.value != 0).collect()
}

/// Compares the files of one cluster's nodes, each with the ones before it, and adds what does not fit.
pub fn compare(nodes: &mut [Loaded]) {
    for later in 1..nodes.len() {
        let (before, rest) = nodes.split_at_mut(later);
        let Some(node) = rest.first_mut() else { continue };
        let mut found = Vec::new();
        for earlier in before.iter() {
            for second in &node.linted.routers {
                for first in &earlier.linted.routers {
                    pair(earlier, first, second, &mut found);
                }
            }
        }
        add(node, found);
    }
    for index in 0..nodes.len() {
        let mut found = Vec::new();
        for router in nodes.get(index).map(|node| &node.linted.routers).into_iter().flatten() {
            let others = nodes.iter().enumerate().filter(|(other, _)| *other != index);
            let rivals: Vec<&Router> = others
                .filter_map(|(_, node)| node.linted.routers.iter().find(|other| router.is_one_with(other)))
                .collect();
            useless_weights(router, &rivals, &mut found);
        }
        if let Some(node) = nodes.get_mut(index) {
            add(node, found);
        }
    }
}

fn add(node: &mut Loaded, found: Vec<Diagnostic>) {
    for report in found {
        if !node.linted.allowed.covers(&report, &node.sources) {
            node.diagnostics.push(report);
        }
    }
}

impl Router {
    fn is_one_with(&self, other: &Self) -> bool {
        self.has_the_number_of(other)
            && (self.name == other.name
                || self.addresses.iter().any(|address| other.addresses.contains(address)))
    }

    fn has_the_number_of(&self, other: &Self) -> bool {
        self.family == other.family && self.vrid == other.vrid
    }
}

/// What does not fit between an instance of an earlier file and one of a later file.
fn pair(earlier: &Loaded, first: &Router, second: &Router, found: &mut Vec<Diagnostic>) {
    if !first.has_the_number_of(second) {
        return;
    }
    let at = |span: Span| {
        let place = earlier.sources.location(span);
        place.map_or_else(String::new, |at| format!("{}:{}", at.file, at.line))
    };
    let router = format!("virtual router {}", first.vrid.get());
    let mut tell = |id, span, message: String, help: String, stock: &'static str| {
        found.push(report(id, span, message).help(help).stock(stock));
    };
    if !first.is_one_with(second) {
        if second.networks.iter().any(|network| first.networks.contains(network)) {
            let message = format!(
                "{router} is `{}` here and `{}` in {}",
                second.name,
                first.name,
                at(first.places.vrid)
            );
            let help = "give one of them another `virtual_router_id`, or both the same addresses";
            tell(
                "vrid-twice",
                second.places.vrid,
                message,
                help.to_owned(),
                "each takes the other's adverts for its own",
            );
        }
        return;
    }
    if first.peers.is_some() != second.peers.is_some() {
        let sends = |router: &Router| if router.peers.is_some() { "unicast" } else { "multicast" };
        let message = format!(
            "{router} sends {} here and {} in {}",
            sends(second),
            sends(first),
            at(first.places.peers)
        );
        let help = "list `unicast_peer` on all nodes, or on none".to_owned();
        tell(
            "transport-differs",
            second.places.peers,
            message,
            help,
            "each node hears nothing and becomes master",
        );
    }
    for (listing, source, listed_here) in [(first, second.source, false), (second, first.source, true)] {
        let (Some(peers), Some(source)) = (&listing.peers, source) else { continue };
        if peers.contains(&source) {
            continue;
        }
        let (message, help) = if listed_here {
            let place = at(first.places.peers);
            (
                format!("the unicast peers lack {source}, the node of {place}"),
                format!("add {source} to the list"),
            )
        } else {
            let place = at(first.places.peers);
            (format!("this node, {source}, is no unicast peer in {place}"), format!("add {source} there"))
        };
        tell("peer-not-listed", second.places.peers, message, help, "sends it no adverts");
    }
    if first.version != second.version {
        let number = |version| if version == VrrpVersion::V2 { 2 } else { 3 };
        let message = format!(
            "{router} speaks version {} here and {} in {}",
            number(second.version),
            number(first.version),
            at(first.places.version)
        );
        let help = "write the same `version` on all nodes".to_owned();
        tell("version-differs", second.places.version, message, help, "drops adverts of the other version");
    } else if first.advert_int != second.advert_int {
        let seconds = |interval: Centis| decimal(interval.0.into(), 100);
        let message = format!(
            "{router} sends every {} s here and every {} s in {}",
            seconds(second.advert_int),
            seconds(first.advert_int),
            at(first.places.advert_int)
        );
        let help = "write the same `advert_int` on all nodes".to_owned();
        let stock = if first.version == VrrpVersion::V2 {
            "drops adverts of another interval"
        } else {
            "a backup waits by the master's interval"
        };
        tell("advert-interval-differs", second.places.advert_int, message, help, stock);
    }
    if first.auth != second.auth {
        let message = format!("{router} has another authentication than in {}", at(first.places.auth));
        let help = "write the same `authentication` block on all nodes".to_owned();
        tell("authentication-differs", second.places.auth, message, help, "drops the adverts of the other");
    }
    if first.addresses != second.addresses {
        let lacking = |of: &Router, other: &Router| -> Vec<String> {
            let missing = other.addresses.iter().filter(|address| !of.addresses.contains(address));
            missing.map(ToString::to_string).collect()
        };
        let (here, there) = (lacking(second, first), lacking(first, second));
        let place = at(first.places.addresses);
        let message = match (here.is_empty(), there.is_empty()) {
            (false, true) => format!("{router} lacks {} of {place}", some(&here)),
            (true, false) => format!("{router} has {}, which {place} lacks", some(&there)),
            _ => format!("{router} has {}, and {place} has {}", some(&there), some(&here)),
        };
        let help = "write the same `virtual_ipaddress` list on all nodes".to_owned();
        tell(
            "addresses-differ",
            second.places.addresses,
            message,
            help,
            "complains of every advert of the other",
        );
    }
    if first.priority == 255 && second.priority == 255 {
        let message = format!("{router} has priority 255 in {}, too", at(first.places.priority));
        let help = "write a priority from 1 to 254 here".to_owned();
        tell("two-owners", second.places.priority, message, help, "both stay master");
    } else if first.normal == second.normal
        && first.priority == second.priority
        && !(first.vague || second.vague)
        && (first.preempt || second.preempt)
    {
        let message =
            format!("{router} has priority {} in {}, too", second.priority, at(first.places.priority));
        let help = "give each node a priority of its own".to_owned();
        tell("equal-priorities", second.places.priority, message, help, "the higher address wins");
    }
}

/// A few addresses, and how many more.
fn some(addresses: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = addresses.get(..SHOWN.min(addresses.len())).unwrap_or_default().join(", ");
    match addresses.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Weights that leave the node on the same side of every other node.
fn useless_weights(router: &Router, rivals: &[&Router], found: &mut Vec<Diagnostic>) {
    if rivals.is_empty() || router.vague || rivals.iter().any(|rival| rival.vague) {
        return;
    }
    let never = rivals.iter().all(|rival| router.lowest > rival.highest || router.highest < rival.lowest);
    if !never {
        return;
    }
    for weight in &router.weights {
        let rival = rivals.iter().min_by_key(|rival| (rival.normal - router.normal).abs());
        let Some(rival) = rival else { return };
        let distance = (rival.normal - router.normal).abs();
        found.push(
            report(
                "weight-without-effect",
                weight.place,
                format!(
                    "the weight {} of `{}` leaves the priority between {} and {}, and the other node's is {}",
                    weight.value, weight.name, router.lowest, router.highest, rival.normal
                ),
            )
            .help(format!("use a weight of more than {distance}, so that the other node wins"))
            .stock("never moves the addresses because of it"),
        );
    }
}
