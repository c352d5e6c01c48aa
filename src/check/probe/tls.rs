//! The stream of `SSL_GET`: the handshake, bytes in and out, and how such a stream may end. spec/checkers.md §7.
//!
//! OpenSSL's plain client context, so the host's policy decides on versions and ciphers as it does for stock. The
//! server's certificate is not verified unless the profile asks for it: a check asks whether the service answers, not
//! who it is. OpenSSL reads and
//! writes through a non-blocking tokio stream; where it would wait, we await readiness here. tokio-openssl would add a
//! crate for these few lines and hide the exact end of a stream.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    Error, ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslStream, SslVerifyMode,
};
use openssl::x509::{X509, X509VerifyResult};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::connect::errno;
use crate::check::{Failure, Outcome};
use crate::config::model::{TlsProfile, TlsVerify};

/// What all TLS streams of one profile share. Costs more than a megabyte, so it is built at the first use.
#[derive(Default)]
pub struct Context {
    profile: TlsProfile,
    built: OnceLock<Result<SslContext, String>>,
}

impl Context {
    /// For checks that present and ask for this.
    pub fn new(profile: TlsProfile) -> Self {
        Self { profile, built: OnceLock::new() }
    }

    /// Would a context of this profile be built? Says why not.
    pub fn trial(profile: &TlsProfile) -> Result<(), String> {
        if *profile == TlsProfile::default() {
            return Ok(());
        }
        build(profile).map(drop)
    }

    fn get(&self) -> Result<&SslContext, Outcome> {
        let context = self.built.get_or_init(|| build(&self.profile));
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
        let prepare = |context: &SslContext| -> Result<SslStream<Patient>, ErrorStack> {
            let mut ssl = Ssl::new(context)?;
            // A NUL cannot be part of a server name, and openssl panics at one.
            if let Some(name) = names.server.filter(|name| !name.contains('\0')) {
                ssl.set_hostname(name)?;
            }
            if self.profile.verify != TlsVerify::No {
                let name = self.profile.name.as_deref().or(names.server).or(names.host);
                expect(&mut ssl, name, names.address)?;
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
                    let verified = stream.0.ssl().verify_result();
                    let reason = if self.profile.verify == TlsVerify::No || verified == X509VerifyResult::OK {
                        reason(&error)
                    } else {
                        format!("the server's certificate: {}", verified.error_string())
                    };
                    return Err(Outcome::Failed(Failure::Tls { reason }));
                }
            }
        }
    }
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
fn expect(ssl: &mut Ssl, name: Option<&str>, address: IpAddr) -> Result<(), ErrorStack> {
    let address = match name.map(without_port) {
        Some(name) if !name.contains('\0') => match name.parse() {
            Ok(address) => address,
            Err(_) => return ssl.param_mut().set_host(name),
        },
        _ => address,
    };
    ssl.param_mut().set_ip(address)
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

fn build(profile: &TlsProfile) -> Result<SslContext, String> {
    let doing = |what: &'static str| move |error: ErrorStack| format!("{what}: {}", why(&error));
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).map_err(doing("a context"))?;
    let verify = match profile.verify {
        TlsVerify::No => SslVerifyMode::NONE,
        TlsVerify::System => {
            builder.set_default_verify_paths().map_err(doing("the host's trust store"))?;
            SslVerifyMode::PEER
        }
        TlsVerify::Ca => SslVerifyMode::PEER,
    };
    builder.set_verify(verify);
    // A stream that waits holds no buffers.
    builder.set_mode(SslMode::RELEASE_BUFFERS);
    if let Some(pem) = &profile.ca {
        for authority in certificates(pem, "the CA file")? {
            builder.cert_store_mut().add_cert(authority).map_err(doing("the CA file"))?;
        }
    }
    if let Some(pem) = &profile.certificate {
        let mut chain = certificates(pem, "the certificate file")?.into_iter();
        if let Some(own) = chain.next() {
            builder.set_certificate(&own).map_err(doing("the certificate file"))?;
        }
        for next in chain {
            builder.add_extra_chain_cert(next).map_err(doing("the certificate file"))?;
        }
    }
    if let Some(pem) = &profile.key {
        // Never asks a terminal.
        let password = profile.password.as_deref().unwrap_or_default().as_bytes();
        let key = PKey::private_key_from_pem_callback(pem, |buffer| {
            let length = password.len().min(buffer.len());
            buffer[..length].copy_from_slice(&password[..length]);
            Ok(length)
        });
        builder.set_private_key(&*key.map_err(doing("the key file"))?).map_err(doing("the key file"))?;
        if profile.certificate.is_some() {
            builder.check_private_key().map_err(doing("certificate and key"))?;
        }
    }
    Ok(builder.build())
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<X509>, String> {
    match X509::stack_from_pem(pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{what}: no certificate in it")),
        Err(error) => Err(format!("{what}: {}", why(&error))),
    }
}

/// The first of OpenSSL's reasons.
fn why(stack: &ErrorStack) -> String {
    let first = stack.errors().first();
    first.and_then(openssl::error::Error::reason).map_or_else(|| stack.to_string(), str::to_owned)
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
        return why(stack);
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
