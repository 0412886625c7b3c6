//! A set of descriptors that a poll object watches, level-triggered, and the wait for one of them.
//!
//! Each set is a poller of its own, which the loop's poller watches as one descriptor: so the same descriptor can be in
//! several sets, and in a stream.

use super::interests::{Direction, Key};
use super::operation::Poll;
use super::{Departures, Runtime};
use crate::sched::TaskId;
use crate::sys::poller::{Event, Poller, is_open};
use crate::vm::{Object, Reply};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

/// The set.
pub(crate) struct FdSet {
    /// Its poller; none after `close`.
    poller: RefCell<Option<Poller>>,
    /// How many descriptors are in it.
    len: Cell<usize>,
    /// What was ready at the last look.
    ready: RefCell<Vec<Event>>,
    /// Those whose owner may close them without a word, each with the key of its events.
    raw: RefCell<HashMap<RawFd, u64>>,
    /// The keys of those that were found closed.
    closed: RefCell<Vec<u64>>,
    /// Its place among the interests, once somebody had to wait.
    key: Cell<Option<Key>>,
    /// Where its key goes when it is collected.
    departures: Departures,
}

/// The wait until a descriptor of the set is ready, a socket of coev's is closed, or somebody resumes the task.
pub(crate) struct Watch {
    /// The set.
    set: Rc<FdSet>,
    /// Has it been polled before? Then the task has been woken, and is to look for itself.
    begun: bool,
}

impl Object for FdSet {}

impl FdSet {
    /// An empty set.
    pub(crate) fn new(runtime: &Runtime) -> io::Result<FdSet> {
        Ok(FdSet {
            poller: RefCell::new(Some(Poller::new()?)),
            len: Cell::new(0),
            ready: RefCell::default(),
            raw: RefCell::default(),
            closed: RefCell::default(),
            key: Cell::new(None),
            departures: runtime.departures(),
        })
    }

    /// Works with the poller, unless the set is closed.
    fn with_poller<T>(&self, work: impl FnOnce(&mut Poller) -> io::Result<T>) -> io::Result<T> {
        match &mut *self.poller.borrow_mut() {
            Some(poller) => work(poller),
            None => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }

    /// Puts a descriptor into the set; its events come with `key`. Without a direction it only wakes who waits. A `raw`
    /// one may be closed without a word.
    pub(crate) fn add(
        &self,
        fd: RawFd,
        directions: [bool; 2],
        key: u64,
        raw: bool,
    ) -> io::Result<()> {
        let (watched, key_for_poller) = wanted(directions, key);
        self.with_poller(|poller| poller.watch(fd, watched, key_for_poller))?;
        self.len.set(self.len.get() + 1);
        if raw {
            self.raw.borrow_mut().insert(fd, key);
        }
        Ok(())
    }

    /// Watches a descriptor of the set for other directions.
    pub(crate) fn change(&self, fd: RawFd, directions: [bool; 2], key: u64) -> io::Result<()> {
        let (watched, key_for_poller) = wanted(directions, key);
        self.with_poller(|poller| poller.change(fd, watched, key_for_poller))
    }

    /// Takes a descriptor out of the set, also one that has been closed and so has left by itself.
    pub(crate) fn remove(&self, fd: RawFd) {
        // That it has left already is no failure.
        let _ = self.with_poller(|poller| poller.unwatch(fd));
        self.len.set(self.len.get().saturating_sub(1));
        self.raw.borrow_mut().remove(&fd);
    }

    /// Looks which descriptors are ready; answers how many. More than the poller has room for come the next time.
    pub(crate) fn collect(&self) -> io::Result<usize> {
        let mut ready = self.ready.borrow_mut();
        ready.clear();
        self.with_poller(|poller| poller.wait(Some(0), |event| ready.push(event)))?;
        Ok(ready.len())
    }

    /// One of those that `collect` has found: its key, and in which of the directions that it is watched for it is ready.
    pub(crate) fn event(&self, index: usize) -> Option<(u64, [bool; 2])> {
        let event = *self.ready.borrow().get(index)?;
        let (key, [read, write]) = parts(event.key);
        Some((key, [read && event.readable, write && event.writable]))
    }

    /// Looks which raw descriptors have been closed; answers how many. After a look at what is ready, those that are need
    /// no other one (`but_ready`).
    pub(crate) fn look_for_closed(&self, but_ready: bool) -> usize {
        let (ready, raw) = (self.ready.borrow(), self.raw.borrow());
        let mut closed = self.closed.borrow_mut();
        closed.clear();
        if !but_ready || ready.len() < self.len.get() {
            closed.extend(
                raw.iter()
                    .filter(|(fd, _)| !is_open(**fd))
                    .map(|(_, key)| key),
            );
        }
        closed.len()
    }

    /// One of those that `look_for_closed` has found, each once.
    pub(crate) fn next_closed(&self) -> Option<u64> {
        self.closed.borrow_mut().pop()
    }

    /// The descriptor of the set itself.
    pub(crate) fn fd(&self) -> io::Result<RawFd> {
        self.with_poller(|poller| Ok(poller.fd()))
    }

    /// Closes the set; who waits for it wakes.
    pub(crate) fn close(&self, runtime: &Runtime) {
        if let Some(key) = self.key.take() {
            runtime.forget_interest(key);
        }
        self.poller.take();
        self.len.set(0);
        self.raw.take();
    }
}

/// What the poller watches for those directions, and the number that its events come with: the key, and the directions
/// below it, since a failure makes events for both.
fn wanted(directions: [bool; 2], key: u64) -> ([bool; 2], u64) {
    let [read, write] = directions;
    let number = key << 2 | u64::from(write) << 1 | u64::from(read);
    ([read || !write, write], number)
}

/// The key, and the directions, of which `wanted` made that number.
fn parts(number: u64) -> (u64, [bool; 2]) {
    (number >> 2, [number & 1 != 0, number & 2 != 0])
}

impl Drop for FdSet {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.departures.borrow_mut().push(key);
        }
    }
}

