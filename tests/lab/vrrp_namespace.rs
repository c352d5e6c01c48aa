//! A daemon that moves to another network namespace by itself, and daemons that are told apart by their instance name.

use std::os::unix::fs::symlink;

use nix::sys::signal::Signal;

use crate::case::{Case, Lab};
use crate::kit::daemon::Daemon;
use crate::kit::net::{Host, Switch};
use crate::kit::wait::{Outcome, Stamp, ensure, secs, until};
use crate::kit::wire::Sniffer;
use crate::pair::{VIP, config};

pub(crate) const CASES: &[Case] = &[
    // spec/daemon-behaviour.md §1 "Namespaces and instances".
    Case::single("namespace_by_word_or_option_is_where_everything_happens", entered),
    Case::single("namespace_instances_have_pid_files_of_their_own", instances),
];

/// What `ip netns` would make, in the /run of a daemon: a name for the namespace of a host.
fn name(daemon: &Daemon, name: &str, host: &Host) -> Outcome {
    let folder = daemon.own_file("run/netns");
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    symlink(host.space.path(), folder.join(name)).map_err(|e| e.to_string())
}

/// The pid files below /run, by the path there.
fn pid_files(daemon: &Daemon) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![daemon.own_file("run")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "pid") {
                let below = path.strip_prefix(daemon.own_file("run")).unwrap_or(&path);
                found.push(below.display().to_string());
            }
        }
    }
    found.sort();
    found
}

fn entered(lab: &Lab) -> Outcome {
    let quick = config(150, "version 3\nadvert_int 0.2");
    let words = format!("net_namespace lab\ninstance one\n{quick}");
    let alone = format!("net_namespace lab\n{quick}");
    for (folder, text, options, files) in [
        ("word", &words, &[][..], ["keepalived/lab/keepalived_one.pid", "keepalived/lab/vrrp_one.pid"]),
        ("alone", &alone, &[], ["keepalived/lab/keepalived.pid", "keepalived/lab/vrrp.pid"]),
        ("option", &quick, &["-s", "lab"], ["keepalived/lab/keepalived.pid", "keepalived/lab/vrrp.pid"]),
    ] {
        let (switch, elsewhere) = (Switch::new()?, Switch::new()?);
        let inside = Host::on(&switch, "a", &["10.0.0.1/24"])?;
        let outside = Host::on(&elsewhere, "o", &["10.0.0.1/24"])?;
        let wire = Sniffer::on(&switch, &[&inside])?;
        let wrong = Sniffer::on(&elsewhere, &[&outside])?;
        let mut daemon = Daemon::new(&lab.subject, &outside, &lab.directory.join(folder), text)?;
        name(&daemon, "lab", &inside)?;
        daemon.launch(&outside, options)?;
        wire.wait_advert("an advert", Stamp(0), secs(5.0), |advert| advert.from == "a")
            .map_err(|e| daemon.explain(e))?;
        until(secs(1.0), "the address", || inside.has(VIP).then_some(())).map_err(|e| daemon.explain(e))?;
        ensure!(wrong.adverts().is_empty() && !outside.has(VIP), "it also works outside");
        ensure!(pid_files(&daemon) == files, "{:?}", pid_files(&daemon));
        let processes = inside.space.processes();
        ensure!(processes.len() >= 2, "inside are {processes:?} only");
        if folder == "word" {
            // Where it is cannot be changed while it runs.
            daemon.configure(&text.replace("net_namespace lab", "net_namespace other"))?;
            name(&daemon, "other", &outside)?;
            daemon.signal(Signal::SIGHUP)?;
            daemon.wait_log("Cannot change network namespace at a reload", secs(5.0))?;
            ensure!(inside.has(VIP), "{}", daemon.explain("the address went".to_owned()));
        }
        daemon.stop()?;
        ensure!(!inside.has(VIP), "the address is left");
        ensure!(pid_files(&daemon).is_empty(), "left: {:?}", pid_files(&daemon));
    }
    Ok(())
}

fn instances(lab: &Lab) -> Outcome {
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let quick = config(150, "version 3\nadvert_int 0.2");
    for (folder, words, options, files) in [
        ("plain", "", &[][..], ["keepalived.pid", "vrrp.pid"]),
        ("directory", "use_pid_dir\n", &[], ["keepalived/keepalived.pid", "keepalived/vrrp.pid"]),
        ("instance", "instance one\n", &[], ["keepalived/keepalived_one.pid", "keepalived/vrrp_one.pid"]),
        ("option", "", &["-p", "/run/x.pid"], ["vrrp.pid", "x.pid"]),
    ] {
        let text = format!("{words}{quick}");
        let mut daemon = Daemon::new(&lab.subject, &host, &lab.directory.join(folder), &text)?;
        daemon.launch(&host, options)?;
        until(secs(5.0), "the address", || host.has(VIP).then_some(())).map_err(|e| daemon.explain(e))?;
        ensure!(pid_files(&daemon) == files, "{folder}: {:?}", pid_files(&daemon));
        daemon.stop()?;
        ensure!(pid_files(&daemon).is_empty(), "left: {:?}", pid_files(&daemon));
        ensure!(!daemon.own_file("run/keepalived").exists(), "the directory of pid files is left");
    }
    Ok(())
}
