//! A core's [`State`](super::reload::State) as it is written down: the same bytes, without a copy of everything first. It is
//! told after every change of a state, however many instances there are: so it comes in pieces, and what is due in
//! between is not kept waiting.

use serde::ser::{SerializeSeq as _, SerializeTuple as _};
use serde::{Serialize, Serializer};

use super::owned::{Object, objects, static_objects};
use super::reload::{IdentityRef, VERSION};
use super::router::Router;
use crate::config::model::Instance;

impl Router {
    /// What a successor needs, in this many pieces, to be written down one after the other in a format without framing
    /// (postcard): together they read back as [`State`](super::State). Nothing but adverts may happen between the first
    /// and the last.
    pub fn state_pieces(&self) -> usize {
        self.part.instances.len() + 2
    }

    /// One of [`Self::state_pieces`]; nothing for a number beyond.
    pub fn state_piece(&self, number: usize) -> impl Serialize + '_ {
        Piece { router: self, number }
    }
}

struct Piece<'a> {
    router: &'a Router,
    number: usize,
}

impl Serialize for Piece<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { router, number } = self;
        let instances = &router.part.instances;
        match number.checked_sub(1) {
            None => {
                let mut head = serializer.serialize_tuple(11)?;
                head.serialize_element(&VERSION)?;
                head.serialize_element(&router.phase)?;
                head.serialize_element(&router.readings)?;
                head.serialize_element(&router.lateness)?;
                head.serialize_element(&router.facts)?;
                head.serialize_element(&router.pacer)?;
                head.serialize_element(&router.next_script)?;
                head.serialize_element(&router.listeners)?;
                head.serialize_element(&router.links)?;
                head.serialize_element(&router.firewall)?;
                // The count that a sequence begins with.
                head.serialize_element(&instances.len())?;
                head.end()
            }
            Some(i) if i < instances.len() => {
                let (instance, run) = (&instances[i], &router.runs[i]);
                (IdentityRef::of(instance), Objects(instance), run).serialize(serializer)
            }
            Some(i) if i == instances.len() => {
                let part = &router.part;
                let groups =
                    part.sync_groups.iter().zip(&router.groups).map(|(group, run)| (&group.name, run));
                let scripts = part.scripts.iter().zip(&router.scripts);
                let scripts = scripts.map(|(script, run)| (&script.name, &script.command, run));
                let statics = List(|| static_objects(&part.statics));
                (List(|| groups.clone()), (statics, &router.statics), List(|| scripts.clone()))
                    .serialize(serializer)
            }
            Some(_) => serializer.serialize_unit(),
        }
    }
}

struct Objects<'a>(&'a Instance);

impl Serialize for Objects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        List(|| objects(self.0)).serialize(serializer)
    }
}

/// A sequence, made anew for counting and for writing: the compact format wants the count first.
struct List<F>(F);

impl<I: Iterator<Item = T>, T: Serialize, F: Fn() -> I> Serialize for List<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some((self.0)().count()))?;
        for item in (self.0)() {
            sequence.serialize_element(&item)?;
        }
        sequence.end()
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // As `Owned`.
        match self {
            Self::Address(address) => serializer.serialize_newtype_variant("Owned", 0, "Address", address),
            Self::Route(route) => serializer.serialize_newtype_variant("Owned", 1, "Route", route),
            Self::Rule(rule) => serializer.serialize_newtype_variant("Owned", 2, "Rule", rule),
        }
    }
}
