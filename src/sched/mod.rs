//! Pure scheduling: who is ready, who waits until when, in which order. Knows no Lua, no clock and no socket.

mod run_queue;
#[cfg(test)]
mod schedules;
mod scope;
mod task;
mod timers;
mod wait_list;

pub(crate) use run_queue::RunQueue;
pub(crate) use scope::{Scopes, Verdict};
pub(crate) use task::{Phase, Task, TaskId, Tasks};
pub(crate) use timers::{Moment, Timers};
pub(crate) use wait_list::WaitList;
