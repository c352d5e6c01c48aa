//! Tables derived from configuration and interfaces, so that no event needs a search, and the sockets they ask for.

use std::collections::HashMap;
use std::net::IpAddr;

use super::event::{Action, Actions, Carrier, Listener, ListenerKind};
use super::firewall::needs_firewall;
use super::instance::Fixed;
use super::owned::{Object, Owner, objects, static_objects};
use super::router::Router;
use super::sorted::Sorted;
use super::{ah, ip, packet, trailer};
use crate::config::model::{
    Auth, Family, Instance, ReceivePolicy, Statics, TrackGroup, Transport, VrrpVersion,
};

/// Of an interface that is not known.
const ETHERNET_MTU: u32 = 1500;
/// RFC 8200 §3.
const IPV6_HEADER: usize = 40;

/// Tables derived from the configuration, so that no event needs a search.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    pub(super) fixed: Vec<Fixed>,
    /// By interface index (0 without interface), family and VRID.
    pub(super) by_vrid: Sorted<(u32, Family, u8), usize>,
    /// Instances that depend on an interface, by its name.
    pub(super) watchers: HashMap<String, Vec<usize>>,
    /// Instances that track a script, by its index.
    pub(super) trackers: Vec<Vec<usize>>,
    /// Instances that track a file, by its name.
    pub(super) files: HashMap<String, Vec<usize>>,
    /// Instances that track a process, by the name of its block.
    pub(super) processes: HashMap<String, Vec<usize>>,
    /// Instances that track a BFD session, by its name.
    pub(super) bfds: HashMap<String, Vec<usize>>,
    /// (instance, position in its addresses) by address.
    pub(super) addresses: Sorted<IpAddr, (usize, usize)>,
    /// Positions of static addresses by address.
    pub(super) static_addresses: Sorted<IpAddr, usize>,
    /// Owner of every route and position in its objects.
    pub(super) routes: Vec<(Owner, usize)>,
    /// The same of every rule.
    pub(super) rules: Vec<(Owner, usize)>,
    /// Scripts by name.
    pub(super) scripts: HashMap<String, usize>,
    /// Some instance has `auth_hmac`.
    pub(super) needs_wall_clock: bool,
    /// Some instance has a link of its own or does not accept packets to its addresses.
    pub(super) needs_firewall: bool,
}

