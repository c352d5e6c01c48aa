//! Which addresses are on this host: what `ha_suspend` goes by (spec/checkers.md §15).

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;

use neli::consts::socket::NlFamily;
use tracing::info;

use crate::config::model::SocketBuffers;
use crate::kernel::address::{self, Address};
use crate::kernel::buffers::set_receive_buffer;
use crate::kernel::error::Error;
use crate::kernel::monitor::{Event, Monitor};
use crate::kernel::netlink::Connection;
use crate::kernel::readiness::Watched;

/// An address came to this host (true), or is on none of its interfaces any more.
pub(super) type Change = (IpAddr, bool);

/// Watches them.
pub(super) struct Hosted {
    monitor: Watched<Monitor>,
    connection: Connection,
    /// Every occurrence: an address may lie on two interfaces.
    there: HashSet<(u32, IpAddr, u8)>,
    buffer: Vec<u8>,
}

impl Hosted {
    /// Begins to watch, and says what is there. Needs a tokio runtime.
    pub(super) fn open(buffers: &SocketBuffers) -> Result<(Self, Vec<Change>), Error> {
        let monitor = Monitor::open()?;
        set_receive_buffer(&monitor, buffers.lvs_monitor, "the checkers' netlink monitor")?;
        let monitor = Watched::readable_only(monitor)?;
        let connection = Connection::open(NlFamily::Route)?;
        connection.set_receive_buffer(buffers.lvs_command, "the checkers' netlink socket")?;
        let buffer = vec![0; Monitor::DATAGRAM];
        let mut hosted = Self { monitor, connection, there: HashSet::new(), buffer };
        let changes = hosted.compare();
        Ok((hosted, changes))
    }

    /// Reads all addresses anew.
    fn compare(&mut self) -> Vec<Change> {
        let found = match address::dump(&mut self.connection) {
            Ok(found) => found,
            Err(error) => {
                info!("{error}");
                return Vec::new();
            }
        };
        let now: HashSet<_> = found.iter().filter(|it| it.is_usable()).map(key).collect();
        let gone: Vec<_> = self.there.difference(&now).copied().collect();
        let come: Vec<_> = now.difference(&self.there).copied().collect();
        let gone = gone.into_iter().filter_map(|key| self.note(key, false)).collect::<Vec<_>>();
        gone.into_iter().chain(come.into_iter().filter_map(|key| self.note(key, true))).collect()
    }

    /// A change only if it is the first occurrence of the address, or was the last.
    fn note(&mut self, key: (u32, IpAddr, u8), present: bool) -> Option<Change> {
        let others =
            |there: &HashSet<(u32, IpAddr, u8)>| there.iter().any(|(_, address, _)| *address == key.1);
        if present {
            let known = others(&self.there);
            self.there.insert(key);
            (!known).then_some((key.1, true))
        } else {
            (self.there.remove(&key) && !others(&self.there)).then_some((key.1, false))
        }
    }
}

fn key(address: &Address) -> (u32, IpAddr, u8) {
    (address.index, address.address, address.prefix)
}

/// The next changes. Never returns while nothing is watched. Safe to cancel.
pub(super) async fn changes(hosted: &mut Option<Hosted>) -> Vec<Change> {
    let Some(hosted) = hosted else { return std::future::pending().await };
    loop {
        let mut events = Vec::new();
        let Hosted { monitor, buffer, .. } = hosted;
        let read = std::future::poll_fn(|context| {
            monitor.poll_read(context, |monitor| monitor.read(buffer, &mut events))
        });
        if let Err(error) = read.await
            && error.kind() != io::ErrorKind::WouldBlock
        {
            info!("reading address notifications: {error}");
        }
        let mut changes = Vec::new();
        for event in events {
            match event {
                // It is told again when duplicate address detection is over.
                Event::Address(address) if !address.is_usable() => {}
                Event::Address(address) => changes.extend(hosted.note(key(&address), true)),
                Event::AddressGone { address, .. } => changes.extend(hosted.note(key(&address), false)),
                Event::Resync => changes.extend(hosted.compare()),
                _ => {}
            }
        }
        if !changes.is_empty() {
            return changes;
        }
    }
}
