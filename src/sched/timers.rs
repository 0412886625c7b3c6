//! Deadlines in firing order. Knows no clock: callers pass the moment that it is.

/// A point on the monotonic clock, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Moment(pub(crate) u64);

/// The running timers of things that are numbered, at most one each: a heap with four children a node, which knows
/// where each timer stands, so that stopping one takes no search and leaves nothing behind.
#[derive(Default)]
pub(crate) struct Timers {
    /// The heap: the earliest is first; of equal ones the one started first.
    heap: Vec<Node>,
    /// By owner: where in the heap its timer stands.
    places: Vec<u32>,
    /// The number of the next start; breaks ties in order of creation.
    sequence: u32,
}

/// One place in the heap: sixteen bytes, so that four children share a cache line.
#[derive(Clone, Copy)]
struct Node {
    /// When it fires.
    deadline: Moment,
    /// The number of its start.
    sequence: u32,
    /// Whose it is.
    owner: u32,
}

/// The place of a timer that does not run.
const NOWHERE: u32 = u32::MAX;

impl Moment {
    /// So many nanoseconds later; the end of time when that is beyond it.
    pub(crate) fn after(self, nanoseconds: u64) -> Moment {
        Moment(self.0.saturating_add(nanoseconds))
    }

    /// Nanoseconds from `earlier` until `self`; 0 when that is past.
    pub(crate) fn since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Timers {
    /// Starts the timer of `owner`, anew when it runs already.
    pub(crate) fn start(&mut self, deadline: Moment, owner: u32) {
        self.stop(owner);
        if self.places.len() <= owner as usize {
            self.places.resize(owner as usize + 1, NOWHERE);
        }
        self.heap.push(Node {
            deadline,
            sequence: self.sequence,
            owner,
        });
        self.sequence = self.sequence.wrapping_add(1);
        self.rise(self.heap.len() - 1);
    }

    /// Stops the timer of `owner`, if it runs.
    pub(crate) fn stop(&mut self, owner: u32) {
        match self.places.get(owner as usize) {
            Some(&place) if place != NOWHERE => self.take(place as usize),
            _ => {}
        }
    }

    /// How many run.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.heap.first().map(|node| node.deadline)
    }

    /// The owner of the earliest timer, when it is due; that timer is over.
    pub(crate) fn pop_due(&mut self, now: Moment) -> Option<u32> {
        let first = *self.heap.first()?;
        if first.deadline > now {
            return None;
        }
        self.take(0);
        Some(first.owner)
    }

    /// Takes the timer at `place` out of the heap.
    fn take(&mut self, place: usize) {
        let node = self.heap.swap_remove(place);
        self.places[node.owner as usize] = NOWHERE;
        if place < self.heap.len() {
            let place = self.rise(place);
            self.sink(place);
        }
    }

    /// Moves the node at `place` up to where it belongs; answers where that is.
    fn rise(&mut self, mut place: usize) -> usize {
        let node = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / 4;
            if !node.before(self.heap[parent]) {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, node);
        place
    }

    /// Moves the node at `place` down to where it belongs.
    fn sink(&mut self, mut place: usize) {
        let node = self.heap[place];
        loop {
            let first = place * 4 + 1;
            let last = (first + 4).min(self.heap.len());
            if first >= last {
                break;
            }
            let mut least = first;
            for child in first + 1..last {
                if self.heap[child].before(self.heap[least]) {
                    least = child;
                }
            }
            if !self.heap[least].before(node) {
                break;
            }
            self.put(place, self.heap[least]);
            place = least;
        }
        self.put(place, node);
    }

    /// Writes a node and remembers where it stands.
    fn put(&mut self, place: usize, node: Node) {
        self.heap[place] = node;
        self.places[node.owner as usize] =
            u32::try_from(place).expect("fewer than 2^32 timers fit into memory");
    }
}

impl Node {
    /// Does it fire before `other`? Numbers of starts are compared as distances, so that they may wrap.
    #[inline]
    fn before(self, other: Node) -> bool {
        let started_earlier = self.sequence.wrapping_sub(other.sequence).cast_signed() < 0;
        self.deadline < other.deadline || (self.deadline == other.deadline && started_earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_in_order_of_deadlines_and_never_early() {
        let mut timers = Timers::default();
        for (deadline, owner) in [(30, 2), (10, 0), (20, 1)] {
            timers.start(Moment(deadline), owner);
        }
        assert_eq!(timers.next(), Some(Moment(10)));
        assert_eq!(timers.pop_due(Moment(9)), None);
        assert_eq!(timers.pop_due(Moment(20)), Some(0));
        assert_eq!(timers.pop_due(Moment(20)), Some(1));
        assert_eq!(timers.pop_due(Moment(20)), None);
        assert_eq!(timers.pop_due(Moment(30)), Some(2));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn fires_equal_deadlines_in_order_of_creation() {
        let mut timers = Timers {
            sequence: u32::MAX - 2,
            ..Timers::default()
        };
        for owner in [5, 3, 4, 0, 1] {
            timers.start(Moment(7), owner);
        }
        let fired: Vec<u32> = std::iter::from_fn(|| timers.pop_due(Moment(7))).collect();
        assert_eq!(fired, [5, 3, 4, 0, 1]);
    }

    #[test]
    fn a_stopped_timer_never_fires_and_a_restarted_one_only_once() {
        let mut timers = Timers::default();
        timers.start(Moment(1), 0);
        timers.start(Moment(2), 1);
        timers.stop(0);
        timers.stop(0);
        timers.stop(99);
        timers.start(Moment(3), 1);
        assert_eq!(timers.pop_due(Moment(2)), None);
        assert_eq!(timers.pop_due(Moment(9)), Some(1));
        assert_eq!(timers.pop_due(Moment(9)), None);
    }

    /// Thousands of random starts and stops beside a plain list.
    #[test]
    fn agrees_with_a_plain_list() {
        let mut timers = Timers::default();
        let mut model: Vec<(u64, u32, u32)> = Vec::new();
        let mut random = 12_345_u64;
        for start in 0..20_000_u32 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let choice = (random >> 33) % 100;
            let owner = u32::try_from((random >> 10) % 300).unwrap();
            if choice < 55 || model.is_empty() {
                let deadline = (random >> 20) % 500;
                timers.start(Moment(deadline), owner);
                model.retain(|timer| timer.2 != owner);
                model.push((deadline, start, owner));
            } else if choice < 80 {
                timers.stop(owner);
                model.retain(|timer| timer.2 != owner);
            } else {
                let earliest = model
                    .iter()
                    .enumerate()
                    .min_by_key(|(_, timer)| (timer.0, timer.1))
                    .unwrap()
                    .0;
                let (deadline, _, owner) = model.swap_remove(earliest);
                assert_eq!(timers.next(), Some(Moment(deadline)));
                assert_eq!(timers.pop_due(Moment(deadline)), Some(owner));
            }
        }
        assert_eq!(timers.heap.len(), model.len());
    }
}
