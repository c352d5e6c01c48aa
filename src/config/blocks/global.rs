//! `global_defs` and the words outside any block (spec/global-defs.md).
//!
//! Stock's parent reads them before any other process starts, so their place in the file does not matter.

use std::net::IpAddr;
use std::time::Duration;

use super::global_values::{
    at_least_one, at_least_one_u32, bad_group, cpus, extra_interface_garp, first, first_wins, global_script,
    group, include_check, lvs_flush_on_stop, lvs_sync_daemon, lvs_timeouts, min_garp, net_namespace, nice,
    number, only_option, process_name, realtime, rx_bufs_policy, script_user, smtp_server, surplus,
    table_name, umask, whole_seconds,
};
use super::scripts::{DefaultUser, ScriptDraft};
use crate::config::diagnostic::Diagnostic;
use crate::config::model::{Global, VrrpVersion};
use crate::config::schema::{
    Block, Item, Keyword, List, Mark, Missing, Opened, Readers, Repeat, Shape, Table, keyword, lenient,
    micros, strict,
};
use crate::config::source::Span;
use crate::config::syntax::Word;
use crate::config::value::Strictness;

/// `global_defs` as read.
#[derive(Debug, Default)]
pub struct Draft<'a> {
    /// The values that go into the model as they are.
    pub values: Global,
    /// `script_user`.
    pub default_user: DefaultUser,
    /// `default_interface`.
    pub default_interface: Option<&'a Word>,
    /// `net_namespace`.
    pub net_namespace: Option<&'a Word>,
    /// `use_symlink_paths`.
    pub symlink_paths: bool,
    /// `smtp_alert_vrrp`.
    pub smtp_alert_vrrp: Option<bool>,
    /// `smtp_alert_checker`.
    pub smtp_alert_checker: Option<bool>,
    /// `v3_checksum_as_v2`.
    pub v3_checksum_as_v2: bool,
    /// `vrrp_check_unicast_src`.
    pub check_unicast_src: bool,
    /// `vrrp_lower_prio_no_advert`.
    pub lower_prio_no_advert: Option<bool>,
    /// `vrrp_higher_prio_send_advert`.
    pub higher_prio_send_advert: bool,
    /// `vrrp_owner_ignore_adverts`.
    pub owner_ignore_adverts: bool,
    /// `vrrp_garp_lower_prio_delay`.
    pub garp_lower_prio_delay: Option<Duration>,
    /// `vrrp_garp_lower_prio_repeat`.
    pub garp_lower_prio_repeat: Option<u32>,
    /// `startup_script`, `shutdown_script` and the FIFO scripts: checked, and run later.
    pub scripts: Vec<ScriptDraft>,
    /// Keywords of which the first stays, with their place.
    pub(super) once: Vec<(&'static str, Span)>,
    /// The first `notification_email` entry of the block being read.
    addresses_before: usize,
}

impl Draft<'_> {
    /// The instance's defaults for gratuitous ARP, after spec/global-defs.md "Derived defaults".
    pub fn derive_defaults(&mut self) {
        let garp = &mut self.values.garp;
        garp.lower_prio_delay = self.garp_lower_prio_delay.unwrap_or(garp.delay);
        garp.lower_prio_repeat = self.garp_lower_prio_repeat.unwrap_or(garp.repeat);
    }
}

/// The block `global_defs`.
pub static BLOCK: Block = Block { table: &TABLE, open: |_, _| Opened::Enter, close: |_| {} };

static TABLE: Table = Table::new(
    "global_defs",
    &[IDENTITY, MAIL, VRRP, PROCESSES, LVS, SCRIPTS_AND_FIFOS, MANAGEMENT, RELOAD_AND_DUMPS],
);

const DUR_MAX: u64 = 4_294_967_295;

