//! How an instance stands: its source address, its priority, its faults, asked afresh from facts and trackers.
//!
//! No state changes here; `group` draws the conclusions. spec/vrrp-behaviour.md §1.1, §6.1.

use std::net::IpAddr;

use super::awaits::Awaited;
use super::event::{Actions, Detail, StateWord};
use super::instance::Rogue;
use super::links::LinkStanding;
use super::owned::{Object, objects};
use super::priority::Assessment;
use super::router::Router;
use super::snapshot::VrrpState;
use crate::config::model::{Family, Instance, Transport, VipRepair, VirtualLinkKind};
use crate::time::Time;

impl Router {
    /// Asks all trackers of an instance again and carries out what follows.
    pub(super) fn reassess(&mut self, i: usize, now: Time, cause: &str, out: &mut Actions) {
        let had_source = self.runs[i].source;
        self.assess(i, now, out);
        self.share_source(i, out);
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
        run.awaits_link = assessment.awaits_link;
        run.total = assessment.total;
        let effective = match run.rogue {
            Rogue::Yielded => u8::MAX - 1,
            _ => assessment.effective(config.priority),
        };
        let before = run.effective;
        if effective == before {
            return;
        }
        self.alarms.touch(i);
        let old_skew = run.skew(config);
        run.effective = effective;
        let new_skew = run.skew(config);
        if let (VrrpState::Backup, Some(timer)) = (run.state, run.timer) {
            run.timer = Some((timer + new_skew - old_skew).max(now));
        }
        let mut machine = self.machine(i, now, out);
        machine.log(Detail::Normal, format_args!("Changing effective priority from {before} to {effective}"));
        if machine.config.notify_priority_changes {
            let word = match machine.run.state {
                VrrpState::Master => StateWord::MasterPriority,
                VrrpState::Init | VrrpState::Backup | VrrpState::Fault => StateWord::BackupPriority,
            };
            machine.notify(word, "a tracker");
        }
    }

    /// The address that adverts come from (spec/vrrp-behaviour.md §1.1).
    pub(super) fn source(&self, i: usize) -> Option<IpAddr> {
        let config = &self.part.instances[i];
        // An ipvlan has a link-local address of its own.
        let own =
            config.links.own.as_ref().filter(|own| {
                config.family == Family::V6 && matches!(own.kind, VirtualLinkKind::Ipvlan { .. })
            });
        let interface = own.map_or(config.interface.as_deref(), |own| Some(&own.name));
        let interface = interface.and_then(|name| self.facts.by_name(name));
        if let Some(source) = config.source {
            let is_there = !config.track_source || interface.is_some_and(|interface| interface.has(source));
            return is_there.then_some(source);
        }
        interface?.first_address(config.family, |address| self.index.addresses.has(&address))
    }

    pub(super) fn assessment(&self, i: usize, source: Option<IpAddr>) -> Assessment {
        let config = &self.part.instances[i];
        let mut assessment = Assessment::new(config.priority);
        if config.config_fault.is_some() {
            assessment.faults.config = true;
            assessment.awaits.push(Awaited::Configuration);
        }
        if source.is_none() {
            assessment.faults.no_source = true;
            assessment.awaits.push(Awaited::Source {
                interface: config.interface.clone(),
                family: config.family,
                address: config.source,
            });
        }
        self.assess_primary(config, &mut assessment);
        let group = self.group_of(i).map(|g| &self.part.sync_groups[g]);
        let interfaces = || {
            let of_group = group.iter().flat_map(|group| &group.track_interfaces);
            // Stock: the own interface is tracked without a weight, whatever the group says of it.
            let is_own = |name: &str| !config.dont_track_primary && config.interface.as_deref() == Some(name);
            config.track_interfaces.iter().chain(of_group.filter(move |it| !is_own(&it.interface)))
        };
        for tracked in interfaces() {
            assessment.interface(tracked, self.will_be_up(&tracked.interface));
        }
        for tracked in config.track_scripts.iter().chain(group.iter().flat_map(|g| &g.track_scripts)) {
            if let Some(s) = self.index.scripts.get(&tracked.script) {
                assessment.script(tracked, self.scripts[*s].verdict());
            }
        }
        let (files, processes, bfds) = (
            config.track_files.iter().chain(group.iter().flat_map(|g| &g.track_files)),
            config.track_processes.iter().chain(group.iter().flat_map(|g| &g.track_processes)),
            config.track_bfds.iter().chain(group.iter().flat_map(|g| &g.track_bfds)),
        );
        for tracked in files {
            // Stock: a file that is not there holds 0.
            assessment.file(tracked, self.readings.file(&tracked.name).unwrap_or(0));
        }
        for tracked in processes {
            if let Some(has_quorum) = self.readings.has_quorum(&tracked.name) {
                assessment.process(tracked, has_quorum);
            }
        }
        for tracked in bfds {
            if let Some(is_up) = self.readings.is_bfd_up(&tracked.name) {
                assessment.bfd(tracked, is_up);
            }
        }
        let mut seen: Vec<&str> = Vec::new();
        // `dont_track_primary` covers the addresses on the own interface. Stock: not the routes and rules.
        let own = objects(config).filter(|object| !object.no_track()).flat_map(|object| {
            let is_covered = !config.dont_track_primary || matches!(object, Object::Address(_));
            object.interfaces().map(move |name| (name, is_covered))
        });
        let of_statics = self.index.fixed[i].static_interfaces.iter().map(|name| (name.as_str(), true));
        for (name, is_covered) in own.chain(of_statics) {
            let is_own = config.interface.as_deref() == Some(name)
                || config.links.own.as_ref().is_some_and(|own| own.name == name);
            if is_own && is_covered
                || seen.contains(&name)
                || interfaces().any(|tracked| tracked.interface == name)
            {
                continue;
            }
            seen.push(name);
            if !self.will_be_up(name) {
                assessment.fault(Awaited::Interface { name: name.to_owned(), up: true });
            }
        }
        assessment
    }

    /// The own interface, and the link of our own on it. Without that link there is nothing to send on, so its absence
    /// is a fault even with `dont_track_primary`.
    fn assess_primary(&self, config: &Instance, assessment: &mut Assessment) {
        let is_tracked = !config.dont_track_primary;
        let up = |name: &str| Awaited::Interface { name: name.to_owned(), up: true };
        let base_down = config.interface.as_deref().filter(|name| is_tracked && !self.facts.is_up(name));
        assessment.awaits.extend(base_down.map(up));
        let Some(own) = &config.links.own else {
            assessment.faults.interface_down = base_down.is_some();
            return;
        };
        assessment.faults.base_down = base_down.is_some();
        let name = own.name.as_str();
        match self.links.standing(name) {
            LinkStanding::Ready if is_tracked && !self.facts.is_up(name) => {
                assessment.faults.interface_down = true;
                assessment.awaits.push(up(name));
            }
            LinkStanding::Ready => {}
            // Stock: a lost VMAC is a fault, and a fresh start when it is there again.
            LinkStanding::Awaited if config.vip_repair == VipRepair::Stock && self.links.is_lost(name) => {
                assessment.faults.interface_down = true;
                assessment.awaits.push(up(name));
            }
            LinkStanding::Awaited => {
                assessment.awaits_link = true;
                assessment.awaits.push(Awaited::Link { name: name.to_owned() });
            }
            LinkStanding::Missing => {
                assessment.faults.interface_down = true;
                assessment.awaits.push(up(name));
            }
        }
    }
}
