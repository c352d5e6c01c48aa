//! `explain --effective`: the configuration as it holds, each value with where it comes from; as text that reads like a
//! configuration, or as JSON.

use std::fmt::Write as _;

use serde_json::Value;

use crate::config::effective::{Entry, Origin, Place, Section, Setting, Unused};
use crate::config::render::clean;
use crate::config::schema::{Effect, Shape};
use crate::config::suggest::did_you_mean;

/// Where the comments begin, if the setting leaves room.
const COLUMN: usize = 44;

/// Keeps what the words of a path name: blocks with their names, and last perhaps a keyword. The error says which word
/// names nothing.
pub(super) fn select(section: &Section, path: &[String]) -> Result<Section, String> {
    let Some((word, rest)) = path.split_first() else { return Ok(section.clone()) };
    let (settings, sections) = (&section.settings, &section.sections);
    let known: Vec<&str> = settings
        .iter()
        .map(|setting| setting.keyword.name)
        .chain(sections.iter().map(Section::name))
        .collect();
    let mut chosen = Section {
        settings: Vec::new(),
        sections: Vec::new(),
        notes: Vec::new(),
        names: section.names.clone(),
        places: section.places.clone(),
        ignored: section.ignored.clone(),
        keyword: section.keyword,
    };
    if let Some(setting) = settings.iter().find(|setting| setting.keyword.name == word) {
        if let Some(extra) = rest.first() {
            return Err(format!(
                "`{}` is no block: nothing can stand behind it, as `{}`",
                clean(word),
                clean(extra)
            ));
        }
        chosen.settings = vec![setting.clone()];
        return Ok(chosen);
    }
    let of_kind: Vec<&Section> = sections.iter().filter(|inner| inner.name() == word).collect();
    if of_kind.is_empty() {
        let near = did_you_mean(word, known.iter().copied());
        let near = near.map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
        return Err(format!("there is no `{}` here{near}", clean(word)));
    }
    let mut names: Vec<String> = Vec::new();
    let mut problem = None;
    for inner in of_kind {
        let given = inner.names.iter().zip(rest).take_while(|(name, word)| name == word).count();
        // Either the words behind it are its names, or it has none of them and they are words inside.
        let named = given > 0;
        let other =
            !named && !inner.names.is_empty() && rest.first().is_some_and(|word| !is_inside(inner, word));
        if other {
            names.push(inner.names.join(" "));
            continue;
        }
        match select(inner, &rest[given..]) {
            Ok(inner) => chosen.sections.push(inner),
            Err(error) => problem = Some(error),
        }
    }
    if !chosen.sections.is_empty() {
        return Ok(chosen);
    }
    Err(problem.unwrap_or_else(|| {
        let shown = clean(&rest.join(" "));
        match did_you_mean(&shown, names.iter().map(String::as_str)) {
            Some(near) => format!("there is no `{} {shown}`: did you mean `{near}`?", clean(word)),
            None => format!("there is no `{} {shown}`: there is {}", clean(word), clean(&names.join(", "))),
        }
    }))
}

fn is_inside(section: &Section, word: &str) -> bool {
    section.settings.iter().any(|setting| setting.keyword.name == word)
        || section.sections.iter().any(|inner| inner.name() == word)
}

/// Which settings a text shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Those that have a value.
    Set,
    /// All of them.
    All,
}

/// The sections as text that reads like a configuration.
pub(super) fn text(section: &Section, shown: Shown) -> String {
    let mut text = String::new();
    inside(&mut text, section, 0, shown);
    text
}

fn inside(text: &mut String, section: &Section, depth: usize, shown: Shown) {
    for note in &section.notes {
        comment(text, depth, note);
    }
    for setting in &section.settings {
        if shown == Shown::All || setting.is_set() || !setting.unused.is_empty() {
            one(text, setting, depth);
        }
    }
    for inner in &section.sections {
        if !text.is_empty() && depth == 0 {
            text.push('\n');
        }
        let names: Vec<String> = inner.names.iter().map(|name| word(name)).collect();
        let head = format!("{} {}", inner.name(), names.join(" "));
        let places: Vec<String> = inner.places.iter().map(place).collect();
        let origin = if places.is_empty() { "defaults".to_owned() } else { places.join(", ") };
        match &inner.ignored {
            Some(why) => {
                line(text, depth, &format!("# {}", head.trim_end()), &format!("{origin}: ignored: {why}"));
                continue;
            }
            None => line(text, depth, &format!("{} {{", head.trim_end()), &origin),
        }
        if let Some(Shape::List(_)) = inner.keyword.map(|keyword| keyword.shape) {
            inner.notes.iter().for_each(|note| comment(text, depth + 1, note));
            for entry in inner.settings.iter().flat_map(|setting| &setting.entries) {
                entry_line(text, entry, depth + 1, "");
            }
        } else {
            inside(text, inner, depth + 1, shown);
        }
        line(text, depth, "}", "");
    }
}

