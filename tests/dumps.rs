//! Agreement with stock on the layout of `keepalived.data`: real configurations, the vrrp process' part, line by line.
//!
//! The dumps are not part of this repository. `KEEPALIVED_CORPUS` names folders (separated by `:`) with configurations
//! `NAME.conf` and stock's dumps of them, `stock-2.4.3/NAME.data`; values that change from run to run are `*` there.
//! The host's interfaces are those that the dump shows. Without the variable the test says so and passes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use keepalived_rs::config::files::MemoryFiles;
use keepalived_rs::config::load;
use keepalived_rs::config::model::{HostFacts, Identity, InterfaceFacts, Users, VrrpPart};
use keepalived_rs::config::preprocess::{IncludeChecks, ReadOptions};
use keepalived_rs::config::value::Mode;
use keepalived_rs::report::clock::Clock;
use keepalived_rs::report::vrrp::{Socket, View, data};
use keepalived_rs::time::Time;
use keepalived_rs::vrrp::{Action, Event, Interface, Link, Router};

#[path = "dumps/lvs.rs"]
mod lvs;

struct Root;

impl Users for Root {
    fn user(&self, name: &str) -> Option<Identity> {
        (name == "root").then(Identity::default)
    }

    fn group(&self, name: &str) -> Option<u32> {
        (name == "root").then_some(0)
    }

    fn host(&self, _: &str) -> Option<IpAddr> {
        None
    }
}

/// The interfaces that a dump describes.
fn interfaces(dump: &[&str]) -> Vec<Interface> {
    let mut found: Vec<Interface> = Vec::new();
    for line in dump {
        if let Some(name) = line.strip_prefix(" Name = ") {
            let index = u32::try_from(found.len() + 1).expect("a few interfaces");
            let link = Link {
                index,
                name: name.to_owned(),
                // Up, broadcast, running, multicast.
                flags: 0x1043,
                mtu: 1500,
                hardware: 1,
                mac_broadcast: vec![0xff; 6],
                ..Link::default()
            };
            found.push(Interface { link, addresses: Vec::new() });
        }
        let Some(interface) = found.last_mut() else { continue };
        for label in ["   IPv4 address = ", "   IPv6 address = "] {
            if let Some(Ok(address)) = line.strip_prefix(label).map(str::parse) {
                interface.addresses.push((address, 24));
            }
        }
        if let Some(mac) = line.strip_prefix("   MAC = ") {
            interface.link.mac =
                mac.split(':').filter_map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
        }
    }
    found
}

/// What our daemon would write at the moment of its start.
fn ours(part: &VrrpPart, interfaces: Vec<Interface>) -> String {
    let now = Time::ZERO + Duration::from_secs(1);
    let mut router = Router::new(part);
    let mut out = Vec::new();
    router.handle(now, Event::Interfaces(interfaces), &mut out);
    let listeners = out.into_iter().filter_map(|action| match action {
        Action::Listen(listeners) => Some(listeners),
        _ => None,
    });
    let sockets: Vec<_> = listeners
        .flatten()
        .map(|listener| Socket { listener, fd_in: 1, fd_out: 2, receive_buffer: 0 })
        .collect();
    let clock = Clock { now, epoch: Duration::ZERO, utc_offset: 0 };
    data(View { part, snapshot: &router.snapshot(now), clock, sockets: &sockets })
}

/// Lines that the runs of stock differ in, or that only one of the states has.
fn is_live(line: &str) -> bool {
    [
        "Flags of interface faults",
        "unspecified",
        "GARP next time",
        "GNA next time",
        "Master router",
        "Master priority",
        "Master advert interval",
        "Rogue master",
        "Roger timer",
        "Rate-limit",
    ]
    .iter()
    .any(|label| line.trim_start().starts_with(label))
}

/// Does our line say what stock's says, where `*` stands for anything?
fn agrees(stock: &str, ours: &str) -> bool {
    let ours = ours.strip_suffix(" set").unwrap_or(ours);
    let stock = stock.strip_suffix(" set").unwrap_or(stock);
    match stock.split_once('*') {
        Some((before, _)) => ours.starts_with(before.trim_end()),
        None => stock == ours,
    }
}

