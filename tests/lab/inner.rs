//! Cases in the guest: the outer program boots it and waits for one result line per case, the inner one plays them.

use std::collections::HashMap;
use std::env;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::case::{Judgement, play};
use crate::kit::guest::{self, Guest};
use crate::kit::place::{self, write};
use crate::kit::wait::Outcome;
use crate::runner::matchups;

/// Cases at a time in one guest: it has one processor, and a slow one.
const SIDE_BY_SIDE: usize = 6;
/// Seconds a guest may live.
const LIMIT: u32 = 420;

/// Results of the guests of this run.
#[derive(Default)]
pub(crate) struct Guests {
    results: Mutex<Results>,
    changed: Condvar,
}

#[derive(Default)]
struct Results {
    judged: HashMap<String, Judgement>,
    /// Why cases without a result will never get one.
    over: HashMap<usize, String>,
}

impl Guests {
    /// Boots a guest for these cases and gathers its results; returns when it has ended.
    pub(crate) fn conduct(&self, number: usize, names: &[String]) {
        let reason =
            self.boot(number, names).err().unwrap_or_else(|| "the guest ended without a result".to_owned());
        self.results.lock().unwrap_or_else(PoisonError::into_inner).over.insert(number, reason);
        self.changed.notify_all();
    }

    fn boot(&self, number: usize, names: &[String]) -> Outcome {
        if let Some(obstacle) = guest::obstacle() {
            return Err(obstacle);
        }
        let directory = place::case_directory(&format!("guest-{number}"))?;
        let (list, results) = (directory.join("cases"), directory.join("results"));
        write(&list, names.join("\n"))?;
        write(&results, "")?;
        let program = env::current_exe().map_err(|e| e.to_string())?;
        let mut script = String::from("export LAB_IN_GUEST=1\n");
        for name in ["LAB_SUBJECT", "LAB_PEER"] {
            if let Ok(value) = env::var(name) {
                script += &["export ", name, "='", &value, "'\n"].concat();
            }
        }
        let _ = write!(
            script,
            "export LAB_CASES='{}' LAB_RESULTS='{}'\n'{}' >'{}' 2>&1\n",
            list.display(),
            results.display(),
            program.display(),
            directory.join("inner.log").display()
        );
        let mut guest = Guest::boot(&directory, &script, LIMIT)?;
        loop {
            let ended = guest.ended();
            self.gather(&results);
            if ended {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let complete = {
            let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
            names.iter().all(|name| results.judged.contains_key(name))
        };
        if complete {
            let _ = std::fs::remove_dir_all(&directory);
            return Ok(());
        }
        let said = std::fs::read_to_string(directory.join("inner.log")).unwrap_or_default();
        Err(format!("the guest ended without a result\n{said}\nits console:\n{}", guest.console()))
    }

    fn gather(&self, path: &Path) {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
            let word = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
            let judgement = match word("judgement").as_str() {
                "passed" => Judgement::Passed,
                "ignored" => Judgement::Ignored(word("reason")),
                _ => Judgement::Failed(word("reason")),
            };
            results.judged.insert(word("name"), judgement);
        }
        drop(results);
        self.changed.notify_all();
    }

    /// Waits for the result of a case in guest `number`.
    pub(crate) fn wait(&self, number: usize, name: &str) -> Judgement {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(judgement) = results.judged.get(name) {
                return judgement.clone();
            }
            if let Some(reason) = results.over.get(&number) {
                return Judgement::Failed(reason.clone());
            }
            results = self.changed.wait(results).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The program inside the guest, when it is there to play a list of cases.
pub(crate) fn main() -> Option<ExitCode> {
    let list = env::var_os("LAB_CASES").map(PathBuf::from)?;
    let results = env::var_os("LAB_RESULTS").map(PathBuf::from)?;
    let text = std::fs::read_to_string(list).ok()?;
    let wanted: Vec<_> =
        text.lines().filter_map(|name| matchups().into_iter().find(|one| one.name() == name)).collect();
    let queue = Mutex::new(wanted.into_iter());
    let file = Mutex::new(OpenOptions::new().append(true).open(results).ok()?);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(one) = next else { break };
                    let name = one.name();
                    let (judgement, reason) = match play(one.case, &name, &one.subject, &one.peer) {
                        Judgement::Passed => ("passed", String::new()),
                        Judgement::Ignored(reason) => ("ignored", reason),
                        Judgement::Failed(reason) => ("failed", reason),
                    };
                    let line = json!({"name": name, "judgement": judgement, "reason": reason});
                    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                    let _ = file.write_all(format!("{line}\n").as_bytes());
                    let _ = file.sync_all();
                }
            });
        }
    });
    Some(ExitCode::SUCCESS)
}
