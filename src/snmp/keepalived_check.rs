//! KEEPALIVED-MIB: the node `check`. Pure.
//!
//! Statistics are the kernel's; where it has none of a server (it is not in the table) they are 0, as with stock.

use std::net::IpAddr;
use std::time::Duration;

use super::keepalived_vrrp::{below, counted, node, number};
use super::packet::{Oid, Value};
use super::tree::{Branch, Getter, Table};
use super::view::{View, address, command, counter, family, gauge, int, one_or_two, seconds, text};
use crate::config::model::{
    Family, ForwardingMethod, Granularity, GroupEntry, InheritedSettings, Protocol, RealServer, Scheduler,
    Service, SyncDaemon, Tunnel, TunnelChecksum, VirtualServer,
};
use crate::lvs::snapshot::Statistics;
use crate::lvs::virtual_server::{RealServerSnapshot, Snapshot};

type Columns<R> = &'static [(u32, Getter<View, R>)];

const GROUP: Columns<usize> = &[(2, |v, i| text(&v.part.checkers.groups.get(*i)?.name))];

/// Stock: the marks of a group stand before its addresses.
fn member<'a>(view: &'a View, (g, m): &(usize, usize)) -> Option<&'a GroupEntry> {
    let entries = &view.part.checkers.groups.get(*g)?.entries;
    let is_mark = |entry: &&GroupEntry| matches!(entry, GroupEntry::Fwmark { .. });
    entries.iter().filter(is_mark).chain(entries.iter().filter(|entry| !is_mark(entry))).nth(*m)
}

/// First and last address, and port; of marks none.
fn range(entry: &GroupEntry) -> Option<(IpAddr, IpAddr, u16)> {
    match entry {
        GroupEntry::Range { first, last, port } => Some((*first, *last, *port)),
        GroupEntry::Fwmark { .. } => None,
    }
}

const MEMBER: Columns<(usize, usize)> = &[
    (2, |v, i| {
        int(match member(v, i)? {
            GroupEntry::Fwmark { .. } => 1,
            GroupEntry::Range { first, last, .. } if first == last => 2,
            GroupEntry::Range { .. } => 3,
        })
    }),
    (3, |v, i| match member(v, i)? {
        GroupEntry::Fwmark { mark, .. } => gauge(*mark),
        GroupEntry::Range { .. } => None,
    }),
    (4, |v, i| family(range(member(v, i)?)?.0)),
    (5, |v, i| address(range(member(v, i)?).filter(|(first, last, _)| first == last)?.0)),
    (6, |v, i| address(range(member(v, i)?).filter(|(first, last, _)| first != last)?.0)),
    (7, |v, i| address(range(member(v, i)?).filter(|(first, last, _)| first != last)?.1)),
    (8, |v, i| gauge(range(member(v, i)?)?.2)),
];

fn server(view: &View, place: usize) -> Option<(&VirtualServer, &Snapshot)> {
    let health = &view.checkers.as_ref()?.servers.get(place)?.health;
    Some((view.part.checkers.virtual_servers.get(place)?, health))
}

/// What the kernel has counted of a virtual server: the sum of its services.
fn counted_of(view: &View, place: usize) -> Option<Statistics> {
    Some(view.checkers.as_ref()?.servers.get(place)?.statistics)
}

/// The lower half.
fn low(number: u64) -> Option<Value> {
    gauge(number & u64::from(u32::MAX))
}

/// The upper half.
fn high(number: u64) -> Option<Value> {
    gauge(number >> 32)
}

fn wide(number: u64) -> Option<Value> {
    Some(Value::Counter64(number))
}

/// Microseconds.
fn micros(time: Duration) -> Option<Value> {
    gauge(time.as_micros())
}

fn protocol(protocol: Protocol) -> Option<Value> {
    int(match protocol {
        Protocol::Tcp => 1,
        Protocol::Udp => 2,
        Protocol::Sctp => 3,
    })
}

