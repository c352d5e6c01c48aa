//! What all checker blocks share, and those that have nothing else: `TCP_CHECK`, `PING_CHECK` (spec/checkers.md §2,
//! §6, §11).

use std::net::IpAddr;
use std::time::Duration;

use super::http::{self, HttpDraft};
use super::virtual_server::{CONNECT, Inherited, LONG};
use super::{dns_check, misc_check, smtp_check, udp_check, watch_checks};
use crate::config::diagnostic::Diagnostic;
use crate::config::model::DnsType;
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{
    Block, Given, Keyword, Mark, Opened, Shape, Table, Value, keyword, lenient, micros, strict,
};
use crate::config::source::Span;
use crate::config::syntax::Word;
use crate::config::value;

/// A checker block as read.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the keyword of its name")]
pub struct CheckerDraft<'a> {
    /// What is done.
    pub kind: Kind,
    /// The block's keyword.
    pub head: Option<Span>,
    pub own: Inherited,
    pub log_all_failures: bool,
    pub connection: ConnectionDraft,
    /// What only its type has.
    pub special: Special<'a>,
}

/// The connection options of a checker block, or of a `host` of `SMTP_CHECK`.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the keyword of its name")]
pub struct ConnectionDraft {
    pub connect_port: Option<u16>,
    pub connect_timeout: Option<Duration>,
    /// What few checks give.
    pub rare: Option<Box<RareConnection>>,
}

/// The rest of a [`ConnectionDraft`].
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the keyword of its name")]
pub struct RareConnection {
    pub connect_ip: Option<(IpAddr, Span)>,
    pub bindto: Option<IpAddr>,
    pub bind_port: u16,
    pub bind_if: Option<String>,
    pub fwmark: u32,
}

impl ConnectionDraft {
    fn rare(&mut self) -> &mut RareConnection {
        self.rare.get_or_insert_default()
    }
}

/// What only one type of check has.
#[derive(Debug, Clone, Default)]
pub enum Special<'a> {
    /// Nothing.
    #[default]
    None,
    /// Of `HTTP_GET` and `SSL_GET`.
    Http(Box<HttpDraft<'a>>),
    /// Of `SMTP_CHECK`.
    Smtp(Box<smtp_check::Draft<'a>>),
    /// Of `DNS_CHECK`.
    Dns(DnsType, Option<&'a Word>),
    /// Of `UDP_CHECK`.
    Udp(Box<udp_check::Draft>),
    /// Of `MISC_CHECK`.
    Misc(Box<misc_check::Draft>),
    /// Of `FILE_CHECK`.
    File(watch_checks::FileDraft<'a>),
    /// Of `BFD_CHECK`.
    Bfd(&'a Word),
}

/// The types of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each variant is the block of its name")]
pub enum Kind {
    #[default]
    Tcp,
    Http,
    Ssl,
    Smtp,
    Dns,
    Udp,
    Ping,
    Misc,
    File,
    Bfd,
}

impl Kind {
    /// `retry` where nothing gives one.
    pub fn default_retry(self) -> u32 {
        match self {
            Self::Dns => 3,
            Self::Misc => 0,
            _ => 1,
        }
    }

    /// `delay_before_retry` where nothing gives one; `None` is `delay_loop`.
    pub fn default_retry_delay(self) -> Option<Duration> {
        match self {
            Self::Http | Self::Ssl => Some(Duration::from_secs(3)),
            Self::Dns => None,
            _ => Some(Duration::from_secs(1)),
        }
    }
}

/// The checker blocks of a real server.
pub const BLOCKS: &[Keyword] = &[
    keyword("TCP_CHECK", Shape::Block(&TCP), "Up when a TCP connection succeeds.").mark(Mark::A),
    keyword("HTTP_GET", Shape::Block(&http::HTTP), "Up when pages answer as expected.").mark(Mark::A),
    keyword("SSL_GET", Shape::Block(&http::SSL), "The same over TLS.").mark(Mark::A),
    keyword("SMTP_CHECK", Shape::Block(&smtp_check::BLOCK), "Up when a mail server greets.").mark(Mark::B),
    keyword("DNS_CHECK", Shape::Block(&dns_check::BLOCK), "Up when a name server answers.").mark(Mark::B),
    keyword("UDP_CHECK", Shape::Block(&udp_check::BLOCK), "Up when a datagram is not refused.").mark(Mark::B),
    keyword("PING_CHECK", Shape::Block(&PING), "Up when an echo comes back.").mark(Mark::B),
    keyword("MISC_CHECK", Shape::Block(&misc_check::BLOCK), "Up when a script says so.").mark(Mark::A),
    keyword("FILE_CHECK", Shape::Block(&watch_checks::FILE), "Weight, or failure, by the number in a file."),
    keyword("BFD_CHECK", Shape::Block(&watch_checks::BFD), "Up with a BFD session."),
];

static TCP: Block = Block { table: &TCP_TABLE, open: |r, g| start(r, g, Kind::Tcp), close: finish };
static TCP_TABLE: Table = Table::new("TCP_CHECK", &[COMMON, CONNECTION]);

static PING: Block = Block { table: &PING_TABLE, open: |r, g| start(r, g, Kind::Ping), close: finish };
static PING_TABLE: Table = Table::new("PING_CHECK", &[COMMON, CONNECTION]);

const U32: i64 = 4_294_967_295;

/// Keywords of every checker that runs by itself.
pub const COMMON: &[Keyword] = &[
    keyword("retry", lenient(0, U32), "Failures beyond the first that are forgiven.")
        .default("1; DNS_CHECK 3; MISC_CHECK 0")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.checker.own.retry = Some(g.u32())),
    keyword("delay_before_retry", micros(0, LONG), "Seconds from a forgiven failure to the next attempt.")
        .default("1 s; HTTP_GET and SSL_GET 3 s; DNS_CHECK delay_loop")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.checker.own.delay_before_retry = Some(g.time())),
    keyword("warmup", micros(0, LONG), "Upper end, in seconds, of the random delay of the first check.")
        .default("delay_loop")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.checker.own.warmup = Some(g.time())),
    keyword("delay_loop", micros(1, LONG), "Seconds between checks.")
        .default("that of the real server")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.checker.own.delay_loop = Some(g.time())),
    keyword("alpha", Shape::Bool, "Starts as failed.")
        .default("that of the real server")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.checker.own.alpha = Some(g.bool())),
    keyword("log_all_failures", Shape::Bool, "Log every failed attempt.")
        .default("checker_log_all_failures")
        .apply(|r, g| r.drafts.checker.log_all_failures = g.bool()),
];

