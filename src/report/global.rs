//! The global section that every data dump begins with. spec/dump-format.md §2.
//!
//! Lines of features that this daemon does not have show the value stock shows while they are off, so that readers
//! which count on a line find it.

use std::fmt::{Arguments, Display, Write as _};
use std::time::Duration;

use super::text::{self, enabled, yes};
use crate::config::model::{FlushOnStop, Global, IpvsNamespace, ReceivePolicy, VrrpVersion};

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

/// What stock prints for a lower-priority value that was not set, outside the vrrp process' dump, and for a sync id
/// that nobody gave.
const UNSET: u32 = u32::MAX;

/// Appends the section to `out`.
pub fn global(out: &mut String, global: &Global, writer: Writer) {
    section(out, global, writer, None);
}

/// The same for the parent, who knows when a reload is due (`reload_time_file`).
pub fn parent(out: &mut String, global: &Global, scheduled: Option<&str>) {
    section(out, global, Writer::Parent, scheduled);
}

fn section(out: &mut String, global: &Global, writer: Writer, scheduled: Option<&str>) {
    out.push_str("------< Global definitions >------\n");
    let mut page = Page { out, global, writer, scheduled };
    page.identity();
    page.mail();
    page.reload();
    page.interfaces();
    page.lvs();
    page.fifos();
    page.announcements();
    page.filters();
    page.processes();
    page.management();
    page.buffers();
    page.rest();
}

struct Page<'a> {
    out: &'a mut String,
    global: &'a Global,
    writer: Writer,
    scheduled: Option<&'a str>,
}

