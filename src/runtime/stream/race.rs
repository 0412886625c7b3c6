//! Connecting to the first of several addresses that answers, as RFC 8305 says. Knows no names.

use super::Stream;
use crate::runtime::interests::{Direction, Key};
use crate::runtime::{Runtime, now};
use crate::sched::{Moment, TaskId};
use crate::sys::names::Family;
use crate::sys::socket::{Address, Socket};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

/// Attempts that overlap.
pub(super) struct Race {
    /// Whom nobody has tried yet, in order.
    waiting: VecDeque<SocketAddr>,
    /// What is underway, the oldest first.
    underway: Vec<Attempt>,
    /// When the next address is tried even if none has failed.
    next: Moment,
    /// Why the last one that failed has.
    error: Option<io::Error>,
    /// That one, where it had a socket.
    failed: Option<Attempt>,
}

/// One attempt.
pub(super) struct Attempt {
    /// Its socket.
    pub(super) socket: Socket,
    /// The family of the address.
    pub(super) family: Family,
    /// Its place among the interests, where it has to be waited for.
    pub(super) key: Option<Key>,
}

/// How far a race has come, or an attempt.
pub(super) enum Progress {
    /// Nobody has answered yet.
    Underway,
    /// This one has.
    Won(Attempt),
    /// All have failed; this is what the last of them has said, and that one itself, where it had a socket.
    Lost(io::Error, Option<Attempt>),
}

/// Nanoseconds between two attempts: the RFC's "Connection Attempt Delay".
const DELAY: u64 = 250_000_000;

impl Race {
    /// A race to these addresses, at least one, which come in the order of preference.
    pub(super) fn new(addresses: Vec<SocketAddr>) -> Race {
        Race {
            waiting: interleaved(addresses),
            underway: Vec::new(),
            next: Moment(0),
            error: None,
            failed: None,
        }
    }

    /// Looks at what is underway, and begins what is due.
    pub(super) fn advance(&mut self, runtime: &Runtime, stream: &Stream, task: TaskId) -> Progress {
        if let Some(winner) = self.look(runtime) {
            self.close(runtime);
            return Progress::Won(winner);
        }
        while self.underway.is_empty() || now() >= self.next {
            let Some(address) = self.waiting.pop_front() else {
                break;
            };
            match self.begin(runtime, stream, address, task) {
                Progress::Underway => self.next = Moment(now().0 + DELAY),
                Progress::Won(winner) => {
                    self.close(runtime);
                    return Progress::Won(winner);
                }
                Progress::Lost(error, attempt) => self.note_failure(runtime, error, attempt),
            }
        }
        if !self.underway.is_empty() {
            return Progress::Underway;
        }
        let error = self.error.take();
        let error = error.expect("a race has an address, and what is not underway has failed");
        Progress::Lost(error, self.failed.take())
    }

    /// When the next attempt is due.
    pub(super) fn due(&self) -> Option<Moment> {
        (!self.waiting.is_empty()).then_some(self.next)
    }

    /// Ends the race; the oldest attempt goes on by itself.
    pub(super) fn settle(&mut self, runtime: &Runtime) -> Option<Attempt> {
        let oldest = (!self.underway.is_empty()).then(|| self.underway.remove(0));
        self.close(runtime);
        oldest
    }

    /// Ends all attempts.
    pub(super) fn close(&mut self, runtime: &Runtime) {
        for attempt in self.underway.drain(..).chain(self.failed.take()) {
            attempt.close(runtime);
        }
    }

    /// Takes out who has answered, and those that have failed.
    fn look(&mut self, runtime: &Runtime) -> Option<Attempt> {
        let mut place = 0;
        while let Some(attempt) = self.underway.get(place) {
            if !attempt.is_decided(runtime) {
                place += 1;
                continue;
            }
            let attempt = self.underway.remove(place);
            match attempt.socket.take_error() {
                Ok(None) => return Some(attempt),
                Ok(Some(error)) | Err(error) => {
                    self.note_failure(runtime, error, Some(attempt));
                }
            }
        }
        None
    }

    /// The next one is tried at once; the last one's socket is kept, and no other, since the next may need its descriptor.
    fn note_failure(&mut self, runtime: &Runtime, error: io::Error, attempt: Option<Attempt>) {
        match attempt {
            Some(last) if self.waiting.is_empty() && self.underway.is_empty() => {
                self.failed = Some(last);
            }
            Some(earlier) => earlier.close(runtime),
            None => {}
        }
        self.error = Some(error);
        self.next = Moment(0);
    }

    /// Begins an attempt.
    fn begin(
        &mut self,
        runtime: &Runtime,
        stream: &Stream,
        address: SocketAddr,
        task: TaskId,
    ) -> Progress {
        let address = Address::from(address);
        let family = Family::of(&address);
        let mut attempt = match stream.fresh(family) {
            Ok(socket) => Attempt {
                socket,
                family,
                key: None,
            },
            Err(error) => return Progress::Lost(error, None),
        };
        match attempt.socket.connect(&address) {
            Ok(()) => return Progress::Won(attempt),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Progress::Lost(error, Some(attempt)),
        }
        let key = match runtime.add_interest(attempt.socket.fd(), Direction::Write) {
            Ok(key) => key,
            Err(error) => return Progress::Lost(error, Some(attempt)),
        };
        attempt.key = Some(key);
        let mut core = runtime.core.borrow_mut();
        core.interests.watch(key, Direction::Write, task);
        self.underway.push(attempt);
        Progress::Underway
    }
}

impl Attempt {
    /// Has the system said how it ended?
    fn is_decided(&self, runtime: &Runtime) -> bool {
        let interests = &mut runtime.core.borrow_mut().interests;
        self.key
            .is_none_or(|key| interests.is_ready(key, Direction::Write))
    }

    /// Ends it.
    fn close(self, runtime: &Runtime) {
        if let Some(key) = self.key {
            runtime.forget_interest(key);
        }
    }
}

/// The addresses of both families in turn, beginning with the first one's: a family that leads nowhere holds up no
/// more than one attempt in two.
fn interleaved(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (same, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == first_is_v4);
    let mut in_turn = VecDeque::with_capacity(same.len() + other.len());
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    loop {
        let pair = [same.next(), other.next()];
        if pair == [None, None] {
            return in_turn;
        }
        in_turn.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::interleaved;

    /// Addresses with these hosts.
    fn addresses(hosts: &[&str]) -> Vec<std::net::SocketAddr> {
        let address = |host: &&str| std::net::SocketAddr::new(host.parse().unwrap(), 1);
        hosts.iter().map(address).collect()
    }

    #[test]
    fn families_take_turns_and_keep_their_order() {
        for (given, expected) in [
            (
                &["::1", "::2", "::3", "1.1.1.1"][..],
                &["::1", "1.1.1.1", "::2", "::3"][..],
            ),
            (
                &["1.1.1.1", "2.2.2.2", "::1"],
                &["1.1.1.1", "::1", "2.2.2.2"],
            ),
            (&["1.1.1.1"], &["1.1.1.1"]),
            (&[], &[]),
        ] {
            assert_eq!(interleaved(addresses(given)), addresses(expected));
        }
    }
}
