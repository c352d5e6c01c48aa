//! How checks take real servers out and put them in: timing, quorum, sorry servers, and web servers of all manners.

use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::case::{Case, Lab};
use crate::farm::{Farm, TCP_CHECK, real, service};
use crate::kit::http::{Server, answer, reply};
use crate::kit::ipvs::brief;
use crate::kit::place::{self, tool, write_script};
use crate::kit::wait::{Outcome, Stamp, ensure, near, secs, throughout, until};

pub(crate) const CASES: &[Case] = &[
    Case::guest("check_tcp_takes_a_server_out_after_its_retries", tcp_timing),
    Case::guest("check_tcp_first_failure_is_decisive", tcp_first),
    Case::guest("check_alpha_waits_for_the_first_success", alpha),
    Case::guest("check_inhibit_on_failure_sets_weight_0", inhibit),
    Case::guest("check_quorum_and_sorry_server", quorum),
    Case::guest("check_notify_scripts_of_servers_and_quorum", notify),
    Case::guest("check_http_status_and_digest", http_status),
    Case::guest("check_http_recovers_after_two_passes", http_recovery),
    Case::guest("check_http_servers_of_all_manners", http_manners),
    Case::guest("check_http_with_nginx", nginx_http),
    Case::guest("check_ssl_with_nginx", nginx_https),
];

const WORDS: &str = "lb_algo rr\nlb_kind NAT\nprotocol TCP";
const HEAD: &str = "10.9.0.100 80";

/// The line of the table with these real servers (numbers), all of weight 1.
fn line(reals: &[u8]) -> String {
    let list: Vec<_> = reals.iter().map(|number| format!("10.0.0.{}:80 Masq 1", 10 + number)).collect();
    format!("TCP 10.9.0.100:80 rr: {}", list.join(", "))
}

fn is_table(farm: &Farm, wanted: &str) -> bool {
    brief(&farm.director).is_ok_and(|found| found.len() == 1 && found[0].trim_end() == wanted.trim_end())
}

fn tcp_timing(lab: &Lab) -> Outcome {
    let check =
        "TCP_CHECK {\n connect_timeout 2\n delay_loop 2\n delay_before_retry 1\n retry 2\n warmup 0\n}";
    let text = service(HEAD, WORDS, &[&real(1, 80, TCP_CHECK), &real(2, 80, check)]);
    let mut farm = Farm::new(lab, 2, &text)?;
    let mut servers = farm.servers()?;
    farm.start()?;
    farm.table(&[&line(&[1, 2])], 10.0)?;
    let visits = servers[1].visits().len();
    until(secs(5.0), "two more checks", || (servers[1].visits().len() >= visits + 2).then_some(()))?;
    let second = servers.pop().ok_or("no server")?;
    let last = second.visits().last().map(|visit| visit.at).ok_or("never checked")?;
    drop(second);
    farm.table(&[&line(&[1])], 10.0)?;
    let removed = farm.daemon.wait_log("Removing service [10.0.0.12]:tcp:80", secs(1.0))?;
    // The next attempt delay_loop after the last good one, two retries a second apart; the guest may be late, never early.
    let took = removed.at.since(last);
    ensure!((3.9..6.0).contains(&took), "out {took:.3} s after the last good check, wanted 4 s");
    let opened = Stamp::now();
    let _second = Server::named(&farm.reals[1], 80)?;
    farm.table(&[&line(&[1, 2])], 8.0)?;
    let added = farm.daemon.wait_log("Adding service [10.0.0.12]:tcp:80", secs(1.0))?;
    let back = added.at.since(opened);
    ensure!(back < 2.0 + 1.5, "back after {back:.3} s, delay_loop is 2 s");
    farm.daemon.wait_log("TCP_CHECK on service [10.0.0.12]:tcp:80 failed after 2 retries.", secs(1.0))?;
    farm.daemon.wait_log("Removing service [10.0.0.12]:tcp:80 from VS [10.9.0.100]:tcp:80", secs(1.0))?;
    farm.daemon.wait_log("Adding service [10.0.0.12]:tcp:80 to VS [10.9.0.100]:tcp:80", secs(1.0))?;
    Ok(())
}

fn tcp_first(lab: &Lab) -> Outcome {
    let check = TCP_CHECK.replace("retry 1", "retry 20");
    let mut farm = Farm::new(lab, 2, &service(HEAD, WORDS, &[&real(1, 80, &check), &real(2, 80, &check)]))?;
    let _first = Server::named(&farm.reals[0], 80)?;
    farm.start()?;
    farm.table(&[&line(&[1])], 10.0)?;
    let begun = farm.daemon.wait_log("Activating healthchecker for service [10.0.0.12]:tcp:80", secs(1.0))?;
    let ended = farm.daemon.wait_log("Removing service [10.0.0.12]:tcp:80", secs(1.0))?;
    let took = ended.at.since(begun.at);
    // One second to the first attempt; with its retries it would take 21 seconds at least.
    ensure!(took < 15.0, "out after {took:.3} s: it waited for retries");
    Ok(())
}

