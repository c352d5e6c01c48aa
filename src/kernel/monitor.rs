//! What happens to interfaces, addresses, routes and rules, told by the kernel's multicast groups on a socket of its own.
//!
//! When the kernel had to drop notifications (ENOBUFS) the reader is told [`Event::Resync`]: dump, compare, go on. A
//! monitor that loses events without saying so is how a VIP vanishes unnoticed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use neli::consts::socket::NlFamily;
use neli::utils::Groups;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use socket2::{SockFilter, SockRef};

use super::address::{self, Address};
use super::error::{Doing, Error};
use super::netlink::{messages, open_socket};
use super::readiness::Steady;
use super::{link, route, rule};
use crate::vrrp::{Link, SeenRoute, SeenRule};

/// Multicast groups: `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV6_IFADDR`.
const GROUPS: [u32; 3] = [1, 5, 9];
/// `RTNLGRP_IPV4_ROUTE`, `RTNLGRP_IPV4_RULE`, `RTNLGRP_IPV6_ROUTE`, `RTNLGRP_IPV6_RULE`. Joined when there is
/// something to watch over: a router's table may change thousands of times a second.
const ROUTING_GROUPS: [libc::c_int; 4] = [7, 8, 11, 19];
// Classic BPF (linux/bpf_common.h).
const LDH: u16 = 0x28; // A = half word at k
const LDW: u16 = 0x20; // A = word at k
const JEQ: u16 = 0x15;
const RET: u16 = 0x06;

/// Holds the notifications of 4,000 changes while the reader is busy.
const BUFFER: usize = 4 << 20;

/// A change told by the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An interface appeared or changed.
    Link(Link),
    /// An interface vanished.
    LinkGone(Link),
    /// An address appeared or changed.
    Address(Address),
    /// An address vanished.
    AddressGone {
        /// Which.
        address: Address,
        /// Port of the socket that asked for it (IPv4 only; the kernel tells 0 for IPv6).
        port: u32,
    },
    /// A route took the place of another one: `ip route replace` brings no word of the one that went.
    RouteReplaced {
        /// The new one.
        route: SeenRoute,
        /// As for a route that vanished.
        port: u32,
    },
    /// A route vanished.
    RouteGone {
        /// Which.
        route: SeenRoute,
        /// Port of the socket that asked for it; 0 for the kernel itself.
        port: u32,
    },
    /// A rule vanished.
    RuleGone {
        /// Which.
        rule: SeenRule,
        /// As for routes.
        port: u32,
    },
    /// Some events were lost: dump and compare.
    Resync,
}

/// The listening socket.
pub struct Monitor(OwnedFd);

impl Monitor {
    /// Bytes that a buffer for [`Self::read`] needs: the largest datagram of the kernel.
    pub const DATAGRAM: usize = 1 << 16;

    /// Starts to listen. Dump *after* this, so that nothing falls between.
    pub fn open() -> Result<Self, Error> {
        Self::with_buffer(BUFFER)
    }

    fn with_buffer(bytes: usize) -> Result<Self, Error> {
        let socket = open_socket(NlFamily::Route, Groups::new_groups(&GROUPS), bytes)?;
        // SAFETY: `into_raw_fd` gave up the only owner of an open descriptor.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(socket.into_raw_fd()) }))
    }

