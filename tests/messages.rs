//! Stock's messages, each with a counterpart of ours in the same place: real configurations, and what stock said of them.
//!
//! `KEEPALIVED_CORPUS` names folders (separated by `:`) with configurations `NAME.conf`, what stock wrote while
//! judging them, `stock-2.4.3/NNN.stderr` (NNN: what stands before the first dash of NAME), and `messages.tsv`, its messages as templates with how many files have each. Without
//! the variable the test says so and passes. `SHOW_LINTS=1` prints what the lints find, for reading.

#![expect(clippy::print_stdout, reason = "a skipped test says so aloud, and the counts are for reading")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use keepalived_rs::config::files::MemoryFiles;
use keepalived_rs::config::lint::{LINTS, Lints};
use keepalived_rs::config::model::{HostFacts, Identity, InterfaceFacts, Users};
use keepalived_rs::config::preprocess::{IncludeChecks, ReadOptions};
use keepalived_rs::config::value::Mode;
use keepalived_rs::config::{Loaded, load_linted};

/// Templates that occur in at least as many files must have their counterpart.
const FILES: u32 = 5;

/// A part of stock's message, the template's beginning, and the identifiers of ours that say the same, better.
const COUNTERPARTS: &[(&str, &str, &[&str])] = &[
    ("SECURITY VIOLATION - scripts", "SECURITY VIOLATION - scripts", &["no-script-security"]),
    ("SECURITY VIOLATION - check", "SECURITY VIOLATION - check", &["no-script-security"]),
    (
        "Unknown keyword",
        "Unknown keyword",
        &["unknown-keyword", "unknown-block", "block-not-closed", "surplus-brace", "unexpected-brace"],
    ),
    ("outside range [", "number Q outside range", &["bad-value", "bad-tracking-option", "bad-prefix"]),
    ("Truncating auth_pass", "Truncating auth_pass", &["long-password"]),
    ("vrrp_garp_interval", "vrrp_garp_interval", &["bad-value"]),
    ("vrrp_gna_interval", "vrrp_gna_interval", &["bad-value"]),
    ("not found, ignoring...", "(I) track script", &["unknown-name"]),
    ("Non-existent interface specified", "Non-existent interface", &["no-such-interface"]),
    ("for vrrp_instance", "WARNING - interface N for vrrp_instance", &["no-such-interface"]),
    ("nopreempt will not work with initial state MASTER", "(I) Warning - nopreempt", &["contradiction"]),
    (
        "Unexpected '{' - ignoring",
        "Unexpected Q - ignoring",
        &["unexpected-brace", "unknown-keyword", "unknown-block", "block-not-closed"],
    ),
    ("No VIP specified", "(I) No VIP specified", &["no-address"]),
    (
        "skipping IP...",
        "VRRP parsed invalid IP",
        &["bad-address", "bad-route", "bad-rule", "block-not-closed"],
    ),
    ("since own interface", "(I) Ignoring track_interface", &["own-interface"]),
    (
        "invalid number",
        "invalid number",
        &[
            "bad-value",
            "misread-value",
            "bad-tracking-option",
            "bad-prefix",
            "bad-address",
            "bad-group-entry",
            "block-not-closed",
        ],
    ),
    ("nb_get_retry is deprecated", "nb_get_retry", &["deprecated-keyword"]),
    ("Error setting global script", "Error setting global script", &["unknown-user"]),
    ("Unable to set default user for vrrp script", "Unable to set default user", &["no-script-user"]),
    ("Priority not valid!", "(I) Priority not valid!", &["bad-value"]),
    ("is missing a parameter after keyword", "*** Configuration line", &["missing-argument"]),
    ("virtual router(s) - this probably", "Sync group N has only", &["single-member", "empty-sync-group"]),
    ("iptables not supported, using nftables", "iptables not supported", &["no-iptables"]),
    ("unknown state", "(I) unknown state", &["bad-value"]),
    ("a vrrp is deprecated.", "(I) Specifying lvs_sync_daemon_interface", &["deprecated-keyword"]),
    ("routing method for virtual server", "PARSER : unknown", &["bad-value"]),
    ("Please use global lvs_sync_daemon", "Please use global", &["deprecated-keyword"]),
    ("persistence_timeout invalid", "persistence_timeout invalid", &["bad-value"]),
    ("empty notification_email block", "Warning - empty", &["empty-list"]),
    ("since not found/accessible", "Disabling track script", &["script-not-found"]),
    ("missing '}'s or extra '{'s", "There are #", &["block-not-closed"]),
    ("no forwarding method set", "Virtual server", &["no-forwarding-method"]),
];

