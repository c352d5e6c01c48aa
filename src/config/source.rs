//! Files and spans: every token knows its file, line and column, also after substitution.
//!
//! A [`Source`] is the text of a file, or an *expansion*: a line as it reads after `$VAR` and the like were put in. An
//! expansion knows for each of its parts where it stands in a file ([`Segment`]), so [`SourceMap::resolve`] always
//! ends in a file. What the reader needs of the host comes through [`Files`]; nothing here opens anything.
//!
//! Text is `String`, yet a file may hold any bytes: those that are no UTF-8 are kept as private-use characters by
//! [`decode`] and come back unchanged from [`encode`] (script arguments and `auth_pass` go out as bytes).

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::ops::{Deref, Range};
use std::rc::Rc;

pub use super::files::{Files, MemoryFiles, ReadError};

/// The number of a source in its [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// A range of bytes in one source; both ends lie on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The source.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The empty span before the first byte.
    pub fn head(self) -> Self {
        Self { end: self.start, ..self }
    }

    /// From the start of this to the end of `other`, if both are of one source; otherwise this.
    pub fn to(self, other: Self) -> Self {
        if self.source == other.source {
            Self { start: self.start.min(other.start), end: self.end.max(other.end), ..self }
        } else {
            self
        }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Where a piece of an expansion comes from. All spans are spans of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// First byte in the expansion; the segment ends where the next one starts.
    pub start: u32,
    /// The place in the file that the reader of a message should look at: the text itself, or the use of a variable.
    pub at: Span,
    /// The text stands at `at` letter for letter, so that positions inside can be told.
    pub exact: bool,
    /// What was put in there: the value of the definition, the line of the multi-line definition, the loop's head.
    pub from: Option<Span>,
    /// `from` holds the text letter for letter.
    pub from_exact: bool,
}

/// What a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File {
        /// The include line that named it (span of a file); `None` for the main file.
        included_at: Option<Span>,
    },
    /// One line after substitution. Segments are in order and cover the whole text.
    Expansion(Vec<Segment>),
}

/// One file or one expansion.
#[derive(Debug)]
pub struct Source {
    id: SourceId,
    name: String,
    text: String,
    origin: Origin,
    line_starts: OnceCell<Vec<u32>>,
}

impl Source {
    /// Its number.
    pub fn id(&self) -> SourceId {
        self.id
    }

    /// The path as the user would write it; empty for an expansion.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// File or expansion.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The span of all of it.
    pub fn span(&self) -> Span {
        Span { source: self.id, start: 0, end: offset(self.text.len()) }
    }

    fn line_starts(&self) -> &[u32] {
        self.line_starts.get_or_init(|| {
            let after_newlines = self.text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
            std::iter::once(0).chain(after_newlines.map(|(at, _)| offset(at + 1))).collect()
        })
    }
}

/// A piece of a source that can be read as `&str`. Cheap to clone.
#[derive(Clone)]
pub struct Slice {
    source: Rc<Source>,
    start: u32,
    end: u32,
}

impl Slice {
    /// The bytes `range` of `source`. Ends outside the text or inside a character move to the nearest boundary before.
    pub fn new(source: &Rc<Source>, range: Range<usize>) -> Self {
        let end = boundary(&source.text, range.end);
        let start = boundary(&source.text, range.start.min(end));
        Self { source: Rc::clone(source), start: offset(start), end: offset(end) }
    }

    /// A piece of this piece, counted from its start.
    pub fn part(&self, range: Range<usize>) -> Self {
        let start = self.start as usize;
        let end = (start + range.end).min(self.end as usize);
        Self::new(&self.source, start + range.start..end)
    }

    /// Where it stands.
    pub fn span(&self) -> Span {
        Span { source: self.source.id, start: self.start, end: self.end }
    }

    /// The source it is a piece of.
    pub fn source(&self) -> &Rc<Source> {
        &self.source
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.source.text[self.span().range()]
    }
}

impl Deref for Slice {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl PartialEq<str> for Slice {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Slice {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

/// A span followed back to the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What to point at; always a span of a file.
    pub span: Span,
    /// Where the text came from, when `span` is only the use of it; a span of a file.
    pub from: Option<Span>,
}

/// A position for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location<'a> {
    /// The file's name.
    pub file: &'a str,
    /// 1-based.
    pub line: usize,
    /// In characters, 1-based.
    pub column: usize,
    /// The source line without its line end.
    pub line_text: &'a str,
    /// The offset of the line's first byte in the file.
    pub line_start: usize,
}

/// All sources of one reading.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    sources: Vec<Rc<Source>>,
}

impl SourceMap {
    /// Adds a file. `name` is what messages call it.
    pub fn add_file(&mut self, name: &str, text: String, included_at: Option<Span>) -> Rc<Source> {
        self.add(name.to_owned(), text, Origin::File { included_at })
    }

    /// Adds a line as it reads after substitution.
    pub fn add_expansion(&mut self, text: String, segments: Vec<Segment>) -> Rc<Source> {
        self.add(String::new(), text, Origin::Expansion(segments))
    }

    fn add(&mut self, name: String, text: String, origin: Origin) -> Rc<Source> {
        let id = SourceId(offset(self.sources.len()));
        let source = Rc::new(Source { id, name, text, origin, line_starts: OnceCell::new() });
        self.sources.push(Rc::clone(&source));
        source
    }

