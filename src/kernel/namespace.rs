//! Entering a named network namespace (`net_namespace`, `-s`): once, at the start, before anything else is opened.
//!
//! As stock does, the process gets mounts of its own, with `/run/keepalived/NAME` bound to `/run/keepalived`, so that the
//! pid files of daemons in different namespaces do not meet (spec/daemon-behaviour.md §1).

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use super::error::{Doing, Error};

/// Where `ip netns` keeps them.
const NAMESPACES: &str = "/run/netns";
/// The directory of pid files.
const RUN: &str = "/run/keepalived";

/// Moves this process, and all that it will start, into the namespace of this name.
pub fn enter(name: &str) -> Result<(), Error> {
    let doing = || format!("entering network namespace {name}");
    if name.is_empty() || name.contains('/') || matches!(name, "." | "..") {
        return Err(Error::new(doing(), Errno::EINVAL));
    }
    let file = File::open(Path::new(NAMESPACES).join(name)).doing(doing)?;
    setns(&file, CloneFlags::CLONE_NEWNET).doing(doing)
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
