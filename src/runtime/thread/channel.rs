//! Channels between threads. What is sent is handed to the receiver that has waited longest, under one lock.

use super::line::{Bell, Held, Line, Place, Rung, Waiter};
use super::{Wait, landed};
use crate::runtime::Runtime;
use crate::runtime::locks::Mutex;
use crate::runtime::operation::Poll;
use crate::sched::TaskId;
use crate::sys::failure;
use crate::vm::Reply;
use crate::vm::copy::{Departing, Message};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// A channel, which several threads hold.
pub(crate) struct Channel {
    /// How many messages it holds while nobody receives.
    pub(crate) capacity: usize,
    /// What changes.
    state: Mutex<State>,
}

/// What changes.
#[derive(Default)]
struct State {
    /// What is queued, oldest first.
    queue: VecDeque<Message>,
    /// Who waits to send, and what.
    senders: Line<Message>,
    /// Who waits to receive.
    receivers: Line<()>,
    /// What has been handed to receivers that have not had their turn since.
    handed: FxHashMap<Place, Message>,
    /// The senders whose messages have been taken, and that have not had their turn since.
    relieved: FxHashSet<Place>,
    /// Has it been closed?
    closed: bool,
    /// Who is told of the next change.
    watchers: Line<()>,
    /// How many changes there have been that a watcher may have to see.
    version: u64,
    /// Who is to be woken.
    rung: Rung,
}

impl Bell for State {
    fn rung(&mut self) -> &mut Rung {
        &mut self.rung
    }
}

/// What became of an attempt.
pub(crate) enum Attempt<T> {
    /// It is done.
    Done(T),
    /// The channel has been closed.
    Closed,
    /// It has to wait.
    NotYet,
}

/// How a call stands after a look.
pub(crate) enum Turn<T> {
    /// It is done.
    Done(T),
    /// The channel has been closed.
    Closed,
    /// It waits at this place in the line.
    Waits(Place),
}

/// A call that sends.
pub(crate) struct Send {
    /// The channel.
    channel: Arc<Channel>,
    /// The message, until it is sent or stands in the line.
    message: Option<Message>,
    /// What is to be given up here once it is sent.
    departing: Departing,
    /// Its place in the line, while it waits.
    wait: Wait,
}

/// A call that receives.
pub(crate) struct Receive {
    /// The channel.
    channel: Arc<Channel>,
    /// Its place in the line, while it waits.
    wait: Wait,
}

/// A call that waits for a change.
pub(crate) struct Watch {
    /// The channel.
    channel: Arc<Channel>,
    /// The version that has been seen.
    seen: u64,
    /// Its place in the line, while it waits.
    wait: Wait,
}

impl Channel {
    /// A channel with nothing in it.
    pub(crate) fn new(capacity: usize) -> Channel {
        Channel {
            capacity,
            state: Mutex::default(),
        }
    }

