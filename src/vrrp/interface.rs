//! What the core knows of the host's interfaces: a mirror of what the kernel reported, and questions to it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::model::Family;

/// `IFF_UP` (linux/if.h).
pub const IFF_UP: u32 = 0x1;
/// `IFF_RUNNING`: up and with carrier.
pub const IFF_RUNNING: u32 = 0x40;
/// `IFF_NOARP`: no gratuitous ARP is sent there.
pub const IFF_NOARP: u32 = 0x80;

/// One interface as `RTM_NEWLINK` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Link {
    /// Kernel index, not 0.
    pub index: u32,
    /// Name.
    pub name: String,
    /// `IFF_*` as the kernel reports them.
    pub flags: u32,
    /// Hardware address; empty if there is none.
    pub mac: Vec<u8>,
    /// Hardware broadcast address; empty if there is none.
    pub mac_broadcast: Vec<u8>,
    /// MTU in bytes.
    pub mtu: u32,
    /// `ARPHRD_*`.
    pub hardware: u16,
    /// `IFLA_GROUP`.
    pub group: u32,
    /// What it is, as far as that matters here.
    pub kind: LinkKind,
    /// `IFLA_LINK`: index of the interface below, 0 if there is none in this namespace.
    pub base: u32,
    /// `IFLA_MASTER`: index of the bridge, bond or VRF it belongs to, 0 if none.
    pub master: u32,
    /// IPv4 settings.
    pub settings: LinkSettings,
}

/// The kinds of link that this program makes or asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LinkKind {
    /// Any other.
    #[default]
    Other,
    /// A macvlan.
    Macvlan {
        /// `MACVLAN_MODE_*`: 1 is private.
        mode: u32,
    },
    /// An ipvlan.
    Ipvlan {
        /// 0 is L2.
        mode: u16,
        /// Bit 0 private, bit 1 VEPA.
        flags: u16,
    },
    /// A VRF.
    Vrf {
        /// Its routing table.
        table: u32,
    },
}

/// `MACVLAN_MODE_PRIVATE`.
pub const MACVLAN_PRIVATE: u32 = 1;

/// Settings of `/proc/sys/net/ipv4/conf` that this program changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkSettings {
    /// `arp_ignore`.
    pub arp_ignore: u8,
    /// `arp_filter`.
    pub arp_filter: u8,
    /// `rp_filter`.
    pub rp_filter: u8,
    /// `promote_secondaries`.
    pub promote_secondaries: u8,
}

impl Link {
    /// Up and with carrier (spec/vrrp-behaviour.md §6.1).
    pub fn is_up(&self) -> bool {
        self.flags & (IFF_UP | IFF_RUNNING) == IFF_UP | IFF_RUNNING
    }

    /// May ARP be sent there?
    pub fn has_arp(&self) -> bool {
        self.flags & IFF_NOARP == 0
    }
}

/// An interface with its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Interface {
    /// The link.
    pub link: Link,
    /// Local addresses with prefix length, in the order the kernel reported them.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl Interface {
    /// Has it this address, whatever the prefix?
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(a, _)| *a == address)
    }

    /// The first address of `family` that `is_vip` does not claim; for IPv6 the first link-local one
    /// (spec/vrrp-behaviour.md §1.1).
    pub fn first_address(&self, family: Family, is_vip: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        self.addresses
            .iter()
            .map(|(address, _)| *address)
            .filter(|address| Family::of(*address) == family)
            .filter(|address| match address {
                IpAddr::V4(_) => true,
                IpAddr::V6(v6) => v6.is_unicast_link_local(),
            })
            .find(|address| !is_vip(*address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_without_carrier_is_not_up() {
        let link = |flags| Link { flags, ..Link::default() };
        assert!(link(IFF_UP | IFF_RUNNING).is_up());
        assert!(!link(IFF_UP).is_up());
        assert!(!link(IFF_RUNNING).is_up());
    }

    #[test]
    fn the_source_is_the_first_address_that_is_no_vip_and_for_ipv6_link_local() {
        let a = |s: &str| s.parse::<IpAddr>().unwrap();
        let interface = Interface {
            link: Link::default(),
            addresses: vec![
                (a("10.0.0.100"), 32),
                (a("2001:db8::1"), 64),
                (a("10.0.0.1"), 24),
                (a("fe80::1"), 64),
            ],
        };
        assert_eq!(interface.first_address(Family::V4, |x| x == a("10.0.0.100")), Some(a("10.0.0.1")));
        assert_eq!(interface.first_address(Family::V6, |_| false), Some(a("fe80::1")));
        assert_eq!(interface.first_address(Family::V4, |_| true), None);
    }
}
