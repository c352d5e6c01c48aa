//! Peers that are configured otherwise, and other masters: what is said, and that it is said once.

use std::time::Duration;

use super::samples::*;
use crate::config::model::{Auth, Centis, Instance, VrrpVersion};
use crate::vrrp::{Action, Actions, Event};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

fn differences(out: &Actions) -> Vec<String> {
    let lines = logs(out).into_iter().filter(|line| line.contains(" differs "));
    lines.map(|line| line.trim_start_matches("(V) 10.0.0.2 ").to_owned()).collect()
}

fn rivals(out: &Actions) -> Vec<&str> {
    let is_about = |line: &&str| line.contains("two masters") || line.contains("another master");
    logs(out).into_iter().filter(is_about).collect()
}

#[test]
fn each_field_that_differs_is_named_with_both_values() {
    let own = instance("V", 1, 100);
    let pass = |password| Instance { auth: Auth::Pass(password), ..own.clone() };
    let cases = [
        (
            own.clone(),
            Instance { version: VrrpVersion::V3, vips: Vec::new(), ..own.clone() },
            // The eight bytes of authentication data are not there; its length is right for what it says it is.
            Some("differs in its version: ours 2, theirs 3"),
        ),
        (
            Instance { version: VrrpVersion::V3, ..own.clone() },
            Instance { version: VrrpVersion::V3, advert_int: Centis(50), ..own.clone() },
            Some("differs in its advertisement interval: ours 1 s, theirs 0.5 s"),
        ),
        (
            own.clone(),
            Instance { advert_int: Centis(300), ..own.clone() },
            Some("differs in its advertisement interval: ours 1 s, theirs 3 s"),
        ),
        (own.clone(), pass(*b"secret\0\0"), Some("differs in its authentication: ours none, theirs PASS")),
        (
            pass(*b"secret\0\0"),
            pass(*b"other\0\0\0"),
            Some("differs in its authentication: ours PASS, theirs PASS with another password"),
        ),
        (
            own.clone(),
            Instance { vips: vec![vip("10.0.0.101", "eth0"), vip("10.0.0.110", "eth0")], ..own.clone() },
            Some("differs in its address list: ours 10.0.0.101, theirs 10.0.0.101, 10.0.0.110"),
        ),
        (own.clone(), own.clone(), None),
    ];
    for (ours, theirs, expected) in cases {
        let (mut bench, _) = Bench::start(&part(&[ours]));
        let told = differences(&bench.hear_as(&theirs, "10.0.0.2", 150));
        assert_eq!(told.first().map(String::as_str), expected);
        bench.now = bench.now + secs(1.5);
        assert!(differences(&bench.hear_as(&theirs, "10.0.0.2", 150)).is_empty(), "told again");
    }
}

#[test]
fn a_length_that_does_not_fit_the_named_version_says_nothing_of_versions() {
    let own = Instance { version: VrrpVersion::V3, ..instance("V", 1, 100) };
    let (mut bench, _) = Bench::start(&part(std::slice::from_ref(&own)));
    let mut packet = advert_of(&own, "10.0.0.2", 150);
    packet[20] = 0x21;
    let out = bench.event(Event::Advert { index: 1, envelope: crate::vrrp::Envelope::V4, packet });
    assert!(differences(&out).is_empty());
}

#[test]
fn a_difference_is_told_again_when_it_changes_and_when_it_is_gone() {
    let own = instance("V", 1, 100);
    let (mut bench, _) = Bench::start(&part(std::slice::from_ref(&own)));
    let with = |seconds: u16| Instance { advert_int: Centis(seconds * 100), ..own.clone() };
    for (theirs, told) in [
        (with(2), Some("differs in its advertisement interval: ours 1 s, theirs 2 s")),
        (with(2), None),
        (with(3), Some("differs in its advertisement interval: ours 1 s, theirs 3 s")),
        (own.clone(), Some("differs no longer in its advertisement interval")),
        (own.clone(), None),
        (with(2), Some("differs in its advertisement interval: ours 1 s, theirs 2 s")),
    ] {
        bench.now = bench.now + secs(1.1);
        let out = bench.hear_as(&theirs, "10.0.0.2", 150);
        assert_eq!(differences(&out).first().map(String::as_str), told);
    }
}

#[test]
fn a_flood_of_senders_and_values_is_told_a_few_times_a_minute_and_remembered_in_a_small_table() {
    let own = instance("V", 1, 100);
    let (mut bench, _) = Bench::start(&part(std::slice::from_ref(&own)));
    let mut told = 0;
    for round in 0..3000_u16 {
        let theirs = Instance { advert_int: Centis(200 + round % 50 * 100), ..own.clone() };
        let from = format!("10.0.{}.{}", round / 250, round % 250);
        let out = bench.hear_as(&theirs, &from, 150);
        told += logs(&out).iter().filter(|line| line.contains(" differs ")).count();
        bench.now = bench.now + Duration::from_millis(1);
    }
    assert!((4..=8).contains(&told), "{told} lines in 3 s");
    let size = postcard::to_stdvec(&bench.router.state()).unwrap().len();
    assert!(size < 2000, "{size} bytes of state");
}

