//! What other threads have for tasks of this runtime: letters, taken in once a turn.

use super::locks::{AtomicBool, Mutex, MutexGuard};
use crate::sched::TaskId;
use crate::sys::waker::Waker;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

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
    /// The letters, and whether the runtime sleeps.
    mail: Mutex<Mail>,
    /// Are there letters? Read without the lock.
    pending: AtomicBool,
    /// Makes the poller of the runtime return.
    waker: Waker,
}

/// What is behind the lock.
#[derive(Default)]
struct Mail {
    /// The letters, oldest first.
    letters: Vec<Letter>,
    /// Is nobody looking? Then whoever leaves the next letter wakes the runtime.
    asleep: bool,
    /// Does somebody else wait in the runtime's place, and may do so at any time? Then the runtime is never awake for sure.
    guarded: bool,
}

impl Inbox {
    /// Makes an inbox; its waker is to be added to the poller.
    pub(crate) fn new() -> io::Result<Inbox> {
        Ok(Inbox(Arc::new(Shared {
            mail: Mutex::default(),
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

    /// The runtime is about to wait in its poller; answers whether it may, which it may not while there are letters.
    pub(crate) fn fall_asleep(&self) -> bool {
        let mut mail = self.0.mail();
        mail.asleep = mail.letters.is_empty();
        mail.asleep
    }

    /// It is back; answers whether there are letters.
    pub(crate) fn get_up(&self) -> bool {
        let mut mail = self.0.mail();
        mail.asleep = false;
        !mail.letters.is_empty()
    }

    /// From now on somebody else may wait for the poller, at any time.
    pub(crate) fn guard(&self) {
        let mut mail = self.0.mail();
        mail.guarded = true;
        if !mail.letters.is_empty() {
            self.0.waker.wake();
        }
    }

    /// The letters that have come since the last time.
    pub(crate) fn take(&self) -> Vec<Letter> {
        self.0.waker.drain();
        let mut mail = self.0.mail();
        self.0.pending.store(false, Ordering::Release);
        std::mem::take(&mut mail.letters)
    }

    /// The waker, for the poller.
    pub(crate) fn waker(&self) -> &Waker {
        &self.0.waker
    }
}

impl Shared {
    /// What is behind the lock. It is whole after a panic, too.
    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sender {
    /// Leaves a letter, from any thread. Nothing happens when the runtime has gone.
    pub(crate) fn post(&self, letter: Letter) {
        let mut mail = self.0.mail();
        mail.letters.push(letter);
        // Whoever left the first one has woken the runtime, which has not looked since.
        let wakes = std::mem::take(&mut mail.asleep) || (mail.guarded && mail.letters.len() == 1);
        self.0.pending.store(true, Ordering::Release);
        drop(mail);
        if wakes {
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

#[cfg(loom)]
mod model {
    //! Every order in which senders and a runtime that falls asleep may meet.

    use super::*;
    use loom::thread;

    #[test]
    fn no_letter_is_slept_over() {
        loom::model(|| {
            let inbox = Inbox::new().unwrap();
            let senders = [1, 2].map(|number| {
                let sender = inbox.sender();
                thread::spawn(move || sender.post(Letter::Wake(TaskId::from_bits(number))))
            });
            let mut come = 0;
            while come < 2 {
                // As the loop does: a look, a sleep, a look.
                if inbox.is_pending() {
                    come += inbox.take().len();
                    continue;
                }
                if inbox.fall_asleep() {
                    inbox.waker().sleep();
                    inbox.get_up();
                }
                come += inbox.take().len();
            }
            for sender in senders {
                sender.join().unwrap();
            }
        });
    }

    #[test]
    fn whoever_waits_in_the_runtimes_place_is_woken() {
        loom::model(|| {
            let inbox = Inbox::new().unwrap();
            let sender = inbox.sender();
            let sender = thread::spawn(move || sender.post(Letter::Alert));
            inbox.guard();
            inbox.waker().sleep();
            assert_eq!(inbox.take(), [Letter::Alert]);
            sender.join().unwrap();
        });
    }
}
