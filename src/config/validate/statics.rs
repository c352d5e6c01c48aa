//! Static addresses, routes, rules and their track groups after the whole file is read (spec/vrrp-config.md §4, row 40).

use super::instance::configured;
use crate::config::blocks::quoted;
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::model::{Instance, Route, Rule, Statics, TrackGroup, VirtualAddress};
use crate::config::reader::Reader;
use crate::config::suggest::did_you_mean;

/// Takes the drafts.
pub(super) fn build(reader: &mut Reader<'_>, instances: &[Instance]) -> Statics {
    let default = reader.drafts.global.values.default_interface.clone();
    let drafts = std::mem::take(&mut reader.drafts.static_addresses);
    let addresses = drafts
        .iter()
        .map(|draft| configured(draft, draft.dev.map_or(default.as_str(), |name| name.as_str()).to_owned()))
        .map(|address| VirtualAddress {
            track_group: tracked(address.track_group, address.no_track),
            ..address
        })
        .collect();
    let routes = std::mem::take(&mut reader.drafts.static_routes)
        .into_iter()
        .map(|route| Route { track_group: tracked(route.track_group, route.no_track), ..route })
        .collect();
    let rules = std::mem::take(&mut reader.drafts.static_rules)
        .into_iter()
        .map(|rule| Rule { track_group: tracked(rule.track_group, rule.no_track), ..rule })
        .collect();
    Statics { addresses, routes, rules, groups: groups(reader, instances) }
}

/// Stock: with both, it is not tracked.
fn tracked(group: Option<String>, no_track: bool) -> Option<String> {
    group.filter(|_| !no_track)
}

fn groups(reader: &mut Reader<'_>, instances: &[Instance]) -> Vec<TrackGroup> {
    let names: Vec<&str> = instances.iter().map(|instance| instance.name.as_str()).collect();
    let mut groups = Vec::new();
    for draft in std::mem::take(&mut reader.drafts.track_groups) {
        let mut members = Vec::new();
        for member in &draft.members {
            if names.contains(&member.as_str()) {
                members.push(member.as_str().to_owned());
                continue;
            }
            let group = quoted(draft.name);
            let message = format!("track_group `{group}`: there is no vrrp_instance `{}`", quoted(member));
            let mut report = Diagnostic::error("unknown-name", member.span(), message)
                .class(Class::None)
                .stock("ignores this member");
            if let Some(meant) = did_you_mean(member, names.iter().copied()) {
                report = report.help(format!("did you mean `{meant}`?"));
            }
            reader.push(report);
        }
        if !members.is_empty() {
            groups.push(TrackGroup { name: draft.name.as_str().to_owned(), members });
        }
    }
    groups
}
