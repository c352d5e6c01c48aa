//! The manual page keepalived-rs.conf(5), made from the keyword tables. `explain --man` prints it; the copy in `docs/` is
//! compared with it by a test.
//!
//! A keyword that means the same in a later block is only named there.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::config::blocks::settings::{self, SETTINGS, Setting};
use crate::config::catalogue::{Entry, entries, facts, setting_facts};
use crate::config::lint::LINTS;
use crate::config::preprocess::OUR_ID;
use crate::config::schema::Shape;

/// Facts that the page shows of each keyword; the rest is said once at its start, and by `explain`.
const SHOWN: [&str; 5] = ["argument", "default", "write now", "obsolete", "effect"];

/// What is said once: heading and paragraphs. The first word of an example line is a blank.
const INTRODUCTION: &[(&str, &[&str])] = &[
    ("NAME", &["keepalived-rs.conf - configuration of keepalived-rs"]),
    (
        "DESCRIPTION",
        &[
            "keepalived-rs reads the configuration language of keepalived. It looks for \
             /etc/keepalived/keepalived.conf, or for the file named with -f, which may be a pattern.",
            "Before a file is used, `keepalived-rs check FILE` says what is wrong with it, and \
             `keepalived-rs explain WORD` what a word means and what happens when its value is missing, wrong or \
             repeated. Both draw on the tables this page is made from.",
        ],
    ),
    (
        "LANGUAGE",
        &[
            "A line is a keyword and its arguments, separated by blanks. Double quotes make one word of several. \
             What stands behind # or ! is a comment, unless it is inside double quotes. A line has at most 1022 bytes.",
            "A block is a keyword, for some a name, and lines in braces. The opening brace may stand on a line of \
             its own. Only the first word between two line ends or braces is a keyword.",
            " vrrp_instance VI_1 {\n     interface eth0\n     virtual_router_id 51\n     virtual_ipaddress {\n         \
             192.0.2.10/24\n     }\n }",
            "include PATTERN reads other files at that place, inside blocks too. Relative patterns start at the folder \
             of the including file. includer refuses the configuration when a file cannot be read; includem also when a \
             file named without wildcards is missing; includew also when a pattern matches nothing; includeb when a file \
             cannot be read or a part in braces matches nothing; includea for each of these reasons.",
            "@ID at the start of a line keeps the line only on the node with that id (option -i, else the host name up \
             to the first dot); @^ID only on the others. Lines behind @keepalived-rs are settings of this program, which \
             keepalived skips.",
            "$NAME=VALUE defines a variable from there on; ${NAME} puts it in anywhere, $NAME where a blank, a comma, a \
             closing parenthesis or the line end follows. A value that ends with a backslash goes on in the next line. \
             ${_PWD}, ${_INSTANCE}, ${_RANDOM}, ${_ENV NAME}, ${_HASH} and ${_BANG} are there from the start.",
            "~SEQ(VAR, START, STEP, END) TEXT repeats a text for each number, ~LST(VAR, A, B, C) TEXT for each value.",
            "Times are in seconds, without a unit. Unless its entry says otherwise, a keyword that stands twice in a \
             block counts with its last value, and a line with a value that cannot be used is reported and ignored.",
        ],
    ),
];

/// The page in man's macros.
pub fn page() -> String {
    let mut page = String::from(".TH KEEPALIVED\\-RS.CONF 5 \"\" keepalived\\-rs\n");
    for (heading, paragraphs) in INTRODUCTION {
        section(&mut page, heading);
        for (place, paragraph) in paragraphs.iter().enumerate() {
            if place == 0 {
                // A heading begins a paragraph itself.
                let _ = writeln!(page, "{}", escaped(paragraph));
            } else if paragraph.starts_with(' ') {
                let _ = write!(page, ".PP\n.nf\n{}\n.fi\n", escaped(paragraph));
            } else {
                let _ = write!(page, ".PP\n{}\n", escaped(paragraph));
            }
        }
    }
    keywords(&mut page);
    section(&mut page, "SETTINGS OF KEEPALIVED-RS");
    let introduction = format!(
        "One a line, each behind @{OUR_ID}, as in `@{OUR_ID} vip_repair stock`; keepalived skips such lines."
    );
    let _ = writeln!(page, "{}", escaped(&introduction));
    for setting in SETTINGS {
        page += &setting_text(setting);
    }
    section(&mut page, "LINTS");
    let _ = writeln!(
        page,
        "{}",
        escaped("Warnings of `keepalived-rs check`, for what is allowed and hardly meant.")
    );
    for lint in LINTS {
        let _ =
            write!(page, ".TP\n.B {}\n{}\n{}\n", escaped(lint.id), escaped(lint.summary), escaped(lint.why));
    }
    section(&mut page, "SEE ALSO");
    page += ".BR keepalived.conf (5)\n";
    page
}

