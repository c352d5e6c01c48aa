//! HTTP/2 and gRPC checks against real servers on loopback, polite and hostile.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use http::Response;
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::ssl::{AlpnError, Ssl, SslContext, SslMethod, SslStream, select_next_proto};
use openssl::x509::X509;
use proptest::prelude::*;
use tokio::net::TcpStream;

use super::*;
use crate::check::probe::Probes;
use crate::check::probe::http_response::Digesting;
use crate::check::probe::server::{self, Server, on_a_reactor, wait_until_left};
use crate::check::{Outcome, Probe, Remark};
use crate::config::model::{Connection, HttpProtocol, Regex, RegexOptions, Url};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(10);

/// One check of the url of `change`.
fn check(
    destination: SocketAddr,
    timeout: Duration,
    tls: Option<u16>,
    change: impl FnOnce(&mut Url),
) -> (Outcome, Vec<Remark>) {
    let mut url = server::url();
    change(&mut url);
    let connection = Connection { timeout, ..server::connection(destination) };
    let probe = Probe::Http { connection, tls, protocol: HttpProtocol::V2, url };
    on_a_reactor(async { Probes::new().run(&probe, None).await })
}

fn outcome(destination: SocketAddr, change: impl FnOnce(&mut Url)) -> Outcome {
    check(destination, LONG, None, change).0
}

/// What a server of the tests does with a request: status, headers, body, trailers (none: the body ends the stream).
struct Script {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<Vec<u8>>,
    trailers: Vec<(&'static str, &'static str)>,
}

fn page(body: &[u8]) -> Script {
    Script { status: 200, headers: Vec::new(), body: Some(body.to_vec()), trailers: Vec::new() }
}

fn grpc(body: Option<&[u8]>, trailers: &[(&'static str, &'static str)]) -> Script {
    let headers = vec![("content-type", "application/grpc")];
    Script { status: 200, headers, body: body.map(<[u8]>::to_vec), trailers: trailers.to_vec() }
}

/// What the server saw: method, authority, path, headers, body.
type Seen = (String, String, String, HeaderMap, Vec<u8>);

/// Serves one request over HTTP/2.
fn serving(script: Script) -> Server<Seen> {
    Server::start(move |stream| on_a_reactor(async { serve(tokio_stream(stream), script).await }))
}

fn tokio_stream(stream: std::net::TcpStream) -> TcpStream {
    stream.set_nonblocking(true).unwrap();
    TcpStream::from_std(stream).unwrap()
}

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, script: Script) -> Seen {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    let talk = async {
        let (head, mut body) = request.into_parts();
        let mut received = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            received.extend_from_slice(&data);
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        let mut response = Response::builder().status(script.status);
        response.headers_mut().unwrap().extend(map(&script.headers));
        match script.body {
            None => {
                response.headers_mut().unwrap().extend(map(&script.trailers));
                respond.send_response(response.body(()).unwrap(), true).unwrap();
            }
            Some(bytes) => {
                let mut out = respond.send_response(response.body(()).unwrap(), false).unwrap();
                let last = script.trailers.is_empty();
                out.send_data(Bytes::from(bytes), last).unwrap();
                if !last {
                    out.send_trailers(map(&script.trailers)).unwrap();
                }
            }
        }
        let authority = head.uri.authority().map(ToString::to_string).unwrap_or_default();
        (head.method.to_string(), authority, head.uri.path().to_owned(), head.headers, received)
    };
    tokio::pin!(talk);
    let seen = tokio::select! {
        seen = &mut talk => seen,
        _ = connection.accept() => panic!("a second request"),
    };
    // Until everything is sent and the other side has gone.
    while let Some(Ok(_)) = connection.accept().await {}
    seen
}

fn failed(fault: Http2Fault) -> Outcome {
    Outcome::Failed(Failure::Http2(fault))
}

