//! What the walk reports of braces, block names and unknown words: each with what stock makes of it and what to write.

use super::Reader;
use crate::config::blocks;
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::intended::Intended;
use crate::config::schema::{Given, Keyword, Shape, Successor, Table};
use crate::config::source::{self, Span};
use crate::config::suggest::look_alikes;
use crate::config::syntax::{Line, Word};

impl<'a> Reader<'a> {
    /// Reports a block without a name that needs one.
    pub fn missing_name(&mut self, given: Given<'_>) {
        let name = given.keyword.name;
        self.push(
            Diagnostic::error("missing-argument", given.head(), format!("`{name}` needs a name"))
                .class(Class::MissingArgument)
                .help(format!("write `{name} NAME {{`"))
                .stock("reading stops here and the daemon does not start (exit 2)"),
        );
    }

    /// Reports a block that has no name or two.
    pub fn one_name(&mut self, given: Given<'_>) {
        let name = given.keyword.name;
        let (span, what) = match given.argument(1) {
            Some(second) => (second.span(), "takes one name"),
            None => (given.head(), "needs a name"),
        };
        self.push(
            Diagnostic::error("bad-block-name", span, format!("`{name}` {what}"))
                .help(format!("write `{name} NAME {{`; a name with blanks needs double quotes"))
                .stock("skips the whole block"),
        );
    }

    /// Reports a block whose name is taken.
    pub fn repeated_block(&mut self, given: Given<'_>, name: &Word, first: Span) {
        let keyword = given.keyword.name;
        let shown = source::display(name).into_owned();
        self.push(
            Diagnostic::error("repeated-block", name.span(), format!("a second {keyword} `{shown}`"))
                .related(first, "the first")
                .help("give them different names, or merge the blocks")
                .stock("skips the whole second block"),
        );
    }

    pub(super) fn missing_brace(&mut self, given: Given<'a>) {
        self.push(
            Diagnostic::error(
                "missing-brace",
                given.head(),
                format!("`{}` needs a block, but no `{{` follows", given.keyword.name),
            )
            .help(format!(
                "write `{} {{` and a `}}` behind the last line of the block",
                given.line.raw().as_str()
            ))
            .stock("reads the following lines as if the brace were there"),
        );
    }

    pub(super) fn unexpected_brace(&mut self, span: Span) {
        self.push(
            Diagnostic::error("unexpected-brace", span, "`{` where no block can start")
                .help("remove it, or put a keyword that has a block before it")
                .stock("ignores the brace, but not the `}` that belongs to it"),
        );
    }

    pub(super) fn surplus_brace(&mut self, span: Span) {
        self.push(
            Diagnostic::error("surplus-brace", span, "`}` without a block that it could close")
                .help("remove it, or look for a `}` too many above")
                .stock("the line is ignored"),
        );
    }

    pub(super) fn old_spelling(&mut self, keyword: &Keyword, successor: Successor, head: &Word) {
        let report = Diagnostic::warning(
            "deprecated-keyword",
            head.span(),
            format!("`{}` is an old spelling of `{}`", keyword.name, successor.name),
        )
        .help(format!("write `{}`", successor.name));
        self.push(if successor.warned {
            report.stock("accepts it, but `-t` counts it as an error")
        } else {
            report.class(Class::None).stock("accepts it")
        });
    }

    /// Reports an unknown keyword and what its block, if it opens one, leads to.
    pub(super) fn unknown(&mut self, table: &'static Table, line: Line<'a>, head: &'a Word) {
        let at = self.next.saturating_sub(1);
        let opens = self.opens();
        if self.intended.as_ref().is_some_and(|intended| intended.fits(at, head)) {
            // An unknown block was read as lines of this one, or has closed the one that this line belongs to.
            return;
        }
        if opens && self.intended.is_none() {
            self.intended = Some(Intended::of(self.lines, &blocks::TOP));
        }
        let outer = self.open.split_last().map_or(&[][..], |(_, outer)| outer);
        let top = &blocks::TOP;
        let belongs_outside = !self.open.is_empty()
            && (top.find(head).is_some() || outer.iter().any(|(table, _)| table.find(head).is_some()));
        let mut report = Diagnostic::error(
            "unknown-keyword",
            head.span(),
            format!("unknown keyword `{}` in {}", source::display(head), table.name),
        );
        if belongs_outside && let Some(&(inner, span)) = self.open.last() {
            let tables = outer.iter().map(|(table, _)| *table).rev().chain([top]);
            let mut tables = tables;
            let home = tables.find_map(|table| Some((table, table.find(head)?)));
            let home = home.filter(|(_, keyword)| !matches!(keyword.shape, Shape::Block(_) | Shape::List(_)));
            let name = head.as_str();
            report = if let Some((home, _)) = home {
                report.message = format!("`{name}` belongs into {}, not into {}", home.name, inner.name);
                match blocks::instead(inner, head) {
                    Some(instead) => report.help(format!("write `{instead}` here")),
                    None => report.help("move it there, or add the `}` that is missing before this line"),
                }
            } else {
                report.id = "block-not-closed";
                report.message =
                    format!("`{name}` inside `{}`: a `}}` is missing before this line", inner.name);
                report.help("close the block before this line")
            };
            report = report.related(span, "this block is open");
        } else {
            report = blocks::remedy(table, line, head, report);
            if let Some(blank) = look_alikes(head).iter().find(|it| it.plain == " ")
                && !std::mem::replace(&mut self.blanks_told, true)
            {
                report = report.help(format!("for all of them: {}", blank.mend_all()));
            }
        }
        let end = self.intended.as_ref().filter(|_| opens).and_then(|it| self.lines.get(it.end(at)?));
        if let Some(end) = end {
            report = report.related(end.span(), "up to here lines are misread");
        }
        report = if opens && !self.open.is_empty() {
            report.id = "unknown-block";
            report.stock("skips the line, reads the lines of its block as lines of this one, and the block's `}` closes this one")
        } else if opens {
            report.stock("skips the line and its `{`, and reads the lines of the block as lines of their own")
        } else {
            report.stock("skips the line")
        };
        self.push(report);
    }
}

pub(super) fn not_closed(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error("block-not-closed", span, format!("`{name}` is not closed before the end of the file"))
        .help("add the missing `}`")
        .stock("closes it at the end of the file and uses it")
}

/// A line that shows that the list before it was not closed.
pub(super) fn swallowed(given: Given<'_>, span: Span, what: &str) -> Diagnostic {
    let name = given.keyword.name;
    let message = format!("`{what}` inside the list `{name}`: a `}}` is missing before it");
    Diagnostic::error("block-not-closed", span, message)
        .related(given.head(), "this list is not closed")
        .help(format!("close `{name}` with a `}}` before this line"))
        .stock("takes everything up to the next `}` as entries of the list")
}

/// The note at a keyword that is only parsed.
pub fn no_effect_yet(keyword: &Keyword, span: Span) -> Diagnostic {
    Diagnostic::note("no-effect-yet", span, format!("`{}` is understood but has no effect yet", keyword.name))
}
