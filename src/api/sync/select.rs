//! What `coev.select` is made of: a look at all cases, and a wait for the first of them.

use super::answer;
use crate::api::function;
use crate::error::Fault;
use crate::runtime::sync::{Choice, Kind, Waitable, Wish};
use crate::runtime::{Deadline, Operation, Runtime};
use crate::vm::{Function, Outcome, Reply, Stack, Value, entry_store};
use std::rc::Rc;

/// Takes what is there.
pub(in crate::api) const TAKE: Function = function!(c"take", take);
/// Waits.
pub(in crate::api) const CHOOSE: Function = function!(waits c"choose", choose);
/// Says what is wrong with a case.
pub(in crate::api) const CASE: Function = function!(c"case", case);
/// Puts into a channel what is to be sent.
pub(in crate::api) const STOW: Function = Function {
    entry: entry_store::<Runtime, _, false, false, false>(stow),
    ..function!(c"stow", stow)
};

/// The arguments, by position.
mod slot {
    /// The table of cases; or the object of one.
    pub(super) const CASES: i32 = 1;
    /// The keys of what is to be sent, by case; or what to do with the object.
    pub(super) const KEYS: i32 = 2;
    /// Seconds; or the value to be sent.
    pub(super) const TIMEOUT: i32 = 3;
    /// The first object.
    pub(super) const OBJECTS: i32 = 4;
}

/// What is wanted of an object in a case. `Err`: nothing can be. The key of a send is another's matter.
fn wish(runtime: &Runtime, object: &Waitable, how: Option<&[u8]>) -> Result<Wish, &'static str> {
    Ok(match &object.kind {
        Kind::Mutex(mutex) => {
            let here = runtime.here();
            if mutex.owner(runtime) == Some(here) {
                return Err("the mutex is locked by this very task already");
            }
            Wish::Lock(here)
        }
        Kind::Semaphore(_) => Wish::Acquire(1),
        Kind::Condition(condition) if condition.mutex.is_some() => {
            return Err("a condition with a mutex");
        }
        Kind::Condition(_) | Kind::Event(_) | Kind::Waitgroup(_) => Wish::Pass,
        Kind::Channel(_) if how == Some(b"receive") => Wish::Receive,
        Kind::Channel(_) if how == Some(b"send") => Wish::Send(0),
        Kind::Channel(_) => return Err(""),
        Kind::Rwlock(_) | Kind::Barrier(_) => {
            return Err("nothing that one can wait for in a select");
        }
    })
}

/// `case(object, how, value)` → what is wrong with it, or nil and what it is: "send" or "object"; nil for what is none.
fn case(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let Some(object) = stack.holder::<Runtime>(slot::CASES) else {
        return answer(());
    };
    let how = stack.bytes(slot::KEYS).ok();
    Ok(Outcome::Reply(match wish(runtime, &object, how) {
        Err("") => Reply::one(format!(
            "of a channel: \"receive\" or \"send\" expected, got {}",
            how.map_or_else(
                || stack.kind_name(slot::KEYS).into(),
                |how| String::from_utf8_lossy(how).into_owned()
            )
        )),
        Err(problem) => Reply::one(problem),
        Ok(Wish::Send(_)) if stack.is_absent(slot::TIMEOUT) => {
            Reply::one("a value that is not nil is needed to send")
        }
        Ok(Wish::Send(_)) => Reply::two(Value::Nil, "send"),
        Ok(_) => Reply::two(Value::Nil, "object"),
    }))
}

