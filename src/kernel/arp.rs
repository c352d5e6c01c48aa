//! Gratuitous ARP by a packet socket: stock's frame to the byte (spec/vrrp-behaviour.md §7).

use std::net::Ipv4Addr;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::error::{Doing, Error};
use super::many::{self, Datagram};

const ETH_P_ARP: u16 = 0x0806;
const BROADCAST: [u8; 6] = [0xff; 6];
/// Room for the announcements of some thousand addresses on an interface that sends slowly.
const BUFFER: usize = 4 << 20;

/// Sends ARP frames on any interface; receives nothing.
pub struct ArpSocket {
    socket: Socket,
}

/// An IPv4 address at a hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// Kernel index of the interface to send on.
    pub index: u32,
    /// The hardware address.
    pub mac: [u8; 6],
    /// The address.
    pub address: Ipv4Addr,
}

impl ArpSocket {
    /// Opens the socket.
    pub fn open() -> Result<Self, Error> {
        // Protocol 0: the socket gets no packets at all.
        let socket = Socket::new_raw(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)
            .doing(|| "opening an ARP socket")?;
        many::send_buffer(&socket, BUFFER);
        Ok(Self { socket })
    }

    /// Announces these, in order, and tells `refused` what could not be sent. When the socket is full the rest is left:
    /// the number of those that were dealt with is returned.
    pub fn announce(&self, announcements: &[Announcement], mut refused: impl FnMut(Error)) -> usize {
        many::in_parts(announcements, |some| self.announce_some(some, &mut refused))
    }

    fn announce_some(&self, announcements: &[Announcement], refused: &mut impl FnMut(Error)) -> usize {
        let frames: Vec<[u8; 42]> =
            announcements.iter().map(|one| gratuitous(one.mac, one.address)).collect();
        // There is one interface mostly, and there are never many.
        let mut places: Vec<(u32, SockAddr)> = Vec::new();
        let place_of = |index: u32, places: &mut Vec<(u32, SockAddr)>| {
            places.iter().position(|(known, _)| *known == index).unwrap_or_else(|| {
                places.push((index, many::link_address(index, ETH_P_ARP, BROADCAST)));
                places.len() - 1
            })
        };
        let chosen: Vec<usize> = announcements.iter().map(|one| place_of(one.index, &mut places)).collect();
        let datagrams: Vec<Datagram<'_>> = chosen
            .iter()
            .zip(&frames)
            .map(|(place, frame)| Datagram { to: &places[*place].1, bytes: frame, beside: &[] })
            .collect();
        many::send(&self.socket, &datagrams, 0, |place, errno| {
            let Announcement { index, address, .. } = announcements[place];
            let doing = format!("sending a gratuitous ARP for {address} on interface {index}");
            refused(Error::new(doing, errno));
        })
    }

    /// Waits until the socket takes more, as long as this at most.
    pub fn wait(&self, limit: Duration) {
        many::wait_writable(&self.socket, limit);
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

    use nix::errno::Errno;
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
            let mac = [2, 0, 0, 0, 0, 1];
            let address = |number: u16| {
                let [high, low] = number.to_be_bytes();
                Ipv4Addr::new(10, 0, high, low)
            };
            // One of an interface that is not there, in the middle.
            let at = |number| Announcement {
                index: if number == 100 { index + 100 } else { index },
                mac,
                address: address(number),
            };
            let wanted: Vec<Announcement> = (0..200).map(at).collect();
            let mut refused = Vec::new();
            let done = ArpSocket::open().unwrap().announce(&wanted, |error| refused.push(error));
            assert_eq!(done, 200);
            let told = [Error::new(
                format!("sending a gratuitous ARP for 10.0.0.100 on interface {}", index + 100),
                Errno::ENXIO,
            )];
            assert_eq!(refused.iter().map(Error::to_string).collect::<Vec<_>>(), told.map(|e| e.to_string()));
            for number in (0..200).filter(|number| *number != 100) {
                let mut buffer = [MaybeUninit::uninit(); 128];
                let length = listener.recv(&mut buffer).unwrap();
                // SAFETY: `recv` filled this much.
                let seen = unsafe { buffer[..length].assume_init_ref() };
                assert_eq!(seen, gratuitous(mac, address(number)));
            }
        });
    }
}
