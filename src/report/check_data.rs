//! `keepalived_check.data`: the state of the checkers process, as text. spec/dump-format.md §4.
//!
//! Virtual and real servers are here, what is told of a checker in the module `checkers`.

use std::fmt::{Arguments, Write as _};

use super::checkers::{Regexes, write_checker};
use super::clock::Clock;
use super::global::{Writer, global};
use super::text;
use crate::config::model::{
    CheckKind, Command, Family, FileCheck, ForwardingMethod, Global, Granularity, GroupEntry,
    InheritedSettings, Protocol, RealServer, Scheduler, Service, Ssl, TrackFile, Tunnel, TunnelChecksum,
    VirtualServer, VirtualServerGroup,
};
use crate::lvs::label;
use crate::lvs::pooling::Pooling;
use crate::lvs::virtual_server::{RealServerSnapshot, Snapshot};
use crate::time::Time;

/// What the checkers process knows at this moment.
pub struct CheckData<'a> {
    /// Global values.
    pub global: &'a Global,
    /// What SSL checks present to servers.
    pub ssl: Option<&'a Ssl>,
    /// Groups in file order.
    pub groups: &'a [VirtualServerGroup],
    /// Virtual servers in file order.
    pub virtual_servers: Vec<VirtualServerData<'a>>,
    /// Names of the BFD sessions that tell the checkers, in file order.
    pub bfd_instances: &'a [String],
    /// The tracked files in file order, and the numbers they hold.
    pub track_files: Vec<(&'a TrackFile, i32)>,
    /// This moment.
    pub clock: Clock,
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
    /// Does it run? Not while `ha_suspend` holds it.
    pub enabled: bool,
    /// Is it up?
    pub up: bool,
    /// Has it run?
    pub has_run: bool,
    /// Failures in a row that were forgiven.
    pub failures: u32,
    /// Index of the url it is down because of.
    pub failed_url: Option<usize>,
    /// Exit status of its script the last time.
    pub last_status: u8,
    /// When it ran last.
    pub last_run: Option<Time>,
    /// How often it has asked.
    pub attempts: u32,
}

/// The whole file.
pub fn check_data(data: &CheckData<'_>) -> String {
    let mut out = String::new();
    global(&mut out, data.global, Writer::Checkers);
    let mut text = Text(&mut out);
    write_ssl(&mut text, data);
    text.line(0, format_args!("------< LVS Topology >------"));
    text.line(1, format_args!("System is compiled with LVS v1.2.1"));
    for group in data.groups {
        write_group(&mut text, group, data);
    }
    for vs in &data.virtual_servers {
        write_virtual_server(&mut text, vs, data.clock.now);
    }
    write_checkers(&mut text, data);
    write_files(&mut text, data);
    write_sessions(&mut text, data);
    out
}

fn write_ssl(text: &mut Text<'_>, data: &CheckData<'_>) {
    let uses_tls = |rs: &RealServer| {
        rs.checkers.iter().any(|checker| matches!(&checker.kind, CheckKind::Http(http) if http.tls))
    };
    let is_needed = data.virtual_servers.iter().any(|vs| vs.config.real_servers.iter().any(uses_tls));
    if data.ssl.is_none() && !is_needed {
        return;
    }
    text.line(0, format_args!("------< SSL definitions >------"));
    let Some(ssl) = data.ssl else {
        text.line(1, format_args!("Using autogen SSL context"));
        return;
    };
    let password = ssl.password.as_ref().map(|_| "********".to_owned());
    for (label, value) in [
        ("Password", &password),
        ("CA-file", &ssl.ca),
        ("Certificate file", &ssl.certificate),
        ("Key file", &ssl.key),
    ] {
        if let Some(value) = value {
            text.line(1, format_args!("{label} : {value}"));
        }
    }
}

