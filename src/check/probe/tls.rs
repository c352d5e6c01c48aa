//! The stream of `SSL_GET`: the handshake, bytes in and out, and how such a stream may end. spec/checkers.md §7.
//!
//! OpenSSL's plain client context, so the host's policy decides on versions and ciphers as it does for stock. The
//! server's certificate is not verified unless the profile asks for it: a check asks whether the service answers, not
//! who it is. OpenSSL reads and writes the non-blocking socket of a tokio stream; where it would wait, we await
//! readiness here.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{self, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

use crate::check::{Failure, Http2Fault, Outcome};
use crate::config::model::{TlsProfile, TlsVerify};
use crate::kernel::aside::work_aside;
use crate::kernel::tls::{self, Interrupted, Refused};

/// What all TLS streams of one profile share. Costs more than a megabyte, so it is built at the first use.
#[derive(Default)]
pub struct Context {
    profile: TlsProfile,
    built: OnceCell<Result<tls::Context, String>>,
}

impl Context {
    /// For checks that present and ask for this.
    pub fn new(profile: TlsProfile) -> Self {
        Self { profile, built: OnceCell::new() }
    }

    /// Would a context of this profile be built? Says why not.
    pub fn trial(profile: &TlsProfile) -> Result<(), String> {
        if *profile == TlsProfile::default() {
            return Ok(());
        }
        build(profile).map(drop)
    }

    /// Waits until it is built. On a busy machine the host's library alone takes seconds to load: nobody's clock shall run
    /// meanwhile, and the other checks go on.
    pub(super) async fn ready(&self) -> Result<&tls::Context, Outcome> {
        let context = self
            .built
            .get_or_init(|| async {
                let profile = self.profile.clone();
                work_aside(move || build(&profile))
                    .await
                    .unwrap_or_else(|| Err("its thread is gone".to_owned()))
            })
            .await;
        context
            .as_ref()
            .map_err(|error| Outcome::NotTried { errno: None, what: format!("preparing TLS: {error}") })
    }

    /// Shakes hands over an established connection; `deadline` is that of the connect, which it shares.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        names: Names<'_>,
        deadline: Instant,
    ) -> Result<TlsStream, Outcome> {
        self.handshake_for(stream, names, None, deadline).await
    }

    /// The same, with the protocol that is wanted on top, which the server must agree to.
    pub(super) async fn handshake_for(
        &self,
        stream: TcpStream,
        names: Names<'_>,
        protocol: Option<Alpn>,
        deadline: Instant,
    ) -> Result<TlsStream, Outcome> {
        let prepare = |context: &tls::Context| -> Result<tls::Stream<TcpStream>, Refused> {
            let mut tls = tls::Stream::new(context, stream)?;
            // A NUL cannot be part of a server name.
            if let Some(name) = names.server.filter(|name| !name.contains('\0')) {
                tls.ask_for(name)?;
            }
            if self.profile.verify != TlsVerify::No {
                let name = self.profile.name.as_deref().or(names.server).or(names.host);
                expect(&mut tls, name, names.address)?;
            }
            if let Some(Alpn(name)) = protocol {
                tls.offer(name)?;
            }
            Ok(tls)
        };
        let stream = prepare(self.ready().await?).map_err(|error| Outcome::NotTried {
            errno: None,
            what: format!("preparing a TLS connection: {error}"),
        })?;
        let mut stream = TlsStream(stream);
        loop {
            let waiting = match stream.0.connect() {
                Ok(()) => {
                    return match protocol {
                        Some(Alpn(wanted)) if stream.0.agreed() != wanted.get(1..) => Err(not_offered()),
                        _ => Ok(stream),
                    };
                }
                Err(Interrupted::WantsBytes) => Waiting::Bytes,
                Err(Interrupted::WantsRoom) => Waiting::Room,
                Err(Interrupted::Again) => Waiting::Others,
                Err(Interrupted::Broken { reason, .. })
                    if protocol.is_some() && reason.ends_with(NO_APPLICATION_PROTOCOL) =>
                {
                    return Err(not_offered());
                }
                Err(interrupted) => {
                    let mistrust = stream.0.mistrust().filter(|_| self.profile.verify != TlsVerify::No);
                    let reason = match mistrust {
                        Some(why) => format!("the server's certificate: {why}"),
                        None => reason(interrupted),
                    };
                    return Err(Outcome::Failed(Failure::Tls { reason }));
                }
            };
            if stream.wait(waiting, deadline).await == Waited::TooLong {
                return Err(Outcome::Failed(Failure::TlsTimeout));
            }
        }
    }
}

