//! Writing dump files where stock writes them. What stands in them is `report`'s. spec/daemon-behaviour.md §12.
//!
//! A file is complete when it gets its name, and closed after: readers that wait for the name and readers that wait for
//! the end of writing both find all of it (stock names data and statistics first and fills them afterwards).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::kernel::timer;
use crate::report::start::at_start;

/// Who may read a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Those the umask leaves: data and statistics.
    Umask,
    /// Root alone: JSON.
    Owner,
}

/// Writes what of a dump is known at start to the log (`-d`).
pub fn log_at_start(text: &str) {
    for line in at_start(text) {
        tracing::info!("{line}");
    }
}

/// Writes `name` (as `keepalived.data`) into the directory of dumps; failures are logged.
pub fn write(name: &str, text: &str, readers: Readers) {
    let path = directory().join(name);
    if let Err(error) = write_at(&path, text, readers) {
        tracing::info!("Can't write dump file {}: {error}", path.display());
    }
}

/// `$TMPDIR` if that is an absolute path to a directory, else `/tmp`.
fn directory() -> PathBuf {
    std::env::var_os("TMPDIR")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute() && path.is_dir())
        .unwrap_or_else(|| "/tmp".into())
}

fn write_at(path: &Path, text: &str, readers: Readers) -> io::Result<()> {
    let mode = match readers {
        Readers::Umask => 0o666,
        Readers::Owner => 0o600,
    };
    let (mut file, temporary) = create(path, mode)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Half a dump is no dump; that it cannot be removed either changes nothing.
        let _ = fs::remove_file(&temporary);
    }
    // The file is closed here, under its final name: that is the event some readers wait for.
    written
}

/// A new file beside `path` that nobody else has opened: the directory is everybody's.
fn create(path: &Path, mode: u32) -> io::Result<(File, PathBuf)> {
    let mut salt = timer::now().as_nanos();
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("{:06x}", salt & 0xff_ffff));
        let temporary = PathBuf::from(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&temporary);
        match file {
            Ok(file) => return Ok((file, temporary)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => salt = salt.wrapping_add(7919),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_dump_replaces_the_last_one_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keepalived.json");
        write_at(&path, "an older and longer one", Readers::Owner).unwrap();
        write_at(&path, "[]", Readers::Owner).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[]");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_symlink_in_the_place_of_a_dump_is_replaced_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("keepalived.data"), folder.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        write_at(&path, "dump", Readers::Umask).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&path).unwrap(), "dump");
    }
}
