//! Writing to a stream: all of a string, or the part that was asked for.

use super::Stream;
use crate::runtime::Runtime;
use crate::runtime::interests::Direction;
use crate::runtime::operation::Poll;
use crate::sched::TaskId;
use crate::sys::failure;
use crate::vm::{HeldBytes, Reply, Value};
use std::io;
use std::rc::Rc;

/// A writing call.
pub(crate) struct Send {
    /// The stream.
    pub(crate) stream: Rc<Stream>,
    /// The string, which the parked call holds.
    pub(crate) data: HeldBytes,
    /// Where the next byte to be written is: also the Lua index of the last one written.
    pub(crate) position: usize,
    /// Where to stop.
    pub(crate) end: usize,
    /// Where the bytes lie when they were given as a list.
    pub(crate) gathered: Option<Box<[u8]>>,
}

impl Send {
    /// Tries to write what is left.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        if !self.stream.enter(Direction::Write, task) {
            return Poll::Pending;
        }
        let Some(reply) = self.advance(runtime, task) else {
            return Poll::Pending;
        };
        self.stream.leave(runtime, Direction::Write, task);
        Poll::Ready(reply)
    }

    /// Writes until all is out, or there is no room for now.
    fn advance(&mut self, runtime: &Runtime, task: TaskId) -> Option<Reply> {
        while self.position < self.end {
            let Some(socket) = self.stream.socket() else {
                return Some(self.cut_short("closed"));
            };
            let data = self.gathered.as_deref().unwrap_or(self.data.as_slice());
            let rest = &data[self.position..self.end];
            let written = if self.stream.is_ready(runtime, Direction::Write) {
                socket.write(rest)
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            };
            drop(socket);
            match written {
                Ok(count) => {
                    self.position += count;
                    self.stream.count_sent(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.blocks(runtime, Direction::Write);
                    let watched = self.stream.watch(runtime, Direction::Write, task);
                    return watched
                        .err()
                        .map(|error| self.cut_short(failure::word(&error)));
                }
                Err(error) => return Some(self.cut_short(failure::word(&error))),
            }
        }
        if self.stream.is_closed() {
            return Some(self.cut_short("closed"));
        }
        Some(Reply::three(self.last_index(), Value::Nil, Value::Nil))
    }

    /// `nil`, the reason, and the index of the last byte written.
    pub(crate) fn cut_short(&self, reason: impl Into<Value>) -> Reply {
        Reply::three(Value::Nil, reason, self.last_index())
    }

    /// The Lua index of the last byte written.
    fn last_index(&self) -> Value {
        Value::Integer(self.position.try_into().unwrap_or(i64::MAX))
    }

    /// The task waits no more.
    pub(crate) fn withdraw(&self, runtime: &Runtime, task: TaskId) {
        self.stream.withdraw(runtime, Direction::Write, task);
    }
}
