//! Which scripts are run, as whom, with what around them, and how they are ended. spec/daemon-behaviour.md §8.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, chown};

use crate::case::{Case, Lab};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::net::{Host, Switch};
use crate::kit::place::{write, write_script};
use crate::kit::told::Told;
use crate::kit::wait::{Outcome, Stamp, ensure, secs, until};
use crate::pair::instance;

pub(crate) const CASES: &[Case] = &[
    Case::single("scripts_that_others_can_change_run_or_not_as_with_stock", trusted),
    Case::single("scripts_run_as_whom_and_with_what_they_are_told", identities),
    Case::single("scripts_with_supplementary_groups_if_asked", supplementary).ours_only(),
    Case::single("scripts_that_hang_are_ended_and_leave_nothing", hanging),
];

/// One script: its path below /run/s, its file's mode and group, its user, and what refuses it: by itself, and with security.
struct Trust {
    path: &'static str,
    mode: u32,
    group: u32,
    words: &'static str,
    always: bool,
    secure: bool,
    /// What ours says why.
    why: &'static str,
}

const fn trust(path: &'static str, mode: u32, always: bool, secure: bool, why: &'static str) -> Trust {
    Trust { path, mode, group: 0, words: "", always, secure, why }
}

/// Group `games` of every Debian.
const GAMES: u32 = 60;

fn table() -> Vec<Trust> {
    vec![
        trust("plain", 0o755, true, true, ""),
        Trust { group: GAMES, ..trust("group", 0o775, true, false, "group 60 can change `/run/s/group`") },
        trust("rootgroup", 0o775, true, true, ""),
        trust("world", 0o757, true, false, "everybody can change `/run/s/world`"),
        Trust { words: " nobody", ..trust("nobodys", 0o757, true, true, "") },
        Trust {
            group: GAMES,
            words: " nobody",
            ..trust("setuid", 0o4775, true, false, "group 60 can change `/run/s/setuid`")
        },
        trust("owned", 0o755, true, false, "`/run/s/owned` belongs to user 65534"),
        trust("unexecutable", 0o644, false, false, "user 0 may not execute `/run/s/unexecutable`"),
        trust("missing", 0, false, false, "there is no file `/run/s/missing`"),
        trust("open/x", 0o755, true, false, "everybody can change `/run/s/open`"),
        trust("sticky/x", 0o755, true, true, ""),
        trust("link/x", 0o755, true, true, ""),
        trust("final", 0, true, true, ""),
        trust("toopen", 0, true, false, "everybody can change `/run/s/open`"),
    ]
}

/// The scripts of a daemon, as its own /run shows them.
fn lay_out(run: &Path, table: &[Trust]) -> Outcome {
    let text = "#!/bin/sh\n: >\"/run/told/$1\"\n";
    let at = |path: &str| run.join("s").join(path);
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(|e| format!("{}: {e}", path.display()))
    };
    for folder in ["open", "sticky", "target"] {
        fs::create_dir_all(at(folder)).map_err(|e| e.to_string())?;
    }
    fs::create_dir_all(run.join("told")).map_err(|e| e.to_string())?;
    mode(run, 0o755)?;
    mode(&at(""), 0o755)?;
    mode(&at("target"), 0o755)?;
    mode(&at("open"), 0o757)?;
    mode(&at("sticky"), 0o1777)?;
    mode(&run.join("told"), 0o1777)?;
    let links = [("target", "link"), ("plain", "final"), ("open/x", "toopen")];
    for (to, name) in links {
        std::os::unix::fs::symlink(to, at(name)).map_err(|e| e.to_string())?;
    }
    for Trust { path, mode: bits, group, .. } in table.iter().filter(|it| it.mode != 0) {
        let file = at(path);
        write(&file, text)?;
        let owner = Uid::from_raw(if *path == "owned" { 65534 } else { 0 });
        chown(&file, Some(owner), Some(Gid::from_raw(*group))).map_err(|e| e.to_string())?;
        mode(&file, *bits)?;
    }
    Ok(())
}

