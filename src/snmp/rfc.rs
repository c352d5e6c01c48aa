//! VRRP-MIB (RFC 2787) and VRRPV3-MIB (RFC 6527). Pure.
//!
//! Stock: rows of version 2 instances stand in both; the address at the end of an index has no length in front.

use std::net::{IpAddr, Ipv4Addr};

use super::packet::{Oid, Value};
use super::tree::{Branch, Getter, Table};
use super::view::{View, address, counter, gauge, int, ipv4, octets, one_or_two, ticks};
use crate::config::model::{Auth, Family, Instance, VirtualLinkKind, VrrpVersion};
use crate::vrrp::VrrpState;

/// Where VRRP-MIB begins.
pub const V2: [u32; 7] = [1, 3, 6, 1, 2, 1, 68];
/// Where VRRPV3-MIB begins.
pub const V3: [u32; 7] = [1, 3, 6, 1, 2, 1, 207];

type Columns<R> = &'static [(u32, Getter<View, R>)];

/// initialize, backup, master.
fn state(state: VrrpState) -> Option<Value> {
    int(match state {
        VrrpState::Init | VrrpState::Fault => 1,
        VrrpState::Backup => 2,
        VrrpState::Master => 3,
    })
}

/// The hardware address that the addresses are answered for with.
fn mac(view: &View, instance: &Instance) -> Option<Value> {
    if let Some(VirtualLinkKind::Vmac { mac, .. }) = instance.links.own.as_ref().map(|own| &own.kind) {
        return Some(Value::Octets(mac.to_vec()));
    }
    let interface = view.interface(instance.interface.as_deref()?)?;
    Some(Value::Octets(interface.link.mac.clone()))
}

/// The master: ourselves, or who was heard last.
fn master(view: &View, i: usize) -> Option<IpAddr> {
    let (config, now) = view.instance(i)?;
    let unspecified: IpAddr = match config.family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    Some(match now.state {
        VrrpState::Master => now.source.unwrap_or(unspecified),
        _ => now.master.map_or(unspecified, |(address, _)| address),
    })
}

/// Since when it is not what it was at start.
fn up_time(view: &View, i: usize) -> Option<Value> {
    let now = view.instance(i)?.1;
    match now.state {
        VrrpState::Init | VrrpState::Fault => Some(Value::TimeTicks(0)),
        VrrpState::Backup | VrrpState::Master => ticks(view.now.since(now.last_transition?)),
    }
}

const V2_GENERAL: Columns<()> = &[(1, |_, ()| int(2)), (2, |v, ()| one_or_two(v.part.global.snmp.traps))];

const V2_OPERATION: Columns<usize> = &[
    (2, |v, i| mac(v, v.instance(*i)?.0)),
    (3, |v, i| state(v.instance(*i)?.1.state)),
    (4, |v, i| one_or_two(!matches!(v.instance(*i)?.1.state, VrrpState::Init | VrrpState::Fault))),
    (5, |v, i| int(v.instance(*i)?.0.priority.get())),
    (6, |v, i| int(v.instance(*i)?.0.vips.len())),
    (7, |v, i| ipv4(master(v, *i)?)),
    (8, |v, i| ipv4(v.instance(*i)?.1.source.unwrap_or(Ipv4Addr::UNSPECIFIED.into()))),
    (9, |v, i| {
        int(match v.instance(*i)?.0.auth {
            Auth::None | Auth::Hmac(_) => 1,
            Auth::Pass(_) => 2,
            Auth::Ah(_) => 3,
        })
    }),
    (11, |v, i| int(v.instance(*i)?.0.advert_int.0 / 100)),
    (12, |v, i| one_or_two(v.instance(*i)?.0.preempt)),
    (13, |v, i| {
        // A time stamp: when it was entered, since this agent began.
        let now = v.instance(*i)?.1;
        ticks(now.last_transition?.since(v.began))
    }),
    (14, |v, i| v.instance(*i).and_then(|_| int(1))),
    (15, |v, i| v.instance(*i).and_then(|_| int(1))),
];