const IDENTITY: &[Keyword] = &[
    keyword("router_id", Shape::Word, "Name of this node in mail subjects, SNMP and dumps.")
        .default("the host name")
        .mark(Mark::A)
        .since("≤1.1.8")
        .missing(Missing::Warns)
        .apply(|r, g| g.text().clone_into(&mut r.drafts.global.values.router_id)),
    keyword(
        "process_names",
        Shape::Flag,
        "Names the children keepalived_vrrp, keepalived_lvs and keepalived_bfd.",
    )
    .apply(|r, _| {
        let names = &mut r.drafts.global.values.process_names;
        "keepalived_vrrp".clone_into(&mut names.vrrp);
        "keepalived_lvs".clone_into(&mut names.checkers);
    }),
    keyword("process_name", Shape::Word, "Name of the parent process, at most 15 characters.")
        .default("keepalived")
        .since("≤2.0.16")
        .apply(|r, g| r.drafts.global.values.process_names.parent = process_name(r, g)),
    keyword("vrrp_process_name", Shape::Word, "Name of the VRRP process, at most 15 characters.")
        .apply(|r, g| r.drafts.global.values.process_names.vrrp = process_name(r, g)),
    keyword("checker_process_name", Shape::Word, "Name of the checker process, at most 15 characters.")
        .apply(|r, g| r.drafts.global.values.process_names.checkers = process_name(r, g)),
    keyword("lvs_process_name", Shape::Word, "Old spelling of checker_process_name.")
        .old_for("checker_process_name")
        .apply(|r, g| r.drafts.global.values.process_names.checkers = process_name(r, g)),
    keyword("bfd_process_name", Shape::Word, "Name of the BFD process, at most 15 characters.")
        .later()
        .apply(|r, g| {
            process_name(r, g);
        }),
    keyword("use_symlink_paths", Shape::Bool, "Do not resolve symlinks in the paths of scripts.")
        .default("false")
        .since(">2.2.7")
        .apply(|r, g| r.drafts.global.symlink_paths = g.bool()),
    keyword(
        "dynamic_interfaces",
        Shape::Words,
        "Interfaces may be missing at start, come and go [allow_if_changes].",
    )
    .default("off")
    .mark(Mark::B)
    .since("≤2.0.8")
    .apply(|r, g| {
        r.drafts.global.values.dynamic_interfaces = true;
        only_option(r, g, "allow_if_changes", "turns the feature on nevertheless");
    }),
    keyword("default_interface", Shape::Word, "Interface of static addresses without `dev`.")
        .default("eth0")
        .since("≤1.2.24")
        .missing(Missing::Warns)
        .apply(|r, g| r.drafts.global.default_interface = g.argument(0)),
    keyword("disable_local_igmp", Shape::Flag, "No IGMP reports for link-local groups.").later(),
];

const MAIL: &[Keyword] = &[
    keyword(
        "notification_email",
        Shape::List(&NOTIFICATION_EMAIL),
        "Recipients of mail, any number per line.",
    )
    .default("none")
    .mark(Mark::A)
    .since("≤1.2.20"),
    keyword(
        "notification_email_from",
        Shape::Word,
        "The From header; a display name belongs into double quotes.",
    )
    .default("USER@HOST of the daemon")
    .mark(Mark::A)
    .missing(Missing::Warns)
    .apply(|r, g| {
        surplus(r, g, 1);
        r.drafts.global.values.email_from = Some(g.text().to_owned());
    }),
    keyword("smtp_server", Shape::Words, "The mail relay: an address or a name, and a port.")
        .default("no mail; port 25")
        .mark(Mark::A)
        .since("≤1.1.2")
        .missing(Missing::Stops)
        .apply(smtp_server),
    keyword("smtp_helo_name", Shape::Word, "The name given in HELO.")
        .default("the host name")
        .mark(Mark::B)
        .since("≤2.0.11")
        .missing(Missing::Silent)
        .later(),
    keyword(
        "smtp_connect_timeout",
        lenient(0, 4294),
        "Seconds until a connection to the mail relay is given up.",
    )
    .default("30")
    .mark(Mark::A)
    .apply(|r, g| {
        let seconds = at_least_one(r, g);
        r.drafts.global.values.smtp_connect_timeout = Duration::from_secs(seconds);
    }),
    keyword("smtp_alert", Shape::Bool, "Mail by default for every instance, group and checker.")
        .mark(Mark::B)
        .since("≤1.0.2")
        .apply(|r, g| r.drafts.global.values.smtp_alert = Some(g.bool())),
    keyword(
        "smtp_alert_vrrp",
        Shape::Bool,
        "Mail by default for instances and sync groups; wins over smtp_alert.",
    )
    .mark(Mark::B)
    .apply(|r, g| r.drafts.global.smtp_alert_vrrp = Some(g.bool())),
    keyword("smtp_alert_checker", Shape::Bool, "Mail by default for checkers; wins over smtp_alert.")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.global.smtp_alert_checker = Some(g.bool())),
    keyword("no_email_faults", Shape::Flag, "No mail for FAULT.").later(),
    keyword("no_checker_emails", Shape::Bool, "Mail only when a real server is added or removed.")
        .default("false")
        .since("≤2.0.0")
        .later(),
];

