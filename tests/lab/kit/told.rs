//! A script that writes down how it was called, and the reading of what it wrote: one file per run, in order of the starts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::place::write_script;
use super::wait::{Outcome, ensure};

/// Its first word is the receiver, its second what it is for; `whole` there makes it tell of its surroundings, too. Shell builtins
/// only, but for that: at a stop many run at once, within the second that stock gives them.
const SCRIPT: &str = r#"#!/bin/sh
trap '' TERM
read -r stat <"/proc/$$/stat"
began() { shift 19; began=$1; }
began ${stat##*) }
{
    printf '%s\n' "$@"
    [ "$2" = whole ] || exit 0
    echo "--"
    echo "umask $(umask)"
    echo "directory $(readlink /proc/$$/cwd)"
    # The last is the directory itself; the shell's own are closed for others.
    echo descriptors $(ls /proc/self/fd)
    echo "standard $(readlink /proc/self/fd/0) $(readlink /proc/$$/fd/2)"
    # Builtins: while a shell starts another program its own signals are blocked.
    while read -r line; do
        case $line in Uid:* | Gid:* | Groups:* | SigBlk:* | SigIgn:* | SigCgt:* | Cap* | NoNewPrivs:*) echo "$line" ;; esac
    done <"/proc/$$/status"
    awk -v pid=$$ '{ print "leads its group: " ($5 == pid) ", nice " $19 ", real-time " $40 ", policy " $41 }' "/proc/$$/stat"
    grep '^Max' "/proc/$$/limits"
    echo "oom $(cat /proc/$$/oom_score_adj) slack $(cat /proc/$$/timerslack_ns)"
    # Cargo gives it to tests; 2.2.7 hands it on, 2.4.3 and ours do not (spec/daemon-behaviour.md §8).
    tr '\0' '\n' <"/proc/$$/environ" | grep -v '^LD_LIBRARY_PATH=' | sort | sed 's/^/variable /'
} >"${0%/*}/told/$began-$$"
"#;

/// The script of one daemon.
#[derive(Debug)]
pub(crate) struct Told {
    folder: PathBuf,
}

/// What it was told: by receiver the words of each run, and the surroundings of those that were to look at them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs {
    pub(crate) words: BTreeMap<String, Vec<String>>,
    pub(crate) surroundings: BTreeSet<Vec<String>>,
    /// Descriptors and supplementary groups: 2.2.7 hands on what it was itself started with.
    pub(crate) inherited: BTreeSet<String>,
}

impl Told {
    /// Writes the script into this directory.
    pub(crate) fn new(directory: &Path) -> Outcome<Self> {
        let folder = directory.join("told");
        // A guest's directories are named alike from boot to boot, and those of a failure stay.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        write_script(&directory.join("told.sh"), SCRIPT)?;
        Ok(Self { folder })
    }

    /// The command line, in quotes, that tells of this receiver.
    pub(crate) fn command(&self, receiver: &str, what: &str) -> String {
        format!("\"{}.sh {receiver} {what} 'two words'\"", self.folder.display())
    }

    /// How many runs there were.
    pub(crate) fn count(&self) -> usize {
        fs::read_dir(&self.folder).map(Iterator::count).unwrap_or_default()
    }

    /// All runs so far, in the order in which the processes were made.
    pub(crate) fn runs(&self) -> Outcome<Runs> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(|e| e.to_string())?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let numbers =
                name.split_once('-').and_then(|(at, pid)| Some((at.parse().ok()?, pid.parse().ok()?)));
            let order: (u64, u32) = numbers.ok_or_else(|| format!("a run named {name}"))?;
            found.push((order, fs::read_to_string(entry.path()).map_err(|e| e.to_string())?));
        }
        found.sort();
        let mut runs = Runs::default();
        for (_, text) in found {
            let (words, around) = text.split_once("--\n").unwrap_or((&text, ""));
            let (receiver, rest) = words.split_once('\n').unwrap_or_default();
            ensure!(!receiver.is_empty(), "a run without words: {text:?}");
            let folder = self.folder.parent().unwrap_or(&self.folder).display().to_string();
            let words = rest.trim_end().replace('\n', "|").replace(&folder, "HERE");
            runs.words.entry(receiver.to_owned()).or_default().push(words);
            if !around.is_empty() {
                let lines = around.lines().map(|line| line.trim_end().to_owned());
                let (inherited, around): (Vec<_>, Vec<_>) =
                    lines.partition(|line| ["descriptors", "Groups:"].iter().any(|it| line.starts_with(it)));
                runs.inherited.extend(inherited);
                runs.surroundings.insert(around);
            }
        }
        Ok(runs)
    }
}
