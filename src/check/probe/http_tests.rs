//! HTTP checks against real servers on loopback, polite and hostile.

use std::io::Write;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::check::Probe;
use crate::check::probe::Probes;
use crate::check::probe::server::{
    self, Server, answering, connection, left_within, nobody, on_a_reactor, reset, wait_until_left,
};
use crate::config::model::{Regex, RegexOptions};
use crate::kernel::pcre::Pattern;

const SHORT: Duration = Duration::from_millis(150);

/// One plain check of the url of `change`.
fn check(
    destination: SocketAddr,
    timeout: Duration,
    change: impl FnOnce(&mut Url),
) -> (Outcome, Vec<Remark>) {
    let mut url = server::url();
    change(&mut url);
    let connection = Connection { timeout, ..connection(destination) };
    let probe = Probe::Http { connection, tls: None, protocol: HttpProtocol::V1_0, url };
    on_a_reactor(async { Probes::new().run(&probe, None).await })
}

fn outcome(destination: SocketAddr) -> Outcome {
    check(destination, Duration::from_secs(5), |_| {}).0
}

fn hex(text: &str) -> Option<[u8; 16]> {
    let bytes: Vec<u8> =
        (0..16).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect();
    bytes.try_into().ok()
}

#[test]
fn the_request_has_the_bytes_of_the_spec() {
    let v4: SocketAddr = "127.0.0.1:8001".parse().unwrap();
    let text = |change: &dyn Fn(&mut Url), protocol, destination: &str| {
        let mut url = server::url();
        change(&mut url);
        String::from_utf8(request(&url, protocol, destination.parse().unwrap())).unwrap()
    };
    let plain = "GET / HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 127.0.0.1:8001\r\n\r\n";
    assert_eq!(request(&server::url(), HttpProtocol::V1_0, v4), plain.as_bytes());
    let nothing = |_: &mut Url| {};
    let tail = |text: String| text.split_once("KeepAliveClient\r\n").unwrap().1.to_owned();
    assert_eq!(tail(text(&nothing, HttpProtocol::V1_0, "127.0.0.1:80")), "Host: 127.0.0.1:80\r\n\r\n");
    assert_eq!(tail(text(&nothing, HttpProtocol::V1_0, "[::1]:8008")), "Host: [::1]:8008\r\n\r\n");
    assert_eq!(tail(text(&nothing, HttpProtocol::V1_0, "[fe80::1%3]:80")), "Host: [fe80::1]:80\r\n\r\n");
    let closing = "Connection: close\r\nHost: 127.0.0.1:8002\r\n\r\n";
    for (protocol, first) in
        [(HttpProtocol::V1_0Close, "GET / HTTP/1.0\r\n"), (HttpProtocol::V1_1, "GET / HTTP/1.1\r\n")]
    {
        let text = text(&nothing, protocol, "127.0.0.1:8002");
        assert!(text.starts_with(first), "{text}");
        assert_eq!(tail(text), closing);
    }
    let named = |url: &mut Url| url.host = Some("a.ex:99".into());
    assert_eq!(tail(text(&named, HttpProtocol::V1_0, "127.0.0.1:80")), "Host: a.ex:99\r\n\r\n");
}

#[test]
fn a_long_request_is_cut_at_2047_bytes() {
    let url = Url { path: format!("/{}", "p".repeat(3000)), ..server::url() };
    let bytes = request(&url, HttpProtocol::V1_0, "127.0.0.1:80".parse().unwrap());
    assert_eq!(bytes.len(), 2047);
    assert!(bytes.ends_with(b"ppp"));
}

#[test]
fn the_server_receives_exactly_the_request() {
    for address in [IpAddr::from([127, 0, 0, 1]), Ipv6Addr::LOCALHOST.into()] {
        let server = Server::start_on(address, |mut stream| {
            let bytes = server::request(&mut stream);
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").unwrap();
            bytes
        });
        let destination = server.address;
        assert_eq!(outcome(destination), Outcome::Passed);
        assert_eq!(server.ended(), request(&server::url(), HttpProtocol::V1_0, destination));
    }
}

#[test]
fn a_status_is_judged_by_the_configured_ranges() {
    let code = |line: &str, ranges: &[(u16, u16)]| {
        let server = answering(format!("{line}\r\n\r\nbody"));
        check(server.address, Duration::from_secs(5), |url| url.status_codes = ranges.to_vec()).0
    };
    let status = |code| Outcome::Failed(Failure::Status { code });
    assert_eq!(code("HTTP/1.1 200 OK", &[(200, 299)]), Outcome::Passed);
    assert_eq!(code("HTTP/1.1 299 OK", &[(200, 299)]), Outcome::Passed);
    assert_eq!(code("HTTP/1.1 301 Moved", &[(200, 299)]), status(Some(301)));
    assert_eq!(code("HTTP/1.1 404 Gone", &[(200, 200), (404, 404)]), Outcome::Passed);
    assert_eq!(code("HTTP/1.1 200", &[(200, 299)]), status(None));
}

