//! Socket options, by LuaSocket's names. What it takes in tables, `options.lua` hands on as arguments.

use super::common::{Role, SELF, closed, done, self_as};
use super::{UDP, UDP_CONNECTED};
use crate::api::method;
use crate::error::Fault;
use crate::runtime::Runtime;
use crate::runtime::stream::Stream;
use crate::sys::failure;
use crate::sys::socket::{Knob, Setting, Socket};
use crate::vm::{Function, Outcome, Reply, Stack, Value};
use std::io;

/// `getoption`, of every class.
pub(super) const GET: Function = method!(c"getoption", get);
/// `setoption`, of every class.
pub(super) const SET: Function = method!(c"setoption", set);

/// The option's name.
const NAME: i32 = 2;
/// The option's new value, or the first of several.
const VALUE: i32 = 3;
/// The second of several.
const SECOND: i32 = 4;

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

/// Whose option it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owners {
    /// Streams.
    Streams,
    /// Messages.
    Datagrams,
    /// Both.
    All,
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
    use Owners::{All, Datagrams, Streams};
    &[
        entry("tcp-nodelay", Streams, Both, Flag(Knob::NO_DELAY)),
        entry("keepalive", Streams, Both, Flag(Knob::KEEP_ALIVE)),
        entry("reuseaddr", All, Both, Flag(Knob::REUSE_ADDRESS)),
        entry("reuseport", All, Both, Flag(Knob::REUSE_PORT)),
        entry("ipv6-v6only", All, Both, Flag(Knob::ONLY_V6)),
        entry("recv-buffer-size", All, Both, Number(Knob::RECEIVE_BUFFER)),
        entry("send-buffer-size", All, Both, Number(Knob::SEND_BUFFER)),
        entry("tcp-keepidle", Streams, Both, Number(Knob::KEEP_IDLE)),
        entry("tcp-keepcnt", Streams, Both, Number(Knob::KEEP_COUNT)),
        entry("tcp-keepintvl", Streams, Both, Number(Knob::KEEP_INTERVAL)),
        entry("tcp-defer-accept", Streams, Set, Number(Knob::DEFER_ACCEPT)),
        entry("tcp-fastopen", Streams, Set, Number(Knob::FAST_OPEN)),
        entry(
            "tcp-fastopen-connect",
            Streams,
            Set,
            Number(Knob::FAST_OPEN_CONNECT),
        ),
        entry("linger", Streams, Both, Kind::Linger),
        entry("error", All, Get, Kind::Error),
        entry("bindtodevice", Streams, Both, Kind::Device),
        entry("dontroute", Datagrams, Both, Flag(Knob::DONT_ROUTE)),
        entry("broadcast", Datagrams, Both, Flag(Knob::BROADCAST)),
        entry("ip-multicast-if", Datagrams, Both, Kind::Interface),
        entry(
            "ip-multicast-ttl",
            Datagrams,
            Set,
            Number(Knob::MULTICAST_TTL4),
        ),
        entry(
            "ip-multicast-loop",
            Datagrams,
            Both,
            Flag(Knob::MULTICAST_LOOP4),
        ),
        entry("ip-add-membership", Datagrams, Set, Kind::Member4(true)),
        entry("ip-drop-membership", Datagrams, Set, Kind::Member4(false)),
        entry(
            "ipv6-unicast-hops",
            Datagrams,
            Both,
            Number(Knob::UNICAST_HOPS6),
        ),
        entry(
            "ipv6-multicast-hops",
            Datagrams,
            Both,
            Number(Knob::MULTICAST_HOPS6),
        ),
        entry(
            "ipv6-multicast-loop",
            Datagrams,
            Both,
            Flag(Knob::MULTICAST_LOOP6),
        ),
        entry("ipv6-add-membership", Datagrams, Set, Kind::Member6(true)),
        entry("ipv6-drop-membership", Datagrams, Set, Kind::Member6(false)),
    ]
};

/// `sock:setoption(name, value)`
fn set(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Any)?;
    let kind = read_kind(stack, Access::Set)?;
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
    let address = |slot: i32, problem: &'static str| {
        let parsed = stack.text(slot)?.parse();
        parsed.map_err(|_| Fault::argument(VALUE, problem))
    };
    let group = "invalid 'multiaddr' ip address";
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is out of range becomes the nearest"
    )]
    let number = |slot: i32| stack.number(slot).map(|number| number as i32);
    Ok(match kind {
        Kind::Flag(knob) => Setting::Number(knob, i32::from(stack.boolean(VALUE)?)),
        Kind::Number(knob) => Setting::Number(knob, number(VALUE)?),
        Kind::Linger => {
            let seconds = u16::try_from(number(SECOND)?.max(0)).unwrap_or(u16::MAX);
            Setting::Linger(stack.boolean(VALUE)?.then_some(seconds))
        }
        Kind::Device => Setting::Device(stack.bytes(VALUE)?.to_vec()),
        Kind::Interface if stack.bytes(VALUE)? == b"*" => {
            Setting::Interface(std::net::Ipv4Addr::UNSPECIFIED)
        }
        Kind::Interface => Setting::Interface(address(VALUE, "ip expected")?),
        Kind::Member4(joins) => {
            let interface = if stack.bytes(SECOND)? == b"*" {
                std::net::Ipv4Addr::UNSPECIFIED
            } else {
                address(SECOND, "invalid 'interface' ip address")?
            };
            Setting::Member4(address(VALUE, group)?, interface, joins)
        }
        Kind::Member6(joins) => {
            let parsed = stack.text(VALUE)?.parse();
            let group = parsed.map_err(|_| Fault::argument(VALUE, group))?;
            let interface = if stack.is_absent(SECOND) {
                0
            } else {
                number(SECOND)?
            };
            Setting::Member6(group, interface.cast_unsigned(), joins)
        }
        Kind::Error => return Err(Fault::argument(NAME, "unsupported option 'error'")),
    })
}

/// `sock:getoption(name)`
fn get(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Any)?;
    let kind = read_kind(stack, Access::Get)?;
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
fn read_kind(stack: &Stack, access: Access) -> Result<Kind, Fault> {
    let name = stack.bytes(NAME)?;
    let datagrams = stack
        .class(
            SELF,
            &[UDP, UDP_CONNECTED, super::DGRAM, super::DGRAM_CONNECTED],
        )
        .is_some();
    let found = ENTRIES.iter().find(|entry| {
        entry.name.as_bytes() == name
            && (entry.access == access || entry.access == Access::Both)
            && (entry.owners == Owners::All || (entry.owners == Owners::Datagrams) == datagrams)
    });
    found.map(|entry| entry.kind).ok_or_else(|| {
        let shown: String = String::from_utf8_lossy(name).chars().take(35).collect();
        Fault::argument(NAME, format!("unsupported option '{shown}'"))
    })
}
