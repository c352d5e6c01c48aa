//! What the reader needs of the host's files: contents, globs, environment, directories.
//!
//! The real ones are `kernel::files`; [`MemoryFiles`] serve tests, `simulate` and the check of another machine's files.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

/// The host's files as the configuration sees them. Paths are UTF-8 text as [`super::source::decode`] makes it.
/// A path without a leading `/` is relative to the directory the program was started in.
pub trait Files {
    /// The bytes of a configuration file. Refuses what is no regular file and what has any execute bit.
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError>;

    /// The paths that match a pattern with `*`, `?`, `[…]` and backslash escapes, in the C library's order. A pattern
    /// without any of them gives itself if something of that name exists. Braces are not special (the reader expands them).
    fn glob(&self, pattern: &str) -> Vec<String>;

    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;

    /// What stands at a path, symlinks not followed (`lstat`); `None` if nothing does.
    fn status(&self, path: &str) -> Option<Status>;

    /// The absolute form of a directory (symlinks resolved where that is possible). An empty path is the current directory.
    fn directory(&self, path: &str) -> String;

    /// Is there such a directory, and would the kernel tell of changes in it? Not so for `/proc`, `/sys` and what lies
    /// on other hosts.
    fn is_watchable(&self, directory: &str) -> bool;
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its kind.
    pub kind: FileKind,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
}

/// The kind of a directory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symlink and what it says.
    Symlink(String),
    /// A device, FIFO or socket.
    Special,
}

/// Why a configuration file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Nothing there.
    #[error("no such file")]
    Missing,
    /// The file's mode or the directory's forbids it.
    #[error("permission denied")]
    Denied,
    /// A directory.
    #[error("it is a directory")]
    Directory,
    /// A device, FIFO or socket.
    #[error("it is not a regular file")]
    Special,
    /// A regular file with an execute bit.
    #[error("it is executable")]
    Executable,
    /// More than [`super::source::MAX_TEXT`] bytes.
    #[error("it is larger than {} MiB", super::source::MAX_TEXT >> 20)]
    TooLarge,
    /// Anything else, as the system says it.
    #[error("{0}")]
    Other(String),
}

/// Files that exist only here.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    files: BTreeMap<String, Result<Vec<u8>, ReadError>>,
    variables: BTreeMap<String, String>,
    statuses: BTreeMap<String, Status>,
}

impl MemoryFiles {
    /// No file at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more file.
    pub fn file(mut self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.files.insert(path.to_owned(), Ok(bytes.as_ref().to_vec()));
        self
    }

    /// With a path that exists and cannot be read.
    pub fn refused(mut self, path: &str, error: ReadError) -> Self {
        self.files.insert(path.to_owned(), Err(error));
        self
    }

    /// With an executable of root's that anybody may run.
    pub fn script(self, path: &str) -> Self {
        self.entry(path, Status { kind: FileKind::File, uid: 0, gid: 0, mode: 0o755 })
    }

    /// With an entry of this status. Directories above it are root's, unless given themselves.
    pub fn entry(mut self, path: &str, status: Status) -> Self {
        self.statuses.insert(path.to_owned(), status);
        self
    }

    /// With an environment variable.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn directories(&self) -> BTreeSet<&str> {
        let parents = |path: &'_ str| path.match_indices('/').map(|(at, _)| at).collect::<Vec<_>>();
        self.files.keys().flat_map(|path| parents(path).into_iter().map(move |at| &path[..at])).collect()
    }
}

impl Files for MemoryFiles {
    fn is_watchable(&self, directory: &str) -> bool {
        self.statuses.get(directory).is_none_or(|status| status.kind == FileKind::Directory)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        match self.files.get(path) {
            Some(found) => found.clone(),
            None if self.directories().contains(path) => Err(ReadError::Directory),
            None => Err(ReadError::Missing),
        }
    }

