//! The heap of the C library, where most Luas keep their strings.

/// What is freed so that as much again may lie unused at the top of the heap.
const BLOCK: usize = 4 << 20;

/// Lets the heap keep the memory at its top for the next strings.
///
/// glibc gives it back to the system where 128 KiB are free there, which is eight messages of 16 KiB: a server that reads
/// such messages gets the same pages again after each collection, at a page fault each. That was a quarter of the time of
/// an echo on Lua 5.4, and two thirds of a fault a message. glibc raises that limit itself, to twice the size of the
/// largest block that it has mapped alone and that is freed: so one is, untouched, once. No setting of the host's is
/// changed: where it has set a limit (`mallopt`, `MALLOC_TRIM_THRESHOLD_`), glibc leaves that as it is.
pub(crate) fn keep_top() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: what is freed has just been allocated, or is null, and nobody else has it.
    unsafe {
        let block = std::hint::black_box(libc::malloc(BLOCK));
        libc::free(block);
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    /// The page faults of this thread so far.
    fn faults() -> i64 {
        // SAFETY: zeroes are a valid `rusage`, in which the call writes.
        unsafe {
            let mut usage = std::mem::zeroed::<libc::rusage>();
            assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), 0);
            usage.ru_minflt
        }
    }

    /// Fills the heap with messages, and empties it again.
    fn fill() {
        let messages: Vec<Vec<u8>> = (0..128).map(|_| vec![1; 16 * 1024]).collect();
        drop(std::hint::black_box(messages));
    }

    #[test]
    fn what_was_freed_is_used_again_without_page_faults() {
        keep_top();
        fill();
        let before = faults();
        for _ in 0..10 {
            fill();
        }
        assert!(faults() - before < 512, "{}", faults() - before);
    }
}
