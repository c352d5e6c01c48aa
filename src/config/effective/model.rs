//! The values of the model, as a configuration would write them: keyword by keyword, block by block.
//!
//! `None` means that the model has no place for the keyword: then what the file says is shown. `Null` means unset.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::config::model::{
    CheckKind, Checker, Command, Connection, Family, FlushOnStop, ForwardingMethod, Global, Granularity,
    HttpCheck, HttpProtocol, InitialState, Instance, NotifyScripts, ProcessNames, Protocol, RealServer,
    Scheduling, SyncGroup, Transport, Tunnel, TunnelChecksum, Url, VipRepair, VirtualAddress, VirtualServer,
    VrrpScript, VrrpVersion,
};
use crate::config::source::display;
use crate::config::trace::seconds;

/// `IP_VS_SVC_F_ONEPACKET`.
const ONE_PACKET: u32 = 0x04;

fn version(version: VrrpVersion) -> Value {
    match version {
        VrrpVersion::V2 => json!(2),
        VrrpVersion::V3 => json!(3),
    }
}

fn command(command: Option<&Command>) -> Value {
    command.map_or(Value::Null, |command| json!(display(&command.argv.join(" "))))
}

fn notify(keyword: &str, notify: &NotifyScripts) -> Option<Value> {
    let script = match keyword {
        "notify_backup" => &notify.backup,
        "notify_master" => &notify.master,
        "notify_fault" => &notify.fault,
        "notify_stop" => &notify.stop,
        "notify" => &notify.generic,
        "notify_master_rx_lower_pri" => &notify.rx_lower_pri,
        _ => return None,
    };
    Some(command(script.as_ref()))
}

/// A word of `vrrp_instance`.
pub(super) fn instance(keyword: &str, instance: &Instance) -> Option<Value> {
    let garp = &instance.garp;
    Some(match keyword {
        "state" => match instance.initial {
            InitialState::Master => json!("MASTER"),
            InitialState::Backup => json!("BACKUP"),
        },
        "interface" => json!(instance.interface.as_deref().map(display)),
        "virtual_router_id" => json!(instance.vrid.get()),
        "priority" => json!(instance.priority.get()),
        "version" => version(instance.version),
        "advert_int" => seconds(instance.advert_int.duration()),
        "accept" => json!(instance.accept),
        "strict_mode" => json!(instance.strict),
        "skip_check_adv_addr" => json!(instance.skip_check_adv_addr),
        "mcast_src_ip" => json!(instance.source),
        "mcast_dst_ip" => match &instance.transport {
            Transport::Multicast { group } => json!(group),
            Transport::Unicast { .. } => Value::Null,
        },
        "unicast_ttl" => match &instance.transport {
            Transport::Unicast { ttl, .. } => json!(ttl),
            Transport::Multicast { .. } => Value::Null,
        },
        "track_src_ip" => json!(instance.track_source),
        "nopreempt" => json!(!instance.preempt),
        "preempt_delay" => seconds(instance.preempt_delay),
        "vip_repair" => match instance.vip_repair {
            VipRepair::Repair => json!("repair"),
            VipRepair::Stock => json!("stock"),
        },
        "down_timer_adverts" => json!(instance.down_timer_adverts),
        "dont_track_primary" => json!(instance.dont_track_primary),
        "garp_master_delay" => seconds(garp.delay),
        "garp_master_repeat" => json!(garp.repeat),
        "garp_master_refresh" => seconds(garp.refresh),
        "garp_master_refresh_repeat" => json!(garp.refresh_repeat),
        "garp_lower_prio_delay" => seconds(garp.lower_prio_delay),
        "garp_lower_prio_repeat" => json!(garp.lower_prio_repeat),
        "lower_prio_no_advert" => json!(instance.lower_prio_no_advert),
        "higher_prio_send_advert" => json!(instance.higher_prio_send_advert),
        "owner_ignore_adverts" => json!(instance.owner_ignore_adverts),
        "check_unicast_src" => json!(instance.check_unicast_src),
        "v3_checksum_as_v2" => json!(instance.v3_checksum_as_v2),
        "promote_secondaries" => json!(instance.promote_secondaries),
        "smtp_alert" => json!(instance.smtp_alert),
        keyword => return notify(keyword, &instance.notify),
    })
}

