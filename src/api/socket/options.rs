//! Socket options, by LuaSocket's names. The fields of a table `options.lua` hands on as arguments.

use super::common::{SocketKind, closed, done, self_of};
use crate::error::Fault;
use crate::runtime::Runtime;
use crate::runtime::stream::Stream;
use crate::sys::failure;
use crate::sys::names::v4_of;
use crate::sys::socket::{Knob, Setting, Socket};
use crate::vm::{Outcome, Reply, Stack, Value};
use std::io;
use std::net::Ipv4Addr;

/// The option's name.
const NAME: i32 = 2;
/// The option's new value.
const VALUE: i32 = 3;
/// The first field of a value that is a table, which `options.lua` has read.
const FIRST: i32 = 4;
/// The second one.
const SECOND: i32 = 5;

/// An option.
struct Entry {
    /// Its name.
    name: &'static str,
    /// Who has it.
    owners: Owners,
    /// What can be done with it.
    access: Access,
    /// What it is.
    kind: Kind,
}

/// Whose option it is: kinds of sockets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Owners(u8);

impl Owners {
    /// TCP.
    pub(super) const TCP: Owners = Owners(1);
    /// UDP.
    pub(super) const UDP: Owners = Owners(2);
    /// Streams of paths.
    pub(super) const UNIX_STREAM: Owners = Owners(4);
    /// Messages of paths.
    pub(super) const UNIX_DATAGRAM: Owners = Owners(8);
    /// TCP and UDP.
    const INTERNET: Owners = Owners(Owners::TCP.0 | Owners::UDP.0);
    /// TCP and streams of paths.
    const STREAMS: Owners = Owners(Owners::TCP.0 | Owners::UNIX_STREAM.0);
    /// All.
    const ALL: Owners = Owners(15);

    /// Are they some of these?
    fn are_among(self, all: Owners) -> bool {
        self.0 & all.0 == self.0
    }
}

/// What can be done with an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Asked for.
    Get,
    /// Set.
    Set,
    /// Both.
    Both,
}

/// What an option is.
#[derive(Clone, Copy)]
enum Kind {
    /// On or off.
    Flag(Knob),
    /// A number.
    Number(Knob),
    /// Whether, and how many seconds, `close` goes on sending.
    Linger,
    /// The error that waits to be told.
    Error,
    /// The network device to be used alone.
    Device,
    /// Where multicasts go out.
    Interface,
    /// Whether multicasts to a group come in.
    Member4(bool),
    /// The same for IPv6.
    Member6(bool),
}

/// An option, in one line.
const fn entry(name: &'static str, owners: Owners, access: Access, kind: Kind) -> Entry {
    Entry {
        name,
        owners,
        access,
        kind,
    }
}

