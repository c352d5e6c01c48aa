//! `authentication` and `auth_hmac` from text to model (spec/vrrp-config.md §2.1, §4 rows 12 and 13).

use std::time::Duration;

use super::load_kit::{built, exit, instance, reports};
use super::model::*;

const AH: &str = "authentication {\nauth_type AH\nauth_pass secret\n}";
const LONG: &str = "0123456789abcdef0123456789abcdef";

/// An `auth_hmac` block with these lines.
fn block(lines: &str) -> String {
    format!("auth_hmac {{\n{lines}\n}}")
}

fn hmac(lines: &str) -> AuthHmac {
    match built(&block(lines)).auth {
        Auth::Hmac(hmac) => *hmac,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ah_takes_eight_bytes_and_is_for_version_2_of_ipv4() {
    assert_eq!(built(AH).auth, Auth::Ah(*b"secret\0\0"));
    assert_eq!(exit(&instance(AH)), 0);
    assert_eq!(built(&format!("{AH}\nversion 3")).auth, Auth::None);
    let v6 = instance(&format!("version 2\n{AH}")).replace("192.0.2.5", "fe80::5");
    assert_eq!(super::load_kit::config(&v6).instances[0].auth, Auth::None);
    let master = built(&format!("state MASTER\npriority 100\n{AH}"));
    assert_eq!(master.initial, InitialState::Backup);
    assert_eq!(exit(&instance(&format!("state MASTER\npriority 100\n{AH}"))), 5);
}

#[test]
fn keys_are_text_digits_or_files() {
    let keys = format!(
        "key 1 {LONG}\nkey 2 hex:{0}{0}\nkey 3 file:/etc/keepalived/vrrp.key\nactive_key 3",
        "00ff".repeat(8)
    );
    let read = hmac(&keys);
    assert_eq!(read.keys.iter().map(|key| key.id).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(read.keys[0].value, LONG.as_bytes());
    assert_eq!(read.keys[1].value, [0, 0xff].repeat(16));
    assert_eq!(read.keys[2].value, (0..32).collect::<Vec<u8>>());
    assert_eq!(read.active, 3);
    assert_eq!(exit(&instance(&block(&keys))), 0);
}

#[test]
fn the_defaults_are_stocks_and_the_window_follows_the_interval() {
    let lines = format!("key 1 {LONG}\nactive_key 1");
    let read = hmac(&lines);
    assert_eq!(read.mode, HmacMode::Enforce);
    assert_eq!(read.anti_replay, AntiReplay::Time { window: Duration::from_secs(5) });
    for (interval, window) in [("10", 30), ("200", 300)] {
        let text = format!("advert_int {interval}\n{}", block(&lines));
        let Auth::Hmac(read) = built(&text).auth else { panic!("no auth_hmac") };
        assert_eq!(read.anti_replay, AntiReplay::Time { window: Duration::from_secs(window) });
    }
    let read = hmac(&format!("{lines}\ntime_window 60\nmode receive-only"));
    assert_eq!(read.anti_replay, AntiReplay::Time { window: Duration::from_secs(60) });
    assert_eq!(read.mode, HmacMode::ReceiveOnly);
    let read = hmac(&format!("{lines}\nanti_replay monotonic\nmode permissive"));
    assert_eq!((read.anti_replay, read.mode), (AntiReplay::Monotonic, HmacMode::Permissive));
}

#[test]
fn bad_keys_are_reported_and_not_used() {
    let active = "active_key 1";
    for (line, id) in [
        ("key 9", "missing-argument"),
        (&*format!("key 0 {LONG}"), "bad-value"),
        (&*format!("key 1 {LONG}"), "bad-key"),
        ("key 9 short", "bad-key"),
        ("key 9 hex:abc", "bad-key"),
        ("key 9 file:/nowhere", "bad-key"),
    ] {
        let text = instance(&block(&format!("key 1 {LONG}\n{line}\n{active}")));
        assert_eq!(reports(&text), [format!("7:{id}")], "{line}");
        assert_eq!(exit(&text), 5, "{line}");
        assert_eq!(hmac(&format!("key 1 {LONG}\n{line}\n{active}")).keys.len(), 1, "{line}");
    }
}

#[test]
fn a_key_file_that_others_may_read_is_a_matter_of_security() {
    let lines = "key 1 file:/etc/keepalived/open.key\nactive_key 1";
    assert_eq!(exit(&instance(&block(lines))), 6);
    assert_eq!(hmac(lines).keys[0].value, LONG.as_bytes());
}

#[test]
fn without_its_active_key_the_extension_is_off() {
    for lines in [format!("key 1 {LONG}"), format!("key 1 {LONG}\nactive_key 2")] {
        let text = instance(&block(&lines));
        assert_eq!(reports(&text).len(), 1);
        assert!(reports(&text)[0].ends_with(":no-active-key"));
        assert_eq!(built(&block(&lines)).auth, Auth::None);
    }
}

#[test]
fn the_extension_replaces_the_legacy_block_and_strict_mode_enforces_it() {
    let lines = block(&format!("key 1 {LONG}\nactive_key 1\nmode permissive"));
    let both = format!("{AH}\n{lines}");
    assert!(matches!(built(&both).auth, Auth::Hmac(_)));
    assert_eq!(exit(&instance(&both)), 5);
    let Auth::Hmac(strict) = built(&format!("strict_mode\n{lines}")).auth else { panic!("dropped") };
    assert_eq!(strict.mode, HmacMode::Enforce);
}

#[test]
fn the_old_unicast_checksum_has_three_settings() {
    for (word, checksum) in [
        ("", UnicastChecksum::Auto),
        ("old_unicast_checksum", UnicastChecksum::Old),
        ("old_unicast_checksum never", UnicastChecksum::Never),
    ] {
        let read = built(&format!("unicast_peer {{\n192.0.2.9\n}}\n{word}"));
        let Transport::Unicast { checksum: read, .. } = read.transport else { panic!("multicast") };
        assert_eq!(read, checksum, "{word}");
    }
}

#[test]
fn addresses_that_do_not_fit_beside_the_seal_are_excluded() {
    let many = (1..=250).map(|last| format!("192.0.2.{last}")).collect::<Vec<_>>().join("\n");
    let text = |more: &str| {
        format!(
            "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {{\n{many}\n}}\n{more}\n}}\n"
        )
    };
    let read = |more: &str| super::load_kit::config(&text(more)).instances.remove(0);
    assert_eq!(read("").vips.len(), 250);
    let small = |more: &str| {
        // An MTU of 1500 holds 255 addresses, whatever the seal; IPv6 is where it ends.
        let text = text(more).replace("192.0.2.", "fe80::");
        let read = super::load_kit::config(&text).instances.remove(0);
        (read.vips.len(), read.excluded.len())
    };
    // As 2.2.7 tells with an MTU of 1500.
    assert_eq!(small(""), (89, 161));
    assert_eq!(small(&block(&format!("key 1 {LONG}\nactive_key 1"))), (88, 162));
}
