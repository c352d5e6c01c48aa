//! The VRRP side after the whole file is read, in stock's order (spec/vrrp-config.md §4; the numbers are its rows).

use std::collections::HashMap;
use std::time::Duration;

use super::global::{fifo_scripts, sync_daemon};
use super::instance::{Builder, Sockets};
use super::links::Names;
use super::scripts::{Purpose, Scripts};
use super::{statics, tracked};
use crate::config::blocks::scripts::ScriptDraft;
use crate::config::blocks::tracking::Tracked;
use crate::config::blocks::vrrp_instance::Draft;
use crate::config::blocks::vrrp_sync_group::{self, Notify};
use crate::config::blocks::{quoted, vrrp_script};
use crate::config::diagnostic::Diagnostic;
use crate::config::model::{
    Command, Config, InitialState, Instance, NotifyScripts, SyncGroup, TrackedInterface, TrackedScript,
    Transport, VirtualLink, VirtualLinkKind, VrrpScript,
};
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::config::suggest::did_you_mean;
use crate::config::syntax::Word;

/// The daemon would refuse the configuration; the reports say why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// Commands by the place of their script.
pub(super) type Commands = HashMap<Span, Command>;

/// Checks the VRRP drafts and fills in the VRRP part of `config`, whose `global` is already there.
pub fn validate(reader: &mut Reader<'_>, config: &mut Config) -> Result<(), Refused> {
    let instances = std::mem::take(&mut reader.drafts.instances);
    let groups = std::mem::take(&mut reader.drafts.sync_groups);
    let scripts = std::mem::take(&mut reader.drafts.scripts);
    let mut refused = missing_interfaces(reader);
    if refused {
        reader.mute();
    }
    let mut commands = Commands::new();
    if !instances.is_empty() {
        resolve_scripts(reader, config, &instances, &groups, &scripts, &mut commands);
    }
    let mut members = member_groups(reader, &instances, &groups);
    let mut built: Vec<(Instance, Sockets)> = Vec::new();
    let mut names = Names::default();
    for draft in &instances {
        let group = draft
            .name
            .and_then(|name| members.get(name.as_str()).copied())
            .and_then(|index| groups.get(index));
        let mut builder = Builder {
            reader: &mut *reader,
            draft,
            group,
            scripts: &scripts,
            commands: &commands,
            names: &mut names,
        };
        if let Ok(instance) = builder.build() {
            built.push(instance);
        } else {
            refused = true;
            reader.mute();
        }
    }
    refused |= clashes(reader, &built);
    shared_vmacs(reader, &mut built);
    config.instances = built.into_iter().map(|(instance, _)| instance).collect();
    members.retain(|name, _| config.instances.iter().any(|instance| instance.name == *name));
    config.sync_groups = groups
        .iter()
        .enumerate()
        .filter_map(|(index, group)| sync_group(reader, group, index, &members, config, &scripts, &commands))
        .collect();
    inherit_priority_changes(config, &instances);
    config.scripts = used_scripts(config, &scripts, &commands);
    config.vrrp_sync_daemon = sync_daemon(config, &instances);
    config.track_files = tracked::used_files(reader, config);
    config.interface_delays = tracked::delays(reader, &config.instances);
    config.garp_groups.clone_from(&reader.drafts.garp_groups);
    config.polled = tracked::polled(reader);
    config.track_bfds = tracked::bfds(&reader.drafts);
    config.track_processes =
        reader.drafts.track_processes.iter().map(|(_, process)| process.clone()).collect();
    config.statics = statics::build(reader, &config.instances);
    if refused { Err(Refused) } else { Ok(()) }
}

/// Row 1: interfaces that do not exist.
fn missing_interfaces(reader: &mut Reader<'_>) -> bool {
    if reader.drafts.global.values.dynamic_interfaces {
        return false;
    }
    let named = std::mem::take(&mut reader.drafts.interfaces);
    let mut missing = false;
    for interface in &named {
        let facts = &reader.world.facts.interfaces;
        let mut report = match facts.get(interface.name.as_str()) {
            Some(facts) if facts.loopback && interface.user == "vrrp_instance" => Diagnostic::error(
                "bad-interface",
                interface.name.span(),
                format!("`{}` is the loopback interface", quoted(interface.name)),
            )
            .help("name the interface that connects the nodes"),
            Some(_) => continue,
            None => Diagnostic::error(
                "no-such-interface",
                interface.name.span(),
                format!("{}: there is no interface `{}`", interface.user, quoted(interface.name)),
            ),
        };
        if let Some(meant) = did_you_mean(interface.name, facts.keys().map(String::as_str)) {
            report = report.help(format!("did you mean `{meant}`?"));
        } else if !facts.is_empty() && facts.len() <= 8 {
            let known: Vec<&str> = facts.keys().map(String::as_str).collect();
            report = report.help(format!("this host has {}", known.join(", ")));
        }
        report = report.help("or set `dynamic_interfaces` in global_defs if it comes later");
        reader.push(report.stock("refuses to start (exit 2), however many other instances are fine"));
        missing = true;
    }
    missing
}

