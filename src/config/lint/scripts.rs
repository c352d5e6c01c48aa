//! Scripts that may outlast their interval, and scripts that nothing tracks.

use std::time::Duration;

use super::report;
use crate::config::blocks::{Drafts, quoted};
use crate::config::diagnostic::{Diagnostic, Diagnostics};

pub(super) fn script_timeouts(drafts: &Drafts<'_>, found: &mut Vec<Diagnostic>) {
    for draft in &drafts.scripts {
        let interval = draft.interval.unwrap_or(Duration::from_secs(1));
        let (Some(timeout), Some(span)) = (draft.timeout, draft.timeout_place) else { continue };
        if timeout < interval {
            continue;
        }
        let (timeout, interval) = (timeout.as_secs_f64(), interval.as_secs_f64());
        found.push(
            report(
                "timeout-not-below-interval",
                span,
                format!("the script may run {timeout} s, and is due every {interval} s"),
            )
            .help("make the timeout shorter than the interval")
            .stock("starts no second run while one is going on"),
        );
    }
}

/// Scripts that nothing tracks. Where a name in a list was not found, that is the cause, and is reported.
pub(super) fn unused(drafts: &Drafts<'_>, known: &Diagnostics, found: &mut Vec<Diagnostic>) {
    let unresolved = known.iter().any(|report| match report.id {
        "unknown-name" => report.message.starts_with("track_script"),
        "bad-tracking-option" => true,
        _ => false,
    });
    if unresolved || drafts.instances.is_empty() {
        return;
    }
    let of_instances = drafts.instances.iter().flat_map(|draft| &draft.trackers.scripts);
    let of_groups = drafts.sync_groups.iter().flat_map(|draft| &draft.trackers.scripts);
    let tracked: Vec<&str> = of_instances.chain(of_groups).map(|tracked| tracked.name.as_str()).collect();
    for name in drafts.scripts.iter().filter_map(|draft| draft.name) {
        if !tracked.contains(&name.as_str()) {
            found.push(
                report(
                    "unused-script",
                    name.span(),
                    format!("nothing tracks the vrrp_script `{}`", quoted(name)),
                )
                .help(format!(
                    "add `track_script {{ {} }}` to an instance, or remove the block",
                    quoted(name)
                ))
                .stock("never runs it, without a word"),
            );
        }
    }
}
