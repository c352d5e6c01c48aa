//! SSL checks against OpenSSL servers with odd settings and bad manners, in this process on threads of their own.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{
    ErrorCode, NameType, Ssl, SslContext, SslContextBuilder, SslMethod, SslStream, SslVersion,
};
use openssl::x509::{X509, X509Name};

use super::*;
use crate::check::probe::server::{self, Server, on_a_reactor, wait_until_left};
use crate::check::probe::{Probes, http, http_response};
use crate::check::{Probe, Remark};
use crate::config::model::{Connection, HttpProtocol, Url};

const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\n\r\nhello";

/// A self-signed certificate with a key of this many bits, valid from and to these Unix times.
fn certificate(bits: u32, from: i64, to: i64) -> (PKey<Private>, X509) {
    /// Large keys take long to make.
    static KEYS: Mutex<Vec<(u32, PKey<Private>)>> = Mutex::new(Vec::new());
    let mut keys = KEYS.lock().unwrap();
    let known = keys.iter().find(|(known, _)| *known == bits).map(|(_, key)| key.clone());
    let key = known.unwrap_or_else(|| {
        let key = PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap();
        keys.push((bits, key.clone()));
        key
    });
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", "test").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(from).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(to).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (key, builder.build())
}

/// What a TLS server offers.
#[derive(Clone)]
struct Offer {
    bits: u32,
    expired: bool,
    versions: (SslVersion, SslVersion),
    ciphers: &'static str,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            bits: 2048,
            expired: false,
            versions: (SslVersion::TLS1_2, SslVersion::TLS1_3),
            ciphers: "ALL",
        }
    }
}

impl Offer {
    fn context(&self) -> SslContext {
        let (from, to) =
            if self.expired { (1_000_000_000, 1_000_000_001) } else { (1_000_000_000, 4_000_000_000) };
        let (key, certificate) = certificate(self.bits, from, to);
        let mut builder = SslContextBuilder::new(SslMethod::tls_server()).unwrap();
        builder.set_security_level(0);
        builder.set_private_key(&key).unwrap();
        builder.set_certificate(&certificate).unwrap();
        builder.set_min_proto_version(Some(self.versions.0)).unwrap();
        builder.set_max_proto_version(Some(self.versions.1)).unwrap();
        builder.set_cipher_list(self.ciphers).unwrap();
        builder.set_tmp_dh(&openssl::dh::Dh::get_2048_256().unwrap()).unwrap();
        builder.build()
    }

    /// Shakes hands, reads the request, plays the script. `None` when there was no handshake.
    fn serve<T: Send + 'static>(
        &self,
        script: impl FnOnce(SslStream<std::net::TcpStream>) -> T + Send + 'static,
    ) -> Server<Option<T>> {
        let context = self.context();
        Server::start(move |stream| {
            let mut stream = SslStream::new(Ssl::new(&context).unwrap(), stream).unwrap();
            stream.accept().ok()?;
            server::request(&mut stream);
            Some(script(stream))
        })
    }
}

fn check(
    destination: SocketAddr,
    timeout: Duration,
    change: impl FnOnce(&mut Url),
) -> (Outcome, Vec<Remark>) {
    let mut url = server::url();
    change(&mut url);
    let connection = Connection { timeout, ..server::connection(destination) };
    let probe = Probe::Http { connection, tls: Some(0), protocol: HttpProtocol::V1_0, url };
    on_a_reactor(async { Probes::new().run(&probe, None).await })
}

fn patiently(destination: SocketAddr) -> (Outcome, Vec<Remark>) {
    check(destination, Duration::from_secs(10), |_| {})
}

/// Answers and says goodbye as the standard wants it.
fn polite(mut stream: SslStream<std::net::TcpStream>) {
    stream.write_all(ANSWER).unwrap();
    stream.shutdown().unwrap();
    wait_until_left(stream.get_ref());
}

