//! Waiting until one of several descriptors is ready, of which nothing is known but their numbers.

use super::Runtime;
use super::interests::{Direction, Key};
use super::operation::Poll;
use crate::sched::TaskId;
use crate::sys::failure;
use crate::sys::poller::Poller;
use crate::sys::readiness::{Wanted, ready};
use crate::vm::{Reply, Value};
use std::fmt::Write;
use std::io;

/// A call that waits for descriptors.
///
/// They may be watched by the runtime already, and can be so only once. So they get a poller of their own while the
/// call waits, which is itself watched.
pub(crate) struct Select {
    /// The descriptors, each once.
    wanted: Vec<Wanted>,
    /// Their poller, once the call has to wait, and its place among the interests.
    poller: Option<(Poller, Key)>,
    /// How many sockets of coev's had been closed when the call began.
    closings: Option<u64>,
}

/// The answer when one has been closed meanwhile: it may have been one of these, and its number be another's now.
const CLOSED: &str = "closed";

impl Select {
    /// A call that has not looked yet; a descriptor may come once for each direction.
    pub(crate) fn new(mut wanted: Vec<Wanted>) -> Select {
        wanted.sort_by_key(|wanted| wanted.fd);
        wanted.dedup_by(|later, first| {
            let same = later.fd == first.fd;
            if same {
                first.read |= later.read;
                first.write |= later.write;
            }
            same
        });
        Select {
            wanted,
            poller: None,
            closings: None,
        }
    }

    /// How many descriptors it waits for.
    pub(crate) fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Looks, and waits where none is ready. Answers the ready ones as text: `r` or `w`, and the number.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        if *self.closings.get_or_insert(runtime.closings()) != runtime.closings() {
            self.withdraw(runtime, task);
            return Poll::Ready(Reply::one(CLOSED));
        }
        let found = match ready(&self.wanted) {
            Ok(found) if found.is_empty() => match self.watch(runtime, task) {
                Ok(()) => return Poll::Pending,
                Err(error) => Err(error),
            },
            found => found,
        };
        self.withdraw(runtime, task);
        Poll::Ready(match found {
            Ok(found) => Reply::one(Value::from(text_of(&found))),
            Err(error) => Reply::failure(failure::word(&error)),
        })
    }

    /// Lets `task` be woken when a descriptor becomes ready.
    fn watch(&mut self, runtime: &Runtime, task: TaskId) -> io::Result<()> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        let key = match &self.poller {
            Some((_, key)) => *key,
            None => {
                let poller = Poller::new()?;
                for wanted in &self.wanted {
                    poller.watch(wanted.fd, [wanted.read, wanted.write], 0)?;
                }
                let key = runtime.add_interest(poller.fd(), Direction::Read)?;
                self.poller = Some((poller, key));
                key
            }
        };
        let mut core = runtime.core.borrow_mut();
        core.interests.watch(key, Direction::Read, task);
        if !core.watchers.contains(&task) {
            core.watchers.push(task);
        }
        Ok(())
    }

    /// The task waits no more.
    pub(crate) fn withdraw(&mut self, runtime: &Runtime, task: TaskId) {
        let mut core = runtime.core.borrow_mut();
        core.watchers.retain(|watcher| *watcher != task);
        drop(core);
        if let Some((poller, key)) = self.poller.take() {
            runtime.forget_interest(key);
            drop(poller);
        }
    }
}

/// The ready descriptors as text.
fn text_of(found: &[Wanted]) -> String {
    let mut text = String::new();
    for wanted in found {
        for (letter, ready) in [('r', wanted.read), ('w', wanted.write)] {
            if ready {
                // Writing to a string does not fail.
                let _ = write!(text, "{letter}{}", wanted.fd);
            }
        }
    }
    text
}
