//! Starting a script: its own process group and identity, nothing inherited, and an end that is told exactly.
//!
//! Only the parent process starts scripts. spec/daemon-behaviour.md §8.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ExitStatus, Stdio};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Pid, Uid, User, getgrouplist};
use tokio::process::Child;

use crate::config::model::{Command, Identity, ScriptEnd};
use crate::config::source::encode;

/// Variables that do not reach a script: they could make it load or split something else.
const WITHHELD: [&str; 4] = ["IFS", "LD_PRELOAD", "LD_LIBRARY_PATH", "NOTIFY_SOCKET"];

/// Starts `command` directly, never through a shell (but a file without `#!` is read by `/bin/sh`, as `execvp` does).
///
/// It leads its own process group, dies with the daemon (SIGTERM), has `/dev/null` as its three descriptors, default
/// signals, no capabilities beyond its user's, and only those supplementary groups that its identity asks for. `withheld` names one more variable to keep
/// back. Needs a running tokio reactor.
pub fn script(command: &Command, withheld: &str) -> io::Result<Child> {
    let mut child = std::process::Command::new(bytes(&command.path));
    child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    if let Some((name, arguments)) = command.argv.split_first() {
        child.arg0(bytes(name)).args(arguments.iter().map(|word| bytes(word)));
    }
    for name in WITHHELD {
        child.env_remove(name);
    }
    child.env_remove(withheld);
    let user = if nix::unistd::geteuid().is_root() { Some(user(command.identity)?) } else { None };
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only async-signal-safe system calls are made, and nothing is allocated: setgroups,
    // setgid, setuid, prctl, getppid, close_range, sigaction.
    unsafe {
        child.pre_exec(move || {
            if let Some((uid, gid, groups)) = &user {
                nix::unistd::setgroups(groups)?;
                nix::unistd::setgid(*gid)?;
                nix::unistd::setuid(*uid)?;
            }
            prepare(parent)
        });
    }
    tokio::process::Command::from(child).kill_on_drop(false).spawn()
}

/// Who a script becomes, with which supplementary groups. Looked up before the fork.
fn user(identity: Identity) -> io::Result<(Uid, Gid, Vec<Gid>)> {
    let groups = if identity.supplementary { groups(identity)? } else { Vec::new() };
    Ok((Uid::from_raw(identity.uid), Gid::from_raw(identity.gid), groups))
}

/// The groups of a user, the given one among them; none of a user without a name.
pub fn groups(identity: Identity) -> io::Result<Vec<Gid>> {
    let Some(user) = User::from_uid(Uid::from_raw(identity.uid))? else { return Ok(Vec::new()) };
    let Ok(name) = CString::new(user.name) else { return Ok(Vec::new()) };
    Ok(getgrouplist(&name, Gid::from_raw(identity.gid))?)
}

/// The bytes that stand in the configuration file; a script need not speak UTF-8.
fn bytes(text: &str) -> OsString {
    OsString::from_vec(encode(text).into_owned())
}

/// Runs in the new process, after its identity was set (which clears the parent-death signal) and before exec.
fn prepare(parent: Pid) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    // The parent may have died before the line above took effect.
    if nix::unistd::getppid() != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: closes no descriptor now, only marks those from 3 on to be closed by exec; ours already are.
    let marked = unsafe { libc::close_range(3, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
    if marked != 0 && Errno::last() != Errno::ENOSYS {
        return Err(io::Error::last_os_error());
    }
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is a valid disposition for every signal; numbers that cannot be changed are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    Ok(())
}

/// `CLOSE_RANGE_CLOEXEC` as the system call takes it.
const CLOSE_RANGE_CLOEXEC: libc::c_int = libc::CLOSE_RANGE_CLOEXEC.cast_signed();

/// Sends `signal` to the process group that `leader` leads. A group that is gone is no error; 0 is none (to the kernel it
/// would be our own).
pub fn signal_group(leader: u32, signal: Signal) {
    if let Ok(leader @ 1..) = i32::try_from(leader) {
        let _ = nix::sys::signal::killpg(Pid::from_raw(leader), signal);
    }
}

/// What an exit status says; a script killed for its timeout is the caller's to tell.
pub fn end(status: ExitStatus) -> ScriptEnd {
    match (status.code(), status.signal()) {
        (Some(code), _) => ScriptEnd::Exited { status: u8::try_from(code).unwrap_or(u8::MAX) },
        (None, signal) => ScriptEnd::Signalled { signal: signal.unwrap_or(0) },
    }
}
