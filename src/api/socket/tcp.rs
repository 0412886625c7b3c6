//! The methods of TCP sockets, and those that streams of paths share with them.

use super::common::{
    Common, Role, Tcp, closed, deadline, done, done_or, internet_address, self_as, self_of,
};
use super::functions::{bind_named, read_backlog, read_question};
use super::{CLIENT, SERVER, UNIX_CLIENT, UNIX_MASTER, UNIX_SERVER, file, message};
use crate::api::method;
use crate::error::Fault;
use crate::runtime::stream::{Accept, Connect, MAX_LINE, Mark, Pattern, Receive, Send, Target};
use crate::runtime::{Deadline, Moment, Operation, Runtime, now};
use crate::sys::socket::Socket;
use crate::vm::{Class, Function, HeldBytes, Outcome, Reply, Stack, Value};
use std::net::Shutdown;

/// Those that all sockets have.
type All = Common<Tcp>;

/// The methods, the same for every class, as in LuaSocket.
pub(super) const METHODS: &[Function] = &[
    ACCEPT,
    RECEIVE,
    RECEIVE_ANY,
    RECEIVE_UNTIL,
    SEND,
    SHUTDOWN,
    LISTEN,
    GETSTATS,
    SETSTATS,
    SETMAXLINE,
    message::RECEIVE,
    message::SEND,
    file::SENDFILE,
    All::GETOPTION,
    All::SETOPTION,
    All::CLOSE,
    All::DETACH,
    All::DIRTY,
    All::GETFAMILY,
    All::GETFD,
    All::GETTIMEOUT,
    All::SETFD,
    All::SETTIMEOUT,
    method!(waits c"bind", bind),
    method!(waits c"connect", connect),
    method!(c"getpeername", getpeername),
    method!(c"getsockname", getsockname),
    method!(waits c"setpeername", connect),
    method!(waits c"setsockname", bind),
];

/// `accept`, of streams.
pub(super) const ACCEPT: Function = method!(waits c"accept", accept);
/// `receive`, of streams.
pub(super) const RECEIVE: Function = method!(waits c"receive", receive);
/// `receiveany`, of streams.
pub(super) const RECEIVE_ANY: Function = method!(waits c"receiveany", receiveany);
/// `receiveuntil`, of streams: the reader itself, which Lua wraps.
pub(super) const RECEIVE_UNTIL: Function = method!(waits c"receiveuntil", receiveuntil);
/// `send`, of streams.
pub(super) const SEND: Function = method!(waits c"send", send);
/// `shutdown`, of streams.
pub(super) const SHUTDOWN: Function = method!(c"shutdown", shutdown);
/// `listen`, of streams.
pub(super) const LISTEN: Function = method!(c"listen", listen);
/// `getstats`, of streams.
pub(super) const GETSTATS: Function = method!(c"getstats", getstats);
/// `setstats`, of streams.
pub(super) const SETSTATS: Function = method!(c"setstats", setstats);
/// `setmaxline`, of streams.
pub(super) const SETMAXLINE: Function = method!(c"setmaxline", setmaxline);

/// The arguments, by position.
mod slot {
    /// The socket.
    pub(super) const SELF: i32 = 1;
    /// The host of `bind` and `connect`.
    pub(super) const HOST: i32 = 2;
    /// The port of `bind` and `connect`.
    pub(super) const PORT: i32 = 3;
    /// The backlog of `listen`.
    pub(super) const BACKLOG: i32 = 2;
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
    /// The direction of `shutdown`.
    pub(super) const HOW: i32 = 2;
    /// The bytes received, of `setstats`.
    pub(super) const RECEIVED: i32 = 2;
    /// The bytes sent.
    pub(super) const SENT: i32 = 3;
    /// The age in seconds.
    pub(super) const AGE: i32 = 4;
}

/// The class that belongs to the socket's own: `other` where that is `own`, else `default`.
fn counterpart(stack: &Stack, own: Class, other: Class, default: Class) -> Class {
    if stack.class(slot::SELF, &[own]).is_some() {
        other
    } else {
        default
    }
}

/// `sock:accept()`
fn accept(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Server)?;
    let deadline = deadline(&stream);
    runtime.wait(
        stack,
        Operation::Accept(Accept {
            stream,
            class: counterpart(stack, UNIX_SERVER, UNIX_CLIENT, CLIENT),
        }),
        deadline,
    )
}

/// `sock:bind(host, port)`
fn bind(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Master)?;
    bind_named(runtime, stack, stream, slot::HOST, slot::PORT)
}

/// `sock:connect(host, port)`
fn connect(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_of::<Tcp>(stack)?;
    let question = read_question(stack, slot::HOST, slot::PORT, stream.family())?;
    if stream.is_closed() {
        return Ok(closed());
    }
    // A client also when it fails, as in LuaSocket: a connect with a timeout of 0 goes on in the background.
    stack.set_class(slot::SELF, CLIENT);
    let mut deadline = deadline(&stream);
    // As in LuaSocket, a timeout of 0 does not keep a name from being looked up; here other tasks run meanwhile.
    let patient = deadline != Deadline::Now || question.numeric().is_some();
    if !patient {
        deadline = Deadline::Never;
    }
    let mut connect = Connect::new(stream, None, question, Target::One);
    connect.patient = patient;
    runtime.wait(stack, Operation::Connect(Box::new(connect)), deadline)
}

