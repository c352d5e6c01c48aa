//! `global_defs` and the top-level words (spec/global-defs.md).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Identity, VrrpVersion};

/// Values that hold for every process. Words whose effect a later release brings are modelled when it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Global {
    /// `router_id`; default the host name.
    pub router_id: String,
    /// `instance NAME`: suffix of pid files and of the syslog ident. Fixed at start.
    pub instance: Option<String>,
    /// `use_pid_dir`.
    pub use_pid_dir: bool,
    /// `child_wait_time`: how long the parent waits for children at stop.
    pub child_wait_time: Duration,
    /// `notification_email_from`.
    pub email_from: Option<String>,
    /// `notification_email`, accumulated.
    pub email_to: Vec<String>,
    /// `smtp_server`.
    pub smtp_server: Option<SocketAddr>,
    /// `smtp_connect_timeout`.
    pub smtp_connect_timeout: Duration,
    /// `smtp_alert`.
    pub smtp_alert: Option<bool>,
    /// `script_user`.
    pub script_user: Option<Identity>,
    /// `enable_script_security`.
    pub script_security: bool,
    /// `dynamic_interfaces`.
    pub dynamic_interfaces: bool,
    /// `vrrp_version`.
    pub vrrp_version: VrrpVersion,
    /// `vrrp_strict`.
    pub vrrp_strict: bool,
    /// `vrrp_skip_check_adv_addr`.
    pub vrrp_skip_check_adv_addr: bool,
    /// `vrrp_mcast_group4`.
    pub vrrp_mcast_group4: Ipv4Addr,
    /// `vrrp_mcast_group6`.
    pub vrrp_mcast_group6: Ipv6Addr,
    /// `vrrp_garp_*`: defaults of every instance.
    pub garp: GarpSettings,
    /// `vrrp_garp_interval`: gap between two gratuitous ARPs of one interface; zero is no pacing.
    pub garp_interval: Duration,
    /// `vrrp_down_timer_adverts`, 1..=100.
    pub down_timer_adverts: u8,
    /// `vrrp_startup_delay`.
    pub vrrp_startup_delay: Duration,
    /// `log_unknown_vrids`.
    pub log_unknown_vrids: bool,
    /// `lvs_timeouts`: seconds, 0 leaves the kernel's value.
    pub lvs_timeouts: LvsTimeouts,
    /// `lvs_flush`: flush the whole table at start.
    pub lvs_flush: bool,
    /// `lvs_flush_on_stop`.
    pub lvs_flush_on_stop: FlushOnStop,
    /// `checker_log_all_failures`.
    pub checker_log_all_failures: bool,
    /// `rs_init_notifies`.
    pub rs_init_notifies: bool,
    /// umask of the processes and of what they start.
    pub umask: u32,
    /// `process_names` and the `*_process_name` words: parent, vrrp, checkers.
    pub process_names: ProcessNames,
    /// `vrrp_rlimit_rttime`, `vrrp_priority` … of the vrrp process.
    pub vrrp_scheduling: Scheduling,
    /// The same for the checkers process.
    pub checker_scheduling: Scheduling,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            router_id: String::new(),
            instance: None,
            use_pid_dir: false,
            child_wait_time: Duration::from_secs(5),
            email_from: None,
            email_to: Vec::new(),
            smtp_server: None,
            smtp_connect_timeout: Duration::from_secs(30),
            smtp_alert: None,
            script_user: None,
            script_security: false,
            dynamic_interfaces: false,
            vrrp_version: VrrpVersion::V2,
            vrrp_strict: false,
            vrrp_skip_check_adv_addr: false,
            vrrp_mcast_group4: Ipv4Addr::new(224, 0, 0, 18),
            vrrp_mcast_group6: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12),
            garp: GarpSettings::default(),
            garp_interval: Duration::ZERO,
            down_timer_adverts: 3,
            vrrp_startup_delay: Duration::ZERO,
            log_unknown_vrids: false,
            lvs_timeouts: LvsTimeouts::default(),
            lvs_flush: false,
            lvs_flush_on_stop: FlushOnStop::default(),
            checker_log_all_failures: false,
            rs_init_notifies: false,
            umask: 0o177,
            process_names: ProcessNames::default(),
            vrrp_scheduling: Scheduling::default(),
            checker_scheduling: Scheduling::default(),
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
}

impl Default for GarpSettings {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(5),
            repeat: 5,
            refresh: Duration::ZERO,
            refresh_repeat: 1,
            lower_prio_delay: Duration::from_secs(5),
            lower_prio_repeat: 5,
        }
    }
}

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
    /// Delete what we added, destination by destination.
    #[default]
    No,
    /// Delete our services; the kernel drops their destinations.
    OwnServices,
    /// Flush the whole table, foreign services included.
    WholeTable,
}

/// `comm` of each process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessNames {
    /// The parent's.
    pub parent: String,
    /// The vrrp process'.
    pub vrrp: String,
    /// The checkers process' (and the prober's).
    pub checkers: String,
}

impl Default for ProcessNames {
    /// Stock names all processes alike; `pgrep` and `killall` habits depend on it.
    fn default() -> Self {
        let name = || "keepalived".to_owned();
        Self { parent: name(), vrrp: name(), checkers: name() }
    }
}

/// Scheduling of one process (spec/vrrp-behaviour.md §11).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scheduling {
    /// Nice value, -20..=19; `None` leaves it alone.
    pub nice: Option<i8>,
    /// `SCHED_RR` priority, 1..=99.
    pub realtime: Option<u8>,
    /// `mlockall`.
    pub no_swap: bool,
    /// CPUs; empty is all.
    pub cpu_affinity: Vec<u32>,
}
