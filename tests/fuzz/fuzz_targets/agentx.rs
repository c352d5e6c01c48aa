//! Any bytes as what an AgentX master says: no panic, and what is understood is understood again when said by us.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::snmp::packet::Packet;

keepalived_rs_fuzz::target!(run);

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
        for mut bytes in keepalived_rs_fuzz::corpus("agentx") {
            assert!(super::run(&bytes));
            for place in 0..bytes.len() {
                bytes[place] ^= 0xff;
                super::run(&bytes);
                bytes[place] ^= 0xff;
            }
        }
        keepalived_rs_fuzz::cut("agentx", |bytes| {
            super::run(bytes);
        });
    }
}
