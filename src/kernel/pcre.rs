//! PCRE2: a pattern of an HTTP check, compiled once and matched against pieces of an answer.
//!
//! Here because the library is C. It matches hard-partially, as stock does (spec/checkers.md §7): a match that reaches
//! the end of the piece is only the promise of one. What is found across pieces is `check::probe::scan`'s business.
//! Whatever the pattern, one call costs bounded time and memory: `MATCH_LIMIT`, `HEAP_LIMIT`.

use std::ptr::{self, NonNull};
use std::sync::{Mutex, PoisonError};

use pcre2_sys as sys;

use crate::config::model::{BadPattern, Regex, RegexOptions};

/// Steps of backtracking in one call (PCRE2's own default is ten times as much). With it the worst pattern on a full
/// piece takes some tens of milliseconds.
const MATCH_LIMIT: u32 = 1_000_000;

/// Memory of one call where there is no machine code, in KiB.
const HEAP_LIMIT: u32 = 16 << 10;

/// PCRE2's options behind the words of [`RegexOptions::NAMES`], in their order.
const OPTIONS: [u32; RegexOptions::NAMES.len()] = [
    sys::PCRE2_ALLOW_EMPTY_CLASS,
    sys::PCRE2_ALT_BSUX,
    sys::PCRE2_AUTO_CALLOUT,
    sys::PCRE2_CASELESS,
    sys::PCRE2_DOLLAR_ENDONLY,
    sys::PCRE2_DOTALL,
    sys::PCRE2_DUPNAMES,
    sys::PCRE2_EXTENDED,
    sys::PCRE2_FIRSTLINE,
    sys::PCRE2_MATCH_UNSET_BACKREF,
    sys::PCRE2_MULTILINE,
    sys::PCRE2_NEVER_UCP,
    sys::PCRE2_NEVER_UTF,
    sys::PCRE2_NO_AUTO_CAPTURE,
    sys::PCRE2_NO_AUTO_POSSESS,
    sys::PCRE2_NO_DOTSTAR_ANCHOR,
    sys::PCRE2_NO_START_OPTIMIZE,
    sys::PCRE2_UCP,
    sys::PCRE2_UNGREEDY,
    sys::PCRE2_UTF,
    sys::PCRE2_NEVER_BACKSLASH_C,
    sys::PCRE2_ALT_CIRCUMFLEX,
    sys::PCRE2_ALT_VERBNAMES,
    sys::PCRE2_USE_OFFSET_LIMIT,
];

/// What a piece of text holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A match.
    Match,
    /// What may become one with the next piece.
    Beginning {
        /// Where it begins.
        at: usize,
        /// Bytes from here on are needed to go on: those that the pattern looks back at, too.
        keep: usize,
    },
    /// Neither.
    Nothing,
    /// The pattern took too long on it, or its stack was too small.
    GaveUp,
}

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    code: Code,
    matcher: Mutex<Matcher>,
    /// Characters that the pattern looks back at, at most.
    look_behind: usize,
    utf: bool,
}

impl Pattern {
    /// Compiles it.
    pub fn new(regex: &Regex) -> Result<Self, BadPattern> {
        let given = regex.options.bits();
        let mut options =
            (0..OPTIONS.len()).filter(|bit| given >> bit & 1 == 1).fold(0, |all, bit| all | OPTIONS[bit]);
        if regex.max_offset.is_some() {
            options |= sys::PCRE2_USE_OFFSET_LIMIT;
        }
        let utf = options & sys::PCRE2_UTF != 0;
        if utf {
            // What a server sends need not be text.
            options |= sys::PCRE2_MATCH_INVALID_UTF;
        }
        let code = Code::compile(&regex.pattern, options)?;
        let mut look_behind = 0_u32;
        // SAFETY: the code is valid, and this question is answered with a u32.
        unsafe {
            sys::pcre2_pattern_info_8(
                code.0.as_ptr(),
                sys::PCRE2_INFO_MAXLOOKBEHIND,
                (&raw mut look_behind).cast(),
            )
        };
        // Machine code of PCRE2 10.42 that looks for the end of the first line in bytes that are no text reads on behind
        // them, and never ends where a character seems to go on there.
        let is_sound = !(utf && options & sys::PCRE2_FIRSTLINE != 0);
        if is_sound {
            // SAFETY: the code is valid and not in use. Without machine code (an architecture that has none, memory that
            // must not be executed) the library interprets the pattern.
            unsafe { sys::pcre2_jit_compile_8(code.0.as_ptr(), sys::PCRE2_JIT_PARTIAL_HARD) };
        }
        let matcher = Mutex::new(Matcher::new(regex.stack)?);
        Ok(Self { code, matcher, look_behind: look_behind as usize, utf })
    }

