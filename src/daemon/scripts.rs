//! The scripts of all processes: started, timed and reaped here, in the parent, and nowhere else.
//!
//! Tracked scripts (`vrrp_script`) report their end to the process that asked; notify scripts go through the ordered
//! queue and report to nobody. spec/daemon-behaviour.md §8, spec/vrrp-behaviour.md §6.2.

use std::collections::HashMap;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use super::ipc::ROLE_VARIABLE;
use crate::config::model::{Command, ScriptEnd};
use crate::kernel::{spawn, timer};
use crate::notify::queue::{Action, Queue};

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// A script came to its end.
#[derive(Debug)]
pub struct Ended<R> {
    /// Who asked for it.
    pub asker: R,
    /// The asker's number.
    pub id: u64,
    /// How it ended.
    pub end: ScriptEnd,
}

/// What a task that waits for a script tells its owner.
enum Message {
    Tracked { key: u64, end: ScriptEnd },
    Notify { run: u64 },
}

struct Tracked<R> {
    asker: R,
    id: u64,
    /// Dropping or using it ends the script.
    kill: tokio::sync::oneshot::Sender<()>,
}

/// All scripts that run or wait. `R` tells askers apart.
pub struct Scripts<R> {
    tracked: HashMap<u64, Tracked<R>>,
    keys: u64,
    queue: Queue,
    /// Notify scripts that run, waited for or not.
    notifying: usize,
    actions: Vec<Action>,
    tell: UnboundedSender<Message>,
    hear: UnboundedReceiver<Message>,
}

impl<R: Copy + PartialEq> Default for Scripts<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Copy + PartialEq> Scripts<R> {
    /// No scripts yet.
    pub fn new() -> Self {
        let (tell, hear) = unbounded_channel();
        Self {
            tracked: HashMap::new(),
            keys: 0,
            queue: Queue::new(),
            notifying: 0,
            actions: Vec::new(),
            tell,
            hear,
        }
    }

    /// Starts a tracked script: SIGTERM to its process group after `limit`, SIGKILL 2 s later. Its end comes from
    /// [`Scripts::ended`], also when it could not be started.
    pub fn run(&mut self, asker: R, id: u64, command: &Command, limit: Duration) {
        // A successor that knew less than its predecessor gives a number again: it wants to know of its own run.
        self.tracked.retain(|_, entry| (entry.asker, entry.id) != (asker, id));
        self.keys += 1;
        let key = self.keys;
        let tell = self.tell.clone();
        let (kill, killed) = tokio::sync::oneshot::channel();
        self.tracked.insert(key, Tracked { asker, id, kill });
        match spawn::script(command, ROLE_VARIABLE) {
            Ok(mut child) => {
                tokio::spawn(async move {
                    let leader = child.id().unwrap_or(0);
                    let wanted = tokio::select! {
                        status = child.wait() => Some(status),
                        () = sleep(limit) => None,
                        _ = killed => None,
                    };
                    let end = match wanted {
                        Some(Ok(status)) => spawn::end(status),
                        Some(Err(error)) => {
                            ScriptEnd::NotStarted { errno: error.raw_os_error().unwrap_or(0) }
                        }
                        None => {
                            terminate(leader, &mut child).await;
                            ScriptEnd::TimedOut
                        }
                    };
                    let _ = tell.send(Message::Tracked { key, end });
                });
            }
            Err(error) => {
                tracing::info!("Couldn't start script {}: {error}", command.path);
                let end = ScriptEnd::NotStarted { errno: error.raw_os_error().unwrap_or(0) };
                let _ = tell.send(Message::Tracked { key, end });
            }
        }
    }

    /// Ends this script now; [`Scripts::ended`] still tells of it.
    pub fn kill(&mut self, asker: R, id: u64) {
        let key = self.tracked.iter().find(|(_, t)| t.asker == asker && t.id == id).map(|(key, _)| *key);
        if let Some(entry) = key.and_then(|key| self.tracked.get_mut(&key)) {
            let (closed, _) = tokio::sync::oneshot::channel();
            let _ = std::mem::replace(&mut entry.kill, closed).send(());
        }
    }

    /// The numbers of an asker's scripts that run.
    pub fn running(&self, asker: R) -> Vec<u64> {
        self.tracked.values().filter(|entry| entry.asker == asker).map(|entry| entry.id).collect()
    }

    /// Ends all scripts of an asker that died; nobody is told.
    pub fn kill_all(&mut self, asker: R) {
        self.tracked.retain(|_, entry| entry.asker != asker);
    }

    /// Runs these in order, behind earlier ones of the same receiver.
    pub fn notify(&mut self, receiver: &str, commands: Vec<Command>) {
        self.queue.push(receiver, commands, timer::now(), &mut self.actions);
        self.act();
    }

