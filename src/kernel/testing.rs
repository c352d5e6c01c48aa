//! For the tests of the kernel edge: a fresh network namespace for one thread, and `ip` inside it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use nix::sched::{CloneFlags, unshare};

/// Runs `test` on a thread of its own in a new network namespace with `lo` up. Without the right to make one the test
/// is skipped, aloud.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let outcome = std::thread::spawn(|| {
        if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
            eprintln!("SKIPPED: no network namespace: {errno}");
            return;
        }
        run("ip link set lo up");
        test();
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a command made of plain words; it must succeed.
pub(crate) fn run(command: &str) -> String {
    run_with_input(command, "")
}

/// As [`run`], with this on its standard input.
pub(crate) fn run_with_input(command: &str, input: &str) -> String {
    let mut words = command.split_whitespace();
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert!(status.success(), "{command}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// What a command prints as JSON.
pub(crate) fn ip_json(command: &str) -> serde_json::Value {
    serde_json::from_str(&run(command)).unwrap()
}
