//! Memory that was needed once and is held for nothing, by the C library's allocator and by the stack: it goes back.
//!
//! A daemon that reads a large file once and then rests for months should not hold on to the pages that it read with.

use std::ops::Range;

use nix::unistd::{SysconfVar, sysconf};

/// Blocks from this size on come from the kernel one by one and go back to it when they are freed, in bytes.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 64 << 10;

/// Large blocks go back to the kernel when they are freed. To be called once, early.
pub fn be_frugal() {
    #[cfg(target_env = "gnu")]
    for setting in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: sets a number inside of the allocator, under its own lock. Refused, things stay as they are.
        unsafe { libc::mallopt(setting, LARGE) };
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

/// Where the stack of the first thread is.
fn stack() -> Option<Range<usize>> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("[stack]"))?;
    let (begin, end) = line.split_whitespace().next()?.split_once('-')?;
    Some(usize::from_str_radix(begin, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
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
        assert!(stack.start < stack.end && stack.start % 4096 == 0);
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