const ACTIVE: Columns<usize> = &[(2, |v, i| v.instance(*i).and_then(|_| int(1)))];

const V2_ERRORS: Columns<()> = &[
    (1, |v, ()| counter(of_all(v, is_version_2, |it| it.checksum_err)?)),
    (2, |v, ()| counter(of_all(v, is_version_2, |it| it.version_err)?)),
    // Packets of foreign VRIDs are filtered by the kernel.
    (3, |_, ()| counter(0)),
];

fn is_version_2(config: &Instance) -> bool {
    config.version == VrrpVersion::V2
}

/// Of all instances that stand in the MIB.
fn of_all(view: &View, stands: fn(&Instance) -> bool, of: fn(&crate::vrrp::Counters) -> u64) -> Option<u64> {
    let snapshot = view.vrrp.as_ref()?;
    let instances = view.part.vrrp.instances.iter().zip(&snapshot.instances);
    Some(instances.filter(|(config, _)| stands(config)).map(|(_, now)| of(&now.counters)).sum())
}

const V2_STATISTICS: Columns<usize> = &[
    (1, |v, i| counter(v.counters(*i)?.become_master)),
    (2, |v, i| counter(v.counters(*i)?.advert_rcvd)),
    (3, |v, i| counter(v.counters(*i)?.advert_interval_err)),
    (4, |v, i| counter(v.counters(*i)?.auth_failure)),
    (5, |v, i| counter(v.counters(*i)?.ip_ttl_err)),
    (6, |v, i| counter(v.counters(*i)?.pri_zero_rcvd)),
    (7, |v, i| counter(v.counters(*i)?.pri_zero_sent)),
    (8, |v, i| counter(v.counters(*i)?.invalid_type_rcvd)),
    (9, |v, i| counter(v.counters(*i)?.addr_list_err)),
    (10, |v, i| counter(v.counters(*i)?.invalid_authtype)),
    (11, |v, i| counter(v.counters(*i)?.authtype_mismatch)),
    (12, |v, i| counter(v.counters(*i)?.packet_len_err)),
];

const V3_OPERATION: Columns<usize> = &[
    (3, |v, i| address(master(v, *i)?)),
    (4, |v, i| address(v.instance(*i)?.1.source?)),
    (5, |v, i| mac(v, v.instance(*i)?.0)),
    (6, |v, i| state(v.instance(*i)?.1.state)),
    (7, |v, i| gauge(v.instance(*i)?.0.priority.get())),
    (8, |v, i| int(v.instance(*i)?.0.vips.len())),
    (9, |v, i| int(v.instance(*i)?.0.advert_int.0)),
    (10, |v, i| one_or_two(v.instance(*i)?.0.preempt)),
    (11, |v, i| one_or_two(v.instance(*i)?.0.accept)),
    (12, |v, i| up_time(v, *i)),
    (13, |v, i| v.instance(*i).and_then(|_| int(1))),
];

/// Counter64.
fn wide(number: u64) -> Option<Value> {
    Some(Value::Counter64(number))
}

const V3_ERRORS: Columns<()> = &[
    (1, |v, ()| wide(of_all(v, |_| true, |it| it.checksum_err)?)),
    (2, |v, ()| wide(of_all(v, |_| true, |it| it.version_err)?)),
    (3, |_, ()| wide(0)),
    (4, |_, ()| Some(Value::TimeTicks(0))),
];

