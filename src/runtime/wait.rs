//! How a call waits: it parks its task, or drives the loop in place where that cannot be.

use super::core::StandIn;
use super::operation::Poll;
use super::turn::Goal;
use super::{Deadline, Operation, Phase, Runtime, TaskId, now};
use crate::error::Fault;
use crate::sched::Moment;
use crate::vm::{Leave, Outcome, Outward, Reply, Stack, State};

/// Waits that are answered at once before the task lets the others have a turn, so that a task whose
/// socket is always ready starves nobody.
pub(super) const BUDGET: u32 = 64;

/// What became of the first try of a wait.
enum Attempt {
    /// It is over.
    Done(Reply),
    /// It goes on: the record is parked, or ready for its next try.
    Parked,
    /// A cancel or a deadline forbids it.
    Alarm,
}

impl Runtime {
    /// Waits for `operation`: parks the running task, or drives the loop in place where none can be parked.
    pub(crate) fn wait(
        &self,
        stack: &Stack,
        operation: Operation,
        deadline: Deadline,
    ) -> Result<Outcome, Fault> {
        let state = stack.state();
        let Some(task) = self.parkable(state) else {
            return self.wait_in_place(state, operation, deadline);
        };
        Ok(match self.attempt(task, Some(task), operation, deadline) {
            Attempt::Done(reply) => Outcome::Reply(reply),
            Attempt::Parked if self.outward(state) == Outward::Scheduler => {
                self.leave.set(Leave::Waiting);
                Outcome::Park
            }
            Attempt::Parked => Outcome::PassUp,
            Attempt::Alarm => Outcome::Alarm,
        })
    }

    /// May a wait of the code that runs be answered at once, with nothing else to be looked at?
    #[inline]
    pub(crate) fn may_answer(&self) -> bool {
        let left = self.budget.get().checked_sub(1);
        let may = !self.scoped.get() && left.is_some();
        if may {
            self.budget.set(left.unwrap_or(0));
        }
        may
    }

    /// Lets the other ready tasks have a turn.
    pub(crate) fn give_way(&self, stack: &Stack) -> Result<Outcome, Fault> {
        let state = stack.state();
        let Some(task) = self.parkable(state) else {
            return self.wait_in_place(state, Operation::Sleep, Deadline::Now);
        };
        if self.scoped.get() && self.verdict(Some(task)).is_some() {
            return Ok(Outcome::Alarm);
        }
        // A yield without an operation is what a plain `coroutine.yield` is, too; but this one can raise.
        self.leave.set(Leave::GivingWay);
        Ok(match self.outward(state) {
            Outward::Scheduler => Outcome::Park,
            Outward::Resumer => Outcome::PassUp,
        })
    }

    /// The running task, when it can be parked from here.
    #[inline]
    pub(crate) fn parkable(&self, state: State) -> Option<TaskId> {
        let task = self.current.get()?;
        (state.is(self.innermost.get()) && state.is_yieldable()).then_some(task)
    }

    /// Does `state` run a task that may leave its turn at once, with nothing else to be looked at?
    #[inline(always)]
    pub(super) fn may_leave(&self, state: State) -> bool {
        state.is(self.innermost.get())
            && state.is(self.coroutine.get())
            && self.current.get().is_some()
            && !self.scoped.get()
            && !self.has_woken_loose.get()
            && state.is_yieldable()
    }

    /// Where a yield of the running coroutine goes.
    #[inline]
    pub(crate) fn outward(&self, state: State) -> Outward {
        if state.is(self.coroutine.get()) {
            Outward::Scheduler
        } else {
            Outward::Resumer
        }
    }

