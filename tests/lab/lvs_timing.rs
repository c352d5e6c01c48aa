//! When checks attempt, take out and put in, with stock beside it in the same run: theory (spec/checkers.md §3) is the yardstick
//! of both, packets are stamped by the kernel.
//!
//! Every check of both daemons has a backend of its own that passes and fails by the number of the attempt. What is
//! measured is the pause from the end of an attempt to the start of the next, and from the end of the decisive one to the
//! log line of the change. Files and BFD sessions make no attempts: theirs is the time from the write, from the peer's
//! decisive packet, or from the end of the detection time, to the line. A busy machine makes all that longer, by more than
//! what is to be shown: so the most punctual of each is compared, closely where stock's own medians say that the machine is
//! quiet, else coarsely, and pauses alone.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use openssl::ssl::{Ssl, SslContext, SslFiletype, SslMethod, SslStream};

use crate::case::{Case, Lab};
use crate::farm::{Farm, real, service};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::http::{Server, answer, reply};
use crate::kit::net::Host;
use crate::kit::place::{self, tool, write, write_script};
use crate::kit::wait::{Outcome, Stamp, ensure, secs, until};
use crate::kit::wire::{Frame, Sniffer};

pub(crate) const CASES: &[Case] = &[Case::guest("check_timing_is_stocks", timing)];

/// How much farther from theory than stock ours may be in the same run, in seconds.
const BOUND: f64 = 0.020;

/// The same for the most punctual pause on a machine that is not quiet.
const BUSY: f64 = 0.500;

/// Where stock's median is not farther from theory than this, the machine is quiet: seconds. What its script needs comes
/// on top.
const QUIET: f64 = 0.006;

/// What a script of some commands needs on a quiet machine, in seconds.
const SCRIPT: f64 = 0.040;

/// Attempts of each check that are looked at: two rounds of [`passes`].
const ATTEMPTS: usize = 14;

/// The same of BFD sessions: they take seconds to come up and to expire.
const SESSIONS: usize = 3;

/// Contents of the tracked file that leave the server as it is, and that take it out (spec/checkers.md §5); how long each
/// stands, in seconds.
const GOOD: &str = "0\n";
const BAD: &str = "-2000000000\n";
const WRITE_PAUSE: f64 = 0.9;

/// `connect_timeout`: how long a silent server is waited for, in seconds.
const TIMEOUT: f64 = 0.5;

/// Does the attempt of this number pass?
fn passes(number: usize) -> bool {
    !matches!(number % 7, 2 | 3)
}

/// The kinds of check, with the port of each; that of a check without one names its real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http,
    Ssl,
    Smtp,
    Dns,
    Udp,
    Ping,
    Misc,
    File,
    Bfd,
}

const KINDS: [Kind; 10] = [
    Kind::Tcp,
    Kind::Http,
    Kind::Ssl,
    Kind::Smtp,
    Kind::Dns,
    Kind::Udp,
    Kind::Ping,
    Kind::Misc,
    Kind::File,
    Kind::Bfd,
];

impl Kind {
    fn port(self) -> u16 {
        match self {
            Self::Tcp => 81,
            Self::Http => 80,
            Self::Ssl => 443,
            Self::Smtp => 25,
            Self::Dns => 53,
            Self::Udp => 54,
            Self::Ping => 82,
            Self::Misc => 83,
            Self::File => 84,
            Self::Bfd => 85,
        }
    }

    /// Attempts that are looked at.
    fn looked_at(self) -> usize {
        if self == Self::Bfd { SESSIONS } else { ATTEMPTS }
    }

    /// Does it wait for what happens, instead of looking for itself?
    fn is_told(self) -> bool {
        matches!(self, Self::File | Self::Bfd)
    }

    /// `delay_loop` and `delay_before_retry` in seconds: other ones for each kind, so that they do not all attempt at once.
    fn delays(self) -> (f64, f64) {
        let number = f64::from(self as u8);
        (0.80 + 0.07 * number, 0.40 + 0.03 * number)
    }

