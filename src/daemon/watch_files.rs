//! Tracked files: their directories are watched, their numbers read again when something happened to them.

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::info;

use super::ipc::Reading;
use crate::config::model::TrackFile;
use crate::kernel::files::{host_path, open_plain};
use crate::kernel::inotify::{Change, Directories, WatchDescriptor};

/// How often a directory that is gone is looked for.
const RETRY: Duration = Duration::from_secs(1);
/// As much of a file is read.
const LONGEST: u64 = 127;

/// The tracked files of a configuration.
#[derive(Default)]
pub(super) struct Files {
    tracked: Vec<File>,
    directories: Option<Directories>,
    watches: HashMap<WatchDescriptor, PathBuf>,
    /// Directories that cannot be watched now.
    lost: HashSet<PathBuf>,
    /// When they are looked for again.
    retry: Option<Instant>,
}

struct File {
    name: String,
    path: PathBuf,
    value: i32,
}

impl File {
    fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(directory) if directory != Path::new("") => directory,
            _ => Path::new("."),
        }
    }

    /// Reads it again. Says whether the number changed.
    fn read(&mut self) -> bool {
        let value = match number(&contents(&self.path)) {
            Ok(value) => value,
            Err(text) => {
                info!("Invalid number {text} read from {} - ignoring", self.path.display());
                return false;
            }
        };
        std::mem::replace(&mut self.value, value) != value
    }

    fn reading(&self) -> Reading {
        Reading::File { name: self.name.clone(), value: self.value }
    }
}

impl Files {
    /// Reads them and watches their directories.
    pub(super) fn new(configured: &[TrackFile]) -> Self {
        let mut files = Self::default();
        if configured.is_empty() {
            return files;
        }
        match Directories::new() {
            Ok(directories) => files.directories = Some(directories),
            Err(error) => info!("{error}"),
        }
        for file in configured {
            let file = File { name: file.name.clone(), path: host_path(&file.path), value: 0 };
            files.lost.insert(file.directory().to_owned());
            files.tracked.push(file);
        }
        // Watched first, so that nothing happens unseen between the two.
        files.find_lost();
        for file in &mut files.tracked {
            file.read();
        }
        files
    }

    pub(super) fn readings(&self) -> impl Iterator<Item = Reading> + '_ {
        self.tracked.iter().map(File::reading)
    }

    /// Waits for numbers that changed. Safe to cancel.
    pub(super) async fn next(&mut self) -> Vec<Reading> {
        loop {
            let Some(directories) = &self.directories else { return std::future::pending().await };
            let changes = tokio::select! {
                changes = directories.changes() => match changes {
                    Ok(changes) => changes,
                    Err(error) => {
                        info!("reading news of directories: {error}");
                        sleep(RETRY).await;
                        continue;
                    }
                },
                () = sleep_until(self.retry.unwrap_or_else(Instant::now)), if self.retry.is_some() => Vec::new(),
            };
            let mut touched: HashSet<PathBuf> = HashSet::new();
            let mut all = false;
            for change in changes {
                match change {
                    Change::Entry { watch, name } => {
                        touched.extend(self.watches.get(&watch).map(|directory| directory.join(name)));
                    }
                    Change::Gone(watch) => {
                        self.lost.extend(self.watches.remove(&watch));
                        all = true;
                    }
                    Change::Overflow => all = true,
                }
            }
            all |= self.find_lost();
            let mut readings = Vec::new();
            for file in &mut self.tracked {
                if (all || touched.contains(&file.path)) && file.read() {
                    readings.push(file.reading());
                }
            }
            if !readings.is_empty() {
                return readings;
            }
        }
    }

    /// Watches directories that are (again) there. Says whether there were any.
    fn find_lost(&mut self) -> bool {
        let Some(directories) = &self.directories else { return false };
        let before = self.lost.len();
        self.lost.retain(|directory| match directories.add(directory) {
            Ok(watch) => {
                self.watches.insert(watch, directory.clone());
                false
            }
            Err(_) => true,
        });
        self.retry = (!self.lost.is_empty()).then(|| Instant::now() + RETRY);
        self.lost.len() < before
    }
}

/// Creates files as `init_file` says; at start only.
pub(super) fn initialise(files: &[TrackFile]) {
    for file in files {
        let Some(init) = file.init else { continue };
        let path = host_path(&file.path);
        let mut options = OpenOptions::new();
        options.write(true).mode(0o666).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        if init.overwrite {
            options.create(true).truncate(true);
        } else {
            options.create_new(true);
        }
        match options.open(&path).and_then(|mut opened| writeln!(opened, "{}", init.value)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && !init.overwrite => {}
            Err(error) => info!("Unable to write initial value of tracked file {}: {error}", file.path),
        }
    }
}

