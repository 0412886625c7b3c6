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
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.queue.borrow().len()
    }

    /// Has it been closed?
    #[inline(always)]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// The key that the next value goes under.
    #[inline(always)]
    pub(crate) fn vacancy(&self) -> Key {
        self.store.vacancy()
    }

    /// Takes that key.
    #[inline(always)]
    pub(crate) fn claim(&self) -> Key {
        self.store.claim()
    }

    /// The value under the key is wanted no more.
    #[inline(always)]
    pub(super) fn release(&self, key: Key) {
        self.store.release(key);
    }

    /// What a wish would send is wanted no more.
    pub(super) fn forget(&self, wish: Wish) {
        if let Some(key) = wish.key() {
            self.release(key);
        }
    }

    /// Would a receive not wait?
    #[inline(always)]
    pub(crate) fn has_something(&self) -> bool {
        self.len() > 0 || !self.senders.is_empty() || self.is_closed()
    }

    /// May one value more be queued?
    #[inline(always)]
    fn has_space(&self) -> bool {
        self.queue.borrow().len() < self.room
    }

    /// Would a send not wait?
    pub(crate) fn has_room(&self) -> bool {
        self.has_space() || !self.receivers.is_empty() || self.is_closed()
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

    /// Takes a key for a value that could be sent without waiting.
    #[inline(always)]
    pub(super) fn claim_to_send(&self) -> Option<Key> {
        let may = !self.closed.get() && (self.has_space() || !self.receivers.is_empty());
        may.then(|| self.claim())
    }

    /// Sends what lies under the next key, without waiting; answers whether it could.
    #[inline(always)]
    pub(crate) fn send_now(&self, runtime: &Runtime, this: &Waitable) -> bool {
        let sent = self.send(runtime, this, self.store.vacancy());
        if sent {
            self.store.claim();
        }
        sent
    }

    /// Sends what lies under a key, without waiting; answers whether it could.
    #[inline(always)]
    pub(super) fn send(&self, runtime: &Runtime, this: &Waitable, key: Key) -> bool {
        if self.closed.get() {
            return false;
        }
        if !self.receivers.is_empty() && runtime.serve(&self.receivers, Given::Item(key)).is_some()
        {
            return true;
        }
        let mut queue = self.queue.borrow_mut();
        if queue.len() >= self.room {
            return false;
        }
        queue.push_back(key);
        drop(queue);
        runtime.tell_watchers(this);
        true
    }

    /// Receives without waiting; answers the key, which the caller empties at once.
    #[inline(always)]
    pub(crate) fn receive_now(&self, runtime: &Runtime, this: &Waitable) -> Option<Key> {
        let key = self.take(runtime, this)?;
        self.store.release(key);
        Some(key)
    }

    /// Receives without waiting; answers the key, which stays in use.
    #[inline(always)]
    pub(super) fn take(&self, runtime: &Runtime, this: &Waitable) -> Option<Key> {
        let first = self.queue.borrow_mut().pop_front();
        if let Some(key) = first {
            if !self.senders.is_empty() {
                self.admit(runtime);
            }
            runtime.tell_watchers(this);
            return Some(key);
        }
        while let Some(waiter) = self.senders.pop() {
            if runtime.give(waiter, Given::Done)
                && let Some(key) = waiter.wish.key()
            {
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
                && let Some(key) = waiter.wish.key()
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
    #[inline(always)]
    pub(super) fn enter(&self, runtime: &Runtime, this: &Waitable, waiter: Waiter) {
        match waiter.wish {
            Wish::Send(_) => self.senders.push(waiter),
            _ => self.receivers.push(waiter),
        }
        runtime.tell_watchers(this);
    }
}
