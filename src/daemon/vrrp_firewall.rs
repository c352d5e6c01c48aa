//! The vrrp process' hold on nftables: applies what the core wants, hears when somebody else changes it.

use tracing::info;

use crate::kernel::error::Error;
use crate::kernel::nftables::{Nftables, NftablesMonitor, Trust};
use crate::kernel::readiness::Watched;
use crate::kernel::ready_set::ReadySet;
use crate::vrrp::{Event, Ruleset};

/// Opened when it is first needed: most configurations never need it.
#[derive(Default)]
pub(super) struct Firewall {
    open: Option<(Nftables, NftablesMonitor)>,
    /// What the core asked for last.
    wanted: Option<Box<Ruleset>>,
    table: String,
    is_touched: bool,
}

impl Firewall {
    /// Notes what is wanted now. Says whether that takes anything away.
    pub(super) fn want(&mut self, wanted: Option<Box<Ruleset>>) -> bool {
        let is_smaller =
            self.open.as_ref().is_some_and(|(nftables, _)| nftables.is_smaller(wanted.as_deref()));
        self.wanted = wanted;
        is_smaller
    }

    /// Makes it so; what is refused is told and left as it is.
    pub(super) fn apply(&mut self, sockets: &Watched<ReadySet>, number: u64) {
        if let Err(error) = self.try_apply(sockets, number) {
            info!("{error}");
        }
    }

    fn try_apply(&mut self, sockets: &Watched<ReadySet>, number: u64) -> Result<(), Error> {
        if self.open.is_none() {
            let (nftables, monitor) = (Nftables::open()?, NftablesMonitor::open()?);
            sockets.get().add(&monitor, number)?;
            self.open = Some((nftables, monitor));
        }
        let Some((nftables, _)) = &mut self.open else { return Ok(()) };
        let trust = if std::mem::take(&mut self.is_touched) { Trust::Nothing } else { Trust::Applied };
        if let Some(wanted) = &self.wanted {
            self.table.clone_from(&wanted.table);
        }
        nftables.apply(self.wanted.as_deref(), trust)
    }

    /// What others did meanwhile.
    pub(super) fn news(&mut self, buffer: &mut [u8]) -> Option<Event> {
        let (nftables, monitor) = self.open.as_ref()?;
        let touch = monitor.touched(&self.table, nftables.port().ok()?, buffer)?;
        self.is_touched = true;
        Some(Event::FirewallTouched { by: touch.by })
    }
}
