//! The loop: one turn is a round of the ready tasks, then timers and I/O.

use super::core::Body;
use super::nest::Nest;
use super::operation::Poll;
use super::rounds::go_on_plainly;
use super::wait::BUDGET;
use super::{Runtime, now};
use crate::error::Fault;
use crate::sched::{Moment, Phase, Task, TaskId, Verdict};
use crate::sys::{failure, fork};
use crate::vm::{Coroutine, Leave, NESTED_WAITS, Outcome, Reply, Resumed, State, Value};

/// What a loop runs for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// Until this task, if any, and all others have ended; until the task has failed; or until `stop`.
    End(Option<TaskId>),
    /// Until this stand-in has its reply.
    Reply(TaskId),
    /// One turn, with a poll until then at most; `None` is without end.
    Turn(Option<Moment>),
}

/// What a task finds at its turn when it has been waiting.
enum Arrival {
    /// So many values on its coroutine, to be resumed with.
    Resume(i32),
    /// Nothing yet: it goes on waiting.
    NotYet,
    /// The answer that the loop runs for.
    Goal(Outcome),
}

/// What is known of a task at its turn before it is looked at.
#[derive(Clone, Copy)]
struct Station {
    /// Its coroutine; none for a stand-in.
    co: Coroutine,
    /// Does it wait for an operation?
    waits: bool,
    /// Is its coroutine not where it was left?
    astray: bool,
    /// So many values lie on its coroutine, and nothing else is to be looked at.
    free: Option<i32>,
}

impl Station {
    /// What the record says of a task, which runs from now on.
    #[inline(never)]
    fn of(record: &mut Task<Body>) -> Station {
        let is_new = record.phase == Phase::New;
        record.phase = Phase::Running;
        let Body { co, kept, ticket } = record.body;
        let rare = record
            .rarities
            .as_ref()
            .is_some_and(|rarities| rarities.matter_now());
        let waits = ticket.is_some();
        let astray = !is_new && !co.is_none() && !co.is_suspended(kept);
        Station {
            co,
            waits,
            astray,
            free: (!waits && !rare && !astray).then_some(kept),
        }
    }
}

/// Switches after which timers and I/O are looked at, however many tasks are ready.
const SWITCHES_A_LOOK: u32 = 64;

impl Runtime {
    /// Runs the loop until the goal is reached. Nests: a wait that cannot park its task drives the loop in place.
    pub(super) fn drive(&self, state: State, goal: Goal) -> Result<Outcome, Fault> {
        if self.depth.get() > NESTED_WAITS {
            return Err(Fault::misuse(format!(
                "too many waits ({NESTED_WAITS}) inside one another, each in a place that cannot yield: use coev.pcall, \
                 coev.coroutine or coev.patch, or wait outside of such places"
            )));
        }
        if self.process != fork::generation() {
            return Err(Fault::misuse(
                "coev: this process is a fork of the one that loaded coev, and shares its poller: load coev after the fork",
            ));
        }
        let _nest = Nest::enter(self);
        state.prepare_in_place(&self.library);
        let mut collected = false;
        loop {
            if let Some(outcome) = self.round(state, goal)? {
                return Ok(outcome);
            }
            if self.raising.get() > 0 && !matches!(goal, Goal::Reply(_)) {
                self.raising.set(self.raising.get() - 1);
                state.push_next_error(&self.library);
                return Err(Fault::Raised);
            }
            if let Some(reply) = self.reached(goal) {
                return Ok(Outcome::Reply(reply));
            }
            if self.core.borrow().queue.is_empty() {
                match self.patience(goal) {
                    Some(until) => self.look_outside(state, Some(until))?,
                    // Whoever waits in the loop's place may wake anybody.
                    None if collected && self.has_poller.get() => {
                        self.look_outside(state, Some(None))?;
                        let idle = self.core.borrow().queue.is_empty();
                        if idle && !matches!(goal, Goal::Turn(_)) {
                            continue;
                        }
                    }
                    None if collected => return Err(Fault::misuse(self.deadlock())),
                    None => {
                        collected = true;
                        self.collect(state)?;
                        continue;
                    }
                }
            } else if let Goal::Turn(_) = goal {
                self.look_outside(state, None)?;
            }
            collected = false;
            if let Goal::Turn(_) = goal {
                return Ok(Outcome::Reply(Reply::none()));
            }
        }
    }

