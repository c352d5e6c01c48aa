//! What systemd is told: ready, reloading, stopping, why we failed. spec/daemon-behaviour.md §11.
//!
//! A datagram to `$NOTIFY_SOCKET`, whoever listens there. Stock speaks only when process 1 is systemd, says nothing when
//! nothing is configured (a start then hangs) and leaves out the clock, so that `Type=notify-reload` does not work.

use std::env;
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;

use crate::time::Time;

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub struct Systemd {
    manager: Option<(UnixDatagram, SocketAddr)>,
}

impl Systemd {
    /// Reads `$NOTIFY_SOCKET`: a path, or a name in the abstract namespace behind `@`.
    pub fn from_environment() -> Self {
        Self::at(env::var_os("NOTIFY_SOCKET").as_deref())
    }

    fn at(name: Option<&OsStr>) -> Self {
        let manager = name.and_then(|name| {
            let address = match name.as_bytes() {
                [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name).ok()?,
                [b'/', ..] => SocketAddr::from_pathname(name).ok()?,
                _ => return None,
            };
            let socket = UnixDatagram::unbound().ok()?;
            // A manager that does not read must not stop us.
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        });
        Self { manager }
    }

    /// Started or reloaded; `status` is what `systemctl status` shows.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nMAINPID={}\nSTATUS={}", process::id(), line(status)));
    }

    /// A reload has begun; [`Self::ready`] ends it.
    pub fn reloading(&self, now: Time) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=Reloading", now.as_nanos() / 1000));
    }

    /// The stop has begun.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Stopping");
    }

    /// Gives up for this errno.
    pub fn failed(&self, errno: i32) {
        self.tell(&format!("ERRNO={errno}"));
    }

    fn tell(&self, message: &str) {
        if let Some((socket, address)) = &self.manager {
            // A manager that is gone has nothing to be told.
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}

/// The first line: a second one would be a second message.
fn line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_whole_messages_and_its_absence_is_harmless() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let systemd = Systemd::at(Some(path.as_os_str()));
        let hear = || {
            let mut bytes = [0; 256];
            let length = manager.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        };
        systemd.ready("running\nERRNO=1");
        assert_eq!(hear(), format!("READY=1\nMAINPID={}\nSTATUS=running", process::id()));
        systemd.reloading(Time::from_nanos(5_000_999));
        assert!(hear().starts_with("RELOADING=1\nMONOTONIC_USEC=5000\n"));
        systemd.failed(22);
        assert_eq!(hear(), "ERRNO=22");
        drop(manager);
        systemd.stopping();
        Systemd::at(None).stopping();
        Systemd::at(Some(OsStr::new("vsock:1:2"))).stopping();
    }
}
