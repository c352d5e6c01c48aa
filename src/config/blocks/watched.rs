//! What instances can track beside interfaces and scripts: `track_file`, `vrrp_track_process`, `bfd_instance`
//! (spec/vrrp-config.md §2.4, §2.7, spec/bfd.md §1). Their syntax is checked as stock does; nothing watches them yet.

use super::quoted;
use crate::config::diagnostic::Diagnostic;
use crate::config::model::Family;
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{
    Block, Given, Keyword, Mark, Missing, Opened, Readers, Repeat, Shape, Table, keyword, lenient, micros,
    strict,
};
use crate::config::source::Span;
use crate::config::syntax::Word;
use crate::config::value::{self, Reading, Strictness};

/// A block being read.
#[derive(Debug, Clone, Default)]
pub struct Draft<'a> {
    name: Option<&'a Word>,
    /// What the block needs: `file`, `process`, `neighbor_ip`.
    needed: Option<Span>,
    weight: Option<i32>,
    quorum: Option<u32>,
    quorum_max: Option<u32>,
    neighbor: Option<Family>,
    source: Option<(Family, Span)>,
    malformed: bool,
}

/// `track_file`.
pub static FILE: Block = Block { table: &FILE_TABLE, open, close: close_file };
static FILE_TABLE: Table = Table::new("track_file", &[FILE_KEYWORDS]);
const FILE_KEYWORDS: &[Keyword] = &[
    keyword("file", Shape::Word, "The file that holds a number.")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .apply(needed),
    keyword("weight", Shape::Words, "Multiplier -254..254 [reverse]; 0: FAULT unless the number is 0.")
        .default("1")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .apply(|r, g| weight(r, g, 254, 1)),
    keyword("init_file", Shape::Words, "Write VALUE at start [VALUE] [overwrite].").apply(|r, g| {
        for word in g.arguments().iter().filter(|word| *word != "overwrite") {
            if word.parse::<i32>().is_err() {
                r.push(bad_value(g.keyword, word, "is no number").stock("ignores it"));
            }
        }
    }),
];

/// `vrrp_track_process`.
pub static PROCESS: Block = Block { table: &PROCESS_TABLE, open, close: close_process };
static PROCESS_TABLE: Table = Table::new("vrrp_track_process", &[PROCESS_KEYWORDS]);
const DELAY: Shape = micros(1, 3_600_000_000);
const PROCESS_KEYWORDS: &[Keyword] = &[
    keyword("process", Shape::Words, "Name or path, and arguments to match.")
        .mark(Mark::B)
        .missing(Missing::Stops)
        .repeat(Repeat::FirstWins)
        .apply(needed),
    keyword("param_match", Shape::Words, "How arguments match [initial|partial].").apply(|r, g| {
        if let Some(word) = g.argument(0).filter(|word| *word != "initial" && *word != "partial") {
            r.push(bad_value(g.keyword, word, "is neither initial nor partial").stock("ignores it"));
        }
    }),
    keyword("weight", Shape::Words, "Priority change -254..254 [reverse].")
        .default("0")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .apply(|r, g| weight(r, g, 254, 0)),
    keyword("quorum", lenient(1, 65535), "Least number of processes.").default("1").apply(|r, g| {
        if r.drafts.watched.quorum_max.is_some_and(|max| g.u32() > max) {
            r.push(crossed(g, "is above quorum_max"));
        } else {
            r.drafts.watched.quorum = Some(g.u32());
        }
    }),
    keyword("quorum_max", lenient(0, 65535), "Largest number of processes.").default("unlimited").apply(
        |r, g| {
            let quorum = r.drafts.watched.quorum.unwrap_or(1);
            if g.u32() < quorum && !(g.u32() == 0 && quorum == 1) {
                r.push(crossed(g, "is below quorum"));
            } else {
                r.drafts.watched.quorum_max = Some(g.u32());
            }
        },
    ),
    keyword("delay", DELAY, "Seconds before a change counts.").default("0"),
    keyword("terminate_delay", DELAY, "Seconds before a loss counts.").default("0"),
    keyword("fork_delay", DELAY, "Seconds before a gain counts.").default("0"),
    keyword("full_command", Shape::Flag, "Match the command line instead of the name."),
];

/// `bfd_instance`.
pub static BFD: Block = Block { table: &BFD_TABLE, open: open_bfd, close: close_bfd };
static BFD_TABLE: Table = Table::new("bfd_instance", &[BFD_KEYWORDS]);
/// Milliseconds with three decimal places.
const INTERVAL: Shape = Shape::Seconds { places: 3, min: 1_000, max: 4_294_967_000 };
const BFD_PROCESS: Readers = Readers::BFD;
const BFD_KEYWORDS: &[Keyword] = &[
    keyword("neighbor_ip", Shape::Word, "The other end.").mark(Mark::B).apply(neighbor),
    keyword("neighbour_ip", Shape::Word, "The other end.").mark(Mark::B).apply(neighbor),
    keyword("source_ip", Shape::Word, "The local address.").mark(Mark::B).apply(|r, g| {
        let Some(word) = g.argument(0) else { return };
        match value::address(word) {
            Some(address) => r.drafts.watched.source = Some((Family::of(address), word.span())),
            None => r.push(bad_value(g.keyword, word, "is not an address").stock("ignores the line")),
        }
    }),
    bfd("min_rx", INTERVAL, "Smallest interval of received packets, milliseconds.")
        .default("10")
        .mark(Mark::B),
    bfd("min_tx", INTERVAL, "Interval of sent packets, milliseconds.").default("10").mark(Mark::B),
    bfd(
        "idle_tx",
        Shape::Seconds { places: 3, min: 1_000_000, max: 4_294_967_000 },
        "Interval while the session is not up, milliseconds.",
    )
    .default("1000"),
    bfd("multiplier", strict(1, 255), "Lost packets until the session is down.").default("5").mark(Mark::B),
    keyword("passive", Shape::Flag, "Wait for the other end."),
    bfd("ttl", strict(1, 255), "TTL of sent packets.").default("255"),
    bfd("hoplimit", strict(1, 255), "Hop limit of sent packets.").default("64"),
    bfd("max_hops", strict(-1, 255), "Hops that a packet may have made.").default("0"),
    keyword("multihop", Shape::Bool, "Use the multihop port.").default("off"),
    keyword("weight", Shape::Words, "Priority change -253..253 [reverse].")
        .default("0")
        .missing(Missing::Stops)
        .readers(Readers::VRRP)
        .apply(|r, g| weight(r, g, 253, 0)),
    keyword("vrrp", Shape::Flag, "Tell the VRRP process; alone, only that."),
    keyword("checker", Shape::Flag, "Tell the checkers; alone, only them."),
];