fn scheduler(scheduler: Scheduler) -> Option<Value> {
    int(match scheduler {
        Scheduler::Rr => 1,
        Scheduler::Wrr => 2,
        Scheduler::Lc => 3,
        Scheduler::Wlc => 4,
        Scheduler::Lblc => 5,
        Scheduler::Lblcr => 6,
        Scheduler::Dh => 7,
        Scheduler::Sh => 8,
        Scheduler::Sed => 9,
        Scheduler::Nq => 10,
        Scheduler::Fo => 11,
        Scheduler::Ovf => 12,
        Scheduler::Mh => 13,
        Scheduler::Twos => 14,
    })
}

fn method(method: ForwardingMethod) -> Option<Value> {
    int(match method {
        ForwardingMethod::Nat => 1,
        ForwardingMethod::Dr => 2,
        ForwardingMethod::Tun(_) => 3,
    })
}

fn tunnel(method: ForwardingMethod) -> Option<Tunnel> {
    match method {
        ForwardingMethod::Tun(tunnel) => Some(tunnel),
        ForwardingMethod::Nat | ForwardingMethod::Dr => None,
    }
}

fn tunnel_type(method: ForwardingMethod) -> Option<Value> {
    int(match tunnel(method)? {
        Tunnel::Ipip => 1,
        Tunnel::Gue { .. } => 2,
        Tunnel::Gre { .. } => 3,
    })
}

fn tunnel_port(method: ForwardingMethod) -> Option<Value> {
    match tunnel(method)? {
        Tunnel::Gue { port, .. } => gauge(port),
        Tunnel::Ipip | Tunnel::Gre { .. } => None,
    }
}

fn tunnel_checksum(method: ForwardingMethod) -> Option<Value> {
    match tunnel(method)? {
        Tunnel::Ipip => None,
        Tunnel::Gue { checksum, .. } | Tunnel::Gre { checksum } => int(match checksum {
            TunnelChecksum::None => 1,
            TunnelChecksum::Csum => 2,
            TunnelChecksum::Remote => 3,
        }),
    }
}

/// `IP_VS_SVC_F_*`.
const HASHED: u32 = 2;
const ONE_PACKET: u32 = 4;
const FLAG_1: u32 = 8;
const FLAG_2: u32 = 16;
const FLAG_3: u32 = 32;

/// Stock: the first two flags, which mean the same for `sh` and `mh`, are shown under both names whatever the scheduler is.
fn flag(view: &View, place: usize, bit: u32) -> Option<Value> {
    one_or_two(server(view, place)?.0.flags & bit != 0)
}

/// The family, and the granularity of persistence if it was given.
fn granularity(view: &View, place: usize) -> Option<(Option<Family>, Option<Granularity>)> {
    let config = server(view, place)?.0;
    Some((config.family, config.persistence.as_ref().and_then(|it| it.granularity)))
}

