//! Any bytes as what the kernel's IPVS answers: no panic.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::config::model::Family;
use keepalived_rs::kernel::ipvs_message::{decode_destination, decode_service, decode_sync, decode_timeouts};
use keepalived_rs::kernel::netlink::messages;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(bytes));

/// Replays files given on the command line.
#[cfg(not(fuzzing))]
fn main() {
    for path in std::env::args_os().skip(1) {
        run(&std::fs::read(path).expect("a readable file"));
    }
}

fn run(bytes: &[u8]) -> usize {
    let mut understood = 0;
    for message in messages(bytes) {
        understood += usize::from(decode_service(message.body).is_some());
        for family in [Family::V4, Family::V6] {
            understood += usize::from(decode_destination(family, message.body).is_some());
        }
        understood += usize::from(decode_timeouts(message.body).is_some());
        understood += usize::from(decode_sync(message.body).is_some());
    }
    understood
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic_and_understood() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/ipvs_reply");
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
