//! `virtual_server`, `virtual_server_group`, `real_server` (spec/lvs-config.md).

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Checker, Command, Family};

/// A `virtual_server` block after defaults, inheritance and corrections (spec/lvs-config.md §9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualServer {
    /// What traffic it serves.
    pub service: Service,
    /// Family of the service; `None` for groups that hold both.
    pub family: Option<Family>,
    /// Protocol; `None` on fwmark services.
    pub protocol: Option<Protocol>,
    /// Kernel scheduler.
    pub scheduler: Scheduler,
    /// `IP_VS_SVC_F_*` bits, without the persistence bit (spec/lvs-config.md §5).
    pub flags: u32,
    /// Persistence, if any.
    pub persistence: Option<Persistence>,
    /// Default method of its real servers.
    pub method: ForwardingMethod,
    /// Weight that must be alive. May be 0 when all weights are.
    pub quorum: u32,
    /// Distance to the quorum before its state changes.
    pub hysteresis: u32,
    /// Run on gaining quorum.
    pub quorum_up: Option<Command>,
    /// Run on losing quorum.
    pub quorum_down: Option<Command>,
    /// Mail on quorum changes.
    pub smtp_alert: bool,
    /// Run down notifiers when the daemon stops.
    pub omega: bool,
    /// Used while there is no quorum.
    pub sorry_server: Option<SorryServer>,
    /// In file order, no two alike in address and port.
    pub real_servers: Vec<RealServer>,
    /// What its real servers inherit.
    pub settings: InheritedSettings,
    /// What its real servers inherit of `inhibit_on_failure`.
    pub inhibit_on_failure: bool,
    /// What its real servers inherit of `weight`, 1..=2147483647.
    pub weight: u32,
    /// What its checks inherit of `virtualhost`.
    pub virtualhost: Option<String>,
    /// Name for SNMP.
    pub snmp_name: Option<String>,
    /// Checks run only while the virtual address is on this host. Never with marks.
    pub ha_suspend: bool,
    /// `@keepalived-rs slow_start`: the weight of a returning real server ramps up for so long; zero is off.
    pub slow_start: Duration,
    /// `@keepalived-rs min_in_service`: so many percent of the real servers stay in the pool whatever the checks say.
    pub min_in_service: u8,
}

/// Settings that virtual server and real server hand on to checkers, everything inherited. The checkers hold the
/// outcome ([`CheckTiming`](super::CheckTiming)); these are for reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InheritedSettings {
    /// Between checks.
    pub delay_loop: Duration,
    /// Limit of a connect.
    pub connect_timeout: Duration,
    /// Failures forgiven; without one the type of the check decides.
    pub retry: Option<u32>,
    /// To the next attempt; without one the type of the check decides.
    pub delay_before_retry: Option<Duration>,
    /// Random part of the first delay; without one it is `delay_loop`.
    pub warmup: Option<Duration>,
    /// Checkers start as failed.
    pub alpha: bool,
}

impl Default for InheritedSettings {
    fn default() -> Self {
        Self {
            delay_loop: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            retry: None,
            delay_before_retry: None,
            warmup: None,
            alpha: false,
        }
    }
}

/// Identity of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Service {
    /// `virtual_server ADDR PORT`.
    Address {
        /// Virtual address.
        address: IpAddr,
        /// Virtual port, host order; 0 is every port.
        port: u16,
    },
    /// `virtual_server fwmark N`.
    Fwmark(u32),
    /// `virtual_server group NAME`.
    Group {
        /// Name of the group.
        name: String,
        /// Ordinal among the virtual servers of that group, from 0.
        index: u32,
    },
}

/// A `virtual_server_group` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualServerGroup {
    /// Block name.
    pub name: String,
    /// Entries in file order, never empty.
    pub entries: Vec<GroupEntry>,
}

/// One line of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GroupEntry {
    /// One address or a range, both ends included.
    Range {
        /// First address.
        first: IpAddr,
        /// Last address, not below `first`, same family.
        last: IpAddr,
        /// Port, host order.
        port: u16,
    },
    /// A firewall mark.
    Fwmark {
        /// The mark.
        mark: u32,
        /// Family, when given.
        family: Option<Family>,
    },
}

