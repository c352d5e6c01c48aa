//! What instances can track beside interfaces and scripts: `track_file`, `vrrp_track_process`
//! (spec/vrrp-config.md §2.4, §2.7). Their syntax is checked as stock does; nothing watches them yet.

use super::quoted;
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{
    Block, Given, Keyword, Mark, Missing, Opened, Repeat, Shape, Table, keyword, lenient, micros,
};
use crate::config::source::Span;
use crate::config::syntax::Word;
use crate::config::value::{self, Reading, Strictness};

/// A block being read.
#[derive(Debug, Clone, Default)]
pub struct Draft<'a> {
    name: Option<&'a Word>,
    /// What the block needs: `file`, `process`.
    needed: Option<Span>,
    weight: Option<i32>,
    quorum: Option<u32>,
    quorum_max: Option<u32>,
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
        .apply(|r, g| own_weight(r, g, 1)),
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
        .apply(|r, g| own_weight(r, g, 0)),
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

/// `N [reverse]`: the weight, and whether it is inverted. `None` when the first one stays.
pub fn weight<'a>(
    reader: &mut Reader<'a>,
    given: Given<'a>,
    max: i64,
    default: i32,
    is_second: bool,
) -> Option<(i32, bool)> {
    let word = given.argument(0)?;
    if is_second {
        let report = bad_value(given.keyword, word, "is a second weight").stock("keeps the first");
        reader.push(report);
        return None;
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
    let option = given.argument(1);
    if let Some(option) = option.filter(|option| **option != *"reverse") {
        let report = bad_value(given.keyword, option, "is not known").help("the only option is `reverse`");
        reader.push(report.stock("ignores it"));
    }
    Some((i32::try_from(number).ok()?, option.is_some_and(|option| *option == "reverse")))
}

/// The same for the block that is being read.
fn own_weight<'a>(reader: &mut Reader<'a>, given: Given<'a>, default: i32) {
    let is_second = reader.drafts.watched.weight.is_some_and(|weight| weight != default);
    if let Some((number, _)) = weight(reader, given, 254, default, is_second) {
        reader.drafts.watched.weight = Some(number);
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
