//! A rwlock: many readers or one writer, in the order in which they come; readers in a row go together.

use super::{Given, Line, Owner, Waitable, Wish};
use crate::runtime::Runtime;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The state of a rwlock.
#[derive(Default)]
pub(crate) struct Rwlock {
    /// Who writes.
    writer: Cell<Option<Owner>>,
    /// Who reads.
    readers: RefCell<Vec<Owner>>,
    /// Has a writer ended without unlocking, and no other been told yet?
    deserted: Cell<bool>,
    /// Who waits for it.
    pub(super) line: Line,
}

impl Rwlock {
    /// May a lock be had, those who wait apart?
    fn is_open(&self, wish: Wish) -> bool {
        self.writer.get().is_none()
            && (matches!(wish, Wish::Read(_)) || self.readers.borrow().is_empty())
    }

    /// Would a reader, or else a writer, not wait?
    pub(super) fn is_ready(&self, to_read: bool) -> bool {
        self.line.is_empty()
            && self.writer.get().is_none()
            && (to_read || self.readers.borrow().is_empty())
    }

    /// Has this owner locked it?
    pub(crate) fn is_held_by(&self, owner: Owner) -> bool {
        self.writer.get() == Some(owner) || self.readers.borrow().contains(&owner)
    }

    /// Its state in some words.
    pub(super) fn text(&self, runtime: &Runtime) -> String {
        match (self.writer.get(), self.readers.borrow().len()) {
            (Some(owner), _) => format!("written by {}", runtime.owner_label(owner)),
            (None, 0) => "free".into(),
            (None, 1) => "read by 1 task".into(),
            (None, count) => format!("read by {count} tasks"),
        }
    }

    /// What who gets it now is told.
    fn news(&self) -> Given {
        if self.deserted.get() {
            Given::Abandoned
        } else {
            Given::Done
        }
    }

    /// Notes who has the lock now.
    fn admit(&self, runtime: &Runtime, this: &Rc<Waitable>, wish: Wish) {
        let owner = match wish {
            Wish::Write(owner) => {
                self.writer.set(Some(owner));
                self.deserted.set(false);
                owner
            }
            Wish::Read(owner) => {
                self.readers.borrow_mut().push(owner);
                owner
            }
            _ => return,
        };
        runtime.note_held(owner, this);
    }

    /// Locks it without waiting.
    pub(super) fn try_now(
        &self,
        runtime: &Runtime,
        this: &Rc<Waitable>,
        wish: Wish,
    ) -> Option<Given> {
        if !self.line.is_empty() || !self.is_open(wish) {
            return None;
        }
        let given = self.news();
        self.admit(runtime, this, wish);
        Some(given)
    }

    /// Lets in those who wait, as far as they go together.
    pub(super) fn settle(&self, runtime: &Runtime, this: &Rc<Waitable>) {
        while let Some(waiter) = self.line.first()
            && self.is_open(waiter.wish)
        {
            self.line.pop();
            if runtime.give(waiter, self.news()) {
                self.admit(runtime, this, waiter.wish);
            }
        }
        runtime.tell_watchers(this);
    }

    /// Its owner lets go of it.
    pub(crate) fn unlock(&self, runtime: &Runtime, this: &Rc<Waitable>, owner: Owner) {
        if self.writer.get() == Some(owner) {
            self.writer.set(None);
        } else {
            self.readers.borrow_mut().retain(|reader| *reader != owner);
        }
        self.settle(runtime, this);
    }

    /// Its owner has ended, or does not take what it was given.
    pub(super) fn desert(
        &self,
        runtime: &Runtime,
        this: &Rc<Waitable>,
        owner: Owner,
        abandoned: bool,
    ) {
        if abandoned && self.writer.get() == Some(owner) {
            self.deserted.set(true);
        }
        self.unlock(runtime, this, owner);
    }
}
