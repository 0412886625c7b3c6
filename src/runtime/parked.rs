//! What parked tasks wait for, each under a small ticket: those that sleep or wait for events need no memory here.

use super::Operation;
use super::events::Wait;
use super::stream::Receive;
use super::sync::{Choice, Place, Waitable, Wish};
use std::rc::Rc;

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
    /// The waits at one object, which come and go most often.
    places: Vec<Option<Place>>,
    /// Which of these are free.
    free_places: Vec<u32>,
}

impl Ticket {
    /// Stands for no operation.
    const NONE: Ticket = Ticket(u32::MAX);
    /// Stands for a sleep.
    pub(super) const SLEEP: Ticket = Ticket(u32::MAX - 1);
    /// From here on up to `EVENTS`, stands for a wait at one object.
    const PLACES: u32 = 0x8000_0000;
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

    /// Where the wait at one object is, when it stands for one.
    #[inline(always)]
    fn place(self) -> Option<usize> {
        let is = (Ticket::PLACES..Ticket::EVENTS).contains(&self.0);
        is.then_some((self.0 & !Ticket::PLACES) as usize)
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
        if let Operation::Place(place) = operation {
            return self.put_place(place);
        }
        self.keep(operation)
    }

    /// The same, for one that is none of those that are kept elsewhere.
    #[inline]
    pub(super) fn keep(&mut self, operation: Operation) -> Ticket {
        let (ticket, free) = self.free_operation();
        *free = Some(operation);
        ticket
    }

    /// Gives a wait at several objects back, where the ticket stands for one.
    pub(super) fn take_choice(&mut self, ticket: Ticket) -> Option<Box<Choice>> {
        let is_choice = |operation: &Operation| matches!(operation, Operation::Choice(_));
        match self.take_if(ticket, is_choice)? {
            Operation::Choice(choice) => Some(choice),
            _ => None,
        }
    }

    /// Gives an operation back if it is one of these, and moves no other.
    #[inline(always)]
    fn take_if(
        &mut self,
        ticket: Ticket,
        is_one: impl FnOnce(&Operation) -> bool,
    ) -> Option<Operation> {
        let place = self.operations.get_mut(ticket.0 as usize)?;
        if !place.as_ref().is_some_and(is_one) {
            return None;
        }
        self.free.push(ticket.0);
        place.take()
    }

    /// Takes what an operation is kept in, and its ticket.
    #[inline(always)]
    fn free_operation(&mut self) -> (Ticket, &mut Option<Operation>) {
        let at = self.free.pop().unwrap_or_else(|| self.add_operation());
        (Ticket(at), &mut self.operations[at as usize])
    }

    /// Makes room for one operation more.
    #[cold]
    fn add_operation(&mut self) -> u32 {
        self.operations.push(None);
        u32::try_from(self.operations.len() - 1)
            .expect("fewer than 2^32 operations fit into memory")
    }

    /// Keeps a wait at one object.
    fn put_place(&mut self, place: Place) -> Ticket {
        let (ticket, free) = self.free_place();
        *free = Some(place);
        ticket
    }

    /// Keeps a wait at an object in whose line it stands: it is put together where it is to lie.
    #[inline(always)]
    pub(super) fn put_entered(&mut self, object: Rc<Waitable>, wish: Wish) -> Ticket {
        let (ticket, free) = self.free_place();
        *free = Some(Place::entered(object, wish));
        ticket
    }

    /// Takes what a wait at one object is kept in, and its ticket.
    #[inline(always)]
    fn free_place(&mut self) -> (Ticket, &mut Option<Place>) {
        let at = self.free_places.pop().unwrap_or_else(|| self.add_place());
        (Ticket(Ticket::PLACES | at), &mut self.places[at as usize])
    }

    /// Makes room for one wait more.
    #[cold]
    fn add_place(&mut self) -> u32 {
        self.places.push(None);
        let at = u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX);
        assert!(
            at < Ticket::EVENTS - Ticket::PLACES,
            "fewer waits fit into memory"
        );
        at
    }

    /// The place of the list, where it stands for a wait in one.
    pub(super) fn list(ticket: Ticket) -> Option<u32> {
        ticket.event()
    }

    /// Gives all operations back.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Operation> + use<> {
        self.free.clear();
        self.free_places.clear();
        let places = std::mem::take(&mut self.places).into_iter().flatten();
        let operations = std::mem::take(&mut self.operations).into_iter().flatten();
        operations.chain(places.map(Operation::Place))
    }

    /// The operation, which stays; none for those that need no memory, and for the waits at one object.
    #[inline(always)]
    pub(super) fn get(&mut self, ticket: Ticket) -> Option<&mut Operation> {
        self.operations.get_mut(ticket.0 as usize)?.as_mut()
    }

    /// Does it stand for a wait at objects of this universe, or for a sleep?
    pub(super) fn is_in_line(&self, ticket: Ticket) -> bool {
        if ticket == Ticket::SLEEP {
            return true;
        }
        let operation = self.operations.get(ticket.0 as usize);
        ticket.place().is_some() || matches!(operation, Some(Some(Operation::Choice(_))))
    }

    /// The wait at one object that the ticket stands for.
    #[inline(always)]
    pub(super) fn place(&mut self, ticket: Ticket) -> Option<&mut Place> {
        self.places.get_mut(ticket.place()?)?.as_mut()
    }

    /// Drops a wait at one object.
    #[inline(always)]
    pub(super) fn drop_place(&mut self, ticket: Ticket) {
        let at = ticket.0 & !Ticket::PLACES;
        self.places[at as usize] = None;
        self.free_places.push(at);
    }

    /// Gives a wait at one object back.
    fn take_place(&mut self, ticket: Ticket) -> Option<Place> {
        let place = self.places.get_mut(ticket.place()?)?.take()?;
        self.free_places.push(ticket.0 & !Ticket::PLACES);
        Some(place)
    }

    /// Gives back what a task waits for that reads by the short way.
    #[inline]
    pub(super) fn take_reader(&mut self, ticket: Ticket) -> Option<Receive> {
        let is_short = |operation: &Operation| matches!(operation, Operation::Receive(receive) if receive.takes_bytes());
        match self.take_if(ticket, is_short)? {
            Operation::Receive(receive) => Some(receive),
            _ => None,
        }
    }

    /// Gives an operation back.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Operation> {
        if ticket == Ticket::SLEEP {
            return Some(Operation::Sleep);
        }
        if let Some(place) = ticket.event() {
            return Some(Operation::Event(Wait::listed(place)));
        }
        if let Some(place) = self.take_place(ticket) {
            return Some(Operation::Place(place));
        }
        let operation = self.operations.get_mut(ticket.0 as usize)?.take()?;
        self.free.push(ticket.0);
        Some(operation)
    }
}
