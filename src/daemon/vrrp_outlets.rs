//! What the vrrp process puts on the wire: adverts, gratuitous ARPs and neighbour advertisements, many with one system
//! call. When and for what is said elsewhere.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{debug, info};

use crate::config::model::Family;
use crate::kernel::arp::{self, ArpSocket};
use crate::kernel::error::Error;
use crate::kernel::neighbour::{self, NeighbourSocket, Node};
use crate::kernel::vrrp_sender::{Outgoing, Route, Sender};
use crate::kernel::{sysctl, timer};
use crate::time::Time;

/// So old may be what is known of an interface's forwarding.
const NODE_AGE: Duration = Duration::from_secs(5);
/// How long a full socket is waited for at a time.
const WAIT: Duration = Duration::from_millis(1);
/// So often in a row; then what it does not take is given up, because other work waits behind it.
const PATIENCE: u32 = 200;

/// Where adverts leave by.
type Place = (u32, Family);

/// What is known of an interface.
pub(super) struct Known {
    pub(super) name: String,
    pub(super) mac: Vec<u8>,
    /// Does it forward IPv6? As of this moment.
    node: Option<(Node, Time)>,
}

impl Known {
    pub(super) fn new(name: String, mac: Vec<u8>) -> Self {
        Self { name, mac, node: None }
    }

    /// Asked again when the answer is five seconds old, as stock does.
    fn node(&mut self) -> Node {
        let now = timer::now();
        match self.node {
            Some((node, asked)) if now.since(asked) < NODE_AGE => node,
            _ => {
                let forwards = sysctl::read_v6(&self.name, "forwarding").is_ok_and(|value| value != "0");
                let node = if forwards { Node::Router } else { Node::Host };
                self.node = Some((node, now));
                node
            }
        }
    }
}

/// The sockets, and the adverts that leave next.
pub(super) struct Outlets {
    /// Until the end.
    arp: Option<ArpSocket>,
    /// Opened when it is first needed: a host may be without IPv6.
    neighbours: Option<NeighbourSocket>,
    senders: HashMap<Place, Sender>,
    /// Interfaces on which the last advert could not be sent; told once.
    mute: Vec<Place>,
    adverts: Vec<Outgoing>,
    /// How often in a row a socket for announcements was full.
    full: u32,
}

impl Outlets {
    /// Opens what does not depend on the configuration.
    pub(super) fn open() -> Result<Self, Error> {
        Ok(Self {
            arp: Some(ArpSocket::open()?),
            neighbours: None,
            senders: HashMap::new(),
            mute: Vec::new(),
            adverts: Vec::new(),
            full: 0,
        })
    }

    /// Has an advert leave with the next [`Self::flush`].
    pub(super) fn advert(&mut self, index: u32, route: Route, bytes: Vec<u8>) {
        self.adverts.push(Outgoing { index, route, bytes });
    }

    /// Sends all adverts, those of one interface in order.
    pub(super) fn flush(&mut self) {
        if self.adverts.is_empty() {
            return;
        }
        let mut adverts = std::mem::take(&mut self.adverts);
        let place = |advert: &Outgoing| (advert.index, Family::of(advert.route.destination));
        adverts.sort_by_key(place);
        for some in adverts.chunk_by(|a, b| place(a) == place(b)) {
            let place = place(&some[0]);
            let result = self.sender(place).and_then(|sender| sender.send(some));
            let told = self.mute.iter().position(|mute| *mute == place);
            match (result, told) {
                (Ok(()), Some(place)) => {
                    self.mute.swap_remove(place);
                }
                (Err(error), None) => {
                    info!("{error}");
                    self.mute.push(place);
                }
                (Ok(()), None) | (Err(_), Some(_)) => {}
            }
        }
        adverts.clear();
        self.adverts = adverts;
    }

    /// Opens the sockets that adverts leave by here, if need be.
    pub(super) fn prepare(&mut self, place: Place) {
        if let Err(error) = self.sender(place) {
            info!("{error}");
        }
    }

