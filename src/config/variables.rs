//! `$NAME=VALUE` and its uses (spec/config-language.md §7).
//!
//! A value that refers to itself, which hangs stock, is reported and left as it is.

use std::collections::HashMap;
use std::sync::Arc;

use super::diagnostic::{Class, Diagnostic, Diagnostics};
use super::draft::{Draft, Piece};
use super::files::Files;
use super::source::Span;
use super::suggest::did_you_mean;
use super::syntax::is_space;

/// Text bytes of a line: stock's buffer of 1024 less line end and terminator.
pub(super) const MAX_LINE: usize = 1022;

/// Replacements in one line: far above what fits, it only ends what the chain check cannot see.
const MAX_REPLACEMENTS: usize = 10_000;

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    /// Unique: a redefinition is another definition.
    pub(super) number: u32,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// The rest of the line.
    Simple(Draft),
    /// Stored lines, used only at the end of a line.
    Lines(Arc<[Draft]>),
    /// The current value of a loop, and the loop's head.
    Loop(String, Span),
}

/// All definitions so far, and what the predefined names need.
pub(super) struct Variables<'a> {
    names: HashMap<String, Definition>,
    next: u32,
    files: &'a dyn Files,
    config_id: &'a str,
    random: u64,
    /// Names that may still be compared for did-you-mean: keeps a file of undefined names linear.
    comparisons: usize,
}

/// What a substitution found at the end of its line: the lines of a multi-line definition.
pub(super) struct LinesUse {
    pub(super) number: u32,
    pub(super) lines: Arc<[Draft]>,
    pub(super) at: Span,
    /// Nothing stands before it; else the first stored line is already put in.
    pub(super) alone: bool,
}

/// The outcome of a substitution.
#[derive(Default)]
pub(super) struct Substituted {
    pub(super) lines: Option<LinesUse>,
    /// Positions of braces that belong to a use of something undefined: they open and close no block.
    pub(super) loose_braces: Vec<usize>,
    /// The whole line is a use of a definition that leads back to itself.
    pub(super) nothing_else: bool,
}

/// A use of a variable in a text.
struct Use<'t> {
    start: usize,
    end: usize,
    name: &'t str,
    /// What stands behind the name in `${NAME ARGUMENTS}`.
    arguments: &'t str,
    braced: bool,
}

/// How a use is answered.
enum Answer {
    Text(String, Vec<Piece>),
    Lines(u32, Arc<[Draft]>),
    Leave,
    Undefined,
}

impl<'a> Variables<'a> {
    pub(super) fn new(files: &'a dyn Files, config_id: &'a str, seed: u64) -> Self {
        Self { names: HashMap::new(), next: 0, files, config_id, random: seed, comparisons: 200_000 }
    }

    pub(super) fn define(&mut self, name: &str, value: Value) {
        let definition = Definition { number: self.next, value };
        self.next = self.next.wrapping_add(1);
        match self.names.get_mut(name) {
            Some(known) => *known = definition,
            None => {
                self.names.insert(name.to_owned(), definition);
            }
        }
    }

