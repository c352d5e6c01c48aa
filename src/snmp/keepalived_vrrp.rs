//! KEEPALIVED-MIB: the nodes `global` and `vrrp`. Pure.

use super::keepalived_routing;
use super::packet::{Oid, Value};
use super::tree::{Branch, Getter, Table};
use super::view::{View, address, command, family, gauge, int, one_or_two, scope, seconds, text};
use crate::config::model::{
    Auth, Centis, FlushOnStop, InitialState, MailRelay, NotifyScripts, ParametersMatch, SyncGroup, Tracked,
    TrackedInterface, TrackedScript, Transport, VirtualAddress, VrrpVersion,
};
use crate::vrrp::Verdict;

/// Where KEEPALIVED-MIB begins.
pub const ROOT: [u32; 10] = [1, 3, 6, 1, 4, 1, 9586, 100, 5, 0];

/// A node below KEEPALIVED-MIB.
pub fn node(numbers: &[u32]) -> Oid {
    [&ROOT[..9], numbers].concat()
}

type Columns<R> = &'static [(u32, Getter<View, R>)];

/// A scalar has the index 0.
fn scalars(node_: Oid, columns: Columns<()>) -> Box<dyn Branch<View>> {
    Box::new(Table::new(node_, columns, std::iter::once((vec![0], ()))))
}

/// Rows counted from 1.
pub(super) fn counted(count: usize) -> impl Iterator<Item = (Oid, usize)> {
    (0..count).map(|place| (vec![number(place)], place))
}

/// What belongs to other rows: counted below the number of each.
pub(super) fn below(counts: impl Iterator<Item = usize>) -> impl Iterator<Item = (Oid, (usize, usize))> {
    counts.enumerate().flat_map(|(outer, count)| {
        (0..count).map(move |inner| (vec![number(outer), number(inner)], (outer, inner)))
    })
}

pub(super) fn number(place: usize) -> u32 {
    u32::try_from(place + 1).unwrap_or(u32::MAX)
}

/// Which `smtp_alert*` was written.
fn alert(given: Option<bool>) -> Option<Value> {
    match given {
        Some(on) => one_or_two(on),
        None => int(3),
    }
}

const GLOBAL: Columns<()> = &[
    (1, |v, ()| text(&format!("Keepalived {}", v.version))),
    (2, |v, ()| text(&v.part.global.router_id)),
    (4, |v, ()| one_or_two(v.part.global.snmp.traps)),
    (5, |v, ()| int(if v.part.global.linkbeat_use_polling { 2 } else { 1 })),
    (6, |v, ()| one_or_two(v.part.global.lvs_flush)),
    (7, |_, ()| one_or_two(true)),
    (8, |v, ()| text(v.part.global.net_namespace.as_deref().unwrap_or(""))),
    (9, |v, ()| one_or_two(v.part.global.dbus.enabled)),
    (10, |v, ()| one_or_two(v.part.global.dynamic_interfaces)),
    (11, |v, ()| {
        int(match v.part.global.lvs_flush_on_stop {
            FlushOnStop::WholeTable => 1,
            FlushOnStop::No => 2,
            FlushOnStop::OwnServices => 3,
        })
    }),
];

const MAIL: Columns<()> = &[
    (1, |v, ()| family(v.part.global.smtp_server.as_ref()?.address()?.ip())),
    (2, |v, ()| address(v.part.global.smtp_server.as_ref()?.address()?.ip())),
    (3, |v, ()| {
        let global = &v.part.global;
        gauge(global.smtp_server.as_ref().map_or(0, |_| global.smtp_connect_timeout.as_secs()))
    }),
    (4, |v, ()| text(v.part.global.email_from.as_deref()?)),
    (6, |v, ()| gauge(v.part.global.smtp_server.as_ref().map_or(0, MailRelay::port))),
    (7, |v, ()| one_or_two(!v.part.global.no_email_faults)),
    (8, |v, ()| alert(v.part.global.smtp_alert)),
    (9, |v, ()| alert(v.part.global.smtp_alert_vrrp)),
    (10, |v, ()| alert(v.part.global.smtp_alert_checker)),
];

const EMAIL: Columns<usize> = &[(2, |v, i| text(v.part.global.email_to.get(*i)?))];

