//! The raw sockets that adverts leave by: one per interface and family. They receive nothing.
//!
//! spec/vrrp-behaviour.md §1.1. For IPv4 the whole packet is the caller's, IP header included; for IPv6 the kernel writes
//! header and checksum, and source and hop limit travel beside the packet.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn6, sendmsg};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::error::{Doing, Error};
use super::vrrp_socket::{DROP_ALL, IPPROTO_VRRP, checksum_v6, interface_name};
use crate::config::model::Family;

/// Traffic class of adverts: internetwork control.
const CLASS_CONTROL: u32 = 0xc0;

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

impl Sender {
    /// Opens a sender on the interface with this index (`None`: as routed).
    pub fn open(family: Family, index: Option<NonZeroU32>) -> Result<Self, Error> {
        let socket = match family {
            Family::V4 => Self::build_v4(index),
            Family::V6 => Self::build_v6(index),
        };
        socket
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

    /// Sends one packet.
    pub fn send(&self, route: Route, packet: &[u8]) -> Result<(), Error> {
        let flags = if route.destination.is_multicast() { libc::MSG_DONTROUTE } else { 0 };
        let sent = match (route.destination, route.source) {
            (IpAddr::V6(to), IpAddr::V6(from)) => self.send_v6((from, to), route.hop_limit, flags, packet),
            (IpAddr::V4(to), _) => self.send_v4(to, flags, packet),
            (IpAddr::V6(_), IpAddr::V4(_)) => Err(nix::errno::Errno::EAFNOSUPPORT.into()),
        };
        sent.doing(|| format!("sending an advert to {}", route.destination))
    }

    fn send_v4(&self, to: Ipv4Addr, flags: i32, packet: &[u8]) -> io::Result<()> {
        let address = SockAddr::from(SocketAddr::from((to, 0)));
        self.socket.send_to_with_flags(packet, &address, flags).map(drop)
    }

    fn send_v6(
        &self,
        (from, to): (Ipv6Addr, Ipv6Addr),
        hop_limit: Option<u8>,
        flags: i32,
        packet: &[u8],
    ) -> io::Result<()> {
        send_v6(&self.socket, self.index, (from, to), hop_limit, flags, packet)
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sends the payload of an IPv6 packet with this source, on the interface with this index (0: as routed).
pub(super) fn send_v6(
    socket: &Socket,
    index: u32,
    (from, to): (Ipv6Addr, Ipv6Addr),
    hop_limit: Option<u8>,
    flags: i32,
    packet: &[u8],
) -> io::Result<()> {
    let address = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, index));
    let source =
        libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: from.octets() }, ipi6_ifindex: index };
    let hops = hop_limit.map(i32::from);
    let mut beside = vec![ControlMessage::Ipv6PacketInfo(&source)];
    beside.extend(hops.as_ref().map(ControlMessage::Ipv6HopLimit));
    let flags = MsgFlags::from_bits_retain(flags);
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(packet)], &beside, flags, Some(&address))?;
    Ok(())
}
