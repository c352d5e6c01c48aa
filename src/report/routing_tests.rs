//! From a line of the configuration to the line of the dump: what stock 2.2.7 made of the same lines, save where the
//! description of 2.4.3 differs (`blackhole` and its kin are prepended; a route without `dev` is tracked).

use super::routing::{route, rule};
use crate::config::diagnostic::Severity;
use crate::config::files::MemoryFiles;
use crate::config::load;
use crate::config::model::{HostFacts, Identity, Instance, InterfaceFacts, Users};
use crate::config::preprocess::{IncludeChecks, ReadOptions};
use crate::config::value::Mode;

struct Nobody;

impl Users for Nobody {
    fn user(&self, _: &str) -> Option<Identity> {
        None
    }

    fn group(&self, _: &str) -> Option<u32> {
        None
    }
}

/// The instance that holds these lines, and how many errors there were.
fn read(block: &str, line: &str) -> (Instance, usize) {
    let text = format!(
        "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 5\npriority 100\nvirtual_ipaddress {{\n10.0.0.100\n}}\n\
         {block} {{\n{line}\n}}\n}}\n"
    );
    let files = MemoryFiles::new()
        .file("k.conf", &text)
        .file("/etc/iproute2/rt_dsfield", "0x28 AF11\n")
        .file("/etc/iproute2/rt_realms", "7 inside\n");
    let options = ReadOptions {
        main: "k.conf".to_owned(),
        config_id: "vm".to_owned(),
        include_checks: IncludeChecks::default(),
        random_seed: 0,
    };
    let mut facts = HostFacts::default();
    for name in ["eth0", "eth1", "lo"] {
        let interface = InterfaceFacts { multicast: true, mtu: 1500, ..InterfaceFacts::default() };
        facts.interfaces.insert(name.to_owned(), interface);
    }
    let vrf = InterfaceFacts { vrf_table: Some(77), ..InterfaceFacts::default() };
    facts.interfaces.insert("vrf0".to_owned(), vrf);
    let loaded = load(&files, &options, Mode::Run, &facts, &Nobody);
    let errors = loaded.diagnostics.iter().filter(|report| report.severity != Severity::Note).count();
    (loaded.config.expect("a line never stops the daemon").instances.remove(0), errors)
}

fn of_route(line: &str) -> Option<String> {
    read("virtual_routes", line).0.routes.first().map(route)
}

fn of_rule(line: &str) -> Option<String> {
    read("virtual_rules", line).0.rules.first().map(rule)
}

