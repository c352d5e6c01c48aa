//! `vrrp_instance NAME { … }` (spec/vrrp-config.md §2.1).

use std::time::Duration;

use super::auth::{AUTH_HMAC, AUTHENTICATION};
use super::scripts;
use super::tracking;
use super::vmac;
pub use super::vrrp_instance_draft::{Draft, Placed};
use super::vrrp_instance_values::{
    Advertised, destination, peer, source, state, timer_expired_backup, unicast_word, version,
    virtual_address,
};
use super::vrrp_sync_group::notify;
use super::{global_values, list};
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::model::{Family, GarpExtra, Priority, UnicastChecksum, Vrid, VrrpVersion};
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{
    Block, Given, Item, Keyword, List, Mark, Missing, Opened, Shape, Table, keyword, lenient, micros, strict,
};
use crate::config::source::Span;
use crate::config::syntax::Word;
use crate::config::value::{self};

/// The block.
pub static BLOCK: Block = Block { table: &TABLE, open, close };

static TABLE: Table = Table::new("vrrp_instance", &[ROUTER, TRANSPORT, ADDRESSES, TIMING, TRACKING, NOTIFY]);

const ROUTER: &[Keyword] = &[
    keyword("state", Shape::Word, "State at start: MASTER or BACKUP.")
        .default("BACKUP; MASTER with priority 255")
        .mark(Mark::A)
        .since("≤0.4.8")
        .apply(state),
    keyword("interface", Shape::Word, "The VRRP interface.").mark(Mark::A).since("≤0.4.8").apply(|r, g| {
        let Some(name) = g.argument(0) else { return };
        if !value::fits_interface(name) {
            let report = bad_value(g.keyword, name, "is longer than 15 bytes: no interface has such a name");
            r.push(report.stock("ignores the line"));
            return;
        }
        tracking::name_interface(r, name, "vrrp_instance");
        r.drafts.instance.interface = Some(name);
    }),
    keyword("vrf", Shape::Word, "VRF of a unicast instance without interface.").apply(|r, g| {
        let Some(name) = g.argument(0) else { return };
        if let Some(interface) = r.drafts.instance.interface {
            let span = interface.span();
            r.push(
                Diagnostic::error("contradiction", g.head(), "`vrf` and `interface` exclude each other")
                    .related(span, "the interface")
                    .stock("ignores this line"),
            );
            return;
        }
        tracking::name_interface(r, name, "vrf");
        r.drafts.instance.vrf = Some(name);
    }),
    keyword(
        "virtual_router_id",
        strict(1, 255),
        "Number of the virtual router, 1..255; the same on all its nodes.",
    )
    .default("unset, and then the daemon refuses to start")
    .mark(Mark::A)
    .since("≤1.1.12")
    .apply(|r, g| r.drafts.instance.virtual_router_id = Vrid::new(g.u8()).map(|vrid| (vrid, g.value_span()))),
    keyword("priority", strict(1, 255), "The highest becomes MASTER; 255 is the owner of the addresses.")
        .default("100; 255 with `state MASTER`")
        .mark(Mark::A)
        .since("≤0.5.6")
        .invalid_sets(100)
        .apply(|r, g| {
            r.drafts.instance.priority = Priority::new(g.u8()).map(|priority| (priority, g.value_span()));
        }),
    keyword("version", lenient(2, 3), "Protocol version.")
        .default("vrrp_version; 3 for IPv6")
        .mark(Mark::A)
        .since("≤0.6.2")
        .apply(version),
    keyword("native_ipv6", Shape::Flag, "Old: IPv6 and version 3.").mark(Mark::X).since("≤1.2.10").apply(
        |r, g| {
            let draft = &mut r.drafts.instance;
            if draft.family == Some(Family::V4) {
                r.push(
                    Diagnostic::error(
                        "contradiction",
                        g.head(),
                        "`native_ipv6` in an instance with IPv4 addresses",
                    )
                    .help("remove the line: the addresses decide")
                    .stock("ignores the line"),
                );
                return;
            }
            draft.family = Some(Family::V6);
            draft.version = Some((VrrpVersion::V3, g.head()));
        },
    ),
    keyword("accept", Shape::Flag, "Accept packets to the virtual addresses.")
        .default("on; off in strict mode below priority 255")
        .mark(Mark::B)
        .since("≤1.0.0")
        .apply(|r, g| r.drafts.instance.accept = Some((true, g.head()))),
    keyword("no_accept", Shape::Flag, "Drop packets to the virtual addresses.")
        .mark(Mark::B)
        .since("≤1.3.0")
        .apply(|r, g| r.drafts.instance.accept = Some((false, g.head()))),
    keyword("strict_mode", Shape::Bool, "Strict RFC conformance.")
        .default("vrrp_strict")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.instance.strict_mode = Some(g.bool())),
    keyword(
        "skip_check_adv_addr",
        Shape::Bool,
        "Skip the address list check for adverts of the same master.",
    )
    .default("vrrp_skip_check_adv_addr")
    .mark(Mark::B)
    .since("≤2.0.19")
    .apply(|r, g| {
        if !g.bool() {
            r.push(
                Diagnostic::warning("misread-value", g.value_span(), "`skip_check_adv_addr no` turns it ON")
                    .class(Class::None)
                    .help("remove the line to leave it off")
                    .stock("turns it on"),
            );
        }
        r.drafts.instance.skip_check_adv_addr = Some(true);
    }),
    keyword("debug", lenient(0, 4), "Never had an effect in normal builds.")
        .mark(Mark::X)
        .since("≤0.4.9")
        .nothing()
        .apply(|r, g| r.drafts.instance.debug = g.u8()),
    keyword("authentication", Shape::Block(&AUTHENTICATION), "Version 2 authentication.")
        .mark(Mark::A)
        .since("≤0.5.5"),
    keyword("auth_hmac", Shape::Block(&AUTH_HMAC), "HMAC trailer on adverts, of any version.")
        .since(">2.2.7"),
];

