//! Lines of `virtual_ipaddress`, `virtual_ipaddress_excluded` and `static_ipaddress` (spec/vrrp-config.md §3.1).

use std::net::{IpAddr, Ipv4Addr};

use super::quoted;
use crate::config::diagnostic::Diagnostic;
use crate::config::model::Family;
use crate::config::reader::Reader;
use crate::config::schema::Item;
use crate::config::source::Span;
use crate::config::suggest::did_you_mean;
use crate::config::syntax::Word;
use crate::config::value::{self, Reading};

/// Options of an address line. `dev` and the like take a word, the rest stand alone.
const WITH_VALUE: [&str; 8] =
    ["dev", "scope", "brd", "broadcast", "label", "peer", "preferred_lft", "track_group"];
const ALONE: [&str; 7] =
    ["home", "-nodad", "mngtmpaddr", "noprefixroute", "autojoin", "no_track", "use_vmac"];

/// `IFA_F_*` bits of the kernel.
/// In a draft: `-nodad` was given.
pub const IFA_F_NODAD: u32 = 0x02;
const IFA_F_HOMEADDRESS: u32 = 0x10;
const IFA_F_MANAGETEMPADDR: u32 = 0x100;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const IFA_F_MCAUTOJOIN: u32 = 0x400;

/// An address line as read.
#[derive(Debug, Clone)]
pub struct AddressDraft<'a> {
    /// The address.
    pub address: IpAddr,
    /// Where it stands.
    pub span: Span,
    /// Prefix length.
    pub prefix: u8,
    /// `dev`.
    pub dev: Option<&'a Word>,
    /// Kernel scope number.
    pub scope: Option<u8>,
    /// `brd`, computed.
    pub broadcast: Option<Ipv4Addr>,
    /// `label`.
    pub label: Option<String>,
    /// `peer`.
    pub peer: Option<IpAddr>,
    /// `IFA_F_*`.
    pub flags: u32,
    /// `preferred_lft`.
    pub preferred_lifetime: Option<u32>,
    /// `no_track`.
    pub no_track: bool,
    /// `use_vmac`.
    pub use_vmac: bool,
    /// `track_group` of a static one; it exists.
    pub track_group: Option<String>,
}

/// Where an address line stands: some options exist in one place only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In an instance.
    Virtual,
    /// In `static_ipaddress`.
    Static,
}

/// Reads a line; `None` when stock drops the address.
pub fn read<'a>(reader: &mut Reader<'a>, words: Item<'a>, place: Place) -> Option<AddressDraft<'a>> {
    let (first, mut rest) = words.split_first()?;
    let mut draft = read_address(reader, first)?;
    let v4 = draft.address.is_ipv4();
    let mut broadcast: Option<&Word> = None;
    let mut peer_prefix = None;
    while let Some((option, after)) = rest.split_first() {
        rest = after;
        let name = option.as_str();
        let known = (WITH_VALUE.contains(&name) || ALONE.contains(&name))
            && !(name == "track_group" && place == Place::Virtual)
            && !(name == "use_vmac" && place == Place::Static);
        if !known {
            unknown_option(reader, option, first);
            continue;
        }
        if ALONE.contains(&name) {
            match name {
                "home" => draft.flags |= IFA_F_HOMEADDRESS,
                "-nodad" => draft.flags |= IFA_F_NODAD,
                "mngtmpaddr" => draft.flags |= IFA_F_MANAGETEMPADDR,
                "noprefixroute" => draft.flags |= IFA_F_NOPREFIXROUTE,
                "autojoin" => draft.flags |= IFA_F_MCAUTOJOIN,
                "no_track" => draft.no_track = true,
                "use_vmac" => draft.use_vmac = true,
                _ => reader.push(later(option)),
            }
            continue;
        }
        let Some((word, after)) = rest.split_first() else {
            reader.push(
                dropped(option.span(), format!("`{name}` needs a value"))
                    .help(format!("write `{name} VALUE`")),
            );
            return None;
        };
        rest = after;
        match name {
            "dev" if draft.dev.is_some() => {
                reader.push(dropped(word.span(), "a second `dev`".to_owned()));
                return None;
            }
            "dev" => {
                super::tracking::name_interface(reader, word, "an address");
                draft.dev = Some(word);
            }
            "scope" if !v4 => {
                reader.push(ignored(option.span(), "`scope` does not exist for IPv6".to_owned()));
            }
            "scope" => match scope(word) {
                Some(scope) => draft.scope = Some(scope),
                None => reader.push(
                    ignored(word.span(), format!("`{}` is not a scope", quoted(word)))
                        .help("write global, link, host, site, nowhere, or a number up to 255"),
                ),
            },
            "brd" | "broadcast" => broadcast = Some(word),
            "label" if !v4 => {
                reader.push(ignored(option.span(), "`label` does not exist for IPv6".to_owned()));
            }
            "label" if word.len() > 15 => {
                reader.push(
                    dropped(word.span(), format!("the label `{}` is longer than 15 bytes", quoted(word)))
                        .help("shorten it"),
                );
                return None;
            }
            "label" => draft.label = Some(word.as_str().to_owned()),
            "peer" => {
                match value::address(word).filter(|peer| Family::of(*peer) == Family::of(draft.address)) {
                    Some(peer) => {
                        draft.peer = Some(peer);
                        peer_prefix = Some(value::full_prefix(Family::of(peer)));
                    }
                    None => reader.push(
                        ignored(word.span(), format!("`{}` is no peer address", quoted(word)))
                            .help("write the address alone, without prefix length"),
                    ),
                }
            }
            "preferred_lft" => match lifetime(word) {
                Some(seconds) => draft.preferred_lifetime = Some(seconds),
                None => reader.push(ignored(word.span(), format!("`{}` is no lifetime", quoted(word)))),
            },
            _ => draft.track_group = super::statics::known_group(reader, word),
        }
    }
    if let Some(prefix) = peer_prefix {
        draft.prefix = prefix;
        if let Some(word) = broadcast.take() {
            reader.push(ignored(word.span(), "a broadcast address makes no sense with `peer`".to_owned()));
        }
    }
    if let Some(word) = broadcast {
        match read_broadcast(reader, word, &draft) {
            Broadcast::Set(address) => draft.broadcast = Some(address),
            Broadcast::Ignored => {}
            Broadcast::AddressDropped => return None,
        }
    }
    Some(draft)
}

