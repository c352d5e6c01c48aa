//! Many datagrams with one system call: `sendmmsg(2)`. What they say and where they go is the callers' business.

use std::mem::offset_of;
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{SockAddr, Socket};

/// Datagrams in one system call.
pub(super) const MOST: usize = 64;

/// One datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datagram<'a> {
    /// Where it goes.
    pub(super) to: &'a SockAddr,
    /// What it says.
    pub(super) bytes: &'a [u8],
    /// Ancillary data, as the kernel lays it out; empty if there is none.
    pub(super) beside: &'a [u8],
}

/// Has `send` send all of these, as many at a time as one system call takes, until it leaves some: the number of those that
/// were dealt with.
pub(super) fn in_parts<T>(all: &[T], mut send: impl FnMut(&[T]) -> usize) -> usize {
    let mut done = 0;
    for some in all.chunks(MOST) {
        let sent = send(some);
        done += sent;
        if sent < some.len() {
            break;
        }
    }
    done
}

/// Sends these in order and tells `refused` which could not be sent, and why; the others go all the same. When the
/// socket is full the rest is left: the number of those that were dealt with is returned.
pub(super) fn send(
    socket: impl AsFd,
    datagrams: &[Datagram<'_>],
    flags: libc::c_int,
    mut refused: impl FnMut(usize, Errno),
) -> usize {
    let mut done = 0;
    while let Some(left) = datagrams.get(done..).filter(|left| !left.is_empty()) {
        match send_some(socket.as_fd().as_raw_fd(), left, flags) {
            Ok(count) => done += count,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => break,
            // Only that of the first one is told.
            Err(errno) => {
                refused(done, errno);
                done += 1;
            }
        }
    }
    done
}

/// At most [`MOST`] of them; how many went.
fn send_some(socket: libc::c_int, datagrams: &[Datagram<'_>], flags: libc::c_int) -> Result<usize, Errno> {
    let datagrams = &datagrams[..datagrams.len().min(MOST)];
    let mut parts = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MOST];
    // SAFETY: all zero is a valid `mmsghdr`: no address, no parts, no ancillary data.
    let mut headers: [libc::mmsghdr; MOST] = unsafe { std::mem::zeroed() };
    for ((datagram, part), header) in datagrams.iter().zip(&mut parts).zip(&mut headers) {
        // The kernel only reads through these pointers.
        part.iov_base = datagram.bytes.as_ptr().cast_mut().cast();
        part.iov_len = datagram.bytes.len();
        let header = &mut header.msg_hdr;
        header.msg_name = datagram.to.as_ptr().cast_mut().cast();
        header.msg_namelen = datagram.to.len();
        header.msg_iov = part;
        header.msg_iovlen = 1;
        if !datagram.beside.is_empty() {
            header.msg_control = datagram.beside.as_ptr().cast_mut().cast();
            header.msg_controllen = datagram.beside.len();
        }
    }
    let count = libc::c_uint::try_from(datagrams.len()).unwrap_or_default();
    // SAFETY: the first `count` headers point at parts, addresses and bytes that live until the call returns.
    let sent = unsafe { libc::sendmmsg(socket, headers.as_mut_ptr(), count, flags) };
    Errno::result(sent).map(|sent| usize::try_from(sent).unwrap_or_default())
}

/// An interface on a packet socket.
pub(super) fn link_address(index: u32, protocol: u16, to: [u8; 6]) -> SockAddr {
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).expect("AF_PACKET is 17"),
        sll_protocol: protocol.to_be(),
        // No interface has such a number: the kernel says so when something is sent there.
        sll_ifindex: i32::try_from(index).unwrap_or(i32::MAX),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [to[0], to[1], to[2], to[3], to[4], to[5], 0, 0],
    };
    // SAFETY: the storage has room for every kind of address, and the length is that of the one written.
    let made = unsafe {
        SockAddr::try_init(|storage, length| {
            storage.cast::<libc::sockaddr_ll>().write(address);
            *length = libc::socklen_t::try_from(size_of_val(&address)).expect("an address is small");
            Ok(())
        })
    };
    made.expect("writing it down cannot fail").1
}

/// What an IPv6 packet's header shall hold, as ancillary data: its source, and its hop limit if it is not the kernel's;
/// and the interface that it leaves by (0: as routed).
pub(super) fn header_v6(source: Ipv6Addr, index: u32, hop_limit: Option<u8>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    let mut info = [0; 20];
    // `struct in6_pktinfo`.
    info[..16].copy_from_slice(&source.octets());
    info[16..].copy_from_slice(&index.to_ne_bytes());
    push_ancillary(&mut bytes, libc::IPV6_PKTINFO, &info);
    if let Some(hops) = hop_limit {
        push_ancillary(&mut bytes, libc::IPV6_HOPLIMIT, &libc::c_int::from(hops).to_ne_bytes());
    }
    bytes
}

