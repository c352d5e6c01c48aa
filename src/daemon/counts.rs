//! The kernel's statistics as last read: not more often than the configuration lets SNMP read them.

use std::collections::HashMap;

use tracing::info;

use super::ipc::Extent;
use crate::config::model::Snmp;
use crate::kernel::ipvs::Ipvs;
use crate::kernel::timer::now;
use crate::lvs::snapshot::Statistics;
use crate::lvs::table::{DestinationKey, ServiceKey};
use crate::time::Time;

/// Statistics and when they were read.
type Known<K> = Option<(Time, HashMap<K, Statistics>)>;

/// What was last read, and when.
#[derive(Default)]
pub(super) struct Counts {
    services: Known<ServiceKey>,
    destinations: Known<(ServiceKey, DestinationKey)>,
}

impl Counts {
    /// Reads what has become too old. Of the destinations only when they are asked for.
    pub(super) fn read(
        &mut self,
        ipvs: &mut Ipvs,
        snmp: &Snmp,
        extent: Extent,
        services: impl Iterator<Item = ServiceKey>,
    ) {
        let now = now();
        if self.services.as_ref().is_none_or(|(at, _)| now.since(*at) >= snmp.vs_interval) {
            match ipvs.service_statistics() {
                Ok(found) => self.services = Some((now, found.into_iter().collect())),
                Err(error) => info!("{error}"),
            }
        }
        if extent == Extent::Whole
            && self.destinations.as_ref().is_none_or(|(at, _)| now.since(*at) >= snmp.rs_interval)
        {
            let mut found = HashMap::new();
            for service in services {
                match ipvs.destination_statistics(&service) {
                    Ok(some) => found.extend(some.into_iter().map(|(key, counts)| ((service, key), counts))),
                    // It may be gone for the moment.
                    Err(error) => tracing::debug!("{error}"),
                }
            }
            self.destinations = Some((now, found));
        }
    }

    /// Of a service; nothing if it is not there.
    pub(super) fn of_service(&self, key: &ServiceKey) -> Statistics {
        self.services.as_ref().and_then(|(_, known)| known.get(key)).copied().unwrap_or_default()
    }

    /// Of a destination; nothing if it is not there.
    pub(super) fn of_destination(&self, service: &ServiceKey, key: &DestinationKey) -> Statistics {
        let known = self.destinations.as_ref().map(|(_, known)| known);
        known.and_then(|known| known.get(&(*service, *key))).copied().unwrap_or_default()
    }
}
