//! IPVS messages: our types to the kernel's bytes and back. No socket here.
//!
//! Traps of the interface (spec/ipvs-behaviour.md §2): addresses are 16 bytes for both families; ports and addresses are
//! in network order, everything else in host order; an IPv4 mask is its bytes, an IPv6 prefix length a number;
//! destination commands carry the service without its persistence.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::genl;
use super::netlink::{Request, attributes, string};
use crate::config::model::{Family, ForwardingMethod, LvsTimeouts, SyncRole, Tunnel, TunnelChecksum};
use crate::lvs::difference::Command;
use crate::lvs::sync;
use crate::lvs::table::{
    DestinationKey, DestinationSettings, HASHED, Netmask, PERSISTENT, ServiceKey, ServiceSettings,
};

// Numbers of `linux/ip_vs.h`.
const CMD_NEW_SERVICE: u8 = 1;
const CMD_SET_SERVICE: u8 = 2;
const CMD_DEL_SERVICE: u8 = 3;
const CMD_GET_SERVICE: u8 = 4;
const CMD_NEW_DEST: u8 = 5;
const CMD_SET_DEST: u8 = 6;
const CMD_DEL_DEST: u8 = 7;
const CMD_GET_DEST: u8 = 8;
const CMD_NEW_DAEMON: u8 = 9;
const CMD_DEL_DAEMON: u8 = 10;
const CMD_GET_DAEMON: u8 = 11;
const CMD_SET_CONFIG: u8 = 12;
const CMD_GET_CONFIG: u8 = 13;
const CMD_FLUSH: u8 = 17;

pub(super) const SERVICE: u16 = 1;
pub(super) const DEST: u16 = 2;
const DAEMON: u16 = 3;
const TIMEOUT_TCP: u16 = 4;
const TIMEOUT_TCP_FIN: u16 = 5;
const TIMEOUT_UDP: u16 = 6;

const SVC_AF: u16 = 1;
const SVC_PROTOCOL: u16 = 2;
const SVC_ADDR: u16 = 3;
const SVC_PORT: u16 = 4;
const SVC_FWMARK: u16 = 5;
const SVC_SCHED_NAME: u16 = 6;
const SVC_FLAGS: u16 = 7;
const SVC_TIMEOUT: u16 = 8;
const SVC_NETMASK: u16 = 9;
const SVC_PE_NAME: u16 = 11;

const DEST_ADDR: u16 = 1;
const DEST_PORT: u16 = 2;
const DEST_FWD_METHOD: u16 = 3;
const DEST_WEIGHT: u16 = 4;
const DEST_U_THRESH: u16 = 5;
const DEST_L_THRESH: u16 = 6;
const DEST_ADDR_FAMILY: u16 = 11;
const DEST_TUN_TYPE: u16 = 13;
const DEST_TUN_PORT: u16 = 14;
const DEST_TUN_FLAGS: u16 = 15;

const DAEMON_STATE: u16 = 1;
const DAEMON_MCAST_IFN: u16 = 2;
const DAEMON_SYNC_ID: u16 = 3;
const DAEMON_SYNC_MAXLEN: u16 = 4;
const DAEMON_MCAST_GROUP: u16 = 5;
const DAEMON_MCAST_GROUP6: u16 = 6;
const DAEMON_MCAST_PORT: u16 = 7;
const DAEMON_MCAST_TTL: u16 = 8;

/// `AF_INET` and `AF_INET6`, fixed on Linux.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

const IP_VS_STATE_MASTER: u32 = 1;
const IP_VS_STATE_BACKUP: u32 = 2;

const FWD_MASQ: u32 = 0;
const FWD_TUNNEL: u32 = 2;
const FWD_DROUTE: u32 = 3;
/// `IP_VS_CONN_F_FWD_MASK`.
const FWD_MASK: u32 = 7;

/// The request that carries out a command.
pub(super) fn command(family: u16, command: &Command) -> Request {
    let of_service = |number, service: &ServiceKey, settings: &ServiceSettings| {
        genl::request(family, number).nest(SERVICE, |nest| service_nest(nest, service, settings, true))
    };
    let of_destination = |number, service, of, key, settings| {
        genl::request(family, number)
            .nest(SERVICE, |nest| service_nest(nest, service, of, false))
            .nest(DEST, |nest| destination_nest(nest, key, settings))
    };
    match command {
        Command::AddService { service, settings } => of_service(CMD_NEW_SERVICE, service, settings),
        Command::EditService { service, settings } => of_service(CMD_SET_SERVICE, service, settings),
        Command::DeleteService { service, settings } => of_service(CMD_DEL_SERVICE, service, settings),
        Command::AddDestination { service, of, destination, settings } => {
            of_destination(CMD_NEW_DEST, service, of, destination, settings)
        }
        Command::EditDestination { service, of, destination, settings } => {
            of_destination(CMD_SET_DEST, service, of, destination, settings)
        }
        Command::DeleteDestination { service, of, destination, settings } => {
            of_destination(CMD_DEL_DEST, service, of, destination, settings)
        }
    }
}