const SERVER: Columns<usize> = &[
    (2, |v, i| {
        int(match server(v, *i)?.0.service {
            Service::Fwmark(_) => 1,
            Service::Address { .. } => 2,
            Service::Group { .. } => 3,
        })
    }),
    (3, |v, i| match &server(v, *i)?.0.service {
        Service::Group { name, .. } => text(name),
        _ => None,
    }),
    (4, |v, i| match server(v, *i)?.0.service {
        Service::Fwmark(mark) => gauge(mark),
        _ => None,
    }),
    (5, |v, i| {
        int(match server(v, *i)?.0.family? {
            Family::V4 => 1,
            Family::V6 => 2,
        })
    }),
    (6, |v, i| match server(v, *i)?.0.service {
        Service::Address { address: it, .. } => address(it),
        _ => None,
    }),
    (7, |v, i| match server(v, *i)?.0.service {
        Service::Address { port, .. } => gauge(port),
        _ => None,
    }),
    (8, |v, i| protocol(server(v, *i)?.0.protocol?)),
    (9, |v, i| scheduler(server(v, *i)?.0.scheduler)),
    (10, |v, i| method(server(v, *i)?.0.method)),
    (11, |v, i| one_or_two(server(v, *i)?.1.real_servers.iter().any(|rs| rs.alive))),
    (12, |v, i| text(server(v, *i)?.0.virtualhost.as_deref()?)),
    (13, |v, i| one_or_two(server(v, *i)?.0.persistence.is_some())),
    (14, |v, i| gauge(server(v, *i)?.0.persistence.as_ref()?.timeout)),
    (15, |v, i| match granularity(v, *i)? {
        (_, Some(Granularity::V4(mask))) => address(mask.into()),
        (Some(Family::V6), _) | (_, Some(Granularity::V6(_))) => None,
        (_, None) => address(std::net::Ipv4Addr::BROADCAST.into()),
    }),
    (16, |v, i| seconds(server(v, *i)?.0.settings.delay_loop)),
    (17, |v, i| one_or_two(server(v, *i)?.0.ha_suspend)),
    (18, |v, i| one_or_two(server(v, *i)?.0.settings.alpha)),
    (19, |v, i| one_or_two(server(v, *i)?.0.omega)),
    (20, |v, i| gauge(server(v, *i)?.0.real_servers.len())),
    (21, |v, i| gauge(server(v, *i)?.1.real_servers.iter().filter(|rs| rs.alive).count())),
    (22, |v, i| gauge(server(v, *i)?.0.quorum)),
    (23, |v, i| one_or_two(server(v, *i)?.1.quorum_up)),
    (24, |v, i| command(server(v, *i)?.0.quorum_up.as_ref())),
    (25, |v, i| command(server(v, *i)?.0.quorum_down.as_ref())),
    (26, |v, i| gauge(server(v, *i)?.0.hysteresis)),
    (27, |v, i| low(counted_of(v, *i)?.connections)),
    (28, |v, i| counter(counted_of(v, *i)?.packets_in)),
    (29, |v, i| counter(counted_of(v, *i)?.packets_out)),
    (30, |v, i| wide(counted_of(v, *i)?.bytes_in)),
    (31, |v, i| wide(counted_of(v, *i)?.bytes_out)),
    (32, |v, i| low(counted_of(v, *i)?.connection_rate)),
    (33, |v, i| low(counted_of(v, *i)?.packet_rate_in)),
    (34, |v, i| low(counted_of(v, *i)?.packet_rate_out)),
    (35, |v, i| low(counted_of(v, *i)?.byte_rate_in)),
    (36, |v, i| low(counted_of(v, *i)?.byte_rate_out)),
    (37, |v, i| flag(v, *i, ONE_PACKET)),
    (38, |v, i| wide(counted_of(v, *i)?.connections)),
    (39, |v, i| wide(counted_of(v, *i)?.packets_in)),
    (40, |v, i| wide(counted_of(v, *i)?.packets_out)),
    (41, |v, i| low(counted_of(v, *i)?.connection_rate)),
    (42, |v, i| high(counted_of(v, *i)?.connection_rate)),
    (43, |v, i| low(counted_of(v, *i)?.packet_rate_in)),
    (44, |v, i| high(counted_of(v, *i)?.packet_rate_in)),
    (45, |v, i| low(counted_of(v, *i)?.packet_rate_out)),
    (46, |v, i| high(counted_of(v, *i)?.packet_rate_out)),
    (47, |v, i| low(counted_of(v, *i)?.byte_rate_in)),
    (48, |v, i| high(counted_of(v, *i)?.byte_rate_in)),
    (49, |v, i| low(counted_of(v, *i)?.byte_rate_out)),
    (50, |v, i| high(counted_of(v, *i)?.byte_rate_out)),
    // Stock: also where the family does not stand in the configuration.
    (51, |v, i| match (granularity(v, *i)?, &server(v, *i)?.0.service) {
        ((_, Some(Granularity::V6(length))), _) => gauge(length),
        ((Some(Family::V4), _), Service::Address { .. }) => None,
        _ => gauge(u32::MAX),
    }),
    (52, |v, i| flag(v, *i, HASHED)),
    (53, |v, i| flag(v, *i, FLAG_1)),
    (54, |v, i| flag(v, *i, FLAG_2)),
    (55, |v, i| flag(v, *i, FLAG_3)),
    (56, |v, i| int(if server(v, *i)?.0.inhibit_on_failure { 2 } else { 1 })),
    (57, |v, i| gauge(server(v, *i)?.0.settings.retry.unwrap_or(0))),
    (58, |v, i| seconds(server(v, *i)?.0.settings.delay_before_retry.unwrap_or_default())),
    (59, |v, i| seconds(server(v, *i)?.0.settings.warmup.unwrap_or_default())),
    (60, |v, i| int(server(v, *i)?.0.weight)),
    (61, |v, i| one_or_two(server(v, *i)?.0.smtp_alert)),
    (62, |v, i| flag(v, *i, FLAG_1)),
    (63, |v, i| flag(v, *i, FLAG_2)),
    (64, |v, i| micros(server(v, *i)?.0.settings.delay_loop)),
    (65, |v, i| micros(server(v, *i)?.0.settings.delay_before_retry.unwrap_or_default())),
    (66, |v, i| micros(server(v, *i)?.0.settings.warmup.unwrap_or_default())),
    (67, |v, i| micros(server(v, *i)?.0.settings.connect_timeout)),
    (68, |v, i| tunnel_type(server(v, *i)?.0.method)),
    (69, |v, i| tunnel_port(server(v, *i)?.0.method)),
    (70, |v, i| tunnel_checksum(server(v, *i)?.0.method)),
    (71, |v, i| text(server(v, *i)?.0.snmp_name.as_deref()?)),
];

