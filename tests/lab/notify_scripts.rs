//! Scripts of the whole daemon: before its children start, after they ended; who runs them and how long.
//! spec/daemon-behaviour.md §7, §8.

use std::fs;

use crate::case::{Case, Lab};
use crate::kit::daemon::Daemon;
use crate::kit::net::{Host, Switch};
use crate::kit::place::write_script;
use crate::kit::wait::{Outcome, ensure, secs};
use crate::pair::instance;

pub(crate) const CASES: &[Case] = &[
    Case::single("scripts_before_the_start_and_after_the_end", around),
    Case::single("scripts_before_the_start_are_ended_after_their_time", too_long).ours_only(),
];

fn text(startup: &str, shutdown: &str) -> String {
    format!(
        "global_defs {{\n enable_script_security\n script_user root\n startup_script {startup}\n startup_script_timeout 1\n \
         shutdown_script {shutdown}\n shutdown_script_timeout 1\n}}\n{}",
        instance("V1", 51, "eth0", 100, "virtual_ipaddress {\n 10.0.0.100\n}")
    )
}

/// Which log line comes first.
fn order(daemon: &Daemon, lines: &[&str]) -> Outcome {
    let places: Vec<_> =
        lines.iter().map(|text| daemon.log().iter().position(|line| line.text.contains(text))).collect();
    ensure!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{}",
        daemon.explain(format!("{lines:#?} at {places:?}"))
    );
    Ok(())
}

fn around(lab: &Lab) -> Outcome {
    let (record, script) = (lab.directory.join("told"), lab.directory.join("script.sh"));
    write_script(
        &script,
        &format!(
            "#!/bin/sh\necho \"$* $(umask) $(readlink /proc/$$/fd/0) $(cut -d' ' -f5 /proc/$$/stat | grep -c \"^$$\\$\")\" \
             >>{}\nexit 3\n",
            record.display()
        ),
    )?;
    let command = |word: &str| format!("\"{} {word} 'two words'\"", script.display());
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let config = text(&command("first"), &command("last"));
    let mut daemon = Daemon::start_on(&host, &lab.subject, &lab.directory, &config)?;
    daemon.wait_log("(V1) Entering BACKUP STATE", secs(5.0))?;
    let told = || fs::read_to_string(&record).unwrap_or_default();
    let line = |word: &str| format!("{word} two words 0177 /dev/null 1\n");
    ensure!(told() == line("first"), "{}", told());
    // Not by a reload.
    daemon.reload(&config)?;
    ensure!(told() == line("first"), "{}", told());
    let (_, status) = daemon.stop()?;
    ensure!(status.success(), "exit {status}");
    ensure!(told() == line("first") + &line("last"), "{}", told());
    order(
        &daemon,
        &[
            "Running startup script",
            "script failed, status 3",
            "Starting VRRP",
            "(V1)",
            "Running shutdown script",
            "Stopped Keepalived",
        ],
    )
}

fn too_long(lab: &Lab) -> Outcome {
    let (record, script) = (lab.directory.join("told"), lab.directory.join("script.sh"));
    fs::write(&record, "").map_err(|e| e.to_string())?;
    let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
    fs::set_permissions(&record, open).map_err(|e| e.to_string())?;
    write_script(
        &script,
        &format!("#!/bin/sh\ngrep -E '^(Uid|Groups):' /proc/$$/status >>{}\nsleep 600\n", record.display()),
    )?;
    let script = script.display();
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let config = text(&format!("\"{script}\" nobody"), &format!("\"{script}\" nobody :"));
    let mut daemon = Daemon::start_on(&host, &lab.subject, &lab.directory, &config)?;
    daemon.wait_log("(V1) Entering BACKUP STATE", secs(6.0))?;
    daemon.stop()?;
    order(
        &daemon,
        &["startup script timed out", "Starting VRRP", "shutdown script timed out", "Stopped Keepalived"],
    )?;
    let told = fs::read_to_string(&record).map_err(|e| e.to_string())?;
    let nobody = nix::unistd::User::from_name("nobody").ok().flatten().ok_or("no user nobody")?;
    let (uid, gid) = (nobody.uid, nobody.gid);
    let uids = format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}");
    let lines: Vec<&str> = told.lines().map(str::trim_end).collect();
    ensure!(lines == [&uids, "Groups:", &uids, &*format!("Groups:\t{gid}")], "{lines:?}");
    ensure!(daemon.processes().is_empty(), "processes are left: {:?}", daemon.processes());
    Ok(())
}
