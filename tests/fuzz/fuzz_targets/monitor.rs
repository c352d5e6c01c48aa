//! Any bytes as what the kernel tells of interfaces and addresses: no panic.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::kernel::monitor::decode;

keepalived_rs_fuzz::target!(run);

fn run(bytes: &[u8]) -> usize {
    let mut events = Vec::new();
    decode(bytes, &mut events);
    events.len()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic_and_understood() {
        for bytes in keepalived_rs_fuzz::corpus("monitor") {
            assert!(super::run(&bytes) > 0);
        }
        keepalived_rs_fuzz::cut("monitor", |bytes| {
            super::run(bytes);
        });
    }
}