/// Interfaces of static objects whose `track_group` names this instance.
fn static_interfaces(statics: &Statics, instance: &str) -> Vec<String> {
    let names_it = |group: &&TrackGroup| group.members.iter().any(|member| member == instance);
    let groups: Vec<&str> = statics.groups.iter().filter(names_it).map(|group| group.name.as_str()).collect();
    if groups.is_empty() {
        return Vec::new();
    }
    let tracked = static_objects(statics)
        .filter(|object| object.track_group().is_some_and(|group| groups.contains(&group)));
    let mut names: Vec<String> = tracked.flat_map(Object::interfaces).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl Router {
    /// Computes every table that depends on the configuration.
    pub(super) fn rebuild_index(&mut self) {
        let part = &self.part;
        let mut index = Index {
            scripts: part.scripts.iter().enumerate().map(|(s, script)| (script.name.clone(), s)).collect(),
            trackers: vec![Vec::new(); part.scripts.len()],
            needs_wall_clock: part.instances.iter().any(|instance| matches!(instance.auth, Auth::Hmac(_))),
            needs_firewall: part.instances.iter().any(needs_firewall),
            fixed: Vec::with_capacity(part.instances.len()),
            ..Index::default()
        };
        let mut addresses = Vec::with_capacity(part.instances.len());
        let mut static_addresses = Vec::new();
        let names: HashMap<&str, usize> =
            part.instances.iter().enumerate().map(|(i, instance)| (instance.name.as_str(), i)).collect();
        let mut group_of = HashMap::new();
        for (g, group) in part.sync_groups.iter().enumerate() {
            let members = group.members.iter().filter_map(|name| names.get(name.as_str()).copied());
            self.groups[g].members = members.collect();
            group_of.extend(self.groups[g].members.iter().map(|i| (*i, g)));
        }
        for (i, instance) in part.instances.iter().enumerate() {
            let group = group_of.get(&i).copied();
            index.fixed.push(Fixed {
                addresses: instance.vips.iter().map(|vip| vip.address).collect(),
                group,
                static_interfaces: static_interfaces(&part.statics, &instance.name).into(),
                old_group: matches!(instance.transport, Transport::Unicast { .. })
                    .then_some(part.global.vrrp_mcast_group4),
            });
            let group = group.map(|g| &part.sync_groups[g]);
            let tracked =
                instance.track_interfaces.iter().chain(group.iter().flat_map(|g| &g.track_interfaces));
            let mut watched: Vec<&str> = tracked
                .map(|tracked| tracked.interface.as_str())
                .chain(instance.interface.as_deref())
                .chain(instance.links.vrf.as_deref())
                .chain(instance.links.iter().flat_map(|link| [link.name.as_str(), link.base.as_str()]))
                .chain(objects(instance).flat_map(Object::interfaces))
                .chain(index.fixed[i].static_interfaces.iter().map(String::as_str))
                .collect();
            watched.sort_unstable();
            watched.dedup();
            for name in watched {
                index.watchers.entry(name.to_owned()).or_default().push(i);
            }
            for script in instance.track_scripts.iter().chain(group.iter().flat_map(|g| &g.track_scripts)) {
                if let Some(s) = index.scripts.get(&script.script)
                    && index.trackers[*s].last() != Some(&i)
                {
                    index.trackers[*s].push(i);
                }
            }
            let lists = [
                (&mut index.files, &instance.track_files, group.map(|g| &g.track_files)),
                (&mut index.processes, &instance.track_processes, group.map(|g| &g.track_processes)),
                (&mut index.bfds, &instance.track_bfds, group.map(|g| &g.track_bfds)),
            ];
            for (users, own, of_group) in lists {
                for tracked in own.iter().chain(of_group.into_iter().flatten()) {
                    let users: &mut Vec<usize> = users.entry(tracked.name.clone()).or_default();
                    if users.last() != Some(&i) {
                        users.push(i);
                    }
                }
            }
            for (position, object) in objects(instance).enumerate() {
                match object {
                    Object::Address(vip) => addresses.push((vip.address, (i, position))),
                    Object::Route(_) => index.routes.push((Owner::Instance(i), position)),
                    Object::Rule(_) => index.rules.push((Owner::Instance(i), position)),
                }
            }
        }
        for (position, object) in static_objects(&part.statics).enumerate() {
            match object {
                Object::Address(address) => static_addresses.push((address.address, position)),
                Object::Route(_) => index.routes.push((Owner::Static, position)),
                Object::Rule(_) => index.rules.push((Owner::Static, position)),
            }
        }
        index.addresses = addresses.into_iter().collect();
        index.static_addresses = static_addresses.into_iter().collect();
        self.index = index;
        self.rebuild_receivers();
    }

    /// Computes the table that depends on interface indices, too.
    pub(super) fn rebuild_receivers(&mut self) {
        let receiver = |(i, instance): (usize, &Instance)| {
            Some(((self.interface_index(instance)?, instance.family, instance.vrid.get()), i))
        };
        self.index.by_vrid = self.part.instances.iter().enumerate().filter_map(receiver).collect();
    }

    /// 0 without interface, `None` if it does not exist.
    pub(super) fn interface_index(&self, instance: &Instance) -> Option<u32> {
        let Some(name) = instance.advert_interface() else { return Some(0) };
        if self.links.is_unusable(name) {
            return None;
        }
        self.facts.by_name(name).map(|interface| interface.link.index)
    }

    /// What one instance wants of the receive buffer of its socket. Stock: the wishes of all instances are added.
    fn receive_buffer(&self, instance: &Instance) -> u32 {
        let global = &self.part.global;
        let by_size = |bytes: u32| bytes.saturating_mul(global.rx_bufs_multiplier);
        match (instance.kernel_rx_buffer, global.rx_bufs) {
            (Some(bytes), _) | (None, ReceivePolicy::Bytes(bytes)) => bytes,
            (None, ReceivePolicy::System) => 0,
            (None, ReceivePolicy::Mtu) => {
                let interface = instance.advert_interface().and_then(|name| self.facts.by_name(name));
                by_size(interface.map_or(ETHERNET_MTU, |interface| interface.link.mtu))
            }
            (None, ReceivePolicy::Advert) => by_size(advert_length(instance)),
        }
    }

    /// Tells the driver which sockets are wanted, if that has changed.
    pub(super) fn update_listeners(&mut self, out: &mut Actions) {
        let mut listeners: Vec<Listener> = Vec::new();
        let mut places: HashMap<(u32, Family, ListenerKind, Carrier), usize> = HashMap::new();
        for (instance, run) in self.part.instances.iter().zip(&self.runs) {
            let Some(index) = self.interface_index(instance) else { continue };
            let kind = match (&instance.transport, run.source) {
                (Transport::Multicast { group }, _) => ListenerKind::Multicast { group: *group },
                (Transport::Unicast { .. }, Some(source)) => ListenerKind::Unicast { source },
                (Transport::Unicast { .. }, None) => continue,
            };
            // Peers without AH are heard, too, so that they can be reported.
            let carriers: &[_] = match instance.auth {
                Auth::Ah(_) => &[(Carrier::Ah, false), (Carrier::Vrrp, true)],
                _ => &[(Carrier::Vrrp, false)],
            };
            for (carrier, is_lookout) in carriers.iter().copied() {
                let key = (index, instance.family, kind, carrier);
                let place = *places.entry(key).or_insert(listeners.len());
                if place == listeners.len() {
                    listeners.push(Listener {
                        interface: instance.advert_interface().map(str::to_owned),
                        index,
                        family: instance.family,
                        kind,
                        carrier,
                        is_lookout,
                        vrids: Vec::new(),
                        receive_buffer: 0,
                    });
                }
                let bytes = self.receive_buffer(instance);
                let sum = &mut listeners[place].receive_buffer;
                *sum = sum.saturating_add(bytes);
                listeners[place].is_lookout &= is_lookout;
                listeners[place].vrids.push(instance.vrid.get());
            }
        }
        for listener in &mut listeners {
            listener.vrids.sort_unstable();
            listener.vrids.dedup();
        }
        self.rebuild_receivers();
        if listeners != self.listeners {
            self.listeners.clone_from(&listeners);
            out.push(Action::Listen(listeners));
        }
    }
}

/// Bytes of one advert with its IP header.
fn advert_length(instance: &Instance) -> u32 {
    let seal = match instance.auth {
        Auth::None | Auth::Pass(_) => 0,
        Auth::Ah(_) => ah::HEADER,
        Auth::Hmac(_) => trailer::LENGTH,
    };
    let (header, address) = match instance.family {
        Family::V4 => (ip::HEADER, 4),
        Family::V6 => (IPV6_HEADER, 16),
    };
    let password = match (instance.version, instance.family) {
        (VrrpVersion::V2, Family::V4) => packet::AUTH_DATA,
        _ => 0,
    };
    let length = header + packet::HEADER + address * instance.vips.len() + password + seal;
    u32::try_from(length).unwrap_or(u32::MAX)
}
