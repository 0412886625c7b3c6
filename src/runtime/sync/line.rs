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

#[cfg(test)]
mod tests {
    use super::*;

    /// A task of that name.
    fn task(name: u64) -> TaskId {
        TaskId::from_bits(name)
    }

    /// The names of those who wait, in their order; nobody is left.
    fn names(line: &Line) -> Vec<u64> {
        let pop = || line.pop().map(|waiter| waiter.task.to_bits());
        std::iter::from_fn(pop).collect()
    }

    /// A line of tasks with these names.
    fn line_of(names: &[u64]) -> Line {
        let line = Line::default();
        for name in names {
            line.push(Waiter::of_one(task(*name), Wish::Receive));
        }
        line
    }

    #[test]
    fn whoever_comes_first_goes_first() {
        let line = line_of(&[1, 2]);
        assert_eq!(line.pop().map(|waiter| waiter.task), Some(task(1)));
        line.push(Waiter::of_one(task(3), Wish::Pass));
        assert_eq!(line.first().map(|waiter| waiter.task), Some(task(2)));
        assert_eq!((line.len(), names(&line)), (2, vec![2, 3]));
        assert!(line.is_empty() && line.first().is_none());
        line.push(Waiter::of_one(task(4), Wish::Pass));
        assert_eq!(names(&line), [4]);
    }

    #[test]
    fn whoever_leaves_lets_the_others_keep_their_order() {
        for gone in 1..=4 {
            let line = line_of(&[1, 2, 3, 4]);
            assert!(line.remove(task(gone), 0));
            assert!(!line.remove(task(gone), 0) && !line.remove(task(5), 0));
            let left: Vec<u64> = (1..=4).filter(|name| *name != gone).collect();
            assert_eq!((line.len(), names(&line)), (3, left));
        }
        let line = line_of(&[1, 2]);
        assert!(line.remove(task(2), 0) && line.remove(task(1), 0));
        assert_eq!((line.is_empty(), line.len()), (true, 0));
    }

    #[test]
    fn a_task_leaves_with_the_case_that_is_meant() {
        let line = Line::default();
        for case in 0..3 {
            let (task, wish) = (task(1), Wish::Receive);
            line.push(Waiter { task, wish, case });
        }
        assert!(line.remove(task(1), 1) && !line.remove(task(1), 3));
        let cases: Vec<_> = std::iter::from_fn(|| line.pop())
            .map(|waiter| waiter.case)
            .collect();
        assert_eq!(cases, [0, 2]);
    }
}
