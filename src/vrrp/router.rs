//! The core of the vrrp process: all instances, sync groups and track scripts of one configuration.
//!
//! This file takes events and finds whom they concern; `instance` decides what one instance does, `group` what its
//! group makes of it, `reload` what a new configuration changes.

use std::collections::HashSet;
use std::time::Duration;

use super::alarms::{Alarms, Lateness};
use super::budget::Budget;
use super::effects::log_removing;
use super::event::{Action, Actions, Detail, Envelope, Event, Listener};
use super::facts::Facts;
use super::firewall::Firewall;
use super::group::GroupRun;
use super::holdings::{Holdings, in_removal_order};
use super::index::Index;
use super::instance::{Follow, Machine, Rang, Run, is_owner_from_start};
use super::links::Links;
use super::owned::{Object, Owner, addresses, objects, static_objects};
use super::pacer::{Pacer, Plan};
use super::receive::Received;
use super::script::ScriptRun;
use super::snapshot::{GroupSnapshot, InstanceSnapshot, Snapshot, VrrpState};
use super::sync::Sync;
use super::tracker::Readings;
use super::transition::{Entry, Zero};
use super::urgent::Starts;
use crate::config::model::{Family, Instance, Transport, VirtualAddress, VrrpPart};
use crate::time::Time;

/// Instances that one [`Event::Timer`] serves.
const SERVED: usize = 64;
/// Unknown VRIDs logged in a second.
const STRANGERS: u8 = 10;
const SECOND: Duration = Duration::from_secs(1);

/// All virtual routers of this host, as one sans-IO core. See the [module](super) for its contract.
#[derive(Debug, Clone)]
pub struct Router {
    pub(super) part: VrrpPart,
    pub(super) runs: Vec<Run>,
    pub(super) groups: Vec<GroupRun>,
    pub(super) scripts: Vec<ScriptRun>,
    pub(super) readings: Readings,
    /// What of the static objects is in the kernel because of us.
    pub(super) statics: Holdings,
    pub(super) facts: Facts,
    pub(super) pacer: Pacer,
    pub(super) phase: Phase,
    /// The number of the next script run.
    pub(super) next_script: u64,
    pub(super) listeners: Vec<Listener>,
    pub(super) links: Links,
    pub(super) firewall: Firewall,
    pub(super) sync: Sync,
    pub(super) index: Index,
    pub(super) alarms: Alarms,
    pub(super) lateness: Lateness,
    /// What the wall clock would have shown at [`Time::ZERO`].
    pub(super) wall: Duration,
    strangers: Budget,
    /// Instances that began a takeover in [`Router::urge`]; some may have ended it since.
    pub(super) ascending: Vec<usize>,
    pub(super) starts: Starts,
    /// It went on from a state and has not seen the host yet.
    pub(super) is_heir: bool,
    /// Of how much detail lines are made.
    pub(super) detail: Detail,
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

impl Router {
    /// A core that waits for [`Event::Interfaces`].
    pub fn new(part: &VrrpPart) -> Self {
        Self::owning(part.clone())
    }

    /// The same, without a copy of a large configuration.
    pub fn owning(part: VrrpPart) -> Self {
        let mut router = Self {
            runs: part.instances.iter().map(Run::new).collect(),
            groups: part.sync_groups.iter().map(|_| GroupRun::default()).collect(),
            scripts: part.scripts.iter().map(|script| ScriptRun::new(script, Time::ZERO)).collect(),
            readings: Readings::default(),
            statics: Holdings::none(static_objects(&part.statics).count()),
            facts: Facts::default(),
            pacer: Pacer::new(Plan::of(&part)),
            phase: Phase::Waiting,
            next_script: 1,
            listeners: Vec::new(),
            links: Links::default(),
            firewall: Firewall::default(),
            sync: Sync::new(&part),
            index: Index::default(),
            alarms: Alarms::default(),
            lateness: Lateness::default(),
            wall: Duration::ZERO,
            strangers: Budget::default(),
            ascending: Vec::new(),
            starts: Starts::default(),
            is_heir: false,
            detail: Detail::Detail,
            part,
        };
        router.rebuild_index();
        router.alarms.rebuild(&router.runs);
        router
    }

