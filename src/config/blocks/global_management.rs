//! The words of `global_defs` about SNMP, D-Bus, reload and the places of files (spec/global-defs.md).

use super::global_values::{first, surplus};
use crate::config::model::ReloadMarker;
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{
    Apply, Given, Keyword, Mark, Missing, Repeat, Shape, keyword, lenient, micros, strict,
};
use crate::config::suggest::did_you_mean;

pub(super) const MANAGEMENT: &[Keyword] = &[
    keyword("snmp_socket", Shape::Word, "AgentX socket.")
        .default("unix:/var/agentx/master")
        .mark(Mark::B)
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .apply(|r, g| {
            if !surplus(r, g, 1) && first(r, g) {
                r.drafts.global.values.snmp.socket = Some(g.text().to_owned());
            }
        }),
    keyword("enable_traps", Shape::Flag, "Send SNMP traps.")
        .mark(Mark::B)
        .apply(|r, _| r.drafts.global.values.snmp.traps = true),
    keyword("enable_snmp_vrrp", Shape::Flag, "The VRRP part of the KEEPALIVED MIB.")
        .mark(Mark::B)
        .apply(|r, _| r.drafts.global.values.snmp.vrrp = true),
    keyword("enable_snmp_keepalived", Shape::Flag, "Old spelling of enable_snmp_vrrp.")
        .old_for("enable_snmp_vrrp")
        .apply(|r, _| r.drafts.global.values.snmp.vrrp = true),
    keyword("enable_snmp_rfc", Shape::Flag, "The MIBs of RFC 2787 and RFC 6527.").mark(Mark::B).apply(
        |r, _| {
            let snmp = &mut r.drafts.global.values.snmp;
            (snmp.rfc_v2, snmp.rfc_v3) = (true, true);
        },
    ),
    keyword("enable_snmp_rfcv2", Shape::Flag, "The MIB of RFC 2787.")
        .apply(|r, _| r.drafts.global.values.snmp.rfc_v2 = true),
    keyword("enable_snmp_rfcv3", Shape::Flag, "The MIB of RFC 6527.")
        .apply(|r, _| r.drafts.global.values.snmp.rfc_v3 = true),
    keyword("enable_snmp_checker", Shape::Flag, "The checker part of the KEEPALIVED MIB.")
        .mark(Mark::B)
        .apply(|r, _| r.drafts.global.values.snmp.checker = true),
    keyword(
        "snmp_vs_stats_update_interval",
        micros(1_000, 30_000_000),
        "Least age of statistics before SNMP reads anew.",
    )
    .default("5")
    .since(">2.2.7")
    .apply(|r, g| r.drafts.global.values.snmp.vs_interval = g.time()),
    keyword("snmp_rs_stats_update_interval", micros(1_000, 30_000_000), "The same for real servers.")
        .default("snmp_vs_stats_update_interval")
        .since(">2.2.7")
        .apply(|r, g| r.drafts.global.snmp_rs_interval = Some(g.time())),
    keyword("enable_dbus", Shape::Flag, "The D-Bus interface.")
        .mark(Mark::B)
        .apply(|r, _| r.drafts.global.values.dbus.enabled = true),
    keyword("dbus_service_name", Shape::Word, "Name on the bus.")
        .default("org.keepalived.Vrrp1")
        .missing(Missing::Warns)
        .apply(|r, g| r.drafts.global.values.dbus.service_name = Some(g.text().to_owned())),
    keyword("dbus_no_interface_name", Shape::Word, "Path element of an instance without interface.")
        .since(">2.2.7")
        .missing(Missing::Warns)
        .apply(|r, g| r.drafts.global.values.dbus.no_interface_name = Some(g.text().to_owned())),
    keyword("random_seed", strict(0, 4_294_967_295), "Seed of ${_RANDOM}; never had an effect.").nothing(),
];

pub(super) const RELOAD_AND_DUMPS: &[Keyword] = &[
    keyword("reload_check_config", Shape::Words, "Check a new configuration before it is used [LOGFILE].")
        .mark(Mark::B)
        .apply(|r, g| {
            let log = g.argument(0).map_or("/dev/null", |word| word.as_str());
            r.drafts.global.values.reload.check_log = Some(log.to_owned());
        }),
    keyword("reload_time_file", Shape::Word, "File with the time of the next reload.")
        .missing(Missing::Warns)
        .apply(|r, g| {
            if !surplus(r, g, 1) {
                r.drafts.global.values.reload.time_file = Some(g.text().to_owned());
            }
        }),
    keyword("reload_repeat", Shape::Flag, "Keep that file, so that a time of day repeats.")
        .apply(|r, _| r.drafts.global.values.reload.repeat = true),
    keyword("reload_file", Shape::Words, "File that exists while the configuration is read [PATH].").apply(
        |r, g| {
            r.drafts.global.values.reload.marker = match g.argument(0) {
                None => ReloadMarker::PidDirectory,
                Some(path) => ReloadMarker::Path(path.as_str().to_owned()),
            };
        },
    ),
    keyword(
        "include_check",
        Shape::Words,
        "Which include problems are fatal [[+|-]read|match|wildcard_match|brace_match].",
    )
    .apply(include_check),
    keyword("config_save_dir", Shape::Word, "Directory for copies of the configuration.")
        .apply(|r, g| r.drafts.global.values.files.config_save_dir = Some(g.text().to_owned())),
    keyword("tmp_config_directory", Shape::Word, "Directory of stock's unnamed copy; here it is in memory.")
        .missing(Missing::Warns)
        .repeat(Repeat::FirstWins)
        .apply(|r, g| {
            if first(r, g) {
                r.drafts.global.values.files.tmp_config_directory = Some(g.text().to_owned());
            }
        }),
    keyword("data_use_instance", Shape::Bool, "Instance and namespace in the names of the dump files.")
        .apply(|r, g| r.drafts.global.values.files.data_use_instance = g.bool()),
    keyword("json_version", lenient(1, 2), "Layout of the JSON dump.")
        .default("1")
        .since(">2.2.7")
        .missing(Missing::Warns)
        .apply(|r, g| r.drafts.global.values.files.json_version = g.u8()),
    keyword("iproute_usr_dir", Shape::Word, "Where rt_tables and the like are, low precedence.")
        .since(">2.2.7")
        .missing(Missing::Warns)
        .one_word()
        .apply(|r, g| g.text().clone_into(&mut r.drafts.global.values.files.iproute_usr_dir)),
    keyword("iproute_etc_dir", Shape::Word, "Where rt_tables and the like are, high precedence.")
        .since(">2.2.7")
        .missing(Missing::Warns)
        .one_word()
        .apply(|r, g| g.text().clone_into(&mut r.drafts.global.values.files.iproute_etc_dir)),
    one_path("state_dump_file", "File of SIGUSR1; a trailing / makes it a directory.", |r, g| {
        r.drafts.global.values.files.state_dump = Some(g.text().to_owned());
    }),
    one_path("stats_dump_file", "File of SIGUSR2; a trailing / makes it a directory.", |r, g| {
        r.drafts.global.values.files.stats_dump = Some(g.text().to_owned());
    }),
    one_path("json_dump_file", "File of the JSON dump; a trailing / makes it a directory.", |r, g| {
        r.drafts.global.values.files.json_dump = Some(g.text().to_owned());
    }),
];

const fn one_path(name: &'static str, help: &'static str, apply: Apply) -> Keyword {
    keyword(name, Shape::Word, help).since(">2.2.7").missing(Missing::Warns).one_word().apply(apply)
}

fn include_check<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
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
