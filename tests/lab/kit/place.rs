//! Where things lie: the programs under test, the unpacked Debian programs, and each case's own directory.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::wait::Outcome;

/// cargo's target directory: this program lies in `target/PROFILE/{deps,examples}/`.
pub(crate) fn target() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    program.ancestors().nth(3).map_or_else(|| PathBuf::from("target"), Path::to_path_buf)
}

/// What `tests/lab/fetch` fills, and where cases work.
pub(crate) fn store() -> PathBuf {
    target().join("lab")
}

/// Debian's keepalived, unpacked.
pub(crate) fn stock() -> PathBuf {
    store().join("keepalived/usr/sbin/keepalived")
}

/// The keepalived-rs that cargo built beside this program.
pub(crate) fn ours() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).unwrap_or(Path::new("target/debug")).join("keepalived-rs")
}

/// Debian's nginx, unpacked.
pub(crate) fn nginx() -> PathBuf {
    store().join("nginx/usr/sbin/nginx")
}

/// Debian's nft, unpacked; its library is installed.
pub(crate) fn nft() -> PathBuf {
    store().join("nftables/usr/sbin/nft")
}

/// The Debian tree with systemd that `tests/lab/fetch systemd` builds.
pub(crate) fn systemd_tree() -> PathBuf {
    store().join("systemd")
}

/// A tool of the system; looked for also where a plain user's path does not lead.
pub(crate) fn tool(name: &str) -> Command {
    let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from(name));
    let mut command = Command::new(found);
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// Whether the tool is installed.
pub(crate) fn has_tool(name: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|folder| Path::new(folder).join(name).exists())
}

/// Removes what runs that are over have left for reading.
pub(crate) fn clear_old_cases() {
    let Ok(entries) = fs::read_dir(store().join("cases")) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        // A guest's pids are its own; its directories go with the next run that finds them an hour old.
        let guest = name.as_bytes().get(pid.len()) == Some(&b'g');
        let old = entry.metadata().ok().and_then(|m| m.modified().ok()).and_then(|t| t.elapsed().ok());
        let gone = !guest && !Path::new("/proc").join(pid).exists();
        if gone || old.is_some_and(|age| age.as_secs() > 3600) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A new empty directory for one case, readable afterwards when the case failed.
pub(crate) fn case_directory(name: &str) -> Outcome<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let folder: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let guest = if in_guest() { "g" } else { "" };
    let cases = store().join("cases");
    fs::create_dir_all(&cases).map_err(|e| format!("{}: {e}", cases.display()))?;
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = cases.join(format!("{}{guest}-{number}-{folder}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            // Pids come again, above all a guest's.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(format!("{}: {e}", path.display())),
        }
    }
}

/// Whether this program runs inside the guest kernel (see `guest.rs`).
pub(crate) fn in_guest() -> bool {
    env::var_os("LAB_IN_GUEST").is_some()
}

/// Whether packages are to be built and installed, too: asked for, or decided outside this guest.
pub(crate) fn wants_packages() -> bool {
    in_guest() || env::var_os("LAB_PACKAGES").is_some()
}

/// Writes a file, saying which one when it fails.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) -> Outcome {
    fs::write(path, text).map_err(|e| format!("writing {}: {e}", path.display()))
}

/// Writes an executable script.
pub(crate) fn write_script(path: &Path, text: &str) -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|e| format!("{}: {e}", path.display()))
}
