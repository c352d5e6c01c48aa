//! What the log says about checks, in the words that log parsers of stock match (spec/checkers.md §6–§12). Pure.

use super::Failure;
use super::schedule::Subject;
use crate::config::model::{CheckKind, Checker, MiscCheck, ScriptEnd, SmtpCheck};

/// As stock's log lines name the check.
pub(super) fn check_name(checker: &Checker) -> &'static str {
    match &checker.kind {
        CheckKind::Http(http) if http.tls => "SSL_CHECK",
        CheckKind::Http(_) => "HTTP_CHECK",
        CheckKind::Ping(_) => "ICMP CHECK",
        kind => kind.keyword(),
    }
}

/// A check passed that was down, or that had not run. Some say nothing.
pub(super) fn passed(subject: Subject<'_>) -> Option<String> {
    let rs = subject.real_server;
    Some(match &subject.checker.kind {
        CheckKind::Tcp(_) => format!("TCP connection to {rs} success."),
        CheckKind::Udp(_) => format!("UDP connection to {rs} success."),
        CheckKind::Ping(_) => format!("ICMP connection to {rs} success."),
        CheckKind::Http(_) => format!("Remote Web server {rs} succeed on service."),
        CheckKind::Smtp(_) => format!("Remote SMTP server {rs} succeed on service."),
        CheckKind::Misc(misc) => format!("{} succeeded.", misc_check(subject, misc)),
        CheckKind::Dns(_) | CheckKind::File(_) | CheckKind::Bfd(_) => return None,
    })
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why<'a> {
    /// The server did not answer as configured.
    Failure(&'a Failure),
    /// The script of a `MISC_CHECK` ended.
    Script(ScriptEnd),
}

/// Which of the failures in a row this one is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Failures that were forgiven before it.
    pub(super) forgiven: u32,
    /// The first attempt of all, which needs no retries to be decisive.
    pub(super) impatient: bool,
}

/// A check that was up has failed for good.
pub(super) fn gone(subject: Subject<'_>, why: Why<'_>, turn: Turn) -> String {
    let (rs, vs) = (subject.real_server, subject.virtual_server);
    let retry = subject.checker.timing.retry;
    let name = check_name(subject.checker);
    let untold = retry == 0 || turn.impatient;
    match &subject.checker.kind {
        CheckKind::Smtp(_) | CheckKind::Dns(_) => {
            let line = attempt(subject, why, turn);
            let counted = matches!(subject.checker.kind, CheckKind::Dns(_)) && !turn.impatient;
            if counted { format!("{line} after {retry} retries") } else { line }
        }
        CheckKind::Misc(misc) => {
            let how = match retry {
                0 => "with retry disabled".to_owned(),
                1 => "after 1 retry".to_owned(),
                retry => format!("after {retry} retries"),
            };
            let (what, status) = script_end(why);
            format!("{} {what} {how}{status}.", misc_check(subject, misc))
        }
        CheckKind::Http(_) => {
            let reason = own_reason(why).map(|reason| format!(": {reason}")).unwrap_or_default();
            match retry {
                0 => format!("{name} on service {rs} failed{reason}."),
                retry => format!("{name} on service {rs} failed after {retry} retries{reason}."),
            }
        }
        _ if untold => format!("{name} on service {rs} failed."),
        CheckKind::Ping(_) => format!("{name} on service {rs} of {vs} failed after {retry} retries."),
        _ => format!("{name} on service {rs} failed after {retry} retries."),
    }
}

/// One failed attempt, with `log_all_failures`.
pub(super) fn attempt(subject: Subject<'_>, why: Why<'_>, turn: Turn) -> String {
    let rs = subject.real_server;
    let failure = match why {
        Why::Failure(failure) => failure,
        Why::Script(_) => &Failure::NoData,
    };
    let late = matches!(failure, Failure::ConnectTimeout | Failure::ReadTimeout { .. });
    let how = if late { "timeout" } else { "failed" };
    match &subject.checker.kind {
        CheckKind::Http(http) => {
            let reason = own_reason(why).map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{} server {rs}{reason}.", http_failure(failure, http.tls))
        }
        CheckKind::Udp(_) => format!("UDP connection to {rs} {how}."),
        CheckKind::Ping(_) => format!("ICMP connection to address {rs} {how}."),
        CheckKind::Smtp(smtp) => format!("SMTP_CHECK {}", smtp_attempt(smtp, failure)),
        CheckKind::Dns(_) => format!("DNS_CHECK ({rs}) {}", dns_failure(failure)),
        CheckKind::Misc(misc) => {
            let retry = subject.checker.timing.retry;
            let (what, status) = script_end(why);
            let how = match turn.forgiven {
                0 => format!(", will do {retry} retries"),
                forgiven => format!(" on retry {forgiven}/{retry}"),
            };
            format!("{} {what}{how}{status}.", misc_check(subject, misc))
        }
        CheckKind::Tcp(_) | CheckKind::File(_) | CheckKind::Bfd(_) => {
            format!("TCP connection to {rs} {how}.")
        }
    }
}

/// What went wrong, with which server.
fn smtp_attempt(smtp: &SmtpCheck, failure: &Failure) -> String {
    let to = smtp.connection.destination;
    format!("{} server [{}]:{}", smtp_failure(failure), to.ip(), to.port())
}

