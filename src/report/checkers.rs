//! What `keepalived_check.data` tells of one checker. spec/dump-format.md §4.

use std::collections::HashMap;
use std::fmt::Arguments;
use std::net::IpAddr;

use super::check_data::{CheckState, Text, on, yes};
use super::clock::Clock;
use super::text;
use crate::config::model::{
    CheckKind, Checker, Connection, HttpCheck, HttpProtocol, MiscCheck, Regex, UdpCheck, Url,
};

/// How many urls have each pattern: stock compiles equal ones once.
pub(super) struct Regexes<'a>(HashMap<&'a Regex, usize>);

impl<'a> Regexes<'a> {
    pub(super) fn count(checkers: impl Iterator<Item = &'a Checker>) -> Self {
        let mut counts = HashMap::new();
        for checker in checkers {
            let CheckKind::Http(http) = &checker.kind else { continue };
            for regex in http.urls.iter().filter_map(|url| url.regex.as_deref()) {
                *counts.entry(regex).or_default() += 1;
            }
        }
        Self(counts)
    }
}

/// All lines of a checker but its title.
pub(super) fn write_checker(
    text: &mut Text<'_>,
    checker: &Checker,
    state: CheckState,
    weight: i64,
    clock: Clock,
    regexes: &Regexes<'_>,
) {
    let mut line = |text_line: Arguments<'_>| text.line(3, text_line);
    line(format_args!("Enabled = {}", yes(state.enabled)));
    line(format_args!("Up = {}", yes(state.up)));
    line(format_args!("Has run = {}", yes(state.has_run)));
    line(format_args!("Current weight = {weight}"));
    write_timing(text, checker, state);
    text.line(3, format_args!("Log all failures = {}", yes(checker.log_all_failures)));
    if let Some(connection) = checker.kind.connection() {
        write_connection(text, connection);
    }
    let method = checker.kind.keyword();
    if let CheckKind::Http(http) = &checker.kind {
        let protocol = match http.protocol {
            HttpProtocol::V1_0 => "1.0",
            HttpProtocol::V1_0Close => "1.0C",
            HttpProtocol::V1_1 => "1.1",
            HttpProtocol::V2 => "2",
        };
        text.line(3, format_args!("Keepalive method = {method}, http protocol {protocol}"));
        return write_http(text, http, state, regexes);
    }
    let mut line = |text_line: Arguments<'_>| text.line(3, text_line);
    line(format_args!("Keepalive method = {method}"));
    match &checker.kind {
        CheckKind::Tcp(_) | CheckKind::Http(_) => {}
        CheckKind::Smtp(smtp) => line(format_args!("helo = {}", smtp.helo)),
        CheckKind::Dns(dns) => {
            line(format_args!("Type = {}", dns.record.name()));
            line(format_args!("Name = {}", dns.name));
        }
        CheckKind::Udp(udp) => write_udp(text, udp),
        CheckKind::Ping(_) => line(format_args!("  ICMP seq no = {}", state.attempts)),
        CheckKind::Misc(misc) => write_misc(text, misc, state, clock),
        CheckKind::File(file) => {
            line(format_args!("  Tracked file = {}", file.track_file));
            line(format_args!("  Reloaded = No"));
        }
        CheckKind::Bfd(bfd) => {
            line(format_args!("Name = {}", bfd.name));
            line(format_args!("Alpha is {}", on(checker.alpha)));
        }
    }
}

fn write_timing(text: &mut Text<'_>, checker: &Checker, state: CheckState) {
    let mut line = |text_line: Arguments<'_>| text.line(3, text_line);
    let timing = &checker.timing;
    let default_delay = match checker.kind {
        CheckKind::File(_) => return,
        CheckKind::Http(_) => 3_000_000,
        CheckKind::Dns(_) => 0,
        _ => 1_000_000,
    };
    line(format_args!("Alpha = {}", yes(checker.alpha)));
    if matches!(checker.kind, CheckKind::Bfd(_)) {
        // Stock shows what it never sets.
        line(format_args!("Delay loop = {} us", u64::MAX));
        line(format_args!("Warmup = {} us", u64::MAX));
        line(format_args!("Retries = {}", u32::MAX));
        line(format_args!("Delay before retry = {} us", u64::MAX));
        line(format_args!("Retries iterations = {}", u32::MAX));
    } else {
        line(format_args!("Delay loop = {} us", timing.delay_loop.as_micros()));
        line(format_args!("Warmup = {} us", timing.warmup.as_micros()));
        line(format_args!("Retries = {}", timing.retry));
        if timing.retry != 0 {
            line(format_args!("Delay before retry = {} us", timing.delay_before_retry.as_micros()));
            line(format_args!("Retries iterations = {}", state.failures));
        }
    }
    line(format_args!("Default delay before retry = {default_delay} us"));
}

