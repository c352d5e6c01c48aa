//! Any bytes as what the kernel's IPVS answers: no panic.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::config::model::Family;
use keepalived_rs::kernel::ipvs_message::{decode_destination, decode_service, decode_sync, decode_timeouts};
use keepalived_rs::kernel::netlink::messages;

keepalived_rs_fuzz::target!(run);

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
        for bytes in keepalived_rs_fuzz::corpus("ipvs_reply") {
            assert!(super::run(&bytes) > 0);
        }
        keepalived_rs_fuzz::cut("ipvs_reply", |bytes| {
            super::run(bytes);
        });
    }
}
