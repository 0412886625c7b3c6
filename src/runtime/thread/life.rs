//! The life of a thread: started, asked for things, cancelled, paused, ended; and what becomes of it when its parent
//! closes.

use super::Threads;
use super::latch::{Answer, End, EndKind, Latch, Settler};
use super::line::lock;
use crate::runtime::Runtime;
use crate::runtime::inbox::{Letter, Sender};
use crate::runtime::locks::{AtomicBool, Condvar, Mutex};
use crate::sys::interrupt::{self, Target};
use crate::vm::copy::Message;
use crate::vm::{Hookable, Settings, Universe};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// A thread, as all who hold it see it.
pub(crate) struct Thread {
    /// Its name.
    pub(crate) name: String,
    /// Where its end is written. Those who may be told of it hold that: when nobody does, a failure is reported.
    latch: Weak<Latch>,
    /// What changes.
    control: Mutex<Control>,
    /// Told of every change of that.
    changed: Condvar,
    /// Has it been asked for something while it had no inbox?
    asked: AtomicBool,
}

/// What changes.
struct Control {
    /// Where it is in its life.
    stage: Stage,
    /// What it is made of, until it starts.
    seed: Option<Seed>,
    /// The inbox of its runtime, while there is one.
    inbox: Option<Sender>,
    /// What it has been asked for and has not taken in yet, oldest first: values for the Lua that heeds them.
    requests: VecDeque<Message>,
    /// How it is interrupted while it runs.
    target: Option<Target>,
    /// Shall it stand still?
    paused: bool,
    /// Shall it end?
    cancelled: bool,
    /// Shall it outlive its parent's state?
    detached: bool,
    /// Shall it begin again where it fails?
    renewed: bool,
    /// How many wait for a change.
    waiting: usize,
}

/// Where a thread is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Not started yet.
    Suspended,
    /// Started.
    Running,
    /// Its state has been closed.
    Ended,
}

/// Opens the universe of a new thread.
pub(crate) type Boot = fn(&Settings) -> Result<Universe<Runtime>, String>;

/// What a thread is made of.
pub(crate) struct Seed {
    /// Opens its universe.
    pub(crate) boot: Boot,
    /// What that is like.
    pub(crate) settings: Settings,
    /// Bytes of its C stack, where somebody wants to say.
    pub(crate) stack_size: Option<usize>,
    /// Its chunk, and the arguments.
    pub(crate) message: Arc<Message>,
}

/// The threads that a runtime has started, and that may still run.
#[derive(Default)]
pub(super) struct Children(Vec<Arc<Thread>>);

/// How long a state that closes waits for its threads, all in all: longer than a task needs to tidy up, and no longer
/// than a user is patient.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a thread that does not listen is interrupted again while its parent waits.
const INSISTENCE: Duration = Duration::from_millis(50);

impl Thread {
    /// A thread that has not started, and where its end will be written.
    pub(crate) fn new(name: String, seed: Seed) -> (Arc<Thread>, Arc<Latch>) {
        let latch = Arc::new(Latch::default());
        let thread = Thread {
            name,
            latch: Arc::downgrade(&latch),
            control: Mutex::new(Control {
                stage: Stage::Suspended,
                seed: Some(seed),
                inbox: None,
                requests: VecDeque::new(),
                target: None,
                paused: false,
                cancelled: false,
                detached: false,
                renewed: false,
                waiting: 0,
            }),
            changed: Condvar::new(),
            asked: AtomicBool::new(false),
        };
        (Arc::new(thread), latch)
    }

    /// Where its end is written, as long as anybody may read it.
    pub(crate) fn latch(&self) -> Option<Arc<Latch>> {
        self.latch.upgrade()
    }

    /// Starts it, once; answers whether that is news.
    pub(crate) fn start(self: &Arc<Thread>) -> io::Result<bool> {
        let Some(latch) = self.latch() else {
            return Ok(false);
        };
        let mut control = lock(&self.control);
        let Some(seed) = control.seed.take() else {
            return Ok(false);
        };
        control.stage = Stage::Running;
        drop(control);
        let settler = Settler::new(latch);
        let mut builder = std::thread::Builder::new().name(self.name.replace('\0', " "));
        if let Some(bytes) = seed.stack_size {
            builder = builder.stack_size(bytes);
        }
        let own = Arc::clone(self);
        let started = builder.spawn(move || own.work(seed, &settler));
        if started.is_err() {
            lock(&self.control).stage = Stage::Ended;
        }
        started.map(|_| true)
    }

