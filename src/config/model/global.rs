//! `global_defs` and the top-level words (spec/global-defs.md).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Blank, Command, Dbus, Fifos, FilePlaces, FlushOnStop, IpvsNamespace, LvsTimeouts, Nftables, NftablesIpvs,
    ProcessNames, ReceivePolicy, Reload, ReloadMarker, Scheduling, ScriptGroups, ScriptUsers, Snmp,
    SocketBuffers, SyncDaemon, VrrpVersion,
};

/// Values that hold for every process: every word of `global_defs`, after defaults and corrections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Global {
    /// `router_id`; default the host name.
    pub router_id: String,
    /// `instance NAME`: suffix of pid files and of the syslog ident. Fixed at start.
    pub instance: Option<String>,
    /// `use_pid_dir`.
    pub use_pid_dir: bool,
    /// `net_namespace`: the network namespace to run in; `None` is the one the daemon was started in.
    pub net_namespace: Option<String>,
    /// `net_namespace_ipvs`: the network namespace of the IPVS table.
    pub net_namespace_ipvs: IpvsNamespace,
    /// `namespace_with_ipsets`.
    pub namespace_with_ipsets: bool,
    /// `linkbeat_use_polling`: poll every interface for its link state.
    pub linkbeat_use_polling: bool,
    /// `child_wait_time`: how long the parent waits for children at stop.
    pub child_wait_time: Duration,
    /// `notification_email_from`; with a mail relay the default is `USER@HOST`.
    pub email_from: Option<String>,
    /// `notification_email`, accumulated.
    pub email_to: Vec<String>,
    /// `smtp_server`.
    pub smtp_server: Option<MailRelay>,
    /// `@keepalived-rs mail_digest`: mails that come this soon after one wait and go as one.
    pub mail_digest: Option<Duration>,
    /// `smtp_helo_name`; with a mail relay the default is the host name.
    pub smtp_helo_name: Option<String>,
    /// `smtp_connect_timeout`, whole seconds, at least 1.
    pub smtp_connect_timeout: Duration,
    /// Does `smtp_connect_timeout` stand in the file? Stock has a default only with a relay.
    pub smtp_connect_timeout_given: bool,
    /// `smtp_alert`.
    pub smtp_alert: Option<bool>,
    /// `smtp_alert_vrrp`: wins over `smtp_alert` for instances and sync groups.
    pub smtp_alert_vrrp: Option<bool>,
    /// `smtp_alert_checker`: wins over `smtp_alert` for checkers.
    pub smtp_alert_checker: Option<bool>,
    /// `no_email_faults`: no mail for FAULT.
    pub no_email_faults: bool,
    /// `no_checker_emails`: mail only when a real server is added or removed.
    pub no_checker_emails: bool,
    /// Who runs scripts that name no user, process by process.
    pub script_users: ScriptUsers,
    /// Their supplementary groups and those of the users that scripts name.
    pub script_groups: ScriptGroups,
    /// `enable_script_security`.
    pub script_security: bool,
    /// `use_symlink_paths`: symlinks in the paths of scripts stay.
    pub symlink_paths: bool,
    /// `set_supplementary_groups`: scripts get the supplementary groups of their user.
    pub supplementary_groups: bool,
    /// `startup_script`: run once before the children start.
    pub startup_script: Option<Command>,
    /// `startup_script_timeout`: until it is killed, 1 to 1000 s.
    pub startup_script_timeout: Duration,
    /// `shutdown_script`: run once after the children ended.
    pub shutdown_script: Option<Command>,
    /// `shutdown_script_timeout`: until it is killed, 1 to 1000 s.
    pub shutdown_script_timeout: Duration,
    /// `notify_fifo`, `vrrp_notify_fifo`, `lvs_notify_fifo` and what belongs to them.
    pub fifos: Fifos,
    /// `dynamic_interfaces`.
    pub dynamic_interfaces: bool,
    /// `dynamic_interfaces allow_if_changes`: interfaces may also change type or parent.
    pub allow_interface_changes: bool,
    /// `default_interface`: of static addresses without `dev`.
    pub default_interface: String,
    /// `disable_local_igmp`: no IGMP reports for link-local groups.
    pub disable_local_igmp: bool,
    /// `vrrp_version`.
    pub vrrp_version: VrrpVersion,
    /// `vrrp_strict`.
    pub vrrp_strict: bool,
    /// `vrrp_skip_check_adv_addr`.
    pub vrrp_skip_check_adv_addr: bool,
    /// `vrrp_check_unicast_src`: unicast adverts are accepted from configured peers only.
    pub vrrp_check_unicast_src: bool,
    /// `v3_checksum_as_v2`: version 3 IPv4 checksums without pseudo header.
    pub v3_checksum_as_v2: bool,
    /// `vrrp_lower_prio_no_advert`; unset is false, but true in strict mode.
    pub lower_prio_no_advert: Option<bool>,
    /// `vrrp_higher_prio_send_advert`.
    pub higher_prio_send_advert: bool,
    /// `vrrp_owner_ignore_adverts`.
    pub owner_ignore_adverts: bool,
    /// `vrrp_mcast_group4`.
    pub vrrp_mcast_group4: Ipv4Addr,
    /// `vrrp_mcast_group6`.
    pub vrrp_mcast_group6: Ipv6Addr,
    /// `vrrp_garp_*`: defaults of every instance.
    pub garp: GarpSettings,
    /// Which of the two lower-priority values stand in the file (the others are derived).
    pub garp_lower_prio_given: LowerPrioGiven,
    /// `vrrp_garp_interval`: gap between two gratuitous ARPs of one interface; zero is no pacing.
    pub garp_interval: Duration,
    /// `vrrp_gna_interval`: the same for unsolicited neighbour advertisements.
    pub gna_interval: Duration,
    /// `vrrp_garp_extra_if`: repeats on other interfaces of VIPs.
    pub garp_extra_if: GarpExtra,
    /// `vrrp_down_timer_adverts`, 1..=100.
    pub down_timer_adverts: u8,
    /// `vrrp_startup_delay`.
    pub vrrp_startup_delay: Duration,
    /// `vrrp_delay_after_boot`: VRRP waits until the system is up that long.
    pub vrrp_delay_after_boot: Duration,
    /// `log_unknown_vrids`.
    pub log_unknown_vrids: bool,
    /// `vrrp_notify_priority_changes`: default of every instance; priority changes go to the FIFOs.
    pub notify_priority_changes: bool,
    /// `nftables` and what belongs to it: the VRRP filters.
    pub nftables: Nftables,
    /// `nftables_ipvs`: fwmarks of virtual server groups; `None` is off.
    pub nftables_ipvs: Option<NftablesIpvs>,
    /// `vmac_prefix`; unset is `vrrp`.
    pub vmac_prefix: Option<String>,
    /// `vmac_addr_prefix`; unset is `vmac_prefix`.
    pub vmac_addr_prefix: Option<String>,
    /// `vrrp_rx_bufs_policy`: receive buffers of the VRRP sockets.
    pub rx_bufs: ReceivePolicy,
    /// `vrrp_rx_bufs_multiplier`, at least 1.
    pub rx_bufs_multiplier: u32,
    /// `*_rcv_bufs`: receive buffers of other sockets.
    pub buffers: SocketBuffers,
    /// `lvs_timeouts`: seconds, 0 leaves the kernel's value.
    pub lvs_timeouts: LvsTimeouts,
    /// `lvs_flush`: flush the whole table at start.
    pub lvs_flush: bool,
    /// `lvs_flush_on_stop`.
    pub lvs_flush_on_stop: FlushOnStop,
    /// `lvs_sync_daemon`.
    pub lvs_sync_daemon: Option<SyncDaemon>,
    /// `checker_log_all_failures`.
    pub checker_log_all_failures: bool,
    /// `rs_init_notifies`.
    pub rs_init_notifies: bool,
    /// `@keepalived-rs share_checks`: equal checks of several real servers are made once.
    pub share_checks: bool,
    /// umask of the processes and of what they start.
    pub umask: u32,
    /// `process_names` and the `*_process_name` words.
    pub process_names: ProcessNames,
    /// `max_auto_priority`: limit of automatic real-time priority, 0 is off, -1 off without a notice; at most 99.
    pub max_auto_priority: i8,
    /// `min_auto_priority_delay`: lateness of a timer that raises it, 1 us to 10 s.
    pub min_auto_priority_delay: Duration,
    /// `vrrp_rlimit_rttime`, `vrrp_priority` … of the vrrp process.
    pub vrrp_scheduling: Scheduling,
    /// The same for the checkers process.
    pub checker_scheduling: Scheduling,
    /// The same for the BFD process.
    pub bfd_scheduling: Scheduling,
    /// `snmp_*`, `enable_snmp_*`, `enable_traps`.
    pub snmp: Snmp,
    /// `enable_dbus`, `dbus_*`.
    pub dbus: Dbus,
    /// `reload_*`.
    pub reload: Reload,
    /// Where dumps and copies go.
    pub files: FilePlaces,
}