fn alpha(lab: &Lab) -> Outcome {
    let text = service(HEAD, &format!("{WORDS}\nalpha"), &[&real(1, 80, TCP_CHECK), &real(2, 80, TCP_CHECK)]);
    let mut farm = Farm::new(lab, 2, &text)?;
    let _first = Server::named(&farm.reals[0], 80)?;
    farm.start()?;
    farm.table(&[&line(&[1])], 8.0)?;
    throughout(secs(2.0), "the dead one stays out", || is_table(&farm, &line(&[1])))?;
    let _second = Server::named(&farm.reals[1], 80)?;
    farm.table(&[&line(&[1, 2])], 6.0)
}

fn inhibit(lab: &Lab) -> Outcome {
    let words = format!("weight 3\ninhibit_on_failure\n{TCP_CHECK}");
    let mut farm =
        Farm::new(lab, 2, &service(HEAD, WORDS, &[&real(1, 80, &words), &real(2, 80, TCP_CHECK)]))?;
    let mut servers = farm.servers()?;
    farm.start()?;
    let with = |weight: u8| format!("TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq {weight}, 10.0.0.12:80 Masq 1");
    farm.table(&[&with(3)], 10.0)?;
    drop(servers.remove(0));
    farm.table(&[&with(0)], 8.0)?;
    let _again = Server::named(&farm.reals[0], 80)?;
    farm.table(&[&with(3)], 8.0)
}

fn quorum(lab: &Lab) -> Outcome {
    let words = format!("{WORDS}\nquorum 2\nsorry_server 10.0.0.14 8000");
    let reals = [real(1, 80, TCP_CHECK), real(2, 80, TCP_CHECK), real(3, 80, TCP_CHECK)];
    let text = service(HEAD, &words, &[&reals[0], &reals[1], &reals[2]]);
    let mut farm = Farm::new(lab, 4, &text)?;
    let mut servers: Vec<Server> =
        farm.reals[..3].iter().map(|real| Server::named(real, 80)).collect::<Outcome<_>>()?;
    farm.start()?;
    farm.table(&[&line(&[1, 2, 3])], 10.0)?;
    servers.pop();
    farm.table(&[&line(&[1, 2])], 8.0)?;
    servers.pop();
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.14:8000 Masq 1"], 8.0)?;
    farm.daemon.wait_log("Lost quorum 2-0=2 > 1 for VS [10.9.0.100]:tcp:80", secs(1.0))?;
    let _second = Server::named(&farm.reals[1], 80)?;
    farm.table(&[&line(&[1, 2])], 8.0)?;
    farm.daemon.wait_log("Gained quorum 2+0=2 <= 2 for VS [10.9.0.100]:tcp:80", secs(1.0))?;
    Ok(())
}

fn notify(lab: &Lab) -> Outcome {
    let (record, script) = (lab.directory.join("told"), lab.directory.join("notify.sh"));
    write_script(&script, &format!("#!/bin/sh\necho \"$*\" >>{}\n", record.display()))?;
    let script = script.display();
    let words = format!("{WORDS}\nquorum_up \"{script} quorum up\"\nquorum_down \"{script} quorum down\"");
    let one = format!("notify_up \"{script} rs up\"\nnotify_down \"{script} rs down\"\n{TCP_CHECK}");
    let text =
        format!("global_defs {{\n script_user root\n}}\n{}", service(HEAD, &words, &[&real(1, 80, &one)]));
    let mut farm = Farm::new(lab, 1, &text)?;
    let mut servers = farm.servers()?;
    let told = || fs::read_to_string(&record).unwrap_or_default();
    let wait = |wanted: &str| {
        until(secs(8.0), format!("to be told {wanted}"), || {
            let mut lines: Vec<_> = told().lines().map(str::to_owned).collect();
            lines.sort();
            (lines.join(", ") == wanted).then_some(())
        })
        .map_err(|e| format!("{e}, found {:?}", told()))
    };
    farm.start()?;
    wait("quorum up")?;
    servers.pop();
    wait("quorum down, quorum up, rs down")?;
    let _again = Server::named(&farm.reals[0], 80)?;
    wait("quorum down, quorum up, quorum up, rs down, rs up")
}