    /// Has only lines of this detail made, or less: those of thousands of addresses that nobody reads keep the first one
    /// waiting.
    pub fn set_detail(&mut self, detail: Detail) {
        self.detail = detail;
    }

    /// The running configuration.
    pub fn part(&self) -> &VrrpPart {
        &self.part
    }

    /// Takes one event. The deadline may still lie in the past then: the timer serves some instances at a time.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Actions) {
        let begin = out.len();
        if !matches!(event, Event::Timer | Event::WallClock { .. }) {
            self.finish_takeovers(now, out);
        }
        match event {
            Event::Timer => self.timer(now, out),
            Event::Interfaces(interfaces) => self.interfaces(now, interfaces, out),
            Event::Link(link) => self.link(now, link, out),
            Event::LinkDeleted { index } => self.link_deleted(now, index, out),
            Event::AddressAdded { index, address, prefix } => {
                self.address_added(now, index, address, prefix, out);
            }
            Event::AddressDeleted { index, address, prefix, by } => {
                self.address_deleted(now, (index, address, prefix), &by, out);
            }
            Event::Advert { index, envelope, packet } => self.packet(now, index, envelope, &packet, out),
            Event::Conflict { index, address, mac } => self.conflict(now, (index, address), &mac, out),
            Event::WallClock { at_zero } => self.wall = at_zero,
            Event::ScriptEnded { id, end } => self.script_ended(now, id, end, out),
            Event::ScriptsRunning(runs) => self.scripts_running(now, &runs),
            Event::File { name, value } => self.file_changed(now, &name, value, out),
            Event::Processes { name, count } => self.processes_changed(now, name, count, out),
            Event::Polled { name, way, up } => self.polled(now, name, way, up, out),
            Event::Bfd { name, up } => self.bfd_changed(now, &name, up, out),
            Event::FirewallTouched { by } => self.firewall_touched(by.as_deref(), now, out),
            Event::SyncRefused { note } => self.sync_refused(&note, now, out),
            Event::LinkRefused { name, errno, note } => self.link_refused(&name, errno, &note, now, out),
            Event::RouteReplaced { by_route, by } => self.route_replaced(now, &by_route, &by, out),
            Event::RouteDeleted { route, by } => self.route_deleted(now, &route, &by, out),
            Event::RuleDeleted { rule, by } => self.rule_deleted(now, &rule, &by, out),
            Event::Refused { owner, object, change, errno, note } => {
                self.refused(owner, &object, change, errno, note.as_deref(), out);
            }
        }
        self.follow_firewall(begin, out);
        self.follow_sync(out);
        self.alarms.settle(&self.runs);
    }

    /// Takes a received packet: the same as [`Event::Advert`], without owning the bytes.
    pub fn advert(&mut self, now: Time, index: u32, envelope: Envelope, packet: &[u8], out: &mut Actions) {
        self.finish_takeovers(now, out);
        self.packet(now, index, envelope, packet, out);
        self.follow_sync(out);
        self.alarms.settle(&self.runs);
    }

