//! Which of an owner's objects are in the kernel because of us, and which of them others keep taking away.
//!
//! What is wanted and not there is added, what is there and not wanted is removed, and nothing else is touched. Who
//! loses the same object three times in ten seconds does not fight on: it is tried again after a pause, which grows.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::owned::{Object, Owned};
use crate::time::Time;

/// So many losses of one object …
const LOSSES: usize = 3;
/// … within this time are a fight.
const WINDOW: Duration = Duration::from_secs(10);
/// The first pause of a fight; the next ones are twice as long each …
const PAUSE: Duration = Duration::from_secs(10);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(160);

/// Whether one object is in the kernel because of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
enum Mark {
    /// No: not asked for, refused, gone with its interface, or in a pause.
    #[default]
    Absent,
    /// Yes.
    Set,
    /// Somebody took it away, and it is not tracked: it stays so until the next takeover.
    Left,
}

/// An object that others took away lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Contest {
    position: usize,
    /// When it was lost, the latest last; [`LOSSES`] at most.
    losses: Vec<Time>,
    /// The last pause.
    pause: Duration,
    /// It is tried again then.
    retry: Option<Time>,
}

/// What to do about an object that somebody took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Put it back at once.
    PutBack,
    /// Wait so long.
    Pause(Duration),
}

/// The marks of an owner's list, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Holdings {
    marks: Vec<Mark>,
    contests: Vec<Contest>,
}

impl Holdings {
    /// Nothing of `count` objects is there.
    pub(super) fn none(count: usize) -> Self {
        Self { marks: vec![Mark::Absent; count], contests: Vec::new() }
    }

    /// Everything is, or may be.
    pub(super) fn assume_all(&mut self) {
        self.marks.fill(Mark::Set);
    }

    /// Nothing is, and nothing was lost to others.
    pub(super) fn forget(&mut self) {
        self.marks.fill(Mark::Absent);
        self.contests.clear();
    }

    /// Is there anything to add now?
    pub(super) fn is_incomplete(&self) -> bool {
        (0..self.marks.len()).any(|position| self.is_wanting(position))
    }

    fn is_wanting(&self, position: usize) -> bool {
        self.marks[position] == Mark::Absent && !self.is_paused(position)
    }

    fn is_paused(&self, position: usize) -> bool {
        self.contests.iter().any(|contest| contest.position == position && contest.retry.is_some())
    }

    /// One mark for each object.
    pub(super) fn marks(&self) -> impl Iterator<Item = bool> + '_ {
        self.marks.iter().map(|mark| *mark == Mark::Set)
    }

    /// It is gone. Says whether it was there.
    pub(super) fn lose(&mut self, position: usize) -> bool {
        let Some(mark) = self.marks.get_mut(position).filter(|mark| **mark == Mark::Set) else {
            return false;
        };
        *mark = Mark::Absent;
        true
    }

    /// A lost one is not to be put back before the next takeover.
    pub(super) fn leave(&mut self, position: usize) {
        if let Some(mark) = self.marks.get_mut(position) {
            *mark = Mark::Left;
        }
    }

    /// A lost one was taken away by somebody else.
    pub(super) fn contest(&mut self, position: usize, now: Time) -> Answer {
        let known = self.contests.iter().position(|contest| contest.position == position);
        let place = known.unwrap_or_else(|| {
            let new = Contest { position, losses: Vec::new(), pause: Duration::ZERO, retry: None };
            self.contests.push(new);
            self.contests.len() - 1
        });
        let contest = &mut self.contests[place];
        if contest.losses.last().is_some_and(|last| now.since(*last) > contest.pause * 2 + WINDOW) {
            contest.pause = Duration::ZERO;
        }
        contest.losses.retain(|loss| now.since(*loss) < WINDOW);
        contest.losses.push(now);
        if contest.losses.len() < LOSSES {
            return Answer::PutBack;
        }
        contest.losses.drain(..LOSSES - 1);
        contest.pause = (contest.pause * 2).clamp(PAUSE, LONGEST_PAUSE);
        contest.retry = Some(now + contest.pause);
        Answer::Pause(contest.pause)
    }

    /// When the next pause ends.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.contests.iter().filter_map(|contest| contest.retry).min()
    }

    /// Ends the pauses that are over. Says whether there was one.
    pub(super) fn resume(&mut self, now: Time) -> bool {
        let mut is_any = false;
        for contest in &mut self.contests {
            if contest.retry.is_some_and(|at| at <= now) {
                contest.retry = None;
                is_any = true;
            }
        }
        is_any
    }

    /// What is not there and not in a pause, to be added; it counts as there from now on.
    pub(super) fn claim<'a>(&mut self, objects: impl Iterator<Item = Object<'a>>) -> Vec<Owned> {
        let mut claimed = Vec::new();
        for (position, object) in objects.enumerate() {
            if self.marks.get(position).is_some() && self.is_wanting(position) {
                self.marks[position] = Mark::Set;
                claimed.push(object.to_owned());
            }
        }
        claimed
    }

    /// One object; it counts as there from now on.
    pub(super) fn claim_one(&mut self, position: usize) {
        if let Some(mark) = self.marks.get_mut(position) {
            *mark = Mark::Set;
        }
    }

    /// What is there, to be removed: rules, routes, addresses. Nothing is there from now on, and what was lost to
    /// others is forgotten.
    pub(super) fn release<'a>(&mut self, objects: impl Iterator<Item = Object<'a>>) -> Vec<Owned> {
        let held = objects.zip(self.marks()).filter(|(_, set)| *set).map(|(object, _)| object.to_owned());
        let held = in_removal_order(held.collect());
        self.forget();
        held
    }

    /// The list is another one: objects that are in both keep their marks. Returns what is there and is not wanted
    /// any more.
    pub(super) fn carry_over<'a>(
        &mut self,
        before: impl Iterator<Item = Object<'a>>,
        after: impl Iterator<Item = Object<'a>>,
    ) -> Vec<Owned> {
        let mut old: HashMap<Object<'_>, (usize, Mark)> = before
            .zip(&self.marks)
            .zip(0..)
            .map(|((object, mark), place)| (object, (place, *mark)))
            .collect();
        let mut moved = HashMap::new();
        let marks = after.enumerate().map(|(position, object)| match old.remove(&object) {
            Some((place, mark)) => {
                moved.insert(place, position);
                mark
            }
            None => Mark::Absent,
        });
        self.marks = marks.collect();
        self.contests.retain_mut(|contest| match moved.get(&contest.position) {
            Some(position) => {
                contest.position = *position;
                true
            }
            None => false,
        });
        let mut gone: Vec<_> = old.into_iter().filter(|(_, (_, mark))| *mark == Mark::Set).collect();
        gone.sort_unstable_by_key(|(_, (place, _))| *place);
        in_removal_order(gone.into_iter().map(|(object, _)| object.to_owned()).collect())
    }
}

