//! `explain`: what a keyword means in each block that has it, from the keyword tables.
//!
//! `--unsupported` lists the words that are understood and not carried out yet; `--effective` shows a whole
//! configuration as it holds, `--schema` describes that as JSON.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;

use std::os::unix::ffi::OsStrExt;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::effective::{self, Shown};
use super::{arguments, json_schema, man, print, refuse};
use crate::config;
use crate::config::blocks;
use crate::config::blocks::settings::{self, SETTINGS, Setting};
use crate::config::catalogue::{Entry, entries, facts, setting_facts};
use crate::config::lint::{LINTS, Lint, REPORTS, find};
use crate::config::preprocess::{IncludeChecks, OUR_ID, ReadOptions};
use crate::config::render::{clean, log_lines};
use crate::config::schema::{Effect, Shape};
use crate::config::source::decode;
use crate::config::suggest::did_you_mean;
use crate::config::words::{self, FORMS, Form, LineWord};
use crate::daemon::configuration::DEFAULT;
use crate::daemon::exit::Exit;
use crate::kernel::files::HostFiles;
use crate::kernel::host::{self, HostUsers};

/// The line in the help.
pub const USAGE: &str = "explain WORD... | --effective [-f FILE] [PATH...] | --schema | --unsupported | --lints | \
                         --settings | --man";

pub(super) fn command() -> Command {
    let flag = |id: &'static str| Arg::new(id).long(id).action(ArgAction::SetTrue);
    Command::new("keepalived-rs explain")
        .about(
            "Says what a word of the configuration means: every block that has it, its argument with range and unit, \
             its default, and what happens when it is missing, wrong or repeated. Says why a lint complains, too",
        )
        .arg(Arg::new("words").value_name("WORD").num_args(0..).help("A keyword or a lint"))
        .arg(flag("effective").help(
            "Show the configuration as it holds, each value with its file and line, or what it is inherited from, or as \
             default; the words are a path, as vrrp_instance VI_1 priority",
        ))
        .arg(
            Arg::new("use-file")
                .short('f')
                .long("use-file")
                .value_name("FILE")
                .value_parser(clap::value_parser!(OsString))
                .requires("effective")
                .help("The file for --effective [default: /etc/keepalived/keepalived.conf]"),
        )
        .arg(
            Arg::new("config-id")
                .short('i')
                .long("config-id")
                .value_name("ID")
                .value_parser(clap::value_parser!(OsString))
                .requires("effective")
                .help("Take lines that begin with @ID, too"),
        )
        .arg(flag("all").requires("effective").help("Show what is unset, too"))
        .arg(
            Arg::new("format")
                .long("format")
                .value_parser(["text", "json"])
                .default_value("text")
                .requires("effective")
                .help("How --effective shows it"),
        )
        .arg(flag("schema").help("Print the JSON schema of --effective --format json"))
        .arg(flag("unsupported").help("List the words that are understood and have no effect yet"))
        .arg(flag("lints").help("List the lints of `check`"))
        .arg(flag("settings").help("List the settings of this program, behind @keepalived-rs"))
        .arg(flag("man").help("Print the manual page keepalived-rs.conf(5) for man"))
}

/// The width that text is broken at.
const WIDTH: usize = 100;

/// Explains what the words ask for.
pub fn run(words: &[OsString]) -> Exit {
    let matches = match arguments(command(), words) {
        Ok(matches) => matches,
        Err(exit) => return exit,
    };
    if matches.get_flag("effective") {
        return show_effective(&matches);
    }
    let mut parts = Vec::new();
    let mut unknown = Vec::new();
    for word in matches.get_many::<String>("words").into_iter().flatten() {
        let own = settings::find(word).map(setting_explained);
        match find(word).map(lint_explained).or(own).or_else(|| explanation(word)) {
            Some(found) => parts.push(found),
            None => unknown.push(word),
        }
    }
    if matches.get_flag("unsupported") {
        parts.push(unsupported());
    }
    if matches.get_flag("lints") {
        parts.push(lints());
    }
    if matches.get_flag("settings") {
        parts.push(settings_listed());
    }
    if matches.get_flag("man") {
        parts.push(man::page());
    }
    if matches.get_flag("schema") {
        parts.push(json_schema::text());
    }
    if parts.is_empty() && unknown.is_empty() {
        return refuse("explain", "which word? As in: keepalived-rs explain priority");
    }
    print(&parts.join("\n"));
    for word in &unknown {
        refuse("explain", &not_known(word));
    }
    if unknown.is_empty() { Exit::Success } else { Exit::Usage }
}

