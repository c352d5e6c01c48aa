//! `virtual_server ADDR PORT | fwmark N | group NAME { … }` (spec/lvs-config.md §3, §4).

use std::net::IpAddr;
use std::time::Duration;

use super::real_server::{self, RealServerDraft};
use super::scripts::{self, ScriptDraft};
use super::{quoted, real_server::method};
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::model::{Family, ForwardingMethod, Granularity, Protocol, Scheduler};
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{
    Block, Given, Keyword, Mark, Missing, Opened, Repeat, Shape, Table, keyword, lenient, micros, strict,
};
use crate::config::source::Span;
use crate::config::suggest::did_you_mean;
use crate::config::syntax::Word;
use crate::config::value::{self, Reading, Strictness};

/// Settings that virtual server, real server and checker may give; the innermost that is given wins.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "each field is the keyword of its name")]
pub struct Inherited {
    pub delay_loop: Option<Duration>,
    pub retry: Option<u32>,
    pub delay_before_retry: Option<Duration>,
    pub warmup: Option<Duration>,
    pub connect_timeout: Option<Duration>,
    pub alpha: Option<bool>,
}

impl Inherited {
    /// This, and where it says nothing, `outer`.
    pub fn or(self, outer: Self) -> Self {
        Self {
            delay_loop: self.delay_loop.or(outer.delay_loop),
            retry: self.retry.or(outer.retry),
            delay_before_retry: self.delay_before_retry.or(outer.delay_before_retry),
            warmup: self.warmup.or(outer.warmup),
            connect_timeout: self.connect_timeout.or(outer.connect_timeout),
            alpha: self.alpha.or(outer.alpha),
        }
    }
}

/// What the header names.
#[derive(Debug, Clone, Copy, Default)]
pub enum ServiceDraft<'a> {
    /// Nothing yet.
    #[default]
    Unset,
    /// An address and port; port 0 is any.
    Address(IpAddr, u16),
    /// A firewall mark; 0 is none of stock's and serves nothing.
    Fwmark(u32),
    /// A group.
    Group(&'a Word),
}

/// A block as read.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the keyword of its name")]
pub struct Draft<'a> {
    pub service: ServiceDraft<'a>,
    /// The header's keyword.
    pub head: Option<Span>,
    pub ip_family: Option<Family>,
    pub inherited: Inherited,
    pub scheduler: Option<Scheduler>,
    pub method: Option<ForwardingMethod>,
    pub protocol: Option<(Protocol, Span)>,
    pub persistence_timeout: Option<u32>,
    pub granularity: Option<Granularity>,
    pub engine: Option<String>,
    pub ops: Option<Span>,
    /// `IP_VS_SVC_F_SCHED1..3`.
    pub flags: u32,
    pub quorum: Option<(u32, Span)>,
    pub hysteresis: Option<(u32, Span)>,
    pub quorum_up: Option<Box<ScriptDraft>>,
    pub quorum_down: Option<Box<ScriptDraft>>,
    pub smtp_alert: Option<bool>,
    pub omega: bool,
    pub ha_suspend: Option<Span>,
    /// `@keepalived-rs slow_start`.
    pub slow_start: Option<Duration>,
    /// `@keepalived-rs min_in_service`.
    pub min_in_service: Option<u8>,
    pub virtualhost: Option<&'a Word>,
    pub snmp_name: Option<&'a Word>,
    pub inhibit_on_failure: bool,
    pub weight: Option<u32>,
    pub sorry_server: Option<SorryDraft>,
    pub real_servers: Vec<RealServerDraft<'a>>,
}

/// A `sorry_server` line and what follows it.
#[derive(Debug, Clone, Copy)]
pub struct SorryDraft {
    /// Address.
    pub address: IpAddr,
    /// Port; 0 when missing.
    pub port: u16,
    /// Where.
    pub span: Span,
    /// The method the virtual server had at that line, or `sorry_server_lvs_method`.
    pub method: Option<ForwardingMethod>,
    /// `sorry_server_inhibit`.
    pub inhibit: bool,
}

