//! Checks that are neither TCP nor HTTP: servers of the cases' own behind them, each falls and rises.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::case::{Case, Lab};
use crate::farm::{Farm, real, service};
use crate::kit::ipvs::brief;
use crate::kit::net::Host;
use crate::kit::place::{write, write_script};
use crate::kit::wait::{Outcome, Stamp, ensure, secs, until};

pub(crate) const CASES: &[Case] = &[
    Case::guest("check_smtp_dns_udp_ping_and_script_fall_and_rise", fall_and_rise),
    Case::guest("check_weights_of_scripts_and_files", weights),
];

const WORDS: &str = "lb_algo rr\nlb_kind NAT\nprotocol TCP";
const HEAD: &str = "10.9.0.100 80";

/// A server of the case's own; dropped, its port is closed.
pub(crate) struct Behind {
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Behind {
    /// Calls `turn` again and again; it must not wait long.
    fn playing(mut turn: impl FnMut() + Send + 'static) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ending);
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                turn();
            }
        });
        Self { ending, thread: Some(thread) }
    }

    pub(crate) fn answering(host: &Host, port: u16, answer: fn(&[u8]) -> Vec<u8>) -> Outcome<Self> {
        let socket = host.space.inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)));
        let socket = socket.map_err(|e| format!("datagrams on {}: {e}", host.name))?;
        socket.set_read_timeout(Some(Duration::from_millis(50))).map_err(|e| e.to_string())?;
        let mut buffer = [0; 1500];
        Ok(Self::playing(move || {
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&answer(&buffer[..length]), from);
            }
        }))
    }

    pub(crate) fn mail(host: &Host) -> Outcome<Self> {
        let listener = host.space.inside(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 25)));
        let listener = listener.map_err(|e| format!("mail on {}: {e}", host.name))?;
        listener.set_nonblocking(true).map_err(|e| e.to_string())?;
        Ok(Self::playing(move || {
            if let Ok((stream, _)) = listener.accept() {
                mail_server(stream);
            } else {
                let mut ready = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut ready, PollTimeout::from(50_u8));
            }
        }))
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The question, as an answer without an error.
pub(crate) fn name_server(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    if let Some(flags) = answer.get_mut(2..4) {
        flags.copy_from_slice(&[0x81, 0x80]);
    }
    answer
}

fn mail_server(mut stream: TcpStream) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let mut heard = [0; 200];
    for reply in ["220 mail\r\n", "250 hello\r\n", "221 bye\r\n"] {
        if stream.write_all(reply.as_bytes()).is_err() || stream.read(&mut heard).unwrap_or(0) == 0 {
            return;
        }
    }
}

fn check(block: &str, words: &str) -> String {
    format!("{block} {{\n{words}\ndelay_loop 1\ndelay_before_retry 1\nretry 1\nwarmup 0\n}}")
}

