//! The interfaces of `keepalived.data`, and an instance's lines about links of our own. spec/dump-format.md §3.1, §3.3.

use super::vrrp::{Page, View, weight};
use crate::config::model::{Family, Instance, MacOrigin, Polling, VirtualLinkKind, VrrpPart};
use crate::vrrp::{Interface, LinkKind, MACVLAN_PRIVATE};

/// `ARPHRD_*` (`linux/if_arp.h`).
const ETHERNET: u16 = 1;
const LOOPBACK: u16 = 772;

impl Page {
    /// The lines about VMACs and ipvlans.
    pub(super) fn links(&mut self, view: View<'_>, config: &Instance) {
        if let Some(own) = &config.links.own {
            let find = |name: &str| view.snapshot.interfaces.iter().find(|seen| seen.link.name == name);
            let is_up = find(&own.name).is_some_and(|seen| seen.link.flags & crate::vrrp::IFF_UP != 0);
            match &own.kind {
                VirtualLinkKind::Vmac { mac: octets, origin } => {
                    let (name, base) = (&own.name, config.links.xmit_base);
                    self.line(format_args!("Use VMAC, i/f name {name}, is_up = {is_up}, xmit_base = {base}"));
                    match origin {
                        MacOrigin::Rfc => {}
                        MacOrigin::Given => self.line(format_args!("MAC = {}", mac(octets))),
                        MacOrigin::GivenAndVrid => {
                            self.line(format_args!("MAC = {} (using VRID)", mac(octets)));
                        }
                    }
                }
                VirtualLinkKind::Ipvlan { mode, address } => {
                    let address = address.map(|(address, prefix)| {
                        let whole = if address.is_ipv4() { 32 } else { 128 };
                        let length = if prefix == whole { String::new() } else { format!("/{prefix}") };
                        format!(", i/f address = {address}{length}")
                    });
                    let (address, mode) = (address.unwrap_or_default(), mode.name());
                    self.line(format_args!(
                        "Use IPVLAN, i/f {}, is_up = {is_up}{address}, type {mode}",
                        own.name
                    ));
                }
            }
            if config.links.notify_base {
                self.line(format_args!("Force netlink update for base interface"));
            }
        }
        if config.links.use_vmac_addr {
            self.line(format_args!("Use VMAC for VIPs on other interfaces"));
        }
        if let Some(own) = &config.links.own {
            let base = view.snapshot.interfaces.iter().find(|seen| seen.link.name == own.base);
            match (own.group, base.map_or(0, |base| base.link.group)) {
                (Some(group), _) => self.line(format_args!("Interface group {group}")),
                (None, 0) => {}
                (None, group) => self.line(format_args!("Interface group {group} (copied from parent)")),
            }
        }
    }

