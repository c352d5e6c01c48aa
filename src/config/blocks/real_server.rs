//! `real_server ADDR [PORT] { … }` (spec/lvs-config.md §8), and forwarding methods (§6).

use std::net::IpAddr;

use super::check::{self, CheckerDraft};
use super::quoted;
use super::scripts::{self, ScriptDraft};
use super::virtual_server::{CONNECT, Inherited, LONG, address_and_port};
use crate::config::diagnostic::Diagnostic;
use crate::config::model::{ForwardingMethod, Tunnel, TunnelChecksum};
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{
    Block, Given, Keyword, Mark, Missing, Opened, Repeat, Shape, Table, keyword, lenient, micros, strict,
};
use crate::config::source::Span;
use crate::config::suggest::did_you_mean;
use crate::config::syntax::Word;
use crate::config::value::{self, Reading, Strictness};

/// A block as read.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is the keyword of its name")]
pub struct RealServerDraft<'a> {
    pub address: IpAddr,
    /// 0 when missing.
    pub port: u16,
    /// The address in the header.
    pub span: Option<Span>,
    pub inherited: Inherited,
    pub weight: Option<u32>,
    /// Copied from the virtual server at the header, then `lvs_method`.
    pub method: Option<ForwardingMethod>,
    pub uthreshold: u32,
    pub lthreshold: u32,
    pub inhibit_on_failure: Option<bool>,
    pub notify_up: Option<Box<ScriptDraft>>,
    pub notify_down: Option<Box<ScriptDraft>>,
    pub smtp_alert: Option<bool>,
    pub virtualhost: Option<&'a Word>,
    pub snmp_name: Option<&'a Word>,
    pub checkers: Vec<CheckerDraft<'a>>,
}

impl Default for RealServerDraft<'_> {
    fn default() -> Self {
        Self {
            address: IpAddr::from([0, 0, 0, 0]),
            port: 0,
            span: None,
            inherited: Inherited::default(),
            weight: None,
            method: None,
            uthreshold: 0,
            lthreshold: 0,
            inhibit_on_failure: None,
            notify_up: None,
            notify_down: None,
            smtp_alert: None,
            virtualhost: None,
            snmp_name: None,
            checkers: Vec::new(),
        }
    }
}

/// The block.
pub static BLOCK: Block = Block { table: &TABLE, open, close };

static TABLE: Table = Table::new("real_server", &[KEYWORDS, check::BLOCKS]);

const U32: i64 = 4_294_967_295;

const KEYWORDS: &[Keyword] = &[
    keyword("weight", lenient(0, 2_147_483_647), "Its share of the load.")
        .default("weight of the virtual server (1)")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.real_server.weight = Some(g.u32())),
    keyword("lvs_method", Shape::Words, "NAT, DR or TUN, as in the virtual server.")
        .default("that of the virtual server")
        .mark(Mark::B)
        .missing(Missing::Stops)
        .apply(|r, g| r.drafts.real_server.method = method(r, g, r.drafts.real_server.method)),
    keyword("uthreshold", lenient(0, U32), "Connections from which on the kernel sends no more.")
        .default("0")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.real_server.uthreshold = g.u32()),
    keyword("lthreshold", lenient(0, U32), "Connections below which it sends again.")
        .default("0")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.real_server.lthreshold = g.u32()),
    keyword("inhibit_on_failure", Shape::Bool, "Weight 0 instead of removal.")
        .default("that of the virtual server")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.real_server.inhibit_on_failure = Some(g.bool())),
    keyword("notify_up", Shape::Script, "Run when it comes up: SCRIPT [USER [:][GROUP]].")
        .mark(Mark::A)
        .repeat(Repeat::FirstWins)
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.real_server.notify_up)),
    keyword("notify_down", Shape::Script, "Run when it goes down: SCRIPT [USER [:][GROUP]].")
        .mark(Mark::A)
        .repeat(Repeat::FirstWins)
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.real_server.notify_down)),
    keyword("alpha", Shape::Bool, "Starts as failed.")
        .default("that of the virtual server")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.real_server.inherited.alpha = Some(g.bool())),
    keyword("retry", strict(1, U32), "Failures beyond the first that are forgiven.")
        .default("that of the virtual server")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.real_server.inherited.retry = Some(g.u32())),
    keyword("delay_before_retry", micros(0, LONG), "Seconds from a forgiven failure to the next attempt.")
        .default("that of the virtual server")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.real_server.inherited.delay_before_retry = Some(g.time())),
    keyword("warmup", micros(0, LONG), "Upper end, in seconds, of the random delay of the first check.")
        .default("that of the virtual server")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.real_server.inherited.warmup = Some(g.time())),
    keyword("connect_timeout", CONNECT, "Seconds until a connection is given up.")
        .default("that of the virtual server (5 s)")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.real_server.inherited.connect_timeout = Some(g.time())),
    keyword("delay_loop", micros(1, LONG), "Seconds between checks.")
        .default("that of the virtual server (60 s)")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.real_server.inherited.delay_loop = Some(g.time())),
    keyword("smtp_alert", Shape::Bool, "Mail on its changes.")
        .default("smtp_alert_checker, smtp_alert, yes")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.real_server.smtp_alert = Some(g.bool())),
    keyword("virtualhost", Shape::Word, "Host header of HTTP and SSL checks.")
        .default("that of the virtual server")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .apply(|r, g| {
            let first = r.drafts.real_server.virtualhost.map(Word::span);
            repeated_host(r, g, first);
            r.drafts.real_server.virtualhost = g.argument(0);
        }),
    keyword("snmp_name", Shape::Word, "Name for SNMP.")
        .missing(Missing::Warns)
        .one_word()
        .apply(|r, g| r.drafts.real_server.snmp_name = g.argument(0)),
];