fn notified(number: u8, words: &str) -> String {
    let words = format!("virtual_ipaddress {{\n 10.0.0.{}\n}}\n{words}", 100 + number);
    instance(&format!("V{number}"), number, "eth0", 100, &words)
}

fn trusted(lab: &Lab) -> Outcome {
    let table = table();
    // Without security, with it, and with it but nobody named to run them.
    for (name, words) in [
        ("off", "script_user root"),
        ("on", "enable_script_security\n script_user root"),
        ("nobody", "enable_script_security"),
    ] {
        let switch = Switch::new()?;
        let host = Host::on(&switch, name, &["10.0.0.1/24"])?;
        let mut text = format!("global_defs {{\n {words}\n}}\n");
        for (number, Trust { path, words, .. }) in (1..).zip(&table) {
            let told = path.replace('/', "-");
            text += &notified(number, &format!("notify_backup \"/run/s/{path} {told}\"{words}"));
        }
        // What is no user behind an unquoted command, and an unknown group.
        text += &notified(50, "notify_backup /run/s/plain unquoted words");
        text += &notified(51, "notify_backup \"/run/s/plain group\" root nosuchgroup");
        let mut daemon = Daemon::new(&lab.subject, &host, &lab.directory, &text)?;
        lay_out(&daemon.own_file("run"), &table)?;
        daemon.start(&host, &[])?;
        let runs = |it: &Trust| match name {
            "off" => it.always,
            "on" => it.secure,
            _ => it.always && it.words.contains("nobody") && it.secure,
        };
        let wanted: BTreeSet<String> =
            table.iter().filter(|it| runs(it)).map(|it| it.path.replace('/', "-")).collect();
        let folder = daemon.own_file("run/told");
        let told = || -> BTreeSet<String> {
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        };
        until(secs(8.0), format!("{name}: {wanted:?} to run"), || wanted.is_subset(&told()).then_some(()))
            .map_err(|e| daemon.explain(format!("{e}\nran: {:?}", told())))?;
        daemon.wait_log("(V51) Entering BACKUP STATE", secs(8.0))?;
        daemon.stop()?;
        ensure!(
            told() == wanted,
            "{}",
            daemon.explain(format!("{name}: ran {:?}, wanted {wanted:?}", told()))
        );
        if name == "nobody" {
            continue;
        }
        for it in table.iter().filter(|it| !it.why.is_empty() && !runs(it)) {
            let path = format!("/run/s/{}", it.path);
            // Stock names the file behind a symlink.
            let named = if it.path == "toopen" { "/run/s/open" } else { &path };
            let why = if lab.subject.is_stock() { named } else { it.why };
            ensure!(daemon.logged(why), "{}", daemon.explain(format!("{name}: nothing about {path}")));
        }
        if !lab.subject.is_stock() && name == "off" {
            ensure!(
                daemon.logged("enable_script_security"),
                "{}",
                daemon.explain("no word of security".into())
            );
        }
    }
    Ok(())
}

/// A directory into which every user can write what it was told.
fn open_told(directory: &Path) -> Outcome<Told> {
    let told = Told::new(directory)?;
    fs::set_permissions(directory.join("told"), fs::Permissions::from_mode(0o1777))
        .map_err(|e| e.to_string())?;
    Ok(told)
}

/// Who is told what: the words behind `notify_backup`.
fn identified(script: &Path) -> Vec<(&'static str, String)> {
    let script = script.display();
    vec![
        ("A", format!("\"{script} A whole 'a b' c\"")),
        ("B", format!("\"{script} B whole\" nobody")),
        ("C", format!("\"{script} C whole\" nobody games")),
        ("D", format!("\"{script} D whole\"")),
    ]
}