#[test]
fn dumps_are_laid_out_as_stocks_are() {
    let Ok(folders) = std::env::var("KEEPALIVED_CORPUS") else {
        println!("skipped: KEEPALIVED_CORPUS is not set");
        return;
    };
    let (mut same, mut total, mut different) = (0_usize, 0_usize, BTreeMap::<String, Vec<String>>::new());
    for folder in folders.split(':').map(Path::new) {
        let dumps = std::fs::read_dir(folder.join("stock-2.4.3")).expect("the folder has dumps");
        let mut names: Vec<_> = dumps
            .filter_map(|entry| {
                entry.ok()?.file_name().into_string().ok()?.strip_suffix(".data").map(str::to_owned)
            })
            .collect();
        names.sort();
        for name in names {
            let dump = std::fs::read_to_string(folder.join("stock-2.4.3").join(format!("{name}.data")));
            let dump = dump.expect("a readable dump");
            let all: Vec<&str> = dump.lines().collect();
            let vrrp: Vec<&str> = all
                .iter()
                .copied()
                .skip_while(|line| *line != "##### vrrp")
                .skip(1)
                .take_while(|line| !line.starts_with("##### "))
                .skip_while(|line| *line != "------< VRRP Topology >------")
                .collect();
            let config = std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok).find(|entry| {
                let file = entry.file_name().to_string_lossy().into_owned();
                file.strip_suffix(".conf")
                    .is_some_and(|stem| stem == name || stem.starts_with(&format!("{name}-")))
            });
            let Some(config) = config.filter(|_| !vrrp.is_empty()) else { continue };
            let bytes = std::fs::read(config.path()).expect("a readable configuration");
            let interfaces = interfaces(&vrrp);
            let facts = HostFacts {
                node_name: "director".to_owned(),
                interfaces: interfaces
                    .iter()
                    .map(|interface| {
                        let facts = InterfaceFacts {
                            index: interface.link.index,
                            mtu: 1500,
                            multicast: true,
                            loopback: interface.link.name == "lo",
                            addresses: interface.addresses.clone(),
                            ethernet: interface.link.name != "lo",
                            mac: interface.link.mac.clone(),
                            ..InterfaceFacts::default()
                        };
                        (interface.link.name.clone(), facts)
                    })
                    .collect(),
                own_identity: Identity::default(),
                own_user: "root".to_owned(),
                cpus: Some(2),
            };
            let mut files = MemoryFiles::new().file(&name, &bytes);
            for line in &vrrp {
                // Every script that the dump shows was there.
                let quoted = line.split_once("= '").and_then(|(_, rest)| rest.split_once('\''));
                if let Some((path, _)) = quoted.filter(|(path, _)| path.starts_with('/')) {
                    files = files.script(path);
                }
            }
            let options = ReadOptions {
                main: name.clone(),
                config_id: "director".to_owned(),
                include_checks: IncludeChecks::default(),
                random_seed: 0,
            };
            let loaded = load(&files, &options, Mode::Run, &facts, &Root);
            let Some(part) = loaded.config.and_then(|config| config.vrrp_part()) else {
                different.entry("(not loaded)".to_owned()).or_default().push(name);
                total += 1;
                continue;
            };
            let text = ours(&part, interfaces);
            let our_lines: Vec<&str> = text
                .lines()
                .skip_while(|line| *line != "------< VRRP Topology >------")
                .filter(|line| !is_live(line))
                .collect();
            let stock: Vec<&str> = vrrp.into_iter().filter(|line| !is_live(line)).collect();
            total += 1;
            let first = stock.iter().zip(&our_lines).position(|(stock, ours)| !agrees(stock, ours));
            match first {
                None if stock.len() == our_lines.len() => same += 1,
                first => {
                    let at = first.unwrap_or(stock.len().min(our_lines.len()));
                    let (stock, ours) = (stock.get(at).unwrap_or(&""), our_lines.get(at).unwrap_or(&""));
                    different.entry(format!("stock `{stock}`, ours `{ours}`")).or_default().push(name);
                }
            }
        }
    }
    let mut report = String::new();
    for (difference, names) in &different {
        let _ = writeln!(report, "{:4} {difference}: {}", names.len(), names.join(" "));
    }
    println!("{same} of {total} agree\n{report}");
    // The others use what is not modelled yet: routes, rules, track files and processes, BFD, VMAC.
    assert!(same * 100 >= total * 80, "{same} of {total} agree\n{report}");
}
