//! What parked tasks wait for, each under a small ticket: those that sleep or wait for events need no memory here.

use super::Operation;
use super::events::Wait;

/// Stands for an operation in the record of its task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ticket(u32);

/// The operations that are more than a sleep. Their places are used again, so that parking takes no memory.
#[derive(Default)]
pub(super) struct Parked {
    /// By ticket.
    operations: Vec<Option<Operation>>,
    /// Tickets to be used again.
    free: Vec<u32>,
}

impl Ticket {
    /// Stands for no operation.
    const NONE: Ticket = Ticket(u32::MAX);
    /// Stands for a sleep.
    const SLEEP: Ticket = Ticket(u32::MAX - 1);
    /// From here on up to `SLEEP`, stands for a wait in the list at a place.
    const EVENTS: u32 = 0xfe00_0000;

    /// Stands for a wait in the list at `place`.
    #[inline(always)]
    pub(super) fn of_event(place: u32) -> Ticket {
        Ticket(Ticket::EVENTS | place)
    }

    /// The place of the list, when it stands for a wait in one.
    fn event(self) -> Option<u32> {
        (self.0 >= Ticket::EVENTS && self.0 < Ticket::SLEEP.0).then_some(self.0 & !Ticket::EVENTS)
    }

    /// Does it stand for an operation?
    #[inline(always)]
    pub(super) fn is_some(self) -> bool {
        self != Ticket::NONE
    }
}

impl Default for Ticket {
    fn default() -> Ticket {
        Ticket::NONE
    }
}

impl Parked {
    /// Keeps an operation.
    pub(super) fn put(&mut self, operation: Operation) -> Ticket {
        if matches!(operation, Operation::Sleep) {
            return Ticket::SLEEP;
        }
        if let Operation::Event(wait) = operation {
            return Ticket::of_event(wait.place());
        }
        self.keep(operation)
    }

    /// Keeps an operation that needs memory.
    #[inline(always)]
    pub(super) fn keep(&mut self, operation: Operation) -> Ticket {
        if let Some(place) = self.free.pop() {
            self.operations[place as usize] = Some(operation);
            return Ticket(place);
        }
        self.add(operation)
    }

    /// Makes one place more.
    #[cold]
    fn add(&mut self, operation: Operation) -> Ticket {
        self.operations.push(Some(operation));
        Ticket(
            u32::try_from(self.operations.len() - 1)
                .expect("fewer than 2^32 operations fit into memory"),
        )
    }

    /// Does it stand for a wait in a list?
    pub(super) fn is_event(ticket: Ticket) -> bool {
        ticket.event().is_some()
    }

    /// Gives all operations back.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Operation> + use<> {
        self.free.clear();
        std::mem::take(&mut self.operations).into_iter().flatten()
    }

    /// The operation, which stays; none for those that need no memory.
    #[inline(always)]
    pub(super) fn get(&mut self, ticket: Ticket) -> Option<&mut Operation> {
        self.operations.get_mut(ticket.0 as usize)?.as_mut()
    }

    /// Does it stand for a wait at objects of this universe?
    pub(super) fn is_in_line(&self, ticket: Ticket) -> bool {
        let operation = self.operations.get(ticket.0 as usize);
        matches!(
            operation,
            Some(Some(Operation::Place(_) | Operation::Choice(_)))
        )
    }

    /// Drops an operation that needed memory.
    #[inline(always)]
    pub(super) fn drop_kept(&mut self, ticket: Ticket) {
        self.operations[ticket.0 as usize] = None;
        self.free.push(ticket.0);
    }

    /// Gives an operation back.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Operation> {
        if ticket == Ticket::SLEEP {
            return Some(Operation::Sleep);
        }
        if let Some(place) = ticket.event() {
            return Some(Operation::Event(Wait::listed(place)));
        }
        let operation = self.operations.get_mut(ticket.0 as usize)?.take()?;
        self.free.push(ticket.0);
        Some(operation)
    }
}