#[test]
fn servers_that_stock_reaches_are_reached() {
    let only = |version| (version, version);
    let v12 = only(SslVersion::TLS1_2);
    for (name, offer) in [
        ("TLS 1.2 and 1.3", Offer::default()),
        ("TLS 1.3 only", Offer { versions: only(SslVersion::TLS1_3), ..Offer::default() }),
        ("TLS 1.2, RSA key exchange", Offer { versions: v12, ciphers: "AES128-SHA", ..Offer::default() }),
        ("TLS 1.2, DHE", Offer { versions: v12, ciphers: "DHE-RSA-AES128-GCM-SHA256", ..Offer::default() }),
        (
            "TLS 1.2, ECDHE, 1024 bits",
            Offer { versions: v12, ciphers: "ECDHE", bits: 1024, ..Offer::default() },
        ),
        (
            "TLS 1.2, ECDHE, 512 bits",
            Offer { versions: v12, ciphers: "ECDHE", bits: 512, ..Offer::default() },
        ),
        ("TLS 1.3, 1024 bits", Offer { versions: only(SslVersion::TLS1_3), bits: 1024, ..Offer::default() }),
        ("expired", Offer { expired: true, ..Offer::default() }),
    ] {
        let server = offer.serve(polite);
        assert_eq!(patiently(server.address), (Outcome::Passed, vec![]), "{name}");
        assert!(server.ended().is_some());
    }
}

#[test]
fn a_server_without_a_common_version_fails_the_handshake() {
    let offer = Offer {
        versions: (SslVersion::TLS1, SslVersion::TLS1_1),
        ciphers: "ALL:@SECLEVEL=0",
        ..Offer::default()
    };
    let server = offer.serve(polite);
    let (outcome, _) = patiently(server.address);
    assert!(matches!(outcome, Outcome::Failed(Failure::Tls { .. })), "{outcome:?}");
    assert!(server.ended().is_none());
}

#[test]
fn what_is_no_tls_fails_the_handshake_with_a_reason() {
    for garbage in [ANSWER, b"", b"\x15\x03\x03\x00\x02\x02\x28", b"\x16\x03\x03\xff\xff\x02", &[0xff; 4000]]
    {
        let server = Server::start(move |mut stream| {
            // The prober may have had enough before the end.
            let _ = stream.write_all(garbage).and_then(|()| stream.shutdown(Shutdown::Write));
            wait_until_left(&stream);
        });
        let (outcome, _) = patiently(server.address);
        let Outcome::Failed(Failure::Tls { reason }) = outcome else { panic!("{outcome:?}") };
        assert!(!reason.is_empty());
        server.ended();
    }
}

#[test]
fn a_handshake_that_is_never_answered_runs_into_the_timeout_of_the_connect() {
    let server = Server::start(|stream| wait_until_left(&stream));
    let (outcome, _) = check(server.address, Duration::from_millis(150), |_| {});
    assert_eq!(outcome, Outcome::Failed(Failure::TlsTimeout));
    server.ended();
}

/// Leaves the TLS stream to the script's bare hands.
type Rude = fn(SslStream<std::net::TcpStream>);

#[test]
fn a_stream_that_ends_badly_passes_when_the_header_came() {
    let endings: [(&str, Rude); 3] = [
        ("closed", drop),
        ("garbage", |stream| stream.get_ref().write_all(b"garbage and more garbage").unwrap()),
        ("bad record", |stream| {
            stream.get_ref().write_all(b"\x17\x03\x03\x00\x20xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx").unwrap();
        }),
    ];
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        for (name, ending) in endings {
            let offer = Offer { versions: (version, version), ..Offer::default() };
            let server = offer.serve(move |mut stream| {
                stream.write_all(ANSWER).unwrap();
                ending(stream);
            });
            let (outcome, remarks) = patiently(server.address);
            assert_eq!(outcome, Outcome::Passed, "{name}");
            let [Remark::UncleanEnd { reason }] = &remarks[..] else { panic!("{name}: {remarks:?}") };
            assert!(!reason.is_empty());
            server.ended();
        }
    }
}

