//! What the keywords of `global_defs` do with values that no shape describes (spec/global-defs.md).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::quoted;
use super::scripts::{self, DefaultUser, repeated};
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::model::{FlushOnStop, Scheduling};
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::Given;
use crate::config::suggest::did_you_mean;
use crate::config::syntax::{ScriptWord, Word};
use crate::config::value::{self, Reading, Strictness};

pub(super) fn whole_seconds(given: Given<'_>) -> Duration {
    Duration::from_secs(u64::from(given.u32()))
}

/// 0 becomes 1 with a warning.
pub(super) fn at_least_one(reader: &mut Reader<'_>, given: Given<'_>) -> u64 {
    u64::from(at_least_one_u32(reader, given))
}

/// 0 becomes 1 with a warning.
pub(super) fn at_least_one_u32(reader: &mut Reader<'_>, given: Given<'_>) -> u32 {
    if given.int() == 0 {
        reader.push(
            Diagnostic::warning(
                "bad-value",
                given.value_span(),
                format!("`{}` must be at least 1", given.keyword.name),
            )
            .help(format!("write `{} 1`", given.keyword.name))
            .stock("uses 1"),
        );
    }
    given.u32().max(1)
}

pub(super) fn min_garp(garp: &mut crate::config::model::GarpSettings) {
    let default = crate::config::model::GarpSettings::default();
    if garp.repeat == default.repeat {
        garp.repeat = 1;
    }
    if garp.delay == default.delay {
        garp.delay = Duration::ZERO;
    }
    if garp.refresh == default.refresh {
        garp.refresh = Duration::ZERO;
    }
    if garp.refresh_repeat == default.refresh_repeat {
        garp.refresh_repeat = 0;
    }
}

pub(super) fn nice(given: Given<'_>) -> Option<i8> {
    i8::try_from(given.int()).ok()
}

/// Reports words behind the expected ones; were there any?
pub(super) fn surplus(reader: &mut Reader<'_>, given: Given<'_>, expected: usize) -> bool {
    let Some(extra) = given.argument(expected) else { return false };
    reader.push(
        Diagnostic::error(
            "surplus-words",
            extra.span(),
            format!("`{}` takes one word; this one is too many", given.keyword.name),
        )
        .help("put a value with blanks into double quotes")
        .stock("reports it"),
    );
    true
}

/// Is this the first line of the keyword? Otherwise reports it.
pub(super) fn first(reader: &mut Reader<'_>, given: Given<'_>) -> bool {
    let name = given.keyword.name;
    if let Some(&(_, before)) = reader.drafts.global.once.iter().find(|(known, _)| *known == name) {
        if before != given.head() {
            reader.push(repeated(given, before));
        }
        return false;
    }
    reader.drafts.global.once.push((name, given.head()));
    true
}

pub(super) fn first_wins<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    first(reader, given);
}

pub(super) fn net_namespace<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    if first(reader, given) {
        reader.drafts.global.net_namespace = given.argument(0);
    }
}

pub(super) fn table_name<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    if let Some(name) = given.argument(0).filter(|name| name.is_empty()) {
        reader.push(bad_value(given.keyword, name, "is no name for a table").stock("the line is ignored"));
    } else {
        first(reader, given);
    }
}

pub(super) fn only_option(reader: &mut Reader<'_>, given: Given<'_>, option: &str, stock: &'static str) {
    for word in given.arguments().iter().filter(|word| *word != option) {
        let report =
            bad_value(given.keyword, word, "is not known").help(format!("the only option is `{option}`"));
        reader.push(report.stock(stock));
    }
}

