//! Diagnostics for programs: a plain JSON array, and SARIF 2.1.0 for editors and CI.
//!
//! Places are those of the files, never of lines after substitution: lines and columns from 1, columns in characters,
//! ends one past the last character. Pure; the forms for people are in `config::render`.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Loaded;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::lint;
use crate::config::render::{clean, ordered};
use crate::config::source::{SourceMap, Span, encode};

/// One report, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    #[serde(flatten)]
    place: Place,
    severity: &'static str,
    id: &'static str,
    message: String,
    /// What to write instead.
    help: Vec<String>,
    /// What stock does about it.
    stock: Option<String>,
    /// Other places that belong to it.
    related: Vec<Related>,
}

/// Where; all `None` when the report has no place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
struct Place {
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    end: Option<End>,
    /// The name of the file as bytes of a URI.
    #[serde(skip)]
    uri: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct End {
    line: usize,
    column: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Related {
    #[serde(flatten)]
    place: Place,
    message: String,
}

/// The reports of one reading, in the order of files and lines, one per cause and place.
pub fn findings(loaded: &Loaded) -> Vec<Finding> {
    let sources = &loaded.sources;
    let reports = ordered(&loaded.diagnostics, sources);
    let mut all: Vec<Finding> = reports.into_iter().map(|(report, _)| finding(report, sources)).collect();
    if loaded.diagnostics.dropped() > 0 {
        all.push(Finding {
            place: Place::default(),
            severity: Severity::Note.word(),
            id: "more-reports",
            message: format!("{} more reports are not shown", loaded.diagnostics.dropped()),
            help: Vec::new(),
            stock: None,
            related: Vec::new(),
        });
    }
    all
}

fn finding(report: &Diagnostic, sources: &SourceMap) -> Finding {
    let at = |span| place(sources, span).unwrap_or_default();
    let related =
        report.related.iter().map(|(span, label)| Related { place: at(*span), message: clean(label) });
    Finding {
        place: report.span.map(at).unwrap_or_default(),
        severity: report.severity.word(),
        id: report.id,
        message: clean(&report.message),
        help: report.help.iter().map(|help| clean(help)).collect(),
        stock: report.stock.as_deref().map(clean),
        related: related.collect(),
    }
}

fn place(sources: &SourceMap, span: Span) -> Option<Place> {
    let span = sources.resolve(span).span;
    let start = sources.location(span)?;
    let end = sources.location(Span { start: span.end, ..span })?;
    Some(Place {
        file: Some(clean(start.file)),
        line: Some(start.line),
        column: Some(start.column),
        end: Some(End { line: end.line, column: end.column }),
        uri: uri(start.file),
    })
}

/// A path as a URI: relative ones stay relative, for the base is not ours to know.
fn uri(path: &str) -> String {
    let mut text = String::from(if path.starts_with('/') { "file://" } else { "" });
    for &byte in encode(path).as_ref() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// A JSON array with one object a report.
pub fn as_json(findings: &[Finding]) -> String {
    // Strings, numbers and lists of them: nothing in a finding can fail to be written.
    let mut text = serde_json::to_string_pretty(findings).unwrap_or_default();
    text.push('\n');
    text
}

/// One SARIF 2.1.0 run.
pub fn as_sarif(findings: &[Finding]) -> String {
    let mut ids: Vec<&str> = findings.iter().map(|finding| finding.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let rules: Vec<Value> = ids.iter().map(|id| rule(id)).collect();
    let results: Vec<Value> = findings.iter().map(|finding| result(finding, &ids)).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "keepalived-rs",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn rule(id: &str) -> Value {
    match lint::find(id) {
        Some(lint) => json!({
            "id": id,
            "shortDescription": { "text": lint.summary },
            "fullDescription": { "text": lint.why },
        }),
        None => json!({ "id": id }),
    }
}

fn result(finding: &Finding, ids: &[&str]) -> Value {
    let mut text = finding.message.clone();
    for help in &finding.help {
        // Writing to a string cannot fail.
        let _ = write!(text, "\nhelp: {help}");
    }
    if let Some(stock) = &finding.stock {
        let _ = write!(text, "\nstock: {stock}");
    }
    let mut value = json!({
        "ruleId": finding.id,
        "ruleIndex": ids.binary_search(&finding.id).ok(),
        "level": finding.severity,
        "message": { "text": text },
        "locations": physical(&finding.place).into_iter().collect::<Vec<_>>(),
    });
    let related: Vec<Value> = finding
        .related
        .iter()
        .filter_map(|related| {
            let mut location = physical(&related.place)?;
            location["message"] = json!({ "text": related.message });
            Some(location)
        })
        .collect();
    if !related.is_empty() {
        value["relatedLocations"] = related.into();
    }
    value
}

fn physical(place: &Place) -> Option<Value> {
    let end = place.end.as_ref()?;
    Some(json!({ "physicalLocation": {
        "artifactLocation": { "uri": place.uri },
        "region": {
            "startLine": place.line,
            "startColumn": place.column,
            "endLine": end.line,
            "endColumn": end.column,
        },
    } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_uri_whatever_bytes_it_has() {
        assert_eq!(uri("/etc/a b.conf"), "file:///etc/a%20b.conf");
        assert_eq!(uri("conf:d/ä"), "conf%3Ad/%C3%A4");
        assert_eq!(uri(&crate::config::source::decode(vec![b'x', 0xff])), "x%FF");
    }
}