const VRRP: &[Keyword] = &[
    keyword("vrrp_version", lenient(2, 3), "Default protocol version (IPv6 is 3 unless the instance says 2).")
        .default("2")
        .mark(Mark::A)
        .since("≤2.0.7")
        .apply(|r, g| {
            r.drafts.global.values.vrrp_version = if g.int() == 3 { VrrpVersion::V3 } else { VrrpVersion::V2 };
        }),
    keyword("vrrp_strict", Shape::Bool, "Strict RFC conformance by default.")
        .default("false")
        .mark(Mark::A)
        .since("≤1.2.20")
        .apply(|r, g| r.drafts.global.values.vrrp_strict = g.bool()),
    keyword("vrrp_skip_check_adv_addr", Shape::Bool, "Skip the address list check for adverts of the same master.")
        .default("false")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.global.values.vrrp_skip_check_adv_addr = g.bool()),
    keyword("vrrp_check_unicast_src", Shape::Flag, "Accept unicast adverts from configured peers only.")
        .mark(Mark::B)
        .apply(|r, _| r.drafts.global.check_unicast_src = true),
    keyword("v3_checksum_as_v2", Shape::Flag, "Version 3 IPv4 checksum without pseudo header; every argument turns it on.")
        .default("off")
        .since(">2.2.7")
        .apply(|r, _| r.drafts.global.v3_checksum_as_v2 = true),
    keyword("vrrp_mcast_group4", Shape::Address, "Group of IPv4 adverts.")
        .default("224.0.0.18")
        .mark(Mark::B)
        .since("≤1.2.10")
        .apply(|r, g| {
            if let Some(IpAddr::V4(group)) = group(r, g, true) {
                r.drafts.global.values.vrrp_mcast_group4 = group;
            }
        }),
    keyword("vrrp_mcast_group6", Shape::Address, "Group of IPv6 adverts.")
        .default("ff02::12")
        .mark(Mark::B)
        .since("≤1.2.10")
        .apply(|r, g| {
            if let Some(IpAddr::V6(group)) = group(r, g, false) {
                if group.segments()[0] & 0xff0f != 0xff02 {
                    r.push(bad_group(g, "is not link-local").stock("uses it, with a warning"));
                }
                r.drafts.global.values.vrrp_mcast_group6 = group;
            }
        }),
    keyword("vrrp_garp_master_delay", lenient(0, 4294), "Seconds until the second burst of gratuitous ARP; 0 is none.")
        .default("5")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.global.values.garp.delay = whole_seconds(g)),
    keyword("vrrp_garp_master_repeat", lenient(0, 4_294_967_295), "Gratuitous ARPs per burst.")
        .default("5")
        .mark(Mark::A)
        .apply(|r, g| r.drafts.global.values.garp.repeat = at_least_one_u32(r, g)),
    keyword("vrrp_garp_master_refresh", lenient(0, 4_294_967_295), "Seconds between refreshes as MASTER; 0 is off.")
        .default("0")
        .mark(Mark::A)
        .since("≤1.2.23")
        .invalid_sets(0)
        .apply(|r, g| r.drafts.global.values.garp.refresh = whole_seconds(g)),
    keyword("vrrp_garp_master_refresh_repeat", lenient(0, 4_294_967_295), "Gratuitous ARPs per refresh.")
        .default("1")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.global.values.garp.refresh_repeat = at_least_one_u32(r, g)),
    keyword("vrrp_garp_lower_prio_delay", lenient(0, 4294), "Seconds until the second burst after a lower-priority advert.")
        .default("as vrrp_garp_master_delay")
        .mark(Mark::B)
        .since("≤2.0.7")
        .apply(|r, g| r.drafts.global.garp_lower_prio_delay = Some(whole_seconds(g))),
    keyword("vrrp_garp_lower_prio_repeat", lenient(0, 2_147_483_647), "Gratuitous ARPs after a lower-priority advert.")
        .default("as vrrp_garp_master_repeat")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.global.garp_lower_prio_repeat = Some(g.u32())),
    keyword("vrrp_down_timer_adverts", lenient(1, 100), "Missed adverts until MASTER.")
        .default("3")
        .apply(|r, g| r.drafts.global.values.down_timer_adverts = g.u8()),
    keyword("vrrp_garp_interval", micros(1, 4_294_967_295), "Seconds between two gratuitous ARPs of one interface.")
        .default("0 (no pacing), which cannot be written")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.global.values.garp_interval = g.time()),
    keyword("vrrp_gna_interval", micros(1, 4_294_967_295), "Seconds between two unsolicited neighbour advertisements.")
        .default("0 (no pacing), which cannot be written")
        .later(),
    keyword("vrrp_min_garp", Shape::Bool, "One gratuitous ARP and no second burst, where nothing else is set.")
        .default("false")
        .mark(Mark::B)
        .since("≤2.0.12")
        .apply(|r, g| {
            if g.bool() {
                min_garp(&mut r.drafts.global.values.garp);
            }
        }),
    keyword("vrrp_garp_extra_if", Shape::Words, "Gratuitous ARP on other interfaces of VIPs: [all] SECONDS.")
        .default("0 (off)")
        .later()
        .apply(|r, g| extra_interface_garp(r, g, 1)),
    keyword("vrrp_vmac_garp_intvl", Shape::Words, "Old spelling of vrrp_garp_extra_if.")
        .deprecated_for("vrrp_garp_extra_if")
        .later()
        .apply(|r, g| extra_interface_garp(r, g, 1)),
    keyword("vrrp_lower_prio_no_advert", Shape::Bool, "Do not answer a lower-priority advert with one.")
        .default("false (true in strict mode)")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.global.lower_prio_no_advert = Some(g.bool())),
    keyword("vrrp_higher_prio_send_advert", Shape::Bool, "As MASTER send one advert before yielding.")
        .default("false")
        .since("≤1.3.6")
        .apply(|r, g| r.drafts.global.higher_prio_send_advert = g.bool()),
    keyword("vrrp_owner_ignore_adverts", Shape::Bool, "An address owner ignores adverts by default.")
        .default("false")
        .since(">2.2.7")
        .apply(|r, g| r.drafts.global.owner_ignore_adverts = g.bool()),
    keyword("vrrp_startup_delay", micros(1_000, DUR_MAX), "Seconds before VRRP starts; the longest of several counts.")
        .default("0")
        .mark(Mark::B)
        .since("≤2.0.14")
        .apply(|r, g| {
            let delay = &mut r.drafts.global.values.vrrp_startup_delay;
            *delay = (*delay).max(g.time());
        }),
    keyword("vrrp_delay_after_boot", micros(1_000, DUR_MAX), "Seconds of uptime before VRRP starts.")
        .default("0")
        .since(">2.2.7")
        .later(),
    keyword("log_unknown_vrids", Shape::Flag, "Log adverts of virtual routers that are not configured here.")
        .since("≤2.0.16")
        .apply(|r, _| r.drafts.global.values.log_unknown_vrids = true),
    keyword("vrrp_iptables", Shape::Words, "iptables chains; nftables is used instead.")
        .default("none")
        .mark(Mark::B)
        .since("≤1.2.20")
        .later()
        .apply(|r, g| {
            r.push(
                Diagnostic::warning("no-iptables", g.head(), "this build has no iptables")
                    .help("write `nftables`, or remove the line")
                    .stock("uses an nftables table `keepalived` instead (a build with iptables would use iptables)"),
            );
        }),
    keyword("nftables", Shape::Words, "nftables table of the VRRP filters [TABLE].")
        .default("off; on by itself where no_accept, strict mode or a VMAC needs it")
        .mark(Mark::B)
        .since("≤2.0.11")
        .repeat(Repeat::FirstWins)
        .later()
        .apply(table_name),
    keyword("nftables_priority", strict(i32::MIN as i64, i32::MAX as i64), "Priority of the chains.").default("-1").later(),
    keyword("nftables_ifindex", Shape::Flag, "Interface indices instead of names in IPv6 link-local sets.").later(),
    keyword("nftables_counters", Shape::Flag, "Counters in the rules.").later(),
    keyword("vmac_prefix", Shape::Word, "Prefix of generated VMAC names.")
        .default("vrrp")
        .repeat(Repeat::FirstWins)
        .later()
        .apply(first_wins),
    keyword("vmac_addr_prefix", Shape::Word, "Prefix of VMACs made for VIPs on other interfaces.")
        .default("vmac_prefix")
        .repeat(Repeat::FirstWins)
        .later()
        .apply(first_wins),
    keyword("vrrp_netlink_cmd_rcv_bufs", strict(0, 4_294_967_295), "Receive buffer of the command socket, bytes.")
        .missing(Missing::Warns)
        .later(),
    keyword("vrrp_netlink_cmd_rcv_bufs_force", Shape::Bool, "Exceed the system's limit for it.").later(),
    keyword("vrrp_netlink_monitor_rcv_bufs", strict(0, 4_294_967_295), "Receive buffer of the monitor socket, bytes.")
        .missing(Missing::Warns)
        .later(),
    keyword("vrrp_netlink_monitor_rcv_bufs_force", Shape::Bool, "Exceed the system's limit for it.").later(),
    keyword("process_monitor_rcv_bufs", strict(0, 4_294_967_295), "Receive buffer of the process event socket, bytes.")
        .missing(Missing::Warns)
        .later(),
    keyword("process_monitor_rcv_bufs_force", Shape::Bool, "Exceed the system's limit for it.").later(),
    keyword("vrrp_rx_bufs_policy", Shape::Words, "Receive buffer of the VRRP sockets: MTU, ADVERT or a number.")
        .default("the system's")
        .since("≤2.0.5")
        .missing(Missing::Warns)
        .later()
        .apply(rx_bufs_policy),
    keyword("vrrp_rx_bufs_multiplier", strict(1, 4_294_967_295), "Factor for vrrp_rx_bufs_policy.")
        .default("3")
        .missing(Missing::Warns)
        .one_word()
        .later(),
];

