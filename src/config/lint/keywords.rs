//! Keywords of one value that stand twice in a block.

use std::collections::HashMap;

use super::report;
use crate::config::blocks::TOP;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::schema::{Effect, Keyword, Repeat, Shape, Table};
use crate::config::source::Span;
use crate::config::syntax::{LineKind, LogicalLines};

/// A block that is open while duplicates are looked for. Lists and unknown blocks have no table.
struct OpenBlock {
    table: Option<&'static Table>,
    seen: HashMap<&'static str, Span>,
}

pub(super) fn duplicate_keywords(lines: &LogicalLines, known: &Diagnostics, found: &mut Vec<Diagnostic>) {
    let block = |table| OpenBlock { table, seen: HashMap::new() };
    let mut open = vec![block(Some(&TOP))];
    let mut next = None;
    for line in lines.iter() {
        match line.kind {
            LineKind::Open => open.push(block(next.take())),
            LineKind::Close if open.len() > 1 => {
                open.pop();
            }
            LineKind::Close => {}
            LineKind::Words => {
                next = None;
                let (Some(inner), Some(head)) = (open.last_mut(), line.words.first()) else { continue };
                let keyword = inner.table.filter(|_| !line.ours).and_then(|table| table.find(head));
                let Some(keyword) = keyword else { continue };
                if let Shape::Block(block) = keyword.shape {
                    next = Some(block.table);
                }
                if !has_one_value(keyword) || line.words.len() < 2 {
                    continue;
                }
                let Some(first) = inner.seen.insert(keyword.name, head.span()) else { continue };
                let span = line.span();
                let told = known.iter().filter_map(|report| report.span).any(|place| {
                    place.source == span.source && (span.start..=span.end).contains(&place.start)
                });
                if !told {
                    found.push(
                        report("duplicate-keyword", head.span(), format!("a second `{}`", keyword.name))
                            .related(first, "this one has no effect")
                            .help("remove one of them")
                            .stock("uses the last, without a word"),
                    );
                }
            }
        }
    }
}

fn has_one_value(keyword: &Keyword) -> bool {
    keyword.repeat == Repeat::LastWins
        && keyword.effect != Effect::Nothing
        && !matches!(keyword.shape, Shape::Flag | Shape::Block(_) | Shape::List(_))
}
