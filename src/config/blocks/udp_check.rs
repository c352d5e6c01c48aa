//! `UDP_CHECK` (spec/checkers.md §10).

use super::check::{self, COMMON, CONNECTION, Kind, Special};
use crate::config::diagnostic::Diagnostic;
use crate::config::model::PatternByte;
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{Block, Given, Keyword, Mark, Missing, Shape, Table, keyword, lenient};
use crate::config::source::Span;
use crate::config::syntax::Word;

/// What only this check has.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the keyword of its name")]
pub struct Draft {
    pub payload: Option<Vec<u8>>,
    /// Empty when any reply will do.
    pub require_reply: Option<Vec<PatternByte>>,
    pub min_reply_length: Option<(u16, Span)>,
    pub max_reply_length: Option<(u16, Span)>,
}

impl Draft {
    /// Stock's `max_reply_length`.
    pub const MAX_REPLY: u16 = 255;
}

/// The block.
pub static BLOCK: Block = Block {
    table: &TABLE,
    open: |reader, given| {
        reader.drafts.udp = Draft::default();
        check::start(reader, given, Kind::Udp)
    },
    close,
};
static TABLE: Table = Table::new("UDP_CHECK", &[COMMON, CONNECTION, KEYWORDS]);
const KEYWORDS: &[Keyword] = &[
    keyword("payload", Shape::Words, "What is sent, in hexadecimal.")
        .default("keepalived check - keepalived ch")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .apply(|r, g| {
            if let Some(bytes) = hex(r, g, Wildcards::No) {
                r.drafts.udp.payload = Some(bytes.into_iter().map(|byte| byte.value).collect());
            }
        }),
    keyword("require_reply", Shape::Words, "A reply must come, and match: hexadecimal, X is any digit.")
        .mark(Mark::B)
        .apply(|r, g| {
            if let Some(bytes) = hex(r, g, Wildcards::Yes) {
                r.drafts.udp.require_reply = Some(bytes);
            }
        }),
    keyword("min_reply_length", lenient(0, 65535), "Shortest reply, with a pattern.").default("0").apply(
        |r, g| r.drafts.udp.min_reply_length = u16::try_from(g.int()).ok().map(|it| (it, g.value_span())),
    ),
    keyword("max_reply_length", lenient(0, 65535), "Longest reply, with a pattern.").default("255").apply(
        |r, g| r.drafts.udp.max_reply_length = u16::try_from(g.int()).ok().map(|it| (it, g.value_span())),
    ),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wildcards {
    No,
    Yes,
}

/// Blanks separate octets; a digit without a second one is an octet.
fn hex<'a>(reader: &mut Reader<'a>, given: Given<'a>, wildcards: Wildcards) -> Option<Vec<PatternByte>> {
    let digit = |byte: u8| match byte {
        b'X' | b'x' if wildcards == Wildcards::Yes => Some((0, 0)),
        byte => char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).map(|it| (it, 0xf)),
    };
    let octet = |pair: &[u8]| match *pair {
        [high, low] => {
            let ((high, high_mask), (low, low_mask)) = (digit(high)?, digit(low)?);
            Some(PatternByte { value: high << 4 | low, mask: high_mask << 4 | low_mask })
        }
        [low] => {
            let (value, mask) = digit(low)?;
            // The missing digit is a 0 that counts.
            Some(PatternByte { value, mask: 0xf0 | mask })
        }
        _ => None,
    };
    let parse = |word: &Word| -> Option<Vec<PatternByte>> {
        word.split([' ', '\t']).flat_map(|part| part.as_bytes().chunks(2)).map(octet).collect()
    };
    let mut bytes = Vec::new();
    for word in given.arguments() {
        let Some(some) = parse(word) else {
            reader.push(bad_value(given.keyword, word, "is not hexadecimal").stock("ignores the line"));
            return None;
        };
        bytes.extend(some);
    }
    Some(bytes)
}

fn close(reader: &mut Reader<'_>) {
    let draft = std::mem::take(&mut reader.drafts.udp);
    let max = draft.max_reply_length.map_or(Draft::MAX_REPLY, |(max, _)| max);
    if let Some((min, span)) = draft.min_reply_length.filter(|(min, _)| *min > max) {
        reader.push(
            Diagnostic::error("contradiction", span, format!("`min_reply_length` {min} is more than {max}"))
                .help(format!("write a `max_reply_length` of {min} or more"))
                .stock("takes it; a check with a pattern then always fails"),
        );
    }
    check::finish_with(reader, Special::Udp(Box::new(draft)));
}
