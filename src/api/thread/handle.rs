//! The handles of threads, as the embedded Lua uses them: it makes the methods of these.

use super::{LATCH, MODULE, THREAD, answer, copy, count_from, job, refuse};
use crate::api::{PARTS, function, start as start_runtime};
use crate::error::Fault;
use crate::runtime::thread::{
    Answer, Await, Crossing, End, EndKind, Latch, Seed, Stage, Thread, landed,
};
use crate::runtime::{Deadline, Operation, Runtime};
use crate::sys::failure;
use crate::vm::copy::Shared;
use crate::vm::{
    Class, ClassDef, Function, Object, Outcome, Reply, Settings, Stack, Universe, Value,
};
use std::rc::Rc;
use std::sync::Arc;

/// The class: `thread.lua` gives it its methods.
pub(super) const CLASS: ClassDef = ClassDef {
    name: c"coev.thread",
    module: MODULE.name,
    methods: &[],
    tostring: &function!(c"tostring", tostring),
};

/// Asks the thread for something.
pub(super) const ASK: Function = function!(c"thread_ask", ask);
/// Waits for an end.
pub(super) const AWAIT: Function = function!(waits c"thread_await", await_end);
/// Asks the thread to end.
pub(super) const CANCEL: Function = function!(c"thread_cancel", cancel);
/// Has the own thread been asked to end?
pub(super) const CANCELLED: Function = function!(c"thread_cancelled", cancelled);
/// Keeps how the own thread has ended.
pub(super) const CONCLUDE: Function = function!(c"thread_conclude", conclude);
/// Lets the thread outlive its parent.
pub(super) const DETACH: Function = function!(c"thread_detach", detach);
/// Makes a thread.
pub(super) const MAKE: Function = function!(c"thread_make", make);
/// The name of the thread.
pub(super) const NAME: Function = function!(c"thread_name", name);
/// The own thread.
pub(super) const OWN: Function = function!(c"thread_self", own);
/// Lets the thread stand still, or go on.
pub(super) const PAUSE: Function = function!(c"thread_pause", pause);
/// What the own thread has been asked for.
pub(super) const REQUEST: Function = function!(c"thread_request", request);
/// Runs the chunk of the thread.
pub(super) const MAIN: Function = function!(c"thread_main", main);
/// How many processors there are.
pub(super) const CPUS: Function = function!(c"thread_cpus", cpus);
/// Lets the thread begin again where it fails.
pub(super) const RENEW: Function = function!(c"thread_renew", renew);
/// Starts the thread.
pub(super) const START: Function = function!(c"thread_start", start);
/// How the thread, or job, is.
pub(super) const STATUS: Function = function!(c"thread_status", status);
/// Lets the own thread take any memory.
pub(super) const UNLIMITED: Function = function!(c"thread_unlimited", unlimited);

/// A thread as Lua holds it: and with it the right to be told of its end.
pub(super) struct ThreadEnd {
    /// The thread.
    thread: Arc<Thread>,
    /// Where its end is written.
    latch: Arc<Latch>,
}

/// The arguments, by position.
mod slot {
    /// The thread, of all but the next ones.
    pub(super) const THREAD: i32 = 1;
    /// Seconds, or what else comes second.
    pub(super) const SECOND: i32 = 2;
    /// The name of a new thread.
    pub(super) const NAME: i32 = 1;
    /// Bytes that it may take.
    pub(super) const MEMORY_LIMIT: i32 = 2;
    /// Bytes of its C stack.
    pub(super) const STACK_SIZE: i32 = 3;
    /// `package.path`
    pub(super) const PATH: i32 = 4;
    /// `package.cpath`
    pub(super) const CPATH: i32 = 5;
    /// Its chunk; the arguments follow.
    pub(super) const CODE: i32 = 6;
    /// How something has ended.
    pub(super) const KIND: i32 = 1;
    /// What is said on stderr when nobody asks.
    pub(super) const COMPLAINT: i32 = 2;
    /// Whether it has returned; the results, or the error and its traceback follow.
    pub(super) const VALUES: i32 = 3;
}