    fn glob(&self, pattern: &str) -> Vec<String> {
        let directories = self.directories();
        let names = self.files.keys().map(String::as_str).chain(directories);
        let found: BTreeSet<&str> = names.filter(|name| matches(pattern, name)).collect();
        found.into_iter().map(str::to_owned).collect()
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn status(&self, path: &str) -> Option<Status> {
        let roots = |kind, mode| Some(Status { kind, uid: 0, gid: 0, mode });
        if let Some(status) = self.statuses.get(path) {
            return Some(status.clone());
        }
        if matches!(self.files.get(path), Some(Ok(_))) {
            return roots(FileKind::File, 0o644);
        }
        let below = format!("{}/", path.trim_end_matches('/'));
        let mut names = self.files.keys().chain(self.statuses.keys());
        if path == "/" || names.any(|name| name.starts_with(&below)) {
            return roots(FileKind::Directory, 0o755);
        }
        None
    }

    fn directory(&self, path: &str) -> String {
        if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}").trim_end_matches('/').to_owned()
        }
    }
}

/// Shell matching of a path, component by component; `*` and `?` leave a leading dot alone.
fn matches(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut names) = (pattern.split('/'), name.split('/'));
    loop {
        match (patterns.next(), names.next()) {
            (None, None) => return true,
            (Some(pattern), Some(name)) => {
                let pattern: Vec<char> = pattern.chars().collect();
                let name: Vec<char> = name.chars().collect();
                let hidden = name.first() == Some(&'.') && pattern.first() != Some(&'.');
                if hidden || !matches_component(&pattern, &name) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

fn matches_component(pattern: &[char], name: &[char]) -> bool {
    // The last `*` seen and the name position it has eaten up to: one place to go back to is enough.
    let (mut at, mut from, mut star) = (0, 0, None);
    loop {
        let step = match (pattern.get(at), name.get(from)) {
            (None, None) => return true,
            (Some('*'), _) => {
                star = Some((at + 1, from));
                at += 1;
                continue;
            }
            (Some(_), Some(&character)) => matches_one(&pattern[at..], character),
            _ => None,
        };
        match (step, star) {
            (Some(used), _) => (at, from) = (at + used, from + 1),
            (None, Some((after, eaten))) if eaten < name.len() => {
                star = Some((after, eaten + 1));
                (at, from) = (after, eaten + 1);
            }
            _ => return false,
        }
    }
}

/// How many characters of the pattern stand for this one character; `None` when it does not match.
fn matches_one(pattern: &[char], character: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', escaped, ..] => (*escaped == character).then_some(2),
        ['[', rest @ ..] => {
            let negated = matches!(rest.first(), Some('!' | '^'));
            let skip = usize::from(negated);
            let Some(close) = (skip + 1..rest.len()).find(|&at| rest[at] == ']') else {
                return (character == '[').then_some(1);
            };
            let mut set = &rest[skip..close];
            let mut found = false;
            while let [first, others @ ..] = set {
                let (last, remaining) = match others {
                    ['-', last, remaining @ ..] => (last, remaining),
                    _ => (first, others),
                };
                found |= (*first..=*last).contains(&character);
                set = remaining;
            }
            (found != negated).then_some(close + 2)
        }
        [plain, ..] => (*plain == character).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_as_in_the_shell() {
        for (pattern, name, expected) in [
            ("conf.d/*.conf", "conf.d/a.conf", true),
            ("conf.d/*.conf", "conf.d/.a.conf", false),
            ("conf.d/*", "conf.d/x/y", false),
            ("a?c", "abc", true),
            ("a[0-9]", "a5", true),
            ("a[!0-9]", "a5", false),
            ("*a*b", "xaybzb", true),
            ("\\*", "*", true),
            ("[", "[", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_directory_of_memory_files_is_found_and_refused() {
        let files = MemoryFiles::new().file("d/x.conf", "");
        assert_eq!(files.glob("*"), ["d"]);
        assert_eq!(files.read("d"), Err(ReadError::Directory));
        assert_eq!(files.directory("d"), "/d");
    }
}
