//! The kernel's connection sync: which of its two daemons should run, and what leads there from what runs.
//!
//! Pure. Who wants which role is the vrrp process' business (an instance's state) or the checkers' (both roles); how the
//! daemons are started is `kernel::ipvs`'. spec/ipvs-behaviour.md §2, §3, §8.

use std::net::{IpAddr, Ipv4Addr};

use crate::config::model::{SyncDaemon, SyncRole};

/// `IP_VS_SYNC_PORT` of `linux/ip_vs.h`.
const PORT: u16 = 8848;
/// `IP_VS_SYNC_GROUP` of `linux/ip_vs.h`.
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
/// What the kernel takes without one.
const TTL: u8 = 1;

/// A daemon that runs in the kernel. What old kernels do not tell is unset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Which of the two.
    pub role: SyncRole,
    /// Interface of the multicasts.
    pub interface: String,
    /// Sync id.
    pub id: u32,
    /// Largest packet in bytes.
    pub max_length: Option<u16>,
    /// UDP port.
    pub port: Option<u16>,
    /// TTL.
    pub ttl: Option<u8>,
    /// Multicast group.
    pub group: Option<IpAddr>,
}

/// A change of the sync daemons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `NEW_DAEMON` with these settings.
    Start(SyncRole, SyncDaemon),
    /// `DEL_DAEMON`.
    Stop(SyncRole),
}

/// What runs against what should: stops come first, as with stock.
pub fn difference(running: &[Running], wanted: &[SyncRole], settings: &SyncDaemon) -> Vec<Command> {
    let is_right = |one: &Running| wanted.contains(&one.role) && is_as_wanted(one, settings);
    let stops = running.iter().filter(|one| !is_right(one)).map(|one| Command::Stop(one.role));
    let missing = wanted.iter().filter(|role| !running.iter().any(|one| one.role == **role && is_right(one)));
    stops.chain(missing.map(|role| Command::Start(*role, settings.clone()))).collect()
}

/// Does the daemon run with these settings? The packet size that the kernel chooses by itself cannot be told from a
/// given one.
fn is_as_wanted(running: &Running, wanted: &SyncDaemon) -> bool {
    fn is<T: PartialEq>(running: Option<T>, wanted: &T) -> bool {
        running.is_none_or(|running| running == *wanted)
    }
    running.interface == wanted.interface
        && running.id == u32::from(wanted.id.unwrap_or(0))
        && is(running.port, &wanted.port.unwrap_or(PORT))
        && is(running.ttl, &wanted.ttl.unwrap_or(TTL))
        && is(running.group, &wanted.group.unwrap_or(GROUP))
        && wanted.max_length.is_none_or(|length| is(running.max_length, &length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> SyncDaemon {
        SyncDaemon {
            interface: "eth0".to_owned(),
            instance: None,
            id: Some(7),
            max_length: None,
            port: None,
            ttl: None,
            group: None,
        }
    }

    fn running(role: SyncRole) -> Running {
        Running {
            role,
            interface: "eth0".to_owned(),
            id: 7,
            max_length: Some(1472),
            port: Some(PORT),
            ttl: Some(TTL),
            group: Some(GROUP),
        }
    }

    #[test]
    fn another_role_stops_the_one_before_it_starts_the_other() {
        let (master, backup) = (SyncRole::Master, SyncRole::Backup);
        assert_eq!(
            difference(&[running(backup)], &[master], &settings()),
            [Command::Stop(backup), Command::Start(master, settings())]
        );
        assert_eq!(difference(&[running(master)], &[master], &settings()), []);
        assert_eq!(difference(&[running(master)], &[], &settings()), [Command::Stop(master)]);
        assert_eq!(
            difference(&[], &[master, backup], &settings()),
            [Command::Start(master, settings()), Command::Start(backup, settings())]
        );
    }

    #[test]
    fn a_daemon_with_other_settings_is_started_anew_and_one_that_an_old_kernel_describes_badly_is_not() {
        let role = SyncRole::Backup;
        let again = |one: Running, wanted: SyncDaemon| {
            difference(&[one], &[role], &wanted) == [Command::Stop(role), Command::Start(role, wanted)]
        };
        for change in [
            |it: &mut SyncDaemon| it.interface = "eth1".to_owned(),
            |it: &mut SyncDaemon| it.id = None,
            |it: &mut SyncDaemon| it.max_length = Some(1400),
            |it: &mut SyncDaemon| it.port = Some(9000),
            |it: &mut SyncDaemon| it.ttl = Some(2),
            |it: &mut SyncDaemon| it.group = Some([224, 0, 0, 82].into()),
        ] {
            let mut wanted = settings();
            change(&mut wanted);
            assert!(again(running(role), wanted.clone()), "{wanted:?}");
        }
        let mut changed = running(role);
        changed.port = Some(9000);
        assert!(again(changed, settings()), "what is not configured is the kernel's default");
        let old = Running { max_length: None, port: None, ttl: None, group: None, ..running(role) };
        let wanted = SyncDaemon { port: Some(9000), max_length: Some(1400), ..settings() };
        assert_eq!(difference(&[old], &[role], &wanted), []);
    }
}
