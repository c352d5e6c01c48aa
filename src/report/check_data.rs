//! `keepalived_check.data`: the state of the checkers process, as text. spec/dump-format.md §4.
//!
//! Some lines tell what stock inherits from block to block. The model holds inherited values where they end up, in the
//! checkers, so those lines show the value of the first checker below, or the built-in default.

use std::fmt::{Arguments, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use super::global::{Writer, global};
use crate::config::model::{
    CheckKind, Checker, Command, Connection, Family, ForwardingMethod, Global, Granularity, GroupEntry,
    HttpCheck, HttpProtocol, Protocol, RealServer, Scheduler, Service, Tunnel, TunnelChecksum, Url,
    VirtualServer, VirtualServerGroup,
};
use crate::lvs::label;
use crate::lvs::virtual_server::{RealServerSnapshot, Snapshot};

/// What the checkers process knows at this moment.
pub struct CheckData<'a> {
    /// Global values.
    pub global: &'a Global,
    /// Groups in file order.
    pub groups: &'a [VirtualServerGroup],
    /// Virtual servers in file order.
    pub virtual_servers: Vec<VirtualServerData<'a>>,
}

/// One virtual server.
pub struct VirtualServerData<'a> {
    /// Its configuration.
    pub config: &'a VirtualServer,
    /// Its health.
    pub health: Snapshot,
    /// Per real server and checker.
    pub checks: Vec<Vec<CheckState>>,
    /// Per real server: was it there before the last reload? Empty if the virtual server was not.
    pub reloaded: &'a [bool],
}

/// The state of one checker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckState {
    /// Is it up?
    pub up: bool,
    /// Has it run?
    pub has_run: bool,
    /// Failures in a row that were forgiven.
    pub failures: u32,
    /// Index of the url it is down because of.
    pub failed_url: Option<usize>,
}

/// The whole file.
pub fn check_data(data: &CheckData<'_>) -> String {
    let mut out = String::new();
    global(&mut out, data.global, Writer::Checkers);
    let uses_tls = |rs: &RealServer| {
        rs.checkers.iter().any(|checker| matches!(&checker.kind, CheckKind::Http(http) if http.tls))
    };
    let mut text = Text(&mut out);
    if data.virtual_servers.iter().any(|vs| vs.config.real_servers.iter().any(uses_tls)) {
        text.line(0, format_args!("------< SSL definitions >------"));
        text.line(1, format_args!("Using autogen SSL context"));
    }
    text.line(0, format_args!("------< LVS Topology >------"));
    text.line(1, format_args!("System is compiled with LVS v1.2.1"));
    for group in data.groups {
        write_group(&mut text, group, data);
    }
    for vs in &data.virtual_servers {
        write_virtual_server(&mut text, vs);
    }
    text.line(0, format_args!("------< Health checkers >------"));
    for vs in &data.virtual_servers {
        for ((rs, checks), snapshot) in
            vs.config.real_servers.iter().zip(&vs.checks).zip(&vs.health.real_servers)
        {
            for ((checker, state), weight) in rs.checkers.iter().zip(checks).zip(&snapshot.contributions) {
                let log_all = data.global.checker_log_all_failures || checker.log_all_failures;
                let title = format!(
                    "{} -> {}",
                    label::virtual_server(vs.config),
                    label::real_server(vs.config.protocol, rs.address, rs.port)
                );
                text.line(1, format_args!("{title}"));
                write_checker(&mut text, checker, *state, *weight, log_all);
            }
        }
    }
    out
}

/// Lines with their indent.
struct Text<'a>(&'a mut String);

impl Text<'_> {
    fn line(&mut self, indent: usize, text: Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{:indent$}{text}", "");
    }

    fn script(&mut self, indent: usize, what: &str, command: Option<&Command>) {
        if let Some(command) = command {
            let words: Vec<_> = command.argv.iter().map(|word| format!("'{word}'")).collect();
            let (uid, gid) = (command.identity.uid, command.identity.gid);
            self.line(
                indent,
                format_args!("{what} notify script = {}, uid:gid {uid}:{gid}", words.join(" ")),
            );
        }
    }
}

