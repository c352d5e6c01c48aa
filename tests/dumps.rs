//! Agreement with stock on the dump files: what a configuration means, value by value, line by line.
//!
//! The dumps are not part of this repository. `KEEPALIVED_CORPUS` names folders (separated by `:`) with configurations
//! `NAME.conf` and stock's dumps of them, `stock-2.4.3/NAME.data`; values that change from run to run are `*` there.
//! The host's interfaces are those that the dump shows. Without the variable the tests say so and pass.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use keepalived_rs::config::files::{FileKind, MemoryFiles, Status};
use keepalived_rs::config::load;
use keepalived_rs::config::model::{Config, HostFacts, Identity, InterfaceFacts, Users};
use keepalived_rs::config::preprocess::{IncludeChecks, ReadOptions};
use keepalived_rs::config::value::Mode;
use keepalived_rs::vrrp::{Interface, Link, LinkKind, MACVLAN_PRIVATE};

#[path = "dumps/cases.rs"]
mod cases;
#[path = "dumps/difference.rs"]
mod difference;
#[path = "dumps/lvs.rs"]
mod lvs;
#[path = "dumps/vrrp.rs"]
mod vrrp;

/// The interfaces of the host that stock ran on.
const INTERFACES: &str = "lo eth0 eth1 eth2 eth3 eth4 ens3 ens4 ens5 ens18 ens19 ens32 ens33 ens37 ens160 ens192 ens224 \
    enp0s3 enp0s5 enp0s8 enp0s9 enp1s0 enp2s0 enp3s0 enp4s0 enp4s1 enp5s0 enp6s18 em1 em2 em3 em4 eno1 eno2 \
    eno16777736 eno16777984 eno33554984 bond0 bond1 br0 wlan0 wlp1s0 wlp3s0 eth0.1 eth0.53 bond0.1001 ens20.10 \
    ens20.20 ens20.30 virbr0";

struct Root;

impl Users for Root {
    fn user(&self, name: &str) -> Option<Identity> {
        (name == "root").then(Identity::default)
    }

    fn group(&self, name: &str) -> Option<u32> {
        (name == "root").then_some(0)
    }

    fn host(&self, name: &str) -> Option<IpAddr> {
        (name == "localhost").then_some(IpAddr::from([127, 0, 0, 1]))
    }
}

/// What the host would tell of such an interface.
fn facts_of(interface: Interface) -> InterfaceFacts {
    let has_hardware = interface.link.name != "lo";
    InterfaceFacts {
        index: interface.link.index,
        mtu: 1500,
        multicast: true,
        loopback: !has_hardware,
        addresses: interface.addresses,
        ethernet: has_hardware,
        mac: interface.link.mac,
        ..InterfaceFacts::default()
    }
}

/// The interfaces that a dump describes.
fn interfaces(dump: &[&str]) -> Vec<Interface> {
    let mut found: Vec<Interface> = Vec::new();
    let mut below = Vec::new();
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
        let link = &mut interface.link;
        let setting = |label| line.strip_prefix(label).and_then(|value: &str| value.parse().ok());
        if let Some(value) = setting("   Original arp_ignore ") {
            link.settings.arp_ignore = value;
        } else if let Some(value) = setting("   Original arp_filter ") {
            link.settings.arp_filter = value;
        } else if let Some(value) = setting("   Original promote_secondaries ") {
            link.settings.promote_secondaries = value;
        }
        if let Some(rest) = line.strip_prefix("   VMAC type private, underlying interface = ") {
            link.kind = LinkKind::Macvlan { mode: MACVLAN_PRIVATE };
            let base = rest.split(',').next().unwrap_or_default().to_owned();
            below.push((found.len() - 1, base));
            continue;
        }
        if let Some(mac) = line.strip_prefix("   MAC = ") {
            interface.link.mac =
                mac.split(':').filter_map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
        }
    }
    for (link, base) in below {
        if let Some(index) = found.iter().find(|other| other.link.name == base).map(|base| base.link.index) {
            found[link].link.base = index;
        }
    }
    found
}

