//! What the kernel and the scripts report: links and addresses that come and go, refusals, results.
//!
//! Facts are noted first; then whoever depends on them is asked again. spec/vrrp-behaviour.md §6.1, §8.

use std::net::IpAddr;

use super::event::{Action, Actions, Change, Detail, Requester};
use super::facts::Facts;
use super::interface::{Interface, Link};
use super::owned::{Object, Owned, Owner, SeenRoute, SeenRule, addresses, objects};
use super::router::{Phase, Router};
use super::snapshot::VrrpState;
use super::transition::{Entry, Zero};
use crate::config::model::ScriptEnd;
use crate::time::Time;

impl Router {
    pub(super) fn interfaces(&mut self, now: Time, interfaces: Vec<Interface>, out: &mut Actions) {
        if self.phase == Phase::Stopped {
            return;
        }
        let before = std::mem::replace(&mut self.facts, Facts::new(interfaces));
        self.rebuild_receivers();
        if self.phase == Phase::Waiting {
            self.start(now, out);
            return;
        }
        for interface in before.iter() {
            let name = &interface.link.name;
            if self.facts.is_up(name) != interface.link.is_up() {
                self.log_link(name, out);
            }
        }
        self.check_links(now, out);
        self.update_listeners(out);
        for i in 0..self.runs.len() {
            self.reassess(i, now, "the interfaces were read again", out);
        }
        self.repair(now, out);
    }

    /// Puts back what a MASTER should have and a complete dump does not show.
    pub(super) fn repair(&mut self, now: Time, out: &mut Actions) {
        for i in 0..self.runs.len() {
            if self.runs[i].state != VrrpState::Master {
                continue;
            }
            let mut is_missing = false;
            for (position, address) in addresses(&self.part.instances[i]).enumerate() {
                if !self.is_present(address) {
                    self.runs[i].held.lose(position);
                    is_missing = true;
                }
            }
            // No list of routes and rules is read; to add one that is there is no error.
            let count = addresses(&self.part.instances[i]).count();
            for position in count..objects(&self.part.instances[i]).count() {
                self.runs[i].held.lose(position);
            }
            let repeat = self.part.instances[i].garp.repeat;
            let mut machine = self.machine(i, now, out);
            machine.add_objects();
            if is_missing {
                machine.announce(repeat);
            }
        }
    }

    pub(super) fn link(&mut self, now: Time, link: Link, out: &mut Actions) {
        let (index, name, is_up) = (link.index, link.name.clone(), link.is_up());
        let news = link.clone();
        let before = self.facts.link(link);
        let is_known = before.as_ref().is_some_and(|before| before.name == name);
        // For one of ours that is done when it is ready.
        if !is_known && !self.links.is_ours(&name) {
            self.rebuild_receivers();
            if self.is_started() {
                self.update_listeners(out);
            }
        }
        if !self.is_started() {
            return;
        }
        if before.as_ref().is_some_and(|before| before.is_up() != is_up) {
            self.log_link(&name, out);
        }
        if !is_known {
            if self.index.watchers.contains_key(&name) {
                let text = format!("Interface {name} added");
                out.push(Action::Log { detail: Detail::Normal, text });
            }
            if let Some(before) = before {
                self.reassess_watchers(&before.name, now, &format!("interface {} renamed", before.name), out);
            }
        }
        if !self.link_came(&news, now, out) {
            self.base_changed(&name, now, out);
        }
        let word = if is_up { "up" } else { "down" };
        self.reassess_watchers(&name, now, &format!("interface {name} (index {index}) is {word}"), out);
    }

    pub(super) fn link_deleted(&mut self, now: Time, index: u32, out: &mut Actions) {
        let Some(gone) = self.facts.delete(index) else { return };
        self.rebuild_receivers();
        if !self.is_started() {
            return;
        }
        let name = gone.link.name;
        let watchers = self.index.watchers.get(&name).cloned().unwrap_or_default();
        if !watchers.is_empty() {
            out.push(Action::Log { detail: Detail::Normal, text: format!("Interface {name} deleted") });
        }
        self.link_went(index, &name, now);
        self.reassess_watchers(&name, now, &format!("interface {name} was deleted"), out);
        // What was on it is gone, without a word for each.
        self.lose_all_on(&name);
        self.update_listeners(out);
    }

    pub(super) fn address_added(
        &mut self,
        now: Time,
        index: u32,
        address: IpAddr,
        prefix: u8,
        out: &mut Actions,
    ) {
        if !self.facts.add_address(index, address, prefix) || !self.is_started() {
            return;
        }
        if self.index.addresses.contains_key(&address) {
            return;
        }
        let name = self.interface_name(index);
        let text = format!("Assigned address {address} for interface {name}");
        out.push(Action::Log { detail: Detail::Detail, text });
        self.reassess_watchers(&name, now, &format!("address {address} was added to {name}"), out);
    }

