//! Watches for other hosts that announce or answer for addresses of ours: ARP (RFC 826) and neighbour advertisements
//! (RFC 4861 §4.4). Filters in the kernel let through nothing else, so ordinary traffic wakes nobody.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, LinkAddr, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

use super::error::{Doing, Error};
use super::vrrp_socket::DROP_ALL;

const ETH_P_ARP: u16 = 0x0806;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const OPTION_TARGET_LINK_ADDRESS: u8 = 2;
/// `ICMP6_FILTER` (linux/icmpv6.h): a bit set blocks its type.
const ICMP6_FILTER: libc::c_int = 1;
/// Ranges of a filter, four instructions each; the kernel takes 4096 instructions.
const RANGES: usize = 256;

// Classic BPF (linux/bpf_common.h).
const LDH: u16 = 0x28; // A = half word at k
const LDW: u16 = 0x20; // A = word at k
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const RET: u16 = 0x06;

/// Somebody else says that an address is his.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Kernel index of the interface it came in by.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// His hardware address.
    pub mac: [u8; 6],
}

/// A socket that sees claims of one family.
pub struct Guard {
    socket: Socket,
    family: Watched,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    Arp,
    Neighbours,
}

impl Guard {
    /// Opens a socket for ARP on every interface. It sees nothing before [`Guard::watch`].
    pub fn arp() -> Result<Self, Error> {
        let doing = || "opening a socket that watches ARP";
        // Without a protocol it gets nothing until its filter is there.
        let socket =
            Socket::new_raw(Domain::PACKET, Type::DGRAM.nonblocking().cloexec(), None).doing(doing)?;
        socket.attach_filter(&DROP_ALL).doing(doing)?;
        socket.bind(&every_interface()).doing(doing)?;
        Ok(Self { socket, family: Watched::Arp })
    }

    /// The same for neighbour advertisements.
    pub fn neighbours() -> Result<Self, Error> {
        let doing = || "opening a socket that watches neighbour advertisements";
        let kind = Type::RAW.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::IPV6, kind, Some(Protocol::ICMPV6)).doing(doing)?;
        socket.attach_filter(&DROP_ALL).doing(doing)?;
        only_advertisements(&socket).doing(doing)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true).map_err(io::Error::from).doing(doing)?;
        socket.set_recv_hoplimit_v6(true).doing(doing)?;
        Ok(Self { socket, family: Watched::Neighbours })
    }

    /// Lets claims of these addresses through from now on, and perhaps a few others; without addresses none at all.
    pub fn watch(&self, addresses: impl Iterator<Item = IpAddr>) -> Result<(), Error> {
        let words: Vec<u32> = addresses.filter_map(|address| self.word(address)).collect();
        let filter = match self.family {
            _ if words.is_empty() => DROP_ALL.into(),
            // IPv4 over Ethernet: protocol 0800, lengths 6 and 4; then the sender's address.
            Watched::Arp => filter(&[(2, 0x0800), (4, 0x0604)], 14, words),
            // The last word of the target.
            Watched::Neighbours => filter(&[], 20, words),
        };
        self.socket.attach_filter(&filter).doing(|| "changing the filter of a socket that watches addresses")
    }

    /// What the filter compares; `None` if the address is of the other family.
    fn word(&self, address: IpAddr) -> Option<u32> {
        match (self.family, address) {
            (Watched::Arp, IpAddr::V4(v4)) => Some(v4.to_bits()),
            (Watched::Neighbours, IpAddr::V6(v6)) => {
                Some(u32::try_from(v6.to_bits() & u128::from(u32::MAX)).unwrap_or_default())
            }
            _ => None,
        }
    }

    /// Reads one claim. `WouldBlock`: none is there. `Ok(None)`: what was there is no claim.
    pub fn receive(&self) -> io::Result<Option<Claim>> {
        let mut buffer = [0; 256];
        match self.family {
            Watched::Arp => {
                let mut parts = [IoSliceMut::new(&mut buffer)];
                let fd = self.socket.as_raw_fd();
                let message = recvmsg::<LinkAddr>(fd, &mut parts, None, MsgFlags::empty())?;
                let index = message.address.and_then(|address| u32::try_from(address.ifindex()).ok());
                let length = message.bytes.min(256);
                Ok(index.zip(arp_claim(&buffer[..length])).map(|(index, (address, mac))| Claim {
                    index,
                    address: address.into(),
                    mac,
                }))
            }
            Watched::Neighbours => self.receive_advertisement(&mut buffer),
        }
    }

    fn receive_advertisement(&self, buffer: &mut [u8; 256]) -> io::Result<Option<Claim>> {
        let mut parts = [IoSliceMut::new(buffer)];
        let mut beside = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int);
        let fd = self.socket.as_raw_fd();
        let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut beside), MsgFlags::empty())?;
        let (mut index, mut hops) = (None, None);
        for part in message.cmsgs()? {
            match part {
                ControlMessageOwned::Ipv6PacketInfo(info) => index = Some(info.ipi6_ifindex),
                ControlMessageOwned::Ipv6HopLimit(limit) => hops = Some(limit),
                _ => {}
            }
        }
        let length = message.bytes.min(256);
        // From another link it would mean nothing (RFC 4861 §7.1.2).
        let index = index.filter(|_| hops == Some(255));
        Ok(index.zip(advertised(&buffer[..length])).map(|(index, (address, mac))| Claim {
            index,
            address: address.into(),
            mac,
        }))
    }
}

