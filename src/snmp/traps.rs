//! Notifications of KEEPALIVED-MIB and the two RFCs. Pure.
//!
//! Stock: objects of KEEPALIVED-MIB stand in a notification without their index; a master is told as such, and by the
//! notifications of the RFCs.

use super::keepalived_vrrp::node;
use super::packet::{Oid, Value, VarBind};
use super::rfc::{V2, V3, index, index_v3, reason};
use super::view::{View, address, family, gauge, int, ipv4, one_or_two, text};
use crate::config::model::{Family, InitialState, VrrpVersion};
use crate::lvs::label;
use crate::report::event::ServerChange;
use crate::vrrp::{AdvertError, StateWord, Subject, Transition};

/// snmpTrapOID.0
const TRAP: [u32; 11] = [1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0];

/// Builds a notification; values that are not there are left out.
fn notification(kind: Oid, values: Vec<(Oid, Option<Value>)>) -> Vec<VarBind> {
    let kind = VarBind { name: TRAP.to_vec(), value: Value::Oid(kind) };
    let values = values.into_iter().filter_map(|(name, value)| Some(VarBind { name, value: value? }));
    std::iter::once(kind).chain(values).collect()
}

/// `VrrpState`.
fn state(word: StateWord) -> Option<Value> {
    int(match word {
        StateWord::Backup => 1,
        StateWord::Master => 2,
        StateWord::Fault => 3,
        StateWord::Stop => 5,
        StateWord::Deleted => 6,
        _ => return None,
    })
}

/// What is told of an instance or a group that entered a state.
pub fn of_transition(view: &View, transition: &Transition) -> Vec<Vec<VarBind>> {
    let snmp = &view.part.global.snmp;
    let mut out = Vec::new();
    let Some(state) = state(transition.state) else { return out };
    let router = || (node(&[1, 2, 0]), text(&view.part.global.router_id));
    match &transition.subject {
        Subject::Group(name) if snmp.vrrp => out.push(notification(
            node(&[2, 10, 0, 1]),
            vec![(node(&[2, 1, 1, 2]), text(name)), (node(&[2, 1, 1, 3]), Some(state)), router()],
        )),
        Subject::Group(_) => {}
        Subject::Instance(name) => {
            let place = view.part.vrrp.instances.iter().position(|it| it.name == *name);
            if snmp.vrrp {
                let initial = place.map_or(InitialState::Backup, |i| view.part.vrrp.instances[i].initial);
                let initial = int(if initial == InitialState::Master { 2 } else { 1 });
                out.push(notification(
                    node(&[2, 10, 0, 2]),
                    vec![
                        (node(&[2, 3, 1, 2]), text(name)),
                        (node(&[2, 3, 1, 4]), Some(state)),
                        (node(&[2, 3, 1, 5]), initial),
                        router(),
                    ],
                ));
            }
            if transition.state == StateWord::Master
                && let Some(i) = place
            {
                out.extend(new_master(view, i));
            }
        }
    }
    out
}

/// vrrpTrapNewMaster and vrrpv3NewMaster.
fn new_master(view: &View, i: usize) -> Vec<Vec<VarBind>> {
    let snmp = &view.part.global.snmp;
    let Some((config, now)) = view.instance(i) else { return Vec::new() };
    let mut out = Vec::new();
    let index = index_v3(view, config);
    if snmp.rfc_v2 && config.version == VrrpVersion::V2 && config.family == Family::V4 {
        let name = [&V2[..], &[1, 3, 1, 7], &index[..2]].concat();
        out.push(notification([&V2[..], &[0, 1]].concat(), vec![(name, now.source.and_then(ipv4))]));
    }
    if snmp.rfc_v3 {
        let master = [&V3[..], &[1, 1, 1, 1, 3], &index].concat();
        let why = [&V3[..], &[1, 2, 5, 1, 2], &index].concat();
        out.push(notification(
            [&V3[..], &[0, 1]].concat(),
            vec![(master, now.source.and_then(address)), (why, reason(view, i).and_then(int))],
        ));
    }
    out
}

