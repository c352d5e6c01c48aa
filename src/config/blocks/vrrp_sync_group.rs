//! `vrrp_sync_group NAME { … }` (spec/vrrp-config.md §2.2).

use super::scripts::{self, ScriptDraft};
use super::tracking::{self, Trackers};
use super::{list, quoted};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::schema::{Block, Given, Item, Keyword, List, Mark, Opened, Repeat, Shape, Table, keyword};
use crate::config::source::Span;
use crate::config::syntax::Word;

/// A block as read.
#[derive(Debug, Clone, Default)]
pub struct Draft<'a> {
    /// Its name.
    pub name: Option<&'a Word>,
    /// `group`.
    pub members: Vec<&'a Word>,
    /// The `group` line.
    pub group: Option<Span>,
    /// `track_*`.
    pub trackers: Trackers<'a>,
    /// `notify*`.
    pub notify: Notify,
    /// `smtp_alert`.
    pub smtp_alert: Option<bool>,
    /// `notify_priority_changes`.
    pub notify_priority_changes: Option<bool>,
    /// `sync_group_tracking_weight`.
    pub tracking_weight: bool,
}

/// The scripts on state changes, of a group or an instance.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the keyword of its name behind `notify_`")]
pub struct Notify {
    pub backup: Option<Box<ScriptDraft>>,
    pub master: Option<Box<ScriptDraft>>,
    pub fault: Option<Box<ScriptDraft>>,
    pub stop: Option<Box<ScriptDraft>>,
    pub deleted: Option<Box<ScriptDraft>>,
    /// `notify` itself.
    pub generic: Option<Box<ScriptDraft>>,
    pub master_rx_lower_pri: Option<Box<ScriptDraft>>,
}

impl Notify {
    /// All that are set.
    pub fn scripts(&self) -> impl Iterator<Item = &ScriptDraft> {
        [
            &self.backup,
            &self.master,
            &self.fault,
            &self.stop,
            &self.deleted,
            &self.generic,
            &self.master_rx_lower_pri,
        ]
        .into_iter()
        .filter_map(|script| script.as_deref())
    }
}

/// The block.
pub static BLOCK: Block = Block { table: &TABLE, open, close };

static TABLE: Table = Table::new("vrrp_sync_group", &[KEYWORDS]);

const KEYWORDS: &[Keyword] = &[
    keyword("group", Shape::List(&MEMBERS), "Names of the member instances.").mark(Mark::A).since("≤0.5.5"),
    keyword(
        "track_interface",
        Shape::List(&tracking::GROUP_INTERFACES),
        "Interfaces that all members track.",
    )
    .mark(Mark::B)
    .since("≤1.0.2"),
    keyword("track_script", Shape::List(&tracking::GROUP_SCRIPTS), "Scripts that all members track.")
        .mark(Mark::B)
        .since("≤2.0.11"),
    keyword("track_file", Shape::List(&tracking::GROUP_FILES), "Files that all members track.")
        .since("≤2.0.8"),
    keyword("track_process", Shape::List(&tracking::GROUP_PROCESSES), "Processes that all members track.")
        .since("≤2.0.11"),
    keyword("track_bfd", Shape::List(&tracking::GROUP_BFDS), "BFD sessions that all members track.")
        .since("≤2.0.8"),
    notify("notify_backup", "Run when the group becomes BACKUP.")
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.sync_group.notify.backup)),
    notify("notify_master", "Run when the group becomes MASTER.")
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.sync_group.notify.master)),
    notify("notify_fault", "Run when the group goes to FAULT.")
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.sync_group.notify.fault)),
    notify("notify_stop", "Run when VRRP stops.")
        .mark(Mark::B)
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.sync_group.notify.stop)),
    notify("notify", "Run on every change, with GROUP, name, state and priority added.")
        .apply(|r, g| scripts::set_once(r, g, |r| &mut r.drafts.sync_group.notify.generic)),
    keyword("smtp_alert", Shape::Bool, "Mail on every change.")
        .default("smtp_alert_vrrp, smtp_alert, off")
        .mark(Mark::A)
        .since("≤1.0.2")
        .apply(|r, g| r.drafts.sync_group.smtp_alert = Some(g.bool())),
    keyword("global_tracking", Shape::Flag, "Old spelling of sync_group_tracking_weight.")
        .since("≤1.2.3")
        .deprecated_for("sync_group_tracking_weight")
        .apply(|r, _| r.drafts.sync_group.tracking_weight = true),
    keyword("sync_group_tracking_weight", Shape::Flag, "Members may track with weights.")
        .default("off")
        .since("≤2.0.0")
        .apply(|r, _| r.drafts.sync_group.tracking_weight = true),
    keyword("notify_priority_changes", Shape::Bool, "Priority changes of the members to the FIFOs.")
        .apply(|r, g| r.drafts.sync_group.notify_priority_changes = Some(g.bool())),
];

/// A notify keyword: the first script stays.
pub const fn notify(name: &'static str, help: &'static str) -> Keyword {
    keyword(name, Shape::Script, help).mark(Mark::A).since("≤2.0.6").repeat(Repeat::FirstWins)
}

static MEMBERS: List = List {
    open: |reader, given| {
        if let Some(first) = reader.drafts.sync_group.group {
            reader.push(
                Diagnostic::error("repeated-block", given.head(), "a second `group` in one vrrp_sync_group")
                    .related(first, "the first")
                    .help("put all names into one `group { … }`")
                    .stock("loses the whole sync group; the rest of its block is read at the top level"),
            );
            return Opened::SkipAndLeave;
        }
        reader.drafts.sync_group.group = Some(given.head());
        super::open_list(reader, given)
    },
    ..list(|reader: &mut Reader<'_>, words: Item<'_>| reader.drafts.sync_group.members.extend(words))
};

fn open<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> Opened {
    let existing = |name: &Word| {
        reader
            .drafts
            .sync_groups
            .iter()
            .find_map(|group| group.name.filter(|first| first.as_str() == name.as_str()))
    };
    if let [name] = given.arguments() {
        if let Some(first) = existing(name) {
            let first = first.span();
            reader.repeated_block(given, name, first);
            return Opened::Skip;
        }
        reader.drafts.sync_group = Draft { name: Some(name), ..Draft::default() };
        Opened::Enter
    } else {
        reader.one_name(given);
        Opened::Skip
    }
}

fn close(reader: &mut Reader<'_>) {
    let draft = std::mem::take(&mut reader.drafts.sync_group);
    let Some(name) = draft.name else { return };
    if draft.members.is_empty() {
        reader.push(
            Diagnostic::error(
                "empty-sync-group",
                name.span(),
                format!("vrrp_sync_group `{}` has no members", quoted(name)),
            )
            .help("add `group { NAME … }` with the names of its instances")
            .stock("removes the group"),
        );
        return;
    }
    reader.drafts.sync_groups.push(draft);
}