/// Of these stock tells at the closing brace of the block, and we at what is wrong inside. A lost brace, too, is told
/// by us once and by stock at each line behind it.
const AT_THE_END: [&str; 2] = ["Unable to set default user", "Warning - empty"];

struct Sandbox;

impl Users for Sandbox {
    fn user(&self, name: &str) -> Option<Identity> {
        match name {
            "root" => Some(Identity::default()),
            "nobody" => Some(Identity { uid: 65534, gid: 65534, supplementary: false }),
            _ => None,
        }
    }

    fn group(&self, name: &str) -> Option<u32> {
        match name {
            "root" => Some(0),
            "nogroup" => Some(65534),
            _ => None,
        }
    }
}

const INTERFACES: &str = "eth0 eth1 eth2 eth3 eth4 ens3 ens4 ens5 ens18 ens19 ens32 ens33 ens37 ens160 ens192 ens224 \
    enp0s3 enp0s5 enp0s8 enp0s9 enp1s0 enp2s0 enp3s0 enp4s0 enp4s1 enp5s0 enp6s18 em1 em2 em3 em4 eno1 eno2 \
    eno16777736 eno16777984 eno33554984 bond0 bond1 br0 wlan0 wlp1s0 wlp3s0 eth0.1 eth0.53 bond0.1001 ens20.10 \
    ens20.20 ens20.30 virbr0";

fn facts() -> HostFacts {
    let mut facts = HostFacts { node_name: "director".to_owned(), cpus: Some(2), ..HostFacts::default() };
    let lo = InterfaceFacts { index: 1, mtu: 65536, loopback: true, ..InterfaceFacts::default() };
    facts.interfaces.insert("lo".to_owned(), lo);
    for (subnet, name) in (0..).zip(INTERFACES.split_whitespace()) {
        let interface = InterfaceFacts {
            index: 2 + u32::from(subnet),
            mtu: 1500,
            multicast: true,
            addresses: vec![(IpAddr::from([198, 18, subnet, 1]), 24)],
            ..InterfaceFacts::default()
        };
        facts.interfaces.insert(name.to_owned(), interface);
    }
    facts
}

/// An executable for every script that is named.
fn with_scripts(mut files: MemoryFiles, text: &str) -> MemoryFiles {
    let words = ["script", "misc_path", "quorum_up", "quorum_down"];
    for line in text.lines() {
        let mut parts = line.split_whitespace();
        let named = parts.next().is_some_and(|word| words.contains(&word) || word.starts_with("notify"));
        let Some(command) = parts.next().filter(|_| named) else { continue };
        let command = command.trim_matches(['"', '\'']);
        let plain = |c: char| c.is_ascii_alphanumeric() || "./_+@%:=-".contains(c);
        if command.is_empty() || !command.chars().all(plain) || command.contains("..") {
            continue;
        }
        if command.starts_with('/') && !command.ends_with('/') {
            files = files.script(command);
        } else if !command.contains('/') {
            files = files.script(&format!("/usr/bin/{command}"));
        }
    }
    for system in ["killall", "pidof", "pgrep", "bash", "sh", "true", "false", "nc", "curl", "systemctl"] {
        files = files.script(&format!("/usr/bin/{system}"));
    }
    files
}

fn judged(name: &str, text: &[u8]) -> Loaded {
    let files = with_scripts(MemoryFiles::new().file(name, text), &String::from_utf8_lossy(text));
    let options = ReadOptions {
        main: name.to_owned(),
        config_id: "director".to_owned(),
        include_checks: IncludeChecks::NONE,
        random_seed: 0,
    };
    load_linted(&files, &options, Mode::ConfigTest, &facts(), &Sandbox, Lints::Except(&[]))
}

/// A line of stock's: the line of the file, when it names one, and the text.
fn placed(message: &str) -> (Option<usize>, &str) {
    let Some(rest) = message.strip_prefix('(') else { return (None, message) };
    let Some((place, text)) = rest.split_once(") ") else { return (None, message) };
    let number = place.rsplit("Line ").next().filter(|_| place.contains("Line "));
    match number.and_then(|number| number.parse().ok()) {
        Some(line) => (Some(line), text),
        None => (None, message),
    }
}

