//! include*, $VAR, ~SEQ/~LST and @conditions: physical lines -> logical lines. spec/config-language.md §1, §5–§8.
//!
//! A stack of frames gives the lines: files, the lines of multi-line definitions, loops. Each line goes through the steps
//! of §1 in `Reader::line`. Each file is read once (stock: up to four times, so one cause is reported up to four times).
//! Nothing here knows a keyword, except `include_check`, which changes how the next include is read.
//!
//! Where stock hangs, tears blocks apart or reads an include twice, this does what was meant and says so; see the
//! reports `recursive-definition`, `undefined-variable`, `include-read-twice` and `line-too-long`.

use std::sync::Arc;

use super::diagnostic::{Class, Diagnostic, Diagnostics, Severity};
use super::draft::Draft;
use super::files::{Files, MemoryFiles, ReadError};
use super::include::{Include, Included, alternatives, include_line, join, parent};
use super::loops::{self, Loop};
use super::nesting::Nesting;
use super::physical::{FileFrame, Physical, too_long};
use super::source::{MAX_TEXT, Slice, SourceMap, Span, decode, has_raw_bytes, is_raw_byte};
use super::syntax::{
    Line, LineKind, LogicalLines, Uncommented, Word, is_blank, is_space, split_braces, unclosed_quote,
    uncomment, words,
};
use super::variables::{self, Value, Variables};

pub use super::include::IncludeChecks;

/// How to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// The main file, or a pattern of main files (`-f`).
    pub main: String,
    /// What `@ID` is compared with (`-i`, else the node name up to the first dot).
    pub config_id: String,
    /// The checks that every include makes (`-e` sets all).
    pub include_checks: IncludeChecks,
    /// Seed of `${_RANDOM}`: same seed, same configuration.
    pub random_seed: u64,
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    /// The logical lines in order.
    pub lines: LogicalLines,
    /// The texts that the spans point into.
    pub sources: SourceMap,
    /// At least one main file could be read and no include check failed. Otherwise the daemon exits with 6, while `-t`
    /// goes by the exit code of the diagnostics.
    pub configured: bool,
}

/// `@ID` of the lines that are ours and that stock skips.
pub const OUR_ID: &str = "keepalived-rs";

/// Lines of one reading that loops and multi-line definitions put in; beyond, reading stops.
const MAX_LINES: usize = 1_000_000;
/// Files open inside each other. Stock goes on to the limit of open files.
const MAX_DEPTH: usize = 64;
/// Files of one reading.
const MAX_FILES: usize = 10_000;

/// Reads the configuration, each file once.
pub fn read(files: &dyn Files, options: &ReadOptions, diagnostics: &mut Diagnostics) -> Lines {
    let mut reader = Reader {
        files,
        options,
        diagnostics,
        variables: Variables::new(files, &options.config_id, options.random_seed),
        result: Lines::default(),
        frames: Vec::new(),
        definition: None,
        nesting: Nesting::new(options.include_checks),
        text: 0,
        lines: 0,
        files_read: 0,
    };
    reader.main();
    let include_failed = reader.diagnostics.class() == Class::Include;
    let mut lines = reader.result;
    lines.configured &= !include_failed;
    lines
}

/// Reads one text as a main file named `keepalived.conf`, with the config id `node`: for tests and tools.
pub fn read_text(text: impl AsRef<[u8]>) -> (Lines, Diagnostics) {
    let files = MemoryFiles::new().file("keepalived.conf", text);
    let options = ReadOptions {
        main: "keepalived.conf".to_owned(),
        config_id: "node".to_owned(),
        include_checks: IncludeChecks::NONE,
        random_seed: 0,
    };
    let mut diagnostics = Diagnostics::new();
    let lines = read(&files, &options, &mut diagnostics);
    (lines, diagnostics)
}

struct Reader<'a> {
    files: &'a dyn Files,
    options: &'a ReadOptions,
    diagnostics: &'a mut Diagnostics,
    variables: Variables<'a>,
    result: Lines,
    frames: Vec<Frame>,
    /// The multi-line definition that is being read.
    definition: Option<(String, Vec<Draft>)>,
    nesting: Nesting,
    /// Bytes of text so far, expansions included.
    text: usize,
    /// Lines so far that loops and multi-line definitions put in.
    lines: usize,
    files_read: usize,
}

