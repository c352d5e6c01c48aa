//! Memory that was needed once and is held for nothing, by the C library's allocator and by the stack: it goes back.
//!
//! A daemon that reads a large file once and then rests for months should not hold on to the pages that it read with.

use std::ops::Range;

use nix::unistd::{SysconfVar, sysconf};

/// Blocks from this size on come from the kernel one by one and go back to it when they are freed, in bytes.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 64 << 10;

/// Large blocks go back to the kernel when they are freed, and the rare second thread has no heap of its own. To be called
/// once, early.
pub fn be_frugal() {
    #[cfg(target_env = "gnu")]
    for (setting, value) in
        [(libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TRIM_THRESHOLD, LARGE), (libc::M_ARENA_MAX, 1)]
    {
        // SAFETY: sets a number inside of the allocator, under its own lock. Refused, things stay as they are.
        unsafe { libc::mallopt(setting, value) };
    }
}

/// Gives pages that hold nothing any more back to the kernel. Takes some tenths of a millisecond for each megabyte.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: looks through free memory only, under the allocator's own lock.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// What the calls within [`trim_stack`] have need of themselves, and more, in bytes.
const DEPTH: usize = 16 << 10;

/// Gives pages of the stack that are deeper than its caller has need of back to the kernel: reading a configuration goes
/// deep, and an event loop never again. Only on the first thread.
pub fn trim_stack() {
    let place = 0_u8;
    let here = (&raw const place).addr();
    let Some(stack) = stack().filter(|stack| stack.contains(&here)) else { return };
    let Ok(Some(page)) = sysconf(SysconfVar::PAGE_SIZE) else { return };
    let page = usize::try_from(page).unwrap_or(DEPTH);
    let end = here.saturating_sub(DEPTH) / page * page;
    if end <= stack.start {
        return;
    }
    let begin = std::ptr::without_provenance_mut(stack.start);
    // SAFETY: the range begins where the kernel says that this thread's stack begins, and ends well below its frames: nothing
    // lives there, and what is written there from now on finds pages of zeros.
    unsafe { libc::madvise(begin, end - stack.start, libc::MADV_DONTNEED) };
}

/// Lets go of the program's own pages: most of those that a start needs are not needed again, and those that are come
/// back from the page cache one by one. Not for a process that must answer within microseconds.
pub fn let_go_of_code() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    for code in maps.lines().filter_map(code) {
        let begin = std::ptr::without_provenance_mut(code.start);
        // SAFETY: a file that is mapped to be executed and cannot be written: every page is as it is in the file, and is
        // read from there when it is needed again.
        unsafe { libc::madvise(begin, code.end - code.start, libc::MADV_DONTNEED) };
    }
}

/// The place of a mapping, if it is code from a file: `55d0c000-55d0d000 r-xp 00142000 fe:00 1312 /usr/sbin/…`.
fn code(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_whitespace();
    let place = words.next()?;
    let is_code = words.next()? == "r-xp";
    let inode = words.nth(2)?;
    (is_code && inode != "0").then(|| range(place)).flatten()
}

fn range(place: &str) -> Option<Range<usize>> {
    let (begin, end) = place.split_once('-')?;
    Some(usize::from_str_radix(begin, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

/// Where the stack of the first thread is.
fn stack() -> Option<Range<usize>> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("[stack]"))?;
    range(line.split_whitespace().next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn go_deep(levels: usize) -> usize {
        let room = [levels; 512];
        if levels == 0 { 0 } else { go_deep(levels - 1) + std::hint::black_box(room)[levels % 512] }
    }

    /// Threads of a test have other stacks.
    #[test]
    fn a_stack_is_trimmed_below_its_frames_only() {
        assert_eq!(go_deep(20), 210);
        trim_stack();
        assert_eq!(go_deep(20), 210);
        let stack = stack().unwrap();
        assert!(stack.start < stack.end && stack.start.is_multiple_of(4096));
    }

    #[test]
    fn a_program_goes_on_without_its_code() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let here = a_program_goes_on_without_its_code as *const () as usize;
        assert!(maps.lines().filter_map(code).any(|code| code.contains(&here)));
        assert_eq!(code("7f00-7f10 r-xp 00000000 00:00 0 [vdso]"), None);
        assert_eq!(code("7f00-7f10 rw-p 00000000 fe:00 12 /lib/x.so"), None);
        let_go_of_code();
        assert_eq!(go_deep(3), 6);
    }

    fn resident() -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn what_was_freed_between_things_that_stay_goes_back() {
        let mut blocks: Vec<Vec<u8>> = (0..4000_u32).map(|_| vec![1; 10_000]).collect();
        // One in a hundred stays, so that the heap cannot shrink.
        let kept: Vec<Vec<u8>> = blocks.iter().step_by(100).cloned().collect();
        blocks.drain(..);
        let before = resident();
        trim();
        let after = resident();
        assert!(after <= before, "{before} pages, then {after}");
        assert_eq!(kept.len(), 40);
    }
}