impl Object for ThreadEnd {
    fn share(&self) -> Option<Arc<dyn Shared>> {
        Some(Arc::new(ThreadEnd {
            thread: Arc::clone(&self.thread),
            latch: Arc::clone(&self.latch),
        }))
    }
}

impl Shared for ThreadEnd {
    fn land(self: Arc<Self>) -> (Class, Rc<dyn Object>) {
        let (thread, latch) = (Arc::clone(&self.thread), Arc::clone(&self.latch));
        (THREAD, Rc::new(ThreadEnd { thread, latch }))
    }
}

/// The thread at the first slot.
fn this(stack: &Stack) -> Result<Rc<ThreadEnd>, Fault> {
    stack.object(slot::THREAD, &[THREAD], "coev.thread")
}

/// Where the end of the thread or job at the first slot is written.
fn this_latch(stack: &Stack) -> Result<Arc<Latch>, Fault> {
    if stack.class(slot::THREAD, &[LATCH]).is_some() {
        return job::latch(stack, slot::THREAD);
    }
    Ok(Arc::clone(&this(stack)?.latch))
}

/// A handle of a thread.
fn handle(thread: Arc<Thread>, latch: Arc<Latch>) -> Value {
    Value::Object(THREAD, Rc::new(ThreadEnd { thread, latch }))
}

/// A number of bytes, where one is given.
fn read_bytes(stack: &Stack, slot: i32) -> Result<Option<usize>, Fault> {
    if stack.is_absent(slot) {
        return Ok(None);
    }
    let bytes = stack.number(slot)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, which is meant"
    )]
    Ok(Some(bytes as usize))
}

/// Opens the universe of a new thread.
fn boot(settings: &Settings) -> Result<Universe<Runtime>, String> {
    Universe::open(&PARTS, start_runtime, settings)
}

/// `thread_make(name, memory_limit, stack_size, path, cpath, code, ...)` → a thread that has not started; or
/// `nil` and what cannot be copied.
fn make(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let called = |index: i32| match index {
        0 => "code".into(),
        index => format!("arg {index}"),
    };
    let name = String::from_utf8_lossy(stack.bytes(slot::NAME)?).into_owned();
    let settings = Settings {
        path: stack.bytes(slot::PATH)?.to_vec(),
        cpath: stack.bytes(slot::CPATH)?.to_vec(),
        memory_limit: read_bytes(stack, slot::MEMORY_LIMIT)?,
    };
    let stack_size = read_bytes(stack, slot::STACK_SIZE)?;
    let count = count_from(stack, slot::CODE);
    let (message, departing) = match copy(runtime, stack, slot::CODE, count, called) {
        Ok(copied) => copied,
        Err(problem) => return refuse(problem),
    };
    let seed = Seed {
        boot,
        settings,
        stack_size,
        message: Arc::new(message),
    };
    runtime.give_up(departing);
    let (thread, latch) = Thread::new(name, seed);
    answer(handle(thread, latch))
}

/// `thread_start(thread)` → whether that is news; or `nil` and why it cannot be.
fn start(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let end = this(stack)?;
    match end.thread.start() {
        Ok(news) => {
            if news {
                runtime.adopt_thread(&end.thread);
            }
            answer(news)
        }
        Err(error) => Ok(Outcome::Reply(Reply::failure(failure::word(&error)))),
    }
}

/// `thread_await(thread or latch [, seconds])` → what a join returns.
fn await_end(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let latch = this_latch(stack)?;
    let deadline = Deadline::after(stack.opt_seconds(slot::SECOND)?);
    let awaited = Await::new(latch);
    if let Some(reply) = awaited.answer() {
        return Ok(Outcome::Reply(reply));
    }
    let operation = Operation::Crossing(Crossing::Await(awaited));
    runtime.wait(stack, operation, deadline)
}

/// `thread_status(thread or latch)` → a word.
fn status(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(match this_latch(stack)?.kind() {
        Some(EndKind::Done) => "done",
        Some(EndKind::Failed) => "failed",
        Some(EndKind::Cancelled) => "cancelled",
        None if stack.class(slot::THREAD, &[LATCH]).is_some() => "running",
        None => {
            let thread = &this(stack)?.thread;
            match thread.stage() {
                Stage::Suspended => "suspended",
                Stage::Running if thread.is_paused() => "paused",
                Stage::Running | Stage::Ended => "running",
            }
        }
    })
}

