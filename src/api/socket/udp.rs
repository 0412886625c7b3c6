//! The methods of UDP sockets, and those that messages between paths share with them.

use super::common::{
    Common, Role, SELF, Udp, closed, deadline, done, internet_address, self_as, self_of,
};
use super::functions::{bind_named, read_port};
use super::{DGRAM, UDP, UDP_CONNECTED};
use crate::api::method;
use crate::error::Fault;
use crate::runtime::stream::{ReceiveFrom, SendTo, Sender, Stream};
use crate::runtime::{Operation, Runtime};
use crate::sys::failure;
use crate::sys::names::{Family, Question};
use crate::sys::socket::{Address, Kind, Socket};
use crate::vm::{Function, Outcome, Reply, Stack, Value};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;

/// Those that all sockets have.
type All = Common<Udp>;

/// The methods, the same for both classes, as in LuaSocket.
pub(super) const METHODS: &[Function] = &[
    RECEIVE,
    RECEIVE_FROM,
    SEND,
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
    method!(waits c"sendto", sendto),
    method!(c"getpeername", getpeername),
    method!(c"getsockname", getsockname),
    method!(c"setpeername", setpeername),
    method!(waits c"setsockname", setsockname),
];

/// `receive`, of messages.
pub(super) const RECEIVE: Function = method!(waits c"receive", receive);
/// `receivefrom`, of messages.
pub(super) const RECEIVE_FROM: Function = method!(waits c"receivefrom", receivefrom);
/// `send`, of messages.
pub(super) const SEND: Function = method!(waits c"send", send);

/// The message of `send` and `sendto`, the size of `receive`, the host of `setpeername` and `setsockname`.
const FIRST: i32 = 2;
/// The host of `sendto`, the port of `setpeername` and `setsockname`.
const SECOND: i32 = 3;
/// The port of `sendto`.
const THIRD: i32 = 4;

/// Bytes of a message that are taken, unless the caller says otherwise: LuaSocket's number.
const DATAGRAM_SIZE: usize = 8192;

/// `socket.udp()`, `socket.udp4()` and `socket.udp6()`
pub(super) fn make(family: Family) -> Outcome {
    let socket = match family {
        Family::Unspecified => None,
        family => match Socket::new(family, Kind::Datagram) {
            Ok(socket) => Some(socket),
            Err(error) => return Outcome::Reply(Reply::failure(failure::word(&error))),
        },
    };
    let class = if family == Family::Unix { DGRAM } else { UDP };
    let stream = Stream::of_kind(Kind::Datagram, socket, family);
    Outcome::Reply(Reply::one(Value::Object(class, Rc::new(stream))))
}

/// How many bytes are to be taken.
fn read_size(stack: &Stack) -> Result<usize, Fault> {
    if stack.is_absent(FIRST) {
        return Ok(DATAGRAM_SIZE);
    }
    usize::try_from(stack.truncated(FIRST)?)
        .map_err(|_| Fault::argument(FIRST, "size out of range"))
}

/// `sock:receive([size])`
fn receive(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Datagram)?;
    take(runtime, stack, stream, Sender::Untold)
}

/// `sock:receivefrom([size])`
fn receivefrom(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Unconnected)?;
    let sender = if stream.family() == Family::Unix {
        Sender::Path
    } else {
        Sender::Internet
    };
    take(runtime, stack, stream, sender)
}

/// Takes a message.
fn take(
    runtime: &Runtime,
    stack: &Stack,
    stream: Rc<Stream>,
    sender: Sender,
) -> Result<Outcome, Fault> {
    let size = read_size(stack)?;
    let deadline = deadline(&stream);
    let receive = ReceiveFrom {
        stream,
        size,
        sender,
    };
    runtime.wait(stack, Operation::ReceiveFrom(receive), deadline)
}

/// `sock:send(message)`
fn send(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Connected)?;
    send_to(runtime, stack, stream, None)
}

