//! What a virtual server knows of its real servers, for itself, for a successor and for reports: plain data.

use serde::{Deserialize, Serialize};

use crate::config::model::{Rare, RealServer};
use crate::lvs::matching::Origin;
use crate::lvs::pooling::Pooling;

/// What a successor needs to know (version 1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Is there a quorum?
    pub quorum_up: bool,
    /// Per real server, in the order of the configuration.
    pub real_servers: Vec<RealServerState>,
}

/// One real server's part of [`State`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServerState {
    /// Per checker: has it failed? Those that are missing have not.
    pub failed: Vec<bool>,
    /// Per checker: what it adds to the weight. Those that are missing add nothing.
    pub contributions: Vec<i64>,
    /// Was `notify_down` run for a start as failed?
    pub told_down: bool,
    /// Ramp, drain, held.
    pub pooling: Rare<Pooling>,
}

impl RealServerState {
    pub(in crate::lvs) fn alive(&self) -> bool {
        !self.failed.contains(&true)
    }

    /// One with these results. Where nothing has failed nothing is noted: there may be tens of thousands.
    pub fn with(failed: impl Iterator<Item = bool>) -> Self {
        let mut state = Self {
            failed: Vec::new(),
            contributions: Vec::new(),
            told_down: false,
            pooling: Rare::default(),
        };
        for (checker, failed) in failed.enumerate() {
            state.note(checker, failed);
        }
        state
    }

    /// Has this checker failed?
    pub fn has_failed(&self, checker: usize) -> bool {
        self.failed.get(checker).copied().unwrap_or(false)
    }

    /// Says whether that is new.
    pub(super) fn note(&mut self, checker: usize, failed: bool) -> bool {
        if self.failed.len() <= checker && failed {
            self.failed.resize(checker + 1, false);
        }
        self.failed.get_mut(checker).is_some_and(|before| std::mem::replace(before, failed) != failed)
    }

    pub(super) fn contribution(&self, checker: usize) -> i64 {
        self.contributions.get(checker).copied().unwrap_or(0)
    }

    /// Most checkers never add anything, and take no room for it.
    pub(super) fn contribute(&mut self, checker: usize, weight: i64) {
        if self.contributions.len() <= checker && weight != 0 {
            self.contributions.resize(checker + 1, 0);
        }
        if let Some(place) = self.contributions.get_mut(checker) {
            *place = weight;
        }
    }
}

/// For reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Is there a quorum?
    pub quorum_up: bool,
    /// Is the sorry server in service?
    pub sorry_active: bool,
    /// In the order of the configuration.
    pub real_servers: Vec<RealServerSnapshot>,
}

/// One real server of a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServerSnapshot {
    /// No checker has failed.
    pub alive: bool,
    /// It is wanted in the kernel's table (perhaps with weight 0).
    pub set: bool,
    /// How many checkers have failed.
    pub failed_checkers: usize,
    /// Configured weight and contributions, not clamped.
    pub effective_weight: i64,
    /// Its weight in the pool: less during a slow start, 0 while it is drained.
    pub pool_weight: u32,
    /// Ramp, drain, held.
    pub pooling: Pooling,
    /// Per checker: what it adds to the weight.
    pub contributions: Vec<i64>,
}

/// A real server at start: alpha checkers count as failed.
pub(super) fn fresh(rs: &RealServer) -> RealServerState {
    RealServerState::with(rs.checkers.iter().map(|checker| checker.alpha))
}

/// A real server over a reload. Checkers keep their result; new ones of a server that was down because of checkers
/// that are gone start as failed, so that the server stays down until a check has passed (stock revives it).
pub(super) fn carried(old: &RealServerState, origin: &Origin, rs: &RealServer) -> RealServerState {
    let lost_a_failed_one = old
        .failed
        .iter()
        .enumerate()
        .any(|(index, failed)| *failed && !origin.checkers.contains(&Some(index)));
    let failed = origin.checkers.iter().zip(&rs.checkers).map(|(before, checker)| match before {
        Some(index) => old.has_failed(*index),
        None => lost_a_failed_one || (checker.alpha && !old.alive()),
    });
    let mut state = RealServerState {
        told_down: old.told_down,
        pooling: old.pooling.clone(),
        ..RealServerState::with(failed)
    };
    for (checker, before) in origin.checkers.iter().enumerate() {
        state.contribute(checker, before.map_or(0, |index| old.contribution(index)));
    }
    state
}
