//! Walks the logical lines through the keyword tables, once for each of stock's processes that reads them.
//!
//! Stock's parent, checker, VRRP and BFD process each read the whole file, and each skips the blocks of the others by
//! counting braces. Where braces are wrong they therefore disagree on what belongs to what; so we walk as often as
//! they do. Reports of the same cause at the same place are kept once. spec/config-language.md §4, §10.

use std::collections::HashMap;
use std::time::Duration;

use super::blocks::{Drafts, settings};
use super::diagnostic::{Class, Diagnostic, Diagnostics, Severity};
use super::intended::Intended;
use super::model::{HostFacts, Users};
use super::schema::{
    Block, Effect, Given, Hash, Invalid, Keyword, List, Missing, Opened, Readers, Shape, Successor, Surplus,
    Table, Value,
};
use super::source::{Files, Span};
use super::suggest::{did_you_mean, look_alikes};
use super::syntax::{Line, LineKind, LogicalLines, Word};
use super::trace::Trace;
use super::value::{self, Mode, Reading, Trouble};

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

    /// Reports a block without a name that needs one.
    pub fn missing_name(&mut self, given: Given<'_>) {
        let name = given.keyword.name;
        self.push(
            Diagnostic::error("missing-argument", given.head(), format!("`{name}` needs a name"))
                .class(Class::MissingArgument)
                .help(format!("write `{name} NAME {{`"))
                .stock("reading stops here and the daemon does not start (exit 2)"),
        );
    }

    /// Reports a block that has no name or two.
    pub fn one_name(&mut self, given: Given<'_>) {
        let name = given.keyword.name;
        let (span, what) = match given.argument(1) {
            Some(second) => (second.span(), "takes one name"),
            None => (given.head(), "needs a name"),
        };
        self.push(
            Diagnostic::error("bad-block-name", span, format!("`{name}` {what}"))
                .help(format!("write `{name} NAME {{`; a name with blanks needs double quotes"))
                .stock("skips the whole block"),
        );
    }

    /// Reports a block whose name is taken.
    pub fn repeated_block(&mut self, given: Given<'_>, name: &Word, first: Span) {
        let keyword = given.keyword.name;
        let shown = super::source::display(name).into_owned();
        self.push(
            Diagnostic::error("repeated-block", name.span(), format!("a second {keyword} `{shown}`"))
                .related(first, "the first")
                .help("give them different names, or merge the blocks")
                .stock("skips the whole second block"),
        );
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

    /// Reads the value by the keyword's shape, and reports what is wrong with it.
    pub fn value(&mut self, keyword: &'static Keyword, line: Line<'a>) -> Option<Value<'a>> {
        let word = line.words.get(1);
        match (keyword.shape, word) {
            (Shape::Bool, None) => Some(Value::Bool(true)),
            (Shape::Bool, Some(word)) => {
                if let Some(value) = value::boolean(word) {
                    Some(Value::Bool(value))
                } else {
                    self.push(
                        bad_value(keyword, word, "is neither true nor false")
                            .help("write one of true, on, yes, false, off, no (lower case)")
                            .stock("the line is ignored"),
                    );
                    None
                }
            }
            (Shape::Int { min, max, strictness }, Some(word)) => {
                let reading = value::integer(word, min, max, strictness, self.world.mode);
                self.number(keyword, word, reading, (min, max)).map(Value::Int)
            }
            (Shape::Seconds { places, min, max }, Some(word)) => {
                let unit = 10u64.pow(places);
                let reading = value::seconds(word, places, min, max);
                let number = self.time(keyword, word, reading, (min, max), unit)?;
                let micros = number.saturating_mul(1_000_000 / unit);
                Some(Value::Time(Duration::from_micros(micros)))
            }
            (Shape::Choice(choices), Some(word)) => {
                if choices.iter().any(|choice| word == *choice) {
                    return Some(Value::Word(word));
                }
                let mut report = bad_value(keyword, word, "is not known");
                report = report.stock("the line is ignored");
                if let Some(meant) = did_you_mean(word, choices.iter().copied()) {
                    report = report.help(format!("did you mean `{meant}`?"));
                }
                self.push(report.help(format!("write one of {}", choices.join(", "))));
                None
            }
            (Shape::Address, Some(word)) => {
                if let Some(address) = value::address_before_suffix(word) {
                    Some(Value::Address(address))
                } else {
                    self.push(bad_value(keyword, word, "is not an address").stock("the line is ignored"));
                    None
                }
            }
            (Shape::Word, Some(word)) => Some(Value::Word(word)),
            _ => Some(Value::None),
        }
    }

    fn number(
        &mut self,
        keyword: &'static Keyword,
        word: &Word,
        reading: Reading<i64>,
        (min, max): (i64, i64),
    ) -> Option<i64> {
        let (number, trouble) = match reading {
            Reading::Good(number) => return Some(number),
            Reading::Used(number, trouble) => (Some(number), trouble),
            Reading::Bad(trouble) => (None, trouble),
        };
        let what = match trouble {
            Trouble::Range => format!("is outside {min}..{max}"),
            Trouble::Negative => "must not be negative".to_owned(),
            _ => "is not a whole number".to_owned(),
        };
        let (number, stock) = match (number, keyword.invalid) {
            (Some(number), _) => {
                (Some(number), format!("a running daemon uses {number}; `-t` counts it as an error"))
            }
            (None, Invalid::Ignored) => (None, ignored(keyword)),
            (None, Invalid::Sets(number)) => (Some(number), format!("{} becomes {number}", keyword.name)),
        };
        let mut report = bad_value(keyword, word, &what).stock(stock);
        if trouble == Trouble::Range {
            report = report.help(format!("use a number from {min} to {max}"));
        } else {
            let digits: String = word.chars().filter(char::is_ascii_digit).collect();
            if !digits.is_empty() && digits.len() < 10 && word.starts_with(|c: char| c.is_ascii_digit()) {
                let hex = word.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let leading = match hex {
                    Some(number) => number.to_string(),
                    None => word.chars().take_while(char::is_ascii_digit).collect(),
                };
                report = report.help(format!("write `{} {leading}`", keyword.name));
            }
        }
        self.push(report);
        number
    }

    fn time(
        &mut self,
        keyword: &'static Keyword,
        word: &Word,
        reading: Reading<u64>,
        (min, max): (u64, u64),
        unit: u64,
    ) -> Option<u64> {
        let (number, trouble) = match reading {
            Reading::Good(number) => return Some(number),
            Reading::Used(number, trouble) => (Some(number), trouble),
            Reading::Bad(trouble) => (None, trouble),
        };
        let (min, max) = (decimal(min, unit), decimal(max, unit));
        let what = match trouble {
            Trouble::Range => format!("is outside {min}..{max} seconds"),
            Trouble::Negative => "must not be negative".to_owned(),
            Trouble::Places => "has more decimal places than are kept".to_owned(),
            Trouble::Unit | Trouble::Syntax => "is not a number of seconds".to_owned(),
        };
        let stock = match number {
            Some(number) => format!("reads it as {} s and uses that", decimal(number, unit)),
            None => ignored(keyword),
        };
        let mut report = bad_value(keyword, word, &what).stock(stock);
        let leading: String = word.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        report = match trouble {
            Trouble::Unit if !leading.is_empty() => {
                let seconds = in_seconds(&leading, &word[leading.len()..]);
                report.help(format!("the unit is always seconds: write `{} {seconds}`", keyword.name))
            }
            Trouble::Range => report.help(format!("use a number of seconds from {min} to {max}")),
            _ => report,
        };
        self.push(report);
        number
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

    fn missing_brace(&mut self, given: Given<'a>) {
        self.push(
            Diagnostic::error(
                "missing-brace",
                given.head(),
                format!("`{}` needs a block, but no `{{` follows", given.keyword.name),
            )
            .help(format!(
                "write `{} {{` and a `}}` behind the last line of the block",
                given.line.raw().as_str()
            ))
            .stock("reads the following lines as if the brace were there"),
        );
    }

    fn unexpected_brace(&mut self, span: Span) {
        self.push(
            Diagnostic::error("unexpected-brace", span, "`{` where no block can start")
                .help("remove it, or put a keyword that has a block before it")
                .stock("ignores the brace, but not the `}` that belongs to it"),
        );
    }

    fn surplus_brace(&mut self, span: Span) {
        self.push(
            Diagnostic::error("surplus-brace", span, "`}` without a block that it could close")
                .help("remove it, or look for a `}` too many above")
                .stock("the line is ignored"),
        );
    }

    fn old_spelling(&mut self, keyword: &Keyword, successor: Successor, head: &Word) {
        let report = Diagnostic::warning(
            "deprecated-keyword",
            head.span(),
            format!("`{}` is an old spelling of `{}`", keyword.name, successor.name),
        )
        .help(format!("write `{}`", successor.name));
        self.push(if successor.warned {
            report.stock("accepts it, but `-t` counts it as an error")
        } else {
            report.class(Class::None).stock("accepts it")
        });
    }

    /// Reports an unknown keyword and what its block, if it opens one, leads to.
    fn unknown(&mut self, table: &'static Table, line: Line<'a>, head: &'a Word) {
        let at = self.next.saturating_sub(1);
        let opens = self.opens();
        if self.intended.as_ref().is_some_and(|intended| intended.fits(at, head)) {
            // An unknown block was read as lines of this one, or has closed the one that this line belongs to.
            return;
        }
        if opens && self.intended.is_none() {
            self.intended = Some(Intended::of(self.lines, &super::blocks::TOP));
        }
        let outer = self.open.split_last().map_or(&[][..], |(_, outer)| outer);
        let top = &super::blocks::TOP;
        let belongs_outside = !self.open.is_empty()
            && (top.find(head).is_some() || outer.iter().any(|(table, _)| table.find(head).is_some()));
        let mut report = Diagnostic::error(
            "unknown-keyword",
            head.span(),
            format!("unknown keyword `{}` in {}", super::source::display(head), table.name),
        );
        if belongs_outside && let Some(&(inner, span)) = self.open.last() {
            let tables = outer.iter().map(|(table, _)| *table).rev().chain([top]);
            let mut tables = tables;
            let home = tables.find_map(|table| Some((table, table.find(head)?)));
            let home = home.filter(|(_, keyword)| !matches!(keyword.shape, Shape::Block(_) | Shape::List(_)));
            let name = head.as_str();
            report = if let Some((home, _)) = home {
                report.message = format!("`{name}` belongs into {}, not into {}", home.name, inner.name);
                match super::blocks::instead(inner, head) {
                    Some(instead) => report.help(format!("write `{instead}` here")),
                    None => report.help("move it there, or add the `}` that is missing before this line"),
                }
            } else {
                report.id = "block-not-closed";
                report.message =
                    format!("`{name}` inside `{}`: a `}}` is missing before this line", inner.name);
                report.help("close the block before this line")
            };
            report = report.related(span, "this block is open");
        } else {
            report = super::blocks::remedy(table, line, head, report);
            if let Some(blank) = look_alikes(head).iter().find(|it| it.plain == " ")
                && !std::mem::replace(&mut self.blanks_told, true)
            {
                report = report.help(format!("for all of them: {}", blank.mend_all()));
            }
        }
        let end = self.intended.as_ref().filter(|_| opens).and_then(|it| self.lines.get(it.end(at)?));
        if let Some(end) = end {
            report = report.related(end.span(), "up to here lines are misread");
        }
        report = if opens && !self.open.is_empty() {
            report.id = "unknown-block";
            report.stock("skips the line, reads the lines of its block as lines of this one, and the block's `}` closes this one")
        } else if opens {
            report.stock("skips the line and its `{`, and reads the lines of the block as lines of their own")
        } else {
            report.stock("skips the line")
        };
        self.push(report);
    }
}

