//! Two masters on one segment: noticed from adverts that are rejected or do not end, and from another host that announces
//! our addresses; told once, and when it is over the addresses are announced again.
//!
//! Signs come from packets that anybody can send, so they arm no timer: whether they have ended is looked at with each of
//! our own adverts.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Actions, Detail};
use super::instance::Machine;
use super::owned::addresses;
use super::router::Router;
use super::snapshot::VrrpState;
use crate::time::Time;

/// Hosts announce when they come up and five seconds later; after this it is over.
const ANNOUNCEMENTS: Duration = Duration::from_secs(10);
/// One whose adverts go on for so many of our intervals has not heard us.
const PATIENCE: u32 = 2;

/// Somebody who seems to be master, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rival {
    first: Time,
    last: Time,
    /// Without another sign for so long it is over.
    lasts: Duration,
    is_told: bool,
}

/// A hardware address.
struct Mac<'a>(&'a [u8]);

impl Display for Mac<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            let colon = if place == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

impl Machine<'_> {
    /// An advert that does not make us yield, and whose sender did not yield to us.
    pub(super) fn rival_advert(&mut self, from: IpAddr, priority: u8, why: &str) {
        if self.run.state != VrrpState::Master || priority == 0 {
            return;
        }
        let lasts = self.run.master_down(self.config);
        let now = self.now;
        let is_over = self.run.rival.as_deref().is_none_or(|rival| now.since(rival.last) > rival.lasts);
        if is_over && self.run.rival.as_deref().is_none_or(|rival| !rival.is_told) {
            self.run.rival = Some(Box::new(Rival { first: now, last: now, lasts, is_told: false }));
            return;
        }
        let Some(rival) = &mut self.run.rival else { return };
        rival.last = now;
        rival.lasts = rival.lasts.max(lasts);
        if rival.is_told || now.since(rival.first) < self.config.advert_int.duration() * PATIENCE {
            return;
        }
        rival.is_told = true;
        self.log(
            Detail::Normal,
            format_args!("two masters: {from} goes on as master with priority {priority}: {why}"),
        );
    }

    /// Another host announces or answers for an address of ours.
    fn rival_announcement(&mut self, address: IpAddr, mac: &[u8], interface: &str) {
        let now = self.now;
        let was_told = self.run.rival.as_deref().is_some_and(|rival| rival.is_told);
        let first = self.run.rival.as_deref().map_or(now, |rival| rival.first);
        self.run.rival = Some(Box::new(Rival { first, last: now, lasts: ANNOUNCEMENTS, is_told: true }));
        if !was_told {
            self.log(
                Detail::Normal,
                format_args!("two masters: {} announces {address} on {interface}, too", Mac(mac)),
            );
        }
    }

    /// With each own advert: is it over?
    pub(super) fn watch_rival(&mut self) {
        let Some(rival) = self.run.rival.as_deref().copied() else { return };
        if self.now.since(rival.last) <= rival.lasts {
            return;
        }
        self.run.rival = None;
        if rival.is_told {
            self.log(
                Detail::Normal,
                format_args!("no sign of another master any more: announcing our addresses again"),
            );
            let copies = self.run.announce.begin(&self.config.garp, self.now);
            self.announce(copies);
        }
    }
}

impl Router {
    /// Interface index and address of what our MASTERs hold, for the driver to tell of others who announce it.
    pub fn guarded(&self) -> Vec<(u32, IpAddr)> {
        let masters =
            self.part.instances.iter().zip(&self.runs).filter(|(_, run)| run.state == VrrpState::Master);
        let held = masters.flat_map(|(config, _)| addresses(config)).filter_map(|vip| {
            let interface =
                self.facts.by_name(&vip.interface).filter(|interface| interface.link.has_arp())?;
            Some((interface.link.index, vip.address))
        });
        held.collect()
    }

    /// Somebody else announces an address.
    pub(super) fn conflict(
        &mut self,
        now: Time,
        (index, address): (u32, IpAddr),
        mac: &[u8],
        out: &mut Actions,
    ) {
        let Some(interface) = self.facts.by_index(index).map(|interface| interface.link.name.clone()) else {
            return;
        };
        let owners: Vec<usize> = self.index.addresses.of(&address).iter().map(|(_, (i, _))| *i).collect();
        for i in owners {
            let is_here = addresses(&self.part.instances[i])
                .any(|vip| vip.address == address && vip.interface == interface);
            if is_here && self.runs[i].state == VrrpState::Master {
                self.machine(i, now, out).rival_announcement(address, mac, &interface);
            }
        }
    }
}
