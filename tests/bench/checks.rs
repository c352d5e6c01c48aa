//! Health checks of thousands of servers: what they cost, whether all are made and how evenly; and the reload of many.
//!
//! IPVS is pretended inside the daemon's processes (`pretended_ipvs.c`), so that this runs on every kernel, at the machine's
//! own speed. All servers are one backend in this program, whose processor time is left out.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::signal::Signal;
use openssl::ssl::{Ssl, SslContext, SslFiletype, SslMethod, SslStream};
use socket2::SockRef;

use super::Figures;
use super::kit::daemon::{Daemon, Program};
use super::kit::net::Host;
use super::kit::place::{tool, write, write_script};
use super::kit::wait::{Outcome, Stamp, ensure, secs, until};
use super::measure::cpu;
use super::scale::quiet;
use super::scenarios::services;

const SHIM: &str = include_str!("pretended_ipvs.c");

/// Where the backend listens.
const PORT: u16 = 8080;

/// How long checks are counted, in seconds, and in how many parts of a second.
const SPAN: f64 = 10.0;
const SLOTS: f64 = 10.0;

/// Threads of the backend: each serves one connection at a time.
const SERVING: usize = 8;

/// What is checked, and how many servers: a handshake costs ten times a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http,
    Tls,
}

impl Kind {
    fn servers(self) -> u32 {
        match self {
            Self::Tcp | Self::Http => 4000,
            Self::Tls => 500,
        }
    }

    fn block(self) -> &'static str {
        match self {
            Self::Tcp => "TCP_CHECK {\n   connect_timeout 3\n  }",
            Self::Http => {
                "HTTP_GET {\n   url {\n    path /x\n    status_code 200\n   }\n   connect_timeout 3\n  }"
            }
            Self::Tls => {
                "SSL_GET {\n   url {\n    path /x\n    status_code 200\n   }\n   connect_timeout 3\n  }"
            }
        }
    }
}

pub(crate) fn tcp(program: &Program, directory: &Path) -> Outcome<Figures> {
    checks(program, directory, Kind::Tcp)
}

pub(crate) fn http(program: &Program, directory: &Path) -> Outcome<Figures> {
    checks(program, directory, Kind::Http)
}

pub(crate) fn tls(program: &Program, directory: &Path) -> Outcome<Figures> {
    checks(program, directory, Kind::Tls)
}