/// One column of a virtual server, for notifications.
pub(super) fn server_value(view: &View, place: usize, column: u32) -> Option<Value> {
    let (_, getter) = SERVER.iter().find(|(number, _)| *number == column)?;
    getter(view, &place)
}

/// A row of `realServerTable`: the real servers, and the sorry server at their end.
type Row = (usize, usize);

enum Behind<'a> {
    Real(&'a RealServer, &'a RealServerSnapshot),
    Sorry(IpAddr, u16, ForwardingMethod),
}

fn behind<'a>(view: &'a View, (s, r): &Row) -> Option<Behind<'a>> {
    let (config, health) = server(view, *s)?;
    if let Some(real) = config.real_servers.get(*r) {
        return Some(Behind::Real(real, health.real_servers.get(*r)?));
    }
    let sorry = config.sorry_server.as_ref()?;
    Some(Behind::Sorry(sorry.address, sorry.port, sorry.method))
}

fn real<'a>(view: &'a View, row: &Row) -> Option<(&'a RealServer, &'a RealServerSnapshot)> {
    match behind(view, row)? {
        Behind::Real(config, health) => Some((config, health)),
        Behind::Sorry(..) => None,
    }
}

/// What the checkers of a server go by that has none.
const UNCHECKED: InheritedSettings = InheritedSettings {
    delay_loop: Duration::ZERO,
    connect_timeout: Duration::ZERO,
    retry: None,
    delay_before_retry: None,
    warmup: None,
    alpha: false,
};

/// What its checkers go by.
fn settings<'a>(view: &'a View, row: &Row) -> Option<&'a InheritedSettings> {
    match behind(view, row)? {
        Behind::Sorry(..) => Some(&UNCHECKED),
        Behind::Real(config, _) => {
            let own = config.own.as_deref().and_then(|own| own.settings.as_ref());
            own.or_else(|| Some(&server(view, row.0)?.0.settings))
        }
    }
}

