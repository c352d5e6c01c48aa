//! Names of routing tables, protocols, scopes, realms, traffic classes and interface groups, as iproute2 keeps them:
//! `rt_tables` and its siblings, one `NUMBER NAME` a line, and `*.conf` files in a directory of that name plus `.d`.
//!
//! What the kernel's headers name is known without any file.

use std::collections::HashMap;

use super::files::Files;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A routing table.
    Table,
    /// The protocol of a route.
    Protocol,
    /// A scope.
    Scope,
    /// A realm.
    Realm,
    /// A type of service.
    Field,
    /// An interface group.
    Group,
}

impl Kind {
    fn file(self) -> &'static str {
        match self {
            Self::Table => "rt_tables",
            Self::Protocol => "rt_protos",
            Self::Scope => "rt_scopes",
            Self::Realm => "rt_realms",
            Self::Field => "rt_dsfield",
            Self::Group => "group",
        }
    }

    /// The names of the kernel's headers, and of iproute2 where those have none.
    fn known(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::Table => &[("default", 253), ("main", 254), ("local", 255)],
            Self::Protocol => &[
                ("none", 0),
                ("redirect", 1),
                ("kernel", 2),
                ("boot", 3),
                ("static", 4),
                ("gated", 8),
                ("ra", 9),
                ("mrt", 10),
                ("zebra", 11),
                ("bird", 12),
                ("dnrouted", 13),
                ("xorp", 14),
                ("ntk", 15),
                ("dhcp", 16),
                ("mrouted", 17),
                ("keepalived", 18),
                ("babel", 42),
                ("openr", 99),
                ("bgp", 186),
                ("isis", 187),
                ("ospf", 188),
                ("rip", 189),
                ("eigrp", 192),
            ],
            Self::Scope => &[("global", 0), ("site", 200), ("link", 253), ("host", 254), ("nowhere", 255)],
            Self::Realm => &[("cosmos", 0)],
            Self::Field | Self::Group => &[("default", 0)],
        }
    }
}

/// The names that were asked for so far.
#[derive(Debug, Default)]
pub struct Names(HashMap<Kind, HashMap<String, u32>>);

impl Names {
    /// The number of a name or of a number in C notation; `None` for an unknown name or a number above `max`. The files
    /// are in these directories, the weaker first.
    pub fn number(
        &mut self,
        (files, directories): (&dyn Files, [&str; 2]),
        kind: Kind,
        word: &str,
        max: u32,
    ) -> Option<u32> {
        if let Some(number) = number(word) {
            return Some(number).filter(|number| *number <= max);
        }
        let names = self.0.entry(kind).or_insert_with(|| read(files, directories, kind));
        names.get(word).copied().filter(|number| *number <= max)
    }
}

fn read(files: &dyn Files, directories: [&str; 2], kind: Kind) -> HashMap<String, u32> {
    let mut names: HashMap<String, u32> =
        kind.known().iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
    for directory in directories {
        let main = format!("{directory}/{}", kind.file());
        for path in std::iter::once(main.clone()).chain(files.glob(&format!("{main}.d/*.conf"))) {
            let Ok(bytes) = files.read(&path) else { continue };
            names.extend(entries(&String::from_utf8_lossy(&bytes)));
        }
    }
    names
}

/// The `NUMBER NAME` lines; what follows a `#` is a comment.
fn entries(text: &str) -> impl Iterator<Item = (String, u32)> + '_ {
    text.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let number = number(words.next()?)?;
        Some((words.next()?.to_owned(), number))
    })
}

/// A number in C notation: `0x10` is 16, `010` is 8.
pub fn number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return u32::from_str_radix(hex, 16).ok();
    }
    match digits.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => u32::from_str_radix(octal, 8).ok(),
        _ => digits.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files::{ReadError, Status};

    const DIRECTORIES: [&str; 2] = ["/usr/share/iproute2", "/etc/iproute2"];

    /// One directory of the given files.
    struct Disk(&'static [(&'static str, &'static str)]);

    impl Files for Disk {
        fn is_watchable(&self, _: &str) -> bool {
            false
        }

        fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
            let found = self.0.iter().find(|(name, _)| *name == path);
            found.map(|(_, text)| text.as_bytes().to_vec()).ok_or(ReadError::Missing)
        }

        fn glob(&self, pattern: &str) -> Vec<String> {
            let folder = pattern.trim_end_matches("*.conf");
            self.0
                .iter()
                .filter(|(name, _)| name.starts_with(folder))
                .map(|(name, _)| (*name).to_owned())
                .collect()
        }

        fn variable(&self, _: &str) -> Option<String> {
            None
        }

        fn status(&self, _: &str) -> Option<Status> {
            None
        }

        fn directory(&self, path: &str) -> String {
            path.to_owned()
        }
    }

    #[test]
    fn names_come_from_the_headers_the_files_and_their_directories() {
        let disk = Disk(&[
            ("/usr/share/iproute2/rt_tables", "100 weak\n101 usr\n"),
            ("/etc/iproute2/rt_tables", "# comment\n\n255\tlocal\n 102 weak # mine\nx y\n103\n"),
            ("/etc/iproute2/rt_tables.d/a.conf", "0x68 extra\n"),
        ]);
        let mut names = Names::default();
        let mut table = |word: &str| names.number((&disk, DIRECTORIES), Kind::Table, word, u32::MAX);
        assert_eq!(table("main"), Some(254));
        assert_eq!((table("usr"), table("weak"), table("extra")), (Some(101), Some(102), Some(104)));
        assert_eq!((table("nobody"), table("x"), table("")), (None, None, None));
    }

    #[test]
    fn numbers_are_in_c_notation_and_have_a_limit() {
        let mut names = Names::default();
        let mut field = |word: &str| names.number((&Disk(&[]), DIRECTORIES), Kind::Field, word, 255);
        assert_eq!(
            (field("22"), field("0x10"), field("010"), field("0")),
            (Some(22), Some(16), Some(8), Some(0))
        );
        assert_eq!((field("256"), field("-1"), field("5x"), field("09")), (None, None, None, None));
    }
}