/// The report for a value that cannot be used.
pub fn bad_value(keyword: &Keyword, word: &Word, what: &str) -> Diagnostic {
    let shown = super::source::display(word).into_owned();
    Diagnostic::error("bad-value", word.span(), format!("`{}`: `{shown}` {what}", keyword.name))
}

/// What stock does with most bad values.
fn ignored(keyword: &Keyword) -> String {
    if keyword.default.is_empty() {
        "the line is ignored".to_owned()
    } else {
        format!("the line is ignored; without another one it is {}", keyword.default)
    }
}

fn not_closed(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error("block-not-closed", span, format!("`{name}` is not closed before the end of the file"))
        .help("add the missing `}`")
        .stock("closes it at the end of the file and uses it")
}

/// A line that shows that the list before it was not closed.
fn swallowed(given: Given<'_>, span: Span, what: &str) -> Diagnostic {
    let name = given.keyword.name;
    let message = format!("`{what}` inside the list `{name}`: a `}}` is missing before it");
    Diagnostic::error("block-not-closed", span, message)
        .related(given.head(), "this list is not closed")
        .help(format!("close `{name}` with a `}}` before this line"))
        .stock("takes everything up to the next `}` as entries of the list")
}

/// The note at a keyword that is only parsed.
pub fn no_effect_yet(keyword: &Keyword, span: Span) -> Diagnostic {
    Diagnostic::note("no-effect-yet", span, format!("`{}` is understood but has no effect yet", keyword.name))
}