const PROCESSES: &[Keyword] = &[
    keyword("max_auto_priority", Shape::Words, "Limit of automatic real-time priority [-1..99].")
        .default("0 (off)")
        .mark(Mark::B)
        .later()
        .apply(|r, g| {
            if let Some(word) = g.argument(0) {
                number(r, g, word, -1, 99, Strictness::Lenient);
            }
        }),
    keyword(
        "min_auto_priority_delay",
        lenient(1, 10_000_000),
        "Lateness of a timer that raises it, microseconds.",
    )
    .default("1000000")
    .missing(Missing::Warns)
    .later(),
    keyword("vrrp_priority", lenient(-20, 19), "Nice value of the VRRP process.")
        .default("0")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .invalid_sets(0)
        .apply(|r, g| r.drafts.global.values.vrrp_scheduling.nice = nice(g)),
    keyword("vrrp_no_swap", Shape::Flag, "Lock the memory of the VRRP process.")
        .apply(|r, _| r.drafts.global.values.vrrp_scheduling.no_swap = true),
    keyword("vrrp_rt_priority", Shape::Words, "Real-time priority of the VRRP process, 1..99.")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .apply(|r, g| realtime(r, g, |r| Some(&mut r.drafts.global.values.vrrp_scheduling))),
    keyword("vrrp_cpu_affinity", Shape::Words, "CPUs of the VRRP process.")
        .since("≤2.0.17")
        .missing(Missing::Warns)
        .apply(|r, g| cpus(r, g, |r| Some(&mut r.drafts.global.values.vrrp_scheduling))),
    keyword(
        "vrrp_rlimit_rttime",
        lenient(1, 4_294_967_295),
        "Real-time CPU limit of the VRRP process, microseconds.",
    )
    .default("10000")
    .invalid_sets(0)
    .later(),
    keyword("vrrp_rlimit_rtime", lenient(1, 4_294_967_295), "Old spelling of vrrp_rlimit_rttime.")
        .invalid_sets(0)
        .old_for("vrrp_rlimit_rttime")
        .later(),
    keyword("checker_priority", lenient(-20, 19), "Nice value of the checker process.")
        .default("0")
        .missing(Missing::Warns)
        .invalid_sets(0)
        .apply(|r, g| r.drafts.global.values.checker_scheduling.nice = nice(g)),
    keyword("checker_no_swap", Shape::Flag, "Lock the memory of the checker process.")
        .apply(|r, _| r.drafts.global.values.checker_scheduling.no_swap = true),
    keyword("checker_rt_priority", Shape::Words, "Real-time priority of the checker process, 1..99.")
        .missing(Missing::Warns)
        .apply(|r, g| realtime(r, g, |r| Some(&mut r.drafts.global.values.checker_scheduling))),
    keyword("checker_cpu_affinity", Shape::Words, "CPUs of the checker process.")
        .since("≤2.0.17")
        .missing(Missing::Warns)
        .apply(|r, g| cpus(r, g, |r| Some(&mut r.drafts.global.values.checker_scheduling))),
    keyword(
        "checker_rlimit_rttime",
        lenient(1, 4_294_967_295),
        "Real-time CPU limit of the checker process, microseconds.",
    )
    .default("10000")
    .invalid_sets(0)
    .later(),
    keyword("checker_rlimit_rtime", lenient(1, 4_294_967_295), "Old spelling of checker_rlimit_rttime.")
        .invalid_sets(0)
        .old_for("checker_rlimit_rttime")
        .later(),
    keyword("bfd_priority", lenient(-20, 19), "Nice value of the BFD process.")
        .missing(Missing::Warns)
        .invalid_sets(0)
        .later(),
    keyword("bfd_no_swap", Shape::Flag, "Lock the memory of the BFD process.").later(),
    keyword("bfd_rt_priority", Shape::Words, "Real-time priority of the BFD process, 1..99.")
        .missing(Missing::Warns)
        .later()
        .apply(|r, g| realtime(r, g, |_| None)),
    keyword("bfd_cpu_affinity", Shape::Words, "CPUs of the BFD process.")
        .since("≤2.0.17")
        .missing(Missing::Warns)
        .later()
        .apply(|r, g| cpus(r, g, |_| None)),
    keyword(
        "bfd_rlimit_rttime",
        lenient(1, 4_294_967_295),
        "Real-time CPU limit of the BFD process, microseconds.",
    )
    .invalid_sets(0)
    .later(),
    keyword("bfd_rlimit_rtime", lenient(1, 4_294_967_295), "Old spelling of bfd_rlimit_rttime.")
        .invalid_sets(0)
        .old_for("bfd_rlimit_rttime")
        .later(),
    keyword("umask", Shape::Words, "umask, as a number in C notation or as IRUSR | IWGRP …")
        .default("IXUSR | IRWXG | IRWXO")
        .since("≤1.3.2")
        .missing(Missing::Stops)
        .apply(umask),
];

