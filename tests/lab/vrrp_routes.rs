//! Routes, rules and static objects: every word of their grammar beside stock, and what becomes of those that somebody removes.

use crate::case::{Case, Lab};
use crate::kit::wait::{Outcome, ensure, secs, throughout, until};
use crate::pair::instance;
use crate::twins::{Twin, same, twins};

pub(crate) const CASES: &[Case] = &[
    // spec/vrrp-config.md §3.2, §3.3.
    Case::single("routes_every_word_of_routes_and_rules_does_what_it_does_with_stock", words),
    // spec/vrrp-config.md §3.1.
    Case::single("routes_every_word_of_addresses_does_what_it_does_with_stock", address_words),
    // spec/vrrp-behaviour.md §8 "Static addresses/routes/rules".
    Case::single("routes_static_objects_come_first_and_come_back", statics),
];

/// Routes of a master. `local` and its like are given the scope that stock does not find by itself.
const ROUTES: &str = "
    10.1.1.0/24 via 10.0.0.2 dev eth0 src 10.0.0.100 table 100 metric 5 tos 0x10
    10.1.2.0/24 via 10.0.0.2 mtu lock 1300 advmss 1000 rtt 300ms rttvar lock 1s reordering 4 cwnd lock 9 ssthresh 8 rto_min 250ms hoplimit 7 window 1000 initcwnd 5 initrwnd 6 features ecn quickack 1 fastopen_no_cookie 1 congctl lock reno
    10.1.3.0/24 via 10.0.0.2 realms 3/4
    10.1.4.0/24 nexthop via 10.0.0.2 dev eth0 weight 5 realms 3 nexthop via 10.0.0.3 dev eth0 onlink weight 1
    10.1.6.0/24 dev eth0 scope link protocol static no_track
    to 10.1.7.0/24 via 192.0.2.7 onlink dev eth0 preference 77
    to 10.1.7.0/24 gw 10.0.0.4 oif eth0 priority 78
    blackhole 10.1.8.0/24
    unreachable 10.1.9.0/24 metric 6
    prohibit 10.1.10.0/24
    throw 10.1.11.0/24 table 300
    multicast 239.1.0.0/16 dev eth0
    unicast 10.1.12.0/24 dev eth0 scope link dsfield 0x08
    local 10.1.13.1 dev eth0 scope host table 100
    broadcast 10.1.14.1 dev eth0 scope link table 100
    anycast 10.1.14.2 dev eth0 scope link table 100
    10.1.15.0/24 via 10.0.0.2 encap ip id 5 dst 10.0.0.9 src 10.0.0.1 tos 4 ttl 7
    10.1.16.0/24 dev eth0 encap ip6 id 5 dst 2001:db8::9 src 2001:db8::1 tc 4 hoplimit 9
    10.1.18.0/24 via 10.0.0.2 metric 1
    10.1.18.0/24 via 10.0.0.3 metric 1 append
    10.1.18.0/24 via 10.0.0.4 metric 1 prepend
    10.1.18.0/24 via 10.0.0.5 metric 1 add
    10.1.19.0/24 via 10.0.0.2 or 10.0.0.3
    10.1.20.0/24 via 10.0.0.2 as to 10.2.0.0/24
    10.1.21.7 via 10.0.0.2 rtt 5 rto_min 3s
    10.1.22.0/24 nexthop via 10.0.0.2 nexthop via 10.0.0.3 weight 0
    10.1.23.0/24 via 10.0.0.2 nonsense
    default via 10.0.0.254 table 200
    2001:db8:1::/64 via 2001:db8::2 dev eth0 expires 1000 pref high
    2001:db8:2::/64 from 2001:db8:5::/64 via 2001:db8::2 dev eth0 pref low
    2001:db8:3::/64 via 2001:db8::2 metric 7 mtu 1400 hoplimit 9 src 2001:db8::100 pref 0
    2001:db8:4::/64 via inet6 2001:db8::2 advmss 1300
    blackhole 2001:db8:6::/64
    2001:db8:7::/64 nexthop via 2001:db8::2 weight 2 nexthop via 2001:db8::3 dev eth0
    2001:db8:8::/64 encap ip6 id 6 dst 2001:db8::9 dev eth0
    default via fe80::2 dev eth0 metric 9
    default6 via 2001:db8::2 table 100
";

