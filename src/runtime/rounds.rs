//! Rounds: whose turn is next, when one round may lead to the next one, and how most tasks begin their turn.

use super::core::{Body, Core};
use super::turn::Goal;
use super::{Phase, Runtime, TaskId};
use crate::sched::Task;

impl Runtime {
    /// The next task of the round, or of the next one, which begins at once where the loop has nothing else to look at.
    /// `Err`: whether any have been parked for long.
    #[inline(always)]
    pub(super) fn next_ready(&self, core: &mut Core, goal: Goal) -> Result<TaskId, bool> {
        loop {
            if let Some(task) = core.queue.pop() {
                return Ok(task);
            }
            let parked = core.has_parked_for_long();
            if parked
                || core.queue.is_empty()
                || matches!(goal, Goal::Turn(_))
                || self.raising.get() > 0
                || self.stopping.get()
                || self.main_failed.get()
                || self.has_dropped()
            {
                return Err(parked);
            }
            core.queue.begin_round();
        }
    }
}

/// Lets a task run that has only given way, as most have, or is new, where nothing else is to be looked at; answers with
/// how many values it is resumed.
#[inline(always)]
pub(super) fn go_on_plainly(record: &mut Task<Body>) -> Option<i32> {
    let co = record.body.co;
    let count = if record.has_only_given_way() && record.body.holds_nothing() && co.is_parked() {
        0
    } else if record.is_just_new() && !co.is_none() {
        record.body.kept
    } else {
        return None;
    };
    record.phase = Phase::Running;
    Some(count)
}
