//! Virtual servers, groups and real servers from text to model, held against stock. The names in brackets are the traps of
//! spec/lvs-config.md (L).

use std::time::Duration;

use super::load_kit::{config, exit, loaded, reports, service, virtual_server};
use super::model::*;
use super::value::Mode;

#[test]
fn a_virtual_server_has_the_defaults_of_the_manual() {
    let server = virtual_server("", "TCP_CHECK { }");
    assert_eq!(server.quorum, 1);
    assert_eq!(server.protocol, Some(Protocol::Tcp));
    assert!(!server.smtp_alert && server.real_servers[0].smtp_alert, "their defaults differ [L11]");
    let checker = &server.real_servers[0].checkers[0];
    assert_eq!(checker.timing.delay_loop, Duration::from_mins(1));
    assert_eq!((checker.timing.retry, checker.timing.delay_before_retry), (1, Duration::from_secs(1)));
    let CheckKind::Tcp(connection) = &checker.kind else { panic!("a TCP check") };
    assert_eq!(connection.timeout, Duration::from_secs(5));
    assert_eq!(connection.destination, "10.0.0.2:80".parse().expect("an address"));
    assert_eq!(exit(&service("", "TCP_CHECK { }")), 0);
}

#[test]
fn what_holds_for_all_holds_for_blocks_before_it_too() {
    let general = "global_defs {\nsmtp_alert_checker on\nchecker_log_all_failures\n}\n";
    let ours = "@keepalived-rs min_in_service 40\n";
    let (first, second) =
        (service("", "TCP_CHECK { }"), service("", "TCP_CHECK { }").replace("10.0.0.1", "10.0.0.7"));
    let grouped = service("", "").replace("10.0.0.1 80", "group G");
    let group = "virtual_server_group G {\n10.0.0.9 80\n}\n";
    let expected = config(&format!("{general}{ours}{group}{first}{grouped}{second}")).virtual_servers;
    assert_eq!(expected.len(), 3, "{expected:?}");
    assert!(expected.iter().all(|vs| vs.smtp_alert && vs.min_in_service == 40));
    for text in [
        format!("{first}{general}{group}{ours}{grouped}{second}"),
        format!("{ours}{first}{grouped}{group}{second}{general}"),
        format!("{general}{first}{grouped}{second}{group}{ours}"),
    ] {
        assert_eq!(config(&text).virtual_servers, expected, "{text}");
    }
}

#[test]
fn settings_are_inherited_from_the_innermost_that_gives_them() {
    let server = virtual_server(
        "delay_loop 6\nretry 3\nconnect_timeout 2",
        "retry 4\nTCP_CHECK {\nconnect_timeout 1\n}",
    );
    let checker = &server.real_servers[0].checkers[0];
    assert_eq!(checker.timing.delay_loop, Duration::from_secs(6));
    assert_eq!(checker.timing.warmup, Duration::from_secs(6));
    assert_eq!(checker.timing.retry, 4);
    let CheckKind::Tcp(connection) = &checker.kind else { panic!("a TCP check") };
    assert_eq!(connection.timeout, Duration::from_secs(1));
}