/// Stock makes the file checkers last, so they stand behind all others.
fn write_checkers(text: &mut Text<'_>, data: &CheckData<'_>) {
    let all = || {
        data.virtual_servers.iter().flat_map(|vs| {
            let servers = vs.config.real_servers.iter().zip(&vs.checks).zip(&vs.health.real_servers);
            servers.flat_map(move |((rs, checks), snapshot)| {
                let checkers = rs.checkers.iter().zip(checks).zip(&snapshot.contributions);
                checkers.map(move |((checker, state), weight)| (vs, rs, checker, *state, *weight))
            })
        })
    };
    let regexes = Regexes::count(all().map(|(_, _, checker, ..)| checker));
    let mut header = Some("------< Health checkers >------");
    for files in [false, true] {
        for (vs, rs, checker, state, weight) in all() {
            if matches!(checker.kind, CheckKind::File(_)) != files {
                continue;
            }
            if let Some(header) = header.take() {
                text.line(0, format_args!("{header}"));
            }
            let (service, server) = (label::virtual_server(vs.config), real_server(vs.config, rs));
            text.line(1, format_args!("{service} -> {server}"));
            write_checker(text, checker, state, weight, data.clock, &regexes);
        }
    }
}

fn real_server(vs: &VirtualServer, rs: &RealServer) -> String {
    label::real_server(vs.protocol, rs.address, rs.port)
}

fn write_files(text: &mut Text<'_>, data: &CheckData<'_>) {
    let reversed = |reverse: bool| if reverse { " reverse" } else { "" };
    for (index, (file, number)) in data.track_files.iter().enumerate() {
        if index == 0 {
            text.line(0, format_args!("------< Checker track files >------"));
        }
        text.line(1, format_args!("Track file = {}", file.name));
        text.line(3, format_args!("File = {}", file.path));
        text.line(3, format_args!("Status = {number}"));
        text.line(3, format_args!("Weight = {}{}", file.weight, reversed(file.reverse)));
        text.line(3, format_args!("Tracking instances :"));
        for vs in &data.virtual_servers {
            for rs in &vs.config.real_servers {
                for check in files(rs).filter(|check| check.track_file == file.name) {
                    let (service, server) = (label::virtual_server(vs.config), real_server(vs.config, rs));
                    let (weight, reverse) = (check.weight, reversed(check.reverse));
                    text.line(5, format_args!("{service} -> {server}, weight {weight}{reverse}"));
                }
            }
        }
    }
}

fn files(rs: &RealServer) -> impl Iterator<Item = &FileCheck> {
    rs.checkers.iter().filter_map(|checker| match &checker.kind {
        CheckKind::File(file) => Some(file),
        _ => None,
    })
}

fn write_sessions(text: &mut Text<'_>, data: &CheckData<'_>) {
    if data.bfd_instances.is_empty() {
        return;
    }
    text.line(0, format_args!("------< Checker track BFDs >------"));
    for name in data.bfd_instances {
        text.line(1, format_args!("Checker Track BFD = {name}"));
        text.line(3, format_args!("Tracking RS :"));
        for vs in &data.virtual_servers {
            for rs in vs.config.real_servers.iter().filter(|rs| sessions(rs).any(|it| it == name)) {
                text.line(3, format_args!("{}", real_server(vs.config, rs)));
            }
        }
    }
}

fn sessions(rs: &RealServer) -> impl Iterator<Item = &str> {
    rs.checkers.iter().filter_map(|checker| match &checker.kind {
        CheckKind::Bfd(bfd) => Some(bfd.name.as_str()),
        _ => None,
    })
}

/// Lines with their indent.
pub(super) struct Text<'a>(&'a mut String);

