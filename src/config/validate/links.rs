//! The VMACs and ipvlans of an instance: kind, hardware address, name, and which address lies on which of them
//! (spec/vrrp-config.md §4 rows 17, 20, 31, 32; spec/vrrp-behaviour.md §9).

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::instance::Builder;
use crate::config::blocks::address::AddressDraft;
use crate::config::blocks::quoted;
use crate::config::model::{Family, InstanceLinks, MacOrigin, VirtualLink, VirtualLinkKind, Vrid};
use crate::config::syntax::Word;

/// The longest name of an interface.
const NAME: usize = 15;

/// The names that links of this configuration have so far.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Builder<'_, '_> {
    /// The instance's own link; those of addresses come with [`Self::place`].
    pub(super) fn own_link(
        &mut self,
        strict: bool,
        (family, vrid): (Family, Vrid),
        config_fault: &mut Option<String>,
    ) -> InstanceLinks {
        let draft = self.draft;
        let mut links = InstanceLinks {
            use_vmac_addr: draft.use_vmac_addr.is_some(),
            vrf: self.vrf(),
            ..InstanceLinks::default()
        };
        let Some(base) = draft.interface.map(Word::as_str) else { return links };
        links.xmit_base = draft.vmac_xmit_base.is_some();
        // Row 32.
        if let Some(span) = draft.vmac_xmit_base.filter(|_| strict) {
            let what = "in strict mode there is no `vmac_xmit_base`";
            self.warn("strict-mode", Some(span), what, "", "ignores it");
            links.xmit_base = false;
        }
        let (kind, name, group) = if let Some(vmac) = &draft.use_vmac {
            // Row 17.
            let mut given = vmac.mac.as_ref();
            if let Some((_, span)) = given.filter(|_| strict) {
                let what = "in strict mode a VMAC has the virtual MAC";
                self.warn("strict-mode", Some(*span), what, "remove the MAC", "uses the virtual MAC");
                given = None;
            }
            if self.reader.world.facts.interfaces.get(base).is_some_and(|facts| !facts.ethernet) {
                let what = format!("a VMAC needs an Ethernet interface, and `{base}` is none");
                self.warn("no-ethernet", Some(vmac.span), &what, "remove `use_vmac`", "stays in FAULT");
                config_fault.get_or_insert(what);
            }
            links.notify_base = vmac.notify;
            (vmac_kind(given.map(|(octets, _)| octets.as_slice()), family, vrid), vmac.name, vmac.group)
        } else if let Some(ipvlan) = &draft.use_ipvlan {
            let address = ipvlan.address.filter(|(address, _)| Family::of(*address) == family);
            if address.is_none() && family == Family::V4 {
                config_fault.get_or_insert_with(|| "an IPv4 ipvlan has no address".to_owned());
            }
            let kind = VirtualLinkKind::Ipvlan { mode: ipvlan.mode.unwrap_or_default(), address };
            (kind, ipvlan.name, ipvlan.group)
        } else {
            links.xmit_base = false;
            return links;
        };
        let has = |family| {
            let excluded = draft.excluded.iter().chain(&draft.vips);
            excluded.into_iter().any(|address| Family::of(address.address) == family)
        };
        let prefix = self.reader.drafts.global.values.vmac_prefix.clone();
        let prefix = prefix.unwrap_or_else(|| "vrrp".to_owned());
        let name = self.link_name(&kind, base, name, (&prefix, family, vrid));
        links.own = Some(VirtualLink {
            name,
            base: base.to_owned(),
            kind,
            family,
            ipv4: family == Family::V4 || has(Family::V4),
            ipv6: family == Family::V6 || has(Family::V6),
            group,
        });
        links
    }

    /// Row 20.
    fn vrf(&mut self) -> Option<String> {
        let vrf = self.draft.vrf?;
        let why = if self.draft.interface.is_some() {
            "`vrf` and `interface` exclude each other"
        } else if self.draft.peers.is_empty() {
            "`vrf` is for unicast"
        } else {
            return Some(vrf.as_str().to_owned());
        };
        self.warn("contradiction", Some(vrf.span()), why, "remove `vrf`", "ignores it");
        None
    }

    /// The interface of an address; makes a VMAC for it if the configuration asks for one.
    pub(super) fn place(
        &mut self,
        address: &AddressDraft<'_>,
        (family, vrid): (Family, Vrid),
        links: &mut InstanceLinks,
    ) -> Option<String> {
        let base = address.dev.or(self.draft.interface)?.as_str();
        let own_family = Family::of(address.address);
        // Stock: an ipvlan is for adverts alone, the addresses stay below.
        let is_taken = |own: &&VirtualLink| {
            own.base == base && own_family == family && matches!(own.kind, VirtualLinkKind::Vmac { .. })
        };
        if let Some(own) = links.own.as_ref().filter(is_taken) {
            return Some(own.name.clone());
        }
        if !address.use_vmac && !links.use_vmac_addr {
            return Some(base.to_owned());
        }
        let same = |link: &&VirtualLink| link.base == base && link.family == own_family;
        if let Some(link) = links.of_addresses.iter().find(same) {
            return Some(link.name.clone());
        }
        // On the interface of the own VMAC its hardware address is taken.
        let given = self.draft.use_vmac.as_ref().and_then(|vmac| vmac.mac.as_ref());
        let given = given.filter(|_| links.own.as_ref().is_none_or(|own| own.base != base));
        let kind = vmac_kind(given.map(|(octets, _)| octets.as_slice()), own_family, vrid);
        let global = &self.reader.drafts.global.values;
        let prefix = global.vmac_addr_prefix.as_ref().or(global.vmac_prefix.as_ref());
        let prefix = prefix.cloned().unwrap_or_else(|| "vrrp".to_owned());
        let name = self.link_name(&kind, base, None, (&prefix, own_family, vrid));
        links.of_addresses.push(VirtualLink {
            name: name.clone(),
            base: base.to_owned(),
            kind,
            family: own_family,
            ipv4: own_family == Family::V4,
            ipv6: own_family == Family::V6,
            group: None,
        });
        Some(name)
    }

    /// Row 31: the name of a link that is there already and fits; the one that is asked for; one that is free.
    fn link_name(
        &mut self,
        kind: &VirtualLinkKind,
        base: &str,
        wanted: Option<&Word>,
        (prefix, family, vrid): (&str, Family, Vrid),
    ) -> String {
        let interfaces = &self.reader.world.facts.interfaces;
        if let (VirtualLinkKind::Vmac { mac, .. }, Some(below)) = (kind, interfaces.get(base)) {
            let fits = interfaces.iter().find(|(name, facts)| {
                facts.private_macvlan_on == Some(below.index)
                    && facts.mac == mac
                    && !self.names.0.contains(*name)
            });
            if let Some(name) = fits.map(|(name, _)| name.clone()) {
                self.names.0.insert(name.clone());
                return name;
            }
        }
        if let Some(word) = wanted {
            let existing = self.reader.world.facts.interfaces.get(word.as_str());
            if self.names.0.contains(word.as_str()) {
                let what = format!("the name `{}` is that of another VMAC", quoted(word));
                self.warn("name-taken", Some(word.span()), &what, "choose another", "makes up a name");
            } else if existing.is_some_and(|facts| !facts.stacked) {
                let what = format!("there is an interface `{}` that is no VMAC", quoted(word));
                self.warn("name-taken", Some(word.span()), &what, "choose another", "makes up a name");
            } else {
                self.names.0.insert(word.as_str().to_owned());
                return word.as_str().to_owned();
            }
        }
        let number = |number: &str| {
            let tail = format!("{number}.{vrid}");
            let room = NAME - tail.len();
            let end = (0..=room.min(prefix.len())).rev().find(|at| prefix.is_char_boundary(*at)).unwrap_or(0);
            format!("{}{tail}", &prefix[..end])
        };
        let mut names = std::iter::once(number(""))
            .chain((family == Family::V6).then(|| number("6")))
            .chain((1..=9999).map(|n: u32| number(&n.to_string())));
        let interfaces = &self.reader.world.facts.interfaces;
        let is_free = |name: &String| !interfaces.contains_key(name) && !self.names.0.contains(name);
        let name = names.find(is_free).unwrap_or_else(|| number(""));
        self.names.0.insert(name.clone());
        name
    }
}

fn vmac_kind(given: Option<&[u8]>, family: Family, vrid: Vrid) -> VirtualLinkKind {
    let family = match family {
        Family::V4 => 1,
        Family::V6 => 2,
    };
    let (octets, origin) = match given {
        Some(octets) if octets.len() == 6 => (octets, MacOrigin::Given),
        Some(octets) => (octets, MacOrigin::GivenAndVrid),
        None => (&[0, 0, 0x5e, 0, family][..], MacOrigin::Rfc),
    };
    let mut mac = [vrid.get(); 6];
    for (slot, octet) in mac.iter_mut().zip(octets) {
        *slot = *octet;
    }
    VirtualLinkKind::Vmac { mac, origin }
}

/// The address that an ipvlan sends from.
pub(super) fn ipvlan_source(links: &InstanceLinks) -> Option<IpAddr> {
    match links.own.as_ref()?.kind {
        VirtualLinkKind::Ipvlan { address, .. } => address.map(|(address, _)| address),
        VirtualLinkKind::Vmac { .. } => None,
    }
}