    /// Looks for a match that begins in `start..=last`; `None` is the end. `start` is not behind the end of `text`.
    pub fn search(&self, text: &[u8], start: usize, last: Option<usize>) -> Found {
        if start > text.len() {
            return Found::Nothing;
        }
        let matcher = self.matcher.lock().unwrap_or_else(PoisonError::into_inner);
        let (result, at) = matcher.run(&self.code, text, start, last);
        match result {
            // Machine code of some versions minds the limit only where it begins to look.
            0.. | sys::PCRE2_ERROR_PARTIAL if last.is_some_and(|last| at > last) => Found::Nothing,
            0.. => Found::Match,
            sys::PCRE2_ERROR_NOMATCH => Found::Nothing,
            sys::PCRE2_ERROR_PARTIAL => {
                let at = at.min(text.len());
                Found::Beginning { at, keep: self.back(text, at) }
            }
            _ => Found::GaveUp,
        }
    }

    /// As many characters before `at` as the pattern looks back at.
    fn back(&self, text: &[u8], at: usize) -> usize {
        if !self.utf {
            return at.saturating_sub(self.look_behind);
        }
        let is_begin = |place: &usize| text[*place] & 0xc0 != 0x80;
        match self.look_behind {
            0 => at,
            characters => (0..at).rev().filter(is_begin).nth(characters - 1).unwrap_or(0),
        }
    }
}

#[derive(Debug)]
struct Code(NonNull<sys::pcre2_code_8>);

// SAFETY: compiled code is only read after its machine code was made, which `Pattern::new` does before anybody shares it.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

impl Code {
    fn compile(pattern: &str, options: u32) -> Result<Self, BadPattern> {
        let (mut number, mut offset) = (0, 0);
        // SAFETY: pointer and length describe the pattern's bytes; the two results outlive the call; no context.
        let code = unsafe {
            sys::pcre2_compile_8(
                pattern.as_ptr(),
                pattern.len(),
                options,
                &raw mut number,
                &raw mut offset,
                ptr::null_mut(),
            )
        };
        match NonNull::new(code) {
            Some(code) => Ok(Self(code)),
            None => Err(BadPattern { offset: offset.min(pattern.len()), reason: message(number) }),
        }
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: made by pcre2_compile, owned, freed once.
        unsafe { sys::pcre2_code_free_8(self.0.as_ptr()) }
    }
}

/// What matching writes to.
#[derive(Debug)]
struct Matcher {
    data: NonNull<sys::pcre2_match_data_8>,
    context: NonNull<sys::pcre2_match_context_8>,
    stack: Option<NonNull<sys::pcre2_jit_stack_8>>,
}

// SAFETY: the three are plain memory without ties to a thread; they are used behind a mutex.
unsafe impl Send for Matcher {}

impl Matcher {
    fn new(stack: Option<(u64, u64)>) -> Result<Self, BadPattern> {
        let failed = |what: &str| BadPattern { offset: 0, reason: format!("no memory for {what}") };
        // SAFETY: one pair of offsets, the default allocator.
        let data = unsafe { sys::pcre2_match_data_create_8(1, ptr::null_mut()) };
        // SAFETY: the default allocator.
        let context = unsafe { sys::pcre2_match_context_create_8(ptr::null_mut()) };
        let (data, context) =
            NonNull::new(data).zip(NonNull::new(context)).ok_or_else(|| failed("the matcher"))?;
        let mut matcher = Self { data, context, stack: None };
        // SAFETY: the context is valid and used by nobody else.
        unsafe {
            sys::pcre2_set_match_limit_8(context.as_ptr(), MATCH_LIMIT);
            sys::pcre2_set_heap_limit_8(context.as_ptr(), HEAP_LIMIT);
        }
        if let Some((start, max)) = stack {
            let sizes = usize::try_from(start).ok().zip(usize::try_from(max).ok());
            let (start, max) = sizes.ok_or_else(|| failed("its stack"))?;
            // SAFETY: two sizes, the first not above the second, and the default allocator.
            let stack = unsafe { sys::pcre2_jit_stack_create_8(start.min(max), max, ptr::null_mut()) };
            matcher.stack = NonNull::new(stack);
            let stack = matcher.stack.ok_or_else(|| failed("its stack"))?;
            // SAFETY: without a callback the data is the stack itself, which lives as long as the context.
            unsafe { sys::pcre2_jit_stack_assign_8(context.as_ptr(), None, stack.as_ptr().cast()) }
        }
        Ok(matcher)
    }

