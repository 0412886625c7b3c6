//! The functions of `coev.socket`.

use super::common::closed;
use super::moving::class_of;
use super::{CLIENT, MASTER, SERVER, dns, file, select, udp, unix};
use crate::api::function;
use crate::error::Fault;
use crate::runtime::stream::{Bind, Connect, Purpose, Stream, Target};
use crate::runtime::{Deadline, Operation, Runtime};
use crate::sys::names::{Family, Question};
use crate::sys::socket::{Kind, Knob, Setting, Socket};
use crate::sys::{clock, failure};
use crate::vm::{Function, Outcome, Reply, Stack, Value};
use std::rc::Rc;

/// The functions.
pub(super) const FUNCTIONS: &[Function] = &[
    function!(c"tcp", tcp),
    function!(c"tcp4", tcp4),
    function!(c"tcp6", tcp6),
    function!(waits c"connect", connect),
    function!(waits c"bind", bind),
    function!(c"gettime", gettime),
    function!(c"udp", udp),
    function!(c"udp4", udp4),
    function!(c"udp6", udp6),
    function!(c"unix_stream", unix::stream),
    function!(c"unix_dgram", unix::dgram),
    function!(c"pair", unix::pair),
    function!(c"fdopen", fdopen),
    file::RELAY,
    select::WAIT,
    dns::ADDRESSES,
    dns::HOST,
    dns::NAMES,
    dns::OWN_NAME,
];

/// The arguments, by position.
mod slot {
    /// The host of `connect` and `bind`.
    pub(super) const HOST: i32 = 1;
    /// The port of `connect` and `bind`.
    pub(super) const PORT: i32 = 2;
    /// The backlog of `bind`.
    pub(super) const BACKLOG: i32 = 3;
    /// The local host of `connect`.
    pub(super) const LOCAL_HOST: i32 = 3;
    /// The local port of `connect`.
    pub(super) const LOCAL_PORT: i32 = 4;
    /// The family of `connect`.
    pub(super) const FAMILY: i32 = 5;
}

/// Clients that may wait to be accepted, unless the caller says otherwise: LuaSocket's number.
pub(super) const BACKLOG: i32 = 32;

/// `socket.tcp()`: the family is known at the first `bind` or `connect`.
fn tcp(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    let stream = Stream::new(None, Family::Unspecified);
    Ok(Outcome::Reply(Reply::one(Value::Object(
        MASTER,
        Rc::new(stream),
    ))))
}

/// `socket.gettime()`: seconds of the calendar, as LuaSocket's.
fn gettime(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(Reply::one(clock::calendar())))
}

/// `socket.tcp4()`
fn tcp4(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(master(Family::V4))
}

/// `socket.tcp6()`
fn tcp6(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(master(Family::V6))
}

/// `socket.udp()`: the family is known at the first address.
fn udp(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(udp::make(Family::Unspecified))
}

/// `socket.udp4()`
fn udp4(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(udp::make(Family::V4))
}

/// `socket.udp6()`
fn udp6(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(udp::make(Family::V6))
}

/// `socket.fdopen(fd [, unread])`: an object of the class that fits; the descriptor is its own from now on.
fn fdopen(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let fd = i32::try_from(stack.integer(slot::HOST)?)
        .map_err(|_| Fault::argument(slot::HOST, "descriptor out of range"))?;
    let unread = if stack.is_absent(slot::PORT) {
        b""
    } else {
        stack.bytes(slot::PORT)?
    };
    let (socket, nature) = match Socket::adopt(fd) {
        Ok(adopted) => adopted,
        Err(error) => return Ok(Outcome::Reply(Reply::failure(failure::word(&error)))),
    };
    let class = class_of(&nature);
    let stream = Stream::of_kind(nature.kind, Some(socket), nature.family);
    stream.add_unread(unread);
    Ok(Outcome::Reply(Reply::one(Value::Object(
        class,
        Rc::new(stream),
    ))))
}

/// A master socket of a known family.
fn master(family: Family) -> Outcome {
    Outcome::Reply(match Socket::new(family, Kind::Stream) {
        Ok(socket) => Reply::one(Value::Object(
            MASTER,
            Rc::new(Stream::new(Some(socket), family)),
        )),
        Err(error) => Reply::failure(failure::word(&error)),
    })
}

