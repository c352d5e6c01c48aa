//! `bfd_instance NAME { … }` (spec/bfd.md §1).
//!
//! Three of stock's processes read it, each for itself: the VRRP process the weight, the BFD process the session, and
//! all of them the name. A draft gathers what the walks find.

use std::net::IpAddr;
use std::time::Duration;

use super::quoted;
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{
    Block, Given, Keyword, Mark, Missing, Opened, Readers, Shape, Table, keyword, strict,
};
use crate::config::source::Span;
use crate::config::syntax::Word;
use crate::config::value;

/// A block as read.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the keyword of its name")]
pub struct Draft<'a> {
    pub name: Option<&'a Word>,
    pub neighbor: Option<IpAddr>,
    /// `neighbor_ip` names no address.
    pub malformed: bool,
    pub source: Option<(IpAddr, Span)>,
    pub min_rx: Option<Duration>,
    pub min_tx: Option<Duration>,
    pub idle_tx: Option<Duration>,
    pub multiplier: Option<u8>,
    pub passive: bool,
    pub ttl: Option<u8>,
    /// -1..=255.
    pub max_hops: Option<(i64, Span)>,
    pub multihop: bool,
    pub weight: Option<i32>,
    pub reverse: bool,
    pub vrrp: bool,
    pub checker: bool,
    /// The process of stock's whose walk has read it last.
    pub read_by: Option<Readers>,
}

/// The block.
pub static BLOCK: Block = Block { table: &TABLE, open, close };
static TABLE: Table = Table::new("bfd_instance", &[KEYWORDS]);
/// Milliseconds with three decimal places.
const INTERVAL: Shape = Shape::Seconds { places: 3, min: 1_000, max: 4_294_967_000 };
const IDLE: Shape = Shape::Seconds { places: 3, min: 1_000_000, max: 4_294_967_000 };

const KEYWORDS: &[Keyword] = &[
    keyword("neighbor_ip", Shape::Word, "The other end.").mark(Mark::B).apply(neighbor),
    keyword("neighbour_ip", Shape::Word, "The other end.").mark(Mark::B).apply(neighbor),
    keyword("source_ip", Shape::Word, "The local address.").mark(Mark::B).apply(|r, g| {
        let Some(word) = g.argument(0) else { return };
        match value::address(word) {
            Some(address) => r.drafts.bfd.source = Some((address, word.span())),
            None => r.push(bad_value(g.keyword, word, "is not an address").stock("ignores the line")),
        }
    }),
    session("min_rx", INTERVAL, "Smallest interval of received packets, milliseconds.")
        .default("10")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.bfd.min_rx = Some(milliseconds(g))),
    session("min_tx", INTERVAL, "Interval of sent packets, milliseconds.")
        .default("10")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.bfd.min_tx = Some(milliseconds(g))),
    session("idle_tx", IDLE, "Interval while the session is not up, milliseconds.")
        .default("1000")
        .apply(|r, g| r.drafts.bfd.idle_tx = Some(milliseconds(g))),
    session("multiplier", strict(1, 255), "Lost packets until the session is down.")
        .default("5")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.bfd.multiplier = Some(g.u8())),
    keyword("passive", Shape::Flag, "Wait for the other end.").apply(|r, _| r.drafts.bfd.passive = true),
    session("ttl", strict(1, 255), "TTL of sent packets.")
        .default("255; IPv6 64")
        .apply(|r, g| r.drafts.bfd.ttl = Some(g.u8())),
    session("hoplimit", strict(1, 255), "Hop limit of sent packets.")
        .default("64; IPv4 255")
        .apply(|r, g| r.drafts.bfd.ttl = Some(g.u8())),
    session("max_hops", strict(-1, 255), "Hops that a packet may have made.")
        .default("0")
        .apply(|r, g| r.drafts.bfd.max_hops = Some((g.int(), g.value_span()))),
    keyword("multihop", Shape::Bool, "Use the multihop port.")
        .default("off")
        .since(">2.2.7")
        .apply(|r, g| r.drafts.bfd.multihop = g.bool()),
    keyword("weight", Shape::Words, "Priority change -253..253 [reverse].")
        .default("0")
        .missing(Missing::Stops)
        .readers(Readers::VRRP)
        .apply(|r, g| {
            let second = r.drafts.bfd.weight.is_some_and(|weight| weight != 0);
            if let Some(weight) = super::watched::weight(r, g, 253, 0, second) {
                r.drafts.bfd.weight = Some(weight.0);
                r.drafts.bfd.reverse = weight.1;
            }
        }),
    keyword("vrrp", Shape::Flag, "Tell the VRRP process; alone, only that.")
        .apply(|r, _| r.drafts.bfd.vrrp = true),
    keyword("checker", Shape::Flag, "Tell the checkers; alone, only them.")
        .apply(|r, _| r.drafts.bfd.checker = true),
];

