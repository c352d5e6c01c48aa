//! Renderings of one snapshot of the state: the dump and statistics files. Pure. spec/dump-format.md.

pub mod bfd; // keepalived_bfd.data
pub mod check_data; // keepalived_check.data
mod checkers; // what it tells of one checker
pub mod clock; // a moment of the cores as the dumps print it
pub mod event; // what mails, SNMP traps and D-Bus signals are made of
pub mod global; // the section that every data dump begins with
mod instance; // one instance in the dump
mod interfaces; // interfaces in the dump
pub mod json; // keepalived.json
mod routing; // route and rule lines
#[cfg(test)]
mod routing_tests;
pub mod start; // what of a dump goes to the log at start
#[cfg(test)]
mod tests;
mod text;
mod tracked; // files, processes, BFD sessions
pub mod vrrp; // what the vrrp process writes: data and statistics
