//! Log lines in stock's form: to the system log, with `-n -l` to stderr, with `-g` to a file. spec/daemon-behaviour.md
//! §10.
//!
//! Levels: `info!` is a line stock always writes, `debug!` one it writes with `-D`, `trace!` one with `-D` twice, and
//! `error!` the death of a child or a script that cannot be executed, the only lines of severity ALERT. `warn!` counts
//! as `info!`: stock knows no warnings, and log filters of users count on that. One line each, in stock's words where
//! the spec lists them.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::dump::marked;
use super::options::{Facility, LogOptions};
use crate::kernel::calendar::WallTime;
use crate::kernel::console;
use crate::kernel::syslog::{self, Impatient, Severity};

/// Who is speaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// `Keepalived`.
    Parent,
    /// `Keepalived_vrrp`.
    Vrrp,
    /// `Keepalived_healthcheckers`.
    Checkers,
    /// `Keepalived_prober`; stock has no such process.
    Prober,
    /// `Keepalived_bfd`.
    Bfd,
    /// `Keepalived_reporter`; stock has no such process.
    Reporter,
}

impl Speaker {
    /// The syslog ident, with the instance name behind it.
    pub fn ident(self, instance: Option<&str>) -> String {
        let name = match self {
            Self::Parent => "Keepalived",
            Self::Vrrp => "Keepalived_vrrp",
            Self::Checkers => "Keepalived_healthcheckers",
            Self::Prober => "Keepalived_prober",
            Self::Bfd => "Keepalived_bfd",
            Self::Reporter => "Keepalived_reporter",
        };
        match instance {
            Some(instance) => format!("{name}_{instance}"),
            None => name.to_owned(),
        }
    }
}

impl Speaker {
    /// The log file beside the parent's: `x.log` is `x_vrrp.log` for the vrrp process.
    fn file(self, parents: &Path) -> PathBuf {
        let mark = match self {
            Self::Parent => return parents.to_owned(),
            Self::Vrrp => "_vrrp",
            Self::Checkers => "_healthcheckers",
            Self::Prober => "_prober",
            Self::Bfd => "_bfd",
            Self::Reporter => "_reporter",
        };
        marked(parents, mark)
    }
}

/// Opens a log file for appending; one that cannot be opened is named on stderr.
fn open(path: &Path) -> Option<File> {
    let mut options = OpenOptions::new();
    // As root into whatever directory: nobody chooses another file for us, and no FIFO makes us wait.
    options.append(true).create(true).mode(0o644).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
        .open(path)
        .inspect_err(|error| {
            let text = format!("keepalived-rs: Unable to open log file {}: {error}\n", path.display());
            // Nobody can be told that stderr is gone.
            let _ = std::io::stderr().write_all(text.as_bytes());
        })
        .ok()
}

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// Not to stderr.
    Off,
    /// To stderr, each with its time: `-n -l`.
    Stamped,
    /// To stderr, bare: what `-t` and errors of the command line look like.
    Bare,
}

