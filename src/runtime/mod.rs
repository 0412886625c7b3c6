//! One runtime a Lua universe: the only place where Lua, scheduling and the operating system meet.

pub(crate) mod clocks;
mod core;
mod deadline;
mod ending;
mod events;
pub(crate) mod fd_set;
mod garbage;
mod inbox;
mod interests;
mod locks;
mod nest;
mod operation;
mod parked;
mod report;
mod resolver;
mod rounds;
mod scopes;
mod select;
mod signal;
pub(crate) mod stream;
pub(crate) mod sync;
pub(crate) mod thread;
mod turn;
mod wait;
mod waking;

pub(crate) use crate::sched::{Moment, Phase, TaskId, Verdict};
pub(crate) use deadline::{Deadline, now, now_seconds};
pub(crate) use events::{ListId, Wait};
pub(crate) use operation::Operation;
pub(crate) use resolver::{Lookup, Resolve};
pub(crate) use select::Select;

use crate::error::Fault;
use crate::sched::Scopes;
use crate::sys::fork;
use crate::sys::heap;
use crate::vm::copy::Limits;
use crate::vm::{
    Coroutine, Host, Leave, Library, Outcome, ReplySlot, Slot, Stack, State, TaskName, Value,
};
use core::Core;
use interests::Key;
use resolver::Resolver;
use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use thread::Threads;
use wait::BUDGET;

/// The scheduler, the poller and the timers of one universe.
pub(crate) struct Runtime {
    /// What the library keeps in Lua's registry.
    library: Library,
    /// Where replies wait to be pushed.
    reply: ReplySlot,
    /// What changes at every turn. Never borrowed while Lua runs.
    core: RefCell<Core>,
    /// Where reads go, before they become Lua strings: one for each place of a reply.
    scratch: [RefCell<Box<[u8]>>; 2],
    /// Keys of streams that have been collected since the last turn.
    departures: Departures,
    /// The threads that answer questions about names.
    resolver: Resolver,
    /// Tasks whose handles have been collected, when that matters, since the last turn.
    dropped: RefCell<Vec<TaskId>>,
    /// Objects that may be ready and that somebody watches, by their names, since Lua was last told.
    news: RefCell<Vec<i64>>,
    /// Have tasks been woken that only what they waited for holds, or are there news?
    has_woken_loose: Cell<bool>,
    /// The task that runs, while one does.
    current: Cell<Option<TaskId>>,
    /// Its coroutine.
    coroutine: Cell<Coroutine>,
    /// The coroutine, at the end of those that pass waits on to that one, from which the task can be parked.
    innermost: Cell<Coroutine>,
    /// What the next yield of the running task means.
    leave: Cell<Leave>,
    /// May the waits of the running task, or of the main chunk, have to raise?
    scoped: Cell<bool>,
    /// The scopes of the code outside of all tasks.
    outside: RefCell<Scopes>,
    /// The name of the last scope.
    serial: Cell<u64>,
    /// How many errors wait to be raised by `run` or `step`.
    raising: Cell<usize>,
    /// How many waits may still be answered at once before the others get a turn.
    budget: Cell<u32>,
    /// How many signals are inside one another.
    signals: Cell<u32>,
    /// How many loops are nested: 0 outside all, 1 in `run`, more where waits drive the loop in place.
    depth: Cell<usize>,
    /// Where the last select began to look, as a fraction of 2^32.
    start: Cell<u32>,
    /// A choice for the next select that waits.
    spare_choice: Cell<Option<Box<sync::Choice>>>,
    /// Shall `run` return after this turn?
    stopping: Cell<bool>,
    /// The task whose failure `run` raises itself.
    main: Cell<Option<TaskId>>,
    /// Has that task failed?
    main_failed: Cell<bool>,
    /// A task without a coroutine, left by a `spawn` whose coroutine Lua had no memory to anchor: the next one takes it.
    embryo: Cell<Option<TaskId>>,
    /// Do new tasks get something of Lua's from the start?
    endows_tasks: Cell<bool>,
    /// Does Lua own the wait for the outside?
    has_poller: Cell<bool>,
    /// Has a task that gave way been given the mark that makes its call raise?
    alarmed: Cell<bool>,
    /// The threads that it has started, and its own.
    threads: Threads,
    /// What a message may be at most.
    pub(crate) limits: Cell<Limits>,
    /// The process that the runtime belongs to, as `fork` numbers them.
    process: u32,
    /// Has the state begun to close?
    closed: Cell<bool>,
}

/// Keys whose streams have gone: collected by Lua at a time when the core may not be touched.
pub(crate) type Departures = Rc<RefCell<Vec<Key>>>;

/// The most that one read takes.
const SCRATCH_BYTES: usize = 64 * 1024;

