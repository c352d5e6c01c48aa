//! What the configuration says of the process itself: real-time priority and its limit, its rise when timers ring late,
//! receive buffers, read back where the kernel shows it (spec/vrrp-behaviour.md §11, spec/global-defs.md); and the top-level
//! words about interfaces (spec/vrrp-config.md §1, §2.5).

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Lab};
use crate::kit::net::{Cable, Switch};
use crate::kit::place::tool;
use crate::kit::wait::{Outcome, ensure, secs, throughout, until};
use crate::pair::{A, Pair, config, instance};

pub(crate) const CASES: &[Case] = &[
    Case::single("process_priority_limit_and_buffers_are_as_configured", as_configured),
    Case::single("process_interfaces_of_a_garp_group_share_one_pace", one_pace)
        .unlike_stock("fault of 2.2.7, spec/vrrp-config.md §2.5: it loses every second announcement"),
    Case::single("process_a_polled_card_tells_of_its_link", polled_link),
    Case::single("process_memory_of_a_large_takeover_goes_back", memory_goes_back)
        .unlike_stock("its heap stays as large as it ever was"),
];

/// What the heap of a process takes of memory that is its own, in kilobytes (`proc_pid_smaps(5)`).
fn heap(pid: i32) -> Option<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).ok()?;
    let mut heap = maps.lines().skip_while(|line| !line.ends_with("[heap]"));
    let dirty = heap.find_map(|line| line.strip_prefix("Private_Dirty:"))?;
    dirty.trim().strip_suffix(" kB")?.parse().ok()
}

/// Some seconds after two hundred instances have become masters the process holds less than in their midst.
fn memory_goes_back(lab: &Lab) -> Outcome {
    let many = (52..=250).map(|vrid| {
        instance(
            &format!("M{vrid}"),
            vrid,
            "eth0",
            150,
            &format!("virtual_ipaddress {{\n 10.1.0.{vrid}/32\n}}"),
        )
    });
    let pair = Pair::only_a(lab, &many.fold(config(150, ""), |text, one| text + &one))?;
    pair.a.wait_log("(M250) Entering MASTER STATE", secs(20.0))?;
    let (vrrp, mut most) = (pair.a.pid("vrrp")?, 0);
    until(secs(20.0), "the heap to become smaller", || {
        let now = heap(vrrp)?;
        most = now.max(most);
        (now * 100 < most * LEAN).then_some(())
    })
}

/// What the heap may still be then, in hundredths of its most.
const LEAN: u64 = 85;

const WORDS: &str = "vrrp_rt_priority 5\n vrrp_rlimit_rttime 500000\n max_auto_priority 7\n
 min_auto_priority_delay 300000\n vrrp_rx_bufs_policy 3000\n vrrp_netlink_cmd_rcv_bufs 90000\n
 vrrp_netlink_cmd_rcv_bufs_force true\n vrrp_netlink_monitor_rcv_bufs 100000\n";

const SCHED_RR: u32 = 2;

/// Scheduling policy and real-time priority of a process (`proc_pid_stat(5)`, fields 41 and 40).
fn scheduling(pid: i32) -> Option<(u32, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    // What follows the name begins with field 3.
    Some((fields.get(41 - 3)?.parse().ok()?, fields.get(40 - 3)?.parse().ok()?))
}

fn may_be_real_time() -> bool {
    tool("chrt").args(["-r", "1", "true"]).status().is_ok_and(|status| status.success())
}

fn as_configured(lab: &Lab) -> Outcome {
    let pair = Pair::only_a(lab, &config(150, "").replace("router_id lab", WORDS))?;
    pair.wait_vip(A, secs(8.0))?;
    let vrrp = pair.a.pid("vrrp")?;
    let buffers = pair.hosts[A].space.run("ss", &["-f", "netlink", "-a", "-m", "-n"])?;
    for doubled in ["rb180000,", "rb200000,"] {
        ensure!(buffers.contains(doubled), "no socket has {doubled}\n{buffers}");
    }
    let dump = pair.a.dump(Signal::SIGUSR1, "tmp/keepalived.data")?;
    for line in ["Rx buf size = 3000", "vrrp_netlink_cmd_rcv_bufs = 90000", "VRRP realtime priority = 5"] {
        ensure!(dump.contains(line), "the dump does not say {line:?}\n{dump}");
    }
    if !may_be_real_time() {
        return Ok(());
    }
    ensure!(scheduling(vrrp) == Some((SCHED_RR, 5)), "policy and priority {:?}", scheduling(vrrp));
    let limits = fs::read_to_string(format!("/proc/{vrrp}/limits")).map_err(|e| e.to_string())?;
    let limit = limits.lines().find(|line| line.starts_with("Max realtime timeout")).unwrap_or_default();
    let words: Vec<&str> = limit.split_whitespace().collect();
    ensure!(words[3..] == ["250000", "500000", "us"], "{limit}");
    let held = |signal| kill(Pid::from_raw(vrrp), signal).map_err(|e| e.to_string());
    held(Signal::SIGSTOP)?;
    // It must miss an advert by more than the delay.
    throughout(secs(1.5), "the process to stand still", || true)?;
    held(Signal::SIGCONT)?;
    pair.a.wait_log("Set realtime priority 6", secs(5.0))?;
    until(secs(2.0), "the priority to rise", || scheduling(vrrp).filter(|(_, level)| *level >= 6))?;
    pair.a.reload(&config(140, "").replace("router_id lab", WORDS))?;
    until(secs(5.0), "real time again after the reload", || {
        scheduling(vrrp).filter(|(policy, level)| *policy == SCHED_RR && *level >= 5)
    })?;
    Ok(())
}

