//! Writing to a stream: all of a string, or the part that was asked for.

use super::Stream;
use super::output::Progress;
use crate::runtime::Runtime;
use crate::runtime::interests::Direction;
use crate::runtime::operation::Poll;
use crate::sched::TaskId;
use crate::vm::{HeldBytes, Reply, Value};
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
    /// Where the bytes lie when they were given as a list, or are a message.
    pub(crate) gathered: Option<Box<[u8]>>,
    /// Are they a message, of which the rest must follow once a part is out?
    pub(crate) is_message: bool,
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
        match self.stream.write_owed(runtime, task) {
            Progress::Done => {}
            Progress::Blocked => return None,
            Progress::Failed(reason) => return Some(self.cut_short(reason)),
        }
        let data = self.gathered.as_deref().unwrap_or(self.data.as_slice());
        // Past the end of the string there is nothing to send, whatever is asked for.
        let data = data.get(..self.end).unwrap_or_default();
        let position = &mut self.position;
        match (self.stream).write_all(runtime, task, data, position) {
            Progress::Done => {}
            Progress::Blocked => return None,
            Progress::Failed(reason) => return Some(self.cut_short(reason)),
        }
        if self.stream.is_closed() {
            return Some(self.cut_short("closed"));
        }
        Some(if self.is_message {
            Reply::one(true)
        } else {
            Reply::three(self.last_index(), Value::Nil, Value::Nil)
        })
    }

    /// `nil`, the reason, and the index of the last byte written; of a message, whether a part of it is out.
    pub(crate) fn cut_short(&self, reason: impl Into<Value>) -> Reply {
        let third = if self.is_message {
            Value::Boolean(self.position > 0)
        } else {
            self.last_index()
        };
        Reply::three(Value::Nil, reason, third)
    }

    /// The Lua index of the last byte written.
    fn last_index(&self) -> Value {
        Value::Integer(self.position.try_into().unwrap_or(i64::MAX))
    }

    /// The task waits no more. What is left of a message that has begun is owed to the peer.
    pub(crate) fn withdraw(&self, runtime: &Runtime, task: TaskId) {
        if self.is_message
            && self.position > 0
            && let Some(rest) = self
                .gathered
                .as_deref()
                .and_then(|all| all.get(self.position..))
        {
            self.stream.owe(rest);
        }
        self.stream.withdraw(runtime, Direction::Write, task);
    }
}
