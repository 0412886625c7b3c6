//! Connecting a stream: names to addresses off the loop thread, then to the first address that answers.

use super::Stream;
use super::race::{Attempt, Progress, Race};
use crate::runtime::interests::Direction;
use crate::runtime::operation::Poll;
use crate::runtime::{Lookup, Runtime};
use crate::sched::{Moment, TaskId};
use crate::sys::failure;
use crate::sys::names::{Family, Question};
use crate::sys::socket::{Address, Socket};
use crate::vm::{Class, Reply, Value};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

/// A connecting call.
pub(crate) struct Connect {
    /// The stream.
    stream: Rc<Stream>,
    /// What it is bound to first.
    local: Option<Lookup>,
    /// Whom to connect to.
    remote: Lookup,
    /// What success answers.
    target: Target,
    /// Does it wait for connections, and not only for names?
    pub(crate) patient: bool,
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
    /// The addresses are not known yet.
    Naming,
    /// The stream has no socket of a family that will stay: the addresses race for being it.
    Racing(Race),
    /// The stream has a socket, bound or with options: it tries one address after the other.
    Trying(Attempts),
}

/// The addresses that are left to be tried.
struct Attempts {
    /// The first one is the current one.
    addresses: VecDeque<SocketAddr>,
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
    /// A connecting call, of a stream that is bound to the local address first, where there is one.
    pub(crate) fn new(
        stream: Rc<Stream>,
        local: Option<Question>,
        remote: Question,
        target: Target,
    ) -> Connect {
        Connect {
            stream,
            local: local.map(Lookup::new),
            remote: Lookup::new(remote),
            target,
            patient: true,
            stage: Stage::Naming,
        }
    }

    /// Whom it connects to.
    pub(crate) fn target(&self) -> String {
        let question = self.remote.question();
        let host = question.host.as_deref().unwrap_or("*");
        format!("{host}:{}", question.service)
    }

    /// When it wants to be polled, though nobody has woken it.
    pub(crate) fn alarm(&self) -> Option<Moment> {
        match &self.stage {
            Stage::Racing(race) => race.due(),
            Stage::Naming | Stage::Trying(_) => None,
        }
    }

    /// Goes on as far as it can.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        if !self.stream.enter(Direction::Write, task) {
            return Poll::Pending;
        }
        loop {
            let ended = match self.step(runtime, task) {
                Step::Again => continue,
                Step::Pending if self.patient || matches!(self.stage, Stage::Naming) => {
                    return Poll::Pending;
                }
                Step::Pending => {
                    let reply = self.expire(runtime);
                    self.withdraw(runtime, task);
                    return Poll::Ready(reply);
                }
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
            self.stop(runtime);
            return Step::Ended(Err("closed".into()));
        }
        match &mut self.stage {
            Stage::Naming => self.name(runtime, task),
            Stage::Racing(race) => match race.advance(runtime, &self.stream, task) {
                Progress::Underway => Step::Pending,
                Progress::Won(attempt) => {
                    self.adopt(runtime, attempt);
                    Step::Ended(Ok(()))
                }
                Progress::Lost(error, last) => {
                    // As in LuaSocket, there is a descriptor still; the next call makes another.
                    if let Some(last) = last {
                        self.stream.take_over(runtime, last);
                    }
                    Step::Ended(Err(failure::word(&error)))
                }
            },
            Stage::Trying(Attempts { underway: true, .. }) => self.look(runtime, task),
            Stage::Trying(Attempts {
                underway: false, ..
            }) => self.begin(runtime, task),
        }
    }

    /// Binds the stream where that is asked for, then learns the addresses.
    fn name(&mut self, runtime: &Runtime, task: TaskId) -> Step {
        if let Some(local) = &mut self.local {
            let bound = match local.poll(runtime, task) {
                Some(answer) => answer.and_then(|all| self.stream.bind_first(runtime, &all)),
                None => return Step::Pending,
            };
            if let Err(reason) = bound {
                return Step::Ended(Err(reason));
            }
            self.local = None;
            self.remote.narrow(self.stream.family());
        }
        let addresses = match self.remote.poll(runtime, task) {
            Some(Ok(addresses)) => addresses,
            Some(Err(reason)) => return Step::Ended(Err(reason)),
            None => return Step::Pending,
        };
        self.stage = if self.stream.is_settled() {
            Stage::Trying(Attempts {
                addresses: addresses.into(),
                underway: false,
            })
        } else {
            // What is left of a call in vain makes room.
            self.stream.discard_socket(runtime);
            Stage::Racing(Race::new(addresses))
        };
        Step::Again
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
        let Some(&address) = addresses.front() else {
            return Step::Ended(Err("host or service not provided, or not known".into()));
        };
        let address = Address::from(address);
        let opened = self.stream.open(runtime, Family::of(&address));
        let begun =
            opened.and_then(|()| self.stream.with_socket(|socket| socket.connect(&address)));
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
        match self.stream.with_socket(Socket::take_error) {
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

    /// The time is over: the oldest attempt underway goes on by itself as the stream's socket, and `connect` again, or
    /// a send, tells how it ended.
    pub(crate) fn expire(&mut self, runtime: &Runtime) -> Reply {
        if let Stage::Racing(race) = &mut self.stage
            && let Some(attempt) = race.settle(runtime)
        {
            self.adopt(runtime, attempt);
        }
        Reply::failure("timeout")
    }

    /// The attempt's socket is the stream's own.
    fn adopt(&self, runtime: &Runtime, attempt: Attempt) {
        self.stream.settle(attempt.family);
        self.stream.take_over(runtime, attempt);
    }

    /// The task waits no more: what races is closed.
    pub(crate) fn withdraw(&mut self, runtime: &Runtime, task: TaskId) {
        self.stop(runtime);
        self.stream.withdraw(runtime, Direction::Write, task);
    }

    /// Closes what races.
    fn stop(&mut self, runtime: &Runtime) {
        if let Stage::Racing(race) = &mut self.stage {
            race.close(runtime);
        }
    }
}