    /// Replaces every use, until nothing changes. `directory` is the file's, `active` tells whether the lines of a
    /// multi-line definition are just being read.
    pub(super) fn substitute(
        &mut self,
        draft: &mut Draft,
        directory: &str,
        active: &dyn Fn(u32) -> bool,
        diagnostics: &mut Diagnostics,
    ) -> Substituted {
        let mut result = Substituted::default();
        let mut chain: Vec<(u32, Option<u32>)> = Vec::new();
        let mut left = MAX_REPLACEMENTS;
        let mut changed = draft.text().contains('$');
        while std::mem::take(&mut changed) {
            let mut from = 0;
            result.loose_braces.clear();
            while let Some(found) = next_use(draft.text(), from) {
                let (start, end, braced) = (found.start, found.end, found.braced);
                let at = draft.span(start..end);
                let parent = draft.piece(start).and_then(|piece| piece.chain);
                let in_chain = |number: u32| {
                    let mut link = parent;
                    while let Some((known, next)) = link.and_then(|link| chain.get(link as usize)) {
                        if *known == number {
                            return true;
                        }
                        link = *next;
                    }
                    false
                };
                let name = draft.text()[start..end].to_owned();
                let number = self.names.get(found.name).map(|definition| definition.number);
                if number.is_some_and(|number| in_chain(number) || active(number)) || left == 0 {
                    diagnostics.push(recursive(&name, at, draft.place(start..end).from));
                    if braced {
                        loosen(draft.text(), start..end, &mut result.loose_braces);
                    }
                    result.nothing_else |= start == 0 && end == draft.text().len();
                    from = end;
                    continue;
                }
                let link = u32::try_from(chain.len()).ok();
                match self.answer(&found, at, link, directory, diagnostics) {
                    Answer::Text(text, pieces) => {
                        if draft.text().len() - (end - start) + text.len() > MAX_LINE {
                            diagnostics.push(too_long(&name, at));
                            return result;
                        }
                        chain.extend(number.map(|number| (number, parent)));
                        draft.splice(start..end, &text, &pieces);
                        from = start + text.len();
                        left = left.saturating_sub(1);
                        changed = true;
                    }
                    Answer::Lines(number, lines) => {
                        if end < draft.text().len() || result.lines.is_some() {
                            from = end;
                            continue;
                        }
                        let alone = start == 0;
                        let first = lines.first().filter(|_| !alone);
                        let (text, pieces) =
                            first.map_or_else(Default::default, |line| line.used_at(at, link));
                        if start + text.len() > MAX_LINE {
                            diagnostics.push(too_long(&name, at));
                            return result;
                        }
                        chain.push((number, parent));
                        draft.splice(start..end, &text, &pieces);
                        result.lines = Some(LinesUse { number, lines, at, alone });
                        from = draft.text().len();
                        left = left.saturating_sub(1);
                        changed = true;
                    }
                    Answer::Leave => {
                        if braced {
                            loosen(draft.text(), start..end, &mut result.loose_braces);
                        }
                        from = end;
                    }
                    Answer::Undefined => {
                        self.report_undefined(draft, start..end, at, diagnostics);
                        if braced {
                            loosen(draft.text(), start..end, &mut result.loose_braces);
                        }
                        from = end;
                    }
                }
            }
        }
        result
    }

    fn answer(
        &mut self,
        found: &Use<'_>,
        at: Span,
        link: Option<u32>,
        directory: &str,
        diagnostics: &mut Diagnostics,
    ) -> Answer {
        let plain = |text: String| Answer::Text(text, vec![Piece::inserted(at, None, None)]);
        if found.arguments.is_empty() {
            match self.names.get(found.name).map(|definition| (definition.number, &definition.value)) {
                Some((_, Value::Simple(value))) => {
                    let (text, pieces) = value.used_at(at, link);
                    return Answer::Text(text, pieces);
                }
                Some((_, Value::Loop(value, head))) => {
                    return Answer::Text(value.clone(), vec![Piece::inserted(at, Some(*head), link)]);
                }
                Some((number, Value::Lines(lines))) => return Answer::Lines(number, Arc::clone(lines)),
                None => {}
            }
        }
        let arguments: Vec<&str> = found.arguments.split(is_space).filter(|word| !word.is_empty()).collect();
        match (found.name, arguments.as_slice()) {
            ("_PWD", []) => plain(self.files.directory(directory)),
            ("_INSTANCE", []) => plain(self.config_id.to_owned()),
            ("_HASH", []) => plain("#".to_owned()),
            ("_BANG", []) => plain("!".to_owned()),
            ("_ENV", [name]) => plain(self.files.variable(name).unwrap_or_default()),
            ("_RANDOM", arguments) => match self.random(arguments, at, diagnostics) {
                Some(number) => plain(number.to_string()),
                None => Answer::Leave,
            },
            _ => Answer::Undefined,
        }
    }

    /// `${_RANDOM [MIN [MAX]]}`.
    fn random(&mut self, arguments: &[&str], at: Span, diagnostics: &mut Diagnostics) -> Option<u32> {
        let numbers: Option<Vec<u32>> = arguments.iter().map(|word| word.parse().ok()).collect();
        let (min, max) = match numbers.as_deref() {
            Some([]) => (0, 32767),
            Some(&[min]) => (min, 32767),
            Some(&[min, max]) => (min, max),
            _ => {
                let message = "`${_RANDOM}` takes at most two numbers: the smallest and the largest value";
                diagnostics.push(
                    Diagnostic::error("invalid-random", at, message)
                        .help("write `${_RANDOM MIN MAX}`, for instance `${_RANDOM 1 254}`"),
                );
                return None;
            }
        };
        if min > max {
            let message = format!("`${{_RANDOM}}`: the smallest value {min} is above the largest, {max}");
            diagnostics.push(
                Diagnostic::warning("invalid-random", at, message)
                    .stock(format!("{min} is used; the exit code of -t is 5")),
            );
            return Some(min);
        }
        // splitmix64: every seed, 0 included, gives a usable sequence.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let range = u64::from(max - min) + 1;
        u32::try_from(mixed % range).ok().map(|number| min + number)
    }