#[test]
fn routes_without_a_fault() {
    for (line, dump) in [
        ("192.0.2.0/24 via 10.0.0.254", "prepend 192.0.2.0/24 via inet 10.0.0.254 proto 18"),
        ("192.0.2.0/25 dev eth1", "prepend 192.0.2.0/25 dev eth1 proto 18"),
        (
            "default via 10.0.0.253 table 100 no_track",
            "prepend 0.0.0.0/0 via inet 10.0.0.253 table 100 no_track",
        ),
        ("blackhole 192.0.3.0/24", "prepend blackhole 192.0.3.0/24 proto 18"),
        ("prohibit 192.0.5.0/24 metric 7", "prepend prohibit 192.0.5.0/24 proto 18 metric 7"),
        ("throw 192.0.6.0/24 table 101", "prepend throw 192.0.6.0/24 table 101 proto 18"),
        (
            "192.0.7.0/24 via 10.0.0.254 src 10.0.0.100 metric 5 mtu lock 1400 advmss 1300 rtt 300ms rttvar lock 900 \
             reordering 4 window 5000 cwnd lock 10 ssthresh lock 20 rto_min 1s hoplimit 33 initcwnd 12 initrwnd 13 \
             features ecn quickack 1 fastopen_no_cookie 1 congctl lock reno realms 3/4",
            "prepend 192.0.7.0/24 src 10.0.0.100 via inet 10.0.0.254 proto 18 metric 5 realms 3/4 congctl renolock  \
             rtt 300ms rttvar lock 225ms rto_min 1s features ecn mtu lock 1400 window 5000 ssthresh lock 20 cwnd lock 10 \
             advmss 1300 reordering 4 hoplimit 33 initcwnd 12 initrwnd 13 quickack 1 fastopen_no_cookie 1",
        ),
        (
            "192.0.8.0/24 nexthop via 10.0.0.254 dev eth0 weight 3 nexthop via 10.1.0.254 dev eth1 weight 5 onlink realms 3",
            "prepend 192.0.8.0/24 proto 18 nexthop via inet 10.0.0.254 dev eth0 weight 3 \
             nexthop via inet 10.1.0.254 dev eth1 weight 5 onlink realm 3",
        ),
        (
            "192.0.9.0/24 via 10.0.0.254 tos 0x10 scope global table main",
            "prepend 192.0.9.0/24 tos 16 via inet 10.0.0.254 proto 18 scope 0",
        ),
        ("192.0.10.0/24 dev eth0 scope link", "prepend 192.0.10.0/24 dev eth0 proto 18 scope 253"),
        ("local 192.0.11.1 dev lo table 105", "prepend local 192.0.11.1 dev lo table 105 proto 18"),
        (
            "192.0.13.0/24 via 10.7.0.1 dev eth0 onlink",
            "prepend 192.0.13.0/24 via inet 10.7.0.1 dev eth0 proto 18 onlink",
        ),
        (
            "192.0.15.0/24 via 10.0.0.254 protocol static no_track",
            "prepend 192.0.15.0/24 via inet 10.0.0.254 proto 4 no_track",
        ),
        ("append 192.0.17.0/24 via 10.0.0.254", "append 192.0.17.0/24 via inet 10.0.0.254 proto 18"),
        ("add 192.0.18.0/24 via 10.0.0.254", "add 192.0.18.0/24 via inet 10.0.0.254 proto 18"),
        (
            "192.0.19.0/24 encap ip id 5 dst 10.0.0.9 src 10.0.0.1 tos 0 ttl 7 via 10.0.0.254",
            "prepend 192.0.19.0/24 encap ip id 5 dst 10.0.0.9 src 10.0.0.1 tos 0 ttl 7 via inet 10.0.0.254 proto 18",
        ),
        (
            "192.0.20.0/24 encap mpls 100/200 via 10.0.0.254",
            "prepend 192.0.20.0/24 encap mpls 64000/c8100 via inet 10.0.0.254 proto 18",
        ),
        (
            "192.0.21.0/24 via 10.0.0.254 ttl-propagate enabled",
            "prepend 192.0.21.0/24 via inet 10.0.0.254 proto 18 ttl-propagate enabled",
        ),
        ("default via inet6 fe80::1 dev eth0", "prepend ::/0 via inet6 fe80::1 dev eth0 proto 18"),
        (
            "2001:db8:1::/48 via 2001:db8::9 expires 600 pref high",
            "prepend 2001:db8:1::/48 via inet6 2001:db8::9 proto 18 expires 600sec pref high",
        ),
        (
            "2001:db8:2::/48 dev eth0 from 2001:db8:9::/48",
            "prepend 2001:db8:2::/48 from 2001:db8:9::/48 dev eth0 proto 18",
        ),
        (
            "2001:db8:6::/48 encap ip6 id 1 dst 2001:db8::77 tc 3 hoplimit 4 via 2001:db8::9",
            "prepend 2001:db8:6::/48 encap ip6 id 1 dst 2001:db8::77 tc 3 hoplimit 4 via inet6 2001:db8::9 proto 18",
        ),
        ("10.100.1.0/24 via 10.0.0.254 tos 22", "prepend 10.100.1.0/24 tos 22 via inet 10.0.0.254 proto 18"),
        ("10.100.4.5/24 via inet 10.0.0.254", "prepend 10.100.4.5/24 via inet 10.0.0.254 proto 18"),
        ("default dev eth0 table 50", "prepend 0.0.0.0/0 dev eth0 table 50 proto 18"),
        (
            "10.100.9.0/24 via 10.0.0.254 rtt 4000 rttvar 4000 rto_min 4000",
            "prepend 10.100.9.0/24 via inet 10.0.0.254 proto 18 rtt 500ms rttvar 1s rto_min 4s",
        ),
        (
            "10.100.22.0/24 via 10.0.0.254 table 0x10",
            "prepend 10.100.22.0/24 via inet 10.0.0.254 table 16 proto 18",
        ),
        (
            "10.100.24.0/24 via 10.0.0.254 table default",
            "prepend 10.100.24.0/24 via inet 10.0.0.254 table 253 proto 18",
        ),
        (
            "10.100.27.0/24 via 10.0.0.254 vrf vrf0",
            "prepend 10.100.27.0/24 via inet 10.0.0.254 table 77 proto 18",
        ),
        (
            "10.100.29.0/24 via 10.0.0.254 realms cosmos/0x14",
            "prepend 10.100.29.0/24 via inet 10.0.0.254 proto 18 realm 20",
        ),
        (
            "10.100.30.0/24 via 10.0.0.254 realms inside/3",
            "prepend 10.100.30.0/24 via inet 10.0.0.254 proto 18 realms 7/3",
        ),
        (
            "10.100.31.0/24 10.100.32.0/24 via 10.0.0.254",
            "prepend 10.100.32.0/24 via inet 10.0.0.254 proto 18",
        ),
        (
            "10.100.34.0/24 nexthop encap mpls 100 via 10.0.0.254 dev eth0",
            "prepend 10.100.34.0/24 proto 18 nexthop via inet 10.0.0.254 dev eth0 encap mpls 64100",
        ),
        (
            "2001:db8:38::/48 via 2001:db8::9 pref 9",
            "prepend 2001:db8:38::/48 via inet6 2001:db8::9 proto 18 pref unknown",
        ),
        (
            "10.100.46.0/24 via 10.0.0.254 mtu 1400 mtu 1300",
            "prepend 10.100.46.0/24 via inet 10.0.0.254 proto 18 mtu 1300",
        ),
        ("to 10.100.47.0/24 via 10.0.0.254", "prepend 10.100.47.0/24 via inet 10.0.0.254 proto 18"),
        (
            "10.100.51.0/24 via 10.0.0.254 tos AF11",
            "prepend 10.100.51.0/24 tos 40 via inet 10.0.0.254 proto 18",
        ),
        (
            "10.100.61.0/24 via 10.0.0.254 encap ila 1:2:3:4",
            "prepend 10.100.61.0/24 encap ila 288233674720149760 via inet 10.0.0.254 proto 18",
        ),
        (
            "10.100.62.0/24 via 10.0.0.254 encap ip dst 10.0.0.9 flags 7",
            "prepend 10.100.62.0/24 encap ip dst 10.0.0.9 flags 0x7 via inet 10.0.0.254 proto 18",
        ),
        ("10.101.28.0/24 dev eth0 dev eth1", "prepend 10.101.28.0/24 dev eth1 proto 18"),
        ("10.101.31.0/24 nexthop", "prepend 10.101.31.0/24 proto 18 nexthop"),
        ("10.101.32.0/24", "prepend 10.101.32.0/24 proto 18"),
    ] {
        assert_eq!(of_route(line).as_deref(), Some(dump), "{line}");
        assert_eq!(read("virtual_routes", line).1, 0, "{line}");
    }
}

