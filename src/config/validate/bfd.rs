//! `bfd_instance` blocks after the whole file is read (spec/bfd.md §1).

use crate::config::blocks::bfd_instance::Draft;
use crate::config::diagnostic::Diagnostic;
use crate::config::model::{BfdInstance, BfdSession, Config};
use crate::config::reader::Reader;
use crate::config::syntax::Word;

/// Checks the drafts of all processes and fills in the BFD part of `config`.
pub fn validate(reader: &mut Reader<'_>, config: &mut Config) {
    let drafts = std::mem::take(&mut reader.drafts.bfds);
    for draft in &drafts {
        let Some(name) = draft.name else { continue };
        let session = session(reader, name, draft, &config.bfd_instances);
        // Neither word: both are told.
        let both = !draft.vrrp && !draft.checker;
        config.bfd_instances.push(BfdInstance {
            name: name.as_str().to_owned(),
            weight: draft.weight.unwrap_or(0),
            reverse: draft.reverse,
            tells_vrrp: draft.vrrp || both,
            tells_checkers: draft.checker || both,
            session,
        });
    }
}

fn session(
    reader: &mut Reader<'_>,
    name: &Word,
    draft: &Draft<'_>,
    before: &[BfdInstance],
) -> Option<BfdSession> {
    let neighbor = draft.neighbor.filter(|_| !draft.malformed)?;
    let source = draft.source.map(|(source, _)| source);
    if source.is_some_and(|source| source.is_ipv4() != neighbor.is_ipv4()) {
        return None;
    }
    let ttl = draft.ttl.unwrap_or(BfdSession::default_ttl(neighbor));
    let mut max_hops = draft.max_hops.map_or(0, |(hops, _)| u8::try_from(hops).unwrap_or(u8::MAX));
    if max_hops > ttl {
        let span = draft.max_hops.map_or(name.span(), |(_, span)| span);
        reader.push(
            Diagnostic::error(
                "max-hops",
                span,
                format!("`max_hops` {max_hops} is more than the TTL {ttl} of this instance"),
            )
            .help(format!("write `max_hops {ttl}` or less; that accepts packets with any TTL"))
            .stock("lowers it to the TTL"),
        );
        max_hops = ttl;
    }
    let clash = before.iter().find(|other| {
        other.session.as_ref().is_some_and(|other| {
            other.neighbor == neighbor
                && other.multihop == draft.multihop
                && (other.source == source || other.source.is_none() || source.is_none())
        })
    });
    if let Some(other) = clash {
        reader.push(
            Diagnostic::error(
                "repeated-neighbor",
                name.span(),
                format!("bfd_instance `{}` has a session to {neighbor} already", other.name),
            )
            .help("give each a `source_ip` of its own")
            .stock("ignores this instance: whoever tracks it sees it down"),
        );
        return None;
    }
    Some(BfdSession {
        neighbor,
        source,
        min_rx: draft.min_rx.unwrap_or(BfdSession::INTERVAL),
        min_tx: draft.min_tx.unwrap_or(BfdSession::INTERVAL),
        idle_tx: draft.idle_tx.unwrap_or(BfdSession::IDLE),
        multiplier: draft.multiplier.unwrap_or(BfdSession::MULTIPLIER),
        passive: draft.passive,
        ttl,
        max_hops,
        multihop: draft.multihop,
    })
}
