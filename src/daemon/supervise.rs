//! The children: started, asked, agreed with, respawned, stopped. The parent's loop awaits [`Supervisor::next`].
//!
//! A configuration becomes the running one in two phases, at start as at reload: all children *prepare*; only when all
//! agree are they told to *commit*, otherwise nothing has changed anywhere (docs/design.md). A respawned child goes
//! through the same two messages alone, with the state its predecessor last reported.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::Instant;

use super::child::{Assignment, Role};
use super::exit::Exit;
use super::ipc::{Dump, FromChild, Reading, ToChild};
use super::slot::{CLOSED_LIMIT, Prober, ProberEvent, Slot, SlotEvent, start, until};
use crate::config::model::{CheckersPart, Config, ScriptEnd, VrrpPart};
use crate::kernel::fdpass;

/// How long the children may think about a configuration.
const PREPARE_LIMIT: Duration = Duration::from_secs(30);

/// What the parent is told.
#[derive(Debug)]
pub enum Happening {
    /// A child process runs.
    Started {
        /// Which.
        role: Role,
        /// Its process id.
        pid: u32,
    },
    /// All children run the proposed configuration.
    Committed {
        /// What changed, one line per object.
        plan: Vec<String>,
    },
    /// The proposed configuration was refused; nothing has changed, what was started for it is being stopped.
    Refused {
        /// Who refused, and why.
        reasons: Vec<(Role, String)>,
        /// What counts as the refusal.
        cause: Cause,
    },
    /// A child wants a script run, ended or queued (`RunScript`, `KillScript`, `Notify`).
    Asked {
        /// Who.
        role: Role,
        /// What.
        message: FromChild,
    },
    /// A child process ended unasked; its scripts are nobody's now. It is started again by itself, unless `-R`.
    Died {
        /// Which.
        role: Role,
        /// Its process id.
        pid: u32,
        /// The daemon cannot start: what the status of a child says that ended before anything ran.
        permanent: Option<Exit>,
    },
    /// All children have ended after [`Supervisor::stop`].
    Stopped,
}

/// Why a configuration was not taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A child said no.
    Answer,
    /// A child said nothing in time.
    Silence,
    /// A child ended.
    Death,
}

/// What holds for all children as long as the daemon runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Run a vrrp process (not `-C`).
    pub vrrp: bool,
    /// Run a checkers process (not `-P`).
    pub checkers: bool,
    /// Start lost children again (not `-R`).
    pub respawn: bool,
    /// Start both even if they have nothing to do (`--all`).
    pub all: bool,
    /// Suffix of their syslog idents.
    pub instance: Option<String>,
    /// Pid file of the vrrp process.
    pub vrrp_pid: PathBuf,
    /// Pid file of the checkers process.
    pub checkers_pid: PathBuf,
}

