//! What must not grow: descriptors, memory, processes and kernel objects of a daemon that is reloaded again and again.
//!
//! `LAB_LONG` makes the number of reloads larger.

use std::collections::BTreeMap;
use std::fs;

use crate::case::{Case, Lab};
use crate::kit::daemon::Daemon;
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::pair::instance;
use crate::twins::{Twin, twins};

pub(crate) const CASES: &[Case] = &[Case::single("long_reloads_leave_nothing_behind_each_time", reloads)
    .unlike_stock("fault of 2.2.7, spec/vrrp-behaviour.md §9: its VMACs have other names after a reload")];

/// Descriptors and resident memory (KiB) of each process of the daemon, by the order of their start.
fn used(daemon: &Daemon) -> BTreeMap<i32, (usize, u64)> {
    let of = |pid: &i32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        let memory = anonymous.trim().trim_end_matches(" kB").parse().ok()?;
        Some((*pid, (descriptors, memory)))
    };
    daemon.processes().iter().filter_map(of).collect()
}

/// What the kernel holds for it.
fn objects(twin: &Twin) -> Outcome<Vec<String>> {
    Ok([twin.links()?, twin.routes()?, twin.rules()?].concat())
}

fn reloads(lab: &Lab) -> Outcome {
    let times = if std::env::var_os("LAB_LONG").is_some() { 100 } else { 6 };
    let lines = |addresses: &str, more: &str| {
        format!("version 3\nadvert_int 0.2\nvirtual_ipaddress {{\n{addresses}\n}}\n{more}")
    };
    let same = instance("A", 51, "eth0", 150, &lines("10.0.0.51", "use_vmac\ntrack_script {\nchk\n}"));
    let script = "vrrp_script chk {\nscript \"/usr/bin/true\"\ninterval 1\n}\nglobal_defs {\nscript_user root\nenable_script_security\n}\n";
    let routes = "virtual_routes {\n10.1.0.0/24 via 10.0.0.2 dev eth0\n}\nvirtual_rules {\nfrom 10.1.0.0/24 table 100 preference 500\n}";
    let first = [
        script.to_owned(),
        same.clone(),
        instance("B", 52, "eth0", 150, &lines("10.0.0.52\n10.0.0.62", routes)),
        instance("C", 53, "eth0", 150, &lines("fe80::53", "use_vmac\nno_accept")),
    ]
    .concat();
    let second = [
        script.to_owned(),
        same,
        instance("B", 52, "eth0", 140, &lines("10.0.0.52\n10.0.0.72", "track_interface {\neth1 weight 5\n}")),
        instance("D", 54, "eth0", 150, &lines("10.0.0.54", "use_vmac\nnotify /usr/bin/true")),
    ]
    .concat();
    let [mut twin, _] = twins(lab, &first)?;
    twin.add_eth1()?;
    let before = objects(&twin)?;
    twin.start()?;
    let is_there = |twin: &Twin, address: &str| {
        twin.host
            .space
            .run("ip", &["-o", "address", "show"])
            .is_ok_and(|all| all.contains(&format!(" {address}/")))
    };
    let settled = |twin: &Twin| {
        until(secs(6.0), "all addresses of the first configuration", || {
            ["10.0.0.51", "10.0.0.62", "fe80::53"].iter().all(|address| is_there(twin, address)).then_some(())
        })
        .map_err(|e| twin.daemon.explain(e))
    };
    settled(&twin)?;
    let mut base = None;
    for number in 0..times {
        twin.daemon.reload(&second)?;
        until(secs(5.0), "an address of the second", || is_there(&twin, "10.0.0.54").then_some(()))
            .map_err(|e| twin.daemon.explain(e))?;
        twin.daemon.reload(&first)?;
        settled(&twin)?;
        // What is allocated once is there by now.
        if number == times / 3 {
            base = Some((used(&twin.daemon), objects(&twin)?));
        }
    }
    let (base, held) = base.ok_or("too few")?;
    let now = used(&twin.daemon);
    ensure!(objects(&twin)? == held, "other objects: {:#?}\nbefore {held:#?}", objects(&twin)?);
    for (pid, (descriptors, memory)) in &base {
        let Some((after, grown)) = now.get(pid) else { continue };
        let what = format!("process {pid} after {times} reloads of each");
        ensure!(after <= descriptors, "{what}: {after} descriptors, were {descriptors}");
        ensure!(*grown <= memory + memory / 8 + 256, "{what}: {grown} KiB, were {memory}");
    }
    ensure!(now.len() <= base.len() + 1, "processes {now:?}, were {base:?}");
    twin.daemon.stop()?;
    ensure!(objects(&twin)?.len() == before.len(), "left behind: {:#?}", objects(&twin)?);
    Ok(())
}
