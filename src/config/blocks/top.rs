//! The top level: the blocks, and the words outside any block (spec/vrrp-config.md §1, spec/global-defs.md).

use super::{global, vrrp_instance, vrrp_script, vrrp_sync_group};
use crate::config::schema::{Keyword, Mark, Missing, Readers, Shape, Table, keyword};

/// The top level.
pub static TOP: Table = Table::new("the top level", &[BLOCKS, global::TOP_LEVEL]);

const VRRP: Readers = Readers::VRRP;

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