fn section(page: &mut String, heading: &str) {
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(page, ".SH {heading}");
}

fn keywords(page: &mut String) {
    section(page, "KEYWORDS");
    let all = entries();
    let mut blocks: Vec<&[&str]> = Vec::new();
    for entry in &all {
        if !blocks.contains(&entry.path.as_slice()) {
            blocks.push(&entry.path);
        }
    }
    // Text of a keyword -> the block that shows it.
    let mut shown: HashMap<String, String> = HashMap::new();
    for path in blocks {
        let inside: Vec<&Entry> = all.iter().filter(|entry| entry.path == path).collect();
        let Some(first) = inside.first() else { continue };
        let place = first.place();
        let heading = if path.is_empty() { "At the top level".to_owned() } else { format!("In {place}") };
        let _ = writeln!(page, ".SS \"{}\"", escaped(&heading));
        let mut elsewhere: Vec<(String, Vec<&str>)> = Vec::new();
        let mut paragraph = "";
        for entry in inside {
            let text = entry_text(entry);
            if let Some(known) = shown.get(&text) {
                match elsewhere.iter_mut().find(|(other, _)| other == known) {
                    Some((_, names)) => names.push(entry.keyword.name),
                    None => elsewhere.push((known.clone(), vec![entry.keyword.name])),
                }
                continue;
            }
            page.push_str(&text);
            paragraph = ".PP\n";
            shown.insert(text, place.clone());
        }
        for (other, names) in elsewhere {
            let text = escaped(&format!("As in {other}: {}.", names.join(", ")));
            let _ = writeln!(page, "{paragraph}{text}");
            paragraph = ".PP\n";
        }
    }
}

fn setting_text(setting: &Setting) -> String {
    let keyword = &setting.keyword;
    let facts: Vec<String> = setting_facts(keyword)
        .into_iter()
        .filter(|(name, _)| *name != "repeated")
        .map(|(name, fact)| format!("{}: {fact}.", capitalised(name)))
        .collect();
    let place = format!("In {}. {}", settings::places(setting), facts.join(" "));
    format!(".TP\n.B {}\n{}\n{}\n", escaped(keyword.name), escaped(keyword.help), escaped(&place))
}

fn entry_text(entry: &Entry) -> String {
    let keyword = entry.keyword;
    let mut text = format!(".TP\n.B {}\n{}\n", escaped(keyword.name), escaped(keyword.help));
    let shown: Vec<String> = facts(keyword)
        .into_iter()
        .filter(|(name, _)| SHOWN.contains(name))
        .filter(|(name, _)| *name != "argument" || !matches!(keyword.shape, Shape::Flag | Shape::Block(_)))
        .map(|(name, fact)| format!("{}: {fact}.", capitalised(name)))
        .collect();
    if !shown.is_empty() {
        let _ = writeln!(text, "{}", escaped(&shown.join(" ")));
    }
    text
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Text that roff takes for nothing but text.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            safe.push('\n');
        }
        if line.starts_with(['.', '\'']) {
            safe.push_str("\\&");
        }
        for character in line.chars() {
            match character {
                '\\' => safe.push_str("\\e"),
                '-' => safe.push_str("\\-"),
                '`' => safe.push_str("\\(ga"),
                '~' => safe.push_str("\\(ti"),
                '^' => safe.push_str("\\(ha"),
                '"' => safe.push_str("\\(dq"),
                other if other.is_ascii() => safe.push(other),
                other => {
                    let _ = write!(safe, "\\[u{:04X}]", u32::from(other));
                }
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_taken_for_a_request() {
        assert_eq!(escaped(".so x\n'y \\fB -…"), "\\&.so x\n\\&'y \\efB \\-\\[u2026]");
    }

    #[test]
    fn every_keyword_of_the_tables_is_named() {
        let page = page();
        for entry in entries() {
            assert!(page.contains(&escaped(entry.keyword.name)), "{}", entry.keyword.name);
        }
    }
}
