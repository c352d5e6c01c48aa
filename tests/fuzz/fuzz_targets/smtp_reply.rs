//! Any bytes as what a mail relay says: no panic, one end, and never more said than there are steps.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::notify::mail::Letter;
use keepalived_rs::notify::smtp::{Dialogue, Output};

keepalived_rs_fuzz::target!(run);

/// How many commands the relay was given.
fn run(bytes: &[u8]) -> usize {
    let letter = Letter {
        helo: "h".to_owned(),
        from: "f@x".to_owned(),
        to: vec!["a@x".to_owned(), "b@x".to_owned()],
        text: "text\r\n.\r\n".to_owned(),
    };
    let mut dialogue = Dialogue::new(&letter);
    let mut out = Vec::new();
    for chunk in bytes.chunks(5) {
        dialogue.hear(chunk, &mut out);
    }
    let said = out.iter().filter(|output| matches!(output, Output::Send(_))).count();
    assert_eq!(out.len() - said, usize::from(dialogue.is_over()));
    assert!(said <= 7);
    said
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic_and_understood() {
        for bytes in keepalived_rs_fuzz::corpus("smtp_reply") {
            assert!(super::run(&bytes) > 0);
        }
        keepalived_rs_fuzz::cut("smtp_reply", |bytes| {
            super::run(bytes);
        });
    }
}
