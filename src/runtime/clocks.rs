//! The timers that Lua has started: when each is due, under a number; Lua keeps the rest under the same number.

use super::deadline::{moment, now, now_seconds, seconds};
use super::{Runtime, TaskId};
use crate::error::Fault;
use crate::sched::{Moment, Timers};
use crate::vm::{Clockwork, Halted, Object, State};
use std::cell::RefCell;
use std::rc::Rc;

/// The timers that have a number.
#[derive(Default)]
pub(super) struct Clocks {
    /// When each armed one is due.
    due: Timers,
    /// By number.
    places: Vec<Clock>,
    /// Numbers to be used again.
    free: Vec<u32>,
    /// A number that has been reserved, until a timer is started with it.
    reserved: Option<u32>,
    /// How many of the armed ones `run` waits for.
    counted: usize,
    /// By the place of a task: the run that it is.
    runs: Vec<Option<Run>>,
    /// Timers that have been collected since the last look, each by its number and the use of that.
    departures: Rc<RefCell<Vec<(u32, u32)>>>,
}

/// A timer that has a number.
#[derive(Clone, Copy)]
struct Clock {
    /// When it is due, or its run was: by `coev.now`, in seconds.
    at: f64,
    /// From when its interval counts; while it runs, for when it was started anew. NaN: there is no such moment.
    from: f64,
    /// Which use of the number it is.
    generation: u32,
    /// Where it is in its life.
    stage: Stage,
    /// Does `run` wait for it while it is armed?
    counts: bool,
    /// Do others want to know of its runs, or of its end?
    observed: bool,
}

/// Where a timer with a number is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// It has none: the number is free.
    Vacant,
    /// It is due some time.
    Armed,
    /// It runs, and goes on afterwards if it has an interval.
    Running,
    /// It runs, and stops afterwards unless it is started anew.
    Stopping,
}

/// What a task runs.
#[derive(Clone, Copy)]
struct Run {
    /// The task: another one may have its place by now.
    task: TaskId,
    /// The number of the timer.
    number: u32,
    /// When the loop found it due, by `coev.now`.
    began: f64,
    /// How many runs in a row the task's coroutine has seen.
    streak: u32,
}

/// Runs in one turn, one after the other in the same coroutine, before the others have theirs.
const RUNS_AT_ONCE: u32 = 256;

/// The shortest interval that counts, in seconds: below it the clock knows no difference.
const SHORTEST: f64 = 1e-9;

/// Tells the loop when the timer that holds it has been collected.
pub(crate) struct Sentinel {
    /// The timer's number, and which use of it.
    clock: (u32, u32),
    /// Where to tell.
    departures: Rc<RefCell<Vec<(u32, u32)>>>,
}

impl Object for Sentinel {}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.departures.borrow_mut().push(self.clock);
    }
}

/// How a timer stands, for Lua.
pub(crate) struct Standing {
    /// When it is due, or its run was.
    pub(crate) at: f64,
    /// From when its interval counts; while it runs, for when it was started anew.
    pub(crate) from: Option<f64>,
    /// While it runs: does it stop afterwards?
    pub(crate) stopping: Option<bool>,
}

