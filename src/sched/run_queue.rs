//! The ready tasks in the order in which they became ready, cut into rounds.

use super::TaskId;

/// First in, first out. A round is what stood in the queue when it began: each of these runs once in it.
#[derive(Default)]
pub(crate) struct RunQueue {
    /// Those of the round that runs.
    round: Vec<TaskId>,
    /// How many of them have had their turn.
    done: usize,
    /// Those who have become ready since it began.
    next: Vec<TaskId>,
}

impl RunQueue {
    /// Puts a task at the back.
    #[inline]
    pub(crate) fn push(&mut self, task: TaskId) {
        self.next.push(task);
    }

    /// The next task of the round, or `None` when the round is over.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<TaskId> {
        let task = *self.round.get(self.done)?;
        self.done += 1;
        Some(task)
    }

    /// Begins a round with all that are ready now, those left of the one before first; answers whether there are any.
    pub(crate) fn begin_round(&mut self) -> bool {
        let left = self.done < self.round.len();
        if left {
            self.round.drain(..self.done);
        } else {
            self.round.clear();
        }
        self.done = 0;
        if !left {
            std::mem::swap(&mut self.round, &mut self.next);
        } else {
            self.round.append(&mut self.next);
        }
        !self.round.is_empty()
    }

    /// Is nobody ready?
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_empty() && self.done == self.round.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids that differ.
    fn ids<const N: usize>() -> [TaskId; N] {
        std::array::from_fn(|index| TaskId::from_bits(index as u64 + 1))
    }

    #[test]
    fn runs_in_order_of_arrival() {
        let [a, b, c] = ids();
        let mut queue = RunQueue::default();
        for id in [a, b, c] {
            queue.push(id);
        }
        assert!(queue.begin_round());
        assert_eq!(
            [queue.pop(), queue.pop(), queue.pop(), queue.pop()],
            [Some(a), Some(b), Some(c), None]
        );
    }

    #[test]
    fn a_round_ends_with_those_that_stood_there_when_it_began() {
        let [a, b] = ids();
        let mut queue = RunQueue::default();
        queue.push(a);
        queue.begin_round();
        assert_eq!(queue.pop(), Some(a));
        queue.push(a);
        queue.push(b);
        assert_eq!(queue.pop(), None);
        assert!(queue.begin_round());
        assert_eq!([queue.pop(), queue.pop()], [Some(a), Some(b)]);
        assert!(!queue.begin_round());
    }

    #[test]
    fn a_round_within_a_round_begins_with_those_left_of_the_outer_one() {
        let [a, b, c] = ids();
        let mut queue = RunQueue::default();
        queue.push(a);
        queue.push(b);
        queue.begin_round();
        assert_eq!(queue.pop(), Some(a));
        queue.push(c);
        assert!(queue.begin_round());
        assert_eq!(
            [queue.pop(), queue.pop(), queue.pop()],
            [Some(b), Some(c), None]
        );
        assert!(queue.is_empty());
    }
}