const LVS: &[Keyword] = &[
    keyword("lvs_timeouts", Shape::Words, "IPVS timeouts in seconds: [tcp S] [tcpfin S] [udp S].")
        .mark(Mark::B)
        .since("≤2.0.7")
        .repeat(Repeat::Accumulates)
        .apply(lvs_timeouts),
    keyword("lvs_flush", Shape::Flag, "Flush the whole IPVS table at start.")
        .default("off")
        .mark(Mark::B)
        .since("≤1.2.23")
        .apply(|r, _| r.drafts.global.values.lvs_flush = true),
    keyword("lvs_flush_on_stop", Shape::Words, "Flush at stop: the whole table, or [VS] our services.")
        .default("off")
        .mark(Mark::B)
        .since("≤2.0.15")
        .apply(lvs_flush_on_stop),
    keyword("lvs_flush_onstop", Shape::Words, "Old spelling of lvs_flush_on_stop.")
        .since("≤2.0.15")
        .old_for("lvs_flush_on_stop")
        .apply(lvs_flush_on_stop),
    keyword(
        "lvs_sync_daemon",
        Shape::Words,
        "IPVS connection sync: IFNAME [[inst] INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group A].",
    )
    .mark(Mark::B)
    .since("≤1.2.20")
    .missing(Missing::Warns)
    .repeat(Repeat::FirstWins)
    .later()
    .apply(lvs_sync_daemon),
    keyword("checker_log_all_failures", Shape::Bool, "Log each failed check, not only the last retry.")
        .default("false")
        .mark(Mark::B)
        .since("≤2.0.11")
        .apply(|r, g| r.drafts.global.values.checker_log_all_failures = g.bool()),
    keyword("rs_init_notifies", Shape::Bool, "Notify for real servers that come up at start.")
        .default("false")
        .apply(|r, g| r.drafts.global.values.rs_init_notifies = g.bool()),
    keyword("nftables_ipvs", Shape::Words, "nftables table that sets the fwmarks of groups [TABLE].")
        .default("off")
        .repeat(Repeat::FirstWins)
        .later()
        .apply(table_name),
    keyword("nftables_ipvs_priority", strict(i32::MIN as i64, i32::MAX as i64), "Priority of its chain.")
        .default("-1")
        .later(),
    keyword(
        "nftables_ipvs_start_fwmark",
        strict(1, 4_294_967_295),
        "First fwmark; must follow nftables_ipvs.",
    )
    .default("1000")
    .later(),
    keyword(
        "lvs_netlink_cmd_rcv_bufs",
        strict(0, 4_294_967_295),
        "Receive buffer of the checkers' command socket.",
    )
    .missing(Missing::Warns)
    .later(),
    keyword("lvs_netlink_cmd_rcv_bufs_force", Shape::Bool, "Exceed the system's limit for it.").later(),
    keyword(
        "lvs_netlink_monitor_rcv_bufs",
        strict(0, 4_294_967_295),
        "Receive buffer of the checkers' monitor socket.",
    )
    .missing(Missing::Warns)
    .later(),
    keyword("lvs_netlink_monitor_rcv_bufs_force", Shape::Bool, "Exceed the system's limit for it.").later(),
];

