//! `vrrp_instance` and `vrrp_sync_group` (spec/vrrp-config.md).

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Auth, Centis, Family, GarpSettings, InstanceLinks, NotifyScripts, Priority, Rare, Route, Rule, Tracked,
    Vrid, VrrpVersion,
};

/// One virtual router on this host, after all defaults, inheritance and corrections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Block name.
    pub name: String,
    /// Family of the adverts and of `vips`.
    pub family: Family,
    /// Protocol version.
    pub version: VrrpVersion,
    /// Virtual router id.
    pub vrid: Vrid,
    /// The configured interface; `None` only for unicast with a configured source. Adverts may use a link on it:
    /// [`Self::advert_interface`].
    pub interface: Option<String>,
    /// VMACs and ipvlans.
    pub links: Rare<InstanceLinks>,
    /// Configured initial state; only an owner ever starts as master (spec/vrrp-behaviour.md §4.1).
    pub initial: InitialState,
    /// Base priority.
    pub priority: Priority,
    /// Interval between own adverts.
    pub advert_int: Centis,
    /// Multicast or unicast, and to whom.
    pub transport: Transport,
    /// `mcast_src_ip` / `unicast_src_ip`; otherwise the first non-VIP address of the interface.
    pub source: Option<IpAddr>,
    /// FAULT when the configured source address is missing.
    pub track_source: bool,
    /// How adverts are authenticated.
    pub auth: Auth,
    /// Advertised addresses in file order; all of `family`.
    pub vips: Vec<VirtualAddress>,
    /// Not advertised addresses, any family.
    pub excluded: Rare<Vec<VirtualAddress>>,
    /// `virtual_routes` in file order.
    pub routes: Rare<Vec<Route>>,
    /// `virtual_rules` in file order.
    pub rules: Rare<Vec<Rule>>,
    /// Take over from a lower-priority master?
    pub preempt: bool,
    /// Wait this long before taking over.
    pub preempt_delay: Duration,
    /// Missed adverts until MASTER, 1..=100.
    pub down_timer_adverts: u8,
    /// With `nopreempt`: after so long a silence of our own that a router of this priority has taken over, listen again.
    pub timer_expired_backup: Option<Priority>,
    /// Ignore faults of the own interface.
    pub dont_track_primary: bool,
    /// Further interfaces.
    pub track_interfaces: Rare<Vec<TrackedInterface>>,
    /// Tracked scripts by name; each name exists in `scripts`.
    pub track_scripts: Rare<Vec<TrackedScript>>,
    /// Tracked files.
    pub track_files: Rare<Vec<Tracked>>,
    /// Tracked processes.
    pub track_processes: Rare<Vec<Tracked>>,
    /// Tracked BFD sessions.
    pub track_bfds: Rare<Vec<Tracked>>,
    /// Gratuitous ARP schedule.
    pub garp: Rare<GarpSettings>,
    /// Accept packets to the VIPs.
    pub accept: bool,
    /// Strict RFC conformance.
    pub strict: bool,
    /// Check the address list only when the master changes.
    pub skip_check_adv_addr: bool,
    /// Do not answer a lower-priority advert.
    pub lower_prio_no_advert: bool,
    /// Send one advert before yielding to a higher priority.
    pub higher_prio_send_advert: bool,
    /// An address owner drops all adverts.
    pub owner_ignore_adverts: bool,
    /// Only accept unicast adverts from peers.
    pub check_unicast_src: bool,
    /// Version 3 checksum without pseudo header.
    pub v3_checksum_as_v2: bool,
    /// Set the interface sysctl.
    pub promote_secondaries: bool,
    /// Scripts on state changes.
    pub notify: Rare<NotifyScripts>,
    /// DELETED instead of FAULT when the instance vanishes at reload.
    pub notify_deleted: bool,
    /// Mail on change.
    pub smtp_alert: bool,
    /// Priority changes go to the FIFOs.
    pub notify_priority_changes: bool,
    /// A word asks for unicast, but there are no peers: adverts go to the group.
    pub unicast_without_peers: bool,
    /// `unicast_fault_no_peer`.
    pub unicast_fault_no_peer: bool,
    /// `kernel_rx_buf_size`: receive buffer of the sockets in bytes.
    pub kernel_rx_buffer: Option<u32>,
    /// `debug`, 0 to 4; only shown.
    pub debug: u8,
    /// `@keepalived-rs vip_repair`.
    pub vip_repair: VipRepair,
    /// `unicast_fault_no_peer` without peers and the like: configured to stay in FAULT.
    pub config_fault: Option<String>,
}

impl Instance {
    /// Where adverts are sent and heard: the VMAC or ipvlan if there is one and `vmac_xmit_base` is not set, else the
    /// configured interface, else the VRF.
    pub fn advert_interface(&self) -> Option<&str> {
        match &self.links.own {
            Some(own) if !self.links.xmit_base => Some(&own.name),
            _ => self.interface.as_deref().or(self.links.vrf.as_deref()),
        }
    }

    /// Does the firewall drop packets to its addresses? An owner accepts them always (spec/vrrp-behaviour.md §10).
    pub fn is_shielded(&self) -> bool {
        !self.accept && !self.priority.is_owner()
    }

