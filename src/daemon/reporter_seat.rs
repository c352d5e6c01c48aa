//! The place of the reporter process in its supervisor. It can die, hang or never start: nobody else notices.
//!
//! What it is told while it does not run is lost. One that does not read gets a full queue and is ended for that.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::process::Child;
use tokio::time::Instant;
use tracing::info;

use super::channel::{Channel, ChannelError};
use super::child::{Assignment, Role};
use super::ipc::{FromReporter, Service, ToReporter};
use super::respawn::BackOff;
use super::slot::{start, until};
use crate::config::model::ReporterPart;

/// How long it may take for its last words: connections are closed and what is on its way is delivered.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The place of the reporter.
#[derive(Default)]
pub(super) struct Reporter {
    alive: Option<Alive>,
    due: Option<Instant>,
    back_off: BackOff,
}

struct Alive {
    process: Child,
    channel: Channel<ToReporter, FromReporter>,
    born: Instant,
    /// It was told to end; after this it is ended.
    leaving: Option<Instant>,
}

/// What happened to it.
pub(super) enum ReporterHappening {
    /// It wants something.
    Said(FromReporter),
    /// It ended unasked.
    Ended { pid: u32 },
    /// A successor is due.
    Due,
}

impl Reporter {
    pub(super) fn is_alive(&self) -> bool {
        self.alive.is_some()
    }

    /// Gives it what it is to work by, starting it if that is needed; without anything it ends. The process id of a
    /// new one.
    pub(super) fn configure(&mut self, part: Option<ReporterPart>, assignment: &Assignment) -> Option<u32> {
        let Some(part) = part else {
            self.due = None;
            self.leave();
            return None;
        };
        let mut pid = None;
        if self.alive.is_none() {
            // One that died is not started earlier because of a reload.
            if self.due.is_some() {
                return None;
            }
            pid = self.start(assignment);
        }
        self.say(&ToReporter::Configure(Box::new(part)));
        pid
    }

    fn start(&mut self, assignment: &Assignment) -> Option<u32> {
        let started = Channel::pair().map_err(|error| error.to_string()).and_then(|(channel, far)| {
            start(assignment, &far).map(|process| (channel, process)).map_err(|error| error.to_string())
        });
        match started {
            Ok((channel, process)) => {
                let pid = process.id().unwrap_or(0);
                info!("Starting {} child process, pid={pid}", Role::Reporter.title());
                self.alive = Some(Alive { process, channel, born: Instant::now(), leaving: None });
                Some(pid)
            }
            Err(error) => {
                info!("Cannot start the reporter process: {error}");
                self.schedule(Duration::ZERO);
                None
            }
        }
    }

    /// Tells it something, if it runs.
    pub(super) fn say(&mut self, message: &ToReporter) {
        self.put(|channel| channel.send(message));
    }

    pub(super) fn connected(&mut self, service: Service, connection: Option<OwnedFd>) {
        let message = ToReporter::Connected(service);
        self.put(|channel| match connection {
            Some(connection) => channel.send_with(&message, connection),
            None => channel.send(&message),
        });
    }

    fn put(&mut self, send: impl FnOnce(&mut Channel<ToReporter, FromReporter>) -> Result<(), ChannelError>) {
        let Some(alive) = &mut self.alive else { return };
        match send(&mut alive.channel) {
            // That it has gone is noticed by its end, not here.
            Ok(()) | Err(ChannelError::Closed) => {}
            // What it was not told it would never learn; its successor begins with all of it.
            Err(error) => {
                info!("Reporter process: {error}, restarting it");
                alive.channel.fall_silent();
                self.kill();
            }
        }
    }

    /// Has it end. False when there is none (any more).
    pub(super) fn end(&mut self) -> bool {
        self.due = None;
        self.leave();
        self.alive.is_some()
    }

    fn leave(&mut self) {
        if self.alive.as_ref().is_some_and(|alive| alive.leaving.is_none()) {
            self.say(&ToReporter::Stop);
            if let Some(alive) = &mut self.alive {
                alive.leaving = Some(Instant::now() + LAST_WORDS);
            }
        }
    }

    pub(super) fn kill(&mut self) {
        if let Some(alive) = &mut self.alive {
            let _ = alive.process.start_kill();
        }
    }

    fn schedule(&mut self, lived: Duration) {
        let wait = self.back_off.died(lived);
        self.due = Some(Instant::now() + wait);
        info!("Restart of reporter process delayed {} seconds to limit respawn rate", wait.as_secs());
    }

    /// What it says, until it ends. Cancel-safe.
    pub(super) async fn next(&mut self) -> ReporterHappening {
        loop {
            let Some(alive) = &mut self.alive else {
                until(self.due).await;
                self.due = None;
                return ReporterHappening::Due;
            };
            let pid = alive.process.id().unwrap_or(0);
            tokio::select! {
                biased;
                received = alive.channel.next(), if !alive.channel.is_closed() => match received {
                    Some(Ok(received)) => return ReporterHappening::Said(received.message),
                    Some(Err(error)) => info!("Reporter process: {error}"),
                    // One that says nothing any more is of no use.
                    None => if alive.leaving.is_none() {
                        let _ = alive.process.start_kill();
                    },
                },
                _ = alive.process.wait() => {
                    let (lived, asked) = (alive.born.elapsed(), alive.leaving.is_some());
                    self.alive = None;
                    if !asked {
                        info!("{} child process({pid}) died: Respawning", Role::Reporter.title());
                        self.schedule(lived);
                        return ReporterHappening::Ended { pid };
                    }
                    // Told to end by one reload and wanted again by the next: the configuration that runs decides.
                    return ReporterHappening::Due;
                }
                () = until(alive.leaving) => {
                    info!("{} process failed to die - forcing termination", Role::Reporter.title());
                    let _ = alive.process.start_kill();
                    alive.leaving = Some(Instant::now() + LAST_WORDS);
                }
            }
        }
    }
}
