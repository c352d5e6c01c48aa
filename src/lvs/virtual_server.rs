//! The health of one virtual server: which real servers are alive, whether there is a quorum, who is in the pool.
//!
//! Pure. Results of checks go in, [`Action`]s come out; which IPVS commands an [`Action::Apply`] means is
//! [`super::difference`]'s business: this file says only what is wanted ([`VirtualServerHealth::pool`]).
//! spec/checkers.md §3-§5, spec/ipvs-behaviour.md §3-§7.
//!
//! Contract: actions are carried out in order. After [`Action::Apply`] the core waits for [`Event::Applied`] or
//! [`Event::Refused`]; other events that come before it are kept and handled after it. Indices are those of the
//! configuration; unknown ones are ignored.

use std::collections::VecDeque;
use std::sync::Arc;

use self::state::{carried, fresh};
use self::telling::Direction;
use crate::config::model::VirtualServer;
use crate::lvs::label::{self, RealServerName};
use crate::lvs::matching::{Origin, origins};
use crate::lvs::pooling::Pooling;
use crate::lvs::table::{DestinationSettings, Pool, ServiceKey, ServiceSettings, Wanted, WantedServer};
use crate::time::Time;

mod event; // what comes in and what goes out
mod state; // what is known of the real servers
mod telling; // log, notify scripts, mail

pub use event::{Action, Alert, Event, Scope};
pub use state::{RealServerSnapshot, RealServerState, Snapshot, State};

/// Largest weight the kernel takes and the quorum counts.
const MAX_WEIGHT: i64 = 2_147_483_647;

/// The state machine of one virtual server.
#[derive(Debug, Clone)]
pub struct VirtualServerHealth {
    pub(super) config: Arc<VirtualServer>,
    label: String,
    pub(super) state: State,
    pub(super) waiting: Option<Waiting>,
    queue: VecDeque<Event>,
    /// As of the last [`Self::tick`].
    pub(super) now: Time,
}

/// What the answer to the last [`Action::Apply`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Waiting {
    /// A real server went down or up because of this checker.
    Transition { real_server: usize, checker: usize },
    /// A weight changed.
    Weight,
    /// Start, reload, quorum: goes on whatever the answer is. These notifiers follow.
    Rest(Vec<Action>),
}

/// Why the quorum is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// A new virtual server.
    Start,
    /// A new configuration of a known one.
    Reload(Sorry),
    /// A change in operation.
    Running,
}

/// What a reload did to the sorry server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sorry {
    Same,
    Changed,
}

impl VirtualServerHealth {
    /// A virtual server at start: non-alpha real servers count as alive before any check has run.
    /// `init_notifies` is the global `rs_init_notifies`.
    pub fn start(config: Arc<VirtualServer>, init_notifies: bool, out: &mut Vec<Action>) -> Self {
        let real_servers = config.real_servers.iter().map(fresh).collect();
        let state = State { quorum_up: false, real_servers };
        let mut health = Self::resume(config, state);
        let mut notifiers = Vec::new();
        if init_notifies {
            for index in 0..health.config.real_servers.len() {
                if health.state.real_servers[index].alive() {
                    health.notify_real_server(index, Direction::Up, &mut notifiers);
                }
            }
        }
        health.evaluate(Occasion::Start, out, &mut notifiers);
        health.apply(Scope::Whole, Waiting::Rest(notifiers), out);
        out.push(Action::StateChanged);
        health
    }

    /// The successor of a process that died: nothing is notified or logged. The driver compares the kernel's table
    /// with [`Self::pool`] on its own.
    pub fn resume(config: Arc<VirtualServer>, mut state: State) -> Self {
        let label = label::virtual_server(&config);
        state.real_servers.truncate(config.real_servers.len());
        for (index, rs) in config.real_servers.iter().enumerate() {
            match state.real_servers.get_mut(index) {
                None => state.real_servers.push(fresh(rs)),
                Some(known) => {
                    known.failed.truncate(rs.checkers.len());
                    known.contributions.truncate(rs.checkers.len());
                }
            }
        }
        Self { config, label, state, waiting: None, queue: VecDeque::new(), now: Time::ZERO }
    }

