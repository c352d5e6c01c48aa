//! What a sync group makes of its members' changes (spec/vrrp-behaviour.md §5).
//!
//! Order, always: the member that triggers acts and logs first, then the group's line, then the other members in the
//! order of the group, then the group's notification. A group notifies only when its state changes.

use serde::{Deserialize, Serialize};

use super::event::{Action, Actions, Detail};
use super::notify;
use super::router::Router;
use super::snapshot::VrrpState;
use super::transition::{Entry, Fall, MASTER_SILENT, Zero};
use crate::time::Time;

/// What a group remembers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct GroupRun {
    pub(super) state: VrrpState,
    /// Indices of the members; follows from the configuration.
    #[serde(skip)]
    pub(super) members: Vec<usize>,
}

impl Router {
    /// Carries out what faults (or their end) and waiting scripts ask of an instance, and of its group.
    pub(super) fn settle(&mut self, i: usize, now: Time, cause: &str, out: &mut Actions) {
        match self.group_of(i) {
            Some(g) => self.settle_group(g, i, now, cause, out),
            None => self.settle_alone(i, now, cause, out),
        }
        self.tell_awaits(i, now, out);
    }

    fn settle_alone(&mut self, i: usize, now: Time, cause: &str, out: &mut Actions) {
        let run = &self.runs[i];
        match run.state {
            VrrpState::Fault if run.faults.any() => {}
            _ if run.faults.any() => self.machine(i, now, out).enter_fault(Fall::Own, cause),
            VrrpState::Backup | VrrpState::Master => {}
            _ if run.is_pending() => {}
            VrrpState::Init | VrrpState::Fault => self.enter_fit(i, self.entry(i), now, cause, out),
        }
    }

    fn settle_group(&mut self, g: usize, trigger: usize, now: Time, cause: &str, out: &mut Actions) {
        let members: Vec<usize> = self.members(g).collect();
        let faulty = members.iter().copied().find(|i| self.runs[*i].faults.any());
        if let Some(faulty) = faulty {
            let first = if self.runs[trigger].faults.any() { trigger } else { faulty };
            let others: Vec<usize> = members.into_iter().filter(|i| *i != first).collect();
            let is_new = self.groups[g].state != VrrpState::Fault;
            if self.runs[first].state != VrrpState::Fault {
                self.machine(first, now, out).enter_fault(Fall::Own, cause);
            }
            if is_new {
                self.log_sync(g, VrrpState::Fault, out);
            }
            for i in others {
                if self.runs[i].state != VrrpState::Fault {
                    self.machine(i, now, out).enter_fault(Fall::Pulled, cause);
                }
            }
            self.group_enters(g, VrrpState::Fault, cause, out);
            return;
        }
        let waits = |i: &usize| matches!(self.runs[*i].state, VrrpState::Init | VrrpState::Fault);
        if members.iter().any(|i| self.runs[*i].is_pending()) || !members.iter().any(waits) {
            return;
        }
        let entries: Vec<Entry> = members.iter().map(|i| self.entry(*i)).collect();
        let was_fault = self.groups[g].state == VrrpState::Fault;
        let waiting: Vec<usize> = members.iter().copied().filter(waits).collect();
        let first = if waiting.contains(&trigger) { trigger } else { waiting[0] };
        for i in std::iter::once(first).chain(waiting.into_iter().filter(|i| *i != first)) {
            let entry = members.iter().position(|m| *m == i).map_or(Entry::Normal, |at| entries[at]);
            self.enter_fit(i, entry, now, cause, out);
            if i == first && was_fault {
                self.log_sync(g, self.runs[i].state, out);
            }
        }
        let states: Vec<VrrpState> = members.iter().map(|i| self.runs[*i].state).collect();
        if states.iter().all(|state| *state == states[0]) {
            self.group_enters(g, states[0], cause, out);
        } else {
            // A reload brought a MASTER and a newcomer together.
            self.group_to_backup(first, Zero::Unsent, now, cause, out);
        }
    }

    /// Only the first state is `(init)`, and only if no script was waited for.
    fn entry(&self, i: usize) -> Entry {
        let run = &self.runs[i];
        let has_waited = self.part.instances[i]
            .track_scripts
            .iter()
            .chain(self.group_of(i).iter().flat_map(|g| &self.part.sync_groups[*g].track_scripts))
            .any(|tracked| tracked.weight == 0);
        if run.state == VrrpState::Init && !has_waited { Entry::Init } else { Entry::Normal }
    }

    /// The master-down timer of a BACKUP ended. A member of a group must wait until all wish the same.
    pub(super) fn master_is_silent(&mut self, i: usize, now: Time, out: &mut Actions) {
        let Some(g) = self.group_of(i) else {
            self.machine(i, now, out).enter_master(MASTER_SILENT);
            return;
        };
        self.runs[i].wanted = VrrpState::Master;
        let members: Vec<usize> = self.members(g).collect();
        if !members.iter().all(|i| self.runs[*i].wanted == VrrpState::Master) {
            return;
        }
        self.machine(i, now, out).enter_master(MASTER_SILENT);
        self.log_sync(g, VrrpState::Master, out);
        for other in members {
            if other != i && self.runs[other].state != VrrpState::Master {
                self.machine(other, now, out).enter_master(MASTER_SILENT);
            }
        }
        self.group_enters(g, VrrpState::Master, MASTER_SILENT, out);
    }

    /// A member has left MASTER for BACKUP; the others follow, and come back after the same kind of timer.
    pub(super) fn group_to_backup(
        &mut self,
        i: usize,
        zero: Zero,
        now: Time,
        cause: &str,
        out: &mut Actions,
    ) {
        let Some(g) = self.group_of(i) else { return };
        self.log_sync(g, VrrpState::Backup, out);
        let members: Vec<usize> = self.members(g).collect();
        for other in members {
            if self.runs[other].state == VrrpState::Master {
                let skew = self.runs[other].skew(&self.part.instances[other]);
                let timer = (zero == Zero::Sent).then_some(skew);
                self.machine(other, now, out).enter_backup(Entry::Normal, zero, timer, cause);
            }
            self.runs[other].wanted = self.runs[other].state;
        }
        self.group_enters(g, VrrpState::Backup, cause, out);
    }

    /// A member has answered a lower priority; the others announce their addresses, too.
    pub(super) fn group_announces(&mut self, i: usize, now: Time, out: &mut Actions) {
        let Some(g) = self.group_of(i) else { return };
        let members: Vec<usize> = self.members(g).collect();
        for other in members {
            if other != i && self.runs[other].state == VrrpState::Master {
                self.machine(other, now, out).announce_lower_priority();
            }
        }
    }

    pub(super) fn group_enters(&mut self, g: usize, state: VrrpState, cause: &str, out: &mut Actions) {
        if std::mem::replace(&mut self.groups[g].state, state) == state {
            return;
        }
        if let Some(word) = notify::word(state) {
            notify::group(&self.part.sync_groups[g], word, cause, out);
        }
    }

    fn log_sync(&self, g: usize, state: VrrpState, out: &mut Actions) {
        let name = &self.part.sync_groups[g].name;
        let text = format!("VRRP_Group({name}) Syncing instances to {} state", state.name());
        out.push(Action::Log { detail: Detail::Normal, text });
    }
}
