//! What goes into the VRRP core and what comes out of it: plain data, serialisable for the recorder.
//!
//! No decision stands here. The driver turns sockets and netlink into [`Event`]s and [`Action`]s into system calls.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::firewall::Ruleset;
use super::interface::{Interface, Link};
use super::owned::{Owned, Owner, SeenRoute, SeenRule};
use crate::config::model::{Command, Family, Polling, ScriptEnd, SyncDaemon, SyncRole, VirtualLink};

/// Something that happened outside the core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The driver's timer: `Router::deadline` was reached. Harmless at any other moment.
    Timer,
    /// Every interface of the namespace with its addresses: a complete dump. The first one starts the instances;
    /// later ones (after ENOBUFS on the monitor, after a respawn) are compared with what is known, and VIPs
    /// that should be there and are not are put back.
    Interfaces(Vec<Interface>),
    /// `RTM_NEWLINK`: an interface is new or changed.
    Link(Link),
    /// `RTM_DELLINK`.
    LinkDeleted {
        /// Kernel index.
        index: u32,
    },
    /// `RTM_NEWADDR`, also for our own requests.
    AddressAdded {
        /// Kernel index of the interface.
        index: u32,
        /// The local address.
        address: IpAddr,
        /// Prefix length.
        prefix: u8,
    },
    /// `RTM_DELADDR`, also the echo of our own requests.
    AddressDeleted {
        /// Kernel index of the interface.
        index: u32,
        /// The local address.
        address: IpAddr,
        /// Prefix length.
        prefix: u8,
        /// Who asked for it.
        by: Requester,
    },
    /// A packet on a receive socket. Drivers that must not allocate call
    /// `Router::advert` with borrowed bytes instead.
    Advert {
        /// Kernel index of the interface the socket is bound to; 0 for a unicast socket without interface.
        index: u32,
        /// Where the IP header is.
        envelope: Envelope,
        /// As received: for IPv4 from the IP header on, for IPv6 from the VRRP header on.
        packet: Vec<u8>,
    },
    /// A frame of another host that announces or answers for an address that `Router::guarded` names.
    Conflict {
        /// Kernel index of the interface it came in by.
        index: u32,
        /// The address.
        address: IpAddr,
        /// The other host's hardware address.
        mac: Vec<u8>,
    },
    /// What the wall clock would have shown at [`Time::ZERO`](crate::time::Time::ZERO), since 1970. The driver tells it
    /// before any other event while `Router::needs_wall_clock`.
    WallClock {
        /// Time since 1970.
        at_zero: Duration,
    },
    /// A script asked for by [`Action::RunScript`] ended.
    ScriptEnded {
        /// As given there.
        id: u64,
        /// How.
        end: ScriptEnd,
    },
    /// The number in a tracked file; 0 if there is none.
    File {
        /// Name of the `track_file`.
        name: String,
        /// The number.
        value: i32,
    },
    /// How many processes match a `vrrp_track_process`.
    Processes {
        /// Its name.
        name: String,
        /// How many.
        count: u32,
    },
    /// What a polled card says of its link, when it changes and at start.
    Polled {
        /// Interface name.
        name: String,
        /// How it was asked.
        way: Polling,
        /// Is there a link?
        up: bool,
    },
    /// A BFD session came up or went down, or is so at start.
    Bfd {
        /// Name of the `bfd_instance`.
        name: String,
        /// Is it up?
        up: bool,
    },
    /// After a respawn: the runs of scripts that are still under way. The end of any other was told to the predecessor.
    ScriptsRunning(Vec<u64>),
    /// `RTM_DELROUTE`, also the echo of our own requests.
    RouteDeleted {
        /// Which.
        route: SeenRoute,
        /// Who asked for it.
        by: Requester,
    },
    /// A route took the place of another one, of which nothing else tells.
    RouteReplaced {
        /// The one that is there now.
        by_route: SeenRoute,
        /// Who asked for it.
        by: Requester,
    },
    /// `RTM_DELRULE`, also the echo of our own requests.
    RuleDeleted {
        /// Which.
        rule: SeenRule,
        /// Who asked for it.
        by: Requester,
    },
    /// The kernel refused one object of [`Action::Add`] or [`Action::Remove`].
    Refused {
        /// The owner named in the action.
        owner: Owner,
        /// The object.
        object: Owned,
        /// What was asked for.
        change: Change,
        /// errno.
        errno: i32,
        /// The kernel's own words, if it said any.
        note: Option<String>,
    },
    /// Somebody else changed something in our nftables tables.
    FirewallTouched {
        /// Name of the process, if the kernel told it.
        by: Option<String>,
    },
    /// The kernel refused what [`Action::Sync`] asked for.
    SyncRefused {
        /// What was being done, and the kernel's words.
        note: String,
    },
    /// The kernel refused a link of [`Action::MakeLink`].
    LinkRefused {
        /// Its name.
        name: String,
        /// errno.
        errno: i32,
        /// What was being done, and the kernel's words.
        note: String,
    },
}

