//! OS threads, each with a universe of its own, and what they share. Only `Send` handles cross.

mod channel;
mod latch;
mod life;
mod line;
mod map;
mod own;

use channel::Turn;
pub(crate) use channel::{Attempt, Channel, Receive, Send, Watch};
pub(crate) use latch::{Answer, Await, End, EndKind, Latch, Settler};
pub(crate) use life::{Seed, Stage, Thread};
pub(crate) use map::{Key, Map, Stored};

use super::Runtime;
use super::operation::{Operation, Poll};
use super::stream::Stream;
use crate::sched::TaskId;
use crate::vm::copy::{Departing, Message, Parcel};
use crate::vm::{Hookable, Reply, Value};
use life::Children;
use line::Place;
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// A task's place in a line, while it waits there. The runtime counts those who wait so: another thread may wake them
/// at any time, so the loop goes on for them as it does for a descriptor.
#[derive(Default)]
struct Wait(Option<Place>);

/// A wait for something that threads share.
pub(crate) enum Crossing {
    /// Room for a message in a channel.
    Send(Box<Send>),
    /// A message from a channel.
    Receive(Receive),
    /// A change of a channel.
    Watch(Watch),
    /// The end of a thread or a job.
    Await(Await),
}

/// The values of a message, as a reply.
pub(crate) fn landed(message: Message) -> Value {
    match message.into_string() {
        Ok(string) => Value::from(string),
        Err(message) => Value::from(Parcel::from(message)),
    }
}

/// The values of a message that is kept, as a reply.
fn landed_again(message: Arc<Message>) -> Value {
    Value::from(Parcel::from(message))
}

impl Runtime {
    /// The state closes: no other thread shall hand anything to its tasks, and what they have been handed is passed on.
    pub(super) fn leave_lines(&self) {
        let left = self.core.borrow_mut().parked.drain();
        for operation in left {
            if let Operation::Crossing(mut crossing) = operation {
                crossing.withdraw(self);
            }
        }
    }

    /// What has crossed is no longer this universe's.
    pub(crate) fn give_up(&self, departing: Departing) {
        for object in departing {
            let object: Rc<dyn Any> = object;
            if let Ok(stream) = object.downcast::<Stream>() {
                stream.depart(self);
            }
        }
    }
}

/// What a runtime knows of threads.
#[derive(Default)]
pub(crate) struct Threads {
    /// Those that it has started.
    children: RefCell<Children>,
    /// The one that it runs in, unless that is the interpreter's.
    own: OnceCell<Arc<Thread>>,
    /// Has that begun to run its chunk?
    begun: Cell<bool>,
    /// Does it know the inbox?
    reachable: Cell<bool>,
    /// How that one has ended: known when its chunk and all its tasks have.
    end: RefCell<Option<End>>,
    /// Where it is hooked when it is interrupted.
    hookable: OnceCell<Arc<Hookable>>,
    /// Bytes that its universe may take.
    ceiling: OnceCell<Arc<AtomicUsize>>,
}

impl Wait {
    /// Where it stands.
    fn place(&self) -> Option<Place> {
        self.0
    }

    /// It waits from now on.
    fn begin(&mut self, runtime: &Runtime, place: Place) {
        self.0 = Some(place);
        runtime.count_outward(true);
    }

    /// It stands as a look has told, of which it may be the first one.
    fn go_on<T>(&mut self, runtime: &Runtime, turn: &io::Result<Turn<T>>) {
        match turn {
            Ok(Turn::Waits(place)) if self.0.is_none() => self.begin(runtime, *place),
            Ok(Turn::Waits(_)) => {}
            Ok(Turn::Done(_) | Turn::Closed) | Err(_) => self.end(runtime),
        }
    }

    /// It waits no more, if it did.
    fn end(&mut self, runtime: &Runtime) {
        if self.0.take().is_some() {
            runtime.count_outward(false);
        }
    }
}

impl Crossing {
    /// Tries to get done.
    pub(super) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        match self {
            Crossing::Send(send) => send.poll(runtime, task),
            Crossing::Receive(receive) => receive.poll(runtime, task),
            Crossing::Watch(watch) => watch.poll(runtime, task),
            Crossing::Await(end) => end.poll(runtime, task),
        }
    }

    /// What the call returns when its deadline has passed.
    pub(super) fn expired(&self) -> Reply {
        match self {
            Crossing::Send(_) | Crossing::Receive(_) | Crossing::Watch(_) => {
                Reply::failure("timeout")
            }
            Crossing::Await(_) => Reply::two(false, "timeout"),
        }
    }

    /// Waits no more.
    pub(super) fn withdraw(&mut self, runtime: &Runtime) {
        match self {
            Crossing::Send(send) => send.withdraw(runtime),
            Crossing::Receive(receive) => receive.withdraw(runtime),
            Crossing::Watch(watch) => watch.withdraw(runtime),
            Crossing::Await(end) => end.withdraw(runtime),
        }
    }

    /// What it waits for, as one line.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Crossing::Send(_) => "send on a channel between threads",
            Crossing::Receive(_) => "receive on a channel between threads",
            Crossing::Watch(_) => "watch of a channel between threads",
            Crossing::Await(_) => "join of a thread",
        }
    }
}