fn has_scripts(scripts: &NotifyScripts) -> bool {
    let NotifyScripts { backup, master, fault, stop, deleted, generic, rx_lower_pri } = scripts;
    [backup, master, fault, stop, deleted, generic, rx_lower_pri].into_iter().any(Option::is_some)
}

fn group<'a>(view: &'a View, place: &usize) -> Option<&'a SyncGroup> {
    view.part.vrrp.sync_groups.get(*place)
}

const GROUP: Columns<usize> = &[
    (2, |v, i| text(&group(v, i)?.name)),
    (3, |v, i| int(v.vrrp.as_ref()?.groups.get(*i)?.state.code())),
    (4, |v, i| one_or_two(group(v, i)?.smtp_alert)),
    (5, |v, i| one_or_two(has_scripts(&group(v, i)?.notify))),
    (6, |v, i| command(group(v, i)?.notify.master.as_ref())),
    (7, |v, i| command(group(v, i)?.notify.backup.as_ref())),
    (8, |v, i| command(group(v, i)?.notify.fault.as_ref())),
    (9, |v, i| command(group(v, i)?.notify.generic.as_ref())),
    (10, |v, i| one_or_two(group(v, i)?.tracking_weight)),
    (11, |v, i| command(group(v, i)?.notify.stop.as_ref())),
];

const MEMBER: Columns<(usize, usize)> = &[(2, |v, (g, m)| text(group(v, g)?.members.get(*m)?))];

fn advert_interval(version: VrrpVersion, interval: Centis) -> Option<Value> {
    gauge(match version {
        VrrpVersion::V2 => interval.0 / 100,
        VrrpVersion::V3 => interval.0,
    })
}

/// Column of the base priority: it can be set.
pub const BASE_PRIORITY: u32 = 7;

/// Column of preemption: it can be set.
pub const PREEMPT: u32 = 13;

const INSTANCE: Columns<usize> = &[
    (2, |v, i| text(&v.instance(*i)?.0.name)),
    (3, |v, i| gauge(v.instance(*i)?.0.vrid.get())),
    (4, |v, i| int(v.instance(*i)?.1.state.code())),
    (5, |v, i| {
        int(match v.instance(*i)?.0.initial {
            InitialState::Backup => 1,
            InitialState::Master => 2,
        })
    }),
    (6, |v, i| int(v.instance(*i)?.1.wanted.code())),
    (BASE_PRIORITY, |v, i| int(v.instance(*i)?.0.priority.get())),
    (8, |v, i| int(v.instance(*i)?.1.effective_priority)),
    (9, |v, i| one_or_two(v.instance(*i)?.1.vips_set.iter().all(|set| *set))),
    (10, |v, i| text(v.instance(*i)?.0.shown_interface()?)),
    (11, |v, i| one_or_two(!v.instance(*i)?.0.dont_track_primary)),
    (12, |v, i| {
        let config = v.instance(*i)?.0;
        advert_interval(config.version, config.advert_int)
    }),
    (PREEMPT, |v, i| one_or_two(v.instance(*i)?.0.preempt)),
    (14, |v, i| seconds(v.instance(*i)?.0.preempt_delay)),
    (15, |v, i| {
        int(match v.instance(*i)?.0.auth {
            Auth::None | Auth::Hmac(_) => 0,
            Auth::Pass(_) => 1,
            Auth::Ah(_) => 2,
        })
    }),
    (16, |v, i| one_or_two(syncs(v, *i)?)),
    (17, |v, i| {
        text(
            v.part
                .vrrp
                .global
                .lvs_sync_daemon
                .as_ref()
                .filter(|_| syncs(v, *i) == Some(true))?
                .interface
                .as_str(),
        )
    }),
    (18, |v, i| {
        let name = &v.instance(*i)?.0.name;
        text(&v.part.vrrp.sync_groups.iter().find(|group| group.members.contains(name))?.name)
    }),
    (19, |v, i| seconds(v.instance(*i)?.0.garp.delay)),
    (20, |v, i| one_or_two(v.instance(*i)?.0.smtp_alert)),
    (21, |v, i| one_or_two(has_scripts(&v.instance(*i)?.0.notify))),
    (22, |v, i| command(v.instance(*i)?.0.notify.master.as_ref())),
    (23, |v, i| command(v.instance(*i)?.0.notify.backup.as_ref())),
    (24, |v, i| command(v.instance(*i)?.0.notify.fault.as_ref())),
    (25, |v, i| command(v.instance(*i)?.0.notify.stop.as_ref())),
    (26, |v, i| command(v.instance(*i)?.0.notify.generic.as_ref())),
    (27, |v, i| one_or_two(v.instance(*i)?.0.accept)),
    (28, |v, i| one_or_two(v.instance(*i)?.0.promote_secondaries)),
    (29, |v, _| one_or_two(v.part.global.linkbeat_use_polling)),
    (30, |v, i| {
        int(match v.instance(*i)?.0.version {
            VrrpVersion::V2 => 2,
            VrrpVersion::V3 => 3,
        })
    }),
    (31, |v, i| command(v.instance(*i)?.0.notify.rx_lower_pri.as_ref())),
    (32, |v, i| command(v.instance(*i)?.0.notify.deleted.as_ref())),
    (33, |v, i| one_or_two(v.instance(*i)?.0.notify_deleted)),
    (34, |v, i| match &v.instance(*i)?.0.transport {
        Transport::Multicast { group } => family(*group),
        Transport::Unicast { .. } => None,
    }),
    (35, |v, i| match &v.instance(*i)?.0.transport {
        Transport::Multicast { group } => address(*group),
        Transport::Unicast { .. } => None,
    }),
];