const TRANSPORT: &[Keyword] = &[
    keyword("use_vmac", Shape::Words, "Run on a macvlan with the virtual MAC.")
        .mark(Mark::B)
        .since("≤1.2.6")
        .apply(|r, g| r.drafts.instance.use_vmac = Some(vmac::vmac(r, g))),
    keyword("use_vmac_addr", Shape::Flag, "VMACs also for addresses on other interfaces.")
        .apply(|r, g| r.drafts.instance.use_vmac_addr = Some(g.head())),
    keyword("vmac_xmit_base", Shape::Flag, "Send and receive on the base interface.")
        .mark(Mark::B)
        .since("≤1.2.14")
        .apply(|r, g| r.drafts.instance.vmac_xmit_base = Some(g.head())),
    keyword("use_ipvlan", Shape::Words, "Run on an ipvlan: [IFNAME] [ADDR[/LEN]] [bridge|private|vepa].")
        .since("≤2.0.17")
        .apply(|r, g| {
            let draft = vmac::ipvlan(r, g);
            if draft.address.is_none() && r.drafts.instance.family != Some(Family::V6) {
                r.push(vmac::without_address(g.head()));
            }
            r.drafts.instance.use_ipvlan = Some(draft);
        }),
    keyword("unicast_peer", Shape::List(&UNICAST_PEER), "Peers: ADDR [min_ttl N] [max_ttl N].")
        .default("none (multicast)")
        .mark(Mark::A)
        .since("≤1.2.8"),
    keyword("unicast_fault_no_peer", Shape::Flag, "FAULT instead of multicast when no peer is given.")
        .apply(|r, _| r.drafts.instance.unicast_fault_no_peer = true),
    keyword("check_unicast_src", Shape::Flag, "Accept adverts from peers only.")
        .default("vrrp_check_unicast_src")
        .mark(Mark::B)
        .apply(|r, g| {
            r.drafts.instance.check_unicast_src = true;
            unicast_word(r, g);
        }),
    keyword("old_unicast_checksum", Shape::Words, "Old version 3 unicast checksum [never].")
        .since("≤1.3.7")
        .apply(|r, g| {
            unicast_word(r, g);
            let is_never = match g.argument(0) {
                Some(word) if *word == "never" => true,
                Some(word) => {
                    let report =
                        bad_value(g.keyword, word, "is not known").help("the only option is `never`");
                    r.push(report.stock("ignores the word"));
                    false
                }
                None => false,
            };
            r.drafts.instance.old_unicast_checksum =
                if is_never { UnicastChecksum::Never } else { UnicastChecksum::Old };
        }),
    keyword("mcast_src_ip", Shape::Address, "Source address of adverts.")
        .default("the first address of the interface")
        .mark(Mark::B)
        .since("≤0.6.1")
        .apply(source),
    keyword("unicast_src_ip", Shape::Address, "Source address of unicast adverts.")
        .default("the first address of the interface")
        .mark(Mark::A)
        .since("≤1.2.10")
        .apply(|r, g| {
            unicast_word(r, g);
            source(r, g);
        }),
    keyword("mcast_dst_ip", Shape::Address, "Group of the adverts.")
        .default("vrrp_mcast_group4 or vrrp_mcast_group6")
        .apply(destination),
    keyword("track_src_ip", Shape::Flag, "FAULT while the configured source address is missing.")
        .apply(|r, _| r.drafts.instance.track_src_ip = true),
    keyword("unicast_ttl", strict(0, 255), "TTL of unicast adverts.")
        .default("255 for IPv4")
        .apply(|r, g| r.drafts.instance.unicast_ttl = Some((g.u8(), g.head()))),
    keyword("v3_checksum_as_v2", Shape::Bool, "Version 3 IPv4 checksum without pseudo header.")
        .since(">2.2.7")
        .apply(|r, g| r.drafts.instance.v3_checksum_as_v2 = Some(g.bool())),
    keyword("kernel_rx_buf_size", strict(0, 4_294_967_295), "Receive buffer of the socket, bytes.")
        .missing(Missing::Warns)
        .one_word()
        .apply(|r, g| r.drafts.instance.kernel_rx_buf_size = Some(g.u32())),
];

