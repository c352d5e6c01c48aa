//! `genhash`: gets a page as `HTTP_GET` and `SSL_GET` do, and prints the MD5 of its body, for `digest`.
//!
//! Also `-T` before everything else, and the program under the name genhash. Options, output and codes are stock's
//! (spec/daemon-behaviour.md §15): a page that cannot be had still ends with 0.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{print, refuse};
use crate::check::probe::http::Exchange;
use crate::check::probe::http_response::Digesting;
use crate::check::probe::tls;
use crate::check::{Failure, Outcome};
use crate::config::model::{Connection, HttpProtocol, LocalEnd, Url};
use crate::daemon::exit::Exit;

/// The line in the help.
pub const USAGE: &str =
    "genhash [-S [-I]] -s ADDRESS -p PORT -u PATH [-V HOST] [-P 1.0|1.0c|1.1] [-m MARK] [-t SECONDS] [-v]";

/// The end of a header.
const HEADER_END: &[u8] = b"\r\n\r\n";

/// Its arguments.
pub(super) fn command() -> Command {
    let value = |id: &'static str, short: char, name: &'static str, help: &'static str| {
        Arg::new(id).long(id).short(short).value_name(name).help(help)
    };
    let flag = |id: &'static str, short: char, help: &'static str| {
        Arg::new(id).long(id).short(short).action(ArgAction::SetTrue).help(help)
    };
    Command::new("keepalived-rs genhash")
        .about("Prints the MD5 of a page, as the keyword digest wants it")
        .infer_long_args(true)
        .args_override_self(true)
        .arg(flag("use-ssl", 'S', "Speak TLS"))
        .arg(flag("use-sni", 'I', "Send the host of -V in the TLS handshake"))
        .arg(value("server", 's', "ADDRESS", "The server").required(true).value_parser(value_parser!(IpAddr)))
        .arg(
            value("port", 'p', "PORT", "Its port").required(true).value_parser(value_parser!(u16).range(1..)),
        )
        .arg(value("url", 'u', "PATH", "What stands behind GET").required(true))
        .arg(value("use-virtualhost", 'V', "HOST", "The Host header [default: address and port]"))
        .arg(flag("verbose", 'v', "Show what came"))
        .arg(
            value("fwmark", 'm', "MARK", "Firewall mark of the packets")
                .value_parser(value_parser!(u32).range(1..)),
        )
        .arg(
            value("protocol", 'P', "VERSION", "HTTP version; 1.0c is 1.0 with Connection: close")
                .value_parser(PossibleValuesParser::new(["1.0", "1.0c", "1.0C", "1.1"]).map(|text| {
                    match text.as_str() {
                        "1.1" => HttpProtocol::V1_1,
                        "1.0" => HttpProtocol::V1_0,
                        _ => HttpProtocol::V1_0Close,
                    }
                })),
        )
        .arg(
            value("timeout", 't', "SECONDS", "Limit of the connect, and of each silence [default: 5]")
                .value_parser(value_parser!(u32)),
        )
}

/// Prints the digest of the page that the words name.
pub fn run(words: &[OsString]) -> Exit {
    let matches = match super::arguments(command(), words) {
        Ok(matches) => matches,
        Err(exit) => return exit,
    };
    let (Some(connection), Some(url)) = (connection(&matches), url(&matches)) else { return Exit::Usage };
    let verbose = matches.get_flag("verbose");
    let context = matches.get_flag("use-ssl").then(tls::Context::default);
    let exchange = Exchange {
        connection: &connection,
        tls: context.as_ref(),
        protocol: matches.get_one("protocol").copied().unwrap_or_default(),
        url: &url,
        digesting: if verbose { Digesting::AndCopying } else { Digesting::Yes },
        wanted: None,
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            refuse("genhash", &format!("starting: {error}"));
            return Exit::Internal;
        }
    };
    let start = Instant::now();
    let outcome = runtime.block_on(exchange.run(None));
    let took = start.elapsed();
    match outcome {
        Ok(answer) => {
            let digest = answer.response.digest.unwrap_or_default();
            if let Some(copy) = &answer.response.copy {
                print(&shown(copy, answer.response.announced, digest));
            }
            print(&format!("{:032x}\n", u128::from_be_bytes(digest)));
        }
        Err(outcome) => complain(&outcome, context.is_some()),
    }
    if verbose {
        print(&format!("\nGlobal response time for [{}] = {} usecs\n", url.path, took.as_micros()));
    }
    Exit::Success
}