#[test]
fn routes_that_are_mended_or_kept_in_part_with_a_report() {
    for (line, dump) in [
        (
            "10.100.7.0/24 via 10.0.0.254 rtt 300",
            "prepend 10.100.7.0/24 via inet 10.0.0.254 proto 18 rtt 200ms",
        ),
        (
            "10.101.1.0/24 via 10.0.0.254 rtt 700s",
            "prepend 10.101.1.0/24 via inet 10.0.0.254 proto 18 rtt 120s",
        ),
        (
            "192.0.16.0/24 via 10.0.0.254 protocol static",
            "prepend 192.0.16.0/24 via inet 10.0.0.254 proto 18",
        ),
        ("default6 via fe80::7 dev eth0", "prepend ::/0 via inet6 fe80::7 dev eth0 proto 18"),
        ("10.100.10.0/24 nexthop via 10.0.0.254 weight 0", "prepend 10.100.10.0/24 proto 18"),
        (
            "10.101.29.0/24 nexthop via 10.0.0.254 nexthop via 10.0.0.253 realms 70000",
            "prepend 10.101.29.0/24 proto 18 nexthop via inet 10.0.0.254",
        ),
        ("10.100.13.0/24 via 10.0.0.254 features foo", "prepend 10.100.13.0/24 via inet 10.0.0.254 proto 18"),
        (
            "10.100.18.0/24 via 10.0.0.254 encap ip tos 3",
            "prepend 10.100.18.0/24 encap ip tos 3 via inet 10.0.0.254 proto 18",
        ),
        ("10.101.14.0/24 via 10.0.0.254 encap foo", "prepend 10.101.14.0/24 via inet 10.0.0.254 proto 18"),
        (
            "10.100.19.0/24 nexthop via 10.0.0.254 dev eth0 weight 1 no_track",
            "prepend 10.100.19.0/24 proto 18 nexthop via inet 10.0.0.254 dev eth0 weight 1",
        ),
        (
            "10.100.20.0/24 via 10.0.0.254 ttl-propagate foo",
            "prepend 10.100.20.0/24 via inet 10.0.0.254 proto 18 ttl-propagate disabled",
        ),
        (
            "10.100.28.0/24 via 10.0.0.254 as to 10.1.1.1",
            "prepend 10.100.28.0/24 via inet 10.0.0.254 proto 18",
        ),
        (
            "10.100.39.0/24 via 10.0.0.254 or 10.0.0.253",
            "prepend 10.100.39.0/24 proto 18 nexthop via inet 10.0.0.254 nexthop via inet 10.0.0.253",
        ),
        ("10.100.40.0/24 gw 10.0.0.254", "prepend 10.100.40.0/24 via inet 10.0.0.254 proto 18"),
        ("10.101.22.0/33 via 10.0.0.254", "prepend 10.101.22.0 via inet 10.0.0.254 proto 18"),
    ] {
        assert_eq!(of_route(line).as_deref(), Some(dump), "{line}");
        assert_ne!(read("virtual_routes", line).1, 0, "{line}");
    }
}

