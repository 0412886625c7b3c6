//! Reading from a stream, in one turn after the other, until there is what a call asks for.

use super::Stream;
use super::reading::{LENGTH_BYTES, Measure, Pattern, Reading, message_len};
use super::scan::drop_returns;
use crate::runtime::Runtime;
use crate::runtime::interests::Direction;
use crate::runtime::operation::Poll;
use crate::sched::TaskId;
use crate::sys::failure;
use crate::vm::copy::{Parcel, Policy, Source};
use crate::vm::{Flow, HeldBytes, Reply, Value};
use std::borrow::Cow;
use std::cell::RefMut;
use std::io;
use std::rc::Rc;

/// A reading call.
pub(crate) struct Receive {
    /// The stream.
    pub(crate) stream: Rc<Stream>,
    /// What it asks for.
    pub(super) reading: Reading,
    /// Does it take bytes where they lie?
    pub(super) takes_bytes: bool,
}

/// What a reading call answers.
pub(crate) enum Answer {
    /// These bytes, which lie in the scratch buffer, and two nils.
    Bytes(HeldBytes),
    /// Something else; in a box, since it is large and rare.
    Reply(Box<Reply>),
}

/// How a read from the socket went.
enum Read {
    /// So many bytes lie in the scratch buffer.
    Got(usize),
    /// There is nothing yet.
    WouldBlock,
    /// The peer has closed, or the stream has been.
    Closed,
    /// The system says no.
    Failed(Cow<'static, str>),
}

/// Reads from one stream in one turn of its task, so that a fast peer cannot starve the round.
const READS_A_TURN: usize = 16;

impl Receive {
    /// A reading call.
    pub(crate) fn new(stream: Rc<Stream>, reading: Reading) -> Receive {
        Receive {
            stream,
            reading,
            takes_bytes: false,
        }
    }

    /// Does its call take bytes where they lie?
    #[inline(always)]
    pub(in crate::runtime) fn takes_bytes(&self) -> bool {
        self.takes_bytes
    }

    /// Tries to get what is asked for.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        match self.advance(runtime, task) {
            Some(answer) => Poll::Ready(answer.into()),
            None => Poll::Pending,
        }
    }

    /// The same, which leaves bytes where they lie.
    pub(in crate::runtime) fn advance(
        &mut self,
        runtime: &Runtime,
        task: TaskId,
    ) -> Option<Answer> {
        self.reading.advance(runtime, &self.stream, task)
    }

    /// What the call returns when its time is over. What has been read belongs to whoever is reading: a call that
    /// is still in the queue has nothing but its prefix.
    pub(crate) fn expired(&self, task: TaskId) -> Reply {
        if self.stream.is_inside(Direction::Read, task)
            || matches!(self.reading.pattern, Pattern::Message(_))
        {
            return self.reading.cut_short(&self.stream, "timeout");
        }
        Reply::three(Value::Nil, "timeout", self.reading.prefix)
    }

    /// The task waits no more.
    pub(crate) fn withdraw(&self, runtime: &Runtime, task: TaskId) {
        self.stream.withdraw(runtime, Direction::Read, task);
    }
}

impl Reading {
    /// Tries to get what is asked for, when it is the turn of `task` to read.
    pub(super) fn advance(
        &mut self,
        runtime: &Runtime,
        stream: &Stream,
        task: TaskId,
    ) -> Option<Answer> {
        if !stream.enter(Direction::Read, task) {
            return None;
        }
        let answer = self.read_on(runtime, stream, task)?;
        stream.leave(runtime, Direction::Read, task);
        Some(answer)
    }

    /// Reads until there is an answer, or nothing more to read for now.
    fn read_on(&mut self, runtime: &Runtime, stream: &Stream, task: TaskId) -> Option<Answer> {
        if (stream.is_dirty() || self.may_need_nothing())
            && let Some(answer) = self.answer_from_input(runtime, stream)
        {
            return Some(answer);
        }
        for _ in 0..READS_A_TURN {
            let mut scratch = runtime.scratch();
            match stream.read(runtime, &mut scratch) {
                Read::Got(count) => {
                    if let Some(answer) = self.answer_from_scratch(runtime, stream, scratch, count)
                    {
                        return Some(answer);
                    }
                }
                Read::WouldBlock => {
                    let watched = stream.watch(runtime, Direction::Read, task);
                    let failed = |error: io::Error| self.cut_short(stream, failure::word(&error));
                    return watched.err().map(failed).map(Answer::from);
                }
                Read::Closed => return Some(self.at_end(stream).into()),
                Read::Failed(reason) => return Some(self.cut_short(stream, reason).into()),
            }
        }
        runtime.wake(task);
        None
    }

    /// The answer, when the unread input has it.
    #[inline(never)]
    fn answer_from_input(&mut self, runtime: &Runtime, stream: &Stream) -> Option<Answer> {
        let mut input = stream.input.borrow_mut();
        match self.measure(input.unread()) {
            Measure::Complete(taken, shown) => {
                let answer = self.answer_with(runtime, &input.unread()[..shown]);
                input.consume(taken);
                stream.count_received(taken);
                Some(answer)
            }
            Measure::Piece(count) => {
                let piece = input.unread()[..count].to_vec();
                input.consume(count);
                stream.count_received(count);
                Some(Reply::three(piece, Value::Nil, true).into())
            }
            Measure::Oversized => {
                drop(input);
                Some(self.oversized(stream).into())
            }
            Measure::Incomplete => None,
        }
    }

