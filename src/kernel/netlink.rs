//! Our request engine over neli's plain `NlSocket`: numbered requests, batches, every acknowledgement read, the
//! kernel's words kept. Serves rtnetlink and generic netlink alike; what the messages mean is said elsewhere.
//!
//! The kernel carries a request out while it is being sent, so answers are there when `send` returns: nothing here
//! waits. A send holds at most [`BATCH`] messages, of which only the last asks for an acknowledgement: the kernel tells of
//! refusals in any case, in order, and each answer costs a system call. What may have been lost for want of buffer space
//! is told as [`Answer::Lost`], and then only a dump can tell. Decoding is our own: neli subtracts lengths that it has not compared.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

use super::buffers::set_receive_buffer;
use super::error::{Doing, Error, reason};
use crate::config::model::ReceiveBuffer;

/// Messages in one send.
pub const BATCH: usize = 128;
/// Bytes in one send; the default send buffer is 212,992.
const BATCH_BYTES: usize = 65_536;
/// Receive buffer of a request socket, in bytes.
const REQUEST_BUFFER: usize = 1 << 20;
/// Larger than any datagram that the kernel builds for a dump (32 KiB).
const DATAGRAM: usize = 1 << 16;
/// A dump is repeated this often when the table changed under it.
const DUMP_ATTEMPTS: usize = 8;

/// Most requests need no more, in bytes.
const ROOM: usize = 64;

const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// Nested and byte-order bits of an attribute type.
const ATTRIBUTE_TYPE: u16 = 0x3fff;
const NLA_F_NESTED: u16 = 0x8000;

/// One request: the family's header and attributes. The netlink header is added when it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
    /// An attribute is longer than can be said (64 KiB): it is sent without a body, so that the kernel refuses it.
    overlong: bool,
}

impl Request {
    /// A request of this message type that asks for an acknowledgement; `header` is the family's fixed part.
    pub fn new(kind: u16, header: &[u8]) -> Self {
        let mut body = Vec::with_capacity(ROOM);
        body.extend_from_slice(header);
        Self { kind, flags: NLM_F_REQUEST | NLM_F_ACK, body, overlong: false }
    }

    /// Adds message flags (`NLM_F_CREATE` …).
    pub fn flags(mut self, flags: u16) -> Self {
        self.flags |= flags;
        self
    }

    /// Appends an attribute, padded to four bytes. With more than 65,531 bytes of value the kernel refuses the request.
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.push(kind, value);
        self
    }

    /// Appends an attribute that holds those which `inside` appends.
    pub fn nest(mut self, kind: u16, inside: impl FnOnce(Self) -> Self) -> Self {
        let start = self.body.len();
        self.push(kind | NLA_F_NESTED, &[]);
        self = inside(self);
        let length = self.length(self.body.len() - start);
        self.body[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    fn push(&mut self, kind: u16, value: &[u8]) {
        let length = self.length(value.len() + 4);
        self.body.extend_from_slice(&length.to_ne_bytes());
        self.body.extend_from_slice(&kind.to_ne_bytes());
        self.body.extend_from_slice(value);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
    }

    /// As the length of an attribute.
    fn length(&mut self, length: usize) -> u16 {
        u16::try_from(length).unwrap_or_else(|_| {
            self.overlong = true;
            u16::MAX
        })
    }

    /// Family header and attributes.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// As it is sent, under this number.
    pub fn bytes(&self, sequence: u32) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(sequence, self.flags, &mut out);
        out
    }

    fn write(&self, sequence: u32, flags: u16, out: &mut Vec<u8>) {
        let body: &[u8] = if self.overlong { &[] } else { &self.body };
        let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend_from_slice(&self.kind.to_ne_bytes());
        out.extend_from_slice(&flags.to_ne_bytes());
        out.extend_from_slice(&sequence.to_ne_bytes());
        out.extend_from_slice(&0u32.to_ne_bytes());
        out.extend_from_slice(body);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}

/// How many of these go into one send.
fn batch(requests: &[Request]) -> usize {
    let mut bytes = 0;
    let fits = |request: &&Request| {
        bytes += request.body.len() + HEADER;
        bytes < BATCH_BYTES
    };
    requests.iter().take(BATCH).take_while(fits).count().max(1)
}

/// What the kernel said to one request of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was carried out.
    Done,
    /// It was not.
    Refused(Refusal),
    /// The acknowledgement was lost for want of buffer space: dump and compare.
    Lost,
}

/// A refusal, without the object (the caller knows it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub errno: Errno,
    /// The extended acknowledgement's text.
    pub note: Option<String>,
}

impl Refusal {
    /// As an error that names the object.
    pub fn doing(self, doing: impl Into<String>) -> Error {
        Error { doing: doing.into(), errno: self.errno, note: self.note }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&reason(self.errno))?;
        self.note.as_ref().map_or(Ok(()), |note| write!(f, ": {note}"))
    }
}

