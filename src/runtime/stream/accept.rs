//! Taking a client from a listening stream.

use super::Stream;
use crate::runtime::Runtime;
use crate::runtime::interests::Direction;
use crate::runtime::operation::Poll;
use crate::sched::TaskId;
use crate::sys::failure;
use crate::vm::{Class, Reply, Value};
use std::io;
use std::rc::Rc;

/// An accepting call.
pub(crate) struct Accept {
    /// The listening stream.
    pub(crate) stream: Rc<Stream>,
    /// The class of the client's object.
    pub(crate) class: Class,
}

impl Accept {
    /// Tries to take a client.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        if !self.stream.enter(Direction::Read, task) {
            return Poll::Pending;
        }
        let Some(reply) = self.advance(runtime, task) else {
            return Poll::Pending;
        };
        self.stream.leave(runtime, Direction::Read, task);
        Poll::Ready(reply)
    }

    /// Takes a client, or waits for the next edge.
    fn advance(&self, runtime: &Runtime, task: TaskId) -> Option<Reply> {
        let Some(socket) = self.stream.socket() else {
            return Some(Reply::failure("closed"));
        };
        let accepted = if self.stream.is_ready(runtime, Direction::Read) {
            socket.accept()
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        };
        drop(socket);
        match accepted {
            Ok(client) => {
                let client = Stream::new(Some(client), self.stream.family());
                Some(Reply::one(Value::Object(self.class, Rc::new(client))))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.stream.blocks(runtime, Direction::Read);
                let watched = self.stream.watch(runtime, Direction::Read, task);
                watched
                    .err()
                    .map(|error| Reply::failure(failure::word(&error)))
            }
            Err(error) => Some(Reply::failure(failure::word(&error))),
        }
    }

    /// The task waits no more.
    pub(crate) fn withdraw(&self, runtime: &Runtime, task: TaskId) {
        self.stream.withdraw(runtime, Direction::Read, task);
    }
}