const SCRIPTS_AND_FIFOS: &[Keyword] = &[
    keyword("script_user", Shape::Words, "Default user of scripts: USER [:][GROUP].")
        .default("keepalived_script if it exists, else the daemon's")
        .mark(Mark::A)
        .missing(Missing::Warns)
        .apply(script_user),
    keyword("enable_script_security", Shape::Flag, "Refuse scripts of root that others can change.")
        .default("off")
        .mark(Mark::A)
        .since("≤1.3.0")
        .apply(|r, _| r.drafts.global.values.script_security = true),
    keyword("set_supplementary_groups", Shape::Bool, "Give scripts the supplementary groups of their user.")
        .since(">2.2.7")
        .later(),
    keyword("startup_script", Shape::Script, "Run once before the children start: SCRIPT [USER [:][GROUP]].")
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .later()
        .apply(global_script),
    keyword("startup_script_timeout", lenient(1, 1000), "Seconds until it is killed.")
        .default("10")
        .missing(Missing::Warns)
        .later(),
    keyword("shutdown_script", Shape::Script, "Run once after the children ended: SCRIPT [USER [:][GROUP]].")
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .later()
        .apply(global_script),
    keyword("shutdown_script_timeout", lenient(1, 1000), "Seconds until it is killed.")
        .default("10")
        .missing(Missing::Warns)
        .later(),
    fifo("notify_fifo", "FIFO for all events: PATH [USER [GROUP]]."),
    fifo_script("notify_fifo_script", "Program that reads the FIFO."),
    fifo("vrrp_notify_fifo", "FIFO for VRRP events: PATH [USER [GROUP]]."),
    fifo_script("vrrp_notify_fifo_script", "Program that reads the VRRP FIFO."),
    fifo("lvs_notify_fifo", "FIFO for checker events: PATH [USER [GROUP]]."),
    fifo_script("lvs_notify_fifo_script", "Program that reads the checker FIFO."),
    keyword("vrrp_notify_priority_changes", Shape::Bool, "Priority changes to the FIFOs.")
        .default("false")
        .later(),
    keyword("fifo_write_vrrp_states_on_reload", Shape::Flag, "All states to the FIFOs again after a reload.")
        .later(),
];

