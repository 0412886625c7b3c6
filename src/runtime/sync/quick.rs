//! The short ways: what most calls need, without looking at more than the object and the running task.

use super::{Key, Kind, Place, Waitable, Wish};
use crate::runtime::core::{Body, Core};
use crate::runtime::operation::Operation;
use crate::runtime::parked::Ticket;
use crate::runtime::{Phase, Runtime, TaskId};
use crate::vm::{Keeps, Quick, State};

/// `mutex:lock()`
#[inline(always)]
pub(crate) fn lock(runtime: &Runtime, object: &Waitable, state: State) -> Quick {
    let Kind::Mutex(mutex) = &object.kind else {
        return Quick::No;
    };
    let owner = runtime.here();
    if object.is_watched() {
        Quick::No
    } else if mutex.lock_at_once(owner) {
        Quick::True
    } else if mutex.is_held_by_another(runtime, owner) {
        runtime.park_at(object, Wish::Lock(owner), state)
    } else {
        Quick::No
    }
}

/// `mutex:unlock()`
#[inline(always)]
pub(crate) fn unlock(runtime: &Runtime, object: &Waitable, _: State) -> Quick {
    let Kind::Mutex(mutex) = &object.kind else {
        return Quick::No;
    };
    let owner = runtime.here();
    if object.is_watched() || !mutex.is_locked_by(owner) {
        return Quick::No;
    }
    if !mutex.unlock_at_once(owner) {
        mutex.hand_over(runtime, &object.share(), super::Given::Done);
    }
    Quick::Nothing
}

/// `semaphore:acquire()`
#[inline(always)]
pub(crate) fn acquire(runtime: &Runtime, object: &Waitable, state: State) -> Quick {
    match &object.kind {
        Kind::Semaphore(semaphore) if semaphore.take(1) => Quick::True,
        Kind::Semaphore(_) => runtime.park_at(object, Wish::Acquire(1), state),
        _ => Quick::No,
    }
}

/// `semaphore:release()`
#[inline(always)]
pub(crate) fn release(runtime: &Runtime, object: &Waitable, _: State) -> Quick {
    let Kind::Semaphore(semaphore) = &object.kind else {
        return Quick::No;
    };
    semaphore.release(runtime, object, 1);
    Quick::Nothing
}

impl Keeps<Runtime> for Waitable {
    #[inline(always)]
    fn vacancy(&self) -> Option<Key> {
        match &self.kind {
            Kind::Channel(channel) => Some(channel.vacancy()),
            Kind::Event(event) => Some(event.vacancy()),
            _ => None,
        }
    }

    #[inline(always)]
    fn take_over(&self, runtime: &Runtime, state: Option<State>) -> (Quick, Option<Key>) {
        match &self.kind {
            Kind::Channel(channel) if channel.send_now(runtime, self) => (Quick::True, None),
            Kind::Channel(channel) if !channel.is_closed() => {
                let Some(state) = state else {
                    return (Quick::No, None);
                };
                let quick = runtime.park_at(self, Wish::Send(channel.vacancy()), state);
                if quick == Quick::Park {
                    channel.claim();
                }
                (quick, None)
            }
            Kind::Event(event) => (Quick::Nothing, event.set(runtime, self)),
            _ => (Quick::No, None),
        }
    }

    #[inline(always)]
    fn give_away(&self, runtime: &Runtime, state: Option<State>) -> Result<Key, Quick> {
        let Kind::Channel(channel) = &self.kind else {
            return Err(Quick::No);
        };
        if let Some(key) = channel.receive_now(runtime, self) {
            return Ok(key);
        }
        Err(match state {
            Some(state) if !channel.is_closed() => runtime.park_at(self, Wish::Receive, state),
            _ => Quick::No,
        })
    }
}

impl Runtime {
    /// Lets the running task wait, where that takes nothing but a yield.
    #[inline]
    fn park_at(&self, object: &Waitable, wish: Wish, state: State) -> Quick {
        if !self.may_leave(state) {
            return Quick::No;
        }
        let Some(task) = self.current.get() else {
            return Quick::No;
        };
        let mut place = Place::new(object.share(), wish);
        place.enter(self, task);
        let mut core = self.core.borrow_mut();
        let core = &mut *core;
        let record = core.tasks.running(task);
        record.body.ticket = core.parked.put(Operation::Place(place));
        record.phase = Phase::Parked;
        (record.due, record.woken) = (false, false);
        core.inward.push(task);
        Quick::Park
    }
}

impl Runtime {
    /// Puts the answer onto the coroutine of a task at its turn, where it has been served at an object and nothing else
    /// is to be looked at; answers with how many values it is to be resumed.
    #[inline(never)]
    pub(in crate::runtime) fn answer_served(
        &self,
        core: &mut Core,
        state: State,
        task: TaskId,
    ) -> Option<i32> {
        let record = core.tasks.running(task);
        let Body { co, kept, ticket } = record.body;
        let rare = record.rarities.as_ref();
        if record.phase != Phase::Ready
            || co.is_none()
            || !co.is_suspended(kept)
            || rare.is_some_and(|rarities| rarities.matter_now())
        {
            return None;
        }
        let Some(Operation::Place(place)) = core.parked.get(ticket) else {
            return None;
        };
        let values = match place.at_hand()? {
            None => co.answer_true(kept),
            Some((key, last)) => state.hand_item(co, kept, key, last),
        };
        drop(core.parked.take(ticket));
        core.timers.stop(task.index());
        let record = core.tasks.running(task);
        record.body.ticket = Ticket::default();
        record.body.kept = 0;
        record.due = false;
        record.phase = Phase::Running;
        Some(values)
    }
}
