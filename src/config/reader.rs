//! Walks the logical lines through the keyword tables, once for each of stock's processes that reads them.
//!
//! Stock's parent, checker, VRRP and BFD process each read the whole file, and each skips the blocks of the others by
//! counting braces. Where braces are wrong they therefore disagree on what belongs to what; so we walk as often as
//! they do. Reports of the same cause at the same place are kept once. spec/config-language.md §4, §10.

mod reports;
mod values;

use std::collections::HashMap;

pub use reports::no_effect_yet;
use reports::{not_closed, swallowed};
pub use values::{argument_hint, bad_value, decimal};

use super::blocks::{Drafts, settings};
use super::diagnostic::{Class, Diagnostic, Diagnostics, Severity};
use super::intended::Intended;
use super::model::{HostFacts, Users};
use super::schema::{
    Block, Effect, Given, Hash, Keyword, List, Missing, Opened, Readers, Shape, Surplus, Table, Value,
};
use super::source::{Files, Span};
use super::syntax::{Line, LineKind, LogicalLines, Word};
use super::trace::Trace;
use super::value::Mode;

/// What the reader knows of the world.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Who asks.
    pub mode: Mode,
    /// Interfaces, host name, own identity.
    pub facts: &'a HostFacts,
    /// Users and groups.
    pub users: &'a dyn Users,
    /// Files, for scripts.
    pub files: &'a dyn Files,
}

/// One walk, and what all walks have gathered so far.
pub struct Reader<'a> {
    lines: &'a LogicalLines,
    next: usize,
    process: Readers,
    open: Vec<(&'static Table, Span)>,
    /// What the braces say by themselves; known once an unknown block was met.
    intended: Option<Intended>,
    /// The command that mends all wrong blanks was named.
    blanks_told: bool,
    /// Blocks that an earlier walk has skipped: the line behind the brace, and the line behind the block.
    skipped: HashMap<usize, usize, Hash>,
    /// A block of another process was open at the end of the file.
    unbalanced: Option<Span>,
    /// Reports of one line of a list, held back until it is clear what is wrong.
    captured: Option<Vec<Diagnostic>>,
    /// The header of the list that is being closed.
    list: Option<Span>,
    /// The end of the file was met inside a block.
    ended: bool,
    /// An argument was missing: stock reads no further.
    stopped: bool,
    /// The process that reads now has refused the configuration.
    muted: bool,
    /// Only reports are wanted.
    judges: bool,
    /// Behind this line nothing is said that holds for all blocks; without it that is not known.
    settled: Option<usize>,
    diagnostics: &'a mut Diagnostics,
    /// Notes every line, for who wants to know where values come from.
    trace: Option<&'a mut Trace>,
    /// The host.
    pub world: Surroundings<'a>,
    /// What was read.
    pub drafts: Drafts<'a>,
}

/// How the reading of a block ended.
enum End {
    /// At its brace.
    Closed,
    /// At the end of the file.
    File,
    /// By a block inside that was skipped and took it along: no end handler.
    Lost,
}

impl<'a> Reader<'a> {
    /// A reader of these lines.
    pub fn new(lines: &'a LogicalLines, world: Surroundings<'a>, diagnostics: &'a mut Diagnostics) -> Self {
        Self {
            lines,
            next: 0,
            process: Readers::PARENT,
            open: Vec::new(),
            intended: None,
            blanks_told: false,
            skipped: HashMap::default(),
            unbalanced: None,
            captured: None,
            list: None,
            ended: false,
            stopped: false,
            muted: false,
            judges: false,
            settled: None,
            diagnostics,
            trace: None,
            world,
            drafts: Drafts::default(),
        }
    }

    /// The same, noting every line.
    pub fn traced(mut self, trace: Option<&'a mut Trace>) -> Self {
        self.trace = trace;
        self
    }

    /// Tells the trace which item of the model the block with this header became.
    pub fn built(&mut self, head: Span, index: usize) {
        if let Some(trace) = self.trace.as_deref_mut() {
            trace.note_built(head, index);
        }
    }

    /// Only reports are wanted: what can be checked at once is not kept.
    pub fn judging(mut self, only: bool) -> Self {
        self.judges = only;
        self
    }

    /// Are only reports wanted?
    pub fn judges(&self) -> bool {
        self.judges
    }

