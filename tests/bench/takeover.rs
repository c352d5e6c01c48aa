//! Directors that take over from each other: after a crash, after a stop, with many addresses, with many instances.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Figures;
use super::kit::addresses::AddressMonitor;
use super::kit::daemon::{Daemon, Program};
use super::kit::net::{Host, Switch};
use super::kit::wait::{Outcome, Stamp, ensure, secs, throughout, until};
use super::kit::wire::Sniffer;
use super::scale::{PER_LINK, all_masters, instances, many, quiet, sniffers};

/// Of priority 100, in intervals.
const SKEW: f64 = 156.0 / 256.0;

/// Two directors and who listens.
pub(crate) struct Pair {
    pub(crate) switch: Switch,
    pub(crate) master: Host,
    pub(crate) backup: Host,
}

impl Pair {
    pub(crate) fn new() -> Outcome<Self> {
        let switch = Switch::new()?;
        let master = Host::on(&switch, "master", &["192.0.2.1/24"])?;
        let backup = Host::on(&switch, "backup", &["192.0.2.2/24"])?;
        Ok(Self { switch, master, backup })
    }
}

pub(crate) fn failover(program: &Program, directory: &Path) -> Outcome<Figures> {
    let slow = crash(program, directory, 1, 0.1)?;
    let fast = crash(program, directory, 1, 0.01)?;
    Ok(vec![
        ("adverts every 100 ms: first advert, ms", slow.advert),
        ("first gratuitous ARP, ms", slow.first),
        ("adverts every 10 ms: first advert, ms", fast.advert),
        ("first gratuitous ARP, ms", fast.first),
    ])
}

pub(crate) fn addresses(program: &Program, directory: &Path) -> Outcome<Figures> {
    let mut figures = Figures::new();
    for (count, first, last) in [
        (20, "20: first gratuitous ARP", "20: last address announced"),
        (200, "200: first gratuitous ARP", "200: last address announced"),
        (2000, "2,000: first gratuitous ARP", "2,000: last address announced"),
    ] {
        let found = crash(program, directory, count, 0.1)?;
        figures.push((first, found.first));
        figures.push((last, found.last));
        if count == 2000 {
            figures.push(("2,000: SIGTERM to priority 0", found.zero));
            figures.push(("2,000: SIGTERM to the last address gone", found.gone));
        }
    }
    Ok(figures)
}

/// Milliseconds past the master-down time: first advert, first and last address announced. Then milliseconds after
/// SIGTERM: priority 0, last address gone.
struct Takeover {
    advert: f64,
    first: f64,
    last: f64,
    zero: f64,
    gone: f64,
}

fn vip(number: u32) -> Ipv4Addr {
    let [.., a, b] = (number + 1).to_be_bytes();
    Ipv4Addr::new(10, 100, a, b)
}

fn crash(program: &Program, directory: &Path, count: u32, interval: f64) -> Outcome<Takeover> {
    let pair = Pair::new()?;
    let config = |priority: u8| {
        let mut text = format!(
            "global_defs {{\n vrrp_version 3\n}}\nvrrp_instance V {{\n interface eth0\n virtual_router_id 51\n priority {priority}\n \
             advert_int {interval}\n garp_master_delay 0\n garp_master_repeat 1\n virtual_ipaddress {{\n  {}/32\n }}\n \
             virtual_ipaddress_excluded {{\n",
            vip(0)
        );
        for number in 1..count {
            let _ = writeln!(text, "  {}/32", vip(number));
        }
        text + " }\n}\n"
    };
    let wire = Sniffer::on(&pair.switch, &[&pair.master, &pair.backup])?;
    let kernel = AddressMonitor::on(&pair.backup)?;
    // The one that goes is always the same program.
    let mut master = Daemon::start_on(&pair.master, &Program::stock(), directory, &config(200))?;
    wire.wait_advert("the master", Stamp(0), secs(20.0), |a| a.from == "master")?;
    let mut backup = Daemon::start_on(&pair.backup, program, directory, &config(100))?;
    backup.wait_log("Entering BACKUP STATE", secs(20.0))?;
    // Past the start's own work.
    quiet(1.0)?;
    ensure!(wire.adverts_of("backup", Stamp(0)).is_empty(), "the backup did not stay backup");
    let gone = master.crash()?;
    let last = wire.last_advert_of("master", gone).ok_or("no advert of the master")?;
    let theory = (3.0 + SKEW) * interval;
    let late = |at: Stamp| (at.since(last.at) - theory) * 1e3;
    let first = wire.wait_advert("the backup takes over", gone, secs(10.0), |a| a.from == "backup")?;
    let all: Vec<Stamp> = until(secs(20.0), "all addresses announced", || {
        let found = wire.announcements_of("backup", gone);
        let mut seen = HashSet::new();
        let firsts: Vec<_> = found.iter().filter(|a| seen.insert(a.address)).map(|a| a.at).collect();
        (firsts.len() == count as usize).then_some(firsts)
    })?;
    let (Some(first_arp), Some(last_arp)) = (all.iter().min(), all.iter().max()) else {
        return Err("nothing announced".to_owned());
    };
    quiet(0.5)?;
    let (at, _) = backup.stop()?;
    let zero = wire.wait_advert("the end of its reign", at, secs(5.0), |a| a.priority == 0)?;
    let removed = (0..count).filter_map(|number| {
        kernel.of(vip(number), at).into_iter().find(|change| !change.came).map(|change| change.at)
    });
    let removed: Vec<Stamp> = removed.collect();
    ensure!(removed.len() == count as usize, "{} of {count} addresses removed", removed.len());
    let last_removed = removed.into_iter().max().map_or(f64::NAN, |last| last.since(at) * 1e3);
    Ok(Takeover {
        advert: late(first.at),
        first: late(*first_arp),
        last: late(*last_arp),
        zero: zero.at.since(at) * 1e3,
        gone: last_removed,
    })
}