    fn packet(&mut self, now: Time, index: u32, envelope: Envelope, packet: &[u8], out: &mut Actions) {
        if self.phase != Phase::Running {
            return;
        }
        let Some(received) = Received::new(envelope, packet) else { return };
        let vrid = received.pdu.vrid();
        let candidates = self.index.by_vrid.of(&(index, received.family, vrid));
        let Some((_, first)) = candidates.first() else {
            if self.part.global.log_unknown_vrids && self.strangers.spend(now, STRANGERS, SECOND) {
                let name = self.facts.by_index(index).map_or("?", |interface| &interface.link.name);
                let text = format!("Unknown VRID({vrid}) received on interface({name}). ignoring...");
                out.push(Action::Log { detail: Detail::Normal, text });
            }
            return;
        };
        // One VRID may serve multicast and several unicast instances of one interface.
        let fits = |i: &usize| match &self.part.instances[*i].transport {
            Transport::Multicast { group } => received.destination == *group,
            Transport::Unicast { peers, .. } => {
                self.runs[*i].source == Some(received.destination)
                    && (candidates.len() == 1 || peers.iter().any(|peer| peer.address == received.source))
            }
        };
        let i = candidates.iter().map(|(_, i)| *i).find(fits).unwrap_or(*first);
        if matches!(self.runs[i].state, VrrpState::Init | VrrpState::Fault) {
            return;
        }
        let mut machine = self.machine(i, now, out);
        let Some(accepted) = machine.check(&received) else { return };
        match machine.on_advert(accepted) {
            Follow::Nothing => {}
            Follow::Announce => self.group_announces(i, now, out),
            Follow::Backup { cause } => {
                self.group_to_backup(i, Zero::Unsent, now, &cause, out);
                self.update_firewall(out);
            }
        }
    }

    /// Is some advert signed with the time of the day? Then [`Event::WallClock`] must be up to date.
    pub fn needs_wall_clock(&self) -> bool {
        self.index.needs_wall_clock
    }

    /// How long an advert may lie unread without harm, as long as it then counts from its arrival: half of the shortest
    /// time in which one can make somebody act, and a sixty-fourth of any interval.
    pub fn slack(&self) -> Duration {
        let of = |(config, run): (&Instance, &Run)| {
            let interval = config.advert_int.duration().min(run.master_advert_int.duration());
            (run.skew(config) / 2).min(interval / 64)
        };
        self.part.instances.iter().zip(&self.runs).map(of).min().unwrap_or_default()
    }