    /// Polls an operation for `waiter`, and parks it when it has to wait. The scopes of `owner` count.
    fn attempt(
        &self,
        waiter: TaskId,
        owner: Option<TaskId>,
        mut operation: Operation,
        deadline: Deadline,
    ) -> Attempt {
        if self.scoped.get() && self.verdict(owner).is_some() {
            return Attempt::Alarm;
        }
        let mut ready = deadline == Deadline::Now;
        self.core.borrow_mut().record(waiter).woken = false;
        match self.budget.get().checked_sub(1) {
            Some(left) => {
                self.budget.set(left);
                if let Poll::Ready(reply) = operation.poll(self, waiter) {
                    return Attempt::Done(reply);
                }
            }
            None => ready = true,
        }
        let until = self.until(waiter, owner, deadline, &operation);
        let endless = until.is_none() && deadline == Deadline::Never;
        if endless && operation.is_inward() && owner == Some(waiter) {
            self.note_inward(waiter);
        }
        let mut core = self.core.borrow_mut();
        let ticket = core.parked.put(operation);
        core.record(waiter).woken |= ready;
        core.park(waiter, ticket, until);
        core.record(waiter).due = deadline == Deadline::Now;
        Attempt::Parked
    }

    /// When the wait must be looked at, for its own deadline or for one of the scopes around it.
    fn until(
        &self,
        waiter: TaskId,
        owner: Option<TaskId>,
        deadline: Deadline,
        operation: &Operation,
    ) -> Option<Moment> {
        let own = match deadline {
            Deadline::At(moment) => Some(moment),
            Deadline::Never | Deadline::Now => None,
        };
        if !self.scoped.get() && !operation.is_timed() {
            return own;
        }
        let mut core = self.core.borrow_mut();
        let rarities = core.record(waiter).rarities.get_or_insert_default();
        rarities.own_deadline = if deadline == Deadline::Now {
            Some(Moment(0))
        } else {
            own
        };
        drop(core);
        self.next_look(waiter, owner, operation)
    }

    /// When a wait whose own deadline is known must be looked at: at that, at one of the scopes around it, or when its
    /// operation asks for it.
    pub(super) fn next_look(
        &self,
        waiter: TaskId,
        owner: Option<TaskId>,
        operation: &Operation,
    ) -> Option<Moment> {
        let nearest = self.with_scopes(owner, |scopes| scopes.nearest()).flatten();
        let mut core = self.core.borrow_mut();
        let rarities = core.record(waiter).rarities.as_ref();
        let own = rarities
            .and_then(|rarities| rarities.own_deadline)
            .filter(|own| *own > Moment(0));
        [own, nearest, operation.alarm()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The same, where the operation may have changed its mind.
    pub(super) fn next_alarm(
        &self,
        waiter: TaskId,
        owner: Option<TaskId>,
        operation: &Operation,
    ) -> Option<Moment> {
        let timed = operation.is_timed();
        timed.then(|| self.next_look(waiter, owner, operation))?
    }

    /// Has the deadline of the waiter's own call passed, rather than one of the scopes around it or of its operation?
    pub(super) fn is_own_deadline(
        &self,
        waiter: TaskId,
        owner: Option<TaskId>,
        operation: &Operation,
    ) -> bool {
        let scoped = self.is_scoped(owner) || operation.is_timed();
        let mut core = self.core.borrow_mut();
        let rarities = core.record(waiter).rarities.as_ref();
        !scoped
            || rarities.is_none_or(|rarities| rarities.own_deadline.is_some_and(|own| own <= now()))
    }

    /// Waits where no task can be parked: a record stands in for the caller, and the loop runs until it has its reply.
    fn wait_in_place(
        &self,
        state: State,
        operation: Operation,
        deadline: Deadline,
    ) -> Result<Outcome, Fault> {
        let owner = self.current.get();
        let record = self.insert(Phase::Running);
        self.core
            .borrow_mut()
            .standins
            .push(StandIn { record, owner });
        self.scoped.set(self.is_scoped(owner));
        let result = match self.attempt(record, owner, operation, deadline) {
            Attempt::Done(reply) => Ok(Outcome::Reply(reply)),
            Attempt::Alarm => Ok(Outcome::Alarm),
            Attempt::Parked => self.drive(state, Goal::Reply(record)),
        };
        // A cancel may have come meanwhile.
        self.scoped.set(self.is_scoped(owner));
        let mut core = self.core.borrow_mut();
        core.standins.retain(|standin| standin.record != record);
        core.timers.stop(record.index());
        let left = core.tasks.remove(record);
        let operation = left.and_then(|(body, _)| core.parked.take(body.ticket));
        drop(core);
        if let Some(mut operation) = operation {
            operation.withdraw(self, record);
        }
        result
    }
}
