//! `keepalived.json`: an array with one object an instance, on one line; in version 2 below a key, and beside it what
//! is known of tracked processes. spec/dump-format.md §7.
//!
//! Written by hand: the order of the keys, the escaped slash and the mixture of booleans and 0/1 are stock's.

use std::fmt::Write as _;

use super::clock::Clock;
use super::routing;
use super::text::{self, Installed, shortest};
use crate::config::model::{
    Auth, Command, Instance, ParametersMatch, TrackProcess, VirtualAddress, VrrpPart, VrrpVersion,
};
use crate::vrrp::{Counters, InstanceSnapshot, ProcessSnapshot, Snapshot, VrrpState};

/// The whole file. Stock writes none when there is no instance.
pub fn json(part: &VrrpPart, snapshot: &Snapshot, clock: Clock) -> Option<String> {
    if part.instances.is_empty() {
        return None;
    }
    let entries: Vec<_> = part
        .instances
        .iter()
        .zip(&snapshot.instances)
        .map(|(config, now)| {
            let data = data(part, config, now, clock);
            format!("{{\"data\":{},\"stats\":{}}}", data.finish(), stats(now.counters).finish())
        })
        .collect();
    let instances = format!("[{}]", entries.join(","));
    if part.global.files.json_version < 2 {
        return Some(instances + "\n");
    }
    let mut whole = Object::default();
    whole.number("vrrp", instances);
    let processes = part.track_processes.iter().zip(&snapshot.processes);
    let processes: Vec<_> = processes.map(|(config, now)| process(config, *now).finish()).collect();
    if !processes.is_empty() {
        whole.number("track_process", format_args!("[{}]", processes.join(",")));
    }
    Some(whole.finish() + "\n")
}

fn process(config: &TrackProcess, now: ProcessSnapshot) -> Object {
    let mut o = Object::default();
    o.string("process", &config.command);
    if !config.parameters.is_empty() {
        o.string("parameters", &config.parameters.join(" "));
    }
    o.string(
        "param_match",
        match config.parameters_match {
            ParametersMatch::Any => "none",
            ParametersMatch::Exact => "exact",
            ParametersMatch::Partial => "partial",
            ParametersMatch::Initial => "initial",
        },
    );
    o.number("min_processes", config.quorum);
    if let Some(max) = config.quorum_max {
        o.number("max_processes", max);
    }
    o.number("current_processes", now.count);
    o.number("have_quorum", now.has_quorum);
    o.number("weight", if config.reverse { -config.weight } else { config.weight });
    o.number("terminate_delay", shortest(config.terminate_delay));
    o.number("fork_delay", shortest(config.fork_delay));
    o.number("fork_delay_timer_running", now.fork_timer);
    o.number("terminate_delay_timer_running", now.terminate_timer);
    o.number("full_command", config.full_command);
    o
}

fn data(part: &VrrpPart, config: &Instance, now: &InstanceSnapshot, clock: Clock) -> Object {
    let mut o = Object::default();
    o.string("iname", &config.name);
    o.number("dont_track_primary", u8::from(config.dont_track_primary));
    o.number("skip_check_adv_addr", u8::from(config.skip_check_adv_addr));
    o.number("strict_mode", u8::from(config.strict));
    o.string("vmac_ifname", config.links.own.as_ref().map_or("", |own| &own.name));
    if let Some(interface) = config.shown_interface() {
        o.string("ifp_ifname", interface);
    }
    o.number("master_priority", now.master.map_or(0, |(_, priority)| priority));
    o.number("last_transition", clock.epoch_of(now.last_transition));
    let garp = &config.garp;
    o.number("garp_delay", shortest(garp.delay));
    o.number("garp_refresh", garp.refresh.as_secs());
    o.number("garp_rep", garp.repeat);
    o.number("garp_refresh_rep", garp.refresh_repeat);
    o.number("garp_lower_prio_delay", garp.lower_prio_delay.as_secs());
    o.number("garp_lower_prio_rep", garp.lower_prio_repeat);
    o.number("lower_prio_no_advert", u8::from(config.lower_prio_no_advert));
    o.number("higher_prio_send_advert", u8::from(config.higher_prio_send_advert));
    o.number("vrid", config.vrid);
    o.number("base_priority", config.priority);
    o.number("effective_priority", now.effective_priority);
    o.number("vipset", now.state == VrrpState::Master);
    o.number("promote_secondaries", config.promote_secondaries);
    o.number("adver_int", shortest(config.advert_int.duration()));
    o.number("master_adver_int", shortest(now.master_advert_int.duration()));
    o.number("accept", u8::from(config.accept));
    o.number("nopreempt", !config.preempt);
    o.number("preempt_delay", config.preempt_delay.as_secs());
    o.number("state", now.state.code());
    o.number("wantstate", now.wanted.code());
    o.number(
        "version",
        match config.version {
            VrrpVersion::V2 => 2,
            VrrpVersion::V3 => 3,
        },
    );
    o.number("smtp_alert", config.smtp_alert);
    o.number("notify_deleted", config.notify_deleted);
    let notify = &config.notify;
    for (key, command) in [
        ("script_backup", &notify.backup),
        ("script_master", &notify.master),
        ("script_fault", &notify.fault),
        ("script_stop", &notify.stop),
        ("script_deleted", &notify.deleted),
        ("script", &notify.generic),
        ("script_master_rx_lower_pri", &notify.rx_lower_pri),
    ] {
        if let Some(command) = command {
            o.string(key, &text::words(command));
        }
    }
    o.strings("vips", lines(config, &config.vips, &now.vips_set));
    o.strings("evips", lines(config, &config.excluded, &now.excluded_set));
    o.strings("vroutes", config.routes.iter().map(routing::route));
    o.strings("vrules", config.rules.iter().map(routing::rule));
    o.strings("track_ifp", config.track_interfaces.iter().map(|tracked| tracked.interface.clone()));
    let command = |name: &str| -> Option<&Command> {
        part.scripts.iter().find(|script| script.name == name).map(|script| &script.command)
    };
    let commands = config.track_scripts.iter().filter_map(|tracked| command(&tracked.script));
    o.strings("track_script", commands.map(text::words));
    o.strings("track_process", config.track_processes.iter().map(|tracked| tracked.name.clone()));
    match config.auth {
        Auth::None | Auth::Hmac(_) => o.number("auth_type", 0),
        Auth::Pass(_) | Auth::Ah(_) => {
            o.number("auth_type", if matches!(config.auth, Auth::Pass(_)) { 1 } else { 2 });
            o.string("auth_data", "********");
        }
    }
    o
}