fn fall_and_rise(lab: &Lab) -> Outcome {
    let (flag, script) = (lab.directory.join("up"), lab.directory.join("check.sh"));
    write(&flag, "")?;
    write_script(&script, &format!("#!/bin/sh\n[ -e {} ]\n", flag.display()))?;
    let misc = format!("misc_path \"{}\"\nmisc_timeout 2", script.display());
    let quick = "connect_timeout 1";
    let reals = [
        real(1, 25, &check("SMTP_CHECK", quick)),
        real(2, 53, &check("DNS_CHECK", &format!("{quick}\ntype a\nname www.example.com"))),
        real(3, 7, &check("UDP_CHECK", &format!("{quick}\npayload 0102\nrequire_reply 02XX"))),
        real(4, 80, &check("PING_CHECK", quick)),
        real(5, 80, &check("MISC_CHECK", &misc)),
    ];
    let all: Vec<&str> = reals.iter().map(String::as_str).collect();
    let text = format!("global_defs {{\n script_user root\n}}\n{}", service(HEAD, WORDS, &all));
    let mut farm = Farm::new(lab, 5, &text)?;
    let mail = |farm: &Farm| Behind::mail(&farm.reals[0]);
    let names = |farm: &Farm| Behind::answering(&farm.reals[1], 53, name_server);
    let echo = |farm: &Farm| Behind::answering(&farm.reals[2], 7, |_| vec![2, 9]);
    let servers = (mail(&farm)?, names(&farm)?, echo(&farm)?);
    farm.start()?;
    // All have passed once; none is taken out.
    farm.daemon.wait_log("Remote SMTP server [10.0.0.11]:tcp:25 succeed on service.", secs(8.0))?;
    farm.daemon.wait_log("UDP connection to [10.0.0.13]:tcp:7 success.", secs(3.0))?;
    farm.daemon.wait_log("ICMP connection to [10.0.0.14]:tcp:80 success.", secs(3.0))?;
    let all = "10.0.0.11:25 Masq 1, 10.0.0.12:53 Masq 1, 10.0.0.13:7 Masq 1, 10.0.0.14:80 Masq 1, 10.0.0.15:80 Masq 1";
    farm.table(&[&format!("TCP 10.9.0.100:80 rr: {all}")], 3.0)?;
    let labels = [
        "10.0.0.11]:tcp:25",
        "10.0.0.12]:tcp:53",
        "10.0.0.13]:tcp:7",
        "10.0.0.14]:tcp:80",
        "10.0.0.15]:tcp:80",
    ];
    let lines = [
        "SMTP_CHECK Could not connect to server [10.0.0.11]:25",
        "DNS_CHECK ([10.0.0.12]:tcp:53) failed to read socket; errno 111 (Connection refused) after 1 retries",
        "UDP_CHECK on service [10.0.0.13]:tcp:7 failed after 1 retries.",
        "ICMP CHECK on service [10.0.0.14]:tcp:80 of [10.9.0.100]:tcp:80 failed after 1 retries.",
        " failed after 1 retry (exited with status 1).",
    ];
    let seen = farm.daemon.log_length();
    let broken = Stamp::now();
    drop(servers);
    farm.reals[3].space.sysctl("net.ipv4.icmp_echo_ignore_all", "1")?;
    fs::remove_file(&flag).map_err(|e| e.to_string())?;
    for (label, line) in labels.iter().zip(lines) {
        farm.daemon.wait_log_after(seen, line, secs(8.0))?;
        let removed = farm.daemon.wait_log_after(seen, &format!("Removing service [{label}"), secs(1.0))?;
        // One retry, a second after the first failure, which comes within a second (and the second an echo is waited for).
        let took = removed.at.since(broken);
        ensure!((0.9..5.0).contains(&took), "{label} out after {took:.3} s");
    }
    farm.table(&["TCP 10.9.0.100:80 rr: "], 2.0)?;
    let mended = Stamp::now();
    let _servers = (mail(&farm)?, names(&farm)?, echo(&farm)?);
    farm.reals[3].space.sysctl("net.ipv4.icmp_echo_ignore_all", "0")?;
    write(&flag, "")?;
    for label in labels {
        let added = farm.daemon.wait_log_after(seen, &format!("Adding service [{label}"), secs(5.0))?;
        // No retries while down: the next attempt comes within a second.
        let took = added.at.since(mended);
        ensure!(took < 3.5, "{label} back after {took:.3} s");
    }
    // In the order of their return.
    until(secs(3.0), "all five in the table", || {
        let found = brief(&farm.director).ok()?;
        (0..5).all(|n| found[0].contains(&format!("10.0.0.{}:", 11 + n))).then_some(())
    })
}

fn weights(lab: &Lab) -> Outcome {
    let (number, status, script) =
        (lab.directory.join("number"), lab.directory.join("status"), lab.directory.join("check.sh"));
    write(&number, "5\n")?;
    write(&status, "22")?;
    write_script(&script, &format!("#!/bin/sh\nexit $(cat {})\n", status.display()))?;
    let misc = format!("misc_path \"{}\"\nmisc_timeout 2\nmisc_dynamic", script.display());
    let file = format!("track_file load {{\n file {}\n weight 2\n}}\n", number.display());
    let reals = [
        real(1, 80, "weight 3\nFILE_CHECK {\n track_file load\n}"),
        real(2, 80, &format!("weight 5\n{}", check("MISC_CHECK", &misc))),
    ];
    let text = format!(
        "global_defs {{\n script_user root\n}}\n{file}{}",
        service(HEAD, WORDS, &[&reals[0], &reals[1]])
    );
    let mut farm = Farm::new(lab, 2, &text)?;
    farm.start()?;
    let table = |first: u32, second: u32| {
        format!("TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq {first}, 10.0.0.12:80 Masq {second}")
    };
    farm.table(&[&table(13, 20)], 8.0)?;
    write(&number, "-1\n")?;
    farm.table(&[&table(1, 20)], 3.0)?;
    write(&status, "2")?;
    farm.table(&[&table(1, 0)], 4.0)?;
    // No file is no number.
    fs::remove_file(&number).map_err(|e| e.to_string())?;
    farm.table(&[&table(3, 0)], 3.0)?;
    write(&number, "-2000000000\n")?;
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.12:80 Masq 0"], 3.0)?;
    write(&status, "0")?;
    write(&number, "0\n")?;
    farm.table(&[&table(3, 5)], 4.0)?;
    farm.daemon
        .wait_log("Changing weight from 20 to 0 for active service [10.0.0.12]:tcp:80", secs(1.0))
        .map(drop)
}