    fn block(self, script: &str) -> String {
        let (delay, retry) = self.delays();
        let (name, words) = match self {
            Self::Tcp => ("TCP_CHECK", ""),
            Self::Http => ("HTTP_GET", "url {\n path /\n status_code 200\n }"),
            Self::Ssl => ("SSL_GET", "url {\n path /\n status_code 200\n }"),
            Self::Smtp => ("SMTP_CHECK", ""),
            Self::Dns => ("DNS_CHECK", "type A\n name lab"),
            Self::Udp => ("UDP_CHECK", "payload 0102\n require_reply 02"),
            Self::Ping => ("PING_CHECK", ""),
            Self::Misc => ("MISC_CHECK", ""),
            Self::File => return "FILE_CHECK {\n track_file load\n}".to_owned(),
            Self::Bfd => return "BFD_CHECK {\n name B\n}".to_owned(),
        };
        let own = match self {
            Self::Misc => format!("misc_path {script}\n misc_timeout 2"),
            _ => format!("connect_timeout {TIMEOUT}"),
        };
        let timing = format!("delay_loop {delay:.2}\n delay_before_retry {retry:.2}\n retry 1\n warmup 0");
        format!("{name} {{\n {words}\n {own}\n {timing}\n}}")
    }

    /// Does a frame from or to its port belong to it; is it the first of an attempt?
    fn belongs(self, packet: Packet) -> bool {
        match self {
            Self::File => false,
            Self::Bfd => packet.protocol == 17 && packet.port == bfd::PORT,
            Self::Ping => packet.protocol == 1,
            Self::Dns | Self::Udp => packet.protocol == 17 && packet.port == self.port(),
            _ => packet.protocol == 6 && packet.port == self.port(),
        }
    }

    fn is_first(self, packet: Packet) -> bool {
        self.belongs(packet) && packet.is_opening
    }
}

/// What of a frame counts here.
#[derive(Clone, Copy, Debug)]
struct Packet {
    at: Stamp,
    protocol: u8,
    /// Of the real server.
    server: u8,
    port: u16,
    /// SYN, echo, or a datagram to the server.
    is_opening: bool,
    /// FIN or RST to the server.
    is_closing: bool,
    /// SYN and ACK, echo reply, or a datagram from the server.
    is_answer: bool,
    /// The second byte of a datagram.
    second: u8,
}

/// Packets of UDP and ICMP, and the beginnings and ends of TCP's connections, over IPv4.
fn is_kept(frame: &[u8]) -> bool {
    let flags = || frame.get(14 + usize::from(frame[14] & 15) * 4 + 13).copied().unwrap_or_default();
    frame.get(12..14) == Some(&[8, 0])
        && match frame.get(23) {
            Some(1 | 17) => true,
            // FIN, SYN, RST.
            Some(6) => flags() & 0x07 != 0,
            _ => false,
        }
}

fn packet(frame: &Frame) -> Option<Packet> {
    let ip = frame.bytes.get(14..)?;
    let payload = ip.get(usize::from(ip[0] & 15) * 4..)?;
    let port = |at: usize| Some(u16::from_be_bytes([*payload.get(at)?, *payload.get(at + 1)?]));
    let to_server = matches!(ip.get(19)?, 11 | 12);
    let (opens, answers) = match ip[9] {
        6 => (payload.get(13)? & 0x12 == 0x02, payload.get(13)? & 0x12 == 0x12),
        1 => (payload.first() == Some(&8), payload.first() == Some(&0)),
        _ => (true, true),
    };
    Some(Packet {
        at: frame.at,
        protocol: ip[9],
        server: if to_server { ip[19] } else { ip[15] },
        port: if to_server { port(2)? } else { port(0)? },
        is_opening: to_server && opens,
        is_answer: !to_server && answers,
        is_closing: to_server && ip[9] == 6 && payload.get(13)? & 0x05 != 0,
        second: payload.get(9).copied().unwrap_or_default(),
    })
}

/// One attempt: start and end in seconds since the epoch of the case, and its result.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    start: f64,
    end: f64,
    passed: bool,
}

/// The backends of one daemon's checks.
struct Stage {
    host: Host,
    open: Option<Server>,
    echoes: bool,
    script_record: std::path::PathBuf,
    /// The file that is tracked, and what was written when: is it a good number?
    number: std::path::PathBuf,
    writes: Vec<(Stamp, bool)>,
    _web: [Server; 3],
    ending: Arc<AtomicBool>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
    }
}

