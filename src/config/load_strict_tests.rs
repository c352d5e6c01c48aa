//! Strict mode rule by rule (spec/vrrp-config.md §5): what a strict instance becomes, and that it is told.

use std::time::Duration;

use super::load_kit::{built, config, exit, instance, loaded, reports};
use super::model::*;
use super::value::Mode;

/// Each rule: the lines that break it, and whether the instance obeys it.
type Rule = (&'static str, &'static str, fn(&Instance) -> bool);

const FORCED: &[Rule] = &[
    ("no authentication", "authentication {\nauth_type PASS\nauth_pass x\n}", |it| it.auth == Auth::None),
    ("no preempt_delay", "preempt_delay 5", |it| it.preempt_delay == Duration::ZERO),
    ("no other down_timer_adverts", "down_timer_adverts 5", |it| it.down_timer_adverts == 3),
    ("no explicit accept in version 2", "version 2\naccept", |it| !it.accept),
    ("no garp_lower_prio_repeat", "garp_lower_prio_repeat 3", |it| it.garp.lower_prio_repeat == 0),
    ("no garp_lower_prio_delay", "garp_lower_prio_delay 3", |it| it.garp.lower_prio_delay.is_zero()),
    ("no advert is suppressed", "lower_prio_no_advert no", |it| it.lower_prio_no_advert),
    ("no advert before yielding", "higher_prio_send_advert yes", |it| !it.higher_prio_send_advert),
    ("MASTER is the owner alone", "state MASTER\npriority 150", |it| it.initial == InitialState::Backup),
    ("the owner is MASTER", "state BACKUP\npriority 255", |it| it.initial == InitialState::Master),
    ("no vmac_xmit_base", "use_vmac\nvmac_xmit_base", |it| it.advert_interface() != it.interface.as_deref()),
];

#[test]
fn what_breaks_a_rule_is_told_and_put_right() {
    for (rule, lines, obeys) in FORCED {
        let strict = format!("strict_mode\n{lines}");
        assert!(obeys(&built(&strict)), "{rule}");
        assert_eq!(exit(&instance(&strict)), 5, "{rule}");
        assert!(!obeys(&built(lines)), "{rule}: only in strict mode");
    }
}

#[test]
fn what_strict_mode_sets_by_itself_is_not_told() {
    let strict = built("strict_mode");
    assert!(
        strict.strict && !strict.accept && strict.lower_prio_no_advert && !strict.higher_prio_send_advert
    );
    assert_eq!((strict.garp.lower_prio_repeat, strict.garp.lower_prio_delay), (0, Duration::ZERO));
    assert!(!strict.owner_ignore_adverts, "only an owner can");
    assert_eq!(reports(&instance("strict_mode")), [""; 0]);
    let owner = built("strict_mode\npriority 255");
    assert!(owner.accept && owner.owner_ignore_adverts);
    assert!(built("strict_mode\nversion 3\naccept").accept, "version 3 may");
}

#[test]
fn an_instance_without_address_or_with_unicast_is_refused() {
    let empty =
        "vrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nstrict_mode\nno_virtual_ipaddress\n}\n";
    assert_eq!(loaded(empty, Mode::Run).refusal, Some(2));
    assert_eq!(loaded(&empty.replace("strict_mode\n", ""), Mode::Run).refusal, None);
    let unicast = instance("strict_mode\nunicast_peer { 192.0.2.9 }");
    assert_eq!(loaded(&unicast, Mode::Run).refusal, Some(2));
    // The interface cannot do multicast, so there is no other way.
    assert_eq!(loaded(&unicast.replace("eth0", "tun0"), Mode::Run).refusal, None);
}

#[test]
fn ipv6_is_version_3_and_its_first_address_should_be_link_local() {
    let of = |lines: &str, first: &str| {
        format!(
            "vrrp_instance V {{\n{lines}\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {{ {first} }}\n}}\n"
        )
    };
    let strict = of("version 2\nstrict_mode", "fe80::5");
    assert_eq!(config(&strict).instances[0].version, VrrpVersion::V3);
    assert_eq!(exit(&strict), 5);
    assert_eq!(config(&of("version 2", "fe80::5")).instances[0].version, VrrpVersion::V2);
    assert_eq!(exit(&of("strict_mode", "fe80::5")), 0);
    assert_eq!(exit(&of("strict_mode", "2001:db8::5")), 5);
    assert_eq!(exit(&of("", "2001:db8::5")), 0, "a line, nothing more");
}

#[test]
fn the_global_word_is_overruled_by_the_instance() {
    let text = |lines: &str| format!("global_defs {{\nvrrp_strict\n}}\n{}", instance(lines));
    assert!(config(&text("")).instances[0].strict);
    assert!(!config(&text("strict_mode off")).instances[0].strict);
}
