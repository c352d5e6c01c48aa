//! A new configuration for a running core, and a running core's [`State`] for its successor.
//!
//! Both match instances by identity: VRID, family, interface, and group or unicast source; names do not matter
//! (spec/daemon-behaviour.md §6). What matches and did not change feels nothing: no advert, no timer, no address.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::alarms::Lateness;
use super::event::{Action, Actions, Detail, Listener, StateWord, Subject};
use super::facts::Facts;
use super::firewall::Firewall;
use super::group::GroupRun;
use super::holdings::Holdings;
use super::instance::Run;
use super::links::Links;
use super::notify;
use super::owned::{Object, Owned, Owner, objects, static_objects};
use super::pacer::{Pacer, Plan};
use super::router::{Phase, Router};
use super::script::ScriptRun;
use super::snapshot::VrrpState;
use super::tracker::Readings;
use super::transition::Zero;
use crate::config::model::{Command, Family, Instance, Transport, VrrpPart, VrrpVersion};
use crate::time::Time;

/// The format of [`State`]; a successor of another format starts afresh.
pub(super) const VERSION: u16 = 7;

/// Everything a successor needs to go on where this core stopped; plain data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    version: u16,
    phase: Phase,
    readings: Readings,
    lateness: Lateness,
    facts: Facts,
    pacer: Pacer,
    next_script: u64,
    listeners: Vec<Listener>,
    links: Links,
    firewall: Firewall,
    /// Each with the objects it may hold, so that a changed configuration can release them.
    instances: Vec<(Identity, Vec<Owned>, Run)>,
    groups: Vec<(String, GroupRun)>,
    /// Static objects that may be in the kernel, and what of them is.
    statics: (Vec<Owned>, Holdings),
    scripts: Vec<(String, Command, ScriptRun)>,
}

/// What makes an instance the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Identity {
    vrid: u8,
    family: Family,
    interface: Option<String>,
    /// Multicast: has it a link of its own?
    own_link: bool,
    /// The group of multicast; the configured source of unicast.
    multicast: Option<IpAddr>,
    source: Option<IpAddr>,
}

/// The same without a copy; written down it is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub(super) struct IdentityRef<'a> {
    vrid: u8,
    family: Family,
    interface: Option<&'a str>,
    own_link: bool,
    multicast: Option<IpAddr>,
    source: Option<IpAddr>,
}

impl<'a> IdentityRef<'a> {
    pub(super) fn of(instance: &'a Instance) -> Self {
        let (multicast, source) = match &instance.transport {
            Transport::Multicast { group } => (Some(*group), None),
            Transport::Unicast { .. } => (None, instance.source),
        };
        Self {
            vrid: instance.vrid.get(),
            family: instance.family,
            interface: instance.interface.as_deref(),
            own_link: multicast.is_some() && instance.links.own.is_some(),
            multicast,
            source,
        }
    }
}

impl Identity {
    fn as_ref(&self) -> IdentityRef<'_> {
        let Self { vrid, family, interface, own_link, multicast, source } = self;
        IdentityRef {
            vrid: *vrid,
            family: *family,
            interface: interface.as_deref(),
            own_link: *own_link,
            multicast: *multicast,
            source: *source,
        }
    }

    fn of(instance: &Instance) -> Self {
        let IdentityRef { vrid, family, interface, own_link, multicast, source } = IdentityRef::of(instance);
        Self { vrid, family, interface: interface.map(str::to_owned), own_link, multicast, source }
    }
}

/// What the bytes of an advert are made of: if it changes, a MASTER tells at once.
fn contents(instance: &Instance) -> impl PartialEq + '_ {
    let vips: Vec<IpAddr> = instance.vips.iter().map(|vip| vip.address).collect();
    let checksum = match instance.transport {
        Transport::Multicast { .. } => None,
        Transport::Unicast { checksum, .. } => Some(checksum),
    };
    let bytes = (instance.v3_checksum_as_v2, checksum);
    (instance.version, instance.advert_int, &instance.auth, bytes, vips)
}