impl Clocks {
    /// A number that nobody has; the same one until a timer is started with it.
    fn reserve(&mut self) -> u32 {
        if let Some(number) = self.reserved {
            return number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.places.push(Clock {
                at: 0.0,
                from: f64::NAN,
                generation: 0,
                stage: Stage::Vacant,
                counts: false,
                observed: false,
            });
            u32::try_from(self.places.len() - 1).expect("fewer than 2^32 timers fit into memory")
        });
        self.reserved = Some(number);
        number
    }

    /// Starts a timer with the reserved number.
    fn start(&mut self, number: u32, at: f64, from: f64, counts: bool, observed: bool) {
        self.reserved = None;
        let clock = &mut self.places[number as usize];
        (clock.counts, clock.observed) = (counts, observed);
        self.arm(number, at, from);
    }

    /// Lets a timer be due then.
    fn arm(&mut self, number: u32, at: f64, from: f64) {
        let clock = &mut self.places[number as usize];
        (clock.at, clock.from, clock.stage) = (at, from, Stage::Armed);
        self.counted += usize::from(clock.counts);
        self.due.start(moment(at), number);
    }

    /// The timer with that number, if there is one.
    fn get(&mut self, number: u32) -> Option<&mut Clock> {
        self.places
            .get_mut(number as usize)
            .filter(|clock| clock.stage != Stage::Vacant)
    }

    /// Stops an armed timer, or lets its run be the last.
    fn halt(&mut self, number: u32) -> Halted {
        match self.get(number) {
            None => Halted::Unknown,
            Some(clock) if clock.stage == Stage::Armed => {
                let observed = clock.observed;
                self.release(number);
                if observed {
                    Halted::Observed
                } else {
                    Halted::Stopped
                }
            }
            Some(clock) => {
                (clock.stage, clock.from) = (Stage::Stopping, f64::NAN);
                Halted::Later
            }
        }
    }

    /// Takes a timer's number back, whatever it does.
    fn release(&mut self, number: u32) {
        let clock = &mut self.places[number as usize];
        if clock.stage == Stage::Armed {
            self.due.stop(number);
            self.counted -= usize::from(clock.counts);
        }
        clock.stage = Stage::Vacant;
        clock.generation = clock.generation.wrapping_add(1);
        self.free.push(number);
    }

    /// The number of a timer that is due: it runs from now on.
    fn pop_due(&mut self, now: Moment) -> Option<u32> {
        let number = self.due.pop_due(now)?;
        let clock = &mut self.places[number as usize];
        (clock.stage, clock.from) = (Stage::Running, f64::NAN);
        self.counted -= usize::from(clock.counts);
        Some(number)
    }

    /// A run that began then has ended; answers whether the timer goes on.
    fn conclude(&mut self, number: u32, interval: Option<f64>, began: f64) -> bool {
        let Some(clock) = self.get(number) else {
            return false;
        };
        let (at, stage, restart) = (clock.at, clock.stage, clock.from);
        let next = match interval {
            _ if !restart.is_nan() => restart,
            Some(interval) if stage == Stage::Running => {
                next_due(at, interval, began, now_seconds())
            }
            _ => {
                self.release(number);
                return false;
            }
        };
        let from = interval.map_or(f64::NAN, |interval| next - interval);
        self.arm(number, next, from);
        true
    }

    /// What the task runs, if it runs a timer.
    fn run_of(&mut self, task: TaskId) -> Option<Run> {
        let run = self.runs.get_mut(task.index() as usize)?;
        run.filter(|run| run.task == task)
    }

    /// Forgets the timers that have been collected. Their runs go on.
    fn bury(&mut self) {
        let departures = std::mem::take(&mut *self.departures.borrow_mut());
        for (number, generation) in departures {
            match self.get(number) {
                Some(clock) if clock.generation != generation => {}
                Some(clock) if clock.stage == Stage::Armed => self.release(number),
                Some(clock) => (clock.stage, clock.from) = (Stage::Stopping, f64::NAN),
                None => {}
            }
        }
    }

    /// When the first one is due.
    pub(super) fn next(&mut self) -> Option<Moment> {
        self.due.next()
    }

    /// How many are armed.
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    /// Is there one that `run` waits for?
    pub(super) fn keep_running(&self) -> bool {
        self.counted > 0
    }
}

/// When the run after the one that was due `at`, and that the loop `began`, is due. What has passed while it ran is
/// skipped. What had passed before it began is only late, because the loop was: the last of it runs at once.
fn next_due(at: f64, interval: f64, began: f64, now: f64) -> f64 {
    let interval = interval.max(SHORTEST);
    let next = at + interval;
    if next <= began {
        at + ((began - at) / interval).floor() * interval
    } else if next <= now {
        next + (((now - next) / interval).floor() + 1.0) * interval
    } else {
        next
    }
}

