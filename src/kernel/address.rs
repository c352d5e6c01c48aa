//! Addresses on interfaces: add, delete, dump. The messages are stock's to the flag (spec/vrrp-behaviour.md §8).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::Error;
use super::netlink::{Connection, Request, attributes, string};
use crate::config::model::{PROTOCOL_KEEPALIVED, VirtualAddress};

/// An address was added, or shall be.
pub(super) const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;
const HEADER: usize = 8;

/// The address is not yet usable: duplicate address detection runs.
pub const IFA_F_TENTATIVE: u32 = 0x40;
/// It may be used although detection still runs.
pub const IFA_F_OPTIMISTIC: u32 = 0x04;
/// Another address of the same subnet came first.
pub const IFA_F_SECONDARY: u32 = 0x01;
/// Duplicate address detection found another owner.
pub const IFA_F_DADFAILED: u32 = 0x08;

/// An address of an interface, as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Kernel index of the interface.
    pub index: u32,
    /// The address itself.
    pub address: IpAddr,
    /// Prefix length, of the peer if there is one.
    pub prefix: u8,
    /// Scope number: 0 global, 253 link, 254 host.
    pub scope: u8,
    /// Broadcast address.
    pub broadcast: Option<Ipv4Addr>,
    /// Label (IPv4), at most 15 bytes.
    pub label: Option<String>,
    /// Far end of a point-to-point address.
    pub peer: Option<IpAddr>,
    /// `IFA_F_*`.
    pub flags: u32,
    /// Seconds; `None` leaves it to the kernel (forever).
    pub preferred_lifetime: Option<u32>,
    /// Who added it (kernels from 5.18 on keep it); 0 is nobody in particular.
    pub protocol: u8,
}

impl Address {
    /// A configured address on the interface with this index.
    pub fn of(configured: &VirtualAddress, index: u32) -> Self {
        Self {
            index,
            address: configured.address,
            prefix: configured.prefix,
            scope: configured.scope,
            broadcast: configured.broadcast,
            label: configured.label.clone(),
            peer: configured.peer,
            flags: configured.flags,
            // Stock: an IPv4 address is not deprecated by `preferred_lft 0`.
            preferred_lifetime: configured
                .preferred_lifetime
                .filter(|seconds| *seconds > 0 || configured.address.is_ipv6()),
            protocol: PROTOCOL_KEEPALIVED,
        }
    }

    /// Are these the same object in the kernel, whatever its flags and lifetimes?
    pub fn same_object(&self, other: &Self) -> bool {
        self.index == other.index
            && self.address == other.address
            && self.prefix == other.prefix
            && self.peer.unwrap_or(self.address) == other.peer.unwrap_or(other.address)
    }

    /// Can it be used, or does duplicate address detection still run or has it failed?
    pub fn is_usable(&self) -> bool {
        self.flags & IFA_F_DADFAILED == 0
            && (self.flags & IFA_F_TENTATIVE == 0 || self.flags & IFA_F_OPTIMISTIC != 0)
    }