/// The values that stand for a virtual server: its type, where it is, its protocol.
fn of_server(view: &View, place: usize) -> Vec<(Oid, Option<Value>)> {
    let column = |number: u32| node(&[3, 3, 1, number]);
    let value = |number: u32| super::keepalived_check::server_value(view, place, number);
    let mut out = vec![(column(2), value(2))];
    // Stock: the family of an address alone.
    let numbers: &[u32] = if value(6).is_some() { &[5, 6, 7] } else { &[3, 4] };
    out.extend(numbers.iter().map(|number| (column(*number), value(*number))));
    out.push((column(8), value(8)));
    out
}

/// realServerStateChange.
pub fn of_real_server(view: &View, change: &ServerChange) -> Option<Vec<VarBind>> {
    if !view.part.global.snmp.checker {
        return None;
    }
    let place = place_of(view, &change.virtual_name)?;
    let (ip, port) = change.real_server;
    let column = |number: u32| node(&[3, 4, 1, number]);
    let mut values = vec![
        (column(3), family(ip)),
        (column(4), address(ip)),
        (column(5), gauge(port)),
        (column(6), one_or_two(change.up)),
    ];
    values.extend(of_server(view, place));
    let value = |number: u32| super::keepalived_check::server_value(view, place, number);
    values.push((node(&[3, 3, 1, 21]), value(21)));
    values.push((node(&[3, 3, 1, 20]), value(20)));
    values.push((node(&[1, 2, 0]), text(&view.part.global.router_id)));
    Some(notification(node(&[3, 5, 0, 1]), values))
}

/// virtualServerQuorumStateChange.
pub fn of_quorum(view: &View, name: &str, up: bool) -> Option<Vec<VarBind>> {
    if !view.part.global.snmp.checker {
        return None;
    }
    let place = place_of(view, name)?;
    let value = |number: u32| super::keepalived_check::server_value(view, place, number);
    let mut values = of_server(view, place);
    values.push((node(&[3, 3, 1, 23]), one_or_two(up)));
    values.extend([22, 21, 20].into_iter().map(|number| (node(&[3, 3, 1, number]), value(number))));
    values.push((node(&[1, 2, 0]), text(&view.part.global.router_id)));
    Some(notification(node(&[3, 5, 0, 2]), values))
}

/// The virtual server that logs name like this.
fn place_of(view: &View, name: &str) -> Option<usize> {
    view.part.checkers.virtual_servers.iter().position(|it| label::virtual_server(it) == name)
}

/// vrrpTrapAuthFailure and vrrpv3ProtoError.
pub fn of_bad_advert(
    view: &View,
    instance: &str,
    source: std::net::IpAddr,
    error: AdvertError,
) -> Option<Vec<VarBind>> {
    let snmp = &view.part.global.snmp;
    let i = view.part.vrrp.instances.iter().position(|it| it.name == instance)?;
    let (config, _) = view.instance(i)?;
    let authentication = match error {
        AdvertError::InvalidAuthType => Some(1),
        AdvertError::AuthTypeMismatch => Some(2),
        AdvertError::AuthFailure => Some(3),
        AdvertError::Ttl | AdvertError::Version | AdvertError::Checksum => None,
    };
    if let Some(kind) = authentication {
        // Stock: scalars with the index of the instance.
        let index = index(view, config);
        let name = |object: u32| [&V2[..], &[1, object], &index].concat();
        let values = vec![(name(5), ipv4(source)), (name(6), int(kind))];
        return (snmp.rfc_v2 && config.version == VrrpVersion::V2)
            .then(|| notification([&V2[..], &[0, 2]].concat(), values));
    }
    let kind = match error {
        AdvertError::Ttl => 1,
        AdvertError::Version => 2,
        _ => 3,
    };
    let name = [&V3[..], &[1, 2, 5, 1, 6], &index_v3(view, config)].concat();
    snmp.rfc_v3.then(|| notification([&V3[..], &[0, 2]].concat(), vec![(name, int(kind))]))
}