/// The beginning of a file; nothing if it cannot be read.
fn contents(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = open_plain(path)
        && file.take(LONGEST).read_to_end(&mut bytes).is_err()
    {
        bytes.clear();
    }
    bytes
}

/// The number that a text begins with, as `strtol` reads it: blanks, a sign, `0x` or `0` in front; 0 if there is none.
/// The number's text if it is beyond 32 bits.
fn number(bytes: &[u8]) -> Result<i32, String> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r');
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let text = &bytes[start..];
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] | rest => (false, rest),
    };
    let (radix, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => (16, rest),
        [b'0', ..] => (8, digits),
        _ => (10, digits),
    };
    let mut value = 0_i64;
    for digit in digits.iter().map_while(|byte| char::from(*byte).to_digit(radix)) {
        value = value.saturating_mul(i64::from(radix)).saturating_add(i64::from(digit));
    }
    let value = if negative { -value } else { value };
    i32::try_from(value).map_err(|_| {
        let text = text.split(is_blank).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_as_strtol_reads_them() {
        for (text, value) in [
            ("5\n", 5),
            ("  -7 apples", -7),
            ("+3", 3),
            ("0x1F", 31),
            ("0xg", 0),
            ("017", 15),
            ("08", 0),
            ("", 0),
            ("abc", 0),
            ("2147483647", i32::MAX),
            ("-2147483648", i32::MIN),
        ] {
            assert_eq!(number(text.as_bytes()), Ok(value), "{text:?}");
        }
        assert_eq!(number(b"2147483648\nmore"), Err("2147483648".into()));
        assert_eq!(number(b"99999999999999999999999"), Err("99999999999999999999999".into()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_number_or_beyond_one(bytes in proptest::collection::vec(any::<u8>(), 0..127)) {
            let _ = number(&bytes);
        }
    }

    fn tracked(name: &str, path: &Path) -> TrackFile {
        let path = path.to_str().unwrap().to_owned();
        TrackFile { name: name.into(), path, weight: 1, reverse: false, init: None }
    }

    fn value(name: &str, value: i32) -> Reading {
        Reading::File { name: name.into(), value }
    }

    async fn next(files: &mut Files) -> Vec<Reading> {
        tokio::time::timeout(Duration::from_secs(10), files.next()).await.expect("a change is told")
    }

    #[tokio::test]
    async fn a_file_is_followed_through_writing_renaming_and_removal() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("f"), folder.path().join("g"));
        fs::write(&path, "3").unwrap();
        let mut files = Files::new(&[tracked("f", &path), tracked("g", &other)]);
        assert_eq!(files.readings().collect::<Vec<_>>(), [value("f", 3), value("g", 0)]);
        fs::write(&path, "4").unwrap();
        assert_eq!(next(&mut files).await, [value("f", 4)]);
        fs::rename(&path, &other).unwrap();
        assert_eq!(next(&mut files).await, [value("f", 0), value("g", 4)]);
        fs::remove_file(&other).unwrap();
        assert_eq!(next(&mut files).await, [value("g", 0)]);
        // Beyond 32 bits: the number stays.
        fs::write(&path, "99999999999").unwrap();
        fs::write(&other, "1").unwrap();
        assert_eq!(next(&mut files).await, [value("g", 1)]);
    }

    #[tokio::test]
    async fn a_directory_that_comes_back_is_watched_again() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        let path = inner.join("f");
        fs::create_dir(&inner).unwrap();
        fs::write(&path, "3").unwrap();
        let mut files = Files::new(&[tracked("f", &path)]);
        fs::rename(&inner, folder.path().join("other")).unwrap();
        assert_eq!(next(&mut files).await, [value("f", 0)]);
        fs::create_dir(&inner).unwrap();
        fs::write(&path, "5").unwrap();
        assert_eq!(next(&mut files).await, [value("f", 5)]);
        fs::write(&path, "6").unwrap();
        assert_eq!(next(&mut files).await, [value("f", 6)]);
    }

    #[test]
    fn initial_values_are_written_where_there_is_none_or_over_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let init = |value, overwrite| {
            let init = Some(crate::config::model::InitFile { value, overwrite });
            initialise(&[TrackFile { init, ..tracked("f", &path) }]);
            fs::read_to_string(&path).unwrap()
        };
        assert_eq!(init(7, false), "7\n");
        assert_eq!(init(8, false), "7\n");
        assert_eq!(init(-9, true), "-9\n");
    }
}
