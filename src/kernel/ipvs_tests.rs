//! Refusals and their remedies as data, and the table in a namespace that has IPVS.

use std::borrow::Cow;

use super::*;
use crate::config::model::{Family, ForwardingMethod, Tunnel, TunnelChecksum};
use crate::lvs::difference::{Extent, difference};
use crate::lvs::table::{DestinationKey, DestinationSettings, Netmask, Pool, Wanted, WantedServer};

fn service() -> ServiceKey {
    ServiceKey::Address { protocol: 6, address: "10.9.0.1".parse().unwrap(), port: 80 }
}

fn settings() -> ServiceSettings {
    ServiceSettings {
        scheduler: Cow::Borrowed("rr"),
        engine: None,
        flags: 0,
        timeout: 0,
        netmask: Netmask::full(Family::V4),
    }
}

fn add_destination() -> Command {
    Command::AddDestination {
        service: service(),
        of: settings(),
        destination: DestinationKey { address: "10.1.0.1".parse().unwrap(), port: 8000 },
        settings: DestinationSettings {
            method: Some(ForwardingMethod::Nat),
            weight: 1,
            upper_threshold: 0,
            lower_threshold: 0,
        },
    }
}

fn refusal(errno: Errno) -> Refusal {
    Refusal { errno, note: None }
}

#[test]
fn a_refusal_is_told_in_stocks_form_with_the_object() {
    let add = Command::AddService { service: service(), settings: settings() };
    assert_eq!(
        line(&add, &refusal(Errno::EEXIST)),
        "IPVS cmd IP_VS_SO_SET_ADD(1154) error: Service already exists(17) (10.9.0.1:tcp:80)"
    );
    assert_eq!(
        line(&add_destination(), &refusal(Errno::ENOMEM)),
        "IPVS cmd IP_VS_SO_SET_ADDDEST(1159) error: Out of memory(12) \
         (10.9.0.1:tcp:80 -> 10.1.0.1:8000)"
    );
    let mark = ServiceKey::Fwmark { family: Family::V4, mark: 7 };
    let delete = Command::DeleteService { service: mark, settings: settings() };
    assert!(line(&delete, &refusal(Errno::ESRCH)).ends_with("No such service(3) (Fwm 7)"));
}

#[test]
fn what_exists_is_set_and_what_is_missing_is_added() {
    let Remedy::Instead(edit) = remedy(&add_destination(), Errno::EEXIST) else { panic!("no edit") };
    assert!(matches!(edit, Command::EditDestination { .. }));
    assert_eq!(remedy(&edit, Errno::ENOENT), Remedy::Instead(add_destination()));
    assert_eq!(remedy(&add_destination(), Errno::EINVAL), Remedy::None);
    assert_eq!(remedy(&add_destination(), Errno::ESRCH), Remedy::LookAgain);
}

#[test]
fn deleting_what_is_gone_succeeds() {
    let delete = Command::DeleteService { service: service(), settings: settings() };
    assert_eq!(remedy(&delete, Errno::ESRCH), Remedy::Nothing);
    assert_eq!(remedy(&delete, Errno::EPERM), Remedy::None);
}

#[test]
fn a_missing_module_is_named_with_the_remedy() {
    let error = OpenError::NoModule { reason: "modprobe: FATAL: Module ip_vs not found".to_owned() };
    let text = error.to_string();
    assert!(text.starts_with("IPVS: Can't initialize ipvs: "));
    assert!(text.contains("Module ip_vs not found") && text.contains("modprobe ip_vs"));
}

/// Needs a kernel with IPVS; elsewhere it is skipped, aloud.
fn with_ipvs(test: impl FnOnce(Ipvs) + Send + 'static) {
    crate::kernel::testing::in_namespace(|| match Ipvs::open() {
        Ok(ipvs) => test(ipvs),
        Err(error) => eprintln!("SKIPPED: {error}"),
    });
}

fn pool(methods: &[ForwardingMethod], weight: u32) -> Pool {
    let with = |key: ServiceKey, scheduler, flags, timeout, netmask| {
        let scheduler = Cow::Borrowed(scheduler);
        (key, ServiceSettings { scheduler, engine: None, flags, timeout, netmask })
    };
    let v6 = ServiceKey::Address { protocol: 17, address: "fd00::7".parse().unwrap(), port: 53 };
    let mark = ServiceKey::Fwmark { family: Family::V4, mark: 7 };
    let full = Netmask::full(Family::V4);
    Pool {
        services: [
            with(service(), "rr", 0, 0, full),
            with(mark, "wlc", 1, 50, Netmask::V4([255, 255, 255, 0])),
            with(v6, "rr", 5, 360, Netmask::V6(64)),
        ]
        .into(),
        real_servers: methods
            .iter()
            .zip(1u8..)
            .map(|(method, n)| Wanted {
                real_server: WantedServer {
                    address: std::net::Ipv4Addr::new(10, 1, 0, n).into(),
                    port: 80,
                    own_port: false,
                },
                settings: Some(DestinationSettings {
                    method: Some(*method),
                    weight,
                    upper_threshold: 10,
                    lower_threshold: 5,
                }),
            })
            .collect(),
        sorry_server: None,
    }
}

