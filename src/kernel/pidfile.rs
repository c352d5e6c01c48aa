//! Pid files: a number and a newline, locked for the life of the process. spec/daemon-behaviour.md §1.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::getpid;

use super::error::{Doing, Error};

/// A pid file whose lock is ours. The lock goes with the descriptor: a fork keeps it, the death of all who hold it
/// releases it, and so does dropping this.
#[derive(Debug)]
pub struct PidFile {
    file: File,
    path: PathBuf,
}

/// Mode of a pid file, whatever the umask.
const MODE: u32 = 0o644;

impl PidFile {
    /// Opens and locks; the file keeps what it held until [`Self::write`]. `None` when another process has the lock. A
    /// file that nobody holds is a leftover and taken over; a symlink is refused.
    pub fn claim(path: &Path) -> Result<Option<Self>, Error> {
        let doing = || format!("opening pid file {}", path.display());
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(MODE)
                .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
                .open(path)
                .doing(doing)?;
            if !file.metadata().doing(doing)?.is_file() {
                return Err(Error::new(doing(), Errno::EEXIST));
            }
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())) {
                Ok(_) => {}
                Err(Errno::EAGAIN | Errno::EACCES) => return Ok(None),
                Err(errno) => return Err(Error::new(format!("locking pid file {}", path.display()), errno)),
            }
            // Whoever held it may have removed it between our opening and locking: then this is a file without a name.
            let ours = file.metadata().doing(doing)?;
            match fs::symlink_metadata(path) {
                Ok(there) if there.ino() == ours.ino() && there.dev() == ours.dev() => {
                    return Ok(Some(Self { file, path: path.to_owned() }));
                }
                _ => {}
            }
        }
    }

    /// As [`Self::claim`], but waits for another process to let go of it, at most `limit`. Blocks.
    pub fn claim_within(path: &Path, limit: Duration) -> Result<Self, Error> {
        let start = Instant::now();
        loop {
            if let Some(claimed) = Self::claim(path)? {
                return Ok(claimed);
            }
            if start.elapsed() >= limit {
                let doing = format!("waiting for the process that has pid file {} locked", path.display());
                return Err(Error::new(doing, Errno::ETIMEDOUT));
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// The process that the file names, if it lives, is another one than this, and is called `name`. Releases of stock
    /// before 2.4 hold no lock: for them this is the only sign.
    pub fn unlocked_owner(&self, name: &str) -> Option<u32> {
        let mut bytes = [0; 16];
        let length = self.file.read_at(&mut bytes, 0).ok()?;
        let number: u32 = std::str::from_utf8(&bytes[..length]).ok()?.trim().parse().ok()?;
        // "NUMBER (NAME) STATE ...", where the name may hold anything. One that is dead but not reaped (a container whose
        // first process reaps nobody) still has its name.
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        let (before, after) = stat.rsplit_once(") ")?;
        let (_, comm) = before.split_once('(')?;
        let lives = !after.starts_with(['Z', 'X']);
        (number != std::process::id() && lives && comm == name).then_some(number)
    }

    /// Writes the number of this process.
    pub fn write(&mut self) -> Result<(), Error> {
        let write = || -> io::Result<()> {
            self.file.set_permissions(Permissions::from_mode(MODE))?;
            let text = format!("{}\n", getpid());
            // A reader at any moment sees the old number or the new, never none.
            self.file.write_all_at(text.as_bytes(), 0)?;
            self.file.set_len(text.len() as u64)
        };
        write().doing(|| format!("writing pid file {}", self.path.display()))
    }

    /// Removes it while it is still locked, so that nobody's new file is hit.
    pub fn remove(self) {
        // One that is gone, or lies on a file system that has become read-only, hinders nobody: the lock counts.
        let _ = fs::remove_file(&self.path);
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsRawFd for PidFile {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.file.as_raw_fd()
    }
}

fn whole_file() -> libc::flock {
    // SAFETY: `flock` is plain data for which all bits zero is a value: the whole file.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    // Constants of the kernel's that fit a short.
    #[expect(clippy::cast_possible_truncation, reason = "F_WRLCK is 1, SEEK_SET is 0")]
    {
        lock.l_type = libc::F_WRLCK as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
    }
    lock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_written_once_and_nobody_else_gets_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pid");
        fs::write(&path, "a leftover, and a long one\n").unwrap();
        let mut file = PidFile::claim(&path).unwrap().unwrap();
        file.write().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", getpid()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        assert!(PidFile::claim(&path).unwrap().is_none());
        assert!(PidFile::claim_within(&path, Duration::from_millis(30)).is_err());
        file.remove();
        assert!(!path.exists());
        assert!(PidFile::claim(&path).unwrap().is_some());
    }

    #[test]
    fn a_living_process_of_the_name_is_seen_without_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pid");
        let mut other = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        // The kernel gives the new name a moment after `spawn` knows that the program runs.
        let comm = format!("/proc/{}/comm", other.id());
        while fs::read_to_string(&comm).unwrap() != "sleep\n" {
            std::thread::yield_now();
        }
        let claimed = |text: &str| {
            fs::write(&path, text).unwrap();
            PidFile::claim(&path).unwrap().unwrap()
        };
        let theirs = claimed(&format!("{}\n", other.id())).unlocked_owner("sleep");
        let of_another_name = claimed(&format!("{}\n", other.id())).unlocked_owner("keepalived");
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(theirs, Some(other.id()));
        assert_eq!(of_another_name, None);
        assert_eq!(claimed(&format!("{}\n", other.id())).unlocked_owner("sleep"), None);
        let own = fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(claimed(&format!("{}\n", getpid())).unlocked_owner(own.trim_end()), None);
        for nonsense in ["", "\n", "-1\n", "99999999999999999999999\n", "x"] {
            assert_eq!(claimed(nonsense).unlocked_owner("sleep"), None, "{nonsense:?}");
        }
    }

    #[test]
    fn a_dead_process_that_nobody_has_reaped_owns_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pid");
        let mut dead = std::process::Command::new("/bin/true").spawn().unwrap();
        let stat = format!("/proc/{}/stat", dead.id());
        let deadline = Instant::now() + Duration::from_secs(20);
        while !fs::read_to_string(&stat).unwrap().contains("(true) Z ") {
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::yield_now();
        }
        fs::write(&path, format!("{}\n", dead.id())).unwrap();
        let owner = PidFile::claim(&path).unwrap().unwrap().unlocked_owner("true");
        dead.wait().unwrap();
        assert_eq!(owner, None);
    }

    #[test]
    fn a_dropped_file_stays_and_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pid");
        drop(PidFile::claim(&path).unwrap().unwrap());
        assert!(path.exists());
        assert!(PidFile::claim(&path).unwrap().is_some());
    }

    #[test]
    fn a_symlink_is_not_followed_and_a_device_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pid");
        std::os::unix::fs::symlink(folder.path().join("target"), &path).unwrap();
        assert_eq!(PidFile::claim(&path).unwrap_err().errno, Errno::ELOOP);
        assert!(PidFile::claim(Path::new("/dev/null")).is_err());
    }
}
