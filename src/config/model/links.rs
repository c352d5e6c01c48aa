//! Links that the daemon makes for itself: `use_vmac`, `use_ipvlan`, `use_vmac_addr` (spec/vrrp-behaviour.md §9).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Blank, Family};

/// The links of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceLinks {
    /// The instance's own VMAC or ipvlan, on its interface.
    pub own: Option<VirtualLink>,
    /// VMACs that carry addresses of other interfaces or of the other family.
    pub of_addresses: Vec<VirtualLink>,
    /// `vmac_xmit_base`: adverts leave and come in on the base interface.
    pub xmit_base: bool,
    /// `use_vmac_addr`.
    pub use_vmac_addr: bool,
    /// `netlink_notify_msg`.
    pub notify_base: bool,
    /// `vrf` of a unicast instance without interface.
    pub vrf: Option<String>,
}

impl Blank for InstanceLinks {
    fn blank() -> &'static Self {
        static BLANK: InstanceLinks = InstanceLinks {
            own: None,
            of_addresses: Vec::new(),
            xmit_base: false,
            use_vmac_addr: false,
            notify_base: false,
            vrf: None,
        };
        &BLANK
    }
}

impl InstanceLinks {
    /// The own one first.
    pub fn iter(&self) -> impl Iterator<Item = &VirtualLink> {
        self.own.iter().chain(&self.of_addresses)
    }

    /// The interface below a link of ours.
    pub fn base_of(&self, name: &str) -> Option<&str> {
        self.iter().find(|link| link.name == name).map(|link| link.base.as_str())
    }
}

/// A macvlan or an ipvlan on another interface.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VirtualLink {
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Name of the interface below.
    pub base: String,
    /// What it is.
    pub kind: VirtualLinkKind,
    /// Family of the addresses that it is made for.
    pub family: Family,
    /// Does it carry IPv6 addresses? Otherwise IPv6 is switched off on it.
    pub ipv6: bool,
    /// Does it carry IPv4 addresses?
    pub ipv4: bool,
    /// Interface group; `None` copies that of the interface below.
    pub group: Option<u32>,
}

/// The two kinds of link.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum VirtualLinkKind {
    /// A macvlan in private mode.
    Vmac {
        /// Its hardware address.
        mac: [u8; 6],
        /// Where the hardware address comes from.
        origin: MacOrigin,
    },
    /// An ipvlan (L2).
    Ipvlan {
        /// Who may talk to whom.
        mode: IpvlanMode,
        /// Its own address, from which adverts are sent, and its prefix length.
        address: Option<(IpAddr, u8)>,
    },
}

/// Where a VMAC's hardware address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MacOrigin {
    /// RFC 9568 §7.3: `00-00-5e-00-01-{VRID}`, for IPv6 `00-00-5e-00-02-{VRID}`.
    Rfc,
    /// Six octets of the configuration.
    Given,
    /// Five octets of the configuration; the sixth is the VRID.
    GivenAndVrid,
}

/// `bridge`, `private`, `vepa`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum IpvlanMode {
    /// All reach all.
    #[default]
    Bridge,
    /// None reaches another on the same interface.
    Private,
    /// What goes between them goes through the switch.
    Vepa,
}

impl IpvlanMode {
    /// As in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Private => "private",
            Self::Vepa => "vepa",
        }
    }
}
