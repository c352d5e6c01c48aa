//! What the core tells the reports: plain data, in the order of the configuration.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alarms::Lateness;
use super::awaits::Awaited;
use super::interface::Interface;
use crate::config::model::{Centis, Polling};
use crate::time::Time;

/// The state of an instance or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum VrrpState {
    /// Not started: waits for track scripts.
    #[default]
    Init,
    /// Listens.
    Backup,
    /// Owns the addresses.
    Master,
    /// Something it needs is broken.
    Fault,
}

impl VrrpState {
    /// The word in dumps, logs and notifications.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
            Self::Fault => "FAULT",
        }
    }

    /// The number in JSON, SNMP and D-Bus (spec/vrrp-behaviour.md §4).
    pub fn code(self) -> u8 {
        match self {
            Self::Init => 0,
            Self::Backup => 1,
            Self::Master => 2,
            Self::Fault => 3,
        }
    }
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it was taken.
    pub now: Time,
    /// One per instance of the configuration, same order.
    pub instances: Vec<InstanceSnapshot>,
    /// One per sync group of the configuration, same order.
    pub groups: Vec<GroupSnapshot>,
    /// One per script of the configuration, same order.
    pub scripts: Vec<ScriptSnapshot>,
    /// Interfaces whose change does not count yet.
    pub delayed: Vec<String>,
    /// How late adverts were sent.
    pub lateness: Lateness,
    /// The numbers in the tracked files of the configuration, same order.
    pub files: Vec<i32>,
    /// One per `vrrp_track_process` of the configuration, same order.
    pub processes: Vec<ProcessSnapshot>,
    /// Whether the tracked BFD sessions of the configuration are up, same order.
    pub bfds: Vec<bool>,
    /// Which static addresses are on their interfaces because of us.
    pub statics_set: Vec<bool>,
    /// All interfaces of the namespace, by kernel index.
    pub interfaces: Vec<Interface>,
    /// `arp_ignore` and `arp_filter` of interfaces below VMACs, as they were before.
    pub guarded: Vec<(String, u8, u8)>,
    /// When the next gratuitous ARP and the next neighbour advertisement may go out: of each `garp_group` in file order, and
    /// at the end of interfaces outside of groups.
    pub paces: Vec<(Option<Time>, Option<Time>)>,
    /// Interfaces whose link is asked for, and how.
    pub polled: Vec<(String, Polling)>,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSnapshot {
    /// Its state.
    pub state: VrrpState,
    /// What it would be if its sync group agreed.
    pub wanted: VrrpState,
    /// The master last heard, and its priority.
    pub master: Option<(IpAddr, u8)>,
    /// The interval the master-down timer is made of.
    pub master_advert_int: Centis,
    /// Advertised priority, 1..=255.
    pub effective_priority: u8,
    /// The sum of base and weights, unlimited.
    pub total_priority: i32,
    /// Address that adverts are sent from.
    pub source: Option<IpAddr>,
    /// What keeps it in FAULT.
    pub faults: Faults,
    /// The events that INIT or FAULT waits for; empty in the other states.
    pub awaits: Vec<Awaited>,
    /// Unweighted track scripts without a first result.
    pub scripts_pending: usize,
    /// When the state was entered.
    pub last_transition: Option<Time>,
    /// When its timer ends: the next advert as MASTER, the takeover as BACKUP.
    pub timer: Option<Time>,
    /// `down_timer_adverts` intervals of the master and the skew.
    pub master_down: Duration,
    /// When the last advert was sent.
    pub last_advert: Option<Time>,
    /// Highest priority heard from others; 0 if none.
    pub highest_other: u8,
    /// Which of `vips` are on their interfaces because of us.
    pub vips_set: Vec<bool>,
    /// Which of `excluded` are.
    pub excluded_set: Vec<bool>,
    /// Which of `routes`, then of `rules`, are in the kernel because of us.
    pub routing_set: Vec<bool>,
    /// Error kinds already logged, one bit each.
    pub logged: u32,
    /// Old form of the version 3 unicast checksum, found out from a peer.
    pub old_checksum: bool,
    /// Statistics.
    pub counters: Counters,
}

