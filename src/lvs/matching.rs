//! Which real server and which checker of the new configuration is which of the old one (spec/ipvs-behaviour.md §7).
//!
//! Stock calls a checker another one when any of its connection options changed, and so revives a server that is
//! down. Here a checker whose options changed is still the same checker, as long as its type is: it keeps its result
//! until it has run.

use std::collections::HashMap;
use std::mem::discriminant;

use serde::{Deserialize, Serialize};

use crate::config::model::{CheckKind, Checker, Family, Protocol, Service, VirtualServer};

/// Where a real server of the new configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Index of the old real server with the same address and port.
    pub real_server: Option<usize>,
    /// Per new checker the index of the old one.
    pub checkers: Vec<Option<usize>>,
}

/// What makes a virtual server the same one before and after a reload: family, protocol, address and port; family and
/// mark; or group name and ordinal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    service: Service,
    protocol: Option<Protocol>,
    family: Option<Family>,
}

impl Identity {
    /// The identity of a virtual server.
    pub fn of(vs: &VirtualServer) -> Self {
        let service = vs.service.clone();
        match service {
            Service::Address { .. } => Self { service, protocol: vs.protocol, family: None },
            Service::Fwmark(_) => Self { service, protocol: None, family: vs.family },
            Service::Group { .. } => Self { service, protocol: None, family: None },
        }
    }
}

/// Have they one identity?
fn are_one(one: &VirtualServer, other: &VirtualServer) -> bool {
    match (&one.service, &other.service) {
        (Service::Address { .. }, Service::Address { .. }) => {
            one.service == other.service && one.protocol == other.protocol
        }
        (Service::Fwmark(_), Service::Fwmark(_)) => {
            one.service == other.service && one.family == other.family
        }
        _ => one.service == other.service,
    }
}

/// Finds virtual servers of one list in another one. As long as both are in one order, as around a reload they nearly
/// always are, this costs a comparison each, and no memory.
#[derive(Default)]
pub struct Search {
    /// Where the next one should be.
    next: usize,
    /// Of the list that is searched; made once it is needed.
    places: Option<HashMap<Identity, usize>>,
}

impl Search {
    /// Where in a list of `count` this one is. `at` gives the list's entries; one that gives nothing is not found.
    pub fn find<'a>(
        &mut self,
        vs: &VirtualServer,
        count: usize,
        at: impl Fn(usize) -> Option<&'a VirtualServer>,
    ) -> Option<usize> {
        if self.next < count && at(self.next).is_some_and(|there| are_one(there, vs)) {
            self.next += 1;
            return Some(self.next - 1);
        }
        let places = self.places.get_or_insert_with(|| {
            (0..count).filter_map(|place| Some((Identity::of(at(place)?), place))).collect()
        });
        let found = places.get(&Identity::of(vs)).copied();
        self.next = found.map_or(self.next, |place| place + 1);
        found
    }
}

/// One entry per real server of `new`.
pub fn origins(old: &VirtualServer, new: &VirtualServer) -> Vec<Origin> {
    let by_address: HashMap<_, usize> =
        old.real_servers.iter().enumerate().map(|(index, rs)| ((rs.address, rs.port), index)).collect();
    new.real_servers
        .iter()
        .map(|rs| {
            let real_server = by_address.get(&(rs.address, rs.port)).copied();
            let checkers = match real_server {
                Some(index) => pair(&old.real_servers[index].checkers, &rs.checkers),
                None => vec![None; rs.checkers.len()],
            };
            Origin { real_server, checkers }
        })
        .collect()
}

/// Equal checkers first, wherever they stand; then those of the same type in file order.
fn pair(old: &[Checker], new: &[Checker]) -> Vec<Option<usize>> {
    let mut free = vec![true; old.len()];
    let mut pairs = vec![None; new.len()];
    let rounds: [fn(&CheckKind, &CheckKind) -> bool; 2] = [|a, b| a == b, same_type];
    for same in rounds {
        for (pair, checker) in pairs.iter_mut().zip(new) {
            if pair.is_none() {
                *pair = (0..old.len()).find(|&i| free[i] && same(&old[i].kind, &checker.kind));
                if let Some(index) = *pair {
                    free[index] = false;
                }
            }
        }
    }
    pairs
}

/// TCP and TCP, HTTP and HTTP, SSL and SSL.
fn same_type(old: &CheckKind, new: &CheckKind) -> bool {
    match (old, new) {
        (CheckKind::Http(old), CheckKind::Http(new)) => old.tls == new.tls,
        _ => discriminant(old) == discriminant(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvs::virtual_server::tests::{tcp_check, virtual_server};

    #[test]
    fn a_real_server_is_known_by_address_and_port_wherever_it_stands() {
        let old = virtual_server(3);
        let mut new = old.clone();
        new.real_servers.swap(0, 2);
        new.real_servers[1].port = 9999;
        let found: Vec<_> = origins(&old, &new).iter().map(|o| o.real_server).collect();
        assert_eq!(found, [Some(2), None, Some(0)]);
    }

    #[test]
    fn a_search_finds_what_a_look_at_every_one_finds() {
        let at = |port| {
            let mut vs = virtual_server(1);
            vs.service = Service::Address { address: "10.9.0.1".parse().unwrap(), port };
            vs
        };
        let list: Vec<_> = [1, 2, 3, 4, 5].map(at).into();
        let mut udp = at(2);
        udp.protocol = Some(Protocol::Udp);
        for wanted in [vec![1, 2, 3, 4, 5], vec![1, 9, 2, 3, 5], vec![5, 4, 3, 2, 1], vec![3, 3, 4, 7, 1]] {
            let mut search = Search::default();
            for port in wanted {
                let expected = list.iter().position(|vs| *vs == at(port));
                assert_eq!(search.find(&at(port), list.len(), |place| list.get(place)), expected, "{port}");
                assert_eq!(search.find(&udp, list.len(), |place| list.get(place)), None);
            }
        }
        assert_eq!(Search::default().find(&at(1), 5, |_| None), None);
    }

    #[test]
    fn an_equal_checker_is_preferred_to_one_of_the_same_type() {
        let old = [tcp_check(1), tcp_check(2)];
        assert_eq!(pair(&old, &[tcp_check(2), tcp_check(3)]), [Some(1), Some(0)]);
        assert_eq!(pair(&old, &[tcp_check(3)]), [Some(0)]);
        assert_eq!(pair(&old[..1], &[tcp_check(3), tcp_check(4)]), [Some(0), None]);
    }
}
