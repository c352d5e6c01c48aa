//! What validation must know of this host: its name, its interfaces, its users.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use neli::consts::socket::NlFamily;
use nix::unistd::{Gid, Group, User, getegid, geteuid};

use super::error::{Doing, Error};
use super::link;
use super::netlink::Connection;
use super::pcre::Pattern;
use super::spawn;
use crate::config::model::{HostFacts, Identity, Patterns, TlsTrial, Users};

/// The facts of this moment; interfaces come and go.
pub fn facts() -> Result<HostFacts, Error> {
    let name = nix::sys::utsname::uname().doing(|| "asking for the name of the host")?;
    let mut connection = Connection::open(NlFamily::Route)?;
    Ok(HostFacts {
        node_name: name.nodename().to_string_lossy().into_owned(),
        interfaces: link::facts(link::interfaces(&mut connection)?),
        cpus: online_cpus(),
        own_identity: Identity { uid: geteuid().as_raw(), gid: getegid().as_raw(), supplementary: false },
        own_user: own_user(),
        patterns: Patterns(|regex| Pattern::new(regex).map(drop)),
        tls: TlsTrial::default(),
    })
}

/// The name of the user that this is run by; a user without a name is its number.
fn own_user() -> String {
    let uid = geteuid();
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// CPUs that are online, whichever of them this process may use.
fn online_cpus() -> Option<u32> {
    let count = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN).ok()??;
    u32::try_from(count).ok()
}

/// The users of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostUsers;

impl Users for HostUsers {
    fn user(&self, name: &str) -> Option<Identity> {
        let user = User::from_name(name).ok()??;
        Some(Identity { uid: user.uid.as_raw(), gid: user.gid.as_raw(), supplementary: false })
    }

    fn group(&self, name: &str) -> Option<u32> {
        Some(Group::from_name(name).ok()??.gid.as_raw())
    }

    fn groups(&self, identity: Identity) -> Vec<u32> {
        spawn::groups(identity).unwrap_or_default().into_iter().map(Gid::as_raw).collect()
    }

    fn host(&self, name: &str) -> Option<IpAddr> {
        let name = name.to_owned();
        within(PATIENCE, move || Some((name.as_str(), 0).to_socket_addrs().ok()?.next()?.ip()))?
    }
}

/// Name servers that do not answer keep nobody waiting for longer: `reload_check_config` asks them while signals and scripts
/// wait, and the resolver alone could take minutes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Enough for the resolver and the modules that it loads.
const STACK: usize = 1 << 20;

/// What `work` comes to, on a thread of its own; `None` if that takes longer than `limit`.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = mpsc::channel();
    let work = move || {
        // Nobody waits any more.
        let _ = done.send(work());
    };
    thread::Builder::new().stack_size(STACK).spawn(work).ok()?;
    result.recv_timeout(limit).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn who_takes_too_long_is_not_waited_for() {
        let (end, ended) = mpsc::channel::<()>();
        let begun = Instant::now();
        assert_eq!(within(Duration::from_millis(20), move || ended.recv().is_err()), None);
        assert!(begun.elapsed() < Duration::from_secs(10));
        drop(end);
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
        assert_eq!(HostUsers.host("127.0.0.1"), Some(IpAddr::from([127, 0, 0, 1])));
    }
}
