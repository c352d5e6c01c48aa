//! Routing policy rules: the messages that add and remove them, and what the kernel tells of them.
//! spec/vrrp-behaviour.md §8.

use std::net::IpAddr;

use super::netlink::{Request, attributes, string};
use crate::config::model::{Family, Prefix, Rule, RuleAction};
use crate::vrrp::SeenRule;

const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;
const HEADER: usize = 12;

const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;

const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_GOTO: u16 = 4;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_FLOW: u16 = 11;
const FRA_TUN_ID: u16 = 12;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_L3MDEV: u16 = 19;
const FRA_UID_RANGE: u16 = 20;
const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;

/// `FR_ACT_*` of `linux/fib_rules.h`.
const TO_TABLE: u8 = 1;
const GOTO: u8 = 2;
const NOP: u8 = 3;
const BLACKHOLE: u8 = 6;
const UNREACHABLE: u8 = 7;
const PROHIBIT: u8 = 8;
const FIB_RULE_INVERT: u32 = 2;

/// The request that adds a rule. One that is there already is refused (`EEXIST`).
pub(super) fn add(rule: &Rule) -> Request {
    request(RTM_NEWRULE, rule).flags(NLM_F_CREATE | NLM_F_EXCL)
}

/// The request that removes it.
pub(super) fn remove(rule: &Rule) -> Request {
    request(RTM_DELRULE, rule)
}

fn request(kind: u16, rule: &Rule) -> Request {
    let family = match rule.family {
        Family::V4 => 2,
        Family::V6 => 10,
    };
    let (action, table) = match rule.action {
        RuleAction::Lookup(table) => (TO_TABLE, table),
        RuleAction::L3mdev => (TO_TABLE, 0),
        RuleAction::Goto(_) => (GOTO, 0),
        RuleAction::Nop => (NOP, 0),
        RuleAction::Blackhole => (BLACKHOLE, 0),
        RuleAction::Unreachable => (UNREACHABLE, 0),
        RuleAction::Prohibit => (PROHIBIT, 0),
    };
    let length = |prefix: Option<Prefix>| prefix.map_or(0, |prefix| prefix.length);
    let [f0, f1, f2, f3] = if rule.invert { FIB_RULE_INVERT } else { 0 }.to_ne_bytes();
    // A table beyond a byte goes into an attribute.
    let small = u8::try_from(table).unwrap_or(0);
    let header = [family, length(rule.to), length(rule.from), rule.tos, small, 0, 0, action, f0, f1, f2, f3];
    let mut request = Request::new(kind, &header);
    for (kind, prefix) in [(FRA_SRC, rule.from), (FRA_DST, rule.to)] {
        match prefix.map(|prefix| prefix.address) {
            Some(IpAddr::V4(address)) => request = request.attribute(kind, &address.octets()),
            Some(IpAddr::V6(address)) => request = request.attribute(kind, &address.octets()),
            None => {}
        }
    }
    request = request.attribute(FRA_PRIORITY, &rule.priority.to_ne_bytes());
    if table > u32::from(u8::MAX) {
        request = request.attribute(FRA_TABLE, &table.to_ne_bytes());
    }
    let numbers = [
        (FRA_FWMARK, rule.fwmark.map(|(mark, _)| mark)),
        (FRA_FWMASK, rule.fwmark.and_then(|(_, mask)| mask)),
        (FRA_FLOW, rule.realms),
        (FRA_SUPPRESS_PREFIXLEN, rule.suppress_prefixlength),
        (FRA_SUPPRESS_IFGROUP, rule.suppress_ifgroup),
        (
            FRA_GOTO,
            match rule.action {
                RuleAction::Goto(target) => Some(target),
                _ => None,
            },
        ),
    ];
    for (kind, value) in numbers {
        if let Some(value) = value {
            request = request.attribute(kind, &value.to_ne_bytes());
        }
    }
    for (kind, name) in [(FRA_IIFNAME, &rule.iif), (FRA_OIFNAME, &rule.oif)] {
        if let Some(name) = name {
            let mut text = name.clone().into_bytes();
            text.push(0);
            request = request.attribute(kind, &text);
        }
    }
    if let Some(id) = rule.tunnel_id {
        request = request.attribute(FRA_TUN_ID, &id.to_be_bytes());
    }
    if let Some((first, last)) = rule.uid_range {
        request = request.attribute(FRA_UID_RANGE, &[first.to_ne_bytes(), last.to_ne_bytes()].concat());
    }
    if rule.action == RuleAction::L3mdev {
        request = request.attribute(FRA_L3MDEV, &[1]);
    }
    for (kind, value) in [(FRA_PROTOCOL, rule.protocol), (FRA_IP_PROTO, rule.ip_protocol)] {
        if let Some(value) = value {
            request = request.attribute(kind, &[value]);
        }
    }
    for (kind, ports) in [(FRA_SPORT_RANGE, rule.source_ports), (FRA_DPORT_RANGE, rule.destination_ports)] {
        if let Some((first, last)) = ports {
            request = request.attribute(kind, &[first.to_ne_bytes(), last.to_ne_bytes()].concat());
        }
    }
    request
}

/// The rule that an `RTM_DELRULE` tells of; `None` for a message of another kind.
pub(super) fn removed(kind: u16, body: &[u8]) -> Option<SeenRule> {
    (kind == RTM_DELRULE).then(|| decode(body)).flatten()
}

