//! Thousands of random schedules under a fake clock: the parts of this floor, put together as the runtime does it,
//! beside a model without queues and heaps, which looks through all tasks that there ever were.

use super::{
    Moment, Phase, RunQueue, Task, TaskId, Tasks, Timers, Verdict, WaitList, task::Rarities,
};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// What a task waits for.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    /// That it is handed something, as the first of those in this list; only its deadline, if it is the last list.
    List(usize),
    /// The end of this task.
    End(TaskId),
}

/// What the model knows of a task that is or was.
#[derive(Default)]
struct Life {
    ended: bool,
    cancelled: bool,
    /// The serials and deadlines of its scopes, from the outermost to the innermost.
    scopes: Vec<(u64, Moment)>,
    /// What it waits for, until when, and how many waits and scopes there were before.
    wait: Option<(Target, Option<Moment>, u64)>,
    /// Has what it waits for come?
    answered: bool,
}

/// The parts, then the model.
#[derive(Default)]
struct Schedule {
    tasks: Tasks<()>,
    queue: RunQueue,
    timers: Timers,
    lists: [WaitList; 4],
    lives: HashMap<TaskId, Life>,
    /// Who is ready, and how many of them belong to the round.
    ready: VecDeque<TaskId>,
    round: usize,
    clock: u64,
    /// How many waits and scopes there have been.
    serial: u64,
    random: u64,
}

impl Life {
    fn verdict(&self, now: Moment) -> Option<Verdict> {
        let expired = self.scopes.iter().find(|scope| scope.1 <= now);
        let expired = expired.map(|scope| Verdict::Expired(scope.0));
        self.cancelled.then_some(Verdict::Cancelled).or(expired)
    }

    /// What a task finds at its turn: that it may go on, that its wait must raise, or nothing.
    fn arrival(&self, now: Moment) -> Option<Result<(), Verdict>> {
        let deadline = self.wait.and_then(|wait| wait.1);
        let is_over = self.answered || deadline.is_some_and(|deadline| deadline <= now);
        match self.verdict(now) {
            Some(Verdict::Expired(_)) if is_over => Some(Ok(())),
            Some(verdict) => Some(Err(verdict)),
            None => (is_over || self.wait.is_none()).then_some(Ok(())),
        }
    }
}

impl Schedule {
    fn below(&mut self, limit: usize) -> usize {
        self.random = self.random * 48_271 % 0x7fff_ffff;
        usize::try_from(self.random).unwrap() % limit
    }

    fn soon(&mut self) -> Moment {
        Moment(self.clock + 1 + self.below(30) as u64)
    }

    /// One of those that have not ended.
    fn anybody(&mut self) -> Option<TaskId> {
        let place = self.below(self.tasks.len().max(1));
        self.tasks.iter().nth(place).map(|(id, _)| id)
    }

    fn life(&mut self, id: TaskId) -> &mut Life {
        self.lives.get_mut(&id).unwrap()
    }

    fn task(&mut self, id: TaskId) -> &mut Task<()> {
        self.tasks.get(id).expect("a name fits until its task ends")
    }

    fn rarities(&mut self, id: TaskId) -> &mut Rarities {
        self.task(id).rarities.get_or_insert_default()
    }

    fn list(&mut self, target: Target) -> &mut WaitList {
        match target {
            Target::List(number) => &mut self.lists[number],
            Target::End(other) => &mut self.rarities(other).joiners,
        }
    }

    /// The tasks for which `key` has an answer, in the order of the answers.
    fn sorted<K: Ord>(&self, key: impl Fn(&Life) -> Option<K>) -> Vec<TaskId> {
        let lives = self.lives.iter();
        let keyed = lives.filter_map(|(id, life)| Some((key(life)?, *id)));
        keyed.collect::<BTreeMap<K, _>>().into_values().collect()
    }

    /// Those who wait for this, in the order in which they came.
    fn waiting(&self, wanted: Target) -> Vec<TaskId> {
        self.sorted(|life| {
            let (target, _, serial) = life.wait?;
            (target == wanted && !life.answered).then_some(serial)
        })
    }

    /// Those who wait with a deadline that is still to come, the earliest first.
    fn timed(&self) -> Vec<TaskId> {
        self.sorted(|life| {
            let (_, own, serial) = life.wait?;
            let scopes = life.scopes.iter().map(|scope| scope.1);
            let nearest = scopes.chain(own).min()?;
            (nearest.0 > self.clock).then_some((nearest, serial))
        })
    }

    fn spawn(&mut self) -> TaskId {
        let id = self.tasks.insert(Phase::Parked);
        assert!(self.lives.insert(id, Life::default()).is_none());
        self.wake(id);
        id
    }

    fn wake(&mut self, id: TaskId) {
        if self.task(id).phase == Phase::Parked {
            self.task(id).phase = Phase::Ready;
            self.queue.push(id);
            self.ready.push_back(id);
        }
    }

    fn hand(&mut self, list: usize) {
        let first = self.waiting(Target::List(list)).first().copied();
        assert_eq!(self.lists[list].pop(), first);
        let Some(id) = first else { return };
        self.life(id).answered = true;
        self.wake(id);
    }

    fn advance(&mut self, now: Moment) {
        let timed = self.timed();
        self.clock = now.0;
        for id in &timed[..timed.len() - self.timed().len()] {
            let owner = self.timers.pop_due(now).expect("a deadline has passed");
            assert_eq!(self.tasks.at(owner), Some(*id));
            self.wake(*id);
        }
    }

    fn leave(&mut self, id: TaskId, serial: u64) {
        self.rarities(id).scopes.leave(serial);
        self.life(id).scopes.retain(|scope| scope.0 < serial);
    }

