//! Hears of others who announce the addresses that our masters hold, and cannot be kept busy with it: after every
//! claim the sockets are deaf for a second.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tracing::info;

use crate::kernel::error::Error;
use crate::kernel::guard::Guard;
use crate::kernel::ready_set::ReadySet;
use crate::time::Time;
use crate::vrrp::Event;

/// Deaf for so long after a claim.
const PAUSE: Duration = Duration::from_secs(1);
/// What waits in a socket when it becomes deaf is thrown away, at most so many at a time.
const LEFT: usize = 256;

/// The sockets and what they watch.
#[derive(Default)]
pub(super) struct Guards {
    /// For IPv4 and IPv6, each opened when it is first needed and never closed: closing one takes the kernel long.
    sockets: [Slot; 2],
    /// In order.
    watched: Vec<(u32, IpAddr)>,
    deaf_until: Option<Time>,
    /// What is to be watched has changed.
    is_stale: bool,
}

#[derive(Default)]
enum Slot {
    #[default]
    Closed,
    Open(Guard),
    /// Told once.
    Refused,
}

impl Guards {
    /// The masters may hold other addresses now.
    pub(super) fn outdate(&mut self) {
        self.is_stale = true;
    }

    /// Must [`Guards::refresh`] be called?
    pub(super) fn has_to_do(&self, now: Time) -> bool {
        self.is_stale || self.deaf_until.is_some_and(|until| until <= now)
    }

    /// Watches these addresses, and listens again after a pause. `number` is the sockets' first number in `set`.
    pub(super) fn refresh(&mut self, now: Time, mut held: Vec<(u32, IpAddr)>, set: &ReadySet, number: u64) {
        self.is_stale = false;
        held.sort_unstable();
        held.dedup();
        held.shrink_to_fit();
        let is_deaf = self.deaf_until.is_some_and(|until| until > now);
        let hears_again = self.deaf_until.is_some() && !is_deaf;
        if hears_again {
            self.deaf_until = None;
        }
        if held == self.watched && !hears_again {
            return;
        }
        self.watched = held;
        if !is_deaf {
            self.listen(set, number);
        }
    }

    fn listen(&mut self, set: &ReadySet, number: u64) {
        for ((slot, number), family) in self.sockets.iter_mut().zip(number..).zip([4, 6]) {
            let mut addresses = self
                .watched
                .iter()
                .map(|(_, address)| *address)
                .filter(|address| address.is_ipv4() == (family == 4))
                .peekable();
            if matches!(slot, Slot::Closed) && addresses.peek().is_some() {
                *slot = open(family, set, number).map_or_else(
                    |error| {
                        info!("{error}; other masters are noticed from their adverts only");
                        Slot::Refused
                    },
                    Slot::Open,
                );
            }
            if let Slot::Open(guard) = slot
                && let Err(error) = guard.watch(addresses)
            {
                info!("{error}");
            }
        }
    }

    /// Gives away the sockets: nothing is watched any more.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Guard> {
        let taken = std::mem::replace(&mut self.sockets, [Slot::Refused, Slot::Refused]);
        taken.into_iter().filter_map(|slot| match slot {
            Slot::Open(guard) => Some(guard),
            Slot::Closed | Slot::Refused => None,
        })
    }

    /// What came by these sockets; `is_ours` knows our own hardware addresses.
    pub(super) fn claims(
        &mut self,
        now: Time,
        ready: impl Fn(u64) -> bool,
        number: u64,
        is_ours: impl Fn(&[u8]) -> bool,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        for (slot, number) in self.sockets.iter().zip(number..) {
            let Slot::Open(guard) = slot else { continue };
            if !ready(number) {
                continue;
            }
            if let Err(error) = guard.watch(std::iter::empty()) {
                info!("{error}");
            }
            self.deaf_until = Some(now + PAUSE);
            let mut claimed: HashSet<(u32, IpAddr)> = HashSet::new();
            for _ in 0..LEFT {
                match guard.receive() {
                    Ok(Some(claim)) => {
                        let place = (claim.index, claim.address);
                        if self.watched.binary_search(&place).is_ok()
                            && !is_ours(&claim.mac)
                            && claimed.insert(place)
                        {
                            let (index, address) = place;
                            events.push(Event::Conflict { index, address, mac: claim.mac.to_vec() });
                        }
                    }
                    Ok(None) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        info!("watching for other masters: {error}");
                        break;
                    }
                }
            }
        }
        events
    }
}

fn open(family: u8, set: &ReadySet, number: u64) -> Result<Guard, Error> {
    let guard = if family == 4 { Guard::arp() } else { Guard::neighbours() }?;
    set.add(&guard, number)?;
    Ok(guard)
}