/// Shows what holds of a file, or the part of it that the words name.
fn show_effective(matches: &ArgMatches) -> Exit {
    let facts = match host::facts() {
        Ok(facts) => facts,
        Err(error) => {
            refuse("explain", &error.to_string());
            return Exit::Internal;
        }
    };
    let text = |id: &str| matches.get_one::<OsString>(id).map(|word| decode(word.as_bytes().to_vec()));
    let short_name = facts.node_name.split('.').next().unwrap_or_default().to_owned();
    let options = ReadOptions {
        main: text("use-file").unwrap_or_else(|| DEFAULT.to_owned()),
        config_id: text("config-id").unwrap_or(short_name),
        include_checks: IncludeChecks::default(),
        random_seed: crate::kernel::timer::now().as_nanos(),
    };
    let (loaded, trace) = config::load_traced(&HostFiles, &options, &facts, &HostUsers);
    if loaded.refusal == Some(6) {
        for line in log_lines(&loaded.diagnostics, &loaded.sources) {
            refuse("explain", &line);
        }
        return Exit::Test(6);
    }
    let path: Vec<String> = matches.get_many::<String>("words").into_iter().flatten().cloned().collect();
    let whole = config::effective::effective(&loaded, &trace);
    let section = match effective::select(&whole, &path) {
        Ok(section) => section,
        Err(complaint) => return refuse("explain", &complaint),
    };
    if matches.get_one::<String>("format").is_some_and(|format| format == "json") {
        print(&format!("{:#}\n", config::effective::as_json(&section)));
    } else {
        let named = path.last().is_some_and(|word| {
            let mut end = &section;
            while let Some(inner) = end.sections.first() {
                end = inner;
            }
            end.settings.iter().any(|setting| setting.keyword.name == word)
        });
        let shown = if matches.get_flag("all") || named { Shown::All } else { Shown::Set };
        print(&effective::text(&section, shown));
    }
    Exit::Success
}

fn lint_explained(lint: &Lint) -> String {
    let Lint { id, summary, why } = lint;
    let (summary, why) = (wrapped(summary, "  "), wrapped(why, "  "));
    let what = if LINTS.iter().any(|lint| lint.id == *id) { "a lint of" } else { "a report of -t and of" };
    format!(
        "{id}\n  {what} `keepalived-rs check`\n\n{summary}\n{why}\n  Silenced by `check --allow {id}`, and by \
         `@{OUR_ID} allow {id}` in a file.\n"
    )
}

fn lints() -> String {
    let mut text = String::from("Warnings of `keepalived-rs check`:\n\n");
    for lint in LINTS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:<28} {}", lint.id, lint.summary);
    }
    text += "\nReports that stock makes, too, most of which count for -t:\n\n";
    for lint in REPORTS {
        let _ = writeln!(text, "  {:<28} {}", lint.id, lint.summary);
    }
    text
}

fn setting_explained(setting: &Setting) -> String {
    let keyword = &setting.keyword;
    let mut text = format!("@{OUR_ID} {}\n  in {}\n\n", keyword.name, settings::places(setting));
    text += &wrapped(keyword.help, "  ");
    text.push('\n');
    for (name, fact) in setting_facts(keyword) {
        text += &labelled(name, &fact);
    }
    text
}

fn settings_listed() -> String {
    let mut text =
        format!("Settings of this program, one a line, each behind `@{OUR_ID}`; keepalived skips them:\n\n");
    for setting in SETTINGS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:<14} {}", setting.keyword.name, settings::places(setting));
        text += &wrapped(setting.keyword.help, "                 ");
    }
    text
}

/// Everything about a word, or `None` when no block has it.
fn explanation(word: &str) -> Option<String> {
    let all = entries();
    // The same in several blocks is said once.
    let mut meanings: Vec<(Vec<String>, String)> = Vec::new();
    for entry in all.iter().filter(|entry| entry.keyword.name == word) {
        let meaning = meaning(entry, &all);
        match meanings.iter_mut().find(|(_, known)| *known == meaning) {
            Some((places, _)) => places.push(entry.place()),
            None => meanings.push((vec![entry.place()], meaning)),
        }
    }
    for (form, line_word) in words::find(word) {
        let places = form.keywords.iter().map(|keyword| format!("a line of {keyword}")).collect();
        meanings.push((places, line_word_explained(form, line_word)));
    }
    if meanings.is_empty() {
        return None;
    }
    let mut text = String::new();
    for (places, meaning) in meanings {
        if !text.is_empty() {
            text.push('\n');
        }
        let places = places.join("\n  in ");
        // Writing to a string cannot fail.
        let _ = write!(text, "{word}\n  in {places}\n\n{meaning}");
    }
    Some(text)
}

