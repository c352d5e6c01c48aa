//! What the kernel and the scripts report: links and addresses that come and go, refusals, results.
//!
//! Facts are noted first; then whoever depends on them is asked again. spec/vrrp-behaviour.md §6.1, §8.

use std::net::IpAddr;

use super::event::{Action, Actions, Detail, Requester};
use super::facts::Facts;
use super::interface::{Interface, Link};
use super::owned::{addresses, objects};
use super::router::{Phase, Router};
use super::snapshot::VrrpState;
use crate::config::model::ScriptEnd;
use crate::time::Time;

impl Router {
    pub(super) fn interfaces(&mut self, now: Time, mut interfaces: Vec<Interface>, out: &mut Actions) {
        if self.phase == Phase::Stopped {
            return;
        }
        for interface in &mut interfaces {
            interface.link = self.as_polled(std::mem::take(&mut interface.link));
        }
        let before = std::mem::replace(&mut self.facts, Facts::new(interfaces));
        self.facts.debounce = before.debounce.clone();
        self.rebuild_receivers();
        if self.phase == Phase::Waiting {
            self.start(now, out);
            return;
        }
        for interface in before.iter() {
            let name = &interface.link.name;
            if self.facts.is_up(name) != before.is_up(name) {
                self.log_link(name, out);
            }
        }
        if std::mem::take(&mut self.is_heir) {
            self.remove_unknown_leftovers(out);
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
            machine.add_missing();
            if is_missing {
                machine.announce(repeat);
            }
        }
        self.statics.forget();
        self.add_statics(out);
    }

    pub(super) fn link(&mut self, now: Time, link: Link, out: &mut Actions) {
        let link = self.as_polled(link);
        let (index, name, is_up) = (link.index, link.name.clone(), link.is_up());
        let news = link.clone();
        let before = self.facts.link(link);
        let before_is_up = before.as_ref().is_some_and(Link::is_up);
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
        if let Some(before) = before.as_ref().filter(|_| is_known) {
            if self.holds_back(before, &news, now, out) {
                // What the kernel dropped with the link is put back all the same.
                if is_up && !before_is_up {
                    self.came_up(&name, now, out);
                }
                return;
            }
            if before_is_up != is_up {
                self.log_link(&name, out);
            }
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
        if is_up && !(is_known && before_is_up) {
            self.came_up(&name, now, out);
        }
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
        if self.index.addresses.has(&address) {
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
        by: &Requester,
        out: &mut Actions,
    ) {
        if !self.facts.delete_address(index, address, prefix) || !self.is_started() {
            return;
        }
        let name = self.interface_name(index);
        for (_, position) in self.index.static_addresses.of(&address).to_vec() {
            let ours = self.part.statics.addresses.get(position);
            if ours.is_some_and(|ours| ours.interface == name && ours.prefix == prefix) {
                self.static_lost(position, by, now, out);
            }
        }
        let holders = self.index.addresses.of(&address).to_vec();
        if !holders.is_empty() {
            for (_, (i, position)) in holders {
                let vip = addresses(&self.part.instances[i]).nth(position);
                if vip.is_some_and(|vip| vip.interface == name && vip.prefix == prefix) {
                    self.object_lost(i, position, by, now, out);
                }
            }
            return;
        }
        if *by != Requester::Us {
            self.unshare(&name, address, out);
        }
        let text = format!("Deassigned address {address} from interface {name}");
        out.push(Action::Log { detail: Detail::Detail, text });
        self.reassess_watchers(&name, now, &format!("address {address} was removed from {name}"), out);
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