/// Real servers with a check each, a hundred to a service. The last one's weight can be chosen.
fn checked(servers: u32, delay: u32, check: &str, last_weight: u32) -> String {
    let mut text = String::new();
    for number in 0..servers {
        if number % 100 == 0 {
            let [.., a, b] = (number / 100 + 1).to_be_bytes();
            let close = if number == 0 { "" } else { "}\n" };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{close}virtual_server 10.60.{a}.{b} 80 {{\n delay_loop {delay}\n lvs_sched rr\n lvs_method NAT\n protocol TCP"
            );
        }
        let [.., a, b] = number.to_be_bytes();
        let weight = if number + 1 == servers { last_weight } else { 1 };
        let _ = writeln!(text, " real_server 10.64.{a}.{b} {PORT} {{\n  weight {weight}\n  {check}\n }}");
    }
    text.push_str("}\n");
    text
}

/// A host on which all servers are, and the program with IPVS pretended.
fn stage(program: &Program, directory: &Path) -> Outcome<(Host, Program)> {
    let host = Host::new("one")?;
    host.space.ip("route add local 10.64.0.0/16 dev lo")?;
    Ok((host, pretending(program, directory)?))
}

/// The file to which a pretending program writes when it changes the table.
fn changes(directory: &Path) -> PathBuf {
    directory.join("changes")
}

/// The program behind a script that preloads the pretence.
fn pretending(program: &Program, directory: &Path) -> Outcome<Program> {
    let (source, library) = (directory.join("pretended.c"), directory.join("pretended.so"));
    write(&source, SHIM)?;
    let made =
        tool("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").output();
    let made = made.map_err(|e| format!("a C compiler is needed: {e}"))?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    write(&changes(directory), "")?;
    let script = directory.join(&program.label);
    let text = format!(
        "#!/bin/sh\nexport LD_PRELOAD={} PRETENDED_IPVS={}\nexec {} \"$@\"\n",
        library.display(),
        changes(directory).display(),
        program.path.display()
    );
    write_script(&script, &text)?;
    Ok(Program { label: program.label.clone(), path: script })
}

fn checks(program: &Program, directory: &Path, kind: Kind) -> Outcome<Figures> {
    let (host, pretending) = stage(program, directory)?;
    let backend = Backend::new(&host, directory, kind)?;
    let wanted = f64::from(kind.servers());
    let daemon =
        Daemon::start_on(&host, &pretending, directory, &checked(kind.servers(), 1, kind.block(), 1))?;
    until(secs(60.0), "every server checked", || (backend.served() >= kind.servers()).then_some(()))?;
    quiet(5.0)?;
    let (before, from) = (cpu(&daemon), backend.now());
    quiet(SPAN)?;
    let (spent, to) = (cpu(&daemon) - before, backend.now());
    let slots = backend.end(from, to);
    ensure!(daemon.processes().len() >= 2, "a process is gone");
    ensure!(!daemon.logged("Removing service"), "a check failed");
    let slots: Vec<f64> = slots.into_iter().map(f64::from).collect();
    // Figures of ten seconds.
    #[expect(clippy::cast_precision_loss, reason = "some hundred")]
    let count = slots.len() as f64;
    let done: f64 = slots.iter().sum();
    let mean = done / count;
    let deviation = (slots.iter().map(|slot| (slot - mean).powi(2)).sum::<f64>() / count).sqrt();
    let seconds = count / SLOTS;
    Ok(vec![
        ("CPU of 1,000 checks, ms", spent * 1e6 / (done / seconds * (to - from))),
        ("checks done of those wanted", done / seconds / wanted),
        ("unevenness: deviation / mean of 0.1 s", deviation / mean),
    ])
}

/// All the servers.
struct Backend {
    listener: TcpListener,
    ending: Arc<AtomicBool>,
    slots: Arc<Vec<AtomicU32>>,
    epoch: Instant,
    threads: Vec<JoinHandle<()>>,
}

impl Backend {
    fn new(host: &Host, directory: &Path, kind: Kind) -> Outcome<Self> {
        let context = if kind == Kind::Tls { Some(context(directory)?) } else { None };
        let listener = host.space.inside(|| TcpListener::bind(("0.0.0.0", PORT)));
        let listener = listener.map_err(|e| format!("the backend: {e}"))?;
        SockRef::from(&listener).listen(4096).map_err(|e| format!("the backend: {e}"))?;
        let mut backend = Self {
            listener,
            ending: Arc::default(),
            slots: Arc::new((0..6000).map(|_| AtomicU32::new(0)).collect()),
            epoch: Instant::now(),
            threads: Vec::new(),
        };
        for _ in 0..SERVING {
            let listener = backend.listener.try_clone().map_err(|e| format!("the backend: {e}"))?;
            let (ending, slots) = (Arc::clone(&backend.ending), Arc::clone(&backend.slots));
            let (epoch, context) = (backend.epoch, context.clone());
            backend.threads.push(std::thread::spawn(move || {
                while !ending.load(Ordering::Relaxed) {
                    let Ok((stream, _)) = listener.accept() else { continue };
                    if serve(stream, kind, context.as_deref()) {
                        let slot = slot(epoch.elapsed().as_secs_f64());
                        if let Some(slot) = slots.get(slot) {
                            slot.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            }));
        }
        Ok(backend)
    }

    /// Seconds of its life.
    fn now(&self) -> f64 {
        self.epoch.elapsed().as_secs_f64()
    }

    fn served(&self) -> u32 {
        self.slots.iter().map(|slot| slot.load(Ordering::Relaxed)).sum()
    }

    /// What it served in each whole slot between these moments.
    fn end(&self, from: f64, to: f64) -> Vec<u32> {
        let whole = slot(from) + 1..slot(to);
        self.slots[whole].iter().map(|slot| slot.load(Ordering::Relaxed)).collect()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        // Who waits in accept is woken.
        let _ = nix::sys::socket::shutdown(
            std::os::fd::AsRawFd::as_raw_fd(&self.listener.as_fd()),
            nix::sys::socket::Shutdown::Both,
        );
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of one round")]
fn slot(seconds: f64) -> usize {
    (seconds * SLOTS) as usize
}

/// One check; was it made?
fn serve(mut stream: TcpStream, kind: Kind, context: Option<&SslContext>) -> bool {
    const ANSWER: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
    // Nobody is waited for longer.
    let limit = Some(secs(3.0));
    if stream.set_read_timeout(limit).and(stream.set_write_timeout(limit)).is_err() {
        return false;
    }
    let mut question = [0; 2048];
    match (kind, context) {
        (Kind::Tcp, _) => true,
        (Kind::Http, _) => {
            stream.read(&mut question).is_ok_and(|read| read > 0)
                && stream.write_all(ANSWER).is_ok()
                && stream.shutdown(Shutdown::Write).is_ok()
        }
        (Kind::Tls, Some(context)) => {
            let Ok(Ok(mut tls)) = Ssl::new(context).map(|ssl| SslStream::new(ssl, stream)) else {
                return false;
            };
            tls.accept().is_ok()
                && tls.read(&mut question).is_ok_and(|read| read > 0)
                && tls.write_all(ANSWER).is_ok()
                && tls.shutdown().is_ok()
        }
        (Kind::Tls, None) => false,
    }
}

/// A server with a key that costs it little.
fn context(directory: &Path) -> Outcome<Arc<SslContext>> {
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let made = tool("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=bench", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .map_err(|e| format!("openssl: {e}"))?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let broken = |error: openssl::error::ErrorStack| error.to_string();
    let mut builder = SslContext::builder(SslMethod::tls_server()).map_err(broken)?;
    builder.set_certificate_chain_file(certificate).map_err(broken)?;
    builder.set_private_key_file(key, SslFiletype::PEM).map_err(broken)?;
    Ok(Arc::new(builder.build()))
}

/// SIGHUP to the one change, of many virtual servers without checks and of many real servers with them.
pub(crate) fn reload(program: &Program, directory: &Path) -> Outcome<Figures> {
    let changed = |count: u32| services(count, "").replacen("weight 1\n", "weight 7\n", 1);
    let plain = one_change(program, directory, [services(5000, ""), changed(5000)])?;
    let with_checks = one_change(program, directory, one_weight(4000))?;
    Ok(vec![
        ("5,000 services x 4: SIGHUP to the change, ms", plain.0),
        ("the same: CPU, ms", plain.1),
        ("4,000 checked: SIGHUP to the change, ms", with_checks.0),
        ("the same with checks: CPU, ms", with_checks.1),
    ])
}

/// The same with so many that stock needs minutes.
pub(crate) fn reload_large(program: &Program, directory: &Path) -> Outcome<Figures> {
    let (time, cpu) = one_change(program, directory, one_weight(40_000))?;
    Ok(vec![("SIGHUP to the change, ms", time), ("CPU of it, ms", cpu)])
}

/// Two configurations that differ in a weight. Checks are seldom: the reload is what is measured.
fn one_weight(servers: u32) -> [String; 2] {
    [1, 7].map(|weight| checked(servers, 60, Kind::Tcp.block(), weight))
}

/// The time from SIGHUP to the first change of the table, and the CPU of the reload, in milliseconds.
fn one_change(program: &Program, directory: &Path, [first, second]: [String; 2]) -> Outcome<(f64, f64)> {
    let (host, pretending) = stage(program, directory)?;
    // Somebody answers the checks.
    let _backend = Backend::new(&host, directory, Kind::Tcp)?;
    let daemon = Daemon::start_on(&host, &pretending, directory, &first)?;
    until(secs(120.0), "a daemon at rest", || {
        let before = cpu(&daemon);
        std::thread::sleep(secs(1.0));
        (daemon.processes().len() >= 2 && cpu(&daemon) - before < 0.15).then_some(())
    })?;
    // What a start needed is given back some seconds after it.
    quiet(5.0)?;
    let said = || fs::read_to_string(changes(directory)).unwrap_or_default();
    let seen = said().lines().count();
    daemon.configure(&second)?;
    let before = cpu(&daemon);
    let at = daemon.signal(Signal::SIGHUP)?;
    let moment = until(secs(150.0), "the change", || {
        let moment = said().lines().nth(seen)?.parse().ok()?;
        Some(Stamp(moment))
    })?;
    quiet(1.0)?;
    Ok((moment.since(at) * 1e3, (cpu(&daemon) - before) * 1e3))
}
