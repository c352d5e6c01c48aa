//! Virtual servers that can serve nobody: sorry servers, weights and quorums.

use super::report;
use crate::config::blocks::check::Special;
use crate::config::blocks::virtual_server::{self, ServiceDraft};
use crate::config::diagnostic::Diagnostic;

pub(super) fn sorry_server_in_pool(draft: &virtual_server::Draft<'_>, found: &mut Vec<Diagnostic>) {
    let Some(sorry) = draft.sorry_server else { return };
    let virtual_port = if let ServiceDraft::Address(_, port) = draft.service { port } else { 0 };
    let effective = |port: u16| if port == 0 { virtual_port } else { port };
    let same = draft
        .real_servers
        .iter()
        .find(|server| server.address == sorry.address && effective(server.port) == effective(sorry.port));
    let Some(same) = same else { return };
    let message = format!("the sorry server {} is one of the real servers", sorry.address);
    let mut report = report("sorry-server-in-pool", sorry.span, message)
        .help("name a server outside the pool")
        .stock("uses it for both");
    if let Some(span) = same.span {
        report = report.related(span, "the real server");
    }
    found.push(report);
}

pub(super) fn weights(draft: &virtual_server::Draft<'_>, found: &mut Vec<Diagnostic>) {
    let Some(head) = draft.head else { return };
    let dynamic =
        draft.real_servers.iter().flat_map(|server| &server.checkers).any(|checker| match &checker.special {
            Special::Misc(misc) => misc.dynamic,
            Special::File(_) => true,
            _ => false,
        });
    if draft.real_servers.is_empty() || dynamic {
        return;
    }
    let weight = |server: Option<u32>| u64::from(server.or(draft.weight).unwrap_or(1));
    let sum: u64 = draft.real_servers.iter().map(|server| weight(server.weight)).sum();
    if sum == 0 {
        found.push(
            report("all-weights-zero", head, "every real server has weight 0".to_owned())
                .help("give at least one a weight from 1 on")
                .stock("serves nobody"),
        );
        return;
    }
    let (quorum, quorum_span) = draft.quorum.unwrap_or((1, head));
    let Some((hysteresis, span)) = draft.hysteresis else { return };
    // What stock lowers it to; a quorum above the sum is reported and lowered, too.
    let hysteresis = hysteresis.min(quorum.saturating_sub(1));
    let needed = u64::from(quorum) + u64::from(hysteresis);
    if u64::from(quorum) <= sum && needed > sum {
        found.push(
            report(
                "quorum-out-of-reach",
                span,
                format!("once lost, the quorum needs {needed}, and the real servers weigh {sum} together"),
            )
            .related(quorum_span, "the quorum")
            .help("lower the quorum or the hysteresis")
            .stock("never gains the quorum again"),
        );
    }
}
