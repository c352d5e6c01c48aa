//! What the C library's allocator keeps for later use: as little as it can be talked into.
//!
//! A daemon that reads a large file once and then rests for months should not hold on to the pages that it read with.

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

#[cfg(test)]
mod tests {
    use super::*;

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
