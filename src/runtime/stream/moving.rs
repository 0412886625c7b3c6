//! A socket on its way to another thread: another descriptor of it, and what had been read and set here.

use super::{Stream, Timeouts};
use crate::runtime::Runtime;
use crate::sys::socket::{Nature, Socket};
use std::sync::{Mutex, PoisonError};

/// A socket on its way.
pub(crate) struct Moving {
    /// The descriptor, until it has landed.
    socket: Mutex<Option<Socket>>,
    /// What it is.
    pub(crate) nature: Nature,
    /// What has been read and not yet asked for.
    unread: Vec<u8>,
    /// The rest of a message that is owed to the peer.
    owed: Option<Box<[u8]>>,
    /// How long a call may wait.
    timeouts: Timeouts,
    /// The longest line.
    max_line: usize,
}

impl Stream {
    /// The stream as another thread gets it; `None` where there is no socket.
    pub(crate) fn moving(&self) -> Option<Moving> {
        let (socket, nature) = self.with_socket(Socket::duplicate).ok()?;
        Some(Moving {
            socket: Mutex::new(Some(socket)),
            nature,
            unread: self.input.borrow().unread().to_vec(),
            owed: self.owed.borrow().clone(),
            timeouts: self.timeouts.get(),
            max_line: self.max_line.get(),
        })
    }

    /// It has landed elsewhere: closes this end, which keeps nothing of it. The poller forgets the descriptor first,
    /// since the socket lives on.
    pub(crate) fn depart(&self, runtime: &Runtime) {
        self.let_go(runtime);
        self.take_unread();
        self.close(runtime);
    }
}

impl Moving {
    /// The stream as it is here; a closed one where it has landed before.
    pub(crate) fn land(&self) -> Stream {
        let held = self.socket.lock();
        let socket = held.unwrap_or_else(PoisonError::into_inner).take();
        let landed = socket.is_some();
        let stream = Stream::of_kind(self.nature.kind, socket, self.nature.family);
        if landed {
            stream.add_unread(&self.unread);
            stream.owe(self.owed.as_deref().unwrap_or_default());
        }
        stream.closed.set(!landed);
        stream.timeouts.set(self.timeouts);
        stream.max_line.set(self.max_line);
        stream
    }
}
