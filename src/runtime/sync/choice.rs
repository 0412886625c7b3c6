//! A wait at several objects at once, of which exactly one has effect.

use super::{Answer, Given, Kind, Waitable, Waiter, Wish};
use crate::runtime::operation::{Operation, Poll};
use crate::runtime::{Runtime, TaskId};
use crate::vm::{Reply, State, Value};
use std::rc::Rc;

/// What a task waits for: the first of its cases that can be.
#[derive(Default)]
pub(crate) struct Choice {
    /// The cases.
    cases: Vec<Case>,
    /// Does it stand in their lines?
    entered: bool,
    /// Has something told that it may be ready, which is none of the objects?
    poked: bool,
    /// The case that has had its effect, and what it was given. It stands in no line any more.
    decided: Option<(u32, Given)>,
}

/// One of the things that a choice waits for.
pub(crate) struct Case {
    /// The object.
    pub(crate) object: Rc<Waitable>,
    /// What is wanted there.
    pub(crate) wish: Wish,
    /// Its index among all cases of the call.
    pub(crate) index: i32,
    /// Where the object is among what the call keeps, counted from 0.
    pub(crate) at: i32,
}

/// As many cases as a choice that is used again may have room for.
const ROOM: usize = 16;

impl Choice {
    /// Adds a case.
    #[inline(always)]
    pub(crate) fn add(&mut self, case: Case) {
        self.cases.push(case);
    }

    /// Lets one case have its effect; answers whether none has had.
    pub(super) fn decide(&mut self, case: u32, given: Given) -> bool {
        let open = self.decided.is_none() && !self.poked;
        if open {
            self.decided = Some((case, given));
        }
        open
    }

    /// Something that is none of the objects may be ready; answers whether that is still of interest.
    pub(crate) fn poke(&mut self) -> bool {
        let open = self.decided.is_none();
        self.poked |= open;
        open
    }

    /// Looks whether a case has had its effect; at first, tries them all, and then enters all lines.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        if let Some((case, given)) = self.decided.take() {
            let Case { object, .. } = &self.cases[case as usize];
            if let (Kind::Channel(channel), Given::Item(key)) = (&object.kind, given) {
                channel.release(key);
            }
            return Poll::Ready(self.reply(case, given));
        }
        if self.poked {
            self.leave_but(runtime, task, None);
            return Poll::Ready(Reply::one(0));
        }
        if !self.entered {
            for (number, case) in (0..).zip(self.cases.iter()) {
                if let Some(given) = case.object.try_now(runtime, case.wish) {
                    self.leave_but(runtime, task, Some(number));
                    return Poll::Ready(self.reply(number, given));
                }
            }
            self.enter(runtime, task);
        }
        Poll::Pending
    }

    /// Enters the lines of all cases.
    fn enter(&mut self, runtime: &Runtime, task: TaskId) {
        self.entered = true;
        for (number, case) in (0..).zip(self.cases.iter()) {
            let waiter = Waiter {
                task,
                wish: case.wish,
                case: number,
            };
            case.object.enter(runtime, waiter);
        }
    }

    /// Leaves the lines of all cases but the one that has had its effect.
    fn leave_but(&self, runtime: &Runtime, task: TaskId, served: Option<u32>) {
        for (number, case) in (0..).zip(self.cases.iter()) {
            if Some(number) == served {
                continue;
            }
            if self.entered {
                case.object.leave(runtime, case.wish, task, number);
            } else {
                case.give_up();
            }
        }
    }

    /// What the call returns when that case has had its effect.
    fn reply(&self, case: u32, given: Given) -> Reply {
        let case = &self.cases[case as usize];
        let reply = case.object.reply(case.wish, given, case.at);
        reply.behind(i64::from(case.index))
    }

    /// As `Place::at_hand`, with the case's index, and where its object is.
    #[inline]
    pub(super) fn at_hand(&mut self) -> Option<(i32, i32, Answer)> {
        let (case, given) = self.decided?;
        let case = &self.cases[case as usize];
        let answer = case.object.at_hand(given)?;
        self.decided = None;
        Some((case.index, case.at, answer))
    }

    /// Leaves all lines, and passes on what it was given.
    pub(crate) fn withdraw(&mut self, runtime: &Runtime, task: TaskId) {
        match self.decided.take() {
            Some((case, given)) => {
                let case = &self.cases[case as usize];
                case.object.pass_on(runtime, case.wish, given);
            }
            None => self.leave_but(runtime, task, None),
        }
        self.entered = false;
    }

    /// What the call returns when its time is over.
    pub(crate) fn expired() -> Reply {
        Reply::two(Value::Nil, "timeout")
    }

    /// What it waits for, as one line.
    pub(crate) fn describe(&self) -> String {
        let parts: Vec<String> = self
            .cases
            .iter()
            .map(|case| case.object.describe(case.wish))
            .collect();
        format!("select of {}", parts.join(", "))
    }
}

