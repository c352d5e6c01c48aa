//! The raw sockets of VRRP: one receiver per interface, family and local address, one sender per interface and family.
//!
//! spec/vrrp-behaviour.md §1.1. `IP_MULTICAST_ALL` is on by default and would deliver the adverts of other
//! interfaces; a socket joins 20 groups at most; so each receiver is alone on its interface. Its filter drops foreign
//! VRIDs inside the kernel. What a packet means is the core's business.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, SockFilter, Socket, Type};

use super::error::{Doing, Error};

/// IANA protocol number of VRRP.
const IPPROTO_VRRP: i32 = 112;
/// Traffic class of adverts: internetwork control.
const TOS_CONTROL: u32 = 0xc0;

/// Which packets a receiver lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit<'a> {
    /// Those of these VRIDs.
    Vrids(&'a [u8]),
    /// All, also of VRIDs that nobody configured (`log_unknown_vrids`).
    All,
}

/// What a receiver is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// A group, joined on the interface.
    Group(IpAddr),
    /// An own address, which need not be there yet.
    Source(IpAddr),
}

/// A receive socket.
pub struct Receiver {
    socket: Socket,
}

impl Receiver {
    /// Opens a receiver on the interface with this index (`None`: any, for unicast without interface).
    pub fn open(index: Option<NonZeroU32>, local: Local, admit: Admit<'_>) -> Result<Self, Error> {
        let doing = || {
            let (Local::Group(address) | Local::Source(address)) = local;
            format!("opening a VRRP socket for {address} on {}", interface_name(index))
        };
        Self::build(index, local, admit).doing(doing)
    }

    fn build(index: Option<NonZeroU32>, local: Local, admit: Admit<'_>) -> io::Result<Self> {
        let (Local::Group(address) | Local::Source(address)) = local;
        let IpAddr::V4(address) = address else {
            return Err(Errno::EAFNOSUPPORT.into());
        };
        let kind = Type::RAW.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::IPV4, kind, Some(Protocol::from(IPPROTO_VRRP)))?;
        // Until it is bound and joined the socket would queue what is not for it.
        socket.attach_filter(&DROP_ALL)?;
        socket.set_multicast_all_v4(false)?;
        if index.is_some() {
            socket.bind_device_by_index_v4(index)?;
        }
        match local {
            Local::Group(_) => {
                let interface = InterfaceIndexOrAddress::Index(index.map_or(0, NonZeroU32::get));
                socket.join_multicast_v4_n(&address, &interface)?;
            }
            Local::Source(_) => socket.set_freebind_v4(true)?,
        }
        socket.bind(&SocketAddr::from((address, 0)).into())?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let receiver = Self { socket };
        receiver.filter(admit)?;
        Ok(receiver)
    }

    /// Lets other VRIDs through from now on.
    pub fn admit(&self, admit: Admit<'_>) -> Result<(), Error> {
        self.filter(admit).doing(|| "changing the filter of a VRRP socket")
    }

    fn filter(&self, admit: Admit<'_>) -> io::Result<()> {
        match admit {
            Admit::Vrids(vrids) => self.socket.attach_filter(&vrid_filter(vrids)),
            Admit::All => self.socket.attach_filter(&[SockFilter::new(RET, 0, 0, u32::MAX)]),
        }
    }

    /// The kernel's receive buffer in bytes; 0 if it does not tell.
    pub fn buffer_size(&self) -> usize {
        self.socket.recv_buffer_size().unwrap_or(0)
    }

    /// Reads one packet, for IPv4 from its IP header on, and says how long ago it arrived. `None`: none is there. One
    /// that does not fit is dropped and read as empty.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<(&'a [u8], Duration)>> {
        let (length, cut, age) = loop {
            let mut parts = [IoSliceMut::new(buffer)];
            let mut ancillary = nix::cmsg_space!(libc::timespec);
            let flags = MsgFlags::empty();
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut ancillary), flags) {
                Ok(message) => {
                    let stamp = message.cmsgs()?.find_map(|part| match part {
                        ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
                        _ => None,
                    });
                    let cut = message.flags.contains(MsgFlags::MSG_TRUNC);
                    break (message.bytes, cut, stamp.map_or(Duration::ZERO, age));
                }
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        };
        let packet = buffer.get(..length).filter(|_| !cut).unwrap_or_default();
        Ok(Some((packet, age)))
    }
}

/// How long ago a moment of the wall clock was; zero if the clock was set back meanwhile.
fn age(stamp: TimeSpec) -> Duration {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).unwrap_or(stamp);
    if stamp < now { Duration::from(now - stamp) } else { Duration::ZERO }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A send socket. It receives nothing.
pub struct Sender {
    socket: Socket,
}

