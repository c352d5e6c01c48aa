//! The whole way from text to model: what stock does with text, held against what we do. The names in brackets are the
//! traps of spec/vrrp-config.md (V), spec/global-defs.md (G), spec/config-language.md (C).

use std::time::Duration;

use super::diagnostic::Class;
use super::load_kit::{built, config, exit, instance, loaded, read_by, reports, service};
use super::model::*;
use super::schema::Readers;
use super::value::Mode;

#[test]
fn a_minimal_instance_has_the_defaults_of_the_manual() {
    let built = built("");
    assert_eq!(built.priority, Priority::DEFAULT);
    assert_eq!(built.initial, InitialState::Backup);
    assert_eq!(built.version, VrrpVersion::V2);
    assert_eq!(built.advert_int, Centis::SECOND);
    assert_eq!(built.transport, Transport::Multicast { group: "224.0.0.18".parse().expect("an address") });
    assert_eq!(*built.garp, GarpSettings::default());
    assert_eq!(built.down_timer_adverts, 3);
    assert!(built.preempt && built.accept && !built.strict);
    assert_eq!(built.vips.len(), 1);
    assert_eq!((built.vips[0].prefix, built.vips[0].interface.as_str()), (32, "eth0"));
    assert_eq!(exit(&instance("")), 0);
}

#[test]
fn exit_codes_follow_the_gravest_report() {
    for (lines, code) in [
        ("", 0),
        ("priority 50", 0),
        ("priority 50 60", 0),
        ("priority 0", 5),
        ("priority 256", 5),
        ("priority 5x", 5),
        ("priority '50'", 5),
        ("priority\"50\"", 0),
        ("priority", 2),
        ("priority 10\npriority 20", 0),
        ("foobar", 5),
        ("state master", 5),
        ("state", 2),
        ("nopreempt foo", 0),
        ("nopreempt \\", 5),
        ("preempt_delay 3m", 5),
        ("garp_master_delay 7s", 5),
        ("smtp_alert", 0),
        ("smtp_alert yes", 0),
        ("smtp_alert True", 5),
        ("garp_extra_if", 5),
        ("notify_master", 2),
        ("notify_master \"/usr/bin/true", 5),
        ("notify_master /usr/bin/true", 6),
        ("notify_master /usr/bin/true nosuch", 0),
        ("notify_master /no/such", 0),
        ("track_interface { eth1 }", 0),
        ("track_interface { nope0 }", 5),
        ("track_script { nosuch }", 5),
        ("authentication { auth_type PASS\nauth_pass 1234 }", 0),
        ("authentication { auth_type PASS\nauth_pass 123456789 }", 5),
        ("authentication { auth_type pass\nauth_pass 1234 }", 5),
        ("authentication { auth_type PASS auth_pass x }", 5),
        ("unicast_peer { 192.0.2.9 }", 0),
        ("unicast_peer { 192.0.2.9 192.0.2.10 }", 5),
        ("unicast_peer { 192.0.2.13/24 }", 0),
        ("unicast_peer { bad }", 5),
    ] {
        assert_eq!(exit(&instance(lines)), code, "{lines}");
    }
}

#[test]
fn an_unknown_block_lets_its_brace_close_the_instance() {
    // [C1]
    let text = instance("foobar {\npriority 33\n}\npriority 44");
    assert_eq!(config(&text).instances[0].priority.get(), 33);
    // What follows from it is not told again: lines 6 to 9 stand in the wrong block for that reason alone.
    assert_eq!(reports(&text), ["5:unknown-block"]);
    // What does not is.
    let text = instance("foobar {\npriority 33\n}\nprioritty 44");
    assert_eq!(reports(&text), ["5:unknown-block", "8:unknown-keyword"]);
}

