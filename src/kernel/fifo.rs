//! A notification FIFO: made or taken over, opened for writing without ever waiting for a reader.
//!
//! It is opened for reading and writing, so that lines wait in it while nobody reads, as many as the pipe holds.
//! spec/daemon-behaviour.md §8.2.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, stat};
use nix::unistd::{Gid, Uid, fchown, mkfifo};

use super::error::{Doing, Error};
use super::readiness::Watched;
use crate::config::model::{Identity, Pipe};
use crate::config::source::encode;

/// Before the umask.
const MODE: Mode = Mode::from_bits_truncate(0o644);

/// An open FIFO.
pub struct Fifo {
    path: PathBuf,
    pipe: Watched<OwnedFd>,
    /// Device and inode.
    identity: (u64, u64),
    made: bool,
}

impl Fifo {
    /// Makes it with its owner, or takes one that is there if it is root's or its owner's. Needs a tokio reactor.
    pub fn open(pipe: &Pipe) -> Result<Self, Error> {
        let path = path_of(pipe);
        let doing = |what: &str| format!("{what} the notify FIFO {}", path.display());
        let made = match mkfifo(&path, MODE) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false,
            Err(errno) => return Err(Error::new(doing("making"), errno)),
        };
        let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let opened = open(&path, flags, Mode::empty()).doing(|| doing("opening"))?;
        let status = fstat(&opened).doing(|| doing("looking at"))?;
        if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT != SFlag::S_IFIFO {
            let note = Some("it exists and is no FIFO".to_owned());
            return Err(Error { note, ..Error::new(doing("opening"), Errno::EEXIST) });
        }
        if !made && status.st_uid != 0 && status.st_uid != pipe.owner.uid {
            let note = Some(format!("it exists and belongs to user {}", status.st_uid));
            return Err(Error { note, ..Error::new(doing("opening"), Errno::EPERM) });
        }
        let fifo = Self { pipe: Watched::new(opened)?, identity: identity(&status), path, made };
        if made {
            fifo.give(pipe.owner)?;
        }
        Ok(fifo)
    }

    /// Is the file of that name still this FIFO?
    pub fn is_in_place(&self) -> bool {
        stat(&self.path).is_ok_and(|status| identity(&status) == self.identity)
    }

    /// Did this process make it?
    pub fn is_ours(&self) -> bool {
        self.made
    }

    /// Gives it to another owner.
    pub fn give(&self, owner: Identity) -> Result<(), Error> {
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        fchown(self.pipe.get(), Some(uid), Some(gid))
            .doing(|| format!("giving the notify FIFO {} to its owner", self.path.display()))
    }

    /// Writes a line; `WouldBlock` when the pipe is full. One of less than 4096 bytes is written wholly or not at all.
    pub fn write(&self, line: &[u8]) -> io::Result<usize> {
        nix::unistd::write(self.pipe.get(), line).map_err(io::Error::from)
    }

    /// Ready when `write` gives something else than `WouldBlock`. Only one task may wait for it.
    pub fn poll_write<R>(
        &self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&Self) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.pipe.poll_write(context, |_| write(self))
    }

    /// Bytes that nobody has read yet.
    pub fn unread(&self) -> usize {
        let mut count: libc::c_int = 0;
        // SAFETY: FIONREAD writes one int to the address given, which lives through the call.
        let done =
            unsafe { libc::ioctl(self.pipe.get().as_fd().as_raw_fd(), libc::FIONREAD, &raw mut count) };
        if done == 0 { usize::try_from(count).unwrap_or(0) } else { 0 }
    }

    /// Takes the file away, if this process made it.
    pub fn remove(self) {
        if self.made && self.is_in_place() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The path as the file system knows it.
fn path_of(pipe: &Pipe) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(&encode(&pipe.path))).to_path_buf()
}

fn identity(status: &FileStat) -> (u64, u64) {
    (status.st_dev, status.st_ino)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    use super::*;

    fn pipe(path: &Path) -> Pipe {
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        Pipe { path: path.to_str().unwrap().to_owned(), owner: Identity { uid, gid, ..Identity::default() } }
    }

    #[tokio::test]
    async fn lines_wait_for_a_late_reader_and_a_full_pipe_takes_no_half_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let fifo = Fifo::open(&pipe(&path)).unwrap();
        assert!(std::fs::metadata(&path).unwrap().file_type().is_fifo());
        let line = [b'x'; 1000];
        let mut written = 0;
        let error = loop {
            match fifo.write(&line) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(written >= 60_000 && written % 1000 == 0, "{written}");
        assert_eq!(fifo.unread(), written);
        assert!(fifo.is_in_place());
        fifo.remove();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_there_is_taken_if_it_is_a_fifo_and_stays_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        mkfifo(&path, Mode::from_bits_truncate(0o620)).unwrap();
        let before = std::fs::metadata(&path).unwrap();
        let fifo = Fifo::open(&pipe(&path)).unwrap();
        fifo.remove();
        let there = std::fs::metadata(&path).unwrap();
        assert_eq!((there.ino(), there.mode()), (before.ino(), before.mode()));
        let file = folder.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        let error = Fifo::open(&pipe(&file)).err().expect("a plain file is refused");
        assert!(error.to_string().contains("it exists and is no FIFO"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    }
}