impl AsFd for Guard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sender address and hardware address of an ARP packet (without Ethernet header).
pub fn arp_claim(packet: &[u8]) -> Option<(Ipv4Addr, [u8; 6])> {
    let packet: &[u8; 28] = packet.first_chunk()?;
    if packet[2..6] != [8, 0, 6, 4] {
        return None;
    }
    let (mac, address): (&[u8; 6], &[u8; 4]) = (packet[8..].first_chunk()?, packet[14..].first_chunk()?);
    Some((Ipv4Addr::from(*address), *mac))
}

/// Target and its hardware address of a neighbour advertisement.
pub fn advertised(packet: &[u8]) -> Option<(Ipv6Addr, [u8; 6])> {
    let (fixed, mut options) = packet.split_first_chunk::<24>()?;
    if fixed[0] != NEIGHBOUR_ADVERTISEMENT {
        return None;
    }
    let target: [u8; 16] = *fixed.last_chunk()?;
    while let [kind, units, ..] = *options {
        let length = usize::from(units) * 8;
        if length == 0 || options.len() < length {
            return None;
        }
        if kind == OPTION_TARGET_LINK_ADDRESS {
            return Some((target.into(), *options[2..].first_chunk()?));
        }
        options = &options[length..];
    }
    None
}

/// Half words that must be there, and a word that must be among these, give or take some between them if there are many.
fn filter(required: &[(u32, u32)], offset: u32, words: Vec<u32>) -> Vec<SockFilter> {
    let mut program = Vec::new();
    for (place, value) in required {
        program.push(SockFilter::new(LDH, 0, 0, *place));
        program.push(SockFilter::new(JEQ, 1, 0, *value));
        program.push(SockFilter::new(RET, 0, 0, 0));
    }
    program.push(SockFilter::new(LDW, 0, 0, offset));
    for (first, last) in ranges(words) {
        program.push(SockFilter::new(JGT, 3, 0, last));
        program.push(SockFilter::new(JGE, 0, 1, first));
        program.push(SockFilter::new(RET, 0, 0, u32::MAX));
        program.push(SockFilter::new(RET, 0, 0, 0));
    }
    program.push(SockFilter::new(RET, 0, 0, 0));
    program
}

/// At most [`RANGES`] ranges that cover these numbers, ascending: the narrowest gaps are filled.
fn ranges(mut words: Vec<u32>) -> Vec<(u32, u32)> {
    words.sort_unstable();
    words.dedup();
    let mut gaps: Vec<u32> = words.windows(2).map(|two| two[1] - two[0]).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    // A gap wider than this ends a range; neighbours always share one.
    let widest_filled = gaps.get(RANGES - 1).copied().unwrap_or(1).max(1);
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for word in words {
        match ranges.last_mut() {
            Some((_, last)) if word - *last <= widest_filled => *last = word,
            _ => ranges.push((word, word)),
        }
    }
    ranges
}

fn every_interface() -> SockAddr {
    let fill = |storage: *mut socket2::SockAddrStorage, length: *mut libc::socklen_t| {
        // SAFETY: the storage is larger than `sockaddr_ll`, aligned for every address, and zero is a value of each field.
        let address = unsafe { &mut *storage.cast::<libc::sockaddr_ll>() };
        address.sll_family = u16::try_from(libc::AF_PACKET).expect("AF_PACKET is 17");
        address.sll_protocol = ETH_P_ARP.to_be();
        let size = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).expect("an address is small");
        // SAFETY: the pointer is valid for the call.
        unsafe { length.write(size) };
        Ok(())
    };
    // SAFETY: `fill` writes an address of family AF_PACKET and its length.
    let ((), address) = unsafe { SockAddr::try_init(fill) }.expect("the closure does not fail");
    address
}

