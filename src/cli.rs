//! The command line: which role or tool this process becomes. The options, exactly stock's, are read in `getopt`; the
//! exit codes are [`Exit`]. spec/daemon-behaviour.md §2.
//!
//! Our subcommands are known by the first word alone: stock has none, and its options begin with a dash.

mod completions; // for shells
mod getopt; // stock's options
mod man; // keepalived-rs(8)

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use getopt::{Asked, SWITCHES, Switch, Value, read};

use crate::daemon::COMPATIBLE;
use crate::daemon::child::{self, Assignment};
pub use crate::daemon::exit::Exit;
use crate::daemon::parent;
use crate::kernel::process;
use crate::tools;

/// Becomes one role or one tool.
pub fn main() -> ExitCode {
    process::ignore_requests();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let assignment = Assignment::of_this_process();
    if assignment.is_none() {
        if let Some(words) = genhash_words(&arguments) {
            return tools::genhash::run(words).into();
        }
        if let Some(exit) = tools::run(&arguments) {
            return exit.into();
        }
        if let Some((first, rest)) = arguments.split_first()
            && first == completions::NAME
        {
            return completions::run(rest).into();
        }
    }
    let exit = match (assignment, read(arguments)) {
        (None, Ok(Asked::Daemon(command))) => {
            for remark in &command.remarks {
                say(remark);
            }
            if !command.surplus.is_empty() {
                // Where stock says it, and nobody can be told that stdout is gone.
                let _ = writeln!(std::io::stdout(), "Unexpected argument(s): {}", command.surplus);
            }
            parent::run(command.options)
        }
        (Some(Ok(assignment)), Ok(Asked::Daemon(command))) => child::run(&assignment, command.options),
        (Some(Err(error)), _) => {
            say(&error.to_string());
            Exit::Usage
        }
        (_, Ok(Asked::Text(text))) => {
            print(&text);
            Exit::Success
        }
        (_, Ok(Asked::Signal(number))) => {
            // Nobody can be told that stdout is gone.
            let _ = writeln!(std::io::stdout(), "{number}");
            Exit::Success
        }
        (_, Ok(Asked::Genhash(words))) => {
            say("Warning -- `-T` not used as first option, previous options ignored");
            return tools::genhash::run(&words).into();
        }
        (_, Err(complaint)) => {
            say(&complaint);
            Exit::Usage
        }
    };
    exit.into()
}

/// The words for genhash, where stock is genhash: under that name, or with the option before all others.
fn genhash_words(arguments: &[OsString]) -> Option<&[OsString]> {
    let name = std::env::args_os().next().unwrap_or_default();
    if Path::new(&name).file_name().is_some_and(|name| name == "genhash") {
        return Some(arguments);
    }
    let (first, rest) = arguments.split_first()?;
    (first == "-T" || first == "--genhash").then_some(rest)
}

fn say(text: &str) {
    print(&format!("keepalived-rs: {text}\n"));
}

fn print(text: &str) {
    // Nobody can be told that stderr is gone.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Parsers take the second word of the first line for the version, and look for `--enable-json`.
fn version() -> String {
    format!(
        "Keepalived {COMPATIBLE}\n\n\
         keepalived-rs {}, does what this release of keepalived does; MIT or Apache-2.0\n\n\
         configure options: --enable-json\n\n\
         Config options:  LVS VRRP VRRP_AUTH JSON\n\n\
         System options:  IPV4 IPV6 IPVS_NETLINK SYSTEMD_NOTIFY\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn help() -> String {
    let mut text = String::from("Usage: keepalived-rs [OPTION]...\n");
    for tool in tools::TOOLS {
        let _ = writeln!(text, "       keepalived-rs {}", tool.usage);
    }
    let _ = writeln!(text, "       keepalived-rs {}", completions::USAGE);
    text.push('\n');
    for Switch { short, long, value, name, help } in SWITCHES {
        let short = short.map_or_else(|| "    ".to_owned(), |letter| format!("-{}, ", char::from(letter)));
        let value = match value {
            Value::No => String::new(),
            Value::Required => format!("={name}"),
            Value::Optional => format!("[={name}]"),
        };
        let option = format!("{short}--{long}{value}");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {option:<38} {help}");
    }
    text
}
