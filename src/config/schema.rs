//! The keyword table machinery: one table per block parses, suggests and explains.
//!
//! A [`Keyword`] says everything about one word of the language; [`super::reader`] carries it out. Nothing else knows
//! a keyword. The columns are those of spec/global-defs.md: what stock does about a missing, bad or repeated value.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use super::reader::Reader;
use super::source::Span;
use super::syntax::{Line, Word};
use super::value::Strictness;

/// One keyword of one block. Built by [`keyword`] and the methods behind it.
#[derive(Debug, Clone, Copy)]
pub struct Keyword {
    /// As written in the file.
    pub name: &'static str,
    /// What follows it.
    pub shape: Shape,
    /// One line for `explain` and the manual.
    pub help: &'static str,
    /// The value without the keyword, for people; empty when there is none.
    pub default: &'static str,
    /// How common it is.
    pub mark: Mark,
    /// Oldest release known to have it, as `≤2.0.3`, `≤2.2.7` or `>2.2.7`.
    pub since: &'static str,
    /// Stock's answer to a missing argument.
    pub missing: Missing,
    /// Stock's answer to words behind the value.
    pub surplus: Surplus,
    /// Stock's answer to a second one in the same block.
    pub repeat: Repeat,
    /// Stock's answer to a value that cannot be used.
    pub invalid: Invalid,
    /// Is it more than parsed?
    pub effect: Effect,
    /// The keyword to write instead, for an old spelling.
    pub successor: Option<Successor>,
    /// Which of stock's processes read it; the others skip its block.
    pub readers: Readers,
    /// Takes the value over.
    pub apply: Apply,
}

/// What follows a keyword.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Nothing; arguments are ignored without a word.
    Flag,
    /// Optionally a boolean; nothing means true.
    Bool,
    /// An integer.
    Int {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
        /// Junk behind it.
        strictness: Strictness,
    },
    /// A decimal number of seconds.
    Seconds {
        /// Decimal places that are kept.
        places: u32,
        /// Smallest, in units of the last place.
        min: u64,
        /// Largest, in units of the last place.
        max: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One address; what follows `-` or `/` is cut off.
    Address,
    /// One word.
    Word,
    /// Any words; the keyword looks at them itself.
    Words,
    /// A script string, then optionally user and group.
    Script,
    /// A block of keywords.
    Block(&'static Block),
    /// A block of value lines.
    List(&'static List),
}

/// A block of keywords.
pub struct Block {
    /// Its keywords.
    pub table: &'static Table,
    /// Called with the header line before the block is entered.
    pub open: for<'a> fn(&mut Reader<'a>, Given<'a>) -> Opened,
    /// Called at its end, also at the end of the file.
    pub close: for<'a> fn(&mut Reader<'a>),
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block").field("table", &self.table.name).finish_non_exhaustive()
    }
}

/// What a block's header leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// Its lines are read.
    Enter,
    /// Its lines are skipped, nesting counted.
    Skip,
    /// The same, and the enclosing block ends there and is lost (spec/config-language.md §4).
    SkipAndLeave,
}

/// A block of value lines.
pub struct List {
    /// Called with the header line.
    pub open: for<'a> fn(&mut Reader<'a>, Given<'a>) -> Opened,
    /// Called with each line up to the closing brace.
    pub item: for<'a> fn(&mut Reader<'a>, Item<'a>),
    /// Called at its end.
    pub close: for<'a> fn(&mut Reader<'a>),
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("List")
    }
}

/// One line of a value list: never empty.
pub type Item<'a> = &'a [Word];

/// A keyword as met in the file, its value read by its shape.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// The table entry.
    pub keyword: &'static Keyword,
    /// The line.
    pub line: Line<'a>,
    /// The value.
    pub value: Value<'a>,
}

/// A value read by shape.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// Of a flag, a block, or a shape that the keyword reads itself.
    None,
    /// Of [`Shape::Bool`].
    Bool(bool),
    /// Of [`Shape::Int`].
    Int(i64),
    /// Of [`Shape::Seconds`].
    Time(Duration),
    /// Of [`Shape::Choice`], [`Shape::Word`].
    Word(&'a Word),
    /// Of [`Shape::Address`].
    Address(IpAddr),
}

