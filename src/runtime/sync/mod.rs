//! What tasks of one universe wait at: mutexes, channels and their friends. Each kind knows its own state and its lines;
//! here is what they have in common.
//!
//! Whoever wakes a waiter serves it: it is taken out of the line and its operation marked with what it is given, in one
//! step with its wake-up. So what is handed over cannot be taken by anybody else before the task has its turn.

mod channel;
mod choice;
mod gate;
mod held;
mod line;
mod mutex;
mod place;
mod quick;
mod rwlock;
mod semaphore;
mod store;

pub(crate) use channel::Channel;
pub(crate) use choice::{Case, Choice};
pub(crate) use gate::{Barrier, Condition, Event, Waitgroup};
pub(crate) use line::Waiter;
pub(crate) use mutex::Mutex;
pub(crate) use place::Place;
pub(crate) use quick::{acquire, lock, release, unlock};
pub(crate) use rwlock::Rwlock;
pub(crate) use semaphore::Semaphore;
pub(crate) use store::Key;

use super::{Runtime, TaskId};
use crate::vm::{Object, Reply, Value};
use line::Line;
use std::cell::{Cell, OnceCell};
use std::rc::{Rc, Weak};

/// An object that tasks wait at.
pub(crate) struct Waitable {
    /// Itself: for those who wait.
    own: Weak<Waitable>,
    /// What it is.
    pub(crate) kind: Kind,
    /// The name under which Lua knows who watches it, while anybody does.
    watch: Cell<Option<i64>>,
    /// Where it was made, where that is to be remembered.
    site: OnceCell<String>,
}

/// The kinds of such objects.
pub(crate) enum Kind {
    /// One task at a time.
    Mutex(Mutex),
    /// A number of permits.
    Semaphore(Semaphore),
    /// Many readers or one writer.
    Rwlock(Rwlock),
    /// A signal.
    Condition(Condition),
    /// A flag with a value.
    Event(Event),
    /// A count of what is to be done.
    Waitgroup(Waitgroup),
    /// Tasks that wait for one another.
    Barrier(Barrier),
    /// Values from task to task.
    Channel(Channel),
}

/// Who holds a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// The code outside of tasks.
    Main,
    /// A task.
    Task(TaskId),
}

/// What a waiter wants of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// A mutex, for this owner.
    Lock(Owner),
    /// A rwlock, to read.
    Read(Owner),
    /// A rwlock, to write.
    Write(Owner),
    /// So many permits.
    Acquire(i64),
    /// That it lets go on.
    Pass,
    /// A signal, and then the mutex of the condition, for this owner.
    Signal(Owner),
    /// A value.
    Receive,
    /// Room for the value under this key. It is as wide as what other wishes have, so that a wish is two numbers, which
    /// need no memory to be handed on: 30 instructions less a wait.
    Send(u64),
}

impl Wish {
    /// Room for the value under a key.
    #[inline(always)]
    pub(crate) fn send(key: Key) -> Wish {
        Wish::Send(key.into())
    }

    /// The key of what is to be sent.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "it was made of a key")]
    pub(crate) fn key(self) -> Option<Key> {
        match self {
            Wish::Send(key) => Some(key as Key),
            _ => None,
        }
    }
}

/// What a call returns that returns one value: what lies under the key, and whether nobody else wants that; or true.
type Answer = Option<(Key, bool)>;

/// What a waiter is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Given {
    /// What it wanted.
    Done,
    /// The lock of an owner that has ended.
    Abandoned,
    /// The channel has been closed.
    Closed,
    /// The value under this key.
    Item(Key),
}

impl Object for Waitable {}

impl Waitable {
    /// A new one.
    pub(crate) fn new(kind: Kind) -> Rc<Waitable> {
        Rc::new_cyclic(|own| Waitable {
            own: Weak::clone(own),
            kind,
            watch: Cell::new(None),
            site: OnceCell::new(),
        })
    }

    /// A share in it.
    pub(crate) fn share(&self) -> Rc<Waitable> {
        self.own.upgrade().expect("it is being used")
    }

