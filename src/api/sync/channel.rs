//! `coev.channel`: values from task to task.

use super::locks::{state, this};
use super::{answer, count, made, slot, wait};
use crate::api::method;
use crate::error::Fault;
use crate::runtime::Runtime;
use crate::runtime::sync::{Channel, Kind, Wish};
use crate::vm::{AtOnce, Function, Outcome, Reply, Stack, Value, entry_receive, entry_store};

/// The methods; `next` is one step of the loop over a channel, for the embedded Lua.
pub(super) const METHODS: &[Function] = &[
    method!(c"capacity", capacity),
    method!(c"close", close),
    method!(c"len", len),
    Function {
        entry: entry_receive::<Runtime, _, true>(next),
        at_once: Some(AtOnce::next::<Runtime>()),
        ..method!(waits c"next", next)
    },
    Function {
        entry: entry_receive::<Runtime, _, false>(receive),
        at_once: Some(AtOnce::take::<Runtime>()),
        ..method!(waits c"receive", receive)
    },
    Function {
        entry: entry_store::<Runtime, _, false, true, true>(send),
        at_once: Some(AtOnce::store::<Runtime>()),
        ..method!(waits c"send", send)
    },
    Function {
        at_once: Some(AtOnce::try_take::<Runtime>()),
        ..method!(c"try_receive", try_receive)
    },
    Function {
        entry: entry_store::<Runtime, _, false, false, true>(try_send),
        at_once: Some(AtOnce::store::<Runtime>()),
        ..method!(c"try_send", try_send)
    },
];

/// `coev.channel.new([capacity])`
pub(super) fn new(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let room = if stack.is_absent(slot::SELF) {
        0
    } else if stack.is_infinite(slot::SELF) {
        usize::MAX
    } else {
        usize::try_from(count(stack, slot::SELF, 0)?).unwrap_or(usize::MAX)
    };
    Ok(made(Kind::Channel(Channel::new(room))))
}

/// The value at the second slot, which the trampoline has put under the channel's next key.
fn check_value(stack: &Stack) -> Result<(), Fault> {
    if stack.is_absent(slot::FIRST) {
        return Err(Fault::argument(slot::FIRST, "value expected, got nil"));
    }
    Ok(())
}

/// `channel:send(value, [timeout])`
fn send(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Channel, "coev.channel");
    check_value(stack)?;
    let timeout = stack.opt_seconds(slot::SECOND)?;
    let key = state!(object, Channel).claim();
    wait(runtime, stack, object, Wish::send(key), timeout)
}

/// `channel:try_send(value)`
fn try_send(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Channel, "coev.channel");
    check_value(stack)?;
    let channel = state!(object, Channel);
    let key = channel.vacancy();
    let at = 0;
    Ok(Outcome::Reply(if channel.send_now(runtime, &object) {
        Reply::one(true)
    } else if channel.is_closed() {
        Reply::three(false, "closed", Value::Forgotten { at, key })
    } else {
        Reply::two(false, Value::Forgotten { at, key })
    }))
}

/// `channel:receive([timeout])`
fn receive(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Channel, "coev.channel");
    let timeout = stack.opt_seconds(slot::FIRST)?;
    wait(runtime, stack, object, Wish::Receive, timeout)
}

/// `next(channel, _)`: the next value, or nil when there will be none.
fn next(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Channel, "coev.channel");
    wait(runtime, stack, object, Wish::Receive, None)
}

/// `channel:try_receive()`
fn try_receive(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Channel, "coev.channel");
    let channel = state!(object, Channel);
    Ok(Outcome::Reply(
        match channel.receive_now(runtime, &object) {
            Some(key) => Reply::two(true, Value::Taken { at: 0, key }),
            None if channel.is_closed() => Reply::two(false, "closed"),
            None => Reply::one(false),
        },
    ))
}

/// `channel:close()`
fn close(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Channel, "coev.channel");
    state!(object, Channel).close(runtime, &object);
    Ok(Outcome::Reply(Reply::none()))
}

/// `channel:capacity()`
fn capacity(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Channel, "coev.channel");
    let room = state!(object, Channel).room();
    answer(if room == usize::MAX {
        Value::Number(f64::INFINITY)
    } else {
        Value::Integer(i64::try_from(room).unwrap_or(i64::MAX))
    })
}

/// `channel:len()`
fn len(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Channel, "coev.channel");
    let len = state!(object, Channel).len();
    answer(i64::try_from(len).unwrap_or(i64::MAX))
}
