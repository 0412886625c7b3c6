//! The handle of a task.

use super::{function, method};
use crate::error::Fault;
use crate::runtime::{Deadline, Operation, Phase, Runtime, TaskId};
use crate::vm::{Chapter, ClassDef, Ended, Makes, Outcome, Reply, Slot, Source, Stack, Value};

/// The Lua of tasks, and of `coev` itself.
pub(super) const CHAPTER: Chapter = Chapter {
    sources: &[Source {
        name: c"=coev",
        text: include_str!("task.lua"),
    }],
    makes: Makes {
        fields: &[
            c"is_cancelled",
            c"shield",
            c"defer",
            c"timeout",
            c"suspend",
            c"group",
            c"retry",
            c"at_exit",
            c"run",
            c"locals",
            c"tasks",
            c"stats",
            c"onerror",
            c"debug",
        ],
        natives: &[
            c"current",
            c"check",
            c"note_inner",
            c"own_cancel",
            c"is_cancelled",
            c"hand_over",
            c"endow",
            c"with_site",
        ],
    },
    completes_tasks: true,
};

/// The class of handles.
pub(super) const CLASS: ClassDef = ClassDef {
    name: c"coev.task",
    module: c"",
    methods: &[
        method!(waits c"join", join),
        method!(c"status", status),
        method!(c"name", name),
        method!(c"traceback", traceback),
        method!(c"waiting", waiting),
    ],
    tostring: &function!(c"tostring", tostring),
};

/// The arguments, by position.
mod slot {
    /// The handle.
    pub(super) const SELF: i32 = 1;
    /// The timeout of `join`.
    pub(super) const TIMEOUT: i32 = 2;
    /// The new name of `name`.
    pub(super) const NAME: i32 = 2;
}

/// The task of the handle, and how it ended.
fn task(stack: &Stack) -> Result<(TaskId, Ended), Fault> {
    let handle = stack.handle(slot::SELF)?;
    Ok((TaskId::from_bits(handle.id), handle.ended.get()))
}

/// `task:join([timeout])`
fn join(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let (joined, ended) = task(stack)?;
    let deadline = Deadline::after(stack.opt_seconds(slot::TIMEOUT)?);
    if ended != Ended::Not {
        return Ok(Outcome::Reply(Reply::one(Value::Outcome)));
    }
    if runtime.current() == Some(joined) {
        return Err(Fault::misuse("a task cannot join itself"));
    }
    runtime.wait(stack, Operation::Join(joined, false), deadline)
}

/// `task:status()`
fn status(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let (task, ended) = task(stack)?;
    let word = match (ended, runtime.phase(task)) {
        (Ended::Failed, _) => "failed",
        (Ended::Cancelled, _) => "cancelled",
        (Ended::Done, _) | (Ended::Not, None | Some(Phase::Vacant)) => "done",
        (Ended::Not, Some(Phase::New | Phase::Ready)) => "ready",
        (Ended::Not, Some(Phase::Running)) => "running",
        (Ended::Not, Some(Phase::Parked | Phase::Suspended)) => "waiting",
    };
    Ok(Outcome::Reply(Reply::one(word)))
}

/// `task:name([name])`: the name; with an argument sets it and answers the handle's earlier one.
fn name(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let (task, _) = task(stack)?;
    let new = if stack.is_absent(slot::NAME) {
        None
    } else {
        Some(stack.text(slot::NAME)?.to_owned())
    };
    let reply = match new {
        None => runtime.label(task),
        Some(new) => {
            let old = runtime.label(task);
            runtime.set_name(task, new);
            old
        }
    };
    Ok(Outcome::Reply(Reply::one(reply)))
}

/// `task:traceback()`
fn traceback(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let (task, ended) = task(stack)?;
    Ok(Outcome::Reply(
        if ended == Ended::Not && runtime.phase(task).is_some() {
            Reply::one(Value::Traceback(Slot(task.index())))
        } else {
            Reply::one("stack traceback:")
        },
    ))
}

/// `task:waiting()`
fn waiting(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let (task, _) = task(stack)?;
    Ok(Outcome::Reply(Reply::one(runtime.waits_for(task))))
}

/// `tostring(task)`
fn tostring(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let (task, _) = task(stack)?;
    Ok(Outcome::Reply(Reply::one(format!(
        "coev.task: {:#x} ({})",
        stack.address(slot::SELF),
        runtime.label(task)
    ))))
}
