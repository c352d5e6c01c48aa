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

use super::Outcome;
use super::wording::{self, Turn, Why};
use crate::config::model::{CheckKind, Checker, HttpCheck, MiscCheck, ScriptEnd};
use crate::lvs::label::RealServerName;
use crate::time::Time;

/// What happened to a checker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The driver: the deadline is reached.
    Due,
    /// The prober: what came of the attempt, and when that was known.
    Outcome(Outcome, Time),
    /// The parent: how the script of a `MISC_CHECK` ended.
    Script(ScriptEnd),
    /// The BFD process, for a `BFD_CHECK`: is the session up?
    Session {
        /// It is.
        up: bool,
    },
    /// The driver, for a `FILE_CHECK`: the number that its file holds, 0 when there is none.
    Number(i32),
    /// The driver: the prober died with the attempt.
    ProberLost,
    /// The virtual server: the kernel refused what the last [`Action::Up`] or [`Action::Down`] asked for.
    Undo,
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Attempt this: the `n`-th url, or 0 for a check without urls. A `MISC_CHECK` runs its script.
    Probe {
        /// Index of the url.
        url: usize,
    },
    /// Log this line.
    Log(String),
    /// A mail of its own may be wanted: it passed or failed, in stock's words.
    Alert {
        /// Passed?
        up: bool,
        /// The text.
        text: String,
    },
    /// The checker recovered.
    Up,
    /// The checker failed for good.
    Down,
    /// A checker that began as failed has failed.
    StillDown,
    /// What it adds to the configured weight now; before [`Action::Up`], so that the server comes with its weight.
    Contribution(i64),
}