impl Text<'_> {
    pub(super) fn line(&mut self, indent: usize, text: Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{:indent$}{text}", "");
    }

    fn script(&mut self, what: &str, command: Option<&Command>) {
        if let Some(command) = command {
            self.line(3, format_args!("{what} notify script = {}", text::script(command)));
        }
    }

    /// Settings that may be unset; `retry` and the like have no value then.
    fn retries(&mut self, inherited: &InheritedSettings) {
        if let Some(retry) = inherited.retry {
            self.line(3, format_args!("Retry count = {retry}"));
        }
        if let Some(delay) = inherited.delay_before_retry {
            self.line(3, format_args!("Retry delay = {:.6}", delay.as_secs_f64()));
        }
        if let Some(warmup) = inherited.warmup {
            self.line(3, format_args!("Warmup = {:.6}", warmup.as_secs_f64()));
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
    // Real servers in service of the virtual servers that use the group.
    let alive = |wanted: &dyn Fn(&VirtualServer) -> bool| {
        data.virtual_servers
            .iter()
            .filter(|vs| matches!(&vs.config.service, Service::Group { name, .. } if *name == group.name))
            .filter(|vs| wanted(vs.config))
            .flat_map(|vs| &vs.health.real_servers)
            .filter(|rs| rs.set)
            .count()
    };
    let reloaded = if data
        .virtual_servers
        .iter()
        .filter(|vs| matches!(&vs.config.service, Service::Group { name, .. } if *name == group.name))
        .any(|vs| !vs.reloaded.is_empty())
    {
        "True"
    } else {
        "False"
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
            // Stock counts a service of both families under IPv6.
            let v4 = alive(&|vs| vs.family == Some(Family::V4));
            let v6 = alive(&|vs| vs.family != Some(Family::V4));
            text.line(5, format_args!("Alive: {v4} IPv4, {v6} IPv6"));
        } else {
            let of = |protocol| alive(&|vs| vs.protocol == Some(protocol));
            let (tcp, udp, sctp) = (of(Protocol::Tcp), of(Protocol::Udp), of(Protocol::Sctp));
            text.line(5, format_args!("Alive: {tcp} tcp, {udp} udp, {sctp} sctp"));
        }
        text.line(5, format_args!("reloaded = {reloaded}"));
    }
}

fn write_virtual_server(text: &mut Text<'_>, data: &VirtualServerData<'_>, now: Time) {
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
    if let Some(host) = &vs.virtualhost {
        line(format_args!("VirtualHost = {host}"));
    }
    if let Some(name) = &vs.snmp_name {
        line(format_args!("SNMP name = '{name}'"));
    }
    line(format_args!(
        "Address family = {}",
        match vs.family {
            Some(Family::V4) => "inet",
            Some(Family::V6) => "inet6",
            None => "IPv4 & IPv6",
        }
    ));
    let inherited = &vs.settings;
    line(format_args!("connection timeout = {:.6}", inherited.connect_timeout.as_secs_f64()));
    line(format_args!("delay_loop = {:.6}", inherited.delay_loop.as_secs_f64()));
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
    line(format_args!("alpha is {}", on(inherited.alpha)));
    line(format_args!("omega is {}", on(vs.omega)));
    text.retries(inherited);
    text.line(3, format_args!("Inhibit on failure is {}", on(vs.inhibit_on_failure)));
    text.line(3, format_args!("quorum = {}, hysteresis = {}", vs.quorum, vs.hysteresis));
    text.script("Quorum up", vs.quorum_up.as_ref());
    text.script("Quorum down", vs.quorum_down.as_ref());
    if vs.ha_suspend {
        text.line(3, format_args!("Using HA suspend"));
    }
    // Ours: stock has no such lines, nor the settings.
    if !vs.slow_start.is_zero() {
        text.line(3, format_args!("Slow start = {:.6}", vs.slow_start.as_secs_f64()));
    }
    if vs.min_in_service != 0 {
        text.line(3, format_args!("Minimum in service = {} %", vs.min_in_service));
    }
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
        write_real_server(text, vs, rs, snapshot, reloaded);
        write_pooling(text, snapshot, now);
    }
}

