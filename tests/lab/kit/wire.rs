//! What passes a switch: every frame with the kernel's stamp and the host that sent it; VRRP and ARP are decoded, IGMP and the like
//! of IPv6 are kept.
//!
//! The decoder is the tests' own and shares nothing with the daemon's. Only frames that *arrive* at a port count, so each
//! frame is seen once however many hosts get it.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::io::IoSliceMut;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimestampns};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg,
    setsockopt, socket,
};

use super::net::{Host, Switch};
use super::wait::{Outcome, Stamp, until};

/// `PACKET_OUTGOING`: a frame that leaves by the port (`linux/if_packet.h`).
const OUTGOING: u8 = 4;
/// Frames kept per sniffer; a case that sees more has gone wrong.
const MOST_FRAMES: usize = 200_000;

/// One frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) at: Stamp,
    /// The host whose port it came in by.
    pub(crate) from: String,
    pub(crate) bytes: Vec<u8>,
}

/// A VRRP advertisement over IPv4.
#[derive(Clone, Debug)]
pub(crate) struct Advert {
    pub(crate) at: Stamp,
    pub(crate) from: String,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) destination_mac: [u8; 6],
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    pub(crate) id: u16,
    pub(crate) version: u8,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    /// Advertisement interval in seconds.
    pub(crate) interval: f64,
    pub(crate) addresses: Vec<Ipv4Addr>,
    /// The eight bytes of v2's authentication; empty for v3.
    pub(crate) password: Vec<u8>,
    /// The authentication header before it.
    pub(crate) header: Option<Vec<u8>>,
    /// What stands behind it.
    pub(crate) trailer: Vec<u8>,
    pub(crate) checksum_right: bool,
}

/// An ARP packet whose sender and target address are the same.
#[derive(Clone, Debug)]
pub(crate) struct Announcement {
    pub(crate) at: Stamp,
    pub(crate) from: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) bytes: Vec<u8>,
}

impl Frame {
    /// The advertisement in it, if it is one and whole.
    pub(crate) fn advert(&self) -> Option<Advert> {
        let frame = &self.bytes;
        let protocol = *frame.get(23)?;
        if frame.get(12..14)? != [8, 0] || !matches!(protocol, 112 | 51) {
            return None;
        }
        let ip = &frame[14..];
        let header = usize::from(ip[0] & 15) * 4;
        let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        let mut pdu = ip.get(header..length)?;
        let mut authentication = None;
        if protocol == 51 {
            let (before, rest) = pdu.split_at_checked(24)?;
            (authentication, pdu) = (Some(before.to_vec()), rest);
        }
        let (source, destination) = (quad(ip, 12)?, quad(ip, 16)?);
        let version = *pdu.first()? >> 4;
        let count = usize::from(*pdu.get(3)?);
        let addresses = (0..count).map(|i| quad(pdu, 8 + 4 * i)).collect::<Option<Vec<_>>>()?;
        let interval = if version == 2 {
            f64::from(pdu[5])
        } else {
            f64::from(u16::from_be_bytes([pdu[4] & 15, pdu[5]])) / 100.0
        };
        let (pdu, trailer) = pdu.split_at_checked(8 + 4 * count + if version == 2 { 8 } else { 0 })?;
        let mut sum = ones_complement(pdu, 0);
        if version == 3 {
            sum = ones_complement(&ip[12..20], sum);
            sum += 112 + u32::try_from(pdu.len()).ok()?;
        }
        Some(Advert {
            at: self.at,
            from: self.from.clone(),
            source,
            destination,
            destination_mac: frame[..6].try_into().ok()?,
            ttl: ip[8],
            tos: ip[1],
            id: u16::from_be_bytes([ip[4], ip[5]]),
            version,
            vrid: pdu[1],
            priority: pdu[2],
            interval,
            addresses,
            password: if version == 2 { pdu.get(8 + 4 * count..)?.to_vec() } else { Vec::new() },
            header: authentication,
            trailer: trailer.to_vec(),
            checksum_right: fold(sum) == 0xffff,
        })
    }

