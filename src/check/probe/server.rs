//! Servers of all tempers for the tests of the probes: one connection each, on loopback.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use crate::config::model::{Connection, Rare, Url};

/// A server for one connection; what its script returns is what [`Server::ended`] gives.
pub(super) struct Server<T> {
    pub(super) address: SocketAddr,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Server<T> {
    /// Accepts one connection and plays `script` on it.
    pub(super) fn start(script: impl FnOnce(TcpStream) -> T + Send + 'static) -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), script)
    }

    pub(super) fn start_on(address: IpAddr, script: impl FnOnce(TcpStream) -> T + Send + 'static) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            // No test waits longer than this for anything.
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            script(stream)
        });
        Self { address, thread }
    }

    /// Waits for the end of the script.
    pub(super) fn ended(self) -> T {
        self.thread.join().unwrap()
    }
}

/// A server that reads the request, answers these bytes and closes.
pub(super) fn answering(bytes: impl Into<Vec<u8>>) -> Server<()> {
    let bytes = bytes.into();
    Server::start(move |mut stream| {
        request(&mut stream);
        // The prober may have had enough before the end.
        let _ = stream.write_all(&bytes);
    })
}

/// The bytes of a request, up to its empty line.
pub(super) fn request(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        bytes.push(byte[0]);
    }
    bytes
}

/// Waits until the other side has closed or reset the connection; false when it has not within `limit`.
pub(super) fn left_within(stream: &TcpStream, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        stream.set_read_timeout(Some(left)).unwrap();
        match (&*stream).read(&mut [0; 512]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN)) => {}
            Err(_) => return true,
        }
    }
}

/// Waits until the other side has left.
pub(super) fn wait_until_left(stream: &TcpStream) {
    assert!(left_within(stream, Duration::from_secs(10)), "the prober keeps its connection");
}

/// Waits until the other side's kernel has everything, then resets the connection.
pub(super) fn reset(stream: TcpStream) {
    let sent = SockRef::from(&stream);
    // Linger 0 makes close() a reset, which discards what was not sent yet; loopback delivers at once.
    sent.set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// An address where nobody listens, as long as this is held.
pub(super) struct Nobody {
    pub(super) address: SocketAddr,
    _bound: Socket,
}

/// See [`Nobody`].
pub(super) fn nobody() -> Nobody {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    Nobody { address: socket.local_addr().unwrap().as_socket().unwrap(), _bound: socket }
}

/// A loopback address where nobody hears datagrams.
pub(super) fn nobody_for_datagrams() -> SocketAddr {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // Free again at once; the kernel gives the next one another port.
    socket.local_addr().unwrap()
}

/// A connection with nothing set.
pub(super) fn connection(destination: SocketAddr) -> Connection {
    Connection { destination, local: Rare::default(), timeout: Duration::from_secs(5) }
}

/// The url `/` with nothing set.
pub(crate) fn url() -> Url {
    Url {
        path: "/".into(),
        virtualhost: None,
        host: None,
        sni: None,
        digest: None,
        status_codes: vec![(200, 299)],
        tls_compliant: false,
        regex: None,
        grpc_health: None,
    }
}

/// Runs a test on an event loop like the prober's.
pub(super) fn on_a_reactor<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}
