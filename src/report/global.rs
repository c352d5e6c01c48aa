//! The global section that every data dump begins with. spec/dump-format.md §2.
//!
//! Lines of features that this daemon does not have show the value stock shows while they are off, so that readers
//! which count on a line find it.

use std::fmt::Write as _;
use std::time::Duration;

use crate::config::model::{FlushOnStop, Global, Scheduling, VrrpVersion};

/// Whose dump it is: few lines differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// `keepalived_parent.data`.
    Parent,
    /// `keepalived.data`.
    Vrrp,
    /// `keepalived_check.data`.
    Checkers,
    /// `keepalived_bfd.data`.
    Bfd,
}

/// What stock prints for a lower-priority value that was not set, outside the vrrp process' dump.
const UNSET: u32 = u32::MAX;

/// Appends the section to `out`.
pub fn global(out: &mut String, global: &Global, writer: Writer) {
    out.push_str("------< Global definitions >------\n");
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, " {text}");
    };
    line(format_args!("Network namespace = (default)"));
    line(format_args!("Network namespace ipvs = (main namespace)"));
    if let Some(name) = &global.instance {
        line(format_args!("Instance name = {name}"));
    }
    let names = &global.process_names;
    for (label, name) in [("Parent", &names.parent), ("VRRP", &names.vrrp), ("LVS", &names.checkers)] {
        if name != "keepalived" {
            line(format_args!("{label} process name = {name}"));
        }
    }
    line(format_args!("Replace symlinks in script paths"));
    line(format_args!("Don't set supplementary groups for all scripts"));
    line(format_args!("Router ID = {}", global.router_id));
    if let Some(server) = global.smtp_server {
        line(format_args!("Smtp server = {}", server.ip()));
        line(format_args!("Smtp server port = {}", server.port()));
        line(format_args!("Smtp server connection timeout = {}", global.smtp_connect_timeout.as_secs()));
    }
    if let Some(from) = &global.email_from {
        line(format_args!("Email notification from = {from}"));
        line(format_args!("Email notification to:"));
        for to in &global.email_to {
            line(format_args!("  {to}"));
        }
    }
    line(format_args!(
        "Default smtp_alert = {}",
        match global.smtp_alert {
            None => "unset",
            Some(true) => "on",
            Some(false) => "off",
        }
    ));
    line(format_args!("Default smtp_alert_vrrp = unset"));
    line(format_args!("Default smtp_alert_checker = unset"));
    line(format_args!("Checkers log all failures = {}", global.checker_log_all_failures));
    line(format_args!("No test config before reload"));
    line(format_args!("Dynamic interfaces = {}", global.dynamic_interfaces));
    let timeouts = global.lvs_timeouts;
    // The third is the UDP value; stock labels it TCP, and readers match the label.
    for (label, seconds) in [("TCP", timeouts.tcp), ("TCP FIN", timeouts.tcp_fin), ("TCP", timeouts.udp)] {
        if seconds != 0 {
            line(format_args!("LVS {label} timeout = {seconds}"));
        }
    }
    if writer == Writer::Vrrp {
        line(format_args!("Default interface = eth0"));
    }
    line(format_args!("Disable local IGMP = no"));
    line(format_args!("Use VRRPv2 checksum for VRRPv3 IPv4 = no"));
    line(format_args!("LVS flush = {}", global.lvs_flush));
    line(format_args!(
        "LVS flush on stop = {}",
        match global.lvs_flush_on_stop {
            FlushOnStop::No => "disabled",
            FlushOnStop::OwnServices => "VS",
            FlushOnStop::WholeTable => "full",
        }
    ));
    line(format_args!("FIFO write vrrp states on reload = false"));
    line(format_args!("VRRP notify priority changes = false"));
    line(format_args!("VRRP IPv4 mcast group = {}", global.vrrp_mcast_group4));
    line(format_args!("VRRP IPv6 mcast group = {}", global.vrrp_mcast_group6));
    announcements(&mut line, global, writer);
    line(format_args!("nftables without counters"));
    line(format_args!("VRRP check unicast_src = false"));
    line(format_args!("VRRP skip check advert addresses = {}", global.vrrp_skip_check_adv_addr));
    line(format_args!("VRRP strict mode = {}", global.vrrp_strict));
    line(format_args!("Max auto priority = 0"));
    line(format_args!("Min auto priority delay = 1000000 usecs"));
    scheduling(&mut line, "VRRP", &global.vrrp_scheduling);
    scheduling(&mut line, "Checker", &global.checker_scheduling);
    scheduling(&mut line, "BFD", &Scheduling::default());
    for feature in ["vrrp", "checker", "RFCv2", "RFCv3", "traps"] {
        line(format_args!("SNMP {feature} disabled"));
    }
    line(format_args!("SNMP socket = default (unix:/var/agentx/master)"));
    line(format_args!("SNMP VS stats update interval = 5.000000"));
    line(format_args!("SNMP RS stats update interval = 5.000000"));
    line(format_args!("DBus disabled"));
    line(format_args!("DBus service name = "));
    line(format_args!("DBus no interface name = none"));
    line(format_args!("Script security {}", if global.script_security { "enabled" } else { "disabled" }));
    if let Some(user) = global.script_user {
        line(format_args!("Default script uid:gid {}:{}", user.uid, user.gid));
    }
    for socket in [
        "vrrp_netlink_cmd",
        "vrrp_netlink_monitor",
        "process_monitor",
        "lvs_netlink_cmd",
        "lvs_netlink_monitor",
    ] {
        line(format_args!("{socket}_rcv_bufs = 0"));
        line(format_args!("{socket}_rcv_bufs_force = 0"));
    }
    line(format_args!("rs_init_notifies = {}", u8::from(global.rs_init_notifies)));
    line(format_args!("no_checker_emails = 0"));
    line(format_args!("rx_bufs_multiples = 3"));
    line(format_args!("umask = 0{:o}", global.umask));
    if !global.vrrp_startup_delay.is_zero() {
        line(format_args!("vrrp_startup_delay = {}", global.vrrp_startup_delay.as_secs_f64()));
    }
    if global.log_unknown_vrids {
        line(format_args!("log_unknown_vrids"));
    }
    line(format_args!("json_version 1"));
    line(format_args!("iproute usr directory /etc/iproute2"));
    line(format_args!("iproute etc directory /etc/iproute2"));
}

