//! `DNS_CHECK`: one question over UDP; an answer without an error passes, whatever it says. spec/checkers.md §9.
//!
//! [`query`] and [`read`] are pure. Nothing of an answer but its header (RFC 1035 §4.1.1) is looked at.

use std::os::fd::OwnedFd;

use tokio::time::{Instant, timeout_at};

use super::connect::{errno, open_datagram};
use crate::check::{Failure, Outcome};
use crate::config::model::{DnsCheck, DnsType};
use crate::kernel::random;

/// Of a message's header, in bytes.
const HEADER: usize = 12;
/// Recursion desired (RFC 1035 §4.1.1).
const RD: u16 = 0x0100;
/// The first bit of the flags: an answer.
const QR: u8 = 0x80;
/// The Internet (RFC 1035 §3.2.4).
const IN: u16 = 1;

/// The question's bytes.
///
/// ```text
/// +---------+---------------+-----------------+-----------------+
/// | id (16) | flags (16) RD | counts 1 0 0 0  | name type class |
/// +---------+---------------+-----------------+-----------------+
/// ```
pub fn query(id: u16, record: DnsType, name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + name.len() + 6);
    for field in [id, RD, 1, 0, 0, 0] {
        bytes.extend(field.to_be_bytes());
    }
    for label in name.split('.').filter(|label| !label.is_empty()) {
        // The model has valid names; a longer label would read as a pointer.
        let label = &label.as_bytes()[..label.len().min(63)];
        bytes.push(u8::try_from(label.len()).unwrap_or(63));
        bytes.extend(label);
    }
    bytes.push(0);
    bytes.extend(record.number().to_be_bytes());
    bytes.extend(IN.to_be_bytes());
    bytes
}

/// What a datagram says to the question `id`: the error code, or `None` when it is no answer to it.
pub fn read(id: u16, bytes: &[u8]) -> Option<u8> {
    let header: &[u8; HEADER] = bytes.first_chunk()?;
    let is_answer = header[..2] == id.to_be_bytes() && header[2] & QR != 0;
    is_answer.then_some(header[3] & 0x0f)
}

/// One attempt.
pub(super) async fn run(check: &DnsCheck, socket: Option<OwnedFd>) -> Outcome {
    let deadline = Instant::now() + check.connection.timeout;
    let socket = match open_datagram(&check.connection, socket) {
        Ok(socket) => socket,
        Err(outcome) => return outcome,
    };
    let mut id = [0; 2];
    if let Err(error) = random::fill(&mut id) {
        return Outcome::NotTried { errno: None, what: format!("drawing a number: {error}") };
    }
    let id = u16::from_be_bytes(id);
    let failed = |failure| Outcome::Failed(failure);
    if let Err(error) = socket.send(&query(id, check.record, &check.name)).await {
        return failed(Failure::Send { errno: errno(&error) });
    }
    let mut buffer = [0; HEADER];
    loop {
        // A datagram that is longer than the buffer is cut to it.
        match timeout_at(deadline, socket.recv(&mut buffer)).await {
            Err(_) => return failed(Failure::ReadTimeout { received: false }),
            Ok(Err(error)) => return failed(Failure::Read { errno: errno(&error) }),
            Ok(Ok(length)) => match read(id, &buffer[..length]) {
                Some(0) => return Outcome::Passed,
                Some(rcode) => return failed(Failure::Rcode { rcode }),
                // Not to our question. A flood of these must not starve the other checks.
                None => tokio::task::yield_now().await,
            },
        }
        if Instant::now() >= deadline {
            return failed(Failure::ReadTimeout { received: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::check::Probe;
    use crate::check::probe::Probes;
    use crate::check::probe::server::{connection, nobody_for_datagrams, on_a_reactor};
    use crate::config::model::Connection;

    #[test]
    fn questions_are_those_of_the_specification() {
        let named = query(0xabcd, DnsType::A, "www.example.com");
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        assert_eq!(
            hex(&named),
            "abcd01000001000000000000\
             03777777076578616d706c6503636f6d00\
             00010001"
        );
        assert_eq!(query(0xabcd, DnsType::A, "www.example.com."), named, "a trailing dot changes nothing");
        assert_eq!(hex(&query(1, DnsType::Soa, "")), "0001010000010000000000000000060001");
        assert_eq!(query(1, DnsType::Soa, "."), query(1, DnsType::Soa, ""));
        let numbers = DnsType::ALL.map(|(record, _)| record.number());
        assert_eq!(numbers, [1, 2, 5, 6, 15, 16, 28, 46, 48]);
    }

    #[test]
    fn only_an_answer_to_the_question_counts() {
        let answer = |flags: [u8; 2]| [&[0xab, 0xcd], &flags[..], &[0; 8]].concat();
        assert_eq!(read(0xabcd, &answer([0x81, 0x80])), Some(0));
        assert_eq!(read(0xabcd, &answer([0x81, 0x83])), Some(3));
        assert_eq!(read(0xabce, &answer([0x81, 0x80])), None, "another id");
        assert_eq!(read(0xabcd, &answer([0x01, 0x00])), None, "a question");
        assert_eq!(read(0xabcd, &answer([0x81, 0x80])[..11]), None, "too short");
    }

    /// The outcome against a server that answers `flags` behind some junk.
    fn against(junk: &'static [&'static [u8]], flags: Option<[u8; 2]>) -> Outcome {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let played = thread::spawn(move || {
            let mut buffer = [0; 512];
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            for datagram in junk {
                server.send_to(datagram, from).unwrap();
            }
            if let Some(flags) = flags {
                buffer[2..4].copy_from_slice(&flags);
                server.send_to(&buffer[..length], from).unwrap();
            }
            server
        });
        let connection = Connection { timeout: Duration::from_millis(300), ..connection(address) };
        let probe = Probe::Dns(DnsCheck { connection, record: DnsType::Mx, name: "example.com".into() });
        let outcome = on_a_reactor(async { Probes::new().run(&probe, None).await.0 });
        drop(played.join().unwrap());
        outcome
    }

    #[test]
    fn servers_are_judged_by_their_error_code() {
        assert_eq!(against(&[], Some([0x81, 0x80])), Outcome::Passed);
        assert_eq!(against(&[], Some([0x81, 0x82])), Outcome::Failed(Failure::Rcode { rcode: 2 }));
        assert_eq!(against(&[b"", b"short", &[0xff; 400]], Some([0x80, 0x00])), Outcome::Passed);
        let silent = Outcome::Failed(Failure::ReadTimeout { received: false });
        assert_eq!(against(&[], None), silent);
        assert_eq!(against(&[], Some([0x01, 0x00])), silent);
        let probe = Probe::Dns(DnsCheck {
            connection: connection(nobody_for_datagrams()),
            record: DnsType::Soa,
            name: String::new(),
        });
        let outcome = on_a_reactor(async { Probes::new().run(&probe, None).await.0 });
        assert_eq!(outcome, Outcome::Failed(Failure::Read { errno: libc::ECONNREFUSED }));
    }
}