    fn header(&self) -> [u8; HEADER] {
        let [i0, i1, i2, i3] = self.index.to_ne_bytes();
        // The header has room for the low eight flags only; all of them go in an attribute.
        [family(self.address), self.prefix, 0, self.scope, i0, i1, i2, i3]
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// All addresses of all interfaces.
pub fn dump(connection: &mut Connection) -> Result<Vec<Address>, Error> {
    connection
        .dump(&Request::new(RTM_GETADDR, &[0; HEADER]), |kind, body| {
            (kind == RTM_NEWADDR).then(|| decode(body)).flatten()
        })
        .map_err(|refusal| refusal.doing("listing addresses"))
}

/// What an address notification says.
pub(super) enum Notice {
    Added(Address),
    Removed(Address),
}

/// `None` for a message of another kind.
pub(super) fn notice(kind: u16, body: &[u8]) -> Option<Notice> {
    match kind {
        RTM_NEWADDR => decode(body).map(Notice::Added),
        RTM_DELADDR => decode(body).map(Notice::Removed),
        _ => None,
    }
}

/// The request that adds an address.
pub(super) fn add_request(address: &Address) -> Request {
    let mut request = Request::new(RTM_NEWADDR, &address.header());
    request = with_address(request, IFA_LOCAL, address.address);
    if let Some(peer) = address.peer {
        request = with_address(request, IFA_ADDRESS, peer);
    }
    if let Some(broadcast) = address.broadcast {
        request = request.attribute(IFA_BROADCAST, &broadcast.octets());
    }
    if let Some(label) = &address.label {
        let mut text = label.clone().into_bytes();
        text.push(0);
        request = request.attribute(IFA_LABEL, &text);
    }
    if address.flags != 0 {
        request = request.attribute(IFA_FLAGS, &address.flags.to_ne_bytes());
    }
    if let Some(preferred) = address.preferred_lifetime {
        // struct ifa_cacheinfo: preferred, valid (forever), two time stamps that only the kernel fills in.
        let mut lifetimes = [0; 16];
        lifetimes[..4].copy_from_slice(&preferred.to_ne_bytes());
        lifetimes[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        request = request.attribute(IFA_CACHEINFO, &lifetimes);
    }
    if address.protocol != 0 {
        request = request.attribute(IFA_PROTO, &[address.protocol]);
    }
    request
}

/// The request that removes it.
pub(super) fn remove_request(address: &Address) -> Request {
    let request = Request::new(RTM_DELADDR, &address.header());
    let request = with_address(request, IFA_LOCAL, address.address);
    with_address(request, IFA_ADDRESS, address.peer.unwrap_or(address.address))
}

fn with_address(request: Request, kind: u16, address: IpAddr) -> Request {
    match address {
        IpAddr::V4(address) => request.attribute(kind, &address.octets()),
        IpAddr::V6(address) => request.attribute(kind, &address.octets()),
    }
}

fn family(address: IpAddr) -> u8 {
    // AF_INET and AF_INET6.
    if address.is_ipv4() { 2 } else { 10 }
}

fn decode(body: &[u8]) -> Option<Address> {
    let [_, prefix, flags, scope, i0, i1, i2, i3] = *body.first_chunk::<HEADER>()?;
    let (mut local, mut remote) = (None, None);
    let mut found = Address {
        index: u32::from_ne_bytes([i0, i1, i2, i3]),
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        prefix,
        scope,
        broadcast: None,
        label: None,
        peer: None,
        flags: u32::from(flags),
        preferred_lifetime: None,
        protocol: 0,
    };
    for (kind, value) in attributes(body.get(HEADER..)?) {
        match kind {
            IFA_LOCAL => local = ip(value),
            IFA_ADDRESS => remote = ip(value),
            IFA_LABEL => found.label = Some(string(value)),
            IFA_BROADCAST => {
                found.broadcast = value.try_into().ok().map(|octets: [u8; 4]| octets.into());
            }
            IFA_FLAGS => found.flags = number(value).unwrap_or(found.flags),
            IFA_CACHEINFO => found.preferred_lifetime = value.get(..4).and_then(number),
            IFA_PROTO => found.protocol = value.first().copied().unwrap_or(0),
            _ => {}
        }
    }
    // IPv6 without a peer has no IFA_LOCAL.
    found.address = local.or(remote)?;
    found.peer = remote.filter(|remote| *remote != found.address);
    Some(found)
}

fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(value).ok().map(|octets| Ipv6Addr::from(octets).into())
}

#[cfg(test)]
mod tests {
    use neli::consts::socket::NlFamily;
    use nix::errno::Errno;

    use super::*;
    use crate::kernel::netlink::{Answer, messages};
    use crate::kernel::testing::{in_namespace, ip_json, run};

    fn address(text: &str, prefix: u8, index: u32) -> Address {
        Address {
            index,
            address: text.parse().unwrap(),
            prefix,
            scope: 0,
            broadcast: None,
            label: None,
            peer: None,
            flags: 0,
            preferred_lifetime: None,
            protocol: PROTOCOL_KEEPALIVED,
        }
    }

    #[test]
    fn an_add_asks_for_nothing_but_an_acknowledgement() {
        let bytes = add_request(&address("10.0.0.1", 24, 7)).bytes(5);
        let message = messages(&bytes).next().unwrap();
        assert_eq!((message.kind, message.flags, message.sequence), (RTM_NEWADDR, 5, 5));
        assert_eq!(message.body[..4], [2, 24, 0, 0]);
        let attributes: Vec<_> = attributes(&message.body[8..]).collect();
        assert_eq!(attributes, [(IFA_LOCAL, [10, 0, 0, 1].as_slice()), (IFA_PROTO, [18].as_slice())]);
    }

    #[test]
    fn a_removal_names_local_and_peer() {
        let mut far = address("10.0.0.1", 32, 7);
        far.peer = Some("10.0.0.2".parse().unwrap());
        let bytes = remove_request(&far).bytes(1);
        let message = messages(&bytes).next().unwrap();
        let attributes: Vec<_> = attributes(&message.body[8..]).collect();
        assert_eq!(
            attributes,
            [(IFA_LOCAL, [10, 0, 0, 1].as_slice()), (IFA_ADDRESS, [10, 0, 0, 2].as_slice())]
        );
    }

    #[test]
    fn addresses_are_added_read_back_by_ip_and_removed() {
        in_namespace(|| {
            run("ip link add d0 type veth peer name d1");
            run("ip link set d0 up");
            let mut netlink = Connection::open(NlFamily::Route).unwrap();
            let index = nix::net::if_::if_nametoindex("d0").unwrap();
            let mut first = address("10.0.0.1", 24, index);
            first.broadcast = Some([10, 0, 0, 255].into());
            first.label = Some("d0:vip".into());
            first.scope = 253;
            let mut second = address("10.0.1.1", 32, index);
            second.peer = Some("10.0.1.2".parse().unwrap());
            let mut third = address("2001:db8::1", 128, index);
            third.flags = 0x02;
            third.preferred_lifetime = Some(0);
            let all = [first, second, third];
            let add: Vec<_> = all.iter().map(add_request).collect();
            assert_eq!(netlink.execute(&add).unwrap(), [Answer::Done, Answer::Done, Answer::Done]);
            let errno = |answers: Vec<Answer>| match &answers[..] {
                [Answer::Refused(refusal)] => refusal.errno,
                other => panic!("{other:?}"),
            };
            assert_eq!(errno(netlink.execute(&add[..1]).unwrap()), Errno::EEXIST);

            let seen = ip_json("ip -j addr show dev d0");
            let seen = seen[0]["addr_info"].as_array().unwrap().clone();
            let find = |local: &str| seen.iter().find(|a| a["local"] == local).unwrap();
            assert_eq!(find("10.0.0.1")["prefixlen"], 24);
            assert_eq!(find("10.0.0.1")["broadcast"], "10.0.0.255");
            assert_eq!(find("10.0.0.1")["label"], "d0:vip");
            assert_eq!(find("10.0.0.1")["scope"], "link");
            assert_eq!(find("10.0.1.1")["address"], "10.0.1.2");
            assert_eq!(find("2001:db8::1")["deprecated"], true);
            assert_eq!(find("2001:db8::1")["preferred_life_time"], 0);

            let dumped = dump(&mut netlink).unwrap();
            for ours in &all {
                let theirs = dumped.iter().find(|other| other.same_object(ours)).unwrap();
                assert_eq!(theirs.protocol, PROTOCOL_KEEPALIVED, "{theirs}");
            }

            let remove: Vec<_> = all.iter().map(remove_request).collect();
            assert_eq!(netlink.execute(&remove).unwrap(), [Answer::Done, Answer::Done, Answer::Done]);
            for index in [0, 2] {
                let again = netlink.execute(&remove[index..=index]).unwrap();
                assert_eq!(errno(again), Errno::EADDRNOTAVAIL);
            }
            let left = dump(&mut netlink).unwrap();
            assert!(!left.iter().any(|a| all.iter().any(|o| o.same_object(a))), "{left:?}");
        });
    }

    #[test]
    fn a_batch_of_three_hundred_goes_on_after_failures_and_tells_each_one() {
        in_namespace(|| {
            let mut netlink = Connection::open(NlFamily::Route).unwrap();
            let changes: Vec<_> = (0..300u32)
                .map(|n| {
                    let host = 0x0a00_0001 + n;
                    // Every seventh is for an interface that does not exist.
                    let index = if n % 7 == 0 { 4_000_000 } else { 1 };
                    add_request(&address(&Ipv4Addr::from(host).to_string(), 32, index))
                })
                .collect();
            let answers = netlink.execute(&changes).unwrap();
            for (n, answer) in answers.iter().enumerate() {
                match answer {
                    Answer::Refused(refusal) => {
                        assert_eq!((n % 7, refusal.errno), (0, Errno::ENODEV));
                    }
                    Answer::Done => assert_ne!(n % 7, 0),
                    Answer::Lost => panic!("the answer to {n} was lost"),
                }
            }
            let there = dump(&mut netlink).unwrap().into_iter().filter(|a| a.prefix == 32).count();
            assert_eq!(there, 300 - 43);
        });
    }

    #[test]
    fn any_bytes_decode_without_panic() {
        proptest::proptest!(|(bytes: Vec<u8>, kind: u16)| {
            let _ = notice(kind % 32, &bytes);
            for message in messages(&bytes) {
                let _ = notice(message.kind, message.body);
            }
        });
    }
}
