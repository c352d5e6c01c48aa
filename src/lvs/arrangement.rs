//! Which virtual server owns which kernel service, for a whole configuration.
//!
//! Every service has one owner, so that no two virtual servers undo each other's work. Stock does not look: two blocks
//! with one identity share a kernel service at start and delete each other's real servers at every reload
//! (spec/ipvs-behaviour.md trap 19). Here they are merged, and the log says so.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::model::{NftablesIpvs, VirtualServer, VirtualServerGroup};
use crate::lvs::label;
use crate::lvs::marks::{MarkTable, Marks, assign, table};
use crate::lvs::matching::Identity;
use crate::lvs::service::{ExpandError, MAX_SERVICES, services};
use crate::lvs::table::{ServiceKey, ServiceSettings};

/// One virtual server and the services that are its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arranged {
    /// Its configuration.
    pub config: Arc<VirtualServer>,
    /// Its services, none of which any other virtual server has.
    pub services: Arc<[(ServiceKey, ServiceSettings)]>,
}

/// What of `global_defs` decides about services.
#[derive(Debug, Clone, Copy, Default)]
pub struct Marking<'a> {
    /// `nftables_ipvs`.
    pub settings: Option<&'a NftablesIpvs>,
    /// `nftables_counters`.
    pub counters: bool,
    /// The marks that are in use.
    pub before: Option<&'a Marks>,
}

/// A configuration, ready to be carried out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arrangement {
    /// In file order.
    pub virtual_servers: Vec<Arranged>,
    /// The marks of groups, with `nftables_ipvs`.
    pub marks: Marks,
    /// What nftables must hold for them.
    pub mark_table: Option<MarkTable>,
    /// Lines for the log: what was merged or left out, and why.
    pub remarks: Vec<String>,
}

/// Arranges a configuration; an error is a list of reasons why it cannot be carried out at all.
pub fn arrange(
    virtual_servers: Vec<VirtualServer>,
    groups: &[VirtualServerGroup],
    marking: Marking<'_>,
) -> Result<Arrangement, Vec<String>> {
    let mut remarks = Vec::new();
    let mut merged: Vec<VirtualServer> = Vec::new();
    let mut places: HashMap<Identity, usize> = HashMap::new();
    for vs in virtual_servers {
        match places.get(&Identity::of(&vs)) {
            None => {
                places.insert(Identity::of(&vs), merged.len());
                merged.push(vs);
            }
            Some(&place) => {
                remarks.push(format!(
                    "Virtual server {} is configured twice: the real servers of the second block join those of the first, \
                     its other settings are not used",
                    label::virtual_server(&vs)
                ));
                let first = &mut merged[place];
                for rs in vs.real_servers {
                    let known = |other: &crate::config::model::RealServer| {
                        (other.address, other.port) == (rs.address, rs.port)
                    };
                    if !first.real_servers.iter().any(known) {
                        first.real_servers.push(rs);
                    }
                }
            }
        }
    }

    let none = Marks::new();
    let before = marking.before.unwrap_or(&none);
    let marks =
        marking.settings.map(|settings| assign(settings, &merged, groups, before)).unwrap_or_default();
    let mark_table = (marking.settings.filter(|_| !marks.is_empty()))
        .map(|settings| table(settings, marking.counters, &marks, groups));

    let mut reasons = Vec::new();
    let mut owners: HashMap<ServiceKey, String> = HashMap::new();
    let mut arranged = Vec::new();
    for vs in merged {
        let label = label::virtual_server(&vs);
        let all = match services(&vs, groups, &marks) {
            Ok(all) => all,
            Err(error @ ExpandError::NoGroup { .. }) => {
                // Stock: an informational line, and the virtual server is dropped.
                remarks.push(format!("Virtual server {label}: {error} - ignoring"));
                continue;
            }
            Err(error @ ExpandError::TooMany { .. }) => {
                reasons.push(format!("virtual server {label}: {error}"));
                continue;
            }
        };
        let mut own = Vec::with_capacity(all.len());
        for (key, settings) in all {
            if let Some(owner) = owners.get(&key) {
                remarks.push(format!(
                    "Service {key} belongs to virtual server {owner}; virtual server {label} does without it"
                ));
            } else {
                owners.insert(key, label.clone());
                own.push((key, settings));
            }
        }
        arranged.push(Arranged { config: Arc::new(vs), services: own.into() });
    }
    if u64::try_from(owners.len()).unwrap_or(u64::MAX) > MAX_SERVICES {
        reasons.push(format!("all virtual servers together have more than {MAX_SERVICES} services"));
    }
    if reasons.is_empty() {
        Ok(Arrangement { virtual_servers: arranged, marks, mark_table, remarks })
    } else {
        Err(reasons)
    }
}

