//! What holds after all is read: every setting of every block, its value, and where the value comes from.
//!
//! The values are the model's where it has them, else what the file says; the origins are those of the [`Trace`](super::trace::Trace). One
//! table of words ([`super::catalogue`]) decides what there is to show. For `explain --effective`; the daemon never
//! builds it.

mod build;
mod json;
mod kinds;
mod made;
mod model;
mod sources;

pub use build::effective;
pub use json::as_json;
pub use sources::shown_as;

use serde_json::Value;

use super::blocks::settings;
use super::preprocess::OUR_ID;
use super::schema::Keyword;

/// A block and what is in it.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its keyword; the top level has none.
    pub keyword: Option<&'static Keyword>,
    /// The words behind it.
    pub names: Vec<String>,
    /// Where it is opened; several times for blocks that add up, never for one that only has defaults.
    pub places: Vec<Place>,
    /// Why it has no effect.
    pub ignored: Option<String>,
    /// What else there is to say about it.
    pub notes: Vec<String>,
    /// Its settings, in the order of the keyword table.
    pub settings: Vec<Setting>,
    /// The blocks in it, in the order of the file.
    pub sections: Vec<Section>,
}

/// One keyword of a block.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The table entry.
    pub keyword: &'static Keyword,
    /// The effective value; `Null` when it is unset, or when only the default's description is known.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
    /// Why it is not what its origin says.
    pub corrected: Option<String>,
    /// What else there is to say about its line.
    pub notes: Vec<String>,
    /// Where a list goes on: further blocks of the same keyword.
    pub more: Vec<Place>,
    /// The lines of a list, and the lines of a keyword whose values add up.
    pub entries: Vec<Entry>,
    /// Lines that did not count.
    pub unused: Vec<Unused>,
}

impl Setting {
    /// As the file has it: ours stand behind a prefix.
    pub fn written(&self) -> String {
        let name = self.keyword.name;
        if settings::find(name).is_some() { format!("@{OUR_ID} {name}") } else { name.to_owned() }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of this block.
    File(Place),
    /// A line elsewhere, of this keyword in that block.
    Inherited {
        /// `global_defs`, `virtual_server` …
        block: &'static str,
        /// Its keyword there.
        keyword: &'static str,
        /// The line.
        place: Place,
    },
    /// Nobody says it.
    Default,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as messages call it.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// The logical line as it reads after substitution; secrets are not shown.
    pub text: String,
}

/// One line of a list.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As it holds.
    pub value: String,
    /// The line.
    pub place: Place,
    /// The sync group that brings it, for one that is not the block's own.
    pub group: Option<String>,
    /// Why it does not count.
    pub ignored: Option<String>,
    /// What else there is to say about it.
    pub notes: Vec<String>,
}

/// A line that did not count.
#[derive(Debug, Clone)]
pub struct Unused {
    /// The line.
    pub place: Place,
    /// Why.
    pub why: String,
}

impl Section {
    /// The keyword, or what the top level is called.
    pub fn name(&self) -> &'static str {
        self.keyword.map_or("", |keyword| keyword.name)
    }
}

impl Setting {
    /// Is there anything to show beside a description of the default?
    pub fn is_set(&self) -> bool {
        !self.value.is_null() || !self.entries.is_empty() || self.corrected.is_some()
    }
}
