//! `HTTP_GET` and `SSL_GET` with their `url` blocks (spec/checkers.md §7).

use super::check::{self, COMMON, CONNECTION, Kind, Special};
use super::quoted;
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::model::{HttpProtocol, Regex, RegexOptions};
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{
    Block, Given, Keyword, Mark, Missing, Opened, Repeat, Shape, Table, keyword, lenient,
};
use crate::config::source::Span;
use crate::config::suggest::did_you_mean;
use crate::config::syntax::{ScriptWord, Word, escaped_words};

/// What only HTTP checks have.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the keyword of its name")]
pub struct HttpDraft<'a> {
    pub http_protocol: HttpProtocol,
    pub enable_sni: bool,
    pub sni_name: Option<&'a Word>,
    pub fast_recovery: bool,
    pub tls_compliant: bool,
    pub virtualhost: Option<&'a Word>,
    /// Our own settings.
    pub tls: TlsDraft,
    /// `@keepalived-rs http2`.
    pub http2: bool,
    /// Urls with a path.
    pub urls: Vec<UrlDraft<'a>>,
    /// The url being read.
    pub url: UrlDraft<'a>,
}

/// `@keepalived-rs tls_…` as read.
#[derive(Debug, Clone, Default)]
pub struct TlsDraft {
    /// `off`, `system` or a file.
    pub verify: Option<String>,
    /// The name that the server's certificate must bear.
    pub name: Option<String>,
    /// Our certificate's file.
    pub certificate: Option<String>,
    /// Its key's.
    pub key: Option<String>,
    /// Where one of them stands.
    pub span: Option<Span>,
}

impl TlsDraft {
    /// Do both say the same? Wherever they stand.
    pub fn says_as(&self, other: &Self) -> bool {
        let said = |it: &Self| (it.verify.clone(), it.name.clone(), it.certificate.clone(), it.key.clone());
        said(self) == said(other)
    }
}

/// A `url` block as read.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the keyword of its name")]
pub struct UrlDraft<'a> {
    pub head: Option<Span>,
    pub path: Option<&'a Word>,
    pub digest: Option<[u8; 16]>,
    pub status_codes: Vec<(u16, u16)>,
    pub virtualhost: Option<&'a Word>,
    pub tls_compliant: bool,
    /// The pattern, with the words around it from the end of the block on.
    pub regex: Option<Box<Regex>>,
    /// Where the pattern stands.
    pub regex_at: Option<Span>,
    /// A word that needs a `regex`.
    pub regex_words: Option<Span>,
    pub regex_options: RegexOptions,
    pub no_match: bool,
    pub min_offset: Option<u64>,
    pub max_offset: Option<u64>,
    pub regex_stack: Option<(u64, u64)>,
    /// `@keepalived-rs grpc_health`.
    pub grpc_health: Option<String>,
}

/// `HTTP_GET`.
pub static HTTP: Block = Block { table: &HTTP_TABLE, open: |r, g| check::start(r, g, Kind::Http), close };
/// `SSL_GET`.
pub static SSL: Block = Block { table: &SSL_TABLE, open: |r, g| check::start(r, g, Kind::Ssl), close };

static HTTP_TABLE: Table = Table::new("HTTP_GET", &[COMMON, CONNECTION, HTTP_KEYWORDS, HTTP_URL]);
static SSL_TABLE: Table = Table::new("SSL_GET", &[COMMON, CONNECTION, HTTP_KEYWORDS, SSL_URL, TLS]);

