//! Operators take real servers out of service and put them back (`keepalived-rs drain`): a drained server gets no new
//! connections and keeps those it has. The pool's side of it is `lvs::pooling`.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Director, Kernel, Orders};
use crate::lvs::virtual_server::Event;
use crate::time::Time;

/// Which real servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Their address.
    pub address: IpAddr,
    /// Their port; all of them without one.
    pub port: Option<u16>,
    /// Only in this virtual server, named as in the log: `[10.0.0.1]:tcp:80`.
    pub virtual_server: Option<String>,
}

/// What is to be done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// No new connections, for so long or until [`Wish::Undrain`].
    Drain {
        /// How long.
        lasts: Option<Duration>,
    },
    /// New connections again.
    Undrain,
}

/// What came of it: one line for each real server, or why nothing was done.
pub type Answer = Result<Vec<String>, String>;

impl Director {
    /// Drains or undrains real servers; all of them or none.
    pub fn drain(
        &mut self,
        target: &Target,
        wish: Wish,
        now: Time,
        kernel: &mut dyn Kernel,
        out: &mut Orders,
    ) -> Answer {
        let found = self.targets(target);
        if found.is_empty() {
            return Err(match &target.virtual_server {
                Some(vs) => format!("no virtual server {vs} has such a real server"),
                None => "no virtual server has such a real server".to_owned(),
            });
        }
        if let Wish::Drain { .. } = wish {
            for (server, indices) in &found {
                let health = &self.servers[*server].health;
                if let Some(obstacle) = health.obstacle_to_drain(indices) {
                    return Err(format!("virtual server {}: {obstacle}", health.label()));
                }
            }
        }
        let mut lines = Vec::new();
        for (server, indices) in found {
            for real_server in indices {
                let event = match wish {
                    Wish::Drain { lasts } => {
                        Event::Drain { real_server, until: lasts.map(|lasts| now + lasts) }
                    }
                    Wish::Undrain => Event::Undrain { real_server },
                };
                lines.push(self.drain_line(server, real_server, wish));
                self.tell(server, event, now, out);
                self.settle(now, kernel, out);
            }
        }
        Ok(lines)
    }

    /// The real servers that are drained: one line each.
    pub fn drained(&self, now: Time) -> Vec<String> {
        let mut lines = Vec::new();
        for server in &self.servers {
            for (index, rs) in server.health.state().real_servers.iter().enumerate() {
                let Some(drain) = rs.pooling.drain else { continue };
                let label = server.health.real_server_name(index);
                let rest = drain.until.map_or_else(
                    || "until it is undone".to_owned(),
                    |until| format!("for another {} s", until.since(now).as_secs()),
                );
                lines.push(format!("{label} of {}: drained {rest}", server.health.label()));
            }
        }
        lines
    }

    fn drain_line(&self, server: usize, real_server: usize, wish: Wish) -> String {
        let server = &self.servers[server];
        let (label, vs) = (server.health.real_server_name(real_server), server.health.label());
        let was = server.health.state().real_servers[real_server].pooling.drain.is_some();
        match wish {
            Wish::Drain { lasts: Some(lasts) } => {
                format!("{label} of {vs}: drained for {} s", lasts.as_secs())
            }
            Wish::Drain { lasts: None } => format!("{label} of {vs}: drained until it is undone"),
            Wish::Undrain if was => format!("{label} of {vs}: in service again"),
            Wish::Undrain => format!("{label} of {vs}: was not drained"),
        }
    }

