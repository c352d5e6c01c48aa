//! Real servers and clients: small HTTP servers that behave as told, and a client that says who answered.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::net::{Host, Namespace};
use super::wait::{Outcome, Stamp};

/// What a server does with a connection, given what the client sent first (at most 4 KiB; empty when it sent nothing).
pub(crate) type Behaviour = dyn Fn(&mut TcpStream, &str) + Send + Sync;

enum Manner {
    /// The request is read first; nothing is done without one.
    Asked(Box<Behaviour>),
    /// All that comes is for the function.
    Raw(Box<dyn Fn(&mut TcpStream) + Send + Sync>),
}

/// A server on a host; dropped, its port is closed.
pub(crate) struct Server {
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    visits: Arc<Mutex<Vec<Visit>>>,
}

/// One connection a server had.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) at: Stamp,
    /// What the client sent.
    pub(crate) request: String,
}

/// The usual answer: 200, the body, and the end.
pub(crate) fn answer(body: &str) -> String {
    reply("200 OK", body)
}

/// An answer with any status line.
pub(crate) fn reply(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.0 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

impl Server {
    /// Answers every request with the host's name.
    pub(crate) fn named(host: &Host, port: u16) -> Outcome<Self> {
        Self::saying(host, port, answer(&host.name))
    }

    /// Answers every request with these bytes and closes.
    pub(crate) fn saying(host: &Host, port: u16, bytes: impl Into<Vec<u8>>) -> Outcome<Self> {
        let bytes = bytes.into();
        Self::behaving(host, port, move |stream, _| {
            let _ = stream.write_all(&bytes);
        })
    }

    /// Does what the function does.
    pub(crate) fn behaving(
        host: &Host,
        port: u16,
        behaviour: impl Fn(&mut TcpStream, &str) + Send + Sync + 'static,
    ) -> Outcome<Self> {
        Self::listen(host, port, Manner::Asked(Box::new(behaviour)))
    }

    /// Does what the function does, which reads for itself what the client sends.
    pub(crate) fn raw(
        host: &Host,
        port: u16,
        behaviour: impl Fn(&mut TcpStream) + Send + Sync + 'static,
    ) -> Outcome<Self> {
        Self::listen(host, port, Manner::Raw(Box::new(behaviour)))
    }

    fn listen(host: &Host, port: u16, manner: Manner) -> Outcome<Self> {
        let listener = host
            .space
            .inside(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
            .map_err(|e| format!("listening on port {port} of {}: {e}", host.name))?;
        listener.set_nonblocking(true).map_err(|e| e.to_string())?;
        let ending = Arc::new(AtomicBool::new(false));
        let visits: Arc<Mutex<Vec<Visit>>> = Arc::default();
        let manner = Arc::new(manner);
        let thread = std::thread::spawn({
            let (ending, visits) = (Arc::clone(&ending), Arc::clone(&visits));
            move || serve(&listener, &manner, &visits, &ending)
        });
        Ok(Self { ending, thread: Some(thread), visits })
    }

    /// Connections so far.
    pub(crate) fn visits(&self) -> Vec<Visit> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, manner: &Arc<Manner>, visits: &Arc<Mutex<Vec<Visit>>>, ending: &AtomicBool) {
    use std::os::fd::AsFd;
    while !ending.load(Ordering::Relaxed) {
        let mut ready = [nix::poll::PollFd::new(listener.as_fd(), nix::poll::PollFlags::POLLIN)];
        let _ = nix::poll::poll(&mut ready, nix::poll::PollTimeout::from(50_u8));
        while let Ok((mut stream, _)) = listener.accept() {
            let at = Stamp::now();
            let (manner, visits) = (Arc::clone(manner), Arc::clone(visits));
            std::thread::spawn(move || {
                let _ = stream.set_nonblocking(false);
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let request = match &*manner {
                    Manner::Asked(_) => request(&mut stream),
                    Manner::Raw(_) => String::new(),
                };
                visits
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Visit { at, request: request.clone() });
                match &*manner {
                    Manner::Asked(behaviour) if !request.is_empty() => behaviour(&mut stream, &request),
                    Manner::Asked(_) => {}
                    Manner::Raw(behaviour) => behaviour(&mut stream),
                }
            });
        }
    }
}

fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut part = [0; 512];
    while bytes.len() < 4096 && !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut part) {
            Ok(length) if length > 0 => bytes.extend_from_slice(&part[..length]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asks once; the body, or why there is none.
pub(crate) fn get(space: &Namespace, address: Ipv4Addr, port: u16, limit: Duration) -> Outcome<String> {
    let ask = || -> std::io::Result<String> {
        let mut stream =
            space.inside(|| TcpStream::connect_timeout(&SocketAddr::from((address, port)), limit))?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(b"GET / HTTP/1.0\r\nHost: lab\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|e| format!("{address}:{port}: {e}"))?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no end of the header")?;
    Ok(body.trim().to_owned())
}

/// Asks that many times, one after the other; how often who answered. No answer counts for the empty name.
pub(crate) fn answers(space: &Namespace, address: Ipv4Addr, port: u16, times: u32) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        let who = get(space, address, port, Duration::from_secs(4)).unwrap_or_default();
        *counts.entry(who).or_insert(0) += 1;
    }
    counts
}
