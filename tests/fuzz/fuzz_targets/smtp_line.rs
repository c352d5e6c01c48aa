//! Any bytes as a mail server's line, in any pieces: no panic, never longer than a line, and the pieces do not matter. The
//! first byte says how long the pieces are.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::check::probe::smtp::{LONGEST, Line};

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
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/smtp_line");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).expect("the corpus") {
            super::run(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
            count += 1;
        }
        assert!(count > 0, "the corpus is empty");
    }
}
