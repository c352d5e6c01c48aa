//! Bidirectional Forwarding Detection as one pure core (sans-IO): RFC 5880, RFC 5881, and the hop mode of RFC 5883, as
//! far as stock goes: asynchronous mode, no authentication, no echo. spec/bfd.md.
//!
//! [`Sessions`] owns the sessions of one configuration:
//!
//! ```text
//! Sessions::new(part: &BfdPart, now, random, out) -> Sessions
//! sessions.handle(now, Event, random, out)        sessions.deadline() -> Option<Time>
//! sessions.reconfigure(part, now, random, out)    sessions.states() -> what the consumers are told
//! sessions.state() -> State                       Sessions::resume(part, State, now, random, out) -> Sessions
//! ```
//!
//! Contract: time never goes back; actions are carried out in order; a spurious [`Event::Timer`] is harmless; the deadline
//! may change after every call. Randomness (discriminators, jitter) is passed in.

pub mod packet;
mod rejects;
mod session;
mod sessions;
mod snapshot;

pub use session::Session;
pub use sessions::{Action, Actions, Event, Sessions, State};
pub use snapshot::Snapshot;
