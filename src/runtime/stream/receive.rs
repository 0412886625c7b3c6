//! Reading from a stream: a line, a number of bytes, or all until the end.

use super::Stream;
use super::numeral::{self, Extent};
use super::scan::{drop_returns, find};
use crate::runtime::Runtime;
use crate::runtime::interests::Direction;
use crate::runtime::operation::Poll;
use crate::sched::TaskId;
use crate::sys::failure;
use crate::vm::copy::{Parcel, Policy, Source};
use crate::vm::{HeldBytes, Reply, Value};
use std::borrow::Cow;
use std::io;
use std::rc::Rc;

/// What shall be read.
#[derive(Clone, Copy)]
pub(crate) enum Pattern {
    /// Up to the next line feed, which is dropped, as every carriage return is.
    Line,
    /// Until the peer has closed.
    All,
    /// A numeral, with the space before it, as Lua's files read one.
    Numeral,
    /// So many bytes, the prefix among them.
    Count(usize),
    /// What there is, as soon as there is something, but no more than so many bytes.
    Any(usize),
    /// Up to a string, in pieces where these are asked for.
    Until(Mark),
    /// A message: its length in four bytes, and so many more; what is expected of it.
    Message(Policy),
}

/// Where a read ends.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    /// The string, which the parked call holds; not empty.
    pub(crate) text: HeldBytes,
    /// Does the answer end with it?
    pub(crate) inclusive: bool,
    /// How long a piece is, where the answer comes in pieces.
    pub(crate) piece: Option<usize>,
}

/// Bytes that a line may have unless the caller says otherwise, so that no peer fills the memory with one.
pub(crate) const MAX_LINE: usize = 1 << 20;

/// Bytes that a message may have unless the caller says otherwise: what is made of them takes up to forty times as many.
pub(crate) const MAX_MESSAGE: usize = 16 << 20;
/// Bytes before a message that say how long it is.
pub(crate) const LENGTH_BYTES: usize = 4;

/// A reading call.
pub(crate) struct Receive {
    /// The stream.
    pub(crate) stream: Rc<Stream>,
    /// What shall be read.
    pub(crate) pattern: Pattern,
    /// What the answer begins with; empty, or a string that the parked call holds.
    pub(crate) prefix: HeldBytes,
    /// The most bytes that the answer may have.
    pub(crate) limit: usize,
    /// How many of the unread bytes are known to hold no end of what is asked for.
    scanned: usize,
}

/// What there is to be answered.
enum Measure {
    /// So many bytes are taken, and so many of these shown.
    Complete(usize, usize),
    /// A piece of so many bytes; more will follow.
    Piece(usize),
    /// There are too many bytes.
    Oversized,
    /// There are too few.
    Incomplete,
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
    pub(crate) fn new(
        stream: Rc<Stream>,
        pattern: Pattern,
        prefix: HeldBytes,
        limit: usize,
    ) -> Receive {
        Receive {
            stream,
            pattern,
            prefix,
            limit,
            scanned: 0,
        }
    }

    /// Tries to get what is asked for.
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

    /// Reads until there is an answer, or nothing more to read for now.
    fn advance(&mut self, runtime: &Runtime, task: TaskId) -> Option<Reply> {
        if self.may_be_answered()
            && let Some(reply) = self.answer_from_input(runtime)
        {
            return Some(reply);
        }
        for _ in 0..READS_A_TURN {
            match self.read(runtime) {
                Read::Got(count) => {
                    if let Some(reply) = self.answer_from_scratch(runtime, count) {
                        return Some(reply);
                    }
                }
                Read::WouldBlock => return self.watch(runtime, task),
                Read::Closed => return Some(self.at_end()),
                Read::Failed(reason) => return Some(self.cut_short(reason)),
            }
        }
        runtime.wake(task);
        None
    }

    /// May there be an answer before the socket is read? Where nothing is unread, only what a caller asks for can have it:
    /// a prefix that is long enough, or a count that is too large.
    fn may_be_answered(&self) -> bool {
        self.limit != usize::MAX || !self.prefix.as_slice().is_empty() || self.stream.is_dirty()
    }

    /// Waits for the next edge.
    fn watch(&mut self, runtime: &Runtime, task: TaskId) -> Option<Reply> {
        let watched = self.stream.watch(runtime, Direction::Read, task);
        watched
            .err()
            .map(|error| self.cut_short(failure::word(&error)))
    }

