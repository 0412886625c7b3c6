//! What ends with a task: the locks that it holds, where somebody waits for them. And who watches an object.

use super::{Given, Kind, Owner, Waitable};
use crate::runtime::{Runtime, TaskId};
use std::rc::Rc;

impl Runtime {
    /// Can the owner still unlock what it holds?
    #[inline]
    pub(super) fn is_alive(&self, owner: Owner) -> bool {
        match owner {
            Owner::Main => true,
            Owner::Task(task) => {
                self.current.get() == Some(task) || self.core.borrow_mut().tasks.get(task).is_some()
            }
        }
    }

    /// Notes that the end of the owner matters to a lock; answers whether it can. The note may outlast the hold: a lock
    /// that goes to and fro is noted once with each of those who share it.
    pub(super) fn note_held(&self, owner: Owner, lock: &Waitable) -> bool {
        let Owner::Task(task) = owner else {
            return false;
        };
        let mut core = self.core.borrow_mut();
        let Some(record) = core.tasks.get(task) else {
            return false;
        };
        let held = &mut record.rarities.get_or_insert_default().held;
        if !held.iter().any(|other| is_same(other, lock)) {
            add_held(held, owner, lock.share());
        }
        true
    }

    /// A task has ended: those who wait for what it holds learn of it.
    pub(in crate::runtime) fn desert(&self, task: TaskId) {
        loop {
            let mut core = self.core.borrow_mut();
            let rarities = core
                .tasks
                .get(task)
                .and_then(|record| record.rarities.as_mut());
            let Some(lock) = rarities.and_then(|rarities| rarities.held.pop()) else {
                return;
            };
            drop(core);
            let Ok(lock) = lock.downcast::<Waitable>() else {
                continue;
            };
            let owner = Owner::Task(task);
            match &lock.kind {
                Kind::Mutex(mutex) if mutex.owner(self) == Some(owner) => {
                    mutex.hand_over(self, &lock, Given::Abandoned);
                }
                Kind::Rwlock(rwlock) if rwlock.is_held_by(owner) => {
                    rwlock.desert(self, &lock, owner, true);
                }
                _ => {}
            }
        }
    }

    /// Notes for those who watch an object that it may be ready.
    #[inline(always)]
    pub(super) fn tell_watchers(&self, object: &Waitable) {
        if let Some(name) = object.watch.get() {
            self.news.borrow_mut().push(name);
            // Told at the same time.
            self.has_woken_loose.set(true);
        }
    }
}

/// Adds a lock. Notes that have outlasted their holds go before the list would grow.
#[cold]
fn add_held(held: &mut Vec<Rc<dyn std::any::Any>>, owner: Owner, lock: Rc<Waitable>) {
    if held.len() == held.capacity() {
        held.retain(|other| {
            let other = other.downcast_ref::<Waitable>();
            other.is_some_and(|other| match &other.kind {
                Kind::Mutex(mutex) => mutex.keeps_note(owner),
                Kind::Rwlock(rwlock) => rwlock.is_held_by(owner),
                _ => false,
            })
        });
    }
    held.push(lock as _);
}

/// Is it the same lock?
fn is_same(other: &Rc<dyn std::any::Any>, lock: &Waitable) -> bool {
    std::ptr::addr_eq(Rc::as_ptr(other), lock)
}