#[test]
fn a_page_is_asked_for_and_passes() {
    let server = serving(page(b"hello"));
    let address = server.address;
    assert_eq!(outcome(address, |url| url.path = "/health?x=1".into()), Outcome::Passed);
    let (method, authority, path, headers, body) = server.ended();
    assert_eq!((method.as_str(), path.as_str()), ("GET", "/health"));
    assert_eq!(authority, address.to_string());
    assert_eq!(headers.get(USER_AGENT).unwrap(), "KeepAliveClient");
    assert_eq!((headers.get(TE), body), (None, Vec::new()));

    let server = serving(page(b""));
    assert_eq!(outcome(server.address, |url| url.host = Some("a.ex:99".into())), Outcome::Passed);
    assert_eq!(server.ended().1, "a.ex:99");
}

#[test]
fn status_digest_and_pattern_are_judged_as_over_http1() {
    let status = |status, ranges: &[(u16, u16)]| {
        let server = serving(Script { status, ..page(b"hello") });
        outcome(server.address, |url| url.status_codes = ranges.to_vec())
    };
    assert_eq!(status(404, &[(200, 299)]), Outcome::Failed(Failure::Status { code: Some(404) }));
    assert_eq!(status(404, &[(200, 200), (404, 404)]), Outcome::Passed);
    let received = 0x5d41402abc4b2a76b9719d911017c592_u128.to_be_bytes();
    let digest = |digest| outcome(serving(page(b"hello")).address, |url| url.digest = Some(digest));
    assert_eq!(digest(received), Outcome::Passed);
    assert_eq!(digest([0; 16]), Outcome::Failed(Failure::Digest { received }));
    let pattern = |pattern: &str| {
        let regex = Regex {
            pattern: pattern.into(),
            options: RegexOptions::default(),
            no_match: false,
            min_offset: 0,
            max_offset: None,
            stack: None,
        };
        let body = [vec![b'x'; 100_000].as_slice(), b" needle "].concat();
        outcome(serving(page(&body)).address, |url| url.regex = Some(Box::new(regex)))
    };
    assert_eq!(pattern("needle "), Outcome::Passed);
    assert_eq!(pattern("noodle "), Outcome::Failed(Failure::Regex));
}

#[test]
fn a_body_larger_than_the_window_is_read_to_its_end() {
    let server = serving(page(&vec![b'x'; 1_000_000]));
    let digest = 0xec78dbd963d2fc01e51176ed4dec299e_u128.to_be_bytes();
    assert_eq!(outcome(server.address, |url| url.digest = Some(digest)), Outcome::Passed);
}

#[test]
fn a_length_that_is_not_true_breaks_the_protocol() {
    let server = serving(Script { headers: vec![("content-length", "9")], ..page(b"hello") });
    assert_eq!(outcome(server.address, |_| {}), failed(Http2Fault::Broken { code: 1 }));
}

const SERVES: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

#[test]
fn a_grpc_server_is_asked_for_a_service_and_passes_when_it_serves() {
    let server = serving(grpc(Some(SERVES), &[("grpc-status", "0")]));
    assert_eq!(outcome(server.address, |url| url.grpc_health = Some("db".into())), Outcome::Passed);
    let (method, _, path, headers, body) = server.ended();
    assert_eq!((method.as_str(), path.as_str()), ("POST", "/grpc.health.v1.Health/Check"));
    assert_eq!(headers.get(CONTENT_TYPE).unwrap(), "application/grpc");
    assert_eq!(headers.get(TE).unwrap(), "trailers");
    assert_eq!(body, [0, 0, 0, 0, 4, 0x0a, 2, b'd', b'b']);
}

#[test]
fn a_grpc_server_that_does_not_serve_says_why() {
    let health = |script: Script| {
        let server = serving(script);
        outcome(server.address, |url| url.grpc_health = Some(String::new()))
    };
    let unhealthy = |unhealthy| Outcome::Failed(Failure::Unhealthy(unhealthy));
    let not_serving = grpc(Some(&[0, 0, 0, 0, 2, 8, 2]), &[("grpc-status", "0")]);
    assert_eq!(health(not_serving), unhealthy(Unhealthy::Status { status: 2 }));
    let unknown = grpc(None, &[("grpc-status", "5"), ("grpc-message", "unknown service")]);
    let message = "unknown service".to_owned();
    assert_eq!(health(unknown), unhealthy(Unhealthy::Refused { code: 5, message }));
    assert_eq!(health(grpc(Some(SERVES), &[])), unhealthy(Unhealthy::NoStatus));
    let content_type = "text/html".to_owned();
    let html = Script { headers: vec![("content-type", "text/html")], ..page(b"<html>") };
    assert_eq!(health(html), unhealthy(Unhealthy::NotGrpc { content_type }));
    let gone = Script { status: 503, ..grpc(Some(SERVES), &[("grpc-status", "0")]) };
    assert_eq!(health(gone), Outcome::Failed(Failure::Status { code: Some(503) }), "the status comes first");
}

