//! What sockets of all classes have in common.

use super::options::{self, Owners};
use super::{
    ANY, CLASSES, CLIENT, DGRAM, DGRAM_CONNECTED, MASTER, SERVER, UDP, UDP_CONNECTED, UNIX_CLIENT,
    UNIX_MASTER, UNIX_SERVER,
};
use crate::api::{function, method};
use crate::error::Fault;
use crate::runtime::stream::{Stream, Timeouts};
use crate::runtime::{Deadline, Runtime};
use crate::sys::failure;
use crate::sys::names::{Family, host_text};
use crate::sys::socket::{Address, Socket};
use crate::vm::{Class, Function, Outcome, Reply, Stack, Value};
use std::io;
use std::marker::PhantomData;
use std::rc::Rc;

/// `tostring(sock)`
pub(super) const TOSTRING: Function = function!(c"tostring", tostring);

/// A kind of sockets: the classes between which one of them changes. Its methods take no other kind's sockets.
pub(super) trait SocketKind {
    /// The classes.
    const CLASSES: &'static [Class];
    /// What LuaSocket calls all of them.
    const NAME: &'static str;
    /// The options that it has.
    const OPTIONS: Owners;
}

/// TCP.
pub(super) struct Tcp;
/// UDP.
pub(super) struct Udp;
/// Streams of paths.
pub(super) struct UnixStream;
/// Messages of paths.
pub(super) struct UnixDatagram;

impl SocketKind for Tcp {
    const CLASSES: &'static [Class] = &[MASTER, CLIENT, SERVER];
    const NAME: &'static str = "tcp{any}";
    const OPTIONS: Owners = Owners::TCP;
}

impl SocketKind for Udp {
    const CLASSES: &'static [Class] = &[UDP, UDP_CONNECTED];
    const NAME: &'static str = "udp{any}";
    const OPTIONS: Owners = Owners::UDP;
}

impl SocketKind for UnixStream {
    const CLASSES: &'static [Class] = &[UNIX_MASTER, UNIX_CLIENT, UNIX_SERVER];
    const NAME: &'static str = "unixstream{any}";
    const OPTIONS: Owners = Owners::UNIX_STREAM;
}

impl SocketKind for UnixDatagram {
    const CLASSES: &'static [Class] = &[DGRAM, DGRAM_CONNECTED];
    const NAME: &'static str = "unixdgram{any}";
    const OPTIONS: Owners = Owners::UNIX_DATAGRAM;
}

/// The methods that all kinds have, for one of them.
pub(super) struct Common<K>(PhantomData<K>);

impl<K: SocketKind> Common<K> {
    /// `close`.
    pub(super) const CLOSE: Function = method!(c"close", close::<K>);
    /// `detach`.
    pub(super) const DETACH: Function = method!(c"detach", detach::<K>);
    /// `dirty`.
    pub(super) const DIRTY: Function = method!(c"dirty", dirty::<K>);
    /// `getfamily`.
    pub(super) const GETFAMILY: Function = method!(c"getfamily", getfamily::<K>);
    /// `getfd`.
    pub(super) const GETFD: Function = method!(c"getfd", getfd::<K>);
    /// `getoption`.
    pub(super) const GETOPTION: Function = method!(c"getoption", options::get::<K>);
    /// `gettimeout`.
    pub(super) const GETTIMEOUT: Function = method!(c"gettimeout", gettimeout::<K>);
    /// `setfd`.
    pub(super) const SETFD: Function = method!(c"setfd", setfd::<K>);
    /// `setoption`.
    pub(super) const SETOPTION: Function = method!(c"setoption", options::set::<K>);
    /// `settimeout`.
    pub(super) const SETTIMEOUT: Function = method!(c"settimeout", settimeout::<K>);
}

/// The socket of every method.
pub(super) const SELF: i32 = 1;
/// The seconds of `settimeout`, the descriptor of `setfd`.
const FIRST: i32 = 2;
/// The mode of `settimeout`.
const MODE: i32 = 3;