    /// Appends the events of one datagram; `WouldBlock` when there is none to read. After a loss everything queued is
    /// older than the dump that must follow, so it is thrown away.
    pub fn read(&self, buffer: &mut [u8], events: &mut Vec<Event>) -> io::Result<()> {
        loop {
            match recv(self.0.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC) {
                Ok(length) if length <= buffer.len() => {
                    decode(&buffer[..length], events);
                    return Ok(());
                }
                Ok(_) | Err(Errno::ENOBUFS) => {
                    self.drain(buffer);
                    events.push(Event::Resync);
                    return Ok(());
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Passes over the IPv4 addresses that the socket with this port adds: whoever owns it knows of them from its answers,
    /// and two thousand echoes cost more than ten milliseconds. Of IPv6 addresses the kernel tells in its own name.
    pub fn pass_over_additions_by(&self, port: u32) -> Result<(), Error> {
        // The kernel reads in network order what the message has in that of the host.
        let kind = u32::from(u16::from_be_bytes(address::RTM_NEWADDR.to_ne_bytes()));
        let port = u32::from_be_bytes(port.to_ne_bytes());
        let program = [
            SockFilter::new(LDH, 0, 0, 4),
            SockFilter::new(JEQ, 0, 2, kind),
            SockFilter::new(LDW, 0, 0, 12),
            SockFilter::new(JEQ, 1, 0, port),
            SockFilter::new(RET, 0, 0, u32::MAX),
            SockFilter::new(RET, 0, 0, 0),
        ];
        SockRef::from(&self.0)
            .attach_filter(&program)
            .doing(|| "having a netlink socket pass over what we change ourselves")
    }

    /// Hears nothing any more: each of the notifications of a thousand removals would be a packet of its own.
    pub fn fall_silent(&self) -> Result<(), Error> {
        SockRef::from(&self.0)
            .attach_filter(&[SockFilter::new(RET, 0, 0, 0)])
            .doing(|| "having a netlink socket pass over everything")
    }

    /// Listens to routes and rules, too, from now on.
    pub fn watch_routing(&self) -> Result<(), Error> {
        const INT: libc::socklen_t = 4;
        for group in ROUTING_GROUPS {
            // SAFETY: the option's value is a live int and its length is the int's.
            let set = unsafe {
                libc::setsockopt(
                    self.0.as_raw_fd(),
                    libc::SOL_NETLINK,
                    libc::NETLINK_ADD_MEMBERSHIP,
                    (&raw const group).cast(),
                    INT,
                )
            };
            Errno::result(set).doing(|| "listening to changes of routes and rules")?;
        }
        Ok(())
    }

    fn drain(&self, buffer: &mut [u8]) {
        // More cannot have been queued; a source faster than this loop is met by the next overflow.
        for _ in 0..BUFFER / 256 {
            if let Err(Errno::EAGAIN) = recv(self.0.as_raw_fd(), buffer, MsgFlags::empty()) {
                return;
            }
        }
    }
}

// SAFETY: the socket is opened in `open`, never replaced, and closed on drop.
unsafe impl Steady for Monitor {}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The events of one datagram; messages of other kinds are passed over.
pub fn decode(datagram: &[u8], events: &mut Vec<Event>) {
    for message in messages(datagram) {
        let event = address::notice(message.kind, message.body)
            .map(|notice| match notice {
                address::Notice::Added(address) => Event::Address(address),
                address::Notice::Removed(address) => Event::AddressGone { address, port: message.port },
            })
            .or_else(|| {
                link::notice(message.kind, message.body).map(|notice| match notice {
                    link::Notice::Changed(link) => Event::Link(link),
                    link::Notice::Gone(link) => Event::LinkGone(link),
                })
            })
            .or_else(|| {
                let gone = route::removed(message.kind, message.body)?;
                Some(Event::RouteGone { route: gone, port: message.port })
            })
            .or_else(|| {
                let route = route::replaced(message.kind, message.flags, message.body)?;
                Some(Event::RouteReplaced { route, port: message.port })
            })
            .or_else(|| {
                let gone = rule::removed(message.kind, message.body)?;
                Some(Event::RuleGone { rule: gone, port: message.port })
            });
        events.extend(event);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::kernel::netlink::Connection;
    use crate::kernel::testing::{in_namespace, run, run_with_input};

    fn all(monitor: &Monitor) -> Vec<Event> {
        let (mut events, mut buffer) = (Vec::new(), vec![0; Monitor::DATAGRAM]);
        while monitor.read(&mut buffer, &mut events).is_ok() {}
        events
    }

    #[test]
    fn addresses_and_links_are_told() {
        in_namespace(|| {
            let monitor = Monitor::open().unwrap();
            run("ip link add d0 type veth peer name d1");
            run("ip addr add 10.0.0.1/24 dev d0");
            run("ip addr del 10.0.0.1/24 dev d0");
            run("ip link del d0");
            let events = all(&monitor);
            let about = |want: &str| {
                events.iter().any(|event| match event {
                    Event::Link(link) => want == format!("link {}", link.name),
                    Event::LinkGone(link) => want == format!("gone {}", link.name),
                    Event::Address(address) => want == format!("address {address}"),
                    Event::AddressGone { address, .. } => want == format!("lost {address}"),
                    Event::RouteGone { .. } | Event::RouteReplaced { .. } | Event::RuleGone { .. } => false,
                    Event::Resync => want == "resync",
                })
            };
            for want in
                ["link d0", "link d1", "address 10.0.0.1/24", "lost 10.0.0.1/24", "gone d0", "gone d1"]
            {
                assert!(about(want), "{want} is missing in {events:?}");
            }
            assert!(!about("resync"));
        });
    }

    #[test]
    fn a_removal_names_the_socket_that_asked_for_it() {
        in_namespace(|| {
            let mut netlink = Connection::open(NlFamily::Route).unwrap();
            let monitor = Monitor::open().unwrap();
            run("ip addr add 10.0.0.1/32 dev lo");
            run("ip addr add 10.0.0.2/32 dev lo");
            let ours = address::dump(&mut netlink)
                .unwrap()
                .into_iter()
                .find(|address| address.to_string() == "10.0.0.1/32")
                .unwrap();
            netlink.execute(&[address::remove_request(&ours)]).unwrap();
            run("ip addr del 10.0.0.2/32 dev lo");
            let by_us: Vec<_> = all(&monitor)
                .into_iter()
                .filter_map(|event| match event {
                    Event::AddressGone { address, port } => {
                        Some((address.to_string(), port == netlink.port().unwrap()))
                    }
                    _ => None,
                })
                .collect();
            assert_eq!(by_us, [("10.0.0.1/32".into(), true), ("10.0.0.2/32".into(), false)]);
        });
    }

    #[test]
    fn of_what_we_add_ourselves_nothing_is_told_and_of_all_else_everything() {
        in_namespace(|| {
            let mut netlink = Connection::open(NlFamily::Route).unwrap();
            let monitor = Monitor::open().unwrap();
            monitor.pass_over_additions_by(netlink.port().unwrap()).unwrap();
            run("ip link set lo up");
            run("ip addr add 10.0.0.1/32 dev lo");
            let seen = address::dump(&mut netlink).unwrap();
            let mut ours = seen.into_iter().find(|address| address.to_string() == "10.0.0.1/32").unwrap();
            for (address, flags) in [("10.0.0.2", 0), ("2001:db8::2", 2)] {
                ours.address = address.parse().unwrap();
                (ours.prefix, ours.flags) = (if address.contains(':') { 128 } else { 32 }, flags);
                ours.label = None;
                assert_eq!(
                    netlink.execute(&[address::add_request(&ours)]).unwrap(),
                    [crate::kernel::netlink::Answer::Done]
                );
            }
            ours.address = "10.0.0.2".parse().unwrap();
            ours.prefix = 32;
            netlink.execute(&[address::remove_request(&ours)]).unwrap();
            run("ip addr add 10.0.0.2/32 dev lo");
            let mut told: Vec<String> = all(&monitor)
                .into_iter()
                .filter_map(|event| match event {
                    Event::Address(address) => Some(format!("+{address}")),
                    Event::AddressGone { address, .. } => Some(format!("-{address}")),
                    _ => None,
                })
                .filter(|line| !line.contains("127.0.0.1") && !line.contains("::1/"))
                .collect();
            // Of an IPv6 address it tells a little later.
            told.sort_unstable();
            assert_eq!(told, ["+10.0.0.1/32", "+10.0.0.2/32", "+2001:db8::2/128", "-10.0.0.2/32"]);
        });
    }

    #[test]
    fn a_monitor_that_has_fallen_silent_is_told_nothing() {
        in_namespace(|| {
            let monitor = Monitor::open().unwrap();
            monitor.fall_silent().unwrap();
            run("ip link set lo up");
            run("ip addr add 10.0.0.1/32 dev lo");
            run("ip addr del 10.0.0.1/32 dev lo");
            assert_eq!(all(&monitor), []);
        });
    }

    #[test]
    fn lost_events_are_told_as_a_resync_and_later_events_still_come() {
        in_namespace(|| {
            let monitor = Monitor::with_buffer(4096).unwrap();
            let mut batch = String::new();
            for host in 0..300 {
                writeln!(batch, "addr add 10.0.{}.{}/32 dev lo", host / 250, host % 250).unwrap();
            }
            run_with_input("ip -batch -", &batch);
            let events = all(&monitor);
            assert_eq!(events, [Event::Resync]);
            run("ip addr del 10.0.0.1/32 dev lo");
            assert!(matches!(&all(&monitor)[..], [Event::AddressGone { .. }]));
        });
    }

    #[test]
    fn any_datagram_decodes_without_panic() {
        proptest::proptest!(|(bytes: Vec<u8>)| decode(&bytes, &mut Vec::new()));
    }
}
