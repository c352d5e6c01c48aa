//! What each lint tells, and what it leaves alone.

use std::net::IpAddr;

use super::*;
use crate::config::files::MemoryFiles;
use crate::config::model::{HostFacts, Identity, InterfaceFacts, Users};
use crate::config::preprocess::{IncludeChecks, ReadOptions};
use crate::config::value::Mode;
use crate::config::{Loaded, load, load_linted};

struct Nobody;

impl Users for Nobody {
    fn user(&self, _: &str) -> Option<Identity> {
        Some(Identity::default())
    }

    fn group(&self, _: &str) -> Option<u32> {
        None
    }
}

/// The host has 192.0.2.1 on eth0 and on eth2, and 198.51.100.1 on eth1.
fn linted(text: &str, silenced: &[String]) -> Loaded {
    let files = MemoryFiles::new().file("keepalived.conf", text);
    let options = ReadOptions {
        main: "keepalived.conf".to_owned(),
        config_id: "node".to_owned(),
        include_checks: IncludeChecks::default(),
        random_seed: 0,
    };
    let mut facts = HostFacts::default();
    for (name, address) in [("eth0", [192, 0, 2, 1]), ("eth1", [198, 51, 100, 1]), ("eth2", [192, 0, 2, 3])] {
        let addresses = vec![(IpAddr::from(address), 24)];
        let interface = InterfaceFacts { index: 2, multicast: true, addresses, ..InterfaceFacts::default() };
        facts.interfaces.insert(name.into(), interface);
    }
    let lints = Lints::Except(silenced);
    let linted = load_linted(&files, &options, Mode::ConfigTest, &facts, &Nobody, lints);
    let plain = load(&files, &options, Mode::ConfigTest, &facts, &Nobody);
    assert_eq!(linted.test_exit, plain.test_exit, "lints do not count");
    linted
}

fn told(loaded: &Loaded) -> Vec<String> {
    let found = loaded.diagnostics.iter().filter(|report| LINTS.iter().any(|lint| lint.id == report.id));
    found
        .map(|report| {
            let line = report.span.and_then(|span| loaded.sources.location(span)).map_or(0, |at| at.line);
            format!("{line} {}", report.id)
        })
        .collect()
}

/// The lints of a text, each as `line id`.
fn lints(text: &str) -> Vec<String> {
    told(&linted(text, &[]))
}

/// What comparing the nodes tells in the last one.
fn compared(texts: &[&str]) -> Vec<String> {
    let mut nodes: Vec<Loaded> = texts.iter().map(|text| linted(text, &[])).collect();
    let before: Vec<Vec<String>> = nodes.iter().map(told).collect();
    nodes::compare(&mut nodes);
    let last = nodes.len() - 1;
    told(&nodes[last]).split_off(before[last].len())
}

/// A node of one cluster; `lines` come behind the priority.
fn node(priority: u8, lines: &str) -> String {
    format!(
        "vrrp_script s {{\nscript /x\nuser root\n}}\nvrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\n\
         priority {priority}\n{lines}\ntrack_script {{\ns weight 0\n}}\nvirtual_ipaddress {{\n192.0.2.9\n}}\n}}\n"
    )
}

fn instance(name: &str, vrid: u8, inside: &str) -> String {
    format!("vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\n{inside}\n}}\n")
}

fn server(inside: &str, first: &str, second: &str) -> String {
    format!(
        "virtual_server 192.0.2.1 80 {{\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\n{inside}\n\
         real_server 10.0.0.1 80 {{\n{first}\n}}\nreal_server 10.0.0.2 80 {{\n{second}\n}}\n}}\n"
    )
}

#[test]
fn a_second_value_of_a_keyword_in_one_block_is_told() {
    assert_eq!(lints(&instance("a", 1, "priority 50\npriority 60")), ["5 duplicate-keyword"]);
    let both = instance("a", 1, "priority 50") + &instance("b", 2, "priority 60");
    assert_eq!(lints(&both), [""; 0]);
}

#[test]
fn what_is_reported_as_repeated_already_is_not_told_twice() {
    let text = instance("a", 1, "notify_master /x root\nnotify_master /y root");
    assert_eq!(lints(&text), [""; 0]);
}

#[test]
fn lines_that_add_up_are_no_duplicates() {
    let check = "HTTP_GET {\nurl {\npath /\nstatus_code 200\nstatus_code 301\n}\n}";
    assert_eq!(lints(&server("", check, "")), [""; 0]);
}

#[test]
fn an_address_of_two_instances_is_told_once() {
    let vip = "virtual_ipaddress {\n192.0.2.9\n}";
    let text = instance("a", 1, vip) + &instance("b", 2, vip);
    assert_eq!(lints(&text), ["12 vip-in-two-instances"]);
    let local = "virtual_ipaddress {\nfe80::9 dev eth0\n}";
    let other = "virtual_ipaddress {\nfe80::9 dev eth1\n}";
    assert_eq!(lints(&(instance("a", 1, local) + &instance("b", 2, other))), [""; 0]);
}

