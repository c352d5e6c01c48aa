//! `regex` of HTTP checks: what matches, in which pieces, and where (spec/checkers.md §7).
//!
//! Every row was first seen with stock: a check either passes or takes its real server out, and both are logged.

use std::io::Write;
use std::time::Duration;

use crate::case::{Case, Lab};
use crate::farm::{Farm, real, service};
use crate::kit::http::Server;
use crate::kit::wait::{Outcome, ensure, secs};

pub(crate) const CASES: &[Case] = &[
    Case::guest("check_http_patterns", patterns),
    Case::guest("check_http_pattern_that_does_not_compile", broken).ours_only(),
];

/// Ends with the header's end; the next piece comes later.
const HEADER: &str = "HTTP/1.0 200 OK\r\nX: hdr\r\n\r\n";

/// Words of the url; what the server says, each piece after a pause; does the check pass?
type Row = (&'static str, &'static [&'static str], bool);

const ROWS: [Row; 27] = [
    ("regex \"hello\"", &["+say hello x"], true),
    ("regex \"X: hdr\"", &["+body"], true),
    ("regex \"X: hdr\"", &["", "body"], false),
    ("regex \"hello\"", &["", "say hel", "lo x"], true),
    ("regex \"^hello\"", &["", "xx", "hello there"], true),
    ("regex \"^xxhello\"", &["", "xx", "hello there"], true),
    ("regex \"(?<=foo)bar\"", &["", "xxfoo", "bar xx"], true),
    ("regex \"\\\\bfoo \"", &["", "xx", "foo "], false),
    ("regex \"hello$\"", &["+hello"], false),
    ("regex \"lo+\"", &["+hello"], false),
    ("regex \"lo+\"", &["+hello."], true),
    ("regex \"bye\"\nregex_no_match", &["+hello."], true),
    ("regex \"hello\"\nregex_no_match", &["+hello."], false),
    ("regex \"lo+\"\nregex_no_match", &["+hello"], true),
    ("regex \"()\"", &[""], false),
    ("regex \"hello \"\nregex_min_offset 8", &["", "abcdef", "ghhello ."], true),
    ("regex \"hello \"\nregex_min_offset 9", &["", "abcdef", "ghhello ."], false),
    ("regex \"hello \"\nregex_min_offset 27", &["+hello ."], true),
    ("regex \"hello \"\nregex_min_offset 28", &["+hello ."], false),
    ("regex \"hello \"\nregex_max_offset 8", &["", "abcdef", "ghhello ."], true),
    ("regex \"hello \"\nregex_max_offset 7", &["", "abcdef", "ghhello ."], false),
    ("regex \"hello \"\nregex_max_offset 26", &["+hello ."], false),
    ("regex \"HELLO\"\nregex_options caseless", &["+hello."], true),
    ("regex \"h.*o\"\nregex_options ungreedy", &["+hello"], true),
    ("regex \"a.c \"\nregex_options dotall", &["+a\nc ."], true),
    ("regex \"hello \"\nregex_stack 32768 1048576", &["+hello ."], true),
    ("regex \"(x+x+)+y\"", &["", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxz"], false),
];

fn check(words: &str) -> String {
    format!(
        "HTTP_GET {{\n url {{\n path /\n {words}\n }}\n delay_loop 60\n retry 0\n warmup 0\n connect_timeout 4\n}}"
    )
}

/// Port of a row.
fn port(row: usize) -> u16 {
    8001 + u16::try_from(row).unwrap_or(0)
}

fn patterns(lab: &Lab) -> Outcome {
    let reals: Vec<String> =
        ROWS.iter().enumerate().map(|(row, (words, ..))| real(1, port(row), &check(words))).collect();
    let reals: Vec<&str> = reals.iter().map(String::as_str).collect();
    let text = service("10.9.0.100 80", "lb_algo rr\nlb_kind NAT\nprotocol TCP", &reals);
    let mut farm = Farm::new(lab, 1, &text)?;
    let mut servers = Vec::new();
    for (row, (_, pieces, _)) in ROWS.iter().enumerate() {
        servers.push(Server::behaving(&farm.reals[0], port(row), move |stream, _| {
            for (number, piece) in pieces.iter().enumerate() {
                let piece = if number == 0 {
                    format!("{HEADER}{}", piece.trim_start_matches('+'))
                } else {
                    (*piece).to_owned()
                };
                let _ = stream.write_all(piece.as_bytes());
                // A piece of its own: the script of this server, not a wait for anything.
                std::thread::sleep(Duration::from_millis(400));
            }
        })?);
    }
    farm.start()?;
    for (row, (words, pieces, passes)) in ROWS.iter().enumerate() {
        let label = format!("[10.0.0.11]:tcp:{}", port(row));
        let line = if *passes {
            format!("Remote Web server {label} succeed on service.")
        } else {
            format!("Removing service {label} from VS")
        };
        farm.daemon.wait_log(&line, secs(15.0)).map_err(|e| format!("{words:?} on {pieces:?}: {e}"))?;
    }
    Ok(())
}

/// Stock's checker process dies of it again and again; here the check goes on without its pattern.
fn broken(lab: &Lab) -> Outcome {
    let text = service(
        "10.9.0.100 80",
        "lb_algo rr\nlb_kind NAT\nprotocol TCP",
        &[&real(1, 80, &check("regex \"a(b\"")), &real(2, 80, &check("regex \"no such\""))],
    );
    let mut farm = Farm::new(lab, 2, &text)?;
    let _servers = farm.servers()?;
    farm.start()?;
    farm.table(&["TCP 10.9.0.100:80 rr: 10.0.0.11:80 Masq 1"], 10.0)?;
    ensure!(farm.daemon.logged("missing closing parenthesis"), "the log does not say what is wrong");
    Ok(())
}
