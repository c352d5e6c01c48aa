//! Gratuitous ARP by a packet socket: stock's frame to the byte (spec/vrrp-behaviour.md §7).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use socket2::{Domain, Socket, Type};

use super::error::{Doing, Error};

const ETH_P_ARP: u16 = 0x0806;
const BROADCAST: [u8; 6] = [0xff; 6];

/// Sends ARP frames on any interface; receives nothing.
pub struct ArpSocket {
    socket: Socket,
}

impl ArpSocket {
    /// Opens the socket.
    pub fn open() -> Result<Self, Error> {
        // Protocol 0: the socket gets no packets at all.
        Socket::new_raw(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)
            .map(|socket| Self { socket })
            .doing(|| "opening an ARP socket")
    }

    /// Announces `address` at `mac` on the interface with this index. An interface whose hardware address is not six
    /// bytes long speaks no ARP that we know: `EAFNOSUPPORT`.
    pub fn announce(&self, index: u32, mac: &[u8], address: Ipv4Addr) -> Result<(), Error> {
        let doing = || format!("sending a gratuitous ARP for {address} on interface {index}");
        let mac = <[u8; 6]>::try_from(mac).map_err(|_| Error::new(doing(), Errno::EAFNOSUPPORT))?;
        self.send(index, &gratuitous(mac, address)).doing(doing)
    }

    fn send(&self, index: u32, frame: &[u8]) -> io::Result<()> {
        let index = i32::try_from(index).map_err(|_| Errno::ENODEV)?;
        // SAFETY: all zero is a valid `sockaddr_ll`.
        let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        to.sll_family = u16::try_from(libc::AF_PACKET).expect("AF_PACKET is 17");
        to.sll_protocol = ETH_P_ARP.to_be();
        to.sll_ifindex = index;
        to.sll_halen = 6;
        to.sll_addr[..6].copy_from_slice(&BROADCAST);
        let length = libc::socklen_t::try_from(size_of_val(&to)).expect("an address is small");
        // SAFETY: frame and address are live for the call and their lengths are theirs.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const to).cast(),
                length,
            )
        };
        Errno::result(sent).map(drop).map_err(Into::into)
    }
}

/// A broadcast *request* whose sender and target are the address, and whose target hardware address is all ones.
///
/// ```text
///  0  destination ff×6   source mac        type 0806
/// 14  hardware 1  protocol 0800  lengths 6, 4  operation 1
/// 22  sender mac, address        target ff×6, address
/// ```
pub fn gratuitous(mac: [u8; 6], address: Ipv4Addr) -> [u8; 42] {
    let mut frame = [0; 42];
    frame[..6].copy_from_slice(&BROADCAST);
    frame[6..12].copy_from_slice(&mac);
    frame[12..14].copy_from_slice(&ETH_P_ARP.to_be_bytes());
    frame[14..22].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&mac);
    frame[28..32].copy_from_slice(&address.octets());
    frame[32..38].copy_from_slice(&BROADCAST);
    frame[38..].copy_from_slice(&address.octets());
    frame
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use socket2::Protocol;

    use super::*;
    use crate::kernel::testing::{in_namespace, wire};

    #[test]
    fn the_frame_has_stocks_bytes() {
        let frame = gratuitous([2, 0, 0, 0, 0, 0x0a], Ipv4Addr::new(192, 0, 2, 11));
        let expected = [
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2].as_slice(),
            &[0, 0, 0, 0, 0x0a, 8, 6],
            &[0, 1, 8, 0, 6, 4, 0, 1],
            &[2, 0, 0, 0, 0, 0x0a, 192, 0, 2, 11],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 192, 0, 2, 11],
        ]
        .concat();
        assert_eq!(frame.as_slice(), expected);
    }

    #[test]
    fn the_far_end_of_the_wire_sees_the_frame() {
        in_namespace(|| {
            wire("va", "vc");
            let protocol = Protocol::from(i32::from(ETH_P_ARP.to_be()));
            let kind = Type::RAW.nonblocking();
            let listener = Socket::new_raw(Domain::PACKET, kind, Some(protocol)).unwrap();
            let index = nix::net::if_::if_nametoindex("va").unwrap();
            let (mac, address) = ([2, 0, 0, 0, 0, 1], Ipv4Addr::new(10, 0, 0, 1));
            ArpSocket::open().unwrap().announce(index, &mac, address).unwrap();
            let mut buffer = [MaybeUninit::uninit(); 128];
            let length = listener.recv(&mut buffer).unwrap();
            // SAFETY: `recv` filled this much.
            let seen = unsafe { buffer[..length].assume_init_ref() };
            assert_eq!(seen, gratuitous(mac, address));
            let refused = ArpSocket::open().unwrap().announce(index, &[], address).unwrap_err();
            assert_eq!(refused.errno, Errno::EAFNOSUPPORT);
        });
    }
}
