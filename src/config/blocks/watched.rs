//! What instances can track beside interfaces and scripts: `track_file`, `vrrp_track_process`
//! (spec/vrrp-config.md §2.4, §2.7).

use std::time::Duration;

use super::quoted;
use crate::config::diagnostic::Diagnostic;
use crate::config::model::{InitFile, ParametersMatch, TrackFile, TrackProcess};
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
    /// The words behind it.
    words: Vec<String>,
    weight: Option<i32>,
    reverse: bool,
    quorum: Option<u32>,
    quorum_max: Option<u32>,
    init: Option<InitFile>,
    parameters: Option<ParametersMatch>,
    terminate_delay: Duration,
    fork_delay: Duration,
    full_command: bool,
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
    keyword("init_file", Shape::Words, "Write VALUE at start [VALUE] [overwrite].")
        .default("the file is left alone")
        .apply(init_file),
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
    keyword("param_match", Shape::Words, "How arguments match [initial|partial]; alone: there are none.")
        .apply(|r, g| {
            let kind = match g.argument(0) {
                None => ParametersMatch::Exact,
                Some(word) if *word == "initial" => ParametersMatch::Initial,
                Some(word) if *word == "partial" => ParametersMatch::Partial,
                Some(word) => {
                    r.push(bad_value(g.keyword, word, "is neither initial nor partial").stock("ignores it"));
                    return;
                }
            };
            r.drafts.watched.parameters = Some(kind);
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
    keyword("delay", DELAY, "Seconds before a change counts.").default("0").apply(|r, g| {
        r.drafts.watched.terminate_delay = g.time();
        r.drafts.watched.fork_delay = g.time();
    }),
    keyword("terminate_delay", DELAY, "Seconds before a loss counts.")
        .default("0")
        .apply(|r, g| r.drafts.watched.terminate_delay = g.time()),
    keyword("fork_delay", DELAY, "Seconds before a gain counts.")
        .default("0")
        .apply(|r, g| r.drafts.watched.fork_delay = g.time()),
    keyword("full_command", Shape::Flag, "Match the command line instead of the name.")
        .apply(|r, _| r.drafts.watched.full_command = true),
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
    reader.drafts.watched.words = given.arguments().iter().map(|word| word.as_str().to_owned()).collect();
}

fn init_file<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let mut init = InitFile { value: 0, overwrite: false };
    for word in given.arguments() {
        if *word == "overwrite" {
            init.overwrite = true;
            continue;
        }
        match word.parse() {
            Ok(value) => {
                init.value = value;
                if !(-254..=254).contains(&value) {
                    let what = "is no number from -254 to 254";
                    reader.push(bad_value(given.keyword, word, what).stock("uses it nevertheless"));
                }
            }
            Err(_) => reader.push(bad_value(given.keyword, word, "is no number").stock("ignores it")),
        }
    }
    reader.drafts.watched.init = Some(init);
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
    if let Some((number, reverse)) = weight(reader, given, 254, default, is_second) {
        reader.drafts.watched.weight = Some(number);
        reader.drafts.watched.reverse = reverse;
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
    let mut draft = std::mem::take(&mut reader.drafts.watched);
    let Some(name) = draft.name else { return };
    let (Some(span), [path, ..]) = (draft.needed, &mut draft.words[..]) else {
        reader.push(incomplete(name, "track_file", "file"));
        return;
    };
    let path = std::mem::take(path);
    let directory = path.rsplit_once('/').map_or(".", |(directory, _)| directory);
    let directory = if directory.is_empty() { "/" } else { directory };
    if !reader.world.files.is_watchable(directory) {
        let message = format!("track_file `{}`: changes in {directory} cannot be followed", quoted(name));
        let help = "name a file in a directory that exists, on a local file system";
        reader
            .push(Diagnostic::error("unwatchable", span, message).help(help).stock("removes the track_file"));
        return;
    }
    if !reader.drafts.track_files.iter().any(|(known, _)| known.as_str() == name.as_str()) {
        let file = TrackFile {
            name: name.as_str().to_owned(),
            path,
            weight: draft.weight.unwrap_or(1),
            reverse: draft.reverse,
            init: draft.init,
        };
        reader.drafts.track_files.push((name, file));
    }
}

fn close_process(reader: &mut Reader<'_>) {
    let draft = std::mem::take(&mut reader.drafts.watched);
    let Some(name) = draft.name else { return };
    let Some((command, parameters)) = draft.words.split_first() else {
        reader.push(incomplete(name, "vrrp_track_process", "process"));
        return;
    };
    if reader.drafts.track_processes.iter().any(|(known, _)| known.as_str() == name.as_str()) {
        return;
    }
    let given = if parameters.is_empty() { ParametersMatch::Any } else { ParametersMatch::Exact };
    let process = TrackProcess {
        name: name.as_str().to_owned(),
        command: command.clone(),
        parameters: parameters.to_vec(),
        parameters_match: draft.parameters.unwrap_or(given),
        full_command: draft.full_command || !parameters.is_empty() || draft.parameters.is_some(),
        quorum: if draft.quorum_max == Some(0) { 0 } else { draft.quorum.unwrap_or(1) },
        quorum_max: draft.quorum_max,
        terminate_delay: draft.terminate_delay,
        fork_delay: draft.fork_delay,
        weight: draft.weight.unwrap_or(0),
        reverse: draft.reverse,
    };
    reader.drafts.track_processes.push((name, process));
}
