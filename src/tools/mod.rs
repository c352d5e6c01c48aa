//! Subcommands beside the daemon. Each is known by the first word of the command line.

pub mod check; // reads configurations and says everything there is to say about them
pub mod drain; // real servers out of service and back
mod effective; // a configuration as it holds, as text and JSON
pub mod explain; // what a keyword means, and what holds
pub mod findings; // diagnostics as JSON and SARIF, for programs
pub mod genhash; // the MD5 of a page
mod json_schema; // of a configuration as it holds
pub mod man; // the manual page of the configuration

use std::ffi::OsString;
use std::io::Write as _;

use clap::error::ErrorKind;
use clap::{ArgMatches, Command};

use crate::daemon::exit::Exit;

/// A subcommand.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// The first word.
    pub name: &'static str,
    /// The whole line, for the help.
    pub usage: &'static str,
    /// Its arguments.
    pub command: fn() -> Command,
    run: fn(&[OsString]) -> Exit,
}

/// Every subcommand.
pub const TOOLS: &[Tool] = &[
    Tool { name: "check", usage: check::USAGE, command: check::command, run: check::run },
    Tool { name: "drain", usage: drain::USAGE, command: drain::command, run: drain::run },
    Tool { name: "explain", usage: explain::USAGE, command: explain::command, run: explain::run },
    Tool { name: "genhash", usage: genhash::USAGE, command: genhash::command, run: genhash::run },
];

/// Runs the subcommand that the arguments begin with, if they do.
pub fn run(arguments: &[OsString]) -> Option<Exit> {
    let (first, rest) = arguments.split_first()?;
    let tool = TOOLS.iter().find(|tool| first == tool.name)?;
    Some((tool.run)(rest))
}

/// Writes the outcome of a tool.
pub(crate) fn print(text: &str) {
    // Who closes the pipe (`| head`) has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Reads the words of a tool as its clap command says. The error is how the tool ends: help was asked for and given, or
/// the words cannot be understood.
pub(crate) fn arguments(command: Command, words: &[OsString]) -> Result<ArgMatches, Exit> {
    command.no_binary_name(true).try_get_matches_from(words).map_err(|error| {
        if error.kind() == ErrorKind::DisplayHelp {
            print(&error.to_string());
            return Exit::Success;
        }
        // Nobody can be told that stderr is gone.
        let _ = write!(std::io::stderr(), "{error}");
        Exit::Usage
    })
}

/// Says why a tool cannot do what it was asked for.
fn refuse(tool: &str, complaint: &str) -> Exit {
    // Nobody can be told that stderr is gone.
    let _ = writeln!(std::io::stderr(), "keepalived-rs {tool}: {complaint}");
    Exit::Usage
}