impl Stage {
    fn new(lab: &Lab, host: Host, context: &SslContext) -> Outcome<(Self, String)> {
        let numbered = || {
            let count = AtomicUsize::new(0);
            move || passes(count.fetch_add(1, Ordering::Relaxed))
        };
        let page = |good| if good { answer("hello") } else { reply("500 No", "no") };
        let next = numbered();
        let web = Server::behaving(&host, Kind::Http.port(), move |stream, _| {
            let _ = stream.write_all(page(next()).as_bytes());
        })?;
        let (next, context) = (numbered(), context.clone());
        let tls = Server::raw(&host, Kind::Ssl.port(), move |stream| {
            let Ok(Ok(mut tls)) = Ssl::new(&context).map(|ssl| SslStream::new(ssl, stream)) else { return };
            if tls.accept().is_ok() && tls.read(&mut [0; 2048]).is_ok() {
                let _ = tls.write_all(page(next()).as_bytes());
                let _ = tls.shutdown();
            }
        })?;
        let next = numbered();
        let mail = Server::raw(&host, Kind::Smtp.port(), move |stream| {
            let lines: &[&[u8]] =
                if next() { &[b"220 lab\r\n", b"250 lab\r\n", b"221 bye\r\n"] } else { &[b"421 no\r\n"] };
            for line in lines {
                if stream.write_all(line).is_err() || stream.read(&mut [0; 512]).is_err() {
                    return;
                }
            }
        })?;
        let ending = Arc::new(AtomicBool::new(false));
        datagrams(&host, Kind::Dns, &ending, |question, good| {
            question[2] |= 0x80;
            question[3] = if good { 0 } else { 2 };
            true
        })?;
        datagrams(&host, Kind::Udp, &ending, |question, good| {
            question[0] = 2;
            good
        })?;
        bfd::peer(&host, &ending)?;
        let file = |end: &str| lab.directory.join(format!("{}.{end}", host.name));
        let (record, script, tracked) = (file("times"), file("sh"), file("number"));
        write(&tracked, GOOD)?;
        let at = record.display();
        write_script(
            &script,
            &format!(
                "#!/bin/sh\ndate +%s.%N >>{at}\nn=$((($(wc -l <{at}) - 1) % 7))\n[ $n != 2 ] && [ $n != 3 ]\n"
            ),
        )?;
        let number = if host.name == "r1" { 1 } else { 2 };
        let services: String = KINDS
            .iter()
            .map(|kind| {
                let check = kind.block(&script.display().to_string());
                let words = "lb_algo rr\nlb_kind NAT\nprotocol TCP";
                let port = kind.port();
                service(&format!("10.9.0.100 {port}"), words, &[&real(number, port, &check)])
            })
            .collect();
        let config = format!(
            "global_defs {{\n script_user root\n}}\ntrack_file load {{\n file {}\n weight 2\n}}\n\
             bfd_instance B {{\n neighbor_ip 10.0.0.{}\n source_ip 10.0.0.{number}\n min_rx {}\n min_tx 100\n}}\n{services}",
            tracked.display(),
            10 + number,
            bfd::INTERVAL
        );
        let open = Some(Server::named(&host, Kind::Tcp.port())?);
        let stage = Self {
            host,
            open,
            echoes: true,
            script_record: record,
            number: tracked,
            writes: Vec::new(),
            _web: [web, tls, mail],
            ending,
        };
        Ok((stage, config))
    }

    /// Prepares for the attempts of these numbers of the checks that need no server, and writes another number from time to
    /// time.
    fn set(&mut self, connect: usize, echo: usize) -> Outcome {
        let now = Stamp::now();
        let rests = self.writes.last().is_some_and(|(at, _)| now.since(*at) < WRITE_PAUSE);
        if connect > 0 && !rests {
            let is_good = self.writes.last().is_some_and(|(_, is_good)| !is_good);
            self.writes.push((now, is_good));
            write(&self.number, if is_good { GOOD } else { BAD })?;
        }
        if passes(connect) && self.open.is_none() {
            self.open = Some(Server::named(&self.host, Kind::Tcp.port())?);
        } else if !passes(connect) {
            self.open = None;
        }
        if std::mem::replace(&mut self.echoes, passes(echo)) != passes(echo) {
            let ignored = if passes(echo) { "0" } else { "1" };
            self.host.space.sysctl("net.ipv4.icmp_echo_ignore_all", ignored)?;
        }
        Ok(())
    }