const ADDRESSES: &[Keyword] = &[
    keyword(
        "virtual_ipaddress",
        Shape::List(&VIPS),
        "Addresses that follow the MASTER; the first fixes the family.",
    )
    .mark(Mark::A)
    .since("≤0.5.9"),
    keyword(
        "virtual_ipaddress_excluded",
        Shape::List(&EXCLUDED),
        "The same, but not in the adverts; both families.",
    )
    .mark(Mark::A)
    .since("≤0.5.9"),
    keyword("no_virtual_ipaddress", Shape::Flag, "It is meant to have no address.")
        .since(">2.2.7")
        .apply(|r, g| r.drafts.instance.no_virtual_ipaddress = Some(g.head())),
    keyword("promote_secondaries", Shape::Flag, "Set the sysctl of that name on the interface.")
        .since("≤1.2.20")
        .apply(|r, g| r.drafts.instance.promote_secondaries = Some(g.head())),
    keyword("virtual_routes", Shape::List(&super::route::VIRTUAL), "Routes that follow the MASTER.")
        .mark(Mark::B)
        .since("≤1.0.2"),
    keyword("virtual_rules", Shape::List(&super::rule::VIRTUAL), "Rules that follow the MASTER.")
        .since("≤1.2.20"),
];

const TIMING: &[Keyword] = &[
    keyword("advert_int", micros(10_000, 255_000_000), "Seconds between adverts; whole ones in version 2.")
        .default("1 s")
        .mark(Mark::A)
        .since("≤0.7.1")
        .apply(|r, g| r.drafts.instance.advert_int = Some((g.time(), g.value_span()))),
    keyword("preempt", Shape::Flag, "Take over from a lower priority; the default.")
        .mark(Mark::X)
        .since("≤1.1.8")
        .apply(|r, _| r.drafts.instance.nopreempt = None),
    keyword("nopreempt", Shape::Flag, "Do not take over from a MASTER of lower priority.")
        .mark(Mark::A)
        .since("≤1.1.8")
        .apply(|r, g| r.drafts.instance.nopreempt = Some(g.head())),
    keyword("preempt_delay", micros(0, 1_000_000_000), "Seconds before taking over.")
        .default("0")
        .mark(Mark::A)
        .since("≤1.1.8")
        .apply(|r, g| r.drafts.instance.preempt_delay = Some((g.time(), g.head()))),
    keyword(
        "garp_master_delay",
        lenient(0, 4294),
        "Seconds until the second burst of gratuitous ARP; 0 is none.",
    )
    .default("vrrp_garp_master_delay (5)")
    .mark(Mark::A)
    .since("≤0.7.1")
    .apply(|r, g| r.drafts.instance.garp_master_delay = Some(Duration::from_secs(g.u32().into()))),
    keyword(
        "garp_master_refresh",
        lenient(0, 4_294_967_295),
        "Seconds between refreshes as MASTER; 0 is off.",
    )
    .default("vrrp_garp_master_refresh (0)")
    .mark(Mark::A)
    .since("≤1.2.10")
    .invalid_sets(0)
    .apply(|r, g| r.drafts.instance.garp_master_refresh = Some(Duration::from_secs(g.u32().into()))),
    keyword("garp_master_repeat", lenient(0, 4_294_967_295), "Gratuitous ARPs per burst.")
        .default("vrrp_garp_master_repeat (5)")
        .mark(Mark::A)
        .since("≤1.2.14")
        .apply(|r, g| {
            let repeat = global_values::at_least_one_u32(r, g);
            r.drafts.instance.garp_master_repeat = Some(repeat);
        }),
    keyword("garp_master_refresh_repeat", lenient(0, 4_294_967_295), "Gratuitous ARPs per refresh.")
        .default("vrrp_garp_master_refresh_repeat (1)")
        .mark(Mark::B)
        .since("≤1.2.14")
        .apply(|r, g| {
            let repeat = global_values::at_least_one_u32(r, g);
            r.drafts.instance.garp_master_refresh_repeat = Some(repeat);
        }),
    keyword(
        "garp_lower_prio_delay",
        lenient(0, 4294),
        "Seconds until the second burst after a lower-priority advert.",
    )
    .default("vrrp_garp_lower_prio_delay")
    .mark(Mark::B)
    .apply(|r, g| {
        r.drafts.instance.garp_lower_prio_delay = Some((Duration::from_secs(g.u32().into()), g.head()));
    }),
    keyword(
        "garp_lower_prio_repeat",
        lenient(0, 2_147_483_647),
        "Gratuitous ARPs after a lower-priority advert.",
    )
    .default("vrrp_garp_lower_prio_repeat")
    .mark(Mark::B)
    .since("≤2.0.7")
    .apply(|r, g| r.drafts.instance.garp_lower_prio_repeat = Some((g.u32(), g.head()))),
    keyword("garp_extra_if", Shape::Words, "Gratuitous ARP on other interfaces of VIPs: [all] SECONDS.")
        .apply(extra_garp),
    keyword("vmac_garp_intvl", Shape::Words, "Old spelling of garp_extra_if.")
        .deprecated_for("garp_extra_if")
        .apply(extra_garp),
    keyword("down_timer_adverts", lenient(1, 100), "Missed adverts until MASTER.")
        .default("vrrp_down_timer_adverts (3)")
        .apply(|r, g| r.drafts.instance.down_timer_adverts = Some((g.u8(), g.head()))),
    keyword(
        "timer_expired_backup",
        Shape::Words,
        "With nopreempt: drop to BACKUP after being held up [1..254].",
    )
    .since(">2.2.7")
    .apply(timer_expired_backup),
    keyword("thread_timer_expired", Shape::Words, "Other name of timer_expired_backup.")
        .since(">2.2.7")
        .deprecated_for("timer_expired_backup")
        .apply(timer_expired_backup),
    keyword("lower_prio_no_advert", Shape::Bool, "Do not answer a lower-priority advert with one.")
        .default("vrrp_lower_prio_no_advert")
        .mark(Mark::B)
        .apply(|r, g| r.drafts.instance.lower_prio_no_advert = Some((g.bool(), g.head()))),
    keyword("higher_prio_send_advert", Shape::Bool, "As MASTER send one advert before yielding.")
        .default("vrrp_higher_prio_send_advert")
        .since("≤1.3.5")
        .apply(|r, g| r.drafts.instance.higher_prio_send_advert = Some((g.bool(), g.head()))),
    keyword("owner_ignore_adverts", Shape::Bool, "An address owner ignores adverts.")
        .default("vrrp_owner_ignore_adverts")
        .since(">2.2.7")
        .apply(|r, g| r.drafts.instance.owner_ignore_adverts = Some((g.bool(), g.head()))),
];

