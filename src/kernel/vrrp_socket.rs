//! The raw sockets that adverts come in by: one per interface, family and local address.
//!
//! spec/vrrp-behaviour.md §1.1. `IP_MULTICAST_ALL` is on by default and would deliver the adverts of other
//! interfaces; a socket joins 20 groups at most; so each receiver is alone on its interface. Its filter drops foreign
//! VRIDs inside the kernel. What a packet means is the core's business.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockFilter, Socket, Type};

use super::error::{Doing, Error};
use super::vrrp_inbox::{Inbox, destination};
use crate::config::model::Family;
use crate::vrrp::Carrier;

/// IANA protocol numbers of VRRP and of the `IPsec` authentication header.
pub(super) const IPPROTO_VRRP: i32 = 112;
const IPPROTO_AH: i32 = 51;
/// Receive buffer of a socket that is not read at once, in bytes.
const WIDE: usize = 1 << 20;
/// Bytes of the authentication header before the VRRP header.
const AH: u32 = 24;

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
    family: Family,
    carrier: Carrier,
}

impl Receiver {
    /// Opens a receiver on the interface with this index (`None`: any, for unicast without interface).
    pub fn open(
        index: Option<NonZeroU32>,
        local: Local,
        carrier: Carrier,
        admit: Admit<'_>,
    ) -> Result<Self, Error> {
        let doing = || {
            let (Local::Group(address) | Local::Source(address)) = local;
            format!("opening a VRRP socket for {address} on {}", interface_name(index))
        };
        Self::build(index, local, carrier, admit).doing(doing)
    }

    fn build(
        index: Option<NonZeroU32>,
        local: Local,
        carrier: Carrier,
        admit: Admit<'_>,
    ) -> io::Result<Self> {
        let protocol = match carrier {
            Carrier::Vrrp => IPPROTO_VRRP,
            Carrier::Ah => IPPROTO_AH,
        };
        let (Local::Group(address) | Local::Source(address)) = local;
        let kind = Type::RAW.nonblocking().cloexec();
        let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new_raw(domain, kind, Some(Protocol::from(protocol)))?;
        // Until it is bound and joined the socket would queue what is not for it.
        socket.attach_filter(&DROP_ALL)?;
        match address {
            IpAddr::V4(address) => Self::place_v4(&socket, index, local, address)?,
            IpAddr::V6(address) => Self::place_v6(&socket, index, local, address)?,
        }
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let receiver = Self { socket, family: Family::of(address), carrier };
        receiver.filter(admit)?;
        Ok(receiver)
    }

    fn place_v4(
        socket: &Socket,
        index: Option<NonZeroU32>,
        local: Local,
        address: Ipv4Addr,
    ) -> io::Result<()> {
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
        socket.bind(&SocketAddr::from((address, 0)).into())
    }

    fn place_v6(
        socket: &Socket,
        index: Option<NonZeroU32>,
        local: Local,
        address: Ipv6Addr,
    ) -> io::Result<()> {
        let number = index.map_or(0, NonZeroU32::get);
        socket.set_multicast_all_v6(false)?;
        checksum_v6(socket)?;
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        socket.set_recv_hoplimit_v6(true)?;
        if index.is_some() {
            socket.bind_device_by_index_v6(index)?;
        }
        match local {
            Local::Group(_) => socket.join_multicast_v6(&address, number)?,
            Local::Source(_) => socket.set_freebind_v6(true)?,
        }
        socket.bind(&SocketAddrV6::new(address, 0, 0, number).into())
    }

    /// Lets other VRIDs through from now on.
    pub fn admit(&self, admit: Admit<'_>) -> Result<(), Error> {
        self.filter(admit).doing(|| "changing the filter of a VRRP socket")
    }

    fn filter(&self, admit: Admit<'_>) -> io::Result<()> {
        match admit {
            Admit::Vrids(vrids) => self.socket.attach_filter(&vrid_filter(self.family, self.carrier, vrids)),
            Admit::All => self.socket.attach_filter(&[SockFilter::new(RET, 0, 0, u32::MAX)]),
        }
    }

    /// The kernel's receive buffer in bytes; 0 if it does not tell.
    pub fn buffer_size(&self) -> usize {
        self.socket.recv_buffer_size().unwrap_or(0)
    }

    /// Room for many packets in the kernel: nobody reads them at once.
    pub fn widen(&self) {
        if self.buffer_size() < WIDE && setsockopt(&self.socket, sockopt::RcvBufForce, &WIDE).is_err() {
            let _ = setsockopt(&self.socket, sockopt::RcvBuf, &WIDE);
        }
    }