#[test]
fn a_lost_brace_is_reported_once_and_the_instance_runs() {
    // [C19]
    let text = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress { 192.0.2.5 }\n";
    assert_eq!(reports(text), ["1:block-not-closed"]);
    assert_eq!(config(text).instances.len(), 1);
    let text = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {\n192.0.2.5\n";
    assert_eq!(reports(text), ["4:block-not-closed"]);
    assert_eq!(config(text).instances[0].vips.len(), 1);
}

#[test]
fn a_block_of_another_process_is_skipped_by_counting_braces() {
    let text = format!("virtual_server bad 80 {{\nfoo {{\n}}\nreal_server x {{ }}\n}}\n{}", instance(""));
    assert_eq!(reports(&text), ["1:bad-value"]);
    assert_eq!(config(&text).instances.len(), 1);
}

#[test]
fn a_missing_brace_takes_the_next_line_as_the_first_inside() {
    let text = "vrrp_script s\nscript /usr/bin/true\ninterval 2\n}\n";
    assert!(reports(text).contains(&"1:missing-brace".to_owned()));
    assert_eq!(exit(text), 5);
}

#[test]
fn surplus_braces_are_unknown_at_the_top_level() {
    assert_eq!(reports("}\n"), ["1:surplus-brace"]);
    assert_eq!(reports("}\n}\n"), ["1:surplus-brace", "2:surplus-brace"]);
    assert_eq!(reports("{\n"), ["1:unexpected-brace"]);
}

#[test]
fn only_the_brace_without_partner_is_surplus_behind_unknown_blocks() {
    let loaded = loaded("real_server 192.0.2.1 80 {\nTCP_CHECK {\n}\n}\n}\n", Mode::ConfigTest);
    let line = |span| loaded.sources.location(span).map(|place| place.line);
    let blamed: Vec<_> = loaded
        .diagnostics
        .iter()
        .filter(|report| report.id == "surplus-brace")
        .map(|report| report.related.first().and_then(|(span, _)| line(*span)))
        .collect();
    assert_eq!(blamed, [None]);
}

#[test]
fn the_command_that_mends_wrong_blanks_is_named_once() {
    let loaded = loaded("global_defs {\n\u{a0}router_id a\n\u{a0}smtp_alert\n}\n", Mode::ConfigTest);
    let commands =
        loaded.diagnostics.iter().flat_map(|report| &report.help).filter(|it| it.contains("sed -i"));
    assert_eq!(commands.count(), 1);
}

#[test]
fn blocks_with_no_name_two_names_or_a_taken_one_are_skipped() {
    // [V26]
    assert_eq!(reports("vrrp_instance A B {\nfoo\n}\n"), ["1:bad-block-name"]);
    let text = format!("{}{}", instance(""), instance("priority 7"));
    assert_eq!(reports(&text), ["7:repeated-block"]);
    assert_eq!(config(&text).instances[0].priority, Priority::DEFAULT);
}

#[test]
fn a_second_group_list_loses_the_sync_group() {
    // [V38]
    let text =
        format!("{}vrrp_sync_group G {{\ngroup {{ V }}\ngroup {{ W }}\nsmtp_alert\n}}\n", instance(""));
    assert_eq!(reports(&text)[0], "9:repeated-block");
    assert!(config(&text).sync_groups.is_empty());
}

#[test]
fn a_master_without_priority_is_the_owner() {
    // [V1]
    let built = built("state MASTER\nnopreempt");
    assert_eq!((built.priority, built.initial, built.preempt), (Priority::OWNER, InitialState::Master, true));
    assert_eq!(exit(&instance("state MASTER\nnopreempt")), 5);
}

#[test]
fn skip_check_adv_addr_no_turns_it_on() {
    // [V2]
    assert!(built("skip_check_adv_addr no").skip_check_adv_addr);
}

#[test]
fn an_owner_always_ignores_adverts_once_it_says_no() {
    // [V6]
    assert!(built("priority 255\nowner_ignore_adverts no").owner_ignore_adverts);
    assert!(!built("owner_ignore_adverts yes").owner_ignore_adverts);
}

#[test]
fn the_first_address_fixes_the_family() {
    // [V8]
    let text = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {\n192.0.2.5\nfe80::5\n}\n}\n";
    assert_eq!(reports(text), ["6:wrong-family"]);
    assert_eq!(config(text).instances[0].vips.len(), 1);
}

