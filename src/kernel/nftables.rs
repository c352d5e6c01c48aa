//! Our nftables tables: `ip` and `ip6`, of one name (spec/vrrp-behaviour.md §10). The objects are stock's to the expression.
//!
//! A change of structure is one transaction that replaces both tables; so it is the same at start, after a crash and
//! when somebody else has removed a part. A change of elements alone touches only those. What should be there is the
//! core's business.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use neli::consts::socket::NlFamily;
use neli::utils::Groups;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::error::Error;
use super::netlink::{Connection, Request, attributes, messages, open_socket, string};
use super::nftables_rule::{self as rule, Rule};
use super::readiness::Steady;
use crate::vrrp::{Ruleset, TableV4, TableV6};

pub(super) const NFNL_SUBSYS_NFTABLES: u8 = 10;
pub(super) const NFT_MSG_NEWTABLE: u8 = 0;
const NFT_MSG_DELTABLE: u8 = 2;
pub(super) const NFT_MSG_NEWCHAIN: u8 = 3;
pub(super) const NFT_MSG_NEWRULE: u8 = 6;
pub(super) const NFT_MSG_NEWSET: u8 = 9;
pub(super) const NFT_MSG_NEWSETELEM: u8 = 12;
const NFT_MSG_DELSETELEM: u8 = 14;
const NFT_MSG_NEWGEN: u8 = 15;
const NFNLGRP_NFTABLES: u32 = 7;

pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;
/// The name is the first attribute of tables, and the table's name that of everything in it.
const NFTA_TABLE: u16 = 1;
pub(super) const NFTA_CHAIN_NAME: u16 = 3;
pub(super) const NFTA_CHAIN_HOOK: u16 = 4;
pub(super) const NFTA_CHAIN_POLICY: u16 = 5;
pub(super) const NFTA_CHAIN_TYPE: u16 = 7;
pub(super) const NFTA_HOOK_HOOKNUM: u16 = 1;
pub(super) const NFTA_HOOK_PRIORITY: u16 = 2;
pub(super) const NF_ACCEPT: u32 = 1;
pub(super) const NFTA_RULE_CHAIN: u16 = 2;
pub(super) const NFTA_RULE_EXPRESSIONS: u16 = 4;
pub(super) const NFTA_SET_NAME: u16 = 2;
pub(super) const NFTA_SET_FLAGS: u16 = 3;
pub(super) const NFTA_SET_KEY_TYPE: u16 = 4;
pub(super) const NFTA_SET_KEY_LEN: u16 = 5;
pub(super) const NFTA_SET_DATA_TYPE: u16 = 6;
pub(super) const NFTA_SET_DATA_LEN: u16 = 7;
pub(super) const NFTA_SET_ID: u16 = 10;
pub(super) const NFTA_SET_USERDATA: u16 = 13;
/// `BYTEORDER_HOST_ENDIAN` of nft(8).
const HOST_ENDIAN: u32 = 1;
const NFT_SET_CONSTANT: u32 = 2;
pub(super) const NFT_SET_MAP: u32 = 8;
pub(super) const NFTA_SET_ELEM_LIST_SET: u16 = 2;
pub(super) const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
pub(super) const NFTA_SET_ELEM_KEY: u16 = 1;
pub(super) const NFTA_SET_ELEM_DATA: u16 = 2;
pub(super) const NFTA_LIST_ELEM: u16 = 1;
pub(super) const NFTA_DATA_VALUE: u16 = 1;
const NFTA_GEN_PROC_NAME: u16 = 3;
pub(super) const NLM_F_CREATE: u16 = 0x400;
pub(super) const NLM_F_APPEND: u16 = 0x800;

/// Type numbers of nft(8), by which it knows how to print a set.
/// Of a number in the host's order, as interface indices.
pub(super) const MARK: u32 = 19;
pub(super) const IPV4_ADDR: u32 = 7;
pub(super) const IPV6_ADDR: u32 = 8;
const IFACE_INDEX: u32 = 20;
const ICMPV6_TYPE: u32 = 29;
/// Two types in one: each has six bits.
const IPV6_ADDR_AND_IFACE: u32 = (IPV6_ADDR << 6) | IFACE_INDEX;
/// `nd-neighbor-solicit`, `nd-neighbor-advert`.
const NEIGHBOUR_DISCOVERY: [u8; 2] = [135, 136];

