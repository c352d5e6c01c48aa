//! For the tests of the kernel edge: a fresh network namespace for one thread, and `ip` inside it.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use super::arp::{Announcement, ArpSocket};

/// Runs `test` on a thread of its own in a new network namespace with `lo` up. Without the right to make one the test
/// is skipped, aloud.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let outcome = std::thread::spawn(|| {
        if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
            eprintln!("SKIPPED: no network namespace: {errno}");
            return;
        }
        run("ip link set lo up");
        test();
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// A veth pair in this namespace, both ends up, and carrying: the kernel starts a queue some time after "up".
pub(crate) fn wire(near: &str, far: &str) {
    run(&format!("ip link add {near} type veth peer name {far}"));
    run(&format!("ip link set {near} up"));
    run(&format!("ip link set {far} up"));
    let protocol = socket2::Protocol::from(i32::from(0x0806_u16.to_be()));
    let kind = socket2::Type::RAW.nonblocking();
    let listener = socket2::Socket::new_raw(socket2::Domain::PACKET, kind, Some(protocol)).unwrap();
    let (arp, index) = (ArpSocket::open().unwrap(), nix::net::if_::if_nametoindex(near).unwrap());
    eventually(|| {
        let nobody = Announcement { index, mac: [2, 0, 0, 0, 0, 0xff], address: [0, 0, 0, 0].into() };
        arp.announce(&[nobody], |error| panic!("{error}"));
        listener.recv(&mut [std::mem::MaybeUninit::uninit(); 64]).is_ok()
    });
}

/// Binds a packet socket: only what arrives on the interface with this index.
pub(crate) fn bind_packet(socket: &socket2::Socket, index: u32, protocol: socket2::Protocol) {
    // SAFETY: all zero is a valid `sockaddr_ll`.
    let mut at: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    at.sll_family = libc::AF_PACKET.try_into().unwrap();
    at.sll_protocol = i32::from(protocol).try_into().unwrap();
    at.sll_ifindex = index.try_into().unwrap();
    let length = size_of_val(&at).try_into().unwrap();
    // SAFETY: the address lives for the call and the length is its own.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const at).cast(), length) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Asks again and again until it is so, five seconds at most.
pub(crate) fn eventually(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within five seconds");
        std::thread::yield_now();
    }
}

/// Runs a command made of plain words; it must succeed.
pub(crate) fn run(command: &str) -> String {
    run_with_input(command, "")
}

/// As [`run`], with this on its standard input.
pub(crate) fn run_with_input(command: &str, input: &str) -> String {
    let mut words = command.split_whitespace();
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert!(status.success(), "{command}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// What a command prints as JSON.
pub(crate) fn ip_json(command: &str) -> serde_json::Value {
    serde_json::from_str(&run(command)).unwrap()
}
