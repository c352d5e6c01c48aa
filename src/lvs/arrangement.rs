//! Which virtual server owns which kernel service, for a whole configuration.
//!
//! Every service has one owner, so that no two virtual servers undo each other's work. Stock does not look: two blocks
//! with one identity share a kernel service at start and delete each other's real servers at every reload
//! (spec/ipvs-behaviour.md trap 19). Here they are merged, and the log says so.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::model::{NftablesIpvs, RealServer, VirtualServer, VirtualServerGroup};
use crate::config::schema::Hash;
use crate::lvs::label;
use crate::lvs::marks::{MarkTable, Marks, assign, table};
use crate::lvs::matching::{Identity, Search};
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
///
/// `known` is what runs. What is equal to it is shared with it, so that around a reload only what changes takes memory
/// and time.
pub fn arrange(
    virtual_servers: impl IntoIterator<Item = VirtualServer>,
    known: &[Arranged],
    groups: &[VirtualServerGroup],
    marking: Marking<'_>,
) -> Result<Arrangement, Vec<String>> {
    let mut remarks = Vec::new();
    let merged = merge(virtual_servers, known, &mut remarks);

    let none = Marks::new();
    let before = marking.before.unwrap_or(&none);
    let configs = || merged.iter().map(|it| Arc::clone(&it.config)).collect::<Vec<_>>();
    let marks =
        (marking.settings).map(|settings| assign(settings, &configs(), groups, before)).unwrap_or_default();
    let mark_table = (marking.settings.filter(|_| !marks.is_empty()))
        .map(|settings| table(settings, marking.counters, &marks, groups));

    let mut reasons = Vec::new();
    // Whose each service is: a place in `arranged`.
    let mut owners: HashMap<ServiceKey, usize, Hash> =
        HashMap::with_capacity_and_hasher(merged.len(), Hash::default());
    let mut arranged: Vec<Arranged> = Vec::with_capacity(merged.len());
    for Merged { config, known: place } in merged {
        let label = || label::virtual_server(&config);
        let all = match services(&config, groups, &marks) {
            Ok(all) => all,
            Err(error @ ExpandError::NoGroup { .. }) => {
                // Stock: an informational line, and the virtual server is dropped.
                remarks.push(format!("Virtual server {}: {error} - ignoring", label()));
                continue;
            }
            Err(error @ ExpandError::TooMany { .. }) => {
                reasons.push(format!("virtual server {}: {error}", label()));
                continue;
            }
        };
        let mut own = Vec::with_capacity(all.len());
        for (key, settings) in all {
            if let Some(owner) = owners.get(&key) {
                let owner = label::virtual_server(&arranged[*owner].config);
                remarks.push(format!(
                    "Service {key} belongs to virtual server {owner}; virtual server {} does without it",
                    label()
                ));
            } else {
                owners.insert(key, arranged.len());
                own.push((key, settings));
            }
        }
        let services = match place.map(|place| &known[place].services) {
            Some(there) if **there == own[..] => Arc::clone(there),
            _ => own.into(),
        };
        arranged.push(Arranged { config, services });
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

/// A virtual server, and its place among those that run.
struct Merged {
    config: Arc<VirtualServer>,
    known: Option<usize>,
}

/// Each identity once.
fn merge(
    virtual_servers: impl IntoIterator<Item = VirtualServer>,
    known: &[Arranged],
    remarks: &mut Vec<String>,
) -> Vec<Merged> {
    let mut merged: Vec<Merged> = Vec::with_capacity(known.len());
    // Where in `merged` those are that run already, and the others.
    let mut kept: Vec<Option<usize>> = vec![None; known.len()];
    let mut fresh: HashMap<Identity, usize> = HashMap::new();
    let mut search = Search::default();
    for vs in virtual_servers {
        let place = search.find(&vs, known.len(), |place| known.get(place).map(|it| &*it.config));
        let first = match place {
            Some(place) => kept[place],
            None => fresh.get(&Identity::of(&vs)).copied(),
        };
        if let Some(first) = first {
            remarks.push(format!(
                "Virtual server {} is configured twice: the real servers of the second block join those of the first, \
                 its other settings are not used",
                label::virtual_server(&vs)
            ));
            join(&mut merged[first].config, vs);
            continue;
        }
        match place {
            Some(place) => kept[place] = Some(merged.len()),
            None => {
                fresh.insert(Identity::of(&vs), merged.len());
            }
        }
        let there = place.map(|place| &known[place].config);
        let config = there.filter(|there| ***there == vs).map_or_else(|| Arc::new(vs), Arc::clone);
        merged.push(Merged { config, known: place });
    }
    merged
}

/// The real servers of a second block join those of the first.
fn join(first: &mut Arc<VirtualServer>, second: VirtualServer) {
    for rs in second.real_servers {
        let known = |other: &RealServer| (other.address, other.port) == (rs.address, rs.port);
        if !first.real_servers.iter().any(known) {
            Arc::make_mut(first).real_servers.push(rs);
        }
    }
}

/// What a reload would do, one line per virtual server that changes.
pub fn plan(old: &[Arranged], new: &[Arranged]) -> Vec<String> {
    let mut search = Search::default();
    let mut stays = vec![false; old.len()];
    let mut lines = Vec::new();
    for arranged in new {
        let place = search.find(&arranged.config, old.len(), |place| old.get(place).map(|it| &*it.config));
        let line = match place {
            None => "added",
            Some(place) => {
                stays[place] = true;
                if old[place] == *arranged {
                    continue;
                }
                "changed"
            }
        };
        lines.push(format!("virtual server {} {line}", label::virtual_server(&arranged.config)));
    }
    let gone = old.iter().zip(stays).filter(|(_, stays)| !stays);
    gone.map(|(gone, _)| format!("virtual server {} removed", label::virtual_server(&gone.config)))
        .chain(lines)
        .collect()
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
        let arrangement = arrange(vec![first, second], &[], &[], Marking::default()).unwrap();
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
            arrange(vec![virtual_server(1), grouped.clone()], &[], &groups, Marking::default()).unwrap();
        assert_eq!(arrangement.virtual_servers[1].services.len(), 1);
        assert_eq!(
            arrangement.remarks,
            [
                "Service 10.9.0.1:tcp:80 belongs to virtual server [10.9.0.1]:tcp:80; virtual server [G]:0 does without it"
            ]
        );
        let arrangement = arrange(vec![grouped.clone()], &[], &[], Marking::default()).unwrap();
        assert!(arrangement.virtual_servers.is_empty());
        assert_eq!(
            arrangement.remarks,
            ["Virtual server [G]:0: virtual_server_group G does not exist - ignoring"]
        );
        let wide = [VirtualServerGroup { name: "G".to_owned(), entries: vec![entry("10.99.0.2")] }];
        assert!(
            arrange(vec![grouped], &[], &wide, Marking::default()).unwrap_err()[0]
                .starts_with("virtual server [G]:0: ")
        );
    }

    #[test]
    fn what_did_not_change_is_shared_with_what_runs() {
        let with_port = |port| {
            let mut vs = virtual_server(1);
            vs.service = Service::Address { address: "10.9.0.1".parse().unwrap(), port };
            vs
        };
        let run = |list: &[VirtualServer], known: &[Arranged]| {
            arrange(list.to_vec(), known, &[], Marking::default()).unwrap()
        };
        let old = run(&[1, 2, 3].map(with_port), &[]).virtual_servers;
        let mut changed = with_port(2);
        changed.quorum = 7;
        let list = [with_port(9), with_port(1), changed.clone(), with_port(3), with_port(1), with_port(9)];
        let Arrangement { virtual_servers: new, remarks, .. } = run(&list, &old);
        assert_eq!((new.len(), remarks.len()), (4, 2), "those that come twice are merged");
        let shares = |one: &Arranged, other: &Arranged| {
            (Arc::ptr_eq(&one.config, &other.config), Arc::ptr_eq(&one.services, &other.services))
        };
        assert_eq!(shares(&new[1], &old[0]), (true, true));
        assert_eq!(shares(&new[2], &old[1]), (false, true));
        assert_eq!(shares(&new[3], &old[2]), (true, true));
        assert_eq!(*new[2].config, changed);
    }

    #[test]
    fn a_plan_names_what_changes_and_nothing_else() {
        let arranged = |list: &[VirtualServer]| {
            arrange(list.to_vec(), &[], &[], Marking::default()).unwrap().virtual_servers
        };
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
