//! `PING_CHECK`: an echo that comes back. spec/checkers.md §11.
//!
//! The socket comes from the checkers process, connected: a datagram ICMP socket where the host lets us have one, else a
//! raw one, which sees everything that this one address sends. Stock widens the host's `ping_group_range` instead.
//! [`request`] and [`is_reply`] are pure.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::time::{Instant, timeout_at};

use super::connect::{errno, not_tried, prepare, refused_at_once};
use crate::check::{Failure, Outcome};
use crate::config::model::{Connection, LocalEnd};
use crate::kernel::random;
use crate::kernel::readiness::Watched;

/// Type of a request and of its reply (RFC 792; RFC 4443 §4).
const V4: (u8, u8) = (8, 0);
const V6: (u8, u8) = (128, 129);
/// The text of the payload, repeated.
const TEXT: &[u8] = b"keepalived check - ";
/// Length of the payload, in bytes.
const PAYLOAD: usize = 128;
/// Of the ICMP header, in bytes.
const HEADER: usize = 8;
/// Longest datagram that is looked at: an IPv4 header with all options, and our echo.
const LONGEST: usize = 60 + HEADER + PAYLOAD;
/// Stock's receive buffer, in bytes.
const RECEIVE_BUFFER: usize = 128 << 10;

/// The echo request. The kernel fills in the checksum of IPv6, and identifiers of datagram sockets.
///
/// ```text
/// +----------+----------+---------------+---------+----------+----------------+
/// | type (8) | code (8) | checksum (16) | id (16) | seq (16) | payload (1024) |
/// +----------+----------+---------------+---------+----------+----------------+
/// ```
pub fn request(address: IpAddr, id: u16, sequence: u16) -> Vec<u8> {
    let (kind, _) = if address.is_ipv4() { V4 } else { V6 };
    let mut bytes = vec![kind, 0, 0, 0];
    bytes.extend(id.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(TEXT.iter().cycle().take(PAYLOAD));
    if address.is_ipv4() {
        let sum = checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// Ones' complement of the ones' complement sum of 16-bit words (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// What comes in front of the ICMP header, and whether the identifier is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A datagram socket: no IP header; the kernel knows the identifier.
    Datagram,
    /// A raw socket: IPv4 comes with its header; the identifier is this one.
    Raw {
        /// As sent.
        id: u16,
    },
}

/// Is this the reply to the request with that sequence number?
pub fn is_reply(address: IpAddr, framing: Framing, sequence: u16, bytes: &[u8]) -> bool {
    let message = match framing {
        Framing::Raw { .. } if address.is_ipv4() => {
            // Version and length of the header in words (RFC 791 §3.1).
            let header = bytes.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
            bytes.get(header..).unwrap_or(&[])
        }
        _ => bytes,
    };
    let (_, reply) = if address.is_ipv4() { V4 } else { V6 };
    let Some(header) = message.first_chunk::<HEADER>() else { return false };
    let same_id = match framing {
        Framing::Datagram => true,
        Framing::Raw { id } => header[4..6] == id.to_be_bytes(),
    };
    header[..2] == [reply, 0] && same_id && header[6..] == sequence.to_be_bytes()
}

/// A connected socket for echoes, with the rights of this process.
pub fn open(connection: &Connection) -> Result<OwnedFd, Outcome> {
    let address = connection.destination.ip();
    let domain = Domain::for_address(connection.destination);
    let protocol = if address.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
    let kind = |kind: Type| Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol));
    let what = || format!("opening a socket for echoes to {address}");
    let socket = kind(Type::DGRAM).or_else(|_| kind(Type::RAW)).map_err(|error| not_tried(&error, what))?;
    // The mark and ports are not for echoes.
    let local = LocalEnd { fwmark: 0, bind_port: 0, ..LocalEnd::clone(&connection.local) };
    let plain = Connection { local: local.into(), ..connection.clone() };
    prepare(&socket, &plain)?;
    // Too little room is no reason not to ask.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let destination = SockAddr::from(SocketAddr::new(address, 0));
    socket.connect(&destination).map_err(|error| no_way(&error, connection.destination))?;
    Ok(socket.into())
}

/// A server that no route leads to is down, as one that does not answer: stock finds out when it sends.
fn no_way(error: &io::Error, destination: SocketAddr) -> Outcome {
    match refused_at_once(error, destination) {
        Outcome::Failed(Failure::ConnectRefused { errno, .. }) => Outcome::Failed(Failure::Send { errno }),
        outcome => outcome,
    }
}

