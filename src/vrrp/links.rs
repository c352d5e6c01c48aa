//! Links of our own: VMACs and ipvlans. Which should exist follows from the configuration; what is missing is asked for,
//! what is not wanted any more is removed, what somebody else removed is put back (spec/vrrp-behaviour.md §9).
//!
//! A link that was asked for and is not there yet is waited for: its instance neither starts nor falls meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Action, Actions, Detail};
use super::interface::{IFF_UP, Link, LinkKind, MACVLAN_PRIVATE};
use super::owned::{Object, Owned, Owner, objects};
use super::router::Router;
use super::snapshot::VrrpState;
use super::urgent::Release;
use crate::config::model::{
    Family, IpvlanMode, Transport, VirtualAddress, VirtualLink, VirtualLinkKind, VrrpPart,
};
use crate::time::Time;

/// A link that is removed so often in [`QUARREL`] is left alone for the same time.
const REPAIRS: usize = 3;
const QUARREL: Duration = Duration::from_secs(10);
/// The kernel tells of a link's end first that it is down: so long it may be down before that counts.
const DYING: Duration = Duration::from_millis(20);
/// `IFA_F_NODAD`: the interface below has the same address.
const IFA_F_NODAD: u32 = 0x02;
/// Stock: prefix length of the link-local address that a VMAC has in common with the interface below.
const LINK_LOCAL_PREFIX: u8 = 64;

/// All links of our own, by name, and what was changed for them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Links {
    all: BTreeMap<String, LinkRun>,
    /// `arp_ignore` and `arp_filter` of interfaces below VMACs, as they were before.
    below: BTreeMap<String, (u8, u8)>,
    /// A link came or went since the firewall was computed.
    #[serde(skip)]
    changed: bool,
}

/// What is known of one link of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LinkRun {
    link: VirtualLink,
    phase: LinkPhase,
    /// When it was put back, the last few times.
    repairs: Vec<Time>,
}

/// How far a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum LinkPhase {
    /// Not there: nothing to put it on, or not asked for yet.
    Absent,
    /// Asked for.
    Asked,
    /// There and up.
    Ready {
        /// Its kernel index.
        index: u32,
    },
    /// Down, perhaps only as the first sign of its end; that is known then.
    Falling {
        /// Its kernel index.
        index: u32,
        /// When it counts as down.
        until: Time,
    },
    /// Gone, and not by us: if the interface below is still there when all that the kernel told is heard, it is put back.
    Lost(Time),
    /// The kernel did not want it; asked for again when the interface below changes.
    Refused,
    /// Somebody else removes it again and again: asked for again then.
    Resting(Time),
}

impl LinkPhase {
    /// Is it there, or about to be?
    fn is_in_kernel(self) -> bool {
        matches!(self, Self::Asked | Self::Ready { .. } | Self::Falling { .. })
    }
}

/// What can be said of a link of ours when its instance is assessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkStanding {
    /// It is there.
    Ready,
    /// It will be there in a moment.
    Awaited,
    /// It is not and will not be.
    Missing,
}

impl Links {
    pub(super) fn standing(&self, name: &str) -> LinkStanding {
        match self.all.get(name).map(|run| run.phase) {
            Some(LinkPhase::Ready { .. }) => LinkStanding::Ready,
            Some(LinkPhase::Asked | LinkPhase::Lost(_) | LinkPhase::Falling { .. }) => LinkStanding::Awaited,
            _ => LinkStanding::Missing,
        }
    }

    /// Has somebody else just removed it?
    pub(super) fn is_lost(&self, name: &str) -> bool {
        self.all.get(name).is_some_and(|run| matches!(run.phase, LinkPhase::Lost(_)))
    }

    /// Is this link one of ours that cannot be used now?
    pub(super) fn is_unusable(&self, name: &str) -> bool {
        self.all
            .get(name)
            .is_some_and(|run| !matches!(run.phase, LinkPhase::Ready { .. } | LinkPhase::Falling { .. }))
    }

    /// `arp_ignore` and `arp_filter` of an interface below VMACs, as they were before.
    pub(super) fn guarded(&self) -> Vec<(String, u8, u8)> {
        self.below.iter().map(|(name, (ignore, filter))| (name.clone(), *ignore, *filter)).collect()
    }

    /// When something is to be done about a link.
    pub(super) fn deadline(&self) -> Option<Time> {
        let due = |run: &LinkRun| match run.phase {
            LinkPhase::Resting(at) | LinkPhase::Lost(at) | LinkPhase::Falling { until: at, .. } => Some(at),
            _ => None,
        };
        self.all.values().filter_map(due).min()
    }

