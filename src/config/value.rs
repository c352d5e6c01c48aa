//! Timers, ranges, addresses, booleans: parsed once, used by every keyword. spec/config-language.md §9.
//!
//! Pure text to value: no span, no message. What stock would do with a bad text is part of the answer ([`Reading`]),
//! because a running daemon and `-t` disagree on it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::model::Family;

/// Who asks: stock's config test drops numbers that its running daemon uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// `-t`.
    ConfigTest,
    /// Start or reload.
    #[default]
    Run,
}

/// How much junk behind a number stock accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Never any.
    Strict,
    /// The running daemon uses the leading digits; `-t` does not.
    Lenient,
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No digits, or something behind them.
    Syntax,
    /// A minus sign where none is allowed.
    Negative,
    /// A number outside its range.
    Range,
    /// More decimal places than stock keeps; rounded half up.
    Places,
    /// Letters behind a time: stock scales the number wrongly and goes on.
    Unit,
}

/// A value read from text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading<T> {
    /// Fine.
    Good(T),
    /// Wrong, reported, and used nevertheless.
    Used(T, Trouble),
    /// Wrong and not used.
    Bad(Trouble),
}

/// A decimal integer in `min..=max`. Leading blanks, `+` and zeros are allowed, as stock's C conversion does.
pub fn integer(text: &str, min: i64, max: i64, strictness: Strictness, mode: Mode) -> Reading<i64> {
    let body = text.trim_start_matches([' ', '\t']);
    let (negative, digits) = match body.as_bytes().first() {
        Some(b'-') => (true, &body[1..]),
        Some(b'+') => (false, &body[1..]),
        _ => (false, body),
    };
    let end = digits.bytes().take_while(u8::is_ascii_digit).count();
    if negative && min >= 0 {
        return Reading::Bad(if end == digits.len() && end > 0 {
            Trouble::Negative
        } else {
            Trouble::Syntax
        });
    }
    let clean = end > 0 && end == digits.len();
    if !clean && (strictness == Strictness::Strict || mode == Mode::ConfigTest) {
        return Reading::Bad(Trouble::Syntax);
    }
    let mut number: i64 = 0;
    for digit in digits.bytes().take(end) {
        number = number.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    }
    if negative {
        number = -number;
    }
    if number < min || number > max {
        Reading::Bad(if clean { Trouble::Range } else { Trouble::Syntax })
    } else if clean {
        Reading::Good(number)
    } else {
        Reading::Used(number, Trouble::Syntax)
    }
}

/// A decimal number of seconds, returned in units of 10^-`places` s, range included.
///
/// Stock glues zeros for the missing places behind the text before it converts it, so `3m` with six places is
/// `3m000000` and reads as 3 µs. Kept, because files depend on what their timers are; reported, always.
pub fn seconds(text: &str, places: u32, min: u64, max: u64) -> Reading<u64> {
    let body = text.trim_start_matches([' ', '\t']);
    if body.starts_with('-') {
        return Reading::Bad(Trouble::Negative);
    }
    let body = body.strip_prefix('+').unwrap_or(body);
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let digits = |part: &str| part.bytes().take_while(u8::is_ascii_digit).count();
    if whole.is_empty() && fraction.is_empty() {
        return Reading::Bad(Trouble::Syntax);
    }
    let (whole_end, fraction_end) = (digits(whole), digits(fraction));
    let clean = whole_end == whole.len() && fraction_end == fraction.len();
    let mut number: u64 = 0;
    let mut push = |digit: u8| number = number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    let mut trouble = None;
    let room = places as usize;
    if clean {
        whole.bytes().chain(fraction.bytes().take(room)).for_each(&mut push);
        (fraction.len()..room).for_each(|_| push(b'0'));
        if fraction.len() > room {
            trouble = Some(Trouble::Places);
            if fraction.as_bytes()[room] >= b'5' {
                number = number.saturating_add(1);
            }
        }
    } else {
        whole.bytes().take(whole_end).for_each(&mut push);
        if whole_end == whole.len() {
            fraction.bytes().take(fraction_end).for_each(&mut push);
        }
        if whole_end == 0 && (whole_end < whole.len() || fraction_end == 0) {
            return Reading::Bad(Trouble::Syntax);
        }
        trouble = Some(Trouble::Unit);
    }
    match trouble {
        _ if number < min || number > max => Reading::Bad(if clean { Trouble::Range } else { Trouble::Unit }),
        Some(trouble) => Reading::Used(number, trouble),
        None => Reading::Good(number),
    }
}

