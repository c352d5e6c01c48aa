//! The rules of the house that a compiler does not check: imports point down only, cores are pure, `unsafe` lives in
//! `src/kernel` alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// Module prefixes and the floor they stand on. A file may import from its own floor or a lower one.
const FLOORS: [(&str, u8); 15] = [
    ("time", 0),
    ("config", 1),
    ("vrrp", 2),
    ("lvs", 2),
    ("bfd", 2),
    ("check", 2),
    ("report", 3),
    ("snmp", 3),
    ("check/probe", 4),
    ("kernel", 4),
    ("notify", 4),
    ("daemon", 5),
    ("tools", 6),
    ("cli", 7),
    ("main", 8),
];

/// What a pure core must not know.
const IMPURE: [&str; 9] = [
    "tokio",
    "tracing::",
    "Instant::now",
    "SystemTime",
    "std::fs",
    "TcpStream",
    "UdpSocket",
    "std::process",
    "std::thread",
];

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// The floor of a module path written with slashes; the longest matching prefix decides.
fn floor(module: &str) -> Option<u8> {
    FLOORS
        .iter()
        .filter(|(prefix, _)| module == *prefix || module.starts_with(&format!("{prefix}/")))
        .max_by_key(|(prefix, _)| prefix.len())
        .map(|(_, floor)| *floor)
}

/// The code of a file: comments and the test module at its foot are left out.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(number, line)| (number, line.find("//").map_or(line, |comment| &line[..comment])))
}

/// The upward imports of one file, as messages.
fn upward(module: &str, text: &str) -> Vec<String> {
    let own = floor(module).unwrap_or_else(|| panic!("{module} stands on no floor: add it to FLOORS"));
    let mut found = Vec::new();
    for (number, line) in code(text) {
        for part in line.split("crate::").skip(1) {
            let target: String =
                part.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
            let target = target.replace("::", "/");
            if floor(&target).is_some_and(|other| other > own) {
                found.push(format!("src/{module}.rs:{}: upward import of {target}", number + 1));
            }
        }
    }
    found
}

#[test]
fn imports_point_down_only() {
    let mut found = Vec::new();
    for (module, text) in sources() {
        if module != "lib" {
            found.extend(upward(&module, &text));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn an_upward_import_would_be_found() {
    assert_eq!(upward("config/value", "use crate::daemon::ipc::Dump;\n").len(), 1);
    assert_eq!(upward("lvs/table", "use crate::config::model::Config;\n").len(), 0);
}

#[test]
fn pure_modules_do_no_io_and_read_no_clock() {
    let mut found = Vec::new();
    for (module, text) in sources() {
        if floor(&module).is_some_and(|floor| floor <= 3) {
            for (number, line) in code(&text) {
                for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                    found.push(format!("src/{module}.rs:{}: {word} in a pure module", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn unsafe_code_lives_in_kernel_alone() {
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|(module, _)| !module.starts_with("kernel"))
        .flat_map(|(module, text)| {
            code(&text)
                .filter(|(_, line)| {
                    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "unsafe")
                })
                .map(|(number, _)| format!("src/{module}.rs:{}", number + 1))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(found.is_empty(), "unsafe outside src/kernel: {}", found.join(", "));
}