fn identities(lab: &Lab) -> Outcome {
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| identify(&Program::stock(), &lab.directory.join("stock")));
        let ours = identify(&lab.subject, &lab.directory.join("subject"));
        (ours, theirs.join().unwrap_or_else(|_| Err("panicked".to_owned())))
    });
    let (ours, theirs) = (ours?, theirs.map_err(|e| format!("stock: {e}"))?);
    ensure!(
        (&ours.words, &ours.surroundings) == (&theirs.words, &theirs.surroundings),
        "the subject {ours:#?}\nstock {theirs:#?}"
    );
    ensure!(ours.words.len() == 4, "{ours:#?}");
    for line in ["umask 0177", "leads its group: 1", "standard /dev/null /dev/null"] {
        let all = ours.surroundings.iter().all(|around| around.iter().any(|it| it.starts_with(line)));
        ensure!(all, "not all have {line:?}: {ours:#?}");
    }
    ensure!(lab.subject.is_stock() || ours.inherited == nothing_inherited(), "{:?}", ours.inherited);
    Ok(())
}

/// What a script of ours finds of descriptors and groups.
pub(crate) fn nothing_inherited() -> BTreeSet<String> {
    ["descriptors 0 1 2 3".to_owned(), "Groups:".to_owned()].into()
}

fn identify(program: &Program, directory: &Path) -> Outcome<crate::kit::told::Runs> {
    fs::create_dir_all(directory).map_err(|e| e.to_string())?;
    let told = open_told(directory)?;
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let mut text = "global_defs {\n script_user games\n}\n".to_owned();
    let scripts = identified(&directory.join("told.sh"));
    for (number, (_, words)) in (1..).zip(&scripts) {
        text += &notified(number, &format!("notify_backup {words}"));
    }
    let mut daemon = Daemon::start_on(&host, program, directory, &text)?;
    let last = u8::try_from(scripts.len()).unwrap_or_default();
    daemon.wait_log(&format!("(V{last}) Entering BACKUP STATE"), secs(8.0))?;
    until(secs(8.0), "four scripts to run", || (told.count() >= 4).then_some(()))
        .map_err(|e| daemon.explain(e))?;
    daemon.stop()?;
    until(secs(5.0), "the scripts to end", || daemon.processes().is_empty().then_some(()))?;
    told.runs()
}

/// 2.2.7 knows neither `:` nor `set_supplementary_groups`.
fn supplementary(lab: &Lab) -> Outcome {
    let nobody = nix::unistd::User::from_name("nobody").ok().flatten().ok_or("no user nobody")?;
    let name = std::ffi::CString::new("nobody").map_err(|e| e.to_string())?;
    let groups = |gid: Gid| -> Outcome<String> {
        let found = nix::unistd::getgrouplist(&name, gid).map_err(|e| e.to_string())?;
        Ok(found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    for (global, words, gid, supplementary) in [
        ("", "nobody :", nobody.gid, true),
        ("", "nobody :games", Gid::from_raw(GAMES), true),
        ("", "nobody", nobody.gid, false),
        ("set_supplementary_groups", "nobody games", Gid::from_raw(GAMES), true),
    ] {
        let directory = lab.directory.join(format!("{}{}", words.replace([' ', ':'], "-"), global.len()));
        fs::create_dir_all(&directory).map_err(|e| e.to_string())?;
        let told = open_told(&directory)?;
        let switch = Switch::new()?;
        let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
        let script = directory.join("told.sh").display().to_string();
        let text = format!(
            "global_defs {{\n script_user root\n {global}\n}}\n{}",
            notified(1, &format!("notify_backup \"{script} A whole\" {words}"))
        );
        let mut daemon = Daemon::start_on(&host, &lab.subject, &directory, &text)?;
        until(secs(8.0), "the script to run", || (told.count() == 1).then_some(()))
            .map_err(|e| daemon.explain(e))?;
        daemon.stop()?;
        until(secs(5.0), "the script to end", || daemon.processes().is_empty().then_some(()))?;
        let wanted = format!("Groups:\t{}", if supplementary { groups(gid)? } else { " ".to_owned() });
        let runs = told.runs()?;
        let found =
            runs.inherited.iter().find(|line| line.starts_with("Groups:")).cloned().unwrap_or_default();
        ensure!(found.trim_end() == wanted.trim_end(), "{words} {global}: {found:?}, wanted {wanted:?}");
    }
    Ok(())
}

/// Processes that ended and that nobody has asked for, of this daemon: their parent is one of its processes.
fn zombies(daemon: &Daemon) -> Vec<String> {
    let own = daemon.processes();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let fields: Vec<&str> =
                stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
            fields.first() == Some(&"Z")
                && fields.get(1).and_then(|pid| pid.parse().ok()).is_some_and(|pid| own.contains(&pid))
        })
        .collect()
}