pub(crate) fn together(program: &Program, directory: &Path) -> Outcome<Figures> {
    let mut figures = Figures::new();
    for (count, names) in [
        (
            255,
            [
                "255: due to the ARP of the last, ms",
                "255: due to its advert, ms",
                "255: SIGTERM to the last priority 0, ms",
                "255: SIGTERM to the end, ms",
            ],
        ),
        (
            1000,
            [
                "1,000: due to the ARP of the last, ms",
                "1,000: due to its advert, ms",
                "1,000: SIGTERM to the last priority 0, ms",
                "1,000: SIGTERM to the end, ms",
            ],
        ),
    ] {
        figures.extend(names.into_iter().zip(resigned(program, directory, count)?));
    }
    Ok(figures)
}

fn resigned(program: &Program, directory: &Path, count: u32) -> Outcome<[f64; 4]> {
    let (switches, hosts) = many(&["one", "two"], count)?;
    let wires = sniffers(&switches, &hosts)?;
    // Who resigns is always the same program.
    let mut master = Daemon::start_on(&hosts[0], &Program::stock(), directory, &instances(count, 200))?;
    all_masters(&wires, "one", count)?;
    let mut daemon = Daemon::start_on(&hosts[1], program, directory, &instances(count, 100))?;
    daemon.wait_log(&format!("(V{}) Entering BACKUP STATE", count - 1), secs(60.0))?;
    quiet(4.0)?;
    let (resigns, _) = master.stop()?;
    until(secs(30.0), "all instances taken over", || {
        let announced: HashSet<_> =
            wires.iter().flat_map(|wire| wire.announcements_of("two", resigns)).map(|a| a.address).collect();
        (announced.len() >= count as usize).then_some(())
    })?;
    let (mut worst_arp, mut worst_advert) = (0.0_f64, 0.0_f64);
    for (link, wire) in wires.iter().enumerate() {
        let mut due: HashMap<u8, Stamp> = HashMap::new();
        for zero in wire.adverts_of("one", resigns).iter().filter(|advert| advert.priority == 0) {
            due.entry(zero.vrid).or_insert(zero.at);
        }
        let mut heard: HashMap<u8, Stamp> = HashMap::new();
        for advert in wire.adverts_of("two", resigns) {
            heard.entry(advert.vrid).or_insert(advert.at);
        }
        let mut announced: HashMap<Ipv4Addr, Stamp> = HashMap::new();
        for announcement in wire.announcements_of("two", resigns) {
            announced.entry(announcement.address).or_insert(announcement.at);
        }
        for (vrid, zero) in due {
            let number = u32::try_from(link).unwrap_or_default() * PER_LINK + u32::from(vrid) - 1;
            let [.., a, b] = number.to_be_bytes();
            let late = |at: Option<&Stamp>| at.map_or(f64::NAN, |at| (at.since(zero) - SKEW) * 1e3);
            worst_advert = worst_advert.max(late(heard.get(&vrid)));
            worst_arp = worst_arp.max(late(announced.get(&Ipv4Addr::new(10, 100, a, b))));
        }
    }
    quiet(1.5)?;
    let (at, _) = daemon.stop()?;
    let end = Stamp::now().since(at) * 1e3;
    let zeros: Vec<Stamp> = wires
        .iter()
        .flat_map(|wire| wire.adverts_of("two", at))
        .filter(|advert| advert.priority == 0)
        .map(|advert| advert.at)
        .collect();
    ensure!(zeros.len() >= count as usize, "{} priority-0 adverts", zeros.len());
    let last = zeros.iter().max().map_or(f64::NAN, |last| last.since(at) * 1e3);
    Ok([worst_arp, worst_advert, last, end])
}

pub(crate) fn crash_of_one(program: &Program, directory: &Path) -> Outcome<Figures> {
    let pair = Pair::new()?;
    let config = |priority: u8| {
        format!(
            "vrrp_instance V {{\n interface eth0\n virtual_router_id 51\n priority {priority}\n advert_int 1\n virtual_ipaddress {{\n  \
             {}/32\n }}\n}}\n",
            vip(0)
        )
    };
    let wire = Sniffer::on(&pair.switch, &[&pair.master, &pair.backup])?;
    let master = Daemon::start_on(&pair.master, program, directory, &config(200))?;
    wire.wait_advert("the master", Stamp(0), secs(20.0), |a| a.from == "master")?;
    let backup = Daemon::start_on(&pair.backup, &Program::stock(), directory, &config(100))?;
    backup.wait_log("Entering BACKUP STATE", secs(20.0))?;
    quiet(2.5)?;
    let last = wire.last_advert_of("master", Stamp::now()).ok_or("no advert of the master")?;
    let pid = Pid::from_raw(master.pid("vrrp")?);
    kill(pid, Signal::SIGKILL).map_err(|errno| format!("killing the vrrp process: {errno}"))?;
    throughout(secs(8.0), "the consequences", || true)?;
    let mut before = last.at;
    let mut longest = 0.0_f64;
    for advert in wire.adverts_of("master", last.at) {
        longest = longest.max(advert.at.since(before));
        before = advert.at;
    }
    let seized = !wire.adverts_of("backup", last.at).is_empty();
    Ok(vec![
        ("longest gap between its adverts, ms", longest * 1e3),
        ("takeovers by the backup", f64::from(u8::from(seized))),
    ])
}
