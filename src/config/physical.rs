//! Physical lines of a file: line ends, and stock's limit of the line buffer (spec/config-language.md §1, steps 1 and 2).
//!
//! Most lines of most files are words, braces and comments, and nothing else: [`FileFrame::plain`] takes these in one pass
//! over their bytes. Whatever could mean more (quotes, `$`, `\\`, `@`, `~`, includes) is left to [`super::preprocess`].

use std::rc::Rc;

use super::diagnostic::Diagnostic;
use super::include::IncludeChecks;
use super::lines::{LineKind, LogicalLines, Word};
use super::nesting::Nesting;
use super::source::{Slice, Source, Span, is_raw_byte};
use super::syntax::uncomment;
use super::variables::MAX_LINE;

/// A file while it is being read.
pub(super) struct FileFrame {
    pub(super) source: Rc<Source>,
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

/// What a byte is to a plain line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    Space,
    NewLine,
    Open,
    Close,
    Comment,
    /// Needs more than a look at the byte.
    Special,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Word; 256];
    let mut set = [
        (b' ', Class::Space),
        (b'\t', Class::Space),
        (b'\r', Class::Space),
        (0x0b, Class::Space),
        (0x0c, Class::Space),
        (b'\n', Class::NewLine),
        (b'{', Class::Open),
        (b'}', Class::Close),
        (b'#', Class::Comment),
        (b'!', Class::Comment),
        (b'"', Class::Special),
        (b'\\', Class::Special),
        (b'$', Class::Special),
        (0, Class::Special),
    ]
    .as_slice();
    while let [(byte, class), rest @ ..] = set {
        classes[*byte as usize] = *class;
        set = rest;
    }
    classes
};

impl FileFrame {
    /// Takes the plain lines up to the next one that is not.
    pub(super) fn plain(&mut self, lines: &mut LogicalLines, nesting: &mut Nesting) {
        while self.next < self.source.text().len() {
            let (mark, before) = (lines.mark(), *nesting);
            let Some(next) = self.plain_line(lines, nesting) else {
                lines.undo(mark);
                *nesting = before;
                return;
            };
            self.next = next;
        }
    }

    /// Takes one line; gives where the next one begins. `None`: it is not plain, and what was taken must go.
    fn plain_line(&self, lines: &mut LogicalLines, nesting: &mut Nesting) -> Option<usize> {
        let bytes = self.source.text().as_bytes();
        let class = |at: usize| bytes.get(at).map_or(Class::NewLine, |&byte| CLASSES[usize::from(byte)]);
        let start = self.next;
        let mut at = start;
        while class(at) == Class::Space {
            at += 1;
        }
        if matches!(bytes.get(at), Some(b'@' | b'~'))
            || bytes.get(at..).is_some_and(|rest| rest.starts_with(b"include"))
        {
            return None;
        }
        // The words since the line's begin, or since its last brace.
        let mut words = None;
        let end = loop {
            match class(at) {
                Class::Space => at += 1,
                Class::Word => {
                    let first = at;
                    while class(at) == Class::Word {
                        at += 1;
                    }
                    let (from, to) = (offset(first)?, offset(at)?);
                    words.get_or_insert(lines.mark());
                    lines.word(Word::bare(&self.source, from, to));
                }
                brace @ (Class::Open | Class::Close) => {
                    if let Some(mark) = words.take() {
                        lines.end(mark, LineKind::Words, self.ours, None);
                        nesting.note(lines.last()?);
                    }
                    let kind = if brace == Class::Open { LineKind::Open } else { LineKind::Close };
                    let place = offset(at)?;
                    let word = Word::bare(&self.source, place, place + 1);
                    lines.end(lines.mark(), kind, self.ours, Some(word));
                    nesting.note(lines.last()?);
                    at += 1;
                }
                Class::NewLine => break at,
                Class::Comment => {
                    let rest = &self.source.text()[at..];
                    let length = rest.find('\n').unwrap_or(rest.len());
                    // A NUL counts even there; a backslash at the end does not.
                    if self.has_nul && rest[..length].contains('\0') {
                        return None;
                    }
                    break at + length;
                }
                Class::Special => return None,
            }
        };
        if end - start > MAX_LINE {
            return None;
        }
        if let Some(mark) = words {
            lines.end(mark, LineKind::Words, self.ours, None);
            nesting.note(lines.last()?);
        }
        Some(end + 1)
    }

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

/// Offsets are below 2^31: `source::MAX_TEXT`.
fn offset(at: usize) -> Option<u32> {
    u32::try_from(at).ok()
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
