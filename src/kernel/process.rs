//! This process: its name, its signals at birth, its limits; leaving the foreground, executing itself as a child.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{daemon, getpid, getppid};
use tokio::process::Child;

use super::error::{Doing, Error};
use super::namespace;

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

/// The `comm` of a process; `None` if there is none of this number that we may see.
pub fn name(id: i32) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{id}/comm")).ok()?;
    Some(String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned())
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

/// Executes this binary again with the same arguments, as a child that gets SIGTERM when this process dies.
///
/// `variable` is set to `value`, and `channel` stays open in it under its number. Needs a running tokio reactor.
pub fn again(variable: &str, value: &str, channel: &OwnedFd) -> io::Result<Child> {
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env(variable, value).env_remove("NOTIFY_SOCKET");
    let home = namespace::home_descriptor();
    if let Some(number) = home {
        command.env(namespace::HOME_VARIABLE, number.to_string());
    }
    let parent = getpid();
    let kept = [Some(channel.as_raw_fd()), home];
    // SAFETY: between fork and exec only async-signal-safe system calls are made: prctl, getppid, fcntl.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGTERM)?;
            // The parent may have died before the line above took effect.
            if getppid() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            // The caller holds the channel until the spawn has returned, so the number is open; the other one stays
            // open as long as the process lives.
            for number in kept.into_iter().flatten() {
                if libc::fcntl(number, libc::F_SETFD, 0) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    tokio::process::Command::from(command).kill_on_drop(false).spawn()
}

/// Leaves the foreground: one fork, a session of its own, `/` as directory, `/dev/null` as the three descriptors. The
/// starter ends here with status 0. Must be called while there is one thread.
pub fn daemonize() -> Result<(), Error> {
    daemon(false, false).doing(|| "leaving the foreground")
}

/// Has the kernel end this process (`SIGPROF`) once it has used so much processor time since the last call: a library that does
/// not come out of an endless loop can be helped in no other way. Whole microseconds; nothing is an error for processes that live.
pub fn end_unless_called_again(processor_time: Duration) {
    let limit = libc::timeval {
        tv_sec: libc::time_t::try_from(processor_time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: processor_time.subsec_micros().into(),
    };
    let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: limit };
    // SAFETY: both structures are only read or written during the calls; the default action runs no code in signal context.
    unsafe {
        libc::signal(libc::SIGPROF, libc::SIG_DFL);
        libc::setitimer(libc::ITIMER_PROF, &raw const timer, std::ptr::null_mut());
    }
}

/// Sets the mask of the modes of new files, 0..=0o777.
pub fn set_umask(mask: u32) {
    umask(Mode::from_bits_truncate(mask));
}

/// Raises the limit of open descriptors as far as it goes without rights. Returns the limit that holds then.
pub fn raise_open_files() -> Result<usize, Error> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).doing(|| "reading the limit of open files")?;
    let limit =
        if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Allows core dumps of any size.
pub fn allow_core_dumps() -> Result<(), Error> {
    setrlimit(Resource::RLIMIT_CORE, libc::RLIM_INFINITY, libc::RLIM_INFINITY).doing(|| "allowing core dumps")
}

/// Where the kernel keeps the pattern of names of core dumps, for all processes of the host.
const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// The pattern of names of core dumps, changed until [`CorePattern::restore`].
pub struct CorePattern {
    place: PathBuf,
    before: Vec<u8>,
    ours: Vec<u8>,
}

impl CorePattern {
    /// Changes it.
    pub fn set(pattern: &Path) -> Result<Self, Error> {
        Self::set_at(CORE_PATTERN.into(), pattern)
    }

    fn set_at(place: PathBuf, pattern: &Path) -> Result<Self, Error> {
        let doing = || format!("setting the pattern of core dumps to {}", pattern.display());
        let before = std::fs::read(&place).doing(doing)?;
        let ours = pattern.as_os_str().as_bytes().to_vec();
        std::fs::write(&place, &ours).doing(doing)?;
        Ok(Self { place, before, ours })
    }

    /// Puts the old one back, unless somebody else has changed it since.
    pub fn restore(self) {
        let now = std::fs::read(&self.place).unwrap_or_default();
        if now.trim_ascii_end() == self.ours.trim_ascii_end()
            && let Err(error) = std::fs::write(&self.place, &self.before)
        {
            tracing::info!("restoring the pattern of core dumps: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a part of the test below, in a process of its own.
    #[test]
    fn an_endless_loop() {
        if std::env::var_os("KEEPALIVED_TEST_ENDLESS").is_some() {
            let begun = std::time::Instant::now();
            for turn in 0_u64.. {
                if begun.elapsed() > Duration::from_secs(20) {
                    return;
                }
                // A second's worth of turns that end, and then one that does not.
                if turn < 100 {
                    end_unless_called_again(Duration::from_millis(200));
                    let begun = std::time::Instant::now();
                    while begun.elapsed() < Duration::from_millis(5) {}
                }
            }
        }
    }

    #[test]
    fn a_process_that_does_not_come_out_of_a_loop_is_ended() {
        use std::os::unix::process::ExitStatusExt;
        let begun = std::time::Instant::now();
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kernel::process::tests::an_endless_loop"])
            .env("KEEPALIVED_TEST_ENDLESS", "1")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.signal(), Some(libc::SIGPROF));
        assert!(begun.elapsed() > Duration::from_millis(500), "in a turn that ended");
    }

    #[test]
    fn the_pattern_of_core_dumps_is_put_back_unless_somebody_changed_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("core_pattern");
        std::fs::write(&place, "|/usr/lib/helper %p\n").unwrap();
        let pattern = CorePattern::set_at(place.clone(), Path::new("/tmp/core.%p")).unwrap();
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "/tmp/core.%p");
        pattern.restore();
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "|/usr/lib/helper %p\n");
        let pattern = CorePattern::set_at(place.clone(), Path::new("core")).unwrap();
        std::fs::write(&place, "other\n").unwrap();
        pattern.restore();
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "other\n");
    }
}