/// All children and the configuration they run.
pub struct Supervisor {
    options: Options,
    vrrp: Slot<VrrpPart>,
    checkers: Slot<CheckersPart>,
    prober: Prober,
    generation: u64,
    running: Arc<Config>,
    transaction: Option<Transaction>,
    happenings: Vec<Happening>,
    /// Set by `stop`: when patience ends.
    stopping: Option<Instant>,
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
            prober: Prober::default(),
            generation: 0,
            running: Arc::new(Config::default()),
            transaction: None,
            happenings: Vec::new(),
            stopping: None,
            started: false,
        }
    }

    /// The configuration that runs.
    pub fn running(&self) -> &Config {
        &self.running
    }

    /// Is a proposed configuration still under way?
    pub fn is_busy(&self) -> bool {
        self.transaction.is_some()
    }

    /// Does any child process run?
    pub fn has_children(&self) -> bool {
        self.vrrp.alive.is_some() || self.checkers.alive.is_some()
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
        // Stock starts the checkers first.
        if self.options.checkers {
            let part = self.checkers_part(&config);
            let idle = CheckersPart { global: config.global.clone(), ..CheckersPart::default() };
            let assignment = self.assignment(Role::Checkers, &config);
            self.checkers.prepare(part, idle, &assignment, &mut transaction, &mut self.happenings);
        }
        if self.options.vrrp {
            let part = self.vrrp_part(&config);
            let idle = VrrpPart { global: config.global.clone(), ..VrrpPart::default() };
            let assignment = self.assignment(Role::Vrrp, &config);
            self.vrrp.prepare(part, idle, &assignment, &mut transaction, &mut self.happenings);
        }
        self.transaction = Some(transaction);
        self.advance();
    }

    /// The vrrp process' work, if there is any or it must run without.
    fn vrrp_part(&self, config: &Config) -> Option<VrrpPart> {
        let idle = || VrrpPart { global: config.global.clone(), ..VrrpPart::default() };
        config.vrrp_part().or_else(|| self.options.all.then(idle))
    }

    /// The checkers process' work, if there is any or it must run without.
    fn checkers_part(&self, config: &Config) -> Option<CheckersPart> {
        let idle = || CheckersPart { global: config.global.clone(), ..CheckersPart::default() };
        config.checkers_part().or_else(|| self.options.all.then(idle))
    }

    /// What a new child of this role is told at birth.
    fn assignment(&self, role: Role, config: &Config) -> Assignment {
        let names = &config.global.process_names;
        let (pid_file, name) = match role {
            Role::Vrrp => (Some(self.options.vrrp_pid.clone()), &names.vrrp),
            Role::Checkers => (Some(self.options.checkers_pid.clone()), &names.checkers),
            Role::Prober => (None, &names.checkers),
        };
        let instance = self.options.instance.clone();
        // The descriptor is known when the connection is made.
        Assignment { role, descriptor: -1, instance, pid_file, name: name.clone() }
    }

    /// Tells a child how its script ended.
    pub fn script_ended(&mut self, role: Role, id: u64, end: ScriptEnd) {
        match role {
            Role::Vrrp => self.vrrp.say(&ToChild::ScriptEnded { id, end }),
            Role::Checkers => self.checkers.say(&ToChild::ScriptEnded { id, end }),
            Role::Prober => {}
        }
    }

    /// Tells the vrrp process which scripts of its predecessor still run.
    pub fn scripts_running(&mut self, ids: Vec<u64>) {
        self.vrrp.say(&ToChild::ScriptsRunning(ids));
    }

    /// Tells the vrrp process what was found out of something that it may track.
    pub fn reading(&mut self, reading: Reading) {
        self.vrrp.say(&ToChild::Reading(reading));
    }

    /// Asks the children to write a dump.
    pub fn dump(&mut self, dump: Dump) {
        self.vrrp.say(&ToChild::Dump(dump));
        if dump == Dump::Data {
            self.checkers.say(&ToChild::Dump(dump));
        }
    }

    /// Asks all children to release what they hold and end; after `limit` they are killed. [`Happening::Stopped`]
    /// follows; what they ask for until then (stop notifications) still comes.
    pub fn stop(&mut self, limit: Duration) {
        if self.stopping.is_none() {
            self.stopping = Some(Instant::now() + limit);
            self.transaction = None;
            self.vrrp.stop();
            self.checkers.stop();
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
                return Happening::Stopped;
            }
            let deadline = self.stopping.or(self.transaction.as_ref().map(|t| t.deadline));
            tokio::select! {
                event = self.vrrp.next() => self.heard(Role::Vrrp, event),
                event = self.checkers.next() => self.heard(Role::Checkers, event),
                event = self.prober.next() => self.prober_event(&event),
                () = until(deadline) => self.overdue(),
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
                match role {
                    Role::Vrrp => self.vrrp.committed(),
                    Role::Checkers => self.checkers.committed(),
                    Role::Prober => {}
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
            FromChild::State(state) => match role {
                Role::Vrrp => self.vrrp.state = Some(state),
                Role::Checkers => self.checkers.state = Some(state),
                Role::Prober => {}
            },
            // The end of the process is what counts.
            FromChild::Stopped => {}
            message => self.happenings.push(Happening::Asked { role, message }),
        }
    }

    /// Does this child go through its two phases by itself, as a successor does?
    fn is_alone(&self, role: Role, generation: u64) -> bool {
        let alive = match role {
            Role::Vrrp => self.vrrp.alive.as_ref().map(|alive| alive.alone),
            Role::Checkers => self.checkers.alive.as_ref().map(|alive| alive.alone),
            Role::Prober => None,
        };
        self.stopping.is_none() && alive == Some(Some(generation))
    }

    fn commit(&mut self, role: Role, generation: u64) {
        match role {
            Role::Vrrp => self.vrrp.say(&ToChild::Commit { generation }),
            Role::Checkers => self.checkers.say(&ToChild::Commit { generation }),
            Role::Prober => {}
        }
    }

    /// Goes on with the transaction when nobody is waited for.
    fn advance(&mut self) {
        let Some(transaction) = self.transaction.as_mut().filter(|t| t.pending.is_empty()) else { return };
        if transaction.phase == Phase::Preparing {
            transaction.phase = Phase::Committing;
            let generation = transaction.generation;
            self.running = Arc::clone(&transaction.config);
            for role in [Role::Checkers, Role::Vrrp] {
                let prepared = match role {
                    Role::Vrrp => self.vrrp.alive.as_ref().is_some_and(|alive| alive.prepared == generation),
                    _ => self.checkers.alive.as_ref().is_some_and(|alive| alive.prepared == generation),
                };
                if prepared {
                    transaction.pending.push(role);
                }
            }
            let (pending, config) = (transaction.pending.clone(), Arc::clone(&transaction.config));
            for role in &pending {
                self.commit(*role, generation);
            }
            // Successors of children that died meanwhile were started with the configuration before.
            if !pending.contains(&Role::Vrrp) && self.vrrp.alive.is_some() {
                self.vrrp.prepare_alone(self.vrrp_part(&config).unwrap_or_default(), generation);
            }
            if !pending.contains(&Role::Checkers) && self.checkers.alive.is_some() {
                self.checkers.prepare_alone(self.checkers_part(&config).unwrap_or_default(), generation);
            }
            self.start_prober();
        }
        if let Some(transaction) = self.transaction.take_if(|t| t.pending.is_empty()) {
            self.started = true;
            self.happenings.push(Happening::Committed { plan: transaction.plan });
        }
    }

    fn abort(&mut self, reasons: Vec<(Role, String)>, cause: Cause) {
        let Some(transaction) = self.transaction.take() else { return };
        let generation = transaction.generation;
        for role in [Role::Checkers, Role::Vrrp] {
            let new = transaction.new.contains(&role);
            match role {
                Role::Vrrp if new => self.vrrp.stop(),
                Role::Vrrp => self.vrrp.say(&ToChild::Abort { generation }),
                _ if new => self.checkers.stop(),
                _ => self.checkers.say(&ToChild::Abort { generation }),
            }
        }
        // A successor that was about to take up what runs has prepared this one instead.
        let (running, before) = (Arc::clone(&self.running), generation - 1);
        if self.started && !transaction.new.contains(&Role::Vrrp) && self.vrrp.is_unfinished() {
            self.vrrp.prepare_alone(self.vrrp_part(&running).unwrap_or_default(), before);
        }
        if self.started && !transaction.new.contains(&Role::Checkers) && self.checkers.is_unfinished() {
            self.checkers.prepare_alone(self.checkers_part(&running).unwrap_or_default(), before);
        }
        self.happenings.push(Happening::Refused { reasons, cause });
    }

    fn ended(&mut self, role: Role, pid: u32, status: Option<i32>, signal: Option<i32>) {
        let (asked, lived) = match role {
            Role::Vrrp => self.vrrp.bury(),
            _ => self.checkers.bury(),
        };
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
        let wait = match role {
            Role::Vrrp => self.vrrp.schedule(lived),
            _ => self.checkers.schedule(lived),
        };
        tracing::info!(
            "Restart of {} process delayed {} seconds to limit respawn rate",
            role.title(),
            wait.as_secs()
        );
    }

    fn respawn(&mut self, role: Role) {
        let (generation, config) = (self.generation_of_running(), Arc::clone(&self.running));
        let assignment = self.assignment(role, &config);
        match role {
            Role::Vrrp => {
                if let Some(part) = self.vrrp_part(&config) {
                    self.vrrp.revive(part, generation, &assignment, &mut self.happenings);
                }
            }
            _ => {
                if let Some(part) = self.checkers_part(&config) {
                    self.checkers.revive(part, generation, &assignment, &mut self.happenings);
                    self.start_prober();
                }
            }
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
        match role {
            Role::Vrrp => self.vrrp.kill(),
            Role::Checkers => self.checkers.kill(),
            Role::Prober => self.prober.kill(),
        }
    }

    /// Patience has ended, with the transaction or with the stop.
    fn overdue(&mut self) {
        if self.stopping.is_some() {
            for (role, alive) in [
                (Role::Vrrp, self.vrrp.alive.is_some()),
                (Role::Checkers, self.checkers.alive.is_some()),
                (Role::Prober, self.prober.process.is_some()),
            ] {
                if alive {
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
            self.started = true;
            self.happenings.push(Happening::Committed { plan });
        } else {
            let silent = format!("no answer within {} seconds", PREPARE_LIMIT.as_secs());
            self.abort(late.iter().map(|role| (*role, silent.clone())).collect(), Cause::Silence);
        }
        for role in late {
            tracing::info!("{} process does not answer, restarting it", role.title());
            self.kill(role);
        }
    }

    /// Starts the prober when there is something to probe, and introduces it to the checkers process.
    fn start_prober(&mut self) {
        let wanted = self
            .running
            .virtual_servers
            .iter()
            .flat_map(|vs| &vs.real_servers)
            .any(|rs| !rs.checkers.is_empty());
        if !wanted
            || self.prober.process.is_some()
            || self.checkers.alive.is_none()
            || self.stopping.is_some()
        {
            return;
        }
        self.prober.due = None;
        let assignment = self.assignment(Role::Prober, &self.running);
        match fdpass::pair().and_then(|(near, far)| Ok((near, start(&assignment, &far)?))) {
            Ok((near, process)) => {
                let pid = process.id().unwrap_or(0);
                self.prober.process = Some((process, Instant::now()));
                self.checkers.say_with(&ToChild::Prober, near);
                tracing::info!("Starting prober child process, pid={pid}");
                self.happenings.push(Happening::Started { role: Role::Prober, pid });
            }
            Err(error) => {
                tracing::info!("Cannot start the prober process: {error}");
                self.prober.schedule(Duration::ZERO);
            }
        }
    }

    fn prober_event(&mut self, event: &ProberEvent) {
        match event {
            ProberEvent::Due => self.start_prober(),
            ProberEvent::Ended { pid, lived, orphan } => {
                if self.stopping.is_some() || self.checkers.alive.is_none() {
                    return;
                }
                if *orphan {
                    // Its checkers process died and has a successor already.
                    self.start_prober();
                    return;
                }
                tracing::error!("{} child process({pid}) died: Respawning", Role::Prober.title());
                self.happenings.push(Happening::Died { role: Role::Prober, pid: *pid, permanent: None });
                let wait = self.prober.schedule(*lived);
                tracing::info!(
                    "Restart of prober process delayed {} seconds to limit respawn rate",
                    wait.as_secs()
                );
            }
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
