//! The poller of every Unix, over the `polling` crate.

use super::Event;
use polling::{Event as Interest, Events, PollMode};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// Whatever the system has: epoll, kqueue, event ports.
pub(crate) struct Poller {
    /// The crate's own.
    poller: polling::Poller,
    /// What one wait answers.
    events: Events,
}

/// Is each `wake` of a waker an event, also where the one before was not read? Not every system promises that.
pub(crate) const TELLS_EACH_WAKE: bool = false;

impl Poller {
    /// Makes one.
    pub(crate) fn new() -> io::Result<Poller> {
        Ok(Poller {
            poller: polling::Poller::new()?,
            events: Events::new(),
        })
    }

    /// Its descriptor, which is readable when there are events.
    pub(crate) fn fd(&self) -> RawFd {
        self.poller.as_raw_fd()
    }

    /// Watches `fd` for both directions until it is closed. What is ready already is reported once.
    pub(crate) fn add(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.insert(fd, [true, true], key, PollMode::Edge)
    }

    /// Watches the counter of a waker until it is closed.
    pub(crate) fn add_waker(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.insert(fd, [true, false], key, PollMode::Edge)
    }

    /// Watches `fd` for reading and writing, as `directions` says, level-triggered, until it is taken out or closed.
    pub(crate) fn watch(&self, fd: RawFd, directions: [bool; 2], key: u64) -> io::Result<()> {
        self.insert(fd, directions, key, PollMode::Level)
    }

    /// Watches `fd`, which `watch` has added, for other directions.
    pub(crate) fn change(&self, fd: RawFd, directions: [bool; 2], key: u64) -> io::Result<()> {
        // SAFETY: the descriptor is used during this call only; one that is not open is refused by the system.
        let source = unsafe { BorrowedFd::borrow_raw(fd) };
        self.poller
            .modify_with_mode(source, interest(directions, key), PollMode::Level)
    }

    /// Watches `fd` no more.
    pub(crate) fn unwatch(&self, fd: RawFd) -> io::Result<()> {
        // SAFETY: as in `change`.
        self.poller.delete(unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// Adds a descriptor.
    fn insert(&self, fd: RawFd, directions: [bool; 2], key: u64, mode: PollMode) -> io::Result<()> {
        if fd < 0 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        // SAFETY: the system takes a descriptor that is closed out by itself.
        unsafe {
            self.poller
                .add_with_mode(fd, interest(directions, key), mode)
        }
    }

    /// Waits for events, at most so many nanoseconds, without end for `None`; tells each to `tell`.
    pub(crate) fn wait(
        &mut self,
        nanoseconds: Option<u64>,
        mut tell: impl FnMut(Event),
    ) -> io::Result<()> {
        // The crate's own wait goes on after a signal, and Ctrl-C would have to wait for it.
        if nanoseconds != Some(0) {
            self.await_readable(nanoseconds)?;
        }
        self.events.clear();
        self.poller.wait(&mut self.events, Some(Duration::ZERO))?;
        for event in self.events.iter() {
            tell(Event {
                key: event.key as u64,
                readable: event.readable,
                writable: event.writable,
                // Not every system tells the peer's end from data: a short read is no proof of silence then.
                hung_up: event.readable,
            });
        }
        Ok(())
    }

    /// Waits until there are events, a signal comes, or the time is over.
    fn await_readable(&self, nanoseconds: Option<u64>) -> io::Result<()> {
        let mut poll = libc::pollfd {
            fd: self.fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        #[cfg(target_os = "linux")]
        let status = {
            let time = nanoseconds.map(|nanoseconds| libc::timespec {
                tv_sec: (nanoseconds / 1_000_000_000).cast_signed(),
                tv_nsec: (nanoseconds % 1_000_000_000).cast_signed(),
            });
            let time = time
                .as_ref()
                .map_or(std::ptr::null(), |time| &raw const *time);
            // SAFETY: both structures outlive the call; a null signal mask changes none.
            unsafe { libc::ppoll(&raw mut poll, 1, time, std::ptr::null()) }
        };
        #[cfg(not(target_os = "linux"))]
        let status = {
            let milliseconds = nanoseconds.map_or(-1, |nanoseconds| {
                libc::c_int::try_from(nanoseconds.div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
            });
            // SAFETY: the structure outlives the call.
            unsafe { libc::poll(&raw mut poll, 1, milliseconds) }
        };
        if status < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// What the crate is asked to watch for.
fn interest([read, write]: [bool; 2], key: u64) -> Interest {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a key is an index and a generation; where a word has 32 bits, the index"
    )]
    Interest::new(key as usize, read, write)
}