impl Global {
    /// Where `reload_file` is, if it is wanted: without a path among the pid files.
    pub fn reload_marker(&self) -> Option<String> {
        match &self.reload.marker {
            ReloadMarker::None => None,
            ReloadMarker::Path(path) => Some(path.clone()),
            ReloadMarker::PidDirectory => {
                let own = self.use_pid_dir || self.instance.is_some() || self.net_namespace.is_some();
                let directory = if own { "/run/keepalived" } else { "/run" };
                let instance = self.instance.as_ref().map(|name| format!("_{name}")).unwrap_or_default();
                Some(format!("{directory}/keepalived{instance}.reload"))
            }
        }
    }

    /// Is there a relay, a sender and somebody to write to?
    pub fn sends_mail(&self) -> bool {
        self.smtp_server.is_some() && self.email_from.is_some() && !self.email_to.is_empty()
    }

    /// What stands behind the names of the processes in the log: the network namespace, then the instance.
    pub fn ident_suffix(&self) -> Option<String> {
        match (&self.net_namespace, &self.instance) {
            (Some(namespace), Some(instance)) => Some(format!("{namespace}_{instance}")),
            (namespace, instance) => namespace.clone().or_else(|| instance.clone()),
        }
    }
}

/// `smtp_server`: where mails go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MailRelay {
    /// Address and port.
    Address(SocketAddr),
    /// Looked up whenever there is a mail.
    Name {
        /// Host name.
        host: String,
        /// At least 1.
        port: u16,
    },
}

