//! What `global_defs` says of single processes and their sockets (spec/global-defs.md).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Identity;

/// `comm` of each process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessNames {
    /// The parent's.
    pub parent: String,
    /// The vrrp process'.
    pub vrrp: String,
    /// The checkers process' (and the prober's).
    pub checkers: String,
    /// The BFD process'.
    pub bfd: String,
}

impl Default for ProcessNames {
    /// Stock names all processes alike; `pgrep` and `killall` habits depend on it.
    fn default() -> Self {
        let name = || "keepalived".to_owned();
        Self { parent: name(), vrrp: name(), checkers: name(), bfd: name() }
    }
}

/// Scheduling of one process (spec/vrrp-behaviour.md §11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// Nice value, -20..=19; `None` leaves it alone.
    pub nice: Option<i8>,
    /// `SCHED_RR` priority, 1..=99.
    pub realtime: Option<u8>,
    /// `mlockall`.
    pub no_swap: bool,
    /// CPUs; empty is all.
    pub cpu_affinity: Vec<u32>,
    /// `RLIMIT_RTTIME`: real-time CPU without a pause.
    pub rlimit_rttime: Duration,
}

impl Default for Scheduling {
    fn default() -> Self {
        Self {
            nice: None,
            realtime: None,
            no_swap: false,
            cpu_affinity: Vec::new(),
            rlimit_rttime: Duration::from_millis(10),
        }
    }
}

/// Receive buffer of one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReceiveBuffer {
    /// Bytes; 0 leaves the kernel's default.
    pub bytes: u32,
    /// Exceed the system's limit (`SO_RCVBUFFORCE`).
    pub force: bool,
}

/// `*_rcv_bufs` and `*_rcv_bufs_force`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SocketBuffers {
    /// `vrrp_netlink_cmd_rcv_bufs`.
    pub vrrp_command: ReceiveBuffer,
    /// `vrrp_netlink_monitor_rcv_bufs`.
    pub vrrp_monitor: ReceiveBuffer,
    /// `process_monitor_rcv_bufs`.
    pub process_monitor: ReceiveBuffer,
    /// `lvs_netlink_cmd_rcv_bufs`.
    pub lvs_command: ReceiveBuffer,
    /// `lvs_netlink_monitor_rcv_bufs`.
    pub lvs_monitor: ReceiveBuffer,
}

/// `vrrp_rx_bufs_policy`: receive buffers of the VRRP sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ReceivePolicy {
    /// The system's default.
    #[default]
    System,
    /// MTU of the interface times the multiplier, for each instance.
    Mtu,
    /// Size of an advert times the multiplier, for each instance.
    Advert,
    /// This many bytes.
    Bytes(u32),
}

/// The supplementary groups of everybody who runs scripts with them, as they were when the configuration was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScriptGroups(Vec<(Identity, Vec<u32>)>);

impl ScriptGroups {
    /// Notes the groups of an identity; `groups` is asked if they are not known and wanted.
    pub fn note(&mut self, identity: Identity, groups: impl FnOnce() -> Vec<u32>) {
        if identity.supplementary && !self.0.iter().any(|(known, _)| *known == identity) {
            self.0.push((identity, groups()));
        }
    }

    /// Those of an identity; empty if it is to have none.
    pub fn of(&self, identity: Identity) -> &[u32] {
        self.0.iter().find(|(known, _)| *known == identity).map_or(&[], |(_, groups)| groups)
    }
}

/// Who runs scripts that name no user: `script_user`, or what stands for it in a process that has such a script.
/// Stock's processes read the file one by one, and each knows only what it met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScriptUsers {
    /// The parent: `script_user`, or it has such a script.
    pub parent: Option<Identity>,
    /// The vrrp process.
    pub vrrp: Option<Identity>,
    /// The checkers process.
    pub checkers: Option<Identity>,
}

impl ScriptUsers {
    /// Those that there are.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Identity> {
        [&mut self.parent, &mut self.vrrp, &mut self.checkers].into_iter().flatten()
    }
}
