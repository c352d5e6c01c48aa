//! Checker blocks (spec/checkers.md).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Blank, Command, Rare};

/// One checker block of a real server, everything inherited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checker {
    /// What is done.
    pub kind: CheckKind,
    /// When it is done; of thousands that are equal there is one.
    pub timing: Arc<CheckTiming>,
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
    Http(Box<HttpCheck>),
    /// `SMTP_CHECK`.
    Smtp(Box<SmtpCheck>),
    /// `DNS_CHECK`.
    Dns(Box<DnsCheck>),
    /// `UDP_CHECK`.
    Udp(Box<UdpCheck>),
    /// `PING_CHECK`; ports and the firewall mark mean nothing to it.
    Ping(Connection),
    /// `MISC_CHECK`.
    Misc(Box<MiscCheck>),
    /// `FILE_CHECK`; its timing means nothing.
    File(FileCheck),
    /// `BFD_CHECK`; its timing means nothing.
    Bfd(BfdCheck),
}

impl CheckKind {
    /// The block's keyword.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "TCP_CHECK",
            Self::Http(http) if http.tls => "SSL_GET",
            Self::Http(_) => "HTTP_GET",
            Self::Smtp(_) => "SMTP_CHECK",
            Self::Dns(_) => "DNS_CHECK",
            Self::Udp(_) => "UDP_CHECK",
            Self::Ping(_) => "PING_CHECK",
            Self::Misc(_) => "MISC_CHECK",
            Self::File(_) => "FILE_CHECK",
            Self::Bfd(_) => "BFD_CHECK",
        }
    }

    /// Where it connects to, if it does.
    pub fn connection(&self) -> Option<&Connection> {
        match self {
            Self::Tcp(connection) | Self::Ping(connection) => Some(connection),
            Self::Http(http) => Some(&http.connection),
            Self::Smtp(smtp) => Some(&smtp.connection),
            Self::Dns(dns) => Some(&dns.connection),
            Self::Udp(udp) => Some(&udp.connection),
            Self::Misc(_) | Self::File(_) | Self::Bfd(_) => None,
        }
    }
}

/// Where a check connects to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Connection {
    /// Destination; frozen when the block was parsed, so its port can differ from the real server's.
    pub destination: SocketAddr,
    /// From where.
    pub local: Rare<LocalEnd>,
    /// Limit of the connect, and of each silence afterwards.
    pub timeout: Duration,
}

/// What a check asks of its own end; most ask for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct LocalEnd {
    /// Local address.
    pub bind: Option<IpAddr>,
    /// Local port, effective only with `bind`; 0 is any.
    pub bind_port: u16,
    /// `SO_BINDTODEVICE`.
    pub bind_interface: Option<String>,
    /// `SO_MARK`; 0 is none.
    pub fwmark: u32,
}

impl Blank for LocalEnd {
    fn blank() -> &'static Self {
        static BLANK: LocalEnd = LocalEnd { bind: None, bind_port: 0, bind_interface: None, fwmark: 0 };
        &BLANK
    }
}

/// An `HTTP_GET` or `SSL_GET` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// Where.
    pub connection: Connection,
    /// TLS?
    pub tls: bool,
    /// Index into [`super::Config::tls_profiles`].
    pub profile: u16,
    /// Request line and headers.
    pub protocol: HttpProtocol,
    /// Urls in file order, never empty; `virtualhost` is already inherited into each.
    pub urls: Vec<Url>,
    /// No pauses between urls at the first run and while recovering.
    pub fast_recovery: bool,
    /// Send a close-notify.
    pub tls_compliant: bool,
    /// `virtualhost` of the block itself.
    pub virtualhost: Option<String>,
    /// `enable_sni`, or a `sni_name`.
    pub enable_sni: bool,
    /// `sni_name`.
    pub sni_name: Option<String>,
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
    /// `@keepalived-rs http2`: HTTP/2, without TLS with prior knowledge.
    V2,
}

/// One `url` block.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Url {
    /// Sent verbatim after `GET `.
    pub path: String,
    /// `virtualhost` of the block itself.
    pub virtualhost: Option<String>,
    /// Host header: url, checker, real server, virtual server; `None` is `address:port` of the destination.
    pub host: Option<String>,
    /// Server name of the TLS handshake, already decided (spec/checkers.md §7); `None` sends none.
    pub sni: Option<String>,
    /// MD5 of the body.
    pub digest: Option<[u8; 16]>,
    /// Accepted status codes as inclusive ranges, 100..=599; empty never (default 200-299).
    pub status_codes: Vec<(u16, u16)>,
    /// Send a close-notify for this url.
    pub tls_compliant: bool,
    /// What the body must match, or not.
    pub regex: Option<Box<Regex>>,
    /// `@keepalived-rs grpc_health`: asked over gRPC whether this service serves; the empty name is the server.
    pub grpc_health: Option<String>,
}