#[test]
fn virtual_server_traps_are_those_of_stock() {
    for (lines, server, code) in [
        ("", "", 0),
        ("protocol", "", 2),
        ("nat_mask 255.255.255.0", "", 5),
        ("lb_kind dr", "", 5),
        ("lb_algo WRR", "", 5),
        ("retry 0", "", 5),
        ("", "TCP_CHECK { retry 0 }", 0),
        ("", "lb_kind DR", 5),
        ("", "weight", 2),
        ("", "weight -1", 5),
        ("", "weight 0", 5),
        ("sh-port", "", 5),
        ("lvs_sched sh\nsh-port", "", 0),
        ("persistence_timeout", "", 0),
        ("persistence_timeout 0", "", 5),
        ("persistence_granularity 33", "", 0),
        ("quorum 5", "", 5),
        ("sorry_server 10.0.0.9 80", "", 0),
        ("sorry_server_inhibit", "", 5),
        ("", "TCP_CHECK { connect_timeout 0 }", 5),
        ("", "TCP_CHECK { connect_port 70000 }", 5),
        ("", "TCP_CHECK { nb_get_retry 3 }", 5),
        ("", "HTTP_GET { url { path /\nstatus_code 200 }\nnb_get_retry 3 }", 5),
        ("", "HTTP_GET { url { path /\nstatus_code 200 204 300-305 }\nretry 3 }", 0),
        ("", "HTTP_GET { }", 5),
        ("", "HTTP_GET { url { path / \n digest 5d41402abc4b2a76b9719d911017c592 } }", 0),
        ("", "HTTP_GET { url { path / \n digest 5d41 } }", 5),
        ("", "MISC_CHECK { misc_path /usr/bin/true\nconnect_timeout 3 }", 6),
        ("", "notify_up /usr/bin/true", 6),
    ] {
        assert_eq!(exit(&service(lines, server)), code, "{lines} / {server}");
    }
}

#[test]
fn flags_of_a_virtual_server_ignore_their_argument() {
    // [L2]
    let server = virtual_server("alpha off\ninhibit_on_failure off", "TCP_CHECK { }");
    assert!(server.real_servers[0].inhibit_on_failure && server.real_servers[0].checkers[0].alpha);
}

#[test]
fn a_real_server_copies_the_method_at_its_line() {
    // [L7]
    let text = service("", "").replace("}\n}\n", "}\nlvs_method DR\n}\n");
    let server = config(&text).virtual_servers.remove(0);
    assert_eq!(server.real_servers[0].method, ForwardingMethod::Nat);
    assert_eq!(server.method, ForwardingMethod::Dr);
}

#[test]
fn direct_routing_keeps_the_port_and_the_check_its_own() {
    // [L9]
    let text = service("lvs_method DR", "TCP_CHECK { }").replace("10.0.0.2 80", "10.0.0.2 8080");
    assert_eq!(exit(&text), 5);
    let server = config(&text).virtual_servers.remove(0);
    assert_eq!(server.real_servers[0].port, 80);
    let CheckKind::Tcp(connection) = &server.real_servers[0].checkers[0].kind else { panic!("a TCP check") };
    assert_eq!(connection.destination.port(), 8080);
}

#[test]
fn a_check_without_any_port_uses_the_virtual_one() {
    // [L9]: stock connects to port 0 for ever.
    let text = service("", "TCP_CHECK { }").replace("10.0.0.2 80", "10.0.0.2");
    let server = config(&text).virtual_servers.remove(0);
    let CheckKind::Tcp(connection) = &server.real_servers[0].checkers[0].kind else { panic!("a TCP check") };
    assert_eq!(connection.destination.port(), 80);
}

#[test]
fn weights_of_nothing_give_a_quorum_of_nothing() {
    // [L8]: the hysteresis does not wrap around; what keeps the quorum away is the weight (lvs::virtual_server).
    let server = virtual_server("hysteresis 1", "weight 0");
    assert_eq!((server.quorum, server.hysteresis), (0, 0));
}

#[test]
fn host_and_server_name_come_from_different_places() {
    let check = "virtualhost rs.example\nSSL_GET {\nenable_sni\nurl {\npath /\n}\n}";
    let server = virtual_server("virtualhost vs.example", check);
    let CheckKind::Http(http) = &server.real_servers[0].checkers[0].kind else { panic!("an SSL check") };
    assert_eq!(http.urls[0].host.as_deref(), Some("rs.example"));
    assert_eq!(http.urls[0].sni.as_deref(), Some("vs.example"));
    assert_eq!(http.urls[0].status_codes, [(200, 299)]);
}

