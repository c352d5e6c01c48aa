//! Health checks: `schedule` is pure (retry, timing); `probe` does the I/O and knows nothing of IPVS.
//!
//! This file is the seam between the two: a [`Probe`] goes in, an [`Outcome`] comes out. spec/checkers.md.

mod faults; // pure: what goes wrong over HTTP/2 and in gRPC
pub mod probe; // one attempt of each check type: the I/O, without rights
pub mod schedule; // pure: when a checker attempts and what its attempts mean
mod wording; // pure: what the log says about it

pub use faults::{Http2Fault, Unhealthy};

use serde::{Deserialize, Serialize};

use crate::config::model::{Connection, DnsCheck, HttpProtocol, SmtpCheck, UdpCheck, Url};
use crate::time::Time;

/// One attempt, wanted by the checkers process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRequest {
    /// Chosen by the asker, returned in the report.
    pub id: u64,
    /// What to do.
    pub probe: Probe,
}

/// What one attempt does. It names no service and no real server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Probe {
    /// Connect, then close.
    Tcp(Connection),
    /// One url of an `HTTP_GET` or `SSL_GET`.
    Http {
        /// Where.
        connection: Connection,
        /// TLS, with the profile of this number?
        tls: Option<u16>,
        /// Request line and headers.
        protocol: HttpProtocol,
        /// What is asked for, and what counts as success.
        url: Url,
    },
    /// Greeting, HELO, QUIT.
    Smtp(SmtpCheck),
    /// One question.
    Dns(DnsCheck),
    /// One datagram.
    Udp(UdpCheck),
    /// One echo.
    Ping {
        /// Where.
        connection: Connection,
        /// Of this echo.
        sequence: u16,
    },
}

impl Probe {
    /// Where it connects to.
    pub fn connection(&self) -> &Connection {
        match self {
            Self::Tcp(connection) | Self::Http { connection, .. } | Self::Ping { connection, .. } => {
                connection
            }
            Self::Smtp(check) => &check.connection,
            Self::Dns(check) => &check.connection,
            Self::Udp(check) => &check.connection,
        }
    }
}

/// The answer to a [`ProbeRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// The request's.
    pub id: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// When the outcome was known: the pause to the next attempt counts from there, not from when this arrives.
    pub known: Time,
    /// Oddities worth a log line that change nothing about the outcome; nearly always empty.
    pub remarks: Vec<Remark>,
}

/// What stock logs beside the outcome, once per different value (spec/checkers.md §7).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Remark {
    /// The body is not as long as `Content-Length` said.
    Length {
        /// Bytes announced.
        announced: u64,
        /// Bytes of body received.
        received: u64,
    },
    /// The TLS stream ended without close-notify.
    UncleanEnd {
        /// The library's reason.
        reason: String,
    },
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The server answered as configured.
    Passed,
    /// The server did not: counts as a failure.
    Failed(Failure),
    /// Something on this host prevented the attempt: not counted, tried again after `delay_loop`.
    NotTried {
        /// errno of the refused call, if it was one.
        errno: Option<i32>,
        /// What was being done.
        what: String,
    },
}

/// Why a server did not pass. The texts that log parsers match are made from this (spec/checkers.md §6, §7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// No connection within the timeout.
    ConnectTimeout,
    /// Refused, unreachable, reset …
    ConnectRefused {
        /// errno.
        errno: i32,
        /// Did the system call itself say so, before anything was waited for?
        at_once: bool,
    },
    /// The request could not be sent.
    Send {
        /// errno.
        errno: i32,
    },
    /// Silence for longer than the timeout after the request was sent, or no end of the stream within its limit.
    ReadTimeout {
        /// Had anything been received?
        received: bool,
    },
    /// The connection broke while reading.
    Read {
        /// errno.
        errno: i32,
    },
    /// Nothing usable came: an empty reply, a header too long or never finished, a TLS stream that broke before its end.
    NoData,
    /// The TLS handshake failed.
    Tls {
        /// The library's reason.
        reason: String,
    },
    /// The TLS handshake did not end within the timeout.
    TlsTimeout,
    /// The status line was malformed (`None`) or carried an unwanted code.
    Status {
        /// The code received.
        code: Option<u16>,
    },
    /// The pattern does not match, or matches where it must not.
    Regex,
    /// The mail server's greeting was no 220.
    Greeting,
    /// Its answer to HELO was no 250.
    Helo,
    /// The name server answered with an error.
    Rcode {
        /// RFC 1035 §4.1.1, 1..=15.
        rcode: u8,
    },
    /// A reply came, and is not the wanted one.
    Reply,
    /// Over HTTP/2 no answer came.
    Http2(Http2Fault),
    /// The answer to a gRPC health check is not that the service serves.
    Unhealthy(Unhealthy),
    /// The body's MD5 differs.
    Digest {
        /// What was received.
        received: [u8; 16],
    },
}