/// Removes every service, foreign ones included.
pub(super) fn flush(family: u16) -> Request {
    genl::request(family, CMD_FLUSH)
}

/// Asks for the connection timeouts.
pub(super) fn get_config(family: u16) -> Request {
    genl::request(family, CMD_GET_CONFIG)
}

/// Sets all three connection timeouts.
pub(super) fn set_config(family: u16, timeouts: LvsTimeouts) -> Request {
    genl::request(family, CMD_SET_CONFIG)
        .attribute(TIMEOUT_TCP, &timeouts.tcp.to_ne_bytes())
        .attribute(TIMEOUT_TCP_FIN, &timeouts.tcp_fin.to_ne_bytes())
        .attribute(TIMEOUT_UDP, &timeouts.udp.to_ne_bytes())
}

/// Asks for all services (as a dump).
pub(super) fn get_services(family: u16) -> Request {
    genl::request(family, CMD_GET_SERVICE)
}

/// Asks for one service.
pub(super) fn get_service(family: u16, service: &ServiceKey) -> Request {
    genl::request(family, CMD_GET_SERVICE).nest(SERVICE, |nest| identity(nest, service))
}

/// Asks for the destinations of a service (as a dump).
pub(super) fn get_destinations(family: u16, service: &ServiceKey) -> Request {
    genl::request(family, CMD_GET_DEST).nest(SERVICE, |nest| identity(nest, service))
}

/// Starts or stops a sync daemon. The port is in host order, unlike all others.
pub(super) fn sync(family: u16, command: &sync::Command) -> Request {
    let (number, role, settings) = match command {
        sync::Command::Start(role, settings) => (CMD_NEW_DAEMON, role, Some(settings)),
        sync::Command::Stop(role) => (CMD_DEL_DAEMON, role, None),
    };
    let state: u32 = match role {
        SyncRole::Master => IP_VS_STATE_MASTER,
        SyncRole::Backup => IP_VS_STATE_BACKUP,
    };
    genl::request(family, number).nest(DAEMON, |nest| {
        let nest = nest.attribute(DAEMON_STATE, &state.to_ne_bytes());
        let Some(settings) = settings else {
            // The kernel does not look at the id of what it stops.
            return nest.attribute(DAEMON_SYNC_ID, &0u32.to_ne_bytes());
        };
        let id = u32::from(settings.id.unwrap_or(0));
        let mut nest = nest
            .attribute(DAEMON_MCAST_IFN, &[settings.interface.as_bytes(), &[0]].concat())
            .attribute(DAEMON_SYNC_ID, &id.to_ne_bytes());
        if let Some(length) = settings.max_length {
            nest = nest.attribute(DAEMON_SYNC_MAXLEN, &length.to_ne_bytes());
        }
        if let Some(port) = settings.port {
            nest = nest.attribute(DAEMON_MCAST_PORT, &port.to_ne_bytes());
        }
        if let Some(ttl) = settings.ttl {
            nest = nest.attribute(DAEMON_MCAST_TTL, &[ttl]);
        }
        match settings.group {
            None => nest,
            Some(IpAddr::V4(group)) => nest.attribute(DAEMON_MCAST_GROUP, &group.octets()),
            Some(IpAddr::V6(group)) => nest.attribute(DAEMON_MCAST_GROUP6, &group.octets()),
        }
    })
}

/// Asks which sync daemons run (as a dump).
pub(super) fn get_sync(family: u16) -> Request {
    genl::request(family, CMD_GET_DAEMON)
}

/// A running sync daemon of a reply; `None` if it lacks what one has.
pub fn decode_sync(body: &[u8]) -> Option<sync::Running> {
    let inside = nested(body, DAEMON)?;
    let role = match u32_of(inside, DAEMON_STATE)? {
        IP_VS_STATE_MASTER => SyncRole::Master,
        IP_VS_STATE_BACKUP => SyncRole::Backup,
        _ => return None,
    };
    let group = |kind, family| value(inside, kind).and_then(|bytes| decode_address(family, bytes));
    Some(sync::Running {
        role,
        interface: string(value(inside, DAEMON_MCAST_IFN)?),
        id: u32_of(inside, DAEMON_SYNC_ID)?,
        max_length: u16_of(inside, DAEMON_SYNC_MAXLEN),
        port: u16_of(inside, DAEMON_MCAST_PORT),
        ttl: value(inside, DAEMON_MCAST_TTL).and_then(<[u8]>::first).copied(),
        group: group(DAEMON_MCAST_GROUP, Family::V4).or_else(|| group(DAEMON_MCAST_GROUP6, Family::V6)),
    })
}

