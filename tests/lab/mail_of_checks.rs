//! The mail of every kind of check, down and up again, beside stock's. spec/checkers.md §16.

use std::fs;
use std::io::{Read, Write};

use crate::case::{Case, Lab};
use crate::farm::{Farm, TCP_CHECK, real, service};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::http::Server;
use crate::kit::place::{write, write_script};
use crate::kit::relay::{Letter, Relay};
use crate::kit::wait::{Outcome, ensure, secs};
use crate::lvs_other_checks::{Behind, name_server};
use crate::lvs_tls::TlsServer;
use crate::notify_mail::{beside, global};

pub(crate) const CASES: &[Case] = &[Case::guest("mail_of_every_check_equals_stocks", every_check)];

/// What the body of each says; the first of a pair when it goes, the second when it comes back.
const TEXTS: [[&str; 2]; 11] = [
    ["=> TCP CHECK failed on service <=", "=> TCP CHECK succeed on service <="],
    ["=> CHECK failed on service : HTTP request failed <=", "=> CHECK succeed on service <="],
    ["=> CHECK failed on service : HTTP request failed <=", "=> CHECK succeed on service <="],
    [
        "=> CHECK failed on service : Could not connect to server [10.0.0.14]:25 <=",
        "=> CHECK succeed on service <=",
    ],
    ["=> DNS_CHECK: failed on service <=", "=> DNS_CHECK: succeed on service <="],
    ["=> UDP CHECK failed on service <=", "=> UDP CHECK succeed on service <="],
    ["=> ICMP CHECK failed on service <=", "=> ICMP CHECK succeed on service <="],
    ["=> MISC CHECK failed on service <=", "=> MISC CHECK succeeded on service <="],
    ["=> MISC CHECK timed out on service <=", "=> MISC CHECK succeeded on service <="],
    // A file is mailed of by nobody.
    ["", ""],
    ["=> BFD CHECK B failed on service <=", "=> BFD CHECK B succeeded on service <="],
];

fn every_check(lab: &Lab) -> Outcome {
    let letters = beside(lab, live)?;
    for (number, texts) in (1..).zip(TEXTS) {
        for (text, word) in texts.into_iter().zip(["DOWN", "UP"]).filter(|(text, _)| !text.is_empty()) {
            let told = letters.iter().any(|letter| {
                letter.subject.starts_with(&format!("[my router] Realserver [10.0.0.{}]", 10 + number))
                    && letter.subject.ends_with(word)
                    && letter.said.iter().any(|line| line == text)
            });
            ensure!(told, "no mail of {number} that says {text:?}: {letters:#?}");
        }
    }
    Ok(())
}

fn check(block: &str, words: &str) -> String {
    format!(
        "{block} {{\n{words}\nconnect_timeout 1\ndelay_loop 1\ndelay_before_retry 1\nretry 0\nwarmup 0\n}}"
    )
}

fn session(own: &str, other: &str) -> String {
    format!(
        "bfd_instance B {{\n neighbor_ip {other}\n source_ip {own}\n min_rx 200\n min_tx 200\n multiplier 5\n}}\n"
    )
}