const RULES: &str = "
    from 10.5.0.0/24 to 10.6.0.0/24 table 100 preference 1001
    fwmark 5/0xff ipproto udp sport 10-20 dport 30-40 lookup 100 preference 1002
    uidrange 1-2 table 100 priority 1003
    from 10.5.1.0/24 tunnel-id 7 table 300 order 0x3ec
    iif eth0 oif eth1 table 100 preference 1005
    dev eth0 to 10.6.1.0/24 l3mdev preference 1006
    from 10.5.2.0/24 goto 1010 preference 1007
    from all nop preference 1010
    from 10.5.3.0/24 tos 0x10 blackhole preference 1011
    from 10.5.3.0/24 dsfield 0x08 prohibit preference 1012
    to 10.6.3.0/24 type unreachable preference 1013
    from 10.5.4.0/24 table 100 realms 3/4 preference 1014
    from 10.5.5.0/24 table 100 suppress_prefixlength 5 suppress_ifgroup 4 preference 1015
    from 10.5.5.0/24 table 100 sup_pl 6 sup_group 5 preference 1016
    not from 10.5.6.0/24 table 100 preference 1017
    from 10.5.7.0/24 table 100 preference 1018 protocol 5 no_track
    from 10.5.8.0/24 table 100
    from 10.5.9.0/24 table 100
    from 10.5.11.0/24 table 0 preference 1020
    from 10.5.12.0/24 goto 1020 preference 1021
    from 2001:db8:9::/64 table 100 preference 1001
    from 2001:db8:9::/64 fwmark 7 ipproto 6 prohibit preference 1002
    not to 2001:db8:a::/64 iif eth0 table 100
";

fn words(lab: &Lab) -> Outcome {
    let text = instance(
        "VI_1",
        51,
        "eth0",
        150,
        &format!(
            "version 3\nadvert_int 0.2\nvirtual_ipaddress {{\n10.0.0.100/24\n}}\nvirtual_ipaddress_excluded {{\n2001:db8::100/64\n}}\n\
             virtual_routes {{{ROUTES}}}\nvirtual_rules {{{RULES}}}"
        ),
    );
    let mut pair = twins(lab, &text)?;
    let mut seen = Vec::new();
    for twin in &mut pair {
        twin.add_eth1()?;
        let before = (twin.routes()?, twin.rules()?);
        twin.start()?;
        twin.daemon.wait_log("(VI_1) Entering MASTER STATE", secs(6.0))?;
        // The last one in the order of adding.
        until(secs(3.0), "the last rule", || {
            twin.rules().ok()?.iter().any(|rule| rule.contains("2001:db8:a::")).then_some(())
        })
        .map_err(|e| twin.daemon.explain(e))?;
        seen.push((twin.routes()?, twin.rules()?));
        twin.daemon.stop()?;
        same("routes left behind", &twin.routes()?, &before.0)?;
        same("rules left behind", &twin.rules()?, &before.1)?;
    }
    ensure!(seen[1].0.len() > 40 && seen[1].1.len() > 24, "stock shows little: {:?}", seen[1]);
    // One of those with every metric.
    ensure!(seen[1].0.iter().any(|route| route.contains("congestion")), "stock lacks 10.1.2.0/24");
    same("rules", &seen[0].1, &seen[1].1)?;
    same("routes", &seen[0].0, &seen[1].0)
}

const ADDRESSES: &str = "
    10.0.1.1
    10.0.1.2/24 brd 10.0.1.255 label eth0:abc
    10.0.2.1/24 brd + scope link
    10.0.3.1/24 broadcast - scope 200
    10.0.4.1 peer 10.0.5.1
    10.0.4.2/24 peer 10.0.5.2
    10.0.6.1/24 noprefixroute
    10.0.7.1/24 home mngtmpaddr
    10.0.8.1/24 preferred_lft 0
    10.0.8.2/24 preferred_lft 1000
    10.0.9.1/24 dev eth1 scope host
    10.0.9.2/24 dev eth1 no_track nonsense
    10.0.10.1/24 label eth0:far_too_long_a_label
    10.0.11.1/24 brd
    10.0.12.1/33
";
const ADDRESSES_6: &str = "
    2001:db8:1::1
    2001:db8:1::2/64
    2001:db8:1::3 preferred_lft forever
    2001:db8:1::4/64 preferred_lft 0
    2001:db8:1::5/64 preferred_lft 1000
    2001:db8:1::6/64 -nodad
    2001:db8:1::7/64 home
    2001:db8:2::8/64 noprefixroute
    2001:db8:3::9/64 mngtmpaddr
    2001:db8:1::a peer 2001:db8:4::1
    2001:db8:1::c/64 dev eth1
    2001:db8:1::d/64 scope link label no
    2001:db8:1::e/64 brd +
    10.0.20.1/24 dev eth1 label eth1:far
";