    /// Runs one turn, which may wait until then for something to happen.
    pub(crate) fn turn(&self, state: State, until: Option<Moment>) -> Result<(), Fault> {
        self.drive(state, Goal::Turn(until)).map(drop)
    }

    /// Runs the loop until all tasks have ended.
    pub(crate) fn run_all(&self, state: State) -> Result<Outcome, Fault> {
        self.drive(state, Goal::End(None))
    }

    /// Every task that is ready now runs once, and again while nothing else is to be looked at. What it calls seldom is
    /// kept out of line: the loop then has registers enough.
    #[inline(never)]
    fn round(&self, state: State, goal: Goal) -> Result<Option<Outcome>, Fault> {
        self.bury(state)?;
        let mut core = self.core.borrow_mut();
        core.queue.begin_round();
        let parked = loop {
            let task = match self.next_ready(&mut core, goal) {
                Ok(task) => task,
                Err(parked) => break parked,
            };
            let Some(record) = core.tasks.get(task) else {
                continue;
            };
            let co = record.body.co;
            let count = if let Some(values) = go_on_plainly(record) {
                values
            } else if let Some(receive) = core.take_reader(task) {
                drop(core);
                let read = self.read_at_turn(state, task, co, receive)?;
                core = self.core.borrow_mut();
                let Some(values) = read else { continue };
                values
            } else if let Some(values) = self.answer_served(&mut core, task) {
                values
            } else {
                let station = Station::of(core.record(task));
                drop(core);
                let arrival = self.arrive(state, goal, task, station)?;
                core = self.core.borrow_mut();
                match arrival {
                    Arrival::Resume(values) => values,
                    Arrival::NotYet => continue,
                    Arrival::Goal(outcome) => return Ok(Some(outcome)),
                }
            };
            core.switches += 1;
            drop(core);

            let resumed = self.switch_to(state, task, co, count);

            // It may have ended, and another one gone on in its coroutine.
            let task = self.current.take().unwrap_or(task);
            core = self.core.borrow_mut();
            if let Resumed::Yielded(values) = resumed {
                core.yielded(task, co, values, self.leave.replace(Leave::Plainly));
            } else if resumed == Resumed::Returned(0) && core.tasks.retire(task) {
                // Most leave nothing.
                self.library.forget(Runtime::name_of(task));
            } else {
                drop(core);
                self.end(state, task, co, resumed)?;
                core = self.core.borrow_mut();
            }
            if core.switches >= SWITCHES_A_LOOK {
                drop(core);
                self.look_outside(state, None)?;
                core = self.core.borrow_mut();
            }
        };
        drop(core);
        if parked {
            self.loosen_parked(state, false);
        }
        Ok(None)
    }

    /// Resumes a task with `count` values on its coroutine.
    #[inline(always)]
    pub(super) fn switch_to(
        &self,
        state: State,
        task: TaskId,
        co: Coroutine,
        count: i32,
    ) -> Resumed {
        self.current.set(Some(task));
        self.coroutine.set(co);
        self.innermost.set(co);
        self.budget.set(BUDGET);
        let hookable = self.threads.hookable();
        let outer = hookable.map(|hookable| hookable.enter(co));
        let resumed = co.resume(state, count);
        if let (Some(hookable), Some(outer)) = (hookable, outer) {
            hookable.leave(outer);
        }
        self.scoped.set(false);
        resumed
    }

