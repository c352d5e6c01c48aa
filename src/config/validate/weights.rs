//! What one instance tracks itself, and which weights count (spec/vrrp-config.md §4 rows 33 and 36).

use super::instance::Builder;
use super::tracked;
use super::vrrp::{tracked_interface, tracked_script};
use crate::config::model::{TrackedInterface, TrackedScript};

impl Builder<'_, '_> {
    /// Row 33.
    pub(super) fn track_interfaces(&mut self) -> Vec<TrackedInterface> {
        let own = self.draft.interface;
        let mut list = Vec::new();
        for tracked in &self.draft.trackers.interfaces {
            if own.is_some_and(|own| own.as_str() == tracked.name.as_str()) {
                self.warn(
                    "own-interface",
                    Some(tracked.name.span()),
                    "its own interface is tracked anyway",
                    "remove the line",
                    "ignores the line",
                );
                continue;
            }
            list.push(tracked_interface(tracked));
        }
        list
    }

    /// Row 36.
    pub(super) fn weights(
        &mut self,
        interfaces: Vec<TrackedInterface>,
        owner: bool,
    ) -> (Vec<TrackedInterface>, Vec<TrackedScript>) {
        let draft = self.draft;
        let in_group = self.group.is_some_and(|group| !group.tracking_weight);
        let mut scripts = Vec::new();
        for tracked in &draft.trackers.scripts {
            let Some(script) = tracked_script(tracked, self.scripts, self.commands) else { continue };
            if script.weight != 0 && (owner || in_group) {
                let what = if owner {
                    "an owner (255) cannot track with a weight"
                } else {
                    "a member of a sync group cannot track with a weight"
                };
                let help =
                    if owner { "remove the weight" } else { "add `sync_group_tracking_weight` to the group" };
                self.warn(
                    "weight-dropped",
                    Some(tracked.name.span()),
                    what,
                    help,
                    "does not track the script",
                );
                continue;
            }
            scripts.push(script);
        }
        let mut kept = Vec::new();
        for mut tracked in interfaces {
            if tracked.weight != 0 && (owner || in_group) {
                let span =
                    draft.trackers.interfaces.iter().find(|entry| entry.name.as_str() == tracked.interface);
                let span = span.map(|entry| entry.name.span());
                if owner {
                    let what = "an owner (255) cannot track with a weight";
                    self.warn(
                        "weight-dropped",
                        span,
                        what,
                        "remove the weight",
                        "does not track the interface",
                    );
                    continue;
                }
                let what = "a member of a sync group cannot track with a weight";
                let help = "add `sync_group_tracking_weight` to the group";
                self.warn("weight-dropped", span, what, help, "uses weight 0: FAULT when it is down");
                tracked.weight = 0;
            }
            kept.push(tracked);
        }
        (kept, scripts)
    }

    /// Row 36 for files, processes and BFD sessions.
    pub(super) fn other_weights(&mut self, owner: bool) -> tracked::Others {
        let trackers = &self.draft.trackers;
        let is_fixed = owner || self.group.is_some_and(|group| !group.tracking_weight);
        let mut others = tracked::Others::default();
        for entry in &trackers.bfds {
            let Some(bfd) = tracked::bfd(&self.reader.drafts, entry) else { continue };
            if is_fixed && bfd.weight != 0 {
                let what = "cannot track a BFD session with a weight";
                self.warn("weight-dropped", Some(entry.name.span()), what, "", "does not track it");
                continue;
            }
            others.bfds.push(bfd);
        }
        for entry in &trackers.files {
            let Some(mut file) = tracked::file(&self.reader.drafts, entry) else { continue };
            if is_fixed && file.weight != 0 {
                let help = "add `sync_group_tracking_weight` to the group, or set the weight to 0";
                let what = "cannot track a file with a weight";
                let stock = if file.weight == 1 { "uses weight 0" } else { "does not track it" };
                self.warn("weight-dropped", Some(entry.name.span()), what, help, stock);
                if file.weight != 1 {
                    continue;
                }
                file.weight = 0;
            }
            others.files.push(file);
        }
        // Stock: weighted processes are left alone.
        let drafts = &self.reader.drafts;
        others.processes = trackers.processes.iter().filter_map(|t| tracked::process(drafts, t)).collect();
        others
    }
}
