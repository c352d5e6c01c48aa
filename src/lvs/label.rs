//! How logs, scripts and dumps name virtual and real servers (spec/lvs-config.md §3).

use std::fmt;
use std::net::IpAddr;

use crate::config::model::{Protocol, Service, VirtualServer};

/// `[10.0.0.1]:tcp:80`, `FWM 7` or `[GROUP]:0`.
pub fn virtual_server(vs: &VirtualServer) -> String {
    match &vs.service {
        Service::Address { address, port } => real_server(vs.protocol, *address, *port),
        Service::Fwmark(mark) => format!("FWM {mark}"),
        Service::Group { name, index } => format!("[{name}]:{index}"),
    }
}

/// `[10.0.0.2]:tcp:80`; the protocol is the virtual server's, `none` on fwmark services.
pub fn real_server(protocol: Option<Protocol>, address: IpAddr, port: u16) -> String {
    RealServerName { protocol, address, port }.to_string()
}

/// The same, not yet written: tens of thousands are rarely asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RealServerName {
    /// The virtual server's.
    pub protocol: Option<Protocol>,
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for RealServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]:{}:{}", self.address, protocol_name(self.protocol), self.port)
    }
}

/// `tcp`, `udp`, `sctp` or `none`.
pub fn protocol_name(protocol: Option<Protocol>) -> &'static str {
    match protocol {
        Some(Protocol::Tcp) => "tcp",
        Some(Protocol::Udp) => "udp",
        Some(Protocol::Sctp) => "sctp",
        None => "none",
    }
}