#[test]
fn prefixes_are_lengths() {
    // [V9]
    let prefix = |address: &str| {
        let text = instance("").replace("192.0.2.5", address);
        config(&text).instances[0].vips[0].prefix
    };
    assert_eq!(prefix("192.0.2.5/24"), 24);
    assert_eq!(prefix("192.0.2.5/"), 0);
    assert_eq!(prefix("192.0.2.5/24x"), 24);
    assert_eq!(prefix("192.0.2.5/255.255.255.0"), 32);
    assert_eq!(prefix("192.0.2.5/99"), 32);
}

#[test]
fn an_instance_without_address_is_refused_in_version_3_only() {
    // [V10]
    let text = |version| {
        format!(
            "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 5\n{version}\nvirtual_ipaddress_excluded {{ 192.0.2.5 }}\n}}\n"
        )
    };
    assert_eq!(loaded(&text("version 3"), Mode::Run).refusal, Some(2));
    assert_eq!(loaded(&text("version 2"), Mode::Run).refusal, None);
    assert_eq!((exit(&text("version 3")), exit(&text("version 2"))), (5, 5));
}

#[test]
fn the_address_block_that_comes_first_wins() {
    // [V11]
    let text = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress_excluded { 192.0.2.5 }\nvirtual_ipaddress { 192.0.2.5 }\n}\n";
    assert_eq!(reports(text), ["5:repeated-entry", "1:no-address"]);
}

#[test]
fn advert_intervals_are_rounded_as_the_version_needs() {
    // [V15]
    assert_eq!(built("advert_int 0.5").advert_int, Centis(100));
    assert_eq!(built("advert_int 0.5\nversion 3").advert_int, Centis(50));
    assert_eq!(built("advert_int 300").advert_int, Centis(100));
    assert_eq!(built("advert_int 100\nversion 3").advert_int, Centis(4095));
    assert_eq!(built("advert_int 2s").advert_int, Centis(100));
    assert_eq!(exit(&instance("advert_int 0.5")), 5);
}

#[test]
fn a_running_daemon_uses_the_digits_that_the_test_refuses() {
    // [C4] [C5]
    assert_eq!(built("garp_master_delay 7s").garp.delay, Duration::from_secs(7));
    let tested = loaded(&instance("garp_master_delay 7s"), Mode::ConfigTest).config.expect("runs");
    assert_eq!(tested.instances[0].garp.delay, Duration::from_secs(5));
    assert_eq!(built("preempt_delay 3m").preempt_delay, Duration::from_micros(3));
}

#[test]
fn a_script_weight_out_of_range_is_used() {
    // [V16]
    let text = |weight| {
        format!(
            "vrrp_script s {{\nscript /usr/bin/true\nweight {weight}\n}}\n{}",
            instance("track_script { s }")
        )
    };
    assert_eq!(config(&text("300")).instances[0].track_scripts[0].weight, 300);
    assert_eq!(config(&text("-253")).instances[0].track_scripts[0].weight, -253);
}

#[test]
fn a_script_must_be_defined_before_it_is_tracked() {
    // [C18]
    let script = "vrrp_script s {\nscript /usr/bin/true\n}\n";
    let tracked = instance("track_script { s }");
    assert_eq!(config(&format!("{script}{tracked}")).instances[0].track_scripts.len(), 1);
    let late = format!("{tracked}{script}");
    assert!(config(&late).instances[0].track_scripts.is_empty());
    assert_eq!(reports(&late)[0], "5:unknown-name");
    let help =
        loaded(&late, Mode::Run).diagnostics.iter().find(|r| r.id == "unknown-name").map(|r| r.related.len());
    assert_eq!(help, Some(1));
}