/// All options.
const ENTRIES: &[Entry] = {
    use Access::{Both, Get, Set};
    use Kind::{Flag, Number};
    const TCP: Owners = Owners::TCP;
    const UDP: Owners = Owners::UDP;
    const INTERNET: Owners = Owners::INTERNET;
    const STREAMS: Owners = Owners::STREAMS;
    const ALL: Owners = Owners::ALL;
    &[
        entry("tcp-nodelay", TCP, Both, Flag(Knob::NO_DELAY)),
        entry("keepalive", STREAMS, Both, Flag(Knob::KEEP_ALIVE)),
        entry("reuseaddr", ALL, Both, Flag(Knob::REUSE_ADDRESS)),
        entry("reuseport", INTERNET, Both, Flag(Knob::REUSE_PORT)),
        entry("ipv6-v6only", INTERNET, Both, Flag(Knob::ONLY_V6)),
        entry("recv-buffer-size", ALL, Both, Number(Knob::RECEIVE_BUFFER)),
        entry("send-buffer-size", ALL, Both, Number(Knob::SEND_BUFFER)),
        entry("tcp-keepidle", TCP, Both, Number(Knob::KEEP_IDLE)),
        entry("tcp-keepcnt", TCP, Both, Number(Knob::KEEP_COUNT)),
        entry("tcp-keepintvl", TCP, Both, Number(Knob::KEEP_INTERVAL)),
        entry("tcp-defer-accept", TCP, Set, Number(Knob::DEFER_ACCEPT)),
        entry("tcp-fastopen", TCP, Set, Number(Knob::FAST_OPEN)),
        entry(
            "tcp-fastopen-connect",
            TCP,
            Set,
            Number(Knob::FAST_OPEN_CONNECT),
        ),
        entry("linger", STREAMS, Both, Kind::Linger),
        entry("error", ALL, Get, Kind::Error),
        entry("bindtodevice", TCP, Both, Kind::Device),
        entry("dontroute", UDP, Both, Flag(Knob::DONT_ROUTE)),
        entry("broadcast", UDP, Both, Flag(Knob::BROADCAST)),
        entry("ip-multicast-if", UDP, Both, Kind::Interface),
        entry("ip-multicast-ttl", UDP, Set, Number(Knob::MULTICAST_TTL4)),
        entry("ip-multicast-loop", UDP, Both, Flag(Knob::MULTICAST_LOOP4)),
        entry("ip-add-membership", UDP, Set, Kind::Member4(true)),
        entry("ip-drop-membership", UDP, Set, Kind::Member4(false)),
        entry("ipv6-unicast-hops", UDP, Both, Number(Knob::UNICAST_HOPS6)),
        entry(
            "ipv6-multicast-hops",
            UDP,
            Both,
            Number(Knob::MULTICAST_HOPS6),
        ),
        entry(
            "ipv6-multicast-loop",
            UDP,
            Both,
            Flag(Knob::MULTICAST_LOOP6),
        ),
        entry("ipv6-add-membership", UDP, Set, Kind::Member6(true)),
        entry("ipv6-drop-membership", UDP, Set, Kind::Member6(false)),
    ]
};

/// `sock:setoption(name, value)`
pub(super) fn set<K: SocketKind>(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_of::<K>(stack)?;
    let kind = read_kind::<K>(stack, Access::Set)?;
    let setting = read_setting(stack, kind)?;
    Ok(if stream.is_closed() {
        closed()
    } else if stream.set(setting).is_ok() {
        done()
    } else {
        Outcome::Reply(Reply::failure("setsockopt failed"))
    })
}

/// The value of the option.
fn read_setting(stack: &Stack, kind: Kind) -> Result<Setting, Fault> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is out of range becomes the nearest"
    )]
    let number = |slot: i32| stack.number(slot).map(|number| number as i32);
    Ok(match kind {
        Kind::Flag(knob) => Setting::Number(knob, i32::from(stack.boolean(VALUE)?)),
        Kind::Number(knob) => Setting::Number(knob, number(VALUE)?),
        Kind::Linger => {
            check_table(stack)?;
            let on = stack.boolean(FIRST).map_err(|_| lacks("boolean 'on'"))?;
            let seconds = number(SECOND).map_err(|_| lacks("number 'timeout'"))?;
            let seconds = u16::try_from(seconds.max(0)).unwrap_or(u16::MAX);
            Setting::Linger(on.then_some(seconds))
        }
        Kind::Device => Setting::Device(stack.bytes(VALUE)?.to_vec()),
        Kind::Interface => Setting::Interface(read_v4(stack, VALUE, "ip expected")?),
        Kind::Member4(joins) => {
            check_table(stack)?;
            check_string(stack, FIRST, "string 'multiaddr'")?;
            let group = v4_of(stack.text(FIRST)?).ok_or_else(bad_group)?;
            check_string(stack, SECOND, "string 'interface'")?;
            let interface = read_v4(stack, SECOND, "invalid 'interface' ip address")?;
            Setting::Member4(group, interface, joins)
        }
        Kind::Member6(joins) => {
            check_table(stack)?;
            check_string(stack, FIRST, "string 'multiaddr'")?;
            let group = stack.text(FIRST)?.parse().map_err(|_| bad_group())?;
            let interface = if stack.is_absent(SECOND) {
                0
            } else {
                number(SECOND).map_err(|_| lacks("number 'interface'"))?
            };
            Setting::Member6(group, interface.cast_unsigned(), joins)
        }
        Kind::Error => return Err(Fault::argument(NAME, "unsupported option 'error'")),
    })
}

