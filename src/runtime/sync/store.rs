//! Where the Lua values of an object lie: in its userdata's table, under small keys that are used again.

use std::cell::{Cell, RefCell};

/// A key in the table.
pub(crate) type Key = u32;

/// Which keys are in use.
#[derive(Default)]
pub(crate) struct Store {
    /// Keys to be used again.
    free: RefCell<Vec<Key>>,
    /// The largest key that has been used.
    last: Cell<Key>,
}

impl Store {
    /// The key that the next value goes under. It is in use from `claim` on.
    #[inline(always)]
    pub(super) fn vacancy(&self) -> Key {
        let free = self.free.borrow();
        free.last().copied().unwrap_or(self.last.get() + 1)
    }

    /// Takes the key that `vacancy` has answered.
    #[inline(always)]
    pub(super) fn claim(&self) -> Key {
        self.free.borrow_mut().pop().unwrap_or_else(|| {
            self.last.set(self.last.get() + 1);
            self.last.get()
        })
    }

    /// Gives a key back.
    #[inline(always)]
    pub(super) fn release(&self, key: Key) {
        self.free.borrow_mut().push(key);
    }
}
