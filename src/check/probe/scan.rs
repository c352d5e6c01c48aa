//! A pattern looked for in an answer that comes in pieces. spec/checkers.md §7.
//!
//! As stock does it: each piece is a subject of its own, at most [`LIMIT`] bytes, and only what may become a match is
//! kept for the next one, with the bytes that the pattern looks back at. So `^` also matches where a piece begins, and a
//! match longer than the limit is never found. Offsets count from the first byte of the first piece.

use std::sync::Arc;

use crate::config::model::Regex;
use crate::kernel::pcre::{Found, Pattern};

/// Stock: its buffer, in bytes.
pub const LIMIT: usize = 4095;

/// How a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scanned {
    /// The pattern matched.
    Match,
    /// It did not.
    NoMatch,
    /// It took too long, or its stack was too small: nobody knows.
    GaveUp,
}

/// A pattern, and the words that say where to look.
#[derive(Debug, Clone)]
pub struct Wanted {
    pattern: Arc<Pattern>,
    min_offset: u64,
    max_offset: Option<u64>,
}

impl Wanted {
    /// What this `regex` asks for; `pattern` is its pattern.
    pub fn new(regex: &Regex, pattern: Arc<Pattern>) -> Self {
        Self { pattern, min_offset: regex.min_offset, max_offset: regex.max_offset }
    }
}

/// A scan under way.
#[derive(Debug)]
pub struct Scan {
    wanted: Wanted,
    ended: Option<Scanned>,
    /// What may become a match, and before it what the pattern looks back at. Shorter than [`LIMIT`].
    kept: Vec<u8>,
    /// Where in `kept` the match would begin.
    begun: usize,
    /// Bytes of the answer before `kept`.
    passed: u64,
}

impl Scan {
    /// Nothing looked at yet.
    pub fn new(wanted: Wanted) -> Self {
        Self { wanted, ended: None, kept: Vec::new(), begun: 0, passed: 0 }
    }

