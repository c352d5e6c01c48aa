//! From text to model, for checkers, their inheritance, and BFD sessions. The names in brackets are the traps of
//! spec/bfd.md (B) and spec/checkers.md (K).

use std::time::Duration;

use super::load_kit::{config, reports, service, virtual_server};
use super::model::*;

/// Reports about these lines inside a `bfd_instance`.
fn bfd(lines: &str) -> BfdInstance {
    config(&format!("bfd_instance b {{\n{lines}\n}}\n")).bfd_instances.remove(0)
}

fn session(lines: &str) -> Option<BfdSession> {
    bfd(lines).session
}

#[test]
fn a_bfd_instance_has_stocks_defaults() {
    let built = bfd("neighbor_ip 192.0.2.9");
    assert_eq!((built.weight, built.reverse, built.tells_vrrp, built.tells_checkers), (0, false, true, true));
    let session = built.session.expect("a session");
    assert_eq!(session.min_rx, Duration::from_millis(10));
    assert_eq!(session.min_tx, Duration::from_millis(10));
    assert_eq!(session.idle_tx, Duration::from_secs(1));
    assert_eq!((session.multiplier, session.ttl, session.max_hops), (5, 255, 0));
    assert!(!session.passive && !session.multihop && session.source.is_none());
    let v6 = bfd("neighbour_ip fe80::1").session.expect("a session");
    assert_eq!(v6.ttl, 64, "B2");
}

#[test]
fn a_bfd_instance_takes_all_it_is_given() {
    let built = bfd(
        "neighbor_ip 192.0.2.9\nsource_ip 192.0.2.1\nmin_rx 100\nmin_tx 50.5\nidle_tx 1500\nmultiplier 3\npassive\n\
         ttl 64\nmax_hops 2\nmultihop\nweight -20 reverse\nchecker",
    );
    assert_eq!(
        (built.weight, built.reverse, built.tells_vrrp, built.tells_checkers),
        (-20, true, false, true)
    );
    let session = built.session.expect("a session");
    assert_eq!(session.source, Some([192, 0, 2, 1].into()));
    assert_eq!(session.min_rx, Duration::from_millis(100));
    assert_eq!(session.min_tx, Duration::from_micros(50_500));
    assert_eq!(session.idle_tx, Duration::from_millis(1500));
    assert_eq!((session.multiplier, session.ttl, session.max_hops), (3, 64, 2));
    assert!(session.passive && session.multihop);
}

#[test]
fn values_of_a_bfd_instance_that_stock_corrects_are_corrected() {
    let low = session("neighbor_ip 192.0.2.9\nidle_tx 999\nmin_rx 0.5\nmultiplier 256").expect("a session");
    assert_eq!(
        (low.idle_tx, low.min_rx, low.multiplier),
        (Duration::from_secs(1), Duration::from_millis(10), 5)
    );
    let hops = |lines: &str| session(&format!("neighbor_ip 192.0.2.9\n{lines}")).map(|it| it.max_hops);
    assert_eq!(hops("max_hops -1"), Some(255), "B8");
    assert_eq!(hops("ttl 100\nmax_hops -1"), Some(100), "B8");
    assert_eq!(hops("max_hops 200\nttl 100"), Some(100));
    assert_eq!(reports("bfd_instance b {\nneighbor_ip 192.0.2.9\nttl 100\nmax_hops 101\n}"), ["4:max-hops"]);
}