#[test]
fn routes_that_are_dropped() {
    for line in [
        "inet 10.100.2.0/24 via 10.0.0.254",
        "10.100.5.0/24 via 10.0.0.254 mtu abc",
        "10.100.6.0/24 via 10.0.0.254 metric 0x10",
        "10.100.12.0/24 via 10.0.0.254 hoplimit 256",
        "10.100.14.0/24 via 10.0.0.254 quickack 2",
        "10.100.15.0/24 via 10.0.0.254 expires 5",
        "10.100.16.0/24 via 10.0.0.254 pref low",
        "2001:db8:16::/48 via 2001:db8::9 realms 3",
        "10.100.17.0/24 via 10.0.0.254 from 10.0.0.0/8",
        "10.100.21.0/24 via 10.0.0.254 table nonsuch",
        "10.100.26.0/24 via 10.0.0.254 protocol nonsuch no_track",
        "10.100.27.0/24 via 10.0.0.254 vrf eth1",
        "10.100.33.0/24 via 10.0.0.254 src 2001:db8::1",
        "192.0.14.0/24 via inet6 fe80::5 dev eth0",
        "10.100.41.0/24 via 10.0.0.254 rtt 5m",
        "10.100.43.0/24 via 10.0.0.254 rttvar 100000s",
        "10.100.44.0/24 via 10.0.0.254 scope nonsuch",
        "blackhole to 10.100.49.0/24",
        "10.100.56.0/24 via 10.0.0.254 fastopen_no_cookie 7",
        "10.100.57.0/24 via 10.0.0.254 window lock 7",
        "10.100.59.0/24 via 10.0.0.254 foo bar",
        "10.100.64.0/24 via 10.0.0.254 metric -1",
        "10.100.66.0/24 via 10.0.0.254 protocol 300 no_track",
        "10.100.67.0/24 via 10.0.0.254 realms 70000",
        "10.101.7.0/24 via 10.0.0.254 track_group g1",
        "10.101.13.0/24 via 10.0.0.254 encap ip dst 10.0.0.9 ttl 300",
        "10.101.15.0/24 via 10.0.0.254 encap ip dst 2001:db8::1",
        "10.101.19.0/24 via 10.0.0.254 encap ip id 0x10 dst 10.0.0.9",
        "10.101.20.0/24 via 10.0.0.254 src 10.0.0.100/24",
        "2001:db8:24::/48 via 2001:db8::9 from default",
        "10.101.36.0/24 via 10.0.0.254 tos 256",
        "via 10.0.0.254",
    ] {
        assert_eq!(of_route(line), None, "{line}");
        assert_ne!(read("virtual_routes", line).1, 0, "{line}");
    }
}

