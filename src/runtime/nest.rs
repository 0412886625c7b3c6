//! Loops inside loops: what is put aside while an inner one runs.

use super::wait::BUDGET;
use super::{Coroutine, Runtime, TaskId};

/// Keeps account of one nested loop, also when a panic ends it.
pub(super) struct Nest<'a> {
    /// The runtime.
    runtime: &'a Runtime,
    /// The task that was running outside.
    task: Option<TaskId>,
    /// Its coroutine.
    coroutine: Coroutine,
    /// The coroutine from which it could be parked.
    innermost: Coroutine,
}

impl<'a> Nest<'a> {
    /// One loop more: until it ends, no task of the outer ones runs.
    pub(super) fn enter(runtime: &'a Runtime) -> Nest<'a> {
        runtime.depth.set(runtime.depth.get() + 1);
        Nest {
            runtime,
            task: runtime.current.take(),
            coroutine: runtime.coroutine.replace(Coroutine::NONE),
            innermost: runtime.innermost.replace(Coroutine::NONE),
        }
    }
}

impl Drop for Nest<'_> {
    fn drop(&mut self) {
        let runtime = self.runtime;
        runtime.depth.set(runtime.depth.get() - 1);
        runtime.current.set(self.task);
        runtime.coroutine.set(self.coroutine);
        runtime.innermost.set(self.innermost);
        runtime.budget.set(BUDGET);

        // Stand-ins of outer loops that were woken meanwhile are polled there.
        let mut core = runtime.core.borrow_mut();
        for task in std::mem::take(&mut core.aside) {
            core.queue.push(task);
        }
    }
}