#[test]
fn an_entry_of_a_script_that_was_dropped_says_why() {
    for (block, why) in [
        ("interval 2", "it has no `script`"),
        ("script /usr/bin/true\nuser surely_nobody", "its `user` does not exist"),
    ] {
        let text = format!("vrrp_script s {{\n{block}\n}}\n{}", instance("track_script { s }"));
        let loaded = loaded(&text, Mode::Run);
        let report = loaded.diagnostics.iter().find(|report| report.id == "unknown-name").expect("told");
        assert_eq!(report.message, format!("track_script: vrrp_script `s` was dropped: {why}"));
        assert_eq!(report.related.len(), 1);
        assert!(config(&text).instances[0].track_scripts.is_empty());
    }
    let second = "vrrp_script s {\n}\nvrrp_script s {\nscript /usr/bin/true\n}\n";
    let text = format!("{second}{}", instance("track_script { s }"));
    assert_eq!(config(&text).instances[0].track_scripts.len(), 1, "the second block is whole");
}

#[test]
fn scripts_obey_script_security() {
    let security = "global_defs {\nenable_script_security\nscript_user root\n}\n";
    let tracking = |script: &str| {
        format!("vrrp_script s {{\nscript \"{script}\"\n}}\n{}", instance("track_script { s }"))
    };
    for (script, off, on) in [
        ("/usr/bin/true", 6, 0),
        ("true", 6, 0),
        ("/no/such", 5, 5),
        ("nosuch", 5, 5),
        ("/srv/x.sh", 6, 5),
        ("/srv/plain.txt", 6, 0),
        ("/bin/true", 6, 5),
        ("</dev/tcp/127.0.0.1/80", 6, 0),
    ] {
        assert_eq!(exit(&tracking(script)), off, "{script}, security off");
        assert_eq!(exit(&format!("{security}{}", tracking(script))), on, "{script}, security on");
    }
}

#[test]
fn a_script_behind_a_symlinked_directory_runs_and_only_the_test_complains() {
    // [V19]: a fault of stock that is not copied.
    let security = "global_defs {\nenable_script_security\nscript_user root\n}\n";
    let text =
        format!("{security}vrrp_script s {{\nscript /bin/true\n}}\n{}", instance("track_script { s }"));
    let running = config(&text);
    assert_eq!(running.scripts[0].command.path, "/usr/bin/true");
    assert_eq!(running.scripts[0].command.argv, ["/bin/true"]);
    assert!(loaded(&text, Mode::Run).diagnostics.iter().all(|report| report.class == Class::None));
}

#[test]
fn an_argument_outside_the_quotes_is_taken_for_a_user() {
    // [V20]
    let text = instance("notify_master /usr/bin/true a");
    assert_eq!(exit(&text), 0);
    assert!(config(&text).instances[0].notify.master.is_none());
    let text = instance("notify_master \"/usr/bin/true a\" nobody mail");
    let command = config(&text).instances[0].notify.master.clone().expect("it exists");
    assert_eq!(command.argv, ["/usr/bin/true", "a"]);
    assert_eq!(command.identity, Identity { uid: 65534, gid: 8, supplementary: false });
}

#[test]
fn supplementary_groups_are_looked_up_for_those_who_get_them() {
    let nobody = |gid, supplementary| Identity { uid: 65534, gid, supplementary };
    let groups = |global: &str, words: &str| {
        let global = format!("global_defs {{\nscript_user root\n{global}\n}}\n");
        let config = config(&(global + &instance(&format!("notify_master \"/usr/bin/true a\" {words}"))));
        let identity = config.instances[0].notify.master.clone().expect("it exists").identity;
        (identity, config.global.script_groups.of(identity).to_vec())
    };
    assert_eq!(groups("", "nobody mail"), (nobody(8, false), vec![]));
    assert_eq!(groups("", "nobody :mail"), (nobody(8, true), vec![8, 100]));
    assert_eq!(groups("", "nobody :"), (nobody(65534, true), vec![65534, 100]));
    assert_eq!(groups("set_supplementary_groups", "nobody"), (nobody(65534, true), vec![65534, 100]));
    let global = "global_defs {\nscript_user nobody :\n}\n".to_owned();
    let global = config(&(global + &instance(""))).global;
    assert_eq!(global.script_groups.of(nobody(65534, true)), [65534, 100]);
}

