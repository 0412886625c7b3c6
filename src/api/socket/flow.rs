//! Bytes out of streams, and into them.

use super::common::{Role, deadline, self_as};
use super::{CLIENT, UNIX_CLIENT};
use crate::api::method;
use crate::error::Fault;
use crate::runtime::stream::{self, Mark, Pattern, Reading, Receive, Send, Stream};
use crate::runtime::{Operation, Runtime};
use crate::vm::{Argument, Flow, Function, HeldBytes, Outcome, Stack, This, entry_flowing};

/// `receive`, of streams.
pub(super) const RECEIVE: Function = Function {
    entry: entry_flowing::<Runtime, Stream, _, _>(receive_shortly, receive),
    ..method!(waits c"receive", receive)
};
/// `receiveany`, of streams.
pub(super) const RECEIVE_ANY: Function = Function {
    entry: entry_flowing::<Runtime, Stream, _, _>(receive_any_shortly, receiveany),
    ..method!(waits c"receiveany", receiveany)
};
/// `receiveuntil`, of streams: the reader itself, which Lua wraps.
pub(super) const RECEIVE_UNTIL: Function = Function {
    entry: entry_flowing::<Runtime, Stream, _, _>(receive_until_shortly, receiveuntil),
    ..method!(waits c"receiveuntil", receiveuntil)
};
/// `send`, of streams.
pub(super) const SEND: Function = Function {
    entry: entry_flowing::<Runtime, Stream, _, _>(send_shortly, send),
    ..method!(waits c"send", send)
};
/// The arguments, by position.
mod slot {
    /// The pattern of `receive` and `receiveuntil`.
    pub(super) const PATTERN: i32 = 2;
    /// The prefix of `receive`.
    pub(super) const PREFIX: i32 = 3;
    /// The most bytes that `receive` answers.
    pub(super) const MAX_SIZE: i32 = 4;
    /// The most bytes that `receiveany` answers.
    pub(super) const MOST: i32 = 2;
    /// Does the answer of `receiveuntil` end with the pattern?
    pub(super) const INCLUSIVE: i32 = 3;
    /// The size of a piece that `receiveuntil` answers.
    pub(super) const PIECE: i32 = 4;
    /// The string of `send`, or a list of strings.
    pub(super) const DATA: i32 = 2;
    /// The index of the first byte that `send` sends.
    pub(super) const FIRST: i32 = 3;
    /// The index of the last one.
    pub(super) const LAST: i32 = 4;
    /// The last one of `receive`, its like, and `send`.
    pub(super) const LAST_OF_ALL: i32 = 4;
}

/// `sock:receive([pattern [, prefix [, maxsize]]])`
fn receive(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Client)?;
    let (mut prefix, mut most) = (HeldBytes::new(b""), None);
    if stack.count() >= slot::PREFIX {
        if !stack.is_absent(slot::PREFIX) {
            prefix = stack.held(slot::PREFIX)?;
        }
        most = read_most(stack, slot::MAX_SIZE)?;
    }
    let pattern = read_pattern(stack)?;
    let limit = match (most, &pattern) {
        (Some(limit), _) => limit,
        (None, Pattern::Line | Pattern::Numeral) => stream.max_line.get(),
        (None, _) => usize::MAX,
    };
    let deadline = deadline(&stream);
    runtime.wait(
        stack,
        Operation::Receive(Receive::new(stream, Reading::new(pattern, prefix, limit))),
        deadline,
    )
}

/// Is it a connected stream, called with no argument that counts from `slot` on?
#[inline]
fn is_plain_call(stream: &This<Stream>, stack: &Stack, slot: i32) -> bool {
    (stream.class == CLIENT || stream.class == UNIX_CLIENT)
        && (stack.count() < slot || (slot..=slot::LAST_OF_ALL).all(|slot| stack.is_absent(slot)))
}

/// The short way of `receive`: for a number of bytes or a line.
#[inline]
fn receive_shortly(runtime: &Runtime, stream: This<Stream>, stack: &Stack) -> Flow {
    if !is_plain_call(&stream, stack, slot::PREFIX) {
        return Flow::No;
    }
    let Ok(pattern) = read_pattern(stack) else {
        return Flow::No;
    };
    let limit = match pattern {
        Pattern::Line => stream.max_line.get(),
        Pattern::Count(_) => usize::MAX,
        _ => return Flow::No,
    };
    let reading = Reading::new(pattern, HeldBytes::new(b""), limit);
    stream::receive(runtime, stream, stack.state(), reading)
}

/// The short way of `receiveany`.
fn receive_any_shortly(runtime: &Runtime, stream: This<Stream>, stack: &Stack) -> Flow {
    if !is_plain_call(&stream, stack, slot::MOST + 1) {
        return Flow::No;
    }
    let Ok(Some(most)) = read_most(stack, slot::MOST) else {
        return Flow::No;
    };
    let reading = Reading::new(Pattern::Any(most), HeldBytes::new(b""), most);
    stream::receive(runtime, stream, stack.state(), reading)
}

/// The short way of `receiveuntil`, for all at once.
fn receive_until_shortly(runtime: &Runtime, stream: This<Stream>, stack: &Stack) -> Flow {
    if !is_plain_call(&stream, stack, slot::PIECE) {
        return Flow::No;
    }
    let (Ok(text), Ok(inclusive)) = (stack.held(slot::PATTERN), stack.boolean(slot::INCLUSIVE))
    else {
        return Flow::No;
    };
    if text.as_slice().is_empty() {
        return Flow::No;
    }
    let (limit, piece) = (stream.max_line.get(), None);
    let mark = Mark {
        text,
        inclusive,
        piece,
    };
    let reading = Reading::new(Pattern::Until(mark), HeldBytes::new(b""), limit);
    stream::receive(runtime, stream, stack.state(), reading)
}