impl<'a> Given<'a> {
    /// The words behind the keyword.
    pub fn arguments(&self) -> &'a [Word] {
        self.line.words.get(1..).unwrap_or(&[])
    }

    /// The n-th word behind the keyword, from 0.
    pub fn argument(&self, index: usize) -> Option<&'a Word> {
        self.arguments().get(index)
    }

    /// The keyword's own span.
    pub fn head(&self) -> Span {
        self.line.words.first().map_or_else(|| self.line.span(), Word::span)
    }

    /// What to point at when the value is wrong: the first argument, or the keyword.
    pub fn value_span(&self) -> Span {
        self.argument(0).map_or_else(|| self.head(), Word::span)
    }

    /// The boolean; true for a flag.
    pub fn bool(&self) -> bool {
        !matches!(self.value, Value::Bool(false))
    }

    /// The integer; the shape's range says what it can be.
    pub fn int(&self) -> i64 {
        if let Value::Int(number) = self.value { number } else { 0 }
    }

    /// The integer as `u32`; only for shapes within its range.
    pub fn u32(&self) -> u32 {
        u32::try_from(self.int()).unwrap_or(u32::MAX)
    }

    /// The integer as `u8`; only for shapes within its range.
    pub fn u8(&self) -> u8 {
        u8::try_from(self.int()).unwrap_or(u8::MAX)
    }

    /// The time.
    pub fn time(&self) -> Duration {
        if let Value::Time(time) = self.value { time } else { Duration::ZERO }
    }

    /// The word.
    pub fn text(&self) -> &'a str {
        if let Value::Word(word) = self.value { word } else { "" }
    }
}

/// How common a keyword is (column P of the spec).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Common in the wild.
    A,
    /// Serious deployments.
    B,
    /// Niche.
    C,
    /// Obsolete, must still parse.
    X,
}

/// Stock's answer to a missing argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// None is needed, or the keyword looks itself.
    Fine,
    /// M2: reading stops, exit 2.
    Stops,
    /// Mw: a warning, the line is ignored.
    Warns,
    /// The line is ignored without a word.
    Silent,
}

/// Stock's answer to words behind the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surplus {
    /// Not a word.
    Silent,
    /// Reported, and the line is ignored.
    Refused,
}

/// Stock's answer to a repeated keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// L: the last wins silently.
    LastWins,
    /// D: warned, the first stays. The keyword's own code looks.
    FirstWins,
    /// They add up.
    Accumulates,
}

/// Stock's answer to a value that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// Reported, the line is ignored.
    Ignored,
    /// Reported, and this value is set.
    Sets(i64),
}

/// Is a keyword more than parsed?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does what the manual says.
    Now,
    /// Its syntax is checked as stock does; what it asks for is not built yet, and a note says so.
    Later,
    /// It never has an effect, in stock neither.
    Nothing,
}

/// The keyword to write instead of an old one, and what stock says about the old one.
#[derive(Debug, Clone, Copy)]
pub struct Successor {
    /// What to write.
    pub name: &'static str,
    /// Does stock count it as an error under `-t`?
    pub warned: bool,
}

/// A set of stock's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readers(u8);

impl Readers {
    /// The parent.
    pub const PARENT: Self = Self(1);
    /// The checker process.
    pub const CHECKER: Self = Self(2);
    /// The VRRP process.
    pub const VRRP: Self = Self(4);
    /// The BFD process.
    pub const BFD: Self = Self(8);
    /// Every one that enters the enclosing block.
    pub const ALL: Self = Self(15);

    /// Both sets.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Do the sets meet?
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Takes a value over into the draft.
pub type Apply = for<'a> fn(&mut Reader<'a>, Given<'a>);

/// A keyword with the commonest properties: no default text, mark C, last one wins, bad values are ignored.
pub const fn keyword(name: &'static str, shape: Shape, help: &'static str) -> Keyword {
    Keyword {
        name,
        shape,
        help,
        default: "",
        mark: Mark::C,
        since: "≤2.2.7",
        missing: match shape {
            Shape::Flag | Shape::Bool | Shape::Words | Shape::Block(_) | Shape::List(_) => Missing::Fine,
            _ => Missing::Stops,
        },
        surplus: Surplus::Silent,
        repeat: match shape {
            Shape::List(_) | Shape::Block(_) => Repeat::Accumulates,
            _ => Repeat::LastWins,
        },
        invalid: Invalid::Ignored,
        effect: Effect::Now,
        successor: None,
        readers: Readers::ALL,
        apply: |_, _| {},
    }
}

/// A strict integer (NS).
pub const fn strict(min: i64, max: i64) -> Shape {
    Shape::Int { min, max, strictness: Strictness::Strict }
}

/// A lenient integer (NL).
pub const fn lenient(min: i64, max: i64) -> Shape {
    Shape::Int { min, max, strictness: Strictness::Lenient }
}

/// Seconds with microseconds, bounds in microseconds.
pub const fn micros(min: u64, max: u64) -> Shape {
    Shape::Seconds { places: 6, min, max }
}

/// Seconds with milliseconds, bounds in milliseconds.
pub const fn millis(min: u64, max: u64) -> Shape {
    Shape::Seconds { places: 3, min, max }
}

impl Keyword {
    /// With a default, for people.
    pub const fn default(mut self, text: &'static str) -> Self {
        self.default = text;
        self
    }

