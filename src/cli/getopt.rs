//! Stock's options, read as C's `getopt_long` reads them, because that is what init scripts were written against: clusters
//! (`-nlf/etc/a`), unambiguous abbreviations (`--log-c`), values attached only where they are optional (`-tFILE`),
//! options behind other words, the last of a repeated option. spec/daemon-behaviour.md §2.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::{help, version};
use crate::daemon::options::{ConfigTest, Facility, Options};
use crate::kernel::process;

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// To be the daemon, or to test its configuration.
    Daemon(Box<CommandLine>),
    /// To print this on stderr.
    Text(String),
    /// To print this signal number on stdout.
    Signal(i32),
    /// To be genhash, with these words.
    Genhash(Vec<OsString>),
}

/// A command line that was understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CommandLine {
    pub(super) options: Options,
    /// What the user should know: values that mean nothing, options without effect here.
    pub(super) remarks: Vec<String>,
    /// Words that are no options.
    pub(super) surplus: String,
    /// What cannot be understood; the options behind it are read all the same, as getopt's users do.
    pub(super) complaints: Vec<String>,
}

/// Does an option take a value?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    No,
    /// Attached or the next word.
    Required,
    /// Attached only.
    Optional,
}

/// One option.
pub(super) struct Switch {
    pub(super) short: Option<u8>,
    pub(super) long: &'static str,
    pub(super) value: Value,
    /// The value's name in the help.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
}

const fn switch(
    short: Option<u8>,
    long: &'static str,
    value: Value,
    name: &'static str,
    help: &'static str,
) -> Switch {
    Switch { short, long, value, name, help }
}

/// Every option, in the order of the help.
pub(super) const SWITCHES: &[Switch] = &[
    switch(Some(b'f'), "use-file", Value::Required, "FILE", "Read this configuration file"),
    switch(Some(b'P'), "vrrp", Value::No, "", "Run VRRP only, no health checks"),
    switch(Some(b'C'), "check", Value::No, "", "Run health checks only, no VRRP"),
    switch(Some(b'B'), "no_bfd", Value::No, "", "Do not run BFD"),
    switch(None, "all", Value::No, "", "Run every child, whatever the configuration needs"),
    switch(Some(b'l'), "log-console", Value::No, "", "With -n: log to stderr too"),
    switch(Some(b'D'), "log-detail", Value::No, "", "Log in detail; twice: in more detail"),
    switch(
        Some(b'S'),
        "log-facility",
        Value::Required,
        "FACILITY",
        "Log to 0-7, local0-local7, daemon or user",
    ),
    switch(Some(b'g'), "log-file", Value::Optional, "FILE", "Log to a file, too; each child beside it"),
    switch(None, "flush-log-file", Value::No, "", "Accepted: lines are always written at once"),
    switch(Some(b'G'), "no-syslog", Value::No, "", "Do not log to syslog"),
    switch(Some(b'u'), "umask", Value::Required, "MASK", "Mask of file modes, 0 to 0777 (default 0177)"),
    switch(
        Some(b'X'),
        "release-vips",
        Value::No,
        "",
        "Remove virtual addresses on leaving, known as set or not",
    ),
    switch(Some(b'V'), "dont-release-vrrp", Value::No, "", "Keep addresses and send nothing at stop"),
    switch(Some(b'I'), "dont-release-ipvs", Value::No, "", "Keep the IPVS table at stop"),
    switch(Some(b'R'), "dont-respawn", Value::No, "", "End when a child dies"),
    switch(Some(b'n'), "dont-fork", Value::No, "", "Stay in the foreground"),
    switch(Some(b'd'), "dump-conf", Value::No, "", "Log the configuration as understood"),
    switch(Some(b'p'), "pid", Value::Required, "FILE", "Pid file of the parent process"),
    switch(Some(b'r'), "vrrp_pid", Value::Required, "FILE", "Pid file of the VRRP process"),
    switch(Some(b'c'), "checkers_pid", Value::Required, "FILE", "Pid file of the checker process"),
    switch(Some(b'b'), "bfd_pid", Value::Required, "FILE", "Pid file of the BFD process"),
    switch(Some(b'a'), "address-monitoring", Value::No, "", "Log every change of addresses"),
    switch(Some(b's'), "namespace", Value::Required, "NAME", "Run in this network namespace"),
    switch(Some(b'i'), "config-id", Value::Required, "ID", "Take lines that begin with @ID, too"),
    switch(Some(b'e'), "all-config", Value::No, "", "Refuse includes that match no file"),
    switch(Some(b'x'), "snmp", Value::No, "", "Enable all of SNMP but traps"),
    switch(Some(b'A'), "snmp-agent-socket", Value::Required, "SOCKET", "AgentX socket of SNMP"),
    switch(Some(b'm'), "core-dump", Value::No, "", "Allow core dumps"),
    switch(
        Some(b'M'),
        "core-dump-pattern",
        Value::Optional,
        "PATTERN",
        "Allow core dumps; set their pattern (default core) until the end",
    ),
    switch(
        Some(b't'),
        "config-test",
        Value::Optional,
        "FILE",
        "Test the configuration; append findings to FILE",
    ),
    switch(
        None,
        "signum",
        Value::Required,
        "NAME",
        "Print the number of a signal: STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON",
    ),
    switch(None, "ignore-sigint", Value::No, "", "Ignore SIGINT (for debuggers)"),
    switch(None, "perf", Value::Optional, "WHEN", "Accepted; for developers of stock"),
    switch(None, "debug", Value::Optional, "WHAT", "Accepted; for developers of stock, see -D"),
    switch(None, "no-mem-check", Value::No, "", "Accepted; there is no memory check to switch off"),
    switch(None, "config-fd", Value::Required, "N", "Accepted; stock's own, between its processes"),
    switch(Some(b'T'), "genhash", Value::No, "", "Be genhash; before all other options"),
    switch(Some(b'v'), "version", Value::No, "", "Print the version"),
    switch(Some(b'h'), "help", Value::No, "", "Print this"),
];

