//! The checkers process' hold on IPVS beside the services: opening it, timeouts, sync daemons.

use std::convert::identity;
use std::time::Duration;

use tracing::info;

use super::director::Kernel;
use crate::config::model::{Global, IpvsNamespace, LvsTimeouts, ReceiveBuffer, SyncDaemon, SyncRole};
use crate::kernel::error::Error;
use crate::kernel::ipvs::{Ipvs, Report};
use crate::kernel::namespace::inside;
use crate::kernel::nftables_ipvs::MarkFirewall;
use crate::lvs::difference::Command;
use crate::lvs::marks::MarkTable;
use crate::lvs::table::{ServiceKey, Table};
use crate::time::Time;

/// IPVS, once a virtual server needs it, and what beside the table has been changed there.
#[derive(Default)]
pub(super) struct IpvsTable {
    pub(super) ipvs: Option<Ipvs>,
    /// The kernel's timeouts before we changed them.
    pub(super) original_timeouts: Option<LvsTimeouts>,
    /// Open once it was needed, or where it can be opened only at the start.
    firewall: Option<MarkFirewall>,
}

/// Until the kernel is asked again for marks and sync daemons that it refused.
const PAUSE: Duration = Duration::from_secs(20);

impl IpvsTable {
    /// Gives the request socket the buffer that is configured for it.
    pub(super) fn size_buffer(&self, wanted: ReceiveBuffer) {
        if let Some(Err(error)) = self.ipvs.as_ref().map(|ipvs| ipvs.set_receive_buffer(wanted)) {
            info!("{error}");
        }
    }

    pub(super) fn open(&mut self, namespace: &IpvsNamespace) -> Result<(), String> {
        if self.ipvs.is_none() {
            info!("Initializing ipvs");
            self.ipvs = Some(Ipvs::open_in(namespace).map_err(|error| error.to_string())?);
            if *namespace != IpvsNamespace::Same {
                self.firewall = inside(namespace, MarkFirewall::open).and_then(identity).ok();
            }
        }
        Ok(())
    }

    /// Has nftables mark the packets of groups, where the table is. Says when to try again, after a refusal.
    pub(super) fn mark(&mut self, wanted: Option<&MarkTable>, now: Time) -> Option<Time> {
        if self.firewall.is_none() && wanted.is_some() {
            match MarkFirewall::open() {
                Ok(firewall) => self.firewall = Some(firewall),
                Err(error) => info!("{error}"),
            }
        }
        let outcome = self.firewall.as_mut()?.apply(wanted);
        outcome.err().map(|error| {
            info!("{error}: virtual server groups get no packets, trying again in {} s", PAUSE.as_secs());
            now + PAUSE
        })
    }

    /// Stock sets the originals back for a moment at every reload; here only what changes is set.
    pub(super) fn set_timeouts(&mut self, wanted: LvsTimeouts, before: Option<LvsTimeouts>) {
        let Some(ipvs) = &mut self.ipvs else { return };
        let unset = LvsTimeouts::default();
        if before == Some(wanted) || (before.is_none() && wanted == unset && self.original_timeouts.is_none())
        {
            return;
        }
        let result = (|| {
            let original = match self.original_timeouts {
                Some(original) => original,
                None => ipvs.timeouts()?,
            };
            let or = |wanted, original| if wanted == 0 { original } else { wanted };
            ipvs.set_timeouts(LvsTimeouts {
                tcp: or(wanted.tcp, original.tcp),
                tcp_fin: or(wanted.tcp_fin, original.tcp_fin),
                udp: or(wanted.udp, original.udp),
            })?;
            self.original_timeouts = (wanted != unset).then_some(original);
            Ok::<(), Error>(())
        })();
        if let Err(error) = result {
            info!("{error}");
        }
    }

    /// Without an instance to follow, both sync daemons run; those of an instance are the vrrp process'. Says when to try
    /// again, after a refusal.
    pub(super) fn set_sync(&mut self, global: &Global, before: Option<&Global>, now: Time) -> Option<Time> {
        let (wanted, was) = (own_sync(global), before.and_then(own_sync));
        let ipvs = self.ipvs.as_mut()?;
        let mut result = Ok(());
        if let Some(was) = was.filter(|was| wanted != Some(*was)) {
            result = ipvs.sync(&[], was);
        }
        if let (Ok(()), Some(settings)) = (&result, wanted) {
            result = ipvs.sync(&[SyncRole::Master, SyncRole::Backup], settings);
        }
        result.err().map(|error| {
            info!("{error} - trying again in {} s", PAUSE.as_secs());
            now + PAUSE
        })
    }

    /// What comes after the table's own release: errors do not end it.
    pub(super) fn release(&mut self, global: &Global, flush: bool) -> Vec<Error> {
        let mut errors = Vec::new();
        let Some(ipvs) = &mut self.ipvs else { return errors };
        if flush {
            errors.extend(ipvs.flush().err());
        }
        if let Some(settings) = own_sync(global) {
            errors.extend(ipvs.sync(&[], settings).err());
        }
        if let Some(original) = self.original_timeouts.take() {
            errors.extend(ipvs.set_timeouts(original).err());
        }
        errors
    }
}

/// Without IPVS there are no virtual servers, so there is nothing to do and nothing to find.
impl Kernel for IpvsTable {
    fn apply(&mut self, table: &mut Table, commands: &[Command]) -> Result<Report, Error> {
        self.ipvs.as_mut().map_or_else(|| Ok(Report::default()), |ipvs| ipvs.apply(table, commands))
    }

    fn read(&mut self, table: &mut Table, services: &[ServiceKey]) -> Result<(), Error> {
        self.ipvs.as_mut().map_or(Ok(()), |ipvs| ipvs.read_into(table, services))
    }

    fn services(&mut self) -> Result<Vec<ServiceKey>, Error> {
        self.ipvs.as_mut().map_or_else(|| Ok(Vec::new()), Kernel::services)
    }
}

/// The sync daemons that are the checkers' business.
fn own_sync(global: &Global) -> Option<&SyncDaemon> {
    global.lvs_sync_daemon.as_ref().filter(|daemon| daemon.instance.is_none())
}