/// Elements in one message: their list is an attribute, and that is below 64 KiB.
pub(super) const ELEMENTS: usize = 1000;

/// A set or map with its elements, as the kernel keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Set {
    family: u8,
    name: &'static str,
    key: (u32, u32),
    data: Option<(u32, u32)>,
    flags: u32,
    /// Key and data of each.
    elements: BTreeSet<(Vec<u8>, Vec<u8>)>,
}

/// A chain with its rules.
struct Chain {
    family: u8,
    name: &'static str,
    /// The hook of a base chain.
    hook: Option<u32>,
    rules: Vec<Rule>,
}

/// Everything of both tables.
struct Contents {
    sets: Vec<Set>,
    chains: Vec<Chain>,
}

/// The connection, and what was applied last.
pub struct Nftables {
    connection: Connection,
    applied: Option<Ruleset>,
}

impl Nftables {
    /// Opens the connection.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { connection: Connection::open(NlFamily::Netfilter)?, applied: None })
    }

    /// The port that notifications of our own changes carry.
    pub fn port(&self) -> Result<u32, Error> {
        self.connection.port()
    }

    /// Would this take anything away from what was applied?
    pub fn is_smaller(&self, wanted: Option<&Ruleset>) -> bool {
        let (Some(before), Some(after)) = (&self.applied, wanted) else { return self.applied.is_some() };
        let (before, after) = (contents(before), contents(after));
        before.sets.iter().any(|old| {
            let new = after.sets.iter().find(|new| (new.family, new.name) == (old.family, old.name));
            new.is_none_or(|new| !old.elements.is_subset(&new.elements))
        })
    }

    /// Makes it so. `trust` says that what was applied is still there.
    pub fn apply(&mut self, wanted: Option<&Ruleset>, trust: Trust) -> Result<(), Error> {
        let result = match (&self.applied, wanted) {
            (Some(before), Some(after)) if trust == Trust::Applied && has_same_objects(before, after) => {
                let changes = element_changes(before, after);
                self.transact(&changes, "changing sets of nftables table", &after.table.clone())
            }
            (before, Some(after)) => {
                let stale = before.as_ref().map(|before| before.table.clone());
                let stale = stale.filter(|table| *table != after.table);
                let mut requests: Vec<Request> = stale.iter().flat_map(|table| removal(table)).collect();
                requests.extend(removal(&after.table));
                requests.extend(creation(after));
                self.transact(&requests, "writing nftables table", &after.table.clone())
            }
            (Some(before), None) => {
                let table = before.table.clone();
                self.transact(&removal(&table), "removing nftables table", &table)
            }
            (None, None) => Ok(()),
        };
        self.applied = if result.is_ok() { wanted.cloned() } else { None };
        result
    }

    fn transact(&mut self, requests: &[Request], doing: &str, table: &str) -> Result<(), Error> {
        if requests.is_empty() {
            return Ok(());
        }
        self.connection
            .transact(NFNL_SUBSYS_NFTABLES, requests)
            .map_err(|refusal| refusal.doing(format!("{doing} {table}")))
    }
}

/// Is what was applied still there?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Nobody else has touched it.
    Applied,
    /// Write all of it again.
    Nothing,
}

/// What another process did to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// Its name, if the kernel told it.
    pub by: Option<String>,
}

/// Hears of changes of nftables.
pub struct NftablesMonitor(OwnedFd);

impl NftablesMonitor {
    /// Starts to listen.
    pub fn open() -> Result<Self, Error> {
        let socket = open_socket(NlFamily::Netfilter, Groups::new_groups(&[NFNLGRP_NFTABLES]), 1 << 18)?;
        // SAFETY: `into_raw_fd` gave up the only owner of an open descriptor.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(socket.into_raw_fd()) }))
    }