/// A protocol as the handshake names it: its length, then its name (RFC 7301 §3.1).
#[derive(Debug, Clone, Copy)]
pub(super) struct Alpn(&'static [u8]);

/// RFC 9113 §3.2.
pub(super) const H2: Alpn = Alpn(b"\x02h2");

/// How OpenSSL's words end for the alert of a server that agrees to nothing of what is offered (RFC 7301 §3.2).
const NO_APPLICATION_PROTOCOL: &str = "no application protocol";

fn not_offered() -> Outcome {
    Outcome::Failed(Failure::Http2(Http2Fault::NotOffered))
}

/// The names of the other side, as far as they are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    /// Sent in the handshake.
    pub(super) server: Option<&'a str>,
    /// The Host header, perhaps with a port.
    pub(super) host: Option<&'a str>,
    /// Where it connects to.
    pub(super) address: IpAddr,
}

/// The server's certificate must bear this name, or else the address.
fn expect(stream: &mut tls::Stream<TcpStream>, name: Option<&str>, address: IpAddr) -> Result<(), Refused> {
    let address = match name.map(without_port) {
        Some(name) if !name.is_empty() && !name.contains('\0') => match name.parse() {
            Ok(address) => address,
            Err(_) => return stream.expect_host(name),
        },
        _ => address,
    };
    stream.expect_address(address)
}

/// `name:443` without its end, `[2001:db8::1]:443` without that and its brackets.
fn without_port(name: &str) -> &str {
    if let Some(rest) = name.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match name.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => name,
    }
}

fn build(profile: &TlsProfile) -> Result<tls::Context, String> {
    let doing = |what: &'static str| move |error: Refused| format!("{what}: {error}");
    let mut context = tls::Context::client().map_err(doing("a context"))?;
    match profile.verify {
        TlsVerify::No => {}
        TlsVerify::System => {
            context.trust_the_host().map_err(doing("the host's trust store"))?;
            context.verify();
        }
        TlsVerify::Ca => context.verify(),
    }
    if let Some(pem) = &profile.ca {
        context.trust(pem).map_err(doing("the CA file"))?;
    }
    if let Some(pem) = &profile.certificate {
        context.present(pem).map_err(doing("the certificate file"))?;
    }
    if let Some(pem) = &profile.key {
        let password = profile.password.as_deref().unwrap_or_default();
        context.prove_with(pem, password.as_bytes()).map_err(doing("the key file"))?;
        if profile.certificate.is_some() {
            context.check_key().map_err(doing("certificate and key"))?;
        }
    }
    Ok(context)
}

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TlsRead {
    /// This many bytes.
    Bytes(usize),
    /// The peer's close-notify.
    End,
    /// The stream broke, or just ended; stock minds only when the header is missing.
    UncleanEnd {
        /// The library's reason.
        reason: String,
    },
    /// Nothing yet: [`TlsStream::wait`] for this.
    Wait(Waiting),
}

/// Is a close-notify sent at the end?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// `tls_compliant`.
    CloseNotify,
    /// Stock's default.
    None,
}

/// A TLS stream after its handshake.
pub(super) struct TlsStream(tls::Stream<TcpStream>);