/// Why an instance is in FAULT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Faults {
    /// Own interface missing, down, or without carrier.
    pub interface_down: bool,
    /// The interface below the own VMAC or ipvlan is missing, down, or without carrier.
    pub base_down: bool,
    /// No address to send from.
    pub no_source: bool,
    /// The configuration says so.
    pub config: bool,
    /// Tracked interfaces and scripts that are down.
    pub trackers: usize,
}

impl Faults {
    /// Is there any?
    pub fn any(self) -> bool {
        self.interface_down || self.base_down || self.no_source || self.config || self.trackers > 0
    }
}

/// One sync group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSnapshot {
    /// Its state.
    pub state: VrrpState,
    /// Members with a fault of their own.
    pub faulty: usize,
    /// Members that wait for track scripts.
    pub pending: usize,
}

/// One track script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptSnapshot {
    /// 0..=rise+fall-1.
    pub result: u32,
    /// What the result says.
    pub verdict: Verdict,
    /// Is it running now?
    pub running: bool,
}

/// The processes that match one `vrrp_track_process`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProcessSnapshot {
    /// How many there are.
    pub count: u32,
    /// What counts now.
    pub has_quorum: bool,
    /// A gained quorum waits for its `fork_delay`.
    pub fork_timer: bool,
    /// A lost quorum waits for its `terminate_delay`.
    pub terminate_timer: bool,
}

/// What is known of a track script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// No result yet.
    Unknown,
    /// No result yet, and `init_fail`.
    AssumedFailed,
    /// OK.
    Good,
    /// Failed.
    Bad,
}

/// The statistics of an instance (spec/dump-format.md §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Accepted adverts.
    pub advert_rcvd: u64,
    /// Sent adverts; one for all unicast peers.
    pub advert_sent: u64,
    /// Times MASTER was entered.
    pub become_master: u64,
    /// Times MASTER was left.
    pub release_master: u64,
    /// Length.
    pub packet_len_err: u64,
    /// Always 0. Stock: an interval mismatch moves no counter.
    pub advert_interval_err: u64,
    /// TTL.
    pub ip_ttl_err: u64,
    /// Another version.
    pub version_err: u64,
    /// Checksum.
    pub checksum_err: u64,
    /// As RFC 6527 tells what was wrong last: 0 nothing, 1 TTL, 2 version, 3 checksum.
    pub last_error: u8,
    /// As RFC 6527 tells why it last became master: 1 priority, 2 it preempted another, 3 the master was silent.
    pub master_reason: u8,
    /// Type other than 1.
    pub invalid_type_rcvd: u64,
    /// Address list, or multicast for unicast and the reverse.
    pub addr_list_err: u64,
    /// Authentication type out of range.
    pub invalid_authtype: u64,
    /// Authentication type is not ours.
    pub authtype_mismatch: u64,
    /// Wrong password.
    pub auth_failure: u64,
    /// No trailer, although `auth_hmac` enforces one.
    pub auth_ext_missing: u64,
    /// A trailer of another scheme.
    pub auth_ext_malformed: u64,
    /// A trailer made with a key that is not configured.
    pub auth_ext_unknown_key: u64,
    /// A trailer whose HMAC is wrong.
    pub auth_ext_invalid_hmac: u64,
    /// A trailer outside of the time window.
    pub auth_ext_stale: u64,
    /// A trailer that was accepted before.
    pub auth_ext_replay: u64,
    /// Priority 0 received.
    pub pri_zero_rcvd: u64,
    /// Priority 0 sent.
    pub pri_zero_sent: u64,
}

impl Counters {
    /// Of one that has seen nothing yet.
    pub(super) const NONE: Self = Self {
        advert_rcvd: 0,
        advert_sent: 0,
        become_master: 0,
        release_master: 0,
        packet_len_err: 0,
        advert_interval_err: 0,
        ip_ttl_err: 0,
        version_err: 0,
        checksum_err: 0,
        last_error: 0,
        master_reason: 0,
        invalid_type_rcvd: 0,
        addr_list_err: 0,
        invalid_authtype: 0,
        authtype_mismatch: 0,
        auth_failure: 0,
        auth_ext_missing: 0,
        auth_ext_malformed: 0,
        auth_ext_unknown_key: 0,
        auth_ext_invalid_hmac: 0,
        auth_ext_stale: 0,
        auth_ext_replay: 0,
        pri_zero_rcvd: 0,
        pri_zero_sent: 0,
    };
}