    /// The next piece.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while self.ended.is_none() && !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(LIMIT - self.kept.len()));
            bytes = rest;
            if self.kept.is_empty() {
                self.look(piece);
            } else {
                let mut text = std::mem::take(&mut self.kept);
                text.extend_from_slice(piece);
                self.look(&text);
            }
        }
    }

    /// Is it still undecided?
    pub fn is_looking(&self) -> bool {
        self.ended.is_none()
    }

    /// What came of it.
    pub fn end(self) -> Scanned {
        self.ended.unwrap_or(Scanned::NoMatch)
    }

    fn look(&mut self, text: &[u8]) {
        let here = |offset: u64| offset.checked_sub(self.passed);
        let last = match self.wanted.max_offset.map(here) {
            // No match can begin any more.
            Some(None) => {
                self.ended = Some(Scanned::NoMatch);
                return;
            }
            Some(Some(last)) => Some(usize::try_from(last).unwrap_or(usize::MAX - 1)),
            None => None,
        };
        let first =
            here(self.wanted.min_offset).map_or(0, |first| usize::try_from(first).unwrap_or(usize::MAX));
        let start = first.max(self.begun);
        let found = self.wanted.pattern.search(text, start, last);
        self.begun = 0;
        match found {
            Found::Match => self.ended = Some(Scanned::Match),
            Found::GaveUp => self.ended = Some(Scanned::GaveUp),
            Found::Beginning { at, keep } if text.len() - keep < LIMIT => {
                self.kept = text[keep..].to_vec();
                self.begun = at - keep;
                self.passed += keep as u64;
            }
            Found::Beginning { .. } | Found::Nothing => self.passed += text.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::model::RegexOptions;

    fn regex(pattern: &str) -> Regex {
        Regex {
            pattern: pattern.into(),
            options: RegexOptions::default(),
            no_match: false,
            min_offset: 0,
            max_offset: None,
            stack: None,
        }
    }

    fn scan_with(regex: &Regex, pieces: &[&[u8]]) -> Scanned {
        let mut scan = Scan::new(Wanted::new(regex, Arc::new(Pattern::new(regex).unwrap())));
        for piece in pieces {
            scan.feed(piece);
            assert!(scan.kept.len() < LIMIT);
        }
        scan.end()
    }

    fn scan(pattern: &str, pieces: &[&[u8]]) -> bool {
        scan_with(&regex(pattern), pieces) == Scanned::Match
    }

    #[test]
    fn a_match_may_lie_across_pieces() {
        assert!(scan("hello", &[b"say hel", b"lo x"]));
        assert!(scan("hello", &[b"h", b"e", b"l", b"l", b"o"]));
        assert!(scan("(?<=foo)bar", &[b"xxfoo", b"bar xx"]));
        assert!(!scan(r"\bfoo ", &[b"xx", b"foo "]));
        assert!(scan(r"\bfoo ", &[b"x ", b"foo "]));
        assert!(scan("^xxhello", &[b"xx", b"hello there"]));
    }

    #[test]
    fn a_piece_begins_like_a_text_but_does_not_end_like_one() {
        assert!(scan("^hello", &[b"xx", b"hello there"]));
        assert!(scan(r"\Ahello", &[b"x", b"hello "]));
        assert!(!scan("hello$", &[b"hello"]));
        assert!(!scan("hello$", &[b"hello\n"]));
        assert!(!scan("lo+", &[b"hello"]));
        assert!(scan("lo+", &[b"hello", b"."]));
    }

    #[test]
    fn what_is_longer_than_the_limit_is_not_found_and_what_comes_behind_is() {
        let long = |length: usize| "x".repeat(length).into_bytes();
        let between =
            |length: usize| [b"a", &long(length / 2)[..], &long(length - length / 2), b"b "].concat();
        assert!(scan("a[xy]*b ", &[&between(3900)]));
        assert!(scan("a[xy]*b ", &[b"a", &long(1900), &long(2000), b"b . "]));
        assert!(!scan("a[xy]*b ", &[b"a", &long(2000), &long(2200), b"b . "]));
        assert!(!scan("a[xy]*b ", &[&between(6000)]));
        assert!(scan("a[xy]*b ", &[b"a", &long(6000), b" ab "]));
        assert!(scan("hello ", &[&long(10_000), b"hello "]));
    }

    #[test]
    fn offsets_count_from_the_first_piece() {
        let pieces: [&[u8]; 2] = [b"abcdef", b"ghhello ."];
        for (min, max, found) in
            [(8, None, true), (9, None, false), (0, Some(8), true), (0, Some(7), false), (8, Some(8), true)]
        {
            let regex = Regex { min_offset: min, max_offset: max, ..regex("hello ") };
            assert_eq!(scan_with(&regex, &pieces) == Scanned::Match, found, "{min} {max:?}");
        }
        let halves: [&[u8]; 2] = [b"abcdehel", b"lo ."];
        for (max, found) in [(5, true), (4, false)] {
            let regex = Regex { max_offset: Some(max), ..regex("hello ") };
            assert_eq!(scan_with(&regex, &halves) == Scanned::Match, found, "{max}");
        }
    }

    proptest! {
        #[test]
        fn a_word_is_found_wherever_the_pieces_are_cut(
            before in "[a-z ]{0,200}", after in "[a-z ]{0,200}", cuts in prop::collection::vec(0..500_usize, 0..6),
        ) {
            let text = [before.as_str(), "Needle ", &after].concat();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
            places.push(text.len());
            places.sort_unstable();
            let mut from = 0;
            let pieces: Vec<&[u8]> = places.iter().map(|to| {
                let piece = &text.as_bytes()[from..*to];
                from = *to;
                piece
            }).collect();
            prop_assert!(scan("Needle ", &pieces));
            prop_assert!(!scan("Noodle ", &pieces));
        }
    }
}
