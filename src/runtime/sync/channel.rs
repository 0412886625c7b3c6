//! A channel: values from task to task, in their order. The values themselves are Lua's; here they are keys.

use super::store::{Key, Store};
use super::{Given, Line, Waitable, Waiter, Wish};
use crate::runtime::Runtime;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// The state of a channel.
pub(crate) struct Channel {
    /// How many values it holds; `usize::MAX` is any number.
    room: usize,
    /// Has it been closed?
    closed: Cell<bool>,
    /// What is queued.
    queue: RefCell<VecDeque<Key>>,
    /// Where the values lie.
    store: Store,
    /// Who waits for a value.
    pub(super) receivers: Line,
    /// Who waits with a value for room.
    pub(super) senders: Line,
}

impl Channel {
    /// One with so much room.
    pub(crate) fn new(room: usize) -> Channel {
        Channel {
            room,
            closed: Cell::new(false),
            queue: RefCell::default(),
            store: Store::default(),
            receivers: Line::default(),
            senders: Line::default(),
        }
    }

    /// How many values it holds.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// How many are queued.
    pub(crate) fn len(&self) -> usize {
        self.queue.borrow().len()
    }

    /// Has it been closed?
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// The key that the next value goes under.
    #[inline(always)]
    pub(crate) fn vacancy(&self) -> Key {
        self.store.vacancy()
    }

    /// Takes that key.
    pub(crate) fn claim(&self) -> Key {
        self.store.claim()
    }

    /// The value under the key is wanted no more.
    pub(super) fn release(&self, key: Key) {
        self.store.release(key);
    }

    /// Would a receive not wait?
    pub(crate) fn has_something(&self) -> bool {
        self.len() > 0 || !self.senders.is_empty() || self.is_closed()
    }

    /// Would a send not wait?
    pub(crate) fn has_room(&self) -> bool {
        self.len() < self.room || !self.receivers.is_empty() || self.is_closed()
    }

    /// Its state in some words.
    pub(super) fn text(&self) -> String {
        let room = if self.room == usize::MAX {
            "any number".into()
        } else {
            self.room.to_string()
        };
        let closed = if self.is_closed() { ", closed" } else { "" };
        format!("{} of {room} queued{closed}", self.len())
    }

    /// Sends what lies under the next key, without waiting; answers whether it could.
    #[inline(always)]
    pub(crate) fn send_now(&self, runtime: &Runtime, this: &Waitable) -> bool {
        if self.closed.get() {
            return false;
        }
        if !self.receivers.is_empty()
            && runtime
                .serve(&self.receivers, Given::Item(self.store.vacancy()))
                .is_some()
        {
            self.store.claim();
            return true;
        }
        let mut queue = self.queue.borrow_mut();
        if queue.len() >= self.room {
            return false;
        }
        queue.push_back(self.store.claim());
        drop(queue);
        runtime.tell_watchers(this);
        true
    }

    /// Receives without waiting; answers the key, which the caller empties at once.
    #[inline(always)]
    pub(crate) fn receive_now(&self, runtime: &Runtime, this: &Waitable) -> Option<Key> {
        let first = self.queue.borrow_mut().pop_front();
        if let Some(key) = first {
            self.store.release(key);
            if !self.senders.is_empty() {
                self.admit(runtime);
            }
            runtime.tell_watchers(this);
            return Some(key);
        }
        while let Some(waiter) = self.senders.pop() {
            if runtime.give(waiter, Given::Done)
                && let Wish::Send(key) = waiter.wish
            {
                self.store.release(key);
                return Some(key);
            }
        }
        None
    }

    /// There is room: takes the values of those who wait to send.
    fn admit(&self, runtime: &Runtime) {
        while self.len() < self.room {
            let Some(waiter) = self.senders.pop() else {
                return;
            };
            if runtime.give(waiter, Given::Done)
                && let Wish::Send(key) = waiter.wish
            {
                self.queue.borrow_mut().push_back(key);
            }
        }
    }

    /// Gives a value that its receiver did not take to the next one, or puts it before all others.
    pub(super) fn put_back(&self, runtime: &Runtime, this: &Waitable, key: Key) {
        if runtime.serve(&self.receivers, Given::Item(key)).is_none() {
            self.queue.borrow_mut().push_front(key);
        }
        runtime.tell_watchers(this);
    }

    /// Takes nothing more, and tells all who wait.
    pub(crate) fn close(&self, runtime: &Runtime, this: &Rc<Waitable>) {
        if self.closed.replace(true) {
            return;
        }
        for line in [&self.receivers, &self.senders] {
            while runtime.serve(line, Given::Closed).is_some() {}
        }
        runtime.tell_watchers(this);
    }

    /// Puts a task into the line for its wish.
    pub(super) fn enter(&self, runtime: &Runtime, this: &Waitable, waiter: Waiter) {
        match waiter.wish {
            Wish::Send(_) => self.senders.push(waiter),
            _ => self.receivers.push(waiter),
        }
        runtime.tell_watchers(this);
    }
}