/// `socket.connect(host, port [, local host [, local port [, family]]])`
fn connect(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let family = read_family(stack, slot::FAMILY)?;
    let question = read_question(stack, slot::HOST, slot::PORT, family)?;
    let stream = Rc::new(Stream::new(None, Family::Unspecified));
    let local = if stack.is_absent(slot::LOCAL_HOST) {
        None
    } else {
        let service = if stack.is_absent(slot::LOCAL_PORT) {
            "0".into()
        } else {
            read_port(stack, slot::LOCAL_PORT)?
        };
        Some(Question {
            host: read_bind_host(stack, slot::LOCAL_HOST)?,
            service,
            family,
            kind: Kind::Stream,
        })
    };
    let connect = Connect::new(stream, local, question, Target::Object(CLIENT));
    runtime.wait(
        stack,
        Operation::Connect(Box::new(connect)),
        Deadline::Never,
    )
}

/// `socket.bind(host, port [, backlog])`: a listening socket, its address to be used again at once.
fn bind(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let host = read_bind_host(stack, slot::HOST)?;
    let service = read_port(stack, slot::PORT)?;
    let backlog = read_backlog(stack, slot::BACKLOG)?;
    // LuaSocket's "*" is every IPv4 address here.
    let family = if host.is_none() {
        Family::V4
    } else {
        Family::Unspecified
    };
    let question = Question {
        host,
        service,
        family,
        kind: Kind::Stream,
    };
    let stream = Stream::new(None, Family::Unspecified);
    if let Err(error) = stream.set(Setting::Number(Knob::REUSE_ADDRESS, 1)) {
        return Ok(Outcome::Reply(Reply::failure(failure::word(&error))));
    }
    let purpose = Purpose::Listen(backlog, SERVER);
    wait_bound(
        runtime,
        stack,
        Bind::new(Rc::new(stream), question, purpose),
    )
}

/// Binds a socket to the host and the port at these slots.
pub(super) fn bind_named(
    runtime: &Runtime,
    stack: &Stack,
    stream: Rc<Stream>,
    host: i32,
    port: i32,
) -> Result<Outcome, Fault> {
    let host = read_bind_host(stack, host)?;
    let family = match (stream.family(), &host) {
        (Family::Unspecified, None) => Family::V4,
        (family, _) => family,
    };
    let question = Question {
        host,
        service: read_port(stack, port)?,
        family,
        kind: stream.kind(),
    };
    if stream.is_closed() {
        return Ok(closed());
    }
    let bind = Bind::new(stream, question, Purpose::Address);
    wait_bound(runtime, stack, bind)
}

/// Binds now, or when the name has been looked up.
fn wait_bound(runtime: &Runtime, stack: &Stack, bind: Bind) -> Result<Outcome, Fault> {
    match bind.at_once(runtime) {
        Some(reply) => Ok(Outcome::Reply(reply)),
        None => runtime.wait(stack, Operation::Bind(Box::new(bind)), Deadline::Never),
    }
}

/// Whom to connect to.
pub(super) fn read_question(
    stack: &Stack,
    host: i32,
    port: i32,
    family: Family,
) -> Result<Question, Fault> {
    Ok(Question {
        host: Some(stack.text(host)?.to_owned()),
        service: read_port(stack, port)?,
        family,
        kind: Kind::Stream,
    })
}

/// A host to bind to; `*` is every local address.
pub(super) fn read_bind_host(stack: &Stack, slot: i32) -> Result<Option<String>, Fault> {
    let host = stack.text(slot)?;
    Ok((host != "*").then(|| host.to_owned()))
}

/// A port: a number from 0 to 65535, or the name of a service.
pub(super) fn read_port(stack: &Stack, slot: i32) -> Result<String, Fault> {
    if !stack.is_numeric(slot) {
        return stack.text(slot).map(str::to_owned);
    }
    let port = stack.integer(slot)?;
    if u16::try_from(port).is_err() {
        return Err(Fault::argument(slot, "port out of range"));
    }
    Ok(port.to_string())
}

/// How many clients may wait to be accepted.
pub(super) fn read_backlog(stack: &Stack, slot: i32) -> Result<i32, Fault> {
    if stack.is_absent(slot) {
        return Ok(BACKLOG);
    }
    i32::try_from(stack.truncated(slot)?).map_err(|_| Fault::argument(slot, "backlog out of range"))
}

/// The family by LuaSocket's names.
fn read_family(stack: &Stack, slot: i32) -> Result<Family, Fault> {
    if stack.is_absent(slot) {
        return Ok(Family::Unspecified);
    }
    match stack.bytes(slot)? {
        b"unspec" => Ok(Family::Unspecified),
        b"inet" | b"inet4" => Ok(Family::V4),
        b"inet6" => Ok(Family::V6),
        other => Err(Fault::argument(
            slot,
            format!("invalid option '{}'", String::from_utf8_lossy(other)),
        )),
    }
}
