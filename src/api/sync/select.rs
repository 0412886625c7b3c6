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
/// Takes what is there, or waits, where the cases are simple.
pub(in crate::api) const CHOOSE: Function = function!(waits c"choose", choose);
/// Waits.
pub(in crate::api) const AWAIT: Function = function!(waits c"await", wait_for_first);
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
    /// The keys of what is to be sent, by case; or what to do with the object; or seconds.
    pub(super) const KEYS: i32 = 2;
    /// Seconds; or the value to be sent.
    pub(super) const TIMEOUT: i32 = 3;
    /// The first object.
    pub(super) const OBJECTS: i32 = 4;
    /// Seconds, of `choose`.
    pub(super) const PATIENCE: i32 = 2;
    /// Is it known of all cases that they receive from channels?
    pub(super) const KNOWN: i32 = 3;
    /// The first object, of `choose`.
    pub(super) const CHOSEN: i32 = 3;
}

/// As many cases as `choose` looks at.
const FEW: i32 = 10;

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
/// when there is none. It begins where `choose` began, another place each time, so that none of those ready is left behind
/// for ever.
fn take(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let count = stack.length(slot::CASES);
    let start = runtime.last_start(count);
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

/// `choose(cases, [seconds], [only_receives])` → as `coev.select`; nothing where none can be and the time is over at once; false where there
/// are many cases, or one that is no object or sends.
fn choose(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let timeout = stack.opt_seconds(slot::PATIENCE)?;
    let known = !stack.is_absent(slot::KNOWN) && stack.boolean(slot::KNOWN)?;
    let count = stack.length(slot::CASES);
    let start = runtime.next_start(count);
    if !(1..=FEW).contains(&count) {
        return answer(false);
    }
    stack.set_top(slot::PATIENCE);
    if !stack.has_room(SLOTS * count + SPARE) {
        return Err(Fault::misuse("not enough memory"));
    }
    let slots = if known { SLOTS - 1 } else { SLOTS };
    let mut seen = [None; FEW as usize];
    for (offset, seen) in (0..count).zip(&mut seen) {
        let (index, at) = place_of(start, offset, count, slots);
        let Some((object, wish)) = push_plain_case(runtime, stack, index, at, known) else {
            return answer(false);
        };
        // The object lies behind its case, and arguments are counted from 0.
        if let Some(reply) = try_at_once(runtime, object, wish, at) {
            return Ok(Outcome::Reply(reply.behind(i64::from(index))));
        }
        *seen = Some(object);
    }
    if timeout.is_some_and(|timeout| timeout <= 0.0) {
        return answer(());
    }
    let mut choice = runtime.new_choice();
    for (offset, object) in (0..count).zip(&seen) {
        let Some(object) = object else { break };
        let (index, at) = place_of(start, offset, count, slots);
        let Some(wish) = plain_wish(runtime, object) else {
            break;
        };
        choice.add(Case {
            object: object.share(),
            wish,
            index,
            at,
        });
    }
    if timeout.is_none() {
        match runtime.park_choice(choice, stack.state()) {
            None => return Ok(Outcome::Park),
            Some(back) => choice = back,
        }
    }
    runtime.wait(stack, Operation::Choice(choice), Deadline::after(timeout))
}

/// Values that each case leaves on the stack; one less where it is known what is to be done with the object.
const SLOTS: i32 = 3;
/// Room for what the call answers.
const SPARE: i32 = 12;

/// The index of the case that is looked at after so many others, and the slot from which on it lies.
#[inline(always)]
fn place_of(start: i32, offset: i32, count: i32, slots: i32) -> (i32, i32) {
    let index = start + offset;
    let index = if index < count { index } else { index - count };
    (index + 1, slot::CHOSEN + slots * offset)
}

/// What is wanted of an object in a case that does not send. None: nothing can be.
#[inline(always)]
fn plain_wish(runtime: &Runtime, object: &Waitable) -> Option<Wish> {
    match &object.kind {
        Kind::Channel(_) => Some(Wish::Receive),
        _ => wish(runtime, object, None).ok(),
    }
}

/// Puts a case on the stack, its object and, unless that is `known` to be to receive, what is to be done with it, from the
/// next slot `at` on; answers the object and what is wanted there. None where it is no object, or sends.
#[inline(always)]
fn push_plain_case<'a>(
    runtime: &Runtime,
    stack: &Stack<'a>,
    index: i32,
    at: i32,
    known: bool,
) -> Option<(&'a Waitable, Wish)> {
    if !stack.push_table_of(slot::CASES, index) {
        return None;
    }
    stack.push_item_of(at, 1);
    let object = stack.held_object::<Runtime>(at + 1)?;
    if known {
        return Some((object, plain_wish(runtime, object)?));
    }
    let how = stack.push_bytes_of(at, 2);
    if matches!(object.kind, Kind::Channel(_)) && how != Some(b"receive") {
        return None;
    }
    Some((object, plain_wish(runtime, object)?))
}

/// What a case answers that can be at once; its object is the argument `at`, counted from 0.
#[inline(always)]
fn try_at_once(runtime: &Runtime, object: &Waitable, wish: Wish, at: i32) -> Option<Reply> {
    if let Kind::Channel(channel) = &object.kind {
        if !channel.has_something() {
            return None;
        }
        if let Some(key) = channel.receive_now(runtime, object) {
            return Some(Reply::one(Value::Taken { at, key }));
        }
        return channel.is_closed().then(|| Reply::failure("closed"));
    }
    let given = object.share().try_now(runtime, wish)?;
    Some(object.reply(wish, given, at))
}

/// `await(cases, keys, timeout, ...)` → as `coev.select`; 0 when something else may be ready. Where there are many, the
/// objects of the cases stand behind; what is none is passed over.
fn wait_for_first(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let timeout = stack.opt_seconds(slot::TIMEOUT)?;
    for table in [slot::CASES, slot::KEYS] {
        if !stack.is_table(table) {
            return Err(stack.expected(table, "table"));
        }
    }
    let choice = cases_with_keys(runtime, stack)?;
    runtime.wait(stack, Operation::Choice(choice), Deadline::after(timeout))
}

/// The cases that are objects, which `select.lua` has looked over, and has put what is to be sent into the channels.
fn cases_with_keys(runtime: &Runtime, stack: &Stack) -> Result<Box<Choice>, Fault> {
    let count = stack.length(slot::CASES);
    if !stack.has(slot::OBJECTS) {
        for index in 1..=count {
            let top = stack.top();
            stack.push_field(slot::CASES, index);
            stack.push_field(top + 1, 1);
            stack.drop_below_top();
        }
    }
    let mut choice = runtime.new_choice();
    for index in 1..=count {
        let at = slot::OBJECTS - 2 + index;
        let Some(object) = stack.holder::<Runtime>(at + 1) else {
            continue;
        };
        let wish = match stack.number_field(slot::KEYS, index) {
            Some(key) => Wish::send(key),
            None => match wish(runtime, &object, Some(b"receive")) {
                Err(NONE) => continue,
                wish => wish.map_err(|problem| Fault::misuse(format!("'select': {problem}")))?,
            },
        };
        choice.add(Case {
            object,
            wish,
            index,
            at,
        });
    }
    Ok(choice)
}

/// `stow(channel, value)` → the key of the value, which lies there now.
fn stow(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object: Option<Rc<Waitable>> = stack.holder::<Runtime>(slot::CASES);
    match object.as_deref().map(|object| &object.kind) {
        Some(Kind::Channel(channel)) => answer(i64::from(channel.claim())),
        _ => answer(()),
    }
}