fn write_group(text: &mut Text<'_>, group: &VirtualServerGroup, data: &CheckData<'_>) {
    let family = |entry: &GroupEntry| match entry {
        GroupEntry::Range { first, .. } => Some(Family::of(*first)),
        GroupEntry::Fwmark { family, .. } => *family,
    };
    let has = |wanted| group.entries.iter().any(|entry| family(entry) == Some(wanted));
    text.line(1, format_args!("------< Virtual server group >------"));
    text.line(
        1,
        format_args!(
            "Virtual Server Group = {}, IPv4 = {}, IPv6 = {}",
            group.name,
            yes(has(Family::V4)),
            yes(has(Family::V6))
        ),
    );
    let users = |wanted: &dyn Fn(&VirtualServer) -> bool| {
        data.virtual_servers
            .iter()
            .filter(|vs| matches!(&vs.config.service, Service::Group { name, .. } if *name == group.name))
            .filter(|vs| wanted(vs.config))
            .count()
    };
    for entry in &group.entries {
        match entry {
            GroupEntry::Range { first, last, port } if first == last => {
                text.line(3, format_args!("VIP = {first}, VPORT = {port}"));
            }
            GroupEntry::Range { first, last, port } => {
                text.line(3, format_args!("VIP Range = {first}-{last}, VPORT = {port}"));
            }
            GroupEntry::Fwmark { mark, family } => {
                let family = match family {
                    None => "",
                    Some(Family::V4) => " IPv4",
                    Some(Family::V6) => " IPv6",
                };
                text.line(3, format_args!("FWMARK = {mark}{family}"));
            }
        }
        if let GroupEntry::Fwmark { .. } = entry {
            let of = |family| users(&|vs| vs.family.unwrap_or(Family::V4) == family);
            text.line(5, format_args!("Alive: {} IPv4, {} IPv6", of(Family::V4), of(Family::V6)));
        } else {
            let of = |protocol| users(&|vs| vs.protocol == Some(protocol));
            let (tcp, udp, sctp) = (of(Protocol::Tcp), of(Protocol::Udp), of(Protocol::Sctp));
            text.line(5, format_args!("Alive: {tcp} tcp, {udp} udp, {sctp} sctp"));
        }
        text.line(5, format_args!("reloaded = False"));
    }
}

fn write_virtual_server(text: &mut Text<'_>, data: &VirtualServerData<'_>) {
    let vs = data.config;
    text.line(1, format_args!("------< Virtual server >------"));
    match &vs.service {
        Service::Address { address, port } => {
            text.line(1, format_args!("VS VIP = {address}, VPORT = {port}"));
        }
        Service::Fwmark(mark) => text.line(1, format_args!("VS FWMARK = {mark}")),
        Service::Group { .. } => text.line(1, format_args!("VS GROUP = {}", label::virtual_server(vs))),
    }
    let mut line = |text_line: Arguments<'_>| text.line(3, text_line);
    line(format_args!(
        "Address family = {}",
        match vs.family {
            Some(Family::V4) => "inet",
            Some(Family::V6) => "inet6",
            None => "IPv4 & IPv6",
        }
    ));
    let first = vs.real_servers.iter().flat_map(|rs| &rs.checkers).next();
    line(format_args!("connection timeout = {:.6}", timeout_of(first).as_secs_f64()));
    line(format_args!("delay_loop = {:.6}", delay_loop_of(first).as_secs_f64()));
    line(format_args!("lvs_sched = {}", vs.scheduler.name()));
    line(format_args!("Hashed = disabled"));
    let flags: &[(&str, u32)] = match vs.scheduler {
        Scheduler::Sh => &[("sh-port", 0x10), ("sh-fallback", 0x08)],
        Scheduler::Mh => &[("mh-port", 0x10), ("mh-fallback", 0x08)],
        _ => &[("flag-1", 0x08), ("flag-2", 0x10), ("flag-3", 0x20)],
    };
    for (name, bit) in flags {
        line(format_args!("{name} = {}", enabled(vs.flags & bit != 0)));
    }
    line(format_args!("One packet scheduling = {}", enabled(vs.flags & 0x04 != 0)));
    if let Some(persistence) = &vs.persistence {
        line(format_args!("persistence timeout = {}", persistence.timeout));
        match persistence.granularity {
            Some(Granularity::V4(mask)) => line(format_args!("persistence granularity = {mask}")),
            Some(Granularity::V6(length)) => line(format_args!("persistence granularity = {length}")),
            None => {}
        }
    }
    let protocol = label::protocol_name(vs.protocol);
    let protocol = if protocol == "none" { protocol.to_owned() } else { protocol.to_uppercase() };
    line(format_args!("protocol = {protocol}"));
    line(format_args!("alpha is {}", on(first.is_some_and(|checker| checker.alpha))));
    line(format_args!("omega is {}", on(vs.omega)));
    let inhibit = !vs.real_servers.is_empty() && vs.real_servers.iter().all(|rs| rs.inhibit_on_failure);
    line(format_args!("Inhibit on failure is {}", on(inhibit)));
    line(format_args!("quorum = {}, hysteresis = {}", vs.quorum, vs.hysteresis));
    text.script(3, "Quorum up", vs.quorum_up.as_ref());
    text.script(3, "Quorum down", vs.quorum_down.as_ref());
    text.line(3, format_args!("Using smtp notification = {}", yes(vs.smtp_alert)));
    text.line(3, format_args!("default forwarding method = {}", method(vs.method)));
    if let Some(sorry) = &vs.sorry_server {
        let duplicate = vs.real_servers.iter().any(|rs| (rs.address, rs.port) == (sorry.address, sorry.port));
        let mark = if duplicate { "(duplicates rs) " } else { "" };
        let name = label::real_server(vs.protocol, sorry.address, sorry.port);
        let set = u8::from(data.health.sorry_active || sorry.inhibit);
        text.line(3, format_args!("sorry server {mark}= {name}"));
        text.line(5, format_args!("forwarding method = {}", method(sorry.method)));
        text.line(5, format_args!("Inhibit on failure is {}", on(sorry.inhibit)));
        text.line(5, format_args!("set = {set}"));
        text.line(5, format_args!("alive = {}", u8::from(data.health.sorry_active)));
    }
    text.line(3, format_args!("VS alive = 1"));
    text.line(3, format_args!("quorum_state_up = {}", u8::from(data.health.quorum_up)));
    text.line(3, format_args!("reloaded = {}", u8::from(!data.reloaded.is_empty())));
    for (index, (rs, snapshot)) in vs.real_servers.iter().zip(&data.health.real_servers).enumerate() {
        let reloaded = data.reloaded.get(index).is_some_and(|kept| *kept);
        write_real_server(text, rs, snapshot, reloaded);
    }
}

