//! `interface_up_down_delays`: an interface that goes down or comes up counts as before until its delay is over, and if it
//! changes back meanwhile nothing has happened. spec/vrrp-behaviour.md §6.1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{Action, Actions, Detail};
use super::interface::Link;
use super::router::Router;
use crate::time::Time;

/// Interfaces whose change does not count yet, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Debounce(BTreeMap<String, Held>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    /// What counts until then.
    is_up: bool,
    until: Time,
}

impl Debounce {
    /// What counts for this interface, if it is not what the kernel says.
    pub(super) fn held(&self, name: &str) -> Option<bool> {
        self.0.get(name).map(|held| held.is_up)
    }

    /// When the first delay is over.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.0.values().map(|held| held.until).min()
    }
}

impl Router {
    /// The kernel reports another state of a link. True if that does not count (yet).
    pub(super) fn holds_back(&mut self, before: &Link, after: &Link, now: Time, out: &mut Actions) -> bool {
        let name = &after.name;
        if before.is_up() == after.is_up() {
            return self.facts.debounce.held(name).is_some();
        }
        if self.facts.debounce.0.remove(name).is_some() {
            // Back to what counted all the time.
            return true;
        }
        let Some(delays) = self.part.interface_delays.iter().find(|delays| delays.interface == *name) else {
            return false;
        };
        let delay = if after.is_up() { delays.up } else { delays.down };
        if delay.is_zero() {
            return false;
        }
        let held = Held { is_up: before.is_up(), until: now + delay };
        self.facts.debounce.0.insert(name.clone(), held);
        let (from, to, micros) = (before.flags, after.flags, delay.as_micros());
        let text = format!("{name}: Adding flags change from {from:#x} to {to:#x} delay by {micros}");
        out.push(Action::Log { detail: Detail::Normal, text });
        true
    }

    /// Changes whose delay is over count now.
    pub(super) fn delays_due(&mut self, now: Time, out: &mut Actions) {
        while let Some(name) = self.facts.debounce.0.iter().find(|(_, held)| held.until <= now) {
            let name = name.0.clone();
            self.facts.debounce.0.remove(&name);
            self.log_link(&name, out);
            let word = if self.facts.is_up(&name) { "up" } else { "down" };
            self.reassess_watchers(&name, now, &format!("interface {name} is {word}"), out);
        }
    }
}