fn address_words(lab: &Lab) -> Outcome {
    let text = instance(
        "VI_1",
        51,
        "eth0",
        150,
        &format!(
            "version 3\nadvert_int 0.2\nvirtual_ipaddress {{{ADDRESSES}}}\nvirtual_ipaddress_excluded {{{ADDRESSES_6}}}"
        ),
    );
    let mut pair = twins(lab, &text)?;
    let mut seen = Vec::new();
    for twin in &mut pair {
        twin.add_eth1()?;
        let before = twin.addresses()?;
        twin.start()?;
        twin.daemon.wait_log("(VI_1) Entering MASTER STATE", secs(6.0))?;
        until(secs(3.0), "the last address", || {
            twin.addresses().ok()?.iter().any(|one| one.contains("10.0.20.1")).then_some(())
        })
        .map_err(|e| twin.daemon.explain(e))?;
        // Duplicate address detection of the one that wants it ends by itself.
        until(secs(5.0), "no tentative address", || {
            twin.addresses().ok()?.iter().all(|one| !one.contains("tentative")).then_some(())
        })?;
        seen.push(twin.addresses()?);
        twin.daemon.stop()?;
        let mut left = twin.addresses()?;
        // 2.2.7 forgets those that have a peer; 2.4.3 names it in the removal (spec/vrrp-behaviour.md §8).
        left.retain(|one| !(twin.daemon.program.is_stock() && one.contains("\"address\":\"10.0.5.")));
        same("addresses left behind", &left, &before)?;
    }
    ensure!(seen[1].len() > 24, "stock shows little: {:#?}", seen[1]);
    same("addresses", &seen[0], &seen[1])
}

const STATICS: &str = "
track_group G {
    group {
        VI_1
    }
}
static_ipaddress {
    10.9.0.1/24 dev eth0 track_group G
    10.9.1.1/24 dev eth1
    10.9.2.1/24 dev eth1 no_track
    10.9.3.1/24 dev eth1 track_group G
    2001:db8:9::1/64 dev eth1
}
static_routes {
    10.8.0.0/24 via 10.0.0.2 dev eth0 track_group G
    10.8.1.0/24 dev eth1
    10.8.2.0/24 via 10.0.0.2 dev eth0 no_track
    2001:db8:8::/64 via 2001:db8::2 dev eth0
}
static_rules {
    from 10.8.0.0/24 table 100 preference 500
    to 10.8.1.0/24 iif eth1 table 100 preference 501
    from 10.8.2.0/24 table 100 preference 502 no_track
    from 2001:db8:8::/64 table 100 preference 503
}
";

fn statics(lab: &Lab) -> Outcome {
    let text = STATICS.to_owned()
        + &instance("VI_1", 51, "eth0", 150, "version 3\nadvert_int 0.2\nvirtual_ipaddress {\n10.0.0.100\n}");
    let mut pair = twins(lab, &text)?;
    // What somebody takes away; restored, unless it is not tracked.
    let hands = [
        ("address del 10.9.0.1/24 dev eth0", true),
        ("address del 10.9.1.1/24 dev eth1", true),
        ("address del 10.9.2.1/24 dev eth1", false),
        ("route del 10.8.0.0/24", true),
        ("route del 10.8.1.0/24", true),
        ("route del 10.8.2.0/24", false),
        ("-6 route del 2001:db8:8::/64", true),
        ("rule del preference 500", true),
        ("rule del preference 501", true),
        ("rule del preference 502", false),
        ("-6 rule del preference 503", true),
    ];
    let mut seen = Vec::new();
    for twin in &mut pair {
        twin.add_eth1()?;
        let all = |twin: &Twin| -> Outcome<Vec<String>> {
            Ok([twin.routes()?, twin.rules()?, twin.addresses()?].concat())
        };
        let ip = |twin: &Twin, command: &str| {
            twin.host.space.run("ip", &command.split(' ').collect::<Vec<_>>()).map(drop)
        };
        let before = all(twin)?;
        twin.start()?;
        twin.daemon.wait_log("(VI_1) Entering MASTER STATE", secs(6.0))?;
        let mut now = all(twin)?;
        seen.push(now.clone());
        // 2.2.7 does not see IPv6 routes and rules go.
        let is_blind = twin.daemon.program.is_stock();
        let hands = hands
            .iter()
            .filter(|(command, _)| !is_blind || !command.contains("rule") && !command.contains("-6"));
        for (command, is_restored) in hands {
            ip(twin, command)?;
            if *is_restored {
                until(secs(2.0), format!("what `{command}` took"), || (all(twin).ok()? == now).then_some(()))
                    .map_err(|e| twin.daemon.explain(e))?;
            } else {
                throughout(secs(0.3), format!("what `{command}` took stays away"), || {
                    all(twin).is_ok_and(|seen| seen.len() < now.len())
                })?;
                now = all(twin)?;
            }
        }
        ensure!(twin.states().len() == 2, "{:?}", twin.states());
        // An instance that is in the group of a static object fails with its interface.
        ip(twin, "link set eth1 down")?;
        twin.daemon.wait_log("(VI_1) Entering FAULT STATE", secs(2.0))?;
        let lines = twin.daemon.log_length();
        ip(twin, "link set eth1 up")?;
        twin.daemon.wait_log_after(lines, "(VI_1) Entering MASTER STATE", secs(4.0))?;
        until(secs(2.0), "all static objects", || {
            let gone: Vec<_> =
                now.iter().filter(|line| !all(twin).is_ok_and(|seen| seen.contains(line))).collect();
            gone.is_empty().then_some(())
        })
        .map_err(|e| twin.daemon.explain(e))?;
        twin.daemon.stop()?;
        same("left behind", &all(twin)?, &before)?;
    }
    same("static objects", &seen[0], &seen[1])
}