    /// The gratuitous ARP in it, if it is one.
    pub(crate) fn announcement(&self) -> Option<Announcement> {
        let frame = &self.bytes;
        if frame.get(12..14)? != [8, 6] || quad(frame, 28)? != quad(frame, 38)? {
            return None;
        }
        Some(Announcement {
            at: self.at,
            from: self.from.clone(),
            address: quad(frame, 28)?,
            bytes: frame.clone(),
        })
    }
}

fn quad(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(Ipv4Addr::from(four))
}

fn ones_complement(bytes: &[u8], start: u32) -> u32 {
    bytes.chunks(2).fold(start, |sum, pair| {
        sum + u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
    })
}

fn fold(mut sum: u32) -> u32 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

impl fmt::Display for Advert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{} vrid {} prio {}", self.from, self.version, self.vrid, self.priority)
    }
}

/// Records VRRP, ARP and neighbour advertisements of a switch from now until it is dropped.
#[derive(Debug)]
pub(crate) struct Sniffer {
    frames: Arc<Mutex<Vec<Frame>>>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    started: Stamp,
}

impl Sniffer {
    /// Starts to listen; hosts must hang on the switch already.
    pub(crate) fn on(switch: &Switch, hosts: &[&Host]) -> Outcome<Self> {
        Self::keeping(switch, hosts, of_interest)
    }

    /// The same for frames of another kind.
    pub(crate) fn keeping(switch: &Switch, hosts: &[&Host], keep: fn(&[u8]) -> bool) -> Outcome<Self> {
        let mut ports = HashMap::new();
        for host in hosts {
            ports.insert(switch.port(&host.name)?, host.name.clone());
        }
        let socket = switch.space.inside(open).map_err(|e| format!("a packet socket: {e}"))?;
        let frames = Arc::new(Mutex::new(Vec::new()));
        let ending = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (frames, ending) = (Arc::clone(&frames), Arc::clone(&ending));
            move || listen(&socket, &ports, &frames, &ending, keep)
        });
        Ok(Self { frames, ending, thread: Some(thread), started: Stamp::now() })
    }

    pub(crate) fn frames(&self) -> Vec<Frame> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every advert so far.
    pub(crate) fn adverts(&self) -> Vec<Advert> {
        self.frames().iter().filter_map(Frame::advert).collect()
    }

    /// Adverts of one host at or after a moment.
    pub(crate) fn adverts_of(&self, host: &str, since: Stamp) -> Vec<Advert> {
        let mut adverts = self.adverts();
        adverts.retain(|advert| advert.from == host && advert.at >= since);
        adverts
    }

    /// Every gratuitous ARP of one host at or after a moment.
    pub(crate) fn announcements_of(&self, host: &str, since: Stamp) -> Vec<Announcement> {
        let mut found: Vec<_> = self.frames().iter().filter_map(Frame::announcement).collect();
        found.retain(|announcement| announcement.from == host && announcement.at >= since);
        found
    }

    /// The first advert at or after `since` that fits.
    pub(crate) fn wait_advert(
        &self,
        what: &str,
        since: Stamp,
        limit: Duration,
        fits: impl Fn(&Advert) -> bool,
    ) -> Outcome<Advert> {
        until(limit, what, || self.adverts().into_iter().find(|a| a.at >= since && fits(a)))
            .map_err(|e| format!("{e}\n{}", self.story()))
    }

    /// The last advert of a host before a moment.
    pub(crate) fn last_advert_of(&self, host: &str, before: Stamp) -> Option<Advert> {
        self.adverts().into_iter().rfind(|advert| advert.from == host && advert.at < before)
    }

    /// What was seen, for a failure's message: runs of equal adverts in one line.
    pub(crate) fn story(&self) -> String {
        let mut story = String::from("on the wire:\n");
        let mut last: Option<(String, usize)> = None;
        for frame in self.frames() {
            let line = if let Some(advert) = frame.advert() {
                format!("advert {advert}")
            } else if let Some(announcement) = frame.announcement() {
                format!("{} announces {}", frame.from, announcement.address)
            } else {
                continue;
            };
            match &mut last {
                Some((text, times)) if *text == line => *times += 1,
                _ => {
                    if let Some((_, times)) = last.take().filter(|(_, times)| *times > 1) {
                        let _ = writeln!(story, "           … {times} times");
                    }
                    let _ = writeln!(story, "{:9.3}  {line}", frame.at.since(self.started));
                    last = Some((line, 1));
                }
            }
        }
        if let Some((_, times)) = last.filter(|(_, times)| *times > 1) {
            let _ = writeln!(story, "           … {times} times");
        }
        story
    }

    /// Writes what was seen as a pcap file, for other tools to read.
    pub(crate) fn save(&self, path: &Path) -> Outcome {
        let mut file = Vec::new();
        // The nanosecond variant; link type Ethernet.
        for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 65535, 1] {
            file.extend_from_slice(&word.to_ne_bytes());
        }
        for frame in self.frames() {
            let length = u32::try_from(frame.bytes.len()).map_err(|e| e.to_string())?;
            let seconds = u32::try_from(frame.at.0 / 1_000_000_000).map_err(|e| e.to_string())?;
            let rest = u32::try_from(frame.at.0 % 1_000_000_000).map_err(|e| e.to_string())?;
            for word in [seconds, rest, length, length] {
                file.extend_from_slice(&word.to_ne_bytes());
            }
            file.extend_from_slice(&frame.bytes);
        }
        super::place::write(path, file)
    }
}

