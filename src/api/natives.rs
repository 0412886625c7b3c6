//! What only the embedded Lua sees: the primitives of which it makes cancels, deadlines, groups and coroutines.

use super::{copy, fd_set, function, sync, timer};
use crate::error::Fault;
use crate::runtime::{Deadline, Moment, Operation, Runtime, TaskId, Verdict};
use crate::vm::{
    Function, Outcome, Outward, Reply, Stack, Value, entry_here, entry_leaving, entry_ready_bytes,
    entry_wake,
};

/// The functions.
pub(super) const FUNCTIONS: &[Function] = &[
    copy::LIMITS,
    copy::PACK,
    copy::UNPACK,
    fd_set::CLOSINGS,
    fd_set::FDS,
    fd_set::GATHER,
    fd_set::IS_OPEN,
    timer::ARM,
    timer::CLOCK_HERE,
    timer::DISARM,
    timer::DISCOUNT,
    timer::HALT,
    timer::NEXT_RUN,
    timer::OBSERVE,
    timer::RESTART,
    timer::SENTINEL,
    timer::STANDING,
    sync::AWAIT,
    sync::CASE,
    sync::CHOOSE,
    sync::OWN_TABLE,
    sync::READY,
    sync::SETTLE,
    sync::SET_SITE,
    sync::STOW,
    sync::TAKE,
    sync::WATCH,
    function!(c"adopt", adopt),
    function!(waits c"await_word", await_word),
    function!(c"ascend", ascend),
    function!(c"cancel", cancel),
    function!(c"defer", defer),
    function!(c"descend", descend),
    function!(c"endow_tasks", endow_tasks),
    function!(c"enter_deadline", enter_deadline),
    function!(c"enter_shield", enter_shield),
    function!(c"expire", expire),
    Function {
        entry: entry_here::<Runtime>(),
        ..function!(c"here", peek)
    },
    function!(c"is_base", is_base),
    function!(c"is_driven", is_driven),
    function!(c"leave", leave),
    function!(c"peek", peek),
    function!(c"poke", poke),
    Function {
        entry: entry_ready_bytes::<Runtime>(),
        ..function!(c"ready_bytes", peek)
    },
    function!(c"relay", relay),
    function!(c"resume", resume),
    function!(c"set_poller", set_poller),
    function!(c"slot", slot_of),
    function!(c"statistic", statistic),
    Function {
        entry: entry_leaving::<Runtime, _, true>(suspend),
        ..function!(waits c"suspend", suspend)
    },
    function!(c"task_from", task_from),
    function!(c"verdict", verdict),
    function!(c"watch_task", watch_task),
    function!(c"weak_slot", weak_slot),
    Function {
        entry: entry_wake::<Runtime>(),
        ..function!(c"wake", peek)
    },
    function!(c"weaken", weaken),
];

/// The first argument of each.
const FIRST: i32 = 1;
/// The second one.
const SECOND: i32 = 2;

/// The task of the handle at `slot`, or the running one; none is the main chunk.
fn task_or_current(runtime: &Runtime, stack: &Stack, slot: i32) -> Result<Option<TaskId>, Fault> {
    if stack.is_absent(slot) {
        return Ok(runtime.current());
    }
    stack
        .handle(slot)
        .map(|handle| Some(TaskId::from_bits(handle.id)))
}

/// An answer of one value.
fn answer(value: impl Into<Value>) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(Reply::one(value)))
}

/// A scope's name as Lua knows it.
fn serial_value(serial: u64) -> Value {
    Value::Integer(serial.cast_signed())
}

/// `adopt(task)`: its failure is not reported.
fn adopt(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    runtime.adopt(TaskId::from_bits(stack.handle(FIRST)?.id));
    answer(())
}

/// `set_poller(on)`: whether `poller` waits in the loop's place.
fn set_poller(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    runtime.set_poller(stack.boolean(FIRST)?);
    answer(())
}

/// `descend(co)`: the running coroutine is about to resume `co` and relays its waits; answers whether it can.
fn descend(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(runtime.descend(stack, stack.coroutine(FIRST)?, FIRST))
}

/// `ascend()`: it is back.
fn ascend(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    runtime.ascend(stack);
    answer(())
}

/// `relay(...)`: yields outward what a nested coroutine has passed up; returns what it shall be resumed with.
fn relay(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    Ok(Outcome::Relay(runtime.relay(stack)))
}

/// `cancel(task)` → the key of its belongings and whether it is news, or nothing when it has ended.
fn cancel(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let task = TaskId::from_bits(stack.handle(FIRST)?.id);
    let Some(news) = runtime.cancel(task) else {
        return answer(());
    };
    let key = runtime.belongings(task).map_or(Value::Nil, Value::Integer);
    Ok(Outcome::Reply(Reply::two(key, news)))
}