impl Runtime {
    /// Starts a timer that is due `at`, and whose interval counts `from` then; answers its number.
    pub(crate) fn arm_clock(&self, at: f64, from: f64, counts: bool, observed: bool) -> u32 {
        let clocks = &mut self.core.borrow_mut().clocks;
        let number = clocks.reserve();
        clocks.start(number, at, from, counts, observed);
        number
    }

    /// Stops a timer, also one whose run has failed.
    pub(crate) fn disarm_clock(&self, number: u32) {
        let clocks = &mut self.core.borrow_mut().clocks;
        if clocks.get(number).is_some() {
            clocks.release(number);
        }
    }

    /// Lets `run` not wait for a timer.
    pub(crate) fn discount_clock(&self, number: u32) {
        let clocks = &mut self.core.borrow_mut().clocks;
        if let Some(clock) = clocks.get(number) {
            let armed = clock.stage == Stage::Armed;
            let counted = std::mem::take(&mut clock.counts);
            clocks.counted -= usize::from(armed && counted);
        }
    }

    /// Tells Lua of the runs of a timer, and of its end.
    pub(crate) fn observe_clock(&self, number: u32) {
        if let Some(clock) = self.core.borrow_mut().clocks.get(number) {
            clock.observed = true;
        }
    }

    /// What tells the loop when the timer that holds it has been collected.
    pub(crate) fn sentinel(&self, number: u32) -> Option<Sentinel> {
        let clocks = &mut self.core.borrow_mut().clocks;
        let generation = clocks.get(number)?.generation;
        Some(Sentinel {
            clock: (number, generation),
            departures: Rc::clone(&clocks.departures),
        })
    }

    /// How a timer stands.
    pub(crate) fn standing(&self, number: u32) -> Option<Standing> {
        let clocks = &mut self.core.borrow_mut().clocks;
        clocks.get(number).map(|clock| Standing {
            at: clock.at,
            from: (!clock.from.is_nan()).then_some(clock.from),
            stopping: match clock.stage {
                Stage::Vacant | Stage::Armed => None,
                Stage::Running => Some(false),
                Stage::Stopping => Some(true),
            },
        })
    }

    /// Lets a timer that runs be due then, when its run has ended; without a moment, the run is the last one, unless the
    /// timer has been started anew.
    pub(crate) fn restart_clock(&self, number: u32, at: Option<f64>) {
        if let Some(clock) = self.core.borrow_mut().clocks.get(number)
            && clock.stage != Stage::Armed
        {
            match at {
                Some(at) => (clock.stage, clock.from) = (Stage::Running, at),
                None => clock.stage = Stage::Stopping,
            }
        }
    }

    /// The timer whose run the running task is.
    pub(crate) fn clock_here(&self) -> Option<u32> {
        let task = self.current()?;
        let run = self.core.borrow_mut().clocks.run_of(task)?;
        Some(run.number)
    }

    /// A task has ended that may be the run of a timer: Lua hears of it, and the timer goes on or stops. Answers whether
    /// somebody learns of the failure, which `State::fail` has left on the stack.
    pub(super) fn end_run(&self, state: State, task: TaskId, failed: bool) -> bool {
        let mut core = self.core.borrow_mut();
        let Some(run) = core.clocks.run_of(task) else {
            return false;
        };
        core.clocks.runs[task.index() as usize] = None;
        drop(core);
        let told = state.run_ended(&self.library, run.number, failed);
        if failed {
            self.disarm_clock(run.number);
            state.forget_clock(&self.library, run.number);
        } else {
            self.conclude_run(state, run);
        }
        told
    }

