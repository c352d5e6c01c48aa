//! What is measured: one function a scenario, the same for every program.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use nix::sys::signal::Signal;

use super::Figures;
use super::kit::daemon::{Daemon, Program};
use super::kit::net::{Host, Switch};
use super::kit::place::{tool, write};
use super::kit::wait::{Outcome, Stamp, ensure, secs, throughout, until};
use super::kit::wire::Sniffer;
use super::measure::{children, cpu, memory};

/// One thing to measure.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Program, &Path) -> Outcome<Figures>,
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "parse", about: "-t of 10,000 virtual servers with four real servers each", run: parse },
    Scenario {
        name: "failover",
        about: "the master crashes (v3, adverts every 100 ms): behind what theory says",
        run: failover,
    },
    Scenario { name: "addresses", about: "the same with 2,000 addresses to take over", run: addresses },
    Scenario { name: "rest", about: "one instance at rest, and its end", run: rest },
    Scenario { name: "masters", about: "1,000 masters, one advert a second each", run: masters },
    Scenario { name: "backups", about: "1,000 backups that hear one advert a second each", run: backups },
    Scenario { name: "reload", about: "SIGHUP to 255 masters, nothing changed", run: reload },
];

/// `-t`, whose wall time on a shared machine says little.
fn parse(program: &Program, directory: &Path) -> Outcome<Figures> {
    let mut figures = Figures::new();
    for (check, cpu, memory) in [
        ("", "CPU, ms", "peak memory, MB"),
        (
            "        TCP_CHECK {\n            connect_timeout 3\n        }\n",
            "with TCP_CHECK: CPU, ms",
            "with TCP_CHECK: peak memory, MB",
        ),
    ] {
        let file = directory.join("large.conf");
        write(&file, services(10_000, check))?;
        let before = children();
        // In a namespace: some keywords make even a test look at the host.
        let output = tool("unshare")
            .args(["--net", "--mount", "time", "-f", "%M"])
            .arg(&program.path)
            .args(["-t", "-f"])
            .arg(&file)
            .output()
            .map_err(|e| format!("unshare: {e}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{}: {said}", output.status);
        let peak = said.lines().last().and_then(|line| line.trim().parse::<f64>().ok());
        figures.push((cpu, (children() - before) * 1e3));
        figures.push((memory, peak.ok_or_else(|| format!("no memory in {said:?}"))? / 1e3));
    }
    Ok(figures)
}

fn services(count: u32, check: &str) -> String {
    let mut text = String::from("global_defs {\n    router_id bench\n}\n");
    for number in 0..count {
        let [_, a, b, c] = (number + 1).to_be_bytes();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "virtual_server 10.{}.{b}.{c} 80 {{\n    delay_loop 6\n    lvs_sched rr\n    lvs_method NAT\n    protocol TCP",
            128 + a
        );
        for server in 0..4 {
            let _ = writeln!(
                text,
                "    real_server 10.20{server}.{b}.{c} 8080 {{\n        weight 1\n{check}    }}"
            );
        }
        text.push_str("}\n");
    }
    text
}

/// Two directors and who listens.
struct Pair {
    switch: Switch,
    master: Host,
    backup: Host,
}

impl Pair {
    fn new() -> Outcome<Self> {
        let switch = Switch::new()?;
        let master = Host::on(&switch, "master", &["192.0.2.1/24"])?;
        let backup = Host::on(&switch, "backup", &["192.0.2.2/24"])?;
        Ok(Self { switch, master, backup })
    }
}

fn failover(program: &Program, directory: &Path) -> Outcome<Figures> {
    let (advert, first, _) = crash(program, directory, 1)?;
    Ok(vec![("first advert, ms", advert), ("first gratuitous ARP, ms", first)])
}

fn addresses(program: &Program, directory: &Path) -> Outcome<Figures> {
    let (_, first, last) = crash(program, directory, 2000)?;
    Ok(vec![("first gratuitous ARP, ms", first), ("last address announced, ms", last)])
}

/// Milliseconds past the master-down time: first advert, first and last address announced.
fn crash(program: &Program, directory: &Path, count: u32) -> Outcome<(f64, f64, f64)> {
    let pair = Pair::new()?;
    let config = |priority: u8| {
        let mut text = format!(
            "global_defs {{\n vrrp_version 3\n}}\nvrrp_instance V {{\n interface eth0\n virtual_router_id 51\n priority {priority}\n \
             advert_int 0.1\n garp_master_delay 0\n garp_master_repeat 1\n virtual_ipaddress {{\n  10.100.0.1/32\n }}\n \
             virtual_ipaddress_excluded {{\n"
        );
        for number in 1..count {
            let [.., a, b] = (number + 1).to_be_bytes();
            let _ = writeln!(text, "  10.100.{a}.{b}/32");
        }
        text + " }\n}\n"
    };
    let wire = Sniffer::on(&pair.switch, &[&pair.master, &pair.backup])?;
    // The one that goes is always the same program.
    let mut master = Daemon::start_on(&pair.master, &Program::stock(), directory, &config(200))?;
    wire.wait_advert("the master", Stamp(0), secs(20.0), |a| a.from == "master")?;
    let backup = Daemon::start_on(&pair.backup, program, directory, &config(100))?;
    backup.wait_log("Entering BACKUP STATE", secs(20.0))?;
    // Past the start's own work.
    throughout(secs(1.0), "the backup stays backup", || wire.adverts_of("backup", Stamp(0)).is_empty())?;
    let gone = master.crash()?;
    let last = wire.last_advert_of("master", gone).ok_or("no advert of the master")?;
    let theory = 3.0 * 0.1 + 0.1 * 156.0 / 256.0;
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
    Ok((late(first.at), late(*first_arp), late(*last_arp)))
}

