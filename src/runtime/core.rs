//! What changes at every turn: tasks, queue, timers, interests. Calls no Lua, so it can be borrowed as a whole.

use super::clocks::Clocks;
use super::events::Events;
use super::inbox::{Inbox, Letter};
use super::interests::{Interests, WAKER_KEY};
use super::now;
use super::parked::{Parked, Ticket};
use crate::sched::{Moment, Phase, RunQueue, Task, TaskId, Tasks, Timers};
use crate::sys::poller::Poller;
use crate::vm::{Coroutine, Leave};
use std::io;

/// What changes at every turn.
#[derive(Default)]
pub(super) struct Core {
    /// All tasks, and those who wait outside of one.
    pub(super) tasks: Tasks<Body>,
    /// Who is ready.
    pub(super) queue: RunQueue,
    /// The deadlines of waits; each belongs to a task.
    pub(super) timers: Timers,
    /// The timers that Lua has started.
    pub(super) clocks: Clocks,
    /// Who waits for which event.
    pub(super) events: Events,
    /// What parked tasks wait for.
    pub(super) parked: Parked,
    /// Who waits for which descriptor.
    pub(super) interests: Interests,
    /// The system's readiness; made when first needed.
    pub(super) poller: Option<Poller>,
    /// Where other threads leave wake-ups; made when first needed.
    pub(super) inbox: Option<Inbox>,
    /// How many wake-ups other threads still owe.
    pub(super) owed: usize,
    /// How many tasks wait for what only another thread can do.
    pub(super) outward: usize,
    /// Has another thread asked for something?
    pub(super) alerted: bool,
    /// Switches since timers and I/O were looked at.
    pub(super) switches: u32,
    /// When that was.
    pub(super) looked: Moment,
    /// Rounds after which the loop has looked for tasks that it may let go of.
    pub(super) rounds: u64,
    /// What has been counted since the start.
    pub(super) totals: Totals,
    /// The records in the table that only stand in for a wait in place.
    pub(super) standins: Vec<StandIn>,
    /// Tasks parked in this round on something of this universe, that might be let loose.
    pub(super) inward: Vec<TaskId>,
    /// Those who had been parked so before it.
    pub(super) inward_before: Vec<TaskId>,
    /// Tasks that wait for sets of descriptors.
    pub(super) watchers: Vec<TaskId>,
    /// How many sockets have been closed.
    pub(super) closings: u64,
    /// Loose tasks that have just been woken.
    pub(super) woken_loose: Vec<TaskId>,
    /// Stand-ins of outer loops that have been woken while an inner one runs.
    pub(super) aside: Vec<TaskId>,
}

/// What is counted for those who watch.
pub(super) struct Totals {
    /// When the runtime was made.
    pub(super) since: Moment,
    /// Switches until timers and I/O were last looked at.
    pub(super) switches: u64,
    /// Calls of the poller.
    pub(super) polls: u64,
    /// Nanoseconds spent waiting in it.
    pub(super) idle: u64,
}

impl Default for Totals {
    fn default() -> Totals {
        Totals {
            since: now(),
            switches: 0,
            polls: 0,
            idle: 0,
        }
    }
}

/// A record without a coroutine, for a wait that drives the loop in place.
#[derive(Clone, Copy)]
pub(super) struct StandIn {
    /// The record.
    pub(super) record: TaskId,
    /// The task that waits so; none is the main chunk.
    pub(super) owner: Option<TaskId>,
}

/// What the runtime keeps with each task.
#[derive(Clone, Copy, Default)]
pub(super) struct Body {
    /// Its coroutine; none for a stand-in, and before `spawned`.
    pub(super) co: Coroutine,
    /// How many values its coroutine holds that the next resume takes or drops.
    pub(super) kept: i32,
    /// What it waits for.
    pub(super) ticket: Ticket,
}

impl Body {
    /// Is there neither an operation nor a value?
    #[inline(always)]
    pub(super) fn holds_nothing(&self) -> bool {
        self.kept == 0 && !self.ticket.is_some()
    }
}

impl Core {
    /// Makes a parked task ready.
    #[inline]
    pub(super) fn wake(&mut self, task: TaskId) {
        if self.tasks.get(task).is_some() {
            self.wake_known(task);
        }
    }

    /// The same for one that has not ended.
    #[inline(always)]
    pub(super) fn wake_known(&mut self, task: TaskId) {
        let record = self.tasks.running(task);
        if record.phase.is_waiting() {
            record.phase = Phase::Ready;
            let rarities = record.rarities.as_ref();
            if rarities.is_some_and(|rarities| rarities.loose) {
                self.woken_loose.push(task);
            }
            self.queue.push(task);
        } else if record.phase == Phase::Running {
            // If it is polling, whoever is about to park it sees that it need not wait.
            record.woken = true;
        }
    }

    /// Notes a task that the registry must hold again, if only what it waited for does.
    pub(super) fn note_loose(&mut self, task: TaskId) {
        let rarities = self
            .tasks
            .get(task)
            .and_then(|record| record.rarities.as_ref());
        if rarities.is_some_and(|rarities| rarities.loose) {
            self.woken_loose.push(task);
        }
    }

