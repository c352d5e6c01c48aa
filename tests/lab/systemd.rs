//! The unit file as an operator meets it: a guest whose process 1 is systemd, and `systemctl`.
//!
//! The cases run in this order in one boot, each from the state the one before left. Stock is run by its own package's unit.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Output;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Cast, Lab, Verdict, Where};
use crate::kit::daemon::Program;
use crate::kit::place::{self, tool, write};
use crate::kit::wait::{Outcome, ensure, secs, throughout, until};
use crate::packages;
use crate::pair::{VIP, config};

pub(crate) const CASES: &[Case] = &[
    systemd("systemd_a_start_that_is_refused_fails", start_refused),
    systemd("systemd_start_is_done_when_the_daemon_is_ready", start),
    systemd("systemd_reload_takes_the_new_file", reload),
    systemd("systemd_a_broken_file_is_refused_at_reload_and_a_good_one_taken_after", broken).ours_only(),
    systemd("systemd_restart_gives_a_new_process", restart),
    systemd("systemd_restarts_after_a_crash", crash).ours_only(),
    systemd("systemd_stop_leaves_nothing", stop),
];

pub(crate) const fn systemd(name: &'static str, run: fn(&Lab) -> Outcome) -> Case {
    Case { name, place: Where::Systemd, players: Cast::Subject, verdict: Verdict::Both, why: "", run }
}

pub(crate) const CONFIG: &str = "/etc/keepalived/keepalived.conf";
pub(crate) const SECOND: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 110);

fn unit(lab: &Lab) -> &'static str {
    if lab.subject.is_stock() { "keepalived" } else { "keepalived-rs" }
}

fn systemctl(lab: &Lab, word: &str) -> Outcome<Output> {
    tool("timeout").args(["40", "systemctl", word, unit(lab)]).output().map_err(|e| e.to_string())
}

fn works(lab: &Lab, word: &str) -> Outcome {
    let output = systemctl(lab, word)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "systemctl {word}: {said}\n{}", journal(lab));
    Ok(())
}

fn journal(lab: &Lab) -> String {
    let output = tool("journalctl").args(["--no-pager", "-n", "40", "-u", unit(lab)]).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
}

fn property(lab: &Lab, name: &str) -> Outcome<String> {
    let output =
        tool("systemctl").args(["show", "-P", name, unit(lab)]).output().map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn main_pid(lab: &Lab) -> Outcome<i32> {
    property(lab, "MainPID")?.parse().map_err(|_| "no main pid".to_owned())
}

pub(crate) fn has(address: Ipv4Addr) -> bool {
    nix::ifaddrs::getifaddrs().into_iter().flatten().any(|entry| {
        entry.address.and_then(|a| a.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::ip)) == Some(address)
    })
}

pub(crate) fn wait_address(lab: &Lab, address: Ipv4Addr) -> Outcome {
    until(secs(10.0), address, || has(address).then_some(())).map_err(|e| format!("{e}\n{}", journal(lab)))
}

pub(crate) fn two_addresses() -> String {
    config(150, "").replace(&VIP.to_string(), &format!("{VIP}\n     {SECOND}"))
}

fn start_refused(lab: &Lab) -> Outcome {
    write(Path::new(CONFIG), config(150, "").replace("interface eth0", "interface eth9"))?;
    let output = systemctl(lab, "start")?;
    // `Restart=on-failure` may be trying again by now.
    let tried = tool("systemctl").args(["stop", unit(lab)]).status();
    drop(tried);
    ensure!(!output.status.success(), "it started on a missing interface");
    Ok(())
}

fn start(lab: &Lab) -> Outcome {
    write(Path::new(CONFIG), config(150, ""))?;
    let _ = tool("systemctl").args(["reset-failed", unit(lab)]).status();
    works(lab, "start")?;
    ensure!(property(lab, "ActiveState")? == "active", "not active");
    let pid = main_pid(lab)?;
    let file = fs::read_to_string("/run/keepalived.pid").map_err(|e| format!("/run/keepalived.pid: {e}"))?;
    ensure!(file.trim() == pid.to_string(), "pid file {file:?}, main pid {pid}");
    let journal = journal(lab);
    ensure!(journal.contains("Startup complete"), "not complete when systemctl came back:\n{journal}");
    wait_address(lab, VIP)
}

fn reload(lab: &Lab) -> Outcome {
    let pid = main_pid(lab)?;
    write(Path::new(CONFIG), two_addresses())?;
    works(lab, "reload")?;
    wait_address(lab, SECOND)?;
    ensure!(has(VIP), "the first address went");
    ensure!(main_pid(lab)? == pid, "another process");
    until(secs(5.0), "active", || property(lab, "ActiveState").is_ok_and(|s| s == "active").then_some(()))
}

fn broken(lab: &Lab) -> Outcome {
    let pid = main_pid(lab)?;
    write(Path::new(CONFIG), config(150, "").replace("interface eth0", "interface eth9"))?;
    let _ = systemctl(lab, "reload")?;
    throughout(secs(3.0), "the addresses stay", || has(VIP) && has(SECOND))
        .map_err(|e| format!("{e}\n{}", journal(lab)))?;
    until(secs(5.0), "active", || property(lab, "ActiveState").is_ok_and(|s| s == "active").then_some(()))?;
    ensure!(main_pid(lab)? == pid, "another process");
    write(Path::new(CONFIG), config(150, ""))?;
    works(lab, "reload")?;
    until(secs(5.0), "the second address to go", || (!has(SECOND)).then_some(()))
        .map_err(|e| format!("{e}\n{}", journal(lab)))
}

