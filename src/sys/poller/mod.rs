//! The readiness of descriptors. The contract: `Poller::new`, `add` (once for both directions, edge-triggered),
//! `add_waker`, `wait` with nanoseconds, and `Event`. A closed descriptor leaves by itself.

#[cfg(all(target_os = "linux", not(coev_portable_poller)))]
mod epoll;
#[cfg(any(not(target_os = "linux"), coev_portable_poller))]
mod portable;

#[cfg_attr(loom, expect(unused_imports, reason = "a model has another waker"))]
#[cfg(all(target_os = "linux", not(coev_portable_poller)))]
pub(crate) use epoll::{Poller, TELLS_EACH_WAKE};
#[cfg(any(not(target_os = "linux"), coev_portable_poller))]
pub(crate) use portable::{Poller, TELLS_EACH_WAKE};

use std::os::fd::RawFd;

/// What the system says of one descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    /// The number that `add` was given.
    pub(crate) key: u64,
    /// There is something to read, or the end, or an error.
    pub(crate) readable: bool,
    /// There is room to write, or an error.
    pub(crate) writable: bool,
    /// The peer will send no more, or all is over: a short read is no proof of silence any longer.
    pub(crate) hung_up: bool,
}

/// Is there such a descriptor?
pub(crate) fn is_open(fd: RawFd) -> bool {
    // SAFETY: takes no pointers, and changes nothing.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}