    /// Has a link come or gone since this was asked last?
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Is this interface one of ours?
    pub(super) fn is_ours(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }
}

/// Every link that a configuration asks for, with its instance, in file order.
fn wanted(part: &VrrpPart) -> impl Iterator<Item = (usize, &VirtualLink)> {
    part.instances
        .iter()
        .enumerate()
        .flat_map(|(i, instance)| instance.links.iter().map(move |link| (i, link)))
}

impl Router {
    /// Takes the links of the running configuration into account; removes those that it does not want.
    pub(super) fn adopt_links(&mut self, out: &mut Actions) {
        let wanted: HashMap<&str, &VirtualLink> =
            wanted(&self.part).map(|(_, link)| (link.name.as_str(), link)).collect();
        let is_kept = |name: &str, run: &LinkRun| wanted.get(name).is_some_and(|link| **link == run.link);
        let gone: Vec<String> = self
            .links
            .all
            .iter()
            .filter(|(name, run)| !is_kept(name, run))
            .map(|(name, _)| name.clone())
            .collect();
        let missing: Vec<(String, VirtualLink)> =
            wanted.into_iter().map(|(name, link)| (name.to_owned(), link.clone())).collect();
        self.links.changed |= !gone.is_empty();
        for name in &gone {
            if let Some(run) = self.links.all.remove(name)
                && !matches!(run.phase, LinkPhase::Absent)
            {
                out.push(Action::RemoveLink { name: name.clone() });
                self.lose_all_on(name);
            }
        }
        for (name, link) in missing {
            let run = LinkRun { link, phase: LinkPhase::Absent, repairs: Vec::new() };
            self.links.all.entry(name).or_insert(run);
        }
        self.release_below(out);
    }

    /// Asks for every link that is not there and could be.
    pub(super) fn make_links(&mut self, now: Time, out: &mut Actions) {
        let names: Vec<(usize, String)> =
            wanted(&self.part).map(|(i, link)| (i, link.name.clone())).collect();
        for (i, name) in names {
            let Some(run) = self.links.all.get_mut(&name) else { continue };
            match run.phase {
                LinkPhase::Absent => {}
                LinkPhase::Resting(until) if until <= now => {}
                _ => continue,
            }
            let link = run.link.clone();
            let Some(below) = self.facts.by_name(&link.base).map(|interface| interface.link.clone()) else {
                continue;
            };
            let existing = self.facts.by_name(&name).map(|interface| &interface.link);
            if let Some(existing) = existing.filter(|existing| !is_same(existing, &link, below.index)) {
                if existing.kind == LinkKind::Other {
                    let instance = &self.part.instances[i].name;
                    let text = format!("({instance}) there is an interface {name} that is none of ours");
                    out.push(Action::Log { detail: Detail::Normal, text });
                    self.set_link_phase(&name, LinkPhase::Refused);
                    continue;
                }
                out.push(Action::RemoveLink { name: name.clone() });
            }
            // One that is there and up needs its settings at most, and nobody tells of it again.
            let is_there =
                existing.filter(|seen| is_same(seen, &link, below.index) && seen.flags & IFF_UP != 0);
            let ready = is_there.map(|seen| seen.index);
            self.guard_below(&link, &below, out);
            let is_vrf = |master: &u32| {
                self.facts
                    .by_index(*master)
                    .is_some_and(|master| matches!(master.link.kind, LinkKind::Vrf { .. }))
            };
            out.push(Action::MakeLink {
                index: below.index,
                group: link.group.unwrap_or(below.group),
                master: Some(below.master).filter(is_vrf).unwrap_or(0),
                link,
            });
            match ready {
                Some(index) => {
                    self.set_link_phase(&name, LinkPhase::Ready { index });
                    self.share_source(i, out);
                }
                None => self.set_link_phase(&name, LinkPhase::Asked),
            }
        }
    }