    fn report_undefined(
        &mut self,
        draft: &Draft,
        range: std::ops::Range<usize>,
        at: Span,
        diagnostics: &mut Diagnostics,
    ) {
        let written = &draft.text()[range.clone()];
        let braced = written.starts_with("${");
        let name = written.trim_start_matches(['$', '{']).trim_end_matches('}');
        let affordable = self.comparisons.checked_sub(self.names.len() + PREDEFINED.len());
        self.comparisons = affordable.unwrap_or(0);
        let known = self.names.keys().take(affordable.map_or(0, |_| usize::MAX));
        let names = known.map(String::as_str).chain(PREDEFINED.iter().copied());
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        let trimmed = name.trim_matches(is_space);
        let meant = names.iter().find(|&&known| known == trimmed && trimmed != name).copied();
        let meant = meant.or_else(|| did_you_mean(trimmed, names.iter().copied()));
        // `$1`, `$HOME` in a script and the like are nobody's variables; a brace outside quotes always hurts.
        let hurts = braced && draft.text()[..range.start].matches('"').count().is_multiple_of(2);
        if !hurts && meant.is_none() {
            return;
        }
        let message = format!("`{written}` stands for nothing: `{trimmed}` is not defined here");
        let mut report = Diagnostic::warning("undefined-variable", at, message).label("not defined");
        report = report.class(if hurts { Class::Other } else { Class::None });
        report = match meant {
            Some(meant) if braced => report.help(format!("did you mean `${{{meant}}}`?")),
            Some(meant) => report.help(format!("did you mean `${meant}`?")),
            None => report.help(format!("define it before this line: `${trimmed}=…`")),
        };
        let stock = if hurts {
            "the text stays, its braces are taken for block braces and tear the block apart"
        } else {
            "the text stays as it is"
        };
        diagnostics.push(report.stock(stock));
    }
}

const PREDEFINED: [&str; 6] = ["_PWD", "_INSTANCE", "_RANDOM", "_ENV", "_HASH", "_BANG"];

/// Is this the start of a `$NAME=VALUE` line? Gives the name and where the value starts.
pub(super) fn definition(text: &str) -> Option<(&str, usize)> {
    let name = identifier(text.strip_prefix('$')?);
    let rest = text[1 + name.len()..].strip_prefix('=').filter(|_| !name.is_empty())?;
    Some((name, text.len() - rest.trim_start_matches(is_space).len()))
}

/// The identifier a text starts with; empty if none.
fn identifier(text: &str) -> &str {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return "";
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

/// The next thing that has the form of a use, at or after `from`.
fn next_use(text: &str, mut from: usize) -> Option<Use<'_>> {
    loop {
        let start = from + text.get(from..)?.find('$')?;
        let rest = &text[start + 1..];
        from = start + 1;
        if let Some(inside) = rest.strip_prefix('{') {
            let Some(length) = inside.find(['{', '}', '"']).filter(|&at| inside[at..].starts_with('}'))
            else {
                continue;
            };
            let inside = &inside[..length];
            let name = identifier(inside);
            let arguments = &inside[name.len()..];
            let end = start + 3 + length;
            if !name.is_empty() && (arguments.is_empty() || arguments.starts_with(is_space)) {
                return Some(Use { start, end, name, arguments, braced: true });
            }
            return Some(Use { start, end, name: "", arguments: "", braced: true });
        }
        let name = identifier(rest);
        let after = rest[name.len()..].chars().next();
        if !name.is_empty() && after.is_none_or(|c| matches!(c, ' ' | '\t' | ',' | ')')) {
            return Some(Use { start, end: start + 1 + name.len(), name, arguments: "", braced: false });
        }
    }
}

fn loosen(text: &str, range: std::ops::Range<usize>, braces: &mut Vec<usize>) {
    let found = text[range.clone()].match_indices(['{', '}']);
    braces.extend(found.map(|(at, _)| range.start + at));
}

fn recursive(name: &str, at: Span, from: Option<Span>) -> Diagnostic {
    let report = Diagnostic::error("recursive-definition", at, format!("`{name}` is defined by itself"))
        .label("would never end")
        .help("give it a value that does not lead back to it")
        .stock("hangs forever in the parser");
    match from {
        Some(from) => report.related(from, "used again here"),
        None => report,
    }
}

fn too_long(name: &str, at: Span) -> Diagnostic {
    let message = format!("with `{name}` put in, the line is longer than {MAX_LINE} bytes");
    Diagnostic::warning("expansion-too-long", at, message)
        .class(Class::None)
        .label("left as it is")
        .help("put the text into a multi-line definition")
        .stock("logs it and stops substituting in this line")
}