    pub(super) fn interface(&mut self, view: View<'_>, interface: &Interface) {
        let part = view.part;
        let link = &interface.link;
        self.put(format_args!(" Name = {}", link.name));
        self.line(format_args!("index = {}", link.index));
        for (family, label) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
            let is_vip = |address| {
                part.instances
                    .iter()
                    .flat_map(|instance| instance.vips.iter().chain(&instance.excluded))
                    .any(|vip| vip.address == address && vip.interface == link.name)
            };
            match interface.first_address(family, is_vip) {
                Some(first) => {
                    self.line(format_args!("{label} address = {first}"));
                    let others = interface.addresses.iter().map(|(address, _)| *address).filter(|address| {
                        Family::of(*address) == family && *address != first && !is_vip(*address)
                    });
                    for (i, other) in others.enumerate() {
                        if i == 0 {
                            self.line(format_args!("Additional {label} addresses :"));
                        }
                        self.entry(format_args!("{other}"));
                    }
                }
                None => self.line(format_args!("{label} address = (none)")),
            }
        }
        self.link(view, interface);
        let tracking = tracking(part, &link.name);
        if !tracking.is_empty() {
            self.line(format_args!("Tracking VRRP instances :"));
        }
        for (name, weight) in tracking {
            self.entry(format_args!("{name}, {weight}"));
        }
    }

    fn link(&mut self, view: View<'_>, interface: &Interface) {
        let part = view.part;
        let link = &interface.link;
        let base = view.snapshot.interfaces.iter().find(|seen| {
            link.kind == LinkKind::Macvlan { mode: MACVLAN_PRIVATE } && seen.link.index == link.base
        });
        if link.hardware != LOOPBACK && !link.mac.is_empty() {
            self.line(format_args!("MAC = {}", mac(&link.mac)));
            self.line(format_args!("MAC broadcast = {}", mac(&link.mac_broadcast)));
        }
        let flag = |flag: u32| link.flags & flag != 0;
        let mut state = format!(
            "{}UP, {}RUNNING",
            if flag(crate::vrrp::IFF_UP) { "" } else { "not " },
            if flag(crate::vrrp::IFF_RUNNING) { "" } else { "not " }
        );
        // linux/if.h: broadcast 0x2, loopback 0x8, point to point 0x10, no arp 0x80, multicast 0x1000.
        for (is_shown, word) in [
            (!flag(0x2), ", no broadcast"),
            (flag(0x8), ", loopback"),
            (flag(0x10), ", point to point"),
            (flag(0x80), ", no arp"),
            (!flag(0x1000), ", no multicast"),
        ] {
            if is_shown {
                state.push_str(word);
            }
        }
        self.line(format_args!("State = {state}"));
        self.line(format_args!("Seen up = {}", u8::from(link.is_up())));
        let is_delayed = view.snapshot.delayed.contains(&link.name);
        self.line(format_args!("Delayed state change running = {is_delayed}"));
        let delays = part.interface_delays.iter().find(|delays| delays.interface == link.name);
        let (up, down) = delays.map(|delays| (delays.up, delays.down)).unwrap_or_default();
        self.line(format_args!("Up debounce timer = {}us", up.as_micros()));
        self.line(format_args!("Down debounce timer = {}us", down.as_micros()));
        self.line(format_args!("Group = {}", link.group));
        if let Some(base) = base {
            let (up, running) =
                (base.link.flags & crate::vrrp::IFF_UP != 0, base.link.flags & crate::vrrp::IFF_RUNNING != 0);
            self.line(format_args!(
                "VMAC type private, underlying interface = {}, state = {}UP, {}RUNNING",
                base.link.name,
                if up { "" } else { "not " },
                if running { "" } else { "not " }
            ));
        }
        if part.instances.iter().any(|instance| instance.links.base_of(&link.name).is_some()) {
            self.line(format_args!("I/f created by keepalived"));
        }
        self.line(format_args!("MTU = {}", link.mtu));
        match link.hardware {
            ETHERNET => self.line(format_args!("HW Type = ETHERNET")),
            LOOPBACK => self.line(format_args!("HW Type = LOOPBACK")),
            other => self.line(format_args!("HW Type = UNKNOWN ({other})")),
        }
        let polled = view.snapshot.polled.iter().find(|(name, _)| *name == link.name);
        self.line(match polled {
            None => format_args!("NIC netlink status update"),
            Some((_, Polling::Mii)) => format_args!("NIC support MII regs"),
            Some((_, Polling::Ethtool)) => format_args!("NIC support ETHTOOL GLINK interface"),
            Some((_, Polling::Ioctl)) => format_args!("NIC ioctl refresh polling"),
        });
        let group = part.garp_groups.iter().find(|group| group.interfaces.contains(&link.name));
        let is_used = part.instances.iter().any(|instance| instance.interface.as_ref() == Some(&link.name));
        if is_used || group.is_some() {
            let gaps = group.map_or((part.global.garp_interval, part.global.gna_interval), |group| {
                (group.gaps.garp_interval, group.gaps.gna_interval)
            });
            for (kind, gap) in [("ARP", gaps.0), ("NA", gaps.1)] {
                if !gap.is_zero() {
                    self.line(format_args!("Gratuitous {kind} interval {}ms", gap.as_millis()));
                }
            }
        }
        let guarded = view.snapshot.guarded.iter().find(|(name, ..)| *name == link.name);
        let settings = &link.settings;
        let (ignore, filter) = guarded
            .map_or((settings.arp_ignore, settings.arp_filter), |(_, ignore, filter)| (*ignore, *filter));
        let vmacs = part.instances.iter().flat_map(|instance| instance.links.iter());
        let vmacs = vmacs.filter(|own| own.base == link.name && own.family == Family::V4).count();
        self.line(format_args!("Reset ARP config counter {vmacs}"));
        self.line(format_args!("Original arp_ignore {ignore}"));
        self.line(format_args!("Original arp_filter {filter}"));
        if base.is_some() || guarded.is_some() {
            self.line(format_args!("rp_filter {}", settings.rp_filter));
        }
        self.line(format_args!("Original promote_secondaries {}", settings.promote_secondaries));
        self.line(format_args!("Reset promote_secondaries counter 0"));
    }
}

/// Who depends on an interface, and how.
fn tracking<'a>(part: &'a VrrpPart, name: &str) -> Vec<(&'a str, String)> {
    let mut found = Vec::new();
    for instance in &part.instances {
        let own = instance.interface.as_deref() == Some(name) || instance.shown_interface() == Some(name);
        let explicit = instance.track_interfaces.iter().find(|tracked| tracked.interface == name);
        let by_address = instance.vips.iter().chain(&instance.excluded);
        let by_address = by_address.filter(|vip| !vip.no_track).any(|vip| vip.interface == name);
        if let Some(tracked) = explicit {
            found.push((instance.name.as_str(), weight(tracked.weight, tracked.reverse)));
        } else if own && instance.dont_track_primary {
            // Stock: the mark of an interface that is known but not tracked.
            found.push((instance.name.as_str(), weight(255, false)));
        } else if own || by_address {
            found.push((instance.name.as_str(), weight(0, false)));
        }
    }
    found
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}