/// Reads the arguments behind the program's name. The error is what to tell the user.
pub(super) fn read(arguments: Vec<OsString>) -> Result<Asked, String> {
    let mut command = CommandLine::default();
    let mut surplus: Vec<OsString> = Vec::new();
    let mut rest = arguments.into_iter();
    while let Some(word) = rest.next() {
        let done = match word.as_bytes() {
            b"--" => {
                surplus.extend(rest.by_ref());
                None
            }
            [b'-', b'-', long @ ..] => read_long(long, &mut rest, &mut command),
            [b'-', cluster @ ..] if !cluster.is_empty() => read_cluster(cluster, &mut rest, &mut command),
            _ => {
                surplus.push(word);
                None
            }
        };
        if let Some(done) = done {
            return done;
        }
    }
    if !command.complaints.is_empty() {
        return Err(command.complaints.join("\nkeepalived-rs: "));
    }
    let words: Vec<_> = surplus.iter().map(|word| word.to_string_lossy()).collect();
    command.surplus = words.join(" ");
    Ok(Asked::Daemon(Box::new(command)))
}

/// One `--option`, `--option=VALUE` or `--option VALUE`. `Some` ends the reading.
fn read_long(
    long: &[u8],
    rest: &mut impl Iterator<Item = OsString>,
    command: &mut CommandLine,
) -> Option<Result<Asked, String>> {
    let (name, attached) = match long.iter().position(|byte| *byte == b'=') {
        Some(at) => (&long[..at], Some(long[at + 1..].to_vec())),
        None => (long, None),
    };
    let found = match by_long_name(name) {
        Ok(found) => found,
        Err(complaint) => {
            command.complaints.push(complaint);
            return None;
        }
    };
    let value = match (found.value, attached) {
        (Value::No, Some(_)) => {
            command.complaints.push(format!("option '--{}' takes no value", found.long));
            return None;
        }
        (Value::Required, None) => rest.next(),
        (_, attached) => attached.map(OsString::from_vec),
    };
    apply(found, &format!("--{}", found.long), value.as_deref(), rest, command)
}

