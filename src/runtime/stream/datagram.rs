//! Messages, one by one: taking one in, sending one.

use super::Stream;
use crate::runtime::Runtime;
use crate::runtime::interests::Direction;
use crate::runtime::operation::Poll;
use crate::sched::TaskId;
use crate::sys::failure;
use crate::sys::names::host_text;
use crate::sys::socket::{Address, path_of};
use crate::vm::{HeldBytes, Reply, Value};
use std::borrow::Cow;
use std::io;
use std::rc::Rc;

/// A call that takes a message.
pub(crate) struct ReceiveFrom {
    /// The socket.
    pub(crate) stream: Rc<Stream>,
    /// Bytes to be taken at most; the rest of the message is lost.
    pub(crate) size: usize,
    /// What is said of the sender.
    pub(crate) sender: Sender,
}

/// What a call that takes a message says of its sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sender {
    /// Nothing.
    Untold,
    /// Address and port.
    Internet,
    /// The path.
    Path,
}

/// A call that sends a message.
pub(crate) struct SendTo {
    /// The socket.
    pub(crate) stream: Rc<Stream>,
    /// The message, which the parked call holds.
    pub(crate) data: HeldBytes,
    /// To whom; nobody is the peer.
    pub(crate) address: Option<Address>,
}

/// No message is larger.
const MOST_BYTES: usize = 1 << 22;

impl ReceiveFrom {
    /// Tries to take a message.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        perform(&self.stream, runtime, Direction::Read, task, || {
            self.take(runtime)
        })
    }

    /// Takes a message: through the scratch buffer where it fits.
    fn take(&self, runtime: &Runtime) -> io::Result<Reply> {
        let mut scratch = runtime.scratch();
        let mut room = Vec::new();
        let buffer = if self.size <= scratch.len() {
            &mut scratch[..self.size]
        } else {
            room.resize(self.size.min(MOST_BYTES), 0);
            &mut room[..]
        };
        let received = self
            .stream
            .with_socket(|socket| socket.receive_from(buffer));
        let (count, address) = received?;
        let data: Value = if room.is_empty() {
            HeldBytes::new(&scratch[..count]).into()
        } else {
            room.truncate(count);
            room.into()
        };
        Ok(match (self.sender, address.as_socket()) {
            (Sender::Untold, _) => Reply::one(data),
            (Sender::Internet, Some(address)) => {
                Reply::three(data, host_text(&address), i64::from(address.port()))
            }
            (Sender::Internet | Sender::Path, _) => Reply::two(data, path_of(&address)),
        })
    }

    /// The task waits no more.
    pub(crate) fn withdraw(&self, runtime: &Runtime, task: TaskId) {
        self.stream.withdraw(runtime, Direction::Read, task);
    }
}

impl SendTo {
    /// Tries to send the message.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        perform(&self.stream, runtime, Direction::Write, task, || {
            let bytes = self.data.as_slice();
            let address = self.address.as_ref();
            let sent = self
                .stream
                .with_socket(|socket| socket.send_to(bytes, address));
            Ok(Reply::one(Value::Integer(
                sent?.try_into().unwrap_or(i64::MAX),
            )))
        })
    }

    /// The task waits no more.
    pub(crate) fn withdraw(&self, runtime: &Runtime, task: TaskId) {
        self.stream.withdraw(runtime, Direction::Write, task);
    }
}

/// Does something with the socket, in its turn, once it can.
fn perform(
    stream: &Stream,
    runtime: &Runtime,
    direction: Direction,
    task: TaskId,
    act: impl FnOnce() -> io::Result<Reply>,
) -> Poll {
    if !stream.enter(direction, task) {
        return Poll::Pending;
    }
    let done = if stream.is_closed() {
        Ok(Reply::failure("closed"))
    } else if stream.is_ready(runtime, direction) {
        act()
    } else {
        Err(io::ErrorKind::WouldBlock.into())
    };
    let reply = match done {
        Ok(reply) => reply,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            stream.blocks(runtime, direction);
            match stream.watch(runtime, direction, task) {
                Ok(()) => return Poll::Pending,
                Err(error) => Reply::failure(failure::word(&error)),
            }
        }
        Err(error) => Reply::failure(match failure::word(&error) {
            Cow::Borrowed("closed") => "refused".into(),
            word => word,
        }),
    };
    stream.leave(runtime, direction, task);
    Poll::Ready(reply)
}
