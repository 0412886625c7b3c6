//! What parked tasks wait for, each under a small ticket: sleepers, the many, need no memory here.

use super::Operation;

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
        if let Some(place) = self.free.pop() {
            self.operations[place as usize] = Some(operation);
            return Ticket(place);
        }
        self.operations.push(Some(operation));
        Ticket(
            u32::try_from(self.operations.len() - 1)
                .expect("fewer than 2^32 operations fit into memory"),
        )
    }

    /// Gives all operations back.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Operation> + use<> {
        self.free.clear();
        std::mem::take(&mut self.operations).into_iter().flatten()
    }

    /// The operation, which stays.
    pub(super) fn get(&mut self, ticket: Ticket) -> Option<&mut Operation> {
        self.operations.get_mut(ticket.0 as usize)?.as_mut()
    }

    /// Gives an operation back.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Operation> {
        if ticket == Ticket::SLEEP {
            return Some(Operation::Sleep);
        }
        let operation = self.operations.get_mut(ticket.0 as usize)?.take()?;
        self.free.push(ticket.0);
        Some(operation)
    }
}