/// Row 2.
fn resolve_scripts(
    reader: &mut Reader<'_>,
    config: &mut Config,
    instances: &[Draft<'_>],
    groups: &[vrrp_sync_group::Draft<'_>],
    scripts: &[vrrp_script::Draft<'_>],
    commands: &mut Commands,
) {
    let mut checked = Scripts::default();
    let mut resolve = |reader: &mut Reader<'_>, script: &ScriptDraft, purpose| {
        if let Some(command) = checked.resolve(reader, script, purpose) {
            commands.insert(script.span, command);
        }
    };
    for script in scripts.iter().filter_map(|draft| draft.script.as_ref()) {
        resolve(reader, script, Purpose::Tracked);
    }
    let notifies =
        instances.iter().map(|draft| &draft.notify).chain(groups.iter().map(|draft| &draft.notify));
    for script in notifies.flat_map(Notify::scripts) {
        resolve(reader, script, Purpose::Notify);
    }
    fifo_scripts(reader, config, &mut checked);
    checked.finish(reader);
}

/// Row 5: which group each instance is in, by the name of the instance.
fn member_groups<'g>(
    reader: &mut Reader<'_>,
    instances: &[Draft<'_>],
    groups: &[vrrp_sync_group::Draft<'g>],
) -> HashMap<&'g str, usize> {
    let mut members: HashMap<&str, usize> = HashMap::new();
    let names: Vec<&str> = instances.iter().filter_map(|draft| draft.name).map(Word::as_str).collect();
    for (index, group) in groups.iter().enumerate() {
        let Some(group_name) = group.name else { continue };
        let mut count = 0;
        let mut owners = Vec::new();
        for member in &group.members {
            if !names.contains(&member.as_str()) {
                let mut report = Diagnostic::error(
                    "unknown-name",
                    member.span(),
                    format!(
                        "vrrp_sync_group `{}`: there is no vrrp_instance `{}`",
                        quoted(group_name),
                        quoted(member)
                    ),
                )
                .stock("ignores this member");
                if let Some(meant) = did_you_mean(member, names.iter().copied()) {
                    report = report.help(format!("did you mean `{meant}`?"));
                } else {
                    report = report
                        .help(format!("add `vrrp_instance {} {{ … }}`, or remove the name", quoted(member)));
                }
                reader.push(report);
                continue;
            }
            if let Some(&other) = members.get(member.as_str()) {
                let other = groups.get(other).and_then(|group| group.name).map(quoted).unwrap_or_default();
                reader.push(
                    Diagnostic::error(
                        "member-of-two",
                        member.span(),
                        format!("`{}` is in the sync group `{other}` already", quoted(member)),
                    )
                    .stock("leaves it there"),
                );
                continue;
            }
            members.insert(member.as_str(), index);
            count += 1;
            owners.extend(
                instances
                    .iter()
                    .find(|draft| draft.name.is_some_and(|name| **name == ***member))
                    .map(is_owner),
            );
        }
        if count == 0 {
            reader.push(
                Diagnostic::error(
                    "empty-sync-group",
                    group_name.span(),
                    format!("no member of vrrp_sync_group `{}` exists", quoted(group_name)),
                )
                .help("mend the names, or remove the group")
                .stock("removes the group"),
            );
        } else if count == 1 {
            reader.push(
                Diagnostic::warning(
                    "single-member",
                    group_name.span(),
                    format!("vrrp_sync_group `{}` has only one member", quoted(group_name)),
                )
                .help("add the other instances, or remove the group: alone it does nothing")
                .stock("keeps the group"),
            );
        }
        if owners.contains(&true) && owners.contains(&false) {
            reader.push(
                Diagnostic::warning(
                    "mixed-owners",
                    group_name.span(),
                    format!(
                        "vrrp_sync_group `{}` mixes address owners (255) with others",
                        quoted(group_name)
                    ),
                )
                .help("give all members the same kind of priority")
                .stock("keeps the group"),
            );
        }
    }
    members
}

fn is_owner(draft: &Draft<'_>) -> bool {
    match draft.priority {
        Some((priority, _)) => priority.is_owner(),
        None => matches!(draft.state, Some((InitialState::Master, _))),
    }
}

pub(super) fn tracked_interface(tracked: &Tracked<'_>) -> TrackedInterface {
    TrackedInterface {
        interface: tracked.name.as_str().to_owned(),
        weight: tracked.weight.unwrap_or(0),
        reverse: tracked.reverse.unwrap_or(false),
    }
}

pub(super) fn tracked_script(
    tracked: &Tracked<'_>,
    scripts: &[vrrp_script::Draft<'_>],
    commands: &Commands,
) -> Option<TrackedScript> {
    let script = scripts.iter().find(|script| script.name.is_some_and(|name| **name == **tracked.name))?;
    commands.get(&script.script.as_ref()?.span)?;
    Some(TrackedScript {
        script: tracked.name.as_str().to_owned(),
        weight: tracked.weight.unwrap_or(script.weight),
        reverse: tracked.reverse.unwrap_or(script.reverse),
    })
}

pub(super) fn notify_scripts(notify: &Notify, commands: &Commands) -> NotifyScripts {
    let command = |script: &Option<Box<ScriptDraft>>| commands.get(&script.as_ref()?.span).cloned();
    NotifyScripts {
        backup: command(&notify.backup),
        master: command(&notify.master),
        fault: command(&notify.fault),
        stop: command(&notify.stop),
        deleted: command(&notify.deleted),
        generic: command(&notify.generic),
        rx_lower_pri: command(&notify.master_rx_lower_pri),
    }
}

/// Rows 37 and 38.
fn clashes(reader: &mut Reader<'_>, built: &[(Instance, Sockets)]) -> bool {
    let mut clash = false;
    for (index, (second, sockets)) in built.iter().enumerate() {
        for (first, first_sockets) in &built[..index] {
            if first.vrid != second.vrid || first.family != second.family {
                continue;
            }
            let same = match (&first.transport, &second.transport) {
                (Transport::Multicast { group: a }, Transport::Multicast { group: b }) => {
                    a == b && first.interface == second.interface
                }
                (Transport::Unicast { peers: a, .. }, Transport::Unicast { peers: b, .. }) => {
                    let local = |instance: &Instance| {
                        (instance.source, instance.source.is_none().then(|| instance.interface.clone()))
                    };
                    local(first) == local(second)
                        && a.iter().any(|peer| b.iter().any(|other| other.address == peer.address))
                }
                _ => false,
            };
            if !same {
                continue;
            }
            clash = true;
            let place = second.interface.as_deref().map_or_else(String::new, |name| format!(" on {name}"));
            reader.push(
                Diagnostic::error(
                    "duplicate-vrid",
                    sockets.vrid,
                    format!(
                        "`{}` and `{}` both use virtual_router_id {}{place}",
                        first.name, second.name, second.vrid
                    ),
                )
                .related(first_sockets.vrid, "used here")
                .help("give one of them another number")
                .stock("refuses to start (exit 2)"),
            );
        }
    }
    clash
}

/// Row 39: two links with one hardware address on one interface cannot be.
fn shared_vmacs(reader: &mut Reader<'_>, built: &mut [(Instance, Sockets)]) {
    for later in 1..built.len() {
        let (before, rest) = built.split_at_mut(later);
        let (second, sockets) = &rest[0];
        let Some(own) = &second.links.own else { continue };
        let VirtualLinkKind::Vmac { mac, .. } = &own.kind else { continue };
        let shares = |link: &VirtualLink| {
            link.base == own.base
                && matches!(&link.kind, VirtualLinkKind::Vmac { mac: other, .. } if other == mac)
        };
        for (first, first_sockets) in before {
            if !first.links.own.as_ref().is_some_and(shares) {
                continue;
            }
            let message = format!(
                "vrrp_instance `{}` and `{}` would share a VMAC on {}",
                first.name, second.name, own.base
            );
            reader.push(
                Diagnostic::warning("shared-vmac", first_sockets.vrid, message.clone())
                    .related(sockets.vrid, "the other one")
                    .help("give one of them another MAC: `use_vmac 02:…`")
                    .stock("leaves the first one in FAULT"),
            );
            first.config_fault.get_or_insert(message);
        }
    }
}

/// Builds a sync group; `None` when it has no members left.
fn sync_group(
    reader: &mut Reader<'_>,
    draft: &vrrp_sync_group::Draft<'_>,
    index: usize,
    members: &HashMap<&str, usize>,
    config: &Config,
    scripts: &[vrrp_script::Draft<'_>],
    commands: &Commands,
) -> Option<SyncGroup> {
    let name = draft.name?;
    let names: Vec<String> = draft
        .members
        .iter()
        .filter(|member| members.get(member.as_str()) == Some(&index))
        .map(|member| member.as_str().to_owned())
        .collect();
    if names.is_empty() {
        return None;
    }
    let owner = |name: &String| {
        config.instances.iter().any(|instance| instance.name == *name && instance.priority.is_owner())
    };
    let has_owner = names.iter().any(owner);
    let mut track_interfaces: Vec<_> = draft.trackers.interfaces.iter().map(tracked_interface).collect();
    let mut track_scripts: Vec<_> = draft
        .trackers
        .scripts
        .iter()
        .filter_map(|tracked| tracked_script(tracked, scripts, commands))
        .collect();
    let drafts = &reader.drafts;
    let mut others = tracked::Others {
        files: draft.trackers.files.iter().filter_map(|t| tracked::file(drafts, t)).collect(),
        processes: draft.trackers.processes.iter().filter_map(|t| tracked::process(drafts, t)).collect(),
        bfds: draft.trackers.bfds.iter().filter_map(|t| tracked::bfd(drafts, t)).collect(),
    };
    // Row 41.
    let weighted = track_interfaces.iter().any(|t| t.weight != 0)
        || track_scripts.iter().any(|t| t.weight != 0)
        || others.iter_mut().any(|t| t.weight != 0);
    if has_owner && weighted {
        reader.push(
            Diagnostic::warning(
                "weight-dropped",
                name.span(),
                format!("vrrp_sync_group `{}` has an owner (255) and tracks with weights", quoted(name)),
            )
            .stock("uses weight 0"),
        );
        for tracked in &mut track_interfaces {
            tracked.weight = 0;
        }
        for tracked in &mut track_scripts {
            tracked.weight = 0;
        }
        for tracked in others.iter_mut() {
            tracked.weight = 0;
        }
    }
    let global = &reader.drafts.global;
    Some(SyncGroup {
        name: name.as_str().to_owned(),
        members: names,
        track_interfaces,
        track_scripts,
        track_files: others.files,
        track_processes: others.processes,
        track_bfds: others.bfds,
        tracking_weight: draft.tracking_weight,
        notify: notify_scripts(&draft.notify, commands).into(),
        notify_priority_changes: draft.notify_priority_changes,
        smtp_alert: draft
            .smtp_alert
            .or(global.values.smtp_alert_vrrp)
            .or(global.values.smtp_alert)
            .unwrap_or(false),
    })
}

/// A member that says nothing of it does as its group says.
fn inherit_priority_changes(config: &mut Config, drafts: &[Draft<'_>]) {
    let says = |name: &str| {
        let of_name = |draft: &&Draft<'_>| draft.name.is_some_and(|word| word.as_str() == name);
        drafts.iter().find(of_name).is_some_and(|draft| draft.notify_priority_changes.is_some())
    };
    for group in &config.sync_groups {
        let Some(changes) = group.notify_priority_changes else { continue };
        let members = config.instances.iter_mut().filter(|instance| group.members.contains(&instance.name));
        for instance in members.filter(|instance| !says(&instance.name)) {
            instance.notify_priority_changes = changes;
        }
    }
}

/// The scripts that something tracks.
fn used_scripts(config: &Config, scripts: &[vrrp_script::Draft<'_>], commands: &Commands) -> Vec<VrrpScript> {
    let tracked = |name: &str| {
        let of_instances = config.instances.iter().flat_map(|instance| &instance.track_scripts);
        let of_groups = config.sync_groups.iter().flat_map(|group| &group.track_scripts);
        of_instances.chain(of_groups).any(|tracked| tracked.script == name)
    };
    let build = |draft: &vrrp_script::Draft<'_>| {
        let name = draft.name.filter(|name| tracked(name))?;
        let command = commands.get(&draft.script.as_ref()?.span)?.clone();
        Some(VrrpScript {
            name: name.as_str().to_owned(),
            command,
            interval: draft.interval.unwrap_or(Duration::from_secs(1)),
            timeout: draft.timeout,
            weight: draft.weight,
            reverse: draft.reverse,
            rise: draft.rise.unwrap_or(1),
            fall: draft.fall.unwrap_or(1),
            init_fail: draft.init_fail,
        })
    };
    scripts.iter().filter_map(build).collect()
}
