//! Where the pid files are. spec/daemon-behaviour.md §1.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::options::Options;
use crate::config::model::Global;

/// The directory of run-time files.
const RUN: &str = "/run";
/// The directory of pid files with `use_pid_dir` or `instance`.
const PID_DIRECTORY: &str = "/run/keepalived";

/// The pid files of one daemon. Fixed at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The parent's.
    pub parent: PathBuf,
    /// The vrrp process'.
    pub vrrp: PathBuf,
    /// The checkers process'.
    pub checkers: PathBuf,
    /// The bfd process'.
    pub bfd: PathBuf,
    directory: Option<&'static Path>,
}

impl Places {
    /// As the command line says, else as the configuration says, else stock's.
    pub fn new(options: &Options, global: &Global) -> Self {
        let own_directory = global.use_pid_dir || global.instance.is_some() || global.net_namespace.is_some();
        let suffix = global.instance.as_ref().map(|name| format!("_{name}")).unwrap_or_default();
        let files = &options.pid_files;
        let place = |given: &Option<PathBuf>, name: &str| {
            given.clone().unwrap_or_else(|| {
                let directory = if own_directory { PID_DIRECTORY } else { RUN };
                Path::new(directory).join(format!("{name}{suffix}.pid"))
            })
        };
        Self {
            parent: place(&files.parent, "keepalived"),
            vrrp: place(&files.vrrp, "vrrp"),
            checkers: place(&files.checkers, "checkers"),
            bfd: place(&files.bfd, "bfd"),
            directory: own_directory.then_some(Path::new(PID_DIRECTORY)),
        }
    }

    /// Makes the directory, if there must be one.
    pub fn create_directory(&self) -> io::Result<()> {
        let Some(directory) = self.directory else { return Ok(()) };
        match fs::create_dir(directory) {
            // The umask would leave a directory that nobody may enter.
            Ok(()) => fs::set_permissions(directory, Permissions::from_mode(0o755)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes the directory if it is empty.
    pub fn remove_directory(&self) {
        if let Some(directory) = self.directory {
            // Another instance's files keep it.
            let _ = fs::remove_dir(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_stocks_and_an_instance_moves_them() {
        let places = Places::new(&Options::default(), &Global::default());
        assert_eq!(places.parent, Path::new("/run/keepalived.pid"));
        assert_eq!(places.vrrp, Path::new("/run/vrrp.pid"));
        assert_eq!(places.checkers, Path::new("/run/checkers.pid"));
        let global = Global { instance: Some("i1".into()), ..Global::default() };
        let mut options = Options::default();
        options.pid_files.vrrp = Some("/x/v".into());
        let places = Places::new(&options, &global);
        assert_eq!(places.parent, Path::new("/run/keepalived/keepalived_i1.pid"));
        assert_eq!(places.vrrp, Path::new("/x/v"));
        let global = Global { use_pid_dir: true, ..Global::default() };
        assert_eq!(
            Places::new(&Options::default(), &global).checkers,
            Path::new("/run/keepalived/checkers.pid")
        );
    }
}
