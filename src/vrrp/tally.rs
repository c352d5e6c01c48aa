//! What an instance counts. Most of what can be wrong never is, and takes no room until then.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

use super::snapshot::Counters;
use crate::config::model::{Blank, Rare};

/// Behaves as the [`Counters`], as far as what it has of its own is concerned and what is rare.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) advert_rcvd: u64,
    pub(super) advert_sent: u64,
    pub(super) become_master: u64,
    pub(super) release_master: u64,
    pub(super) last_error: u8,
    pub(super) master_reason: u8,
    /// All others.
    rare: Rare<Counters>,
}

impl Tally {
    /// All of them.
    pub(super) fn counters(&self) -> Counters {
        Counters {
            advert_rcvd: self.advert_rcvd,
            advert_sent: self.advert_sent,
            become_master: self.become_master,
            release_master: self.release_master,
            last_error: self.last_error,
            master_reason: self.master_reason,
            ..*self.rare
        }
    }

    /// Begins anew; what happened last stays known.
    pub(super) fn clear(&mut self) {
        let (last_error, master_reason) = (self.last_error, self.master_reason);
        *self = Self { last_error, master_reason, ..Self::default() };
    }
}

impl Deref for Tally {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.rare
    }
}

impl DerefMut for Tally {
    fn deref_mut(&mut self) -> &mut Counters {
        &mut self.rare
    }
}

impl Blank for Counters {
    fn blank() -> &'static Self {
        static BLANK: Counters = Counters::NONE;
        &BLANK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_counted_gets_lost() {
        let mut tally = Tally::default();
        assert_eq!(tally.counters(), Counters::default());
        tally.advert_rcvd += 1;
        tally.advert_sent += 2;
        tally.become_master += 3;
        tally.release_master += 4;
        tally.last_error = 2;
        tally.master_reason = 3;
        tally.checksum_err += 5;
        tally.pri_zero_sent += 6;
        let expected = Counters {
            advert_rcvd: 1,
            advert_sent: 2,
            become_master: 3,
            release_master: 4,
            last_error: 2,
            master_reason: 3,
            checksum_err: 5,
            pri_zero_sent: 6,
            ..Counters::default()
        };
        assert_eq!(tally.counters(), expected);
        tally.clear();
        assert_eq!(tally.counters(), Counters { last_error: 2, master_reason: 3, ..Counters::default() });
        assert!(size_of::<Tally>() <= 48);
    }
}