    /// What a task finds at its turn, when more is to be looked at than that it may go on.
    #[inline(never)]
    fn arrive(
        &self,
        state: State,
        goal: Goal,
        task: TaskId,
        station: Station,
    ) -> Result<Arrival, Fault> {
        let Station {
            co,
            waits,
            astray,
            free,
        } = station;
        if let Some(kept) = free {
            return Ok(Arrival::Resume(kept));
        }
        if self.has_dropped() {
            self.bury(state)?;
            if self
                .core
                .borrow_mut()
                .tasks
                .get(task)
                .is_none_or(|record| record.phase != Phase::Running)
            {
                return Ok(Arrival::NotYet);
            }
        }
        if astray {
            self.lose(state, task, co)?;
            return Ok(Arrival::NotYet);
        }
        if co.is_none() && goal != Goal::Reply(task) {
            let mut core = self.core.borrow_mut();
            core.aside.push(task);
            core.record(task).phase = Phase::Ready;
            return Ok(Arrival::NotYet);
        }
        if !waits && let Some(kept) = self.pass_by(task) {
            return Ok(Arrival::Resume(kept));
        }
        let owner = self.core.borrow().owner_of(task);
        let scoped = self.is_scoped(owner);
        self.scoped.set(scoped);
        let verdict = if scoped { self.verdict(owner) } else { None };
        let cancelled = verdict == Some(Verdict::Cancelled);
        if cancelled && !waits && !co.has_started() && !self.in_epilogue(task) {
            self.end_unstarted(state, task, co)?;
            return Ok(Arrival::NotYet);
        }
        if !waits {
            let mut core = self.core.borrow_mut();
            let record = core.record(task);
            let kept = std::mem::take(&mut record.body.kept);
            let raises = verdict.is_some() && !record.plain;
            self.alarmed.set(raises);
            return Ok(Arrival::Resume(if raises { co.alarm(kept) } else { kept }));
        }
        match self.look_again(state, task, owner, cancelled) {
            Some(outcome) if co.is_none() => Ok(Arrival::Goal(outcome)),
            Some(outcome) => self.deliver(state, task, co, outcome).map(Arrival::Resume),
            None => Ok(Arrival::NotYet),
        }
    }

    /// A task that waits for nothing goes on, unless something ends its waits; answers what it is resumed with. Its
    /// deadlines were looked at when it gave way: here the time of the loop's last look outside will do.
    fn pass_by(&self, task: TaskId) -> Option<i32> {
        let mut core = self.core.borrow_mut();
        let looked = core.looked;
        let record = core.record(task);
        let scopes = record.rarities.as_ref().map(|rarities| &rarities.scopes);
        if scopes.is_some_and(|scopes| scopes.verdict(looked).is_some()) {
            return None;
        }
        self.scoped
            .set(scopes.is_some_and(|scopes| !scopes.is_idle()));
        Some(std::mem::take(&mut record.body.kept))
    }

    /// Polls what a task waits for; answers how the wait ends, or parks the task again.
    ///
    /// A cancel ends it before anything else, and what had been handed over is passed on. Where a wake-up and a
    /// deadline have both come, the wake-up wins.
    fn look_again(
        &self,
        state: State,
        task: TaskId,
        owner: Option<TaskId>,
        cancelled: bool,
    ) -> Option<Outcome> {
        let mut core = self.core.borrow_mut();
        let record = core.record(task);
        record.woken = false;
        let due = record.due;
        let ticket = std::mem::take(&mut record.body.ticket);
        let taken = core.parked.take(ticket);
        let mut operation = taken.expect("only a task with an operation is polled");
        // What has come counts, however long ago the system was asked. Should it say no, the next look tells.
        if due && operation.is_outward() && !core.interests.is_empty() {
            let _ = core.poll(Some(0));
        }
        drop(core);

        let outcome = if cancelled {
            operation.withdraw(self, task);
            self.tell_instead(state, task, &operation);
            Outcome::Alarm
        } else {
            match operation.poll(self, task) {
                Poll::Ready(reply) => Outcome::Reply(reply),
                Poll::Pending if due && self.is_own_deadline(task, owner, &operation) => {
                    Outcome::Reply(operation.expire(self, task))
                }
                Poll::Pending if self.scoped.get() && self.verdict(owner).is_some() => {
                    operation.withdraw(self, task);
                    Outcome::Alarm
                }
                Poll::Pending => {
                    let alarm = self.next_alarm(task, owner, &operation);
                    let mut core = self.core.borrow_mut();
                    if let Some(alarm) = alarm {
                        core.timers.start(alarm, task.index());
                        core.record(task).due = false;
                    }
                    let ticket = core.parked.put(operation);
                    let record = core.record(task);
                    record.body.ticket = ticket;
                    record.phase = if record.woken {
                        Phase::Ready
                    } else {
                        Phase::Parked
                    };
                    if record.phase == Phase::Ready {
                        core.queue.push(task);
                    }
                    return None;
                }
            }
        };
        let mut core = self.core.borrow_mut();
        core.timers.stop(task.index());
        core.record(task).due = false;
        Some(outcome)
    }