    /// Takes one event.
    pub fn handle(&mut self, event: Event, out: &mut Vec<Action>) {
        match (event, self.waiting.is_some()) {
            (Event::Applied | Event::Refused, false) => {}
            (Event::Applied, true) => self.answered(true, out),
            (Event::Refused, true) => self.answered(false, out),
            (_, true) => self.queue.push_back(event),
            (_, false) => self.now(event, out),
        }
        while self.waiting.is_none() {
            let Some(event) = self.queue.pop_front() else { break };
            self.now(event, out);
        }
    }

    /// Takes over a new configuration of the same virtual server, and says which real server and checker became which.
    /// The driver calls it only when no [`Action::Apply`] is open. An [`Action::Apply`] of the whole follows.
    pub fn reconfigure(&mut self, config: Arc<VirtualServer>, out: &mut Vec<Action>) -> Vec<Origin> {
        self.waiting = None;
        self.queue.clear();
        let origins = origins(&self.config, &config);
        let mut notifiers = Vec::new();

        let mut kept = vec![false; self.config.real_servers.len()];
        for index in origins.iter().filter_map(|origin| origin.real_server) {
            kept[index] = true;
        }
        for index in (0..kept.len()).filter(|index| !kept[*index]) {
            out.push(Action::Log(format!("service {} no longer exist", self.real_server_label(index))));
            self.log_removal(index, out);
            if self.state.real_servers[index].alive() {
                self.notify_real_server(index, Direction::Down, &mut notifiers);
                self.mail_real_server(index, Direction::Down, "Removing", &mut notifiers);
            }
        }

        let old_sorry = self.config.sorry_server.clone();
        let old_sorry_label = self.sorry_label();
        let was_active = self.sorry_active();
        let old = std::mem::replace(&mut self.config, config);
        let old_state = std::mem::take(&mut self.state.real_servers);
        for (origin, rs) in origins.iter().zip(&self.config.real_servers) {
            self.state.real_servers.push(match origin.real_server {
                None => fresh(rs),
                Some(index) => carried(&old_state[index], origin, rs),
            });
        }
        for (index, origin) in origins.iter().enumerate() {
            let Some(before) = origin.real_server else { continue };
            let (from, to) = (old.real_servers[before].weight, self.config.real_servers[index].weight);
            if from != to {
                self.log_weight(index, i64::from(from), i64::from(to), out);
            }
            // Nothing is left that says it is down.
            if !old_state[before].alive() && self.state.real_servers[index].alive() {
                self.log_transition(index, Direction::Up, out);
                self.notify_real_server(index, Direction::Up, &mut notifiers);
            }
        }

        let same_sorry = match (&old_sorry, &self.config.sorry_server) {
            (Some(old), Some(new)) => (old.address, old.port) == (new.address, new.port),
            (None, None) => true,
            _ => false,
        };
        if was_active && !same_sorry && old_sorry.is_some() {
            out.push(Action::Log(format!("Removing sorry server {old_sorry_label} from VS {}", self.label)));
        }
        self.release_held(out);
        let sorry = if same_sorry { Sorry::Same } else { Sorry::Changed };
        self.evaluate(Occasion::Reload(sorry), out, &mut notifiers);
        self.apply(Scope::Whole, Waiting::Rest(notifiers), out);
        out.push(Action::StateChanged);
        origins
    }

    /// The virtual server is no longer configured: its down notifiers run. The driver removes its services.
    pub fn remove(&mut self, out: &mut Vec<Action>) {
        out.push(Action::Log(format!("Removing Virtual Server {}", self.label)));
        for index in 0..self.config.real_servers.len() {
            self.log_removal(index, out);
        }
        self.notify_end("Removing", out);
    }

    /// The daemon stops: down notifiers run only with `omega`. The driver removes the services, or not.
    pub fn stop(&mut self, out: &mut Vec<Action>) {
        for (index, rs) in self.config.real_servers.iter().enumerate() {
            let inhibited = rs.inhibit_on_failure && !self.state.real_servers[index].alive();
            out.push(Action::Log(format!(
                "Shutting down service {}{} from VS {}",
                self.real_server_label(index),
                if inhibited { " (inhibited)" } else { "" },
                self.label
            )));
        }
        if self.config.omega {
            self.notify_end("Shutting down", out);
        }
    }

