//! Sockets, non-blocking and close-on-exec, over socket2.

mod carry;
mod options;

pub(crate) use carry::Pipe;
pub(crate) use options::{Knob, Setting};
pub(crate) use socket2::SockAddr as Address;

use super::names::Family;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;

/// An open socket.
pub(crate) struct Socket(socket2::Socket);

/// Does a socket carry a stream of bytes, or messages one by one?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Bytes.
    Stream,
    /// Messages.
    Datagram,
}

/// What a descriptor from elsewhere turns out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Nature {
    /// Bytes or messages.
    pub(crate) kind: Kind,
    /// The family of its addresses.
    pub(crate) family: Family,
    /// Does it listen?
    pub(crate) listens: bool,
    /// Has it a peer?
    pub(crate) connected: bool,
}

/// Paths as long as this do not fit into an address.
const PATH_ROOM: usize = 108;

/// The address of a path; `None` where it is too long.
pub(crate) fn path_address(path: &[u8]) -> Option<Address> {
    if path.len() >= PATH_ROOM {
        return None;
    }
    Address::unix(OsStr::from_bytes(path)).ok()
}

/// The path of an address, empty for those without a name.
pub(crate) fn path_of(address: &Address) -> Vec<u8> {
    let path = address.as_pathname();
    path.map_or_else(Vec::new, |path| path.as_os_str().as_bytes().to_vec())
}

impl Socket {
    /// Makes a socket of the family; an IPv6 one is for IPv6 alone, as LuaSocket's are.
    pub(crate) fn new(family: Family, kind: Kind) -> io::Result<Socket> {
        let domain = match family {
            Family::V6 => socket2::Domain::IPV6,
            Family::Unix => socket2::Domain::UNIX,
            Family::V4 | Family::Unspecified => socket2::Domain::IPV4,
        };
        let of = match kind {
            Kind::Stream => socket2::Type::STREAM,
            Kind::Datagram => socket2::Type::DGRAM,
        };
        let socket = socket2::Socket::new(domain, of.nonblocking(), None)?;
        if family == Family::V6 {
            socket.set_only_v6(true)?;
        }
        Ok(Socket(socket))
    }

    /// The descriptor, open as long as `self` lives.
    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Two connected streams of this machine.
    pub(crate) fn pair() -> io::Result<(Socket, Socket)> {
        let of = socket2::Type::STREAM.nonblocking();
        let (near, far) = socket2::Socket::pair(socket2::Domain::UNIX, of, None)?;
        Ok((Socket(near), Socket(far)))
    }

    /// Takes a descriptor over, when it is open and a socket; says what it is. The caller's own no more.
    pub(crate) fn adopt(fd: RawFd) -> io::Result<(Socket, Nature)> {
        // SAFETY: takes no pointers; that the descriptor is open is just what is asked.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open; who calls gives it away. It is given back below when it will not do.
        let socket = Socket(unsafe { socket2::Socket::from_raw_fd(fd) });
        match socket.nature() {
            Ok(nature) => Ok((socket, nature)),
            Err(error) => {
                let _ = socket.release();
                Err(error)
            }
        }
    }

    /// Another descriptor of the same socket, and what it is.
    pub(crate) fn duplicate(&self) -> io::Result<(Socket, Nature)> {
        let other = Socket(self.0.try_clone()?);
        let nature = other.nature()?;
        Ok((other, nature))
    }

    /// Gives the descriptor away.
    pub(crate) fn release(self) -> RawFd {
        self.0.into_raw_fd()
    }

