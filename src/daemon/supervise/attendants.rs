//! The two children without a say in a configuration: the prober, which serves the checkers process, and the reporter.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::time::Instant;

use super::{Happening, Supervisor};
use crate::daemon::child::Role;
use crate::daemon::ipc::{Extent, FromReporter, Order, Reported, Service, ToChild};
use crate::daemon::reporter_seat::ReporterHappening;
use crate::daemon::slot::{ProberEvent, Seat, start};
use crate::kernel::fdpass;

impl Supervisor {
    /// Starts the prober when there is something to probe, and introduces it to the checkers process.
    pub(super) fn start_prober(&mut self) {
        let wanted = self.running.counts().checked > 0;
        if !wanted || self.prober.process.is_some() || !self.checkers.is_alive() || self.stopping.is_some() {
            return;
        }
        self.prober.due = None;
        let assignment = self.assignment(Role::Prober, self.running.outline());
        match fdpass::pair().and_then(|(near, far)| Ok((near, start(&assignment, &far)?))) {
            Ok((near, process)) => {
                let pid = process.id().unwrap_or(0);
                self.prober.process = Some((process, Instant::now()));
                self.checkers.say_with(&ToChild::Prober, near);
                tracing::info!("Starting prober child process, pid={pid}");
                self.happenings.push(Happening::Started { role: Role::Prober, pid });
            }
            Err(error) => {
                tracing::info!("Cannot start the prober process: {error}");
                self.prober.schedule(Duration::ZERO);
            }
        }
    }

    pub(super) fn prober_event(&mut self, event: &ProberEvent) {
        match event {
            ProberEvent::Due => self.start_prober(),
            ProberEvent::Ended { pid, lived, orphan } => {
                if self.stopping.is_some() || !self.checkers.is_alive() {
                    return;
                }
                if *orphan {
                    // Its checkers process died and has a successor already.
                    self.start_prober();
                    return;
                }
                tracing::error!("{} child process({pid}) died: Respawning", Role::Prober.title());
                self.happenings.push(Happening::Died { role: Role::Prober, pid: *pid, permanent: None });
                let wait = self.prober.schedule(*lived);
                tracing::info!(
                    "Restart of prober process delayed {} seconds to limit respawn rate",
                    wait.as_secs()
                );
            }
        }
    }

    /// Has the reporter run what the configuration that runs asks for.
    pub(super) fn configure_reporter(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let part = self.running.whole().reporter_part();
        let assignment = self.assignment(Role::Reporter, self.running.outline());
        if let Some(pid) = self.reporter.configure(part, &assignment) {
            self.happenings.push(Happening::Started { role: Role::Reporter, pid });
        }
    }

    pub(super) fn reporter_event(&mut self, event: ReporterHappening) {
        match event {
            ReporterHappening::Due => self.configure_reporter(),
            ReporterHappening::Ended { pid } => {
                // Its successor is planned already; nobody else depends on it.
                self.happenings.push(Happening::Died { role: Role::Reporter, pid, permanent: None });
            }
            ReporterHappening::Said(FromReporter::Snapshot(of, extent)) => self.snapshot(of, extent),
            // It may not drain servers; SNMP may set their weights.
            ReporterHappening::Said(FromReporter::Order(
                order @ (Order::SendGarp { .. }
                | Order::SetPriority { .. }
                | Order::SetPreempt { .. }
                | Order::SetWeight { .. }),
            )) => {
                self.order(&order);
            }
            ReporterHappening::Said(FromReporter::Order(_)) => {}
            ReporterHappening::Said(message) => {
                self.happenings.push(Happening::Wanted(message));
            }
        }
    }

    fn snapshot(&mut self, of: Reported, extent: Extent) {
        match of {
            Reported::Vrrp => self.vrrp.say(&ToChild::Snapshot(extent)),
            Reported::Checkers => self.checkers.say(&ToChild::Snapshot(extent)),
        }
    }

    /// Passes an order on to whom it concerns; says whether there is such a process.
    pub fn order(&mut self, order: &Order) -> bool {
        match order {
            Order::SendGarp { .. } | Order::SetPriority { .. } | Order::SetPreempt { .. } => {
                self.vrrp.say(&ToChild::Order(order.clone()));
                self.vrrp.is_alive()
            }
            Order::SetWeight { .. } | Order::Drain { .. } | Order::Drained { .. } => {
                self.checkers.say(&ToChild::Order(order.clone()));
                self.checkers.is_alive()
            }
        }
    }

    /// Hands the reporter the connection it asked for, or tells it that there is none.
    pub fn connected(&mut self, service: Service, connection: Option<OwnedFd>) {
        self.reporter.connected(service, connection);
    }
}
