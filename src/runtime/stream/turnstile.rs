//! One task at a time in one direction of a stream; the others queue.

use crate::sched::{TaskId, WaitList};

/// Who is inside, and who is next. Leaving hands over to the next one, so that nobody slips in between.
#[derive(Default)]
pub(super) struct Turnstile {
    /// The task that may go on.
    inside: Option<TaskId>,
    /// Those who wait for it to leave.
    queue: WaitList,
}

impl Turnstile {
    /// Who is inside.
    pub(super) fn inside(&self) -> Option<TaskId> {
        self.inside
    }

    /// Lets the task in, or into the queue; answers whether it is in.
    pub(super) fn enter(&mut self, task: TaskId) -> bool {
        match self.inside {
            None => self.inside = Some(task),
            Some(inside) if inside == task => {}
            Some(_) => {
                self.queue.remove(task);
                self.queue.push(task);
            }
        }
        self.inside == Some(task)
    }

    /// The task goes, from inside or from the queue; answers who is inside now and must be woken.
    pub(super) fn leave(&mut self, task: TaskId) -> Option<TaskId> {
        if self.inside != Some(task) {
            self.queue.remove(task);
            return None;
        }
        self.inside = self.queue.pop();
        self.inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_over_in_order_and_to_nobody_who_has_left() {
        let [a, b, c] = [1, 2, 3].map(TaskId::from_bits);
        let mut turnstile = Turnstile::default();
        assert!(
            turnstile.enter(a) && !turnstile.enter(b) && !turnstile.enter(c) && turnstile.enter(a)
        );
        assert_eq!(turnstile.leave(b), None);
        assert_eq!(turnstile.leave(a), Some(c));
        assert!(!turnstile.enter(a));
        assert_eq!(turnstile.leave(c), Some(a));
        assert_eq!(turnstile.leave(a), None);
    }
}