fn of_real(view: &View, (s, r): &Row) -> Option<Statistics> {
    view.checkers.as_ref()?.servers.get(*s)?.real_servers.get(*r).copied()
}

fn place(view: &View, row: &Row) -> Option<(IpAddr, u16, ForwardingMethod)> {
    Some(match behind(view, row)? {
        Behind::Real(config, _) => (config.address, config.port, config.method),
        Behind::Sorry(address, port, method) => (address, port, method),
    })
}

/// Column of the weight: it can be set.
pub const WEIGHT: u32 = 7;

const REAL: Columns<Row> = &[
    (2, |v, i| int(if matches!(behind(v, i)?, Behind::Real(..)) { 1 } else { 2 })),
    (3, |v, i| family(place(v, i)?.0)),
    (4, |v, i| address(place(v, i)?.0)),
    (5, |v, i| gauge(place(v, i)?.1)),
    (6, |v, i| one_or_two(real(v, i)?.1.alive)),
    (WEIGHT, |v, i| int(real(v, i)?.0.weight)),
    (8, |v, i| gauge(Some(real(v, i)?.0.upper_threshold).filter(|it| *it != 0)?)),
    (9, |v, i| gauge(Some(real(v, i)?.0.lower_threshold).filter(|it| *it != 0)?)),
    (10, |v, i| int(if real(v, i)?.0.inhibit_on_failure { 2 } else { 1 })),
    (11, |v, i| command(real(v, i)?.0.notify_up.as_deref())),
    (12, |v, i| command(real(v, i)?.0.notify_down.as_deref())),
    (13, |v, i| gauge(real(v, i)?.1.failed_checkers)),
    (14, |v, i| low(of_real(v, i)?.connections)),
    (15, |v, i| gauge(of_real(v, i)?.active)),
    (16, |v, i| gauge(of_real(v, i)?.inactive)),
    (17, |v, i| gauge(of_real(v, i)?.persistent)),
    (18, |v, i| counter(of_real(v, i)?.packets_in)),
    (19, |v, i| counter(of_real(v, i)?.packets_out)),
    (20, |v, i| wide(of_real(v, i)?.bytes_in)),
    (21, |v, i| wide(of_real(v, i)?.bytes_out)),
    (22, |v, i| low(of_real(v, i)?.connection_rate)),
    (23, |v, i| low(of_real(v, i)?.packet_rate_in)),
    (24, |v, i| low(of_real(v, i)?.packet_rate_out)),
    (25, |v, i| low(of_real(v, i)?.byte_rate_in)),
    (26, |v, i| low(of_real(v, i)?.byte_rate_out)),
    (27, |v, i| wide(of_real(v, i)?.connections)),
    (28, |v, i| wide(of_real(v, i)?.packets_in)),
    (29, |v, i| wide(of_real(v, i)?.packets_out)),
    (30, |v, i| low(of_real(v, i)?.connection_rate)),
    (31, |v, i| high(of_real(v, i)?.connection_rate)),
    (32, |v, i| low(of_real(v, i)?.packet_rate_in)),
    (33, |v, i| high(of_real(v, i)?.packet_rate_in)),
    (34, |v, i| low(of_real(v, i)?.packet_rate_out)),
    (35, |v, i| high(of_real(v, i)?.packet_rate_out)),
    (36, |v, i| low(of_real(v, i)?.byte_rate_in)),
    (37, |v, i| high(of_real(v, i)?.byte_rate_in)),
    (38, |v, i| low(of_real(v, i)?.byte_rate_out)),
    (39, |v, i| high(of_real(v, i)?.byte_rate_out)),
    (40, |v, i| method(place(v, i)?.2)),
    (41, |v, i| text(real(v, i)?.0.own.as_ref()?.virtualhost.as_deref()?)),
    (42, |v, i| one_or_two(settings(v, i)?.alpha)),
    (43, |v, i| gauge(settings(v, i)?.retry.unwrap_or(0))),
    (44, |v, i| seconds(settings(v, i)?.delay_before_retry.unwrap_or_default())),
    (45, |v, i| seconds(settings(v, i)?.warmup.unwrap_or_default())),
    (46, |v, i| seconds(settings(v, i)?.delay_loop)),
    (47, |v, i| one_or_two(matches!(behind(v, i)?, Behind::Real(config, _) if config.smtp_alert))),
    (48, |v, i| micros(settings(v, i)?.delay_before_retry.unwrap_or_default())),
    (49, |v, i| micros(settings(v, i)?.warmup.unwrap_or_default())),
    (50, |v, i| micros(settings(v, i)?.delay_loop)),
    (51, |v, i| micros(settings(v, i)?.connect_timeout)),
    (52, |v, i| tunnel_type(place(v, i)?.2)),
    (53, |v, i| tunnel_port(place(v, i)?.2)),
    (54, |v, i| tunnel_checksum(place(v, i)?.2)),
    (55, |v, i| text(real(v, i)?.0.own.as_ref()?.snmp_name.as_deref()?)),
];

