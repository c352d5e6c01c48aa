//! The daemon round the protocol: reload with good and broken files, dumps, lost children, what a stop leaves.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Lab};
use crate::kit::daemon::Daemon;
use crate::kit::place::{self, tool, write_script};
use crate::kit::wait::{Outcome, Stamp, ensure, secs, throughout, until};
use crate::pair::{A, B, Pair, VIP, config, instance, skew};

pub(crate) const CASES: &[Case] = &[
    Case::single("daemon_processes_and_pid_files_are_stocks", processes),
    Case::single("daemon_stop_leaves_nothing_behind", stop_leaves_nothing),
    Case::single("daemon_a_second_start_ends_with_status_0", second_start),
    Case::single("daemon_a_missing_file_ends_with_status_6", missing_file),
    Case::single("daemon_a_missing_interface_ends_with_status_2", missing_interface),
    Case::single("daemon_option_v_keeps_the_addresses_and_says_nothing", dont_release),
    Case::pair("reload_applies_priority_and_addresses_without_a_flap", reload_changed),
    Case::pair("reload_leaves_other_instances_alone", reload_untouched),
    Case::pair("reload_of_an_unknown_keyword_keeps_running", reload_unknown_keyword),
    Case::pair("reload_of_a_missing_interface_is_refused", reload_missing_interface)
        .unlike_stock("fault, spec/daemon-behaviour.md §5: it ends with status 2 and its addresses stay"),
    Case::pair("reload_of_a_lost_brace_is_refused", reload_lost_brace)
        .unlike_stock("fault, spec/config-language.md: it reloads with what is left, and the address goes"),
    Case::single("daemon_usr1_writes_the_data_file", usr1),
    Case::single("daemon_usr2_writes_the_statistics", usr2),
    Case::pair("daemon_a_killed_vrrp_process_is_replaced", child_replaced),
    Case::pair("daemon_a_killed_vrrp_process_does_not_lose_the_mastership", child_keeps_mastership)
        .unlike_stock("fault, spec/daemon-behaviour.md §1 \"Leftover VIPs\": its successor begins as BACKUP"),
    Case::single("daemon_a_stop_releases_what_a_lost_vrrp_process_held", stopped_without_its_child)
        .unlike_stock("spec/daemon-behaviour.md §1 \"Leftover VIPs\": its successor removes them at once, nothing is held"),
    Case::pair("daemon_a_killed_parent_takes_its_children_along", parent_killed),
    Case::single("wire_tshark_finds_nothing_wrong_with_the_adverts", tshark),
];

fn comm(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn processes(lab: &Lab) -> Outcome {
    let pair = Pair::only_a(lab, &config(150, ""))?;
    let (parent, vrrp) = (pair.a.pid("parent")?, pair.a.pid("vrrp")?);
    ensure!(parent != vrrp, "one process plays both");
    pair.a.wait_log("Startup complete", secs(5.0))?;
    let all = pair.a.processes();
    ensure!(all.contains(&parent) && all.contains(&vrrp), "pid files name others than {all:?}");
    for pid in &all {
        ensure!(comm(*pid) == "keepalived", "process {pid} is called '{}'", comm(*pid));
    }
    let file = fs::read_to_string(pair.a.pid_file("vrrp")).map_err(|e| e.to_string())?;
    ensure!(file == format!("{vrrp}\n"), "the pid file holds {file:?}");
    ensure!(!pair.a.pid_file("checkers").exists(), "a checkers process without virtual servers");
    Ok(())
}

fn stop_leaves_nothing(lab: &Lab) -> Outcome {
    let mut pair = Pair::only_a(lab, &config(150, "virtual_ipaddress_excluded {\n 10.1.0.2\n}"))?;
    pair.wait_vip(A, secs(6.0))?;
    let (at, status) = pair.a.stop()?;
    ensure!(status.code() == Some(0), "exit {status}");
    // Stock takes 1.05 s, whatever there is to do.
    let took = Stamp::now().since(at);
    ensure!(took < 2.0, "the stop took {took:.3} s");
    ensure!(pair.a.logged("Stopped Keepalived"), "{}", pair.a.explain("no last line".to_owned()));
    let addresses = pair.hosts[A].addresses();
    ensure!(addresses.len() == 2, "addresses left: {addresses:?}");
    let left = pair.hosts[A].space.processes();
    ensure!(left.is_empty(), "processes left: {:?}", left.iter().map(|p| comm(*p)).collect::<Vec<_>>());
    for which in ["parent", "vrrp", "checkers"] {
        ensure!(!pair.a.pid_file(which).exists(), "the {which} pid file is left");
    }
    for folder in ["run", "tmp"] {
        let left: Vec<_> = fs::read_dir(pair.a.own_file(folder))
            .map_err(|e| e.to_string())?
            .flatten()
            .map(|entry| entry.file_name())
            // A project below /tmp is shown to the daemon there.
            .filter(|name| !place::target().starts_with(Path::new("/").join(folder).join(name)))
            .collect();
        ensure!(left.is_empty(), "left in /{folder}: {left:?}");
    }
    Ok(())
}

fn second_start(lab: &Lab) -> Outcome {
    let pair = Pair::only_a(lab, &config(150, ""))?;
    pair.a.wait_log("Startup complete", secs(5.0))?;
    // The same pid files, so the same daemon.
    let mut command = tool("timeout");
    command.arg("10").arg(&pair.a.program.path).args(["-n", "-l", "-G", "-f"]).arg(pair.a.config_path());
    for (option, file) in [("-p", "parent"), ("-r", "vrrp"), ("-c", "checkers")] {
        command.arg(option).arg(pair.a.pid_file(file));
    }
    let output = pair.hosts[A].space.inside(|| command.output()).map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(0), "exit {}\n{said}", output.status);
    ensure!(said.contains("daemon is already running"), "it said: {said}");
    Ok(())
}

