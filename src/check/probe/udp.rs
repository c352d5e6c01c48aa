//! `UDP_CHECK`: a datagram that is not refused, or that is answered as wanted. spec/checkers.md §10.
//!
//! Unlike those of a TCP check, errors of this host count as failures.

use std::os::fd::OwnedFd;

use tokio::time::{Instant, timeout_at};

use super::connect::{errno, open_datagram};
use crate::check::{Failure, Outcome};
use crate::config::model::{UdpCheck, UdpReply};

/// What is sent without `payload`.
pub const PAYLOAD: &[u8; 32] = b"keepalived check - keepalived ch";

/// Longest datagram that is looked at; more can only be too long.
const LONGEST: usize = 65_536;

/// One attempt.
pub(super) async fn run(check: &UdpCheck, socket: Option<OwnedFd>) -> Outcome {
    match attempt(check, socket).await {
        Ok(()) => Outcome::Passed,
        Err(failure) => Outcome::Failed(failure),
    }
}

async fn attempt(check: &UdpCheck, socket: Option<OwnedFd>) -> Result<(), Failure> {
    let deadline = Instant::now() + check.connection.timeout;
    let refused = |error: &std::io::Error| Failure::ConnectRefused { errno: errno(error), at_once: true };
    let socket = open_datagram(&check.connection, socket).map_err(|outcome| match outcome {
        Outcome::NotTried { errno, .. } => {
            Failure::ConnectRefused { errno: errno.unwrap_or(0), at_once: true }
        }
        Outcome::Failed(failure) => failure,
        Outcome::Passed => Failure::NoData,
    })?;
    let payload = check.payload.as_deref().unwrap_or(PAYLOAD);
    socket.send(payload).await.map_err(|error| refused(&error))?;
    let mut buffer = vec![0; if check.reply.is_some() { LONGEST } else { 1 }];
    match timeout_at(deadline, socket.recv(&mut buffer)).await {
        // Silence is what most services answer to nonsense.
        Err(_) if check.reply.is_none() => Ok(()),
        Err(_) => Err(Failure::ReadTimeout { received: false }),
        Ok(Err(error)) => Err(Failure::ConnectRefused { errno: errno(&error), at_once: false }),
        Ok(Ok(length)) => match &check.reply {
            Some(reply) if !matches(reply, &buffer[..length]) => Err(Failure::Reply),
            _ => Ok(()),
        },
    }
}

/// Is this the wanted reply? One that is shorter than the pattern is compared as far as it goes; without a pattern
/// stock does not look at the lengths.
pub fn matches(reply: &UdpReply, bytes: &[u8]) -> bool {
    if reply.pattern.is_empty() {
        return true;
    }
    (usize::from(reply.min_length)..=usize::from(reply.max_length)).contains(&bytes.len())
        && bytes.iter().zip(&reply.pattern).all(|(byte, wanted)| byte & wanted.mask == wanted.value)
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
    use crate::config::model::{Connection, PatternByte};

    fn pattern(text: &[(u8, u8)]) -> Vec<PatternByte> {
        text.iter().map(|(value, mask)| PatternByte { value: *value, mask: *mask }).collect()
    }

    fn reply(pattern: Vec<PatternByte>, min_length: u16, max_length: u16) -> UdpReply {
        UdpReply { min_length, max_length, pattern }
    }

    /// What a check says of a server that answers each datagram with these bytes, and what it had sent.
    fn against(answer: Option<&'static [u8]>, reply: Option<UdpReply>) -> (Outcome, Vec<u8>) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let played = thread::spawn(move || {
            let mut buffer = [0; 2000];
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            if let Some(answer) = answer {
                server.send_to(answer, from).unwrap();
            }
            (server, buffer[..length].to_vec())
        });
        let connection = Connection { timeout: Duration::from_millis(300), ..connection(address) };
        let probe = Probe::Udp(UdpCheck { connection, payload: None, reply });
        let outcome = on_a_reactor(async { Probes::new().run(&probe, None).await.0 });
        (outcome, played.join().unwrap().1)
    }

    #[test]
    fn silence_passes_unless_a_reply_is_required() {
        let (outcome, sent) = against(None, None);
        assert_eq!((outcome, sent), (Outcome::Passed, PAYLOAD.to_vec()));
        let any = reply(Vec::new(), 0, 255);
        assert_eq!(
            against(None, Some(any.clone())).0,
            Outcome::Failed(Failure::ReadTimeout { received: false })
        );
        assert_eq!(against(Some(b""), Some(any.clone())).0, Outcome::Passed, "an empty datagram is a reply");
        let long = UdpReply { min_length: 50, ..any };
        assert_eq!(against(Some(b"20 bytes............"), Some(long)).0, Outcome::Passed);
    }

    #[test]
    fn a_reply_must_match_where_the_mask_says_so() {
        let wanted = pattern(&[(0x01, 0xff), (0x20, 0xf0)]);
        let answers: [(&[u8], bool); 6] = [
            (&[0x01, 0x2f], true),
            (&[0x01, 0x3f], false),
            (&[0x01], true),
            (&[0x01, 0x20, 0x99], true),
            (&[0x01, 0x20, 0x99, 0x99], false),
            (&[], false),
        ];
        for (answer, passes) in answers {
            assert_eq!(matches(&reply(wanted.clone(), 1, 3), answer), passes, "{answer:?}");
        }
        let wrong = against(Some(&[0x02]), Some(reply(wanted, 0, 255)));
        assert_eq!(wrong.0, Outcome::Failed(Failure::Reply));
    }

    #[test]
    fn a_port_where_nobody_listens_fails_at_once() {
        let nobody = nobody_for_datagrams();
        let probe = Probe::Udp(UdpCheck { connection: connection(nobody), payload: None, reply: None });
        let outcome = on_a_reactor(async { Probes::new().run(&probe, None).await.0 });
        let Outcome::Failed(Failure::ConnectRefused { errno, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(errno, libc::ECONNREFUSED);
    }
}
