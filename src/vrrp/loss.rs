//! What owners own and lose: to other programs, to interfaces that went down, to the kernel's refusal; and static
//! objects, whose owner is the daemon itself. spec/vrrp-behaviour.md §8.
//!
//! Stock: a MASTER that loses one object steps down, removes everything and comes back. Here only what is missing is
//! put back, unless the configuration asks for stock's way (`vip_repair stock`).

use super::event::{Action, Actions, Change, Detail, Requester};
use super::holdings::{Answer, Holdings};
use super::owned::{Object, Owned, Owner, SeenRoute, SeenRule, objects, static_objects};
use super::router::Router;
use super::snapshot::VrrpState;
use super::transition::{Entry, Zero};
use crate::config::model::{VipRepair, VrrpPart};
use crate::time::Time;

impl Router {
    pub(super) fn route_deleted(&mut self, now: Time, route: &SeenRoute, by: &Requester, out: &mut Actions) {
        let facts = &self.facts;
        let index = |name: &str| facts.by_name(name).map(|interface| interface.link.index);
        let lost = matching(
            &self.part,
            &self.index.routes,
            |object| matches!(object, Object::Route(ours) if route.is(ours, index)),
        );
        self.all_lost(lost, by, now, out);
    }

    /// Of ours that lay where `route` lies now none may be left. To add one that is there is no error.
    pub(super) fn route_replaced(&mut self, now: Time, route: &SeenRoute, by: &Requester, out: &mut Actions) {
        if *by == Requester::Us {
            return;
        }
        let lost = matching(
            &self.part,
            &self.index.routes,
            |object| matches!(object, Object::Route(ours) if route.has_place_of(ours)),
        );
        self.all_lost(lost, by, now, out);
    }

    pub(super) fn rule_deleted(&mut self, now: Time, rule: &SeenRule, by: &Requester, out: &mut Actions) {
        let lost = matching(
            &self.part,
            &self.index.rules,
            |object| matches!(object, Object::Rule(ours) if rule.is(ours)),
        );
        self.all_lost(lost, by, now, out);
    }

    fn all_lost(&mut self, lost: Vec<(Owner, usize)>, by: &Requester, now: Time, out: &mut Actions) {
        if !self.is_started() {
            return;
        }
        for (owner, position) in lost {
            match owner {
                Owner::Instance(i) => self.object_lost(i, position, by, now, out),
                Owner::Static => self.static_lost(position, by, now, out),
            }
        }
    }

    /// An object of an instance is gone.
    pub(super) fn object_lost(
        &mut self,
        i: usize,
        position: usize,
        by: &Requester,
        now: Time,
        out: &mut Actions,
    ) {
        if self.runs[i].state != VrrpState::Master || !self.runs[i].held.lose(position) {
            return;
        }
        if *by == Requester::Us {
            // The echo of an earlier removal, or a secondary that went with its primary: we want it.
            self.machine(i, now, out).add_missing();
            return;
        }
        let config = &self.part.instances[i];
        let Some(object) = objects(config).nth(position) else { return };
        if object.no_track() {
            self.runs[i].held.leave(position);
            return;
        }
        if config.vip_repair == VipRepair::Stock {
            self.step_down_for(i, position, now, out);
            return;
        }
        // What went with its interface comes back with it.
        if !self.is_possible(object) {
            return;
        }
        let what = object.to_owned();
        let answer = self.runs[i].held.contest(position, now);
        self.alarms.touch(i);
        let text = format!("({}) {}", config.name, verdict(&what, by, answer));
        out.push(Action::Log { detail: Detail::Normal, text });
        if answer == Answer::PutBack {
            self.put_object_back(i, position, now, out);
        }
    }

    /// Adds one object, and what the kernel took away with it.
    fn put_object_back(&mut self, i: usize, position: usize, now: Time, out: &mut Actions) {
        let config = &self.part.instances[i];
        let Some(object) = objects(config).nth(position) else { return };
        let mut again = vec![object.to_owned()];
        let held = &mut self.runs[i].held;
        held.claim_one(position);
        if let Object::Address(vip) = object {
            // Routes that prefer it as source went without a word.
            let marks: Vec<bool> = held.marks().collect();
            let routes = objects(config).zip(marks).filter(|(_, set)| *set).map(|(object, _)| object);
            let with_it = routes
                .filter(|object| matches!(object, Object::Route(route) if route.source == Some(vip.address)));
            again.extend(with_it.map(Object::to_owned));
        }
        let vip = match &again[0] {
            Owned::Address(vip) => Some(vip.clone()),
            Owned::Route(_) | Owned::Rule(_) => None,
        };
        let repeat = config.garp.repeat;
        out.push(Action::Add { owner: Owner::Instance(i), objects: again });
        self.machine(i, now, out).announce_these(vip.iter(), repeat);
    }