fn write_connection(text: &mut Text<'_>, connection: &Connection) {
    let pair = |address: IpAddr, port: u16| format!("[{address}]:{port}");
    let destination = connection.destination;
    text.line(3, format_args!("Connection"));
    text.line(5, format_args!("Dest = {}", pair(destination.ip(), destination.port())));
    if let Some(address) = connection.local.bind {
        text.line(5, format_args!("Bind to = {}", pair(address, connection.local.bind_port)));
    }
    if let Some(interface) = &connection.local.bind_interface {
        text.line(5, format_args!("Bind i/f = {interface}"));
    }
    if connection.local.fwmark != 0 {
        text.line(5, format_args!("Mark = {}", connection.local.fwmark));
    }
    text.line(5, format_args!("Timeout = {:.6}", connection.timeout.as_secs_f64()));
}

fn write_http(text: &mut Text<'_>, http: &HttpCheck, state: CheckState, regexes: &Regexes<'_>) {
    let mut line = |text_line: Arguments<'_>| text.line(3, text_line);
    if let Some(host) = &http.virtualhost {
        line(format_args!("Virtualhost = {host}"));
    }
    line(format_args!("Enable SNI {}", set(http.enable_sni)));
    if let Some(name) = &http.sni_name {
        line(format_args!("  SNI name {name}"));
    }
    line(format_args!("Fast recovery {}", set(http.fast_recovery)));
    if http.tls {
        line(format_args!("tls_compliant {}", set(http.tls_compliant)));
    }
    for url in &http.urls {
        write_url(text, url, regexes);
    }
    if let Some(url) = state.failed_url.and_then(|index| http.urls.get(index)) {
        text.line(3, format_args!("Failed URL = {}", url.path));
    }
}

fn write_url(text: &mut Text<'_>, url: &Url, regexes: &Regexes<'_>) {
    text.line(3, format_args!("Checked url = {}", url.path));
    if let Some(digest) = url.digest {
        text.line(5, format_args!("digest = {:032x}", u128::from_be_bytes(digest)));
    }
    text.line(5, format_args!("tls_compliant {}", set(url.tls_compliant)));
    text.line(5, format_args!("HTTP Status Code(s)"));
    for (first, last) in &url.status_codes {
        if first == last {
            text.line(7, format_args!("{first}"));
        } else {
            text.line(7, format_args!("{first}-{last}"));
        }
    }
    if let Some(host) = &url.virtualhost {
        text.line(5, format_args!("Virtual host = {host}"));
    }
    if let Some(service) = &url.grpc_health {
        text.line(5, format_args!("gRPC health = {}", if service.is_empty() { "(server)" } else { service }));
    }
    if let Some(regex) = &url.regex {
        write_regex(text, regex, regexes);
    }
}

fn write_regex(text: &mut Text<'_>, regex: &Regex, regexes: &Regexes<'_>) {
    let mut line = |text_line: Arguments<'_>| text.line(5, text_line);
    line(format_args!("Regex = \"{}\"", regex.pattern));
    if regex.no_match {
        line(format_args!("Regex no match"));
    }
    match (regex.min_offset, regex.max_offset) {
        (min, Some(max)) => line(format_args!("Regex min offset = {min}, max_offset = {max}")),
        (0, None) => {}
        (min, None) => line(format_args!("Regex min offset = {min}")),
    }
    let options: String = regex.options.names().flat_map(|name| [" ", name]).collect();
    line(format_args!("Regex options:{options}"));
    line(format_args!("Regex ref count = {}", regexes.0.get(regex).copied().unwrap_or(1)));
    if let Some((start, max)) = regex.stack {
        line(format_args!("Regex stack start {start}, max {max}"));
    }
}

fn write_udp(text: &mut Text<'_>, udp: &UdpCheck) {
    let mut line = |text_line: Arguments<'_>| text.line(3, text_line);
    match &udp.payload {
        Some(payload) => line(format_args!("Payload len = {}", payload.len())),
        None => line(format_args!("Payload specified = no")),
    }
    line(format_args!("Require reply = {}", yes(udp.reply.is_some())));
    let Some(reply) = &udp.reply else { return };
    line(format_args!("  Min reply length = {}", reply.min_length));
    line(format_args!("  Max reply length = {}", reply.max_length));
    line(format_args!("  Reply data len = {}", reply.pattern.len()));
    if !reply.pattern.is_empty() {
        let masked = reply.pattern.iter().any(|byte| byte.mask != 0xff);
        line(format_args!("  Reply data mask = {}", yes(masked)));
    }
}

fn write_misc(text: &mut Text<'_>, misc: &MiscCheck, state: CheckState, clock: Clock) {
    let mut line = |text_line: Arguments<'_>| text.line(3, text_line);
    if text::has_other_path(&misc.command) {
        line(format_args!("path = {}", misc.command.path));
    }
    line(format_args!("script = {}", text::words(&misc.command)));
    line(format_args!("timeout = {}", misc.own_timeout));
    line(format_args!("dynamic = {}", if misc.dynamic { "YES" } else { "NO" }));
    let identity = misc.command.identity;
    line(format_args!("uid:gid = {}:{}", identity.uid, identity.gid));
    let last = clock.epoch_of(state.last_run);
    line(format_args!("Last ran = {last} ({})", last.odd()));
    line(format_args!("Last status = {}", state.last_status));
}

fn set(value: bool) -> &'static str {
    if value { "set" } else { "unset" }
}