fn syncs(view: &View, place: usize) -> Option<bool> {
    let name = &view.instance(place)?.0.name;
    let daemon = view.part.vrrp.global.lvs_sync_daemon.as_ref();
    Some(daemon.and_then(|daemon| daemon.instance.as_ref()) == Some(name))
}

/// An address line of an instance, and whether it is advertised.
fn vip<'a>(view: &'a View, (i, a): &(usize, usize)) -> Option<(&'a VirtualAddress, bool, bool)> {
    let (config, now) = view.instance(*i)?;
    if let Some(vip) = config.vips.get(*a) {
        return Some((vip, true, now.vips_set.get(*a).copied().unwrap_or(false)));
    }
    let place = *a - config.vips.len();
    let set = now.excluded_set.get(place).copied().unwrap_or(false);
    Some((config.excluded.get(place)?, false, set))
}

const ADDRESS: Columns<(usize, usize)> = &[
    (2, |v, i| family(vip(v, i)?.0.address)),
    (3, |v, i| address(vip(v, i)?.0.address)),
    (4, |v, i| {
        let vip = vip(v, i)?.0;
        let none = || vip.address.is_ipv4().then_some(std::net::Ipv4Addr::UNSPECIFIED);
        address(vip.broadcast.or_else(none)?.into())
    }),
    (5, |v, i| gauge(vip(v, i)?.0.prefix)),
    (6, |v, i| scope(vip(v, i)?.0.scope)),
    (7, |v, i| int(v.interface(&vip(v, i)?.0.interface)?.link.index)),
    (8, |v, i| text(&vip(v, i)?.0.interface)),
    (9, |v, i| text(vip(v, i)?.0.label.as_deref()?)),
    (10, |v, i| one_or_two(vip(v, i)?.2)),
    (11, |v, i| one_or_two(vip(v, i)?.1)),
    (12, |v, i| address(vip(v, i)?.0.peer?)),
];

fn script<'a>(view: &'a View, place: &usize) -> Option<&'a crate::config::model::VrrpScript> {
    view.part.vrrp.scripts.get(*place)
}

const SCRIPT: Columns<usize> = &[
    (2, |v, i| text(&script(v, i)?.name)),
    (3, |v, i| command(Some(&script(v, i)?.command))),
    (4, |v, i| int(script(v, i)?.interval.as_secs())),
    (5, |v, i| int(script(v, i)?.weight)),
    (6, |v, i| {
        int(match v.vrrp.as_ref()?.scripts.get(*i)?.verdict {
            Verdict::Unknown => 1,
            Verdict::Bad => 2,
            Verdict::Good => 3,
            Verdict::AssumedFailed => 5,
        })
    }),
    (7, |v, i| gauge(script(v, i)?.rise)),
    (8, |v, i| gauge(script(v, i)?.fall)),
    (9, |v, i| one_or_two(script(v, i)?.reverse)),
];

