//! The nom grammar of one line: comments, words, quoting, braces, script strings.
//!
//! Pure text work on one line; who reads lines and substitutes in them is [`super::preprocess`].
//! spec/config-language.md §2–§4.

use std::ops::Range;

use nom::branch::alt;
use nom::bytes::complete::{take_till, take_till1};
use nom::character::complete::char;
use nom::combinator::map;
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};
use thiserror::Error;

use super::diagnostic::Diagnostic;
use super::source::{Slice, Span, push_byte};

pub use super::lines::{Line, LineKind, LogicalLines, Word};

/// White space between words: space, tab, FF, VT, CR and LF, as C's `isspace`.
pub fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n' | '\x0b' | '\x0c')
}

/// Leading and trailing white space of lines: space and tab only.
pub(super) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

/// A physical line without comment and outer blanks: ranges of the text that was given to [`uncomment`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uncommented {
    /// What is left.
    pub kept: Range<usize>,
    /// Parts of it that go too: the backslash of `\#` and `\!`, the blanks before a trailing backslash.
    pub dropped: Vec<Range<usize>>,
    /// The opening double quote that is never closed.
    pub unclosed: Option<usize>,
}

/// Finds the comment of a line (spec §2): `#` or `!` outside double quotes, unless behind a backslash.
/// `protected` tells of a `#` or `!` that lost its backslash earlier. A backslash hides one character from this scan.
pub fn uncomment(text: &str, protected: impl Fn(usize) -> bool) -> Uncommented {
    let bytes = text.as_bytes();
    let mut end = bytes.len();
    let mut dropped = Vec::new();
    let mut quote = None;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, bytes.get(at + 1)) {
            (b'\\', Some(next)) => {
                if quote.is_none() && matches!(next, b'#' | b'!') {
                    dropped.push(at..at + 1);
                }
                at += 1;
            }
            (b'"', _) => quote = if quote.is_some() { None } else { Some(at) },
            (b'#' | b'!', _) if quote.is_none() && !protected(at) => {
                end = at;
                break;
            }
            _ => {}
        }
        at += 1;
    }
    let kept = text[..end].trim_end_matches(is_blank);
    let start = kept.len() - kept.trim_start_matches(is_blank).len();
    if let Some(before) = kept.strip_suffix('\\') {
        let word_end = before.trim_end_matches(is_blank).len().max(start);
        if word_end < before.len() {
            dropped.push(word_end..before.len());
        }
    }
    Uncommented { kept: start..kept.len(), dropped, unclosed: quote }
}

/// Splits a line at its unquoted braces (spec §4): the pieces in order, without outer white space, empty ones left out.
/// The braces at the positions `loose` are ordinary characters.
pub fn split_braces(text: &str, loose: &[usize]) -> Vec<(LineKind, Range<usize>)> {
    let mut pieces = Vec::with_capacity(1);
    let mut piece = |kind, range: Range<usize>| {
        let trimmed = text[range.clone()].trim_end_matches(is_space);
        let start = range.start + trimmed.len() - trimmed.trim_start_matches(is_space).len();
        let end = range.start + trimmed.len();
        if start < end {
            pieces.push((kind, start..end));
        }
    };
    let mut quoted = false;
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        let kind = match byte {
            b'"' => {
                quoted = !quoted;
                continue;
            }
            b'{' | b'}' if quoted || loose.contains(&at) => continue,
            b'{' => LineKind::Open,
            b'}' => LineKind::Close,
            _ => continue,
        };
        piece(LineKind::Words, start..at);
        piece(kind, at..at + 1);
        start = at + 1;
    }
    piece(LineKind::Words, start..text.len());
    pieces
}

/// Splits a line into words (spec §3): white space and double quotes separate. An unclosed quote ends the list; its
/// position comes second.
pub fn words(raw: &Slice) -> (Vec<Word>, Option<usize>) {
    let text = raw.as_str();
    let mut words = Vec::with_capacity(4);
    let mut rest = text;
    while let Ok((after, (word, quoted))) = word(rest) {
        let start = text.len() - after.len() - word.len() - usize::from(quoted);
        words.push(Word::new(&raw.part(start..start + word.len()), quoted));
        rest = after;
    }
    let unclosed = rest.trim_start_matches(is_space);
    (words, (!unclosed.is_empty()).then(|| text.len() - unclosed.len()))
}

/// The report of a double quote without its partner; the same for whoever meets it.
pub fn unclosed_quote(span: Span) -> Diagnostic {
    Diagnostic::error("unclosed-quote", span, "the quote is not closed")
        .label("opened here")
        .help("add the closing quote at the end of the text that belongs together")
        .stock("uses the words before it; the exit code of -t is 5")
}

