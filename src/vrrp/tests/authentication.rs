//! Two routers that sign what they send: authentication header and trailer, with every way of being rejected.

use std::time::Duration;

use super::samples::*;
use crate::config::model::{
    AntiReplay, Auth, AuthHmac, HmacKey, HmacMode, Instance, Transport, UnicastChecksum, UnicastPeer,
    VrrpVersion,
};
use crate::vrrp::{Action, Actions, Counters, Envelope, Event, VrrpState};

/// 2026-11-21, as seen at 0 on the benches' clock.
const TODAY: Duration = Duration::from_secs(1_795_246_000);

fn ah(key: [u8; 8], priority: u8) -> Instance {
    Instance { auth: Auth::Ah(key), ..instance("V", 1, priority) }
}

fn keys(ids: &[u8]) -> Vec<HmacKey> {
    ids.iter().map(|id| HmacKey { id: *id, value: vec![*id; 32] }).collect()
}

fn hmac(ids: &[u8], active: u8) -> AuthHmac {
    let anti_replay = AntiReplay::Time { window: Duration::from_secs(5) };
    AuthHmac { keys: keys(ids), active, anti_replay, mode: HmacMode::Enforce }
}

fn signing(auth: AuthHmac, priority: u8) -> Instance {
    Instance { auth: Auth::Hmac(Box::new(auth)), ..instance("V", 1, priority) }
}

/// A router on host `last` that is MASTER; its packets are for [`heard`].
fn master(config: &Instance, last: u8) -> Bench {
    let mut bench =
        Bench { router: crate::vrrp::Router::new(&part(std::slice::from_ref(config))), now: at(10.0) };
    bench.event(Event::WallClock { at_zero: TODAY });
    bench.event(Event::Interfaces(interfaces(last)));
    bench.wait(4.0);
    bench
}

/// A BACKUP at the same moment as a [`master`].
fn backup(config: &Instance) -> Bench {
    let mut bench =
        Bench { router: crate::vrrp::Router::new(&part(std::slice::from_ref(config))), now: at(13.5) };
    bench.event(Event::WallClock { at_zero: TODAY });
    bench.event(Event::Interfaces(interfaces(1)));
    bench.now = at(14.0);
    bench
}

fn packets(out: &Actions) -> Vec<Vec<u8>> {
    out.iter()
        .filter_map(|action| match action {
            Action::SendAdvert { packet, .. } => Some(packet.clone()),
            _ => None,
        })
        .collect()
}

fn heard(bench: &mut Bench, packet: &[u8]) -> Actions {
    bench.event(Event::Advert { index: 1, envelope: Envelope::V4, packet: packet.to_vec() })
}

fn one(out: &Actions) -> Vec<u8> {
    packets(out).swap_remove(0)
}

/// One of the counters.
type Counter = fn(Counters) -> u64;

/// What one packet does to a BACKUP: is its timer armed anew, and the counters.
fn verdict(bench: &mut Bench, packet: &[u8]) -> (bool, Counters) {
    let before = bench.router.deadline();
    bench.now = bench.now + Duration::from_millis(1);
    heard(bench, packet);
    (bench.router.deadline() != before, bench.counters())
}

#[test]
fn ah_adverts_are_numbered_and_accepted_once() {
    let mut from = master(&ah(*b"ahsecret", 150), 2);
    let mut to = backup(&ah(*b"ahsecret", 100));
    let second = one(&from.wait(1.0));
    assert_eq!(second[9], 51);
    assert_eq!(second[28..32], [0, 0, 0, 2], "the first went out with the takeover");
    assert!(verdict(&mut to, &second).0);
    let (is_armed, counters) = verdict(&mut to, &second);
    assert_eq!((is_armed, counters.auth_failure, counters.advert_rcvd), (false, 1, 1));
    assert!(verdict(&mut to, &one(&from.wait(1.0))).0);
    // The successor goes on where the master stopped.
    let out = to.wait(4.0);
    assert_eq!(packets(&out)[0][28..32], [0, 0, 0, 4]);
}

#[test]
fn ah_with_another_key_or_none_at_all_is_rejected_and_counted() {
    let mut from = master(&ah(*b"ahsecret", 150), 2);
    let mut to = backup(&ah(*b"other\0\0\0", 100));
    let (is_armed, counters) = verdict(&mut to, &one(&from.wait(1.0)));
    assert_eq!((is_armed, counters.auth_failure), (false, 1));
    let plain = advert_of(&instance("V", 1, 150), "10.0.0.2", 150);
    let (is_armed, counters) = verdict(&mut to, &plain);
    assert_eq!((is_armed, counters.authtype_mismatch), (false, 1));
    let mut without = backup(&instance("V", 1, 100));
    let (is_armed, counters) = verdict(&mut without, &one(&from.wait(1.0)));
    assert_eq!((is_armed, counters.authtype_mismatch), (false, 1));
}