#[test]
fn a_server_of_http1_is_told_by_its_words() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nhello, this is long enough"] {
        let server = sending(answer.into());
        assert_eq!(outcome(server.address, |_| {}), failed(Http2Fault::SpeaksHttp1), "{answer:?}");
    }
}

/// A server that reads the preface and the first frames, sends these bytes, and waits until the prober has left.
fn sending(bytes: Vec<u8>) -> Server<()> {
    Server::start(move |mut stream| {
        let _ = stream.read(&mut [0; 512]);
        let _ = stream.write_all(&bytes);
        wait_until_left(&stream);
    })
}

/// One frame, RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
/// `:status: 200` of the static table, RFC 7541 appendix A.
const STATUS_200: &[u8] = &[0x88];

fn begun() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

#[test]
fn answers_are_read_frame_by_frame() {
    let padded = frame(HEADERS, 0x4 | 0x8, 1, &[&[3][..], STATUS_200, &[0; 3]].concat());
    let split = [frame(HEADERS, 0, 1, STATUS_200), frame(9, 0x4, 1, &[])].concat();
    // "302" with Huffman's code, RFC 7541 appendix C.6.1.
    let huffman = frame(HEADERS, 0x4, 1, &[0x48, 0x82, 0x64, 0x02]);
    let end = frame(0, 1, 1, b"hello");
    for (head, wanted) in [(padded, 200), (split, 200), (huffman, 302)] {
        let server = sending([begun(), head, end.clone()].concat());
        let status = outcome(server.address, |url| url.status_codes = vec![(wanted, wanted)]);
        assert_eq!(status, Outcome::Passed);
        server.ended();
    }
}

#[test]
fn how_a_server_refuses_is_told() {
    let refusing = |bytes: Vec<u8>| {
        let server = sending([begun(), bytes].concat());
        outcome(server.address, |_| {})
    };
    let goodbye = frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]);
    assert_eq!(refusing(goodbye), failed(Http2Fault::Goodbye { code: 11 }));
    assert_eq!(refusing(frame(3, 0, 1, &[0, 0, 0, 7])), failed(Http2Fault::Reset { code: 7 }));
    assert_eq!(refusing(frame(HEADERS, 0x4, 1, &[0xff; 9])), failed(Http2Fault::Broken { code: 1 }));
    assert_eq!(refusing(vec![0x5a; 100]), failed(Http2Fault::Broken { code: 6 }));
    let push = frame(5, 0x4, 1, &[0, 0, 0, 2, 0x82]);
    assert_eq!(refusing(push), failed(Http2Fault::Broken { code: 1 }), "it was told not to push");
}

