//! The timers that Lua has started: moments under numbers, for what Lua keeps under the same numbers.

use super::{Runtime, now};
use crate::error::Fault;
use crate::sched::{Moment, Timers};
use crate::vm::State;

/// The started timers.
#[derive(Default)]
pub(super) struct Clocks {
    /// When each is due.
    due: Timers,
    /// By number: is it started, and does `run` wait for it?
    counts: Vec<bool>,
    /// Numbers to be used again.
    free: Vec<u32>,
    /// How many of the started ones `run` waits for.
    counted: usize,
}

impl Clocks {
    /// Starts a timer; answers its number.
    fn start(&mut self, moment: Moment, counts: bool) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.counts.push(false);
            u32::try_from(self.counts.len() - 1).expect("fewer than 2^32 timers fit into memory")
        });
        self.due.start(moment, number);
        self.counts[number as usize] = counts;
        self.counted += usize::from(counts);
        number
    }

    /// Stops a timer that is started.
    fn stop(&mut self, number: u32) {
        self.due.stop(number);
        self.release(number);
    }

    /// The number of a timer that is due, and over now.
    fn pop_due(&mut self, now: Moment) -> Option<u32> {
        let number = self.due.pop_due(now)?;
        self.release(number);
        Some(number)
    }

    /// Gives a number back.
    fn release(&mut self, number: u32) {
        self.counted -= usize::from(std::mem::take(&mut self.counts[number as usize]));
        self.free.push(number);
    }

    /// Lets `run` not wait for a started timer.
    fn discount(&mut self, number: u32) {
        self.counted -= usize::from(std::mem::take(&mut self.counts[number as usize]));
    }

    /// When the first one is due.
    pub(super) fn next(&mut self) -> Option<Moment> {
        self.due.next()
    }

    /// How many are started.
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    /// Is there one that `run` waits for?
    pub(super) fn keep_running(&self) -> bool {
        self.counted > 0
    }
}

impl Runtime {
    /// Starts a timer, for which `run` waits if it `counts`; answers its number.
    pub(crate) fn start_clock(&self, moment: Moment, counts: bool) -> u32 {
        self.core.borrow_mut().clocks.start(moment, counts)
    }

    /// Stops a started timer.
    pub(crate) fn stop_clock(&self, number: u32) {
        self.core.borrow_mut().clocks.stop(number);
    }

    /// Lets `run` not wait for a started timer.
    pub(crate) fn discount_clock(&self, number: u32) {
        self.core.borrow_mut().clocks.discount(number);
    }

    /// The number of a timer that is due, and over now; and when the loop found it so.
    pub(crate) fn next_fired(&self) -> Option<(u32, Moment)> {
        let mut core = self.core.borrow_mut();
        let looked = core.looked;
        core.clocks.pop_due(looked).map(|number| (number, looked))
    }

    /// Wakes those whose deadline has passed, and lets Lua see to the timers that are due: first what was due first.
    pub(super) fn fire(&self, state: State) -> Result<(), Fault> {
        let mut core = self.core.borrow_mut();
        core.looked = now();
        let due = core.clocks.next().filter(|next| *next <= core.looked);
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