/// Makes sure that the value is a table.
fn check_table(stack: &Stack) -> Result<(), Fault> {
    if stack.is_table(VALUE) {
        Ok(())
    } else {
        Err(stack.expected(VALUE, "table"))
    }
}

/// Makes sure that a field of the value is a string, or a number, which becomes one.
fn check_string(stack: &Stack, slot: i32, field: &str) -> Result<(), Fault> {
    if stack.is_string(slot) || stack.is_numeric(slot) {
        Ok(())
    } else {
        Err(lacks(field))
    }
}

/// The fault of a value whose field is missing, or of the wrong type.
fn lacks(field: &str) -> Fault {
    Fault::argument(VALUE, format!("{field} field expected"))
}

/// The fault of a group that is no address.
fn bad_group() -> Fault {
    Fault::argument(VALUE, "invalid 'multiaddr' ip address")
}

/// An IPv4 address; `*` is any.
fn read_v4(stack: &Stack, slot: i32, problem: &'static str) -> Result<Ipv4Addr, Fault> {
    match stack.text(slot)? {
        "*" => Ok(Ipv4Addr::UNSPECIFIED),
        text => v4_of(text).ok_or_else(|| Fault::argument(VALUE, problem)),
    }
}

/// `sock:getoption(name)`
pub(super) fn get<K: SocketKind>(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_of::<K>(stack)?;
    let kind = read_kind::<K>(stack, Access::Get)?;
    if stream.is_closed() {
        return Ok(closed());
    }
    Ok(Outcome::Reply(match value_of(&stream, kind) {
        Ok(reply) => reply,
        Err(_) => Reply::failure("getsockopt failed"),
    }))
}

/// The value of an option; of `linger`, both parts.
fn value_of(stream: &Stream, kind: Kind) -> io::Result<Reply> {
    let number = |knob| stream.with_socket(|socket| socket.number(knob));
    Ok(match kind {
        Kind::Flag(knob) => Reply::one(number(knob)? != 0),
        Kind::Number(knob) => Reply::one(i64::from(number(knob)?)),
        Kind::Linger => {
            let seconds = stream.with_socket(Socket::linger)?;
            let time = i64::try_from(seconds.unwrap_or(0)).unwrap_or(i64::MAX);
            Reply::two(seconds.is_some(), time)
        }
        Kind::Error => match stream.with_socket(Socket::take_error)? {
            Some(error) => Reply::one(failure::word(&error)),
            None => Reply::one(Value::Nil),
        },
        Kind::Device => Reply::one(stream.with_socket(Socket::device)?),
        Kind::Interface => Reply::one(stream.with_socket(Socket::interface)?.to_string()),
        Kind::Member4(_) | Kind::Member6(_) => return Err(io::ErrorKind::Unsupported.into()),
    })
}

/// The option that is named, which the socket has.
fn read_kind<K: SocketKind>(stack: &Stack, access: Access) -> Result<Kind, Fault> {
    let name = stack.bytes(NAME)?;
    let found = ENTRIES.iter().find(|entry| {
        entry.name.as_bytes() == name
            && (entry.access == access || entry.access == Access::Both)
            && K::OPTIONS.are_among(entry.owners)
    });
    found.map(|entry| entry.kind).ok_or_else(|| {
        let shown: String = String::from_utf8_lossy(name).chars().take(35).collect();
        Fault::argument(NAME, format!("unsupported option '{shown}'"))
    })
}