impl Case {
    /// It is not waited for any more.
    fn give_up(&self) {
        if let Kind::Channel(channel) = &self.object.kind {
            channel.forget(self.wish);
        }
    }
}

impl Runtime {
    /// Serves one case of a waiter, unless another has had its effect, and takes it out of the lines of the others;
    /// answers whether it takes what it is given.
    #[inline(never)]
    pub(super) fn decide(&self, task: TaskId, case: u32, given: Given) -> bool {
        let mut core = self.core.borrow_mut();
        let Some(record) = core.tasks.get(task) else {
            return false;
        };
        let ticket = record.body.ticket;
        let Some(Operation::Choice(choice)) = core.parked.get(ticket) else {
            return false;
        };
        if !choice.decide(case, given) {
            return false;
        }
        // Nobody behind it can go on for that: it wants no more than the first of any line does.
        for (number, other) in (0..).zip(choice.cases.iter()) {
            if number != case {
                other.object.line(other.wish).remove(task, number);
                other.give_up();
            }
        }
        core.wake(task);
        if !core.woken_loose.is_empty() {
            self.has_woken_loose.set(true);
        }
        true
    }

    /// A choice without cases: one that has been used before, where there is one.
    pub(crate) fn new_choice(&self) -> Box<Choice> {
        self.spare_choice.take().unwrap_or_default()
    }

    /// Keeps a choice that is not used any more, so that the next one takes no memory.
    pub(crate) fn drop_choice(&self, mut choice: Box<Choice>) {
        choice.cases.clear();
        if choice.cases.capacity() <= ROOM {
            (choice.entered, choice.poked, choice.decided) = (false, false, None);
            self.spare_choice.set(Some(choice));
        }
    }

    /// Lets the running task wait for a choice of which none can be, where that takes nothing but a yield; else answers
    /// the choice.
    pub(crate) fn park_choice(&self, mut choice: Box<Choice>, state: State) -> Option<Box<Choice>> {
        let task = self.current.get().filter(|_| self.may_leave(state));
        let Some(task) = task else {
            return Some(choice);
        };
        choice.enter(self, task);
        let mut core = self.core.borrow_mut();
        let ticket = core.parked.keep(Operation::Choice(choice));
        core.park_in_line(task, ticket);
        None
    }

    /// The case, counted from 0, at which this select begins to look, of so many. The fractions of multiples of the golden
    /// ratio are spread evenly, whichever of them a select gets that takes turns with others.
    pub(crate) fn next_start(&self, count: i32) -> i32 {
        self.start.set(self.start.get().wrapping_add(0x9e37_79b9));
        self.last_start(count)
    }

    /// Where the last one began.
    pub(crate) fn last_start(&self, count: i32) -> i32 {
        let scaled = u64::from(self.start.get()) * u64::from(count.unsigned_abs());
        i32::try_from(scaled >> 32).unwrap_or(0)
    }

    /// Something may be ready that the main chunk waits for; answers whether it does.
    pub(in crate::runtime) fn poke_outside(&self) -> bool {
        let mut core = self.core.borrow_mut();
        let outside = core
            .standins
            .iter()
            .rfind(|standin| standin.owner.is_none());
        let Some(waiter) = outside.map(|standin| standin.record) else {
            return false;
        };
        let ticket = core.record(waiter).body.ticket;
        let Some(Operation::Choice(choice)) = core.parked.get(ticket) else {
            return false;
        };
        let open = choice.poke();
        core.wake(waiter);
        open
    }
}
