//! What was reported of tracked files, processes and BFD sessions, by name. spec/vrrp-behaviour.md §6.3 to §6.5.
//!
//! The parent watches; here is only what it said, and when a gained or lost quorum counts. What nobody has reported yet
//! does not count in either direction. Names that the configuration does not know are kept: what a reload brings in
//! is reported before it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{Action, Actions, Detail};
use super::interface::{IFF_RUNNING, Link};
use super::priority::Assessment;
use super::router::Router;
use super::snapshot::ProcessSnapshot;
use crate::config::model::{Polling, TrackProcess, VrrpPart};
use crate::time::Time;

/// All that was reported.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Readings {
    files: BTreeMap<String, i32>,
    processes: BTreeMap<String, Processes>,
    bfds: BTreeMap<String, bool>,
    /// What polled cards say of their links.
    links: BTreeMap<String, (Polling, bool)>,
}

/// The processes that match a `vrrp_track_process` block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Processes {
    count: u32,
    has_quorum: bool,
    /// When the opposite will count.
    change: Option<Time>,
}

impl Processes {
    /// The quorum that the number alone says, and the delays make wait.
    fn settle(&mut self, config: &TrackProcess, now: Time) -> bool {
        let wanted = config.has_quorum(self.count);
        if wanted == self.has_quorum {
            self.change = None;
            return false;
        }
        let delay = if wanted { config.fork_delay } else { config.terminate_delay };
        let due = *self.change.get_or_insert(now + delay);
        if due > now {
            return false;
        }
        self.change = None;
        self.has_quorum = wanted;
        true
    }
}

impl Readings {
    /// The number in a file.
    pub(super) fn file(&self, name: &str) -> Option<i32> {
        self.files.get(name).copied()
    }

    pub(super) fn has_quorum(&self, name: &str) -> Option<bool> {
        self.processes.get(name).map(|processes| processes.has_quorum)
    }

    pub(super) fn is_bfd_up(&self, name: &str) -> Option<bool> {
        self.bfds.get(name).copied()
    }

    /// The interfaces of the configuration whose link is asked for, and how.
    pub(super) fn polled(&self, part: &VrrpPart) -> Vec<(String, Polling)> {
        let known = part.polled.iter().map(|polled| &polled.interface);
        known.filter_map(|name| Some((name.clone(), self.links.get(name)?.0))).collect()
    }

    /// When a quorum's delay ends.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.processes.values().filter_map(|processes| processes.change).min()
    }

    /// Forgets what is not configured (any more).
    pub(super) fn keep(&mut self, part: &VrrpPart) {
        self.files.retain(|name, _| part.track_files.iter().any(|file| file.name == *name));
        self.processes.retain(|name, _| part.track_processes.iter().any(|process| process.name == *name));
        self.bfds.retain(|name, _| part.track_bfds.iter().any(|bfd| bfd.name == *name));
        self.links.retain(|name, _| part.polled.iter().any(|polled| polled.interface == *name));
    }

    /// The processes of a block.
    pub(super) fn processes(&self, config: &TrackProcess) -> ProcessSnapshot {
        let Some(known) = self.processes.get(&config.name) else { return ProcessSnapshot::default() };
        let running = known.change.is_some();
        ProcessSnapshot {
            count: known.count,
            has_quorum: known.has_quorum,
            fork_timer: running && !known.has_quorum,
            terminate_timer: running && known.has_quorum,
        }
    }
}

impl Router {
    /// What a polled card says of its link.
    pub(super) fn polled(&mut self, now: Time, name: String, way: Polling, up: bool, out: &mut Actions) {
        let seen = self.facts.by_name(&name).map(|interface| interface.link.clone());
        self.readings.links.insert(name, (way, up));
        if let Some(link) = seen
            && self.as_polled(link.clone()) != link
        {
            self.link(now, link, out);
        }
    }

    /// A link as it counts: of a polled card the kernel does not know whether there is carrier.
    pub(super) fn as_polled(&self, mut link: Link) -> Link {
        let is_polled = self.part.polled.iter().any(|polled| polled.interface == link.name);
        if let Some((_, up)) = self.readings.links.get(&link.name).filter(|_| is_polled) {
            link.flags = if *up { link.flags | IFF_RUNNING } else { link.flags & !IFF_RUNNING };
        }
        link
    }

    /// The number in a tracked file.
    pub(super) fn file_changed(&mut self, now: Time, name: &str, value: i32, out: &mut Actions) {
        let is_new = self.readings.files.get(name) != Some(&value);
        if !is_new {
            return;
        }
        let cause = format!("file {name} holds {value}");
        let users = self.index.files.get(name).cloned().unwrap_or_default();
        let before: Vec<usize> = users.iter().map(|i| self.file_faults(*i)).collect();
        self.readings.files.insert(name.to_owned(), value);
        if !self.is_started() {
            return;
        }
        for (i, before) in users.into_iter().zip(before) {
            let now_faulty = self.file_faults(i);
            if now_faulty != before {
                let word = if now_faulty > before { "now" } else { "leaving" };
                let text =
                    format!("({}): tracked file {name} {word} FAULT state", self.part.instances[i].name);
                out.push(Action::Log { detail: Detail::Normal, text });
            }
            self.reassess(i, now, &cause, out);
        }
    }

