//! Kernel work of the vrrp process that may take long, waiting in the order it was asked for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;

use super::ipc::FromChild;
use crate::config::model::{SyncDaemon, SyncRole, VirtualLink};
use crate::kernel::vmac::Below;
use crate::vrrp::{Change, Owned, Owner};

/// Pieces of work that there is always room for.
const ROOM: usize = 256;

/// Work that may take the kernel long.
pub(super) enum Work {
    Change { owner: Owner, change: Change, object: Owned },
    Announce(Burst),
    PromoteSecondaries { interface: String, on: bool },
    MakeLink { link: VirtualLink, below: Below },
    RemoveLink { name: String },
    Firewall,
    Sync { role: Option<SyncRole>, settings: Box<SyncDaemon> },
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

    /// Was everything sent?
    fn is_over(&self) -> bool {
        self.rounds == 0 || self.rounds == 1 && self.next == self.targets.len() || self.targets.is_empty()
    }

    /// Leaves out what `is_gone` says.
    fn forget(&mut self, is_gone: impl Fn(&(u32, IpAddr)) -> bool) {
        self.next -= self.targets[..self.next].iter().filter(|target| is_gone(target)).count();
        self.targets.retain(|target| !is_gone(target));
    }
}

/// The work that waits, in the order it was asked for; changes in a lane of their own, so that an address can be
/// announced as soon as it is there, while others are still to be added.
#[derive(Default)]
pub(super) struct Queue {
    /// The number of the next piece of work.
    next: u64,
    /// [`Work::Change`] alone.
    changes: VecDeque<(u64, Work)>,
    /// All other work.
    rest: VecDeque<(u64, Work)>,
    /// How often each address waits to be added.
    adding: HashMap<IpAddr, usize>,
    /// Additions and bursts that wait: what a removal may have to forget.
    revocable: usize,
}