#[test]
fn a_peer_that_is_this_node_is_told() {
    let text = instance("a", 1, "unicast_peer {\n192.0.2.2\n192.0.2.1\n}");
    assert_eq!(lints(&text), ["6 own-unicast-peer"]);
    let text = instance("a", 1, "unicast_src_ip 10.0.0.9\nunicast_peer {\n10.0.0.9\n}");
    assert_eq!(lints(&text), ["6 own-unicast-peer"]);
}

#[test]
fn a_script_that_may_outlast_its_interval_is_told() {
    let script = |inside: &str| format!("vrrp_script s {{\nscript /x\nuser root\n{inside}\n}}\n");
    assert_eq!(lints(&script("interval 2\ntimeout 2")), ["5 timeout-not-below-interval"]);
    assert_eq!(lints(&script("timeout 3")), ["4 timeout-not-below-interval"]);
    assert_eq!(lints(&script("interval 3\ntimeout 2")), [""; 0]);
}

#[test]
fn a_sorry_server_out_of_the_pool_is_told() {
    assert_eq!(lints(&server("sorry_server 10.0.0.2 80", "", "")), ["5 sorry-server-in-pool"]);
    assert_eq!(lints(&server("sorry_server 10.0.0.2 81", "", "")), [""; 0]);
}

#[test]
fn weights_that_serve_nobody_are_told() {
    assert_eq!(lints(&server("", "weight 0", "weight 0")), ["1 all-weights-zero"]);
    assert_eq!(lints(&server("", "weight 0", "")), [""; 0]);
}

#[test]
fn a_quorum_that_can_never_come_back_is_told() {
    assert_eq!(lints(&server("quorum 2\nhysteresis 1", "", "")), ["6 quorum-out-of-reach"]);
    assert_eq!(lints(&server("quorum 2\nhysteresis 1", "weight 2", "")), [""; 0]);
    // Stock lowers the hysteresis to one below the quorum.
    assert_eq!(lints(&server("quorum 1\nhysteresis 5", "", "")), [""; 0]);
}

#[test]
fn a_virtual_server_of_nobodys_address_is_told() {
    let elsewhere = server("", "", "").replace("192.0.2.1", "192.0.2.77");
    assert_eq!(lints(&elsewhere), ["1 virtual-server-not-local"]);
    let vip = instance("a", 1, "virtual_ipaddress {\n192.0.2.77\n}");
    assert_eq!(lints(&(elsewhere.clone() + &vip)), [""; 0]);
    assert_eq!(lints(&format!("static_ipaddress {{\n192.0.2.77/24 dev eth0\n}}\n{elsewhere}")), [""; 0]);
    // Nothing of the file is near this host: it is checked somewhere else.
    let far = server("", "", "").replace("192.0.2.1", "203.0.113.7");
    assert_eq!(lints(&far), [""; 0]);
    let group = "virtual_server_group g {\n192.0.2.1 80\n192.0.2.78 80\n}\n".to_owned();
    let grouped = server("", "", "").replace("192.0.2.1 80", "group g");
    assert_eq!(lints(&(group + &grouped)), ["1 virtual-server-not-local"]);
}

#[test]
fn a_script_that_nothing_tracks_is_told() {
    let script = "vrrp_script s {\nscript /x\nuser root\n}\n".to_owned();
    let vip = "virtual_ipaddress {\n192.0.2.9\n}";
    assert_eq!(lints(&(script.clone() + &instance("a", 1, vip))), ["1 unused-script"]);
    let tracking = instance("a", 1, &format!("{vip}\ntrack_script {{\ns\n}}"));
    assert_eq!(lints(&(script.clone() + &tracking)), [""; 0]);
    // The name in the list is wrong: that is the cause, and is reported.
    assert_eq!(lints(&(script.clone() + &tracking.replace("\ns\n", "\ns2\n"))), [""; 0]);
    let group = "vrrp_sync_group g {\ngroup {\na\n}\ntrack_script {\ns\n}\n}\n";
    assert_eq!(lints(&(script + group + &instance("a", 1, vip))), [""; 0]);
}

#[test]
fn one_number_on_one_segment_is_told() {
    let vip = |n| format!("virtual_ipaddress {{\n192.0.2.{n}\n}}");
    let first = instance("a", 1, &vip(9));
    let second = instance("b", 1, &vip(10)).replace("eth0", "eth2");
    assert_eq!(lints(&(first.clone() + &second)), ["10 vrid-twice"]);
    assert_eq!(lints(&(first + &second.replace("eth2", "eth1"))), [""; 0]);
}

#[test]
fn a_weight_at_the_end_of_the_range_is_told() {
    let weighted = |priority, weight| node(priority, "").replace("weight 0", &format!("weight {weight}"));
    assert_eq!(lints(&weighted(254, 10)), ["11 weight-without-effect"]);
    assert_eq!(lints(&weighted(1, -10)), ["11 weight-without-effect"]);
    assert_eq!(lints(&weighted(254, -10)), [""; 0]);
    assert_eq!(lints(&weighted(100, 10)), [""; 0]);
}

