//! The trampoline between Lua and Rust: the only file that yields or raises.

use super::compat;
use super::coroutine::Coroutine;
use super::flow;
use super::function::Function;
use super::library::Library;
use super::lists::number_at;
use super::marks::{alarm_mark, answer_mark, bytes_mark, is_alarm, pass_mark};
use super::object::Object;
use super::outcome::{Instead, Leave, Outcome, Outward, Reply, ReplySlot, TaskName};
use super::push::push;
use super::raise::{raise_alarm, raise_message, raise_task_error};
use super::registry;
use super::spawn;
use super::stack::Stack;
use super::state::State;
use crate::error::Fault;
use mlua::ffi::{self, lua_CFunction, lua_State};
use std::any::Any;
use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the trampoline needs of the runtime, which lives in a userdata that every function has as its first upvalue.
pub(crate) trait Host: Sized + 'static {
    /// The objects of this universe that tasks wait at: their tables hold those that nothing else has to.
    type Holder: Object;
    /// What was set up when the library was loaded.
    fn library(&self) -> &Library;
    /// Where replies wait to be pushed.
    fn reply(&self) -> &ReplySlot;
    /// Has the state begun to close?
    fn is_closed(&self) -> bool;
    /// The code that runs is interrupted: stands still as long as it shall; answers whether it shall end.
    fn interrupted(&self) -> bool;
    /// The state closes: give everything back. Functions may still be called afterwards; they raise.
    fn close(&self);
    /// Takes a place for a task whose coroutine has just been made.
    fn reserve(&self) -> TaskName;
    /// The coroutine of the reserved task `id` is there, with its function and `arguments` values on its stack.
    fn spawned(&self, id: u64, co: Coroutine, arguments: i32);
    /// Do new tasks get something of Lua's from the start?
    fn endows_tasks(&self) -> bool;
    /// The handle of the task `id`, whose end matters, has been collected.
    fn dropped(&self, id: u64);
    /// Tasks that were held by what they wait for have been woken: the registry must hold them before Lua goes on.
    fn tighten(&self, state: State);
    /// Have there been any?
    fn has_woken_loose(&self) -> bool;
    /// Does `state` run a task that may leave its turn at once, with nothing else to be looked at? Notes why it does so.
    fn leaves(&self, state: State, why: Leave) -> bool;
    /// The same, for waiting in the list with this number; notes that it does.
    fn enlists(&self, state: State, list: i64) -> bool;
    /// Has the task that has just been resumed, or one before it, been given the mark that makes a call raise? Asked
    /// once.
    fn takes_alarm(&self) -> bool;
    /// The main task of the thread has returned what lies on the stack of `state` from `first` on, true before it; answers
    /// whether that could be written down.
    fn concludes(&self, state: State, first: i32) -> bool;
    /// Let tasks run until `id` and all others have ended.
    fn run_until(&self, stack: &Stack, id: u64) -> Result<Outcome, Fault>;
}

/// What remains to be done when everything with a destructor is gone.
#[derive(Clone, Copy)]
enum Step {
    /// Push the reply and return.
    Return,
    /// Yield.
    Park,
    /// Yield to a coroutine that passes it on.
    PassUp,
    /// Yield what a nested coroutine has passed up.
    Relay(Outward),
    /// Raise what ends the waits of the task.
    Alarm,
    /// Make a task.
    Spawn,
    /// Make a task and run it.
    Run,
    /// Make a string of the number at this slot and call the function again.
    Convert(i32),
    /// Raise the message in the reply, with the position of the caller.
    RaiseMessage,
    /// Raise the value on top of the stack.
    RaiseTop,
    /// Raise the error in the handle at index 1.
    RaiseTaskError,
    /// Give the handle at index 1 a finalizer and return it.
    Guard,
    /// Ask Lua, and call the function again when it answers nothing.
    Instead(Instead),
}

