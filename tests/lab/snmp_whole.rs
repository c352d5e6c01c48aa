//! Every object of the three MIBs that Debian's package installs, beside stock: a configuration in which each has a value,
//! and the adverts that are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;

use crate::case::{Case, Lab};
use crate::kit::daemon::Program;
use crate::kit::inject::{Forged, Injector};
use crate::kit::net::Host;
use crate::kit::place;
use crate::kit::wait::{Outcome, ensure, secs, until};
use crate::snmp::{Bench, differences, settled};

pub(crate) const CASES: &[Case] = &[
    Case::single("snmp_every_object_of_the_mibs_is_stocks", every_object),
    Case::single("snmp_refused_adverts_are_counted_and_notified_as_by_stock", refused_adverts),
];

/// What the objects of routes, rules, trackers and groups need to have a value.
const RICH: &str = r#"
global_defs {
    router_id rich
    notification_email {
        a@b.c
    }
    notification_email_from from@x.y
    smtp_server 10.0.0.250 2525
    smtp_connect_timeout 7
    smtp_alert no
    smtp_alert_vrrp no
    smtp_alert_checker no
    no_email_faults
    enable_snmp_vrrp
    enable_snmp_rfcv2
    enable_snmp_rfcv3
    snmp_socket unix:/run/agentx
    script_user root
    vrrp_garp_master_delay 1
    dynamic_interfaces
}
track_file tf {
    file /tmp/tf
    weight 2 reverse
}
vrrp_script ok {
    script "/usr/bin/true x y"
    interval 2
    weight 3 reverse
    rise 1
    fall 4
}
vrrp_track_process tp {
    process no-such-process a b
    param_match exact
    weight 5 reverse
    quorum 2
    quorum_max 7
    fork_delay 1
    terminate_delay 2
    full_command
}
bfd_instance B1 {
    neighbor_ip 10.0.0.77
    source_ip 10.0.0.1
    weight 4
}
vrrp_sync_group G1 {
    group {
        V1
        V2
    }
    track_interface {
        eth0 weight 1
    }
    track_script {
        ok weight 2
    }
    track_file {
        tf
    }
    track_process {
        tp
    }
    track_bfd {
        B1
    }
    sync_group_tracking_weight
    notify_master "/usr/bin/true m"
    notify_backup "/usr/bin/true b"
    notify_fault "/usr/bin/true f"
    notify_stop "/usr/bin/true s"
    notify "/usr/bin/true g"
    smtp_alert
}
vrrp_instance V1 {
    interface eth0
    virtual_router_id 51
    priority 150
    advert_int 1
    state MASTER
    notify_master "/usr/bin/true m"
    notify_backup "/usr/bin/true b"
    notify_fault "/usr/bin/true f"
    notify_stop "/usr/bin/true s"
    notify_deleted "/usr/bin/true d"
    notify_master_rx_lower_pri "/usr/bin/true l"
    notify "/usr/bin/true n"
    virtual_ipaddress {
        10.0.0.9/24 brd 10.0.0.255 dev eth0 label eth0:x
        10.0.0.10 peer 10.0.0.99
    }
    virtual_routes {
        10.91.0.0/16 via 10.0.0.200 dev eth0 src 10.0.0.1 metric 7 table 77 tos 4 mtu lock 1400 advmss lock 900 rtt lock 400ms rttvar lock 300ms reordering lock 4 window 1000 cwnd lock 9 ssthresh lock 8 rto_min lock 250ms initcwnd 11 initrwnd 12 features ecn quickack 1 congctl reno realms 3/4 protocol 30 scope global hoplimit 33 fastopen_no_cookie 1 no_track
        10.92.0.0/16 nexthop via 10.0.0.201 dev eth0 weight 3 onlink realms 5/6 nexthop via 10.0.0.202 dev eth0 weight 4
        blackhole 10.93.0.0/16
        unreachable 10.94.0.0/16 table 78
        10.95.0.0/16 encap ip id 9 dst 10.0.0.203 src 10.0.0.1 tos 8 ttl 17 flags 1 dev eth0
        10.96.0.0/16 nexthop via 10.0.0.204 dev eth0 nexthop via 10.0.0.205 dev eth0
        10.97.0.0/16 encap mpls 100/200 via 10.0.0.206 dev eth0
    }
    virtual_rules {
        from 10.81.0.0/16 to 10.82.0.0/16 table 77 priority 100 tos 8 fwmark 5/7 realms 1/2 iif eth0 oif lo suppress_prefixlength 9 suppress_ifgroup 4 uidrange 3-9 protocol 31 ipproto tcp sport 10-20 dport 30-40 no_track
        not from 10.83.0.0/16 table 79 priority 101
        from 10.88.0.0/16 unreachable priority 107
        to 10.84.0.0/16 goto 200 priority 102
        from all tunnel-id 7 table 79 priority 103
        from 10.85.0.0/16 blackhole priority 104
        from 10.86.0.0/16 prohibit priority 105
        from 10.87.0.0/16 nop priority 106
    }
    authentication {
        auth_type PASS
        auth_pass abc
    }
}
vrrp_instance V2 {
    interface eth0
    virtual_router_id 52
    priority 40
    notify_deleted
    virtual_ipaddress {
        10.0.0.12
    }
}
vrrp_instance V3 {
    interface eth0
    version 3
    virtual_router_id 53
    priority 90
    advert_int 0.5
    nopreempt
    accept
    promote_secondaries
    smtp_alert
    track_interface {
        lo weight 3 reverse
        eth0 weight 2
    }
    track_script {
        ok weight 1
    }
    track_file {
        tf
    }
    track_process {
        tp
    }
    track_bfd {
        B1
    }
    virtual_ipaddress {
        10.0.0.13
    }
    virtual_ipaddress_excluded {
        10.0.0.113
    }
}
vrrp_instance V4 {
    interface eth0
    version 3
    virtual_router_id 54
    priority 100
    preempt_delay 3
    garp_master_delay 3
    dont_track_primary
    unicast_src_ip 10.0.0.1
    unicast_peer {
        10.0.0.240
    }
    virtual_ipaddress {
        10.0.0.14
    }
}
vrrp_instance V5 {
    interface eth0
    version 3
    virtual_router_id 55
    priority 100
    virtual_ipaddress {
        fe80::55
        2001:db8::55/64
    }
    virtual_routes {
        2001:db8:1::/48 via 2001:db8::200 dev eth0 metric 9 pref high expires 900
        2001:db8:2::/48 from 2001:db8:3::/48 dev eth0
        2001:db8:4::/48 nexthop via 2001:db8::201 dev eth0 weight 2 nexthop via 2001:db8::202 dev eth0
        2001:db8:6::/64 encap ila 1:2:3:4 via 2001:db8::203 dev eth0
        2001:db8:5::/48 encap ip6 id 9 dst 2001:db8::203 src 2001:db8::1 tc 8 hoplimit 17 flags 1 dev eth0
    }
    virtual_rules {
        from 2001:db8:9::/48 table 80 priority 110
        to 2001:db8:a::/48 l3mdev priority 111
    }
}
vrrp_instance V6 {
    interface eth0
    virtual_router_id 56
    priority 100
    authentication {
        auth_type AH
        auth_pass secret
    }
    virtual_ipaddress {
        10.0.0.16
    }
}
"#;