#[test]
fn rules_as_stock_shows_them() {
    for (line, dump) in [
        (
            "from 10.0.0.100 table 100 preference 1000",
            "from 10.0.0.100 priority 1000 tos 0x0 protocol 18 lookup 100",
        ),
        (
            "not from 10.0.0.0/24 fwmark 0x10/0xff table 100 preference 1001 suppress_prefixlength 3 suppress_ifgroup 4",
            "not from 10.0.0.0/24 priority 1001 tos 0x0 fwmark 0x10/0xff suppress_prefixlen 3 suppress_ifgroup 4 \
             protocol 18 lookup 100",
        ),
        (
            "from all uidrange 100-200 ipproto tcp sport 10-20 dport 30-40 lookup 100 preference 1002 realms 3/4",
            "from 0.0.0.0/0 priority 1002 tos 0x0 uidrange 100-200 protocol 18 ipproto 6 sport 10-20 dport 30-40 \
             realms 3/4 lookup 100",
        ),
        (
            "to 192.0.2.0/24 goto 2000 preference 1003",
            "from all to 192.0.2.0/24 priority 1003 tos 0x0 protocol 18 goto 2000",
        ),
        ("nop preference 2000", "from all priority 2000 tos 0x0 protocol 18 nop"),
        (
            "oif eth0 prohibit preference 1004 tos 0x10",
            "from all priority 1004 tos 0x10 oif eth0 protocol 18 type prohibit",
        ),
        (
            "tunnel-id 77 unreachable preference 5",
            "from all priority 5 tos 0x0 tunnel-id 77 protocol 18 type unreachable",
        ),
        ("l3mdev preference 1006", "from all priority 1006 tos 0x0 l3mdev protocol 18 lookup 0"),
        (
            "from 10.6.0.0/16 table 100 protocol 5 no_track preference 0x500",
            "from 10.6.0.0/16 priority 1280 tos 0x0 protocol 5 lookup 100 no_track",
        ),
        (
            "from 10.6.0.0/16 table 100 no_track preference 1",
            "from 10.6.0.0/16 priority 1 tos 0x0 lookup 100 no_track",
        ),
        (
            "from all type blackhole preference 1010",
            "from 0.0.0.0/0 priority 1010 tos 0x0 protocol 18 type blackhole",
        ),
        (
            "to 2001:db8:7::/48 dsfield 0x8 table 77 preference 12",
            "from all to 2001:db8:7::/48 priority 12 tos 0x8 protocol 18 lookup 77",
        ),
        (
            "from 10.5.0.0/16 table 100 tos 22 preference 1",
            "from 10.5.0.0/16 priority 1 tos 0x16 protocol 18 lookup 100",
        ),
        (
            "from 10.5.3.0/16 table 9 realms 5 order 4",
            "from 10.5.3.0/16 priority 4 tos 0x0 protocol 18 realms 0/5 lookup 9",
        ),
        (
            "from 10.5.5.0/16 table 9 preference 6 fwmark 010",
            "from 10.5.5.0/16 priority 6 tos 0x0 fwmark 0x8 protocol 18 lookup 9",
        ),
        ("fwmark 5/ table 9 preference 6", "from all priority 6 tos 0x0 fwmark 0x5/0x0 protocol 18 lookup 9"),
        (
            "from 10.5.16.0/16 table 100 preference 17 sup_group default sup_pl 4",
            "from 10.5.16.0/16 priority 17 tos 0x0 suppress_prefixlen 4 suppress_ifgroup 0 protocol 18 lookup 100",
        ),
        ("from all lookup main preference 20", "from 0.0.0.0/0 priority 20 tos 0x0 protocol 18 lookup 254"),
        (
            "from any to default table 9 preference 37",
            "from 0.0.0.0/0 to 0.0.0.0/0 priority 37 tos 0x0 protocol 18 lookup 9",
        ),
        ("table 100 iif eth1 preference 31", "from all priority 31 tos 0x0 iif eth1 protocol 18 lookup 100"),
        (
            "from 10.5.35.0/16 table 100 preference 0",
            "from 10.5.35.0/16 priority 0 tos 0x0 protocol 18 lookup 100",
        ),
    ] {
        assert_eq!(of_rule(line).as_deref(), Some(dump), "{line}");
        assert_eq!(read("virtual_rules", line).1, 0, "{line}");
    }
}

