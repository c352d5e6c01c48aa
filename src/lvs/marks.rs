//! `nftables_ipvs`: a virtual server group becomes one firewall mark, and nftables gives its packets that mark.
//!
//! Pure: which marks there are, and what the table must hold. How it is written is `kernel::nftables_ipvs`'. Marks stay
//! what they were as long as the virtual server is there, so a reload moves no connection. spec/ipvs-behaviour.md §4.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::model::{
    Family, GroupEntry, NftablesIpvs, Protocol, Service, VirtualServer, VirtualServerGroup,
};

/// Marks by group and protocol number.
pub type Marks = BTreeMap<(String, u8), u32>;

/// What the nftables table must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkTable {
    /// Its name, the same in both families.
    pub table: String,
    /// Priority of its chains.
    pub priority: i32,
    /// Count the packets of each element, too.
    pub counters: bool,
    /// What is marked.
    pub entries: BTreeSet<MarkEntry>,
}

/// Packets to these addresses and ports get this mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarkEntry {
    /// Number of the protocol, first: there is a map for each.
    pub protocol: u8,
    /// First address.
    pub first: IpAddr,
    /// Last address, of the same family.
    pub last: IpAddr,
    /// Port; 0 is every port. Stock writes port 0 into the map, which no packet has.
    pub port: u16,
    /// The mark.
    pub mark: u32,
}

/// Gives every group without marks of its own a mark for each protocol that is used with it: those it had `before`, else
/// the next free one in file order.
pub fn assign(
    settings: &NftablesIpvs,
    virtual_servers: &[impl Borrow<VirtualServer>],
    groups: &[VirtualServerGroup],
    before: &Marks,
) -> Marks {
    let mut taken: BTreeSet<u32> = taken(virtual_servers, groups);
    let mut marks = Marks::new();
    let users: Vec<(String, u8)> = virtual_servers
        .iter()
        .map(Borrow::borrow)
        .filter_map(|vs| {
            Some((marked_group(vs, groups)?.name.clone(), vs.protocol.map_or(0, Protocol::number)))
        })
        .collect();
    for user in &users {
        let kept = before.get(user).filter(|mark| **mark >= settings.start_fwmark && !taken.contains(mark));
        if let Some(mark) = kept {
            marks.insert(user.clone(), *mark);
        }
    }
    taken.extend(marks.values());
    let mut next = settings.start_fwmark;
    for user in users {
        if marks.contains_key(&user) {
            continue;
        }
        while !taken.insert(next) {
            // More than there are numbers cannot be configured.
            next = next.checked_add(1).unwrap_or(1);
        }
        marks.insert(user, next);
    }
    marks
}

/// Marks that the configuration itself uses.
fn taken(virtual_servers: &[impl Borrow<VirtualServer>], groups: &[VirtualServerGroup]) -> BTreeSet<u32> {
    let own = virtual_servers.iter().filter_map(|vs| match vs.borrow().service {
        Service::Fwmark(mark) => Some(mark),
        _ => None,
    });
    let of_groups = groups.iter().flat_map(|group| &group.entries).filter_map(|entry| match entry {
        GroupEntry::Fwmark { mark, .. } => Some(*mark),
        GroupEntry::Range { .. } => None,
    });
    own.chain(of_groups).collect()
}

/// The group of a virtual server that nftables marks: one without firewall marks of its own.
pub fn marked_group<'a>(
    vs: &VirtualServer,
    groups: &'a [VirtualServerGroup],
) -> Option<&'a VirtualServerGroup> {
    let Service::Group { name, .. } = &vs.service else { return None };
    let group = groups.iter().find(|group| group.name == *name)?;
    group.entries.iter().all(|entry| matches!(entry, GroupEntry::Range { .. })).then_some(group)
}

/// The families of a group's addresses, IPv4 first.
pub fn families(group: &VirtualServerGroup) -> Vec<Family> {
    let has = |wanted: Family| {
        group.entries.iter().any(|entry| match entry {
            GroupEntry::Range { first, .. } => Family::of(*first) == wanted,
            GroupEntry::Fwmark { .. } => false,
        })
    };
    [Family::V4, Family::V6].into_iter().filter(|family| has(*family)).collect()
}

