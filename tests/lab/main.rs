//! The lab: black-box cases on real kernels, with stock keepalived as the other router and as the measure.
//!
//! `LAB_SUBJECT` and `LAB_PEER` choose the programs (`stock`, `ours` or a path); without them ours plays against stock and
//! against itself. `LAB_REQUIRED` makes missing prerequisites a failure instead of a skip; `LAB_STRICT` forbids second tries
//! of what failed beside others. Own options before libtest's: none; everything else is as with `cargo test` (a filter,
//! `--exact`, `--list`, `--test-threads`).
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports to a terminal")]

mod bfd_frr;
mod case;
mod daemon_files;
mod dbus;
mod dbus_whole;
mod farm;
mod inner;
mod kit;
mod log_words;
mod lvs_checks;
mod lvs_drain;
mod lvs_forms;
mod lvs_host;
mod lvs_http2;
mod lvs_other_checks;
mod lvs_patterns;
mod lvs_release;
mod lvs_table;
mod lvs_timing;
mod lvs_tls;
mod lvs_traffic;
mod mail_of_checks;
mod notify_fifo;
mod notify_mail;
mod notify_scripts;
mod notify_words;
mod packages;
mod pair;
mod process_words;
mod readers;
mod recording;
mod recording_servers;
mod reporter;
mod runner;
mod scripts_rules;
mod snmp;
mod snmp_whole;
mod systemd;
mod twins;
mod vrrp_addresses;
mod vrrp_announce;
mod vrrp_basic;
mod vrrp_bfd;
mod vrrp_daemon;
mod vrrp_guest;
mod vrrp_interfaces;
mod vrrp_links;
mod vrrp_long;
mod vrrp_namespace;
mod vrrp_others;
mod vrrp_process;
mod vrrp_repair;
mod vrrp_routes;
mod vrrp_stock;
mod vrrp_track;
mod vrrp_vmac;
mod vrrp_watch;
mod vrrp_wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    kit::net::remember_home();
    inner::main().unwrap_or_else(runner::main)
}

/// Every case, in the order they are begun.
fn cases() -> Vec<&'static case::Case> {
    [
        vrrp_basic::CASES,
        vrrp_track::CASES,
        vrrp_vmac::CASES,
        vrrp_interfaces::CASES,
        vrrp_namespace::CASES,
        vrrp_long::CASES,
        vrrp_guest::CASES,
        vrrp_links::CASES,
        vrrp_watch::CASES,
        vrrp_bfd::CASES,
        vrrp_addresses::CASES,
        vrrp_announce::CASES,
        vrrp_routes::CASES,
        vrrp_repair::CASES,
        vrrp_daemon::CASES,
        daemon_files::CASES,
        vrrp_stock::CASES,
        vrrp_wire::CASES,
        reporter::CASES,
        readers::CASES,
        dbus::CASES,
        dbus_whole::CASES,
        snmp::CASES,
        snmp_whole::CASES,
        vrrp_others::CASES,
        vrrp_process::CASES,
        process_words::CASES,
        log_words::CASES,
        bfd_frr::CASES,
        lvs_table::CASES,
        lvs_release::CASES,
        lvs_forms::CASES,
        lvs_host::CASES,
        lvs_drain::CASES,
        lvs_checks::CASES,
        lvs_other_checks::CASES,
        lvs_patterns::CASES,
        notify_fifo::CASES,
        lvs_timing::CASES,
        lvs_http2::CASES,
        lvs_tls::CASES,
        lvs_traffic::CASES,
        notify_mail::CASES,
        mail_of_checks::CASES,
        notify_scripts::CASES,
        notify_words::CASES,
        scripts_rules::CASES,
        recording::CASES,
        recording_servers::CASES,
        systemd::CASES,
        if kit::place::wants_packages() { packages::CASES } else { &[] },
    ]
    .into_iter()
    .flatten()
    .collect()
}