/// A keyword that only the BFD process looks at.
const fn session(name: &'static str, shape: Shape, help: &'static str) -> Keyword {
    keyword(name, shape, help).readers(Readers::BFD)
}

/// The shape counts in thousandths of what is written, which is milliseconds.
fn milliseconds(given: Given<'_>) -> Duration {
    given.time() / 1000
}

fn open<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    let Some(name) = given.argument(0) else {
        reader.missing_name(given);
        return Opened::Skip;
    };
    if name.len() > 31 {
        reader.push(bad_value(given.keyword, name, "is longer than 31 bytes").stock("skips the whole block"));
        return Opened::Skip;
    }
    let known = reader.drafts.bfds.iter().find(|known| known.name.is_some_and(|it| **it == **name)).cloned();
    match known {
        None => reader.drafts.bfd = Draft { name: Some(name), ..Draft::default() },
        // The same block, in the walk of another process.
        Some(draft) if draft.name.is_some_and(|it| it.span() == name.span()) => {
            reader.drafts.bfd = draft;
            if reader.process() == Readers::VRRP {
                reader.drafts.bfd.weight = None;
            }
        }
        Some(draft) => {
            reader.repeated_block(given, name, draft.name.map_or(name.span(), Word::span));
            return Opened::Skip;
        }
    }
    Opened::Enter
}

fn neighbor<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    if let Some(address) = value::address(word) {
        reader.drafts.bfd.neighbor = Some(address);
    } else {
        reader.drafts.bfd.malformed = true;
        reader.push(bad_value(given.keyword, word, "is not an address").stock("ignores the instance"));
    }
}

fn close(reader: &mut Reader<'_>) {
    let draft = std::mem::take(&mut reader.drafts.bfd);
    let Some(name) = draft.name else { return };
    if !draft.malformed && draft.neighbor.is_none() && reader.process() == Readers::BFD {
        reader.push(
            Diagnostic::error(
                "incomplete-block",
                name.span(),
                format!("bfd_instance `{}` has no `neighbor_ip`", quoted(name)),
            )
            .help("add `neighbor_ip ADDRESS`")
            .stock("disables the instance: whoever tracks it sees it down"),
        );
    }
    if let (Some(neighbor), Some((source, span))) = (draft.neighbor, draft.source)
        && neighbor.is_ipv4() != source.is_ipv4()
    {
        reader.push(
            Diagnostic::error("wrong-family", span, "`source_ip` is of another family than `neighbor_ip`")
                .stock("disables the instance"),
        );
    }
    let draft = Draft { read_by: Some(reader.process()), ..draft };
    match reader.drafts.bfds.iter_mut().find(|known| known.name.is_some_and(|it| **it == **name)) {
        Some(known) => *known = draft,
        None => reader.drafts.bfds.push(draft),
    }
}

/// The names that the walking process has read so far.
pub fn names<'r>(reader: &'r Reader<'_>) -> impl Iterator<Item = &'r str> {
    let process = reader.process();
    let bfds = reader.drafts.bfds.iter().filter(move |draft| draft.read_by == Some(process));
    bfds.filter_map(|draft| draft.name).map(Word::as_str)
}
