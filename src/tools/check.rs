//! `check`: reads configurations as `-t` does, and says what it finds as text, JSON or SARIF on stdout.
//!
//! It ends as `-t` would with the gravest of the files; `--strict` makes errors of the warnings that `-t` does not
//! count. Nothing is started and nothing changed.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command};

use super::findings::{self, Finding};
use super::{arguments, print, refuse};
use crate::config::diagnostic::{Class, Diagnostic, Severity};
use crate::config::lint::{LINTS, Lints, REPORTS, nodes};
use crate::config::model::HostFacts;
use crate::config::preprocess::{IncludeChecks, ReadOptions};
use crate::config::render::{self, Style};
use crate::config::source::decode;
use crate::config::value::Mode;
use crate::config::{self, Loaded};
use crate::daemon::configuration::{DEFAULT, Past, damage};
use crate::daemon::exit::Exit;
use crate::kernel::files::HostFiles;
use crate::kernel::host::{self, HostUsers};

/// The line in the help.
pub const USAGE: &str = "check [-f FILE...] [--each] [--running FILE] [--strict] [--allow LINT] [--format text|json|sarif] [-i ID] [-e]";

const CODES: &str = "\
Ends with the code that keepalived-rs -t would end with, the gravest of all files: 0 when nothing is wrong or only
warned of, 5 for errors in the configuration, 2 where reading stops, 4 for unreadable files and some interfaces, 6 for
insecure scripts and failed include checks. What is silenced does not count. Lints are warnings;
`keepalived-rs explain --lints` lists them.

Several files are taken for the nodes of one cluster and held against each other, unless --each says otherwise.
A lint is silenced with --allow, or in the file: `@keepalived-rs allow LINT` inside a block for this block, outside any
block for the whole file. keepalived skips such lines.";

pub(super) fn command() -> Command {
    let value = |name: &'static str, id: &'static str| Arg::new(id).value_name(name);
    let path = || clap::value_parser!(OsString);
    Command::new("keepalived-rs check")
        .about("Reads configurations and says everything there is to say about them")
        .after_help(CODES)
        .arg(
            value("FILE", "use-file")
                .short('f')
                .long("use-file")
                .num_args(1..)
                .action(ArgAction::Append)
                .value_parser(path())
                .help("The file to check, or those of all nodes [default: /etc/keepalived/keepalived.conf]"),
        )
        .arg(value("FILE", "files").num_args(0..).value_parser(path()).help("The same"))
        .arg(
            Arg::new("each")
                .long("each")
                .action(ArgAction::SetTrue)
                .help("Check each file for itself: they are no nodes of one cluster"),
        )
        .arg(
            value("FILE", "running")
                .long("running")
                .value_parser(path())
                .help("What the daemon runs with: would it refuse a reload?"),
        )
        .arg(Arg::new("strict").long("strict").action(ArgAction::SetTrue).help("Warnings are errors"))
        .arg(
            value("LINT", "allow")
                .long("allow")
                .action(ArgAction::Append)
                .value_parser(PossibleValuesParser::new(LINTS.iter().chain(REPORTS).map(|lint| lint.id)))
                .hide_possible_values(true)
                .help("Say nothing about this"),
        )
        .arg(
            value("FORMAT", "format")
                .long("format")
                .value_parser(["text", "json", "sarif"])
                .default_value("text")
                .help("How the outcome looks"),
        )
        .arg(
            value("ID", "config-id")
                .short('i')
                .long("config-id")
                .value_parser(path())
                .help("Take lines that begin with @ID, too"),
        )
        .arg(
            Arg::new("all-config")
                .short('e')
                .long("all-config")
                .action(ArgAction::SetTrue)
                .help("Refuse includes that match no file"),
        )
}

/// How the outcome looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Format {
    #[default]
    Text,
    Json,
    Sarif,
}

/// How warnings count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Warnings {
    #[default]
    Warn,
    AreErrors,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Request {
    /// As paths in the encoding of configurations.
    files: Vec<String>,
    format: Format,
    warnings: Warnings,
    /// What the daemon runs with.
    running: Option<String>,
    /// The files are no nodes of one cluster.
    each: bool,
    config_id: Option<String>,
    all_config: bool,
    /// Lints that are not wanted.
    allowed: Vec<String>,
}

/// Checks what the words ask for.
pub fn run(words: &[OsString]) -> Exit {
    let request = match Request::read(words) {
        Ok(request) => request,
        Err(exit) => return exit,
    };
    let facts = match host::facts() {
        Ok(facts) => facts,
        Err(error) => {
            refuse("check", &error.to_string());
            return Exit::Internal;
        }
    };
    let mut gravest = Class::None;
    let mut all: Vec<Finding> = Vec::new();
    let mut nodes: Vec<Loaded> = request.files.iter().map(|file| request.load(file, &facts)).collect();
    if !request.each {
        nodes::compare(&mut nodes);
    }
    if let Some(running) = &request.running {
        let running = request.load(running, &facts);
        for node in &mut nodes {
            judge_reload(node, &running);
        }
    }
    for (file, mut loaded) in request.files.iter().zip(nodes) {
        // A lost namespace ends `-t` with 0, whatever else there is.
        let mut class = if loaded.test_exit == 0 { Class::None } else { loaded.diagnostics.class() };
        if request.warnings == Warnings::AreErrors {
            loaded.diagnostics.make_strict();
            class = loaded.diagnostics.class();
        }
        gravest = gravest.max(class);
        match request.format {
            Format::Text => print(&text(file, &loaded)),
            Format::Json | Format::Sarif => all.extend(findings::findings(&loaded)),
        }
    }
    match request.format {
        Format::Text => {}
        Format::Json => print(&findings::as_json(&all)),
        Format::Sarif => print(&findings::as_sarif(&all)),
    }
    match gravest.exit_code() {
        0 => Exit::Success,
        code => Exit::Test(code),
    }
}