#[test]
fn a_stream_that_ends_within_the_header_is_no_data() {
    let sent: [&[u8]; 3] = [b"", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.0 200 OK\n\nhello"];
    for answer in sent {
        for polite in [true, false] {
            let server = Offer::default().serve(move |mut stream| {
                stream.write_all(answer).unwrap();
                if polite {
                    stream.shutdown().unwrap();
                }
            });
            assert_eq!(patiently(server.address).0, Outcome::Failed(Failure::NoData), "{answer:?}");
            server.ended();
        }
    }
}

#[test]
fn one_deadline_holds_for_the_whole_answer() {
    let pace = Duration::from_millis(20);
    let server = Offer::default().serve(move |mut stream| {
        let endless = ANSWER.iter().copied().chain(std::iter::repeat(b'x'));
        for byte in endless {
            if server::left_within(stream.get_ref(), pace) || stream.write_all(&[byte]).is_err() {
                return;
            }
        }
    });
    let start = Instant::now();
    let (outcome, _) = check(server.address, 30 * pace, |_| {});
    assert_eq!(outcome, Outcome::Failed(Failure::ReadTimeout { received: true }));
    assert!(start.elapsed() >= 30 * pace);
    server.ended();
}

#[test]
fn an_endless_body_ends_at_the_deadline() {
    let server = Offer::default().serve(|mut stream| {
        stream.write_all(ANSWER).unwrap();
        while stream.write_all(&[b'x'; 1 << 14]).is_ok() {}
    });
    let (outcome, _) = check(server.address, Duration::from_millis(500), |_| {});
    assert_eq!(outcome, Outcome::Failed(Failure::ReadTimeout { received: true }));
    server.ended();
}

#[test]
fn the_digest_is_that_of_the_decrypted_body() {
    let server = Offer::default().serve(polite);
    let digest = 0x5d41402abc4b2a76b9719d911017c592_u128.to_be_bytes();
    let (outcome, _) = check(server.address, Duration::from_secs(10), |url| url.digest = Some(digest));
    assert_eq!(outcome, Outcome::Passed);
    server.ended();
}

#[test]
fn the_server_name_is_sent_when_there_is_one_only() {
    for name in [None, Some("www.example.com")] {
        let server = Offer::default().serve(|stream| {
            let seen = stream.ssl().servername(NameType::HOST_NAME).map(str::to_owned);
            polite(stream);
            seen
        });
        let (outcome, _) =
            check(server.address, Duration::from_secs(10), |url| url.sni = name.map(str::to_owned));
        assert_eq!(outcome, Outcome::Passed);
        assert_eq!(server.ended().unwrap().as_deref(), name);
    }
}

#[test]
fn a_close_notify_is_sent_by_the_compliant_only() {
    for compliant in [true, false] {
        let server = Offer::default().serve(|mut stream| {
            stream.write_all(ANSWER).unwrap();
            stream.shutdown().unwrap();
            stream.ssl_read(&mut [0]).unwrap_err().code() == ErrorCode::ZERO_RETURN
        });
        let (outcome, _) =
            check(server.address, Duration::from_secs(10), |url| url.tls_compliant = compliant);
        assert_eq!(outcome, Outcome::Passed);
        assert_eq!(server.ended(), Some(compliant));
    }
}

#[test]
fn a_context_that_takes_long_to_build_keeps_no_other_check_waiting() {
    let (_, certificate) = certificate(2048, 1_000_000_000, 4_000_000_000);
    // Takes long to read.
    let ca = certificate.to_pem().unwrap().repeat(5000);
    let server = Offer::default().serve(polite);
    let context = Context::new(TlsProfile { ca: Some(ca), ..TlsProfile::default() });
    let connection = Connection { timeout: Duration::from_secs(10), ..server::connection(server.address) };
    let (url, begun) = (server::url(), Instant::now());
    let exchange = http::Exchange {
        connection: &connection,
        tls: Some(&context),
        protocol: HttpProtocol::V1_0,
        url: &url,
        digesting: http_response::Digesting::No,
        wanted: None,
    };
    on_a_reactor(async {
        let mut turns = 0_u32;
        let built = tokio::select! {
            ready = context.ready() => ready.map(|_| turns),
            () = async {
                loop {
                    turns += 1;
                    tokio::task::yield_now().await;
                }
            } => unreachable!("it never ends"),
        };
        let turns = built.map_err(|outcome| format!("{outcome:?}")).unwrap();
        assert!(turns > 100, "others ran {turns} times in {:?}", begun.elapsed());
        assert!(exchange.run(None).await.is_ok());
    });
    server.ended();
}
