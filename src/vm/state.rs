//! The running state, and what the runtime may ask of it: each either cannot raise or runs in a protected call.

use super::coroutine::{Coroutine, push_integer};
use super::holding::{self, Holder};
use super::library::Library;
use super::outcome::{Reply, ReplySlot, TaskName, Value};
use super::push::{push, push_kept};
use super::registry::{self, Slot};
use super::{compat, entry};
use crate::error::Fault;
use mlua::ffi::{self, lua_State};
use std::os::raw::{c_int, c_void};

/// The Lua state that runs now. Not kept beyond the call that it was made for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(*mut lua_State);

/// What `loosen` in its protected call needs to know.
struct Loosening {
    /// The library of the universe.
    library: *const Library,
    /// The task that is parked.
    task: TaskName,
    /// What it waits for.
    holder: Holder,
    /// Does it live only as long as its handle?
    weak: bool,
}

/// What `tidy_up` in its protected call needs to know.
struct Tidying {
    /// The library of the universe.
    library: *const Library,
    /// How many places of the tables are in use; none is to collect garbage.
    places: Option<u32>,
}

/// What `push_reply` in its protected call needs to know.
struct Delivery {
    /// The library of the universe.
    library: *const Library,
    /// Where the reply lies.
    slot: *const ReplySlot,
}

impl State {
    /// # Safety
    /// `l` is the running state, and the value is not used after the call that it was made for.
    pub(super) unsafe fn new(l: *mut lua_State) -> State {
        State(l)
    }

    /// The state as the C API wants it.
    pub(super) fn raw(self) -> *mut lua_State {
        self.0
    }

    /// Does this very coroutine run?
    #[inline(always)]
    pub(crate) fn is(self, co: Coroutine) -> bool {
        self.0 == co.raw()
    }

    /// The string at `index`, if there is one. It stays on the stack as long as it is used.
    pub(super) fn string_at<'a>(self, index: i32) -> Option<&'a [u8]> {
        // SAFETY: the state runs; a string is read where it lies.
        unsafe {
            if ffi::lua_type(self.0, index) != ffi::LUA_TSTRING {
                return None;
            }
            let mut len = 0;
            let pointer = ffi::lua_tolstring(self.0, index, &raw mut len);
            Some(std::slice::from_raw_parts(pointer.cast::<u8>(), len))
        }
    }

    /// How many values lie on its stack.
    pub(crate) fn top(self) -> i32 {
        // SAFETY: the state runs.
        unsafe { ffi::lua_gettop(self.0) }
    }

    /// The running coroutine, which is anchored by running.
    pub(crate) fn coroutine(self) -> Coroutine {
        // SAFETY: the state runs; whoever keeps the value longer keeps the coroutine, as the type says.
        unsafe { Coroutine::new(self.0) }
    }

    /// May a C function yield here?
    #[inline(always)]
    pub(crate) fn is_yieldable(self) -> bool {
        // SAFETY: the state runs.
        unsafe { compat::is_yieldable(self.0) }
    }

    /// Puts a reply onto the stack of a parked coroutine, in place of the `kept` values there; where the parked call
    /// `takes_answer`s, it pushes by itself what needs memory: a protected call less. `[-kept, +n, -]` on the coroutine.
    /// `Err`: Lua has no memory; nothing has changed but that the reply is lost.
    pub(crate) fn deliver(
        self,
        library: &Library,
        slot: &ReplySlot,
        co: Coroutine,
        kept: i32,
        takes_answer: bool,
        reply: Reply,
    ) -> Result<i32, Fault> {
        if reply.values().iter().all(super::outcome::Value::is_plain) {
            co.forget(kept);
            return Ok(co
                .push_plain(&reply)
                .expect("a plain reply needs no memory"));
        }
        if reply.values().iter().all(super::outcome::Value::is_at_hand) {
            return Ok(self.hand(co, kept, &reply));
        }
        let is_answer = reply.values().iter().all(super::outcome::Value::is_answer);
        slot.set(reply);
        if takes_answer && is_answer && !compat::NEEDS_GUARD {
            co.forget(kept);
            return Ok(co.answer_lies_ready());
        }
        let delivery = Delivery { library, slot };
        // SAFETY: the call's frame has its 20 slots, of which this uses four; the protected function gets the address
        // of `delivery`, which outlives it. The first kept value is the object of the parked method.
        unsafe {
            let top = ffi::lua_gettop(self.0);
            compat::raw_get(
                self.0,
                ffi::LUA_REGISTRYINDEX,
                library.protected.push_reply as _,
            );
            ffi::lua_pushlightuserdata(self.0, (&raw const delivery).cast_mut().cast());
            let mut arguments = 1;
            if kept > 0 && !is_answer {
                ffi::lua_pushvalue(co.raw(), -kept);
                ffi::lua_xmove(co.raw(), self.0, 1);
                arguments = 2;
            }
            if ffi::lua_pcall(self.0, arguments, ffi::LUA_MULTRET, 0) != ffi::LUA_OK {
                return Err(Fault::Raised);
            }
            let count = ffi::lua_gettop(self.0) - top;
            co.forget(kept);
            if ffi::lua_checkstack(co.raw(), count) == 0 {
                ffi::lua_settop(self.0, top);
                return Err(Fault::misuse("not enough memory"));
            }
            ffi::lua_xmove(self.0, co.raw(), count);
            Ok(count)
        }
    }

