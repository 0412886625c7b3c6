//! Deadlines in firing order. Knows no clock: callers pass the moment that it is.

use std::cmp::Ordering;
use std::collections::VecDeque;

/// A point on the monotonic clock, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Moment(pub(crate) u64);

/// The running timers of things that are numbered, at most one each.
///
/// Those started since somebody last looked lie as they came. At the next look a few of them go into a heap, but many
/// are sorted, together with all others: it takes a tenth of the time to sort a million timers and read them off, against
/// taking them from a heap one by one. One that fires no earlier than all before it, as those do that all last as long,
/// stands in a line instead, where it costs nothing to be first. A timer that is stopped leaves its node behind, which
/// counts no longer; the dead ones are cleared away before they outnumber the others.
#[derive(Default)]
pub(crate) struct Timers {
    /// Those started since the last look.
    fresh: Vec<Node>,
    /// A heap with four children a node: the earliest is first. It is alive, or the heap is empty.
    heap: Vec<Node>,
    /// The earliest is last. It is alive, or there is none.
    sorted: Vec<Node>,
    /// The earliest is first. It is alive, or there is none.
    line: VecDeque<Node>,
    /// By owner: the number of the start of its running timer.
    starts: Vec<u32>,
    /// How many run.
    running: usize,
    /// How many nodes are dead.
    dead: usize,
    /// The number of the last start; of equal deadlines the one that was started first comes first.
    sequence: u32,
}

/// A started timer: sixteen bytes, so that four children share a cache line.
#[derive(Clone, Copy)]
struct Node {
    /// When it fires.
    deadline: Moment,
    /// The number of its start.
    sequence: u32,
    /// Whose it is.
    owner: u32,
}

/// The start of a timer that does not run.
const NEVER: u32 = 0;

/// So many timers that were started between two looks are put into order at once, where they are not few beside all
/// others.
const MANY: usize = 256;

/// So many dead nodes are not worth clearing away.
const FEW_DEAD: usize = 256;

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
        if self.starts.len() <= owner as usize {
            self.starts.resize(owner as usize + 1, NEVER);
        }
        self.sequence = self.sequence.wrapping_add(1);
        if self.sequence == NEVER {
            // No node that is dead may look alive to the numbers that begin again.
            self.clear();
            self.sequence = NEVER + 1;
        }
        self.starts[owner as usize] = self.sequence;
        self.running += 1;
        self.fresh.push(Node {
            deadline,
            sequence: self.sequence,
            owner,
        });
    }

    /// Stops the timer of `owner`, if it runs.
    #[inline(always)]
    pub(crate) fn stop(&mut self, owner: u32) {
        if let Some(start) = self.starts.get_mut(owner as usize)
            && *start != NEVER
        {
            let sequence = std::mem::replace(start, NEVER);
            self.stop_one(sequence);
        }
    }

    /// Forgets the deadline that was started so.
    fn stop_one(&mut self, sequence: u32) {
        self.running -= 1;
        // Many a deadline is stopped as soon as it was started.
        if self
            .fresh
            .last()
            .is_some_and(|last| last.sequence == sequence)
        {
            self.fresh.pop();
            return;
        }
        self.dead += 1;
        if self.dead > self.running + FEW_DEAD {
            self.clear();
        }
    }

    /// How many run.
    pub(crate) fn len(&self) -> usize {
        self.running
    }

    /// The earliest deadline.
    pub(crate) fn next(&mut self) -> Option<Moment> {
        self.settle();
        self.first().map(|node| node.deadline)
    }

    /// The owner of the earliest timer, when it is due; that timer is over.
    pub(crate) fn pop_due(&mut self, now: Moment) -> Option<u32> {
        self.settle();
        let first = self.first().filter(|node| node.deadline <= now)?;
        let is_first = |node: &Node| node.sequence == first.sequence;
        if self.sorted.last().is_some_and(is_first) {
            self.sorted.pop();
        } else if self.line.front().is_some_and(is_first) {
            self.line.pop_front();
        } else {
            self.pop_heap();
        }
        self.starts[first.owner as usize] = NEVER;
        self.running -= 1;
        Some(first.owner)
    }

    /// The earliest timer, when all is in order.
    fn first(&self) -> Option<Node> {
        let firsts = [self.heap.first(), self.sorted.last(), self.line.front()];
        let nodes = firsts.into_iter().flatten().copied();
        nodes.reduce(|one, other| if other.before(one) { other } else { one })
    }

    /// Puts all in order.
    fn settle(&mut self) {
        if !self.fresh.is_empty() {
            let others = self.heap.len() + self.sorted.len() + self.line.len();
            if self.fresh.len() >= MANY && self.fresh.len() >= others / 2 {
                self.sort();
            } else {
                let mut fresh = std::mem::take(&mut self.fresh);
                for node in fresh.drain(..) {
                    self.insert(node);
                }
                self.fresh = fresh;
            }
        }
        while self
            .heap
            .first()
            .is_some_and(|node| !node.is_alive(&self.starts))
        {
            self.pop_heap();
            self.dead -= 1;
        }
        while self
            .sorted
            .last()
            .is_some_and(|node| !node.is_alive(&self.starts))
        {
            self.sorted.pop();
            self.dead -= 1;
        }
        while self
            .line
            .front()
            .is_some_and(|node| !node.is_alive(&self.starts))
        {
            self.line.pop_front();
            self.dead -= 1;
        }
    }

    /// Makes one sorted list of all.
    fn sort(&mut self) {
        if self.sorted.is_empty() {
            std::mem::swap(&mut self.sorted, &mut self.fresh);
        }
        self.sorted.append(&mut self.fresh);
        self.sorted.append(&mut self.heap);
        self.sorted.extend(self.line.drain(..));
        let starts = &self.starts;
        self.sorted.retain(|node| node.is_alive(starts));
        self.sorted.sort_unstable_by(|one, other| other.order(*one));
        self.dead = 0;
    }

    /// Clears the dead away.
    fn clear(&mut self) {
        let starts = &self.starts;
        self.fresh.retain(|node| node.is_alive(starts));
        self.sorted.retain(|node| node.is_alive(starts));
        self.line.retain(|node| node.is_alive(starts));
        let heap = std::mem::take(&mut self.heap);
        self.fresh
            .extend(heap.into_iter().filter(|node| node.is_alive(starts)));
        self.dead = 0;
    }

    /// Puts a node into the line or the heap, unless it is dead.
    fn insert(&mut self, node: Node) {
        if !node.is_alive(&self.starts) {
            self.dead -= 1;
            return;
        }
        if self.line.back().is_none_or(|last| !node.before(*last)) {
            self.line.push_back(node);
            return;
        }
        let mut place = self.heap.len();
        self.heap.push(node);
        while place > 0 {
            let parent = (place - 1) / 4;
            if !node.before(self.heap[parent]) {
                break;
            }
            self.heap[place] = self.heap[parent];
            place = parent;
        }
        self.heap[place] = node;
    }

    /// Takes the first node out of the heap, which is not empty.
    fn pop_heap(&mut self) {
        let node = self.heap.pop().expect("only a heap with nodes is asked");
        let len = self.heap.len();
        if len == 0 {
            return;
        }
        let mut place = 0;
        loop {
            let first = place * 4 + 1;
            let last = (first + 4).min(len);
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
            self.heap[place] = self.heap[least];
            place = least;
        }
        self.heap[place] = node;
    }
}

