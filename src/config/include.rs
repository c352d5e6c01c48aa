//! The include words: patterns, checks, and what a failure does (spec/config-language.md §5).

use super::diagnostic::{Class, Diagnostic, Diagnostics};
use super::files::{Files, ReadError};
use super::source::Span;
use super::syntax::is_space;

/// Which checks an include makes (spec §5). A failed one is exit 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IncludeChecks {
    /// A match that is a directory, executable or unreadable.
    pub read: bool,
    /// A plain name without a file (`match`).
    pub plain: bool,
    /// A wildcard without a match (`wildcard_match`).
    pub wildcard: bool,
    /// A part of a `{a,b}` without a match (`brace_match`).
    pub brace: bool,
}

impl IncludeChecks {
    /// No check.
    pub const NONE: Self = Self { read: false, plain: false, wildcard: false, brace: false };
    /// Every check: `-e`, `includea`, `include_check` alone.
    pub const ALL: Self = Self { read: true, plain: true, wildcard: true, brace: true };

    fn and(self, other: Self) -> Self {
        Self {
            read: self.read || other.read,
            plain: self.plain || other.plain,
            wildcard: self.wildcard || other.wildcard,
            brace: self.brace || other.brace,
        }
    }

    /// The level after `include_check WORDS` (spec/global-defs.md): a word without sign sets this check and `read`,
    /// `+` adds, `-` removes, nothing at all sets every check. Unknown words change nothing.
    pub(super) fn changed_by<'a>(self, words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut level = self;
        let mut none = true;
        let mut plain_seen = false;
        for word in words {
            none = false;
            let (on, name, signed) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
                (Some(name), _) => (true, name, true),
                (_, Some(name)) => (false, name, true),
                _ => (true, word, false),
            };
            let mut changed = if signed { level } else { Self { read: true, ..Self::NONE } };
            match name {
                "read" => changed.read = on,
                "match" => changed.plain = on,
                "wildcard_match" => changed.wildcard = on,
                "brace_match" => changed.brace = on,
                _ => continue,
            }
            if signed || !std::mem::replace(&mut plain_seen, true) {
                level = changed;
            }
        }
        if none { Self::ALL } else { level }
    }
}

const NONE: IncludeChecks = IncludeChecks::NONE;

/// The include words, the longest of a common start first, with the checks that each adds.
const WORDS: [(&str, IncludeChecks); 6] = [
    ("includer", IncludeChecks { read: true, ..NONE }),
    ("includem", IncludeChecks { read: true, plain: true, ..NONE }),
    ("includew", IncludeChecks { read: true, plain: true, wildcard: true, ..NONE }),
    ("includeb", IncludeChecks { read: true, brace: true, ..NONE }),
    ("includea", IncludeChecks::ALL),
    ("include", NONE),
];

/// An include line: its word's checks and where the pattern starts.
pub(super) fn include_line(line: &str) -> Option<(IncludeChecks, usize)> {
    let (rest, checks) = WORDS.iter().find_map(|&(word, checks)| {
        Some((line.strip_prefix(word).filter(|rest| rest.starts_with(is_space))?, checks))
    })?;
    let pattern = rest.trim_start_matches(is_space);
    (!pattern.is_empty()).then(|| (checks, line.len() - pattern.len()))
}

/// A file that an include named, read.
pub(super) struct Included {
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
}

/// One include: its pattern, where it stands, and the checks in force.
pub(super) struct Include<'a> {
    pub(super) pattern: &'a str,
    /// The directory of the including file.
    pub(super) directory: &'a str,
    pub(super) at: Span,
    /// The word's and the level's.
    pub(super) checks: (IncludeChecks, IncludeChecks),
}

impl Include<'_> {
    /// The files that match, in order. What cannot be read is reported and left out.
    pub(super) fn read(&self, files: &dyn Files, diagnostics: &mut Diagnostics) -> Vec<Included> {
        let checks = self.checks.0.and(self.checks.1);
        let Some(alternatives) = alternatives(self.pattern) else {
            let message = format!("`{}` stands for more than {MAX_ALTERNATIVES} names", self.pattern);
            diagnostics.push(Diagnostic::error("include-too-many", self.at, message));
            return Vec::new();
        };
        let braces = alternatives.len() > 1;
        let mut paths = Vec::new();
        for alternative in &alternatives {
            let found = files.glob(&join(self.directory, alternative));
            if found.is_empty() && braces {
                let message =
                    format!("nothing matches `{alternative}`, a part of `include {}`", self.pattern);
                let rest = if checks.brace { "includes nothing and exits with 6" } else { "uses the rest" };
                diagnostics.push(self.failure("include-brace", message, checks.brace).stock(rest));
                if checks.brace {
                    return Vec::new();
                }
            }
            paths.extend(found);
        }
        if paths.is_empty() {
            self.nothing(&alternatives, checks, diagnostics);
        }
        let mut included = Vec::with_capacity(paths.len());
        for path in paths {
            match files.read(&path) {
                Ok(bytes) => included.push(Included { path, bytes }),
                Err(error) => {
                    let report = self.failure(
                        "include-unreadable",
                        format!("cannot include {path}: {error}"),
                        checks.read,
                    );
                    let report = match error {
                        ReadError::Executable => report.help(format!("chmod a-x {path}")),
                        ReadError::Directory => {
                            report.help(format!("for the files in it: include {path}/*.conf"))
                        }
                        _ => report,
                    };
                    let then = if checks.read { "exits with 6" } else { "says so and goes on without it" };
                    diagnostics.push(report.stock(then));
                }
            }
        }
        included
    }

    fn nothing(&self, alternatives: &[String], checks: IncludeChecks, diagnostics: &mut Diagnostics) {
        let wildcard = alternatives.iter().any(|pattern| pattern.contains(['*', '?', '[']));
        let failed = if wildcard { checks.wildcard } else { checks.plain };
        // Missing parts of braces are reported one by one already.
        if (wildcard || alternatives.len() > 1) && !failed {
            return;
        }
        let (id, message) = if wildcard {
            ("include-no-match", format!("no file matches `{}`", self.pattern))
        } else {
            ("include-missing", format!("the file `{}` does not exist", self.pattern))
        };
        let mut report = self.failure(id, message, failed);
        if self.pattern.starts_with(['"', '\'']) {
            report =
                report.help("write the name without quotes: include takes the rest of the line as it is");
        } else if !self.pattern.starts_with('/') {
            report = report.help("a relative name counts from the directory of the file that includes it");
        }
        let then = if failed { "exits with 6" } else { "says so and goes on without it" };
        diagnostics.push(report.stock(then));
    }

    fn failure(&self, id: &'static str, message: String, fatal: bool) -> Diagnostic {
        if fatal {
            Diagnostic::error(id, self.at, message).class(Class::Include)
        } else {
            Diagnostic::warning(id, self.at, message).class(Class::None)
        }
    }
}