impl Page<'_> {
    fn line(&mut self, text: Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, " {text}");
    }

    /// `LABEL = VALUE` when there is a value.
    fn given(&mut self, label: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.line(format_args!("{label} = {value}"));
        }
    }

    fn identity(&mut self) {
        let global = self.global;
        self.given("Config save dir", global.files.config_save_dir.as_ref());
        let own = global.net_namespace.as_deref().unwrap_or("(default)");
        self.line(format_args!("Network namespace = {own}"));
        let ipvs = match &global.net_namespace_ipvs {
            IpvsNamespace::Same => "(main namespace)",
            IpvsNamespace::Host => "(default)",
            IpvsNamespace::Named(name) => name,
        };
        self.line(format_args!("Network namespace ipvs = {ipvs}"));
        self.given("Instance name", global.instance.as_ref());
        let names = &global.process_names;
        for (label, name) in
            [("Parent", &names.parent), ("VRRP", &names.vrrp), ("LVS", &names.checkers), ("BFD", &names.bfd)]
        {
            if name != "keepalived" {
                self.line(format_args!("{label} process name = {name}"));
            }
        }
        let replace = if global.symlink_paths { "Keep" } else { "Replace" };
        self.line(format_args!("{replace} symlinks in script paths"));
        let set = if global.supplementary_groups { "Set" } else { "Don't set" };
        self.line(format_args!("{set} supplementary groups for all scripts"));
        let router_id = if global.router_id.is_empty() { "[unknown]" } else { &global.router_id };
        self.line(format_args!("Router ID = {router_id}"));
    }

    fn mail(&mut self) {
        let global = self.global;
        if let Some(server) = &global.smtp_server {
            self.line(format_args!("Smtp server = {}", server.host()));
            self.line(format_args!("Smtp server port = {}", server.port()));
        }
        self.given("Smtp HELO name", global.smtp_helo_name.as_ref());
        if global.smtp_server.is_some() || global.smtp_connect_timeout_given {
            let timeout = global.smtp_connect_timeout.as_secs();
            self.line(format_args!("Smtp server connection timeout = {timeout}"));
        }
        if let Some(from) = &global.email_from {
            self.line(format_args!("Email notification from = {from}"));
            self.line(format_args!("Email notification to:"));
            for to in &global.email_to {
                self.line(format_args!("  {to}"));
            }
        }
        for (label, value) in [
            ("smtp_alert", global.smtp_alert),
            ("smtp_alert_vrrp", global.smtp_alert_vrrp),
            ("smtp_alert_checker", global.smtp_alert_checker),
        ] {
            let value = value.map_or("unset", |on| if on { "on" } else { "off" });
            self.line(format_args!("Default {label} = {value}"));
        }
        self.line(format_args!("Checkers log all failures = {}", global.checker_log_all_failures));
    }

    fn reload(&mut self) {
        let reload = &self.global.reload;
        match &reload.check_log {
            None => self.line(format_args!("No test config before reload")),
            Some(log) => self.line(format_args!("Test config before reload, log to {log}")),
        }
        if let Some(file) = &reload.time_file {
            let repeat = if reload.repeat { " (repeat)" } else { "" };
            self.line(format_args!("Reload time file = {file}{repeat}"));
            match self.scheduled {
                Some(when) => self.line(format_args!("Reload scheduled for {when}")),
                None => self.line(format_args!("No reload scheduled")),
            }
        }
        self.given("Reload_file", self.global.reload_marker());
        self.given("config save directory", self.global.files.tmp_config_directory.as_ref());
        if self.global.files.data_use_instance {
            self.line(format_args!("Use instance name in data dumps"));
        }
        // The comma is missing in the second with stock, too.
        for (label, script, limit, comma) in [
            ("Startup", &self.global.startup_script, self.global.startup_script_timeout, ","),
            ("Shutdown", &self.global.shutdown_script, self.global.shutdown_script_timeout, ""),
        ] {
            if let Some(script) = script {
                let limit = limit.as_secs();
                self.line(format_args!("{label} script = {}{comma} timeout {limit}", text::script(script)));
            }
        }
    }

    fn interfaces(&mut self) {
        let global = self.global;
        self.line(format_args!("Dynamic interfaces = {}", global.dynamic_interfaces));
        if global.dynamic_interfaces {
            self.line(format_args!("Allow interface changes = {}", global.allow_interface_changes));
        }
        if global.no_email_faults {
            self.line(format_args!("Send emails for fault transitions = off"));
        }
        let timeouts = global.lvs_timeouts;
        // The third is the UDP value; stock labels it TCP, and readers match the label.
        for (label, seconds) in [("TCP", timeouts.tcp), ("TCP FIN", timeouts.tcp_fin), ("TCP", timeouts.udp)]
        {
            if seconds != 0 {
                self.line(format_args!("LVS {label} timeout = {seconds}"));
            }
        }
        if self.writer == Writer::Vrrp {
            self.line(format_args!("Default interface = {}", global.default_interface));
        }
        self.line(format_args!("Disable local IGMP = {}", yes(global.disable_local_igmp)));
        let as_v2 = yes(global.v3_checksum_as_v2);
        self.line(format_args!("Use VRRPv2 checksum for VRRPv3 IPv4 = {as_v2}"));
    }

    fn lvs(&mut self) {
        if let Some(daemon) = &self.global.lvs_sync_daemon {
            let label = if self.writer == Writer::Vrrp { "instance" } else { "name" };
            self.given(&format!("LVS syncd vrrp {label}"), daemon.instance.as_ref());
            self.line(format_args!("LVS syncd interface = {}", daemon.interface));
            self.line(format_args!("LVS syncd syncid = {}", daemon.id.map_or(UNSET, u32::from)));
            self.given("LVS syncd maxlen", daemon.max_length);
            if let Some(group) = daemon.group {
                self.line(format_args!("LVS mcast group {group}"));
            }
            self.given("LVS syncd mcast port", daemon.port);
            self.given("LVS syncd mcast ttl", daemon.ttl);
        }
        self.line(format_args!("LVS flush = {}", self.global.lvs_flush));
        let on_stop = match self.global.lvs_flush_on_stop {
            FlushOnStop::No => "disabled",
            FlushOnStop::OwnServices => "VS",
            FlushOnStop::WholeTable => "full",
        };
        self.line(format_args!("LVS flush on stop = {on_stop}"));
    }

    fn fifos(&mut self) {
        let fifos = &self.global.fifos;
        for (label, fifo) in [("Global", &fifos.all), ("VRRP", &fifos.vrrp), ("LVS", &fifos.lvs)] {
            let Some(pipe) = &fifo.pipe else { continue };
            let owner = pipe.owner;
            self.line(format_args!(
                "{label} notify fifo = {}, uid:gid {}:{}",
                pipe.path, owner.uid, owner.gid
            ));
            let Some(script) = &fifo.script else { continue };
            let ids = format!("uid:gid {}:{}", script.identity.uid, script.identity.gid);
            let words = text::words(script);
            if text::has_other_path(script) {
                let path = &script.path;
                self.line(format_args!("{label} notify fifo path = {path}, script = {words}, {ids}"));
            } else {
                self.line(format_args!("{label} notify fifo script = {words}, {ids}"));
            }
        }
        self.line(format_args!("FIFO write vrrp states on reload = {}", fifos.states_on_reload));
        let changes = self.global.notify_priority_changes;
        self.line(format_args!("VRRP notify priority changes = {changes}"));
    }

    /// The groups, and the gratuitous ARP lines.
    fn announcements(&mut self) {
        let global = self.global;
        self.line(format_args!("VRRP IPv4 mcast group = {}", global.vrrp_mcast_group4));
        self.line(format_args!("VRRP IPv6 mcast group = {}", global.vrrp_mcast_group6));
        let garp = &global.garp;
        let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        self.line(format_args!("Gratuitous ARP delay = {}", seconds(garp.delay)));
        self.line(format_args!("Gratuitous ARP repeat = {}", garp.repeat));
        self.line(format_args!("Gratuitous ARP refresh timer = {}", seconds(garp.refresh)));
        self.line(format_args!("Gratuitous ARP refresh repeat = {}", garp.refresh_repeat));
        // Only stock's vrrp process derives the two.
        let given = global.garp_lower_prio_given;
        let derived = |is_given, value| if is_given || self.writer == Writer::Vrrp { value } else { UNSET };
        let delay = derived(given.delay, seconds(garp.lower_prio_delay));
        let repeat = derived(given.repeat, garp.lower_prio_repeat);
        self.line(format_args!("Gratuitous ARP lower priority delay = {delay}"));
        self.line(format_args!("Gratuitous ARP lower priority repeat = {repeat}"));
        self.line(format_args!("Num adverts before down = {}", global.down_timer_adverts));
        let extra = global.garp_extra_if;
        let whose = if extra.all { "i/f" } else { "VMAC" };
        let period = extra.interval.as_secs();
        self.line(format_args!("Gratuitous ARP for each secondary {whose} = {period}s"));
        let lower = !global.lower_prio_no_advert.unwrap_or(false);
        self.line(format_args!("Send advert after receive lower priority advert = {lower}"));
        let higher = global.higher_prio_send_advert;
        self.line(format_args!("Send advert after receive higher priority advert = {higher}"));
        self.line(format_args!("Gratuitous ARP interval = {:.6}", global.garp_interval.as_secs_f64()));
        self.line(format_args!("Gratuitous NA interval = {:.6}", global.gna_interval.as_secs_f64()));
        let version = if global.vrrp_version == VrrpVersion::V2 { 2 } else { 3 };
        self.line(format_args!("VRRP default protocol version = {version}"));
    }

    fn filters(&mut self) {
        let (global, nftables) = (self.global, &self.global.nftables);
        if let Some(table) = &nftables.table {
            self.line(format_args!("nftables table name = {table}"));
            self.line(format_args!("nftables base chain priority = {}", nftables.priority));
            let force = if nftables.ifindex { "" } else { "don't " };
            self.line(format_args!("nftables {force}force use ifindex for link local IPv6"));
        }
        if let Some(ipvs) = &global.nftables_ipvs {
            self.line(format_args!("ipvs nftables table name = {}", ipvs.table));
            self.line(format_args!("ipvs nftables base chain priority = {}", ipvs.priority));
            self.line(format_args!("ipvs nftables start fwmark = {}", ipvs.start_fwmark));
        }
        let with = if nftables.counters { "with" } else { "without" };
        self.line(format_args!("nftables {with} counters"));
        self.line(format_args!("VRRP check unicast_src = {}", global.vrrp_check_unicast_src));
        self.line(format_args!("VRRP skip check advert addresses = {}", global.vrrp_skip_check_adv_addr));
        self.line(format_args!("VRRP strict mode = {}", global.vrrp_strict));
    }

    fn processes(&mut self) {
        let global = self.global;
        match global.max_auto_priority {
            -1 => self.line(format_args!("Max auto priority = Disabled")),
            limit => self.line(format_args!("Max auto priority = {limit}")),
        }
        let delay = global.min_auto_priority_delay.as_micros();
        self.line(format_args!("Min auto priority delay = {delay} usecs"));
        for (process, scheduling) in [
            ("VRRP", &global.vrrp_scheduling),
            ("Checker", &global.checker_scheduling),
            ("BFD", &global.bfd_scheduling),
        ] {
            self.line(format_args!("{process} process priority = {}", scheduling.nice.unwrap_or(0)));
            self.line(format_args!("{process} don't swap = {}", scheduling.no_swap));
            self.line(format_args!("{process} realtime priority = {}", scheduling.realtime.unwrap_or(0)));
            if !scheduling.cpu_affinity.is_empty() {
                let cpus: Vec<_> = scheduling.cpu_affinity.iter().map(u32::to_string).collect();
                self.line(format_args!("{process} CPU Affinity = {}", cpus.join(" ")));
            }
            self.line(format_args!("{process} realtime limit = {}", scheduling.rlimit_rttime.as_micros()));
        }
    }

    fn management(&mut self) {
        let (snmp, dbus) = (&self.global.snmp, &self.global.dbus);
        for (feature, on) in [
            ("vrrp", snmp.vrrp),
            ("checker", snmp.checker),
            ("RFCv2", snmp.rfc_v2),
            ("RFCv3", snmp.rfc_v3),
            ("traps", snmp.traps),
        ] {
            self.line(format_args!("SNMP {feature} {}", enabled(on)));
        }
        let socket = snmp.socket.as_deref().unwrap_or("default (unix:/var/agentx/master)");
        self.line(format_args!("SNMP socket = {socket}"));
        self.line(format_args!("SNMP VS stats update interval = {:.6}", snmp.vs_interval.as_secs_f64()));
        self.line(format_args!("SNMP RS stats update interval = {:.6}", snmp.rs_interval.as_secs_f64()));
        self.line(format_args!("DBus {}", enabled(dbus.enabled)));
        self.line(format_args!("DBus service name = {}", dbus.service_name.as_deref().unwrap_or("")));
        let none = dbus.no_interface_name.as_deref().unwrap_or("none");
        self.line(format_args!("DBus no interface name = {none}"));
        self.line(format_args!("Script security {}", enabled(self.global.script_security)));
        let users = self.global.script_users;
        let own = match self.writer {
            Writer::Vrrp => users.vrrp,
            Writer::Checkers => users.checkers,
            Writer::Parent | Writer::Bfd => None,
        };
        if let Some(user) = users.parent.or(own) {
            self.line(format_args!("Default script uid:gid {}:{}", user.uid, user.gid));
            let groups = self.global.script_groups.of(user);
            if !groups.is_empty() {
                self.line(format_args!("  Supplementary groups:"));
            }
            for group in groups {
                self.line(format_args!("    {group}"));
            }
        }
    }

    fn buffers(&mut self) {
        let buffers = &self.global.buffers;
        for (socket, buffer) in [
            ("vrrp_netlink_cmd", buffers.vrrp_command),
            ("vrrp_netlink_monitor", buffers.vrrp_monitor),
            ("process_monitor", buffers.process_monitor),
            ("lvs_netlink_cmd", buffers.lvs_command),
            ("lvs_netlink_monitor", buffers.lvs_monitor),
        ] {
            self.line(format_args!("{socket}_rcv_bufs = {}", buffer.bytes));
            self.line(format_args!("{socket}_rcv_bufs_force = {}", u8::from(buffer.force)));
        }
    }

    fn rest(&mut self) {
        let (global, files) = (self.global, &self.global.files);
        self.line(format_args!("rs_init_notifies = {}", u8::from(global.rs_init_notifies)));
        self.line(format_args!("no_checker_emails = {}", u8::from(global.no_checker_emails)));
        match global.rx_bufs {
            ReceivePolicy::System => {}
            ReceivePolicy::Mtu => self.line(format_args!("rx_bufs_policy = MTU")),
            ReceivePolicy::Advert => self.line(format_args!("rx_bufs_policy = ADVERT")),
            ReceivePolicy::Bytes(bytes) => self.line(format_args!("rx_bufs_size = {bytes}")),
        }
        self.line(format_args!("rx_bufs_multiples = {}", global.rx_bufs_multiplier));
        self.line(format_args!("umask = 0{:o}", global.umask));
        if !global.vrrp_startup_delay.is_zero() {
            self.line(format_args!("vrrp_startup_delay = {}", text::shortest(global.vrrp_startup_delay)));
        }
        if global.log_unknown_vrids {
            self.line(format_args!("log_unknown_vrids"));
        }
        if global.owner_ignore_adverts {
            self.line(format_args!("vrrp_owner_ignore_adverts"));
        }
        self.given("VMAC prefix", global.vmac_prefix.as_ref());
        self.given("VMAC address prefix", global.vmac_addr_prefix.as_ref());
        self.line(format_args!("json_version {}", files.json_version));
        self.line(format_args!("iproute usr directory {}", files.iproute_usr_dir));
        self.line(format_args!("iproute etc directory {}", files.iproute_etc_dir));
        for (dump, place) in
            [("state", &files.state_dump), ("stats", &files.stats_dump), ("json", &files.json_dump)]
        {
            if let Some(place) = place {
                self.line(format_args!("{dump} dump file {place}"));
            }
        }
    }
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
