//! Tools that read what a daemon leaves and says: with their commands, and the fields they take.
//! spec/daemon-behaviour.md §16; further ones in `tests/beside_stock.rs` and `tests/readers.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Lab};
use crate::farm::{Farm, TCP_CHECK, real, service};
use crate::kit::daemon::Daemon;
use crate::kit::net::{Cable, Host, Switch};
use crate::kit::place::write_script;
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::pair::{A, Pair, config, instance};

pub(crate) const CASES: &[Case] = &[
    Case::single("readers_vyos_follows_the_states_by_its_fifo_program", vyos_fifo),
    Case::single("readers_vyos_waits_for_the_end_of_each_file_and_takes_it_away", vyos_files),
    Case::single("readers_vyatta_asks_the_vrrp_process", vyatta),
    Case::guest("readers_octavia_takes_the_state_of_real_servers_from_the_kernel", octavia),
];

/// Its program opens the pipe that it is given as the last word, takes lines apart with one pattern (type, name in quotes of
/// letters, digits, `_` and `-`, state, priority), and calls what is configured for the type, name and state.
const VYOS: &str = r#"#!/bin/bash
pipe=${!#}
pattern='^([A-Za-z0-9_]+) "([A-Za-z0-9_-]+)" ([A-Za-z0-9_]+) ([0-9]+)$'
exec 3<"$pipe"
while read -r line <&3; do
    if [[ $line =~ $pattern ]]; then
        case ${BASH_REMATCH[1]} in
        INSTANCE) echo "instance ${BASH_REMATCH[2]} is ${BASH_REMATCH[3]}" ;;
        GROUP) echo "group ${BASH_REMATCH[2]} is ${BASH_REMATCH[3]}" ;;
        esac
    else
        echo "no event: $line"
    fi >>"${0%/*}/states"
done
"#;

fn vyos_fifo(lab: &Lab) -> Outcome {
    let file = |name: &str| lab.directory.join(name);
    write_script(&file("keepalived-fifo.sh"), VYOS)?;
    let member = |name: &str, vrid: u8| {
        let words = format!("state BACKUP\nadvert_int 1\nvirtual_ipaddress {{\n 10.0.0.{vrid}/24\n}}");
        instance(name, vrid, "eth0", 200, &words)
    };
    let text = format!(
        "global_defs {{\n dynamic_interfaces\n script_user root\n notify_fifo {}\n notify_fifo_script {}\n}}\n{}{}\
         vrrp_sync_group MAIN {{\n group {{\n eth0-10\n eth0_20\n }}\n}}\n",
        file("keepalived_notify_fifo").display(),
        file("keepalived-fifo.sh").display(),
        member("eth0-10", 110),
        member("eth0_20", 120),
    );
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let mut daemon = Daemon::start_on(&host, &lab.subject, &lab.directory, &text)?;
    // What it believes of each after each event.
    let believed = || -> BTreeMap<String, String> {
        let text = fs::read_to_string(file("states")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(" is "));
        lines.map(|(who, state)| (who.to_owned(), state.to_owned())).collect()
    };
    let all = |daemon: &Daemon, state: &str| {
        until(secs(9.0), format!("everybody to be {state}"), || {
            let believed = believed();
            (believed.len() == 3 && believed.values().all(|it| it == state)).then_some(())
        })
        .map_err(|e| daemon.explain(format!("{e}\n{:?}", fs::read_to_string(file("states")))))
    };
    all(&daemon, "MASTER")?;
    switch.cable(&host, Cable::Out)?;
    all(&daemon, "FAULT")?;
    switch.cable(&host, Cable::In)?;
    all(&daemon, "MASTER")?;
    // A commit in between: its program is another one then, the states go on.
    daemon.reload(&text.replace("priority 200", "priority 180"))?;
    switch.cable(&host, Cable::Out)?;
    all(&daemon, "FAULT")?;
    let text = fs::read_to_string(file("states")).map_err(|e| e.to_string())?;
    ensure!(!text.contains("no event"), "{text}");
    daemon.stop()?;
    Ok(())
}