/// One word of options of one letter: `-nlf/etc/a`. `Some` ends the reading.
fn read_cluster(
    mut cluster: &[u8],
    rest: &mut impl Iterator<Item = OsString>,
    command: &mut CommandLine,
) -> Option<Result<Asked, String>> {
    while let [letter, behind @ ..] = cluster {
        let shown = char::from(*letter).escape_default();
        let Some(found) = SWITCHES.iter().find(|switch| switch.short == Some(*letter)) else {
            command.complaints.push(format!("unknown option '-{shown}': -h lists them"));
            cluster = behind;
            continue;
        };
        let attached = (!behind.is_empty()).then(|| OsString::from_vec(behind.to_vec()));
        let value = match (found.value, attached) {
            (Value::No, _) => None,
            (Value::Required, None) => rest.next(),
            (_, attached) => attached,
        };
        cluster = if found.value == Value::No { behind } else { &[] };
        if let Some(done) = apply(found, &format!("-{shown}"), value.as_deref(), rest, command) {
            return Some(done);
        }
    }
    None
}

fn missing(option: &str) -> String {
    format!("option '{option}' needs a value: -h tells which")
}

/// The option of this name, or the only one that begins so.
fn by_long_name(name: &[u8]) -> Result<&'static Switch, String> {
    if let Some(exact) = SWITCHES.iter().find(|switch| switch.long.as_bytes() == name) {
        return Ok(exact);
    }
    let shown = String::from_utf8_lossy(name);
    let begin: Vec<_> = SWITCHES.iter().filter(|switch| switch.long.as_bytes().starts_with(name)).collect();
    match begin[..] {
        [only] => Ok(only),
        [] => {
            let near = SWITCHES
                .iter()
                .map(|switch| (strsim::jaro_winkler(switch.long, &shown), switch.long))
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .filter(|(likeness, _)| *likeness > 0.85);
            Err(match near {
                Some((_, near)) => format!("unknown option '--{shown}': did you mean '--{near}'?"),
                None => format!("unknown option '--{shown}': -h lists them"),
            })
        }
        _ => {
            let all: Vec<_> = begin.iter().map(|switch| format!("--{}", switch.long)).collect();
            Err(format!("option '--{shown}' can be {}", all.join(" or ")))
        }
    }
}

/// Takes one option over, written like `shown`. `Some` ends the reading, as stock's loop ends at `-v`.
fn apply(
    found: &Switch,
    shown: &str,
    value: Option<&OsStr>,
    rest: &mut impl Iterator<Item = OsString>,
    command: &mut CommandLine,
) -> Option<Result<Asked, String>> {
    if found.value == Value::Required && value.is_none_or(OsStr::is_empty) {
        command.complaints.push(missing(shown));
        return None;
    }
    let options = &mut command.options;
    let mut remark = |text: String| command.remarks.push(text);
    let path = || value.map(PathBuf::from);
    let text = || value.map(OsStr::to_string_lossy).unwrap_or_default();
    match found.long {
        "use-file" => options.config = path(),
        "vrrp" => options.subsystems.no_checkers = true,
        "check" => options.subsystems.no_vrrp = true,
        "no_bfd" => options.subsystems.no_bfd = true,
        "all" => options.subsystems.all = true,
        "log-console" => options.log.console = true,
        "log-detail" => options.log.detail = options.log.detail.saturating_add(1),
        "log-facility" => match Facility::parse(&text()) {
            Some(facility) => options.log.facility = facility,
            None => remark(format!(
                "Invalid log facility '{}': none of 0-7, local0-local7, daemon, user; going on with daemon",
                text()
            )),
        },
        "log-file" => options.log_file = Some(path().unwrap_or_else(|| DEFAULT_LOG_FILE.into())),
        // Every line is written at once; stock's processes hand their configuration over with the last.
        "flush-log-file" | "no-mem-check" | "config-fd" => {}
        "no-syslog" => options.log.no_syslog = true,
        "umask" => match mask(&text()) {
            Some(mask) => options.umask = Some(mask),
            None => remark(format!(
                "Invalid --umask option {}: no number from 0 to 0777 (0x…, 0…, or decimal); ignored",
                text()
            )),
        },
        "release-vips" => options.release_vips = true,
        "dont-release-vrrp" => options.keep_vrrp = true,
        "dont-release-ipvs" => options.keep_ipvs = true,
        "dont-respawn" => options.dont_respawn = true,
        "dont-fork" => options.dont_fork = true,
        "dump-conf" => options.dump_config = true,
        "pid" => options.pid_files.parent = path(),
        "vrrp_pid" => options.pid_files.vrrp = path(),
        "checkers_pid" => options.pid_files.checkers = path(),
        "bfd_pid" => options.pid_files.bfd = path(),
        "address-monitoring" => options.address_monitoring = true,
        "namespace" => options.namespace = Some(text().into_owned()),
        "config-id" => options.config_id = Some(text().into_owned()),
        "all-config" => options.include_check = true,
        "snmp" => options.snmp = true,
        "snmp-agent-socket" => options.snmp_socket = Some(text().into_owned()),
        "core-dump" => options.core_dump = true,
        "core-dump-pattern" => {
            options.core_dump = true;
            options.core_pattern = Some(path().unwrap_or_else(|| "core".into()));
        }
        "config-test" => {
            options.config_test = Some(path().map_or(ConfigTest::Stderr, ConfigTest::File));
            options.dont_fork = true;
            options.dont_respawn = true;
            options.log.no_syslog = true;
        }
        "signum" => {
            return Some(match signal_number(&text()) {
                Some(number) => Ok(Asked::Signal(number)),
                None => Err(format!("Unknown sigfunc {}", text())),
            });
        }
        "ignore-sigint" => options.ignore_sigint = true,
        "perf" | "debug" => remark(format!("--{} is for stock's developers: no effect, see -D", found.long)),
        "genhash" => return Some(Ok(Asked::Genhash(rest.collect()))),
        "version" => return Some(Ok(Asked::Text(version()))),
        "help" => return Some(Ok(Asked::Text(help()))),
        other => command.complaints.push(format!("a bug: option '--{other}' is listed and does nothing")),
    }
    None
}

