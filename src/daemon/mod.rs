//! The roles: parent, vrrp, checkers, prober, bfd, reporter; the channel between them, reload, logging, systemd.
//!
//! A child is this binary executed again with the parent's command line; the environment variable
//! [`ipc::ROLE_VARIABLE`] tells it which role it plays and which descriptor is its channel.

mod agentx; // the SNMP subagent, a task of the reporter
pub mod authority; // which commands run for the children
pub mod bfd; // the bfd process
pub mod channel; // how messages between the processes travel
pub mod checkers; // the process of health checks and IPVS
mod checkers_hosted; // which addresses are on this host
mod checkers_table; // its hold on IPVS
pub mod child; // what every child has in common
pub mod config_test; // `-t`
pub mod configuration; // reading the configuration for the parent
pub mod control; // what operators ask of a running daemon
mod counts; // the kernel's IPVS statistics as last read
mod dbus; // the D-Bus interface, a task of the reporter
pub mod director; // all virtual servers and their checks, without sockets and clock
pub mod dump; // dump files, written whole
pub mod exit; // the exit codes, listed once
pub mod fifos; // notification FIFOs and their readers
pub mod ipc; // what is said between the processes
mod kept; // the running configuration, as the parent keeps it
mod litter; // memory that goes back after a burst of work
pub mod log; // stock's log lines
pub mod mailer; // mails on their way to the relay
pub mod options; // what the command line asked for
pub mod packed; // many things in one message
pub mod parent; // the parent process: before and after its event loop
pub mod places; // where the pid files are
pub mod prober; // probes foreign servers, without rights
mod promptness; // scheduling, and how a process answers its own lateness
pub mod reign; // the parent's event loop
mod reload_time; // when `reload_time_file` wants a reload
mod reload_words; // what the words about reload ask for beside the reload itself
pub mod reporter; // the reporter process: mail, SNMP, D-Bus
mod reporter_seat; // its place in the supervisor
pub mod respawn; // how long until a lost child is started again
pub mod roles; // which function plays which role
pub mod scripts; // all scripts run here, in the parent
mod service; // local services that the reporter talks to
pub mod signals; // signals as requests
mod slot; // the place of one child process in its supervisor
pub mod supervise; // the children: started, asked, agreed with, respawned, stopped
pub mod systemd; // what the service manager is told

/// The release of stock keepalived whose behaviour this is; version parsers read it from `-v`.
pub const COMPATIBLE: &str = "v2.4.3 (08/13,2026)";
pub mod vrrp; // the vrrp process
mod vrrp_ears; // adverts come in
mod vrrp_firewall; // its hold on nftables
mod vrrp_guard; // others who announce what it holds
mod vrrp_io; // its hold on the kernel
mod vrrp_outlets; // what it puts on the wire
mod vrrp_plan; // what a new configuration would change
mod vrrp_queue; // its slow kernel work, in order
mod vrrp_scribe; // writes down its state
mod vrrp_sync; // its hold on the kernel's connection sync
#[cfg(test)]
mod vrrp_tests; // on a real kernel
mod watch; // what the parent watches for the children
mod watch_files; // tracked files
mod watch_links; // links that are asked for
mod watch_processes; // tracked processes