/// Transport protocol of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// 6.
    Tcp,
    /// 17.
    Udp,
    /// 132.
    Sctp,
}

impl Protocol {
    /// The IP protocol number.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// IPVS schedulers by their kernel names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each variant is the kernel's name of the scheduler")]
pub enum Scheduler {
    Rr,
    Wrr,
    Lc,
    #[default]
    Wlc,
    Lblc,
    Sh,
    Mh,
    Dh,
    Fo,
    Ovf,
    Lblcr,
    Sed,
    Nq,
    Twos,
}

impl Scheduler {
    /// Every scheduler stock accepts.
    pub const ALL: [Self; 14] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Lblc,
        Self::Sh,
        Self::Mh,
        Self::Dh,
        Self::Fo,
        Self::Ovf,
        Self::Lblcr,
        Self::Sed,
        Self::Nq,
        Self::Twos,
    ];

    /// The kernel's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Lblc => "lblc",
            Self::Sh => "sh",
            Self::Mh => "mh",
            Self::Dh => "dh",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Lblcr => "lblcr",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Twos => "twos",
        }
    }
}

/// Persistence of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Persistence {
    /// Seconds, 1..=2678400.
    pub timeout: u32,
    /// IPv4: the mask's bytes in network order; IPv6: prefix length in host order. `None` is the full address.
    pub granularity: Option<Granularity>,
    /// Persistence engine, at most 16 bytes.
    pub engine: Option<String>,
}

/// `persistence_granularity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Granularity {
    /// A dotted mask.
    V4(std::net::Ipv4Addr),
    /// 1..=128.
    V6(u8),
}

/// How packets reach a real server (spec/lvs-config.md §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum ForwardingMethod {
    /// Masquerading.
    #[default]
    Nat,
    /// Direct routing.
    Dr,
    /// Tunnelling.
    Tun(Tunnel),
}

/// Encapsulation of `TUN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tunnel {
    /// IP in IP.
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// Destination port, 1..=65535, host order.
        port: u16,
        /// Checksum mode.
        checksum: TunnelChecksum,
    },
    /// GRE; remote checksum does not exist here.
    Gre {
        /// Checksum mode.
        checksum: TunnelChecksum,
    },
}

/// `nocsum`, `csum`, `remcsum`: the kernel's 0, 1, 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum TunnelChecksum {
    /// None.
    #[default]
    None,
    /// Outer checksum.
    Csum,
    /// Remote checksum offload.
    Remote,
}

/// A `sorry_server` line; its weight is always 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SorryServer {
    /// Address.
    pub address: IpAddr,
    /// Port after defaulting (spec/lvs-config.md §7), host order.
    pub port: u16,
    /// Forwarding method.
    pub method: ForwardingMethod,
    /// Keep it in the table with weight 0 instead of removing it.
    pub inhibit: bool,
}

/// A `real_server` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServer {
    /// Address.
    pub address: IpAddr,
    /// Port as programmed into the kernel (defaulted or reset), host order.
    pub port: u16,
    /// Configured weight, 0..=2147483647.
    pub weight: u32,
    /// Forwarding method.
    pub method: ForwardingMethod,
    /// Kernel upper connection threshold, 0 is none.
    pub upper_threshold: u32,
    /// Kernel lower connection threshold, 0 is none.
    pub lower_threshold: u32,
    /// Weight 0 instead of removal while down.
    pub inhibit_on_failure: bool,
    /// Run when it comes up.
    pub notify_up: Option<Box<Command>>,
    /// Run when it goes down.
    pub notify_down: Option<Box<Command>>,
    /// Mail on changes.
    pub smtp_alert: bool,
    /// What few real servers have, for reports.
    pub own: Option<Box<OwnSettings>>,
    /// Its checkers, in file order.
    pub checkers: Vec<Checker>,
}

/// What a real server has of its own beside what makes it one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OwnSettings {
    /// What its checkers inherit, when that is not what the virtual server has.
    pub settings: Option<InheritedSettings>,
    /// `virtualhost`.
    pub virtualhost: Option<String>,
    /// Name for SNMP.
    pub snmp_name: Option<String>,
}
