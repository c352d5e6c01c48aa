//! The command line: stock's options exactly, plus our subcommands; the exit codes, listed once.

use std::process::ExitCode;

/// Becomes one role or one tool.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
