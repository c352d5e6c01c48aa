//! One tracked script: when it runs next, and what its results mean (rise, fall, first result).
//!
//! The parent starts it and enforces the timeout. spec/vrrp-behaviour.md §6.2.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Action, Actions, Detail};
use super::snapshot::{ScriptSnapshot, Verdict};
use crate::config::model::{ScriptEnd, VrrpScript};
use crate::time::Time;

/// After timeout and SIGKILL (2 s) a script is given up this much later: its end will never be told,
/// because whoever ran it has died.
const LOST: Duration = Duration::from_secs(10);

/// A tracked script at run time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ScriptRun {
    verdict: Verdict,
    /// 0..=rise+fall-1; OK from `rise` on.
    result: u32,
    next: Time,
    running: Option<Running>,
    /// The last exit status, to log changes only. Stock: a first success is no change.
    last_status: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Running {
    id: u64,
    since: Time,
}

impl ScriptRun {
    /// A script that has not run; it does so at `first`.
    pub(super) fn new(config: &VrrpScript, first: Time) -> Self {
        let verdict = if config.init_fail { Verdict::AssumedFailed } else { Verdict::Unknown };
        Self { verdict, result: 0, next: first, running: None, last_status: 0 }
    }

    /// When it runs next.
    pub(super) fn deadline(&self) -> Time {
        self.next
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The number of the run that is under way.
    pub(super) fn running(&self) -> Option<u64> {
        self.running.map(|running| running.id)
    }

    /// Starts it if it is due.
    pub(super) fn tick(&mut self, config: &VrrpScript, next_id: &mut u64, now: Time, out: &mut Actions) {
        if now < self.next {
            return;
        }
        let interval = config.interval.max(Duration::from_millis(1));
        self.next = if self.next + interval > now { self.next + interval } else { now + interval };
        let timeout = config.timeout.unwrap_or(config.interval);
        if let Some(running) = self.running
            && now < running.since + timeout + LOST
        {
            let text = format!("Track script {} is already running, expect idle - skipping run", config.name);
            out.push(Action::Log { detail: Detail::Normal, text });
            return;
        }
        let id = *next_id;
        *next_id += 1;
        self.running = Some(Running { id, since: now });
        out.push(Action::RunScript { id, command: config.command.clone(), timeout });
    }

    /// Takes the end of a run. Says whether the verdict changed.
    pub(super) fn ended(&mut self, config: &VrrpScript, end: ScriptEnd, out: &mut Actions) -> bool {
        let mut log = |text| out.push(Action::Log { detail: Detail::Normal, text });
        self.running = None;
        if let ScriptEnd::Exited { status } = end
            && status != self.last_status
        {
            self.last_status = status;
            log(format!("Script `{}` now returning {status}", config.name));
        }
        let before = self.verdict;
        let top = config.rise.saturating_add(config.fall).saturating_sub(1);
        if end == (ScriptEnd::Exited { status: 0 }) {
            self.result = match before {
                // One success is enough.
                Verdict::Unknown | Verdict::Good => top,
                Verdict::AssumedFailed | Verdict::Bad => self.result + 1,
            };
            if self.result >= config.rise {
                self.result = top;
                self.verdict = Verdict::Good;
            }
            if self.verdict != before {
                log(format!("VRRP_Script({}) succeeded", config.name));
            }
        } else {
            self.result = match before {
                Verdict::Good => self.result - 1,
                // The first failure counts whatever `fall` says; a failure ends a rise.
                Verdict::Unknown | Verdict::AssumedFailed | Verdict::Bad => 0,
            };
            if self.result < config.rise {
                self.result = 0;
                self.verdict = Verdict::Bad;
            }
            if self.verdict != before {
                log(format!("VRRP_Script({}) {}", config.name, failure(end)));
            }
        }
        self.verdict != before
    }

    /// Whoever runs the scripts says which runs are still under way: one that is not among them has ended while nobody
    /// listened, so the script is due.
    pub(super) fn still_running(&mut self, runs: &[u64], now: Time) {
        if self.running.is_some_and(|running| !runs.contains(&running.id)) {
            self.running = None;
            self.next = now;
        }
    }

    /// Goes on under a changed configuration of the same name and command.
    pub(super) fn reconfigure(&mut self, old: &VrrpScript, new: &VrrpScript, out: &mut Actions) {
        if old.interval != new.interval {
            self.next = self.next - old.interval + new.interval;
        }
        let word = match self.verdict {
            Verdict::Good => {
                self.result =
                    self.result.max(new.rise).min(new.rise.saturating_add(new.fall).saturating_sub(1));
                "successful"
            }
            Verdict::Bad => {
                self.result = self.result.min(new.rise.saturating_sub(1));
                "unsuccessful"
            }
            Verdict::Unknown | Verdict::AssumedFailed => return,
        };
        let text = format!("VRRP_Script({}) considered {word} on reload", new.name);
        out.push(Action::Log { detail: Detail::Normal, text });
    }

    pub(super) fn snapshot(&self) -> ScriptSnapshot {
        ScriptSnapshot { result: self.result, verdict: self.verdict, running: self.running.is_some() }
    }
}

/// How the log words a failure.
fn failure(end: ScriptEnd) -> String {
    match end {
        ScriptEnd::Exited { status } => format!("failed (exited with status {status})"),
        ScriptEnd::Signalled { signal } => format!("failed (due to signal {signal})"),
        ScriptEnd::TimedOut => "timed_out".to_owned(),
        ScriptEnd::NotStarted { errno } => {
            format!("failed (not started: {})", std::io::Error::from_raw_os_error(errno))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{Command, Identity};

    const GOOD: ScriptEnd = ScriptEnd::Exited { status: 0 };
    const BAD: ScriptEnd = ScriptEnd::Exited { status: 1 };

    fn config(rise: u32, fall: u32) -> VrrpScript {
        VrrpScript {
            name: "s".into(),
            command: Command { argv: vec!["/s".into()], path: "/s".into(), identity: Identity::default() },
            interval: Duration::from_secs(2),
            timeout: None,
            weight: 0,
            reverse: false,
            rise,
            fall,
            init_fail: false,
        }
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn verdicts(config: &VrrpScript, ends: &[ScriptEnd]) -> Vec<Verdict> {
        let mut run = ScriptRun::new(config, Time::ZERO);
        ends.iter()
            .map(|end| {
                run.ended(config, *end, &mut Vec::new());
                run.verdict
            })
            .collect()
    }

    #[test]
    fn the_first_result_counts_at_once_in_both_directions() {
        use Verdict::{Bad, Good};
        assert_eq!(verdicts(&config(3, 3), &[GOOD, BAD, BAD, BAD]), [Good, Good, Good, Bad]);
        assert_eq!(verdicts(&config(3, 3), &[BAD, GOOD, GOOD, GOOD]), [Bad, Bad, Bad, Good]);
    }

    #[test]
    fn only_consecutive_results_count() {
        use Verdict::{Bad, Good};
        assert_eq!(verdicts(&config(1, 2), &[GOOD, BAD, GOOD, BAD, BAD]), [Good, Good, Good, Good, Bad]);
        assert_eq!(verdicts(&config(2, 1), &[BAD, GOOD, BAD, GOOD, GOOD]), [Bad, Bad, Bad, Bad, Good]);
    }

    #[test]
    fn with_init_fail_a_first_success_is_not_enough() {
        use Verdict::{AssumedFailed, Good};
        let config = VrrpScript { init_fail: true, ..config(2, 1) };
        assert_eq!(verdicts(&config, &[GOOD, GOOD]), [AssumedFailed, Good]);
    }

    #[test]
    fn runs_start_at_the_interval_and_never_overlap() {
        let config = config(1, 1);
        let (mut run, mut id, mut out) = (ScriptRun::new(&config, at(0)), 7, Vec::new());
        run.tick(&config, &mut id, at(0), &mut out);
        assert!(matches!(out[..], [Action::RunScript { id: 7, .. }]));
        out.clear();
        run.tick(&config, &mut id, at(1), &mut out);
        assert_eq!(out, []);
        run.tick(&config, &mut id, at(2), &mut out);
        let Action::Log { text, .. } = &out[0] else { panic!("{out:?}") };
        assert_eq!(text, "Track script s is already running, expect idle - skipping run");
        out.clear();
        run.ended(&config, GOOD, &mut out);
        run.tick(&config, &mut id, at(4), &mut out);
        assert!(matches!(out.last(), Some(Action::RunScript { id: 8, .. })));
    }

    #[test]
    fn a_run_that_ended_while_nobody_listened_is_done_again_at_once() {
        let config = config(1, 1);
        let (mut run, mut id, mut out) = (ScriptRun::new(&config, at(0)), 7, Vec::new());
        run.tick(&config, &mut id, at(0), &mut out);
        run.still_running(&[7], at(1));
        assert_eq!((run.running(), run.deadline()), (Some(7), at(2)));
        run.still_running(&[6], at(1));
        run.tick(&config, &mut id, at(1), &mut out);
        assert!(matches!(out.last(), Some(Action::RunScript { id: 8, .. })));
    }

    #[test]
    fn a_run_whose_end_is_never_told_is_given_up() {
        let config = config(1, 1);
        let (mut run, mut id, mut out) = (ScriptRun::new(&config, at(0)), 0, Vec::new());
        for second in 0..=14 {
            run.tick(&config, &mut id, at(second), &mut out);
        }
        assert_eq!(out.iter().filter(|a| matches!(a, Action::RunScript { .. })).count(), 2);
    }
}
