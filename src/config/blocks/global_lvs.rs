//! The words of `global_defs` about IPVS and the checkers (spec/global-defs.md).

use super::global_values::{first, number, table_name};
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::model::{FlushOnStop, NftablesIpvs, SyncDaemon};
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{Given, Keyword, Mark, Missing, Repeat, Shape, keyword, strict};
use crate::config::syntax::Word;
use crate::config::value::{self, Strictness};

pub(super) const KEYWORDS: &[Keyword] = &[
    keyword("lvs_timeouts", Shape::Words, "IPVS timeouts in seconds: [tcp S] [tcpfin S] [udp S].")
        .mark(Mark::B)
        .since("≤2.0.7")
        .repeat(Repeat::Accumulates)
        .apply(lvs_timeouts),
    keyword("lvs_flush", Shape::Flag, "Flush the whole IPVS table at start.")
        .default("off")
        .mark(Mark::B)
        .since("≤1.2.23")
        .apply(|r, _| r.drafts.global.values.lvs_flush = true),
    keyword("lvs_flush_on_stop", Shape::Words, "Flush at stop: the whole table, or [VS] our services.")
        .default("off")
        .mark(Mark::B)
        .since("≤2.0.15")
        .apply(lvs_flush_on_stop),
    keyword("lvs_flush_onstop", Shape::Words, "Old spelling of lvs_flush_on_stop.")
        .since("≤2.0.15")
        .old_for("lvs_flush_on_stop")
        .apply(lvs_flush_on_stop),
    keyword(
        "lvs_sync_daemon",
        Shape::Words,
        "IPVS connection sync: IFNAME [[inst] INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group A].",
    )
    .mark(Mark::B)
    .since("≤1.2.20")
    .missing(Missing::Warns)
    .repeat(Repeat::FirstWins)
    .apply(lvs_sync_daemon),
    keyword("checker_log_all_failures", Shape::Bool, "Log each failed check, not only the last retry.")
        .default("false")
        .mark(Mark::B)
        .since("≤2.0.11")
        .apply(|r, g| r.drafts.global.values.checker_log_all_failures = g.bool()),
    keyword("rs_init_notifies", Shape::Bool, "Notify for real servers that come up at start.")
        .default("false")
        .apply(|r, g| r.drafts.global.values.rs_init_notifies = g.bool()),
    keyword("nftables_ipvs", Shape::Words, "nftables table that sets the fwmarks of groups [TABLE].")
        .default("off")
        .repeat(Repeat::FirstWins)
        .apply(|r, g| {
            if let Some(table) = table_name(r, g, "keepalived_ipvs") {
                let defaults = NftablesIpvs { table, priority: -1, start_fwmark: 1000 };
                r.drafts.global.values.nftables_ipvs = Some(defaults);
            }
        }),
    keyword("nftables_ipvs_priority", strict(i32::MIN as i64, i32::MAX as i64), "Priority of its chain.")
        .default("-1")
        .apply(|r, g| {
            if let Some(ipvs) = &mut r.drafts.global.values.nftables_ipvs {
                ipvs.priority = i32::try_from(g.int()).unwrap_or(-1);
            }
        }),
    keyword(
        "nftables_ipvs_start_fwmark",
        strict(1, 4_294_967_295),
        "First fwmark; must follow nftables_ipvs.",
    )
    .default("1000")
    .apply(|r, g| {
        if let Some(ipvs) = &mut r.drafts.global.values.nftables_ipvs {
            ipvs.start_fwmark = g.u32();
        }
    }),
    keyword(
        "lvs_netlink_cmd_rcv_bufs",
        strict(0, 4_294_967_295),
        "Receive buffer of the checkers' command socket.",
    )
    .missing(Missing::Warns)
    .apply(|r, g| r.drafts.global.values.buffers.lvs_command.bytes = g.u32()),
    keyword("lvs_netlink_cmd_rcv_bufs_force", Shape::Bool, "Exceed the system's limit for it.")
        .apply(|r, g| r.drafts.global.values.buffers.lvs_command.force = g.bool()),
    keyword(
        "lvs_netlink_monitor_rcv_bufs",
        strict(0, 4_294_967_295),
        "Receive buffer of the checkers' monitor socket.",
    )
    .missing(Missing::Warns)
    .apply(|r, g| r.drafts.global.values.buffers.lvs_monitor.bytes = g.u32()),
    keyword("lvs_netlink_monitor_rcv_bufs_force", Shape::Bool, "Exceed the system's limit for it.")
        .apply(|r, g| r.drafts.global.values.buffers.lvs_monitor.force = g.bool()),
];

