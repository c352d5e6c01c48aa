//! The roles: parent, vrrp, checkers, prober; the channel between them, reload, logging, systemd.
//!
//! A child is this binary executed again with the parent's command line; the environment variable
//! [`ipc::ROLE_VARIABLE`] tells it which role it plays and which descriptor is its channel.

pub mod channel; // how messages between the processes travel
pub mod ipc; // what is said between the processes
pub mod scripts; // all scripts run here, in the parent
