//! The words of `global_defs` about VRRP: defaults of every instance, its filters and sockets (spec/global-defs.md).

use std::net::IpAddr;

use super::global_values::{
    at_least_one_u32, bad_group, first, garp_extra_if, group, min_garp, rx_bufs_policy, table_name,
    whole_seconds,
};
use crate::config::diagnostic::Diagnostic;
use crate::config::model::VrrpVersion;
use crate::config::schema::{Keyword, Mark, Missing, Repeat, Shape, keyword, lenient, micros, strict};

const DUR_MAX: u64 = 4_294_967_295;

pub(super) const KEYWORDS: &[Keyword] = &[
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
        .apply(|r, _| r.drafts.global.values.vrrp_check_unicast_src = true),
    keyword("v3_checksum_as_v2", Shape::Flag, "Version 3 IPv4 checksum without pseudo header; every argument turns it on.")
        .default("off")
        .since(">2.2.7")
        .apply(|r, _| r.drafts.global.values.v3_checksum_as_v2 = true),
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
        .apply(|r, g| r.drafts.global.values.gna_interval = g.time()),
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
        .apply(garp_extra_if),
    keyword("vrrp_vmac_garp_intvl", Shape::Words, "Old spelling of vrrp_garp_extra_if.")
        .deprecated_for("vrrp_garp_extra_if")
        .apply(garp_extra_if),
    keyword("vrrp_lower_prio_no_advert", Shape::Bool, "Do not answer a lower-priority advert with one.")
        .default("false (true in strict mode)")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.global.values.lower_prio_no_advert = Some(g.bool())),
    keyword("vrrp_higher_prio_send_advert", Shape::Bool, "As MASTER send one advert before yielding.")
        .default("false")
        .since("≤1.3.6")
        .apply(|r, g| r.drafts.global.values.higher_prio_send_advert = g.bool()),
    keyword("vrrp_owner_ignore_adverts", Shape::Bool, "An address owner ignores adverts by default.")
        .default("false")
        .since(">2.2.7")
        .apply(|r, g| r.drafts.global.values.owner_ignore_adverts = g.bool()),
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
        .apply(|r, g| {
            let delay = &mut r.drafts.global.values.vrrp_delay_after_boot;
            *delay = (*delay).max(g.time());
        }),
    keyword("log_unknown_vrids", Shape::Flag, "Log adverts of virtual routers that are not configured here.")
        .since("≤2.0.16")
        .apply(|r, _| r.drafts.global.values.log_unknown_vrids = true),
    keyword("vrrp_iptables", Shape::Words, "iptables chains; nftables is used instead.")
        .default("none")
        .mark(Mark::B)
        .since("≤1.2.20")
        .apply(|r, g| {
            r.drafts.global.values.nftables.table.get_or_insert_with(|| "keepalived".to_owned());
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
        .apply(|r, g| {
            if let Some(name) = table_name(r, g, "keepalived") {
                r.drafts.global.values.nftables.table = Some(name);
            }
        }),
    keyword("nftables_priority", strict(i32::MIN as i64, i32::MAX as i64), "Priority of the chains.").default("-1")
        .apply(|r, g| r.drafts.global.values.nftables.priority = i32::try_from(g.int()).unwrap_or(-1)),
    keyword("nftables_ifindex", Shape::Flag, "Interface indices instead of names in IPv6 link-local sets.")
        .apply(|r, _| r.drafts.global.values.nftables.ifindex = true),
    keyword("nftables_counters", Shape::Flag, "Counters in the rules.")
        .apply(|r, _| r.drafts.global.values.nftables.counters = true),
    keyword("vmac_prefix", Shape::Word, "Prefix of generated VMAC names.")
        .default("vrrp")
        .repeat(Repeat::FirstWins)
        .apply(|r, g| {
            if first(r, g) {
                r.drafts.global.values.vmac_prefix = Some(g.text().to_owned());
            }
        }),
    keyword("vmac_addr_prefix", Shape::Word, "Prefix of VMACs made for VIPs on other interfaces.")
        .default("vmac_prefix")
        .repeat(Repeat::FirstWins)
        .apply(|r, g| {
            if first(r, g) {
                r.drafts.global.values.vmac_addr_prefix = Some(g.text().to_owned());
            }
        }),
    keyword("vrrp_netlink_cmd_rcv_bufs", strict(0, 4_294_967_295), "Receive buffer of the command socket, bytes.")
        .missing(Missing::Warns)
        .apply(|r, g| r.drafts.global.values.buffers.vrrp_command.bytes = g.u32()),
    keyword("vrrp_netlink_cmd_rcv_bufs_force", Shape::Bool, "Exceed the system's limit for it.")
        .apply(|r, g| r.drafts.global.values.buffers.vrrp_command.force = g.bool()),
    keyword("vrrp_netlink_monitor_rcv_bufs", strict(0, 4_294_967_295), "Receive buffer of the monitor socket, bytes.")
        .missing(Missing::Warns)
        .apply(|r, g| r.drafts.global.values.buffers.vrrp_monitor.bytes = g.u32()),
    keyword("vrrp_netlink_monitor_rcv_bufs_force", Shape::Bool, "Exceed the system's limit for it.")
        .apply(|r, g| r.drafts.global.values.buffers.vrrp_monitor.force = g.bool()),
    keyword("process_monitor_rcv_bufs", strict(0, 4_294_967_295), "Receive buffer of the process event socket, bytes.")
        .missing(Missing::Warns)
        .apply(|r, g| r.drafts.global.values.buffers.process_monitor.bytes = g.u32()),
    keyword("process_monitor_rcv_bufs_force", Shape::Bool, "Exceed the system's limit for it.")
        .apply(|r, g| r.drafts.global.values.buffers.process_monitor.force = g.bool()),
    keyword("vrrp_rx_bufs_policy", Shape::Words, "Receive buffer of the VRRP sockets: MTU, ADVERT or a number.")
        .default("the system's")
        .since("≤2.0.5")
        .missing(Missing::Warns)
        .apply(rx_bufs_policy),
    keyword("vrrp_rx_bufs_multiplier", strict(1, 4_294_967_295), "Factor for vrrp_rx_bufs_policy.")
        .default("3")
        .missing(Missing::Warns)
        .one_word()
        .apply(|r, g| r.drafts.global.values.rx_bufs_multiplier = g.u32()),
];