fn word(input: &str) -> IResult<&str, (&str, bool)> {
    let quoted = delimited(char('"'), take_till(|c| c == '"'), char('"'));
    let bare = take_till1(|c| is_space(c) || c == '"');
    preceded(
        take_till(|c| !is_space(c)),
        alt((map(bare, |word| (word, false)), map(quoted, |word| (word, true)))),
    )
    .parse(input)
}

/// A script line: `notify_master "/usr/bin/x 'an argument'" user group` (spec §3, "Script strings").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptString {
    /// The command and its arguments, escapes resolved; never empty. Bytes that are no UTF-8 as in
    /// [`super::source::decode`]; an argument ends at `\0`, as every C string.
    pub argv: Vec<String>,
    /// The command as written, escapes not resolved, outer quotes removed.
    pub command: String,
    /// Where the command stands, with its quotes.
    pub span: Span,
    /// What follows it: user, then group, then what nobody reads.
    pub rest: Vec<ScriptWord>,
}

/// A word of a script line behind the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptWord {
    /// Outer quotes removed, backslashes kept.
    pub text: String,
    /// With its quotes.
    pub span: Span,
}

/// Why a script line gives no script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ScriptError {
    /// Only the keyword stands there.
    #[error("the script is missing")]
    Missing,
    /// `""` or the like.
    #[error("the script is empty")]
    Empty {
        /// The empty command.
        span: Span,
    },
    /// A quote without its partner.
    #[error("the quote {quote} is not closed")]
    Unclosed {
        /// `'` or `"`.
        quote: char,
        /// The quote; for a quote inside the command's quotes the whole command.
        span: Span,
    },
}

/// Reads a script line; the first word is the keyword.
pub fn script_words(raw: &Slice) -> Result<ScriptString, ScriptError> {
    let mut words = Vec::new();
    let text = raw.as_str();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_space);
        if rest.is_empty() {
            break;
        }
        let start = text.len() - rest.len();
        let (after, word) =
            script_word(rest, Escapes::Kept).map_err(|(at, quote)| ScriptError::Unclosed {
                quote,
                span: raw.part(text.len() - at.len()..text.len() - at.len() + 1).span(),
            })?;
        words.push(ScriptWord { text: word, span: raw.part(start..text.len() - after.len()).span() });
        rest = after;
    }
    let mut words = words.into_iter().skip(1);
    let ScriptWord { text: command, span } = words.next().ok_or(ScriptError::Missing)?;
    let mut argv = Vec::new();
    let mut rest = command.trim_start_matches(is_space);
    while !rest.is_empty() {
        let (after, mut word) = script_word(rest, Escapes::Resolved)
            .map_err(|(_, quote)| ScriptError::Unclosed { quote, span })?;
        word.truncate(word.find('\0').unwrap_or(word.len()));
        argv.push(word);
        rest = after.trim_start_matches(is_space);
    }
    if argv.first().is_none_or(String::is_empty) {
        return Err(ScriptError::Empty { span });
    }
    Ok(ScriptString { argv, command, span, rest: words.collect() })
}

/// The words behind the keyword of a line, quotes and escapes resolved as in the arguments of a script.
pub fn escaped_words(raw: &Slice) -> Result<Vec<ScriptWord>, ScriptError> {
    let text = raw.as_str();
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let start = text.len() - rest.len();
        let (after, word) =
            script_word(rest, Escapes::Resolved).map_err(|(at, quote)| ScriptError::Unclosed {
                quote,
                span: raw.part(text.len() - at.len()..text.len() - at.len() + 1).span(),
            })?;
        words.push(ScriptWord { text: word, span: raw.part(start..text.len() - after.len()).span() });
        rest = after.trim_start_matches(is_space);
    }
    if !words.is_empty() {
        words.remove(0);
    }
    Ok(words)
}

/// What becomes of a backslash and the character behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Kept,
    Resolved,
}

/// One word of a script string: parts in single, double and no quotes, joined. The error is the rest of the line from
/// the unclosed quote on, and the quote.
fn script_word(input: &str, escapes: Escapes) -> Result<(&str, String), (&str, char)> {
    let mut word = String::new();
    let mut rest = input;
    let mut quote: Option<(&str, char)> = None;
    while let Some(character) = rest.chars().next() {
        match (character, quote) {
            ('\\', _) => {
                rest = match escapes {
                    Escapes::Kept => {
                        let end = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                        word.push_str(&rest[..end]);
                        &rest[end..]
                    }
                    Escapes::Resolved => resolve_escape(&rest[1..], &mut word),
                };
                continue;
            }
            ('"' | '\'', None) => quote = Some((rest, character)),
            (_, Some((_, open))) if character == open => quote = None,
            (_, None) if is_space(character) => break,
            _ => word.push(character),
        }
        rest = &rest[character.len_utf8()..];
    }
    quote.map_or(Ok((rest, word)), Err)
}

