//! The ready tasks in the order in which they became ready, cut into rounds.

use super::TaskId;
use std::collections::VecDeque;

/// First in, first out. A round is what stood in the queue when it began: each of these runs once in it.
#[derive(Default)]
pub(crate) struct RunQueue {
    /// The ready tasks, the next one first.
    ready: VecDeque<TaskId>,
    /// How many of them belong to the round that runs.
    round: usize,
}

impl RunQueue {
    /// Puts a task at the back.
    #[inline]
    pub(crate) fn push(&mut self, task: TaskId) {
        self.ready.push_back(task);
    }

    /// The next task of the round, or `None` when the round is over.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<TaskId> {
        if self.round == 0 {
            return None;
        }
        self.round -= 1;
        self.ready.pop_front()
    }

    /// Begins a round with all that are ready now; answers whether there are any.
    pub(crate) fn begin_round(&mut self) -> bool {
        self.round = self.ready.len();
        self.round > 0
    }

    /// Is nobody ready?
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids that differ.
    fn ids<const N: usize>() -> [TaskId; N] {
        std::array::from_fn(|index| TaskId::from_bits(index as u64))
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
}