    /// What the new thread does.
    fn work(self: Arc<Thread>, seed: Seed, settler: &Settler) {
        let end = loop {
            let lived = catch_unwind(AssertUnwindSafe(|| self.live(&seed)));
            let end = lived.unwrap_or_else(|_| End::failed("coev internal error in a thread"));
            if !self.begins_again(&end) {
                break end;
            }
        };
        let mut control = lock(&self.control);
        control.stage = Stage::Ended;
        control.inbox = None;
        control.target = None;
        let requests = std::mem::take(&mut control.requests);
        let waited_for = control.waiting > 0;
        drop(control);
        drop(requests);
        settler.settle(end);
        if waited_for {
            self.changed.notify_all();
        }
    }

    /// Opens its universe, runs the chunk and all tasks in it, and closes it.
    fn live(self: &Arc<Thread>, seed: &Seed) -> End {
        let universe = match (seed.boot)(&seed.settings) {
            Ok(universe) => universe,
            Err(problem) => return End::failed(problem),
        };
        let runtime = universe.host();
        // It is set once: the universe is new.
        let _ = runtime.threads.own.set(Arc::clone(self));
        let hookable = universe.hookable();
        // Both are set once: the universe is new.
        let _ = runtime.threads.hookable.set(Arc::clone(&hookable));
        let _ = runtime.threads.ceiling.set(universe.ceiling());
        let interrupts = interrupt::Guard::enter(Arc::new(move || hookable.arm()));
        lock(&self.control).target = Some(interrupts.target());
        let ran = universe.run(&self.name, Arc::clone(&seed.message));
        // From here on nobody may interrupt it.
        lock(&self.control).target = None;
        drop(interrupts);
        let end = runtime.threads.end.take();
        drop(universe);
        match (end, ran) {
            (Some(end), _) => end,
            (None, Ok(())) => End::failed("the thread has ended without a result"),
            (None, Err(problem)) => End::failed(problem),
        }
    }

    /// Where it is in its life.
    pub(crate) fn stage(&self) -> Stage {
        lock(&self.control).stage
    }

    /// Does it stand still?
    pub(crate) fn is_paused(&self) -> bool {
        lock(&self.control).paused
    }

    /// Has it been asked to end?
    pub(crate) fn is_cancelled(&self) -> bool {
        lock(&self.control).cancelled
    }

    /// Leaves a request for the thread's own Lua; answers whether it still runs.
    pub(crate) fn ask(&self, request: Message) -> bool {
        let mut control = lock(&self.control);
        if control.stage == Stage::Ended {
            return false;
        }
        control.requests.push_back(request);
        self.alert(&control);
        true
    }

    /// The oldest request.
    pub(crate) fn next_request(&self) -> Option<Message> {
        lock(&self.control).requests.pop_front()
    }

    /// Asks it to end; answers whether it has not ended yet. One that has never started ends here.
    pub(crate) fn cancel(&self) -> bool {
        let mut control = lock(&self.control);
        if control.stage == Stage::Ended {
            return false;
        }
        control.cancelled = true;
        if control.stage == Stage::Suspended {
            control.stage = Stage::Ended;
            let seed = control.seed.take();
            drop(control);
            drop(seed);
            if let Some(latch) = self.latch() {
                latch.settle(End::cancelled());
            }
            self.changed.notify_all();
            return true;
        }
        self.alert(&control);
        control.interrupt();
        drop(control);
        self.changed.notify_all();
        true
    }

    /// Lets it stand still, or go on; answers whether it has not ended yet.
    pub(crate) fn pause(&self, paused: bool) -> bool {
        let mut control = lock(&self.control);
        if control.stage == Stage::Ended {
            return false;
        }
        control.paused = paused;
        if paused {
            self.alert(&control);
            control.interrupt();
        }
        drop(control);
        self.changed.notify_all();
        true
    }

