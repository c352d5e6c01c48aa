//! `virtual_server_group NAME { … }` (spec/lvs-config.md §2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{list, quoted};
use crate::config::diagnostic::Diagnostic;
use crate::config::model::{Family, GroupEntry};
use crate::config::reader::Reader;
use crate::config::schema::{Given, Item, List, Opened};
use crate::config::syntax::Word;
use crate::config::value::{self, Reading, Strictness};

/// A block as read.
#[derive(Debug, Clone, Default)]
pub struct Draft<'a> {
    /// Its name.
    pub name: Option<&'a Word>,
    /// Its lines.
    pub entries: Vec<GroupEntry>,
}

/// The block.
pub static GROUP: List = List {
    open: |reader: &mut Reader<'_>, given: Given<'_>| {
        let Some(name) = given.argument(0) else {
            reader.missing_name(given);
            return Opened::Skip;
        };
        reader.drafts.group = Draft { name: Some(name), entries: Vec::new() };
        Opened::Enter
    },
    close: |reader| {
        let draft = std::mem::take(&mut reader.drafts.group);
        if let Some(name) = draft.name.filter(|_| draft.entries.is_empty()) {
            reader.push(
                Diagnostic::error(
                    "empty-group",
                    name.span(),
                    format!("virtual_server_group `{}` is empty", quoted(name)),
                )
                .help("add lines `ADDRESS PORT`, or `fwmark N`")
                .stock("removes it"),
            );
            return;
        }
        reader.drafts.groups.push(draft);
    },
    ..list(entry)
};

fn entry<'a>(reader: &mut Reader<'a>, words: Item<'a>) {
    let Some((first, rest)) = words.split_first() else { return };
    let entry = if first == "fwmark" { fwmark(reader, first, rest) } else { range(reader, first, rest) };
    reader.drafts.group.entries.extend(entry);
}

fn skipped(word: &Word, message: String) -> Diagnostic {
    Diagnostic::error("bad-group-entry", word.span(), message).stock("skips the line")
}

fn fwmark(reader: &mut Reader<'_>, first: &Word, rest: &[Word]) -> Option<GroupEntry> {
    let Some(word) = rest.first() else {
        reader.push(skipped(first, "`fwmark` needs a number".to_owned()));
        return None;
    };
    let mark = match value::integer(word, 0, 4_294_967_295, Strictness::Lenient, reader.world.mode) {
        Reading::Good(mark) => mark,
        Reading::Used(mark, _) => {
            reader.push(
                skipped(word, format!("`{}` is no firewall mark", quoted(word)))
                    .stock("uses its digits when running"),
            );
            mark
        }
        Reading::Bad(_) => {
            reader.push(skipped(word, format!("`{}` is no firewall mark", quoted(word))));
            return None;
        }
    };
    let family = match rest.get(1).map(Word::as_str) {
        None => None,
        Some("inet") => Some(Family::V4),
        Some("inet6") => Some(Family::V6),
        Some(_) => {
            reader.push(skipped(&rest[1], format!("`{}` is neither inet nor inet6", quoted(&rest[1]))));
            return None;
        }
    };
    Some(GroupEntry::Fwmark { mark: u32::try_from(mark).ok()?, family })
}

fn range(reader: &mut Reader<'_>, first: &Word, rest: &[Word]) -> Option<GroupEntry> {
    let ends = match (first.split_once('-'), first.split_once('/')) {
        (Some((from, to)), _) => range_ends(from, to),
        (None, Some((address, mask))) => prefix_ends(address, mask),
        (None, None) => value::address(first)
            .map(|address| (address, address))
            .ok_or_else(|| format!("`{}` is not an address", quoted(first))),
    };
    let (from, to) = match ends {
        Ok(ends) => ends,
        Err(message) => {
            let mut report = skipped(first, message);
            if reader.is_keyword(first) {
                report = report.help("a `}` is missing before this line");
            }
            reader.push(report);
            return None;
        }
    };
    let port = match rest.first() {
        None => 0,
        Some(word) => {
            if let Reading::Good(port) = value::integer(word, 0, 65535, Strictness::Strict, reader.world.mode)
            {
                u16::try_from(port).ok()?
            } else {
                reader.push(skipped(word, format!("`{}` is not a port", quoted(word))));
                return None;
            }
        }
    };
    Some(GroupEntry::Range { first: from, last: to, port })
}

fn range_ends(from: &str, to: &str) -> Result<(IpAddr, IpAddr), String> {
    let first = value::address(from).ok_or_else(|| format!("`{from}` is not an address"))?;
    if let Some(last) = value::address(to) {
        return if Family::of(first) != Family::of(last) {
            Err("a range of two families".to_owned())
        } else if last < first {
            Err("the range ends before it starts".to_owned())
        } else {
            Ok((first, last))
        };
    }
    let last = match first {
        IpAddr::V4(address) => {
            let end: u8 = to.parse().map_err(|_| format!("`{to}` is no last octet"))?;
            let [a, b, c, start] = address.octets();
            if end <= start {
                return Err(format!("{end} is not greater than {start}"));
            }
            IpAddr::V4(Ipv4Addr::new(a, b, c, end))
        }
        IpAddr::V6(address) => {
            let end =
                u16::from_str_radix(to, 16).map_err(|_| format!("`{to}` is no last group (hexadecimal)"))?;
            let mut segments = address.segments();
            if end <= segments[7] {
                return Err(format!("{end:x} is not greater than {:x}", segments[7]));
            }
            segments[7] = end;
            IpAddr::V6(Ipv6Addr::from(segments))
        }
    };
    Ok((first, last))
}

fn prefix_ends(address: &str, mask: &str) -> Result<(IpAddr, IpAddr), String> {
    let first = value::address(address).ok_or_else(|| format!("`{address}` is not an address"))?;
    let full = value::full_prefix(Family::of(first));
    let length: u8 = mask
        .parse()
        .ok()
        .filter(|length| (1..=full).contains(length))
        .ok_or_else(|| format!("`{mask}` is no prefix length from 1 to {full}"))?;
    let host_bits = u32::from(full - length);
    let empty = "the address has bits behind its prefix".to_owned();
    match first {
        IpAddr::V4(v4) => {
            let host = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            if v4.to_bits() & host != 0 {
                Err(empty)
            } else {
                Ok((first, IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() | host))))
            }
        }
        IpAddr::V6(v6) => {
            let host = if host_bits == 0 { 0 } else { u128::MAX >> length };
            if v6.to_bits() & host != 0 {
                Err(empty)
            } else {
                Ok((first, IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() | host))))
            }
        }
    }
}
