//! A list that nearly always has one entry, and then takes no room but the entry's.

use std::ops::Deref;

/// One or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Few<T> {
    One(T),
    More(Vec<T>),
}

impl<T: Copy> Few<T> {
    /// Adds an entry at the end.
    pub(super) fn push(&mut self, entry: T) {
        match self {
            Self::One(first) => *self = Self::More(vec![*first, entry]),
            Self::More(entries) => entries.push(entry),
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::More(entries) => entries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stay_in_order_and_one_takes_no_more_than_a_list() {
        let mut few = Few::One((1_usize, 2_usize));
        assert_eq!(*few, [(1, 2)]);
        few.push((3, 4));
        few.push((5, 6));
        assert_eq!(*few, [(1, 2), (3, 4), (5, 6)]);
        assert!(size_of::<Few<(usize, usize)>>() <= size_of::<Vec<u8>>());
    }
}