impl Request {
    fn read(words: &[OsString]) -> Result<Self, Exit> {
        let matches = arguments(command(), words)?;
        let text = |word: &OsString| decode(word.as_bytes().to_vec());
        let named =
            ["use-file", "files"].into_iter().filter_map(|id| matches.get_many::<OsString>(id)).flatten();
        let mut files: Vec<String> = named.map(text).collect();
        if files.is_empty() {
            files.push(DEFAULT.to_owned());
        }
        Ok(Self {
            files,
            format: match matches.get_one::<String>("format").map(String::as_str) {
                Some("json") => Format::Json,
                Some("sarif") => Format::Sarif,
                _ => Format::Text,
            },
            warnings: if matches.get_flag("strict") { Warnings::AreErrors } else { Warnings::Warn },
            running: matches.get_one("running").map(text),
            each: matches.get_flag("each"),
            allowed: matches.get_many("allow").into_iter().flatten().cloned().collect(),
            config_id: matches.get_one("config-id").map(text),
            all_config: matches.get_flag("all-config"),
        })
    }

    fn load(&self, file: &str, facts: &HostFacts) -> Loaded {
        let short_name = facts.node_name.split('.').next().unwrap_or_default();
        let every = self.all_config;
        let options = ReadOptions {
            main: file.to_owned(),
            config_id: self.config_id.clone().unwrap_or_else(|| short_name.to_owned()),
            include_checks: IncludeChecks { read: every, plain: every, wildcard: every, brace: every },
            random_seed: crate::kernel::timer::now().as_nanos(),
        };
        let lints = Lints::Except(&self.allowed);
        config::load_linted(&HostFiles, &options, Mode::ConfigTest, facts, &HostUsers, lints)
    }
}

/// Adds what the daemon would say to a reload, by its own rule.
fn judge_reload(proposed: &mut Loaded, running: &Loaded) {
    let mut reasons = damage(proposed, &Past::of(running));
    reasons.extend(proposed.refusal.map(|code| format!("a daemon that starts with it ends with {code}")));
    if reasons.is_empty() {
        return;
    }
    let message = format!("a running daemon would refuse this reload: {}", reasons.join("; "));
    let report = Diagnostic::new(Severity::Warning, Class::None, "reload-refused", None, message)
        .help("mend what the other reports name")
        .stock("reloads, whatever comes of it, unless `reload_check_config` is set");
    if !proposed.linted.allowed.covers(&report, &proposed.sources) {
        proposed.diagnostics.push(report);
    }
}

/// The reports of one file and how many there are.
fn text(file: &str, loaded: &Loaded) -> String {
    let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let style = if coloured { Style::Coloured } else { Style::Plain };
    let mut text = render::render(&loaded.diagnostics, &loaded.sources, style);
    let reports = render::ordered(&loaded.diagnostics, &loaded.sources);
    let mut counts = Vec::new();
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        let count = reports.iter().filter(|(report, _)| report.severity == severity).count();
        if count > 0 {
            counts.push(format!("{count} {}{}", severity.word(), if count == 1 { "" } else { "s" }));
        }
    }
    let summary = if counts.is_empty() { "nothing to complain about".to_owned() } else { counts.join(", ") };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}: {summary}", render::clean(file));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(words: &[&str]) -> Request {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Request::read(&words).unwrap_or_else(|exit| panic!("{words:?}: {exit:?}"))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn files_are_named_with_or_without_the_option() {
        assert_eq!(request(&["-f", "a", "b", "-fc", "--use-file=d"]).files, ["a", "b", "c", "d"]);
        assert_eq!(request(&["a", "b"]).files, ["a", "b"]);
        assert_eq!(request(&[]).files, [DEFAULT]);
    }

    #[test]
    fn values_may_be_attached() {
        assert_eq!(request(&["--format=sarif"]).format, Format::Sarif);
        assert_eq!(request(&["--format", "json"]).format, Format::Json);
        assert_eq!(request(&["-inode1"]).config_id.as_deref(), Some("node1"));
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for words in
            [&["--format", "xml"][..], &["--format"], &["-f"], &["--strict=1"], &["-x"], &["--allow", "x"]]
        {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert_eq!(
                command().no_binary_name(true).try_get_matches_from(&words).map(|_| ()).map_err(|_| ()),
                Err(())
            );
        }
    }
}