#[test]
fn rules_without_preference_count_down_for_each_family() {
    let (instance, errors) = read(
        "virtual_rules",
        "from 10.5.0.0/16 table 100\nfrom 2001:db8::/32 table 100\nto 10.6.0.0/16 table 100\ntable 5 protocol 9 preference 3",
    );
    let priorities: Vec<u32> = instance.rules.iter().map(|rule| rule.priority).collect();
    assert_eq!((priorities, errors), (vec![16_384, 16_384, 16_383, 3], 4));
    assert_eq!(instance.rules[3].protocol, Some(18), "a tracked rule has keepalived's");
}

#[test]
fn rules_that_are_dropped() {
    for line in [
        "from 10.5.1.0/16 table nonsuch preference 2",
        "from 10.5.2.0/16 table 0 preference 3",
        "from 10.5.4.0/16 blackhole realms 5 preference 5",
        "from 10.5.10.0/16 goto 5 preference 11",
        "from 10.5.11.0/16 goto 50",
        "from 10.5.12.0/16 table 100 goto 500 preference 13",
        "from 10.5.13.0/16 preference 14",
        "from 10.5.18.0/16 to 2001:db8::/32 table 100 preference 19",
        "from 10.5.19.0/16 blackhole suppress_prefixlength 3 preference 21",
        "from 10.5.20.0/16 table 100 preference 22 uidrange 5",
        "from 10.5.23.0/16 table 100 preference 25 track_group g",
        "from 10.5.24.0/16 table 100 preference 70000000000",
        "from 10.5.26.0/16 table 100 l3mdev preference 27",
        "from 2001:db8:1::/48 realms 3 table 100 preference 32",
        "from 10.5.30.0/16 type unicast table 100 preference 33",
        "from 10.5.33.0/16 table 100 preference 36 tunnel-id 0x10",
        "from 10.5.9.0/16 table 100 preference 10 ipproto foo",
        "from 10.5.32.0/16 table 100 preference 35 sport 0-70000",
        "from 10.5.14.0/16 table 100 preference 15 protocol 300 no_track",
        "from 10.5.0.0/16 table 100 sport 10",
        "inet from 10.0.0.0/8 table 100",
        "from 10.5.0.0/16 table",
    ] {
        assert_eq!(of_rule(line), None, "{line}");
        assert_ne!(read("virtual_rules", line).1, 0, "{line}");
    }
}