/// Where the next line comes from.
enum Frame {
    File(FileFrame),
    /// Files that an include named and that are still to be read.
    Files {
        waiting: std::vec::IntoIter<Included>,
        at: Span,
        /// The number of logical lines before the include, when stock would read it twice.
        twice: Option<usize>,
        ours: bool,
    },
    Stored {
        number: u32,
        lines: Arc<[Draft]>,
        next: usize,
        at: Span,
        ours: bool,
    },
    Loop {
        rounds: Loop,
        text: Draft,
        head: Span,
        ours: bool,
    },
}

/// What a line is, besides its text.
#[derive(Clone, Copy)]
struct Context {
    /// It stands in a file as it is, so stock's children find an include in it only once.
    direct: bool,
    ours: bool,
}

impl Reader<'_> {
    fn main(&mut self) {
        let mut paths = Vec::new();
        for pattern in alternatives(&self.options.main).unwrap_or_default() {
            paths.extend(self.files.glob(&pattern));
        }
        let missing = format!("the configuration file {} does not exist", self.options.main);
        if paths.is_empty() {
            self.unplaced(Severity::Error, Class::None, "no-configuration-file", missing);
            return;
        }
        if let [first, second, ..] = paths.as_slice() {
            let message = format!(
                "{} configuration files match {}: {first}, {second}{}",
                paths.len(),
                self.options.main,
                if paths.len() > 2 { ", …" } else { "" },
            );
            self.unplaced(Severity::Warning, Class::Other, "several-configuration-files", message);
        }
        for path in paths {
            match self.files.read(&path) {
                Ok(bytes) => {
                    self.result.configured = true;
                    self.open(&path, bytes, None, false);
                    self.run();
                }
                Err(error) => {
                    let class = if error == ReadError::Denied { Class::File } else { Class::None };
                    let message = format!("cannot read the configuration file {path}: {error}");
                    self.unplaced(Severity::Error, class, "unreadable-configuration-file", message);
                }
            }
        }
    }

    fn unplaced(&mut self, severity: Severity, class: Class, id: &'static str, message: String) {
        self.diagnostics.push(Diagnostic::new(severity, class, id, None, message));
    }

    fn open(&mut self, path: &str, bytes: Vec<u8>, at: Option<Span>, ours: bool) {
        self.text += bytes.len();
        self.files_read += 1;
        let source = self.result.sources.add_file(path, decode(bytes), at);
        let text = source.text();
        if text.starts_with('\u{feff}') {
            let span = Slice::new(&source, 0..3).span();
            self.diagnostics.push(
                Diagnostic::error("byte-order-mark", span, "the file begins with a byte order mark")
                    .label("three invisible bytes")
                    .help(format!("save it as UTF-8 without BOM, or: sed -i '1s/^\\xef\\xbb\\xbf//' {path}"))
                    .stock("takes the mark for a part of the first word, which thereby is unknown"),
            );
        }
        let has_raw_bytes = has_raw_bytes(text);
        if has_raw_bytes && let Some((at, bad)) = text.char_indices().find(|&(_, c)| is_raw_byte(c)) {
            let span = Slice::new(&source, at..at + bad.len_utf8()).span();
            self.diagnostics.push(
                Diagnostic::note("not-utf-8", span, "the file is not UTF-8 from here on")
                    .help("bytes are taken as they are; messages show them as \u{fffd}"),
            );
        }
        self.frames.push(Frame::File(FileFrame {
            has_nul: text.contains('\0'),
            has_raw_bytes,
            source,
            next: 0,
            directory: parent(path).to_owned(),
            key: self.key(path),
            checks: self.nesting.checks,
            ours,
        }));
    }

    fn key(&self, path: &str) -> String {
        join(&self.files.directory(parent(path)), path.rsplit('/').next().unwrap_or(path))
    }

    /// Reads until all frames are done.
    fn run(&mut self) {
        while let Some(frame) = self.frames.last_mut() {
            match frame {
                Frame::File(file) => {
                    if self.definition.is_none() {
                        file.plain(&mut self.result.lines, &mut self.nesting);
                    }
                    let Some(line) = file.line() else {
                        self.close();
                        continue;
                    };
                    let (ours, has_nul) = (file.ours, file.has_nul);
                    self.physical(&line, has_nul, ours);
                }
                Frame::Files { waiting, at, twice, ours } => {
                    let (at, ours) = (*at, *ours);
                    if let Some(file) = waiting.next() {
                        self.open_included(file, at, ours);
                    } else {
                        let twice = *twice;
                        self.frames.pop();
                        self.report_twice(at, twice);
                    }
                }
                Frame::Stored { lines, next, at, ours, .. } => {
                    let Some(line) = lines.get(*next) else {
                        self.frames.pop();
                        continue;
                    };
                    *next += 1;
                    let (text, pieces) = line.used_at(*at, None);
                    let draft = Draft::Edited { text, pieces, fallback: *at };
                    let context = Context { direct: false, ours: *ours };
                    self.line(draft, context);
                }
                Frame::Loop { rounds, text, head, ours } => {
                    let Some(values) = rounds.round() else {
                        self.frames.pop();
                        continue;
                    };
                    for (name, value) in values {
                        self.variables.define(&name, Value::Loop(value, *head));
                    }
                    let (draft, context) = (text.clone(), Context { direct: false, ours: *ours });
                    self.line(draft, context);
                }
            }
            if self.lines > MAX_LINES || self.text > MAX_TEXT {
                self.give_up();
            }
        }
    }

    fn give_up(&mut self) {
        let at = self.frames.iter().rev().find_map(|frame| match frame {
            Frame::File(file) => Some(Slice::new(&file.source, file.next..file.next).span()),
            _ => None,
        });
        let message = format!(
            "loops and definitions give more than {MAX_LINES} lines, or all text together more than {} MiB; reading stops",
            MAX_TEXT >> 20
        );
        self.diagnostics.push(Diagnostic::new(Severity::Error, Class::Other, "too-much-text", at, message));
        self.frames.clear();
        self.definition = None;
        (self.lines, self.text) = (0, 0);
    }

    /// The end of a file.
    fn close(&mut self) {
        if let Some((name, lines)) = self.definition.take() {
            self.variables.define(&name, Value::Lines(lines.into()));
        }
        let Some(Frame::File(file)) = self.frames.pop() else { return };
        self.nesting.checks = file.checks;
    }

    /// An include that stock reads twice (spec, trap 23): here once, with what stock's exit code would be.
    fn report_twice(&mut self, at: Span, lines_before: Option<usize>) {
        let Some(before) = lines_before else { return };
        let named = ["vrrp_instance", "vrrp_sync_group", "track_group"];
        let defined = |line: Line<'_>| line.words.first().is_some_and(|word| named.contains(&word.as_str()));
        let hurts = self.result.lines.from(before).any(defined);
        let message = "this include does not begin its line in the file";
        let report = Diagnostic::warning("include-read-twice", at, message)
            .class(if hurts { Class::Other } else { Class::None })
            .help("it is read once here; for stock, let the line begin with the include word")
            .stock("reads the file twice, so that names in it are already defined the second time");
        self.diagnostics.push(report);
    }

    /// One line of a file: the steps before the text is looked at.
    fn physical(&mut self, line: &Physical, has_nul: bool, ours: bool) {
        let slice = &line.text;
        if let Some(span) = line.too_long {
            self.diagnostics.push(too_long(span, slice));
            if slice.is_empty() {
                return;
            }
        }
        if has_nul && slice.contains('\0') {
            self.diagnostics.push(
                Diagnostic::error(
                    "embedded-nul",
                    slice.span(),
                    "the line contains a NUL byte and is ignored",
                )
                .help("is this a text file? UTF-16 has such bytes: save it as UTF-8"),
            );
            return;
        }
        let Uncommented { kept, dropped, unclosed } = uncomment(slice, |_| false);
        if kept.is_empty() && self.definition.is_none() {
            return;
        }
        if let Some(at) = unclosed {
            self.diagnostics.push(unclosed_quote(slice.part(at..at + 1).span()));
        }
        let (start, end) = (kept.start, kept.end);
        let mut draft = Draft::Plain(slice.part(kept));
        for range in dropped.into_iter().rev() {
            let at = range.start - start;
            draft.splice(at..range.end - start, "", &[]);
            if slice[range.end..end].starts_with(['#', '!']) {
                draft.protect(at);
            }
        }
        self.line(draft, Context { direct: true, ours });
    }

    /// A line without comment: every further step of spec §1.
    fn line(&mut self, mut draft: Draft, mut context: Context) {
        self.lines += usize::from(!context.direct);
        if let Draft::Edited { text, .. } = &draft {
            self.text += text.len();
        }
        if let Some((name, mut lines)) = self.definition.take() {
            if continued(&mut draft) {
                lines.push(draft);
                self.definition = Some((name, lines));
            } else {
                if !draft.text().is_empty() {
                    lines.push(draft);
                }
                self.variables.define(&name, Value::Lines(lines.into()));
            }
            return;
        }
        if draft.text().starts_with('@') && !self.condition(&mut draft, &mut context) {
            return;
        }
        if let Some((name, value)) = variables::definition(draft.text()) {
            let name = name.to_owned();
            let mut value = draft.part(value..draft.text().len());
            if continued(&mut value) {
                let first = Some(value).filter(|value| !value.text().is_empty());
                self.definition = Some((name, first.into_iter().collect()));
            } else {
                self.variables.define(&name, Value::Simple(value));
            }
            return;
        }
        if let Some(head) = loops::head(draft.text()) {
            self.start_loop(&draft, head, context);
            return;
        }
        let mut loose_braces = Vec::new();
        if draft.text().contains('$') {
            let (directory, _) = self.place();
            let (directory, frames) = (directory.to_owned(), &self.frames);
            let active = |number| {
                frames
                    .iter()
                    .any(|frame| matches!(frame, Frame::Stored { number: known, .. } if *known == number))
            };
            let done = self.variables.substitute(&mut draft, &directory, &active, self.diagnostics);
            if let Some(used) = done.lines {
                let next = usize::from(!used.alone);
                self.frames.push(Frame::Stored {
                    number: used.number,
                    lines: used.lines,
                    next,
                    at: used.at,
                    ours: context.ours,
                });
                if used.alone {
                    return;
                }
            }
            if done.nothing_else {
                return;
            }
            loose_braces = done.loose_braces;
            self.uncomment_again(&mut draft, &mut loose_braces);
        }
        if let Some((checks, pattern)) = include_line(draft.text()) {
            self.include(&draft, checks, pattern, context);
            return;
        }
        self.emit(draft, &loose_braces, context);
    }

    /// `@ID` and `@^ID`: is the line kept? The prefix is cut off.
    fn condition(&mut self, draft: &mut Draft, context: &mut Context) -> bool {
        let text = draft.text();
        let end = text.find(is_space).unwrap_or(text.len());
        let rest = end + (text.len() - end - text[end..].trim_start_matches(is_space).len());
        let id = &text[1..end];
        let kept = match id.strip_prefix('^') {
            Some("") => false,
            Some(id) => id != self.options.config_id,
            None if id == OUR_ID => {
                context.ours = true;
                true
            }
            None => !id.is_empty() && id == self.options.config_id,
        };
        if !kept || rest == text.len() {
            return false;
        }
        context.direct = false;
        *draft = draft.part(rest..text.len());
        true
    }

    fn start_loop(&mut self, draft: &Draft, head: Result<loops::Head, &'static str>, context: Context) {
        let text = draft.text();
        let wrong = |reason: &str, range: std::ops::Range<usize>, reader: &mut Self| {
            let word = &text[..text.find(['(', ' ', '\t']).unwrap_or(text.len())];
            let form = if word == "~LST" {
                "write `~LST(NAME, VALUE, …) text` or `~LST({NAME, …}, {VALUE, …}, …) text`".to_owned()
            } else {
                format!(
                    "write `{word}(NAME, END) text`, `{word}(NAME, START, END) text` or `{word}(NAME, START, STEP, END) text`"
                )
            };
            let message = format!("`{word}`: {reason}; the line is ignored");
            reader.diagnostics.push(Diagnostic::error("invalid-loop", draft.span(range), message).help(form));
        };
        let head = match head {
            Ok(head) => head,
            Err(reason) => return wrong(reason, 0..text.len(), self),
        };
        let mut parameters = draft.part(head.parameters.clone());
        if parameters.text().contains('$') {
            let directory = self.place().0.to_owned();
            self.variables.substitute(&mut parameters, &directory, &|_| false, self.diagnostics);
        }
        let rounds = match loops::parse(head.word, parameters.text()) {
            Ok(rounds) => rounds,
            Err(reason) => return wrong(&reason, 0..head.text, self),
        };
        let skipped = text[head.text..].len() - text[head.text..].trim_start_matches(is_blank).len();
        let body = draft.part(head.text + skipped..text.len());
        let head = draft.span(0..head.text);
        self.frames.push(Frame::Loop { rounds, text: body, head, ours: context.ours });
    }

    /// Comments that came with a substitution. Positions of loose braces move along.
    fn uncomment_again(&mut self, draft: &mut Draft, loose_braces: &mut [usize]) {
        let Draft::Edited { text, .. } = &*draft else { return };
        let Uncommented { kept, dropped, unclosed } = uncomment(text, |at| draft.protected(at));
        if let Some(at) = unclosed {
            let report = unclosed_quote(draft.span(at..at + 1));
            self.diagnostics.push(report);
        }
        let start = kept.start;
        *draft = draft.part(kept);
        for range in dropped.into_iter().rev() {
            draft.splice(range.start - start..range.end - start, "", &[]);
            let length = range.len();
            loose_braces.iter_mut().filter(|at| **at >= range.end).for_each(|at| *at -= length);
        }
        for at in loose_braces.iter_mut() {
            *at = at.saturating_sub(start);
        }
    }

    fn include(&mut self, draft: &Draft, checks: IncludeChecks, pattern: usize, context: Context) {
        let at = draft.span(pattern..draft.text().len());
        let directory = self.place().0.to_owned();
        let include = Include {
            pattern: &draft.text()[pattern..],
            directory: &directory,
            at,
            checks: (checks, self.nesting.checks),
        };
        let included = include.read(self.files, self.diagnostics);
        let twice = (!context.direct || !draft.exact(0)).then_some(self.result.lines.len());
        if !included.is_empty() {
            let waiting = included.into_iter();
            self.frames.push(Frame::Files { waiting, at, twice, ours: context.ours });
        }
    }

    fn open_included(&mut self, file: Included, at: Span, ours: bool) {
        let key = self.key(&file.path);
        let open = self.frames.iter().any(|frame| matches!(frame, Frame::File(open) if open.key == key));
        if open || self.place().1 >= MAX_DEPTH {
            let message = if open {
                format!("{} includes itself", file.path)
            } else {
                format!("{} is included {MAX_DEPTH} files deep", file.path)
            };
            self.diagnostics.push(
                Diagnostic::error("include-recursive", at, message)
                    .label("not read again")
                    .stock("goes on until no more files can be opened, then reads all the copies"),
            );
        } else if self.files_read >= MAX_FILES {
            let message = format!("more than {MAX_FILES} files are included; the rest is not read");
            self.diagnostics.push(Diagnostic::error("include-too-many", at, message));
        } else {
            self.open(&file.path, file.bytes, Some(at), ours);
        }
    }

    /// The directory of the file being read, and how many files are open.
    fn place(&self) -> (&str, usize) {
        let mut files = self.frames.iter().rev().filter_map(|frame| match frame {
            Frame::File(file) => Some(file.directory.as_str()),
            _ => None,
        });
        let innermost = files.next();
        (innermost.unwrap_or(""), files.count() + usize::from(innermost.is_some()))
    }

    /// Splits at braces and into words.
    fn emit(&mut self, draft: Draft, loose_braces: &[usize], context: Context) {
        if draft.text().is_empty() {
            return;
        }
        let line = draft.finish(&mut self.result.sources);
        for (kind, range) in split_braces(&line, loose_braces) {
            let raw = line.part(range);
            let lines = &mut self.result.lines;
            let mark = lines.mark();
            let (words, unclosed) = match kind {
                LineKind::Words => words(&raw),
                LineKind::Open | LineKind::Close => (Vec::new(), None),
            };
            let rest = match (kind, unclosed) {
                (LineKind::Words, None) => None,
                (LineKind::Words, Some(at)) => Some(Word::new(&raw.part(at..raw.len()), false)),
                (LineKind::Open | LineKind::Close, _) => Some(Word::new(&raw, false)),
            };
            for word in words {
                lines.word(word);
            }
            lines.end(mark, kind, context.ours, rest);
            if let Some(line) = lines.last() {
                self.nesting.note(line);
            }
            if let Some(at) = unclosed {
                let span = self.result.sources.resolve(raw.part(at..at + 1).span()).span;
                self.diagnostics.push(unclosed_quote(span));
            }
        }
    }
}

/// Does the line end in a backslash, and so go on? The backslash and the blanks before it are cut off.
fn continued(draft: &mut Draft) -> bool {
    let Some(before) = draft.text().strip_suffix('\\') else { return false };
    let length = before.trim_end_matches(is_blank).len();
    *draft = draft.part(0..length);
    true
}