/// `IP_VS_SVC_F_SCHED1`, `2`, `3` of the kernel.
const SCHED: [u32; 3] = [0x08, 0x10, 0x20];

/// The block.
pub static BLOCK: Block = Block { table: &TABLE, open, close };

static TABLE: Table = Table::new("virtual_server", &[SERVICE, POOL, DEFAULTS]);

/// Largest time of checks, in microseconds: stock knows no limit but its 64 bits.
pub const LONG: u64 = u64::MAX;
/// `connect_timeout`, in microseconds.
pub const CONNECT: Shape = micros(1, 4_294_967_295);
const U32: i64 = 4_294_967_295;

const SERVICE: &[Keyword] = &[
    keyword(
        "ip_family",
        Shape::Word,
        "inet or inet6, for fwmark services whose real servers are all tunnelled.",
    )
    .default("from the addresses, else inet")
    .apply(ip_family),
    keyword("lvs_sched", Shape::Word, "Scheduler of the kernel.")
        .default("wlc")
        .mark(Mark::A)
        .apply(scheduler),
    keyword("lb_algo", Shape::Word, "Scheduler of the kernel (older spelling).")
        .default("wlc")
        .mark(Mark::A)
        .apply(scheduler),
    keyword("lvs_method", Shape::Words, "NAT, DR or TUN [type ipip|gue port N|gre] [nocsum|csum|remcsum].")
        .default("NAT")
        .mark(Mark::A)
        .missing(Missing::Stops)
        .apply(|r, g| r.drafts.virtual_server.method = method(r, g, r.drafts.virtual_server.method)),
    keyword("lb_kind", Shape::Words, "NAT, DR or TUN (older spelling).")
        .default("NAT")
        .mark(Mark::A)
        .missing(Missing::Stops)
        .apply(|r, g| r.drafts.virtual_server.method = method(r, g, r.drafts.virtual_server.method)),
    keyword("protocol", Shape::Word, "TCP, UDP or SCTP.").default("UDP").mark(Mark::A).apply(protocol),
    keyword("persistence_timeout", Shape::Words, "Seconds that a client stays with its real server.")
        .default("off; 360 without a number")
        .mark(Mark::A)
        .apply(persistence_timeout),
    keyword(
        "persistence_granularity",
        Shape::Word,
        "IPv4 mask or IPv6 prefix length that makes clients one.",
    )
    .default("the whole address")
    .mark(Mark::B)
    .apply(granularity),
    keyword("persistence_engine", Shape::Word, "Persistence engine of the kernel, as sip.").apply(|r, g| {
        let mut end = g.text().len().min(16);
        while !g.text().is_char_boundary(end) {
            end -= 1;
        }
        r.drafts.virtual_server.engine = Some(g.text()[..end].to_owned());
    }),
    keyword("ops", Shape::Flag, "One-packet scheduling, for UDP.")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.virtual_server.ops = Some(g.head())),
    keyword("hashed", Shape::Flag, "Never sets anything.").mark(Mark::X).nothing().apply(|r, g| {
        let scheduler = r.drafts.virtual_server.scheduler;
        if !matches!(scheduler, Some(Scheduler::Sh | Scheduler::Mh)) {
            wrong_scheduler(r, g);
        }
    }),
    keyword("flag-1", Shape::Flag, "Scheduler flag 1.")
        .apply(|r, _| r.drafts.virtual_server.flags |= SCHED[0]),
    keyword("flag-2", Shape::Flag, "Scheduler flag 2.")
        .apply(|r, _| r.drafts.virtual_server.flags |= SCHED[1]),
    keyword("flag-3", Shape::Flag, "Scheduler flag 3.")
        .apply(|r, _| r.drafts.virtual_server.flags |= SCHED[2]),
    keyword("sh-port", Shape::Flag, "Hash the port too; behind `lvs_sched sh`.")
        .mark(Mark::B)
        .apply(|r, g| scheduler_flag(r, g, Scheduler::Sh, SCHED[1])),
    keyword("sh-fallback", Shape::Flag, "Fall back to the next server; behind `lvs_sched sh`.")
        .mark(Mark::B)
        .apply(|r, g| scheduler_flag(r, g, Scheduler::Sh, SCHED[0])),
    keyword("mh-port", Shape::Flag, "Hash the port too; behind `lvs_sched mh`.")
        .apply(|r, g| scheduler_flag(r, g, Scheduler::Mh, SCHED[1])),
    keyword("mh-fallback", Shape::Flag, "Fall back to the next server; behind `lvs_sched mh`.")
        .apply(|r, g| scheduler_flag(r, g, Scheduler::Mh, SCHED[0])),
];

