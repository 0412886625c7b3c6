//! Interrupts a blocked poller from another thread.

#[cfg(not(loom))]
use super::poller;
#[cfg(not(loom))]
use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

#[cfg(loom)]
pub(crate) use model::Waker;

/// A counter of the kernel's that becomes readable when it is raised.
#[cfg(not(loom))]
pub(crate) struct Waker(OwnedFd);

#[cfg(not(loom))]
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

#[cfg(loom)]
mod model {
    //! A waker, and the poller that it interrupts, as loom sees them.

    use loom::sync::{Condvar, Mutex};
    use std::io;
    use std::os::fd::RawFd;

    /// Has it been woken, and not slept since?
    pub(crate) struct Waker(Mutex<bool>, Condvar);

    impl Waker {
        /// Makes one.
        pub(crate) fn new() -> io::Result<Waker> {
            Ok(Waker(Mutex::new(false), Condvar::new()))
        }

        /// Lets `sleep` return.
        pub(crate) fn wake(&self) {
            *self.0.lock().unwrap() = true;
            self.1.notify_one();
        }

        /// Nothing: each `wake` is told.
        pub(crate) fn drain(&self) {}

        /// Waits as a poller does.
        pub(crate) fn sleep(&self) {
            let mut woken = self.0.lock().unwrap();
            while !*woken {
                woken = self.1.wait(woken).unwrap();
            }
            *woken = false;
        }

        /// None.
        pub(crate) fn fd(&self) -> RawFd {
            -1
        }
    }
}