const TRACKING: &[Keyword] = &[
    keyword("dont_track_primary", Shape::Flag, "Ignore faults of the own interface.")
        .mark(Mark::B)
        .since("≤1.1.8")
        .apply(|r, _| r.drafts.instance.dont_track_primary = true),
    keyword(
        "track_interface",
        Shape::List(&tracking::INSTANCE_INTERFACES),
        "More interfaces: IFNAME [weight N [reverse]].",
    )
    .mark(Mark::A)
    .since("≤1.0.2"),
    keyword(
        "track_script",
        Shape::List(&tracking::INSTANCE_SCRIPTS),
        "Scripts: NAME [weight N [reverse|noreverse]].",
    )
    .mark(Mark::A)
    .since("≤2.0.11"),
    keyword(
        "track_file",
        Shape::List(&tracking::INSTANCE_FILES),
        "Files: NAME [weight N [reverse|noreverse]].",
    )
    .mark(Mark::B)
    .since("≤2.0.8"),
    keyword(
        "track_process",
        Shape::List(&tracking::INSTANCE_PROCESSES),
        "Processes: NAME [weight N [reverse|noreverse]].",
    )
    .mark(Mark::B)
    .since("≤2.0.11"),
    keyword(
        "track_bfd",
        Shape::List(&tracking::INSTANCE_BFDS),
        "BFD sessions: NAME [weight N [reverse|noreverse]].",
    )
    .since("≤2.0.8"),
    keyword("linkbeat_use_polling", Shape::Flag, "Poll the own interface for its link state.")
        .mark(Mark::X)
        .since("≤1.1.18")
        .apply(|r, g| {
            r.drafts.instance.linkbeat = true;
            r.push(
                Diagnostic::warning(
                    "deprecated-keyword",
                    g.head(),
                    "`linkbeat_use_polling` in an instance is deprecated",
                )
                .help("list the interface in `linkbeat_interfaces`")
                .stock("accepts it, but `-t` counts it as an error"),
            );
        }),
];