fn write_real_server(text: &mut Text<'_>, rs: &RealServer, snapshot: &RealServerSnapshot, reloaded: bool) {
    let mut line = |text_line: Arguments<'_>| text.line(3, text_line);
    let first = rs.checkers.first();
    let effective = snapshot.effective_weight;
    line(format_args!("------< Real Server >------"));
    line(format_args!(
        "RIP = {}, RPORT = {}, WEIGHT = {} EFF WEIGHT = {effective}",
        rs.address, rs.port, rs.weight
    ));
    line(format_args!("forwarding method = {}", method(rs.method)));
    line(format_args!("Alpha is {}", on(first.is_some_and(|checker| checker.alpha))));
    line(format_args!("connection timeout = {:.6}", timeout_of(first).as_secs_f64()));
    line(format_args!("connection limit range = {} -> {}", rs.lower_threshold, rs.upper_threshold));
    line(format_args!("Delay loop = {:.6}", delay_loop_of(first).as_secs_f64()));
    line(format_args!("Inhibit on failure is {}", on(rs.inhibit_on_failure)));
    text.script(3, "RS up", rs.notify_up.as_ref());
    text.script(3, "RS down", rs.notify_down.as_ref());
    let mut line = |text_line: Arguments<'_>| text.line(3, text_line);
    line(format_args!("Using smtp notification = {}", yes(rs.smtp_alert)));
    line(format_args!("initial weight = {}", rs.weight));
    line(format_args!("effective weight = {effective}"));
    line(format_args!("previous effective_weight = {effective}"));
    line(format_args!("alive = {}", u8::from(snapshot.alive)));
    line(format_args!("num failed checkers = {}", snapshot.failed_checkers));
    line(format_args!("RS set = {}", u8::from(snapshot.set)));
    line(format_args!("reloaded = {}", u8::from(reloaded)));
}

fn write_checker(text: &mut Text<'_>, checker: &Checker, state: CheckState, weight: i64, log_all: bool) {
    let mut line = |text_line: Arguments<'_>| text.line(3, text_line);
    let timing = &checker.timing;
    line(format_args!("Enabled = yes"));
    line(format_args!("Up = {}", yes(state.up)));
    line(format_args!("Has run = {}", yes(state.has_run)));
    line(format_args!("Current weight = {weight}"));
    line(format_args!("Alpha = {}", yes(checker.alpha)));
    line(format_args!("Delay loop = {} us", timing.delay_loop.as_micros()));
    line(format_args!("Warmup = {} us", timing.warmup.as_micros()));
    line(format_args!("Retries = {}", timing.retry));
    if timing.retry != 0 {
        line(format_args!("Delay before retry = {} us", timing.delay_before_retry.as_micros()));
        line(format_args!("Retries iterations = {}", state.failures));
    }
    let default = match checker.kind {
        CheckKind::Tcp(_) => 1_000_000,
        CheckKind::Http(_) => 3_000_000,
    };
    line(format_args!("Default delay before retry = {default} us"));
    line(format_args!("Log all failures = {}", yes(log_all)));
    match &checker.kind {
        CheckKind::Tcp(connection) => {
            write_connection(text, connection);
            text.line(3, format_args!("Keepalive method = TCP_CHECK"));
        }
        CheckKind::Http(http) => {
            write_connection(text, &http.connection);
            write_http(text, http, state);
        }
    }
}

