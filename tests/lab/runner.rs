//! From cases to a run: which programs play, what may run side by side, and the report (libtest's form, by `libtest-mimic`).

use std::env;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::case::{Case, Cast, Judgement, Verdict, Where, play};
use crate::cases;
use crate::inner::{Boot, Guests};
use crate::kit::daemon::Program;
use crate::kit::wait::Door;
use crate::kit::{frr, place};

/// Cases on the machine's kernel at a time; most of their time is waiting for protocol timers.
const SIDE_BY_SIDE: usize = 14;
/// As long as there are fewer, the next one begins whether the processors have room or not.
const AT_LEAST: usize = 4;
/// Guests at a time, each with its share of the cases that need IPVS.
const GUESTS: usize = 2;
/// Cases that may be played once more, alone, when they failed beside others: one that lost a race against a busy machine
/// passes then. More failures than these are no lost races. `LAB_STRICT` allows none.
const SECOND_TRIES: usize = 12;

/// The whole program.
pub(crate) fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Every trial gets a thread and waits at the gate.
    arguments.test_threads.get_or_insert(512);
    let missing = missing();
    if !missing.is_empty() && !arguments.list {
        eprintln!(
            "the lab cannot run here: {}\n(tests/lab/fetch brings what is missing)",
            missing.join("; ")
        );
        if env::var_os("LAB_REQUIRED").is_some() {
            return ExitCode::FAILURE;
        }
        println!("\ntest result: ok. 0 passed; 0 failed; 0 ignored; the lab was SKIPPED");
        return ExitCode::SUCCESS;
    }
    place::clear_old_cases();
    let gate = Arc::new(Gate::new());
    let guests = Arc::new(Guests::default());
    let seconds = Arc::new(SecondTries::default());
    let subject = players().subject;
    // The first ones share the cases that need IPVS, the last one is systemd's.
    let mut boots: Vec<_> = (0..GUESTS).map(|_| Boot::Ipvs(Vec::new())).collect();
    boots.push(Boot::Systemd(subject, Vec::new()));
    let mut trials = Vec::new();
    for matchup in matchups() {
        let (name, trial) = (matchup.name(), matchup);
        let boot = if trial.case.place == Where::Systemd { GUESTS } else { trials.len() % GUESTS };
        if trial.case.place == Where::Systemd && !place::systemd_tree().join(".complete").exists() {
            trials.push(Trial::ignorable_test(name, || {
                Ok(Completion::ignored_with(
                    "SKIPPED: no tree with systemd (tests/lab/fetch systemd builds it)",
                ))
            }));
            continue;
        }
        let wanted = arguments.list || !filtered(&arguments, &name);
        if wanted {
            gate.expect(trial.case.place);
        }
        if wanted && matches!(trial.case.place, Where::Guest | Where::Systemd) {
            boots[boot].names().push(name.clone());
        }
        let (gate, guests, seconds) = (Arc::clone(&gate), Arc::clone(&guests), Arc::clone(&seconds));
        trials.push(Trial::ignorable_test(name.clone(), move || {
            let place = trial.case.place;
            gate.enter(place);
            let mut judgement = match place {
                Where::Guest | Where::Systemd => guests.wait(boot, &name),
                _ => play(trial.case, &name, &trial.subject, &trial.peer),
            };
            gate.leave(place);
            if let Judgement::Failed(first) = &judgement
                && let Some(number) = seconds.grant()
            {
                gate.enter(Where::Alone);
                let again = match place {
                    Where::Guest => guests.again(GUESTS + number, &Boot::Ipvs(vec![name.clone()]), &name),
                    Where::Systemd => {
                        let boot = Boot::Systemd(trial.subject.clone(), vec![name.clone()]);
                        guests.again(GUESTS + number, &boot, &name)
                    }
                    _ => play(trial.case, &name, &trial.subject, &trial.peer),
                };
                gate.leave(Where::Alone);
                seconds.note(&name, first, again == Judgement::Passed);
                judgement = again;
            }
            match judgement {
                Judgement::Passed => Ok(Completion::Completed),
                Judgement::Ignored(reason) => Ok(Completion::ignored_with(reason)),
                Judgement::Failed(reason) => Err(Failed::from(reason)),
            }
        }));
    }
    if !arguments.list {
        for (number, mut boot) in boots.into_iter().enumerate() {
            let guests = Arc::clone(&guests);
            if !boot.names().is_empty() {
                std::thread::spawn(move || guests.conduct(number, &boot));
            }
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    seconds.tell();
    conclusion.exit_code()
}

/// Who failed beside others, and how that ended alone.
#[derive(Default)]
struct SecondTries {
    granted: AtomicUsize,
    noted: Mutex<Vec<String>>,
}

impl SecondTries {
    /// Another one, as long as there are any; counts from 1.
    fn grant(&self) -> Option<usize> {
        let number = self.granted.fetch_add(1, Ordering::Relaxed) + 1;
        (number <= SECOND_TRIES && env::var_os("LAB_STRICT").is_none()).then_some(number)
    }

    fn note(&self, name: &str, first: &str, passed: bool) {
        let end = if passed { "passed" } else { "failed" };
        let text =
            format!("{name}: {end} alone; beside others: {}", first.lines().next().unwrap_or_default());
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn tell(&self) {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if !noted.is_empty() {
            println!("\nplayed once more, alone:\n    {}", noted.join("\n    "));
        }
    }
}

/// libtest-mimic's own rule, needed before it decides.
fn filtered(arguments: &Arguments, name: &str) -> bool {
    arguments.is_filtered_out(&Trial::test(name, || Ok(())))
}

/// What this machine lacks.
fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !nix::unistd::geteuid().is_root() {
        missing.push("not root".to_owned());
    }
    for tool in ["ip", "unshare", "setpriv", "tshark", "ipvsadm", "openssl"] {
        if !place::has_tool(tool) {
            missing.push(format!("no {tool}"));
        }
    }
    let mut programs: Vec<_> = players().pairs.into_iter().flat_map(|(a, b)| [a.path, b.path]).collect();
    programs.push(place::nginx());
    programs.push(frr::tree().join("usr/lib/frr/bfdd"));
    programs.sort();
    programs.dedup();
    for program in programs.into_iter().filter(|program| !program.exists()) {
        missing.push(format!("no {}", program.display()));
    }
    missing
}

/// Who plays: the subject, and for each pair who is host a and who is host b.
struct Players {
    subject: Program,
    pairs: Vec<(Program, Program)>,
}

/// The players, as the environment wants them. Without a wish for the peer, ours plays both roles beside stock.
fn players() -> Players {
    let subject = env::var("LAB_SUBJECT").map_or_else(|_| Program::ours(), |name| Program::named(&name));
    let with = |peer: Program| (subject.clone(), peer);
    let pairs = match env::var("LAB_PEER") {
        Ok(name) => vec![with(Program::named(&name))],
        Err(_) if subject.is_stock() => vec![with(Program::stock())],
        Err(_) => vec![with(Program::stock()), (Program::stock(), subject.clone()), with(subject.clone())],
    };
    Players { subject, pairs }
}

/// One case with its players.
pub(crate) struct Matchup {
    pub(crate) case: &'static Case,
    pub(crate) subject: Program,
    pub(crate) peer: Program,
}

impl Matchup {
    /// `vrrp_case/ours+stock`, or `vrrp_case/ours` for a case with one daemon.
    pub(crate) fn name(&self) -> String {
        match self.case.players {
            Cast::Subject => format!("{}/{}", self.case.name, self.subject.label),
            Cast::Pair => format!("{}/{}+{}", self.case.name, self.subject.label, self.peer.label),
        }
    }
}

/// Every case with everybody who plays it. What is about the subject alone is not played with stock in its place.
pub(crate) fn matchups() -> Vec<Matchup> {
    let players = players();
    let mut all = Vec::new();
    for case in cases() {
        match case.players {
            Cast::Subject => {
                all.push(Matchup { case, subject: players.subject.clone(), peer: Program::stock() });
            }
            Cast::Pair => {
                for (subject, peer) in &players.pairs {
                    let other_role = *subject != players.subject;
                    if !(other_role && (case.verdict != Verdict::Both || case.place == Where::Alone)) {
                        all.push(Matchup { case, subject: subject.clone(), peer: peer.clone() });
                    }
                }
            }
        }
    }
    all
}

/// Lets a few cases run side by side, and those that measure alone, after all others.
struct Gate {
    door: Door,
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    running: usize,
    outstanding: usize,
    alone: bool,
}

impl Gate {
    fn new() -> Self {
        Self { door: Door::default(), state: Mutex::default(), changed: Condvar::new() }
    }

    fn expect(&self, place: Where) {
        if place != Where::Alone {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).outstanding += 1;
        }
    }

    fn enter(&self, place: Where) {
        let jobs = env::var("LAB_JOBS").ok().and_then(|n| n.parse().ok()).unwrap_or(SIDE_BY_SIDE);
        if place == Where::Machine {
            self.door.pass(|| self.state.lock().unwrap_or_else(PoisonError::into_inner).running < AT_LEAST);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match place {
                Where::Machine if state.running < jobs => {
                    state.running += 1;
                    return;
                }
                Where::Alone if state.outstanding == 0 && !state.alone => {
                    state.alone = true;
                    return;
                }
                Where::Guest | Where::Systemd => return,
                Where::Machine | Where::Alone => {}
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn leave(&self, place: Where) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match place {
            Where::Machine => state.running -= 1,
            Where::Alone => state.alone = false,
            Where::Guest | Where::Systemd => {}
        }
        if place != Where::Alone {
            state.outstanding = state.outstanding.saturating_sub(1);
        }
        self.changed.notify_all();
    }
}
