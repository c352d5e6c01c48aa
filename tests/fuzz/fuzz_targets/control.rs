//! Any bytes as a command on the control socket: no panic, and what is understood is understood again when written down.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::daemon::control::Command;

keepalived_rs_fuzz::target!(run);

fn run(bytes: &[u8]) -> bool {
    let Ok(command) = Command::read(bytes) else { return false };
    let again = Command::read(command.line().expect("it can be written down").as_bytes());
    assert_eq!(again.expect("it was understood"), command);
    true
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic_and_understood() {
        for bytes in keepalived_rs_fuzz::corpus("control") {
            assert!(super::run(&bytes));
        }
        keepalived_rs_fuzz::cut("control", |bytes| {
            super::run(bytes);
        });
    }
}