/// `sock:getpeername()`: LuaSocket 3.1's port is a number here.
fn getpeername(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_of::<Tcp>(stack)?;
    Ok(internet_address(&stream, Socket::peer_address, |port| {
        i64::from(port).into()
    }))
}

/// `sock:getsockname()`: LuaSocket 3.1's port is a string here.
fn getsockname(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_of::<Tcp>(stack)?;
    Ok(internet_address(&stream, Socket::local_address, |port| {
        port.to_string().into()
    }))
}

/// `sock:getstats()`: bytes received, bytes sent, age in seconds.
fn getstats(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stats = self_as(stack, Role::Client)?.stats.get();
    #[expect(clippy::cast_precision_loss, reason = "seconds are for people")]
    let age = now().since(stats.since) as f64 / 1e9;
    let count = |count: u64| Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(Outcome::Reply(Reply::three(
        count(stats.received),
        count(stats.sent),
        age,
    )))
}

/// `sock:setstats([received [, sent [, age]]])`
fn setstats(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Client)?;
    let mut stats = stream.stats.get();
    for (slot, field) in [
        (slot::RECEIVED, &mut stats.received),
        (slot::SENT, &mut stats.sent),
    ] {
        if !stack.is_absent(slot) {
            *field = u64::try_from(stack.truncated(slot)?).unwrap_or(0);
        }
    }
    if stack.is_numeric(slot::AGE) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what is out of range becomes the nearest"
        )]
        let age = (stack.seconds(slot::AGE)? * 1e9) as u64;
        stats.since = Moment(now().0.saturating_sub(age));
    }
    stream.stats.set(stats);
    Ok(done())
}

/// `sock:setmaxline([bytes])` → the one before: the longest line that `receive` answers.
fn setmaxline(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Stream)?;
    let before = stream.max_line.get();
    if stack.has(slot::BACKLOG) {
        let most = read_most(stack, slot::BACKLOG)?.unwrap_or(MAX_LINE);
        stream.max_line.set(most);
    }
    let before = i64::try_from(before).map_or(Value::Number(f64::INFINITY), Value::Integer);
    Ok(Outcome::Reply(Reply::one(before)))
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

/// `sock:listen([backlog])`
fn listen(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Master)?;
    let backlog = read_backlog(stack, slot::BACKLOG)?;
    if stream.is_closed() {
        return Ok(closed());
    }
    let listening = stream.with_socket(|socket| socket.listen(backlog));
    if listening.is_ok() {
        let server = counterpart(stack, UNIX_MASTER, UNIX_SERVER, SERVER);
        stack.set_class(slot::SELF, server);
    }
    Ok(done_or(listening))
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
        Operation::Receive(Receive::new(stream, pattern, prefix, limit)),
        deadline,
    )
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
        Operation::Receive(Receive::new(stream, Pattern::Any(most), nothing, most)),
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
        Operation::Receive(Receive::new(stream, pattern, nothing, limit)),
        deadline,
    )
}

/// The pattern of `read` for a numeral.
const NUMERAL: &[u8] = b"\0n";

/// The pattern of `receive`: a number of bytes, `"*l"` or `"*a"`; the star may be left out.
fn read_pattern(stack: &Stack) -> Result<Pattern, Fault> {
    if stack.is_absent(slot::PATTERN) {
        return Ok(Pattern::Line);
    }
    // Whether a string reads as a number takes Lua longer to say than all else here: 500 instructions of 2,300 for a
    // line that has come. LuaSocket looks no further than the letter behind a star.
    if stack.is_string(slot::PATTERN) {
        match stack.bytes(slot::PATTERN)? {
            b"l" | [b'*', b'l', ..] => return Ok(Pattern::Line),
            b"a" | [b'*', b'a', ..] => return Ok(Pattern::All),
            // What `read` says: no pattern of LuaSocket's.
            NUMERAL => return Ok(Pattern::Numeral),
            _ => {}
        }
    }
    let Ok(count) = stack.number(slot::PATTERN) else {
        stack.bytes(slot::PATTERN)?;
        return Err(Fault::argument(slot::PATTERN, "invalid receive pattern"));
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

/// `sock:shutdown([how])`
fn shutdown(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Client)?;
    let how = if stack.is_absent(slot::HOW) {
        b"both"
    } else {
        stack.bytes(slot::HOW)?
    };
    let how = match how {
        b"receive" => Shutdown::Read,
        b"send" => Shutdown::Write,
        b"both" => Shutdown::Both,
        other => {
            let problem = format!("invalid option '{}'", String::from_utf8_lossy(other));
            return Err(Fault::argument(slot::HOW, problem));
        }
    };
    if stream.is_closed() {
        return Ok(closed());
    }
    // LuaSocket answers 1 whatever the system says: a peer that has gone is no failure of this call.
    let _ = stream.with_socket(|socket| socket.shutdown(how));
    Ok(done())
}
