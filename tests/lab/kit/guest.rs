//! A kernel with IPVS on a machine whose own has none: user-mode Linux, booted from the machine's file tree in seconds.
//!
//! The guest sees every file of the machine (but has its own /run and /tmp), has one processor and no network to the outside.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::place::{has_tool, store, tool, write, write_script};
use super::wait::{Outcome, ensure};

/// First process of a guest.
const INIT: &str = include_str!("../guest-init.sh");
/// Where Debian's package keeps the guest's modules.
const MODULES: &str = "/usr/lib/uml/modules";

/// A running guest; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Guest {
    child: Child,
    console: PathBuf,
}

/// Whether this machine can boot one; if not, what is missing.
pub(crate) fn obstacle() -> Option<String> {
    if !has_tool("linux.uml") || !Path::new(MODULES).is_dir() {
        return Some("no linux.uml (Debian package user-mode-linux)".to_owned());
    }
    None
}

/// Whether the running kernel has IPVS itself.
pub(crate) fn kernel_has_ipvs() -> bool {
    let _ = tool("modprobe").args(["-q", "ip_vs"]).stderr(Stdio::null()).status();
    Path::new("/proc/net/ip_vs").exists()
}

impl Guest {
    /// Boots one that runs the shell script and then halts; `limit` seconds at most.
    pub(crate) fn boot(directory: &Path, script: &str, limit: u32) -> Outcome<Self> {
        let folder = store().join("modules/lib");
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let link = folder.join("modules");
        if fs::symlink_metadata(&link).is_err() {
            // Another guest may be faster.
            let _ = std::os::unix::fs::symlink(MODULES, &link);
        }
        ensure!(link.is_dir(), "no modules for the guest in {MODULES}");
        let init = directory.join("init");
        write_script(&init, INIT)?;
        let order = directory.join("order");
        write(&order, script)?;
        Self::start(
            directory,
            &[
                "rootflags=/".to_owned(),
                format!("init={}", init.display()),
                format!("lab={}", order.display()),
                format!("modules={}", store().join("modules").display()),
            ],
            limit,
        )
    }

    /// Boots one whose root is another file tree and whose first process is that tree's own.
    pub(crate) fn boot_tree(directory: &Path, tree: &Path, limit: u32) -> Outcome<Self> {
        let root = format!("rootflags={}", tree.display());
        Self::start(directory, &[root, "systemd.unit=multi-user.target".to_owned()], limit)
    }

    fn start(directory: &Path, words: &[String], limit: u32) -> Outcome<Self> {
        let console = directory.join("console");
        let output = File::create(&console).map_err(|e| format!("{}: {e}", console.display()))?;
        let again = output.try_clone().map_err(|e| e.to_string())?;
        // In a pid namespace of its own: whatever ends this program or the guest ends all of its helper processes.
        let child = tool("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"])
            .args([
                "sh",
                "-c",
                "\"$@\"; exit $?",
                "sh",
                "timeout",
                "--foreground",
                "--kill-after=2",
                &limit.to_string(),
            ])
            // All of a guest shares what one process gets of the machine, beside dozens of others.
            .args(["nice", "-n", "-10"])
            .args(["linux.uml", "mem=512M", "root=/dev/root", "rootfstype=hostfs", "rw", "quiet"])
            .args(["con=null", "con0=null,fd:1", &format!("uml_dir={}/", directory.display())])
            .args(words)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(again)
            .env("TMPDIR", "/tmp")
            .spawn()
            .map_err(|e| format!("starting linux.uml: {e}"))?;
        Ok(Self { child, console })
    }

    /// Whether it has halted.
    pub(crate) fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of what it printed.
    pub(crate) fn console(&self) -> String {
        let text = fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<_> = text.lines().filter(|line| !line.contains("epollctl")).collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if !self.ended() {
            // `timeout` hands the signal on to the guest.
            let pid = i32::try_from(self.child.id()).unwrap_or(0);
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}
