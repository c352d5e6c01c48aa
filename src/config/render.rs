//! Diagnostics for people: file, line and column, the source line with a caret, help, and what stock does.
//!
//! Also the one-line form for the log. Nothing is printed here.

use std::collections::HashMap;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Renderer, Snippet};

use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::source::{Location, SourceMap, Span, display};

/// With or without colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For files and pipes.
    Plain,
    /// With terminal colours.
    Coloured,
}

/// All reports, in the order of files and lines, those without a place last. One cause at one place is shown once.
pub fn render(diagnostics: &Diagnostics, sources: &SourceMap, style: Style) -> String {
    let mut text = String::new();
    for (report, again) in ordered(diagnostics, sources) {
        text += &render_one(report, again, sources, style);
        text.push('\n');
    }
    if diagnostics.dropped() > 0 {
        text += more(diagnostics).as_str();
        text.push('\n');
    }
    text
}

/// The same as lines for the log: `keepalived.conf:12:3: error: unknown keyword `x` [unknown-keyword]`.
pub fn log_lines(diagnostics: &Diagnostics, sources: &SourceMap) -> Vec<String> {
    let mut lines: Vec<String> =
        ordered(diagnostics, sources).into_iter().map(|(report, _)| log_line(report, sources)).collect();
    if diagnostics.dropped() > 0 {
        lines.push(more(diagnostics));
    }
    lines
}

fn more(diagnostics: &Diagnostics) -> String {
    format!("… and {} more reports", diagnostics.dropped())
}

/// One report on one line.
pub fn log_line(report: &Diagnostic, sources: &SourceMap) -> String {
    let place = report.span.and_then(|span| sources.location(span));
    let place = place.map_or_else(String::new, |at| format!("{}:{}:{}: ", at.file, at.line, at.column));
    let help = report.help.first().map_or_else(String::new, |help| format!(" ({help})"));
    let line = format!("{place}{}: {}{help} [{}]", report.severity.word(), report.message, report.id);
    clean(&line)
}

/// The reports to show, in the order of files and lines, those without a place last; each with how many more of its
/// kind there are at the same place (a loop's body).
pub fn ordered<'a>(diagnostics: &'a Diagnostics, sources: &SourceMap) -> Vec<(&'a Diagnostic, usize)> {
    let mut shown: Vec<(Option<Span>, &Diagnostic, usize)> = Vec::new();
    let mut known: HashMap<(&str, Span), usize> = HashMap::new();
    for report in diagnostics.iter() {
        let span = report.span.map(|span| sources.resolve(span).span);
        if let Some(span) = span {
            if let Some(&first) = known.get(&(report.id, span)) {
                shown[first].2 += 1;
                continue;
            }
            known.insert((report.id, span), shown.len());
        }
        shown.push((span, report, 0));
    }
    shown.sort_by_key(|&(span, ..)| (span.is_none(), span));
    shown.into_iter().map(|(_, report, again)| (report, again)).collect()
}

fn render_one(report: &Diagnostic, again: usize, sources: &SourceMap, style: Style) -> String {
    let level = match report.severity {
        Severity::Note => Level::NOTE,
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    };
    let mut elements: Vec<Element<'_>> = Vec::new();
    if let Some(span) = report.span {
        let place = sources.resolve(span);
        elements.extend(snippet(sources, place.span, report.label.as_deref(), AnnotationKind::Primary));
        let comes = Some("the text comes from here");
        let from = place.from.and_then(|from| snippet(sources, from, comes, AnnotationKind::Context));
        elements.extend(from);
    }
    for (span, label) in &report.related {
        let span = sources.resolve(*span).span;
        elements.extend(snippet(sources, span, Some(label), AnnotationKind::Context));
    }
    if again > 0 {
        elements.push(Level::NOTE.message(format!("{again} more time(s) at this place")).into());
    }
    elements.extend(report.help.iter().map(|help| Level::HELP.message(clean(help)).into()));
    if let Some(stock) = &report.stock {
        elements.push(Level::NOTE.with_name("stock").message(clean(stock)).into());
    }
    let title = level.primary_title(clean(&report.message)).id(report.id);
    let group: Group<'_> = title.elements(elements);
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    let mut text = renderer.render(&[group]);
    text.push('\n');
    text
}

/// The line under a span with a mark. Spans of more lines are cut at the end of the first.
fn snippet<'a>(
    sources: &'a SourceMap,
    span: Span,
    label: Option<&'a str>,
    kind: AnnotationKind,
) -> Option<Element<'a>> {
    let Location { file, line, line_text, line_start, .. } = sources.location(span)?;
    let start = (span.start as usize - line_start).min(line_text.len());
    let end = (span.end as usize - line_start).clamp(start, line_text.len());
    // The stand-ins of foreign bytes are as long in UTF-8 as the U+FFFD that shows them: positions stay.
    let snippet = Snippet::source(display(line_text)).line_start(line).path(file);
    Some(snippet.annotation(kind.span(start..end).label(label)).into())
}

