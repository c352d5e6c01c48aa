//! When checks attempt, take out and put in, with stock beside it in the same run: the same scripted servers, the same
//! intervals (spec/checkers.md §3).
//!
//! A guest on a busy machine is late by tenths of a second now and then, so the medians are compared, and each interval only
//! as far as a wrong one, which would be off by a second, needs it.

use std::fmt::Write as _;
use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::case::{Case, Lab};
use crate::farm::{Farm, real, service};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::http::{Server, answer, reply};
use crate::kit::net::Host;
use crate::kit::place::write_script;
use crate::kit::wait::{Outcome, Stamp, ensure, secs, until};

pub(crate) const CASES: &[Case] = &[Case::guest("check_timing_is_stocks", timing)];

const TIMING: &str = "delay_loop 2\n delay_before_retry 1\n retry 1\n warmup 0";

/// Attempts that are compared: two that pass, two that fail and take the server out, those that bring it back.
const ATTEMPTS: usize = 7;

/// Does the attempt of this number pass?
fn passes(number: usize) -> bool {
    !(2..4).contains(&number)
}

/// The scripted servers of one daemon.
struct Stage {
    web: Server,
    mail: Server,
    names: Names,
    tcp: Option<Server>,
    script_record: std::path::PathBuf,
}

/// A name server; when it was asked.
struct Names {
    asked: Arc<Mutex<Vec<Stamp>>>,
    ending: Arc<AtomicUsize>,
}

impl Names {
    fn start(host: &Host) -> Outcome<Self> {
        let socket =
            host.space.inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 53))).map_err(|e| e.to_string())?;
        socket.set_read_timeout(Some(Duration::from_millis(100))).map_err(|e| e.to_string())?;
        let names = Self { asked: Arc::default(), ending: Arc::default() };
        let (asked, ending) = (Arc::clone(&names.asked), Arc::clone(&names.ending));
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while ending.load(Ordering::Relaxed) == 0 {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                buffer[2] |= 0x80;
                buffer[3] = if passes(asked.len()) { 0 } else { 2 };
                asked.push(Stamp::now());
                let _ = socket.send_to(&buffer[..length], from);
            }
        });
        Ok(names)
    }

    fn asked(&self) -> Vec<Stamp> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.ending.store(1, Ordering::Relaxed);
    }
}

impl Stage {
    fn new(lab: &Lab, host: &Host) -> Outcome<(Self, String)> {
        let numbered = || {
            let count = AtomicUsize::new(0);
            move || count.fetch_add(1, Ordering::Relaxed)
        };
        let next = numbered();
        let web = Server::behaving(host, 80, move |stream, _| {
            let text = if passes(next()) { answer("hello") } else { reply("500 No", "no") };
            let _ = stream.write_all(text.as_bytes());
        })?;
        let next = numbered();
        let mail = Server::raw(host, 25, move |stream| {
            let lines: &[&[u8]] = if passes(next()) {
                &[b"220 lab\r\n", b"250 lab\r\n", b"221 bye\r\n"]
            } else {
                &[b"421 no\r\n"]
            };
            for line in lines {
                if stream.write_all(line).is_err() || std::io::Read::read(stream, &mut [0; 512]).is_err() {
                    return;
                }
            }
        })?;
        let (record, script) = (
            lab.directory.join(format!("{}.times", host.name)),
            lab.directory.join(format!("{}.sh", host.name)),
        );
        let at = record.display();
        write_script(
            &script,
            &format!("#!/bin/sh\ndate +%s.%N >>{at}\nn=$(wc -l <{at})\n[ $n -le 2 ] || [ $n -gt 4 ]\n"),
        )?;
        let checks = [
            (
                80,
                format!(
                    "HTTP_GET {{\n url {{\n path /\n status_code 200\n }}\n {TIMING}\n connect_timeout 2\n}}"
                ),
            ),
            (25, format!("SMTP_CHECK {{\n {TIMING}\n connect_timeout 2\n}}")),
            (53, format!("DNS_CHECK {{\n type A\n name lab\n {TIMING}\n connect_timeout 2\n}}")),
            (81, format!("TCP_CHECK {{\n {TIMING}\n connect_timeout 2\n}}")),
            (82, format!("MISC_CHECK {{\n misc_path {}\n misc_timeout 2\n {TIMING}\n}}", script.display())),
        ];
        let number = if host.name == "r1" { 1 } else { 2 };
        let reals: Vec<String> = checks.iter().map(|(port, check)| real(number, *port, check)).collect();
        let services: String = reals
            .iter()
            .zip([80, 25, 53, 81, 82])
            .map(|(real, port)| {
                service(&format!("10.9.0.100 {port}"), "lb_algo rr\nlb_kind NAT\nprotocol TCP", &[real])
            })
            .collect();
        let config = format!("global_defs {{\n script_user root\n}}\n{services}");
        let stage = Self {
            web,
            mail,
            names: Names::start(host)?,
            tcp: Some(Server::named(host, 81)?),
            script_record: record,
        };
        Ok((stage, config))
    }