    /// Per virtual server the real servers that are meant.
    fn targets(&self, target: &Target) -> Vec<(usize, Vec<usize>)> {
        let is_meant = |label: &str| target.virtual_server.as_ref().is_none_or(|wanted| wanted == label);
        (self.servers.iter().enumerate())
            .filter(|(_, server)| is_meant(server.health.label()))
            .filter_map(|(index, server)| {
                let real_servers = server.health.config().real_servers.iter().enumerate();
                let found: Vec<usize> = real_servers
                    .filter(|(_, rs)| rs.address == target.address)
                    .filter(|(_, rs)| target.port.is_none_or(|port| port == rs.port))
                    .map(|(index, _)| index)
                    .collect();
                (!found.is_empty()).then_some((index, found))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::VirtualServer;
    use crate::daemon::director::State;
    use crate::daemon::director::tests::{World, at_port, checked};

    fn target(server: &str, port: Option<u16>, virtual_server: Option<&str>) -> Target {
        let virtual_server = virtual_server.map(str::to_owned);
        Target { address: server.parse().unwrap(), port, virtual_server }
    }

    fn drain(world: &mut World, target: &Target, wish: Wish) -> Answer {
        world.out = Orders::default();
        world.director.drain(target, wish, world.now, &mut world.kernel, &mut world.out)
    }

    #[test]
    fn a_server_is_drained_everywhere_or_in_one_place_and_a_successor_goes_on() {
        let mut world = World::new();
        let both = [checked(2), at_port(checked(2), 81)];
        world.run(&both, None);
        world.kernel.taken();
        let lasts = Some(Duration::from_secs(60));
        let first = target("10.1.0.1", Some(8000), None);
        let lines = drain(&mut world, &first, Wish::Drain { lasts }).unwrap();
        assert_eq!(lines[0], "[10.1.0.1]:tcp:8000 of [10.9.0.1]:tcp:80: drained for 60 s");
        assert_eq!(lines.len(), 2);
        assert_eq!(
            world.kernel.taken(),
            ["=10.9.0.1:tcp:80 10.1.0.1:8000", "=10.9.0.1:tcp:81 10.1.0.1:8000"]
        );
        let one = target("10.1.0.2", None, Some("[10.9.0.1]:tcp:81"));
        assert_eq!(drain(&mut world, &one, Wish::Drain { lasts: None }).unwrap().len(), 1);
        let missing = target("10.1.0.1", Some(1), None);
        assert!(drain(&mut world, &missing, Wish::Undrain).unwrap_err().contains("no virtual server has"));

        world.kernel.taken();
        let state: State = world.director.state();
        let mut next = World { kernel: std::mem::take(&mut world.kernel), ..World::new() };
        next.now = world.now + Duration::from_secs(1);
        next.run(&both, Some(state));
        assert!(next.kernel.taken().is_empty(), "nothing has changed");
        assert_eq!(
            next.director.drained(next.now),
            [
                "[10.1.0.1]:tcp:8000 of [10.9.0.1]:tcp:80: drained for another 59 s",
                "[10.1.0.1]:tcp:8000 of [10.9.0.1]:tcp:81: drained for another 59 s",
                "[10.1.0.2]:tcp:8000 of [10.9.0.1]:tcp:81: drained until it is undone"
            ]
        );
        next.now = world.now + Duration::from_secs(60);
        next.director.due(next.now, &mut next.kernel, &mut next.out);
        assert_eq!(next.kernel.taken(), ["=10.9.0.1:tcp:80 10.1.0.1:8000", "=10.9.0.1:tcp:81 10.1.0.1:8000"]);
        let shown = next.kernel.shown();
        assert_eq!(shown[1], "10.9.0.1:tcp:81 = 10.1.0.1:8000*1 10.1.0.2:8000*0");
    }

    #[test]
    fn too_few_left_are_a_refusal_and_nothing_is_drained() {
        let mut world = World::new();
        let limited = VirtualServer { min_in_service: 100, ..at_port(checked(2), 81) };
        world.run(&[checked(2), limited], None);
        world.kernel.taken();
        let refusal = drain(&mut world, &target("10.1.0.1", None, None), Wish::Drain { lasts: None });
        assert_eq!(
            refusal.unwrap_err(),
            "virtual server [10.9.0.1]:tcp:81: only 1 of 2 would be left in service, and at least 2 must be \
             (min_in_service)"
        );
        assert!(world.kernel.taken().is_empty() && world.director.drained(world.now).is_empty());
    }
}
