//! Services and destinations of the IPVS table: as wanted ([`Pool`]) and as known to be in the kernel ([`Table`]).
//!
//! The values are those of the kernel interface, so that what a dump brings and what we want can be compared.
//! spec/ipvs-behaviour.md §2.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::model::{Family, ForwardingMethod};
use crate::lvs::difference::Command;

/// `IP_VS_SVC_F_PERSISTENT` of `linux/ip_vs.h`.
pub const PERSISTENT: u32 = 0x01;
/// `IP_VS_SVC_F_HASHED` of `linux/ip_vs.h`: set by the kernel itself, never by us.
pub const HASHED: u32 = 0x02;

/// What identifies a service in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ServiceKey {
    /// Protocol, address and port.
    Address {
        /// IP protocol number.
        protocol: u8,
        /// Virtual address.
        address: IpAddr,
        /// Virtual port, host order.
        port: u16,
    },
    /// A firewall mark.
    Fwmark {
        /// Family of the packets.
        family: Family,
        /// The mark.
        mark: u32,
    },
}

impl ServiceKey {
    /// The service's family.
    pub fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } => Family::of(*address),
            Self::Fwmark { family, .. } => *family,
        }
    }
}

impl fmt::Display for ServiceKey {
    /// As stock's IPVS error lines: `10.0.0.1:tcp:80`, `Fwm 7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { protocol, address, port } => {
                write!(f, "{address}:")?;
                match protocol {
                    6 => f.write_str("tcp")?,
                    17 => f.write_str("udp")?,
                    132 => f.write_str("sctp")?,
                    other => write!(f, "{other}")?,
                }
                write!(f, ":{port}")
            }
            Self::Fwmark { mark, .. } => write!(f, "Fwm {mark}"),
        }
    }
}

/// What a service is set to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServiceSettings {
    /// The kernel's name of the scheduler.
    pub scheduler: Cow<'static, str>,
    /// Persistence engine; only with persistence.
    pub engine: Option<String>,
    /// `IP_VS_SVC_F_*`, without [`HASHED`].
    pub flags: u32,
    /// Persistence in seconds, 0 without.
    pub timeout: u32,
    /// Persistence granularity.
    pub netmask: Netmask,
}

/// The kernel's netmask word: an IPv4 mask in network order, or an IPv6 prefix length as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Netmask {
    /// The mask's bytes.
    V4([u8; 4]),
    /// Prefix length.
    V6(u32),
}

impl Netmask {
    /// The whole address: the value of a service without granularity.
    pub fn full(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4([255; 4]),
            Family::V6 => Self::V6(128),
        }
    }
}

/// What identifies a destination within a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DestinationKey {
    /// Address; its family may differ from the service's with tunnels.
    pub address: IpAddr,
    /// Port, host order; 0 on fwmark services with DR or TUN.
    pub port: u16,
}

impl fmt::Display for DestinationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.address, self.port)
    }
}

/// What a destination is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DestinationSettings {
    /// Forwarding method; `None` is one that only the kernel knows (local node, bypass) and that we never want.
    pub method: Option<ForwardingMethod>,
    /// Weight, 0..=2147483647.
    pub weight: u32,
    /// Upper connection threshold, 0 is none.
    pub upper_threshold: u32,
    /// Lower connection threshold, 0 is none.
    pub lower_threshold: u32,
}

/// One destination of a [`Pool`]: wanted with these settings, or (`None`) wanted to be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Which real server it is.
    pub real_server: WantedServer,
    /// `None`: not in the table now.
    pub settings: Option<DestinationSettings>,
}

/// Address and port as configured; the port in the kernel depends on the service ([`Wanted::key`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedServer {
    /// Address.
    pub address: IpAddr,
    /// Port, host order.
    pub port: u16,
    /// DR and TUN use the service's port, NAT their own (spec/ipvs-behaviour.md §2).
    pub own_port: bool,
}

impl Wanted {
    /// The destination's key within a service.
    pub fn key(&self, service: &ServiceKey) -> DestinationKey {
        let port = match service {
            _ if self.real_server.own_port => self.real_server.port,
            ServiceKey::Address { port, .. } => *port,
            ServiceKey::Fwmark { .. } => 0,
        };
        DestinationKey { address: self.real_server.address, port }
    }
}

/// What one virtual server wants in the table: every destination in every service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its services, in the order of the group's entries. Empty when the virtual server is to go.
    pub services: Arc<[(ServiceKey, ServiceSettings)]>,
    /// Its real servers, in file order.
    pub real_servers: Vec<Wanted>,
    /// Its sorry server, unless that is one of the real servers.
    pub sorry_server: Option<Wanted>,
}

/// A service known to be in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownService {
    /// Its settings.
    pub settings: ServiceSettings,
    /// Its destinations.
    pub destinations: BTreeMap<DestinationKey, DestinationSettings>,
}

/// What is known to be in the kernel. IPVS tells nobody of changes, so this is kept by [`Table::apply`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    services: HashMap<ServiceKey, KnownService>,
}

impl Table {
    /// Notes a service found in the kernel, in place of what was known of it.
    pub fn insert(&mut self, key: ServiceKey, service: KnownService) {
        self.services.insert(key, service);
    }

    /// Forgets a service (it was not found in the kernel).
    pub fn forget(&mut self, key: &ServiceKey) {
        self.services.remove(key);
    }

    /// Forgets everything (the kernel's table was flushed).
    pub fn clear(&mut self) {
        self.services.clear();
    }

    /// Notes that the kernel carried out a command.
    pub fn apply(&mut self, command: &Command) {
        match command {
            Command::AddService { service, settings } | Command::EditService { service, settings } => {
                if let Some(known) = self.services.get_mut(service) {
                    known.settings = settings.clone();
                } else {
                    let known = KnownService { settings: settings.clone(), destinations: BTreeMap::new() };
                    self.services.insert(*service, known);
                }
            }
            Command::DeleteService { service, .. } => self.forget(service),
            Command::AddDestination { service, destination, settings, .. }
            | Command::EditDestination { service, destination, settings, .. } => {
                if let Some(known) = self.services.get_mut(service) {
                    known.destinations.insert(*destination, *settings);
                }
            }
            Command::DeleteDestination { service, destination, .. } => {
                if let Some(known) = self.services.get_mut(service) {
                    known.destinations.remove(destination);
                }
            }
        }
    }

    /// Gives back the room that destinations leave between them when they come one by one.
    pub fn compact(&mut self) {
        for known in self.services.values_mut() {
            known.destinations = std::mem::take(&mut known.destinations).into_iter().collect();
        }
    }

    /// What is known of a service.
    pub fn get(&self, key: &ServiceKey) -> Option<&KnownService> {
        self.services.get(key)
    }

    /// How many services are known.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Is nothing known?
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }
}
