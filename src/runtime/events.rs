//! Events: tasks that wait for a signal, one list an event.

use super::operation::Poll;
use super::parked::Ticket;
use super::{Phase, Runtime, TaskId};
use crate::vm::State;

/// A list, for as long as somebody waits in it: its place, and which use of that place it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ListId(i64);

/// One wait in a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wait {
    /// The place of the list.
    place: u32,
    /// Has it been put into the list?
    listed: bool,
}

/// The tasks that wait for one event.
#[derive(Default)]
struct List {
    /// Which use of this place it is.
    generation: u32,
    /// Is it in use?
    live: bool,
    /// How many signals are at it.
    signals: u32,
    /// Is it noted as one in which tasks wait that the registry may hold?
    noted: bool,
    /// Who waits, in the order of their coming.
    waiting: Vec<TaskId>,
    /// Who waits no more, though a signal has taken them out and not reached them yet.
    gone: Vec<TaskId>,
}

/// All lists.
#[derive(Default)]
pub(super) struct Events {
    /// By place.
    lists: Vec<List>,
    /// Places to be used again.
    free: Vec<u32>,
    /// The lists in which tasks have begun to wait since those were last let go of by the registry.
    noted: Vec<u32>,
    /// The memory of a list whose signal is over.
    spare: Vec<TaskId>,
}

impl ListId {
    /// Bits for the place; so many are left for the use that a float holds the whole.
    const PLACE_BITS: u32 = 24;

    /// The list that Lua knows under this number.
    pub(crate) fn from_number(number: i64) -> ListId {
        ListId(number)
    }

    /// The number that Lua knows it by.
    pub(crate) fn number(self) -> i64 {
        self.0
    }

    /// The list at a place, in a use of it.
    fn new(place: u32, generation: u32) -> ListId {
        ListId(i64::from(generation) << ListId::PLACE_BITS | i64::from(place))
    }

    /// Its place.
    pub(super) fn place(self) -> u32 {
        u32::try_from(self.0 & ((1 << ListId::PLACE_BITS) - 1)).unwrap_or(u32::MAX)
    }

    /// The use of that place.
    fn generation(self) -> i64 {
        self.0 >> ListId::PLACE_BITS
    }
}

impl Events {
    /// A new list, where nobody waits yet.
    fn create(&mut self) -> ListId {
        let place = self.free.pop().unwrap_or_else(|| {
            self.lists.push(List {
                generation: 1,
                ..List::default()
            });
            u32::try_from(self.lists.len() - 1).expect("fewer than 2^24 lists fit into memory")
        });
        let list = &mut self.lists[place as usize];
        list.live = true;
        ListId::new(place, list.generation)
    }

    /// The list of that name, if it is still in use.
    #[inline]
    fn get(&mut self, id: ListId) -> Option<&mut List> {
        let list = self.lists.get_mut(id.place() as usize)?;
        (list.live && i64::from(list.generation) == id.generation()).then_some(list)
    }

    /// Puts a task at the end of the list at a place.
    #[inline]
    fn enlist(&mut self, place: u32, task: TaskId) {
        let list = &mut self.lists[place as usize];
        list.waiting.push(task);
        if !list.noted {
            list.noted = true;
            self.noted.push(place);
        }
    }

    /// Takes a task out of the list at a place.
    fn strike(&mut self, place: u32, task: TaskId) {
        let list = &mut self.lists[place as usize];
        let before = list.waiting.len();
        list.waiting.retain(|waiting| *waiting != task);
        if list.waiting.len() == before && list.signals > 0 {
            list.gone.push(task);
        }
        self.release_place(place);
    }

    /// Has a task that a signal at the list has taken out stopped waiting since? Asked once for each.
    #[inline]
    pub(super) fn has_gone(&mut self, place: u32, task: TaskId) -> bool {
        let gone = &mut self.lists[place as usize].gone;
        let found = gone.iter().position(|gone| *gone == task);
        found.map(|found| gone.swap_remove(found)).is_some()
    }

    /// Have any begun to wait since then?
    pub(super) fn has_news(&self) -> bool {
        !self.noted.is_empty()
    }

    /// The tasks that have begun to wait since this was last asked, and may still.
    pub(super) fn newly_waiting(&mut self) -> Vec<TaskId> {
        let mut tasks = Vec::new();
        for place in std::mem::take(&mut self.noted) {
            let list = &mut self.lists[place as usize];
            list.noted = false;
            tasks.extend(&list.waiting);
        }
        tasks
    }

