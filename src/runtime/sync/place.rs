//! A wait at one object, and how waiters are served.

use super::{Answer, Given, Kind, Owner, Waitable, Waiter, Wish};
use crate::runtime::operation::Poll;
use crate::runtime::{Runtime, TaskId, Verdict};
use crate::sched::Moment;
use crate::vm::{Reply, Value};
use std::rc::Rc;

/// What a task waits for at one object.
pub(crate) struct Place {
    /// The object.
    object: Rc<Waitable>,
    /// What it wants there.
    wish: Wish,
    /// Does it stand in the line?
    entered: bool,
    /// What it has been given.
    given: Option<Given>,
    /// The condition whose signal has put it here.
    condition: Option<Rc<Waitable>>,
}

impl Place {
    /// A wait that has not begun.
    pub(crate) fn new(object: Rc<Waitable>, wish: Wish) -> Place {
        Place {
            object,
            wish,
            entered: false,
            given: None,
            condition: None,
        }
    }

    /// A wait that stands in the line.
    #[inline(always)]
    pub(in crate::runtime) fn entered(object: Rc<Waitable>, wish: Wish) -> Place {
        Place {
            entered: true,
            ..Place::new(object, wish)
        }
    }

    /// Tries to get what it wants, once; from then on it stands in the line.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        if let Some(given) = self.given.take() {
            return Poll::Ready(self.accept(given));
        }
        if !self.entered {
            if let Some(given) = self.object.try_now(runtime, self.wish) {
                return Poll::Ready(self.object.reply(self.wish, given, 0));
            }
            self.entered = true;
            self.object.enter(runtime, Waiter::of_one(task, self.wish));
        }
        Poll::Pending
    }

    /// What the call returns that has been served.
    pub(crate) fn accept(&self, given: Given) -> Reply {
        if self.condition.is_some() {
            return Reply::one(true);
        }
        if let (Kind::Channel(channel), Given::Item(key)) = (&self.object.kind, given) {
            channel.release(key);
        }
        self.object.reply(self.wish, given, 0)
    }

    /// Takes what has been given, where the call returns one value.
    #[inline(always)]
    pub(super) fn at_hand(&mut self) -> Option<Answer> {
        let answer = self.object.at_hand(self.given?)?;
        self.given = None;
        Some(answer)
    }

    /// Leaves the line, or passes on what it was given.
    pub(crate) fn withdraw(&mut self, runtime: &Runtime, task: TaskId) {
        match self.given.take() {
            Some(given) => self.object.pass_on(runtime, self.wish, given),
            None if self.entered => self.object.leave(runtime, self.wish, task, 0),
            None => self.give_up(),
        }
        if let Some(condition) = &self.condition
            && let Kind::Condition(of) = &condition.kind
        {
            of.signal(runtime, condition, 1);
        }
    }

    /// It never entered the line.
    pub(crate) fn give_up(&self) {
        if let Kind::Channel(channel) = &self.object.kind {
            channel.forget(self.wish);
        }
    }

    /// What the call returns when its time is over.
    pub(crate) fn expired(&self) -> Reply {
        if let Some(key) = self.wish.key() {
            return Reply::three(Value::Nil, "timeout", Value::Forgotten { at: 0, key });
        }
        // Where the signal has come only the mutex is still to be had.
        match self.condition {
            Some(_) => Reply::two(true, "timeout"),
            None => Reply::failure("timeout"),
        }
    }

    /// The signal is the task's, whatever becomes of the mutex.
    pub(crate) fn keep_signal(&mut self) {
        self.condition = None;
    }

    /// What it waits for, as one line.
    pub(crate) fn describe(&self) -> String {
        self.object.describe(self.wish)
    }
}

impl Runtime {
    /// Serves a waiter that has been taken out of its line, and wakes it; answers whether it takes what it is given. One
    /// that is being ended takes nothing.
    #[inline(always)]
    pub(super) fn give(&self, waiter: Waiter, given: Given) -> bool {
        let mut core = self.core.borrow_mut();
        let Some(record) = core.tasks.get(waiter.task) else {
            return false;
        };
        let ticket = record.body.ticket;
        let scoped = record
            .rarities
            .as_ref()
            .is_some_and(|rarities| !rarities.scopes.is_idle());
        if (scoped || !core.standins.is_empty()) && core.is_ending(waiter.task) {
            return false;
        }
        let Some(place) = core.parked.place(ticket) else {
            drop(core);
            return self.decide(waiter.task, waiter.case, given);
        };
        place.given = Some(given);
        core.wake_known(waiter.task);
        if !core.woken_loose.is_empty() {
            self.has_woken_loose.set(true);
        }
        true
    }

    /// A waiter of a condition has been signalled: it waits for the mutex instead, or has it at once. Answers whether it
    /// takes the signal.
    pub(super) fn transfer(&self, waiter: Waiter, mutex: &Rc<Waitable>) -> bool {
        let Wish::Signal(owner) = waiter.wish else {
            return false;
        };
        let mut core = self.core.borrow_mut();
        if core.is_ending(waiter.task) {
            return false;
        }
        let Some(record) = core.tasks.get(waiter.task) else {
            return false;
        };
        let ticket = record.body.ticket;
        let Some(place) = core.parked.place(ticket) else {
            return false;
        };
        place.condition = Some(std::mem::replace(&mut place.object, Rc::clone(mutex)));
        place.wish = Wish::Lock(owner);
        drop(core);
        let wish = Wish::Lock(owner);
        match mutex.try_now(self, wish) {
            Some(given) => self.give(Waiter { wish, ..waiter }, given),
            None => {
                mutex.enter(self, Waiter { wish, ..waiter });
                true
            }
        }
    }

    /// What an owner is called.
    pub(crate) fn owner_label(&self, owner: Owner) -> String {
        match owner {
            Owner::Main => "the main chunk".into(),
            Owner::Task(task) => self.label(task),
        }
    }
}

impl crate::runtime::core::Core {
    /// Is the waiter, or the task that it stands in for, about to end?
    #[inline(never)]
    fn is_ending(&mut self, waiter: TaskId) -> bool {
        let Some(owner) = self.owner_of(waiter) else {
            return false;
        };
        let rarities = self
            .tasks
            .get(owner)
            .and_then(|record| record.rarities.as_ref());
        rarities
            .is_some_and(|rarities| rarities.scopes.verdict(Moment(0)) == Some(Verdict::Cancelled))
    }
}