fn write_connection(text: &mut Text<'_>, connection: &Connection) {
    let pair = |address: IpAddr, port: u16| format!("[{address}]:{port}");
    let destination = connection.destination;
    text.line(3, format_args!("Connection"));
    text.line(5, format_args!("Dest = {}", pair(destination.ip(), destination.port())));
    if let Some(address) = connection.bind {
        text.line(5, format_args!("Bind to = {}", pair(address, connection.bind_port)));
    }
    if let Some(interface) = &connection.bind_interface {
        text.line(5, format_args!("Bind i/f = {interface}"));
    }
    if connection.fwmark != 0 {
        text.line(5, format_args!("Mark = {}", connection.fwmark));
    }
    text.line(5, format_args!("Timeout = {:.6}", connection.timeout.as_secs_f64()));
}

fn write_http(text: &mut Text<'_>, http: &HttpCheck, state: CheckState) {
    let method = if http.tls { "SSL_GET" } else { "HTTP_GET" };
    let protocol = match http.protocol {
        HttpProtocol::V1_0 => "1.0",
        HttpProtocol::V1_0Close => "1.0C",
        HttpProtocol::V1_1 => "1.1",
    };
    text.line(3, format_args!("Keepalive method = {method}, http protocol {protocol}"));
    let sni = http.urls.iter().find_map(|url| url.sni.as_ref());
    text.line(3, format_args!("Enable SNI {}", set(sni.is_some())));
    text.line(3, format_args!("Fast recovery {}", set(http.fast_recovery)));
    if http.tls {
        text.line(3, format_args!("tls_compliant {}", set(http.tls_compliant)));
    }
    for url in &http.urls {
        write_url(text, url);
    }
    if let Some(url) = state.failed_url.and_then(|index| http.urls.get(index)) {
        text.line(3, format_args!("Failed URL = {}", url.path));
    }
}

fn write_url(text: &mut Text<'_>, url: &Url) {
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
}

fn connection_of(checker: &Checker) -> &Connection {
    match &checker.kind {
        CheckKind::Tcp(connection) => connection,
        CheckKind::Http(http) => &http.connection,
    }
}

fn timeout_of(checker: Option<&Checker>) -> Duration {
    checker.map_or(Duration::from_secs(5), |checker| connection_of(checker).timeout)
}

fn delay_loop_of(checker: Option<&Checker>) -> Duration {
    checker.map_or(Duration::from_secs(60), |checker| checker.timing.delay_loop)
}

/// `NAT`, `DR`, `TUN, type = IPIP`, `TUN, type = GUE, port = 5555, no checksum`.
fn method(method: ForwardingMethod) -> String {
    let checksum = |checksum| match checksum {
        TunnelChecksum::None => "no checksum",
        TunnelChecksum::Csum => "checksum",
        TunnelChecksum::Remote => "remote checksum",
    };
    match method {
        ForwardingMethod::Nat => "NAT".to_owned(),
        ForwardingMethod::Dr => "DR".to_owned(),
        ForwardingMethod::Tun(Tunnel::Ipip) => "TUN, type = IPIP".to_owned(),
        ForwardingMethod::Tun(Tunnel::Gue { port, checksum: mode }) => {
            format!("TUN, type = GUE, port = {port}, {}", checksum(mode))
        }
        ForwardingMethod::Tun(Tunnel::Gre { checksum: mode }) => {
            format!("TUN, type = GRE, {}", checksum(mode))
        }
    }
}

fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

fn on(value: bool) -> &'static str {
    if value { "ON" } else { "OFF" }
}

fn set(value: bool) -> &'static str {
    if value { "set" } else { "unset" }
}

fn enabled(value: bool) -> &'static str {
    if value { "enabled" } else { "disabled" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::SorryServer;
    use crate::lvs::virtual_server::tests::virtual_server;

    #[test]
    fn a_virtual_server_with_a_dead_real_server_is_shown_as_stock_shows_it() {
        let mut vs = virtual_server(1);
        vs.sorry_server = Some(SorryServer {
            address: "127.0.0.1".parse().unwrap(),
            port: 9000,
            method: ForwardingMethod::Nat,
            inhibit: false,
        });
        let snapshot = RealServerSnapshot {
            alive: false,
            set: false,
            failed_checkers: 1,
            effective_weight: 1,
            contributions: vec![0],
        };
        let health = Snapshot { quorum_up: false, sorry_active: true, real_servers: vec![snapshot] };
        let state = CheckState { up: false, has_run: true, failures: 1, failed_url: None };
        let data = CheckData {
            global: &Global::default(),
            groups: &[],
            virtual_servers: vec![VirtualServerData {
                config: &vs,
                health,
                checks: vec![vec![state]],
                reloaded: &[],
            }],
        };
        let text = check_data(&data);
        let text = &text[text.find("------< LVS").unwrap()..];
        insta::assert_snapshot!(text);
    }
}