    /// The record of a task that is known to be in the table.
    pub(super) fn record(&mut self, task: TaskId) -> &mut Task<Body> {
        self.tasks
            .get(task)
            .expect("a task that runs or stands in is in the table")
    }

    /// The poller, made when first needed.
    pub(super) fn poller(&mut self) -> io::Result<&mut Poller> {
        if self.poller.is_none() {
            self.poller = Some(Poller::new()?);
        }
        Ok(self.poller.as_mut().expect("it has just been put there"))
    }

    /// The inbox, made and watched when first needed.
    pub(super) fn inbox(&mut self) -> io::Result<&Inbox> {
        if self.inbox.is_none() {
            let inbox = Inbox::new()?;
            self.poller()?.add_waker(inbox.waker().fd(), WAKER_KEY)?;
            self.inbox = Some(inbox);
        }
        Ok(self.inbox.as_ref().expect("it has just been put there"))
    }

    /// A task has yielded: in a wait of coev's with an operation, or else as `leave` says.
    #[inline(always)]
    pub(super) fn yielded(&mut self, task: TaskId, co: Coroutine, values: i32, leave: Leave) {
        let record = self.tasks.running(task);
        if record.body.ticket.is_some() {
            record.body.kept = values;
            record.plain = leave != Leave::Waiting;
            return;
        }
        if values > 0 {
            co.forget(values);
        }
        record.body.kept = 0;
        record.plain = leave == Leave::Plainly;
        if leave == Leave::Suspended {
            record.phase = Phase::Suspended;
            self.inward.push(task);
        } else {
            record.phase = Phase::Ready;
            self.queue.push(task);
        }
    }

    /// Whose scopes count for a waiter: its own, or those of the one that it stands in for.
    pub(super) fn owner_of(&self, waiter: TaskId) -> Option<TaskId> {
        let standin = self
            .standins
            .iter()
            .find(|standin| standin.record == waiter);
        standin.map_or(Some(waiter), |standin| standin.owner)
    }

    /// A task has ended: it leaves the table, and its joiners wake.
    pub(super) fn remove(&mut self, task: TaskId) {
        if let Some((_, joiners)) = self.tasks.remove(task) {
            for joiner in joiners {
                self.wake(joiner);
            }
        }
    }

    /// Wakes those whose deadline has passed.
    pub(super) fn fire_timers(&mut self) {
        let now = self.looked;
        while let Some(owner) = self.timers.pop_due(now) {
            if let Some(task) = self.tasks.at(owner) {
                self.record(task).due = true;
                self.wake(task);
            }
        }
    }

    /// When the next deadline passes, or the next timer is due.
    pub(super) fn next_moment(&mut self) -> Option<Moment> {
        match (self.timers.next(), self.clocks.next()) {
            (Some(deadline), Some(clock)) => Some(deadline.min(clock)),
            (deadline, clock) => deadline.or(clock),
        }
    }

    /// Takes in what other threads have sent.
    pub(super) fn take_in(&mut self) {
        let letters = self.inbox.as_ref().map(Inbox::take);
        for letter in letters.unwrap_or_default() {
            match letter {
                Letter::Answer(task) => {
                    self.owed -= 1;
                    self.wake_waiting(task);
                }
                Letter::Wake(task) => self.wake_waiting(task),
                Letter::Alert => self.alerted = true,
            }
        }
    }

    /// Have other threads sent something?
    pub(super) fn has_mail(&self) -> bool {
        self.inbox.as_ref().is_some_and(Inbox::is_pending)
    }

    /// Makes a task ready that waits for an operation: the letter may be late, and the task suspended by now, which is
    /// for others to end.
    fn wake_waiting(&mut self, task: TaskId) {
        let waits = |record: &Task<Body>| record.phase != Phase::Suspended;
        if self.tasks.get(task).is_some_and(|record| waits(record)) {
            self.wake(task);
        }
    }

    /// Asks the system what is ready, waiting so many nanoseconds at most, and wakes who waited for it.
    pub(super) fn poll(&mut self, mut wait: Option<u64>) -> io::Result<()> {
        self.poller()?;
        let mut sleeps = false;
        if let Some(inbox) = &self.inbox
            && wait != Some(0)
        {
            sleeps = inbox.fall_asleep();
            if !sleeps {
                wait = Some(0);
            }
        }
        let mut poller = self.poller.take().expect("it has just been made");
        let mut has_mail = false;
        self.totals.polls += 1;
        let start = if wait == Some(0) { None } else { Some(now()) };
        let polled = poller.wait(wait, |event| {
            if event.key == WAKER_KEY {
                has_mail = true;
                return;
            }
            let [reader, writer] = self.interests.note(event);
            if let Some(task) = reader {
                self.wake(task);
            }
            if let Some(task) = writer {
                self.wake(task);
            }
        });
        if let Some(inbox) = &self.inbox
            && sleeps
        {
            has_mail |= inbox.get_up();
        }
        self.poller = Some(poller);
        if let Some(start) = start {
            self.totals.idle += now().since(start);
        }
        if has_mail || self.has_mail() {
            self.take_in();
        }
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}
