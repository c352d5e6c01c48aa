//! The checks of a received advert row by row (spec/vrrp-behaviour.md §2): what is said, which counter moves, and whether
//! the advert counts.

use super::samples::*;
use crate::config::model::{Auth, Centis, Instance, Transport, UnicastChecksum, UnicastPeer, VrrpVersion};
use crate::vrrp::{Actions, Counters, Envelope, Event, VrrpState};

/// Where things stand in a packet: the IPv4 header's total length and TTL, and fields of the PDU behind it.
const TOTAL_LENGTH: usize = 3;
const TTL: usize = 8;
const PDU: usize = 20;
const AUTH_TYPE: usize = PDU + 4;
const CHECKSUM: usize = PDU + 6;

struct Row {
    number: &'static str,
    /// Ours; the sender has the same, but for what `packet` changes.
    config: fn() -> Instance,
    packet: fn(&Instance) -> Vec<u8>,
    /// What is logged behind the name.
    line: &'static str,
    counter: fn(Counters) -> u64,
    is_accepted: bool,
}

fn v2() -> Instance {
    instance("V", 1, 100)
}

fn v3() -> Instance {
    Instance { version: VrrpVersion::V3, ..v2() }
}

fn pass() -> Instance {
    Instance { auth: Auth::Pass(*b"password"), ..v2() }
}

fn unicast() -> Instance {
    let peer = UnicastPeer { address: ip("10.0.0.2"), min_ttl: Some(250), max_ttl: Some(254) };
    let transport = Transport::Unicast { peers: vec![peer], ttl: None, checksum: UnicastChecksum::Auto };
    Instance { transport, check_unicast_src: true, ..v2() }
}

/// An advert of priority 150 from 10.0.0.2 in which some bytes are others.
fn with(config: &Instance, changes: &[(usize, u8)]) -> Vec<u8> {
    let mut packet = advert_of(config, "10.0.0.2", 150);
    for (at, value) in changes {
        packet[*at] = *value;
    }
    packet
}

/// To our own address instead of the group; version 2 has no pseudo header.
fn to_us(from: &str, ttl: u8) -> Vec<u8> {
    let transport = Transport::Multicast { group: ip("10.0.0.1") };
    let mut packet = advert_of(&Instance { transport, ..v2() }, from, 150);
    packet[TTL] = ttl;
    packet
}

fn longer(config: &Instance, by: usize) -> Vec<u8> {
    let mut packet = with(config, &[]);
    packet.resize(packet.len() + by, 0);
    packet
}

fn none(_: Counters) -> u64 {
    0
}