    fn server(&self) -> u8 {
        if self.host.name == "r1" { 11 } else { 12 }
    }

    /// The attempts so far.
    fn attempts(&self, kind: Kind, packets: &[Packet], epoch: Stamp) -> Vec<Attempt> {
        if kind == Kind::Misc {
            let written = std::fs::read_to_string(&self.script_record).unwrap_or_default();
            #[expect(clippy::cast_precision_loss, reason = "tenths of microseconds are enough")]
            let epoch = epoch.0 as f64 / 1e9;
            let starts = written.lines().filter_map(|line| line.parse::<f64>().ok()).enumerate();
            return starts
                .map(|(number, at)| Attempt { start: at - epoch, end: at - epoch, passed: passes(number) })
                .collect();
        }
        let told = |moments: Vec<(Stamp, bool)>| {
            let moments = moments.into_iter().map(|(at, passed)| (at.since(epoch), passed));
            moments.map(|(at, passed)| Attempt { start: at, end: at, passed }).collect()
        };
        match kind {
            Kind::File => return told(self.writes.clone()),
            Kind::Bfd => {
                let said = packets.iter().filter(|packet| {
                    packet.server == self.server() && packet.is_answer && kind.belongs(**packet)
                });
                return told(bfd::moments(said.map(|packet| (packet.at, packet.second))));
            }
            _ => {}
        }
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut closed = false;
        for packet in packets.iter().filter(|packet| packet.server == self.server() && kind.belongs(**packet))
        {
            let at = packet.at.since(epoch);
            if kind.is_first(*packet) {
                let passed = !matches!(kind, Kind::Tcp | Kind::Udp | Kind::Ping) && passes(attempts.len());
                attempts.push(Attempt { start: at, end: at, passed });
                closed = false;
            } else if let Some(attempt) = attempts.last_mut() {
                if !closed {
                    attempt.end = at;
                }
                closed |= packet.is_closing;
                attempt.passed |= packet.is_answer && matches!(kind, Kind::Tcp | Kind::Udp | Kind::Ping);
            }
        }
        if matches!(kind, Kind::Udp | Kind::Ping) {
            for attempt in attempts.iter_mut().filter(|attempt| !attempt.passed) {
                attempt.end = attempt.start + TIMEOUT;
            }
        }
        attempts
    }
}

/// Answers datagrams as `change` makes them, unless it says no.
fn datagrams(
    host: &Host,
    kind: Kind,
    ending: &Arc<AtomicBool>,
    change: fn(&mut [u8], bool) -> bool,
) -> Outcome {
    let socket = host.space.inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, kind.port())));
    let socket = socket.map_err(|e| format!("datagrams on {}: {e}", host.name))?;
    socket.set_read_timeout(Some(Duration::from_millis(100))).map_err(|e| e.to_string())?;
    let ending = Arc::clone(ending);
    std::thread::spawn(move || {
        let (mut buffer, mut number) = ([0; 512], 0);
        while !ending.load(Ordering::Relaxed) {
            let Ok((length @ 1.., from)) = socket.recv_from(&mut buffer) else { continue };
            if change(&mut buffer, passes(number)) {
                let _ = socket.send_to(&buffer[..length], from);
            }
            number += 1;
        }
    });
    Ok(())
}

