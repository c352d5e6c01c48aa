//! The host's files as the configuration reads them: contents with their kind and mode, globs, environment.

use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::mem::MaybeUninit;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::config::files::{FileKind, Files, ReadError, Status};
use crate::config::source::{MAX_TEXT, decode, encode};

/// The real files of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostFiles;

/// Opens a plain file for reading. Neither a FIFO nor a terminal may hold us up.
pub fn open_plain(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(ErrorKind::InvalidInput.into()) }
}

impl Files for HostFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let path = host_path(path);
        // Without O_NONBLOCK the opening of a FIFO waits for its writer.
        let mut options = File::options();
        let file = options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(&path);
        let file = match file {
            Ok(file) => file,
            Err(_) if path.is_dir() => return Err(ReadError::Directory),
            Err(error) => return Err(read_error(&error)),
        };
        let metadata = file.metadata().map_err(|error| read_error(&error))?;
        if metadata.is_dir() {
            return Err(ReadError::Directory);
        }
        if !metadata.is_file() {
            return Err(ReadError::Special);
        }
        if metadata.mode() & 0o111 != 0 {
            return Err(ReadError::Executable);
        }
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_TEXT).unwrap_or(u64::MAX);
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| read_error(&error))?;
        if bytes.len() > MAX_TEXT { Err(ReadError::TooLarge) } else { Ok(bytes) }
    }

    fn glob(&self, pattern: &str) -> Vec<String> {
        let Ok(pattern) = CString::new(encode(pattern).as_ref()) else { return Vec::new() };
        glob(&pattern).into_iter().map(decode).collect()
    }

    fn variable(&self, name: &str) -> Option<String> {
        // `var_os` panics on neither, but a name with `=` or NUL has no meaning.
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        std::env::var_os(name).map(|value| decode(value.into_vec()))
    }

    fn status(&self, path: &str) -> Option<Status> {
        let path = host_path(path);
        let metadata = fs::symlink_metadata(&path).ok()?;
        let kind = if metadata.is_file() {
            FileKind::File
        } else if metadata.is_dir() {
            FileKind::Directory
        } else if metadata.is_symlink() {
            FileKind::Symlink(decode(fs::read_link(&path).ok()?.into_os_string().into_vec()))
        } else {
            FileKind::Special
        };
        Some(Status { kind, uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode() & 0o7777 })
    }

    fn directory(&self, path: &str) -> String {
        let path = if path.is_empty() { PathBuf::from(".") } else { host_path(path) };
        let absolute = fs::canonicalize(&path).or_else(|_| std::path::absolute(&path)).unwrap_or(path);
        decode(absolute.into_os_string().into_vec())
    }

    fn is_watchable(&self, directory: &str) -> bool {
        /// `linux/magic.h` and `fs/…`: proc, sysfs, cgroup, cgroup2, NFS, SMB, SMB2, CIFS, FUSE, Ceph, AFS, 9P: what changes
        /// there, or on another host, is not told.
        const SILENT: [i64; 12] = [
            0x9fa0,
            0x6265_6572,
            0x0027_e0eb,
            0x6367_7270,
            0x6969,
            0x517b,
            0xfe53_4d42,
            0xff53_4d42,
            0x6573_5546,
            0x00c3_6400,
            0x6b41_4653,
            0x0102_1997,
        ];
        let path = host_path(directory);
        path.is_dir()
            && nix::sys::statfs::statfs(&path).is_ok_and(|found| {
                !SILENT.contains(&found.filesystem_type().0)
                    && !found.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY)
            })
    }
}

/// A path as the host has it: its bytes may be no UTF-8.
pub fn host_path(path: &str) -> PathBuf {
    Path::new(OsStr::from_bytes(&encode(path))).to_owned()
}

fn read_error(error: &std::io::Error) -> ReadError {
    match error.kind() {
        ErrorKind::NotFound => ReadError::Missing,
        ErrorKind::PermissionDenied => ReadError::Denied,
        ErrorKind::IsADirectory => ReadError::Directory,
        _ => ReadError::Other(error.to_string()),
    }
}

