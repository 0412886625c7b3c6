//! How a thread or a job has ended: written once, read by all who join it.

use super::Wait;
use super::line::{Bell, Held, Line, Rung, Waiter, lock};
use crate::runtime::Runtime;
use crate::runtime::locks::Mutex;
use crate::runtime::operation::Poll;
use crate::sched::TaskId;
use crate::sys::failure;
use crate::vm::copy::{Message, Parcel};
use crate::vm::{Reply, Value};
use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

/// Where an end is written.
#[derive(Default)]
pub(crate) struct Latch(Mutex<State>);

/// What changes.
#[derive(Default)]
struct State {
    /// How it ended, once it has.
    end: Option<End>,
    /// Who waits for it.
    line: Line<()>,
    /// Has anybody been told?
    told: bool,
    /// Who is to be woken.
    rung: Rung,
}

impl Bell for State {
    fn rung(&mut self) -> &mut Rung {
        &mut self.rung
    }
}

/// How it ended.
#[derive(Clone)]
pub(crate) struct End {
    /// In which way.
    pub(crate) kind: EndKind,
    /// What a join returns: true and the results, or false, the error and its traceback.
    pub(crate) values: Answer,
    /// What is said on stderr when nobody asks, where it has failed.
    pub(crate) complaint: Option<String>,
}

/// The ways to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EndKind {
    /// It has returned.
    Done,
    /// It has failed.
    Failed,
    /// A cancel has ended it.
    Cancelled,
}

/// What a join returns.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Copied values.
    Values(Arc<Message>),
    /// False and this reason: there was nobody to say more.
    Reason(Cow<'static, str>),
    /// A cancel and its reason, as copied.
    Cancel(Arc<Message>),
}

/// The right to write an end. Given up without, it writes that whoever had it has gone.
pub(crate) struct Settler(Arc<Latch>);

/// A call that waits for an end.
pub(crate) struct Await {
    /// Where it will be written.
    latch: Arc<Latch>,
    /// Its place in the line, while it waits.
    wait: Wait,
}

impl Latch {
    /// Writes the end, unless there is one; those who wait learn of it.
    pub(crate) fn settle(&self, end: End) {
        let mut state = Held::new(&self.0);
        if state.end.is_some() {
            return;
        }
        state.end = Some(end);
        while let Some((_, waiter, ())) = state.line.pop() {
            state.rung.push(waiter);
        }
    }

    /// In which way it has ended.
    pub(crate) fn kind(&self) -> Option<EndKind> {
        lock(&self.0).end.as_ref().map(|end| end.kind)
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        let state = self.0.get_mut();
        let state = state.unwrap_or_else(std::sync::PoisonError::into_inner);
        let complaint = state.end.take().and_then(|end| end.complaint);
        if let Some(complaint) = complaint
            && !state.told
        {
            // Where stderr is closed there is nobody to be told.
            let _ = std::io::stderr().write_all(complaint.as_bytes());
        }
    }
}

impl Settler {
    /// A latch, and the right to write into it.
    pub(crate) fn pair() -> (Arc<Latch>, Settler) {
        let latch = Arc::new(Latch::default());
        (Arc::clone(&latch), Settler(latch))
    }

    /// The right to write into this one.
    pub(super) fn new(latch: Arc<Latch>) -> Settler {
        Settler(latch)
    }

    /// Has somebody else written the end?
    pub(crate) fn is_settled(&self) -> bool {
        self.0.kind().is_some()
    }

    /// Writes the end.
    pub(crate) fn settle(&self, end: End) {
        self.0.settle(end);
    }
}

impl Drop for Settler {
    fn drop(&mut self) {
        self.0.settle(End {
            kind: EndKind::Failed,
            values: Answer::Reason("the thread has ended".into()),
            complaint: None,
        });
    }
}

impl Await {
    /// A call that has not looked yet.
    pub(crate) fn new(latch: Arc<Latch>) -> Await {
        Await {
            latch,
            wait: Wait::default(),
        }
    }

    /// What a call that need not wait answers.
    pub(crate) fn answer(&self) -> Option<Reply> {
        let mut state = lock(&self.latch.0);
        let end = state.end.as_ref()?;
        let reply = match &end.values {
            Answer::Values(message) => Reply::one(Value::from(Parcel::from(Arc::clone(message)))),
            Answer::Cancel(reason) => {
                let parcel = Parcel::from(Arc::clone(reason));
                Reply::two(Value::Nil, Value::from(parcel))
            }
            Answer::Reason(reason) if end.kind == EndKind::Cancelled => {
                Reply::two(Value::Nil, reason.clone())
            }
            Answer::Reason(reason) => Reply::two(false, reason.clone()),
        };
        state.told = true;
        Some(reply)
    }

    /// Answers the end, or waits for it.
    pub(super) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        if let Some(reply) = self.answer() {
            self.wait.end(runtime);
            return Poll::Ready(reply);
        }
        if self.wait.place().is_none() {
            match Waiter::new(runtime, task) {
                Ok(waiter) => {
                    let mut state = lock(&self.latch.0);
                    // It may have come since that look.
                    if state.end.is_some() {
                        drop(state);
                        return self.poll(runtime, task);
                    }
                    let place = state.line.join(waiter, ());
                    self.wait.begin(runtime, place);
                }
                Err(error) => return Poll::Ready(Reply::two(false, failure::word(&error))),
            }
        }
        Poll::Pending
    }

    /// Waits no more.
    pub(super) fn withdraw(&mut self, runtime: &Runtime) {
        if let Some(place) = self.wait.place() {
            lock(&self.latch.0).line.leave(place);
            self.wait.end(runtime);
        }
    }
}
