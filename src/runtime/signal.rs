//! Signals: whoever signals an event gives those that wait for it their turn at once, as the loop would. What waits for
//! events alone never goes through the run queue.

use super::events::ListId;
use super::operation::Poll;
use super::parked::Ticket;
use super::{Coroutine, Deadline, Operation, Phase, Runtime, TaskId};
use crate::error::Fault;
use crate::vm::{Leave, Outcome, Reply, Resumed, Stack, State, Value};

/// How many signals may be inside one another, each in the turn of a task that the one before it has woken: beyond,
/// those that wait get their turn from the loop.
const NESTED_SIGNALS: u32 = 10;

/// The wait of who has signalled, until the tasks that the loop wakes have had their turn.
pub(crate) struct Settle {
    /// These tasks.
    tasks: Vec<TaskId>,
    /// The list of the event, when the answer is whether anybody waits in it then.
    list: Option<ListId>,
    /// Has it not waited yet?
    fresh: bool,
}

/// What became of the turn of one that waited.
enum Turned {
    /// It is over, or there was none to be given.
    Over,
    /// The loop gives it.
    Later,
}

impl Settle {
    /// Lets the tasks that have been woken have their turn. What one of them signals belongs to its turn.
    pub(super) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        let fresh = std::mem::take(&mut self.fresh);
        if fresh || self.tasks.iter().any(|task| runtime.settles(*task)) {
            // It stays at the back of the queue, behind them.
            runtime.core.borrow_mut().wake(task);
            return Poll::Pending;
        }
        let waiting = self.list.take().map_or(Value::Nil, |list| {
            Value::Boolean(runtime.core.borrow_mut().events.end_signal(list))
        });
        Poll::Ready(Reply::one(waiting))
    }

    /// Who has signalled does not wait for the turns.
    pub(super) fn withdraw(&mut self, runtime: &Runtime) {
        if let Some(list) = self.list.take() {
            runtime.core.borrow_mut().events.end_signal(list);
        }
    }
}

impl Runtime {
    /// Gives all who wait in the list their turn, with the arguments of the call from `first` on; answers whether
    /// anybody waits then.
    pub(crate) fn signal(&self, stack: &Stack, list: ListId, first: i32) -> Result<Outcome, Fault> {
        let taken = self.core.borrow_mut().events.begin_signal(list);
        let mut later = Vec::new();
        let mut told = 0;
        let mut failure = None;
        for task in &taken {
            told += 1;
            match self.give_turn(stack, *task, list.place(), first) {
                Ok(Turned::Over) => {}
                Ok(Turned::Later) => later.push(*task),
                Err(fault) => {
                    failure = Some(fault);
                    break;
                }
            }
        }
        let left = taken.len() - told;
        let mut core = self.core.borrow_mut();
        core.events.put_back(list, taken, left);
        // However many it reaches, a signal is one step; but after some steps it is the others' turn.
        if failure.is_none() && (!later.is_empty() || self.budget.get() == 0) {
            drop(core);
            return self.settle(stack, later, Some(list));
        }
        let waiting = core.events.end_signal(list);
        failure.map_or_else(|| Ok(Outcome::Reply(Reply::one(waiting))), Err)
    }

    /// Wakes all who wait in the list, with the arguments of the call from `first` on.
    pub(crate) fn release_waiters(
        &self,
        stack: &Stack,
        list: ListId,
        first: i32,
    ) -> Result<(), Fault> {
        let taken = self.core.borrow_mut().events.begin_signal(list);
        for task in &taken {
            if let Some(co) = self.end_wait(*task, list.place()) {
                self.leave_turn(stack, *task, co, first)?;
            }
        }
        let mut core = self.core.borrow_mut();
        core.events.put_back(list, taken, 0);
        core.events.end_signal(list);
        Ok(())
    }

    /// Lets tasks that have been made ready have their turn.
    pub(crate) fn settle(
        &self,
        stack: &Stack,
        tasks: Vec<TaskId>,
        list: Option<ListId>,
    ) -> Result<Outcome, Fault> {
        if self.scoped.get() && self.verdict(self.current.get()).is_some() {
            list.map(|list| self.core.borrow_mut().events.end_signal(list));
            return Ok(Outcome::Alarm);
        }
        let settle = Settle {
            tasks,
            list,
            fresh: true,
        };
        self.wait(stack, Operation::Settle(Box::new(settle)), Deadline::Never)
    }