/// `thread_name(thread)`
fn name(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(this(stack)?.thread.name.clone())
}

/// `thread_cancel(thread)` → whether it has not ended yet.
fn cancel(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(this(stack)?.thread.cancel())
}

/// `thread_pause(thread, on)` → whether it has not ended yet.
fn pause(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(this(stack)?.thread.pause(stack.boolean(slot::SECOND)?))
}

/// `thread_detach(thread)`
fn detach(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    this(stack)?.thread.detach();
    answer(())
}

/// `thread_cpus()` → how many threads can run at once.
fn cpus(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    let count = std::thread::available_parallelism();
    answer(count.map_or(1, |count| i64::try_from(count.get()).unwrap_or(1)))
}

/// `thread_renew(thread)`
fn renew(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    this(stack)?.thread.renew();
    answer(())
}

/// `thread_self()` → the thread that this is; nothing in the interpreter's.
fn own(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    let own = runtime.own_thread();
    answer(own.map_or(Value::Nil, |thread| match thread.latch() {
        Some(latch) => handle(Arc::clone(thread), latch),
        None => Value::Nil,
    }))
}

/// `thread_ask(thread, ...)` → whether it still runs; or `nil` and what cannot be copied.
fn ask(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let end = this(stack)?;
    // Before the arguments that the user gave stand what is asked, its number and its settler, and the code.
    let called = |index: i32| match index {
        3 => "code".into(),
        index => format!("arg {}", index - 3),
    };
    let count = count_from(stack, slot::SECOND);
    match copy(runtime, stack, slot::SECOND, count, called) {
        Ok((request, departing)) => {
            let runs = end.thread.ask(request);
            if runs {
                runtime.give_up(departing);
            }
            answer(runs)
        }
        Err(problem) => refuse(problem),
    }
}

/// `thread_request()` → what this thread has been asked for, or nothing.
fn request(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    let own = runtime.own_thread();
    Ok(Outcome::Reply(
        match own.and_then(|thread| thread.next_request()) {
            Some(message) => Reply::one(landed(message)),
            None => Reply::none(),
        },
    ))
}

/// An end: `kind`, `complaint`, whether it has returned, and more, from the slot before `first` on.
pub(super) fn read_end(
    runtime: &Runtime,
    stack: &Stack,
    shift: i32,
) -> Result<Result<End, String>, Fault> {
    let kind = match stack.bytes(slot::KIND + shift)? {
        b"done" => EndKind::Done,
        b"cancelled" => EndKind::Cancelled,
        _ => EndKind::Failed,
    };
    let complaint = if stack.is_absent(slot::COMPLAINT + shift) {
        None
    } else {
        let bytes = stack.bytes(slot::COMPLAINT + shift)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let called = |index: i32| format!("result {index}");
    let first = slot::VALUES + shift;
    let message = copy(runtime, stack, first, count_from(stack, first), called);
    Ok(message.map(|(message, departing)| {
        runtime.give_up(departing);
        End {
            kind,
            values: Answer::Values(Arc::new(message)),
            complaint,
        }
    }))
}

/// `thread_conclude(kind, complaint, ok, ...)`: so this thread has ended.
fn conclude(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    match read_end(runtime, stack, 0)? {
        Ok(end) => runtime.conclude(end),
        Err(problem) => return refuse(problem),
    }
    answer(true)
}

/// `thread_main(f, ...)` → what a join of its task returns, when all tasks have ended.
fn main(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(Outcome::Run)
}

/// `thread_cancelled()`
fn cancelled(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    let own = runtime.own_thread();
    answer(own.is_some_and(|thread| thread.is_cancelled()))
}

/// `thread_unlimited()`
fn unlimited(runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    runtime.lift_ceiling();
    answer(())
}

/// `tostring(thread)`
fn tostring(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let end = this(stack)?;
    let name = &end.thread.name;
    answer(format!("coev.thread: {name}"))
}
