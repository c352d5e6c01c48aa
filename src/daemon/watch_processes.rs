//! Tracked processes: which of those that run match which block, told by the process connector or, where the kernel refuses
//! it, by reading `/proc` again and again.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::ipc::Reading;
use crate::config::model::{ParametersMatch, ReceiveBuffer, TrackProcess};
use crate::config::source::encode;
use crate::kernel::process_events::{self, Process, ProcessEvent, ProcessEvents};

/// Without the connector `/proc` is read this often, or so seldom that it takes a fiftieth of the time.
const POLL: Duration = Duration::from_secs(1);
/// The kernel keeps this much of a name.
const COMM: usize = 15;

/// The tracked processes of a configuration.
#[derive(Default)]
pub(super) struct Processes {
    blocks: Vec<Block>,
    connector: Option<ProcessEvents>,
    /// The blocks that a process matches; those that match none are not here.
    matches: HashMap<u32, Vec<usize>>,
    /// Without the connector: when `/proc` is read again.
    due: Option<Instant>,
}

struct Block {
    config: TrackProcess,
    count: u32,
    /// The children know of this number.
    told: u32,
}

impl Processes {
    /// Counts what runs and listens for changes.
    pub(super) fn new(configured: &[TrackProcess], buffer: ReceiveBuffer) -> Self {
        let block = |config: &TrackProcess| Block { config: config.clone(), count: 0, told: 0 };
        let mut processes = Self { blocks: configured.iter().map(block).collect(), ..Self::default() };
        if configured.is_empty() {
            return processes;
        }
        // Listening first, so that nothing happens unseen between the two.
        match ProcessEvents::listen(buffer) {
            Ok(connector) => processes.connector = Some(connector),
            Err(error) => info!("{error}; reading /proc instead, every {} s", POLL.as_secs()),
        }
        processes.scan();
        processes.changed();
        processes
    }

    pub(super) fn readings(&self) -> impl Iterator<Item = Reading> + '_ {
        self.blocks.iter().map(|block| reading(&block.config.name, block.count))
    }

    /// Waits for numbers that changed. Safe to cancel.
    pub(super) async fn next(&mut self) -> Vec<Reading> {
        loop {
            if self.blocks.is_empty() {
                return std::future::pending().await;
            }
            match &self.connector {
                None => {
                    if let Some(due) = self.due {
                        sleep_until(due).await;
                    }
                    self.scan();
                }
                Some(connector) => match connector.next().await {
                    Ok(Some(events)) => {
                        for event in events {
                            self.take(event);
                        }
                    }
                    Ok(None) => self.scan(),
                    Err(error) => {
                        info!("reading news of processes: {error}; reading /proc instead");
                        self.connector = None;
                    }
                },
            }
            let readings = self.changed();
            if !readings.is_empty() {
                return readings;
            }
        }
    }

    fn take(&mut self, event: ProcessEvent) {
        match event {
            ProcessEvent::Forked { parent, child } => {
                if let Some(blocks) = self.matches.get(&parent).cloned() {
                    self.set(child, blocks);
                }
            }
            ProcessEvent::Changed(pid) => {
                let blocks = process_events::process(pid).map(|process| self.blocks_of(&process));
                self.set(pid, blocks.unwrap_or_default());
            }
            ProcessEvent::Ended(pid) => self.set(pid, Vec::new()),
            ProcessEvent::Refused(errno) => {
                let error = std::io::Error::from_raw_os_error(errno);
                info!("Failed to set process event listen - {error}; reading /proc instead");
                self.connector = None;
            }
        }
    }

    /// Looks at all processes.
    fn scan(&mut self) {
        let begun = Instant::now();
        self.matches.clear();
        for block in &mut self.blocks {
            block.count = 0;
        }
        for pid in process_events::processes() {
            if let Some(process) = process_events::process(pid) {
                let blocks = self.blocks_of(&process);
                self.set(pid, blocks);
            }
        }
        self.due = Some(Instant::now() + POLL.max(begun.elapsed() * 50));
    }

    fn blocks_of(&self, process: &Process) -> Vec<usize> {
        let all = self.blocks.iter().enumerate();
        all.filter(|(_, block)| matches(&block.config, process)).map(|(index, _)| index).collect()
    }

    fn set(&mut self, pid: u32, blocks: Vec<usize>) {
        for index in &blocks {
            self.blocks[*index].count += 1;
        }
        let before =
            if blocks.is_empty() { self.matches.remove(&pid) } else { self.matches.insert(pid, blocks) };
        for index in before.into_iter().flatten() {
            self.blocks[index].count -= 1;
        }
    }

    /// The numbers that the children do not know.
    fn changed(&mut self) -> Vec<Reading> {
        let changed = self.blocks.iter_mut().filter(|block| block.count != block.told);
        changed
            .map(|block| {
                block.told = block.count;
                reading(&block.config.name, block.count)
            })
            .collect()
    }
}

