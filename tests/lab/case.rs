//! What a case is, who plays in it, and how its end is judged.
#![allow(dead_code, reason = "some kinds of case have no case yet")]

use std::fs;
use std::path::PathBuf;

use crate::kit::daemon::Program;
use crate::kit::place;
use crate::kit::wait::Outcome;

/// Where a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// In namespaces on the machine's own kernel, beside other cases.
    Machine,
    /// The same, but with no other case running: it measures.
    Alone,
    /// In the guest kernel, which has IPVS.
    Guest,
    /// In a guest whose process 1 is systemd.
    Systemd,
}

/// How many daemons a case has: a single one is the subject and runs once, a pair runs with every peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cast {
    Subject,
    Pair,
}

/// What we know about the case's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Green with stock and with ours.
    Both,
    /// About a fault of stock, or something 2.2.7 lacks: red with stock, green with ours.
    OursOnly,
    /// Ours does not do it yet: ignored, and a failure of the run as soon as it passes.
    NotYet,
}

/// One case of the lab.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) place: Where,
    pub(crate) players: Cast,
    pub(crate) verdict: Verdict,
    /// Why stock does not pass it: the spec line, and its fault or what 2.2.7 lacks. Empty where it passes.
    pub(crate) why: &'static str,
    pub(crate) run: fn(&Lab) -> Outcome,
}

impl Case {
    pub(crate) const fn pair(name: &'static str, run: fn(&Lab) -> Outcome) -> Self {
        Self { name, place: Where::Machine, players: Cast::Pair, verdict: Verdict::Both, why: "", run }
    }

    pub(crate) const fn single(name: &'static str, run: fn(&Lab) -> Outcome) -> Self {
        Self { name, place: Where::Machine, players: Cast::Subject, verdict: Verdict::Both, why: "", run }
    }

    pub(crate) const fn guest(name: &'static str, run: fn(&Lab) -> Outcome) -> Self {
        Self { name, place: Where::Guest, players: Cast::Subject, verdict: Verdict::Both, why: "", run }
    }

    pub(crate) const fn alone(mut self) -> Self {
        self.place = Where::Alone;
        self
    }

    pub(crate) const fn ours_only(mut self) -> Self {
        self.verdict = Verdict::OursOnly;
        self
    }

    /// As [`Self::ours_only`], with its reason: what is told when stock is the subject.
    pub(crate) const fn unlike_stock(mut self, why: &'static str) -> Self {
        self.verdict = Verdict::OursOnly;
        self.why = why;
        self
    }

    pub(crate) const fn not_yet(mut self) -> Self {
        self.verdict = Verdict::NotYet;
        self
    }
}

/// What a running case gets: the programs and a directory of its own.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) subject: Program,
    pub(crate) peer: Program,
    pub(crate) directory: PathBuf,
}

/// How a run of a case is to be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Passed,
    /// Failed as known; the reason.
    Ignored(String),
    Failed(String),
}

/// Runs the case and judges its end; the directory stays behind when it failed.
pub(crate) fn play(case: &Case, name: &str, subject: &Program, peer: &Program) -> Judgement {
    let directory = match place::case_directory(name) {
        Ok(directory) => directory,
        Err(e) => return Judgement::Failed(e),
    };
    let lab = Lab { subject: subject.clone(), peer: peer.clone(), directory };
    let outcome =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (case.run)(&lab))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text
                .or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()))
                .unwrap_or_else(|| "panicked".to_owned()))
        });
    let judgement = judge(case, subject.is_stock(), outcome);
    if judgement == Judgement::Passed || matches!(judgement, Judgement::Ignored(_)) {
        let _ = fs::remove_dir_all(&lab.directory);
        judgement
    } else if let Judgement::Failed(reason) = judgement {
        Judgement::Failed(format!("{reason}\n(files: {})", lab.directory.display()))
    } else {
        judgement
    }
}

fn judge(case: &Case, subject_is_stock: bool, outcome: Outcome) -> Judgement {
    match (case.verdict, subject_is_stock, outcome) {
        (Verdict::Both, _, Ok(())) | (Verdict::OursOnly, false, Ok(())) | (Verdict::NotYet, true, Ok(())) => {
            Judgement::Passed
        }
        (Verdict::Both, _, Err(e)) | (Verdict::OursOnly, false, Err(e)) | (Verdict::NotYet, true, Err(e)) => {
            Judgement::Failed(e)
        }
        (Verdict::OursOnly, true, Ok(())) => {
            Judgement::Failed("stock passes a case that is marked as a fault of stock".to_owned())
        }
        (Verdict::NotYet, false, Ok(())) => {
            Judgement::Failed("passes now: take the mark `not_yet` off this case".to_owned())
        }
        (Verdict::OursOnly, true, Err(e)) => {
            let why = if case.why.is_empty() { String::new() } else { format!(" ({})", case.why) };
            Judgement::Ignored(format!("as known of stock{why}: {}", e.lines().next().unwrap_or_default()))
        }
        (Verdict::NotYet, false, Err(e)) => {
            Judgement::Ignored(format!("not yet: {}", e.lines().next().unwrap_or_default()))
        }
    }
}
