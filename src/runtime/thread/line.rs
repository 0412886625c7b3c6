//! Who waits for something that threads share, in the order they came. Knows not what for.

use crate::runtime::Runtime;
use crate::runtime::inbox::{Letter, Sender};
use crate::runtime::locks::{Mutex, MutexGuard};
use crate::sched::TaskId;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

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
    /// By place; nothing where one has left.
    waiting: VecDeque<(Place, Option<(Waiter, T)>)>,
    /// How many still wait.
    len: usize,
    /// The next place.
    next: u64,
}

/// Those who are to be woken when the lock has been given up: what they look for is behind it.
pub(crate) type Rung = SmallVec<[Waiter; 2]>;

/// What threads share, while one has it. Gives up the lock, and wakes those who were rung meanwhile.
pub(crate) struct Held<'a, T: Bell>(Option<MutexGuard<'a, T>>);

/// Has a list of those who are to be woken.
pub(crate) trait Bell {
    /// The list.
    fn rung(&mut self) -> &mut Rung;
}

impl Waiter {
    /// The task of this runtime.
    pub(crate) fn new(runtime: &Runtime, task: TaskId) -> io::Result<Waiter> {
        let sender = runtime.core.borrow_mut().inbox()?.sender();
        Ok(Waiter { sender, task })
    }

    /// The task of that inbox's runtime.
    #[cfg(any(test, loom))]
    pub(crate) fn of(sender: Sender, task: TaskId) -> Waiter {
        Waiter { sender, task }
    }

    /// Lets the task look again at its turn.
    pub(crate) fn wake(&self) {
        self.sender.post(Letter::Wake(self.task));
    }
}

impl<T> Default for Line<T> {
    fn default() -> Line<T> {
        Line {
            waiting: VecDeque::new(),
            len: 0,
            next: 0,
        }
    }
}

impl<T> Line<T> {
    /// Puts one at the end.
    pub(crate) fn join(&mut self, waiter: Waiter, brings: T) -> Place {
        let place = Place(self.next);
        self.next += 1;
        self.len += 1;
        self.waiting.push_back((place, Some((waiter, brings))));
        place
    }

    /// Takes the one that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<(Place, Waiter, T)> {
        while let Some((place, entry)) = self.waiting.pop_front() {
            if let Some((waiter, brings)) = entry {
                self.len -= 1;
                return Some((place, waiter, brings));
            }
        }
        None
    }

    /// Takes one out, wherever it stands; answers whether it was there.
    pub(crate) fn leave(&mut self, place: Place) -> bool {
        let left = self
            .find(place)
            .and_then(|index| self.waiting[index].1.take());
        if left.is_none() {
            return false;
        }
        self.len -= 1;
        // Those who have left are no more than those who have not, but for a few.
        if self.waiting.len() > 2 * self.len + 16 {
            self.waiting.retain(|(_, entry)| entry.is_some());
        }
        true
    }

    /// Does this one still wait?
    pub(crate) fn holds(&self, place: Place) -> bool {
        self.find(place)
            .is_some_and(|index| self.waiting[index].1.is_some())
    }

    /// Does nobody wait?
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many wait?
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where the entry of a place is.
    fn find(&self, place: Place) -> Option<usize> {
        self.waiting
            .binary_search_by_key(&place, |(place, _)| *place)
            .ok()
    }
}

impl<'a, T: Bell> Held<'a, T> {
    /// Locks what threads share.
    pub(crate) fn new(shared: &'a Mutex<T>) -> Held<'a, T> {
        Held(Some(lock(shared)))
    }
}

impl<T: Bell> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is given up at the end alone")
    }
}

impl<T: Bell> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is given up at the end alone")
    }
}

impl<T: Bell> Drop for Held<'_, T> {
    fn drop(&mut self) {
        let rung = std::mem::take(self.rung());
        self.0 = None;
        for waiter in rung {
            waiter.wake();
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::inbox::Inbox;

    /// So many waiters, in a line.
    fn line(count: u64) -> (Inbox, Line<u64>, Vec<Place>) {
        let (inbox, mut line) = (Inbox::new().unwrap(), Line::default());
        let places = (0..count).map(|number| {
            let (sender, task) = (inbox.sender(), TaskId::from_bits(number + 1));
            line.join(Waiter::of(sender, task), number)
        });
        let places = places.collect();
        (inbox, line, places)
    }

    #[test]
    fn lets_those_who_stay_go_in_the_order_they_came() {
        let (_inbox, mut line, places) = line(100);
        for place in places.iter().filter(|place| place.0 % 3 != 0) {
            assert!(line.leave(*place));
            assert!(!line.leave(*place));
            assert!(!line.holds(*place));
        }
        assert_eq!(line.len(), 34);
        let left: Vec<u64> = std::iter::from_fn(|| line.pop())
            .map(|(_, _, number)| number)
            .collect();
        assert_eq!(left, (0..100).step_by(3).collect::<Vec<u64>>());
        assert!(line.is_empty());
    }

    #[test]
    fn keeps_no_more_entries_than_it_has_to() {
        let (_inbox, mut line, places) = line(10_000);
        assert!(places.iter().skip(1).all(|place| line.leave(*place)));
        assert!(line.waiting.len() < 32);
        assert!(line.holds(places[0]));
    }
}
