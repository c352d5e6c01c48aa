//! A mail relay that is strict about the order of commands and keeps every dialogue as it was said.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::net::Host;
use super::wait::{Outcome, until};

/// One mail, as it came.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Letter {
    /// The `Subject:` line.
    pub(crate) subject: String,
    /// All that the client said, line by line, with a date in place of each date.
    pub(crate) said: Vec<String>,
}

/// Listens until it is dropped.
pub(crate) struct Relay {
    letters: Arc<Mutex<Vec<Letter>>>,
    refusals: Arc<AtomicUsize>,
    address: SocketAddr,
    end: Arc<std::sync::atomic::AtomicBool>,
}

impl Relay {
    /// On 127.0.0.1 of this host.
    pub(crate) fn on(host: &Host, port: u16) -> Outcome<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let listener =
            host.space.inside(|| TcpListener::bind(address)).map_err(|e| format!("a mail relay: {e}"))?;
        let relay = Self { letters: Arc::default(), refusals: Arc::default(), address, end: Arc::default() };
        let (letters, refusals) = (Arc::clone(&relay.letters), Arc::clone(&relay.refusals));
        let end = Arc::clone(&relay.end);
        listener.set_nonblocking(true).map_err(|e| e.to_string())?;
        std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    let mut ready = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
                    let _ = poll(&mut ready, PollTimeout::from(50_u8));
                    continue;
                };
                let (letters, refusals) = (Arc::clone(&letters), Arc::clone(&refusals));
                std::thread::spawn(move || {
                    if let Some(letter) = serve(&stream, &refusals) {
                        letters.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
                    }
                });
            }
        });
        Ok(relay)
    }

    /// The next so many MAIL commands are put off with 451.
    pub(crate) fn refuse(&self, count: usize) {
        self.refusals.store(count, Ordering::Relaxed);
    }

    /// Everything that was delivered wholly, in order of its end.
    pub(crate) fn letters(&self) -> Vec<Letter> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `smtp_server` and its words.
    pub(crate) fn words(&self) -> String {
        format!("smtp_server {} {}", self.address.ip(), self.address.port())
    }

    /// Waits for a letter whose subject ends so; the count-th of them.
    pub(crate) fn wait(&self, limit: Duration, subject: &str, count: usize) -> Outcome<Letter> {
        until(limit, format!("mail {count} about {subject}"), || {
            self.letters().into_iter().filter(|letter| letter.subject.ends_with(subject)).nth(count - 1)
        })
        .map_err(|e| {
            let subjects: Vec<_> = self.letters().into_iter().map(|letter| letter.subject).collect();
            format!("{e}\ndelivered: {subjects:#?}")
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}

/// One connection; what it brought, if it went the whole way from HELO to QUIT in the right order.
fn serve(mut stream: &TcpStream, refusals: &AtomicUsize) -> Option<Letter> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut lines = BufReader::new(stream.try_clone().ok()?).split(b'\n');
    let (mut said, mut subject) = (Vec::new(), String::new());
    // A greeting of two lines is allowed.
    stream.write_all(b"220-relay\r\n220 relay\r\n").ok()?;
    let mut expected: &[&str] = &["HELO "];
    loop {
        let line = String::from_utf8(lines.next()?.ok()?).ok()?;
        let Some(line) = line.strip_suffix('\r') else {
            stream.write_all(b"500 no carriage return\r\n").ok()?;
            return None;
        };
        said.push(line.to_owned());
        if !expected.iter().any(|word| line.starts_with(word)) {
            stream.write_all(b"503 not now\r\n").ok()?;
            return None;
        }
        match line.split([' ', ':']).next()? {
            "HELO" => expected = &["MAIL FROM:<"],
            "MAIL" => {
                let left = refusals.load(Ordering::Relaxed);
                if left > 0 {
                    refusals.store(left - 1, Ordering::Relaxed);
                    stream.write_all(b"451 later\r\n").ok()?;
                    return None;
                }
                expected = &["RCPT TO:<"];
            }
            "RCPT" => expected = &["RCPT TO:<", "DATA"],
            "DATA" => {
                stream.write_all(b"354 go on\r\n").ok()?;
                loop {
                    let line = String::from_utf8(lines.next()?.ok()?).ok()?;
                    let line = line.strip_suffix('\r')?;
                    said.push(if line.starts_with("Date: ") { date(line) } else { line.to_owned() });
                    if let Some(text) = line.strip_prefix("Subject: ") {
                        text.clone_into(&mut subject);
                    }
                    if line == "." {
                        break;
                    }
                }
                expected = &["QUIT"];
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").ok()?;
                return Some(Letter { subject, said });
            }
            _ => return None,
        }
        stream.write_all(b"250 fine\r\n").ok()?;
    }
}

/// The form of a date, with 9 for every digit.
pub(crate) fn date(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let names =
        matches!(words.as_slice(), ["Date:", day, _, month, ..] if day.len() == 4 && month.len() == 3);
    let form: String = words
        .iter()
        .skip(4)
        .flat_map(|word| word.chars())
        .map(|c| if c.is_ascii_digit() { '9' } else { c })
        .collect();
    format!("Date: {names} {} {form}", words.get(2).map_or(0, |day| day.len()))
}
