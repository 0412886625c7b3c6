//! The thread that a runtime runs in: its main task, how it ends, what it is asked for meanwhile.

use super::latch::{Answer, End, EndKind};
use super::life::Thread;
use crate::error::Fault;
use crate::runtime::Runtime;
use crate::sched::TaskId;
use crate::vm::copy::encode;
use crate::vm::{Outcome, Reply, State, Value};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Runtime {
    /// A thread has been made here: it ends with this state.
    pub(crate) fn adopt_thread(&self, thread: &Arc<Thread>) {
        self.threads.children.borrow_mut().add(Arc::clone(thread));
    }

    /// The thread that this runtime runs in, unless it is the interpreter's.
    pub(crate) fn own_thread(&self) -> Option<&Arc<Thread>> {
        self.threads.own.get()
    }

    /// The thread's universe may take any memory: its chunk has ended, and that must be told.
    pub(crate) fn lift_ceiling(&self) {
        if let Some(ceiling) = self.threads.ceiling.get() {
            ceiling.store(usize::MAX, Ordering::Relaxed);
        }
    }

    /// Keeps how the thread has ended.
    pub(crate) fn conclude(&self, end: End) {
        self.threads.end.replace(Some(end));
    }

    /// Is the next task that the loop runs for the main one of a thread?
    pub(in crate::runtime) fn begins_thread(&self) -> bool {
        self.own_thread().is_some() && !self.threads.begun.replace(true)
    }

    /// Runs the main task of the thread, and all others; answers what a join of it returns.
    pub(in crate::runtime) fn run_thread(
        &self,
        state: State,
        main: TaskId,
    ) -> Result<Outcome, Fault> {
        if let Some(thread) = self.own_thread() {
            self.set_name(main, thread.name.clone());
        }
        // What has come before it began: a task that is cancelled then never runs.
        if self.is_asked() {
            self.heed(state)?;
        }
        let outcome = self.run_main(state, main);
        // It has ended, and that must be told.
        self.lift_ceiling();
        let outcome = outcome?;
        let ended = self.phase(main).is_none();
        Ok(if ended {
            Outcome::Reply(Reply::one(Value::Outcome))
        } else {
            outcome
        })
    }

    /// Writes down that the main task has returned what lies from `first` on; answers whether that could be copied.
    pub(in crate::runtime) fn conclude_well(&self, state: State, first: i32) -> bool {
        let limits = self.limits.get();
        let count = state.top() - first + 1;
        let copied = encode(state, &self.library, first, count, &limits, &|_| {
            String::new()
        });
        let Ok((message, departing)) = copied else {
            return false;
        };
        self.give_up(departing);
        self.conclude(End {
            kind: EndKind::Done,
            values: Answer::Values(Arc::new(message)),
            complaint: None,
        });
        true
    }

    /// Has the thread been asked for something, while it had no inbox, since the last time?
    #[inline]
    pub(in crate::runtime) fn is_asked(&self) -> bool {
        self.own_thread().is_some_and(|thread| thread.takes_note())
    }

    /// The thread is about to wait for the outside: from now on its inbox is where it is asked for things. One that never
    /// waits does without.
    pub(in crate::runtime) fn be_reachable(&self) -> io::Result<()> {
        if self.threads.reachable.get() {
            return Ok(());
        }
        if let Some(thread) = self.own_thread() {
            let sender = self.core.borrow_mut().inbox()?.sender();
            thread.open_inbox(sender);
        }
        self.threads.reachable.set(true);
        Ok(())
    }

    /// Shall the thread end? Stands still first as long as it shall.
    pub(in crate::runtime) fn is_interrupted(&self) -> bool {
        let Some(thread) = self.own_thread() else {
            return false;
        };
        let cancelled = thread.heed();
        if cancelled && let Some(hookable) = self.threads.hookable() {
            hookable.insist();
        }
        cancelled
    }

    /// Looks what the thread has been asked for.
    pub(in crate::runtime) fn heed(&self, state: State) -> Result<(), Fault> {
        self.is_interrupted();
        state.heed(&self.library)
    }
}
