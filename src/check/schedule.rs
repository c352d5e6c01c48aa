//! When one checker attempts, and what its attempts mean: retries, several urls, recovery.
//!
//! Pure: takes `now`, gives a deadline; nothing here connects or sleeps, and the random part of the first delay is
//! passed in. Delays count from the end of an attempt. spec/checkers.md §3, §6, §7; the moment table there is a test
//! here.
//!
//! Contract: [`Event::Due`] before the deadline, and answers nobody asked for, are harmless. The configuration passed
//! to `handle` is always the one the schedule was made or last carried over for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Failure, Outcome};
use crate::config::model::{CheckKind, Checker, HttpCheck};
use crate::time::Time;

/// What happened to a checker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The driver: the deadline is reached.
    Due,
    /// The prober: what came of the attempt.
    Outcome(Outcome),
    /// The driver: the prober died with the attempt.
    ProberLost,
    /// The virtual server: the kernel refused what the last [`Action::Up`] or [`Action::Down`] asked for.
    Undo,
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Attempt this: the `n`-th url, or 0 for a check without urls.
    Probe {
        /// Index of the url.
        url: usize,
    },
    /// Log this line.
    Log(String),
    /// The checker recovered.
    Up,
    /// The checker failed for good.
    Down,
    /// A checker that began as failed has failed.
    StillDown,
}

/// A checker, as the schedule needs to see it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its configuration.
    pub checker: &'a Checker,
    /// How logs name its real server: `[10.0.0.2]:tcp:80`.
    pub real_server: &'a str,
    /// The global `checker_log_all_failures`.
    pub log_all_failures: bool,
}

/// How a schedule begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// At start: the first failure is decisive, whatever `retry` says.
    Start,
    /// A new checker after a reload: takes its retries from the first attempt.
    Reload,
    /// As a predecessor left it; also a checker that takes over from one that is gone.
    Resumed {
        /// Is it up?
        up: bool,
        /// Has it run?
        has_run: bool,
    },
}

/// The state machine of one checker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    up: bool,
    /// It passed a whole round, or failed, at least once.
    has_run: bool,
    /// The first failure before `has_run` is decisive.
    impatient: bool,
    /// Failures in a row that were forgiven; stays while down.
    failures: u32,
    /// The url to attempt next.
    url: usize,
    /// Down, and `url` is the one that failed: it must pass before the round that decides.
    retrying: bool,
    next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    At(Time),
    /// The prober has it.
    Asked,
}

/// Where the first attempt is placed: 1 s after start or reload, and a random part of `warmup`.
/// `random` is anything in `0..=u32::MAX`.
pub fn first_delay(checker: &Checker, random: u32) -> Duration {
    let warmup = u64::try_from(checker.timing.warmup.as_micros()).unwrap_or(u64::MAX);
    let part = u128::from(warmup) * u128::from(random) / u128::from(u32::MAX);
    Duration::from_secs(1) + Duration::from_micros(u64::try_from(part).unwrap_or(u64::MAX))
}

impl Schedule {
    /// A checker whose first attempt is due at `first`.
    pub fn new(checker: &Checker, beginning: Beginning, first: Time) -> Self {
        let (up, has_run) = match beginning {
            Beginning::Start | Beginning::Reload => (!checker.alpha, false),
            Beginning::Resumed { up, has_run } => (up, has_run),
        };
        let impatient = beginning == Beginning::Start;
        let next = Next::At(first);
        Self { up, has_run, impatient, failures: 0, url: 0, retrying: false, next }
    }

    /// The same checker with new options: keeps its result, begins with the first url. An attempt that is under way
    /// is forgotten.
    pub fn carry_over(&mut self, checker: &Checker, first: Time) {
        self.failures = self.failures.min(checker.timing.retry);
        self.url = 0;
        self.retrying = false;
        self.next = Next::At(first);
    }

    /// When to call `handle` with [`Event::Due`]; none while an attempt is under way.
    pub fn deadline(&self) -> Option<Time> {
        match self.next {
            Next::At(time) => Some(time),
            Next::Asked => None,
        }
    }

    /// Is the checker up?
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Has it passed a round, or failed, since it began?
    pub fn has_run(&self) -> bool {
        self.has_run
    }

    /// Failures in a row that were forgiven.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The url that is being retried, if the checker is down because of one.
    pub fn failed_url(&self) -> Option<usize> {
        (!self.up && self.retrying).then_some(self.url)
    }

    /// Takes one event.
    pub fn handle(&mut self, subject: Subject<'_>, now: Time, event: Event, out: &mut Vec<Action>) {
        let timing = &subject.checker.timing;
        match (event, self.next) {
            (Event::Due, Next::At(time)) if time <= now => self.ask(out),
            (Event::ProberLost, Next::Asked) => self.ask(out),
            (Event::Outcome(Outcome::Passed), Next::Asked) => {
                let delay = match &subject.checker.kind {
                    CheckKind::Http(http) => self.url_passed(subject, http, out),
                    CheckKind::Tcp(_) => {
                        self.passed(subject, out);
                        timing.delay_loop
                    }
                };
                self.next = Next::At(now + delay);
            }
            (Event::Outcome(Outcome::Failed(failure)), Next::Asked) => {
                let delay = self.failed(subject, &failure, out);
                self.next = Next::At(now + delay);
            }
            (Event::Outcome(Outcome::NotTried { errno, what }), Next::Asked) => {
                let reason = errno.map(|errno| format!(": {}", std::io::Error::from_raw_os_error(errno)));
                out.push(Action::Log(format!(
                    "{} on service {}: {what}{}: bind failed. Rescheduling.",
                    check_name(subject.checker),
                    subject.real_server,
                    reason.unwrap_or_default()
                )));
                self.next = Next::At(now + timing.delay_loop);
            }
            (Event::Undo, _) => {
                self.up = !self.up;
                // The next failure, or the next round, reports again.
                self.failures = timing.retry;
                self.retrying = false;
            }
            (Event::Due | Event::ProberLost | Event::Outcome(_), _) => {}
        }
    }

