//! FRR's bfdd as the other end of a BFD session, with the zebra that tells it of interfaces. Unpacked by `tests/lab/fetch`, run
//! in a mount namespace of its own with its own /run; spoken to by its terminal socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::net::Host;
use super::place::{store, tool, write};
use super::wait::{Outcome, until};

/// Private directories, root as one of FRR's own, then both daemons; zebra ends with bfdd. Arguments: FRR's tree, the
/// configuration.
const RUN: &str = r#"
set -e
frr=$1 config=$2
for folder in /run /tmp /var/tmp; do mount -n -t tmpfs tmpfs "$folder"; done
cp /etc/group /tmp/group; echo 'frrvty:x:992:root' >>/tmp/group; mount -n --bind /tmp/group /etc/group
mkdir /run/frr
export LD_LIBRARY_PATH=$frr/usr/lib/x86_64-linux-gnu/frr:$frr/usr/lib/x86_64-linux-gnu
common='-u root -g root -z /run/frr/zserv.api --vty_socket /run/frr'
setpriv --pdeathsig KILL "$frr/usr/lib/frr/zebra" $common -i /run/zebra.pid -f /dev/null &
while [ ! -S /run/frr/zserv.api ]; do sleep 0.05; done
exec "$frr/usr/lib/frr/bfdd" $common -i /run/bfdd.pid -f "$config" --bfdctl /run/frr/bfdd.sock
"#;

/// FRR's tree.
pub(crate) fn tree() -> PathBuf {
    store().join("frr")
}

/// A running bfdd; killed when dropped.
#[derive(Debug)]
pub(crate) struct Bfdd(Child);

impl Bfdd {
    /// Starts it on a host. `peers` stands inside its `bfd` block.
    pub(crate) fn start_on(host: &Host, directory: &Path, peers: &str) -> Outcome<Self> {
        let config = format!("bfd\n{peers}\nexit\n");
        // For who reads what a failed case leaves; bfdd has it from its standard input, because /tmp and /run become private.
        write(&directory.join("frr.conf"), &config)?;
        let mut command = tool("setpriv");
        command
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"])
            .args(["sh", "-c", RUN, "sh"])
            .arg(tree())
            .arg("/dev/stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = host.space.inside(|| command.spawn()).map_err(|e| format!("starting bfdd: {e}"))?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(config.as_bytes()).map_err(|e| format!("bfdd's configuration: {e}"))?;
        }
        let bfdd = Self(child);
        until(Duration::from_secs(10), "bfdd to answer", || bfdd.ask(&["show bfd peers json"]).ok())?;
        Ok(bfdd)
    }

    /// Types these lines; what the last one shows.
    pub(crate) fn ask(&self, lines: &[&str]) -> Outcome<String> {
        let path = format!("/proc/{}/root/run/frr/bfdd.vty", self.0.id());
        let mut terminal = UnixStream::connect(&path).map_err(|e| format!("{path}: {e}"))?;
        terminal.set_read_timeout(Some(Duration::from_secs(5))).map_err(|e| e.to_string())?;
        let mut answer = Vec::new();
        for line in ["enable"].iter().chain(lines) {
            terminal.write_all(format!("{line}\0").as_bytes()).map_err(|e| format!("{line}: {e}"))?;
            answer.clear();
            let mut part = [0; 4096];
            // Three zeros and a status end every answer.
            while answer.len() < 4 || answer[answer.len() - 4..answer.len() - 1] != [0, 0, 0] {
                match terminal.read(&mut part).map_err(|e| format!("{line}: {e}"))? {
                    0 => return Err(format!("{line}: bfdd hung up")),
                    length => answer.extend_from_slice(&part[..length]),
                }
            }
        }
        answer.truncate(answer.len() - 4);
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// `up`, `down`, `init`, `shutdown` of its first peer.
    pub(crate) fn status(&self) -> Outcome<String> {
        let text = self.ask(&["show bfd peers json"])?;
        let value: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
        Ok(value[0]["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits for that.
    pub(crate) fn wait_status(&self, wanted: &str, limit: Duration) -> Outcome {
        let mut found = String::new();
        until(limit, format!("FRR's session to be {wanted}"), || {
            found = self.status().ok()?;
            (found == wanted).then_some(())
        })
        .map_err(|e| format!("{e}; it is {found}\n{}", self.ask(&["show bfd peers"]).unwrap_or_default()))
    }
}

impl Drop for Bfdd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