impl Router {
    /// What a successor needs.
    pub fn state(&self) -> State {
        State {
            version: VERSION,
            phase: self.phase,
            readings: self.readings.clone(),
            lateness: self.lateness,
            facts: self.facts.clone(),
            pacer: self.pacer.clone(),
            next_script: self.next_script,
            listeners: self.listeners.clone(),
            links: self.links.clone(),
            firewall: self.firewall.clone(),
            instances: self
                .part
                .instances
                .iter()
                .zip(&self.runs)
                .map(|(instance, run)| {
                    (Identity::of(instance), objects(instance).map(Object::to_owned).collect(), run.clone())
                })
                .collect(),
            groups: self
                .part
                .sync_groups
                .iter()
                .zip(&self.groups)
                .map(|(group, run)| (group.name.clone(), run.clone()))
                .collect(),
            statics: (
                static_objects(&self.part.statics).map(Object::to_owned).collect(),
                self.statics.clone(),
            ),
            scripts: self
                .part
                .scripts
                .iter()
                .zip(&self.scripts)
                .map(|(script, run)| (script.name.clone(), script.command.clone(), run.clone()))
                .collect(),
        }
    }

    /// A core that goes on where another one stopped: a MASTER stays MASTER. The driver then opens the sockets
    /// (they are told again) and sends [`Event::Interfaces`](super::Event::Interfaces), which starts what is new: here
    /// nothing may be sent, because the time of the day is not known yet. Instances that are not in `part` are released.
    /// A state of another version is worth nothing: the core is new.
    pub fn resume(part: &VrrpPart, state: State, out: &mut Actions) -> Self {
        let mut router = Self::new(part);
        if state.version != VERSION {
            return router;
        }
        router.phase = state.phase;
        router.is_heir = router.is_started();
        router.readings = state.readings;
        router.lateness = state.lateness;
        router.facts = state.facts;
        router.pacer = state.pacer;
        router.next_script = state.next_script;
        router.listeners = state.listeners;
        router.links = state.links;
        router.firewall = state.firewall;
        router.rebuild_index();
        let mut map = HashMap::new();
        let places: HashMap<IdentityRef<'_>, usize> =
            part.instances.iter().enumerate().map(|(i, instance)| (IdentityRef::of(instance), i)).collect();
        for (old, (identity, held, mut run)) in state.instances.into_iter().enumerate() {
            let Some(i) = places.get(&identity.as_ref()).copied() else {
                remove(Owner::Instance(old), run.held.release(held.iter().map(Owned::as_object)), out);
                continue;
            };
            let wanted = objects(&router.part.instances[i]);
            remove(Owner::Instance(i), run.held.carry_over(held.iter().map(Owned::as_object), wanted), out);
            router.runs[i] = run;
            map.insert(old, i);
        }
        router.pacer.restore_plan(Plan::of(&router.part));
        router.pacer.keep(|instance| map.get(&instance).copied());
        let (held, mut statics) = state.statics;
        let wanted = static_objects(&router.part.statics);
        remove(Owner::Static, statics.carry_over(held.iter().map(Owned::as_object), wanted), out);
        router.statics = statics;
        for (name, run) in state.groups {
            if let Some(g) = router.part.sync_groups.iter().position(|group| group.name == name) {
                let members = std::mem::take(&mut router.groups[g].members);
                router.groups[g] = GroupRun { members, ..run };
            }
        }
        for (name, command, run) in state.scripts {
            let mut scripts = router.part.scripts.iter();
            match scripts.position(|script| script.name == name && script.command == command) {
                Some(s) => router.scripts[s] = run,
                None => out.extend(run.running().map(|id| Action::KillScript { id })),
            }
        }
        router.adopt_links(out);
        let listeners = router.listeners.clone();
        if router.is_started() {
            out.push(Action::Listen(listeners));
            router.update_listeners(out);
        }
        router.alarms.rebuild(&router.runs);
        router
    }