    /// What is read is made into the model as soon as nothing behind it can change what holds for it.
    pub fn building(mut self, at_once: bool) -> Self {
        let is_general =
            |line: Line<'_>| line.ours || line.words.first().is_some_and(|word| word == "global_defs");
        self.settled = at_once.then(|| self.lines.behind_last(is_general));
        self
    }

    /// Is all known that holds for the block that was read last?
    pub fn is_settled(&self) -> bool {
        self.settled.is_some_and(|line| self.next >= line)
    }

    /// Reads all lines as this process of stock's.
    pub fn walk(&mut self, process: Readers, table: &'static Table) {
        self.process = process;
        self.next = 0;
        self.open.clear();
        self.ended = false;
        self.muted = false;
        while matches!(self.block(table), End::Closed) {
            let Some(at) = self.next.checked_sub(1) else { continue };
            // Its partner's block was closed by an unknown one: told with that.
            let is_consequence = self.intended.as_ref().is_some_and(|intended| intended.is_paired(at));
            if let Some(brace) = self.lines.get(at).filter(|_| !is_consequence) {
                self.surplus_brace(brace.span());
            }
        }
    }

    /// Says what only the end of all walks can tell.
    pub fn finish(&mut self) {
        if let Some(span) = self.unbalanced.take()
            && self.diagnostics.class() < Class::Other
        {
            self.push(not_closed("this block", span));
        }
    }

    /// Adds a report. Once stock has stopped reading, nothing counts for the exit code any more.
    pub fn push(&mut self, mut report: Diagnostic) {
        if self.stopped || self.muted {
            report.class = Class::None;
        }
        if let Some(captured) = self.captured.as_mut() {
            captured.push(report);
            return;
        }
        if report.class == Class::MissingArgument {
            self.stopped = true;
        }
        self.diagnostics.push(report);
    }

    /// From here on stock's process does not look any more: reports help, but do not count.
    pub fn mute(&mut self) {
        self.muted = true;
    }

    /// Has an argument been missing where stock stops?
    pub fn has_stopped(&self) -> bool {
        self.stopped
    }

    /// The header of the list that is being closed.
    pub fn list_span(&self) -> Option<Span> {
        self.list
    }

    /// The process that reads now.
    pub fn process(&self) -> Readers {
        self.process
    }

