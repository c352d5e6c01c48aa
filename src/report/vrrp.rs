//! What the vrrp process writes: `keepalived.data` and `keepalived.stats`. spec/dump-format.md §3, §6.
//!
//! Lines of features that this daemon does not have show what stock shows while they are off, where stock shows
//! anything at all. Labels, spelling and blanks are stock's: programs read them.

use std::fmt::Arguments;

use super::clock::Clock;
use super::global::{Writer, global};
use super::routing;
use super::text::{self, Installed, shortest, yes};
use crate::config::model::{
    Auth, Family, Gaps, Global, Instance, NotifyScripts, SyncGroup, TrackedInterface, TrackedScript,
    Transport, VrrpPart, VrrpScript,
};
use crate::time::Time;
use crate::vrrp::Lateness;
use crate::vrrp::{Carrier, GroupSnapshot, Listener, ListenerKind, ScriptSnapshot, Snapshot, Verdict};

/// Everything a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The configuration.
    pub part: &'a VrrpPart,
    /// What the core says.
    pub snapshot: &'a Snapshot,
    /// Both clocks.
    pub clock: Clock,
    /// The sockets that are open.
    pub sockets: &'a [Socket],
}

/// One pair of sockets, as the driver opened it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// What the core asked for.
    pub listener: Listener,
    /// Descriptor of the receive socket, -1 while closed.
    pub fd_in: i32,
    /// Descriptor of the send socket, -1 while closed.
    pub fd_out: i32,
}

/// `keepalived.data`.
pub fn data(view: View<'_>) -> String {
    let mut out = String::new();
    global(&mut out, &view.part.global, Writer::Vrrp);
    let mut page = Page { out };
    let part = view.part;
    page.pacing(view);
    page.statics(view);
    if !part.instances.is_empty() {
        page.header("VRRP Topology");
    }
    for (instance, now) in part.instances.iter().zip(&view.snapshot.instances) {
        page.instance(view, instance, now);
    }
    page.sockets(view);
    if !part.sync_groups.is_empty() {
        page.header("VRRP Sync groups");
    }
    for (group, now) in part.sync_groups.iter().zip(&view.snapshot.groups) {
        page.group(&part.global, group, *now);
    }
    if !part.scripts.is_empty() {
        page.header("VRRP Scripts");
    }
    for (script, now) in part.scripts.iter().zip(&view.snapshot.scripts) {
        page.script(part, script, *now);
    }
    page.tracked(view);
    if !view.snapshot.interfaces.is_empty() {
        page.header("Interfaces");
    }
    for interface in &view.snapshot.interfaces {
        page.interface(view, interface);
    }
    page.lateness(view.snapshot.lateness);
    page.out
}

/// `keepalived.stats`; empty without instances.
pub fn stats(part: &VrrpPart, snapshot: &Snapshot) -> String {
    let mut page = Page { out: String::new() };
    for (instance, now) in part.instances.iter().zip(&snapshot.instances) {
        let counters = now.counters;
        page.put(format_args!("VRRP Instance: {}", instance.name));
        page.put(format_args!("  Advertisements:"));
        page.put(format_args!("    Received: {}", counters.advert_rcvd));
        page.put(format_args!("    Sent: {}", counters.advert_sent));
        page.put(format_args!("  Became master: {}", counters.become_master));
        page.put(format_args!("  Released master: {}", counters.release_master));
        for (title, rows) in [
            (
                "Packet Errors",
                &[
                    ("Length", counters.packet_len_err),
                    ("TTL", counters.ip_ttl_err),
                    ("Invalid Type", counters.invalid_type_rcvd),
                    ("Advertisement Interval", counters.advert_interval_err),
                    ("Address List", counters.addr_list_err),
                ][..],
            ),
            (
                "Authentication Errors",
                &[
                    ("Invalid Type", counters.invalid_authtype),
                    ("Type Mismatch", counters.authtype_mismatch),
                    ("Failure", counters.auth_failure),
                ],
            ),
            (
                "Authentication Extension Errors",
                &[
                    ("Missing", counters.auth_ext_missing),
                    ("Malformed", counters.auth_ext_malformed),
                    ("Unknown Key", counters.auth_ext_unknown_key),
                    ("Invalid HMAC", counters.auth_ext_invalid_hmac),
                    ("Stale", counters.auth_ext_stale),
                    ("Replay", counters.auth_ext_replay),
                ],
            ),
            ("Priority Zero", &[("Received", counters.pri_zero_rcvd), ("Sent", counters.pri_zero_sent)]),
        ] {
            page.put(format_args!("  {title}:"));
            for (label, value) in rows {
                page.put(format_args!("    {label}: {value}"));
            }
        }
    }
    page.out
}

