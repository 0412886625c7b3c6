//! Interrupts a blocked poller from another thread.

use super::poller;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A counter of the kernel's that becomes readable when it is raised.
pub(crate) struct Waker(OwnedFd);

impl Waker {
    /// Makes one.
    pub(crate) fn new() -> io::Result<Waker> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, and nothing else owns it.
        Ok(Waker(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes the poller return. Never blocks: a counter that is full is readable already.
    pub(crate) fn wake(&self) {
        let one = 1_u64;
        // SAFETY: eight bytes are read from `one`; the descriptor is open as long as `self` lives.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Sets the counter back where the poller does not tell each `wake` by itself. It is never full: that takes centuries.
    pub(crate) fn drain(&self) {
        if poller::TELLS_EACH_WAKE {
            return;
        }
        let mut count = 0_u64;
        // SAFETY: eight bytes are written to `count`; the descriptor is open as long as `self` lives.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }

    /// What the poller watches.
    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
