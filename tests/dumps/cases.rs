//! Our own configurations with the dumps that they give: `tests/cases/dump/NAME/keepalived.conf` and the expected text.
//!
//! The expectations were read beside stock 2.2.7's dumps of the same files. `UPDATE_CASES=1 cargo test --test dumps` writes
//! them anew; review them as a diff.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use keepalived_rs::config::files::MemoryFiles;
use keepalived_rs::config::model::{HostFacts, Identity, VrrpPart};

use super::{facts_of, interfaces, lvs, read, vrrp};

/// Two interfaces, as the dump shows them.
const HOST: &str = " Name = lo
   IPv4 address = 127.0.0.1
 Name = eth0
   IPv4 address = 198.18.0.1
   IPv6 address = fe80::1
   MAC = 02:00:00:00:00:01
 Name = eth1
   IPv4 address = 198.18.1.1
   IPv6 address = fe80::1:1
   MAC = 02:00:00:00:00:02";

/// What our processes would dump at the moment of their start.
fn dumped(text: &[u8]) -> String {
    let lines: Vec<&str> = HOST.lines().collect();
    let mut facts = HostFacts {
        node_name: "node1".to_owned(),
        own_user: "root".to_owned(),
        own_identity: Identity::default(),
        ..HostFacts::default()
    };
    for interface in interfaces(&lines) {
        facts.interfaces.insert(interface.link.name.clone(), facts_of(interface));
    }
    let files = MemoryFiles::new().file("k.conf", text).script("/usr/bin/true");
    let config = read(&files, &facts).expect("the case runs");
    let nothing = || VrrpPart { global: config.global.clone(), ..VrrpPart::default() };
    let part = config.vrrp_part().unwrap_or_else(nothing);
    let mut dump = format!("##### vrrp\n{}", vrrp::ours(&part, interfaces(&lines)));
    if let Some(part) = config.checkers_part() {
        let _ = write!(dump, "##### check\n{}", lvs::checkers(&part));
    }
    dump
}

#[test]
fn every_case_dumps_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/dump");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(root).expect("there are cases").map(|entry| entry.expect("readable").path()).collect();
    cases.sort();
    let mut wrong = String::new();
    for case in &cases {
        let got = dumped(&fs::read(case.join("keepalived.conf")).expect("a case has a configuration"));
        let expected = case.join("expected.txt");
        if std::env::var_os("UPDATE_CASES").is_some() {
            fs::write(expected, got).expect("the folder can be written");
        } else if fs::read_to_string(&expected).unwrap_or_default() != got {
            let _ = writeln!(wrong, "--- {}\n{got}", case.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases.len() >= 4);
}
