//! Checkers whose syntax is checked as stock does and which are not run yet: SMTP, DNS, UDP, PING, MISC, FILE, BFD
//! (spec/checkers.md §8–§14).

use super::bfd_instance;
use super::check::{self, COMMON, CONNECTION};
use super::scripts::{self, ScriptDraft};
use crate::config::diagnostic::{Class, Diagnostic, Severity};
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{
    Block, Given, Keyword, Mark, Missing, Opened, Repeat, Shape, Table, keyword, lenient,
};
use crate::config::suggest::did_you_mean;
use crate::config::syntax::{ScriptWord, Word};
use crate::config::value::{self, Reading, Strictness};

/// The checker blocks of a real server that are only parsed.
pub const BLOCKS: &[Keyword] = &[
    keyword("SMTP_CHECK", Shape::Block(&SMTP), "Up when a mail server greets.").mark(Mark::B).later(),
    keyword("DNS_CHECK", Shape::Block(&DNS), "Up when a name server answers.").mark(Mark::B).later(),
    keyword("UDP_CHECK", Shape::Block(&UDP), "Up when a datagram is not refused.").mark(Mark::B).later(),
    keyword("PING_CHECK", Shape::Block(&PING), "Up when an echo comes back.").mark(Mark::B).later(),
    keyword("MISC_CHECK", Shape::Block(&MISC), "Up when a script says so.").mark(Mark::A).later(),
    keyword("FILE_CHECK", Shape::Block(&FILE), "Weight, or failure, by the number in a file.").later(),
    keyword("BFD_CHECK", Shape::Block(&BFD), "Up with a BFD session.").later(),
];

/// What `MISC_CHECK` has read.
#[derive(Debug, Clone, Default)]
pub struct MiscDraft {
    /// `misc_path`.
    pub script: Option<ScriptDraft>,
    /// A `user` that does not exist.
    unknown_user: bool,
    /// A user of its own.
    own_user: bool,
}

static SMTP: Block = Block { table: &SMTP_TABLE, open: start, close: |_| {} };
static SMTP_TABLE: Table = Table::new("SMTP_CHECK", &[COMMON, CONNECTION, SMTP_KEYWORDS]);
const SMTP_KEYWORDS: &[Keyword] = &[
    keyword("helo_name", Shape::Word, "The name given in HELO.")
        .default("smtpchecker.keepalived.org")
        .mark(Mark::B)
        .missing(Missing::Warns),
    keyword("host", Shape::Block(&SMTP_HOST), "Old: another place to check.").mark(Mark::X),
];
static SMTP_HOST: Block = Block { table: &SMTP_HOST_TABLE, open: |_, _| Opened::Enter, close: |_| {} };
static SMTP_HOST_TABLE: Table = Table::new("host", &[CONNECTION]);

static DNS: Block = Block { table: &DNS_TABLE, open: start, close: |_| {} };
static DNS_TABLE: Table = Table::new("DNS_CHECK", &[COMMON, CONNECTION, DNS_KEYWORDS]);
const DNS_KEYWORDS: &[Keyword] = &[
    keyword("type", Shape::Word, "Type of the question.").default("SOA").mark(Mark::B).apply(|r, g| {
        const TYPES: [&str; 9] = ["A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA", "RRSIG", "DNSKEY"];
        if let Some(word) = g.argument(0).filter(|word| !TYPES.contains(&word.to_ascii_uppercase().as_str()))
        {
            let report =
                bad_value(g.keyword, word, "is not known").help(format!("known are {}", TYPES.join(", ")));
            r.push(report.stock("asks for SOA"));
        }
    }),
    keyword("name", Shape::Word, "The name asked for.").default("the root").mark(Mark::B).apply(|r, g| {
        if let Some(word) =
            g.argument(0).filter(|word| word.contains("..") || word.len() > 1 && word.starts_with('.'))
        {
            r.push(bad_value(g.keyword, word, "has an empty label").stock("asks for the root"));
        }
    }),
];

static UDP: Block = Block { table: &UDP_TABLE, open: start, close: |_| {} };
static UDP_TABLE: Table = Table::new("UDP_CHECK", &[COMMON, CONNECTION, UDP_KEYWORDS]);
const UDP_KEYWORDS: &[Keyword] = &[
    keyword("payload", Shape::Words, "What is sent, in hexadecimal.")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .apply(hex),
    keyword("require_reply", Shape::Words, "A reply must come, and match.").mark(Mark::B).apply(hex),
    keyword("min_reply_length", lenient(0, 65535), "Shortest reply.").default("0"),
    keyword("max_reply_length", lenient(0, 65535), "Longest reply.").default("255"),
];

