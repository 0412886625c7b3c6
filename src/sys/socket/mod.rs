//! Stream sockets, non-blocking and close-on-exec, over socket2.

use super::names::Family;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

/// An open socket.
pub(crate) struct Socket(socket2::Socket);

/// The boolean options that sockets have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flag {
    /// Send small packets at once.
    NoDelay,
    /// Bind although connections of an earlier server linger.
    ReuseAddress,
    /// Probe a silent peer.
    KeepAlive,
}

impl Socket {
    /// Makes a socket of the family; an IPv6 one is for IPv6 alone, as LuaSocket's are.
    pub(crate) fn new(family: Family) -> io::Result<Socket> {
        let domain = if family == Family::V6 {
            socket2::Domain::IPV6
        } else {
            socket2::Domain::IPV4
        };
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM.nonblocking(), None)?;
        if family == Family::V6 {
            socket.set_only_v6(true)?;
        }
        Ok(Socket(socket))
    }

    /// The descriptor, open as long as `self` lives.
    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Binds to a local address.
    pub(crate) fn bind(&self, address: SocketAddr) -> io::Result<()> {
        self.0.bind(&address.into())
    }

    /// Begins to listen.
    pub(crate) fn listen(&self, backlog: i32) -> io::Result<()> {
        self.0.listen(backlog)
    }

    /// Begins to connect; `WouldBlock` when that goes on in the background.
    pub(crate) fn connect(&self, address: SocketAddr) -> io::Result<()> {
        self.0
            .connect(&address.into())
            .map_err(|error| match error.raw_os_error() {
                Some(libc::EINPROGRESS) => io::ErrorKind::WouldBlock.into(),
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
    pub(crate) fn local_address(&self) -> io::Result<Option<SocketAddr>> {
        Ok(self.0.local_addr()?.as_socket())
    }

    /// The peer's address.
    pub(crate) fn peer_address(&self) -> io::Result<Option<SocketAddr>> {
        Ok(self.0.peer_addr()?.as_socket())
    }

    /// Sets an option.
    pub(crate) fn set_flag(&self, flag: Flag, on: bool) -> io::Result<()> {
        match flag {
            Flag::NoDelay => self.0.set_tcp_nodelay(on),
            Flag::ReuseAddress => self.0.set_reuse_address(on),
            Flag::KeepAlive => self.0.set_keepalive(on),
        }
    }

    /// Asks for an option.
    pub(crate) fn flag(&self, flag: Flag) -> io::Result<bool> {
        match flag {
            Flag::NoDelay => self.0.tcp_nodelay(),
            Flag::ReuseAddress => self.0.reuse_address(),
            Flag::KeepAlive => self.0.keepalive(),
        }
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
