//! Changes in directories, told by the kernel: which names were written, came or went.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

pub use nix::sys::inotify::WatchDescriptor;

use super::error::{Doing, Error};
use super::readiness::{Steady, Watched};

/// What happened in a watched directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This entry was written and closed, removed, renamed, or given another name.
    Entry {
        /// The directory's watch.
        watch: WatchDescriptor,
        /// The entry's name.
        name: OsString,
    },
    /// The directory itself was removed or renamed; its watch is over.
    Gone(WatchDescriptor),
    /// There were too many changes: everything must be looked at again.
    Overflow,
}

/// A set of watched directories.
pub struct Directories(Watched<Inotify>);

// SAFETY: the descriptor is opened by `Inotify::init`, never replaced, and closed on drop.
unsafe impl Steady for Inotify {}

impl Directories {
    /// None yet. Needs a tokio runtime.
    pub fn new() -> Result<Self, Error> {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let inotify = Inotify::init(flags).doing(|| "asking for news of directories")?;
        Watched::readable_only(inotify).map(Self)
    }

    /// Watches a directory; the same one twice has one watch.
    pub fn add(&self, directory: &Path) -> Result<WatchDescriptor, Error> {
        let changes = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        self.0.get().add_watch(directory, changes).doing(|| format!("watching {}", directory.display()))
    }

    /// Waits for changes. Safe to cancel.
    pub async fn changes(&self) -> io::Result<Vec<Change>> {
        self.0.read(read).await
    }

    /// What has come already.
    pub fn waiting(&self) -> Vec<Change> {
        read(self.0.get()).unwrap_or_default()
    }
}

impl AsFd for Directories {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn read(inotify: &Inotify) -> io::Result<Vec<Change>> {
    let events = inotify.read_events()?;
    let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_IGNORED;
    let mut changes = Vec::with_capacity(events.len());
    for event in events {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            changes.push(Change::Overflow);
        } else if event.mask.intersects(gone) {
            if event.mask.contains(AddWatchFlags::IN_MOVE_SELF) {
                // Under its new name it is another directory. It may have been removed already.
                let _ = inotify.rm_watch(event.wd);
            }
            changes.push(Change::Gone(event.wd));
        } else if let Some(name) = event.name {
            changes.push(Change::Entry { watch: event.wd, name });
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn what_is_written_renamed_and_removed_is_told_and_the_end_of_the_directory_too() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let directories = Directories::new().unwrap();
        let watch = directories.add(&inner).unwrap();
        let entry = |name: &str| Change::Entry { watch, name: name.into() };
        fs::write(inner.join("a"), "1").unwrap();
        assert_eq!(directories.changes().await.unwrap(), [entry("a")]);
        fs::rename(inner.join("a"), inner.join("b")).unwrap();
        assert_eq!(directories.changes().await.unwrap(), [entry("a"), entry("b")]);
        fs::remove_file(inner.join("b")).unwrap();
        assert_eq!(directories.waiting(), [entry("b")]);
        fs::remove_dir(&inner).unwrap();
        assert!(directories.changes().await.unwrap().contains(&Change::Gone(watch)));
        assert!(directories.add(&inner).is_err());
    }
}