static PING: Block = Block { table: &PING_TABLE, open: start, close: |_| {} };
static PING_TABLE: Table = Table::new("PING_CHECK", &[COMMON, CONNECTION]);

static MISC: Block = Block { table: &MISC_TABLE, open: start, close: close_misc };
static MISC_TABLE: Table = Table::new("MISC_CHECK", &[COMMON, MISC_KEYWORDS]);
const MISC_KEYWORDS: &[Keyword] = &[
    keyword("misc_path", Shape::Script, "The script, with its arguments inside quotes.")
        .mark(Mark::A)
        .missing(Missing::Silent)
        .apply(|r, g| {
            if let Some((argv, command, span, _)) = scripts::words(r, g) {
                let identity = r.world.facts.own_identity;
                r.drafts.misc.script =
                    Some(ScriptDraft { argv, command, span, keyword: "misc_path", identity });
            }
        }),
    keyword("misc_timeout", lenient(0, 4294), "Seconds until it is killed.")
        .default("delay_loop of the virtual server")
        .mark(Mark::A),
    keyword("misc_dynamic", Shape::Flag, "Its exit code is the weight.").mark(Mark::B),
    keyword("user", Shape::Words, "Who runs it: USER [GROUP].")
        .mark(Mark::B)
        .missing(Missing::Fine)
        .apply(misc_user),
];

static FILE: Block = Block {
    table: &FILE_TABLE,
    open: start,
    close: |r| {
        if let Some(head) = r.drafts.checker.head.filter(|_| !r.drafts.checker.complete) {
            r.push(
                Diagnostic::error("incomplete-check", head, "the FILE_CHECK names no track_file that exists")
                    .help("add `track_file NAME`; the track_file block must stand before")
                    .stock("drops the check"),
            );
        }
    },
};
static FILE_TABLE: Table = Table::new("FILE_CHECK", &[FILE_KEYWORDS]);
const FILE_KEYWORDS: &[Keyword] = &[
    keyword("track_file", Shape::Word, "Name of a track_file block.").apply(|r, g| {
        let Some(word) = g.argument(0) else { return };
        if r.drafts.track_files.iter().any(|(name, _)| name.as_str() == word.as_str()) {
            r.drafts.checker.complete = true;
            return;
        }
        let mut report =
            bad_value(g.keyword, word, "is no track_file before this line").stock("drops the check");
        if let Some(meant) = did_you_mean(word, r.drafts.track_files.iter().map(|(name, _)| name.as_str())) {
            report = report.help(format!("did you mean `{meant}`?"));
        }
        r.push(report);
    }),
    keyword("weight", Shape::Words, "Multiplier of the number [reverse|noreverse].")
        .default("that of the track_file (1)")
        .missing(Missing::Warns)
        .apply(|r, g| {
            if let Some(word) = g.argument(0) {
                let reading =
                    value::integer(word, -2_147_483_647, 2_147_483_647, Strictness::Lenient, r.world.mode);
                if !matches!(reading, Reading::Good(_)) {
                    r.push(bad_value(g.keyword, word, "is no weight").stock("ignores the line"));
                }
            }
        }),
];

static BFD: Block = Block { table: &BFD_TABLE, open: start, close: |_| {} };
static BFD_TABLE: Table = Table::new("BFD_CHECK", &[BFD_KEYWORDS]);
const BFD_KEYWORDS: &[Keyword] = &[
    keyword("name", Shape::Word, "Name of a bfd_instance.")
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .apply(|r, g| {
            if let Some(word) =
                g.argument(0).filter(|word| !bfd_instance::names(r).any(|name| name == word.as_str()))
            {
                r.push(
                    bad_value(g.keyword, word, "is no bfd_instance before this line")
                        .stock("drops the check"),
                );
            }
        }),
    keyword("alpha", Shape::Bool, "Starts as failed."),
];

fn start<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    reader.drafts.misc = MiscDraft::default();
    check::start(reader, given, None)
}

fn hex<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    for word in given.arguments() {
        if !word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'X' || byte == b'x' || byte == b' ')
        {
            let report = bad_value(given.keyword, word, "is not hexadecimal");
            reader.push(report.stock("ignores the line"));
            return;
        }
    }
}

fn misc_user<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
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

fn close_misc(reader: &mut Reader<'_>) {
    let misc = std::mem::take(&mut reader.drafts.misc);
    let checker = std::mem::take(&mut reader.drafts.checker);
    let Some(mut script) = misc.script else {
        if let Some(head) = checker.head {
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
        let Some(keyword) = MISC_TABLE.find("misc_path") else { return };
        let Some(identity) = scripts::default_identity(reader, keyword, script.span) else { return };
        script.identity = identity;
    }
    reader.drafts.check_scripts.push(script);
}