/// The number in a file, once there is one.
fn number_in(file: &PathBuf, daemon: &Daemon) -> Outcome<i32> {
    until(secs(8.0), format!("a number in {}", file.display()), || {
        fs::read_to_string(file).ok()?.trim().parse().ok()
    })
    .map_err(|e| daemon.explain(e))
}

/// A tracked script that does not hear SIGTERM is killed two seconds later, with what it has started; a notify script that runs
/// at the end of the daemon hears SIGTERM; nothing stays behind.
fn hanging(lab: &Lab) -> Outcome {
    let file = |name: &str| lab.directory.join(name);
    let (deaf, child, slow) = (file("deaf"), file("child"), file("slow"));
    write_script(
        &file("deaf.sh"),
        &format!(
            "#!/bin/sh\n[ -e {deaf} ] && exit 0\ntrap '' TERM\nsleep 600 &\necho $! >{child}\necho $$ >{deaf}\nwait\nsleep 600\n",
            deaf = deaf.display(),
            child = child.display()
        ),
    )?;
    write_script(
        &file("slow.sh"),
        &format!(
            "#!/bin/bash\ntrap 'echo TERM >>{slow}; exit' TERM\necho $$ >{slow}.pid\nsleep 600 & wait\n",
            slow = slow.display()
        ),
    )?;
    let text = format!(
        "global_defs {{\n script_user root\n}}\nvrrp_script deaf {{\n script \"{}\"\n interval 4\n timeout 1\n}}\n{}",
        file("deaf.sh").display(),
        notified(
            1,
            &format!(
                "track_script {{\n deaf\n}}\nadvert_int 1\nnotify_master \"{}\"",
                file("slow.sh").display()
            )
        )
    );
    let switch = Switch::new()?;
    let host = Host::on(&switch, "a", &["10.0.0.1/24"])?;
    let mut daemon = Daemon::start_on(&host, &lab.subject, &lab.directory, &text)?;
    let leader = number_in(&deaf, &daemon)?;
    let began = Stamp::now();
    let gone = |pid: i32| !Path::new(&format!("/proc/{pid}/cwd")).exists();
    until(secs(8.0), "the deaf script to be killed", || gone(leader).then_some(()))
        .map_err(|e| daemon.explain(e))?;
    let took = Stamp::now().since(began);
    ensure!((2.0..7.0).contains(&took), "killed {took:.3} s after its start: a second, and two for SIGTERM");
    let child = number_in(&child, &daemon)?;
    until(secs(3.0), "what it had started to be killed", || gone(child).then_some(()))?;
    // It passes from now on.
    daemon.wait_log("Entering MASTER STATE", secs(12.0))?;
    let pid = number_in(&file("slow.pid"), &daemon)?;
    until(secs(3.0), "zombies to be gone", || zombies(&daemon).is_empty().then_some(()))
        .map_err(|e| format!("{e}: {:?}", zombies(&daemon)))?;
    daemon.stop()?;
    until(secs(5.0), "the slow script to end", || gone(pid).then_some(()))?;
    let heard = fs::read_to_string(&slow).unwrap_or_default();
    ensure!(heard == "TERM\n", "it heard {heard:?}");
    Ok(())
}