/// An address, as its line could be written.
pub(super) fn address(address: &VirtualAddress) -> String {
    let VirtualAddress { address: ip, prefix, interface, scope, broadcast, label, peer, .. } = address;
    let mut text = match peer {
        Some(peer) => format!("{ip} peer {peer}/{prefix}"),
        None => format!("{ip}/{prefix}"),
    };
    // Writing to a string cannot fail.
    let _ = write!(text, " dev {}", display(interface));
    if *scope != 0 {
        let _ = write!(text, " scope {scope}");
    }
    if let Some(broadcast) = broadcast {
        let _ = write!(text, " brd {broadcast}");
    }
    if let Some(label) = label {
        let _ = write!(text, " label {}", display(label));
    }
    text
}

/// A word of `vrrp_sync_group`.
pub(super) fn sync_group(keyword: &str, group: &SyncGroup) -> Option<Value> {
    Some(match keyword {
        "smtp_alert" => json!(group.smtp_alert),
        "sync_group_tracking_weight" => json!(group.tracking_weight),
        keyword => return notify(keyword, &group.notify),
    })
}

/// A word of `vrrp_script`.
pub(super) fn script(keyword: &str, script: &VrrpScript) -> Option<Value> {
    Some(match keyword {
        "script" => command(Some(&script.command)),
        "interval" => seconds(script.interval),
        "timeout" => seconds(script.timeout.unwrap_or(script.interval)),
        "weight" => weight(script.weight, script.reverse),
        "rise" => json!(script.rise),
        "fall" => json!(script.fall),
        "init_fail" => json!(script.init_fail),
        _ => return None,
    })
}

fn weight(weight: i32, reverse: bool) -> Value {
    if reverse { json!(format!("{weight} reverse")) } else { json!(weight) }
}

fn method(method: ForwardingMethod) -> Value {
    let checksum = |checksum| match checksum {
        TunnelChecksum::None => "",
        TunnelChecksum::Csum => " csum",
        TunnelChecksum::Remote => " remcsum",
    };
    match method {
        ForwardingMethod::Nat => json!("NAT"),
        ForwardingMethod::Dr => json!("DR"),
        ForwardingMethod::Tun(Tunnel::Ipip) => json!("TUN"),
        ForwardingMethod::Tun(Tunnel::Gue { port, checksum: sum }) => {
            json!(format!("TUN type gue port {port}{}", checksum(sum)))
        }
        ForwardingMethod::Tun(Tunnel::Gre { checksum: sum }) => {
            json!(format!("TUN type gre{}", checksum(sum)))
        }
    }
}

/// A word of `virtual_server`.
pub(super) fn virtual_server(keyword: &str, server: &VirtualServer) -> Option<Value> {
    let persistence = server.persistence.as_ref();
    let sorry = server.sorry_server.as_ref();
    Some(match keyword {
        "ip_family" => match server.family {
            Some(Family::V4) => json!("inet"),
            Some(Family::V6) => json!("inet6"),
            None => Value::Null,
        },
        "lvs_sched" => json!(server.scheduler.name()),
        "lvs_method" => method(server.method),
        "protocol" => match server.protocol {
            Some(Protocol::Tcp) => json!("TCP"),
            Some(Protocol::Udp) => json!("UDP"),
            Some(Protocol::Sctp) => json!("SCTP"),
            None => Value::Null,
        },
        "persistence_timeout" => json!(persistence.map(|persistence| persistence.timeout)),
        "persistence_granularity" => match persistence.and_then(|persistence| persistence.granularity) {
            Some(Granularity::V4(mask)) => json!(mask),
            Some(Granularity::V6(length)) => json!(length.to_string()),
            None => Value::Null,
        },
        "persistence_engine" => json!(persistence.and_then(|persistence| persistence.engine.as_deref())),
        "ops" => json!(server.flags & ONE_PACKET != 0),
        "quorum" => json!(server.quorum),
        "hysteresis" => json!(server.hysteresis),
        "quorum_up" => command(server.quorum_up.as_ref()),
        "quorum_down" => command(server.quorum_down.as_ref()),
        "smtp_alert" => json!(server.smtp_alert),
        "omega" => json!(server.omega),
        "slow_start" => seconds(server.slow_start),
        "min_in_service" => json!(server.min_in_service),
        "sorry_server" => json!(sorry.map(|sorry| format!("{} {}", sorry.address, sorry.port))),
        "sorry_server_inhibit" => json!(sorry.map(|sorry| sorry.inhibit)),
        "sorry_server_lvs_method" => sorry.map_or(Value::Null, |sorry| method(sorry.method)),
        _ => return None,
    })
}

