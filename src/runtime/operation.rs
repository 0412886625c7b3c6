//! Everything that a task can wait for: a small value that can be polled, expires, and leaves no trace when dropped.

use super::Runtime;
use super::fd_set::Watch;
use super::resolver::Resolve;
use super::select::Select;
use super::stream::{Accept, Connect, Receive, ReceiveFrom, Send, SendFile, SendTo};
use super::thread::Crossing;
use crate::sched::TaskId;
use crate::vm::{Reply, Value};

/// What a parked task waits for.
pub(crate) enum Operation {
    /// Nothing but the deadline.
    Sleep,
    /// The end of a task; says whether the waiter is on its list.
    Join(TaskId, bool),
    /// Being resumed by another task; says whether that has happened.
    Suspend(bool),
    /// Something of a poll object's.
    Watch(Watch),
    /// Bytes from a stream.
    Receive(Receive),
    /// Room for bytes in a stream.
    Send(Send),
    /// A client of a listening stream.
    Accept(Accept),
    /// A connection.
    Connect(Box<Connect>),
    /// A message.
    ReceiveFrom(ReceiveFrom),
    /// Room for a message.
    SendTo(Box<SendTo>),
    /// Room for a file in a stream.
    SendFile(Box<SendFile>),
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
            Operation::Join(..) | Operation::Suspend(_) => true,
            Operation::Watch(watch) => watch.is_inward(),
            _ => false,
        }
    }

    /// Tries to get done. Called in the call itself, and again at the turn of the task after each wake-up.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        match self {
            Operation::Sleep | Operation::Suspend(false) => Poll::Pending,
            Operation::Suspend(true) => Poll::Ready(Reply::none()),
            Operation::Join(joined, listed) => runtime.poll_join(*joined, task, listed),
            Operation::Watch(watch) => watch.poll(runtime, task),
            Operation::Receive(receive) => receive.poll(runtime, task),
            Operation::Send(send) => send.poll(runtime, task),
            Operation::Accept(accept) => accept.poll(runtime, task),
            Operation::Connect(connect) => connect.poll(runtime, task),
            Operation::ReceiveFrom(receive) => receive.poll(runtime, task),
            Operation::SendTo(send) => send.poll(runtime, task),
            Operation::SendFile(send) => send.poll(runtime, task),
            Operation::Select(select) => select.poll(runtime, task),
            Operation::Resolve(resolve) => resolve.poll(runtime, task),
            Operation::Crossing(crossing) => crossing.poll(runtime, task),
        }
    }

    /// The deadline has passed: takes the task's id back and says what the call returns.
    pub(crate) fn expire(mut self, runtime: &Runtime, task: TaskId) -> Reply {
        let reply = match &self {
            Operation::Sleep | Operation::Suspend(_) => Reply::none(),
            Operation::Join(..) => Reply::two(false, "timeout"),
            Operation::Receive(receive) => receive.expired(task),
            Operation::Send(send) => send.cut_short("timeout"),
            Operation::SendFile(send) => send.cut_short("timeout"),
            Operation::Select(_) => Reply::one(""),
            Operation::Crossing(crossing) => crossing.expired(),
            Operation::Watch(_)
            | Operation::Accept(_)
            | Operation::Connect(_)
            | Operation::ReceiveFrom(_)
            | Operation::SendTo(_)
            | Operation::Resolve(_) => Reply::failure("timeout"),
        };
        self.withdraw(runtime, task);
        reply
    }

    /// Takes the task's id back from wherever it was left, and passes on what it had been given.
    pub(crate) fn withdraw(&mut self, runtime: &Runtime, task: TaskId) {
        match self {
            Operation::Sleep | Operation::Suspend(_) | Operation::Resolve(_) => {}
            Operation::Join(joined, _) => runtime.leave_join(*joined, task),
            Operation::Watch(watch) => watch.withdraw(runtime, task),
            Operation::Receive(receive) => receive.withdraw(runtime, task),
            Operation::Send(send) => send.withdraw(runtime, task),
            Operation::Accept(accept) => accept.withdraw(runtime, task),
            Operation::Connect(connect) => connect.withdraw(runtime, task),
            Operation::ReceiveFrom(receive) => receive.withdraw(runtime, task),
            Operation::SendTo(send) => send.withdraw(runtime, task),
            Operation::SendFile(send) => send.withdraw(runtime, task),
            Operation::Select(select) => select.withdraw(runtime),
            Operation::Crossing(crossing) => crossing.withdraw(runtime),
        }
    }

    /// What it waits for, as one line.
    pub(crate) fn describe(&self, runtime: &Runtime) -> String {
        match self {
            Operation::Sleep => "sleep".into(),
            Operation::Suspend(_) => "suspend".into(),
            Operation::Join(joined, _) => format!("join of {}", runtime.label(*joined)),
            Operation::Watch(_) => "poll".into(),
            Operation::Receive(receive) => format!("receive on {}", receive.stream),
            Operation::Send(send) => format!("send on {}", send.stream),
            Operation::Accept(accept) => format!("accept on {}", accept.stream),
            Operation::Connect(connect) => format!("connect to {}", connect.target()),
            Operation::ReceiveFrom(receive) => format!("receive on {}", receive.stream),
            Operation::SendTo(send) => format!("send on {}", send.stream),
            Operation::SendFile(send) => format!("sendfile on {}", send.stream),
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
