//! Unsolicited neighbour advertisements: what gratuitous ARP is for IPv4 (RFC 4861 §7.2.6, spec/vrrp-behaviour.md §7).

use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::error::{Doing, Error};
use super::many::{self, Datagram};
use super::vrrp_socket::DROP_ALL;

/// All nodes on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Neighbour discovery is valid with no other hop limit (RFC 4861 §7.1.2).
const HOP_LIMIT: u8 = 255;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const FLAG_ROUTER: u8 = 0x80;
const FLAG_OVERRIDE: u8 = 0x20;
const OPTION_TARGET_LINK_ADDRESS: u8 = 2;
/// Room for the announcements of some thousand addresses on an interface that sends slowly.
const BUFFER: usize = 4 << 20;

/// Does the announcing interface forward packets?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// It does.
    Router,
    /// It does not.
    Host,
}

/// An IPv6 address at a hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// Kernel index of the interface to send on.
    pub index: u32,
    /// The hardware address.
    pub mac: [u8; 6],
    /// The address.
    pub address: Ipv6Addr,
    /// What the interface is.
    pub node: Node,
}

/// Sends neighbour advertisements on any interface; receives nothing.
pub struct NeighbourSocket {
    socket: Socket,
}

impl NeighbourSocket {
    /// Opens the socket. `EAFNOSUPPORT` on a host without IPv6.
    pub fn open() -> Result<Self, Error> {
        let doing = || "opening a neighbour discovery socket";
        let kind = Type::RAW.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::IPV6, kind, Some(Protocol::ICMPV6)).doing(doing)?;
        socket.attach_filter(&DROP_ALL).doing(doing)?;
        socket.set_multicast_loop_v6(false).doing(doing)?;
        many::send_buffer(&socket, BUFFER);
        Ok(Self { socket })
    }

    /// Announces these, which must be on their interfaces, in order, and tells `refused` what could not be sent. When the
    /// socket is full the rest is left: the number of those that were dealt with is returned.
    pub fn announce(&self, announcements: &[Announcement], mut refused: impl FnMut(Error)) -> usize {
        many::in_parts(announcements, |some| self.announce_some(some, &mut refused))
    }

    fn announce_some(&self, announcements: &[Announcement], refused: &mut impl FnMut(Error)) -> usize {
        let made: Vec<_> = announcements
            .iter()
            .map(|Announcement { index, mac, address, node }| {
                let to = SockAddr::from(SocketAddrV6::new(ALL_NODES, 0, 0, *index));
                (to, unsolicited(*mac, *address, *node), many::header_v6(*address, *index, Some(HOP_LIMIT)))
            })
            .collect();
        let datagrams: Vec<Datagram<'_>> =
            made.iter().map(|(to, bytes, beside)| Datagram { to, bytes, beside }).collect();
        many::send(&self.socket, &datagrams, libc::MSG_DONTROUTE, |place, errno| {
            let Announcement { index, address, .. } = announcements[place];
            let doing =
                format!("sending an unsolicited neighbour advertisement for {address} on interface {index}");
            refused(Error::new(doing, errno));
        })
    }

    /// Waits until the socket takes more, as long as this at most.
    pub fn wait(&self, limit: Duration) {
        many::wait_writable(&self.socket, limit);
    }
}

/// The ICMPv6 message; the kernel fills in the checksum.
///
/// ```text
///  0  type 136  code 0  checksum        4  flags R.O.....  reserved
///  8  target address (16)              24  option 2, length 1 (8 bytes), mac (6)
/// ```
pub fn unsolicited(mac: [u8; 6], address: Ipv6Addr, node: Node) -> [u8; 32] {
    let mut packet = [0; 32];
    packet[0] = NEIGHBOUR_ADVERTISEMENT;
    packet[4] = match node {
        Node::Router => FLAG_ROUTER | FLAG_OVERRIDE,
        Node::Host => FLAG_OVERRIDE,
    };
    packet[8..24].copy_from_slice(&address.octets());
    packet[24] = OPTION_TARGET_LINK_ADDRESS;
    packet[25] = 1;
    packet[26..].copy_from_slice(&mac);
    packet
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{MsgFlags, recv};

    use super::*;
    use crate::kernel::testing::{eventually, in_namespace, run, wire};

    #[test]
    fn the_far_end_of_the_wire_sees_a_valid_unsolicited_advertisement() {
        in_namespace(|| {
            wire("va", "vc");
            run("ip addr add 2001:db8::1/64 dev va nodad");
            let kind = Type::RAW.nonblocking();
            let protocol = Protocol::from(i32::from(0x86dd_u16.to_be()));
            let listener = Socket::new_raw(Domain::PACKET, kind, Some(protocol)).unwrap();
            let index = nix::net::if_::if_nametoindex("va").unwrap();
            let (mac, address) = ([2, 0, 0, 0, 0, 1], "2001:db8::1".parse().unwrap());
            let socket = NeighbourSocket::open().unwrap();
            let ours = Announcement { index, mac, address, node: Node::Host };
            // One whose address is nowhere, before it.
            let other = Announcement { address: "2001:db8::2".parse().unwrap(), ..ours };
            let mut refused = 0;
            assert_eq!(socket.announce(&[other, ours], |_| refused += 1), 2);
            assert_eq!(refused, 1);
            let mut frame = [0; 256];
            eventually(|| {
                // Multicast listener reports and the like pass by too.
                let read = recv(listener.as_raw_fd(), &mut frame, MsgFlags::empty());
                read.is_ok() && frame[54] == NEIGHBOUR_ADVERTISEMENT
            });
            assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
            let (ip, icmp) = (&frame[14..54], &frame[54..86]);
            assert_eq!(ip[7], 255, "hop limit");
            assert_eq!(ip[8..24], address.octets());
            let mut expected = unsolicited(mac, address, Node::Host);
            expected[2..4].copy_from_slice(&icmp[2..4]);
            assert_eq!(icmp, expected);
            assert_ne!(icmp[2..4], [0, 0], "the kernel fills in the checksum");
        });
    }
}
