//! Lines of `virtual_routes` and `static_routes` (spec/vrrp-config.md §3.2): their syntax is checked as stock does.

use super::{list, quoted, tracking};
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::reader::Reader;
use crate::config::schema::{Item, List};
use crate::config::suggest::did_you_mean;
use crate::config::syntax::Word;
use crate::config::value;

/// `virtual_routes`.
pub static VIRTUAL: List = list(check);
/// `static_routes`.
pub static STATIC: List = list(check);

/// What follows an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Word,
    Address,
    Prefix,
    Interface,
    Number,
    /// A number behind an optional `lock`.
    Metric,
    /// The same with a time unit.
    Time,
}

const OPTIONS: &[(&str, Takes)] = &[
    ("to", Takes::Prefix),
    ("via", Takes::Address),
    ("gw", Takes::Address),
    ("dev", Takes::Interface),
    ("oif", Takes::Interface),
    ("onlink", Takes::Nothing),
    ("src", Takes::Address),
    ("from", Takes::Prefix),
    ("table", Takes::Word),
    ("vrf", Takes::Interface),
    ("metric", Takes::Number),
    ("priority", Takes::Number),
    ("preference", Takes::Number),
    ("tos", Takes::Word),
    ("dsfield", Takes::Word),
    ("scope", Takes::Word),
    ("protocol", Takes::Word),
    ("mtu", Takes::Metric),
    ("advmss", Takes::Metric),
    ("rtt", Takes::Time),
    ("rttvar", Takes::Time),
    ("reordering", Takes::Metric),
    ("cwnd", Takes::Metric),
    ("ssthresh", Takes::Metric),
    ("rto_min", Takes::Time),
    ("congctl", Takes::Word),
    ("hoplimit", Takes::Number),
    ("window", Takes::Number),
    ("initcwnd", Takes::Number),
    ("initrwnd", Takes::Number),
    ("features", Takes::Word),
    ("quickack", Takes::Number),
    ("fastopen_no_cookie", Takes::Number),
    ("realms", Takes::Word),
    ("expires", Takes::Number),
    ("pref", Takes::Word),
    ("ttl-propagate", Takes::Word),
    ("prepend", Takes::Nothing),
    ("add", Takes::Nothing),
    ("append", Takes::Nothing),
    ("no_track", Takes::Nothing),
    ("track_group", Takes::Word),
    ("weight", Takes::Number),
];

const TYPES: [&str; 10] = [
    "unicast",
    "local",
    "broadcast",
    "anycast",
    "multicast",
    "blackhole",
    "unreachable",
    "prohibit",
    "throw",
    "nat",
];

fn check<'a>(reader: &mut Reader<'a>, words: Item<'a>) {
    let mut rest = words;
    let mut destination = false;
    let mut protocol: Option<&Word> = None;
    let mut no_track = false;
    if let [family, after @ ..] = rest
        && (family == "inet" || family == "inet6")
    {
        // Stock swallows the word behind the family (spec/vrrp-config.md, trap 3).
        rest = after.get(1..).unwrap_or(&[]);
    }
    while let Some((option, after)) = rest.split_first() {
        rest = after;
        let name = option.as_str();
        if TYPES.contains(&name) {
            continue;
        }
        match name {
            "as" => {
                rest = rest.get(1..).unwrap_or(&[]);
                continue;
            }
            "nexthop" | "or" | "encap" => {
                if name == "or" {
                    deprecated(reader, option, "nexthop via");
                }
                if !destination {
                    no_destination(reader, words);
                }
                return nexthops(reader, rest);
            }
            "default" | "any" | "all" | "default6" => {
                destination = true;
                continue;
            }
            _ => {}
        }
        let Some(&(_, takes)) = OPTIONS.iter().find(|(known, _)| *known == name) else {
            if destination || value::address_with_prefix(option, reader.world.mode).is_none() {
                unknown(reader, option);
                return;
            }
            destination = true;
            continue;
        };
        if takes == Takes::Nothing {
            no_track |= name == "no_track";
            continue;
        }
        let Some((mut word, mut after)) = rest.split_first() else {
            reader.push(dropped(option, format!("`{name}` needs a value")).class(Class::MissingArgument));
            return;
        };
        if word == "lock" && matches!(takes, Takes::Metric | Takes::Time) {
            let Some((second, others)) = after.split_first() else { return };
            (word, after) = (second, others);
        }
        if (word == "inet" || word == "inet6") && name == "via" {
            let Some((second, others)) = after.split_first() else { return };
            (word, after) = (second, others);
        }
        rest = after;
        match name {
            "gw" => deprecated(reader, option, "via"),
            "to" => destination = true,
            "protocol" => protocol = Some(word),
            _ => {}
        }
        if name == "to" && matches!(word.as_str(), "default" | "any" | "all" | "default6") {
            continue;
        }
        if !accepts(reader, takes, name, word) {
            return;
        }
    }
    if let Some(word) = protocol.filter(|word| !no_track && *word != "keepalived" && *word != "18") {
        reader.push(
            Diagnostic::warning("bad-route", word.span(), "a tracked route cannot have another protocol")
                .help("add `no_track`, or remove `protocol`")
                .stock("sets the protocol to keepalived (18)"),
        );
    }
    if !destination {
        no_destination(reader, words);
    }
}

