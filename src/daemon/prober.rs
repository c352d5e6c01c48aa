//! The prober: the process that parses what foreign servers send, and has no rights.
//!
//! It is told what to probe by the checkers process and answers, both in batches; it decides nothing, keeps nothing,
//! and ends with its channel. What needs rights (a firewall mark, an interface, a low port) was done by the checkers
//! before, to a socket that comes with the request. docs/design.md "Processes".

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, JoinError, JoinSet};
use tracing::{debug, info};

use super::channel::{Channel, ChannelError, Received};
use super::exit::Exit;
use super::ipc::{FromProber, ToProber};
use crate::check::probe::Probes;
use crate::check::{Outcome, ProbeReport, ProbeRequest};
use crate::kernel::error::Error;
use crate::kernel::timer::now;
use crate::kernel::{memory, process, rights};

/// Who the process becomes; else it is nobody.
const USERS: [&str; 1] = ["keepalived-rs"];

/// Descriptors that are not sockets of probes: the channel, the log, the event loop, messages being received.
const RESERVED: usize = 64;

/// Probes whose socket came with them start at once; so many may go beyond the slots before no more is heard.
const SURPLUS: usize = RESERVED / 2;

/// After reports have left the next ones wait this long at most for others: where probes are many, they leave by the dozen.
const REST: Duration = Duration::from_millis(2);

/// From its start, or a burst of requests, until memory that was needed for that is given back.
const TIDY_PAUSE: Duration = Duration::from_secs(4);

/// More requests at a time are a burst.
const BURST: usize = 512;

/// Probes that begin together. Before the next ones do, these get on: most need little time, and so ten thousand requests
/// that come at once are never ten thousand probes at once.
const BEGINNERS: usize = 16;

/// Reports that leave together at most.
const BATCH: usize = 256;

/// Processor time of one turn of the loop, beyond which it will never end: the worst that is allowed to any probe is a
/// small part of it. The parent starts another prober, and the checks under way are named in the log.
const ENDLESS: Duration = Duration::from_secs(10);

/// While probes run a turn lasts this long at most: many of them together may use more processor time before the first ends.
const PULSE: Duration = Duration::from_secs(1);

/// The limit is renewed so often at most: turns may be thousands a second.
const RENEWAL: Duration = Duration::from_millis(500);

/// Plays the role until the channel closes.
pub async fn play(channel: OwnedFd) -> Result<Exit, Error> {
    let slots = process::raise_open_files()?.saturating_sub(RESERVED).max(1);
    let impossible = rights::keep_none(&USERS);
    if !impossible.is_empty() {
        info!("The prober keeps rights it should not have: {}", impossible.join(", "));
    }
    let mut renewed: Option<Instant> = None;
    let turn = || {
        let now = Instant::now();
        if renewed.is_none_or(|at| now - at >= RENEWAL) {
            renewed = Some(now);
            process::end_unless_called_again(ENDLESS);
        }
    };
    Ok(serve(Channel::new(channel)?, slots, turn).await)
}

/// Says reports, hears requests.
type Checkers = Channel<FromProber, ToProber>;

/// Probes with at most `slots` sockets at a time until the channel closes. Calls `turn` before each turn of the loop.
async fn serve(mut checkers: Checkers, slots: usize, mut turn: impl FnMut()) -> Exit {
    let mut prober = Prober {
        probes: Arc::new(Probes::new()),
        running: JoinSet::new(),
        handles: HashMap::new(),
        queue: VecDeque::new(),
        slots,
    };
    let mut ready: Vec<ProbeReport> = Vec::new();
    let rested = tokio::time::sleep(Duration::ZERO);
    tokio::pin!(rested);
    let tidy = tokio::time::sleep(TIDY_PAUSE);
    tokio::pin!(tidy);
    let mut is_tidy = false;
    let pulse = tokio::time::sleep(PULSE);
    tokio::pin!(pulse);
    loop {
        turn();
        if prober.may_start() {
            tokio::task::yield_now().await;
        }
        let reports = tokio::select! {
            // Each message may bring a socket.
            received = checkers.next(), if prober.running.len() < slots + SURPLUS => match received {
                Some(Ok(received)) => prober.hear(received),
                // What was asked would be waited for without end; a successor is asked again.
                Some(Err(error)) => return lost(&error),
                None => return Exit::Success,
            },
            Some(ended) = prober.running.join_next() => prober.collect(ended),
            () = std::future::ready(()), if prober.may_start() => Vec::new(),
            () = &mut rested, if !ready.is_empty() => Vec::new(),
            () = &mut pulse, if !prober.running.is_empty() => {
                pulse.as_mut().reset(tokio::time::Instant::now() + PULSE);
                Vec::new()
            }
            () = &mut tidy, if !is_tidy => {
                is_tidy = true;
                prober.tidy();
                Vec::new()
            }
        };
        prober.start_queued();
        if is_tidy && prober.is_in_burst() {
            is_tidy = false;
            tidy.as_mut().reset(tokio::time::Instant::now() + TIDY_PAUSE);
        }
        ready.extend(reports);
        if !ready.is_empty() && (rested.is_elapsed() || rested.deadline() <= tokio::time::Instant::now()) {
            if let Err(error) = checkers.send(&FromProber::Done(std::mem::take(&mut ready))) {
                return lost(&error);
            }
            rested.as_mut().reset(tokio::time::Instant::now() + REST);
        }
    }
}