    fn ask(&mut self, out: &mut Vec<Action>) {
        self.next = Next::Asked;
        out.push(Action::Probe { url: self.url });
    }

    /// One url passed; returns the delay until the next attempt.
    fn url_passed(&mut self, subject: Subject<'_>, http: &HttpCheck, out: &mut Vec<Action>) -> Duration {
        let hurry = http.fast_recovery && (!self.has_run || !self.up);
        self.failures = 0;
        if !self.up
            && let Some(url) = http.urls.get(self.url)
        {
            let mut say = |what: &str| {
                let (rs, path) = (subject.real_server, &url.path);
                out.push(Action::Log(format!("{what} success to {rs} url({path})")));
            };
            say("HTTP status code");
            if url.digest.is_some() {
                say("MD5 digest");
            }
        }
        if self.retrying {
            // Only now does the round begin that decides.
            self.retrying = false;
            self.url = 0;
        } else if self.url + 1 < http.urls.len() {
            self.url += 1;
        } else {
            self.url = 0;
            self.passed(subject, out);
            return subject.checker.timing.delay_loop;
        }
        if hurry { Duration::ZERO } else { subject.checker.timing.delay_loop }
    }

    /// Everything passed once.
    fn passed(&mut self, subject: Subject<'_>, out: &mut Vec<Action>) {
        if !self.up || !self.has_run {
            let rs = subject.real_server;
            out.push(Action::Log(match subject.checker.kind {
                CheckKind::Tcp(_) => format!("TCP connection to {rs} success."),
                CheckKind::Http(_) => format!("Remote Web server {rs} succeed on service."),
            }));
        }
        self.failures = 0;
        self.has_run = true;
        if !std::mem::replace(&mut self.up, true) {
            out.push(Action::Up);
        }
    }

    /// An attempt failed; returns the delay until the next.
    fn failed(&mut self, subject: Subject<'_>, failure: &Failure, out: &mut Vec<Action>) -> Duration {
        let checker = subject.checker;
        let timing = &checker.timing;
        let when_down = match checker.kind {
            CheckKind::Tcp(_) => timing.delay_loop,
            CheckKind::Http(_) => timing.delay_loop.max(timing.delay_before_retry),
        };
        let first_run = !self.has_run;
        if (checker.log_all_failures || subject.log_all_failures) && (self.up || first_run) {
            out.push(Action::Log(attempt_line(subject, failure)));
        }
        if !self.up {
            self.has_run = true;
            self.retrying = true;
            if first_run {
                out.push(Action::StillDown);
            }
            return when_down;
        }
        let decisive = self.failures >= timing.retry || (first_run && self.impatient);
        if !decisive {
            self.failures += 1;
            return timing.delay_before_retry;
        }
        let (name, rs, retry) = (check_name(checker), subject.real_server, timing.retry);
        let untold = match checker.kind {
            CheckKind::Tcp(_) => retry == 0 || (first_run && self.impatient),
            CheckKind::Http(_) => retry == 0,
        };
        out.push(Action::Log(if untold {
            format!("{name} on service {rs} failed.")
        } else {
            format!("{name} on service {rs} failed after {retry} retries.")
        }));
        self.up = false;
        self.has_run = true;
        self.retrying = true;
        self.failures = timing.retry;
        out.push(Action::Down);
        when_down
    }
}

/// As stock's log lines name the check.
fn check_name(checker: &Checker) -> &'static str {
    match &checker.kind {
        CheckKind::Tcp(_) => "TCP_CHECK",
        CheckKind::Http(http) if http.tls => "SSL_CHECK",
        CheckKind::Http(_) => "HTTP_CHECK",
    }
}

/// The line of one failed attempt, with `log_all_failures`.
fn attempt_line(subject: Subject<'_>, failure: &Failure) -> String {
    let rs = subject.real_server;
    let http = match &subject.checker.kind {
        CheckKind::Tcp(_) => {
            let how = if *failure == Failure::ConnectTimeout { "timeout" } else { "failed" };
            return format!("TCP connection to {rs} {how}.");
        }
        CheckKind::Http(http) => http,
    };
    let what = match failure {
        Failure::ConnectTimeout | Failure::TlsTimeout => "Timeout connecting",
        Failure::ConnectRefused { at_once: true, .. } => "Error connecting",
        Failure::ConnectRefused { at_once: false, .. } => "Connection failed",
        Failure::Send { .. } => "Cannot send get request to",
        Failure::ReadTimeout { .. } if http.tls => "Timeout SSL read",
        Failure::ReadTimeout { received: false } => "Timeout WEB read",
        Failure::ReadTimeout { received: true } => "Timeout HTTP read",
        Failure::Read { .. } => "Read error with",
        Failure::NoData => "Read, no data received from",
        Failure::Tls { .. } => "SSL handshake/communication error connecting to",
        Failure::Status { .. } => "HTTP status code error to",
        Failure::Digest { .. } => "MD5 digest error to",
    };
    format!("{what} server {rs}.")
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