    /// As `deliver`, for what is plain or lies in the tables of objects that are among the kept values.
    fn hand(self, co: Coroutine, kept: i32, reply: &Reply) -> i32 {
        let (l, co_l) = (self.0, co.raw());
        let mut count = 0;
        // SAFETY: the frame's 20 slots; a parked coroutine has four free ones above what it keeps, and nothing here takes
        // memory. The object is among the kept values, as whoever made the reply says.
        unsafe {
            let first = ffi::lua_gettop(co_l) - kept + 1;
            for value in reply.values() {
                count += 1;
                match value {
                    Value::Taken { at, key } | Value::Kept { at, key } => {
                        let take = matches!(value, Value::Taken { .. });
                        push_kept(co_l, first + at, *key, take);
                        ffi::lua_xmove(co_l, l, 1);
                    }
                    Value::Boolean(boolean) => ffi::lua_pushboolean(l, c_int::from(*boolean)),
                    Value::Integer(integer) => push_integer(l, *integer),
                    Value::Number(number) => ffi::lua_pushnumber(l, *number),
                    _ => ffi::lua_pushnil(l),
                }
            }
            co.forget(kept);
            ffi::lua_xmove(l, co_l, count);
        }
        count
    }

    /// Lets a parked task be held by what it waits for; answers whether there was memory for it.
    pub(crate) fn loosen(
        self,
        library: &Library,
        task: TaskName,
        holder: Holder,
        weak: bool,
    ) -> bool {
        let loosening = Loosening {
            library,
            task,
            holder,
            weak,
        };
        self.protected(library.protected.loosen, (&raw const loosening).cast())
    }

    /// Forgets an ended task of which nothing is kept.
    pub(crate) fn release(self, library: &Library, task: TaskName) {
        // SAFETY: the task had its place in both tables.
        unsafe { registry::release(library, task.slot, true) };
    }

    /// Lets the registry hold a task again that was held by what it waited for; its parked call keeps so many values.
    pub(crate) fn tighten(self, library: &Library, task: TaskName, weak: bool, kept: i32) {
        // SAFETY: eight slots of the frame's 20; whoever wakes a task reaches what it waits for, which holds it.
        unsafe { holding::tighten(self.0, library, task.slot, weak, kept) };
    }

    /// Collects garbage; with `places`, makes the tables of tasks small again instead.
    pub(crate) fn tidy_up(self, library: &Library, places: Option<u32>) {
        let tidying = Tidying { library, places };
        self.protected(library.protected.tidy_up, (&raw const tidying).cast());
    }

    /// Tells Lua's side that an object may be ready which somebody watches; the reply in the slot stays there.
    pub(crate) fn tell(self, library: &Library, slot: &ReplySlot, name: i64) {
        let reply = slot.take();
        // SAFETY: two slots; a Lua function, called protected, whose errors are nobody's.
        unsafe {
            let top = ffi::lua_gettop(self.0);
            compat::raw_get(self.0, ffi::LUA_REGISTRYINDEX, library.helpers.tell as _);
            push_integer(self.0, name);
            ffi::lua_pcall(self.0, 1, 0, 0);
            ffi::lua_settop(self.0, top);
        }
        slot.set(reply);
    }