fn http_check(urls: &[&str]) -> String {
    let urls: Vec<_> = urls.iter().map(|url| format!("url {{\n{url}\n}}")).collect();
    format!(
        "HTTP_GET {{\n{}\nconnect_timeout 2\ndelay_loop 1\ndelay_before_retry 1\nretry 1\nwarmup 0\n}}",
        urls.join("\n")
    )
}

fn http_status(lab: &Lab) -> Outcome {
    // MD5 of "hello".
    let digest = "path /\ndigest 5d41402abc4b2a76b9719d911017c592";
    let checks = [
        http_check(&["path /\nstatus_code 200"]),
        http_check(&["path /missing\nstatus_code 404"]),
        http_check(&[digest]),
        http_check(&[digest]),
        http_check(&["path /"]),
        http_check(&["path /", "path /missing"]),
    ];
    let reals: Vec<_> = (1_u8..).zip(&checks).map(|(number, check)| real(number, 80, check)).collect();
    let text = service(HEAD, WORDS, &reals.iter().map(String::as_str).collect::<Vec<_>>());
    let mut farm = Farm::new(lab, 6, &text)?;
    let pages = |body: &'static str| {
        move |stream: &mut std::net::TcpStream, request: &str| {
            let page = if request.starts_with("GET /missing ") {
                reply("404 Not Found", "no")
            } else {
                answer(body)
            };
            let _ = stream.write_all(page.as_bytes());
        }
    };
    let servers = [
        Server::behaving(&farm.reals[0], 80, pages("any"))?,
        Server::behaving(&farm.reals[1], 80, pages("any"))?,
        Server::behaving(&farm.reals[2], 80, pages("hello"))?,
        Server::behaving(&farm.reals[3], 80, pages("other"))?,
        Server::saying(&farm.reals[4], 80, reply("500 Oops", "no"))?,
        Server::behaving(&farm.reals[5], 80, pages("any"))?,
    ];
    farm.start()?;
    farm.table(&[&line(&[1, 2, 3])], 10.0)?;
    throughout(secs(3.0), "the good ones stay, the others stay out", || is_table(&farm, &line(&[1, 2, 3])))
        .map_err(|e| farm.daemon.explain(e))?;
    let request = servers[0].visits().into_iter().next().ok_or("never asked")?.request;
    let wanted = "GET / HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 10.0.0.11:80\r\n\r\n";
    ensure!(request == wanted, "the request is {request:?}");
    Ok(())
}

fn http_recovery(lab: &Lab) -> Outcome {
    let check = "HTTP_GET {\nurl {\npath /\n}\nconnect_timeout 2\ndelay_loop 2\ndelay_before_retry 1\nretry 1\nwarmup 0\n}";
    let text = service(HEAD, WORDS, &[&real(1, 80, TCP_CHECK), &real(2, 80, check)]);
    let mut farm = Farm::new(lab, 2, &text)?;
    let _first = Server::named(&farm.reals[0], 80)?;
    let second = Server::named(&farm.reals[1], 80)?;
    farm.start()?;
    farm.table(&[&line(&[1, 2])], 10.0)?;
    farm.daemon.wait_log("Remote Web server [10.0.0.12]:tcp:80 succeed on service.", secs(8.0))?;
    drop(second);
    farm.table(&[&line(&[1])], 10.0)?;
    let second = Server::named(&farm.reals[1], 80)?;
    let seen = farm.daemon.log_length();
    let added = farm.daemon.wait_log_after(seen, "Adding service [10.0.0.12]:tcp:80", secs(10.0))?;
    // The failed url once, then the whole round a delay_loop later.
    let passes: Vec<_> =
        second.visits().iter().filter(|visit| visit.at < added.at).map(|visit| visit.at).collect();
    ensure!(passes.len() == 2, "added after {} passes", passes.len());
    near("pass to pass", passes[1].since(passes[0]), 2.4, 0.5)
}

