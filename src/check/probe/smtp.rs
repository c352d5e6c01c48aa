//! `SMTP_CHECK`: greeting, HELO, QUIT. spec/checkers.md §8.
//!
//! Only the first line of each reply is looked at, and as stock does it: the code, then a blank or the end of the line.
//! [`Line`] is pure. A hostile server costs one short line of memory, and no more time than [`total_limit`].

use std::os::fd::OwnedFd;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::connect::{connect, errno};
use super::http::total_limit;
use crate::check::{Failure, Outcome};
use crate::config::model::SmtpCheck;

/// Longest line, in bytes, its end included (stock's buffer).
pub const LONGEST: usize = 511;

/// A line in the making.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line(Vec<u8>);

impl Line {
    /// Takes the next bytes. True when the line is complete, or too long to become one.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        let room = LONGEST - self.0.len();
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(bytes.len()).min(room);
        self.0.extend(&bytes[..taken]);
        end.is_some() || self.0.len() == LONGEST
    }

    /// Does it say `code`, with a blank or nothing behind it? A CR is something.
    pub fn says(&self, code: &str) -> bool {
        self.0.strip_prefix(code.as_bytes()).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b' '))
    }
}

/// One attempt.
pub(super) async fn run(check: &SmtpCheck, socket: Option<OwnedFd>) -> Outcome {
    let stream = match connect(&check.connection, socket).await {
        Ok(stream) => stream,
        Err(outcome) => return outcome,
    };
    let timeout = check.connection.timeout;
    let mut dialogue =
        Dialogue { stream, check, limit: Instant::now() + total_limit(timeout), rest: Vec::new() };
    match dialogue.play().await {
        Ok(()) => Outcome::Passed,
        Err(failure) => Outcome::Failed(failure),
    }
}

struct Dialogue<'a> {
    stream: TcpStream,
    check: &'a SmtpCheck,
    /// The whole must be over by then.
    limit: Instant,
    /// What came behind the last line.
    rest: Vec<u8>,
}

