//! Virtual servers, without I/O: health arithmetic -> desired IPVS table -> difference to what is known to be there.
//!
//! Nothing here knows netlink or checks. Rules: spec/ipvs-behaviour.md, spec/checkers.md §3-§5.

pub mod adoption; // what a killed predecessor could not tell stands in the table
pub mod arrangement; // which virtual server owns which kernel service
pub mod difference; // desired against known -> the commands, in stock's order
pub mod label; // how logs, scripts and dumps name virtual and real servers
pub mod marks; // groups that nftables turns into firewall marks
pub mod matching; // reload: which real server and checker is which
pub mod pooling; // slow start, drains, the least that stay in service
pub mod service; // a virtual server's identity -> the kernel's services
pub mod snapshot; // what the reports are told beside the state: statistics
pub mod sync; // the kernel's connection sync daemons: wanted against running
pub mod table; // services and destinations, as wanted and as known
pub mod virtual_server; // alive, quorum, sorry server: the state machine of one virtual server
