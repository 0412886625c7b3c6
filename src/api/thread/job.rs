//! What a job's end is written with and read from: the embedded Lua makes jobs of both.

use super::{MODULE, SETTLER, answer, handle, refuse};
use crate::api::function;
use crate::error::Fault;
use crate::runtime::Runtime;
use crate::runtime::thread::{self, End, Settler};
use crate::vm::copy::Shared;
use crate::vm::{Class, ClassDef, Function, Object, Outcome, Reply, Stack, Value};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// The class of what is read.
pub(super) const LATCH_CLASS: ClassDef = ClassDef {
    name: c"coev.latch",
    module: MODULE.name,
    methods: &[],
    tostring: &function!(c"tostring", tostring),
};
/// The class of what is written.
pub(super) const SETTLER_CLASS: ClassDef = ClassDef {
    name: c"coev.settler",
    module: MODULE.name,
    methods: &[],
    tostring: &function!(c"tostring", tostring),
};

/// Makes both.
pub(super) const LATCH: Function = function!(c"thread_latch", latch_pair);
/// Writes that the end is a cancel, from outside.
pub(super) const ABANDON: Function = function!(c"thread_abandon", abandon);
/// Is the end written?
pub(super) const IS_SETTLED: Function = function!(c"thread_is_settled", is_settled);
/// Writes the end.
pub(super) const SETTLE: Function = function!(c"thread_settle", settle);

/// Where an end is read, as Lua holds it.
struct LatchEnd(Arc<thread::Latch>);

/// What an end is written with, as Lua holds it. It moves: whoever it is sent to has it, and nobody else.
struct SettlerEnd(RefCell<Option<Arc<Settler>>>);

/// The same on its way.
struct SettlerSent(Arc<Settler>);

/// The first argument of each.
const FIRST: i32 = 1;

impl Object for LatchEnd {
    fn share(&self) -> Option<Arc<dyn Shared>> {
        Some(Arc::new(LatchEnd(Arc::clone(&self.0))))
    }
}

impl Shared for LatchEnd {
    fn land(self: Arc<Self>) -> (Class, Rc<dyn Object>) {
        (super::LATCH, Rc::new(LatchEnd(Arc::clone(&self.0))))
    }
}

impl Object for SettlerEnd {
    fn share(&self) -> Option<Arc<dyn Shared>> {
        let settler = self.0.take()?;
        Some(Arc::new(SettlerSent(settler)))
    }

    fn collected(&self) {
        self.0.take();
    }
}

impl Shared for SettlerSent {
    fn land(self: Arc<Self>) -> (Class, Rc<dyn Object>) {
        let held = RefCell::new(Some(Arc::clone(&self.0)));
        (SETTLER, Rc::new(SettlerEnd(held)))
    }
}

/// The latch at `slot`.
pub(super) fn latch(stack: &Stack, slot: i32) -> Result<Arc<thread::Latch>, Fault> {
    let end = stack.object::<LatchEnd>(slot, &[super::LATCH], "coev.latch")?;
    Ok(Arc::clone(&end.0))
}

/// `thread_latch()` → what is read, and what is written.
fn latch_pair(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    let (latch, settler) = Settler::pair();
    Ok(Outcome::Reply(Reply::two(
        Value::Object(super::LATCH, Rc::new(LatchEnd(latch))),
        Value::Object(
            SETTLER,
            Rc::new(SettlerEnd(RefCell::new(Some(Arc::new(settler))))),
        ),
    )))
}

/// `thread_settle(settler, kind, complaint, ok, ...)`
fn settle(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let settler = stack.object::<SettlerEnd>(FIRST, &[SETTLER], "coev.settler")?;
    let held = settler.0.borrow();
    let Some(settler) = &*held else {
        return Err(Fault::argument(FIRST, "the settler has been sent"));
    };
    match handle::read_end(runtime, stack, FIRST)? {
        Ok(end) => settler.settle(end),
        Err(problem) => return refuse(problem),
    }
    answer(true)
}

/// `thread_abandon(latch, reason)` → true; or `nil` and why the reason cannot be copied.
fn abandon(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let latch = latch(stack, FIRST)?;
    let end = match super::copy(runtime, stack, FIRST + 1, 1, |_| "reason".into()) {
        Ok((message, _)) => End::cancelled_for(message),
        Err(problem) => return refuse(problem),
    };
    latch.settle(end);
    answer(true)
}

/// `thread_is_settled(settler)`
fn is_settled(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let settler = stack.object::<SettlerEnd>(FIRST, &[SETTLER], "coev.settler")?;
    let held = settler.0.borrow();
    answer(held.as_ref().is_none_or(|settler| settler.is_settled()))
}

/// `tostring` of either.
fn tostring(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(format!("coev.job: {:#x}", stack.address(FIRST)))
}