/// `true on yes` / `false off no`, lower case only.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "on" | "yes" => Some(true),
        "false" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// An address as `inet_pton` takes it: a colon decides for IPv6, no short forms, no zone, no brackets.
pub fn address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    } else {
        text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
    }
}

/// An IPv4 address in any form the C library takes: `192.0.2.1`, `10.1`, `33`.
pub fn loose_ipv4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').collect();
    let (last, front) = parts.split_last()?;
    if front.len() > 3 {
        return None;
    }
    let number =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u32>().ok())?;
    let mut address: u32 = 0;
    for part in front {
        address = address << 8 | number(part).filter(|&octet| octet < 256)?;
    }
    let room = 8 * (4 - u32::try_from(front.len()).ok()?);
    let low = number(last).filter(|&low| room == 32 || low < 1 << room)?;
    Some(Ipv4Addr::from_bits(address.checked_shl(room).unwrap_or(0) | low))
}

/// The address of a text from which stock silently cuts everything from `-` or `/` on (peers, sources, groups).
pub fn address_before_suffix(text: &str) -> Option<IpAddr> {
    address(text.split(['-', '/']).next().unwrap_or(""))
}

/// The length of a family's addresses in bits.
pub fn full_prefix(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

/// `ADDR[/LEN]`: the address, and what its prefix says (`None` when there is no slash).
pub fn address_with_prefix(text: &str, mode: Mode) -> Option<(IpAddr, Option<Reading<u8>>)> {
    let (host, length) = match text.split_once('/') {
        Some((host, length)) => (host, Some(length)),
        None => (text, None),
    };
    let address = address(host)?;
    let prefix = length.map(|length| {
        if length.is_empty() {
            return Reading::Good(0);
        }
        let max = i64::from(full_prefix(Family::of(address)));
        let small = |n: i64| u8::try_from(n).unwrap_or(0);
        match integer(length, 0, max, Strictness::Lenient, mode) {
            Reading::Good(n) => Reading::Good(small(n)),
            Reading::Used(n, trouble) => Reading::Used(small(n), trouble),
            Reading::Bad(trouble) => Reading::Bad(trouble),
        }
    });
    Some((address, prefix))
}

/// Is it a multicast address?
pub fn is_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}

/// Is it `fe80::/10`?
pub fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