impl MailRelay {
    /// Address or name, as dumps show it.
    pub fn host(&self) -> String {
        match self {
            Self::Address(address) => address.ip().to_string(),
            Self::Name { host, .. } => host.clone(),
        }
    }

    /// Its address, if it was not given by name.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name { .. } => None,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Address(address) => address.port(),
            Self::Name { port, .. } => *port,
        }
    }
}

impl fmt::Display for MailRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl Default for Global {
    fn default() -> Self {
        Self {
            router_id: String::new(),
            instance: None,
            use_pid_dir: false,
            net_namespace: None,
            net_namespace_ipvs: IpvsNamespace::default(),
            namespace_with_ipsets: false,
            linkbeat_use_polling: false,
            child_wait_time: Duration::from_secs(5),
            email_from: None,
            email_to: Vec::new(),
            smtp_server: None,
            mail_digest: None,
            smtp_helo_name: None,
            smtp_connect_timeout: Duration::from_secs(30),
            smtp_connect_timeout_given: false,
            smtp_alert: None,
            smtp_alert_vrrp: None,
            smtp_alert_checker: None,
            no_email_faults: false,
            no_checker_emails: false,
            script_users: ScriptUsers::default(),
            script_groups: ScriptGroups::default(),
            script_security: false,
            symlink_paths: false,
            supplementary_groups: false,
            startup_script: None,
            startup_script_timeout: Duration::from_secs(10),
            shutdown_script: None,
            shutdown_script_timeout: Duration::from_secs(10),
            fifos: Fifos::default(),
            dynamic_interfaces: false,
            allow_interface_changes: false,
            default_interface: "eth0".to_owned(),
            disable_local_igmp: false,
            vrrp_version: VrrpVersion::V2,
            vrrp_strict: false,
            vrrp_skip_check_adv_addr: false,
            vrrp_check_unicast_src: false,
            v3_checksum_as_v2: false,
            lower_prio_no_advert: None,
            higher_prio_send_advert: false,
            owner_ignore_adverts: false,
            vrrp_mcast_group4: Ipv4Addr::new(224, 0, 0, 18),
            vrrp_mcast_group6: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12),
            garp: GarpSettings::default(),
            garp_lower_prio_given: LowerPrioGiven::default(),
            garp_interval: Duration::ZERO,
            gna_interval: Duration::ZERO,
            garp_extra_if: GarpExtra::default(),
            down_timer_adverts: 3,
            vrrp_startup_delay: Duration::ZERO,
            vrrp_delay_after_boot: Duration::ZERO,
            log_unknown_vrids: false,
            notify_priority_changes: false,
            nftables: Nftables::default(),
            nftables_ipvs: None,
            vmac_prefix: None,
            vmac_addr_prefix: None,
            rx_bufs: ReceivePolicy::default(),
            rx_bufs_multiplier: 3,
            buffers: SocketBuffers::default(),
            lvs_timeouts: LvsTimeouts::default(),
            lvs_flush: false,
            lvs_flush_on_stop: FlushOnStop::default(),
            lvs_sync_daemon: None,
            checker_log_all_failures: false,
            rs_init_notifies: false,
            share_checks: false,
            umask: 0o177,
            process_names: ProcessNames::default(),
            max_auto_priority: 0,
            min_auto_priority_delay: Duration::from_secs(1),
            vrrp_scheduling: Scheduling::default(),
            checker_scheduling: Scheduling::default(),
            bfd_scheduling: Scheduling::default(),
            snmp: Snmp::default(),
            dbus: Dbus::default(),
            reload: Reload::default(),
            files: FilePlaces::default(),
        }
    }
}

