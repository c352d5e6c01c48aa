//! What moves a master from outside: scripts, interfaces, cables, sync groups; and who is told.

use std::fs;
use std::path::Path;

use crate::case::{Case, Lab};
use crate::kit::daemon::Daemon;
use crate::kit::net::{Cable, Host, Switch};
use crate::kit::place::write_script;
use crate::kit::wait::{Outcome, Stamp, ensure, near, secs, throughout, until};
use crate::kit::wire::Sniffer;
use crate::pair::{A, B, Pair, VIP, config, instance, skew};

pub(crate) const CASES: &[Case] = &[
    Case::pair("vrrp_a_failing_script_lowers_the_priority_and_moves_the_address", script_weight),
    Case::single("vrrp_a_script_needs_fall_failures_and_rise_successes", script_rise_and_fall),
    Case::pair("vrrp_a_failing_script_without_weight_is_a_fault", script_fault),
    Case::pair("vrrp_a_tracked_interface_without_carrier_is_a_fault", track_interface),
    Case::pair("vrrp_a_pulled_cable_is_a_fault_until_it_is_back", own_cable),
    Case::pair("vrrp_a_sync_group_moves_together", sync_group),
    Case::single("vrrp_notify_scripts_get_stocks_arguments", notify),
];

/// A script that succeeds while `flag` exists in its directory.
fn check_script(directory: &Path) -> Outcome<(String, std::path::PathBuf)> {
    let flag = directory.join("healthy");
    fs::write(&flag, "").map_err(|e| e.to_string())?;
    let script = directory.join("check.sh");
    write_script(&script, &format!("#!/bin/sh\ntest -e {}\n", flag.display()))?;
    Ok((script.display().to_string(), flag))
}

/// A pair's configuration with a script in front.
fn scripted(priority: u8, script: &str, options: &str) -> String {
    let body = config(priority, "track_script {\n chk\n}");
    format!("vrrp_script chk {{\n    script \"{script}\"\n    interval 1\n{options}\n}}\n{body}")
}

fn script_weight(lab: &Lab) -> Outcome {
    let (script, flag) = check_script(&lab.directory)?;
    let a = scripted(150, &script, "    weight -60\n    fall 1\n    rise 1");
    let pair = Pair::elected(lab, &a, &config(100, ""))?;
    fs::remove_file(&flag).map_err(|e| e.to_string())?;
    let failed = pair.a.wait_log("(VI_1) Changing effective priority from 150 to 90", secs(3.0))?;
    pair.a.wait_log("VRRP_Script(chk) failed (exited with status 1)", secs(1.0))?;
    let first = pair.wait_master(B, failed.at, secs(6.0))?;
    // b discards the lower adverts; its timer runs on from the last one with 150.
    ensure!(first.at.since(failed.at) < 3.0 + skew(100) + 0.2, "after {:.3} s", first.at.since(failed.at));
    until(secs(1.0), "only b has it", || (pair.has_vip(B) && !pair.has_vip(A)).then_some(()))?;
    let last = pair.wire.last_advert_of("a", first.at).ok_or("a never spoke")?;
    ensure!(last.priority == 90, "a's last advert has priority {}\n{}", last.priority, pair.wire.story());
    fs::write(&flag, "").map_err(|e| e.to_string())?;
    let healed = pair.a.wait_log("(VI_1) Changing effective priority from 90 to 150", secs(3.0))?;
    let back = pair.wait_master(A, healed.at, secs(6.0))?;
    ensure!(back.priority == 150, "{back}");
    until(secs(1.0), "only a has it", || (pair.has_vip(A) && !pair.has_vip(B)).then_some(()))
}

fn script_rise_and_fall(lab: &Lab) -> Outcome {
    let (script, flag) = check_script(&lab.directory)?;
    let runs = lab.directory.join("runs");
    write_script(
        Path::new(&script),
        &format!("#!/bin/sh\necho >>{}\ntest -e {}\n", runs.display(), flag.display()),
    )?;
    let count = || fs::read_to_string(&runs).map(|text| text.len()).unwrap_or_default();
    let a = scripted(150, &script, "    weight -60\n    fall 3\n    rise 2");
    let pair = Pair::only_a(lab, &a)?;
    pair.wait_vip(A, secs(6.0))?;
    for (present, wanted, line) in [
        (false, 3, "Changing effective priority from 150 to 90"),
        (true, 2, "Changing effective priority from 90 to 150"),
    ] {
        // Just after a run, so that all of the next ones see the change.
        let before = count();
        until(secs(3.0), "one more run", || (count() > before).then_some(()))?;
        if present {
            fs::write(&flag, "").map_err(|e| e.to_string())?;
        } else {
            fs::remove_file(&flag).map_err(|e| e.to_string())?;
        }
        let before = count();
        pair.a.wait_log(line, secs(6.0))?;
        let needed = count() - before;
        ensure!(needed == wanted, "{line} after {needed} runs, wanted {wanted}");
    }
    Ok(())
}