    /// What it is called in `coev`.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Mutex(_) => "mutex",
            Kind::Semaphore(_) => "semaphore",
            Kind::Rwlock(_) => "rwlock",
            Kind::Condition(_) => "condition",
            Kind::Event(_) => "event",
            Kind::Waitgroup(_) => "waitgroup",
            Kind::Barrier(_) => "barrier",
            Kind::Channel(_) => "channel",
        }
    }

    /// Its address, as Lua writes addresses.
    fn address(&self) -> String {
        format!("0x{:012x}", (&raw const *self).addr())
    }

    /// Remembers where it was made.
    pub(crate) fn set_site(&self, site: String) {
        // The first one holds.
        let _ = self.site.set(site);
    }

    /// Does anybody watch it?
    #[inline(always)]
    pub(crate) fn is_watched(&self) -> bool {
        self.watch.get().is_some()
    }

    /// Says under which name Lua knows who watches it; none is nobody.
    pub(crate) fn set_watch(self: &Rc<Waitable>, runtime: &Runtime, name: Option<i64>) {
        self.watch.set(name);
        if let Kind::Mutex(mutex) = &self.kind {
            mutex.note(runtime, self);
        }
    }

    /// What a wait for `wish` is called.
    fn describe(&self, wish: Wish) -> String {
        let verb = match wish {
            Wish::Lock(_) => "lock of",
            Wish::Read(_) => "read lock of",
            Wish::Write(_) => "write lock of",
            Wish::Acquire(_) => "acquire of",
            Wish::Receive => "receive on",
            Wish::Send(_) => "send on",
            Wish::Signal(_) => "wait for",
            Wish::Pass if matches!(self.kind, Kind::Barrier(_)) => "wait at",
            Wish::Pass => "wait for",
        };
        let site = self.site.get().map(|site| format!(" made at {site}"));
        format!(
            "{verb} {} {}{}",
            self.kind_name(),
            self.address(),
            site.unwrap_or_default()
        )
    }

    /// What `tostring` says: its class, address and state, and who waits.
    pub(crate) fn text(&self, runtime: &Runtime) -> String {
        let state = match &self.kind {
            Kind::Mutex(mutex) => mutex.text(runtime),
            Kind::Semaphore(semaphore) => format!("{} free", semaphore.permits()),
            Kind::Rwlock(rwlock) => rwlock.text(runtime),
            Kind::Condition(Condition { mutex: None, .. }) => "without a mutex".into(),
            Kind::Condition(_) => "with a mutex".into(),
            Kind::Event(event) => if event.is_set() { "set" } else { "not set" }.into(),
            Kind::Waitgroup(group) => format!("{} to be done", group.left.get()),
            Kind::Barrier(barrier) => {
                format!("{} of {} have come", barrier.line.len(), barrier.parties)
            }
            Kind::Channel(channel) => channel.text(),
        };
        let waiting = match self.waiting() {
            0 => String::new(),
            1 => ", 1 task waits".into(),
            count => format!(", {count} tasks wait"),
        };
        let site = self.site.get().map(|site| format!(", made at {site}"));
        format!(
            "coev.{}: {} ({state}{waiting}{})",
            self.kind_name(),
            self.address(),
            site.unwrap_or_default()
        )
    }

    /// The line for a wish.
    fn line(&self, wish: Wish) -> &Line {
        match &self.kind {
            Kind::Mutex(mutex) => &mutex.line,
            Kind::Semaphore(semaphore) => &semaphore.line,
            Kind::Rwlock(rwlock) => &rwlock.line,
            Kind::Condition(condition) => &condition.line,
            Kind::Event(event) => &event.line,
            Kind::Waitgroup(group) => &group.line,
            Kind::Barrier(barrier) => &barrier.line,
            Kind::Channel(channel) if matches!(wish, Wish::Send(_)) => &channel.senders,
            Kind::Channel(channel) => &channel.receivers,
        }
    }

    /// How many wait.
    fn waiting(&self) -> usize {
        let senders = match &self.kind {
            Kind::Channel(channel) => channel.senders.len(),
            _ => 0,
        };
        self.line(Wish::Pass).len() + senders
    }

    /// Which of `events` ("r", "w") would not wait now.
    pub(crate) fn ready(&self, runtime: &Runtime, events: &str) -> &'static str {
        let (read, write) = match &self.kind {
            Kind::Channel(channel) => (channel.has_something(), channel.has_room()),
            Kind::Rwlock(rwlock) => (rwlock.is_ready(true), rwlock.is_ready(false)),
            Kind::Mutex(mutex) => [mutex.owner(runtime).is_none(); 2].into(),
            Kind::Semaphore(semaphore) => {
                [semaphore.permits() > 0 && semaphore.line.is_empty(); 2].into()
            }
            Kind::Event(event) => [event.is_set(); 2].into(),
            Kind::Waitgroup(group) => [group.left.get() == 0; 2].into(),
            // A signal is gone when it has woken somebody.
            Kind::Condition(_) | Kind::Barrier(_) => (false, false),
        };
        match (read && events.contains('r'), write && events.contains('w')) {
            (true, true) => "rw",
            (true, false) => "r",
            (false, true) => "w",
            (false, false) => "",
        }
    }

    /// Grants the wish without waiting, if that can be.
    #[inline]
    pub(crate) fn try_now(self: &Rc<Waitable>, runtime: &Runtime, wish: Wish) -> Option<Given> {
        match (&self.kind, wish) {
            (Kind::Mutex(mutex), Wish::Lock(owner)) => mutex.try_now(runtime, self, owner),
            (Kind::Semaphore(semaphore), Wish::Acquire(count)) => {
                semaphore.take(count).then_some(Given::Done)
            }
            (Kind::Rwlock(rwlock), _) => rwlock.try_now(runtime, self, wish),
            (Kind::Event(event), _) => event.value().map(Given::Item),
            (Kind::Waitgroup(group), _) => (group.left.get() == 0).then_some(Given::Done),
            (Kind::Channel(channel), Wish::Receive) => {
                let item = channel.receive_now(runtime, self).map(Given::Item);
                item.or(channel.is_closed().then_some(Given::Closed))
            }
            (Kind::Channel(channel), Wish::Send(_)) => {
                let key = wish.key()?;
                // It is under the next key again as soon as it is given back.
                channel.release(key);
                if channel.send_now(runtime, self) {
                    return Some(Given::Done);
                }
                channel.claim();
                channel.is_closed().then_some(Given::Closed)
            }
            _ => None,
        }
    }

    /// Puts a task into the line for its wish.
    #[inline(always)]
    fn enter(self: &Rc<Waitable>, runtime: &Runtime, waiter: Waiter) {
        match &self.kind {
            Kind::Channel(channel) => channel.enter(runtime, self, waiter),
            Kind::Mutex(mutex) => {
                mutex.line.push(waiter);
                mutex.note(runtime, self);
            }
            _ => self.line(waiter.wish).push(waiter),
        }
    }

    /// Takes a task that has not been served out of the line for its wish. Those behind it may go on now.
    fn leave(self: &Rc<Waitable>, runtime: &Runtime, wish: Wish, task: TaskId, case: u32) {
        self.line(wish).remove(task, case);
        match &self.kind {
            Kind::Semaphore(semaphore) => semaphore.settle(runtime, self),
            Kind::Rwlock(rwlock) => rwlock.settle(runtime, self),
            Kind::Channel(channel) => {
                channel.forget(wish);
            }
            _ => {}
        }
    }

    /// What a task has been given is not taken by it.
    fn pass_on(self: &Rc<Waitable>, runtime: &Runtime, wish: Wish, given: Given) {
        match (&self.kind, wish, given) {
            (Kind::Mutex(mutex), ..) => mutex.hand_over(runtime, self, given),
            (Kind::Semaphore(semaphore), Wish::Acquire(count), _) => {
                semaphore.release(runtime, self, count);
            }
            (Kind::Rwlock(rwlock), Wish::Read(owner) | Wish::Write(owner), _) => {
                rwlock.desert(runtime, self, owner, given == Given::Abandoned);
            }
            (Kind::Condition(condition), ..) => {
                condition.signal(runtime, self, 1);
            }
            (Kind::Event(event), _, Given::Item(key)) => {
                event.read(key);
            }
            (Kind::Channel(channel), Wish::Receive, Given::Item(key)) => {
                channel.put_back(runtime, self, key);
            }
            (Kind::Channel(channel), Wish::Send(_), Given::Closed) => channel.forget(wish),
            _ => {}
        }
    }

    /// Accepts what has been given, where the call returns one value.
    #[inline(always)]
    fn at_hand(&self, given: Given) -> Option<Answer> {
        match (given, &self.kind) {
            (Given::Done, Kind::Barrier(_)) => None,
            (Given::Done, _) => Some(None),
            (Given::Item(key), Kind::Channel(channel)) => {
                channel.release(key);
                Some(Some((key, true)))
            }
            (Given::Item(key), Kind::Event(event)) => Some(Some((key, event.read(key)))),
            _ => None,
        }
    }

    /// What a call returns that has been given something: the object is the value at `at`, counted from the call's first
    /// argument.
    pub(crate) fn reply(&self, wish: Wish, given: Given, at: i32) -> Reply {
        match (&self.kind, given) {
            (Kind::Event(event), Given::Item(key)) => Reply::one(if event.read(key) {
                Value::Taken { at, key }
            } else {
                Value::Kept { at, key }
            }),
            (Kind::Channel(_), Given::Item(key)) => Reply::one(Value::Taken { at, key }),
            (Kind::Barrier(_), _) => Reply::one(false),
            (Kind::Channel(channel), Given::Closed) => {
                if let Some(key) = wish.key() {
                    channel.release(key);
                    return Reply::three(Value::Nil, "closed", Value::Forgotten { at, key });
                }
                Reply::failure("closed")
            }
            (_, Given::Abandoned) => Reply::two(true, "abandoned"),
            _ => Reply::one(true),
        }
    }
}

impl Runtime {
    /// Who runs.
    #[inline(always)]
    pub(crate) fn here(&self) -> Owner {
        self.current.get().map_or(Owner::Main, Owner::Task)
    }

    /// Gives the first of a line that takes it `given`; answers who that is.
    #[inline(always)]
    pub(super) fn serve(&self, line: &Line, given: Given) -> Option<Waiter> {
        while let Some(waiter) = line.pop() {
            if self.give(waiter, given) {
                return Some(waiter);
            }
        }
        None
    }
}
