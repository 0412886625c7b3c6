//! `coev.timer`, which is Lua over the loop's timers: what starts and runs them, and what that Lua asks of them.

use super::{fd_set, function};
use crate::error::Fault;
use crate::runtime::Runtime;
use crate::vm::{
    Class, ClassDef, Function, Makes, Module, Outcome, Reply, Source, Stack, Value, entry_halting,
    entry_running, entry_starting,
};
use std::rc::Rc;

/// The submodule.
pub(super) const MODULE: Module = Module {
    name: c"timer",
    loaded_as: c"coev.timer",
    functions: &[],
    sources: &[Source {
        name: c"=coev.timer",
        text: include_str!("timer.lua"),
    }],
    makes: Makes {
        fields: &[c"after", c"every"],
        natives: &[c"fire", c"run_ended"],
    },
};

/// `coev.after`
pub(super) const AFTER: Function = Function {
    entry: entry_starting::<Runtime, _, false>(refuse_after),
    ..function!(c"after", refuse_after)
};
/// `coev.every`
pub(super) const EVERY: Function = Function {
    entry: entry_starting::<Runtime, _, true>(refuse_every),
    ..function!(c"every", refuse_every)
};

/// Gives a timer that is none yet a number.
pub(super) const ARM: Function = function!(c"arm", arm);
/// Which timer the running task runs.
pub(super) const CLOCK_HERE: Function = function!(c"clock_here", clock_here);
/// Takes a timer's number back.
pub(super) const DISARM: Function = function!(c"disarm", disarm);
/// Lets `run` not wait for a timer.
pub(super) const DISCOUNT: Function = function!(c"discount", discount);
/// Stops a timer.
pub(super) const HALT: Function = Function {
    entry: entry_halting::<Runtime>(),
    ..function!(c"halt", disarm)
};
/// Ends a run and begins the next one.
pub(super) const NEXT_RUN: Function = Function {
    entry: entry_running::<Runtime>(),
    ..function!(c"next_run", clock_here)
};
/// Tells of the runs and the end of a timer.
pub(super) const OBSERVE: Function = function!(c"observe", observe);
/// Says what comes after the run that is under way.
pub(super) const RESTART: Function = function!(c"restart", restart);
/// Tells when a timer has been collected.
pub(super) const SENTINEL: Function = function!(c"sentinel", sentinel);
/// How a timer stands.
pub(super) const STANDING: Function = function!(c"standing", standing);

/// The class of sentinels: behind that of sets of descriptors.
#[expect(clippy::cast_possible_truncation, reason = "there are few classes")]
const CLASS: Class = Class(fd_set::CLASS.0 + fd_set::CLASSES.len() as u8);

/// The classes.
pub(super) const CLASSES: &[ClassDef] = &[ClassDef {
    name: c"coev.sentinel",
    module: MODULE.name,
    methods: &[],
    tostring: &function!(c"tostring", tostring),
}];

/// The arguments, by position.
mod slot {
    /// Seconds that a timer is started for.
    pub(super) const SECONDS: i32 = 1;
    /// The function of a timer.
    pub(super) const CALLBACK: i32 = 2;
    /// The number of a timer.
    pub(super) const NUMBER: i32 = 1;
    /// When the timer is due.
    pub(super) const AT: i32 = 1;
    /// From when its interval counts.
    pub(super) const FROM: i32 = 2;
    /// Whether `run` waits for it.
    pub(super) const COUNTS: i32 = 3;
    /// Whether others want to know of it.
    pub(super) const OBSERVED: i32 = 4;
    /// When it is due after the run that is under way.
    pub(super) const RESTART: i32 = 2;
}

/// The fault in the arguments of a function that starts timers.
fn refuse(stack: &Stack, repeated: bool) -> Result<Outcome, Fault> {
    let seconds = stack.strict_number(slot::SECONDS)?;
    if !crate::vm::is_span(seconds, repeated) {
        let bound = if repeated { "above 0" } else { "not below 0" };
        return Err(Fault::argument(
            slot::SECONDS,
            format!("finite number {bound} expected, got {seconds}"),
        ));
    }
    stack.function(slot::CALLBACK)?;
    Ok(Outcome::Reply(Reply::none()))
}

/// `after(seconds, f, ...)`, when something is wrong with its arguments.
fn refuse_after(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    refuse(stack, false)
}

/// `every(seconds, f, ...)`, when something is wrong with its arguments.
fn refuse_every(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    refuse(stack, true)
}

/// An answer of one value.
fn answer(value: impl Into<Value>) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(Reply::one(value)))
}

/// The number of a timer, as `arm` has answered it.
fn number(stack: &Stack) -> Result<u32, Fault> {
    let number = stack.integer(slot::NUMBER)? - 1;
    u32::try_from(number).map_err(|_| Fault::argument(slot::NUMBER, "no timer"))
}

/// The number for Lua, which counts from 1.
fn number_value(number: u32) -> i64 {
    i64::from(number) + 1
}

/// `arm(at, from, counts, observed)` → the number of a timer that is due then, by `coev.now`.
fn arm(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let at = stack.seconds(slot::AT)?;
    let from = stack.opt_seconds(slot::FROM)?.unwrap_or(f64::NAN);
    let (counts, observed) = (stack.boolean(slot::COUNTS)?, stack.boolean(slot::OBSERVED)?);
    answer(number_value(runtime.arm_clock(at, from, counts, observed)))
}

/// `clock_here()` → the number of the timer that the running task runs.
fn clock_here(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    let number = runtime.clock_here();
    answer(number.map_or(Value::Nil, |number| number_value(number).into()))
}

/// `disarm(number)`: takes back the number of a timer that is armed.
fn disarm(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    runtime.disarm_clock(number(stack)?);
    answer(())
}

/// `discount(number)`: `run` does not wait for this timer.
fn discount(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    runtime.discount_clock(number(stack)?);
    answer(())
}

/// `observe(number)`: from now on `run_ended` is called after each run, and `halt` says so.
fn observe(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    runtime.observe_clock(number(stack)?);
    answer(())
}

/// `restart(number [, at])`: a timer that runs is due then; or else the run is its last.
fn restart(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    runtime.restart_clock(number(stack)?, stack.opt_seconds(slot::RESTART)?);
    answer(())
}

/// `sentinel(number)` → an object that the timer is to hold, so that the loop learns when it has been collected.
fn sentinel(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let sentinel = runtime.sentinel(number(stack)?);
    answer(sentinel.map_or(Value::Nil, |sentinel| {
        Value::Object(CLASS, Rc::new(sentinel))
    }))
}

/// `standing(number)` → when it is due, or its run was; from when its interval counts, or for when it has been started
/// anew; whether its run is the last one, nil when it does not run. Nothing when there is none.
fn standing(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let Some(standing) = runtime.standing(number(stack)?) else {
        return answer(());
    };
    Ok(Outcome::Reply(Reply::three(
        standing.at,
        standing.from.map_or(Value::Nil, Value::Number),
        standing.stopping.map_or(Value::Nil, Value::Boolean),
    )))
}

/// `tostring(sentinel)`
fn tostring(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    answer("coev.sentinel")
}