/// `take(cases)` → the index of a case that can be at once, and its results; that of a send that could be, negated; nothing
/// when there is none. It begins to look at another place each time, so that none of those ready is left behind for
/// ever.
fn take(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let count = stack.length(slot::CASES);
    let start = runtime.next_start();
    for offset in 0..count {
        let index = (start + offset) % count + 1;
        let top = stack.top();
        // The case, its object and what is to be done with it lie on the stack from here on.
        if stack.push_field(slot::CASES, index) && stack.push_field(top + 1, 1) {
            let object = stack.held_object::<Runtime>(top + 2);
            if let Some(object) = object
                && let Some(reply) = try_case(runtime, stack, object, top)
            {
                let index = i64::from(index);
                return Ok(Outcome::Reply(match reply {
                    Some(reply) => reply.behind(index),
                    None => Reply::one(-index),
                }));
            }
        }
        stack.set_top(top);
    }
    answer(())
}

/// Tries the case at `top + 1`, whose object is at `top + 2`. No answer: it cannot be now. None inside: it could send.
fn try_case(
    runtime: &Runtime,
    stack: &Stack,
    object: &Waitable,
    top: i32,
) -> Option<Option<Reply>> {
    let how = if let Kind::Channel(channel) = &object.kind {
        if !channel.has_something() && !channel.has_room() {
            return None;
        }
        stack.push_field(top + 1, 2).then(|| stack.bytes(top + 3))
    } else {
        None
    };
    let how = how.and_then(Result::ok);
    let wish = wish(runtime, object, how).ok()?;
    if let (Kind::Channel(channel), Wish::Send(_)) = (&object.kind, wish) {
        return (channel.has_room() && stack.push_field(top + 1, 3)).then_some(None);
    }
    let given = object.share().try_now(runtime, wish)?;
    // The first argument is at index 1.
    Some(Some(object.reply(wish, given, top + 1)))
}

/// `choose(cases, keys, timeout, ...)` → as `coev.select`; 0 when something else may be ready. Where there are many, the
/// objects of the cases stand behind; what is none is passed over. Without keys it only waits where all cases are objects
/// and none sends, and else answers false.
fn choose(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let timeout = stack.opt_seconds(slot::TIMEOUT)?;
    let count = stack.length(slot::CASES);
    if !stack.has(slot::OBJECTS) {
        stack.set_top(slot::TIMEOUT);
        for index in 1..=count {
            let top = stack.top();
            stack.push_field(slot::CASES, index);
            stack.push_field(top + 1, 1);
            stack.drop_below_top();
        }
    }
    let looked_over = stack.is_table(slot::KEYS);
    let mut cases = Vec::with_capacity(8);
    for index in 1..=count {
        let at = slot::OBJECTS - 1 + index;
        let Some(object) = stack.holder::<Runtime>(at) else {
            if looked_over {
                continue;
            }
            return answer(false);
        };
        if !looked_over {
            let how = how_of(stack, index);
            match wish(runtime, &object, how) {
                Ok(Wish::Send(_)) | Err(_) => return answer(false),
                Ok(wish) => cases.push((object, wish, index)),
            }
            continue;
        }
        let wish = match stack.number_field(slot::KEYS, index) {
            Some(key) => Wish::Send(key),
            None => match wish(runtime, &object, Some(b"receive")) {
                Ok(wish) => wish,
                Err(problem) => return Err(Fault::misuse(format!("'select': {problem}"))),
            },
        };
        cases.push((object, wish, index));
    }
    let choice = Choice::new(cases);
    runtime.wait(
        stack,
        Operation::Choice(Box::new(choice)),
        Deadline::after(timeout),
    )
}

/// What is to be done with the object of a case, which the table of cases holds.
fn how_of<'a>(stack: &Stack<'a>, index: i32) -> Option<&'a [u8]> {
    let top = stack.top();
    stack.push_field(slot::CASES, index);
    stack.push_field(top + 1, 2);
    let how = stack.bytes(top + 2).ok();
    stack.set_top(top);
    how
}

/// `stow(channel, value)` → the key of the value, which lies there now.
fn stow(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object: Option<Rc<Waitable>> = stack.holder::<Runtime>(slot::CASES);
    match object.as_deref().map(|object| &object.kind) {
        Some(Kind::Channel(channel)) => answer(i64::from(channel.claim())),
        _ => answer(()),
    }
}