const HTTP_KEYWORDS: &[Keyword] = &[
    keyword("virtualhost", Shape::Word, "Host header.")
        .default("that of the real server")
        .mark(Mark::A)
        .missing(Missing::Warns)
        .apply(|r, g| r.drafts.http.virtualhost = g.argument(0)),
    keyword("http_protocol", Shape::Word, "1.0, 1.0C (with Connection: close) or 1.1.")
        .default("1.0")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .apply(|r, g| match g.text() {
            "1.0" => r.drafts.http.http_protocol = HttpProtocol::V1_0,
            "1.0C" | "1.0c" => r.drafts.http.http_protocol = HttpProtocol::V1_0Close,
            "1.1" => r.drafts.http.http_protocol = HttpProtocol::V1_1,
            _ => {
                if let Some(word) = g.argument(0) {
                    let report = bad_value(g.keyword, word, "is none of 1.0, 1.0C, 1.1");
                    r.push(report.stock("the line is ignored"));
                }
            }
        }),
    keyword("enable_sni", Shape::Bool, "Send the server name in the TLS handshake.")
        .default("off")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.http.enable_sni = g.bool()),
    keyword("sni_name", Shape::Words, "The server name to send; turns enable_sni on.").since(">2.2.7").apply(
        |r, g| {
            r.drafts.http.enable_sni = true;
            r.drafts.http.sni_name = g.argument(0);
        },
    ),
    keyword("fast_recovery", Shape::Bool, "No pauses between urls at the first run and while recovering.")
        .default("off")
        .apply(|r, g| r.drafts.http.fast_recovery = g.bool()),
    keyword("nb_get_retry", lenient(0, 4_294_967_295), "Old spelling of retry.")
        .deprecated_for("retry")
        .apply(|r, g| r.drafts.checker.own.retry = Some(g.u32())),
];

const HTTP_URL: &[Keyword] = &[keyword("url", Shape::Block(&HTTP_URL_BLOCK), "A page to get.").mark(Mark::A)];
const SSL_URL: &[Keyword] = &[keyword("url", Shape::Block(&SSL_URL_BLOCK), "A page to get.").mark(Mark::A)];
const TLS: &[Keyword] = &[keyword("tls_compliant", Shape::Bool, "Send a close-notify.")
    .default("off")
    .since(">2.2.7")
    .apply(|r, g| r.drafts.http.tls_compliant = g.bool())];

static HTTP_URL_BLOCK: Block = Block { table: &HTTP_URL_TABLE, open: open_url, close: close_url };
static SSL_URL_BLOCK: Block = Block { table: &SSL_URL_TABLE, open: open_url, close: close_url };
static HTTP_URL_TABLE: Table = Table::new("url", &[URL]);
static SSL_URL_TABLE: Table = Table::new("url", &[URL, URL_TLS]);

const URL: &[Keyword] = &[
    keyword("path", Shape::Word, "What stands behind GET.")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.http.url.path = g.argument(0)),
    keyword("digest", Shape::Word, "MD5 of the body, as genhash prints it.")
        .mark(Mark::B)
        .repeat(Repeat::FirstWins)
        .apply(digest),
    keyword("status_code", Shape::Words, "Accepted status codes: N or N-M, several.")
        .default("200-299")
        .repeat(Repeat::Accumulates)
        .mark(Mark::A)
        .apply(status_code),
    keyword("virtualhost", Shape::Word, "Host header.")
        .default("that of the checker")
        .mark(Mark::A)
        .missing(Missing::Warns)
        .apply(|r, g| r.drafts.http.url.virtualhost = g.argument(0)),
    keyword("regex", Shape::Words, "A pattern that the body must match (PCRE2); escapes are resolved first.")
        .mark(Mark::B)
        .apply(regex),
    keyword("regex_no_match", Shape::Flag, "It must not match.").apply(|r, g| {
        r.drafts.http.url.no_match = true;
        r.drafts.http.url.regex_words = Some(g.head());
    }),
    keyword("regex_options", Shape::Words, "Options of the pattern, as caseless.")
        .repeat(Repeat::Accumulates)
        .apply(regex_options),
    keyword("regex_min_offset", Shape::Words, "First byte where a match may start.")
        .default("0")
        .apply(|r, g| offset(r, g, |url| &mut url.min_offset)),
    keyword("regex_max_offset", Shape::Words, "Last byte where a match may start.")
        .default("the last of the answer")
        .apply(|r, g| offset(r, g, |url| &mut url.max_offset)),
    keyword("regex_stack", Shape::Words, "Stack of the matcher: START MAX, bytes.").apply(regex_stack),
];

