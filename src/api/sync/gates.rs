//! What lets those who wait go on together: `coev.condition`, `coev.event`, `coev.waitgroup`, `coev.barrier`.

use super::locks::{state, this};
use super::{answer, count, made, opt_count, slot, wait};
use crate::api::method;
use crate::error::Fault;
use crate::runtime::Runtime;
use crate::runtime::sync::{Barrier, Condition, Event, Kind, Waitgroup, Wish};
use crate::vm::{Function, Outcome, Reply, Stack, Value, entry_store};

/// The methods of a condition that are not Lua.
pub(super) const CONDITION_METHODS: &[Function] = &[
    method!(c"broadcast", broadcast),
    method!(c"signal", signal),
    method!(waits c"wait", wait_for_signal),
];

/// The methods of an event.
pub(super) const EVENT_METHODS: &[Function] = &[
    method!(c"clear", clear),
    method!(c"is_set", is_set),
    Function {
        entry: entry_store::<Runtime, _, true, false, true>(set),
        ..method!(c"set", set)
    },
    method!(waits c"wait", wait_for_event),
];

/// The methods of a waitgroup.
pub(super) const WAITGROUP_METHODS: &[Function] = &[
    method!(c"add", add),
    method!(c"done", done),
    method!(waits c"wait", wait_for_group),
];

/// The methods of a barrier.
pub(super) const BARRIER_METHODS: &[Function] = &[method!(waits c"wait", wait_at_barrier)];

/// Nothing.
fn nothing() -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(Reply::none()))
}

/// `coev.condition.new([mutex])`
pub(super) fn new_condition(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let mutex = if stack.is_absent(slot::SELF) {
        None
    } else {
        Some(this!(stack, Mutex, "coev.mutex"))
    };
    Ok(made(Kind::Condition(Condition::new(mutex))))
}

/// `coev.event.new()`
pub(super) fn new_event(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(made(Kind::Event(Event::default())))
}

/// `coev.waitgroup.new([n])`
pub(super) fn new_waitgroup(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let left = opt_count(stack, slot::SELF, 0, 0)?;
    Ok(made(Kind::Waitgroup(Waitgroup::new(left))))
}

/// `coev.barrier.new(n)`
pub(super) fn new_barrier(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let parties = count(stack, slot::SELF, 1)?;
    let parties = usize::try_from(parties).unwrap_or(usize::MAX);
    Ok(made(Kind::Barrier(Barrier::new(parties))))
}

/// `wait(condition, [timeout], [mutex])`: lets go of the mutex, of a condition that has one. Answers as `condition:wait`
/// where there is none. With one: true when the caller has the signal and the mutex again; true and "timeout" when it has
/// the signal alone; nil and "timeout" when it has neither. Where it raises, it has neither.
fn wait_for_signal(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Condition, "coev.condition");
    let timeout = stack.opt_seconds(slot::FIRST)?;
    let at_once = timeout.is_some_and(|timeout| timeout <= 0.0);
    let Some(mutex) = &state!(object, Condition).mutex else {
        return wait(runtime, stack, object, Wish::Pass, timeout);
    };
    if at_once {
        return Ok(Outcome::Reply(Reply::failure("timeout")));
    }
    let here = runtime.here();
    let locked = state!(mutex, Mutex);
    if locked.owner(runtime) != Some(here) {
        return Err(Fault::misuse(
            "'wait': the caller does not own the mutex of the condition",
        ));
    }
    locked.unlock(runtime, mutex);
    wait(runtime, stack, object, Wish::Signal(here), timeout)
}

/// `condition:signal([n])` → how many were woken.
fn signal(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Condition, "coev.condition");
    let most = opt_count(stack, slot::FIRST, 0, 1)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let woken = state!(object, Condition).signal(runtime, &object, most);
    answer(i64::try_from(woken).unwrap_or(i64::MAX))
}

/// `condition:broadcast()` → how many were woken.
fn broadcast(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Condition, "coev.condition");
    let woken = state!(object, Condition).signal(runtime, &object, usize::MAX);
    answer(i64::try_from(woken).unwrap_or(i64::MAX))
}

/// `event:wait([timeout])`
fn wait_for_event(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Event, "coev.event");
    let timeout = stack.opt_seconds(slot::FIRST)?;
    wait(runtime, stack, object, Wish::Pass, timeout)
}

/// `event:set([value])`: the value lies under the event's next key.
fn set(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Event, "coev.event");
    // The trampoline has gone the short way, but for a panic there.
    state!(object, Event).set(runtime, &object);
    nothing()
}

/// `event:clear()`
fn clear(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Event, "coev.event");
    Ok(Outcome::Reply(match state!(object, Event).clear() {
        Some(key) => Reply::one(Value::Forgotten { at: 0, key }),
        None => Reply::none(),
    }))
}

/// `event:is_set()`
fn is_set(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Event, "coev.event");
    answer(state!(object, Event).is_set())
}

/// Changes the count of a waitgroup.
fn change(runtime: &Runtime, stack: &Stack, by: i64, name: &str) -> Result<Outcome, Fault> {
    let object = this!(stack, Waitgroup, "coev.waitgroup");
    if !state!(object, Waitgroup).change(runtime, &object, by) {
        return Err(Fault::misuse(format!(
            "'{name}': the count of the waitgroup would be less than 0"
        )));
    }
    nothing()
}

/// `group:add([n])`
fn add(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    this!(stack, Waitgroup, "coev.waitgroup");
    let by = opt_count(stack, slot::FIRST, i64::MIN, 1)?;
    change(runtime, stack, by, "add")
}

/// `group:done()`
fn done(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    change(runtime, stack, -1, "done")
}

/// `group:wait([timeout])`
fn wait_for_group(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Waitgroup, "coev.waitgroup");
    let timeout = stack.opt_seconds(slot::FIRST)?;
    wait(runtime, stack, object, Wish::Pass, timeout)
}

/// `barrier:wait([timeout])`
fn wait_at_barrier(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Barrier, "coev.barrier");
    let timeout = stack.opt_seconds(slot::FIRST)?;
    if state!(object, Barrier).complete(runtime) {
        return answer(true);
    }
    wait(runtime, stack, object, Wish::Pass, timeout)
}
