//! What the checkers process tells the reports beside the state: the kernel's statistics, as plain data.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::virtual_server::Snapshot;

/// What the kernel counts of a service or of a destination; rates are per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Statistics {
    /// Connections since the entry was made.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// New connections.
    pub connection_rate: u64,
    /// Packets from clients.
    pub packet_rate_in: u64,
    /// Packets to clients.
    pub packet_rate_out: u64,
    /// Bytes from clients.
    pub byte_rate_in: u64,
    /// Bytes to clients.
    pub byte_rate_out: u64,
    /// Connections now, of a destination.
    pub active: u32,
    /// Connections that wait for their end, of a destination.
    pub inactive: u32,
    /// Persistence templates, of a destination.
    pub persistent: u32,
}

impl AddAssign for Statistics {
    fn add_assign(&mut self, other: Self) {
        let pairs = [
            (&mut self.connections, other.connections),
            (&mut self.packets_in, other.packets_in),
            (&mut self.packets_out, other.packets_out),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.connection_rate, other.connection_rate),
            (&mut self.packet_rate_in, other.packet_rate_in),
            (&mut self.packet_rate_out, other.packet_rate_out),
            (&mut self.byte_rate_in, other.byte_rate_in),
            (&mut self.byte_rate_out, other.byte_rate_out),
        ];
        for (sum, more) in pairs {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in [
            (&mut self.active, other.active),
            (&mut self.inactive, other.inactive),
            (&mut self.persistent, other.persistent),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// All virtual servers of the configuration, same order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckersSnapshot {
    /// One each.
    pub servers: Vec<ServerSnapshot>,
}

/// One virtual server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSnapshot {
    /// Its state.
    pub health: Snapshot,
    /// The sum of its services.
    pub statistics: Statistics,
    /// Of its real servers, same order, then of its sorry server; old if nobody asked.
    pub real_servers: Vec<Statistics>,
}
