//! Any bytes as ARP packets and neighbour advertisements: no panic, and only whole ones make claims.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::kernel::guard::{advertised, arp_claim};

keepalived_rs_fuzz::target!(run);

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
        for bytes in keepalived_rs_fuzz::corpus("claim") {
            assert!(super::run(&bytes));
        }
        keepalived_rs_fuzz::cut("claim", |bytes| {
            super::run(bytes);
        });
    }
}
