//! Reads the command line and becomes one role or one tool.

fn main() -> std::process::ExitCode {
    keepalived_rs::cli::main()
}
