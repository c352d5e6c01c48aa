//! Room for adverts that come together, read with one system call: `recvmmsg(2)`.

use std::mem::offset_of;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Packets in one system call.
const COUNT: usize = 16;
/// Larger than any advert: 255 IPv6 addresses with header and trailer.
const ADVERT: usize = 4608;
/// So much of each packet lies close by the next one: hardly any advert is longer, and pages that are not touched cost
/// nothing, neither memory nor time.
const CLOSE: usize = 256;
/// Words of ancillary data of one packet: arrival, interface and destination, hop limit.
const BESIDE: usize = 16;

/// Buffers for some packets, used again and again.
pub struct Inbox {
    /// The beginnings, one behind the other.
    beginnings: Vec<u8>,
    /// For each.
    close: usize,
    /// Whole long packets, one behind the other; their beginnings are filled in afterwards.
    long: Vec<u8>,
    /// For each.
    room: usize,
    /// Words, because the kernel's structures are aligned.
    beside: Vec<[u64; BESIDE]>,
    senders: Vec<libc::sockaddr_in6>,
    lengths: Vec<Length>,
}

/// How much of a buffer is filled.
#[derive(Debug, Clone, Copy, Default)]
struct Length {
    packet: usize,
    beside: usize,
    sender: usize,
    is_cut: bool,
}

/// A packet in an inbox.
pub(super) struct Item<'a> {
    pub(super) bytes: &'a [u8],
    /// It was longer than its buffer.
    pub(super) is_cut: bool,
    /// The sender of an IPv6 packet.
    pub(super) sender: Option<Ipv6Addr>,
    beside: &'a [u8],
}

impl Inbox {
    /// Room for adverts of any size.
    pub fn new() -> Self {
        Self::with(COUNT, ADVERT)
    }

    pub(super) fn with(count: usize, room: usize) -> Self {
        // SAFETY: all zero is a valid `sockaddr_in6`.
        let nobody: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
        Self {
            beginnings: vec![0; count * room.min(CLOSE)],
            close: room.min(CLOSE),
            long: vec![0; count * room],
            room,
            beside: vec![[0; BESIDE]; count],
            senders: vec![nobody; count],
            lengths: vec![Length::default(); count],
        }
    }

    /// Reads at most so many packets; how many, and whether there may be more.
    pub(super) fn fill(&mut self, socket: BorrowedFd<'_>, most: usize) -> Result<(usize, bool), Errno> {
        let most = most.min(self.lengths.len());
        let nothing = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let mut parts = [[nothing; 2]; COUNT];
        // SAFETY: all zero is a valid `mmsghdr`: no address, no parts, no ancillary data.
        let mut headers: [libc::mmsghdr; COUNT] = unsafe { std::mem::zeroed() };
        let beginnings = self.beginnings.chunks_exact_mut(self.close);
        let packets = beginnings.zip(self.long.chunks_exact_mut(self.room)).take(most);
        let buffers = packets.zip(&mut self.beside).zip(&mut self.senders);
        for ((((begin, long), beside), sender), (part, header)) in
            buffers.zip(parts.iter_mut().zip(&mut headers))
        {
            let rest = &mut long[self.close..];
            part[0] = libc::iovec { iov_base: begin.as_mut_ptr().cast(), iov_len: begin.len() };
            part[1] = libc::iovec { iov_base: rest.as_mut_ptr().cast(), iov_len: rest.len() };
            let header = &mut header.msg_hdr;
            header.msg_name = (&raw mut *sender).cast();
            header.msg_namelen = libc::socklen_t::try_from(size_of_val(sender)).unwrap_or_default();
            header.msg_iov = part.as_mut_ptr();
            header.msg_iovlen = part.len();
            header.msg_control = beside.as_mut_ptr().cast();
            header.msg_controllen = size_of_val(beside);
        }
        let count = libc::c_uint::try_from(most.min(COUNT)).unwrap_or_default();
        let (flags, no_limit) = (libc::MSG_DONTWAIT, std::ptr::null_mut());
        let filled = loop {
            // SAFETY: the first `count` headers point at parts and buffers that live until the call returns, and nobody
            // else uses them meanwhile.
            let filled =
                unsafe { libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, flags, no_limit) };
            match Errno::result(filled) {
                Ok(filled) => break usize::try_from(filled).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break 0,
                Err(errno) => return Err(errno),
            }
        };
        for (header, length) in headers[..filled].iter().zip(&mut self.lengths) {
            *length = Length {
                packet: usize::try_from(header.msg_len).unwrap_or_default().min(self.room),
                beside: header.msg_hdr.msg_controllen.min(BESIDE * size_of::<u64>()),
                sender: usize::try_from(header.msg_hdr.msg_namelen).unwrap_or_default(),
                is_cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            };
        }
        let packets = self.beginnings.chunks_exact(self.close).zip(self.long.chunks_exact_mut(self.room));
        for ((begin, long), length) in packets.zip(&self.lengths[..filled]) {
            if length.packet > self.close {
                long[..self.close].copy_from_slice(begin);
            }
        }
        Ok((filled, filled == most.min(COUNT)))
    }

    /// The first so many packets.
    pub(super) fn items(&self, count: usize) -> impl Iterator<Item = Item<'_>> {
        let packets = self.beginnings.chunks_exact(self.close).zip(self.long.chunks_exact(self.room));
        let packets = packets.zip(&self.beside).zip(&self.senders);
        packets.zip(&self.lengths).take(count).map(|((((begin, long), beside), sender), length)| {
            let packet = if length.packet > self.close { long } else { begin };
            // SAFETY: words are bytes, initialised ones, and so many of them.
            let beside =
                unsafe { std::slice::from_raw_parts(beside.as_ptr().cast::<u8>(), size_of_val(beside)) };
            let is_v6 = length.sender == size_of::<libc::sockaddr_in6>()
                && libc::c_int::from(sender.sin6_family) == libc::AF_INET6;
            Item {
                bytes: packet.get(..length.packet).unwrap_or_default(),
                is_cut: length.is_cut,
                sender: is_v6.then(|| Ipv6Addr::from(sender.sin6_addr.s6_addr)),
                beside: beside.get(..length.beside).unwrap_or_default(),
            }
        })
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Item<'a> {
    /// The value of one kind of ancillary data.
    pub(super) fn beside(&self, level: libc::c_int, kind: libc::c_int) -> Option<&'a [u8]> {
        ancillary(self.beside).find(|(at, what, _)| (*at, *what) == (level, kind)).map(|(_, _, value)| value)
    }
}