    /// `nil`, the word for it, and as much as was allowed: what follows can still be read. A message stays as a whole,
    /// and only its length is told.
    #[cold]
    fn oversized(&self, stream: &Stream) -> Reply {
        let mut input = stream.input.borrow_mut();
        if let Pattern::Message(_) = self.pattern {
            let len = message_len(input.unread()).unwrap_or(0);
            let len = i64::try_from(len).unwrap_or(i64::MAX);
            return Reply::three(Value::Nil, "oversized", len);
        }
        let limit = self.limit.saturating_sub(self.prefix.as_slice().len());
        let count = match self.pattern {
            Pattern::Count(_) => 0,
            _ => limit.min(input.unread().len()),
        };
        let partial = self.joined(&input.unread()[..count]);
        input.consume(count);
        stream.count_received(count);
        Reply::three(Value::Nil, "oversized", partial)
    }

    /// The answer, when `count` new bytes in the scratch buffer complete it; else they join the unread input.
    fn answer_from_scratch(
        &mut self,
        runtime: &Runtime,
        stream: &Stream,
        mut scratch: RefMut<'_, Box<[u8]>>,
        count: usize,
    ) -> Option<Answer> {
        let mut input = stream.input.borrow_mut();
        let is_all = input.unread().is_empty();
        let (taken, shown) = match is_all.then(|| self.measure(&scratch[..count])) {
            Some(Measure::Complete(taken, shown)) => (taken, shown),
            Some(Measure::Incomplete) => {
                input.append(&scratch[..count]);
                return None;
            }
            _ => {
                input.append(&scratch[..count]);
                drop((input, scratch));
                return self.answer_from_input(runtime, stream);
            }
        };
        if taken < count {
            input.append(&scratch[taken..count]);
        }
        stream.count_received(taken);
        let part = &mut scratch[..shown];
        Some(match &self.pattern {
            Pattern::Message(policy) => message(part, *policy),
            _ if !self.prefix.as_slice().is_empty() => success(self.joined(part)),
            Pattern::Line => shown_line(part),
            _ => Answer::Bytes(HeldBytes::new(part)),
        })
    }

    /// An answer made of input bytes: through the scratch buffer where they fit, which takes no memory.
    fn answer_with(&self, runtime: &Runtime, bytes: &[u8]) -> Answer {
        if let Pattern::Message(policy) = self.pattern {
            return message(bytes, policy);
        }
        let mut scratch = runtime.scratch();
        if !self.prefix.as_slice().is_empty() || bytes.len() > scratch.len() {
            return success(self.joined(bytes));
        }
        let part = &mut scratch[..bytes.len()];
        part.copy_from_slice(bytes);
        if self.is_line() {
            shown_line(part)
        } else {
            Answer::Bytes(HeldBytes::new(part))
        }
    }

    /// What the end of the stream means: all that was asked for, or that it is closed too early.
    #[cold]
    fn at_end(&self, stream: &Stream) -> Reply {
        if matches!(self.pattern, Pattern::All | Pattern::Numeral)
            && !stream.is_closed()
            && stream.is_dirty()
        {
            let bytes = stream.input.borrow_mut().take();
            stream.count_received(bytes.len());
            return success(if self.prefix.as_slice().is_empty() {
                bytes
            } else {
                self.joined(&bytes)
            })
            .into();
        }
        self.cut_short(stream, "closed")
    }

    /// `nil`, the reason, and what has been read so far; of a message that stays, and the next call goes on with it.
    #[cold]
    fn cut_short(&self, stream: &Stream, reason: impl Into<Value>) -> Reply {
        if let Pattern::Message(_) = self.pattern {
            return Reply::failure(reason);
        }
        let bytes = stream.input.borrow_mut().take();
        stream.count_received(bytes.len());
        Reply::three(Value::Nil, reason, self.joined(&bytes))
    }
}

impl Stream {
    /// Reads into the scratch buffer. Less than asked for means that there is no more: the next edge will tell.
    fn read(&self, runtime: &Runtime, scratch: &mut [u8]) -> Read {
        let Some(socket) = self.socket() else {
            return Read::Closed;
        };
        if !self.is_ready(runtime, Direction::Read) {
            return Read::WouldBlock;
        }
        match socket.read(scratch) {
            Ok(0) => Read::Closed,
            Ok(count) => {
                if count < scratch.len() {
                    self.blocks(runtime, Direction::Read);
                }
                Read::Got(count)
            }
            Err(error) => self.not_read(runtime, &error),
        }
    }

    /// Why nothing has been read.
    #[cold]
    fn not_read(&self, runtime: &Runtime, error: &io::Error) -> Read {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.blocks(runtime, Direction::Read);
            return Read::WouldBlock;
        }
        match failure::word(error) {
            Cow::Borrowed("closed") => Read::Closed,
            word => Read::Failed(word),
        }
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Reply {
        match answer {
            // LuaSocket answers three values for success, too.
            Answer::Bytes(bytes) => Reply::three(bytes, Value::Nil, Value::Nil),
            Answer::Reply(reply) => *reply,
        }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Answer {
        Answer::Reply(Box::new(reply))
    }
}

impl From<Answer> for Flow {
    fn from(answer: Answer) -> Flow {
        match answer {
            Answer::Bytes(bytes) => Flow::Bytes(bytes),
            Answer::Reply(reply) => Flow::Reply(reply),
        }
    }
}

/// What is shown of a line.
fn shown_line(line: &mut [u8]) -> Answer {
    let shown = drop_returns(line);
    Answer::Bytes(HeldBytes::new(&line[..shown]))
}

/// The values of a message, or what is wrong with it.
#[cold]
fn message(bytes: &[u8], policy: Policy) -> Answer {
    let source = Source::Bytes(bytes[LENGTH_BYTES..].to_vec());
    Reply::one(Parcel { source, policy }).into()
}

/// Bytes of their own.
#[cold]
fn success(bytes: Vec<u8>) -> Answer {
    Reply::three(bytes, Value::Nil, Value::Nil).into()
}