impl Sender {
    /// Opens a sender for IPv4 packets with their IP header, on the interface with this index (`None`: as routed).
    pub fn open_v4(index: Option<NonZeroU32>) -> Result<Self, Error> {
        Self::build(index).doing(|| format!("opening a VRRP send socket on {}", interface_name(index)))
    }

    fn build(index: Option<NonZeroU32>) -> io::Result<Self> {
        let kind = Type::RAW.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::IPV4, kind, Some(Protocol::from(IPPROTO_VRRP)))?;
        socket.attach_filter(&DROP_ALL)?;
        socket.set_recv_buffer_size(0)?;
        socket.set_header_included_v4(true)?;
        socket.set_tos_v4(TOS_CONTROL)?;
        socket.set_multicast_loop_v4(false)?;
        if index.is_some() {
            socket.bind_device_by_index_v4(index)?;
        }
        Ok(Self { socket })
    }

    /// Sends one packet: to a group on the link, to a host as the routes say.
    pub fn send(&self, destination: Ipv4Addr, packet: &[u8]) -> Result<(), Error> {
        let flags = if destination.is_multicast() { libc::MSG_DONTROUTE } else { 0 };
        let address = SockAddr::from(SocketAddr::from((destination, 0)));
        self.socket
            .send_to_with_flags(packet, &address, flags)
            .map(drop)
            .doing(|| format!("sending an advert to {destination}"))
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn interface_name(index: Option<NonZeroU32>) -> String {
    let Some(index) = index else {
        return "any interface".into();
    };
    nix::net::if_::if_indextoname(index.get())
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| format!("interface {index}"))
}

// Classic BPF (linux/bpf_common.h).
const LDX_IHL: u16 = 0xb1; // X = 4 * (byte & 15): BPF_LDX | BPF_B | BPF_MSH
const LDB_X: u16 = 0x50; // A = byte at X + k: BPF_LD | BPF_B | BPF_IND
const JEQ: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RET: u16 = 0x06; // BPF_RET | BPF_K

const DROP_ALL: [SockFilter; 1] = [SockFilter::new(RET, 0, 0, 0)];

