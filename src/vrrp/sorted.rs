//! A table that is made in one go and only read from then on: a sorted list, in which a key is found by halving. It
//! takes a third of the room of a hash table of small entries.

/// Entries in the order of their keys; one key may have several, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sorted<K, V>(Vec<(K, V)>);

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Sorted<K, V> {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(entries: T) -> Self {
        let mut entries: Vec<(K, V)> = entries.into_iter().collect();
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        entries.shrink_to_fit();
        Self(entries)
    }
}

impl<K: Ord, V> Sorted<K, V> {
    /// All entries of this key.
    pub(super) fn of(&self, key: &K) -> &[(K, V)] {
        let rest = &self.0[self.0.partition_point(|(known, _)| known < key)..];
        &rest[..rest.iter().take_while(|(known, _)| known == key).count()]
    }

    /// Has this key an entry?
    pub(super) fn has(&self, key: &K) -> bool {
        self.0.binary_search_by(|(known, _)| known.cmp(key)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_one_key_stay_in_their_order() {
        let table: Sorted<u8, char> =
            [(9, 'a'), (2, 'b'), (9, 'c'), (2, 'd'), (5, 'e')].into_iter().collect();
        assert_eq!(table.of(&9), [(9, 'a'), (9, 'c')]);
        assert_eq!(table.of(&2), [(2, 'b'), (2, 'd')]);
        assert_eq!(table.of(&5), [(5, 'e')]);
        for key in [0, 3, 10] {
            assert!(table.of(&key).is_empty() && !table.has(&key));
        }
        assert!(table.has(&2) && table.has(&9));
        assert!(Sorted::<u8, u8>::default().of(&1).is_empty());
    }
}