/// Resolves what stands behind a backslash; gives the rest.
fn resolve_escape<'a>(input: &'a str, word: &mut String) -> &'a str {
    let digits = |skip: usize, max: usize, radix: u32| {
        let count = input[skip..].chars().take(max).take_while(|c| c.is_digit(radix)).count();
        let value = u32::from_str_radix(&input[skip..skip + count], radix).unwrap_or(0);
        (count, value.to_le_bytes()[0])
    };
    let mut characters = input.chars();
    let Some(first) = characters.next() else {
        word.push('\\');
        return "";
    };
    let control = match first {
        'a' => '\x07',
        'b' => '\x08',
        'E' => '\x1b',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '0'..='7' => {
            let (count, byte) = digits(0, 3, 8);
            push_byte(word, byte);
            return &input[count..];
        }
        'x' if digits(1, 2, 16).0 > 0 => {
            let (count, byte) = digits(1, 2, 16);
            push_byte(word, byte);
            return &input[1 + count..];
        }
        'c' if characters.as_str().starts_with(|c: char| c.is_ascii()) => {
            push_byte(word, input.as_bytes()[1] & 0x1f);
            return &input[2..];
        }
        other => other,
    };
    word.push(control);
    characters.as_str()
}

#[cfg(test)]
mod tests {
    use super::super::source::{SourceMap, encode};
    use super::*;

    fn slice(text: &str) -> Slice {
        let source = SourceMap::default().add_file("f", text.to_owned(), None);
        Slice::new(&source, 0..text.len())
    }

    fn script(text: &str) -> Result<Vec<String>, ScriptError> {
        script_words(&slice(text)).map(|script| script.argv)
    }

    #[test]
    fn script_strings_resolve_as_observed() {
        let line = r#"notify_master "/usr/bin/true ' spaces\\x20file' '\"s p\"' SG1.x" root"#;
        let found = script_words(&slice(line)).unwrap();
        assert_eq!(found.argv, ["/usr/bin/true", r" spaces\x20file", "\"s p\"", "SG1.x"]);
        assert_eq!(found.rest.iter().map(|word| word.text.as_str()).collect::<Vec<_>>(), ["root"]);
        let line = r#"script "/usr/bin/test -f '/a b' \x41 \"q\"""#;
        assert_eq!(script(line).unwrap(), ["/usr/bin/test", "-f", "/a b", "A", "\"q\""]);
    }

    #[test]
    fn only_the_second_word_is_the_command() {
        let found = script_words(&slice("notify_master /usr/bin/true a b c")).unwrap();
        assert_eq!((found.argv.len(), found.rest.len()), (1, 3));
        assert_eq!(script("\"script\" '/bin/x y'").unwrap(), ["/bin/x", "y"]);
        assert_eq!(script("script \"/bin/x \"'a b'").unwrap(), ["/bin/x", "a", "b"]);
    }

    #[test]
    fn every_escape_is_resolved() {
        let argv = script(r#"script "x \a\b\E\f\n\r\t\v \101\7 \x4a\x4 \cA \z\# \xe4 a\0b \400""#).unwrap();
        assert_eq!(argv[1], "\x07\x08\x1b\x0c\n\r\t\x0b");
        assert_eq!(argv[2], "A\x07");
        assert_eq!(argv[3], "J\x04");
        assert_eq!(argv[4], "\x01");
        assert_eq!(argv[5], "z#");
        assert_eq!(encode(&argv[6]).as_ref(), b"\xe4");
        assert_eq!(argv[7], "a");
        assert_eq!(argv[8], "");
    }

    #[test]
    fn a_script_string_without_its_quote_or_command_is_refused() {
        let at = |text: &str, range: Range<usize>| slice(text).part(range).span();
        let line = "script \"/bin/x";
        assert_eq!(script(line), Err(ScriptError::Unclosed { quote: '"', span: at(line, 7..8) }));
        let line = "script \"/bin/x 'a\"";
        assert_eq!(script(line), Err(ScriptError::Unclosed { quote: '\'', span: at(line, 7..18) }));
        assert_eq!(script("script"), Err(ScriptError::Missing));
        assert_eq!(script("script \"\""), Err(ScriptError::Empty { span: at("script \"\"", 7..9) }));
        assert_eq!(script("script \\"), Ok(vec!["\\".to_owned()]));
    }

    #[test]
    fn a_quoted_word_spans_its_quotes() {
        let line = slice("a \"b c\"");
        let (found, unclosed) = words(&line);
        assert_eq!((found[1].as_str(), found[1].quoted(), unclosed), ("b c", true, None));
        assert_eq!((found[1].span().start, found[1].span().end), (2, 7));
    }
}
