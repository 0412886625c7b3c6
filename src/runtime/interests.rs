//! Who waits for which descriptor, and what is known of its readiness.

use super::Runtime;
use crate::sched::TaskId;
use crate::sys::poller::Event;
use std::io;
use std::os::fd::RawFd;

/// Ties what the poller says to a source. A key whose source has gone fits no later one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    /// The place among the sources.
    index: u32,
    /// How often the place had been used before.
    generation: u32,
}

/// One direction of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// Reading, and accepting.
    Read,
    /// Writing, and connecting.
    Write,
}

/// All descriptors that the poller watches.
#[derive(Default)]
pub(crate) struct Interests {
    /// By index.
    sources: Vec<Source>,
    /// Indices to be used again.
    free: Vec<u32>,
    /// How many tasks wait for a descriptor.
    waiting: usize,
}

/// What is known of one descriptor.
#[derive(Default)]
struct Source {
    /// How often this place had been used before.
    generation: u32,
    /// Is it in use?
    live: bool,
    /// The peer will send no more: reading never has to wait again.
    hung_up: bool,
    /// By direction.
    sides: [Side; 2],
}

/// What is known of one direction.
#[derive(Default)]
struct Side {
    /// Nothing has shown since the last edge that it would block.
    ready: bool,
    /// Who waits for the next edge.
    waiter: Option<TaskId>,
}

impl Side {
    /// Notes whether there is an edge; answers who is to be woken.
    #[inline(always)]
    fn note(&mut self, edge: bool) -> Option<TaskId> {
        self.ready |= edge;
        if edge { self.waiter.take() } else { None }
    }
}

/// The key that stands for the waker of the inbox: no source gets it.
pub(crate) const WAKER_KEY: u64 = u64::MAX - 1;

impl Key {
    /// The key as the poller keeps it.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }
}

impl Interests {
    /// Makes room for a descriptor that is about to be added to the poller, which will report what is ready.
    ///
    /// Somebody has just found that `direction` would block; of the other one nothing is known, so it may be tried.
    pub(crate) fn insert(&mut self, direction: Direction) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.sources.push(Source::default());
            u32::try_from(self.sources.len() - 1).expect("there are fewer than 2^32 descriptors")
        });
        let source = &mut self.sources[index as usize];
        *source = Source {
            generation: source.generation,
            live: true,
            ..Source::default()
        };
        source.sides[1 - direction as usize].ready = true;
        Key {
            index,
            generation: source.generation,
        }
    }

    /// Forgets a descriptor that has been closed; answers who waited for it.
    pub(crate) fn remove(&mut self, key: Key) -> [Option<TaskId>; 2] {
        let Some(source) = self.source(key) else {
            return [None, None];
        };
        source.live = false;
        source.generation = source.generation.wrapping_add(1);
        let waiters = [source.sides[0].waiter.take(), source.sides[1].waiter.take()];
        self.waiting -= waiters.iter().flatten().count();
        self.free.push(key.index);
        waiters
    }

    /// Is there no proof that the direction would block?
    pub(crate) fn is_ready(&mut self, key: Key, direction: Direction) -> bool {
        self.source(key).is_none_or(|source| {
            source.sides[direction as usize].ready
                || (source.hung_up && direction == Direction::Read)
        })
    }

    /// Notes that the direction would block: the next edge will tell.
    pub(crate) fn blocks(&mut self, key: Key, direction: Direction) {
        if let Some(source) = self.source(key) {
            source.sides[direction as usize].ready = false;
        }
    }

    /// Lets `task` be woken by the next edge. There is one waiter a direction: more queue at the stream.
    pub(crate) fn watch(&mut self, key: Key, direction: Direction, task: TaskId) {
        let Some(source) = self.source(key) else {
            return;
        };
        if source.sides[direction as usize]
            .waiter
            .replace(task)
            .is_none()
        {
            self.waiting += 1;
        }
    }

    /// Takes `task` back from the direction.
    pub(crate) fn unwatch(&mut self, key: Key, direction: Direction, task: TaskId) {
        let Some(source) = self.source(key) else {
            return;
        };
        let waiter = &mut source.sides[direction as usize].waiter;
        if *waiter == Some(task) {
            *waiter = None;
            self.waiting -= 1;
        }
    }

    /// Notes what the poller says; answers who is to be woken.
    pub(crate) fn note(&mut self, event: Event) -> [Option<TaskId>; 2] {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the two halves are taken apart"
        )]
        let key = Key {
            index: event.key as u32,
            generation: (event.key >> 32) as u32,
        };
        let Some(source) = self.source(key) else {
            return [None, None];
        };
        source.hung_up |= event.hung_up;
        let [read, write] = &mut source.sides;
        let woken = [read.note(event.readable), write.note(event.writable)];
        self.waiting -= usize::from(woken[0].is_some()) + usize::from(woken[1].is_some());
        woken
    }

    /// Does any task wait for a descriptor?
    pub(crate) fn has_waiters(&self) -> bool {
        self.waiting > 0
    }

    /// Is no descriptor watched?
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many descriptors are watched.
    pub(crate) fn len(&self) -> usize {
        self.sources.len() - self.free.len()
    }

    /// The source that the key fits.
    fn source(&mut self, key: Key) -> Option<&mut Source> {
        let source = self.sources.get_mut(key.index as usize)?;
        (source.live && source.generation == key.generation).then_some(source)
    }
}

