//! Any text as a value of every kind: no panic, results inside their ranges, what is good under `-t` is the same at run
//! time, and what is written back reads as itself.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::config::model::Family;
use keepalived_rs::config::reader::decimal;
use keepalived_rs::config::source::{decode, encode};
use keepalived_rs::config::suggest::{did_you_mean, look_alikes, plain};
use keepalived_rs::config::value::{self, Mode, Reading, Strictness};

keepalived_rs_fuzz::target!(run);

/// Smallest and largest of some keywords.
const RANGES: [(i64, i64); 5] = [(1, 255), (0, 0), (-253, 253), (0, 4_294_967_295), (i64::MIN, i64::MAX)];

fn run(bytes: &[u8]) {
    let text = decode(bytes.to_vec());
    assert_eq!(encode(&text).as_ref(), bytes);
    for (min, max) in RANGES {
        for strictness in [Strictness::Strict, Strictness::Lenient] {
            let [test, run] =
                [Mode::ConfigTest, Mode::Run].map(|mode| value::integer(&text, min, max, strictness, mode));
            for reading in [test, run] {
                if let Reading::Good(number) | Reading::Used(number, _) = reading {
                    assert!((min..=max).contains(&number));
                    let again = value::integer(&number.to_string(), min, max, strictness, Mode::Run);
                    assert_eq!(again, Reading::Good(number));
                }
            }
            if let Reading::Good(_) = test {
                assert_eq!(test, run);
            }
        }
    }
    for (places, min, max) in [(3, 1, 999_999), (6, 0, 4_294_967_295_000_000), (6, 10_000, u64::MAX)] {
        if let Reading::Good(number) | Reading::Used(number, _) = value::seconds(&text, places, min, max) {
            assert!((min..=max).contains(&number));
            let written = decimal(number, 10u64.pow(places));
            assert_eq!(value::seconds(&written, places, min, max), Reading::Good(number), "{written}");
        }
    }
    if let Some(address) = value::address(&text) {
        assert_eq!(value::address_before_suffix(&text), Some(address));
        assert_eq!(value::address(&address.to_string()), Some(address));
    }
    if let Some((address, Some(Reading::Good(prefix)))) = value::address_with_prefix(&text, Mode::Run) {
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        assert!(prefix <= value::full_prefix(family));
    }
    let _ = (value::boolean(&text), value::loose_ipv4(&text), value::fits_interface(&text));
    let _ = did_you_mean(&text, ["priority", "auth_pass", "x"]);
    if look_alikes(&text).is_empty() {
        assert_eq!(plain(&text), text);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic() {
        keepalived_rs_fuzz::corpus("config_value").iter().for_each(|bytes| super::run(bytes));
    }
}