const ROWS: &[Row] = &[
    Row {
        number: "1, with a header that nobody asked for",
        config: v2,
        packet: |config| {
            let mut packet = with(config, &[(9, 51)]);
            let header = [&[112, 4, 0, 0, 10, 0, 0, 2, 0, 0, 0, 1][..], &[0; 12]].concat();
            packet.splice(PDU..PDU, header);
            packet
        },
        line: "Received AH header but auth type not AH from 10.0.0.2",
        counter: |all| all.authtype_mismatch,
        is_accepted: false,
    },
    Row {
        number: "1, without one",
        config: || Instance { auth: Auth::Ah(*b"password"), ..v2() },
        packet: |_| with(&v2(), &[]),
        line: "No AH header but auth type is AH from 10.0.0.2",
        counter: |all| all.authtype_mismatch,
        is_accepted: false,
    },
    Row {
        number: "2, too long",
        config: v2,
        packet: |config| longer(config, 4),
        line: "vrrp packet from 10.0.0.2 too long, length 44 and expect 40",
        counter: |all| all.packet_len_err,
        is_accepted: false,
    },
    Row {
        number: "2, too short",
        config: v2,
        packet: |config| with(config, &[])[..32].to_vec(),
        line: "vrrp packet from 10.0.0.2 too short, length 32 and expect 40",
        counter: |all| all.packet_len_err,
        is_accepted: false,
    },
    Row {
        number: "2, of the version that it names",
        config: v2,
        packet: |config| with(config, &[(PDU, 0x31)]),
        line: "vrrp packet from 10.0.0.2 too long, length 40 and expect 32",
        counter: |all| all.packet_len_err,
        is_accepted: false,
    },
    Row {
        number: "2a, padding",
        config: v2,
        packet: |config| longer(config, 2),
        line: "",
        counter: none,
        is_accepted: true,
    },
    Row {
        number: "3",
        config: v2,
        packet: |config| with(config, &[(TTL, 64)]),
        line: "invalid TTL/HL from 10.0.0.2. Received 64 and expect 255",
        counter: |all| all.ip_ttl_err,
        is_accepted: false,
    },
    Row {
        number: "4",
        config: v2,
        packet: |_| with(&v3(), &[]),
        line: "wrong VRRP version from 10.0.0.2. Received 3 and expect 2",
        counter: |all| all.version_err,
        is_accepted: false,
    },
    Row {
        number: "6",
        config: v2,
        packet: |config| with(config, &[(AUTH_TYPE, 5)]),
        line: "Invalid auth type from 10.0.0.2: 5",
        counter: |all| all.invalid_authtype,
        is_accepted: false,
    },
    Row {
        number: "7",
        config: v2,
        packet: |config| with(config, &[(AUTH_TYPE, 1)]),
        line: "received a 1 auth from 10.0.0.2, expecting 0!",
        counter: |all| all.authtype_mismatch,
        is_accepted: false,
    },
    Row {
        number: "8",
        config: pass,
        packet: |config| with(config, &[(39, b'D')]),
        line: "received an invalid passwd from 10.0.0.2!",
        counter: |all| all.auth_failure,
        is_accepted: false,
    },
    Row {
        number: "9",
        config: v2,
        packet: |config| with(&Instance { advert_int: Centis(200), ..config.clone() }, &[]),
        line: "advertisement interval mismatch with 10.0.0.2 mine=1 sec rcv'd=2 sec",
        counter: |all| all.advert_interval_err,
        is_accepted: false,
    },
    Row {
        number: "10",
        config: v2,
        packet: |config| with(config, &[(PDU, 0x23)]),
        line: "Invalid packet type from 10.0.0.2. 3 and expect 1",
        counter: |all| all.invalid_type_rcvd,
        is_accepted: false,
    },
    Row {
        number: "11",
        config: v2,
        packet: |config| with(config, &[(TOTAL_LENGTH, 36)]),
        line: "ip_tot_len mismatch against received length from 10.0.0.2. Expected 40 got 36",
        counter: |all| all.packet_len_err,
        is_accepted: false,
    },
    Row {
        number: "12",
        config: v3,
        packet: |config| with(&Instance { advert_int: Centis(50), ..config.clone() }, &[]),
        line: "advertisement interval mismatch ours = 100 centi-sec rcv'd=50 centi-sec",
        counter: |all| all.advert_interval_err,
        is_accepted: true,
    },
    Row {
        number: "13, version 2",
        config: v2,
        packet: |config| with(config, &[(CHECKSUM, 0)]),
        line: "Invalid VRRPv2 checksum from 10.0.0.2",
        counter: |all| all.checksum_err,
        is_accepted: false,
    },
    Row {
        number: "13, version 3",
        config: v3,
        packet: |config| with(config, &[(CHECKSUM, 0)]),
        line: "Invalid VRRPv3 checksum from 10.0.0.2",
        counter: |all| all.checksum_err,
        is_accepted: false,
    },
    Row {
        number: "13, v3_checksum_as_v2",
        config: || Instance { v3_checksum_as_v2: true, ..v3() },
        packet: |config| with(config, &[(CHECKSUM, 0)]),
        line: "",
        counter: |all| all.checksum_err,
        is_accepted: true,
    },
    Row {
        number: "14, multicast for a unicast instance",
        config: unicast,
        packet: |_| with(&v2(), &[]),
        line: "Expected unicast packet but received multicast packet from 10.0.0.2",
        counter: |all| all.addr_list_err,
        is_accepted: false,
    },
    Row {
        number: "14, the reverse",
        config: v2,
        packet: |_| to_us("10.0.0.2", 255),
        line: "Expected multicast packet but received unicast packet from 10.0.0.2",
        counter: |all| all.addr_list_err,
        is_accepted: false,
    },
    Row {
        number: "16",
        config: v2,
        packet: |config| {
            let vips = vec![vip("10.0.0.101", "eth0"), vip("10.0.0.110", "eth0")];
            with(&Instance { vips, ..config.clone() }, &[])
        },
        line: "expected 1 VIPs but received 2",
        counter: |all| all.addr_list_err,
        is_accepted: true,
    },
    Row {
        number: "17",
        config: v2,
        packet: |config| with(&Instance { vips: vec![vip("10.0.0.110", "eth0")], ..config.clone() }, &[]),
        line: "ip address associated with VRID 1 not present in advert from 10.0.0.2: 10.0.0.101",
        counter: |all| all.addr_list_err,
        is_accepted: true,
    },
    Row {
        number: "18",
        config: unicast,
        packet: |_| to_us("10.0.0.3", 254),
        line: "unicast source address 10.0.0.3 not a unicast peer",
        counter: |all| all.ip_ttl_err,
        is_accepted: false,
    },
    Row {
        number: "18b",
        config: unicast,
        packet: |_| to_us("10.0.0.2", 255),
        line: "TTL/HL 255 from 10.0.0.2 not in range [250, 254]",
        counter: |all| all.ip_ttl_err,
        is_accepted: false,
    },
    Row {
        number: "18b, in range",
        config: unicast,
        packet: |_| to_us("10.0.0.2", 250),
        line: "",
        counter: none,
        is_accepted: true,
    },
    Row {
        number: "19",
        config: v2,
        packet: |config| advert_of(config, "10.0.0.2", 0),
        line: "",
        counter: |all| all.pri_zero_rcvd,
        is_accepted: true,
    },
];

fn heard(bench: &mut Bench, packet: &[u8]) -> Actions {
    bench.now = bench.now + secs(0.1);
    bench.event(Event::Advert { index: 1, envelope: Envelope::V4, packet: packet.to_vec() })
}

