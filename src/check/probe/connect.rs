//! The socket of a check: opened, bound, connected, and what it means when one of these fails.
//!
//! [`open`] is apart from the connecting because some sockets need rights that the prober does not have: then the
//! checkers process opens them and hands them over. spec/checkers.md §2 (connection options), §3.5, §6.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;

use crate::check::{Failure, Outcome, Probe};
use crate::config::model::Connection;

/// Can this attempt's socket only be opened with rights? `SO_MARK` wants `CAP_NET_ADMIN`, a port below 1024
/// `CAP_NET_BIND_SERVICE`, `SO_BINDTODEVICE` before Linux 5.7 `CAP_NET_RAW`; so do echoes on most hosts.
pub fn needs_rights(probe: &Probe) -> bool {
    if matches!(probe, Probe::Ping { .. }) {
        return true;
    }
    let connection = probe.connection();
    connection.local.fwmark != 0
        || connection.local.bind_interface.is_some()
        || connection.local.bind.is_some() && (1..1024).contains(&connection.local.bind_port)
}

/// The socket of an attempt that [`needs_rights`]: close-on-exec, non-blocking, all options set, bound. Not connected,
/// but for echoes.
pub fn open_for(probe: &Probe) -> Result<OwnedFd, Outcome> {
    match probe {
        Probe::Tcp(_) | Probe::Http { .. } | Probe::Smtp(_) => open(probe.connection()),
        Probe::Dns(_) => open_kind(probe.connection(), Type::DGRAM, Protocol::UDP),
        // Here everything that goes wrong is the server's failure.
        Probe::Udp(_) => {
            open_kind(probe.connection(), Type::DGRAM, Protocol::UDP).map_err(|outcome| match outcome {
                Outcome::NotTried { errno, .. } => {
                    Outcome::Failed(Failure::ConnectRefused { errno: errno.unwrap_or(0), at_once: true })
                }
                outcome => outcome,
            })
        }
        Probe::Ping { connection, .. } => super::ping::open(connection),
    }
}

/// A TCP socket for this connection, not connected. An error is [`Outcome::NotTried`], always.
pub fn open(connection: &Connection) -> Result<OwnedFd, Outcome> {
    open_kind(connection, Type::STREAM, Protocol::TCP)
}

fn open_kind(connection: &Connection, kind: Type, protocol: Protocol) -> Result<OwnedFd, Outcome> {
    let destination = connection.destination;
    let socket = Socket::new(Domain::for_address(destination), kind.nonblocking().cloexec(), Some(protocol))
        .map_err(|error| not_tried(&error, || format!("opening a socket to {destination}")))?;
    prepare(&socket, connection)?;
    Ok(socket.into())
}

/// Sets the options of a connection and binds.
pub(super) fn prepare(socket: &Socket, connection: &Connection) -> Result<(), Outcome> {
    if let Some(interface) = &connection.local.bind_interface {
        socket
            .bind_device(Some(interface.as_bytes()))
            .map_err(|error| not_tried(&error, || format!("binding to interface {interface}")))?;
    }
    if connection.local.fwmark != 0 {
        let mark = connection.local.fwmark;
        socket
            .set_mark(mark)
            .map_err(|error| not_tried(&error, || format!("setting the firewall mark {mark}")))?;
    }
    if let Some(address) = connection.local.bind {
        let local = SocketAddr::new(address, connection.local.bind_port);
        bind(socket, local).map_err(|error| not_tried(&error, || format!("binding to {local}")))?;
    }
    Ok(())
}

/// A connected UDP socket, so that errors of the network come back to it.
pub(super) fn open_datagram(connection: &Connection, socket: Option<OwnedFd>) -> Result<UdpSocket, Outcome> {
    let destination = connection.destination;
    let socket = Socket::from(match socket {
        Some(socket) => socket,
        None => open_kind(connection, Type::DGRAM, Protocol::UDP)?,
    });
    socket.connect(&SockAddr::from(destination)).map_err(|error| refused_at_once(&error, destination))?;
    UdpSocket::from_std(socket.into())
        .map_err(|error| not_tried(&error, || format!("watching the socket to {destination}")))
}

