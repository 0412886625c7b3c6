//! The methods of TCP sockets.

use super::functions::{bind_first, read_backlog, read_bind_host, read_port, read_question};
use super::{ANY, CLIENT, MASTER, SERVER, options};
use crate::api::{function, method};
use crate::error::Fault;
use crate::runtime::stream::{Accept, Connect, Pattern, Receive, Send, Stream, Target, Timeouts};
use crate::runtime::{Deadline, Operation, Runtime};
use crate::sys::failure;
use crate::sys::names::{Family, Question};
use crate::vm::{Class, Function, HeldBytes, Outcome, Reply, Stack, Value};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;

/// The methods, the same for every class, as in LuaSocket.
pub(super) const METHODS: &[Function] = &[
    method!(waits c"accept", accept),
    method!(c"bind", bind),
    method!(c"close", close),
    method!(waits c"connect", connect),
    method!(c"getfd", getfd),
    method!(c"getoption", options::get),
    method!(c"getpeername", getpeername),
    method!(c"getsockname", getsockname),
    method!(c"gettimeout", gettimeout),
    method!(c"listen", listen),
    method!(waits c"receive", receive),
    method!(waits c"send", send),
    method!(c"setoption", options::set),
    method!(c"settimeout", settimeout),
    method!(c"shutdown", shutdown),
];

/// `tostring(sock)`
pub(super) const TOSTRING: Function = function!(c"tostring", tostring);

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
    /// The pattern of `receive`.
    pub(super) const PATTERN: i32 = 2;
    /// The prefix of `receive`.
    pub(super) const PREFIX: i32 = 3;
    /// The string of `send`.
    pub(super) const DATA: i32 = 2;
    /// The index of the first byte that `send` sends.
    pub(super) const FIRST: i32 = 3;
    /// The index of the last byte that `send` sends.
    pub(super) const LAST: i32 = 4;
    /// The seconds of `settimeout`.
    pub(super) const SECONDS: i32 = 2;
    /// The mode of `settimeout`.
    pub(super) const MODE: i32 = 3;
    /// The direction of `shutdown`.
    pub(super) const HOW: i32 = 2;
}

/// The socket, which is of the class that the method is for.
fn one_of(stack: &Stack, classes: &[Class], expected: &str) -> Result<Rc<Stream>, Fault> {
    stack.object(slot::SELF, classes, expected)
}

/// The socket, of any class.
fn any(stack: &Stack) -> Result<Rc<Stream>, Fault> {
    one_of(stack, ANY, "tcp{any}")
}

/// The deadline of a call that begins now.
fn deadline(stream: &Stream) -> Deadline {
    Deadline::after(stream.timeouts.get().nearest())
}

/// What LuaSocket answers when something is done: the number 1.
fn done() -> Outcome {
    Outcome::Reply(Reply::one(1_i64))
}

/// What a closed socket answers to everything but a second `close`.
fn closed() -> Outcome {
    Outcome::Reply(Reply::failure("closed"))
}

/// 1, or `nil` and the reason.
fn done_or(result: io::Result<()>) -> Outcome {
    match result {
        Ok(()) => done(),
        Err(error) => Outcome::Reply(Reply::failure(failure::word(&error))),
    }
}

/// `sock:accept()`
fn accept(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = one_of(stack, &[SERVER], "tcp{server}")?;
    let deadline = deadline(&stream);
    runtime.wait(
        stack,
        Operation::Accept(Accept {
            stream,
            class: CLIENT,
        }),
        deadline,
    )
}

/// `sock:bind(host, port)`
fn bind(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = one_of(stack, &[MASTER], "tcp{master}")?;
    let host = read_bind_host(stack, slot::HOST)?;
    let family = match (stream.family(), &host) {
        (Family::Unspecified, None) => Family::V4,
        (family, _) => family,
    };
    let question = Question {
        host,
        service: read_port(stack, slot::PORT)?,
        family,
    };
    if stream.is_closed() {
        return Ok(closed());
    }
    Ok(match bind_first(runtime, &stream, &question) {
        Ok(()) => done(),
        Err(reason) => Outcome::Reply(Reply::failure(reason)),
    })
}

/// `sock:close()`
fn close(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    any(stack)?.close(runtime);
    Ok(done())
}

/// `sock:connect(host, port)`
fn connect(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = any(stack)?;
    let question = read_question(stack, slot::HOST, slot::PORT, stream.family())?;
    if stream.is_closed() {
        return Ok(closed());
    }
    // A client also when it fails, as in LuaSocket: a connect with a timeout of 0 goes on in the background.
    stack.set_class(slot::SELF, CLIENT);
    let deadline = deadline(&stream);
    let connect = Connect::new(stream, question, Target::One);
    runtime.wait(stack, Operation::Connect(Box::new(connect)), deadline)
}

/// `sock:getfd()`: the descriptor, or -1.
fn getfd(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let fd = any(stack)?.with_socket(|socket| Ok(i64::from(socket.fd())));
    Ok(Outcome::Reply(Reply::one(fd.unwrap_or(-1))))
}

/// `sock:getpeername()`: LuaSocket 3.1's port is a number here.
fn getpeername(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = any(stack)?;
    Ok(address(
        &stream,
        stream.with_socket(crate::sys::socket::Socket::peer_address),
        |port| i64::from(port).into(),
    ))
}