/// Does a removal end it?
fn is_revocable(work: &Work) -> bool {
    matches!(work, Work::Announce(_) | Work::Change { change: Change::Add, .. })
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.rest.is_empty()
    }

    /// Gives back the room that a large takeover needed. To be called when it is empty.
    pub(super) fn shrink(&mut self) {
        if self.changes.capacity().max(self.rest.capacity()).max(self.adding.capacity()) > ROOM {
            self.changes.shrink_to(0);
            self.rest.shrink_to(0);
            self.adding.shrink_to(0);
        }
    }

    fn is_change_next(&self) -> bool {
        match (self.changes.front(), self.rest.front()) {
            (Some((change, _)), Some((other, _))) => change < other,
            (change, _) => change.is_some(),
        }
    }

    /// What is next; [`Self::pop`] when it is done.
    pub(super) fn front(&mut self) -> Option<&mut Work> {
        let lane = if self.is_change_next() { &mut self.changes } else { &mut self.rest };
        lane.front_mut().map(|(_, work)| work)
    }

    pub(super) fn pop(&mut self) -> Option<Work> {
        if self.is_change_next() { self.pop_change() } else { self.pop_other() }
    }

    fn pop_change(&mut self) -> Option<Work> {
        let (_, work) = self.changes.pop_front()?;
        if let Work::Change { change: Change::Add, object: Owned::Address(vip), .. } = &work {
            Self::count_down(&mut self.adding, vip.address);
        }
        self.revocable -= usize::from(is_revocable(&work));
        Some(work)
    }

    fn pop_other(&mut self) -> Option<Work> {
        let (_, work) = self.rest.pop_front()?;
        self.revocable -= usize::from(is_revocable(&work));
        Some(work)
    }

    fn count_down(adding: &mut HashMap<IpAddr, usize>, address: IpAddr) {
        if let Some(count) = adding.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                adding.remove(&address);
            }
        }
    }

    /// The next changes, if they are next at all: at most so many. They overtake announcements, so that those of many
    /// instances go to the kernel together; additions overtake what is told to scripts, too.
    pub(super) fn changes(&mut self, most: usize) -> Vec<(Owner, Change, Owned)> {
        let first = |may_wait: fn(&Work) -> bool| {
            self.rest.iter().find(|(_, work)| !may_wait(work)).map_or(u64::MAX, |(number, _)| *number)
        };
        let before_removals = first(|work| matches!(work, Work::Announce(_)));
        let before_additions = first(|work| matches!(work, Work::Announce(_) | Work::Tell(_)));
        let may_go = |(number, work): &(u64, Work)| match work {
            Work::Change { change: Change::Add, .. } => *number < before_additions,
            _ => *number < before_removals,
        };
        let mut taken = Vec::new();
        while taken.len() < most && self.changes.front().is_some_and(may_go) {
            if let Some(Work::Change { owner, change, object }) = self.pop_change() {
                taken.push((owner, change, object));
            }
        }
        taken
    }

    /// The next announcements, at most so many: of bursts before which stands nothing but what is told to scripts. That
    /// can wait, so that those of many instances go out together.
    pub(super) fn announcements(&mut self, most: usize) -> Vec<(u32, IpAddr)> {
        let mut targets = Vec::new();
        let change = self.changes.front().map_or(u64::MAX, |(number, _)| *number);
        for (number, work) in &mut self.rest {
            match work {
                Work::Announce(burst) if *number < change => {
                    targets.extend(std::iter::from_fn(|| burst.step()).take(most - targets.len()));
                }
                Work::Tell(_) => {}
                _ => break,
            }
            if targets.len() == most {
                break;
            }
        }
        self.drop_empty_bursts();
        targets
    }

    /// Announcements of bursts whose addresses are there already, at most so many, the first round of each. Before them
    /// stand changes at most, and what is told to scripts.
    pub(super) fn early(&mut self, most: usize) -> Vec<(u32, IpAddr)> {
        let mut targets = Vec::new();
        for (_, work) in &mut self.rest {
            let burst = match work {
                Work::Announce(burst) => burst,
                Work::Tell(_) => continue,
                _ => break,
            };
            // A further round waits for the end of the first ones.
            while let Some((_, address)) = burst.targets.get(burst.next).filter(|_| burst.rounds > 0) {
                if targets.len() == most || self.adding.contains_key(address) {
                    self.drop_empty_bursts();
                    return targets;
                }
                targets.extend(burst.step());
            }
        }
        self.drop_empty_bursts();
        targets
    }

    fn drop_empty_bursts(&mut self) {
        while matches!(self.rest.front(), Some((_, Work::Announce(burst))) if burst.is_over()) {
            self.pop_other();
        }
    }

    /// These could not be sent: they come first again.
    pub(super) fn put_back(&mut self, targets: Vec<(u32, IpAddr)>) {
        if !targets.is_empty() {
            self.revocable += 1;
            self.rest.push_front((0, Work::Announce(Burst::new(targets, 1))));
        }
    }

    pub(super) fn push(&mut self, work: Work) {
        self.revocable += usize::from(is_revocable(&work));
        self.rest.push_back((self.next, work));
        self.next += 1;
    }

    pub(super) fn push_changes(&mut self, owner: Owner, change: Change, objects: Vec<Owned>) {
        for object in objects {
            if let (Change::Add, Owned::Address(vip)) = (change, &object) {
                *self.adding.entry(vip.address).or_default() += 1;
            }
            self.revocable += usize::from(change == Change::Add);
            self.changes.push_back((self.next, Work::Change { owner, change, object }));
            self.next += 1;
        }
    }

    pub(super) fn push_burst(&mut self, targets: Vec<(u32, IpAddr)>, rounds: u32) {
        self.push(Work::Announce(Burst::new(targets, rounds)));
    }

    /// These are to be removed: what is still queued for them must not be done. Announcing an address that another
    /// router has taken over would take its packets.
    pub(super) fn forget(&mut self, objects: &[Owned], index: impl Fn(&str) -> Option<u32>) {
        if self.revocable == 0 {
            return;
        }
        let target = |object: &Owned| match object {
            Owned::Address(vip) => Some((index(&vip.interface)?, vip.address)),
            Owned::Route(_) | Owned::Rule(_) => None,
        };
        let silent: HashSet<(u32, IpAddr)> = objects.iter().filter_map(target).collect();
        let gone: HashSet<Key<'_>> = objects.iter().map(key).collect();
        for (_, work) in &mut self.rest {
            if let Work::Announce(burst) = work {
                burst.forget(|target| silent.contains(target));
            }
        }
        let (adding, revocable) = (&mut self.adding, &mut self.revocable);
        self.changes.retain(|(_, work)| {
            let Work::Change { change: Change::Add, object, .. } = work else { return true };
            let is_wanted = !gone.contains(&key(object));
            *revocable -= usize::from(!is_wanted);
            if let (false, Owned::Address(vip)) = (is_wanted, object) {
                Self::count_down(adding, vip.address);
            }
            is_wanted
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

    fn vip(last: u8) -> Owned {
        let mut vip = crate::vrrp::tests::samples::vip("10.0.0.1", "eth0");
        vip.address = IpAddr::from([10, 0, 0, last]);
        Owned::Address(vip)
    }

    #[test]
    fn an_address_is_announced_as_soon_as_it_is_there_and_the_rounds_stay_in_order() {
        let mut queue = Queue::default();
        let owner = Owner::Instance(0);
        queue.push_changes(owner, Change::Add, vec![vip(1), vip(2), vip(3)]);
        queue.push_burst(
            vec![(1, [10, 0, 0, 1].into()), (1, [10, 0, 0, 2].into()), (1, [10, 0, 0, 3].into())],
            2,
        );
        queue.push(Work::RemoveLink { name: "x".into() });
        queue.push_changes(owner, Change::Add, vec![vip(4)]);
        let early = |queue: &mut Queue| queue.early(64).len();
        assert_eq!(early(&mut queue), 0);
        queue.pop();
        assert_eq!(early(&mut queue), 1);
        queue.pop();
        queue.pop();
        assert_eq!(early(&mut queue), 2, "the second round waits for its turn");
        assert_eq!(early(&mut queue), 0);
        assert!(matches!(queue.pop(), Some(Work::Announce(_))));
        assert!(matches!(queue.pop(), Some(Work::RemoveLink { .. })));
        queue.forget(&[vip(4)], |_| Some(1));
        assert!(queue.is_empty() && queue.adding.is_empty() && queue.revocable == 0);
    }

    #[test]
    fn changes_of_many_instances_go_together_and_scripts_still_find_their_addresses() {
        let mut queue = Queue::default();
        let told = |id| Work::Tell(FromChild::KillScript { id });
        for number in 1..=3 {
            let owner = Owner::Instance(usize::from(number));
            queue.push_changes(owner, Change::Add, vec![vip(number)]);
            queue.push_burst(vec![(1, [10, 0, 0, number].into())], 1);
            queue.push(told(number.into()));
        }
        queue.push_changes(Owner::Instance(1), Change::Remove, vec![vip(9)]);
        queue.push(Work::RemoveLink { name: "x".into() });
        queue.push_changes(Owner::Instance(1), Change::Add, vec![vip(4)]);
        let owners: Vec<_> = queue.changes(2).into_iter().map(|(owner, ..)| owner).collect();
        assert_eq!(owners, [Owner::Instance(1), Owner::Instance(2)]);
        assert_eq!(queue.changes(9).len(), 1, "a removal waits for what scripts are told before it");
        assert!(queue.changes(9).is_empty());
        let target = |number: u8| (1, IpAddr::from([10, 0, 0, number]));
        assert_eq!(queue.announcements(2), [target(1), target(2)], "before what scripts are told");
        assert_eq!(queue.announcements(9), [target(3)]);
        assert!(queue.announcements(9).is_empty());
        let mut told = 0;
        loop {
            match queue.front() {
                Some(Work::Tell(_)) => {
                    queue.pop();
                    told += 1;
                }
                Some(Work::Announce(_)) => assert!(queue.announcements(9).is_empty()),
                _ => break,
            }
        }
        assert_eq!(told, 3);
        assert_eq!(queue.changes(9).len(), 1, "an addition waits for links");
        assert!(matches!(queue.pop(), Some(Work::RemoveLink { .. })));
        assert_eq!(queue.changes(9).len(), 1);
        assert!(queue.is_empty() && queue.revocable == 0);
    }

    #[test]
    fn what_could_not_be_sent_comes_first_and_is_forgotten_like_the_rest() {
        let mut queue = Queue::default();
        let target = |last: u8| (1, IpAddr::from([10, 0, 0, last]));
        queue.push_burst(vec![target(1), target(2), target(3), target(4)], 1);
        let taken = queue.announcements(3);
        queue.put_back(taken[1..].to_vec());
        assert_eq!(queue.early(1), [target(2)]);
        queue.forget(&[vip(3)], |_| Some(1));
        assert_eq!(queue.announcements(9), [target(4)]);
        assert!(queue.is_empty() && queue.revocable == 0);
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
