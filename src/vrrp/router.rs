//! The core of the vrrp process: all instances, sync groups and track scripts of one configuration.
//!
//! This file takes events and finds whom they concern; `instance` decides what one instance does, `group` what its
//! group makes of it, `reload` what a new configuration changes.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use super::announce::Pacer;
use super::event::{
    Action, Actions, Change, Detail, Envelope, Event, Listener, ListenerKind, Requester, StateWord,
};
use super::facts::Facts;
use super::group::GroupRun;
use super::instance::{Entry, Fixed, Follow, Machine, Rogue, Run, Zero, addresses, is_owner_from_start};
use super::interface::{Interface, Link};
use super::notify;
use super::priority::Assessment;
use super::receive::Received;
use super::script::ScriptRun;
use super::snapshot::{Counters, GroupSnapshot, InstanceSnapshot, Snapshot, VrrpState};
use crate::config::model::{Family, Instance, ScriptEnd, Transport, VirtualAddress, VrrpPart};
use crate::time::Time;

/// All virtual routers of this host, as one sans-IO core. See the [module](super) for its contract.
#[derive(Debug, Clone)]
pub struct Router {
    pub(super) part: VrrpPart,
    pub(super) runs: Vec<Run>,
    pub(super) groups: Vec<GroupRun>,
    pub(super) scripts: Vec<ScriptRun>,
    pub(super) facts: Facts,
    pub(super) pacer: Pacer,
    pub(super) phase: Phase,
    /// The number of the next script run.
    pub(super) next_script: u64,
    pub(super) listeners: Vec<Listener>,
    index: Index,
}

/// How far the core is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Phase {
    /// The interfaces are not known yet.
    Waiting,
    /// Running; adverts are ignored until then (`vrrp_startup_delay`).
    Delayed(Time),
    /// Running.
    Running,
    /// Everything is released.
    Stopped,
}

/// What is left behind at a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Step down and remove what we have added.
    Ours,
    /// Also remove configured addresses that we do not hold (`-X`).
    All,
    /// Send nothing, remove nothing (`-V`).
    Nothing,
}

/// Tables derived from the configuration, so that no event needs a search.
#[derive(Debug, Clone, Default)]
struct Index {
    fixed: Vec<Fixed>,
    /// By interface index (0 without interface), family and VRID.
    by_vrid: HashMap<(u32, Family, u8), Vec<usize>>,
    /// Instances that depend on an interface, by its name.
    watchers: HashMap<String, Vec<usize>>,
    /// Instances that track a script, by its index.
    trackers: Vec<Vec<usize>>,
    /// (instance, position in its addresses) by address.
    addresses: HashMap<IpAddr, Vec<(usize, usize)>>,
    /// Scripts by name.
    scripts: HashMap<String, usize>,
}

impl Router {
    /// A core that waits for [`Event::Interfaces`].
    pub fn new(part: &VrrpPart) -> Self {
        let mut router = Self {
            runs: part.instances.iter().map(Run::new).collect(),
            groups: part.sync_groups.iter().map(|_| GroupRun::default()).collect(),
            scripts: part.scripts.iter().map(|script| ScriptRun::new(script, Time::ZERO)).collect(),
            facts: Facts::default(),
            pacer: Pacer::new(part.global.garp_interval),
            phase: Phase::Waiting,
            next_script: 1,
            listeners: Vec::new(),
            index: Index::default(),
            part: part.clone(),
        };
        router.rebuild_index();
        router
    }