fn lines<'a>(
    config: &'a Instance,
    addresses: &'a [VirtualAddress],
    set: &'a [bool],
) -> impl Iterator<Item = String> + 'a {
    let set = set.iter().chain(std::iter::repeat(&false));
    addresses.iter().zip(set).map(|(address, set)| {
        text::address_of(config, address, if *set { Installed::Yes } else { Installed::No })
    })
}

fn stats(counters: Counters) -> Object {
    let mut o = Object::default();
    for (key, value) in [
        ("advert_rcvd", counters.advert_rcvd),
        ("advert_sent", counters.advert_sent),
        ("become_master", counters.become_master),
        ("release_master", counters.release_master),
        ("packet_len_err", counters.packet_len_err),
        ("advert_interval_err", counters.advert_interval_err),
        ("ip_ttl_err", counters.ip_ttl_err),
        ("invalid_type_rcvd", counters.invalid_type_rcvd),
        ("addr_list_err", counters.addr_list_err),
        ("invalid_authtype", counters.invalid_authtype),
        ("authtype_mismatch", counters.authtype_mismatch),
        ("auth_failure", counters.auth_failure),
        ("auth_ext_missing", counters.auth_ext_missing),
        ("auth_ext_malformed", counters.auth_ext_malformed),
        ("auth_ext_unknown_key", counters.auth_ext_unknown_key),
        ("auth_ext_invalid_hmac", counters.auth_ext_invalid_hmac),
        ("auth_ext_stale", counters.auth_ext_stale),
        ("auth_ext_replay", counters.auth_ext_replay),
        ("pri_zero_rcvd", counters.pri_zero_rcvd),
        ("pri_zero_sent", counters.pri_zero_sent),
    ] {
        o.number(key, value);
    }
    o
}

/// A JSON object under construction; keys stay in the order in which they come.
#[derive(Default)]
struct Object(String);

impl Object {
    fn key(&mut self, key: &str) {
        let comma = if self.0.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{comma}\"{key}\":");
    }

    /// A number or a boolean: whatever displays as one.
    fn number(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        let _ = write!(self.0, "{value}");
    }

    fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        self.0.push_str(&quoted(value));
    }

    /// Absent when empty.
    fn strings(&mut self, key: &str, values: impl Iterator<Item = String>) {
        let values: Vec<_> = values.map(|value| quoted(&value)).collect();
        if !values.is_empty() {
            self.number(key, format_args!("[{}]", values.join(",")));
        }
    }

    fn finish(self) -> String {
        format!("{{{}}}", self.0)
    }
}

/// A JSON string; `/` is escaped, too.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' | '/' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn strings_are_escaped_as_stock_and_json_want_it() {
        assert_eq!(quoted("'/a' \"b\"\n\u{1}"), "\"'\\/a' \\\"b\\\"\\n\\u0001\"");
        let read: String = serde_json::from_str(&quoted("a/b\\c\"\u{7f}é")).unwrap();
        assert_eq!(read, "a/b\\c\"\u{7f}é");
    }

    #[test]
    fn empty_lists_are_absent() {
        let mut o = Object::default();
        o.number("a", 1);
        o.strings("b", std::iter::empty());
        o.strings("c", ["x/y".to_owned()].into_iter());
        assert_eq!(o.finish(), r#"{"a":1,"c":["x\/y"]}"#);
    }

    #[test]
    fn a_tracked_process_has_stocks_keys_in_stocks_order() {
        let config = TrackProcess {
            name: "p".into(),
            command: "/usr/sbin/nginx".into(),
            parameters: vec!["-g".into(), "x".into()],
            parameters_match: ParametersMatch::Partial,
            full_command: true,
            quorum: 1,
            quorum_max: Some(4),
            terminate_delay: Duration::ZERO,
            fork_delay: Duration::from_millis(500),
            weight: 20,
            reverse: true,
        };
        let now = ProcessSnapshot { count: 3, has_quorum: true, ..ProcessSnapshot::default() };
        assert_eq!(
            process(&config, now).finish(),
            "{\"process\":\"\\/usr\\/sbin\\/nginx\",\"parameters\":\"-g x\",\"param_match\":\"partial\",\
             \"min_processes\":1,\"max_processes\":4,\"current_processes\":3,\"have_quorum\":true,\"weight\":-20,\
             \"terminate_delay\":0,\"fork_delay\":0.5,\"fork_delay_timer_running\":false,\
             \"terminate_delay_timer_running\":false,\"full_command\":true}"
        );
        let plain = TrackProcess {
            parameters: Vec::new(),
            parameters_match: ParametersMatch::Any,
            quorum_max: None,
            ..config
        };
        let text = process(&plain, now).finish();
        assert!(!text.contains("parameters\"") && !text.contains("max_processes"), "{text}");
    }
}
