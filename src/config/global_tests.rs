//! `global_defs` from text to model: what stock does, held against what we do (spec/global-defs.md; G are its traps).

use std::time::Duration;

use super::load_kit::{config, exit, instance, loaded};
use super::model::*;
use super::value::Mode;

fn global(lines: &str) -> String {
    format!("global_defs {{\n{lines}\n}}\n")
}

#[test]
fn every_word_of_global_defs_is_in_the_model() {
    let read = |words: &str| config(&global(words)).global;
    let processes =
        read("process_names\nvrrp_rlimit_rttime 1\nbfd_priority -3\nbfd_rt_priority 200\nbfd_no_swap");
    assert_eq!(processes.process_names.bfd, "keepalived_bfd");
    assert_eq!(processes.vrrp_scheduling.rlimit_rttime, Duration::from_micros(2), "1 becomes 2");
    let bfd = &processes.bfd_scheduling;
    assert_eq!((bfd.nice, bfd.realtime, bfd.no_swap), (Some(-3), Some(99), true));
    assert_eq!(read("max_auto_priority").max_auto_priority, 99, "nothing is the maximum");
    assert_eq!(read("max_auto_priority -1").max_auto_priority, -1);
    let extra = read("vrrp_garp_extra_if all\nvrrp_garp_extra_if 30").garp_extra_if;
    assert_eq!(extra, GarpExtra { interval: Duration::from_secs(30), all: true }, "`all` sticks");
    assert_eq!(read("vrrp_rx_bufs_policy 1000 MTU").rx_bufs, ReceivePolicy::Bytes(1000));
    assert_eq!(read("vrrp_rx_bufs_policy ADVERT mtu").rx_bufs, ReceivePolicy::Mtu);
    assert_eq!(read("vrrp_rx_bufs_policy MTU 1000").rx_bufs, ReceivePolicy::Mtu);
    let ipvs = read("nftables_ipvs_start_fwmark 7\nnftables_ipvs\nnftables_ipvs_priority 9").nftables_ipvs;
    let ipvs = ipvs.expect("it is given");
    assert_eq!((ipvs.table.as_str(), ipvs.priority, ipvs.start_fwmark), ("keepalived_ipvs", 9, 1000));
    assert_eq!(read("vrrp_iptables a b").nftables.table.as_deref(), Some("keepalived"));
    let snmp = read("enable_snmp_rfc\nsnmp_vs_stats_update_interval 2.5").snmp;
    assert!(snmp.rfc_v2 && snmp.rfc_v3 && !snmp.vrrp);
    assert_eq!(snmp.rs_interval, Duration::from_millis(2500), "as that of virtual servers");
    assert_eq!(read("reload_check_config").reload.check_log.as_deref(), Some("/dev/null"));
    assert_eq!(read("reload_file").reload.marker, ReloadMarker::PidDirectory);
    assert_eq!(read("json_version 3\nstate_dump_file /x/").files.json_version, 1);
    let mail = read("smtp_server 192.0.2.1");
    assert_eq!(mail.email_from.as_deref(), Some("@vm"));
    assert_eq!(mail.smtp_helo_name.as_deref(), Some("vm"));
    let given = read("vrrp_garp_lower_prio_repeat 5").garp_lower_prio_given;
    assert_eq!(given, LowerPrioGiven { delay: false, repeat: true });
}

#[test]
fn fifos_of_the_same_name_are_one() {
    let text = "notify_fifo /run/a\nvrrp_notify_fifo /run/a root\nlvs_notify_fifo /run/b nosuch";
    let fifos = config(&global(text)).global.fifos;
    assert_eq!(fifos.all.pipe.map(|pipe| pipe.path).as_deref(), Some("/run/a"));
    assert_eq!((fifos.vrrp.pipe, fifos.lvs.pipe), (None, None));
    assert_eq!(exit(&global(text)), 0, "an unknown owner is only logged [G17]");
}

#[test]
fn the_sync_daemon_follows_an_instance_that_exists() {
    let daemon = |words: &str, lines: &str| {
        let config = config(&format!("{}{}", global(words), instance(lines)));
        let of_vrrp = config.vrrp_part().expect("an instance").global.lvs_sync_daemon;
        (config.global.lvs_sync_daemon, of_vrrp)
    };
    let (parent, vrrp) = daemon("lvs_sync_daemon eth0 V port 8848", "");
    assert_eq!(parent.map(|daemon| (daemon.id, daemon.port)), Some((None, Some(8848))));
    assert_eq!(vrrp.and_then(|daemon| daemon.id), Some(5), "the VRID of the instance");
    assert_eq!(daemon("lvs_sync_daemon eth0 W", "").1, None);
    let (parent, vrrp) = daemon("", "lvs_sync_daemon_interface eth1");
    assert_eq!((parent, vrrp.map(|daemon| daemon.interface).as_deref()), (None, Some("eth1")));
}

#[test]
fn scripts_of_the_parent_count_for_script_security() {
    let found = config(&global("startup_script /usr/bin/true\nshutdown_script /nosuch")).global;
    assert_eq!(found.startup_script.map(|script| script.path).as_deref(), Some("/usr/bin/true"));
    assert_eq!(found.shutdown_script, None);
    assert_eq!(exit(&global("startup_script /usr/bin/true")), 6);
    assert_eq!(exit(&global("startup_script /nosuch")), 0);
    assert_eq!(exit(&global("notify_fifo /run/x\nnotify_fifo_script /usr/bin/true")), 0);
    let with_instance = format!("{}{}", global("notify_fifo_script /usr/bin/true"), instance(""));
    assert_eq!(exit(&with_instance), 6);
}

#[test]
fn include_check_in_global_defs_makes_later_includes_fatal() {
    let files = |words: &str| format!("{}include nope.conf\n{}", global(words), instance(""));
    assert_eq!(loaded(&files("include_check match"), Mode::Run).refusal, Some(6));
    assert_eq!(loaded(&files("include_check"), Mode::ConfigTest).test_exit, 6);
    assert_eq!(loaded(&files("include_check read"), Mode::Run).refusal, None);
    assert_eq!(loaded(&files("include_check -match"), Mode::Run).refusal, None);
}