fn read_address<'a>(reader: &mut Reader<'a>, first: &'a Word) -> Option<AddressDraft<'a>> {
    let Some((address, prefix)) = value::address_with_prefix(first, reader.world.mode) else {
        let mut report = dropped(first.span(), format!("`{}` is not an address", quoted(first)));
        if reader.is_keyword(first) {
            report = report.help("a `}` is missing before this line, or it belongs elsewhere");
        } else if first.contains('%') {
            report = report.help("an interface belongs behind `dev`: `fe80::1 dev eth0`");
        }
        reader.push(report);
        return None;
    };
    let full = value::full_prefix(Family::of(address));
    let prefix = match prefix {
        None => full,
        Some(Reading::Good(length)) => length,
        Some(reading) => {
            let used = if let Reading::Used(length, _) = reading { length } else { full };
            let written = first.split_once('/').map_or("", |(_, length)| length);
            let mut report = Diagnostic::error(
                "bad-prefix",
                first.span(),
                format!("`{written}` is no prefix length of `{}`", quoted(first)),
            )
            .stock(format!("uses /{used}"));
            report = match mask_length(written) {
                Some(length) => report.help(format!("write `{address}/{length}`")),
                None => report.help(format!("write `{address}/N` with N up to {full}")),
            };
            reader.push(report);
            used
        }
    };
    Some(AddressDraft {
        address,
        span: first.span(),
        prefix,
        dev: None,
        scope: None,
        broadcast: None,
        label: None,
        peer: None,
        flags: 0,
        preferred_lifetime: None,
        no_track: false,
        use_vmac: false,
        track_group: None,
    })
}

/// What `brd` leads to.
enum Broadcast {
    Set(Ipv4Addr),
    Ignored,
    AddressDropped,
}

fn read_broadcast(reader: &mut Reader<'_>, word: &Word, draft: &AddressDraft<'_>) -> Broadcast {
    let IpAddr::V4(address) = draft.address else {
        reader.push(dropped(word.span(), "there is no broadcast address in IPv6".to_owned()));
        return Broadcast::AddressDropped;
    };
    if word == "+" || word == "-" {
        if draft.prefix > 30 {
            reader.push(
                ignored(word.span(), format!("/{} leaves no room for a broadcast address", draft.prefix))
                    .help("give the address its prefix length"),
            );
            return Broadcast::Ignored;
        }
        let host = u32::MAX >> draft.prefix;
        let bits = u32::from(address);
        return Broadcast::Set(Ipv4Addr::from(if word == "+" { bits | host } else { bits & !host }));
    }
    let Ok(broadcast) = word.parse() else {
        reader.push(dropped(word.span(), format!("`{}` is no broadcast address", quoted(word))));
        return Broadcast::AddressDropped;
    };
    Broadcast::Set(broadcast)
}

fn unknown_option(reader: &mut Reader<'_>, option: &Word, first: &Word) {
    let mut report = ignored(
        option.span(),
        format!("`{}` is no option of the address `{}`", quoted(option), quoted(first)),
    );
    let known = WITH_VALUE.into_iter().chain(ALONE);
    if value::address_with_prefix(option, reader.world.mode).is_some() {
        report = report.help("one address per line: put it on a line of its own");
    } else if let Some(meant) = did_you_mean(option, known) {
        report = report.help(format!("did you mean `{meant}`?"));
    } else if !option.is_ascii() {
        report = report.help("if this is meant as a comment, start it with `#`");
    }
    reader.push(report);
}

/// Kernel scopes by name (linux/rtnetlink.h).
pub fn scope(word: &str) -> Option<u8> {
    match word {
        "global" => Some(0),
        "site" => Some(200),
        "link" => Some(253),
        "host" => Some(254),
        "nowhere" => Some(255),
        number => number.parse().ok(),
    }
}

fn lifetime(word: &str) -> Option<u32> {
    if word == "forever" { Some(u32::MAX) } else { word.parse().ok() }
}

/// The length of a dotted mask.
fn mask_length(text: &str) -> Option<u32> {
    let mask = u32::from(text.parse::<Ipv4Addr>().ok()?);
    (mask.leading_ones() + mask.trailing_zeros() == 32 || mask == u32::MAX).then(|| mask.leading_ones())
}

fn dropped(span: Span, message: String) -> Diagnostic {
    Diagnostic::error("bad-address", span, message).stock("drops the address")
}

fn ignored(span: Span, message: String) -> Diagnostic {
    Diagnostic::error("bad-address-option", span, message).stock("ignores it and keeps the address")
}

fn later(option: &Word) -> Diagnostic {
    Diagnostic::note(
        "no-effect-yet",
        option.span(),
        format!("`{}` is understood but has no effect yet", option.as_str()),
    )
}
