//! Links that this program makes on another interface: macvlans in private mode, ipvlans (spec/vrrp-behaviour.md §9).

use nix::errno::Errno;

use super::error::Error;
use super::netlink::{Answer, Connection, Refusal, Request};
use super::sysctl;
use crate::config::model::{Family, IpvlanMode, VirtualLink, VirtualLinkKind};
use crate::vrrp::{IFF_UP, MACVLAN_PRIVATE};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_GROUP: u16 = 27;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_FLAGS: u16 = 2;
const IPVLAN_MODE_L2: u16 = 0;
const IPVLAN_PRIVATE: u16 = 1;
const IPVLAN_VEPA: u16 = 2;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const HEADER: usize = 16;
/// `IN6_ADDR_GEN_MODE_NONE`: the kernel gives it no link-local address.
const NO_ADDRESS: &str = "1";

/// Where a link is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Below {
    /// Index of the interface below.
    pub index: u32,
    /// Interface group.
    pub group: u32,
    /// Index of the VRF it is to belong to; 0 if none.
    pub master: u32,
}

/// Makes the link, or takes one that is there already, and sets its settings; a new one is down. Settings that the host
/// does not know (no IPv6) are left out. Returns its index.
pub fn create(connection: &mut Connection, link: &VirtualLink, below: Below) -> Result<u32, Error> {
    let doing = || format!("creating {} interface {} on {}", kind(link), link.name, link.base);
    match one(connection, &new_request(link, below))? {
        Some(refusal) if refusal.errno != Errno::EEXIST => return Err(refusal.doing(doing())),
        Some(_) => {
            let errors = settings(link);
            let index = index_of(link)?;
            // Nobody tells of it again.
            raise(connection, index)?;
            return errors.into_iter().next().map_or(Ok(index), Err);
        }
        None => {}
    }
    let mut errors = settings(link);
    let index = index_of(link)?;
    errors.pop().map_or(Ok(index), Err)
}

fn index_of(link: &VirtualLink) -> Result<u32, Error> {
    nix::net::if_::if_nametoindex(link.name.as_str())
        .map_err(|errno| Error::new(format!("looking for interface {}", link.name), errno))
}

/// Brings an interface up.
pub fn raise(connection: &mut Connection, index: u32) -> Result<(), Error> {
    match one(connection, &up_request(index))? {
        Some(refusal) => Err(refusal.doing(format!("bringing up interface {index}"))),
        None => Ok(()),
    }
}

/// Removes the interface of this name; one that is not there is success.
pub fn remove(connection: &mut Connection, name: &str) -> Result<(), Error> {
    let request = Request::new(RTM_DELLINK, &[0; HEADER]).attribute(IFLA_IFNAME, &c_string(name));
    match one(connection, &request)? {
        Some(refusal) if refusal.errno != Errno::ENODEV => {
            Err(refusal.doing(format!("removing interface {name}")))
        }
        _ => Ok(()),
    }
}

fn kind(link: &VirtualLink) -> &'static str {
    match link.kind {
        VirtualLinkKind::Vmac { .. } => "VMAC",
        VirtualLinkKind::Ipvlan { .. } => "ipvlan",
    }
}

fn one(connection: &mut Connection, request: &Request) -> Result<Option<Refusal>, Error> {
    let answers = connection.execute(std::slice::from_ref(request))?;
    Ok(match answers.into_iter().next() {
        Some(Answer::Refused(refusal)) => Some(refusal),
        _ => None,
    })
}

fn new_request(link: &VirtualLink, below: Below) -> Request {
    let mut request = Request::new(RTM_NEWLINK, &[0; HEADER])
        .flags(NLM_F_CREATE | NLM_F_EXCL)
        .attribute(IFLA_IFNAME, &c_string(&link.name))
        .attribute(IFLA_LINK, &below.index.to_ne_bytes());
    if let VirtualLinkKind::Vmac { mac, .. } = &link.kind {
        request = request.attribute(IFLA_ADDRESS, mac);
    }
    if below.group != 0 {
        request = request.attribute(IFLA_GROUP, &below.group.to_ne_bytes());
    }
    if below.master != 0 {
        request = request.attribute(IFLA_MASTER, &below.master.to_ne_bytes());
    }
    request.nest(IFLA_LINKINFO, |info| match &link.kind {
        VirtualLinkKind::Vmac { .. } => info
            .attribute(IFLA_INFO_KIND, b"macvlan\0")
            .nest(IFLA_INFO_DATA, |data| data.attribute(IFLA_MACVLAN_MODE, &MACVLAN_PRIVATE.to_ne_bytes())),
        VirtualLinkKind::Ipvlan { mode, .. } => {
            info.attribute(IFLA_INFO_KIND, b"ipvlan\0").nest(IFLA_INFO_DATA, |data| {
                data.attribute(IFLA_IPVLAN_MODE, &IPVLAN_MODE_L2.to_ne_bytes())
                    .attribute(IFLA_IPVLAN_FLAGS, &ipvlan_flags(*mode).to_ne_bytes())
            })
        }
    })
}

