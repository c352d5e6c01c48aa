//! The reporter process and those it talks to: D-Bus, SNMP. It may die or hang without anybody's notice.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Lab};
use crate::kit::daemon::Daemon;
use crate::kit::wait::{Outcome, Stamp, ensure, secs, until};
use crate::pair::{A, Pair, config};

pub(crate) const CASES: &[Case] =
    &[Case::single("reporter_a_lost_or_hung_reporter_is_noticed_by_nobody", lost_and_hung).ours_only()];

/// A configuration that needs a reporter.
fn reported(global: &str) -> String {
    format!("global_defs {{\n enable_dbus\n {global}\n}}\n{}", config(150, ""))
}

/// The process id of the last reporter that was started, once there is one after `seen` lines of the log.
fn reporter(daemon: &Daemon, seen: usize) -> Outcome<Pid> {
    let line = daemon.wait_log_after(seen, "Starting Reporter child process, pid=", secs(10.0))?;
    let pid = line.text.rsplit('=').next().and_then(|pid| pid.parse().ok());
    Ok(Pid::from_raw(pid.ok_or_else(|| format!("no pid in '{}'", line.text))?))
}

fn status(pid: Pid) -> String {
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

fn lost_and_hung(lab: &Lab) -> Outcome {
    let mut pair = Pair::only_a(lab, &config(150, ""))?;
    pair.wait_vip(A, secs(10.0))?;
    ensure!(!pair.a.logged("Starting Reporter"), "a reporter that nobody asked for");
    let vrrp = pair.a.pid("vrrp")?;

    let seen = pair.a.log_length();
    pair.a.reload(&reported(""))?;
    let first = reporter(&pair.a, seen)?;
    until(secs(5.0), "the reporter to have no rights", || {
        let status = status(first);
        (status.contains("Uid:\t65534\t65534") && status.contains("CapEff:\t0000000000000000")).then_some(())
    })?;
    for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGINT, Signal::SIGTERM] {
        kill(first, signal).map_err(|e| e.to_string())?;
    }

    let seen = pair.a.log_length();
    kill(first, Signal::SIGKILL).map_err(|e| e.to_string())?;
    let second = reporter(&pair.a, seen)?;
    ensure!(second != first, "{first} died of a signal that means nothing to it");

    kill(second, Signal::SIGSTOP).map_err(|e| e.to_string())?;
    pair.a.reload(&reported("router_id other"))?;
    let data = pair.a.dump(Signal::SIGUSR1, "tmp/keepalived.data")?;
    ensure!(data.contains("State = MASTER"), "{data}");
    ensure!(pair.a.pid("vrrp")? == vrrp, "the vrrp process did not survive");

    let seen = pair.a.log_length();
    pair.a.reload(&config(150, ""))?;
    pair.a.wait_log_after(seen, "Reporter process failed to die", secs(10.0))?;
    until(secs(5.0), "the reporter to end", || status(second).is_empty().then_some(()))?;

    let seen = pair.a.log_length();
    pair.a.reload(&reported(""))?;
    let third = reporter(&pair.a, seen)?;
    kill(third, Signal::SIGSTOP).map_err(|e| e.to_string())?;
    let (at, status) = pair.a.stop()?;
    let took = Stamp::now().since(at);
    ensure!(status.code() == Some(0), "exit {status}");
    ensure!(took < 8.0, "the stop took {took:.3} s");
    Ok(())
}
