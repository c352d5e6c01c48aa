//! Scripts around a daemon, in network, mount and process namespaces made for each, with their own /run and /tmp.
//! Without the right to make them a test is skipped, aloud.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Ours.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_keepalived-rs");

/// What a program said.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder that the namespaces show.
pub(crate) fn folder() -> tempfile::TempDir {
    // Not in /tmp, which the namespaces hide.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// What every script of a daemon begins with.
pub(crate) const PRELUDE: &str = r#"
set -u
mount -t tmpfs none /run && mkdir /run/tmp && mount -t tmpfs none /run/tmp || exit 99
# A project below /tmp stays visible.
case $PROJECT in /tmp/*) mkdir -p "/run$PROJECT" && mount --rbind "$PROJECT" "/run$PROJECT" || exit 99 ;; esac
mount --rbind /run/tmp /tmp && umount -l /run/tmp && rmdir /run/tmp || exit 99
ip link add veth0 type veth peer name veth1 && ip link set veth0 up && ip link set veth1 up || exit 99
ip addr add 10.9.0.1/24 dev veth0
until_ok() { for _ in $(seq 200); do "$@" 2>/dev/null && return 0; sleep 0.05; done; echo "NEVER: $*"; exit 98; }
logged() { [ "$(grep -c -- "$1" log)" -ge "${2:-1}" ]; }
gone() { ! kill -0 "$1"; }
alive() { kill -0 "$1"; }
has_vip() { ip -o address show dev veth0 | grep -q " $1/"; }
start() { "$PROGRAM" -n -l -G -D -f conf "$@" >>log 2>&1 & DAEMON=$!; }
finish() { kill -TERM "$DAEMON"; wait "$DAEMON"; echo "exit $?"; }
"#;

/// Runs a script around a daemon in namespaces of its own; `None` when there may be none.
pub(crate) fn lab_with(
    configuration: &str,
    script: &str,
    environment: &[(&str, &str)],
    at: &Path,
) -> Option<String> {
    fs::write(at.join("conf"), configuration).unwrap();
    let mut command = Command::new("timeout");
    command
        .args(["-k", "5", "100", "unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc"])
        .args(["--kill-child", "bash", "-c", &format!("{PRELUDE}\n{script}")])
        .current_dir(at)
        .env("PROGRAM", PROGRAM)
        .env("PROJECT", env!("CARGO_MANIFEST_DIR"))
        .env_remove("NOTIFY_SOCKET")
        .envs(environment.iter().copied());
    let output = command.output().unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    if output.status.code() == Some(99) || err.contains("unshare failed") {
        eprintln!("SKIPPED: no namespaces: {err}");
        return None;
    }
    let log = fs::read_to_string(at.join("log")).unwrap_or_default();
    assert!(output.status.success(), "{}: {out}\n{err}\nlog:\n{log}", output.status);
    Some(format!("{out}{log}"))
}
