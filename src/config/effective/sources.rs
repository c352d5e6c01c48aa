//! Other spellings of a keyword, and the outer keywords that a value comes from when its own is not given.

use crate::config::schema::Keyword;

/// Where a value can be inherited from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ancestor {
    /// A keyword of `global_defs`.
    Global(&'static str),
    /// The same keyword, or this one, of an enclosing block of that name.
    Outer(&'static str, &'static str),
}

/// The keyword of a block under which the value of this one is shown: itself, or the newer spelling.
pub fn shown_as(block: &str, keyword: &Keyword) -> &'static str {
    canonical(block, keyword).0
}

/// The keyword under which a value is shown, and whether this spelling means its opposite.
pub(super) fn canonical(block: &str, keyword: &Keyword) -> (&'static str, bool) {
    match (block, keyword.name) {
        ("vrrp_instance", "no_accept") => ("accept", true),
        ("vrrp_instance", "preempt") => ("nopreempt", true),
        ("vrrp_instance", "unicast_src_ip") => ("mcast_src_ip", false),
        ("virtual_server", "lb_algo") => ("lvs_sched", false),
        ("virtual_server", "lb_kind") => ("lvs_method", false),
        ("bfd_instance", "neighbour_ip") => ("neighbor_ip", false),
        _ => match keyword.successor {
            // A word whose successor stands elsewhere is shown as it is.
            Some(successor) if successor.name != "lvs_sync_daemon" => (successor.name, false),
            _ => (keyword.name, false),
        },
    }
}

/// Where the value comes from when the block does not say it, in this order.
pub(super) fn inherited_from(block: &str, keyword: &str) -> &'static [Ancestor] {
    use Ancestor::{Global, Outer};
    match (block, keyword) {
        ("vrrp_instance" | "vrrp_sync_group", "smtp_alert") => {
            &[Global("smtp_alert_vrrp"), Global("smtp_alert")]
        }
        ("vrrp_instance" | "vrrp_sync_group", "notify_priority_changes") => {
            &[Global("vrrp_notify_priority_changes")]
        }
        ("vrrp_instance", "vip_repair") => &[Global("vip_repair")],
        ("virtual_server", "slow_start") => &[Global("slow_start")],
        ("virtual_server", "min_in_service") => &[Global("min_in_service")],
        ("vrrp_instance", keyword) => instance(keyword),
        ("vrrp_script" | "MISC_CHECK", "user") => &[Global("script_user")],
        ("virtual_server" | "real_server", "smtp_alert") => {
            &[Global("smtp_alert_checker"), Global("smtp_alert")]
        }
        ("real_server", keyword) => real_server(keyword),
        ("url", "virtualhost") => &[
            Outer("HTTP_GET", "virtualhost"),
            Outer("SSL_GET", "virtualhost"),
            Outer("real_server", "virtualhost"),
            Outer("virtual_server", "virtualhost"),
        ],
        ("HTTP_GET" | "SSL_GET", "virtualhost") => {
            &[Outer("real_server", "virtualhost"), Outer("virtual_server", "virtualhost")]
        }
        ("global_defs", "vrrp_garp_lower_prio_delay") => {
            &[Global("vrrp_garp_master_delay"), Global("vrrp_min_garp")]
        }
        ("global_defs", "vrrp_garp_lower_prio_repeat") => {
            &[Global("vrrp_garp_master_repeat"), Global("vrrp_min_garp")]
        }
        ("global_defs", "vrrp_garp_master_delay" | "vrrp_garp_master_repeat") => &[Global("vrrp_min_garp")],
        ("global_defs", "vrrp_process_name" | "checker_process_name" | "bfd_process_name") => {
            &[Global("process_names")]
        }
        (block, keyword) if block.ends_with("_CHECK") || block.ends_with("_GET") => checker(keyword),
        _ => &[],
    }
}

fn instance(keyword: &str) -> &'static [Ancestor] {
    use Ancestor::Global;
    match keyword {
        "version" => &[Global("vrrp_version")],
        "strict_mode" => &[Global("vrrp_strict")],
        "skip_check_adv_addr" => &[Global("vrrp_skip_check_adv_addr")],
        "check_unicast_src" => &[Global("vrrp_check_unicast_src")],
        "mcast_dst_ip" => &[Global("vrrp_mcast_group4"), Global("vrrp_mcast_group6")],
        "garp_master_delay" => &[Global("vrrp_garp_master_delay"), Global("vrrp_min_garp")],
        "garp_master_repeat" => &[Global("vrrp_garp_master_repeat"), Global("vrrp_min_garp")],
        "garp_master_refresh" => &[Global("vrrp_garp_master_refresh")],
        "garp_master_refresh_repeat" => &[Global("vrrp_garp_master_refresh_repeat")],
        "garp_lower_prio_delay" => {
            &[Global("vrrp_garp_lower_prio_delay"), Global("vrrp_garp_master_delay"), Global("vrrp_min_garp")]
        }
        "garp_lower_prio_repeat" => &[
            Global("vrrp_garp_lower_prio_repeat"),
            Global("vrrp_garp_master_repeat"),
            Global("vrrp_min_garp"),
        ],
        "garp_extra_if" => &[Global("vrrp_garp_extra_if")],
        "down_timer_adverts" => &[Global("vrrp_down_timer_adverts")],
        "lower_prio_no_advert" => &[Global("vrrp_lower_prio_no_advert")],
        "higher_prio_send_advert" => &[Global("vrrp_higher_prio_send_advert")],
        "owner_ignore_adverts" => &[Global("vrrp_owner_ignore_adverts")],
        "v3_checksum_as_v2" => &[Global("v3_checksum_as_v2")],
        _ => &[],
    }
}

fn real_server(keyword: &str) -> &'static [Ancestor] {
    use Ancestor::Outer;
    match keyword {
        "weight" => &[Outer("virtual_server", "weight")],
        "lvs_method" => &[Outer("virtual_server", "lvs_method")],
        "inhibit_on_failure" => &[Outer("virtual_server", "inhibit_on_failure")],
        "alpha" => &[Outer("virtual_server", "alpha")],
        "retry" => &[Outer("virtual_server", "retry")],
        "delay_before_retry" => &[Outer("virtual_server", "delay_before_retry")],
        "warmup" => &[Outer("virtual_server", "warmup")],
        "connect_timeout" => &[Outer("virtual_server", "connect_timeout")],
        "delay_loop" => &[Outer("virtual_server", "delay_loop")],
        "virtualhost" => &[Outer("virtual_server", "virtualhost")],
        _ => &[],
    }
}

fn checker(keyword: &str) -> &'static [Ancestor] {
    use Ancestor::{Global, Outer};
    match keyword {
        "alpha" => &[Outer("real_server", "alpha"), Outer("virtual_server", "alpha")],
        "retry" => &[Outer("real_server", "retry"), Outer("virtual_server", "retry")],
        "delay_before_retry" => {
            &[Outer("real_server", "delay_before_retry"), Outer("virtual_server", "delay_before_retry")]
        }
        "warmup" => &[Outer("real_server", "warmup"), Outer("virtual_server", "warmup")],
        "delay_loop" | "misc_timeout" => {
            &[Outer("real_server", "delay_loop"), Outer("virtual_server", "delay_loop")]
        }
        "connect_timeout" => {
            &[Outer("real_server", "connect_timeout"), Outer("virtual_server", "connect_timeout")]
        }
        "log_all_failures" => &[Global("checker_log_all_failures")],
        _ => &[],
    }
}
