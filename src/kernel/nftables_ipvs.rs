//! The nftables table that gives the packets of virtual server groups their firewall marks (`nftables_ipvs`,
//! spec/ipvs-behaviour.md §4): stock's, down to the expressions.
//!
//! Every change is one transaction that replaces the table: packets see the one before or the one after.

use std::net::IpAddr;

use neli::consts::socket::NlFamily;

use super::error::Error;
use super::netlink::{Connection, Request};
use super::nftables::{
    AF_INET, AF_INET6, IPV4_ADDR, IPV6_ADDR, MARK, NF_ACCEPT, NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWCHAIN,
    NFT_MSG_NEWRULE, NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_NEWTABLE, NFT_SET_MAP, NFTA_CHAIN_HOOK,
    NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY, NFTA_CHAIN_TYPE, NFTA_DATA_VALUE, NFTA_HOOK_HOOKNUM,
    NFTA_HOOK_PRIORITY, NFTA_LIST_ELEM, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_SET_DATA_LEN,
    NFTA_SET_DATA_TYPE, NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_LIST_ELEMENTS,
    NFTA_SET_ELEM_LIST_SET, NFTA_SET_FLAGS, NFTA_SET_ID, NFTA_SET_KEY_LEN, NFTA_SET_KEY_TYPE, NFTA_SET_NAME,
    NFTA_SET_USERDATA, NLM_F_APPEND, NLM_F_CREATE, byte_order, c_string, message, removal,
};
use super::nftables_rule::{self as rule, mark_by_map};
use crate::config::model::Family;
use crate::lvs::marks::{MarkEntry, MarkTable};

const NFTA_SET_DESC: u16 = 9;
const NFTA_SET_EXPR: u16 = 17;
const NFTA_SET_DESC_CONCAT: u16 = 2;
const NFTA_SET_FIELD_LEN: u16 = 1;
const NFTA_SET_ELEM_KEY_END: u16 = 10;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFT_SET_INTERVAL: u32 = 4;
const NFT_SET_CONCAT: u32 = 0x80;
/// nft(8)'s number for ports; two types in one have six bits each.
const INET_SERVICE: u32 = 13;

/// Elements in one message: their list is an attribute, and that is below 64 KiB. One of IPv6 takes 72 bytes.
const ELEMENTS: usize = 800;

/// Protocols in the order of stock's maps.
const MAPS: [(u8, &str); 3] = [(6, "tcp_map"), (17, "udp_map"), (132, "sctp_map")];

/// The connection, and which table was written last.
pub struct MarkFirewall {
    connection: Connection,
    applied: Option<MarkTable>,
}

impl MarkFirewall {
    /// Opens the connection.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { connection: Connection::open(NlFamily::Netfilter)?, applied: None })
    }

    /// Has exactly this there; a table that an earlier life has left is replaced.
    pub fn apply(&mut self, wanted: Option<&MarkTable>) -> Result<(), Error> {
        if self.applied.as_ref() == wanted {
            return Ok(());
        }
        let stale = self.applied.take().map(|before| before.table);
        let mut requests = Vec::new();
        if let Some(table) =
            stale.as_ref().filter(|table| wanted.is_none_or(|wanted| wanted.table != **table))
        {
            requests.extend(removal(table));
        }
        if let Some(wanted) = wanted {
            requests.extend(removal(&wanted.table));
            requests.extend(creation(wanted));
        }
        let name = wanted.map(|wanted| wanted.table.clone()).or(stale).unwrap_or_default();
        self.connection
            .transact(NFNL_SUBSYS_NFTABLES, &requests)
            .map_err(|refusal| refusal.doing(format!("writing nftables table {name} for IPVS")))?;
        self.applied = wanted.cloned();
        Ok(())
    }
}

fn creation(wanted: &MarkTable) -> Vec<Request> {
    let table = &wanted.table;
    let mut requests = Vec::new();
    let mut id = 0;
    for (number, family) in [(AF_INET, Family::V4), (AF_INET6, Family::V6)] {
        let of_family = |entry: &&MarkEntry| Family::of(entry.first) == family;
        if !wanted.entries.iter().any(|entry| of_family(&entry)) {
            continue;
        }
        requests.push(message(NFT_MSG_NEWTABLE, NLM_F_CREATE, number, table));
        requests.push(
            message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, number, table)
                .attribute(NFTA_CHAIN_NAME, &c_string("in"))
                .nest(NFTA_CHAIN_HOOK, |inside| {
                    inside
                        .attribute(NFTA_HOOK_HOOKNUM, &rule::LOCAL_IN.to_be_bytes())
                        .attribute(NFTA_HOOK_PRIORITY, &wanted.priority.to_be_bytes())
                })
                .attribute(NFTA_CHAIN_POLICY, &NF_ACCEPT.to_be_bytes())
                .attribute(NFTA_CHAIN_TYPE, b"filter\0"),
        );
        for (protocol, map) in MAPS {
            let entries: Vec<&MarkEntry> =
                wanted.entries.iter().filter(of_family).filter(|entry| entry.protocol == protocol).collect();
            if entries.is_empty() {
                continue;
            }
            id += 1;
            requests.push(map_request(table, (number, family), map, id, wanted.counters));
            requests.extend(entries.chunks(ELEMENTS).map(|part| elements(table, number, map, part)));
            requests.push(
                message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, number, table)
                    .attribute(NFTA_RULE_CHAIN, &c_string("in"))
                    .nest(NFTA_RULE_EXPRESSIONS, |inside| mark_by_map(family, protocol, map).write(inside)),
            );
        }
    }
    requests
}

