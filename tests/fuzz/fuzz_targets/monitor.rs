//! Any bytes as what the kernel tells of interfaces and addresses: no panic.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::kernel::monitor::decode;

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

fn run(bytes: &[u8]) -> usize {
    let mut events = Vec::new();
    decode(bytes, &mut events);
    events.len()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic_and_understood() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/monitor");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).expect("a corpus") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("a readable file");
            assert!(super::run(&bytes) > 0);
            for end in 0..bytes.len() {
                super::run(&bytes[..end]);
            }
            count += 1;
        }
        assert!(count >= 4);
    }
}