/// The gratuitous ARP lines and what stands between them and the nftables line.
fn announcements(line: &mut impl FnMut(std::fmt::Arguments<'_>), global: &Global, writer: Writer) {
    let garp = &global.garp;
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    line(format_args!("Gratuitous ARP delay = {}", seconds(garp.delay)));
    line(format_args!("Gratuitous ARP repeat = {}", garp.repeat));
    line(format_args!("Gratuitous ARP refresh timer = {}", seconds(garp.refresh)));
    line(format_args!("Gratuitous ARP refresh repeat = {}", garp.refresh_repeat));
    // Only stock's vrrp process derives the two; the model always holds the derived values.
    let derived = |own: u32, master: u32| if writer != Writer::Vrrp && own == master { UNSET } else { own };
    line(format_args!(
        "Gratuitous ARP lower priority delay = {}",
        derived(seconds(garp.lower_prio_delay), seconds(garp.delay))
    ));
    line(format_args!(
        "Gratuitous ARP lower priority repeat = {}",
        derived(garp.lower_prio_repeat, garp.repeat)
    ));
    line(format_args!("Num adverts before down = {}", global.down_timer_adverts));
    line(format_args!("Gratuitous ARP for each secondary VMAC = 0s"));
    line(format_args!("Send advert after receive lower priority advert = true"));
    line(format_args!("Send advert after receive higher priority advert = false"));
    line(format_args!("Gratuitous ARP interval = {:.6}", global.garp_interval.as_secs_f64()));
    line(format_args!("Gratuitous NA interval = 0.000000"));
    let version = if global.vrrp_version == VrrpVersion::V2 { 2 } else { 3 };
    line(format_args!("VRRP default protocol version = {version}"));
}

/// Scheduling of one process.
fn scheduling(line: &mut impl FnMut(std::fmt::Arguments<'_>), process: &str, scheduling: &Scheduling) {
    line(format_args!("{process} process priority = {}", scheduling.nice.unwrap_or(0)));
    line(format_args!("{process} don't swap = {}", scheduling.no_swap));
    line(format_args!("{process} realtime priority = {}", scheduling.realtime.unwrap_or(0)));
    if !scheduling.cpu_affinity.is_empty() {
        let cpus: Vec<_> = scheduling.cpu_affinity.iter().map(u32::to_string).collect();
        line(format_args!("{process} CPU Affinity = {}", cpus.join(" ")));
    }
    line(format_args!("{process} realtime limit = 10000"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(value: &Global, writer: Writer) -> String {
        let mut out = String::new();
        global(&mut out, value, writer);
        out
    }

    #[test]
    fn every_line_but_the_header_has_one_leading_blank() {
        let text = dump(&Global { router_id: "LVS_DEVEL".into(), ..Global::default() }, Writer::Parent);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("------< Global definitions >------"));
        assert!(lines.clone().all(|line| line.starts_with(' ')));
        assert!(lines.any(|line| line == " Router ID = LVS_DEVEL"));
    }

    #[test]
    fn only_the_vrrp_dump_derives_the_lower_priority_values() {
        let value = Global::default();
        assert!(dump(&value, Writer::Parent).contains(" Gratuitous ARP lower priority delay = 4294967295\n"));
        assert!(dump(&value, Writer::Vrrp).contains(" Gratuitous ARP lower priority delay = 5\n"));
    }

    #[test]
    fn recipients_are_indented_by_three() {
        let value = Global {
            email_from: Some("a@b".into()),
            email_to: vec!["root@localhost".into()],
            ..Global::default()
        };
        assert!(dump(&value, Writer::Checkers).contains(" Email notification to:\n   root@localhost\n"));
    }
}