#[test]
fn the_kernel_holds_what_it_was_told_and_is_corrected_when_it_does_not() {
    with_ipvs(|mut ipvs| {
        let tunnel = |tunnel| ForwardingMethod::Tun(tunnel);
        let methods = [
            tunnel(Tunnel::Ipip),
            tunnel(Tunnel::Gue { port: 5555, checksum: TunnelChecksum::Remote }),
            tunnel(Tunnel::Gre { checksum: TunnelChecksum::Csum }),
        ];
        let wanted = pool(&methods, 3);
        let keys: Vec<ServiceKey> = wanted.services.iter().map(|(key, _)| *key).collect();
        let mut table = Table::default();
        let mut commands = Vec::new();
        difference(&table, &[], &wanted, Extent::Whole, &mut commands);
        let report = ipvs.apply(&mut table, &commands).unwrap();
        assert_eq!(report, Report::default());

        let mut read = Table::default();
        ipvs.read_into(&mut read, &keys).unwrap();
        assert_eq!(read, table);
        assert_eq!(ipvs.services().unwrap().len(), 3);

        // Somebody else's hands: what is there already is set, what is gone is added.
        let changed = pool(&methods[..2], 9);
        let mut blind = table.clone();
        for key in &keys {
            let mut known = blind.get(key).unwrap().clone();
            known.destinations.clear();
            blind.insert(*key, known);
        }
        commands.clear();
        difference(&blind, &[], &changed, Extent::Whole, &mut commands);
        let report = ipvs.apply(&mut blind, &commands).unwrap();
        assert_eq!((report.failed.len(), report.lines.len()), (0, 6), "{report:?}");
        ipvs.read_into(&mut table, &keys).unwrap();
        commands.clear();
        difference(&table, &[], &changed, Extent::Whole, &mut commands);
        assert_eq!(commands.len(), 3, "the third destination of each service: {commands:?}");
        assert_eq!(ipvs.apply(&mut table, &commands).unwrap(), Report::default());

        ipvs.flush().unwrap();
        assert_eq!(ipvs.services().unwrap(), []);
        commands.clear();
        difference(&table, &[], &pool(&methods, 4), Extent::Whole, &mut commands);
        let report = ipvs.apply(&mut table, &commands).unwrap();
        assert_eq!(report.look_again, keys, "the services are not where they were");
        ipvs.read_into(&mut table, &keys).unwrap();
        assert!(table.is_empty());
    });
}

#[test]
fn the_timeouts_are_read_and_set() {
    with_ipvs(|mut ipvs| {
        let original = ipvs.timeouts().unwrap();
        let ours = LvsTimeouts { tcp: 100, tcp_fin: 20, udp: 30 };
        ipvs.set_timeouts(ours).unwrap();
        assert_eq!(ipvs.timeouts().unwrap(), ours);
        ipvs.set_timeouts(original).unwrap();
    });
}

#[test]
fn a_service_that_cannot_be_added_takes_its_destinations_with_it_in_one_line() {
    with_ipvs(|mut ipvs| {
        let mut wanted = pool(&[ForwardingMethod::Nat, ForwardingMethod::Dr], 1);
        let mut services = wanted.services.to_vec();
        services.truncate(1);
        services[0].1.scheduler = Cow::Borrowed("nonsense");
        wanted.services = services.into();
        let mut commands = Vec::new();
        let mut table = Table::default();
        difference(&table, &[], &wanted, Extent::Whole, &mut commands);
        let report = ipvs.apply(&mut table, &commands).unwrap();
        assert_eq!((report.failed.len(), report.lines.len()), (3, 1), "{report:?}");
        assert!(table.is_empty());
    });
}

#[test]
fn a_thousand_services_go_in_batches_and_every_answer_is_read() {
    with_ipvs(|mut ipvs| {
        let mut wanted = pool(&[ForwardingMethod::Nat, ForwardingMethod::Nat], 1);
        let settings = wanted.services[0].1.clone();
        wanted.services = (1..=1000u16)
            .map(|port| {
                let address = "10.9.0.1".parse().unwrap();
                (ServiceKey::Address { protocol: 6, address, port }, settings.clone())
            })
            .collect();
        let mut commands = Vec::new();
        let mut table = Table::default();
        difference(&table, &[], &wanted, Extent::Whole, &mut commands);
        let started = std::time::Instant::now();
        assert_eq!(ipvs.apply(&mut table, &commands).unwrap(), Report::default());
        eprintln!("3000 commands: {:?}", started.elapsed());
        assert_eq!(ipvs.services().unwrap().len(), 1000);
    });
}