/// `glob(3)` without flags: sorted, hidden files only by name, backslash escapes. Errors count as no match.
fn glob(pattern: &CStr) -> Vec<Vec<u8>> {
    let mut found = MaybeUninit::<libc::glob_t>::zeroed();
    // SAFETY: the pattern is a C string, the result structure is zeroed as glob(3) expects without GLOB_DOOFFS or
    // GLOB_APPEND, and no error callback is given.
    let code = unsafe { libc::glob(pattern.as_ptr(), 0, None, found.as_mut_ptr()) };
    // SAFETY: every field of `glob_t` is an integer or a pointer, for which zero is a valid value; glob(3) filled the rest.
    let mut found = unsafe { found.assume_init() };
    let mut paths = Vec::new();
    if code == 0 {
        for index in 0..found.gl_pathc {
            // SAFETY: after success `gl_pathv` holds `gl_pathc` pointers to C strings that live until globfree(3).
            let path = unsafe { CStr::from_ptr(*found.gl_pathv.add(index)) };
            paths.push(path.to_bytes().to_vec());
        }
    }
    // SAFETY: `found` was initialised by glob(3) and is freed once; the copies above do not point into it.
    unsafe { libc::globfree(&raw mut found) };
    paths
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn tree() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, mode) in [("b.conf", 0o644), ("a.conf", 0o600), (".hidden.conf", 0o644), ("x.conf", 0o755)]
        {
            let path = directory.path().join(name);
            fs::write(&path, name).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        directory
    }

    #[test]
    fn a_pattern_gives_its_matches_in_order() {
        let tree = tree();
        let at = |name: &str| format!("{}/{name}", tree.path().display());
        assert_eq!(HostFiles.glob(&at("*.conf")), [at("a.conf"), at("b.conf"), at("x.conf")]);
        assert_eq!(HostFiles.glob(&at("a.conf")), [at("a.conf")]);
        assert_eq!(HostFiles.glob(&at("nope")), [""; 0]);
        assert_eq!(HostFiles.glob("a\0b"), [""; 0]);
    }

    #[test]
    fn only_a_regular_file_without_execute_bit_is_read() {
        let tree = tree();
        let at = |name: &str| format!("{}/{name}", tree.path().display());
        nix::unistd::mkfifo(&tree.path().join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(HostFiles.read(&at("a.conf")), Ok(b"a.conf".to_vec()));
        assert_eq!(HostFiles.read(&at("x.conf")), Err(ReadError::Executable));
        assert_eq!(HostFiles.read(&at("")), Err(ReadError::Directory));
        assert_eq!(HostFiles.read(&at("fifo")), Err(ReadError::Special));
        assert_eq!(HostFiles.read(&at("nope")), Err(ReadError::Missing));
    }

    #[test]
    fn the_status_of_an_entry_does_not_follow_a_symlink() {
        let tree = tree();
        let at = |name: &str| format!("{}/{name}", tree.path().display());
        symlink("x.conf", at("link")).unwrap();
        let kind = |name: &str| HostFiles.status(&at(name)).map(|status| status.kind);
        assert_eq!(kind("link"), Some(FileKind::Symlink("x.conf".to_owned())));
        assert_eq!(kind(""), Some(FileKind::Directory));
        assert_eq!(HostFiles.status(&at("x.conf")).map(|status| status.mode), Some(0o755));
        assert_eq!(kind("nope"), None);
    }

    #[test]
    fn a_directory_is_absolute() {
        let current = std::env::current_dir().unwrap();
        assert_eq!(HostFiles.directory(""), fs::canonicalize(current).unwrap().display().to_string());
        assert_eq!(HostFiles.directory("/usr/.."), "/");
        assert_eq!(HostFiles.variable("A=B"), None);
    }
}