    /// The next tracked script that ends. Cancel-safe; must be polled, for it also drives the notify scripts.
    pub async fn ended(&mut self) -> Ended<R> {
        loop {
            let patience = self.queue.deadline().map(|deadline| deadline.since(timer::now()));
            let message = tokio::select! {
                message = self.hear.recv() => message,
                () = sleep(patience.unwrap_or(Duration::MAX)), if patience.is_some() => None,
            };
            match message {
                Some(Message::Tracked { key, end }) => {
                    if let Some(Tracked { asker, id, .. }) = self.tracked.remove(&key) {
                        return Ended { asker, id, end };
                    }
                }
                Some(Message::Notify { run }) => {
                    self.notifying -= 1;
                    self.queue.ended(run, timer::now(), &mut self.actions);
                    self.act();
                }
                None => {
                    self.queue.timer(timer::now(), &mut self.actions);
                    self.act();
                }
            }
        }
    }

    /// Ends all tracked scripts and waits, at most `limit`, until the notify scripts are through.
    pub async fn drain(&mut self, limit: Duration) {
        self.tracked.clear();
        let through = async {
            while self.notifying > 0 {
                match self.hear.recv().await {
                    Some(Message::Notify { run }) => {
                        self.notifying -= 1;
                        self.queue.ended(run, timer::now(), &mut self.actions);
                        self.act();
                    }
                    Some(Message::Tracked { .. }) => {}
                    None => break,
                }
            }
        };
        if timeout(limit, through).await.is_err() {
            tracing::info!("{} notify scripts still running, not waiting for them", self.notifying);
        }
    }

    /// Does what the queue asks for.
    fn act(&mut self) {
        // A script that cannot be started ends at once, which may start the next: hence not a plain `drain`.
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                match action {
                    Action::Start { run, command } => self.start(run, &command),
                    Action::Overdue { receiver, script } => {
                        tracing::info!(
                            "{receiver}: notify script {script} is still running, starting the next one"
                        );
                    }
                    Action::Dropped { receiver, count } => {
                        tracing::info!(
                            "{receiver}: dropped {count} notify scripts, they wait for a slow one"
                        );
                    }
                }
            }
        }
    }

    fn start(&mut self, run: u64, command: &Command) {
        match spawn::script(command, ROLE_VARIABLE) {
            Ok(mut child) => {
                self.notifying += 1;
                let tell = self.tell.clone();
                tokio::spawn(async move {
                    let _ = child.wait().await;
                    let _ = tell.send(Message::Notify { run });
                });
            }
            Err(error) => {
                tracing::info!("Couldn't start notify script {}: {error}", command.path);
                self.queue.ended(run, timer::now(), &mut self.actions);
            }
        }
    }
}

/// Runs a script that everybody waits for, at most `limit`: `startup_script`, `shutdown_script`. Dropped, it ends the script.
pub async fn alone(what: &str, command: &Command, limit: Duration) {
    tracing::info!("Running {what} script {}", command.path);
    let mut child = match spawn::script(command, ROLE_VARIABLE) {
        Ok(child) => child,
        Err(error) => {
            tracing::info!("Couldn't start {what} script {}: {error}", command.path);
            return;
        }
    };
    let leader = child.id().unwrap_or(0);
    let group = Group(leader);
    let ended = timeout(limit, child.wait()).await;
    std::mem::forget(group);
    match ended.map(|ended| ended.map(spawn::end)) {
        Ok(Ok(ScriptEnd::Exited { status: 0 })) => {}
        Ok(Ok(ScriptEnd::Exited { status })) => tracing::info!("{what} script failed, status {status}"),
        Ok(Ok(ScriptEnd::Signalled { signal })) => {
            tracing::info!("{what} script failed, due to signal {signal}");
        }
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::info!("waiting for {what} script: {error}"),
        Err(_) => {
            tracing::info!("{what} script timed out after {} s", limit.as_secs());
            terminate(leader, &mut child).await;
        }
    }
}

/// The process group of a script that is ended when nobody waits for it any more.
struct Group(u32);

impl Drop for Group {
    fn drop(&mut self) {
        spawn::signal_group(self.0, Signal::SIGTERM);
    }
}