fn family_number(family: Family) -> u16 {
    match family {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    }
}

/// The union of both families: IPv4 in the first four bytes.
fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            bytes
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn identity(nest: Request, service: &ServiceKey) -> Request {
    let nest = nest.attribute(SVC_AF, &family_number(service.family()).to_ne_bytes());
    match service {
        ServiceKey::Fwmark { mark, .. } => nest.attribute(SVC_FWMARK, &mark.to_ne_bytes()),
        ServiceKey::Address { protocol, address, port } => nest
            .attribute(SVC_PROTOCOL, &u16::from(*protocol).to_ne_bytes())
            .attribute(SVC_ADDR, &address_bytes(*address))
            .attribute(SVC_PORT, &port.to_be_bytes()),
    }
}

fn service_nest(
    nest: Request,
    service: &ServiceKey,
    settings: &ServiceSettings,
    with_persistence: bool,
) -> Request {
    let c_string = |text: &str| [text.as_bytes(), &[0]].concat();
    let nest = identity(nest, service).attribute(SVC_SCHED_NAME, &c_string(settings.scheduler.as_ref()));
    let nest = match &settings.engine {
        Some(engine) if with_persistence => nest.attribute(SVC_PE_NAME, &c_string(engine)),
        _ => nest,
    };
    let (flags, timeout, netmask) = if with_persistence {
        (settings.flags, settings.timeout, settings.netmask)
    } else {
        (settings.flags & !PERSISTENT, 0, Netmask::full(service.family()))
    };
    let mut flags_and_mask = [0xff; 8];
    flags_and_mask[..4].copy_from_slice(&flags.to_ne_bytes());
    let netmask = match netmask {
        Netmask::V4(mask) => mask,
        Netmask::V6(length) => length.to_ne_bytes(),
    };
    nest.attribute(SVC_FLAGS, &flags_and_mask)
        .attribute(SVC_TIMEOUT, &timeout.to_ne_bytes())
        .attribute(SVC_NETMASK, &netmask)
}

fn destination_nest(nest: Request, key: &DestinationKey, settings: &DestinationSettings) -> Request {
    let method = settings.method.unwrap_or_default();
    let number = match method {
        ForwardingMethod::Nat => FWD_MASQ,
        ForwardingMethod::Tun(_) => FWD_TUNNEL,
        ForwardingMethod::Dr => FWD_DROUTE,
    };
    let nest = nest
        .attribute(DEST_ADDR_FAMILY, &family_number(Family::of(key.address)).to_ne_bytes())
        .attribute(DEST_ADDR, &address_bytes(key.address))
        .attribute(DEST_PORT, &key.port.to_be_bytes())
        .attribute(DEST_FWD_METHOD, &number.to_ne_bytes())
        .attribute(DEST_WEIGHT, &settings.weight.to_ne_bytes());
    let flags = |checksum: TunnelChecksum| (checksum as u16).to_ne_bytes();
    let nest = match method {
        ForwardingMethod::Nat | ForwardingMethod::Dr => nest,
        ForwardingMethod::Tun(Tunnel::Ipip) => nest.attribute(DEST_TUN_TYPE, &[0]),
        ForwardingMethod::Tun(Tunnel::Gue { port, checksum }) => nest
            .attribute(DEST_TUN_TYPE, &[1])
            .attribute(DEST_TUN_PORT, &port.to_be_bytes())
            .attribute(DEST_TUN_FLAGS, &flags(checksum)),
        ForwardingMethod::Tun(Tunnel::Gre { checksum }) => {
            nest.attribute(DEST_TUN_TYPE, &[2]).attribute(DEST_TUN_FLAGS, &flags(checksum))
        }
    };
    nest.attribute(DEST_U_THRESH, &settings.upper_threshold.to_ne_bytes())
        .attribute(DEST_L_THRESH, &settings.lower_threshold.to_ne_bytes())
}

