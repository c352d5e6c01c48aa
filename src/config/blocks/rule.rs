//! Lines of `virtual_rules` and `static_rules` (spec/vrrp-config.md §3.3): their syntax is checked as stock does.

use super::{item_span, list, quoted, tracking};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::schema::{Item, List};
use crate::config::suggest::did_you_mean;
use crate::config::syntax::Word;
use crate::config::value;

/// `virtual_rules`.
pub static VIRTUAL: List = list(check);
/// `static_rules`.
pub static STATIC: List = list(check);

/// Words that take one value; the second column names those that decide what happens to a packet.
const OPTIONS: &[(&str, bool)] = &[
    ("from", false),
    ("to", false),
    ("tos", false),
    ("dsfield", false),
    ("fwmark", false),
    ("iif", false),
    ("dev", false),
    ("oif", false),
    ("tunnel-id", false),
    ("uidrange", false),
    ("ipproto", false),
    ("sport", false),
    ("dport", false),
    ("table", true),
    ("lookup", true),
    ("goto", true),
    ("realms", false),
    ("suppress_prefixlength", false),
    ("sup_pl", false),
    ("suppress_ifgroup", false),
    ("sup_group", false),
    ("preference", false),
    ("priority", false),
    ("order", false),
    ("protocol", false),
    ("track_group", false),
];

fn check<'a>(reader: &mut Reader<'a>, words: Item<'a>) {
    let mut rest = words;
    let mut preference = false;
    let mut actions = 0;
    if let [family, after @ ..] = rest
        && (family == "inet" || family == "inet6")
    {
        // Stock swallows the word behind the family (spec/vrrp-config.md, trap 3).
        rest = after.get(1..).unwrap_or(&[]);
    }
    while let Some((option, after)) = rest.split_first() {
        rest = after;
        let name = option.as_str();
        match name {
            "not" | "no_track" | "type" => continue,
            "l3mdev" | "nop" | "blackhole" | "prohibit" | "unreachable" => {
                actions += 1;
                continue;
            }
            _ => {}
        }
        let Some(&(_, action)) = OPTIONS.iter().find(|(known, _)| *known == name) else {
            let mut report = dropped(option, format!("`{}` is no word of a rule", quoted(option)));
            if name == "pref" {
                report = report.help("write `preference`");
            } else if name == "ip_proto" {
                report = report.help("write `ipproto`");
            } else if let Some(meant) = did_you_mean(name, OPTIONS.iter().map(|(known, _)| *known)) {
                report = report.help(format!("did you mean `{meant}`?"));
            }
            reader.push(report);
            return;
        };
        let Some((word, after)) = rest.split_first() else {
            reader.push(dropped(option, format!("`{name}` needs a value")));
            return;
        };
        rest = after;
        actions += u32::from(action);
        preference |= matches!(name, "preference" | "priority" | "order");
        let fine = match name {
            "from" | "to" => {
                matches!(word.as_str(), "all" | "any" | "default")
                    || value::address_with_prefix(word, reader.world.mode).is_some()
            }
            "iif" | "dev" | "oif" => {
                tracking::name_interface(reader, word, "a rule");
                true
            }
            "sport" | "dport" | "uidrange" => word.contains('-'),
            _ => true,
        };
        if !fine {
            let mut report = dropped(word, format!("`{name}`: `{}` is no valid value", quoted(word)));
            if matches!(name, "sport" | "dport") {
                report = report.help(format!("write a range: `{name} {0}-{0}`", quoted(word)));
            }
            reader.push(report);
            return;
        }
    }
    if actions != 1 {
        reader.push(
            Diagnostic::error("bad-rule", item_span(words), "a rule needs exactly one action")
                .help("add `table T`, `goto N`, `nop`, `blackhole`, `prohibit` or `unreachable`")
                .stock("drops the rule"),
        );
        return;
    }
    if !preference {
        reader.push(
            Diagnostic::warning("bad-rule", item_span(words), "the rule has no preference")
                .help("add `preference N`")
                .stock("assigns one, from 16384 downwards"),
        );
    }
}

fn dropped(word: &Word, message: String) -> Diagnostic {
    Diagnostic::error("bad-rule", word.span(), message).stock("drops the rule")
}