fn meaning(entry: &Entry, all: &[Entry]) -> String {
    let keyword = entry.keyword;
    let mut text = wrapped(keyword.help, "  ");
    text.push('\n');
    for (name, fact) in facts(keyword) {
        text += &labelled(name, &fact);
    }
    for form in words::of_keyword(keyword.name) {
        text += &labelled("line", form.line);
        for word in form.words {
            text += &labelled(word.name, &format!("{} {}", word.takes, word.help));
        }
    }
    if matches!(keyword.shape, Shape::Block(_)) {
        let inside: Vec<&str> = all
            .iter()
            .filter(|inner| inner.path.split_last() == Some((&keyword.name, &entry.path)))
            .map(|inner| inner.keyword.name)
            .collect();
        if !inside.is_empty() {
            text += &labelled("inside", &inside.join(", "));
        }
    }
    text
}

fn line_word_explained(form: &Form, word: &LineWord) -> String {
    let mut text = wrapped(word.help, "  ");
    text.push('\n');
    text += &labelled("argument", if word.takes.is_empty() { "none" } else { word.takes });
    if !word.remark.is_empty() {
        text += &labelled("note", word.remark);
    }
    text += &labelled("line", form.line);
    text
}

/// `    default    100`, the text broken and aligned.
fn labelled(name: &str, text: &str) -> String {
    let block = wrapped(text, "               ");
    format!("    {name:<10} {}", block.trim_start())
}

/// The text in lines of at most [`WIDTH`], each behind `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent.len() + line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(lines, "{indent}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    let _ = writeln!(lines, "{indent}{line}");
    lines
}

fn not_known(word: &str) -> String {
    let shown = clean(word);
    if let Some(advice) = blocks::retired(word) {
        return format!("'{shown}' is a word of other releases or programs: {advice}");
    }
    let all = entries();
    let names =
        all.iter().map(|entry| entry.keyword.name).chain(LINTS.iter().chain(REPORTS).map(|lint| lint.id));
    let names = names.chain(FORMS.iter().flat_map(|form| form.words).map(|word| word.name));
    let names = names.chain(SETTINGS.iter().map(|setting| setting.keyword.name));
    match did_you_mean(word, names) {
        Some(near) => format!("no block has a keyword '{shown}': did you mean '{near}'?"),
        None => format!("no block has a keyword '{shown}'"),
    }
}

/// The words without effect yet, block by block. The content of a block without effect is not listed again.
fn unsupported() -> String {
    let all = entries();
    let later = |entry: &&Entry| entry.keyword.effect == Effect::Later && entry.keyword.successor.is_none();
    let dead: BTreeSet<Vec<&str>> = all
        .iter()
        .filter(later)
        .filter(|entry| matches!(entry.keyword.shape, Shape::Block(_)))
        .map(|entry| [&entry.path[..], &[entry.keyword.name]].concat())
        .collect();
    let inside_dead = |entry: &Entry| (1..=entry.path.len()).any(|depth| dead.contains(&entry.path[..depth]));
    let mut text = String::new();
    let mut place = None;
    for entry in all.iter().filter(later).filter(|entry| !inside_dead(entry)) {
        if place.as_ref() != Some(&entry.path) {
            let _ = write!(text, "\n{}\n", entry.place());
            place = Some(entry.path.clone());
        }
        let whole = if matches!(entry.keyword.shape, Shape::Block(_)) { " (the whole block)" } else { "" };
        let _ = writeln!(text, "  {:<36} {}{whole}", entry.keyword.name, entry.keyword.help);
    }
    for setting in SETTINGS.iter().filter(|setting| setting.keyword.effect == Effect::Later) {
        let _ = write!(text, "\n@{OUR_ID} {}\n{}", setting.keyword.name, wrapped(setting.keyword.help, "  "));
    }
    if text.is_empty() { text } else { format!("Understood and checked, but without effect yet:\n{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn long_text_is_broken_and_aligned() {
        let text = labelled("inside", &"word ".repeat(40));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= WIDTH), "{text}");
        assert!(lines[0].starts_with("    inside     word"), "{text}");
        assert!(lines[1].starts_with("               word"), "{text}");
    }

    #[test]
    fn the_same_meaning_in_several_blocks_is_said_once() {
        let text = explanation("connect_port").expect("is a keyword");
        assert_eq!(text.matches("argument").count(), 1, "{text}");
        assert!(text.contains("TCP_CHECK") && text.contains("SMTP_CHECK"), "{text}");
    }
}