const fn fifo(name: &'static str, help: &'static str) -> Keyword {
    keyword(name, Shape::Words, help)
        .mark(Mark::B)
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .later()
        .apply(first_wins)
}

const fn fifo_script(name: &'static str, help: &'static str) -> Keyword {
    keyword(name, Shape::Script, help)
        .mark(Mark::B)
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .later()
        .apply(global_script)
}

const MANAGEMENT: &[Keyword] = &[
    keyword("snmp_socket", Shape::Word, "AgentX socket.")
        .default("unix:/var/agentx/master")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .later()
        .apply(|r, g| {
            if !surplus(r, g, 1) {
                first_wins(r, g);
            }
        }),
    keyword("enable_traps", Shape::Flag, "Send SNMP traps.").mark(Mark::B).later(),
    keyword("enable_snmp_vrrp", Shape::Flag, "The VRRP part of the KEEPALIVED MIB.").mark(Mark::B).later(),
    keyword("enable_snmp_keepalived", Shape::Flag, "Old spelling of enable_snmp_vrrp.")
        .old_for("enable_snmp_vrrp")
        .later(),
    keyword("enable_snmp_rfc", Shape::Flag, "The MIBs of RFC 2787 and RFC 6527.").mark(Mark::B).later(),
    keyword("enable_snmp_rfcv2", Shape::Flag, "The MIB of RFC 2787.").later(),
    keyword("enable_snmp_rfcv3", Shape::Flag, "The MIB of RFC 6527.").later(),
    keyword("enable_snmp_checker", Shape::Flag, "The checker part of the KEEPALIVED MIB.")
        .mark(Mark::B)
        .later(),
    keyword(
        "snmp_vs_stats_update_interval",
        micros(1_000, 30_000_000),
        "Least age of statistics before SNMP reads anew.",
    )
    .default("5")
    .since(">2.2.7")
    .later(),
    keyword("snmp_rs_stats_update_interval", micros(1_000, 30_000_000), "The same for real servers.")
        .default("snmp_vs_stats_update_interval")
        .since(">2.2.7")
        .later(),
    keyword("enable_dbus", Shape::Flag, "The D-Bus interface.").mark(Mark::B).later(),
    keyword("dbus_service_name", Shape::Word, "Name on the bus.")
        .default("org.keepalived.Vrrp1")
        .missing(Missing::Warns)
        .later(),
    keyword("dbus_no_interface_name", Shape::Word, "Path element of an instance without interface.")
        .since(">2.2.7")
        .missing(Missing::Warns)
        .later(),
    keyword("random_seed", strict(0, 4_294_967_295), "Seed of ${_RANDOM}; never had an effect.").nothing(),
];

