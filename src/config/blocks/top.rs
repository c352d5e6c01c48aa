//! The top level: the blocks, and the words outside any block (spec/vrrp-config.md §1, spec/global-defs.md).

use super::{
    bfd_instance, global, route, rule, statics, virtual_server, virtual_server_group, vrrp_instance,
    vrrp_script, vrrp_sync_group, watched,
};
use crate::config::schema::{Keyword, Mark, Missing, Readers, Shape, Table, keyword};

/// The top level.
pub static TOP: Table = Table::new("the top level", &[BLOCKS, global::TOP_LEVEL]);

const VRRP: Readers = Readers::VRRP;
const CHECKER: Readers = Readers::CHECKER;

const BLOCKS: &[Keyword] = &[
    keyword("global_defs", Shape::Block(&global::BLOCK), "Values that hold for every process.")
        .mark(Mark::A)
        .readers(Readers::PARENT),
    keyword("vrrp_instance", Shape::Block(&vrrp_instance::BLOCK), "One virtual router on this host.")
        .mark(Mark::A)
        .since("≤1.0.0")
        .readers(VRRP),
    keyword(
        "vrrp_sync_group",
        Shape::Block(&vrrp_sync_group::BLOCK),
        "Instances that change state together.",
    )
    .mark(Mark::A)
    .since("≤0.6.1")
    .readers(VRRP),
    keyword("vrrp_script", Shape::Block(&vrrp_script::BLOCK), "A command whose result instances track.")
        .mark(Mark::A)
        .since("≤1.1.13")
        .missing(Missing::Stops)
        .readers(VRRP),
    keyword(
        "virtual_server_group",
        Shape::List(&virtual_server_group::GROUP),
        "Addresses, ranges and marks that are served alike.",
    )
    .mark(Mark::B)
    .missing(Missing::Stops)
    .readers(CHECKER),
    keyword(
        "virtual_server",
        Shape::Block(&virtual_server::BLOCK),
        "A balanced service: ADDR PORT, fwmark N or group NAME.",
    )
    .mark(Mark::A)
    .missing(Missing::Stops)
    .readers(CHECKER),
    keyword("SSL", Shape::Block(&statics::SSL), "Client certificate of SSL checks.").readers(CHECKER),
    keyword("track_file", Shape::Block(&watched::FILE), "A file with a number that instances track.")
        .mark(Mark::B)
        .since("≤2.0.8")
        .missing(Missing::Stops)
        .readers(VRRP.and(CHECKER)),
    keyword("vrrp_track_file", Shape::Block(&watched::FILE), "Old spelling of track_file.")
        .missing(Missing::Stops)
        .readers(VRRP.and(CHECKER))
        .old_for("track_file"),
    keyword("vrrp_track_process", Shape::Block(&watched::PROCESS), "Processes that instances track.")
        .missing(Missing::Stops)
        .readers(VRRP),
    keyword("bfd_instance", Shape::Block(&bfd_instance::BLOCK), "A BFD session.")
        .missing(Missing::Stops)
        .readers(VRRP.and(CHECKER).and(Readers::BFD)),
    keyword("track_group", Shape::Block(&statics::TRACK_GROUP), "Instances that depend on static items.")
        .readers(VRRP),
    keyword("garp_group", Shape::Block(&statics::GARP_GROUP), "Interfaces that share a gratuitous ARP pace.")
        .readers(VRRP),
    keyword(
        "static_ipaddress",
        Shape::List(&statics::ADDRESSES),
        "Addresses that are set at start and kept.",
    )
    .mark(Mark::B)
    .since("≤1.1.0")
    .readers(VRRP),
    keyword("static_routes", Shape::List(&route::STATIC), "Routes that are set at start and kept.")
        .mark(Mark::B)
        .since("≤1.0.2")
        .readers(VRRP),
    keyword("static_rules", Shape::List(&rule::STATIC), "Rules that are set at start and kept.")
        .since("≤1.2.20")
        .readers(VRRP),
    keyword(
        "linkbeat_interfaces",
        Shape::List(&statics::LINKBEAT),
        "Interfaces whose link is polled [MII|ETHTOOL|IOCTL].",
    )
    .since("≤2.0.13")
    .readers(VRRP),
    keyword(
        "interface_up_down_delays",
        Shape::List(&statics::DELAYS),
        "IFNAME DOWN [UP]: debounce times, seconds.",
    )
    .readers(VRRP),
];

/// The block that knows a word, for people; `None` when none does or several.
pub fn home_of(word: &str) -> Option<String> {
    let mut homes = Vec::new();
    gather(&TOP, word, &mut homes, 0);
    homes.dedup();
    match homes[..] {
        [home] => Some(format!("`{home}`")),
        _ => None,
    }
}

fn gather(table: &'static Table, word: &str, homes: &mut Vec<&'static str>, depth: usize) {
    if table.find(word).is_some() && !homes.contains(&table.name) {
        homes.push(table.name);
    }
    if depth > 4 {
        return;
    }
    for keyword in table.keywords() {
        if let Shape::Block(block) = keyword.shape {
            gather(block.table, word, homes, depth + 1);
        }
    }
}