/// Level, kind and value of each item of ancillary data. Bytes that are none end it.
fn ancillary(mut bytes: &[u8]) -> impl Iterator<Item = (libc::c_int, libc::c_int, &[u8])> {
    // SAFETY: these only compute.
    let (header, align) =
        unsafe { (libc::CMSG_LEN(0) as usize, libc::CMSG_SPACE(1) as usize - libc::CMSG_SPACE(0) as usize) };
    std::iter::from_fn(move || {
        let word = |offset: usize| Some(libc::c_int::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?));
        let length = bytes.get(offset_of!(libc::cmsghdr, cmsg_len)..)?.first_chunk()?;
        let length = usize::from_ne_bytes(*length);
        let level = word(offset_of!(libc::cmsghdr, cmsg_level))?;
        let kind = word(offset_of!(libc::cmsghdr, cmsg_type))?;
        let value = bytes.get(header..length)?;
        bytes = bytes.get(length.checked_next_multiple_of(align)?..).unwrap_or_default();
        Some((level, kind, value))
    })
}

/// `struct in6_pktinfo`: the destination.
pub(super) fn destination(value: &[u8]) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(*value.first_chunk::<16>()?))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use proptest::prelude::*;
    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::kernel::many::header_v6;

    #[test]
    fn what_we_lay_beside_a_packet_reads_back() {
        let bytes = header_v6(Ipv6Addr::LOCALHOST, 7, Some(255));
        let found: Vec<_> = ancillary(&bytes).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].0, found[0].1), (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO));
        assert_eq!(destination(found[0].2), Some(Ipv6Addr::LOCALHOST));
        assert_eq!(found[1], (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &255_i32.to_ne_bytes()[..]));
    }

    #[test]
    fn packets_of_all_lengths_come_whole_in_any_order_and_longer_ones_are_cut() {
        let (near, far) = Socket::pair(Domain::UNIX, Type::DGRAM.nonblocking(), None).unwrap();
        let mut inbox = Inbox::new();
        let lengths = [1, CLOSE, CLOSE + 1, ADVERT, 40, ADVERT + 1, CLOSE - 1];
        // A second time over what the first has left.
        for round in [1_u8, 2] {
            let packet = |length: usize| -> Vec<u8> {
                (0..length).map(|place| u8::try_from(place % 251).unwrap() ^ round).collect()
            };
            for length in lengths {
                far.send(&packet(length)).unwrap();
            }
            assert_eq!(inbox.fill(near.as_fd(), 100).unwrap(), (lengths.len(), false));
            let items: Vec<_> = inbox.items(lengths.len()).collect();
            for (item, length) in items.iter().zip(lengths) {
                assert_eq!(item.bytes, packet(length.min(ADVERT)), "{length}");
                assert_eq!(item.is_cut, length > ADVERT);
            }
        }
        far.send(&[7; 3]).unwrap();
        far.send(&[8; 3]).unwrap();
        assert_eq!(inbox.fill(near.as_fd(), 1).unwrap(), (1, true));
        assert_eq!(inbox.fill(near.as_fd(), 100).unwrap(), (1, false));
        assert_eq!(inbox.fill(near.as_fd(), 100).unwrap(), (0, false));
    }

    proptest! {
        #[test]
        fn any_bytes_beside_a_packet_are_walked_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(ancillary(&bytes).count() <= 13);
        }
    }
}