const RELOAD_AND_DUMPS: &[Keyword] = &[
    keyword("reload_check_config", Shape::Words, "Check a new configuration before it is used [LOGFILE].")
        .mark(Mark::B)
        .later(),
    keyword("reload_time_file", Shape::Word, "File with the time of the next reload.")
        .missing(Missing::Warns)
        .later()
        .apply(|r, g| {
            surplus(r, g, 1);
        }),
    keyword("reload_repeat", Shape::Flag, "Keep that file, so that a time of day repeats.").later(),
    keyword("reload_file", Shape::Words, "File that exists while the configuration is read [PATH].").later(),
    keyword(
        "include_check",
        Shape::Words,
        "Which include problems are fatal [[+|-]read|match|wildcard_match|brace_match].",
    )
    .later()
    .apply(include_check),
    keyword("config_save_dir", Shape::Word, "Directory for copies of the configuration.").later(),
    keyword("tmp_config_directory", Shape::Word, "Directory of the consolidated copy.")
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .later()
        .apply(first_wins),
    keyword("data_use_instance", Shape::Bool, "Instance and namespace in the names of the dump files.")
        .later(),
    keyword("json_version", lenient(1, 2), "Layout of the JSON dump.")
        .default("1")
        .since(">2.2.7")
        .missing(Missing::Warns)
        .later(),
    one_path("iproute_usr_dir", "Where rt_tables and the like are, low precedence."),
    one_path("iproute_etc_dir", "Where rt_tables and the like are, high precedence."),
    one_path("state_dump_file", "File of SIGUSR1; a trailing / makes it a directory."),
    one_path("stats_dump_file", "File of SIGUSR2; a trailing / makes it a directory."),
    one_path("json_dump_file", "File of the JSON dump; a trailing / makes it a directory."),
];

const fn one_path(name: &'static str, help: &'static str) -> Keyword {
    keyword(name, Shape::Word, help).since(">2.2.7").missing(Missing::Warns).one_word().later()
}

/// The words that stand outside any block (spec/global-defs.md, "Top-level words").
pub const TOP_LEVEL: &[Keyword] = &[
    keyword("linkbeat_use_polling", Shape::Flag, "Poll every interface for its link state.")
        .since("≤1.1.18")
        .readers(Readers::PARENT)
        .later(),
    keyword("net_namespace", Shape::Word, "Network namespace to run in; fixed at start.")
        .default("the host's")
        .mark(Mark::B)
        .since("≤1.2.24")
        .readers(Readers::PARENT)
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .later()
        .apply(net_namespace),
    keyword("net_namespace_ipvs", Shape::Words, "Network namespace of the IPVS table [NAME].")
        .mark(Mark::B)
        .readers(Readers::PARENT)
        .repeat(Repeat::FirstWins)
        .later()
        .apply(first_wins),
    keyword("namespace_with_ipsets", Shape::Flag, "Allow ipsets with net_namespace on old kernels.")
        .readers(Readers::PARENT)
        .later(),
    keyword("use_pid_dir", Shape::Flag, "Pid files in the keepalived directory.")
        .readers(Readers::PARENT)
        .apply(|r, _| r.drafts.global.values.use_pid_dir = true),
    keyword("instance", Shape::Word, "Name of this keepalived among several on the host.")
        .mark(Mark::B)
        .readers(Readers::PARENT)
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .apply(|r, g| {
            if first(r, g) {
                r.drafts.global.values.instance = Some(g.text().to_owned());
            }
        }),
    keyword(
        "child_wait_time",
        strict(0, 4_294_967_295),
        "Seconds that the parent waits for its children at stop.",
    )
    .default("5")
    .readers(Readers::PARENT)
    .apply(|r, g| r.drafts.global.values.child_wait_time = whole_seconds(g)),
];

static NOTIFICATION_EMAIL: List = List {
    open: |r, g| {
        r.drafts.global.addresses_before = r.drafts.global.values.email_to.len();
        super::open_list(r, g)
    },
    item: |r, words: Item<'_>| {
        r.drafts.global.values.email_to.extend(words.iter().map(|word| word.as_str().to_owned()));
    },
    close: |r| {
        let draft = &r.drafts.global;
        if draft.values.email_to.len() == draft.addresses_before
            && let Some(span) = r.list_span()
        {
            r.push(
                Diagnostic::warning("empty-list", span, "`notification_email` is empty")
                    .help("add an address, or remove the block")
                    .stock("accepts it; no mail is sent"),
            );
        }
    },
};
