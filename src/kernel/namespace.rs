//! Entering a named network namespace (`net_namespace`, `-s`): once, at the start, before anything else is opened. And
//! for a moment, to open a socket in another one (`net_namespace_ipvs`).
//!
//! As stock does, the process gets mounts of its own, with `/run/keepalived/NAME` bound to `/run/keepalived`, so that the
//! pid files of daemons in different namespaces do not meet (spec/daemon-behaviour.md §1).

use std::fs::{self, File};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use super::error::{Doing, Error};
use crate::config::model::IpvsNamespace;

/// Where `ip netns` keeps them.
const NAMESPACES: &str = "/run/netns";
/// The directory of pid files.
const RUN: &str = "/run/keepalived";

/// Set by a parent that has left the namespace it was started in: the number of a descriptor of that one.
pub(super) const HOME_VARIABLE: &str = "KEEPALIVED_RS_HOME_NAMESPACE";

/// The namespace that this process was started in, once it has left it.
static HOME: OnceLock<File> = OnceLock::new();

/// Moves this process, and all that it will start, into the namespace of this name.
pub fn enter(name: &str) -> Result<(), Error> {
    let doing = || format!("entering network namespace {name}");
    let file = named(name).and_then(|path| File::open(path).doing(doing))?;
    let home = own()?;
    setns(&file, CloneFlags::CLONE_NEWNET).doing(doing)?;
    // Entering a second one does not change where it all began.
    let _ = HOME.set(home);
    Ok(())
}

/// Does `work` in the namespace of the IPVS table, and comes back. Needs the rights to do so only if it is another one.
/// For processes of one thread: others stay where they are.
pub fn inside<T>(namespace: &IpvsNamespace, work: impl FnOnce() -> T) -> Result<T, Error> {
    let (path, what) = match namespace {
        IpvsNamespace::Same => return Ok(work()),
        IpvsNamespace::Named(name) => (named(name)?, format!("network namespace {name} for IPVS")),
        IpvsNamespace::Host => {
            let Some(descriptor) = inherited_home() else { return Ok(work()) };
            (
                PathBuf::from(format!("/proc/self/fd/{descriptor}")),
                "the first network namespace for IPVS".to_owned(),
            )
        }
    };
    let file = File::open(path).doing(|| format!("entering {what}"))?;
    let back = own()?;
    setns(&file, CloneFlags::CLONE_NEWNET).doing(|| format!("entering {what}"))?;
    let done = work();
    setns(&back, CloneFlags::CLONE_NEWNET).doing(|| format!("coming back from {what}"))?;
    Ok(done)
}

/// What a child process has to inherit to find the namespace that all began in.
pub(super) fn home_descriptor() -> Option<RawFd> {
    HOME.get().map(AsRawFd::as_raw_fd)
}

fn inherited_home() -> Option<RawFd> {
    std::env::var(HOME_VARIABLE).ok()?.parse().ok()
}

fn own() -> Result<File, Error> {
    File::open("/proc/thread-self/ns/net").doing(|| "looking at the own network namespace")
}

fn named(name: &str) -> Result<PathBuf, Error> {
    if name.is_empty() || name.contains('/') || matches!(name, "." | "..") {
        return Err(Error::new(format!("entering network namespace {name}"), Errno::EINVAL));
    }
    Ok(Path::new(NAMESPACES).join(name))
}

/// Gives this process mounts of its own, and in them a directory of pid files of the namespace's own.
pub fn separate_run_directory(name: &str) -> Result<(), Error> {
    let own = Path::new(RUN).join(name);
    let doing = || format!("binding {} to {RUN}", own.display());
    for directory in [Path::new(RUN), &own] {
        match fs::create_dir(directory) {
            // The umask would leave a directory that nobody may enter.
            Ok(()) => {
                fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).doing(doing)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).doing(doing),
        }
    }
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).doing(doing)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).doing(doing)?;
    mount(Some(&own), RUN, none, MsFlags::MS_BIND, none).doing(doing)
}

/// Removes that directory again, and the one it lies in if nothing else is there.
pub fn remove_run_directory(name: &str) {
    if nix::mount::umount(RUN).is_ok() {
        // Another daemon's files keep them.
        let _ = fs::remove_dir(Path::new(RUN).join(name));
        let _ = fs::remove_dir(RUN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leaves_the_directory_or_does_not_exist_is_refused() {
        for name in ["", "..", "../../proc/1/ns/net", "."] {
            assert_eq!(enter(name).unwrap_err().errno, Errno::EINVAL);
        }
        let error = enter("surely-not-there").unwrap_err();
        assert!(error.to_string().starts_with("entering network namespace surely-not-there: "), "{error}");
    }
}