/// Starts logging for this process; later calls do nothing. `file` is the parent's log file (`-g`).
pub fn start(
    speaker: Speaker,
    instance: Option<&str>,
    options: LogOptions,
    console: Console,
    file: Option<&Path>,
) {
    let mut impatient = None;
    if !options.no_syslog {
        let facility = match options.facility {
            Facility::Daemon => libc::LOG_DAEMON,
            Facility::User => libc::LOG_USER,
            // LOG_LOCAL0 to LOG_LOCAL7 are consecutive, 8 apart.
            Facility::Local(number) => libc::LOG_LOCAL0 + (i32::from(number) << 3),
        };
        let to_console = options.console && console == Console::Off;
        if speaker == Speaker::Vrrp && !to_console {
            // A log that hangs must not hold adverts up.
            impatient = Some(Mutex::new(Impatient::new(&speaker.ident(instance), facility)));
        } else {
            syslog::open(&speaker.ident(instance), facility, to_console);
        }
    }
    let level = match options.detail {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let file = file.and_then(|path| open(&speaker.file(path)));
    // Nor must a reader of standard error that sleeps.
    let is_punctual = matches!(speaker, Speaker::Vrrp | Speaker::Bfd) && console == Console::Stamped;
    let hasty = is_punctual.then(console::Console::open).flatten().map(Mutex::new);
    let lines = Lines { level, console, syslog: !options.no_syslog, impatient, hasty, file };
    // Only a second call fails, and its settings are the first one's.
    let _ = tracing::subscriber::set_global_default(lines.with_subscriber(Spanless));
    // A daemon has no stderr: its last words belong in the log.
    std::panic::set_hook(Box::new(|panic| tracing::error!("a bug in keepalived-rs: {panic}")));
}

/// Set while a process daemonizes: stderr then belongs to nobody.
static DETACHED: AtomicBool = AtomicBool::new(false);

/// No more lines to stderr.
pub fn detach() {
    DETACHED.store(true, Ordering::Relaxed);
}

struct Lines {
    level: LevelFilter,
    console: Console,
    syslog: bool,
    /// The way to the system log that never waits, if that is the one to take.
    impatient: Option<Mutex<Impatient>>,
    /// The way to standard error that never waits, if that is the one to take.
    hasty: Option<Mutex<console::Console>>,
    file: Option<File>,
}

impl Lines {
    fn write(&self, severity: Severity, text: &str) {
        if self.syslog {
            match &self.impatient {
                Some(log) => log.lock().unwrap_or_else(PoisonError::into_inner).write(severity, text),
                None => syslog::write(severity, text),
            }
        }
        if let Some(file) = &self.file {
            let line = format!("{}: {text}\n", WallTime::now().text());
            // A full disk must not end the daemon, and there is no better place to say so.
            let _ = (&mut &*file).write_all(line.as_bytes());
        }
        if DETACHED.load(Ordering::Relaxed) {
            return;
        }
        if let Some(console) = &self.hasty {
            let stamp = WallTime::now().text();
            console.lock().unwrap_or_else(PoisonError::into_inner).write(&stamp, text);
            return;
        }
        let line = match self.console {
            Console::Off => return,
            Console::Stamped => format!("{}: {text}\n", WallTime::now().text()),
            Console::Bare => format!("{text}\n"),
        };
        // Nobody can be told that stderr is gone.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // Only our own: the libraries below have no lines an operator would know.
        metadata.is_event()
            && metadata.target().starts_with("keepalived_rs")
            && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let severity =
            if *event.metadata().level() == Level::ERROR { Severity::Alert } else { Severity::Info };
        for line in text.0.lines() {
            self.write(severity, &printable(line));
        }
    }
}

/// What [`Lines`] lies on. There are no spans here: the library's register of them would take 32 KiB of every process.
struct Spanless;

impl Subscriber for Spanless {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, _: &Event<'_>) {}

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The message, and behind it any other field as `name=value`.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}

/// A line without anything that could move a terminal's cursor or forge a second line: names and texts in it come from
/// files and the network.
fn printable(line: &str) -> std::borrow::Cow<'_, str> {
    let bad = |c: char| c.is_control() && c != '\t';
    if !line.contains(bad) {
        return line.into();
    }
    line.chars().map(|c| if bad(c) { '?' } else { c }).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idents_are_stocks() {
        assert_eq!(Speaker::Vrrp.ident(None), "Keepalived_vrrp");
        assert_eq!(Speaker::Checkers.ident(Some("i1")), "Keepalived_healthcheckers_i1");
    }

    #[test]
    fn text_from_outside_cannot_move_the_cursor() {
        assert_eq!(printable("(VI_1) Entering MASTER STATE"), "(VI_1) Entering MASTER STATE");
        assert_eq!(printable("a\u{1b}[2Jb\tc\r"), "a?[2Jb\tc?");
    }

    #[test]
    fn every_process_has_a_log_file_of_its_own() {
        let file = |speaker: Speaker, path: &str| speaker.file(Path::new(path)).display().to_string();
        assert_eq!(file(Speaker::Parent, "/x/k.log"), "/x/k.log");
        assert_eq!(file(Speaker::Vrrp, "/x.y/k.log"), "/x.y/k_vrrp.log");
        assert_eq!(file(Speaker::Bfd, "/x.y/k"), "/x.y/k_bfd");
    }
}
