//! `MISC_CHECK` (spec/checkers.md §12).

use super::check::{self, COMMON, Kind, Special};
use super::scripts::{self, ScriptDraft};
use crate::config::diagnostic::{Class, Diagnostic, Severity};
use crate::config::reader::Reader;
use crate::config::schema::{Block, Given, Keyword, Mark, Missing, Shape, Table, keyword, lenient};
use crate::config::syntax::{ScriptWord, Word};

/// What only this check has.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// `misc_path`.
    pub script: Option<ScriptDraft>,
    /// `misc_timeout`, seconds; 0 is none of its own.
    pub timeout: u32,
    /// `misc_dynamic`.
    pub dynamic: bool,
    /// A `user` that does not exist.
    unknown_user: bool,
    /// A user of its own.
    own_user: bool,
}

/// The block.
pub static BLOCK: Block = Block {
    table: &TABLE,
    open: |reader, given| {
        reader.drafts.misc = Draft::default();
        check::start(reader, given, Kind::Misc)
    },
    close,
};
static TABLE: Table = Table::new("MISC_CHECK", &[COMMON, KEYWORDS]);
const KEYWORDS: &[Keyword] = &[
    keyword("misc_path", Shape::Script, "The script, with its arguments inside quotes.")
        .mark(Mark::A)
        .missing(Missing::Silent)
        .apply(|r, g| {
            if let Some(script) = scripts::alone(r, g) {
                let identity = r.world.facts.own_identity;
                r.drafts.misc.script = Some(ScriptDraft { identity, ..script });
            }
        }),
    keyword("misc_timeout", lenient(0, 4294), "Seconds until it is killed.")
        .default("delay_loop of the virtual server")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.misc.timeout = g.u32()),
    keyword("misc_dynamic", Shape::Flag, "Its exit code is the weight.")
        .mark(Mark::B)
        .apply(|r, _| r.drafts.misc.dynamic = true),
    keyword("user", Shape::Words, "Who runs it: USER [GROUP].")
        .mark(Mark::B)
        .missing(Missing::Fine)
        .apply(user),
];

fn user<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let as_script_word = |word: &Word| ScriptWord { text: word.as_str().to_owned(), span: word.span() };
    let words: Vec<ScriptWord> = given.arguments().iter().map(as_script_word).collect();
    let Some((user, rest)) = words.split_first() else {
        reader.push(
            Diagnostic::new(
                Severity::Warning,
                Class::Other,
                "missing-argument",
                Some(given.head()),
                "`user` needs a user".to_owned(),
            )
            .stock("ignores the line"),
        );
        return;
    };
    match scripts::identity(reader, user, rest) {
        Ok(identity) => {
            reader.drafts.misc.own_user = true;
            if let Some(script) = reader.drafts.misc.script.as_mut() {
                script.identity = identity;
            }
        }
        Err(mut report) => {
            reader.drafts.misc.unknown_user = true;
            report.severity = Severity::Error;
            report.help = vec!["create the user, or name one that exists".to_owned()];
            reader.push(report.stock("drops the check"));
        }
    }
}

fn close(reader: &mut Reader<'_>) {
    let mut misc = std::mem::take(&mut reader.drafts.misc);
    let Some(script) = misc.script.as_mut() else {
        if let Some(head) = reader.drafts.checker.head {
            reader.push(
                Diagnostic::error("incomplete-check", head, "the MISC_CHECK has no script")
                    .help("add `misc_path \"/path/to/script\"`")
                    .stock("drops the check"),
            );
        }
        return;
    };
    if misc.unknown_user {
        return;
    }
    if !misc.own_user {
        let Some(keyword) = TABLE.find("misc_path") else { return };
        let Some(identity) = scripts::default_identity(reader, keyword, script.span) else { return };
        script.identity = identity;
    }
    check::finish_with(reader, Special::Misc(Box::new(misc)));
}