    /// What is there to be read about `table`: the last change by another port, if there was one. News that were lost
    /// count as a change.
    pub fn touched(&self, table: &str, own_port: u32, buffer: &mut [u8]) -> Option<Touch> {
        let mut touch = None;
        let mut by = None;
        for _ in 0..64 {
            match recv(self.0.as_raw_fd(), buffer, MsgFlags::empty()) {
                Ok(length) => {
                    for message in messages(&buffer[..length.min(buffer.len())]) {
                        match concerns(message.kind, message.body, table) {
                            Concern::Table if message.port != own_port => touch = Some(Touch { by: None }),
                            Concern::Process(name) if message.port != own_port => by = Some(name),
                            _ => {}
                        }
                    }
                }
                Err(Errno::ENOBUFS) => touch = Some(Touch { by: None }),
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        touch.map(|_| Touch { by })
    }
}

// SAFETY: the socket is opened in `open`, never replaced, and closed on drop.
unsafe impl Steady for NftablesMonitor {}

impl AsFd for NftablesMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

enum Concern {
    Table,
    Process(String),
    Nothing,
}

fn concerns(kind: u16, body: &[u8], table: &str) -> Concern {
    let [message, subsystem] = kind.to_le_bytes();
    if subsystem != NFNL_SUBSYS_NFTABLES {
        return Concern::Nothing;
    }
    let Some(rest) = body.get(4..) else { return Concern::Nothing };
    let find =
        |wanted: u16| attributes(rest).find(|(kind, _)| *kind == wanted).map(|(_, value)| string(value));
    if message == NFT_MSG_NEWGEN {
        return find(NFTA_GEN_PROC_NAME).map_or(Concern::Nothing, Concern::Process);
    }
    if find(NFTA_TABLE).as_deref() == Some(table) { Concern::Table } else { Concern::Nothing }
}

fn contents(set: &Ruleset) -> Contents {
    let mut all = Contents { sets: Vec::new(), chains: Vec::new() };
    contents_v4(&set.v4, set.counters, &mut all);
    contents_v6(&set.v6, set.counters, &mut all);
    all
}

fn contents_v4(table: &TableV4, counters: bool, all: &mut Contents) {
    if table.is_empty() {
        return;
    }
    let mut out = Chain { family: AF_INET, name: "out", hook: Some(rule::LOCAL_OUT), rules: Vec::new() };
    let mut into = Chain { family: AF_INET, name: "in", hook: Some(rule::LOCAL_IN), rules: Vec::new() };
    if !table.vmacs.is_empty() {
        all.sets.push(vmac_map(AF_INET, &table.vmacs));
        out.rules.push(rule::igmp_to_base(counters));
    }
    if let Some(vips) = &table.vips {
        let key = |vip: &std::net::Ipv4Addr| (vip.octets().to_vec(), Vec::new());
        let elements = vips.iter().map(key).collect();
        all.sets.push(set(AF_INET, "vips", (IPV4_ADDR, 4), elements));
        out.rules.push(rule::drop_v4(rule::Side::Source, counters));
        into.rules.push(rule::drop_v4(rule::Side::Destination, counters));
    }
    let is_shielding = table.vips.is_some();
    all.chains.push(out);
    if is_shielding {
        all.chains.push(into);
    }
}

fn contents_v6(table: &TableV6, counters: bool, all: &mut Contents) {
    if table.is_empty() {
        return;
    }
    let chain = |name, hook| Chain { family: AF_INET6, name, hook, rules: Vec::new() };
    let (mut out, mut into) = (chain("out", Some(rule::LOCAL_OUT)), chain("in", Some(rule::LOCAL_IN)));
    let (mut out_local, mut in_local) = (chain("out_link_local", None), chain("in_link_local", None));
    let place = |(address, index): &(std::net::Ipv6Addr, u32)| {
        let mut key = address.octets().to_vec();
        key.extend(index.to_ne_bytes());
        (key, Vec::new())
    };
    if !table.vmacs.is_empty() {
        all.sets.push(vmac_map(AF_INET6, &table.vmacs));
        let indices = table.vmacs.iter().map(|(own, _)| (own.to_ne_bytes().to_vec(), Vec::new())).collect();
        all.sets.push(set(AF_INET6, "vmac_set", (IFACE_INDEX, 4), indices));
        out.rules.push(rule::mld_to_base(counters));
        out.rules.push(rule::no_router_solicitation(counters));
    }
    if !table.shared.is_empty() {
        let elements = table.shared.iter().map(place).collect();
        all.sets.push(set(AF_INET6, "vmac_link_local", (IPV6_ADDR_AND_IFACE, 20), elements));
        out.rules.push(rule::no_shared_advertisement(counters));
    }
    let is_shielding = table.vips.is_some();
    if let Some(vips) = &table.vips {
        let key = |vip: &std::net::Ipv6Addr| (vip.octets().to_vec(), Vec::new());
        all.sets.push(set(AF_INET6, "vips", (IPV6_ADDR, 16), vips.iter().map(key).collect()));
        let kinds = NEIGHBOUR_DISCOVERY.iter().map(|kind| (vec![*kind], Vec::new())).collect();
        let mut discovery = set(AF_INET6, "neighbor-discovery", (ICMPV6_TYPE, 1), kinds);
        discovery.flags = NFT_SET_CONSTANT;
        all.sets.push(discovery);
        for (chain, side, local) in [
            (&mut out, rule::Side::Source, "out_link_local"),
            (&mut into, rule::Side::Destination, "in_link_local"),
        ] {
            chain.rules.push(rule::accept_neighbour_discovery(counters));
            chain.rules.push(rule::link_local_goes_to(side, local, counters));
            chain.rules.push(rule::drop_v6(side, counters));
        }
    }
    if let Some(places) = table.link_local.as_ref().filter(|_| is_shielding) {
        let elements = places.iter().map(place).collect();
        all.sets.push(set(AF_INET6, "vips_link_local", (IPV6_ADDR_AND_IFACE, 20), elements));
        in_local.rules.push(rule::drop_link_local(rule::Side::Destination, counters));
        out_local.rules.push(rule::drop_link_local(rule::Side::Source, counters));
    }
    if is_shielding {
        all.chains.extend([out, into, in_local, out_local]);
    } else {
        all.chains.push(out);
    }
}

fn set(family: u8, name: &'static str, key: (u32, u32), elements: BTreeSet<(Vec<u8>, Vec<u8>)>) -> Set {
    Set { family, name, key, data: None, flags: 0, elements }
}

fn vmac_map(family: u8, vmacs: &BTreeSet<(u32, u32)>) -> Set {
    let element = |(own, base): &(u32, u32)| (own.to_ne_bytes().to_vec(), base.to_ne_bytes().to_vec());
    let elements = vmacs.iter().map(element).collect();
    let map = set(family, "vmac_map", (IFACE_INDEX, 4), elements);
    Set { data: Some((IFACE_INDEX, 4)), flags: NFT_SET_MAP, ..map }
}

/// Do they differ in elements only?
fn has_same_objects(before: &Ruleset, after: &Ruleset) -> bool {
    let shape = |set: &Ruleset| {
        let has = |vmacs: &BTreeSet<(u32, u32)>| !vmacs.is_empty();
        (
            set.table.clone(),
            set.priority,
            set.counters,
            (has(&set.v4.vmacs), set.v4.vips.is_some()),
            (
                has(&set.v6.vmacs),
                set.v6.vips.is_some(),
                set.v6.link_local.is_some(),
                set.v6.shared.is_empty(),
            ),
        )
    };
    shape(before) == shape(after)
}

fn element_changes(before: &Ruleset, after: &Ruleset) -> Vec<Request> {
    let (old, new) = (contents(before), contents(after));
    let mut requests = Vec::new();
    for (old, new) in old.sets.iter().zip(&new.sets) {
        let gone: Vec<_> = old.elements.difference(&new.elements).collect();
        let come: Vec<_> = new.elements.difference(&old.elements).collect();
        requests.extend(element_requests(NFT_MSG_DELSETELEM, &after.table, new, &gone));
        requests.extend(element_requests(NFT_MSG_NEWSETELEM, &after.table, new, &come));
    }
    requests
}

/// Empties and removes both tables, whether they are there or not.
pub(super) fn removal(table: &str) -> Vec<Request> {
    [AF_INET, AF_INET6]
        .into_iter()
        .flat_map(|family| {
            // To remove what is not there is an error; to make what is there is none.
            let make = message(NFT_MSG_NEWTABLE, NLM_F_CREATE, family, table);
            [make, message(NFT_MSG_DELTABLE, 0, family, table)]
        })
        .collect()
}

fn creation(wanted: &Ruleset) -> Vec<Request> {
    let table = &wanted.table;
    let all = contents(wanted);
    let mut requests = Vec::new();
    for family in [AF_INET, AF_INET6] {
        if all.chains.iter().any(|chain| chain.family == family) {
            requests.push(message(NFT_MSG_NEWTABLE, NLM_F_CREATE, family, table));
        }
    }
    // Chains before rules: some go to another chain.
    for (set, id) in all.sets.iter().zip(1_u32..) {
        requests.push(set_request(table, set, id));
        let elements: Vec<_> = set.elements.iter().collect();
        requests.extend(element_requests(NFT_MSG_NEWSETELEM, table, set, &elements));
    }
    for chain in &all.chains {
        let mut request = message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, chain.family, table)
            .attribute(NFTA_CHAIN_NAME, &c_string(chain.name));
        if let Some(hook) = chain.hook {
            request = request
                .nest(NFTA_CHAIN_HOOK, |inside| {
                    inside
                        .attribute(NFTA_HOOK_HOOKNUM, &hook.to_be_bytes())
                        .attribute(NFTA_HOOK_PRIORITY, &wanted.priority.to_be_bytes())
                })
                .attribute(NFTA_CHAIN_POLICY, &NF_ACCEPT.to_be_bytes())
                .attribute(NFTA_CHAIN_TYPE, b"filter\0");
        }
        requests.push(request);
    }
    for chain in &all.chains {
        for rule in &chain.rules {
            let request = message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, chain.family, table)
                .attribute(NFTA_RULE_CHAIN, &c_string(chain.name))
                .nest(NFTA_RULE_EXPRESSIONS, |inside| rule.write(inside));
            requests.push(request);
        }
    }
    requests
}

