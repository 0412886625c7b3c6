//! The table of tasks. Knows what phase each is in, and that a name, once its task is gone, fits no other.

use super::{Moment, Scopes, WaitList};
use std::any::Any;
use std::num::NonZeroU64;
use std::rc::Rc;

/// Names a task for ever: its place in the table in the low half, and above it which use of that place it is, counted
/// from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(crate) struct TaskId(NonZeroU64);

/// Where a task is in its life. It leaves the table at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Ready for its first turn.
    New,
    /// In the run queue, or about to be put there by whoever makes it.
    Ready,
    /// On the processor, or under others that it resumed.
    Running,
    /// Waiting to be woken.
    Parked,
    /// Waiting to be resumed by another task, or ended, and for nothing else.
    Suspended,
    /// Gone: the place is free.
    Vacant,
}

/// One task. `T` is what the runtime keeps with it. With 16 bytes of that, 32 bytes: two tasks share a cache line.
pub(crate) struct Task<T> {
    /// Which use of this place it is.
    generation: u32,
    /// Where the task is in its life.
    pub(crate) phase: Phase,
    /// Has the deadline of its wait passed?
    pub(crate) due: bool,
    /// Has it been woken while it was polling?
    pub(crate) woken: bool,
    /// Did it yield plainly, so that what it is resumed with would reach the user?
    pub(crate) plain: bool,
    /// What few tasks have.
    pub(crate) rarities: Option<Box<Rarities>>,
    /// What the runtime keeps with it.
    pub(crate) body: T,
}

/// What few tasks have.
#[derive(Default)]
pub(crate) struct Rarities {
    /// The name that the user gave.
    pub(crate) name: Option<String>,
    /// Who waits for its end.
    pub(crate) joiners: WaitList,
    /// What may end its waits before their time.
    pub(crate) scopes: Scopes,
    /// The deadline of the call that it waits in, apart from those of its scopes.
    pub(crate) own_deadline: Option<Moment>,
    /// Is it held by what it waits for alone, so that the collector may take both?
    pub(crate) loose: bool,
    /// Does it live only as long as its handle?
    pub(crate) weak: bool,
    /// Has it functions to be called at its end?
    pub(crate) has_defers: bool,
    /// Has it come to its end, and calls these functions now?
    pub(crate) in_epilogue: bool,
    /// Does somebody watch it, who must be told of its end?
    pub(crate) watched: bool,
    /// The locks that it holds, where its end matters to somebody.
    pub(crate) held: Vec<Rc<dyn Any>>,
    /// Does somebody else answer for its failure, so that it is not reported?
    pub(crate) adopted: bool,
}

impl Phase {
    /// Does the task wait for something to happen?
    #[inline]
    pub(crate) fn is_waiting(self) -> bool {
        matches!(self, Phase::Parked | Phase::Suspended)
    }
}

impl Rarities {
    /// Must be looked at more than that the task is ready, before it gets its turn?
    #[inline]
    pub(crate) fn matter_now(&self) -> bool {
        self.weak || !self.scopes.is_idle()
    }
}

/// All tasks that have not ended.
pub(crate) struct Tasks<T> {
    /// By index.
    places: Vec<Task<T>>,
    /// Indices to be used again; the last one left is the first one used.
    free: Vec<u32>,
    /// Where the generations of new places begin: above those of places that have been given up.
    first_generation: u32,
}

impl TaskId {
    /// The name of the task at `index` in that `generation`.
    fn new(index: u32, generation: u32) -> TaskId {
        TaskId::from_bits(u64::from(generation) << 32 | u64::from(index))
    }

    /// The place in the table.
    #[inline(always)]
    pub(crate) fn index(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the half is meant")]
        {
            self.0.get() as u32
        }
    }

    /// Which use of that place it is.
    #[inline(always)]
    fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    /// The id as one number, for keeping it where the type is not known.
    pub(crate) fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// The id that `to_bits` made a number of.
    pub(crate) fn from_bits(bits: u64) -> TaskId {
        TaskId(NonZeroU64::new(bits).expect("a generation is never 0"))
    }
}

