//! One queue of notify scripts per receiver, so that scripts of one instance never overtake each other.
//!
//! Stock starts them all at once; a slow `notify_backup` can then undo what a later `notify_master` did. Here a script
//! waits for its predecessor, but not for ever: after [`PATIENCE`] the next one starts beside it, for a script that
//! never ends (some start a service in the foreground) must not hold up the news of a failover.
//!
//! Pure: takes `now`, gives deadlines; nothing here spawns.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::config::model::Command;
use crate::time::Time;

/// How long a script waits for the one before it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Scripts that may wait at one receiver; a receiver that flaps faster than its scripts run loses the oldest.
pub const LIMIT: usize = 256;

/// Something the owner of the queue must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start this and call [`Queue::ended`] with `run` when it ends.
    Start {
        /// Number of this run, unique in the queue.
        run: u64,
        /// What to start.
        command: Command,
    },
    /// Log that this script is still running and is no longer waited for.
    Overdue {
        /// Whose script.
        receiver: String,
        /// The command as configured.
        script: String,
    },
    /// Log that this many waiting scripts of a receiver were dropped.
    Dropped {
        /// Whose scripts.
        receiver: String,
        /// How many.
        count: usize,
    },
}

#[derive(Debug, Default)]
struct Receiver {
    waiting: VecDeque<Command>,
    /// The run waited for, since when, and its command; overdue ones are no longer here.
    running: Option<(u64, Time, String)>,
}

/// The queues of all receivers.
#[derive(Debug, Default)]
pub struct Queue {
    receivers: BTreeMap<String, Receiver>,
    runs: u64,
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `commands` behind what `receiver` has waiting.
    pub fn push(&mut self, receiver: &str, commands: Vec<Command>, now: Time, out: &mut Vec<Action>) {
        let entry = self.receivers.entry(receiver.to_owned()).or_default();
        entry.waiting.extend(commands);
        let surplus = entry.waiting.len().saturating_sub(LIMIT);
        if surplus > 0 {
            entry.waiting.drain(..surplus);
            out.push(Action::Dropped { receiver: receiver.to_owned(), count: surplus });
        }
        self.start(receiver, now, out);
    }

    /// The script of `run` ended (or could not be started); its successor starts. Unknown runs are harmless.
    pub fn ended(&mut self, run: u64, now: Time, out: &mut Vec<Action>) {
        let receiver = self
            .receivers
            .iter()
            .find(|(_, entry)| entry.running.as_ref().is_some_and(|(id, ..)| *id == run))
            .map(|(name, _)| name.clone());
        if let Some(receiver) = receiver {
            if let Some(entry) = self.receivers.get_mut(&receiver) {
                entry.running = None;
            }
            self.start(&receiver, now, out);
        }
    }

    /// To be called at or after [`Queue::deadline`]; early calls are harmless.
    pub fn timer(&mut self, now: Time, out: &mut Vec<Action>) {
        let overdue: Vec<_> = self
            .receivers
            .iter()
            .filter(|(_, e)| e.due().is_some_and(|due| due <= now))
            .map(|(n, _)| n.clone())
            .collect();
        for receiver in overdue {
            let running = self.receivers.get_mut(&receiver).and_then(|entry| entry.running.take());
            if let Some((_, _, script)) = running {
                out.push(Action::Overdue { receiver: receiver.clone(), script });
            }
            self.start(&receiver, now, out);
        }
    }

    /// When somebody's patience ends.
    pub fn deadline(&self) -> Option<Time> {
        self.receivers.values().filter_map(Receiver::due).min()
    }

    /// Is nothing waiting and nothing waited for?
    pub fn is_idle(&self) -> bool {
        self.receivers.is_empty()
    }

    fn start(&mut self, receiver: &str, now: Time, out: &mut Vec<Action>) {
        let Some(entry) = self.receivers.get_mut(receiver) else { return };
        if entry.running.is_some() {
            return;
        }
        let Some(command) = entry.waiting.pop_front() else {
            self.receivers.remove(receiver);
            return;
        };
        self.runs += 1;
        entry.running = Some((self.runs, now, command.argv.join(" ")));
        out.push(Action::Start { run: self.runs, command });
    }
}

impl Receiver {
    /// When the running script is no longer waited for; never, while nobody waits.
    fn due(&self) -> Option<Time> {
        let (_, since, _) = self.running.as_ref().filter(|_| !self.waiting.is_empty())?;
        Some(*since + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Identity;

    fn command(word: &str) -> Command {
        Command { argv: vec![word.into()], path: format!("/bin/{word}"), identity: Identity::default() }
    }

    fn started(out: &mut Vec<Action>) -> Vec<(u64, String)> {
        out.drain(..)
            .filter_map(|action| match action {
                Action::Start { run, command } => Some((run, command.argv[0].clone())),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_script_waits_for_its_predecessor_and_other_receivers_do_not() {
        let (mut queue, mut out) = (Queue::new(), Vec::new());
        queue.push("INSTANCE A", vec![command("a1"), command("a2")], Time::ZERO, &mut out);
        queue.push("INSTANCE B", vec![command("b1")], Time::ZERO, &mut out);
        let first = started(&mut out);
        assert_eq!(first.iter().map(|(_, word)| word.as_str()).collect::<Vec<_>>(), ["a1", "b1"]);
        queue.ended(first[0].0, Time::ZERO, &mut out);
        let second = started(&mut out);
        assert_eq!(second.len(), 1);
        assert_eq!(second[0].1, "a2");
        queue.ended(second[0].0, Time::ZERO, &mut out);
        queue.ended(first[1].0, Time::ZERO, &mut out);
        assert!(queue.is_idle());
        assert_eq!(queue.deadline(), None);
    }

    #[test]
    fn a_script_that_never_ends_is_waited_for_ten_seconds() {
        let (mut queue, mut out) = (Queue::new(), Vec::new());
        queue.push("G", vec![command("endless")], Time::ZERO, &mut out);
        assert_eq!(queue.deadline(), None, "nobody waits yet");
        queue.push("G", vec![command("next")], Time::ZERO, &mut out);
        out.clear();
        let due = queue.deadline().unwrap();
        assert_eq!(due, Time::ZERO + PATIENCE);
        queue.timer(due - Duration::from_nanos(1), &mut out);
        assert_eq!(out, []);
        queue.timer(due, &mut out);
        assert!(
            matches!(&out[0], Action::Overdue { receiver, script } if receiver == "G" && script == "endless")
        );
        assert_eq!(started(&mut out), [(2, "next".into())]);
        queue.ended(1, due, &mut out);
        assert_eq!(out, [], "the end of a script nobody waits for starts nothing");
    }

    #[test]
    fn a_flapping_receiver_loses_its_oldest_news() {
        let (mut queue, mut out) = (Queue::new(), Vec::new());
        queue.push("F", vec![command("first")], Time::ZERO, &mut out);
        out.clear();
        queue.push("F", (0..LIMIT + 3).map(|n| command(&n.to_string())).collect(), Time::ZERO, &mut out);
        assert_eq!(out, [Action::Dropped { receiver: "F".into(), count: 3 }]);
        out.clear();
        queue.ended(1, Time::ZERO, &mut out);
        assert_eq!(started(&mut out), [(2, "3".into())]);
    }
}