    /// Makes `part` the running configuration.
    pub fn reconfigure(&mut self, part: &VrrpPart, now: Time, out: &mut Actions) {
        if self.phase == Phase::Stopped {
            return;
        }
        if *part == self.part {
            // Those who read have begun anew all the same.
            if self.part.global.fifos.states_on_reload && self.phase != Phase::Waiting {
                self.tell_states(out);
            }
            return;
        }
        self.finish_takeovers(now, out);
        let mut old = std::mem::replace(self, Self::new(part));
        self.phase = old.phase;
        self.wall = old.wall;
        self.next_script = old.next_script;
        self.lateness = old.lateness;
        std::mem::swap(&mut self.readings, &mut old.readings);
        self.readings.keep(part);
        self.adopt_processes(&old.part);
        std::mem::swap(&mut self.facts, &mut old.facts);
        std::mem::swap(&mut self.listeners, &mut old.listeners);
        std::mem::swap(&mut self.links, &mut old.links);
        std::mem::swap(&mut self.firewall, &mut old.firewall);
        std::mem::swap(&mut self.pacer, &mut old.pacer);
        self.adopt_scripts(&old, now, out);
        self.adopt_groups(&old);
        self.rebuild_index();
        if self.phase == Phase::Waiting {
            return;
        }
        let map = self.match_instances(&old);
        self.pacer.set_plan(Plan::of(part), &self.facts);
        self.pacer.keep(|instance| map.get(&instance).copied());
        self.retire(&mut old, &map, now, out);
        // All removals come before all additions, so that an address can move between instances.
        for (from, to) in sorted(&map) {
            let mut run = old.runs[from].clone();
            let (before, after) = (&old.part.instances[from], &self.part.instances[to]);
            let gone = run.held.carry_over(objects(before), objects(after));
            for object in &gone {
                let what = match object {
                    Owned::Address(vip) => format!("ip address {}", vip.address),
                    other => other.to_string(),
                };
                let text = format!("({}) {what}, no longer exist", after.name);
                out.push(Action::Log { detail: Detail::Normal, text });
            }
            remove(Owner::Instance(to), gone, out);
            self.runs[to] = run;
        }
        self.adopt_links(out);
        self.make_links(now, out);
        self.statics = std::mem::take(&mut old.statics);
        let (before, after) = (static_objects(&old.part.statics), static_objects(&self.part.statics));
        remove(Owner::Static, self.statics.carry_over(before, after), out);
        for i in 0..self.runs.len() {
            self.assess(i, now, out);
            self.share_source(i, out);
        }
        for (from, to) in sorted(&map) {
            let before = (&old.part.instances[from], &old.runs[from]);
            self.go_on(before, to, now, out);
        }
        self.update_listeners(out);
        self.promote_secondaries(&old.part, out);
        for i in 0..self.runs.len() {
            if self.runs[i].state == VrrpState::Init {
                self.log_initial_fault(i, out);
            }
            self.settle(i, now, "the configuration was reloaded", out);
        }
        self.unmix_groups(now, out);
        self.update_firewall(out);
        self.adopt_sync(&old.part, &old.sync, out);
        self.follow_sync(out);
        self.add_statics(out);
        for (s, script) in self.scripts.iter_mut().enumerate() {
            script.tick(&self.part.scripts[s], &mut self.next_script, now, out);
        }
        if self.part.global.fifos.states_on_reload {
            self.tell_states(out);
        }
        self.alarms.rebuild(&self.runs);
    }

    /// All states, for readers of FIFOs that were told to begin anew. Stock leaves out instances that stay MASTER.
    fn tell_states(&self, out: &mut Actions) {
        for (config, run) in self.part.instances.iter().zip(&self.runs) {
            if let Some(word) = notify::word(run.state) {
                notify::stands(Subject::Instance(config.name.clone()), word, run.effective, out);
            }
        }
        for (config, run) in self.part.sync_groups.iter().zip(&self.groups) {
            if let Some(word) = notify::word(run.state) {
                notify::stands(Subject::Group(config.name.clone()), word, 0, out);
            }
        }
    }

    fn adopt_scripts(&mut self, old: &Self, now: Time, out: &mut Actions) {
        for (script, run) in self.part.scripts.iter().zip(&mut self.scripts) {
            *run = ScriptRun::new(script, now);
        }
        for (before, run) in old.part.scripts.iter().zip(&old.scripts) {
            let mut scripts = self.part.scripts.iter();
            let found = scripts.position(|new| new.name == before.name && new.command == before.command);
            let Some(s) = found else {
                out.extend(run.running().map(|id| Action::KillScript { id }));
                continue;
            };
            self.scripts[s] = run.clone();
            self.scripts[s].reconfigure(before, &self.part.scripts[s], out);
        }
    }

    fn adopt_groups(&mut self, old: &Self) {
        for (before, run) in old.part.sync_groups.iter().zip(&old.groups) {
            if let Some(g) = self.part.sync_groups.iter().position(|group| group.name == before.name) {
                self.groups[g].state = run.state;
            }
        }
    }