/// Does our line say what stock's says, where `*` stands for anything?
fn agrees(stock: &str, ours: &str) -> bool {
    let ours = ours.strip_suffix(" set").unwrap_or(ours);
    let stock = stock.strip_suffix(" set").unwrap_or(stock);
    let Some((first, rest)) = stock.split_once('*') else { return stock == ours };
    // A value that is not there leaves no blank behind.
    let Some(mut left) = ours.strip_prefix(first.trim_end()) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    true
}

/// One configuration of a folder, with stock's dumps of it.
struct Sample {
    /// The file's name without its extension.
    name: String,
    path: PathBuf,
    /// All parts, each behind a line `##### PROCESS`.
    dump: String,
}

impl Sample {
    /// The lines of one process.
    fn part(&self, process: &str) -> Vec<&str> {
        let header = format!("##### {process}");
        let behind = self.dump.lines().skip_while(|line| *line != header).skip(1);
        behind.take_while(|line| !line.starts_with("##### ")).collect()
    }

    /// The host that it was dumped on, as far as the dump shows it, with the configuration and all scripts.
    fn host(&self) -> (MemoryFiles, HostFacts) {
        let bytes = std::fs::read(&self.path).expect("a readable configuration");
        let lines: Vec<&str> = self.dump.lines().collect();
        // The name of that host did not resolve, so stock went without.
        let mut facts =
            HostFacts { own_identity: Identity::default(), cpus: Some(2), ..HostFacts::default() };
        // Interfaces that nothing tracks are left out of the dumps.
        let unseen: Vec<String> = INTERFACES.split(' ').map(|name| format!(" Name = {name}")).collect();
        let unseen: Vec<&str> = unseen.iter().map(String::as_str).collect();
        for interface in interfaces(&unseen).into_iter().chain(interfaces(&lines)) {
            if interface.link.kind != LinkKind::Other {
                // Stock made it.
                continue;
            }
            facts.interfaces.insert(interface.link.name.clone(), facts_of(interface));
        }
        let mut files = MemoryFiles::new().file("k.conf", &bytes);
        // Every script that a child shows was there; where it shows another path, the script is a symlink.
        let mut script = None;
        for line in lines.iter().filter(|line| !line.contains(" notify fifo ")) {
            let quoted = line.split_once("= '").and_then(|(_, rest)| rest.split_once('\''));
            if let Some((path, _)) = quoted.filter(|(path, _)| path.starts_with('/')) {
                files = files.script(path);
                script = Some(path);
            }
            if let (Some(link), Some(target)) = (script, line.strip_prefix("   Path = ")) {
                let status =
                    Status { kind: FileKind::Symlink(target.to_owned()), uid: 0, gid: 0, mode: 0o777 };
                files = files.script(target).entry(link, status);
            }
        }
        (files, facts)
    }

    /// The configuration as we read it there.
    fn config(&self) -> Option<Config> {
        let (files, facts) = self.host();
        read(&files, &facts)
    }
}

fn read(files: &MemoryFiles, facts: &HostFacts) -> Option<Config> {
    let options = ReadOptions {
        main: "k.conf".to_owned(),
        config_id: "director".to_owned(),
        include_checks: IncludeChecks::default(),
        random_seed: 0,
    };
    load(files, &options, Mode::Run, facts, &Root).config
}

/// The configurations of `KEEPALIVED_CORPUS` that stock has dumped; none without it.
fn samples() -> Vec<Sample> {
    let Ok(folders) = std::env::var("KEEPALIVED_CORPUS") else { return Vec::new() };
    let mut samples = Vec::new();
    for folder in folders.split(':').map(Path::new) {
        let entries = std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok);
        let files = entries.map(|entry| entry.path());
        for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "conf")) {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let number = name.split('-').next().unwrap_or(&name);
            let dumps = folder.join("stock-2.4.3");
            let dump = [name.as_str(), number]
                .iter()
                .find_map(|name| std::fs::read_to_string(dumps.join(format!("{name}.data"))).ok());
            if let Some(dump) = dump {
                samples.push(Sample { name, path, dump });
            }
        }
    }
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    samples
}