impl Drop for Sniffer {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
    setsockopt(&socket, RcvBufForce, &(8 << 20))?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    Ok(socket)
}

/// VRRP, ARP, multicast memberships and neighbour advertisements.
fn of_interest(bytes: &[u8]) -> bool {
    let next = |at: usize| bytes.get(at).copied();
    match bytes.get(12..14) {
        Some([8, 6]) => true,
        // VRRP and IGMP.
        Some([8, 0]) => matches!(next(23), Some(112 | 51 | 2)),
        // VRRP, the neighbour advertisements of ICMPv6, and MLD (behind a hop-by-hop header).
        Some([0x86, 0xdd]) => {
            matches!(next(20), Some(112 | 0)) || next(20) == Some(58) && next(54) == Some(136)
        }
        _ => false,
    }
}

fn listen(
    socket: &OwnedFd,
    ports: &HashMap<usize, String>,
    frames: &Mutex<Vec<Frame>>,
    ending: &AtomicBool,
    keep: fn(&[u8]) -> bool,
) {
    let mut buffer = [0_u8; 2048];
    while !ending.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(std::os::fd::AsFd::as_fd(socket), PollFlags::POLLIN)];
        let _ = poll(&mut ready, PollTimeout::from(50_u8));
        loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
            let Ok(message) =
                recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_TRUNC)
            else {
                break;
            };
            let Some(address) = message.address else { continue };
            let Some(from) = ports.get(&address.ifindex()).filter(|_| address.pkttype() != OUTGOING) else {
                continue;
            };
            let at = message
                .cmsgs()
                .ok()
                .and_then(|mut all| {
                    all.find_map(|one| match one {
                        ControlMessageOwned::ScmTimestampns(t) => Some(t),
                        _ => None,
                    })
                })
                .map_or_else(Stamp::now, |t| {
                    Stamp(i128::from(t.tv_sec()) * 1_000_000_000 + i128::from(t.tv_nsec()))
                });
            let length = message.bytes;
            let bytes = buffer[..length.min(2048)].to_vec();
            let mut frames = frames.lock().unwrap_or_else(PoisonError::into_inner);
            if keep(&bytes) && frames.len() < MOST_FRAMES {
                frames.push(Frame { at, from: from.clone(), bytes });
            }
        }
    }
}
