//! A line while it is being edited: its text, and for each piece of it where it stands in a file.
//!
//! Most lines are never edited and stay a [`Slice`] of their file. Used by [`super::preprocess`] only.

use std::ops::Range;
use std::rc::Rc;

use super::source::{Place, Segment, Slice, SourceMap, Span, resolve};

/// A line between reading and splitting.
#[derive(Debug, Clone)]
pub(super) enum Draft {
    /// As it stands in the file.
    Plain(Slice),
    /// Cut together from pieces that cover the whole text, in order.
    Edited { text: String, pieces: Vec<Piece>, fallback: Span },
}

/// A run of an edited line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) segment: Segment,
    /// A `#` or `!` that stood behind a backslash: no comment starts here.
    pub(super) protected: bool,
    /// The innermost definition that it was put in for: an index into the reader's chain of uses.
    pub(super) chain: Option<u32>,
}

impl Draft {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Plain(slice) => slice.as_str(),
            Self::Edited { text, .. } => text,
        }
    }

    /// Where a range of the text stands.
    pub(super) fn place(&self, range: Range<usize>) -> Place {
        match self {
            Self::Plain(slice) => Place { span: slice.part(range).span(), from: None },
            Self::Edited { text, pieces, fallback } => {
                let segments: Vec<Segment> = pieces.iter().map(|piece| piece.segment).collect();
                resolve(&segments, offset(text.len()), offset(range.start), offset(range.end))
                    .unwrap_or(Place { span: *fallback, from: None })
            }
        }
    }

    /// The span of a range, in a file.
    pub(super) fn span(&self, range: Range<usize>) -> Span {
        self.place(range).span
    }

    /// The piece at a position; `None` for a plain line.
    pub(super) fn piece(&self, at: usize) -> Option<&Piece> {
        let Self::Edited { pieces, .. } = self else { return None };
        pieces.get(pieces.partition_point(|piece| piece.segment.start as usize <= at).checked_sub(1)?)
    }

    /// Must a `#` or `!` at this position be left alone?
    pub(super) fn protected(&self, at: usize) -> bool {
        self.piece(at).is_some_and(|piece| piece.protected)
    }

    /// Does the text at this position stand in the file as it is?
    pub(super) fn exact(&self, at: usize) -> bool {
        self.piece(at).is_none_or(|piece| piece.segment.exact)
    }

    /// Only `range` of it.
    pub(super) fn part(&self, range: Range<usize>) -> Self {
        match self {
            Self::Plain(slice) => Self::Plain(slice.part(range)),
            Self::Edited { .. } => {
                let mut part = self.clone();
                let end = self.text().len();
                part.splice(range.end.min(end)..end, "", &[]);
                part.splice(0..range.start, "", &[]);
                part
            }
        }
    }

    /// Replaces a range by `text`, which the pieces (counted from its start) describe.
    pub(super) fn splice(&mut self, range: Range<usize>, text: &str, new: &[Piece]) {
        let (old, pieces) = self.edit();
        let (start, end) = (offset(range.start), offset(range.end));
        let length = offset(text.len());
        let before = pieces.iter().take_while(|piece| piece.segment.start < start);
        let mut result: Vec<Piece> = before.copied().collect();
        result.extend(new.iter().map(|piece| piece.moved(start)));
        for (index, piece) in pieces.iter().enumerate() {
            let piece_end = pieces.get(index + 1).map_or(offset(old.len()), |next| next.segment.start);
            if piece_end > end {
                let cut = end.saturating_sub(piece.segment.start);
                let mut rest = piece.cut(cut);
                rest.segment.start = piece.segment.start + cut - end + start + length;
                result.push(rest);
            }
        }
        *pieces = result;
        old.replace_range(range, text);
    }

    /// Marks a character as no start of a comment.
    pub(super) fn protect(&mut self, at: usize) {
        let Some(character) = self.text()[at..].chars().next() else { return };
        let end = at + character.len_utf8();
        let text = self.text()[at..end].to_owned();
        let place = self.place(at..end);
        let (exact, chain) = (self.exact(at), self.piece(at).and_then(|piece| piece.chain));
        let segment =
            Segment { start: 0, at: place.span, exact, from: place.from, from_exact: place.from.is_some() };
        self.splice(at..end, &text, &[Piece { segment, protected: true, chain }]);
    }

    /// The same line put in at another place: messages point at `at` and name this as the origin.
    pub(super) fn used_at(&self, at: Span, chain: Option<u32>) -> (String, Vec<Piece>) {
        let used = |segment: Segment, protected| Piece {
            segment: Segment {
                start: segment.start,
                at,
                exact: false,
                from: Some(segment.at),
                from_exact: segment.exact,
            },
            protected,
            chain,
        };
        match self {
            Self::Plain(slice) => {
                let segment =
                    Segment { start: 0, at: slice.span(), exact: true, from: None, from_exact: false };
                (slice.as_str().to_owned(), vec![used(segment, false)])
            }
            Self::Edited { text, pieces, .. } => {
                (text.clone(), pieces.iter().map(|piece| used(piece.segment, piece.protected)).collect())
            }
        }
    }

    /// The finished text as a slice of a source.
    pub(super) fn finish(self, sources: &mut SourceMap) -> Slice {
        match self {
            Self::Plain(slice) => slice,
            Self::Edited { text, pieces, .. } => {
                let segments = pieces.iter().map(|piece| piece.segment).collect();
                let source = sources.add_expansion(text, segments);
                let length = source.text().len();
                Slice::new(&Rc::clone(&source), 0..length)
            }
        }
    }

    fn edit(&mut self) -> (&mut String, &mut Vec<Piece>) {
        if let Self::Plain(slice) = self {
            let at = slice.span();
            let segment = Segment { start: 0, at, exact: true, from: None, from_exact: false };
            let pieces = vec![Piece { segment, protected: false, chain: None }];
            *self = Self::Edited { text: slice.as_str().to_owned(), pieces, fallback: at };
        }
        match self {
            Self::Edited { text, pieces, .. } => (text, pieces),
            Self::Plain(_) => unreachable!("a plain draft was just made an edited one"),
        }
    }
}

