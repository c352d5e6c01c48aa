//! What instances, sync groups and checks track beside interfaces and scripts: files, processes, BFD sessions
//! (spec/vrrp-config.md §2.4, §2.7, spec/bfd.md §1).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A `track_file` block that something tracks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TrackFile {
    /// Block name; the first of a name wins.
    pub name: String,
    /// The file that holds a number.
    pub path: String,
    /// Multiplier of the number, -254..=254; 0: FAULT unless the number is 0.
    pub weight: i32,
    /// The product counts negated.
    pub reverse: bool,
    /// `init_file`.
    pub init: Option<InitFile>,
}

/// `init_file [VALUE] [overwrite]`: what is written when the daemon starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InitFile {
    /// The number.
    pub value: i32,
    /// Also if there is a file already.
    pub overwrite: bool,
}

/// A `vrrp_track_process` block.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TrackProcess {
    /// Block name; the first of a name wins.
    pub name: String,
    /// Name or path of the command.
    pub command: String,
    /// Its arguments, compared as `parameters_match` says.
    pub parameters: Vec<String>,
    /// How the arguments are compared.
    pub parameters_match: ParametersMatch,
    /// Compare the command line instead of the name of the process.
    pub full_command: bool,
    /// Least number of processes, 0..=65535.
    pub quorum: u32,
    /// Largest number of processes, 0..=65535.
    pub quorum_max: Option<u32>,
    /// How long a loss of the quorum lasts before it counts.
    pub terminate_delay: Duration,
    /// How long a gain of the quorum lasts before it counts.
    pub fork_delay: Duration,
    /// 0: FAULT without quorum; else the priority change.
    pub weight: i32,
    /// The weight applies inverted.
    pub reverse: bool,
}

impl TrackProcess {
    /// Does this number of processes make the quorum?
    pub fn has_quorum(&self, count: u32) -> bool {
        count >= self.quorum && self.quorum_max.is_none_or(|max| count <= max)
    }
}

/// `param_match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum ParametersMatch {
    /// Any arguments will do.
    #[default]
    Any,
    /// Exactly these.
    Exact,
    /// These, and any behind them.
    Initial,
    /// These, the last of which need only be the beginning of what is there, and any behind them.
    Partial,
}

/// The vrrp process' side of a `bfd_instance`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TrackBfd {
    /// Block name.
    pub name: String,
    /// 0: FAULT while the session is down; else the priority change.
    pub weight: i32,
    /// The weight applies inverted.
    pub reverse: bool,
}

/// A line of `interface_up_down_delays`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InterfaceDelays {
    /// Interface name.
    pub interface: String,
    /// How long it must be down to count as down, up to 255 s.
    pub down: Duration,
    /// How long it must be up to count as up, up to 255 s.
    pub up: Duration,
}

/// Distances between two announcements; zero is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Gaps {
    /// Between two gratuitous ARPs.
    pub garp_interval: Duration,
    /// Between two unsolicited neighbour advertisements.
    pub gna_interval: Duration,
}

/// A `garp_group`: interfaces that share their distances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GarpGroup {
    /// Not both zero.
    pub gaps: Gaps,
    /// Names; an interface is in one group at most.
    pub interfaces: Vec<String>,
}

/// How a network card is asked for its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Polling {
    /// Its MII registers.
    Mii,
    /// Its driver (`ETHTOOL_GLINK`).
    Ethtool,
    /// Its flags.
    Ioctl,
}

/// An interface whose link is asked for every second, because the kernel is not told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolledInterface {
    /// Its name.
    pub interface: String,
    /// How; `None` is the first way that works.
    pub way: Option<Polling>,
}

/// One line of `track_file`, `track_process` or `track_bfd`, the weights of the block filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracked {
    /// Name of the block; it exists.
    pub name: String,
    /// Its weight here.
    pub weight: i32,
    /// The weight applies inverted.
    pub reverse: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(quorum: u32, quorum_max: Option<u32>) -> TrackProcess {
        TrackProcess {
            name: "p".into(),
            command: "p".into(),
            parameters: Vec::new(),
            parameters_match: ParametersMatch::Any,
            full_command: false,
            quorum,
            quorum_max,
            terminate_delay: Duration::ZERO,
            fork_delay: Duration::ZERO,
            weight: 0,
            reverse: false,
        }
    }

    #[test]
    fn a_quorum_has_a_lower_and_an_upper_limit() {
        let counts = |process: &TrackProcess| (0..4).filter(|n| process.has_quorum(*n)).collect::<Vec<_>>();
        assert_eq!(counts(&process(1, None)), [1, 2, 3]);
        assert_eq!(counts(&process(2, Some(2))), [2]);
        assert_eq!(counts(&process(0, Some(0))), [0]);
    }
}
