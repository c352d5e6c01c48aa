//! Any pattern on any answer in any pieces: no panic, and bounded work. The first byte is the length of the pattern, the next
//! four choose its options, the sixth is the length of the pieces.
#![cfg_attr(fuzzing, no_main)]

use std::sync::Arc;

use keepalived_rs::check::probe::scan::{Scan, Scanned, Wanted};
use keepalived_rs::config::model::{Regex, RegexOptions};
use keepalived_rs::kernel::pcre::Pattern;

keepalived_rs_fuzz::target!(run);

fn run(bytes: &[u8]) -> Option<Scanned> {
    let [length, o0, o1, o2, offsets, piece, rest @ ..] = bytes else { return None };
    let (pattern, text) = rest.split_at(rest.len().min(usize::from(*length)));
    let mut options = RegexOptions::default();
    let chosen = u32::from_le_bytes([*o0, *o1, *o2, 0]);
    for (bit, name) in RegexOptions::NAMES.iter().enumerate() {
        if chosen >> bit & 1 == 1 {
            options.add(name);
        }
    }
    let regex = Regex {
        pattern: String::from_utf8_lossy(pattern).into_owned(),
        options,
        no_match: false,
        min_offset: u64::from(offsets & 0x0f),
        max_offset: (offsets & 0x80 != 0).then_some(u64::from(offsets >> 4)),
        stack: (offsets & 0x40 != 0).then_some((1 << 10, 64 << 10)),
    };
    let pattern = match Pattern::new(&regex) {
        Ok(pattern) => Arc::new(pattern),
        Err(bad) => {
            assert!(bad.offset <= regex.pattern.len());
            return None;
        }
    };
    let mut scan = Scan::new(Wanted::new(&regex, pattern));
    for piece in text.chunks(usize::from(*piece).max(1)) {
        scan.feed(piece);
    }
    Some(scan.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_is_read_without_a_panic_and_looked_through() {
        for bytes in keepalived_rs_fuzz::corpus("regex") {
            assert!(run(&bytes).is_some());
        }
        keepalived_rs_fuzz::cut("regex", |bytes| {
            run(bytes);
        });
    }
}