/// A word of `real_server`.
pub(super) fn real_server(keyword: &str, server: &RealServer) -> Option<Value> {
    Some(match keyword {
        "weight" => json!(server.weight),
        "lvs_method" => method(server.method),
        "uthreshold" => json!(server.upper_threshold),
        "lthreshold" => json!(server.lower_threshold),
        "inhibit_on_failure" => json!(server.inhibit_on_failure),
        "notify_up" => command(server.notify_up.as_deref()),
        "notify_down" => command(server.notify_down.as_deref()),
        "smtp_alert" => json!(server.smtp_alert),
        _ => return None,
    })
}

/// A word of a checker block.
pub(super) fn checker(keyword: &str, checker: &Checker) -> Option<Value> {
    let timing = &checker.timing;
    Some(match keyword {
        "delay_loop" => seconds(timing.delay_loop),
        "retry" => json!(timing.retry),
        "delay_before_retry" => seconds(timing.delay_before_retry),
        "warmup" => seconds(timing.warmup),
        "alpha" => json!(checker.alpha),
        "log_all_failures" => json!(checker.log_all_failures),
        keyword => {
            let own = match &checker.kind {
                CheckKind::Http(http) => http_word(keyword, http),
                CheckKind::Smtp(smtp) if keyword == "helo_name" => Some(json!(display(&smtp.helo))),
                CheckKind::Dns(dns) if keyword == "type" => Some(json!(dns.record.name())),
                CheckKind::Misc(misc) => match keyword {
                    "misc_path" => Some(command(Some(&misc.command))),
                    "misc_timeout" => Some(seconds(misc.timeout)),
                    "misc_dynamic" => Some(json!(misc.dynamic)),
                    _ => None,
                },
                _ => None,
            };
            return own.or_else(|| connection(keyword, checker.kind.connection()?));
        }
    })
}

fn http_word(keyword: &str, http: &HttpCheck) -> Option<Value> {
    Some(match keyword {
        "http_protocol" => match http.protocol {
            HttpProtocol::V1_0 => json!("1.0"),
            HttpProtocol::V1_0Close => json!("1.0C"),
            HttpProtocol::V1_1 => json!("1.1"),
            HttpProtocol::V2 => json!("2"),
        },
        "fast_recovery" => json!(http.fast_recovery),
        "tls_compliant" => json!(http.tls_compliant),
        "enable_sni" => json!(http.enable_sni),
        _ => return None,
    })
}

fn connection(keyword: &str, connection: &Connection) -> Option<Value> {
    Some(match keyword {
        "connect_ip" => json!(connection.destination.ip()),
        "connect_port" => json!(connection.destination.port()),
        "bindto" => json!(connection.local.bind),
        "bind_port" => json!(Some(connection.local.bind_port).filter(|&port| port != 0)),
        "bind_if" => json!(connection.local.bind_interface.as_deref().map(display)),
        "fwmark" => json!(connection.local.fwmark),
        "connect_timeout" => seconds(connection.timeout),
        _ => return None,
    })
}

/// A word of `url`.
pub(super) fn url(keyword: &str, url: &Url) -> Option<Value> {
    Some(match keyword {
        "path" => json!(display(&url.path)),
        "virtualhost" => json!(url.host.as_deref().map(display)),
        "tls_compliant" => json!(url.tls_compliant),
        "digest" => match url.digest {
            Some(digest) => json!(format!("{:032x}", u128::from_be_bytes(digest))),
            None => Value::Null,
        },
        _ => return None,
    })
}

fn scheduling(keyword: &str, process: &Scheduling) -> Option<Value> {
    Some(match keyword {
        "priority" => json!(process.nice.unwrap_or(0)),
        "no_swap" => json!(process.no_swap),
        "rt_priority" => json!(process.realtime),
        "cpu_affinity" if process.cpu_affinity.is_empty() => Value::Null,
        "cpu_affinity" => {
            let cpus: Vec<String> = process.cpu_affinity.iter().map(u32::to_string).collect();
            json!(cpus.join(" "))
        }
        _ => return None,
    })
}

