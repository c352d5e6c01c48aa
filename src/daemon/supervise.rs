//! The children: started, asked, agreed with, respawned, stopped. The parent's loop awaits [`Supervisor::next`].
//!
//! A configuration becomes the running one in two phases, at start as at reload: all children *prepare*; only when all
//! agree are they told to *commit*, otherwise nothing has changed anywhere (docs/design.md). A respawned child goes
//! through the same two messages alone, with the state its predecessor last reported.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::Instant;

use super::child::{Assignment, Role};
use super::exit::Exit;
use super::ipc::{Dump, FromChild, Reading, Reported, ToChild, ToReporter};
use super::kept::{Counts, Kept};
use super::packed::PackedCheckers;
use super::reporter_seat::Reporter;
use super::slot::{Birth, CLOSED_LIMIT, Prober, Seat, Slot, SlotEvent, until};
use crate::config::model::{BfdPart, Config, ScriptEnd, VrrpPart};
use crate::kernel::memory;
use crate::report::event::ReporterEvent;

mod attendants; // the prober and the reporter
mod happening; // what the parent is told

pub use happening::{Cause, Happening};

/// How long the children may think about a configuration.
const PREPARE_LIMIT: Duration = Duration::from_secs(30);

/// From a new configuration until the children have told their states, mostly.
const TIDY_PAUSE: Duration = Duration::from_secs(4);

/// The children that have a channel to the parent, in stock's order of starting them.
const SEATED: [Role; 3] = [Role::Checkers, Role::Vrrp, Role::Bfd];

/// What holds for all children as long as the daemon runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Run a vrrp process (not `-C`).
    pub vrrp: bool,
    /// Run a checkers process (not `-P`).
    pub checkers: bool,
    /// Run a bfd process (not `-B`).
    pub bfd: bool,
    /// Start lost children again (not `-R`).
    pub respawn: bool,
    /// Start all even if they have nothing to do (`--all`).
    pub all: bool,
    /// Suffix of their syslog idents.
    pub instance: Option<String>,
    /// Pid file of the vrrp process.
    pub vrrp_pid: PathBuf,
    /// Pid file of the checkers process.
    pub checkers_pid: PathBuf,
    /// Pid file of the bfd process.
    pub bfd_pid: PathBuf,
}

/// All children and the configuration they run.
pub struct Supervisor {
    options: Options,
    vrrp: Slot<VrrpPart>,
    checkers: Slot<PackedCheckers>,
    bfd: Slot<BfdPart>,
    prober: Prober,
    reporter: Reporter,
    /// What the bfd process last said of each session.
    sessions: BTreeMap<String, bool>,
    generation: u64,
    running: Kept,
    transaction: Option<Transaction>,
    happenings: Vec<Happening>,
    /// Set by `stop`: when patience ends.
    stopping: Option<Instant>,
    /// When memory that is not used any more is given back.
    tidy_at: Option<Instant>,
    /// A configuration has become the running one.
    started: bool,
}

/// A configuration on its way to become the running one.
pub(super) struct Transaction {
    pub(super) generation: u64,
    config: Arc<Config>,
    phase: Phase,
    /// Who has not answered in this phase.
    pub(super) pending: Vec<Role>,
    /// Children that exist only for this configuration.
    pub(super) new: Vec<Role>,
    plan: Vec<String>,
    deadline: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Preparing,
    Committing,
}