    /// Who should be in the kernel's table, in these services.
    pub fn pool(&self, services: Arc<[(ServiceKey, ServiceSettings)]>) -> Pool {
        let real_servers = (0..self.config.real_servers.len()).map(|i| self.wanted(i)).collect();
        Pool { services, real_servers, sorry_server: self.wanted_sorry_server() }
    }

    /// The part of [`Self::pool`] that one real server is; none if there is no such.
    pub fn pool_of(&self, index: usize, services: Arc<[(ServiceKey, ServiceSettings)]>) -> Pool {
        let real_servers =
            if index < self.config.real_servers.len() { vec![self.wanted(index)] } else { Vec::new() };
        Pool { services, real_servers, sorry_server: None }
    }

    /// For a successor.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The configuration it works by.
    pub fn config(&self) -> &Arc<VirtualServer> {
        &self.config
    }

    /// How logs name it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How logs name one of its real servers.
    pub fn real_server_label(&self, index: usize) -> String {
        self.real_server_name(index).to_string()
    }

    /// The same, not yet written.
    pub fn real_server_name(&self, index: usize) -> RealServerName {
        let rs = &self.config.real_servers[index];
        RealServerName { protocol: self.config.protocol, address: rs.address, port: rs.port }
    }

    /// For reports.
    pub fn snapshot(&self) -> Snapshot {
        let real_servers = self
            .state
            .real_servers
            .iter()
            .enumerate()
            .map(|(index, rs)| RealServerSnapshot {
                alive: rs.alive(),
                set: self.wanted(index).settings.is_some(),
                failed_checkers: rs.failed.iter().filter(|failed| **failed).count(),
                effective_weight: self.effective_weight(index),
                pool_weight: self.pool_weight(index),
                pooling: *rs.pooling,
                contributions: (0..self.config.real_servers[index].checkers.len())
                    .map(|checker| rs.contribution(checker))
                    .collect(),
            })
            .collect();
        Snapshot { quorum_up: self.state.quorum_up, sorry_active: self.sorry_active(), real_servers }
    }

