//! `coev.thread.channel`: values from thread to thread.

use super::{CHANNEL, MODULE, answer, copy, count_from, refuse};
use crate::api::{function, method};
use crate::error::Fault;
use crate::runtime::thread::{Attempt, Channel, Crossing, Receive, Send, Watch, landed};
use crate::runtime::{Deadline, Operation, Runtime};
use crate::vm::copy::{Departing, Message, Shared};
use crate::vm::{Class, ClassDef, Function, Object, Outcome, Reply, Stack, Value};
use std::rc::Rc;
use std::sync::Arc;

/// The class.
pub(super) const CLASS: ClassDef = ClassDef {
    name: c"coev.thread.channel",
    module: MODULE.name,
    methods: &[
        method!(c"capacity", capacity),
        method!(c"close", close),
        method!(c"len", len),
        method!(c"readiness", readiness),
        method!(waits c"receive", receive),
        method!(waits c"send", send),
        method!(c"try_receive", try_receive),
        method!(c"try_send", try_send),
        method!(waits c"watch", watch),
    ],
    tostring: &function!(c"tostring", tostring),
};

/// The class of what closes a channel when it is collected.
pub(super) const GUARD_CLASS: ClassDef = ClassDef {
    name: c"coev.guard",
    module: MODULE.name,
    methods: &[],
    tostring: &function!(c"tostring", guard_tostring),
};

/// Makes what closes a channel when it is collected.
pub(super) const GUARD: Function = function!(c"thread_guard", guard);
/// Sends several values as one message, without waiting.
pub(super) const POST: Function = function!(c"thread_post", post);
/// Makes one.
pub(super) const NEW: Function = function!(c"thread_channel", new);

/// A channel as Lua holds it.
struct ChannelEnd(Arc<Channel>);

/// Closes a channel when it is collected.
struct Guard(Arc<Channel>);

impl Object for Guard {
    fn collected(&self) {
        self.0.close();
    }
}

/// The arguments, by position.
mod slot {
    /// The channel.
    pub(super) const SELF: i32 = 1;
    /// What is sent.
    pub(super) const VALUE: i32 = 2;
    /// Seconds that a send may take.
    pub(super) const SEND_TIMEOUT: i32 = 3;
    /// Seconds that a receive may take.
    pub(super) const RECEIVE_TIMEOUT: i32 = 2;
    /// How many values a new channel holds.
    pub(super) const CAPACITY: i32 = 1;
    /// The changes that have been seen.
    pub(super) const SEEN: i32 = 2;
}

impl Object for ChannelEnd {
    fn share(&self) -> Option<Arc<dyn Shared>> {
        Some(Arc::clone(&self.0) as Arc<dyn Shared>)
    }
}

impl Shared for Channel {
    fn land(self: Arc<Self>) -> (Class, Rc<dyn Object>) {
        (CHANNEL, Rc::new(ChannelEnd(self)))
    }
}

/// The channel.
fn this(stack: &Stack) -> Result<Arc<Channel>, Fault> {
    let end = stack.object::<ChannelEnd>(slot::SELF, &[CHANNEL], "coev.thread.channel")?;
    Ok(Arc::clone(&end.0))
}

/// The same, without a share in it: as long as no Lua runs, which might call its finalizer.
fn here<'a>(stack: &Stack<'a>) -> Result<&'a Channel, Fault> {
    let end = stack.typed::<ChannelEnd>(slot::SELF);
    end.map(|end| &*end.0)
        .ok_or_else(|| stack.expected(slot::SELF, "coev.thread.channel"))
}

/// What is to be sent.
fn read_message(runtime: &Runtime, stack: &Stack) -> Result<(Message, Departing), Fault> {
    if stack.is_absent(slot::VALUE) {
        return Err(Fault::argument(slot::VALUE, "value expected, got nil"));
    }
    copy(runtime, stack, slot::VALUE, 1, |_| "value".into()).map_err(Fault::misuse)
}

/// `thread_channel([capacity])`
fn new(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let capacity = if stack.is_absent(slot::CAPACITY) {
        0.0
    } else {
        stack.number(slot::CAPACITY)?
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, which is meant: infinity is without end"
    )]
    let capacity = capacity as usize;
    let channel = Rc::new(ChannelEnd(Arc::new(Channel::new(capacity))));
    answer(Value::Object(CHANNEL, channel))
}

