//! VRRP as one pure core (sans-IO): packets, instances, sync groups, priorities, announcements.
//! RFC 9568, RFC 3768; spec/vrrp-behaviour.md. Where stock departs from the RFCs the function says "Stock:".
//!
//! [`Router`] owns all instances, groups and track scripts of one configuration:
//!
//! ```text
//! Router::new(part: &VrrpPart) -> Router                                 // then Event::Interfaces starts it
//! Router::resume(part, State, out) -> Router                             // after a respawn; then Event::Interfaces
//! router.handle(now, Event, out)       router.advert(now, index, envelope, packet: &[u8], out)
//! router.deadline() -> Option<Time>    router.snapshot(now) -> Snapshot    router.state() -> State
//! router.reconfigure(part, now, out)   router.stop(now, Release, out)    router.clear_counters()
//! router.urge(now, out) -> usize       router.resign(now, Release, out)  router.leave(now, Release, out)
//! ```
//!
//! `urge` and `resign` are for drivers in a hurry: the adverts first, and what takes longer with `Event::Timer` or `leave`.
//!
//! Contract: time never goes back; actions are carried out in order; a spurious [`Event::Timer`] is harmless; the
//! deadline may change after every call.

pub mod ah;
mod alarms;
mod announce;
mod authentic;
mod awaits;
mod budget;
mod checksum;
mod debounce;
mod effects;
mod event;
mod facts;
mod firewall;
mod group;
mod handover; // its state, written down
mod holdings;
mod host;
mod index;
mod instance;
mod interface;
pub mod ip;
mod links;
mod loss;
mod notify;
mod owned;
mod pacer;
pub mod packet;
mod peers;
mod priority;
mod receive;
mod reload;
mod rival;
mod router;
mod script;
pub mod sim;
mod snapshot;
mod sorted;
mod standing;
mod sync;
mod tally;
#[cfg(test)]
pub(crate) mod tests;
mod timers;
mod tracker;
pub mod trailer;
mod transition;
mod urgent;
#[cfg(test)]
mod vectors;

pub use alarms::Lateness;
pub use awaits::Awaited;
pub use event::*;
pub use firewall::{Ruleset, TableV4, TableV6};
pub use interface::*;
pub use owned::{Owned, Owner, SeenRoute, SeenRule};
pub use reload::State;
pub use router::Router;
pub use snapshot::*;
pub use urgent::Release;
