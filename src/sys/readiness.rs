//! Which of several descriptors are ready now: for those who have nothing but their numbers.

use std::io;
use std::os::fd::RawFd;

/// What is asked of one descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    /// The descriptor.
    pub(crate) fd: RawFd,
    /// Shall it be readable?
    pub(crate) read: bool,
    /// Shall it be writable?
    pub(crate) write: bool,
}

/// What makes a descriptor readable, for `select`: its end and its failure, too.
const READABLE: libc::c_short = libc::POLLIN | libc::POLLHUP | libc::POLLERR;
/// What makes it writable.
const WRITABLE: libc::c_short = libc::POLLOUT | libc::POLLERR;

/// Those of the descriptors that are ready, and for what. Fails when one is not open.
pub(crate) fn ready(wanted: &[Wanted]) -> io::Result<Vec<Wanted>> {
    let mut entries: Vec<libc::pollfd> = wanted
        .iter()
        .map(|wanted| libc::pollfd {
            fd: wanted.fd,
            events: if wanted.read { libc::POLLIN } else { 0 }
                | if wanted.write { libc::POLLOUT } else { 0 },
            revents: 0,
        })
        .collect();
    // SAFETY: the entries are as many as is said, and outlive the call, which does not wait.
    let count = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, 0) };
    if count < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    for (wanted, entry) in wanted.iter().zip(&entries) {
        if entry.revents & libc::POLLNVAL != 0 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        let read = wanted.read && entry.revents & READABLE != 0;
        let write = wanted.write && entry.revents & WRITABLE != 0;
        if read || write {
            found.push(Wanted {
                fd: wanted.fd,
                read,
                write,
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_is_not_open_fails() {
        let wanted = Wanted {
            fd: 1 << 20,
            read: true,
            write: false,
        };
        assert!(ready(&[wanted]).is_err());
        assert_eq!(ready(&[]).unwrap(), []);
    }
}