fn open<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    if given.argument(0).is_none() {
        reader.missing_name(given);
        return Opened::Skip;
    }
    let Some((address, port)) =
        address_and_port(reader, given.keyword, given.arguments(), "skips the whole block")
    else {
        return Opened::Skip;
    };
    reader.drafts.real_server = RealServerDraft {
        address,
        port,
        span: Some(given.value_span()),
        method: reader.drafts.virtual_server.method,
        ..RealServerDraft::default()
    };
    Opened::Enter
}

fn close(reader: &mut Reader<'_>) {
    let draft = std::mem::take(&mut reader.drafts.real_server);
    reader.drafts.virtual_server.real_servers.push(draft);
}

/// A second `virtualhost`: stock warns, and the last wins.
pub fn repeated_host(reader: &mut Reader<'_>, given: Given<'_>, first: Option<Span>) {
    let Some(first) = first else { return };
    reader.push(
        Diagnostic::error("repeated-keyword", given.head(), "a second `virtualhost`")
            .related(first, "the first one")
            .help("remove one of them")
            .stock("uses the last"),
    );
}

/// `NAT`, `DR`, `TUN [type ipip|gue|gre] [port N] [nocsum|csum|remcsum]` (spec/lvs-config.md §6).
pub fn method(
    reader: &mut Reader<'_>,
    given: Given<'_>,
    before: Option<ForwardingMethod>,
) -> Option<ForwardingMethod> {
    let (first, rest) = given.arguments().split_first()?;
    let method = match first.as_str() {
        "NAT" => ForwardingMethod::Nat,
        "DR" => ForwardingMethod::Dr,
        "TUN" => ForwardingMethod::Tun(match before {
            Some(ForwardingMethod::Tun(tunnel)) => tunnel,
            _ => Tunnel::Ipip,
        }),
        _ => {
            let mut report =
                bad_value(given.keyword, first, "is none of NAT, DR, TUN").stock("the line is ignored");
            if let Some(meant) = meant_method(first) {
                let how = if first.eq_ignore_ascii_case(meant) { ", in capitals" } else { "" };
                report = report.help(format!("write `{} {meant}`{how}", given.keyword.name));
            }
            reader.push(report);
            return before;
        }
    };
    match tunnel(reader, given, rest) {
        Ok(Some(tunnel)) if matches!(method, ForwardingMethod::Tun(_)) => Some(ForwardingMethod::Tun(tunnel)),
        _ => Some(method),
    }
}

/// The method that was probably meant: a slip, or what other tools call it.
fn meant_method(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "masq" | "masquerade" | "masquerading" => Some("NAT"),
        "direct" | "gate" | "gatewaying" | "route" => Some("DR"),
        "ipip" | "tunnel" | "tunneling" => Some("TUN"),
        _ => did_you_mean(word, ["NAT", "DR", "TUN"]),
    }
}

/// The options behind the method; `Err` when something is wrong and the tunnel stays as it was.
fn tunnel(reader: &mut Reader<'_>, given: Given<'_>, mut rest: &[Word]) -> Result<Option<Tunnel>, ()> {
    if rest.is_empty() {
        return Ok(None);
    }
    let (mut kind, mut port, mut checksum) = ("ipip", None, TunnelChecksum::None);
    let wrong = |reader: &mut Reader<'_>, word: &Word, what: &str| {
        let mut report =
            bad_value(given.keyword, word, what).stock("uses the method, and ignores its options");
        if !word.is_ascii() {
            report = report.help("if this is meant as a comment, start it with `#`");
        }
        reader.push(report);
    };
    while let Some((option, after)) = rest.split_first() {
        rest = after;
        match option.as_str() {
            "type" => match rest.split_first() {
                Some((word, after)) if matches!(word.as_str(), "ipip" | "gue" | "gre") => {
                    kind = word.as_str();
                    rest = after;
                }
                Some((word, _)) => {
                    wrong(reader, word, "is none of ipip, gue, gre");
                    return Err(());
                }
                None => {
                    wrong(reader, option, "needs ipip, gue or gre");
                    return Err(());
                }
            },
            "port" => {
                let number = rest
                    .first()
                    .map(|word| value::integer(word, 1, 65535, Strictness::Strict, reader.world.mode));
                let Some(Reading::Good(number)) = number else {
                    wrong(reader, option, "needs a number from 1 to 65535");
                    return Err(());
                };
                port = u16::try_from(number).ok();
                rest = rest.get(1..).unwrap_or(&[]);
            }
            "nocsum" => checksum = TunnelChecksum::None,
            "csum" => checksum = TunnelChecksum::Csum,
            "remcsum" => checksum = TunnelChecksum::Remote,
            _ => {
                let what = format!("is no option of a tunnel ({})", quoted(option));
                wrong(reader, option, &what);
                return Err(());
            }
        }
    }
    let (Some(first), ()) = (given.argument(0), ()) else { return Err(()) };
    match (kind, port, checksum) {
        ("gue", Some(port), checksum) => Ok(Some(Tunnel::Gue { port, checksum })),
        ("gue", None, _) => {
            wrong(reader, first, "with type gue needs a port");
            Err(())
        }
        (_, Some(_), _) => {
            wrong(reader, first, "takes a port with type gue only");
            Err(())
        }
        ("gre", None, TunnelChecksum::Remote) => {
            wrong(reader, first, "with type gre has no remcsum");
            Err(())
        }
        ("gre", None, checksum) => Ok(Some(Tunnel::Gre { checksum })),
        (_, None, TunnelChecksum::None) => Ok(Some(Tunnel::Ipip)),
        _ => {
            wrong(reader, first, "with type ipip has no checksums");
            Err(())
        }
    }
}