    /// Gives the list back if nobody waits in it or is about to; answers whether it is no longer there.
    fn release(&mut self, id: ListId) -> bool {
        self.get(id).is_none() || self.release_place(id.place())
    }

    /// The same of the list at a place.
    fn release_place(&mut self, place: u32) -> bool {
        /// Uses of one place that can be told apart. They are counted from 1, so that no list has the number 0.
        const GENERATIONS: u32 = (1 << 28) - 1;
        let list = &mut self.lists[place as usize];
        if !list.waiting.is_empty() || list.signals > 0 {
            return false;
        }
        list.live = false;
        list.generation = list.generation % GENERATIONS + 1;
        list.gone.clear();
        self.free.push(place);
        true
    }

    /// Takes out all who wait, for a signal.
    pub(super) fn begin_signal(&mut self, id: ListId) -> Vec<TaskId> {
        let spare = std::mem::take(&mut self.spare);
        match self.get(id) {
            Some(list) => {
                list.signals += 1;
                std::mem::replace(&mut list.waiting, spare)
            }
            None => spare,
        }
    }

    /// The signal has reached all but those `left`, which go on waiting.
    pub(super) fn put_back(&mut self, id: ListId, mut taken: Vec<TaskId>, left: usize) {
        if left > 0
            && let Some(list) = self.get(id)
        {
            taken.drain(..taken.len() - left);
            taken.retain(|task| !list.gone.contains(task));
            taken.append(&mut list.waiting);
            std::mem::swap(&mut taken, &mut list.waiting);
        }
        taken.clear();
        self.spare = taken;
    }

    /// The signal is over. Answers whether anybody waits.
    pub(super) fn end_signal(&mut self, id: ListId) -> bool {
        if let Some(list) = self.get(id) {
            list.signals -= 1;
            if list.signals == 0 {
                list.gone.clear();
            }
        }
        !self.release(id)
    }
}

impl Wait {
    /// A wait in a list that is in use.
    pub(crate) fn new(list: ListId) -> Wait {
        Wait {
            place: list.place(),
            listed: false,
        }
    }

    /// A wait that has begun, in the list at a place.
    pub(super) fn listed(place: u32) -> Wait {
        Wait {
            place,
            listed: true,
        }
    }

    /// The place of its list.
    pub(super) fn place(self) -> u32 {
        self.place
    }

    /// Waits until a signal ends the wait from outside.
    pub(super) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        if !self.listed {
            self.listed = true;
            runtime.core.borrow_mut().events.enlist(self.place, task);
        }
        Poll::Pending
    }

    /// Leaves the list.
    pub(super) fn withdraw(&mut self, runtime: &Runtime, task: TaskId) {
        runtime.core.borrow_mut().events.strike(self.place, task);
    }
}

impl Runtime {
    /// A new list for an event.
    pub(crate) fn create_list(&self) -> ListId {
        self.core.borrow_mut().events.create()
    }

    /// Is the list in use?
    pub(crate) fn has_list(&self, list: ListId) -> bool {
        self.core.borrow_mut().events.get(list).is_some()
    }

    /// Gives a list back where nobody waits; answers whether it is no longer there.
    pub(crate) fn release_list(&self, list: ListId) -> bool {
        self.core.borrow_mut().events.release(list)
    }

    /// Who waits at that place of the list.
    pub(crate) fn listed(&self, list: ListId, place: usize) -> Option<TaskId> {
        let mut core = self.core.borrow_mut();
        let waiting = &core.events.get(list)?.waiting;
        waiting.get(place).copied()
    }

    /// Lets the running task of `state` wait in a list that is in use, where it can do so without any ado.
    #[inline(always)]
    pub(super) fn enlist(&self, state: State, list: ListId) -> bool {
        let mut core = self.core.borrow_mut();
        let core = &mut *core;
        let Some(task) = self.current.get() else {
            return false;
        };
        if !self.may_leave(state) || core.events.get(list).is_none() {
            return false;
        }
        core.events.enlist(list.place(), task);
        core.record(task).body.ticket = Ticket::of_event(list.place());
        core.record(task).phase = Phase::Parked;
        true
    }
}