const FILE: Columns<usize> = &[
    (2, |v, i| text(&v.part.vrrp.track_files.get(*i)?.name)),
    (3, |v, i| text(&v.part.vrrp.track_files.get(*i)?.path)),
    (4, |v, i| int(*v.vrrp.as_ref()?.files.get(*i)?)),
    (5, |v, i| int(v.part.vrrp.track_files.get(*i)?.weight)),
    (6, |v, i| one_or_two(v.part.vrrp.track_files.get(*i)?.reverse)),
];

const BFD: Columns<usize> = &[
    (2, |v, i| text(&v.part.vrrp.track_bfds.get(*i)?.name)),
    (3, |v, i| int(i32::from(*v.vrrp.as_ref()?.bfds.get(*i)?))),
    (4, |v, i| int(v.part.vrrp.track_bfds.get(*i)?.weight)),
    (5, |v, i| one_or_two(v.part.vrrp.track_bfds.get(*i)?.reverse)),
];

fn process<'a>(view: &'a View, place: &usize) -> Option<&'a crate::config::model::TrackProcess> {
    view.part.vrrp.track_processes.get(*place)
}

const PROCESS: Columns<usize> = &[
    (2, |v, i| text(&process(v, i)?.name)),
    (3, |v, i| text(&process(v, i)?.command)),
    (4, |v, i| text(&process(v, i).filter(|it| !it.parameters.is_empty())?.parameters.join(" "))),
    (5, |v, i| {
        int(match process(v, i)?.parameters_match {
            ParametersMatch::Any => 0,
            ParametersMatch::Exact => 1,
            ParametersMatch::Partial => 2,
            ParametersMatch::Initial => 3,
        })
    }),
    (6, |v, i| int(process(v, i)?.weight)),
    (7, |v, i| one_or_two(process(v, i)?.reverse)),
    (8, |v, i| gauge(process(v, i)?.quorum)),
    (9, |v, i| process(v, i)?.quorum_max.map_or_else(|| int(-1), int)),
    (10, |v, i| gauge(process(v, i)?.fork_delay.as_micros())),
    (11, |v, i| gauge(process(v, i)?.terminate_delay.as_micros())),
    (12, |v, i| one_or_two(process(v, i)?.full_command)),
    (13, |v, i| int(v.vrrp.as_ref()?.processes.get(*i)?.count)),
    (14, |v, i| one_or_two(v.vrrp.as_ref()?.processes.get(*i)?.has_quorum)),
];

/// What tracks: an instance or a sync group.
type Of = (Owner, usize, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Instance,
    Group,
}

fn interface<'a>(view: &'a View, (owner, i, t): &Of) -> Option<&'a TrackedInterface> {
    match owner {
        Owner::Instance => view.part.vrrp.instances.get(*i)?.track_interfaces.get(*t),
        Owner::Group => view.part.vrrp.sync_groups.get(*i)?.track_interfaces.get(*t),
    }
}

const TRACKED_INTERFACE: Columns<Of> = &[
    (1, |v, i| text(&interface(v, i)?.interface)),
    (2, |v, i| int(interface(v, i)?.weight)),
    (3, |v, i| one_or_two(interface(v, i)?.reverse)),
];

fn tracked_script<'a>(view: &'a View, (owner, i, t): &Of) -> Option<&'a TrackedScript> {
    match owner {
        Owner::Instance => view.part.vrrp.instances.get(*i)?.track_scripts.get(*t),
        Owner::Group => view.part.vrrp.sync_groups.get(*i)?.track_scripts.get(*t),
    }
}

const TRACKED_SCRIPT: Columns<Of> = &[
    (2, |v, i| text(&tracked_script(v, i)?.script)),
    (3, |v, i| int(tracked_script(v, i)?.weight)),
    (4, |v, i| one_or_two(tracked_script(v, i)?.reverse)),
];