    /// With a mark.
    pub const fn mark(mut self, mark: Mark) -> Self {
        self.mark = mark;
        self
    }

    /// With the release that brought it.
    pub const fn since(mut self, release: &'static str) -> Self {
        self.since = release;
        self
    }

    /// With another answer to a missing argument.
    pub const fn missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    /// Exactly one word must follow.
    pub const fn one_word(mut self) -> Self {
        self.surplus = Surplus::Refused;
        self
    }

    /// With another answer to a repeat.
    pub const fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    /// A bad value sets this one.
    pub const fn invalid_sets(mut self, value: i64) -> Self {
        self.invalid = Invalid::Sets(value);
        self
    }

    /// Parsed only, for now.
    pub const fn later(mut self) -> Self {
        self.effect = Effect::Later;
        self
    }

    /// Without effect for ever.
    pub const fn nothing(mut self) -> Self {
        self.effect = Effect::Nothing;
        self
    }

    /// An old spelling that stock accepts without counting it.
    pub const fn old_for(mut self, name: &'static str) -> Self {
        self.successor = Some(Successor { name, warned: false });
        self.mark = Mark::X;
        self
    }

    /// An old spelling that stock reports (exit 5 under `-t`).
    pub const fn deprecated_for(mut self, name: &'static str) -> Self {
        self.successor = Some(Successor { name, warned: true });
        self.mark = Mark::X;
        self
    }

    /// Read only by these processes.
    pub const fn readers(mut self, readers: Readers) -> Self {
        self.readers = readers;
        self
    }

    /// With its action.
    pub const fn apply(mut self, apply: Apply) -> Self {
        self.apply = apply;
        self
    }
}

/// The keywords of one block.
pub struct Table {
    /// The block's name, as in `vrrp_instance`; of the top level, `the top level`.
    pub name: &'static str,
    /// Its keywords, in parts so that blocks can share some.
    pub parts: &'static [&'static [Keyword]],
    index: OnceLock<Index>,
}

type Index = HashMap<&'static str, &'static Keyword, Hash>;

/// For maps whose keys nobody chooses against us: keywords, and what the operator's own file names.
pub type Hash = BuildHasherDefault<Multiplying>;

impl Table {
    /// A table of these parts.
    pub const fn new(name: &'static str, parts: &'static [&'static [Keyword]]) -> Self {
        Self { name, parts, index: OnceLock::new() }
    }

    /// The keyword of that name.
    pub fn find(&'static self, name: &str) -> Option<&'static Keyword> {
        self.index
            .get_or_init(|| self.keywords().map(|keyword| (keyword.name, keyword)).collect())
            .get(name)
            .copied()
    }

    /// All of its keywords, in table order.
    pub fn keywords(&self) -> impl Iterator<Item = &'static Keyword> {
        self.parts.iter().flat_map(|part| part.iter())
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Table").field(&self.name).finish()
    }
}

/// Eight bytes a step: keywords are short, and looked up once per line.
#[derive(Debug, Default)]
pub struct Multiplying(u64);

impl Multiplying {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Multiplying {
    fn write(&mut self, bytes: &[u8]) {
        let (whole, rest) = bytes.as_chunks::<8>();
        for chunk in whole {
            self.add(u64::from_le_bytes(*chunk));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.add(u64::from_le_bytes(last));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.add(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.add(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.add(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.add(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }

    fn finish(&self) -> u64 {
        // The table takes the upper bits for its tags and the lower ones for places.
        self.0 ^ (self.0 >> 32)
    }
}
