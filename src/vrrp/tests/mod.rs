//! Stories of whole routers: what an operator sees. The parts' own tests stand in their files.

mod alone;
mod authentication;
mod contract;
mod elections;
mod hostile;
mod hurry;
mod links;
mod others;
mod owning;
mod pairs;
mod receiving;
mod reloads;
mod rows;
pub(crate) mod samples;
mod storms;
mod trackers;
mod words;