/// Where the IP header of a received advert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Envelope {
    /// IPv4 raw sockets deliver it at the start of the packet.
    V4,
    /// IPv6 raw sockets deliver these fields as ancillary data.
    V6 {
        /// Source address.
        source: IpAddr,
        /// Destination address.
        destination: IpAddr,
        /// Hop limit, 0..=255.
        hop_limit: u8,
    },
}

/// On whose request the kernel deleted something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Requester {
    /// Ours: `nlmsg_pid` is the port of our request socket.
    Us,
    /// Somebody's whom the kernel does not name, or the kernel's own.
    Other,
    /// A program's, as far as its socket tells.
    Program(String),
}

/// Which change was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It was to be added.
    Add,
    /// It was to be removed.
    Remove,
}

/// What the driver must do, in order. The caller owns and reuses the vector.
pub type Actions = Vec<Action>;

/// Something for the driver to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Have exactly these sockets open from now on (each a receive and a send socket); close the others.
    /// Sent at start and whenever the set changes.
    Listen(Vec<Listener>),
    /// Send one advert to one destination. Errors are logged at most (a link may just have gone).
    SendAdvert {
        /// Index of the instance in the configuration.
        instance: usize,
        /// Kernel index of the interface to send on; 0 lets the routes decide (unicast without interface).
        index: u32,
        /// Source address.
        source: IpAddr,
        /// Group or peer.
        destination: IpAddr,
        /// TTL or hop limit; `None` is the kernel's. For IPv4 it is in the packet already.
        ttl: Option<u8>,
        /// IPv4: complete with IP header, for `IP_HDRINCL`. IPv6: from the VRRP header on, the checksum
        /// left to the kernel (`IPV6_CHECKSUM` 6).
        packet: Vec<u8>,
    },
    /// Put these into the kernel, in order; what is there already is success. Refusals come back as
    /// [`Event::Refused`].
    Add {
        /// For whom.
        owner: Owner,
        /// What to add.
        objects: Vec<Owned>,
    },
    /// Take these out of the kernel, in order; what is not there is success.
    Remove {
        /// For whom.
        owner: Owner,
        /// What to remove.
        objects: Vec<Owned>,
    },
    /// Announce these by gratuitous ARP (IPv4) or unsolicited neighbour advertisement (IPv6), all of them once, then
    /// all again, and log each packet with -D: `Sending gratuitous ARP on IF for A`. Later removals of an address end
    /// what is still to be sent for it.
    Announce {
        /// Kernel index of the interface and address, in order.
        targets: Vec<(u32, IpAddr)>,
        /// Rounds, at least 1.
        copies: u32,
    },
    /// Set `promote_secondaries` of an interface: 1 at start, 0 at stop.
    PromoteSecondaries {
        /// Interface name.
        interface: String,
        /// The value.
        on: bool,
    },
    /// Make a link of our own, with its settings; one of that name which is there is taken. What came of it is told by
    /// [`Event::Link`] or [`Event::LinkRefused`]. In order with additions and removals.
    MakeLink {
        /// What to make.
        link: VirtualLink,
        /// Kernel index of the interface below.
        index: u32,
        /// Interface group.
        group: u32,
        /// Kernel index of the VRF it shall belong to; 0 if none.
        master: u32,
    },
    /// Bring a link up.
    RaiseLink {
        /// Its kernel index.
        index: u32,
    },
    /// Remove a link; one that is not there is success. In order with additions and removals.
    RemoveLink {
        /// Its name.
        name: String,
    },
    /// Have exactly this in our nftables tables; `None` removes them. Additions at once, what is no more wanted in order
    /// with additions and removals.
    Firewall(Option<Box<Ruleset>>),
    /// Have the kernel's connection sync run in this role with these settings, and no other; `None` ends it. A refusal
    /// comes back as [`Event::SyncRefused`]. In order with additions and removals.
    Sync {
        /// What it does.
        role: Option<SyncRole>,
        /// How.
        settings: Box<SyncDaemon>,
    },
    /// Set these IPv4 settings of an interface below VMACs.
    GuardArp {
        /// Interface name.
        interface: String,
        /// `arp_ignore`.
        arp_ignore: u8,
        /// `arp_filter`.
        arp_filter: u8,
    },
    /// Start a track script and report its end with [`Event::ScriptEnded`].
    RunScript {
        /// Never used twice in the life of a core and its successors.
        id: u64,
        /// What to run.
        command: Command,
        /// SIGTERM to its process group after this, SIGKILL 2 s later.
        timeout: Duration,
    },
    /// End a script; `ScriptEnded` is no longer awaited.
    KillScript {
        /// As given in [`Action::RunScript`].
        id: u64,
    },
    /// Hand these to the queue of notify scripts.
    Notify {
        /// `INSTANCE name` or `GROUP name`: one queue each.
        receiver: String,
        /// Commands in order (specific, generic), with their final arguments.
        commands: Vec<Command>,
    },
    /// A state was entered or a priority changed: for the journal of events, the notify FIFOs and mail.
    Transition(Transition),
    /// Its `smtp_alert` asks for a mail of this.
    Alert {
        /// Whose.
        subject: Subject,
        /// What was entered.
        state: StateWord,
    },
    /// A state goes on over a reload (`fifo_write_vrrp_states_on_reload`): for the notify FIFOs alone.
    Stands(Transition),
    /// An advert was refused, the first of its kind in this state: for the notifications of the MIBs.
    BadAdvert {
        /// Name of the instance.
        instance: String,
        /// Who sent it.
        source: IpAddr,
        /// Why.
        error: AdvertError,
    },
    /// Write a log line (severity INFO).
    Log {
        /// When to write it.
        detail: Detail,
        /// The line, in stock's words where the spec lists them; sometimes several.
        text: String,
    },
}