#[test]
fn a_digest_is_judged_after_the_status() {
    let digest = hex("5d41402abc4b2a76b9719d911017c592");
    let result = |answer: &str| {
        let server = answering(answer);
        check(server.address, Duration::from_secs(5), |url| url.digest = digest).0
    };
    assert_eq!(result("HTTP/1.0 200 OK\r\n\r\nhello"), Outcome::Passed);
    let received = hex("46356afe55fa3cea9cbe73ad442cad47").unwrap();
    assert_eq!(
        result("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nhello"),
        Outcome::Failed(Failure::Digest { received })
    );
    assert_eq!(result("HTTP/1.0 500 No\r\n\r\nhell"), Outcome::Failed(Failure::Status { code: Some(500) }));
}

#[test]
fn a_wrong_length_is_remarked_and_passes() {
    let server = answering("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nhello");
    let result = check(server.address, Duration::from_secs(5), |_| {});
    assert_eq!(result, (Outcome::Passed, vec![Remark::Length { announced: 9, received: 5 }]));
}

#[test]
fn an_answer_without_a_usable_header_is_no_data() {
    let endless_line = format!("HTTP/1.0 200 OK\r\nX: {}\r\n\r\n", "a".repeat(5000));
    for answer in ["", "hello", "HTTP/1.0 200 OK\n\nhello", "HTTP/1.0 200 OK\r\n", endless_line.as_str()] {
        let server = answering(answer);
        assert_eq!(outcome(server.address), Outcome::Failed(Failure::NoData), "{answer:.30?}");
    }
}

#[test]
fn endless_headers_end_the_check_at_the_limit() {
    let server = Server::start(|mut stream| {
        server::request(&mut stream);
        let mut sent = 0_u64;
        while stream.write_all(b"X: endless\r\n").is_ok() {
            sent += 12;
        }
        sent
    });
    assert_eq!(outcome(server.address), Outcome::Failed(Failure::NoData));
    assert!(server.ended() < 16 << 20, "the prober went on reading");
}

#[test]
fn a_silent_server_runs_into_the_timeout() {
    let server = Server::start(|stream| wait_until_left(&stream));
    let expected = Outcome::Failed(Failure::ReadTimeout { received: false });
    assert_eq!(check(server.address, SHORT, |_| {}).0, expected);
    server.ended();
}

#[test]
fn a_server_that_keeps_the_connection_fails_though_the_answer_is_whole() {
    let server = Server::start(|mut stream| {
        server::request(&mut stream);
        stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        wait_until_left(&stream);
    });
    let expected = Outcome::Failed(Failure::ReadTimeout { received: true });
    assert_eq!(check(server.address, SHORT, |_| {}).0, expected);
    server.ended();
}

/// Sends one byte after the other, each after `pace`, until the prober leaves.
fn trickle(bytes: impl Iterator<Item = u8> + Send + 'static, pace: Duration) -> Server<()> {
    Server::start(move |mut stream| {
        server::request(&mut stream);
        for byte in bytes {
            if left_within(&stream, pace) || stream.write_all(&[byte]).is_err() {
                return;
            }
        }
    })
}

#[test]
fn every_byte_gives_a_plain_answer_the_whole_timeout_again() {
    let answer = b"HTTP/1.0 200 OK\r\n\r\nhello";
    let server = trickle(answer.iter().copied(), SHORT / 10);
    assert_eq!(
        check(server.address, SHORT, |_| {}).0,
        Outcome::Passed,
        "all of it took more than the timeout"
    );
    server.ended();
}

#[test]
fn a_plain_answer_that_trickles_for_ever_ends_at_the_total_limit() {
    let endless = b"HTTP/1.0 200 OK\r\n\r\n".iter().copied().chain(std::iter::repeat(b'x'));
    let server = trickle(endless, Duration::from_millis(10));
    let read = on_a_reactor(async {
        let connection = connection(server.address);
        let stream = connect_until(&connection, None, Instant::now() + SHORT).await.unwrap();
        send(&stream, b"GET\r\n\r\n", Instant::now() + SHORT).await.unwrap();
        read_plain(&stream, HttpResponse::new(Digesting::No), SHORT, 3 * SHORT).await.map(|_| ())
    });
    assert_eq!(read, Err(Failure::ReadTimeout { received: true }));
    server.ended();
    assert_eq!(total_limit(Duration::from_secs(5)), Duration::from_secs(60));
    assert_eq!(total_limit(Duration::from_secs(7)), Duration::from_secs(70));
}

