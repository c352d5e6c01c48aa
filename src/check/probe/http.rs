//! `HTTP_GET` and `SSL_GET`: the request's bytes, the reading to the end of the stream, the verdict. spec/checkers.md §7.
//!
//! What is looked for in the bytes is in [`super::http_response`]. A hostile server costs a fixed amount of memory (one
//! scratch buffer for all checks, at most one unfinished header each) and a limited time: stock's timeout of a plain
//! check starts anew with every read, so we add a limit of the whole, [`total_limit`].

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::connect::{connect_until, errno};
use super::http_response::{Digesting, HttpResponse, Response};
use super::http2;
use super::scan::{Scanned, Wanted};
use super::tls::{self, Farewell, Flow, Names, TlsRead, TlsStream, Waited};
use crate::check::{Failure, Outcome, Remark, Unhealthy};
use crate::config::model::{Connection, HttpProtocol, Url};

/// Stock: longer requests are cut, in bytes.
const REQUEST_LIMIT: usize = 2047;

/// One read brings at most this many bytes of body.
const SCRATCH: usize = 16 << 10;

/// After this many bytes the other checks have their turn.
const TURN: usize = 256 << 10;

/// What a read counts for at least, in bytes: one that brings a single byte costs as much as this.
const LEAST: usize = 1 << 10;

thread_local! {
    /// What was read and is about to be looked at; nothing stays in it.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// The whole of a plain answer must have come after this time, however slowly it trickles: ten times the timeout of a
/// silence, a minute at least. Stock has no such limit; see docs/differences.md.
pub fn total_limit(timeout: Duration) -> Duration {
    timeout.saturating_mul(10).max(Duration::from_secs(60))
}

/// One request, and what is wanted of its answer.
pub struct Exchange<'a> {
    /// Where.
    pub connection: &'a Connection,
    /// TLS, with this context?
    pub tls: Option<&'a tls::Context>,
    /// Request line and headers.
    pub protocol: HttpProtocol,
    /// What is asked for.
    pub url: &'a Url,
    /// Is the body's MD5 wanted?
    pub digesting: Digesting,
    /// What is looked for in the answer.
    pub wanted: Option<Wanted>,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it said.
    pub response: Response,
    /// Why a TLS stream ended, if not by close-notify.
    pub unclean_end: Option<String>,
    /// What a gRPC server said of its health; `None` when it was not asked.
    pub health: Option<Result<(), Unhealthy>>,
}

impl Answer {
    /// What is odd about it.
    pub fn remarks(&self) -> Vec<Remark> {
        let received = self.response.received;
        let length = self.response.announced.filter(|announced| *announced != received);
        let length = length.map(|announced| Remark::Length { announced, received });
        let end = self.unclean_end.clone().map(|reason| Remark::UncleanEnd { reason });
        length.into_iter().chain(end).collect()
    }
}

