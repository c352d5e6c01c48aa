//! `genhash` against a server of the test's own; beside stock's, where the lab has fetched it
//! (`cargo test --test lab` does): the same options give the same output and code.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare itself has failed")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keepalived-rs");

/// What the server answers by path; the rest gets a page.
fn answer(request: &str) -> &'static [u8] {
    let path = request.split(' ').nth(1).unwrap_or_default();
    match path {
        "/404" => b"HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\nnope",
        "/empty" => b"HTTP/1.0 200 OK\r\n\r\n",
        "/nothing" => b"",
        "/garbage" => b"garbage",
        _ if request.contains("Host: www.example.org\r\n") => b"HTTP/1.1 200 OK\r\n\r\nof that host",
        _ => b"HTTP/1.0 200 OK\r\nContent-Length: 25\r\n\r\nhello world, this is\x00\x01\xffall\n",
    }
}

fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        let mut stream: TcpStream = stream.unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 1000];
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(read) => request.extend_from_slice(&buffer[..read]),
            }
        }
        let _ = stream.write_all(answer(&String::from_utf8_lossy(&request)));
    }
}

fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    thread::spawn(move || serve(&listener));
    port
}

fn stock() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lab/keepalived/usr/sbin/keepalived");
    path.exists().then_some(path)
}

/// The output without what differs from run to run.
fn said(output: &Output) -> (Option<i32>, String, bool) {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(|line| match line.split_once("] = ") {
        Some((what, _)) => what,
        None => line,
    });
    (output.status.code(), lines.collect::<Vec<_>>().join("\n"), output.stderr.is_empty())
}

#[test]
fn pages_are_hashed_as_stock_hashes_them() {
    let port = server();
    let at = ["-s", "127.0.0.1", "-p", &port];
    for words in [
        &["-u", "/"][..],
        &["-u", "/404"],
        &["-u", "/empty"],
        &["-u", "/nothing"],
        &["-u", "/garbage"],
        &["-u", "/", "-V", "www.example.org", "-P", "1.1"],
        &["--url=/", "--protocol", "1.0c"],
        &["-u", "/", "-v"],
        &["-u", "/empty", "-v"],
        &["-u", "/", "-P", "2"],
        &["-u", "/", "surplus"],
        &["-u", "/", "-t", "x"],
        &["-u", "/", "-m", "x"],
        &[],
    ] {
        let words = [&at[..], words].concat();
        let ours = Command::new(PROGRAM).arg("genhash").args(&words).output().unwrap();
        let under_that_name = Command::new(PROGRAM).arg0("/usr/bin/genhash").args(&words).output().unwrap();
        let by_option = Command::new(PROGRAM).arg("-T").args(&words).output().unwrap();
        assert_eq!(said(&ours), said(&under_that_name), "{words:?}");
        assert_eq!(said(&ours), said(&by_option), "{words:?}");
        if let Some(stock) = stock() {
            let stock = Command::new(stock).arg0("genhash").args(&words).output().unwrap();
            assert_eq!(said(&ours), said(&stock), "{words:?}");
        }
    }
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let output = Command::new(PROGRAM)
        .args(["genhash", "-s", "127.0.0.1", "-u", "/", "-p", &refused])
        .output()
        .unwrap();
    assert_eq!(said(&output), (Some(0), "Connection failed".to_owned(), true));
    // md5sum of the body, limited by its Content-Length.
    let output = Command::new(PROGRAM).arg("genhash").args(at).args(["-u", "/empty"]).output().unwrap();
    assert_eq!(output.stdout, b"d41d8cd98f00b204e9800998ecf8427e\n");
}
