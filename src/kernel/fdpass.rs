//! A pair of `SOCK_SEQPACKET` sockets whose messages may carry descriptors.
//!
//! One packet is one message; nothing here knows what is said. Received descriptors are owned at once, so that none
//! leaks whatever the sender put beside them.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};

use super::error::Error;
use super::readiness::Watched;

/// The largest packet, in bytes.
pub const PACKET: usize = 40 << 10;

/// Descriptors that one packet may carry.
pub const DESCRIPTORS: usize = 2;

/// Two connected sockets, close-on-exec and non-blocking.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
}

/// Takes over a descriptor that this process was given by number, as the child of an `exec`.
///
/// Fails when there is no such open descriptor. The caller must be the only one who knows the number: a role takes
/// it from the environment once, before anything else is opened.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the number is only borrowed for the two calls, which fail cleanly when it is not open.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    let flags = OFlag::from_bits_truncate(fcntl(descriptor, FcntlArg::F_GETFL)?);
    fcntl(descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    // SAFETY: it is open, and by this function's contract nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// One packet as received.
#[derive(Debug)]
pub struct Packet {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What came with it, in the sender's order.
    pub descriptors: Vec<OwnedFd>,
    /// Did the kernel cut the bytes or the list of descriptors?
    pub cut: bool,
}

/// One end of a [`pair`], on tokio's event loop.
pub struct PacketSocket(Watched<OwnedFd>);

impl PacketSocket {
    /// Must be called inside a tokio runtime; the descriptor must be non-blocking.
    pub fn new(descriptor: OwnedFd) -> Result<Self, Error> {
        Watched::new(descriptor).map(Self)
    }

    /// Sends now, or `WouldBlock`.
    pub fn send(&self, bytes: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
        send(self.0.as_fd(), bytes, descriptors)
    }

    /// Waits until the packet could be sent. Safe to cancel: then it was not sent.
    pub async fn send_later(&self, bytes: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
        self.0.write(|socket| send(socket.as_fd(), bytes, descriptors)).await
    }

    /// Waits for a packet; `None` when the peer is gone and everything it sent was read. Safe to cancel.
    pub async fn receive(&self) -> io::Result<Option<Packet>> {
        self.0.read(|socket| receive(socket.as_fd())).await
    }
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let control = if numbers.is_empty() { &rights[..0] } else { &rights[..] };
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None)?;
    Ok(())
}

thread_local! {
    /// Where packets arrive: most are small, and none is worth a buffer of this size of its own.
    static ARRIVAL: RefCell<Box<[u8]>> = RefCell::new(vec![0; PACKET].into_boxed_slice());
}

fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Packet>> {
    ARRIVAL.with_borrow_mut(|bytes| receive_into(bytes, socket))
}

fn receive_into(bytes: &mut [u8], socket: BorrowedFd<'_>) -> io::Result<Option<Packet>> {
    let mut control = cmsg_space!([RawFd; DESCRIPTORS]);
    let mut slices = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    let length = message.bytes;
    let cut = message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
    let mut descriptors = Vec::new();
    // Unreadable control data is as none; the sender's frame says how many descriptors there must be.
    for part in message.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            for number in numbers {
                // SAFETY: the kernel opened this descriptor for us in this call; nobody else knows it.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
    }
    if length == 0 && descriptors.is_empty() {
        return Ok(None);
    }
    Ok(Some(Packet { bytes: bytes[..length].to_vec(), descriptors, cut }))
}
