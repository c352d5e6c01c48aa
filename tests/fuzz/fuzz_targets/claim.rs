//! Any bytes as ARP packets and neighbour advertisements: no panic, and only whole ones make claims.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::kernel::guard::{advertised, arp_claim};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    run(bytes);
});

/// Replays files given on the command line.
#[cfg(not(fuzzing))]
fn main() {
    for path in std::env::args_os().skip(1) {
        run(&std::fs::read(path).expect("a readable file"));
    }
}

fn run(bytes: &[u8]) -> bool {
    let (arp, neighbour) = (arp_claim(bytes), advertised(bytes));
    assert!(arp.is_none() || bytes.len() >= 28);
    assert!(neighbour.is_none() || bytes.len() >= 32);
    arp.is_some() || neighbour.is_some()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic_and_understood() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/claim");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).expect("a corpus") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("a readable file");
            assert!(super::run(&bytes));
            for end in 0..bytes.len() {
                super::run(&bytes[..end]);
            }
            count += 1;
        }
        assert_eq!(count, 3);
    }
}
