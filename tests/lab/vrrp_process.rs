//! What the configuration says of the process itself: real-time priority and its limit, its rise when timers ring late,
//! receive buffers. Read back where the kernel shows it (spec/vrrp-behaviour.md §11, spec/global-defs.md).

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Lab};
use crate::kit::place::tool;
use crate::kit::wait::{Outcome, ensure, secs, throughout, until};
use crate::pair::{A, Pair, config};

pub(crate) const CASES: &[Case] =
    &[Case::single("process_priority_limit_and_buffers_are_as_configured", as_configured)];

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
