//! What an instance in INIT or FAULT waits for: the events without which it will not leave that state. Nothing else ends
//! these two states: they have no timer of their own (spec/vrrp-behaviour.md §4.1, §4.2).
//!
//! Derived from the same walk over the trackers as the faults themselves (`standing`), so that the two cannot disagree.

use std::fmt::{self, Display};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::event::{Actions, Detail};
use super::router::{Phase, Router};
use super::snapshot::VrrpState;
use crate::config::model::Family;
use crate::time::Time;

/// An event that must come before an instance leaves INIT or FAULT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Awaited {
    /// The first list of interfaces.
    Interfaces,
    /// `vrrp_startup_delay` is over.
    StartDelay,
    /// A configuration without the error.
    Configuration,
    /// An interface that is there and up; or is not, for a tracker that is reversed.
    Interface {
        /// Its name.
        name: String,
        /// Which of the two.
        up: bool,
    },
    /// An address to send from.
    Source {
        /// On which interface; `None` for unicast without one.
        interface: Option<String>,
        /// Of which family.
        family: Family,
        /// This one, if it is configured and tracked.
        address: Option<IpAddr>,
    },
    /// A link of our own that the kernel is about to make.
    Link {
        /// Its name.
        name: String,
    },
    /// The first result of a track script.
    FirstResult {
        /// Its name.
        script: String,
    },
    /// Another result of a track script.
    Script {
        /// Its name.
        script: String,
        /// Success, or failure if it is reversed.
        success: bool,
    },
    /// Another number in a tracked file.
    File {
        /// Name of the `track_file`.
        name: String,
    },
    /// A quorum of processes.
    Quorum {
        /// Name of the `vrrp_track_process`.
        name: String,
        /// Gained, or lost if it is reversed.
        gained: bool,
    },
    /// A BFD session.
    Bfd {
        /// Name of the `bfd_instance`.
        name: String,
        /// Up, or down if it is reversed.
        up: bool,
    },
    /// The first member of its sync group that waits for something of its own; this one has nothing to wait for itself.
    Member {
        /// Name of that instance.
        name: String,
    },
}

impl Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let up = |up: &bool| if *up { "come up" } else { "go down" };
        match self {
            Self::Interfaces => write!(f, "the list of interfaces"),
            Self::StartDelay => write!(f, "the end of the start delay"),
            Self::Configuration => write!(f, "another configuration"),
            Self::Interface { name, up: is_up } => write!(f, "interface {name} to {}", up(is_up)),
            Self::Source { interface, family, address } => {
                match (address, family) {
                    (Some(address), _) => write!(f, "address {address}")?,
                    (None, Family::V4) => write!(f, "an IPv4 address")?,
                    (None, Family::V6) => write!(f, "a link-local address")?,
                }
                interface.iter().try_for_each(|name| write!(f, " on {name}"))
            }
            Self::Link { name } => write!(f, "interface {name} to be made"),
            Self::FirstResult { script } => write!(f, "the first result of script {script}"),
            Self::Script { script, success } => {
                write!(f, "script {script} to {}", if *success { "succeed" } else { "fail" })
            }
            Self::File { name } => write!(f, "another number in track_file {name}"),
            Self::Quorum { name, gained } => {
                write!(f, "track_process {name} to {} its quorum", if *gained { "gain" } else { "lose" })
            }
            Self::Bfd { name, up: is_up } => write!(f, "BFD session {name} to {}", up(is_up)),
            Self::Member { name } => write!(f, "{name} of its sync group"),
        }
    }
}

impl Router {
    /// What the `i`th instance waits for: empty in BACKUP and MASTER, which have a deadline instead, and after the stop.
    pub fn awaits(&self, i: usize) -> Vec<Awaited> {
        if matches!(self.runs[i].state, VrrpState::Backup | VrrpState::Master) {
            return Vec::new();
        }
        match self.phase {
            Phase::Waiting => return vec![Awaited::Interfaces],
            Phase::Stopped => return Vec::new(),
            Phase::Delayed(_) | Phase::Running => {}
        }
        let mut awaited = self.own_awaits(i);
        if awaited.is_empty()
            && let Some(g) = self.group_of(i)
        {
            let is_unfit = |other: &usize| self.runs[*other].faults.any() || self.runs[*other].is_pending();
            let unfit = self.members(g).find(is_unfit);
            awaited
                .extend(unfit.map(|other| Awaited::Member { name: self.part.instances[other].name.clone() }));
        }
        if awaited.is_empty() && matches!(self.phase, Phase::Delayed(_)) {
            awaited.push(Awaited::StartDelay);
        }
        awaited
    }

    fn own_awaits(&self, i: usize) -> Vec<Awaited> {
        self.assessment(i, self.runs[i].source).awaits
    }

    /// Tells with `-D` what an instance itself waits for, when that has changed. The log tells already of a start delay
    /// and of a group that pulls it down.
    pub(super) fn tell_awaits(&mut self, i: usize, now: Time, out: &mut Actions) {
        let awaited = match self.runs[i].state {
            VrrpState::Backup | VrrpState::Master => Vec::new(),
            VrrpState::Init | VrrpState::Fault => self.own_awaits(i),
        };
        if awaited == self.runs[i].awaits {
            return;
        }
        if !awaited.is_empty() {
            let list: Vec<String> = awaited.iter().map(Awaited::to_string).collect();
            let text = list.join(", ");
            self.machine(i, now, out).log(Detail::Detail, format_args!("waits for {text}"));
        }
        self.runs[i].awaits = awaited;
    }
}