/// `defer()`: the running task has functions to be called at its end.
fn defer(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    if let Some(task) = runtime.current() {
        runtime.defer(task);
    }
    answer(())
}

/// `endow_tasks(on)`: whether new tasks are given to `endow`.
fn endow_tasks(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    runtime.endow_tasks(stack.boolean(FIRST)?);
    answer(())
}

/// `enter_deadline(seconds)` → the scope.
fn enter_deadline(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let deadline = match Deadline::after(Some(stack.seconds(FIRST)?)) {
        Deadline::At(moment) => moment,
        Deadline::Never => Moment(u64::MAX),
        Deadline::Now => Moment(0),
    };
    answer(serial_value(runtime.enter_deadline(deadline)))
}

/// `enter_shield()` → the scope.
fn enter_shield(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    answer(serial_value(runtime.enter_shield()))
}

/// `is_base()` → does the running task's own coroutine run, rather than one inside it?
fn is_base(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(runtime.current().is_some() && runtime.relay(stack) == Outward::Scheduler)
}

/// `is_driven()` → is the loop running?
fn is_driven(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    answer(runtime.is_driven())
}

/// `peek()` → the key of the running task's belongings, if there may be any; nothing outside of tasks.
fn peek(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    answer(runtime.current().map_or(Value::Nil, |task| {
        Value::Integer(i64::from(task.index()) + 1)
    }))
}

/// `leave(scope)` → whether a cancel that it has held off must be raised now.
fn leave(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(runtime.leave_scope(stack.integer(FIRST)?.cast_unsigned()))
}

/// `expire(scope, task)`: its time is over.
fn expire(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let scope = stack.integer(FIRST)?.cast_unsigned();
    runtime.expire_scope(task_or_current(runtime, stack, SECOND)?, scope);
    answer(())
}

/// `resume(task)` → whether it was suspended.
fn resume(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(runtime.resume(TaskId::from_bits(stack.handle(FIRST)?.id)))
}

/// `await_word([key])`: waits to be told, by `poke`, of the end of the task with those belongings, or of a timer.
fn await_word(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let task = if stack.is_absent(FIRST) {
        None
    } else {
        runtime.task_at(stack.integer(FIRST)?)
    };
    runtime.wait(stack, Operation::Told(false, task), Deadline::Never)
}

/// `poke(task)`: lets it look again, where it waits in coev's own Lua.
fn poke(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(runtime.poke(TaskId::from_bits(stack.handle(FIRST)?.id)))
}

/// `slot([task])` → the key of its belongings; nothing when it has ended, or outside of tasks.
fn slot_of(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let task = task_or_current(runtime, stack, FIRST)?;
    answer(
        task.and_then(|task| runtime.belongings(task))
            .map_or(Value::Nil, Value::Integer),
    )
}

/// `statistic(name)` → a number.
fn statistic(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(runtime.statistic(stack.text(FIRST)?))
}

/// `watch_task(task)`: somebody watches it: Lua hears of its end.
fn watch_task(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    runtime.watch_task(TaskId::from_bits(stack.handle(FIRST)?.id));
    answer(())
}

/// `suspend()`: waits to be resumed.
fn suspend(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    runtime.wait(stack, Operation::Suspend(false), Deadline::Never)
}

/// `task_from(index)` → a task and the index to go on from.
fn task_from(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let index = u32::try_from(stack.integer(FIRST)?).unwrap_or(u32::MAX);
    let Some(task) = runtime.task_from(index) else {
        return answer(());
    };
    let next = i64::from(task.index()) + 1;
    Ok(Outcome::Reply(Reply::two(
        Value::Task(Runtime::name_of(task)),
        next,
    )))
}

/// `verdict()` → why the running task's waits raise: "cancelled", a scope or nothing; and the key of its belongings.
fn verdict(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    let task = runtime.current();
    let verdict = match runtime.verdict(task) {
        None => Value::Nil,
        Some(Verdict::Cancelled) => Value::Text("cancelled"),
        Some(Verdict::Expired(scope)) => serial_value(scope),
    };
    let key = task
        .and_then(|task| runtime.belongings(task))
        .map_or(Value::Nil, Value::Integer);
    Ok(Outcome::Reply(Reply::two(verdict, key)))
}

/// `weak_slot(task)` → the key of its belongings, when it is a weak task that has not ended.
fn weak_slot(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let task = stack.handle(FIRST).ok();
    answer(
        task.map(|handle| TaskId::from_bits(handle.id))
            .filter(|task| runtime.is_weak(*task))
            .and_then(|task| runtime.belongings(task))
            .map_or(Value::Nil, Value::Integer),
    )
}

/// `weaken(task)` → the task, from now on alive only as long as its handle.
fn weaken(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let task = TaskId::from_bits(stack.handle(FIRST)?.id);
    Ok(if runtime.weaken(stack.state(), task) {
        Outcome::Guard
    } else {
        Outcome::Reply(Reply::none())
    })
}
