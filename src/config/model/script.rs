//! A command that the daemon runs, and the identity it runs under.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Blank;

/// A command as configured and as resolved on this host. Run directly, never through a shell.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Command {
    /// Words after quoting and escapes are resolved; never empty. `argv[0]` is what the user wrote; of a bare
    /// name, where `PATH` has it.
    pub argv: Vec<String>,
    /// The file to execute: absolute, symlinks resolved (unless `use_symlink_paths`).
    pub path: String,
    /// User and group to run as.
    pub identity: Identity,
}

/// Numeric user and group of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// With the supplementary groups of the user: `:` before the group, or `set_supplementary_groups`.
    pub supplementary: bool,
}

/// A `vrrp_script` block (spec/vrrp-config.md §2.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrpScript {
    /// Block name; the first of a name wins.
    pub name: String,
    /// What to run.
    pub command: Command,
    /// From start of a run to the start of the next.
    pub interval: Duration,
    /// Kill time; `None` means `interval`.
    pub timeout: Option<Duration>,
    /// 0: FAULT on failure; otherwise the priority change. Not clamped (stock stores out-of-range values).
    pub weight: i32,
    /// Weight applies inverted.
    pub reverse: bool,
    /// Consecutive successes until OK, at least 1.
    pub rise: u32,
    /// Consecutive failures until failed, at least 1.
    pub fall: u32,
    /// Assume failed until the first result.
    pub init_fail: bool,
}

/// Scripts to run on state changes. Also used by sync groups (which have no `deleted`, no `rx_lower_pri`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NotifyScripts {
    /// `notify_backup`.
    pub backup: Option<Command>,
    /// `notify_master`.
    pub master: Option<Command>,
    /// `notify_fault`.
    pub fault: Option<Command>,
    /// `notify_stop`.
    pub stop: Option<Command>,
    /// `notify_deleted SCRIPT`.
    pub deleted: Option<Command>,
    /// `notify`: run after the specific one with `INSTANCE|GROUP NAME STATE PRIORITY` appended.
    pub generic: Option<Command>,
    /// `notify_master_rx_lower_pri`.
    pub rx_lower_pri: Option<Command>,
}

impl Blank for NotifyScripts {
    fn blank() -> &'static Self {
        static BLANK: NotifyScripts = NotifyScripts {
            backup: None,
            master: None,
            fault: None,
            stop: None,
            deleted: None,
            generic: None,
            rx_lower_pri: None,
        };
        &BLANK
    }
}

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScriptEnd {
    /// By itself.
    Exited {
        /// Its status, 0..=255.
        status: u8,
    },
    /// By a signal that was not ours.
    Signalled {
        /// Signal number.
        signal: i32,
    },
    /// It ran into its timeout (or was killed on request); how it ended then does not matter.
    TimedOut,
    /// It could not be started.
    NotStarted {
        /// errno.
        errno: i32,
    },
}
