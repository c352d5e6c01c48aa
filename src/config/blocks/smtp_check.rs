//! `SMTP_CHECK` and its `host` blocks (spec/checkers.md §8).

use super::check::{self, COMMON, CONNECTION, ConnectionDraft, Kind, Special};
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::reader::Reader;
use crate::config::schema::{Block, Given, Keyword, Mark, Missing, Opened, Shape, Table, keyword};
use crate::config::syntax::Word;

/// What only this check has.
#[derive(Debug, Clone, Default)]
pub struct Draft<'a> {
    /// `helo_name`.
    pub helo: Option<&'a Word>,
    /// The `host` blocks; with any, only they are checked.
    pub hosts: Vec<ConnectionDraft>,
    /// The block's own connection options, while a `host` is read.
    outside: ConnectionDraft,
}

/// The block.
pub static BLOCK: Block = Block { table: &TABLE, open: start, close };
static TABLE: Table = Table::new("SMTP_CHECK", &[COMMON, CONNECTION, KEYWORDS]);
const KEYWORDS: &[Keyword] = &[
    keyword("helo_name", Shape::Word, "The name given in HELO.")
        .default("smtpchecker.keepalived.org")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .apply(|r, g| r.drafts.smtp.helo = g.argument(0)),
    keyword("host", Shape::Block(&HOST), "Old: another place to check.").mark(Mark::X),
];
static HOST: Block = Block { table: &HOST_TABLE, open: open_host, close: close_host };
static HOST_TABLE: Table = Table::new("host", &[CONNECTION]);

fn start<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    reader.drafts.smtp = Draft::default();
    check::start(reader, given, Kind::Smtp)
}

fn open_host<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    reader.push(
        Diagnostic::warning("old-keyword", given.head(), "`host` is an old form")
            .class(Class::None)
            .help("write one SMTP_CHECK with `connect_ip` for each host")
            .stock("logs it; only the last host is checked as written"),
    );
    reader.drafts.smtp.outside = std::mem::take(&mut reader.drafts.checker.connection);
    Opened::Enter
}

fn close_host(reader: &mut Reader<'_>) {
    let reachable = check::is_reachable(reader);
    let outside = std::mem::take(&mut reader.drafts.smtp.outside);
    let mut host = std::mem::replace(&mut reader.drafts.checker.connection, outside);
    host.connect_timeout = host.connect_timeout.or(reader.drafts.checker.connection.connect_timeout);
    if reachable {
        reader.drafts.smtp.hosts.push(host);
    }
}

fn close(reader: &mut Reader<'_>) {
    let draft = std::mem::take(&mut reader.drafts.smtp);
    check::finish_with(reader, Special::Smtp(Box::new(draft)));
}
