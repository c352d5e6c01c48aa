//! `drain`: takes a real server of the running daemon out of service without cutting its connections, or puts it back.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{print, refuse};
use crate::daemon::control::{self, Command as Asked};
use crate::daemon::director::{Answer, Target, Wish};
use crate::daemon::exit::Exit;

/// The line in the help.
pub const USAGE: &str =
    "drain [ADDRESS[:PORT] [--for TIME | --undo] [--in VIRTUAL_SERVER]] [--instance NAME] [--namespace NAME]";
/// Longer than the daemon takes for its own answer.
const PATIENCE: Duration = Duration::from_secs(12);

/// Its arguments.
pub(super) fn command() -> Command {
    let value = |id: &'static str, name: &'static str, help: &'static str| {
        Arg::new(id).long(id).value_name(name).help(help)
    };
    Command::new("keepalived-rs drain")
        .about(
            "Takes a real server out of service: no new connections, those that are there go on. Without a server: says \
             which are drained",
        )
        .arg(
            Arg::new("server")
                .value_name("ADDRESS[:PORT]")
                .value_parser(server)
                .help("The real server; [ADDRESS]:PORT for IPv6. Without a port: all ports"),
        )
        .arg(
            value("for", "TIME", "Back by itself after this: 90, 90s, 10m, 2h, 1d")
                .value_parser(lasts)
                .conflicts_with("undo"),
        )
        .arg(Arg::new("undo").long("undo").action(ArgAction::SetTrue).help("Back into service"))
        .arg(value("in", "VIRTUAL_SERVER", "Only in this one, as logs name it: [10.0.0.1]:tcp:80").requires("server"))
        .arg(value("instance", "NAME", "The daemon of this `instance`"))
        .arg(value("namespace", "NAME", "The daemon in this `net_namespace`"))
}

/// Says what the words want to the daemon, and prints its answer.
pub fn run(words: &[OsString]) -> Exit {
    let matches = match super::arguments(command(), words) {
        Ok(matches) => matches,
        Err(exit) => return exit,
    };
    let suffix: Vec<&str> = ["namespace", "instance"]
        .iter()
        .filter_map(|id| matches.get_one::<String>(id))
        .map(String::as_str)
        .collect();
    let path = control::path((!suffix.is_empty()).then(|| suffix.join("_")).as_deref());
    let listing = matches.get_one::<(IpAddr, Option<u16>)>("server").is_none();
    if listing && (matches.get_flag("undo") || matches.contains_id("for")) {
        return refuse("drain", "which real server? Write its address, or address:port");
    }
    match ask(&path, &asked(&matches)) {
        Ok(Ok(lines)) if lines.is_empty() => print("no real server is drained\n"),
        Ok(Ok(lines)) => print(&(lines.join("\n") + "\n")),
        Ok(Err(refusal)) => return fail(&refusal),
        Err(error) => {
            let hint = "is keepalived-rs running, and are you root?";
            return fail(&format!("{}: {error} ({hint})", path.display()));
        }
    }
    Exit::Success
}

fn fail(complaint: &str) -> Exit {
    // Nobody can be told that stderr is gone.
    let _ = writeln!(std::io::stderr(), "keepalived-rs drain: {complaint}");
    Exit::Fatal
}

fn asked(matches: &ArgMatches) -> Asked {
    let Some((address, port)) = matches.get_one::<(IpAddr, Option<u16>)>("server").copied() else {
        return Asked::Drained;
    };
    let target = Target { address, port, virtual_server: matches.get_one::<String>("in").cloned() };
    let wish = if matches.get_flag("undo") {
        Wish::Undrain
    } else {
        Wish::Drain { lasts: matches.get_one::<Duration>("for").copied() }
    };
    Asked::Drain { target, wish }
}

fn ask(path: &Path, command: &Asked) -> std::io::Result<Answer> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(command.line()?.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

fn server(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Ok((socket.ip(), Some(socket.port())));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map(|address| (address, None)).map_err(|_| "is no ADDRESS or ADDRESS:PORT".to_owned())
}

fn lasts(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let unit = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => 1,
    };
    let seconds =
        number.parse::<u32>().ok().filter(|seconds| *seconds > 0).and_then(|it| it.checked_mul(unit));
    seconds
        .map(|it| Duration::from_secs(u64::from(it)))
        .ok_or_else(|| "is no time: write 90, 10m or 2h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_times_are_read_as_people_write_them() {
        let v6: IpAddr = "fd00::1".parse().unwrap();
        assert_eq!(server("192.168.12.2:80"), Ok(([192, 168, 12, 2].into(), Some(80))));
        assert_eq!(server("192.168.12.2"), Ok(([192, 168, 12, 2].into(), None)));
        assert_eq!(server("[fd00::1]:80"), Ok((v6, Some(80))));
        assert_eq!((server("[fd00::1]"), server("fd00::1")), (Ok((v6, None)), Ok((v6, None))));
        assert!(server("web1").is_err() && server("10.0.0.1:").is_err());
        for (text, seconds) in [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400)] {
            assert_eq!(lasts(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "m", "0", "-1", "1w", "99999999999"] {
            assert!(lasts(text).is_err(), "{text}");
        }
    }
}
