//! What the tests of the whole way from text to model share: a host with a few files, and texts around the lines at hand.

use super::diagnostic::Class;
use super::files::{FileKind, MemoryFiles, Status};
use super::model::*;
use super::preprocess::{IncludeChecks, ReadOptions};
use super::render::{Style, render};
use super::schema::Readers;
use super::value::Mode;
use super::{Loaded, load, load_for};

struct TestUsers;

impl Users for TestUsers {
    fn user(&self, name: &str) -> Option<Identity> {
        match name {
            "root" => Some(Identity::default()),
            "nobody" => Some(Identity { uid: 65534, gid: 65534, ..Identity::default() }),
            _ => None,
        }
    }

    fn group(&self, name: &str) -> Option<u32> {
        (name == "mail").then_some(8)
    }

    fn groups(&self, identity: Identity) -> Vec<u32> {
        vec![identity.gid, 100]
    }
}

fn facts() -> HostFacts {
    let interface =
        |multicast, loopback| InterfaceFacts { mtu: 1500, multicast, loopback, ..InterfaceFacts::default() };
    let mut facts = HostFacts { node_name: "vm".to_owned(), cpus: Some(2), ..HostFacts::default() };
    for name in ["eth0", "eth1", "eth2"] {
        facts.interfaces.insert(name.to_owned(), interface(true, false));
    }
    facts.interfaces.insert("lo".to_owned(), interface(false, true));
    facts.interfaces.insert("tun0".to_owned(), interface(false, false));
    facts.patterns = Patterns(|regex| match regex.pattern.find('(') {
        Some(offset) => Err(BadPattern { offset, reason: "lost parenthesis".to_owned() }),
        None => Ok(()),
    });
    facts
}

/// The files of the host, the main one with this text, and how to read them.
fn host(text: &str) -> (MemoryFiles, ReadOptions) {
    let link = Status { kind: FileKind::Symlink("usr/bin".into()), uid: 0, gid: 0, mode: 0o777 };
    let files = MemoryFiles::new()
        .file("k.conf", text)
        .script("/etc/keepalived/ok.sh")
        .script("/usr/bin/true")
        .file(
            "/etc/keepalived/vrrp.key",
            "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n\n",
        )
        .entry("/etc/keepalived/vrrp.key", Status { kind: FileKind::File, uid: 0, gid: 0, mode: 0o600 })
        .file("/etc/keepalived/open.key", "0123456789abcdef0123456789abcdef\n")
        .entry("/etc/keepalived/open.key", Status { kind: FileKind::File, uid: 0, gid: 0, mode: 0o640 })
        .entry("/bin", link)
        .entry("/srv/x.sh", Status { kind: FileKind::File, uid: 1000, gid: 0, mode: 0o755 })
        .entry("/srv/plain.txt", Status { kind: FileKind::File, uid: 0, gid: 0, mode: 0o644 });
    let options = ReadOptions {
        main: "k.conf".to_owned(),
        config_id: "vm".to_owned(),
        include_checks: IncludeChecks::default(),
        random_seed: 0,
    };
    (files, options)
}

/// A daemon reads it that lacks one of stock's processes.
pub(super) fn read_by(text: &str, left_out: Readers) -> Loaded {
    let (files, options) = host(text);
    let runs = [Readers::CHECKER, Readers::VRRP, Readers::BFD].into_iter().filter(|it| *it != left_out);
    let runs = runs.fold(Readers::PARENT, Readers::and);
    load_for(&files, &options, runs, &facts(), &TestUsers)
}

pub(super) fn loaded(text: &str, mode: Mode) -> Loaded {
    let (files, options) = host(text);
    let loaded = load(&files, &options, mode, &facts(), &TestUsers);
    if mode == Mode::ConfigTest {
        // `-t` keeps no virtual servers, and says the same.
        let verdict = super::verdict(&files, &options, &facts(), &TestUsers);
        let said =
            |it: &Loaded| (render(&it.diagnostics, &it.sources, Style::Plain), it.test_exit, it.refusal);
        assert_eq!(said(&verdict), said(&loaded));
    }
    loaded
}

/// The exit code of `-t`.
pub(super) fn exit(text: &str) -> u8 {
    loaded(text, Mode::ConfigTest).test_exit
}

/// The reports that count, as `line:id`.
pub(super) fn reports(text: &str) -> Vec<String> {
    let loaded = loaded(text, Mode::ConfigTest);
    let line = |span| loaded.sources.location(span).map_or(0, |place| place.line);
    let counted = loaded.diagnostics.iter().filter(|report| report.class != Class::None);
    counted.map(|report| format!("{}:{}", report.span.map_or(0, line), report.id)).collect()
}

pub(super) fn config(text: &str) -> Config {
    let loaded = loaded(text, Mode::Run);
    let reports: Vec<_> = loaded.diagnostics.iter().map(|report| report.message.clone()).collect();
    loaded.config.unwrap_or_else(|| panic!("refused: {reports:?}"))
}

/// An instance on eth0 with VRID 5 and one address, and these lines.
pub(super) fn instance(lines: &str) -> String {
    format!(
        "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {{ 192.0.2.5 }}\n{lines}\n}}\n"
    )
}

pub(super) fn built(lines: &str) -> Instance {
    config(&instance(lines)).instances.remove(0)
}

/// A virtual server with one real server that holds these lines, after those of the virtual server.
pub(super) fn service(lines: &str, server: &str) -> String {
    format!(
        "virtual_server 192.0.2.1 80 {{\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\n{lines}\nreal_server 10.0.0.2 80 {{\n{server}\n}}\n}}\n"
    )
}

pub(super) fn virtual_server(lines: &str, server: &str) -> VirtualServer {
    config(&service(lines, server)).virtual_servers.remove(0)
}
