//! include*, $VAR, ~SEQ/~LST and @conditions: physical lines -> logical lines. spec/config-language.md §1, §5–§8.

use super::diagnostic::Diagnostics;
use super::files::Files;
use super::source::{Slice, SourceMap, decode};
use super::syntax::{Line, LineKind, split_braces, uncomment, words};

/// Which checks an include makes (spec §5). A failed one is exit 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IncludeChecks {
    /// A match that is a directory, executable or unreadable.
    pub read: bool,
    /// A plain name without a file.
    pub plain: bool,
    /// A wildcard without a match.
    pub wildcard: bool,
    /// A part of a `{a,b}` without a match.
    pub brace: bool,
}

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
    pub lines: Vec<Line>,
    /// The texts that the spans point into.
    pub sources: SourceMap,
    /// At least one main file could be read and no include check failed. Otherwise the daemon exits with 6, while `-t`
    /// goes by the exit code of the diagnostics.
    pub configured: bool,
}

/// Reads the configuration, each file once.
pub fn read(files: &dyn Files, options: &ReadOptions, _diagnostics: &mut Diagnostics) -> Lines {
    let mut lines = Lines::default();
    for path in files.glob(&options.main) {
        let Ok(bytes) = files.read(&path) else { continue };
        let source = lines.sources.add_file(&path, decode(bytes), None);
        lines.configured = true;
        let mut start = 0;
        for text in source.text().split_inclusive('\n') {
            let kept = uncomment(text.trim_end_matches(['\r', '\n'])).kept;
            let line = Slice::new(&source, start + kept.start..start + kept.end);
            for (kind, range) in split_braces(&line) {
                let raw = line.part(range);
                let words = if kind == LineKind::Words { words(&raw) } else { Vec::new() };
                lines.lines.push(Line { kind, words, raw, ours: false });
            }
            start += text.len();
        }
    }
    lines
}
