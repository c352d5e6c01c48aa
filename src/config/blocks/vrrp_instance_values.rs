//! What the keywords of `vrrp_instance` do with values that no shape describes (spec/vrrp-config.md §2.1).

use std::net::IpAddr;

use super::address::{self, AddressDraft, Place};
use super::quoted;
use crate::config::diagnostic::{Class, Diagnostic, Severity};
use crate::config::model::{Family, InitialState, Priority, UnicastPeer, VrrpVersion};
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::{Given, Item, Value};
use crate::config::source::Span;
use crate::config::suggest::did_you_mean;
use crate::config::syntax::Word;
use crate::config::value::{self, Reading, Strictness};

pub(super) fn unicast_word<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    reader.drafts.instance.unicast.get_or_insert(given.head());
}

pub(super) fn state<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Some(word) = given.argument(0) else { return };
    let state = match word.as_str() {
        "MASTER" => InitialState::Master,
        "BACKUP" => InitialState::Backup,
        _ => {
            let mut report =
                bad_value(given.keyword, word, "is neither MASTER nor BACKUP").stock("uses BACKUP");
            if let Some(meant) = did_you_mean(word, ["MASTER", "BACKUP"]) {
                report = report.help(format!("write `state {meant}`"));
            } else {
                report = report.help("write `state MASTER` or `state BACKUP`");
            }
            reader.push(report);
            InitialState::Backup
        }
    };
    if state == InitialState::Backup
        && let Some((InitialState::Master, first)) = reader.drafts.instance.state
    {
        reader.push(
            Diagnostic::error("contradiction", word.span(), "`state BACKUP` after `state MASTER`")
                .related(first, "the first one")
                .stock("stays with MASTER"),
        );
        return;
    }
    if let Some(extra) = given.argument(1).filter(|extra| !extra.is_ascii()) {
        foreign_words(reader, given, extra);
    }
    reader.drafts.instance.state = Some((state, word.span()));
}

/// Words behind the value that were meant as a comment: stock ignores them, so the exit code stays.
pub(super) fn foreign_words(reader: &mut Reader<'_>, given: Given<'_>, extra: &Word) {
    reader.push(
        Diagnostic::new(
            Severity::Warning,
            Class::None,
            "surplus-words",
            Some(extra.span()),
            format!("`{}` takes one value; `{}` is ignored", given.keyword.name, quoted(extra)),
        )
        .help("if this is meant as a comment, start it with `#`")
        .stock("ignores it without a word"),
    );
}

pub(super) fn version<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let version = if given.int() == 3 { VrrpVersion::V3 } else { VrrpVersion::V2 };
    let draft = &mut reader.drafts.instance;
    if let Some((_, span)) = draft.version.filter(|(first, _)| *first != version) {
        reader.push(
            Diagnostic::error("contradiction", given.value_span(), "a second, different `version`")
                .related(span, "the first one")
                .stock("keeps the first"),
        );
    } else if version == VrrpVersion::V2 && draft.family == Some(Family::V6) {
        reader.push(
            Diagnostic::error("contradiction", given.value_span(), "there is no version 2 for IPv6")
                .help("remove the line")
                .stock("ignores the line"),
        );
    } else {
        draft.version = Some((version, given.value_span()));
    }
}

pub(super) fn source<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Value::Address(address) = given.value else { return };
    if fits_family(reader, given.value_span(), address) {
        reader.drafts.instance.source = Some((address, given.value_span()));
    }
}

pub(super) fn destination<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let Value::Address(address) = given.value else { return };
    let fits = match address {
        IpAddr::V4(_) => value::is_multicast(address),
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    };
    if !fits {
        reader.push(
            Diagnostic::error(
                "bad-value",
                given.value_span(),
                format!("`mcast_dst_ip`: `{address}` is no multicast group"),
            )
            .help("use a group from 224.0.0.0/4, or a link-local one from ff02::/16")
            .stock("ignores the line"),
        );
    } else if fits_family(reader, given.value_span(), address) {
        reader.drafts.instance.mcast_dst_ip = Some((address, given.head()));
    }
}

/// The first address of an instance fixes its family; reports one of the other.
pub(super) fn fits_family(reader: &mut Reader<'_>, span: Span, address: IpAddr) -> bool {
    let family = *reader.drafts.instance.family.get_or_insert(Family::of(address));
    if family == Family::of(address) {
        return true;
    }
    let name = if family == Family::V4 { "IPv4" } else { "IPv6" };
    reader.push(
        Diagnostic::error("wrong-family", span, format!("`{address}` in an instance of {name}"))
            .help("use `virtual_ipaddress_excluded` for the other family, or a second instance")
            .stock("ignores the address"),
    );
    false
}

