//! Tasks that wait for one thing, first come, first served.

use super::TaskId;
use std::collections::VecDeque;

/// A queue of tasks. It owns no memory before somebody waits.
#[derive(Default)]
pub(crate) struct WaitList(VecDeque<TaskId>);

impl WaitList {
    /// Puts a task at the end.
    pub(crate) fn push(&mut self, task: TaskId) {
        self.0.push_back(task);
    }

    /// Takes the task that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<TaskId> {
        self.0.pop_front()
    }

    /// Takes a task out, wherever it stands.
    pub(crate) fn remove(&mut self, task: TaskId) {
        if let Some(place) = self.0.iter().position(|waiting| *waiting == task) {
            self.0.remove(place);
        }
    }

    /// Those who wait, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = TaskId> {
        self.0.iter().copied()
    }

    /// Does nobody wait?
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for WaitList {
    type Item = TaskId;
    type IntoIter = std::collections::vec_deque::IntoIter<TaskId>;

    /// All, in order.
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_in_order_and_forgets_those_who_leave() {
        let [a, b, c] = [1, 2, 3].map(TaskId::from_bits);
        let mut list = WaitList::default();
        for id in [a, b, c] {
            list.push(id);
        }
        list.remove(b);
        list.remove(b);
        assert_eq!(list.pop(), Some(a));
        assert!(!list.is_empty());
        assert_eq!(list.into_iter().collect::<Vec<_>>(), [c]);
    }
}
