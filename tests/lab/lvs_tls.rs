//! TLS checks: servers of every version, cipher and certificate, with stock's verdict beside it in the same run; client
//! certificates; and, beyond stock, verification of the server (spec/checkers.md §7, spec/lvs-config.md §11).

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use nix::fcntl::OFlag;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{Ssl, SslContext, SslFiletype, SslMethod, SslStream};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

use crate::case::{Case, Lab};
use crate::farm::{Farm, real, service};
use crate::kit::daemon::{Daemon, Program};
use crate::kit::http::{Server, answer};
use crate::kit::net::Host;
use crate::kit::place::tool;
use crate::kit::wait::{Outcome, ensure, secs, until};

pub(crate) const CASES: &[Case] = &[
    Case::guest("check_ssl_reaches_what_stock_reaches", parity),
    Case::guest("check_ssl_shows_its_certificate", client_certificate),
    Case::guest("check_ssl_tls_verify", verification).ours_only(),
];

const WORDS: &str = "lb_algo rr\nlb_kind NAT\nprotocol TCP";
const CHECK: &str = "SSL_GET {\n url {\n path /\n status_code 200\n }\n delay_loop 60\n retry 0\n warmup 0\n connect_timeout 5\n";

/// A certificate and its key.
struct Pair {
    certificate: X509,
    key: PKey<Private>,
}

fn broken(error: impl std::fmt::Display) -> String {
    format!("making a certificate: {error}")
}

fn rsa(bits: u32) -> Outcome<PKey<Private>> {
    PKey::from_rsa(Rsa::generate(bits).map_err(broken)?).map_err(broken)
}

fn elliptic() -> Outcome<PKey<Private>> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).map_err(broken)?;
    PKey::from_ec_key(EcKey::generate(&group).map_err(broken)?).map_err(broken)
}

impl Pair {
    /// Signed by `issuer`, or by itself; valid from and to so many seconds from 2020 on, or now.
    fn new(name: &str, key: PKey<Private>, issuer: Option<&Self>, expired: bool) -> Outcome<Self> {
        let build = || -> Result<X509, openssl::error::ErrorStack> {
            let mut subject = X509NameBuilder::new()?;
            subject.append_entry_by_text("CN", name)?;
            let subject = subject.build();
            let mut builder = X509::builder()?;
            builder.set_version(2)?;
            let serial = BigNum::from_u32(std::process::id())?.to_asn1_integer()?;
            builder.set_serial_number(&serial)?;
            builder.set_subject_name(&subject)?;
            builder.set_issuer_name(issuer.map_or(&*subject, |issuer| issuer.certificate.subject_name()))?;
            builder.set_pubkey(&key)?;
            // The guest's clock may differ from the machine's by a little.
            let from = Asn1Time::from_unix(1_577_836_800)?;
            let to = if expired { Asn1Time::from_unix(1_580_000_000)? } else { Asn1Time::days_from_now(30)? };
            builder.set_not_before(&from)?;
            builder.set_not_after(&to)?;
            if issuer.is_none() {
                builder.append_extension(BasicConstraints::new().ca().build()?)?;
            } else {
                let names =
                    SubjectAlternativeName::new().dns(name).build(&builder.x509v3_context(None, None))?;
                builder.append_extension(names)?;
            }
            builder.sign(issuer.map_or(&key, |issuer| &issuer.key), MessageDigest::sha256())?;
            Ok(builder.build())
        };
        Ok(Self { certificate: build().map_err(broken)?, key })
    }

    /// `NAME.pem` with the certificate, `NAME.key` with its key.
    fn write(&self, folder: &Path, name: &str) -> Outcome<(PathBuf, PathBuf)> {
        let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        fs::write(&certificate, self.certificate.to_pem().map_err(broken)?).map_err(broken)?;
        fs::write(&key, self.key.private_key_to_pem_pkcs8().map_err(broken)?).map_err(broken)?;
        Ok((certificate, key))
    }
}

/// An `openssl s_server` that answers every request with a page of its own.
pub(crate) struct TlsServer(Child);

impl TlsServer {
    /// With a certificate of its own that nobody vouches for; its files go into the folder.
    pub(crate) fn plain(host: &Host, port: u16, folder: &Path) -> Outcome<Self> {
        let files = Pair::new(&host.name, elliptic()?, None, false)?.write(folder, &host.name)?;
        Self::start(host, port, &files, "")
    }