/// `channel:send(value [, timeout])`
fn send(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    here(stack)?;
    let deadline = Deadline::after(stack.opt_seconds(slot::SEND_TIMEOUT)?);
    let (message, departing) = read_message(runtime, stack)?;
    let (channel, mut message) = (here(stack)?, Some(message));
    if runtime.may_answer() && matches!(channel.try_send(&mut message), Attempt::Done(())) {
        runtime.give_up(departing);
        return answer(true);
    }
    let Some(message) = message else {
        return answer(true);
    };
    let operation = Send::new(this(stack)?, message, departing);
    let operation = Operation::Crossing(Crossing::Send(Box::new(operation)));
    runtime.wait(stack, operation, deadline)
}

/// `channel:receive([timeout])`
fn receive(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let deadline = Deadline::after(stack.opt_seconds(slot::RECEIVE_TIMEOUT)?);
    let channel = here(stack)?;
    if runtime.may_answer()
        && let Attempt::Done(message) = channel.try_receive()
    {
        return answer(landed(message));
    }
    let operation = Operation::Crossing(Crossing::Receive(Receive::new(this(stack)?)));
    runtime.wait(stack, operation, deadline)
}

/// `channel:try_send(value)`
fn try_send(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    here(stack)?;
    let (message, departing) = read_message(runtime, stack)?;
    Ok(Outcome::Reply(
        match here(stack)?.try_send(&mut Some(message)) {
            Attempt::Done(()) => {
                runtime.give_up(departing);
                Reply::one(true)
            }
            Attempt::NotYet => Reply::one(false),
            Attempt::Closed => Reply::two(false, "closed"),
        },
    ))
}

/// `thread_post(channel, ...)` → whether they were sent; or `nil` and what cannot be copied.
fn post(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    // Before the arguments that the user gave stand the settler, the way to call, and what in which form.
    let called = |index: i32| format!("arg {}", index - 3);
    let channel = this(stack)?;
    let count = count_from(stack, slot::VALUE);
    let (message, departing) = match copy(runtime, stack, slot::VALUE, count, called) {
        Ok(copied) => copied,
        Err(problem) => return refuse(problem),
    };
    let sent = matches!(channel.try_send(&mut Some(message)), Attempt::Done(()));
    if sent {
        runtime.give_up(departing);
    }
    answer(sent)
}

/// `thread_guard(channel)` → what closes it when it is collected.
fn guard(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(Value::Object(super::GUARD, Rc::new(Guard(this(stack)?))))
}

/// `tostring(guard)`
fn guard_tostring(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    answer("coev.guard")
}

/// `channel:try_receive()`
fn try_receive(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(match here(stack)?.try_receive() {
        Attempt::Done(message) => Reply::two(true, landed(message)),
        Attempt::NotYet => Reply::one(false),
        Attempt::Closed => Reply::two(false, "closed"),
    }))
}

/// `channel:close()`
fn close(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    this(stack)?.close();
    Ok(Outcome::Reply(Reply::none()))
}

/// A count as Lua knows it; what is without end is infinite.
fn count(count: usize) -> Value {
    i64::try_from(count).map_or(Value::Number(f64::INFINITY), Value::Integer)
}

/// `channel:capacity()`
fn capacity(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(count(this(stack)?.capacity))
}

/// `channel:len()`
fn len(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(count(this(stack)?.len()))
}

/// `channel:readiness()` → whether a receive, and a send, would come back at once; the changes so far.
fn readiness(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let (readable, writable, version) = this(stack)?.readiness();
    Ok(Outcome::Reply(Reply::three(
        readable,
        writable,
        version.cast_signed(),
    )))
}

/// `channel:watch(seen)` → the changes so far, once there are more.
fn watch(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let seen = stack.integer(slot::SEEN)?.cast_unsigned();
    let operation = Operation::Crossing(Crossing::Watch(Watch::new(this(stack)?, seen)));
    runtime.wait(stack, operation, Deadline::Never)
}

/// `tostring(channel)`
fn tostring(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let text = this(stack)?.describe();
    let address = stack.address(slot::SELF);
    answer(format!("coev.thread.channel: {address:#x} ({text})"))
}