/// The short way of `send`: for a whole string.
fn send_shortly(runtime: &Runtime, stream: This<Stream>, stack: &Stack) -> Flow {
    if !is_plain_call(&stream, stack, slot::FIRST) {
        return Flow::No;
    }
    match stack.held(slot::DATA) {
        Ok(data) => stream::send(runtime, stream, stack.state(), data),
        Err(_) => Flow::No,
    }
}

/// `sock:receiveany(max)`
fn receiveany(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Client)?;
    let Some(most) = read_most(stack, slot::MOST)? else {
        return Err(stack.expected(slot::MOST, "number"));
    };
    let nothing = HeldBytes::new(b"");
    let deadline = deadline(&stream);
    runtime.wait(
        stack,
        Operation::Receive(Receive::new(
            stream,
            Reading::new(Pattern::Any(most), nothing, most),
        )),
        deadline,
    )
}

/// `receiveuntil(sock, pattern, inclusive, piece)`: the bytes, `nil`, and whether more of them follow.
fn receiveuntil(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Client)?;
    let mark = Mark {
        text: stack.held(slot::PATTERN)?,
        inclusive: stack.boolean(slot::INCLUSIVE)?,
        piece: read_most(stack, slot::PIECE)?,
    };
    if mark.text.as_slice().is_empty() {
        return Err(Fault::argument(slot::PATTERN, "empty pattern"));
    }
    let limit = match mark.piece {
        Some(_) => usize::MAX,
        None => stream.max_line.get(),
    };
    let (pattern, nothing) = (Pattern::Until(mark), HeldBytes::new(b""));
    let deadline = deadline(&stream);
    runtime.wait(
        stack,
        Operation::Receive(Receive::new(stream, Reading::new(pattern, nothing, limit))),
        deadline,
    )
}

/// The pattern of `read` for a numeral.
const NUMERAL: &[u8] = b"\0n";

/// The pattern of `receive`: a number of bytes, `"*l"` or `"*a"`; the star may be left out.
fn read_pattern(stack: &Stack) -> Result<Pattern, Fault> {
    // Whether a string reads as a number takes Lua longer to say than all else here: 500 instructions of 2,300 for a
    // line that has come. LuaSocket looks no further than the letter behind a star.
    let count = match stack.argument(slot::PATTERN) {
        Argument::Number(count) => count,
        Argument::Absent | Argument::Text(b"l" | [b'*', b'l', ..]) => return Ok(Pattern::Line),
        Argument::Text(b"a" | [b'*', b'a', ..]) => return Ok(Pattern::All),
        // What `read` says: no pattern of LuaSocket's.
        Argument::Text(NUMERAL) => return Ok(Pattern::Numeral),
        Argument::Text(_) if stack.is_numeric(slot::PATTERN) => stack.number(slot::PATTERN)?,
        Argument::Text(_) => {
            return Err(Fault::argument(slot::PATTERN, "invalid receive pattern"));
        }
        Argument::Other => return Err(stack.expected(slot::PATTERN, "string")),
    };
    // LuaSocket cuts a fraction off.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    if (0.0..=9_007_199_254_740_992.0).contains(&count) {
        Ok(Pattern::Count(count as usize))
    } else {
        Err(Fault::argument(slot::PATTERN, "invalid receive pattern"))
    }
}

/// `sock:send(data [, i [, j]])`: a string, or a list of strings as if they were one.
fn send(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Client)?;
    let (data, gathered) = if stack.is_table(slot::DATA) {
        (HeldBytes::new(b""), Some(stack.strings(slot::DATA)?))
    } else {
        (stack.held(slot::DATA)?, None)
    };
    let len = gathered.as_deref().unwrap_or(data.as_slice()).len();
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let (mut first, mut last) = (1, len);
    if stack.count() >= slot::FIRST {
        let index = |slot, default| {
            if stack.is_absent(slot) {
                Ok(default)
            } else {
                stack.truncated(slot)
            }
        };
        let from_end = |index: i64| if index < 0 { len + index + 1 } else { index };
        first = from_end(index(slot::FIRST, 1)?).max(1);
        last = from_end(index(slot::LAST, -1)?).min(len);
    }
    // Nothing to send: the answer is still the index before the first byte.
    let position = usize::try_from(first - 1).unwrap_or(0);
    let end = usize::try_from(last).unwrap_or(0).max(position);
    let deadline = deadline(&stream);
    runtime.wait(
        stack,
        Operation::Send(Send {
            stream,
            data,
            position,
            end,
            gathered,
            is_message: false,
        }),
        deadline,
    )
}

/// A number of bytes; `math.huge` is without end.
pub(super) fn read_most(stack: &Stack, slot: i32) -> Result<Option<usize>, Fault> {
    if stack.is_absent(slot) {
        return Ok(None);
    }
    let most = stack.number(slot)?;
    if most >= 9e15 {
        return Ok(Some(usize::MAX));
    }
    if most >= 1.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range is checked"
        )]
        return Ok(Some(most as usize));
    }
    Err(Fault::argument(slot, "size out of range"))
}
