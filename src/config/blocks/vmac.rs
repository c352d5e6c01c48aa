//! The words of `use_vmac` and `use_ipvlan` (spec/vrrp-config.md §2.1): what was written, nothing resolved yet.

use std::net::IpAddr;

use super::global_values::number;
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::model::{Family, IpvlanMode};
use crate::config::reader::{Reader, bad_value};
use crate::config::schema::Given;
use crate::config::source::Span;
use crate::config::syntax::Word;
use crate::config::value::{self, Reading, Strictness};

/// `use_vmac [[name] IFNAME] [MAC] [netlink_notify_msg] [group ID]`.
#[derive(Debug, Clone)]
pub struct VmacDraft<'a> {
    /// The keyword.
    pub span: Span,
    /// The name it shall have.
    pub name: Option<&'a Word>,
    /// Five or six octets, and where they stand.
    pub mac: Option<(Vec<u8>, Span)>,
    /// Interface group.
    pub group: Option<u32>,
    /// `netlink_notify_msg`.
    pub notify: bool,
}

/// `use_ipvlan [[name] IFNAME] [ADDR[/LEN]] [bridge|private|vepa] [group ID]`.
#[derive(Debug, Clone)]
pub struct IpvlanDraft<'a> {
    /// The keyword.
    pub span: Span,
    /// The name it shall have.
    pub name: Option<&'a Word>,
    /// Its address and prefix length.
    pub address: Option<(IpAddr, u8)>,
    /// Its mode, if one was given.
    pub mode: Option<IpvlanMode>,
    /// Interface group.
    pub group: Option<u32>,
}

pub(super) fn vmac<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> VmacDraft<'a> {
    let mut draft = VmacDraft { span: given.head(), name: None, mac: None, group: None, notify: false };
    let mut words = given.arguments().iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "netlink_notify_msg" => draft.notify = true,
            "group" => draft.group = group(reader, given, word, words.next()).or(draft.group),
            "name" => match words.next() {
                Some(word) => name(reader, given, word, &mut draft.name),
                None => reader.push(bad_value(given.keyword, word, "needs a name").stock("ignores it")),
            },
            text if text.contains(':') => match mac(text) {
                Some(octets) => draft.mac = Some((octets, word.span())),
                None => reader.push(
                    bad_value(given.keyword, word, "is no MAC address for a VMAC")
                        .help("write six octets, or five and the VRID becomes the sixth; not a multicast one and none of 00:00:5e:00:01 or :02")
                        .stock("ignores it, and uses the virtual MAC"),
                ),
            },
            _ => name(reader, given, word, &mut draft.name),
        }
    }
    draft
}

pub(super) fn ipvlan<'a>(reader: &mut Reader<'a>, given: Given<'a>) -> IpvlanDraft<'a> {
    let mut draft = IpvlanDraft { span: given.head(), name: None, address: None, mode: None, group: None };
    let mut words = given.arguments().iter();
    while let Some(word) = words.next() {
        let repeated = |reader: &mut Reader<'_>| {
            reader.push(bad_value(given.keyword, word, "is given twice").stock("ignores the second"));
        };
        match word.as_str() {
            "group" => draft.group = group(reader, given, word, words.next()).or(draft.group),
            "name" => match words.next() {
                Some(word) => name(reader, given, word, &mut draft.name),
                None => reader.push(bad_value(given.keyword, word, "needs a name").stock("ignores it")),
            },
            "bridge" | "private" | "vepa" if draft.mode.is_some() => repeated(reader),
            "bridge" => draft.mode = Some(IpvlanMode::Bridge),
            "private" => draft.mode = Some(IpvlanMode::Private),
            "vepa" => draft.mode = Some(IpvlanMode::Vepa),
            text => match value::address_with_prefix(text, reader.world.mode) {
                Some(_) if draft.address.is_some() => repeated(reader),
                Some((address, prefix)) => {
                    let full = value::full_prefix(Family::of(address));
                    let length = match prefix {
                        None => full,
                        Some(Reading::Good(length) | Reading::Used(length, _)) => length,
                        Some(Reading::Bad(_)) => {
                            reader.push(
                                bad_value(given.keyword, word, "has no prefix length of an address")
                                    .stock(format!("uses /{full}")),
                            );
                            full
                        }
                    };
                    draft.address = Some((address, length));
                }
                None => name(reader, given, word, &mut draft.name),
            },
        }
    }
    draft
}

/// Six octets, or five to which the VRID is added.
fn mac(text: &str) -> Option<Vec<u8>> {
    let octets: Option<Vec<u8>> = text
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).ok().filter(|_| matches!(octet.len(), 1 | 2)))
        .collect();
    let octets = octets.filter(|octets| matches!(octets.len(), 5 | 6))?;
    let is_virtual = matches!(octets[..5], [0, 0, 0x5e, 0, 1 | 2]);
    (octets[0] & 1 == 0 && !is_virtual).then_some(octets)
}

fn name<'a>(reader: &mut Reader<'a>, given: Given<'a>, word: &'a Word, slot: &mut Option<&'a Word>) {
    let is_name = value::fits_interface(word)
        && !word.contains(['/', ':'])
        && !word.contains(char::is_whitespace)
        && !matches!(word.as_str(), "." | "..");
    if !is_name {
        let report = bad_value(given.keyword, word, "is no name of an interface");
        reader.push(report.help("at most 15 bytes, without `/`, `:` and blanks").stock("ignores it"));
    } else if slot.is_some() {
        reader.push(bad_value(given.keyword, word, "is a second name").stock("ignores it"));
    } else {
        *slot = Some(word);
    }
}

fn group(reader: &mut Reader<'_>, given: Given<'_>, word: &Word, number_word: Option<&Word>) -> Option<u32> {
    let Some(number_word) = number_word else {
        reader.push(
            bad_value(given.keyword, word, "needs a number")
                .class(Class::MissingArgument)
                .stock("stops (exit 2)"),
        );
        return None;
    };
    let number = number(reader, given, number_word, 0, i64::from(u32::MAX), Strictness::Strict)?;
    u32::try_from(number).ok()
}

/// Without an address an IPv4 instance has nothing to send from.
pub(super) fn without_address(span: Span) -> Diagnostic {
    Diagnostic::error("missing-argument", span, "`use_ipvlan` needs an address with IPv4")
        .help("write `use_ipvlan ADDRESS/LEN`")
        .stock("leaves the instance in FAULT")
}

#[cfg(test)]
mod tests {
    use super::mac;

    #[test]
    fn a_mac_has_five_or_six_octets_and_is_neither_multicast_nor_virtual() {
        assert_eq!(mac("02:00:00:00:01"), Some(vec![2, 0, 0, 0, 1]));
        assert_eq!(mac("2:0:0:0:1:aA"), Some(vec![2, 0, 0, 0, 1, 0xaa]));
        for bad in
            ["02:00:00:00", "03:00:00:00:00:01", "00:00:5e:00:01:07", "00:00:5e:00:02", "02::1", "x:1:2:3:4"]
        {
            assert_eq!(mac(bad), None, "{bad}");
        }
    }
}
