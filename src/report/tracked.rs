//! The parts of `keepalived.data` about tracked files, processes and BFD sessions. spec/dump-format.md §3.

use std::time::Duration;

use super::vrrp::{Page, View, capitalised, users, weight};
use crate::config::model::{Instance, ParametersMatch, SyncGroup, TrackProcess, Tracked, VrrpPart};
use crate::vrrp::ProcessSnapshot;

/// The lists of an instance or a group.
pub(super) struct Lists<'a> {
    files: &'a [Tracked],
    processes: &'a [Tracked],
    bfds: &'a [Tracked],
}

impl<'a> From<&'a Instance> for Lists<'a> {
    fn from(instance: &'a Instance) -> Self {
        Self {
            files: &instance.track_files,
            processes: &instance.track_processes,
            bfds: &instance.track_bfds,
        }
    }
}

impl<'a> From<&'a SyncGroup> for Lists<'a> {
    fn from(group: &'a SyncGroup) -> Self {
        Self { files: &group.track_files, processes: &group.track_processes, bfds: &group.track_bfds }
    }
}

impl Page {
    /// What an instance or a group tracks; stock heads the processes of a group differently.
    pub(super) fn more_trackers(&mut self, lists: &Lists<'_>, processes: &str) {
        for (header, separator, list) in [
            ("Tracked files :", ",", lists.files),
            (processes, ",", lists.processes),
            ("Tracked BFDs :", ":", lists.bfds),
        ] {
            if !list.is_empty() {
                self.line(format_args!("{header}"));
            }
            for tracked in list {
                let weight = weight(tracked.weight, tracked.reverse);
                self.entry(format_args!("{}{separator} {weight}", tracked.name));
            }
        }
    }

    /// The sections.
    pub(super) fn tracked(&mut self, view: View<'_>) {
        let (part, now) = (view.part, view.snapshot);
        if !part.track_files.is_empty() {
            self.header("VRRP Track files");
        }
        for (file, status) in part.track_files.iter().zip(&now.files) {
            self.put(format_args!(" Track file = {}", file.name));
            self.line(format_args!("File = {}", file.path));
            self.line(format_args!("Status = {status}"));
            self.line(format_args!("{}", capitalised(&weight(file.weight, file.reverse))));
            self.users(part, &file.name, |lists| lists.files);
        }
        if !part.track_processes.is_empty() {
            self.header("VRRP Track processes");
        }
        for (process, now) in part.track_processes.iter().zip(&now.processes) {
            self.process(part, process, *now);
        }
        if !part.track_bfds.is_empty() {
            self.header("VRRP Track BFDs");
        }
        for (bfd, is_up) in part.track_bfds.iter().zip(&now.bfds) {
            self.put(format_args!(" VRRP Track BFD = {}", bfd.name));
            self.line(format_args!("{}", capitalised(&weight(bfd.weight, bfd.reverse))));
            self.line(format_args!("Bfd is {}", if *is_up { "up" } else { "down" }));
            self.line(format_args!("Tracking VRRP instances :"));
            self.users(part, &bfd.name, |lists| lists.bfds);
        }
    }

    fn process(&mut self, part: &VrrpPart, process: &TrackProcess, now: ProcessSnapshot) {
        self.put(format_args!(" VRRP Track process = {}", process.name));
        self.line(format_args!("Process = {}", process.command));
        if !process.parameters.is_empty() {
            self.line(format_args!("Parameters = {}", process.parameters.join(" ")));
        }
        match process.parameters_match {
            ParametersMatch::Any => {}
            ParametersMatch::Exact => self.line(format_args!("Param match")),
            ParametersMatch::Initial => self.line(format_args!("Param match = initial")),
            ParametersMatch::Partial => self.line(format_args!("Param match = partial")),
        }
        self.line(format_args!("Min processes = {}", process.quorum));
        if let Some(max) = process.quorum_max {
            self.line(format_args!("Max processes = {max}"));
        }
        self.line(format_args!("Current processes = {}", now.count));
        self.line(format_args!("Have quorum = {}", now.has_quorum));
        self.line(format_args!("{}", capitalised(&weight(process.weight, process.reverse))));
        let seconds = |delay: Duration| delay.as_secs_f64();
        self.line(format_args!("Terminate delay = {:.6}s", seconds(process.terminate_delay)));
        self.line(format_args!("Fork delay = {:.6}s", seconds(process.fork_delay)));
        let word = |runs: bool| if runs { "" } else { "not " };
        self.line(format_args!("Fork delay timer {}running", word(now.fork_timer)));
        self.line(format_args!("Terminate delay timer {}running", word(now.terminate_timer)));
        self.line(format_args!("Full command = {}", process.full_command));
        self.users(part, &process.name, |lists| lists.processes);
    }

    /// The instances that track something, directly or through their group.
    fn users(&mut self, part: &VrrpPart, name: &str, list: for<'l> fn(&Lists<'l>) -> &'l [Tracked]) {
        let found = users(
            part,
            |instance| list(&instance.into()).iter().find(|tracked| tracked.name == name),
            |group| list(&group.into()).iter().find(|tracked| tracked.name == name),
        );
        if !found.is_empty() {
            self.line(format_args!("Tracking instances :"));
        }
        for (instance, tracked) in found {
            self.entry(format_args!("{instance}, {}", weight(tracked.weight, tracked.reverse)));
        }
    }
}
