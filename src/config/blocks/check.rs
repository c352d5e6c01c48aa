//! What all checker blocks share, and `TCP_CHECK` (spec/checkers.md §2, §6).

use std::net::IpAddr;
use std::time::Duration;

use super::http::{self, HttpDraft};
use super::virtual_server::{CONNECT, Inherited, LONG};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{
    Block, Given, Keyword, Mark, Opened, Shape, Table, Value, keyword, lenient, micros, strict,
};
use crate::config::source::Span;
use crate::config::value;

/// A checker block as read.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the keyword of its name")]
pub struct CheckerDraft<'a> {
    /// What is done; `None` for types that are only parsed.
    pub kind: Option<Kind>,
    /// The block's keyword.
    pub head: Option<Span>,
    pub own: Inherited,
    pub log_all_failures: bool,
    pub connect_ip: Option<(IpAddr, Span)>,
    pub connect_port: Option<u16>,
    pub bindto: Option<IpAddr>,
    pub bind_port: u16,
    pub bind_if: Option<String>,
    pub fwmark: u32,
    /// Of `HTTP_GET` and `SSL_GET`.
    pub http: Option<Box<HttpDraft<'a>>>,
    /// What is needed and was given, of types that are only parsed.
    pub complete: bool,
}

/// The types that are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `TCP_CHECK`.
    Tcp,
    /// `HTTP_GET`.
    Http,
    /// `SSL_GET`.
    Ssl,
}

/// The checker blocks of a real server that are built.
pub const BLOCKS: &[Keyword] = &[
    keyword("TCP_CHECK", Shape::Block(&TCP), "Up when a TCP connection succeeds.").mark(Mark::A),
    keyword("HTTP_GET", Shape::Block(&http::HTTP), "Up when pages answer as expected.").mark(Mark::A),
    keyword("SSL_GET", Shape::Block(&http::SSL), "The same over TLS.").mark(Mark::A),
];

static TCP: Block = Block { table: &TCP_TABLE, open: |r, g| start(r, g, Some(Kind::Tcp)), close: finish };

static TCP_TABLE: Table = Table::new("TCP_CHECK", &[COMMON, CONNECTION]);

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
            match r.drafts.checker.bindto {
                Some(bind) if bind.is_ipv4() != address.is_ipv4() => r.push(
                    bad_value(g.keyword, word, &format!("cannot be reached from `bindto` {bind}"))
                        .help("use addresses of one family")
                        .stock("the line is ignored, and the check fails for want of a destination"),
                ),
                _ => r.drafts.checker.connect_ip = Some((*address, word.span())),
            }
        }),
    keyword("connect_port", lenient(1, 65535), "The port to connect to.")
        .default("the real server's port")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.checker.connect_port = u16::try_from(g.int()).ok()),
    keyword("bindto", Shape::Address, "The local address.").mark(Mark::B).apply(|r, g| {
        let (Value::Address(address), Some(word)) = (&g.value, g.argument(0)) else { return };
        let (destination, _) = destination(r);
        if address.is_ipv4() == destination.is_ipv4() {
            r.drafts.checker.bindto = Some(*address);
        } else {
            r.push(
                bad_value(g.keyword, word, &format!("cannot reach {destination}"))
                    .help("use a local address of the same family; `connect_ip` must stand before it")
                    .stock("the line is ignored"),
            );
        }
    }),
    keyword("bind_port", strict(1, 65535), "The local port, together with bindto.")
        .apply(|r, g| r.drafts.checker.bind_port = u16::try_from(g.int()).unwrap_or(0)),
    keyword("bind_if", Shape::Word, "The interface to leave by.").apply(|r, g| {
        if value::fits_interface(g.text()) {
            r.drafts.checker.bind_if = Some(g.text().to_owned());
        } else if let Some(word) = g.argument(0) {
            r.push(bad_value(g.keyword, word, "is no name of an interface").stock("the line is ignored"));
        }
    }),
    keyword("connect_timeout", CONNECT, "Seconds until a connection is given up.")
        .default("that of the real server (5 s)")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.checker.own.connect_timeout = Some(g.time())),
    keyword("fwmark", lenient(0, U32), "Firewall mark of the check's packets.").default("0").apply(|r, g| {
        r.drafts.checker.fwmark = g.u32();
    }),
];

/// Starts a checker block.
pub fn start<'a>(reader: &mut Reader<'a>, given: Given<'a>, kind: Option<Kind>) -> Opened {
    reader.drafts.http = HttpDraft::default();
    reader.drafts.checker = CheckerDraft { kind, head: Some(given.head()), ..CheckerDraft::default() };
    Opened::Enter
}

/// Ends a checker block: its destination is fixed here, whatever becomes of the real server's port later.
pub fn finish(reader: &mut Reader<'_>) {
    let (destination, span) = destination(reader);
    let checker = std::mem::take(&mut reader.drafts.checker);
    if let (IpAddr::V6(address), Some(span), None) = (destination, span, &checker.bind_if)
        && value::is_link_local(address)
    {
        reader.push(
            Diagnostic::error("no-interface", span, format!("{address} is link-local: which interface?"))
                .help("add `bind_if INTERFACE` to the check")
                .stock("drops the check: the real server is always up"),
        );
        return;
    }
    // Nearly every server has one check, and there may be tens of thousands.
    let checkers = &mut reader.drafts.real_server.checkers;
    checkers.reserve_exact(1);
    checkers.push(checker);
}

/// Where the checker connects to, as far as it is read, and what says so.
fn destination(reader: &Reader<'_>) -> (IpAddr, Option<Span>) {
    let checker = &reader.drafts.checker;
    match checker.connect_ip {
        Some((address, span)) => (address, Some(span)),
        None => (reader.drafts.real_server.address, checker.head),
    }
}

/// The default of `delay_before_retry` by type.
pub fn default_retry_delay(kind: Kind) -> Duration {
    match kind {
        Kind::Tcp => Duration::from_secs(1),
        Kind::Http | Kind::Ssl => Duration::from_secs(3),
    }
}
