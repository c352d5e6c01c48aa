//! What of the lines that were read matters to the reading of the next ones: where they stand, which checks includes make.

use super::include::IncludeChecks;
use super::syntax::{Line, LineKind, Word};

/// What of the lines so far matters to the reading of the next ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nesting {
    /// The permanent level of include checks.
    pub(super) checks: IncludeChecks,
    /// Open braces minus closed ones: only to know where `global_defs` ends.
    depth: usize,
    in_global_defs: bool,
}

impl Nesting {
    /// Before the first line.
    pub(super) fn new(checks: IncludeChecks) -> Self {
        Self { checks, depth: 0, in_global_defs: false }
    }

    /// Takes note of a logical line.
    pub(super) fn note(&mut self, line: Line<'_>) {
        match (line.kind, line.words) {
            (LineKind::Open, _) => self.depth += 1,
            (LineKind::Close, _) => self.depth = self.depth.saturating_sub(1),
            (LineKind::Words, [word, ..]) if self.depth == 0 => self.in_global_defs = word == "global_defs",
            (LineKind::Words, [word, rest @ ..]) if self.in_global_defs && word == "include_check" => {
                self.checks = self.checks.changed_by(rest.iter().map(Word::as_str));
            }
            (LineKind::Words, _) => {}
        }
    }
}