impl<T> Task<T> {
    /// Is it ready, and is nothing more to be looked at?
    #[inline(always)]
    pub(crate) fn has_only_given_way(&self) -> bool {
        let rarities = self.rarities.as_ref();
        self.phase == Phase::Ready && rarities.is_none_or(|rarities| !rarities.matter_now())
    }

    /// Is it ready for its first turn, and nothing more?
    #[inline(always)]
    pub(crate) fn is_just_new(&self) -> bool {
        self.phase == Phase::New && self.rarities.is_none()
    }
}

impl<T> Default for Tasks<T> {
    fn default() -> Tasks<T> {
        Tasks {
            places: Vec::new(),
            free: Vec::new(),
            first_generation: 1,
        }
    }
}

impl<T: Default> Tasks<T> {
    /// Puts a task into the table.
    pub(crate) fn insert(&mut self, phase: Phase) -> TaskId {
        let index = self.free.pop().unwrap_or_else(|| {
            let index =
                u32::try_from(self.places.len()).expect("fewer than 2^32 tasks fit into memory");
            self.places.push(Task {
                generation: self.first_generation,
                phase,
                plain: true,
                due: false,
                woken: false,
                rarities: None,
                body: T::default(),
            });
            index
        });
        let task = &mut self.places[index as usize];
        (task.phase, task.due, task.woken, task.plain) = (phase, false, false, true);
        TaskId::new(index, task.generation)
    }

    /// The task, unless it has ended.
    #[inline]
    pub(crate) fn get(&mut self, id: TaskId) -> Option<&mut Task<T>> {
        let task = self.places.get_mut(id.index() as usize)?;
        (task.generation == id.generation() && task.phase != Phase::Vacant).then_some(task)
    }

    /// A task that cannot have ended: one that runs, say.
    #[inline]
    pub(crate) fn running(&mut self, id: TaskId) -> &mut Task<T> {
        let task = &mut self.places[id.index() as usize];
        debug_assert!(task.generation == id.generation() && task.phase != Phase::Vacant);
        task
    }

    /// The id of the task at `index`, unless it has ended.
    pub(crate) fn at(&self, index: u32) -> Option<TaskId> {
        let task = self.places.get(index as usize)?;
        (task.phase != Phase::Vacant).then(|| TaskId::new(index, task.generation))
    }

    /// A running task that has nothing but its record ends, and another one goes on in its place; answers its id.
    pub(crate) fn renew(&mut self, id: TaskId) -> TaskId {
        let task = self.running(id);
        task.generation = task.generation.checked_add(1).unwrap_or(1);
        TaskId::new(id.index(), task.generation)
    }

    /// Takes the task that runs out of the table, if it has nothing but its record; answers whether it had not.
    #[inline]
    pub(crate) fn retire(&mut self, id: TaskId) -> bool {
        let task = self.running(id);
        let plain = task.rarities.is_none();
        if plain {
            self.vacate(id);
        }
        plain
    }

    /// Takes a task that has ended out of the table; answers its body and those who wait for its end.
    pub(crate) fn remove(&mut self, id: TaskId) -> Option<(T, WaitList)> {
        let task = self.get(id)?;
        let joiners = task
            .rarities
            .take()
            .map(|rarities| rarities.joiners)
            .unwrap_or_default();
        Some((self.vacate(id), joiners))
    }

    /// Frees the place of a task that is there, so that its name fits no other; answers its body.
    #[inline]
    fn vacate(&mut self, id: TaskId) -> T {
        let task = &mut self.places[id.index() as usize];
        task.phase = Phase::Vacant;
        task.generation = task.generation.checked_add(1).unwrap_or(1);
        self.free.push(id.index());
        std::mem::take(&mut task.body)
    }
}

