//! Everything that a task can wait for: a small value that can be polled, expires, and leaves no trace when dropped.

use super::Runtime;
use super::events::Wait;
use super::fd_set::Watch;
use super::resolver::Resolve;
use super::select::Select;
use super::signal::Settle;
use super::stream::{Accept, Bind, Connect, Receive, ReceiveFrom, Relay, Send, SendFile, SendTo};
use super::sync::{Choice, Place};
use super::thread::Crossing;
use crate::sched::{Moment, TaskId};
use crate::vm::{Reply, Value};

/// What a parked task waits for.
pub(crate) enum Operation {
    /// Nothing but the deadline.
    Sleep,
    /// The end of a task; says whether the waiter is on its list.
    Join(TaskId, bool),
    /// Being resumed by another task; says whether that has happened.
    Suspend(bool),
    /// Being told by coev's own Lua of the end of a task, or of a timer's run; says whether that has happened.
    Told(bool, Option<TaskId>),
    /// A signal.
    Event(Wait),
    /// The turns of those that a signal has woken.
    Settle(Box<Settle>),
    /// Something of a poll object's.
    Watch(Watch),
    /// What an object of this universe gives.
    Place(Place),
    /// The first of several of these.
    Choice(Box<Choice>),
    /// Bytes from a stream.
    Receive(Receive),
    /// Room for bytes in a stream.
    Send(Send),
    /// A client of a listening stream.
    Accept(Accept),
    /// A connection.
    Connect(Box<Connect>),
    /// The addresses to be bound to.
    Bind(Box<Bind>),
    /// A message.
    ReceiveFrom(ReceiveFrom),
    /// Room for a message.
    SendTo(Box<SendTo>),
    /// Room for a file in a stream.
    SendFile(Box<SendFile>),
    /// Bytes of one stream, and room for them in another.
    Relay(Box<Relay>),
    /// Descriptors that are ready.
    Select(Box<Select>),
    /// What is known of a host.
    Resolve(Box<Resolve>),
    /// Something that threads share.
    Crossing(Crossing),
}

/// What polling answers. `Pending`: the task's id has been left where the wake-up will come from.
pub(crate) enum Poll {
    /// It is done; this is what the call returns.
    Ready(Reply),
    /// It has to wait.
    Pending,
}

impl Operation {
    /// Is it about something of this universe, so that only a task or the main chunk can end it?
    pub(crate) fn is_inward(&self) -> bool {
        match self {
            // One that has an end is woken by its timer.
            Operation::Sleep
            | Operation::Join(..)
            | Operation::Suspend(_)
            | Operation::Told(..)
            | Operation::Place(_)
            | Operation::Choice(_) => true,
            Operation::Watch(watch) => watch.is_inward(),
            _ => false,
        }
    }

    /// Does it end with what the system says of a descriptor?
    pub(crate) fn is_outward(&self) -> bool {
        !self.is_inward() && !matches!(self, Operation::Watch(_))
    }

    /// May it have to be polled though nobody has woken it? Its task knows the deadline of its call then.
    pub(crate) fn is_timed(&self) -> bool {
        matches!(self, Operation::Connect(_))
    }

    /// When it has to be polled though nobody has woken it.
    pub(crate) fn alarm(&self) -> Option<Moment> {
        match self {
            Operation::Connect(connect) => connect.alarm(),
            _ => None,
        }
    }

