//! What the words about reload ask for beside the reload itself: a test before it (`reload_check_config`), a file that
//! exists while it reads (`reload_file`), copies (`config_save_dir`). spec/daemon-behaviour.md §5.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tracing::info;

use super::configuration::{Read, Source};
use super::dump;
use super::exit::Exit;
use crate::config::model::Global;
use crate::config::render::Style;
use crate::config::value::Mode;
use crate::kernel::files::host_path;

/// Appends what a test of the configuration found.
pub(super) fn append(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        // As root into whatever directory: nobody chooses another file for us. A FIFO without a reader waits for nobody.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
}

/// `reload_check_config`: tests what a reload would read. `false` means that what runs is to go on.
pub(super) fn passes_check(source: &mut Source, running: &Global) -> bool {
    let Some(log) = &running.reload.check_log else { return true };
    info!("validate {} before Reload", source.main());
    let read = match source.read(Mode::ConfigTest) {
        Ok(read) => read,
        Err(error) => {
            info!("{error}");
            return false;
        }
    };
    if let Err(error) = append(&host_path(log), &read.rendered(Style::Plain)) {
        info!("Unable to open config-test log file {log}: {error}");
    }
    let passes = read.test_exit() == Exit::Success;
    if !passes {
        info!("New config failed validation, see {log} for details");
    }
    passes
}

/// `reload_file`, as long as this lives.
pub(super) struct Marker(Option<PathBuf>);

impl Marker {
    /// Creates the file, or truncates it.
    pub(super) fn set(running: &Global) -> Self {
        let path = running.reload_marker().as_deref().map(host_path);
        if let Some(path) = &path {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o666);
            if let Err(error) =
                options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
            {
                info!("Unable to create reload file {}: {error}", path.display());
            }
        }
        Self(path)
    }

    /// One that a killed daemon, or who starts this one, left behind.
    pub(super) fn left(global: &Global) -> Self {
        Self(global.reload_marker().as_deref().map(host_path))
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            info!("Unable to remove reload file {}: {error}", path.display());
        }
    }
}

/// `config_save_dir`: copies of every configuration that was read, and the data of the vrrp process beside each reload.
#[derive(Default)]
pub(super) struct Copies {
    read: u32,
}

impl Copies {
    /// Saves what was read, in the order of reading, each file below its name.
    pub(super) fn save(&mut self, global: &Global, read: &Read) {
        let number = self.read;
        self.read += 1;
        let Some(directory) = directory(global) else { return };
        let mut text = String::new();
        for (name, contents) in read.files() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# {name}\n{}", contents.trim_end_matches('\n'));
        }
        let name = format!("keepalived.conf.{}.{number}", std::process::id());
        dump::write_private(&directory.join(name), &text);
    }

    /// Saves the data of the vrrp process before or behind reload `number`.
    pub(super) fn save_data(global: &Global, pid: u32, number: u32, after: bool, text: &str) {
        let Some(directory) = directory(global) else { return };
        let moment = if after { "post" } else { "pre" };
        dump::write_private(&directory.join(format!("keepalived_vrrp.{pid}.{number}.{moment}")), text);
    }
}

/// The directory of copies, made if there is none.
fn directory(global: &Global) -> Option<PathBuf> {
    let path = host_path(global.files.config_save_dir.as_deref()?);
    match DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => {
            // The umask would leave a directory that its owner may not enter.
            let _ = fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700));
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            info!("config_save_dir {}: {error}", path.display());
            return None;
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::ReloadMarker;

    #[test]
    fn the_marker_is_there_while_it_lives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("marker");
        let mut global = Global::default();
        drop(Marker::set(&global));
        global.reload.marker = ReloadMarker::Path(path.to_str().unwrap().into());
        let marker = Marker::set(&global);
        assert!(path.exists());
        drop(marker);
        assert!(!path.exists());
        fs::write(&path, "left").unwrap();
        drop(Marker::left(&global));
        assert!(!path.exists());
    }

    #[test]
    fn findings_are_not_written_through_a_symlink() {
        let folder = tempfile::tempdir().unwrap();
        let (link, victim) = (folder.path().join("log"), folder.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        assert!(append(&link, "text").is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        append(&victim, "!").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious!");
    }
}