/// All eleven go down, and come up again.
fn live(lab: &Lab) -> Outcome<Vec<Letter>> {
    let file = |name: &str| lab.directory.join(name);
    let (fails, hangs) = (file("fails.sh"), file("hangs.sh"));
    write_script(&fails, &format!("#!/bin/sh\ntest ! -e {}\n", file("broken").display()))?;
    write_script(
        &hangs,
        &format!("#!/bin/sh\ntest -e {} && exec sleep 60\nexit 0\n", file("broken").display()),
    )?;
    write(&file("number"), "0\n")?;
    let url = "url {\npath /\nstatus_code 200\n}\nfast_recovery";
    let misc = |script: &std::path::Path| {
        format!(
            "MISC_CHECK {{\nmisc_path \"{}\"\nmisc_timeout 5\ndelay_loop 1\nwarmup 0\n}}",
            script.display()
        )
    };
    let reals = [
        real(1, 80, TCP_CHECK),
        real(2, 80, &check("HTTP_GET", url)),
        real(3, 443, &check("SSL_GET", url)),
        real(4, 25, &check("SMTP_CHECK", "")),
        real(5, 53, &check("DNS_CHECK", "type a\nname www.example.com")),
        real(6, 7, &check("UDP_CHECK", "payload 0102\nrequire_reply 02XX")),
        real(7, 80, &check("PING_CHECK", "")),
        real(8, 80, &misc(&fails)),
        real(9, 80, &misc(&hangs)),
        real(10, 80, "FILE_CHECK {\n track_file load\n weight 1\n}"),
        real(11, 80, "BFD_CHECK {\n name B\n}"),
        // These fail from the start, each at another step.
        real(1, 81, &check("HTTP_GET", "url {\npath /\nstatus_code 404\n}")),
        real(1, 82, &check("HTTP_GET", "url {\npath /\ndigest 00000000000000000000000000000000\n}")),
        real(1, 83, &check("HTTP_GET", url)),
        real(3, 444, &check("SSL_GET", "url {\npath /\nstatus_code 404\n}")),
        real(3, 445, &check("SSL_GET", url)),
        real(3, 446, &check("SSL_GET", url)),
        real(4, 26, &check("SMTP_CHECK", "")),
        real(4, 27, &check("SMTP_CHECK", "")),
        real(4, 28, &check("SMTP_CHECK", "")),
        real(4, 29, &check("SMTP_CHECK", "")),
        real(5, 54, &check("DNS_CHECK", "type a\nname www.example.com")),
        real(5, 55, &check("DNS_CHECK", "type a\nname www.example.com")),
        real(6, 8, &check("UDP_CHECK", "payload 0102\nrequire_reply 02XX")),
    ];
    let reals: Vec<&str> = reals.iter().map(String::as_str).collect();
    let mut farm = Farm::new(lab, 11, "")?;
    let relay = Relay::on(&farm.director, 2525)?;
    farm.daemon.configure(&format!(
        "{}{}track_file load {{\n file {}\n weight 1\n}}\n{}",
        global(&relay, ""),
        session("10.0.0.1", "10.0.0.21"),
        file("number").display(),
        service("10.9.0.100 80", "delay_loop 1\nlb_algo rr\nlb_kind NAT\nprotocol TCP\nquorum 1", &reals)
    ))?;
    let hosts = &farm.reals;
    let servers = || {
        let web = (Server::named(&hosts[0], 80)?, Server::named(&hosts[1], 80)?);
        let tls = TlsServer::plain(&hosts[2], 443, &lab.directory)?;
        let mail = Behind::mail(&hosts[3])?;
        let names = Behind::answering(&hosts[4], 53, name_server)?;
        let echo = Behind::answering(&hosts[5], 7, |_| vec![2, 9])?;
        Ok::<_, String>((web, tls, mail, names, echo))
    };
    let silent = |_: &mut std::net::TcpStream| std::thread::sleep(std::time::Duration::from_secs(4));
    let saying = |words: &'static [u8]| {
        move |stream: &mut std::net::TcpStream| {
            for word in words.split(|byte| *byte == b'|') {
                let _ = stream.write_all(word);
                let _ = stream.read(&mut [0; 200]);
            }
        }
    };
    let _bad = [
        Server::named(&hosts[0], 81)?,
        Server::named(&hosts[0], 82)?,
        Server::raw(&hosts[0], 83, silent)?,
        Server::named(&hosts[2], 445)?,
        Server::raw(&hosts[2], 446, silent)?,
        Server::raw(&hosts[3], 26, saying(b"500 no\r\n"))?,
        Server::raw(&hosts[3], 27, saying(b"220 mail\r\n|500 no\r\n"))?,
        Server::raw(&hosts[3], 28, silent)?,
        Server::raw(&hosts[3], 29, |_| ())?,
    ];
    let _tls = TlsServer::plain(&hosts[2], 444, &lab.directory)?;
    let refusing = |question: &[u8]| {
        let mut answer = name_server(question);
        answer[3] |= 3;
        answer
    };
    let _names = Behind::answering(&hosts[4], 54, refusing)?;
    let _silent = hosts[4].space.inside(|| std::net::UdpSocket::bind(("0.0.0.0", 55)));
    let _other = Behind::answering(&hosts[5], 8, |_| vec![3, 3])?;
    let up = servers()?;
    let bfd = Program::stock();
    let mut neighbour =
        Daemon::start_on(&hosts[10], &bfd, &lab.directory, &session("10.0.0.21", "10.0.0.1"))?;
    farm.daemon.start(&farm.director, &[])?;
    let passed = [
        "TCP connection to [10.0.0.11]:tcp:80 success",
        "Remote Web server [10.0.0.12]:tcp:80 succeed",
        "Remote Web server [10.0.0.13]:tcp:443 succeed",
        "Remote SMTP server [10.0.0.14]:tcp:25 succeed",
        "UDP connection to [10.0.0.16]:tcp:7 success",
        "ICMP connection to [10.0.0.17]:tcp:80 success",
        "(B) Entering Up state",
    ];
    for line in passed {
        farm.daemon.wait_log(line, secs(9.0))?;
    }
    for (number, port) in [
        (1, 81),
        (1, 82),
        (1, 83),
        (3, 444),
        (3, 445),
        (3, 446),
        (4, 26),
        (4, 27),
        (4, 28),
        (4, 29),
        (5, 54),
        (5, 55),
        (6, 8),
    ] {
        let subject =
            format!("Realserver [10.0.0.1{number}]:tcp:{port} of virtual server [10.9.0.100]:tcp:80 - DOWN");
        relay.wait(secs(12.0), &subject, 1).map_err(|e| farm.daemon.explain(e))?;
    }
    let all = |word: &str, times: [usize; 11]| {
        for (number, times) in (11..).zip(times).filter(|(_, times)| *times > 0) {
            let port = match number {
                13 => 443,
                14 => 25,
                15 => 53,
                16 => 7,
                _ => 80,
            };
            let subject = format!(
                "Realserver [10.0.0.{number}]:tcp:{port} of virtual server [10.9.0.100]:tcp:80 - {word}"
            );
            relay.wait(secs(9.0), &subject, times).map_err(|e| farm.daemon.explain(e))?;
        }
        Ok::<(), String>(())
    };
    drop(up);
    hosts[6].space.sysctl("net.ipv4.icmp_echo_ignore_all", "1")?;
    write(&file("broken"), "")?;
    write(&file("number"), "-2147483648\n")?;
    neighbour.crash()?;
    // The session was down when its check began, and came up.
    all("DOWN", [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 2])?;
    let _up = servers()?;
    hosts[6].space.sysctl("net.ipv4.icmp_echo_ignore_all", "0")?;
    fs::remove_file(file("broken")).map_err(|e| e.to_string())?;
    write(&file("number"), "0\n")?;
    neighbour.start(&hosts[10], &[])?;
    // Scripts have told of their first success, too.
    all("UP", [1, 1, 1, 1, 1, 1, 1, 2, 2, 0, 2])?;
    farm.daemon.stop()?;
    // On a busy machine a server may go and come once more: what is told of it is compared, not how often.
    let mut letters = relay.letters();
    letters.sort();
    letters.dedup();
    Ok(letters)
}