/// The objects that no configuration gives a value here, with the reason.
const WITHOUT_VALUE: &[(&str, &str)] = &[
    ("vrrpOperAuthKey", "a password; stock shows none either"),
    ("vrrpInstanceLvsSyncInterface", "lvs_sync_daemon needs IPVS, which this kernel has not"),
    ("vrrpRouteSecondaryGateway", "obsolete; stock has no second gateway"),
    ("vrrpRouteNextHopEncapMplsLabels", "2.2.7 drops the encap of a next hop, here and below"),
    ("vrrpRouteNextHopEncapId", ""),
    ("vrrpRouteNextHopEncapDstAddress", ""),
    ("vrrpRouteNextHopEncapSrcAddress", ""),
    ("vrrpRouteNextHopEncapTOS", ""),
    ("vrrpRouteNextHopEncapTTL", ""),
    ("vrrpRouteNextHopEncapFlags", ""),
    ("vrrpRouteNextHopEncapIlaLocator", ""),
];

/// Readable objects of a MIB file: dotted number of the column or scalar, and name. `root` is the number of the module.
pub(crate) fn objects(file: &str, module: &str, root: &str) -> Outcome<BTreeMap<String, String>> {
    let path = place::store().join("keepalived/usr/share/snmp/mibs").join(file);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    // Texts in quotes and comments left out.
    let text: String = text.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let text: String = text.lines().map(|line| line.split("--").next().unwrap_or_default()).fold(
        String::new(),
        |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        },
    );
    let mut numbers = BTreeMap::from([(module.to_owned(), root.to_owned())]);
    let mut found = BTreeMap::new();
    let words: Vec<&str> = text.split_whitespace().collect();
    for (at, pair) in words.windows(2).enumerate() {
        let is_object = pair[1] == "OBJECT-TYPE";
        if !(is_object || pair == [pair[0], "OBJECT"] && words.get(at + 2) == Some(&"IDENTIFIER")) {
            continue;
        }
        // Up to `::= { PARENT NUMBER }`.
        let Some(end) = words[at..].iter().position(|word| *word == "::=") else { continue };
        let value = words[at + end + 1..].iter().take(6).copied().collect::<Vec<_>>().join(" ");
        let value = value.replace(['{', '}'], " ");
        let mut value = value.split_whitespace();
        let (Some(parent), Some(number)) = (value.next(), value.next()) else { continue };
        let Some(above) = numbers.get(parent) else { continue };
        let dotted = format!("{above}.{number}");
        numbers.insert(pair[0].to_owned(), dotted.clone());
        let access = words[at..at + end].iter().skip_while(|word| **word != "MAX-ACCESS").nth(1);
        if is_object && access.is_some_and(|access| access.starts_with("read")) {
            found.insert(dotted, pair[0].to_owned());
        }
    }
    Ok(found)
}

