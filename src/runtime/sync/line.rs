//! Those who wait at an object, in the order they came. Knows neither the object nor what it gives.

use super::Wish;
use crate::sched::TaskId;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// A task in a line.
#[derive(Clone, Copy)]
pub(crate) struct Waiter {
    /// The task, or the record that stands in for one.
    pub(super) task: TaskId,
    /// What it wants.
    pub(super) wish: Wish,
    /// Which of its cases this is, where it waits for one of several.
    pub(super) case: u32,
}

impl Waiter {
    /// One that waits at this object alone.
    #[inline(always)]
    pub(super) fn of_one(task: TaskId, wish: Wish) -> Waiter {
        Waiter {
            task,
            wish,
            case: 0,
        }
    }
}

/// A line. It owns no memory before two wait.
#[derive(Default)]
pub(crate) struct Line {
    /// The one who has waited longest.
    first: Cell<Option<Waiter>>,
    /// Those behind it; nobody where there is none.
    others: RefCell<VecDeque<Waiter>>,
    /// Are there any?
    longer: Cell<bool>,
}

impl Line {
    /// Puts a waiter at the end.
    #[inline(always)]
    pub(super) fn push(&self, waiter: Waiter) {
        if self.is_empty() {
            self.first.set(Some(waiter));
        } else {
            self.push_behind(waiter.task, waiter.wish, waiter.case);
        }
    }

    /// Puts a waiter behind others.
    #[inline(never)]
    fn push_behind(&self, task: TaskId, wish: Wish, case: u32) {
        let waiter = Waiter { task, wish, case };
        self.others.borrow_mut().push_back(waiter);
        self.longer.set(true);
    }

    /// Takes the one who has waited longest.
    #[inline(always)]
    pub(super) fn pop(&self) -> Option<Waiter> {
        let first = self.first.take();
        if self.longer.get() {
            self.move_up();
        }
        first
    }

    /// The next one is the first.
    #[inline(never)]
    fn move_up(&self) {
        let mut others = self.others.borrow_mut();
        self.first.set(others.pop_front());
        self.longer.set(!others.is_empty());
    }

    /// The one who has waited longest.
    #[inline(always)]
    pub(super) fn first(&self) -> Option<Waiter> {
        self.first.get()
    }

    /// Takes out what a task waits for by its case, wherever it stands; answers whether it stood there.
    pub(super) fn remove(&self, task: TaskId, case: u32) -> bool {
        let is_it = |waiter: &Waiter| waiter.task == task && waiter.case == case;
        if self.first.get().as_ref().is_some_and(is_it) {
            return self.pop().is_some();
        }
        if !self.longer.get() {
            return false;
        }
        let mut others = self.others.borrow_mut();
        let place = others.iter().position(is_it);
        let found = place.is_some_and(|place| others.remove(place).is_some());
        self.longer.set(!others.is_empty());
        found
    }

    /// Does nobody wait?
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.first.get().is_none()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        usize::from(!self.is_empty()) + self.others.borrow().len()
    }
}