#[test]
fn a_server_that_leaves_early_is_told_apart() {
    let server = Server::start(|mut stream| {
        let _ = stream.read(&mut [0; 512]);
        let _ = stream.write_all(&[begun(), frame(HEADERS, 0x4, 1, STATUS_200)].concat());
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    assert_eq!(outcome(server.address, |_| {}), failed(Http2Fault::Left));
}

#[test]
fn a_silent_server_runs_into_the_timeout() {
    for (bytes, received) in [(Vec::new(), false), (begun(), true)] {
        let server = sending(bytes);
        let expected = Outcome::Failed(Failure::ReadTimeout { received });
        assert_eq!(check(server.address, SHORT, None, |_| {}).0, expected);
        server.ended();
    }
}

#[test]
fn what_cannot_be_said_over_http2_is_told() {
    let (_listening, address) = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    };
    for change in [|url: &mut Url| url.path = "/a b".into(), |url: &mut Url| url.host = Some("a b".into())] {
        let outcome = outcome(address, change);
        assert!(
            matches!(outcome, Outcome::Failed(Failure::Http2(Http2Fault::Unsayable { .. }))),
            "{outcome:?}"
        );
    }
}

/// Turns of others that show that they have theirs.
const TURNS: u32 = 50;

/// Sends `head` once and `flood` without end. What came of the check within `timeout`; `None` when others had [`TURNS`] turns
/// before, unless it is the end that is waited for.
fn flooded(head: &[u8], flood: &[u8], timeout: Duration, waits_for_end: bool) -> Option<Failure> {
    let much = flood.repeat((1 << 16) / flood.len() + 1);
    let head = [begun(), head.to_vec()].concat();
    let server = Server::start(move |mut stream| {
        let _ = stream.read(&mut [0; 512]);
        let _ = stream.write_all(&head);
        while stream.write_all(&much).is_ok() {}
    });
    let result = on_a_reactor(async {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let question = Question { scheme: "http", host: "a", path: "/", health_of: Some("") };
        let others = async {
            let mut turns = 0;
            while waits_for_end || turns < TURNS {
                turns += 1;
                tokio::task::yield_now().await;
            }
        };
        let response = HttpResponse::new(Digesting::Yes);
        tokio::select! {
            told = ask(stream, &question, response, Instant::now() + timeout) => Some(told.map(|_| ()).unwrap_err()),
            () = others => None,
        }
    });
    server.ended();
    result
}

#[test]
fn floods_of_every_kind_end_and_let_others_run() {
    let answered = frame(HEADERS, 0x4, 1, STATUS_200);
    let interim =
        [frame(HEADERS, 0x4, 1, &[0x48, 3, b'1', b'0', b'3']), frame(HEADERS, 0x4, 1, &[0xbe])].concat();
    for (name, head, flood) in [
        ("settings", vec![], frame(SETTINGS, 0, 0, &[])),
        ("pings", vec![], frame(6, 0, 0, &[0; 8])),
        ("window updates", vec![], frame(8, 0, 0, &[0, 0, 0, 1])),
        ("priorities", vec![], frame(2, 0, 1, &[0, 0, 0, 0, 1])),
        ("unknown frames", vec![], frame(99, 0, 1, &[0; 100])),
        ("interim answers", interim, frame(HEADERS, 0x4, 1, &[0xbe])),
        ("empty data", answered.clone(), frame(0, 0, 1, &[])),
        ("data", answered.clone(), frame(0, 0, 1, &[b'x'; 16_000])),
        ("continuations", frame(HEADERS, 0, 1, STATUS_200), frame(9, 0, 1, &[])),
        ("headers", frame(HEADERS, 0, 1, STATUS_200), frame(9, 0, 1, b"\x00\x01a\x7f\x00aaaaaaaaaa")),
    ] {
        let failure = flooded(&head, &flood, LONG, false);
        // One that is refused at once needs no turns.
        assert!(matches!(failure, None | Some(Failure::Http2(_))), "{name}: {failure:?}");
    }
    let endless = flooded(&answered, &frame(0, 0, 1, &[b'x'; 16_000]), SHORT, true);
    assert_eq!(endless, Some(Failure::ReadTimeout { received: true }));
}

/// The most memory that this process ever had, in kilobytes.
fn peak() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Plays a part of the test below, in a process of its own.
#[test]
fn a_flood_of_large_headers() {
    if std::env::var_os("KEEPALIVED_TEST_FLOOD").is_none() {
        return;
    }
    // An interim answer with so many fields, a byte each: `accept-charset` of the static table.
    let of = |fields: usize| {
        let fields = [&[0x08, 3, b'1', b'0', b'3'][..], &vec![0x8f; fields]].concat();
        let failure = flooded(&[], &frame(HEADERS, 0x4, 1, &fields), 3 * SHORT, true);
        assert_eq!(failure, Some(Failure::ReadTimeout { received: true }));
        peak()
    };
    // The code that it takes is not what is asked for.
    let begun = of(1);
    println!("took {} kB", of(300) - begun);
}

#[test]
fn a_flood_of_large_headers_takes_little_memory() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "check::probe::http2::tests::a_flood_of_large_headers", "--nocapture"])
        .env("KEEPALIVED_TEST_FLOOD", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let taken = text.split("took ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(taken.is_some_and(|taken| taken < 2048), "{text}");
}

/// A TLS server that agrees to `protocols`, and then serves a page over HTTP/2.
fn tls(protocols: &'static [u8]) -> Server<Option<Seen>> {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let mut builder = SslContext::builder(SslMethod::tls_server()).unwrap();
    builder.set_private_key(&key).unwrap();
    builder.set_certificate(&certificate.build()).unwrap();
    if !protocols.is_empty() {
        builder.set_alpn_select_callback(|_, offered| {
            select_next_proto(protocols, offered)
                .filter(|agreed| protocols.windows(agreed.len()).any(|part| part == *agreed))
                .ok_or(if protocols.len() > 12 { AlpnError::NOACK } else { AlpnError::ALERT_FATAL })
        });
    }
    let context = builder.build();
    Server::start(move |stream| {
        let mut stream = SslStream::new(Ssl::new(&context).unwrap(), stream).unwrap();
        stream.accept().ok()?;
        let agreed = stream.ssl().selected_alpn_protocol() == Some(b"h2");
        if !agreed {
            wait_until_left(stream.get_ref());
            return None;
        }
        // OpenSSL on a blocking thread, HTTP/2 on a runtime: bytes are carried between them.
        let (near, far) = tokio::io::duplex(1 << 16);
        Some(on_a_reactor(async {
            stream.get_ref().set_nonblocking(true).unwrap();
            let carried = carry(stream, far);
            let served = serve(near, page(&vec![b'x'; 300_000]));
            tokio::join!(carried, served).1
        }))
    })
}

async fn carry(mut tls: SslStream<std::net::TcpStream>, mut plain: tokio::io::DuplexStream) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut buffer = vec![0; 4096];
    let mut out: Vec<u8> = Vec::new();
    loop {
        match tls.ssl_read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => plain.write_all(&buffer[..read]).await.unwrap(),
            Err(error) if error.code() == openssl::ssl::ErrorCode::WANT_READ => {}
            Err(_) => return,
        }
        if out.is_empty() {
            let waiting = tokio::time::timeout(Duration::from_millis(1), plain.read(&mut buffer));
            if let Ok(Ok(read)) = waiting.await {
                out.extend_from_slice(&buffer[..read]);
            }
        }
        if !out.is_empty() && tls.ssl_write(&out).is_ok() {
            out.clear();
        }
    }
}