    /// Tells those who watch a task that it has ended; answers whether there are any.
    pub(crate) fn tell_of_end(self, library: &Library, slot: Slot) -> bool {
        // SAFETY: two slots; a Lua function, called protected, and what it leaves is dropped.
        unsafe {
            let top = ffi::lua_gettop(self.0);
            compat::raw_get(
                self.0,
                ffi::LUA_REGISTRYINDEX,
                library.helpers.tell_of_end as _,
            );
            push_integer(self.0, slot.key());
            let told = ffi::lua_pcall(self.0, 1, 1, 0) == ffi::LUA_OK
                && ffi::lua_toboolean(self.0, -1) != 0;
            ffi::lua_settop(self.0, top);
            told
        }
    }

    /// Calls a function of the library with the address of what it needs to know; answers whether it went well.
    fn protected(self, function: c_int, argument: *const c_void) -> bool {
        // SAFETY: two slots; the argument outlives the call, and what the call leaves is dropped.
        unsafe {
            let top = ffi::lua_gettop(self.0);
            compat::raw_get(self.0, ffi::LUA_REGISTRYINDEX, function as _);
            ffi::lua_pushlightuserdata(self.0, argument.cast_mut());
            let status = ffi::lua_pcall(self.0, 1, 0, 0);
            ffi::lua_settop(self.0, top);
            status == ffi::LUA_OK
        }
    }

    /// Tells those who wait for a weak task, without a hold of its handle, that it ends.
    pub(crate) fn hand_over(self, library: &Library, slot: &ReplySlot, task: TaskName) {
        slot.set(Reply::one(Value::Task(task)));
        let delivery = Delivery { library, slot };
        // SAFETY: four slots; both calls are protected, and `delivery` outlives the first. For want of memory those who
        // wait learn of the end by their deadlines, if ever.
        unsafe {
            let top = ffi::lua_gettop(self.0);
            compat::raw_get(
                self.0,
                ffi::LUA_REGISTRYINDEX,
                library.helpers.hand_over as _,
            );
            ffi::lua_pushinteger(self.0, task.slot.key() as _);
            compat::raw_get(
                self.0,
                ffi::LUA_REGISTRYINDEX,
                library.protected.push_reply as _,
            );
            ffi::lua_pushlightuserdata(self.0, (&raw const delivery).cast_mut().cast());
            if ffi::lua_pcall(self.0, 1, 1, 0) == ffi::LUA_OK {
                ffi::lua_pcall(self.0, 2, 0, 0);
            }
            ffi::lua_settop(self.0, top);
        }
    }

    /// Lets Lua see to the timers that are due. `Err`: the error is on the stack.
    pub(crate) fn fire(self, library: &Library) -> Result<(), Fault> {
        // SAFETY: one slot; the call is protected.
        unsafe {
            compat::raw_get(self.0, ffi::LUA_REGISTRYINDEX, library.helpers.fire as _);
            if ffi::lua_pcall(self.0, 0, 0, 0) == ffi::LUA_OK {
                return Ok(());
            }
        }
        Err(Fault::Raised)
    }

    /// Lets Lua see to what its thread has been asked for. `Err`: the error is on the stack.
    pub(crate) fn heed(self, library: &Library) -> Result<(), Fault> {
        // SAFETY: one slot; the call is protected.
        unsafe {
            compat::raw_get(self.0, ffi::LUA_REGISTRYINDEX, library.helpers.heed as _);
            if ffi::lua_pcall(self.0, 0, 0, 0) == ffi::LUA_OK {
                return Ok(());
            }
        }
        Err(Fault::Raised)
    }