/// `regex` of a url and the words around it (PCRE2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Regex {
    /// The pattern, quotes and escapes resolved.
    pub pattern: String,
    /// `regex_options`.
    pub options: RegexOptions,
    /// `regex_no_match`: a match is a failure.
    pub no_match: bool,
    /// `regex_min_offset`: first byte where a match may start.
    pub min_offset: u64,
    /// `regex_max_offset`: last byte where a match may start.
    pub max_offset: Option<u64>,
    /// `regex_stack`: start and largest size of the matcher's stack, in bytes.
    pub stack: Option<(u64, u64)>,
}

/// Why PCRE2 does not take a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct BadPattern {
    /// Byte of the pattern where it noticed.
    pub offset: usize,
    /// The library's words.
    pub reason: String,
}

/// `regex_options`: a set of PCRE2 compile options. Bits are indices into [`RegexOptions::NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct RegexOptions(u32);

impl RegexOptions {
    /// The words, in stock's order.
    pub const NAMES: [&str; 24] = [
        "allow_empty_class",
        "alt_bsux",
        "auto_callout",
        "caseless",
        "dollar_endonly",
        "dotall",
        "dupnames",
        "extended",
        "firstline",
        "match_unset_backref",
        "multiline",
        "never_ucp",
        "never_utf",
        "no_auto_capture",
        "no_auto_possess",
        "no_dotstar_anchor",
        "no_start_optimize",
        "ucp",
        "ungreedy",
        "utf",
        "never_backslash_c",
        "alt_circumflex",
        "alt_verbnames",
        "use_offset_limit",
    ];

    /// The bits.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Adds an option by name; false when there is none of that name.
    pub fn add(&mut self, name: &str) -> bool {
        let index = Self::NAMES.iter().position(|known| *known == name);
        if let Some(index) = index {
            self.0 |= 1 << index;
        }
        index.is_some()
    }

    /// The names of the set, in stock's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .enumerate()
            .filter(move |(index, _)| self.0 >> index & 1 == 1)
            .map(|(_, it)| it)
    }
}

/// A `SMTP_CHECK` block, or one `host` of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SmtpCheck {
    /// Where.
    pub connection: Connection,
    /// The name given in HELO.
    pub helo: String,
}

/// A `DNS_CHECK` block.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DnsCheck {
    /// Where.
    pub connection: Connection,
    /// Type of the question.
    pub record: DnsType,
    /// The name asked for, as written; empty is the root. Its labels are valid.
    pub name: String,
}

/// Types of a DNS question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each variant is the type's name")]
pub enum DnsType {
    A,
    Ns,
    Cname,
    #[default]
    Soa,
    Mx,
    Txt,
    Aaaa,
    Rrsig,
    Dnskey,
}

impl DnsType {
    /// Every type stock accepts, with its name.
    pub const ALL: [(Self, &str); 9] = [
        (Self::A, "A"),
        (Self::Ns, "NS"),
        (Self::Cname, "CNAME"),
        (Self::Soa, "SOA"),
        (Self::Mx, "MX"),
        (Self::Txt, "TXT"),
        (Self::Aaaa, "AAAA"),
        (Self::Rrsig, "RRSIG"),
        (Self::Dnskey, "DNSKEY"),
    ];

    /// As written in the configuration.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(it, _)| *it == self).map_or("", |(_, name)| name)
    }

    /// The number on the wire (IANA "Resource Record (RR) TYPEs").
    pub fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ns => 2,
            Self::Cname => 5,
            Self::Soa => 6,
            Self::Mx => 15,
            Self::Txt => 16,
            Self::Aaaa => 28,
            Self::Rrsig => 46,
            Self::Dnskey => 48,
        }
    }
}

/// A `UDP_CHECK` block.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UdpCheck {
    /// Where.
    pub connection: Connection,
    /// What is sent; `None` is stock's own text.
    pub payload: Option<Vec<u8>>,
    /// What must come back; `None` when nothing must.
    pub reply: Option<UdpReply>,
}

/// `require_reply` and the lengths of the reply.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UdpReply {
    /// Shortest reply, in bytes; looked at only with a pattern.
    pub min_length: u16,
    /// Longest reply, in bytes; looked at only with a pattern.
    pub max_length: u16,
    /// The bytes that must come; empty when any will do.
    pub pattern: Vec<PatternByte>,
}

/// One byte of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PatternByte {
    /// The bits; those outside the mask are 0.
    pub value: u8,
    /// The bits that count.
    pub mask: u8,
}

/// A `MISC_CHECK` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MiscCheck {
    /// The script.
    pub command: Command,
    /// Seconds of `misc_timeout`; 0 when not given.
    pub own_timeout: u32,
    /// After this it is killed: `misc_timeout`, else `delay_loop` of the virtual server.
    pub timeout: Duration,
    /// Its exit code is the weight.
    pub dynamic: bool,
}

/// A `FILE_CHECK` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCheck {
    /// Name of a `track_file`; it exists.
    pub track_file: String,
    /// Multiplier of the number in the file, -2147483647..=2147483647.
    pub weight: i32,
    /// The product counts negated.
    pub reverse: bool,
}

/// A `BFD_CHECK` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdCheck {
    /// Name of a `bfd_instance`; it exists.
    pub name: String,
}
