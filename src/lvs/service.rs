//! From the identity of a virtual server to the services the kernel knows: groups and ranges expanded, settings made.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::config::model::{Family, Granularity, GroupEntry, Service, VirtualServer, VirtualServerGroup};
use crate::lvs::label;
use crate::lvs::marks::{Marks, families, marked_group};
use crate::lvs::table::{Netmask, PERSISTENT, ServiceKey, ServiceSettings};

/// More services than one virtual server may expand to. The kernel would take hours to hold them (20 µs each on a
/// fast machine, and every change of a real server is repeated for each).
pub const MAX_SERVICES: u64 = 1 << 20;

/// Why a virtual server has no services.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExpandError {
    /// The group does not exist.
    #[error("virtual_server_group {name} does not exist")]
    NoGroup {
        /// Its name.
        name: String,
    },
    /// A group that covers more addresses than can be programmed.
    #[error(
        "virtual_server_group {name} covers more than {MAX_SERVICES} addresses; use a fwmark service instead"
    )]
    TooMany {
        /// Its name.
        name: String,
    },
}

/// Every kernel service of a virtual server, in the order of the group's entries, none twice.
///
/// A group that nftables gives a mark (`marks`) is one service for each of its families.
pub fn services(
    vs: &VirtualServer,
    groups: &[VirtualServerGroup],
    marks: &Marks,
) -> Result<Vec<(ServiceKey, ServiceSettings)>, ExpandError> {
    let protocol = vs.protocol.map_or(0, crate::config::model::Protocol::number);
    let fwmark = |mark: u32, family: Option<Family>| ServiceKey::Fwmark {
        family: family.or(vs.family).unwrap_or(Family::V4),
        mark,
    };
    let keys = match &vs.service {
        Service::Address { address, port } => {
            vec![ServiceKey::Address { protocol, address: *address, port: *port }]
        }
        Service::Fwmark(mark) => vec![fwmark(*mark, None)],
        Service::Group { name, .. } => {
            let group = groups
                .iter()
                .find(|group| group.name == *name)
                .ok_or_else(|| ExpandError::NoGroup { name: name.clone() })?;
            if let Some(mark) = marks.get(&(name.clone(), protocol))
                && let Some(group) = marked_group(vs, groups)
            {
                let keys = families(group).into_iter().map(|family| fwmark(*mark, Some(family)));
                return Ok(keys.map(|key| (key, settings(vs, key.family()))).collect());
            }
            let total = group.entries.iter().map(size).fold(0u64, u64::saturating_add);
            if total > MAX_SERVICES {
                return Err(ExpandError::TooMany { name: name.clone() });
            }
            let mut keys = Vec::new();
            let mut seen = std::collections::HashSet::new();
            for entry in &group.entries {
                let mut push = |key: ServiceKey| {
                    if seen.insert(key) {
                        keys.push(key);
                    }
                };
                match entry {
                    GroupEntry::Range { first, last, port } => {
                        for address in addresses(*first, *last) {
                            push(ServiceKey::Address { protocol, address, port: *port });
                        }
                    }
                    GroupEntry::Fwmark { mark, family } => push(fwmark(*mark, *family)),
                }
            }
            keys
        }
    };
    Ok(keys.into_iter().map(|key| (key, settings(vs, key.family()))).collect())
}

/// The settings of a virtual server's services of one family.
pub fn settings(vs: &VirtualServer, family: Family) -> ServiceSettings {
    let mut flags = vs.flags & !PERSISTENT;
    let mut timeout = 0;
    let mut netmask = Netmask::full(family);
    let mut engine = None;
    if let Some(persistence) = &vs.persistence {
        flags |= PERSISTENT;
        timeout = persistence.timeout;
        engine.clone_from(&persistence.engine);
        match (persistence.granularity, family) {
            (Some(Granularity::V4(mask)), Family::V4) => netmask = Netmask::V4(mask.octets()),
            (Some(Granularity::V6(length)), Family::V6) => netmask = Netmask::V6(u32::from(length)),
            // A group may hold both families; the other one keeps the whole address.
            _ => {}
        }
    }
    let scheduler = Cow::Borrowed(vs.scheduler.name());
    ServiceSettings { scheduler, engine, flags, timeout, netmask }
}

/// What a reload did to the group of a virtual server, in stock's words: one line per entry that is gone or new.
pub fn group_changes(
    vs: &VirtualServer,
    old: &[VirtualServerGroup],
    new: &[VirtualServerGroup],
) -> Vec<String> {
    let Service::Group { name, .. } = &vs.service else { return Vec::new() };
    let entries = |groups: &[VirtualServerGroup]| {
        groups.iter().find(|group| group.name == *name).map_or(Vec::new(), |group| group.entries.clone())
    };
    let (old, new) = (entries(old), entries(new));
    let gone = old
        .iter()
        .filter(|entry| !new.contains(entry))
        .map(|entry| format!("VS [{}] in group {name} no longer exists", entry_label(vs, entry)));
    let added = new
        .iter()
        .filter(|entry| !old.contains(entry))
        .map(|entry| format!("VS [{}] added into group {name}", entry_label(vs, entry)));
    gone.chain(added).collect()
}

fn entry_label(vs: &VirtualServer, entry: &GroupEntry) -> String {
    match entry {
        GroupEntry::Fwmark { mark, .. } => format!("FWM {mark}"),
        GroupEntry::Range { first, last, port } => {
            let start = label::real_server(vs.protocol, *first, *port);
            if first == last { start } else { format!("{start}-{last}") }
        }
    }
}