    /// Reads at most so many packets and hands them to `take`; one that does not fit is dropped and handed over empty.
    /// Says whether the socket was found empty.
    pub fn receive(
        &self,
        inbox: &mut Inbox,
        most: usize,
        mut take: impl FnMut(Received<'_>),
    ) -> io::Result<bool> {
        let mut left = most;
        while left > 0 {
            let (count, may_be_more) = inbox.fill(self.socket.as_fd(), left)?;
            let now = clock_gettime(ClockId::CLOCK_REALTIME).ok();
            for item in inbox.items(count) {
                let stamp = item.beside(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS).and_then(time_of);
                let destination = item.beside(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO).and_then(destination);
                let hops = item.beside(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT);
                let hops = hops.and_then(|value| Some(libc::c_int::from_ne_bytes(*value.first_chunk()?)));
                let hop_limit = hops.and_then(|hops| u8::try_from(hops).ok()).unwrap_or(0);
                let header = item.sender.zip(destination).map(|(source, destination)| Header6 {
                    source,
                    destination,
                    hop_limit,
                });
                // An IPv6 packet without its ancillary data is worth nothing.
                let is_whole = !item.is_cut && (self.family == Family::V4 || header.is_some());
                let packet = if is_whole { item.bytes } else { &[] };
                take(Received { packet, age: stamp.zip(now).map_or(Duration::ZERO, age), header });
            }
            if !may_be_more {
                return Ok(true);
            }
            left = left.saturating_sub(count);
        }
        Ok(false)
    }
}

/// `struct timespec`.
fn time_of(value: &[u8]) -> Option<TimeSpec> {
    if value.len() < size_of::<libc::timespec>() {
        return None;
    }
    // SAFETY: so many bytes are there, any bytes are a valid `timespec`, and alignment is not asked for.
    let time = unsafe { value.as_ptr().cast::<libc::timespec>().read_unaligned() };
    Some(TimeSpec::from(time))
}

/// How long before `now` a moment of the wall clock was; zero if the clock was set back meanwhile.
fn age((stamp, now): (TimeSpec, TimeSpec)) -> Duration {
    if stamp < now { Duration::from(now - stamp) } else { Duration::ZERO }
}

/// A packet as it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    /// For IPv4 from its IP header on, for IPv6 from the VRRP header on.
    pub packet: &'a [u8],
    /// How long ago it arrived.
    pub age: Duration,
    /// What the kernel says of an IPv6 header.
    pub header: Option<Header6>,
}

/// The part of an IPv6 header that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header6 {
    /// Source address.
    pub source: Ipv6Addr,
    /// Destination address.
    pub destination: Ipv6Addr,
    /// Hop limit.
    pub hop_limit: u8,
}