/// A socket for requests. Never used for multicast, whose flood would cost answers.
pub struct Connection {
    socket: NlSocket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens a request socket of `NlFamily::Route` or `NlFamily::Generic`.
    pub fn open(family: NlFamily) -> Result<Self, Error> {
        let socket = open_socket(family, Groups::empty(), REQUEST_BUFFER)?;
        // Older kernels know no extended acknowledgements; errno is enough then.
        let _ = socket.enable_ext_ack(true);
        Ok(Self { socket, sequence: 0, buffer: vec![0; DATAGRAM] })
    }

    /// The port that notifications of our own changes carry.
    pub fn port(&self) -> Result<u32, Error> {
        self.socket.pid().doing(|| "asking for a netlink port")
    }

    /// Sends all requests, in batches, and returns one answer for each. The kernel goes on after a failing one. An
    /// error is one of the socket itself, after which nothing is known about requests not yet answered.
    pub fn execute(&mut self, requests: &[Request]) -> Result<Vec<Answer>, Error> {
        let mut answers = vec![Answer::Lost; requests.len()];
        let mut bytes = Vec::new();
        let mut start = 0;
        while start < requests.len() {
            let end = start + batch(&requests[start..]);
            bytes.clear();
            let first = self.sequence.wrapping_add(1);
            for (place, request) in requests[start..end].iter().enumerate() {
                self.sequence = self.sequence.wrapping_add(1);
                let dropped = if start + place + 1 == end { 0 } else { NLM_F_ACK };
                request.write(self.sequence, request.flags & !dropped, &mut bytes);
            }
            self.send(&bytes)?;
            self.conclude(first, &mut answers[start..end])?;
            start = end;
        }
        Ok(answers)
    }

    /// Sends all requests as one transaction of an nfnetlink subsystem: the kernel carries out all of them or none. The
    /// refusal is the first one.
    pub fn transact(&mut self, subsystem: u8, requests: &[Request]) -> Result<(), Refusal> {
        let mark = |kind| {
            // `struct nfgenmsg`: family, version, and the subsystem in network order.
            let mut mark = Request::new(kind, &[0, 0, 0, subsystem]);
            mark.flags = NLM_F_REQUEST;
            mark
        };
        let bare = |errno| Refusal { errno, note: None };
        self.drain();
        let mut bytes = Vec::new();
        self.sequence = self.sequence.wrapping_add(1);
        mark(NFNL_MSG_BATCH_BEGIN).write(self.sequence, NLM_F_REQUEST, &mut bytes);
        let first = self.sequence.wrapping_add(1);
        for request in requests {
            self.sequence = self.sequence.wrapping_add(1);
            request.write(self.sequence, request.flags, &mut bytes);
        }
        self.sequence = self.sequence.wrapping_add(1);
        mark(NFNL_MSG_BATCH_END).write(self.sequence, NLM_F_REQUEST, &mut bytes);
        let room = (bytes.len() * 2).max(1 << 18);
        // A batch is one datagram; where the limit cannot be exceeded a large one is refused as such.
        let _ = setsockopt(&descriptor(&self.socket), sockopt::SndBufForce, &room);
        self.send(&bytes).map_err(|error| bare(error.errno))?;
        // The first marks count, too: a refusal of the whole names them.
        let mut answers = vec![Answer::Lost; requests.len() + 2];
        self.collect(first.wrapping_sub(1), &mut answers).map_err(|error| bare(error.errno))?;
        let refused = answers.into_iter().find_map(|answer| match answer {
            Answer::Refused(refusal) => Some(refusal),
            Answer::Done | Answer::Lost => None,
        });
        refused.map_or(Ok(()), Err)
    }

