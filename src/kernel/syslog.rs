//! The system log: the C library's, which waits when the log does not read, and one of our own that never waits.

use std::ffi::CString;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;

use libc::c_int;

use super::calendar::WallTime;
use super::timer;
use crate::time::Time;

/// The program name the C library was given; it keeps the pointer for ever.
static IDENT: OnceLock<CString> = OnceLock::new();

/// Severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// A child died.
    Alert,
    /// Everything else.
    Info,
}

/// Names this process in the system log. The first call of a process wins; the name cannot change afterwards.
///
/// `facility` is one of the `LOG_*` facilities; `console` sends lines to the system console when there is no log.
pub fn open(ident: &str, facility: c_int, console: bool) {
    let ident = IDENT.get_or_init(|| CString::new(ident.replace('\0', "")).unwrap_or_default());
    let option = libc::LOG_PID | if console { libc::LOG_CONS } else { 0 };
    // SAFETY: the string lives in a static for ever, as openlog demands.
    unsafe { libc::openlog(ident.as_ptr(), option, facility) };
}

/// Writes one line.
pub fn write(severity: Severity, text: &str) {
    let priority = match severity {
        Severity::Alert => libc::LOG_ALERT,
        Severity::Info => libc::LOG_INFO,
    };
    let Ok(text) = CString::new(text.replace('\0', "")) else { return };
    // SAFETY: the format is constant and takes exactly the one string given, which lives through the call.
    unsafe { libc::syslog(priority, c"%s".as_ptr(), text.as_ptr()) };
}

/// Where the log listens.
const SOCKET: &str = "/dev/log";
/// Between two attempts to reach a log that is not there.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// A way to the system log that never waits: what it does not take at once is lost, and counted.
#[derive(Debug)]
pub struct Impatient {
    /// `ident[pid]: `
    prefix: String,
    facility: c_int,
    socket: Option<UnixDatagram>,
    /// Not before.
    retry: Time,
    lost: u64,
}

impl Impatient {
    /// For lines of this program and facility.
    pub fn new(ident: &str, facility: c_int) -> Self {
        let prefix = format!("{ident}[{}]: ", std::process::id());
        Self { prefix, facility, socket: None, retry: Time::ZERO, lost: 0 }
    }

    /// Writes one line, or counts it as lost.
    pub fn write(&mut self, severity: Severity, text: &str) {
        self.write_to(SOCKET, severity, text);
    }

    fn write_to(&mut self, path: &str, severity: Severity, text: &str) {
        if self.lost > 0 {
            let text = format!("{} lines were lost: the system log did not take them", self.lost);
            if !self.send(path, Severity::Info, &text) {
                self.lost += 1;
                return;
            }
            self.lost = 0;
        }
        if !self.send(path, severity, text) {
            self.lost += 1;
        }
    }

    fn send(&mut self, path: &str, severity: Severity, text: &str) -> bool {
        let level = match severity {
            Severity::Alert => libc::LOG_ALERT,
            Severity::Info => libc::LOG_INFO,
        };
        // `Sat Nov 21 13:31:22 2026` without the weekday and the year (RFC 3164 §4.1.2).
        let stamp = WallTime::now().text();
        let line =
            format!("<{}>{} {}{text}", self.facility | level, stamp.get(4..19).unwrap_or(""), self.prefix);
        for _ in 0..2 {
            if self.socket.is_none() {
                let now = timer::now();
                if now < self.retry {
                    return false;
                }
                self.retry = now + RETRY;
                let opened = UnixDatagram::unbound()
                    .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
                    .and_then(|socket| socket.connect(path).map(|()| socket));
                self.socket = opened.ok();
            }
            let Some(socket) = &self.socket else { return false };
            match socket.send(line.as_bytes()) {
                Ok(_) => return true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // The log was started anew: its socket is another one.
                Err(_) => self.socket = None,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_does_not_read_delays_nothing_and_is_told_how_much_it_missed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = UnixDatagram::bind(&path).unwrap();
        let path = path.to_str().unwrap();
        let mut impatient = Impatient::new("Keepalived_vrrp", libc::LOG_DAEMON);
        let mut written = 0_u32;
        while impatient.lost < 10 {
            written += 1;
            assert!(written < 1_000_000, "nobody reads, and nothing is ever lost");
            impatient.write_to(path, Severity::Info, "a line");
        }
        let mut bytes = [0; 256];
        let length = log.recv(&mut bytes).unwrap();
        let first = String::from_utf8_lossy(&bytes[..length]).into_owned();
        assert!(
            first.starts_with("<30>")
                && first.ends_with(&format!("Keepalived_vrrp[{}]: a line", std::process::id())),
            "{first}"
        );
        log.set_nonblocking(true).unwrap();
        while log.recv(&mut bytes).is_ok() {}
        impatient.write_to(path, Severity::Alert, "another");
        let length = log.recv(&mut bytes).unwrap();
        assert!(
            String::from_utf8_lossy(&bytes[..length])
                .ends_with("10 lines were lost: the system log did not take them")
        );
        let length = log.recv(&mut bytes).unwrap();
        assert!(bytes.starts_with(b"<25>") && bytes[..length].ends_with(b": another"));
    }

    #[test]
    fn a_log_that_is_not_there_is_not_asked_for_every_line() {
        let mut impatient = Impatient::new("x", libc::LOG_DAEMON);
        for _ in 0..3 {
            impatient.write_to("/nonexistent/log", Severity::Info, "a line");
        }
        assert_eq!(impatient.lost, 3);
    }
}