fn only_advertisements(socket: &Socket) -> io::Result<()> {
    let mut blocked = [u32::MAX; 8];
    blocked[usize::from(NEIGHBOUR_ADVERTISEMENT >> 5)] &= !(1 << (NEIGHBOUR_ADVERTISEMENT & 31));
    let length = libc::socklen_t::try_from(size_of_val(&blocked)).expect("eight words are few");
    // SAFETY: the option's value lives for the call and the length is its own.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_ICMPV6,
            ICMP6_FILTER,
            blocked.as_ptr().cast(),
            length,
        )
    };
    Errno::result(result).map(drop).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::arp::{self, ArpSocket, gratuitous};
    use crate::kernel::neighbour::{self, NeighbourSocket, Node, unsolicited};
    use crate::kernel::testing::{eventually, in_namespace, run, wire};

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

    fn index(name: &str) -> u32 {
        nix::net::if_::if_nametoindex(name).unwrap()
    }

    #[test]
    fn what_we_announce_reads_as_a_claim() {
        let address = Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(arp_claim(&gratuitous(MAC, address)[14..]), Some((address, MAC)));
        let address = "fe80::66".parse().unwrap();
        assert_eq!(advertised(&unsolicited(MAC, address, Node::Host)), Some((address, MAC)));
        for cut in 0..32 {
            let _ = advertised(&unsolicited(MAC, address, Node::Host)[..cut]);
        }
        assert_eq!(arp_claim(&[0; 27]), None);
        let mut endless = unsolicited(MAC, address, Node::Host);
        (endless[24], endless[25]) = (1, 0);
        assert_eq!(advertised(&endless), None);
    }

    #[test]
    fn ranges_cover_what_they_must_and_little_else() {
        assert_eq!(ranges(vec![7, 5, 6, 9, 9]), [(5, 7), (9, 9)]);
        assert_eq!(ranges(Vec::new()), []);
        let many: Vec<u32> = (0..2000).map(|n| n * 10 + n / 20 * 1000).collect();
        let covered = ranges(many.clone());
        assert!(covered.len() <= RANGES, "{} ranges", covered.len());
        for word in many {
            assert!(covered.iter().any(|(first, last)| (*first..=*last).contains(&word)));
        }
    }

    #[test]
    fn only_claims_of_the_watched_addresses_wake() {
        in_namespace(|| {
            wire("va", "vc");
            let (guard, sender) = (Guard::arp().unwrap(), ArpSocket::open().unwrap());
            let ours = Ipv4Addr::new(10, 0, 0, 100);
            let announce = |address: Ipv4Addr| {
                let one = arp::Announcement { index: index("va"), mac: MAC, address };
                sender.announce(&[one], |error| panic!("{error}"));
            };
            announce(ours);
            assert!(guard.receive().is_err(), "nothing is watched yet");
            guard.watch([ours.into()].into_iter()).unwrap();
            for last in [99, 101] {
                announce(Ipv4Addr::new(10, 0, 0, last));
            }
            announce(ours);
            let mut seen = None;
            eventually(|| {
                seen = guard.receive().ok().flatten();
                seen.is_some()
            });
            assert_eq!(seen, Some(Claim { index: index("vc"), address: ours.into(), mac: MAC }));
            assert_eq!(guard.receive().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            guard.watch(std::iter::empty()).unwrap();
            announce(ours);
            assert!(guard.receive().is_err());
            let many = (0..3000_u32).map(|n| IpAddr::from(Ipv4Addr::from_bits(n * 3)));
            guard.watch(many).unwrap();
        });
    }

    #[test]
    fn neighbour_advertisements_are_watched_in_the_same_way() {
        in_namespace(|| {
            wire("va", "vc");
            let (ours, other): (Ipv6Addr, Ipv6Addr) =
                ("2001:db8::66".parse().unwrap(), "2001:db8::67".parse().unwrap());
            for address in [ours, other] {
                run(&format!("ip addr add {address}/64 dev va nodad"));
            }
            let guard = Guard::neighbours().unwrap();
            let sender = NeighbourSocket::open().unwrap();
            guard.watch([ours.into()].into_iter()).unwrap();
            let mut seen = None;
            eventually(|| {
                let both = [other, ours].map(|address| neighbour::Announcement {
                    index: index("va"),
                    mac: MAC,
                    address,
                    node: Node::Host,
                });
                sender.announce(&both, |_| ());
                seen = guard.receive().ok().flatten();
                seen.is_some()
            });
            assert_eq!(seen, Some(Claim { index: index("vc"), address: ours.into(), mac: MAC }));
        });
    }
}
