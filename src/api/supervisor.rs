//! `coev.supervisor`: events in Rust, all else in Lua over tasks.

use super::{function, method};
use crate::error::Fault;
use crate::runtime::{Deadline, ListId, Operation, Runtime, TaskId, Wait};
use crate::vm::{
    Function, Instead, Makes, Module, Outcome, Reply, Source, Stack, Value, entry_listing,
};

/// The module. A supervisor is a table whose first field holds, for each event, the number of the list of those that
/// wait for it.
pub(super) const MODULE: Module = Module {
    name: c"supervisor",
    loaded_as: c"coev.supervisor",
    functions: &[
        Function {
            entry: entry_listing::<Runtime, _>(waitfor),
            ..method!(waits c"waitfor", waitfor)
        },
        method!(waits c"signal", signal),
        function!(c"create_list", create_list),
        function!(c"sweep_list", sweep_list),
        function!(c"listed", listed),
        function!(c"release_waiters", release_waiters),
        function!(waits c"let_run", let_run),
    ],
    sources: &[Source {
        name: c"=coev.supervisor",
        text: include_str!("supervisor.lua"),
    }],
    makes: Makes {
        fields: &[],
        natives: &[c"make_list", c"wait_elsewhere", c"nobody_waits"],
    },
};

/// The arguments, by position.
mod slot {
    /// The supervisor.
    pub(super) const SELF: i32 = 1;
    /// The event; the values of its signal come behind it.
    pub(super) const EVENT: i32 = 2;
    /// How long to wait for it.
    pub(super) const TIMEOUT: i32 = 3;
    /// The number of a list.
    pub(super) const LIST: i32 = 1;
    /// A task.
    pub(super) const TASK: i32 = 1;
    /// The place in a list.
    pub(super) const PLACE: i32 = 2;
    /// What those who wait in a list are given.
    pub(super) const VALUES: i32 = 2;
}

/// The list of the event, if anybody waits for it.
fn list_of(runtime: &Runtime, stack: &Stack) -> Result<Option<ListId>, Fault> {
    let list = ListId::from_number(stack.number_for(slot::SELF, slot::EVENT));
    if runtime.has_list(list) {
        return Ok(Some(list));
    }
    if !stack.is_table(slot::SELF) {
        return Err(stack.expected(slot::SELF, "coev.supervisor"));
    }
    if stack.is_absent(slot::EVENT) || stack.is_nan(slot::EVENT) {
        return Err(stack.expected(slot::EVENT, "event"));
    }
    Ok(None)
}

/// `supervisor:waitfor(event [, timeout])`
fn waitfor(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let list = list_of(runtime, stack)?;
    let timeout = stack.opt_seconds(slot::TIMEOUT)?;
    if runtime.parkable(stack.state()).is_none() {
        return Ok(Outcome::Instead(Instead::WaitElsewhere));
    }
    let Some(list) = list else {
        return Ok(Outcome::Instead(Instead::MakeList));
    };
    runtime.wait(
        stack,
        Operation::Event(Wait::new(list)),
        Deadline::after(timeout),
    )
}

/// `supervisor:signal(event, ...)`
fn signal(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let Some(list) = list_of(runtime, stack)? else {
        return Ok(Outcome::Instead(Instead::NobodyWaits));
    };
    let outcome = runtime.signal(stack, list, slot::EVENT)?;
    if !runtime.has_list(list) {
        stack.forget_number(slot::SELF, slot::EVENT);
    }
    Ok(outcome)
}

/// The list at `slot::LIST`.
fn list_at(stack: &Stack) -> Result<ListId, Fault> {
    stack.integer(slot::LIST).map(ListId::from_number)
}

/// `create_list()` → the number of a list where nobody waits yet.
fn create_list(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(Reply::one(runtime.create_list().number())))
}

/// `sweep_list(list)`: gives it back where nobody waits; answers whether it is no longer there.
fn sweep_list(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let gone = runtime.release_list(list_at(stack)?);
    Ok(Outcome::Reply(Reply::one(gone)))
}

/// `listed(list, place)` → the task that waits there, counted from 1.
fn listed(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let place = usize::try_from(stack.integer(slot::PLACE)? - 1).unwrap_or(usize::MAX);
    let task = runtime.listed(list_at(stack)?, place);
    Ok(Outcome::Reply(Reply::one(
        task.map_or(Value::Nil, |task| Value::Task(Runtime::name_of(task))),
    )))
}

/// `release_waiters(list, ...)`: wakes all who wait there, with these values.
fn release_waiters(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    runtime.release_waiters(stack, list_at(stack)?, slot::VALUES)?;
    Ok(Outcome::Reply(Reply::none()))
}

/// `let_run(task)`: lets a task that has been made ready have its turn.
fn let_run(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let task = TaskId::from_bits(stack.handle(slot::TASK)?.id);
    runtime.settle(stack, vec![task], None)
}
