//! The logical lines of one reading: what reaches the keyword lookup, stored flat.
//!
//! A large configuration has hundreds of thousands of lines of two words: they lie side by side in two vectors, and a
//! [`Line`] is a view of them. spec/config-language.md §1–§4.

use std::fmt;
use std::ops::{Deref, Range};
use std::rc::Rc;

use super::source::{Slice, Source, Span};

/// One word of a logical line, without its quotes. Reads as `&str`.
#[derive(Clone)]
pub struct Word {
    source: Rc<Source>,
    start: u32,
    /// One past the last byte; [`QUOTED`] is set if it stood in double quotes.
    end: u32,
}

/// Texts are far shorter than this: [`super::source::MAX_TEXT`].
const QUOTED: u32 = 1 << 31;

impl Word {
    /// The text under a slice; `quoted`: it stood in double quotes, and so may be empty or hold blanks.
    pub fn new(text: &Slice, quoted: bool) -> Self {
        let Span { start, end, .. } = text.span();
        Self { source: Rc::clone(text.source()), start, end: if quoted { end | QUOTED } else { end } }
    }

    /// A bare word of a source; both ends lie on character boundaries.
    pub(super) fn bare(source: &Rc<Source>, start: u32, end: u32) -> Self {
        Self { source: Rc::clone(source), start, end }
    }

    /// Where it stands, with its quotes.
    pub fn span(&self) -> Span {
        let quote = u32::from(self.quoted());
        let Range { start, end } = self.range();
        Span { source: self.source.id(), start: start - quote, end: end + quote }
    }

    /// Did it stand in double quotes?
    pub fn quoted(&self) -> bool {
        self.end & QUOTED != 0
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let Range { start, end } = self.range();
        &self.source.text()[start as usize..end as usize]
    }

    fn range(&self) -> Range<u32> {
        self.start..self.end & !QUOTED
    }
}

impl Deref for Word {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Word {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

/// What a logical line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// Words: usually a keyword and its arguments, or a value of a list. At least one word, unless the only one has an
    /// unclosed quote.
    Words,
    /// An unquoted `{`.
    Open,
    /// An unquoted `}`.
    Close,
}

/// A logical line.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Words or a brace.
    pub kind: LineKind,
    /// Its words; none for a brace.
    pub words: &'a [Word],
    /// It stood behind `@keepalived-rs`: a setting of ours, that stock does not see.
    pub ours: bool,
    /// Its words and what else belongs to it: at least one.
    all: &'a [Word],
}

impl Line<'_> {
    /// Where it stands.
    pub fn span(&self) -> Span {
        self.all[0].span().to(self.all[self.all.len() - 1].span())
    }

    /// The line as it stands after substitution, for [`super::syntax::script_words`]; the brace itself for a brace.
    pub fn raw(&self) -> Slice {
        let Span { start, end, .. } = self.span();
        Slice::new(&self.all[0].source, start as usize..end as usize)
    }
}

/// All logical lines of one reading, in order.
#[derive(Debug, Clone, Default)]
pub struct LogicalLines {
    heads: Vec<Head>,
    words: Vec<Word>,
}

/// One line: the index of its first word, above four bits of what it is.
#[derive(Debug, Clone, Copy)]
struct Head(u32);

/// The lowest bits: the [`LineKind`].
const KIND: u32 = 3;
const OURS: u32 = 4;
/// The last word belongs to the line but is not shown: a brace, or what stands behind an unclosed quote.
const HIDDEN: u32 = 8;
const BITS: u32 = 4;

impl LogicalLines {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The line of that number.
    pub fn get(&self, index: usize) -> Option<Line<'_>> {
        let head = self.heads.get(index)?;
        let end = self.heads.get(index + 1).map_or(self.words.len(), |next| next.first());
        let all = self.words.get(head.first()..end)?;
        let (_, but_last) = all.split_last()?;
        let words = if head.0 & HIDDEN == 0 { all } else { but_last };
        Some(Line { kind: head.kind(), words, ours: head.0 & OURS != 0, all })
    }

    /// The last line.
    pub(super) fn last(&self) -> Option<Line<'_>> {
        self.get(self.len().checked_sub(1)?)
    }

    /// What the line of that number is.
    pub fn kind(&self, index: usize) -> Option<LineKind> {
        self.heads.get(index).map(|head| head.kind())
    }

    /// All lines from a number on.
    pub fn from(&self, index: usize) -> impl Iterator<Item = Line<'_>> {
        (index..self.len()).filter_map(|index| self.get(index))
    }

    /// All lines.
    pub fn iter(&self) -> impl Iterator<Item = Line<'_>> {
        self.from(0)
    }

    /// The number behind the last line that is so; 0 without one.
    pub fn behind_last(&self, is_so: impl Fn(Line<'_>) -> bool) -> usize {
        (0..self.len()).rev().find(|index| self.get(*index).is_some_and(&is_so)).map_or(0, |index| index + 1)
    }

    /// How many lines and words there are, for [`Self::undo`].
    pub(super) fn mark(&self) -> (usize, usize) {
        (self.heads.len(), self.words.len())
    }

    /// A word of the line that [`Self::end`] will end.
    pub(super) fn word(&mut self, word: Word) {
        self.words.push(word);
    }

    /// Ends the line whose words came since `mark`. `rest` is what belongs to it behind its words.
    pub(super) fn end(&mut self, mark: (usize, usize), kind: LineKind, ours: bool, rest: Option<Word>) {
        let brace = kind != LineKind::Words;
        let kind = match kind {
            // Stock does not see them: they are no braces of a block, whatever they are.
            _ if ours => 0,
            LineKind::Words => 0,
            LineKind::Open => 1,
            LineKind::Close => 2,
        };
        // Words are far fewer than bytes of text, of which there are at most 2^28 (MAX_TEXT).
        let first = u32::try_from(mark.1).unwrap_or(u32::MAX) << BITS;
        let flags = if ours { OURS } else { 0 } | if rest.is_some() && !(ours && brace) { HIDDEN } else { 0 };
        self.heads.push(Head(first | flags | kind));
        self.words.extend(rest);
    }

    /// Takes back what came after the mark.
    pub(super) fn undo(&mut self, (lines, words): (usize, usize)) {
        self.heads.truncate(lines);
        self.words.truncate(words);
    }
}

impl Head {
    fn first(self) -> usize {
        (self.0 >> BITS) as usize
    }

    fn kind(self) -> LineKind {
        match self.0 & KIND {
            0 => LineKind::Words,
            1 => LineKind::Open,
            _ => LineKind::Close,
        }
    }
}
