//! Any bytes as a name server's answer: no panic, and only an answer to the question counts. The first two bytes are the
//! question's number.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::check::probe::dns::{query, read};
use keepalived_rs::config::model::DnsType;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(bytes));

/// Replays files given on the command line.
#[cfg(not(fuzzing))]
fn main() {
    for path in std::env::args_os().skip(1) {
        run(&std::fs::read(path).expect("a readable file"));
    }
}

fn run(bytes: &[u8]) {
    let Some((id, bytes)) = bytes.split_first_chunk() else { return };
    let id = u16::from_be_bytes(*id);
    if let Some(code) = read(id, bytes) {
        assert!(bytes.len() >= 12 && bytes[..2] == id.to_be_bytes() && bytes[2] & 0x80 != 0);
        assert_eq!(code, bytes[3] & 0x0f);
    }
    // The rest as a name: the question is well formed whatever it is, and no answer to itself.
    let name = String::from_utf8_lossy(bytes);
    let question = query(id, DnsType::A, &name);
    assert_eq!(read(id, &question), None);
    assert!(question.len() <= 12 + name.len() + 6);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/dns_answer");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).expect("the corpus") {
            super::run(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
            count += 1;
        }
        assert!(count > 0, "the corpus is empty");
    }
}
