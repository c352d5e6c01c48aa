//! The place of one child process in its supervisor: its channel, its end, its back-off. Decides nothing.

use std::future::pending;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::process::Child;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::channel::{Channel, ChannelError};
use super::child::{Assignment, Role};
use super::ipc::{Dump, FromChild, ROLE_VARIABLE, ToChild};
use super::respawn::BackOff;
use super::supervise::{Happening, Transaction};
use crate::config::model::{BfdPart, Config, ScriptEnd, VrrpPart};
use crate::kernel::memfd::Stash;
use crate::kernel::{process, spawn};

/// How long a child that closed its channel may take to end.
pub(super) const CLOSED_LIMIT: Duration = Duration::from_secs(2);

/// Sleeps until `deadline`, for ever without one.
pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// Executes this binary again with this assignment; `channel` is its end of the connection.
pub(super) fn start(assignment: &Assignment, channel: &OwnedFd) -> std::io::Result<Child> {
    let assignment = Assignment { descriptor: channel.as_raw_fd(), ..assignment.clone() };
    process::again(ROLE_VARIABLE, &assignment.variable()?, channel)
}

/// A child's part of the model.
pub(super) trait Part: Serialize + DeserializeOwned + Default {
    /// The part of a configuration, or `None` when there is nothing for the child to do.
    fn of(config: &Config) -> Option<Self>;

    /// What a child runs that has nothing to do.
    fn idle(config: &Config) -> Self;
}

impl Part for VrrpPart {
    fn of(config: &Config) -> Option<Self> {
        config.vrrp_part()
    }

    fn idle(config: &Config) -> Self {
        Self { global: config.global.clone(), ..Self::default() }
    }
}

impl Part for BfdPart {
    fn of(config: &Config) -> Option<Self> {
        config.bfd_part()
    }

    fn idle(config: &Config) -> Self {
        Self { global: config.global.clone(), ..Self::default() }
    }
}

/// A child as its supervisor deals with it, whatever its part of the model is.
pub(super) trait Seat {
    /// Asks for its part of `config` to be prepared, starting it if it is newly needed.
    fn offer(
        &mut self,
        config: &Config,
        transaction: &mut Transaction,
        out: &mut Vec<Happening>,
        birth: &Birth<'_>,
    );

    /// Starts a successor, if it is needed, and hands it the configuration that runs. True if one was started.
    fn revive(
        &mut self,
        config: &Config,
        generation: u64,
        out: &mut Vec<Happening>,
        birth: &Birth<'_>,
    ) -> bool;

    /// Gives a successor that has not committed anything yet the configuration that runs, and the state to go on from.
    fn take_up(&mut self, config: &Config, generation: u64);

    /// Tells it to make what it prepared the running configuration.
    fn commit(&mut self, generation: u64);

    /// Tells it to forget what it prepared.
    fn abort(&mut self, generation: u64);

    /// It runs a configuration.
    fn committed(&mut self);

    /// Is it a successor that was interrupted by another configuration before it ran its first?
    fn is_unfinished(&self) -> bool;

    /// Does its process run?
    fn is_alive(&self) -> bool;

    /// Does a successor wait for its turn?
    fn is_due(&self) -> bool;

    /// The last generation it was asked to prepare, while it runs.
    fn prepared(&self) -> Option<u64>;

    /// The generation it goes through its phases with alone.
    fn alone(&self) -> Option<u64>;

    /// Keeps what it reports of its state, for a successor.
    fn remember(&mut self, state: Vec<u8>);

    /// Tells it how its script ended.
    fn script_ended(&mut self, id: u64, end: ScriptEnd);

    /// Has it write a dump.
    fn dump(&mut self, dump: Dump);

    /// Asks it to release what it holds and to end.
    fn stop(&mut self);

    /// Ends it now.
    fn kill(&mut self);

    /// Forgets a process that ended: was it asked to, and how long had it lived?
    fn bury(&mut self) -> (bool, Duration);

    /// Plans its successor; gives the wait.
    fn schedule(&mut self, lived: Duration) -> Duration;
}

