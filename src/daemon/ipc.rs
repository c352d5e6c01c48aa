//! The channel between the parent and its children: what is said.
//!
//! Messages are postcard over a `SOCK_SEQPACKET` socket pair; one too large for a packet travels in a sealed memfd.
//! A reload is two-phase: `Prepare` to all, and only when all answered `Prepared` does `Commit` follow
//! (docs/design.md). The first configuration after start, and that of a respawned child, arrive the same way.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::channel::{Channel, Received};
use super::director::{Answer, Target, Wish};
use crate::check::{ProbeReport, ProbeRequest};
pub use crate::config::model::ScriptEnd;
use crate::config::model::{Command, Polling, Priority, ReporterPart, TlsProfile};
use crate::report::event::ReporterEvent;

/// Set by the parent for a child it executes: its [`Assignment`](super::child::Assignment).
pub const ROLE_VARIABLE: &str = "KEEPALIVED_RS_ROLE";

/// Parent to vrrp or checkers; `P` is the child's part of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToChild<P> {
    /// Look at this configuration, change nothing yet, answer `Prepared` or `Refused`.
    Prepare {
        /// Number of this configuration, rising.
        generation: u64,
        /// The configuration.
        part: P,
        /// The last `State` of a predecessor that died; only after a crash.
        state: Option<Vec<u8>>,
    },
    /// Make the prepared configuration the running one, then answer `Committed`.
    Commit {
        /// As prepared.
        generation: u64,
    },
    /// Forget the prepared configuration.
    Abort {
        /// As prepared.
        generation: u64,
    },
    /// A script asked for by `RunScript` ended.
    ScriptEnded {
        /// The asker's number.
        id: u64,
        /// How.
        end: ScriptEnd,
    },
    /// After a respawn: the scripts of the predecessor that still run.
    ScriptsRunning(Vec<u64>),
    /// What the parent found out for those that track it.
    Reading(Reading),
    /// A new channel to the prober comes with this message as a descriptor (checkers only).
    Prober,
    /// Write this dump now.
    Dump(Dump),
    /// Answer with a `Snapshot` (vrrp and checkers).
    Snapshot(Extent),
    /// Somebody who may changes something that runs (vrrp and checkers).
    Order(Order),
    /// Release what is held (as the command line says), answer `Stopped`, exit 0.
    Stop,
}

/// The state of something that is tracked, watched by the parent (or by the BFD process, for which the parent speaks).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
    /// The number in a file; 0 without one.
    File {
        /// Name of the `track_file`.
        name: String,
        /// The number.
        value: i32,
    },
    /// How many processes match.
    Processes {
        /// Name of the `vrrp_track_process`.
        name: String,
        /// How many.
        count: u32,
    },
    /// What a polled card says of its link.
    Link {
        /// Interface name.
        name: String,
        /// How it was asked.
        way: Polling,
        /// Is there a link?
        up: bool,
    },
    /// The state of a BFD session.
    Bfd {
        /// Name of the `bfd_instance`.
        name: String,
        /// Is it up?
        up: bool,
    },
}

/// The same bytes as a list of numbers, in one piece.
fn as_bytes<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// vrrp or checkers to parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromChild {
    /// The configuration can be applied; this is what would be done.
    Prepared {
        /// As asked.
        generation: u64,
        /// One line per object that changes.
        plan: Vec<String>,
    },
    /// It cannot; nothing was changed.
    Refused {
        /// As asked.
        generation: u64,
        /// Why, naming the object.
        reasons: Vec<String>,
    },
    /// It is running now.
    Committed {
        /// As asked.
        generation: u64,
    },
    /// Run this and report its end.
    RunScript {
        /// Returned in `ScriptEnded`.
        id: u64,
        /// What to run.
        command: Command,
        /// SIGTERM to its process group after this, SIGKILL 2 s later.
        timeout: Duration,
    },
    /// End this script now (SIGTERM, SIGKILL 2 s later); `ScriptEnded` still follows.
    KillScript {
        /// As given in `RunScript`.
        id: u64,
    },
    /// Run these in order, after earlier ones of the same receiver; no report.
    Notify {
        /// Whose queue: `INSTANCE V1`, `GROUP G1`, `RS [10.0.0.1]:tcp:80 …`, `VS …`.
        receiver: String,
        /// Commands with their final arguments.
        commands: Vec<Command>,
    },
    /// A BFD session came up or went down, or this is how it is after start and after a reload (bfd only).
    Session {
        /// Name of the `bfd_instance`.
        name: String,
        /// Is it up?
        up: bool,
    },
    /// Write this into the file of that dump: children have no business on a disk, and may have to wait for it.
    Dumped {
        /// Which.
        dump: Dump,
        /// Its contents.
        text: String,
    },
    /// What came of an `Order` with a number.
    Answer {
        /// As given there.
        id: u64,
        /// Lines for people.
        answer: Answer,
    },
    /// Something that the reporter is to know.
    Report(ReporterEvent),
    /// Several such things, in order: each message wakes the parent.
    Reports(Vec<ReporterEvent>),
    /// What `ToChild::Snapshot` asked for: postcard, which only the reporter reads.
    Snapshot(#[serde(serialize_with = "as_bytes")] Vec<u8>),
    /// The cores' state, for a successor should this process die.
    State(#[serde(serialize_with = "as_bytes")] Vec<u8>),
    /// Everything is released; the process exits.
    Stopped,
}

/// Dump files a signal asks for (spec/daemon-behaviour.md §3, §12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dump {
    /// USR1: `keepalived.data`, `keepalived_check.data`.
    Data,
    /// USR2: `keepalived.stats`.
    Stats,
    /// Signal 63: statistics, then counters to zero.
    StatsClear,
    /// Signal 36: `keepalived.json`.
    Json,
    /// For `config_save_dir`: the data of the vrrp process beside a reload.
    Saved {
        /// Which reload, from 1.
        number: u32,
        /// Behind it, else before it.
        after: bool,
    },
}

