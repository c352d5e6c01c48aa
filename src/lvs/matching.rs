//! Which real server and which checker of the new configuration is which of the old one (spec/ipvs-behaviour.md §7).
//!
//! Stock calls a checker another one when any of its connection options changed, and so revives a server that is
//! down. Here a checker whose options changed is still the same checker, as long as its type is: it keeps its result
//! until it has run.

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

/// One entry per real server of `new`.
pub fn origins(old: &VirtualServer, new: &VirtualServer) -> Vec<Origin> {
    let by_address: std::collections::HashMap<_, usize> =
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
    fn an_equal_checker_is_preferred_to_one_of_the_same_type() {
        let old = [tcp_check(1), tcp_check(2)];
        assert_eq!(pair(&old, &[tcp_check(2), tcp_check(3)]), [Some(1), Some(0)]);
        assert_eq!(pair(&old, &[tcp_check(3)]), [Some(0)]);
        assert_eq!(pair(&old[..1], &[tcp_check(3), tcp_check(4)]), [Some(0), None]);
    }
}
