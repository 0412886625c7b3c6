//! The short ways: what most calls need, without looking at more than the object and the running task.

use super::{Channel, Key, Kind, Line, Mutex, Semaphore, Waitable, Waiter, Wish};
use crate::runtime::core::{Body, Core};
use crate::runtime::operation::Operation;
use crate::runtime::parked::Ticket;
use crate::runtime::{Phase, Runtime, TaskId};
use crate::vm::{Coroutine, Keeps, Quick, State};

/// `mutex:lock()`
#[inline(always)]
pub(crate) fn lock(runtime: &Runtime, object: &Waitable, state: Option<State>) -> Quick {
    let Kind::Mutex(mutex) = &object.kind else {
        return Quick::No;
    };
    let owner = runtime.here();
    if object.is_watched() {
        Quick::No
    } else if mutex.lock_at_once(owner) {
        Quick::True
    } else if let Some(state) = state
        && mutex.is_held_by_another(runtime, owner)
    {
        park_to_lock(runtime, object, mutex, state)
    } else {
        Quick::No
    }
}

/// `mutex:unlock()`
#[inline(always)]
pub(crate) fn unlock(runtime: &Runtime, object: &Waitable, _: Option<State>) -> Quick {
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
pub(crate) fn acquire(runtime: &Runtime, object: &Waitable, state: Option<State>) -> Quick {
    match (&object.kind, state) {
        (Kind::Semaphore(semaphore), _) if semaphore.take(1) => Quick::True,
        (Kind::Semaphore(semaphore), Some(state)) => {
            park_to_acquire(runtime, object, semaphore, state)
        }
        _ => Quick::No,
    }
}

/// `semaphore:release()`
#[inline(always)]
pub(crate) fn release(runtime: &Runtime, object: &Waitable, _: Option<State>) -> Quick {
    let Kind::Semaphore(semaphore) = &object.kind else {
        return Quick::No;
    };
    semaphore.release(runtime, object, 1);
    Quick::Nothing
}

impl Keeps<Runtime> for Waitable {
    #[inline(always)]
    fn vacancy(&self, flag: bool) -> Option<Key> {
        match &self.kind {
            Kind::Channel(channel) if !flag => Some(channel.vacancy()),
            Kind::Event(event) if flag => Some(event.vacancy()),
            _ => None,
        }
    }

    #[inline(always)]
    fn take_over(&self, runtime: &Runtime, state: Option<State>) -> (Quick, Option<Key>) {
        match &self.kind {
            Kind::Channel(channel) if channel.send_now(runtime, self) => (Quick::True, None),
            Kind::Channel(channel) => (
                match state {
                    Some(state) if !channel.is_closed() => {
                        park_to_send(runtime, self, channel, state)
                    }
                    _ => Quick::No,
                },
                None,
            ),
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
            Some(state) if !channel.is_closed() => park_to_receive(runtime, self, channel, state),
            _ => Quick::No,
        })
    }

    #[inline(always)]
    fn claim(&self) -> Option<Key> {
        match &self.kind {
            Kind::Channel(channel) => channel.claim_to_send(),
            _ => None,
        }
    }

    #[inline(always)]
    fn hand(&self, runtime: &Runtime, key: Key) -> bool {
        let Kind::Channel(channel) = &self.kind else {
            return false;
        };
        let sent = channel.send(runtime, self, key);
        if !sent {
            channel.release(key);
        }
        sent
    }

    #[inline(always)]
    fn take(&self, runtime: &Runtime) -> Option<Key> {
        match &self.kind {
            Kind::Channel(channel) => channel.take(runtime, self),
            _ => None,
        }
    }

    #[inline(always)]
    fn has_something(&self) -> bool {
        matches!(&self.kind, Kind::Channel(channel) if channel.has_something())
    }

    #[inline(always)]
    fn free(&self, key: Key) {
        if let Kind::Channel(channel) = &self.kind {
            channel.release(key);
        }
    }
}

// Each wait is out of line, so that a call that need not wait saves no registers for it.