fn set_request(table: &str, set: &Set, id: u32) -> Request {
    let mut request = message(NFT_MSG_NEWSET, NLM_F_CREATE, set.family, table)
        .attribute(NFTA_SET_NAME, &c_string(set.name))
        .attribute(NFTA_SET_FLAGS, &set.flags.to_be_bytes())
        .attribute(NFTA_SET_KEY_TYPE, &set.key.0.to_be_bytes())
        .attribute(NFTA_SET_KEY_LEN, &set.key.1.to_be_bytes())
        .attribute(NFTA_SET_ID, &id.to_be_bytes());
    let mut notes = byte_order(0, set.key.0);
    if let Some((kind, length)) = set.data {
        notes.extend(byte_order(1, kind));
        request = request
            .attribute(NFTA_SET_DATA_TYPE, &kind.to_be_bytes())
            .attribute(NFTA_SET_DATA_LEN, &length.to_be_bytes());
    }
    if notes.is_empty() { request } else { request.attribute(NFTA_SET_USERDATA, &notes) }
}

/// What nft(8) notes about numbers in the host's order: `NFTNL_UDATA_SET_KEYBYTEORDER` or `…DATABYTEORDER`, four bytes.
pub(super) fn byte_order(note: u8, kind: u32) -> Vec<u8> {
    if !matches!(kind, IFACE_INDEX | MARK) {
        return Vec::new();
    }
    let mut bytes = vec![note, 4];
    bytes.extend(HOST_ENDIAN.to_ne_bytes());
    bytes
}