pub(super) fn process_name(reader: &mut Reader<'_>, given: Given<'_>) -> String {
    let name = given.text();
    if name.len() > 15 {
        reader.push(
            Diagnostic::warning(
                "bad-value",
                given.value_span(),
                format!("`{}` is longer than 15 bytes", quoted_text(name)),
            )
            .stock("cuts it to 15"),
        );
    }
    let mut end = name.len().min(15);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

pub(super) fn quoted_text(text: &str) -> String {
    crate::config::source::display(text).into_owned()
}

pub(super) fn number(
    reader: &mut Reader<'_>,
    given: Given<'_>,
    word: &Word,
    min: i64,
    max: i64,
    strictness: Strictness,
) -> Option<i64> {
    match value::integer(word, min, max, strictness, reader.world.mode) {
        Reading::Good(number) => Some(number),
        Reading::Used(number, _) => {
            reader.push(
                bad_value(given.keyword, word, "is not a whole number")
                    .stock(format!("a running daemon uses {number}; `-t` counts it as an error")),
            );
            Some(number)
        }
        Reading::Bad(_) => {
            reader.push(
                bad_value(given.keyword, word, &format!("is not a number from {min} to {max}"))
                    .stock("ignores it"),
            );
            None
        }
    }
}

/// SMTP servers are addresses or names; names are looked up where the daemon runs, not here.
pub(super) fn smtp_server<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(host) = given.argument(0) else { return };
    let port = match given.argument(1) {
        None => 25,
        Some(word) => match word.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => {
                reader.push(
                    bad_value(given.keyword, word, "is not a port (1..65535)").stock("sends no mail at all"),
                );
                return;
            }
        },
    };
    if let Some(address) = value::address(host).or_else(|| value::loose_ipv4(host).map(IpAddr::V4)) {
        reader.drafts.global.values.smtp_server = Some(SocketAddr::new(address, port));
        return;
    }
    let resolved = if plausible_host(host) { reader.world.users.host(host) } else { None };
    match resolved {
        Some(address) => reader.drafts.global.values.smtp_server = Some(SocketAddr::new(address, port)),
        None => reader.push(
            bad_value(given.keyword, host, "is neither an address nor a name that resolves")
                .help("write the address of the relay, as in `smtp_server 127.0.0.1 25`")
                .stock("sends no mail at all"),
        ),
    }
}

pub(super) fn plausible_host(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

pub(super) fn group(reader: &mut Reader<'_>, given: Given<'_>, v4: bool) -> Option<IpAddr> {
    let crate::config::schema::Value::Address(address) = given.value else { return None };
    let what = if address.is_ipv4() != v4 {
        "is of the other address family"
    } else if !value::is_multicast(address) {
        "is not a multicast address"
    } else {
        return Some(address);
    };
    reader.push(bad_group(given, what).stock("the line is ignored"));
    None
}

pub(super) fn bad_group(given: Given<'_>, what: &str) -> Diagnostic {
    let shown = given.argument(0).map(quoted).unwrap_or_default();
    Diagnostic::error("bad-value", given.value_span(), format!("`{}`: `{shown}` {what}", given.keyword.name))
}

/// `[all] SECONDS`, for the global word and the instance's.
pub(super) fn extra_interface_garp<'a>(reader: &mut Reader<'a>, given: Given<'a>, min: i64) {
    let mut found = false;
    for word in given.arguments() {
        if word == "all" {
            continue;
        }
        found = true;
        number(reader, given, word, min, 86_400, Strictness::Lenient);
        break;
    }
    if !found {
        reader.push(
            Diagnostic::error(
                "missing-argument",
                given.head(),
                format!("`{}` needs a number of seconds", given.keyword.name),
            )
            .stock("the line is ignored"),
        );
    }
}

pub(super) fn rx_bufs_policy<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(first) = given.argument(0) else { return };
    let mut policy = false;
    for word in given.arguments() {
        let named = word.eq_ignore_ascii_case("MTU") || word.eq_ignore_ascii_case("ADVERT");
        if !named {
            // Wherever the number stands, stock converts the first word.
            number(reader, given, first, 0, 4_294_967_295, Strictness::Strict);
        } else if std::mem::replace(&mut policy, true) {
            reader.push(bad_value(given.keyword, word, "is a second policy").stock("ignores ADVERT"));
        }
    }
}

pub(super) fn realtime<'a>(
    reader: &mut Reader<'a>,
    given: Given<'a>,
    slot: for<'b> fn(&'b mut Reader<'a>) -> Option<&'b mut Scheduling>,
) {
    let Some(word) = given.argument(0) else { return };
    let range = (i64::from(i32::MIN), i64::from(i32::MAX));
    let reading = value::integer(word, range.0, range.1, Strictness::Strict, reader.world.mode);
    let Reading::Good(number) = reading else {
        reader.push(bad_value(given.keyword, word, "is not a number").stock("the line is ignored"));
        return;
    };
    let clamped = number.clamp(1, 99);
    if clamped != number {
        let report = bad_value(given.keyword, word, "is outside 1..99").stock(format!("uses {clamped}"));
        reader.push(report);
    }
    if let Some(scheduling) = slot(reader) {
        scheduling.realtime = u8::try_from(clamped).ok();
    }
}