impl Runtime {
    /// Lets the poller watch a descriptor.
    pub(crate) fn add_interest(&self, fd: RawFd, direction: Direction) -> io::Result<Key> {
        let mut core = self.core.borrow_mut();
        let key = core.interests.insert(direction);
        if let Err(error) = core
            .poller()
            .and_then(|poller| poller.add(fd, key.to_bits()))
        {
            core.interests.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    /// Forgets a descriptor that stays open, and wakes who waited for it.
    pub(crate) fn abandon_interest(&self, fd: RawFd, key: Key) {
        if let Some(poller) = &self.core.borrow().poller {
            // That it has gone already is no failure.
            let _ = poller.unwatch(fd);
        }
        self.forget_interest(key);
    }

    /// Forgets a descriptor that is about to be closed, and wakes who waited for it.
    pub(crate) fn forget_interest(&self, key: Key) {
        let mut core = self.core.borrow_mut();
        for task in core.interests.remove(key).into_iter().flatten() {
            core.wake(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task that differs from others by its number.
    fn task(number: u64) -> TaskId {
        TaskId::from_bits(number)
    }

    /// What the poller would say.
    fn event(key: Key, readable: bool, writable: bool, hung_up: bool) -> Event {
        Event {
            key: key.to_bits(),
            readable,
            writable,
            hung_up,
        }
    }

    #[test]
    fn an_edge_wakes_the_waiter_of_its_direction_once() {
        let mut interests = Interests::default();
        let key = interests.insert(Direction::Read);
        interests.watch(key, Direction::Read, task(1));
        interests.watch(key, Direction::Write, task(2));
        assert_eq!(
            interests.note(event(key, true, false, false)),
            [Some(task(1)), None]
        );
        assert_eq!(interests.note(event(key, true, false, false)), [None, None]);
        assert!(interests.is_ready(key, Direction::Read));
        assert!(interests.has_waiters());
        interests.unwatch(key, Direction::Write, task(2));
        assert!(!interests.has_waiters());
    }

    #[test]
    fn after_the_peers_end_reading_never_blocks_again() {
        let mut interests = Interests::default();
        let key = interests.insert(Direction::Read);
        interests.note(event(key, true, true, true));
        interests.blocks(key, Direction::Read);
        interests.blocks(key, Direction::Write);
        assert!(
            interests.is_ready(key, Direction::Read) && !interests.is_ready(key, Direction::Write)
        );
    }

    #[test]
    fn a_late_event_of_a_closed_descriptor_reaches_nobody() {
        let mut interests = Interests::default();
        let old = interests.insert(Direction::Read);
        interests.watch(old, Direction::Read, task(1));
        assert_eq!(interests.remove(old), [Some(task(1)), None]);
        let new = interests.insert(Direction::Read);
        interests.watch(new, Direction::Read, task(2));
        assert_eq!(interests.note(event(old, true, true, true)), [None, None]);
        assert_eq!(interests.remove(old), [None, None]);
        assert!(interests.has_waiters() && !interests.is_empty());
    }
}