impl Watch {
    /// A wait for the set.
    pub(crate) fn new(set: Rc<FdSet>) -> Watch {
        Watch { set, begun: false }
    }

    /// Is only this universe able to end it?
    pub(super) fn is_inward(&self) -> bool {
        self.set.len.get() == 0
    }

    /// Leaves the task's id where the wake-up comes from; whoever has just looked has found nothing ready.
    pub(super) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        if self.begun {
            self.withdraw(runtime, task);
            return Poll::Ready(Reply::one(true));
        }
        self.begun = true;
        runtime.core.borrow_mut().watchers.push(task);
        if self.is_inward() {
            return Poll::Pending;
        }
        let key = match (self.set.key.get(), self.set.fd()) {
            (Some(key), _) => key,
            (None, Ok(fd)) => match runtime.add_interest(fd, Direction::Read) {
                Ok(key) => key,
                Err(error) => {
                    self.withdraw(runtime, task);
                    return Poll::Ready(Reply::failure(crate::sys::failure::word(&error)));
                }
            },
            (None, Err(_)) => return Poll::Ready(Reply::one(true)),
        };
        self.set.key.set(Some(key));
        let mut core = runtime.core.borrow_mut();
        // An edge that came before the look is none any more.
        core.interests.blocks(key, Direction::Read);
        core.interests.watch(key, Direction::Read, task);
        Poll::Pending
    }

    /// Takes the task's id back.
    pub(super) fn withdraw(&mut self, runtime: &Runtime, task: TaskId) {
        let mut core = runtime.core.borrow_mut();
        core.watchers.retain(|watcher| *watcher != task);
        if let Some(key) = self.set.key.get() {
            core.interests.unwatch(key, Direction::Read, task);
        }
    }
}

impl Runtime {
    /// A socket of coev's has been closed: those who watch sets look whether it was one of theirs.
    pub(crate) fn note_closing(&self) {
        let mut core = self.core.borrow_mut();
        core.closings += 1;
        for task in std::mem::take(&mut core.watchers) {
            core.wake(task);
        }
    }

    /// How many sockets of coev's have been closed.
    pub(crate) fn closings(&self) -> u64 {
        self.core.borrow().closings
    }
}