pub(super) fn cpus<'a>(
    reader: &mut Reader<'a>,
    given: Given<'a>,
    slot: for<'b> fn(&'b mut Reader<'a>) -> Option<&'b mut Scheduling>,
) {
    let mut list = Vec::new();
    let count = reader.world.facts.cpus;
    for word in given.arguments() {
        match word.parse::<u32>() {
            Ok(cpu) if count.is_none_or(|count| cpu < count) => list.push(cpu),
            _ => {
                reader.push(
                    bad_value(given.keyword, word, "is no CPU of this machine")
                        .stock("ignores the whole line"),
                );
                return;
            }
        }
    }
    if let Some(scheduling) = slot(reader) {
        scheduling.cpu_affinity.extend(list);
    }
}

pub(super) fn umask<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let text: String = given.arguments().iter().map(Word::as_str).collect::<Vec<_>>().join(" ");
    match umask_bits(&text) {
        Some(bits) => reader.drafts.global.values.umask = bits,
        None => reader.push(
            Diagnostic::error(
                "bad-value",
                given.value_span(),
                format!("`umask`: `{}` is no umask", quoted_text(&text)),
            )
            .help("write a number up to 0777, or names as in `IWGRP | IRWXO`")
            .stock("the line is ignored"),
        ),
    }
}

pub(super) fn umask_bits(text: &str) -> Option<u32> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let bits = match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16),
            None if text.len() > 1 && text.starts_with('0') => u32::from_str_radix(text, 8),
            None => text.parse(),
        };
        return bits.ok().filter(|&bits| bits <= 0o777);
    }
    let mut bits = 0;
    for name in text.split('|') {
        bits |= match name.trim() {
            "IRUSR" => 0o400,
            "IWUSR" => 0o200,
            "IXUSR" => 0o100,
            "IRWXU" => 0o700,
            "IRGRP" => 0o040,
            "IWGRP" => 0o020,
            "IXGRP" => 0o010,
            "IRWXG" => 0o070,
            "IROTH" => 0o004,
            "IWOTH" => 0o002,
            "IXOTH" => 0o001,
            "IRWXO" => 0o007,
            _ => return None,
        };
    }
    Some(bits)
}

pub(super) fn lvs_timeouts<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    if given.arguments().len() < 2 {
        reader.push(
            Diagnostic::error("missing-argument", given.head(), "`lvs_timeouts` needs at least one pair")
                .help("write `lvs_timeouts tcp 900`, or `tcpfin`, or `udp`")
                .stock("the line is ignored"),
        );
        return;
    }
    for pair in given.arguments().chunks(2) {
        let [name, rest @ ..] = pair else { continue };
        if !matches!(name.as_str(), "tcp" | "tcpfin" | "udp") {
            reader.push(bad_value(given.keyword, name, "is not one of tcp, tcpfin, udp").stock("ignores it"));
            continue;
        }
        let Some(word) = rest.first() else {
            reader.push(bad_value(given.keyword, name, "needs a number of seconds").stock("ignores it"));
            continue;
        };
        let Some(seconds) = number(reader, given, word, 0, 2_678_400, Strictness::Strict) else { continue };
        let seconds = u32::try_from(seconds).unwrap_or(0);
        let timeouts = &mut reader.drafts.global.values.lvs_timeouts;
        match name.as_str() {
            "tcp" => timeouts.tcp = seconds,
            "tcpfin" => timeouts.tcp_fin = seconds,
            _ => timeouts.udp = seconds,
        }
    }
}

pub(super) fn lvs_flush_on_stop<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let flush = match given.argument(0) {
        None => FlushOnStop::WholeTable,
        Some(word) if word == "VS" => FlushOnStop::OwnServices,
        Some(word) => {
            let report = bad_value(given.keyword, word, "is not known").help("write `VS`, or nothing");
            reader.push(report.stock("the line is ignored"));
            return;
        }
    };
    reader.drafts.global.values.lvs_flush_on_stop = flush;
}

