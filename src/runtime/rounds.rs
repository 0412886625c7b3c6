//! Rounds: whose turn is next, and when one round may lead to the next one.

use super::core::Core;
use super::turn::Goal;
use super::{Runtime, TaskId};

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