    /// Sends a dump request and decodes every message of the reply; `decode` passes over what it does not want. A
    /// dump that the kernel marks as interrupted, or that did not fit, is repeated.
    pub fn dump<T>(
        &mut self,
        request: &Request,
        mut decode: impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Refusal> {
        let mut refusal = Refusal { errno: Errno::EAGAIN, note: None };
        for _ in 0..DUMP_ATTEMPTS {
            match self.ask(request, NLM_F_DUMP, &mut decode) {
                Ok(found) => return Ok(found),
                Err(again) if matches!(again.errno, Errno::EINTR | Errno::ENOBUFS) => refusal = again,
                Err(other) => return Err(other),
            }
        }
        Err(refusal)
    }

    /// Sends one request that is answered with messages (a lookup by key) and decodes them.
    pub fn query<T>(
        &mut self,
        request: &Request,
        decode: impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Refusal> {
        self.ask(request, 0, decode)
    }

    fn ask<T>(
        &mut self,
        request: &Request,
        extra: u16,
        mut decode: impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Refusal> {
        let bare = |errno| Refusal { errno, note: None };
        self.drain();
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let mut bytes = Vec::new();
        request.write(sequence, request.flags | extra, &mut bytes);
        self.send(&bytes).map_err(|error| bare(error.errno))?;
        let mut found = Vec::new();
        let mut interrupted = false;
        loop {
            let length = self.receive().map_err(bare)?;
            for message in messages(&self.buffer[..length]) {
                if message.sequence != sequence {
                    continue;
                }
                interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
                match message.kind {
                    NLMSG_ERROR | NLMSG_DONE => {
                        return match verdict(&message) {
                            Some(refusal) => Err(refusal),
                            None if interrupted => Err(bare(Errno::EINTR)),
                            None => Ok(found),
                        };
                    }
                    kind => found.extend(decode(kind, message.body)),
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        self.socket.send(bytes, Msg::empty()).map(drop).doing(|| "sending a netlink request")
    }

    /// Reads answers until the last request has one: those before it without any were carried out.
    fn conclude(&mut self, first: u32, answers: &mut [Answer]) -> Result<(), Error> {
        let mut is_complete = true;
        let mut is_over = answers.is_empty();
        while !is_over {
            let length = match self.receive() {
                Ok(length) => length,
                // What is in the queue is still good.
                Err(Errno::ENOBUFS) => {
                    is_complete = false;
                    continue;
                }
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(Error::new("reading netlink answers", errno)),
            };
            for message in messages(&self.buffer[..length]) {
                let place = usize::try_from(message.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                let count = answers.len();
                let (NLMSG_ERROR, Some(answer)) = (message.kind, answers.get_mut(place)) else {
                    continue;
                };
                *answer = verdict(&message).map_or(Answer::Done, Answer::Refused);
                is_over |= place + 1 == count;
            }
        }
        if is_complete {
            for answer in answers.iter_mut().filter(|answer| **answer == Answer::Lost) {
                *answer = Answer::Done;
            }
        }
        Ok(())
    }

    /// Reads answers until each request has one or nothing is left to read.
    fn collect(&mut self, first: u32, answers: &mut [Answer]) -> Result<(), Error> {
        let mut missing = answers.len();
        while missing > 0 {
            let length = match self.receive() {
                Ok(length) => length,
                // What is in the queue is still good.
                Err(Errno::ENOBUFS) => continue,
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(Error::new("reading netlink answers", errno)),
            };
            for message in messages(&self.buffer[..length]) {
                let place = usize::try_from(message.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                let (NLMSG_ERROR, Some(answer)) = (message.kind, answers.get_mut(place)) else {
                    continue;
                };
                if *answer == Answer::Lost {
                    missing -= 1;
                }
                *answer = verdict(&message).map_or(Answer::Done, Answer::Refused);
            }
        }
        Ok(())
    }

    /// Throws away what is left of an earlier, broken exchange.
    fn drain(&mut self) {
        while matches!(self.receive(), Ok(_) | Err(Errno::ENOBUFS)) {}
    }

    fn receive(&mut self) -> Result<usize, Errno> {
        receive(&self.socket, &mut self.buffer)
    }
}

impl Connection {
    /// Gives it the receive buffer that is configured for it, if any.
    pub fn set_receive_buffer(&self, wanted: ReceiveBuffer, whose: &str) -> Result<(), Error> {
        set_receive_buffer(&descriptor(&self.socket), wanted, whose)
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Opens a non-blocking netlink socket whose receive buffer has `buffer` bytes, if need be beyond the host's limit.
pub(super) fn open_socket(family: NlFamily, groups: Groups, buffer: usize) -> Result<NlSocket, Error> {
    let socket = NlSocket::connect(family, None, groups).doing(|| "opening a netlink socket")?;
    socket.nonblock().doing(|| "making a netlink socket non-blocking")?;
    let descriptor = descriptor(&socket);
    if setsockopt(&descriptor, sockopt::RcvBufForce, &buffer).is_err() {
        setsockopt(&descriptor, sockopt::RcvBuf, &buffer).doing(|| "sizing a netlink receive buffer")?;
    }
    Ok(socket)
}

/// Reads one datagram; one that does not fit is `EMSGSIZE`.
pub(super) fn receive(socket: &NlSocket, buffer: &mut [u8]) -> Result<usize, Errno> {
    let room = buffer.len();
    loop {
        match socket.recv(&mut *buffer, Msg::TRUNC) {
            Ok((length, _)) if length > room => return Err(Errno::EMSGSIZE),
            Ok((length, _)) => return Ok(length),
            Err(error) => match error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw) {
                Errno::EINTR => {}
                errno => return Err(errno),
            },
        }
    }
}

fn descriptor(socket: &NlSocket) -> BorrowedFd<'_> {
    // SAFETY: the socket owns the descriptor and lives as long as the borrow.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}

/// `None` for an acknowledgement or an orderly end.
fn verdict(message: &Message<'_>) -> Option<Refusal> {
    let code = message.body.first_chunk::<4>().map_or(0, |code| i32::from_ne_bytes(*code));
    if code == 0 {
        return None;
    }
    let errno = Errno::from_raw(code.checked_neg().unwrap_or(libc::EIO));
    Some(Refusal { errno, note: note(message) })
}

/// The text of an extended acknowledgement.
fn note(message: &Message<'_>) -> Option<String> {
    if message.flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let mut at: usize = 4;
    if message.kind == NLMSG_ERROR {
        // The request's header, and unless capped its body, come first.
        let echoed = message.body.get(4..)?.first_chunk::<4>()?;
        let echoed = usize::try_from(u32::from_ne_bytes(*echoed)).ok()?;
        let whole = if message.flags & NLM_F_CAPPED == 0 { echoed } else { HEADER };
        at = at.checked_add(whole.checked_next_multiple_of(4)?)?;
    }
    attributes(message.body.get(at..)?)
        .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
        .map(|(_, text)| string(text))
}

/// One message of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Message type.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// Number of the request it answers; 0 for a notification.
    pub sequence: u32,
    /// Port of the socket that asked for it; 0 is the kernel itself.
    pub port: u32,
    /// Family header and attributes.
    pub body: &'a [u8],
}

/// The messages of a datagram; ends at the first that is malformed.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let header = bytes.first_chunk::<HEADER>()?;
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3] = *header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            port: u32::from_ne_bytes([p0, p1, p2, p3]),
            body,
        })
    })
}

/// Attributes as (type, value), the type without its nested and byte-order bits; ends at the first malformed one.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [l0, l1, k0, k1] = *bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & ATTRIBUTE_TYPE, value))
    })
}

