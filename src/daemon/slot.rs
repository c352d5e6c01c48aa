//! The place of one child process in its supervisor: its channel, its end, its back-off. Decides nothing.

use std::future::pending;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::process::Child;
use tokio::time::{Instant, sleep_until, timeout};

use super::channel::Channel;
use super::child::{Assignment, Role};
use super::ipc::{FromChild, ROLE_VARIABLE, ToChild};
use super::respawn::BackOff;
use super::supervise::{Happening, Transaction};
use crate::config::model::ScriptEnd;
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

/// The place of one child that has a channel to the parent.
pub(super) struct Slot<P> {
    role: Role,
    pub(super) alive: Option<Alive<P>>,
    due: Option<Instant>,
    back_off: BackOff,
    /// What the last process of this role reported of its state.
    pub(super) state: Option<Vec<u8>>,
}

pub(super) struct Alive<P> {
    process: Child,
    pid: u32,
    channel: Channel<ToChild<P>, FromChild>,
    /// The channel is still open.
    open: bool,
    born: Instant,
    /// It was told to stop.
    asked: bool,
    /// The last generation it was asked to prepare.
    pub(super) prepared: u64,
    /// It goes through its phases alone, with this generation.
    pub(super) alone: Option<u64>,
    /// It has committed a configuration.
    working: bool,
}

pub(super) enum SlotEvent {
    Said(FromChild),
    Ended { pid: u32, status: Option<i32>, signal: Option<i32> },
    RespawnDue,
}

impl<P: Serialize + DeserializeOwned> Slot<P> {
    pub(super) fn new(role: Role) -> Self {
        Self { role, alive: None, due: None, back_off: BackOff::default(), state: None }
    }

    /// Asks for `part` to be prepared: a running child in any case, a new one only when there is a part.
    pub(super) fn prepare(
        &mut self,
        part: Option<P>,
        idle: P,
        assignment: &Assignment,
        transaction: &mut Transaction,
        out: &mut Vec<Happening>,
    ) {
        let generation = transaction.generation;
        if self.alive.is_none() {
            // A child that waits for its respawn starts with whatever runs then.
            if part.is_none() || self.due.is_some() {
                return;
            }
            if !self.start(assignment, out) {
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
        self.say(&ToChild::Prepare { generation, part: part.unwrap_or(idle), state: None });
    }

    /// Starts a successor and hands it the configuration that runs.
    pub(super) fn revive(
        &mut self,
        part: P,
        generation: u64,
        assignment: &Assignment,
        out: &mut Vec<Happening>,
    ) {
        if !self.start(assignment, out) {
            self.schedule(Duration::ZERO);
            return;
        }
        self.prepare_alone(part, generation);
    }

    /// Gives a successor that has not committed anything yet the configuration that runs, and the state to go on from.
    pub(super) fn prepare_alone(&mut self, part: P, generation: u64) {
        if let Some(alive) = &mut self.alive {
            alive.prepared = generation;
            alive.alone = Some(generation);
        }
        let state = self.state.clone();
        self.say(&ToChild::Prepare { generation, part, state });
    }

    /// It runs a configuration.
    pub(super) fn committed(&mut self) {
        if let Some(alive) = &mut self.alive {
            alive.working = true;
        }
    }

    /// Is it a successor that was interrupted by another configuration before it ran its first?
    pub(super) fn is_unfinished(&self) -> bool {
        self.alive.as_ref().is_some_and(|alive| !alive.working)
    }

    pub(super) fn start(&mut self, assignment: &Assignment, out: &mut Vec<Happening>) -> bool {
        let started = Channel::pair().map_err(|error| error.to_string()).and_then(|(channel, far)| {
            start(assignment, &far).map(|process| (channel, process)).map_err(|error| error.to_string())
        });
        match started {
            Ok((channel, process)) => {
                let pid = process.id().unwrap_or(0);
                tracing::info!("Starting {} child process, pid={pid}", self.role.title());
                out.push(Happening::Started { role: self.role, pid });
                let born = Instant::now();
                let (open, asked, prepared, alone, working) = (true, false, 0, None, false);
                self.alive =
                    Some(Alive { process, pid, channel, open, born, asked, prepared, alone, working });
                true
            }
            Err(error) => {
                tracing::info!("Cannot start the {} process: {error}", self.role.title());
                false
            }
        }
    }

    pub(super) fn say(&mut self, message: &ToChild<P>) {
        if let Some(alive) = &mut self.alive {
            // A child that has gone is noticed by its end, not here.
            let _ = alive.channel.send(message);
        }
    }

    pub(super) fn say_with(&mut self, message: &ToChild<P>, descriptor: OwnedFd) {
        if let Some(alive) = &mut self.alive {
            let _ = alive.channel.send_with(message, descriptor);
        }
    }

    pub(super) fn stop(&mut self) {
        self.due = None;
        self.say(&ToChild::Stop);
        if let Some(alive) = &mut self.alive {
            alive.asked = true;
        }
    }

    pub(super) fn kill(&mut self) {
        if let Some(alive) = &mut self.alive {
            let _ = alive.process.start_kill();
        }
    }

    /// Forgets a process that ended: was it asked to, and how long had it lived?
    pub(super) fn bury(&mut self) -> (bool, Duration) {
        self.alive.take().map_or((true, Duration::ZERO), |alive| (alive.asked, alive.born.elapsed()))
    }

    pub(super) fn schedule(&mut self, lived: Duration) -> Duration {
        let wait = self.back_off.died(lived);
        self.due = Some(Instant::now() + wait);
        wait
    }

    /// What this child says, until its channel closes; then how it ended; then when it is due again. Cancel-safe.
    pub(super) async fn next(&mut self) -> SlotEvent {
        let Some(alive) = &mut self.alive else {
            until(self.due).await;
            self.due = None;
            return SlotEvent::RespawnDue;
        };
        while alive.open {
            match alive.channel.next().await {
                Some(Ok(received)) => return SlotEvent::Said(received.message),
                Some(Err(error)) => tracing::info!("{} process: {error}", self.role.title()),
                None => alive.open = false,
            }
        }
        let status = if let Ok(status) = timeout(CLOSED_LIMIT, alive.process.wait()).await {
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

    #[tokio::test]
    async fn only_the_prober_of_a_lost_checkers_process_is_an_orphan() {
        let mut prober = Prober::default();
        assert!(ended(&mut prober).await);
        assert!(!prober.orphan, "its successor is none");
    }
}
