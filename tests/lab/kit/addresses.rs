//! When an IPv4 address came to a host and when it left: the kernel's own notifications, stamped as they are read.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt,
};

use super::net::Host;
use super::wait::{Outcome, Stamp};

/// `RTMGRP_IPV4_IFADDR`, `RTM_NEWADDR`, `RTM_DELADDR`, `IFA_LOCAL` (`linux/rtnetlink.h`, `linux/if_addr.h`).
const GROUP: u32 = 0x10;
const NEW: u16 = 20;
const DELETED: u16 = 21;
const LOCAL: u16 = 2;

/// An address came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: Stamp,
    pub(crate) address: Ipv4Addr,
    pub(crate) came: bool,
}

/// Watches one host from now until it is dropped.
#[derive(Debug)]
pub(crate) struct AddressMonitor {
    changes: Arc<Mutex<Vec<Change>>>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl AddressMonitor {
    pub(crate) fn on(host: &Host) -> Outcome<Self> {
        let socket = host.space.inside(open).map_err(|e| format!("a netlink socket: {e}"))?;
        let changes: Arc<Mutex<Vec<Change>>> = Arc::default();
        let ending: Arc<AtomicBool> = Arc::default();
        let thread = std::thread::spawn({
            let (changes, ending) = (Arc::clone(&changes), Arc::clone(&ending));
            move || listen(&socket, &changes, &ending)
        });
        Ok(Self { changes, ending, thread: Some(thread) })
    }

    /// Comings and goings of one address at or after a moment.
    pub(crate) fn of(&self, address: Ipv4Addr, since: Stamp) -> Vec<Change> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.iter().filter(|change| change.address == address && change.at >= since).cloned().collect()
    }
}

impl Drop for AddressMonitor {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    // Thousands may change at once.
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &(16 << 20));
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUP))?;
    Ok(socket)
}

fn listen(socket: &OwnedFd, changes: &Mutex<Vec<Change>>, ending: &AtomicBool) {
    let mut buffer = [0_u8; 16384];
    while !ending.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut ready, PollTimeout::from(50_u8));
        while let Ok(length) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            let at = Stamp::now();
            let mut rest = &buffer[..length];
            while let Some((change, after)) = message(rest, at) {
                if let Some(change) = change {
                    changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
                }
                rest = after;
            }
        }
    }
}

/// One netlink message from the front of `bytes`, and what follows it.
fn message(bytes: &[u8], at: Stamp) -> Option<(Option<Change>, &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let whole = bytes.get(..length).filter(|_| length >= 16)?;
    let after = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    let came = match kind {
        NEW => true,
        DELETED => false,
        _ => return Some((None, after)),
    };
    // The header and ifaddrmsg go before the attributes.
    let mut attributes = whole.get(24..)?;
    while let Some(head) = attributes.get(..4) {
        let size = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let number = u16::from_ne_bytes([head[2], head[3]]);
        if number == LOCAL {
            let four: [u8; 4] = attributes.get(4..8)?.try_into().ok()?;
            return Some((Some(Change { at, address: four.into(), came }), after));
        }
        attributes = attributes.get(size.max(4).next_multiple_of(4)..).unwrap_or(&[]);
    }
    Some((None, after))
}
