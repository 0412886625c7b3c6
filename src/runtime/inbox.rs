//! What other threads have for tasks of this runtime: wake-ups, taken in once a turn.

use crate::sched::TaskId;
use crate::sys::waker::Waker;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// The runtime's end of the inbox.
pub(crate) struct Inbox(Arc<Shared>);

/// The end that goes to another thread.
#[derive(Clone)]
pub(crate) struct Sender(Arc<Shared>);

/// What both ends see.
struct Shared {
    /// The tasks to be woken.
    woken: Mutex<Vec<TaskId>>,
    /// Makes the poller of the runtime return.
    waker: Waker,
}

impl Inbox {
    /// Makes an inbox; its waker is to be added to the poller.
    pub(crate) fn new() -> io::Result<Inbox> {
        Ok(Inbox(Arc::new(Shared {
            woken: Mutex::default(),
            waker: Waker::new()?,
        })))
    }

    /// An end for another thread.
    pub(crate) fn sender(&self) -> Sender {
        Sender(Arc::clone(&self.0))
    }

    /// The tasks that have been woken since the last time.
    pub(crate) fn take(&self) -> Vec<TaskId> {
        self.0.waker.drain();
        std::mem::take(&mut *self.0.woken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The waker, for the poller.
    pub(crate) fn waker(&self) -> &Waker {
        &self.0.waker
    }
}

impl Sender {
    /// Wakes a task of the runtime, from any thread. Nothing happens when the runtime has gone.
    pub(crate) fn wake(&self, task: TaskId) {
        self.0
            .woken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(task);
        self.0.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_over_what_other_threads_send() {
        let inbox = Inbox::new().unwrap();
        let task = TaskId::from_bits(3);
        let sender = inbox.sender();
        std::thread::spawn(move || sender.wake(task))
            .join()
            .unwrap();
        assert_eq!(inbox.take(), [task]);
        assert_eq!(inbox.take(), []);
    }
}
