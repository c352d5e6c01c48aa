//! What the checkers process tells of itself: its part of the dump, and its snapshots for the reporter.

use tracing::info;

use super::{Checkers, Running};
use crate::check::schedule::Schedule;
use crate::daemon::ipc::{Dump, Extent, FromChild};
use crate::kernel::calendar::WallTime;
use crate::kernel::timer::now;
use crate::lvs::snapshot::{CheckersSnapshot, ServerSnapshot, Statistics};
use crate::lvs::table::DestinationKey;
use crate::report::check_data::{CheckData, CheckState, VirtualServerData, check_data};
use crate::report::clock::Clock;

impl Checkers {
    pub(super) fn dump(&mut self) {
        if let Some(text) = self.data() {
            info!("Printing checker data for process({}) on signal", std::process::id());
            self.parent.tell(&FromChild::Dumped { dump: Dump::Data, text });
        }
    }

    /// Tells the reporter how things are.
    pub(super) fn snapshot(&mut self, extent: Extent) {
        let Some(running) = &self.running else { return };
        let snmp = &running.common.global.snmp;
        let keys = running.virtual_servers.iter().flat_map(|it| it.services.iter().map(|(key, _)| *key));
        if let Some(ipvs) = &mut self.table.ipvs {
            self.counts.read(ipvs, snmp, extent, keys);
        }
        let counts = &self.counts;
        let servers =
            running.virtual_servers.iter().zip(self.director.reports()).map(|(arranged, report)| {
                let mut statistics = Statistics::default();
                let reals = arranged.config.real_servers.iter().map(|it| (it.address, it.port));
                // The sorry server behind the real servers.
                let sorry = arranged.config.sorry_server.iter().map(|it| (it.address, it.port));
                let places: Vec<_> = reals.chain(sorry).collect();
                let mut real_servers = vec![Statistics::default(); places.len()];
                for (service, _) in &*arranged.services {
                    statistics += counts.of_service(service);
                    for ((address, port), sum) in places.iter().zip(&mut real_servers) {
                        *sum += counts
                            .of_destination(service, &DestinationKey { address: *address, port: *port });
                    }
                }
                ServerSnapshot { health: report.health.snapshot(), statistics, real_servers }
            });
        match postcard::to_stdvec(&CheckersSnapshot { servers: servers.collect() }) {
            Ok(bytes) => self.parent.tell(&FromChild::Snapshot(bytes)),
            Err(error) => info!("writing down how the virtual servers are: {error}"),
        }
    }

    /// What `keepalived_check.data` holds now.
    pub(super) fn data(&self) -> Option<String> {
        let Running { common, .. } = self.running.as_ref()?;
        let virtual_servers = self.director.reports().map(|report| VirtualServerData {
            config: report.health.config(),
            health: report.health.snapshot(),
            checks: report
                .checks
                .iter()
                .map(|checks| checks.iter().map(|it| check_state(it, !report.suspended)).collect())
                .collect(),
            reloaded: report.reloaded,
        });
        let wall = WallTime::now();
        let data = CheckData {
            global: &common.global,
            ssl: common.ssl.as_ref(),
            groups: &common.groups,
            virtual_servers: virtual_servers.collect(),
            bfd_instances: &common.bfd_instances,
            track_files: common
                .track_files
                .iter()
                .map(|file| (file, self.numbers.get(&file.name).copied().unwrap_or(0)))
                .collect(),
            clock: Clock { now: now(), epoch: wall.epoch, utc_offset: wall.utc_offset },
        };
        Some(check_data(&data))
    }
}

fn check_state(schedule: &Schedule, enabled: bool) -> CheckState {
    let (last_status, last_run) = schedule.last_run();
    CheckState {
        enabled,
        up: schedule.is_up(),
        has_run: schedule.has_run(),
        failures: schedule.failures(),
        failed_url: schedule.failed_url(),
        last_status,
        last_run,
        attempts: schedule.attempts(),
    }
}