fn sync(view: &View) -> Option<&SyncDaemon> {
    view.part.checkers.global.lvs_sync_daemon.as_ref()
}

const SYNC: Columns<()> = &[
    (1, |v, ()| one_or_two(sync(v).is_some())),
    (2, |v, ()| text(&sync(v)?.interface)),
    (3, |v, ()| text(sync(v)?.instance.as_deref()?)),
    (4, |v, ()| int(sync(v)?.id?)),
    (5, |v, ()| int(sync(v)?.max_length?)),
    (6, |v, ()| int(sync(v)?.port?)),
    (7, |v, ()| int(sync(v)?.ttl?)),
    (8, |v, ()| family(sync(v)?.group?)),
    (9, |v, ()| address(sync(v)?.group?)),
];

/// 0 is the kernel's own.
fn timeout(seconds: u32) -> Option<Value> {
    int(Some(seconds).filter(|it| *it != 0)?)
}

const TIMEOUTS: Columns<()> = &[
    (1, |v, ()| timeout(v.part.checkers.global.lvs_timeouts.tcp)),
    (2, |v, ()| timeout(v.part.checkers.global.lvs_timeouts.tcp_fin)),
    (3, |v, ()| timeout(v.part.checkers.global.lvs_timeouts.udp)),
];

/// The node `check`.
pub fn check(view: &View) -> Vec<Box<dyn Branch<View>>> {
    let part = &view.part.checkers;
    let members = part.groups.iter().map(|group| group.entries.len());
    let behind = part
        .virtual_servers
        .iter()
        .map(|server| server.real_servers.len() + usize::from(server.sorry_server.is_some()));
    // Stock numbers the sorry server first.
    let rows = below(behind).map(|(_, (s, r))| {
        let server = &part.virtual_servers[s];
        let reals = server.real_servers.len();
        let first = usize::from(server.sorry_server.is_some());
        let shown = if r == reals { 0 } else { r + first };
        (vec![number(s), number(shown)], (s, r))
    });
    let one = || std::iter::once((vec![0], ()));
    vec![
        Box::new(Table::new(node(&[3, 1, 1]), GROUP, counted(part.groups.len()))),
        Box::new(Table::new(node(&[3, 2, 1]), MEMBER, below(members))),
        Box::new(Table::new(node(&[3, 3, 1]), SERVER, counted(part.virtual_servers.len()))),
        Box::new(Table::new(node(&[3, 4, 1]), REAL, rows.collect::<Vec<(Oid, Row)>>().into_iter())),
        Box::new(Table::new(node(&[3, 6]), SYNC, one())),
        Box::new(Table::new(node(&[3, 7]), TIMEOUTS, one())),
    ]
}
