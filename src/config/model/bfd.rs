//! `bfd_instance` blocks (spec/bfd.md §1).

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A `bfd_instance` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdInstance {
    /// Block name, at most 31 bytes; the first of a name wins.
    pub name: String,
    /// Default priority change for instances that track it, -253..=253; 0 is FAULT while the session is not up.
    pub weight: i32,
    /// Weight applies inverted.
    pub reverse: bool,
    /// Are the VRRP instances told of its state?
    pub tells_vrrp: bool,
    /// Are the checkers told of its state?
    pub tells_checkers: bool,
    /// What the BFD process runs; `None` when the block cannot be used. Who tracks the name then sees it down.
    pub session: Option<BfdSession>,
}

/// The session of a `bfd_instance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdSession {
    /// The other end.
    pub neighbor: IpAddr,
    /// The local address, of the same family.
    pub source: Option<IpAddr>,
    /// Required Min RX, 1 ms..=4294967 ms.
    pub min_rx: Duration,
    /// Desired Min TX while up, 1 ms..=4294967 ms.
    pub min_tx: Duration,
    /// Desired Min TX while not up, at least 1 s.
    pub idle_tx: Duration,
    /// Detect Mult, 1..=255.
    pub multiplier: u8,
    /// Sends nothing until the other end does.
    pub passive: bool,
    /// TTL or hop limit of sent packets, and what received ones are measured by, 1..=255.
    pub ttl: u8,
    /// How much TTL received packets may have lost, not above `ttl`; 255 is no check.
    pub max_hops: u8,
    /// Port 4784 instead of 3784.
    pub multihop: bool,
}

impl BfdSession {
    /// Stock's `min_rx` and `min_tx`.
    pub const INTERVAL: Duration = Duration::from_millis(10);
    /// Stock's `idle_tx`.
    pub const IDLE: Duration = Duration::from_secs(1);
    /// Stock's `multiplier`.
    pub const MULTIPLIER: u8 = 5;

    /// Stock's `ttl` by family of the neighbor.
    pub fn default_ttl(neighbor: IpAddr) -> u8 {
        if neighbor.is_ipv4() { 255 } else { 64 }
    }
}