const POOL: &[Keyword] = &[
    keyword("alpha", Shape::Flag, "Real servers start as failed; every argument turns it on.")
        .mark(Mark::B)
        .apply(|r, _| r.drafts.virtual_server.inherited.alpha = Some(true)),
    keyword("omega", Shape::Flag, "Run the down notifiers when the daemon stops.")
        .apply(|r, _| r.drafts.virtual_server.omega = true),
    keyword("quorum", lenient(1, U32), "Weight that must be alive.")
        .default("1")
        .mark(Mark::B)
        .invalid_sets(1)
        .apply(|r, g| r.drafts.virtual_server.quorum = Some((g.u32(), g.head()))),
    keyword("hysteresis", lenient(0, U32), "Distance to the quorum before the state changes.")
        .default("0")
        .apply(|r, g| r.drafts.virtual_server.hysteresis = Some((g.u32(), g.head()))),
    keyword("quorum_up", Shape::Script, "Run when the quorum is gained: SCRIPT [USER [:][GROUP]].")
        .mark(Mark::B)
        .repeat(Repeat::FirstWins)
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.virtual_server.quorum_up)),
    keyword("quorum_down", Shape::Script, "Run when the quorum is lost: SCRIPT [USER [:][GROUP]].")
        .mark(Mark::B)
        .repeat(Repeat::FirstWins)
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.virtual_server.quorum_down)),
    keyword("ha_suspend", Shape::Flag, "Check only while the virtual address is on this host.")
        .apply(|r, g| r.drafts.virtual_server.ha_suspend = Some(g.head())),
    keyword("smtp_alert", Shape::Bool, "Mail on quorum changes.")
        .default("smtp_alert_checker, smtp_alert, no")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.virtual_server.smtp_alert = Some(g.bool())),
    keyword("snmp_name", Shape::Word, "Name for SNMP.")
        .missing(Missing::Warns)
        .one_word()
        .apply(|r, g| r.drafts.virtual_server.snmp_name = g.argument(0)),
    keyword("sorry_server", Shape::Words, "Used while no real server is: ADDR [PORT].")
        .mark(Mark::A)
        .missing(Missing::Stops)
        .apply(sorry_server),
    keyword("sorry_server_inhibit", Shape::Flag, "Weight 0 instead of removing it.").apply(|r, g| {
        match r.drafts.virtual_server.sorry_server.as_mut() {
            Some(sorry) => sorry.inhibit = true,
            None => no_sorry_server(r, g),
        }
    }),
    keyword("sorry_server_lvs_method", Shape::Words, "Its own method, as lvs_method.").apply(|r, g| {
        let Some(sorry) = r.drafts.virtual_server.sorry_server else {
            return no_sorry_server(r, g);
        };
        let method = method(r, g, sorry.method);
        if let Some(sorry) = r.drafts.virtual_server.sorry_server.as_mut() {
            sorry.method = method;
        }
    }),
    keyword("real_server", Shape::Block(&real_server::BLOCK), "A server of the pool: ADDR [PORT].")
        .mark(Mark::A)
        .missing(Missing::Stops),
];

