//! What clients get through services of every protocol and family, and through every tunnel.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

use crate::case::{Case, Lab};
use crate::farm::{Farm, SERVICE, real, service};
use crate::kit::http::{Server, answers};
use crate::kit::net::Host;
use crate::kit::wait::{Outcome, ensure, secs};

pub(crate) const CASES: &[Case] = &[
    Case::guest("lvs_clients_are_served_over_udp_sctp_and_ipv6", protocols),
    Case::guest("lvs_clients_are_served_through_every_tunnel", tunnels),
];

/// `IPPROTO_TCP`, `IPPROTO_UDP`, `IPPROTO_SCTP`.
const TCP: i32 = 6;
const UDP: i32 = 17;
const SCTP: i32 = 132;
/// The address of the IPv6 services.
const SERVICE6: Ipv6Addr = Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 0x100);

/// A socket of this protocol for this family.
fn socket(protocol: i32, address: IpAddr) -> std::io::Result<Socket> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let kind = if protocol == UDP { Type::DGRAM } else { Type::STREAM };
    Socket::new(domain, kind, Some(Protocol::from(protocol)))
}

/// Tells everybody its host's name; dropped, its port is closed.
struct Named {
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Named {
    fn listen(host: &Host, protocol: i32, address: IpAddr, port: u16) -> Outcome<Self> {
        let listening = || {
            let socket = socket(protocol, address)?;
            socket.bind(&SocketAddr::new(address, port).into())?;
            if protocol != UDP {
                socket.listen(16)?;
            }
            socket.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(socket)
        };
        let socket = (host.space.inside(listening))
            .map_err(|e| format!("protocol {protocol}, port {port} of {}: {e}", host.name))?;
        let ending: Arc<AtomicBool> = Arc::default();
        let (name, end) = (host.name.clone(), Arc::clone(&ending));
        let thread = std::thread::spawn(move || {
            if protocol == UDP {
                let socket = UdpSocket::from(socket);
                serve(&end, &socket, || {
                    let asked = socket.recv_from(&mut [0; 16]);
                    asked.and_then(|(_, client)| socket.send_to(name.as_bytes(), client)).is_ok()
                });
            } else {
                serve(&end, &socket, || {
                    let asked = socket.accept();
                    asked.and_then(|(client, _)| client.send(name.as_bytes())).is_ok()
                });
            }
        });
        Ok(Self { ending, thread: Some(thread) })
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers whoever comes, until the end.
fn serve(ending: &AtomicBool, socket: &impl AsFd, mut answer: impl FnMut() -> bool) {
    while !ending.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut ready, PollTimeout::from(50_u8));
        while answer() {}
    }
}

/// Who answers there.
fn ask(client: &Host, protocol: i32, address: IpAddr, port: u16) -> Outcome<String> {
    let asking = || {
        let socket = socket(protocol, address)?;
        socket.set_read_timeout(Some(secs(3.0)))?;
        socket.connect_timeout(&SocketAddr::new(address, port).into(), secs(3.0))?;
        if protocol == UDP {
            socket.send(b"?")?;
        }
        let mut name = [0; 16];
        let count = (&socket).read(&mut name)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&name[..count]).into_owned())
    };
    client.space.inside(asking).map_err(|e| format!("protocol {protocol}, {address} port {port}: {e}"))
}

/// Two servers that answer in turn.
fn in_turn(counts: &BTreeMap<String, u32>, what: &str) -> Outcome {
    let wanted = BTreeMap::from([("r1".to_owned(), 3), ("r2".to_owned(), 3)]);
    ensure!(*counts == wanted, "{what}: {counts:?}");
    Ok(())
}