/// What a line with this keyword looks like.
pub fn argument_hint(keyword: &Keyword) -> String {
    let name = keyword.name;
    match keyword.shape {
        Shape::Int { min, max, .. } => format!("write `{name} N` with N from {min} to {max}"),
        Shape::Seconds { .. } => format!("write `{name} SECONDS`"),
        Shape::Choice(choices) => format!("write `{name} {}`", choices.join("|")),
        Shape::Address => format!("write `{name} ADDRESS`"),
        Shape::Script => format!("write `{name} \"/path/to/script argument\"`"),
        _ => format!("write `{name} VALUE`, or remove the line"),
    }
}

/// What `500ms` or `3m` was meant to be.
fn in_seconds(number: &str, unit: &str) -> String {
    let scaled = |thousandths: u64| {
        let number: u64 = number.parse().ok()?;
        Some(decimal(number.checked_mul(thousandths)?, 1000))
    };
    match unit {
        "ms" => scaled(1),
        "m" | "min" => scaled(60_000),
        "h" => scaled(3_600_000),
        _ => None,
    }
    .unwrap_or_else(|| number.to_owned())
}

/// `n / unit` as a decimal without trailing zeros.
pub fn decimal(n: u64, unit: u64) -> String {
    let (whole, rest) = (n / unit, n % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let places = unit.ilog10() as usize;
    format!("{whole}.{rest:0places$}").trim_end_matches('0').to_owned()
}
