//! `DNS_CHECK` (spec/checkers.md §9).

use super::check::{self, COMMON, CONNECTION, Kind, Special};
use crate::config::diagnostic::Class;
use crate::config::model::DnsType;
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{Block, Given, Keyword, Mark, Repeat, Shape, Table, keyword};
use crate::config::syntax::Word;

/// What only this check has.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draft<'a> {
    record: DnsType,
    name: Option<&'a Word>,
}

/// The block.
pub static BLOCK: Block = Block {
    table: &TABLE,
    open: |reader, given| {
        reader.drafts.dns = Draft::default();
        check::start(reader, given, Kind::Dns)
    },
    close: |reader| {
        let Draft { record, name } = std::mem::take(&mut reader.drafts.dns);
        check::finish_with(reader, Special::Dns(record, name));
    },
};
static TABLE: Table = Table::new("DNS_CHECK", &[COMMON, CONNECTION, KEYWORDS]);
const KEYWORDS: &[Keyword] = &[
    keyword("type", Shape::Word, "Type of the question.").default("SOA").mark(Mark::B).apply(record),
    keyword("name", Shape::Word, "The name asked for.")
        .default("the root")
        .mark(Mark::B)
        .repeat(Repeat::FirstWins)
        .apply(name),
];

/// Longest label (RFC 1035 §2.3.4).
const LABEL: usize = 63;
/// Longest name as text without its last dot: on the wire a length byte and the root are added to 253 (RFC 1035 §2.3.4).
const NAME: usize = 253;

fn record<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    if let Some((record, _)) = DnsType::ALL.iter().find(|(_, name)| word.eq_ignore_ascii_case(name)) {
        reader.drafts.dns.record = *record;
        return;
    }
    let names: Vec<&str> = DnsType::ALL.iter().map(|(_, name)| *name).collect();
    let report = bad_value(given.keyword, word, "is not known");
    reader.push(report.help(format!("known are {}", names.join(", "))).stock("asks for SOA"));
}

fn name<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    if reader.drafts.dns.name.is_some() {
        reader.push(bad_value(given.keyword, word, "is a second name").stock("keeps the first"));
        return;
    }
    let text = word.strip_suffix('.').unwrap_or(word);
    let mut labels = text.split('.');
    if !text.is_empty() && labels.clone().any(str::is_empty) {
        reader.push(bad_value(given.keyword, word, "has an empty label").stock("asks for the root"));
    } else if text.len() > NAME || labels.any(|label| label.len() > LABEL) {
        let what = "is no domain name: labels have at most 63 bytes, names 253";
        reader.push(
            bad_value(given.keyword, word, what)
                .class(Class::None)
                .stock("sends a malformed question; this program asks for the root"),
        );
    } else {
        reader.drafts.dns.name = Some(word);
    }
}