/// Names of the objects that a walk has no value of, but for these.
pub(crate) fn unseen<'a>(
    objects: &'a BTreeMap<String, String>,
    walk: &BTreeMap<String, String>,
) -> BTreeSet<&'a str> {
    let seen = |number: &str| walk.keys().any(|name| name.starts_with(&format!("{number}.")));
    objects.iter().filter(|(number, _)| !seen(number)).map(|(_, name)| name.as_str()).collect()
}

fn every_object(lab: &Lab) -> Outcome {
    let stock = Program::stock();
    let (subject, stock) = std::thread::scope(|scope| {
        let other = scope.spawn(|| walk(lab, &stock, "stock"));
        let subject = walk(lab, &lab.subject, "subject");
        (subject, other.join().unwrap_or_else(|_| Err("panicked".to_owned())))
    });
    let (subject, stock) = (subject?, stock?);
    let found = differences(&subject, &stock);
    ensure!(found.is_empty(), "{}", found.join("\n"));
    let mut expected = objects("KEEPALIVED-MIB.txt", "keepalived", ".1.3.6.1.4.1.9586.100.5")?;
    // The node `check` has a case of its own.
    expected.retain(|number, _| !number.starts_with(".1.3.6.1.4.1.9586.100.5.3."));
    expected.extend(objects("VRRP-MIB.txt", "vrrpMIB", ".1.3.6.1.2.1.68")?);
    expected.extend(objects("VRRPv3-MIB.txt", "vrrpv3MIB", ".1.3.6.1.2.1.207")?);
    ensure!(expected.len() > 300, "{} objects in the files", expected.len());
    let without: BTreeSet<_> = WITHOUT_VALUE.iter().map(|(name, _)| *name).collect();
    let unseen = unseen(&expected, &subject);
    ensure!(unseen == without, "without a value: {unseen:?}");
    Ok(())
}

fn walk(lab: &Lab, program: &Program, name: &str) -> Outcome<BTreeMap<String, String>> {
    let mut bench = Bench::new(lab, program, name, RICH)?;
    bench.host.use_ipv6("eth0", "2001:db8::1/64")?;
    bench.host.space.ip("address add fe80::1/64 dev eth0")?;
    let _snmpd = bench.snmpd()?;
    bench.daemon.start(&bench.host, &[])?;
    let walk = settled(&bench, 1..=6)?;
    bench.daemon.stop()?;
    Ok(walk)
}

const REFUSING: &str = r"
global_defs {
    router_id r1
    enable_traps
    enable_snmp_vrrp
    enable_snmp_rfcv2
    enable_snmp_rfcv3
    snmp_socket unix:/run/agentx
}
vrrp_instance V1 {
    interface eth0
    virtual_router_id 51
    priority 150
    authentication {
        auth_type PASS
        auth_pass abc
    }
    virtual_ipaddress {
        10.0.0.9
    }
}
vrrp_instance V3 {
    interface eth0
    version 3
    virtual_router_id 53
    priority 150
    virtual_ipaddress {
        10.0.0.13
    }
}
";

