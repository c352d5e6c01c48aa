//! Any bytes as a BFD packet: no panic, and what is taken is written back as it came, up to the field that we never use.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::bfd::packet::{Authenticated, decode};

keepalived_rs_fuzz::target!(run);

fn run(bytes: &[u8]) {
    let Ok((packet, authenticated)) = decode(bytes) else { return };
    assert!(packet.multiplier > 0 && packet.mine > 0 && !(packet.poll && packet.is_final));
    let encoded = packet.encode();
    assert_eq!(encoded[0], bytes[0]);
    assert_eq!(encoded[2], bytes[2]);
    assert_eq!(encoded[4..20], bytes[4..20]);
    if let Authenticated::No = authenticated {
        let again = decode(&encoded).expect("what was taken is taken again");
        assert_eq!(again.0, packet);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic() {
        keepalived_rs_fuzz::corpus("bfd_packet").iter().for_each(|bytes| super::run(bytes));
    }
}