/// Text of a message: no line breaks or other control characters from a file may reach a terminal or a log.
pub fn clean(text: &str) -> String {
    display(text).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::diagnostic::Class;
    use super::super::preprocess::read_text;
    use super::*;

    fn shown(text: &str) -> String {
        let (lines, diagnostics) = read_text(text);
        render(&diagnostics, &lines.sources, Style::Plain)
    }

    #[test]
    fn a_report_shows_its_line_a_caret_and_help() {
        insta::assert_snapshot!(shown("global_defs {\n    router_id ${HOTS}\n}\n$HOST=a\n"), @r#"
        warning[undefined-variable]: `${HOTS}` stands for nothing: `HOTS` is not defined here
         --> keepalived.conf:2:15
          |
        2 |     router_id ${HOTS}
          |               ^^^^^^^ not defined
          |
          = help: define it before this line: `$HOTS=…`
          = stock: the text stays, its braces are taken for block braces and tear the block apart
        "#);
    }

    #[test]
    fn the_caret_stands_under_the_right_column_of_wide_characters() {
        insta::assert_snapshot!(shown("router_id \"東京\" \"ノード\n"), @r#"
        error[unclosed-quote]: the quote is not closed
         --> keepalived.conf:1:16
          |
        1 | router_id "東京" "ノード
          |                  ^ opened here
          |
          = help: add the closing quote at the end of the text that belongs together
          = stock: uses the words before it; the exit code of -t is 5
        "#);
    }

    #[test]
    fn the_origin_of_substituted_text_is_shown_beside_its_use() {
        let (lines, mut diagnostics) = read_text("$P=abc\nvrrp_instance V {\n    priority $P\n}\n");
        let word = lines.lines.get(2).unwrap().words[1].span();
        diagnostics.push(
            Diagnostic::error("invalid-number", word, "`abc` is not a number")
                .help("write a number from 1 to 255")
                .stock("ignores the line")
                .related(lines.lines.get(0).unwrap().span(), "in this block"),
        );
        insta::assert_snapshot!(render(&diagnostics, &lines.sources, Style::Plain), @r#"
        error[invalid-number]: `abc` is not a number
         --> keepalived.conf:3:14
          |
        3 |     priority $P
          |              ^^
          |
         ::: keepalived.conf:1:4
          |
        1 | $P=abc
          |    --- the text comes from here
          |
         ::: keepalived.conf:2:1
          |
        2 | vrrp_instance V {
          | --------------- in this block
          |
          = help: write a number from 1 to 255
          = stock: ignores the line
        "#);
    }

    #[test]
    fn a_fault_in_a_loop_is_shown_once() {
        let (lines, mut diagnostics) = read_text("~SEQ(N,3) foo $N\n");
        for line in lines.lines.iter() {
            diagnostics.push(Diagnostic::error(
                "unknown-keyword",
                line.words[0].span(),
                "unknown keyword `foo`",
            ));
        }
        assert_eq!(diagnostics.len(), 3);
        let text = render(&diagnostics, &lines.sources, Style::Plain);
        assert_eq!(text.matches("unknown keyword").count(), 1);
        assert!(text.contains("2 more time(s)"), "{text}");
    }

    #[test]
    fn reports_come_in_the_order_of_the_file() {
        let (lines, mut diagnostics) = read_text("a\nb\n");
        diagnostics.push(Diagnostic::new(Severity::Note, Class::None, "z", None, "last".to_owned()));
        diagnostics.push(Diagnostic::note("z", lines.lines.get(1).unwrap().span(), "second"));
        diagnostics.push(Diagnostic::warning("z", lines.lines.get(0).unwrap().span(), "first\n"));
        assert_eq!(
            log_lines(&diagnostics, &lines.sources),
            [
                "keepalived.conf:1:1: warning: first\u{fffd} [z]",
                "keepalived.conf:2:1: note: second [z]",
                "note: last [z]"
            ]
        );
    }

    #[test]
    fn colours_are_an_option() {
        let (lines, diagnostics) = read_text("x \"y\n");
        assert!(render(&diagnostics, &lines.sources, Style::Coloured).contains('\x1b'));
        assert!(!render(&diagnostics, &lines.sources, Style::Plain).contains('\x1b'));
    }

    #[test]
    fn control_characters_and_foreign_bytes_do_not_reach_the_terminal() {
        let (lines, diagnostics) = read_text(b"x \x1b[2J \xe4 \"y\n");
        let text = render(&diagnostics, &lines.sources, Style::Plain);
        assert!(!text.contains('\x1b') && text.contains('\u{fffd}'), "{text:?}");
    }
}