#[test]
fn without_a_user_to_run_as_a_script_is_removed() {
    let script = "vrrp_script s {\nscript /usr/bin/true\n}\n";
    assert_eq!(
        reports(&format!("global_defs {{\nscript_user nosuch\n}}\n{script}")),
        ["2:unknown-user", "5:no-script-user"]
    );
    assert_eq!(
        reports(&format!("global_defs {{\nenable_script_security\n}}\n{script}")),
        ["5:no-script-user"]
    );
    assert_eq!(exit(script), 0, "nothing looks at scripts without instances");
}

#[test]
fn a_weighted_interface_in_a_sync_group_becomes_a_fault() {
    // [V24]
    let group = "vrrp_sync_group G {\ngroup { V }\n}\n";
    let text = format!("{}{group}", instance("track_interface { eth1 weight 10 }"));
    assert_eq!(config(&text).instances[0].track_interfaces[0].weight, 0);
    let text = text.replace("group { V }", "group { V }\nsync_group_tracking_weight");
    assert_eq!(config(&text).instances[0].track_interfaces[0].weight, 10);
}

#[test]
fn authentication_belongs_to_version_2_of_ipv4() {
    // [V27] [V28]
    let auth = "authentication {\nauth_type PASS\nauth_pass 1234567890\n}";
    assert_eq!(built(auth).auth, Auth::Pass(*b"12345678"));
    assert_eq!(built(&format!("{auth}\nversion 3")).auth, Auth::None);
    assert_eq!(built(&format!("{auth}\nstrict_mode")).auth, Auth::None);
}

#[test]
fn a_missing_interface_refuses_everything_unless_interfaces_are_dynamic() {
    // [V34] [V35]
    let text = instance("track_interface { nope0 }");
    assert_eq!(loaded(&text, Mode::Run).refusal, Some(2));
    let text = format!("{text}global_defs {{\ndynamic_interfaces\n}}\n");
    assert_eq!(loaded(&text, Mode::Run).refusal, None);
    assert_eq!(exit(&text), 0);
}

#[test]
fn a_missing_interface_hides_what_stock_would_check_later() {
    let text = instance("notify_master /usr/bin/true\ntrack_interface { nope0 }");
    assert_eq!(exit(&text), 5);
}

#[test]
fn the_same_vrid_clashes_on_the_same_interface_and_family_only() {
    // [V33]
    let second = |interface: &str, lines: &str| {
        let other = instance(lines).replace("vrrp_instance V", "vrrp_instance W").replace("eth0", interface);
        format!("{}{other}", instance(""))
    };
    assert_eq!(loaded(&second("eth0", ""), Mode::Run).refusal, Some(2));
    assert_eq!(loaded(&second("eth1", ""), Mode::Run).refusal, None);
    assert_eq!(loaded(&second("eth0", "mcast_dst_ip 224.0.0.99"), Mode::Run).refusal, None);
    assert_eq!(loaded(&second("eth0", "unicast_peer { 192.0.2.9 }"), Mode::Run).refusal, None);
}

#[test]
fn global_words_hold_wherever_they_stand() {
    let text = format!("{}global_defs {{\nvrrp_version 3\nvrrp_garp_master_delay 8\n}}\n", instance(""));
    let config = config(&text);
    assert_eq!(config.instances[0].version, VrrpVersion::V3);
    assert_eq!(config.instances[0].garp.delay, Duration::from_secs(8));
    assert_eq!(config.instances[0].garp.lower_prio_delay, Duration::from_secs(8));
    assert_eq!(config.global.router_id, "vm");
}