    /// The innermost open block; `None` outside any.
    pub fn block_name(&self) -> Option<&'static str> {
        self.open.last().map(|(table, _)| table.name)
    }

    /// Runs something with its reports held back: for whoever wants to look at them first.
    pub fn captured<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> (T, Vec<Diagnostic>) {
        let outer = self.captured.replace(Vec::new());
        let result = run(self);
        let reports = std::mem::replace(&mut self.captured, outer).unwrap_or_default();
        (result, reports)
    }

    /// Is this word a keyword of an open block or of the top level?
    pub fn is_keyword(&self, word: &str) -> bool {
        super::blocks::TOP.find(word).is_some()
            || self.open.iter().any(|(table, _)| table.find(word).is_some())
    }

    /// Where a later line `block name` stands.
    pub fn defined_later(&self, block: &str, name: &str) -> Option<Span> {
        self.lines.from(self.next).find_map(|line| match line.words {
            [first, second, ..] if !line.ours && *first == *block && *second == *name => Some(second.span()),
            _ => None,
        })
    }

    fn line(&mut self) -> Option<Line<'a>> {
        let line = self.lines.get(self.next)?;
        self.next += 1;
        Some(line)
    }

    fn opens(&mut self) -> bool {
        let opens = self.lines.kind(self.next) == Some(LineKind::Open);
        self.next += usize::from(opens);
        opens
    }

    fn block(&mut self, table: &'static Table) -> End {
        while let Some(line) = self.line() {
            match line.kind {
                LineKind::Open => self.unexpected_brace(line.span()),
                LineKind::Close => return End::Closed,
                LineKind::Words if line.ours => settings::read(self, table, line),
                LineKind::Words => {
                    let Some(head) = line.words.first() else { continue };
                    match table.find(head) {
                        Some(keyword) => {
                            if self.keyword(keyword, line, head) == Opened::SkipAndLeave {
                                return End::Lost;
                            }
                        }
                        None => {
                            self.unknown(table, line, head);
                        }
                    }
                }
            }
        }
        if let Some(&(table, span)) = self.open.last() {
            self.end_of_file(table.name, span);
        }
        End::File
    }

    /// Notes a setting of ours, for who wants to know where values come from.
    pub fn note(&mut self, keyword: &'static Keyword, line: Line<'a>, given: Option<Given<'a>>) {
        let number = self.next;
        if let Some(trace) = self.trace.as_deref_mut() {
            trace.begin(keyword, line, number);
            if let Some(given) = given {
                trace.value(given, false);
            }
            trace.end();
        }
    }

    fn keyword(&mut self, keyword: &'static Keyword, line: Line<'a>, head: &'a Word) -> Opened {
        if !keyword.readers.meets(self.process) {
            if matches!(keyword.shape, Shape::Block(_) | Shape::List(_)) {
                self.skip(head.span());
            }
            return Opened::Enter;
        }
        if let Some(trace) = self.trace.as_deref_mut() {
            trace.begin(keyword, line, self.next);
            let opened = self.carry_out(keyword, line, head);
            self.trace.as_deref_mut().map(Trace::end);
            return opened;
        }
        self.carry_out(keyword, line, head)
    }

    fn carry_out(&mut self, keyword: &'static Keyword, line: Line<'a>, head: &'a Word) -> Opened {
        if let Some(successor) = keyword.successor {
            self.old_spelling(keyword, successor, head);
        }
        if keyword.effect == Effect::Later {
            self.push(no_effect_yet(keyword, head.span()));
        }
        // A script string may stand behind a quote that is never closed, and then it is no word.
        let script = matches!(keyword.shape, Shape::Script) && line.raw().len() > head.len();
        if line.words.len() < 2 && !script && !self.missing(keyword, head) {
            if matches!(keyword.shape, Shape::Block(_) | Shape::List(_)) {
                self.skip(head.span());
            }
            return Opened::Enter;
        }
        if keyword.surplus == Surplus::Refused
            && let Some(extra) = line.words.get(2)
        {
            self.push(
                Diagnostic::error(
                    "surplus-words",
                    extra.span(),
                    format!("`{}` takes one word; this one is too many", keyword.name),
                )
                .help("put a value with blanks into double quotes")
                .stock("the line is ignored"),
            );
            return Opened::Enter;
        }
        self.keywords_behind(keyword, line);
        let mut given = Given { keyword, line, value: Value::None };
        match keyword.shape {
            Shape::Block(block) => return self.enter_block(block, given),
            Shape::List(list) => return self.enter_list(list, given),
            _ => {}
        }
        if let Some(value) = self.value(keyword, line) {
            given.value = value;
            let before = self.diagnostics.len();
            (keyword.apply)(self, given);
            if let Some(trace) = self.trace.as_deref_mut() {
                let mut new = self.diagnostics.iter().skip(before);
                trace.value(given, new.any(|report| report.severity == Severity::Error));
            }
        }
        Opened::Enter
    }

    /// Says that words behind the value, which stock passes over, look like a line of their own.
    fn keywords_behind(&mut self, keyword: &Keyword, line: Line<'a>) {
        let own = match keyword.shape {
            Shape::Flag => 1,
            Shape::Int { .. } | Shape::Seconds { .. } | Shape::Choice(_) | Shape::Address | Shape::Word => 2,
            Shape::Bool | Shape::Words | Shape::Script | Shape::Block(_) | Shape::List(_) => return,
        };
        let surplus = line.words.get(own..).unwrap_or_default();
        self.passed_over(keyword, surplus.iter().map(|word| (word.as_str(), word.span())));
    }

    /// Says which of the words that stock passes over is a keyword of the open block: the first of them. Is there one?
    pub fn passed_over<'w>(
        &mut self,
        keyword: &Keyword,
        mut words: impl Iterator<Item = (&'w str, Span)>,
    ) -> bool {
        let Some(&(table, _)) = self.open.last() else { return false };
        let Some((word, span)) = words.find(|(word, _)| table.find(word).is_some()) else { return false };
        let message = format!("`{word}` on the line of `{}` is passed over", keyword.name);
        self.push(
            Diagnostic::warning("keyword-behind-value", span, message)
                .class(Class::None)
                .help("put each keyword on a line of its own")
                .stock("passes over the rest of the line without a word"),
        );
        true
    }

    /// Says that an argument is missing; may the keyword go on?
    fn missing(&mut self, keyword: &Keyword, head: &Word) -> bool {
        let report = |class| {
            Diagnostic::error("missing-argument", head.span(), format!("`{}` needs a value", keyword.name))
                .class(class)
                .help(argument_hint(keyword))
        };
        match keyword.missing {
            Missing::Fine => return true,
            Missing::Silent => {}
            Missing::Warns => self.push(report(Class::Other).stock("the line is ignored")),
            Missing::Stops => self.push(report(Class::MissingArgument).stock(
                "reading stops here and the daemon does not start (exit 2); no later error of the file is shown",
            )),
        }
        false
    }

    fn enter_block(&mut self, block: &'static Block, given: Given<'a>) -> Opened {
        match (block.open)(self, given) {
            Opened::Enter => {
                if !self.opens() {
                    self.missing_brace(given);
                }
                self.open.push((block.table, given.head()));
                let end = self.block(block.table);
                self.open.pop();
                if !matches!(end, End::Lost) {
                    (block.close)(self);
                }
                Opened::Enter
            }
            skipped => {
                self.trace.as_deref_mut().map(Trace::skip);
                self.skip(given.head());
                skipped
            }
        }
    }

    fn enter_list(&mut self, list: &'static List, given: Given<'a>) -> Opened {
        let opened = (list.open)(self, given);
        if opened != Opened::Enter {
            self.trace.as_deref_mut().map(Trace::skip);
            self.skip(given.head());
            return opened;
        }
        if !self.opens() {
            self.push(
                Diagnostic::warning(
                    "missing-brace",
                    given.head(),
                    format!("`{}` needs a `{{` before its list", given.keyword.name),
                )
                .class(Class::None)
                .stock("every following line up to the next `}` is taken as an entry of the list"),
            );
        }
        // What follows a lost brace is read as entries; that is said once.
        let mut swallowing = false;
        loop {
            let Some(line) = self.line() else {
                if !swallowing {
                    self.end_of_file(given.keyword.name, given.head());
                }
                self.ended = true;
                break;
            };
            match line.kind {
                LineKind::Close => break,
                LineKind::Open if swallowing => {}
                LineKind::Open => {
                    swallowing = true;
                    self.push(swallowed(given, line.span(), "{"));
                }
                LineKind::Words if line.ours => {
                    if let Some(&(table, _)) = self.open.last() {
                        settings::read(self, table, line);
                    }
                }
                LineKind::Words => {
                    let Some(first) = line.words.first() else { continue };
                    if let Some(trace) = self.trace.as_deref_mut() {
                        trace.item(line);
                    }
                    let ((), reports) = self.captured(|reader| (list.item)(reader, line.words));
                    let bad = reports.iter().any(|report| report.class >= Class::Other);
                    let opens = self.lines.kind(self.next) == Some(LineKind::Open);
                    if !swallowing && self.is_keyword(first) && (bad || opens) {
                        swallowing = true;
                        self.push(swallowed(given, first.span(), first));
                    }
                    for report in reports {
                        if !swallowing || report.class > Class::Other {
                            self.push(report);
                        }
                    }
                }
            }
        }
        self.list = Some(given.head());
        (list.close)(self);
        self.list = None;
        Opened::Enter
    }

    /// Reports the block that the end of the file finds open: the innermost one, once.
    fn end_of_file(&mut self, name: &str, span: Span) {
        if !std::mem::replace(&mut self.ended, true) {
            self.push(not_closed(name, span));
        }
    }

    /// Skips a block if one follows, nesting counted.
    fn skip(&mut self, head: Span) {
        if !self.opens() {
            return;
        }
        let start = self.next;
        if let Some(&end) = self.skipped.get(&start) {
            self.next = end;
            return;
        }
        let mut depth = 1;
        while depth > 0 {
            let Some(line) = self.line() else {
                self.unbalanced = Some(head);
                return;
            };
            match line.kind {
                LineKind::Open => depth += 1,
                LineKind::Close => depth -= 1,
                LineKind::Words => {}
            }
        }
        self.skipped.insert(start, self.next);
    }
}
