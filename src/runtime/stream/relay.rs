//! Passing what comes from one stream on to another, within the kernel.

use super::Stream;
use crate::runtime::Runtime;
use crate::runtime::interests::Direction;
use crate::runtime::operation::Poll;
use crate::sched::TaskId;
use crate::sys::failure;
use crate::sys::socket::Pipe;
use crate::vm::{Reply, Value};
use std::io;
use std::rc::Rc;

/// A call that passes all on until the end. What has left the one stream and not reached the other is unread input of
/// the first again when the call ends early.
pub(crate) struct Relay {
    /// Where the bytes come from.
    from: Rc<Stream>,
    /// Where they go.
    to: Rc<Stream>,
    /// Where they lie in between.
    pipe: Pipe,
    /// How many have been passed on.
    passed: usize,
}

/// Pieces passed on in one turn of the task, so that a fast peer cannot starve the round.
const PIECES_A_TURN: usize = 16;

impl Relay {
    /// A call that has not begun.
    pub(crate) fn new(from: Rc<Stream>, to: Rc<Stream>) -> io::Result<Relay> {
        Ok(Relay {
            from,
            to,
            pipe: Pipe::new()?,
            passed: 0,
        })
    }

    /// Between what it passes on.
    pub(crate) fn ends(&self) -> [&Stream; 2] {
        [&self.from, &self.to]
    }

    /// Goes on as far as it can.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        if !self.from.enter(Direction::Read, task) || !self.to.enter(Direction::Write, task) {
            return Poll::Pending;
        }
        let Some(reply) = self.advance(runtime, task) else {
            return Poll::Pending;
        };
        self.withdraw(runtime, task);
        Poll::Ready(reply)
    }

    /// Passes pieces on until there is nothing more for now.
    fn advance(&mut self, runtime: &Runtime, task: TaskId) -> Option<Reply> {
        for _ in 0..PIECES_A_TURN {
            if self.pipe.len() == 0 {
                match attempt(runtime, &self.from, Direction::Read, |socket| {
                    self.pipe.fill(socket)
                }) {
                    Ok(0) => return Some(Reply::one(self.count())),
                    Ok(_) => {}
                    Err(error) if failure::word(&error) == "closed" => {
                        return Some(Reply::one(self.count()));
                    }
                    Err(error) => return self.pause(runtime, task, Direction::Read, &error),
                }
            }
            match attempt(runtime, &self.to, Direction::Write, |socket| {
                self.pipe.drain(socket)
            }) {
                Ok(count) => {
                    self.passed += count;
                    self.from.count_received(count);
                    self.to.count_sent(count);
                }
                Err(error) => return self.pause(runtime, task, Direction::Write, &error),
            }
        }
        runtime.wake(task);
        None
    }

    /// Waits for the direction, where that is what the error means.
    fn pause(
        &self,
        runtime: &Runtime,
        task: TaskId,
        direction: Direction,
        error: &io::Error,
    ) -> Option<Reply> {
        if error.kind() != io::ErrorKind::WouldBlock {
            return Some(self.cut_short(failure::word(error)));
        }
        let stream = match direction {
            Direction::Read => &self.from,
            Direction::Write => &self.to,
        };
        stream.blocks(runtime, direction);
        let watched = stream.watch(runtime, direction, task);
        watched
            .err()
            .map(|error| self.cut_short(failure::word(&error)))
    }

    /// `nil`, the reason, and how many bytes have been passed on.
    pub(crate) fn cut_short(&self, reason: impl Into<Value>) -> Reply {
        Reply::three(Value::Nil, reason, self.count())
    }

    /// How many bytes have been passed on.
    fn count(&self) -> Value {
        Value::Integer(self.passed.try_into().unwrap_or(i64::MAX))
    }

    /// The task waits no more.
    pub(crate) fn withdraw(&mut self, runtime: &Runtime, task: TaskId) {
        if self.pipe.len() > 0 {
            self.from.add_unread(&self.pipe.take());
        }
        self.from.withdraw(runtime, Direction::Read, task);
        self.to.withdraw(runtime, Direction::Write, task);
    }
}

/// Works with the socket unless it is known to block; one that is closed has ended.
fn attempt(
    runtime: &Runtime,
    stream: &Stream,
    direction: Direction,
    work: impl FnOnce(&crate::sys::socket::Socket) -> io::Result<usize>,
) -> io::Result<usize> {
    if stream.is_closed() {
        return Err(io::Error::from_raw_os_error(libc::EPIPE));
    }
    if !stream.is_ready(runtime, direction) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    stream.with_socket(work)
}
