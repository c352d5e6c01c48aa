//! Any bytes as a mail server's line, in any pieces: no panic, never longer than a line, and the pieces do not matter. The
//! first byte says how long the pieces are.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::check::probe::smtp::{LONGEST, Line};

keepalived_rs_fuzz::target!(run);

fn run(bytes: &[u8]) {
    let Some((&length, bytes)) = bytes.split_first() else { return };
    let mut whole = Line::default();
    let complete = whole.feed(bytes);
    let mut pieced = Line::default();
    let mut fed = 0;
    for piece in bytes.chunks(usize::from(length).max(1)) {
        fed += piece.len();
        if pieced.feed(piece) {
            break;
        }
    }
    assert_eq!(whole, pieced);
    assert_eq!(complete, bytes.contains(&b'\n') || bytes.len() >= LONGEST);
    assert!(fed <= bytes.len());
    for code in ["220", "250"] {
        let says = whole.says(code);
        assert_eq!(
            says,
            bytes.starts_with(code.as_bytes()) && matches!(bytes.get(3), None | Some(b' ' | b'\n'))
        );
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic() {
        keepalived_rs_fuzz::corpus("smtp_line").iter().for_each(|bytes| super::run(bytes));
    }
}