    /// An event while nothing is open.
    fn now(&mut self, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::CheckerDown { real_server, checker } => {
                let Some(rs) = self.state.real_servers.get_mut(real_server) else { return };
                let was_alive = rs.alive();
                if checker >= self.config.real_servers[real_server].checkers.len() || !rs.note(checker, true)
                {
                    return;
                }
                if was_alive {
                    if !self.hold(real_server, out) {
                        self.log_transition(real_server, Direction::Down, out);
                    }
                    let waiting = Waiting::Transition { real_server, checker };
                    self.apply(Scope::RealServer(real_server), waiting, out);
                } else {
                    out.push(Action::StateChanged);
                }
            }
            Event::CheckerUp { real_server, checker } => {
                let Some(rs) = self.state.real_servers.get_mut(real_server) else { return };
                if !rs.note(checker, false) {
                    return;
                }
                if rs.alive() {
                    if rs.pooling.held.is_none() {
                        self.log_transition(real_server, Direction::Up, out);
                    }
                    self.came_back(real_server);
                    let waiting = Waiting::Transition { real_server, checker };
                    self.apply(Scope::RealServer(real_server), waiting, out);
                } else {
                    out.push(Action::StateChanged);
                }
            }
            Event::StillDown { real_server } => {
                let Some(rs) = self.state.real_servers.get_mut(real_server) else { return };
                if !rs.alive() && !std::mem::replace(&mut rs.told_down, true) {
                    self.notify_real_server(real_server, Direction::Down, out);
                    out.push(Action::StateChanged);
                }
            }
            Event::Contribution { real_server, checker, weight } => {
                let Some(rs) = self.config.real_servers.get(real_server) else { return };
                if checker >= rs.checkers.len() {
                    return;
                }
                let before = self.effective_weight(real_server);
                self.state.real_servers[real_server].contribute(checker, weight);
                let after = self.effective_weight(real_server);
                if before != after {
                    self.log_weight(real_server, before, after, out);
                    out.push(Action::StateChanged);
                }
                if clamped(before) != clamped(after) {
                    self.apply(Scope::RealServer(real_server), Waiting::Weight, out);
                }
            }
            Event::Drain { real_server, until } => self.drain(real_server, until, out),
            Event::Undrain { real_server } => self.undrain(real_server, out),
            Event::Applied | Event::Refused => {}
        }
    }

    /// The answer to the open [`Action::Apply`].
    fn answered(&mut self, applied: bool, out: &mut Vec<Action>) {
        match self.waiting.take() {
            Some(Waiting::Transition { real_server, .. }) if applied => {
                let alive = self.state.real_servers[real_server].alive();
                let direction = if alive { Direction::Up } else { Direction::Down };
                self.state.real_servers[real_server].told_down = !alive;
                self.notify_real_server(real_server, direction, out);
                out.push(Action::StateChanged);
                self.evaluate_and_apply(out);
            }
            Some(Waiting::Transition { real_server, checker }) => {
                let rs = &mut self.state.real_servers[real_server];
                rs.note(checker, !rs.has_failed(checker));
                rs.pooling = Pooling { ramp: None, held: None, ..*rs.pooling }.into();
                out.push(Action::Undo { real_server, checker });
            }
            Some(Waiting::Weight) => drop(self.evaluate_and_apply(out)),
            Some(Waiting::Rest(notifiers)) => out.extend(notifiers),
            None => {}
        }
    }

    pub(super) fn apply(&mut self, scope: Scope, waiting: Waiting, out: &mut Vec<Action>) {
        self.waiting = Some(waiting);
        out.push(Action::Apply(scope));
    }

    /// In operation: the quorum decides who is in the pool only when there is a sorry server.
    /// Says whether the whole pool is applied.
    pub(super) fn evaluate_and_apply(&mut self, out: &mut Vec<Action>) -> bool {
        let released = self.release_held(out);
        let mut notifiers = Vec::new();
        let changed = self.evaluate(Occasion::Running, out, &mut notifiers);
        if changed || released {
            out.push(Action::StateChanged);
        }
        let whole = released || changed && self.config.sorry_server.is_some();
        if whole {
            self.apply(Scope::Whole, Waiting::Rest(notifiers), out);
        } else {
            out.append(&mut notifiers);
        }
        whole
    }

    /// Looks at the quorum; true if its state changed or the sorry server comes into service.
    fn evaluate(&mut self, occasion: Occasion, out: &mut Vec<Action>, notifiers: &mut Vec<Action>) -> bool {
        let sum = self.sum();
        let (quorum, hysteresis) = (self.config.quorum, self.config.hysteresis);
        let lose_below = i64::from(quorum) - i64::from(hysteresis);
        // Stock: a mail names the threshold of gaining also when the quorum is lost.
        let mailed = format!("{quorum}+{hysteresis}={} <= {sum}", self.gain_at());
        // A pool of weight 0 serves nobody. Stock: such a quorum gets a hysteresis that cannot be reached.
        if !self.state.quorum_up && sum > 0 && sum >= self.gain_at() {
            out.push(Action::Log(format!("Gained quorum {mailed} for VS {}", self.label)));
            let was_active = matches!(occasion, Occasion::Running | Occasion::Reload(Sorry::Same));
            if self.config.sorry_server.is_some() && was_active {
                self.log_sorry(Direction::Down, out);
                out.push(Action::Log(format!("Adding alive servers to the pool for VS {}", self.label)));
            }
            self.state.quorum_up = true;
            self.notify_quorum(Direction::Up, notifiers);
            let what = match occasion {
                Occasion::Start => "Starting with quorum up",
                Occasion::Running | Occasion::Reload(_) => "Gained quorum",
            };
            self.mail_quorum(Direction::Up, format!("{what} {mailed}"), notifiers);
            return true;
        }
        let lost = self.state.quorum_up && self.is_quorum_lost();
        let sorry = self.config.sorry_server.is_some();
        let new_sorry = matches!(occasion, Occasion::Start | Occasion::Reload(Sorry::Changed));
        let begins_down = !self.state.quorum_up && new_sorry && sorry;
        if lost || begins_down {
            let what = match occasion {
                Occasion::Running => "Lost quorum",
                Occasion::Start | Occasion::Reload(_) => "Starting with quorum down",
            };
            out.push(Action::Log(format!(
                "{what} {quorum}-{hysteresis}={lose_below} > {sum} for VS {}",
                self.label
            )));
            if sorry {
                self.log_sorry(Direction::Up, out);
                if lost {
                    out.push(Action::Log(format!(
                        "Removing alive servers from the pool for VS {}",
                        self.label
                    )));
                }
            }
            self.state.quorum_up = false;
            self.notify_quorum(Direction::Down, notifiers);
            self.mail_quorum(Direction::Down, format!("{what} {mailed}"), notifiers);
            return true;
        }
        false
    }

    /// The weight that is alive.
    fn sum(&self) -> i64 {
        (0..self.state.real_servers.len())
            .filter(|index| {
                let rs = &self.state.real_servers[*index];
                rs.alive() && rs.pooling.drain.is_none()
            })
            .map(|index| i64::from(clamped(self.effective_weight(index))))
            .sum()
    }

    /// Is less alive than keeps a quorum?
    pub(super) fn is_quorum_lost(&self) -> bool {
        let sum = self.sum();
        sum == 0 || sum < i64::from(self.config.quorum) - i64::from(self.config.hysteresis)
    }

    fn gain_at(&self) -> i64 {
        i64::from(self.config.quorum) + i64::from(self.config.hysteresis)
    }

    pub(super) fn effective_weight(&self, index: usize) -> i64 {
        let contributions = &self.state.real_servers[index].contributions;
        contributions
            .iter()
            .fold(i64::from(self.config.real_servers[index].weight), |sum, it| sum.saturating_add(*it))
    }

    fn sorry_active(&self) -> bool {
        !self.state.quorum_up && self.config.sorry_server.is_some()
    }

    /// The real server that the sorry server is, too.
    fn sorry_is(&self, index: usize) -> bool {
        let rs = &self.config.real_servers[index];
        self.config
            .sorry_server
            .as_ref()
            .is_some_and(|sorry| (sorry.address, sorry.port) == (rs.address, rs.port))
    }

    pub(super) fn wanted(&self, index: usize) -> Wanted {
        let rs = &self.config.real_servers[index];
        let in_service = self.is_pooled(index) && !self.sorry_active();
        let weight = if self.sorry_active() && self.sorry_is(index) {
            Some(1)
        } else if in_service {
            Some(self.pool_weight(index))
        } else {
            rs.inhibit_on_failure.then_some(0)
        };
        Wanted {
            real_server: WantedServer {
                address: rs.address,
                port: rs.port,
                own_port: rs.method == crate::config::model::ForwardingMethod::Nat,
            },
            settings: weight.map(|weight| DestinationSettings {
                method: Some(rs.method),
                weight,
                upper_threshold: rs.upper_threshold,
                lower_threshold: rs.lower_threshold,
            }),
        }
    }

    fn wanted_sorry_server(&self) -> Option<Wanted> {
        let sorry = self.config.sorry_server.as_ref()?;
        if (0..self.config.real_servers.len()).any(|index| self.sorry_is(index)) {
            return None;
        }
        let weight = if self.sorry_active() { Some(1) } else { sorry.inhibit.then_some(0) };
        Some(Wanted {
            real_server: WantedServer {
                address: sorry.address,
                port: sorry.port,
                own_port: sorry.method == crate::config::model::ForwardingMethod::Nat,
            },
            settings: weight.map(|weight| DestinationSettings {
                method: Some(sorry.method),
                weight,
                upper_threshold: 0,
                lower_threshold: 0,
            }),
        })
    }
}

/// What is sent to the kernel and counted.
pub(super) fn clamped(weight: i64) -> u32 {
    u32::try_from(weight.clamp(0, MAX_WEIGHT)).unwrap_or(0)
}

#[cfg(test)]
mod reload_tests;

#[cfg(test)]
#[path = "virtual_server_tests.rs"]
pub(crate) mod tests;
