//! The distance between two gratuitous ARPs (or neighbour advertisements) of one interface, or of a `garp_group` of
//! interfaces, shared by all instances there. spec/vrrp-behaviour.md §7, spec/vrrp-config.md §2.5.
//!
//! The first packet goes at once; what must wait stands in one queue for each lane and is sent in turn.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Action, Actions};
use super::facts::Facts;
use crate::config::model::{Gaps, VrrpPart};
use crate::time::Time;

/// All that waits, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Pacer {
    #[serde(skip)]
    plan: Plan,
    queues: BTreeMap<Lane, Queue>,
}

/// The distances that the configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Plan {
    /// Of interfaces outside of groups, each for itself.
    others: Gaps,
    groups: Vec<Gaps>,
    /// By name of the interface, also of our links on it.
    group_of: HashMap<String, usize>,
}

/// What shares one distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Lane {
    /// An interface by its kernel index, and whether it is its IPv6 lane.
    Interface(u32, bool),
    /// A `garp_group` by its place in the configuration, and the same.
    Group(usize, bool),
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Queue {
    gap: Duration,
    /// Nothing goes out before.
    next: Time,
    /// Round robin.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    instance: usize,
    /// Kernel index of the interface.
    index: u32,
    address: IpAddr,
    copies: u32,
}

impl Plan {
    pub(super) fn of(part: &VrrpPart) -> Self {
        let mut group_of = HashMap::new();
        for (place, group) in part.garp_groups.iter().enumerate() {
            group_of.extend(group.interfaces.iter().map(|name| (name.clone(), place)));
        }
        for link in part.instances.iter().flat_map(|instance| instance.links.iter()) {
            if let Some(place) = group_of.get(&link.base).copied() {
                group_of.insert(link.name.clone(), place);
            }
        }
        let others =
            Gaps { garp_interval: part.global.garp_interval, gna_interval: part.global.gna_interval };
        Self { others, groups: part.garp_groups.iter().map(|group| group.gaps).collect(), group_of }
    }

    fn is_idle(&self) -> bool {
        self.others == Gaps::default() && self.groups.is_empty()
    }

    /// The lane of an address on an interface with its distance; `None` if nothing there has to wait.
    fn lane(&self, facts: &Facts, index: u32, address: IpAddr) -> Option<(Lane, Duration)> {
        let is_v6 = address.is_ipv6();
        let name = facts.by_index(index).map(|interface| interface.link.name.as_str());
        let (lane, gaps) = match name.and_then(|name| self.group_of.get(name)) {
            Some(place) => (Lane::Group(*place, is_v6), self.groups.get(*place)?),
            None => (Lane::Interface(index, is_v6), &self.others),
        };
        let gap = if is_v6 { gaps.gna_interval } else { gaps.garp_interval };
        (!gap.is_zero()).then_some((lane, gap))
    }
}

