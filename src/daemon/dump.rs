//! Writing dump files where stock writes them. What stands in them is `report`'s. spec/daemon-behaviour.md §12.
//!
//! A file is complete when it gets its name, and closed after: readers that wait for the name and readers that wait for
//! the end of writing both find all of it (stock names data and statistics first and fills them afterwards).

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::config::model::Global;
use crate::config::source::encode;
use crate::kernel::files::host_path;
use crate::kernel::timer;
use crate::report::start::at_start;

/// Whose data a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// `keepalived_parent.data`.
    Parent,
    /// `keepalived.data`.
    Vrrp,
    /// `keepalived_check.data`.
    Checkers,
    /// `keepalived_bfd.data`.
    Bfd,
}

/// What a dump file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// What USR1 asks for.
    Data(Owner),
    /// What USR2 and 63 ask for.
    Stats,
    /// What 36 asks for.
    Json,
}

/// Writes what of a dump is known at start to the log (`-d`).
pub fn log_at_start(text: &str) {
    for line in at_start(text) {
        tracing::info!("{line}");
    }
}

/// Writes a dump file where `global` says; failures are logged.
pub fn write(content: Content, global: &Global, text: &str) {
    // JSON is root's alone, the others are who the umask leaves.
    let mode = if content == Content::Json { 0o600 } else { 0o666 };
    write_logged(&place(content, global, &directory()), text, mode);
}

/// Writes a file that only root may read; failures are logged.
pub fn write_private(path: &Path, text: &str) {
    write_logged(path, text, 0o600);
}

fn write_logged(path: &Path, text: &str, mode: u32) {
    if let Err(error) = write_at(path, text, mode) {
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

/// Where a dump goes: as its keyword says (a path below `temporary` if it is relative, a directory if it ends with a
/// slash), the name of data marked with process, namespace and instance. spec/dump-format.md §1.
fn place(content: Content, global: &Global, temporary: &Path) -> PathBuf {
    let files = &global.files;
    let (configured, default) = match content {
        Content::Data(_) => (&files.state_dump, "keepalived.data"),
        Content::Stats => (&files.stats_dump, "keepalived.stats"),
        Content::Json => (&files.json_dump, "keepalived.json"),
    };
    let path = match configured.as_deref().map(host_path) {
        None => temporary.join(default),
        Some(path) if path.as_os_str().as_bytes().ends_with(b"/") => temporary.join(path).join(default),
        Some(path) => temporary.join(path),
    };
    let Content::Data(owner) = content else { return path };
    let mut mark = match owner {
        Owner::Parent => "_parent",
        Owner::Vrrp => "",
        Owner::Checkers => "_check",
        Owner::Bfd => "_bfd",
    }
    .to_owned();
    if files.data_use_instance
        && let Some(suffix) = global.ident_suffix()
    {
        mark = format!("{mark}.{suffix}");
    }
    marked(&path, &mark)
}

/// Puts `mark` between the name of a file and its extension.
pub(super) fn marked(path: &Path, mark: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let end = name.iter().rposition(|byte| *byte == b'.').unwrap_or(name.len());
    let whole = [&name[..end], mark.as_bytes(), &name[end..]].concat();
    path.with_file_name(OsStr::from_bytes(&whole))
}

fn write_at(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let (mut file, temporary) = create(path, mode)?;
    let written = file.write_all(&encode(text)).and_then(|()| fs::rename(&temporary, path));
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
        write_at(&path, "an older and longer one", 0o600).unwrap();
        write_at(&path, "[]", 0o600).unwrap();
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
        write_at(&path, "dump", 0o666).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&path).unwrap(), "dump");
    }

    #[test]
    fn files_are_named_as_stock_names_them() {
        let mut global = Global::default();
        let path = |content, global: &Global| place(content, global, Path::new("/t")).display().to_string();
        let data = |owner, global: &Global| path(Content::Data(owner), global);
        assert_eq!(data(Owner::Parent, &global), "/t/keepalived_parent.data");
        assert_eq!(data(Owner::Vrrp, &global), "/t/keepalived.data");
        global.instance = Some("ii".into());
        assert_eq!(data(Owner::Checkers, &global), "/t/keepalived_check.data");
        global.files.data_use_instance = true;
        assert_eq!(data(Owner::Checkers, &global), "/t/keepalived_check.ii.data");
        global.net_namespace = Some("ns".into());
        assert_eq!(data(Owner::Vrrp, &global), "/t/keepalived.ns_ii.data");
        for content in [Content::Stats, Content::Json] {
            assert!(!path(content, &global).contains("ii"), "statistics and JSON never change their name");
        }
        global.net_namespace = None;
        for (configured, whole, parents) in [
            ("/x/", "/x/keepalived.ii.data", "/x/keepalived_parent.ii.data"),
            ("/x/y.z/xx.txt", "/x/y.z/xx.ii.txt", "/x/y.z/xx_parent.ii.txt"),
            ("/x/y.z/xx", "/x/y.z/xx.ii", "/x/y.z/xx_parent.ii"),
            ("xx.txt", "/t/xx.ii.txt", "/t/xx_parent.ii.txt"),
            ("sub/", "/t/sub/keepalived.ii.data", "/t/sub/keepalived_parent.ii.data"),
        ] {
            global.files.state_dump = Some(configured.into());
            assert_eq!(data(Owner::Vrrp, &global), whole);
            assert_eq!(data(Owner::Parent, &global), parents);
        }
        global.files.stats_dump = Some("/x/".into());
        global.files.json_dump = Some("/x/j".into());
        assert_eq!(path(Content::Stats, &global), "/x/keepalived.stats");
        assert_eq!(path(Content::Json, &global), "/x/j");
    }
}