/// The lines of one kind of block that an instance or a group tracks.
macro_rules! tracked {
    ($field:ident) => {{
        fn line<'a>(view: &'a View, (owner, i, t): &Of) -> Option<&'a Tracked> {
            match owner {
                Owner::Instance => view.part.vrrp.instances.get(*i)?.$field.get(*t),
                Owner::Group => view.part.vrrp.sync_groups.get(*i)?.$field.get(*t),
            }
        }
        const COLUMNS: Columns<Of> = &[
            (2, |v, i| text(&line(v, i)?.name)),
            (3, |v, i| int(line(v, i)?.weight)),
            (4, |v, i| one_or_two(line(v, i)?.reverse)),
        ];
        COLUMNS
    }};
}

/// The tables of what is tracked, of instances or of groups.
fn trackers(view: &View, owner: Owner, tables: [u32; 5], out: &mut Vec<Box<dyn Branch<View>>>) {
    let vrrp = &view.part.vrrp;
    let lengths: Vec<[usize; 4]> = match owner {
        Owner::Instance => vrrp
            .instances
            .iter()
            .map(|it| {
                [it.track_scripts.len(), it.track_files.len(), it.track_processes.len(), it.track_bfds.len()]
            })
            .collect(),
        Owner::Group => vrrp
            .sync_groups
            .iter()
            .map(|it| {
                [it.track_scripts.len(), it.track_files.len(), it.track_processes.len(), it.track_bfds.len()]
            })
            .collect(),
    };
    let rows = |kind: usize| {
        let counts = lengths.iter().map(move |lengths| lengths[kind]);
        below(counts).map(move |(index, (i, t))| (index, (owner, i, t))).collect::<Vec<_>>().into_iter()
    };
    // Interfaces are counted, too; the MIB names the index of the interface, stock the place in the list.
    let counts: Vec<usize> = match owner {
        Owner::Instance => vrrp.instances.iter().map(|it| it.track_interfaces.len()).collect(),
        Owner::Group => vrrp.sync_groups.iter().map(|it| it.track_interfaces.len()).collect(),
    };
    let interfaces = below(counts.into_iter()).map(move |(index, (i, t))| (index, (owner, i, t)));
    let [interface, script, file, process, bfd] = tables;
    let entry = |table: u32| node(&[2, table, 1]);
    out.push(Box::new(Table::new(entry(interface), TRACKED_INTERFACE, interfaces)));
    out.push(Box::new(Table::new(entry(script), TRACKED_SCRIPT, rows(0))));
    out.push(Box::new(Table::new(entry(file), tracked!(track_files), rows(1))));
    out.push(Box::new(Table::new(entry(process), tracked!(track_processes), rows(2))));
    out.push(Box::new(Table::new(entry(bfd), tracked!(track_bfds), rows(3))));
}

/// The node `global`.
pub fn global(view: &View) -> Vec<Box<dyn Branch<View>>> {
    vec![
        scalars(node(&[1]), GLOBAL),
        scalars(node(&[1, 3]), MAIL),
        Box::new(Table::new(node(&[1, 3, 5, 1]), EMAIL, counted(view.part.global.email_to.len()))),
    ]
}

/// The node `vrrp`.
pub fn vrrp(view: &View) -> Vec<Box<dyn Branch<View>>> {
    let part = &view.part.vrrp;
    let table = |number: u32| node(&[2, number, 1]);
    let addresses = part.instances.iter().map(|it| it.vips.len() + it.excluded.len());
    let members = part.sync_groups.iter().map(|group| group.members.len());
    let mut out: Vec<Box<dyn Branch<View>>> = vec![
        Box::new(Table::new(table(1), GROUP, counted(part.sync_groups.len()))),
        Box::new(Table::new(table(2), MEMBER, below(members))),
        Box::new(Table::new(table(3), INSTANCE, counted(part.instances.len()))),
        Box::new(Table::new(table(6), ADDRESS, below(addresses))),
        Box::new(Table::new(table(9), SCRIPT, counted(part.scripts.len()))),
        Box::new(Table::new(table(13), FILE, counted(part.track_files.len()))),
        Box::new(Table::new(table(18), BFD, counted(part.track_bfds.len()))),
        Box::new(Table::new(table(21), PROCESS, counted(part.track_processes.len()))),
    ];
    trackers(view, Owner::Instance, [4, 5, 12, 20, 17], &mut out);
    trackers(view, Owner::Group, [14, 15, 16, 22, 19], &mut out);
    out.extend(keepalived_routing::tables(view));
    out
}
