//! What lets those who wait go on together: conditions, events, waitgroups and barriers.

use super::store::{Key, Store};
use super::{Given, Line, Waitable};
use crate::runtime::Runtime;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A condition: tasks that wait for a signal.
pub(crate) struct Condition {
    /// The mutex that is let go of while somebody waits.
    pub(crate) mutex: Option<Rc<Waitable>>,
    /// Who waits.
    pub(super) line: Line,
}

/// A flag with a value.
#[derive(Default)]
pub(crate) struct Event {
    /// The value, while it is set.
    value: Cell<Option<Key>>,
    /// Where values lie.
    store: Store,
    /// How many are still to read each value: its key, and the count.
    readers: RefCell<Vec<(Key, usize)>>,
    /// Who waits.
    pub(super) line: Line,
}

/// A count of what is still to be done.
pub(crate) struct Waitgroup {
    /// The count.
    pub(crate) left: Cell<i64>,
    /// Who waits for 0.
    pub(super) line: Line,
}

/// A number of tasks that wait for one another, round after round.
pub(crate) struct Barrier {
    /// How many.
    pub(crate) parties: usize,
    /// Those who have come.
    pub(super) line: Line,
}

impl Condition {
    /// One that lets go of `mutex`, if any.
    pub(crate) fn new(mutex: Option<Rc<Waitable>>) -> Condition {
        Condition {
            mutex,
            line: Line::default(),
        }
    }

    /// Wakes up to `most` of those who wait; answers how many. With a mutex, they go into its line instead, so that
    /// each is woken when it has it.
    pub(crate) fn signal(&self, runtime: &Runtime, this: &Waitable, most: usize) -> usize {
        let mut woken = 0;
        while woken < most
            && let Some(waiter) = self.line.pop()
        {
            let goes = match &self.mutex {
                Some(mutex) => runtime.transfer(waiter, mutex),
                None => runtime.give(waiter, Given::Done),
            };
            woken += usize::from(goes);
        }
        runtime.tell_watchers(this);
        woken
    }
}

impl Event {
    /// The key that the next value goes under.
    pub(super) fn vacancy(&self) -> Key {
        self.store.vacancy()
    }

    /// Is it set?
    pub(crate) fn is_set(&self) -> bool {
        self.value.get().is_some()
    }

    /// The value, which stays.
    pub(super) fn value(&self) -> Option<Key> {
        self.value.get()
    }

    /// Sets it to what lies under the next key, and lets all who wait go on; answers the key of a value that is
    /// wanted no more.
    pub(crate) fn set(&self, runtime: &Runtime, this: &Waitable) -> Option<Key> {
        let key = self.store.claim();
        let before = self.value.replace(Some(key));
        let mut count = 0;
        while runtime.serve(&self.line, Given::Item(key)).is_some() {
            count += 1;
        }
        if count > 0 {
            self.readers.borrow_mut().push((key, count));
        }
        runtime.tell_watchers(this);
        before.filter(|before| self.is_unused(*before))
    }

    /// Clears it; answers the key of the value, when it is wanted no more.
    pub(crate) fn clear(&self) -> Option<Key> {
        let before = self.value.take();
        before.filter(|before| self.is_unused(*before))
    }

    /// One of those who were let go on has read the value, or never will; answers whether it was the last one.
    pub(super) fn read(&self, key: Key) -> bool {
        let mut readers = self.readers.borrow_mut();
        if let Some(place) = readers.iter().position(|(read, _)| *read == key) {
            readers[place].1 -= 1;
            if readers[place].1 == 0 {
                readers.swap_remove(place);
            }
        }
        drop(readers);
        self.is_unused(key)
    }

    /// Is the value under the key wanted by nobody? Then the key is free.
    fn is_unused(&self, key: Key) -> bool {
        let unused = self.value.get() != Some(key)
            && self.readers.borrow().iter().all(|(read, _)| *read != key);
        if unused {
            self.store.release(key);
        }
        unused
    }
}

impl Waitgroup {
    /// One with so much to be done.
    pub(crate) fn new(left: i64) -> Waitgroup {
        Waitgroup {
            left: Cell::new(left),
            line: Line::default(),
        }
    }

    /// Changes the count, which stays where it is if it would be less than 0; answers whether it has changed. Who waits
    /// for 0 is woken there.
    pub(crate) fn change(&self, runtime: &Runtime, this: &Waitable, by: i64) -> bool {
        let left = self.left.get().saturating_add(by);
        if left < 0 {
            return false;
        }
        self.left.set(left);
        if left == 0 {
            while runtime.serve(&self.line, Given::Done).is_some() {}
            runtime.tell_watchers(this);
        }
        true
    }
}

impl Barrier {
    /// One for so many.
    pub(crate) fn new(parties: usize) -> Barrier {
        Barrier {
            parties,
            line: Line::default(),
        }
    }

    /// The last one comes: lets the others go on; answers whether it is the last one.
    pub(crate) fn complete(&self, runtime: &Runtime) -> bool {
        if self.line.len() + 1 < self.parties {
            return false;
        }
        while runtime.serve(&self.line, Given::Done).is_some() {}
        true
    }
}