const URL_TLS: &[Keyword] = &[keyword("tls_compliant", Shape::Bool, "Send a close-notify for this url.")
    .default("off")
    .since(">2.2.7")
    .apply(|r, g| r.drafts.http.url.tls_compliant = g.bool())];

fn open_url<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    reader.drafts.http.url = UrlDraft { head: Some(given.head()), ..UrlDraft::default() };
    Opened::Enter
}

fn close_url(reader: &mut Reader<'_>) {
    let mut url = std::mem::take(&mut reader.drafts.http.url);
    if url.path.is_none()
        && let Some(head) = url.head
    {
        reader.push(
            Diagnostic::error("no-path", head, "`url` has no `path`")
                .help("add `path /`")
                .stock("ignores the url"),
        );
        return;
    }
    close_regex(reader, &mut url);
    reader.drafts.http.urls.push(url);
}

/// What is wrong about a pattern is no error to stock, it only says so.
fn regex_report(given: Given<'_>, span: Span, what: &str) -> Diagnostic {
    let name = given.keyword.name;
    Diagnostic::warning("bad-regex", span, format!("`{name}` {what}"))
        .class(Class::None)
        .stock("ignores the line")
}

fn regex<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(words) = escaped(reader, given) else { return };
    let [pattern] = &words[..] else {
        let report = regex_report(given, given.value_span(), "needs one pattern");
        reader.push(report.help("put quotes around the pattern; inside them write \\\\ for a backslash"));
        return;
    };
    reader.drafts.http.url.regex_at = Some(given.value_span());
    reader.drafts.http.url.regex = Some(Box::new(Regex {
        pattern: pattern.text.clone(),
        options: RegexOptions::default(),
        no_match: false,
        min_offset: 0,
        max_offset: None,
        stack: None,
    }));
}

fn escaped<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Option<Vec<ScriptWord>> {
    match escaped_words(&given.line.raw()) {
        Ok(words) => Some(words),
        Err(error) => {
            let report = regex_report(given, given.value_span(), &format!("cannot be read: {error}"));
            reader.push(report);
            None
        }
    }
}

fn regex_options<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    reader.drafts.http.url.regex_words = Some(given.head());
    for word in given.arguments() {
        if !reader.drafts.http.url.regex_options.add(word) {
            let mut report = regex_report(given, word.span(), &format!("knows no option `{}`", quoted(word)))
                .stock("skips it silently");
            if let Some(meant) = did_you_mean(word, RegexOptions::NAMES) {
                report = report.help(format!("did you mean `{meant}`?"));
            }
            reader.push(report);
        }
    }
}

fn offset<'a>(
    reader: &mut Reader<'a>,
    given: Given<'a>,
    slot: for<'u> fn(&'u mut UrlDraft<'a>) -> &'u mut Option<u64>,
) {
    reader.drafts.http.url.regex_words = Some(given.head());
    match given.arguments() {
        [word] if word.parse::<u64>().is_ok() => *slot(&mut reader.drafts.http.url) = word.parse().ok(),
        _ => reader.push(regex_report(given, given.value_span(), "needs one number of bytes")),
    }
}

fn regex_stack<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    reader.drafts.http.url.regex_words = Some(given.head());
    let sizes: Vec<u64> = given.arguments().iter().filter_map(|word| word.parse().ok()).collect();
    match (&sizes[..], given.arguments().len()) {
        ([start, max], 2) if 0 < *start && start <= max => {
            reader.drafts.http.url.regex_stack = Some((*start, *max));
        }
        _ => reader.push(
            regex_report(given, given.value_span(), "needs two sizes, START MAX")
                .help("write START not above MAX, in bytes, as `regex_stack 32768 1048576`"),
        ),
    }
}