/// SIGTERM to the script's process group, SIGKILL if that does not end it.
pub(super) async fn terminate(leader: u32, child: &mut tokio::process::Child) {
    spawn::signal_group(leader, Signal::SIGTERM);
    if timeout(GRACE, child.wait()).await.is_err() {
        spawn::signal_group(leader, Signal::SIGKILL);
        let _ = child.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::config::model::Identity;

    fn sh(text: &str) -> Command {
        Command {
            argv: vec!["sh".into(), "-c".into(), text.into()],
            path: "/bin/sh".into(),
            identity: Identity {
                uid: nix::unistd::geteuid().as_raw(),
                gid: nix::unistd::getegid().as_raw(),
                ..Identity::default()
            },
        }
    }

    async fn end_of(command: &Command, limit: Duration) -> ScriptEnd {
        let mut scripts = Scripts::new();
        scripts.run('v', 7, command, limit);
        let ended = timeout(Duration::from_secs(20), scripts.ended()).await.expect("the script ends");
        assert_eq!((ended.asker, ended.id), ('v', 7));
        ended.end
    }

    #[tokio::test]
    async fn an_exit_status_and_a_foreign_signal_are_told_apart() {
        let long = Duration::from_secs(15);
        assert_eq!(end_of(&sh("exit 3"), long).await, ScriptEnd::Exited { status: 3 });
        assert_eq!(end_of(&sh("kill -USR1 $$"), long).await, ScriptEnd::Signalled { signal: libc::SIGUSR1 });
        let missing = Command { path: "/nonexistent/x".into(), ..sh("") };
        assert_eq!(end_of(&missing, long).await, ScriptEnd::NotStarted { errno: libc::ENOENT });
    }

    #[tokio::test]
    async fn a_script_that_exits_0_when_its_time_is_up_has_still_timed_out() {
        let command = sh("trap 'exit 0' TERM; while :; do sleep 0.05; done");
        assert_eq!(end_of(&command, Duration::from_millis(200)).await, ScriptEnd::TimedOut);
    }

    #[tokio::test]
    async fn a_killed_script_ends_with_its_whole_group() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let mut scripts = Scripts::new();
        scripts.run(
            1,
            1,
            &sh(&format!("sleep 600 & echo $! > {}; wait", file.display())),
            Duration::from_secs(60),
        );
        let pid = loop {
            match std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<i32>().ok()) {
                Some(pid) => break pid,
                None => sleep(Duration::from_millis(5)).await,
            }
        };
        scripts.kill(1, 1);
        assert_eq!(scripts.ended().await.end, ScriptEnd::TimedOut);
        let gone = timeout(Duration::from_secs(5), async {
            // A zombie adopted by init is as good as gone.
            while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z")) {
                sleep(Duration::from_millis(5)).await;
            }
        });
        gone.await.expect("the grandchild is killed too");
    }

    #[tokio::test]
    async fn a_script_without_a_first_line_is_read_by_the_shell_and_gets_its_words_byte_by_byte() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (script, seen) = (folder.path().join("script"), folder.path().join("seen"));
        std::fs::write(&script, format!("printf %s \"$1\" > {}\n", seen.display())).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let word = crate::config::source::decode(b"caf\xe9 \xff".to_vec());
        let path = script.to_str().unwrap().to_owned();
        let command = Command { argv: vec![path.clone(), word], path, ..sh("") };
        assert_eq!(end_of(&command, Duration::from_secs(15)).await, ScriptEnd::Exited { status: 0 });
        assert_eq!(std::fs::read(&seen).unwrap(), b"caf\xe9 \xff");
    }

    #[tokio::test]
    async fn notify_scripts_of_one_receiver_run_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("order");
        let say = |word: &str, first: &str| sh(&format!("{first} echo {word} >> {}", file.display()));
        let mut scripts = Scripts::<u8>::new();
        scripts.notify("INSTANCE V", vec![say("backup", "sleep 0.3;")]);
        scripts.notify("INSTANCE V", vec![say("master", "")]);
        scripts.drain(Duration::from_secs(20)).await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "backup\nmaster\n");
    }

    #[tokio::test]
    async fn a_script_inherits_neither_descriptors_nor_the_loader_variables_nor_ignored_signals() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seen");
        // Deliberately inheritable, as if an earlier program had left it open.
        let leaked = std::fs::File::open("/dev/null").unwrap();
        nix::fcntl::fcntl(&leaked, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
        let command = sh(&format!(
            "(ls /proc/$$/fd | tr '\\n' ' '; grep SigIgn /proc/$$/status; echo pgid $(cut -d' ' -f5 /proc/$$/stat) pid $$) > {}",
            file.display()
        ));
        assert_eq!(end_of(&command, Duration::from_secs(15)).await, ScriptEnd::Exited { status: 0 });
        let seen = std::fs::read_to_string(&file).unwrap();
        let descriptors: Vec<u32> =
            seen.lines().next().unwrap().split_whitespace().filter_map(|word| word.parse().ok()).collect();
        assert!(!descriptors.contains(&u32::try_from(leaked.as_raw_fd()).unwrap()), "inherited: {seen}");
        let ignored = seen.split_whitespace().skip_while(|word| *word != "SigIgn:").nth(1).unwrap();
        // Signals 32 and 33 are the C library's own; it lets nobody change them.
        assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & !(3 << 31), 0, "{seen}");
        let words: Vec<_> = seen.split_whitespace().collect();
        let (pgid, pid) = (words[words.len() - 3], words[words.len() - 1]);
        assert_eq!(pgid, pid, "leads its own group");
        drop(leaked);
    }
}