/// Appends one item of the IPv6 level: `struct cmsghdr`, the value, and padding.
fn push_ancillary(bytes: &mut Vec<u8>, kind: libc::c_int, value: &[u8]) {
    let length = libc::c_uint::try_from(value.len()).expect("ancillary data is small");
    // SAFETY: these two only compute.
    let (length, space) = unsafe { (libc::CMSG_LEN(length) as usize, libc::CMSG_SPACE(length) as usize) };
    let start = bytes.len();
    bytes.resize(start + space, 0);
    let item = &mut bytes[start..];
    item[length - value.len()..length].copy_from_slice(value);
    let mut put = |offset: usize, field: &[u8]| item[offset..offset + field.len()].copy_from_slice(field);
    put(offset_of!(libc::cmsghdr, cmsg_len), &length.to_ne_bytes());
    put(offset_of!(libc::cmsghdr, cmsg_level), &libc::IPPROTO_IPV6.to_ne_bytes());
    put(offset_of!(libc::cmsghdr, cmsg_type), &kind.to_ne_bytes());
}

/// So many bytes may wait in the socket to be sent, if need be beyond the host's limit. What is not granted stays as it
/// was.
pub(super) fn send_buffer(socket: &Socket, bytes: usize) {
    if setsockopt(socket, sockopt::SndBufForce, &bytes).is_err() {
        let _ = setsockopt(socket, sockopt::SndBuf, &bytes);
    }
}

/// Waits until the socket takes more, as long as this at most.
pub(super) fn wait_writable(socket: impl AsFd, limit: Duration) {
    let mut asked = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO);
    // Interrupted or not, the next attempt shows.
    let _ = poll(&mut asked, limit);
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

    use super::*;

    #[test]
    fn all_leave_in_order_and_a_refused_one_keeps_none_of_the_others() {
        let (near, far) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        far.set_nonblocking(true).unwrap();
        let good = SockAddr::from(far.local_addr().unwrap());
        // Broadcast without permission.
        let bad = SockAddr::from(SocketAddr::from((Ipv4Addr::BROADCAST, 9)));
        let texts: Vec<String> = (0..150).map(|number| number.to_string()).collect();
        let datagrams: Vec<Datagram<'_>> = texts
            .iter()
            .enumerate()
            .map(|(place, text)| Datagram {
                to: if place % 70 == 0 { &bad } else { &good },
                bytes: text.as_bytes(),
                beside: &[],
            })
            .collect();
        let mut refused = Vec::new();
        let done = send(&near, &datagrams, 0, |place, errno| refused.push((place, errno)));
        assert_eq!(done, 150);
        assert_eq!(refused, [0, 70, 140].map(|place| (place, Errno::EACCES)));
        let mut buffer = [0; 8];
        for (place, text) in texts.iter().enumerate().filter(|(place, _)| place % 70 != 0) {
            let length = far.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], text.as_bytes(), "the one at {place}");
        }
    }

    #[test]
    fn what_is_left_is_not_asked_for_again() {
        let parts = |room: usize| {
            let mut asked = Vec::new();
            let done = in_parts(&[0; 2 * MOST + 9], |some| {
                asked.push(some.len());
                some.len().min(room)
            });
            (done, asked)
        };
        assert_eq!(parts(MOST), (2 * MOST + 9, vec![MOST, MOST, 9]));
        assert_eq!(parts(MOST - 1), (MOST - 1, vec![MOST]));
    }

    #[test]
    fn the_kernel_takes_a_header_of_ours_for_an_ipv6_packet() {
        let (near, far) = (UdpSocket::bind("[::1]:0").unwrap(), UdpSocket::bind("[::1]:0").unwrap());
        let fd = far.as_fd();
        setsockopt(&fd, sockopt::Ipv6RecvHopLimit, &true).unwrap();
        let beside = header_v6(Ipv6Addr::LOCALHOST, 0, Some(77));
        let to = SockAddr::from(far.local_addr().unwrap());
        let datagram = Datagram { to: &to, bytes: b"hop", beside: &beside };
        assert_eq!(send(&near, &[datagram], 0, |_, errno| panic!("{errno}")), 1);
        let mut space = nix::cmsg_space!(libc::c_int);
        let mut buffer = [0; 8];
        let mut parts = [std::io::IoSliceMut::new(&mut buffer)];
        let flags = nix::sys::socket::MsgFlags::empty();
        let message =
            nix::sys::socket::recvmsg::<()>(fd.as_raw_fd(), &mut parts, Some(&mut space), flags).unwrap();
        let hops: Vec<_> = message.cmsgs().unwrap().collect();
        assert_eq!(hops, [nix::sys::socket::ControlMessageOwned::Ipv6HopLimit(77)]);
    }

    #[test]
    fn what_a_full_socket_does_not_take_is_left() {
        let path = std::env::temp_dir().join(format!("many-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let named = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let to = SockAddr::unix(&path).unwrap();
        let bytes = [0; 100];
        let datagrams = vec![Datagram { to: &to, bytes: &bytes, beside: &[] }; 1000];
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        let done = send(&sender, &datagrams, 0, |_, errno| panic!("{errno}"));
        std::fs::remove_file(&path).unwrap();
        assert!((1..1000).contains(&done), "{done}");
        drop(named);
    }
}