/// Sends the message.
pub(super) fn send_to(
    runtime: &Runtime,
    stack: &Stack,
    stream: Rc<Stream>,
    address: Option<Address>,
) -> Result<Outcome, Fault> {
    let data = stack.held(FIRST)?;
    let deadline = deadline(&stream);
    let send = SendTo {
        stream,
        data,
        address,
    };
    runtime.wait(stack, Operation::SendTo(Box::new(send)), deadline)
}

/// `sock:sendto(message, ip, port)`
fn sendto(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Unconnected)?;
    stack.bytes(FIRST)?;
    let question = Question {
        host: Some(stack.text(SECOND)?.to_owned()),
        service: read_port(stack, THIRD)?,
        family: stream.family(),
        kind: Kind::Datagram,
    };
    if stream.is_closed() {
        return Ok(closed());
    }
    let opened = question
        .written()
        .and_then(|all| open_first(runtime, &stream, all));
    match opened {
        Ok(address) => send_to(runtime, stack, stream, Some(address)),
        Err(reason) => Ok(Outcome::Reply(Reply::failure(reason))),
    }
}

/// Makes sure that there is a socket of the first address's family that the system knows.
fn open_first(
    runtime: &Runtime,
    stream: &Stream,
    addresses: Vec<SocketAddr>,
) -> Result<Address, Cow<'static, str>> {
    let mut reason = Cow::Borrowed("no info on address");
    for address in addresses.into_iter().map(Address::from) {
        match stream.open(runtime, Family::of(&address)) {
            Ok(()) => {
                stream.settle(Family::of(&address));
                return Ok(address);
            }
            Err(error) => reason = failure::word(&error),
        }
    }
    Err(reason)
}

/// `sock:getpeername()`
fn getpeername(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Connected)?;
    Ok(internet_address(&stream, Socket::peer_address, |port| {
        i64::from(port).into()
    }))
}

/// `sock:getsockname()`
fn getsockname(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_of::<Udp>(stack)?;
    Ok(internet_address(&stream, Socket::local_address, |port| {
        port.to_string().into()
    }))
}

/// `sock:setpeername(address, port)`, or `sock:setpeername("*")`. Names are resolved in `names.lua`, which waits.
fn setpeername(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_of::<Udp>(stack)?;
    let host = stack.text(FIRST)?;
    if stream.is_closed() {
        return Ok(closed());
    }
    if host == "*" {
        // LuaSocket answers 1 whatever the system says: some systems call it an error when it is done.
        let _ = stream.with_socket(Socket::disconnect);
        stack.set_class(SELF, UDP);
        return Ok(done());
    }
    let question = Question {
        host: Some(host.to_owned()),
        service: read_port(stack, SECOND)?,
        family: stream.family(),
        kind: Kind::Datagram,
    };
    Ok(match connect_first(runtime, &stream, &question) {
        Ok(()) => {
            stack.set_class(SELF, UDP_CONNECTED);
            done()
        }
        Err(reason) => Outcome::Reply(Reply::failure(reason)),
    })
}

/// Connects to the first of a question's addresses that will do.
fn connect_first(
    runtime: &Runtime,
    stream: &Stream,
    question: &Question,
) -> Result<(), Cow<'static, str>> {
    let mut reason = Cow::Borrowed("no info on address");
    // Names have been looked up in `names.lua`.
    let answer = question.numeric();
    for address in
        answer.unwrap_or_else(|| Err("host or service not provided, or not known".into()))?
    {
        let address = Address::from(address);
        let opened = stream.open(runtime, Family::of(&address));
        let connected = opened.and_then(|()| stream.with_socket(|socket| socket.connect(&address)));
        match connected {
            Ok(()) => {
                stream.settle(Family::of(&address));
                return Ok(());
            }
            Err(error) => reason = failure::word(&error),
        }
    }
    Err(reason)
}

/// `sock:setsockname(address, port)`
fn setsockname(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Unconnected)?;
    bind_named(runtime, stack, stream, FIRST, SECOND)
}