    pub(super) fn address_deleted(
        &mut self,
        now: Time,
        (index, address, prefix): (u32, IpAddr, u8),
        by: Requester,
        out: &mut Actions,
    ) {
        if !self.facts.delete_address(index, address, prefix) || !self.is_started() {
            return;
        }
        let name = self.interface_name(index);
        if let Some(holders) = self.index.addresses.get(&address).cloned() {
            for (i, position) in holders {
                let vip = addresses(&self.part.instances[i]).nth(position);
                if vip.is_some_and(|vip| vip.interface == name && vip.prefix == prefix) {
                    self.object_lost(i, position, by, now, out);
                }
            }
            return;
        }
        if by == Requester::Other {
            self.unshare(&name, address, out);
        }
        let text = format!("Deassigned address {address} from interface {name}");
        out.push(Action::Log { detail: Detail::Detail, text });
        self.reassess_watchers(&name, now, &format!("address {address} was removed from {name}"), out);
    }

    pub(super) fn route_deleted(&mut self, now: Time, route: &SeenRoute, by: Requester, out: &mut Actions) {
        let facts = &self.facts;
        let index = |name: &str| facts.by_name(name).map(|interface| interface.link.index);
        let lost = self.index.routes.iter().filter(|(i, position)| {
            let mut all = objects(&self.part.instances[*i]).skip(*position);
            matches!(all.next(), Some(Object::Route(ours)) if route.is(ours, index))
        });
        for (i, position) in lost.copied().collect::<Vec<_>>() {
            self.object_lost(i, position, by, now, out);
        }
    }

    pub(super) fn rule_deleted(&mut self, now: Time, rule: &SeenRule, by: Requester, out: &mut Actions) {
        let lost = self.index.rules.iter().filter(|(i, position)| {
            let mut all = objects(&self.part.instances[*i]).skip(*position);
            matches!(all.next(), Some(Object::Rule(ours)) if rule.is(ours))
        });
        for (i, position) in lost.copied().collect::<Vec<_>>() {
            self.object_lost(i, position, by, now, out);
        }
    }

    fn object_lost(&mut self, i: usize, position: usize, by: Requester, now: Time, out: &mut Actions) {
        if self.runs[i].state != VrrpState::Master || !self.runs[i].held.lose(position) {
            return;
        }
        let Some(object) = objects(&self.part.instances[i]).nth(position) else { return };
        if by == Requester::Us {
            // The echo of an earlier removal, or a secondary that went with its primary: we want it.
            self.machine(i, now, out).add_objects();
            return;
        }
        if object.no_track() {
            return;
        }
        let what = match object {
            Object::Address(vip) => {
                let what = format!("IP {} removed from {}", vip.address, vip.interface);
                let text = format!("Netlink reflector reports {what}");
                out.push(Action::Log { detail: Detail::Normal, text });
                what
            }
            other => format!("{} removed", other.to_owned()),
        };
        let skew = self.runs[i].skew(&self.part.instances[i]);
        self.machine(i, now, out).enter_backup(Entry::Normal, Zero::Sent, Some(skew), &what);
        self.group_to_backup(i, Zero::Sent, now, &what, out);
    }

    pub(super) fn refused(
        &mut self,
        owner: Owner,
        object: &Owned,
        change: Change,
        errno: i32,
        note: Option<&str>,
        out: &mut Actions,
    ) {
        let Owner::Instance(instance) = owner else { return };
        let Some(config) = self.part.instances.get(instance) else { return };
        let what = match (change, object) {
            (Change::Add, Owned::Address(vip)) => format!("adding {} to {}", vip.address, vip.interface),
            (Change::Remove, Owned::Address(vip)) => {
                format!("removing {} from {}", vip.address, vip.interface)
            }
            (Change::Add, other) => format!("adding {other}"),
            (Change::Remove, other) => format!("removing {other}"),
        };
        let reason = std::io::Error::from_raw_os_error(errno);
        let note = note.map_or_else(String::new, |note| format!(": {note}"));
        let text = format!("({}) {what}: {reason}{note}", config.name);
        out.push(Action::Log { detail: Detail::Normal, text });
        if change == Change::Add
            && let Some(position) = objects(config).position(|ours| ours == object.as_object())
        {
            self.runs[instance].held.lose(position);
        }
    }

    pub(super) fn script_ended(&mut self, now: Time, id: u64, end: ScriptEnd, out: &mut Actions) {
        let Some(s) = self.scripts.iter().position(|script| script.running() == Some(id)) else { return };
        if !self.scripts[s].ended(&self.part.scripts[s], end, out) || !self.is_started() {
            return;
        }
        let cause = format!("script {}", self.part.scripts[s].name);
        for i in self.index.trackers[s].clone() {
            self.reassess(i, now, &cause, out);
        }
    }

    pub(super) fn scripts_running(&mut self, now: Time, runs: &[u64]) {
        for script in &mut self.scripts {
            script.still_running(runs, now);
        }
    }

    pub(super) fn reassess_watchers(&mut self, name: &str, now: Time, cause: &str, out: &mut Actions) {
        let Some(watchers) = self.index.watchers.get(name).cloned() else { return };
        for i in watchers {
            self.reassess(i, now, cause, out);
        }
    }

    pub(super) fn interface_name(&self, index: u32) -> String {
        self.facts.by_index(index).map_or_else(String::new, |interface| interface.link.name.clone())
    }

    pub(super) fn log_link(&self, name: &str, out: &mut Actions) {
        let word = if self.facts.is_up(name) { "up" } else { "down" };
        out.push(Action::Log { detail: Detail::Normal, text: format!("Netlink reports {name} {word}") });
    }
}