    fn start(host: &Host, port: u16, files: &(PathBuf, PathBuf), options: &str) -> Outcome<Self> {
        let mut command = tool("openssl");
        command.args(["s_server", "-www", "-quiet", "-accept", &port.to_string(), "-cert"]);
        command.arg(&files.0).arg("-key").arg(&files.1).args(options.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        host.space.inside(|| command.spawn()).map(Self).map_err(|e| format!("openssl s_server: {e}"))
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a daemon makes of a port of the first real server: does its check pass?
pub(crate) fn verdict(daemon: &Daemon, port: u16) -> Outcome<bool> {
    let passed = format!("Remote Web server [10.0.0.11]:tcp:{port} succeed on service.");
    let failed = format!("Removing service [10.0.0.11]:tcp:{port} from VS");
    until(secs(25.0), format!("a verdict on port {port}"), || {
        if daemon.logged(&passed) {
            return Some(true);
        }
        daemon.logged(&failed).then_some(false)
    })
    .map_err(|e| daemon.explain(e))
}

/// Waits until somebody listens there.
pub(crate) fn listening(host: &Host, port: u16) -> Outcome {
    until(secs(15.0), format!("a server on port {port}"), || {
        let there = host.space.run("ss", &["-Hltn", "sport", "=", &format!(":{port}")]).ok()?;
        (!there.trim().is_empty()).then_some(())
    })
}

fn text(ports: impl Iterator<Item = u16>, more: impl Fn(u16) -> String) -> String {
    let reals: Vec<String> = ports.map(|port| real(1, port, &format!("{CHECK}{}}}", more(port)))).collect();
    service("10.9.0.100 443", WORDS, &reals.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What `openssl s_server` is told, and which certificate it has.
const VARIANTS: [(&str, &str); 23] = [
    ("rsa", ""),
    ("rsa", "-tls1_3"),
    ("rsa", "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256"),
    ("rsa", "-tls1_2"),
    ("rsa", "-tls1_1 -cipher DEFAULT@SECLEVEL=0"),
    ("rsa", "-tls1 -cipher DEFAULT@SECLEVEL=0"),
    ("rsa", "-tls1_2 -cipher AES128-SHA"),
    ("rsa", "-tls1_2 -cipher ECDHE-RSA-AES128-SHA"),
    ("rsa", "-tls1_2 -cipher DHE-RSA-AES128-SHA256"),
    ("rsa", "-tls1_2 -cipher DHE-RSA-AES128-SHA256:@SECLEVEL=0 -dhparam @dh512"),
    ("rsa", "-tls1_2 -cipher DHE-RSA-AES128-SHA256:@SECLEVEL=0 -dhparam @dh1024"),
    ("rsa", "-tls1_2 -cipher NULL-SHA256:@SECLEVEL=0"),
    ("rsa", "-tls1_2 -cipher AECDH-AES128-SHA:@SECLEVEL=0"),
    ("small", "-cipher DEFAULT@SECLEVEL=0"),
    ("expired", ""),
    ("elliptic", ""),
    ("elliptic", "-tls1_2"),
    ("rsa", "-tls1_2 -no_renegotiation"),
    ("rsa", "-tls1_2 -legacy_renegotiation"),
    ("rsa", "-tls1_2 -client_renegotiation"),
    ("rsa", "-tls1_2 -no_ticket"),
    ("rsa", "-verify 1"),
    ("rsa", "-Verify 1 -verify_return_error"),
];

/// Servers of our own behind those of `openssl`: how they misbehave.
const OWN: [&str; 5] =
    ["no close-notify", "plain text", "leaves after the hello", "garbage", "half a record"];

fn parity(lab: &Lab) -> Outcome {
    let folder = &lab.directory;
    for (name, key, expired) in [
        ("rsa", rsa(2048)?, false),
        ("small", rsa(1024)?, false),
        ("expired", rsa(2048)?, true),
        ("elliptic", elliptic()?, false),
    ] {
        Pair::new("lab", key, None, expired)?.write(folder, name)?;
    }
    for bits in ["512", "1024"] {
        let made = tool("openssl")
            .args(["dhparam", "-dsaparam", "-out"])
            .arg(folder.join(format!("dh{bits}")))
            .arg(bits)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        ensure!(made.is_ok_and(|status| status.success()), "openssl made no parameters of {bits} bits");
    }
    let port = |number: usize| 4001 + u16::try_from(number).unwrap_or(0);
    let (count, renegotiating) = (VARIANTS.len() + OWN.len() + 1, VARIANTS.len() + OWN.len());
    let config = text((0..count).map(port), |_| String::new());
    let mut farm = Farm::new(lab, 1, &config)?;
    let mut servers = Vec::new();
    for (number, (name, options)) in VARIANTS.iter().enumerate() {
        let files = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        let options = options
            .replace('@', &format!("{}/", folder.display()))
            .replace(&format!("{}/SECLEVEL", folder.display()), "@SECLEVEL");
        servers.push(TlsServer::start(&farm.reals[0], port(number), &files, &options)?);
    }
    let mut own = Vec::new();
    for (number, manner) in OWN.iter().enumerate() {
        own.push(misbehaving(&farm.reals[0], port(VARIANTS.len() + number), manner, folder)?);
    }
    let files = (folder.join("rsa.pem"), folder.join("rsa.key"));
    let _renegotiating = renegotiating_server(&farm.reals[0], port(renegotiating), &files)?;
    listening(&farm.reals[0], port(renegotiating))?;
    for (number, (_, options)) in VARIANTS.iter().enumerate() {
        // One that its own options keep from starting is a closed port for both.
        if !options.contains("dh512") {
            listening(&farm.reals[0], port(number))?;
        }
    }
    // Stock beside it, on a host of its own behind the same switch.
    let other = farm.beside("s", "10.0.0.2")?;
    let mut stock = Daemon::new(&Program::stock(), &other, &lab.directory, &config)?;
    farm.start()?;
    stock.start(&other, &[])?;
    let mut passed = 0;
    let mut differences = Vec::new();
    for number in 0..count {
        let (ours, theirs) = (verdict(&farm.daemon, port(number))?, verdict(&stock, port(number))?);
        let what = VARIANTS.get(number).map_or_else(
            || OWN.get(number - VARIANTS.len()).map_or("renegotiates", |own| *own).to_owned(),
            |(name, options)| format!("{name} {options}"),
        );
        passed += usize::from(theirs);
        ensure!(theirs || number != renegotiating, "stock does not pass the server that renegotiates");
        if ours != theirs {
            differences.push(format!("{what}: {ours}, stock says {theirs}"));
        }
    }
    ensure!(differences.is_empty(), "{}", farm.daemon.explain(differences.join("\n")));
    // Else the servers do not run, or nothing distinguishes them.
    ensure!((10..count - 4).contains(&passed), "stock reaches {passed} of {count}");
    Ok(())
}

/// An `openssl s_server` on TLS 1.2 that asks for another handshake when a request has come, and answers behind it.
fn renegotiating_server(host: &Host, port: u16, files: &(PathBuf, PathBuf)) -> Outcome<TlsServer> {
    // In this mode each write is read by itself, and the server looks for its commands at the start of what it reads.
    let (told, tell) = nix::unistd::pipe2(OFlag::O_DIRECT | OFlag::O_CLOEXEC).map_err(|e| e.to_string())?;
    let mut command = tool("openssl");
    command.args(["s_server", "-tls1_2", "-accept", &port.to_string(), "-cert"]);
    command.arg(&files.0).arg("-key").arg(&files.1);
    command.stdin(told).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = host.space.inside(|| command.spawn()).map_err(|e| format!("openssl s_server: {e}"))?;
    let said = child.stdout.take().ok_or("no standard output")?;
    std::thread::spawn(move || {
        let mut tell = fs::File::from(tell);
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            let words: &[&str] = if line.starts_with("GET ") {
                &["r\n"]
            } else if line.starts_with("SSL_do_handshake -> 1") {
                &["HTTP/1.0 200 OK\r\n\r\nhello\n", "q\n"]
            } else {
                &[]
            };
            for word in words {
                let _ = tell.write_all(word.as_bytes());
            }
        }
    });
    Ok(TlsServer(child))
}

fn misbehaving(host: &Host, port: u16, manner: &'static str, folder: &Path) -> Outcome<Server> {
    if manner == "no close-notify" {
        let mut builder = SslContext::builder(SslMethod::tls_server()).map_err(broken)?;
        builder.set_certificate_chain_file(folder.join("rsa.pem")).map_err(broken)?;
        builder.set_private_key_file(folder.join("rsa.key"), SslFiletype::PEM).map_err(broken)?;
        let context = builder.build();
        // The handshake's first bytes are read by the kit: they are played to OpenSSL again.
        return Server::raw(host, port, move |stream| {
            let Ok(Ok(mut tls)) = Ssl::new(&context).map(|ssl| SslStream::new(ssl, stream)) else { return };
            if tls.accept().is_ok() && tls.read(&mut [0; 2048]).is_ok() {
                let _ = tls.write_all(answer("hello").as_bytes());
            }
        });
    }
    Server::raw(host, port, move |stream| {
        if manner == "plain text" {
            let _ = stream.write_all(answer("hello").as_bytes());
            return;
        }
        let _ = stream.read(&mut [0; 2048]);
        let _ = match manner {
            "garbage" => stream.write_all(&[0x5a; 600]),
            "half a record" => stream.write_all(&[0x16, 0x03, 0x03, 0x40, 0x00, 0x02]),
            _ => Ok(()),
        };
    })
}

fn client_certificate(lab: &Lab) -> Outcome {
    let authority = Pair::new("authority", rsa(2048)?, None, false)?;
    let server =
        Pair::new("server.lab", rsa(2048)?, Some(&authority), false)?.write(&lab.directory, "server")?;
    let client = Pair::new("client.lab", rsa(2048)?, Some(&authority), false)?;
    let shown = client.write(&lab.directory, "client")?;
    let ca = authority.write(&lab.directory, "ca")?.0;
    let encrypted = client
        .key
        .private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_256_cbc(), b"open sesame")
        .map_err(broken)?;
    fs::write(&shown.1, encrypted).map_err(broken)?;
    let block = format!(
        "SSL {{\n password \"open sesame\"\n ca {}\n certificate {}\n key {}\n}}\n",
        ca.display(),
        shown.0.display(),
        shown.1.display()
    );
    let needed = format!("-CAfile {} -Verify 2 -verify_return_error", ca.display());
    let services = text([4001, 4002].into_iter(), |_| String::new());
    let mut farm = Farm::new(lab, 1, &format!("{block}{services}"))?;
    let _servers = [
        TlsServer::start(&farm.reals[0], 4001, &server, &format!("{needed} -tls1_2"))?,
        TlsServer::start(&farm.reals[0], 4002, &server, "")?,
    ];
    listening(&farm.reals[0], 4001)?;
    listening(&farm.reals[0], 4002)?;
    farm.start()?;
    ensure!(verdict(&farm.daemon, 4001)?, "{}", farm.daemon.explain("without the certificate".into()));
    ensure!(verdict(&farm.daemon, 4002)?, "{}", farm.daemon.explain("it is not asked for".into()));
    Ok(())
}

fn verification(lab: &Lab) -> Outcome {
    let authority = Pair::new("authority", rsa(2048)?, None, false)?;
    let ca = authority.write(&lab.directory, "ca")?.0;
    let signed = |name, expired| Pair::new(name, rsa(2048)?, Some(&authority), expired);
    let good = signed("server.lab", false)?.write(&lab.directory, "good")?;
    let old = signed("server.lab", true)?.write(&lab.directory, "old")?;
    let own = Pair::new("server.lab", rsa(2048)?, None, false)?.write(&lab.directory, "own")?;
    let client = signed("client.lab", false)?.write(&lab.directory, "client")?;
    let verify = format!("@keepalived-rs tls_verify {}", ca.display());
    let shown = format!("@keepalived-rs tls_certificate {} {}", client.0.display(), client.1.display());
    let wanted = format!("-CAfile {} -Verify 2 -verify_return_error -tls1_2", ca.display());
    let rows: [(&(PathBuf, PathBuf), &str, String, bool); 8] = [
        (&good, "", format!("{verify} server.lab"), true),
        (&good, "", format!("{verify} other.lab"), false),
        (&good, "", verify.clone(), false),
        (&good, "", "@keepalived-rs tls_verify system server.lab".to_owned(), false),
        (&old, "", format!("{verify} server.lab"), false),
        (&own, "", format!("{verify} server.lab"), false),
        (&own, "", "@keepalived-rs tls_verify off".to_owned(), true),
        (&good, &wanted, format!("{verify} server.lab\n{shown}"), true),
    ];
    let port = |number: usize| 4001 + u16::try_from(number).unwrap_or(0);
    let config = text((0..rows.len()).map(port), |at| format!("{}\n", rows[usize::from(at - 4001)].2));
    let mut farm = Farm::new(lab, 1, &config)?;
    let mut servers = Vec::new();
    for (number, (files, options, ..)) in rows.iter().enumerate() {
        servers.push(TlsServer::start(&farm.reals[0], port(number), files, options)?);
    }
    for number in 0..rows.len() {
        listening(&farm.reals[0], port(number))?;
    }
    farm.start()?;
    for (number, (.., words, passes)) in rows.iter().enumerate() {
        let found = verdict(&farm.daemon, port(number))?;
        ensure!(found == *passes, "{}", farm.daemon.explain(format!("{words}: {found}")));
    }
    Ok(())
}