    fn park(&mut self, id: TaskId, target: Target, own: Option<Moment>) {
        self.life(id).wait = Some((target, own, self.serial));
        self.list(target).push(id);
        let nearest = self.rarities(id).scopes.nearest();
        if let Some(deadline) = own.into_iter().chain(nearest).min() {
            self.timers.start(deadline, id.index());
        }
    }

    /// Ends a wait. What was handed to a task that cannot take it goes to the next one.
    fn withdraw(&mut self, id: TaskId, takes: bool) {
        self.timers.stop(id.index());
        let answered = std::mem::take(&mut self.life(id).answered);
        match self.life(id).wait.take() {
            Some((target, ..)) if !answered => self.list(target).remove(id),
            Some((Target::List(list), ..)) if !takes => self.hand(list),
            _ => {}
        }
    }

    fn end(&mut self, id: TaskId) {
        self.withdraw(id, false);
        let expected = self.waiting(Target::End(id));
        self.life(id).ended = true;
        let (_, joiners) = self.tasks.remove(id).expect("it ends once");
        assert_eq!(joiners.iter().collect::<Vec<_>>(), expected);
        for joiner in joiners {
            self.life(joiner).answered = true;
            self.wake(joiner);
        }
    }

    fn begin_round(&mut self) {
        self.round = self.ready.len();
        assert_eq!(self.queue.begin_round(), self.round > 0);
    }

    /// Gives the next task of the round its turn. Inside of it the loop may go on, as far as three turns deep.
    fn turn(&mut self, depth: usize) {
        let next = (self.round > 0).then(|| self.ready.pop_front()).flatten();
        assert_eq!(self.queue.pop(), next);
        let Some(id) = next else {
            return self.begin_round();
        };
        self.round -= 1;
        if self.lives[&id].ended {
            return;
        }
        let arrival = self.lives[&id].arrival(Moment(self.clock)).unwrap();
        self.task(id).phase = Phase::Running;
        self.withdraw(id, arrival.is_ok());
        if let Err(Verdict::Expired(serial)) = arrival {
            self.leave(id, serial);
        }
        for _ in 0..self.below(4 - depth) {
            self.step(depth + 1);
        }
        // Then it may enter or leave a scope, and ends, gives way or waits.
        self.serial += 1;
        let (serial, deadline) = (self.serial, self.soon());
        match (self.below(4), self.lives[&id].scopes.last().copied()) {
            (0, _) => {
                self.rarities(id).scopes.enter_deadline(serial, deadline);
                self.life(id).scopes.push((serial, deadline));
            }
            (1, Some(innermost)) => self.leave(id, innermost.0),
            _ => {}
        }
        let now = Moment(self.clock);
        let verdict = self.rarities(id).scopes.verdict(now);
        assert_eq!(verdict, self.lives[&id].verdict(now));
        let own = (self.below(3) > 0).then(|| self.soon());
        let somebody = self.anybody().expect("at least it has not ended");
        self.task(id).phase = Phase::Parked;
        match self.below(if verdict.is_some() { 3 } else { 12 }) {
            0 => self.end(id),
            1 | 2 => self.wake(id),
            3 | 4 => self.park(id, Target::End(somebody), own),
            choice => self.park(id, Target::List(choice % 4), own),
        }
    }

    /// Lets anything happen, and looks whether all is as it must be.
    fn step(&mut self, depth: usize) {
        let (somebody, later) = (self.anybody(), self.soon());
        match (self.below(16), somebody) {
            (0 | 1, _) => drop(self.spawn()),
            (list @ 2..5, _) => self.hand(list - 2),
            (5, Some(id)) => {
                let news = !std::mem::replace(&mut self.life(id).cancelled, true);
                assert_eq!(self.rarities(id).scopes.cancel(), news);
                self.wake(id);
            }
            (6, Some(id)) if self.task(id).phase != Phase::Running => self.end(id),
            (7, _) => self.advance(later),
            (8, _) => self.begin_round(),
            _ => self.turn(depth),
        }
        let turns: HashSet<&TaskId> = self.ready.iter().collect();
        assert_eq!(turns.len(), self.ready.len(), "somebody has two turns");
        let now = Moment(self.clock);
        for (id, life) in &self.lives {
            match self.tasks.get(*id).map(|task| task.phase) {
                None => assert!(life.ended, "{id:?} is lost"),
                Some(Phase::Parked) => assert_eq!(life.arrival(now), None, "{id:?} still sleeps"),
                Some(Phase::Ready) => assert!(turns.contains(id), "{id:?} has no turn"),
                _ => assert!(!turns.contains(id), "{id:?} runs, and has a turn"),
            }
        }
        assert_eq!(self.timers.len(), self.timed().len());
        assert_eq!(self.queue.is_empty(), self.ready.is_empty());
    }
}

/// Thousands of schedules, each until all tasks have ended; some begin with a table that has shrunk.
#[test]
fn no_wake_up_is_lost_or_comes_twice_and_no_order_is_broken() {
    for seed in 1..=2000 {
        let ran = std::panic::catch_unwind(|| {
            let mut schedule = Schedule::default();
            schedule.random += seed;
            let crowd = if seed % 1000 == 0 { 1500 } else { seed % 50 };
            let born: Vec<TaskId> = (0..crowd).map(|_| schedule.spawn()).collect();
            born.iter().skip(50).for_each(|id| schedule.end(*id));
            assert_eq!(schedule.tasks.shrink(), crowd > 50);
            (0..60).for_each(|_| schedule.step(0));
            while let Some(id) = schedule.anybody() {
                schedule.end(id);
            }
            assert_eq!((schedule.tasks.len(), schedule.timers.len()), (0, 0));
            assert!(schedule.lists.iter().all(WaitList::is_empty));
        });
        assert!(ran.is_ok(), "so it goes with seed {seed}");
    }
}
