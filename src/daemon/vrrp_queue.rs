//! Kernel work of the vrrp process that may take long, waiting in the order it was asked for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;

use super::ipc::FromChild;
use crate::config::model::{SyncDaemon, SyncRole, VirtualLink};
use crate::kernel::vmac::Below;
use crate::vrrp::{Change, Owned, Owner};

/// Pieces of work that there is always room for.
const ROOM: usize = 256;

/// A change of what is in the kernel.
struct Asked {
    owner: Owner,
    change: Change,
    object: Owned,
}

/// Other work that may take the kernel long.
pub(super) enum Work {
    PromoteSecondaries { interface: String, on: bool },
    MakeLink { link: VirtualLink, below: Below },
    RemoveLink { name: String },
    Firewall,
    Sync { role: Option<SyncRole>, settings: Box<SyncDaemon> },
    GuardArp { interface: String, arp_ignore: u8, arp_filter: u8 },
}

/// What kind of work is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// [`Queue::changes`].
    Changes,
    /// [`Queue::announcements`].
    Announcements,
    /// [`Queue::pop_message`].
    Message,
    /// [`Queue::pop_work`].
    Work,
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

/// Pieces of one kind, each with its number in the order in which all were asked for.
type Lane<T> = VecDeque<(u64, T)>;

/// The work that waits, in the order it was asked for. Each kind has a lane of its own, so that an address can be
/// announced as soon as it is there while others are still to be added, and so that what is next is seen at the lanes'
/// fronts, however much waits.
#[derive(Default)]
pub(super) struct Queue {
    /// The number of the next piece of work.
    next: u64,
    changes: Lane<Asked>,
    bursts: Lane<Burst>,
    /// What the parent is told when the kernel has done what it says.
    messages: Lane<FromChild>,
    others: Lane<Work>,
    /// Bursts at the front that are through with their first round.
    begun: usize,
    /// How often each address waits to be added.
    adding: HashMap<IpAddr, usize>,
    /// Additions that wait: with the bursts, what a removal may have to forget.
    additions: usize,
}

/// The number of the first piece, or what is beyond all numbers.
fn first<T>(lane: &Lane<T>) -> u64 {
    lane.front().map_or(u64::MAX, |(number, _)| *number)
}