/// `type ipv4_addr . inet_service : mark; flags interval`
fn map_request(table: &str, (number, family): (u8, Family), map: &str, id: u32, counters: bool) -> Request {
    let (kind, length): (u32, u32) = match family {
        Family::V4 => (IPV4_ADDR, 4),
        Family::V6 => (IPV6_ADDR, 16),
    };
    let field = |list: Request, length: u32| {
        list.nest(NFTA_LIST_ELEM, |field| field.attribute(NFTA_SET_FIELD_LEN, &length.to_be_bytes()))
    };
    let request = message(NFT_MSG_NEWSET, NLM_F_CREATE, number, table)
        .attribute(NFTA_SET_NAME, &c_string(map))
        .attribute(NFTA_SET_FLAGS, &(NFT_SET_MAP | NFT_SET_INTERVAL | NFT_SET_CONCAT).to_be_bytes())
        .attribute(NFTA_SET_KEY_TYPE, &((kind << 6) | INET_SERVICE).to_be_bytes())
        .attribute(NFTA_SET_KEY_LEN, &(length + 4).to_be_bytes())
        .attribute(NFTA_SET_DATA_TYPE, &MARK.to_be_bytes())
        .attribute(NFTA_SET_DATA_LEN, &4_u32.to_be_bytes())
        .attribute(NFTA_SET_ID, &id.to_be_bytes())
        .nest(NFTA_SET_DESC, |desc| desc.nest(NFTA_SET_DESC_CONCAT, |list| field(field(list, length), 2)))
        .attribute(NFTA_SET_USERDATA, &byte_order(1, MARK));
    if !counters {
        return request;
    }
    request.nest(NFTA_SET_EXPR, |expression| {
        expression
            .attribute(NFTA_EXPR_NAME, &c_string("counter"))
            .nest(NFTA_EXPR_DATA, |data| data.attribute(1, &[0; 8]).attribute(2, &[0; 8]))
    })
}

fn elements(table: &str, number: u8, map: &str, entries: &[&MarkEntry]) -> Request {
    let value = |to: Request, kind: u16, bytes: &[u8]| {
        to.nest(kind, |inside| inside.attribute(NFTA_DATA_VALUE, bytes))
    };
    message(NFT_MSG_NEWSETELEM, NLM_F_CREATE, number, table)
        .attribute(NFTA_SET_ELEM_LIST_SET, &c_string(map))
        .nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
            entries.iter().fold(list, |list, entry| {
                list.nest(NFTA_LIST_ELEM, |element| {
                    let last_port = if entry.port == 0 { u16::MAX } else { entry.port };
                    let element = value(element, NFTA_SET_ELEM_KEY, &key(entry.first, entry.port));
                    let element = value(element, NFTA_SET_ELEM_KEY_END, &key(entry.last, last_port));
                    value(element, NFTA_SET_ELEM_DATA, &entry.mark.to_ne_bytes())
                })
            })
        })
}

