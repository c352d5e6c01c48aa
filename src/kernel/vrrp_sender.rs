//! The raw sockets that adverts leave by: one per interface and family. They receive nothing.
//!
//! spec/vrrp-behaviour.md §1.1. For IPv4 the whole packet is the caller's, IP header included; for IPv6 the kernel writes
//! header and checksum, and source and hop limit travel beside the packet.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::error::{Doing, Error};
use super::many::{self, Datagram};
use super::vrrp_socket::{DROP_ALL, IPPROTO_VRRP, checksum_v6, interface_name};
use crate::config::model::Family;

/// Traffic class of adverts: internetwork control.
const CLASS_CONTROL: u32 = 0xc0;
/// Room for the adverts of 255 instances at once on an interface that sends slowly.
const BUFFER: usize = 1 << 20;

/// A send socket.
pub struct Sender {
    socket: Socket,
    index: u32,
}

/// Where a packet goes and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Source address; in an IPv4 packet it is written already.
    pub source: IpAddr,
    /// Group (sent on the link) or host (sent as routed), of the same family.
    pub destination: IpAddr,
    /// Hop limit for IPv6; `None` is the kernel's. In an IPv4 packet it is written already.
    pub hop_limit: Option<u8>,
}

impl Route {
    /// Groups are on the link; hosts are where the routes say.
    fn flags(self) -> libc::c_int {
        if self.destination.is_multicast() { libc::MSG_DONTROUTE } else { 0 }
    }
}

/// A packet on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Kernel index of the interface it shall leave by, 0 for as routed: that of its [`Sender`].
    pub index: u32,
    /// Where it goes and how.
    pub route: Route,
    /// For IPv4 the whole packet, for IPv6 its payload.
    pub bytes: Vec<u8>,
}

impl Sender {
    /// Opens a sender on the interface with this index (`None`: as routed).
    pub fn open(family: Family, index: Option<NonZeroU32>) -> Result<Self, Error> {
        let socket = match family {
            Family::V4 => Self::build_v4(index),
            Family::V6 => Self::build_v6(index),
        };
        socket
            .inspect(|socket| many::send_buffer(socket, BUFFER))
            .map(|socket| Self { socket, index: index.map_or(0, NonZeroU32::get) })
            .doing(|| format!("opening a VRRP send socket on {}", interface_name(index)))
    }

    fn build_v4(index: Option<NonZeroU32>) -> io::Result<Socket> {
        let kind = Type::RAW.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::IPV4, kind, Some(Protocol::from(IPPROTO_VRRP)))?;
        socket.attach_filter(&DROP_ALL)?;
        socket.set_recv_buffer_size(0)?;
        socket.set_header_included_v4(true)?;
        socket.set_tos_v4(CLASS_CONTROL)?;
        socket.set_multicast_loop_v4(false)?;
        if index.is_some() {
            socket.bind_device_by_index_v4(index)?;
        }
        Ok(socket)
    }

    fn build_v6(index: Option<NonZeroU32>) -> io::Result<Socket> {
        let kind = Type::RAW.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::IPV6, kind, Some(Protocol::from(IPPROTO_VRRP)))?;
        socket.attach_filter(&DROP_ALL)?;
        socket.set_recv_buffer_size(0)?;
        checksum_v6(&socket)?;
        socket.set_tclass_v6(CLASS_CONTROL)?;
        socket.set_multicast_loop_v6(false)?;
        if index.is_some() {
            socket.bind_device_by_index_v6(index)?;
        }
        Ok(socket)
    }

    /// Sends these in order; an error if one could not be sent, which keeps no other.
    pub fn send(&self, packets: &[Outgoing]) -> Result<(), Error> {
        let mut outcome = Ok(());
        for some in packets.chunk_by(|a, b| a.route.flags() == b.route.flags()) {
            for some in some.chunks(many::MOST) {
                outcome = outcome.and(self.send_some(some));
            }
        }
        outcome
    }

    /// All with the same flags.
    fn send_some(&self, packets: &[Outgoing]) -> Result<(), Error> {
        let Some(first) = packets.first() else { return Ok(()) };
        let doing = |packet: &Outgoing| format!("sending an advert to {}", packet.route.destination);
        let places: Vec<(SockAddr, Vec<u8>)> =
            packets.iter().map(|packet| self.place(packet.route)).collect();
        let datagrams: Vec<Datagram<'_>> = packets
            .iter()
            .zip(&places)
            .map(|(Outgoing { bytes, .. }, (to, beside))| Datagram { to, bytes, beside })
            .collect();
        let mut outcome = Ok(());
        let done = many::send(&self.socket, &datagrams, first.route.flags(), |place, errno| {
            outcome = Err(Error::new(doing(&packets[place]), errno));
        });
        match packets.get(done) {
            // Nobody waits for an advert: the next one is better than a late one.
            Some(left) => Err(Error::new(doing(left), Errno::EAGAIN)),
            None => outcome,
        }
    }

    fn place(&self, route: Route) -> (SockAddr, Vec<u8>) {
        match (route.destination, route.source) {
            (IpAddr::V6(to), IpAddr::V6(from)) => (
                SocketAddrV6::new(to, 0, 0, self.index).into(),
                many::header_v6(from, self.index, route.hop_limit),
            ),
            // The packet itself says the rest.
            (to, _) => (SocketAddr::from((to, 0)).into(), Vec::new()),
        }
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
