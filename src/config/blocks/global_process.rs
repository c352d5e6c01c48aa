//! The words of `global_defs` about single processes: priorities, CPUs, limits, umask (spec/global-defs.md).

use std::time::Duration;

use super::global_values::{number, quoted_text};
use crate::config::diagnostic::Diagnostic;
use crate::config::model::Scheduling;
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{Given, Keyword, Mark, Missing, Shape, keyword, lenient};
use crate::config::syntax::Word;
use crate::config::value::{self, Reading, Strictness};

pub(super) const KEYWORDS: &[Keyword] = &[
    keyword("max_auto_priority", Shape::Words, "Limit of automatic real-time priority [-1..99].")
        .default("0 (off)")
        .mark(Mark::B)
        .apply(|r, g| {
            let limit = auto_priority(r, g);
            if let Some(limit) = limit {
                r.drafts.global.values.max_auto_priority = limit;
            }
        }),
    keyword(
        "min_auto_priority_delay",
        lenient(1, 10_000_000),
        "Lateness of a timer that raises it, microseconds.",
    )
    .default("1000000")
    .missing(Missing::Warns)
    .apply(|r, g| r.drafts.global.values.min_auto_priority_delay = Duration::from_micros(u64::from(g.u32()))),
    keyword("vrrp_priority", lenient(-20, 19), "Nice value of the VRRP process.")
        .default("0")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .invalid_sets(0)
        .apply(|r, g| r.drafts.global.values.vrrp_scheduling.nice = nice(g)),
    keyword("vrrp_no_swap", Shape::Flag, "Lock the memory of the VRRP process.")
        .apply(|r, _| r.drafts.global.values.vrrp_scheduling.no_swap = true),
    keyword("vrrp_rt_priority", Shape::Words, "Real-time priority of the VRRP process, 1..99.")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .apply(|r, g| realtime(r, g, |r| &mut r.drafts.global.values.vrrp_scheduling)),
    keyword("vrrp_cpu_affinity", Shape::Words, "CPUs of the VRRP process.")
        .since("≤2.0.17")
        .missing(Missing::Warns)
        .apply(|r, g| cpus(r, g, |r| &mut r.drafts.global.values.vrrp_scheduling)),
    keyword(
        "vrrp_rlimit_rttime",
        lenient(1, 4_294_967_295),
        "Real-time CPU limit of the VRRP process, microseconds.",
    )
    .default("10000")
    .invalid_sets(0)
    .apply(|r, g| r.drafts.global.values.vrrp_scheduling.rlimit_rttime = rttime(g)),
    keyword("vrrp_rlimit_rtime", lenient(1, 4_294_967_295), "Old spelling of vrrp_rlimit_rttime.")
        .invalid_sets(0)
        .old_for("vrrp_rlimit_rttime")
        .apply(|r, g| r.drafts.global.values.vrrp_scheduling.rlimit_rttime = rttime(g)),
    keyword("checker_priority", lenient(-20, 19), "Nice value of the checker process.")
        .default("0")
        .missing(Missing::Warns)
        .invalid_sets(0)
        .apply(|r, g| r.drafts.global.values.checker_scheduling.nice = nice(g)),
    keyword("checker_no_swap", Shape::Flag, "Lock the memory of the checker process.")
        .apply(|r, _| r.drafts.global.values.checker_scheduling.no_swap = true),
    keyword("checker_rt_priority", Shape::Words, "Real-time priority of the checker process, 1..99.")
        .missing(Missing::Warns)
        .apply(|r, g| realtime(r, g, |r| &mut r.drafts.global.values.checker_scheduling)),
    keyword("checker_cpu_affinity", Shape::Words, "CPUs of the checker process.")
        .since("≤2.0.17")
        .missing(Missing::Warns)
        .apply(|r, g| cpus(r, g, |r| &mut r.drafts.global.values.checker_scheduling)),
    keyword(
        "checker_rlimit_rttime",
        lenient(1, 4_294_967_295),
        "Real-time CPU limit of the checker process, microseconds.",
    )
    .default("10000")
    .invalid_sets(0)
    .apply(|r, g| r.drafts.global.values.checker_scheduling.rlimit_rttime = rttime(g)),
    keyword("checker_rlimit_rtime", lenient(1, 4_294_967_295), "Old spelling of checker_rlimit_rttime.")
        .invalid_sets(0)
        .old_for("checker_rlimit_rttime")
        .apply(|r, g| r.drafts.global.values.checker_scheduling.rlimit_rttime = rttime(g)),
    keyword("bfd_priority", lenient(-20, 19), "Nice value of the BFD process.")
        .missing(Missing::Warns)
        .invalid_sets(0)
        .apply(|r, g| r.drafts.global.values.bfd_scheduling.nice = nice(g)),
    keyword("bfd_no_swap", Shape::Flag, "Lock the memory of the BFD process.")
        .apply(|r, _| r.drafts.global.values.bfd_scheduling.no_swap = true),
    keyword("bfd_rt_priority", Shape::Words, "Real-time priority of the BFD process, 1..99.")
        .missing(Missing::Warns)
        .apply(|r, g| realtime(r, g, |r| &mut r.drafts.global.values.bfd_scheduling)),
    keyword("bfd_cpu_affinity", Shape::Words, "CPUs of the BFD process.")
        .since("≤2.0.17")
        .missing(Missing::Warns)
        .apply(|r, g| cpus(r, g, |r| &mut r.drafts.global.values.bfd_scheduling)),
    keyword(
        "bfd_rlimit_rttime",
        lenient(1, 4_294_967_295),
        "Real-time CPU limit of the BFD process, microseconds.",
    )
    .invalid_sets(0)
    .apply(|r, g| r.drafts.global.values.bfd_scheduling.rlimit_rttime = rttime(g)),
    keyword("bfd_rlimit_rtime", lenient(1, 4_294_967_295), "Old spelling of bfd_rlimit_rttime.")
        .invalid_sets(0)
        .old_for("bfd_rlimit_rttime")
        .apply(|r, g| r.drafts.global.values.bfd_scheduling.rlimit_rttime = rttime(g)),
    keyword("umask", Shape::Words, "umask, as a number in C notation or as IRUSR | IWGRP …")
        .default("IXUSR | IRWXG | IRWXO")
        .since("≤1.3.2")
        .missing(Missing::Stops)
        .apply(umask),
];

fn nice(given: Given<'_>) -> Option<i8> {
    i8::try_from(given.int()).ok()
}

/// 1 becomes 2; a bad value has set 0.
fn rttime(given: Given<'_>) -> Duration {
    let micros = if given.int() == 1 { 2 } else { given.u32() };
    Duration::from_micros(u64::from(micros))
}

/// Nothing behind the word is the maximum.
fn auto_priority(reader: &mut Reader<'_>, given: Given<'_>) -> Option<i8> {
    let Some(word) = given.argument(0) else { return Some(99) };
    i8::try_from(number(reader, given, word, -1, 99, Strictness::Lenient)?).ok()
}

fn realtime<'a>(
    reader: &mut Reader<'a>,
    given: Given<'a>,
    slot: for<'b> fn(&'b mut Reader<'a>) -> &'b mut Scheduling,
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
    slot(reader).realtime = u8::try_from(clamped).ok();
}

fn cpus<'a>(
    reader: &mut Reader<'a>,
    given: Given<'a>,
    slot: for<'b> fn(&'b mut Reader<'a>) -> &'b mut Scheduling,
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
    slot(reader).cpu_affinity.extend(list);
}

fn umask<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
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

fn umask_bits(text: &str) -> Option<u32> {
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