fn shrink<T>(lane: &mut Lane<T>) {
    if lane.capacity() > ROOM {
        lane.shrink_to(0);
    }
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.bursts.is_empty()
            && self.messages.is_empty()
            && self.others.is_empty()
    }

    /// Gives back the room that a large takeover needed. To be called when it is empty.
    pub(super) fn shrink(&mut self) {
        shrink(&mut self.changes);
        shrink(&mut self.bursts);
        shrink(&mut self.messages);
        shrink(&mut self.others);
        if self.adding.capacity() > ROOM {
            self.adding.shrink_to(0);
        }
    }

    /// What is next, if anything.
    pub(super) fn next(&self) -> Option<Next> {
        let fronts = [
            (first(&self.bursts), Next::Announcements),
            (first(&self.changes), Next::Changes),
            (first(&self.messages), Next::Message),
            (first(&self.others), Next::Work),
        ];
        let (number, next) = fronts.into_iter().min_by_key(|(number, _)| *number)?;
        (number != u64::MAX).then_some(next)
    }

    /// The next message, to be told now.
    pub(super) fn pop_message(&mut self) -> Option<FromChild> {
        self.messages.pop_front().map(|(_, message)| message)
    }

    /// The next other work, to be done now.
    pub(super) fn pop_work(&mut self) -> Option<Work> {
        self.others.pop_front().map(|(_, work)| work)
    }

    fn pop_change(&mut self) -> Option<Asked> {
        let (_, asked) = self.changes.pop_front()?;
        if asked.change == Change::Add {
            self.additions -= 1;
            if let Owned::Address(vip) = &asked.object {
                Self::count_down(&mut self.adding, vip.address);
            }
        }
        Some(asked)
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
        let before_additions = first(&self.others);
        let before_removals = before_additions.min(first(&self.messages));
        let may_go = |(number, asked): &(u64, Asked)| match asked.change {
            Change::Add => *number < before_additions,
            Change::Remove => *number < before_removals,
        };
        let mut taken = Vec::with_capacity(most.min(self.changes.len()));
        while taken.len() < most && self.changes.front().is_some_and(may_go) {
            if let Some(Asked { owner, change, object }) = self.pop_change() {
                taken.push((owner, change, object));
            }
        }
        taken
    }

    /// The next announcements, at most so many: of bursts before which stands nothing but what is told to scripts. That
    /// can wait, so that those of many instances go out together.
    pub(super) fn announcements(&mut self, most: usize) -> Vec<(u32, IpAddr)> {
        let mut targets = Vec::new();
        let end = first(&self.changes).min(first(&self.others));
        while targets.len() < most
            && let Some((number, burst)) = self.bursts.front_mut()
            && *number < end
        {
            targets.extend(std::iter::from_fn(|| burst.step()).take(most - targets.len()));
            if !burst.is_over() {
                break;
            }
            self.drop_burst();
        }
        targets
    }

    /// Announcements of bursts whose addresses are there already, at most so many, the first round of each. Before them
    /// stand changes at most, and what is told to scripts.
    pub(super) fn early(&mut self, most: usize) -> Vec<(u32, IpAddr)> {
        let mut targets = Vec::new();
        let end = first(&self.others);
        while let Some((number, burst)) = self.bursts.get_mut(self.begun)
            && *number < end
        {
            // A further round waits for the end of the first ones.
            while let Some((_, address)) = burst.targets.get(burst.next).filter(|_| burst.rounds > 0) {
                if targets.len() == most || self.adding.contains_key(address) {
                    return targets;
                }
                targets.extend(burst.step());
            }
            if self.begun == 0 && burst.is_over() {
                self.drop_burst();
            } else {
                self.begun += 1;
            }
        }
        targets
    }

    /// The first one is over.
    fn drop_burst(&mut self) {
        self.bursts.pop_front();
        self.begun = self.begun.saturating_sub(1);
    }

    /// These could not be sent: they come first again.
    pub(super) fn put_back(&mut self, targets: Vec<(u32, IpAddr)>) {
        if !targets.is_empty() {
            self.bursts.push_front((0, Burst::new(targets, 1)));
            self.begun = 0;
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn push(&mut self, work: Work) {
        let number = self.number();
        self.others.push_back((number, work));
    }

    pub(super) fn push_message(&mut self, message: FromChild) {
        let number = self.number();
        self.messages.push_back((number, message));
    }

    pub(super) fn push_changes(&mut self, owner: Owner, change: Change, objects: Vec<Owned>) {
        self.changes.reserve(objects.len());
        for object in objects {
            if change == Change::Add {
                self.additions += 1;
                if let Owned::Address(vip) = &object {
                    *self.adding.entry(vip.address).or_default() += 1;
                }
            }
            let number = self.number();
            self.changes.push_back((number, Asked { owner, change, object }));
        }
    }

    pub(super) fn push_burst(&mut self, targets: Vec<(u32, IpAddr)>, rounds: u32) {
        let number = self.number();
        self.bursts.push_back((number, Burst::new(targets, rounds)));
    }

    /// These are to be removed: what is still queued for them must not be done. Announcing an address that another
    /// router has taken over would take its packets.
    pub(super) fn forget(&mut self, objects: &[Owned], index: impl Fn(&str) -> Option<u32>) {
        if self.additions == 0 && self.bursts.is_empty() {
            return;
        }
        let target = |object: &Owned| match object {
            Owned::Address(vip) => Some((index(&vip.interface)?, vip.address)),
            Owned::Route(_) | Owned::Rule(_) => None,
        };
        let silent: HashSet<(u32, IpAddr)> = objects.iter().filter_map(target).collect();
        let gone: HashSet<Key<'_>> = objects.iter().map(key).collect();
        for (_, burst) in &mut self.bursts {
            burst.forget(|target| silent.contains(target));
        }
        let (adding, additions) = (&mut self.adding, &mut self.additions);
        self.changes.retain(|(_, Asked { change, object, .. })| {
            if *change == Change::Remove || !gone.contains(&key(object)) {
                return true;
            }
            *additions -= 1;
            if let Owned::Address(vip) = object {
                Self::count_down(adding, vip.address);
            }
            false
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

    fn target(last: u8) -> (u32, IpAddr) {
        (1, IpAddr::from([10, 0, 0, last]))
    }

    fn is_idle(queue: &Queue) -> bool {
        queue.is_empty() && queue.next().is_none() && queue.adding.is_empty() && queue.additions == 0
    }

    #[test]
    fn an_address_is_announced_as_soon_as_it_is_there_and_the_rounds_stay_in_order() {
        let mut queue = Queue::default();
        let owner = Owner::Instance(0);
        queue.push_changes(owner, Change::Add, vec![vip(1), vip(2), vip(3)]);
        queue.push_burst(vec![target(1), target(2), target(3)], 2);
        queue.push(Work::RemoveLink { name: "x".into() });
        queue.push_changes(owner, Change::Add, vec![vip(4)]);
        assert_eq!(queue.next(), Some(Next::Changes));
        assert!(queue.early(64).is_empty());
        assert_eq!(queue.changes(1).len(), 1);
        assert_eq!(queue.early(64), [target(1)]);
        assert_eq!(queue.changes(9).len(), 2);
        assert_eq!(queue.early(64), [target(2), target(3)], "the second round waits for its turn");
        assert!(queue.early(64).is_empty());
        assert_eq!(queue.next(), Some(Next::Announcements));
        assert_eq!(queue.announcements(64), [target(1), target(2), target(3)]);
        assert_eq!(queue.next(), Some(Next::Work));
        assert!(matches!(queue.pop_work(), Some(Work::RemoveLink { .. })));
        queue.forget(&[vip(4)], |_| Some(1));
        assert!(is_idle(&queue));
    }

    #[test]
    fn bursts_of_many_instances_are_begun_once_each_and_go_on_in_order() {
        let mut queue = Queue::default();
        for number in 1..=4 {
            queue.push_changes(Owner::Instance(usize::from(number)), Change::Add, vec![vip(number)]);
            queue.push_burst(vec![target(number)], 2);
            queue.push_message(FromChild::KillScript { id: number.into() });
        }
        assert_eq!(queue.changes(3).len(), 3);
        assert_eq!(queue.early(2), [target(1), target(2)]);
        assert_eq!(queue.early(9), [target(3)], "the fourth is not there yet");
        assert_eq!(queue.changes(9).len(), 1);
        // What a full socket did not take comes before all.
        queue.put_back(vec![target(3)]);
        assert_eq!(queue.early(9), [target(3), target(4)]);
        assert_eq!(queue.announcements(3), [target(1), target(2), target(3)]);
        assert_eq!(queue.next(), Some(Next::Message));
        assert_eq!(queue.announcements(9), [target(4)]);
        let ids: Vec<_> = std::iter::from_fn(|| queue.pop_message()).collect();
        assert_eq!(ids, [1, 2, 3, 4].map(|id| FromChild::KillScript { id }));
        assert!(is_idle(&queue));
    }

    #[test]
    fn changes_of_many_instances_go_together_and_scripts_still_find_their_addresses() {
        let mut queue = Queue::default();
        for number in 1..=3 {
            let owner = Owner::Instance(usize::from(number));
            queue.push_changes(owner, Change::Add, vec![vip(number)]);
            queue.push_burst(vec![target(number)], 1);
            queue.push_message(FromChild::KillScript { id: number.into() });
        }
        queue.push_changes(Owner::Instance(1), Change::Remove, vec![vip(9)]);
        queue.push(Work::RemoveLink { name: "x".into() });
        queue.push_changes(Owner::Instance(1), Change::Add, vec![vip(4)]);
        let owners: Vec<_> = queue.changes(2).into_iter().map(|(owner, ..)| owner).collect();
        assert_eq!(owners, [Owner::Instance(1), Owner::Instance(2)]);
        assert_eq!(queue.changes(9).len(), 1, "a removal waits for what scripts are told before it");
        assert!(queue.changes(9).is_empty());
        assert_eq!(queue.announcements(2), [target(1), target(2)], "before what scripts are told");
        assert_eq!(queue.announcements(9), [target(3)]);
        assert!(queue.announcements(9).is_empty());
        let mut told = 0;
        while queue.next() == Some(Next::Message) {
            told += usize::from(queue.pop_message().is_some());
        }
        assert_eq!(told, 3);
        assert_eq!(queue.changes(9).len(), 1, "an addition waits for links");
        assert!(matches!(queue.pop_work(), Some(Work::RemoveLink { .. })));
        assert_eq!(queue.changes(9).len(), 1);
        assert!(is_idle(&queue));
    }

    #[test]
    fn what_could_not_be_sent_comes_first_and_is_forgotten_like_the_rest() {
        let mut queue = Queue::default();
        queue.push_burst(vec![target(1), target(2), target(3), target(4)], 1);
        let taken = queue.announcements(3);
        queue.put_back(taken[1..].to_vec());
        assert_eq!(queue.early(1), [target(2)]);
        queue.forget(&[vip(3)], |_| Some(1));
        assert_eq!(queue.announcements(9), [target(4)]);
        assert!(is_idle(&queue));
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
