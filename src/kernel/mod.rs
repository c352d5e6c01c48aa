//! Linux, and the only home of netlink, raw sockets, sysctl, timerfd, spawn, syslog and of `unsafe`.
//!
//! Wrappers are small and safe, return owned descriptors (close-on-exec and non-blocking from birth) and keep errno
//! in their errors. No protocol decision is taken here.

pub mod address; // addresses on interfaces
pub mod arp; // gratuitous ARP
pub mod aside; // closing what takes the kernel long
pub mod bfd_socket; // BFD packets in and out
pub mod buffers; // receive buffers of sockets
pub mod calendar; // wall-clock time in the local zone
pub mod console; // standard error without waiting
pub mod error; // what was being done, errno, the kernel's words
pub mod fdpass; // packets between processes, with descriptors
pub mod fifo; // notification FIFOs
pub mod files; // contents, globs, environment, for the configuration
mod genl; // generic netlink families
pub mod guard; // others who announce addresses of ours
pub mod host; // its interfaces and users, for validation
pub mod inotify; // changes in directories
pub mod ipvs; // the IPVS table: commands, dumps, timeouts
pub mod ipvs_message; // its messages, bytes to types and back
mod ipvs_statistics; // its statistics: messages
mod libssl; // the host's OpenSSL, loaded by who needs it
pub mod link; // interfaces
pub mod linkbeat; // what cards themselves say of their link
mod many; // datagrams by the dozen
pub mod memfd; // sealed memory files
pub mod memory; // what the allocator keeps
pub mod monitor; // changes of interfaces, addresses, routes and rules, told by the kernel
pub mod namespace; // entering a network namespace
pub mod neighbour; // unsolicited neighbour advertisements
pub mod netlink; // request engine: batches, acknowledgements, dumps, decoding
pub mod nftables; // our tables: written as a whole, changed by element
pub mod nftables_ipvs; // the table that marks the packets of virtual server groups
mod nftables_rule; // their rules
pub mod object; // what the vrrp process owns: addresses, routes, rules in one batch
pub mod pcre; // patterns of HTTP checks
pub mod pidfile; // a number, locked for life
pub mod process; // this process: name, signals at birth, umask, limits
pub mod process_events; // births and deaths of processes
pub mod random; // numbers that nobody guesses
pub mod readiness; // waiting for a descriptor on the event loop
pub mod ready_set; // many sockets behind one descriptor
pub mod rights; // capabilities given up
mod route; // routes: messages
mod rule; // routing policy rules: messages
pub mod schedule; // nice, real time, CPUs, locked memory
pub mod spawn; // scripts: own group and identity, nothing inherited
pub mod sysctl; // interface settings
pub mod syslog; // the C library's
pub mod timer; // the clock of the cores, one alarm on it
pub mod tls; // TLS clients over libssl
pub mod unix_socket; // connections to local stream sockets
pub mod vmac; // macvlans and ipvlans of our own
pub mod vrrp_inbox; // room for adverts
pub mod vrrp_sender; // adverts out
pub mod vrrp_socket; // adverts in

#[cfg(test)]
pub(crate) mod testing; // a network namespace for a test