    /// Takes one event.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Actions) {
        match event {
            Event::Timer => self.timer(now, out),
            Event::Interfaces(interfaces) => self.interfaces(now, interfaces, out),
            Event::Link(link) => self.link(now, link, out),
            Event::LinkDeleted { index } => self.link_deleted(now, index, out),
            Event::AddressAdded { index, address, prefix } => {
                self.address_added(now, index, address, prefix, out);
            }
            Event::AddressDeleted { index, address, prefix, by } => {
                self.address_deleted(now, (index, address, prefix), by, out);
            }
            Event::Advert { index, envelope, packet } => self.advert(now, index, envelope, &packet, out),
            Event::ScriptEnded { id, end } => self.script_ended(now, id, end, out),
            Event::AddressRefused { instance, address, interface, change, errno } => {
                self.address_refused(instance, address, &interface, change, errno, out);
            }
        }
    }

    /// Takes a received packet: the same as [`Event::Advert`], without owning the bytes.
    pub fn advert(&mut self, now: Time, index: u32, envelope: Envelope, packet: &[u8], out: &mut Actions) {
        if self.phase != Phase::Running {
            return;
        }
        let Some(received) = Received::new(envelope, packet) else { return };
        let vrid = received.pdu.vrid();
        let Some(candidates) = self.index.by_vrid.get(&(index, received.family, vrid)) else {
            if self.part.global.log_unknown_vrids {
                let name = self.facts.by_index(index).map_or("?", |interface| &interface.link.name);
                let text = format!("Unknown VRID({vrid}) received on interface({name}). ignoring...");
                out.push(Action::Log { detail: Detail::Normal, text });
            }
            return;
        };
        // One VRID may serve multicast and several unicast instances of one interface.
        let fits = |i: &&usize| match &self.part.instances[**i].transport {
            Transport::Multicast { group } => received.destination == *group,
            Transport::Unicast { peers, .. } => {
                self.runs[**i].source == Some(received.destination)
                    && (candidates.len() == 1 || peers.iter().any(|peer| peer.address == received.source))
            }
        };
        let i = *candidates.iter().find(fits).unwrap_or(&candidates[0]);
        if matches!(self.runs[i].state, VrrpState::Init | VrrpState::Fault) {
            return;
        }
        let mut machine = self.machine(i, now, out);
        let Some(accepted) = machine.check(&received) else { return };
        match machine.on_advert(accepted) {
            Follow::Nothing => {}
            Follow::Announce => self.group_announces(i, now, out),
            Follow::Backup { cause } => self.group_to_backup(i, Zero::Unsent, now, &cause, out),
        }
    }

    /// When [`Event::Timer`] is due.
    pub fn deadline(&self) -> Option<Time> {
        let start = match self.phase {
            Phase::Waiting | Phase::Stopped => return None,
            Phase::Delayed(until) => Some(until),
            Phase::Running => None,
        };
        let runs = self.runs.iter().filter_map(Run::deadline).min();
        let scripts = self.scripts.iter().map(ScriptRun::deadline).min();
        [start, runs, scripts, self.pacer.deadline()].into_iter().flatten().min()
    }

    /// Everything the reports show.
    pub fn snapshot(&self, now: Time) -> Snapshot {
        Snapshot {
            now,
            instances: self.part.instances.iter().zip(&self.runs).map(instance_snapshot).collect(),
            groups: (0..self.groups.len())
                .map(|g| GroupSnapshot {
                    state: self.groups[g].state,
                    faulty: self.members(g).filter(|i| self.runs[*i].faults.any()).count(),
                    pending: self.members(g).filter(|i| self.runs[*i].pending > 0).count(),
                })
                .collect(),
            scripts: self.scripts.iter().map(ScriptRun::snapshot).collect(),
            interfaces: self.facts.iter().cloned().collect(),
        }
    }

    /// Sets all statistics to zero (signal 63).
    pub fn clear_counters(&mut self) {
        for run in &mut self.runs {
            run.counters = Counters::default();
        }
    }

    /// Steps down everywhere. After this the core is inert.
    pub fn stop(&mut self, now: Time, release: Release, out: &mut Actions) {
        for id in self.scripts.iter().filter_map(ScriptRun::running) {
            out.push(Action::KillScript { id });
        }
        for i in 0..self.runs.len() {
            let config = &self.part.instances[i];
            let was_master = self.runs[i].state == VrrpState::Master;
            if release == Release::All {
                self.runs[i].set = vec![true; addresses(config).count()];
            }
            let promote = config.promote_secondaries.then(|| config.interface.clone()).flatten();
            let mut machine = self.machine(i, now, out);
            if was_master && release != Release::Nothing {
                machine.send_zero();
            }
            if release == Release::All || was_master && release == Release::Ours {
                machine.remove_addresses();
            }
            if let Some(interface) = promote {
                out.push(Action::PromoteSecondaries { interface, on: false });
            }
        }
        out.push(Action::Listen(Vec::new()));
        for i in 0..self.runs.len() {
            self.machine(i, now, out).notify(StateWord::Stop, "the daemon stops");
        }
        for group in &self.part.sync_groups {
            notify::group(group, StateWord::Stop, "the daemon stops", out);
        }
        self.phase = Phase::Stopped;
    }

    /// One instance, ready to act.
    pub(super) fn machine<'a>(&'a mut self, i: usize, now: Time, out: &'a mut Actions) -> Machine<'a> {
        Machine {
            index: i,
            config: &self.part.instances[i],
            fixed: &self.index.fixed[i],
            run: &mut self.runs[i],
            facts: &self.facts,
            pacer: &mut self.pacer,
            now,
            out,
        }
    }

    /// The sync group of an instance.
    pub(super) fn group_of(&self, i: usize) -> Option<usize> {
        self.index.fixed[i].group
    }

    /// Members of a group, in its order.
    pub(super) fn members(&self, g: usize) -> impl Iterator<Item = usize> + '_ {
        self.groups[g].members.iter().copied()
    }

    fn timer(&mut self, now: Time, out: &mut Actions) {
        match self.phase {
            Phase::Waiting | Phase::Stopped => return,
            Phase::Delayed(until) if until <= now => {
                self.phase = Phase::Running;
                out.push(Action::Log { detail: Detail::Normal, text: "Delayed start completed".into() });
                for i in 0..self.runs.len() {
                    self.settle(i, now, "the start delay ended", out);
                }
            }
            Phase::Delayed(_) | Phase::Running => {}
        }
        for s in 0..self.scripts.len() {
            self.scripts[s].tick(&self.part.scripts[s], &mut self.next_script, now, out);
        }
        for i in 0..self.runs.len() {
            if self.runs[i].deadline().is_some_and(|due| due <= now) && self.machine(i, now, out).on_timer() {
                self.master_is_silent(i, now, out);
            }
        }
        if self.pacer.deadline().is_some_and(|due| due <= now) {
            self.pacer.send_due(now, out);
        }
    }

    fn interfaces(&mut self, now: Time, interfaces: Vec<Interface>, out: &mut Actions) {
        if self.phase == Phase::Stopped {
            return;
        }
        let before = std::mem::replace(&mut self.facts, Facts::new(interfaces));
        self.rebuild_receivers();
        if self.phase == Phase::Waiting {
            self.start(now, out);
            return;
        }
        for interface in before.iter() {
            let name = &interface.link.name;
            if self.facts.is_up(name) != interface.link.is_up() {
                self.log_link(name, out);
            }
        }
        self.update_listeners(out);
        for i in 0..self.runs.len() {
            self.reassess(i, now, "the interfaces were read again", out);
        }
        self.repair(now, out);
    }

    /// Puts back addresses that a MASTER should have and a complete dump does not show.
    fn repair(&mut self, now: Time, out: &mut Actions) {
        for i in 0..self.runs.len() {
            if self.runs[i].state != VrrpState::Master {
                continue;
            }
            let mut is_missing = false;
            for (position, address) in addresses(&self.part.instances[i]).enumerate() {
                if !self.is_present(address) {
                    self.runs[i].set[position] = false;
                    is_missing = true;
                }
            }
            if is_missing {
                let repeat = self.part.instances[i].garp.repeat;
                let mut machine = self.machine(i, now, out);
                machine.add_addresses();
                machine.announce(repeat);
            }
        }
    }

    pub(super) fn is_present(&self, vip: &VirtualAddress) -> bool {
        self.facts
            .by_name(&vip.interface)
            .is_some_and(|interface| interface.addresses.contains(&(vip.address, vip.prefix)))
    }

    fn start(&mut self, now: Time, out: &mut Actions) {
        let delay = self.part.global.vrrp_startup_delay;
        self.phase = Phase::Running;
        if !delay.is_zero() {
            self.phase = Phase::Delayed(now + delay);
            let text = format!("Delaying startup for {} seconds", delay.as_secs_f64());
            out.push(Action::Log { detail: Detail::Normal, text });
        }
        for (script, run) in self.part.scripts.iter().zip(&mut self.scripts) {
            *run = ScriptRun::new(script, now);
        }
        for i in 0..self.runs.len() {
            self.assess(i, now, out);
            self.log_initial_fault(i, out);
        }
        for i in 0..self.runs.len() {
            self.remove_leftovers(i, out);
        }
        self.update_listeners(out);
        for i in 0..self.runs.len() {
            let config = &self.part.instances[i];
            if let (true, Some(interface)) = (config.promote_secondaries, &config.interface) {
                out.push(Action::PromoteSecondaries { interface: interface.clone(), on: true });
            }
        }
        for i in 0..self.runs.len() {
            self.settle(i, now, "start", out);
        }
        self.timer(now, out);
    }

    /// Addresses of an earlier life. Stock: also one that the host itself has, unless we are its owner.
    fn remove_leftovers(&self, i: usize, out: &mut Actions) {
        let config = &self.part.instances[i];
        if config.priority.is_owner() {
            return;
        }
        let text = format!("({}) removing VIPs.", config.name);
        out.push(Action::Log { detail: Detail::Detail, text });
        let leftovers: Vec<_> = addresses(config).filter(|vip| self.is_present(vip)).cloned().collect();
        if !leftovers.is_empty() {
            out.push(Action::RemoveAddresses { instance: i, addresses: leftovers });
        }
    }

    pub(super) fn log_initial_fault(&self, i: usize, out: &mut Actions) {
        let (config, run) = (&self.part.instances[i], &self.runs[i]);
        let family = match config.family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        };
        let reason = if run.faults.config {
            config.config_fault.clone().unwrap_or_default()
        } else if run.faults.interface_down {
            format!("interface {} down", config.interface.as_deref().unwrap_or_default())
        } else if run.faults.no_source {
            format!("no {family} address for interface")
        } else {
            return;
        };
        let text = format!("({}) entering FAULT state ({reason})", config.name);
        out.push(Action::Log { detail: Detail::Normal, text });
    }

    fn link(&mut self, now: Time, link: Link, out: &mut Actions) {
        let (index, name, is_up) = (link.index, link.name.clone(), link.is_up());
        let before = self.facts.link(link);
        let is_known = before.as_ref().is_some_and(|before| before.name == name);
        if !is_known {
            self.rebuild_receivers();
            if self.is_started() {
                self.update_listeners(out);
            }
        }
        if !self.is_started() {
            return;
        }
        if before.as_ref().is_some_and(|before| before.is_up() != is_up) {
            self.log_link(&name, out);
        }
        if !is_known {
            if self.index.watchers.contains_key(&name) {
                let text = format!("Interface {name} added");
                out.push(Action::Log { detail: Detail::Normal, text });
            }
            if let Some(before) = before {
                self.reassess_watchers(&before.name, now, &format!("interface {} renamed", before.name), out);
            }
        }
        let word = if is_up { "up" } else { "down" };
        self.reassess_watchers(&name, now, &format!("interface {name} (index {index}) is {word}"), out);
    }

    fn link_deleted(&mut self, now: Time, index: u32, out: &mut Actions) {
        let Some(gone) = self.facts.delete(index) else { return };
        self.rebuild_receivers();
        if !self.is_started() {
            return;
        }
        let name = gone.link.name;
        let watchers = self.index.watchers.get(&name).cloned().unwrap_or_default();
        if !watchers.is_empty() {
            out.push(Action::Log { detail: Detail::Normal, text: format!("Interface {name} deleted") });
        }
        self.reassess_watchers(&name, now, &format!("interface {name} was deleted"), out);
        // What was on it is gone, without a word for each.
        for i in watchers {
            for (position, vip) in addresses(&self.part.instances[i]).enumerate() {
                if vip.interface == name {
                    self.runs[i].set[position] = false;
                }
            }
        }
        self.update_listeners(out);
    }

    fn address_added(&mut self, now: Time, index: u32, address: IpAddr, prefix: u8, out: &mut Actions) {
        if !self.facts.add_address(index, address, prefix) || !self.is_started() {
            return;
        }
        if self.index.addresses.contains_key(&address) {
            return;
        }
        let name = self.interface_name(index);
        let text = format!("Assigned address {address} for interface {name}");
        out.push(Action::Log { detail: Detail::Detail, text });
        self.reassess_watchers(&name, now, &format!("address {address} was added to {name}"), out);
    }

    fn address_deleted(
        &mut self,
        now: Time,
        (index, address, prefix): (u32, IpAddr, u8),
        by: Requester,
        out: &mut Actions,
    ) {
        if !self.facts.delete_address(index, address, prefix) || !self.is_started() {
            return;
        }
        let name = self.interface_name(index);
        if let Some(holders) = self.index.addresses.get(&address).cloned() {
            for (i, position) in holders {
                let vip = addresses(&self.part.instances[i]).nth(position);
                if vip.is_some_and(|vip| vip.interface == name && vip.prefix == prefix) {
                    self.vip_lost(i, position, by, now, out);
                }
            }
            return;
        }
        let text = format!("Deassigned address {address} from interface {name}");
        out.push(Action::Log { detail: Detail::Detail, text });
        self.reassess_watchers(&name, now, &format!("address {address} was removed from {name}"), out);
    }

    fn vip_lost(&mut self, i: usize, position: usize, by: Requester, now: Time, out: &mut Actions) {
        if self.runs[i].state != VrrpState::Master
            || !std::mem::replace(&mut self.runs[i].set[position], false)
        {
            return;
        }
        let Some(vip) = addresses(&self.part.instances[i]).nth(position) else { return };
        if by == Requester::Us {
            // The echo of an earlier removal, or a secondary that went with its primary: we want it.
            self.machine(i, now, out).add_addresses();
            return;
        }
        if vip.no_track {
            return;
        }
        let what = format!("IP {} removed from {}", vip.address, vip.interface);
        let text = format!("Netlink reflector reports {what}");
        out.push(Action::Log { detail: Detail::Normal, text });
        let skew = self.runs[i].skew(&self.part.instances[i]);
        self.machine(i, now, out).enter_backup(Entry::Normal, Zero::Sent, Some(skew), &what);
        self.group_to_backup(i, Zero::Sent, now, &what, out);
    }

    fn address_refused(
        &mut self,
        instance: usize,
        address: IpAddr,
        interface: &str,
        change: Change,
        errno: i32,
        out: &mut Actions,
    ) {
        let Some(config) = self.part.instances.get(instance) else { return };
        let (word, preposition) = match change {
            Change::Add => ("adding", "to"),
            Change::Remove => ("removing", "from"),
        };
        let reason = std::io::Error::from_raw_os_error(errno);
        let text = format!("({}) {word} {address} {preposition} {interface}: {reason}", config.name);
        out.push(Action::Log { detail: Detail::Normal, text });
        if change == Change::Add {
            let mut all = addresses(config);
            if let Some(position) = all.position(|v| v.address == address && v.interface == interface) {
                self.runs[instance].set[position] = false;
            }
        }
    }

    fn script_ended(&mut self, now: Time, id: u64, end: ScriptEnd, out: &mut Actions) {
        let Some(s) = self.scripts.iter().position(|script| script.running() == Some(id)) else { return };
        if !self.scripts[s].ended(&self.part.scripts[s], end, out) || !self.is_started() {
            return;
        }
        let cause = format!("script {}", self.part.scripts[s].name);
        for i in self.index.trackers[s].clone() {
            self.reassess(i, now, &cause, out);
        }
    }

    fn reassess_watchers(&mut self, name: &str, now: Time, cause: &str, out: &mut Actions) {
        let Some(watchers) = self.index.watchers.get(name).cloned() else { return };
        for i in watchers {
            self.reassess(i, now, cause, out);
        }
    }

    /// Asks all trackers of an instance again and carries out what follows.
    pub(super) fn reassess(&mut self, i: usize, now: Time, cause: &str, out: &mut Actions) {
        let had_source = self.runs[i].source;
        self.assess(i, now, out);
        if had_source != self.runs[i].source
            && matches!(self.part.instances[i].transport, Transport::Unicast { .. })
        {
            self.update_listeners(out);
        }
        self.settle(i, now, cause, out);
    }

    /// Notes priority, faults and source of an instance; no state changes here.
    pub(super) fn assess(&mut self, i: usize, now: Time, out: &mut Actions) {
        let source = self.source(i);
        let assessment = self.assessment(i, source);
        let config = &self.part.instances[i];
        let run = &mut self.runs[i];
        run.source = source;
        run.faults = assessment.faults;
        run.pending = assessment.pending;
        run.total = assessment.total;
        let effective = match run.rogue {
            Rogue::Yielded => u8::MAX - 1,
            _ => assessment.effective(config.priority),
        };
        let before = run.effective;
        if effective == before {
            return;
        }
        let old_skew = run.skew(config);
        run.effective = effective;
        let new_skew = run.skew(config);
        if let (VrrpState::Backup, Some(timer)) = (run.state, run.timer) {
            run.timer = Some((timer + new_skew - old_skew).max(now));
        }
        let mut machine = self.machine(i, now, out);
        machine.log(Detail::Normal, format_args!("Changing effective priority from {before} to {effective}"));
    }

    /// The address that adverts come from (spec/vrrp-behaviour.md §1.1).
    fn source(&self, i: usize) -> Option<IpAddr> {
        let config = &self.part.instances[i];
        let interface = config.interface.as_deref().and_then(|name| self.facts.by_name(name));
        if let Some(source) = config.source {
            let is_there = !config.track_source || interface.is_some_and(|interface| interface.has(source));
            return is_there.then_some(source);
        }
        interface?.first_address(config.family, |address| self.index.addresses.contains_key(&address))
    }

    fn assessment(&self, i: usize, source: Option<IpAddr>) -> Assessment {
        let config = &self.part.instances[i];
        let mut assessment = Assessment::new(config.priority);
        assessment.faults.config = config.config_fault.is_some();
        assessment.faults.no_source = source.is_none();
        if let Some(own) = config.interface.as_deref().filter(|_| !config.dont_track_primary) {
            assessment.faults.interface_down = !self.facts.is_up(own);
        }
        let group = self.group_of(i).map(|g| &self.part.sync_groups[g]);
        let interfaces = || {
            let of_group = group.iter().flat_map(|group| &group.track_interfaces);
            config.track_interfaces.iter().chain(of_group)
        };
        for tracked in interfaces() {
            assessment.interface(tracked, self.facts.is_up(&tracked.interface));
        }
        for tracked in config.track_scripts.iter().chain(group.iter().flat_map(|g| &g.track_scripts)) {
            if let Some(s) = self.index.scripts.get(&tracked.script) {
                assessment.script(tracked, self.scripts[*s].verdict());
            }
        }
        let mut last = "";
        for vip in addresses(config).filter(|vip| !vip.no_track) {
            let name = vip.interface.as_str();
            let is_own = config.interface.as_deref() == Some(name);
            if name == last || is_own || interfaces().any(|tracked| tracked.interface == name) {
                continue;
            }
            last = name;
            assessment.faults.trackers += usize::from(!self.facts.is_up(name));
        }
        assessment
    }

    pub(super) fn is_started(&self) -> bool {
        matches!(self.phase, Phase::Delayed(_) | Phase::Running)
    }

    /// What is left of `vrrp_startup_delay`.
    pub(super) fn remaining_delay(&self, now: Time) -> Duration {
        match self.phase {
            Phase::Delayed(until) => until.since(now),
            Phase::Waiting | Phase::Running | Phase::Stopped => Duration::ZERO,
        }
    }

    fn interface_name(&self, index: u32) -> String {
        self.facts.by_index(index).map_or_else(String::new, |interface| interface.link.name.clone())
    }

    fn log_link(&self, name: &str, out: &mut Actions) {
        let word = if self.facts.is_up(name) { "up" } else { "down" };
        out.push(Action::Log { detail: Detail::Normal, text: format!("Netlink reports {name} {word}") });
    }

    /// Computes every table that depends on the configuration.
    pub(super) fn rebuild_index(&mut self) {
        let part = &self.part;
        let mut index = Index {
            scripts: part.scripts.iter().enumerate().map(|(s, script)| (script.name.clone(), s)).collect(),
            trackers: vec![Vec::new(); part.scripts.len()],
            ..Index::default()
        };
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
                old_group: matches!(instance.transport, Transport::Unicast { .. })
                    .then_some(part.global.vrrp_mcast_group4),
            });
            let group = group.map(|g| &part.sync_groups[g]);
            let tracked =
                instance.track_interfaces.iter().chain(group.iter().flat_map(|g| &g.track_interfaces));
            let mut watched: Vec<&str> = tracked
                .map(|tracked| tracked.interface.as_str())
                .chain(instance.interface.as_deref())
                .chain(addresses(instance).map(|vip| vip.interface.as_str()))
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
            for (position, vip) in addresses(instance).enumerate() {
                index.addresses.entry(vip.address).or_default().push((i, position));
            }
        }
        self.index = index;
        self.rebuild_receivers();
    }

    /// Computes the table that depends on interface indices, too.
    fn rebuild_receivers(&mut self) {
        self.index.by_vrid.clear();
        for (i, instance) in self.part.instances.iter().enumerate() {
            let Some(interface) = self.interface_index(instance) else { continue };
            let key = (interface, instance.family, instance.vrid.get());
            self.index.by_vrid.entry(key).or_default().push(i);
        }
    }

    /// 0 without interface, `None` if it does not exist.
    fn interface_index(&self, instance: &Instance) -> Option<u32> {
        match &instance.interface {
            Some(name) => self.facts.by_name(name).map(|interface| interface.link.index),
            None => Some(0),
        }
    }

    /// Tells the driver which sockets are wanted, if that has changed.
    pub(super) fn update_listeners(&mut self, out: &mut Actions) {
        let mut wanted: BTreeMap<(u32, Family, ListenerKind), Listener> = BTreeMap::new();
        for (instance, run) in self.part.instances.iter().zip(&self.runs) {
            let Some(index) = self.interface_index(instance) else { continue };
            let kind = match (&instance.transport, run.source) {
                (Transport::Multicast { group }, _) => ListenerKind::Multicast { group: *group },
                (Transport::Unicast { .. }, Some(source)) => ListenerKind::Unicast { source },
                (Transport::Unicast { .. }, None) => continue,
            };
            let listener = wanted.entry((index, instance.family, kind)).or_insert_with(|| Listener {
                interface: instance.interface.clone(),
                index,
                family: instance.family,
                kind,
                vrids: Vec::new(),
            });
            listener.vrids.push(instance.vrid.get());
        }
        let mut listeners: Vec<Listener> = wanted.into_values().collect();
        for listener in &mut listeners {
            listener.vrids.sort_unstable();
            listener.vrids.dedup();
        }
        if listeners != self.listeners {
            self.listeners.clone_from(&listeners);
            out.push(Action::Listen(listeners));
        }
    }

    /// Lets a fit instance out of INIT or FAULT.
    pub(super) fn enter_fit(&mut self, i: usize, entry: Entry, now: Time, cause: &str, out: &mut Actions) {
        let config = &self.part.instances[i];
        let delay = self.remaining_delay(now);
        let owns_at_once = is_owner_from_start(config)
            && self.group_of(i).is_none_or(|g| {
                self.members(g).all(|member| is_owner_from_start(&self.part.instances[member]))
            });
        if owns_at_once {
            // The delay's end settles it.
            if delay.is_zero() {
                self.machine(i, now, out).enter_master(cause);
            }
            return;
        }
        let was_fault = self.runs[i].state == VrrpState::Fault;
        let mut machine = self.machine(i, now, out);
        machine.enter_backup(entry, Zero::Unsent, None, cause);
        if let Some(timer) = machine.run.timer.as_mut() {
            *timer = *timer + delay;
        }
        if was_fault {
            machine.announce_source();
        }
    }
}

fn instance_snapshot((config, run): (&Instance, &Run)) -> InstanceSnapshot {
    let (vips, excluded) = run.set.split_at(config.vips.len().min(run.set.len()));
    InstanceSnapshot {
        state: run.state,
        wanted: run.wanted,
        master: run.master,
        master_advert_int: run.master_advert_int,
        effective_priority: run.effective,
        total_priority: run.total,
        source: run.source,
        faults: run.faults,
        scripts_pending: run.pending,
        last_transition: run.last_transition,
        timer: run.timer,
        master_down: run.master_down(config),
        last_advert: run.last_advert,
        highest_other: run.highest_other,
        vips_set: vips.to_vec(),
        excluded_set: excluded.to_vec(),
        logged: run.logged,
        old_checksum: run.old_checksum,
        counters: run.counters,
    }
}