    /// Lets Lua wait until the descriptor is readable, so many nanoseconds at most; without end for `None`. `Err`: the
    /// error is on the stack.
    pub(crate) fn wait_outside(
        self,
        library: &Library,
        fd: i32,
        wait: Option<u64>,
    ) -> Result<(), Fault> {
        // SAFETY: three slots; the call is protected.
        unsafe {
            compat::raw_get(
                self.0,
                ffi::LUA_REGISTRYINDEX,
                library.helpers.wait_outside as _,
            );
            ffi::lua_pushinteger(self.0, fd as _);
            #[expect(
                clippy::cast_precision_loss,
                reason = "a wait of years need not be exact"
            )]
            match wait {
                Some(nanoseconds) => ffi::lua_pushnumber(self.0, nanoseconds as f64 / 1e9),
                None => ffi::lua_pushnil(self.0),
            }
            if ffi::lua_pcall(self.0, 2, 0, 0) == ffi::LUA_OK {
                return Ok(());
            }
        }
        Err(Fault::Raised)
    }

    /// Makes sure that coroutines can be resumed, and can yield, from here.
    pub(crate) fn prepare_in_place(self, library: &Library) {
        if compat::MISTAKES_FINALIZERS {
            // SAFETY: one slot; the call is protected, and what it leaves is dropped.
            unsafe {
                let top = ffi::lua_gettop(self.0);
                compat::raw_get(
                    self.0,
                    ffi::LUA_REGISTRYINDEX,
                    library.protected.leave_hook as _,
                );
                ffi::lua_pcall(self.0, 0, 0, 0);
                ffi::lua_settop(self.0, top);
            }
        }
    }

    /// Lets a hook run that has been set from outside, as the stock interpreters do on Ctrl-C: it may raise.
    ///
    /// The signal handler sets the hook on the main coroutine only; where another one runs the loop, the hook moves.
    pub(crate) fn run_pending_hook(self, library: &Library) -> Result<(), Fault> {
        // SAFETY: both states are live, the main coroutine for ever; the function that gives the hook its chance is
        // an empty Lua function, called protected.
        unsafe {
            let main = if library.main.is_null() {
                self.0
            } else {
                library.main
            };
            let Some(hook) = ffi::lua_gethook(main) else {
                return Ok(());
            };
            if main != self.0 && ffi::lua_gethook(self.0).is_none() {
                ffi::lua_sethook(
                    self.0,
                    Some(hook),
                    ffi::lua_gethookmask(main),
                    ffi::lua_gethookcount(main),
                );
                ffi::lua_sethook(main, None, 0, 0);
            }
            compat::raw_get(self.0, ffi::LUA_REGISTRYINDEX, library.helpers.idle as _);
            if ffi::lua_pcall(self.0, 0, 0, 0) == ffi::LUA_OK {
                Ok(())
            } else {
                Err(Fault::Raised)
            }
        }
    }
}

/// Loosens the task of the `Loosening` at index 1. Runs protected.
///
/// # Safety
/// Called only as the comment inside says.
pub(super) unsafe extern "C-unwind" fn loosen(l: *mut lua_State) -> c_int {
    // SAFETY: only `State::loosen` calls it, with the address of a live `Loosening`.
    unsafe {
        let Loosening {
            library,
            task,
            holder,
            weak,
        } = *ffi::lua_touserdata(l, 1).cast::<Loosening>();
        holding::loosen(l, &*library, task, holder, weak);
    }
    0
}

/// Does what the `Tidying` at index 1 says. Runs protected.
///
/// # Safety
/// Called only as the comment inside says.
pub(super) unsafe extern "C-unwind" fn tidy_up(l: *mut lua_State) -> c_int {
    // SAFETY: only `State::tidy_up` calls it, with the address of a live `Tidying`.
    unsafe {
        let Tidying { library, places } = *ffi::lua_touserdata(l, 1).cast::<Tidying>();
        match places {
            Some(places) => registry::rebuild(l, &*library, places),
            None => {
                // Finalizers run in the first one; what they held goes in the second.
                ffi::lua_gc(l, ffi::LUA_GCCOLLECT, 0);
                ffi::lua_gc(l, ffi::LUA_GCCOLLECT, 0);
            }
        }
    }
    0
}

/// Lets a coroutine that nobody resumes again yield once. Runs protected.
///
/// # Safety
/// Called only as the comment inside says.
pub(super) unsafe extern "C-unwind" fn leave_hook(l: *mut lua_State) -> c_int {
    // SAFETY: only `prepare_in_place` calls it, without arguments.
    unsafe {
        let co = ffi::lua_newthread(l);
        ffi::lua_pushcclosure(co, entry::yield_once, 0);
        let mut results: c_int = 0;
        ffi::lua_resume(co, l, 0, &raw mut results);
    }
    0
}

/// Pushes the reply in the `Delivery` at index 1; index 2 is the object of the call. Runs protected.
///
/// # Safety
/// Called only as the comment inside says.
pub(super) unsafe extern "C-unwind" fn push_reply(l: *mut lua_State) -> c_int {
    // SAFETY: only `deliver` calls it, with the address of a live `Delivery`.
    unsafe {
        let delivery = ffi::lua_touserdata(l, 1).cast::<Delivery>();
        push(l, &*(*delivery).library, &*(*delivery).slot, 2)
    }
}

/// A place in this library's memory whose address no other library has: the key of its table in the registry.
pub(super) fn registry_key() -> *const c_void {
    /// Only its address counts.
    static KEY: u8 = 0;
    (&raw const KEY).cast()
}
