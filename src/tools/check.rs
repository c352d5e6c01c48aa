//! `check`: reads configurations as `-t` does, and says what it finds as text, JSON or SARIF on stdout.
//!
//! It ends as `-t` would with the gravest of the files; `--strict` makes errors of the warnings that `-t` does not
//! count. Nothing is started and nothing changed.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;

use super::findings::{self, Finding};
use super::{print, refuse};
use crate::config::diagnostic::{Class, Severity};
use crate::config::model::HostFacts;
use crate::config::preprocess::{IncludeChecks, ReadOptions};
use crate::config::render::{self, Style};
use crate::config::source::{decode, display};
use crate::config::value::Mode;
use crate::config::{self, Loaded};
use crate::daemon::configuration::DEFAULT;
use crate::daemon::exit::Exit;
use crate::kernel::files::HostFiles;
use crate::kernel::host::{self, HostUsers};

/// The line in the help.
pub const USAGE: &str = "check [-f FILE...] [--strict] [--format text|json|sarif] [-i ID] [-e]";

const HELP: &str = "\
Reads configurations and says everything there is to say about them.

  -f, --use-file=FILE...   the files, each for itself (default /etc/keepalived/keepalived.conf)
      --strict             warnings are errors
      --format=FORMAT      text, json or sarif
  -i, --config-id=ID       take lines that begin with @ID, too
  -e, --all-config         refuse includes that match no file
  -h, --help               print this

Ends with the code that keepalived-rs -t would end with, the gravest of all files: 0 when nothing is wrong or only
warned of, 5 for errors in the configuration, 2 where reading stops, 4 for interfaces and unreadable files, 6 for
insecure scripts and failed include checks.
";

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
    config_id: Option<String>,
    all_config: bool,
    help: bool,
}

/// Checks what the words ask for.
pub fn run(words: &[OsString]) -> Exit {
    let request = match Request::read(words) {
        Ok(request) if request.help => {
            print(&format!("Usage: keepalived-rs {USAGE}\n\n{HELP}"));
            return Exit::Success;
        }
        Ok(request) => request,
        Err(complaint) => return refuse("check", &complaint),
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
    for file in &request.files {
        let mut loaded = request.load(file, &facts);
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
    fn read(words: &[OsString]) -> Result<Self, String> {
        let mut request = Self::default();
        let mut rest = words.iter().map(|word| decode(word.as_bytes().to_vec()));
        while let Some(word) = rest.next() {
            let (name, attached) = split(&word);
            let mut value = || {
                attached
                    .map(str::to_owned)
                    .or_else(|| rest.next())
                    .ok_or_else(|| format!("option '{name}' needs a value: --help tells which"))
            };
            match name {
                "-f" | "--use-file" => request.files.push(value()?),
                "-i" | "--config-id" => request.config_id = Some(value()?),
                "--format" => {
                    request.format = match value()?.as_str() {
                        "text" => Format::Text,
                        "json" => Format::Json,
                        "sarif" => Format::Sarif,
                        other => {
                            return Err(format!("format '{}' is none of text, json, sarif", display(other)));
                        }
                    }
                }
                _ if attached.is_some() && name.starts_with("--") => {
                    return Err(format!("option '{}' is unknown or takes no value", display(name)));
                }
                "--strict" => request.warnings = Warnings::AreErrors,
                "-e" | "--all-config" => request.all_config = true,
                "-h" | "--help" => request.help = true,
                _ if name.starts_with('-') => {
                    return Err(format!("unknown option '{}': --help lists them", display(&word)));
                }
                _ => request.files.push(word),
            }
        }
        if request.files.is_empty() {
            request.files.push(DEFAULT.to_owned());
        }
        Ok(request)
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
        config::load(&HostFiles, &options, Mode::ConfigTest, facts, &HostUsers)
    }
}

/// An option and the value attached to it: `--format=json`, `-fFILE`.
fn split(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        return word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    }
    if (word.starts_with("-f") || word.starts_with("-i")) && word.len() > 2 {
        return (&word[..2], Some(&word[2..]));
    }
    (word, None)
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

    fn reading(words: &[&str]) -> Result<Request, String> {
        Request::read(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    fn request(words: &[&str]) -> Request {
        reading(words).unwrap_or_else(|complaint| panic!("{words:?}: {complaint}"))
    }

    #[test]
    fn files_are_named_with_or_without_the_option() {
        assert_eq!(request(&["-f", "a", "b", "-fc", "--use-file=d"]).files, ["a", "b", "c", "d"]);
        assert_eq!(request(&[]).files, [DEFAULT]);
    }

    #[test]
    fn values_may_be_attached() {
        assert_eq!(request(&["--format=sarif"]).format, Format::Sarif);
        assert_eq!(request(&["--format", "json"]).format, Format::Json);
        assert_eq!(request(&["-inode1"]).config_id.as_deref(), Some("node1"));
    }

    #[test]
    fn what_cannot_be_understood_is_refused_by_name() {
        for (words, part) in [
            (&["--format", "xml"][..], "'xml'"),
            (&["--format"], "'--format' needs a value"),
            (&["-f"], "'-f' needs a value"),
            (&["--strict=1"], "'--strict'"),
            (&["-x"], "'-x'"),
            (&["--strickt"], "'--strickt'"),
        ] {
            let complaint = reading(words).expect_err("is understood");
            assert!(complaint.contains(part), "{words:?}: {complaint}");
        }
    }
}
