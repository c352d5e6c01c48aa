//! The configuration language: text -> tokens with spans -> block tree -> typed model -> validated [`model::Config`].
//!
//! The ground floor: everything above reads the model, and only the parent process ever parses text. It touches no
//! file itself; what it must know of the host comes through [`source::Files`] and [`model::HostFacts`].

pub mod blocks; // one file per block: its keyword table -> model
pub mod catalogue; // every keyword and its block, in words: explain and the manual
pub mod diagnostic; // errors and warnings as data; exit codes
mod draft; // a line while it is being edited
pub mod effective; // what holds after all is read, and where each value comes from
pub mod files; // what is read of the host: contents, globs, environment
#[cfg(test)]
mod global_tests;
mod include; // patterns, checks and failures of the include words
mod intended; // what the braces say by themselves
pub mod iproute; // iproute2's names of tables, protocols, scopes, realms
pub mod lines; // the logical lines, stored flat
pub mod lint; // what is allowed and hardly meant: warnings of `check` only
mod load; // the whole way from files to model
#[cfg(test)]
mod load_auth_tests;
#[cfg(test)]
mod load_checks_tests;
#[cfg(test)]
mod load_kit;
#[cfg(test)]
mod load_lvs_tests;
#[cfg(test)]
mod load_strict_tests;
#[cfg(test)]
mod load_tests;
#[cfg(test)]
mod load_tracked_tests;
mod loops; // ~SEQ and ~LST
pub mod model; // typed, validated, immutable
mod nesting; // what of the lines so far matters to the next ones
mod physical; // line ends, and the limit of the line buffer
pub mod preprocess; // include*, $VAR, ~SEQ/~LST, @conditions -> logical lines
#[cfg(test)]
mod preprocess_tests;
pub mod reader; // walks the lines through the keyword tables, as each of stock's processes would
pub mod render; // diagnostics for people: the source line, a caret, help
pub mod schema; // the keyword table machinery
pub mod source; // files and spans: every token knows file:line:column
pub mod suggest; // did-you-mean and look-alike characters
pub mod syntax; // the nom grammar: comments, words, quoting, braces
pub mod trace; // what the walks met, for those who ask where a value comes from
pub mod validate; // what only the whole file, or the host, can tell
pub mod value; // timers, ranges, addresses, booleans: parsed once, used by every keyword
mod variables; // $NAME=VALUE and its uses
pub mod words; // the words inside lines, for explain

pub use load::{Loaded, load, load_for, load_linted, load_traced, verdict};
