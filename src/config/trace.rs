//! What the walks met, line by line, for those who want to know where a value comes from: `explain --effective`.
//!
//! A reader without a trace records nothing; the daemon never has one. The model itself stays without spans.

use std::collections::HashMap;

use serde_json::{Number, Value as Json};

use super::model::Config;
use super::schema::{Given, Keyword, Shape, Value};
use super::source::{Span, display};
use super::syntax::{Line, Word};

/// All lines that were keywords, in the order of their first reading.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// A block stands before what is in it.
    pub nodes: Vec<Node>,
    /// The model, also of a configuration that the daemon would refuse.
    pub config: Config,
    by_span: HashMap<Span, usize>,
    open: Vec<usize>,
    built: HashMap<Span, usize>,
}

/// A keyword in the file.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its table entry.
    pub keyword: &'static Keyword,
    /// The block it stands in, by its place in [`Trace::nodes`]; `None` at the top level.
    pub parent: Option<usize>,
    /// The number of the logical line: the order of the files.
    pub line: usize,
    /// Its line, as it reads after substitution.
    pub span: Span,
    /// Its first two words.
    heads: [Option<Span>; 2],
    /// The line as text.
    pub text: String,
    /// The words behind it.
    pub arguments: Vec<String>,
    /// The value, if it was read; `true` for a flag, the rest of the line for words and scripts.
    pub value: Option<Json>,
    /// The keyword's own code has complained about the value with an error.
    pub refused: bool,
    /// A block whose lines were not read.
    pub skipped: bool,
    /// The lines of a list.
    pub items: Vec<Item>,
}

/// A line of a list.
#[derive(Debug, Clone)]
pub struct Item {
    /// The line.
    pub span: Span,
    /// Its words, one blank between them.
    pub text: String,
}

impl Trace {
    /// What became of the block whose header has this span: its place in the list of the model that holds its kind.
    pub fn built(&self, span: Span) -> Option<usize> {
        self.built.get(&span).copied()
    }

    /// The spans by which a draft may know the block of a node: its keyword, and the word behind it.
    pub fn heads(&self, node: &Node) -> impl Iterator<Item = Span> {
        node.heads.into_iter().flatten()
    }

    /// Notes what became of a block.
    pub(super) fn note_built(&mut self, head: Span, index: usize) {
        self.built.insert(head, index);
    }

    /// A line is carried out from here to [`Self::end`]. Stock's processes read some blocks each for themselves: a
    /// line that is known already is not noted again.
    pub(super) fn begin(&mut self, keyword: &'static Keyword, line: Line<'_>, number: usize) {
        let span = line.span();
        let parent = self.open.last().copied();
        let next = self.nodes.len();
        let index = *self.by_span.entry(span).or_insert(next);
        if index == next {
            let arguments = line.words.iter().skip(1).map(|word| display(word).into_owned()).collect();
            self.nodes.push(Node {
                keyword,
                parent,
                line: number,
                span,
                heads: [0, 1].map(|at| line.words.get(at).map(Word::span)),
                text: display(line.raw().as_str()).into_owned(),
                arguments,
                value: None,
                refused: false,
                skipped: false,
                items: Vec::new(),
            });
        }
        self.open.push(index);
    }

    /// The line is done.
    pub(super) fn end(&mut self) {
        self.open.pop();
    }

    /// The value of the line was read, and its keyword's code has run.
    pub(super) fn value(&mut self, given: Given<'_>, refused: bool) {
        let Some(node) = self.open.last().and_then(|&index| self.nodes.get_mut(index)) else { return };
        node.value = Some(json(given));
        node.refused |= refused;
    }

    /// The block of the line is not read.
    pub(super) fn skip(&mut self) {
        if let Some(node) = self.open.last().and_then(|&index| self.nodes.get_mut(index)) {
            node.skipped = true;
        }
    }

    /// A line of the list that is being read.
    pub(super) fn item(&mut self, line: Line<'_>) {
        let Some(node) = self.open.last().and_then(|&index| self.nodes.get_mut(index)) else { return };
        let span = line.span();
        if node.items.iter().all(|item| item.span != span) {
            let words: Vec<_> = line.words.iter().map(|word| display(word)).collect();
            node.items.push(Item { span, text: words.join(" ") });
        }
    }
}

/// Seconds as a JSON number, whole ones without a point.
pub fn seconds(time: std::time::Duration) -> Json {
    if time.subsec_nanos() == 0 {
        return Json::from(time.as_secs());
    }
    Number::from_f64(time.as_secs_f64()).map_or(Json::Null, Json::Number)
}

fn json(given: Given<'_>) -> Json {
    let rest = || {
        let raw = given.line.raw();
        let raw = raw.as_str();
        let head = given.line.words.first().map_or(0, |head| head.len() + 2 * usize::from(head.quoted()));
        Json::from(display(raw.get(head..).unwrap_or("").trim()).into_owned())
    };
    match given.value {
        Value::Bool(value) => Json::Bool(value),
        Value::Int(number) => Json::from(number),
        Value::Time(time) => seconds(time),
        Value::Word(word) => Json::from(display(word).into_owned()),
        Value::Address(address) => Json::from(address.to_string()),
        Value::None if matches!(given.keyword.shape, Shape::Flag) => Json::Bool(true),
        Value::None => rest(),
    }
}
