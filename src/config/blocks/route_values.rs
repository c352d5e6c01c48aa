//! Values of route lines that have a grammar of their own: times, realms, features, tunnels (spec/vrrp-config.md §3.2).

use std::net::IpAddr;

use super::route::{Dropped, dropped};
use super::{iproute_number, quoted};
use crate::config::iproute::Kind;
use crate::config::model::{Encap, IpTunnel};
use crate::config::reader::Reader;
use crate::config::syntax::Word;
use crate::config::value;

/// A time in units of 1/`factor` ms: without suffix it is that already; `s`, `sec`, `secs`, `ms` say what it is. Up to
/// three decimals; `None` for anything else and beyond 120 s × `factor` in the written unit, which stock refuses.
pub(super) fn time(word: &str, factor: u32) -> Option<u32> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: u32 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let thousandths: u32 = format!("{fraction:0<3}")[..3].parse().ok()?;
    let (scale, limit) = match &word[digits.len()..] {
        "s" | "sec" | "secs" => (1000 * factor, 120 * factor),
        "ms" => (factor, 120_000 * factor),
        "" => (1, 120_000 * factor),
        _ => return None,
    };
    if whole > limit || whole == limit && thousandths > 0 {
        return None;
    }
    whole.checked_mul(scale)?.checked_add(scale.checked_mul(thousandths)? / 1000)
}

/// `TO` or `FROM/TO`, names or numbers below 65,536, as the kernel takes them: `FROM << 16 | TO`.
pub(super) fn realms(reader: &mut Reader<'_>, word: &str) -> Option<u32> {
    let mut realm = |name: &str| iproute_number(reader, Kind::Realm, name, 0xffff);
    match word.split_once('/') {
        Some((from, to)) => Some(realm(from)? << 16 | realm(to)?),
        None => realm(word),
    }
}

/// The bits of `features`.
pub(super) fn feature(word: &str) -> Option<u32> {
    (word == "ecn").then_some(1)
}

/// What follows `encap`, up to the first word that is none of its type's. Stock: an unknown type is passed over.
pub(super) fn encap<'a>(
    reader: &mut Reader<'a>,
    option: &Word,
    rest: &mut &'a [Word],
) -> Result<Option<Encap>, Dropped> {
    let kind = take(reader, option, rest)?;
    match kind.as_str() {
        "ip" => tunnel(reader, kind, rest, ["tos", "ttl"]).map(|tunnel| Some(Encap::Ip(tunnel))),
        "ip6" => tunnel(reader, kind, rest, ["tc", "hoplimit"]).map(|tunnel| Some(Encap::Ip6(tunnel))),
        "mpls" => {
            let word = take(reader, kind, rest)?;
            let label = |text: &str| text.parse::<u32>().ok().filter(|label| *label < 1 << 20);
            let labels: Option<Vec<u32>> = word.split('/').map(label).collect();
            labels.map(|labels| Some(Encap::Mpls(labels))).ok_or_else(|| invalid(reader, kind, word))
        }
        "ila" => {
            let word = take(reader, kind, rest)?;
            let parts: Option<Vec<u16>> =
                word.split(':').map(|part| u16::from_str_radix(part, 16).ok()).collect();
            let locator = parts
                .filter(|parts| parts.len() == 4)
                .map(|parts| parts.into_iter().fold(0_u64, |locator, part| locator << 16 | u64::from(part)));
            locator.map(|locator| Some(Encap::Ila(locator))).ok_or_else(|| invalid(reader, kind, word))
        }
        _ => {
            let message = format!("`{}` is no type of encapsulation", quoted(kind));
            reader.push(dropped(kind, message).help("write ip, ip6, mpls or ila").stock("passes over it"));
            Ok(None)
        }
    }
}

fn tunnel<'a>(
    reader: &mut Reader<'a>,
    kind: &Word,
    rest: &mut &'a [Word],
    [tos, ttl]: [&str; 2],
) -> Result<IpTunnel, Dropped> {
    let mut tunnel = IpTunnel::default();
    while let Some((option, after)) = rest.split_first() {
        let name = option.as_str();
        if !(matches!(name, "id" | "dst" | "src" | "flags") || name == tos || name == ttl) {
            break;
        }
        *rest = after;
        let word = take(reader, option, rest)?;
        let address = |word: &str| {
            value::address(word).filter(|address| matches!(address, IpAddr::V4(_)) == (kind == "ip"))
        };
        let is_fine = match name {
            "id" => set(&mut tunnel.id, word.parse().ok()),
            "dst" => set(&mut tunnel.destination, address(word)),
            "src" => set(&mut tunnel.source, address(word)),
            "flags" => {
                set(&mut tunnel.flags, super::super::iproute::number(word).and_then(|n| n.try_into().ok()))
            }
            _ if name == tos => {
                let number = iproute_number(reader, Kind::Field, word, 255);
                set(&mut tunnel.tos, number.and_then(|number| number.try_into().ok()))
            }
            _ => set(&mut tunnel.ttl, word.parse().ok()),
        };
        if !is_fine {
            return Err(invalid(reader, option, word));
        }
    }
    if tunnel.id.is_none() && tunnel.destination.is_none() {
        let message = format!("`encap {}` needs `dst` or `id`", kind.as_str());
        reader.push(dropped(kind, message).stock("keeps the route, which the kernel may refuse"));
    }
    Ok(tunnel)
}

fn set<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    *slot = value;
    slot.is_some()
}

fn take<'a>(reader: &mut Reader<'a>, option: &Word, rest: &mut &'a [Word]) -> Result<&'a Word, Dropped> {
    let Some((word, after)) = rest.split_first() else {
        let message = format!("`{}` needs a value", option.as_str());
        reader.push(dropped(option, message).class(crate::config::diagnostic::Class::MissingArgument));
        return Err(Dropped);
    };
    *rest = after;
    Ok(word)
}

fn invalid(reader: &mut Reader<'_>, option: &Word, word: &Word) -> Dropped {
    let message = format!("`{}`: `{}` is no valid value", option.as_str(), quoted(word));
    reader.push(dropped(word, message));
    Dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_raw_unit_of_their_own_and_three_decimals() {
        assert_eq!(time("300", 8), Some(300));
        assert_eq!((time("300ms", 8), time("1.5s", 8)), (Some(2400), Some(12_000)));
        assert_eq!((time("1.5sec", 1), time("2secs", 4)), (Some(1500), Some(8000)));
        assert_eq!(time("0.0004s", 8), Some(0));
        assert_eq!((time("960s", 8), time("961s", 8), time("960.001s", 8)), (Some(7_680_000), None, None));
        assert_eq!((time("120s", 1), time("130s", 1), time("9999999", 8)), (Some(120_000), None, None));
        for text in ["", "5m", "abc", "-1", ".", "1.x", "99999999999s"] {
            assert_eq!(time(text, 8), None, "{text}");
        }
    }
}