/// A service of a reply; `None` if it lacks what a service has.
pub fn decode_service(body: &[u8]) -> Option<(ServiceKey, ServiceSettings)> {
    let inside = nested(body, SERVICE)?;
    let family = decode_family(u16_of(inside, SVC_AF)?)?;
    let key = match u32_of(inside, SVC_FWMARK) {
        Some(mark) => ServiceKey::Fwmark { family, mark },
        None => ServiceKey::Address {
            protocol: u8::try_from(u16_of(inside, SVC_PROTOCOL)?).ok()?,
            address: decode_address(family, value(inside, SVC_ADDR)?)?,
            port: port_of(inside, SVC_PORT)?,
        },
    };
    let flags_and_mask = value(inside, SVC_FLAGS)?;
    let flags = u32::from_ne_bytes(*flags_and_mask.first_chunk()?);
    let mask = flags_and_mask
        .get(4..)
        .and_then(|rest| rest.first_chunk())
        .map_or(u32::MAX, |mask| u32::from_ne_bytes(*mask));
    let netmask = *value(inside, SVC_NETMASK)?.first_chunk::<4>()?;
    let settings = ServiceSettings {
        scheduler: Cow::Owned(string(value(inside, SVC_SCHED_NAME)?)),
        engine: value(inside, SVC_PE_NAME).map(string).filter(|name| !name.is_empty()),
        flags: flags & mask & !HASHED,
        timeout: u32_of(inside, SVC_TIMEOUT)?,
        netmask: match family {
            Family::V4 => Netmask::V4(netmask),
            Family::V6 => Netmask::V6(u32::from_ne_bytes(netmask)),
        },
    };
    Some((key, settings))
}

/// A destination of a reply about a service of this family; `None` if it lacks what a destination has.
pub fn decode_destination(
    service_family: Family,
    body: &[u8],
) -> Option<(DestinationKey, DestinationSettings)> {
    let inside = nested(body, DEST)?;
    let family = match u16_of(inside, DEST_ADDR_FAMILY) {
        // Kernels before 3.18 do not say it.
        None | Some(0) => service_family,
        Some(number) => decode_family(number)?,
    };
    let key = DestinationKey {
        address: decode_address(family, value(inside, DEST_ADDR)?)?,
        port: port_of(inside, DEST_PORT)?,
    };
    let method = match u32_of(inside, DEST_FWD_METHOD)? & FWD_MASK {
        FWD_MASQ => Some(ForwardingMethod::Nat),
        FWD_DROUTE => Some(ForwardingMethod::Dr),
        FWD_TUNNEL => decode_tunnel(inside).map(ForwardingMethod::Tun),
        _ => None,
    };
    let settings = DestinationSettings {
        method,
        weight: u32_of(inside, DEST_WEIGHT)?,
        upper_threshold: u32_of(inside, DEST_U_THRESH)?,
        lower_threshold: u32_of(inside, DEST_L_THRESH)?,
    };
    Some((key, settings))
}

/// The connection timeouts of a reply.
pub fn decode_timeouts(body: &[u8]) -> Option<LvsTimeouts> {
    let (_, inside) = genl::split(body)?;
    Some(LvsTimeouts {
        tcp: u32_of(inside, TIMEOUT_TCP)?,
        tcp_fin: u32_of(inside, TIMEOUT_TCP_FIN)?,
        udp: u32_of(inside, TIMEOUT_UDP)?,
    })
}

fn decode_tunnel(inside: &[u8]) -> Option<Tunnel> {
    let checksum = match u16_of(inside, DEST_TUN_FLAGS).unwrap_or(0) {
        1 => TunnelChecksum::Csum,
        2 => TunnelChecksum::Remote,
        _ => TunnelChecksum::None,
    };
    match value(inside, DEST_TUN_TYPE).and_then(<[u8]>::first) {
        // Kernels before 5.3 know no other.
        None | Some(0) => Some(Tunnel::Ipip),
        Some(1) => Some(Tunnel::Gue { port: port_of(inside, DEST_TUN_PORT)?, checksum }),
        Some(2) => Some(Tunnel::Gre { checksum }),
        Some(_) => None,
    }
}

fn decode_family(number: u16) -> Option<Family> {
    match number {
        AF_INET => Some(Family::V4),
        AF_INET6 => Some(Family::V6),
        _ => None,
    }
}

fn decode_address(family: Family, bytes: &[u8]) -> Option<IpAddr> {
    Some(match family {
        Family::V4 => Ipv4Addr::from(*bytes.first_chunk::<4>()?).into(),
        Family::V6 => Ipv6Addr::from(*bytes.first_chunk::<16>()?).into(),
    })
}

pub(super) fn nested(body: &[u8], kind: u16) -> Option<&[u8]> {
    let (_, top) = genl::split(body)?;
    value(top, kind)
}

pub(super) fn value(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

fn u16_of(bytes: &[u8], kind: u16) -> Option<u16> {
    value(bytes, kind)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

pub(super) fn u32_of(bytes: &[u8], kind: u16) -> Option<u32> {
    value(bytes, kind)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn port_of(bytes: &[u8], kind: u16) -> Option<u16> {
    value(bytes, kind)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
#[path = "ipvs_message_tests.rs"]
mod tests;