    /// Stock's answer to a loss.
    fn step_down_for(&mut self, i: usize, position: usize, now: Time, out: &mut Actions) {
        let Some(object) = objects(&self.part.instances[i]).nth(position) else { return };
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

    /// Are the interfaces that it needs there and up?
    fn is_possible(&self, object: Object<'_>) -> bool {
        match object {
            Object::Rule(_) => true,
            Object::Address(_) | Object::Route(_) => object.interfaces().all(|name| self.facts.is_up(name)),
        }
    }

    /// An interface is there and up, which it was not: what the kernel dropped or refused meanwhile is added again.
    /// To add what is there is no error, and of the routes that vanish with an interface IPv4 tells nothing.
    pub(super) fn came_up(&mut self, name: &str, now: Time, out: &mut Actions) {
        for i in 0..self.runs.len() {
            if self.runs[i].state != VrrpState::Master {
                continue;
            }
            for (position, object) in objects(&self.part.instances[i]).enumerate() {
                if matches!(object, Object::Route(_)) && object.depends_on(name) {
                    self.runs[i].held.lose(position);
                }
            }
            if self.runs[i].held.is_incomplete() {
                self.machine(i, now, out).mend();
            }
        }
        for (position, object) in static_objects(&self.part.statics).enumerate() {
            if object.depends_on(name) {
                self.statics.lose(position);
            }
        }
        self.add_statics(out);
    }

    /// Puts the static objects into the kernel that are not there.
    pub(super) fn add_statics(&mut self, out: &mut Actions) {
        let objects = self.statics.claim(static_objects(&self.part.statics));
        if !objects.is_empty() {
            out.push(Action::Add { owner: Owner::Static, objects });
        }
    }

    /// Takes them out again.
    pub(super) fn remove_statics(&mut self, out: &mut Actions) {
        let objects = self.statics.release(static_objects(&self.part.statics));
        if !objects.is_empty() {
            out.push(Action::Remove { owner: Owner::Static, objects });
        }
    }

    /// A static object is gone. Stock: it is restored, whoever took it.
    pub(super) fn static_lost(&mut self, position: usize, by: &Requester, now: Time, out: &mut Actions) {
        if !self.statics.lose(position) {
            return;
        }
        let Some(object) = static_objects(&self.part.statics).nth(position) else { return };
        if *by == Requester::Us {
            self.add_statics(out);
            return;
        }
        if object.no_track() {
            self.statics.leave(position);
            return;
        }
        if !self.is_possible(object) {
            return;
        }
        let what = object.to_owned();
        let answer = self.statics.contest(position, now);
        let text = match answer {
            Answer::PutBack => format!("Restoring deleted static {}{}", kind(&what), taken_by(by)),
            Answer::Pause(_) => format!("static {}", verdict(&what, by, answer)),
        };
        out.push(Action::Log { detail: Detail::Normal, text });
        if answer == Answer::PutBack {
            self.statics.claim_one(position);
            out.push(Action::Add { owner: Owner::Static, objects: vec![what] });
        }
    }

    /// The kernel refused one object.
    pub(super) fn refused(
        &mut self,
        owner: Owner,
        object: &Owned,
        change: Change,
        errno: i32,
        note: Option<&str>,
        out: &mut Actions,
    ) {
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
        let is_it = |ours: Object<'_>| ours == object.as_object();
        let (name, held, position) = match owner {
            Owner::Instance(i) => {
                let Some(config) = self.part.instances.get(i) else { return };
                let name = format!("({}) ", config.name);
                (name, &mut self.runs[i].held, objects(config).position(is_it))
            }
            Owner::Static => {
                let position = static_objects(&self.part.statics).position(is_it);
                ("static: ".to_owned(), &mut self.statics, position)
            }
        };
        out.push(Action::Log { detail: Detail::Normal, text: format!("{name}{what}: {reason}{note}") });
        if let (Change::Add, Some(position)) = (change, position) {
            Holdings::lose(held, position);
        }
    }
}

/// The places of these that hold the object in question.
fn matching(
    part: &VrrpPart,
    places: &[(Owner, usize)],
    is_it: impl Fn(Object<'_>) -> bool,
) -> Vec<(Owner, usize)> {
    let object = |(owner, position): (Owner, usize)| match owner {
        Owner::Instance(i) => objects(&part.instances[i]).nth(position),
        Owner::Static => static_objects(&part.statics).nth(position),
    };
    places.iter().copied().filter(|place| object(*place).is_some_and(&is_it)).collect()
}

/// `10.0.0.1 on eth0 was removed by ip (process 7): putting it back`
fn verdict(what: &Owned, by: &Requester, answer: Answer) -> String {
    let by = taken_by(by);
    match answer {
        Answer::PutBack => format!("{what} was removed{by}: putting it back"),
        Answer::Pause(pause) => format!(
            "{what} was removed three times in 10 s, the last time{by}: trying again in {} s",
            pause.as_secs()
        ),
    }
}

fn taken_by(by: &Requester) -> String {
    match by {
        Requester::Program(who) => format!(" by {who}"),
        Requester::Us | Requester::Other => String::new(),
    }
}

fn kind(what: &Owned) -> String {
    match what {
        Owned::Address(address) => format!("address {} on {}", address.address, address.interface),
        other => other.to_string(),
    }
}
