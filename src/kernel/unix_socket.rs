//! Connections to local stream sockets, made without waiting.

use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::PathBuf;

use nix::errno::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use super::error::{Doing, Error};

/// Where a local socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// In the file system.
    Path(PathBuf),
    /// In the abstract namespace.
    Abstract(Vec<u8>),
}

/// Connects; the socket is non-blocking and close-on-exec. A listener without room is an error (`EAGAIN`).
pub fn connect(address: &Address) -> Result<OwnedFd, Error> {
    let doing = || match address {
        Address::Path(path) => format!("connecting to {}", path.display()),
        Address::Abstract(name) => format!("connecting to @{}", String::from_utf8_lossy(name)),
    };
    match address {
        Address::Path(path) => {
            let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).doing(doing)?;
            socket.connect(&SockAddr::unix(path).doing(doing)?).doing(doing)?;
            Ok(socket.into())
        }
        Address::Abstract(name) => {
            // An abstract listener that is full makes this wait; the kernel offers no other way through std.
            let address = SocketAddr::from_abstract_name(name).map_err(|_| Errno::EINVAL).doing(doing)?;
            let stream = UnixStream::connect_addr(&address).doing(doing)?;
            stream.set_nonblocking(true).doing(doing)?;
            Ok(stream.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_listener_is_reached_and_a_missing_one_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let error = connect(&Address::Path(path.clone())).unwrap_err();
        assert!(error.to_string().contains(&format!("connecting to {}", path.display())), "{error}");
        let listener = UnixListener::bind(&path).unwrap();
        connect(&Address::Path(path)).unwrap();
        listener.accept().unwrap();
    }
}