fn protocols(lab: &Lab) -> Outcome {
    let (v4, v6) = (IpAddr::from(SERVICE), IpAddr::from(SERVICE6));
    let services =
        [("TCP", TCP, v6, 80), ("UDP", UDP, v4, 53), ("UDP", UDP, v6, 53), ("SCTP", SCTP, v4, 2905)];
    let inner = |number: u8, of: IpAddr| match of {
        IpAddr::V4(_) => IpAddr::from([10, 0, 0, 10 + number]),
        IpAddr::V6(_) => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0x10 + u16::from(number)]),
    };
    let text: Vec<String> = services
        .iter()
        .map(|(name, _, address, port)| {
            let reals = [1, 2].map(|n| format!("    real_server {} {port} {{\n    }}", inner(n, *address)));
            let words = format!("lb_algo rr\nlb_kind NAT\nprotocol {name}");
            service(&format!("{address} {port}"), &words, &[&reals[0], &reals[1]])
        })
        .collect();
    let mut farm = Farm::new(lab, 2, &text.concat())?;
    for host in farm.reals.iter().chain([&farm.director, &farm.client]) {
        host.space.sysctl("net.ipv6.conf.all.disable_ipv6", "0")?;
    }
    farm.director.space.ip(&format!(
        "address add fd00::1/64 dev eth0 nodad\naddress add fd00:9::1/64 dev eth1 nodad\n\
         address add {SERVICE6}/128 dev eth1 nodad"
    ))?;
    farm.director.space.sysctl("net.ipv6.conf.all.forwarding", "1")?;
    farm.client.space.ip("address add fd00:9::10/64 dev eth0 nodad\nroute add default via fd00:9::1")?;
    let mut servers = Vec::new();
    for (real, number) in farm.reals.iter().zip(1..) {
        let address = inner(number, v6);
        real.space.ip(&format!("address add {address}/64 dev eth0 nodad\nroute add default via fd00::1"))?;
        for (_, protocol, address, port) in services {
            servers.push(Named::listen(real, protocol, inner(number, address), port)?);
        }
    }
    farm.start()?;
    farm.table(
        &[
            "TCP [fd00:9::100]:80 rr: [fd00::11]:80 Masq 1, [fd00::12]:80 Masq 1",
            "UDP 10.9.0.100:53 rr: 10.0.0.11:53 Masq 1, 10.0.0.12:53 Masq 1",
            "UDP [fd00:9::100]:53 rr: [fd00::11]:53 Masq 1, [fd00::12]:53 Masq 1",
            "SCTP 10.9.0.100:2905 rr: 10.0.0.11:2905 Masq 1, 10.0.0.12:2905 Masq 1",
        ],
        10.0,
    )?;
    for (name, protocol, address, port) in services {
        let mut counts = BTreeMap::new();
        for _ in 0..6 {
            *counts.entry(ask(&farm.client, protocol, address, port)?).or_default() += 1;
        }
        in_turn(&counts, &format!("{name} {address}"))?;
    }
    drop(servers);
    Ok(())
}

fn tunnels(lab: &Lab) -> Outcome {
    let kinds = [
        ("ipip", "ipip"),
        ("gue port 6080", "gue port 6080 csum"),
        ("gue port 6080 remcsum", "gue port 6080 nocsum"),
        ("gre", "gre csum"),
    ];
    let (mut text, mut wanted) = (String::new(), Vec::new());
    for ((first, second), port) in kinds.iter().zip(80..) {
        let method = |number: u8, kind: &str| real(number, port, &format!("lvs_method TUN type {kind}"));
        let reals = [method(1, first), method(2, second)];
        let words = "lb_algo rr\nlb_kind NAT\nprotocol TCP";
        text += &service(&format!("{SERVICE} {port}"), words, &[&reals[0], &reals[1]]);
        wanted.push(format!("TCP {SERVICE}:{port} rr: 10.0.0.11:{port} Tunnel 1, 10.0.0.12:{port} Tunnel 1"));
    }
    let mut farm = Farm::new(lab, 2, &text)?;
    farm.take_in("tunl0")?;
    let mut servers = Vec::new();
    for real in &farm.reals {
        real.space.run("ip", &["fou", "add", "port", "6080", "gue"])?;
        real.space.sysctl("net.ipv4.conf.gre0.rp_filter", "0")?;
        real.space.ip("link set gre0 up")?;
        if real.name == "r2" {
            // Without and with checksums are two kinds of tunnels here.
            real.space
                .ip("link add gre1 type gre local 10.0.0.12 remote 10.0.0.1 icsum\nlink set gre1 up")?;
        }
        for port in 80..84 {
            servers.push(Server::named(real, port)?);
        }
    }
    farm.start()?;
    farm.table(&wanted.iter().map(String::as_str).collect::<Vec<_>>(), 10.0)?;
    for ((first, second), port) in kinds.iter().zip(80..) {
        in_turn(&answers(&farm.client.space, SERVICE, port, 6), &format!("{first}, {second}"))?;
    }
    drop(servers);
    Ok(())
}