#[test]
fn groups_know_ranges_prefixes_and_marks() {
    let text = "virtual_server_group G {\n10.0.0.1-3 80\n10.1.0.0/30 80\nfd00::1-f 80\nfwmark 7 inet\n10.0.0.9-5 80\n10.2.0.1/24 80\n}\n";
    assert_eq!(reports(text), ["6:bad-group-entry", "7:bad-group-entry"]);
    let text = format!(
        "{text}virtual_server group G {{\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\nreal_server 10.9.0.1 80 {{\n}}\n}}\n"
    );
    let config = config(&text);
    assert_eq!(config.groups[0].entries.len(), 4);
    assert_eq!(config.virtual_servers[0].service, Service::Group { name: "G".to_owned(), index: 0 });
    let missing = "virtual_server group X {\nprotocol TCP\nreal_server 10.0.0.1 80 {\n}\n}\n";
    assert_eq!(exit(missing), 0, "a missing group is only a line of the log [L10]");
}

#[test]
fn fwmark_services_have_neither_protocol_nor_port() {
    let text = "virtual_server fwmark 3 {\nlvs_sched rr\nlvs_method DR\nprotocol TCP\nreal_server 10.0.0.1 80 {\n}\n}\n";
    assert_eq!(reports(text), ["4:contradiction", "5:port-ignored"]);
    let server = config(text).virtual_servers.remove(0);
    assert_eq!((server.protocol, server.real_servers[0].port), (None, 0));
}

#[test]
fn a_check_reaches_only_its_own_family_and_link_local_addresses_by_an_interface() {
    let check = |server: &str, lines: &str| {
        let text = format!(
            "virtual_server fd00::1 80 {{\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\n\
             real_server {server} 80 {{\nTCP_CHECK {{\n{lines}\n}}\n}}\n}}\n"
        );
        let checkers = config(&text).virtual_servers[0].real_servers[0].checkers.len();
        (reports(&text).join(" "), checkers)
    };
    assert_eq!(check("fe80::2", ""), ("6:no-interface".to_owned(), 0));
    assert_eq!(check("fe80::2", "bind_if eth0"), (String::new(), 1));
    assert_eq!(check("fd00::2", "connect_ip fe80::5"), ("7:no-interface".to_owned(), 0));
    assert_eq!(check("fd00::2", "bindto 192.0.2.1\nconnect_ip 192.0.2.2"), ("7:bad-value".to_owned(), 1));
    assert_eq!(check("fd00::2", "connect_ip 192.0.2.2\nbindto 192.0.2.1"), (String::new(), 1));
    assert_eq!(check("fd00::2", "bindto fd00::9\nconnect_ip 192.0.2.2"), ("8:bad-value".to_owned(), 1));
}

#[test]
fn a_service_with_two_virtual_servers_is_told_without_counting() {
    let server = |service: &str, protocol: &str| {
        format!(
            "virtual_server {service} {{\nlvs_sched rr\nlvs_method NAT\n{protocol}\n\
             real_server 192.0.2.9 80 {{\n}}\n}}\n"
        )
    };
    let told = |text: String| {
        let loaded = loaded(&text, Mode::ConfigTest);
        assert_eq!(loaded.test_exit, 0);
        loaded.diagnostics.iter().filter(|report| report.id == "repeated-service").count()
    };
    let tcp = server("192.0.2.1 80", "protocol TCP");
    assert_eq!(told(tcp.clone() + &tcp), 1);
    assert_eq!(told(tcp + &server("192.0.2.1 80", "protocol UDP")), 0);
    assert_eq!(told(server("fwmark 5", "") + &server("fwmark 5", "")), 1);
    assert_eq!(told(server("fwmark 5", "") + &server("fwmark 6", "")), 0);
}

#[test]
fn servers_without_weight_are_told_once_with_a_remedy_that_works() {
    let text = "virtual_server 192.0.2.1 80 {\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\n\
                real_server 192.0.2.9 80 {\nweight 0\n}\n}\n";
    assert_eq!(reports(text), ["1:quorum-too-high"]);
    let loaded = loaded(text, Mode::ConfigTest);
    assert!(loaded.diagnostics.iter().all(|report| !report.help[0].contains("quorum 0")));
}