/// What a reload would do, one line per virtual server that changes.
pub fn plan(old: &[Arranged], new: &[Arranged]) -> Vec<String> {
    let index = |list: &[Arranged]| -> HashMap<Identity, usize> {
        list.iter().enumerate().map(|(i, it)| (Identity::of(&it.config), i)).collect()
    };
    let (before, after) = (index(old), index(new));
    let mut lines = Vec::new();
    for arranged in old {
        if !after.contains_key(&Identity::of(&arranged.config)) {
            lines.push(format!("virtual server {} removed", label::virtual_server(&arranged.config)));
        }
    }
    for arranged in new {
        let label = label::virtual_server(&arranged.config);
        match before.get(&Identity::of(&arranged.config)) {
            None => lines.push(format!("virtual server {label} added")),
            Some(&place) if old[place] != *arranged => {
                lines.push(format!("virtual server {label} changed"));
            }
            Some(_) => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{GroupEntry, Service};
    use crate::lvs::virtual_server::tests::virtual_server;

    #[test]
    fn two_blocks_of_one_identity_become_one_virtual_server() {
        let (first, mut second) = (virtual_server(2), virtual_server(3));
        second.quorum = 9;
        let arrangement = arrange(vec![first, second], &[], Marking::default()).unwrap();
        let [only] = &arrangement.virtual_servers[..] else { panic!("{arrangement:?}") };
        assert_eq!((only.config.real_servers.len(), only.config.quorum), (3, 1));
        assert!(arrangement.remarks[0].contains("[10.9.0.1]:tcp:80 is configured twice"));
    }

    #[test]
    fn a_service_that_two_virtual_servers_name_belongs_to_the_first() {
        let mut grouped = virtual_server(1);
        grouped.service = Service::Group { name: "G".to_owned(), index: 0 };
        let entry = |last: &str| GroupEntry::Range {
            first: "10.9.0.1".parse().unwrap(),
            last: last.parse().unwrap(),
            port: 80,
        };
        let groups = [VirtualServerGroup { name: "G".to_owned(), entries: vec![entry("10.9.0.2")] }];
        let arrangement =
            arrange(vec![virtual_server(1), grouped.clone()], &groups, Marking::default()).unwrap();
        assert_eq!(arrangement.virtual_servers[1].services.len(), 1);
        assert_eq!(
            arrangement.remarks,
            [
                "Service 10.9.0.1:tcp:80 belongs to virtual server [10.9.0.1]:tcp:80; virtual server [G]:0 does without it"
            ]
        );
        let arrangement = arrange(vec![grouped.clone()], &[], Marking::default()).unwrap();
        assert!(arrangement.virtual_servers.is_empty());
        assert_eq!(
            arrangement.remarks,
            ["Virtual server [G]:0: virtual_server_group G does not exist - ignoring"]
        );
        let wide = [VirtualServerGroup { name: "G".to_owned(), entries: vec![entry("10.99.0.2")] }];
        assert!(
            arrange(vec![grouped], &wide, Marking::default()).unwrap_err()[0]
                .starts_with("virtual server [G]:0: ")
        );
    }

    #[test]
    fn a_plan_names_what_changes_and_nothing_else() {
        let arranged =
            |list: &[VirtualServer]| arrange(list.to_vec(), &[], Marking::default()).unwrap().virtual_servers;
        let with_port = |port| {
            let mut vs = virtual_server(1);
            vs.service = Service::Address { address: "10.9.0.1".parse().unwrap(), port };
            vs
        };
        let old = arranged(&[with_port(1), with_port(2), with_port(3)]);
        let mut changed = with_port(2);
        changed.quorum = 7;
        let new = arranged(&[with_port(3), changed, with_port(4)]);
        assert_eq!(
            plan(&old, &new),
            [
                "virtual server [10.9.0.1]:tcp:1 removed",
                "virtual server [10.9.0.1]:tcp:2 changed",
                "virtual server [10.9.0.1]:tcp:4 added"
            ]
        );
        assert_eq!(plan(&new, &new), [""; 0]);
    }
}