fn write_real_server(
    text: &mut Text<'_>,
    vs: &VirtualServer,
    rs: &RealServer,
    snapshot: &RealServerSnapshot,
    reloaded: bool,
) {
    let mut line = |text_line: Arguments<'_>| text.line(3, text_line);
    let own = rs.own.as_deref();
    let inherited = own.and_then(|own| own.settings.as_ref()).unwrap_or(&vs.settings);
    let effective = snapshot.effective_weight;
    line(format_args!("------< Real server >------"));
    line(format_args!(
        "RIP = {}, RPORT = {}, WEIGHT = {} EFF WEIGHT = {effective}",
        rs.address, rs.port, rs.weight
    ));
    line(format_args!("forwarding method = {}", method(rs.method)));
    line(format_args!("Alpha is {}", on(inherited.alpha)));
    line(format_args!("connection timeout = {:.6}", inherited.connect_timeout.as_secs_f64()));
    line(format_args!("connection limit range = {} -> {}", rs.lower_threshold, rs.upper_threshold));
    line(format_args!("Delay loop = {:.6}", inherited.delay_loop.as_secs_f64()));
    text.retries(inherited);
    text.line(3, format_args!("Inhibit on failure is {}", on(rs.inhibit_on_failure)));
    text.script("RS up", rs.notify_up.as_deref());
    text.script("RS down", rs.notify_down.as_deref());
    let mut line = |text_line: Arguments<'_>| text.line(3, text_line);
    if let Some(host) = own.and_then(|own| own.virtualhost.as_ref()) {
        line(format_args!("VirtualHost = '{host}'"));
    }
    if let Some(name) = own.and_then(|own| own.snmp_name.as_ref()) {
        line(format_args!("SNMP name = {name}"));
    }
    line(format_args!("Using smtp notification = {}", yes(rs.smtp_alert)));
    line(format_args!("initial weight = {}", rs.weight));
    line(format_args!("effective weight = {effective}"));
    line(format_args!("previous effective_weight = {effective}"));
    line(format_args!("alive = {}", u8::from(snapshot.alive)));
    line(format_args!("num failed checkers = {}", snapshot.failed_checkers));
    line(format_args!("RS set = {}", u8::from(snapshot.set)));
    line(format_args!("reloaded = {}", u8::from(reloaded)));
    for (index, file) in files(rs).enumerate() {
        if index == 0 {
            line(format_args!("Tracked Files"));
        }
        let reverse = if file.reverse { " reverse" } else { "" };
        line(format_args!("  {}, weight {}{reverse}", file.track_file, file.weight));
    }
    for (index, name) in sessions(rs).enumerate() {
        if index == 0 {
            line(format_args!("Tracked BFDs"));
        }
        line(format_args!("  {name}"));
    }
}

/// Ours: a real server whose place in the pool is not what its health alone would give it.
fn write_pooling(text: &mut Text<'_>, snapshot: &RealServerSnapshot, now: Time) {
    let Pooling { ramp, drain, held } = snapshot.pooling;
    if let Some(drain) = drain {
        let rest = drain.until.map_or_else(
            || "until it is undone".to_owned(),
            |until| format!("for another {} s", until.since(now).as_secs()),
        );
        text.line(3, format_args!("Drained {rest}"));
    }
    if ramp.is_some() {
        text.line(3, format_args!("Slow start: weight {} now", snapshot.pool_weight));
    }
    if held.is_some() {
        text.line(3, format_args!("Kept in service although failed"));
    }
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

pub(super) fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

pub(super) fn on(value: bool) -> &'static str {
    if value { "ON" } else { "OFF" }
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
            pool_weight: 1,
            pooling: Pooling::default(),
            contributions: vec![0],
        };
        let health = Snapshot { quorum_up: false, sorry_active: true, real_servers: vec![snapshot] };
        let state = CheckState {
            enabled: true,
            up: false,
            has_run: true,
            failures: 1,
            failed_url: None,
            last_status: 0,
            last_run: None,
            attempts: 1,
        };
        let data = CheckData {
            global: &Global::default(),
            ssl: None,
            bfd_instances: &[],
            track_files: Vec::new(),
            clock: Clock { now: Time::ZERO, epoch: std::time::Duration::ZERO, utc_offset: 0 },
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