/// A word of `global_defs` or of the top level.
pub(super) fn global(keyword: &str, global: &Global) -> Option<Value> {
    let ProcessNames { parent, vrrp, checkers, bfd } = &global.process_names;
    let garp = &global.garp;
    if let Some(word) = keyword.strip_prefix("checker_")
        && let Some(value) = scheduling(word, &global.checker_scheduling)
    {
        return Some(value);
    }
    Some(match keyword {
        "router_id" => json!(display(&global.router_id)),
        "instance" => json!(global.instance.as_deref().map(display)),
        "use_pid_dir" => json!(global.use_pid_dir),
        "child_wait_time" => seconds(global.child_wait_time),
        "notification_email_from" => json!(global.email_from.as_deref().map(display)),
        "smtp_server" => json!(global.smtp_server.as_ref().map(|at| format!("{} {}", at.host(), at.port()))),
        "smtp_connect_timeout" => seconds(global.smtp_connect_timeout),
        "smtp_alert" => json!(global.smtp_alert),
        "enable_script_security" => json!(global.script_security),
        "dynamic_interfaces" => json!(global.dynamic_interfaces),
        "vrrp_version" => version(global.vrrp_version),
        "vrrp_strict" => json!(global.vrrp_strict),
        "vrrp_skip_check_adv_addr" => json!(global.vrrp_skip_check_adv_addr),
        "vrrp_mcast_group4" => json!(global.vrrp_mcast_group4),
        "vrrp_mcast_group6" => json!(global.vrrp_mcast_group6),
        "vrrp_garp_master_delay" => seconds(garp.delay),
        "vrrp_garp_master_repeat" => json!(garp.repeat),
        "vrrp_garp_master_refresh" => seconds(garp.refresh),
        "vrrp_garp_master_refresh_repeat" => json!(garp.refresh_repeat),
        "vrrp_garp_lower_prio_delay" => seconds(garp.lower_prio_delay),
        "vrrp_garp_lower_prio_repeat" => json!(garp.lower_prio_repeat),
        "vrrp_garp_interval" => seconds(global.garp_interval),
        "vrrp_down_timer_adverts" => json!(global.down_timer_adverts),
        "vrrp_startup_delay" => seconds(global.vrrp_startup_delay),
        "log_unknown_vrids" => json!(global.log_unknown_vrids),
        "lvs_flush" => json!(global.lvs_flush),
        "lvs_flush_on_stop" => match global.lvs_flush_on_stop {
            FlushOnStop::No => json!(false),
            FlushOnStop::OwnServices => json!("VS"),
            FlushOnStop::WholeTable => json!(true),
        },
        "checker_log_all_failures" => json!(global.checker_log_all_failures),
        "rs_init_notifies" => json!(global.rs_init_notifies),
        "umask" => json!(format!("0{:o}", global.umask)),
        "process_name" => json!(parent),
        "vrrp_process_name" => json!(vrrp),
        "checker_process_name" => json!(checkers),
        "bfd_process_name" => json!(bfd),
        "use_symlink_paths" => json!(global.symlink_paths),
        "set_supplementary_groups" => json!(global.supplementary_groups),
        "startup_script_timeout" => seconds(global.startup_script_timeout),
        "shutdown_script_timeout" => seconds(global.shutdown_script_timeout),
        "default_interface" => json!(display(&global.default_interface)),
        "disable_local_igmp" => json!(global.disable_local_igmp),
        "no_email_faults" => json!(global.no_email_faults),
        "no_checker_emails" => json!(global.no_checker_emails),
        "smtp_alert_vrrp" => json!(global.smtp_alert_vrrp),
        "smtp_alert_checker" => json!(global.smtp_alert_checker),
        "vrrp_check_unicast_src" => json!(global.vrrp_check_unicast_src),
        "v3_checksum_as_v2" => json!(global.v3_checksum_as_v2),
        "vrrp_higher_prio_send_advert" => json!(global.higher_prio_send_advert),
        "vrrp_owner_ignore_adverts" => json!(global.owner_ignore_adverts),
        "vrrp_gna_interval" => seconds(global.gna_interval),
        "vrrp_delay_after_boot" => seconds(global.vrrp_delay_after_boot),
        "vrrp_notify_priority_changes" => json!(global.notify_priority_changes),
        "vrrp_rx_bufs_multiplier" => json!(global.rx_bufs_multiplier),
        "vrrp_priority" => return scheduling("priority", &global.vrrp_scheduling),
        "vrrp_no_swap" => return scheduling("no_swap", &global.vrrp_scheduling),
        "vrrp_rt_priority" => return scheduling("rt_priority", &global.vrrp_scheduling),
        "vrrp_cpu_affinity" => return scheduling("cpu_affinity", &global.vrrp_scheduling),
        _ => return None,
    })
}