/// An advert that is wrong in one way, what that is, and what it is notified as.
fn wrong() -> Vec<(&'static str, Vec<u8>)> {
    let right = Forged {
        source: Ipv4Addr::new(10, 0, 0, 66),
        ttl: 255,
        vrid: 51,
        priority: 90,
        checksum_off: 0,
        address: Ipv4Addr::new(10, 0, 0, 9),
    };
    let third = Forged { vrid: 53, address: Ipv4Addr::new(10, 0, 0, 13), ..right };
    vec![
        ("no authentication", right.frame()),
        ("authentication of no known type", right.authenticated(9, *b"abc\0\0\0\0\0")),
        ("another password", right.authenticated(1, *b"other\0\0\0")),
        ("TTL", Forged { ttl: 254, ..right }.authenticated(1, *b"abc\0\0\0\0\0")),
        ("version 3", right.version_3(100)),
        ("checksum", Forged { checksum_off: 1, ..right }.authenticated(1, *b"abc\0\0\0\0\0")),
        ("TTL of version 3", Forged { ttl: 254, ..third }.version_3(100)),
        ("version 2 for version 3", third.frame()),
        ("length", of_version(3, right.frame())),
        ("length of version 3", of_version(2, third.version_3(100))),
        ("checksum of version 3", Forged { checksum_off: 1, ..third }.version_3(100)),
        ("addresses of version 3", Forged { address: Ipv4Addr::new(10, 0, 0, 99), ..third }.version_3(100)),
        ("interval of version 3", third.version_3(77)),
        (
            "addresses",
            Forged { address: Ipv4Addr::new(10, 0, 0, 99), ..right }.authenticated(1, *b"abc\0\0\0\0\0"),
        ),
    ]
}

/// The frame with another number in it, which is looked at before the checksum is.
fn of_version(version: u8, mut frame: Vec<u8>) -> Vec<u8> {
    // Behind the headers of Ethernet and IPv4.
    frame[14 + 20] = version << 4 | 1;
    frame
}

/// What was notified of each, and all objects afterwards.
type Refused = (Vec<(&'static str, Vec<String>)>, BTreeMap<String, String>);

fn refuse(lab: &Lab, program: &Program, name: &str, known: Option<&Refused>) -> Outcome<Refused> {
    let mut bench = Bench::new(lab, program, name, REFUSING)?;
    let forger = Host::on(&bench.switch, "f", &["10.0.0.66/24"])?;
    let _snmpd = bench.snmpd()?;
    let _snmptrapd = bench.snmptrapd()?;
    bench.daemon.start(&bench.host, &[])?;
    settled(&bench, 1..=2)?;
    let injector = Injector::on(&forger)?;
    let mut found = Vec::new();
    let about = |trap: &String| [".2.1.68.0.2", ".2.1.207.0.2"].iter().any(|kind| trap.contains(kind));
    let traps = |bench: &Bench| bench.traps().into_iter().filter(about).collect::<Vec<_>>();
    for (place, (what, frame)) in wrong().into_iter().enumerate() {
        let before = traps(&bench).len();
        injector.send(&frame)?;
        let wanted = known.map(|known| known.0[place].1.len());
        // Nobody knows beforehand what stock says, and whether.
        let limit = if wanted.unwrap_or(1) > 0 && wanted.is_some() { secs(10.0) } else { secs(1.0) };
        let _ =
            until(limit, what, || (traps(&bench).len() >= before + wanted.unwrap_or(1).max(1)).then_some(()));
        found.push((what, traps(&bench).split_off(before)));
    }
    let walk = bench.walk();
    bench.daemon.stop()?;
    Ok((found, walk))
}

fn refused_adverts(lab: &Lab) -> Outcome {
    let stock = refuse(lab, &Program::stock(), "stock", None)?;
    let subject = refuse(lab, &lab.subject, "subject", Some(&stock))?;
    let told = |one: &Refused| {
        one.0.iter().map(|(what, traps)| format!("{what}: {}", traps.join(" | "))).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    for (ours, theirs) in told(&subject).into_iter().zip(told(&stock)) {
        if ours != theirs {
            found.push(format!("{ours}\n    stock {theirs}"));
        }
    }
    found.extend(differences(&subject.1, &stock.1));
    ensure!(found.is_empty(), "{}", found.join("\n"));
    let notified = stock.0.iter().filter(|(_, traps)| !traps.is_empty()).count();
    ensure!(notified >= 4, "stock notified {notified}: {:?}", stock.0);
    Ok(())
}
