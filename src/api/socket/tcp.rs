//! The methods of TCP sockets, and those that streams of paths share with them.

use super::common::{
    Common, Role, Tcp, closed, deadline, done, done_or, internet_address, self_as, self_of,
};
use super::functions::{bind_named, read_backlog, read_question};
use super::{CLIENT, SERVER, UNIX_CLIENT, UNIX_MASTER, UNIX_SERVER, file, flow, message};
use crate::api::method;
use crate::error::Fault;
use crate::runtime::stream::{Accept, Connect, MAX_LINE, Target};
use crate::runtime::{Deadline, Moment, Operation, Runtime, now};
use crate::sys::socket::Socket;
use crate::vm::{Class, Function, Outcome, Reply, Stack, Value};
use std::net::Shutdown;

/// Those that all sockets have.
type All = Common<Tcp>;

/// The methods, the same for every class, as in LuaSocket.
pub(super) const METHODS: &[Function] = &[
    ACCEPT,
    flow::RECEIVE,
    flow::RECEIVE_ANY,
    flow::RECEIVE_UNTIL,
    flow::SEND,
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
        let most = flow::read_most(stack, slot::BACKLOG)?.unwrap_or(MAX_LINE);
        stream.max_line.set(most);
    }
    let before = i64::try_from(before).map_or(Value::Number(f64::INFINITY), Value::Integer);
    Ok(Outcome::Reply(Reply::one(before)))
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
