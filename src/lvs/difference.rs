//! What is wanted against what is known: the ordered commands that make them equal.
//!
//! One function serves start, transition, reload and stop. The order is stock's (spec/ipvs-behaviour.md §2-§5, §7): every
//! service before its destinations, a destination in all services of a group before the next destination, what takes
//! traffic away before what brings it, the sorry server first out and last in.

use std::collections::{HashMap, HashSet};

use crate::lvs::table::{
    DestinationKey, DestinationSettings, Pool, ServiceKey, ServiceSettings, Table, Wanted,
};

/// One change of the IPVS table. `of` and `settings` are sent whole, also on deletions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the keys and settings of lvs::table")]
pub enum Command {
    /// `NEW_SERVICE`.
    AddService { service: ServiceKey, settings: ServiceSettings },
    /// `SET_SERVICE`.
    EditService { service: ServiceKey, settings: ServiceSettings },
    /// `DEL_SERVICE`; the kernel drops the destinations with it.
    DeleteService { service: ServiceKey, settings: ServiceSettings },
    /// `NEW_DEST`.
    AddDestination {
        service: ServiceKey,
        of: ServiceSettings,
        destination: DestinationKey,
        settings: DestinationSettings,
    },
    /// `SET_DEST`.
    EditDestination {
        service: ServiceKey,
        of: ServiceSettings,
        destination: DestinationKey,
        settings: DestinationSettings,
    },
    /// `DEL_DEST`.
    DeleteDestination {
        service: ServiceKey,
        of: ServiceSettings,
        destination: DestinationKey,
        settings: DestinationSettings,
    },
}

impl Command {
    /// The service it is about.
    pub fn service(&self) -> &ServiceKey {
        match self {
            Self::AddService { service, .. }
            | Self::EditService { service, .. }
            | Self::DeleteService { service, .. }
            | Self::AddDestination { service, .. }
            | Self::EditDestination { service, .. }
            | Self::DeleteDestination { service, .. } => service,
        }
    }

    /// The destination it is about, if it is not about the service itself.
    pub fn destination(&self) -> Option<&DestinationKey> {
        match self {
            Self::AddService { .. } | Self::EditService { .. } | Self::DeleteService { .. } => None,
            Self::AddDestination { destination, .. }
            | Self::EditDestination { destination, .. }
            | Self::DeleteDestination { destination, .. } => Some(destination),
        }
    }
}

/// How much of a virtual server a [`Pool`] describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it: destinations that it does not name are leftovers and are deleted.
    Whole,
    /// Only the destinations it names; others are left alone.
    Named,
}

/// Appends the commands that turn what is known of a virtual server's services into what is wanted.
///
/// `gone` are services that were the virtual server's and are so no longer; `pool.services` empty and `gone` full is
/// its removal. Services named in neither are foreign and never touched.
pub fn difference(known: &Table, gone: &[ServiceKey], pool: &Pool, extent: Extent, out: &mut Vec<Command>) {
    // The kernel drops the destinations with their service. Stock deletes each of them first: as many more requests.
    out.extend(gone.iter().filter_map(|service| {
        let settings = known.get(service)?.settings.clone();
        Some(Command::DeleteService { service: *service, settings })
    }));

    for (service, settings) in pool.services.iter() {
        let (service, settings) = (*service, settings.clone());
        match known.get(&service) {
            None => out.push(Command::AddService { service, settings }),
            Some(there) if there.settings != settings => {
                out.push(Command::EditService { service, settings });
            }
            Some(_) => {}
        }
    }

    // Two real servers can be one destination: with DR and TUN the port is the service's. The first one present counts.
    let mut wanted: HashMap<(ServiceKey, DestinationKey), DestinationSettings> = HashMap::new();
    for entry in everyone_in(pool) {
        let Some(settings) = entry.settings else { continue };
        for (service, _) in pool.services.iter() {
            wanted.entry((*service, entry.key(service))).or_insert(settings);
        }
    }

    if extent == Extent::Whole {
        for (service, of) in pool.services.iter() {
            let Some(there) = known.get(service) else { continue };
            let named: HashSet<DestinationKey> = everyone_in(pool).map(|entry| entry.key(service)).collect();
            for (destination, settings) in &there.destinations {
                if !named.contains(destination) {
                    out.push(Command::DeleteDestination {
                        service: *service,
                        of: of.clone(),
                        destination: *destination,
                        settings: *settings,
                    });
                }
            }
        }
    }

    let mut done: HashSet<(ServiceKey, DestinationKey)> = HashSet::new();
    for entry in first_out(pool) {
        for (service, of) in pool.services.iter() {
            let destination = entry.key(service);
            let there = known.get(service).and_then(|it| it.destinations.get(&destination));
            let Some(there) = there else { continue };
            let settings = wanted.get(&(*service, destination));
            let takes_traffic_away =
                settings.is_none_or(|settings| settings.weight == 0 && there.weight != 0);
            if !takes_traffic_away || !done.insert((*service, destination)) {
                continue;
            }
            let (service, of) = (*service, of.clone());
            out.push(match settings {
                None => Command::DeleteDestination { service, of, destination, settings: *there },
                Some(&settings) => Command::EditDestination { service, of, destination, settings },
            });
        }
    }

    for entry in everyone_in(pool) {
        for (service, of) in pool.services.iter() {
            let destination = entry.key(service);
            let Some(&settings) = wanted.get(&(*service, destination)) else { continue };
            let there = known.get(service).and_then(|it| it.destinations.get(&destination));
            if there == Some(&settings) || !done.insert((*service, destination)) {
                continue;
            }
            let (service, of) = (*service, of.clone());
            out.push(match there {
                None => Command::AddDestination { service, of, destination, settings },
                Some(_) => Command::EditDestination { service, of, destination, settings },
            });
        }
    }
}