    /// Old index to new index.
    fn match_instances(&self, old: &Self) -> HashMap<usize, usize> {
        let instances = self.part.instances.iter().enumerate();
        let new: HashMap<IdentityRef<'_>, usize> =
            instances.map(|(i, instance)| (IdentityRef::of(instance), i)).collect();
        let matches = old.part.instances.iter().enumerate();
        matches.filter_map(|(i, instance)| Some((i, *new.get(&IdentityRef::of(instance))?))).collect()
    }

    /// Instances that are no more step down.
    fn retire(&self, old: &mut Self, map: &HashMap<usize, usize>, now: Time, out: &mut Actions) {
        // They send with the old configuration and the facts of now.
        old.facts = self.facts.clone();
        for i in (0..old.runs.len()).filter(|i| !map.contains_key(i)) {
            let word =
                if old.part.instances[i].notify_deleted { StateWord::Deleted } else { StateWord::Fault };
            let is_master = old.runs[i].state == VrrpState::Master;
            let mut machine = old.machine(i, now, out);
            if is_master {
                machine.send_zero();
                machine.remove_objects();
            }
            machine.notify(word, "no longer configured");
        }
    }

    /// What changes for an instance that goes on.
    fn go_on(&mut self, (before, run): (&Instance, &Run), i: usize, now: Time, out: &mut Actions) {
        let config = &self.part.instances[i];
        let is_told = contents(before) == contents(config) && run.effective == self.runs[i].effective;
        let interval_changed = before.advert_int != config.advert_int;
        let timer_changed = interval_changed || before.down_timer_adverts != config.down_timer_adverts;
        match self.runs[i].state {
            VrrpState::Master => {
                let is_new = self.runs[i].held.is_incomplete();
                let mut machine = self.machine(i, now, out);
                machine.run.master_advert_int = machine.config.advert_int;
                if !is_told {
                    machine.advertise_now();
                }
                if is_new {
                    machine.log_setting();
                    if machine.add_missing() {
                        let copies = machine.run.announce.begin(&machine.config.garp, now);
                        machine.announce(copies);
                    }
                }
            }
            VrrpState::Backup => {
                let mut machine = self.machine(i, now, out);
                if interval_changed
                    && (machine.config.version == VrrpVersion::V2 || machine.run.master.is_none())
                {
                    machine.run.master_advert_int = machine.config.advert_int;
                }
                if timer_changed {
                    machine.rearm_master_down();
                }
            }
            VrrpState::Init | VrrpState::Fault => self.runs[i].master_advert_int = config.advert_int,
        }
    }

    fn promote_secondaries(&self, old: &VrrpPart, out: &mut Actions) {
        let of = |part: &VrrpPart| -> BTreeSet<String> {
            let wanted = part.instances.iter().filter(|instance| instance.promote_secondaries);
            wanted.filter_map(|instance| instance.interface.clone()).collect()
        };
        let (before, after) = (of(old), of(&self.part));
        for (from, to, on) in [(&before, &after, false), (&after, &before, true)] {
            let changed = from.difference(to).cloned();
            out.extend(changed.map(|interface| Action::PromoteSecondaries { interface, on }));
        }
    }

    /// A group that a reload composed of a MASTER and others cannot stay so.
    fn unmix_groups(&mut self, now: Time, out: &mut Actions) {
        for g in 0..self.groups.len() {
            let members: Vec<usize> = self.members(g).collect();
            let is_master = |i: &usize| self.runs[*i].state == VrrpState::Master;
            if members.iter().all(is_master) {
                self.group_enters(g, VrrpState::Master, "the configuration was reloaded", out);
            } else if members.iter().any(is_master) {
                self.group_to_backup(members[0], Zero::Unsent, now, "the configuration was reloaded", out);
            }
        }
    }
}

fn remove(owner: Owner, objects: Vec<Owned>, out: &mut Actions) {
    if !objects.is_empty() {
        out.push(Action::Remove { owner, objects });
    }
}

/// In the order of the new configuration.
fn sorted(map: &HashMap<usize, usize>) -> Vec<(usize, usize)> {
    let mut pairs: Vec<_> = map.iter().map(|(from, to)| (*from, *to)).collect();
    pairs.sort_unstable_by_key(|(_, to)| *to);
    pairs
}
