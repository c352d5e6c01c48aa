//! All keywords of stock, block by block: none is missing in our tables, none is there that stock does not have.
//!
//! `tests/cases/keywords.txt` is the list, one `BLOCK KEYWORD` a line; `-` is the top level. `SPEC` names the folder of
//! the specification: with it the list is made anew from its tables and compared. Without it the second test says so and
//! passes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use keepalived_rs::config::catalogue::entries;

const LIST: &str = include_str!("cases/keywords.txt");

const RS: &str = "virtual_server/real_server";

/// The checks that share the words of checkers.md §2.
const CONNECTING: [&str; 7] =
    ["TCP_CHECK", "HTTP_GET", "SSL_GET", "SMTP_CHECK", "DNS_CHECK", "UDP_CHECK", "PING_CHECK"];

/// The tables of the specification: page, start of the heading, and the block whose keywords stand there.
const TABLES: &[(&str, &str, &str)] = &[
    ("global-defs.md", "## Top-level words", "-"),
    ("global-defs.md", "## `global_defs", "global_defs"),
    ("vrrp-config.md", "## 1. ", "-"),
    ("vrrp-config.md", "### 2.1 ", "vrrp_instance"),
    ("vrrp-config.md", "### 2.2 ", "vrrp_sync_group"),
    ("vrrp-config.md", "### 2.3 ", "vrrp_script"),
    ("vrrp-config.md", "### 2.4 ", "vrrp_track_process"),
    ("vrrp-config.md", "### 2.5 ", "garp_group"),
    ("vrrp-config.md", "### 2.6 ", "track_group"),
    ("vrrp-config.md", "### 2.7 ", "track_file"),
    ("lvs-config.md", "## 4. ", "virtual_server"),
    ("lvs-config.md", "## 8. ", "virtual_server/real_server"),
    ("lvs-config.md", "## 10. ", "global_defs"),
    ("lvs-config.md", "## 11. ", "SSL"),
    ("checkers.md", "## 1. ", "virtual_server/real_server"),
    ("checkers.md", "## 8. ", "virtual_server/real_server/SMTP_CHECK"),
    ("checkers.md", "## 9. ", "virtual_server/real_server/DNS_CHECK"),
    ("checkers.md", "## 10. ", "virtual_server/real_server/UDP_CHECK"),
    ("checkers.md", "## 12. ", "virtual_server/real_server/MISC_CHECK"),
    ("checkers.md", "## 14. ", "virtual_server/real_server/BFD_CHECK"),
    ("bfd.md", "## 1. ", "bfd_instance"),
];

/// Rows that are no keyword of the block of their table, and why.
const NOT_THERE: &[(&str, &[&str], &str)] = &[
    ("global_defs", &["net_namespace_ipvs"], "its row says that it is a word of the top level"),
    ("global_defs", &["vrrp_ipsets"], "its row says that it needs a build with iptables"),
    (
        "vrrp_instance",
        &["auth_type", "auth_pass", "key", "active_key", "time_window", "anti_replay", "mode"],
        "words of the blocks `authentication` and `auth_hmac`, which their rows follow",
    ),
    ("virtual_server/real_server/HTTP_GET", &["tls_compliant"], "its row says that only SSL_GET has it"),
];

/// Keywords that the specification names in its text, or in a table of another form.
const IN_WORDS: &[(&str, &[&str], &str)] = &[
    (
        "-",
        &["global_defs", "SSL", "bfd_instance", "virtual_server", "virtual_server_group"],
        "the headings of their pages",
    ),
    ("vrrp_instance/authentication", &["auth_type", "auth_pass"], "rows of vrrp-config.md §2.1"),
    (
        "vrrp_instance/auth_hmac",
        &["key", "active_key", "time_window", "anti_replay", "mode"],
        "rows of vrrp-config.md §2.1",
    ),
    (
        "virtual_server/real_server/MISC_CHECK",
        &["alpha", "delay_before_retry", "delay_loop", "log_all_failures", "retry", "warmup"],
        "checkers.md §1: the common words without those of a connection",
    ),
    (
        "virtual_server/real_server/FILE_CHECK",
        &["track_file", "weight"],
        "checkers.md §13, before track_file",
    ),
    (
        "virtual_server/real_server/SMTP_CHECK/host",
        &["bind_if", "bind_port", "bindto", "connect_ip", "connect_port", "connect_timeout", "fwmark"],
        "checkers.md §8: `host { connection options }`",
    ),
    (
        "virtual_server/real_server/SSL_GET/url",
        &["tls_compliant"],
        "checkers.md §7: `tls_compliant` at both levels",
    ),
];

