//! What is silenced: on the command line for everything, with `@keepalived-rs allow LINT` for a block or the file.

use crate::config::diagnostic::Diagnostic;
use crate::config::source::{SourceMap, Span};
use crate::config::syntax::{LineKind, LogicalLines};

/// Lints that are not wanted, and where.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// Name, and the places of the block's lines in the files, one per file it stands in; `None` is everywhere.
    rules: Vec<(String, Option<Vec<Span>>)>,
}

/// A block while it is open.
struct OpenBlock {
    /// Its header, or its brace.
    first: usize,
    allowed: Vec<String>,
}

impl Allowed {
    /// What the command line and the lines say.
    pub(super) fn gather(lines: &LogicalLines, sources: &SourceMap, silenced: &[String]) -> Self {
        let mut rules: Vec<(String, Option<Vec<Span>>)> =
            silenced.iter().map(|id| (id.clone(), None)).collect();
        let mut open: Vec<OpenBlock> = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            match line.kind {
                LineKind::Open => {
                    let headed = index > 0 && lines.kind(index - 1) == Some(LineKind::Words);
                    let first = index - usize::from(headed);
                    open.push(OpenBlock { first, allowed: Vec::new() });
                }
                LineKind::Close => {
                    let Some(block) = open.pop() else { continue };
                    close(&block, index, lines, sources, &mut rules);
                }
                LineKind::Words if line.ours => {
                    let [first, rest @ ..] = line.words else { continue };
                    if first.as_str() != "allow" {
                        continue;
                    }
                    let ids = rest.iter().take(1).map(|id| id.as_str().to_owned());
                    match open.last_mut() {
                        Some(block) => block.allowed.extend(ids),
                        None => rules.extend(ids.map(|id| (id, None))),
                    }
                }
                LineKind::Words => {}
            }
        }
        for block in open {
            close(&block, lines.len().saturating_sub(1), lines, sources, &mut rules);
        }
        Self { rules }
    }

    /// Is this report silenced?
    pub fn covers(&self, report: &Diagnostic, sources: &SourceMap) -> bool {
        // Only what has an explanation can be silenced.
        super::find(report.id).is_some()
            && self.rules.iter().any(|(id, places)| {
                id == report.id
                    && places.as_ref().is_none_or(|places| {
                        report.span.map(|span| sources.resolve(span).span).is_some_and(|span| {
                            places.iter().any(|place| {
                                place.source == span.source && (place.start..=place.end).contains(&span.start)
                            })
                        })
                    })
            })
    }
}

fn close(
    block: &OpenBlock,
    last: usize,
    lines: &LogicalLines,
    sources: &SourceMap,
    rules: &mut Vec<(String, Option<Vec<Span>>)>,
) {
    if block.allowed.is_empty() {
        return;
    }
    let mut places: Vec<Span> = Vec::new();
    for line in (block.first..=last).filter_map(|index| lines.get(index)) {
        let span = sources.resolve(line.span()).span;
        match places.last_mut() {
            Some(place) if place.source == span.source => *place = place.to(span),
            _ => places.push(span),
        }
    }
    rules.extend(block.allowed.iter().map(|id| (id.clone(), Some(places.clone()))));
}