    /// A run has ended well: the timer goes on or stops.
    fn conclude_run(&self, state: State, run: Run) {
        let interval = state.clock_interval(&self.library, run.number);
        let mut core = self.core.borrow_mut();
        let goes_on = core.clocks.conclude(run.number, interval, run.began);
        drop(core);
        if !goes_on {
            state.forget_clock(&self.library, run.number);
        }
    }

    /// The run that the task was has ended, unless it is left to the end of the task, where more is to be done than to
    /// go on; answers whether it has.
    fn leave_run(&self, state: State, task: TaskId, run: Run) -> bool {
        let parkable = self.parkable(state) == Some(task) && state.is(self.coroutine.get());
        let mut core = self.core.borrow_mut();
        let record = core.record(task);
        if !parkable || record.rarities.is_some() {
            record.rarities.get_or_insert_default();
            return false;
        }
        let clock = core.clocks.get(run.number);
        let observed = clock.is_some_and(|clock| clock.observed);
        core.clocks.runs[task.index() as usize] = None;
        drop(core);
        if observed {
            state.run_ended(&self.library, run.number, false);
        }
        self.conclude_run(state, run);
        true
    }

    /// Wakes those whose deadline has passed, and lets Lua see to the timers that are due: first what was due first.
    pub(super) fn fire(&self, state: State) -> Result<(), Fault> {
        let mut core = self.core.borrow_mut();
        core.clocks.bury();
        core.looked = now();
        let looked = core.looked;
        let due = core.clocks.next().filter(|next| *next <= looked);
        let clocks_first = match (due, core.timers.next()) {
            (Some(clock), Some(deadline)) => clock <= deadline,
            (clock, _) => clock.is_some(),
        };
        drop(core);
        if clocks_first {
            state.fire(&self.library)?;
        }
        self.core.borrow_mut().fire_timers();
        if due.is_some() && !clocks_first {
            state.fire(&self.library)?;
        }
        Ok(())
    }

    /// Are there tasks, or timers for which `run` waits?
    pub(crate) fn has_work(&self) -> bool {
        self.task_count() > 0 || self.core.borrow().clocks.keep_running()
    }

    /// Nanoseconds until the loop has something to do by itself; `None` when only the outside can give it some.
    pub(crate) fn due(&self) -> Option<u64> {
        let mut core = self.core.borrow_mut();
        let ready = !core.queue.is_empty() || self.raising.get() > 0;
        if ready {
            return Some(0);
        }
        core.next_moment().map(|moment| moment.since(now()))
    }
}

impl Clockwork for Runtime {
    fn reserve_clock(&self) -> u32 {
        self.core.borrow_mut().clocks.reserve()
    }

    fn start_clock(&self, number: u32, seconds: f64, repeated: bool) {
        let now = now_seconds();
        let from = if repeated { now } else { f64::NAN };
        let clocks = &mut self.core.borrow_mut().clocks;
        clocks.start(number, now + seconds, from, true, false);
    }

    fn halt_clock(&self, number: u32) -> Halted {
        self.core.borrow_mut().clocks.halt(number)
    }

    fn next_run(&self, state: State) -> Option<u32> {
        let task = self.current()?;
        let before = self.core.borrow_mut().clocks.run_of(task);
        if before.is_some_and(|run| !self.leave_run(state, task, run)) {
            return None;
        }
        let streak = before.map_or(0, |run| run.streak + 1);
        if streak == RUNS_AT_ONCE {
            return None;
        }
        let mut core = self.core.borrow_mut();
        let looked = core.looked;
        let number = core.clocks.pop_due(looked)?;
        let index = task.index() as usize;
        let mut run = Run {
            task,
            number,
            began: seconds(looked),
            streak,
        };
        if before.is_some() {
            // The task ends here with no result, and its coroutine goes on as a new one.
            run.task = core.tasks.renew(task);
            self.current.set(Some(run.task));
        }
        if core.clocks.runs.len() <= index {
            core.clocks.runs.resize(index + 1, None);
        }
        core.clocks.runs[index] = Some(run);
        Some(number)
    }
}