/// How often a line stands in the log of the instance.
fn count(out: &Actions, line: &str) -> usize {
    logs(out).iter().filter(|found| found.strip_prefix("(V) ") == Some(line)).count()
}

/// Rows 1 to 19 as a BACKUP meets them: the line once, the counter each time, the timer anew only for what is accepted.
#[test]
fn every_check_has_its_line_its_counter_and_its_result() {
    for Row { number, config, packet, line, counter, is_accepted } in ROWS {
        let config = config();
        let packet = packet(&config);
        let (mut bench, _) = Bench::start(&part(&[config]));
        bench.wait(1.0);
        for round in 0..3_u64 {
            let (before, deadline) = (bench.counters(), bench.router.deadline());
            let out = heard(&mut bench, &packet);
            let told = usize::from(round == 0 && !line.is_empty());
            // Stock says of a new master's first advert once more what it said of it as a stranger's.
            let is_again = round == 1 && *is_accepted;
            assert!(count(&out, line) == told || is_again, "row {number}, {round}: {:?}", logs(&out));
            let (all, moved) = (bench.counters(), counter(bench.counters()) - counter(before));
            let wanted = u64::from(counter(all) > 0);
            assert_eq!(moved, wanted, "row {number}");
            assert_eq!(
                all.advert_rcvd > before.advert_rcvd,
                *is_accepted || number.starts_with("18"),
                "row {number}"
            );
            assert_eq!(bench.router.deadline() != deadline, *is_accepted, "row {number}, {round}");
            assert_eq!(bench.state(0), VrrpState::Backup, "row {number}");
        }
    }
}

/// Every counter that a row names moves; a row whose counter stands still says so by its name.
#[test]
fn the_counters_that_stay_at_zero_are_stocks() {
    let still: Vec<&str> = ROWS
        .iter()
        .filter(|row| {
            let config = (row.config)();
            let packet = (row.packet)(&config);
            let (mut bench, _) = Bench::start(&part(&[config]));
            heard(&mut bench, &packet);
            (row.counter)(bench.counters()) == 0
        })
        .map(|row| row.number)
        .collect();
    assert_eq!(still, ["2a, padding", "9", "12", "13, v3_checksum_as_v2", "18", "18b, in range"]);
}

/// "once per error kind per instance until the instance changes state or accepts an advert from a new master".
#[test]
fn a_line_is_written_again_after_a_change_of_state_and_after_a_new_master() {
    let (mut bench, _) = Bench::start(&part(&[v2()]));
    let far = with(&v2(), &[(TTL, 64)]);
    let line = "invalid TTL/HL from 10.0.0.2. Received 64 and expect 255";
    assert_eq!(count(&heard(&mut bench, &far), line), 1);
    assert_eq!(count(&heard(&mut bench, &far), line), 0);
    bench.hear("10.0.0.3", 200);
    assert_eq!(count(&heard(&mut bench, &far), line), 1, "a new master");
    bench.hear("10.0.0.3", 200);
    assert_eq!(count(&heard(&mut bench, &far), line), 0, "the same master");
    bench.wait(4.0);
    assert_eq!(bench.state(0), VrrpState::Master);
    assert_eq!(count(&heard(&mut bench, &far), line), 1, "another state");
    // Too short and too long share one mark.
    assert_eq!(logs(&heard(&mut bench, &longer(&v2(), 4))).len(), 1);
    assert_eq!(logs(&heard(&mut bench, &with(&v2(), &[])[..32])).len(), 0);
    assert_eq!(bench.counters().packet_len_err, 2);
}

/// Row 17: `skip_check_adv_addr` spares the master that is known, and nobody spares a MASTER.
#[test]
fn a_known_masters_addresses_are_not_looked_at_if_so_configured() {
    let config = Instance { skip_check_adv_addr: true, ..v2() };
    let other = Instance { vips: vec![vip("10.0.0.110", "eth0")], ..config.clone() };
    let (mut bench, _) = Bench::start(&part(std::slice::from_ref(&config)));
    let errors = |bench: &mut Bench, priority| {
        let before = bench.counters().addr_list_err;
        bench.hear_as(&other, "10.0.0.2", priority);
        bench.counters().addr_list_err - before
    };
    assert_eq!(errors(&mut bench, 150), 1, "a new master");
    assert_eq!(errors(&mut bench, 150), 0, "the same one");
    bench.wait(4.0);
    assert_eq!(bench.state(0), VrrpState::Master);
    assert_eq!(errors(&mut bench, 50), 1, "a MASTER looks");
}

/// "unknown VRID is dropped silently unless `log_unknown_vrids`".
#[test]
fn an_unknown_vrid_is_told_only_if_asked_for() {
    for is_wanted in [false, true] {
        let mut part = part(&[v2()]);
        part.global.log_unknown_vrids = is_wanted;
        let (mut bench, _) = Bench::start(&part);
        let out = heard(&mut bench, &with(&instance("X", 77, 100), &[]));
        let line = "Unknown VRID(77) received on interface(eth0). ignoring...";
        assert_eq!(logs(&out), if is_wanted { vec![line] } else { Vec::new() });
    }
}
