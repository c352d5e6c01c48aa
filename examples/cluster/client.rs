//! The demo's client: asks for the page many times a second and remembers who answered when.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::kit::http::get;
use crate::kit::net::Host;
use crate::kit::wait::Stamp;

/// Between the begin of two requests.
const PACE: Duration = Duration::from_millis(40);
/// After this a request counts as lost.
const PATIENCE: Duration = Duration::from_millis(300);

/// One request: when it ended and who answered.
type Request = (Stamp, Option<String>);

pub(crate) struct Client {
    host: Arc<Host>,
    service: Ipv4Addr,
    requests: Arc<Mutex<Vec<Request>>>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    marked: Stamp,
}

/// What happened since the last mark.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) lost: usize,
    /// The longest time without an answer, in seconds.
    pub(crate) gap: f64,
    by: BTreeMap<String, usize>,
}

impl Seen {
    /// Per cent of the answers that came from this server.
    pub(crate) fn share(&self, server: &str) -> usize {
        let all: usize = self.by.values().sum();
        (100 * self.by.get(server).copied().unwrap_or(0)).checked_div(all).unwrap_or(0)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered: usize = self.by.values().sum();
        let by: Vec<_> = self.by.iter().map(|(who, count)| format!("{who} {count}")).collect();
        write!(f, "{} requests: {answered} answered", answered + self.lost)?;
        if !by.is_empty() {
            write!(f, " ({})", by.join(", "))?;
        }
        write!(f, ", {} lost, longest gap {:.2} s", self.lost, self.gap)
    }
}

impl Client {
    pub(crate) fn on(host: Host, service: Ipv4Addr) -> Self {
        Self {
            host: Arc::new(host),
            service,
            requests: Arc::default(),
            ending: Arc::default(),
            thread: None,
            marked: Stamp::now(),
        }
    }

    /// Starts to ask.
    pub(crate) fn begin(&mut self) {
        let (host, service) = (Arc::clone(&self.host), self.service);
        let (requests, ending) = (Arc::clone(&self.requests), Arc::clone(&self.ending));
        self.thread = Some(std::thread::spawn(move || {
            while !ending.load(Ordering::Relaxed) {
                let begun = std::time::Instant::now();
                let answer = get(&host.space, service, 80, PATIENCE).ok();
                requests.lock().unwrap_or_else(PoisonError::into_inner).push((Stamp::now(), answer));
                std::thread::sleep(PACE.saturating_sub(begun.elapsed()));
            }
        }));
    }

    /// Stops to ask.
    pub(crate) fn end(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// From here on counts what `seen` tells.
    pub(crate) fn mark(&mut self) {
        self.marked = Stamp::now();
    }

    /// What happened since the mark.
    pub(crate) fn seen(&self) -> Seen {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = Seen { lost: 0, gap: 0.0, by: BTreeMap::new() };
        // The gap may have begun before the mark.
        let mut last =
            requests.iter().rfind(|(at, who)| *at < self.marked && who.is_some()).map(|(at, _)| *at);
        for (at, who) in requests.iter().filter(|(at, _)| *at >= self.marked) {
            if let Some(who) = who {
                *seen.by.entry(who.clone()).or_insert(0) += 1;
                seen.gap = last.map_or(seen.gap, |last| seen.gap.max(at.since(last)));
                last = Some(*at);
            } else {
                seen.lost += 1;
            }
        }
        seen
    }

    /// Whether each of them has answered since the mark.
    pub(crate) fn answered_by(&self, servers: &[&str]) -> bool {
        let seen = self.seen();
        servers.iter().all(|server| seen.by.contains_key(*server))
    }

    /// Whether an answer came more than that many seconds after a moment.
    pub(crate) fn answered_since(&self, moment: Stamp, seconds: f64) -> bool {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().any(|(at, who)| who.is_some() && at.since(moment) > seconds)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.end();
    }
}
