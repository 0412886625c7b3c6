//! What `coev.poll` is made of: sets of descriptors, seen by the embedded Lua alone.

use super::{POLL, socket};
use crate::api::function;
use crate::error::Fault;
use crate::runtime::fd_set::{FdSet, Watch};
use crate::runtime::{Deadline, Operation, Runtime};
use crate::sys::failure;
use crate::sys::poller::is_open;
use crate::vm::{
    Class, ClassDef, Function, Outcome, Readies, Reply, Stack, Value, entry_gathering,
};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

/// The class of sets: behind those of sockets.
#[expect(clippy::cast_possible_truncation, reason = "there are few classes")]
pub(super) const CLASS: Class = Class(socket::CLASSES.len() as u8);

/// The classes.
pub(super) const CLASSES: &[ClassDef] = &[ClassDef {
    name: c"coev.fds",
    module: POLL.name,
    methods: &[
        function!(c"add", add),
        function!(c"change", change),
        function!(c"close", close),
        function!(c"fd", fd),
        function!(c"look_for_closed", look_for_closed),
        function!(c"next_closed", next_closed),
        function!(c"remove", remove),
        function!(waits c"watch", watch),
    ],
    tostring: &function!(c"tostring", tostring),
}];

/// The functions.
pub(super) const FDS: Function = function!(c"fds", new);
/// Whether a descriptor is open.
pub(super) const IS_OPEN: Function = function!(c"is_open", is_open_fd);
/// What is ready, as an array of events.
pub(super) const GATHER: Function = Function {
    entry: entry_gathering::<Runtime, FdSet>(),
    ..function!(c"gather", closings)
};
/// How many sockets have been closed.
pub(super) const CLOSINGS: Function = function!(c"closings", closings);

/// The arguments, by position.
mod slot {
    /// The set.
    pub(super) const SELF: i32 = 1;
    /// The descriptor.
    pub(super) const FD: i32 = 2;
    /// Whether to look for something to read.
    pub(super) const READ: i32 = 3;
    /// Whether to look for room to write.
    pub(super) const WRITE: i32 = 4;
    /// The number that events come with.
    pub(super) const KEY: i32 = 5;
    /// Whether the descriptor is somebody's who may close it without a word.
    pub(super) const RAW: i32 = 6;
    /// Whether to leave out those that have just been found ready.
    pub(super) const BUT_READY: i32 = 2;
    /// Seconds.
    pub(super) const SECONDS: i32 = 2;
}

/// The set.
fn this(stack: &Stack) -> Result<Rc<FdSet>, Fault> {
    stack.object(slot::SELF, &[CLASS], "coev.fds")
}

/// A descriptor; what is none becomes one that no system knows.
fn read_fd(stack: &Stack, slot: i32) -> Result<RawFd, Fault> {
    Ok(RawFd::try_from(stack.integer(slot)?).unwrap_or(-1))
}

/// An answer of one value.
fn answer(value: impl Into<Value>) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(Reply::one(value)))
}

/// True, or `nil` and the reason; "regular" stands for what no poller watches, because it is always ready.
fn done_or(result: io::Result<()>) -> Result<Outcome, Fault> {
    match result {
        Ok(()) => answer(true),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            Ok(Outcome::Reply(Reply::failure("regular")))
        }
        Err(error) => Ok(Outcome::Reply(Reply::failure(failure::word(&error)))),
    }
}

/// `fds()` → a set, or `nil` and the reason.
fn new(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(match FdSet::new(runtime) {
        Ok(set) => Reply::one(Value::Object(CLASS, Rc::new(set))),
        Err(error) => Reply::failure(failure::word(&error)),
    }))
}

/// `is_open(fd)`
fn is_open_fd(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(is_open(read_fd(stack, slot::SELF)?))
}

/// `closings()`
fn closings(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    answer(runtime.closings().cast_signed())
}

impl Readies for FdSet {
    const CLASS: Class = CLASS;

    fn look(&self) -> Option<usize> {
        self.collect().ok()
    }

    fn said(&self, index: usize) -> Option<(i64, usize)> {
        let (key, [readable, writable]) = self.event(index)?;
        let word = usize::from(readable) + 2 * usize::from(writable);
        Some((key.cast_signed(), word))
    }
}

/// The arguments of `add` and `change` behind the set.
fn read_interest(stack: &Stack) -> Result<(RawFd, [bool; 2], u64), Fault> {
    let directions = [stack.boolean(slot::READ)?, stack.boolean(slot::WRITE)?];
    let key = stack.integer(slot::KEY)?.cast_unsigned();
    Ok((read_fd(stack, slot::FD)?, directions, key))
}

/// `set:add(fd, read, write, key, raw)`
fn add(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let (fd, directions, key) = read_interest(stack)?;
    done_or(this(stack)?.add(fd, directions, key, stack.boolean(slot::RAW)?))
}

/// `set:change(fd, read, write, key)`
fn change(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let (fd, directions, key) = read_interest(stack)?;
    done_or(this(stack)?.change(fd, directions, key))
}

/// `set:remove(fd)`
fn remove(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    this(stack)?.remove(read_fd(stack, slot::FD)?);
    answer(())
}

/// `set:look_for_closed(but_ready)` → how many raw descriptors are no longer open.
fn look_for_closed(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let count = this(stack)?.look_for_closed(stack.boolean(slot::BUT_READY)?);
    answer(i64::try_from(count).unwrap_or(i64::MAX))
}

/// `set:next_closed()` → the key of one of those; each is told once.
fn next_closed(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let key = this(stack)?.next_closed();
    answer(key.map_or(Value::Nil, |key| Value::Integer(key.cast_signed())))
}

/// `set:fd()`
fn fd(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    match this(stack)?.fd() {
        Ok(fd) => answer(i64::from(fd)),
        Err(error) => Ok(Outcome::Reply(Reply::failure(failure::word(&error)))),
    }
}

/// `set:watch([seconds])` → true when it is time to look again, or `nil, "timeout"`.
fn watch(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let seconds = stack.opt_seconds(slot::SECONDS)?;
    let watch = Watch::new(this(stack)?);
    runtime.wait(stack, Operation::Watch(watch), Deadline::after(seconds))
}

/// `set:close()`
fn close(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    this(stack)?.close(runtime);
    answer(())
}

/// `tostring(set)`
fn tostring(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    answer("coev.fds")
}
