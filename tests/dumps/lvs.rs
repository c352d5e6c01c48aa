//! Agreement with stock on what the checkers process dumps: services, real servers, checks, SSL, sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use keepalived_rs::config::model::CheckersPart;
use keepalived_rs::lvs::virtual_server::VirtualServerHealth;
use keepalived_rs::report::bfd::{BfdData, bfd_data};
use keepalived_rs::report::check_data::{CheckData, CheckState, VirtualServerData, check_data};
use keepalived_rs::report::clock::Clock;
use keepalived_rs::time::Time;

use super::{Sample, agrees, samples};

/// Files that differ, and why.
const EXPLAINED: &[(&str, &str)] = &[
    (
        "098-keepalived",
        "stock checks only the last `host` of SMTP_CHECK, and others at once and in vain; we check each",
    ),
    (
        "040-keepalived-devel-tools",
        "the scripts of its alpha checks do not exist: stock removes the checks and leaves their servers down for ever",
    ),
];

const CLOCK: Clock = Clock { now: Time::ZERO, epoch: Duration::ZERO, utc_offset: 0 };

/// What our checkers process would write at the moment of its start.
pub(super) fn checkers(part: &CheckersPart) -> String {
    let healths: Vec<_> = part
        .virtual_servers
        .iter()
        .map(|vs| VirtualServerHealth::start(Arc::new(vs.clone()), false, &mut Vec::new()))
        .collect();
    let virtual_servers = healths.iter().map(|health| VirtualServerData {
        config: health.config(),
        health: health.snapshot(),
        checks: health
            .config()
            .real_servers
            .iter()
            .map(|rs| {
                // The virtual addresses were on no interface.
                let suspended = health.config().ha_suspend;
                let state = |alpha: bool| CheckState {
                    enabled: !suspended,
                    up: !alpha,
                    has_run: false,
                    failures: 0,
                    failed_url: None,
                    last_status: 0,
                    last_run: None,
                    attempts: 0,
                };
                rs.checkers.iter().map(|checker| state(checker.alpha)).collect()
            })
            .collect(),
        reloaded: &[],
    });
    check_data(&CheckData {
        global: &part.global,
        ssl: part.ssl.as_ref(),
        groups: &part.groups,
        virtual_servers: virtual_servers.collect(),
        bfd_instances: &part.bfd_instances,
        track_files: part.track_files.iter().map(|file| (file, 0)).collect(),
        clock: CLOCK,
    })
}

/// The lines of one process' part, from `first` on.
fn part<'a>(sample: &'a Sample, process: &str, first: &[&str]) -> Vec<&'a str> {
    sample.part(process).into_iter().skip_while(|line| !first.contains(line)).collect()
}

const CHECKERS: [&str; 2] = ["------< SSL definitions >------", "------< LVS Topology >------"];
const BFD: [&str; 1] = ["------< BFD Topology >------"];

/// Lines that agree, and the first that does not.
fn compare(stock: &[&str], ours: &[&str]) -> (usize, Option<String>) {
    let same = stock.iter().zip(ours).take_while(|(stock, ours)| agrees(stock, ours)).count();
    if same == stock.len() && same == ours.len() {
        return (same, None);
    }
    let line = |lines: &[&str]| lines.get(same).map_or("(the end)".to_owned(), |line| format!("`{line}`"));
    (same, Some(format!("stock {}, ours {}", line(stock), line(ours))))
}

#[test]
fn the_checkers_and_bfd_dumps_are_stocks() {
    let samples = samples();
    if samples.is_empty() {
        println!("skipped: KEEPALIVED_CORPUS is not set");
        return;
    }
    let (mut files, mut lines) = (0_usize, 0_usize);
    let mut different = BTreeMap::<String, Vec<String>>::new();
    for sample in &samples {
        let (checks, bfd) = (part(sample, "check", &CHECKERS), part(sample, "bfd", &BFD));
        if checks.is_empty() && bfd.is_empty() {
            continue;
        }
        files += 1;
        let Some(config) = sample.config() else {
            different.entry("(not loaded)".to_owned()).or_default().push(sample.name.clone());
            continue;
        };
        let ours = config.checkers_part().map_or(String::new(), |part| checkers(&part));
        let ours: Vec<&str> = ours.lines().skip_while(|line| !CHECKERS.contains(line)).collect();
        let our_bfd = bfd_data(&BfdData {
            global: &config.global,
            instances: config.bfd_instances.iter().map(|bfd| (bfd, None)).collect(),
            descriptors: &[],
            clock: CLOCK,
        });
        let our_bfd: Vec<&str> = our_bfd.lines().skip_while(|line| !BFD.contains(line)).collect();
        for (stock, ours) in [(checks, ours), (bfd, our_bfd)] {
            let (same, first) = compare(&stock, &ours);
            lines += same;
            if let Some(difference) = first {
                different.entry(difference).or_default().push(sample.name.clone());
            }
        }
    }
    let mut report = String::new();
    for (difference, names) in &different {
        let _ = writeln!(report, "{:4} {difference}: {}", names.len(), names.join(" "));
    }
    println!("{lines} lines of {files} files agree\n{report}");
    let found: BTreeSet<&str> = different.values().flatten().map(String::as_str).collect();
    let explained: BTreeSet<&str> = EXPLAINED.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, explained, "\n{report}");
}