impl Pacer {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, queues: BTreeMap::new() }
    }

    /// Sends `copies` rounds of these (interface index, address) pairs, or queues them.
    pub(super) fn burst(
        &mut self,
        facts: &Facts,
        instance: usize,
        targets: &[(u32, IpAddr)],
        copies: u32,
        now: Time,
        out: &mut Actions,
    ) {
        if copies == 0 || targets.is_empty() {
            return;
        }
        if self.plan.is_idle() {
            out.push(Action::Announce { targets: targets.to_vec(), copies });
            return;
        }
        let mut at_once = Vec::new();
        for (index, address) in targets.iter().copied() {
            match self.plan.lane(facts, index, address) {
                None => at_once.push((index, address)),
                Some((lane, gap)) => self.wait(lane, gap, Waiting { instance, index, address, copies }),
            }
        }
        if !at_once.is_empty() {
            out.push(Action::Announce { targets: at_once, copies });
        }
        self.send_due(now, out);
    }

    fn wait(&mut self, lane: Lane, gap: Duration, new: Waiting) {
        let queue = self.queues.entry(lane).or_default();
        queue.gap = gap;
        let is_it = |waiting: &&mut Waiting| {
            (waiting.instance, waiting.index, waiting.address) == (new.instance, new.index, new.address)
        };
        match queue.waiting.iter_mut().find(is_it) {
            Some(waiting) => waiting.copies = waiting.copies.max(new.copies),
            None => queue.waiting.push_back(new),
        }
    }

    /// Drops what an instance still has queued: it is no longer MASTER.
    pub(super) fn drop_instance(&mut self, instance: usize) {
        for queue in self.queues.values_mut() {
            queue.waiting.retain(|waiting| waiting.instance != instance);
        }
    }

    /// The distances of a core that goes on where another one stopped: what waits stands in its lanes already.
    pub(super) fn restore_plan(&mut self, plan: Plan) {
        self.plan = plan;
    }

    /// Other distances from now on; what waits goes on waiting where it belongs now.
    pub(super) fn set_plan(&mut self, plan: Plan, facts: &Facts) {
        if plan == self.plan {
            return;
        }
        self.plan = plan;
        for (_, queue) in std::mem::take(&mut self.queues) {
            for waiting in queue.waiting {
                let place = self.plan.lane(facts, waiting.index, waiting.address);
                let alone = Lane::Interface(waiting.index, waiting.address.is_ipv6());
                let (lane, gap) = place.unwrap_or((alone, Duration::ZERO));
                self.wait(lane, gap, waiting);
                let next = &mut self.queues.entry(lane).or_default().next;
                *next = queue.next.max(*next);
            }
        }
    }

    /// Renumbers the instances; those without a number are dropped.
    pub(super) fn keep(&mut self, number: impl Fn(usize) -> Option<usize>) {
        for queue in self.queues.values_mut() {
            queue
                .waiting
                .retain_mut(|waiting| number(waiting.instance).map(|new| waiting.instance = new).is_some());
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.queues.values().filter(|queue| !queue.waiting.is_empty()).map(|queue| queue.next).min()
    }

    /// When a gratuitous ARP and a neighbour advertisement of this group (`None`: of any interface outside of groups)
    /// may go out.
    pub(super) fn next(&self, group: Option<usize>) -> (Option<Time>, Option<Time>) {
        let of = |v6: bool| {
            let lanes = self.queues.iter().filter(|(lane, _)| match **lane {
                Lane::Interface(_, is_v6) => group.is_none() && is_v6 == v6,
                Lane::Group(place, is_v6) => group == Some(place) && is_v6 == v6,
            });
            lanes.map(|(_, queue)| queue.next).max()
        };
        (of(false), of(true))
    }

    /// Sends what may go out now: at most one packet a lane.
    pub(super) fn send_due(&mut self, now: Time, out: &mut Actions) {
        for queue in self.queues.values_mut() {
            if queue.next > now {
                continue;
            }
            let Some(mut waiting) = queue.waiting.pop_front() else { continue };
            out.push(Action::Announce { targets: vec![(waiting.index, waiting.address)], copies: 1 });
            queue.next = now + queue.gap;
            waiting.copies -= 1;
            if waiting.copies > 0 {
                queue.waiting.push_back(waiting);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::GarpGroup;
    use crate::vrrp::tests::samples::interfaces;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// eth0 and eth1, indices 1 and 2.
    fn facts() -> Facts {
        Facts::new(interfaces(1))
    }

    fn gaps(garp: u64, gna: u64) -> Gaps {
        Gaps { garp_interval: Duration::from_millis(garp), gna_interval: Duration::from_millis(gna) }
    }

    fn pacer(others: Gaps, groups: &[(Gaps, &[&str])]) -> Pacer {
        let mut part = VrrpPart::default();
        part.global.garp_interval = others.garp_interval;
        part.global.gna_interval = others.gna_interval;
        let group = |(gaps, names): &(Gaps, &[&str])| GarpGroup {
            gaps: *gaps,
            interfaces: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        part.garp_groups = groups.iter().map(group).collect();
        Pacer::new(Plan::of(&part))
    }

    /// The last byte of each address that is sent, in order.
    fn sent(out: &[Action]) -> Vec<u8> {
        let mut sent = Vec::new();
        for action in out {
            let Action::Announce { targets, copies } = action else { panic!("{action:?}") };
            for _ in 0..*copies {
                sent.extend(targets.iter().map(|(_, address)| match address {
                    IpAddr::V4(v4) => v4.octets()[3],
                    IpAddr::V6(v6) => v6.octets()[15],
                }));
            }
        }
        sent
    }

    /// Lets everything out; when, in milliseconds.
    fn rest(pacer: &mut Pacer, out: &mut Actions) -> Vec<u64> {
        let mut times = Vec::new();
        while let Some(at) = pacer.deadline() {
            times.push(at.as_nanos() / 1_000_000);
            pacer.send_due(at, out);
        }
        times
    }

    #[test]
    fn without_pacing_all_rounds_go_out_at_once_address_by_address() {
        let (mut pacer, mut out) = (pacer(gaps(0, 0), &[]), Vec::new());
        pacer.burst(&facts(), 0, &[(1, address(1)), (1, address(2))], 3, at(0), &mut out);
        assert_eq!(sent(&out), [1, 2, 1, 2, 1, 2]);
        assert_eq!(pacer.deadline(), None);
    }

    #[test]
    fn with_pacing_two_instances_interleave() {
        let (mut pacer, mut out) = (pacer(gaps(100, 0), &[]), Vec::new());
        pacer.burst(&facts(), 0, &[(1, address(1))], 2, at(0), &mut out);
        pacer.burst(&facts(), 1, &[(1, address(2))], 2, at(0), &mut out);
        assert_eq!(sent(&out), [1]);
        let times = rest(&mut pacer, &mut out);
        assert_eq!(sent(&out), [1, 1, 2, 2]);
        assert_eq!(times, [100, 200, 300]);
    }

    #[test]
    fn interfaces_outside_of_groups_wait_each_for_itself() {
        let (mut pacer, mut out) = (pacer(gaps(100, 0), &[]), Vec::new());
        pacer.burst(&facts(), 0, &[(1, address(1)), (2, address(2))], 2, at(0), &mut out);
        assert_eq!(sent(&out), [1, 2]);
        assert_eq!(rest(&mut pacer, &mut out), [100]);
    }

    #[test]
    fn the_interfaces_of_a_group_share_one_distance_and_the_global_one_does_not_hold_there() {
        let group: (Gaps, &[&str]) = (gaps(100, 0), &["eth0", "eth1"]);
        let (mut pacer, mut out) = (pacer(gaps(7, 7), &[group]), Vec::new());
        pacer.burst(&facts(), 0, &[(1, address(1)), (2, address(2))], 2, at(0), &mut out);
        assert_eq!(sent(&out), [1]);
        assert_eq!(rest(&mut pacer, &mut out), [100, 200, 300]);
        assert_eq!(sent(&out), [1, 2, 1, 2]);
        assert_eq!(pacer.next(Some(0)), (Some(at(400)), None));
        assert_eq!(pacer.next(None), (None, None));
    }

    #[test]
    fn neighbour_advertisements_have_a_distance_of_their_own() {
        let v6: IpAddr = "2001:db8::9".parse().unwrap();
        let both = [(1, address(1)), (1, v6)];
        let (mut first, mut out) = (pacer(gaps(100, 0), &[]), Vec::new());
        first.burst(&facts(), 0, &both, 2, at(0), &mut out);
        assert_eq!(sent(&out), [9, 9, 1]);
        let (mut second, mut out) = (pacer(gaps(100, 40), &[]), Vec::new());
        second.burst(&facts(), 0, &both, 2, at(0), &mut out);
        assert_eq!(sent(&out), [1, 9]);
        assert_eq!(rest(&mut second, &mut out), [40, 100]);
    }

    #[test]
    fn a_second_burst_before_the_first_is_out_does_not_pile_up() {
        let (mut pacer, mut out) = (pacer(gaps(100, 0), &[]), Vec::new());
        for _ in 0..4 {
            pacer.burst(&facts(), 0, &[(1, address(1))], 5, at(0), &mut out);
        }
        rest(&mut pacer, &mut out);
        assert!(out.len() <= 6, "{}", out.len());
    }

    #[test]
    fn a_queue_forgets_an_instance_that_stepped_down() {
        let (mut pacer, mut out) = (pacer(gaps(100, 0), &[]), Vec::new());
        pacer.burst(&facts(), 0, &[(1, address(1))], 5, at(0), &mut out);
        pacer.drop_instance(0);
        assert_eq!(pacer.deadline(), None);
    }

    #[test]
    fn what_waits_when_the_distances_change_goes_out_by_the_new_ones() {
        let (mut old, mut out) = (pacer(gaps(100, 0), &[]), Vec::new());
        old.burst(&facts(), 0, &[(1, address(1)), (2, address(2))], 3, at(0), &mut out);
        let group: (Gaps, &[&str]) = (gaps(10, 0), &["eth0", "eth1"]);
        let new = pacer(gaps(0, 0), &[group]).plan;
        old.set_plan(new, &facts());
        assert_eq!(rest(&mut old, &mut out), [100, 110, 120, 130]);
        assert_eq!(sent(&out).len(), 6);
        let (mut old, mut out) = (pacer(gaps(100, 0), &[]), Vec::new());
        old.burst(&facts(), 0, &[(1, address(1))], 3, at(0), &mut out);
        old.set_plan(Plan::default(), &facts());
        assert_eq!(rest(&mut old, &mut out), [100, 100]);
    }
}