fn rest(program: &Program, directory: &Path) -> Outcome<Figures> {
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
    Ok(vec![
        ("CPU, ms a second", spent * 1e3),
        ("memory of all processes, MB", resident),
        ("of that dirty, MB", dirty),
        ("SIGTERM to the end, ms", ended * 1e3),
    ])
}

/// The span is the measurement.
fn quiet(seconds: f64) -> Outcome {
    throughout(secs(seconds), "time passes", || true)
}

/// Instances per interface: VRIDs are few.
const PER_LINK: u32 = 250;

/// Hosts with as many interfaces as `count` instances need, a switch for each.
fn many(names: &[&str], count: u32) -> Outcome<(Vec<Switch>, Vec<Host>)> {
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

fn instances(count: u32, priority: u8) -> String {
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

fn sniffers(switches: &[Switch], hosts: &[Host]) -> Outcome<Vec<Sniffer>> {
    let hosts: Vec<&Host> = hosts.iter().collect();
    switches.iter().map(|switch| Sniffer::on(switch, &hosts)).collect()
}

/// Waits until all instances of a host have sent an advert.
fn all_masters(wires: &[Sniffer], host: &str, count: u32) -> Outcome {
    until(secs(60.0), "all masters", || {
        let heard = wires.iter().enumerate().flat_map(|(link, wire)| {
            wire.adverts_of(host, Stamp(0)).into_iter().map(move |advert| (link, advert.vrid))
        });
        (heard.collect::<HashSet<_>>().len() == count as usize).then_some(())
    })
}

fn masters(program: &Program, directory: &Path) -> Outcome<Figures> {
    let (switches, hosts) = many(&["one"], 1000)?;
    let wires = sniffers(&switches, &hosts)?;
    let mut daemon = Daemon::start_on(&hosts[0], program, directory, &instances(1000, 100))?;
    all_masters(&wires, "one", 1000)?;
    quiet(3.0)?;
    let before = cpu(&daemon);
    quiet(4.0)?;
    let spent = (cpu(&daemon) - before) / 4.0;
    let (_, dirty) = memory(&daemon);
    let (at, _) = daemon.stop()?;
    let zeros =
        wires.iter().flat_map(|wire| wire.adverts_of("one", at)).filter(|advert| advert.priority == 0);
    let stamps: Vec<Stamp> = zeros.map(|advert| advert.at).collect();
    ensure!(stamps.len() >= 1000, "{} priority-0 adverts", stamps.len());
    let last = stamps.iter().max().map_or(f64::NAN, |last| last.since(at));
    Ok(vec![
        ("CPU, ms a second", spent * 1e3),
        ("dirty memory, MB", dirty),
        ("SIGTERM to the last priority 0, ms", last * 1e3),
    ])
}

fn backups(program: &Program, directory: &Path) -> Outcome<Figures> {
    let (switches, hosts) = many(&["one", "two"], 1000)?;
    let wires = sniffers(&switches, &hosts)?;
    // Who is heard is always the same program.
    let mut master = Daemon::start_on(&hosts[0], &Program::stock(), directory, &instances(1000, 200))?;
    all_masters(&wires, "one", 1000)?;
    let daemon = Daemon::start_on(&hosts[1], program, directory, &instances(1000, 100))?;
    daemon.wait_log("(V999) Entering BACKUP STATE", secs(60.0))?;
    quiet(4.0)?;
    let before = cpu(&daemon);
    quiet(4.0)?;
    let spent = (cpu(&daemon) - before) / 4.0;
    let (_, dirty) = memory(&daemon);
    let gone = master.crash()?;
    let due: Stamp = wires
        .iter()
        .flat_map(|wire| wire.adverts_of("one", Stamp(0)))
        .filter(|advert| advert.at < gone)
        .map(|advert| advert.at)
        .max()
        .ok_or("no adverts of the master")?;
    let theory = 3.0 + 156.0 / 256.0;
    let mut last = None;
    until(secs(60.0), "all addresses announced", || {
        let all: HashMap<Ipv4Addr, Stamp> = wires
            .iter()
            .flat_map(|wire| wire.announcements_of("two", gone))
            .map(|announcement| (announcement.address, announcement.at))
            .collect();
        last = all.values().max().copied();
        (all.len() >= 1000).then_some(())
    })?;
    let late = last.map_or(f64::NAN, |last| last.since(due) - theory);
    Ok(vec![
        ("CPU, ms a second", spent * 1e3),
        ("dirty memory, MB", dirty),
        ("the last takeover is due, to its ARP, ms", late * 1e3),
    ])
}

fn reload(program: &Program, directory: &Path) -> Outcome<Figures> {
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