fn bind(socket: &Socket, local: SocketAddr) -> io::Result<()> {
    if local.port() == 0 {
        // The port is chosen by connect(), so one port can serve many destinations at a time. Older kernels cannot.
        let _ = nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::IpBindAddressNoPort, &true);
    } else {
        // The last check of this port may still be in TIME_WAIT.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SockAddr::from(local))
}

/// An established connection within the connection's timeout. Everything else is the outcome of the check.
pub(super) async fn connect(connection: &Connection, socket: Option<OwnedFd>) -> Result<TcpStream, Outcome> {
    connect_until(connection, socket, Instant::now() + connection.timeout).await
}

/// As [`connect`], with the moment the timeout is over.
pub(super) async fn connect_until(
    connection: &Connection,
    socket: Option<OwnedFd>,
    deadline: Instant,
) -> Result<TcpStream, Outcome> {
    let destination = connection.destination;
    let socket = Socket::from(match socket {
        Some(socket) => socket,
        None => open(connection)?,
    });
    let pending = match socket.connect(&SockAddr::from(destination)) {
        Ok(()) => false,
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => true,
        Err(error) => return Err(refused_at_once(&error, destination)),
    };
    let stream = TcpStream::from_std(socket.into())
        .map_err(|error| not_tried(&error, || format!("watching the socket to {destination}")))?;
    if pending {
        let refused = |error: &io::Error| {
            Outcome::Failed(Failure::ConnectRefused { errno: errno(error), at_once: false })
        };
        match tokio::time::timeout_at(deadline, stream.writable()).await {
            Err(_) => return Err(Outcome::Failed(Failure::ConnectTimeout)),
            Ok(Err(error)) => return Err(refused(&error)),
            Ok(Ok(())) => {}
        }
        if let Some(error) = stream.take_error().unwrap_or_else(Some) {
            return Err(refused(&error));
        }
    }
    Ok(stream)
}

/// An error of `connect` itself: about the server, or about this host? spec/checkers.md §6.
pub(super) fn refused_at_once(error: &io::Error, destination: SocketAddr) -> Outcome {
    match error.raw_os_error() {
        Some(
            errno @ (libc::ENETUNREACH
            | libc::EHOSTUNREACH
            | libc::ECONNREFUSED
            | libc::EHOSTDOWN
            | libc::ENETDOWN
            | libc::ECONNRESET
            | libc::ECONNABORTED
            | libc::ETIMEDOUT),
        ) => Outcome::Failed(Failure::ConnectRefused { errno, at_once: true }),
        _ => not_tried(error, || format!("connecting to {destination}")),
    }
}

/// Something on this host.
pub(super) fn not_tried(error: &io::Error, what: impl FnOnce() -> String) -> Outcome {
    Outcome::NotTried { errno: error.raw_os_error(), what: what() }
}