    /// Closes those of other places.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&Place) -> bool) {
        self.senders.retain(|place, _| is_wanted(place));
        self.mute.retain(is_wanted);
    }

    /// Gives away the socket for gratuitous ARP: none is sent any more.
    pub(super) fn take_arp(&mut self) -> Option<ArpSocket> {
        self.arp.take()
    }

    /// The number of the socket that adverts leave by here; -1 if there is none.
    pub(super) fn descriptor(&self, place: Place) -> i32 {
        self.senders.get(&place).map_or(-1, |sender| sender.as_fd().as_raw_fd())
    }

    fn sender(&mut self, place: Place) -> Result<&Sender, Error> {
        match self.senders.entry(place) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(slot) => {
                let (index, family) = place;
                Ok(slot.insert(Sender::open(family, NonZeroU32::new(index))?))
            }
        }
    }

    /// Announces these, in order, on interfaces that are known. What a full socket did not take is returned, after a
    /// millisecond.
    pub(super) fn announce(
        &mut self,
        links: &mut HashMap<u32, Known>,
        targets: &[(u32, IpAddr)],
    ) -> Vec<(u32, IpAddr)> {
        let mut done = 0;
        for some in targets.chunk_by(|(_, a), (_, b)| a.is_ipv4() == b.is_ipv4()) {
            let is_v4 = some.first().is_some_and(|(_, address)| address.is_ipv4());
            let sent = if is_v4 { self.announce_v4(links, some) } else { self.announce_v6(links, some) };
            done += sent;
            if sent < some.len() {
                return self.after(&targets[done..], is_v4);
            }
        }
        self.full = 0;
        Vec::new()
    }

    /// How many of them were dealt with.
    fn announce_v4(&mut self, links: &HashMap<u32, Known>, targets: &[(u32, IpAddr)]) -> usize {
        let (mut places, mut arps) = (Vec::new(), Vec::new());
        for (place, (index, address)) in targets.iter().enumerate() {
            if let (IpAddr::V4(v4), Some(mac)) = (*address, mac_of(links.get(index), *address)) {
                places.push(place);
                arps.push(arp::Announcement { index: *index, mac, address: v4 });
            }
        }
        let Some(arp) = &self.arp else { return targets.len() };
        let sent = arp.announce(&arps, |error| info!("{error}"));
        if LevelFilter::current() >= LevelFilter::DEBUG {
            for arp::Announcement { index, address, .. } in &arps[..sent] {
                debug!("Sending gratuitous ARP on {} for {address}", name_of(links, *index));
            }
        }
        places.get(sent).copied().unwrap_or(targets.len())
    }

    /// The same.
    fn announce_v6(&mut self, links: &mut HashMap<u32, Known>, targets: &[(u32, IpAddr)]) -> usize {
        let (mut places, mut adverts) = (Vec::new(), Vec::new());
        for (place, (index, address)) in targets.iter().enumerate() {
            if let (IpAddr::V6(v6), Some(mac)) = (*address, mac_of(links.get(index), *address))
                && let Some(node) = links.get_mut(index).map(Known::node)
            {
                places.push(place);
                adverts.push(neighbour::Announcement { index: *index, mac, address: v6, node });
            }
        }
        let sent = match self.neighbour_socket() {
            Ok(socket) => socket.announce(&adverts, |error| info!("{error}")),
            Err(error) => {
                info!("{error}");
                return targets.len();
            }
        };
        if LevelFilter::current() >= LevelFilter::DEBUG {
            for neighbour::Announcement { index, address, .. } in &adverts[..sent] {
                debug!("Sending unsolicited Neighbour Advert on {} for {address}", name_of(links, *index));
            }
        }
        places.get(sent).copied().unwrap_or(targets.len())
    }

    /// Waits a little for what is left to be taken, but not for ever.
    fn after(&mut self, left: &[(u32, IpAddr)], is_v4: bool) -> Vec<(u32, IpAddr)> {
        self.full += 1;
        if self.full > PATIENCE {
            self.full = 0;
            info!("{} announcements are given up: the interface sends nothing", left.len());
            return Vec::new();
        }
        match &self.neighbours {
            Some(socket) if !is_v4 => socket.wait(WAIT),
            _ => self.arp.iter().for_each(|arp| arp.wait(WAIT)),
        }
        left.to_vec()
    }

    fn neighbour_socket(&mut self) -> Result<&NeighbourSocket, Error> {
        match &mut self.neighbours {
            Some(socket) => Ok(socket),
            none => Ok(none.insert(NeighbourSocket::open()?)),
        }
    }
}

/// The hardware address of an interface that is known. One that is not six bytes long speaks no ARP that we know.
fn mac_of(known: Option<&Known>, address: IpAddr) -> Option<[u8; 6]> {
    let known = known?;
    let mac = <[u8; 6]>::try_from(known.mac.as_slice()).ok();
    if mac.is_none() {
        info!("{address} on {} is not announced: its hardware address is another kind", known.name);
    }
    mac
}

fn name_of(links: &HashMap<u32, Known>, index: u32) -> &str {
    links.get(&index).map_or("?", |known| known.name.as_str())
}
