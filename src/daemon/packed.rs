//! Many things in one message, written down one behind the other: who sends them need not copy them before, and who
//! receives them takes one at a time, and so needs no memory for what it has already.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::slot::Part;
use crate::config::model::{CheckTiming, CheckersPart, Config, VirtualServer};

/// What the checkers process is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PackedCheckers {
    /// All but the virtual servers.
    pub common: CheckersPart,
    /// The virtual servers.
    pub virtual_servers: Packed<VirtualServer>,
}

impl Part for PackedCheckers {
    fn of(config: &Config) -> Option<Self> {
        (!config.virtual_servers.is_empty()).then(|| Self {
            common: config.checkers_common(),
            virtual_servers: Packed::new(&config.virtual_servers),
        })
    }

    fn idle(config: &Config) -> Self {
        let common = CheckersPart { global: config.global.clone(), ..CheckersPart::default() };
        Self { common, virtual_servers: Packed::default() }
    }
}

/// Any number of `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed<T> {
    bytes: Vec<u8>,
    of: PhantomData<T>,
}

impl<T> Default for Packed<T> {
    fn default() -> Self {
        Self { bytes: Vec::new(), of: PhantomData }
    }
}

impl<T: Serialize> Packed<T> {
    /// All of these.
    pub(super) fn new(items: &[T]) -> Self {
        let bytes = items.iter().fold(Vec::new(), |bytes, item| {
            postcard::to_extend(item, bytes).expect("plain data can be written into memory")
        });
        Self { bytes, of: PhantomData }
    }
}

impl<T: DeserializeOwned> Packed<T> {
    /// One after the other. Behind an error there is nothing more.
    pub fn iter(&self) -> impl Iterator<Item = Result<T, postcard::Error>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (item, behind) = match postcard::take_from_bytes(rest) {
                Ok((item, behind)) => (Ok(item), behind),
                Err(error) => (Err(error), &[][..]),
            };
            rest = behind;
            Some(item)
        })
    }
}

impl Packed<VirtualServer> {
    /// One after the other; checks that follow each other share their timing, if it is the same.
    pub(super) fn sharing(&self) -> impl Iterator<Item = Result<VirtualServer, postcard::Error>> {
        let mut last: Option<Arc<CheckTiming>> = None;
        self.iter().map(move |server| {
            let mut server = server?;
            for checker in server.real_servers.iter_mut().flat_map(|real| &mut real.checkers) {
                match &last {
                    Some(known) if *known == checker.timing => checker.timing = Arc::clone(known),
                    _ => last = Some(Arc::clone(&checker.timing)),
                }
            }
            Ok(server)
        })
    }
}

impl<T> Serialize for Packed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de, T> Deserialize<'de> for Packed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }

        deserializer.deserialize_byte_buf(Bytes).map(|bytes| Self { bytes, of: PhantomData })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lvs::virtual_server::tests::virtual_server;

    #[test]
    fn what_was_packed_comes_out_again_one_by_one() {
        let servers: Vec<_> = (0..4).map(virtual_server).collect();
        let sent = postcard::to_stdvec(&Packed::new(&servers)).unwrap();
        let received: Packed<VirtualServer> = postcard::from_bytes(&sent).unwrap();
        let out: Result<Vec<_>, _> = received.iter().collect();
        assert_eq!(out.unwrap(), servers);
        assert_eq!(Packed::<VirtualServer>::default().iter().count(), 0);
    }

    #[test]
    fn checks_that_follow_each_other_share_their_timing() {
        let mut servers: Vec<_> = (2..4).map(virtual_server).collect();
        Arc::make_mut(&mut servers[1].real_servers[2].checkers[0].timing).retry = 7;
        let out: Vec<_> = Packed::new(&servers).sharing().map(Result::unwrap).collect();
        assert_eq!(out, servers);
        let timing = |server: usize, real: usize| &out[server].real_servers[real].checkers[0].timing;
        assert!(Arc::ptr_eq(timing(0, 0), timing(1, 1)));
        assert!(!Arc::ptr_eq(timing(1, 1), timing(1, 2)));
    }

    #[test]
    fn what_is_cut_off_ends_with_one_error() {
        let mut packed = Packed::new(&[virtual_server(2), virtual_server(2)]);
        packed.bytes.pop();
        let out: Vec<_> = packed.iter().collect();
        assert!(matches!(&out[..], [Ok(_), Err(_)]), "{out:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_go_on_for_ever(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let packed = Packed::<VirtualServer> { bytes, of: PhantomData };
            prop_assert!(packed.iter().count() <= 201);
        }
    }
}