const NOTIFY: &[Keyword] = &[
    notify("notify_backup", "Run on BACKUP: SCRIPT [USER [:][GROUP]].")
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.instance.notify.backup)),
    notify("notify_master", "Run on MASTER.")
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.instance.notify.master)),
    notify("notify_fault", "Run on FAULT.")
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.instance.notify.fault)),
    notify("notify_stop", "Run when VRRP stops.")
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.instance.notify.stop)),
    notify("notify_deleted", "Run, with DELETED, when the instance vanishes at a reload.")
        .mark(Mark::C)
        .missing(Missing::Fine)
        .apply(|r, g| {
            r.drafts.instance.notify_deleted = true;
            if g.argument(0).is_some() {
                scripts::set_once(r, g, |r| &mut r.drafts.instance.notify.deleted);
            }
        }),
    notify("notify", "Run on every change, with INSTANCE, name, state and priority added.")
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.instance.notify.generic)),
    notify("notify_master_rx_lower_pri", "Run when a MASTER sees a lower priority.")
        .mark(Mark::C)
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.instance.notify.master_rx_lower_pri)),
    keyword("smtp_alert", Shape::Bool, "Mail on every change.")
        .default("smtp_alert_vrrp, smtp_alert, off")
        .mark(Mark::A)
        .since("≤1.0.2")
        .apply(|r, g| r.drafts.instance.smtp_alert = Some(g.bool())),
    keyword("notify_priority_changes", Shape::Bool, "Priority changes to the FIFOs.")
        .default("vrrp_notify_priority_changes")
        .apply(|r, g| r.drafts.instance.notify_priority_changes = Some(g.bool())),
    keyword("lvs_sync_daemon_interface", Shape::Word, "Old form of the global lvs_sync_daemon.")
        .deprecated_for("lvs_sync_daemon")
        .apply(|r, g| r.drafts.instance.lvs_sync_interface = g.argument(0)),
];

