//! The table is made what the virtual servers want: differences in batches, and what the kernel refused of them.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::{Director, Kernel, Orders, Server};
use crate::lvs::difference::{Command, Extent, difference};
use crate::lvs::table::ServiceKey;
use crate::lvs::virtual_server::{Event, Scope};
use crate::time::Time;

impl Director {
    /// Makes the table what the virtual servers want, all in one batch, until none wants anything more.
    pub(super) fn settle(&mut self, now: Time, kernel: &mut dyn Kernel, out: &mut Orders) {
        while !self.applies.is_empty() {
            let wanted = std::mem::take(&mut self.applies);
            let mut commands = Vec::new();
            if self.distrust {
                // All of it is looked at by the timer.
                let keys: Vec<ServiceKey> = wanted
                    .iter()
                    .flat_map(|(server, _)| self.servers[*server].services.iter().map(|(key, _)| *key))
                    .collect();
                self.look(&keys, kernel, out);
            }
            for (server, scope) in &wanted {
                self.compare(*server, *scope, &mut commands);
            }
            let failed = self.send(&commands, kernel, out);
            for (place, scope) in wanted {
                let server = &mut self.servers[place];
                let refused = match scope {
                    Scope::Whole => false,
                    Scope::RealServer(index) => concerns(&failed, server, index),
                };
                let event = if refused { Event::Refused } else { Event::Applied };
                let mut actions = Vec::new();
                server.health.handle(event, &mut actions);
                self.carry(place, actions, out);
            }
        }
        self.plan_retry(now);
    }

    /// What is missing for what a virtual server wants.
    pub(super) fn compare(&self, server: usize, scope: Scope, commands: &mut Vec<Command>) {
        let Server { health, services, .. } = &self.servers[server];
        let services = Arc::clone(services);
        match scope {
            Scope::RealServer(index) if !self.dirty.contains(&server) => {
                let pool = health.pool_of(index, services);
                difference(&self.table, &[], &pool, Extent::Named, commands);
            }
            _ => difference(&self.table, &[], &health.pool(services), Extent::Whole, commands),
        }
    }

    /// Sends commands; returns those that failed. Services that were not as they were believed to be are looked at
    /// and compared once more.
    pub(super) fn send(
        &mut self,
        commands: &[Command],
        kernel: &mut dyn Kernel,
        out: &mut Orders,
    ) -> Vec<Command> {
        if commands.is_empty() {
            return Vec::new();
        }
        let mut failed = self.apply(commands, kernel, out);
        let surprising = std::mem::take(&mut failed.look_again);
        if !surprising.is_empty() && self.look(&surprising, kernel, out) {
            failed.commands.retain(|command| !surprising.contains(command.service()));
            let mut again = Vec::new();
            let owners: HashSet<usize> =
                surprising.iter().filter_map(|key| self.owners.get(key).copied()).collect();
            for server in owners.into_iter().filter(|server| *server < self.servers.len()) {
                self.compare(server, Scope::Whole, &mut again);
            }
            failed.commands.extend(self.apply(&again, kernel, out).commands);
        }
        let touched: HashSet<usize> =
            commands.iter().filter_map(|command| self.owners.get(command.service()).copied()).collect();
        let dirty: BTreeSet<usize> = failed
            .commands
            .iter()
            .filter_map(|command| self.owners.get(command.service()).copied())
            .collect();
        self.dirty.retain(|index| !touched.contains(index));
        self.dirty.extend(dirty);
        failed.commands
    }

    fn apply(&mut self, commands: &[Command], kernel: &mut dyn Kernel, out: &mut Orders) -> Failed {
        match kernel.apply(&mut self.table, commands) {
            Ok(report) => {
                out.log.extend(report.lines);
                Failed { commands: report.failed, look_again: report.look_again }
            }
            Err(error) => {
                out.log.push(format!("IPVS: {error}"));
                self.distrust = true;
                Failed { commands: commands.to_vec(), look_again: Vec::new() }
            }
        }
    }

    /// Reads services again; false if that failed.
    pub(super) fn look(
        &mut self,
        services: &[ServiceKey],
        kernel: &mut dyn Kernel,
        out: &mut Orders,
    ) -> bool {
        match kernel.read(&mut self.table, services) {
            Ok(()) => true,
            Err(error) => {
                out.log.push(format!("IPVS: {error}"));
                self.distrust = true;
                false
            }
        }
    }
}

struct Failed {
    commands: Vec<Command>,
    look_again: Vec<ServiceKey>,
}

/// Is one of the commands about this real server?
fn concerns(failed: &[Command], server: &Server, index: usize) -> bool {
    if failed.is_empty() {
        return false;
    }
    let pool = server.health.pool_of(index, Arc::clone(&server.services));
    failed.iter().any(|command| {
        pool.services.iter().any(|(key, _)| {
            key == command.service()
                && pool.real_servers.iter().any(|entry| command.destination() == Some(&entry.key(key)))
        })
    })
}
