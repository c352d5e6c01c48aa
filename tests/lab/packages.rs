//! The packages as an operator meets them: from stock's to ours and back on a real systemd, as docs/migrating.md says it.
//!
//! One case in the guest of `systemd`; asked for with `LAB_PACKAGES`, because it builds the packages.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::case::{Case, Lab};
use crate::kit::place::{self, tool, write};
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::pair::{VIP, config};
use crate::systemd::{CONFIG, SECOND, has, libraries, systemd, two_addresses};

pub(crate) const CASES: &[Case] = &[
    systemd("systemd_packages_replace_stock_and_go_back", over_and_back).ours_only(),
    Case::single("packages_rpm_are_installed_verified_and_removed", rpm).ours_only(),
    Case::single("packages_deb_have_nothing_that_lintian_complains_of", lintian).ours_only(),
];

/// Where `furnish` puts packages.
const DEBS: &str = "/lab/debs";
/// How long each step took, for those who look after the run.
const STEPS: &str = "/lab/steps";
/// Seconds that the two commands of docs/migrating.md may take, the address included. The guest is some ten times slower than a
/// director (half of the time goes into stock's init script, which systemctl links and unlinks), and other tests run beside it.
const LIMIT: f64 = 180.0;

const OURS: &str = "keepalived-rs";
const STOCK: &str = "keepalived";

/// Runs a command to its end; what it said when it failed.
fn command(words: &[&str]) -> Outcome<String> {
    let began = Instant::now();
    let output = tool("timeout").arg("240").args(words).output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    note(&words.join(" "), began);
    ensure!(output.status.success(), "{}: {}\n{said}{errors}", words.join(" "), output.status);
    Ok(said)
}

fn note(step: &str, began: Instant) {
    if !place::in_guest() {
        return;
    }
    let mut steps = fs::read_to_string(STEPS).unwrap_or_default();
    let _ = writeln!(steps, "{:6.1} s  {step}", began.elapsed().as_secs_f64());
    let _ = fs::write(STEPS, steps);
}

fn package(name: &str) -> Outcome<String> {
    let entries = fs::read_dir(DEBS).map_err(|e| format!("{DEBS}: {e}"))?.flatten();
    let found = entries.map(|e| e.path()).find(|path| {
        path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&format!("{name}_")))
    });
    found
        .map(|path| path.display().to_string())
        .ok_or(format!("no {name} in {DEBS}: run tests/lab/fetch systemd"))
}

/// How it stands with a unit, and what it said.
fn journal(unit: &str) -> String {
    let asked =
        [&["systemctl", "status", "--no-pager", "-l"][..], &["journalctl", "--no-pager", "-n", "40", "-u"]];
    let said = asked.map(|words| {
        let output = tool(words[0]).args(&words[1..]).arg(unit).output();
        output.map_or_else(
            |e| e.to_string(),
            |o| String::from_utf8_lossy(&[o.stdout, o.stderr].concat()).into_owned(),
        )
    });
    said.join("\n")
}

fn wait_vip(unit: &str) -> Outcome {
    until(secs(60.0), VIP, || has(VIP).then_some(())).map_err(|e| format!("{e}\n{}", journal(unit)))
}