/// Gathers the words around a pattern.
fn close_regex(reader: &mut Reader<'_>, url: &mut UrlDraft<'_>) {
    let Some(regex) = url.regex.as_mut() else {
        if let Some(span) = url.regex_words {
            reader.push(
                Diagnostic::warning("no-regex", span, "options of a pattern, but no `regex`")
                    .class(Class::None)
                    .help("add `regex PATTERN`")
                    .stock("ignores them"),
            );
        }
        return;
    };
    regex.options = url.regex_options;
    regex.no_match = url.no_match;
    regex.stack = url.regex_stack;
    match (url.min_offset, url.max_offset, url.regex_words) {
        (Some(min), Some(max), Some(span)) if min > max => reader.push(
            Diagnostic::warning("bad-regex", span, format!("a match cannot start from byte {min} to {max}"))
                .class(Class::None)
                .help("make regex_min_offset the smaller one")
                .stock("ignores both"),
        ),
        (min, max, _) => {
            regex.min_offset = min.unwrap_or(0);
            regex.max_offset = max;
        }
    }
    let Some(span) = url.regex_at else { return };
    if let Err(error) = (reader.world.facts.patterns.0)(regex) {
        let before = regex.pattern.get(..error.offset).unwrap_or(&regex.pattern);
        reader.push(
            Diagnostic::error("bad-pattern", span, format!("the pattern is none that PCRE2 knows: {error}"))
                .label(format!("noticed behind `{before}`"))
                .help("the check goes on without it; in quotes a backslash is written twice: `\\\\d+`")
                .stock("accepts it, and its checker process dies of it again and again"),
        );
        url.regex = None;
    }
}

fn close(reader: &mut Reader<'_>) {
    if reader.drafts.http.urls.is_empty() {
        let checker = std::mem::take(&mut reader.drafts.checker);
        if let Some(head) = checker.head {
            reader.push(
                Diagnostic::error("no-url", head, "the check has no `url`")
                    .help("add `url { path / }`")
                    .stock("drops the check"),
            );
        }
        return;
    }
    let http = std::mem::take(&mut reader.drafts.http);
    check::finish_with(reader, Special::Http(Box::new(http)));
}

fn digest<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    if reader.drafts.http.url.digest.is_some() {
        let report = bad_value(given.keyword, word, "is a second digest");
        reader.push(report.stock("keeps the first"));
        return;
    }
    let mut bytes = [0; 16];
    let pairs = word.as_bytes().chunks(2).map(|pair| {
        let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2 && !text.starts_with('+'))?;
        u8::from_str_radix(text, 16).ok()
    });
    let parsed: Option<Vec<u8>> = pairs.collect();
    match parsed.filter(|parsed| parsed.len() == 16) {
        Some(parsed) => {
            bytes.copy_from_slice(&parsed);
            reader.drafts.http.url.digest = Some(bytes);
        }
        None => reader.push(
            bad_value(given.keyword, word, "is no MD5 sum of 32 hexadecimal digits")
                .help("genhash -s ADDRESS -p PORT -u PATH prints it")
                .stock("ignores the line"),
        ),
    }
}

fn status_code<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| (100..=599).contains(code));
    for word in given.arguments() {
        let range = match word.split_once('-') {
            Some((from, to)) => code(from).zip(code(to)).filter(|(from, to)| from <= to),
            None => code(word).map(|code| (code, code)),
        };
        if let Some(range) = range {
            reader.drafts.http.url.status_codes.push(range);
        } else {
            let mut report = bad_value(given.keyword, word, "is no status code from 100 to 599");
            if !word.is_ascii() {
                report = report.help("if this is meant as a comment, start it with `#`");
            } else if quoted(word).contains(',') {
                report = report.help("separate codes by blanks");
            }
            reader.push(report.stock("skips this word"));
        }
    }
}
