//! When gratuitous ARPs (and unsolicited neighbour advertisements) go out, and their pacing.
//!
//! An [`Announce`] belongs to an instance and says when its next burst is due; the [`Pacer`] belongs to the router
//! and keeps `vrrp_garp_interval` between two packets of one interface. spec/vrrp-behaviour.md §7.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Action, Actions};
use crate::config::model::GarpSettings;
use crate::time::Time;

/// The bursts that an instance still owes. Empty unless it is MASTER.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Announce {
    second: Option<Time>,
    second_lower_priority: Option<Time>,
    refresh: Option<Time>,
    /// `garp_extra_if`.
    extra: Option<Time>,
}

impl Announce {
    /// Entered MASTER, or got new addresses: how many copies go out now.
    pub(super) fn begin(&mut self, garp: &GarpSettings, now: Time) -> u32 {
        self.second = (!garp.delay.is_zero()).then(|| now + garp.delay);
        self.second_lower_priority = None;
        self.refresh = (!garp.refresh.is_zero()).then(|| now + garp.delay + garp.refresh);
        self.extra = (!garp.extra.interval.is_zero()).then(|| now + garp.extra.interval);
        garp.repeat
    }

    /// Saw an advert of lower priority: how many copies go out now.
    pub(super) fn lower_priority(&mut self, garp: &GarpSettings, now: Time) -> u32 {
        if garp.lower_prio_repeat > 0 && !garp.lower_prio_delay.is_zero() {
            self.second_lower_priority = Some(now + garp.lower_prio_delay);
        }
        garp.lower_prio_repeat
    }

    /// Left MASTER.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        [self.second, self.second_lower_priority, self.refresh, self.extra].into_iter().flatten().min()
    }

    /// Is an announcement on the other interfaces due?
    pub(super) fn is_extra_due(&mut self, garp: &GarpSettings, now: Time) -> bool {
        let Some(at) = self.extra.filter(|at| *at <= now) else { return false };
        let period = garp.extra.interval;
        // A reload may have switched it off.
        self.extra = (!period.is_zero()).then(|| if at + period > now { at + period } else { now + period });
        self.extra.is_some()
    }

    /// How many copies are due now; 0 if none.
    pub(super) fn due(&mut self, garp: &GarpSettings, now: Time) -> u32 {
        let mut copies = 0;
        if self.second.is_some_and(|at| at <= now) {
            self.second = None;
            copies = garp.repeat;
        }
        if self.second_lower_priority.is_some_and(|at| at <= now) {
            self.second_lower_priority = None;
            copies = copies.max(garp.lower_prio_repeat);
        }
        if let Some(at) = self.refresh.filter(|at| *at <= now) {
            // A reload may have set the period to zero.
            self.refresh = (!garp.refresh.is_zero())
                .then(|| if at + garp.refresh > now { at + garp.refresh } else { now + garp.refresh });
            copies = copies.max(garp.refresh_repeat);
        }
        copies
    }
}

/// Keeps the distance between packets of one interface, shared by all instances on it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Pacer {
    gap: Duration,
    queues: BTreeMap<u32, Queue>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Queue {
    /// Nothing goes out before.
    next: Time,
    /// Round robin.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    instance: usize,
    address: IpAddr,
    copies: u32,
}

impl Pacer {
    /// `gap` zero sends everything at once.
    pub(super) fn new(gap: Duration) -> Self {
        Self { gap, queues: BTreeMap::new() }
    }

    /// Sends `copies` rounds of these (interface index, address) pairs, or queues them.
    pub(super) fn burst(
        &mut self,
        instance: usize,
        targets: &[(u32, IpAddr)],
        copies: u32,
        now: Time,
        out: &mut Actions,
    ) {
        if self.gap.is_zero() || targets.iter().all(|(_, address)| address.is_ipv6()) {
            if copies > 0 && !targets.is_empty() {
                out.push(Action::Announce { targets: targets.to_vec(), copies });
            }
            return;
        }
        if copies == 0 {
            return;
        }
        for (index, address) in targets {
            let queue = self.queues.entry(*index).or_default();
            match queue.waiting.iter_mut().find(|w| w.instance == instance && w.address == *address) {
                Some(waiting) => waiting.copies = waiting.copies.max(copies),
                None => queue.waiting.push_back(Waiting { instance, address: *address, copies }),
            }
        }
        self.send_due(now, out);
    }