/// Where `-g` logs without a name.
const DEFAULT_LOG_FILE: &str = "/tmp/keepalived.log";

/// A number in C's notation, at most 0777.
fn mask(text: &str) -> Option<u32> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None if text.starts_with('0') => u32::from_str_radix(text, 8),
        None => text.parse(),
    };
    number.ok().filter(|mask| *mask <= 0o777)
}

fn signal_number(name: &str) -> Option<i32> {
    Some(match name {
        "STOP" => libc::SIGTERM,
        "RELOAD" => libc::SIGHUP,
        "DATA" => libc::SIGUSR1,
        "STATS" => libc::SIGUSR2,
        "STATS_CLEAR" => process::stats_clear_signal(),
        "JSON" => process::json_signal(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(words: &[&str]) -> Result<Asked, String> {
        read(words.iter().map(OsString::from).collect())
    }

    fn options(words: &[&str]) -> Options {
        match reading(words) {
            Ok(Asked::Daemon(command)) if command.remarks.is_empty() && command.surplus.is_empty() => {
                command.options
            }
            other => panic!("{words:?}: {other:?}"),
        }
    }

    fn complaint(words: &[&str]) -> String {
        reading(words).expect_err(&format!("{words:?} is understood"))
    }

    #[test]
    fn clusters_and_attached_values_are_read_as_getopt_does() {
        let read = options(&["-nlDDf/etc/a", "-p", "/run/x", "--vrrp_pid=/run/y"]);
        assert!(read.dont_fork && read.log.console);
        assert_eq!(read.log.detail, 2);
        assert_eq!(read.config, Some("/etc/a".into()));
        assert_eq!(read.pid_files.parent, Some("/run/x".into()));
        assert_eq!(read.pid_files.vrrp, Some("/run/y".into()));
    }

    #[test]
    fn abbreviations_work_while_they_are_unambiguous() {
        assert!(options(&["--log-c"]).log.console);
        assert_eq!(options(&["--use", "x"]).config, Some("x".into()));
        assert!(complaint(&["--log"]).contains("--log-console or --log-detail"));
        // `check` is whole, though `checkers_pid` begins with it.
        assert!(options(&["--check"]).subsystems.no_vrrp);
    }

    #[test]
    fn the_last_of_a_repeated_option_counts() {
        assert_eq!(options(&["-f", "a", "-f", "b"]).config, Some("b".into()));
    }

    #[test]
    fn an_optional_value_is_only_taken_when_attached() {
        let file = Some(ConfigTest::File("x".into()));
        assert_eq!(options(&["-tx"]).config_test, file);
        assert_eq!(options(&["--config-test=x"]).config_test, file);
        let read = reading(&["-t", "x"]);
        let Ok(Asked::Daemon(command)) = read else { panic!("{read:?}") };
        assert_eq!(command.options.config_test, Some(ConfigTest::Stderr));
        assert_eq!(command.surplus, "x");
    }

    #[test]
    fn a_test_stays_in_the_foreground_and_away_from_syslog() {
        let read = options(&["-t"]);
        assert!(read.dont_fork && read.dont_respawn && read.log.no_syslog);
    }

    #[test]
    fn what_cannot_be_understood_is_refused_by_name() {
        assert!(complaint(&["-z"]).contains("'-z'"));
        assert!(complaint(&["--us-file"]).contains("did you mean '--use-file'?"));
        assert!(complaint(&["-f"]).contains("'-f' needs a value"));
        assert!(complaint(&["--pid"]).contains("'--pid' needs a value"));
        assert!(complaint(&["--vrrp=1"]).contains("takes no value"));
        assert!(complaint(&["--signum="]).contains("'--signum' needs a value"));
        // All of it, not only the first.
        let all = complaint(&["-zy", "--nonsense"]);
        assert!(all.contains("'-z'") && all.contains("'-y'") && all.contains("--nonsense"), "{all}");
    }

    #[test]
    fn values_that_mean_nothing_are_named_and_ignored() {
        for words in [&["-S", "9"][..], &["-S", "mail"], &["-u", "01000"], &["-u", "abc"]] {
            let read = reading(words);
            let Ok(Asked::Daemon(command)) = read else { panic!("{words:?}: {read:?}") };
            assert_eq!(command.options, Options::default(), "{words:?}");
            assert!(command.remarks[0].contains(words[1]), "{:?}", command.remarks);
        }
    }

    #[test]
    fn version_and_help_are_told_beside_what_cannot_be_understood() {
        assert!(matches!(reading(&["-Zv"]), Ok(Asked::Text(_))));
        assert!(matches!(reading(&["--nonsense", "-h"]), Ok(Asked::Text(_))));
    }

    #[test]
    fn genhash_takes_the_words_behind_it() {
        let words = vec![OsString::from("-s"), OsString::from("a")];
        assert_eq!(reading(&["-t", "-T", "-s", "a"]), Ok(Asked::Genhash(words)));
    }

    #[test]
    fn a_mask_is_read_in_any_base() {
        for (text, value) in [("0", Some(0)), ("022", Some(0o22)), ("18", Some(18)), ("0x3f", Some(63))] {
            assert_eq!(mask(text), value, "{text}");
        }
        for wrong in ["01000", "512", "", "-1", "089", "0x", "x"] {
            assert_eq!(mask(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn signals_have_stocks_numbers() {
        for (name, number) in
            [("STOP", 15), ("RELOAD", 1), ("DATA", 10), ("STATS", 12), ("STATS_CLEAR", 63), ("JSON", 36)]
        {
            assert_eq!(reading(&["--signum", name]), Ok(Asked::Signal(number)));
        }
        assert_eq!(complaint(&["--signum=NOPE"]), "Unknown sigfunc NOPE");
    }

    #[test]
    fn every_listed_option_is_carried_out() {
        for switch in SWITCHES {
            let value = (switch.value != Value::No).then_some(OsStr::new("1"));
            let mut command = CommandLine::default();
            apply(switch, "", value, &mut std::iter::empty(), &mut command);
            assert!(command.complaints.is_empty(), "--{}: {:?}", switch.long, command.complaints);
        }
    }

    #[test]
    fn the_second_word_of_the_version_is_a_version() {
        assert_eq!(version().split_whitespace().nth(1), Some("v2.4.3"));
    }
}
