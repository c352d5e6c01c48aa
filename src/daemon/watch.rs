//! What the parent watches for the children: tracked files, tracked processes (spec/vrrp-behaviour.md §6.3, §6.4) and the
//! links of cards that the kernel is not told of.
//!
//! The children hear numbers, nothing else: files on a disk that hangs, a `/proc` of ten thousand processes and a storm of
//! forks are nothing that may hold adverts up.

use super::ipc::Reading;
use super::watch_files::Files;
use super::watch_links::Links;
use super::watch_processes::Processes;
use crate::config::model::Config;

/// Everything that one configuration wants watched.
#[derive(Default)]
pub(super) struct Watch {
    files: Files,
    processes: Processes,
    links: Links,
}

impl Watch {
    /// Looks at everything once and watches it from then on. Needs a tokio runtime.
    pub(super) fn new(config: &Config) -> Self {
        let known = |name: &str| config.track_files.iter().any(|file| file.name == name);
        let others = config.check_files.iter().filter(|file| !known(&file.name));
        let files: Vec<_> = config.track_files.iter().chain(others).cloned().collect();
        let buffer = config.global.buffers.process_monitor;
        Self {
            files: Files::new(&files),
            processes: Processes::new(&config.track_processes, buffer),
            links: Links::new(&config.polled),
        }
    }

    /// What is known now.
    pub(super) fn readings(&self) -> Vec<Reading> {
        self.files.readings().chain(self.processes.readings()).chain(self.links.readings()).collect()
    }

    /// Waits for changes. Safe to cancel.
    pub(super) async fn next(&mut self) -> Vec<Reading> {
        tokio::select! {
            readings = self.files.next() => readings,
            readings = self.processes.next() => readings,
            readings = self.links.next() => readings,
        }
    }
}