/// The gratuitous ARP / unsolicited NA schedule (spec/vrrp-behaviour.md §7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GarpSettings {
    /// Until the second burst; zero is no second burst.
    pub delay: Duration,
    /// Copies per address and burst, at least 1.
    pub repeat: u32,
    /// Period of refresh bursts; zero is off.
    pub refresh: Duration,
    /// Copies per address of a refresh burst.
    pub refresh_repeat: u32,
    /// Until the second burst after a lower-priority advert was seen as MASTER.
    pub lower_prio_delay: Duration,
    /// Copies per address after such an advert; 0 sends none.
    pub lower_prio_repeat: u32,
    /// `garp_extra_if`; of the global values it is `Global::garp_extra_if`.
    pub extra: GarpExtra,
}

impl GarpSettings {
    const DEFAULT: Self = Self {
        delay: Duration::from_secs(5),
        repeat: 5,
        refresh: Duration::ZERO,
        refresh_repeat: 1,
        lower_prio_delay: Duration::from_secs(5),
        lower_prio_repeat: 5,
        extra: GarpExtra { interval: Duration::ZERO, all: false },
    };
}

impl Default for GarpSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Blank for GarpSettings {
    fn blank() -> &'static Self {
        &Self::DEFAULT
    }
}

/// Which lower-priority values of `vrrp_garp_*` were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LowerPrioGiven {
    /// `vrrp_garp_lower_prio_delay`.
    pub delay: bool,
    /// `vrrp_garp_lower_prio_repeat`.
    pub repeat: bool,
}

/// `vrrp_garp_extra_if`, `garp_extra_if`: repeats on interfaces of VIPs other than the instance's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GarpExtra {
    /// Period; zero is off.
    pub interval: Duration,
    /// On every such interface, not only on VMACs.
    pub all: bool,
}