/// Entries are made of plain functions, of which a value can be had from nothing.
const fn assert_plain<F>() {
    assert!(size_of::<F>() == 0, "an entry needs storage");
}

/// The C function for a Rust function that is a value of a type without size.
pub(crate) const fn of<H, F>(_body: F) -> lua_CFunction
where
    H: Host,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    assert_plain::<F>();
    trampoline::<H, F>
}

/// The C function for a Rust function that lets the task leave its turn with nothing to wait for but the scheduler:
/// where a task can do that at once, it yields without any ado, suspended or giving way.
pub(crate) const fn leaving<H, F, const SUSPENDED: bool>(_body: F) -> lua_CFunction
where
    H: Host,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    assert_plain::<F>();
    leave::<H, F, SUSPENDED>
}

/// Yields, or else goes the way of all functions.
///
/// # Safety
/// As `trampoline`.
unsafe extern "C-unwind" fn leave<H, F, const SUSPENDED: bool>(l: *mut lua_State) -> c_int
where
    H: Host,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    let why = if SUSPENDED {
        Leave::Suspended
    } else {
        Leave::GivingWay
    };
    // SAFETY: as in `trampoline`; `leaves` looks at cells alone and cannot panic.
    unsafe {
        // The light one is the fastest to read.
        let host = &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(3)).cast::<H>();
        if !host.leaves(State::new(l), why) {
            trampoline::<H, F>(l)
        } else {
            let context = (&raw const *host).expose_provenance().cast_signed();
            compat::yield_then(l, 0, context, after_yield::<H>, after_yield_plain::<H>)
        }
    }
}

/// The C function for a Rust function that waits for an event: where that is simple, the task yields without any ado.
pub(crate) const fn listing<H, F>(_body: F) -> lua_CFunction
where
    H: Host,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    assert_plain::<F>();
    list::<H, F>
}

/// Waits in a list, or else goes the way of all functions.
///
/// # Safety
/// As `trampoline`.
unsafe extern "C-unwind" fn list<H, F>(l: *mut lua_State) -> c_int
where
    H: Host,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    // SAFETY: as in `trampoline`; the stack has room, `number_at` raises nothing, and `enlists` cannot panic.
    unsafe {
        if ffi::lua_gettop(l) >= 2 && ffi::lua_type(l, 3) <= ffi::LUA_TNIL {
            let number = number_at(l, 1, 2);
            let host = &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(3)).cast::<H>();
            if number != 0 && host.enlists(State::new(l), number) {
                ffi::lua_settop(l, 0);
                return compat::yield_then(l, 0, 0, after_park::<H>, after_park_plain::<H>);
            }
        }
        trampoline::<H, F>(l)
    }
}

/// Runs when a task that left so is resumed, where Lua can do that: returns nothing, or raises.
///
/// # Safety
/// As `after_park`.
unsafe extern "C-unwind" fn after_yield<H: Host>(
    l: *mut lua_State,
    _: c_int,
    context: isize,
) -> c_int {
    // SAFETY: as in `after_park`; the context is the address of the host, as `leave` has given it.
    unsafe {
        let host = &*std::ptr::with_exposed_provenance::<H>(context.cast_unsigned());
        if host.takes_alarm() && ffi::lua_gettop(l) > 0 && is_alarm(l, -1) {
            raise_alarm(l, host.library());
        }
    }
    0
}

/// `after_yield` as 5.2 calls it.
///
/// # Safety
/// As `after_park`.
unsafe extern "C-unwind" fn after_yield_plain<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let host = ffi::lua_touserdata(l, ffi::lua_upvalueindex(1));
        after_yield::<H>(l, 0, host.expose_provenance().cast_signed())
    }
}