/// Rules, routes, addresses; each kind in the order of the list (spec/vrrp-behaviour.md §4.2).
pub(super) fn in_removal_order(mut objects: Vec<Owned>) -> Vec<Owned> {
    objects.sort_by_key(|object| match object {
        Owned::Rule(_) => 0,
        Owned::Route(_) => 1,
        Owned::Address(_) => 2,
    });
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn the_third_loss_in_ten_seconds_is_a_fight_and_every_further_one_costs_twice_as_much() {
        let mut held = Holdings::none(2);
        for start in [100, 110] {
            held.claim_one(1);
            assert_eq!(held.contest(1, at(start)), Answer::PutBack);
        }
        assert_eq!(held.contest(1, at(119)), Answer::PutBack, "the first is ten seconds ago");
        assert_eq!(held.contest(1, at(119)), Answer::Pause(PAUSE));
        assert_eq!(held.deadline(), Some(at(129)));
        assert!(!held.resume(at(128)) && held.resume(at(129)) && held.deadline().is_none());
        assert_eq!(held.contest(1, at(130)), Answer::PutBack);
        assert_eq!(held.contest(1, at(131)), Answer::PutBack);
        assert_eq!(held.contest(1, at(131)), Answer::Pause(PAUSE * 2));
        assert_eq!(held.contest(0, at(131)), Answer::PutBack, "each object for itself");
        for n in 0..20 {
            held.contest(1, at(132 + n));
        }
        assert!(held.deadline() <= Some(at(151) + LONGEST_PAUSE));
        assert_eq!(held.contest(1, at(1000)), Answer::PutBack);
        held.contest(1, at(1000));
        assert_eq!(held.contest(1, at(1000)), Answer::Pause(PAUSE), "after a long peace all is forgotten");
    }

    #[test]
    fn an_object_in_a_pause_and_one_that_was_left_are_not_claimed() {
        let mut held = Holdings::none(3);
        assert!(held.is_incomplete());
        (0..3).for_each(|position| held.claim_one(position));
        assert!(!held.is_incomplete());
        held.lose(0);
        held.leave(0);
        held.lose(1);
        (0..3).for_each(|_| _ = held.contest(1, at(5)));
        assert!(!held.is_incomplete());
        held.resume(at(15));
        assert!(held.is_incomplete());
        held.forget();
        assert_eq!(held.marks().filter(|set| *set).count(), 0);
        assert!((0..3).all(|position| held.is_wanting(position)));
    }
}
