//! The stream of `SSL_GET`: the handshake, bytes in and out, and how such a stream may end. spec/checkers.md §7.
//!
//! OpenSSL's plain client context, so the host's policy decides on versions and ciphers as it does for stock. The
//! server's certificate is not verified: the check asks whether the service answers, not who it is. OpenSSL reads and
//! writes through a non-blocking tokio stream; where it would wait, we await readiness here. tokio-openssl would add a
//! crate for these few lines and hide the exact end of a stream.

use std::io::{self, Read, Write};
use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::ssl::{
    Error, ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslStream, SslVerifyMode,
};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::connect::errno;
use crate::check::{Failure, Outcome};

/// What all TLS streams of a process share. Costs more than a megabyte, so it is built at the first use.
#[derive(Default)]
pub struct Context(OnceLock<Result<SslContext, String>>);

impl Context {
    fn get(&self) -> Result<&SslContext, Outcome> {
        let build = || -> Result<SslContext, ErrorStack> {
            let mut builder = SslContextBuilder::new(SslMethod::tls_client())?;
            builder.set_verify(SslVerifyMode::NONE);
            // A stream that waits holds no buffers.
            builder.set_mode(SslMode::RELEASE_BUFFERS);
            Ok(builder.build())
        };
        let context = self.0.get_or_init(|| build().map_err(|error| error.to_string()));
        context
            .as_ref()
            .map_err(|error| Outcome::NotTried { errno: None, what: format!("preparing TLS: {error}") })
    }

    /// Shakes hands over an established connection; `deadline` is that of the connect, which it shares.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        server_name: Option<&str>,
        deadline: Instant,
    ) -> Result<TlsStream, Outcome> {
        let prepare = |context: &SslContext| -> Result<SslStream<Patient>, ErrorStack> {
            let mut ssl = Ssl::new(context)?;
            // A NUL cannot be part of a server name, and openssl panics at one.
            if let Some(name) = server_name.filter(|name| !name.contains('\0')) {
                ssl.set_hostname(name)?;
            }
            SslStream::new(ssl, Patient(stream))
        };
        let stream = prepare(self.get()?).map_err(|error| Outcome::NotTried {
            errno: None,
            what: format!("preparing a TLS connection: {error}"),
        })?;
        let mut stream = TlsStream(stream);
        loop {
            let Err(error) = stream.0.connect() else { return Ok(stream) };
            match stream.wait(error.code(), deadline).await {
                Waited::Ready => {}
                Waited::TooLong => return Err(Outcome::Failed(Failure::TlsTimeout)),
                Waited::Broken => {
                    return Err(Outcome::Failed(Failure::Tls { reason: reason(&error) }));
                }
            }
        }
    }
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
    Wait(ErrorCode),
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
pub(super) struct TlsStream(SslStream<Patient>);

impl TlsStream {
    /// Sends all of `bytes`.
    pub(super) async fn send(&mut self, mut bytes: &[u8], deadline: Instant) -> Result<(), Failure> {
        while !bytes.is_empty() {
            match self.0.ssl_write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) => match self.wait(error.code(), deadline).await {
                    Waited::Ready => {}
                    Waited::TooLong => return Err(Failure::Send { errno: libc::ETIMEDOUT }),
                    Waited::Broken => return Err(Failure::Send { errno: error.io_error().map_or(0, errno) }),
                },
            }
        }
        Ok(())
    }

    /// Reads what is there. Never waits.
    pub(super) fn read(&mut self, into: &mut [u8]) -> TlsRead {
        match self.0.ssl_read(into) {
            Ok(read) => TlsRead::Bytes(read),
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => TlsRead::End,
            Err(error) if matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) => {
                TlsRead::Wait(error.code())
            }
            Err(error) => TlsRead::UncleanEnd { reason: reason(&error) },
        }
    }

    /// The end. What cannot be sent at once is not sent.
    pub(super) fn close(mut self, farewell: Farewell) {
        if farewell == Farewell::CloseNotify {
            let _ = self.0.shutdown();
        }
    }

    /// Waits for what OpenSSL asked for.
    pub(super) async fn wait(&self, what: ErrorCode, deadline: Instant) -> Waited {
        let stream = &self.0.get_ref().0;
        let ready = match what {
            ErrorCode::WANT_READ => timeout_at(deadline, stream.readable()).await,
            ErrorCode::WANT_WRITE => timeout_at(deadline, stream.writable()).await,
            _ => return Waited::Broken,
        };
        match ready {
            Err(_) => Waited::TooLong,
            // An error of the socket is met again by the next call, which can name it.
            Ok(_) => Waited::Ready,
        }
    }
}

/// What came of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// Try again.
    Ready,
    /// The deadline came first.
    TooLong,
    /// There is nothing to wait for: the stream is broken.
    Broken,
}

/// Why OpenSSL gave up, in its words.
fn reason(error: &Error) -> String {
    if let Some(stack) = error.ssl_error() {
        let first = stack.errors().first();
        return first
            .and_then(openssl::error::Error::reason)
            .map_or_else(|| stack.to_string(), str::to_owned);
    }
    match error.io_error() {
        Some(error) => error.to_string(),
        None => "unexpected eof".to_owned(),
    }
}

/// A stream that says `WouldBlock` instead of waiting.
#[derive(Debug)]
struct Patient(TcpStream);

impl Read for Patient {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
