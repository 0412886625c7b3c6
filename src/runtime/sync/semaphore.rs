//! A semaphore: a number of permits.

use super::{Given, Line, Waitable, Wish};
use crate::runtime::Runtime;
use std::cell::Cell;

/// The state of a semaphore.
pub(crate) struct Semaphore {
    /// The permits that are free.
    permits: Cell<i64>,
    /// Who waits for some.
    pub(super) line: Line,
}

impl Semaphore {
    /// One with so many permits.
    pub(crate) fn new(permits: i64) -> Semaphore {
        Semaphore {
            permits: Cell::new(permits),
            line: Line::default(),
        }
    }

    /// The permits that are free.
    pub(crate) fn permits(&self) -> i64 {
        self.permits.get()
    }

    /// Takes permits if nobody has to wait for them; answers whether it did.
    #[inline(always)]
    pub(crate) fn take(&self, count: i64) -> bool {
        let may = self.permits.get() >= count && self.line.is_empty();
        if may {
            self.permits.set(self.permits.get() - count);
        }
        may
    }

    /// Gives permits back.
    pub(crate) fn release(&self, runtime: &Runtime, this: &Waitable, count: i64) {
        self.permits.set(self.permits.get().saturating_add(count));
        self.settle(runtime, this);
    }

    /// Gives permits to those who wait, in their order; the first waits until there are enough for it.
    pub(super) fn settle(&self, runtime: &Runtime, this: &Waitable) {
        while let Some(waiter) = self.line.first() {
            let Wish::Acquire(count) = waiter.wish else {
                break;
            };
            if count > self.permits.get() {
                break;
            }
            self.line.pop();
            if runtime.give(waiter, Given::Done) {
                self.permits.set(self.permits.get() - count);
            }
        }
        runtime.tell_watchers(this);
    }
}
