//! A daemon on a host: started by stock's command line with its own /run and /tmp, watched by its log and what /proc tells.
//!
//! `mount` namespaces of its own let two daemons on one machine not meet, and tell its processes from all others.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::net::{Host, processes_where};
use super::place::{self, tool, write};
use super::wait::{Outcome, Stamp, ensure, until};

/// Gives the daemon a /run, /tmp and /sys of its own, then becomes it. Arguments: directory, project, program and its arguments.
/// A project below /tmp stays visible. Where the directory has a link `syslog` to a socket, that is the daemon's /dev/log.
const ENTER: &str = r#"
set -e
directory=$1 project=$2; shift 2
case $project in /tmp/*) mkdir -p "$directory/tmp${project#/tmp}"; mount -n --rbind "$project" "$directory/tmp${project#/tmp}" ;; esac
if [ -e "$directory/syslog" ]; then
  mkdir -p "$directory/dev"; mount -n -t tmpfs tmpfs "$directory/dev"
  for node in null zero random urandom log; do touch "$directory/dev/$node"; done
  for node in null zero random urandom; do mount -n --bind "/dev/$node" "$directory/dev/$node"; done
  mount -n --bind "$(readlink -f "$directory/syslog")" "$directory/dev/log"
  mount -n --rbind "$directory/dev" /dev
fi
mount -n --bind "$directory/run" /run
mount -n -t sysfs sysfs /sys
mount -n --rbind "$directory/tmp" /tmp
if [ -d "$directory/dbus-interfaces" ]; then
  mount -n -t tmpfs tmpfs /usr/share/dbus-1; mkdir /usr/share/dbus-1/interfaces
  cp "$directory"/dbus-interfaces/* /usr/share/dbus-1/interfaces/
fi
exec "$@"
"#;

/// What [`Daemon::stop_reading`] fills the pipe with: no line of a log has it.
const FILLER: u8 = 1;

/// Which program plays the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Program {
    /// `stock`, `ours`, or a path's last part: what case names and messages say.
    pub(crate) label: String,
    pub(crate) path: PathBuf,
}

impl Program {
    pub(crate) fn stock() -> Self {
        Self { label: "stock".to_owned(), path: place::stock() }
    }

    pub(crate) fn ours() -> Self {
        Self { label: "ours".to_owned(), path: place::ours() }
    }

    /// `stock`, `ours` or the path of any other binary.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "stock" => Self::stock(),
            "ours" => Self::ours(),
            path => {
                let label = Path::new(path).file_name().map(|f| f.to_string_lossy().into_owned());
                Self { label: label.unwrap_or_default(), path: PathBuf::from(path) }
            }
        }
    }

    pub(crate) fn is_stock(&self) -> bool {
        self.path == place::stock()
    }
}

/// One line of a daemon's log.
#[derive(Clone, Debug)]
pub(crate) struct LogLine {
    pub(crate) at: Stamp,
    pub(crate) text: String,
}

/// A daemon's mount namespace, by which its processes are known. Held open: the kernel gives the identity of a namespace that is
/// gone to the next one.
#[derive(Debug)]
struct Mounts {
    identity: PathBuf,
    _held: fs::File,
}

impl Mounts {
    fn of(pid: u32) -> Option<Self> {
        let held = fs::File::open(format!("/proc/{pid}/ns/mnt")).ok()?;
        let identity = fs::read_link(format!("/proc/self/fd/{}", held.as_raw_fd())).ok()?;
        Some(Self { identity, _held: held })
    }
}

/// A daemon; dropped, it and all it started are killed.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) program: Program,
    /// Holds keepalived.conf, `run/` and `tmp/` (its /run and /tmp) and the pid files.
    pub(crate) directory: PathBuf,
    host: String,
    log: Arc<Mutex<Vec<LogLine>>>,
    /// Its standard error is not read.
    deaf: Arc<AtomicBool>,
    child: Option<Child>,
    mounts: Option<Mounts>,
}

impl Daemon {
    /// Lays out the directory and writes the configuration; does not start it.
    pub(crate) fn new(program: &Program, host: &Host, parent: &Path, config: &str) -> Outcome<Self> {
        let directory = parent.join(&host.name);
        for folder in ["run", "tmp"] {
            let folder = directory.join(folder);
            fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let daemon = Self {
            program: program.clone(),
            directory,
            host: host.name.clone(),
            log: Arc::default(),
            deaf: Arc::default(),
            child: None,
            mounts: None,
        };
        daemon.configure(config)?;
        Ok(daemon)
    }

    /// Makes and starts one.
    pub(crate) fn start_on(host: &Host, program: &Program, parent: &Path, config: &str) -> Outcome<Self> {
        let mut daemon = Self::new(program, host, parent, config)?;
        daemon.start(host, &[])?;
        Ok(daemon)
    }

    /// Writes the configuration; a running daemon does not look at it before `reload`.
    pub(crate) fn configure(&self, config: &str) -> Outcome {
        write(&self.config_path(), config)
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.directory.join("keepalived.conf")
    }

    /// Starts it with the usual options (`-n -l -D -G`, own pid files) and these.
    pub(crate) fn start(&mut self, host: &Host, more: &[&str]) -> Outcome<Stamp> {
        let files = [("-p", "parent"), ("-r", "vrrp"), ("-c", "checkers"), ("-b", "bfd")];
        let files =
            files.map(|(option, file)| [option.to_owned(), self.pid_file(file).display().to_string()]);
        let files = files.concat();
        self.launch(host, &[files.iter().map(String::as_str).collect(), more.to_vec()].concat())
    }

    /// Starts it without naming pid files: they are where the program puts them, below `run/`.
    pub(crate) fn launch(&mut self, host: &Host, more: &[&str]) -> Outcome<Stamp> {
        let conf = self.config_path().display().to_string();
        self.execute(host, &[&["-n", "-l", "-D", "-G", "-f", &conf], more].concat())
    }

    /// Starts it with these words and no others; it must stay in the foreground.
    pub(crate) fn execute(&mut self, host: &Host, words: &[&str]) -> Outcome<Stamp> {
        ensure!(self.child.is_none(), "{}: already started", self.host);
        let project = place::target();
        let project = project.parent().unwrap_or(Path::new("/"));
        let mut command = tool("setpriv");
        command
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"])
            .args(["sh", "-c", ENTER, "sh"])
            .arg(&self.directory)
            .arg(project)
            .arg(&self.program.path);
        command
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        command.current_dir("/").env_remove("NOTIFY_SOCKET");
        let at = Stamp::now();
        let mut child = host
            .space
            .inside(|| command.spawn())
            .map_err(|e| format!("starting {}: {e}", self.program.path.display()))?;
        let errors = child.stderr.take().ok_or("no standard error")?;
        let (log, copy) = (Arc::clone(&self.log), self.directory.join("log"));
        let deaf = Arc::clone(&self.deaf);
        std::thread::spawn(move || {
            let mut file = fs::OpenOptions::new().create(true).append(true).open(copy).ok();
            for line in BufReader::new(errors).split(b'\n').map_while(Result::ok) {
                while deaf.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                if line.contains(&FILLER) {
                    continue;
                }
                let text = String::from_utf8_lossy(&line).into_owned();
                if let Some(file) = &mut file {
                    let _ = std::io::Write::write_all(file, format!("{text}\n").as_bytes());
                }
                log.lock().unwrap_or_else(PoisonError::into_inner).push(LogLine { at: Stamp::now(), text });
            }
        });
        let pid = child.id();
        self.child = Some(child);
        let outside = fs::read_link("/proc/self/ns/mnt").ok();
        let own = until(Duration::from_secs(20), "the daemon's mount namespace", || {
            match Mounts::of(pid) {
                // Gone already: a daemon that refused its configuration.
                None => Some(None),
                Some(mounts) => (Some(&mounts.identity) != outside.as_ref()).then_some(Some(mounts)),
            }
        })?;
        self.mounts = own;
        Ok(at)
    }

    /// A pid file's path: `parent`, `vrrp`, `checkers` or `bfd`.
    pub(crate) fn pid_file(&self, which: &str) -> PathBuf {
        self.directory.join(format!("{which}.pid"))
    }

    /// The pid a pid file names, once it is there.
    pub(crate) fn pid(&self, which: &str) -> Outcome<i32> {
        let path = self.pid_file(which);
        until(Duration::from_secs(10), format!("a pid in {}", path.display()), || {
            fs::read_to_string(&path).ok()?.trim().parse().ok()
        })
        .map_err(|e| self.explain(e))
    }

    /// Every process of the daemon, its scripts included.
    pub(crate) fn processes(&self) -> Vec<i32> {
        self.mounts.as_ref().map(|mounts| processes_where("mnt", &mounts.identity)).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Outcome<Stamp> {
        let child = self.child.as_ref().ok_or("not running")?;
        let pid = i32::try_from(child.id()).map_err(|e| e.to_string())?;
        let at = Stamp::now();
        kill(Pid::from_raw(pid), signal).map_err(|e| format!("{signal} to {}: {e}", self.host))?;
        Ok(at)
    }

    /// Writes a new configuration and reloads; done when the log says so.
    pub(crate) fn reload(&self, config: &str) -> Outcome<Stamp> {
        self.configure(config)?;
        let seen = self.log_length();
        let at = self.signal(Signal::SIGHUP)?;
        self.wait_log_after(seen, "Reload complete", Duration::from_secs(10))?;
        Ok(at)
    }

    /// SIGTERM, and waits for the end; the moment of the signal and the exit status.
    pub(crate) fn stop(&mut self) -> Outcome<(Stamp, ExitStatus)> {
        let at = self.signal(Signal::SIGTERM)?;
        let status = self.wait_end(Duration::from_secs(12))?;
        Ok((at, status))
    }

    /// Waits for the parent to end by itself.
    pub(crate) fn wait_end(&mut self, limit: Duration) -> Outcome<ExitStatus> {
        let mut child = self.child.take().ok_or("not running")?;
        let end = until(limit, format!("{} to end", self.host), || child.try_wait().ok().flatten());
        match end {
            Ok(status) => {
                self.mounts_gone();
                Ok(status)
            }
            Err(e) => {
                self.child = Some(child);
                Err(self.explain(e))
            }
        }
    }

    fn mounts_gone(&mut self) {
        // Scripts may live on; whoever asks `processes` after this still sees them.
        if self.processes().is_empty() {
            self.mounts = None;
        }
    }

    /// A crash: every process is halted before any of them dies, so none can say goodbye or start another.
    pub(crate) fn crash(&mut self) -> Outcome<Stamp> {
        let mut halted = Vec::new();
        loop {
            let new: Vec<_> = self.processes().into_iter().filter(|pid| !halted.contains(pid)).collect();
            if new.is_empty() {
                break;
            }
            for pid in new {
                let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
                halted.push(pid);
            }
        }
        let at = Stamp::now();
        // The parent last: its death would wake the others (an orphaned process group is continued).
        let parent = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok());
        halted.sort_by_key(|pid| Some(*pid) == parent);
        for pid in halted {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().map_err(|e| format!("waiting for {}: {e}", self.host))?;
        }
        for which in ["parent", "vrrp", "checkers", "bfd"] {
            let _ = fs::remove_file(self.pid_file(which));
        }
        Ok(at)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Reads its standard error no more, and fills what the pipe would still take.
    pub(crate) fn stop_reading(&self) -> Outcome {
        let child = self.child.as_ref().ok_or("not running")?;
        self.deaf.store(true, Ordering::Relaxed);
        // A description of our own, so that the daemon's waits as it did.
        let path = format!("/proc/{}/fd/2", child.id());
        let mut pipe = fs::OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
            .map_err(|e| format!("{path}: {e}"))?;
        // The reader takes what is in its buffer before it stops.
        until(Duration::from_secs(5), "a full pipe", || {
            for size in [4096, 256, 16, 1] {
                let line = [vec![FILLER; size - 1], vec![b'\n']].concat();
                while std::io::Write::write(&mut pipe, &line).is_ok() {}
            }
            let before = self.log_length();
            std::thread::sleep(Duration::from_millis(50));
            let is_full = std::io::Write::write(&mut pipe, b"\n").is_err();
            (is_full && self.log_length() == before).then_some(())
        })
    }

    /// Reads again.
    pub(crate) fn go_on_reading(&self) {
        self.deaf.store(false, Ordering::Relaxed);
    }

    /// All log lines so far.
    pub(crate) fn log(&self) -> Vec<LogLine> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines the log has: a mark for `wait_log_after`.
    pub(crate) fn log_length(&self) -> usize {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits for a log line with this text, from the start of the log on.
    pub(crate) fn wait_log(&self, text: &str, limit: Duration) -> Outcome<LogLine> {
        self.wait_log_after(0, text, limit)
    }

    /// The same among the lines after a mark.
    pub(crate) fn wait_log_after(&self, seen: usize, text: &str, limit: Duration) -> Outcome<LogLine> {
        until(limit, format!("{} to log '{text}'", self.host), || {
            self.log().into_iter().skip(seen).find(|line| line.text.contains(text))
        })
        .map_err(|e| self.explain(e))
    }

    /// Whether a line has this text.
    pub(crate) fn logged(&self, text: &str) -> bool {
        self.log().iter().any(|line| line.text.contains(text))
    }

    /// A file of the daemon's /tmp or /run, e.g. `tmp/keepalived.data`.
    pub(crate) fn own_file(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// Sends the signal and reads the dump file it makes, once it stopped growing.
    pub(crate) fn dump(&self, signal: Signal, path: &str) -> Outcome<String> {
        let path = self.own_file(path);
        let _ = fs::remove_file(&path);
        self.signal(signal)?;
        let mut last = String::new();
        until(Duration::from_secs(5), format!("{}", path.display()), || {
            let text = String::from_utf8_lossy(&fs::read(&path).ok()?).into_owned();
            if !text.is_empty() && text == last {
                return Some(text);
            }
            last = text;
            std::thread::sleep(Duration::from_millis(20));
            None
        })
        .map_err(|e| self.explain(e))
    }

    /// The message and the log's end.
    pub(crate) fn explain(&self, mut message: String) -> String {
        let log = self.log();
        let from = log.len().saturating_sub(40);
        let lines: Vec<_> = log[from..].iter().map(|line| format!("    {}", line.text)).collect();
        let _ = write!(message, "\nthe log of {} ({}):\n{}", self.host, self.program.label, lines.join("\n"));
        message
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.crash();
    }
}
