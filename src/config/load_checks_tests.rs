//! From text to model, for checkers, their inheritance, and BFD sessions. The names in brackets are the traps of
//! spec/bfd.md (B) and spec/checkers.md (K).

use std::time::Duration;

use super::load_tests::{config, reports};
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