    /// The interface that is dumped as the instance's: its VMAC or ipvlan, else the configured one.
    pub fn shown_interface(&self) -> Option<&str> {
        self.links.own.as_ref().map(|own| own.name.as_str()).or(self.interface.as_deref())
    }
}

/// `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitialState {
    /// `state MASTER`.
    Master,
    /// `state BACKUP`, also the default below 255.
    Backup,
}

/// What follows when somebody else removes an address, route or rule of a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum VipRepair {
    /// It is put back, alone, and the instance stays master.
    #[default]
    Repair,
    /// As stock: through BACKUP, with everything removed and added again (spec/vrrp-behaviour.md §8).
    Stock,
}

/// Where adverts go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// To a group on the interface.
    Multicast {
        /// Destination group.
        group: IpAddr,
    },
    /// To each peer.
    Unicast {
        /// Peers in file order; not empty unless `config_fault`.
        peers: Vec<UnicastPeer>,
        /// TTL of sent adverts, 0..=255; `None` is 255 for IPv4 and the kernel's for IPv6.
        ttl: Option<u8>,
        /// `old_unicast_checksum`.
        checksum: UnicastChecksum,
    },
}

/// Which checksum unicast adverts of version 3 over IPv4 have (spec/vrrp-behaviour.md §1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum UnicastChecksum {
    /// The right one, until a peer is found to use the old one.
    #[default]
    Auto,
    /// The old one: made with the group as the destination.
    Old,
    /// The right one, whatever the peers use.
    Never,
}

/// One line of `unicast_peer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnicastPeer {
    /// The peer's address.
    pub address: IpAddr,
    /// Smallest accepted TTL.
    pub min_ttl: Option<u8>,
    /// Largest accepted TTL.
    pub max_ttl: Option<u8>,
}

/// One address line (spec/vrrp-config.md §3.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VirtualAddress {
    /// The address.
    pub address: IpAddr,
    /// Prefix length, 0..=32 or 0..=128.
    pub prefix: u8,
    /// Interface it is put on.
    pub interface: String,
    /// Kernel scope number (0 global, 253 link, 254 host …).
    pub scope: u8,
    /// Broadcast address, already computed for `+` and `-`.
    pub broadcast: Option<std::net::Ipv4Addr>,
    /// Label, at most 15 characters.
    pub label: Option<String>,
    /// Point-to-point peer and its prefix.
    pub peer: Option<IpAddr>,
    /// `IFA_F_*` bits to set: `home`, `noprefixroute` …, and for IPv6 `IFA_F_NODAD` unless `-nodad` is given.
    pub flags: u32,
    /// IPv6 preferred lifetime in seconds; `u32::MAX` is forever.
    pub preferred_lifetime: Option<u32>,
    /// Do not react to its loss.
    pub no_track: bool,
    /// The `track_group` of a static one.
    pub track_group: Option<String>,
    /// `use_vmac` of the line: it is on a VMAC of its own.
    pub use_vmac: bool,
}

/// One line of `track_interface`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedInterface {
    /// Interface name.
    pub interface: String,
    /// 0: FAULT while down.
    pub weight: i32,
    /// Weight applies while down instead of up.
    pub reverse: bool,
}

/// One line of `track_script`, or the script's own weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedScript {
    /// Name of the `vrrp_script`.
    pub script: String,
    /// 0: FAULT while failed.
    pub weight: i32,
    /// Weight applies inverted.
    pub reverse: bool,
}

/// A `vrrp_sync_group` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncGroup {
    /// Block name.
    pub name: String,
    /// Names of member instances, in the order of the block; each exists and is in no other group.
    pub members: Vec<String>,
    /// Trackers that apply to all members.
    pub track_interfaces: Vec<TrackedInterface>,
    /// Trackers that apply to all members.
    pub track_scripts: Vec<TrackedScript>,
    /// Trackers that apply to all members.
    pub track_files: Vec<Tracked>,
    /// Trackers that apply to all members.
    pub track_processes: Vec<Tracked>,
    /// Trackers that apply to all members.
    pub track_bfds: Vec<Tracked>,
    /// `sync_group_tracking_weight`: weighted trackers of members count.
    pub tracking_weight: bool,
    /// Scripts on state changes.
    pub notify: Rare<NotifyScripts>,
    /// Mail on change.
    pub smtp_alert: bool,
    /// `notify_priority_changes`: those of the members go to the FIFOs; `None` leaves it to each.
    pub notify_priority_changes: Option<bool>,
}

/// What holds without any instance (spec/vrrp-config.md §1): set at start, kept, removed at stop.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Statics {
    /// `static_ipaddress` in file order.
    pub addresses: Vec<VirtualAddress>,
    /// `static_routes` in file order.
    pub routes: Vec<Route>,
    /// `static_rules` in file order.
    pub rules: Vec<Rule>,
    /// `track_group` blocks with members.
    pub groups: Vec<TrackGroup>,
}

impl Statics {
    /// Is there nothing to set?
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.routes.is_empty() && self.rules.is_empty()
    }
}

/// Instances that depend on the interfaces of static objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackGroup {
    /// Block name.
    pub name: String,
    /// Names of instances; each exists.
    pub members: Vec<String>,
}