const fn bfd(name: &'static str, shape: Shape, help: &'static str) -> Keyword {
    keyword(name, shape, help).readers(BFD_PROCESS)
}

fn open<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    reader.drafts.watched = Draft { name: given.argument(0), ..Draft::default() };
    Opened::Enter
}

fn needed<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    if let Some(first) = reader.drafts.watched.needed {
        reader.push(super::scripts::repeated(given, first));
        return;
    }
    reader.drafts.watched.needed = Some(given.value_span());
}

fn weight<'a>(reader: &mut Reader<'a>, given: Given<'a>, max: i64, default: i32) {
    let Some(word) = given.argument(0) else { return };
    if reader.drafts.watched.weight.is_some_and(|weight| weight != default) {
        let report = bad_value(given.keyword, word, "is a second weight").stock("keeps the first");
        reader.push(report);
        return;
    }
    let number = match value::integer(word, -max, max, Strictness::Lenient, reader.world.mode) {
        Reading::Good(number) => number,
        Reading::Used(number, _) => {
            reader.push(
                bad_value(given.keyword, word, "is not a whole number").stock("uses its digits when running"),
            );
            number
        }
        Reading::Bad(_) => {
            let what = format!("is no weight from -{max} to {max}");
            reader.push(bad_value(given.keyword, word, &what).stock(format!("uses {default}")));
            i64::from(default)
        }
    };
    reader.drafts.watched.weight = i32::try_from(number).ok();
    if let Some(option) = given.argument(1).filter(|option| *option != "reverse") {
        let report = bad_value(given.keyword, option, "is not known").help("the only option is `reverse`");
        reader.push(report.stock("ignores it"));
    }
}

fn crossed(given: Given<'_>, what: &str) -> Diagnostic {
    let message = format!("`{}` {} {what}", given.keyword.name, given.int());
    Diagnostic::error("contradiction", given.value_span(), message).stock("ignores the line")
}

fn incomplete(name: &Word, what: &str, needs: &str) -> Diagnostic {
    Diagnostic::error("incomplete-block", name.span(), format!("{what} `{}` has no `{needs}`", quoted(name)))
        .help(format!("add `{needs} …`"))
        .stock("removes the block")
}

fn close_file(reader: &mut Reader<'_>) {
    let draft = std::mem::take(&mut reader.drafts.watched);
    let Some(name) = draft.name else { return };
    if draft.needed.is_none() {
        reader.push(incomplete(name, "track_file", "file"));
        return;
    }
    if !reader.drafts.track_files.iter().any(|(known, _)| known.as_str() == name.as_str()) {
        reader.drafts.track_files.push((name, draft.weight.unwrap_or(1)));
    }
}

fn close_process(reader: &mut Reader<'_>) {
    let draft = std::mem::take(&mut reader.drafts.watched);
    let Some(name) = draft.name else { return };
    if draft.needed.is_none() {
        reader.push(incomplete(name, "vrrp_track_process", "process"));
        return;
    }
    reader.drafts.track_processes.push(name);
}

fn open_bfd<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    let Some(name) = given.argument(0) else {
        reader.missing_name(given);
        return Opened::Skip;
    };
    if name.len() > 31 {
        reader.push(bad_value(given.keyword, name, "is longer than 31 bytes").stock("skips the whole block"));
        return Opened::Skip;
    }
    // Every process reads the names anew; only the BFD process' own reading finds duplicates.
    let seen =
        reader.drafts.bfds.iter().find(|known| known.as_str() == name.as_str()).map(|known| known.span());
    if let Some(first) = seen.filter(|first| *first != name.span()) {
        reader.repeated_block(given, name, first);
        return Opened::Skip;
    }
    open(reader, given)
}

fn neighbor<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    if let Some(address) = value::address(word) {
        reader.drafts.watched.neighbor = Some(Family::of(address));
    } else {
        reader.drafts.watched.malformed = true;
        reader.push(bad_value(given.keyword, word, "is not an address").stock("ignores the instance"));
    }
}

fn close_bfd(reader: &mut Reader<'_>) {
    let draft = std::mem::take(&mut reader.drafts.watched);
    let Some(name) = draft.name else { return };
    if !draft.malformed && draft.neighbor.is_none() && reader.process() == Readers::BFD {
        reader.push(incomplete(name, "bfd_instance", "neighbor_ip"));
    }
    if let (Some(neighbor), Some((source, span))) = (draft.neighbor, draft.source)
        && neighbor != source
    {
        reader.push(
            Diagnostic::error("wrong-family", span, "`source_ip` is of another family than `neighbor_ip`")
                .stock("disables the instance"),
        );
    }
    if !reader.drafts.bfds.iter().any(|known| known.as_str() == name.as_str()) {
        reader.drafts.bfds.push(name);
    }
}
