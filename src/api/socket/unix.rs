//! Sockets whose addresses are paths: streams and messages.

use super::common::{
    Common, Role, SELF, SocketKind, UnixDatagram, UnixStream, closed, done_or, self_as, self_of,
};
use super::{DGRAM_CONNECTED, UNIX_CLIENT, UNIX_MASTER, file, flow, message, tcp, udp};
use crate::api::method;
use crate::error::Fault;
use crate::runtime::Runtime;
use crate::runtime::stream::Stream;
use crate::sys::failure;
use crate::sys::names::Family;
use crate::sys::socket::{Address, Kind, Socket, path_address, path_of};
use crate::vm::{Class, Function, Outcome, Reply, Stack, Value};
use std::io;
use std::rc::Rc;

/// The methods of streams.
pub(super) const STREAM_METHODS: &[Function] = &[
    tcp::ACCEPT,
    flow::RECEIVE,
    flow::RECEIVE_ANY,
    flow::RECEIVE_UNTIL,
    flow::SEND,
    tcp::SHUTDOWN,
    tcp::LISTEN,
    tcp::GETSTATS,
    tcp::SETSTATS,
    tcp::SETMAXLINE,
    message::RECEIVE,
    message::SEND,
    file::SENDFILE,
    Common::<UnixStream>::GETOPTION,
    Common::<UnixStream>::SETOPTION,
    Common::<UnixStream>::CLOSE,
    Common::<UnixStream>::DETACH,
    Common::<UnixStream>::DIRTY,
    Common::<UnixStream>::GETFAMILY,
    Common::<UnixStream>::GETFD,
    Common::<UnixStream>::GETTIMEOUT,
    Common::<UnixStream>::SETFD,
    Common::<UnixStream>::SETTIMEOUT,
    method!(c"bind", bind),
    method!(c"connect", connect),
    method!(c"getpeername", getpeername::<UnixStream>),
    method!(c"getsockname", getsockname::<UnixStream>),
    method!(c"setpeername", connect),
    method!(c"setsockname", bind),
];

/// The methods of messages.
pub(super) const DATAGRAM_METHODS: &[Function] = &[
    udp::RECEIVE,
    udp::RECEIVE_FROM,
    udp::SEND,
    Common::<UnixDatagram>::GETOPTION,
    Common::<UnixDatagram>::SETOPTION,
    Common::<UnixDatagram>::CLOSE,
    Common::<UnixDatagram>::DETACH,
    Common::<UnixDatagram>::DIRTY,
    Common::<UnixDatagram>::GETFAMILY,
    Common::<UnixDatagram>::GETFD,
    Common::<UnixDatagram>::GETTIMEOUT,
    Common::<UnixDatagram>::SETFD,
    Common::<UnixDatagram>::SETTIMEOUT,
    method!(c"bind", bind_datagram),
    method!(c"connect", connect_datagram),
    method!(c"getpeername", getpeername::<UnixDatagram>),
    method!(c"getsockname", getsockname::<UnixDatagram>),
    method!(waits c"sendto", sendto),
    method!(c"setpeername", connect_datagram),
    method!(c"setsockname", bind_datagram),
];

/// The path of `bind` and `connect`.
const PATH: i32 = 2;
/// The path of `sendto`.
const RECEIVER: i32 = 3;

/// `unix.stream()`
pub(super) fn stream(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(
        match Socket::new(Family::Unix, Kind::Stream) {
            Ok(socket) => {
                let stream = Stream::new(Some(socket), Family::Unix);
                Reply::one(Value::Object(UNIX_MASTER, Rc::new(stream)))
            }
            Err(error) => Reply::failure(failure::word(&error)),
        },
    ))
}

/// `unix.dgram()`
pub(super) fn dgram(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(udp::make(Family::Unix))
}

/// `socket.pair()` → two connected streams
pub(super) fn pair(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    let object = |socket| {
        let stream = Stream::new(Some(socket), Family::Unix);
        Value::Object(UNIX_CLIENT, Rc::new(stream))
    };
    Ok(Outcome::Reply(match Socket::pair() {
        Ok((near, far)) => Reply::two(object(near), object(far)),
        Err(error) => Reply::failure(failure::word(&error)),
    }))
}

/// The address of the path at `slot`.
fn read_address(stack: &Stack, slot: i32) -> Result<Result<Address, Outcome>, Fault> {
    let too_long = || Outcome::Reply(Reply::failure("path too long"));
    Ok(path_address(stack.bytes(slot)?).ok_or_else(too_long))
}

/// `sock:bind(path)`
fn bind(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    bind_to(stack, &*self_as(stack, Role::Master)?)
}

/// `sock:bind(path)`, of messages.
fn bind_datagram(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    bind_to(stack, &*self_as(stack, Role::Unconnected)?)
}

/// Binds to the path.
fn bind_to(stack: &Stack, stream: &Stream) -> Result<Outcome, Fault> {
    Ok(match read_address(stack, PATH)? {
        _ if stream.is_closed() => closed(),
        Ok(address) => done_or(stream.with_socket(|socket| socket.bind(&address))),
        Err(outcome) => outcome,
    })
}

/// `sock:connect(path)`: with paths that is done at once, or it fails.
fn connect(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Master)?;
    connect_to(stack, &stream, UNIX_CLIENT)
}

/// `sock:connect(path)`, of messages.
fn connect_datagram(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Datagram)?;
    connect_to(stack, &stream, DGRAM_CONNECTED)
}

/// Connects to the path; the socket is of the class then.
fn connect_to(stack: &Stack, stream: &Stream, class: Class) -> Result<Outcome, Fault> {
    Ok(match read_address(stack, PATH)? {
        _ if stream.is_closed() => closed(),
        Ok(address) => {
            let connected = stream.with_socket(|socket| socket.connect(&address));
            if connected.is_ok() {
                stack.set_class(SELF, class);
            }
            done_or(connected)
        }
        Err(outcome) => outcome,
    })
}

/// `sock:sendto(message, path)`
fn sendto(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Unconnected)?;
    stack.bytes(RECEIVER - 1)?;
    match read_address(stack, RECEIVER)? {
        _ if stream.is_closed() => Ok(closed()),
        Ok(address) => udp::send_to(runtime, stack, stream, Some(address)),
        Err(outcome) => Ok(outcome),
    }
}

/// `sock:getsockname()` → the path
fn getsockname<K: SocketKind>(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    path_named::<K>(stack, Socket::local_address)
}

/// `sock:getpeername()` → the path
fn getpeername<K: SocketKind>(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    path_named::<K>(stack, Socket::peer_address)
}

/// A path of the socket's, empty without one.
fn path_named<K: SocketKind>(
    stack: &Stack,
    which: fn(&Socket) -> io::Result<Address>,
) -> Result<Outcome, Fault> {
    let stream = self_of::<K>(stack)?;
    Ok(match stream.with_socket(which) {
        _ if stream.is_closed() => closed(),
        Ok(address) => Outcome::Reply(Reply::one(path_of(&address))),
        Err(error) => Outcome::Reply(Reply::failure(failure::word(&error))),
    })
}
