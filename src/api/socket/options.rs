//! Socket options, by LuaSocket's names.

use super::ANY;
use crate::error::Fault;
use crate::runtime::Runtime;
use crate::runtime::stream::Stream;
use crate::sys::failure;
use crate::sys::socket::Flag;
use crate::vm::{Outcome, Reply, Stack};
use std::rc::Rc;

/// The arguments, by position.
mod slot {
    /// The socket.
    pub(super) const SELF: i32 = 1;
    /// The option's name.
    pub(super) const NAME: i32 = 2;
    /// The option's new value.
    pub(super) const VALUE: i32 = 3;
}

/// The options that are on or off.
const FLAGS: [(&[u8], Flag); 3] = [
    (b"tcp-nodelay", Flag::NoDelay),
    (b"reuseaddr", Flag::ReuseAddress),
    (b"keepalive", Flag::KeepAlive),
];

/// `sock:setoption(name, on)`
pub(super) fn set(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream: Rc<Stream> = stack.object(slot::SELF, ANY, "tcp{any}")?;
    let flag = read_flag(stack)?;
    let on = stack.boolean(slot::VALUE)?;
    Ok(Outcome::Reply(if stream.is_closed() {
        Reply::failure("closed")
    } else if stream.set_flag(flag, on).is_ok() {
        Reply::one(1_i64)
    } else {
        Reply::failure("setsockopt failed")
    }))
}

/// `sock:getoption(name)`
pub(super) fn get(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream: Rc<Stream> = stack.object(slot::SELF, ANY, "tcp{any}")?;
    let flag = read_flag(stack)?;
    Ok(Outcome::Reply(if stream.is_closed() {
        Reply::failure("closed")
    } else {
        match stream.with_socket(|socket| socket.flag(flag)) {
            Ok(on) => Reply::one(on),
            Err(error) => Reply::failure(failure::word(&error)),
        }
    }))
}

/// The option that is named.
fn read_flag(stack: &Stack) -> Result<Flag, Fault> {
    let name = stack.bytes(slot::NAME)?;
    let found = FLAGS.iter().find(|(known, _)| *known == name);
    found.map(|(_, flag)| *flag).ok_or_else(|| {
        Fault::argument(
            slot::NAME,
            format!("unsupported option '{}'", String::from_utf8_lossy(name)),
        )
    })
}