    /// When each attempt came, in seconds after the first: web, mail, names, script.
    fn attempts(&self) -> [Vec<f64>; 4] {
        let times =
            |stamps: Vec<Stamp>| -> Vec<f64> { stamps.iter().map(|stamp| stamp.since(stamps[0])).collect() };
        let written = std::fs::read_to_string(&self.script_record).unwrap_or_default();
        let written: Vec<f64> = written.lines().filter_map(|line| line.parse().ok()).collect();
        [
            times(self.web.visits().iter().map(|visit| visit.at).collect()),
            times(self.mail.visits().iter().map(|visit| visit.at).collect()),
            times(self.names.asked()),
            written.iter().map(|time| time - written[0]).collect(),
        ]
    }
}

fn timing(lab: &Lab) -> Outcome {
    let mut farm = Farm::new(lab, 2, "")?;
    let (mut ours, config) = Stage::new(lab, &farm.reals[0])?;
    let (mut theirs, other_config) = Stage::new(lab, &farm.reals[1])?;
    farm.daemon.configure(&config)?;
    let beside = farm.beside("s", "10.0.0.2")?;
    let mut stock = Daemon::new(&Program::stock(), &beside, &lab.directory, &other_config)?;
    farm.start()?;
    stock.start(&beside, &[])?;
    // The TCP servers leave after their second visit and come back when they are missed.
    let mut tcp = [Vec::new(), Vec::new()];
    for (moments, (stage, host, daemon)) in
        tcp.iter_mut().zip([(&mut ours, &farm.reals[0], &farm.daemon), (&mut theirs, &farm.reals[1], &stock)])
    {
        let number = if host.name == "r1" { 11 } else { 12 };
        let server = stage.tcp.take().ok_or("no server")?;
        let visits = until(secs(20.0), "two visits of a TCP check", || {
            Some(server.visits().len()).filter(|visits| *visits >= 2)
        })?;
        until(secs(5.0), "one more", || (server.visits().len() > visits).then_some(()))?;
        let last = server.visits().last().ok_or("no visit")?.at;
        drop(server);
        let label = format!("service [10.0.0.{number}]:tcp:81");
        let out = daemon.wait_log(&format!("Removing {label}"), secs(12.0)).map_err(|e| daemon.explain(e))?;
        let open = Server::named(host, 81)?;
        let back =
            daemon.wait_log(&format!("Adding {label} to"), secs(12.0)).map_err(|e| daemon.explain(e))?;
        stage.tcp = Some(open);
        moments.extend([out.at.since(last), back.at.since(last)]);
    }
    until(secs(25.0), "the attempts that are compared", || {
        let complete = |stage: &Stage| stage.attempts().iter().all(|times| times.len() >= ATTEMPTS);
        (complete(&ours) && complete(&theirs)).then_some(())
    })?;
    let mut report = String::new();
    let mut differences = Vec::new();
    let mut compare = |what: &str, ours: &[f64], theirs: &[f64]| {
        for (number, (our, their)) in ours.iter().zip(theirs).enumerate() {
            differences.push((our - their).abs());
            let _ = writeln!(report, "{what} {number}: {our:.3} s, stock {their:.3} s");
        }
    };
    for (what, (our, their)) in
        ["web", "mail", "names", "script"].into_iter().zip(ours.attempts().iter().zip(&theirs.attempts()))
    {
        let intervals = |times: &[f64]| -> Vec<f64> {
            times[..ATTEMPTS].windows(2).map(|pair| pair[1] - pair[0]).collect()
        };
        compare(what, &intervals(our), &intervals(their));
    }
    compare("tcp", &tcp[0], &tcp[1]);
    for (port, attempts) in [(80, 0), (25, 1)] {
        for (verb, number) in [("Removing", 3), ("Adding", if port == 80 { 5 } else { 4 })] {
            let after = |daemon: &Daemon, host: u8, stage: &Stage| {
                let line = format!("{verb} service [10.0.0.{host}]:tcp:{port} ");
                let logged = daemon.wait_log(&line, secs(10.0)).map_err(|e| daemon.explain(e))?;
                let visits = [&stage.web, &stage.mail][attempts].visits();
                Ok::<f64, String>(logged.at.since(visits[number].at))
            };
            compare(
                &format!("{verb} {port}"),
                &[after(&farm.daemon, 11, &ours)?],
                &[after(&stock, 12, &theirs)?],
            );
        }
    }
    differences.sort_by(f64::total_cmp);
    let (median, worst) = (differences[differences.len() / 2], differences[differences.len() - 1]);
    let _ = std::fs::write(lab.directory.join("moments"), &report);
    ensure!(median < 0.15, "the median difference is {median:.3} s\n{report}");
    ensure!(worst < 0.9, "one moment differs by {worst:.3} s\n{report}");
    Ok(())
}
