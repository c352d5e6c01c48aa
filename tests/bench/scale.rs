//! Many instances at rest and over a reload; and the small everyday daemon.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use super::Figures;
use super::kit::daemon::{Daemon, Program};
use super::kit::net::{Host, Switch};
use super::kit::wait::{Outcome, Stamp, ensure, secs, throughout, until};
use super::kit::wire::Sniffer;
use super::measure::{cpu, memory};
use super::scenarios::services;
use super::takeover::Pair;

pub(crate) fn rest(program: &Program, directory: &Path) -> Outcome<Figures> {
    let pair = Pair::new()?;
    let wire = Sniffer::on(&pair.switch, &[&pair.master, &pair.backup])?;
    let config = "vrrp_instance V {\n interface eth0\n virtual_router_id 51\n priority 100\n virtual_ipaddress {\n  192.0.2.9\n }\n}\n";
    let mut daemon = Daemon::start_on(&pair.master, program, directory, config)?;
    wire.wait_advert("a master", Stamp(0), secs(20.0), |_| true)?;
    // Past the second burst of announcements, five seconds after the first.
    quiet(7.0)?;
    let before = cpu(&daemon);
    quiet(4.0)?;
    let spent = (cpu(&daemon) - before) / 4.0;
    let (resident, dirty) = memory(&daemon);
    let (at, _) = daemon.stop()?;
    let ended = Stamp::now().since(at);
    let zero = wire.wait_advert("the end of its reign", at, secs(5.0), |a| a.priority == 0)?.at.since(at);
    Ok(vec![
        ("CPU, ms a second", spent * 1e3),
        ("memory of all processes, MB", resident),
        ("of that dirty, MB", dirty),
        ("SIGTERM to priority 0, ms", zero * 1e3),
        ("SIGTERM to the end, ms", ended * 1e3),
    ])
}

/// The span is the measurement.
pub(crate) fn quiet(seconds: f64) -> Outcome {
    throughout(secs(seconds), "time passes", || true)
}

/// Instances per interface: VRIDs are few.
pub(crate) const PER_LINK: u32 = 250;

/// Hosts with as many interfaces as `count` instances need, a switch for each.
pub(crate) fn many(names: &[&str], count: u32) -> Outcome<(Vec<Switch>, Vec<Host>)> {
    let hosts: Vec<Host> = names.iter().map(|name| Host::new(name)).collect::<Outcome<_>>()?;
    let mut switches = Vec::new();
    for link in 0..count.div_ceil(PER_LINK) {
        let switch = Switch::new()?;
        for (number, host) in hosts.iter().enumerate() {
            host.plug(&switch, &[&format!("172.16.{link}.{}/24", number + 1)])?;
        }
        switches.push(switch);
    }
    Ok((switches, hosts))
}

pub(crate) fn instances(count: u32, priority: u8) -> String {
    let mut text = String::from("global_defs {\n vrrp_version 3\n}\n");
    for number in 0..count {
        let (link, vrid) = (number / PER_LINK, number % PER_LINK + 1);
        let [.., a, b] = number.to_be_bytes();
        let _ = writeln!(
            text,
            "vrrp_instance V{number} {{\n interface eth{link}\n virtual_router_id {vrid}\n priority {priority}\n advert_int 1\n \
             garp_master_delay 0\n garp_master_repeat 1\n virtual_ipaddress {{\n  10.100.{a}.{b}/32 dev eth{link}\n }}\n}}"
        );
    }
    text
}

pub(crate) fn sniffers(switches: &[Switch], hosts: &[Host]) -> Outcome<Vec<Sniffer>> {
    let hosts: Vec<&Host> = hosts.iter().collect();
    switches.iter().map(|switch| Sniffer::on(switch, &hosts)).collect()
}

/// Waits until all instances of a host have sent an advert.
pub(crate) fn all_masters(wires: &[Sniffer], host: &str, count: u32) -> Outcome {
    until(secs(60.0), "all masters", || {
        let heard = wires.iter().enumerate().flat_map(|(link, wire)| {
            wire.adverts_of(host, Stamp(0)).into_iter().map(move |advert| (link, advert.vrid))
        });
        (heard.collect::<HashSet<_>>().len() == count as usize).then_some(())
    })
}

pub(crate) fn masters(program: &Program, directory: &Path) -> Outcome<Figures> {
    let (switches, hosts) = many(&["one"], 1000)?;
    let wires = sniffers(&switches, &hosts)?;
    let mut daemon = Daemon::start_on(&hosts[0], program, directory, &instances(1000, 100))?;
    all_masters(&wires, "one", 1000)?;
    quiet(3.0)?;
    let (before, mark) = (cpu(&daemon), Stamp::now());
    quiet(4.0)?;
    let spent = (cpu(&daemon) - before) / 4.0;
    let errors = gap_errors(&wires, "one", mark);
    let (_, dirty) = memory(&daemon);
    let (at, _) = daemon.stop()?;
    let zeros =
        wires.iter().flat_map(|wire| wire.adverts_of("one", at)).filter(|advert| advert.priority == 0);
    let stamps: Vec<Stamp> = zeros.map(|advert| advert.at).collect();
    ensure!(stamps.len() >= 1000, "{} priority-0 adverts", stamps.len());
    let last = stamps.iter().max().map_or(f64::NAN, |last| last.since(at));
    Ok(vec![
        ("CPU, ms a second", spent * 1e3),
        ("error of the gap between adverts, median, ms", share(&errors, 50) * 1e3),
        ("the same, 99 %, ms", share(&errors, 99) * 1e3),
        ("dirty memory, MB", dirty),
        ("SIGTERM to the last priority 0, ms", last * 1e3),
    ])
}

