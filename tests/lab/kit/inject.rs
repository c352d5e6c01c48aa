//! A host that sends whatever it likes: whole frames by a packet socket, and a builder of adverts that are nearly right.

use std::net::Ipv4Addr;

use socket2::{Domain, SockAddr, Socket, Type};

use super::net::Host;
use super::wait::Outcome;

/// The hardware address that frames come from.
pub(crate) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// Sends frames by a host's eth0.
#[derive(Debug)]
pub(crate) struct Injector {
    socket: Socket,
    to: SockAddr,
}

impl Injector {
    pub(crate) fn on(host: &Host) -> Outcome<Self> {
        host.space.inside(|| {
            let index = nix::net::if_::if_nametoindex("eth0").map_err(|e| e.to_string())?;
            let socket = Socket::new_raw(Domain::PACKET, Type::RAW, None).map_err(|e| e.to_string())?;
            Ok(Self { socket, to: address(index)? })
        })
    }

    /// Sends one frame, Ethernet header included.
    pub(crate) fn send(&self, frame: &[u8]) -> Outcome {
        self.socket.send_to(frame, &self.to).map(drop).map_err(|e| format!("sending a frame: {e}"))
    }
}

fn address(index: u32) -> Outcome<SockAddr> {
    let index = i32::try_from(index).map_err(|e| e.to_string())?;
    let fill = |storage: *mut socket2::SockAddrStorage, length: *mut libc::socklen_t| {
        // SAFETY: the storage is larger than `sockaddr_ll`, aligned for every address, and zero is a value of each field.
        let address = unsafe { &mut *storage.cast::<libc::sockaddr_ll>() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
        address.sll_ifindex = index;
        address.sll_halen = 6;
        let size = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default();
        // SAFETY: the pointer is valid for the call.
        unsafe { length.write(size) };
        Ok(())
    };
    // SAFETY: `fill` writes an address of family AF_PACKET and its length.
    unsafe { SockAddr::try_init(fill) }.map(|((), address)| address).map_err(|e| e.to_string())
}

/// A version 2 advert to the group, right in everything but what is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forged {
    pub(crate) source: Ipv4Addr,
    pub(crate) ttl: u8,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    /// Added to the right checksum.
    pub(crate) checksum_off: u16,
    pub(crate) address: Ipv4Addr,
}

impl Forged {
    /// The whole frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        self.authenticated(0, [0; 8])
    }

    /// The whole frame, with this type of authentication and its data.
    pub(crate) fn authenticated(&self, kind: u8, data: [u8; 8]) -> Vec<u8> {
        let mut pdu = vec![0x21, self.vrid, self.priority, 1, kind, 1, 0, 0];
        pdu.extend(self.address.octets());
        pdu.extend(data);
        let sum = checksum(&pdu).wrapping_add(self.checksum_off);
        pdu[6..8].copy_from_slice(&sum.to_be_bytes());
        self.packet(&pdu)
    }

    /// The same advert in version 3, with this interval in hundredths of a second.
    pub(crate) fn version_3(&self, interval: u8) -> Vec<u8> {
        let mut pdu = vec![0x31, self.vrid, self.priority, 1, 0, interval, 0, 0];
        pdu.extend(self.address.octets());
        let length = u8::try_from(pdu.len()).unwrap_or(u8::MAX);
        let pseudo = [&self.source.octets()[..], &[224, 0, 0, 18, 0, 112, 0, length], &pdu].concat();
        let sum = checksum(&pseudo).wrapping_add(self.checksum_off);
        pdu[6..8].copy_from_slice(&sum.to_be_bytes());
        self.packet(&pdu)
    }

    fn packet(&self, pdu: &[u8]) -> Vec<u8> {
        let total = u8::try_from(20 + pdu.len()).unwrap_or(u8::MAX);
        let mut header = vec![0x45, 0xc0, 0, total, 0, 1, 0, 0, self.ttl, 112, 0, 0];
        header.extend(self.source.octets());
        header.extend([224, 0, 0, 18]);
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        let mut frame = vec![1, 0, 0x5e, 0, 0, 0x12];
        frame.extend(MAC);
        frame.extend([8, 0]);
        frame.extend(header);
        frame.extend(pdu);
        frame
    }
}

/// A gratuitous ARP of the forger for this address.
pub(crate) fn arp(address: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(MAC);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(MAC);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = bytes
        .chunks(2)
        .fold(0_u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}