    /// PCRE2's result, and where the match, or its beginning, was begun.
    fn run(&self, code: &Code, text: &[u8], start: usize, last: Option<usize>) -> (i32, usize) {
        // SAFETY: `&self` is reached through the mutex only, so nobody else uses the context. The largest value means
        // no limit; other limits are only given to patterns compiled for them.
        unsafe { sys::pcre2_set_offset_limit_8(self.context.as_ptr(), last.unwrap_or(usize::MAX)) };
        // SAFETY: code, data and context are valid; pointer and length describe `text`; `start` lies within it.
        let result = unsafe {
            sys::pcre2_match_8(
                code.0.as_ptr(),
                text.as_ptr(),
                text.len(),
                start,
                sys::PCRE2_PARTIAL_HARD,
                self.data.as_ptr(),
                self.context.as_ptr(),
            )
        };
        // SAFETY: the data is valid and holds the result of the call above. After a match the vector may say otherwise (`\K`).
        let at = match (result, unsafe { sys::pcre2_get_startchar_8(self.data.as_ptr()) }) {
            (0.., at) => at,
            // SAFETY: the data has one pair of offsets, its vector lives as long as it does, and the library has just
            // written where the partial match begins. After other results nothing need be written there.
            (sys::PCRE2_ERROR_PARTIAL, _) => unsafe { *sys::pcre2_get_ovector_pointer_8(self.data.as_ptr()) },
            _ => 0,
        };
        (result, at)
    }
}

impl Drop for Matcher {
    fn drop(&mut self) {
        // SAFETY: all three were made by the library, are owned, and are freed once; the stack after its context.
        unsafe {
            sys::pcre2_match_data_free_8(self.data.as_ptr());
            sys::pcre2_match_context_free_8(self.context.as_ptr());
            if let Some(stack) = self.stack {
                sys::pcre2_jit_stack_free_8(stack.as_ptr());
            }
        }
    }
}

