//! The files around a daemon: names and places of dumps, what the words about reload leave and take away.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Lab};
use crate::kit::daemon::Daemon;
use crate::kit::place::write;
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::pair::{Pair, config};

pub(crate) const CASES: &[Case] = &[
    Case::single("files_data_dumps_have_the_instance_in_their_name_if_asked", named_by_instance),
    Case::single("files_dumps_go_where_their_words_say", configured_places).ours_only(),
    Case::single("files_config_save_dir_gets_copies", copies),
    Case::single("reload_time_file_is_followed_and_used_up", reload_time),
    Case::single("reload_check_config_tests_first", reload_check),
    Case::single("reload_file_is_gone_after_the_reading", reload_marker),
    Case::single("reload_file_exists_while_the_files_are_read", reload_marker_seen).ours_only(),
];

/// The configuration with these words in `global_defs`.
fn with_words(words: &str) -> String {
    config(100, "").replace("router_id lab", &format!("router_id lab\n    {words}"))
}

/// A real-time signal, which nix does not name.
fn realtime(daemon: &Daemon, number: i32) -> Outcome {
    let pid = daemon.pid("parent")?;
    let status = std::process::Command::new("kill")
        .args([format!("-{number}"), pid.to_string()])
        .status()
        .map_err(|e| e.to_string())?;
    ensure!(status.success(), "kill -{number}: {status}");
    Ok(())
}

/// Waits for a file that holds the text, and has the mode of all dumps.
fn wait_dump(daemon: &Daemon, path: &str, text: &str) -> Outcome {
    let file = daemon.own_file(path);
    until(secs(5.0), format!("{} with {text:?}", file.display()), || {
        let read = fs::read(&file).ok()?;
        String::from_utf8_lossy(&read).contains(text).then_some(())
    })
    .map_err(|e| daemon.explain(e))?;
    let mode = fs::metadata(&file).map_err(|e| e.to_string())?.mode() & 0o7777;
    ensure!(mode == 0o600, "{path} has mode {mode:o}");
    Ok(())
}