const DEFAULTS: &[Keyword] = &[
    keyword("delay_loop", micros(1, LONG), "Seconds between checks.")
        .default("60 s")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.virtual_server.inherited.delay_loop = Some(g.time())),
    keyword("retry", strict(1, U32), "Failures beyond the first that are forgiven.")
        .default("that of the check type")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.virtual_server.inherited.retry = Some(g.u32())),
    keyword("delay_before_retry", micros(0, LONG), "Seconds from a forgiven failure to the next attempt.")
        .default("that of the check type")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.virtual_server.inherited.delay_before_retry = Some(g.time())),
    keyword("warmup", micros(0, LONG), "Upper end, in seconds, of the random delay of the first check.")
        .default("delay_loop")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.virtual_server.inherited.warmup = Some(g.time())),
    keyword("connect_timeout", CONNECT, "Seconds until a connection is given up.")
        .default("5 s")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.virtual_server.inherited.connect_timeout = Some(g.time())),
    keyword("virtualhost", Shape::Word, "Host header of HTTP and SSL checks.")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .apply(|r, g| {
            let first = r.drafts.virtual_server.virtualhost.map(Word::span);
            real_server::repeated_host(r, g, first);
            r.drafts.virtual_server.virtualhost = g.argument(0);
        }),
    keyword("inhibit_on_failure", Shape::Flag, "Weight 0 instead of removal; every argument turns it on.")
        .mark(Mark::A)
        .apply(|r, _| r.drafts.virtual_server.inhibit_on_failure = true),
    keyword("weight", lenient(1, 2_147_483_647), "Weight of real servers that give none.")
        .default("1")
        .apply(|r, g| r.drafts.virtual_server.weight = Some(g.u32())),
];

fn open<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    let service = match given.arguments() {
        [] => {
            reader.missing_name(given);
            return Opened::Skip;
        }
        [kind, rest @ ..] if kind == "fwmark" || kind == "group" => {
            let Some(word) = rest.first() else {
                reader.push(
                    bad_value(given.keyword, kind, "needs a value")
                        .help(format!("write `virtual_server {} VALUE {{`", kind.as_str()))
                        .stock("crashes (2.2.7), or skips the block"),
                );
                return Opened::Skip;
            };
            if kind == "group" {
                ServiceDraft::Group(word)
            } else {
                match fwmark(reader, given.keyword, word) {
                    Some(mark) => ServiceDraft::Fwmark(mark),
                    None => return Opened::Skip,
                }
            }
        }
        words => match address_and_port(reader, given.keyword, words, "skips the whole block") {
            Some((address, port)) => ServiceDraft::Address(address, port),
            None => return Opened::Skip,
        },
    };
    reader.drafts.virtual_server = Draft { service, head: Some(given.value_span()), ..Draft::default() };
    Opened::Enter
}

fn close(reader: &mut Reader<'_>) {
    let mut draft = std::mem::take(&mut reader.drafts.virtual_server);
    draft.real_servers.shrink_to_fit();
    // Model and file have one order.
    let is_next = reader.is_settled() && reader.drafts.virtual_servers.is_empty();
    if reader.judges() || is_next {
        crate::config::validate::lvs::read(reader, draft);
    } else {
        reader.drafts.virtual_servers.push(draft);
    }
}

/// A mark, lenient as the other numbers of groups.
pub fn fwmark(reader: &mut Reader<'_>, keyword: &Keyword, word: &Word) -> Option<u32> {
    match value::integer(word, 0, U32, Strictness::Lenient, reader.world.mode) {
        Reading::Good(mark) => u32::try_from(mark).ok(),
        Reading::Used(mark, _) => {
            reader.push(
                bad_value(keyword, word, "is not a whole number").stock("a running daemon uses its digits"),
            );
            u32::try_from(mark).ok()
        }
        Reading::Bad(_) => {
            reader.push(bad_value(keyword, word, "is no firewall mark").stock("skips it"));
            None
        }
    }
}

