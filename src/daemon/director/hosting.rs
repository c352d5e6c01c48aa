//! `ha_suspend`: a virtual server's checks run only while its address is on this host; what they said last goes on to
//! count (spec/checkers.md §15). Stock never finds the addresses of a group, and its checks stay suspended for ever; here
//! one of them is enough.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Director, Orders};
use crate::check::schedule::first_delay;
use crate::config::model::{GroupEntry, Service, VirtualServer, VirtualServerGroup};
use crate::time::Time;

impl Director {
    /// Nobody has looked at the addresses for a while: what is here is told anew.
    pub fn forget_hosted(&mut self) {
        self.hosted.clear();
    }

    /// Addresses came to this host (true) or left it. `random` gives the random part of first delays.
    pub fn hosts(
        &mut self,
        changes: &[(IpAddr, bool)],
        now: Time,
        random: &mut dyn FnMut() -> u32,
        out: &mut Orders,
    ) {
        for (address, present) in changes {
            if *present {
                self.hosted.insert(*address);
            } else {
                self.hosted.remove(address);
            }
        }
        for index in 0..self.servers.len() {
            let server = &self.servers[index];
            let suspended = is_suspended(server.health.config(), &self.groups, &self.hosted);
            if suspended != server.suspended {
                self.servers[index].suspended = suspended;
                self.log_hosting(index, if suspended { "Suspending" } else { "Activating" }, out);
                self.follow_hosting(index, now, random, out);
            }
        }
        if !self.cohorts.is_empty() {
            self.ask_waiting(now, out);
        }
    }

    /// Suspends or resumes the checks of a virtual server.
    pub(super) fn follow_hosting(
        &mut self,
        index: usize,
        now: Time,
        random: &mut dyn FnMut() -> u32,
        out: &mut Orders,
    ) {
        let suspended = self.servers[index].suspended;
        for check in self.checks_in(index) {
            if suspended {
                if let Some(id) = self.checks[check].asked.take() {
                    self.asked.remove(&id.get());
                    out.cancel.push(id.get());
                }
                self.checks[check].schedule.suspend();
            } else if self.checks[check].schedule.is_suspended() {
                let first = now + first_delay(self.configured(&self.checks[check]), random());
                self.checks[check].schedule.resume(first);
                self.push_due(check);
            }
        }
    }

    fn checks_in(&self, index: usize) -> std::ops::Range<usize> {
        let server = &self.servers[index];
        let first = server.checks.first().copied().unwrap_or(0);
        let count: usize = server.health.config().real_servers.iter().map(|rs| rs.checkers.len()).sum();
        first..first + count
    }

    fn log_hosting(&self, index: usize, verb: &str, out: &mut Orders) {
        let server = &self.servers[index];
        let vs = server.health.label();
        for (index, rs) in server.health.config().real_servers.iter().enumerate() {
            let label = server.health.real_server_name(index);
            let line = format!("{verb} healthchecker for service {label} for VS {vs}");
            out.log.extend(std::iter::repeat_n(line, rs.checkers.len()));
        }
    }
}

/// Is none of its addresses on this host?
pub(super) fn is_suspended(
    vs: &VirtualServer,
    groups: &[VirtualServerGroup],
    hosted: &BTreeSet<IpAddr>,
) -> bool {
    if !vs.ha_suspend {
        return false;
    }
    match &vs.service {
        Service::Address { address, .. } => !hosted.contains(address),
        Service::Fwmark(_) => false,
        Service::Group { name, .. } => {
            let entries = groups.iter().filter(|group| group.name == *name).flat_map(|group| &group.entries);
            !entries.into_iter().any(|entry| match entry {
                GroupEntry::Range { first, last, .. } => hosted.range(first..=last).next().is_some(),
                GroupEntry::Fwmark { .. } => false,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::CheckersPart;
    use crate::daemon::director::tests::{World, checked};

    fn suspending() -> VirtualServer {
        VirtualServer { ha_suspend: true, ..checked(1) }
    }

    #[test]
    fn checks_run_only_while_the_address_is_here_and_their_result_stays() {
        let mut world = World::new();
        world.run(&[suspending()], None);
        assert_eq!(world.kernel.taken().len(), 2, "the table does not depend on it");
        let what = "healthchecker for service [10.1.0.1]:tcp:8000 for VS [10.9.0.1]:tcp:80";
        assert_eq!(world.out.log.last().unwrap(), &format!("Deactivating {what}"));
        assert_eq!(world.director.deadline(), None);
        world.hosts("10.9.0.2", true);
        assert_eq!(world.director.deadline(), None);
        world.hosts("10.9.0.1", true);
        assert_eq!(world.out.log, [format!("Activating {what}")]);
        world.round(|_| true);
        assert_eq!(world.kernel.taken(), ["-10.9.0.1:tcp:80 10.1.0.1:8000"]);
        world.hosts("10.9.0.1", false);
        assert_eq!(world.out.log, [format!("Suspending {what}")]);
        assert_eq!(world.director.deadline(), None);
        // Also through a reload.
        world.run(&[VirtualServer { quorum: 7, ..suspending() }], None);
        assert_eq!(world.director.deadline(), None);
        assert!(world.kernel.taken().is_empty());
        world.run(&[VirtualServer { ha_suspend: false, ..suspending() }], None);
        world.round(|_| false);
        assert_eq!(world.kernel.taken(), ["+10.9.0.1:tcp:80 10.1.0.1:8000"]);
        // What was here before nobody looked is not believed.
        world.hosts("10.9.0.1", true);
        world.director.forget_hosted();
        world.run(&[suspending()], None);
        assert_eq!(world.director.deadline(), None);
    }

    #[test]
    fn an_attempt_under_way_is_given_up() {
        let mut world = World::new();
        world.hosts("10.9.0.1", true);
        world.run(&[suspending()], None);
        world.now = world.director.deadline().unwrap();
        world.director.due(world.now, &mut world.kernel, &mut world.out);
        let id = world.out.probe[0].id;
        world.hosts("10.9.0.1", false);
        assert_eq!(world.out.cancel, [id]);
    }

    #[test]
    fn one_address_of_a_group_is_enough() {
        let mut vs = suspending();
        vs.service = Service::Group { name: "G".to_owned(), index: 0 };
        let (first, last) = ("10.9.0.5".parse().unwrap(), "10.9.0.9".parse().unwrap());
        let entries = vec![GroupEntry::Range { first, last, port: 80 }];
        let groups = vec![VirtualServerGroup { name: "G".to_owned(), entries }];
        let mut world = World::new();
        let part = CheckersPart { virtual_servers: vec![vs], groups, ..CheckersPart::default() };
        world.run_part(&part, None);
        world.hosts("10.9.0.4", true);
        assert_eq!(world.director.deadline(), None);
        world.hosts("10.9.0.9", true);
        assert!(world.director.deadline().is_some());
    }
}