/// What is in one of the daemon's directories.
fn names(daemon: &Daemon, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(daemon.own_file(folder)).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn named_by_instance(lab: &Lab) -> Outcome {
    let pair = Pair::only_a(lab, &format!("instance ii\n{}", with_words("data_use_instance")))?;
    let a = &pair.a;
    a.wait_log("Startup complete", secs(5.0))?;
    a.signal(Signal::SIGUSR1)?;
    wait_dump(a, "tmp/keepalived.ii.data", "   Virtual Router ID = 51")?;
    wait_dump(a, "tmp/keepalived_parent.ii.data", " Use instance name in data dumps")?;
    a.signal(Signal::SIGUSR2)?;
    wait_dump(a, "tmp/keepalived.stats", "VRRP Instance: VI_1")?;
    realtime(a, 36)?;
    wait_dump(a, "tmp/keepalived.json", "\"iname\":\"VI_1\"")?;
    ensure!(!a.own_file("tmp/keepalived.data").exists(), "also without the instance: {:?}", names(a, "tmp"));
    Ok(())
}

fn configured_places(lab: &Lab) -> Outcome {
    let words =
        "state_dump_file xx.txt\n stats_dump_file /run/dumps/\n json_dump_file /run/dumps/j\n json_version 2";
    let pair = Pair::new(lab, &with_words(words), "")?;
    let folder = pair.a.own_file("run/dumps");
    fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let mut pair = pair;
    pair.start_a(&[])?;
    let a = &pair.a;
    a.wait_log("Startup complete", secs(5.0))?;
    a.signal(Signal::SIGUSR1)?;
    wait_dump(a, "tmp/xx.txt", "   Virtual Router ID = 51")?;
    wait_dump(a, "tmp/xx_parent.txt", " state dump file xx.txt")?;
    a.signal(Signal::SIGUSR2)?;
    wait_dump(a, "run/dumps/keepalived.stats", "VRRP Instance: VI_1")?;
    realtime(a, 36)?;
    wait_dump(a, "run/dumps/j", "{\"vrrp\":[{\"data\":{\"iname\":\"VI_1\"")?;
    // A reload moves them.
    a.reload(&with_words("state_dump_file /run/dumps/"))?;
    a.signal(Signal::SIGUSR1)?;
    wait_dump(a, "run/dumps/keepalived.data", "   Virtual Router ID = 51")
}

fn copies(lab: &Lab) -> Outcome {
    let pair = Pair::only_a(lab, &with_words("config_save_dir /run/save"))?;
    let a = &pair.a;
    a.wait_log("Startup complete", secs(5.0))?;
    let (parent, vrrp) = (a.pid("parent")?, a.pid("vrrp")?);
    a.reload(&with_words("config_save_dir /run/save").replace("priority 100", "priority 90"))?;
    wait_dump(a, &format!("run/save/keepalived.conf.{parent}.0"), "priority 100")?;
    wait_dump(a, &format!("run/save/keepalived.conf.{parent}.1"), "priority 90")?;
    wait_dump(a, &format!("run/save/keepalived_vrrp.{vrrp}.1.pre"), "   Priority = 100")?;
    wait_dump(a, &format!("run/save/keepalived_vrrp.{vrrp}.1.post"), "   Priority = 90")
}

/// A time of day, some seconds from now (UTC: with the `Z` that says so).
fn time_in(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() + seconds;
    format!("{:02}:{:02}:{:02}Z\n", now / 3600 % 24, now / 60 % 60, now % 60)
}

fn reload_time(lab: &Lab) -> Outcome {
    let pair = Pair::only_a(lab, &with_words("reload_time_file /run/when"))?;
    let a = &pair.a;
    a.wait_log("Startup complete", secs(5.0))?;
    let file = a.own_file("run/when");
    write(&file, "hello\n")?;
    a.wait_log("Invalid reload time 'hello' specified - ignoring", secs(5.0))?;
    write(&file, "2020-01-01 00:00:00\n")?;
    a.wait_log("is in the past - ignoring", secs(5.0))?;
    write(&file, "2036-01-01 00:00:00Z\n")?;
    a.wait_log("Scheduling reload for 20", secs(5.0))?;
    let parent = a.dump(Signal::SIGUSR1, "tmp/keepalived_parent.data")?;
    let line = parent.lines().find(|line| line.contains("Reload scheduled for")).unwrap_or_default();
    ensure!(line.ends_with(":00:00 (date specified"), "{line:?} in {parent}");
    let soon = time_in(2);
    write(&file, &soon)?;
    a.wait_log("Reload time updated from 20", secs(5.0))?;
    a.configure(
        &with_words("reload_time_file /run/when\n reload_repeat").replace("priority 100", "priority 90"),
    )?;
    a.wait_log("Reload complete", secs(8.0))?;
    let data = a.dump(Signal::SIGUSR1, "tmp/keepalived.data")?;
    ensure!(data.contains("\n   Priority = 90\n"), "the reload did not read the file:\n{data}");
    ensure!(!file.exists(), "the file stayed");
    // With `reload_repeat` it stays, and is for tomorrow.
    let seen = a.log_length();
    write(&file, time_in(2))?;
    a.wait_log_after(seen, "Scheduling reload for", secs(5.0))?;
    let line = a.wait_log_after(seen, "Reload complete", secs(8.0))?;
    ensure!(file.exists(), "the file went at {}", line.text);
    let parent = a.dump(Signal::SIGUSR1, "tmp/keepalived_parent.data")?;
    ensure!(parent.contains(" Reload time file = /run/when (repeat)\n Reload scheduled for "), "{parent}");
    let seen = a.log_length();
    fs::remove_file(&file).map_err(|e| e.to_string())?;
    a.wait_log_after(seen, "Cancelling reload scheduled for", secs(5.0)).map(drop)
}

fn reload_check(lab: &Lab) -> Outcome {
    let words = "reload_check_config /run/check.log";
    let pair = Pair::only_a(lab, &with_words(words))?;
    let a = &pair.a;
    a.wait_log("Startup complete", secs(5.0))?;
    // A start takes an unknown word, this test does not.
    a.configure(&format!("{}nonsense\n", with_words(words).replace("priority 100", "priority 80")))?;
    a.signal(Signal::SIGHUP)?;
    a.wait_log("New config failed validation, see /run/check.log for details", secs(8.0))?;
    let said = fs::read_to_string(a.own_file("run/check.log")).map_err(|e| e.to_string())?;
    ensure!(said.contains("nonsense"), "the log holds {said:?}");
    let data = a.dump(Signal::SIGUSR1, "tmp/keepalived.data")?;
    ensure!(data.contains("\n   Priority = 100\n"), "it was taken over:\n{data}");
    ensure!(!a.logged("Reload complete"), "{}", a.explain("a reload".to_owned()));
    a.reload(&with_words(words).replace("priority 100", "priority 90"))?;
    until(secs(5.0), "the new priority", || {
        let data = a.dump(Signal::SIGUSR1, "tmp/keepalived.data").ok()?;
        data.contains("\n   Priority = 90\n").then_some(())
    })
    .map_err(|e| a.explain(e))?;
    // A burst of requests ends with the last file in force.
    let pid = Pid::from_raw(a.pid("parent")?);
    for priority in [70, 60] {
        a.configure(&with_words(words).replace("priority 100", &format!("priority {priority}")))?;
        kill(pid, Signal::SIGHUP).map_err(|e| e.to_string())?;
    }
    until(secs(8.0), "the last priority", || {
        let data = a.dump(Signal::SIGUSR1, "tmp/keepalived.data").ok()?;
        data.contains("\n   Priority = 60\n").then_some(())
    })
    .map_err(|e| a.explain(e))
}

fn reload_marker(lab: &Lab) -> Outcome {
    let pair = Pair::only_a(lab, &with_words("reload_file /run/marker"))?;
    let a = &pair.a;
    a.wait_log("Startup complete", secs(5.0))?;
    // Who wants to know when a reload has read its files makes the file, asks, and waits for it to go.
    let marker = a.own_file("run/marker");
    write(&marker, "")?;
    a.signal(Signal::SIGHUP)?;
    until(secs(5.0), "the file to go", || (!marker.exists()).then_some(())).map_err(|e| a.explain(e))
}

fn reload_marker_seen(lab: &Lab) -> Outcome {
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    let pair = Pair::only_a(lab, &format!("instance ii\n{}", with_words("reload_file")))?;
    let a = &pair.a;
    a.wait_log("Startup complete", secs(5.0))?;
    let watch = Inotify::init(InitFlags::IN_NONBLOCK).map_err(|e| e.to_string())?;
    let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE;
    watch.add_watch(&a.own_file("run/keepalived"), flags).map_err(|e| e.to_string())?;
    a.signal(Signal::SIGHUP)?;
    let mut seen = Vec::new();
    until(secs(5.0), "the file to come and go", || {
        let events = watch.read_events().unwrap_or_default();
        seen.extend(events.into_iter().filter_map(|e| Some((e.mask, e.name?))));
        let was = |mask, name: &str| seen.contains(&(mask, Path::new(name).as_os_str().to_owned()));
        (was(AddWatchFlags::IN_CREATE, "keepalived_ii.reload")
            && was(AddWatchFlags::IN_DELETE, "keepalived_ii.reload"))
        .then_some(())
    })
    .map_err(|e| a.explain(e))
}