/// How many services an entry expands to.
fn size(entry: &GroupEntry) -> u64 {
    match entry {
        GroupEntry::Fwmark { .. } => 1,
        GroupEntry::Range { first: IpAddr::V4(first), last: IpAddr::V4(last), .. } => {
            (u64::from(u32::from(*last))).saturating_sub(u64::from(u32::from(*first))) + 1
        }
        GroupEntry::Range { first: IpAddr::V6(first), last: IpAddr::V6(last), .. } => {
            let last = bounded(*first, *last);
            u64::try_from(u128::from(last).saturating_sub(u128::from(*first)))
                .unwrap_or(u64::MAX)
                .saturating_add(1)
        }
        GroupEntry::Range { .. } => 0,
    }
}

/// The addresses from `first` to `last`, both included; none when the families differ.
fn addresses(first: IpAddr, last: IpAddr) -> Box<dyn Iterator<Item = IpAddr>> {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            Box::new((u32::from(first)..=u32::from(last)).map(|a| Ipv4Addr::from(a).into()))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let last = bounded(first, last);
            Box::new((u128::from(first)..=u128::from(last)).map(|a| Ipv6Addr::from(a).into()))
        }
        _ => Box::new(std::iter::empty()),
    }
}

/// Stock: only the last 16 bits of an IPv6 range are counted, so a `/64` becomes its first 65536 addresses.
/// A range that is short enough to be programmed is taken as it stands.
fn bounded(first: Ipv6Addr, last: Ipv6Addr) -> Ipv6Addr {
    let (low, high) = (u128::from(first), u128::from(last));
    if high.saturating_sub(low) <= 0xffff {
        return last;
    }
    Ipv6Addr::from((low & !0xffff) | (high & 0xffff).max(low & 0xffff))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvs::virtual_server::tests::virtual_server;

    fn group(entries: Vec<GroupEntry>) -> (VirtualServer, Vec<VirtualServerGroup>) {
        let mut vs = virtual_server(1);
        vs.service = Service::Group { name: "G".to_owned(), index: 0 };
        (vs, vec![VirtualServerGroup { name: "G".to_owned(), entries }])
    }

    fn range(first: &str, last: &str, port: u16) -> GroupEntry {
        GroupEntry::Range { first: first.parse().unwrap(), last: last.parse().unwrap(), port }
    }

    #[test]
    fn a_group_becomes_one_service_per_address_and_mark_and_none_twice() {
        let (vs, groups) = group(vec![
            range("10.0.0.254", "10.0.1.1", 80),
            range("10.0.1.1", "10.0.1.1", 80),
            range("10.0.1.1", "10.0.1.1", 81),
            GroupEntry::Fwmark { mark: 3, family: None },
            GroupEntry::Fwmark { mark: 3, family: Some(Family::V6) },
        ]);
        let names: Vec<String> =
            services(&vs, &groups, &Marks::new()).unwrap().iter().map(|(key, _)| key.to_string()).collect();
        assert_eq!(
            names,
            [
                "10.0.0.254:tcp:80",
                "10.0.0.255:tcp:80",
                "10.0.1.0:tcp:80",
                "10.0.1.1:tcp:80",
                "10.0.1.1:tcp:81",
                "Fwm 3",
                "Fwm 3"
            ]
        );
    }

    #[test]
    fn a_wide_ipv6_range_counts_only_its_last_sixteen_bits_and_a_wide_ipv4_one_is_refused() {
        let (vs, groups) = group(vec![range("fd00::", "fd00::ffff:ffff:ffff:ffff", 80)]);
        assert_eq!(services(&vs, &groups, &Marks::new()).unwrap().len(), 65536);
        let (vs, groups) = group(vec![range("fd00::1:fffe", "fd00::2:1", 80)]);
        assert_eq!(services(&vs, &groups, &Marks::new()).unwrap().len(), 4);
        let (vs, groups) = group(vec![range("10.0.0.0", "10.255.255.255", 80)]);
        assert_eq!(services(&vs, &groups, &Marks::new()), Err(ExpandError::TooMany { name: "G".to_owned() }));
    }

    #[test]
    fn a_group_that_does_not_exist_is_an_error_with_its_name() {
        let (vs, _) = group(Vec::new());
        assert_eq!(
            services(&vs, &[], &Marks::new()).unwrap_err().to_string(),
            "virtual_server_group G does not exist"
        );
    }

    #[test]
    fn changed_entries_of_a_group_are_told_in_stocks_words() {
        let (vs, old) = group(vec![range("10.9.0.1", "10.9.0.1", 90), range("10.9.0.2", "10.9.0.3", 90)]);
        let (_, new) = group(vec![range("10.9.0.1", "10.9.0.1", 90), range("10.9.0.2", "10.9.0.2", 90)]);
        assert_eq!(
            group_changes(&vs, &old, &new),
            [
                "VS [[10.9.0.2]:tcp:90-10.9.0.3] in group G no longer exists",
                "VS [[10.9.0.2]:tcp:90] added into group G"
            ]
        );
        assert_eq!(group_changes(&vs, &new, &new), [""; 0]);
    }

    #[test]
    fn granularity_of_the_other_family_leaves_the_whole_address() {
        let mut vs = virtual_server(1);
        vs.persistence = Some(crate::config::model::Persistence {
            timeout: 50,
            granularity: Some(Granularity::V6(64)),
            engine: None,
        });
        assert_eq!(settings(&vs, Family::V4).netmask, Netmask::V4([255; 4]));
        assert_eq!(settings(&vs, Family::V6).netmask, Netmask::V6(64));
        assert_eq!(settings(&vs, Family::V4).flags, PERSISTENT);
    }
}