    /// When [`Event::Timer`] is due.
    pub fn deadline(&self) -> Option<Time> {
        let start = match self.phase {
            Phase::Waiting | Phase::Stopped => return None,
            Phase::Delayed(until) => Some(until),
            Phase::Running => None,
        };
        let scripts = self.scripts.iter().map(ScriptRun::deadline).min();
        [
            start,
            self.alarms.next(),
            scripts,
            self.pacer.deadline(),
            self.readings.deadline(),
            self.facts.debounce.deadline(),
            self.links.deadline(),
            self.firewall.deadline(),
            self.sync.deadline(),
            self.statics.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Everything the reports show.
    pub fn snapshot(&self, now: Time) -> Snapshot {
        Snapshot {
            now,
            instances: (0..self.runs.len()).map(|i| self.instance_snapshot(i)).collect(),
            groups: (0..self.groups.len())
                .map(|g| GroupSnapshot {
                    state: self.groups[g].state,
                    faulty: self.members(g).filter(|i| self.runs[*i].faults.any()).count(),
                    pending: self.members(g).filter(|i| self.runs[*i].pending > 0).count(),
                })
                .collect(),
            scripts: self.scripts.iter().map(ScriptRun::snapshot).collect(),
            lateness: self.lateness,
            delayed: self
                .facts
                .iter()
                .map(|i| i.link.name.clone())
                .filter(|name| self.facts.debounce.held(name).is_some())
                .collect(),
            files: self.part.track_files.iter().map(|f| self.readings.file(&f.name).unwrap_or(0)).collect(),
            processes: self.part.track_processes.iter().map(|p| self.readings.processes(p)).collect(),
            bfds: self
                .part
                .track_bfds
                .iter()
                .map(|b| self.readings.is_bfd_up(&b.name) == Some(true))
                .collect(),
            statics_set: self.statics.marks().take(self.part.statics.addresses.len()).collect(),
            interfaces: self.facts.iter().cloned().collect(),
            guarded: self.links.guarded(),
            paces: (0..self.part.garp_groups.len())
                .map(Some)
                .chain([None])
                .map(|g| self.pacer.next(g))
                .collect(),
            polled: self.readings.polled(&self.part),
        }
    }

    /// Nothing has happened for some time: gives back memory that is not needed for adverts.
    pub fn rest(&mut self) {
        self.facts.rest();
    }

    /// Sets all statistics to zero (signal 63).
    pub fn clear_counters(&mut self) {
        for run in &mut self.runs {
            run.counters.clear();
        }
    }

    /// Announces the addresses of this instance once, if it is master.
    pub fn announce(&mut self, name: &str, now: Time, out: &mut Actions) {
        let place = self.part.instances.iter().position(|instance| instance.name == name);
        if let Some(i) = place.filter(|&i| self.runs[i].state == VrrpState::Master) {
            self.finish_takeovers(now, out);
            self.machine(i, now, out).announce(1);
            self.alarms.settle(&self.runs);
        }
    }

    /// One instance, ready to act.
    pub(super) fn machine<'a>(&'a mut self, i: usize, now: Time, out: &'a mut Actions) -> Machine<'a> {
        self.alarms.touch(i);
        Machine {
            index: i,
            config: &self.part.instances[i],
            fixed: &self.index.fixed[i],
            run: &mut self.runs[i],
            facts: &self.facts,
            pacer: &mut self.pacer,
            starts: &mut self.starts,
            detail: self.detail,
            now,
            wall: self.wall,
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
        self.quorums_due(now, out);
        self.delays_due(now, out);
        for s in 0..self.scripts.len() {
            self.scripts[s].tick(&self.part.scripts[s], &mut self.next_script, now, out);
        }
        self.alarms.settle(&self.runs);
        let due: Vec<usize> = self.alarms.due(now).take(SERVED).collect();
        for i in due {
            self.instance_due(i, now, out);
        }
        let runs = &self.runs;
        self.ascending.retain(|i| runs[*i].ascent.is_some());
        if self.pacer.deadline().is_some_and(|due| due <= now) {
            self.pacer.send_due(now, out);
        }
        self.tend_links(now, out);
        self.tend_firewall(now, out);
        self.tend_sync(now, out);
        if self.statics.resume(now) {
            self.add_statics(out);
        }
    }

    fn instance_due(&mut self, i: usize, now: Time, out: &mut Actions) {
        let run = &self.runs[i];
        // What came before it in this turn may have put it off.
        if run.deadline().is_none_or(|due| due > now) {
            return;
        }
        if let (VrrpState::Master, Some(due)) = (run.state, run.timer.filter(|due| *due <= now)) {
            self.note_lateness(i, due, now, out);
        }
        match self.machine(i, now, out).on_timer() {
            Rang::Nothing => {}
            Rang::MasterSilent => self.master_is_silent(i, now, out),
            Rang::Superseded { cause } => self.group_to_backup(i, Zero::Unsent, now, &cause, out),
        }
    }

    /// A MASTER's advert was due then.
    pub(super) fn note_lateness(&mut self, i: usize, due: Time, now: Time, out: &mut Actions) {
        let config = &self.part.instances[i];
        self.lateness.advert(&config.name, due, config.advert_int.duration(), now, out);
    }

    pub(super) fn is_present(&self, vip: &VirtualAddress) -> bool {
        self.facts
            .by_name(&vip.interface)
            .is_some_and(|interface| interface.addresses.contains(&(vip.address, vip.prefix)))
    }

    pub(super) fn start(&mut self, now: Time, out: &mut Actions) {
        // The clock counts from the boot of the host on.
        let of_boot = self.part.global.vrrp_delay_after_boot.saturating_sub(now.since(Time::ZERO));
        let delay = self.part.global.vrrp_startup_delay.max(of_boot);
        self.phase = Phase::Running;
        if !delay.is_zero() {
            self.phase = Phase::Delayed(now + delay);
            let text = format!("Delaying startup for {} seconds", delay.as_secs_f64());
            out.push(Action::Log { detail: Detail::Normal, text });
        }
        for (script, run) in self.part.scripts.iter().zip(&mut self.scripts) {
            *run = ScriptRun::new(script, now);
        }
        self.adopt_links(out);
        self.make_links(now, out);
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
        self.add_statics(out);
        self.timer(now, out);
    }

    /// What an earlier life has left. Stock: also an address that the host itself has, unless we are its owner.
    fn remove_leftovers(&self, i: usize, out: &mut Actions) {
        let config = &self.part.instances[i];
        let may_be_left = |object: &Object<'_>| match object {
            Object::Address(vip) => !config.priority.is_owner() && self.is_present(vip),
            // No list of these is kept; one that is not there is no error.
            Object::Route(_) | Object::Rule(_) => true,
        };
        if self.detail >= Detail::Detail {
            log_removing(config, out);
        }
        let leftovers: Vec<_> = objects(config).filter(may_be_left).map(Object::to_owned).collect();
        if !leftovers.is_empty() {
            let objects = in_removal_order(leftovers);
            out.push(Action::Remove { owner: Owner::Instance(i), objects });
        }
    }

    /// A predecessor that was killed in the middle of a takeover has not told of it: here its instance is not MASTER, and
    /// some of what a MASTER owns is on the host.
    pub(super) fn remove_unknown_leftovers(&self, out: &mut Actions) {
        let of_masters: HashSet<_> = (self.part.instances.iter().zip(&self.runs))
            .filter(|(_, run)| run.state == VrrpState::Master)
            .flat_map(|(config, _)| addresses(config))
            .chain(&self.part.statics.addresses)
            .map(|vip| (&vip.interface, vip.address, vip.prefix))
            .collect();
        for (i, (config, run)) in self.part.instances.iter().zip(&self.runs).enumerate() {
            let is_left = |vip: &VirtualAddress| {
                self.is_present(vip) && !of_masters.contains(&(&vip.interface, vip.address, vip.prefix))
            };
            let has_left = run.state != VrrpState::Master
                && !config.priority.is_owner()
                && addresses(config).any(is_left);
            if has_left {
                log_removing(config, out);
                let left = objects(config).filter(|object| match object {
                    Object::Address(vip) => is_left(vip),
                    Object::Route(_) | Object::Rule(_) => true,
                });
                let objects = in_removal_order(left.map(Object::to_owned).collect());
                out.push(Action::Remove { owner: Owner::Instance(i), objects });
            }
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
        } else if run.faults.base_down || run.faults.interface_down {
            format!("interface {} down", config.interface.as_deref().unwrap_or_default())
        } else if run.faults.no_source {
            format!("no {family} address for interface")
        } else {
            return self.log_initial_trackers(i, out);
        };
        let text = format!("({}) entering FAULT state ({reason})", config.name);
        out.push(Action::Log { detail: Detail::Normal, text });
        self.log_initial_trackers(i, out);
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

    fn instance_snapshot(&self, i: usize) -> InstanceSnapshot {
        let (config, run) = (&self.part.instances[i], &self.runs[i]);
        let mut marks = run.held.marks();
        let vips = marks.by_ref().take(config.vips.len()).collect();
        let excluded = marks.by_ref().take(config.excluded.len()).collect();
        InstanceSnapshot {
            state: run.state,
            wanted: run.wanted,
            master: run.master,
            master_advert_int: run.master_advert_int,
            effective_priority: run.effective,
            total_priority: run.total,
            source: run.source,
            faults: run.faults,
            awaits: self.awaits(i),
            scripts_pending: run.pending,
            last_transition: run.last_transition,
            timer: run.timer,
            master_down: run.master_down(config),
            last_advert: run.last_advert,
            highest_other: run.highest_other,
            vips_set: vips,
            excluded_set: excluded,
            routing_set: marks.collect(),
            logged: run.logged,
            old_checksum: run.old_checksum,
            counters: run.counters.counters(),
        }
    }
}