    /// Locks what changes.
    fn hold(&self) -> Held<'_, State> {
        Held::new(&self.state)
    }

    /// Sends without waiting. The message stays where it is unless it is sent.
    pub(crate) fn try_send(&self, message: &mut Option<Message>) -> Attempt<()> {
        self.give(&mut self.hold(), message)
    }

    /// Receives without waiting.
    pub(crate) fn try_receive(&self) -> Attempt<Message> {
        Channel::take(&mut self.hold(), self.capacity)
    }

    /// Sends, for the first time, or from a place in the line where the message lies; or waits there from now on.
    fn send(
        &self,
        place: Option<Place>,
        message: &mut Option<Message>,
        waiter: impl FnOnce() -> io::Result<Waiter>,
    ) -> io::Result<Turn<()>> {
        let mut state = self.hold();
        if let Some(place) = place {
            return Ok(if state.relieved.remove(&place) {
                Turn::Done(())
            } else if state.senders.holds(place) {
                Turn::Waits(place)
            } else {
                Turn::Closed
            });
        }
        match self.give(&mut state, message) {
            Attempt::Done(()) => return Ok(Turn::Done(())),
            Attempt::Closed => return Ok(Turn::Closed),
            Attempt::NotYet => {}
        }
        let waiter = waiter()?;
        let message = message.take().expect("it has not been sent");
        let place = state.senders.join(waiter, message);
        state.changed();
        Ok(Turn::Waits(place))
    }

    /// One who waited to send does so no more; answers whether the message had been taken.
    fn leave_senders(&self, place: Place) -> bool {
        let mut state = self.hold();
        state.senders.leave(place);
        state.relieved.remove(&place)
    }

    /// Receives, for the first time, or from a place in the line; or waits there from now on.
    fn receive(
        &self,
        place: Option<Place>,
        waiter: impl FnOnce() -> io::Result<Waiter>,
    ) -> io::Result<Turn<Message>> {
        let mut state = self.hold();
        if let Some(place) = place {
            return Ok(match state.handed.remove(&place) {
                Some(message) => Turn::Done(message),
                None if state.receivers.holds(place) => Turn::Waits(place),
                None => Turn::Closed,
            });
        }
        match Channel::take(&mut state, self.capacity) {
            Attempt::Done(message) => return Ok(Turn::Done(message)),
            Attempt::Closed => return Ok(Turn::Closed),
            Attempt::NotYet => {}
        }
        let waiter = waiter()?;
        let place = state.receivers.join(waiter, ());
        state.changed();
        Ok(Turn::Waits(place))
    }

    /// One who waited to receive does so no more: what it has been handed goes to the next one.
    fn leave_receivers(&self, place: Place) {
        let mut state = self.hold();
        match state.handed.remove(&place) {
            Some(message) => state.pass_on(message),
            None => {
                state.receivers.leave(place);
            }
        }
    }

    /// Nothing is sent from now on; what is queued can still be received.
    pub(crate) fn close(&self) {
        let mut state = self.hold();
        state.closed = true;
        while let Some((_, waiter, ())) = state.receivers.pop() {
            state.rung.push(waiter);
        }
        while let Some((_, waiter, message)) = state.senders.pop() {
            state.rung.push(waiter);
            drop(message);
        }
        state.changed();
    }

    /// How many messages are queued.
    pub(crate) fn len(&self) -> usize {
        self.hold().queue.len()
    }

    /// Would a receive, and would a send, come back at once? And how many changes there have been.
    pub(crate) fn readiness(&self) -> (bool, bool, u64) {
        let state = self.hold();
        let readable = !state.queue.is_empty() || !state.senders.is_empty() || state.closed;
        let room = state.queue.len() < self.capacity || !state.receivers.is_empty();
        (readable, room || state.closed, state.version)
    }

    /// What `tostring` says of it: what is queued, whether it is closed, how many wait.
    pub(crate) fn describe(&self) -> String {
        let state = self.hold();
        let room = if self.capacity == usize::MAX {
            "any number".into()
        } else {
            self.capacity.to_string()
        };
        let mut text = format!("{} of {room} queued", state.queue.len());
        if state.closed {
            text.push_str(", closed");
        }
        match state.senders.len() + state.receivers.len() {
            0 => {}
            1 => text.push_str(", 1 task waits"),
            waiting => text.push_str(&format!(", {waiting} tasks wait")),
        }
        text
    }

    /// Hands the message to who has waited longest, or queues it.
    fn give(&self, state: &mut State, message: &mut Option<Message>) -> Attempt<()> {
        if state.closed {
            return Attempt::Closed;
        }
        if let Some((place, waiter, ())) = state.receivers.pop() {
            state.handed.extend(message.take().map(|it| (place, it)));
            state.rung.push(waiter);
        } else if state.queue.len() < self.capacity {
            state.queue.extend(message.take());
            state.changed();
        } else {
            return Attempt::NotYet;
        }
        Attempt::Done(())
    }

    /// Takes the oldest message, and lets the next sender have its place.
    fn take(state: &mut State, capacity: usize) -> Attempt<Message> {
        let Some(message) = state.queue.pop_front() else {
            return match state.relieve() {
                Some(message) => Attempt::Done(message),
                None if state.closed => Attempt::Closed,
                None => Attempt::NotYet,
            };
        };
        if state.queue.len() < capacity
            && let Some(next) = state.relieve()
        {
            state.queue.push_back(next);
        }
        state.changed();
        Attempt::Done(message)
    }
}

impl State {
    /// Takes the message of who has waited longest to send.
    fn relieve(&mut self) -> Option<Message> {
        let (place, waiter, message) = self.senders.pop()?;
        self.relieved.insert(place);
        self.rung.push(waiter);
        Some(message)
    }

