//! A configuration becomes the running one: the first, that of a predecessor that died, or a changed one.
//!
//! What is the same before and after feels nothing: not its entries, not its checks, not even an attempt under way.
//! spec/ipvs-behaviour.md §3, §6, §7.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::alerts::Alerts;
use super::hosting::is_suspended;
use super::{Check, Director, Kernel, Orders, Owners, Server, Short};
use crate::check::schedule::{Beginning, Schedule, first_delay};
use crate::config::model::{VirtualServer, VirtualServerGroup};
use crate::config::schema::Hash;
use crate::lvs::arrangement::Arranged;
use crate::lvs::difference::{Extent, difference};
use crate::lvs::matching::{Identity, Origin, Search};
use crate::lvs::service::group_changes;
use crate::lvs::table::ServiceKey;
use crate::lvs::virtual_server::{self as core, Scope, VirtualServerHealth};
use crate::time::Time;

/// A configuration to run.
pub struct Settings {
    /// The virtual servers, each with its services.
    pub virtual_servers: Vec<Arranged>,
    /// Groups, to say what changed in them.
    pub groups: Vec<VirtualServerGroup>,
    /// `rs_init_notifies`.
    pub init_notifies: bool,
    /// `checker_log_all_failures`.
    pub log_all_failures: bool,
    /// `@keepalived-rs share_checks`.
    pub share_checks: bool,
    /// `no_checker_emails`: mails are about real servers, not about each of their checks.
    pub mail_changes_only: bool,
}

/// What a successor of this process needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    servers: Vec<ServerState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ServerState {
    identity: Identity,
    /// Address and port of each real server: the order may be another one when this is read.
    real_servers: Vec<(IpAddr, u16)>,
    health: core::State,
    /// Per real server and checker.
    has_run: Vec<Vec<bool>>,
}

/// What was before a reload; parts that stay are taken out.
struct Before {
    servers: Vec<Option<Server>>,
    checks: Vec<Option<Check>>,
}

impl Before {
    /// The configuration of the virtual server at that place, while it is there.
    fn config(&self, place: usize) -> Option<&VirtualServer> {
        self.servers.get(place)?.as_ref().map(|server| &**server.health.config())
    }
}

/// Where the checks of a virtual server come from.
enum Source {
    /// It is new: all begin so.
    New(Beginning),
    /// From a predecessor: which have run.
    Resumed(Vec<Vec<bool>>),
    /// It was there before.
    Kept { config: Arc<VirtualServer>, checks: Vec<usize>, origins: Vec<Origin> },
}

impl Director {
    /// Makes a configuration the running one: the first, a predecessor's (with its state), or another one (reload).
    /// `random` gives the random part of first delays.
    pub fn run(
        &mut self,
        settings: Settings,
        state: Option<State>,
        now: Time,
        random: &mut dyn FnMut() -> u32,
        kernel: &mut dyn Kernel,
        out: &mut Orders,
    ) {
        let owners = self.owners_in(&settings.virtual_servers);
        if !self.started {
            self.find(&owners, kernel, out);
        }
        let mut before = Before {
            servers: std::mem::take(&mut self.servers).into_iter().map(Some).collect(),
            checks: std::mem::take(&mut self.checks).into_iter().map(Some).collect(),
        };
        self.servers.reserve(settings.virtual_servers.len());
        self.checks.reserve(before.checks.len());
        self.leave(&mut before, &owners, &settings, kernel, out);
        self.timed.clear();
        let mut search = Search::default();

        let mut states: HashMap<Identity, ServerState> = state
            .map(|state| state.servers.into_iter().map(|server| (server.identity.clone(), server)).collect())
            .unwrap_or_default();
        let beginning = if self.started || !states.is_empty() { Beginning::Reload } else { Beginning::Start };
        let old_groups = std::mem::replace(&mut self.groups, settings.groups);
        self.owners = owners;
        self.log_all_failures = settings.log_all_failures;
        self.mail_changes_only = settings.mail_changes_only;
        self.alerts = Alerts::default();
        let mut activations = Vec::new();
        for Arranged { config, services } in settings.virtual_servers {
            let index = self.servers.len();
            let mut actions = Vec::new();
            let place = search.find(&config, before.servers.len(), |place| before.config(place));
            let there = place.and_then(|place| before.servers[place].take());
            let is_sound = !self.distrust && place.is_some_and(|place| !self.dirty.contains(&place));
            let there = match there {
                Some(server)
                    if is_sound
                        && *server.health.config() == config
                        && server.services == services
                        && group_changes(&config, &old_groups, &self.groups).is_empty() =>
                {
                    self.keep(server, &mut before.checks, now, random, out);
                    continue;
                }
                other => other,
            };
            let (health, source) = if let Some(Server { mut health, checks, .. }) = there {
                out.log.extend(group_changes(&config, &old_groups, &self.groups));
                let before = Arc::clone(health.config());
                let origins = health.reconfigure(config, &mut actions);
                (health, Source::Kept { config: before, checks, origins })
            } else if let Some(saved) = states.remove(&Identity::of(&config)) {
                let (mut health, mut has_run) = resumed(config, saved);
                // Checks that rest would not bring them back.
                if !self.distrust && !is_suspended(health.config(), &self.groups, &self.hosted) {
                    for absent in health.believe(&services, &self.table) {
                        out.log.push(format!(
                            "Service {} is not in the pool of VS {}: it waits for its checks",
                            health.real_server_label(absent),
                            health.label()
                        ));
                        has_run[absent].fill(true);
                    }
                }
                // The table is compared, but nobody is told anything.
                self.applies.push((index, Scope::Whole));
                (health, Source::Resumed(has_run))
            } else {
                let health = VirtualServerHealth::start(config, settings.init_notifies, &mut actions);
                (health, Source::New(beginning))
            };
            let reloaded = match &source {
                Source::Kept { origins, .. } => {
                    origins.iter().map(|origin| origin.real_server.is_some()).collect()
                }
                Source::New(_) | Source::Resumed(_) => Vec::new(),
            };
            let checks = Vec::new();
            let suspended = is_suspended(health.config(), &self.groups, &self.hosted);
            let place = self.servers.len();
            self.servers.push(Server { health, services, checks, reloaded, suspended });
            self.take_checks(&source, &mut before.checks, now, random, &mut activations, out);
            self.follow_hosting(place, now, random, out);
            self.carry(index, actions, out);
            self.tick(index, now, out);
        }
        for id in before.checks.into_iter().flatten().filter_map(|check| check.asked) {
            out.cancel.push(id.get());
        }
        self.asked = (self.checks.iter().enumerate())
            .filter_map(|(index, check)| check.asked.map(|id| (id.get(), index)))
            .collect();
        self.due = (self.checks.iter().enumerate())
            .filter_map(|(index, check)| check.schedule.deadline().map(|time| Reverse((time, index))))
            .collect();
        self.group_equals(settings.share_checks);
        self.ask_waiting(now, out);
        self.started = true;
        out.state_changed = true;
        self.dirty.clear();
        self.settle(now, kernel, out);
        out.log.append(&mut activations);
    }

