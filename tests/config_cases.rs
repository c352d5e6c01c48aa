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

/// The heads of `examples/diagnostics/README.md`.
const INTRODUCTION: &str = "# What a mistake looks like

Ten mistakes that people make, and what `-t` says to them: Debian's keepalived 2.2.7 and keepalived-rs, on a host with
the interfaces eth0 and eth1. This page is generated from the files beside it; a test keeps it current:
`UPDATE_CASES=1 cargo test --test config_cases` writes it anew, with `DIAGNOSTICS_STOCK=/path/to/keepalived` (as root) also
what stock says.
";

/// What stock says to a file, in a namespace of its own with the interfaces that the page speaks of.
fn stocks_words(stock: &std::ffi::OsStr, case: &Path) -> String {
    let script =
        "ip link add eth0 type veth peer name eth1 && cd \"$1\" && exec \"$2\" -t -f keepalived.conf";
    let output = std::process::Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", script, "sh"])
        .arg(case)
        .arg(stock)
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stderr);
    format!("exit of -t: {}\n\n{said}", output.status.code().unwrap_or(-1))
}

#[test]
fn the_page_of_mistakes_shows_what_is_said_now() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/diagnostics");
    let mut cases: Vec<PathBuf> = fs::read_dir(&root)
        .expect("there are examples")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut page = INTRODUCTION.to_owned();
    for (number, case) in (1..).zip(&cases) {
        let text = fs::read_to_string(case.join("keepalived.conf")).expect("a case has a configuration");
        let recorded = case.join("stock.txt");
        if let Some(stock) = std::env::var_os("DIAGNOSTICS_STOCK").filter(|_| update) {
            fs::write(&recorded, stocks_words(&stock, case)).expect("the folder can be written");
        }
        let stock = fs::read_to_string(recorded).expect("what stock says is recorded");
        let ours = judged(text.as_bytes());
        let title =
            text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a title in the first line");
        let _ = write!(
            page,
            "\n## {number}. {title}\n\n```\n{}\n```\n\nkeepalived 2.2.7:\n\n```\n{}\n```\n\nkeepalived-rs:\n\n```\n{}\n```\n",
            text.trim_end(),
            stock.trim_end(),
            ours.trim_end()
        );
    }
    assert_eq!(cases.len(), 10);
    let file = root.join("README.md");
    if update {
        fs::write(file, page).expect("the page can be written");
    } else {
        assert_eq!(fs::read_to_string(file).unwrap_or_default(), page, "run it with UPDATE_CASES=1");
    }
}