/// How a child is started.
pub(super) struct Birth<'a> {
    /// What it is told at birth.
    pub(super) assignment: &'a Assignment,
    /// It runs even if it has nothing to do (`--all`).
    pub(super) always: bool,
}

impl<P: Part> Seat for Slot<P> {
    fn offer(
        &mut self,
        config: &Config,
        transaction: &mut Transaction,
        out: &mut Vec<Happening>,
        birth: &Birth<'_>,
    ) {
        let generation = transaction.generation;
        let part = P::of(config);
        if self.alive.is_none() {
            // A child that waits for its respawn starts with whatever runs then.
            if part.is_none() && !birth.always || self.due.is_some() {
                return;
            }
            if !self.start(birth.assignment, out) {
                // Tried again, as for a lost child.
                self.schedule(Duration::ZERO);
                return;
            }
            transaction.new.push(self.role);
        }
        transaction.pending.push(self.role);
        if let Some(alive) = &mut self.alive {
            alive.prepared = generation;
            alive.alone = None;
        }
        self.say(&ToChild::Prepare {
            generation,
            part: part.unwrap_or_else(|| P::idle(config)),
            state: None,
        });
    }

    fn revive(
        &mut self,
        config: &Config,
        generation: u64,
        out: &mut Vec<Happening>,
        birth: &Birth<'_>,
    ) -> bool {
        if P::of(config).is_none() && !birth.always {
            return false;
        }
        if !self.start(birth.assignment, out) {
            self.schedule(Duration::ZERO);
            return false;
        }
        self.take_up(config, generation);
        true
    }

    fn take_up(&mut self, config: &Config, generation: u64) {
        if let Some(alive) = &mut self.alive {
            alive.prepared = generation;
            alive.alone = Some(generation);
        }
        let part = P::of(config).unwrap_or_else(|| P::idle(config));
        let state = self.state.as_ref().and_then(|state| match state.contents() {
            Ok(state) => Some(state),
            Err(error) => {
                tracing::info!("the state of the {} process is lost: {error}", self.role.title());
                None
            }
        });
        self.say(&ToChild::Prepare { generation, part, state });
    }

    fn commit(&mut self, generation: u64) {
        self.say(&ToChild::Commit { generation });
    }

    fn abort(&mut self, generation: u64) {
        self.say(&ToChild::Abort { generation });
    }

    fn committed(&mut self) {
        if let Some(alive) = &mut self.alive {
            alive.working = true;
        }
    }

    fn is_unfinished(&self) -> bool {
        self.alive.as_ref().is_some_and(|alive| !alive.working)
    }

    fn is_alive(&self) -> bool {
        self.alive.is_some()
    }

    fn is_due(&self) -> bool {
        self.due.is_some()
    }

    fn prepared(&self) -> Option<u64> {
        self.alive.as_ref().map(|alive| alive.prepared)
    }

    fn alone(&self) -> Option<u64> {
        self.alive.as_ref().and_then(|alive| alive.alone)
    }

    fn remember(&mut self, state: Vec<u8>) {
        self.state = Some(Stash::new(state));
    }

    fn script_ended(&mut self, id: u64, end: ScriptEnd) {
        self.say(&ToChild::ScriptEnded { id, end });
    }

    fn dump(&mut self, dump: Dump) {
        self.say(&ToChild::Dump(dump));
    }

    fn stop(&mut self) {
        self.due = None;
        self.say(&ToChild::Stop);
        if let Some(alive) = &mut self.alive {
            alive.asked = true;
        }
    }

    fn kill(&mut self) {
        if let Some(alive) = &mut self.alive {
            let _ = alive.process.start_kill();
        }
    }

    fn bury(&mut self) -> (bool, Duration) {
        self.alive.take().map_or((true, Duration::ZERO), |alive| (alive.asked, alive.born.elapsed()))
    }

    fn schedule(&mut self, lived: Duration) -> Duration {
        let wait = self.back_off.died(lived);
        self.due = Some(Instant::now() + wait);
        wait
    }
}

