//! `-t`: reads the configuration, says what there is to say, ends. spec/config-language.md §10.

use std::io::Write;

use super::configuration::{Source, style_of_stderr};
use super::exit::Exit;
use super::options::{ConfigTest, Options};
use super::reload_words::append;
use crate::config::render::Style;
use crate::config::value::Mode;
use crate::kernel::error::Error;

/// Tests the configuration.
pub fn run(options: &Options, to: &ConfigTest) -> Exit {
    let mut source = match Source::new(options) {
        Ok(source) => source,
        Err(error) => return failed(&error),
    };
    let read = match source.read(Mode::ConfigTest) {
        Ok(read) => read,
        // Stock ends without a word.
        Err(_) if source.lost_namespace().is_some() => return Exit::Success,
        Err(error) => return failed(&error),
    };
    let said = match to {
        ConfigTest::Stderr => std::io::stderr().write_all(read.rendered(style_of_stderr()).as_bytes()),
        ConfigTest::File(path) => append(path, &read.rendered(Style::Plain)),
    };
    if let (Err(error), ConfigTest::File(path)) = (said, to) {
        // Findings nobody can read: the code still tells.
        let text =
            format!("keepalived-rs: Unable to open config-test log file {}: {error}\n", path.display());
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    let exit = read.test_exit();
    // The process ends here: taking tens of thousands of servers apart first would help nobody.
    std::mem::forget(read);
    exit
}

fn failed(error: &Error) -> Exit {
    // Nobody can be told that stderr is gone.
    let _ = writeln!(std::io::stderr(), "keepalived-rs: {error}");
    Exit::Internal
}
