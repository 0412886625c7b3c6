//! What `coev.select` is made of: a look at all cases, and a wait for the first of them.

use super::answer;
use crate::api::function;
use crate::error::Fault;
use crate::runtime::sync::{Case, Choice, Kind, Waitable, Wish};
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

/// The problem of what no case can be about, unless it has a readiness.
const NONE: &str = "nothing that one can wait for in a select";

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
        Kind::Rwlock(_) | Kind::Barrier(_) => return Err(NONE),
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
        Err(NONE) => Reply::none(),
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
    let top = stack.top();
    for offset in 0..count {
        let index = (start + offset) % count + 1;
        // The case, its object and what is to be done with it lie on the stack from here on.
        if stack.push_table_of(slot::CASES, index)
            && !stack.push_table_of(top + 1, 1)
            && let Some(object) = stack.held_object::<Runtime>(top + 2)
            && let Some(taken) = try_case(runtime, stack, object, top)
        {
            let index = i64::from(index);
            return Ok(Outcome::Reply(match taken {
                Some(reply) => reply.behind(index),
                None => Reply::one(-index),
            }));
        }
        stack.set_top(top);
    }
    answer(())
}

/// Tries the case at `top + 1`, whose object is at `top + 2`. No answer: it cannot be now. None inside: it could send.
#[inline]
fn try_case(
    runtime: &Runtime,
    stack: &Stack,
    object: &Waitable,
    top: i32,
) -> Option<Option<Reply>> {
    // The first argument is at index 1.
    let at = top + 1;
    if let Kind::Channel(channel) = &object.kind {
        return match stack.push_bytes_of(top + 1, 2)? {
            b"receive" => {
                if let Some(key) = channel.receive_now(runtime, object) {
                    return Some(Some(Reply::one(Value::Taken { at, key })));
                }
                channel.is_closed().then(|| Some(Reply::failure("closed")))
            }
            b"send" => (channel.has_room() && stack.push_field(top + 1, 3)).then_some(None),
            _ => None,
        };
    }
    let wish = wish(runtime, object, None).ok()?;
    let given = object.share().try_now(runtime, wish)?;
    Some(Some(object.reply(wish, given, at)))
}

/// `choose(cases, keys, timeout, ...)` → as `coev.select`; 0 when something else may be ready. Where there are many, the
/// objects of the cases stand behind; what is none is passed over. Without keys it only waits where all cases are objects
/// and none sends, and else answers false.
fn choose(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let timeout = stack.opt_seconds(slot::TIMEOUT)?;
    if !stack.is_table(slot::CASES) {
        return Err(stack.expected(slot::CASES, "table"));
    }
    let cases = if stack.is_table(slot::KEYS) {
        cases_with_keys(runtime, stack)?
    } else {
        match plain_cases(runtime, stack) {
            Some(cases) => cases,
            None => return answer(false),
        }
    };
    let choice = Choice::new(cases, runtime.answers_at_once());
    runtime.wait(
        stack,
        Operation::Choice(Box::new(choice)),
        Deadline::after(timeout),
    )
}

/// The cases, whose objects lie on the stack from here on; none where one of them is no object, or sends.
fn plain_cases(runtime: &Runtime, stack: &Stack) -> Option<Vec<Case>> {
    let count = stack.length(slot::CASES);
    stack.set_top(slot::TIMEOUT);
    let mut cases = Vec::with_capacity(usize::try_from(count).ok()?);
    for index in 1..=count {
        let top = slot::TIMEOUT + index;
        if !stack.push_table_of(slot::CASES, index) {
            return None;
        }
        stack.push_table_of(top, 1);
        let object = stack.held_object::<Runtime>(top + 1)?;
        let wish = match &object.kind {
            Kind::Channel(_) if stack.push_bytes_of(top, 2)? == b"receive" => Wish::Receive,
            Kind::Channel(_) => return None,
            _ => wish(runtime, object, None).ok()?,
        };
        cases.push((object.share(), wish, index));
        stack.set_top(top + 1);
        stack.drop_below_top();
    }
    Some(cases)
}

/// The cases that are objects, which `select.lua` has looked over, and has put what is to be sent into the channels.
fn cases_with_keys(runtime: &Runtime, stack: &Stack) -> Result<Vec<Case>, Fault> {
    let count = stack.length(slot::CASES);
    if !stack.has(slot::OBJECTS) {
        for index in 1..=count {
            let top = stack.top();
            stack.push_field(slot::CASES, index);
            stack.push_field(top + 1, 1);
            stack.drop_below_top();
        }
    }
    let mut cases = Vec::new();
    for index in 1..=count {
        let Some(object) = stack.holder::<Runtime>(slot::OBJECTS - 1 + index) else {
            continue;
        };
        let wish = match stack.number_field(slot::KEYS, index) {
            Some(key) => Wish::Send(key),
            None => match wish(runtime, &object, Some(b"receive")) {
                Err(NONE) => continue,
                wish => wish.map_err(|problem| Fault::misuse(format!("'select': {problem}")))?,
            },
        };
        cases.push((object, wish, index));
    }
    Ok(cases)
}

/// `stow(channel, value)` → the key of the value, which lies there now.
fn stow(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object: Option<Rc<Waitable>> = stack.holder::<Runtime>(slot::CASES);
    match object.as_deref().map(|object| &object.kind) {
        Some(Kind::Channel(channel)) => answer(i64::from(channel.claim())),
        _ => answer(()),
    }
}
