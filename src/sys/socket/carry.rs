//! Bytes that go to a socket within the kernel: from a file, or from another socket through a pipe.

use super::Socket;
use std::fs::File;
use std::io;

#[cfg(target_os = "linux")]
pub(crate) use linux::Pipe;
#[cfg(not(target_os = "linux"))]
pub(crate) use plain::Pipe;

impl Socket {
    /// Sends so many bytes of a file at most; 0 is its end.
    pub(crate) fn send_file(&self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        return linux::send_file(self.fd(), file, offset, count);
        #[cfg(not(target_os = "linux"))]
        return plain::send_file(self, file, offset, count);
    }
}

/// By `sendfile` and `splice`.
#[cfg(target_os = "linux")]
mod linux {
    use super::Socket;
    use crate::sys::socket::retry_interrupted;
    use std::fs::File;
    use std::io::{self, Read as _};
    use std::mem::MaybeUninit;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

    /// Where bytes lie that have left one socket and not yet reached the other.
    pub(crate) struct Pipe {
        /// The end to be read from.
        out: OwnedFd,
        /// The end to be written to.
        into: OwnedFd,
        /// How many bytes lie in it.
        len: usize,
    }

    /// Bytes that one call takes from a socket: what an ordinary pipe holds.
    const CAPACITY: usize = 65536;

    impl Pipe {
        /// An empty one.
        pub(crate) fn new() -> io::Result<Pipe> {
            let mut ends = [0; 2];
            // SAFETY: there is room for both ends.
            let status =
                unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) };
            if status < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: both are new, and nothing else owns them.
            let [out, into] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
            Ok(Pipe { out, into, len: 0 })
        }

        /// How many bytes lie in it.
        pub(crate) fn len(&self) -> usize {
            self.len
        }

        /// Takes bytes from a socket; 0 is its end.
        pub(crate) fn fill(&mut self, from: &Socket) -> io::Result<usize> {
            let count = splice(from.fd(), self.into.as_raw_fd(), CAPACITY)?;
            self.len += count;
            Ok(count)
        }

        /// Gives bytes to a socket.
        pub(crate) fn drain(&mut self, to: &Socket) -> io::Result<usize> {
            let count = quietly(|| splice(self.out.as_raw_fd(), to.fd(), self.len))?;
            self.len -= count;
            Ok(count)
        }

        /// Takes out what lies in it.
        pub(crate) fn take(&mut self) -> Vec<u8> {
            let mut bytes = vec![0; std::mem::take(&mut self.len)];
            let file = self.out.try_clone().map(File::from);
            let got = file.and_then(|mut file| file.read(&mut bytes));
            bytes.truncate(got.unwrap_or(0));
            bytes
        }
    }

    /// Moves bytes, of which one side is a pipe.
    fn splice(from: RawFd, to: RawFd, count: usize) -> io::Result<usize> {
        loop {
            let none = std::ptr::null_mut();
            let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
            // SAFETY: neither side has an offset.
            let moved = unsafe { libc::splice(from, none, to, none, count, flags) };
            match usize::try_from(moved) {
                Ok(moved) => return Ok(moved),
                Err(_) => retry_interrupted()?,
            }
        }
    }

    /// Sends so many bytes of a file at most; 0 is its end.
    pub(super) fn send_file(
        to: RawFd,
        file: &File,
        offset: u64,
        count: usize,
    ) -> io::Result<usize> {
        let mut offset = offset.cast_signed();
        quietly(|| {
            loop {
                // SAFETY: both descriptors are open, and `offset` outlives the call.
                let sent = unsafe { libc::sendfile(to, file.as_raw_fd(), &raw mut offset, count) };
                match usize::try_from(sent) {
                    Ok(sent) => return Ok(sent),
                    Err(_) => retry_interrupted()?,
                }
            }
        })
    }

    /// Makes a call that knows no `MSG_NOSIGNAL` without the signal that a peer has gone.
    fn quietly<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let (mut pipe, mut before, mut pending) = (
            MaybeUninit::<libc::sigset_t>::uninit(),
            MaybeUninit::<libc::sigset_t>::uninit(),
            MaybeUninit::<libc::sigset_t>::uninit(),
        );
        // SAFETY: the sets are written before they are read, and outlive the calls.
        let was_pending = unsafe {
            libc::sigemptyset(pipe.as_mut_ptr());
            libc::sigaddset(pipe.as_mut_ptr(), libc::SIGPIPE);
            libc::pthread_sigmask(libc::SIG_BLOCK, pipe.as_ptr(), before.as_mut_ptr());
            libc::sigemptyset(pending.as_mut_ptr());
            libc::sigpending(pending.as_mut_ptr());
            libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1
        };
        let result = call();
        let at_once = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: as above. A signal of the call's own is pending for this very thread.
        unsafe {
            if !was_pending {
                libc::sigtimedwait(pipe.as_ptr(), std::ptr::null_mut(), &raw const at_once);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        }
        result
    }
}

/// Through a buffer.
#[cfg(not(target_os = "linux"))]
mod plain {
    use super::Socket;
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;

    /// There is none here: bytes go through a buffer.
    pub(crate) struct Pipe(std::convert::Infallible);

    /// Bytes that one call reads.
    const PIECE: usize = 65536;

    impl Pipe {
        /// There is none.
        pub(crate) fn new() -> io::Result<Pipe> {
            Err(io::ErrorKind::Unsupported.into())
        }

        /// Nothing.
        pub(crate) fn len(&self) -> usize {
            match self.0 {}
        }

        /// Never called.
        pub(crate) fn fill(&mut self, _: &Socket) -> io::Result<usize> {
            match self.0 {}
        }

        /// Never called.
        pub(crate) fn drain(&mut self, _: &Socket) -> io::Result<usize> {
            match self.0 {}
        }

        /// Never called.
        pub(crate) fn take(&mut self) -> Vec<u8> {
            match self.0 {}
        }
    }

    /// Sends so many bytes of a file at most; 0 is its end.
    pub(super) fn send_file(
        to: &Socket,
        file: &File,
        offset: u64,
        count: usize,
    ) -> io::Result<usize> {
        let mut bytes = vec![0; count.min(PIECE)];
        match file.read_at(&mut bytes, offset)? {
            0 => Ok(0),
            count => to.write(&bytes[..count]),
        }
    }
}