/// What a mail says of a check that passed, or failed for this reason (spec/checkers.md §16).
pub(super) fn mailed(subject: Subject<'_>, up: bool, why: Option<Why<'_>>) -> String {
    let result = if up { "succeed" } else { "failed" };
    match &subject.checker.kind {
        CheckKind::Tcp(_) => format!("TCP CHECK {result} on service"),
        CheckKind::Udp(_) => format!("UDP CHECK {result} on service"),
        CheckKind::Ping(_) => format!("ICMP CHECK {result} on service"),
        CheckKind::Http(_) | CheckKind::Smtp(_) if up => "CHECK succeed on service".to_owned(),
        // Stock: with TLS, too.
        CheckKind::Http(_) => "CHECK failed on service : HTTP request failed".to_owned(),
        CheckKind::Smtp(smtp) => match why {
            Some(Why::Failure(failure)) => {
                format!("CHECK failed on service : {}", smtp_attempt(smtp, failure))
            }
            _ => "CHECK failed on service".to_owned(),
        },
        CheckKind::Dns(_) => format!("DNS_CHECK: {result} on service"),
        CheckKind::Misc(_) => match why {
            Some(Why::Script(ScriptEnd::TimedOut)) => "MISC CHECK timed out on service".to_owned(),
            _ if up => "MISC CHECK succeeded on service".to_owned(),
            _ => "MISC CHECK failed on service".to_owned(),
        },
        CheckKind::File(_) => format!("FILE CHECK {result} on service"),
        CheckKind::Bfd(bfd) => {
            let result = if up { "succeeded" } else { "failed" };
            format!("BFD CHECK {} {result} on service", bfd.name)
        }
    }
}

/// `BFD check of [name] RS(RS) is UP`
pub(super) fn bfd(subject: Subject<'_>, name: &str, is_up: bool) -> String {
    let state = if is_up { "UP" } else { "DOWN" };
    format!("BFD check of [{name}] RS({}) is {state}", subject.real_server)
}

fn misc_check(subject: Subject<'_>, misc: &MiscCheck) -> String {
    let script = misc.command.argv.first().map_or("", String::as_str);
    format!("Misc check for [{} VS {}] by [{script}]", subject.real_server, subject.virtual_server)
}

/// What a script did, and in brackets how it ended.
fn script_end(why: Why<'_>) -> (&'static str, String) {
    match why {
        Why::Script(ScriptEnd::Exited { status }) => ("failed", format!(" (exited with status {status})")),
        Why::Script(ScriptEnd::Signalled { signal }) => ("failed", format!(" (due to signal {signal})")),
        Why::Script(ScriptEnd::TimedOut) => ("timed out", String::new()),
        Why::Script(ScriptEnd::NotStarted { errno }) => {
            ("failed", format!(" (not started: {})", std::io::Error::from_raw_os_error(errno)))
        }
        Why::Failure(_) => ("failed", String::new()),
    }
}

/// What only our own checks can fail of, which no log parser of stock knows.
fn own_reason(why: Why<'_>) -> Option<String> {
    match why {
        Why::Failure(Failure::Http2(fault)) => Some(fault.to_string()),
        Why::Failure(Failure::Unhealthy(unhealthy)) => Some(unhealthy.to_string()),
        _ => None,
    }
}

fn http_failure(failure: &Failure, tls: bool) -> &'static str {
    match failure {
        Failure::ConnectTimeout | Failure::TlsTimeout => "Timeout connecting",
        Failure::ConnectRefused { at_once: true, .. } => "Error connecting",
        Failure::ConnectRefused { at_once: false, .. } => "Connection failed",
        Failure::Send { .. } => "Cannot send get request to",
        Failure::ReadTimeout { .. } if tls => "Timeout SSL read",
        Failure::ReadTimeout { received: false } => "Timeout WEB read",
        Failure::ReadTimeout { received: true } => "Timeout HTTP read",
        Failure::Read { .. } => "Read error with",
        Failure::Tls { .. } => "SSL handshake/communication error connecting to",
        Failure::Status { .. } => "HTTP status code error to",
        Failure::Digest { .. } => "MD5 digest error to",
        Failure::Regex => "Regex match failed",
        Failure::Http2(_) => "HTTP/2 error with",
        Failure::Unhealthy(_) => "gRPC health check failed on",
        _ => "Read, no data received from",
    }
}

fn smtp_failure(failure: &Failure) -> &'static str {
    match failure {
        Failure::ConnectTimeout => "Connection timeout to",
        Failure::ConnectRefused { .. } => "Could not connect to",
        Failure::Send { .. } => "Send failure to",
        Failure::ReadTimeout { .. } => "Read timeout from",
        Failure::Greeting => "Bad greeting banner from",
        Failure::Helo => "Bad HELO response from",
        _ => "Read failure from",
    }
}

fn dns_failure(failure: &Failure) -> String {
    match failure {
        Failure::ConnectTimeout | Failure::ReadTimeout { .. } => "read timeout from socket".to_owned(),
        Failure::Rcode { rcode } => format!("read error occurred. (rcode = {rcode})"),
        Failure::ConnectRefused { errno, .. } | Failure::Read { errno } | Failure::Send { errno } => {
            let text = std::io::Error::from_raw_os_error(*errno).to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            format!("failed to read socket; errno {errno} ({text})")
        }
        _ => "read error occurred.".to_owned(),
    }
}
