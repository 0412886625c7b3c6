//! The poller of Linux.

use super::Event;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// An epoll instance.
pub(crate) struct Poller {
    /// Its descriptor.
    epoll: OwnedFd,
    /// Room for what one wait answers.
    events: Vec<libc::epoll_event>,
    /// Does the kernel lack `epoll_pwait2` (before 5.11)?
    coarse: bool,
}

/// Events that the first waits answer at most; more come with the next. The room grows where it has not sufficed, ...
const EVENTS_A_WAIT: usize = 256;

/// ... up to so many: those who are woken for the first of them should not wait for the last.
const MOST_EVENTS: usize = 4096;

/// Is each `wake` of a waker an event, also where the one before was not read?
pub(crate) const TELLS_EACH_WAKE: bool = true;

impl Poller {
    /// Makes one.
    pub(crate) fn new() -> io::Result<Poller> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, and nothing else owns it.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Poller {
            epoll,
            events: Vec::with_capacity(EVENTS_A_WAIT),
            coarse: false,
        })
    }

    /// Its descriptor, which is readable when there are events.
    pub(crate) fn fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Watches `fd` for both directions until it is closed. What is ready already is reported once.
    pub(crate) fn add(&self, fd: RawFd, key: u64) -> io::Result<()> {
        let interest = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        self.control(libc::EPOLL_CTL_ADD, fd, interest, key)
    }

    /// Watches the counter of a waker until it is closed: each `wake` is told, whether or not the counter was set back.
    pub(crate) fn add_waker(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN | libc::EPOLLET, key)
    }

    /// Watches `fd` for reading and writing, as `directions` says, level-triggered, until it is taken out or closed.
    pub(crate) fn watch(&self, fd: RawFd, directions: [bool; 2], key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, level(directions), key)
    }

    /// Watches `fd`, which `watch` has added, for other directions.
    pub(crate) fn change(&self, fd: RawFd, directions: [bool; 2], key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, level(directions), key)
    }

    /// Watches `fd` no more.
    pub(crate) fn unwatch(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    /// Changes what is watched.
    fn control(&self, what: libc::c_int, fd: RawFd, interest: i32, key: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.cast_unsigned(),
            u64: key,
        };
        // SAFETY: `event` outlives the call.
        let status = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), what, fd, &raw mut event) };
        if status < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Waits for events, at most so many nanoseconds, without end for `None`; tells each to `tell`.
    pub(crate) fn wait(
        &mut self,
        nanoseconds: Option<u64>,
        mut tell: impl FnMut(Event),
    ) -> io::Result<()> {
        let count = self.wait_raw(nanoseconds)?;
        let full = count == self.events.capacity();
        // SAFETY: the kernel has written `count` events, which is no more than the capacity.
        unsafe { self.events.set_len(count) };
        for event in &self.events {
            let flags = event.events.cast_signed();
            let failed = flags & (libc::EPOLLERR | libc::EPOLLHUP) != 0;
            tell(Event {
                key: event.u64,
                readable: failed || flags & (libc::EPOLLIN | libc::EPOLLRDHUP) != 0,
                writable: failed || flags & libc::EPOLLOUT != 0,
                hung_up: failed || flags & libc::EPOLLRDHUP != 0,
            });
        }
        if full && count < MOST_EVENTS {
            self.events.reserve_exact(count);
        }
        Ok(())
    }

    /// Waits; answers how many events the kernel has written.
    fn wait_raw(&mut self, nanoseconds: Option<u64>) -> io::Result<usize> {
        let fd = self.epoll.as_raw_fd();
        let room = libc::c_int::try_from(self.events.capacity()).unwrap_or(libc::c_int::MAX);
        // The plain call is the cheapest where no fraction of a millisecond counts.
        if let Some(milliseconds) = whole_milliseconds(nanoseconds, self.coarse) {
            // SAFETY: the buffer has room for as many events as is said.
            let count =
                unsafe { libc::epoll_wait(fd, self.events.as_mut_ptr(), room, milliseconds) };
            return usize::try_from(count).map_err(|_| io::Error::last_os_error());
        }
        let nanoseconds = nanoseconds.unwrap_or(0);
        let time = libc::timespec {
            tv_sec: (nanoseconds / 1_000_000_000).cast_signed(),
            tv_nsec: (nanoseconds % 1_000_000_000).cast_signed(),
        };
        // SAFETY: as above; `time` outlives the call; a null signal mask changes none.
        let count = unsafe {
            let none = std::ptr::null::<libc::sigset_t>();
            libc::syscall(
                libc::SYS_epoll_pwait2,
                fd,
                self.events.as_mut_ptr(),
                room,
                &raw const time,
                none,
                0,
            )
        };
        match usize::try_from(count) {
            Ok(count) => Ok(count),
            Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) => {
                self.coarse = true;
                self.wait_raw(Some(nanoseconds))
            }
            Err(_) => Err(io::Error::last_os_error()),
        }
    }
}

/// The kernel's flags for the directions, reading first.
fn level([read, write]: [bool; 2]) -> i32 {
    let read = if read {
        libc::EPOLLIN | libc::EPOLLRDHUP
    } else {
        0
    };
    read | if write { libc::EPOLLOUT } else { 0 }
}

/// The time in milliseconds, where that says it exactly or the kernel knows nothing finer; never shorter than asked.
fn whole_milliseconds(nanoseconds: Option<u64>, coarse: bool) -> Option<libc::c_int> {
    match nanoseconds {
        None => Some(-1),
        Some(0) => Some(0),
        Some(nanoseconds) if coarse => {
            Some(libc::c_int::try_from(nanoseconds.div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    /// The events of one wait of at most a second.
    fn wait(poller: &mut Poller) -> Vec<Event> {
        let mut events = Vec::new();
        poller
            .wait(Some(1_000_000_000), |event| events.push(event))
            .unwrap();
        events
    }

    #[test]
    fn reports_an_edge_once_and_the_end_as_hung_up() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(near.as_raw_fd(), 7).unwrap();
        assert_eq!(
            wait(&mut poller),
            [Event {
                key: 7,
                readable: false,
                writable: true,
                hung_up: false
            }]
        );
        far.write_all(b"x").unwrap();
        assert_eq!(
            wait(&mut poller),
            [Event {
                key: 7,
                readable: true,
                writable: true,
                hung_up: false
            }]
        );
        poller
            .wait(Some(0), |event| panic!("{event:?} is no news"))
            .unwrap();
        drop(far);
        assert!(wait(&mut poller)[0].hung_up);
    }

    #[test]
    fn a_coarse_wait_is_never_shorter_than_asked() {
        assert_eq!(whole_milliseconds(Some(1), true), Some(1));
        assert_eq!(whole_milliseconds(Some(1_000_001), true), Some(2));
        assert_eq!(
            whole_milliseconds(Some(u64::MAX), true),
            Some(libc::c_int::MAX)
        );
        assert_eq!(whole_milliseconds(None, false), Some(-1));
    }
}