    /// Puts the end of a wait onto the coroutine that is about to be resumed; answers with how many values.
    pub(super) fn deliver(
        &self,
        state: State,
        task: TaskId,
        co: Coroutine,
        outcome: Outcome,
    ) -> Result<i32, Fault> {
        let mut core = self.core.borrow_mut();
        let record = core.record(task);
        let (kept, takes) = (std::mem::take(&mut record.body.kept), !record.plain);
        drop(core);
        let Outcome::Reply(reply) = outcome else {
            return Ok(co.alarm(kept));
        };
        let delivered = state.deliver(&self.library, &self.reply, co, kept, takes, reply);
        delivered.inspect_err(|_| {
            // Lua has no memory for the reply: the call returns nothing, and the loop says why.
            co.forget(kept);
            let mut core = self.core.borrow_mut();
            core.record(task).phase = Phase::Ready;
            core.queue.push(task);
        })
    }

    /// Has the loop reached its goal at the end of a turn?
    fn reached(&self, goal: Goal) -> Option<Reply> {
        let Goal::End(main) = goal else { return None };
        let results = || {
            if main.is_some() {
                Reply::one(Value::Results)
            } else {
                Reply::none()
            }
        };
        if self.main_failed.get() && main.is_some() {
            return Some(Reply::none());
        }
        if self.stopping.take() {
            let ended = main.is_none_or(|main| self.core.borrow_mut().tasks.get(main).is_none());
            return Some(if ended {
                results()
            } else {
                Reply::failure("stopped")
            });
        }
        (!self.has_work()).then(results)
    }

    /// Until when to wait when nobody is ready; `None` when nothing can happen any more.
    fn patience(&self, goal: Goal) -> Option<Option<Moment>> {
        let mut core = self.core.borrow_mut();
        let next = core.next_moment();
        let until = match goal {
            Goal::Turn(Some(until)) => Some(next.map_or(until, |next| next.min(until))),
            _ => next,
        };
        let outside = core.interests.has_waiters() || core.owed > 0 || core.outward > 0;
        (until.is_some() || outside).then_some(until)
    }

    /// Fires the timers that are due and takes in what the system and other threads have; then lets a hook that was
    /// set from outside (Ctrl-C) have its chance. With `until`, waits for something to happen, at most until then.
    #[inline(never)]
    fn look_outside(&self, state: State, until: Option<Option<Moment>>) -> Result<(), Fault> {
        if until.is_some() {
            self.loosen_parked(state, true);
            self.shrink(state);
            self.be_reachable().map_err(|error| poller_fails(&error))?;
        }
        let asked = self.is_asked();
        let mut core = self.core.borrow_mut();
        core.alerted |= asked;
        core.totals.switches += u64::from(std::mem::take(&mut core.switches));
        for key in self.departures.borrow_mut().drain(..) {
            core.interests.remove(key);
        }
        drop(core);
        self.fire(state)?;
        core = self.core.borrow_mut();
        if core.has_mail() {
            core.take_in();
        }
        let mut wait = match until {
            Some(until) if core.queue.is_empty() && !core.alerted => {
                until.map(|until| until.since(now()))
            }
            _ => Some(0),
        };
        if self.has_poller.get() && wait != Some(0) {
            drop(core);
            let fd = self.poll_fd().map_err(|error| poller_fails(&error))?;
            state.wait_outside(&self.library, fd, wait)?;
            core = self.core.borrow_mut();
            wait = Some(0);
        }
        let polled = if wait == Some(0) && core.interests.is_empty() && core.owed == 0 {
            Ok(())
        } else {
            core.poll(wait)
        };
        let alerted = std::mem::take(&mut core.alerted);
        drop(core);
        if alerted {
            self.heed(state)?;
        }
        if until.is_some() {
            self.fire(state)?;
        }
        self.tighten_woken(state);
        self.bury(state)?;
        polled.map_err(|error| poller_fails(&error))?;
        state.run_pending_hook(&self.library)
    }
}

/// The system does not say what is ready.
fn poller_fails(error: &std::io::Error) -> Fault {
    Fault::misuse(format!("the poller fails: {}", failure::word(error)))
}