/// Real servers in file order, the sorry server last.
fn everyone_in(pool: &Pool) -> impl Iterator<Item = &Wanted> {
    pool.real_servers.iter().chain(&pool.sorry_server)
}

/// The sorry server first.
fn first_out(pool: &Pool) -> impl Iterator<Item = &Wanted> {
    pool.sorry_server.iter().chain(&pool.real_servers)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::BTreeMap;
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::config::model::{Family, ForwardingMethod};
    use crate::lvs::table::{KnownService, Netmask, WantedServer};

    fn service(last: u8) -> ServiceKey {
        let address = IpAddr::V4(Ipv4Addr::new(10, 9, 0, last));
        ServiceKey::Address { protocol: 6, address, port: 80 }
    }

    fn service_settings(scheduler: &'static str) -> ServiceSettings {
        ServiceSettings {
            scheduler: Cow::Borrowed(scheduler),
            engine: None,
            flags: 0,
            timeout: 0,
            netmask: Netmask::full(Family::V4),
        }
    }

    fn wanted(last: u8, method: ForwardingMethod, weight: Option<u32>) -> Wanted {
        Wanted {
            real_server: WantedServer {
                address: IpAddr::V4(Ipv4Addr::new(10, 1, 0, last)),
                port: 8000,
                own_port: method == ForwardingMethod::Nat,
            },
            settings: weight.map(|weight| settings(method, weight)),
        }
    }

    fn settings(method: ForwardingMethod, weight: u32) -> DestinationSettings {
        DestinationSettings { method: Some(method), weight, upper_threshold: 0, lower_threshold: 0 }
    }

    #[expect(clippy::option_option, reason = "no sorry server, an absent one, a present one")]
    fn pool(services: &[u8], real: &[(u8, Option<u32>)], sorry: Option<Option<u32>>) -> Pool {
        Pool {
            services: services.iter().map(|s| (service(*s), service_settings("rr"))).collect(),
            real_servers: real.iter().map(|(n, w)| wanted(*n, ForwardingMethod::Nat, *w)).collect(),
            sorry_server: sorry.map(|weight| wanted(250, ForwardingMethod::Nat, weight)),
        }
    }

    /// Short names: `+S1`, `=D1.2:5` (service 1, real server 2, weight 5), `-D1.2`.
    fn brief(commands: &[Command]) -> Vec<String> {
        let s = |service: &ServiceKey| match service {
            ServiceKey::Address { address: IpAddr::V4(a), .. } => a.octets()[3],
            _ => unreachable!(),
        };
        let d = |key: &DestinationKey| match key.address {
            IpAddr::V4(a) => a.octets()[3],
            IpAddr::V6(_) => unreachable!(),
        };
        commands
            .iter()
            .map(|command| match command {
                Command::AddService { service, .. } => format!("+S{}", s(service)),
                Command::EditService { service, .. } => format!("=S{}", s(service)),
                Command::DeleteService { service, .. } => format!("-S{}", s(service)),
                Command::AddDestination { service, destination, settings, .. } => {
                    format!("+D{}.{}:{}", s(service), d(destination), settings.weight)
                }
                Command::EditDestination { service, destination, settings, .. } => {
                    format!("=D{}.{}:{}", s(service), d(destination), settings.weight)
                }
                Command::DeleteDestination { service, destination, .. } => {
                    format!("-D{}.{}", s(service), d(destination))
                }
            })
            .collect()
    }

    fn step(table: &mut Table, gone: &[ServiceKey], pool: &Pool) -> Vec<String> {
        let mut out = Vec::new();
        difference(table, gone, pool, Extent::Whole, &mut out);
        for command in &out {
            table.apply(command);
        }
        brief(&out)
    }

    #[test]
    fn services_come_before_destinations_and_each_destination_goes_to_all_services() {
        let mut table = Table::default();
        let start = pool(&[1, 2], &[(1, Some(3)), (2, Some(1))], Some(Some(0)));
        assert_eq!(
            step(&mut table, &[], &start),
            ["+S1", "+S2", "+D1.1:3", "+D2.1:3", "+D1.2:1", "+D2.2:1", "+D1.250:0", "+D2.250:0"]
        );
        assert_eq!(step(&mut table, &[], &start), [""; 0]);
    }

    #[test]
    fn the_sorry_server_comes_after_the_removals_and_leaves_before_the_additions() {
        let mut table = Table::default();
        step(&mut table, &[], &pool(&[1], &[(1, Some(1)), (2, Some(1))], Some(None)));
        let lost = pool(&[1], &[(1, None), (2, Some(0))], Some(Some(1)));
        assert_eq!(step(&mut table, &[], &lost), ["-D1.1", "=D1.2:0", "+D1.250:1"]);
        let regained = pool(&[1], &[(1, Some(1)), (2, Some(1))], Some(None));
        assert_eq!(step(&mut table, &[], &regained), ["-D1.250", "+D1.1:1", "=D1.2:1"]);
    }

    #[test]
    fn a_removal_is_one_command_for_each_service_whatever_it_holds() {
        let mut table = Table::default();
        let all = pool(&[1, 2], &[(9, Some(1)), (2, Some(1))], Some(Some(1)));
        step(&mut table, &[], &all);
        let nothing = Pool { services: [].into(), ..all };
        assert_eq!(step(&mut table, &[service(1), service(2), service(3)], &nothing), ["-S1", "-S2"]);
        assert!(table.is_empty());
    }

    #[test]
    fn leftovers_of_our_services_are_corrected_and_foreign_services_are_not_seen() {
        let mut table = Table::default();
        let leftover = KnownService {
            settings: service_settings("wlc"),
            destinations: BTreeMap::from([
                (wanted(1, ForwardingMethod::Nat, None).key(&service(1)), settings(ForwardingMethod::Dr, 7)),
                (wanted(5, ForwardingMethod::Nat, None).key(&service(1)), settings(ForwardingMethod::Nat, 9)),
            ]),
        };
        table.insert(service(1), leftover.clone());
        table.insert(service(99), leftover.clone());
        assert_eq!(
            step(&mut table, &[], &pool(&[1], &[(1, Some(1)), (2, Some(1))], None)),
            ["=S1", "-D1.5", "=D1.1:1", "+D1.2:1"]
        );
        assert_eq!(table.get(&service(99)), Some(&leftover));
    }

    #[test]
    fn a_named_extent_leaves_other_destinations_alone() {
        let mut table = Table::default();
        step(&mut table, &[], &pool(&[1], &[(1, Some(1)), (2, Some(1))], None));
        let mut out = Vec::new();
        difference(&table, &[], &pool(&[1], &[(2, None)], None), Extent::Named, &mut out);
        assert_eq!(brief(&out), ["-D1.2"]);
    }

    #[test]
    fn two_real_servers_that_are_one_destination_do_not_fight() {
        let mut both = pool(&[1], &[], None);
        both.real_servers =
            vec![wanted(1, ForwardingMethod::Dr, Some(3)), wanted(1, ForwardingMethod::Dr, Some(4))];
        both.real_servers[1].real_server.port = 9000;
        let mut table = Table::default();
        assert_eq!(step(&mut table, &[], &both), ["+S1", "+D1.1:3"]);
        assert_eq!(step(&mut table, &[], &both), [""; 0]);
        both.real_servers[0].settings = None;
        assert_eq!(step(&mut table, &[], &both), ["=D1.1:4"]);
        both.real_servers[1].settings = None;
        assert_eq!(step(&mut table, &[], &both), ["-D1.1"]);
    }

    fn any_pool() -> impl Strategy<Value = Pool> {
        let method = prop_oneof![Just(ForwardingMethod::Nat), Just(ForwardingMethod::Dr)];
        let weight = proptest::option::of(0u32..3);
        let real = proptest::collection::vec((0u8..5, method, weight), 0..5);
        let services = proptest::collection::btree_map(0u8..4, 0..2usize, 0..4);
        (services, real, proptest::option::of(proptest::option::of(0u32..2))).prop_map(
            |(services, real, sorry)| Pool {
                services: services
                    .into_iter()
                    .map(|(s, kind)| (service(s), service_settings(["rr", "wlc"][kind])))
                    .collect(),
                real_servers: real.into_iter().map(|(n, m, w)| wanted(n, m, w)).collect(),
                sorry_server: sorry.map(|weight| wanted(3, ForwardingMethod::Nat, weight)),
            },
        )
    }

    proptest! {
        #[test]
        fn applying_the_difference_gives_what_is_wanted_and_then_there_is_none(
            before in any_pool(), after in any_pool()
        ) {
            let mut table = Table::default();
            step(&mut table, &[], &before);
            let gone: Vec<ServiceKey> = before.services.iter().map(|(key, _)| *key)
                .filter(|key| !after.services.iter().any(|(other, _)| other == key)).collect();
            step(&mut table, &gone, &after);

            prop_assert_eq!(table.len(), after.services.len());
            for (key, settings) in after.services.iter() {
                let known = table.get(key).expect("every service is there");
                prop_assert_eq!(&known.settings, settings);
                let mut expected = BTreeMap::new();
                for entry in everyone_in(&after) {
                    if let Some(settings) = entry.settings {
                        expected.entry(entry.key(key)).or_insert(settings);
                    }
                }
                prop_assert_eq!(&known.destinations, &expected);
            }
            prop_assert_eq!(step(&mut table, &gone, &after), Vec::<String>::new());
        }
    }
}