/// Checkers to prober, in batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToProber {
    /// Start these.
    Probe(Vec<ProbeRequest>),
    /// Start this on the socket that comes as a descriptor: not connected, all options set, bound. For a
    /// connection that `check::probe::connect::needs_rights`.
    ProbeOn(Box<ProbeRequest>),
    /// Their answers are no longer wanted.
    Cancel(Vec<u64>),
    /// What TLS probes present and ask for from now on.
    Tls(Vec<TlsProfile>),
}

/// Prober to checkers, in batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromProber {
    /// These came to an end.
    Done(Vec<ProbeReport>),
}

/// How much a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extent {
    /// All but the statistics of real servers, which take one question to the kernel for each service.
    Usual,
    /// All.
    Whole,
}

/// What somebody who may can ask of what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Announce the addresses of this instance once, if it is master.
    SendGarp {
        /// Its name.
        instance: String,
    },
    /// Another base priority, until the next reload.
    SetPriority {
        /// Its name.
        instance: String,
        /// The priority.
        priority: Priority,
    },
    /// Take over from a lower priority or not, until the next reload.
    SetPreempt {
        /// Its name.
        instance: String,
        /// Take over?
        preempt: bool,
    },
    /// Another weight of a real server, until the next reload.
    SetWeight {
        /// Place of its virtual server in the configuration.
        virtual_server: usize,
        /// Its own place in that.
        real_server: usize,
        /// The weight, 0..=65535.
        weight: u32,
    },
    /// Drain or undrain real servers, and answer. Only through the control socket.
    Drain {
        /// Returned with the answer.
        id: u64,
        /// Which.
        target: Target,
        /// What.
        wish: Wish,
    },
    /// Say which real servers are drained.
    Drained {
        /// Returned with the answer.
        id: u64,
    },
}

impl Order {
    /// The instance that it concerns.
    pub fn instance(&self) -> Option<&str> {
        match self {
            Self::SendGarp { instance }
            | Self::SetPriority { instance, .. }
            | Self::SetPreempt { instance, .. } => Some(instance),
            Self::SetWeight { .. } | Self::Drain { .. } | Self::Drained { .. } => None,
        }
    }
}

/// Parent to reporter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToReporter {
    /// This runs now. The first message; another one after each reload.
    Configure(Box<ReporterPart>),
    /// Something happened.
    Event(ReporterEvent),
    /// What `FromReporter::Snapshot` asked for.
    Snapshot {
        /// Of whom.
        of: Reported,
        /// Postcard.
        bytes: Vec<u8>,
    },
    /// What `FromReporter::Connect` asked for comes as a descriptor; without one it is not there.
    Connected(Service),
    /// The other children have ended: say the last words and exit.
    Stop,
}

/// Reporter to parent: a closed list. The parent does what the configuration allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromReporter {
    /// A `Snapshot` is wanted. A process that does not run gives none.
    Snapshot(Reported, Extent),
    /// A connection is wanted that takes rights: sockets of services often let only root in.
    Connect(Service),
    /// As the signal does.
    Dump(Dump),
    /// As SIGHUP does.
    Reload,
    /// Passed on to vrrp or checkers.
    Order(Order),
}

/// Who is reported of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reported {
    /// The vrrp process.
    Vrrp,
    /// The checkers process.
    Checkers,
}

/// A local service that the reporter talks to; where it is, the parent knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Service {
    /// The system bus.
    Bus,
    /// The `AgentX` master.
    AgentX,
}
