//! What the ground floor must know of the host: filled in by `kernel`, or by a test.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{BadPattern, Identity, Regex, TlsProfile};

/// Facts of the host that validation needs. Of another machine they can be given, so its file can be checked here.
#[derive(Debug, Clone, Default)]
pub struct HostFacts {
    /// Host name (`uname -n`), whole.
    pub node_name: String,
    /// Interfaces by name.
    pub interfaces: BTreeMap<String, InterfaceFacts>,
    /// CPUs that are online; `None` when that is not known, and then no CPU number is refused.
    pub cpus: Option<u32>,
    /// The daemon's own identity, the default of scripts without `keepalived_script`.
    pub own_identity: Identity,
    /// The name of that user.
    pub own_user: String,
    /// The library that matches patterns.
    pub patterns: Patterns,
    /// The library that speaks TLS.
    pub tls: TlsTrial,
}

/// Does the host's PCRE2 take a pattern? The default takes all.
#[derive(Debug, Clone, Copy)]
pub struct Patterns(pub fn(&Regex) -> Result<(), BadPattern>);

impl Default for Patterns {
    fn default() -> Self {
        Self(|_| Ok(()))
    }
}

/// Can the host's TLS library use certificates and keys? The default takes all.
#[derive(Debug, Clone, Copy)]
pub struct TlsTrial(pub fn(&TlsProfile) -> Result<(), String>);

impl Default for TlsTrial {
    fn default() -> Self {
        Self(|_| Ok(()))
    }
}

/// One interface of the host.
#[derive(Debug, Clone, Default)]
pub struct InterfaceFacts {
    /// Kernel index.
    pub index: u32,
    /// MTU in bytes.
    pub mtu: u32,
    /// `IFF_MULTICAST`.
    pub multicast: bool,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
    /// Addresses with prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
    /// `ARPHRD_ETHER`.
    pub ethernet: bool,
    /// Hardware address; empty if there is none.
    pub mac: Vec<u8>,
    /// Kernel index of the interface below a macvlan in private mode.
    pub private_macvlan_on: Option<u32>,
    /// Any macvlan or ipvlan.
    pub stacked: bool,
    /// The routing table of a VRF.
    pub vrf_table: Option<u32>,
}

/// Questions about names, asked while the configuration is read.
pub trait Users {
    /// Numeric user and primary group of a user name.
    fn user(&self, name: &str) -> Option<Identity>;
    /// Numeric id of a group name.
    fn group(&self, name: &str) -> Option<u32>;

    /// The groups of this user, its own and the supplementary ones. Empty for one without a name.
    fn groups(&self, identity: Identity) -> Vec<u32> {
        let _ = identity;
        Vec::new()
    }

    /// Address of a host name (`smtp_server`). May block on the resolver.
    fn host(&self, name: &str) -> Option<IpAddr> {
        let _ = name;
        None
    }
}