/// `sock:getsockname()`: LuaSocket 3.1's port is a string here.
fn getsockname(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = any(stack)?;
    Ok(address(
        &stream,
        stream.with_socket(crate::sys::socket::Socket::local_address),
        |port| port.to_string().into(),
    ))
}

/// Address, port and family.
fn address(
    stream: &Stream,
    address: io::Result<Option<SocketAddr>>,
    port: fn(u16) -> Value,
) -> Outcome {
    if stream.is_closed() {
        return closed();
    }
    Outcome::Reply(match address {
        Ok(Some(address)) => {
            let family = if address.is_ipv4() { "inet" } else { "inet6" };
            Reply::three(address.ip().to_string(), port(address.port()), family)
        }
        Ok(None) => Reply::failure("unknown address family"),
        Err(error) => Reply::failure(failure::word(&error)),
    })
}

/// `sock:gettimeout()`: seconds by mode "b" and "t"; -1 is for ever.
fn gettimeout(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let Timeouts { block, total } = any(stack)?.timeouts.get();
    Ok(Outcome::Reply(Reply::two(
        block.unwrap_or(-1.0),
        total.unwrap_or(-1.0),
    )))
}

/// `sock:listen([backlog])`
fn listen(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = one_of(stack, &[MASTER], "tcp{master}")?;
    let backlog = read_backlog(stack, slot::BACKLOG)?;
    if stream.is_closed() {
        return Ok(closed());
    }
    let listening = stream.with_socket(|socket| socket.listen(backlog));
    if listening.is_ok() {
        stack.set_class(slot::SELF, SERVER);
    }
    Ok(done_or(listening))
}

/// `sock:receive([pattern [, prefix]])`
fn receive(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = one_of(stack, &[CLIENT], "tcp{client}")?;
    let pattern = read_pattern(stack)?;
    let prefix = if stack.is_absent(slot::PREFIX) {
        HeldBytes::new(b"")
    } else {
        stack.held(slot::PREFIX)?
    };
    let deadline = deadline(&stream);
    runtime.wait(
        stack,
        Operation::Receive(Receive::new(stream, pattern, prefix)),
        deadline,
    )
}

/// The pattern of `receive`: a number of bytes, `"*l"` or `"*a"`; the star may be left out.
fn read_pattern(stack: &Stack) -> Result<Pattern, Fault> {
    if stack.is_absent(slot::PATTERN) {
        return Ok(Pattern::Line);
    }
    if stack.is_numeric(slot::PATTERN) {
        let count = stack.number(slot::PATTERN)?;
        // LuaSocket cuts a fraction off.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range is checked"
        )]
        return if (0.0..=9_007_199_254_740_992.0).contains(&count) {
            Ok(Pattern::Count(count as usize))
        } else {
            Err(Fault::argument(slot::PATTERN, "invalid receive pattern"))
        };
    }
    let name = stack.bytes(slot::PATTERN)?;
    match name.strip_prefix(b"*").unwrap_or(name).first() {
        Some(b'l') => Ok(Pattern::Line),
        Some(b'a') => Ok(Pattern::All),
        _ => Err(Fault::argument(slot::PATTERN, "invalid receive pattern")),
    }
}

/// `sock:send(data [, i [, j]])`
fn send(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = one_of(stack, &[CLIENT], "tcp{client}")?;
    let data = stack.held(slot::DATA)?;
    let len = i64::try_from(data.as_slice().len()).unwrap_or(i64::MAX);
    let index = |slot, default| {
        if stack.is_absent(slot) {
            Ok(default)
        } else {
            stack.truncated(slot)
        }
    };
    let from_end = |index: i64| if index < 0 { len + index + 1 } else { index };
    let first = from_end(index(slot::FIRST, 1)?).max(1);
    let last = from_end(index(slot::LAST, -1)?).min(len);
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
        }),
        deadline,
    )
}

/// `sock:settimeout([seconds [, mode]])`: negative or nothing is for ever.
fn settimeout(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = any(stack)?;
    let seconds = stack
        .opt_seconds(slot::SECONDS)?
        .filter(|seconds| *seconds >= 0.0 && seconds.is_finite());
    let mode = if stack.is_absent(slot::MODE) {
        b"b"
    } else {
        stack.bytes(slot::MODE)?
    };
    let timeouts = stream.timeouts.get();
    stream.timeouts.set(match mode.first() {
        Some(b'b') => Timeouts {
            block: seconds,
            ..timeouts
        },
        Some(b't' | b'r') => Timeouts {
            total: seconds,
            ..timeouts
        },
        _ => return Err(Fault::argument(slot::MODE, "invalid timeout mode")),
    });
    Ok(done())
}

/// `sock:shutdown([how])`
fn shutdown(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = one_of(stack, &[CLIENT], "tcp{client}")?;
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

/// `tostring(sock)`
fn tostring(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let class = stack.class(slot::SELF, ANY).unwrap_or(MASTER);
    let name = match class {
        CLIENT => "tcp{client}",
        SERVER => "tcp{server}",
        _ => "tcp{master}",
    };
    Ok(Outcome::Reply(Reply::one(format!(
        "{name}: {:#x}",
        stack.address(slot::SELF)
    ))))
}
