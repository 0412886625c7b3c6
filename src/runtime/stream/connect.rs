//! Connecting a stream: names to addresses off the loop thread, then one address after the other.

use super::Stream;
use crate::runtime::Runtime;
use crate::runtime::interests::Direction;
use crate::runtime::operation::Poll;
use crate::runtime::resolver::Case;
use crate::sched::TaskId;
use crate::sys::failure;
use crate::sys::hosts::{Finding, Inquiry};
use crate::sys::names::{Answer, Family, Question};
use crate::sys::socket::Address;
use crate::vm::{Class, Reply, Value};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// A connecting call.
pub(crate) struct Connect {
    /// The stream.
    stream: Rc<Stream>,
    /// Whom to connect to, as it was asked.
    question: Question,
    /// What success answers.
    target: Target,
    /// How far it has come.
    stage: Stage,
}

/// What a successful connect answers.
pub(crate) enum Target {
    /// The number 1, as the method does.
    One,
    /// The stream as a new object.
    Object(Class),
}

/// How far a connect has come.
enum Stage {
    /// Nothing has been done.
    Start,
    /// A thread asks the resolver.
    Resolving(Arc<Case>),
    /// The addresses are known.
    Trying(Attempts),
}

/// The addresses that are left to be tried.
struct Attempts {
    /// The first one is the current one.
    addresses: VecDeque<Address>,
    /// Is the first one being tried?
    underway: bool,
}

/// What one step of a connect leads to.
enum Step {
    /// On to the next.
    Again,
    /// It has to wait.
    Pending,
    /// It has ended so.
    Ended(Result<(), Cow<'static, str>>),
}

impl Connect {
    /// A connecting call.
    pub(crate) fn new(stream: Rc<Stream>, question: Question, target: Target) -> Connect {
        Connect {
            stream,
            question,
            target,
            stage: Stage::Start,
        }
    }

    /// Whom it connects to.
    pub(crate) fn target(&self) -> String {
        let host = self.question.host.as_deref().unwrap_or("*");
        format!("{host}:{}", self.question.service)
    }

    /// Goes on as far as it can.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        if !self.stream.enter(Direction::Write, task) {
            return Poll::Pending;
        }
        loop {
            let ended = match self.step(runtime, task) {
                Step::Again => continue,
                Step::Pending => return Poll::Pending,
                Step::Ended(ended) => ended,
            };
            self.stream.leave(runtime, Direction::Write, task);
            return Poll::Ready(match (ended, &self.target) {
                (Ok(()), Target::One) => Reply::one(1_i64),
                (Ok(()), Target::Object(class)) => {
                    Reply::one(Value::Object(*class, Rc::clone(&self.stream) as _))
                }
                (Err(reason), _) => Reply::failure(reason),
            });
        }
    }

    /// One step.
    fn step(&mut self, runtime: &Runtime, task: TaskId) -> Step {
        if self.stream.is_closed() {
            return Step::Ended(Err("closed".into()));
        }
        match &mut self.stage {
            Stage::Start => match self.question.numeric() {
                Some(answer) => self.answered(answer),
                None => self.ask(runtime, task),
            },
            Stage::Resolving(case) => match case.finding().cloned() {
                Some(Finding::Addresses(answer)) => self.answered(answer),
                Some(Finding::Facts(_)) | None => Step::Pending,
            },
            Stage::Trying(Attempts { underway: true, .. }) => self.look(runtime, task),
            Stage::Trying(Attempts {
                underway: false, ..
            }) => self.begin(runtime, task),
        }
    }

    /// Asks the resolver.
    fn ask(&mut self, runtime: &Runtime, task: TaskId) -> Step {
        match runtime.ask(Inquiry::Addresses(self.question.clone()), task) {
            Ok(case) => {
                self.stage = Stage::Resolving(case);
                Step::Pending
            }
            Err(error) => Step::Ended(Err(failure::word(&error))),
        }
    }

    /// The names are addresses now.
    fn answered(&mut self, answer: Answer) -> Step {
        match answer {
            Ok(addresses) => {
                self.stage = Stage::Trying(Attempts {
                    addresses: addresses.into_iter().map(Address::from).collect(),
                    underway: false,
                });
                Step::Again
            }
            Err(reason) => Step::Ended(Err(reason)),
        }
    }

    /// Begins to connect to the first address.
    fn begin(&mut self, runtime: &Runtime, task: TaskId) -> Step {
        let Stage::Trying(Attempts {
            addresses,
            underway,
        }) = &mut self.stage
        else {
            return Step::Again;
        };
        let Some(address) = addresses.front() else {
            return Step::Ended(Err("host or service not provided, or not known".into()));
        };
        let opened = self.stream.open(runtime, Family::of(address));
        let begun = opened.and_then(|()| self.stream.with_socket(|socket| socket.connect(address)));
        match begun {
            Ok(()) => Step::Ended(Ok(())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                *underway = true;
                self.watch(runtime, task)
            }
            Err(error) => self.next_address(error),
        }
    }

    /// Has the attempt underway come to an end?
    fn look(&mut self, runtime: &Runtime, task: TaskId) -> Step {
        if !self.stream.is_ready(runtime, Direction::Write) {
            return self.watch(runtime, task);
        }
        match self
            .stream
            .with_socket(crate::sys::socket::Socket::take_error)
        {
            Ok(None) => Step::Ended(Ok(())),
            Ok(Some(error)) | Err(error) => self.next_address(error),
        }
    }

    /// Waits for the attempt underway.
    fn watch(&self, runtime: &Runtime, task: TaskId) -> Step {
        match self.stream.watch(runtime, Direction::Write, task) {
            Ok(()) => Step::Pending,
            Err(error) => Step::Ended(Err(failure::word(&error))),
        }
    }

    /// Goes on to the next address; the error of the last one is the answer.
    fn next_address(&mut self, error: io::Error) -> Step {
        let Stage::Trying(Attempts {
            addresses,
            underway,
        }) = &mut self.stage
        else {
            return Step::Again;
        };
        addresses.pop_front();
        *underway = false;
        if addresses.is_empty() {
            Step::Ended(Err(failure::word(&error)))
        } else {
            Step::Again
        }
    }

    /// The task waits no more. An attempt underway goes on: `connect` again, or a send, tells how it ended.
    pub(crate) fn withdraw(&self, runtime: &Runtime, task: TaskId) {
        self.stream.withdraw(runtime, Direction::Write, task);
    }
}