#[test]
fn what_is_allowed_is_not_told_where_it_is_allowed() {
    let twice = "priority 50\npriority 60";
    let text = instance("a", 1, twice) + &instance("b", 2, twice);
    assert_eq!(lints(&text), ["5 duplicate-keyword", "11 duplicate-keyword"]);
    assert_eq!(told(&linted(&text, &["duplicate-keyword".to_owned()])), [""; 0]);
    let allow = "@keepalived-rs allow duplicate-keyword";
    assert_eq!(lints(&(text.clone() + allow)), [""; 0]);
    let inside = instance("a", 1, &format!("{twice}\n{allow}")) + &instance("b", 2, twice);
    assert_eq!(lints(&inside), ["12 duplicate-keyword"]);
    // The last block is not closed.
    let open = instance("b", 2, twice) + &instance("a", 1, &format!("{twice}\n{allow}")).replace("}\n", "");
    assert_eq!(lints(&open), ["5 duplicate-keyword"]);
}

#[test]
fn a_report_of_stocks_can_be_silenced_and_counts_no_more() {
    let text = instance("a", 1, "state MASTER\nnopreempt\npriority 9\nvirtual_ipaddress {\n192.0.2.9\n}");
    assert_eq!(linted(&text, &[]).diagnostics.exit_code(), 5);
    assert_eq!(linted(&text, &["contradiction".to_owned()]).diagnostics.exit_code(), 0);
}

#[test]
fn nodes_that_fit_are_left_alone() {
    assert_eq!(compared(&[&node(150, ""), &node(100, "")]), [""; 0]);
    let peers = |own: &str, other: &str| format!("unicast_src_ip {own}\nunicast_peer {{\n{other}\n}}");
    let (first, second) =
        (node(150, &peers("10.0.0.1", "10.0.0.2")), node(100, &peers("10.0.0.2", "10.0.0.1")));
    assert_eq!(compared(&[&first, &second]), [""; 0]);
    let unrelated = instance("b", 1, "priority 150\nvirtual_ipaddress {\n203.0.113.9\n}");
    assert_eq!(compared(&[&node(150, ""), &unrelated]), [""; 0]);
}

#[test]
fn what_nodes_must_have_in_common_is_compared() {
    let first = node(150, "");
    for (lines, id) in [
        ("advert_int 2", "9 advert-interval-differs"),
        ("version 3", "9 version-differs"),
        ("authentication {\nauth_type PASS\nauth_pass x\n}", "10 authentication-differs"),
        ("virtual_ipaddress {\n192.0.2.10\n}", "10 addresses-differ"),
        ("unicast_peer {\n10.0.0.1\n}", "10 transport-differs"),
    ] {
        assert_eq!(compared(&[&first, &node(100, lines)]), [id], "{lines}");
    }
    assert_eq!(compared(&[&first, &node(150, "")]), ["8 equal-priorities"]);
    assert_eq!(compared(&[&node(150, "nopreempt"), &node(150, "nopreempt")]), [""; 0]);
    assert_eq!(compared(&[&node(255, ""), &node(255, "")]), ["8 two-owners"]);
    let other = node(100, "").replace(" a {", " b {").replace("192.0.2.9", "192.0.2.77");
    assert_eq!(compared(&[&first, &other]), ["7 vrid-twice"]);
}

#[test]
fn a_peer_that_is_missing_in_another_file_is_told() {
    let peers = |own: &str, others: &str| format!("unicast_src_ip {own}\nunicast_peer {{\n{others}\n}}");
    let first = node(150, &peers("10.0.0.1", "10.0.0.2"));
    assert_eq!(compared(&[&first, &node(100, &peers("10.0.0.2", "10.0.0.3"))]), ["11 peer-not-listed"]);
    let third = node(90, &peers("10.0.0.3", "10.0.0.1"));
    assert_eq!(compared(&[&first, &third]), ["11 peer-not-listed"]);
}

#[test]
fn a_weight_that_never_moves_the_addresses_is_told() {
    let weighted = |priority, weight| node(priority, "").replace("weight 0", &format!("weight {weight}"));
    assert_eq!(compared(&[&node(90, ""), &weighted(100, -5)]), ["11 weight-without-effect"]);
    assert_eq!(compared(&[&node(90, ""), &weighted(100, -20)]), [""; 0]);
    // The other node can fall below it.
    assert_eq!(compared(&[&weighted(110, -50), &weighted(100, -5)]), [""; 0]);
    // Added while the script is well, on both: 102 to 122, and 100.
    assert_eq!(compared(&[&node(101, ""), &weighted(100, 20)]), [""; 0]);
}

#[test]
fn every_lint_and_report_has_a_name_of_its_own() {
    let mut names: Vec<&str> = LINTS.iter().chain(REPORTS).map(|lint| lint.id).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), LINTS.len() + REPORTS.len());
}