fn missing_file(lab: &Lab) -> Outcome {
    let mut pair = Pair::new(lab, "", "")?;
    fs::remove_file(pair.a.config_path()).map_err(|e| e.to_string())?;
    pair.start_a(&[])?;
    let status = pair.a.wait_end(secs(5.0))?;
    ensure!(status.code() == Some(6), "exit {status}");
    Ok(())
}

fn missing_interface(lab: &Lab) -> Outcome {
    let mut pair = Pair::only_a(lab, &config(150, "").replace("interface eth0", "interface eth9"))?;
    let status = pair.a.wait_end(secs(5.0))?;
    ensure!(status.code() == Some(2), "exit {status}\n{}", pair.a.explain(String::new()));
    Ok(())
}

fn dont_release(lab: &Lab) -> Outcome {
    let mut pair = Pair::new(lab, &config(150, ""), "")?;
    pair.start_a(&["-V"])?;
    pair.wait_vip(A, secs(6.0))?;
    pair.a.stop()?;
    ensure!(pair.has_vip(A), "the address went");
    ensure!(pair.wire.adverts().iter().all(|a| a.priority != 0), "priority 0\n{}", pair.wire.story());
    Ok(())
}

/// A configuration with these addresses.
fn with_addresses(priority: u8, addresses: &[&str]) -> String {
    config(priority, "").replace(&VIP.to_string(), &addresses.join("\n     "))
}