#[test]
fn global_traps_are_those_of_stock() {
    let global = |lines: &str| format!("global_defs {{\n{lines}\n}}\n");
    for (lines, code) in [
        ("state_file_location /run/x/", 5),
        ("include_check readable", 5),
        ("vrrp_nftables x", 5),
        ("vrrp_iptables", 5),
        ("vrrp_version", 2),
        ("net_namespace x", 5),
        ("vrrp_rx_bufs_policy MTU 1000", 5),
        ("vrrp_rx_bufs_policy 1000 MTU", 0),
        ("lvs_timeouts tcp", 5),
        ("lvs_timeouts tcp 900", 0),
        ("lvs_sync_daemon eth0 V 7", 5),
        ("lvs_sync_daemon eth0 V id 7", 0),
        ("vrrp_garp_interval 0", 5),
        ("vrrp_garp_interval 0.001", 0),
        ("smtp_server [::1]:25", 5),
        ("smtp_server 127.0.0.1", 0),
        ("smtp_server 1.5", 0),
        ("smtp_server mail.invalid", 5),
        ("notify_fifo /run/x nosuchuser", 0),
        ("vrrp_cpu_affinity 0 1 2 99", 5),
        ("vrrp_cpu_affinity 0 1", 0),
        ("umask IRGRP IWOTH", 5),
        ("umask IRGRP | IWOTH", 0),
        ("umask 01000", 5),
        ("router_id", 5),
        ("router_id a\nrouter_id b", 0),
        ("notification_email { }", 5),
        ("notification_email { a@b\nc@d }", 0),
        ("script_user root", 0),
        ("script_user nosuch", 5),
    ] {
        assert_eq!(exit(&global(lines)), code, "{lines}");
    }
    assert_eq!(exit("net_namespace nosuch\nfoo\n"), 0, "stock leaves before it complains");
    let garp = config(&global("vrrp_min_garp\nvrrp_garp_master_delay 8")).global.garp;
    assert_eq!((garp.delay, garp.repeat, garp.refresh_repeat), (Duration::from_secs(8), 1, 0));
    let names = config(&global("process_names")).global.process_names;
    assert_eq!((names.parent.as_str(), names.checkers.as_str()), ("keepalived", "keepalived_lvs"));
}

#[test]
fn strict_mode_forces_what_the_rfc_says() {
    let text = "global_defs {\nvrrp_strict\n}\n";
    let strict = config(&format!("{text}{}", instance("priority 150"))).instances.remove(0);
    assert!(strict.strict && !strict.accept && strict.lower_prio_no_advert);
    assert_eq!(strict.garp.lower_prio_repeat, 0);
    assert_eq!(exit(&format!("{text}{}", instance("state MASTER\npriority 150"))), 5);
    assert_eq!(exit(&format!("{text}{}", instance("strict_mode off\nstate MASTER\npriority 150"))), 0);
    let peers = format!("{text}{}", instance("unicast_peer { 192.0.2.9 }"));
    assert_eq!(loaded(&peers, Mode::Run).refusal, Some(2));
}

#[test]
fn a_keyword_without_its_argument_decides_alone() {
    let text = format!(
        "{}virtual_server 10.0.0.1 80 {{\nprotocol\n}}\n",
        instance("notify_master /usr/bin/true\nfoo")
    );
    assert_eq!(exit(&text), 2);
    assert_eq!(loaded(&text, Mode::Run).refusal, Some(2));
}

#[test]
fn every_keyword_has_a_help_line_and_stands_once_in_its_table() {
    fn look(table: &'static super::schema::Table, seen: &mut Vec<&'static str>) -> usize {
        if seen.contains(&table.name) && table.name != "url" {
            return 0;
        }
        seen.push(table.name);
        let mut count = 0;
        let mut names = std::collections::HashSet::new();
        for keyword in table.keywords() {
            count += 1;
            assert!(names.insert(keyword.name), "{} twice in {}", keyword.name, table.name);
            assert!(keyword.help.ends_with(['.', '…']), "{}: {}", keyword.name, keyword.help);
            if let super::schema::Shape::Block(block) = keyword.shape {
                count += look(block.table, seen);
            }
        }
        count
    }
    assert!(look(&super::blocks::TOP, &mut Vec::new()) > 400);
}

