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
        self.wake_if(task, |operation| match operation {
            Operation::Suspend(resumed @ false) => {
                *resumed = true;
                true
            }
            _ => false,
        })
    }

    /// Lets a task look again that waits in coev's own Lua; answers whether it does, and is not being ended.
    pub(crate) fn poke(&self, task: TaskId) -> bool {
        self.wake_if(task, |operation| match operation {
            Operation::Told(told @ false, _) => {
                *told = true;
                true
            }
            Operation::Watch(_) => true,
            Operation::Choice(choice) => choice.poke(),
            _ => false,
        })
    }

    /// The task with the belongings under that key.
    pub(crate) fn task_at(&self, key: i64) -> Option<TaskId> {
        let index = u32::try_from(key.checked_sub(1)?).ok()?;
        self.core.borrow().tasks.at(index)
    }

    /// Wakes a task if what it waits for, be it in place, `agrees`; answers whether it has, and is not being ended.
    fn wake_if(&self, task: TaskId, agrees: impl FnOnce(&mut Operation) -> bool) -> bool {
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
        if !core.parked.get(ticket).is_some_and(agrees) {
            return false;
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
        self.task_at(key).is_some_and(|task| self.poke(task))
    }
}
