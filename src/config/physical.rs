//! Physical lines of a file: line ends, and stock's limit of the line buffer (spec/config-language.md §1, steps 1 and 2).

use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::include::IncludeChecks;
use super::source::{Slice, Source, Span, is_raw_byte};
use super::syntax::uncomment;
use super::variables::MAX_LINE;

/// A file while it is being read.
pub(super) struct FileFrame {
    pub(super) source: Arc<Source>,
    pub(super) next: usize,
    /// Directory of the file as names relative to it need it; empty for the current one.
    pub(super) directory: String,
    /// Directory resolved, and name: the same for the same file.
    pub(super) key: String,
    /// The level to restore.
    pub(super) checks: IncludeChecks,
    pub(super) ours: bool,
    pub(super) has_nul: bool,
    pub(super) has_raw_bytes: bool,
}

/// A line of a file.
pub(super) struct Physical {
    pub(super) text: Slice,
    /// It is longer than stock's buffer. The text is what can be used of it: nothing, or what stands before a comment.
    pub(super) too_long: Option<Span>,
}

impl FileFrame {
    /// The next physical line without its line end.
    pub(super) fn line(&mut self) -> Option<Physical> {
        let start = self.next;
        let rest = self.source.text().get(start..).filter(|rest| !rest.is_empty())?;
        let newline = rest.bytes().position(|byte| byte == b'\n');
        let length = newline.unwrap_or(rest.len());
        let line = &rest[..length];
        self.next = start + newline.map_or(length, |at| at + 1);
        let slice = |length| Slice::new(&self.source, start..start + length);
        if length > MAX_LINE && self.bytes(line) > MAX_LINE {
            let kept = uncomment(line, |_| false).kept.end;
            if kept < length && self.bytes(&line[..kept]) <= MAX_LINE {
                return Some(Physical { text: slice(kept), too_long: Some(slice(length).span()) });
            }
            let cut = self.cut(line);
            if cut < length {
                self.next = start + cut;
            }
            return Some(Physical { text: slice(0), too_long: Some(slice(cut).span()) });
        }
        Some(Physical { text: slice(line.trim_end_matches('\r').len()), too_long: None })
    }

    /// Length in the file.
    fn bytes(&self, line: &str) -> usize {
        if self.has_raw_bytes { line.chars().map(bytes).sum() } else { line.len() }
    }

    /// How much of a line that is too long fills stock's buffer.
    fn cut(&self, line: &str) -> usize {
        let mut filled = 0;
        let size = |c: char| if self.has_raw_bytes { bytes(c) } else { c.len_utf8() };
        line.char_indices()
            .find(|&(_, c)| {
                filled += size(c);
                filled > MAX_LINE + 1
            })
            .map_or(line.len(), |(at, _)| at)
    }
}

fn bytes(character: char) -> usize {
    if is_raw_byte(character) { 1 } else { character.len_utf8() }
}

pub(super) fn too_long(span: Span, used: &Slice) -> Diagnostic {
    let report =
        Diagnostic::error("line-too-long", span, format!("the line is longer than {MAX_LINE} bytes")).stock(
            format!("ignores its first {} bytes and reads the rest as a line of its own", MAX_LINE + 1),
        );
    if used.span() == span.head() {
        report.label("ignored").help("split it; what follows is read as a new line, as stock does")
    } else {
        report.label("only the comment is ignored").help("put the comment on lines of its own")
    }
}