fn lvs_timeouts<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
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

fn lvs_flush_on_stop<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
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

/// `IFNAME [[inst] INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group A]`
fn lvs_sync_daemon<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    if !first(reader, given) {
        return;
    }
    let Some(name) = given.argument(0) else { return };
    if !value::fits_interface(name) {
        reader
            .push(bad_value(given.keyword, name, "is no name of an interface").stock("the line is ignored"));
        return;
    }
    let mut daemon = SyncDaemon {
        interface: name.as_str().to_owned(),
        instance: None,
        id: None,
        max_length: None,
        port: None,
        ttl: None,
        group: None,
    };
    let words = given.arguments();
    let is_option =
        |word: &Word| matches!(word.as_str(), "inst" | "id" | "maxlen" | "port" | "ttl" | "group");
    let mut at = 1;
    if let Some(instance) = words.get(1).filter(|word| !is_option(word)) {
        daemon.instance = Some(instance.as_str().to_owned());
        at = 2;
        if let Some((word, id)) = words.get(2).and_then(|word| Some((word, word.parse::<u8>().ok()?))) {
            reader.push(
                bad_value(given.keyword, word, "is a number without its word")
                    .help(format!("write `id {id}`"))
                    .stock("uses it as id"),
            );
            daemon.id = Some(id);
            at = 3;
        }
    }
    while let Some(option) = words.get(at) {
        at += if is_option(option) { 2 } else { 1 };
        let Some(value) = words.get(at - 1).filter(|_| is_option(option)) else {
            let report = if !is_option(option) {
                bad_value(given.keyword, option, "is not known").stock("ignores it")
            } else if option == "inst" {
                let report = bad_value(given.keyword, option, "needs a value");
                report.class(Class::MissingArgument).stock("stops (exit 2)")
            } else {
                bad_value(given.keyword, option, "needs a value").stock("ignores it")
            };
            reader.push(report);
            continue;
        };
        sync_option(reader, given, &mut daemon, option, value);
    }
    reader.drafts.global.values.lvs_sync_daemon = Some(daemon);
}

fn sync_option<'a>(
    reader: &mut Reader<'a>,
    given: Given<'a>,
    daemon: &mut SyncDaemon,
    option: &Word,
    word: &Word,
) {
    let mut in_range = |min, max| number(reader, given, word, min, max, Strictness::Strict);
    match option.as_str() {
        "id" => daemon.id = small(in_range(0, 255)).or(daemon.id),
        "maxlen" => daemon.max_length = small(in_range(1, 65507)).or(daemon.max_length),
        "port" => daemon.port = small(in_range(1, 65535)).or(daemon.port),
        "ttl" => daemon.ttl = small(in_range(1, 255)).or(daemon.ttl),
        "group" => match value::address_before_suffix(word).filter(|address| value::is_multicast(*address)) {
            Some(group) => daemon.group = Some(group),
            None => {
                reader.push(bad_value(given.keyword, word, "is not a multicast address").stock("ignores it"));
            }
        },
        _ => daemon.instance = Some(word.as_str().to_owned()),
    }
}

fn small<T: TryFrom<i64>>(number: Option<i64>) -> Option<T> {
    T::try_from(number?).ok()
}