fn reload_changed(lab: &Lab) -> Outcome {
    let both = ["10.0.0.100", "10.0.0.110"];
    // b must not mind the other list: 2.2.7 drops such adverts, later ones count them only.
    let tolerant = with_addresses(100, &both).replace("router_id lab", "vrrp_skip_check_adv_addr");
    let pair = Pair::elected(lab, &with_addresses(150, &both), &tolerant)?;
    let (old, new): (Ipv4Addr, Ipv4Addr) = ([10, 0, 0, 110].into(), [10, 0, 0, 120].into());
    until(secs(1.0), "the second address", || pair.hosts[A].has(old).then_some(()))?;
    let at = pair.a.reload(&with_addresses(140, &["10.0.0.100", "10.0.0.120"]))?;
    until(secs(1.0), "the new address", || pair.hosts[A].has(new).then_some(()))
        .map_err(|e| pair.a.explain(e))?;
    until(secs(1.0), "the old address to go", || (!pair.hosts[A].has(old)).then_some(()))
        .map_err(|e| pair.a.explain(e))?;
    let advert = pair.wire.wait_advert("an advert with priority 140", at, secs(2.0), |advert| {
        advert.from == "a" && advert.priority == 140
    })?;
    ensure!(advert.addresses == [VIP, new], "advertises {:?}", advert.addresses);
    until(secs(1.0), "the new address to be announced", || {
        pair.wire.announcements_of("a", at).iter().any(|one| one.address == new).then_some(())
    })?;
    throughout(secs(2.0), "a stays master", || pair.has_vip(A) && !pair.has_vip(B))?;
    // Its coming may be read late, and stamped then; a flap has a departure in it.
    ensure!(pair.monitors[A].of(VIP, at).iter().all(|change| change.came), "the kept address flapped");
    let adverts = pair.wire.adverts_of("a", at);
    ensure!(adverts.iter().all(|a| a.priority != 0), "priority 0\n{}", pair.wire.story());
    // Below the other one's priority: it goes to b by the ordinary take-over.
    let at = pair.a.reload(&with_addresses(90, &both))?;
    let first = pair.wait_master(B, at, secs(6.0))?;
    ensure!(first.at.since(at) < 3.0 + skew(100) + 0.3, "after {:.3} s", first.at.since(at));
    until(secs(1.0), "a to drop the address", || (!pair.has_vip(A)).then_some(()))
}

fn two_instances(first_addresses: &str, record: &Path) -> String {
    let notify = format!("notify {}", record.display());
    let make = |name: &str, vrid: u8, addresses: &str| {
        instance(
            name,
            vrid,
            "eth0",
            150,
            &format!("advert_int 1\n{notify}\nvirtual_ipaddress {{\n{addresses}\n}}"),
        )
    };
    format!(
        "global_defs {{\n    script_user root\n}}\n{}{}",
        make("VI_1", 51, first_addresses),
        make("VI_2", 52, " 10.0.0.200")
    )
}

fn reload_untouched(lab: &Lab) -> Outcome {
    let (record, script) = (lab.directory.join("told"), lab.directory.join("notify.sh"));
    write_script(&script, &format!("#!/bin/sh\necho \"$*\" >>{}\n", record.display()))?;
    let other = Ipv4Addr::new(10, 0, 0, 200);
    let pair = Pair::elected(lab, &two_instances(" 10.0.0.100", &script), &config(100, ""))?;
    until(secs(4.0), "the other instance's address", || pair.hosts[A].has(other).then_some(()))?;
    let lines = || fs::read_to_string(&record).unwrap_or_default().lines().count();
    until(secs(2.0), "four notifications", || (lines() == 4).then_some(()))?;
    let at = pair
        .a
        .reload(&two_instances(" 10.0.0.100\n}\nvirtual_ipaddress_excluded {\n 10.0.0.120", &script))?;
    throughout(secs(3.0), "nobody is told anything", || lines() == 4)?;
    ensure!(pair.monitors[A].of(other, at).iter().all(|change| change.came), "its address flapped");
    ensure!(!pair.has_vip(B), "b took over");
    let adverts: Vec<_> = pair.wire.adverts_of("a", Stamp(0)).into_iter().filter(|a| a.vrid == 52).collect();
    for two in adverts.windows(2) {
        let gap = two[1].at.since(two[0].at);
        ensure!(gap < 1.3, "no advert for {gap:.3} s");
    }
    ensure!(adverts.iter().all(|a| a.priority == 150), "{}", pair.wire.story());
    Ok(())
}

/// After a reload whose file nobody can follow: a stays master, b quiet, and adverts keep coming.
fn still_master(pair: &Pair, since: Stamp) -> Outcome {
    throughout(secs(4.5), "a stays master", || pair.has_vip(A) && !pair.has_vip(B))
        .map_err(|e| pair.a.explain(e))?;
    let adverts = pair.wire.adverts_of("a", since);
    ensure!(adverts.len() >= 4, "a fell silent\n{}", pair.a.explain(pair.wire.story()));
    ensure!(adverts.iter().all(|a| a.priority == 150), "{}", pair.a.explain(pair.wire.story()));
    Ok(())
}

fn reload_unknown_keyword(lab: &Lab) -> Outcome {
    let pair = Pair::elected(lab, &config(150, ""), &config(100, ""))?;
    let at = pair.a.reload(&config(150, "preemtp_delay 5"))?;
    pair.a.wait_log("preemtp_delay", secs(2.0))?;
    still_master(&pair, at)
}

