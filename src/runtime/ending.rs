//! How a task ends: what it has deferred is called, its handle learns of it, then its joiners, or else the user.

use super::core::Body;
use super::{Operation, Phase, Runtime, TaskId};
use crate::error::Fault;
use crate::vm::{CLOSES_VARIABLES, Coroutine, Ended, ErrorAt, Leave, Resumed, State};

impl Runtime {
    /// The coroutine of a task has returned or failed.
    #[inline(never)]
    pub(super) fn end(
        &self,
        state: State,
        task: TaskId,
        co: Coroutine,
        resumed: Resumed,
    ) -> Result<(), Fault> {
        let returned = match resumed {
            Resumed::Returned(count) => Some(count),
            Resumed::Yielded(_) | Resumed::Failed => None,
        };
        let mut core = self.core.borrow_mut();
        let rarities = core.record(task).rarities.as_ref();
        let (plain, has_defers) = (
            rarities.is_none(),
            rarities.is_some_and(|rarities| rarities.has_defers),
        );
        drop(core);
        if let Some(count) = returned
            && plain
        {
            state.finish(&self.library, co, Runtime::name_of(task), count, false);
            self.core.borrow_mut().remove(task);
            return Ok(());
        }
        let in_epilogue = self.in_epilogue(task);
        match returned {
            Some(count) if in_epilogue && co.first_is_true(count) => {
                self.finish(state, task, co, count - 1)
            }
            Some(count) if in_epilogue => {
                return self.fail(state, task, co, ErrorAt::Values(count));
            }
            // Defers, and variables that are to be closed, are called where the task can wait.
            _ if (has_defers || (CLOSES_VARIABLES && returned.is_none()))
                && self.begin_epilogue(state, task, co, returned, ErrorAt::Top) =>
            {
                return self.run_epilogue(state, task);
            }
            Some(count) => self.finish(state, task, co, count),
            None => return self.fail(state, task, co, ErrorAt::Top),
        }
        Ok(())
    }

    /// Has the task come to its end, and calls what it has deferred?
    pub(super) fn in_epilogue(&self, task: TaskId) -> bool {
        let mut core = self.core.borrow_mut();
        core.record(task)
            .rarities
            .as_ref()
            .is_some_and(|rarities| rarities.in_epilogue)
    }

    /// A task that has been cancelled before its first turn.
    pub(super) fn end_unstarted(
        &self,
        state: State,
        task: TaskId,
        co: Coroutine,
    ) -> Result<(), Fault> {
        self.fail(state, task, co, ErrorAt::Belongings)
    }

    /// A task whose coroutine somebody else has resumed cannot go on.
    pub(super) fn lose(&self, state: State, task: TaskId, co: Coroutine) -> Result<(), Fault> {
        self.drop_wait(task);
        let message =
            c"the coroutine of this task has been resumed by somebody else than the scheduler";
        self.fail(state, task, co, ErrorAt::Text(message))
    }

    /// Takes a task back from whatever it waits for.
    pub(super) fn drop_wait(&self, task: TaskId) {
        let mut core = self.core.borrow_mut();
        core.timers.stop(task.index());
        let ticket = std::mem::take(&mut core.record(task).body.ticket);
        let operation = core.parked.take(ticket);
        drop(core);
        if let Some(mut operation) = operation {
            operation.withdraw(self, task);
        }
    }

    /// Runs the turn of a task that has just come to its end.
    fn run_epilogue(&self, state: State, task: TaskId) -> Result<(), Fault> {
        let mut core = self.core.borrow_mut();
        core.switches += 1;
        let record = core.record(task);
        record.phase = Phase::Running;
        let count = std::mem::take(&mut record.body.kept);
        let co = record.body.co;
        drop(core);
        self.scoped.set(self.is_scoped(Some(task)));
        let resumed = self.switch_to(state, task, co, count);
        let task = self.current.take().unwrap_or(task);
        if let Resumed::Yielded(values) = resumed {
            let leave = self.leave.replace(Leave::Plainly);
            self.core.borrow_mut().yielded(task, co, values, leave);
            return Ok(());
        }
        self.end(state, task, co, resumed)
    }

    /// Gives a task a new coroutine, which calls what it has deferred; answers whether that could be done. The task is
    /// ready then, but in no queue.
    pub(super) fn begin_epilogue(
        &self,
        state: State,
        task: TaskId,
        co: Coroutine,
        returned: Option<i32>,
        error: ErrorAt,
    ) -> bool {
        let name = Runtime::name_of(task);
        let Some((epilogue, count)) =
            state.begin_epilogue(&self.library, co, name, returned, error)
        else {
            return false;
        };
        let mut core = self.core.borrow_mut();
        let record = core.record(task);
        record.phase = Phase::Ready;
        record.plain = true;
        record.body.co = epilogue;
        record.body.kept = count;
        let rarities = record.rarities.get_or_insert_default();
        rarities.has_defers = false;
        rarities.in_epilogue = true;
        true
    }