fn restart(lab: &Lab) -> Outcome {
    let pid = main_pid(lab)?;
    write(Path::new(CONFIG), config(150, ""))?;
    works(lab, "restart")?;
    ensure!(main_pid(lab)? != pid, "the same process");
    wait_address(lab, VIP)
}

fn crash(lab: &Lab) -> Outcome {
    let pid = main_pid(lab)?;
    kill(Pid::from_raw(pid), Signal::SIGKILL).map_err(|e| e.to_string())?;
    until(secs(20.0), "another main process", || main_pid(lab).ok().filter(|new| *new != pid && *new != 0))
        .map_err(|e| format!("{e}\n{}", journal(lab)))?;
    until(secs(20.0), "active", || property(lab, "ActiveState").is_ok_and(|s| s == "active").then_some(()))
        .map_err(|e| format!("{e}\n{}", journal(lab)))?;
    wait_address(lab, VIP)
}

fn stop(lab: &Lab) -> Outcome {
    works(lab, "start")?;
    works(lab, "stop")?;
    ensure!(property(lab, "ActiveState")? == "inactive", "state {}", property(lab, "ActiveState")?);
    ensure!(!has(VIP), "the address stayed");
    ensure!(!Path::new("/run/keepalived.pid").exists(), "the pid file stayed");
    let output = tool("pgrep").args(["-l", "keepalived"]).output().map_err(|e| e.to_string())?;
    ensure!(output.stdout.is_empty(), "left: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// The unit that plays the cases in the guest.
const DRIVER: &str = "[Unit]\nDescription=The lab's cases\nAfter=basic.target\n\n[Service]\nType=oneshot\n\
                      ExecStart=/bin/sh /lab/drive\nExecStartPost=/bin/systemctl --no-block poweroff --force --force\n\
                      TimeoutStartSec=900\n\n[Install]\nWantedBy=multi-user.target\n";

/// Puts the subject, its unit, this program and the cases into the tree; the place where results will be.
pub(crate) fn furnish(tree: &Path, subject: &Program, names: &[String]) -> Outcome<std::path::PathBuf> {
    let project = place::target();
    let project = project.parent().unwrap_or(Path::new("."));
    let copy = |from: &Path, to: &str| -> Outcome {
        let to = tree.join(to);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let _ = fs::remove_file(&to);
        fs::copy(from, &to).map(drop).map_err(|e| format!("{} to {}: {e}", from.display(), to.display()))
    };
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let inside = "lab/target/debug/deps/lab";
    copy(&program, inside)?;
    if subject.is_stock() {
        copy(&subject.path, "usr/sbin/keepalived")?;
        // Where `place::stock` finds it inside.
        copy(&subject.path, "lab/target/lab/keepalived/usr/sbin/keepalived")?;
        copy(
            &place::store().join("keepalived/lib/systemd/system/keepalived.service"),
            "etc/systemd/system/keepalived.service",
        )?;
    } else {
        if names.iter().any(|name| name.contains("packages")) {
            packages::furnish(&copy, tree)?;
        }
        copy(&project.join("systemd/keepalived-rs.service"), "etc/systemd/system/keepalived-rs.service")?;
        copy(&subject.path, "usr/sbin/keepalived-rs")?;
    }
    for needs in [&program, &subject.path] {
        libraries(needs, &copy, tree)?;
    }
    let status = tool("ldconfig").arg("-r").arg(tree).status().map_err(|e| format!("ldconfig: {e}"))?;
    ensure!(status.success(), "ldconfig: {status}");
    fs::create_dir_all(tree.join("etc/keepalived")).map_err(|e| e.to_string())?;
    write(&tree.join("etc/systemd/system/lab.service"), DRIVER)?;
    let wants = tree.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants).map_err(|e| e.to_string())?;
    let _ = std::os::unix::fs::symlink("/etc/systemd/system/lab.service", wants.join("lab.service"));
    let role = if subject.is_stock() { "stock" } else { "ours" };
    write(
        &tree.join("lab/drive"),
        format!(
            "export LAB_IN_GUEST=1 LAB_SYSTEMD=1 LAB_SUBJECT={role} LAB_CASES=/lab/cases LAB_RESULTS=/lab/results\n\
             modprobe -a veth ip_vs\nip link add eth0 type veth peer name eth1\n\
             ip address add 10.0.0.1/24 dev eth0\nip link set eth0 up\nip link set eth1 up\n/{inside} >/lab/inner.log 2>&1\nsync\n"
        ),
    )?;
    write(&tree.join("lab/cases"), names.join("\n"))?;
    write(&tree.join("lab/inner.log"), "")?;
    let results = tree.join("lab/results");
    write(&results, "")?;
    Ok(results)
}

/// Shared libraries of a program that the tree does not have.
pub(crate) fn libraries(program: &Path, copy: &dyn Fn(&Path, &str) -> Outcome, tree: &Path) -> Outcome {
    let output = tool("ldd").arg(program).output().map_err(|e| format!("ldd: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for path in text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/'))) {
        let path = Path::new(path);
        let Some(name) = path.file_name() else { continue };
        let present = ["usr/lib/x86_64-linux-gnu", "lib64", "usr/local/lib"]
            .iter()
            .any(|folder| tree.join(folder).join(name).exists());
        if !present {
            copy(path, &format!("usr/local/lib/{}", name.to_string_lossy()))?;
        }
    }
    Ok(())
}