/// The kernel writes and verifies the checksum, which is at byte 6 of the packet.
pub(super) fn checksum_v6(socket: &Socket) -> io::Result<()> {
    let offset: libc::c_int = 6;
    let length = libc::socklen_t::try_from(size_of_val(&offset)).expect("an int is small");
    // SAFETY: the option's value lives for the call and the length is its own.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IPV6,
            libc::IPV6_CHECKSUM,
            (&raw const offset).cast(),
            length,
        )
    };
    Errno::result(result).map(drop).map_err(Into::into)
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The name of an interface, for messages.
pub(super) fn interface_name(index: Option<NonZeroU32>) -> String {
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
const LDB: u16 = 0x30; // A = byte at k: BPF_LD | BPF_B | BPF_ABS
const JEQ: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RET: u16 = 0x06; // BPF_RET | BPF_K

pub(super) const DROP_ALL: [SockFilter; 1] = [SockFilter::new(RET, 0, 0, 0)];

/// Lets packets through whose VRID, the second byte of the VRRP header, is listed. A raw socket shows its filter an IPv4
/// packet from the IP header on, an IPv6 packet from the VRRP header on.
fn vrid_filter(family: Family, carrier: Carrier, vrids: &[u8]) -> Vec<SockFilter> {
    // A jump spans 255 instructions at most; with 255 VRIDs the first spans just that.
    let vrids = &vrids[..vrids.len().min(255)];
    let vrid = match carrier {
        Carrier::Vrrp => 1,
        Carrier::Ah => AH + 1,
    };
    let mut program = match family {
        Family::V4 => vec![SockFilter::new(LDX_IHL, 0, 0, 0), SockFilter::new(LDB_X, 0, 0, vrid)],
        Family::V6 => vec![SockFilter::new(LDB, 0, 0, 1)],
    };
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
    use crate::kernel::vrrp_sender::{Outgoing, Route, Sender};

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

    fn to(destination: Ipv4Addr) -> Route {
        let source = Ipv4Addr::UNSPECIFIED.into();
        Route { source, destination: destination.into(), hop_limit: None }
    }

    fn out(route: Route, bytes: Vec<u8>) -> Outgoing {
        Outgoing { index: 0, route, bytes }
    }

    /// The VRIDs of the packets that came, when so many are there.
    fn received(receiver: &Receiver, count: usize) -> Vec<u8> {
        let mut vrids = Vec::new();
        let mut inbox = Inbox::new();
        eventually(|| {
            let is_empty = receiver.receive(&mut inbox, 100, |Received { packet, age, .. }| {
                assert!(age < Duration::from_secs(5), "{age:?}");
                vrids.push(packet[21]);
            });
            assert!(is_empty.unwrap());
            vrids.len() >= count
        });
        vrids
    }

    /// One packet: its bytes, how long ago it came, what is known of its header.
    struct Seen {
        packet: Vec<u8>,
        age: Duration,
        header: Option<Header6>,
    }

    fn one(receiver: &Receiver, room: usize) -> Option<Seen> {
        let mut seen = None;
        let mut inbox = Inbox::with(1, room);
        let read = receiver.receive(&mut inbox, 1, |Received { packet, age, header }| {
            seen = Some(Seen { packet: packet.to_vec(), age, header });
        });
        assert_eq!(read.unwrap(), seen.is_none());
        seen
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
            let on_c = Receiver::open(index("vc"), group, Carrier::Vrrp, Admit::Vrids(&[7, 9])).unwrap();
            let on_d = Receiver::open(index("vd"), group, Carrier::Vrrp, Admit::All).unwrap();
            let (from_a, from_b) = (
                Sender::open(Family::V4, index("va")).unwrap(),
                Sender::open(Family::V4, index("vb")).unwrap(),
            );
            for vrid in [7, 8, 9] {
                from_a.send(&[out(to(GROUP), packet([10, 0, 0, 1], GROUP, vrid))]).unwrap();
            }
            from_b.send(&[out(to(GROUP), packet([10, 0, 1, 1], GROUP, 8))]).unwrap();
            assert_eq!(received(&on_c, 2), [7, 9]);
            assert_eq!(received(&on_d, 1), [8]);
            on_c.admit(Admit::Vrids(&[8])).unwrap();
            for vrid in [7, 8, 9] {
                from_a.send(&[out(to(GROUP), packet([10, 0, 0, 1], GROUP, vrid))]).unwrap();
            }
            assert_eq!(received(&on_c, 1), [8]);
        });
    }

    #[test]
    fn an_advert_leaves_as_it_was_written() {
        in_namespace(|| {
            wires();
            let receiver =
                Receiver::open(index("vc"), Local::Group(GROUP.into()), Carrier::Vrrp, Admit::All).unwrap();
            let sent = packet([10, 0, 0, 1], GROUP, 7);
            Sender::open(Family::V4, index("va")).unwrap().send(&[out(to(GROUP), sent.clone())]).unwrap();
            let mut seen = None;
            eventually(|| {
                seen = one(&receiver, 64);
                seen.is_some()
            });
            let seen = seen.unwrap().packet;
            assert_eq!(seen.len(), sent.len());
            assert_eq!(seen[..10], sent[..10]);
            assert_eq!(seen[12..], sent[12..]);
            // And nothing came back to the sender's side.
            assert!(one(&receiver, 64).is_none());
        });
    }

    #[test]
    fn a_unicast_receiver_is_bound_to_an_address_that_need_not_be_there_yet() {
        in_namespace(|| {
            let source = Ipv4Addr::new(10, 0, 0, 2);
            let receiver =
                Receiver::open(None, Local::Source(source.into()), Carrier::Vrrp, Admit::Vrids(&[3]))
                    .unwrap();
            run("ip addr add 10.0.0.2/32 dev lo");
            let sender = Sender::open(Family::V4, None).unwrap();
            for vrid in [3, 4] {
                sender.send(&[out(to(source), packet([10, 0, 0, 2], source, vrid))]).unwrap();
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
            let receiver =
                Receiver::open(None, Local::Source(source.into()), Carrier::Vrrp, Admit::Vrids(&vrids))
                    .unwrap();
            let sender = Sender::open(Family::V4, None).unwrap();
            for vrid in [0, 1, 128, 255] {
                sender.send(&[out(to(source), packet([10, 0, 0, 2], source, vrid))]).unwrap();
            }
            assert_eq!(received(&receiver, 3), [1, 128, 255]);
        });
    }

    #[test]
    fn adverts_behind_an_authentication_header_are_filtered_by_their_vrid() {
        in_namespace(|| {
            run("ip addr add 10.0.0.2/32 dev lo");
            let source = Ipv4Addr::new(10, 0, 0, 2);
            let local = Local::Source(source.into());
            let receiver = Receiver::open(None, local, Carrier::Ah, Admit::Vrids(&[7])).unwrap();
            let sender = Sender::open(Family::V4, None).unwrap();
            for vrid in [6, 7] {
                let plain = packet([10, 0, 0, 2], source, vrid);
                let mut sealed = plain[..20].to_vec();
                (sealed[3], sealed[9]) = (52, 51);
                sealed.extend([112, 4, 0, 0]);
                sealed.extend([0; 20]);
                sealed.extend(&plain[20..]);
                sender.send(&[out(to(source), sealed)]).unwrap();
            }
            let mut seen = None;
            eventually(|| {
                seen = one(&receiver, 64);
                seen.is_some()
            });
            let seen = seen.unwrap().packet;
            assert_eq!((seen[9], seen[45]), (51, 7));
            assert!(one(&receiver, 64).is_none());
        });
    }

    #[test]
    fn a_packet_that_waited_says_how_long() {
        in_namespace(|| {
            run("ip addr add 10.0.0.2/32 dev lo");
            let source = Ipv4Addr::new(10, 0, 0, 2);
            let receiver =
                Receiver::open(None, Local::Source(source.into()), Carrier::Vrrp, Admit::All).unwrap();
            // The kernel begins to stamp some time after the first socket asks for it.
            let sender = Sender::open(Family::V4, None).unwrap();
            let waited = Duration::from_millis(20);
            eventually(|| {
                sender.send(&[out(to(source), packet([10, 0, 0, 2], source, 1))]).unwrap();
                let sent = std::time::Instant::now();
                while sent.elapsed() < waited {
                    std::hint::spin_loop();
                }
                one(&receiver, 64).unwrap().age >= waited
            });
        });
    }

    #[test]
    fn a_packet_too_large_for_the_buffer_is_read_as_empty() {
        in_namespace(|| {
            run("ip addr add 10.0.0.2/32 dev lo");
            let source = Ipv4Addr::new(10, 0, 0, 2);
            let receiver =
                Receiver::open(None, Local::Source(source.into()), Carrier::Vrrp, Admit::All).unwrap();
            let sender = Sender::open(Family::V4, None).unwrap();
            sender.send(&[out(to(source), packet([10, 0, 0, 2], source, 1))]).unwrap();
            eventually(|| one(&receiver, 20).is_some_and(|seen| seen.packet.is_empty()));
            assert!(one(&receiver, 20).is_none());
        });
    }

    #[test]
    fn ipv6_adverts_come_with_their_header_filtered_and_with_a_checksum() {
        in_namespace(|| {
            wires();
            run("ip addr add fe80::a/64 dev va nodad");
            run("ip addr add fe80::c/64 dev vc nodad");
            let group: Ipv6Addr = "ff02::12".parse().unwrap();
            let (from, host): (Ipv6Addr, Ipv6Addr) = ("fe80::a".parse().unwrap(), "fe80::c".parse().unwrap());
            let all =
                Receiver::open(index("vc"), Local::Group(group.into()), Carrier::Vrrp, Admit::Vrids(&[7]))
                    .unwrap();
            let sender = Sender::open(Family::V6, index("va")).unwrap();
            for vrid in [6, 7] {
                let route = Route { source: from.into(), destination: group.into(), hop_limit: Some(255) };
                sender.send(&[out(route, vec![0x31, vrid, 100, 0, 0, 100, 0, 0])]).unwrap();
            }
            let mut seen = None;
            eventually(|| {
                seen = one(&all, 64);
                seen.is_some()
            });
            let Seen { packet, header, .. } = seen.unwrap();
            assert_eq!(header, Some(Header6 { source: from, destination: group, hop_limit: 255 }));
            assert_eq!(packet[..6], [0x31, 7, 100, 0, 0, 100]);
            assert_ne!(packet[6..8], [0, 0]);
            assert!(one(&all, 64).is_none());

            let unicast =
                Receiver::open(index("vc"), Local::Source(host.into()), Carrier::Vrrp, Admit::All).unwrap();
            let route = Route { source: from.into(), destination: host.into(), hop_limit: None };
            eventually(|| {
                sender.send(&[out(route, vec![0x31, 9, 100, 0, 0, 100, 0, 0])]).unwrap();
                let header = one(&unicast, 64).and_then(|seen| seen.header);
                header.is_some_and(|header| header.destination == host && header.hop_limit == 64)
            });
        });
    }
}
