//! Checker blocks (spec/checkers.md).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One checker block of a real server, everything inherited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checker {
    /// What is done.
    pub kind: CheckKind,
    /// When it is done.
    pub timing: CheckTiming,
    /// Starts as failed.
    pub alpha: bool,
    /// Log every failed attempt.
    pub log_all_failures: bool,
}

/// When checks run (spec/checkers.md §2, §3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckTiming {
    /// From the end of one check to the start of the next.
    pub delay_loop: Duration,
    /// Failures beyond the first that are forgiven.
    pub retry: u32,
    /// From a forgiven failure to the next attempt.
    pub delay_before_retry: Duration,
    /// Upper end of the random part of the first delay.
    pub warmup: Duration,
}

/// Check types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckKind {
    /// `TCP_CHECK`.
    Tcp(Connection),
    /// `HTTP_GET` and `SSL_GET`.
    Http(HttpCheck),
}

/// Where a check connects to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Connection {
    /// Destination; frozen when the block was parsed, so its port can differ from the real server's.
    pub destination: SocketAddr,
    /// Local address.
    pub bind: Option<IpAddr>,
    /// Local port, effective only with `bind`; 0 is any.
    pub bind_port: u16,
    /// `SO_BINDTODEVICE`.
    pub bind_interface: Option<String>,
    /// `SO_MARK`; 0 is none.
    pub fwmark: u32,
    /// Limit of the connect, and of each silence afterwards.
    pub timeout: Duration,
}

/// An `HTTP_GET` or `SSL_GET` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// Where.
    pub connection: Connection,
    /// TLS?
    pub tls: bool,
    /// Request line and headers.
    pub protocol: HttpProtocol,
    /// Urls in file order, never empty; `virtualhost` is already inherited into each.
    pub urls: Vec<Url>,
    /// No pauses between urls at the first run and while recovering.
    pub fast_recovery: bool,
    /// Send a close-notify.
    pub tls_compliant: bool,
}

/// `http_protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum HttpProtocol {
    /// `1.0`: no Connection header.
    #[default]
    V1_0,
    /// `1.0C`: 1.0 with `Connection: close`.
    V1_0Close,
    /// `1.1` with `Connection: close`.
    V1_1,
}

/// One `url` block.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Url {
    /// Sent verbatim after `GET `.
    pub path: String,
    /// Host header: url, checker, real server, virtual server; `None` is `address:port` of the destination.
    pub virtualhost: Option<String>,
    /// Server name of the TLS handshake, already decided (spec/checkers.md §7); `None` sends none.
    pub sni: Option<String>,
    /// MD5 of the body.
    pub digest: Option<[u8; 16]>,
    /// Accepted status codes as inclusive ranges, 100..=599; empty never (default 200-299).
    pub status_codes: Vec<(u16, u16)>,
    /// Send a close-notify for this url.
    pub tls_compliant: bool,
}