/// Calls the Rust function, and performs what it answers.
///
/// # Safety
/// Called by Lua, as a closure that `library` made.
// Inlined into `leave`, it would make that save registers which it does not use.
#[inline(never)]
pub(super) unsafe extern "C-unwind" fn trampoline<H, F>(l: *mut lua_State) -> c_int
where
    H: Host,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    // SAFETY: upvalue 1 is the userdata in which `library::open` put an `H`, which stays valid until Lua frees the
    // userdata's memory, after the last finalizer; upvalue 3 is its address. `F` has no size, so a value of it can be had from nothing.
    let (host, body) = unsafe {
        (
            &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(3)).cast::<H>(),
            std::mem::zeroed::<F>(),
        )
    };
    // SAFETY: `l` runs this very call.
    let stack = || unsafe { Stack::new(l, host.library()) };
    let mut step = guarded(l, host, || {
        if host.is_closed() {
            return Err(Fault::misuse("coev: the state is closing"));
        }
        body(host, &stack())
    });
    loop {
        if host.has_woken_loose() {
            host.tighten(stack().state());
        }
        // Nothing that is alive here has a destructor: from here on Lua may jump.
        // SAFETY: `l` is the running state; each arm's needs are stated at what it calls.
        unsafe {
            match step {
                Step::Return => return push(l, host.library(), host.reply(), 1),
                Step::Park => return park::<H>(l),
                Step::PassUp => {
                    mark_passed(l);
                    return park::<H>(l);
                }
                Step::Relay(outward) => {
                    if outward == Outward::Resumer {
                        mark_passed(l);
                    }
                    return ffi::lua_yield(l, ffi::lua_gettop(l));
                }
                Step::Alarm => raise_alarm(l, host.library()),
                Step::Spawn => {
                    spawn::make(l, host);
                    return 1;
                }
                Step::Run => {
                    let task = spawn::make(l, host);
                    ffi::lua_insert(l, 1); // handle, and what it was made of
                    step = guarded(l, host, || host.run_until(&stack(), task.id));
                }
                Step::Convert(slot) => {
                    ffi::lua_tolstring(l, slot, std::ptr::null_mut());
                    step = guarded(l, host, || body(host, &stack()));
                }
                Step::RaiseMessage => raise_message(l, host),
                Step::RaiseTop => raise_top(l),
                Step::Guard => return registry::guard_handle(l, host.library()),
                Step::Instead(instead) => {
                    let count = host.library().helpers.call_instead(l, instead);
                    if count > 0 {
                        return count;
                    }
                    step = guarded(l, host, || body(host, &stack()));
                }
                Step::RaiseTaskError => raise_task_error(l, host.library()),
            }
        }
    }
}

/// Runs `work` so that a panic becomes an error, and keeps of its answer only what may be jumped over.
#[inline(always)]
fn guarded<H: Host>(
    l: *mut lua_State,
    host: &H,
    work: impl FnOnce() -> Result<Outcome, Fault>,
) -> Step {
    // The answer is taken apart inside: moving it through `catch_unwind` costs a switch 10 ns.
    let step = catch_unwind(AssertUnwindSafe(|| match work() {
        Ok(Outcome::Reply(reply)) => {
            host.reply().set(reply);
            Step::Return
        }
        Ok(Outcome::Park) => Step::Park,
        Ok(Outcome::PassUp) => Step::PassUp,
        Ok(Outcome::Relay(outward)) => Step::Relay(outward),
        Ok(Outcome::Alarm) => Step::Alarm,
        Ok(Outcome::Spawn) => Step::Spawn,
        Ok(Outcome::Run) => Step::Run,
        Ok(Outcome::RaiseTaskError) => Step::RaiseTaskError,
        Ok(Outcome::Guard) => Step::Guard,
        Ok(Outcome::Instead(instead)) => Step::Instead(instead),
        Err(fault) => refuse(l, host, fault),
    }));
    step.unwrap_or_else(|panic| {
        let message = format!("coev internal error: {}", panic_message(&*panic));
        host.reply().set(Reply::one(message));
        Step::RaiseMessage
    })
}