    /// Reads into the scratch buffer. Less than asked for means that there is no more: the next edge will tell.
    fn read(&self, runtime: &Runtime) -> Read {
        let Some(socket) = self.stream.socket() else {
            return Read::Closed;
        };
        if !self.stream.is_ready(runtime, Direction::Read) {
            return Read::WouldBlock;
        }
        let mut scratch = runtime.scratch();
        match socket.read(&mut scratch) {
            Ok(0) => Read::Closed,
            Ok(count) => {
                if count < scratch.len() {
                    self.stream.blocks(runtime, Direction::Read);
                }
                Read::Got(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.stream.blocks(runtime, Direction::Read);
                Read::WouldBlock
            }
            Err(error) => match failure::word(&error) {
                Cow::Borrowed("closed") => Read::Closed,
                word => Read::Failed(word),
            },
        }
    }

    /// What of `bytes` is to be answered.
    fn measure(&mut self, bytes: &[u8]) -> Measure {
        let limit = self.limit.saturating_sub(self.prefix.as_slice().len());
        let measure = match self.pattern {
            Pattern::Line => match memchr::memchr(b'\n', &bytes[self.scanned..]) {
                Some(place) => Measure::Complete(self.scanned + place + 1, self.scanned + place),
                None => self.unfinished(bytes.len(), bytes.len()),
            },
            Pattern::All => self.unfinished(bytes.len(), bytes.len()),
            Pattern::Count(count) => {
                let prefix = self.prefix.as_slice().len();
                let missing = count.saturating_sub(prefix);
                if prefix > 0 && count <= prefix {
                    Measure::Complete(0, 0)
                } else if missing > limit {
                    Measure::Oversized
                } else if bytes.len() >= missing.max(1) {
                    // LuaSocket waits for a byte even when none is asked for.
                    Measure::Complete(missing, missing)
                } else {
                    Measure::Incomplete
                }
            }
            Pattern::Any(most) => match bytes.len().min(most) {
                0 => Measure::Incomplete,
                count => Measure::Complete(count, count),
            },
            Pattern::Until(mark) => self.measure_until(bytes, mark),
            Pattern::Numeral => {
                let Extent { len, open } = numeral::extent(bytes);
                if open {
                    self.unfinished(bytes.len(), 0)
                } else {
                    Measure::Complete(len, len)
                }
            }
            Pattern::Message(_) => return self.measure_message(bytes),
        };
        match measure {
            Measure::Complete(_, shown) if shown > limit => Measure::Oversized,
            measure => measure,
        }
    }

    /// What a read up to a string answers.
    fn measure_until(&mut self, bytes: &[u8], mark: Mark) -> Measure {
        let text = mark.text.as_slice();
        let found = find(&bytes[self.scanned..], text);
        let end = found.map(|place| self.scanned + place);
        let safe = end.unwrap_or((bytes.len() + 1).saturating_sub(text.len()));
        match (end, mark.piece) {
            (_, Some(piece)) if safe > piece || (end.is_none() && safe == piece) => {
                self.scanned = 0;
                Measure::Piece(piece)
            }
            (Some(end), _) if mark.inclusive => {
                Measure::Complete(end + text.len(), end + text.len())
            }
            (Some(end), _) => Measure::Complete(end + text.len(), end),
            (None, _) => self.unfinished(bytes.len(), safe),
        }
    }

    /// What a read of a message answers.
    fn measure_message(&self, bytes: &[u8]) -> Measure {
        match message_len(bytes) {
            Some(len) if len > self.limit => Measure::Oversized,
            Some(len) if bytes.len() - LENGTH_BYTES >= len => {
                Measure::Complete(LENGTH_BYTES + len, LENGTH_BYTES + len)
            }
            _ => Measure::Incomplete,
        }
    }

    /// There is no end among `count` bytes, of which the first `scanned` need not be looked at again.
    fn unfinished(&mut self, count: usize, scanned: usize) -> Measure {
        self.scanned = scanned;
        if count > self.limit.saturating_sub(self.prefix.as_slice().len()) {
            Measure::Oversized
        } else {
            Measure::Incomplete
        }
    }

    /// The answer, when the unread input has it.
    fn answer_from_input(&mut self, runtime: &Runtime) -> Option<Reply> {
        let stream = Rc::clone(&self.stream);
        let mut input = stream.input.borrow_mut();
        match self.measure(input.unread()) {
            Measure::Complete(taken, shown) => {
                let reply = self.reply_with(runtime, &input.unread()[..shown]);
                input.consume(taken);
                self.stream.count_received(taken);
                Some(reply)
            }
            Measure::Piece(count) => {
                let piece = input.unread()[..count].to_vec();
                input.consume(count);
                self.stream.count_received(count);
                Some(Reply::three(piece, Value::Nil, true))
            }
            Measure::Oversized => {
                drop(input);
                Some(self.oversized())
            }
            Measure::Incomplete => None,
        }
    }

    /// `nil`, the word for it, and as much as was allowed: what follows can still be read. A message stays as a whole,
    /// and only its length is told.
    fn oversized(&self) -> Reply {
        if let Pattern::Message(_) = self.pattern {
            let len = message_len(self.stream.input.borrow().unread()).unwrap_or(0);
            let len = i64::try_from(len).unwrap_or(i64::MAX);
            return Reply::three(Value::Nil, "oversized", len);
        }
        let limit = self.limit.saturating_sub(self.prefix.as_slice().len());
        let mut input = self.stream.input.borrow_mut();
        let count = match self.pattern {
            Pattern::Count(_) => 0,
            _ => limit.min(input.unread().len()),
        };
        let partial = self.joined(&input.unread()[..count]);
        input.consume(count);
        self.stream.count_received(count);
        Reply::three(Value::Nil, "oversized", partial)
    }

    /// The answer, when `count` new bytes in the scratch buffer complete it; else they join the unread input.
    fn answer_from_scratch(&mut self, runtime: &Runtime, count: usize) -> Option<Reply> {
        let stream = Rc::clone(&self.stream);
        let mut input = stream.input.borrow_mut();
        let mut scratch = runtime.scratch();
        if !input.unread().is_empty() {
            input.append(&scratch[..count]);
            drop((input, scratch));
            return self.answer_from_input(runtime);
        }
        let (taken, shown) = match self.measure(&scratch[..count]) {
            Measure::Complete(taken, shown) => (taken, shown),
            Measure::Incomplete => {
                input.append(&scratch[..count]);
                return None;
            }
            Measure::Piece(_) | Measure::Oversized => {
                input.append(&scratch[..count]);
                drop((input, scratch));
                return self.answer_from_input(runtime);
            }
        };
        input.append(&scratch[taken..count]);
        self.stream.count_received(taken);
        if let Pattern::Message(policy) = self.pattern {
            return Some(message(&scratch[..shown], policy));
        }
        if !self.prefix.as_slice().is_empty() {
            let bytes = scratch[..shown].to_vec();
            return Some(success(self.joined(&bytes)));
        }
        let shown = if self.is_line() {
            drop_returns(&mut scratch[..shown])
        } else {
            shown
        };
        Some(success(HeldBytes::new(&scratch[..shown])))
    }

    /// Is a line asked for, which has no carriage returns?
    fn is_line(&self) -> bool {
        matches!(self.pattern, Pattern::Line)
    }

    /// An answer made of input bytes: through the scratch buffer where they fit, which takes no memory.
    fn reply_with(&self, runtime: &Runtime, bytes: &[u8]) -> Reply {
        if let Pattern::Message(policy) = self.pattern {
            return message(bytes, policy);
        }
        let mut scratch = runtime.scratch();
        if !self.prefix.as_slice().is_empty() || bytes.len() > scratch.len() {
            return success(self.joined(bytes));
        }
        let part = &mut scratch[..bytes.len()];
        part.copy_from_slice(bytes);
        let shown = if self.is_line() {
            drop_returns(part)
        } else {
            bytes.len()
        };
        success(HeldBytes::new(&scratch[..shown]))
    }

    /// The prefix and the bytes as the pattern shows them.
    fn joined(&self, bytes: &[u8]) -> Vec<u8> {
        let mut joined = self.prefix.as_slice().to_vec();
        let start = joined.len();
        joined.extend_from_slice(bytes);
        if self.is_line() {
            let shown = drop_returns(&mut joined[start..]);
            joined.truncate(start + shown);
        }
        joined
    }

    /// What the end of the stream means: all that was asked for, or that it is closed too early.
    fn at_end(&mut self) -> Reply {
        if matches!(self.pattern, Pattern::All | Pattern::Numeral)
            && !self.stream.is_closed()
            && !self.stream.input.borrow().unread().is_empty()
        {
            let bytes = self.stream.input.borrow_mut().take();
            self.stream.count_received(bytes.len());
            return success(if self.prefix.as_slice().is_empty() {
                bytes
            } else {
                self.joined(&bytes)
            });
        }
        self.cut_short("closed")
    }

    /// What the call returns when its time is over. What has been read belongs to whoever is reading: a call that
    /// is still in the queue has nothing but its prefix.
    pub(crate) fn expired(&self, task: TaskId) -> Reply {
        if self.stream.is_inside(Direction::Read, task)
            || matches!(self.pattern, Pattern::Message(_))
        {
            return self.cut_short("timeout");
        }
        Reply::three(Value::Nil, "timeout", self.prefix)
    }

    /// `nil`, the reason, and what has been read so far; of a message that stays, and the next call goes on with it.
    pub(crate) fn cut_short(&self, reason: impl Into<Value>) -> Reply {
        if let Pattern::Message(_) = self.pattern {
            return Reply::failure(reason);
        }
        let bytes = self.stream.input.borrow_mut().take();
        self.stream.count_received(bytes.len());
        Reply::three(Value::Nil, reason, self.joined(&bytes))
    }

    /// The task waits no more.
    pub(crate) fn withdraw(&self, runtime: &Runtime, task: TaskId) {
        self.stream.withdraw(runtime, Direction::Read, task);
    }
}

/// How long the message is that begins there, once that is known.
fn message_len(bytes: &[u8]) -> Option<usize> {
    let len = bytes.first_chunk::<LENGTH_BYTES>()?;
    usize::try_from(u32::from_le_bytes(*len)).ok()
}

/// The values of a message, or what is wrong with it.
fn message(bytes: &[u8], policy: Policy) -> Reply {
    let source = Source::Bytes(bytes[LENGTH_BYTES..].to_vec());
    Reply::one(Parcel { source, policy })
}

/// LuaSocket answers three values for success, too.
fn success(bytes: impl Into<Value>) -> Reply {
    Reply::three(bytes, Value::Nil, Value::Nil)
}