#[test]
fn a_master_whose_adverts_are_rejected_is_told_as_a_second_master_and_its_end_is_announced() {
    let own = instance("V", 1, 100);
    let theirs = Instance { auth: Auth::Pass(*b"secret\0\0"), ..own.clone() };
    let (mut bench, _) = Bench::start(&part(&[own]));
    bench.wait(10.0);
    let mut told = Vec::new();
    for _ in 0..6 {
        let out = bench.hear_as(&theirs, "10.0.0.2", 150);
        told.extend(rivals(&out).into_iter().map(str::to_owned));
        assert!(announced(&bench.wait(1.0)) <= 5);
    }
    let expected = "(V) two masters: 10.0.0.2 goes on as master with priority 150: \
                    its adverts are rejected for their authentication";
    assert_eq!(told, [expected]);
    let out = bench.wait(5.0);
    assert_eq!(rivals(&out), ["(V) no sign of another master any more: announcing our addresses again"]);
    assert_eq!(announced(&out), 5);
    // The second burst comes, too, and then there is silence.
    let out = bench.wait(20.0);
    assert_eq!((announced(&out), rivals(&out).len()), (5, 0));
}

#[test]
fn a_lower_master_that_yields_at_once_is_no_rival_and_one_that_goes_on_is() {
    let (mut bench, _) = Bench::start(&part(&[instance("V", 1, 150)]));
    bench.wait(10.0);
    assert!(rivals(&bench.hear("10.0.0.2", 100)).is_empty());
    assert!(rivals(&bench.wait(10.0)).is_empty());
    let mut told = Vec::new();
    for _ in 0..5 {
        told.extend(rivals(&bench.hear("10.0.0.2", 100)).into_iter().map(str::to_owned));
        bench.wait(1.0);
    }
    let expected =
        "(V) two masters: 10.0.0.2 goes on as master with priority 100: it does not hear our adverts";
    assert_eq!(told, [expected]);
}

#[test]
fn another_host_that_announces_our_address_is_told_once_and_answered_when_it_is_over() {
    let (mut bench, _) = Bench::start(&part(&[instance("V", 1, 150)]));
    assert!(bench.router.guarded().is_empty(), "a BACKUP minds its own business");
    let conflict = || Event::Conflict { index: 1, address: ip("10.0.0.101"), mac: MAC.to_vec() };
    assert_eq!(bench.event(conflict()), []);
    bench.wait(10.0);
    assert_eq!(bench.router.guarded(), [(1, ip("10.0.0.101"))]);
    let deadline = bench.router.deadline();
    let out = bench.event(conflict());
    assert_eq!(rivals(&out), ["(V) two masters: 02:00:00:00:00:09 announces 10.0.0.101 on eth0, too"]);
    assert_eq!(out.len(), 1);
    for _ in 0..100 {
        assert_eq!(bench.event(conflict()), []);
    }
    assert_eq!(bench.router.deadline(), deadline);
    let other = Event::Conflict { index: 2, address: ip("10.0.0.101"), mac: MAC.to_vec() };
    assert_eq!(bench.event(other), [], "on another interface it means nothing");
    let out = bench.wait(13.0);
    assert_eq!(rivals(&out), ["(V) no sign of another master any more: announcing our addresses again"]);
    let is_announcement = |action: &&Action| matches!(action, Action::Announce { .. });
    assert_eq!(out.iter().filter(is_announcement).count(), 1);
}

#[test]
fn a_flood_of_lower_adverts_is_answered_ten_times_an_interval() {
    let (mut bench, _) = Bench::start(&part(&[instance("V", 1, 150)]));
    bench.wait(10.0);
    let (mut answers, mut arps, mut lines) = (0, 0, 0);
    for priority in [100, 0].into_iter().cycle().take(10_000) {
        let out = bench.hear("10.0.0.2", priority);
        answers += adverts(&out).len();
        arps += announced(&out);
        lines += logs(&out).len();
        bench.now = bench.now + Duration::from_micros(100);
    }
    assert!((9..=11).contains(&answers), "{answers} answers in a second");
    assert!(arps <= 55 && lines <= 12, "{arps} ARPs, {lines} lines");
    let (mut bench, _) = Bench::start(&part(&[instance("V", 1, 150)]));
    let mut lines = 0;
    for _ in 0..10_000 {
        lines += logs(&bench.hear("10.0.0.2", 100)).len();
        bench.now = bench.now + Duration::from_micros(100);
    }
    assert!(lines <= 11, "{lines} lines as BACKUP");
}