/// Nobody hears the reports any more: the successor of this process starts afresh.
fn lost(error: &ChannelError) -> Exit {
    if matches!(error, ChannelError::Closed) {
        debug!("the checkers process is gone");
        return Exit::Success;
    }
    info!("The prober ends: {error}");
    Exit::Fatal
}

/// What is being probed.
struct Prober {
    probes: Arc<Probes>,
    running: JoinSet<ProbeReport>,
    handles: HashMap<u64, AbortHandle>,
    /// Without a slot yet, oldest first.
    queue: VecDeque<ProbeRequest>,
    slots: usize,
}

impl Prober {
    /// Does what is asked. Returns what can be answered at once.
    fn hear(&mut self, Received { message, descriptor }: Received<ToProber>) -> Vec<ProbeReport> {
        match (message, descriptor) {
            (ToProber::Probe(requests), _) => self.queue.extend(requests),
            (ToProber::ProbeOn(request), Some(socket)) => self.start(*request, Some(socket)),
            (ToProber::ProbeOn(request), None) => {
                let what = "taking over the socket, which did not come".to_owned();
                return vec![report(request.id, Outcome::NotTried { errno: None, what })];
            }
            (ToProber::Tls(profiles), _) => self.probes.present(profiles),
            (ToProber::Cancel(ids), _) => {
                for id in ids {
                    self.cancel(id);
                }
            }
        }
        Vec::new()
    }

    /// Gives back what the start, or a burst, needed.
    fn tidy(&mut self) {
        self.queue.shrink_to_fit();
        self.handles.shrink_to_fit();
        memory::trim();
        memory::trim_stack();
        memory::let_go_of_code();
    }

    fn cancel(&mut self, id: u64) {
        if let Some(handle) = self.handles.remove(&id) {
            handle.abort();
        } else if let Some(place) = self.queue.iter().position(|request| request.id == id) {
            self.queue.remove(place);
        }
    }

    /// Does a request wait that has a slot?
    fn may_start(&self) -> bool {
        !self.queue.is_empty() && self.running.len() < self.slots
    }

    fn is_in_burst(&self) -> bool {
        self.queue.len() + self.running.len() > BURST
    }

    fn start_queued(&mut self) {
        for _ in 0..BEGINNERS {
            if !self.may_start() {
                break;
            }
            if let Some(request) = self.queue.pop_front() {
                self.start(request, None);
            }
        }
        if self.queue.is_empty() {
            self.queue.shrink_to(BEGINNERS);
        }
    }

    fn start(&mut self, ProbeRequest { id, probe }: ProbeRequest, socket: Option<OwnedFd>) {
        let probes = Arc::clone(&self.probes);
        let handle = self.running.spawn(async move {
            let (outcome, remarks) = probes.run(&probe, socket).await;
            ProbeReport { remarks, ..report(id, outcome) }
        });
        self.handles.insert(id, handle);
    }

    /// The reports of this probe and of all others that have ended.
    fn collect(&mut self, ended: Result<ProbeReport, JoinError>) -> Vec<ProbeReport> {
        let mut reports = Vec::new();
        let mut next = Some(ended);
        while let Some(ended) = next {
            match ended {
                Ok(report) => {
                    // Cancelled in the moment it ended: no longer wanted.
                    if self.handles.remove(&report.id).is_some() {
                        reports.push(report);
                    }
                }
                Err(error) if error.is_cancelled() => {}
                Err(error) => reports.extend(self.failed(&error)),
            }
            next = if reports.len() < BATCH { self.running.try_join_next() } else { None };
        }
        reports
    }

    /// A probe that panicked: only where panics do not end the process, as in tests.
    fn failed(&mut self, error: &JoinError) -> Option<ProbeReport> {
        let (&id, _) = self.handles.iter().find(|(_, handle)| handle.id() == error.id())?;
        self.handles.remove(&id);
        let what = format!("probing: {error}");
        Some(report(id, Outcome::NotTried { errno: None, what }))
    }
}

fn report(id: u64, outcome: Outcome) -> ProbeReport {
    ProbeReport { id, outcome, known: now(), remarks: Vec::new() }
}

#[cfg(test)]
#[path = "prober_tests.rs"]
mod tests;