    /// Is the task in the middle of a signal, waiting for those that it has woken?
    fn settles(&self, task: TaskId) -> bool {
        let mut core = self.core.borrow_mut();
        let Some(record) = core.tasks.get(task) else {
            return false;
        };
        let ticket = record.body.ticket;
        matches!(core.parked.get(ticket), Some(Operation::Settle(_)))
    }

    /// Ends the wait of a task that a signal has taken out of the list at `place`, if it is still that one; answers its
    /// coroutine, whose stack is clear then.
    #[inline(always)]
    fn end_wait(&self, task: TaskId, place: u32) -> Option<Coroutine> {
        let mut core = self.core.borrow_mut();
        let core = &mut *core;
        if core.events.has_gone(place, task) {
            return None;
        }
        let record = core.tasks.get(task)?;
        if record.body.ticket != Ticket::of_event(place) {
            return None;
        }
        record.body.ticket = Ticket::default();
        record.due = false;
        record.plain = false;
        core.timers.stop(task.index());
        let kept = std::mem::take(&mut record.body.kept);
        if kept > 0 {
            record.body.co.forget(kept);
        }
        Some(record.body.co)
    }

    /// Makes a task ready to go on with the arguments of the call.
    fn leave_turn(
        &self,
        stack: &Stack,
        task: TaskId,
        co: Coroutine,
        first: i32,
    ) -> Result<(), Fault> {
        let count = stack.give(co, first)?;
        let mut core = self.core.borrow_mut();
        core.record(task).body.kept = count;
        core.wake(task);
        drop(core);
        self.note_loose();
        Ok(())
    }

    /// Gives one that waits its turn, now where that can be.
    #[inline(always)]
    fn give_turn(
        &self,
        stack: &Stack,
        task: TaskId,
        place: u32,
        first: i32,
    ) -> Result<Turned, Fault> {
        let Some(co) = self.end_wait(task, place) else {
            return Ok(Turned::Over);
        };
        let mut core = self.core.borrow_mut();
        let record = core.record(task);
        let rarities = record.rarities.as_ref();
        let rare = rarities.is_some_and(|rarities| rarities.matter_now());
        let loose = rarities.is_some_and(|rarities| rarities.loose);
        let now = !rare
            && record.phase == Phase::Parked
            && self.signals.get() < NESTED_SIGNALS
            && co.is_parked();
        if !now {
            drop(core);
            self.leave_turn(stack, task, co, first)?;
            return Ok(Turned::Later);
        }
        record.phase = Phase::Running;
        core.switches += 1;
        drop(core);
        let state = stack.state();
        if loose {
            self.core.borrow_mut().note_loose(task);
            self.tighten_woken(state);
        }
        let count = stack.give(co, first)?;
        self.budget.set(self.budget.get().saturating_sub(1));
        self.run_turn(state, task, co, count)
    }

    /// Runs the turn of a task inside that of who signals.
    #[inline(always)]
    fn run_turn(
        &self,
        state: State,
        task: TaskId,
        co: Coroutine,
        count: i32,
    ) -> Result<Turned, Fault> {
        let outer = (
            self.current.get(),
            self.coroutine.get(),
            self.innermost.get(),
            self.scoped.get(),
            self.budget.get(),
        );
        self.signals.set(self.signals.get() + 1);
        let resumed = self.switch_to(state, task, co, count);
        let task = self.current.take().unwrap_or(task);
        let mut turned = Ok(Turned::Over);
        if let Resumed::Yielded(values) = resumed {
            let mut core = self.core.borrow_mut();
            core.yielded(task, co, values, self.leave.replace(Leave::Plainly));
            let ticket = core.record(task).body.ticket;
            if let Some(Operation::Settle(_)) = core.parked.get(ticket) {
                turned = Ok(Turned::Later);
            }
        } else if let Err(fault) = self.end(state, task, co, resumed) {
            turned = Err(fault);
        }
        self.signals.set(self.signals.get() - 1);
        self.current.set(outer.0);
        self.coroutine.set(outer.1);
        self.innermost.set(outer.2);
        self.scoped.set(outer.3);
        self.budget.set(outer.4);
        turned
    }
}