fn element_requests(kind: u8, table: &str, set: &Set, elements: &[&(Vec<u8>, Vec<u8>)]) -> Vec<Request> {
    let flags = if kind == NFT_MSG_NEWSETELEM { NLM_F_CREATE } else { 0 };
    let request = |part: &[&(Vec<u8>, Vec<u8>)]| {
        message(kind, flags, set.family, table).attribute(NFTA_SET_ELEM_LIST_SET, &c_string(set.name)).nest(
            NFTA_SET_ELEM_LIST_ELEMENTS,
            |mut list| {
                for (key, data) in part {
                    list = list.nest(NFTA_LIST_ELEM, |element| {
                        let element =
                            element.nest(NFTA_SET_ELEM_KEY, |inside| inside.attribute(NFTA_DATA_VALUE, key));
                        if data.is_empty() || kind == NFT_MSG_DELSETELEM {
                            return element;
                        }
                        element.nest(NFTA_SET_ELEM_DATA, |inside| inside.attribute(NFTA_DATA_VALUE, data))
                    });
                }
                list
            },
        )
    };
    elements.chunks(ELEMENTS).map(request).collect()
}

/// A message about something of a table: `struct nfgenmsg` and the table's name.
pub(super) fn message(kind: u8, flags: u16, family: u8, table: &str) -> Request {
    let kind = u16::from_be_bytes([NFNL_SUBSYS_NFTABLES, kind]);
    Request::new(kind, &[family, 0, 0, 0]).flags(flags).attribute(NFTA_TABLE, &c_string(table))
}

pub(super) fn c_string(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

#[cfg(test)]
#[path = "nftables_tests.rs"]
mod tests;