#[test]
fn over_tls_the_server_must_agree_to_h2() {
    let server = tls(b"\x08http/1.1\x02h2");
    assert_eq!(check(server.address, LONG, Some(0), |_| {}), (Outcome::Passed, vec![]));
    assert_eq!(server.ended().unwrap().0, "GET");
    // One says no, one says nothing, one does not know the question.
    for protocols in [&b"\x08http/1.1"[..], b"\x08http/1.1\x08http/1.0", b""] {
        let server = tls(protocols);
        assert_eq!(check(server.address, LONG, Some(0), |_| {}).0, failed(Http2Fault::NotOffered));
        assert!(server.ended().is_none());
    }
}

fn some_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        (0..11_u8, any::<u8>(), 0..3_u32, payload.clone())
            .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload)),
        Just(begun()),
        Just(frame(HEADERS, 0x4, 1, STATUS_200)),
        Just(frame(0, 1, 1, SERVES)),
        payload,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_from_a_server_end_the_check(frames in prop::collection::vec(some_frame(), 0..12)) {
        use tokio::io::AsyncWriteExt as _;
        on_a_reactor(async {
            let (near, mut far) = tokio::io::duplex(1 << 16);
            far.write_all(&frames.concat()).await.unwrap();
            far.shutdown().await.unwrap();
            let question = Question { scheme: "http", host: "a", path: "/", health_of: Some("") };
            let deadline = Instant::now() + LONG;
            // Whatever it is: it ends by itself, because the stream did.
            let told = ask(near, &question, HttpResponse::new(Digesting::Yes), deadline).await;
            let late = matches!(told, Err(Failure::ReadTimeout { .. }));
            assert!(!late, "it waited for a server that has left");
        });
    }
}
