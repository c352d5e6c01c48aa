//! Checks over HTTP/2 and gRPC, beyond stock (`@keepalived-rs http2`, `grpc_health`): against nginx, against a gRPC server,
//! and against those that are neither.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::case::{Case, Lab};
use crate::farm::{Farm, real, service};
use crate::kit::net::Host;
use crate::kit::place::{self, tool};
use crate::kit::wait::{Outcome, ensure, secs};
use crate::lvs_tls::{listening, verdict};

pub(crate) const CASES: &[Case] = &[
    Case::guest("check_http2_with_nginx", nginx).ours_only(),
    Case::guest("check_grpc_health", health).ours_only(),
];

const WORDS: &str = "lb_algo rr\nlb_kind NAT\nprotocol TCP";

/// A program on a real server; dropped, it is killed.
struct Running(Child);

impl Running {
    fn start(host: &Host, mut command: Command) -> Outcome<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        host.space.inside(|| command.spawn()).map(Self).map_err(|e| format!("{command:?}: {e}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `cert.pem` and `key.pem` in the folder.
fn certificate(folder: &Path) -> Outcome {
    let made = tool("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lab", "-keyout"])
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .stderr(Stdio::null())
        .status();
    ensure!(made.is_ok_and(|status| status.success()), "openssl made no certificate");
    Ok(())
}

/// One check: its port, its block, what `HTTP_GET` or `SSL_GET` and its url say, and what the log says when it fails.
type Row = (u16, &'static str, &'static str, &'static str, Option<&'static str>);

fn config(rows: &[Row]) -> String {
    let reals: Vec<String> = rows
        .iter()
        .map(|(port, block, words, url, _)| {
            let check = format!(
                "{block} {{\n {words}\n url {{\n {url}\n }}\n delay_loop 2\n retry 0\n warmup 0\n connect_timeout 4\n}}"
            );
            real(1, *port, &check)
        })
        .collect();
    service("10.9.0.100 443", WORDS, &reals.iter().map(String::as_str).collect::<Vec<_>>())
}

fn judge(farm: &Farm, rows: &[Row]) -> Outcome {
    for (port, block, _, _, reason) in rows {
        let passed = verdict(&farm.daemon, *port)?;
        let explain = |text: String| farm.daemon.explain(text);
        ensure!(passed == reason.is_none(), "{}", explain(format!("port {port}: {passed}")));
        if let Some(reason) = reason {
            let name = block.replace("_GET", "_CHECK");
            let line = format!("{name} on service [10.0.0.11]:tcp:{port} failed{reason}.");
            ensure!(farm.daemon.logged(&line), "{}", explain(format!("no line `{line}`")));
        }
    }
    Ok(())
}

const HTTP2: &str = "@keepalived-rs http2";

/// nginx without TLS (h2c) and with it (h2), and its ports that have only HTTP/1.
const NGINX: [Row; 8] = [
    // MD5 of "lab".
    (80, "HTTP_GET", HTTP2, "path /\n digest f9664ea1803311b35f81d07d8c9e072d", None),
    (81, "HTTP_GET", HTTP2, "path /gone\n status_code 410", None),
    (82, "HTTP_GET", HTTP2, "path /gone", Some("")),
    (83, "HTTP_GET", HTTP2, "path /who\n virtualhost named.lab\n regex \"named.lab HTTP/2\"", None),
    (443, "SSL_GET", HTTP2, "path /who\n regex \"HTTP/2\"", None),
    (444, "SSL_GET", HTTP2, "path /big\n digest d408ed46ebcc326f9e7c6bb9c77af1cd", None),
    (90, "HTTP_GET", HTTP2, "path /", Some(": the server speaks HTTP/1")),
    (445, "SSL_GET", HTTP2, "path /", Some(": the server does not offer h2 in the TLS handshake")),
];

fn nginx(lab: &Lab) -> Outcome {
    let mut farm = Farm::new(lab, 1, &config(&NGINX))?;
    let at = lab.directory.display();
    certificate(&lab.directory)?;
    let listen = "listen 80 http2; listen 81 http2; listen 82 http2; listen 83 http2; \
                  listen 443 ssl http2; listen 444 ssl http2;";
    let locations = "location / { return 200 'lab'; } location /gone { return 410; } \
                     location /who { return 200 '$host $server_protocol .'; }";
    place::write(
        &lab.directory.join("nginx.conf"),
        format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\n\
             events {{ worker_connections 64; }}\n\
             http {{\n access_log off; client_body_temp_path {at}/a; proxy_temp_path {at}/b; fastcgi_temp_path {at}/c;\n\
             uwsgi_temp_path {at}/d; scgi_temp_path {at}/e;\n\
             ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem; root {at};\n\
             server {{ {listen} {locations} location /big {{ }} }}\n\
             server {{ listen 90; listen 445 ssl; {locations} }}\n}}\n"
        ),
    )?;
    // More than the window, from a file.
    place::write(&lab.directory.join("big"), "x".repeat(300_000))?;
    let mut command = Command::new(place::nginx());
    command.arg("-e").arg(lab.directory.join("error.log")).arg("-p").arg(&lab.directory);
    command.arg("-c").arg(lab.directory.join("nginx.conf"));
    let _server = Running::start(&farm.reals[0], command)?;
    listening(&farm.reals[0], 445)?;
    farm.start()?;
    judge(&farm, &NGINX)
}

/// What a gRPC server says of its services.
const GRPC: [Row; 8] = [
    (5001, "HTTP_GET", "", "path /\n @keepalived-rs grpc_health", None),
    (5002, "HTTP_GET", "", "path /grpc.health.v1.Health/Check\n @keepalived-rs grpc_health up", None),
    (5003, "HTTP_GET", "", "path /\n @keepalived-rs grpc_health down", Some(": the service is NOT_SERVING")),
    (
        5004,
        "HTTP_GET",
        "",
        "path /\n @keepalived-rs grpc_health other",
        Some(": grpc-status 5 (NOT_FOUND): unknown service other"),
    ),
    (
        5005,
        "HTTP_GET",
        "",
        "path /\n @keepalived-rs grpc_health",
        Some(": grpc-status 12 (UNIMPLEMENTED): Method not found!"),
    ),
    (5006, "SSL_GET", "", "path /\n @keepalived-rs grpc_health up", None),
    (5007, "HTTP_GET", "", "path /\n @keepalived-rs grpc_health changing", None),
    (5008, "HTTP_GET", "", "path /\n @keepalived-rs grpc_health", Some(": the server speaks HTTP/1")),
];

fn health(lab: &Lab) -> Outcome {
    let mut farm = Farm::new(lab, 1, &config(&GRPC))?;
    certificate(&lab.directory)?;
    let states = lab.directory.join("states");
    let serve = |changing: u8| fs::write(&states, format!(" 1\nup 1\ndown 2\nchanging {changing}\n"));
    serve(1).map_err(|e| e.to_string())?;
    let python = |words: &[&str]| {
        let tree = place::store().join("python3-grpcio/usr/lib");
        let mut command = tool("python3");
        command.env("PYTHONPATH", tree.join("python3/dist-packages"));
        command.env("LD_LIBRARY_PATH", tree.join(format!("{}-linux-gnu", std::env::consts::ARCH)));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/health_server.py")).args(words);
        command
    };
    let file = |name: &str| lab.directory.join(name).display().to_string();
    let (states_file, pem, key) = (file("states"), file("cert.pem"), file("key.pem"));
    let served = [&states_file, "5001", "5002", "5003", "5004", "5007", "tls", &pem, &key, "5006"];
    let host = &farm.reals[0];
    let _servers = [Running::start(host, python(&served))?, Running::start(host, python(&["-", "5005"]))?];
    let _http1 = crate::kit::http::Server::saying(host, 5008, "HTTP/1.1 400 Bad Request\r\n\r\n")?;
    for port in [5001, 5005, 5006] {
        listening(host, port)?;
    }
    farm.start()?;
    judge(&farm, &GRPC)?;
    serve(2).map_err(|e| e.to_string())?;
    let wait = |line: &str| farm.daemon.wait_log(line, secs(10.0)).map_err(|e| farm.daemon.explain(e));
    wait("HTTP_CHECK on service [10.0.0.11]:tcp:5007 failed: the service is NOT_SERVING.")?;
    wait("Removing service [10.0.0.11]:tcp:5007 from VS")?;
    serve(1).map_err(|e| e.to_string())?;
    wait("Adding service [10.0.0.11]:tcp:5007 to VS").map(drop)
}