/// spec/vrrp-config.md §2.5: `garp_group`. Stock 2.2.7 loses every second announcement of two interfaces.
fn one_pace(lab: &Lab) -> Outcome {
    let six = |name: &str, vrid, interface: &str| {
        let lines = format!("version 3\nadvert_int 1\nvirtual_ipaddress {{\n fe80::{vrid}\n}}");
        instance(name, vrid, interface, 150, &lines)
    };
    let second = instance("VI_2", 52, "eth1", 150, "advert_int 1\nvirtual_ipaddress {\n 10.0.9.100\n}");
    let others = second + &six("VI_3", 53, "eth0") + &six("VI_4", 54, "eth1");
    let group = "garp_group {\n garp_interval 0.3\n gna_interval 0.3\n interfaces {\n  eth0 eth1\n }\n}\n";
    let words = "vrrp_garp_master_repeat 3\n vrrp_garp_master_delay 0";
    let text = format!("{}{others}{group}", config(150, "").replace("router_id lab", words));
    let mut pair = Pair::new(lab, &text, "")?;
    let other = Switch::new()?;
    let host = &pair.hosts[A];
    host.plug(&other, &["10.0.9.1/24"])?;
    host.use_ipv6("eth0", "2001:db8::1/64")?;
    host.use_ipv6("eth1", "2001:db8:9::1/64")?;
    pair.start_a(&[])?;
    for what in ["Sending gratuitous ARP on eth", "Sending unsolicited Neighbour Advert on eth"] {
        let sent = || -> Vec<_> {
            let log = pair.a.log();
            log.into_iter().filter(|line| line.text.contains(what)).collect()
        };
        let lines =
            until(secs(12.0), format!("six times {what}"), || Some(sent()).filter(|lines| lines.len() >= 6))
                .map_err(|e| pair.a.explain(e))?;
        for (one, next) in lines.iter().zip(&lines[1..]) {
            let gap = next.at.since(one.at);
            ensure!(gap > 0.2, "{gap:.3} s between {} and {}", one.text, next.text);
        }
        let on = |name: &str| lines.iter().filter(|line| line.text.contains(name)).count();
        ensure!((on("eth0"), on("eth1")) == (3, 3), "{} and {}: {what}", on("eth0"), on("eth1"));
    }
    let dump = pair.a.dump(Signal::SIGUSR1, "tmp/keepalived.data")?;
    for line in [" GARP interval = 0.3", " GNA interval = 0.3"] {
        ensure!(dump.contains(line), "the dump does not show the group\n{dump}");
    }
    Ok(())
}

/// spec/vrrp-config.md §1: `linkbeat_interfaces`.
fn polled_link(lab: &Lab) -> Outcome {
    let text = format!("{}linkbeat_interfaces {{\n eth0 ETHTOOL\n}}\n", config(150, ""));
    let pair = Pair::only_a(lab, &text)?;
    pair.wait_vip(A, secs(8.0))?;
    let dump = pair.a.dump(Signal::SIGUSR1, "tmp/keepalived.data")?;
    ensure!(dump.contains("NIC support ETHTOOL GLINK interface"), "{dump}");
    pair.switch.cable(&pair.hosts[A], Cable::Out)?;
    pair.a.wait_log("Entering FAULT STATE", secs(6.0))?;
    let seen = pair.a.log_length();
    pair.switch.cable(&pair.hosts[A], Cable::In)?;
    pair.a.wait_log_after(seen, "Entering BACKUP STATE", secs(6.0))?;
    pair.wait_vip(A, secs(8.0))?;
    Ok(())
}
