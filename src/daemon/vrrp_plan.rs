//! What a new configuration would change, in words: the vrrp process' answer to `Prepare`.
//!
//! Instances are matched as the core matches them: VRID, family, interface, and group or unicast source; names do not
//! matter (spec/daemon-behaviour.md §6).

use std::net::IpAddr;

use crate::config::model::{Family, Instance, Transport, VrrpPart};

/// One line per object that changes; an unchanged one is not mentioned.
pub(super) fn plan(before: Option<&VrrpPart>, after: &VrrpPart) -> Vec<String> {
    let none = VrrpPart::default();
    let before = before.unwrap_or(&none);
    let mut lines = Vec::new();
    for old in &before.instances {
        if !after.instances.iter().any(|new| identity(new) == identity(old)) {
            lines.push(format!("vrrp_instance {}: removed", old.name));
        }
    }
    for new in &after.instances {
        match before.instances.iter().find(|old| identity(old) == identity(new)) {
            None => lines.push(format!("vrrp_instance {}: added", new.name)),
            Some(old) if old == new => {}
            Some(old) if old.name == new.name => lines.push(format!("vrrp_instance {}: changed", new.name)),
            Some(old) => lines.push(format!("vrrp_instance {}: changed, was {}", new.name, old.name)),
        }
    }
    named(&mut lines, "vrrp_sync_group", &before.sync_groups, &after.sync_groups, |group| &group.name);
    named(&mut lines, "vrrp_script", &before.scripts, &after.scripts, |script| &script.name);
    if before.global != after.global {
        lines.push("global_defs: changed".into());
    }
    lines
}

type Identity<'a> = (u8, Family, Option<&'a str>, bool, Option<IpAddr>, Option<IpAddr>);

fn identity(instance: &Instance) -> Identity<'_> {
    let (group, source) = match &instance.transport {
        Transport::Multicast { group } => (Some(*group), None),
        Transport::Unicast { .. } => (None, instance.source),
    };
    let own_link = group.is_some() && instance.links.own.is_some();
    (instance.vrid.get(), instance.family, instance.interface.as_deref(), own_link, group, source)
}

fn named<T: PartialEq>(
    lines: &mut Vec<String>,
    kind: &str,
    before: &[T],
    after: &[T],
    name: impl Fn(&T) -> &str,
) {
    for old in before {
        if !after.iter().any(|new| name(new) == name(old)) {
            lines.push(format!("{kind} {}: removed", name(old)));
        }
    }
    for new in after {
        match before.iter().find(|old| name(old) == name(new)) {
            None => lines.push(format!("{kind} {}: added", name(new))),
            Some(old) if old != new => lines.push(format!("{kind} {}: changed", name(new))),
            Some(_) => {}
        }
    }
}
