//! What a virtual server is told, and what it wants done: plain data.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::model::Command;
use crate::time::Time;

/// What happened to a virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The schedule: a checker went from up to down.
    CheckerDown {
        /// Index of the real server.
        real_server: usize,
        /// Index of its checker.
        checker: usize,
    },
    /// The schedule: a checker went from down to up.
    CheckerUp {
        /// Index of the real server.
        real_server: usize,
        /// Index of its checker.
        checker: usize,
    },
    /// The schedule: a checker that started as failed has now really failed.
    StillDown {
        /// Index of the real server.
        real_server: usize,
    },
    /// A dynamic check: what it adds to the configured weight now.
    Contribution {
        /// Index of the real server.
        real_server: usize,
        /// Index of its checker.
        checker: usize,
        /// Added to the weight, 0 for none.
        weight: i64,
    },
    /// An operator: no new connections for it, until this moment if there is one.
    Drain {
        /// Index of the real server.
        real_server: usize,
        /// When it ends by itself.
        until: Option<Time>,
    },
    /// An operator: the drain is over.
    Undrain {
        /// Index of the real server.
        real_server: usize,
    },
    /// The driver: what the last [`Action::Apply`] wanted is in the kernel.
    Applied,
    /// The driver: the kernel refused a command of the last [`Action::Apply`].
    Refused,
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Log this line.
    Log(String),
    /// Make the kernel's table as [`super::VirtualServerHealth::pool`] wants it, then answer.
    Apply(Scope),
    /// Run this notify script, after earlier ones of the same receiver.
    Notify {
        /// `RS <rs> <vs>` or `VS <vs>`.
        receiver: String,
        /// With its final arguments.
        command: Command,
    },
    /// The kernel refused what a checker's result asked for, so its result does not count: the schedule must report
    /// it again.
    Undo {
        /// Index of the real server.
        real_server: usize,
        /// Index of its checker.
        checker: usize,
    },
    /// A real server came into service or left it: for mail and SNMP.
    Served {
        /// Its address and port: it may be gone from the configuration.
        real_server: (IpAddr, u16),
        /// How logs name it, and the virtual server.
        labels: (String, String),
        /// Is it in service now?
        up: bool,
    },
    /// The quorum was gained or lost: for mail and SNMP.
    Quorum {
        /// How logs name the virtual server.
        label: String,
        /// Is there one now?
        up: bool,
    },
    /// Its `smtp_alert` asks for a mail of this.
    Alert(Alert),
    /// Something that [`super::VirtualServerHealth::state`] holds has changed.
    StateChanged,
}

/// What a mail is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// How logs name the real server; `None` for the virtual server itself.
    pub real_server: Option<String>,
    /// How logs name the virtual server.
    pub virtual_server: String,
    /// Is this good news?
    pub up: bool,
    /// The text, in stock's words.
    pub text: String,
}

/// How much of the pool an [`Action::Apply`] concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    Whole,
    /// One real server; only what the kernel says about this one makes the answer [`Event::Refused`].
    RealServer(usize),
}