fn reading(name: &str, count: u32) -> Reading {
    Reading::Processes { name: name.to_owned(), count }
}

/// Is it one of the processes that a block means? (spec/vrrp-behaviour.md §6.4)
fn matches(config: &TrackProcess, process: &Process) -> bool {
    let wanted = encode(&config.command);
    let Some((command, arguments)) = process.words.split_first() else {
        // A kernel thread or a zombie has a name only. A zombie does nothing any more.
        return false;
    };
    if !config.full_command {
        return if wanted.contains(&b'/') {
            command[..] == *wanted
        } else {
            process.name[..] == wanted[..wanted.len().min(COMM)]
        };
    }
    if command[..] != *wanted {
        return false;
    }
    let parameters: Vec<_> = config.parameters.iter().map(|word| encode(word)).collect();
    let begins = |count: usize| {
        arguments.len() >= count && parameters[..count].iter().zip(arguments).all(|(a, b)| **a == b[..])
    };
    match config.parameters_match {
        ParametersMatch::Any => true,
        ParametersMatch::Exact => arguments.len() == parameters.len() && begins(parameters.len()),
        ParametersMatch::Initial => begins(parameters.len()),
        ParametersMatch::Partial => match parameters.split_last() {
            None => true,
            Some((last, whole)) => {
                begins(whole.len()) && arguments.get(whole.len()).is_some_and(|word| word.starts_with(last))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(command: &str, parameters: &[&str], parameters_match: ParametersMatch) -> TrackProcess {
        TrackProcess {
            name: "p".into(),
            command: command.into(),
            parameters: parameters.iter().map(|word| (*word).to_owned()).collect(),
            parameters_match,
            full_command: parameters_match != ParametersMatch::Any,
            quorum: 1,
            quorum_max: None,
            terminate_delay: Duration::ZERO,
            fork_delay: Duration::ZERO,
            weight: 0,
            reverse: false,
        }
    }

    fn running(name: &str, words: &[&str]) -> Process {
        let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        Process { name: name.as_bytes().to_vec(), words }
    }

    #[test]
    fn a_name_is_compared_with_comm_and_a_path_with_the_first_word() {
        use ParametersMatch::Any;
        let nginx = running("nginx", &["/usr/sbin/nginx", "-g", "daemon on;"]);
        assert!(matches(&block("nginx", &[], Any), &nginx));
        assert!(matches(&block("/usr/sbin/nginx", &[], Any), &nginx));
        assert!(!matches(&block("/sbin/nginx", &[], Any), &nginx));
        let long = running("a_name_of_more_", &["./a_name_of_more_than_15"]);
        assert!(matches(&block("a_name_of_more_than_15", &[], Any), &long));
        assert!(!matches(&block("kthreadd", &[], Any), &running("kthreadd", &[])));
    }

    #[test]
    fn arguments_are_compared_as_a_whole_from_the_start_or_in_part() {
        use ParametersMatch::{Exact, Initial, Partial};
        let sleep = running("sleep", &["sleep", "77", "10"]);
        for (parameters, exact, initial, partial) in [
            (&["77", "10"][..], true, true, true),
            (&["77"], false, true, true),
            (&["7"], false, false, true),
            (&["77", "1"], false, false, true),
            (&["7", "10"], false, false, false),
            (&["77", "10", "1"], false, false, false),
            (&[], false, true, true),
        ] {
            for (kind, expected) in [(Exact, exact), (Initial, initial), (Partial, partial)] {
                assert_eq!(
                    matches(&block("sleep", parameters, kind), &sleep),
                    expected,
                    "{parameters:?} {kind:?}"
                );
            }
        }
        assert!(matches(&block("sleep", &[], Exact), &running("sleep", &["sleep"])));
    }

    #[tokio::test]
    async fn processes_are_counted_when_they_come_and_go() {
        let sleeps = |seconds: &str| tokio::process::Command::new("sleep").arg(seconds).spawn().unwrap();
        // Nobody else sleeps for so long.
        let seconds = format!("100.{}", std::process::id());
        let mut first = sleeps(&seconds);
        let wait = async || {
            let mut processes = Processes::new(
                &[block("sleep", &[&seconds], ParametersMatch::Exact)],
                ReceiveBuffer::default(),
            );
            // The child may not have executed yet.
            let mut count = processes.blocks[0].count;
            while count != 1 {
                count = next(&mut processes).await;
            }
            processes
        };
        let mut processes = wait().await;
        let mut second = sleeps(&seconds);
        assert_eq!(next(&mut processes).await, 2);
        first.kill().await.unwrap();
        assert_eq!(next(&mut processes).await, 1);
        second.kill().await.unwrap();
        assert_eq!(next(&mut processes).await, 0);
    }

    async fn next(processes: &mut Processes) -> u32 {
        let readings = tokio::time::timeout(Duration::from_secs(20), processes.next()).await;
        match &readings.expect("a change is told")[..] {
            [Reading::Processes { count, .. }] => *count,
            other => panic!("{other:?}"),
        }
    }
}
