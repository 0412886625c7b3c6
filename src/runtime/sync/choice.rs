//! A wait at several objects at once, of which exactly one has effect.

use super::{Given, Kind, Waitable, Waiter, Wish};
use crate::runtime::operation::{Operation, Poll};
use crate::runtime::{Runtime, TaskId};
use crate::vm::{Reply, Value};
use std::rc::Rc;

/// What a task waits for: the first of its cases that can be.
pub(crate) struct Choice {
    /// The objects, what is wanted there, and the index of each among all cases of the call.
    cases: Rc<[Case]>,
    /// Has the caller just found that none of them can be?
    looked: bool,
    /// Does it stand in their lines?
    entered: bool,
    /// Has something told that it may be ready, which is none of the objects?
    poked: bool,
    /// The case that has had its effect, and what it was given.
    decided: Option<(u32, Given)>,
}

/// An object, what is wanted there, and the index among all cases of the call.
pub(crate) type Case = (Rc<Waitable>, Wish, i32);

/// Where the call's arguments have the objects: so many before the first one, counted from 0.
const OBJECTS: i32 = 2;

impl Choice {
    /// A wait that has not begun.
    pub(crate) fn new(cases: Vec<Case>, looked: bool) -> Choice {
        Choice {
            cases: cases.into(),
            looked,
            entered: false,
            poked: false,
            decided: None,
        }
    }

    /// Its objects, and what is wanted there, by case.
    pub(super) fn objects(&self) -> impl Iterator<Item = (Rc<Waitable>, Wish)> + use<> {
        let cases = Rc::clone(&self.cases);
        (0..cases.len()).map(move |case| (Rc::clone(&cases[case].0), cases[case].1))
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

    /// Looks whether a case has had its effect; at first, enters all lines.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        if let Some((case, given)) = self.decided.take() {
            self.leave_but(runtime, task, Some(case));
            let (object, ..) = &self.cases[case as usize];
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
            // Something may have come to be since the caller has looked.
            let cases = if self.looked { &[] } else { &*self.cases };
            for (case, (object, wish, _)) in (0..).zip(cases) {
                if let Some(given) = object.try_now(runtime, *wish) {
                    self.leave_but(runtime, task, Some(case));
                    return Poll::Ready(self.reply(case, given));
                }
            }
            self.entered = true;
            for (case, (object, wish, _)) in (0..).zip(self.cases.iter()) {
                let waiter = Waiter {
                    task,
                    wish: *wish,
                    case,
                };
                object.enter(runtime, waiter);
            }
        }
        Poll::Pending
    }

    /// Leaves the lines of all cases but the one that has had its effect.
    fn leave_but(&self, runtime: &Runtime, task: TaskId, served: Option<u32>) {
        for (case, (object, wish, _)) in (0..).zip(self.cases.iter()) {
            if Some(case) == served {
                continue;
            }
            if self.entered {
                object.leave(runtime, *wish, task, case);
            } else if let (Kind::Channel(channel), Wish::Send(key)) = (&object.kind, *wish) {
                channel.release(key);
            }
        }
    }

    /// What the call returns when that case has had its effect.
    fn reply(&self, case: u32, given: Given) -> Reply {
        let (object, wish, index) = &self.cases[case as usize];
        let reply = object.reply(*wish, given, OBJECTS + index);
        reply.behind(i64::from(*index))
    }

    /// Leaves all lines, and passes on what it was given.
    pub(crate) fn withdraw(&mut self, runtime: &Runtime, task: TaskId) {
        let decided = self.decided.take();
        self.leave_but(runtime, task, decided.map(|(case, _)| case));
        if let Some((case, given)) = decided {
            let (object, wish, _) = &self.cases[case as usize];
            object.pass_on(runtime, *wish, given);
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
            .map(|(object, wish, _)| object.describe(*wish))
            .collect();
        format!("select of {}", parts.join(", "))
    }
}

impl Runtime {
    /// Will the next wait be polled in the call itself?
    pub(crate) fn answers_at_once(&self) -> bool {
        self.budget.get() > 0
    }

    /// Where the next select begins to look.
    pub(crate) fn next_start(&self) -> i32 {
        self.start.set(self.start.get().wrapping_add(1) & i32::MAX);
        self.start.get()
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