fn connection(matches: &ArgMatches) -> Option<Connection> {
    let destination = SocketAddr::new(*matches.get_one("server")?, *matches.get_one("port")?);
    let seconds = matches.get_one("timeout").copied().unwrap_or(5_u32);
    Some(Connection {
        destination,
        local: LocalEnd { fwmark: matches.get_one("fwmark").copied().unwrap_or(0), ..LocalEnd::default() }
            .into(),
        timeout: Duration::from_secs(seconds.into()),
    })
}

fn url(matches: &ArgMatches) -> Option<Url> {
    let host = matches.get_one::<String>("use-virtualhost").cloned();
    Some(Url {
        path: matches.get_one::<String>("url")?.clone(),
        virtualhost: host.clone(),
        sni: host.clone().filter(|_| matches.get_flag("use-sni")),
        host,
        digest: None,
        status_codes: Vec::new(),
        tls_compliant: false,
        regex: None,
        grpc_health: None,
    })
}

/// Stock's words for what went wrong; only an empty answer is told on stderr.
fn complain(outcome: &Outcome, tls: bool) {
    let text = match outcome {
        Outcome::Failed(Failure::NoData) => {
            // Nobody can be told that stderr is gone.
            let _ = writeln!(std::io::stderr(), "no data received from remote webserver");
            return;
        }
        Outcome::Failed(Failure::TlsTimeout) => "Timeout connecting",
        Outcome::Failed(Failure::ConnectTimeout) if tls => "Timeout connecting",
        Outcome::Failed(Failure::ConnectRefused { errno, .. })
            if matches!(*errno, libc::ENETUNREACH | libc::EHOSTUNREACH) =>
        {
            "HTTP_CHECK - network unreachable"
        }
        Outcome::Failed(Failure::ReadTimeout { received: false }) => "Timeout WEB read",
        Outcome::Failed(Failure::ReadTimeout { received: true }) => "Timeout HTTP read",
        Outcome::Failed(Failure::Tls { .. }) => "SSL handshake/communication error connecting to",
        Outcome::NotTried { what, .. } => what,
        _ => "Connection failed",
    };
    print(&format!("{text}\n"));
}

/// What came, in frames; of the body what `Content-Length` announced.
fn shown(copy: &[u8], announced: Option<u64>, digest: [u8; 16]) -> String {
    let end = copy.windows(HEADER_END.len()).position(|window| window == HEADER_END);
    let (header, body) = copy.split_at(end.map_or(copy.len(), |end| end + HEADER_END.len()));
    let length = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
    let body = &body[..body.len().min(length)];
    let mut text = frame("HTTP Header Buffer");
    text += &dump(header);
    text += &frame("HTTP Header Ascii Buffer");
    text += &String::from_utf8_lossy(header);
    text.push('\n');
    if !body.is_empty() {
        text += &frame("HTML Buffer");
        text += &dump(body);
    }
    text.push('\n');
    text += &frame("HTML hash resulting");
    text += &dump(&digest);
    text += &frame("HTML hash final resulting");
    text
}

fn frame(title: &str) -> String {
    let width = if title.starts_with("HTTP") { 26 } else { 27 };
    format!("-----------------------[{title:^width$}]-----------------------\n")
}

/// Sixteen bytes a line: where, as numbers, as letters.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{:04}  ", line * 16);
        for at in 0..16 {
            match chunk.get(at) {
                Some(byte) => drop(write!(text, "{byte:02x} ")),
                None => text.push_str("   "),
            }
            if at == 7 {
                text.push_str("- ");
            }
        }
        text.push_str("  ");
        for at in 0..16 {
            text.push(chunk.get(at).map_or(' ', |byte| match byte {
                0x20..=0x7e => char::from(*byte),
                _ => '.',
            }));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_stock_shows_them() {
        assert_eq!(
            dump(b"hello world, this is a\0\xff"),
            "0000  68 65 6c 6c 6f 20 77 6f - 72 6c 64 2c 20 74 68 69   hello world, thi\n\
             0016  73 20 69 73 20 61 00 ff -                           s is a..        \n"
        );
        assert_eq!(
            frame("HTML Buffer"),
            "-----------------------[        HTML Buffer        ]-----------------------\n"
        );
        assert_eq!(
            frame("HTTP Header Ascii Buffer"),
            "-----------------------[ HTTP Header Ascii Buffer ]-----------------------\n"
        );
    }
}
