//! Where local services are that the reporter talks to. Their sockets often let only root in, so the parent connects
//! and hands the connection over; what is said on it is the reporter's.

use std::os::fd::OwnedFd;
use std::path::Path;

use tracing::debug;

use super::ipc::Service;
use crate::config::model::Global;
use crate::kernel::unix_socket::{self, Address};

/// The system bus, where nothing else is said.
const BUS: &str = "/var/run/dbus/system_bus_socket";

/// The `AgentX` master, where nothing else is said.
const AGENTX: &str = "/var/agentx/master";

/// A connection to this service, if it is there and has room. Never waits.
pub(super) fn connect(service: Service, global: &Global) -> Option<OwnedFd> {
    let address = match service {
        Service::Bus => {
            bus(std::env::var("DBUS_SYSTEM_BUS_ADDRESS").ok().as_deref().filter(|it| !it.is_empty()))?
        }
        Service::AgentX => agentx(global.snmp.socket.as_deref())?,
    };
    unix_socket::connect(&address).map_err(|error| debug!("{error}")).ok()
}

/// The first local socket of a D-Bus address: `unix:path=P`, `unix:abstract=N`.
fn bus(address: Option<&str>) -> Option<Address> {
    let Some(address) = address else { return Some(Address::Path(BUS.into())) };
    address.split(';').find_map(|one| {
        one.strip_prefix("unix:")?.split(',').find_map(|pair| match pair.split_once('=')? {
            ("path", path) => Some(Address::Path(path.into())),
            ("abstract", name) => Some(Address::Abstract(name.as_bytes().to_vec())),
            _ => None,
        })
    })
}

/// The local socket of `snmp_socket`: `unix:PATH` or a path. Others need no rights: the reporter connects itself.
fn agentx(socket: Option<&str>) -> Option<Address> {
    let Some(socket) = socket else { return Some(Address::Path(AGENTX.into())) };
    let path = socket.strip_prefix("unix:").unwrap_or(socket);
    Path::new(path).is_absolute().then(|| Address::Path(path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_services_are_found_and_others_are_not_the_parents() {
        assert_eq!(bus(None), Some(Address::Path(BUS.into())));
        assert_eq!(bus(Some("unix:path=/run/bus,guid=12")), Some(Address::Path("/run/bus".into())));
        assert_eq!(bus(Some("tcp:host=h;unix:abstract=/b")), Some(Address::Abstract(b"/b".to_vec())));
        assert_eq!(bus(Some("tcp:host=h,port=1")), None);
        assert_eq!(agentx(None), Some(Address::Path(AGENTX.into())));
        assert_eq!(agentx(Some("unix:/run/x")), Some(Address::Path("/run/x".into())));
        assert_eq!(agentx(Some("/run/x")), Some(Address::Path("/run/x".into())));
        assert_eq!(agentx(Some("tcp:localhost:705")), None);
    }
}