impl<T> Tasks<T> {
    /// Gives up the vacant places at the end, when they are many; answers whether it did.
    pub(crate) fn shrink(&mut self) -> bool {
        /// Fewer places than this are not worth the work.
        const WORTHWHILE: usize = 1024;
        let used = self
            .places
            .iter()
            .rposition(|task| task.phase != Phase::Vacant)
            .map_or(0, |last| last + 1);
        if self.places.len() < WORTHWHILE || used > self.places.len() / 4 {
            return false;
        }
        let given_up = self
            .places
            .drain(used..)
            .map(|task| task.generation)
            .max()
            .unwrap_or(0);
        self.first_generation = self.first_generation.max(given_up);
        self.places.shrink_to_fit();
        self.free.retain(|index| (*index as usize) < used);
        self.free.shrink_to_fit();
        true
    }

    /// How many places the table has.
    pub(crate) fn places(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The tasks with their ids, in the order of the table.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TaskId, &Task<T>)> {
        self.places
            .iter()
            .enumerate()
            .filter(|(_, task)| task.phase != Phase::Vacant)
            .map(|(index, task)| {
                #[expect(clippy::cast_possible_truncation, reason = "insert checks it")]
                (TaskId::new(index as u32, task.generation), task)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_no_later_task_in_the_same_place() {
        let mut tasks = Tasks::default();
        let first = tasks.insert(Phase::Ready);
        tasks.get(first).unwrap().body = 'a';
        assert_eq!(tasks.remove(first).map(|(body, _)| body), Some('a'));
        let second = tasks.insert(Phase::Parked);
        assert_eq!(second.index(), first.index());
        assert!(tasks.get(first).is_none());
        assert!(tasks.remove(first).is_none());
        assert_eq!(tasks.get(second).unwrap().body, char::default());
        assert_eq!(tasks.at(0), Some(second));
        assert_eq!(tasks.len(), 1);
    }

    #[test]
    fn only_a_task_with_nothing_but_its_record_retires() {
        let mut tasks = Tasks::<()>::default();
        let (plain, named) = (tasks.insert(Phase::Running), tasks.insert(Phase::Running));
        tasks.get(named).unwrap().rarities.get_or_insert_default();
        assert!(tasks.retire(plain) && !tasks.retire(named));
        assert!(tasks.get(plain).is_none() && tasks.get(named).is_some());
        let next = tasks.insert(Phase::New);
        assert!(next.index() == plain.index() && next != plain);
    }

    #[test]
    fn an_id_survives_its_way_through_a_number() {
        let id = TaskId::new(7, u32::MAX);
        assert_eq!(TaskId::from_bits(id.to_bits()), id);
    }

    #[test]
    fn the_end_of_a_task_hands_out_its_joiners() {
        let mut tasks = Tasks::<()>::default();
        let task = tasks.insert(Phase::Ready);
        let joiner = tasks.insert(Phase::Parked);
        tasks
            .get(task)
            .unwrap()
            .rarities
            .get_or_insert_default()
            .joiners
            .push(joiner);
        let (_, mut joiners) = tasks.remove(task).unwrap();
        assert_eq!(joiners.pop(), Some(joiner));
        assert_eq!(tasks.iter().map(|(id, _)| id).collect::<Vec<_>>(), [joiner]);
    }

    #[test]
    fn names_stay_unique_when_places_are_given_up() {
        let mut tasks = Tasks::<()>::default();
        let ids: Vec<TaskId> = (0..2000).map(|_| tasks.insert(Phase::Ready)).collect();
        assert!(!tasks.shrink());
        for id in &ids[1..] {
            tasks.remove(*id);
        }
        assert!(tasks.shrink() && tasks.places() == 1);
        let new = tasks.insert(Phase::Ready);
        assert_eq!(new.index(), ids[1].index());
        assert!(
            tasks.get(ids[1]).is_none() && tasks.get(new).is_some() && tasks.get(ids[0]).is_some()
        );
    }

    #[test]
    fn a_task_takes_half_a_cache_line() {
        assert_eq!(size_of::<Task<[u64; 2]>>(), 32);
    }
}