pub(super) fn peer<'a>(reader: &mut Reader<'a>, words: Item<'a>) {
    let Some((first, mut rest)) = words.split_first() else { return };
    let Some(address) = value::address_before_suffix(first) else {
        let mut report = Diagnostic::error(
            "bad-address",
            first.span(),
            format!("`{}` is no address of a peer", quoted(first)),
        )
        .stock("ignores the line");
        if first.contains(':') && first.contains('.') {
            report = report.help("write the address without a port");
        }
        reader.push(report);
        return;
    };
    if !fits_family(reader, first.span(), address) {
        return;
    }
    if first.contains(['/', '-']) {
        reader.push(
            Diagnostic::warning(
                "misread-value",
                first.span(),
                format!("`{}` is one peer, {address}", quoted(first)),
            )
            .class(Class::None)
            .help("write one line for each peer, without prefix length or range")
            .stock("cuts off everything from `/` or `-` on, without a word"),
        );
    }
    if reader.drafts.instance.peers.iter().any(|peer| peer.address == address) {
        reader.push(
            Diagnostic::warning(
                "repeated-entry",
                first.span(),
                format!("the peer {address} is in the list already"),
            )
            .class(Class::None)
            .stock("ignores it"),
        );
        return;
    }
    let mut peer = UnicastPeer { address, min_ttl: None, max_ttl: None };
    while let Some((option, after)) = rest.split_first() {
        let report = |span, message: String| {
            Diagnostic::error("bad-peer-option", span, message)
                .stock("ignores the rest of the line, and keeps the peer")
        };
        let Some((word, after)) = after.split_first() else {
            if option.is_ascii() {
                let mut report = report(option.span(), format!("`{}` needs a value", quoted(option)));
                if value::address(option).is_some() {
                    report = report.help("one peer per line");
                }
                reader.push(report);
            } else {
                reader.push(
                    report(option.span(), format!("`{}` is no option of a peer", quoted(option)))
                        .help("if this is meant as a comment, start it with `#`"),
                );
            }
            break;
        };
        let slot = match option.as_str() {
            "min_ttl" => &mut peer.min_ttl,
            "max_ttl" => &mut peer.max_ttl,
            _ => {
                let mut report =
                    report(option.span(), format!("`{}` is no option of a peer", quoted(option)));
                if option.is_ascii() {
                    report = report.help("the options are `min_ttl N` and `max_ttl N`");
                } else {
                    report = report.help("if this is meant as a comment, start it with `#`");
                }
                reader.push(report);
                break;
            }
        };
        if let Reading::Good(number) = value::integer(word, 0, 255, Strictness::Strict, reader.world.mode) {
            *slot = u8::try_from(number).ok();
        } else {
            reader.push(report(word.span(), format!("`{}` is no TTL from 0 to 255", quoted(word))));
            break;
        }
        rest = after;
    }
    if let (Some(min), Some(max)) = (peer.min_ttl, peer.max_ttl)
        && min > max
    {
        reader.push(
            Diagnostic::error("contradiction", first.span(), format!("min_ttl {min} is above max_ttl {max}"))
                .stock("warns"),
        );
    }
    if peer.min_ttl.is_some() || peer.max_ttl.is_some() {
        reader.drafts.instance.check_unicast_src = true;
    }
    reader.drafts.instance.peers.push(peer);
    reader.drafts.instance.peer_places.push(first.span());
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Advertised {
    Yes,
    No,
}

pub(super) fn virtual_address<'a>(reader: &mut Reader<'a>, words: Item<'a>, advertised: Advertised) {
    let Some(draft) = address::read(reader, words, Place::Virtual) else { return };
    if advertised == Advertised::Yes && !fits_family(reader, draft.span, draft.address) {
        return;
    }
    let instance = &reader.drafts.instance;
    let in_vips = instance.vips.iter().find(|vip| vip.address == draft.address);
    let in_excluded = instance.excluded.iter().find(|vip| vip.address == draft.address);
    let same_place = |other: &&AddressDraft<'_>| other.dev.map(Word::as_str) == draft.dev.map(Word::as_str);
    let first = match advertised {
        Advertised::Yes => in_vips.or(in_excluded.filter(same_place)),
        Advertised::No => in_vips.filter(same_place).or(in_excluded.filter(same_place)),
    };
    if let Some(first) = first.map(|first| first.span) {
        reader.push(
            Diagnostic::error(
                "repeated-entry",
                draft.span,
                format!("the address {} is there already", draft.address),
            )
            .related(first, "this one stays")
            .stock("ignores this line"),
        );
        return;
    }
    let list = match advertised {
        Advertised::Yes => &mut reader.drafts.instance.vips,
        Advertised::No => &mut reader.drafts.instance.excluded,
    };
    list.push(draft);
}

pub(super) fn timer_expired_backup<'a>(reader: &mut Reader<'a>, given: Given<'a>) {
    let highest = match given.argument(0) {
        None => Some(254),
        Some(word) => {
            let read = value::integer(word, 1, 254, Strictness::Strict, reader.world.mode);
            if let Reading::Good(number) = read {
                u8::try_from(number).ok()
            } else {
                let report = bad_value(given.keyword, word, "is no number from 1 to 254");
                reader.push(report.stock("ignores the line"));
                None
            }
        }
    };
    if let Some(highest) = highest.and_then(Priority::new) {
        reader.drafts.instance.timer_expired_backup = Some((highest, given.head()));
    }
}