/// One attempt.
pub(super) async fn run(connection: &Connection, sequence: u16, socket: Option<OwnedFd>) -> Outcome {
    let deadline = Instant::now() + connection.timeout;
    let socket = match socket.map_or_else(|| open(connection), Ok) {
        Ok(socket) => Socket::from(socket),
        Err(outcome) => return outcome,
    };
    let mut id = [0; 2];
    if let Err(error) = random::fill(&mut id) {
        return Outcome::NotTried { errno: None, what: format!("drawing a number: {error}") };
    }
    let id = u16::from_be_bytes(id);
    let framing = match socket.r#type() {
        Ok(Type::RAW) => Framing::Raw { id },
        _ => Framing::Datagram,
    };
    let address = connection.destination.ip();
    if let Err(error) = socket.send(&request(address, id, sequence)) {
        return Outcome::Failed(Failure::Send { errno: errno(&error) });
    }
    let socket = match Watched::readable_only(socket) {
        Ok(socket) => socket,
        Err(error) => return Outcome::NotTried { errno: None, what: error.to_string() },
    };
    let expected = |bytes: &[u8]| is_reply(address, framing, sequence, bytes);
    match timeout_at(deadline, receive(&socket, expected)).await {
        Err(_) => Outcome::Failed(Failure::ReadTimeout { received: false }),
        Ok(Err(error)) => Outcome::Failed(Failure::Read { errno: errno(&error) }),
        Ok(Ok(())) => Outcome::Passed,
    }
}

/// Waits for the expected datagram.
async fn receive(socket: &Watched<Socket>, expected: impl Fn(&[u8]) -> bool) -> io::Result<()> {
    let mut buffer = [0; LONGEST];
    loop {
        let length = socket.read(|mut socket: &Socket| socket.read(&mut buffer)).await?;
        if expected(&buffer[..length]) {
            return Ok(());
        }
        // Something else of that address. A flood must not starve the other checks.
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::Probe;
    use crate::check::probe::Probes;
    use crate::check::probe::server::{connection, on_a_reactor};

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[test]
    fn requests_are_stocks() {
        let bytes = request(HERE, 0x1234, 1);
        assert_eq!((bytes.len(), &bytes[..2]), (136, &[8, 0][..]));
        assert_eq!(&bytes[8..46], b"keepalived check - keepalived check - ");
        assert_eq!(checksum(&bytes), 0, "a right checksum makes the sum zero");
        let v6 = request(THERE, 0x1234, 1);
        assert_eq!((v6.len(), &v6[..8]), (136, &[128, 0, 0, 0, 0x12, 0x34, 0, 1][..]));
    }

    #[test]
    fn only_the_echo_of_this_request_counts() {
        let mut echo = request(HERE, 0x1234, 7);
        echo[0] = 0;
        assert!(is_reply(HERE, Framing::Datagram, 7, &echo));
        assert!(!is_reply(HERE, Framing::Datagram, 8, &echo));
        assert!(!is_reply(HERE, Framing::Datagram, 7, &echo[..7]));
        let raw = |header: u8| [vec![header; 20], echo.clone()].concat();
        assert!(is_reply(HERE, Framing::Raw { id: 0x1234 }, 7, &raw(0x45)));
        assert!(!is_reply(HERE, Framing::Raw { id: 0x1235 }, 7, &raw(0x45)));
        assert!(!is_reply(HERE, Framing::Raw { id: 0x1234 }, 7, &raw(0x4f)));
        assert!(!is_reply(HERE, Framing::Raw { id: 0x1234 }, 7, &[]));
        let mut v6 = request(THERE, 9, 7);
        v6[0] = 129;
        assert!(is_reply(THERE, Framing::Raw { id: 9 }, 7, &v6));
        assert!(!is_reply(THERE, Framing::Raw { id: 9 }, 7, &request(THERE, 9, 7)), "our own request");
    }

    #[test]
    fn a_server_without_a_route_has_failed() {
        let outcome = |errno| no_way(&io::Error::from_raw_os_error(errno), SocketAddr::new(HERE, 0));
        for errno in [libc::ENETUNREACH, libc::EHOSTUNREACH] {
            assert_eq!(outcome(errno), Outcome::Failed(Failure::Send { errno }));
        }
        assert!(matches!(outcome(libc::EACCES), Outcome::NotTried { errno: Some(libc::EACCES), .. }));
    }

    #[test]
    fn this_host_answers() {
        for address in [HERE, THERE] {
            let connection =
                Connection { timeout: Duration::from_secs(3), ..connection(SocketAddr::new(address, 0)) };
            match open(&connection) {
                Ok(socket) => {
                    let probe = Probe::Ping { connection, sequence: 3 };
                    let run = async { Probes::new().run(&probe, Some(socket)).await.0 };
                    assert_eq!(on_a_reactor(run), Outcome::Passed, "{address}");
                }
                Err(outcome) => println!("skipped: {outcome:?}"),
            }
        }
    }
}