impl Exchange<'_> {
    /// Connects, asks, and reads until the stream ends. What prevents that is the outcome of the check.
    pub async fn run(&self, socket: Option<OwnedFd>) -> Result<Answer, Outcome> {
        let connection = self.connection;
        if let Some(context) = self.tls {
            context.ready().await?;
        }
        let deadline = Instant::now() + connection.timeout;
        let stream = connect_until(connection, socket, deadline).await?;
        let mut response = HttpResponse::new(self.digesting);
        if let Some(wanted) = &self.wanted {
            response = response.looking_for(wanted.clone());
        }
        if self.protocol == HttpProtocol::V2 {
            // It needs several times the room of the others.
            return Box::pin(self.run_http2(stream, response, deadline)).await;
        }
        let request = request(self.url, self.protocol, connection.destination);
        let (response, unclean_end) = match self.tls {
            None => {
                send(&stream, &request, Instant::now() + connection.timeout).await?;
                let limit = total_limit(connection.timeout);
                (read_plain(&stream, response, connection.timeout, limit).await?, None)
            }
            Some(context) => {
                let exchange = async {
                    let mut stream = context.handshake(stream, self.names(), deadline).await?;
                    let deadline = Instant::now() + connection.timeout;
                    let read = async {
                        stream.send(&request, deadline).await?;
                        read_tls(&mut stream, response, deadline).await
                    };
                    let read = read.await;
                    stream.close(self.farewell());
                    Ok::<_, Outcome>(read?)
                };
                Box::pin(exchange).await?
            }
        };
        let response = response.finish().ok_or(Outcome::Failed(Failure::NoData))?;
        Ok(Answer { response, unclean_end, health: None })
    }

    /// The same over HTTP/2, where the end of the answer does not depend on the end of the connection.
    async fn run_http2(
        &self,
        stream: TcpStream,
        response: HttpResponse,
        deadline: Instant,
    ) -> Result<Answer, Outcome> {
        let question = http2::Question {
            scheme: if self.tls.is_some() { "https" } else { "http" },
            host: &host(self.url, self.connection.destination),
            path: &self.url.path,
            health_of: self.url.grpc_health.as_deref(),
        };
        let timeout = self.connection.timeout;
        let asked = match self.tls {
            None => http2::ask(stream, &question, response, Instant::now() + timeout).await,
            Some(context) => {
                let stream = context.handshake_for(stream, self.names(), Some(tls::H2), deadline).await?;
                let stream = Flow::new(stream, self.farewell());
                http2::ask(stream, &question, response, Instant::now() + timeout).await
            }
        };
        let (response, health) = asked?;
        let response = response.finish().ok_or(Outcome::Failed(Failure::NoData))?;
        Ok(Answer { response, unclean_end: None, health })
    }

    fn names(&self) -> Names<'_> {
        Names {
            server: self.url.sni.as_deref(),
            host: self.url.host.as_deref(),
            address: self.connection.destination.ip(),
        }
    }

    fn farewell(&self) -> Farewell {
        if self.url.tls_compliant { Farewell::CloseNotify } else { Farewell::None }
    }
}

/// The verdict on an answer: the status first, then the health, the digest, the pattern.
pub fn judge(url: &Url, answer: &Answer) -> Outcome {
    let response = &answer.response;
    let wanted = |code: u16| url.status_codes.iter().any(|(low, high)| (*low..=*high).contains(&code));
    if !response.status.is_some_and(wanted) {
        return Outcome::Failed(Failure::Status { code: response.status });
    }
    if let Some(Err(unhealthy)) = &answer.health {
        return Outcome::Failed(Failure::Unhealthy(unhealthy.clone()));
    }
    if let (Some(expected), Some(received)) = (url.digest, response.digest)
        && expected != received
    {
        return Outcome::Failed(Failure::Digest { received });
    }
    match (&url.regex, response.scanned) {
        (Some(regex), Some(Scanned::Match)) if !regex.no_match => Outcome::Passed,
        (Some(regex), Some(Scanned::NoMatch)) if regex.no_match => Outcome::Passed,
        (None, _) => Outcome::Passed,
        _ => Outcome::Failed(Failure::Regex),
    }
}

/// The bytes that are sent.
pub fn request(url: &Url, protocol: HttpProtocol, destination: SocketAddr) -> Vec<u8> {
    let (version, close) = match protocol {
        HttpProtocol::V1_0 => ("1.0", ""),
        HttpProtocol::V1_0Close => ("1.0", "Connection: close\r\n"),
        // HTTP/2 has no such text and does not come here.
        HttpProtocol::V1_1 | HttpProtocol::V2 => ("1.1", "Connection: close\r\n"),
    };
    let host = host(url, destination);
    let path = &url.path;
    let mut bytes =
        format!("GET {path} HTTP/{version}\r\nUser-Agent: KeepAliveClient\r\n{close}Host: {host}\r\n\r\n")
            .into_bytes();
    bytes.truncate(REQUEST_LIMIT);
    bytes
}

