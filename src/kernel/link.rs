//! Interfaces: dump, alone or with their addresses.

use std::collections::BTreeMap;

use super::address::{self, Address};
use super::error::Error;
use super::netlink::{Connection, Request, attributes, string};
use crate::config::model::InterfaceFacts;
use crate::vrrp::{Interface, Link, LinkKind, LinkSettings, MACVLAN_PRIVATE};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const IFLA_ADDRESS: u16 = 1;
const IFLA_BROADCAST: u16 = 2;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_GROUP: u16 = 27;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
/// `IFLA_MACVLAN_MODE`, `IFLA_IPVLAN_MODE` and `IFLA_VRF_TABLE` have the same number.
const IFLA_FIRST: u16 = 1;
const IFLA_IPVLAN_FLAGS: u16 = 2;
const AF_INET: u16 = 2;
const IFLA_INET_CONF: u16 = 1;
const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
const HEADER: usize = 16;
/// Notifications of bridge ports come in this family and describe no interface.
const AF_BRIDGE: u8 = 7;

const ARPHRD_ETHER: u16 = 1;
/// `IPV4_DEVCONF_*` (linux/ip.h), counted from 1.
const RP_FILTER: usize = 8;
const ARPFILTER: usize = 13;
const ARP_IGNORE: usize = 19;
const PROMOTE_SECONDARIES: usize = 20;

const IFF_LOOPBACK: u32 = 0x8;
const IFF_MULTICAST: u32 = 0x1000;

/// All interfaces.
pub fn dump(connection: &mut Connection) -> Result<Vec<Link>, Error> {
    let request = Request::new(RTM_GETLINK, &[0; HEADER])
        .attribute(IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    connection
        .dump(&request, |kind, body| (kind == RTM_NEWLINK).then(|| decode(body)).flatten())
        .map_err(|refusal| refusal.doing("listing interfaces"))
}

/// All interfaces with their usable addresses, by index.
pub fn interfaces(connection: &mut Connection) -> Result<Vec<Interface>, Error> {
    let mut found: BTreeMap<u32, Interface> = dump(connection)?
        .into_iter()
        .map(|link| (link.index, Interface { link, addresses: Vec::new() }))
        .collect();
    for address in address::dump(connection)?.into_iter().filter(Address::is_usable) {
        if let Some(interface) = found.get_mut(&address.index) {
            interface.addresses.push((address.address, address.prefix));
        }
    }
    Ok(found.into_values().collect())
}

/// The same for the validation of a configuration, by name.
pub fn facts(interfaces: Vec<Interface>) -> BTreeMap<String, InterfaceFacts> {
    interfaces
        .into_iter()
        .map(|Interface { link, addresses }| {
            let facts = InterfaceFacts {
                index: link.index,
                mtu: link.mtu,
                multicast: link.flags & IFF_MULTICAST != 0,
                loopback: link.flags & IFF_LOOPBACK != 0,
                addresses,
                ethernet: link.hardware == ARPHRD_ETHER,
                private_macvlan_on: (link.kind == LinkKind::Macvlan { mode: MACVLAN_PRIVATE })
                    .then_some(link.base),
                stacked: matches!(link.kind, LinkKind::Macvlan { .. } | LinkKind::Ipvlan { .. }),
                vrf_table: match link.kind {
                    LinkKind::Vrf { table } => Some(table),
                    _ => None,
                },
                mac: link.mac,
            };
            (link.name, facts)
        })
        .collect()
}

/// What a link notification says.
pub(super) enum Notice {
    Changed(Link),
    Gone(Link),
}

/// `None` for a message of another kind.
pub(super) fn notice(kind: u16, body: &[u8]) -> Option<Notice> {
    match kind {
        RTM_NEWLINK => decode(body).map(Notice::Changed),
        RTM_DELLINK => decode(body).map(Notice::Gone),
        _ => None,
    }
}

fn decode(body: &[u8]) -> Option<Link> {
    let [family, _, t0, t1, i0, i1, i2, i3, f0, f1, f2, f3, ..] = *body.first_chunk::<HEADER>()?;
    if family == AF_BRIDGE {
        return None;
    }
    let mut link = Link {
        index: u32::from_ne_bytes([i0, i1, i2, i3]),
        flags: u32::from_ne_bytes([f0, f1, f2, f3]),
        hardware: u16::from_ne_bytes([t0, t1]),
        ..Link::default()
    };
    let mut is_base_elsewhere = false;
    for (kind, value) in attributes(body.get(HEADER..)?) {
        match kind {
            IFLA_IFNAME => link.name = string(value),
            IFLA_MTU => link.mtu = number(value).unwrap_or(0),
            IFLA_ADDRESS => link.mac = value.to_vec(),
            IFLA_BROADCAST => link.mac_broadcast = value.to_vec(),
            IFLA_GROUP => link.group = number(value).unwrap_or(0),
            IFLA_LINK => link.base = number(value).unwrap_or(0),
            IFLA_LINK_NETNSID => is_base_elsewhere = true,
            IFLA_MASTER => link.master = number(value).unwrap_or(0),
            IFLA_LINKINFO => link.kind = link_kind(value),
            IFLA_AF_SPEC => link.settings = settings(value),
            _ => {}
        }
    }
    if is_base_elsewhere {
        link.base = 0;
    }
    (!link.name.is_empty()).then_some(link)
}

fn link_kind(info: &[u8]) -> LinkKind {
    let inside = |wanted| attributes(info).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let Some(name) = inside(IFLA_INFO_KIND).map(string) else { return LinkKind::Other };
    let data = |wanted| {
        let data = inside(IFLA_INFO_DATA)?;
        attributes(data).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
    };
    match name.as_str() {
        "macvlan" => LinkKind::Macvlan { mode: data(IFLA_FIRST).and_then(number).unwrap_or(0) },
        "ipvlan" => LinkKind::Ipvlan {
            mode: data(IFLA_FIRST).and_then(short).unwrap_or(0),
            flags: data(IFLA_IPVLAN_FLAGS).and_then(short).unwrap_or(0),
        },
        "vrf" => LinkKind::Vrf { table: data(IFLA_FIRST).and_then(number).unwrap_or(0) },
        _ => LinkKind::Other,
    }
}

/// The interface's row of `/proc/sys/net/ipv4/conf`, as an array of 32-bit numbers.
fn settings(families: &[u8]) -> LinkSettings {
    let row = attributes(families)
        .find(|(family, _)| *family == AF_INET)
        .and_then(|(_, inet)| attributes(inet).find(|(kind, _)| *kind == IFLA_INET_CONF))
        .map_or(&[][..], |(_, row)| row);
    let at = |place: usize| {
        let value = row.get((place - 1) * 4..place * 4).and_then(number).unwrap_or(0);
        u8::try_from(value).unwrap_or(u8::MAX)
    };
    LinkSettings {
        arp_ignore: at(ARP_IGNORE),
        arp_filter: at(ARPFILTER),
        rp_filter: at(RP_FILTER),
        promote_secondaries: at(PROMOTE_SECONDARIES),
    }
}

fn short(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_ne_bytes)
}

fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use neli::consts::socket::NlFamily;

    use super::*;
    use crate::kernel::testing::{eventually, in_namespace, run};

    #[test]
    fn interfaces_are_listed_with_their_state() {
        in_namespace(|| {
            run("ip link add d0 type veth peer name d1");
            run("ip link set d0 address 02:00:00:00:00:0a mtu 1400 up");
            let mut netlink = Connection::open(NlFamily::Route).unwrap();
            let find =
                |name: &str, links: Vec<Link>| links.into_iter().find(|link| link.name == name).unwrap();
            let link = find("d0", dump(&mut netlink).unwrap());
            assert_eq!((link.mtu, link.mac.as_slice()), (1400, [2, 0, 0, 0, 0, 10].as_slice()));
            assert!(link.has_arp());
            assert_eq!(link.mac_broadcast, [0xff; 6]);
            assert!(!link.is_up(), "the peer is down, so there is no carrier");
            run("ip link set d1 up");
            eventually(|| find("d0", dump(&mut netlink).unwrap()).is_up());
            run("ip addr add 10.0.0.1/24 dev d0");
            let facts = facts(interfaces(&mut netlink).unwrap());
            assert!(facts["lo"].loopback && !facts["lo"].multicast && facts["d0"].multicast);
            assert!(facts["d0"].addresses.contains(&("10.0.0.1".parse().unwrap(), 24)));
        });
    }

    #[test]
    fn any_bytes_decode_without_panic() {
        proptest::proptest!(|(bytes: Vec<u8>)| {
            let _ = notice(RTM_NEWLINK, &bytes);
        });
    }
}