#[test]
fn a_master_answers_a_lower_ah_advert_with_a_number_beyond_it() {
    let mut from = master(&ah(*b"ahsecret", 100), 2);
    from.wait(7.0);
    let mut to = master(&ah(*b"ahsecret", 150), 1);
    let out = heard(&mut to, &one(&from.wait(1.0)));
    assert_eq!(one(&out)[28..32], [0, 0, 0, 11], "nine received, one skipped");
    heard(&mut from, &one(&out));
    assert_eq!(from.state(0), VrrpState::Backup);
}

#[test]
fn a_signed_advert_is_accepted_once_and_only_fresh() {
    let mut from = master(&signing(hmac(&[9], 9), 150), 2);
    let mut to = backup(&signing(hmac(&[9], 9), 100));
    let first = one(&from.wait(1.0));
    assert_eq!(first.len(), 20 + 8 + 4 + 8 + 28);
    assert_eq!(usize::from(first[3]), first.len(), "the IP header counts the trailer");
    assert!(verdict(&mut to, &first).0);
    let (is_armed, counters) = verdict(&mut to, &first);
    assert_eq!((is_armed, counters.auth_ext_replay, counters.advert_rcvd), (false, 1, 1));
    let second = one(&from.wait(1.0));
    to.event(Event::WallClock { at_zero: TODAY + Duration::from_secs(10) });
    let (is_armed, counters) = verdict(&mut to, &second);
    assert_eq!((is_armed, counters.auth_ext_stale), (false, 1));
    to.event(Event::WallClock { at_zero: TODAY + Duration::from_secs(6) });
    let out = heard(&mut to, &second);
    let says_skew = |line: &&str| line.contains("the clock of 10.0.0.2 and ours differ by");
    assert_eq!(logs(&out).iter().filter(|line| says_skew(line)).count(), 1);
}

#[test]
fn each_way_of_being_wrong_has_its_counter() {
    let advert = one(&master(&signing(hmac(&[9], 9), 150), 2).wait(1.0));
    let trailer = advert.len() - 28;
    let cut = {
        let mut cut = advert[..trailer].to_vec();
        let total = u8::try_from(trailer).unwrap();
        cut[3] = total;
        cut
    };
    let changed = |byte: usize, value: u8| {
        let mut changed = advert.clone();
        changed[byte] = value;
        changed
    };
    let cases: [(Vec<u8>, Counter); 7] = [
        (cut, |c| c.auth_ext_missing),
        (changed(trailer, 2), |c| c.auth_ext_malformed),
        (changed(trailer + 2, 1), |c| c.auth_ext_malformed),
        (changed(trailer + 1, 7), |c| c.auth_ext_unknown_key),
        (changed(trailer + 5, 0), |c| c.auth_ext_stale),
        (changed(trailer + 27, advert[trailer + 27] ^ 1), |c| c.auth_ext_invalid_hmac),
        // The checksum is not signed.
        (changed(26, advert[26] ^ 1), |_| 1),
    ];
    for (packet, counter) in cases {
        let mut to = backup(&signing(hmac(&[9], 9), 100));
        to.now = at(15.0);
        let (is_armed, counters) = verdict(&mut to, &packet);
        assert!(!is_armed, "{counters:?}");
        assert_eq!(counter(counters), 1, "{counters:?}");
        assert_eq!(counters.advert_rcvd, 0);
        // A rejected one uses nothing up.
        assert!(verdict(&mut to, &advert).0, "after {counters:?}");
    }
    let mut plain = backup(&instance("V", 1, 100));
    assert_eq!(verdict(&mut plain, &advert).1.packet_len_err, 1, "without auth_hmac it is too long");
}

#[test]
fn a_key_is_rotated_without_an_outage() {
    // First the new key is made known, then used, then the old one is forgotten.
    for (sender, receiver) in [((vec![1], 1), (vec![1, 2], 1)), ((vec![1, 2], 2), (vec![1, 2], 1))] {
        let mut from = master(&signing(hmac(&sender.0, sender.1), 150), 2);
        let mut to = backup(&signing(hmac(&receiver.0, receiver.1), 100));
        to.now = at(15.0);
        assert!(verdict(&mut to, &one(&from.wait(1.0))).0);
    }
    let mut from = master(&signing(hmac(&[1, 2], 1), 150), 2);
    let rotated = part(&[signing(hmac(&[1, 2], 2), 150)]);
    let mut out = Vec::new();
    from.router.reconfigure(&rotated, from.now, &mut out);
    let advert = one(&out);
    assert_eq!(advert[advert.len() - 27], 2, "the next advert is signed with the new key");
    assert_eq!(from.state(0), VrrpState::Master);
}

