//! A core's [`State`](super::reload::State) as it is written down: the same bytes, without a copy of everything first. It is
//! told after every change of a state, however many instances there are.

use serde::ser::{SerializeSeq as _, SerializeStruct as _};
use serde::{Serialize, Serializer};

use super::owned::{Object, objects, static_objects};
use super::reload::{IdentityRef, VERSION};
use super::router::Router;
use crate::config::model::Instance;

impl Router {
    /// What a successor needs, to be written down at once: reads back as [`State`](super::State).
    pub fn state_view(&self) -> impl Serialize + '_ {
        View(self)
    }
}

struct View<'a>(&'a Router);

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(router) = self;
        let part = &router.part;
        let groups = part.sync_groups.iter().zip(&router.groups).map(|(group, run)| (&group.name, run));
        let scripts = part.scripts.iter().zip(&router.scripts);
        let scripts = scripts.map(|(script, run)| (&script.name, &script.command, run));
        let statics = List(|| static_objects(&part.statics));
        let mut state = serializer.serialize_struct("State", 14)?;
        state.serialize_field("version", &VERSION)?;
        state.serialize_field("phase", &router.phase)?;
        state.serialize_field("readings", &router.readings)?;
        state.serialize_field("lateness", &router.lateness)?;
        state.serialize_field("facts", &router.facts)?;
        state.serialize_field("pacer", &router.pacer)?;
        state.serialize_field("next_script", &router.next_script)?;
        state.serialize_field("listeners", &router.listeners)?;
        state.serialize_field("links", &router.links)?;
        state.serialize_field("firewall", &router.firewall)?;
        state.serialize_field("instances", &List(|| instances(router)))?;
        state.serialize_field("groups", &List(|| groups.clone()))?;
        state.serialize_field("statics", &(statics, &router.statics))?;
        state.serialize_field("scripts", &List(|| scripts.clone()))?;
        state.end()
    }
}

fn instances(router: &Router) -> impl Iterator<Item = impl Serialize> {
    let pairs = router.part.instances.iter().zip(&router.runs);
    pairs.map(|(instance, run)| (IdentityRef::of(instance), Objects(instance), run))
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