impl Piece {
    /// Text that was put in for what stands at `at`, and comes from `from` letter for letter or as a whole.
    pub(super) fn inserted(at: Span, from: Option<Span>, chain: Option<u32>) -> Self {
        let segment = Segment { start: 0, at, exact: false, from, from_exact: false };
        Self { segment, protected: false, chain }
    }

    fn moved(mut self, by: u32) -> Self {
        self.segment.start += by;
        self
    }

    /// Without its first `by` bytes (its start is left for the caller to set).
    fn cut(mut self, by: u32) -> Self {
        let cut = |span: &mut Span| span.start = span.start.saturating_add(by).min(span.end);
        if self.segment.exact {
            cut(&mut self.segment.at);
        }
        if self.segment.from_exact {
            self.segment.from.as_mut().map(cut);
        }
        self
    }
}

/// Lines are short: [`super::source::MAX_TEXT`] bounds them all.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_of_a_spliced_line_still_knows_its_place() {
        let mut sources = SourceMap::default();
        let file = sources.add_file("f", "priority $P tail".to_owned(), None);
        let mut draft = Draft::Plain(Slice::new(&file, 0..16));
        let at = draft.span(9..11);
        draft.splice(9..11, "12345", &[Piece::inserted(at, None, None)]);
        assert_eq!(draft.text(), "priority 12345 tail");
        assert_eq!(sources.text(draft.span(0..8)), "priority");
        assert_eq!(sources.text(draft.span(9..14)), "$P");
        assert_eq!(sources.text(draft.span(10..12)), "$P");
        assert_eq!(sources.text(draft.span(15..19)), "tail");
        draft = draft.part(9..19);
        assert_eq!(draft.text(), "12345 tail");
        assert_eq!(sources.text(draft.span(6..10)), "tail");
        draft.splice(0..5, "", &[]);
        assert_eq!(sources.text(draft.span(1..5)), "tail");
        let slice = draft.finish(&mut sources);
        assert_eq!(sources.text(sources.resolve(slice.part(1..3).span()).span), "ta");
    }
}