/// `ADDR [PORT]` of headers and sorry servers; what follows `-` or `/` in the address is cut off.
pub fn address_and_port<'a>(
    reader: &mut Reader<'a>,
    keyword: &Keyword,
    words: &'a [Word],
    stock: &'static str,
) -> Option<(IpAddr, u16)> {
    let (first, rest) = words.split_first()?;
    let Some(address) = value::address_before_suffix(first) else {
        let mut report = bad_value(keyword, first, "is not an address").stock(stock);
        if first.parse::<u16>().is_ok() {
            report = report.help(format!(
                "write the address before the port: `{} ADDRESS {}`",
                keyword.name,
                first.as_str()
            ));
        } else if let Some((host, port)) =
            first.rsplit_once(':').filter(|(host, _)| value::address(host).is_some())
        {
            report = report.help(format!("write `{} {host} {port}`", keyword.name));
        } else {
            report = report.help("host names are not looked up: write the address");
        }
        reader.push(report);
        return None;
    };
    if first.contains(['/', '-']) {
        reader.push(
            Diagnostic::warning(
                "misread-value",
                first.span(),
                format!("`{}` is read as {address}", quoted(first)),
            )
            .class(Class::None)
            .help("several addresses need a `virtual_server_group`")
            .stock("cuts off everything from `/` or `-` on, without a word"),
        );
    }
    let Some(word) = rest.first() else { return Some((address, 0)) };
    if let Reading::Good(port) = value::integer(word, 0, 65535, Strictness::Strict, reader.world.mode) {
        Some((address, u16::try_from(port).unwrap_or(0)))
    } else {
        reader.push(bad_value(keyword, word, "is not a port").help("use a number up to 65535").stock(stock));
        None
    }
}

fn ip_family<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    let family = match word.as_str() {
        "inet" => Family::V4,
        "inet6" => Family::V6,
        _ => {
            let report = bad_value(given.keyword, word, "is neither inet nor inet6");
            reader.push(report.stock("the line is ignored"));
            return;
        }
    };
    let known = reader.drafts.virtual_server.family();
    if known.is_some_and(|known| known != family) {
        let report = bad_value(given.keyword, word, "contradicts the addresses").help("remove the line");
        reader.push(report.stock("the line is ignored"));
        return;
    }
    reader.drafts.virtual_server.ip_family = Some(family);
}

impl Draft<'_> {
    /// The family as far as the lines so far tell.
    pub fn family(&self) -> Option<Family> {
        if let ServiceDraft::Address(address, _) = self.service {
            return Some(Family::of(address));
        }
        let of_granularity = self.granularity.map(|granularity| match granularity {
            Granularity::V4(_) => Family::V4,
            Granularity::V6(_) => Family::V6,
        });
        self.ip_family.or(of_granularity)
    }
}

const SCHEDULERS: [(&str, Scheduler); 13] = [
    ("rr", Scheduler::Rr),
    ("wrr", Scheduler::Wrr),
    ("lc", Scheduler::Lc),
    ("wlc", Scheduler::Wlc),
    ("lblc", Scheduler::Lblc),
    ("sh", Scheduler::Sh),
    ("mh", Scheduler::Mh),
    ("dh", Scheduler::Dh),
    ("fo", Scheduler::Fo),
    ("ovf", Scheduler::Ovf),
    ("lblcr", Scheduler::Lblcr),
    ("sed", Scheduler::Sed),
    ("nq", Scheduler::Nq),
];

fn scheduler<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    let known = SCHEDULERS.into_iter().chain([("twos", Scheduler::Twos)]);
    if let Some((_, scheduler)) = known.clone().find(|(name, _)| word == *name) {
        reader.drafts.virtual_server.scheduler = Some(scheduler);
        return;
    }
    let mut report =
        bad_value(given.keyword, word, "is no scheduler").stock("the line is ignored; it is wlc");
    let lower = word.to_lowercase();
    let names: Vec<&str> = known.map(|(name, _)| name).collect();
    report = match names
        .iter()
        .find(|name| **name == lower)
        .copied()
        .or_else(|| did_you_mean(word, names.iter().copied()))
    {
        Some(meant) => report.help(format!("write `{} {meant}`", given.keyword.name)),
        None => report.help(format!("known are {}", names.join(", "))),
    };
    reader.push(report);
}