fn decode(body: &[u8]) -> Option<SeenRule> {
    let [family, to_length, from_length, _, table, ..] = *body.first_chunk::<HEADER>()?;
    let family = match family {
        2 => Family::V4,
        10 => Family::V6,
        _ => return None,
    };
    let mut rule = SeenRule {
        family,
        priority: 0,
        from: None,
        to: None,
        table: table.into(),
        iif: None,
        oif: None,
        fwmark: 0,
        protocol: 0,
    };
    for (kind, value) in attributes(body.get(HEADER..)?) {
        match kind {
            FRA_SRC => rule.from = ip(value).map(|address| Prefix { address, length: from_length }),
            FRA_DST => rule.to = ip(value).map(|address| Prefix { address, length: to_length }),
            FRA_PRIORITY => rule.priority = number(value)?,
            FRA_TABLE => rule.table = number(value)?,
            FRA_FWMARK => rule.fwmark = number(value)?,
            FRA_IIFNAME => rule.iif = Some(string(value)),
            FRA_OIFNAME => rule.oif = Some(string(value)),
            FRA_PROTOCOL => rule.protocol = *value.first()?,
            _ => {}
        }
    }
    Some(rule)
}

fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(value).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use neli::consts::socket::NlFamily;

    use super::*;
    use crate::kernel::monitor::{self, Monitor};
    use crate::kernel::netlink::{Answer, Connection, messages};
    use crate::kernel::testing::{in_namespace, ip_json, run};

    fn rule() -> Rule {
        Rule {
            family: Family::V4,
            invert: true,
            from: Some(Prefix { address: [10, 0, 0, 0].into(), length: 24 }),
            to: None,
            priority: 1001,
            tos: 0x10,
            fwmark: Some((0x10, Some(0xff))),
            iif: Some("lo".into()),
            oif: None,
            suppress_prefixlength: Some(3),
            suppress_ifgroup: None,
            tunnel_id: None,
            uid_range: Some((100, 200)),
            ip_protocol: Some(6),
            source_ports: Some((10, 20)),
            destination_ports: None,
            realms: None,
            protocol: Some(18),
            action: RuleAction::Lookup(1000),
            no_track: false,
            track_group: None,
        }
    }

    #[test]
    fn a_rule_has_stocks_bytes() {
        let bytes = add(&rule()).bytes(1);
        let message = messages(&bytes).next().unwrap();
        // NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
        assert_eq!((message.kind, message.flags), (32, 0x605));
        assert_eq!(message.body[..12], [2, 0, 24, 0x10, 0, 0, 0, TO_TABLE, 2, 0, 0, 0]);
        let seen: Vec<_> = attributes(&message.body[12..]).collect();
        let number = |value: u32| value.to_ne_bytes().to_vec();
        let expected = [
            (FRA_SRC, vec![10, 0, 0, 0]),
            (FRA_PRIORITY, number(1001)),
            (FRA_TABLE, number(1000)),
            (FRA_FWMARK, number(0x10)),
            (FRA_FWMASK, number(0xff)),
            (FRA_SUPPRESS_PREFIXLEN, number(3)),
            (FRA_IIFNAME, b"lo\0".to_vec()),
            (FRA_UID_RANGE, [number(100), number(200)].concat()),
            (FRA_PROTOCOL, vec![18]),
            (FRA_IP_PROTO, vec![6]),
            (FRA_SPORT_RANGE, vec![10, 0, 20, 0]),
        ];
        assert!(seen.into_iter().eq(expected.iter().map(|(kind, value)| (*kind, value.as_slice()))));
        let other = Rule { action: RuleAction::Goto(2000), tunnel_id: Some(77), ..rule() };
        let bytes = remove(&other).bytes(1);
        let message = messages(&bytes).next().unwrap();
        assert_eq!((message.kind, message.flags, message.body[7]), (33, 5, GOTO));
        let of = |wanted| attributes(&message.body[12..]).find(|(kind, _)| *kind == wanted).unwrap().1;
        assert_eq!(
            (of(FRA_GOTO), of(FRA_TUN_ID)),
            (number(2000).as_slice(), [0, 0, 0, 0, 0, 0, 0, 77].as_slice())
        );
    }

    #[test]
    fn a_rule_is_seen_by_ip_and_its_removal_told_by_the_monitor() {
        in_namespace(|| {
            let mut netlink = Connection::open(NlFamily::Route).unwrap();
            let monitor = Monitor::open().unwrap();
            monitor.watch_routing().unwrap();
            assert_eq!(netlink.execute(&[add(&rule())]).unwrap(), [Answer::Done]);
            let seen = ip_json("ip -j rule show pref 1001");
            assert_eq!(seen[0]["src"], "10.0.0.0");
            assert_eq!((&seen[0]["table"], &seen[0]["protocol"]), (&"1000".into(), &"keepalived".into()));
            run("ip rule del pref 1001");
            let (mut events, mut buffer) = (Vec::new(), vec![0; Monitor::DATAGRAM]);
            while monitor.read(&mut buffer, &mut events).is_ok() {}
            let gone = events.into_iter().find_map(|event| match event {
                monitor::Event::RuleGone { rule, port } => Some((rule, port)),
                _ => None,
            });
            let (gone, port) = gone.unwrap();
            assert_ne!(port, 0, "the kernel names the socket");
            let ours = rule();
            let expected = SeenRule {
                family: Family::V4,
                priority: 1001,
                from: ours.from,
                to: None,
                table: 1000,
                iif: ours.iif,
                oif: None,
                fwmark: 0x10,
                protocol: 18,
            };
            assert_eq!(gone, expected);
            let again = netlink.execute(&[remove(&rule())]).unwrap();
            assert!(matches!(&again[..], [Answer::Refused(why)] if why.errno == nix::errno::Errno::ENOENT));
        });
    }

    #[test]
    fn any_bytes_decode_without_panic() {
        proptest::proptest!(|(bytes: Vec<u8>)| drop(removed(RTM_DELRULE, &bytes)));
    }
}
