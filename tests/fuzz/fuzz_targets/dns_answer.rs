//! Any bytes as a name server's answer: no panic, and only an answer to the question counts. The first two bytes are the
//! question's number.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::check::probe::dns::{query, read};
use keepalived_rs::config::model::DnsType;

keepalived_rs_fuzz::target!(run);

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
        keepalived_rs_fuzz::corpus("dns_answer").iter().for_each(|bytes| super::run(bytes));
    }
}