    /// For a successor.
    pub fn state(&self) -> State {
        let server = |server: &Server| ServerState {
            identity: Identity::of(server.health.config()),
            real_servers: server
                .health
                .config()
                .real_servers
                .iter()
                .map(|rs| (rs.address, rs.port))
                .collect(),
            health: server.health.state().clone(),
            has_run: self
                .checks_of(server)
                .into_iter()
                .map(|checks| checks.into_iter().map(Schedule::has_run).collect())
                .collect(),
        };
        State { servers: self.servers.iter().map(server).collect() }
    }

    /// Whose each service of these is. Where all stay as and where they are, nothing is made anew.
    fn owners_in(&mut self, arranged: &[Arranged]) -> Owners {
        let is_in_place =
            |(server, arranged): (&Server, &Arranged)| Arc::ptr_eq(&server.services, &arranged.services);
        if arranged.len() == self.servers.len() && self.servers.iter().zip(arranged).all(is_in_place) {
            return std::mem::take(&mut self.owners);
        }
        let services = arranged.iter().map(|arranged| arranged.services.len()).sum();
        let mut owners = Owners::with_capacity_and_hasher(services, Hash::default());
        for (index, arranged) in arranged.iter().enumerate() {
            owners.extend(arranged.services.iter().map(|(key, _)| (*key, index)));
        }
        owners
    }

    /// Reads which of our services a predecessor, or somebody else, left in the kernel.
    fn find(&mut self, ours: &Owners, kernel: &mut dyn Kernel, out: &mut Orders) {
        let found = kernel.services().and_then(|there| {
            let ours: Vec<ServiceKey> = there.into_iter().filter(|key| ours.contains_key(key)).collect();
            kernel.read(&mut self.table, &ours)
        });
        if let Err(error) = found {
            out.log.push(error.to_string());
            self.distrust = true;
        }
    }

    /// What is gone leaves before anything new comes. A service that only gets another owner stays.
    fn leave(
        &mut self,
        before: &mut Before,
        owners: &Owners,
        settings: &Settings,
        kernel: &mut dyn Kernel,
        out: &mut Orders,
    ) {
        let wanted = &settings.virtual_servers;
        let mut search = Search::default();
        let mut commands = Vec::new();
        for (index, place) in before.servers.iter_mut().enumerate() {
            let Some(server) = place else { continue };
            let at = |place: usize| wanted.get(place).map(|arranged| &*arranged.config);
            let stays = search.find(server.health.config(), wanted.len(), at);
            let is_same = stays.is_some_and(|place| Arc::ptr_eq(&wanted[place].services, &server.services));
            let services = if is_same { &[][..] } else { &server.services };
            let gone = services.iter().map(|(key, _)| *key).filter(|key| !owners.contains_key(key));
            let gone: Vec<ServiceKey> = gone.collect();
            if !gone.is_empty() {
                let pool = server.health.pool([].into());
                difference(&self.table, &gone, &pool, Extent::Whole, &mut commands);
            }
            if stays.is_none() {
                let mut actions = Vec::new();
                server.health.remove(&mut actions);
                *place = None;
                self.carry(index, actions, out);
            }
        }
        self.send(&commands, kernel, out);
    }