    /// The source of that number. A number of another map gives a wrong source or `None`.
    pub fn get(&self, id: SourceId) -> Option<&Rc<Source>> {
        self.sources.get(id.0 as usize)
    }

    /// All sources in the order of reading.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Source>> {
        self.sources.iter()
    }

    /// The files only, in the order of reading.
    pub fn files(&self) -> impl Iterator<Item = &Rc<Source>> {
        self.sources.iter().filter(|source| matches!(source.origin, Origin::File { .. }))
    }

    /// The text under a span; empty for a span of another map.
    pub fn text(&self, span: Span) -> &str {
        self.get(span.source).and_then(|source| source.text.get(span.range())).unwrap_or("")
    }

    /// Follows a span of an expansion back to the file; a span of a file stays.
    pub fn resolve(&self, span: Span) -> Place {
        let Some(source) = self.get(span.source) else { return Place { span, from: None } };
        match &source.origin {
            Origin::File { .. } => Place { span, from: None },
            Origin::Expansion(segments) => {
                let end = offset(source.text.len());
                resolve(segments, end, span.start, span.end).unwrap_or(Place { span, from: None })
            }
        }
    }

    /// File, line and column of a span's start, for messages.
    pub fn location(&self, span: Span) -> Option<Location<'_>> {
        let span = self.resolve(span).span;
        let source = self.get(span.source)?;
        let starts = source.line_starts();
        let line = starts.partition_point(|&start| start <= span.start);
        let line_start = *starts.get(line.checked_sub(1)?)? as usize;
        let line_end = starts.get(line).map_or(source.text.len(), |&next| next as usize - 1);
        let line_text = source.text.get(line_start..line_end)?.trim_end_matches(['\r', '\n']);
        let before = source.text.get(line_start..(span.start as usize).min(line_end))?;
        let column = before.chars().count() + 1;
        Some(Location { file: &source.name, line, column, line_text, line_start })
    }
}

/// Follows `start..end` of a text with these segments (which ends at `text_end`) back to the files.
pub(super) fn resolve(segments: &[Segment], text_end: u32, start: u32, end: u32) -> Option<Place> {
    let first = segments.partition_point(|segment| segment.start <= start).checked_sub(1)?;
    let mut place: Option<Place> = None;
    for (index, segment) in segments.iter().enumerate().skip(first) {
        if index > first && segment.start >= end {
            break;
        }
        let next = segments.get(index + 1).map_or(text_end, |next| next.start);
        let (from, to) = (start.max(segment.start) - segment.start, end.min(next).max(start) - segment.start);
        let inside = |span: Span, exact: bool| {
            let cut = |at: u32| span.start.saturating_add(at).min(span.end);
            if exact { Span { start: cut(from), end: cut(to), ..span } } else { span }
        };
        let span = inside(segment.at, segment.exact);
        let origin = segment.from.map(|span| inside(span, segment.from_exact));
        place = Some(match place {
            None => Place { span, from: origin },
            Some(place) => Place { span: place.span.to(span), from: place.from.or(origin) },
        });
    }
    place
}

/// The nearest character boundary at or before `at`.
fn boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Offsets are `u32`: [`MAX_TEXT`] keeps every text below.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The largest text of one reading, files and expansions together: 256 MiB.
pub const MAX_TEXT: usize = 256 << 20;

/// Bytes `0x80..=0xff` that are no UTF-8 become `U+F780..=U+F7FF`.
const RAW_BYTE: u32 = 0xf700;

/// Bytes of a file as text, without loss: see [`encode`]. Plain UTF-8 is not touched.
pub fn decode(bytes: Vec<u8>) -> String {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if !has_raw_bytes(&text) => return text,
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_raw_byte(character) {
                let mut buffer = [0; 4];
                character.encode_utf8(&mut buffer).bytes().for_each(|byte| push_byte(&mut text, byte));
            } else {
                text.push(character);
            }
        }
        chunk.invalid().iter().for_each(|&byte| push_byte(&mut text, byte));
    }
    text
}

/// The bytes that [`decode`] read.
pub fn encode(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(is_raw_byte) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut buffer = [0; 4];
    for character in text.chars() {
        match raw_byte(character) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

/// The text for people: bytes that are no UTF-8 become U+FFFD.
pub fn display(text: &str) -> Cow<'_, str> {
    if text.contains(is_raw_byte) {
        Cow::Owned(text.replace(is_raw_byte, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Does the text hold a stand-in of a byte that is no UTF-8? Plain ASCII is told at once.
pub fn has_raw_bytes(text: &str) -> bool {
    !text.is_ascii() && text.contains(is_raw_byte)
}

/// Is this the stand-in of a byte that is no UTF-8?
pub fn is_raw_byte(character: char) -> bool {
    raw_byte(character).is_some()
}

/// Appends a byte as [`decode`] would.
pub(super) fn push_byte(text: &mut String, byte: u8) {
    if byte.is_ascii() {
        text.push(char::from(byte));
    } else {
        text.extend(char::from_u32(RAW_BYTE + u32::from(byte)));
    }
}

fn raw_byte(character: char) -> Option<u8> {
    let byte = u32::from(character).checked_sub(RAW_BYTE)?;
    u8::try_from(byte).ok().filter(|byte| !byte.is_ascii())
}