/// Why an advert was refused, as notifications of the MIBs tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AdvertError {
    /// The type of authentication is none of ours.
    InvalidAuthType,
    /// The type of authentication is not the configured one.
    AuthTypeMismatch,
    /// The password is wrong.
    AuthFailure,
    /// TTL or hop limit.
    Ttl,
    /// Version.
    Version,
    /// Checksum.
    Checksum,
}

/// When a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Detail {
    /// Always.
    Normal,
    /// Only with `-D`.
    Detail,
}

/// One pair of sockets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Interface name; `None` for unicast without interface.
    pub interface: Option<String>,
    /// Its kernel index, 0 without interface. A new index (the interface was recreated) needs new sockets.
    pub index: u32,
    /// Address family.
    pub family: Family,
    /// What the receive socket is bound to.
    pub kind: ListenerKind,
    /// Which packets it receives.
    pub carrier: Carrier,
    /// Is it there only to notice peers whose authentication differs?
    pub is_lookout: bool,
    /// The VRIDs of its instances, ascending: for the socket filter.
    pub vrids: Vec<u8>,
    /// Bytes that its instances want for its receive buffer, all together; 0 is the system's default.
    pub receive_buffer: u32,
}

/// What carries adverts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Carrier {
    /// IP protocol 112.
    Vrrp,
    /// IP protocol 51 with VRRP inside: `auth_type AH`.
    Ah,
}

/// Multicast or unicast sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ListenerKind {
    /// Bound to the group, which is joined on the interface.
    Multicast {
        /// The group.
        group: IpAddr,
    },
    /// Bound to our source address, with `IP_FREEBIND`.
    Unicast {
        /// The source address.
        source: IpAddr,
    },
}

/// An instance or a sync group entered a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// Whose.
    pub subject: Subject,
    /// What is reported.
    pub state: StateWord,
    /// The effective priority; 0 for a group.
    pub priority: u8,
    /// Who or what brought it about.
    pub cause: String,
}

/// An instance or a sync group, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// A `vrrp_instance`.
    Instance(String),
    /// A `vrrp_sync_group`.
    Group(String),
}

/// The words of notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StateWord {
    /// Listens.
    Backup,
    /// Owns the addresses.
    Master,
    /// Broken.
    Fault,
    /// The daemon stops.
    Stop,
    /// Gone with a reload.
    Deleted,
    /// A MASTER saw an advert of lower priority.
    MasterRxLowerPri,
    /// A MASTER has another priority.
    MasterPriority,
    /// Somebody else has another priority; stock says so also in FAULT.
    BackupPriority,
}

impl StateWord {
    /// Is it a state that was entered, and not something that happened in one?
    pub fn is_state(self) -> bool {
        !matches!(self, Self::MasterRxLowerPri | Self::MasterPriority | Self::BackupPriority)
    }

    /// As scripts and FIFO readers get it (spec/daemon-behaviour.md §8.1).
    pub fn name(self) -> &'static str {
        match self {
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
            Self::Deleted => "DELETED",
            Self::MasterRxLowerPri => "MASTER_RX_LOWER_PRI",
            Self::MasterPriority => "MASTER_PRIORITY",
            Self::BackupPriority => "BACKUP_PRIORITY",
        }
    }
}