/// A path as seen from a directory.
pub(super) fn join(directory: &str, path: &str) -> String {
    match directory {
        _ if path.starts_with('/') => path.to_owned(),
        "" => path.to_owned(),
        "/" => format!("/{path}"),
        directory => format!("{directory}/{path}"),
    }
}

/// The directory part of a path; empty for a bare name.
pub(super) fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) => "/",
        Some(at) => &path[..at],
        None => "",
    }
}

const MAX_ALTERNATIVES: usize = 1000;

/// What `{a,b}` in a pattern stands for, in order, nested ones too; `None` above [`MAX_ALTERNATIVES`]. As in the C
/// library a `{}` and a brace without partner are ordinary characters.
pub(super) fn alternatives(pattern: &str) -> Option<Vec<String>> {
    let mut done = Vec::new();
    let mut waiting = vec![(pattern.to_owned(), 0)];
    while let Some((pattern, from)) = waiting.pop() {
        if done.len() + waiting.len() > MAX_ALTERNATIVES {
            return None;
        }
        let Some((open, parts, close)) = brace_group(&pattern, from) else {
            done.push(pattern);
            continue;
        };
        let expand = |part: &std::ops::Range<usize>| {
            (format!("{}{}{}", &pattern[..open], &pattern[part.clone()], &pattern[close + 1..]), open)
        };
        waiting.extend(parts.iter().rev().map(expand));
    }
    Some(done)
}

/// The first group at or after `from`: its `{`, its parts, its `}`.
fn brace_group(pattern: &str, from: usize) -> Option<(usize, Vec<std::ops::Range<usize>>, usize)> {
    let bytes = pattern.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'{' if bytes.get(at + 1) != Some(&b'}') => {
                let mut depth = 0_usize;
                let mut parts = Vec::new();
                let mut start = at + 1;
                let mut end = start;
                while let Some(&byte) = bytes.get(end) {
                    match byte {
                        b'\\' => end += 1,
                        b'{' => depth += 1,
                        b'}' if depth == 0 => {
                            parts.push(start..end);
                            return Some((at, parts, end));
                        }
                        b'}' => depth -= 1,
                        b',' if depth == 0 => {
                            parts.push(start..end);
                            start = end + 1;
                        }
                        _ => {}
                    }
                    end += 1;
                }
                return None;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_in_a_pattern_expand_in_order() {
        for (pattern, expected) in [
            ("a", vec!["a"]),
            ("{a,b}.conf", vec!["a.conf", "b.conf"]),
            ("x{a,b{1,2}}y{c,d}", vec!["xayc", "xayd", "xb1yc", "xb1yd", "xb2yc", "xb2yd"]),
            ("{}", vec!["{}"]),
            ("{a", vec!["{a"]),
            ("\\{a,b}", vec!["\\{a,b}"]),
        ] {
            assert_eq!(alternatives(pattern).unwrap(), expected, "{pattern}");
        }
        assert_eq!(alternatives(&"{a,b}".repeat(40)), None);
    }

    #[test]
    fn only_an_include_word_with_a_pattern_includes() {
        assert_eq!(include_line("include a b"), Some((NONE, 8)));
        assert_eq!(include_line("includea\ta"), Some((IncludeChecks::ALL, 9)));
        assert_eq!(include_line("include"), None);
        assert_eq!(include_line("includex a"), None);
        assert_eq!(include_line("includer"), None);
    }

    #[test]
    fn include_check_changes_the_level() {
        let change = |words: &str| IncludeChecks::NONE.changed_by(words.split_whitespace());
        assert_eq!(change(""), IncludeChecks::ALL);
        assert_eq!(change("match"), IncludeChecks { read: true, plain: true, ..NONE });
        assert_eq!(change("match wildcard_match"), IncludeChecks { read: true, plain: true, ..NONE });
        assert_eq!(change("+brace_match"), IncludeChecks { brace: true, ..NONE });
        assert_eq!(change("readable"), NONE);
        assert!(!IncludeChecks::ALL.changed_by(["-read"]).read);
    }
}