/// What theory says of a check whose attempts went like this: the pause behind each in seconds, and those that take the server
/// out and put it in.
fn theory(kind: Kind, attempts: &[Attempt]) -> (Vec<f64>, Vec<usize>, Vec<usize>) {
    let (delay, before_retry) = kind.delays();
    let (mut pauses, mut out, mut back) = (Vec::new(), Vec::new(), Vec::new());
    if kind.is_told() {
        let (back, out) = (0..attempts.len()).partition(|number| attempts[*number].passed);
        return (pauses, out, back);
    }
    let (mut up, mut forgiven, mut url_passed, mut has_run) = (true, false, true, false);
    for (number, attempt) in attempts.iter().enumerate() {
        let mut pause = delay;
        match (attempt.passed, up) {
            (true, true) => (forgiven, has_run) = (false, true),
            (false, true) if !forgiven && has_run => (forgiven, pause) = (true, before_retry),
            (false, true) => {
                (up, forgiven, url_passed) = (false, false, !matches!(kind, Kind::Http | Kind::Ssl));
                out.push(number);
            }
            // A url that failed passes once before the round that decides.
            (true, false) if !url_passed => url_passed = true,
            (true, false) => {
                up = true;
                back.push(number);
            }
            (false, false) => {}
        }
        pauses.push(pause);
    }
    (pauses, out, back)
}

/// The smallest of some values and their median, by how far they are from 0.
fn smallest_and_median(values: &[f64]) -> (f64, f64) {
    let mut values = values.to_vec();
    values.sort_by(|one, other| one.abs().total_cmp(&other.abs()));
    let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
    (at(0), at(values.len() / 2))
}

/// How much later than in theory a daemon attempts and changes its table, smallest and median in seconds.
fn lateness(
    stage: &Stage,
    daemon: &Daemon,
    kind: Kind,
    attempts: &[Attempt],
    epoch: Stamp,
) -> Outcome<[(f64, f64); 2]> {
    let (pauses, out, back) = theory(kind, attempts);
    let pauses: Vec<f64> =
        attempts.windows(2).zip(pauses).map(|(pair, pause)| pair[1].start - pair[0].end - pause).collect();
    let label = format!("service [10.0.0.{}]:tcp:{}", stage.server(), kind.port());
    let mut changes = Vec::new();
    for (verb, numbers) in [("Removing", out), ("Adding", back)] {
        let said = format!("{verb} {label} ");
        if kind.is_told() {
            for number in numbers {
                // One that a busy machine left out is followed by another of its kind, far behind.
                let happened = attempts[number].end;
                let line = until(secs(5.0), format!("{kind:?}: `{said}`"), || {
                    let log = daemon.log();
                    let mut lines = log.iter().filter(|line| line.text.contains(&said));
                    lines.find_map(|line| {
                        let late = line.at.since(epoch) - happened;
                        (late > -BOUND).then_some(late)
                    })
                });
                changes.push(line.map_err(|e| daemon.explain(format!("{e}\n{attempts:?}")))?);
            }
            continue;
        }
        let lines = until(secs(5.0), format!("{kind:?}: {} lines `{said}`", numbers.len()), || {
            let log = daemon.log();
            let lines = log.iter().filter(|line| line.text.contains(&said));
            let lines: Vec<f64> = lines.map(|line| line.at.since(epoch)).collect();
            (lines.len() >= numbers.len()).then_some(lines)
        })
        .map_err(|e| daemon.explain(format!("{e}\n{attempts:?}")))?;
        changes.extend(numbers.iter().zip(lines).map(|(number, line)| line - attempts[*number].end));
    }
    ensure!(changes.len() >= 3, "{kind:?} changed too seldom: {attempts:?}");
    Ok([smallest_and_median(&pauses), smallest_and_median(&changes)])
}

