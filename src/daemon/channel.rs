//! How messages travel between two of our processes: postcard in packets, large ones in a sealed memory file.
//!
//! A sender never waits: what the socket does not take is queued and leaves while [`Channel::next`] is awaited. What is
//! said is in [`super::ipc`]. A packet is one byte of `Frame` followed by the message.

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::kernel::error::Error as KernelError;
use crate::kernel::fdpass::{self, Packet, PacketSocket};
use crate::kernel::memfd;

/// Messages up to this many bytes travel in the packet itself.
const INLINE: usize = 32 << 10;

/// Packets that may wait for a slow peer; memory files count once, whatever they hold. Every real server of the largest
/// configurations changes its state at once when the daemon starts.
const QUEUE: usize = 1 << 16;

/// Room for packets that wait that is kept.
const ROOM: usize = 16;

/// Packets of nonsense that are told; who sends more is not listened to any more.
const NONSENSE: u32 = 16;

/// What a packet consists of, in its first byte: bit 0, the message is in a memory file, the first descriptor; bit 1,
/// an extra descriptor comes with it, the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    in_file: bool,
    extra: bool,
}

impl Frame {
    fn byte(self) -> u8 {
        u8::from(self.in_file) | u8::from(self.extra) << 1
    }

    fn parse(byte: u8) -> Option<Self> {
        (byte < 4).then_some(Self { in_file: byte & 1 != 0, extra: byte & 2 != 0 })
    }

    fn descriptors(self) -> usize {
        usize::from(self.in_file) + usize::from(self.extra)
    }
}

