//! What people read about their configuration: `tests/cases/config/NAME/keepalived.conf` and the expected text.
//!
//! `UPDATE_CASES=1 cargo test --test config_cases` writes the expectations anew; review them as a diff.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use keepalived_rs::config::files::{FileKind, MemoryFiles, Status};
use keepalived_rs::config::load;
use keepalived_rs::config::model::{HostFacts, Identity, InterfaceFacts, Users};
use keepalived_rs::config::preprocess::{IncludeChecks, ReadOptions};
use keepalived_rs::config::render::{Style, render};
use keepalived_rs::config::value::Mode;

struct OnlyRoot;

impl Users for OnlyRoot {
    fn user(&self, name: &str) -> Option<Identity> {
        (name == "root").then(Identity::default)
    }

    fn group(&self, _: &str) -> Option<u32> {
        None
    }
}

fn judged(text: &[u8]) -> String {
    let link = Status { kind: FileKind::Symlink("usr/bin".into()), uid: 0, gid: 0, mode: 0o777 };
    let files = MemoryFiles::new().file("keepalived.conf", text).script("/usr/bin/true").entry("/bin", link);
    let mut facts = HostFacts { node_name: "node1".to_owned(), ..HostFacts::default() };
    for name in ["eth0", "eth1"] {
        let interface = InterfaceFacts { mtu: 1500, multicast: true, ..InterfaceFacts::default() };
        facts.interfaces.insert(name.to_owned(), interface);
    }
    let options = ReadOptions {
        main: "keepalived.conf".to_owned(),
        config_id: "node1".to_owned(),
        include_checks: IncludeChecks::default(),
        random_seed: 0,
    };
    let loaded = load(&files, &options, Mode::ConfigTest, &facts, &OnlyRoot);
    let report = render(&loaded.diagnostics, &loaded.sources, Style::Plain);
    format!("exit of -t: {}\n\n{report}", loaded.test_exit)
}

#[test]
fn every_case_reads_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/config");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(root).expect("there are cases").map(|entry| entry.expect("readable").path()).collect();
    cases.sort();
    let mut wrong = String::new();
    for case in &cases {
        let text = fs::read(case.join("keepalived.conf")).expect("a case has a configuration");
        let got = judged(&text);
        let expected = case.join("expected.txt");
        if std::env::var_os("UPDATE_CASES").is_some() {
            fs::write(expected, got).expect("the folder can be written");
        } else if fs::read_to_string(&expected).unwrap_or_default() != got {
            let _ = writeln!(wrong, "--- {}\n{got}", case.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases.len() >= 7);
}