/// One word of `systemctl` about a unit, which may be `no` by its status.
fn told(word: &str, unit: &str) -> Outcome<String> {
    let output = tool("systemctl").args([word, unit]).output().map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Who runs, and who will after a boot.
fn stands(running: &str, enabled: &str, other: &str) -> Outcome {
    let words = (told("is-active", running)?, told("is-enabled", enabled)?);
    ensure!(words == ("active".into(), "enabled".into()), "{running}: {words:?}\n{}", journal(running));
    let words = (told("is-active", other)?, told("is-enabled", other)?);
    ensure!(words.0 != "active" && words.1 != "enabled", "{other}: {words:?}");
    Ok(())
}

/// The two commands of a migration, and how long they and the way of the address took.
fn switch(from: &str, to: &str) -> Outcome {
    let began = Instant::now();
    command(&["systemctl", "disable", "--now", from])?;
    command(&["systemctl", "enable", "--now", to])?;
    wait_vip(to)?;
    stands(to, to, from)?;
    note(&format!("from {from} to {to} in all"), began);
    let took = began.elapsed().as_secs_f64();
    ensure!(took < LIMIT, "from {from} to {to}: {took:.0} s");
    Ok(())
}

/// The daemon of this unit follows the file, under the same pid; systemd and the journal know of it.
fn follows(unit: &str) -> Outcome {
    let pid = command(&["systemctl", "show", "-P", "MainPID", unit])?;
    write(Path::new(CONFIG), two_addresses())?;
    command(&["systemctl", "reload", unit])?;
    until(secs(30.0), SECOND, || has(SECOND).then_some(())).map_err(|e| format!("{e}\n{}", journal(unit)))?;
    write(Path::new(CONFIG), config(150, ""))?;
    command(&["systemctl", "reload", unit])?;
    until(secs(30.0), "the second address to go", || (!has(SECOND)).then_some(()))?;
    ensure!(command(&["systemctl", "show", "-P", "MainPID", unit])? == pid, "another process");
    let file = fs::read_to_string("/run/keepalived.pid").map_err(|e| format!("/run/keepalived.pid: {e}"))?;
    ensure!(file == pid, "pid file {file:?}, main pid {pid:?}");
    let journal = command(&["journalctl", "--no-pager", "-o", "short", "-n", "80", "-u", unit])?;
    for line in ["Startup complete", "(VI_1) Entering MASTER STATE", "Reload complete", "Keepalived_vrrp["] {
        ensure!(journal.contains(line), "no {line:?} in the journal of {unit}:\n{journal}");
    }
    Ok(())
}

fn over_and_back(lab: &Lab) -> Outcome {
    ensure!(!lab.subject.is_stock(), "our packages are not stock's");
    write(Path::new(STEPS), "")?;
    // What other cases use instead of a package.
    for path in ["/usr/sbin/keepalived-rs", "/etc/systemd/system/keepalived-rs.service"] {
        fs::remove_file(path).map_err(|e| format!("{path}: {e}"))?;
    }
    // What a run has left that was ended half-way.
    let left = ["keepalived-rs-compat", OURS, STOCK].map(|name| {
        let _ = fs::remove_file(format!("/etc/systemd/system/multi-user.target.wants/{name}.service"));
        let _ = fs::remove_file(format!("/etc/systemd/system/{name}.service"));
        tool("dpkg").args(["--force-all", "--purge", name]).output().is_ok()
    });
    ensure!(left == [true; 3], "dpkg cannot be started");
    command(&["systemctl", "daemon-reload"])?;
    let _ = tool("systemctl").args(["reset-failed"]).output();
    write(Path::new(CONFIG), config(150, ""))?;
    // Its libraries are there, not their packages.
    command(&["dpkg", "--force-depends", "-i", &package(STOCK)?])?;
    wait_vip(STOCK)?;
    command(&["dpkg", "-i", &package(OURS)?])?;
    ensure!(has(VIP), "the installation moved the address");
    stands(STOCK, STOCK, OURS)?;
    command(&["keepalived-rs", "-t"])?;
    for path in ["share/man/man8/keepalived-rs.8.gz", "share/bash-completion/completions/keepalived-rs"] {
        ensure!(Path::new("/usr").join(path).exists(), "no /usr/{path}");
    }
    ensure!(command(&["id", "-un", OURS]).is_ok(), "no user for what strangers send");

    // There and back, by the two commands of docs/migrating.md.
    switch(STOCK, OURS)?;
    follows(OURS)?;
    // Each unit takes the other's place.
    command(&["systemctl", "start", STOCK])?;
    wait_vip(STOCK)?;
    stands(STOCK, OURS, "none")?;
    ensure!(told("is-active", OURS)? != "active", "both run");
    command(&["systemctl", "start", OURS])?;
    wait_vip(OURS)?;
    ensure!(told("is-active", STOCK)? != "active", "both run");
    switch(OURS, STOCK)?;

    // In the place of stock, under its names.
    command(&["systemctl", "disable", "--now", STOCK])?;
    command(&["dpkg", "-r", STOCK])?;
    command(&["dpkg", "-i", &package("keepalived-rs-compat")?])?;
    command(&["systemctl", "enable", "--now", STOCK])?;
    wait_vip(STOCK)?;
    follows(STOCK)?;
    let version = tool("keepalived").arg("-v").output().map_err(|e| e.to_string())?;
    ensure!(String::from_utf8_lossy(&version.stderr).contains(OURS), "another keepalived");
    let help = tool("genhash").arg("-h").output().map_err(|e| format!("genhash: {e}"))?;
    ensure!(String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).contains("genhash"), "no genhash");

    // A purge stops it and leaves nothing but the configuration.
    let files = command(&["dpkg", "-L", OURS, "keepalived-rs-compat"])?;
    command(&["dpkg", "--purge", "keepalived-rs-compat", OURS, STOCK])?;
    until(secs(60.0), "the address to go", || (!has(VIP)).then_some(()))?;
    left_behind(&files)?;
    let kept = fs::read_to_string(CONFIG).map_err(|e| format!("{CONFIG}: {e}"))?;
    ensure!(kept == config(150, ""), "the configuration is another:\n{kept}");
    Ok(())
}