    /// A link changed: if it is ours and was awaited, it is there. Says whether it was.
    pub(super) fn link_came(&mut self, link: &Link, now: Time, out: &mut Actions) -> bool {
        let Some(run) = self.links.all.get_mut(&link.name) else { return false };
        let base = run.link.base.clone();
        match run.phase {
            LinkPhase::Ready { index } if index == link.index && link.flags & IFF_UP == 0 => {
                run.phase = LinkPhase::Falling { index, until: now + DYING };
            }
            LinkPhase::Falling { index, .. } if index == link.index && link.flags & IFF_UP != 0 => {
                run.phase = LinkPhase::Ready { index };
            }
            _ => {}
        }
        if run.phase == LinkPhase::Asked && link.flags & IFF_UP == 0 {
            self.update_firewall(out);
            out.push(Action::RaiseLink { index: link.index });
            return true;
        }
        let Some(run) = self.links.all.get(&link.name) else { return false };
        let has_come = run.phase == LinkPhase::Asked
            && link.flags & IFF_UP != 0
            && (link.is_up() || !self.facts.is_up(&base));
        if !has_come {
            return false;
        }
        self.set_link_phase(&link.name, LinkPhase::Ready { index: link.index });
        let holder = wanted(&self.part).find(|(_, ours)| ours.name == link.name);
        if let Some((i, ours)) = holder {
            let (instance, kind) = (&self.part.instances[i].name, word(ours));
            let text = format!("({instance}): Success creating {kind} interface {}", link.name);
            out.push(Action::Log { detail: Detail::Normal, text });
            self.share_source(i, out);
        }
        // When many come, once for all of them.
        if !self.links.all.values().any(|run| run.phase == LinkPhase::Asked) {
            self.update_listeners(out);
        }
        for i in 0..self.runs.len() {
            let config = &self.part.instances[i];
            let is_here = |object: Object<'_>| object.interfaces().any(|name| name == link.name);
            if self.runs[i].state == VrrpState::Master
                && objects(config).zip(self.runs[i].held.marks()).any(|(o, set)| !set && is_here(o))
            {
                let repeat = config.garp.repeat;
                let is_own = config.advert_interface() == Some(&link.name);
                let mut machine = self.machine(i, now, out);
                if is_own {
                    machine.advertise_now();
                }
                machine.add_objects();
                machine.announce(repeat);
            }
        }
        true
    }

    /// A link was deleted. If it was one of ours, and not by us, it is put back as soon as it is known that the interface
    /// below did not go with it.
    pub(super) fn link_went(&mut self, index: u32, name: &str, now: Time) {
        let Some(run) = self.links.all.get_mut(name) else { return };
        let is_it = matches!(run.phase, LinkPhase::Ready { index: i } | LinkPhase::Falling { index: i, .. } if i == index);
        if is_it {
            run.phase = LinkPhase::Lost(now);
            self.links.changed = true;
            self.lose_all_on(name);
        }
    }

    /// What is due by the clock.
    pub(super) fn tend_links(&mut self, now: Time, out: &mut Actions) {
        if self.links.deadline().is_none_or(|due| due > now) {
            return;
        }
        let names: Vec<String> = self.links.all.keys().cloned().collect();
        for name in names {
            match self.links.all.get(&name).map(|run| run.phase) {
                Some(LinkPhase::Lost(_)) => self.put_back(&name, now, out),
                Some(LinkPhase::Falling { index, until }) if until <= now => {
                    self.set_link_phase(&name, LinkPhase::Ready { index });
                    self.reassess_watchers(&name, now, &format!("interface {name} is down"), out);
                }
                _ => {}
            }
        }
        self.make_links(now, out);
    }

    /// Makes a link again that somebody else removed, unless that happens all the time.
    fn put_back(&mut self, name: &str, now: Time, out: &mut Actions) {
        let Some(run) = self.links.all.get_mut(name) else { return };
        if self.facts.by_name(&run.link.base).is_none() {
            run.phase = LinkPhase::Absent;
            self.reassess_watchers(name, now, &format!("interface {name} was deleted"), out);
            return;
        }
        run.phase = LinkPhase::Absent;
        run.repairs.retain(|at| now.since(*at) < QUARREL);
        let text = if run.repairs.len() < REPAIRS {
            run.repairs.push(now);
            format!("Interface {name} was removed by somebody else: putting it back")
        } else {
            run.phase = LinkPhase::Resting(now + QUARREL);
            let seconds = QUARREL.as_secs();
            format!("Interface {name} is removed again and again by somebody else: waiting {seconds} s")
        };
        let is_resting = matches!(run.phase, LinkPhase::Resting(_));
        out.push(Action::Log { detail: Detail::Normal, text });
        if is_resting {
            self.reassess_watchers(name, now, &format!("interface {name} was deleted"), out);
        }
    }

    /// The kernel did not make a link.
    pub(super) fn link_refused(&mut self, name: &str, errno: i32, note: &str, now: Time, out: &mut Actions) {
        if self.links.standing(name) != LinkStanding::Awaited {
            return;
        }
        let gone = errno == ENODEV
            && self.links.all.get(name).is_some_and(|run| self.facts.by_name(&run.link.base).is_none());
        self.set_link_phase(name, if gone { LinkPhase::Absent } else { LinkPhase::Refused });
        out.push(Action::Log { detail: Detail::Normal, text: note.to_owned() });
        self.update_listeners(out);
        self.reassess_watchers(name, now, &format!("interface {name} could not be made"), out);
    }