/// The place of one child that has a channel to the parent.
pub(super) struct Slot<P> {
    role: Role,
    alive: Option<Alive<P>>,
    due: Option<Instant>,
    back_off: BackOff,
    /// What the last process of this role reported of its state.
    state: Option<Stash>,
}

struct Alive<P> {
    process: Child,
    pid: u32,
    channel: Channel<ToChild<P>, FromChild>,
    /// It closed the channel; after this it is ended.
    leaving: Option<Instant>,
    born: Instant,
    /// It was told to stop.
    asked: bool,
    /// The last generation it was asked to prepare.
    prepared: u64,
    /// It goes through its phases alone, with this generation.
    alone: Option<u64>,
    /// It has committed a configuration.
    working: bool,
}

pub(super) enum SlotEvent {
    Said(FromChild),
    Ended { pid: u32, status: Option<i32>, signal: Option<i32> },
    RespawnDue,
}

impl<P: Part> Slot<P> {
    pub(super) fn new(role: Role) -> Self {
        Self { role, alive: None, due: None, back_off: BackOff::default(), state: None }
    }

    fn start(&mut self, assignment: &Assignment, out: &mut Vec<Happening>) -> bool {
        let started = Channel::pair().map_err(|error| error.to_string()).and_then(|(channel, far)| {
            start(assignment, &far).map(|process| (channel, process)).map_err(|error| error.to_string())
        });
        match started {
            Ok((channel, process)) => {
                let pid = process.id().unwrap_or(0);
                tracing::info!("Starting {} child process, pid={pid}", self.role.title());
                out.push(Happening::Started { role: self.role, pid });
                let born = Instant::now();
                let (leaving, asked, prepared, alone, working) = (None, false, 0, None, false);
                self.alive =
                    Some(Alive { process, pid, channel, leaving, born, asked, prepared, alone, working });
                true
            }
            Err(error) => {
                tracing::info!("Cannot start the {} process: {error}", self.role.title());
                false
            }
        }
    }

    pub(super) fn say(&mut self, message: &ToChild<P>) {
        self.put(|channel| channel.send(message));
    }

    pub(super) fn say_with(&mut self, message: &ToChild<P>, descriptor: OwnedFd) {
        self.put(|channel| channel.send_with(message, descriptor));
    }

    fn put(&mut self, send: impl FnOnce(&mut Channel<ToChild<P>, FromChild>) -> Result<(), ChannelError>) {
        let Some(alive) = &mut self.alive else { return };
        match send(&mut alive.channel) {
            // A child that has gone is noticed by its end, not here.
            Ok(()) | Err(ChannelError::Closed) => {}
            // What it was not told it would never learn; its successor begins with all of it.
            Err(error) => {
                tracing::info!("{} process: {error}, restarting it", self.role.title());
                alive.channel.fall_silent();
                let _ = alive.process.start_kill();
            }
        }
    }

    /// What this child says, until its channel closes; then how it ended; then when it is due again. Cancel-safe.
    pub(super) async fn next(&mut self) -> SlotEvent {
        let Some(alive) = &mut self.alive else {
            until(self.due).await;
            self.due = None;
            return SlotEvent::RespawnDue;
        };
        // Kept, because waiting is interrupted whenever something happens elsewhere.
        let limit = loop {
            if let Some(limit) = alive.leaving {
                break limit;
            }
            match alive.channel.next().await {
                Some(Ok(received)) => return SlotEvent::Said(received.message),
                Some(Err(error)) => tracing::info!("{} process: {error}", self.role.title()),
                None => alive.leaving = Some(Instant::now() + CLOSED_LIMIT),
            }
        };
        let status = if let Ok(status) = timeout_at(limit, alive.process.wait()).await {
            status
        } else {
            let _ = alive.process.start_kill();
            alive.process.wait().await
        };
        let (status, signal) = match status.map(spawn::end) {
            Ok(ScriptEnd::Exited { status }) => (Some(i32::from(status)), None),
            Ok(ScriptEnd::Signalled { signal }) => (None, Some(signal)),
            _ => (None, None),
        };
        SlotEvent::Ended { pid: alive.pid, status, signal }
    }
}

