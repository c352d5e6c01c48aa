//! Errors and warnings as data: severity, class, span, message, help, what stock does; and the exit code of `-t`.
//!
//! How they look is in [`super::render`]; did-you-mean and look-alike characters are in [`super::suggest`].
//! spec/config-language.md §10, spec/daemon-behaviour.md §4.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::source::Span;

/// How grave a report is for the reader. The exit code does not depend on it but on [`Class`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Something is ignored, or is not what it seems.
    Warning,
    /// The configuration does not do what it says.
    Error,
}

impl Severity {
    /// As reports call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// The exit class of `-t` that a report carries, lowest first: the highest of a run decides the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Class {
    /// Only said (stock logs it): 0.
    #[default]
    None,
    /// A file that may not be read: 4.
    File,
    /// Interfaces of a few places, and the static address without usable default interface: 4.
    Interface,
    /// Any other configuration error or warning, deprecated words included: 5.
    Other,
    /// Script security: 6.
    Security,
    /// A keyword without its argument: 2. Stock stops reading there, so whoever reports it stops too.
    MissingArgument,
    /// A failed include check: 6 before anything else is said, and the daemon does not start.
    Include,
}

impl Class {
    /// The exit code of `-t` when this is the highest class of the run.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::MissingArgument => 2,
            Self::File | Self::Interface => 4,
            Self::Other => 5,
            Self::Security | Self::Include => 6,
        }
    }
}

/// One report. Built by [`Diagnostic::error`] and the like, then refined: `.class(…).label(…).help(…)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How grave.
    pub severity: Severity,
    /// What it does to the exit code.
    pub class: Class,
    /// Stable name, kebab-case, for scripts and the documentation: `unknown-keyword`.
    pub id: &'static str,
    /// Where; `None` for what has no place, as a file that does not exist.
    pub span: Option<Span>,
    /// What is wrong, naming the object; no full stop.
    pub message: String,
    /// A few words beside the caret.
    pub label: Option<String>,
    /// Other places that belong to it, each with a few words.
    pub related: Vec<(Span, String)>,
    /// What to write instead.
    pub help: Vec<String>,
    /// What stock keepalived does about it.
    pub stock: Option<Cow<'static, str>>,
}

impl Diagnostic {
    /// An error of class [`Class::Other`].
    pub fn error(id: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, Class::Other, id, Some(span), message.into())
    }

    /// A warning of class [`Class::Other`].
    pub fn warning(id: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, Class::Other, id, Some(span), message.into())
    }

    /// A note, without influence on the exit code.
    pub fn note(id: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, Class::None, id, Some(span), message.into())
    }

    /// Any report, also one without a place.
    pub fn new(
        severity: Severity,
        class: Class,
        id: &'static str,
        span: Option<Span>,
        message: String,
    ) -> Self {
        Self {
            severity,
            class,
            id,
            span,
            message,
            label: None,
            related: Vec::new(),
            help: Vec::new(),
            stock: None,
        }
    }

    /// With another exit class.
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// As a warning that does not count: stock logs it and goes on.
    pub fn only_warned(self) -> Self {
        Self { severity: Severity::Warning, class: Class::None, ..self }
    }

    /// With a few words beside the caret.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With another place that belongs to it.
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// With (one more) thing to write instead.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// With what stock does.
    pub fn stock(mut self, stock: impl Into<Cow<'static, str>>) -> Self {
        self.stock = Some(stock.into());
        self
    }
}

/// How many reports of one reading are kept; more are counted.
pub const MAX_REPORTS: usize = 1000;

/// The reports of one reading, in the order of arrival, one per cause: a second report of the same id at the same
/// place is dropped (only its class counts).
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    reports: Vec<Diagnostic>,
    seen: HashSet<(&'static str, Span)>,
    dropped: usize,
    /// The highest class of each identifier.
    classes: HashMap<&'static str, Class>,
    class: Class,
}