/// Address and port, each padded to four bytes.
fn key(address: IpAddr, port: u16) -> Vec<u8> {
    let mut bytes = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    bytes.extend(port.to_be_bytes());
    bytes.extend([0, 0]);
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::UdpSocket;
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::kernel::testing::{in_namespace, run};

    fn table() -> MarkTable {
        let entry = |protocol, first: &str, last: &str, port, mark| MarkEntry {
            protocol,
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
            port,
            mark,
        };
        MarkTable {
            table: "keepalived_ipvs".to_owned(),
            priority: -1,
            counters: true,
            entries: BTreeSet::from([
                entry(6, "10.9.0.100", "10.9.0.100", 80, 1000),
                entry(6, "10.9.2.5", "10.9.3.7", 82, 1000),
                entry(6, "10.20.0.1", "10.20.0.1", 0, 1003),
                entry(17, "10.9.0.100", "10.9.0.100", 53, 1002),
                entry(17, "fd00::10", "fd00::1f", 54, 1002),
            ]),
        }
    }

    #[test]
    fn thousands_of_addresses_go_into_messages_of_a_size_that_can_be_said() {
        let addresses =
            (0..3000_u128).map(|number| std::net::Ipv6Addr::from((0xfd00 << 112) | number).into());
        let entries = addresses
            .map(|first| MarkEntry { protocol: 6, first, last: first, port: 80, mark: 1000 })
            .collect();
        let requests = creation(&MarkTable { entries, ..table() });
        let longest = requests.iter().map(|request| request.body().len()).max();
        assert!(longest.is_some_and(|length| (40_000..60_000).contains(&length)), "{longest:?}");
    }

    fn nft() -> Command {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lab/nftables/usr/sbin/nft");
        Command::new(if unpacked.exists() { unpacked } else { "nft".into() })
    }

    /// Without blanks at the ends of lines, and as one line per element.
    fn listed() -> Option<Vec<String>> {
        let output = nft().args(["-n", "list", "ruleset"]).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Some(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
    }

    #[test]
    fn the_table_is_stocks_and_is_replaced_and_removed_as_a_whole() {
        in_namespace(|| {
            let mut firewall = match MarkFirewall::open() {
                Ok(firewall) => firewall,
                Err(error) => return eprintln!("SKIPPED: {error}"),
            };
            let mut wanted = table();
            if let Err(error) = firewall.apply(Some(&wanted)) {
                return eprintln!("SKIPPED: {error}");
            }
            let Some(found) = listed() else { return eprintln!("SKIPPED: no nft") };
            assert_eq!(
                found,
                [
                    "table ip keepalived_ipvs {",
                    "map tcp_map {",
                    "type ipv4_addr . inet_service : mark",
                    "flags interval",
                    "counter",
                    "elements = { 10.9.0.100 . 80 counter packets 0 bytes 0 : 0x000003e8,",
                    "10.9.2.5-10.9.3.7 . 82 counter packets 0 bytes 0 : 0x000003e8,",
                    "10.20.0.1 . 0-65535 counter packets 0 bytes 0 : 0x000003eb }",
                    "}",
                    "map udp_map {",
                    "type ipv4_addr . inet_service : mark",
                    "flags interval",
                    "counter",
                    "elements = { 10.9.0.100 . 53 counter packets 0 bytes 0 : 0x000003ea }",
                    "}",
                    "chain in {",
                    "type filter hook input priority -1; policy accept;",
                    "meta mark set ip daddr . tcp dport map @tcp_map counter packets 0 bytes 0 return",
                    "meta mark set ip daddr . udp dport map @udp_map counter packets 0 bytes 0 return",
                    "}",
                    "}",
                    "table ip6 keepalived_ipvs {",
                    "map udp_map {",
                    "type ipv6_addr . inet_service : mark",
                    "flags interval",
                    "counter",
                    "elements = { fd00::10/124 . 54 counter packets 0 bytes 0 : 0x000003ea }",
                    "}",
                    "chain in {",
                    "type filter hook input priority -1; policy accept;",
                    "meta mark set ip6 daddr . udp dport map @udp_map counter packets 0 bytes 0 return",
                    "}",
                    "}",
                ]
            );
            // A successor that does not know what is there.
            let mut next = MarkFirewall::open().unwrap();
            wanted.counters = false;
            next.apply(Some(&wanted)).unwrap();
            assert!(!listed().unwrap().contains(&"counter".to_owned()));
            next.apply(None).unwrap();
            assert_eq!(listed().unwrap(), [""; 0]);
            next.apply(None).expect("nothing is left to remove");
        });
    }

    /// What a chain behind ours has counted of packets with the mark 1002: of IPv4, of IPv6.
    fn marked() -> Option<Vec<u64>> {
        let counted = |line: String| {
            let (packets, _) = line.strip_prefix("meta mark 0x000003ea counter packets ")?.split_once(' ')?;
            packets.parse().ok()
        };
        Some(listed()?.into_iter().filter_map(counted).collect())
    }

    #[test]
    fn a_packet_for_a_group_bears_its_mark() {
        in_namespace(|| {
            run("ip address add 10.9.0.100/32 dev lo");
            run("ip address add fd00::15/128 dev lo nodad");
            let mut firewall = match MarkFirewall::open() {
                Ok(firewall) => firewall,
                Err(error) => return eprintln!("SKIPPED: {error}"),
            };
            if let Err(error) = firewall.apply(Some(&table())) {
                return eprintln!("SKIPPED: {error}");
            }
            for family in ["ip", "ip6"] {
                let rules = format!(
                    "table {family} look {{ chain in {{ type filter hook input priority 5; meta mark 1002 counter; }}; }}"
                );
                match nft().arg(rules).status() {
                    Ok(status) => assert!(status.success(), "{status}"),
                    Err(error) => return eprintln!("SKIPPED: nft: {error}"),
                }
            }
            let send = |to: &str| {
                let any = if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
                let socket = UdpSocket::bind(any).unwrap();
                socket.send_to(b"x", to).unwrap();
            };
            for to in ["10.9.0.100:53", "10.9.0.100:53", "10.9.0.100:54", "127.0.0.1:53", "[fd00::15]:54"] {
                send(to);
            }
            assert_eq!(marked().unwrap(), [2, 1]);
            firewall.apply(None).unwrap();
            send("10.9.0.100:53");
            assert_eq!(marked().unwrap(), [2, 1], "nobody marks any more");
        });
    }
}