/// Waits until somebody has written the file and closed it, and takes it away: what its op-mode commands do.
fn taken(daemon: &Daemon, number: i32, name: &str) -> Outcome<String> {
    let folder = daemon.own_file("tmp");
    let watch = Inotify::init(InitFlags::IN_NONBLOCK).map_err(|e| e.to_string())?;
    watch.add_watch(&folder, AddWatchFlags::IN_CLOSE_WRITE).map_err(|e| e.to_string())?;
    let pid =
        fs::read_to_string(daemon.own_file("run/keepalived/keepalived.pid")).map_err(|e| e.to_string())?;
    let status =
        std::process::Command::new("kill").args([format!("-{number}"), pid.trim().to_owned()]).status();
    ensure!(status.is_ok_and(|status| status.success()), "kill -{number} {pid}");
    until(secs(5.0), format!("the end of writing {name}"), || {
        let events = watch.read_events().unwrap_or_default();
        events.iter().any(|event| event.name.as_deref() == Some(Path::new(name).as_os_str())).then_some(())
    })
    .map_err(|e| daemon.explain(e))?;
    let text = fs::read_to_string(folder.join(name)).map_err(|e| format!("{name}: {e}"))?;
    fs::remove_file(folder.join(name)).map_err(|e| format!("{name}: {e}"))?;
    Ok(text)
}

fn vyos_files(lab: &Lab) -> Outcome {
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let mut daemon = Daemon::new(&lab.subject, &host, &lab.directory, &config(150, ""))?;
    fs::create_dir_all(daemon.own_file("run/keepalived")).map_err(|e| e.to_string())?;
    daemon.launch(&host, &["--pid", "/run/keepalived/keepalived.pid", "--snmp"])?;
    daemon.wait_log("(VI_1) Entering MASTER STATE", secs(9.0))?;
    for round in 1..=3 {
        let data = taken(&daemon, 10, "keepalived.data")?;
        ensure!(data.contains(" VRRP Instance = VI_1\n") && data.ends_with('\n'), "round {round}: {data}");
        let stats = taken(&daemon, 12, "keepalived.stats")?;
        ensure!(
            stats.starts_with("VRRP Instance: VI_1\n") && stats.ends_with('\n'),
            "round {round}: {stats}"
        );
        // `show vrrp`: name, interface, VRID, state, priority, when.
        let json = taken(&daemon, 36, "keepalived.json")?;
        let groups: serde_json::Value = serde_json::from_str(&json).map_err(|e| format!("{e}: {json}"))?;
        let data = &groups[0]["data"];
        let row = (
            data["iname"].as_str(),
            data["ifp_ifname"].as_str(),
            data["vrid"].as_u64(),
            data["state"].as_u64(),
        );
        ensure!(row == (Some("VI_1"), Some("eth0"), Some(51), Some(2)), "{json}");
        ensure!(data["effective_priority"].as_u64() == Some(150), "{json}");
        ensure!(data["last_transition"].as_f64().is_some_and(|at| at > 1e9), "{json}");
    }
    daemon.stop()?;
    Ok(())
}