    /// Files and processes that keep an instance from starting.
    pub(super) fn log_initial_trackers(&self, i: usize, out: &mut Actions) {
        let config = &self.part.instances[i];
        let name = &config.name;
        let mut log = |text| out.push(Action::Log { detail: Detail::Normal, text });
        for tracked in &config.track_files {
            let mut alone = Assessment::new(config.priority);
            alone.file(tracked, self.readings.file(&tracked.name).unwrap_or(0));
            if alone.faults.any() {
                // Stock: the limit instead of what the file holds.
                let file = &tracked.name;
                log(format!("({name}): entering FAULT state (tracked file {file} has status -254)"));
            }
        }
        for tracked in config.track_processes.iter().filter(|tracked| tracked.weight == 0) {
            let process = &tracked.name;
            match self.readings.has_quorum(process) {
                Some(has_quorum) if has_quorum == tracked.reverse => log(format!(
                    "({name}) entering FAULT state (tracked process {process} quorum {}achieved)",
                    if has_quorum { "" } else { "not " }
                )),
                _ => {}
            }
        }
    }

    fn file_faults(&self, i: usize) -> usize {
        self.assessment(i, None).files
    }

    /// The number of processes that match.
    pub(super) fn processes_changed(&mut self, now: Time, name: String, count: u32, out: &mut Actions) {
        let Some(config) = self.part.track_processes.iter().find(|process| process.name == name) else {
            // Counted when a reload brings it in.
            self.readings.processes.insert(name, Processes { count, has_quorum: false, change: None });
            return;
        };
        let Some(known) = self.readings.processes.get_mut(&name) else {
            let has_quorum = config.has_quorum(count);
            self.readings.processes.insert(name.clone(), Processes { count, has_quorum, change: None });
            self.quorum_changed(&name, now, out);
            return;
        };
        known.count = count;
        if known.settle(config, now) {
            self.log_quorum(&name, out);
            self.quorum_changed(&name, now, out);
        }
    }

    /// Quorums whose delay has ended.
    pub(super) fn quorums_due(&mut self, now: Time, out: &mut Actions) {
        if self.readings.deadline().is_none_or(|due| due > now) {
            return;
        }
        for p in 0..self.part.track_processes.len() {
            let config = &self.part.track_processes[p];
            let Some(known) = self.readings.processes.get_mut(&config.name) else { continue };
            if known.change.is_some() && known.settle(config, now) {
                let name = config.name.clone();
                self.log_quorum(&name, out);
                self.quorum_changed(&name, now, out);
            }
        }
    }

    /// After a reload: what is counted may be another number, and what is new counts at once.
    pub(super) fn adopt_processes(&mut self, old: &VrrpPart) {
        for config in &self.part.track_processes {
            let Some(known) = self.readings.processes.get_mut(&config.name) else { continue };
            let before = old.track_processes.iter().find(|process| process.name == config.name);
            if before != Some(config) {
                known.has_quorum = config.has_quorum(known.count);
                known.change = None;
            }
        }
    }

    fn log_quorum(&self, name: &str, out: &mut Actions) {
        let word = if self.readings.has_quorum(name) == Some(true) { "gained" } else { "lost" };
        let text = format!("Quorum {word} for tracked process {name}");
        out.push(Action::Log { detail: Detail::Normal, text });
    }

    fn quorum_changed(&mut self, name: &str, now: Time, out: &mut Actions) {
        if !self.is_started() {
            return;
        }
        let word = if self.readings.has_quorum(name) == Some(true) { "has" } else { "has no" };
        let cause = format!("process {name} {word} quorum");
        for i in self.index.processes.get(name).cloned().unwrap_or_default() {
            self.reassess(i, now, &cause, out);
        }
    }

    /// A BFD session came up or went down.
    pub(super) fn bfd_changed(&mut self, now: Time, name: &str, is_up: bool, out: &mut Actions) {
        if self.readings.bfds.insert(name.to_owned(), is_up) == Some(is_up) || !self.is_started() {
            return;
        }
        let word = if is_up { "UP" } else { "DOWN" };
        let cause = format!("BFD session {name} is {word}");
        for i in self.index.bfds.get(name).cloned().unwrap_or_default() {
            let instance = &self.part.instances[i].name;
            let text = format!("VRRP_Instance({instance}) Tracked BFD instance {name} is {word}");
            out.push(Action::Log { detail: Detail::Normal, text });
            self.reassess(i, now, &cause, out);
        }
    }
}
