//! The map of the house, one line per module, from the ground floor up. Imports point down only:
//! `main -> tools -> daemon -> {kernel, notify, check::probe} -> {vrrp, lvs, bfd, check::schedule, report} -> config -> time`.

pub mod bfd; // pure: packet, session, which packet belongs to which
pub mod check; // schedule (pure) and one probe per check type (I/O, no rights)
pub mod cli; // the options, exactly stock's, plus our subcommands; exit codes
pub mod config; // text -> typed, validated, immutable model, with diagnostics
pub mod daemon; // the roles: parent, vrrp, checkers, prober, bfd, reporter; ipc, reload, logging
pub mod kernel; // Linux: netlink, raw sockets, timerfd, spawn, syslog; the only home of `unsafe`
pub mod lvs; // pure: a virtual server's health arithmetic -> desired IPVS table -> difference
pub mod notify; // the ordered queue of scripts
pub mod report; // pure: one snapshot of the state, many renderings
pub mod snmp; // pure: AgentX packets, the objects of the MIBs over one view of the state
pub mod time; // the one clock value that every core shares
pub mod tools; // subcommands beside the daemon
pub mod vrrp; // pure: adverts, the instance's state machine, sync groups, priorities, announcements
