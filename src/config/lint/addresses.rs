//! Addresses: one VIP of two instances, peers that are this node, virtual servers that nobody's packets reach.

use std::collections::HashMap;
use std::net::IpAddr;

use super::election::network;
use super::{instance_name, report};
use crate::config::blocks::Drafts;
use crate::config::blocks::virtual_server::ServiceDraft;
use crate::config::diagnostic::Diagnostic;
use crate::config::model::{GroupEntry, HostFacts};
use crate::config::source::Span;
use crate::config::syntax::Word;
use crate::config::value::is_link_local;

pub(super) fn vips_in_two_instances(drafts: &Drafts<'_>, found: &mut Vec<Diagnostic>) {
    let mut owners: HashMap<(IpAddr, Option<&str>), (usize, Span)> = HashMap::new();
    for (index, draft) in drafts.instances.iter().enumerate() {
        for vip in draft.vips.iter().chain(&draft.excluded) {
            // The same link-local address on two interfaces is two addresses.
            let interface = vip.dev.or(draft.interface).map(Word::as_str);
            let key = (
                vip.address,
                interface.filter(|_| matches!(vip.address, IpAddr::V6(v6) if is_link_local(v6))),
            );
            let &mut (owner, first) = owners.entry(key).or_insert((index, vip.span));
            if owner == index {
                continue;
            }
            let other = drafts.instances.get(owner).map(instance_name).unwrap_or_default();
            found.push(
                report(
                    "vip-in-two-instances",
                    vip.span,
                    format!("`{}` and `{other}` both have the address {}", instance_name(draft), vip.address),
                )
                .related(first, "the other one")
                .help("remove it from one of them")
                .stock("adds it twice, and removes it when the first of the two stops being master"),
            );
        }
    }
}

pub(super) fn own_peers(drafts: &Drafts<'_>, facts: &HostFacts, found: &mut Vec<Diagnostic>) {
    for draft in &drafts.instances {
        let source = draft.source.map(|(address, _)| address);
        for (peer, span) in draft.peers.iter().zip(&draft.peer_places) {
            let what = if source == Some(peer.address) {
                "is the own source address".to_owned()
            } else if let Some(interface) = home(facts, peer.address) {
                format!("is this node's own, on {interface}")
            } else {
                continue;
            };
            found.push(
                report("own-unicast-peer", *span, format!("the unicast peer {} {what}", peer.address))
                    .help("list the other nodes only")
                    .stock("sends its adverts to itself, too"),
            );
        }
    }
}

/// The interface that has the address.
fn home(facts: &HostFacts, address: IpAddr) -> Option<&str> {
    let has = |addresses: &[(IpAddr, u8)]| addresses.iter().any(|(own, _)| *own == address);
    facts.interfaces.iter().find(|(_, interface)| has(&interface.addresses)).map(|(name, _)| name.as_str())
}

pub(super) fn virtual_servers_elsewhere(drafts: &Drafts<'_>, facts: &HostFacts, found: &mut Vec<Diagnostic>) {
    let vips = drafts.instances.iter().flat_map(|draft| draft.vips.iter().chain(&draft.excluded));
    let ours: Vec<IpAddr> = vips
        .map(|vip| vip.address)
        .chain(drafts.static_addresses.iter().map(|draft| draft.address))
        .collect();
    // A file without any address of its own tells nothing when it is checked on another host than its own.
    if ours.is_empty() && !is_host_of(drafts, facts) {
        return;
    }
    let elsewhere = |address: IpAddr| {
        !address.is_loopback() && !ours.contains(&address) && home(facts, address).is_none()
    };
    let mut groups: Vec<&str> = Vec::new();
    for draft in &drafts.virtual_servers {
        match (draft.service, draft.head) {
            (ServiceDraft::Address(address, _), Some(head)) if elsewhere(address) => {
                found.push(not_local(head, address));
            }
            (ServiceDraft::Group(name), _) if !groups.contains(&name.as_str()) => {
                groups.push(name.as_str());
                let named = |group: &Word| group.as_str() == name.as_str();
                let Some(group) = drafts.groups.iter().find(|group| group.name.is_some_and(named)) else {
                    continue;
                };
                // Of ranges nobody expects every address to be set.
                let first = group.entries.iter().find_map(|entry| match entry {
                    GroupEntry::Range { first, last, .. } if first == last && elsewhere(*first) => {
                        Some(*first)
                    }
                    _ => None,
                });
                found.extend(group.name.zip(first).map(|(name, address)| not_local(name.span(), address)));
            }
            _ => {}
        }
    }
}

/// Is the host in one network with a virtual or a real server?
fn is_host_of(drafts: &Drafts<'_>, facts: &HostFacts) -> bool {
    let mut own = facts.interfaces.values().flat_map(|interface| &interface.addresses);
    own.any(|&(own, prefix)| {
        let near = |address: IpAddr| {
            own.is_ipv4() == address.is_ipv4()
                && network(own, prefix).is_some_and(|it| network(address, prefix) == Some(it))
        };
        let mut grouped = drafts.groups.iter().flat_map(|group| &group.entries);
        let in_group = |entry: &GroupEntry| matches!(entry, GroupEntry::Range { first, .. } if near(*first));
        grouped.any(in_group)
            || drafts.virtual_servers.iter().any(|draft| {
                matches!(draft.service, ServiceDraft::Address(address, _) if near(address))
                    || draft.real_servers.iter().any(|server| near(server.address))
            })
    })
}

fn not_local(span: Span, address: IpAddr) -> Diagnostic {
    report(
        "virtual-server-not-local",
        span,
        format!("{address} is no virtual address of this file and on no interface"),
    )
    .help("check the address, or add it to a `virtual_ipaddress`")
    .stock("programs it; packets must find their way here by other means")
}