    /// Something about this interface changed: links on it that were refused may be possible now.
    pub(super) fn base_changed(&mut self, base: &str, now: Time, out: &mut Actions) {
        let mut is_possible = false;
        for run in self.links.all.values_mut().filter(|run| run.link.base == base) {
            if run.phase == LinkPhase::Refused {
                run.phase = LinkPhase::Absent;
            }
            is_possible |= run.phase == LinkPhase::Absent;
        }
        if is_possible {
            self.make_links(now, out);
        }
    }

    /// After a complete dump: what is not as it should be is asked for again.
    pub(super) fn check_links(&mut self, now: Time, out: &mut Actions) {
        let names: Vec<String> = self.links.all.keys().cloned().collect();
        for name in names {
            let Some(run) = self.links.all.get(&name) else { continue };
            let below = self.facts.by_name(&run.link.base).map(|interface| interface.link.index);
            let seen = self.facts.by_name(&name).map(|interface| interface.link.clone());
            let seen = seen.filter(|link| below.is_some_and(|below| is_same(link, &run.link, below)));
            match (run.phase, seen) {
                (LinkPhase::Ready { index }, Some(link)) if link.index == index => {}
                (LinkPhase::Ready { .. }, Some(link)) => {
                    self.lose_all_on(&name);
                    self.set_link_phase(&name, LinkPhase::Ready { index: link.index });
                }
                (LinkPhase::Ready { .. }, None) => {
                    self.lose_all_on(&name);
                    self.set_link_phase(&name, LinkPhase::Absent);
                }
                (LinkPhase::Asked, Some(link)) => {
                    self.link_came(&link, now, out);
                }
                _ => {}
            }
        }
        self.make_links(now, out);
    }

    /// At a stop: nothing of ours is left.
    pub(super) fn remove_links(&mut self, release: Release, out: &mut Actions) {
        if release == Release::Nothing {
            return;
        }
        for (i, link) in wanted(&self.part) {
            let phase = self.links.all.get(&link.name).map(|run| run.phase);
            if phase.is_some_and(LinkPhase::is_in_kernel) {
                out.push(Action::RemoveLink { name: link.name.clone() });
                let (instance, kind) = (&self.part.instances[i].name, word(link));
                let text = format!("({instance}) removing {kind} interface {}", link.name);
                out.push(Action::Log { detail: Detail::Normal, text });
            }
        }
        self.links.all.clear();
        self.release_below(out);
    }

    /// Puts on the links of an instance what they have in common with the interface below: its link-local address for
    /// IPv6; and an ipvlan's own address.
    pub(super) fn share_source(&mut self, i: usize, out: &mut Actions) {
        let config = &self.part.instances[i];
        if config.links.iter().next().is_none() {
            return;
        }
        let mut wanted: Vec<VirtualAddress> = Vec::new();
        for link in config.links.iter() {
            if self.links.standing(&link.name) != LinkStanding::Ready {
                continue;
            }
            let is_own = config.links.own.as_ref() == Some(link);
            let is_unused = is_own
                && (config.links.xmit_base || !matches!(config.transport, Transport::Multicast { .. }));
            match link.kind {
                VirtualLinkKind::Ipvlan { address: Some((address, prefix)), .. } => {
                    wanted.push(address_on(&link.name, address, prefix));
                }
                VirtualLinkKind::Vmac { .. } if link.family == Family::V6 && !is_unused => {
                    let below = self.facts.by_name(&link.base);
                    let source = if is_own { self.runs[i].source } else { None };
                    let is_vip = |address| self.index.addresses.has(&address);
                    let shared =
                        source.or_else(|| below.and_then(|below| below.first_address(Family::V6, is_vip)));
                    wanted.extend(shared.map(|shared| VirtualAddress {
                        flags: IFA_F_NODAD,
                        preferred_lifetime: Some(0),
                        ..address_on(&link.name, shared, LINK_LOCAL_PREFIX)
                    }));
                }
                VirtualLinkKind::Ipvlan { address: None, .. } | VirtualLinkKind::Vmac { .. } => {}
            }
        }
        if wanted == self.runs[i].shared {
            return;
        }
        let owner = Owner::Instance(i);
        let before = std::mem::replace(&mut self.runs[i].shared, wanted.clone());
        let gone: Vec<Owned> = before
            .iter()
            .filter(|shared| !wanted.contains(shared) && self.facts.by_name(&shared.interface).is_some())
            .map(|shared| Owned::Address(shared.clone()))
            .collect();
        if !gone.is_empty() {
            out.push(Action::Remove { owner, objects: gone });
        }
        let come: Vec<Owned> =
            wanted.into_iter().filter(|shared| !before.contains(shared)).map(Owned::Address).collect();
        if !come.is_empty() {
            out.push(Action::Add { owner, objects: come });
        }
    }