impl Diagnostics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a report.
    pub fn push(&mut self, report: Diagnostic) {
        self.class = self.class.max(report.class);
        let class = self.classes.entry(report.id).or_default();
        *class = (*class).max(report.class);
        if report.span.is_some_and(|span| self.seen.contains(&(report.id, span))) {
            return;
        }
        if self.reports.len() >= MAX_REPORTS {
            self.dropped += 1;
            return;
        }
        self.seen.extend(report.span.map(|span| (report.id, span)));
        self.reports.push(report);
    }

    /// Makes errors of what is graver than a note and does not count for `-t`: for those who want no warnings at all.
    pub fn make_strict(&mut self) {
        for report in &mut self.reports {
            if report.class == Class::None && report.severity > Severity::Note {
                (report.severity, report.class) = (Severity::Error, Class::Other);
                self.classes.insert(report.id, Class::Other);
                self.class = self.class.max(report.class);
            }
        }
    }

    /// Takes away the reports that are not wanted, and what they did to the exit code.
    pub fn retain(&mut self, wanted: impl Fn(&Diagnostic) -> bool) {
        let before = self.reports.len();
        self.reports.retain(wanted);
        if self.reports.len() < before && self.dropped == 0 {
            let classes = self.reports.iter().filter_map(|report| self.classes.get(report.id));
            self.class = classes.copied().max().unwrap_or_default();
        }
    }

    /// The reports in the order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.reports.iter()
    }

    /// Nothing to say?
    pub fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.reports.len()
    }

    /// How many more there were than [`MAX_REPORTS`].
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The highest class met.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The exit code of `-t`.
    pub fn exit_code(&self) -> u8 {
        self.class.exit_code()
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::SourceMap;
    use super::*;

    fn exit_code(classes: &[Class]) -> u8 {
        let mut diagnostics = Diagnostics::new();
        for &class in classes {
            diagnostics.push(Diagnostic::new(Severity::Error, class, "x", None, String::new()));
        }
        diagnostics.exit_code()
    }

    #[test]
    fn the_highest_class_decides_the_exit_code() {
        assert_eq!(exit_code(&[]), 0);
        assert_eq!(exit_code(&[Class::None]), 0);
        assert_eq!(exit_code(&[Class::Interface, Class::File]), 4);
        assert_eq!(exit_code(&[Class::Other, Class::Interface]), 5);
        assert_eq!(exit_code(&[Class::Security, Class::Other]), 6);
        assert_eq!(exit_code(&[Class::MissingArgument, Class::Security]), 2);
        assert_eq!(exit_code(&[Class::Include, Class::MissingArgument]), 6);
    }

    #[test]
    fn the_same_cause_at_the_same_place_is_reported_once() {
        let span = SourceMap::default().add_file("f", "abc".to_owned(), None).span();
        let mut diagnostics = Diagnostics::new();
        diagnostics.push(Diagnostic::note("a", span, "first"));
        diagnostics.push(Diagnostic::error("a", span, "again"));
        diagnostics.push(Diagnostic::note("a", span.head(), "elsewhere"));
        let messages: Vec<_> = diagnostics.iter().map(|report| report.message.as_str()).collect();
        assert_eq!(messages, ["first", "elsewhere"]);
        assert_eq!(diagnostics.exit_code(), 5);
    }

    #[test]
    fn what_is_taken_away_counts_no_more() {
        let span = SourceMap::default().add_file("f", "abc".to_owned(), None).span();
        let mut diagnostics = Diagnostics::new();
        diagnostics.push(Diagnostic::note("a", span, ""));
        // The same cause, seen by another walk, counts.
        diagnostics.push(Diagnostic::error("a", span, ""));
        diagnostics.push(Diagnostic::error("b", span, "").class(Class::Security));
        diagnostics.retain(|report| report.id != "b");
        assert_eq!(diagnostics.exit_code(), 5);
        diagnostics.retain(|report| report.id != "a");
        assert_eq!(diagnostics.exit_code(), 0);
    }

    #[test]
    fn strictness_makes_errors_of_warnings_and_leaves_notes_alone() {
        let span = SourceMap::default().add_file("f", "abc".to_owned(), None).span();
        let mut diagnostics = Diagnostics::new();
        diagnostics.push(Diagnostic::note("a", span, ""));
        diagnostics.make_strict();
        assert_eq!(diagnostics.exit_code(), 0);
        diagnostics.push(Diagnostic::warning("b", span, "").class(Class::None));
        diagnostics.make_strict();
        assert_eq!(diagnostics.exit_code(), 5);
        let severities: Vec<_> = diagnostics.iter().map(|report| report.severity).collect();
        assert_eq!(severities, [Severity::Note, Severity::Error]);
    }

    #[test]
    fn a_flood_of_reports_is_counted_not_kept() {
        let mut diagnostics = Diagnostics::new();
        for _ in 0..MAX_REPORTS + 5 {
            diagnostics.push(Diagnostic::new(Severity::Error, Class::Other, "x", None, String::new()));
        }
        assert_eq!((diagnostics.len(), diagnostics.dropped()), (MAX_REPORTS, 5));
    }
}