fn script_fault(lab: &Lab) -> Outcome {
    let (script, flag) = check_script(&lab.directory)?;
    let pair = Pair::elected(lab, &scripted(150, &script, "    fall 1\n    rise 1"), &config(100, ""))?;
    let pulled = Stamp::now();
    fs::remove_file(&flag).map_err(|e| e.to_string())?;
    pair.a.wait_log("(VI_1) Entering FAULT STATE", secs(3.0))?;
    let zero = pair.wire.wait_advert("priority 0 of a", pulled, secs(2.0), |advert| {
        advert.from == "a" && advert.priority == 0
    })?;
    let first = pair.wait_master(B, zero.at, secs(3.0))?;
    near("priority 0 to the first advert of b", first.at.since(zero.at), skew(100), 0.1)?;
    ensure!(!pair.has_vip(A), "a keeps the address");
    let healed = Stamp::now();
    fs::write(&flag, "").map_err(|e| e.to_string())?;
    let back = pair.wait_master(A, healed, secs(7.0))?;
    ensure!(back.at.since(healed) > 3.0, "back after {:.3} s", back.at.since(healed));
    until(secs(1.0), "only a has it", || (pair.has_vip(A) && !pair.has_vip(B)).then_some(()))
}

fn track_interface(lab: &Lab) -> Outcome {
    let second = Switch::new()?;
    let mut pair = Pair::new(lab, &config(150, "track_interface {\n eth1\n}"), &config(100, ""))?;
    pair.hosts[A].plug(&second, &["10.0.9.1/24"])?;
    let born = pair.start_a(&[])?;
    pair.start_b(&[])?;
    pair.wait_master(A, born, secs(6.0))?;
    pair.wait_vip(A, secs(1.0))?;
    let pulled = Stamp::now();
    second.cable(&pair.hosts[A], Cable::Out)?;
    // The kernel itself may take a second to tell of a lost carrier.
    pair.a.wait_log("Entering FAULT STATE", secs(3.0))?;
    let zero = pair.wire.wait_advert("priority 0 of a", pulled, secs(1.0), |advert| {
        advert.from == "a" && advert.priority == 0
    })?;
    let first = pair.wait_master(B, zero.at, secs(3.0))?;
    near("priority 0 to the first advert of b", first.at.since(zero.at), skew(100), 0.1)?;
    until(secs(1.0), "only b has it", || (pair.has_vip(B) && !pair.has_vip(A)).then_some(()))?;
    let plugged = Stamp::now();
    second.cable(&pair.hosts[A], Cable::In)?;
    pair.wait_master(A, plugged, secs(7.0))?;
    until(secs(1.0), "only a has it", || (pair.has_vip(A) && !pair.has_vip(B)).then_some(()))
}

fn own_cable(lab: &Lab) -> Outcome {
    let pair = Pair::elected(lab, &config(150, ""), &config(100, ""))?;
    let pulled = Stamp::now();
    pair.switch.cable(&pair.hosts[A], Cable::Out)?;
    let last = pair.wire.last_advert_of("a", pulled).ok_or("a never spoke")?;
    until(secs(2.0), "a to drop the address", || (!pair.has_vip(A)).then_some(()))
        .map_err(|e| pair.a.explain(e))?;
    pair.a.wait_log("Entering FAULT STATE", secs(1.0))?;
    // The priority 0 is lost with the cable, so b waits its full time.
    let first = pair.wait_master(B, pulled, secs(5.0))?;
    near("last advert of a to first of b", first.at.since(last.at), 3.0 + skew(100), 0.1)?;
    let plugged = Stamp::now();
    pair.switch.cable(&pair.hosts[A], Cable::In)?;
    let back = pair.wait_master(A, plugged, secs(7.0))?;
    ensure!(back.at.since(plugged) > 3.0, "back after {:.3} s", back.at.since(plugged));
    until(secs(1.0), "only a has it", || (pair.has_vip(A) && !pair.has_vip(B)).then_some(()))
}