fn context(lab: &Lab) -> Outcome<SslContext> {
    let (certificate, key) = (lab.directory.join("cert.pem"), lab.directory.join("key.pem"));
    let made = tool("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lab", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(std::process::Stdio::null())
        .status();
    ensure!(made.is_ok_and(|status| status.success()), "openssl made no certificate");
    let broken = |error: openssl::error::ErrorStack| error.to_string();
    let mut builder = SslContext::builder(SslMethod::tls_server()).map_err(broken)?;
    builder.set_certificate_chain_file(certificate).map_err(broken)?;
    builder.set_private_key_file(key, SslFiletype::PEM).map_err(broken)?;
    Ok(builder.build())
}

fn timing(lab: &Lab) -> Outcome {
    let epoch = Stamp::now();
    let context = context(lab)?;
    let mut farm = Farm::new(lab, 2, "")?;
    let beside = farm.beside("s", "10.0.0.2")?;
    let wire: Sniffer = farm.record(&[&beside], is_kept)?;
    let theirs_host = farm.reals.pop().ok_or("no host")?;
    let ours_host = farm.reals.pop().ok_or("no host")?;
    let (ours, config) = Stage::new(lab, ours_host, &context)?;
    let (theirs, other_config) = Stage::new(lab, theirs_host, &context)?;
    farm.daemon.configure(&config)?;
    let mut stock = Daemon::new(&Program::stock(), &beside, &lab.directory, &other_config)?;
    farm.start()?;
    stock.start(&beside, &[])?;
    let mut stages = [ours, theirs];
    let mut all = Vec::new();
    until(secs(30.0), "the attempts that are looked at", || {
        let packets: Vec<Packet> = wire.frames().iter().filter_map(packet).collect();
        all.clear();
        let mut complete = true;
        for stage in &mut stages {
            let attempts = KINDS.map(|kind| stage.attempts(kind, &packets, epoch));
            let so_far = |kind: Kind| attempts[kind as usize].len();
            complete &= KINDS.iter().all(|kind| so_far(*kind) > kind.looked_at());
            if let Err(error) = stage.set(so_far(Kind::Tcp), so_far(Kind::Ping)) {
                return Some(Err(error));
            }
            all.extend(attempts);
        }
        complete.then_some(Ok(()))
    })??;
    let late = |place: usize, stage: usize, daemon: &Daemon| {
        let attempts = &all[stage * KINDS.len() + place];
        let kind = KINDS[place];
        lateness(&stages[stage], daemon, kind, &attempts[..=kind.looked_at()], epoch)
    };
    let mut figures = Vec::new();
    for (place, kind) in KINDS.into_iter().enumerate() {
        let (ours, theirs) = (late(place, 0, &farm.daemon)?, late(place, 1, &stock)?);
        for (what, ours, theirs) in [("pause", ours[0], theirs[0]), ("change", ours[1], theirs[1])] {
            if what == "change" || !kind.is_told() {
                figures.push((kind, what, ours, theirs));
            }
        }
    }
    // A script is started by what the daemon has just been told, and says when it began: its pauses are the least steady.
    let needed = |kind: &Kind| if *kind == Kind::Misc { SCRIPT } else { QUIET };
    let is_quiet = |kind: &Kind, theirs: (f64, f64)| theirs.1.abs() <= needed(kind);
    let quiet = figures.iter().filter(|(kind, _, _, theirs)| is_quiet(kind, *theirs)).count();
    let of = figures.len();
    let (mut report, mut wrong) = (String::new(), String::new());
    for (kind, what, ours, theirs) in figures {
        let line = format!(
            "{kind:?} {what}: {:.1} ms behind theory at least, median {:.1}; stock {:.1}, {:.1}\n",
            1e3 * ours.0,
            1e3 * ours.1,
            1e3 * theirs.0,
            1e3 * theirs.1
        );
        report.push_str(&line);
        let far = |ours: f64, theirs: f64, bound: f64| ours.abs() > bound + theirs.abs();
        // Where attempts come late, changes cannot be told from each other by their number.
        let is_steady = what == "pause" && kind != Kind::Misc;
        // By the most punctual: what is late by itself is always late, and stock's calm does not say that of ours.
        let is_quiet = is_quiet(&kind, theirs);
        // A script is asked for and reported over two processes more, which the guest's kernel makes dear.
        let close = if kind == Kind::Misc { 2.0 * BOUND } else { BOUND };
        let bound = if is_quiet { close } else { BUSY };
        if (is_quiet || is_steady) && far(ours.0, theirs.0, bound) {
            wrong.push_str(&line);
        }
    }
    let _ = writeln!(
        report,
        "bound: {:.0} ms; stock was quiet, so that it counted, in {quiet} of {of}",
        1e3 * BOUND
    );
    let _ = std::fs::write(place::store().join("check-timing.txt"), &report);
    ensure!(wrong.is_empty(), "{wrong}\nall:\n{report}");
    Ok(())
}

/// The peers of the daemons' BFD sessions: they come up, and fall silent, again and again (RFC 5880; spec/bfd.md §2, §3).
mod bfd {
    use super::{Arc, AtomicBool, Duration, Host, Ipv4Addr, Ordering, Outcome, Stamp, UdpSocket, secs};
    use std::time::Instant;

    /// RFC 5881 §4; the peer sends from it, too, so that its packets are known.
    pub(super) const PORT: u16 = 3784;

    /// What both sides want between packets, in milliseconds, and how many may be missing.
    pub(super) const INTERVAL: u16 = 100;
    const MULTIPLIER: u8 = 10;

    /// In seconds: between packets, speech of a session that is up, silence, which ends a session.
    const BEAT: f64 = 0.08;
    const SPEECH: f64 = 0.8;
    const SILENCE: f64 = 1.6;

    /// The states that count here.
    const DOWN: u8 = 1;
    const INIT: u8 = 2;
    const UP: u8 = 3;
    const POLL: u8 = 0x20;
    const FINAL: u8 = 0x10;

    /// Starts one.
    pub(super) fn peer(host: &Host, ending: &Arc<AtomicBool>) -> Outcome {
        let socket = host.space.inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)));
        let socket = socket.map_err(|e| format!("BFD on {}: {e}", host.name))?;
        let ready =
            socket.set_ttl(255).and_then(|()| socket.set_read_timeout(Some(Duration::from_millis(20))));
        ready.map_err(|e| e.to_string())?;
        let daemon = Ipv4Addr::new(10, 0, 0, if host.name == "r1" { 1 } else { 2 });
        let ending = Arc::clone(ending);
        std::thread::spawn(move || {
            let (mut state, mut theirs) = (DOWN, [0; 4]);
            let (mut next, mut up_since) = (Instant::now(), None);
            while !ending.load(Ordering::Relaxed) {
                let mut packet = [0; 64];
                let heard = matches!(socket.recv_from(&mut packet), Ok((24.., _)));
                let now = Instant::now();
                if up_since.is_some_and(|since| now - since > secs(SPEECH)) {
                    (state, theirs, up_since, next) = (DOWN, [0; 4], None, now + secs(SILENCE));
                }
                // Silent: deaf, too.
                if up_since.is_none() && next > now + secs(BEAT) {
                    continue;
                }
                let mut flags = 0;
                if heard {
                    theirs.copy_from_slice(&packet[4..8]);
                    state = match (state, packet[1] >> 6) {
                        (DOWN, DOWN) => INIT,
                        (DOWN | INIT, INIT) | (INIT, UP) => UP,
                        (state, _) => state,
                    };
                    flags = if packet[1] & POLL == 0 { 0 } else { FINAL };
                    if state == UP && up_since.is_none() {
                        (up_since, next) = (Some(now), now);
                    }
                }
                if now >= next || flags != 0 {
                    next = now + secs(BEAT);
                    let [a, b] = INTERVAL.to_be_bytes().map(u32::from);
                    let interval = ((a << 8 | b) * 1000).to_be_bytes();
                    let head = [0x20, state << 6 | flags, MULTIPLIER, 24, 0, 0, 0, 7];
                    let said = [&head[..], &theirs, &interval, &interval, &[0; 4]].concat();
                    let _ = socket.send_to(&said, (daemon, PORT));
                }
            }
        });
        Ok(())
    }

    /// When the daemon's session goes down and comes up, by the packets of its peer, from its first coming up on. What may
    /// still follow is left out.
    pub(super) fn moments(said: impl Iterator<Item = (Stamp, u8)>) -> Vec<(Stamp, bool)> {
        let detection = i128::from(INTERVAL) * i128::from(MULTIPLIER) * 1_000_000;
        let mut moments: Vec<(Stamp, bool)> = Vec::new();
        let (mut is_up, mut last) = (false, Stamp(0));
        for (at, second) in said {
            if is_up && at.0 - last.0 > detection {
                moments.push((Stamp(last.0 + detection), false));
                is_up = false;
            }
            if !is_up && second >> 6 >= INIT {
                moments.push((at, true));
                is_up = true;
            }
            last = at;
        }
        moments
    }
}
