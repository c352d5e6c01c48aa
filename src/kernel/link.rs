//! Interfaces: dump, and the facts of one.

use super::error::Error;
use super::netlink::{Connection, Request, attributes, string};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
const HEADER: usize = 16;
/// Notifications of bridge ports come in this family and describe no interface.
const AF_BRIDGE: u8 = 7;

const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_RUNNING: u32 = 0x40;
const IFF_NOARP: u32 = 0x80;
const IFF_MULTICAST: u32 = 0x1000;

/// An interface, as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Kernel index, unique as long as it exists.
    pub index: u32,
    /// Name, which can change.
    pub name: String,
    /// `IFF_*`.
    pub flags: u32,
    /// Bytes.
    pub mtu: u32,
    /// Hardware address; 6 bytes for Ethernet, empty if there is none.
    pub mac: Vec<u8>,
    /// `ARPHRD_*`.
    pub hardware: u16,
    /// Index of the device below (VLAN, macvlan); a veth names its peer.
    pub parent: Option<u32>,
}

impl Link {
    /// Administratively up *and* running (stock's rule: both).
    pub fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0 && self.flags & IFF_RUNNING != 0
    }

    /// Does it speak ARP?
    pub fn has_arp(&self) -> bool {
        self.flags & IFF_NOARP == 0
    }

    /// Can it send to groups?
    pub fn has_multicast(&self) -> bool {
        self.flags & IFF_MULTICAST != 0
    }

    /// Is it the loopback?
    pub fn is_loopback(&self) -> bool {
        self.flags & IFF_LOOPBACK != 0
    }
}

/// All interfaces.
pub fn dump(connection: &mut Connection) -> Result<Vec<Link>, Error> {
    let request = Request::new(RTM_GETLINK, &[0; HEADER])
        .attribute(IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    connection
        .dump(&request, |kind, body| (kind == RTM_NEWLINK).then(|| decode(body)).flatten())
        .map_err(|refusal| refusal.doing("listing interfaces"))
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
        name: String::new(),
        flags: u32::from_ne_bytes([f0, f1, f2, f3]),
        mtu: 0,
        mac: Vec::new(),
        hardware: u16::from_ne_bytes([t0, t1]),
        parent: None,
    };
    for (kind, value) in attributes(body.get(HEADER..)?) {
        match kind {
            IFLA_IFNAME => link.name = string(value),
            IFLA_MTU => link.mtu = number(value).unwrap_or(0),
            IFLA_ADDRESS => link.mac = value.to_vec(),
            IFLA_LINK => link.parent = number(value).filter(|index| *index != 0),
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use neli::consts::socket::NlFamily;

    use super::*;
    use crate::kernel::testing::{in_namespace, run};

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
            assert!(link.has_arp() && link.has_multicast());
            assert!(!link.is_up(), "the peer is down, so there is no carrier");
            run("ip link set d1 up");
            assert!(find("d0", dump(&mut netlink).unwrap()).is_up());
            assert!(find("lo", dump(&mut netlink).unwrap()).is_loopback());
        });
    }

    #[test]
    fn any_bytes_decode_without_panic() {
        proptest::proptest!(|(bytes: Vec<u8>)| {
            let _ = notice(RTM_NEWLINK, &bytes);
        });
    }
}