fn grouped(priority: u8) -> String {
    let member = |name: &str, vrid: u8, interface: &str, vip: &str| {
        instance(name, vrid, interface, priority, &format!("advert_int 1\nvirtual_ipaddress {{\n {vip}\n}}"))
    };
    format!(
        "global_defs {{\n    router_id lab\n}}\nvrrp_sync_group G1 {{\n    group {{\n        OUT\n        IN\n    }}\n}}\n{}{}",
        member("OUT", 51, "eth0", "10.0.0.100"),
        member("IN", 52, "eth1", "10.0.9.100"),
    )
}

fn sync_group(lab: &Lab) -> Outcome {
    let inner: std::net::Ipv4Addr = [10, 0, 9, 100].into();
    let second = Switch::new()?;
    let mut pair = Pair::new(lab, &grouped(150), &grouped(100))?;
    pair.hosts[A].plug(&second, &["10.0.9.1/24"])?;
    pair.hosts[B].plug(&second, &["10.0.9.2/24"])?;
    let both = |who: usize| pair.hosts[who].has(VIP) && pair.hosts[who].has(inner);
    let neither = |who: usize| !pair.hosts[who].has(VIP) && !pair.hosts[who].has(inner);
    pair.a.start(&pair.hosts[A], &[])?;
    pair.b.start(&pair.hosts[B], &[])?;
    until(secs(8.0), "a to have both", || both(A).then_some(())).map_err(|e| pair.a.explain(e))?;
    ensure!(neither(B), "b has one as well");
    // The inner cable: the outer instance must follow.
    let pulled = Stamp::now();
    second.cable(&pair.hosts[A], Cable::Out)?;
    pair.a.wait_log("VRRP_Group(G1) Syncing instances to FAULT state", secs(2.0))?;
    until(secs(1.0), "a to have neither", || neither(A).then_some(())).map_err(|e| pair.a.explain(e))?;
    pair.wire.wait_advert("priority 0 of a on the outer side", pulled, secs(1.0), |advert| {
        advert.from == "a" && advert.priority == 0
    })?;
    until(secs(5.0), "b to have both", || both(B).then_some(())).map_err(|e| pair.b.explain(e))?;
    pair.b.wait_log("VRRP_Group(G1) Syncing instances to MASTER state", secs(1.0))?;
    second.cable(&pair.hosts[A], Cable::In)?;
    until(secs(9.0), "a to have both again", || (both(A) && neither(B)).then_some(()))
        .map_err(|e| pair.a.explain(e))
}

/// Lines the notify script of `notify` wrote.
fn told(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn notify(lab: &Lab) -> Outcome {
    let (record, script) = (lab.directory.join("told"), lab.directory.join("notify.sh"));
    write_script(&script, &format!("#!/bin/sh\necho \"$*\" >>{}\n", record.display()))?;
    let script = script.display();
    let notifies = |who: &str| {
        ["master", "backup", "fault", "stop"]
            .iter()
            .map(|state| format!("notify_{state} \"{script} {who}-{state} 'two words'\"\n"))
            .chain([format!("notify \"{script} {who}\"\n")])
            .collect::<String>()
    };
    let text = format!(
        "vrrp_sync_group G1 {{\n    group {{\n        VI_1\n    }}\n{}}}\n{}",
        notifies("g"),
        config(150, &notifies("i")),
    );
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let _wire = Sniffer::on(&switch, &[&host])?;
    let mut daemon = Daemon::start_on(&host, &lab.subject, &lab.directory, &text)?;
    let mut expected: Vec<String> = Vec::new();
    let mut tell = |state: &str| {
        let low = state.to_lowercase();
        expected.extend([
            format!("i-{low} two words"),
            format!("i INSTANCE VI_1 {state} 150"),
            format!("g-{low} two words"),
            format!("g GROUP G1 {state} 0"),
        ]);
        // Scripts of one moment overtake each other: compare as sets.
        let mut wanted = expected.clone();
        wanted.sort();
        until(secs(8.0), format!("{state} to be told"), || {
            let mut lines = told(&record);
            lines.sort();
            (lines == wanted).then_some(())
        })
        .map_err(|e| format!("{e}\nwanted {wanted:#?}\nfound {:#?}", told(&record)))
    };
    tell("BACKUP")?;
    tell("MASTER")?;
    switch.cable(&host, Cable::Out)?;
    tell("FAULT")?;
    switch.cable(&host, Cable::In)?;
    tell("BACKUP")?;
    tell("MASTER")?;
    daemon.stop()?;
    tell("STOP")?;
    throughout(secs(0.3), "nothing more is told", || told(&record).len() == 24)
}
