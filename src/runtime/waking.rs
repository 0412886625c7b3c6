//! How tasks are woken by other tasks.

use super::core::StandIn;
use super::{Operation, Phase, Runtime, TaskId, Verdict};
use crate::vm::Wakes;

impl Runtime {
    /// Makes a parked task ready.
    pub(crate) fn wake(&self, task: TaskId) {
        self.core.borrow_mut().wake(task);
        self.note_loose();
    }

    /// Ends the suspension of a task; answers whether it was suspended, and is not being ended.
    pub(crate) fn resume(&self, task: TaskId) -> bool {
        let mut core = self.core.borrow_mut();
        if core
            .tasks
            .get(task)
            .is_some_and(|record| record.phase == Phase::Suspended)
        {
            core.wake(task);
            drop(core);
            self.note_loose();
            return true;
        }
        drop(core);
        if self.is_scoped(Some(task)) && self.verdict(Some(task)) == Some(Verdict::Cancelled) {
            return false;
        }
        let mut core = self.core.borrow_mut();
        let owned = |standin: &&StandIn| standin.owner == Some(task);
        let waiter = core
            .standins
            .iter()
            .rev()
            .find(owned)
            .map_or(task, |standin| standin.record);
        let Some(record) = core.tasks.get(waiter) else {
            return false;
        };
        let ticket = record.body.ticket;
        match core.parked.get(ticket) {
            Some(Operation::Suspend(resumed @ false)) => *resumed = true,
            Some(Operation::Watch(_)) => {}
            Some(Operation::Choice(choice)) => {
                if !choice.poke() {
                    return false;
                }
            }
            _ => return false,
        }
        core.wake(waiter);
        drop(core);
        self.note_loose();
        true
    }
}

impl Wakes for Runtime {
    #[inline(always)]
    fn here(&self) -> i64 {
        self.current
            .get()
            .map_or(0, |task| i64::from(task.index()) + 1)
    }

    fn wake_at(&self, key: i64) -> bool {
        if key == 0 {
            return self.poke_outside();
        }
        let Ok(index) = u32::try_from(key - 1) else {
            return false;
        };
        let task = self.core.borrow().tasks.at(index);
        task.is_some_and(|task| self.resume(task))
    }
}