impl Node {
    /// Is it that of its owner's running timer?
    #[inline]
    fn is_alive(self, starts: &[u32]) -> bool {
        starts[self.owner as usize] == self.sequence
    }

    /// Which of two fires first. Numbers of starts are compared as distances, so that they may wrap.
    #[inline]
    fn order(self, other: Node) -> Ordering {
        let distance = self.sequence.wrapping_sub(other.sequence).cast_signed();
        self.deadline.cmp(&other.deadline).then(distance.cmp(&0))
    }

    /// Does it fire before `other`?
    #[inline]
    fn before(self, other: Node) -> bool {
        self.order(other) == Ordering::Less
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

    /// Thousands of random starts and stops beside a plain list, with few or many between two looks, and numbers of
    /// starts that wrap.
    #[test]
    fn agrees_with_a_plain_list() {
        for (owners, looks) in [(300, 20), (3000, 1), (3000, 20)] {
            compare_with_a_plain_list(owners, looks);
        }
    }

    /// So many owners, and a look at so many of a hundred steps.
    fn compare_with_a_plain_list(owners: u64, looks: u64) {
        let mut timers = Timers {
            sequence: u32::MAX - 10_000,
            ..Timers::default()
        };
        let mut model: Vec<(u64, u32, u32)> = Vec::new();
        let mut random = 12_345_u64;
        for start in 0..20_000_u32 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let choice = (random >> 33) % 100;
            let owner = u32::try_from((random >> 10) % owners).unwrap();
            if choice < 75 - looks || model.is_empty() {
                // Some fire no earlier than all before them.
                let lasts = random.is_multiple_of(3);
                let deadline = if lasts {
                    500 + u64::from(start)
                } else {
                    (random >> 20) % 500
                };
                timers.start(Moment(deadline), owner);
                model.retain(|timer| timer.2 != owner);
                model.push((deadline, start, owner));
            } else if choice < 100 - looks {
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
        assert_eq!(timers.len(), model.len());
        assert!(timers.dead <= timers.running + FEW_DEAD);
    }
}
