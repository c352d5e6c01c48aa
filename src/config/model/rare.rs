//! A part of the model that most objects do not have: it takes a pointer's room until it says something.

use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a [`Rare`] holds when nothing was said.
pub trait Blank: Default + PartialEq + 'static {
    /// The default value, for everybody.
    fn blank() -> &'static Self;
}

/// A `T` that mostly is its default. Behaves as the `T` itself.
#[derive(Debug, Clone, Default)]
pub struct Rare<T>(Option<Box<T>>);

/// A list that mostly is empty, as part of a [`Rare`].
impl<T: PartialEq + 'static> Blank for Vec<T> {
    fn blank() -> &'static Self {
        const { &Self::new() }
    }
}

impl<'a, T: PartialEq + 'static> IntoIterator for &'a Rare<Vec<T>> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Blank> From<T> for Rare<T> {
    fn from(value: T) -> Self {
        Self((value != *T::blank()).then(|| Box::new(value)))
    }
}

impl<T: Blank> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or_else(|| T::blank())
    }
}

impl<T: Blank> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Blank> PartialEq for Rare<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Blank + Eq> Eq for Rare<T> {}

impl<T: Blank + Hash> Hash for Rare<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: Blank + Serialize> Serialize for Rare<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_deref().filter(|value| *value != T::blank()).serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Rare<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
    struct Words {
        list: Vec<u8>,
    }

    impl Blank for Words {
        fn blank() -> &'static Self {
            static BLANK: Words = Words { list: Vec::new() };
            &BLANK
        }
    }

    #[test]
    fn it_behaves_as_the_value_and_the_default_takes_no_room() {
        let mut rare: Rare<Words> = Rare::default();
        assert!(rare.list.is_empty() && Rare::from(Words::default()).0.is_none());
        rare.list.push(3);
        assert_eq!(*rare, Words { list: vec![3] });
        let bytes = postcard::to_stdvec(&rare).unwrap();
        assert_eq!(postcard::from_bytes::<Rare<Words>>(&bytes).unwrap(), rare);
        let list: Rare<Vec<u8>> = vec![1, 2].into();
        assert_eq!((&list).into_iter().sum::<u8>(), 3);
        assert_eq!(size_of_val(&list), size_of::<usize>());
        rare.list.clear();
        assert_eq!(rare, Rare::default());
        assert_eq!(postcard::to_stdvec(&rare).unwrap(), [0]);
    }
}
