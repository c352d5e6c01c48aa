//! The rules of our nftables tables, as lists of expressions: stock's (spec/vrrp-behaviour.md §10).

use super::netlink::Request;
use super::nftables::c_string;
use crate::config::model::Family;

/// `NF_INET_LOCAL_IN`.
pub(super) const LOCAL_IN: u32 = 1;
/// `NF_INET_LOCAL_OUT`.
pub(super) const LOCAL_OUT: u32 = 3;

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;

const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
const META_MARK: u32 = 3;
const META_IIF: u32 = 4;
const META_OIF: u32 = 5;
const META_L4PROTO: u32 = 16;
const META_OIFKIND: u32 = 27;

const IPPROTO_IGMP: u8 = 2;
const IPPROTO_ICMPV6: u8 = 58;
const MLD2_LISTENER_REPORT: u8 = 143;
const ND_ROUTER_SOLICIT: u8 = 133;
const ND_NEIGHBOR_ADVERT: u8 = 136;

const NF_DROP: i32 = 0;
const NF_ACCEPT: i32 = 1;
const NFT_GOTO: i32 = -4;
const NFT_RETURN: i32 = -5;
/// The second of the registers of four bytes: behind an IPv4 address in register 1.
const SECOND_WORD: u32 = 9;

/// Which address of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
}

impl Side {
    fn v4(self) -> u32 {
        match self {
            Self::Source => 12,
            Self::Destination => 16,
        }
    }