impl Runtime {
    /// A runtime with nothing in it.
    pub(crate) fn new(library: Library) -> Runtime {
        Runtime {
            library,
            reply: ReplySlot::default(),
            core: RefCell::default(),
            scratch: Default::default(),
            departures: Departures::default(),
            resolver: Resolver::default(),
            dropped: RefCell::default(),
            news: RefCell::default(),
            has_woken_loose: Cell::new(false),
            current: Cell::new(None),
            coroutine: Cell::new(Coroutine::NONE),
            innermost: Cell::new(Coroutine::NONE),
            leave: Cell::new(Leave::Plainly),
            scoped: Cell::new(false),
            outside: RefCell::default(),
            serial: Cell::new(0),
            raising: Cell::new(0),
            budget: Cell::new(BUDGET),
            signals: Cell::new(0),
            depth: Cell::new(0),
            start: Cell::new(0),
            spare_choice: Cell::new(None),
            stopping: Cell::new(false),
            main: Cell::new(None),
            main_failed: Cell::new(false),
            embryo: Cell::new(None),
            endows_tasks: Cell::new(false),
            has_poller: Cell::new(false),
            alarmed: Cell::new(false),
            threads: Threads::default(),
            limits: Cell::default(),
            process: fork::generation(),
            closed: Cell::new(false),
        }
    }

    /// The task that runs.
    pub(crate) fn current(&self) -> Option<TaskId> {
        self.current.get()
    }

    /// Says whether Lua owns the wait for the outside.
    pub(crate) fn set_poller(&self, on: bool) {
        self.has_poller.set(on);
    }

    /// The descriptor that is readable when the outside has something for the loop.
    pub(crate) fn poll_fd(&self) -> io::Result<RawFd> {
        self.be_reachable()?;
        let mut core = self.core.borrow_mut();
        core.inbox()?.guard();
        Ok(core.poller()?.fd())
    }

    /// Says whether new tasks get something of Lua's from the start.
    pub(crate) fn endow_tasks(&self, on: bool) {
        self.endows_tasks.set(on);
    }

    /// Puts a record without a coroutine into the table.
    fn insert(&self, phase: Phase) -> TaskId {
        self.core.borrow_mut().tasks.insert(phase)
    }

    /// Where a task is in its life; `None` when it has ended.
    pub(crate) fn phase(&self, task: TaskId) -> Option<Phase> {
        let mut core = self.core.borrow_mut();
        core.tasks.get(task).map(|record| record.phase)
    }

    /// Runs the loop until the task and all others have ended, or until it has failed.
    fn run_main(&self, state: State, main: TaskId) -> Result<Outcome, Fault> {
        self.main.set(Some(main));
        self.main_failed.set(false);
        let result = self.drive(state, turn::Goal::End(Some(main)));
        self.main.set(None);
        result
    }

    /// Gives a task a name.
    pub(crate) fn set_name(&self, task: TaskId, name: String) {
        if let Some(record) = self.core.borrow_mut().tasks.get(task) {
            record.rarities.get_or_insert_default().name = Some(name);
        }
    }

    /// What is said of a task in one word or two.
    pub(crate) fn label(&self, task: TaskId) -> String {
        let mut core = self.core.borrow_mut();
        let name = core
            .tasks
            .get(task)
            .and_then(|record| record.rarities.as_ref()?.name.clone());
        name.unwrap_or_else(|| format!("task #{}", task.index() + 1))
    }

    /// What a task waits for, as one line.
    pub(crate) fn waits_for(&self, task: TaskId) -> String {
        let mut core = self.core.borrow_mut();
        let Some(record) = core.tasks.get(task) else {
            return "nothing".into();
        };
        match record.phase {
            Phase::Parked => {}
            Phase::Suspended => return "suspend".into(),
            _ => return "its turn".into(),
        }
        let ticket = std::mem::take(&mut record.body.ticket);
        let Some(operation) = core.parked.take(ticket) else {
            return "nothing".into();
        };
        drop(core);
        let description = operation.describe(self);
        let mut core = self.core.borrow_mut();
        let ticket = core.parked.put(operation);
        core.record(task).body.ticket = ticket;
        description
    }

    /// A task as the Lua floor names it.
    pub(crate) fn name_of(task: TaskId) -> TaskName {
        TaskName {
            slot: Slot(task.index()),
            id: task.to_bits(),
        }
    }

    /// Notes that Lua keeps something for the task; answers the key that it is kept under.
    pub(crate) fn belongings(&self, task: TaskId) -> Option<i64> {
        let mut core = self.core.borrow_mut();
        core.tasks.get(task)?.rarities.get_or_insert_default();
        Some(i64::from(task.index()) + 1)
    }

    /// Notes that the running task has functions to be called at its end.
    pub(crate) fn defer(&self, task: TaskId) {
        self.core
            .borrow_mut()
            .record(task)
            .rarities
            .get_or_insert_default()
            .has_defers = true;
    }

    /// Notes that somebody else answers for the failure of the task.
    pub(crate) fn adopt(&self, task: TaskId) {
        if let Some(record) = self.core.borrow_mut().tasks.get(task) {
            record.rarities.get_or_insert_default().adopted = true;
        }
    }

