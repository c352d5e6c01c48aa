//! Kernel work of the vrrp process that may take long, waiting in the order it was asked for.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;

use super::ipc::FromChild;
use crate::config::model::VirtualLink;
use crate::kernel::vmac::Below;
use crate::vrrp::{Change, Owned, Owner};

/// Work that may take the kernel long.
pub(super) enum Work {
    Change { owner: Owner, change: Change, object: Owned },
    Announce(Burst),
    PromoteSecondaries { interface: String, on: bool },
    MakeLink { link: VirtualLink, below: Below },
    RemoveLink { name: String },
    Firewall,
    GuardArp { interface: String, arp_ignore: u8, arp_filter: u8 },
    Tell(FromChild),
}

/// What is left of a burst of announcements.
pub(super) struct Burst {
    /// Interface index and address, in order.
    targets: Vec<(u32, IpAddr)>,
    /// The one that is next.
    next: usize,
    /// Rounds to go, this one included.
    rounds: u32,
}

impl Burst {
    fn new(targets: Vec<(u32, IpAddr)>, rounds: u32) -> Self {
        Self { targets, next: 0, rounds }
    }

    /// The next packet; `None` when all were sent.
    pub(super) fn step(&mut self) -> Option<(u32, IpAddr)> {
        if self.next == self.targets.len() {
            self.next = 0;
            self.rounds = self.rounds.saturating_sub(1);
        }
        let target = *self.targets.get(self.next).filter(|_| self.rounds > 0)?;
        self.next += 1;
        Some(target)
    }

    /// Leaves out what `is_gone` says.
    fn forget(&mut self, is_gone: impl Fn(&(u32, IpAddr)) -> bool) {
        self.next -= self.targets[..self.next].iter().filter(|target| is_gone(target)).count();
        self.targets.retain(|target| !is_gone(target));
    }
}

/// The work that waits.
#[derive(Default)]
pub(super) struct Queue(VecDeque<Work>);

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is next; [`Self::pop`] when it is done.
    pub(super) fn front(&mut self) -> Option<&mut Work> {
        self.0.front_mut()
    }

    pub(super) fn pop(&mut self) -> Option<Work> {
        self.0.pop_front()
    }

    pub(super) fn push(&mut self, work: Work) {
        self.0.push_back(work);
    }

    pub(super) fn push_changes(&mut self, owner: Owner, change: Change, objects: Vec<Owned>) {
        self.0.extend(objects.into_iter().map(|object| Work::Change { owner, change, object }));
    }

    pub(super) fn push_burst(&mut self, targets: Vec<(u32, IpAddr)>, rounds: u32) {
        self.0.push_back(Work::Announce(Burst::new(targets, rounds)));
    }

    /// These are to be removed: what is still queued for them must not be done. Announcing an address that another
    /// router has taken over would take its packets.
    pub(super) fn forget(&mut self, objects: &[Owned], index: impl Fn(&str) -> Option<u32>) {
        if self.0.is_empty() {
            return;
        }
        let target = |object: &Owned| match object {
            Owned::Address(vip) => Some((index(&vip.interface)?, vip.address)),
            Owned::Route(_) | Owned::Rule(_) => None,
        };
        let silent: HashSet<(u32, IpAddr)> = objects.iter().filter_map(target).collect();
        let gone: HashSet<Key<'_>> = objects.iter().map(key).collect();
        for work in &mut self.0 {
            if let Work::Announce(burst) = work {
                burst.forget(|target| silent.contains(target));
            }
        }
        self.0.retain(|work| match work {
            Work::Change { change: Change::Add, object, .. } => !gone.contains(&key(object)),
            _ => true,
        });
    }
}

/// What makes an object the same one in the kernel.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Address(&'a str, IpAddr),
    Other(&'a Owned),
}

fn key(object: &Owned) -> Key<'_> {
    match object {
        Owned::Address(vip) => Key::Address(&vip.interface, vip.address),
        other => Key::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst(rounds: u32) -> Burst {
        let target = |last: u8| (1, IpAddr::from([10, 0, 0, last]));
        Burst::new(vec![target(1), target(2), target(3)], rounds)
    }

    fn rest(burst: &mut Burst) -> Vec<u8> {
        std::iter::from_fn(|| burst.step())
            .map(|(_, address)| match address {
                IpAddr::V4(v4) => v4.octets()[3],
                IpAddr::V6(_) => 0,
            })
            .collect()
    }

    #[test]
    fn a_burst_goes_round_by_round() {
        assert_eq!(rest(&mut burst(2)), [1, 2, 3, 1, 2, 3]);
        assert!(rest(&mut burst(0)).is_empty());
    }

    #[test]
    fn what_is_forgotten_in_the_middle_of_a_burst_is_sent_no_more_and_nothing_else_is_left_out() {
        for (gone, left) in [(1, vec![3, 2, 3]), (2, vec![3, 1, 3]), (3, vec![1, 2])] {
            let mut burst = burst(2);
            burst.step();
            burst.step();
            burst.forget(|(_, address)| *address == IpAddr::from([10, 0, 0, gone]));
            assert_eq!(rest(&mut burst), left, "without {gone}");
        }
        let mut burst = burst(2);
        burst.forget(|_| true);
        assert!(rest(&mut burst).is_empty());
    }
}