    /// Lets the registry hold those who wait for the end of a task, before its handle lets go of them or is let go of.
    pub(super) fn tighten_joiners(&self, state: State, task: TaskId) {
        let mut core = self.core.borrow_mut();
        let joiners = core
            .record(task)
            .rarities
            .as_ref()
            .map(|rarities| rarities.joiners.iter().collect::<Vec<_>>());
        for joiner in joiners.unwrap_or_default() {
            core.note_loose(joiner);
        }
        drop(core);
        self.tighten_woken(state);
    }

    /// Tells those who wait for the end of a weak task without a hold of its handle.
    fn hand_over(&self, state: State, task: TaskId) {
        let mut core = self.core.borrow_mut();
        let rarities = core.record(task).rarities.as_ref();
        let weak = rarities.is_some_and(|rarities| rarities.weak);
        drop(core);
        if weak {
            state.hand_over(&self.library, &self.reply, Runtime::name_of(task));
        }
    }

    /// A join is given up by a cancel when the joined task has ended already: a failure that it would have told of is
    /// reported to the user instead.
    pub(super) fn tell_instead(&self, state: State, task: TaskId, operation: &Operation) {
        let Operation::Join(joined, _) = operation else {
            return;
        };
        let mut core = self.core.borrow_mut();
        let Body { co, kept, .. } = core.record(task).body;
        let ended = core.tasks.get(*joined).is_none();
        drop(core);
        if ended && !co.is_none() && kept > 0 && state.report_untold(&self.library, co, kept) {
            self.raising.set(self.raising.get() + 1);
        }
    }

    /// Notes that somebody watches a task.
    pub(crate) fn watch_task(&self, task: TaskId) {
        if let Some(record) = self.core.borrow_mut().tasks.get(task) {
            record.rarities.get_or_insert_default().watched = true;
        }
    }

    /// Tells those who watch a task of its end; answers whether there are any.
    fn tell_of_end(&self, state: State, task: TaskId) -> bool {
        let mut core = self.core.borrow_mut();
        let rarities = core
            .tasks
            .get(task)
            .and_then(|record| record.rarities.as_ref());
        let watched = rarities.is_some_and(|rarities| rarities.watched);
        drop(core);
        watched && state.tell_of_end(&self.library, Runtime::name_of(task).slot)
    }

    /// A task has returned `count` values.
    fn finish(&self, state: State, task: TaskId, co: Coroutine, count: i32) {
        self.desert(task);
        self.tell_of_end(state, task);
        self.tighten_joiners(state, task);
        self.hand_over(state, task);
        state.finish(&self.library, co, Runtime::name_of(task), count, true);
        self.core.borrow_mut().remove(task);
        self.end_run(state, task, false);
    }

    /// A task has failed or been cancelled.
    pub(super) fn fail(
        &self,
        state: State,
        task: TaskId,
        co: Coroutine,
        error: ErrorAt,
    ) -> Result<(), Fault> {
        let mut core = self.core.borrow_mut();
        let rarities = core.record(task).rarities.as_ref();
        let cancelled = rarities.is_some_and(|rarities| rarities.scopes.is_cancelled());
        let adopted =
            rarities.is_some_and(|rarities| rarities.adopted || !rarities.joiners.is_empty());
        drop(core);
        self.tighten_joiners(state, task);
        self.hand_over(state, task);
        let ended = state.fail(&self.library, co, Runtime::name_of(task), error, cancelled);
        // Its variables have been closed by now, and have given back what they guarded.
        self.desert(task);
        let watched = self.tell_of_end(state, task);
        let told = self.end_run(state, task, true) || watched;

        let interrupted = state.is_interruption();
        let is_main = self.main.get() == Some(task);
        if interrupted {
            state.merge_failure(&self.library);
        } else if is_main || adopted || told || ended == Ended::Cancelled {
            state.forget_failure();
        } else if state.report(&self.library) {
            self.raising.set(self.raising.get() + 1);
        }
        self.main_failed.set(self.main_failed.get() || is_main);
        self.core.borrow_mut().remove(task);
        if interrupted {
            Err(Fault::Raised)
        } else {
            Ok(())
        }
    }
}