/// How far the distances between the adverts of each instance since then are from a second, in order.
fn gap_errors(wires: &[Sniffer], host: &str, since: Stamp) -> Vec<f64> {
    let mut errors = Vec::new();
    for wire in wires {
        let mut last: HashMap<u8, Stamp> = HashMap::new();
        for advert in wire.adverts_of(host, since) {
            if let Some(before) = last.insert(advert.vrid, advert.at) {
                errors.push((advert.at.since(before) - 1.0).abs());
            }
        }
    }
    errors.sort_by(f64::total_cmp);
    errors
}

/// What this share of them, in percent, does not exceed.
fn share(sorted: &[f64], percent: usize) -> f64 {
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or(f64::NAN)
}

pub(crate) fn backups(program: &Program, directory: &Path) -> Outcome<Figures> {
    let (switches, hosts) = many(&["one", "two"], 1000)?;
    let wires = sniffers(&switches, &hosts)?;
    // Who is heard is always the same program. Its instances start one after the other, so that their adverts come evenly.
    let master = Daemon::start_on(&hosts[0], &Program::stock(), directory, &spread(200))?;
    all_masters(&wires, "one", 1000)?;
    let daemon = Daemon::start_on(&hosts[1], program, directory, &instances(1000, 100))?;
    daemon.wait_log("(V999) Entering BACKUP STATE", secs(60.0))?;
    quiet(4.0)?;
    let before = cpu(&daemon);
    quiet(4.0)?;
    let spent = (cpu(&daemon) - before) / 4.0;
    let (_, dirty) = memory(&daemon);
    ensure!(wires.iter().all(|wire| wire.adverts_of("two", Stamp(0)).is_empty()), "a backup took over");
    drop(master);
    Ok(vec![("CPU, ms a second", spent * 1e3), ("dirty memory, MB", dirty)])
}

/// A thousand instances whose priorities, and with them the moments of their takeover, are spread over half a second.
fn spread(lowest: u8) -> String {
    let mut text = String::new();
    let mut number = 0_u32;
    for line in instances(1000, lowest).lines() {
        if line.contains("priority ") {
            let more = u8::try_from(number % 54).unwrap_or_default();
            let _ = writeln!(text, " priority {}", lowest + more);
            number += 1;
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

pub(crate) fn reload(program: &Program, directory: &Path) -> Outcome<Figures> {
    let (switches, hosts) = many(&["one"], PER_LINK)?;
    let wires = sniffers(&switches, &hosts)?;
    let daemon = Daemon::start_on(&hosts[0], program, directory, &instances(PER_LINK, 100))?;
    all_masters(&wires, "one", PER_LINK)?;
    quiet(3.0)?;
    let mark = Stamp::now();
    quiet(1.5)?;
    let before = cpu(&daemon);
    daemon.signal(Signal::SIGHUP)?;
    quiet(3.0)?;
    let spent = cpu(&daemon) - before;
    let mut last: HashMap<u8, Stamp> = HashMap::new();
    let mut longest = 0.0_f64;
    for advert in wires[0].adverts_of("one", mark) {
        if let Some(before) = last.insert(advert.vrid, advert.at) {
            longest = longest.max(advert.at.since(before));
        }
    }
    let removed = fs::read_to_string(directory.join("one/log")).unwrap_or_default();
    ensure!(!removed.contains("Entering FAULT"), "an instance failed at the reload");
    Ok(vec![
        ("longest gap between adverts, ms", longest * 1e3),
        ("CPU of three seconds with it, ms", spent * 1e3),
    ])
}

pub(crate) fn reload_big(program: &Program, directory: &Path) -> Outcome<Figures> {
    const INTERVAL: f64 = 0.01;
    let pair = Pair::new()?;
    let wire = Sniffer::on(&pair.switch, &[&pair.master])?;
    let config = format!(
        "global_defs {{\n vrrp_version 3\n}}\nvrrp_instance V {{\n interface eth0\n virtual_router_id 51\n priority 200\n advert_int \
         {INTERVAL}\n virtual_ipaddress {{\n  10.100.0.1/32\n }}\n}}\n{}",
        services(10_000, "")
    );
    let mut daemon = Daemon::new(program, &pair.master, directory, &config)?;
    daemon.start(&pair.master, &["-P"])?;
    wire.wait_advert("the master", Stamp(0), secs(20.0), |a| a.from == "master")?;
    quiet(6.0)?;
    let mark = Stamp::now();
    daemon.signal(Signal::SIGHUP)?;
    quiet(3.0)?;
    let stamps: Vec<Stamp> = wire.adverts_of("master", mark).iter().map(|advert| advert.at).collect();
    let gaps: Vec<f64> = stamps.windows(2).map(|two| two[1].since(two[0])).collect();
    let longest = gaps.iter().copied().fold(0.0, f64::max);
    // A peer of priority 100.
    let patience = (3.0 + 156.0 / 256.0) * INTERVAL;
    let takeovers = u32::try_from(gaps.iter().filter(|gap| **gap > patience).count()).unwrap_or(u32::MAX);
    Ok(vec![
        ("longest gap between adverts, ms", longest * 1e3),
        ("takeovers a peer would make", f64::from(takeovers)),
    ])
}
