//! The maps from what stock is known to do to the tests that hold it: docs/tests-*.md. Whatever they name must exist.
//!
//! A map is made of tables with the head `| row | where |`: what stock does, and one or more names in backticks — of a
//! test function, of a case of the lab, or of a folder below `tests/` (a name with a `/`). Below a heading
//! `## spec/PAGE.md` each row begins with the section that it is about (`§1.2`); where `SPEC` names the folder of those
//! pages, no section of such a page may be missing.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a case of the lab is made by.
const CASES: [&str; 4] = ["Case::pair(\"", "Case::single(\"", "Case::guest(\"", "systemd(\""];

/// A row of a map: the page it stands under, if any, its text and what it names.
struct Row {
    map: String,
    page: Option<String>,
    text: String,
    names: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of all test functions and of all cases of the lab.
fn tests() -> BTreeSet<String> {
    let (mut files, mut names) = (Vec::new(), BTreeSet::new());
    for folder in ["src", "tests"] {
        sources(&root().join(folder), &mut files);
    }
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let function = line.split_once("fn ").filter(|_| is_test && !line.starts_with("//"));
            if let Some((_, rest)) = function {
                names.insert(rest.split('(').next().unwrap_or_default().to_owned());
                is_test = false;
            }
        }
        let dense: String = text.split_whitespace().collect();
        for begin in CASES {
            let found = dense.split(begin).skip(1).filter_map(|rest| rest.split('"').next());
            names.extend(found.map(str::to_owned));
        }
    }
    names
}

/// Every row of every map.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let files = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    for file in files {
        let map = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !map.starts_with("tests-") || file.extension() != Some("md".as_ref()) {
            continue;
        }
        let (mut page, mut is_inside) = (None, false);
        for line in fs::read_to_string(&file).unwrap().lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                page = heading.strip_prefix("spec/").map(str::to_owned);
            }
            let cells: Vec<&str> =
                line.trim_start_matches('|').trim_end_matches('|').split(" | ").map(str::trim).collect();
            let is_row = line.starts_with('|');
            if line.trim() == "| row | where |" {
                is_inside = true;
            } else if !is_row {
                is_inside = false;
            } else if is_inside && !line.starts_with("|---") && !line.starts_with("| ---") {
                let (text, found) = (cells[0].to_owned(), cells[1..].join(" "));
                let names = found.split('`').skip(1).step_by(2).map(str::to_owned).collect();
                rows.push(Row { map: map.clone(), page: page.clone(), text, names });
            }
        }
    }
    rows
}

#[test]
fn every_test_that_a_map_names_exists() {
    let (tests, rows) = (tests(), rows());
    assert!(!rows.is_empty(), "no row in docs/tests-*.md");
    let mut wrong = Vec::new();
    for Row { map, text, names, .. } in &rows {
        if names.is_empty() {
            wrong.push(format!("{map}: nothing holds \"{text}\""));
        }
        for name in names {
            let is_there =
                tests.contains(name) || name.contains('/') && root().join("tests").join(name).exists();
            if !is_there {
                wrong.push(format!("{map}: there is no {name}, which holds \"{text}\""));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_section_of_a_mapped_page_is_missing() {
    let Some(folder) = std::env::var_os("SPEC") else { return };
    let rows = rows();
    let pages: BTreeSet<&str> = rows.iter().filter_map(|row| row.page.as_deref()).collect();
    let mut missing = Vec::new();
    for page in pages {
        let text = fs::read_to_string(Path::new(&folder).join(page)).unwrap();
        let headings = text.lines().filter_map(|line| line.strip_prefix("### ").or(line.strip_prefix("## ")));
        let numbers: Vec<&str> = headings
            .filter_map(|heading| heading.split(' ').next())
            .map(|number| number.trim_end_matches('.'))
            .filter(|number| number.starts_with(|c: char| c.is_ascii_digit()))
            .collect();
        for number in &numbers {
            // A section that is divided is covered by its parts.
            let is_divided = numbers.iter().any(|other| other.starts_with(&format!("{number}.")));
            let is_there = rows.iter().any(|row| {
                let section = row.text.split([' ', ',', ':']).next().unwrap_or_default();
                row.page.as_deref() == Some(page) && section == format!("§{number}")
            });
            if !is_divided && !is_there {
                missing.push(format!("{page} §{number}"));
            }
        }
    }
    assert!(missing.is_empty(), "no row for {missing:?}");
}