#[test]
fn old_and_misspelt_words_come_with_what_to_write() {
    let help = |text: &str| {
        let loaded = loaded(text, Mode::ConfigTest);
        let help: Vec<String> = loaded.diagnostics.iter().flat_map(|report| report.help.clone()).collect();
        help.join("; ")
    };
    for (lines, wanted) in [
        ("preemtp_delay 3", "`preempt_delay`"),
        ("priority\u{a0}50", "`priority 50`"),
        ("advert int 1", "`advert_int`"),
        ("lvs_id x", "router_id"),
        ("real_server 1.2.3.4", "virtual_server"),
        ("state Master", "MASTER"),
    ] {
        let help = help(&instance(lines));
        assert!(help.contains(wanted), "{lines}: {help}");
    }
    assert!(help(&service("connect timeout 3", "")).contains("`connect_timeout`"));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(words in proptest::collection::vec(word(), 0..60)) {
        let text: String = words.concat();
        let _ = loaded(&text, Mode::Run);
        let _ = loaded(&text, Mode::ConfigTest);
    }
}

/// Words of the language, pieces of values, and anything.
fn word() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let keywords: Vec<&'static str> = {
        fn gather(table: &'static super::schema::Table, names: &mut Vec<&'static str>, depth: u8) {
            for keyword in table.keywords() {
                names.push(keyword.name);
                if let super::schema::Shape::Block(block) = keyword.shape
                    && depth < 4
                {
                    gather(block.table, names, depth + 1);
                }
            }
        }
        let mut names = Vec::new();
        gather(&super::blocks::TOP, &mut names, 0);
        names
    };
    prop_oneof![
        4 => proptest::sample::select(keywords).prop_map(|name| format!("{name} ")),
        2 => proptest::sample::select(vec![" { ", "\n", " }\n", "\n", "{ \n"]).prop_map(str::to_owned),
        2 => proptest::sample::select(vec![
            "1 ", "0 ", "-1 ", "300 ", "eth0 ", "192.0.2.1 ", "192.0.2.1/24 ", "fe80::1 ", "V ", "/usr/bin/true ", "\"a b\" ",
            "MASTER ", "fwmark ", "group ", "10.0.0.1-5 ", "weight ", "dev ", "yes ", "via ", "TUN type gue port 3 ",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,6}",
    ]
}

#[test]
fn an_ipv6_instance_speaks_version_3_and_is_not_kept_from_running() {
    let text = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {\nfe80::5\n}\n}\n";
    let loaded = loaded(text, Mode::Run);
    let config = loaded.config.expect("it is a good configuration");
    assert_eq!(config.instances[0].version, VrrpVersion::V3);
    assert_eq!(config.instances[0].config_fault, None);
}

#[test]
fn what_is_wrong_in_the_blocks_of_a_process_that_does_not_run_keeps_nobody_from_starting() {
    let half = "virtual_server 192.0.2.1 80 {\nlvs_sched rr\nreal_server 10.0.0.2 80 {\nnotify_down\n}\n}\n";
    let other =
        "vrrp_instance V {\ninterface nope0\nvirtual_router_id 5\nvirtual_ipaddress { 192.0.2.5 }\n}\n";
    let refusal = |text: &str, left_out: Readers| read_by(text, left_out).refusal;
    let (none, checkers, vrrp) = (Readers::PARENT, Readers::CHECKER, Readers::VRRP);
    for (text, process) in [(half, checkers), (other, vrrp)] {
        assert_eq!(refusal(text, none), Some(2), "{text}");
        assert_eq!(refusal(text, process), None, "{text}");
        assert!(read_by(text, process).diagnostics.iter().all(|report| report.class == Class::None));
    }
    assert_eq!(refusal(half, vrrp), Some(2));
    assert_eq!(refusal(other, checkers), Some(2));
    let both = format!("{half}{}", instance(""));
    assert_eq!(read_by(&both, checkers).config.expect("it runs").instances.len(), 1);
}