    /// Drops what an instance still has queued: it is no longer MASTER.
    pub(super) fn drop_instance(&mut self, instance: usize) {
        for queue in self.queues.values_mut() {
            queue.waiting.retain(|waiting| waiting.instance != instance);
        }
    }

    /// Another distance from now on.
    pub(super) fn set_gap(&mut self, gap: Duration) {
        self.gap = gap;
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

    /// Sends what may go out now: at most one packet an interface.
    pub(super) fn send_due(&mut self, now: Time, out: &mut Actions) {
        for (index, queue) in &mut self.queues {
            if queue.next > now {
                continue;
            }
            let Some(mut waiting) = queue.waiting.pop_front() else { continue };
            out.push(Action::Announce { targets: vec![(*index, waiting.address)], copies: 1 });
            queue.next = now + self.gap;
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

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn sent(out: &[Action]) -> Vec<u8> {
        let mut sent = Vec::new();
        for action in out {
            let Action::Announce { targets, copies } = action else { panic!("{action:?}") };
            for _ in 0..*copies {
                sent.extend(targets.iter().map(|(_, address)| match address {
                    IpAddr::V4(v4) => v4.octets()[3],
                    IpAddr::V6(_) => panic!("{address}"),
                }));
            }
        }
        sent
    }

    #[test]
    fn without_pacing_all_rounds_go_out_at_once_address_by_address() {
        let (mut pacer, mut out) = (Pacer::new(Duration::ZERO), Vec::new());
        pacer.burst(0, &[(1, address(1)), (1, address(2))], 3, at(0), &mut out);
        assert_eq!(sent(&out), [1, 2, 1, 2, 1, 2]);
        assert_eq!(pacer.deadline(), None);
    }

    #[test]
    fn with_pacing_two_instances_interleave() {
        let (mut pacer, mut out) = (Pacer::new(Duration::from_millis(100)), Vec::new());
        pacer.burst(0, &[(1, address(1))], 2, at(0), &mut out);
        pacer.burst(1, &[(1, address(2))], 2, at(0), &mut out);
        assert_eq!(sent(&out), [1]);
        let mut times = Vec::new();
        while let Some(at) = pacer.deadline() {
            times.push(at.as_nanos() / 1_000_000);
            pacer.send_due(at, &mut out);
        }
        assert_eq!(sent(&out), [1, 1, 2, 2]);
        assert_eq!(times, [100, 200, 300]);
    }

    #[test]
    fn a_second_burst_before_the_first_is_out_does_not_pile_up() {
        let (mut pacer, mut out) = (Pacer::new(Duration::from_millis(100)), Vec::new());
        for _ in 0..4 {
            pacer.burst(0, &[(1, address(1))], 5, at(0), &mut out);
        }
        while let Some(at) = pacer.deadline() {
            pacer.send_due(at, &mut out);
        }
        assert!(out.len() <= 6, "{}", out.len());
    }

    #[test]
    fn a_queue_forgets_an_instance_that_stepped_down() {
        let (mut pacer, mut out) = (Pacer::new(Duration::from_millis(100)), Vec::new());
        pacer.burst(0, &[(1, address(1))], 5, at(0), &mut out);
        pacer.drop_instance(0);
        assert_eq!(pacer.deadline(), None);
    }

    #[test]
    fn the_second_burst_comes_after_the_delay_and_refreshes_follow() {
        let garp = GarpSettings { refresh: Duration::from_secs(60), ..GarpSettings::default() };
        let mut announce = Announce::default();
        assert_eq!(announce.begin(&garp, at(0)), 5);
        assert_eq!(announce.deadline(), Some(at(5_000)));
        assert_eq!(announce.due(&garp, at(4_999)), 0);
        assert_eq!(announce.due(&garp, at(5_000)), 5);
        assert_eq!(announce.deadline(), Some(at(65_000)));
        assert_eq!(announce.due(&garp, at(65_000)), 1);
        assert_eq!(announce.deadline(), Some(at(125_000)));
        announce.end();
        assert_eq!(announce.deadline(), None);
    }

    #[test]
    fn in_strict_mode_a_lower_advert_brings_no_burst() {
        let garp = GarpSettings { lower_prio_repeat: 0, ..GarpSettings::default() };
        let mut announce = Announce::default();
        assert_eq!(announce.lower_priority(&garp, at(0)), 0);
        assert_eq!(announce.deadline(), None);
    }
}
