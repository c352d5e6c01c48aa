//! The UDP sockets of BFD: one listener per port and family, one sender per session (RFC 5881 §4; spec/bfd.md §2).
//!
//! A listener tells TTL and destination of every datagram: what they must be is the core's business.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::error::{Doing, Error};
use super::readiness::Steady;
use super::sysctl;
use crate::config::model::{BfdSession, Family};

/// Single hop (RFC 5881 §4).
pub const PORT: u16 = 3784;
/// Multihop (RFC 5883 §5).
pub const MULTIHOP_PORT: u16 = 4784;
/// Where source ports may lie (RFC 5881 §4).
const SOURCE_PORTS: RangeInclusive<u16> = 49152..=65535;
/// With fewer ports left by the host's own range, stock takes the whole of [`SOURCE_PORTS`].
const FEWEST_PORTS: u16 = 1024;
/// Longer than any packet that is taken.
const DATAGRAM: usize = 256;

/// Hears one port in one family.
pub struct Listener {
    socket: Socket,
    family: Family,
}

/// A datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Its sender.
    pub source: IpAddr,
    /// Our address.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The payload; one that is longer than any BFD packet is cut.
    pub bytes: Vec<u8>,
}

impl Listener {
    /// Binds the wildcard address.
    pub fn open(family: Family, port: u16) -> Result<Self, Error> {
        Self::build(family, port).doing(|| format!("listening on UDP port {port}"))
    }

