//! Those who wait at an object, in the order they came. Knows neither the object nor what it gives.

use super::Wish;
use crate::sched::TaskId;
use std::cell::RefCell;
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

/// A line. It owns no memory before somebody waits.
#[derive(Default)]
pub(crate) struct Line(RefCell<VecDeque<Waiter>>);

impl Line {
    /// Puts a waiter at the end.
    #[inline(always)]
    pub(super) fn push(&self, waiter: Waiter) {
        self.0.borrow_mut().push_back(waiter);
    }

    /// Takes the one who has waited longest.
    #[inline(always)]
    pub(super) fn pop(&self) -> Option<Waiter> {
        self.0.borrow_mut().pop_front()
    }

    /// The one who has waited longest.
    #[inline(always)]
    pub(super) fn first(&self) -> Option<Waiter> {
        self.0.borrow().front().copied()
    }

    /// Takes out what a task waits for by its case, wherever it stands; answers whether it stood there.
    pub(super) fn remove(&self, task: TaskId, case: u32) -> bool {
        let mut line = self.0.borrow_mut();
        let is_it = |waiter: &Waiter| waiter.task == task && waiter.case == case;
        if line.front().is_some_and(is_it) {
            return line.pop_front().is_some();
        }
        let place = line.iter().position(is_it);
        place.is_some_and(|place| line.remove(place).is_some())
    }

    /// Does nobody wait?
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.borrow().len()
    }
}