/// The Host header, or what HTTP/2 has in its place.
fn host(url: &Url, destination: SocketAddr) -> String {
    match (&url.host, destination.ip()) {
        (Some(name), _) => name.clone(),
        (None, IpAddr::V4(address)) => format!("{address}:{}", destination.port()),
        // Without a zone, which `SocketAddr` would print.
        (None, IpAddr::V6(address)) => format!("[{address}]:{}", destination.port()),
    }
}

async fn send(stream: &TcpStream, mut bytes: &[u8], deadline: Instant) -> Result<(), Failure> {
    let failed = |error: &io::Error| Failure::Send { errno: errno(error) };
    while !bytes.is_empty() {
        match timeout_at(deadline, stream.writable()).await {
            Err(_) => return Err(Failure::Send { errno: libc::ETIMEDOUT }),
            Ok(ready) => ready.map_err(|error| failed(&error))?,
        }
        match stream.try_write(bytes) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(())
}

/// Reads to the end. Each silence may last `timeout`, the whole `limit`.
async fn read_plain(
    stream: &TcpStream,
    mut response: HttpResponse,
    timeout: Duration,
    limit: Duration,
) -> Result<HttpResponse, Failure> {
    let limit = Instant::now() + limit;
    let mut turn = Turn::default();
    loop {
        let deadline = limit.min(Instant::now() + timeout);
        let too_long = Failure::ReadTimeout { received: response.begun() };
        match timeout_at(deadline, stream.readable()).await {
            Err(_) => return Err(too_long),
            Ok(ready) => ready.map_err(|error| Failure::Read { errno: errno(&error) })?,
        }
        let read: io::Result<_> = with_buffer(response.room(), |buffer| {
            let read = stream.try_read(buffer)?;
            Ok((read, response.feed(&buffer[..read]).is_err()))
        });
        match read {
            Ok((0, _)) => return Ok(response),
            Ok((_, true)) => return Err(Failure::NoData),
            Ok((read, false)) => turn.took(read, &response).await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(Failure::Read { errno: errno(&error) }),
        }
        // Readiness that is known already is not timed.
        if Instant::now() >= limit {
            return Err(too_long);
        }
    }
}

/// Reads to the end, and says how it came if not by close-notify.
async fn read_tls(
    stream: &mut TlsStream,
    mut response: HttpResponse,
    deadline: Instant,
) -> Result<(HttpResponse, Option<String>), Failure> {
    let mut turn = Turn::default();
    loop {
        let read = with_buffer(response.room(), |buffer| match stream.read(buffer) {
            TlsRead::Bytes(read) if response.feed(&buffer[..read]).is_err() => Err(Failure::NoData),
            read => Ok(read),
        })?;
        let in_time = match read {
            TlsRead::Bytes(read) => {
                turn.took(read, &response).await;
                Instant::now() < deadline
            }
            TlsRead::Wait(what) => stream.wait(what, deadline).await == Waited::Ready,
            TlsRead::End => return Ok((response, None)),
            TlsRead::UncleanEnd { reason } => return Ok((response, Some(reason))),
        };
        if !in_time {
            return Err(Failure::ReadTimeout { received: response.begun() });
        }
    }
}

/// Lends the scratch buffer, no longer than there is room for.
fn with_buffer<R>(room: Option<usize>, read: impl FnOnce(&mut [u8]) -> R) -> R {
    BUFFER.with_borrow_mut(|buffer| {
        let length = room.map_or(SCRATCH, |room| room.min(SCRATCH));
        read(&mut buffer[..length])
    })
}

/// How much a check has read since the others had their turn.
#[derive(Default)]
struct Turn(usize);

impl Turn {
    async fn took(&mut self, bytes: usize, response: &HttpResponse) {
        self.0 += bytes.max(LEAST);
        if self.0 >= TURN || response.is_searched() {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