/// errno of an error of the network, 0 when there is none.
pub(super) fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, TcpListener};
    use std::time::Duration;

    use super::*;
    use crate::check::probe::Probes;
    use crate::check::probe::server::{self, Server, on_a_reactor};
    use crate::config::model::LocalEnd;

    fn tcp(connection: Connection) -> Outcome {
        on_a_reactor(async { Probes::new().run(&Probe::Tcp(connection), None).await.0 })
    }

    fn from_end(local: LocalEnd, destination: SocketAddr) -> Connection {
        Connection { local: local.into(), ..server::connection(destination) }
    }

    fn end() -> LocalEnd {
        LocalEnd::default()
    }

    #[test]
    fn an_established_connection_passes_and_is_closed_at_once() {
        let server = Server::start(|stream| server::wait_until_left(&stream));
        assert_eq!(tcp(server::connection(server.address)), Outcome::Passed);
        server.ended();
    }

    #[test]
    fn a_closed_port_is_a_failure() {
        let nobody = server::nobody();
        let outcome = tcp(server::connection(nobody.address));
        let Outcome::Failed(Failure::ConnectRefused { errno, .. }) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(errno, libc::ECONNREFUSED);
    }

    #[test]
    fn a_server_whose_queue_is_full_runs_into_the_timeout() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket2::SockRef::from(&listener).listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let timeout = Duration::from_millis(100);
        let outcome = on_a_reactor(async {
            let mut kept = Vec::new();
            for _ in 0..10 {
                let connection = Connection { timeout, ..server::connection(address) };
                match connect(&connection, None).await {
                    Ok(stream) => kept.push(stream),
                    Err(outcome) => return outcome,
                }
            }
            panic!("{} connections were taken", kept.len());
        });
        assert_eq!(outcome, Outcome::Failed(Failure::ConnectTimeout));
    }

    #[test]
    fn the_local_address_and_port_are_those_configured() {
        let bind = IpAddr::from([127, 0, 0, 77]);
        let server = Server::start(|stream| stream.peer_addr().unwrap());
        let free = TcpListener::bind((bind, 0)).unwrap().local_addr().unwrap().port();
        let connection = from_end(LocalEnd { bind: Some(bind), bind_port: free, ..end() }, server.address);
        assert_eq!(tcp(connection), Outcome::Passed);
        assert_eq!(server.ended(), SocketAddr::new(bind, free));

        let server = Server::start(|stream| stream.peer_addr().unwrap().ip());
        let connection = from_end(LocalEnd { bind: Some(bind), ..end() }, server.address);
        assert_eq!(tcp(connection), Outcome::Passed);
        assert_eq!(server.ended(), bind);
    }

    #[test]
    fn a_local_error_is_no_failure_of_the_server() {
        let destination = "127.0.0.1:9".parse().unwrap();
        let elsewhere = from_end(LocalEnd { bind: Some([192, 0, 2, 1].into()), ..end() }, destination);
        let expected = "binding to 192.0.2.1:0";
        assert_eq!(
            tcp(elsewhere),
            Outcome::NotTried { errno: Some(libc::EADDRNOTAVAIL), what: expected.into() }
        );
        let nowhere = from_end(LocalEnd { bind_interface: Some("no-such-if".into()), ..end() }, destination);
        assert!(matches!(tcp(nowhere), Outcome::NotTried { errno: Some(libc::ENODEV), .. }));
    }

    #[test]
    fn an_unreachable_network_is_a_failure_at_once() {
        let destination = "127.0.0.1:9".parse().unwrap();
        for errno in [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::ETIMEDOUT, libc::ECONNREFUSED] {
            let error = io::Error::from_raw_os_error(errno);
            let expected = Outcome::Failed(Failure::ConnectRefused { errno, at_once: true });
            assert_eq!(refused_at_once(&error, destination), expected);
        }
        for errno in [libc::EADDRNOTAVAIL, libc::EACCES, libc::EPERM, libc::EINVAL, libc::EAGAIN] {
            let error = io::Error::from_raw_os_error(errno);
            let what = "connecting to 127.0.0.1:9".to_owned();
            assert_eq!(refused_at_once(&error, destination), Outcome::NotTried { errno: Some(errno), what });
        }
    }

    #[test]
    fn a_socket_opened_elsewhere_is_used_as_it_is() {
        let bind = IpAddr::from([127, 0, 0, 78]);
        let server = Server::start(|stream| stream.peer_addr().unwrap().ip());
        let plain = server::connection(server.address);
        let socket = open(&from_end(LocalEnd { bind: Some(bind), ..end() }, plain.destination)).unwrap();
        let outcome = on_a_reactor(async { Probes::new().run(&Probe::Tcp(plain), Some(socket)).await.0 });
        assert_eq!(outcome, Outcome::Passed);
        assert_eq!(server.ended(), bind);
    }

    #[test]
    fn rights_are_needed_for_marks_interfaces_and_low_ports_only() {
        let plain = server::connection("127.0.0.1:9".parse().unwrap());
        let with = |local| from_end(local, plain.destination);
        assert!(!needs_rights(&Probe::Tcp(plain.clone())));
        assert!(needs_rights(&Probe::Tcp(with(LocalEnd { fwmark: 1, ..end() }))));
        assert!(needs_rights(&Probe::Tcp(with(LocalEnd { bind_interface: Some("lo".into()), ..end() }))));
        let bound =
            |port| with(LocalEnd { bind: Some(Ipv4Addr::LOCALHOST.into()), bind_port: port, ..end() });
        assert!(needs_rights(&Probe::Tcp(bound(1023))));
        assert!(!needs_rights(&Probe::Tcp(bound(1024))));
        assert!(!needs_rights(&Probe::Tcp(bound(0))));
        assert!(
            !needs_rights(&Probe::Tcp(with(LocalEnd { bind_port: 80, ..end() }))),
            "without bindto it has no effect"
        );
    }
}
