//! What the daemon watches for its instances: tracked files, tracked processes, and scripts over a crash.

use std::fs;
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Lab};
use crate::kit::net::{Cable, Switch};
use crate::kit::place::write_script;
use crate::kit::wait::{Outcome, ensure, near, secs, until};
use crate::pair::{A, Pair, config};

pub(crate) const CASES: &[Case] = &[
    Case::single("vrrp_the_number_in_a_tracked_file_moves_the_priority", track_file),
    Case::single("vrrp_an_interface_that_is_down_for_less_than_its_delay_is_not_felt", delays),
    Case::single("vrrp_a_tracked_process_has_a_quorum_with_delays", track_process)
        .unlike_stock("spec/vrrp-behaviour.md §6.4: refused the process connector inside a namespace"),
    Case::single("vrrp_a_script_that_runs_while_the_vrrp_process_dies_is_not_lost", script_over_crash)
        .unlike_stock("fault, spec/daemon-behaviour.md §1: the instance is lost with its process"),
];

fn track_file(lab: &Lab) -> Outcome {
    let folder = lab.directory.join("watched");
    fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    // Stock shows a path without symlinks.
    let folder = fs::canonicalize(&folder).map_err(|e| e.to_string())?;
    let path = |name: &str| folder.join(name);
    let put = |name: &str, text: &str| fs::write(path(name), text).map_err(|e| e.to_string());
    put("switch", "0")?;
    let block = |name: &str, more: &str| {
        format!("track_file {name} {{\n    file {}\n    {more}\n}}\n", path(name).display())
    };
    let text = format!(
        "{}{}{}{}",
        block("number", "init_file 20"),
        block("switch", "weight 0"),
        block("twice", "weight -2 reverse"),
        config(100, "track_file {\n number\n switch\n twice\n}")
    );
    let pair = Pair::only_a(lab, &text)?;
    let a = &pair.a;
    a.wait_log("(VI_1) Changing effective priority from 100 to 120", secs(5.0))?;
    a.wait_log("(VI_1) Entering BACKUP STATE", secs(3.0))?;
    put("number", "50\n")?;
    a.wait_log("(VI_1) Changing effective priority from 120 to 150", secs(2.0))?;
    put("twice", "0xA")?;
    a.wait_log("(VI_1) Changing effective priority from 150 to 170", secs(2.0))?;
    put("twice", "99999999999")?;
    a.wait_log("Invalid number 99999999999 read from", secs(2.0))?;
    put("switch", "-3")?;
    a.wait_log("(VI_1): tracked file switch now FAULT state", secs(2.0))?;
    a.wait_log("(VI_1) Entering FAULT STATE", secs(2.0))?;
    let seen = a.log_length();
    fs::remove_file(path("switch")).map_err(|e| e.to_string())?;
    a.wait_log_after(seen, "(VI_1): tracked file switch leaving FAULT state", secs(2.0))?;
    a.wait_log_after(seen, "(VI_1) Entering BACKUP STATE", secs(2.0))?;
    // A rename in both directions.
    put("other", "5")?;
    let seen = a.log_length();
    fs::rename(path("number"), path("away")).map_err(|e| e.to_string())?;
    a.wait_log_after(seen, "(VI_1) Changing effective priority from 170 to 120", secs(2.0))?;
    fs::rename(path("other"), path("number")).map_err(|e| e.to_string())?;
    a.wait_log_after(seen, "(VI_1) Changing effective priority from 120 to 125", secs(2.0))?;
    let dump = a.dump(Signal::SIGUSR1, "tmp/keepalived.data")?;
    let expected = format!(
        " Track file = twice\n   File = {}\n   Status = 10\n   Weight = -2 reverse\n   Tracking instances :\n     VI_1, weight -2 reverse\n",
        path("twice").display()
    );
    for part in [
        &expected,
        "   Tracked files :\n     number, weight 1\n     switch, weight 0\n     twice, weight -2 reverse\n",
    ] {
        ensure!(dump.contains(part), "the dump lacks\n{part}\n{dump}");
    }
    // A number beyond 253 counts 253, and the sum is cut to 254.
    put("number", "300")?;
    a.wait_log("(VI_1) Changing effective priority from 125 to 254", secs(2.0))?;
    put("number", "-254")?;
    a.wait_log("(VI_1): tracked file number now FAULT state", secs(2.0)).map(drop)
}