/// What a method wants its socket to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// A stream that is neither connected nor listening.
    Master,
    /// A connected stream.
    Client,
    /// A listening stream.
    Server,
    /// A stream, whatever it does.
    Stream,
    /// A socket of messages without a peer.
    Unconnected,
    /// One with a peer.
    Connected,
    /// Either.
    Datagram,
}

impl Role {
    /// The classes that have the role: of internet addresses, and of paths.
    pub(super) fn classes(self) -> &'static [Class] {
        match self {
            Role::Master => &[MASTER, UNIX_MASTER],
            Role::Client => &[CLIENT, UNIX_CLIENT],
            Role::Server => &[SERVER, UNIX_SERVER],
            Role::Stream => &[
                MASTER,
                CLIENT,
                SERVER,
                UNIX_MASTER,
                UNIX_CLIENT,
                UNIX_SERVER,
            ],
            Role::Unconnected => &[UDP, DGRAM],
            Role::Connected => &[UDP_CONNECTED, DGRAM_CONNECTED],
            Role::Datagram => &[UDP, UDP_CONNECTED, DGRAM, DGRAM_CONNECTED],
        }
    }

    /// What LuaSocket calls it.
    fn name(self, of_paths: bool) -> &'static str {
        match (self, of_paths) {
            (Role::Master, false) => "tcp{master}",
            (Role::Client, false) => "tcp{client}",
            (Role::Server, false) => "tcp{server}",
            (Role::Stream, false) => "tcp{any}",
            (Role::Unconnected, false) => "udp{unconnected}",
            (Role::Connected, false) => "udp{connected}",
            (Role::Datagram, false) => "udp{any}",
            (Role::Master, true) => "unixstream{master}",
            (Role::Client, true) => "unixstream{client}",
            (Role::Server, true) => "unixstream{server}",
            (Role::Stream, true) => "unixstream{any}",
            (Role::Unconnected, true) => "unixdgram{unconnected}",
            (Role::Connected, true) => "unixdgram{connected}",
            (Role::Datagram, true) => "unixdgram{any}",
        }
    }
}

/// The socket, which has the role.
#[inline]
pub(super) fn self_as(stack: &Stack, role: Role) -> Result<Rc<Stream>, Fault> {
    let of_paths = || {
        let paths = [
            UNIX_MASTER,
            UNIX_CLIENT,
            UNIX_SERVER,
            DGRAM,
            DGRAM_CONNECTED,
        ];
        stack.class(SELF, &paths).is_some()
    };
    stack
        .object(SELF, role.classes(), "socket")
        .map_err(|_| stack.expected(SELF, role.name(of_paths())))
}

/// The socket, which is of the kind.
pub(super) fn self_of<K: SocketKind>(stack: &Stack) -> Result<Rc<Stream>, Fault> {
    stack
        .object(SELF, K::CLASSES, "socket")
        .map_err(|_| stack.expected(SELF, K::NAME))
}

/// The deadline of a call that begins now.
pub(super) fn deadline(stream: &Stream) -> Deadline {
    Deadline::after(stream.timeouts.get().nearest())
}

/// What LuaSocket answers when something is done: the number 1.
pub(super) fn done() -> Outcome {
    Outcome::Reply(Reply::one(1_i64))
}

/// What a closed socket answers to everything but a second `close`.
pub(super) fn closed() -> Outcome {
    Outcome::Reply(Reply::failure("closed"))
}

/// 1, or `nil` and the reason.
pub(super) fn done_or(result: io::Result<()>) -> Outcome {
    match result {
        Ok(()) => done(),
        Err(error) => Outcome::Reply(Reply::failure(failure::word(&error))),
    }
}

