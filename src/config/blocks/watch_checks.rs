//! Checks that wait for news instead of asking: `FILE_CHECK` and `BFD_CHECK` (spec/checkers.md §13, §14).

use super::bfd_instance;
use super::check::{self, Kind, Special};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{Block, Given, Keyword, Missing, Repeat, Shape, Table, keyword};
use crate::config::suggest::did_you_mean;
use crate::config::syntax::Word;
use crate::config::value::{self, Reading, Strictness};

/// What only `FILE_CHECK` has.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "each field is the keyword of its name")]
pub struct FileDraft<'a> {
    pub track_file: Option<&'a Word>,
    pub weight: Option<i32>,
    pub reverse: Option<bool>,
}

/// What only `BFD_CHECK` has.
#[derive(Debug, Clone, Copy, Default)]
pub struct BfdDraft<'a> {
    name: Option<&'a Word>,
    /// A name that does not exist was told.
    told: bool,
}

/// `FILE_CHECK`.
pub static FILE: Block = Block {
    table: &FILE_TABLE,
    open: |reader, given| {
        reader.drafts.file_check = FileDraft::default();
        check::start(reader, given, Kind::File)
    },
    close: close_file,
};
static FILE_TABLE: Table = Table::new("FILE_CHECK", &[FILE_KEYWORDS]);
const FILE_KEYWORDS: &[Keyword] = &[
    keyword("track_file", Shape::Word, "Name of a track_file block.").apply(track_file),
    keyword("weight", Shape::Words, "Multiplier of the number [reverse|noreverse].")
        .default("that of the track_file (1)")
        .missing(Missing::Warns)
        .apply(weight),
];

/// `BFD_CHECK`.
pub static BFD: Block = Block {
    table: &BFD_TABLE,
    open: |reader, given| {
        reader.drafts.bfd_check = BfdDraft::default();
        check::start(reader, given, Kind::Bfd)
    },
    close: close_bfd,
};
static BFD_TABLE: Table = Table::new("BFD_CHECK", &[BFD_KEYWORDS]);
const BFD_KEYWORDS: &[Keyword] = &[
    keyword("name", Shape::Word, "Name of a bfd_instance.")
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .apply(bfd_name),
    keyword("alpha", Shape::Bool, "Starts as failed.")
        .default("that of the real server")
        .apply(|r, g| r.drafts.checker.own.alpha = Some(g.bool())),
];

fn track_file<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    let known = || reader.drafts.track_files.iter().map(|(name, _)| name.as_str());
    if known().any(|name| name == word.as_str()) {
        reader.drafts.file_check.track_file = Some(word);
        return;
    }
    let mut report =
        bad_value(given.keyword, word, "is no track_file before this line").stock("drops the check");
    if let Some(meant) = did_you_mean(word, known()) {
        report = report.help(format!("did you mean `{meant}`?"));
    }
    reader.push(report);
}

fn weight<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    let number =
        match value::integer(word, -2_147_483_647, 2_147_483_647, Strictness::Lenient, reader.world.mode) {
            Reading::Good(number) => number,
            Reading::Used(number, _) => {
                let report = bad_value(given.keyword, word, "is not a whole number");
                reader.push(report.stock("uses its digits when running"));
                number
            }
            Reading::Bad(_) => {
                reader.push(bad_value(given.keyword, word, "is no weight").stock("ignores the line"));
                return;
            }
        };
    let draft = &mut reader.drafts.file_check;
    draft.weight = i32::try_from(number).ok();
    match given.argument(1) {
        None => {}
        Some(option) if option == "reverse" => draft.reverse = Some(true),
        Some(option) if option == "noreverse" => draft.reverse = Some(false),
        Some(option) => reader.push(
            bad_value(given.keyword, option, "is neither reverse nor noreverse").stock("ignores the word"),
        ),
    }
}

fn close_file(reader: &mut Reader<'_>) {
    let draft = std::mem::take(&mut reader.drafts.file_check);
    if draft.track_file.is_none() {
        if let Some(head) = reader.drafts.checker.head {
            reader.push(
                Diagnostic::error("incomplete-check", head, "the FILE_CHECK names no track_file that exists")
                    .help("add `track_file NAME`; the track_file block must stand before")
                    .stock("drops the check"),
            );
        }
        return;
    }
    check::finish_with(reader, Special::File(draft));
}

fn bfd_name<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    if reader.drafts.bfd_check.name.is_some() {
        reader.push(bad_value(given.keyword, word, "is a second name").stock("keeps the first"));
        return;
    }
    let is_taken = reader
        .drafts
        .real_server
        .checkers
        .iter()
        .any(|checker| matches!(checker.special, Special::Bfd(name) if name.as_str() == word.as_str()));
    let mut report = if is_taken {
        bad_value(given.keyword, word, "is checked by this real server already")
    } else if bfd_instance::names(reader).any(|name| name == word.as_str()) {
        reader.drafts.bfd_check.name = Some(word);
        return;
    } else {
        bad_value(given.keyword, word, "is no bfd_instance before this line")
    };
    if !is_taken && let Some(meant) = did_you_mean(word, bfd_instance::names(reader)) {
        report = report.help(format!("did you mean `{meant}`?"));
    }
    reader.drafts.bfd_check.told = true;
    reader.push(report.stock("drops the check"));
}

fn close_bfd(reader: &mut Reader<'_>) {
    let BfdDraft { name, told } = std::mem::take(&mut reader.drafts.bfd_check);
    match (name, reader.drafts.checker.head) {
        (Some(name), _) => check::finish_with(reader, Special::Bfd(name)),
        (None, Some(head)) if !told => reader.push(
            Diagnostic::error("incomplete-check", head, "the BFD_CHECK has no name")
                .help("add `name NAME`; the bfd_instance block must stand before")
                .stock("drops the check"),
        ),
        _ => {}
    }
}
