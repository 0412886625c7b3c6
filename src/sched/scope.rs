//! What may end the waits of a task before their time: its cancel, its deadlines, and the shields against both.

use super::Moment;

/// The scopes that a task is in, and whether it has been cancelled. Level-triggered: the verdict stands until the
/// task ends, or leaves the scope that it is about.
#[derive(Default)]
pub(crate) struct Scopes {
    /// From the outermost to the innermost.
    stack: Vec<Scope>,
    /// Has the task been cancelled?
    cancelled: bool,
    /// Did the cancel come while a shield was up?
    held_off: bool,
}

/// One scope.
#[derive(Clone, Copy)]
struct Scope {
    /// Its name; larger than those of the scopes around it.
    serial: u64,
    /// Until when waits in it may last; `None` is a shield against all that is outside of it.
    deadline: Option<Moment>,
}

/// Why a wait must raise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// The task has been cancelled.
    Cancelled,
    /// The deadline of this scope has passed.
    Expired(u64),
}

impl Scopes {
    /// Cancels the task; answers whether that is news.
    pub(crate) fn cancel(&mut self) -> bool {
        let news = !self.cancelled;
        self.cancelled = true;
        self.held_off |= news && self.is_shielded();
        news
    }

    /// Has the task been cancelled?
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// Enters a scope with a deadline.
    pub(crate) fn enter_deadline(&mut self, serial: u64, deadline: Moment) {
        self.stack.push(Scope {
            serial,
            deadline: Some(deadline),
        });
    }

    /// Enters a shield.
    pub(crate) fn enter_shield(&mut self, serial: u64) {
        self.stack.push(Scope {
            serial,
            deadline: None,
        });
    }

    /// Leaves a scope, and those in it that were left by an error; answers whether a cancel that a shield has held
    /// off is due now.
    pub(crate) fn leave(&mut self, serial: u64) -> bool {
        self.stack.retain(|scope| scope.serial < serial);
        !self.is_shielded() && std::mem::take(&mut self.held_off)
    }

    /// Ends the time of a scope at once; answers whether the task is in it.
    pub(crate) fn expire(&mut self, serial: u64) -> bool {
        let scope = self
            .stack
            .iter_mut()
            .find(|scope| scope.serial == serial && scope.deadline.is_some());
        scope
            .map(|scope| scope.deadline = Some(Moment(0)))
            .is_some()
    }

    /// Does no scope and no cancel hold?
    pub(crate) fn is_idle(&self) -> bool {
        self.stack.is_empty() && !self.cancelled
    }

    /// The earliest deadline that counts.
    pub(crate) fn nearest(&self) -> Option<Moment> {
        self.exposed()
            .iter()
            .filter_map(|scope| scope.deadline)
            .min()
    }

    /// Must a wait raise? The cancel comes first; of the deadlines that have passed, the outermost.
    pub(crate) fn verdict(&self, now: Moment) -> Option<Verdict> {
        if self.cancelled && !self.is_shielded() {
            return Some(Verdict::Cancelled);
        }
        let expired = self
            .exposed()
            .iter()
            .find(|scope| scope.deadline.is_some_and(|deadline| deadline <= now));
        expired.map(|scope| Verdict::Expired(scope.serial))
    }

    /// Is a shield up?
    fn is_shielded(&self) -> bool {
        self.stack.iter().any(|scope| scope.deadline.is_none())
    }

    /// The scopes within the innermost shield.
    fn exposed(&self) -> &[Scope] {
        let shield = self
            .stack
            .iter()
            .rposition(|scope| scope.deadline.is_none());
        &self.stack[shield.map_or(0, |place| place + 1)..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_stands_until_the_end() {
        let mut scopes = Scopes::default();
        assert!(scopes.is_idle() && scopes.verdict(Moment(9)).is_none());
        assert!(scopes.cancel() && !scopes.cancel());
        assert_eq!(scopes.verdict(Moment(0)), Some(Verdict::Cancelled));
        assert_eq!(scopes.verdict(Moment(9)), Some(Verdict::Cancelled));
    }

    #[test]
    fn a_shield_holds_off_what_is_outside_and_hands_it_over_at_its_end() {
        let mut scopes = Scopes::default();
        scopes.enter_deadline(1, Moment(5));
        scopes.enter_shield(2);
        scopes.cancel();
        assert_eq!(scopes.verdict(Moment(9)), None);
        assert_eq!(scopes.nearest(), None);
        scopes.enter_deadline(3, Moment(7));
        assert_eq!(scopes.verdict(Moment(9)), Some(Verdict::Expired(3)));
        assert!(!scopes.leave(3));
        assert!(scopes.leave(2));
        assert!(!scopes.leave(1));
        assert_eq!(scopes.verdict(Moment(9)), Some(Verdict::Cancelled));
    }

    #[test]
    fn a_cancel_from_before_the_shield_is_not_handed_over_by_it() {
        let mut scopes = Scopes::default();
        scopes.cancel();
        scopes.enter_shield(1);
        assert_eq!(scopes.verdict(Moment(0)), None);
        assert!(!scopes.leave(1));
        assert_eq!(scopes.verdict(Moment(0)), Some(Verdict::Cancelled));
    }

    #[test]
    fn the_nearest_deadline_wins_and_the_outermost_of_those_passed() {
        let mut scopes = Scopes::default();
        scopes.enter_deadline(1, Moment(5));
        scopes.enter_deadline(2, Moment(7));
        assert_eq!(scopes.nearest(), Some(Moment(5)));
        assert_eq!(scopes.verdict(Moment(4)), None);
        assert_eq!(scopes.verdict(Moment(8)), Some(Verdict::Expired(1)));
        scopes.leave(1);
        assert!(scopes.is_idle());
    }

    #[test]
    fn a_scope_can_be_ended_from_outside() {
        let mut scopes = Scopes::default();
        scopes.enter_deadline(1, Moment(u64::MAX));
        assert!(scopes.expire(1) && !scopes.expire(2));
        assert_eq!(scopes.verdict(Moment(1)), Some(Verdict::Expired(1)));
    }
}