    /// A virtual server that did not change at all: nothing is compared, its checks only move.
    fn keep(
        &mut self,
        mut server: Server,
        before: &mut [Option<Check>],
        now: Time,
        random: &mut dyn FnMut() -> u32,
        out: &mut Orders,
    ) {
        let place = self.servers.len();
        let config = Arc::clone(server.health.config());
        if server.reloaded.len() != config.real_servers.len() || server.reloaded.contains(&false) {
            server.reloaded = vec![true; config.real_servers.len()];
        }
        server.suspended = is_suspended(&config, &self.groups, &self.hosted);
        for (first, rs) in server.checks.iter_mut().zip(&config.real_servers) {
            let old = std::mem::replace(first, self.checks.len());
            let moved = before[old..old + rs.checkers.len()].iter_mut().filter_map(Option::take);
            self.checks.extend(moved.map(|check| Check { server: Short::new(place), cohort: None, ..check }));
        }
        self.servers.push(server);
        self.follow_hosting(place, now, random, out);
        self.tick(place, now, out);
    }

    /// Makes the checks of the virtual server that was pushed last.
    fn take_checks(
        &mut self,
        source: &Source,
        before: &mut [Option<Check>],
        now: Time,
        random: &mut dyn FnMut() -> u32,
        activations: &mut Vec<String>,
        out: &mut Orders,
    ) {
        let server_index = self.servers.len() - 1;
        let server = &mut self.servers[server_index];
        let config = Arc::clone(server.health.config());
        for (rs_index, rs) in config.real_servers.iter().enumerate() {
            server.checks.push(self.checks.len());
            for (checker_index, checker) in rs.checkers.iter().enumerate() {
                let failed = server.health.state().real_servers[rs_index].has_failed(checker_index);
                let mut check = Check {
                    server: Short::new(server_index),
                    real_server: Short::new(rs_index),
                    checker: Short::new(checker_index),
                    cohort: None,
                    asked: None,
                    schedule: Schedule::new(checker, Beginning::Reload, now),
                    remarked: Box::default(),
                };
                let mut begin = |beginning| {
                    let verb = if server.suspended { "Deactivating" } else { "Activating" };
                    activations.push(format!(
                        "{verb} healthchecker for service {} for VS {}",
                        server.health.real_server_name(rs_index),
                        server.health.label()
                    ));
                    Schedule::new(checker, beginning, now + first_delay(checker, random()))
                };
                match source {
                    Source::New(beginning) => check.schedule = begin(*beginning),
                    Source::Resumed(has_run) => {
                        let has_run = has_run[rs_index].get(checker_index).copied().unwrap_or(failed);
                        check.schedule = begin(Beginning::Resumed { up: !failed, has_run });
                    }
                    Source::Kept { config: old, checks, origins } => {
                        let origin = &origins[rs_index];
                        let there = origin.real_server.zip(origin.checkers[checker_index]);
                        let found = there.and_then(|(rs, checker)| before[checks[rs] + checker].take());
                        if let (Some((rs, index)), Some(known)) = (there, found) {
                            check.schedule = known.schedule;
                            check.asked = known.asked;
                            if old.real_servers[rs].checkers[index] != *checker {
                                out.cancel.extend(check.asked.take().map(NonZeroU64::get));
                                check.schedule.carry_over(checker, now + first_delay(checker, random()));
                            }
                        } else {
                            let has_run = failed && !checker.alpha;
                            check.schedule = begin(Beginning::Resumed { up: !failed, has_run });
                        }
                    }
                }
                let contributions = &server.health.state().real_servers[rs_index].contributions;
                let contribution = contributions.get(checker_index).copied().unwrap_or(0);
                check.schedule = check.schedule.with_contribution(contribution);
                self.checks.push(check);
            }
        }
    }
}

/// A virtual server as its predecessor left it, and which of its checks have run. Real servers are found by address and
/// port. One whose checkers are not as many as they were is down if any of them had failed.
fn resumed(config: Arc<VirtualServer>, saved: ServerState) -> (VirtualServerHealth, Vec<Vec<bool>>) {
    let mut known: HashMap<_, _> = saved
        .real_servers
        .into_iter()
        .zip(saved.health.real_servers.into_iter().zip(saved.has_run))
        .collect();
    let mut real_servers = Vec::new();
    let mut has_run = Vec::new();
    for rs in &config.real_servers {
        let checkers = rs.checkers.len();
        let (mut state, mut runs) = known.remove(&(rs.address, rs.port)).unwrap_or_else(|| {
            let fresh = core::RealServerState::with(rs.checkers.iter().map(|checker| checker.alpha));
            (fresh, vec![false; checkers])
        });
        if runs.len() != checkers {
            state.failed = vec![state.failed.contains(&true); checkers];
            runs = vec![true; checkers];
        }
        real_servers.push(state);
        has_run.push(runs);
    }
    let state = core::State { quorum_up: saved.health.quorum_up, real_servers };
    (VirtualServerHealth::resume(config, state), has_run)
}