fn reload_missing_interface(lab: &Lab) -> Outcome {
    let pair = Pair::elected(lab, &config(150, ""), &config(100, ""))?;
    pair.a.configure(&config(150, "").replace("interface eth0", "interface eth9"))?;
    let at = pair.a.signal(Signal::SIGHUP)?;
    still_master(&pair, at)?;
    // And the next good file is taken.
    let at = pair.a.reload(&config(145, ""))?;
    pair.wire.wait_advert("an advert with priority 145", at, secs(2.0), |a| a.priority == 145)?;
    Ok(())
}

fn reload_lost_brace(lab: &Lab) -> Outcome {
    let pair = Pair::elected(lab, &config(150, ""), &config(100, ""))?;
    let whole = config(150, "");
    // The block before swallows the instance; a block under a wrong name ends it before its time.
    let swallowed = whole.replace("script_user root\n}", "script_user root\n");
    let ended = whole.replace("virtual_ipaddress", "virtual_ipadress");
    for broken in [swallowed, ended] {
        ensure!(broken != whole, "nothing is broken in\n{broken}");
        pair.a.configure(&broken)?;
        let seen = pair.a.log_length();
        let at = pair.a.signal(Signal::SIGHUP)?;
        still_master(&pair, at)?;
        pair.a.wait_log_after(seen, "Reload refused", secs(3.0))?;
    }
    Ok(())
}

fn usr1(lab: &Lab) -> Outcome {
    let pair = Pair::only_a(lab, &config(150, ""))?;
    pair.wait_vip(A, secs(6.0))?;
    let text = pair.a.dump(Signal::SIGUSR1, "tmp/keepalived.data")?;
    for line in [
        "------< Global definitions >------",
        "------< VRRP Topology >------",
        " VRRP Instance = VI_1",
        "   State = MASTER",
        "   Interface = eth0",
        "   Virtual Router ID = 51",
        "   Priority = 150",
    ] {
        ensure!(text.lines().any(|l| l == line), "no line '{line}' in\n{text}");
    }
    ensure!(text.contains("     10.0.0.100 dev eth0 scope global"), "no address in\n{text}");
    Ok(())
}

fn usr2(lab: &Lab) -> Outcome {
    let pair = Pair::only_a(lab, &config(150, ""))?;
    pair.wait_vip(A, secs(6.0))?;
    let text = pair.a.dump(Signal::SIGUSR2, "tmp/keepalived.stats")?;
    for line in ["VRRP Instance: VI_1", "  Became master: 1", "  Released master: 0", "    Received: 0"] {
        ensure!(text.lines().any(|l| l == line), "no line '{line}' in\n{text}");
    }
    Ok(())
}

/// Waits for the advert after that of the takeover: by then the parent knows of it. A successor of a process that is lost
/// earlier begins anew.
fn wait_told(pair: &Pair) -> Outcome {
    until(secs(5.0), "the second advert of a", || {
        (pair.wire.adverts_of("a", pair.born).len() >= 2).then_some(())
    })
    .map_err(|e| pair.a.explain(e))
}

/// Kills the vrrp process alone and waits for another one.
fn kill_vrrp(daemon: &Daemon) -> Outcome<Stamp> {
    let old = daemon.pid("vrrp")?;
    let at = Stamp::now();
    kill(Pid::from_raw(old), Signal::SIGKILL).map_err(|e| e.to_string())?;
    until(secs(5.0), "another vrrp process", || daemon.pid("vrrp").ok().filter(|new| *new != old))
        .map_err(|e| daemon.explain(e))?;
    Ok(at)
}

fn child_replaced(lab: &Lab) -> Outcome {
    let pair = Pair::elected(lab, &config(150, ""), &config(100, ""))?;
    let at = kill_vrrp(&pair.a)?;
    pair.a.wait_log("Respawning", secs(2.0))?;
    // Whatever happens between, a is master again.
    pair.wait_master(A, at, secs(9.0))?;
    until(secs(9.0), "only a has it", || (pair.has_vip(A) && !pair.has_vip(B)).then_some(()))
}