/// The flags of an ipvlan of this mode.
pub fn ipvlan_flags(mode: IpvlanMode) -> u16 {
    match mode {
        IpvlanMode::Bridge => 0,
        IpvlanMode::Private => IPVLAN_PRIVATE,
        IpvlanMode::Vepa => IPVLAN_VEPA,
    }
}

fn up_request(index: u32) -> Request {
    let mut header = [0; HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&IFF_UP.to_ne_bytes());
    header[12..].copy_from_slice(&IFF_UP.to_ne_bytes());
    Request::new(RTM_NEWLINK, &header)
}

/// Stock's settings of a new link (spec/vrrp-behaviour.md §9), before it comes up.
fn settings(link: &VirtualLink) -> Vec<Error> {
    let mut wanted: Vec<(Family, &str, &str)> = Vec::new();
    if let VirtualLinkKind::Vmac { .. } = link.kind {
        // An ipvlan has the hardware address of the interface below, and makes an address of its own of it.
        wanted.push((Family::V6, "addr_gen_mode", NO_ADDRESS));
        wanted.push((Family::V4, "arp_ignore", "1"));
        if link.family == Family::V4 {
            wanted.extend([
                (Family::V4, "accept_local", "1"),
                (Family::V4, "rp_filter", "0"),
                (Family::V4, "promote_secondaries", "1"),
            ]);
        }
    }
    if !link.ipv6 {
        wanted.push((Family::V6, "disable_ipv6", "1"));
    }
    let write = |(family, setting, value): (Family, &str, &str)| {
        sysctl::write(family, &link.name, setting, value).err()
    };
    // A host without IPv6 has no such files.
    let refused = |error: &Error| error.errno != Errno::ENOENT;
    wanted.into_iter().filter_map(write).filter(refused).collect()
}

fn c_string(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    use neli::consts::socket::NlFamily;

    use super::*;
    use crate::config::model::MacOrigin;
    use crate::kernel::link;
    use crate::kernel::testing::{in_namespace, ip_json, run};
    use crate::vrrp::LinkKind;

    fn vmac(name: &str, family: Family) -> VirtualLink {
        let kind = match family {
            Family::V4 => 1,
            Family::V6 => 2,
        };
        VirtualLink {
            name: name.into(),
            base: "d0".into(),
            kind: VirtualLinkKind::Vmac { mac: [0, 0, 0x5e, 0, kind, 51], origin: MacOrigin::Rfc },
            family,
            ipv4: family == Family::V4,
            ipv6: family == Family::V6,
            group: None,
        }
    }

    #[test]
    fn a_vmac_is_a_private_macvlan_with_the_virtual_mac_and_stocks_settings() {
        in_namespace(|| {
            run("ip link add d0 type veth peer name d1");
            run("ip link set d0 up");
            let mut netlink = Connection::open(NlFamily::Route).unwrap();
            let below = Below { index: nix::net::if_::if_nametoindex("d0").unwrap(), group: 7, master: 0 };
            let index = create(&mut netlink, &vmac("vrrp.51", Family::V4), below).unwrap();
            raise(&mut netlink, index).unwrap();
            let index = create(&mut netlink, &vmac("vrrp6.51", Family::V6), below).unwrap();
            raise(&mut netlink, index).unwrap();
            create(&mut netlink, &vmac("vrrp.51", Family::V4), below).expect("it is taken as it is");
            let seen = ip_json("ip -d -j link show dev vrrp.51");
            assert_eq!(seen[0]["address"], "00:00:5e:00:01:33");
            assert_eq!(seen[0]["linkinfo"]["info_data"]["mode"], "private");
            assert_eq!(seen[0]["inet6_addr_gen_mode"], "none");
            assert!(seen[0]["flags"].as_array().unwrap().contains(&"UP".into()));
            for (family, name, setting, value) in [
                (Family::V4, "vrrp.51", "arp_ignore", "1"),
                (Family::V4, "vrrp.51", "accept_local", "1"),
                (Family::V4, "vrrp.51", "promote_secondaries", "1"),
                (Family::V6, "vrrp.51", "disable_ipv6", "1"),
                (Family::V6, "vrrp6.51", "disable_ipv6", "0"),
            ] {
                let read = match family {
                    Family::V4 => sysctl::read_v4(name, setting),
                    Family::V6 => sysctl::read_v6(name, setting),
                };
                assert_eq!(read.unwrap(), value, "{setting} of {name}");
            }
            let links = link::dump(&mut netlink).unwrap();
            let link = links.iter().find(|link| link.name == "vrrp.51").unwrap();
            assert_eq!(link.kind, LinkKind::Macvlan { mode: MACVLAN_PRIVATE });
            assert_eq!((link.base, link.group), (below.index, 7));
            assert_eq!((link.settings.arp_ignore, link.settings.promote_secondaries), (1, 1));
            remove(&mut netlink, "vrrp.51").unwrap();
            remove(&mut netlink, "vrrp.51").expect("gone is gone");
            let taken = VirtualLink { base: "nosuch".into(), ..vmac("x", Family::V4) };
            let nowhere = Below { index: 9999, group: 0, master: 0 };
            let error = create(&mut netlink, &taken, nowhere).unwrap_err();
            assert!(error.to_string().starts_with("creating VMAC interface x on nosuch: "), "{error}");
        });
    }
}