fn http_manners(lab: &Lab) -> Outcome {
    let check = http_check(&["path /\nstatus_code 200"]);
    let reals: Vec<_> = (1..=8).map(|number| real(number, 80, &check)).collect();
    let text = service(HEAD, WORDS, &reals.iter().map(String::as_str).collect::<Vec<_>>());
    let mut farm = Farm::new(lab, 8, &text)?;
    let pause = |seconds| std::thread::sleep(Duration::from_secs_f64(seconds));
    let _servers = [
        // Says its length and keeps the connection open: stock waits for the end, and so do we.
        Server::behaving(&farm.reals[0], 80, move |stream, _| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            pause(4.0);
        })?,
        // Chunked, then closes.
        Server::saying(
            &farm.reals[1],
            80,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        )?,
        // Slow, but within the time.
        Server::behaving(&farm.reals[2], 80, move |stream, _| {
            for byte in answer("ok").bytes() {
                let _ = stream.write_all(&[byte]);
                pause(0.005);
            }
        })?,
        // No length: the end is the end of the connection.
        Server::saying(&farm.reals[3], 80, "HTTP/1.0 200 OK\r\n\r\nall of it")?,
        // Garbage.
        Server::saying(&farm.reals[4], 80, [0_u8, 255, 13, 10, 13, 10, 1, 2, 3])?,
        // Closes without a word.
        Server::behaving(&farm.reals[5], 80, |_, _| ())?,
        // Never answers.
        Server::behaving(&farm.reals[6], 80, move |_, _| pause(20.0))?,
        // An error page.
        Server::saying(&farm.reals[7], 80, reply("503 Busy", "later"))?,
    ];
    farm.start()?;
    farm.table(&[&line(&[2, 3, 4])], 14.0)?;
    throughout(secs(5.0), "the good ones stay, the others stay out", || is_table(&farm, &line(&[2, 3, 4])))
        .map_err(|e| farm.daemon.explain(e))
}

/// A running nginx on a real server; dropped, it is killed.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// nginx on port 80 (plain) and 443 (TLS) of the host, answering with the host's name.
fn nginx(lab: &Lab, host: &crate::kit::net::Host) -> Outcome<Nginx> {
    let folder = lab.directory.join(format!("nginx-{}", host.name));
    fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let at = folder.display();
    place::write(
        &folder.join("nginx.conf"),
        format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\n\
             events {{ worker_connections 64; }}\n\
             http {{\n access_log off; client_body_temp_path {at}/a; proxy_temp_path {at}/b; fastcgi_temp_path {at}/c;\n\
             uwsgi_temp_path {at}/d; scgi_temp_path {at}/e;\n\
             server {{ listen 80; listen 443 ssl; ssl_certificate {at}/../cert.pem; ssl_certificate_key {at}/../key.pem;\n\
             location / {{ return 200 '{}'; }} location /gone {{ return 410; }} }}\n}}\n",
            host.name
        ),
    )?;
    let key = lab.directory.join("key.pem");
    if !key.exists() {
        let status = tool("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lab", "-keyout",
            ])
            .arg(&key)
            .arg("-out")
            .arg(lab.directory.join("cert.pem"))
            .stderr(Stdio::null())
            .status()
            .map_err(|e| format!("openssl: {e}"))?;
        ensure!(status.success(), "openssl made no certificate");
    }
    let mut command = std::process::Command::new(place::nginx());
    command
        .arg("-e")
        .arg(folder.join("error.log"))
        .arg("-p")
        .arg(&folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"));
    let child = host
        .space
        .inside(|| command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn())
        .map_err(|e| format!("starting nginx: {e}"))?;
    Ok(Nginx(child))
}

fn nginx_http(lab: &Lab) -> Outcome {
    let check = http_check(&["path /\nstatus_code 200", "path /gone\nstatus_code 410"]);
    let other = http_check(&["path /gone\nstatus_code 200"]);
    let text = service(HEAD, WORDS, &[&real(1, 80, &check), &real(2, 80, &other)]);
    let mut farm = Farm::new(lab, 2, &text)?;
    let _servers = [nginx(lab, &farm.reals[0])?, nginx(lab, &farm.reals[1])?];
    farm.start()?;
    farm.table(&[&line(&[1])], 12.0)?;
    throughout(secs(3.0), "it stays so", || is_table(&farm, &line(&[1])))
}

fn nginx_https(lab: &Lab) -> Outcome {
    let check = http_check(&["path /\nstatus_code 200"]).replace("HTTP_GET", "SSL_GET");
    let secure = |number, words: &str| real(number, 443, words);
    let text = service("10.9.0.100 443", WORDS, &[&secure(1, &check), &secure(2, &check)]);
    let mut farm = Farm::new(lab, 2, &text)?;
    let first = nginx(lab, &farm.reals[0])?;
    // Speaks no TLS.
    let _second = Server::saying(&farm.reals[1], 443, answer("plain"))?;
    farm.start()?;
    let up = "TCP 10.9.0.100:443 rr: 10.0.0.11:443 Masq 1";
    farm.table(&[up], 15.0)?;
    throughout(secs(3.0), "it stays so", || is_table(&farm, up)).map_err(|e| farm.daemon.explain(e))?;
    drop(first);
    farm.table(&["TCP 10.9.0.100:443 rr:"], 12.0)?;
    let _first = nginx(lab, &farm.reals[0])?;
    farm.table(&[up], 12.0)
}