    /// Tries to get done. Called in the call itself, and again at the turn of the task after each wake-up.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        match self {
            Operation::Sleep | Operation::Suspend(false) | Operation::Told(false, _) => {
                Poll::Pending
            }
            Operation::Suspend(true) | Operation::Told(true, _) => Poll::Ready(Reply::none()),
            Operation::Join(joined, listed) => runtime.poll_join(*joined, task, listed),
            Operation::Event(wait) => wait.poll(runtime, task),
            Operation::Settle(settle) => settle.poll(runtime, task),
            Operation::Watch(watch) => watch.poll(runtime, task),
            Operation::Place(place) => place.poll(runtime, task),
            Operation::Choice(choice) => choice.poll(runtime, task),
            Operation::Receive(receive) => receive.poll(runtime, task),
            Operation::Send(send) => send.poll(runtime, task),
            Operation::Accept(accept) => accept.poll(runtime, task),
            Operation::Connect(connect) => connect.poll(runtime, task),
            Operation::Bind(bind) => bind.poll(runtime, task),
            Operation::ReceiveFrom(receive) => receive.poll(runtime, task),
            Operation::SendTo(send) => send.poll(runtime, task),
            Operation::SendFile(send) => send.poll(runtime, task),
            Operation::Relay(relay) => relay.poll(runtime, task),
            Operation::Select(select) => select.poll(runtime, task),
            Operation::Resolve(resolve) => resolve.poll(runtime, task),
            Operation::Crossing(crossing) => crossing.poll(runtime, task),
        }
    }

    /// The deadline has passed: takes the task's id back and says what the call returns.
    pub(crate) fn expire(mut self, runtime: &Runtime, task: TaskId) -> Reply {
        let reply = match &mut self {
            Operation::Sleep
            | Operation::Suspend(_)
            | Operation::Told(..)
            | Operation::Settle(_) => Reply::none(),
            Operation::Join(..) => Reply::two(false, "timeout"),
            Operation::Place(place) => place.expired(),
            Operation::Choice(_) => Choice::expired(),
            Operation::Receive(receive) => receive.expired(task),
            Operation::Send(send) => send.cut_short("timeout"),
            Operation::SendFile(send) => send.cut_short("timeout"),
            Operation::Relay(relay) => relay.cut_short("timeout"),
            Operation::Select(_) => Reply::one(""),
            Operation::Connect(connect) => connect.expire(runtime),
            Operation::Crossing(crossing) => crossing.expired(),
            Operation::Event(_)
            | Operation::Watch(_)
            | Operation::Accept(_)
            | Operation::Bind(_)
            | Operation::ReceiveFrom(_)
            | Operation::SendTo(_)
            | Operation::Resolve(_) => Reply::failure("timeout"),
        };
        if let Operation::Place(place) = &mut self {
            place.keep_signal();
        }
        self.withdraw(runtime, task);
        reply
    }

    /// Takes the task's id back from wherever it was left, and passes on what it had been given.
    pub(crate) fn withdraw(&mut self, runtime: &Runtime, task: TaskId) {
        match self {
            Operation::Sleep
            | Operation::Suspend(_)
            | Operation::Told(..)
            | Operation::Resolve(_)
            | Operation::Bind(_) => {}
            Operation::Settle(settle) => settle.withdraw(runtime),
            Operation::Event(wait) => wait.withdraw(runtime, task),
            Operation::Join(joined, _) => runtime.leave_join(*joined, task),
            Operation::Watch(watch) => watch.withdraw(runtime, task),
            Operation::Place(place) => place.withdraw(runtime, task),
            Operation::Choice(choice) => choice.withdraw(runtime, task),
            Operation::Receive(receive) => receive.withdraw(runtime, task),
            Operation::Send(send) => send.withdraw(runtime, task),
            Operation::Accept(accept) => accept.withdraw(runtime, task),
            Operation::Connect(connect) => connect.withdraw(runtime, task),
            Operation::ReceiveFrom(receive) => receive.withdraw(runtime, task),
            Operation::SendTo(send) => send.withdraw(runtime, task),
            Operation::SendFile(send) => send.withdraw(runtime, task),
            Operation::Relay(relay) => relay.withdraw(runtime, task),
            Operation::Select(select) => select.withdraw(runtime, task),
            Operation::Crossing(crossing) => crossing.withdraw(runtime),
        }
    }

    /// What it waits for, as one line.
    pub(crate) fn describe(&self, runtime: &Runtime) -> String {
        match self {
            Operation::Sleep => "sleep".into(),
            Operation::Suspend(_) => "suspend".into(),
            Operation::Join(joined, _) | Operation::Told(_, Some(joined)) => {
                format!("join of {}", runtime.label(*joined))
            }
            Operation::Told(_, None) => "join of a timer".into(),
            Operation::Event(_) => "an event".into(),
            Operation::Settle(_) => "the turns of those it has signalled".into(),
            Operation::Watch(_) => "poll".into(),
            Operation::Place(place) => place.describe(),
            Operation::Choice(choice) => choice.describe(),
            Operation::Receive(receive) => format!("receive on {}", receive.stream),
            Operation::Send(send) => format!("send on {}", send.stream),
            Operation::Accept(accept) => format!("accept on {}", accept.stream),
            Operation::Connect(connect) => format!("connect to {}", connect.target()),
            Operation::Bind(bind) => format!("bind to {}", bind.target()),
            Operation::ReceiveFrom(receive) => format!("receive on {}", receive.stream),
            Operation::SendTo(send) => format!("send on {}", send.stream),
            Operation::SendFile(send) => format!("sendfile on {}", send.stream),
            Operation::Relay(relay) => {
                let [from, to] = relay.ends();
                format!("copy from {from} to {to}")
            }
            Operation::Select(select) => format!("select of {} descriptors", select.len()),
            Operation::Resolve(resolve) => format!("look-up of {}", resolve.subject()),
            Operation::Crossing(crossing) => crossing.describe().into(),
        }
    }
}

impl Runtime {
    /// Waits for the end of `joined`: at a later poll it is over when the task has left the table.
    fn poll_join(&self, joined: TaskId, task: TaskId, listed: &mut bool) -> Poll {
        let mut core = self.core.borrow_mut();
        let Some(target) = core.tasks.get(joined) else {
            drop(core);
            return Poll::Ready(self.join_reply());
        };
        if !*listed {
            target.rarities.get_or_insert_default().joiners.push(task);
            *listed = true;
        }
        Poll::Pending
    }

    /// Takes `task` out of the joiners of `joined`.
    fn leave_join(&self, joined: TaskId, task: TaskId) {
        if let Some(target) = self.core.borrow_mut().tasks.get(joined)
            && let Some(rarities) = &mut target.rarities
        {
            rarities.joiners.remove(task);
        }
    }

    /// What a join answers: the handle, which is the call's first argument, knows the rest.
    fn join_reply(&self) -> Reply {
        Reply::one(Value::Outcome)
    }
}