impl Dialogue<'_> {
    async fn play(&mut self) -> Result<(), Failure> {
        if !self.line().await?.says("220") {
            return Err(Failure::Greeting);
        }
        let helo = format!("HELO {}\r\n", self.check.helo);
        self.send(helo.as_bytes()).await?;
        if !self.line().await?.says("250") {
            return Err(Failure::Helo);
        }
        self.send(b"QUIT\r\n").await?;
        // Whatever it says.
        self.line().await.map(|_| ())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let deadline = self.deadline();
        match timeout_at(deadline, self.stream.write_all(bytes)).await {
            Err(_) => Err(Failure::Send { errno: libc::ETIMEDOUT }),
            Ok(Err(error)) => Err(Failure::Send { errno: errno(&error) }),
            Ok(Ok(())) => Ok(()),
        }
    }

    async fn line(&mut self) -> Result<Line, Failure> {
        let mut line = Line::default();
        // A server may say its lines before it is asked.
        let before = std::mem::take(&mut self.rest);
        if self.take(&mut line, &before) {
            return Ok(line);
        }
        let mut buffer = [0; LONGEST];
        loop {
            let deadline = self.deadline();
            match timeout_at(deadline, self.stream.read(&mut buffer)).await {
                Err(_) => return Err(Failure::ReadTimeout { received: false }),
                Ok(Err(error)) => return Err(Failure::Read { errno: errno(&error) }),
                Ok(Ok(0)) => return Err(Failure::NoData),
                Ok(Ok(length)) => {
                    if self.take(&mut line, &buffer[..length]) {
                        return Ok(line);
                    }
                }
            }
        }
    }

    /// Feeds a line and keeps what is behind it, which one read and one line bound.
    fn take(&mut self, line: &mut Line, bytes: &[u8]) -> bool {
        let complete = line.feed(bytes);
        if let (true, Some(end)) = (complete, bytes.iter().position(|byte| *byte == b'\n')) {
            self.rest = bytes[end + 1..].to_vec();
        }
        complete
    }

    fn deadline(&self) -> Instant {
        self.limit.min(Instant::now() + self.check.connection.timeout)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::check::Probe;
    use crate::check::probe::Probes;
    use crate::check::probe::server::{Server, connection, left_within, nobody, on_a_reactor, reset};
    use crate::config::model::Connection;

    fn probe(destination: SocketAddr) -> Outcome {
        let connection = Connection { timeout: Duration::from_millis(300), ..connection(destination) };
        let probe = Probe::Smtp(SmtpCheck { connection, helo: "me.example".into() });
        on_a_reactor(async { Probes::new().run(&probe, None).await.0 })
    }

    /// The outcome against a server with these replies, and what it was told.
    fn dialogue(replies: &'static [&'static str]) -> (Outcome, String) {
        let server = Server::start(move |mut stream| {
            let mut heard = String::new();
            for (index, reply) in replies.iter().enumerate() {
                if index > 0 {
                    let mut byte = [0];
                    while !heard.ends_with('\n') || heard.lines().count() < index {
                        if stream.read(&mut byte).unwrap_or(0) == 0 {
                            return heard;
                        }
                        heard.push(char::from(byte[0]));
                    }
                }
                let _ = stream.write_all(reply.as_bytes());
            }
            heard
        });
        let outcome = probe(server.address);
        (outcome, server.ended())
    }

    #[test]
    fn a_mail_server_that_greets_passes() {
        let (outcome, heard) = dialogue(&["220 mx.example ESMTP\r\n", "250 hello\r\n", "221 bye\r\n"]);
        assert_eq!(outcome, Outcome::Passed);
        assert_eq!(heard, "HELO me.example\r\nQUIT\r\n");
        assert_eq!(dialogue(&["220\n", "250\n", "500 what?\n"]).0, Outcome::Passed);
        assert_eq!(dialogue(&["220 a\r\n250 b\r\n221 c\r\n", "", ""]).0, Outcome::Passed, "all at once");
    }

    #[test]
    fn bad_replies_fail_as_they_do_in_stock() {
        let failed = |failure| Outcome::Failed(failure);
        for greeting in ["220\r\n", "220-a\r\n220 b\r\n", "421 no\r\n", "\r\n"] {
            let greeting: &'static [&'static str] = Vec::leak(vec![greeting]);
            assert_eq!(dialogue(greeting).0, failed(Failure::Greeting), "{greeting:?}");
        }
        assert_eq!(dialogue(&["220 a\r\n", "250-b\r\n250 c\r\n"]).0, failed(Failure::Helo));
        assert_eq!(dialogue(&["220 a\r\n", "250 b\r\n", ""]).0, failed(Failure::NoData), "no reply to QUIT");
    }

    #[test]
    fn a_hostile_server_is_left_soon() {
        let endless = Server::start(|mut stream| {
            let _ = stream.write_all(&vec![b'2'; 100_000]);
            left_within(&stream, Duration::from_secs(5))
        });
        assert_eq!(probe(endless.address), Outcome::Failed(Failure::Greeting));
        assert!(endless.ended());
        let silent = Server::start(|stream| left_within(&stream, Duration::from_secs(5)));
        assert_eq!(probe(silent.address), Outcome::Failed(Failure::ReadTimeout { received: false }));
        assert!(silent.ended());
        let rude = Server::start(reset);
        let outcome = probe(rude.address);
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
        rude.ended();
        let refused = probe(nobody().address);
        assert!(matches!(refused, Outcome::Failed(Failure::ConnectRefused { .. })), "{refused:?}");
    }

    #[test]
    fn a_line_takes_no_more_than_it_may() {
        let mut line = Line::default();
        assert!(!line.feed(&[b'x'; 510]));
        assert!(line.feed(&[b'x'; 5000]));
        assert_eq!(line.0.len(), LONGEST);
        let mut pieces = Line::default();
        assert!(!pieces.feed(b"2") && !pieces.feed(b"20 hi") && pieces.feed(b"\r\nmore"));
        assert!(pieces.says("220"));
    }
}
