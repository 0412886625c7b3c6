//! `coev` itself: running the loop, time, and making tasks.

use super::{function, timer};
use crate::error::Fault;
use crate::runtime::{Deadline, Operation, Runtime, now};
use crate::sys::failure;
use crate::vm::{Function, Outcome, Reply, Stack, Value, entry_leaving, entry_spawning};

/// The functions of `coev`.
pub(super) const FUNCTIONS: &[Function] = &[
    function!(c"run", run),
    function!(c"step", step),
    function!(c"stop", stop),
    function!(c"pollfd", pollfd),
    function!(c"due", due),
    function!(c"now", now_seconds),
    Function {
        entry: entry_spawning::<Runtime, _>(spawn),
        ..function!(c"spawn", spawn)
    },
    Function {
        entry: entry_leaving::<Runtime, _, false>(yield_turn),
        ..function!(waits c"yield", yield_turn)
    },
    function!(waits c"sleep", sleep),
    function!(waits c"sleep_until", sleep_until),
    function!(c"current", current),
    timer::AFTER,
    timer::EVERY,
];

/// The arguments, by position.
mod slot {
    /// The function of `run` and `spawn`.
    pub(super) const FUNCTION: i32 = 1;
    /// The seconds of `sleep`, `sleep_until` and `step`.
    pub(super) const SECONDS: i32 = 1;
}

/// `coev.run([f, ...])`
fn run(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    refuse_inside(runtime, "run", "use coev.spawn")?;
    if stack.is_absent(slot::FUNCTION) {
        return runtime.run_all(stack.state());
    }
    stack.function(slot::FUNCTION)?;
    Ok(Outcome::Run)
}

/// `coev.step([timeout])`
fn step(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let timeout = stack.opt_seconds(slot::SECONDS)?.unwrap_or(0.0);
    refuse_inside(runtime, "step", "use coev.yield")?;
    let until = match Deadline::after(Some(timeout)) {
        Deadline::At(moment) if timeout.is_finite() => Some(moment),
        Deadline::At(_) | Deadline::Never => None,
        Deadline::Now => Some(now()),
    };
    // Without an end one waits for tasks alone.
    if until.is_some() || runtime.has_work() {
        runtime.turn(stack.state(), until)?;
    }
    Ok(Outcome::Reply(Reply::one(runtime.has_work())))
}

/// `coev.pollfd()`
fn pollfd(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(match runtime.poll_fd() {
        Ok(fd) => Reply::one(i64::from(fd)),
        Err(error) => Reply::failure(failure::word(&error)),
    }))
}

/// `coev.due()`
fn due(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a float holds a century of nanoseconds to a microsecond"
    )]
    let seconds = runtime.due().map_or(Value::Nil, |nanoseconds| {
        Value::Number(nanoseconds as f64 / 1e9)
    });
    Ok(Outcome::Reply(Reply::one(seconds)))
}

/// The loop cannot be run by those whom it runs.
fn refuse_inside(runtime: &Runtime, name: &str, remedy: &str) -> Result<(), Fault> {
    if runtime.is_driven() {
        return Err(Fault::misuse(format!(
            "coev.{name} called inside a task: {remedy}"
        )));
    }
    Ok(())
}

/// `coev.stop()`
fn stop(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    runtime.stop();
    Ok(Outcome::Reply(Reply::none()))
}

/// `coev.now()`
fn now_seconds(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(Reply::one(crate::runtime::now_seconds())))
}

/// `coev.spawn(f, ...)`
fn spawn(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    stack.function(slot::FUNCTION)?;
    Ok(Outcome::Spawn)
}

/// `coev.yield()`
fn yield_turn(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    runtime.give_way(stack)
}

/// `coev.sleep(seconds)`
fn sleep(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let seconds = stack.seconds(slot::SECONDS)?;
    runtime.wait(stack, Operation::Sleep, Deadline::after(Some(seconds)))
}

/// `coev.sleep_until(seconds)`
fn sleep_until(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let seconds = stack.seconds(slot::SECONDS)?;
    runtime.wait(stack, Operation::Sleep, Deadline::at(seconds))
}

/// `coev.current()`
fn current(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(match runtime.current() {
        Some(task) => Reply::one(Value::Task(Runtime::name_of(task))),
        None => Reply::one(()),
    }))
}
