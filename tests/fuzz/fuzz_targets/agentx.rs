//! Any bytes as what an AgentX master says: no panic, and what is understood is understood again when said by us.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::snmp::packet::Packet;

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
    let Ok(packet) = Packet::decode(bytes) else { return false };
    let again = Packet::decode(&packet.encode());
    assert!(again.is_ok(), "{packet:?}");
    true
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic_and_understood() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/agentx");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).expect("a corpus") {
            let mut bytes = std::fs::read(entry.expect("an entry").path()).expect("a readable file");
            assert!(super::run(&bytes));
            for end in 0..bytes.len() {
                super::run(&bytes[..end]);
            }
            for place in 0..bytes.len() {
                bytes[place] ^= 0xff;
                super::run(&bytes);
                bytes[place] ^= 0xff;
            }
            count += 1;
        }
        assert!(count >= 5);
    }
}