/// The place of the prober, which has no channel to the parent.
#[derive(Default)]
pub(super) struct Prober {
    pub(super) process: Option<(Child, Instant)>,
    pub(super) due: Option<Instant>,
    back_off: BackOff,
    /// Its checkers process died; it ends by itself.
    pub(super) orphan: bool,
}

pub(super) enum ProberEvent {
    /// `orphan`: because its checkers process was gone.
    Ended {
        pid: u32,
        lived: Duration,
        orphan: bool,
    },
    Due,
}

impl Prober {
    pub(super) fn orphaned(&mut self) {
        self.orphan = self.process.is_some();
        self.due = None;
    }

    pub(super) fn kill(&mut self) {
        if let Some((process, _)) = &mut self.process {
            let _ = process.start_kill();
        }
    }

    pub(super) fn schedule(&mut self, lived: Duration) -> Duration {
        let wait = self.back_off.died(lived);
        self.due = Some(Instant::now() + wait);
        wait
    }

    pub(super) async fn next(&mut self) -> ProberEvent {
        let Some((process, born)) = &mut self.process else {
            until(self.due).await;
            self.due = None;
            return ProberEvent::Due;
        };
        let pid = process.id().unwrap_or(0);
        let _ = process.wait().await;
        let lived = born.elapsed();
        self.process = None;
        let orphan = std::mem::take(&mut self.orphan);
        ProberEvent::Ended { pid, lived, orphan }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ended(prober: &mut Prober) -> bool {
        let process = tokio::process::Command::new("/bin/true").spawn().expect("a child");
        prober.process = Some((process, Instant::now()));
        prober.orphaned();
        matches!(prober.next().await, ProberEvent::Ended { orphan: true, .. })
    }

    /// A vrrp process that is `program`, and the other end of its channel.
    fn vrrp(program: &str, argument: &str) -> (Slot<VrrpPart>, OwnedFd) {
        let (channel, far) = Channel::pair().expect("a channel");
        let process =
            tokio::process::Command::new(program).arg(argument).kill_on_drop(true).spawn().expect("a child");
        let pid = process.id().expect("it runs");
        let (leaving, asked, prepared, alone, working) = (None, false, 0, None, false);
        let born = Instant::now();
        let alive = Alive { process, pid, channel, leaving, born, asked, prepared, alone, working };
        (Slot { alive: Some(alive), ..Slot::new(Role::Vrrp) }, far)
    }

    #[tokio::test]
    async fn a_child_that_hangs_with_a_closed_channel_is_ended_however_often_one_looks_elsewhere() {
        let (mut slot, far) = vrrp("/bin/sleep", "60");
        drop(far);
        let begun = Instant::now();
        let event = loop {
            // As `select!` does whenever something else happens.
            if let Ok(event) = tokio::time::timeout(Duration::from_millis(300), slot.next()).await {
                break event;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "it lives for ever");
        };
        assert!(matches!(event, SlotEvent::Ended { signal: Some(libc::SIGKILL), .. }));
    }

    #[tokio::test]
    async fn a_child_that_does_not_read_is_ended_instead_of_missing_something() {
        let (mut slot, _far) = vrrp("/bin/sleep", "60");
        for id in 0..100_000 {
            slot.script_ended(id, ScriptEnd::TimedOut);
        }
        let process = &mut slot.alive.as_mut().expect("it is not buried").process;
        let end = tokio::time::timeout(Duration::from_secs(20), process.wait()).await;
        assert!(end.expect("it was ended").is_ok_and(|status| !status.success()));
    }

    #[tokio::test]
    async fn only_the_prober_of_a_lost_checkers_process_is_an_orphan() {
        let mut prober = Prober::default();
        assert!(ended(&mut prober).await);
        assert!(!prober.orphan, "its successor is none");
    }
}