#[test]
fn an_endless_body_at_full_speed_ends_at_the_total_limit_and_lets_others_run() {
    let server = Server::start(|mut stream| {
        server::request(&mut stream);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").unwrap();
        let much = vec![b'x'; 1 << 16];
        while stream.write_all(&much).is_ok() {}
    });
    let (read, turns) = on_a_reactor(async {
        let connection = connection(server.address);
        let stream = connect_until(&connection, None, Instant::now() + SHORT).await.unwrap();
        send(&stream, b"GET\r\n\r\n", Instant::now() + SHORT).await.unwrap();
        let mut turns = 0_u32;
        let others = async {
            loop {
                turns += 1;
                tokio::task::yield_now().await;
            }
        };
        let read = tokio::select! {
            read = read_plain(&stream, HttpResponse::new(Digesting::Yes), SHORT, 2 * SHORT) => read.map(|_| ()),
            () = others => unreachable!("it never ends"),
        };
        (read, turns)
    });
    assert_eq!(read, Err(Failure::ReadTimeout { received: true }));
    assert!(turns > 5, "others ran {turns} times only");
    server.ended();
}

/// The processor's time of this thread.
fn worked() -> Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    nix::time::clock_gettime(clock).unwrap().into()
}

/// A pattern that costs nearly what one search may, on a body without end: each piece is a turn of its own.
#[test]
fn a_costly_pattern_lets_others_run() {
    let server = Server::start(|mut stream| {
        server::request(&mut stream);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").unwrap();
        let much = vec![b'x'; 1 << 16];
        while stream.write_all(&much).is_ok() {}
    });
    let regex = Regex {
        pattern: "x{1,20}x{1,20}x{1,20}y".into(),
        options: RegexOptions::default(),
        no_match: false,
        min_offset: 0,
        max_offset: None,
        stack: None,
    };
    let wanted = Wanted::new(&regex, Arc::new(Pattern::new(&regex).unwrap()));
    let (read, longest) = on_a_reactor(async {
        let connection = connection(server.address);
        let stream = connect_until(&connection, None, Instant::now() + SHORT).await.unwrap();
        send(&stream, b"GET\r\n\r\n", Instant::now() + SHORT).await.unwrap();
        let response = HttpResponse::new(Digesting::No).looking_for(wanted);
        let mut longest = Duration::ZERO;
        let others = async {
            loop {
                // Not the time that other processes take: a machine may be busy.
                let before = worked();
                tokio::task::yield_now().await;
                longest = longest.max(worked().saturating_sub(before));
            }
        };
        let read = tokio::select! {
            read = read_plain(&stream, response, SHORT, 2 * SHORT) => read.map(|_| ()),
            () = others => unreachable!("it never ends"),
        };
        (read, longest)
    });
    assert!(read.is_err(), "it cannot have ended");
    // One search takes some milliseconds; sixty of them, the turn of a check without a pattern, would be a second.
    assert!(longest < Duration::from_millis(500), "others had to wait {longest:?}");
    server.ended();
}

#[test]
fn a_reset_is_told_at_every_step() {
    let at_once = Server::start(reset);
    // It may be met while connecting, sending or reading.
    let outcome_of = outcome(at_once.address);
    let met = match outcome_of {
        Outcome::Failed(Failure::ConnectRefused { errno, .. } | Failure::Read { errno }) => {
            errno == libc::ECONNRESET
        }
        Outcome::Failed(Failure::Send { errno }) => matches!(errno, libc::ECONNRESET | libc::EPIPE),
        _ => false,
    };
    assert!(met, "{outcome_of:?}");
    for answer in ["", "HTTP/1.0 2", "HTTP/1.0 200 OK\r\n\r\nhel"] {
        let server = Server::start(move |mut stream| {
            server::request(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
            reset(stream);
        });
        let reset = Outcome::Failed(Failure::Read { errno: libc::ECONNRESET });
        assert_eq!(outcome(server.address), reset, "after {answer:?}");
    }
}

#[test]
fn where_nobody_listens_the_check_fails_as_refused() {
    let nobody = nobody();
    let outcome = outcome(nobody.address);
    assert!(
        matches!(outcome, Outcome::Failed(Failure::ConnectRefused { errno: libc::ECONNREFUSED, .. })),
        "{outcome:?}"
    );
}

#[test]
fn reads_of_one_byte_use_up_a_turn_too() {
    let turns = on_a_reactor(async {
        let (mut turns, mut turn) = (0, Turn::default());
        let response = HttpResponse::new(Digesting::No);
        let others = async {
            loop {
                turns += 1;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = async {
                for _ in 0..10 * TURN / LEAST {
                    turn.took(1, &response).await;
                }
            } => {}
            () = others => unreachable!("it never ends"),
        }
        turns
    });
    assert!(turns >= 9, "others ran {turns} times");
}
