//! What `global_defs` says of the things around: IPVS, filters, FIFOs, SNMP, D-Bus, reload, files
//! (spec/global-defs.md).

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Command, Identity};

/// IPVS connection timeouts in seconds; 0 leaves the kernel's value unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LvsTimeouts {
    /// Established TCP.
    pub tcp: u32,
    /// TCP after a FIN.
    pub tcp_fin: u32,
    /// UDP.
    pub udp: u32,
}

/// `lvs_flush_on_stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum FlushOnStop {
    /// Delete our services (stock: destination by destination).
    #[default]
    No,
    /// Delete our services; the kernel drops their destinations.
    OwnServices,
    /// Flush the whole table, foreign services included.
    WholeTable,
}

/// `net_namespace_ipvs`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum IpvsNamespace {
    /// Not given: the namespace of VRRP.
    #[default]
    Same,
    /// Given without a name: the host's.
    Host,
    /// This one.
    Named(String),
}

/// `lvs_sync_daemon`: the kernel's connection sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncDaemon {
    /// Interface of the multicasts.
    pub interface: String,
    /// The instance whose state decides between master and backup; without one both run.
    pub instance: Option<String>,
    /// Sync id; unset is the VRID of the instance, else 0.
    pub id: Option<u8>,
    /// Largest packet in bytes, at least 1.
    pub max_length: Option<u16>,
    /// UDP port, at least 1.
    pub port: Option<u16>,
    /// TTL, at least 1.
    pub ttl: Option<u8>,
    /// Multicast group.
    pub group: Option<IpAddr>,
}

/// What a sync daemon does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncRole {
    /// Sends the connections of this host.
    Master,
    /// Takes in those of another one.
    Backup,
}

/// `nftables*`: the table of the VRRP filters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nftables {
    /// `nftables [TABLE]`; also set when a filter is needed and nothing was said.
    pub table: Option<String>,
    /// `nftables_priority` of the base chains.
    pub priority: i32,
    /// `nftables_ifindex`: interface indices in IPv6 link-local sets.
    pub ifindex: bool,
    /// `nftables_counters`.
    pub counters: bool,
}

impl Nftables {
    /// The name of the table, given or not.
    pub fn table(&self) -> &str {
        self.table.as_deref().unwrap_or("keepalived")
    }
}

impl Default for Nftables {
    fn default() -> Self {
        Self { table: None, priority: -1, ifindex: false, counters: false }
    }
}

/// `nftables_ipvs*`: the table that gives fwmarks to virtual server groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NftablesIpvs {
    /// Table name.
    pub table: String,
    /// `nftables_ipvs_priority` of its chain.
    pub priority: i32,
    /// `nftables_ipvs_start_fwmark`, at least 1.
    pub start_fwmark: u32,
}

/// The notification FIFOs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fifos {
    /// `notify_fifo`: all events.
    pub all: Fifo,
    /// `vrrp_notify_fifo`.
    pub vrrp: Fifo,
    /// `lvs_notify_fifo`.
    pub lvs: Fifo,
    /// `fifo_write_vrrp_states_on_reload`.
    pub states_on_reload: bool,
}

/// One notification FIFO.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fifo {
    /// Its path and owner; `None` is no FIFO.
    pub pipe: Option<Pipe>,
    /// The program that is started to read it.
    pub script: Option<Command>,
}

/// A FIFO in the file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipe {
    /// Path.
    pub path: String,
    /// Owner.
    pub owner: Identity,
}

/// `snmp_*`, `enable_snmp_*`, `enable_traps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snmp {
    /// `enable_snmp_vrrp`.
    pub vrrp: bool,
    /// `enable_snmp_checker`.
    pub checker: bool,
    /// `enable_snmp_rfcv2`.
    pub rfc_v2: bool,
    /// `enable_snmp_rfcv3`.
    pub rfc_v3: bool,
    /// `enable_traps`.
    pub traps: bool,
    /// `snmp_socket`; unset is `unix:/var/agentx/master`.
    pub socket: Option<String>,
    /// `snmp_vs_stats_update_interval`, 1 ms to 30 s.
    pub vs_interval: Duration,
    /// `snmp_rs_stats_update_interval`; default that of virtual servers.
    pub rs_interval: Duration,
}

impl Default for Snmp {
    fn default() -> Self {
        let interval = Duration::from_secs(5);
        Self {
            vrrp: false,
            checker: false,
            rfc_v2: false,
            rfc_v3: false,
            traps: false,
            socket: None,
            vs_interval: interval,
            rs_interval: interval,
        }
    }
}

/// `enable_dbus`, `dbus_*`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dbus {
    /// `enable_dbus`.
    pub enabled: bool,
    /// `dbus_service_name`; unset is `org.keepalived.Vrrp1`.
    pub service_name: Option<String>,
    /// `dbus_no_interface_name`: path element of an instance without interface; unset is `none`.
    pub no_interface_name: Option<String>,
}

/// `reload_*`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reload {
    /// `reload_check_config`: where the findings of the check go; `None` is no check.
    pub check_log: Option<String>,
    /// `reload_time_file`.
    pub time_file: Option<String>,
    /// `reload_repeat`.
    pub repeat: bool,
    /// `reload_file`.
    pub marker: ReloadMarker,
}

/// `reload_file`: a file that exists while the configuration is read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ReloadMarker {
    /// Not given.
    #[default]
    None,
    /// Given without a path: `keepalived.reload` in the directory of pid files.
    PidDirectory,
    /// This one.
    Path(String),
}

/// Where dumps, copies and tables are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePlaces {
    /// `config_save_dir`.
    pub config_save_dir: Option<String>,
    /// `tmp_config_directory`.
    pub tmp_config_directory: Option<String>,
    /// `data_use_instance`: instance and namespace in the names of the dump files.
    pub data_use_instance: bool,
    /// `json_version`, 1 or 2.
    pub json_version: u8,
    /// `iproute_usr_dir`.
    pub iproute_usr_dir: String,
    /// `iproute_etc_dir`.
    pub iproute_etc_dir: String,
    /// `state_dump_file`.
    pub state_dump: Option<String>,
    /// `stats_dump_file`.
    pub stats_dump: Option<String>,
    /// `json_dump_file`.
    pub json_dump: Option<String>,
}

impl Default for FilePlaces {
    fn default() -> Self {
        Self {
            config_save_dir: None,
            tmp_config_directory: None,
            data_use_instance: false,
            json_version: 1,
            iproute_usr_dir: "/etc/iproute2".to_owned(),
            iproute_etc_dir: "/etc/iproute2".to_owned(),
            state_dump: None,
            stats_dump: None,
            json_dump: None,
        }
    }
}
