//! Tells whether this process is still the one that asked.

use std::os::raw::c_int;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks lie between this process and the one that loaded the library.
static FORKS: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" {
    /// Every Unix has it; the libc crate lacks it for Linux.
    fn pthread_atfork(
        prepare: Option<unsafe extern "C" fn()>,
        parent: Option<unsafe extern "C" fn()>,
        child: Option<unsafe extern "C" fn()>,
    ) -> c_int;
}

/// Counts one, in the child.
///
/// # Safety
/// None: it only adds to a number.
unsafe extern "C" fn count() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// A number that every process has to itself, among those that come of one another: without a system call.
pub(crate) fn generation() -> u32 {
    /// The handler is set once.
    static HANDLED: Once = Once::new();
    // SAFETY: the handler stays where it is, since the library is never unmapped; it only adds to a number.
    HANDLED.call_once(|| unsafe {
        pthread_atfork(None, None, Some(count));
    });
    FORKS.load(Ordering::Relaxed)
}
