//! Who waits for something that threads share, in the order they came. Knows not what for.

use crate::runtime::Runtime;
use crate::runtime::inbox::{Letter, Sender};
use crate::sched::TaskId;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A task of some thread, as others reach it.
#[derive(Clone)]
pub(crate) struct Waiter {
    /// The inbox of its runtime.
    sender: Sender,
    /// The task.
    task: TaskId,
}

/// A place in a line, and for ever that of this one wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Place(u64);

/// Those who wait, each with what it brings.
pub(crate) struct Line<T> {
    /// By place.
    waiting: BTreeMap<Place, (Waiter, T)>,
    /// The next place.
    next: u64,
}

impl Waiter {
    /// The task of this runtime.
    pub(crate) fn new(runtime: &Runtime, task: TaskId) -> io::Result<Waiter> {
        let sender = runtime.core.borrow_mut().inbox()?.sender();
        Ok(Waiter { sender, task })
    }

    /// Lets the task look again at its turn.
    pub(crate) fn wake(&self) {
        self.sender.post(Letter::Wake(self.task));
    }
}

impl<T> Default for Line<T> {
    fn default() -> Line<T> {
        Line {
            waiting: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<T> Line<T> {
    /// Puts one at the end.
    pub(crate) fn join(&mut self, waiter: Waiter, brings: T) -> Place {
        let place = Place(self.next);
        self.next += 1;
        self.waiting.insert(place, (waiter, brings));
        place
    }

    /// Takes the one that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<(Place, Waiter, T)> {
        let (place, (waiter, brings)) = self.waiting.pop_first()?;
        Some((place, waiter, brings))
    }

    /// Takes one out, wherever it stands; answers whether it was there.
    pub(crate) fn leave(&mut self, place: Place) -> bool {
        self.waiting.remove(&place).is_some()
    }

    /// Does this one still wait?
    pub(crate) fn holds(&self, place: Place) -> bool {
        self.waiting.contains_key(&place)
    }

    /// Does nobody wait?
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait?
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// Locks what threads share. It is whole after a panic, too.
pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runtime {
    /// One task more, or one less, waits for what only another thread can do.
    pub(super) fn count_outward(&self, more: bool) {
        let mut core = self.core.borrow_mut();
        core.outward = if more {
            core.outward + 1
        } else {
            core.outward.saturating_sub(1)
        };
    }
}