    fn v6(self) -> u32 {
        match self {
            Self::Source => 8,
            Self::Destination => 24,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    /// Bytes of the packet into a register.
    Payload {
        register: u32,
        base: u32,
        offset: u32,
        length: u32,
    },
    Meta {
        register: u32,
        key: u32,
    },
    /// Sets something of the packet.
    SetMeta {
        register: u32,
        key: u32,
    },
    Equal {
        register: u32,
        value: Vec<u8>,
    },
    /// The first ten bits of an IPv6 address.
    TenBits {
        register: u32,
    },
    /// Is it in the set; of a map, what belongs to it.
    Lookup {
        set: &'static str,
        register: u32,
        into: Option<u32>,
    },
    /// Sends a copy there.
    Duplicate {
        address: u32,
        device: u32,
    },
    Counter,
    Verdict {
        code: i32,
        chain: Option<&'static str>,
    },
}

/// A rule: its expressions in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule(Vec<Expression>);

impl Rule {
    /// Appends the list of expressions.
    pub(super) fn write(&self, mut to: Request) -> Request {
        for expression in &self.0 {
            to = to.nest(NFTA_LIST_ELEM, |inside| expression.write(inside));
        }
        to
    }
}

impl Expression {
    fn write(&self, to: Request) -> Request {
        to.attribute(NFTA_EXPR_NAME, &c_string(self.name()))
            .nest(NFTA_EXPR_DATA, |inside| self.write_data(inside))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Payload { .. } => "payload",
            Self::Meta { .. } | Self::SetMeta { .. } => "meta",
            Self::Equal { .. } => "cmp",
            Self::TenBits { .. } => "bitwise",
            Self::Lookup { .. } => "lookup",
            Self::Duplicate { .. } => "dup",
            Self::Counter => "counter",
            Self::Verdict { .. } => "immediate",
        }
    }

    /// The attributes of each kind count from 1, in the order of `linux/netfilter/nf_tables.h`.
    fn write_data(&self, to: Request) -> Request {
        let numbers = |to: Request, values: &[u32]| {
            values.iter().zip(1..).fold(to, |to, (value, kind)| to.attribute(kind, &value.to_be_bytes()))
        };
        let value = |to: Request, kind: u16, bytes: &[u8]| {
            to.nest(kind, |data| data.attribute(NFTA_DATA_VALUE, bytes))
        };
        match self {
            Self::Payload { register, base, offset, length } => {
                numbers(to, &[*register, *base, *offset, *length])
            }
            Self::Meta { register, key } => numbers(to, &[*register, *key]),
            Self::SetMeta { register, key } => {
                to.attribute(2, &key.to_be_bytes()).attribute(3, &register.to_be_bytes())
            }
            // The operation 0 is "equal".
            Self::Equal { register, value: bytes } => value(numbers(to, &[*register, 0]), 3, bytes),
            Self::TenBits { register } => {
                let mut mask = [0; 16];
                mask[..2].copy_from_slice(&[0xff, 0xc0]);
                let to = numbers(to, &[*register, *register, 16]);
                value(value(to, 4, &mask), 5, &[0; 16])
            }
            Self::Lookup { set, register, into } => {
                let to = to.attribute(1, &c_string(set)).attribute(2, &register.to_be_bytes());
                match into {
                    Some(into) => to.attribute(3, &into.to_be_bytes()),
                    None => to,
                }
            }
            Self::Duplicate { address, device } => numbers(to, &[*address, *device]),
            Self::Counter => to.attribute(1, &0_u64.to_be_bytes()).attribute(2, &0_u64.to_be_bytes()),
            // Register 0 is the verdict's.
            Self::Verdict { code, chain } => numbers(to, &[0]).nest(2, |data| {
                data.nest(NFTA_DATA_VERDICT, |verdict| {
                    let verdict = verdict.attribute(NFTA_VERDICT_CODE, &code.to_be_bytes());
                    match chain {
                        Some(chain) => verdict.attribute(NFTA_VERDICT_CHAIN, &c_string(chain)),
                        None => verdict,
                    }
                })
            }),
        }
    }
}

fn rule(matches: Vec<Expression>, counters: bool, code: i32, chain: Option<&'static str>) -> Rule {
    let mut all = matches;
    if counters {
        all.push(Expression::Counter);
    }
    all.push(Expression::Verdict { code, chain });
    Rule(all)
}

fn payload(register: u32, base: u32, offset: u32, length: u32) -> Expression {
    Expression::Payload { register, base, offset, length }
}

fn meta(register: u32, key: u32) -> Expression {
    Expression::Meta { register, key }
}

fn equal(register: u32, value: &[u8]) -> Expression {
    Expression::Equal { register, value: value.to_vec() }
}

fn lookup(register: u32, set: &'static str, into: Option<u32>) -> Expression {
    Expression::Lookup { set, register, into }
}

/// The packet leaves by a macvlan.
fn by_macvlan() -> [Expression; 2] {
    [meta(2, META_OIFKIND), equal(2, b"macvlan\0\0\0\0\0\0\0\0\0")]
}

/// ICMPv6 of one type.
fn icmpv6(kind: u8) -> [Expression; 4] {
    [meta(1, META_L4PROTO), equal(1, &[IPPROTO_ICMPV6]), payload(1, TRANSPORT, 0, 1), equal(1, &[kind])]
}

/// `ip protocol igmp meta oifkind "macvlan" dup to ip daddr device oif map @vmac_map drop`
pub(super) fn igmp_to_base(counters: bool) -> Rule {
    let mut all = vec![payload(1, NETWORK, 9, 1), equal(1, &[IPPROTO_IGMP]), payload(1, NETWORK, 16, 4)];
    all.extend(by_macvlan());
    all.extend([meta(2, META_OIF), lookup(2, "vmac_map", Some(2))]);
    all.push(Expression::Duplicate { address: 1, device: 2 });
    rule(all, counters, NF_DROP, None)
}

/// `icmpv6 type mld2-listener-report meta oifkind "macvlan" dup to ip6 daddr device oif map @vmac_map drop`
pub(super) fn mld_to_base(counters: bool) -> Rule {
    let mut all = Vec::from(icmpv6(MLD2_LISTENER_REPORT));
    all.push(payload(1, NETWORK, 24, 16));
    all.extend(by_macvlan());
    all.extend([meta(2, META_OIF), lookup(2, "vmac_map", Some(2))]);
    all.push(Expression::Duplicate { address: 1, device: 2 });
    rule(all, counters, NF_DROP, None)
}

/// `icmpv6 type nd-router-solicit meta oifkind "macvlan" oif @vmac_set drop`
pub(super) fn no_router_solicitation(counters: bool) -> Rule {
    let mut all = Vec::from(icmpv6(ND_ROUTER_SOLICIT));
    all.extend(by_macvlan());
    all.extend([meta(2, META_OIF), lookup(2, "vmac_set", None)]);
    rule(all, counters, NF_DROP, None)
}

/// A neighbour advertisement for the link-local address that a VMAC has in common with the interface below would lead
/// its traffic to the virtual MAC.
pub(super) fn no_shared_advertisement(counters: bool) -> Rule {
    let mut all = Vec::from(icmpv6(ND_NEIGHBOR_ADVERT));
    all.extend([payload(1, TRANSPORT, 8, 16), meta(2, META_OIF), lookup(1, "vmac_link_local", None)]);
    rule(all, counters, NF_DROP, None)
}

/// `ip saddr @vips drop`, `ip daddr @vips drop`
pub(super) fn drop_v4(side: Side, counters: bool) -> Rule {
    rule(vec![payload(1, NETWORK, side.v4(), 4), lookup(1, "vips", None)], counters, NF_DROP, None)
}

/// `ip6 saddr @vips drop`, `ip6 daddr @vips drop`
pub(super) fn drop_v6(side: Side, counters: bool) -> Rule {
    rule(vec![payload(1, NETWORK, side.v6(), 16), lookup(1, "vips", None)], counters, NF_DROP, None)
}

/// `icmpv6 type @neighbor-discovery accept`
pub(super) fn accept_neighbour_discovery(counters: bool) -> Rule {
    let all = vec![
        payload(1, NETWORK, 6, 1),
        equal(1, &[IPPROTO_ICMPV6]),
        payload(1, TRANSPORT, 0, 1),
        lookup(1, "neighbor-discovery", None),
    ];
    rule(all, counters, NF_ACCEPT, None)
}

/// `ip6 saddr fe80::/10 goto out_link_local`, `ip6 daddr fe80::/10 goto in_link_local`
pub(super) fn link_local_goes_to(side: Side, chain: &'static str, counters: bool) -> Rule {
    let mut prefix = [0; 16];
    prefix[..2].copy_from_slice(&[0xfe, 0x80]);
    let all =
        vec![payload(1, NETWORK, side.v6(), 16), Expression::TenBits { register: 1 }, equal(1, &prefix)];
    rule(all, counters, NFT_GOTO, Some(chain))
}

/// `ip6 saddr . oif @vips_link_local drop`, `ip6 daddr . iif @vips_link_local drop`
pub(super) fn drop_link_local(side: Side, counters: bool) -> Rule {
    let key = match side {
        Side::Source => META_OIF,
        Side::Destination => META_IIF,
    };
    let all = vec![payload(1, NETWORK, side.v6(), 16), meta(2, key), lookup(1, "vips_link_local", None)];
    rule(all, counters, NF_DROP, None)
}

/// `meta mark set ip daddr . tcp dport map @tcp_map counter return`, and the same of IPv6.
pub(super) fn mark_by_map(family: Family, protocol: u8, map: &'static str) -> Rule {
    let (address, port) = match family {
        Family::V4 => (payload(1, NETWORK, Side::Destination.v4(), 4), SECOND_WORD),
        Family::V6 => (payload(1, NETWORK, Side::Destination.v6(), 16), 2),
    };
    let all = vec![
        meta(1, META_L4PROTO),
        equal(1, &[protocol]),
        address,
        payload(port, TRANSPORT, 2, 2),
        lookup(1, map, Some(1)),
        Expression::SetMeta { register: 1, key: META_MARK },
    ];
    rule(all, true, NFT_RETURN, None)
}