#[test]
fn a_bfd_instance_that_cannot_run_keeps_its_name() {
    assert_eq!(session("source_ip 192.0.2.1"), None);
    assert_eq!(session("neighbor_ip 192.0.2.900"), None);
    assert_eq!(session("neighbor_ip 192.0.2.9\nsource_ip fe80::1"), None);
    let two = |first: &str, second: &str| {
        let text = format!(
            "bfd_instance a {{\nneighbor_ip 192.0.2.9\n{first}\n}}\nbfd_instance b {{\nneighbor_ip 192.0.2.9\n{second}\n}}\n"
        );
        config(&text).bfd_instances.iter().map(|it| it.session.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(two("", ""), [true, false]);
    assert_eq!(two("", "source_ip 192.0.2.1"), [true, false]);
    assert_eq!(two("source_ip 192.0.2.2", "source_ip 192.0.2.1"), [true, true]);
    assert_eq!(two("", "multihop"), [true, true]);
    let twice =
        config("bfd_instance a {\nneighbor_ip 192.0.2.1\n}\nbfd_instance a {\nneighbor_ip 192.0.2.2\n}");
    assert_eq!(twice.bfd_instances.len(), 1);
    assert_eq!(twice.bfd_instances[0].session.as_ref().map(|it| it.neighbor), Some([192, 0, 2, 1].into()));
}

/// The only checker of a real server with these lines.
fn check(lines: &str) -> Checker {
    virtual_server("delay_loop 7\nretry 2", lines).real_servers.remove(0).checkers.remove(0)
}

fn regex(lines: &str) -> Option<Regex> {
    let CheckKind::Http(mut http) = check(&format!("HTTP_GET {{\nurl {{\npath /\n{lines}\n}}\n}}")).kind
    else {
        panic!("an HTTP check")
    };
    http.urls.remove(0).regex.map(|regex| *regex)
}

#[test]
fn a_pattern_has_its_escapes_resolved_first() {
    for (written, pattern) in [
        (r#""a\.b""#, "a.b"),
        (r#""\\d+""#, r"\d+"),
        (r#""\d+""#, "d+"),
        (r"'a b'", "a b"),
        (r#"a"b"c"#, "abc"),
        (r#""\x41\t""#, "A\t"),
        (r#""""#, ""),
    ] {
        let found = regex(&format!("regex {written}")).map(|regex| regex.pattern);
        assert_eq!(found.as_deref(), Some(pattern), "{written}");
    }
    assert_eq!(regex("regex a b"), None);
    assert_eq!(regex("regex_no_match"), None);
}

#[test]
fn the_words_around_a_pattern_come_with_it() {
    let all = "regex x\nregex_no_match\nregex_options caseless bogus dotall\nregex_min_offset 2\nregex_max_offset 9\nregex_stack 10 20";
    let regex = |lines: &str| regex(lines).expect("a pattern");
    let found = regex(all);
    assert!(found.no_match);
    assert_eq!(found.options.names().collect::<Vec<_>>(), ["caseless", "dotall"]);
    assert_eq!((found.min_offset, found.max_offset, found.stack), (2, Some(9), Some((10, 20))));
    let crossed = regex("regex x\nregex_min_offset 5\nregex_max_offset 3\nregex_stack 20 10");
    assert_eq!((crossed.min_offset, crossed.max_offset, crossed.stack), (0, None, None));
}

#[test]
fn each_type_has_its_own_defaults_and_inherits_the_rest() {
    let timing = |block: &str| {
        let checker = virtual_server("", block).real_servers.remove(0).checkers.remove(0);
        (checker.timing.retry, checker.timing.delay_before_retry.as_secs())
    };
    assert_eq!(timing("SMTP_CHECK {\n}"), (1, 1));
    assert_eq!(timing("UDP_CHECK {\n}"), (1, 1));
    assert_eq!(timing("PING_CHECK {\n}"), (1, 1));
    assert_eq!(timing("DNS_CHECK {\n}"), (3, 60), "delay_loop");
    assert_eq!(timing("MISC_CHECK {\nmisc_path /usr/bin/true\n}"), (0, 1));
    let misc = check("delay_loop 3\nMISC_CHECK {\nmisc_path /usr/bin/true\ndelay_loop 2\n}");
    let CheckKind::Misc(script) = &misc.kind else { panic!("a script") };
    assert_eq!((misc.timing.delay_loop, misc.timing.retry), (Duration::from_secs(2), 2));
    assert_eq!(
        (script.timeout, script.own_timeout),
        (Duration::from_secs(7), 0),
        "K13: the virtual server's"
    );
}

#[test]
fn hosts_of_a_mail_check_are_checks_of_their_own() {
    let block = "SMTP_CHECK {\nhelo_name me\nconnect_timeout 2\nhost {\nconnect_ip 10.0.0.7\nconnect_port 26\n}\nhost {\nbindto 10.0.0.1\n}\n}";
    let checkers = virtual_server("", block).real_servers.remove(0).checkers;
    let places: Vec<_> = checkers.iter().filter_map(|it| it.kind.connection()).collect();
    assert_eq!(places.len(), 2);
    assert_eq!(places[0].destination.to_string(), "10.0.0.7:26");
    assert_eq!(
        (places[1].destination.to_string(), places[1].local.bind),
        ("10.0.0.2:80".into(), Some([10, 0, 0, 1].into()))
    );
    assert!(places.iter().all(|place| place.timeout == Duration::from_secs(2)));
}

#[test]
fn datagrams_are_written_in_hexadecimal() {
    let CheckKind::Udp(udp) =
        check("UDP_CHECK {\npayload 01 2 abc\nrequire_reply 0X \"1 ff\"\nmax_reply_length 9\n}").kind
    else {
        panic!("a UDP check")
    };
    assert_eq!(udp.payload.as_deref(), Some(&[1, 2, 0xab, 0xc][..]));
    let reply = udp.reply.expect("a reply");
    let bytes: Vec<_> = reply.pattern.iter().map(|byte| (byte.value, byte.mask)).collect();
    assert_eq!(bytes, [(0, 0xf0), (1, 0xff), (0xff, 0xff)]);
    assert_eq!((reply.min_length, reply.max_length), (0, 9));
    let reported = |lines: &str| reports(&service("", &format!("UDP_CHECK {{\n{lines}\n}}"))).len();
    assert_eq!(reported("payload 0g"), 1);
    assert_eq!(reported("payload 0X"), 1);
    assert_eq!(reported("require_reply X"), 0);
    assert_eq!(reported("min_reply_length 20\nmax_reply_length 10"), 1);
}

#[test]
fn names_of_questions_are_valid_or_the_root() {
    let name = |name: &str| match check(&format!("DNS_CHECK {{\nname {name}\ntype mx\n}}")).kind {
        CheckKind::Dns(dns) => (dns.name, dns.record),
        kind => panic!("{kind:?}"),
    };
    assert_eq!(name("www.example.com."), ("www.example.com.".into(), DnsType::Mx));
    assert_eq!(name("a.b").0, "a.b", "K9c");
    for root in [".a", "a..b", "a..", &format!("{}.b", "x".repeat(64)), &"abc.".repeat(64)] {
        assert_eq!(name(root).0, "", "{root}");
    }
}

#[test]
fn a_session_is_checked_once_by_a_real_server() {
    let blocks =
        "BFD_CHECK {\nname b\nalpha\n}\nBFD_CHECK {\nname b\n}\nBFD_CHECK {\nname other\n}\nBFD_CHECK {\n}";
    let text = format!("bfd_instance b {{\nneighbor_ip 192.0.2.9\n}}\n{}", service("", blocks));
    let checkers = config(&text).virtual_servers.remove(0).real_servers.remove(0).checkers;
    assert_eq!(checkers.len(), 1);
    assert!(checkers[0].alpha);
    assert_eq!(reports(&text).len(), 3);
    let late =
        format!("{}bfd_instance b {{\nneighbor_ip 192.0.2.9\n}}\n", service("", "BFD_CHECK {\nname b\n}"));
    assert_eq!(reports(&late).len(), 1);
}

#[test]
fn a_pattern_that_the_library_refuses_is_reported_and_dropped() {
    assert_eq!(regex("regex \"broken(\""), None);
    let text = service("", "HTTP_GET {\nurl {\npath /\nregex \"broken(\"\n}\n}");
    assert_eq!(reports(&text), ["10:bad-pattern"]);
}
