//! What is said when nothing can happen any more.

use super::{Runtime, TaskId};
use crate::vm::{Coroutine, State};
use std::fmt::Write as _;

impl Runtime {
    /// The report of a deadlock: who waits, for what and where.
    pub(super) fn deadlock(&self, state: State) -> String {
        let core = self.core.borrow();
        let parked = core
            .tasks
            .iter()
            .filter(|(_, record)| record.phase.is_waiting());
        let waiting: Vec<(TaskId, Coroutine)> = parked
            .map(|(task, record)| (task, record.body.co))
            .filter(|(_, co)| !co.is_none())
            .collect();
        drop(core);
        let mut report = format!("deadlock: {} tasks wait for ever", waiting.len());
        for (task, co) in waiting {
            let place = co
                .place()
                .map_or_else(String::new, |place| format!(", at {place}"));
            let _ = write!(
                report,
                "\n  {}: {}{place}",
                self.label(task),
                self.waits_for(state, task)
            );
        }
        report
    }
}
