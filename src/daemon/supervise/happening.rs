//! What the supervisor tells the parent.

use crate::daemon::child::Role;
use crate::daemon::exit::Exit;
use crate::daemon::ipc::{FromChild, FromReporter};

/// What the parent is told.
#[derive(Debug)]
pub enum Happening {
    /// A child process runs.
    Started {
        /// Which.
        role: Role,
        /// Its process id.
        pid: u32,
    },
    /// All children run the proposed configuration.
    Committed {
        /// What changed, one line per object.
        plan: Vec<String>,
    },
    /// The proposed configuration was refused; nothing has changed, what was started for it is being stopped.
    Refused {
        /// Who refused, and why.
        reasons: Vec<(Role, String)>,
        /// What counts as the refusal.
        cause: Cause,
    },
    /// A child wants a script run, ended or queued (`RunScript`, `KillScript`, `Notify`).
    Asked {
        /// Who.
        role: Role,
        /// What.
        message: FromChild,
    },
    /// The reporter wants something of the parent.
    Wanted(FromReporter),
    /// A child process ended unasked; its scripts are nobody's now. It is started again by itself, unless `-R`.
    Died {
        /// Which.
        role: Role,
        /// Its process id.
        pid: u32,
        /// The daemon cannot start: what the status of a child says that ended before anything ran.
        permanent: Option<Exit>,
    },
    /// All children have ended after [`stop`](super::Supervisor::stop).
    Stopped,
}

/// Why a configuration was not taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A child said no.
    Answer,
    /// A child said nothing in time.
    Silence,
    /// A child ended.
    Death,
}
