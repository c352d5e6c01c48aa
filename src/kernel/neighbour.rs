//! Unsolicited neighbour advertisements: what gratuitous ARP is for IPv4 (RFC 4861 §7.2.6, spec/vrrp-behaviour.md §7).

use std::net::Ipv6Addr;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::error::{Doing, Error};
use super::vrrp_sender::send_v6;
use super::vrrp_socket::DROP_ALL;

/// All nodes on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Neighbour discovery is valid with no other hop limit (RFC 4861 §7.1.2).
const HOP_LIMIT: u8 = 255;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const FLAG_ROUTER: u8 = 0x80;
const FLAG_OVERRIDE: u8 = 0x20;
const OPTION_TARGET_LINK_ADDRESS: u8 = 2;

/// Does the announcing interface forward packets?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// It does.
    Router,
    /// It does not.
    Host,
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
        Ok(Self { socket })
    }

    /// Announces `address`, which must be on the interface with this index, at `mac`.
    pub fn announce(&self, index: u32, mac: &[u8], address: Ipv6Addr, node: Node) -> Result<(), Error> {
        let doing =
            || format!("sending an unsolicited neighbour advertisement for {address} on interface {index}");
        let mac = <[u8; 6]>::try_from(mac).map_err(|_| Error::new(doing(), Errno::EAFNOSUPPORT))?;
        let packet = unsolicited(mac, address, node);
        let ends = (address, ALL_NODES);
        send_v6(&self.socket, index, ends, Some(HOP_LIMIT), libc::MSG_DONTROUTE, &packet).doing(doing)
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
            socket.announce(index, &mac, address, Node::Host).unwrap();
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
