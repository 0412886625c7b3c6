//! The short ways of reading and writing: what most calls need, where nothing can end the waits of the running task but
//! the call's own timeout.

use super::output::Progress;
use super::{Reading, Receive, Send, Stream};
use crate::error::Fault;
use crate::runtime::core::Core;
use crate::runtime::interests::Direction;
use crate::runtime::parked::Ticket;
use crate::runtime::{Deadline, Operation, Runtime, TaskId};
use crate::sched::{Moment, Phase};
use crate::vm::{Coroutine, Flow, HeldBytes, Leave, Outcome, State, This};

/// `sock:receive()` and its like.
#[inline]
pub(crate) fn receive(
    runtime: &Runtime,
    stream: This<Stream>,
    state: State,
    mut reading: Reading,
) -> Flow {
    let Some(task) = runtime.unhindered(&stream, state) else {
        return Flow::No;
    };
    if let Some(answer) = reading.advance(runtime, &stream, task) {
        return answer.into();
    }
    let receive = Receive {
        stream: stream.share(),
        reading,
        takes_bytes: true,
    };
    runtime.park_at_stream(task, &stream, Operation::Receive(receive))
}

/// `sock:send()` of a whole string, which the call holds.
#[inline]
pub(crate) fn send(runtime: &Runtime, stream: This<Stream>, state: State, data: HeldBytes) -> Flow {
    if stream.is_closed() || stream.owes() {
        return Flow::No;
    }
    let Some(task) = runtime.unhindered(&stream, state) else {
        return Flow::No;
    };
    if !stream.enter(Direction::Write, task) {
        return Flow::No;
    }
    let (mut position, end) = (0, data.as_slice().len());
    let progress = stream.write_all(runtime, task, data.as_slice(), &mut position);
    if let Progress::Done = progress {
        stream.leave(runtime, Direction::Write, task);
        return Flow::Count(i64::try_from(position).unwrap_or(i64::MAX));
    }
    let send = Send {
        stream: stream.share(),
        data,
        position,
        end,
        gathered: None,
        is_message: false,
    };
    if let Progress::Failed(reason) = progress {
        stream.leave(runtime, Direction::Write, task);
        return Flow::Reply(Box::new(send.cut_short(reason)));
    }
    runtime.park_at_stream(task, &stream, Operation::Send(send))
}

impl Runtime {
    /// The running task, where its call at a stream may be answered at once, or park it, with nothing else to be looked at.
    #[inline]
    fn unhindered(&self, stream: &Stream, state: State) -> Option<TaskId> {
        if !self.may_leave(state) || stream.is_impatient() {
            return None;
        }
        self.budget.set(self.budget.get().checked_sub(1)?);
        self.current.get()
    }

    /// Parks the running task, until the stream's timeout at most.
    fn park_at_stream(&self, task: TaskId, stream: &Stream, operation: Operation) -> Flow {
        let until = match Deadline::after(stream.timeouts.get().nearest()) {
            Deadline::At(moment) => Some(moment),
            Deadline::Never | Deadline::Now => None,
        };
        let mut core = self.core.borrow_mut();
        let ticket = core.parked.keep(operation);
        core.park(task, ticket, until);
        self.leave.set(Leave::Waiting);
        Flow::Park
    }

    /// Lets a task at its turn read on; `receive` has been taken out of its record. Answers with how many values on its
    /// coroutine it is resumed; none where it goes on waiting.
    #[inline(never)]
    pub(in crate::runtime) fn read_at_turn(
        &self,
        state: State,
        task: TaskId,
        co: Coroutine,
        mut receive: Receive,
    ) -> Result<Option<i32>, Fault> {
        let Some(answer) = receive.advance(self, task) else {
            let mut core = self.core.borrow_mut();
            let ticket = core.parked.keep(Operation::Receive(receive));
            core.park(task, ticket, None);
            return Ok(None);
        };
        drop(receive);
        let mut core = self.core.borrow_mut();
        core.timers.stop(task.index());
        let kept = core.tasks.running(task).body.kept;
        if let super::Answer::Bytes(bytes) = answer
            && co.answer_bytes(kept, &self.reply, bytes)
        {
            core.tasks.running(task).body.kept = 0;
            return Ok(Some(1));
        }
        drop(core);
        let reply = Outcome::Reply(answer.into());
        self.deliver(state, task, co, reply).map(Some)
    }
}

impl Core {
    /// Parks a task that has just polled the operation with this ticket, until then at most; one that has been woken
    /// meanwhile is ready.
    #[inline]
    pub(in crate::runtime) fn park(&mut self, task: TaskId, ticket: Ticket, until: Option<Moment>) {
        let record = self.tasks.running(task);
        record.body.ticket = ticket;
        record.due = false;
        if record.woken {
            record.phase = Phase::Ready;
            self.queue.push(task);
        } else {
            record.phase = Phase::Parked;
        }
        if let Some(moment) = until {
            self.timers.start(moment, task.index());
        }
    }

    /// Takes out what a task waits for at its turn, where it reads by the short way and nothing else is to be looked at.
    #[inline]
    pub(in crate::runtime) fn take_reader(&mut self, task: TaskId) -> Option<Receive> {
        let record = self.tasks.running(task);
        let rare = record
            .rarities
            .as_ref()
            .is_some_and(|rarities| rarities.matter_now());
        if record.phase != Phase::Ready || record.due || rare {
            return None;
        }
        let (co, kept, ticket) = (record.body.co, record.body.kept, record.body.ticket);
        if !ticket.is_some() || !co.is_parked() || !co.has(kept) {
            return None;
        }
        let receive = self.parked.take_reader(ticket)?;
        let record = self.tasks.running(task);
        record.body.ticket = Ticket::default();
        record.woken = false;
        record.phase = Phase::Running;
        Some(receive)
    }
}
