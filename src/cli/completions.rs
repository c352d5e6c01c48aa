//! `completions SHELL`: what a shell needs to complete the command line, from the same table of options and the same
//! subcommands that are read. `completions man` is the manual page, for packages.

use std::ffi::OsString;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::{Shell, generate};

use super::getopt::{SWITCHES, Switch, Value};
use super::man;
use crate::daemon::exit::Exit;
use crate::tools::{self, TOOLS};

/// The first word.
pub(super) const NAME: &str = "completions";
/// The line in the help.
pub(super) const USAGE: &str = "completions bash|zsh|fish|man";

const SHELLS: [(&str, Shell); 3] = [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)];

/// Prints the completions that the words ask for.
pub(super) fn run(words: &[OsString]) -> Exit {
    let matches = match tools::arguments(command(), words) {
        Ok(matches) => matches,
        Err(exit) => return exit,
    };
    let asked = matches.get_one::<String>("shell");
    if asked.is_some_and(|asked| asked == "man") {
        tools::print(&man::page());
        return Exit::Success;
    }
    let shell = SHELLS.iter().find(|(name, _)| asked.is_some_and(|asked| asked == name));
    if let Some((_, shell)) = shell {
        tools::print(&text(*shell));
    }
    Exit::Success
}

fn command() -> Command {
    Command::new("keepalived-rs completions").about("Prints completions for a shell").arg(
        Arg::new("shell")
            .value_name("SHELL")
            .required(true)
            .value_parser(PossibleValuesParser::new(SHELLS.iter().map(|(name, _)| *name).chain(["man"])))
            .help("The shell; or man for the manual page"),
    )
}

fn text(shell: Shell) -> String {
    let mut text = Vec::new();
    generate(shell, &mut whole(), "keepalived-rs", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The whole command line as clap would see it.
fn whole() -> Command {
    let inner = TOOLS.iter().map(|tool| (tool.command)().name(tool.name));
    Command::new("keepalived-rs")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(SWITCHES.iter().map(option))
        .subcommands(inner)
        .subcommand(command().name(NAME))
}

fn option(switch: &Switch) -> Arg {
    let Switch { short, long, value, name, help } = switch;
    let arg = Arg::new(*long).long(*long).help(*help);
    let arg = match short {
        Some(letter) => arg.short(char::from(*letter)),
        None => arg,
    };
    let hint = if matches!(*name, "FILE" | "SOCKET") { ValueHint::FilePath } else { ValueHint::Other };
    match value {
        Value::No => arg.action(ArgAction::SetTrue),
        Value::Required => arg.value_name(*name).value_hint(hint),
        Value::Optional => arg.value_name(*name).num_args(0..=1).require_equals(true).value_hint(hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_every_option_and_subcommand() {
        whole().debug_assert();
        for (name, shell) in SHELLS {
            let text = text(shell);
            for switch in SWITCHES {
                assert!(text.contains(switch.long), "{name}: {}", switch.long);
            }
            for word in ["check", "explain", "effective", "sarif", NAME] {
                assert!(text.contains(word), "{name}: {word}");
            }
        }
    }
}
