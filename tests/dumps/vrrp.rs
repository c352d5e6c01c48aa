//! Agreement with stock on what the vrrp process dumps, and on the global section that begins every dump.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use keepalived_rs::config::model::VrrpPart;
use keepalived_rs::report::clock::Clock;
use keepalived_rs::report::global::{Writer, global};
use keepalived_rs::report::vrrp::{Socket, View, data};
use keepalived_rs::time::Time;
use keepalived_rs::vrrp::{Action, Event, Interface, Router};

use super::difference::{Difference, differences};
use super::{interfaces, samples};

/// Lines that differ wherever they are, and why.
const EVERYWHERE: &[(&str, &str)] = &[
    (" libnftnl version ", "this daemon has no libnftnl"),
    (" fd_in ", "descriptors are `*` in the sample, whatever separates them"),
    ("   Command = </dev/tcp/", "a redirection is run by a shell, and the shell is shown"),
    ("   Command = '/bin/sh' '-c' '</dev/tcp/", "the same"),
    (" Global notify fifo script", "stock's parent shows readers that its children found missing"),
    (" VRRP notify fifo script", "the same"),
    (
        " Smtp server",
        "stock looks a relay's name up while it reads; ours does when there is a mail, and shows the name",
    ),
];

/// Files with lines that differ: the start of such a line, and why.
const EXPLAINED: &[(&str, &str, &str)] = &[
    (
        "003-keepalived-devel-tools",
        "",
        "links that the sample shows as deleted: its host cannot be told from it",
    ),
    ("326-keepalived-devel-tools", "", "the same, with an ipvlan"),
    (
        "136-keepalived-devel-tools",
        "   rp_filter ",
        "shown under an interface with an IPv6 VMAC; ours only with IPv4 ones",
    ),
    ("139-user-issue", "   rp_filter ", "the same"),
    (
        "302-keepalived",
        "   Tracking VRRP instances :",
        "the instance is listed under the interfaces of its routes; ours is not",
    ),
    ("302-keepalived", "     VI_1, weight 0", "the same"),
    ("070-user-issue", " Global notify fifo = ", "stock could not create the FIFO"),
    (
        "369-keepalived-windows",
        "------< Interfaces",
        "its only instance has no name; we start no process for it",
    ),
];

/// What our daemon would write at the moment of its start.
pub(super) fn ours(part: &VrrpPart, interfaces: Vec<Interface>) -> String {
    let now = Time::ZERO + Duration::from_secs(1);
    let mut router = Router::new(part);
    let mut out = Vec::new();
    router.handle(now, Event::Interfaces(interfaces), &mut out);
    let listeners = out.into_iter().filter_map(|action| match action {
        Action::Listen(listeners) => Some(listeners),
        _ => None,
    });
    let sockets: Vec<_> =
        listeners.flatten().map(|listener| Socket { listener, fd_in: 1, fd_out: 2 }).collect();
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

/// The difference that has an explanation, if it has one.
fn explanation(name: &str, line: &str) -> Option<&'static str> {
    let everywhere = EVERYWHERE.iter().filter(|(start, _)| line.starts_with(start)).map(|(start, _)| *start);
    let here = EXPLAINED.iter().filter(|(file, start, _)| *file == name && line.starts_with(start));
    everywhere.chain(here.map(|(file, ..)| *file)).next()
}

#[test]
fn the_vrrp_dump_and_the_global_sections_are_stocks() {
    let samples = samples();
    if samples.is_empty() {
        println!("skipped: KEEPALIVED_CORPUS is not set");
        return;
    }
    let (mut parts, mut lines) = (0_usize, 0_usize);
    let mut different = BTreeMap::<Difference, BTreeSet<String>>::new();
    let mut used = BTreeSet::new();
    for sample in &samples {
        let Some(config) = sample.config() else {
            let missing = Difference::Stock("a dump".to_owned());
            different.entry(missing).or_default().insert(sample.name.clone());
            continue;
        };
        for (process, writer) in [
            ("parent", Writer::Parent),
            ("vrrp", Writer::Vrrp),
            ("check", Writer::Checkers),
            ("bfd", Writer::Bfd),
        ] {
            let mut stock = sample.part(process);
            if stock.is_empty() {
                continue;
            }
            let mut text = String::new();
            if writer == Writer::Vrrp {
                // Stock has a vrrp process even when all instances are skipped.
                let nothing = || VrrpPart { global: config.global.clone(), ..VrrpPart::default() };
                let part = config.vrrp_part().unwrap_or_else(nothing);
                text = ours(&part, interfaces(&stock));
            } else {
                let sections = stock.iter().skip(1).position(|line| line.starts_with("------<"));
                stock.truncate(sections.map_or(stock.len(), |at| at + 1));
                global(&mut text, &config.global, writer);
            }
            let stock: Vec<&str> = stock.into_iter().filter(|line| !is_live(line)).collect();
            let ours: Vec<&str> = text.lines().filter(|line| !is_live(line)).collect();
            let (same, found) = differences(&stock, &ours);
            parts += 1;
            lines += same;
            for difference in found {
                let (Difference::Stock(line) | Difference::Ours(line)) = &difference;
                if let Some(explained) = explanation(&sample.name, line) {
                    used.insert(explained);
                } else {
                    different.entry(difference).or_default().insert(sample.name.clone());
                }
            }
        }
    }
    println!("{lines} lines of {parts} dumps of {} configurations agree", samples.len());
    let mut report = String::new();
    for (difference, names) in &different {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let _ = writeln!(report, "{:4} {difference}: {}", names.len(), names.join(" "));
    }
    assert!(different.is_empty(), "not explained:\n{report}");
    let unused: Vec<_> = EVERYWHERE
        .iter()
        .map(|(start, _)| *start)
        .chain(EXPLAINED.iter().map(|(file, ..)| *file))
        .filter(|explanation| !used.contains(explanation))
        .collect();
    assert!(unused.is_empty(), "explained, but no difference any more: {unused:?}");
}