/// Waits for a mutex.
#[inline(never)]
fn park_to_lock(rt: &Runtime, object: &Waitable, mutex: &Mutex, state: State) -> Quick {
    let quick = rt.park_at(object, &mutex.line, Wish::Lock(rt.here()), state);
    if quick == Quick::Park {
        mutex.note(rt, object);
    }
    quick
}

/// Waits for a permit.
#[inline(never)]
fn park_to_acquire(rt: &Runtime, object: &Waitable, semaphore: &Semaphore, state: State) -> Quick {
    rt.park_at(object, &semaphore.line, Wish::Acquire(1), state)
}

/// Waits for room for what lies under the next key.
#[inline(never)]
fn park_to_send(rt: &Runtime, object: &Waitable, channel: &Channel, state: State) -> Quick {
    let wish = Wish::send(channel.vacancy());
    let quick = rt.park_at(object, &channel.senders, wish, state);
    if quick == Quick::Park {
        channel.claim();
        rt.tell_watchers(object);
    }
    quick
}

/// Waits for a value.
#[inline(never)]
fn park_to_receive(rt: &Runtime, object: &Waitable, channel: &Channel, state: State) -> Quick {
    let quick = rt.park_at(object, &channel.receivers, Wish::Receive, state);
    if quick == Quick::Park {
        rt.tell_watchers(object);
    }
    quick
}

impl Runtime {
    /// Lets the running task wait in the line, where that takes nothing but a yield.
    #[inline(always)]
    fn park_at(&self, object: &Waitable, line: &Line, wish: Wish, state: State) -> Quick {
        let Some(task) = self.current.get() else {
            return Quick::No;
        };
        if !self.may_leave(state) {
            return Quick::No;
        }
        line.push(Waiter::of_one(task, wish));
        let mut core = self.core.borrow_mut();
        let ticket = core.parked.put_entered(object.share(), wish);
        core.park_in_line(task, ticket);
        Quick::Park
    }

    /// Puts the answer onto the coroutine of a task at its turn, where it has been served at an object and nothing else
    /// is to be looked at; answers with how many values it is to be resumed.
    #[inline(never)]
    pub(in crate::runtime) fn answer_served(&self, core: &mut Core, task: TaskId) -> Option<i32> {
        let record = core.tasks.running(task);
        let Body { co, kept, ticket } = record.body;
        if record.phase != Phase::Ready || !ticket.is_some() {
            return None;
        }
        if record
            .rarities
            .as_ref()
            .is_some_and(|rarities| rarities.matter_now())
        {
            return None;
        }
        if !co.is_parked() || !co.has(kept) {
            return None;
        }
        let values = if let Some(place) = core.parked.place(ticket) {
            let item = place.at_hand()?;
            core.parked.drop_place(ticket);
            match item {
                None => co.answer_true(kept),
                Some((key, last)) => co.answer_item(kept, key, last),
            }
        } else {
            self.answer_choice(core, ticket, co, kept)?
        };
        core.timers.stop(task.index());
        let record = core.tasks.running(task);
        record.body.ticket = Ticket::default();
        record.body.kept = 0;
        record.due = false;
        record.phase = Phase::Running;
        Some(values)
    }
}

impl Runtime {
    /// The same for a choice.
    #[inline(never)]
    fn answer_choice(
        &self,
        core: &mut Core,
        ticket: Ticket,
        co: Coroutine,
        kept: i32,
    ) -> Option<i32> {
        let Some(Operation::Choice(choice)) = core.parked.get(ticket) else {
            return None;
        };
        let (index, at, item) = choice.at_hand()?;
        if let Some(choice) = core.parked.take_choice(ticket) {
            self.drop_choice(choice);
        }
        Some(co.answer_case(kept, index, at, item))
    }
}

impl Core {
    /// Parks the running task, which stands in the lines that the operation with this ticket is about.
    #[inline(always)]
    pub(super) fn park_in_line(&mut self, task: TaskId, ticket: Ticket) {
        let record = self.tasks.running(task);
        record.body.ticket = ticket;
        record.phase = Phase::Parked;
        (record.due, record.woken) = (false, false);
        self.inward.push(task);
    }
}