static UNICAST_PEER: List = List {
    open: |reader, given| {
        unicast_word(reader, given);
        super::open_list(reader, given)
    },
    ..list(peer)
};

static VIPS: List =
    list(|reader: &mut Reader<'_>, words: Item<'_>| virtual_address(reader, words, Advertised::Yes));
static EXCLUDED: List =
    list(|reader: &mut Reader<'_>, words: Item<'_>| virtual_address(reader, words, Advertised::No));

/// `all` is not taken from the global word.
fn extra_garp<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let (all, interval) = global_values::garp_extra(reader, given, 0);
    if let Some(interval) = interval {
        reader.drafts.instance.garp_extra = Some(GarpExtra { interval, all });
    }
}

/// Where a VMAC or an ipvlan was asked for.
fn link_span(draft: &Draft<'_>) -> Option<Span> {
    let vmac = draft.use_vmac.as_ref().map(|vmac| vmac.span);
    vmac.or(draft.use_ipvlan.as_ref().map(|ipvlan| ipvlan.span))
}

fn open<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    let [name] = given.arguments() else {
        reader.one_name(given);
        return Opened::Skip;
    };
    let first = reader
        .drafts
        .instances
        .iter()
        .find_map(|other| other.name.filter(|first| first.as_str() == name.as_str()));
    if let Some(first) = first.map(Word::span) {
        reader.repeated_block(given, name, first);
        return Opened::Skip;
    }
    reader.drafts.instance = Draft { name: Some(name), ..Draft::default() };
    Opened::Enter
}

/// The checks at the end brace (spec/vrrp-config.md §4).
fn close(reader: &mut Reader<'_>) {
    let mut draft = std::mem::take(&mut reader.drafts.instance);
    let base = draft.interface.is_some() && draft.vmac_xmit_base.is_some();
    if let (Some(unicast), Some(vmac)) = (draft.unicast, link_span(&draft).filter(|_| !base)) {
        let report = Diagnostic::warning("contradiction", vmac, "a VMAC together with unicast")
            .related(unicast, "unicast");
        reader.push(if draft.interface.is_none() {
            (draft.use_vmac, draft.use_ipvlan) = (None, None);
            report.help("name the interface").stock("runs without VMAC")
        } else {
            draft.vmac_xmit_base = Some(vmac);
            report.help("add `vmac_xmit_base`").stock("sends on the base interface")
        });
    }
    if let Some((_, span)) = draft.unicast_ttl
        && draft.peers.is_empty()
    {
        reader.push(
            Diagnostic::warning("without-peers", span, "`unicast_ttl` without unicast peers")
                .help("add `unicast_peer { … }`, or remove the line")
                .stock("ignores the line"),
        );
        draft.unicast_ttl = None;
    }
    if draft.use_vmac.is_none()
        && draft.use_ipvlan.is_none()
        && let Some(span) = draft.vmac_xmit_base.take()
    {
        reader.push(
            Diagnostic::warning("contradiction", span, "`vmac_xmit_base` without `use_vmac`")
                .stock("ignores the line"),
        );
    }
    reader.drafts.instances.push(draft);
}