/// Keywords of checkers that connect somewhere.
pub const CONNECTION: &[Keyword] = &[
    keyword("connect_ip", Shape::Address, "Where to connect to.")
        .default("the real server's address")
        .mark(Mark::B)
        .apply(|r, g| {
            let (Value::Address(address), Some(word)) = (&g.value, g.argument(0)) else { return };
            match r.drafts.checker.connection.rare().bindto {
                Some(bind) if bind.is_ipv4() != address.is_ipv4() => r.push(
                    bad_value(g.keyword, word, &format!("cannot be reached from `bindto` {bind}"))
                        .help("use addresses of one family")
                        .stock("the line is ignored, and the check fails for want of a destination"),
                ),
                _ => r.drafts.checker.connection.rare().connect_ip = Some((*address, word.span())),
            }
        }),
    keyword("connect_port", lenient(1, 65535), "The port to connect to.")
        .default("the real server's port")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.checker.connection.connect_port = u16::try_from(g.int()).ok()),
    keyword("bindto", Shape::Address, "The local address.").mark(Mark::B).apply(|r, g| {
        let (Value::Address(address), Some(word)) = (&g.value, g.argument(0)) else { return };
        let (destination, _) = destination(r);
        if address.is_ipv4() == destination.is_ipv4() {
            r.drafts.checker.connection.rare().bindto = Some(*address);
        } else {
            r.push(
                bad_value(g.keyword, word, &format!("cannot reach {destination}"))
                    .help("use a local address of the same family; `connect_ip` must stand before it")
                    .stock("the line is ignored"),
            );
        }
    }),
    keyword("bind_port", strict(1, 65535), "The local port, together with bindto.")
        .apply(|r, g| r.drafts.checker.connection.rare().bind_port = u16::try_from(g.int()).unwrap_or(0)),
    keyword("bind_if", Shape::Word, "The interface to leave by.").apply(|r, g| {
        if value::fits_interface(g.text()) {
            r.drafts.checker.connection.rare().bind_if = Some(g.text().to_owned());
        } else if let Some(word) = g.argument(0) {
            r.push(bad_value(g.keyword, word, "is no name of an interface").stock("the line is ignored"));
        }
    }),
    keyword("connect_timeout", CONNECT, "Seconds until a connection is given up.")
        .default("that of the real server (5 s)")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.checker.connection.connect_timeout = Some(g.time())),
    keyword("fwmark", lenient(0, U32), "Firewall mark of the check's packets.").default("0").apply(|r, g| {
        r.drafts.checker.connection.rare().fwmark = g.u32();
    }),
];

/// Starts a checker block.
pub fn start<'a>(reader: &mut Reader<'a>, given: Given<'a>, kind: Kind) -> Opened {
    reader.drafts.http = HttpDraft::default();
    reader.drafts.checker = CheckerDraft { kind, head: Some(given.head()), ..CheckerDraft::default() };
    Opened::Enter
}

/// Ends a checker block: its destination is fixed here, whatever becomes of the real server's port later.
pub fn finish(reader: &mut Reader<'_>) {
    if is_reachable(reader) {
        let checker = std::mem::take(&mut reader.drafts.checker);
        // Nearly every server has one check, and there may be tens of thousands.
        let checkers = &mut reader.drafts.real_server.checkers;
        checkers.reserve_exact(1);
        checkers.push(checker);
    }
}

/// Ends a checker block whose type adds something.
pub fn finish_with<'a>(reader: &mut Reader<'a>, special: Special<'a>) {
    reader.drafts.checker.special = special;
    finish(reader);
}

/// Does a link-local destination have an interface? Stock drops the check else.
pub fn is_reachable(reader: &mut Reader<'_>) -> bool {
    let (destination, span) = destination(reader);
    let rare = reader.drafts.checker.connection.rare.as_deref();
    if let (IpAddr::V6(address), Some(span), None) =
        (destination, span, rare.and_then(|rare| rare.bind_if.as_ref()))
        && value::is_link_local(address)
    {
        reader.push(
            Diagnostic::error("no-interface", span, format!("{address} is link-local: which interface?"))
                .help("add `bind_if INTERFACE` to the check")
                .stock("drops the check: the real server is always up"),
        );
        return false;
    }
    true
}

/// Where the checker connects to, as far as it is read, and what says so.
fn destination(reader: &Reader<'_>) -> (IpAddr, Option<Span>) {
    let checker = &reader.drafts.checker;
    match checker.connection.rare.as_deref().and_then(|rare| rare.connect_ip) {
        Some((address, span)) => (address, Some(span)),
        None => (reader.drafts.real_server.address, checker.head),
    }
}