/// Why a message could not be sent or understood.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// The peer has closed its end, or is gone.
    #[error("the other process has closed the channel")]
    Closed,
    /// The peer has not read for a long time.
    #[error("the other process does not read: {QUEUE} messages are waiting")]
    Full,
    /// A packet that none of our processes sends. The channel goes on with the next one.
    #[error("the other process sent something that cannot be understood: {0}")]
    Malformed(&'static str),
    /// The message could not be encoded or decoded. The channel goes on with the next one.
    #[error("a message between the processes: {0}")]
    Postcard(#[from] postcard::Error),
    /// The socket or the memory file failed.
    #[error("the channel between the processes: {0}")]
    Socket(#[from] io::Error),
}

/// A message as received.
#[derive(Debug)]
pub struct Received<Rx> {
    /// What was said.
    pub message: Rx,
    /// The descriptor that came with it.
    pub descriptor: Option<OwnedFd>,
}

/// One end of the connection between two processes: says `Tx`, hears `Rx`.
pub struct Channel<Tx, Rx> {
    socket: PacketSocket,
    waiting: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    closed: bool,
    /// Packets that could not be understood.
    nonsense: u32,
    says: PhantomData<fn(Tx, Rx)>,
}

impl<Tx: Serialize, Rx: DeserializeOwned> Channel<Tx, Rx> {
    /// Takes over one end of a pair. Must be called inside a tokio runtime.
    pub fn new(descriptor: OwnedFd) -> Result<Self, KernelError> {
        Ok(Self {
            socket: PacketSocket::new(descriptor)?,
            waiting: VecDeque::new(),
            closed: false,
            nonsense: 0,
            says: PhantomData,
        })
    }

    /// A new connection: this process' end, and the descriptor for the other process. Needs a tokio runtime.
    pub fn pair() -> Result<(Self, OwnedFd), ChannelError> {
        let (near, far) = fdpass::pair()?;
        let near = Self::new(near).map_err(|error| io::Error::from(error.errno))?;
        Ok((near, far))
    }

    /// Says something. Never waits.
    pub fn send(&mut self, message: &Tx) -> Result<(), ChannelError> {
        self.put(message, None, QUEUE)
    }

    /// The same for what must not be lost, however much waits already.
    pub fn send_surely(&mut self, message: &Tx) -> Result<(), ChannelError> {
        self.put(message, None, usize::MAX)
    }

    /// Says something and hands over a descriptor with it. Never waits.
    pub fn send_with(&mut self, message: &Tx, descriptor: OwnedFd) -> Result<(), ChannelError> {
        self.put(message, Some(descriptor), QUEUE)
    }

    fn put(&mut self, message: &Tx, extra: Option<OwnedFd>, most: usize) -> Result<(), ChannelError> {
        if self.closed {
            return Err(ChannelError::Closed);
        }
        if self.waiting.len() >= most {
            return Err(ChannelError::Full);
        }
        let Written { mut bytes, file } = postcard::to_io(message, Written::default())?;
        let frame = Frame { in_file: file.is_some(), extra: extra.is_some() };
        let mut descriptors = Vec::new();
        if let Some(mut file) = file {
            file.write(&bytes)?;
            bytes.clear();
            descriptors.push(file.sealed()?);
        }
        bytes.insert(0, frame.byte());
        descriptors.extend(extra);
        self.waiting.push_back((bytes, descriptors));
        self.push()
    }

    /// Sends what the socket takes now.
    fn push(&mut self) -> Result<(), ChannelError> {
        while let Some((bytes, descriptors)) = self.waiting.front() {
            match self.socket.send(bytes, descriptors) {
                Ok(()) => self.sent(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(())
    }

    /// The first of those that wait has left.
    fn sent(&mut self) {
        self.waiting.pop_front();
        if self.waiting.is_empty() {
            self.waiting.shrink_to(ROOM);
        }
    }

    /// Says nothing any more, not even what waits.
    pub fn fall_silent(&mut self) {
        self.closed = true;
        self.waiting.clear();
    }

    fn broken(&mut self, error: io::Error) -> ChannelError {
        self.fall_silent();
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => {
                ChannelError::Closed
            }
            _ => ChannelError::Socket(error),
        }
    }

    /// Waits for the next message, and meanwhile sends what was queued. `None` when the other process closed its end
    /// or died, and everything it had said was heard, or when it talks nothing but nonsense. Safe to cancel, as in
    /// `select!`.
    pub async fn next(&mut self) -> Option<Result<Received<Rx>, ChannelError>> {
        loop {
            let packet = match self.waiting.front() {
                None => self.socket.receive().await,
                Some((bytes, descriptors)) => tokio::select! {
                    biased;
                    packet = self.socket.receive() => packet,
                    sent = self.socket.send_later(bytes, descriptors) => {
                        match sent {
                            Ok(()) => self.sent(),
                            // What the peer said before it closed is still to be read.
                            Err(error) => { self.broken(error); }
                        }
                        continue;
                    }
                },
            };
            return match packet {
                Ok(Some(packet)) => {
                    let decoded = decode(packet);
                    self.nonsense += u32::from(decoded.is_err());
                    if self.nonsense > NONSENSE {
                        self.fall_silent();
                        return None;
                    }
                    Some(decoded)
                }
                Ok(None) => {
                    self.fall_silent();
                    None
                }
                Err(error) => match self.broken(error) {
                    ChannelError::Closed => None,
                    error => Some(Err(error)),
                },
            };
        }
    }

    /// Waits until everything said has left; for the last words of a process.
    pub async fn flush(&mut self) -> Result<(), ChannelError> {
        while let Some((bytes, descriptors)) = self.waiting.front() {
            if let Err(error) = self.socket.send_later(bytes, descriptors).await {
                return Err(self.broken(error));
            }
            self.sent();
        }
        Ok(())
    }

    /// Is the other process known to be gone?
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

/// A message while it is written down: what is too long for a packet goes to a memory file piece by piece, so that it is not in
/// memory twice.
#[derive(Default)]
struct Written {
    /// All of it, or what comes behind the file.
    bytes: Vec<u8>,
    file: Option<memfd::Writer>,
}

impl io::Write for Written {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > INLINE {
            let file = match &mut self.file {
                Some(file) => file,
                None => self.file.insert(memfd::Writer::new()?),
            };
            file.write(&self.bytes)?;
            self.bytes.clear();
            if more.len() > INLINE {
                file.write(more)?;
                return Ok(more.len());
            }
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn decode<Rx: DeserializeOwned>(packet: Packet) -> Result<Received<Rx>, ChannelError> {
    let Packet { bytes, mut descriptors, cut } = packet;
    if cut {
        return Err(ChannelError::Malformed("a packet that is too long"));
    }
    let (&first, inline) = bytes.split_first().ok_or(ChannelError::Malformed("an empty packet"))?;
    let frame = Frame::parse(first).ok_or(ChannelError::Malformed("an unknown kind of packet"))?;
    if descriptors.len() != frame.descriptors() {
        return Err(ChannelError::Malformed("a wrong number of descriptors"));
    }
    let descriptor = if frame.extra { descriptors.pop() } else { None };
    let message = match descriptors.pop() {
        Some(file) => whole(&memfd::contents(file)?)?,
        None => whole(inline)?,
    };
    Ok(Received { message, descriptor })
}

/// Decodes a message that must use up all bytes.
fn whole<Rx: DeserializeOwned>(bytes: &[u8]) -> Result<Rx, ChannelError> {
    match postcard::take_from_bytes(bytes)? {
        (message, []) => Ok(message),
        _ => Err(ChannelError::Malformed("bytes behind a message")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use proptest::prelude::*;

    use super::*;
    use crate::config::model::VrrpPart;
    use crate::daemon::ipc::{FromChild, FromProber, ToChild};

    fn on_a_reactor<F: Future>(test: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    fn pair() -> (Channel<String, String>, Channel<String, String>) {
        let (near, far) = Channel::pair().unwrap();
        (near, Channel::new(far).unwrap())
    }

    #[test]
    fn messages_arrive_in_order_whatever_their_size() {
        on_a_reactor(async {
            let (mut near, mut far) = pair();
            let sizes = [0, 1, INLINE - 8, INLINE, INLINE + 1, 3 << 20];
            for size in sizes {
                near.send(&"x".repeat(size)).unwrap();
            }
            for size in sizes {
                assert_eq!(far.next().await.unwrap().unwrap().message.len(), size);
            }
        });
    }

    #[test]
    fn a_descriptor_comes_with_its_message_small_or_large() {
        on_a_reactor(async {
            for size in [3, 100_000] {
                let (mut near, mut far) = pair();
                let (reader, writer) = nix::unistd::pipe().unwrap();
                near.send_with(&"y".repeat(size), reader).unwrap();
                let received = far.next().await.unwrap().unwrap();
                assert_eq!(received.message.len(), size);
                File::from(writer).write_all(b"through").unwrap();
                let mut text = String::new();
                File::from(received.descriptor.unwrap()).read_to_string(&mut text).unwrap();
                assert_eq!(text, "through");
            }
        });
    }

    #[test]
    fn a_sender_does_not_wait_for_a_peer_that_does_not_read_and_nothing_is_lost() {
        on_a_reactor(async {
            let (mut near, mut far) = pair();
            for number in 0..2000 {
                near.send(&format!("{number:01000}")).unwrap();
            }
            assert!(!near.waiting.is_empty(), "the socket took everything: the test shows nothing");
            let hear = async {
                for number in 0..2000 {
                    assert_eq!(far.next().await.unwrap().unwrap().message, format!("{number:01000}"));
                }
            };
            tokio::select! {
                () = hear => {}
                other = near.next() => panic!("the silent peer said {other:?}"),
            }
        });
    }

    #[test]
    fn a_full_queue_is_reported() {
        on_a_reactor(async {
            let (mut near, _far) = pair();
            let mut sent = 0;
            let error = loop {
                match near.send(&"z".repeat(1000)) {
                    Ok(()) => sent += 1,
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, ChannelError::Full), "{error}");
            assert!(sent > QUEUE);
            near.send_surely(&"an answer".to_owned()).unwrap();
            assert_eq!(near.waiting.len(), QUEUE + 1);
        });
    }

    #[test]
    fn last_words_are_heard_before_the_end_is() {
        on_a_reactor(async {
            let (mut near, mut far) = pair();
            near.send(&"last words".to_owned()).unwrap();
            drop(near);
            assert_eq!(far.next().await.unwrap().unwrap().message, "last words");
            assert!(far.next().await.is_none());
            assert!(matches!(far.send(&String::new()), Err(ChannelError::Closed)));
        });
    }

    #[test]
    fn a_packet_of_nonsense_is_reported_and_the_next_message_is_heard() {
        on_a_reactor(async {
            let (near, far) = fdpass::pair().unwrap();
            let mut far: Channel<String, ToChild<VrrpPart>> = Channel::new(far).unwrap();
            let raw = PacketSocket::new(near).unwrap();
            raw.send(&[9, 9, 9], &[]).unwrap();
            raw.send(&[1, 9, 9], &[]).unwrap();
            let (reader, _writer) = nix::unistd::pipe().unwrap();
            raw.send(&[1], &[reader]).unwrap();
            raw.send(&[0, 200], &[]).unwrap();
            raw.send(&postcard::to_extend(&ToChild::<VrrpPart>::Stop, vec![0_u8]).unwrap(), &[]).unwrap();
            for _ in 0..4 {
                assert!(far.next().await.unwrap().is_err());
            }
            assert_eq!(far.next().await.unwrap().unwrap().message, ToChild::Stop);
        });
    }

    #[test]
    fn who_talks_nothing_but_nonsense_is_not_listened_to() {
        on_a_reactor(async {
            let (near, far) = fdpass::pair().unwrap();
            let mut far: Channel<String, ToChild<VrrpPart>> = Channel::new(far).unwrap();
            let raw = PacketSocket::new(near).unwrap();
            let mut told = 0;
            for _ in 0..100 {
                raw.send(&[9, 9, 9], &[]).unwrap();
                match far.next().await {
                    Some(answer) => told += u32::from(answer.is_err()),
                    None => break,
                }
            }
            assert_eq!(told, NONSENSE);
            assert!(far.is_closed());
        });
    }

    proptest! {
        #[test]
        fn no_bytes_whatsoever_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let packet = |bytes: &[u8]| Packet { bytes: bytes.to_vec(), descriptors: vec![], cut: false };
            let _ = decode::<ToChild<VrrpPart>>(packet(&bytes));
            let _ = decode::<FromChild>(packet(&bytes));
            let _ = decode::<FromProber>(packet(&bytes));
            let mut inline = vec![0];
            inline.extend(&bytes);
            let _ = decode::<ToChild<VrrpPart>>(packet(&inline));
            let _ = decode::<FromChild>(packet(&inline));
        }
    }
}
