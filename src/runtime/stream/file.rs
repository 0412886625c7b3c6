//! Writing a file to a stream, from the system's cache to the socket without a copy of ours.

use super::Stream;
use super::output::Progress;
use crate::runtime::Runtime;
use crate::runtime::interests::Direction;
use crate::runtime::operation::Poll;
use crate::sched::TaskId;
use crate::sys::failure;
use crate::vm::{Reply, Value};
use std::fs::File;
use std::io;
use std::rc::Rc;

/// A call that sends a file.
pub(crate) struct SendFile {
    /// The stream.
    pub(crate) stream: Rc<Stream>,
    /// The file.
    pub(crate) file: File,
    /// Where the next byte to be sent lies in it.
    pub(crate) offset: u64,
    /// Where to stop.
    pub(crate) end: u64,
    /// How many bytes have been sent.
    pub(crate) sent: u64,
}

/// Pieces sent in one turn of the task, so that a fast peer cannot starve the round.
const PIECES_A_TURN: usize = 16;
/// Bytes in a piece: what comes from a slow disk holds the loop up no longer than this takes.
const PIECE: u64 = 256 * 1024;

impl SendFile {
    /// Tries to send what is left.
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

    /// Sends until all is out, or there is no room for now.
    fn advance(&mut self, runtime: &Runtime, task: TaskId) -> Option<Reply> {
        match self.stream.write_owed(runtime, task) {
            Progress::Done => {}
            Progress::Blocked => return None,
            Progress::Failed(reason) => return Some(self.cut_short(reason)),
        }
        for _ in 0..PIECES_A_TURN {
            if self.offset >= self.end {
                return Some(Reply::one(self.count()));
            }
            if self.stream.is_closed() {
                return Some(self.cut_short("closed"));
            }
            let piece = usize::try_from((self.end - self.offset).min(PIECE)).unwrap_or(usize::MAX);
            let sent = if self.stream.is_ready(runtime, Direction::Write) {
                let (file, offset) = (&self.file, self.offset);
                self.stream
                    .with_socket(|socket| socket.send_file(file, offset, piece))
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            };
            match sent {
                // The file has become shorter.
                Ok(0) => return Some(Reply::one(self.count())),
                Ok(count) => {
                    self.offset += count as u64;
                    self.sent += count as u64;
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
        runtime.wake(task);
        None
    }

    /// `nil`, the reason, and how many bytes have been sent.
    pub(crate) fn cut_short(&self, reason: impl Into<Value>) -> Reply {
        Reply::three(Value::Nil, reason, self.count())
    }

    /// How many bytes have been sent.
    fn count(&self) -> Value {
        Value::Integer(self.sent.try_into().unwrap_or(i64::MAX))
    }

    /// The task waits no more.
    pub(crate) fn withdraw(&self, runtime: &Runtime, task: TaskId) {
        self.stream.withdraw(runtime, Direction::Write, task);
    }
}
