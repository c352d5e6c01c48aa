//! The system log of the C library: its socket, its reconnecting, its line format, as stock's.

use std::ffi::CString;
use std::sync::OnceLock;

use libc::c_int;

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
