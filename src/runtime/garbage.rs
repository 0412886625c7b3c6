//! Who holds a task: the registry while something outside of Lua can wake it, else what it waits for.
//!
//! A task that is woken soon after it was parked never pays for the change: the loop looks through the parked ones
//! when it has nothing else to do, or when they have become many.

use super::core::{Body, Core};
use super::operation::Operation;
use super::parked::{Parked, Ticket};
use super::{Phase, Runtime, TaskId};
use crate::error::Fault;
use crate::sched::Tasks;
use crate::vm::{ErrorAt, Holder, State};

/// Rounds after which those who wait for events may be held by their handles alone, where the loop is never idle.
const ROUNDS_A_LOOK: u64 = 1024;

impl Runtime {
    /// Notes a task that has been parked on something of this universe, with nothing else to wake it.
    pub(super) fn note_inward(&self, task: TaskId) {
        self.core.borrow_mut().inward.push(task);
    }

    /// Lets the tasks that have been parked for a whole round, or all when the loop is `idle`, be held by what they
    /// wait for.
    pub(super) fn loosen_parked(&self, state: State, idle: bool) {
        let mut core = self.core.borrow_mut();
        let mut candidates = core.parked_for_long(idle);
        if idle || core.rounds.is_multiple_of(ROUNDS_A_LOOK) {
            candidates.extend(core.events.newly_waiting());
        }
        drop(core);
        for task in candidates {
            if let Some((holder, weak)) = self.holder_of(task) {
                let name = Runtime::name_of(task);
                let loose = state.loosen(&self.library, name, holder, weak);
                let mut core = self.core.borrow_mut();
                core.record(task).rarities.get_or_insert_default().loose = loose;
            }
        }
    }

    /// What a parked task waits for, when that may hold it; and whether it is weak itself.
    fn holder_of(&self, task: TaskId) -> Option<(Holder, bool)> {
        let mut core = self.core.borrow_mut();
        let record = core.tasks.get(task)?;
        let (loose, weak) = record
            .rarities
            .as_ref()
            .map_or((false, false), |rarities| (rarities.loose, rarities.weak));
        if !record.phase.is_waiting() || loose {
            return None;
        }
        if record.phase == Phase::Suspended {
            return Some((Holder::Task(Runtime::name_of(task)), weak));
        }
        let (ticket, kept) = (record.body.ticket, record.body.kept);
        if let Some(place) = Parked::list(ticket) {
            return Some((Holder::List(place), weak));
        }
        if ticket == Ticket::SLEEP {
            return Some((Holder::Task(Runtime::name_of(task)), weak));
        }
        if core.parked.is_in_line(ticket) {
            return Some((Holder::Objects(kept), weak));
        }
        let holder = match core.parked.get(ticket)? {
            Operation::Suspend(false) | Operation::Told(false, _) => task,
            Operation::Join(joined, _) => *joined,
            _ => return None,
        };
        // A weak task is not held by its handle's holders' waiters: whoever joins it stays where it is.
        let held = core.tasks.get(holder)?;
        let held_weakly = held.rarities.as_ref().is_some_and(|rarities| rarities.weak);
        let may = holder == task || !held_weakly;
        may.then_some((Holder::Task(Runtime::name_of(holder)), weak))
    }

    /// Notes that loose tasks have been woken, so that the registry holds them before Lua goes on.
    pub(super) fn note_loose(&self) {
        if !self.core.borrow().woken_loose.is_empty() {
            self.has_woken_loose.set(true);
        }
    }

    /// Lets the registry hold the loose tasks that have been woken, and tells Lua what is new.
    pub(super) fn tighten_woken(&self, state: State) {
        self.has_woken_loose.set(false);
        let woken = std::mem::take(&mut self.core.borrow_mut().woken_loose);
        for task in woken {
            let mut core = self.core.borrow_mut();
            let Some(record) = core.tasks.get(task) else {
                continue;
            };
            let rarities = record.rarities.get_or_insert_default();
            rarities.loose = false;
            let weak = rarities.weak;
            let kept = record.body.kept;
            drop(core);
            state.tighten(&self.library, Runtime::name_of(task), weak, kept);
        }
        let news = std::mem::take(&mut *self.news.borrow_mut());
        for name in news {
            state.tell(&self.library, &self.reply, name);
        }
    }

    /// Have handles been collected, where that matters?
    pub(super) fn has_dropped(&self) -> bool {
        !self.dropped.borrow().is_empty()
    }