fn delays(lab: &Lab) -> Outcome {
    let second = Switch::new()?;
    let text = format!(
        "interface_up_down_delays {{\n    eth1 1.5\n}}\n{}",
        config(150, "track_interface {\n eth1 weight -10\n}")
    );
    let mut pair = Pair::new(lab, &text, "")?;
    pair.hosts[A].plug(&second, &["10.0.9.1/24"])?;
    pair.start_a(&[])?;
    let a = &pair.a;
    a.wait_log("(VI_1) Entering BACKUP STATE", secs(5.0))?;
    second.cable(&pair.hosts[A], Cable::Out)?;
    // The kernel itself may take a second to tell of a lost carrier.
    a.wait_log("eth1: Adding flags change from", secs(3.0))?;
    second.cable(&pair.hosts[A], Cable::In)?;
    pair.wait_vip(A, secs(6.0))?;
    ensure!(!a.logged("Netlink reports eth1 down"), "a short loss counts");
    let seen = a.log_length();
    second.cable(&pair.hosts[A], Cable::Out)?;
    let added = a.wait_log_after(seen, "eth1: Adding flags change from", secs(3.0))?;
    let down = a.wait_log_after(seen, "Netlink reports eth1 down", secs(3.0))?;
    near("the delay", down.at.since(added.at), 1.5, 0.2)?;
    a.wait_log_after(seen, "(VI_1) Changing effective priority from 150 to 140", secs(1.0))?;
    let dump = a.dump(Signal::SIGUSR1, "tmp/keepalived.data")?;
    ensure!(dump.contains("   Down debounce timer = 1500000us\n"), "{dump}");
    let seen = a.log_length();
    second.cable(&pair.hosts[A], Cable::In)?;
    a.wait_log_after(seen, "(VI_1) Changing effective priority from 140 to 150", secs(2.0)).map(drop)
}

/// A process of our own that no other test has; killed when dropped.
struct Sleeper(Child);

impl Sleeper {
    fn new(word: &str) -> Outcome<Self> {
        Command::new("sleep").args([word, "0"]).spawn().map(Self).map_err(|e| e.to_string())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn track_process(lab: &Lab) -> Outcome {
    let word = format!("300.{}", std::process::id());
    let text = format!(
        "vrrp_track_process sleepers {{\n    process sleep {word}\n    param_match initial\n    quorum 2\n    \
         terminate_delay 1.5\n    fork_delay 0.5\n}}\n{}",
        config(150, "track_process {\n sleepers\n}")
    );
    let (first, second) = (Sleeper::new(&word)?, Sleeper::new(&word)?);
    let pair = Pair::only_a(lab, &text)?;
    let a = &pair.a;
    pair.wait_vip(A, secs(8.0))?;
    drop(second);
    a.wait_log("Quorum lost for tracked process sleepers", secs(6.0))?;
    a.wait_log("(VI_1) Entering FAULT STATE", secs(1.0))?;
    until(secs(1.0), "a to drop the address", || (!pair.has_vip(A)).then_some(()))?;
    let dump = a.dump(Signal::SIGUSR1, "tmp/keepalived.data")?;
    for line in
        ["Current processes = 1", "Have quorum = false", "Param match = initial", "Full command = true"]
    {
        ensure!(dump.contains(line), "the dump lacks {line}\n{dump}");
    }
    let third = Sleeper::new(&word)?;
    a.wait_log("Quorum gained for tracked process sleepers", secs(6.0))?;
    pair.wait_vip(A, secs(6.0))?;
    let seen = a.log_length();
    drop((first, third));
    a.wait_log_after(seen, "Quorum lost for tracked process sleepers", secs(6.0)).map(drop)
}

fn script_over_crash(lab: &Lab) -> Outcome {
    let (started, fail) = (lab.directory.join("started"), lab.directory.join("fail"));
    let script = lab.directory.join("slow.sh");
    write_script(
        &script,
        &format!("#!/bin/sh\necho >>{}\nsleep 2\ntest ! -e {}\n", started.display(), fail.display()),
    )?;
    let text = format!(
        "vrrp_script slow {{\n    script \"{}\"\n    interval 3\n    timeout 20\n}}\n{}",
        script.display(),
        config(150, "track_script {\n slow\n}")
    );
    let pair = Pair::only_a(lab, &text)?;
    pair.wait_vip(A, secs(10.0))?;
    let runs = || fs::read_to_string(&started).map(|text| text.len()).unwrap_or_default();
    let before = runs();
    until(secs(4.0), "another run", || (runs() > before).then_some(()))?;
    fs::write(&fail, "").map_err(|e| e.to_string())?;
    let victim = pair.a.pid("vrrp")?;
    let seen = pair.a.log_length();
    kill(Pid::from_raw(victim), Signal::SIGKILL).map_err(|e| e.to_string())?;
    // The run that was under way tells the successor, long before its timeout and the patience after it.
    pair.a.wait_log_after(seen, "VRRP_Script(slow) failed (exited with status 1)", secs(5.0))?;
    pair.a.wait_log_after(seen, "(VI_1) Entering FAULT STATE", secs(1.0)).map(drop)
}