/// Lets packets through whose second byte behind the IPv4 header, the VRID, is listed. An IPv4 raw socket shows its
/// filter the packet from the IP header on.
fn vrid_filter(vrids: &[u8]) -> Vec<SockFilter> {
    // A jump spans 255 instructions at most; with 255 VRIDs the first spans just that.
    let vrids = &vrids[..vrids.len().min(255)];
    let mut program = vec![SockFilter::new(LDX_IHL, 0, 0, 0), SockFilter::new(LDB_X, 0, 0, 1)];
    for (left, vrid) in (1..=u8::MAX).take(vrids.len()).rev().zip(vrids) {
        // Behind the comparisons still to come stands the drop, then the pass.
        program.push(SockFilter::new(JEQ, left, 0, u32::from(*vrid)));
    }
    program.push(SockFilter::new(RET, 0, 0, 0));
    program.push(SockFilter::new(RET, 0, 0, u32::MAX));
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{eventually, in_namespace, run, wire};

    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

    fn index(name: &str) -> Option<NonZeroU32> {
        NonZeroU32::new(nix::net::if_::if_nametoindex(name).unwrap())
    }

    /// A packet with IP header, length and checksum left to the kernel.
    fn packet(source: [u8; 4], destination: Ipv4Addr, vrid: u8) -> Vec<u8> {
        let mut packet = vec![0x45, 0xc0, 0, 28, 0, 1, 0, 0, 255, 112, 0, 0];
        packet.extend(source);
        packet.extend(destination.octets());
        packet.extend([0x21, vrid, 100, 0, 0, 1, 0, 0]);
        packet
    }

    /// The VRIDs of the packets that came, when so many are there.
    fn received(receiver: &Receiver, count: usize) -> Vec<u8> {
        let mut vrids = Vec::new();
        let mut buffer = [0; 2048];
        eventually(|| {
            while let Some((packet, age)) = receiver.receive(&mut buffer).unwrap() {
                assert!(age < Duration::from_secs(5), "{age:?}");
                vrids.push(packet[21]);
            }
            vrids.len() >= count
        });
        vrids
    }

    /// Two veth pairs, all ends up in one namespace: va and vb are the sender's, vc and vd the receiver's.
    fn wires() {
        wire("va", "vc");
        wire("vb", "vd");
        // A packet from an own address would be dropped as martian.
        for name in ["all", "vc", "vd"] {
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"), "0").unwrap();
        }
    }

    #[test]
    fn a_receiver_sees_its_group_on_its_interface_and_its_vrids_only() {
        in_namespace(|| {
            wires();
            let group = Local::Group(GROUP.into());
            let on_c = Receiver::open(index("vc"), group, Admit::Vrids(&[7, 9])).unwrap();
            let on_d = Receiver::open(index("vd"), group, Admit::All).unwrap();
            let (from_a, from_b) =
                (Sender::open_v4(index("va")).unwrap(), Sender::open_v4(index("vb")).unwrap());
            for vrid in [7, 8, 9] {
                from_a.send(GROUP, &packet([10, 0, 0, 1], GROUP, vrid)).unwrap();
            }
            from_b.send(GROUP, &packet([10, 0, 1, 1], GROUP, 8)).unwrap();
            assert_eq!(received(&on_c, 2), [7, 9]);
            assert_eq!(received(&on_d, 1), [8]);
            on_c.admit(Admit::Vrids(&[8])).unwrap();
            for vrid in [7, 8, 9] {
                from_a.send(GROUP, &packet([10, 0, 0, 1], GROUP, vrid)).unwrap();
            }
            assert_eq!(received(&on_c, 1), [8]);
        });
    }

    #[test]
    fn an_advert_leaves_as_it_was_written() {
        in_namespace(|| {
            wires();
            let receiver = Receiver::open(index("vc"), Local::Group(GROUP.into()), Admit::All).unwrap();
            let sent = packet([10, 0, 0, 1], GROUP, 7);
            Sender::open_v4(index("va")).unwrap().send(GROUP, &sent).unwrap();
            let mut buffer = [0; 64];
            eventually(|| receiver.receive(&mut buffer).unwrap().is_some());
            let seen = &buffer[..sent.len()];
            assert_eq!(seen[..10], sent[..10]);
            assert_eq!(seen[12..], sent[12..]);
            // And nothing came back to the sender's side.
            assert!(receiver.receive(&mut [0; 64]).unwrap().is_none());
        });
    }

    #[test]
    fn a_unicast_receiver_is_bound_to_an_address_that_need_not_be_there_yet() {
        in_namespace(|| {
            let source = Ipv4Addr::new(10, 0, 0, 2);
            let receiver = Receiver::open(None, Local::Source(source.into()), Admit::Vrids(&[3])).unwrap();
            run("ip addr add 10.0.0.2/32 dev lo");
            let sender = Sender::open_v4(None).unwrap();
            for vrid in [3, 4] {
                sender.send(source, &packet([10, 0, 0, 2], source, vrid)).unwrap();
            }
            assert_eq!(received(&receiver, 1), [3]);
        });
    }

    #[test]
    fn the_filter_of_all_vrids_is_accepted_by_the_kernel_and_lets_all_through() {
        in_namespace(|| {
            run("ip addr add 10.0.0.2/32 dev lo");
            let source = Ipv4Addr::new(10, 0, 0, 2);
            let vrids: Vec<u8> = (1..=255).collect();
            let receiver = Receiver::open(None, Local::Source(source.into()), Admit::Vrids(&vrids)).unwrap();
            let sender = Sender::open_v4(None).unwrap();
            for vrid in [0, 1, 128, 255] {
                sender.send(source, &packet([10, 0, 0, 2], source, vrid)).unwrap();
            }
            assert_eq!(received(&receiver, 3), [1, 128, 255]);
        });
    }

    #[test]
    fn a_packet_that_waited_says_how_long() {
        in_namespace(|| {
            run("ip addr add 10.0.0.2/32 dev lo");
            let source = Ipv4Addr::new(10, 0, 0, 2);
            let receiver = Receiver::open(None, Local::Source(source.into()), Admit::All).unwrap();
            // The kernel begins to stamp some time after the first socket asks for it.
            let sender = Sender::open_v4(None).unwrap();
            let waited = Duration::from_millis(20);
            eventually(|| {
                sender.send(source, &packet([10, 0, 0, 2], source, 1)).unwrap();
                let sent = std::time::Instant::now();
                while sent.elapsed() < waited {
                    std::hint::spin_loop();
                }
                let (_, age) = receiver.receive(&mut [0; 64]).unwrap().unwrap();
                age >= waited
            });
        });
    }

    #[test]
    fn a_packet_too_large_for_the_buffer_is_read_as_empty() {
        in_namespace(|| {
            run("ip addr add 10.0.0.2/32 dev lo");
            let source = Ipv4Addr::new(10, 0, 0, 2);
            let receiver = Receiver::open(None, Local::Source(source.into()), Admit::All).unwrap();
            let sender = Sender::open_v4(None).unwrap();
            sender.send(source, &packet([10, 0, 0, 2], source, 1)).unwrap();
            let mut small = [0; 20];
            eventually(|| matches!(receiver.receive(&mut small).unwrap(), Some(([], _))));
            assert_eq!(receiver.receive(&mut small).unwrap(), None);
        });
    }
}