/// PCRE2's words for an error.
fn message(number: i32) -> String {
    let mut buffer = [0_u8; 256];
    // SAFETY: pointer and length describe the buffer. The result is the length of the text, or negative when it was cut.
    let length = unsafe { sys::pcre2_get_error_message_8(number, buffer.as_mut_ptr(), buffer.len()) };
    let length = usize::try_from(length).unwrap_or(buffer.len() - 1).min(buffer.len());
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn regex(pattern: &str, options: &[&str]) -> Regex {
        let mut set = RegexOptions::default();
        for name in options {
            assert!(set.add(name), "{name}");
        }
        let pattern = pattern.to_owned();
        Regex { pattern, options: set, no_match: false, min_offset: 0, max_offset: None, stack: None }
    }

    fn search(pattern: &str, options: &[&str], text: &str) -> Found {
        Pattern::new(&regex(pattern, options)).unwrap().search(text.as_bytes(), 0, None)
    }

    #[test]
    fn a_match_that_reaches_the_end_is_only_a_beginning() {
        assert_eq!(search("hello", &[], "say hello"), Found::Match);
        assert_eq!(search("hello$", &[], "say hello"), Found::Beginning { at: 4, keep: 4 });
        assert_eq!(search("lo+", &[], "hello"), Found::Beginning { at: 3, keep: 3 });
        assert_eq!(search("bye", &[], "say hello"), Found::Nothing);
        assert_eq!(search("(?<=foo)bar", &[], "a foob"), Found::Beginning { at: 5, keep: 2 });
        assert_eq!(search("(?<=f\u{f6}o)bar", &["utf"], "a f\u{f6}ob"), Found::Beginning { at: 6, keep: 2 });
    }

    #[test]
    fn every_option_has_its_effect_or_is_accepted_at_least() {
        for name in RegexOptions::NAMES {
            assert!(Pattern::new(&regex("a.c", &[name])).is_ok(), "{name}");
        }
        for (name, pattern, text) in [
            ("caseless", "HELLO", "hello."),
            ("dotall", "a.c", "a\nc."),
            ("extended", "h e l l o # greets", "hello."),
            ("multiline", "^b", "a\nb."),
            ("ungreedy", "h.*l", "hel"),
            ("utf", "^h.l", "h\u{e9}l."),
            ("alt_bsux", r"\u0068", "h."),
            ("allow_empty_class", "[]|x", "x."),
            ("dupnames", "(?<n>a)(?<n>b)", "ab."),
        ] {
            assert_eq!(search(pattern, &[name], text), Found::Match, "{name}");
            let without =
                Pattern::new(&regex(pattern, &[])).map(|pattern| pattern.search(text.as_bytes(), 0, None));
            assert_ne!(without.unwrap_or(Found::Nothing), Found::Match, "{name} makes no difference");
        }
    }

    #[test]
    fn where_a_match_may_begin_is_limited_on_both_sides() {
        let pattern = Pattern::new(&Regex { max_offset: Some(9), ..regex("hello", &[]) }).unwrap();
        for (start, last, found) in [(0, 3, Found::Match), (3, 3, Found::Match), (0, 2, Found::Nothing)] {
            assert_eq!(pattern.search(b"abchello.", start, Some(last)), found, "{start} {last}");
        }
        assert_eq!(pattern.search(b"abchello.", 4, None), Found::Nothing);
        assert_eq!(pattern.search(b"abc", 4, None), Found::Nothing);
    }

    #[test]
    fn bytes_that_are_no_text_do_not_hide_a_match() {
        let pattern = Pattern::new(&regex("hello", &["utf"])).unwrap();
        assert_eq!(pattern.search(b"\xff\xfe hello.", 0, None), Found::Match);
        assert_eq!(pattern.search(b"\xff\xfe hell\xff.", 0, None), Found::Nothing);
    }

    #[test]
    fn what_does_not_compile_says_where_and_why() {
        let error = Pattern::new(&regex("a(b", &[])).unwrap_err();
        assert_eq!(error.offset, 3);
        assert!(error.reason.contains("parenthesis"), "{}", error.reason);
        assert!(Pattern::new(&regex("a", &["utf", "never_utf"])).is_err());
    }

    #[test]
    fn a_catastrophe_ends_in_bounded_time() {
        let text = ["x".repeat(4090).as_str(), "z"].concat();
        for pattern in ["(x+x+)+y", "(x*)*y", "^(x|xx|xxx)*y", "(?:x+)+$z"] {
            let pattern = Pattern::new(&regex(pattern, &[])).unwrap();
            let begun = Instant::now();
            let _ = pattern.search(text.as_bytes(), 0, None);
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        }
    }

    /// Found by fuzzing; with machine code it never ends.
    #[test]
    fn what_stands_behind_a_piece_is_not_looked_at() {
        let all = [b"TTTTTTTT".as_slice(), &[0xb5; 14]].concat();
        let pattern =
            Pattern::new(&Regex { max_offset: Some(9), ..regex("abc", &["utf", "firstline"]) }).unwrap();
        assert_eq!(pattern.search(&all[..12], 3, Some(9)), Found::Nothing);
    }

    #[test]
    fn the_stack_is_what_was_asked_for() {
        let deep = ["a".repeat(4000).as_str(), "c"].concat();
        let with = |stack| Pattern::new(&Regex { stack, ..regex("(?:a|(b))*?(?1)*c", &[]) });
        let found = |stack| with(stack).unwrap().search(deep.as_bytes(), 0, None);
        assert_eq!(found(Some((64 << 10, 8 << 20))), Found::Match);
        let _ = found(Some((1, 1)));
    }
}