impl TlsStream {
    /// Sends all of `bytes`.
    pub(super) async fn send(&mut self, mut bytes: &[u8], deadline: Instant) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let waiting = match self.0.write(bytes) {
                Ok(sent) => {
                    bytes = &bytes[sent..];
                    continue;
                }
                Err(Interrupted::WantsBytes) => Waiting::Bytes,
                Err(Interrupted::WantsRoom) => Waiting::Room,
                Err(Interrupted::Again) => Waiting::Others,
                Err(Interrupted::End) => return Err(Failure::Send { errno: 0 }),
                Err(Interrupted::Broken { errno, .. }) => {
                    return Err(Failure::Send { errno: errno.unwrap_or(0) });
                }
            };
            if self.wait(waiting, deadline).await == Waited::TooLong {
                return Err(Failure::Send { errno: libc::ETIMEDOUT });
            }
        }
        Ok(())
    }

    /// Reads what is there. Never waits.
    pub(super) fn read(&mut self, into: &mut [u8]) -> TlsRead {
        match self.0.read(into) {
            Ok(read) => TlsRead::Bytes(read),
            Err(Interrupted::End) => TlsRead::End,
            Err(Interrupted::WantsBytes) => TlsRead::Wait(Waiting::Bytes),
            Err(Interrupted::WantsRoom) => TlsRead::Wait(Waiting::Room),
            Err(Interrupted::Again) => TlsRead::Wait(Waiting::Others),
            Err(Interrupted::Broken { reason, .. }) => TlsRead::UncleanEnd { reason },
        }
    }

    /// The end. What cannot be sent at once is not sent.
    pub(super) fn close(mut self, farewell: Farewell) {
        if farewell == Farewell::CloseNotify {
            self.0.say_goodbye();
        }
    }

    /// Waits for what OpenSSL asked for.
    pub(super) async fn wait(&mut self, what: Waiting, deadline: Instant) -> Waited {
        let stream = self.0.socket();
        let interest = match what {
            Waiting::Bytes => Interest::READABLE,
            Waiting::Room => Interest::WRITABLE,
            Waiting::Others => {
                tokio::task::yield_now().await;
                return if Instant::now() < deadline { Waited::Ready } else { Waited::TooLong };
            }
        };
        // OpenSSL has met the end of what was there, tokio is told so.
        let _ = stream.try_io(interest, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        match timeout_at(deadline, stream.ready(interest)).await {
            Err(_) => Waited::TooLong,
            // An error of the socket is met again by the next call, which can name it.
            Ok(_) => Waited::Ready,
        }
    }
}

/// A TLS stream as a protocol on top of it wants it: bytes that come and go when they can.
pub(super) struct Flow {
    stream: TlsStream,
    farewell: Farewell,
}

impl Flow {
    /// From here on the protocol says when it ends.
    pub(super) fn new(stream: TlsStream, farewell: Farewell) -> Self {
        Self { stream, farewell }
    }

    /// Does `act` until it need not wait any more.
    fn poll(
        &mut self,
        context: &mut task::Context<'_>,
        mut act: impl FnMut(&mut tls::Stream<TcpStream>) -> Result<usize, Interrupted>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let (interest, socket) = match act(&mut self.stream.0) {
                Ok(done) => return Poll::Ready(Ok(done)),
                Err(Interrupted::End) => return Poll::Ready(Ok(0)),
                Err(Interrupted::WantsBytes) => (Interest::READABLE, self.stream.0.socket()),
                Err(Interrupted::WantsRoom) => (Interest::WRITABLE, self.stream.0.socket()),
                Err(Interrupted::Again) => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(Interrupted::Broken { errno: Some(errno), .. }) => {
                    return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
                }
                Err(Interrupted::Broken { reason, .. }) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason)));
                }
            };
            let _ = socket.try_io(interest, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
            ready!(match interest {
                Interest::READABLE => socket.poll_read_ready(context),
                _ => socket.poll_write_ready(context),
            })?;
        }
    }
}

impl AsyncRead for Flow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.poll(context, |stream| stream.read(into.initialize_unfilled())))?;
        into.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(context, |stream| stream.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// What cannot be sent at once is not sent.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        if self.farewell == Farewell::CloseNotify {
            self.stream.0.say_goodbye();
        }
        Poll::Ready(Ok(()))
    }
}

/// What a stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Bytes that arrive.
    Bytes,
    /// Room to send.
    Room,
    /// The other checks to have had their turn.
    Others,
}

/// What came of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// Try again.
    Ready,
    /// The deadline came first.
    TooLong,
}

/// Why OpenSSL gave up, in its words.
fn reason(interrupted: Interrupted) -> String {
    match interrupted {
        Interrupted::Broken { reason, .. } => reason,
        _ => "unexpected eof".to_owned(),
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