/// Address, port and family.
pub(super) fn internet_address(
    stream: &Stream,
    which: fn(&Socket) -> io::Result<Address>,
    port: fn(u16) -> Value,
) -> Outcome {
    if stream.is_closed() {
        return closed();
    }
    let family = match stream.family() {
        Family::V4 => "inet",
        Family::V6 => "inet6",
        Family::Unspecified | Family::Unix => "unspec",
    };
    Outcome::Reply(match stream.with_socket(which) {
        Ok(address) => match address.as_socket() {
            Some(address) => Reply::three(host_text(&address), port(address.port()), family),
            None => Reply::failure("unknown address family"),
        },
        Err(error) => Reply::failure(failure::word(&error)),
    })
}

/// `sock:close()`
fn close<K: SocketKind>(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    self_of::<K>(stack)?.close(runtime);
    Ok(done())
}

/// `sock:detach()` → the descriptor, which nobody closes now, and what had been read and not yet asked for.
fn detach<K: SocketKind>(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_of::<K>(stack)?;
    let Some(fd) = stream.release(runtime) else {
        return Ok(closed());
    };
    let unread = stream.take_unread();
    stream.close(runtime);
    Ok(Outcome::Reply(Reply::two(i64::from(fd), unread)))
}

/// `sock:dirty()`: is there something that was read and not yet asked for?
fn dirty<K: SocketKind>(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_of::<K>(stack)?;
    Ok(Outcome::Reply(Reply::one(stream.is_dirty())))
}

/// `sock:getfamily()`
fn getfamily<K: SocketKind>(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(Reply::one(
        match self_of::<K>(stack)?.family() {
            Family::V6 => "inet6",
            Family::Unix => "unix",
            Family::V4 | Family::Unspecified => "inet4",
        },
    )))
}

/// `sock:getfd()`: the descriptor, or -1.
fn getfd<K: SocketKind>(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let fd = self_of::<K>(stack)?.with_socket(|socket| Ok(i64::from(socket.fd())));
    Ok(Outcome::Reply(Reply::one(fd.unwrap_or(-1))))
}

/// `sock:setfd(fd)`: takes a descriptor in place of its own, which stays open; -1 is none.
fn setfd<K: SocketKind>(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_of::<K>(stack)?;
    let fd = stack.integer(FIRST)?;
    if fd < 0 {
        stream.release(runtime);
        return Ok(Outcome::Reply(Reply::none()));
    }
    let adopted = i32::try_from(fd).map_err(|_| io::ErrorKind::InvalidInput.into());
    let Ok((socket, nature)) = adopted.and_then(Socket::adopt) else {
        return Err(Fault::argument(FIRST, "no descriptor of a socket"));
    };
    stream.release(runtime);
    stream.embrace(socket, nature.family);
    Ok(Outcome::Reply(Reply::none()))
}

/// `sock:gettimeout()`: seconds by mode "b" and "t"; -1 is for ever.
fn gettimeout<K: SocketKind>(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let Timeouts { block, total } = self_of::<K>(stack)?.timeouts.get();
    Ok(Outcome::Reply(Reply::two(
        block.unwrap_or(-1.0),
        total.unwrap_or(-1.0),
    )))
}

/// `sock:settimeout([seconds [, mode]])`: negative or nothing is for ever.
fn settimeout<K: SocketKind>(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_of::<K>(stack)?;
    let seconds = stack
        .opt_seconds(FIRST)?
        .filter(|seconds| *seconds >= 0.0 && seconds.is_finite());
    let mode = if stack.is_absent(MODE) {
        b"b"
    } else {
        stack.bytes(MODE)?
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
        _ => return Err(Fault::argument(MODE, "invalid timeout mode")),
    });
    Ok(done())
}

/// `tostring(sock)`
fn tostring(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let class = stack.class(SELF, ANY).unwrap_or(MASTER);
    let name = CLASSES[usize::from(class.0)].name.to_string_lossy();
    let address = stack.address(SELF);
    Ok(Outcome::Reply(Reply::one(format!("{name}: {address:#x}"))))
}