fn listed() -> BTreeSet<String> {
    LIST.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn our_tables_have_stocks_keywords_and_no_other() {
    let way = |path: &[&str]| if path.is_empty() { "-".to_owned() } else { path.join("/") };
    let ours: BTreeSet<_> =
        entries().iter().map(|entry| format!("{} {}", way(&entry.path), entry.keyword.name)).collect();
    let listed = listed();
    let missing: Vec<_> = listed.difference(&ours).collect();
    let extra: Vec<_> = ours.difference(&listed).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:#?}\nnot stock's: {extra:#?}");
}

/// The first cells of the table rows under a heading, with the keywords in them.
fn rows(page: &str, heading: &str) -> Vec<(String, String)> {
    let level = |line: &str| line.bytes().take_while(|byte| *byte == b'#').count();
    let below = page.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
    let section = below.take_while(|line| level(line) == 0 || level(line) > level(heading));
    let is_keyword = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    let mut rows = Vec::new();
    for cell in section.filter_map(|line| line.strip_prefix('|')?.split('|').next()) {
        // What stands between backticks: `quorum_up` / `quorum_down`, `url { … }`.
        for code in cell.split('`').skip(1).step_by(2) {
            if let Some(word) = code.split(' ').next().filter(|word| is_keyword(word)) {
                rows.push((cell.trim().to_owned(), word.to_owned()));
            }
        }
    }
    rows
}

#[test]
fn the_list_is_the_specifications() {
    let Ok(folder) = std::env::var("SPEC") else {
        println!("skipped: SPEC is not set");
        return;
    };
    let page = |name: &str| fs::read_to_string(Path::new(&folder).join(name)).expect("a page");
    let mut found = BTreeSet::new();
    for (name, heading, block) in TABLES {
        let rows = rows(&page(name), heading);
        assert!(!rows.is_empty(), "no table under {heading} of {name}");
        found.extend(rows.into_iter().map(|(_, word)| format!("{block} {word}")));
    }
    let checkers = page("checkers.md");
    for check in CONNECTING {
        let is_http = matches!(check, "HTTP_GET" | "SSL_GET");
        let common = rows(&checkers, "## 2. ").into_iter().map(|(_, word)| word);
        // Its row: "HTTP/SSL only".
        let common = common.filter(|word| is_http || word != "nb_get_retry");
        found.extend(common.map(|word| format!("{RS}/{check} {word}")));
        for (cell, word) in rows(&checkers, "### Keywords").into_iter().filter(|_| is_http) {
            let level = if cell.starts_with("url:") { "/url" } else { "" };
            found.insert(format!("{RS}/{check}{level} {word}"));
        }
    }
    for (block, words, reason) in NOT_THERE {
        for word in *words {
            assert!(found.remove(&format!("{block} {word}")), "{word}: {reason}, but it is not there");
        }
    }
    for (block, words, reason) in IN_WORDS {
        for word in *words {
            assert!(found.insert(format!("{block} {word}")), "{word}: {reason}, but it is there anyway");
        }
    }
    let listed = listed();
    let missing: Vec<_> = found.difference(&listed).collect();
    let extra: Vec<_> = listed.difference(&found).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "not in the list: {missing:#?}\nonly in the list: {extra:#?}"
    );
}