    /// Lets it begin again, with a fresh state, where it fails.
    pub(crate) fn renew(&self) {
        lock(&self.control).renewed = true;
    }

    /// Shall it begin again after such an end?
    fn begins_again(&self, end: &End) -> bool {
        let control = lock(&self.control);
        // One that could not even begin would not the next time either.
        let has_run = matches!(end.values, Answer::Values(_));
        control.renewed && !control.cancelled && end.kind == EndKind::Failed && has_run
    }

    /// Lets it outlive its parent's state.
    pub(crate) fn detach(&self) {
        lock(&self.control).detached = true;
    }

    /// Has it been asked for something, while it had no inbox, since the last time?
    #[inline]
    pub(super) fn takes_note(&self) -> bool {
        self.asked.load(Ordering::Relaxed) && self.asked.swap(false, Ordering::Relaxed)
    }

    /// From now on its inbox is where it is asked for things. Whoever has asked before is seen by `takes_note`.
    pub(super) fn open_inbox(&self, inbox: Sender) {
        lock(&self.control).inbox = Some(inbox);
    }

    /// Called in the thread itself: stands still as long as it shall. Answers whether it shall end.
    pub(super) fn heed(&self) -> bool {
        let mut control = lock(&self.control);
        while control.paused && !control.cancelled {
            control = self
                .changed
                .wait(control)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        control.cancelled
    }

    /// Lets its loop look at what it is asked for.
    fn alert(&self, control: &Control) {
        match &control.inbox {
            Some(inbox) => inbox.post(Letter::Alert),
            None => self.asked.store(true, Ordering::Relaxed),
        }
    }

    /// Waits until it has ended, or until then; answers whether it has.
    fn await_end(&self, until: Instant) -> bool {
        let mut control = lock(&self.control);
        while control.stage != Stage::Ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            control.interrupt();
            control.waiting += 1;
            control = self
                .changed
                .wait_timeout(control, left.min(INSISTENCE))
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .0;
            control.waiting -= 1;
        }
        true
    }
}

impl Control {
    /// Lets its Lua code look, where it runs some.
    fn interrupt(&self) {
        if let Some(target) = &self.target {
            target.interrupt();
        }
    }
}

impl End {
    /// A failure of which there is no more to say than this.
    fn failed(reason: impl Into<Cow<'static, str>>) -> End {
        let reason = reason.into();
        End {
            kind: EndKind::Failed,
            complaint: Some(format!("coev: a thread failed: {reason}\n")),
            values: Answer::Reason(reason),
        }
    }

    /// The end of a job that nobody wants any more, for this reason.
    pub(crate) fn cancelled_for(reason: Message) -> End {
        End {
            kind: EndKind::Cancelled,
            values: Answer::Cancel(Arc::new(reason)),
            complaint: None,
        }
    }

    /// The end of a thread that has never run.
    fn cancelled() -> End {
        End {
            kind: EndKind::Cancelled,
            values: Answer::Reason("cancelled".into()),
            complaint: None,
        }
    }
}

impl Children {
    /// One more; those that have ended are forgotten.
    pub(super) fn add(&mut self, thread: Arc<Thread>) {
        self.0.retain(|thread| thread.stage() != Stage::Ended);
        self.0.push(thread);
    }

    /// Ends all that are not detached, and waits for them as long as it is reasonable.
    fn end(&mut self) {
        let left = std::mem::take(&mut self.0);
        let left: Vec<Arc<Thread>> = left
            .into_iter()
            .filter(|thread| !lock(&thread.control).detached && thread.cancel())
            .collect();
        let until = Instant::now() + PATIENCE;
        for thread in left {
            thread.await_end(until);
        }
    }
}

impl Threads {
    /// Where the own thread is hooked, unless it is the interpreter's.
    #[inline(always)]
    pub(in crate::runtime) fn hookable(&self) -> Option<&Hookable> {
        self.hookable.get().map(|hookable| &**hookable)
    }

    /// Ends the threads that have been started here.
    pub(in crate::runtime) fn close(&self) {
        let mut children = self.children.take();
        children.end();
    }
}