/// An interface name the kernel can hold: 1..=15 bytes.
pub fn fits_interface(name: &str) -> bool {
    !name.is_empty() && name.len() <= 15
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Mode = Mode::Run;
    const TEST: Mode = Mode::ConfigTest;

    #[test]
    fn integers_allow_blanks_plus_and_zeros_in_front_and_nothing_behind() {
        for (text, value) in [("50", 50), (" 50", 50), ("+50", 50), ("010", 10), ("0", 0)] {
            assert_eq!(integer(text, 0, 255, Strictness::Strict, RUN), Reading::Good(value), "{text}");
        }
        for text in ["", "abc", "50 ", "5x", "'50'", "0x10", "+", "５０"] {
            assert_eq!(
                integer(text, 0, 255, Strictness::Strict, RUN),
                Reading::Bad(Trouble::Syntax),
                "{text}"
            );
        }
        assert_eq!(integer("-1", 0, 255, Strictness::Strict, RUN), Reading::Bad(Trouble::Negative));
        assert_eq!(integer("-1", -2, 255, Strictness::Strict, RUN), Reading::Good(-1));
        assert_eq!(integer("256", 0, 255, Strictness::Strict, RUN), Reading::Bad(Trouble::Range));
        assert_eq!(
            integer("99999999999999999999999", 0, 255, Strictness::Strict, RUN),
            Reading::Bad(Trouble::Range)
        );
    }

    #[test]
    fn lenient_integers_are_used_by_the_daemon_and_refused_by_the_test() {
        assert_eq!(integer("7s", 0, 100, Strictness::Lenient, RUN), Reading::Used(7, Trouble::Syntax));
        assert_eq!(integer("7s", 0, 100, Strictness::Lenient, TEST), Reading::Bad(Trouble::Syntax));
        assert_eq!(integer("abc", 0, 100, Strictness::Lenient, RUN), Reading::Used(0, Trouble::Syntax));
        assert_eq!(integer("abc", 1, 100, Strictness::Lenient, RUN), Reading::Bad(Trouble::Syntax));
        assert_eq!(integer("255.255.255.0", 0, 32, Strictness::Lenient, RUN), Reading::Bad(Trouble::Syntax));
    }

    #[test]
    fn seconds_keep_six_places_and_round_the_seventh() {
        let max = 1_000_000_000;
        for (text, micros) in
            [("1", 1_000_000), ("0.5", 500_000), (".5", 500_000), ("3.", 3_000_000), ("0", 0)]
        {
            assert_eq!(seconds(text, 6, 0, max), Reading::Good(micros), "{text}");
        }
        assert_eq!(seconds("1.0000005", 6, 0, max), Reading::Used(1_000_001, Trouble::Places));
        assert_eq!(seconds("1.0000004", 6, 0, max), Reading::Used(1_000_000, Trouble::Places));
        assert_eq!(seconds("-1", 6, 0, max), Reading::Bad(Trouble::Negative));
        assert_eq!(seconds("abc", 6, 0, max), Reading::Bad(Trouble::Syntax));
        assert_eq!(seconds(".", 6, 0, max), Reading::Bad(Trouble::Syntax));
        assert_eq!(seconds("1001", 6, 0, max), Reading::Bad(Trouble::Range));
    }

    #[test]
    fn a_unit_behind_seconds_shrinks_them_as_stock_does() {
        assert_eq!(seconds("3m", 6, 0, 1_000_000_000), Reading::Used(3, Trouble::Unit));
        assert_eq!(seconds("3s", 3, 0, 4_294_967_000), Reading::Used(3, Trouble::Unit));
        assert_eq!(seconds("2s", 6, 10_000, 255_000_000), Reading::Bad(Trouble::Unit));
        assert_eq!(seconds("3.5s", 6, 0, 1_000_000_000), Reading::Used(35, Trouble::Unit));
    }

    #[test]
    fn booleans_are_lower_case_words() {
        assert_eq!(boolean("yes"), Some(true));
        assert_eq!(boolean("off"), Some(false));
        for text in ["True", "1", "", "YES"] {
            assert_eq!(boolean(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_have_no_short_form_zone_or_bracket() {
        assert!(address("192.0.2.1").is_some());
        assert!(address("fe80::1").is_some());
        for text in ["010.0.0.1", "10.1", "fe80::1%eth0", "[::1]", "", "192.0.2.1/24", "xxx"] {
            assert_eq!(address(text), None, "{text}");
        }
        assert_eq!(address_before_suffix("192.0.2.13/24"), address("192.0.2.13"));
        assert_eq!(address_before_suffix("192.0.2.14-20"), address("192.0.2.14"));
        assert_eq!(address_before_suffix("192.0.2.14:80"), None);
    }

    #[test]
    fn short_ipv4_forms_put_the_last_number_into_the_bytes_that_are_left() {
        for (text, address) in
            [("10.1", "10.0.0.1"), ("33", "0.0.0.33"), ("1.2.3", "1.2.0.3"), ("192.0.2.1", "192.0.2.1")]
        {
            assert_eq!(loose_ipv4(text), address.parse().ok(), "{text}");
        }
        for text in ["", "1.", "256.1", "1.2.3.4.5", "a", "1.2.65536", "4294967296", "+1"] {
            assert_eq!(loose_ipv4(text), None, "{text}");
        }
    }

    #[test]
    fn a_prefix_is_a_length_never_a_mask() {
        let prefix = |text, mode| address_with_prefix(text, mode).expect("the address is good").1;
        assert_eq!(prefix("192.0.2.1", RUN), None);
        assert_eq!(prefix("192.0.2.1/24", RUN), Some(Reading::Good(24)));
        assert_eq!(prefix("192.0.2.1/", RUN), Some(Reading::Good(0)));
        assert_eq!(prefix("192.0.2.1/33", RUN), Some(Reading::Bad(Trouble::Range)));
        assert_eq!(prefix("192.0.2.1/255.255.255.0", RUN), Some(Reading::Bad(Trouble::Syntax)));
        assert_eq!(prefix("192.0.2.1/24x", RUN), Some(Reading::Used(24, Trouble::Syntax)));
        assert_eq!(prefix("192.0.2.1/24x", TEST), Some(Reading::Bad(Trouble::Syntax)));
        assert_eq!(prefix("::1/128", RUN), Some(Reading::Good(128)));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,24}") {
            let _ = integer(&text, i64::MIN, i64::MAX, Strictness::Lenient, RUN);
            let _ = seconds(&text, 6, 0, u64::MAX);
            let _ = address_with_prefix(&text, RUN);
            let _ = address_before_suffix(&text);
            let _ = loose_ipv4(&text);
        }
    }
}