    fn build(family: Family, port: u16) -> io::Result<Self> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let (domain, any): (_, IpAddr) = match family {
            Family::V4 => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
            Family::V6 => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
        };
        let socket = Socket::new(domain, kind, Some(Protocol::UDP))?;
        match family {
            Family::V4 => {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
                setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
            }
            Family::V6 => {
                socket.set_only_v6(true)?;
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
                socket.set_recv_hoplimit_v6(true)?;
            }
        }
        socket.bind(&SocketAddr::new(any, port).into())?;
        Ok(Self { socket, family })
    }

    /// Its family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Reads one datagram; `WouldBlock` when none is there.
    pub fn receive(&self) -> io::Result<Datagram> {
        let mut buffer = [0; DATAGRAM];
        loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let mut ancillary = nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo, libc::c_int);
            let message = match recvmsg::<SockaddrStorage>(
                self.socket.as_raw_fd(),
                &mut parts,
                Some(&mut ancillary),
                MsgFlags::empty(),
            ) {
                Ok(message) => message,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let (mut ttl, mut destination) = (0, None);
            for part in message.cmsgs()? {
                match part {
                    ControlMessageOwned::Ipv4Ttl(hops) | ControlMessageOwned::Ipv6HopLimit(hops) => {
                        ttl = u8::try_from(hops).unwrap_or(0);
                    }
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        destination = Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()));
                    }
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        destination = Some(IpAddr::from(info.ipi6_addr.s6_addr));
                    }
                    _ => {}
                }
            }
            let source = message.address.as_ref().and_then(|address| match self.family {
                Family::V4 => Some(IpAddr::from(address.as_sockaddr_in()?.ip())),
                Family::V6 => Some(IpAddr::from(address.as_sockaddr_in6()?.ip())),
            });
            let length = message.bytes;
            // Without these two a packet cannot be judged: the next one, then.
            if let (Some(source), Some(destination)) = (source, destination) {
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                return Ok(Datagram { source, destination, ttl, bytes });
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

// SAFETY: the one descriptor is `socket`'s, which nothing replaces.
unsafe impl Steady for Listener {}

/// Sends the packets of one session.
pub struct Sender {
    socket: Socket,
}

impl Sender {
    /// A socket towards the neighbor. With a source address it is bound there, to a port of RFC 5881's range; `random`
    /// chooses where the search for a free one begins.
    pub fn open(session: &BfdSession, random: u32) -> Result<Self, Error> {
        Self::build(session, random).doing(|| format!("opening a BFD socket towards {}", session.neighbor))
    }

    fn build(session: &BfdSession, random: u32) -> io::Result<Self> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let domain = if session.neighbor.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, kind, Some(Protocol::UDP))?;
        if session.neighbor.is_ipv4() {
            socket.set_ttl_v4(u32::from(session.ttl))?;
        } else {
            socket.set_unicast_hops_v6(u32::from(session.ttl))?;
        }
        // It only sends.
        socket.set_recv_buffer_size(0)?;
        if let Some(source) = session.source {
            bind(&socket, source, &source_ports(), random)?;
        }
        let port = if session.multihop { MULTIHOP_PORT } else { PORT };
        socket.connect(&SocketAddr::new(session.neighbor, port).into())?;
        Ok(Self { socket })
    }

    /// Sends one packet.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        // An earlier ICMP error is told by the next call: that one is spent.
        match self.socket.send(bytes) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.socket.send(bytes).map(drop)
            }
            sent => sent.map(drop),
        }
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Tries all ports from a random one on.
fn bind(socket: &Socket, source: IpAddr, ports: &RangeInclusive<u16>, random: u32) -> io::Result<()> {
    let count = u32::from(ports.end() - ports.start()) + 1;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for step in 0..count {
        let offset = (random % count + step) % count;
        let port = ports.start() + u16::try_from(offset).unwrap_or(0);
        match socket.bind(&SocketAddr::new(source, port).into()) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// RFC 5881's ports, as far as the host's own range allows.
fn source_ports() -> RangeInclusive<u16> {
    let text = sysctl::local_port_range().unwrap_or_default();
    let mut numbers = text.split_whitespace().map_while(|number| number.parse::<u16>().ok());
    let (Some(first), Some(last)) = (numbers.next(), numbers.next()) else { return SOURCE_PORTS };
    let both = first.max(*SOURCE_PORTS.start())..=last.min(*SOURCE_PORTS.end());
    if both.is_empty() || both.end() - both.start() < FEWEST_PORTS - 1 { SOURCE_PORTS } else { both }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kernel::testing::{eventually, in_namespace};

    fn session(neighbor: &str, source: Option<&str>, ttl: u8) -> BfdSession {
        BfdSession {
            neighbor: neighbor.parse().unwrap(),
            source: source.map(|source| source.parse().unwrap()),
            min_rx: Duration::from_millis(10),
            min_tx: Duration::from_millis(10),
            idle_tx: Duration::from_secs(1),
            multiplier: 5,
            passive: false,
            ttl,
            max_hops: 0,
            multihop: false,
        }
    }

    #[test]
    fn a_datagram_comes_with_its_ttl_and_both_addresses() {
        in_namespace(|| {
            for (family, address) in [(Family::V4, "127.0.0.1"), (Family::V6, "::1")] {
                let listener = Listener::open(family, PORT).unwrap();
                let sender = Sender::open(&session(address, Some(address), 77), 5).unwrap();
                let port = sender.socket.local_addr().unwrap().as_socket().unwrap().port();
                assert!(SOURCE_PORTS.contains(&port), "{port}");
                sender.send(b"hello").unwrap();
                let mut got = None;
                eventually(|| {
                    got = listener.receive().ok();
                    got.is_some()
                });
                let address = address.parse().unwrap();
                let wanted =
                    Datagram { source: address, destination: address, ttl: 77, bytes: b"hello".to_vec() };
                assert_eq!(got, Some(wanted));
                assert!(listener.receive().is_err(), "no other");
            }
        });
    }

    #[test]
    fn a_source_that_is_not_here_is_refused_with_its_reason() {
        in_namespace(|| {
            let error = Sender::open(&session("127.0.0.2", Some("192.0.2.7"), 255), 0).err().unwrap();
            assert!(error.to_string().starts_with("opening a BFD socket towards 127.0.0.2: "), "{error}");
        });
    }
}
