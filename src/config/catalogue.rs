//! Every keyword of the language and the block it stands in, from the keyword tables; and what a table entry says, in
//! words. For `explain` and the manual page. Pure.

use std::fmt::Write as _;

use super::blocks::TOP;
use super::reader::decimal;
use super::schema::{Effect, Invalid, Keyword, Mark, Missing, Repeat, Shape, Table};
use super::value::Strictness;

/// Blocks inside blocks that are followed; the language has five.
const MAX_DEPTH: usize = 8;

/// One keyword in one block.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The blocks around it, outermost first; empty at the top level.
    pub path: Vec<&'static str>,
    /// The table entry.
    pub keyword: &'static Keyword,
}

impl Entry {
    /// The blocks around it, for people: `virtual_server > real_server`.
    pub fn place(&self) -> String {
        if self.path.is_empty() { TOP.name.to_owned() } else { self.path.join(" > ") }
    }
}

/// Every keyword, in table order, each block before its content. Old spellings of a block are listed without theirs.
pub fn entries() -> Vec<Entry> {
    let mut found = Vec::new();
    gather(&TOP, &mut Vec::new(), &mut found);
    found
}

fn gather(table: &'static Table, path: &mut Vec<&'static str>, found: &mut Vec<Entry>) {
    for keyword in table.keywords() {
        found.push(Entry { path: path.clone(), keyword });
        if let (Shape::Block(block), None) = (keyword.shape, keyword.successor)
            && path.len() < MAX_DEPTH
        {
            path.push(keyword.name);
            gather(block.table, path, found);
            path.pop();
        }
    }
}

/// What follows a keyword, in words.
pub fn argument(keyword: &Keyword) -> String {
    match keyword.shape {
        Shape::Flag => "none".to_owned(),
        Shape::Bool => "true, on, yes, false, off or no; without one: true".to_owned(),
        Shape::Int { min, max, .. } => format!("a whole number from {min} to {max}"),
        Shape::Seconds { places, min, max } => {
            let unit = 10u64.pow(places);
            format!(
                "seconds from {} to {}, with up to {places} decimal places",
                decimal(min, unit),
                decimal(max, unit)
            )
        }
        Shape::Choice(choices) => format!("one of {}", choices.join(", ")),
        Shape::Address => "an IP address".to_owned(),
        Shape::Word => "one word".to_owned(),
        Shape::Words => "words".to_owned(),
        Shape::Script => "a command, in quotes when it has arguments".to_owned(),
        Shape::Block(_) => "a block of keywords in braces".to_owned(),
        Shape::List(_) => "a list in braces, one entry a line".to_owned(),
    }
}

/// Everything that a table entry says beside its meaning: what it is called, and the text.
pub fn facts(keyword: &Keyword) -> Vec<(&'static str, String)> {
    let mut facts = vec![("argument", argument(keyword))];
    if !keyword.default.is_empty() {
        facts.push(("default", keyword.default.to_owned()));
    }
    if let Some(successor) = keyword.successor {
        let counted = if successor.warned { "; -t counts it as an error" } else { "" };
        facts.push(("write now", format!("{}{counted}", successor.name)));
    } else if keyword.mark == Mark::X {
        facts.push(("obsolete", "accepted because old files have it".to_owned()));
    }
    match keyword.effect {
        Effect::Now => {}
        Effect::Later => {
            facts.push(("effect", "none yet: understood and checked, but not carried out".to_owned()));
        }
        Effect::Nothing => facts.push(("effect", "none, in stock keepalived neither".to_owned())),
    }
    facts.extend(missing(keyword).map(|text| ("missing", text.to_owned())));
    facts.extend(bad_value(keyword).map(|text| ("bad value", text)));
    if has_value(keyword) {
        let text = match keyword.repeat {
            Repeat::LastWins => "the last one counts, without a word from stock",
            Repeat::FirstWins => "reported; the first one counts",
            Repeat::Accumulates => "they add up",
        };
        facts.push(("repeated", text.to_owned()));
    }
    facts.push(("since", since(keyword)));
    facts
}

/// The same of a setting of ours: it is younger than any release of stock, and stock does not see it.
pub fn setting_facts(keyword: &Keyword) -> Vec<(&'static str, String)> {
    let shown = ["argument", "default", "effect", "repeated"];
    let mut facts = facts(keyword);
    facts.retain(|(name, _)| shown.contains(name));
    if let Some((_, text)) = facts.iter_mut().find(|(name, _)| *name == "repeated")
        && keyword.repeat == Repeat::LastWins
    {
        "the last one counts".clone_into(text);
    }
    facts
}

fn has_value(keyword: &Keyword) -> bool {
    !matches!(keyword.shape, Shape::Flag | Shape::Block(_) | Shape::List(_))
}

fn missing(keyword: &Keyword) -> Option<&'static str> {
    Some(match keyword.missing {
        Missing::Fine => return None,
        Missing::Stops => "reading stops there, and the daemon does not start (exit 2)",
        Missing::Warns => "reported; the line is ignored",
        Missing::Silent => "the line is ignored, without a word from stock",
    })
}

fn bad_value(keyword: &Keyword) -> Option<String> {
    let lenient = match keyword.shape {
        Shape::Int { strictness, .. } => strictness == Strictness::Lenient,
        Shape::Bool | Shape::Choice(_) | Shape::Address | Shape::Seconds { .. } => false,
        _ => return None,
    };
    let mut text = match keyword.invalid {
        Invalid::Ignored => "reported; the line is ignored".to_owned(),
        Invalid::Sets(value) => format!("reported; it becomes {value}"),
    };
    if lenient {
        // Writing to a string cannot fail.
        let _ = write!(text, ", but a running daemon takes the leading digits");
    }
    Some(text)
}

fn since(keyword: &Keyword) -> String {
    match keyword.since.strip_prefix('≤') {
        Some(release) => format!("keepalived {release} or before"),
        None => format!("after keepalived {}", keyword.since.trim_start_matches('>')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(place: &str, name: &str) -> Entry {
        let mut all = entries().into_iter();
        all.find(|entry| entry.place() == place && entry.keyword.name == name).expect("is in the tables")
    }

    #[test]
    fn keywords_are_found_at_every_depth() {
        find("the top level", "vrrp_instance");
        find("vrrp_instance > authentication", "auth_pass");
        find("virtual_server > real_server > HTTP_GET > url", "path");
    }

    #[test]
    fn what_a_table_entry_says_is_said_in_words() {
        let facts = facts(find("vrrp_instance", "priority").keyword);
        assert_eq!(
            facts,
            [
                ("argument", "a whole number from 1 to 255".to_owned()),
                ("default", "100; 255 with `state MASTER`".to_owned()),
                ("missing", "reading stops there, and the daemon does not start (exit 2)".to_owned()),
                ("bad value", "reported; it becomes 100".to_owned()),
                ("repeated", "the last one counts, without a word from stock".to_owned()),
                ("since", "keepalived 0.5.6 or before".to_owned()),
            ]
        );
    }

    #[test]
    fn every_keyword_has_a_meaning_and_a_release() {
        for entry in entries() {
            let keyword = entry.keyword;
            assert!(!keyword.help.is_empty(), "{} {}", entry.place(), keyword.name);
            assert!(keyword.since.starts_with(['≤', '>']), "{}: {}", keyword.name, keyword.since);
        }
    }
}
