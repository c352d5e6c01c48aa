//! Memory that a burst of work has used and that nobody uses any more: when it goes back. Pages that go back cost time, now
//! and when they are needed again; so it is some seconds after the last burst, and when nothing is due for a moment.

use std::time::Duration;

use crate::kernel::memory;
use crate::kernel::timer::now;
use crate::time::Time;

/// Longer than the parts of a takeover are apart: a second round of announcements follows after five seconds by default.
const PAUSE: Duration = Duration::from_secs(6);
/// Several times what giving back the memory of a thousand instances takes.
const MOMENT: Duration = Duration::from_millis(3);

/// Is there anything to give back, and when?
#[derive(Default)]
pub(super) struct Litter {
    due: Option<Time>,
}

impl Litter {
    /// Work has used memory that is not used any more.
    pub(super) fn leave(&mut self, now: Time) {
        self.due = Some(now + PAUSE);
    }

    /// Leaves an empty list as much room as this, and what is beyond as litter.
    pub(super) fn shrink<T>(&mut self, list: &mut Vec<T>, room: usize) {
        if list.is_empty() && list.capacity() > room {
            *list = Vec::new();
            self.leave(now());
        }
    }

    /// When to come back for [`Self::clear`]. Who is late for it comes with whatever else there is to do.
    pub(super) fn due(&self, now: Time) -> Option<Time> {
        self.due.filter(|due| *due > now)
    }

    /// Is this the moment? Then [`Self::clear`] is to be called; what happens next is due at `next`.
    pub(super) fn is_due(&self, now: Time, next: Option<Time>) -> bool {
        self.due.is_some_and(|due| due <= now) && next.is_none_or(|next| next > now + MOMENT)
    }

    /// Gives all of it back to the kernel.
    pub(super) fn clear(&mut self) {
        self.due = None;
        memory::trim();
        memory::trim_stack();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_cleared_once_some_seconds_after_the_last_burst_and_when_nothing_is_due() {
        let (mut litter, begin) = (Litter::default(), now());
        assert!(!litter.is_due(begin, None) && litter.due(begin).is_none());
        litter.leave(begin);
        let second = begin + Duration::from_secs(5);
        litter.leave(second);
        let due = second + PAUSE;
        assert_eq!(litter.due(second), Some(due));
        assert!(!litter.is_due(begin + PAUSE, None), "the second burst was not over");
        assert!(!litter.is_due(due, Some(due + Duration::from_millis(1))), "an advert would wait");
        assert_eq!(litter.due(due), None, "no alarm is set for what waits for its moment");
        assert!(litter.is_due(due, Some(due + Duration::from_millis(8))) && litter.is_due(due, None));
        litter.clear();
        assert!(!litter.is_due(due + PAUSE, None) && litter.due(due).is_none());
    }

    #[test]
    fn an_empty_list_keeps_some_room_and_a_full_one_all() {
        let mut litter = Litter::default();
        let mut list = Vec::with_capacity(100);
        litter.shrink(&mut list, 200);
        list.push(1);
        litter.shrink(&mut list, 10);
        assert!(list.capacity() >= 100 && litter.due.is_none());
        list.clear();
        litter.shrink(&mut list, 10);
        assert!(list.capacity() == 0 && litter.due.is_some());
    }
}
