//! `vrrp_script NAME { … }` (spec/vrrp-config.md §2.3).

use std::time::Duration;

use super::quoted;
use super::scripts::{self, ScriptDraft};
use crate::config::diagnostic::Diagnostic;
use crate::config::model::Identity;
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{
    Block, Given, Keyword, Mark, Missing, Opened, Shape, Table, keyword, lenient, millis,
};
use crate::config::source::Span;
use crate::config::syntax::{ScriptWord, Word};
use crate::config::value::{self, Reading, Strictness};

/// A block as read.
#[derive(Debug, Clone, Default)]
pub struct Draft<'a> {
    /// Its name.
    pub name: Option<&'a Word>,
    /// `script`.
    pub script: Option<ScriptDraft>,
    /// `interval`.
    pub interval: Option<Duration>,
    /// `timeout`.
    pub timeout: Option<Duration>,
    /// Where `timeout` stands.
    pub timeout_place: Option<Span>,
    /// `weight`.
    pub weight: i32,
    /// `weight … reverse`.
    pub reverse: bool,
    /// `rise`.
    pub rise: Option<u32>,
    /// `fall`.
    pub fall: Option<u32>,
    /// `init_fail`.
    pub init_fail: bool,
    /// `user`: a user, or one that does not exist.
    user: Option<(Span, Option<Identity>)>,
    header: Option<Span>,
}

/// The block.
pub static BLOCK: Block = Block { table: &TABLE, open, close };

static TABLE: Table = Table::new("vrrp_script", &[KEYWORDS]);

const KEYWORDS: &[Keyword] = &[
    keyword("script", Shape::Script, "The command; exit 0 is success. Arguments go inside its quotes.")
        .mark(Mark::A)
        .since("≤0.4.0")
        .missing(Missing::Fine)
        .apply(|r, g| {
            if let Some(script) = scripts::alone(r, g) {
                r.drafts.script.script = Some(script);
            }
        }),
    keyword("interval", millis(0, 4_294_967_000), "Seconds from one start to the next.")
        .default("1 s")
        .mark(Mark::A)
        .since("≤1.2.3")
        .apply(|r, g| r.drafts.script.interval = Some(positive(r, g))),
    keyword("timeout", millis(0, 4_294_967_000), "Seconds until it is killed, which counts as failure.")
        .default("the interval")
        .mark(Mark::A)
        .since("≤0.3.5")
        .apply(|r, g| {
            r.drafts.script.timeout = Some(positive(r, g));
            r.drafts.script.timeout_place = Some(g.head());
        }),
    keyword("weight", Shape::Words, "Priority change, -253..253 [reverse]; 0 is FAULT on failure.")
        .default("0")
        .mark(Mark::A)
        .since("≤0.6.8")
        .missing(Missing::Stops)
        .apply(weight),
    keyword("rise", lenient(1, 2_147_483_647), "Successes until it counts as up.")
        .default("1")
        .mark(Mark::A)
        .since("≤1.1.18")
        .invalid_sets(1)
        .apply(|r, g| r.drafts.script.rise = Some(g.u32())),
    keyword("fall", lenient(1, 2_147_483_647), "Failures until it counts as down.")
        .default("1")
        .mark(Mark::A)
        .since("≤0.7.6")
        .invalid_sets(1)
        .apply(|r, g| r.drafts.script.fall = Some(g.u32())),
    keyword("user", Shape::Words, "Who runs it: USER [:][GROUP].")
        .default("script_user")
        .mark(Mark::A)
        .since("≤0.7.1")
        .missing(Missing::Stops)
        .apply(user),
    keyword("init_fail", Shape::Flag, "Counts as failed until its first result.")
        .since("≤1.3.2")
        .apply(|r, _| r.drafts.script.init_fail = true),
];

fn open<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    reader.drafts.script = Draft { name: given.argument(0), header: Some(given.head()), ..Draft::default() };
    if given.argument(0).is_none() {
        reader.missing_name(given);
    }
    Opened::Enter
}

