//! Giving up what a process does not need.

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

/// Who has nothing, where no user is made for it: `nobody` on Linux.
const NOBODY: u32 = 65534;

/// Keeps these capabilities and gives up all others for good. The message says which step was impossible (some
/// containers refuse); what could be given up is given up.
pub fn keep(wanted: &[Capability]) -> Result<(), String> {
    let wanted: CapsHashSet = wanted.iter().copied().collect();
    let held = caps::read(None, CapSet::Permitted).map_err(|error| error.to_string())?;
    let keep: CapsHashSet = held.intersection(&wanted).copied().collect();
    let mut failed = Vec::new();
    // The bounding set first: it takes a right that is about to go.
    for capability in held.difference(&wanted) {
        if caps::has_cap(None, CapSet::Bounding, *capability).unwrap_or(false)
            && let Err(error) = caps::drop(None, CapSet::Bounding, *capability)
        {
            failed.push(format!("{capability}: {error}"));
        }
    }
    let none = CapsHashSet::new();
    for (set, value) in [(CapSet::Effective, &keep), (CapSet::Permitted, &keep), (CapSet::Inheritable, &none)]
    {
        if let Err(error) = caps::set(None, set, value) {
            failed.push(error.to_string());
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join(", ")) }
}

/// Becomes the first of these local users that exists, else nobody, gives up every capability, and for good: no program
/// executed later gains any. Returns what was impossible, as in some containers; the rest is done.
pub fn keep_none(users: &[&str]) -> Vec<String> {
    let mut failed = Vec::new();
    let mut attempt = |what: &str, result: Result<(), String>| {
        if let Err(error) = result {
            failed.push(format!("{what}: {error}"));
        }
    };
    let changing = [Capability::CAP_SETUID, Capability::CAP_SETGID, Capability::CAP_SETPCAP];
    attempt("giving up capabilities", keep(&changing));
    if geteuid().is_root() {
        let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
        let user = users.iter().find_map(|name| local_user(&passwd, name));
        let (uid, gid) = user.unwrap_or((Uid::from_raw(NOBODY), Gid::from_raw(NOBODY)));
        let text = |errno: nix::errno::Errno| errno.to_string();
        attempt("leaving all groups", setgroups(&[]).map_err(text));
        attempt("changing the group", setresgid(gid, gid, gid).map_err(text));
        attempt("changing the user", setresuid(uid, uid, uid).map_err(text));
    }
    attempt("giving up the last capabilities", keep(&[]));
    attempt("forbidding new rights", prctl::set_no_new_privs().map_err(|errno| errno.to_string()));
    attempt("forbidding to be traced", prctl::set_dumpable(false).map_err(|errno| errno.to_string()));
    failed
}

/// The users of this host itself. Other directories are not asked: one that does not answer would hold up the start of a
/// process, and with it all checks.
const PASSWD: &str = "/etc/passwd";

/// The ids of a user in the text of passwd(5).
fn local_user(passwd: &str, name: &str) -> Option<(Uid, Gid)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.strip_prefix(name)?.strip_prefix(':')?.split(':').skip(1);
        let mut id = || fields.next()?.parse().ok();
        Some((Uid::from_raw(id()?), Gid::from_raw(id()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nkeepalived-rs2:x:7:7::/:\nkeepalived-rs:x:990:991::/:/bin/false\nodd:x\n";
        assert_eq!(local_user(passwd, "keepalived-rs"), Some((Uid::from_raw(990), Gid::from_raw(991))));
        assert_eq!(
            [local_user(passwd, "keepalived"), local_user(passwd, "odd"), local_user("", "root")],
            [None; 3]
        );
    }

    #[test]
    fn a_process_that_keeps_nothing_is_nobody_for_good() {
        // Users belong to the whole process, so this runs in another one: this test, called again.
        const INNER: &str = "KEEPALIVED_RS_TEST_KEEP_NONE";
        if std::env::var_os(INNER).is_some() {
            assert_eq!(keep_none(&["no-such-user"]), Vec::<String>::new());
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            for line in
                ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Groups:\t "]
            {
                assert!(status.contains(line), "{line} in {status}");
            }
            assert!(status.contains("Uid:\t65534\t65534\t65534\t65534"), "{status}");
            assert!(nix::unistd::setuid(Uid::from_raw(0)).is_err());
            return;
        }
        if !geteuid().is_root() {
            eprintln!("SKIPPED: not root, so there is nothing to give up");
            return;
        }
        let this = "kernel::rights::tests::a_process_that_keeps_nothing_is_nobody_for_good";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this])
            .env(INNER, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }

    #[test]
    fn what_is_not_kept_is_gone_and_cannot_be_had_back() {
        std::thread::spawn(|| {
            if !caps::has_cap(None, CapSet::Permitted, Capability::CAP_NET_RAW).unwrap() {
                eprintln!("SKIPPED: no CAP_NET_RAW to keep");
                return;
            }
            keep(&[Capability::CAP_NET_RAW]).unwrap();
            let left = caps::read(None, CapSet::Permitted).unwrap();
            assert_eq!(left, std::iter::once(Capability::CAP_NET_RAW).collect());
            assert!(caps::raise(None, CapSet::Effective, Capability::CAP_NET_ADMIN).is_err());
        })
        .join()
        .unwrap();
    }
}