/// A C string attribute up to its zero, whatever its encoding.
pub fn string(value: &[u8]) -> String {
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_attributes_have_the_length_of_their_content() {
        let request = Request::new(9, &[1, 2, 3, 4])
            .nest(3, |inside| inside.attribute(1, b"abc").attribute(2, &7u32.to_ne_bytes()))
            .attribute(5, &[]);
        let bytes = request.bytes(1);
        let message = messages(&bytes).next().unwrap();
        let outer: Vec<_> = attributes(&message.body[4..]).collect();
        assert_eq!(outer.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [3, 5]);
        let inner: Vec<_> = attributes(outer[0].1).collect();
        assert_eq!(inner, [(1, b"abc".as_slice()), (2, 7u32.to_ne_bytes().as_slice())]);
    }

    #[test]
    fn what_is_too_long_to_be_said_is_left_to_the_kernel_to_refuse() {
        let long = vec![0; 70_000];
        let requests = [
            Request::new(20, &[1; 8]).attribute(1, &long),
            Request::new(20, &[1; 8])
                .nest(1, |inside| (0..3).fold(inside, |inside, _| inside.attribute(2, &long[..30_000]))),
        ];
        for request in requests {
            assert_eq!(request.bytes(7).len(), HEADER);
        }
    }

    #[test]
    fn the_kernels_words_are_found_behind_the_echoed_request() {
        let echoed = Request::new(20, &[0; 8]).bytes(3);
        let mut body = (-libc::EINVAL).to_ne_bytes().to_vec();
        body.extend(&echoed);
        let text = Request::new(0, &[]).attribute(NLMSGERR_ATTR_MSG, b"bad prefix\0");
        body.extend(&text.body);
        let flags = NLM_F_ACK_TLVS;
        let refusal = verdict(&Message { kind: NLMSG_ERROR, flags, sequence: 3, port: 0, body: &body });
        let refusal = refusal.unwrap();
        assert_eq!(refusal.to_string(), "Invalid argument (EINVAL): bad prefix");
        assert_eq!(
            refusal.doing("adding 10.0.0.1/33 to eth0").to_string(),
            "adding 10.0.0.1/33 to eth0: Invalid argument (EINVAL): bad prefix"
        );
    }

    #[test]
    fn a_message_that_claims_more_or_less_than_there_is_ends_the_reading() {
        let good = Request::new(20, &[1; 8]).bytes(1);
        for length in [0u32, 15, 25, u32::MAX] {
            let mut bytes = good.clone();
            bytes.extend(&good);
            bytes[24..28].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(messages(&bytes).count(), 1, "length {length}");
        }
    }

    #[test]
    fn any_bytes_decode_without_panic() {
        proptest::proptest!(|(bytes: Vec<u8>, kind: u16, flags: u16)| {
            for message in messages(&bytes) {
                let _ = verdict(&message);
                let _ = attributes(message.body).count();
            }
            let _ = verdict(&Message { kind, flags, sequence: 0, port: 0, body: &bytes });
        });
    }
}