/// The older Vyatta: signals to the pid in /var/run/vrrp.pid, and both files.
fn vyatta(lab: &Lab) -> Outcome {
    let mut pair = Pair::new(lab, &config(150, ""), "")?;
    pair.a.launch(&pair.hosts[A], &[])?;
    let daemon = &pair.a;
    daemon.wait_log("(VI_1) Entering MASTER STATE", secs(9.0))?;
    let pid = |daemon: &Daemon| -> Outcome<i32> {
        let text = fs::read_to_string(daemon.own_file("run/vrrp.pid")).map_err(|e| e.to_string())?;
        text.trim().parse().map_err(|e| format!("{e}: {text:?}"))
    };
    let first = pid(daemon)?;
    let asked = |signal, name: &str, end: &str| {
        let path = daemon.own_file(&format!("tmp/{name}"));
        let _ = fs::remove_file(&path);
        kill(Pid::from_raw(first), signal).map_err(|e| e.to_string())?;
        until(secs(5.0), format!("{name} of the vrrp process"), || {
            fs::read_to_string(&path).ok().filter(|text| text.contains(end))
        })
        .map_err(|e| daemon.explain(e))
    };
    let data = asked(Signal::SIGUSR1, "keepalived.data", "------< Interfaces >------")?;
    let value = |key: &str| {
        data.lines().find_map(|line| line.strip_prefix("   ")?.strip_prefix(key)?.strip_prefix(" = "))
    };
    ensure!(data.lines().any(|line| line == " VRRP Instance = VI_1"), "{data}");
    let found = ["State", "Interface", "Virtual Router ID", "Priority", "Using src_ip"].map(value);
    ensure!(
        found == [Some("MASTER"), Some("eth0"), Some("51"), Some("150"), Some("10.0.0.1")],
        "{found:?} in {data}"
    );
    let at = value("Last transition").and_then(|value| value.split(['.', ' ']).next()?.parse::<u64>().ok());
    ensure!(at.is_some_and(|at| at > 1_000_000_000), "{data}");
    let stats = asked(Signal::SIGUSR2, "keepalived.stats", "Priority Zero:")?;
    let counted = |key: &str| {
        let line = stats.lines().find(|line| line.trim_start().starts_with(key)).unwrap_or_default();
        line.rsplit(' ').next().and_then(|number| number.parse::<u64>().ok())
    };
    ensure!(counted("Became master:") == Some(1) && counted("Sent:").is_some_and(|sent| sent > 0), "{stats}");
    ensure!(pid(daemon)? == first, "another vrrp process");
    Ok(())
}

/// Addresses and ports of the destinations in the kernel's table, as /proc shows them in hexadecimal.
fn destinations(host: &Host) -> Outcome<Vec<(String, u16)>> {
    let text = host.space.run("cat", &["/proc/net/ip_vs"])?;
    let destination = |line: &str| {
        let mut words = line.trim().strip_prefix("-> ")?.split_whitespace();
        let (address, port) = words.next()?.split_once(':')?;
        let address = u32::from_str_radix(address, 16).ok().map(std::net::Ipv4Addr::from)?;
        Some((address.to_string(), u16::from_str_radix(port, 16).ok()?))
    };
    let mut found: Vec<_> = text.lines().filter_map(destination).collect();
    found.sort();
    Ok(found)
}

/// Members that are in the table are up, those configured and absent are down; the pid file of the checkers is newer than the
/// configuration when that has been read.
fn octavia(lab: &Lab) -> Outcome {
    let words = "lb_algo wrr\nlb_kind NAT\nprotocol TCP\ndelay_loop 1";
    let text = service("10.9.0.100 80", words, &[&real(1, 80, TCP_CHECK), &real(2, 80, TCP_CHECK)]);
    let mut farm = Farm::new(lab, 2, &text)?;
    let mut servers = farm.servers()?;
    farm.start()?;
    let wait = |farm: &Farm, wanted: &[(&str, u16)]| {
        let wanted: Vec<_> = wanted.iter().map(|(address, port)| ((*address).to_owned(), *port)).collect();
        until(secs(9.0), format!("{wanted:?} in /proc/net/ip_vs"), || {
            (destinations(&farm.director).ok()? == wanted).then_some(())
        })
        .map_err(|e| farm.daemon.explain(e))
    };
    wait(&farm, &[("10.0.0.11", 80), ("10.0.0.12", 80)])?;
    servers.pop();
    wait(&farm, &[("10.0.0.11", 80)])?;
    let age = |path: &Path| fs::metadata(path).and_then(|it| it.modified()).map_err(|e| e.to_string());
    for which in ["parent", "checkers"] {
        let pid = farm.daemon.pid(which)?;
        ensure!(Path::new(&format!("/proc/{pid}")).exists(), "{which} is not {pid}");
    }
    let (pid_file, read) = (age(&farm.daemon.pid_file("checkers"))?, age(&farm.daemon.config_path())?);
    ensure!(pid_file >= read, "the checkers are older than their configuration");
    farm.daemon.stop()?;
    Ok(())
}