fn accepts<'a>(reader: &mut Reader<'a>, takes: Takes, name: &str, word: &'a Word) -> bool {
    let fine = match takes {
        Takes::Address => value::address(word).is_some(),
        Takes::Prefix => value::address_with_prefix(word, reader.world.mode).is_some(),
        Takes::Number | Takes::Metric => word.parse::<u32>().is_ok(),
        Takes::Time => {
            let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let unit = &word[digits.len()..];
            let number = digits.parse::<f64>();
            let fine = number.is_ok() && matches!(unit, "" | "s" | "sec" | "secs" | "ms");
            if let Ok(number) = number {
                let raw = match (unit, name) {
                    ("s" | "sec" | "secs", _) => number * 1000.0,
                    ("ms", _) | (_, "rto_min") => number,
                    (_, "rttvar") => number / 4.0,
                    _ => number / 8.0,
                };
                if fine && !(200.0..=120_000.0).contains(&raw) {
                    reader.push(
                        Diagnostic::warning(
                            "bad-route",
                            word.span(),
                            format!("`{name}` must be from 0.2 s to 120 s"),
                        )
                        .help("write the time with its unit, as in `200ms`")
                        .stock("moves it to the nearest limit"),
                    );
                }
            }
            fine
        }
        Takes::Interface => {
            tracking::name_interface(reader, word, "a route");
            true
        }
        Takes::Nothing | Takes::Word => true,
    };
    if !fine {
        reader.push(dropped(word, format!("`{name}`: `{}` is no valid value", quoted(word))));
    }
    fine
}

/// The hops: a bad one ends the list, and the route keeps those before it.
fn nexthops<'a>(reader: &mut Reader<'a>, words: Item<'a>) {
    let mut rest = words;
    while let Some((option, after)) = rest.split_first() {
        rest = after;
        if matches!(option.as_str(), "via" | "weight" | "realms" | "dev" | "oif") {
            let Some((word, after)) = rest.split_first() else { return };
            rest = after;
            if option == "dev" || option == "oif" {
                tracking::name_interface(reader, word, "a nexthop");
            }
        }
    }
}

fn dropped(word: &Word, message: String) -> Diagnostic {
    Diagnostic::error("bad-route", word.span(), message).stock("drops the route")
}

fn no_destination(reader: &mut Reader<'_>, words: Item<'_>) {
    reader.push(
        Diagnostic::error("bad-route", super::item_span(words), "a route needs a destination")
            .help("write the prefix first, as in `192.0.2.0/24 via 198.51.100.1`")
            .stock("drops the route"),
    );
}

fn unknown(reader: &mut Reader<'_>, option: &Word) {
    let mut report = dropped(option, format!("`{}` is no word of a route", quoted(option)));
    if let Some(meant) = did_you_mean(option, OPTIONS.iter().map(|(name, _)| *name)) {
        report = report.help(format!("did you mean `{meant}`?"));
    }
    reader.push(report);
}

fn deprecated(reader: &mut Reader<'_>, option: &Word, successor: &str) {
    reader.push(
        Diagnostic::warning(
            "deprecated-keyword",
            option.span(),
            format!("`{}` in routes is deprecated", option.as_str()),
        )
        .help(format!("write `{successor}`"))
        .stock("accepts it, but `-t` counts it as an error"),
    );
}