    /// Somebody removed an address; if it was a shared one, it is put back.
    pub(super) fn unshare(&mut self, interface: &str, address: IpAddr, out: &mut Actions) {
        for i in 0..self.runs.len() {
            let shared = &mut self.runs[i].shared;
            let before = shared.len();
            shared.retain(|shared| shared.interface != interface || shared.address != address);
            if shared.len() < before {
                self.share_source(i, out);
            }
        }
    }

    /// Up, or not there yet but about to be.
    pub(super) fn will_be_up(&self, name: &str) -> bool {
        match self.links.all.get(name) {
            Some(run) if self.links.standing(name) == LinkStanding::Awaited => {
                self.facts.is_up(&run.link.base)
            }
            _ => self.facts.is_up(name),
        }
    }

    /// What was on this interface is gone with it.
    pub(super) fn lose_all_on(&mut self, name: &str) {
        for (instance, run) in self.part.instances.iter().zip(&mut self.runs) {
            for (position, object) in objects(instance).enumerate() {
                if object.depends_on(name) {
                    run.held.lose(position);
                }
            }
            run.shared.retain(|shared| shared.interface != name);
        }
    }

    fn set_link_phase(&mut self, name: &str, phase: LinkPhase) {
        self.links.changed = true;
        if let Some(run) = self.links.all.get_mut(name) {
            run.phase = phase;
        }
    }

    /// The interface below a VMAC must not answer for addresses that it does not have itself.
    fn guard_below(&mut self, link: &VirtualLink, below: &Link, out: &mut Actions) {
        let is_v4_vmac = link.family == Family::V4 && matches!(link.kind, VirtualLinkKind::Vmac { .. });
        if !is_v4_vmac || self.links.below.contains_key(&link.base) {
            return;
        }
        let settings = &below.settings;
        self.links.below.insert(link.base.clone(), (settings.arp_ignore, settings.arp_filter));
        let interface = link.base.clone();
        out.push(Action::GuardArp { interface, arp_ignore: 1, arp_filter: 1 });
    }

    /// Interfaces without VMACs get their settings back.
    fn release_below(&mut self, out: &mut Actions) {
        let is_used = |base: &str| {
            self.links.all.values().any(|run| run.link.base == base && run.link.family == Family::V4)
        };
        let free: Vec<String> = self.links.below.keys().filter(|base| !is_used(base)).cloned().collect();
        for interface in free {
            if let Some((arp_ignore, arp_filter)) = self.links.below.remove(&interface) {
                out.push(Action::GuardArp { interface, arp_ignore, arp_filter });
            }
        }
    }
}

fn word(link: &VirtualLink) -> &'static str {
    match link.kind {
        VirtualLinkKind::Vmac { .. } => "VMAC",
        VirtualLinkKind::Ipvlan { .. } => "ipvlan",
    }
}

/// What the driver reports when the interface below is gone.
const ENODEV: i32 = 19;

fn address_on(name: &str, address: IpAddr, prefix: u8) -> VirtualAddress {
    VirtualAddress {
        address,
        prefix,
        interface: name.to_owned(),
        scope: 0,
        broadcast: None,
        label: None,
        peer: None,
        flags: 0,
        preferred_lifetime: None,
        no_track: false,
        track_group: None,
        use_vmac: false,
    }
}

/// Is this interface the link, as it was asked for?
fn is_same(seen: &Link, wanted: &VirtualLink, below: u32) -> bool {
    let kind = match &wanted.kind {
        VirtualLinkKind::Vmac { mac, .. } => {
            seen.kind == LinkKind::Macvlan { mode: MACVLAN_PRIVATE } && seen.mac == mac
        }
        VirtualLinkKind::Ipvlan { mode, .. } => {
            let flags = match mode {
                IpvlanMode::Bridge => 0,
                IpvlanMode::Private => 1,
                IpvlanMode::Vepa => 2,
            };
            seen.kind == LinkKind::Ipvlan { mode: 0, flags }
        }
    };
    kind && seen.base == below
}
