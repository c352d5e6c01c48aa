//! How logs, scripts and dumps name virtual and real servers (spec/lvs-config.md §3).

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
    format!("[{address}]:{}:{port}", protocol_name(protocol))
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