#[test]
fn the_modes_say_who_signs_and_what_is_asked_of_others() {
    let unsigned = advert_of(&instance("V", 1, 150), "10.0.0.2", 150);
    let mut forged = one(&master(&signing(hmac(&[9], 9), 150), 2).wait(1.0));
    let last = forged.len() - 1;
    forged[last] ^= 1;
    for (mode, signs, takes_unsigned) in [
        (HmacMode::Enforce, true, false),
        (HmacMode::Permissive, true, true),
        (HmacMode::ReceiveOnly, false, true),
    ] {
        let config = signing(AuthHmac { mode, ..hmac(&[9], 9) }, 150);
        let advert = one(&master(&config, 2).wait(1.0));
        assert_eq!(advert.len() > unsigned.len(), signs, "{mode:?}");
        let mut to = backup(&signing(AuthHmac { mode, ..hmac(&[9], 9) }, 100));
        to.now = at(15.0);
        assert_eq!(verdict(&mut to, &unsigned).0, takes_unsigned, "{mode:?}");
        assert!(!verdict(&mut to, &forged).0, "{mode:?}");
    }
}

#[test]
fn monotonic_needs_no_clock() {
    let monotonic = AuthHmac { anti_replay: AntiReplay::Monotonic, ..hmac(&[9], 9) };
    let mut from = master(&signing(monotonic.clone(), 150), 2);
    let mut to = backup(&signing(monotonic, 100));
    to.now = at(15.0);
    to.event(Event::WallClock { at_zero: Duration::ZERO });
    let first = one(&from.wait(1.0));
    assert!(verdict(&mut to, &first).0);
    assert!(!verdict(&mut to, &first).0);
    assert!(verdict(&mut to, &one(&from.wait(1.0))).0);
}

#[test]
fn all_unicast_copies_carry_one_trailer_and_a_stranger_is_not_heard() {
    let peers = |list: &[&str]| Transport::Unicast {
        peers: list.iter().map(|a| UnicastPeer { address: ip(a), min_ttl: None, max_ttl: None }).collect(),
        ttl: None,
        checksum: UnicastChecksum::Auto,
    };
    let with = |priority, list: &[&str]| Instance {
        transport: peers(list),
        version: VrrpVersion::V3,
        ..signing(hmac(&[9], 9), priority)
    };
    let mut from = master(&with(150, &["10.0.0.1", "10.0.0.3"]), 2);
    let copies = packets(&from.wait(1.0));
    assert_eq!(copies.len(), 2);
    let trailers: Vec<_> = copies.iter().map(|copy| copy[copy.len() - 28..].to_vec()).collect();
    assert_eq!(trailers[0], trailers[1]);
    let mut to = backup(&with(100, &["10.0.0.2"]));
    to.now = at(15.0);
    assert!(verdict(&mut to, &copies[0]).0);
    let mut to = backup(&with(100, &["10.0.0.9"]));
    to.now = at(15.0);
    assert!(!verdict(&mut to, &copies[0]).0);
}

#[test]
fn the_old_unicast_checksum_is_learned_forced_or_never_used() {
    let with = |checksum, priority| Instance {
        transport: Transport::Unicast {
            peers: vec![UnicastPeer {
                address: ip(if priority > 100 { "10.0.0.1" } else { "10.0.0.2" }),
                min_ttl: None,
                max_ttl: None,
            }],
            ttl: None,
            checksum,
        },
        version: VrrpVersion::V3,
        ..instance("V", 1, priority)
    };
    let advert = |checksum| one(&master(&with(checksum, 150), 2).wait(1.0));
    let (old, new) = (advert(UnicastChecksum::Old), advert(UnicastChecksum::Auto));
    assert_ne!(old[26..28], new[26..28]);
    for (receiver, packet, is_accepted) in [
        (UnicastChecksum::Auto, &old, true),
        (UnicastChecksum::Auto, &new, true),
        (UnicastChecksum::Never, &old, false),
        (UnicastChecksum::Never, &new, true),
        (UnicastChecksum::Old, &old, true),
        (UnicastChecksum::Old, &new, false),
    ] {
        let mut to = backup(&with(receiver, 100));
        to.now = at(15.0);
        assert_eq!(verdict(&mut to, packet).0, is_accepted, "{receiver:?}");
    }
    let mut to = backup(&with(UnicastChecksum::Auto, 100));
    to.now = at(15.0);
    let out = heard(&mut to, &old);
    assert!(logs(&out).contains(&"(V) Setting unicast VRRPv3 checksum to old version"));
    assert_eq!(one(&to.wait(5.0))[26..28].len(), 2);
    assert!(to.router.snapshot(to.now).instances[0].old_checksum);
}