    /// Ends the tasks whose handles have been collected: weak ones as if cancelled, those that were garbage with what
    /// they waited for without a trace.
    pub(super) fn bury(&self, state: State) -> Result<(), Fault> {
        let dropped = std::mem::take(&mut *self.dropped.borrow_mut());
        for task in dropped {
            let mut core = self.core.borrow_mut();
            let Some(record) = core.tasks.get(task) else {
                continue;
            };
            let co = record.body.co;
            let parked = record.phase.is_waiting();
            let Some(rarities) = &mut record.rarities else {
                continue;
            };
            let (weak, loose, defers) = (rarities.weak, rarities.loose, rarities.has_defers);
            if rarities.in_epilogue || !(weak || (loose && parked)) {
                continue;
            }
            if weak {
                rarities.scopes.cancel();
            }
            drop(core);
            self.drop_wait(task);
            let name = Runtime::name_of(task);
            if !weak {
                self.desert(task);
                // Whoever joins it is garbage, too: else the handle would have been reachable.
                state.release(&self.library, name);
                self.core.borrow_mut().tasks.remove(task);
                self.end_run(state, task, false);
            } else if defers && self.begin_epilogue(state, task, co, None, ErrorAt::Dropped) {
                self.core.borrow_mut().queue.push(task);
            } else {
                self.fail(state, task, co, ErrorAt::Dropped)?;
            }
        }
        Ok(())
    }

    /// Nothing can happen any more: perhaps all who wait are garbage.
    pub(super) fn collect(&self, state: State) -> Result<(), Fault> {
        self.loosen_parked(state, true);
        state.tidy_up(&self.library, None);
        self.bury(state)
    }

    /// Gives back the memory of tables that have become far too large.
    pub(super) fn shrink(&self, state: State) {
        let mut core = self.core.borrow_mut();
        if core.tasks.shrink() {
            let places = core.tasks.places();
            drop(core);
            state.tidy_up(&self.library, Some(places));
        }
    }

    /// Does the task live only as long as its handle?
    pub(crate) fn is_weak(&self, task: TaskId) -> bool {
        let mut core = self.core.borrow_mut();
        let rarities = core
            .tasks
            .get(task)
            .and_then(|record| record.rarities.as_ref());
        rarities.is_some_and(|rarities| rarities.weak)
    }

    /// Lets a task live only as long as its handle; answers whether it is alive.
    pub(crate) fn weaken(&self, state: State, task: TaskId) -> bool {
        let mut core = self.core.borrow_mut();
        let Some(record) = core.tasks.get(task) else {
            return false;
        };
        record.rarities.get_or_insert_default().weak = true;
        drop(core);
        // The registry may hold the handle by now, for the sake of those who join: it holds these themselves from now
        // on, and of this task the coroutine alone.
        self.tighten_joiners(state, task);
        state.tighten(&self.library, Runtime::name_of(task), true, 0);
        true
    }
}

impl Core {
    /// A round is over; answers whether anybody has been parked on something of this universe for the whole of it, or
    /// must be looked for. Most have been woken by now.
    #[inline(always)]
    pub(super) fn has_parked_for_long(&mut self) -> bool {
        if self.inward.is_empty() && self.inward_before.is_empty() && !self.events.has_news() {
            return false;
        }
        self.rounds += 1;
        let tasks = &mut self.tasks;
        let mut before = self.inward_before.iter();
        if self.rounds.is_multiple_of(ROUNDS_A_LOOK) || before.any(|task| is_waiting(tasks, *task))
        {
            return true;
        }
        self.inward_before.clear();
        std::mem::swap(&mut self.inward, &mut self.inward_before);
        false
    }

    /// The tasks that have been parked on something of this universe for a whole round, or all when the loop is `idle`.
    fn parked_for_long(&mut self, idle: bool) -> Vec<TaskId> {
        let tasks = &mut self.tasks;
        let mut parked = std::mem::take(&mut self.inward_before);
        if idle {
            parked.append(&mut self.inward);
        }
        parked.retain(|task| is_waiting(tasks, *task));
        std::mem::swap(&mut self.inward, &mut self.inward_before);
        parked
    }
}

/// Does the task wait for something to happen?
#[inline(always)]
fn is_waiting(tasks: &mut Tasks<Body>, task: TaskId) -> bool {
    tasks
        .get(task)
        .is_some_and(|record| record.phase.is_waiting())
}