/// The lines that a report of ours shows: its own, and those of the places that belong to it.
fn shown(loaded: &Loaded) -> BTreeMap<&'static str, BTreeSet<usize>> {
    let mut shown: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for report in loaded.diagnostics.iter() {
        let lines = shown.entry(report.id).or_default();
        let related = report.related.iter().map(|(span, _)| *span);
        let places = report.span.into_iter().chain(related);
        lines.extend(places.filter_map(|span| loaded.sources.location(span)).map(|at| at.line));
    }
    shown
}

fn corpus() -> Vec<(PathBuf, Vec<PathBuf>)> {
    let folders = std::env::var("KEEPALIVED_CORPUS").unwrap_or_default();
    if folders.is_empty() {
        println!("skipped: KEEPALIVED_CORPUS names no folder");
    }
    let folders = folders.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from);
    folders
        .map(|folder| {
            let entries = fs::read_dir(&folder).expect("the corpus can be listed");
            let mut files: Vec<PathBuf> = entries
                .map(|entry| entry.expect("readable").path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
                .collect();
            files.sort();
            (folder, files)
        })
        .collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

#[test]
fn every_common_message_of_stock_has_its_counterpart_in_the_same_place() {
    let (mut wrong, mut told) = (String::new(), BTreeMap::<&str, usize>::new());
    for (folder, files) in corpus() {
        if let Ok(templates) = fs::read_to_string(folder.join("messages.tsv")) {
            for line in templates.lines().skip(1) {
                let mut columns = line.split('\t');
                let (template, count) = (columns.next().unwrap_or(""), columns.next().unwrap_or("0"));
                let common = count.parse::<u32>().unwrap_or(0) >= FILES;
                if common && !COUNTERPARTS.iter().any(|(_, begin, _)| template.starts_with(begin)) {
                    let _ = writeln!(wrong, "no counterpart is named for: {template}");
                }
            }
        }
        for path in &files {
            let name = name_of(path);
            let number = name.split('-').next().unwrap_or(&name);
            let stock = folder.join("stock-2.4.3").join(format!("{number}.stderr"));
            let Ok(messages) = fs::read(stock) else { continue };
            let loaded = judged(&name, &fs::read(path).expect("readable"));
            let shown = shown(&loaded);
            for message in String::from_utf8_lossy(&messages).lines() {
                let (line, text) = placed(message);
                let Some((_, begin, ids)) = COUNTERPARTS.iter().find(|(part, ..)| text.contains(part)) else {
                    continue;
                };
                let mut lines = ids.iter().filter_map(|id| shown.get(id)).peekable();
                let cause = ids.contains(&"block-not-closed") || AT_THE_END.contains(begin);
                let met = lines.peek().is_some()
                    && line.is_none_or(|line| {
                        lines.any(|lines| {
                            lines.contains(&line) || cause && lines.range(..line).next().is_some()
                        })
                    });
                if met {
                    *told.entry(begin).or_default() += 1;
                } else {
                    let near: Vec<&str> = shown
                        .iter()
                        .filter(|(_, lines)| line.is_none_or(|line| lines.contains(&line)))
                        .map(|(id, _)| *id)
                        .collect();
                    let _ = writeln!(wrong, "{name}: {message}\n    ours there: {}", near.join(", "));
                }
            }
        }
    }
    println!("{told:#?}");
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn lints_are_rare_in_real_configurations() {
    let mut counts: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut files_read = 0;
    for (_, files) in corpus() {
        for path in &files {
            let name = name_of(path);
            let loaded = judged(&name, &fs::read(path).expect("readable"));
            files_read += 1;
            for report in loaded.diagnostics.iter() {
                if !LINTS.iter().any(|lint| lint.id == report.id) {
                    continue;
                }
                counts.entry(report.id).or_default().insert(name.clone());
                if std::env::var_os("SHOW_LINTS").is_some() {
                    let line = report.span.and_then(|span| loaded.sources.location(span));
                    let line = line.map_or(0, |at| at.line);
                    println!("{}\t{name}:{line}\t{}", report.id, report.message);
                }
            }
        }
    }
    for (id, files) in &counts {
        println!("{id}: {} of {files_read} files", files.len());
        // A virtual server is often checked away from its host.
        let common = *id == "virtual-server-not-local";
        assert!(common || files.len() * 8 <= files_read, "{id} fires in {} files", files.len());
    }
}