fn protocol<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    let protocol = match word.to_ascii_uppercase().as_str() {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        _ => {
            let mut report = bad_value(given.keyword, word, "is none of TCP, UDP, SCTP");
            if let Some(meant) = did_you_mean(word, ["TCP", "UDP", "SCTP"]) {
                report = report.help(format!("write `{} {meant}`", given.keyword.name));
            }
            reader.push(report.stock("the line is ignored; it is UDP"));
            return;
        }
    };
    reader.drafts.virtual_server.protocol = Some((protocol, word.span()));
}

fn persistence_timeout<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let timeout = match given.argument(0) {
        None => 360,
        Some(word) => {
            if let Reading::Good(seconds) =
                value::integer(word, 1, 2_678_400, Strictness::Strict, reader.world.mode)
            {
                u32::try_from(seconds).unwrap_or(360)
            } else {
                let mut report = bad_value(given.keyword, word, "is no number of seconds from 1 to 2678400");
                if word == "0" {
                    report = report.help("to have no persistence, remove the line");
                }
                reader.push(report.stock("the line is ignored: no persistence"));
                return;
            }
        }
    };
    reader.drafts.virtual_server.persistence_timeout = Some(timeout);
}

fn granularity<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    let v4 = match reader.drafts.virtual_server.family() {
        Some(family) => family == Family::V4,
        None => word.contains('.'),
    };
    let granularity = if v4 {
        // The mask may have short forms: `33` is 0.0.0.33.
        value::loose_ipv4(word).map(Granularity::V4)
    } else {
        match value::integer(word, 1, 128, Strictness::Strict, reader.world.mode) {
            Reading::Good(length) => u8::try_from(length).ok().map(Granularity::V6),
            _ => None,
        }
    };
    let Some(granularity) = granularity else {
        let (what, help) = if v4 {
            ("is no IPv4 mask", "write a mask, as 255.255.255.0")
        } else {
            ("is no IPv6 prefix length", "write a number from 1 to 128")
        };
        reader.push(bad_value(given.keyword, word, what).help(help).stock("the line is ignored"));
        return;
    };
    let draft = &mut reader.drafts.virtual_server;
    draft.granularity = Some(granularity);
    draft.persistence_timeout.get_or_insert(360);
}

fn scheduler_flag<'a>(reader: &mut Reader<'a>, given: Given<'a>, wanted: Scheduler, flag: u32) {
    match reader.drafts.virtual_server.scheduler {
        Some(scheduler) if scheduler == wanted => reader.drafts.virtual_server.flags |= flag,
        Some(Scheduler::Sh | Scheduler::Mh) => {}
        _ => wrong_scheduler(reader, given),
    }
}

fn wrong_scheduler(reader: &mut Reader<'_>, given: Given<'_>) {
    let name = given.keyword.name;
    let scheduler = if name.starts_with("mh") { "mh" } else { "sh" };
    reader.push(
        Diagnostic::error(
            "wrong-scheduler",
            given.head(),
            format!("`{name}` needs the scheduler {scheduler}"),
        )
        .help(format!("put it behind `lvs_sched {scheduler}`"))
        .stock("ignores the line"),
    );
}

fn no_sorry_server(reader: &mut Reader<'_>, given: Given<'_>) {
    let message = format!("`{}` without a `sorry_server` before it", given.keyword.name);
    reader.push(
        Diagnostic::error("no-sorry-server", given.head(), message)
            .help("put it behind `sorry_server ADDR PORT`")
            .stock("ignores the line"),
    );
}

fn sorry_server<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some((address, port)) =
        address_and_port(reader, given.keyword, given.arguments(), "has no sorry server")
    else {
        return;
    };
    let method = reader.drafts.virtual_server.method;
    let span = given.value_span();
    reader.drafts.virtual_server.sorry_server =
        Some(SorryDraft { address, port, span, method, inhibit: false });
}