/// What carries the adverts of an instance.
pub(super) fn carrier(config: &Instance) -> Carrier {
    if matches!(config.auth, Auth::Ah(_)) { Carrier::Ah } else { Carrier::Vrrp }
}

/// A text that grows line by line.
pub(super) struct Page {
    pub(super) out: String,
}

impl Page {
    pub(super) fn put(&mut self, text: Arguments<'_>) {
        use std::fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "{text}");
    }

    pub(super) fn header(&mut self, name: &str) {
        self.put(format_args!("------< {name} >------"));
    }

    /// A property: three blanks.
    pub(super) fn line(&mut self, text: Arguments<'_>) {
        self.put(format_args!("   {text}"));
    }

    /// An entry of a list: five blanks.
    pub(super) fn entry(&mut self, text: Arguments<'_>) {
        self.put(format_args!("     {text}"));
    }

    /// With a global interval, the interfaces outside of groups make a further one.
    fn pacing(&mut self, view: View<'_>) {
        let (part, paces) = (view.part, &view.snapshot.paces);
        let others =
            Gaps { garp_interval: part.global.garp_interval, gna_interval: part.global.gna_interval };
        let has_others = others != Gaps::default();
        if part.garp_groups.is_empty() && !has_others {
            return;
        }
        self.header("Gratuitous ARP delays");
        let mut grouped: Vec<&str> = Vec::new();
        for (place, group) in part.garp_groups.iter().enumerate() {
            let names: Vec<&str> = group.interfaces.iter().map(String::as_str).collect();
            self.pace(group.gaps, paces.get(place), &names, view.clock);
            grouped.extend(names);
        }
        if has_others {
            let mut names: Vec<&str> = Vec::new();
            for name in part.instances.iter().filter_map(|instance| instance.interface.as_deref()) {
                if !names.contains(&name) && !grouped.contains(&name) {
                    names.push(name);
                }
            }
            self.pace(others, paces.last(), &names, view.clock);
        }
    }

    fn pace(
        &mut self,
        gaps: Gaps,
        next: Option<&(Option<Time>, Option<Time>)>,
        interfaces: &[&str],
        clock: Clock,
    ) {
        self.header("GARP delay group");
        let (garp, gna) = next.copied().unwrap_or_default();
        for (kind, interval, next) in [("GARP", gaps.garp_interval, garp), ("GNA", gaps.gna_interval, gna)] {
            if !interval.is_zero() {
                let next = clock.epoch_of(next);
                self.put(format_args!(" {kind} interval = {:.6}", interval.as_secs_f64()));
                self.put(format_args!(" {kind} next time {next} ({})", next.short()));
            }
        }
        if gaps == Gaps::default() {
            self.put(format_args!(" No configuration"));
        }
        self.put(format_args!(" Interfaces"));
        for name in interfaces {
            self.put(format_args!("  {name}"));
        }
    }

    /// Stock has nothing of the kind, so there is nothing while all is well.
    fn lateness(&mut self, lateness: Lateness) {
        if lateness.adverts > 0 {
            self.header("Lateness");
            self.line(format_args!("Adverts sent late = {}", lateness.adverts));
            self.line(format_args!("Latest = {} usecs", lateness.worst.as_micros()));
        }
    }

    /// What holds without any instance.
    fn statics(&mut self, view: View<'_>) {
        let statics = &view.part.statics;
        if !statics.addresses.is_empty() {
            self.header("Static Addresses");
        }
        let set = view.snapshot.statics_set.iter().chain(std::iter::repeat(&false));
        for (address, set) in statics.addresses.iter().zip(set) {
            let installed = if *set { Installed::Yes } else { Installed::No };
            self.entry(format_args!("{}", text::address_on(address, None, installed)));
        }
        if !statics.routes.is_empty() {
            self.header("Static Routes");
        }
        for route in &statics.routes {
            self.entry(format_args!("{}", routing::route(route)));
        }
        if !statics.rules.is_empty() {
            self.header("Static Rules");
        }
        for rule in &statics.rules {
            self.entry(format_args!("{}", routing::rule(rule)));
        }
        if !statics.groups.is_empty() {
            self.header("Static Track groups");
        }
        for group in &statics.groups {
            self.put(format_args!(" Static Track Group = {}", group.name));
            self.line(format_args!("VRRP member instances :"));
            for member in &group.members {
                self.entry(format_args!("{member}"));
            }
        }
    }

    pub(super) fn trackers(&mut self, interfaces: &[TrackedInterface], scripts: &[TrackedScript]) {
        if !interfaces.is_empty() {
            self.line(format_args!("Tracked interfaces :"));
        }
        for tracked in interfaces {
            let weight = weight(tracked.weight, tracked.reverse);
            self.entry(format_args!("{} {weight}", tracked.interface));
        }
        if !scripts.is_empty() {
            self.line(format_args!("Tracked scripts :"));
        }
        for tracked in scripts {
            self.entry(format_args!("{} {}", tracked.script, weight(tracked.weight, tracked.reverse)));
        }
    }

    pub(super) fn notify(&mut self, global: &Global, notify: &NotifyScripts) {
        for (label, command) in [
            ("Backup", &notify.backup),
            ("Master", &notify.master),
            ("Fault", &notify.fault),
            ("Stop", &notify.stop),
            ("Deleted", &notify.deleted),
            ("Generic", &notify.generic),
            ("Master rx lower pri", &notify.rx_lower_pri),
        ] {
            if let Some(command) = command {
                self.line(format_args!("{label} state transition script = {}", text::script(command)));
                let groups = global.script_groups.of(command.identity);
                if !groups.is_empty() {
                    self.entry(format_args!("Supplementary groups:"));
                }
                for group in groups {
                    self.entry(format_args!("  {group}"));
                }
            }
        }
    }

    fn sockets(&mut self, view: View<'_>) {
        if !view.sockets.is_empty() {
            self.header("VRRP Sockpool");
        }
        for socket in view.sockets.iter().filter(|socket| !socket.listener.is_lookout) {
            let listener = &socket.listener;
            self.put(format_args!(" fd_in {} fd_out = {}", socket.fd_in, socket.fd_out));
            self.line(format_args!(
                "Interface = {}",
                listener.interface.as_deref().unwrap_or("not configured")
            ));
            let family = match listener.family {
                Family::V4 => "IPv4",
                Family::V6 => "IPv6",
            };
            self.line(format_args!("Family = {family}"));
            let protocol = match listener.carrier {
                Carrier::Vrrp => "VRRP",
                Carrier::Ah => "AH",
            };
            self.line(format_args!("Protocol = {protocol}"));
            match listener.kind {
                ListenerKind::Multicast { .. } => self.line(format_args!("Type = Multicast")),
                ListenerKind::Unicast { source } => {
                    self.line(format_args!("Type = Unicast"));
                    self.line(format_args!("Address = {source}"));
                }
            }
            self.line(format_args!("Rx buf size = {}", socket.listener.receive_buffer));
            self.line(format_args!("VRRP instances"));
            for vrid in &listener.vrids {
                let on = view.part.instances.iter().find(|instance| {
                    instance.vrid.get() == *vrid
                        && instance.family == listener.family
                        && instance.advert_interface() == listener.interface.as_deref()
                        && carrier(instance) == listener.carrier
                        && matches!(
                            (&instance.transport, listener.kind),
                            (Transport::Multicast { .. }, ListenerKind::Multicast { .. })
                                | (Transport::Unicast { .. }, ListenerKind::Unicast { .. })
                        )
                });
                if let Some(instance) = on {
                    self.entry(format_args!("{} vrid {vrid}", instance.name));
                }
            }
        }
    }

    fn group(&mut self, global: &Global, group: &SyncGroup, now: GroupSnapshot) {
        self.put(format_args!(" VRRP Sync Group = {}, {}", group.name, now.state.name()));
        self.line(format_args!("Num member fault {}, num member init {}", now.faulty, now.pending));
        self.line(format_args!("VRRP member instances :"));
        for member in &group.members {
            self.entry(format_args!("{member}"));
        }
        if group.tracking_weight {
            self.line(format_args!("sync group tracking weight set"));
        }
        self.line(format_args!("Using smtp notification = {}", yes(group.smtp_alert)));
        if let Some(changes) = group.notify_priority_changes {
            self.line(format_args!("Notify priority changes = {}", yes(changes)));
        }
        self.trackers(&group.track_interfaces, &group.track_scripts);
        self.more_trackers(&group.into(), "Tracked process :");
        self.notify(global, &group.notify);
    }

    fn script(&mut self, part: &VrrpPart, script: &VrrpScript, now: ScriptSnapshot) {
        self.put(format_args!(" VRRP Script = {}", script.name));
        self.line(format_args!("Command = {}", text::words(&script.command)));
        if text::has_other_path(&script.command) {
            self.line(format_args!("Path = {}", script.command.path));
        }
        if script.interval.subsec_millis() == 0 {
            self.line(format_args!("Interval = {} sec", script.interval.as_secs()));
        } else {
            self.line(format_args!("Interval = {:.3} sec", script.interval.as_secs_f64()));
        }
        let timeout = script.timeout.unwrap_or_default();
        self.line(format_args!("Timeout = {} sec", shortest(timeout)));
        self.line(format_args!("{}", capitalised(&weight(script.weight, script.reverse))));
        self.line(format_args!("Rise = {}", script.rise));
        self.line(format_args!("Fall = {}", script.fall));
        self.line(format_args!("Result = {}", now.result));
        self.line(format_args!("Insecure = no"));
        let init = match now.verdict {
            Verdict::Unknown => "INIT",
            Verdict::AssumedFailed => "INIT/FAILED",
            Verdict::Good | Verdict::Bad => "unknown",
        };
        self.line(format_args!("Init state = {init}"));
        let status = if now.verdict == Verdict::Good { "GOOD" } else { "BAD" };
        self.line(format_args!("Status = {status}"));
        let identity = script.command.identity;
        self.line(format_args!("Script uid:gid = {}:{}", identity.uid, identity.gid));
        self.line(format_args!("VRRP instances :"));
        let trackers = users(
            part,
            |instance| instance.track_scripts.iter().find(|tracked| tracked.script == script.name),
            |group| group.track_scripts.iter().find(|tracked| tracked.script == script.name),
        );
        if !trackers.is_empty() {
            self.line(format_args!("Tracking instances :"));
        }
        for (instance, tracked) in trackers {
            self.entry(format_args!("{instance}, {}", weight(tracked.weight, tracked.reverse)));
        }
        self.line(format_args!("State = {}", if now.running { "running" } else { "idle" }));
    }
}

/// Who tracks something, and how: first the instances that name it, then those that have it only from their group.
pub(super) fn users<'a, T>(
    part: &'a VrrpPart,
    own: impl Fn(&'a Instance) -> Option<&'a T>,
    of_group: impl Fn(&'a SyncGroup) -> Option<&'a T>,
) -> Vec<(&'a str, &'a T)> {
    let named = |instance: &'a Instance| Some((instance.name.as_str(), own(instance)?));
    let mut found: Vec<_> = part.instances.iter().filter_map(named).collect();
    for group in &part.sync_groups {
        let Some(tracked) = of_group(group) else { continue };
        for member in &group.members {
            if found.iter().all(|(name, _)| *name != member.as_str()) {
                found.push((member.as_str(), tracked));
            }
        }
    }
    found
}

/// `weight -20 reverse`
pub(super) fn weight(weight: i32, reverse: bool) -> String {
    format!("weight {weight}{}", if reverse { " reverse" } else { "" })
}

/// `weight 5` in the form of a property: `Weight = 5`.
pub(super) fn capitalised(weight: &str) -> String {
    weight.replacen("weight ", "Weight = ", 1)
}