/// The successor of the third life is a second away, and nobody but it would take the addresses away.
fn stopped_without_its_child(lab: &Lab) -> Outcome {
    let mut pair = Pair::only_a(lab, &config(150, ""))?;
    pair.wait_vip(A, secs(6.0))?;
    wait_told(&pair)?;
    for _ in 0..2 {
        kill_vrrp(&pair.a)?;
    }
    let last = Pid::from_raw(pair.a.pid("vrrp")?);
    kill(last, Signal::SIGKILL).map_err(|e| e.to_string())?;
    pair.a.wait_log("process delayed 2 seconds", secs(5.0))?;
    ensure!(pair.has_vip(A), "its address is gone already: this shows nothing");
    let (_, status) = pair.a.stop()?;
    ensure!(status.success(), "{status}");
    ensure!(!pair.has_vip(A), "its address was left behind");
    Ok(())
}

fn child_keeps_mastership(lab: &Lab) -> Outcome {
    let pair = Pair::elected(lab, &config(150, ""), &config(100, ""))?;
    wait_told(&pair)?;
    let at = kill_vrrp(&pair.a)?;
    throughout(secs(5.0), "a stays master", || pair.has_vip(A) && !pair.has_vip(B))
        .map_err(|e| pair.a.explain(e))?;
    ensure!(pair.wire.adverts_of("b", at).is_empty(), "b spoke\n{}", pair.wire.story());
    let adverts = pair.wire.adverts_of("a", at);
    ensure!(adverts.len() >= 4, "a fell silent\n{}", pair.wire.story());
    Ok(())
}

fn parent_killed(lab: &Lab) -> Outcome {
    let pair = Pair::elected(lab, &config(150, ""), &config(100, ""))?;
    let parent = pair.a.pid("parent")?;
    let at = Stamp::now();
    kill(Pid::from_raw(parent), Signal::SIGKILL).map_err(|e| e.to_string())?;
    pair.wire.wait_advert("priority 0 of a", at, secs(1.0), |a| a.from == "a" && a.priority == 0)?;
    pair.wait_master(B, at, secs(2.0))?;
    until(secs(3.0), "a to be gone", || {
        (!pair.has_vip(A) && pair.a.processes().iter().all(|pid| *pid == parent)).then_some(())
    })
}

fn tshark(lab: &Lab) -> Outcome {
    let auth = "authentication {\n auth_type PASS\n auth_pass lab\n}";
    let text = format!(
        "{}{}",
        config(150, auth),
        instance(
            "VI_3",
            53,
            "eth0",
            120,
            "version 3\nadvert_int 0.5\nvirtual_ipaddress {\n 10.0.0.130\n 10.0.0.131\n}"
        )
    );
    let mut pair = Pair::only_a(lab, &text)?;
    for vrid in [51, 53] {
        pair.wire.wait_advert("both instances", pair.born, secs(6.0), |a| a.vrid == vrid)?;
    }
    pair.a.stop()?;
    let capture = lab.directory.join("wire.pcap");
    pair.wire.save(&capture)?;
    let fields = [
        "vrrp.version",
        "vrrp.virt_rtr_id",
        "vrrp.prio",
        "vrrp.checksum.status",
        "ip.checksum.status",
        "vrrp.ip_addr",
    ];
    let mut command = tool("tshark");
    command.arg("-r").arg(&capture).args(["-o", "ip.check_checksum:TRUE", "-Y", "vrrp", "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().map_err(|e| format!("tshark: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    for wanted in [
        "2\t51\t150\t1\t1\t10.0.0.100",
        "2\t51\t0\t1\t1\t10.0.0.100",
        "3\t53\t120\t1\t1\t10.0.0.130,10.0.0.131",
        "3\t53\t0\t1\t1\t10.0.0.130,10.0.0.131",
    ] {
        ensure!(text.lines().any(|line| line == wanted), "no line '{wanted}' in what tshark reads:\n{text}");
    }
    let mut command = tool("tshark");
    command.arg("-r").arg(&capture).args(["-Y", "_ws.malformed || _ws.expert.severity >= 0x600000"]);
    let output = command.output().map_err(|e| format!("tshark: {e}"))?;
    let bad = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(bad.is_empty(), "tshark objects to:\n{bad}");
    Ok(())
}