/// Files, links of units and processes.
fn left_behind(files: &str) -> Outcome {
    let left: Vec<_> = files
        .lines()
        .filter(|path| path.starts_with('/') && path.contains("keepalived") && Path::new(path).exists())
        .filter(|path| *path != "/etc/keepalived")
        .collect();
    ensure!(left.is_empty(), "left: {left:?}");
    let mut left = Vec::new();
    for folder in ["/etc/systemd/system/multi-user.target.wants", "/run", "/etc/systemd/system"] {
        let entries = fs::read_dir(folder).map_err(|e| format!("{folder}: {e}"))?.flatten();
        left.extend(entries.map(|e| e.path()).filter(|path| path.to_string_lossy().contains("keepalived")));
    }
    ensure!(left.is_empty(), "left: {left:?}");
    let output = tool("pgrep").args(["-l", "keepalived"]).output().map_err(|e| e.to_string())?;
    ensure!(output.stdout.is_empty(), "runs on: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// Builds packages from the test's program: .deb, or .rpm with that word; the project's folder.
fn build(words: &[&str]) -> Outcome<PathBuf> {
    let project = place::target();
    let project = project.parent().unwrap_or(Path::new(".")).to_owned();
    let built = tool("timeout")
        .arg("400")
        .arg(project.join("etc/packaging/build"))
        .args(words)
        .env("PROFILE", "dev")
        .env("CARGO_TARGET_DIR", place::target())
        .output()
        .map_err(|e| e.to_string())?;
    ensure!(built.status.success(), "etc/packaging/build: {}", String::from_utf8_lossy(&built.stderr));
    Ok(project)
}

/// No machine with RPM is needed: its packages go into a folder that plays one, without their scripts, which are read.
fn rpm(lab: &Lab) -> Outcome {
    ensure!(place::has_tool("rpm"), "no rpm (Debian package rpm)");
    let folder = build(&["rpm"])?.join("target/packages");
    let root = lab.directory.join("root");
    fs::create_dir_all(&root).map_err(|e| e.to_string())?;
    let root = format!("--root={}", root.display());
    let at = |name: &str| -> Outcome<String> {
        let entries = fs::read_dir(&folder).map_err(|e| e.to_string())?.flatten();
        let is_it = |path: &PathBuf| {
            let is_rpm = path.extension().is_some_and(|extension| extension == "rpm");
            is_rpm && path.to_string_lossy().contains(&format!("/{name}-0"))
        };
        let found = entries.map(|e| e.path()).find(is_it);
        found.map(|path| path.display().to_string()).ok_or(format!("no {name}*.rpm in {}", folder.display()))
    };
    let (main, compat) = (at(OURS)?, at("keepalived-rs-compat")?);
    let asked = |package: &str, what: &str| command(&["rpm", "-qp", what, package]);
    let requires = asked(&main, "--requires")?;
    for library in ["libssl.so.3()(64bit)", "libpcre2-8.so.0()(64bit)"] {
        ensure!(requires.contains(library), "does not require {library}:\n{requires}");
    }
    ensure!(asked(&compat, "--requires")?.contains(OURS), "the second does not need the first");
    ensure!(asked(&compat, "--conflicts")?.trim() == STOCK, "the second lies beside stock's");
    let scripts = asked(&compat, "--scripts")?;
    ensure!(
        scripts.contains("keepalived.service") && !scripts.contains("keepalived-rs.service"),
        "{scripts}"
    );
    let none = ["--nodeps", "--noscripts"];
    for package in [&main, &compat] {
        command(&[&["rpm", &root, "-i"], &none[..], &[package]].concat())?;
    }
    command(&["rpm", &root, "-V", "--nodeps", OURS, "keepalived-rs-compat"])?;
    let program = lab.directory.join("root/usr/sbin/keepalived-rs");
    let output = tool(&program.display().to_string()).arg("-v").output().map_err(|e| e.to_string())?;
    ensure!(output.status.success(), "the installed program does not run: {}", output.status);
    command(&[&["rpm", &root, "-e"], &none[..], &["keepalived-rs-compat", OURS]].concat())?;
    let left = command(&[
        "find",
        &lab.directory.join("root").display().to_string(),
        "-type",
        "f",
        "-name",
        "*keepalived*",
    ])?;
    ensure!(left.is_empty(), "left: {left}");
    Ok(())
}

fn lintian(_: &Lab) -> Outcome {
    ensure!(place::has_tool("lintian"), "no lintian");
    let folder = build(&[])?.join("target/packages");
    let packages: Vec<_> = packages_in(&folder)?.iter().map(|path| path.display().to_string()).collect();
    let words: Vec<_> = packages.iter().map(String::as_str).collect();
    ensure!(words.len() == 2, "{words:?}");
    let output = tool("timeout")
        .args(["200", "lintian", "--allow-root", "--fail-on", "error,warning"])
        .args(&words)
        .output()
        .map_err(|e| e.to_string())?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// Builds our packages from the test's program and puts them and stock's into the tree, from which those of an earlier run go.
pub(crate) fn furnish(copy: &dyn Fn(&Path, &str) -> Outcome, tree: &Path) -> Outcome {
    let purge = tool("dpkg")
        .arg(format!("--root={}", tree.display()))
        .args(["--force-all", "--purge", "keepalived-rs-compat", OURS, STOCK])
        .output();
    // Without any of them it has nothing to do.
    drop(purge);
    // The tree is a test's: nothing in it needs to be safe from a power failure.
    write(&tree.join("etc/dpkg/dpkg.cfg.d/lab"), "force-unsafe-io\n")?;
    let debs = tree.join(DEBS.trim_start_matches('/'));
    let _ = fs::remove_dir_all(&debs);
    let project = build(&[])?;
    for folder in [project.join("target/packages"), place::store().join("deb")] {
        for path in packages_in(&folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            copy(&path, format!("{DEBS}/{name}").trim_start_matches('/'))?;
        }
    }
    libraries(&place::stock(), copy, tree)
}

/// keepalived's of a folder.
fn packages_in(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?.flatten();
    let ours = |path: &PathBuf| {
        let is_deb = path.extension().is_some_and(|extension| extension == "deb");
        is_deb && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(STOCK))
    };
    Ok(entries.map(|entry| entry.path()).filter(ours).collect())
}
