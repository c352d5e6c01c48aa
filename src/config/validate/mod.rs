//! What only the whole file, or the host, can tell: drafts -> model. spec/vrrp-config.md §4, spec/lvs-config.md §9.

mod announcements; // gratuitous ARP and the interval of one instance
mod authentication;
pub mod bfd; // BFD sessions
mod checks; // the checkers of virtual servers
pub mod global; // scripts of global_defs, the sync daemon
mod instance; // one instance
mod links; // its VMACs and ipvlans
pub mod lvs; // virtual servers
mod lvs_servers; // their real servers
pub mod scripts; // may this script be run?
mod statics; // static addresses, routes, rules
mod tls; // what TLS checks present and ask for
mod tracked; // files, processes, BFD sessions
pub mod vrrp; // instances and sync groups
mod weights; // which weights of one instance count
