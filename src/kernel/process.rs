//! This process: its name, its signals at birth, what happens to it when its parent dies, its limits.

use std::ffi::CString;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, getppid};

use super::error::{Doing, Error};

/// The signal that asks for statistics with reset, 63 in glibc's numbering: `SIGRTMAX - 1`.
pub fn stats_clear_signal() -> i32 {
    libc::SIGRTMAX() - 1
}

/// The signal that asks for the JSON dump, 36 in glibc's numbering: `SIGRTMIN + 2`.
pub fn json_signal() -> i32 {
    libc::SIGRTMIN() + 2
}

/// Sets `comm`, at most 15 bytes: what `ps`, `pgrep` and `killall` see.
pub fn set_name(name: &str) -> Result<(), Error> {
    let name = CString::new(name.replace('\0', "")).unwrap_or_default();
    prctl::set_name(&name).doing(|| "setting the name of the process")
}

/// Ignores the signals that ask for a reload or a dump, until someone listens to them: they would kill.
pub fn ignore_requests() {
    for number in [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, json_signal(), stats_clear_signal()] {
        // SAFETY: ignoring a signal runs no code in signal context; the numbers are valid.
        unsafe { libc::signal(number, libc::SIG_IGN) };
    }
    // A parent may have left anything blocked or ignored; SIGCHLD ignored would reap our children unseen.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    for signal_to_reset in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
        // SAFETY: the default action runs no code in signal context.
        let _ = unsafe { signal(signal_to_reset, SigHandler::SigDfl) };
    }
}

/// Asks for SIGTERM when the parent dies. Returns whether it is alive still.
pub fn end_with_parent(parent: Pid) -> Result<bool, Error> {
    prctl::set_pdeathsig(Signal::SIGTERM).doing(|| "asking for a signal at the parent's death")?;
    Ok(getppid() == parent)
}

/// Sets the mask of the modes of new files, 0..=0o777.
pub fn set_umask(mask: u32) {
    umask(Mode::from_bits_truncate(mask));
}

/// Allows core dumps of any size.
pub fn allow_core_dumps() -> Result<(), Error> {
    setrlimit(Resource::RLIMIT_CORE, libc::RLIM_INFINITY, libc::RLIM_INFINITY).doing(|| "allowing core dumps")
}