    /// What it is; from now on it does not block.
    fn nature(&self) -> io::Result<Nature> {
        let kind = if self.0.r#type()? == socket2::Type::DGRAM {
            Kind::Datagram
        } else {
            Kind::Stream
        };
        let family = Family::of(&self.0.local_addr()?);
        self.0.set_nonblocking(true)?;
        Ok(Nature {
            kind,
            family,
            listens: kind == Kind::Stream && self.0.is_listener()?,
            connected: self.0.peer_addr().is_ok(),
        })
    }

    /// Binds to a local address.
    pub(crate) fn bind(&self, address: &Address) -> io::Result<()> {
        self.0.bind(address)
    }

    /// Forgets the peer of datagrams.
    pub(crate) fn disconnect(&self) -> io::Result<()> {
        let nobody = libc::sockaddr {
            sa_family: libc::AF_UNSPEC as libc::sa_family_t,
            sa_data: [0; 14],
        };
        // SAFETY: `nobody` is an address of the length that is said.
        let status = unsafe {
            libc::connect(
                self.fd(),
                &raw const nobody,
                size_of::<libc::sockaddr>() as libc::socklen_t,
            )
        };
        if status < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Takes the next message, cut to what fits, and who has sent it.
    pub(crate) fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        // SAFETY: bytes that are set are also bytes that need not be set; the call only writes to them.
        let room = unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) };
        loop {
            match self.0.recv_from(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Sends one message, to the peer where no address is given.
    pub(crate) fn send_to(&self, bytes: &[u8], address: Option<&Address>) -> io::Result<usize> {
        let Some(address) = address else {
            return self.write(bytes);
        };
        loop {
            match self
                .0
                .send_to_with_flags(bytes, address, libc::MSG_NOSIGNAL)
            {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Begins to listen.
    pub(crate) fn listen(&self, backlog: i32) -> io::Result<()> {
        self.0.listen(backlog)
    }

    /// Begins to connect; `WouldBlock` when that goes on in the background.
    pub(crate) fn connect(&self, address: &Address) -> io::Result<()> {
        self.0
            .connect(address)
            .map_err(|error| match error.raw_os_error() {
                Some(libc::EINPROGRESS) => io::ErrorKind::WouldBlock.into(),
                // No event tells of room in the queue of a listening path.
                Some(libc::EAGAIN) => io::Error::other("too many clients wait there"),
                _ => error,
            })
    }

    /// The error of a connect in the background, once.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }

    /// Takes a client that waits.
    pub(crate) fn accept(&self) -> io::Result<Socket> {
        loop {
            // SAFETY: no address is asked for.
            let fd = unsafe {
                let none = std::ptr::null_mut();
                libc::accept4(
                    self.fd(),
                    none,
                    none.cast(),
                    libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
                )
            };
            if fd >= 0 {
                // SAFETY: the descriptor is new, and nothing else owns it.
                return Ok(Socket(unsafe { socket2::Socket::from_raw_fd(fd) }));
            }
            // A client that has gone before it was accepted is no failure of the server's.
            let error = io::Error::last_os_error();
            if !matches!(error.raw_os_error(), Some(libc::EINTR | libc::ECONNABORTED)) {
                return Err(error);
            }
        }
    }

    /// Reads what is there, at most as much as fits; 0 is the end.
    #[inline]
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // SAFETY: the buffer is valid for writing its length.
            let count =
                unsafe { libc::recv(self.fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            match usize::try_from(count) {
                Ok(count) => return Ok(count),
                Err(_) => retry_interrupted()?,
            }
        }
    }

    /// Writes as much as there is room for. No signal tells of a peer that has gone.
    #[inline]
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            // SAFETY: the bytes are valid for reading their length.
            let count = unsafe {
                libc::send(
                    self.fd(),
                    bytes.as_ptr().cast(),
                    bytes.len(),
                    libc::MSG_NOSIGNAL,
                )
            };
            match usize::try_from(count) {
                Ok(count) => return Ok(count),
                Err(_) => retry_interrupted()?,
            }
        }
    }

    /// Ends one direction or both.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.shutdown(how)
    }

    /// The local address.
    pub(crate) fn local_address(&self) -> io::Result<Address> {
        self.0.local_addr()
    }

    /// The peer's address.
    pub(crate) fn peer_address(&self) -> io::Result<Address> {
        self.0.peer_addr()
    }
}

/// Passes every error on but that a signal came between.
#[cold]
fn retry_interrupted() -> io::Result<()> {
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::Interrupted {
        Ok(())
    } else {
        Err(error)
    }
}