impl Supervisor {
    /// No children yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            vrrp: Slot::new(Role::Vrrp),
            checkers: Slot::new(Role::Checkers),
            bfd: Slot::new(Role::Bfd),
            prober: Prober::default(),
            reporter: Reporter::default(),
            sessions: BTreeMap::new(),
            generation: 0,
            running: Kept::whole_of(Arc::default()),
            transaction: None,
            happenings: Vec::new(),
            stopping: None,
            tidy_at: None,
            started: false,
        }
    }

    /// Of the configuration that runs `global_defs` and the BFD sessions; the rest may be missing.
    pub fn running(&self) -> &Config {
        self.running.outline()
    }

    /// What the configuration that runs has, in numbers.
    pub fn counts(&self) -> Counts {
        self.running.counts()
    }

    /// Is a proposed configuration still under way?
    pub fn is_busy(&self) -> bool {
        self.transaction.is_some()
    }

    /// Does any child process run?
    pub fn has_children(&self) -> bool {
        SEATED.into_iter().any(|role| self.is_alive(role))
    }

    /// Proposes a configuration to the children, starting those it newly needs. The answer is a [`Happening::Committed`]
    /// or [`Happening::Refused`]. Must not be called while [`Supervisor::is_busy`].
    pub fn propose(&mut self, config: Config) {
        self.generation += 1;
        let config = Arc::new(config);
        let generation = self.generation;
        let mut transaction = Transaction {
            generation,
            config: Arc::clone(&config),
            phase: Phase::Preparing,
            pending: Vec::new(),
            new: Vec::new(),
            plan: Vec::new(),
            deadline: Instant::now() + PREPARE_LIMIT,
        };
        for role in SEATED {
            let runs = match role {
                Role::Vrrp => self.options.vrrp,
                Role::Checkers => self.options.checkers,
                Role::Bfd | Role::Prober | Role::Reporter => self.options.bfd,
            };
            if runs {
                let assignment = self.assignment(role, &config);
                let birth = Birth { assignment: &assignment, always: self.options.all };
                let mut happenings = std::mem::take(&mut self.happenings);
                if let Some(seat) = self.seat(role) {
                    seat.offer(&config, &mut transaction, &mut happenings, &birth);
                }
                self.happenings = happenings;
            }
        }
        self.transaction = Some(transaction);
        self.advance();
    }

    /// The place of a child that has a channel to the parent; the prober has none.
    fn seat(&mut self, role: Role) -> Option<&mut dyn Seat> {
        match role {
            Role::Vrrp => Some(&mut self.vrrp),
            Role::Checkers => Some(&mut self.checkers),
            Role::Bfd => Some(&mut self.bfd),
            Role::Prober | Role::Reporter => None,
        }
    }

    fn is_alive(&self, role: Role) -> bool {
        match role {
            Role::Vrrp => self.vrrp.is_alive(),
            Role::Checkers => self.checkers.is_alive(),
            Role::Bfd => self.bfd.is_alive(),
            Role::Prober => self.prober.process.is_some(),
            Role::Reporter => self.reporter.is_alive(),
        }
    }

    /// What a new child of this role is told at birth.
    fn assignment(&self, role: Role, config: &Config) -> Assignment {
        let names = &config.global.process_names;
        let (pid_file, name) = match role {
            Role::Vrrp => (Some(self.options.vrrp_pid.clone()), &names.vrrp),
            Role::Checkers => (Some(self.options.checkers_pid.clone()), &names.checkers),
            Role::Bfd => (Some(self.options.bfd_pid.clone()), &names.bfd),
            Role::Prober => (None, &names.checkers),
            Role::Reporter => (None, &names.parent),
        };
        let instance = self.options.instance.clone();
        // The descriptor is known when the connection is made.
        Assignment { role, descriptor: -1, instance, pid_file, name: name.clone() }
    }

    /// Tells a child how its script ended.
    pub fn script_ended(&mut self, role: Role, id: u64, end: ScriptEnd) {
        if let Some(seat) = self.seat(role) {
            seat.script_ended(id, end);
        }
    }

    /// Tells the vrrp process which scripts of its predecessor still run.
    pub fn scripts_running(&mut self, ids: Vec<u64>) {
        self.vrrp.say(&ToChild::ScriptsRunning(ids));
    }

    /// Tells those who may track something what was found out of it.
    pub fn reading(&mut self, reading: Reading) {
        let (vrrp, checkers) = match &reading {
            Reading::File { .. } => (true, true),
            Reading::Processes { .. } | Reading::Link { .. } => (true, false),
            Reading::Bfd { name, .. } => self
                .running
                .outline()
                .bfd_instances
                .iter()
                .find(|instance| instance.name == *name)
                .map_or((false, false), |instance| (instance.tells_vrrp, instance.tells_checkers)),
        };
        if checkers {
            self.checkers.say(&ToChild::Reading(reading.clone()));
        }
        if vrrp {
            self.vrrp.say(&ToChild::Reading(reading));
        }
    }

    /// A BFD session came up or went down.
    pub fn session(&mut self, name: String, up: bool) {
        self.sessions.insert(name.clone(), up);
        self.reading(Reading::Bfd { name, up });
    }

    /// What is known of the BFD sessions, for who begins to track them.
    pub fn sessions(&self) -> Vec<Reading> {
        let known = |(name, up): (&String, &bool)| Reading::Bfd { name: name.clone(), up: *up };
        self.sessions.iter().map(known).collect()
    }

    /// Asks the children to write a dump.
    pub fn dump(&mut self, dump: Dump) {
        self.vrrp.dump(dump);
        if dump == Dump::Data {
            self.checkers.dump(dump);
            self.bfd.dump(dump);
        }
    }

    /// Asks all children to release what they hold and end; after `limit` they are killed. [`Happening::Stopped`]
    /// follows; what they ask for until then (stop notifications) still comes.
    pub fn stop(&mut self, limit: Duration) {
        if self.stopping.is_none() {
            self.stopping = Some(Instant::now() + limit);
            self.transaction = None;
            // What a lost process held is released by its successor, which need not wait for its turn any more.
            for role in SEATED {
                if self.seat(role).is_some_and(|seat| seat.is_due()) {
                    self.respawn(role);
                    self.commit(role, self.generation_of_running());
                }
            }
            self.vrrp.stop();
            self.checkers.stop();
            self.bfd.stop();
            self.prober.due = None;
        }
    }

    /// The next thing the parent must know. Cancel-safe, as in `select!`.
    pub async fn next(&mut self) -> Happening {
        loop {
            if !self.happenings.is_empty() {
                return self.happenings.remove(0);
            }
            if self.stopping.is_some() && !self.has_children() && self.prober.process.is_none() {
                // The last to end: it tells of the ends of the others.
                if !self.reporter.end() {
                    return Happening::Stopped;
                }
            }
            let tidy_at = self.tidy_at;
            let deadline = self.stopping.or(self.transaction.as_ref().map(|t| t.deadline));
            tokio::select! {
                event = self.vrrp.next() => self.heard(Role::Vrrp, event),
                event = self.checkers.next() => self.heard(Role::Checkers, event),
                event = self.bfd.next() => self.heard(Role::Bfd, event),
                event = self.prober.next() => self.prober_event(&event),
                event = self.reporter.next() => self.reporter_event(event),
                () = until(deadline) => self.overdue(),
                () = until(tidy_at) => self.tidy(),
            }
        }
    }

    fn heard(&mut self, role: Role, event: SlotEvent) {
        match event {
            SlotEvent::Said(message) => self.said(role, message),
            SlotEvent::Ended { pid, status, signal } => self.ended(role, pid, status, signal),
            SlotEvent::RespawnDue => self.respawn(role),
        }
    }

    fn said(&mut self, role: Role, message: FromChild) {
        match message {
            FromChild::Prepared { generation, plan } => {
                if let Some(transaction) = self.transaction.as_mut().filter(|t| t.generation == generation)
                    && transaction.answered(role)
                {
                    transaction.plan.extend(plan);
                    self.advance();
                } else if self.is_alone(role, generation) {
                    self.commit(role, generation);
                }
            }
            FromChild::Refused { generation, reasons } => {
                let reasons: Vec<_> = reasons.into_iter().map(|reason| (role, reason)).collect();
                if self
                    .transaction
                    .as_ref()
                    .is_some_and(|t| t.generation == generation && t.pending.contains(&role))
                {
                    self.abort(reasons, Cause::Answer);
                } else if self.is_alone(role, generation) {
                    for (role, reason) in reasons {
                        tracing::info!(
                            "{} process cannot take up the running configuration: {reason}",
                            role.title()
                        );
                    }
                    self.kill(role);
                }
            }
            FromChild::Committed { generation } => {
                if let Some(seat) = self.seat(role) {
                    seat.committed();
                }
                if self
                    .transaction
                    .as_mut()
                    .filter(|t| t.generation == generation)
                    .is_some_and(|t| t.answered(role))
                {
                    self.advance();
                }
            }
            FromChild::State(state) => {
                if let Some(seat) = self.seat(role) {
                    seat.remember(state);
                }
            }
            FromChild::Report(event) => self.reported(role, event),
            FromChild::Reports(events) => events.into_iter().for_each(|event| self.reported(role, event)),
            FromChild::Snapshot(bytes) => {
                let of = if role == Role::Vrrp { Reported::Vrrp } else { Reported::Checkers };
                self.reporter.say(&ToReporter::Snapshot { of, bytes });
            }
            // The end of the process is what counts.
            FromChild::Stopped => {}
            message => self.happenings.push(Happening::Asked { role, message }),
        }
    }

    fn reported(&mut self, role: Role, event: ReporterEvent) {
        self.reporter.say(&ToReporter::Event(event.clone()));
        self.happenings.push(Happening::Asked { role, message: FromChild::Report(event) });
    }

    /// Does this child go through its two phases by itself, as a successor does?
    fn is_alone(&mut self, role: Role, generation: u64) -> bool {
        self.stopping.is_none() && self.seat(role).and_then(|seat| seat.alone()) == Some(generation)
    }

    fn commit(&mut self, role: Role, generation: u64) {
        if let Some(seat) = self.seat(role) {
            seat.commit(generation);
        }
    }

    /// Goes on with the transaction when nobody is waited for.
    fn advance(&mut self) {
        let Some(transaction) = self.transaction.as_mut().filter(|t| t.pending.is_empty()) else { return };
        if transaction.phase == Phase::Preparing {
            transaction.phase = Phase::Committing;
            let generation = transaction.generation;
            self.running = Kept::whole_of(Arc::clone(&transaction.config));
            let config = Arc::clone(&transaction.config);
            let mut pending = Vec::new();
            for role in SEATED {
                let Some(seat) = self.seat(role) else { continue };
                if seat.prepared() == Some(generation) {
                    pending.push(role);
                    seat.commit(generation);
                } else if seat.is_alive() {
                    // The successor of a child that died meanwhile was started with the configuration before.
                    seat.take_up(&config, generation);
                }
            }
            if let Some(transaction) = &mut self.transaction {
                transaction.pending = pending;
            }
            self.start_prober();
            self.configure_reporter();
        }
        if let Some(transaction) = self.transaction.take_if(|t| t.pending.is_empty()) {
            let Transaction { config, plan, .. } = transaction;
            drop(config);
            self.committed(plan);
        }
    }

    /// All run the new configuration, or will: the parent needs little of it, and nothing of what it was made from.
    fn committed(&mut self, plan: Vec<String>) {
        self.started = true;
        self.running.file();
        memory::trim();
        self.tidy_at = Some(Instant::now() + TIDY_PAUSE);
        self.happenings.push(Happening::Committed { plan });
    }

    /// The children have told what they have to tell at first.
    fn tidy(&mut self) {
        self.tidy_at = None;
        memory::trim();
        memory::trim_stack();
        memory::let_go_of_code();
    }

    fn abort(&mut self, reasons: Vec<(Role, String)>, cause: Cause) {
        let Some(transaction) = self.transaction.take() else { return };
        let generation = transaction.generation;
        let (before, started) = (generation - 1, self.started);
        for role in SEATED {
            let Some(seat) = self.seat(role) else { continue };
            if transaction.new.contains(&role) {
                seat.stop();
                continue;
            }
            seat.abort(generation);
            // A successor that was about to take up what runs has prepared this one instead.
            if started && seat.is_unfinished() {
                let running = self.running.whole();
                if let Some(seat) = self.seat(role) {
                    seat.take_up(&running, before);
                }
            }
        }
        self.happenings.push(Happening::Refused { reasons, cause });
    }

    fn ended(&mut self, role: Role, pid: u32, status: Option<i32>, signal: Option<i32>) {
        let Some((asked, lived)) = self.seat(role).map(Seat::bury) else { return };
        if role == Role::Checkers {
            // The prober sees its channel close and ends; a new one comes with the next checkers process.
            self.prober.orphaned();
        }
        if asked || self.stopping.is_some() {
            return;
        }
        if let Some(signal) = signal {
            let hint = if signal == libc::SIGKILL { " - has rlimit_rttime been exceeded?" } else { "" };
            let name = Signal::try_from(signal).map_or("unknown", Signal::as_str);
            tracing::info!("pid {pid} exited due to signal {signal} ({name}){hint}");
        }
        let status = status.and_then(|status| u8::try_from(status).ok());
        // Its owner ends the daemon: a successor would end in the same way.
        let permanent = status.and_then(Exit::permanent).filter(|_| !self.started);
        if let Some(exit) = permanent {
            let name = role.speaker().ident(None);
            tracing::info!("{name} exited with permanent error {}. Terminating", exit.word());
        }
        self.happenings.push(Happening::Died { role, pid, permanent });
        let mut needed = true;
        match &mut self.transaction {
            Some(transaction)
                if transaction.phase == Phase::Preparing && transaction.pending.contains(&role) =>
            {
                needed = !transaction.new.contains(&role);
                let end =
                    status.map_or_else(|| "by a signal".to_owned(), |status| format!("with status {status}"));
                let reason = format!("process {pid} ended {end} while looking at it");
                self.abort(vec![(role, reason)], Cause::Death);
            }
            Some(transaction) => {
                // Past the point of no return: its successor starts with the new configuration.
                transaction.answered(role);
                self.advance();
            }
            None => {}
        }
        if permanent.is_some() || !needed {
            return;
        }
        if !self.options.respawn {
            tracing::error!("{} child process({pid}) died: Exiting", role.title());
            return;
        }
        tracing::error!("{} child process({pid}) died: Respawning", role.title());
        let wait = self.seat(role).map_or(Duration::ZERO, |seat| seat.schedule(lived));
        tracing::info!(
            "Restart of {} process delayed {} seconds to limit respawn rate",
            role.title(),
            wait.as_secs()
        );
    }

    fn respawn(&mut self, role: Role) {
        let (generation, config) = (self.generation_of_running(), self.running.whole());
        let assignment = self.assignment(role, &config);
        let birth = Birth { assignment: &assignment, always: self.options.all };
        let mut happenings = std::mem::take(&mut self.happenings);
        let revived =
            self.seat(role).is_some_and(|seat| seat.revive(&config, generation, &mut happenings, &birth));
        self.happenings = happenings;
        if revived && role == Role::Checkers {
            self.start_prober();
        }
    }

    /// The number of the configuration that runs; a proposed one is one ahead.
    fn generation_of_running(&self) -> u64 {
        match &self.transaction {
            Some(transaction) if transaction.phase == Phase::Preparing => transaction.generation - 1,
            _ => self.generation,
        }
    }

    fn kill(&mut self, role: Role) {
        match self.seat(role) {
            Some(seat) => seat.kill(),
            None if role == Role::Reporter => self.reporter.kill(),
            None => self.prober.kill(),
        }
    }

    /// Patience has ended, with the transaction or with the stop.
    fn overdue(&mut self) {
        if self.stopping.is_some() {
            for role in SEATED.into_iter().chain([Role::Prober]) {
                if self.is_alive(role) {
                    tracing::info!("{} process failed to die - forcing termination", role.title());
                    self.kill(role);
                }
            }
            // Only the kernel can keep a killed process; do not spin while it does.
            self.stopping = Some(Instant::now() + CLOSED_LIMIT);
            return;
        }
        let Some(transaction) = &self.transaction else { return };
        let late = transaction.pending.clone();
        if transaction.phase == Phase::Committing {
            // Past the point of no return: successors of the silent ones start with the new configuration.
            let plan = transaction.plan.clone();
            self.transaction = None;
            self.committed(plan);
        } else {
            let silent = format!("no answer within {} seconds", PREPARE_LIMIT.as_secs());
            self.abort(late.iter().map(|role| (*role, silent.clone())).collect(), Cause::Silence);
        }
        for role in late {
            tracing::info!("{} process does not answer, restarting it", role.title());
            self.kill(role);
        }
    }
}

impl Transaction {
    /// Takes note of an answer; `false` when none was awaited.
    fn answered(&mut self, role: Role) -> bool {
        let before = self.pending.len();
        self.pending.retain(|waiting| *waiting != role);
        self.pending.len() < before
    }
}