pub(super) fn lvs_sync_daemon<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    if !first(reader, given) {
        return;
    }
    if let Some(name) = given.argument(0).filter(|name| !value::fits_interface(name)) {
        reader
            .push(bad_value(given.keyword, name, "is no name of an interface").stock("the line is ignored"));
        return;
    }
    let words = given.arguments();
    let is_option =
        |word: &Word| matches!(word.as_str(), "inst" | "id" | "maxlen" | "port" | "ttl" | "group");
    let mut at = 1;
    if words.get(1).is_some_and(|word| !is_option(word)) {
        at = 2;
        if let Some(word) = words.get(2).filter(|word| word.parse::<u8>().is_ok()) {
            reader.push(
                bad_value(given.keyword, word, "is a number without its word")
                    .help(format!("write `id {}`", word.as_str()))
                    .stock("uses it as id"),
            );
            at = 3;
        }
    }
    while let Some(option) = words.get(at) {
        let value = words.get(at + 1);
        let range = match option.as_str() {
            "id" => Some((0, 255)),
            "maxlen" => Some((1, 65507)),
            "port" => Some((1, 65535)),
            "ttl" => Some((1, 255)),
            _ => None,
        };
        match (range, value) {
            (_, None) if option == "inst" => {
                reader.push(
                    bad_value(given.keyword, option, "needs a value")
                        .class(Class::MissingArgument)
                        .stock("stops (exit 2)"),
                );
            }
            (_, None) => reader.push(bad_value(given.keyword, option, "needs a value").stock("ignores it")),
            (Some((min, max)), Some(word)) => {
                number(reader, given, word, min, max, Strictness::Strict);
            }
            (None, Some(word)) if option == "group" => {
                if !value::address_before_suffix(word).is_some_and(value::is_multicast) {
                    reader.push(
                        bad_value(given.keyword, word, "is not a multicast address").stock("ignores it"),
                    );
                }
            }
            (None, Some(_)) if option == "inst" => {}
            (None, Some(_)) => {
                reader.push(bad_value(given.keyword, option, "is not known").stock("ignores it"));
                at += 1;
                continue;
            }
        }
        at += 2;
    }
}

pub(super) fn script_user<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let as_script_word = |word: &Word| ScriptWord { text: word.as_str().to_owned(), span: word.span() };
    let words: Vec<ScriptWord> = given.arguments().iter().map(as_script_word).collect();
    let Some((user, rest)) = words.split_first() else { return };
    reader.drafts.global.default_user = match scripts::identity(reader, user, rest) {
        Ok(identity) => {
            reader.drafts.global.values.script_user = Some(identity);
            DefaultUser::Set(identity)
        }
        Err(mut report) => {
            report.severity = crate::config::diagnostic::Severity::Error;
            report.help = vec!["create the user, or name one that exists".to_owned()];
            reader.push(report.stock("drops every script that names no user of its own"));
            DefaultUser::Failed
        }
    };
}

pub(super) fn global_script<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    if first(reader, given)
        && let Some(script) = scripts::read(reader, given)
    {
        reader.drafts.global.scripts.push(script);
    }
}

pub(super) fn include_check<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    const KNOWN: [&str; 4] = ["read", "match", "wildcard_match", "brace_match"];
    let mut unsigned = false;
    for word in given.arguments() {
        let name = word.trim_start_matches(['+', '-']);
        if !KNOWN.contains(&name) {
            let mut report = bad_value(given.keyword, word, "is not known").stock("ignores it");
            report = match did_you_mean(name, KNOWN) {
                Some(meant) => report.help(format!("did you mean `{meant}`?")),
                None => report.help(format!("known are {}", KNOWN.join(", "))),
            };
            reader.push(report);
        } else if !word.starts_with(['+', '-']) && std::mem::replace(&mut unsigned, true) {
            reader.push(
                bad_value(given.keyword, word, "is a second word without sign")
                    .help(format!("write `+{name}`"))
                    .stock("ignores it"),
            );
        }
    }
}