    /// The task that comes at or after this place in the table.
    pub(crate) fn task_from(&self, index: u32) -> Option<TaskId> {
        let core = self.core.borrow();
        let mut places = (index..core.tasks.places()).filter_map(|index| core.tasks.at(index));
        let is_task = |task: &TaskId| core.standins.iter().all(|standin| standin.record != *task);
        places.find(|task| is_task(task) && self.embryo.get() != Some(*task))
    }

    /// A number about the runtime, for those who watch it.
    pub(crate) fn statistic(&self, name: &str) -> Value {
        let core = self.core.borrow();
        let count = |count: usize| Value::Integer(count.try_into().unwrap_or(i64::MAX));
        #[expect(clippy::cast_precision_loss, reason = "seconds are for people")]
        let seconds = |nanoseconds: u64| Value::Number(nanoseconds as f64 / 1e9);
        match name {
            "tasks" => {
                drop(core);
                count(self.task_count())
            }
            "switches" => Value::Integer(core.totals.switches.cast_signed()),
            "polls" => Value::Integer(core.totals.polls.cast_signed()),
            "timers" => count(core.timers.len() + core.clocks.len()),
            "fds" => count(core.interests.len()),
            "idle" => seconds(core.totals.idle),
            "busy" => seconds(
                now()
                    .since(core.totals.since)
                    .saturating_sub(core.totals.idle),
            ),
            _ => Value::Nil,
        }
    }

    /// Lets `run` return after this turn.
    pub(crate) fn stop(&self) {
        self.stopping.set(self.depth.get() > 0);
    }

    /// Is a loop running?
    pub(crate) fn is_driven(&self) -> bool {
        self.depth.get() > 0
    }

    /// How many tasks have not ended.
    pub(crate) fn task_count(&self) -> usize {
        let core = self.core.borrow();
        core.tasks.len() - core.standins.len() - usize::from(self.embryo.get().is_some())
    }

    /// Where reads go. Nobody keeps it across a call into Lua.
    pub(crate) fn scratch(&self) -> RefMut<'_, Box<[u8]>> {
        let mut scratch = self.scratch[self.reply.free_place()].borrow_mut();
        if scratch.is_empty() {
            heap::keep_top();
            *scratch = vec![0; SCRATCH_BYTES].into_boxed_slice();
        }
        scratch
    }

    /// Where streams leave their keys when they are collected.
    pub(crate) fn departures(&self) -> Departures {
        Rc::clone(&self.departures)
    }
}

impl Host for Runtime {
    type Holder = sync::Waitable;

    fn library(&self) -> &Library {
        &self.library
    }

    fn reply(&self) -> &ReplySlot {
        &self.reply
    }

    fn is_closed(&self) -> bool {
        self.closed.get()
    }

    fn interrupted(&self) -> bool {
        self.is_interrupted()
    }

    fn close(&self) {
        self.closed.set(true);
        self.leave_lines();
        self.threads.close();
        let core = self.core.take();
        drop(core);
        self.scratch.iter().for_each(|scratch| drop(scratch.take()));
        self.departures.take();
    }

    fn dropped(&self, id: u64) {
        self.dropped.borrow_mut().push(TaskId::from_bits(id));
    }

    fn endows_tasks(&self) -> bool {
        self.endows_tasks.get()
    }

    fn has_woken_loose(&self) -> bool {
        self.has_woken_loose.get()
    }

    fn tighten(&self, state: State) {
        self.tighten_woken(state);
    }

    fn reserve(&self) -> TaskName {
        let task = self.embryo.get().unwrap_or_else(|| self.insert(Phase::New));
        self.embryo.set(Some(task));
        Runtime::name_of(task)
    }

    fn spawned(&self, id: u64, co: Coroutine, arguments: i32) {
        let mut core = self.core.borrow_mut();
        let task = TaskId::from_bits(id);
        self.embryo.set(None);
        if let Some(record) = core.tasks.get(task) {
            (record.body.co, record.body.kept) = (co, arguments);
            core.queue.push(task);
        }
    }

    #[inline(always)]
    fn takes_alarm(&self) -> bool {
        self.alarmed.take()
    }

    #[inline(always)]
    fn leaves(&self, state: State, why: Leave) -> bool {
        let may = self.may_leave(state);
        if may {
            self.leave.set(why);
        }
        may
    }

    #[inline(always)]
    fn enlists(&self, state: State, list: i64) -> bool {
        self.enlist(state, ListId::from_number(list))
    }

    fn concludes(&self, state: State, first: i32) -> bool {
        self.conclude_well(state, first)
    }

    fn run_until(&self, stack: &Stack, id: u64) -> Result<Outcome, Fault> {
        let main = TaskId::from_bits(id);
        if self.begins_thread() {
            return self.run_thread(stack.state(), main);
        }
        let outcome = self.run_main(stack.state(), main)?;
        Ok(if self.main_failed.get() {
            Outcome::RaiseTaskError
        } else {
            outcome
        })
    }
}
