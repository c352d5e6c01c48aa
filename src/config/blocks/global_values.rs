//! What the keywords of `global_defs` do with values that no shape describes (spec/global-defs.md).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::quoted;
use super::scripts::repeated;
use crate::config::diagnostic::Diagnostic;
use crate::config::model::{MailRelay, ReceivePolicy};
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::Given;
use crate::config::syntax::Word;
use crate::config::value::{self, Mode, Reading, Strictness};

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

pub(super) fn net_namespace<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    if first(reader, given) {
        reader.drafts.global.net_namespace = given.argument(0);
    }
}

/// The name of an nftables table; `None` when the line is ignored.
pub(super) fn table_name<'a>(
    reader: &mut Reader<'a>,
    given: Given<'a>,
    default: &'static str,
) -> Option<String> {
    if let Some(name) = given.argument(0).filter(|name| name.is_empty()) {
        reader.push(bad_value(given.keyword, name, "is no name for a table").stock("the line is ignored"));
        return None;
    }
    first(reader, given).then(|| given.argument(0).map_or(default, |name| name.as_str()).to_owned())
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
        let relay = MailRelay::Address(SocketAddr::new(address, port));
        reader.drafts.global.values.smtp_server = Some(relay);
        return;
    }
    if reader.world.mode == Mode::Run && plausible_host(host) {
        // Who sends the mail looks it up; neither start nor reload waits for a name server.
        let relay = MailRelay::Name { host: host.as_str().to_owned(), port };
        reader.drafts.global.values.smtp_server = Some(relay);
        return;
    }
    let resolved = if plausible_host(host) { reader.world.users.host(host) } else { None };
    match resolved {
        Some(address) => {
            let relay = MailRelay::Address(SocketAddr::new(address, port));
            reader.drafts.global.values.smtp_server = Some(relay);
        }
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

/// `[all] SECONDS`, for the global word and the instance's: is `all` there, and which period?
pub(super) fn garp_extra<'a>(
    reader: &mut Reader<'a>,
    given: Given<'a>,
    min: i64,
) -> (bool, Option<Duration>) {
    let all = given.arguments().iter().take_while(|word| *word == "all").count() > 0;
    let Some(word) = given.arguments().iter().find(|word| *word != "all") else {
        reader.push(
            Diagnostic::error(
                "missing-argument",
                given.head(),
                format!("`{}` needs a number of seconds", given.keyword.name),
            )
            .stock("the line is ignored"),
        );
        return (all, None);
    };
    let seconds = number(reader, given, word, min, 86_400, Strictness::Lenient);
    (all, seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs))
}

/// Without a number `all` sticks.
pub(super) fn garp_extra_if<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let (all, interval) = garp_extra(reader, given, 1);
    let extra = &mut reader.drafts.global.values.garp_extra_if;
    extra.all |= all;
    extra.interval = interval.unwrap_or(extra.interval);
}

/// MTU goes before ADVERT, a number before both. Wherever the number stands, stock converts the first word.
pub(super) fn rx_bufs_policy<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(first) = given.argument(0) else { return };
    let (mut mtu, mut advert, mut bytes) = (false, false, None);
    for word in given.arguments() {
        let (is_mtu, is_advert) = (word.eq_ignore_ascii_case("MTU"), word.eq_ignore_ascii_case("ADVERT"));
        if !is_mtu && !is_advert {
            bytes = number(reader, given, first, 0, 4_294_967_295, Strictness::Strict).or(bytes);
        } else if mtu || advert {
            reader.push(bad_value(given.keyword, word, "is a second policy").stock("ignores ADVERT"));
        }
        mtu |= is_mtu;
        advert |= is_advert;
    }
    let policy = match bytes.and_then(|bytes| u32::try_from(bytes).ok()) {
        Some(bytes) => ReceivePolicy::Bytes(bytes),
        None if mtu => ReceivePolicy::Mtu,
        None if advert => ReceivePolicy::Advert,
        None => return,
    };
    reader.drafts.global.values.rx_bufs = policy;
}