/// What nftables has to hold for these marks. An address and port that two groups name is the first one's.
pub fn table(
    settings: &NftablesIpvs,
    counters: bool,
    marks: &Marks,
    groups: &[VirtualServerGroup],
) -> MarkTable {
    let mut entries = BTreeSet::new();
    let mut order: Vec<_> = marks.iter().collect();
    order.sort_by_key(|(_, mark)| **mark);
    let mut seen: Vec<MarkEntry> = Vec::new();
    for ((name, protocol), mark) in order {
        let Some(group) = groups.iter().find(|group| group.name == *name) else { continue };
        for entry in &group.entries {
            let GroupEntry::Range { first, last, port } = *entry else { continue };
            let entry = MarkEntry { protocol: *protocol, first, last, port, mark: *mark };
            // The kernel refuses elements that overlap, and with them the whole table.
            if !seen.iter().any(|other| overlap(other, &entry)) {
                seen.push(entry);
                entries.insert(entry);
            }
        }
    }
    MarkTable { table: settings.table.clone(), priority: settings.priority, counters, entries }
}

fn overlap(one: &MarkEntry, other: &MarkEntry) -> bool {
    one.protocol == other.protocol
        && (one.port == other.port || one.port == 0 || other.port == 0)
        && Family::of(one.first) == Family::of(other.first)
        && one.first <= other.last
        && other.first <= one.last
}

/// Serialisable, for a successor: maps with tuples as keys are not for every format.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SavedMarks(Vec<(String, u8, u32)>);

impl From<&Marks> for SavedMarks {
    fn from(marks: &Marks) -> Self {
        Self(marks.iter().map(|((group, protocol), mark)| (group.clone(), *protocol, *mark)).collect())
    }
}

impl From<SavedMarks> for Marks {
    fn from(saved: SavedMarks) -> Self {
        saved.0.into_iter().map(|(group, protocol, mark)| ((group, protocol), mark)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvs::virtual_server::tests::virtual_server;

    fn settings() -> NftablesIpvs {
        NftablesIpvs { table: "keepalived_ipvs".to_owned(), priority: -1, start_fwmark: 1000 }
    }

    fn range(first: &str, last: &str, port: u16) -> GroupEntry {
        GroupEntry::Range { first: first.parse().unwrap(), last: last.parse().unwrap(), port }
    }

    fn group(name: &str, entries: Vec<GroupEntry>) -> VirtualServerGroup {
        VirtualServerGroup { name: name.to_owned(), entries }
    }

    fn user(name: &str, index: u32, protocol: Protocol) -> VirtualServer {
        let service = Service::Group { name: name.to_owned(), index };
        VirtualServer { service, protocol: Some(protocol), ..virtual_server(1) }
    }

    fn key(name: &str, protocol: u8) -> (String, u8) {
        (name.to_owned(), protocol)
    }

    #[test]
    fn each_group_has_a_mark_for_each_protocol_and_keeps_it() {
        let groups = [
            group("G", vec![range("10.9.0.1", "10.9.0.9", 80)]),
            group("H", vec![range("fd00::1", "fd00::1", 53), range("10.9.0.1", "10.9.0.1", 53)]),
            group(
                "M",
                vec![range("10.9.8.1", "10.9.8.1", 80), GroupEntry::Fwmark { mark: 1001, family: None }],
            ),
        ];
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        let all = [user("G", 0, tcp), user("G", 1, udp), user("H", 0, udp), user("M", 0, tcp)];
        let marks = assign(&settings(), &all, &groups, &Marks::new());
        // 1001 is used by the configuration itself; M has a mark of its own.
        let wanted = Marks::from([(key("G", 6), 1000), (key("G", 17), 1002), (key("H", 17), 1003)]);
        assert_eq!(marks, wanted);
        let later = assign(&settings(), &[user("N", 0, tcp), all[2].clone()], &groups, &marks);
        assert_eq!(later, Marks::from([(key("H", 17), 1003)]), "N does not exist");
        assert_eq!(families(&groups[1]), [Family::V4, Family::V6]);
        assert!(marked_group(&all[3], &groups).is_none());
        assert_eq!(Marks::from(SavedMarks::from(&marks)), marks);
    }

    #[test]
    fn what_two_groups_name_is_the_first_ones() {
        let groups = [
            group("G", vec![range("10.9.0.1", "10.9.0.9", 80), range("10.9.1.1", "10.9.1.1", 0)]),
            group("H", vec![range("10.9.0.9", "10.9.0.20", 80), range("10.9.1.1", "10.9.1.1", 443)]),
        ];
        let all = [user("G", 0, Protocol::Tcp), user("H", 0, Protocol::Tcp), user("H", 1, Protocol::Udp)];
        let marks = assign(&settings(), &all, &groups, &Marks::new());
        let table = table(&settings(), true, &marks, &groups);
        let found: Vec<_> = table.entries.iter().map(|it| (it.protocol, it.port, it.mark)).collect();
        assert_eq!(found, [(6, 80, 1000), (6, 0, 1000), (17, 80, 1002), (17, 443, 1002)]);
    }
}