fn one(text: &mut String, setting: &Setting, depth: usize) {
    let written = setting.written();
    let name = &written[..];
    let is_list = matches!(setting.keyword.shape, Shape::List(_));
    if !setting.entries.is_empty() || (is_list && setting.origin != Origin::Default) {
        if is_list {
            let own = if setting.origin == Origin::Default { String::new() } else { origin(setting) };
            line(text, depth, &format!("{name} {{"), &own);
        }
        let (depth, prefix) = if is_list { (depth + 1, String::new()) } else { (depth, format!("{name} ")) };
        for entry in &setting.entries {
            entry_line(text, entry, depth, &prefix);
        }
        if is_list {
            line(text, depth - 1, "}", "");
        }
    } else {
        let value = match &setting.value {
            Value::Null if setting.origin == Origin::Default => format!("# {name}: unset"),
            Value::Null => format!("# {name}: none"),
            Value::Bool(true) if matches!(setting.keyword.shape, Shape::Flag) => name.to_owned(),
            Value::Bool(false) if matches!(setting.keyword.shape, Shape::Flag) => format!("# {name}: off"),
            Value::String(value) => match setting.keyword.shape {
                Shape::Word | Shape::Choice(_) => format!("{name} {}", word(value)),
                _ => format!("{name} {value}").trim_end().to_owned(),
            },
            other => format!("{name} {other}"),
        };
        line(text, depth, &value, &origin(setting));
    }
    if let Some(why) = &setting.corrected {
        comment(text, depth, &format!("corrected: {why}"));
    }
    for note in &setting.notes {
        comment(text, depth, note);
    }
    for Unused { place: at, why } in &setting.unused {
        comment(text, depth, &format!("{}, not used: {}: {why}", place(at), at.text));
    }
}

fn entry_line(text: &mut String, entry: &Entry, depth: usize, prefix: &str) {
    let at = place(&entry.place);
    let from = match &entry.group {
        Some(group) => format!("from vrrp_sync_group {}, {at}", word(group)),
        None => at,
    };
    match &entry.ignored {
        Some(why) => {
            line(text, depth, &format!("# {prefix}{}", entry.value), &format!("{from}: ignored: {why}"));
        }
        None => line(text, depth, &format!("{prefix}{}", entry.value), &from),
    }
    entry.notes.iter().for_each(|note| comment(text, depth, note));
}

fn origin(setting: &Setting) -> String {
    let mut text = match &setting.origin {
        Origin::File(at) => {
            let all: Vec<String> = std::iter::once(at).chain(&setting.more).map(place).collect();
            all.join(", ")
        }
        Origin::Inherited { block, keyword, place: at } => {
            let own = *keyword == setting.keyword.name;
            let word = if own { String::new() } else { format!(" {keyword}") };
            format!("from {block}{word}, {}", place(at))
        }
        Origin::Default if setting.keyword.default.is_empty() => "default".to_owned(),
        Origin::Default if plain(&setting.value) == setting.keyword.default => "default".to_owned(),
        Origin::Default => format!("default: {}", setting.keyword.default),
    };
    match setting.keyword.effect {
        Effect::Now => {}
        Effect::Later => text += "; no effect yet",
        Effect::Nothing => text += "; never has an effect",
    }
    text
}

/// As a person would write it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn place(place: &Place) -> String {
    format!("{}:{}", place.file, place.line)
}

/// A word in quotes where it needs them.
fn word(text: &str) -> String {
    let bare = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "{}#!\"".contains(c));
    if bare { text.to_owned() } else { format!("\"{text}\"") }
}

fn line(text: &mut String, depth: usize, setting: &str, origin: &str) {
    let start = text.len();
    text.extend(std::iter::repeat_n("    ", depth));
    *text += &clean(setting);
    if !origin.is_empty() {
        let width = text[start..].chars().count();
        text.extend(std::iter::repeat_n(' ', COLUMN.saturating_sub(width).max(2)));
        // Writing to a string cannot fail, here and below.
        let _ = write!(text, "# {}", clean(origin));
    }
    text.push('\n');
}

fn comment(text: &mut String, depth: usize, remark: &str) {
    text.extend(std::iter::repeat_n("    ", depth));
    let _ = writeln!(text, "# {}", clean(remark));
}