    /// Passes on what a receiver has been handed and does not take: to the next one, or before all others.
    fn pass_on(&mut self, message: Message) {
        if let Some((place, waiter, ())) = self.receivers.pop() {
            self.handed.insert(place, message);
            self.rung.push(waiter);
        } else {
            self.queue.push_front(message);
            self.changed();
        }
    }

    /// Tells those who watch that there is something to be seen.
    fn changed(&mut self) {
        self.version += 1;
        while let Some((_, waiter, ())) = self.watchers.pop() {
            self.rung.push(waiter);
        }
    }
}

/// What a call on a closed channel answers.
fn closed() -> Poll {
    Poll::Ready(Reply::failure("closed"))
}

impl Send {
    /// A call that has not tried yet.
    pub(crate) fn new(channel: Arc<Channel>, message: Message, departing: Departing) -> Send {
        Send {
            channel,
            message: Some(message),
            departing,
            wait: Wait::default(),
        }
    }

    /// Sends, or waits in the line.
    pub(super) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        let (place, waiter) = (self.wait.place(), || Waiter::new(runtime, task));
        let turn = self.channel.send(place, &mut self.message, waiter);
        self.wait.go_on(runtime, &turn);
        match turn {
            Ok(Turn::Waits(_)) => Poll::Pending,
            Ok(Turn::Closed) => closed(),
            Ok(Turn::Done(())) => {
                runtime.give_up(std::mem::take(&mut self.departing));
                Poll::Ready(Reply::one(true))
            }
            Err(error) => Poll::Ready(Reply::failure(failure::word(&error))),
        }
    }

    /// Waits no more. What has been taken stays taken.
    pub(super) fn withdraw(&mut self, runtime: &Runtime) {
        if let Some(place) = self.wait.place() {
            let taken = self.channel.leave_senders(place);
            self.wait.end(runtime);
            if taken {
                runtime.give_up(std::mem::take(&mut self.departing));
            }
        }
    }
}

impl Receive {
    /// A call that has not tried yet.
    pub(crate) fn new(channel: Arc<Channel>) -> Receive {
        Receive {
            channel,
            wait: Wait::default(),
        }
    }

    /// Receives, or waits in the line.
    pub(super) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        let (place, waiter) = (self.wait.place(), || Waiter::new(runtime, task));
        let turn = self.channel.receive(place, waiter);
        self.wait.go_on(runtime, &turn);
        match turn {
            Ok(Turn::Waits(_)) => Poll::Pending,
            Ok(Turn::Closed) => closed(),
            Ok(Turn::Done(message)) => Poll::Ready(Reply::one(landed(message))),
            Err(error) => Poll::Ready(Reply::failure(failure::word(&error))),
        }
    }

    /// Waits no more, and passes on what it has been handed.
    pub(super) fn withdraw(&mut self, runtime: &Runtime) {
        if let Some(place) = self.wait.place() {
            self.channel.leave_receivers(place);
            self.wait.end(runtime);
        }
    }
}

impl Watch {
    /// A call that waits until there have been more changes than `seen`.
    pub(crate) fn new(channel: Arc<Channel>, seen: u64) -> Watch {
        Watch {
            channel,
            seen,
            wait: Wait::default(),
        }
    }

    /// Answers the number of changes, once it is another.
    pub(super) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        let mut state = self.channel.hold();
        if state.version != self.seen {
            if let Some(place) = self.wait.place() {
                state.watchers.leave(place);
                self.wait.end(runtime);
            }
            return Poll::Ready(Reply::one(state.version.cast_signed()));
        }
        if self.wait.place().is_none() {
            match Waiter::new(runtime, task) {
                Ok(waiter) => {
                    let place = state.watchers.join(waiter, ());
                    self.wait.begin(runtime, place);
                }
                Err(error) => return Poll::Ready(Reply::failure(failure::word(&error))),
            }
        }
        Poll::Pending
    }

    /// Waits no more.
    pub(super) fn withdraw(&mut self, runtime: &Runtime) {
        if let Some(place) = self.wait.place() {
            self.channel.hold().watchers.leave(place);
            self.wait.end(runtime);
        }
    }
}

#[cfg(loom)]
mod model;