const V3_STATISTICS: Columns<usize> = &[
    (1, |v, i| counter(v.counters(*i)?.become_master)),
    (2, |v, i| int(reason(v, *i)?)),
    (3, |v, i| wide(v.counters(*i)?.advert_rcvd)),
    (4, |v, i| wide(v.counters(*i)?.advert_interval_err)),
    (5, |v, i| wide(v.counters(*i)?.ip_ttl_err)),
    (6, |v, i| int(v.counters(*i)?.last_error)),
    (7, |v, i| wide(v.counters(*i)?.pri_zero_rcvd)),
    (8, |v, i| wide(v.counters(*i)?.pri_zero_sent)),
    (9, |v, i| wide(v.counters(*i)?.invalid_type_rcvd)),
    (10, |v, i| wide(v.counters(*i)?.addr_list_err)),
    (11, |v, i| wide(v.counters(*i)?.packet_len_err)),
    (12, |v, i| v.instance(*i).map(|_| Value::TimeTicks(0))),
    // Milliseconds.
    (13, |v, i| gauge(u32::from(v.instance(*i)?.0.advert_int.0) * 10)),
];

/// Why it became master: 0 is not master, 1 priority, 2 preempted, 3 the master was silent.
pub(super) fn reason(view: &View, i: usize) -> Option<u8> {
    let now = view.instance(i)?.1;
    Some(if now.state == VrrpState::Master { now.counters.master_reason } else { 0 })
}

/// Interface index and VRID: the index of an instance in both MIBs.
pub(super) fn index(view: &View, instance: &Instance) -> Oid {
    vec![view.if_index(instance), u32::from(instance.vrid.get())]
}

pub(super) fn index_v3(view: &View, instance: &Instance) -> Oid {
    let family = match instance.family {
        Family::V4 => 1,
        Family::V6 => 2,
    };
    [index(view, instance), vec![family]].concat()
}

/// A table of this MIB at this node below it.
fn table<R: Send + 'static>(
    mib: [u32; 7],
    at: &[u32],
    columns: Columns<R>,
    rows: Vec<(Oid, R)>,
) -> Box<dyn Branch<View>> {
    Box::new(Table::new([&mib, at].concat(), columns, rows.into_iter()))
}

/// All objects of VRRP-MIB: version 2 over IPv4.
pub fn v2(view: &View) -> Vec<Box<dyn Branch<View>>> {
    let ours = || {
        let all = view.part.vrrp.instances.iter().enumerate();
        all.filter(|(_, it)| it.version == VrrpVersion::V2 && it.family == Family::V4)
    };
    let rows = || ours().map(|(i, it)| (index(view, it), i)).collect::<Vec<_>>();
    let addresses = ours().flat_map(|(i, it)| {
        it.vips.iter().map(move |vip| {
            let numbers = octets(vip.address).into_iter().map(u32::from);
            (index(view, it).into_iter().chain(numbers).collect(), i)
        })
    });
    let one = || vec![(vec![0], ())];
    vec![
        table(V2, &[1], V2_GENERAL, one()),
        table(V2, &[1, 3, 1], V2_OPERATION, rows()),
        table(V2, &[1, 4, 1], ACTIVE, addresses.collect()),
        table(V2, &[2], V2_ERRORS, one()),
        table(V2, &[2, 4, 1], V2_STATISTICS, rows()),
    ]
}

/// All objects of VRRPV3-MIB.
pub fn v3(view: &View) -> Vec<Box<dyn Branch<View>>> {
    let ours = || view.part.vrrp.instances.iter().enumerate();
    let rows = || ours().map(|(i, it)| (index_v3(view, it), i)).collect::<Vec<_>>();
    let addresses = ours().flat_map(|(i, it)| {
        it.vips.iter().map(move |vip| {
            let numbers = octets(vip.address).into_iter().map(u32::from);
            (index_v3(view, it).into_iter().chain(numbers).collect(), i)
        })
    });
    let one = || vec![(vec![0], ())];
    vec![
        table(V3, &[1, 1, 1, 1], V3_OPERATION, rows()),
        table(V3, &[1, 1, 2, 1], ACTIVE, addresses.collect()),
        table(V3, &[1, 2], V3_ERRORS, one()),
        table(V3, &[1, 2, 5, 1], V3_STATISTICS, rows()),
    ]
}