/// Turns a fault into what must be raised.
#[cold]
fn refuse<H: Host>(l: *mut lua_State, host: &H, fault: Fault) -> Step {
    let message = match fault {
        Fault::NumberForString(slot) => return Step::Convert(slot),
        Fault::Raised => return Step::RaiseTop,
        Fault::Misuse(message) => message.into_owned(),
        Fault::Argument { slot, problem } => {
            // SAFETY: upvalue 2 of every function is the address of its static description.
            let function =
                unsafe { &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(2)).cast::<Function>() };
            function.bad_argument(slot, &problem)
        }
    };
    host.reply().set(Reply::one(message));
    Step::RaiseMessage
}

/// What a panic says.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message")
}

/// Puts the mark before the values that are about to be yielded to a resumer. `[-0, +1, -]`
///
/// # Safety
/// `l` is the running state with a free slot.
unsafe fn mark_passed(l: *mut lua_State) {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_pushlightuserdata(l, pass_mark());
        ffi::lua_insert(l, 1);
    }
}

/// Yields all that is on the stack; the call goes on in `after_park`, or in the guard around it. `[-?, +?, v]`
///
/// # Safety
/// `l` runs a closure that `library` made, which returns the answer at once.
pub(super) unsafe fn park<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        compat::yield_then(
            l,
            ffi::lua_gettop(l),
            0,
            after_park::<H>,
            after_park_plain::<H>,
        )
    }
}

/// Runs when a parked call is resumed, where Lua can do that: returns the reply, or raises.
///
/// # Safety
/// Called by Lua, as the continuation of a closure that `library` made.
unsafe extern "C-unwind" fn after_park<H: Host>(l: *mut lua_State, _: c_int, _: isize) -> c_int {
    // SAFETY: `l` runs this very call, whose upvalues are those of the function that yielded.
    unsafe {
        // A mark comes alone, and its address is no other value's.
        let mark = ffi::lua_touserdata(l, 1);
        if mark == bytes_mark() || mark == answer_mark() || mark == alarm_mark() {
            let host = &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(3)).cast::<H>();
            if mark == bytes_mark() {
                return flow::push_ready(l, host.reply());
            } else if mark == answer_mark() {
                return push(l, host.library(), host.reply(), 1);
            }
            raise_alarm(l, host.library());
        }
        ffi::lua_gettop(l)
    }
}

/// `after_park` as 5.2 calls it.
///
/// # Safety
/// As `after_park`.
unsafe extern "C-unwind" fn after_park_plain<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { after_park::<H>(l, 0, 0) }
}

/// A C function that yields and nothing else.
///
/// # Safety
/// Called by Lua.
pub(super) unsafe extern "C-unwind" fn yield_once(l: *mut lua_State) -> c_int {
    // SAFETY: `l` runs this very call.
    unsafe { ffi::lua_yield(l, 0) }
}

/// Raises the value on top of the stack. `[-1, +0, v]`
///
/// # Safety
/// `l` is the running state; no frame between here and Lua's has anything alive with a destructor.
pub(super) unsafe fn raise_top(l: *mut lua_State) -> ! {
    // SAFETY: the caller's promise.
    unsafe { ffi::lua_error(l) }
}

/// Raises a text that ends with a zero byte. `[-0, +0, v]`
///
/// # Safety
/// As `raise_top`; but `l` may be of whatever Lua: nothing is called that any of them lacks.
pub(super) unsafe fn raise_text(l: *mut lua_State, text: &[u8]) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { ffi::luaL_error(l, c"%s".as_ptr(), text.as_ptr()) }
}

/// Makes sure at load that waits can be told from places where the VM cannot yield. `[-0, +0, m]`
///
/// # Safety
/// `l` is the running state.
pub(super) unsafe fn probe(l: *mut lua_State) {
    // SAFETY: the caller's promise.
    unsafe { compat::probe(l) }
}
