//! Connections to local stream sockets, made without waiting.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

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
    let address = match address {
        Address::Path(path) => SockAddr::unix(path),
        // So the kernel writes an abstract name.
        Address::Abstract(name) => SockAddr::unix(OsStr::from_bytes(&[&[0], name.as_slice()].concat())),
    };
    let address = address.doing(doing)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).doing(doing)?;
    socket.connect(&address).doing(doing)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use nix::errno::Errno;

    use super::*;

    #[test]
    fn an_abstract_listener_is_reached_and_one_that_does_not_accept_is_not_waited_for() {
        let name = format!("keepalived-rs-test-{}", std::process::id()).into_bytes();
        let address = Address::Abstract(name.clone());
        assert_eq!(connect(&address).unwrap_err().errno, Errno::ECONNREFUSED);
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener
            .bind(&SockAddr::unix(OsStr::from_bytes(&[b"\0", name.as_slice()].concat())).unwrap())
            .unwrap();
        listener.listen(1).unwrap();
        let first = connect(&address).unwrap();
        listener.accept().unwrap();
        drop(first);
        let waiting: Result<Vec<_>, _> = (0..10).map(|_| connect(&address)).collect();
        assert_eq!(waiting.unwrap_err().errno, Errno::EAGAIN);
    }

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