/// A checker, as the schedule needs to see it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its configuration.
    pub checker: &'a Checker,
    /// How logs name its real server: `[10.0.0.2]:tcp:80`.
    pub real_server: RealServerName,
    /// How logs name its virtual server: `[10.0.0.1]:tcp:80`.
    pub virtual_server: &'a str,
    /// The configured weight of its real server.
    pub weight: u32,
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
    url: u32,
    /// Down, and `url` is the one that failed: it must pass before the round that decides.
    retrying: bool,
    next: Next,
    /// How the script of a `MISC_CHECK` ended last: 0 before, and after a signal.
    last_status: u8,
    /// When it asked last, and how often it did.
    last_run: Option<Time>,
    attempts: u32,
    /// What it adds to the weight.
    contribution: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    At(Time),
    /// The prober, or the parent, has it.
    Asked,
    /// A checker that is told: it never asks.
    Told,
    /// Until [`Schedule::resume`].
    Suspended,
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
            Beginning::Start | Beginning::Reload => (!checker.alpha, is_told(checker)),
            Beginning::Resumed { up, has_run } => (up, has_run),
        };
        let impatient = beginning == Beginning::Start;
        let next = if is_told(checker) { Next::Told } else { Next::At(first) };
        Self {
            up,
            has_run,
            impatient,
            failures: 0,
            url: 0,
            retrying: false,
            next,
            last_status: 0,
            last_run: None,
            attempts: 0,
            contribution: 0,
        }
    }

    /// The same checker with new options: keeps its result, begins with the first url. An attempt that is under way
    /// is forgotten.
    pub fn carry_over(&mut self, checker: &Checker, first: Time) {
        self.failures = self.failures.min(checker.timing.retry);
        self.url = 0;
        self.retrying = false;
        self.next = if is_told(checker) { Next::Told } else { Next::At(first) };
    }

    /// Attempts no more; an attempt that is under way is forgotten. What it said last goes on to count. A checker that is
    /// told is not concerned.
    pub fn suspend(&mut self) {
        if self.next != Next::Told {
            self.next = Next::Suspended;
        }
    }

    /// Does it wait for [`Self::resume`]?
    pub fn is_suspended(&self) -> bool {
        self.next == Next::Suspended
    }

    /// Attempts again, first at `first`.
    pub fn resume(&mut self, first: Time) {
        if self.next == Next::Suspended {
            self.next = Next::At(first);
        }
    }

    /// The weight that a predecessor's checker added.
    pub fn with_contribution(self, contribution: i64) -> Self {
        Self { contribution, ..self }
    }

    /// The url that is attempted next, or is under way.
    pub fn url(&self) -> usize {
        self.url as usize
    }

    /// Is an attempt under way?
    pub fn is_asked(&self) -> bool {
        self.next == Next::Asked
    }

    /// As if it had just asked: an equal checker did, and the answer is for both. False for one that does not attempt.
    pub fn join(&mut self, now: Time) -> bool {
        if let Next::At(_) = self.next {
            self.next = Next::Asked;
            self.last_run = Some(now);
            self.attempts = self.attempts.wrapping_add(1);
        }
        self.next == Next::Asked
    }

    /// When to call `handle` with [`Event::Due`]; none while an attempt is under way.
    pub fn deadline(&self) -> Option<Time> {
        match self.next {
            Next::At(time) => Some(time),
            Next::Asked | Next::Told | Next::Suspended => None,
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
        (!self.up && self.retrying).then_some(self.url())
    }

    /// The last exit status of its script, and when that was started.
    pub fn last_run(&self) -> (u8, Option<Time>) {
        (self.last_status, self.last_run)
    }

    /// How often it has asked.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Takes one event.
    pub fn handle(&mut self, subject: Subject<'_>, now: Time, event: Event, out: &mut Vec<Action>) {
        let timing = &subject.checker.timing;
        match (event, self.next) {
            (Event::Due, Next::At(time)) if time <= now => self.ask(now, out),
            (Event::ProberLost, Next::Asked) => self.ask(now, out),
            (Event::Outcome(Outcome::Passed, known), Next::Asked) => {
                let delay = if let CheckKind::Http(http) = &subject.checker.kind {
                    self.url_passed(subject, http, out)
                } else {
                    self.passed(subject, out);
                    timing.delay_loop
                };
                self.next = Next::At(self.counted(known) + delay);
            }
            (Event::Outcome(Outcome::Failed(failure), known), Next::Asked) => {
                let delay = self.failed(subject, Why::Failure(&failure), out);
                self.next = Next::At(self.counted(known) + delay);
            }
            (Event::Outcome(Outcome::NotTried { errno, what }, known), Next::Asked) => {
                let reason = errno.map(|errno| format!(": {}", std::io::Error::from_raw_os_error(errno)));
                out.push(Action::Log(format!(
                    "{} on service {}: {what}{}: bind failed. Rescheduling.",
                    wording::check_name(subject.checker),
                    subject.real_server,
                    reason.unwrap_or_default()
                )));
                self.next = Next::At(self.counted(known) + timing.delay_loop);
            }
            (Event::Script(end), Next::Asked) => {
                if let CheckKind::Misc(misc) = &subject.checker.kind {
                    self.script_ended(subject, misc, end, now, out);
                }
            }
            (Event::Session { up }, Next::Told) => self.session(subject, up, out),
            (Event::Number(number), Next::Told) => self.number(subject, number, out),
            (Event::Undo, _) => {
                self.up = !self.up;
                // The next failure, or the next round, reports again.
                self.failures = timing.retry;
                self.retrying = false;
            }
            _ => {}
        }
    }

    /// Where a pause begins: when the outcome was known, which cannot be before it was asked for.
    fn counted(&self, known: Time) -> Time {
        self.last_run.map_or(known, |asked| known.max(asked))
    }

    fn ask(&mut self, now: Time, out: &mut Vec<Action>) {
        self.next = Next::Asked;
        self.last_run = Some(now);
        self.attempts = self.attempts.wrapping_add(1);
        out.push(Action::Probe { url: self.url() });
    }

    /// The delays of scripts count from their start (spec/checkers.md §3).
    fn script_ended(
        &mut self,
        subject: Subject<'_>,
        misc: &MiscCheck,
        end: ScriptEnd,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let status = match end {
            ScriptEnd::Exited { status } => Some(status),
            _ => None,
        };
        let weight = i64::from(subject.weight);
        let contribution = match status {
            Some(0) => Some(0),
            Some(status @ 2..) if misc.dynamic => Some(i64::from(status) - 2 - weight),
            _ => None,
        };
        self.last_status = status.unwrap_or(0);
        let delay = if let Some(contribution) = contribution {
            self.contribute(if misc.dynamic { contribution } else { 0 }, out);
            self.passed(subject, out);
            subject.checker.timing.delay_loop
        } else {
            let delay = self.failed(subject, Why::Script(end), out);
            // Stock forgets the contribution of a script that was killed without taking it back.
            if !self.up {
                self.contribute(0, out);
            }
            delay
        };
        let start = self.last_run.unwrap_or(now);
        self.next = Next::At((start + delay).max(now));
    }

    fn contribute(&mut self, contribution: i64, out: &mut Vec<Action>) {
        if std::mem::replace(&mut self.contribution, contribution) != contribution {
            out.push(Action::Contribution(contribution));
        }
    }

    fn session(&mut self, subject: Subject<'_>, up: bool, out: &mut Vec<Action>) {
        if std::mem::replace(&mut self.up, up) == up {
            return;
        }
        if let CheckKind::Bfd(bfd) = &subject.checker.kind {
            out.push(Action::Log(wording::bfd(subject, &bfd.name, up)));
            out.push(alert(subject, up, None));
        }
        out.push(if up { Action::Up } else { Action::Down });
    }

    /// The product of number and weight is added to the weight; at its lower end the check has failed
    /// (spec/checkers.md §5).
    fn number(&mut self, subject: Subject<'_>, number: i32, out: &mut Vec<Action>) {
        let CheckKind::File(file) = &subject.checker.kind else { return };
        let product = i64::from(number) * i64::from(file.weight) * if file.reverse { -1 } else { 1 };
        let failed = if file.weight == 0 { number != 0 } else { product <= i64::from(i32::MIN) };
        if failed {
            self.contribute(0, out);
            if std::mem::replace(&mut self.up, false) {
                out.push(Action::Down);
            }
        } else {
            self.contribute(product, out);
            if !std::mem::replace(&mut self.up, true) {
                out.push(Action::Up);
            }
        }
    }

    /// One url passed; returns the delay until the next attempt.
    fn url_passed(&mut self, subject: Subject<'_>, http: &HttpCheck, out: &mut Vec<Action>) -> Duration {
        let hurry = http.fast_recovery && (!self.has_run || !self.up);
        self.failures = 0;
        if !self.up
            && let Some(url) = http.urls.get(self.url())
        {
            let mut say = |what: &str| {
                let (rs, path) = (subject.real_server, &url.path);
                out.push(Action::Log(format!("{what} success to {rs} url({path})")));
            };
            say("HTTP status code");
            if url.digest.is_some() {
                say("MD5 digest");
            }
            if url.regex.is_some() {
                say("Regex match");
            }
        }
        if self.retrying {
            // Only now does the round begin that decides.
            self.retrying = false;
            self.url = 0;
        } else if self.url() + 1 < http.urls.len() {
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
            out.extend(wording::passed(subject).map(Action::Log));
            // Stock: a script is told of also when it passes for the first time.
            if !self.up || matches!(subject.checker.kind, CheckKind::Misc(_)) {
                out.push(alert(subject, true, None));
            }
        }
        self.failures = 0;
        self.has_run = true;
        if !std::mem::replace(&mut self.up, true) {
            out.push(Action::Up);
        }
    }

    /// An attempt failed; returns the delay until the next.
    fn failed(&mut self, subject: Subject<'_>, why: Why<'_>, out: &mut Vec<Action>) -> Duration {
        let checker = subject.checker;
        let timing = &checker.timing;
        let is_smtp = matches!(checker.kind, CheckKind::Smtp(_));
        let when_down = match checker.kind {
            CheckKind::Http(_) => timing.delay_loop.max(timing.delay_before_retry),
            _ => timing.delay_loop,
        };
        let first_run = !self.has_run;
        let turn =
            Turn { forgiven: self.failures, impatient: first_run && self.impatient && !is_smtp && self.up };
        let decisive = self.failures >= timing.retry || turn.impatient;
        // What is decisive has a line of its own; for some that is the same one.
        let same_line = matches!(checker.kind, CheckKind::Smtp(_) | CheckKind::Dns(_) | CheckKind::Misc(_));
        if (checker.log_all_failures || subject.log_all_failures)
            && (self.up || first_run)
            && !(decisive && self.up && same_line)
        {
            out.push(Action::Log(wording::attempt(subject, why, turn)));
        }
        if !self.up {
            self.has_run = true;
            self.retrying = true;
            if is_smtp && self.failures < timing.retry {
                // Its retries count anew in every cycle, whatever its state (spec/checkers.md §8).
                self.failures += 1;
                if first_run {
                    self.has_run = false;
                }
                return timing.delay_before_retry;
            }
            if is_smtp {
                self.failures = 0;
            }
            if first_run {
                out.push(Action::StillDown);
            }
            return when_down;
        }
        if !decisive {
            self.failures += 1;
            return timing.delay_before_retry;
        }
        out.push(Action::Log(wording::gone(subject, why, turn)));
        out.push(alert(subject, false, Some(why)));
        self.up = false;
        self.has_run = true;
        self.retrying = true;
        self.failures = if is_smtp { 0 } else { timing.retry };
        out.push(Action::Down);
        when_down
    }
}

/// Is it told of changes, instead of asking?
fn is_told(checker: &Checker) -> bool {
    matches!(checker.kind, CheckKind::File(_) | CheckKind::Bfd(_))
}

fn alert(subject: Subject<'_>, up: bool, why: Option<Why<'_>>) -> Action {
    Action::Alert { up, text: wording::mailed(subject, up, why) }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
