//! What is said when nothing can happen any more.

use super::{Runtime, TaskId};
use crate::vm::Coroutine;
use std::fmt::Write as _;

impl Runtime {
    /// The report of a deadlock: who waits, for what and where.
    pub(super) fn deadlock(&self) -> String {
        let core = self.core.borrow();
        let parked = core
            .tasks
            .iter()
            .filter(|(_, record)| record.phase.is_waiting());
        let waiting: Vec<(TaskId, Coroutine)> = parked
            .filter(|(_, record)| {
                !record.body.co.is_none() || core.parked.is_in_line(record.body.ticket)
            })
            .map(|(task, record)| (task, record.body.co))
            .collect();
        drop(core);
        let mut report = format!("deadlock: {} tasks wait for ever", waiting.len());
        for (task, co) in waiting {
            let place = co
                .place()
                .map_or_else(String::new, |place| format!(", at {place}"));
            let owner = self.core.borrow().owner_of(task);
            let label = match owner {
                Some(owner) => self.label(owner),
                None => "the main chunk".into(),
            };
            let _ = write!(report, "\n  {label}: {}{place}", self.waits_for(task));
        }
        report
    }
}
