//! Cases in the guest: the outer program boots it and waits for one result line per case, the inner one plays them.

use std::collections::HashMap;
use std::env;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::case::{Judgement, play};
use crate::kit::daemon::Program;
use crate::kit::guest::{self, Guest};
use crate::kit::place::{self, write};
use crate::kit::wait::{Door, Outcome};
use crate::runner::matchups;
use crate::systemd;

/// Cases at a time in one guest: it has one processor, and a slow one.
const SIDE_BY_SIDE: usize = 6;
/// As long as there are fewer, the next one begins whether there is room or not.
const AT_LEAST: usize = 2;
/// Seconds a guest may live.
const LIMIT: u32 = 720;
/// The same with systemd, which may have packages to install.
const SYSTEMD_LIMIT: u32 = 900;

/// A guest to boot and the names of its cases.
pub(crate) enum Boot {
    /// This machine's file tree under a kernel with IPVS.
    Ipvs(Vec<String>),
    /// A Debian tree of its own, for this subject.
    Systemd(Program, Vec<String>),
}

impl Boot {
    pub(crate) fn names(&mut self) -> &mut Vec<String> {
        match self {
            Self::Ipvs(names) | Self::Systemd(_, names) => names,
        }
    }
}

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
    pub(crate) fn conduct(&self, number: usize, boot: &Boot) {
        let reason =
            self.boot(number, boot).err().unwrap_or_else(|| "the guest ended without a result".to_owned());
        self.results.lock().unwrap_or_else(PoisonError::into_inner).over.insert(number, reason);
        self.changed.notify_all();
    }

    /// Plays a case once more, in a guest of its own; `number` was not used before.
    pub(crate) fn again(&self, number: usize, boot: &Boot, name: &str) -> Judgement {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).judged.remove(name);
        self.conduct(number, boot);
        self.wait(number, name)
    }

    fn boot(&self, number: usize, boot: &Boot) -> Outcome {
        if let Some(obstacle) = guest::obstacle() {
            return Err(obstacle);
        }
        let directory = place::case_directory(&format!("guest-{number}"))?;
        let (results, said, mut guest, names) = match boot {
            Boot::Ipvs(names) => {
                let (results, said) = (directory.join("results"), directory.join("inner.log"));
                let script = order(&directory, &results, &said, names)?;
                (results, said, Guest::boot(&directory, &script, LIMIT)?, names)
            }
            Boot::Systemd(subject, names) => {
                let tree = place::systemd_tree();
                let results = systemd::furnish(&tree, subject, names)?;
                (
                    results,
                    tree.join("lab/inner.log"),
                    Guest::boot_tree(&directory, &tree, SYSTEMD_LIMIT)?,
                    names,
                )
            }
        };
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
        let said = std::fs::read_to_string(said).unwrap_or_default();
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

/// Writes the list of cases and gives the script that plays them in the guest.
fn order(directory: &Path, results: &Path, said: &Path, names: &[String]) -> Outcome<String> {
    let list = directory.join("cases");
    write(&list, names.join("\n"))?;
    write(results, "")?;
    let program = env::current_exe().map_err(|e| e.to_string())?;
    let mut script = String::from("export LAB_IN_GUEST=1\n");
    for name in ["LAB_SUBJECT", "LAB_PEER"] {
        if let Ok(value) = env::var(name) {
            script += &["export ", name, "='", &value, "'\n"].concat();
        }
    }
    let _ = writeln!(
        script,
        "export LAB_CASES='{}' LAB_RESULTS='{}'\n'{}' >'{}' 2>&1",
        list.display(),
        results.display(),
        program.display(),
        said.display()
    );
    Ok(script)
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
    let (door, inside) = (Door::default(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        // With systemd the cases follow each other.
        let threads = if env::var_os("LAB_SYSTEMD").is_some() { 1 } else { SIDE_BY_SIDE };
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let take = || queue.lock().unwrap_or_else(PoisonError::into_inner);
                    door.pass(|| take().len() == 0 || inside.load(Ordering::Relaxed) < AT_LEAST);
                    let next = take().next();
                    let Some(one) = next else { break };
                    inside.fetch_add(1, Ordering::Relaxed);
                    let name = one.name();
                    let (judgement, reason) = match play(one.case, &name, &one.subject, &one.peer) {
                        Judgement::Passed => ("passed", String::new()),
                        Judgement::Ignored(reason) => ("ignored", reason),
                        Judgement::Failed(reason) => ("failed", reason),
                    };
                    inside.fetch_sub(1, Ordering::Relaxed);
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
