//! What other threads have for tasks of this runtime: letters, taken in once a turn.

use crate::sched::TaskId;
use crate::sys::waker::Waker;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The runtime's end of the inbox.
pub(crate) struct Inbox(Arc<Shared>);

/// The end that goes to another thread.
#[derive(Clone)]
pub(crate) struct Sender(Arc<Shared>);

/// What another thread has to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Letter {
    /// A task has its answer, which was owed to it.
    Answer(TaskId),
    /// A task may find what it waits for; if it still waits.
    Wake(TaskId),
    /// The runtime's own thread is asked for something.
    Alert,
}

/// What both ends see.
struct Shared {
    /// The letters, oldest first.
    letters: Mutex<Vec<Letter>>,
    /// Are there any? Read without the lock.
    pending: AtomicBool,
    /// Makes the poller of the runtime return.
    waker: Waker,
}

impl Inbox {
    /// Makes an inbox; its waker is to be added to the poller.
    pub(crate) fn new() -> io::Result<Inbox> {
        Ok(Inbox(Arc::new(Shared {
            letters: Mutex::default(),
            pending: AtomicBool::new(false),
            waker: Waker::new()?,
        })))
    }

    /// An end for another thread.
    pub(crate) fn sender(&self) -> Sender {
        Sender(Arc::clone(&self.0))
    }

    /// Are there letters?
    pub(crate) fn is_pending(&self) -> bool {
        self.0.pending.load(Ordering::Acquire)
    }

    /// The letters that have come since the last time.
    pub(crate) fn take(&self) -> Vec<Letter> {
        self.0.waker.drain();
        let mut letters = self
            .0
            .letters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.0.pending.store(false, Ordering::Release);
        std::mem::take(&mut *letters)
    }

    /// The waker, for the poller.
    pub(crate) fn waker(&self) -> &Waker {
        &self.0.waker
    }
}

impl Sender {
    /// Leaves a letter, from any thread. Nothing happens when the runtime has gone.
    pub(crate) fn post(&self, letter: Letter) {
        let mut letters = self
            .0
            .letters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        letters.push(letter);
        let first = letters.len() == 1;
        self.0.pending.store(true, Ordering::Release);
        drop(letters);
        // Whoever left the first one has woken the runtime, which has not looked since.
        if first {
            self.0.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_over_what_other_threads_send() {
        let inbox = Inbox::new().unwrap();
        let letter = Letter::Wake(TaskId::from_bits(3));
        let sender = inbox.sender();
        std::thread::spawn(move || sender.post(letter))
            .join()
            .unwrap();
        assert!(inbox.is_pending());
        assert_eq!(inbox.take(), [letter]);
        assert!(!inbox.is_pending());
        assert_eq!(inbox.take(), []);
    }
}