fn close(reader: &mut Reader<'_>) {
    let mut draft = std::mem::take(&mut reader.drafts.script);
    let (Some(name), Some(header)) = (draft.name, draft.header) else { return };
    let Some(script) = draft.script.as_mut() else {
        reader.push(
            Diagnostic::error("no-script", header, format!("`vrrp_script {}` has no script", quoted(name)))
                .help("add `script \"/path/to/command\"`")
                .stock("removes the block"),
        );
        reader.drafts.dropped_scripts.push((name, "it has no `script`"));
        return;
    };
    script.identity = match draft.user {
        Some((_, Some(identity))) => identity,
        Some((_, None)) => {
            reader.drafts.dropped_scripts.push((name, "its `user` does not exist"));
            return;
        }
        None => {
            let keyword = &KEYWORDS[0];
            let Some(identity) = scripts::default_identity(reader, keyword, script.span) else {
                reader.drafts.dropped_scripts.push((name, "there is no user to run it as"));
                return;
            };
            identity
        }
    };
    if let Some(first) =
        reader.drafts.scripts.iter().find_map(|other| other.name.filter(|first| **first == **name))
    {
        let span = first.span();
        reader.push(
            Diagnostic::warning(
                "repeated-block",
                name.span(),
                format!("a second vrrp_script `{}`", quoted(name)),
            )
            .class(crate::config::diagnostic::Class::None)
            .related(span, "this one is used")
            .help("give them different names")
            .stock("uses the first, without a word"),
        );
        return;
    }
    reader.drafts.scripts.push(draft);
}

/// 0 becomes 1 s with a warning.
fn positive(reader: &mut Reader<'_>, given: Given<'_>) -> Duration {
    if !given.time().is_zero() {
        return given.time();
    }
    let name = given.keyword.name;
    reader.push(
        Diagnostic::warning("bad-value", given.value_span(), format!("`{name}` must be greater than 0"))
            .help(format!("write `{name} 1`"))
            .stock("uses 1 s"),
    );
    Duration::from_secs(1)
}

fn weight<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    let draft_weight = match value::integer(word, -253, 253, Strictness::Lenient, reader.world.mode) {
        Reading::Good(number) => i32::try_from(number).ok(),
        Reading::Used(number, _) => {
            reader.push(
                bad_value(given.keyword, word, "is not a whole number")
                    .stock(format!("a running daemon uses {number}; `-t` counts it as an error")),
            );
            i32::try_from(number).ok()
        }
        Reading::Bad(_) => {
            let number = match value::integer(word, i64::MIN, i64::MAX, Strictness::Lenient, value::Mode::Run)
            {
                Reading::Good(number) | Reading::Used(number, _) => number,
                Reading::Bad(_) => 0,
            };
            let number = i32::try_from(number).unwrap_or(0);
            reader.push(
                bad_value(given.keyword, word, "is no weight from -253 to 253")
                    .help("write a number from -253 to 253; 0 means FAULT on failure")
                    .stock(format!("complains, and uses {number} nevertheless")),
            );
            Some(number)
        }
    };
    if let Some(number) = draft_weight {
        reader.drafts.script.weight = number;
    }
    if let Some(option) = given.argument(1) {
        if option == "reverse" {
            reader.drafts.script.reverse = true;
        } else {
            let report =
                bad_value(given.keyword, option, "is not known").help("the only option is `reverse`");
            reader.push(report.stock("ignores it"));
        }
    }
}

fn user<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let as_script_word = |word: &Word| ScriptWord { text: word.as_str().to_owned(), span: word.span() };
    let words: Vec<ScriptWord> = given.arguments().iter().map(as_script_word).collect();
    let Some((user, rest)) = words.split_first() else { return };
    let identity = match scripts::identity(reader, user, rest) {
        Ok(identity) => Some(identity),
        Err(mut report) => {
            report.severity = crate::config::diagnostic::Severity::Error;
            report.help = vec!["create the user, or name one that exists".to_owned()];
            reader.push(report.stock("removes the script"));
            None
        }
    };
    reader.drafts.script.user = Some((given.value_span(), identity));
}
