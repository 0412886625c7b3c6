//! Cancels, deadlines and shields, for the running task or for the main chunk.

use super::{Runtime, TaskId, now};
use crate::sched::{Moment, Scopes, Verdict};
use crate::vm::{Coroutine, Outward, Stack};

impl Runtime {
    /// Works with the scopes of a task, or of the code outside of all tasks; `None` when the task has ended.
    pub(super) fn with_scopes<T>(
        &self,
        owner: Option<TaskId>,
        work: impl FnOnce(&mut Scopes) -> T,
    ) -> Option<T> {
        let Some(owner) = owner else {
            return Some(work(&mut self.outside.borrow_mut()));
        };
        let mut core = self.core.borrow_mut();
        let record = core.tasks.get(owner)?;
        match &mut record.rarities {
            Some(rarities) => Some(work(&mut rarities.scopes)),
            None => Some(work(&mut Scopes::default())),
        }
    }

    /// May the waits of the task have to raise?
    pub(super) fn is_scoped(&self, owner: Option<TaskId>) -> bool {
        self.with_scopes(owner, |scopes| !scopes.is_idle())
            .unwrap_or(false)
    }

    /// Must the waits of the task raise?
    pub(crate) fn verdict(&self, owner: Option<TaskId>) -> Option<Verdict> {
        self.with_scopes(owner, |scopes| scopes.verdict(now()))
            .flatten()
    }

    /// Changes the scopes of the running task, or of the main chunk.
    fn change_scopes<T>(&self, work: impl FnOnce(&mut Scopes) -> T) -> T {
        let owner = self.current.get();
        if let Some(owner) = owner {
            self.core
                .borrow_mut()
                .record(owner)
                .rarities
                .get_or_insert_default();
        }
        let (answer, idle) = self
            .with_scopes(owner, |scopes| (work(scopes), scopes.is_idle()))
            .expect("the running task is in the table");
        self.scoped.set(!idle);
        answer
    }

    /// Enters a scope with a deadline; answers its name.
    pub(crate) fn enter_deadline(&self, deadline: Moment) -> u64 {
        let serial = self.next_serial();
        self.change_scopes(|scopes| scopes.enter_deadline(serial, deadline));
        serial
    }

    /// Enters a shield; answers its name.
    pub(crate) fn enter_shield(&self) -> u64 {
        let serial = self.next_serial();
        self.change_scopes(|scopes| scopes.enter_shield(serial));
        serial
    }

    /// Leaves a scope; answers whether a cancel that it has held off is due.
    pub(crate) fn leave_scope(&self, serial: u64) -> bool {
        self.change_scopes(|scopes| scopes.leave(serial))
    }

    /// A name for a scope that none has had.
    fn next_serial(&self) -> u64 {
        self.serial.set(self.serial.get() + 1);
        self.serial.get()
    }

    /// Ends the time of a scope, of a task or of the main chunk.
    pub(crate) fn expire_scope(&self, owner: Option<TaskId>, serial: u64) {
        if self.with_scopes(owner, |scopes| scopes.expire(serial)) == Some(true) {
            self.disturb(owner);
        }
    }

    /// Cancels a task; answers whether that is news, or `None` when it has ended.
    pub(crate) fn cancel(&self, task: TaskId) -> Option<bool> {
        let mut core = self.core.borrow_mut();
        let rarities = core.tasks.get(task)?.rarities.get_or_insert_default();
        let news = rarities.scopes.cancel();
        drop(core);
        if self.current.get() == Some(task) {
            self.scoped.set(true);
        }
        self.disturb(Some(task));
        Some(news)
    }

    /// Lets the waits of a task look at their scopes again.
    fn disturb(&self, owner: Option<TaskId>) {
        let mut core = self.core.borrow_mut();
        let in_place: Vec<TaskId> = core
            .standins
            .iter()
            .filter(|standin| standin.owner == owner)
            .map(|standin| standin.record)
            .collect();
        for waiter in in_place.into_iter().chain(owner) {
            if core
                .tasks
                .get(waiter)
                .is_some_and(|record| record.phase.is_waiting())
            {
                core.wake(waiter);
            }
        }
        drop(core);
        self.note_loose();
    }

    /// The running coroutine is about to resume `co`, which lies at `slot`, and passes on what its waits yield. Answers whether they can be
    /// passed on as far as the scheduler.
    pub(crate) fn descend(&self, stack: &Stack, co: Coroutine, slot: i32) -> bool {
        let connected = self.parkable(stack.state()).is_some();
        if connected {
            self.innermost.set(co);
            if let Some(hookable) = self.threads.hookable() {
                stack.hold_inner(slot);
                hookable.enter(co);
            }
        }
        connected
    }

    /// The running coroutine is the innermost one again.
    pub(crate) fn ascend(&self, stack: &Stack) {
        self.innermost.set(stack.state().coroutine());
        if let Some(hookable) = self.threads.hookable() {
            hookable.enter(stack.state().coroutine());
        }
    }

    /// Where the wait that a nested coroutine has passed up goes from here.
    pub(crate) fn relay(&self, stack: &Stack) -> Outward {
        self.outward(stack.state())
    }
}
